/**
 * The system calls programs make: the C library's side of them.
 *
 * Each enters the kernel, does its work there, and on the way back to user mode gives its CPU up if its time slice is used up, or
 * ends if it was killed. An error is returned as its number, where C would return -1 and set errno.
 *
 * @see sys_generic.c, uipc_syscalls.c, kern_time.c, subr_trap.c userret
 */
import type { Errno } from "../kernel/errno.ts";
import { ifioctl } from "../kernel/ifnet/if_ioctl.ts";
import type { sockaddr } from "../kernel/netinet/in.ts";
import { nanotime, sbinuptime } from "../kernel/sched/kernel.ts";
import { pause_sbt } from "../kernel/sched/sleepqueue.ts";
import { type Blocking, charge, cost, curthread } from "../kernel/sched/thread.ts";
import { userret } from "../kernel/sched/ule.ts";
import { kern_poll, type pollfd } from "../kernel/socket/select.ts";
import { MSG_DONTWAIT, type socket, type soreceive_args } from "../kernel/socket/socket.ts";
import type { sockopt } from "../kernel/socket/sockopt.ts";
import {
	type accepted,
	io_result,
	kern_accept,
	kern_bind,
	kern_close,
	kern_connect,
	kern_getpeername,
	kern_getsockname,
	kern_getsockopt,
	kern_listen,
	kern_read,
	kern_recvfrom,
	kern_sendto,
	kern_setnonblock,
	kern_setsockopt,
	kern_shutdown,
	kern_socket,
} from "../kernel/socket/uipc_syscalls.ts";
import { type process, process_exit, SIGKILL } from "./process.ts";

export { io_result, MSG_DONTWAIT };

/** Back to user mode. @see subr_trap.c userret, ast */
export function* sysret(p: process): Blocking<void> {
	if (p.p_killed) throw new process_exit(128 + SIGKILL);
	yield* userret();
}

export function* socket_open(p: process, domain: number, type: number, protocol: number): Blocking<socket | Errno> {
	const so = yield* kern_socket(curthread, domain, type, protocol);
	if (typeof so !== "number") p.p_fd.add(so);
	yield* sysret(p);
	return so;
}

export function* bind(p: process, so: socket, sa: sockaddr): Blocking<Errno> {
	const error = yield* kern_bind(curthread, so, sa);
	yield* sysret(p);
	return error;
}

export function* listen(p: process, so: socket, backlog: number): Blocking<Errno> {
	const error = yield* kern_listen(curthread, so, backlog);
	yield* sysret(p);
	return error;
}

export function* accept(p: process, so: socket): Blocking<accepted | Errno> {
	const conn = yield* kern_accept(curthread, so);
	if (typeof conn !== "number") p.p_fd.add(conn.so);
	yield* sysret(p);
	return conn;
}

export function* connect(p: process, so: socket, sa: sockaddr): Blocking<Errno> {
	const error = yield* kern_connect(curthread, so, sa);
	yield* sysret(p);
	return error;
}

/** send(2) and write(2): sends `len` bytes of `buf`; how many went is in `result`. */
export function* send(
	p: process,
	so: socket,
	buf: Uint8Array,
	len: number,
	result: io_result,
	filler = false,
	to: sockaddr | null = null,
): Blocking<Errno> {
	const error = yield* kern_sendto(curthread, so, buf, len, 0, to, result, filler);
	yield* sysret(p);
	return error;
}

/** read(2): receives what is there, at most `len` bytes; none and no error is the end of the stream. */
export function* read(
	p: process,
	so: socket,
	buf: Uint8Array,
	len: number,
	result: io_result,
	filler = false,
): Blocking<Errno> {
	const error = yield* kern_read(curthread, so, buf, len, result, filler);
	yield* sysret(p);
	return error;
}

/** recvmsg(2); `msg` says what is wanted besides the data, and gets it. */
export function* recvmsg(
	p: process,
	so: socket,
	buf: Uint8Array,
	len: number,
	msg: soreceive_args,
	result: io_result,
	filler = false,
): Blocking<Errno> {
	const error = yield* kern_recvfrom(curthread, so, buf, len, msg, result, filler);
	yield* sysret(p);
	return error;
}

export function* close(p: process, so: socket): Blocking<Errno> {
	p.p_fd.delete(so);
	const error = yield* kern_close(curthread, so);
	yield* sysret(p);
	return error;
}

export function* shutdown(p: process, so: socket, how: number): Blocking<Errno> {
	const error = yield* kern_shutdown(curthread, so, how);
	yield* sysret(p);
	return error;
}

export function* setsockopt(
	p: process,
	so: socket,
	level: number,
	name: number,
	val: number | object | string,
): Blocking<Errno> {
	const error = yield* kern_setsockopt(curthread, so, level, name, val);
	yield* sysret(p);
	return error;
}

/** @returns the option's value, or null if it cannot be had */
export function* getsockopt(p: process, so: socket, level: number, name: number): Blocking<sockopt["sopt_val"]> {
	const result = new io_result();
	const val = yield* kern_getsockopt(curthread, so, level, name, result);
	yield* sysret(p);
	return val;
}

export function* getsockname(p: process, so: socket): Blocking<sockaddr | Errno> {
	const sa = yield* kern_getsockname(curthread, so);
	yield* sysret(p);
	return sa;
}

export function* getpeername(p: process, so: socket): Blocking<sockaddr | Errno> {
	const sa = yield* kern_getpeername(curthread, so);
	yield* sysret(p);
	return sa;
}

/** fcntl(2) F_SETFL with or without O_NONBLOCK. */
export function* setnonblock(p: process, so: socket, on: boolean): Blocking<void> {
	yield* kern_setnonblock(curthread, so, on);
	yield* sysret(p);
}

/** poll(2). @returns how many of `fds` have events */
export function* poll(p: process, fds: readonly pollfd[], timeout_ns: number): Blocking<number> {
	const ready = yield* kern_poll(curthread, fds, timeout_ns);
	yield* sysret(p);
	return ready;
}

/** ioctl(2) of an interface. */
export function* ioctl(p: process, so: socket, cmd: number, data: unknown): Blocking<Errno> {
	charge(cost.syscall);
	const error = yield* ifioctl(so, cmd, data, curthread);
	yield* sysret(p);
	return error;
}

export function* nanosleep(p: process, ns: number): Blocking<void> {
	charge(cost.syscall);
	if (ns > 0) yield* pause_sbt("nanslp", ns);
	yield* sysret(p);
}

/** clock_gettime(CLOCK_MONOTONIC) in ns: the C library reads the shared page and does not enter the kernel. */
export function clock_monotonic(): number {
	charge(cost.clock_gettime);
	return sbinuptime();
}

/** clock_gettime(CLOCK_REALTIME), whole seconds since 1970. */
export function time(): number {
	charge(cost.clock_gettime);
	return nanotime().tv_sec;
}
