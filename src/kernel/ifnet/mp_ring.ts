/**
 * mp_ring: a ring many threads put packets on and one at a time takes them off. Who puts something on an idle ring becomes the one
 * that takes off, and goes on with what others add meanwhile, up to a budget; they leave at once.
 *
 * The ring's state is one 64-bit word upstream, changed by compare-and-swap. Here nothing happens between two waits, so a reservation
 * and its filling are one step; the atomics are charged.
 *
 * @see net/mp_ring.c; read in 13.0
 */
import { ENOBUFS, type Errno } from "../errno.ts";
import { KASSERT, MPASS } from "../sched/kernel.ts";
import { type Blocking, cost, curthread, sync } from "../sched/thread.ts";

/** the consumer ran to completion: nothing to do */
export const IDLE = 0;
/** a consumer runs, or will shortly */
export const BUSY = 1;
/** the consumer stopped for lack of resources */
export const STALLED = 2;
/** the consumer stopped though there is work, because another thread is to take over */
export const ABDICATED = 3;

/** consumed this often, the ring's own index is brought up to date */
const CIDX_UPDATE = 64;

export class ifmp_ring<T> {
	readonly size: number;
	readonly items: (T | null)[];
	/** takes items from `cidx` to `pidx`; how many it took, 0 if it cannot go on */
	readonly drain: (r: ifmp_ring<T>, cidx: number, pidx: number) => Blocking<number>;
	/** whether a stalled ring can go on */
	readonly can_drain: (r: ifmp_ring<T>) => boolean;
	pidx = 0;
	cidx = 0;
	flags = IDLE;
	enqueues = 0;
	drops = 0;
	starts = 0;
	stalls = 0;
	restarts = 0;
	abdications = 0;
	/** CPU that had the line of the state last */
	private lastcpu = -1;

	constructor(
		size: number,
		drain: (r: ifmp_ring<T>, cidx: number, pidx: number) => Blocking<number>,
		can_drain: (r: ifmp_ring<T>) => boolean,
	) {
		KASSERT(size >= 2 && size <= 65536, `ifmp_ring_alloc: size ${size}`);
		this.size = size;
		this.items = new Array<T | null>(size).fill(null);
		this.drain = drain;
		this.can_drain = can_drain;
	}

	/** Charges for a compare-and-swap on the state. */
	charge_state(): void {
		const td = curthread;
		td.td_pending += cost.atomic + (this.lastcpu === td.td_cpu || this.lastcpu < 0 ? 0 : cost.line_transfer);
		this.lastcpu = td.td_cpu;
	}
}

function increment_idx<T>(r: ifmp_ring<T>, idx: number, n: number): number {
	return (idx + n) % r.size;
}

function space_available<T>(r: ifmp_ring<T>): number {
	return (r.cidx - r.pidx - 1 + r.size) % r.size;
}

/** Takes items off, as the ring's one consumer: its state is BUSY. `prev` is what it was before. */
function* drain_ring_lockless<T>(r: ifmp_ring<T>, prev: number, budget: number): Blocking<void> {
	MPASS(r.flags === BUSY, "os.flags == BUSY");
	let { cidx, pidx } = r;
	MPASS(cidx !== pidx, "cidx != pidx");
	if (prev === IDLE) r.starts++;
	let pending = 0;
	let total = 0;
	while (cidx !== pidx) {
		const n = yield* r.drain(r, cidx, pidx);
		if (n === 0) {
			r.charge_state();
			yield* sync();
			r.cidx = cidx;
			r.flags = STALLED;
			if (prev !== STALLED) r.stalls++;
			else if (total > 0) {
				r.restarts++;
				r.stalls++;
			}
			return;
		}
		cidx = increment_idx(r, cidx, n);
		pending += n;
		total += n;
		if (cidx !== pidx && pending < CIDX_UPDATE && total < budget) continue;
		r.charge_state();
		yield* sync();
		r.cidx = cidx;
		// over the budget it would hand over to a producer that is in the middle of adding; here none ever is
		r.flags = r.cidx === r.pidx ? IDLE : BUSY;
		if (r.flags !== BUSY) {
			if (prev === STALLED) {
				MPASS(total > 0, "total > 0");
				r.restarts++;
			}
			return;
		}
		pidx = r.pidx;
		pending = 0;
	}
}

/**
 * Puts an item on the ring, and takes off for a while what is on it, unless somebody does so already.
 *
 * @param abdicate leave taking off to others
 * @returns ENOBUFS if the ring is full; the item is still the caller's
 */
export function* ifmp_ring_enqueue<T>(r: ifmp_ring<T>, item: T, budget: number, abdicate: boolean): Blocking<Errno> {
	r.charge_state();
	r.charge_state();
	yield* sync();
	if (space_available(r) <= 1) {
		r.drops++;
		MPASS(r.flags !== IDLE, "os.flags != IDLE");
		if (r.flags === STALLED) yield* ifmp_ring_check_drainage(r, 0);
		return ENOBUFS;
	}
	r.items[r.pidx] = item;
	r.pidx = increment_idx(r, r.pidx, 1);
	r.enqueues++;
	const prev = r.flags;
	if (abdicate) {
		if (prev === IDLE) r.flags = ABDICATED;
		return 0;
	}
	r.flags = BUSY;
	if (prev !== BUSY) yield* drain_ring_lockless(r, prev, budget);
	return 0;
}

/** Goes on where a consumer stopped, if that is possible now. */
export function* ifmp_ring_check_drainage<T>(r: ifmp_ring<T>, budget: number): Blocking<void> {
	yield* sync();
	const prev = r.flags;
	if ((prev !== STALLED && prev !== ABDICATED) || (prev !== ABDICATED && !r.can_drain(r))) return;
	MPASS(r.cidx !== r.pidx, "os.cidx != os.pidx_tail");
	r.charge_state();
	r.flags = BUSY;
	yield* drain_ring_lockless(r, prev, budget);
}

export function ifmp_ring_is_idle<T>(r: ifmp_ring<T>): boolean {
	return r.flags === IDLE && r.cidx === r.pidx;
}

export function ifmp_ring_is_stalled<T>(r: ifmp_ring<T>): boolean {
	return r.flags === STALLED;
}

/** Takes off everything there is without sending it. The ring must not be busy. @see iflib.c iflib_ifmp_purge */
export function ifmp_ring_purge<T>(r: ifmp_ring<T>, free: (item: T) => void): void {
	for (; r.cidx !== r.pidx; r.cidx = increment_idx(r, r.cidx, 1)) {
		free(r.items[r.cidx] as T);
		r.items[r.cidx] = null;
	}
	if (r.flags !== BUSY) r.flags = IDLE;
}
