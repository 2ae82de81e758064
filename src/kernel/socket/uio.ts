/**
 * A user-space transfer: one buffer, how far it has got, and how much is left.
 *
 * FreeBSD's uio has a vector of buffers; programs here use one. A program that streams filler whose contents nobody looks
 * at says so with `uio_filler`; then cost-only mode charges for the copy and leaves the bytes alone, and mbufs know which they are.
 *
 * @see sys/uio.h, kern_subr.c
 */
import { bcopy } from "../../machine/bcopy.ts";
import { cost_only, KASSERT } from "../sched/kernel.ts";
import { charge_bytes, cost } from "../sched/thread.ts";

export const UIO_READ = 0;
export const UIO_WRITE = 1;

export class uio {
	readonly uio_buf: Uint8Array;
	/** next byte of uio_buf */
	uio_offset: number;
	/** bytes still to move */
	uio_resid: number;
	readonly uio_rw: number;
	readonly uio_filler: boolean;

	constructor(buf: Uint8Array, rw: number, filler = false, offset = 0, length = buf.length - offset) {
		this.uio_buf = buf;
		this.uio_offset = offset;
		this.uio_resid = length;
		this.uio_rw = rw;
		this.uio_filler = filler;
	}
}

/** Moves `n` bytes between `buf` at `off` and the transfer, in its direction. @see kern_subr.c uiomove */
export function uiomove(buf: Uint8Array, off: number, n: number, u: uio): void {
	KASSERT(n <= u.uio_resid, "uiomove: more than the uio holds");
	charge_bytes(n, cost.copy);
	if (!(u.uio_filler && cost_only())) {
		const user = u.uio_buf;
		const at = u.uio_offset;
		if (u.uio_rw === UIO_READ) bcopy(buf, off, user, at, n);
		else bcopy(user, at, buf, off, n);
	}
	u.uio_offset += n;
	u.uio_resid -= n;
}
