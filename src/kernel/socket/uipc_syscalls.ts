/**
 * The system calls on sockets, for programs that run inside the machine. A descriptor is the socket itself.
 *
 * Each charges for entering the kernel and checks what the call checks; errors are returned as numbers, as the C library
 * would leave them in errno. FreeBSD's descriptor table, signals and capabilities are not modelled.
 *
 * @see uipc_syscalls.c kern_socket, kern_bindat, kern_listen, kern_accept4, kern_connectat, kern_sendit, kern_recvit
 */
import { EALREADY, EINPROGRESS, EINVAL, type Errno, EWOULDBLOCK } from "../errno.ts";
import type { ucred } from "../jail/ucred.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { sockaddr } from "../netinet/in.ts";
import { CURVNET_RESTORE, CURVNET_SET, priorities } from "../sched/kernel.ts";
import { msleep } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import { SOLISTENING, SS_ISCONNECTING, SS_NBIO, type socket, soreceive_args } from "./socket.ts";
import { SOPT_GET, SOPT_SET, sockopt } from "./sockopt.ts";
import { UIO_READ, UIO_WRITE, uio } from "./uio.ts";
import { soreceive } from "./uipc_receive.ts";
import { sosend } from "./uipc_send.ts";
import {
	SOCK_LOCK,
	SOCK_UNLOCK,
	SOLISTEN_LOCK,
	soaccept,
	sobind,
	soclose,
	soconnect,
	socreate,
	solisten,
	solisten_dequeue,
	soshutdown,
} from "./uipc_socket.ts";
import { sogetopt, sosetopt } from "./uipc_sockopt.ts";

/** What a call that moves bytes gives back: how many, and an error if there was none to move. */
export class io_result {
	error: Errno = 0;
	bytes = 0;
}

export function* kern_socket(td: thread, domain: number, type: number, protocol: number): Blocking<socket | Errno> {
	charge(cost.syscall);
	return yield* socreate(domain, type, protocol, td.td_ucred as ucred, td);
}

export function* kern_bind(td: thread, so: socket, sa: sockaddr): Blocking<Errno> {
	charge(cost.syscall);
	return yield* sobind(so, sa, td);
}

export function* kern_listen(td: thread, so: socket, backlog: number): Blocking<Errno> {
	charge(cost.syscall);
	return yield* solisten(so, backlog, td);
}

/** A connection taken from a listening socket, and where it comes from. */
export class accepted {
	readonly so: socket;
	readonly name: sockaddr;
	constructor(so: socket, name: sockaddr) {
		this.so = so;
		this.name = name;
	}
}

/** Waits for a connection and takes it. */
export function* kern_accept(_td: thread, head: socket): Blocking<accepted | Errno> {
	charge(cost.syscall);
	if (!SOLISTENING(head)) return EINVAL;
	yield* SOLISTEN_LOCK(head);
	const so = yield* solisten_dequeue(head, (head.so_state & SS_NBIO) !== 0);
	if (typeof so === "number") return so;
	const name = yield* soaccept(so);
	if (typeof name === "number") {
		yield* soclose(so);
		return name;
	}
	return new accepted(so, name);
}

/** Connects, and waits until the connection stands or has failed. */
export function* kern_connect(td: thread, so: socket, sa: sockaddr): Blocking<Errno> {
	charge(cost.syscall);
	if ((so.so_state & SS_ISCONNECTING) !== 0) return EALREADY;
	let error = yield* soconnect(so, sa, td);
	if (error === 0) {
		if ((so.so_state & SS_NBIO) !== 0 && (so.so_state & SS_ISCONNECTING) !== 0) return EINPROGRESS;
		yield* SOCK_LOCK(so);
		while ((so.so_state & SS_ISCONNECTING) !== 0 && so.so_error === 0) {
			error = yield* msleep(so.so_timeo, so.so_lock, priorities().PSOCK, "connec", 0);
			if (error !== 0) break;
		}
		if (error === 0) {
			error = so.so_error;
			so.so_error = 0;
		}
		yield* SOCK_UNLOCK(so);
	}
	so.so_state &= ~SS_ISCONNECTING;
	return error;
}

