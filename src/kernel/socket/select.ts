/**
 * Waiting for one of several sockets, as select(2) and poll(2) do.
 *
 * A waiter leaves itself on every socket it looks at. A socket that changes marks its waiters and wakes them, and they look
 * again. FreeBSD keeps waiters per thread and descriptors per pool; here a call has one waiter object, made anew.
 *
 * @see sys_generic.c kern_poll, selrecord, selwakeup
 */
import { type Errno, EWOULDBLOCK } from "../errno.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { priorities, sbinuptime } from "../sched/kernel.ts";
import { msleep, sleep_channel, wakeup } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import { SB_SEL, SBS_CANTRCVMORE, SOLISTENING, type selinfo, type sockbuf, type socket } from "./socket.ts";
import { ns_to_ticks, SOCKBUF_LOCK, SOCKBUF_UNLOCK, sbavail } from "./uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK, sowriteable } from "./uipc_socket.ts";

export const POLLIN = 0x0001;
export const POLLOUT = 0x0004;

/** One waiting call. @see sys_generic.c struct seltd */
export class seltd extends sleep_channel {
	readonly st_mtx = new mtx();
	st_pending = false;
}

export class pollfd {
	readonly so: socket;
	readonly events: number;
	revents = 0;
	constructor(so: socket, events: number) {
		this.so = so;
		this.events = events;
	}
}

function selrecord(st: seltd, si: selinfo): void {
	if (!si.si_waiters.includes(st)) si.si_waiters.push(st);
}

/** Wakes all who wait on `si`; the lock of the socket is held. */
export function* selwakeup(si: selinfo): Blocking<void> {
	while (si.si_waiters.length > 0) {
		const st = si.si_waiters.shift() as seltd;
		yield* mtx_lock(st.st_mtx);
		st.st_pending = true;
		yield* wakeup(st);
		yield* mtx_unlock(st.st_mtx);
	}
}

function* poll_buffer(st: seltd, so: socket, sb: sockbuf, event: number): Blocking<number> {
	yield* SOCKBUF_LOCK(sb);
	const ready =
		event === POLLIN
			? sbavail(sb) >= sb.sb_lowat || so.so_error !== 0 || (sb.sb_state & SBS_CANTRCVMORE) !== 0
			: sowriteable(so);
	if (!ready) {
		selrecord(st, sb.sb_sel);
		sb.sb_flags |= SB_SEL;
	}
	yield* SOCKBUF_UNLOCK(sb);
	return ready ? event : 0;
}

/** Which of `events` hold for `so` now; where one does not, `st` will hear of it. @see uipc_socket.c sopoll_generic */
function* sopoll(so: socket, events: number, st: seltd): Blocking<number> {
	charge(cost.sopoll);
	let revents = 0;
	if (SOLISTENING(so)) {
		if ((events & POLLIN) === 0) return 0;
		yield* SOCK_LOCK(so);
		if (so.sol_comp.length > 0 || so.so_error !== 0) revents = POLLIN;
		else selrecord(st, so.so_rcv.sb_sel);
		yield* SOCK_UNLOCK(so);
		return revents;
	}
	if ((events & POLLIN) !== 0) revents |= yield* poll_buffer(st, so, so.so_rcv, POLLIN);
	if ((events & POLLOUT) !== 0) revents |= yield* poll_buffer(st, so, so.so_snd, POLLOUT);
	return revents;
}

function forget(st: seltd, si: selinfo): void {
	const at = si.si_waiters.indexOf(st);
	if (at >= 0) si.si_waiters.splice(at, 1);
}

/**
 * Waits until an event of `fds` holds.
 *
 * @param timeout_ns at most this long; negative for ever, 0 not at all
 * @returns how many of `fds` have events
 */
export function* kern_poll(_td: thread, fds: readonly pollfd[], timeout_ns: number): Blocking<number> {
	charge(cost.syscall);
	const st = new seltd();
	mtx_init(st.st_mtx, "sellck", null, MTX_DEF);
	const deadline = sbinuptime() + timeout_ns;
	let ready = 0;
	for (;;) {
		yield* mtx_lock(st.st_mtx);
		st.st_pending = false;
		yield* mtx_unlock(st.st_mtx);
		for (const fd of fds) {
			fd.revents = yield* sopoll(fd.so, fd.events, st);
			if (fd.revents !== 0) ready++;
		}
		const left = deadline - sbinuptime();
		if (ready > 0 || timeout_ns === 0 || (timeout_ns > 0 && left <= 0)) break;
		let error: Errno = 0;
		yield* mtx_lock(st.st_mtx);
		if (!st.st_pending) {
			error = yield* msleep(st, st.st_mtx, priorities().PSOCK, "select", timeout_ns < 0 ? 0 : ns_to_ticks(left));
		}
		yield* mtx_unlock(st.st_mtx);
		if (error === EWOULDBLOCK) break;
	}
	for (const fd of fds) {
		yield* mtx_lock(SOLISTENING(fd.so) ? fd.so.so_lock : fd.so.so_rcv.sb_mtx);
		forget(st, fd.so.so_rcv.sb_sel);
		yield* mtx_unlock(SOLISTENING(fd.so) ? fd.so.so_lock : fd.so.so_rcv.sb_mtx);
		if (SOLISTENING(fd.so)) continue;
		yield* SOCKBUF_LOCK(fd.so.so_snd);
		forget(st, fd.so.so_snd.sb_sel);
		yield* SOCKBUF_UNLOCK(fd.so.so_snd);
	}
	mtx_destroy(st.st_mtx);
	return ready;
}