/**
 * Sends `len` bytes of `buf`.
 *
 * @param filler nobody looks at the contents: cost-only mode need not copy them
 */
export function* kern_sendto(
	td: thread,
	so: socket,
	buf: Uint8Array,
	len: number,
	flags: number,
	to: sockaddr | null,
	result: io_result,
	filler = false,
	control: mbuf | null = null,
): Blocking<Errno> {
	charge(cost.syscall);
	const u = new uio(buf, UIO_WRITE, filler, 0, len);
	let error = yield* sosend(so, to, u, null, control, flags, td);
	result.bytes = len - u.uio_resid;
	if (error === EWOULDBLOCK && result.bytes > 0) error = 0;
	result.error = error;
	return error;
}

/** Receives at most `len` bytes into `buf`; `msg` says what else is wanted besides the data. */
export function* kern_recvfrom(
	_td: thread,
	so: socket,
	buf: Uint8Array,
	len: number,
	msg: soreceive_args,
	result: io_result,
	filler = false,
): Blocking<Errno> {
	charge(cost.syscall);
	const u = new uio(buf, UIO_READ, filler, 0, len);
	let error = yield* soreceive(so, u, msg);
	result.bytes = len - u.uio_resid;
	if (error === EWOULDBLOCK && result.bytes > 0) error = 0;
	result.error = error;
	return error;
}

/** read(2) on a socket: kern_recvfrom without flags, address or control. */
export function* kern_read(
	td: thread,
	so: socket,
	buf: Uint8Array,
	len: number,
	result: io_result,
	filler = false,
): Blocking<Errno> {
	return yield* kern_recvfrom(td, so, buf, len, new soreceive_args(), result, filler);
}

export function* kern_close(_td: thread, so: socket): Blocking<Errno> {
	charge(cost.syscall);
	return yield* soclose(so);
}

export function* kern_shutdown(_td: thread, so: socket, how: number): Blocking<Errno> {
	charge(cost.syscall);
	return yield* soshutdown(so, how);
}

export function* kern_setsockopt(
	td: thread,
	so: socket,
	level: number,
	name: number,
	val: number | object | string,
): Blocking<Errno> {
	charge(cost.syscall);
	const sopt = new sockopt(SOPT_SET, level, name, val);
	sopt.sopt_td = td;
	return yield* sosetopt(so, sopt);
}

/** @returns the value, or null with the error in `result` */
export function* kern_getsockopt(
	td: thread,
	so: socket,
	level: number,
	name: number,
	result: io_result,
): Blocking<sockopt["sopt_val"]> {
	charge(cost.syscall);
	const sopt = new sockopt(SOPT_GET, level, name);
	sopt.sopt_td = td;
	result.error = yield* sogetopt(so, sopt);
	return result.error === 0 ? sopt.sopt_val : null;
}

export function* kern_getsockname(_td: thread, so: socket): Blocking<sockaddr | Errno> {
	charge(cost.syscall);
	const saved = CURVNET_SET(so.so_vnet);
	const sa = yield* so.so_proto.pr_usrreqs.pru_sockaddr(so);
	CURVNET_RESTORE(saved);
	return sa;
}

export function* kern_getpeername(_td: thread, so: socket): Blocking<sockaddr | Errno> {
	charge(cost.syscall);
	const saved = CURVNET_SET(so.so_vnet);
	const sa = yield* so.so_proto.pr_usrreqs.pru_peeraddr(so);
	CURVNET_RESTORE(saved);
	return sa;
}

/** fcntl(O_NONBLOCK) */
export function* kern_setnonblock(_td: thread, so: socket, on: boolean): Blocking<void> {
	charge(cost.syscall);
	yield* SOCK_LOCK(so);
	if (on) so.so_state |= SS_NBIO;
	else so.so_state &= ~SS_NBIO;
	yield* SOCK_UNLOCK(so);
}
