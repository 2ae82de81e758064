/**
 * TCP's timers: retransmission, persist, keepalive, 2MSL and delayed acknowledgement.
 *
 * Each is a callout without a lock of its own; the handler takes the pcb's lock and then finds out whether the callout was
 * stopped or armed anew meanwhile. A control block that is thrown away while a handler runs stays until that handler is done.
 *
 * @see tcp_timer.c
 */
import {
	type callout,
	callout_active,
	callout_deactivate,
	callout_init,
	callout_pending,
	callout_reset,
	callout_stop,
} from "../callout/callout.ts";
import { ETIMEDOUT } from "../errno.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { CURVNET_RESTORE, CURVNET_SET, KASSERT, panic, ticks } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import { SBS_CANTRCVMORE, SO_KEEPALIVE, type socket } from "../socket/socket.ts";
import { CC_RTO } from "./cc/cc.ts";
import { INP_DROPPED, INP_WLOCK, INP_WUNLOCK, in_pcbrele_wlocked } from "./in_pcb.ts";
import {
	TCPS_CLOSE_WAIT,
	TCPS_CLOSING,
	TCPS_ESTABLISHED,
	TCPS_FIN_WAIT_2,
	TCPS_HAVEESTABLISHED,
	TCPS_SYN_RECEIVED,
	TCPS_SYN_SENT,
	TCPS_TIME_WAIT,
} from "./tcp.ts";
import { cc_cong_signal } from "./tcp_cc.ts";
import { tcp_output, tcp_setpersist } from "./tcp_output.ts";
import { tcp_respond } from "./tcp_respond.ts";
import { tcp_free_sackholes } from "./tcp_sack.ts";
import { tcp_close, tcp_drop } from "./tcp_subr.ts";
import {
	IN_CONGRECOVERY,
	IN_FASTRECOVERY,
	TCP_REXMTVAL,
	TCP_RTT_SHIFT,
	TCPT_RANGE,
	TF_ACKNOW,
	TF_FORCEDATA,
	TF_PREVVALID,
	TF_RCVD_TSTMP,
	TF_REQ_SCALE,
	TF_REQ_TSTMP,
	TF_SACK_PERMIT,
	TF_WASCRECOVERY,
	TF_WASFRECOVERY,
	tcp_sysctl,
	type tcpcb,
	V_tcpstat,
} from "./tcp_var.ts";

export const TT_DELACK = 0x0001;
export const TT_REXMT = 0x0002;
export const TT_PERSIST = 0x0004;
export const TT_KEEP = 0x0008;
export const TT_2MSL = 0x0010;
/** the control block is being thrown away: no timer may be armed */
export const TT_STOPPED = 0x00010000;
/** shift from a timer's bit to the bit that says its handler was running when it was stopped */
const TT_DRAIN_SHIFT = 8;

export const TCP_MAXRXTSHIFT = 12;
/** retransmissions after which srtt counts for nothing */
export const TCP_RTT_INVALIDATE = TCP_MAXRXTSHIFT / 4;
export const tcp_backoff: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512];
const tcp_totbackoff = 2559;

export function TP_MAXIDLE(_tp: tcpcb): number {
	return tcp_sysctl().keepcnt * tcp_sysctl().keepintvl;
}

export function tcp_timer_init(tp: tcpcb): void {
	callout_init(tp.tt_rexmt, true);
	callout_init(tp.tt_persist, true);
	callout_init(tp.tt_keep, true);
	callout_init(tp.tt_2msl, true);
	callout_init(tp.tt_delack, true);
}

function timer_of(tp: tcpcb, timer_type: number): callout {
	switch (timer_type) {
		case TT_DELACK:
			return tp.tt_delack;
		case TT_REXMT:
			return tp.tt_rexmt;
		case TT_PERSIST:
			return tp.tt_persist;
		case TT_KEEP:
			return tp.tt_keep;
		case TT_2MSL:
			return tp.tt_2msl;
		default:
			return panic(`tp bad timer_type ${timer_type}`);
	}
}

/** What a timer does when its time has come. */
function handler_of(timer_type: number): (tp: tcpcb) => Blocking<void> {
	switch (timer_type) {
		case TT_DELACK:
			return tcp_timer_delack;
		case TT_REXMT:
			return tcp_timer_rexmt;
		case TT_PERSIST:
			return tcp_timer_persist;
		case TT_KEEP:
			return tcp_timer_keep;
		default:
			return tcp_timer_2msl;
	}
}

/**
 * Arms a timer `delta` ticks from now, or stops it when `delta` is 0. The pcb is locked. A timer that is not armed costs
 * nothing to stop: the usual case for the delayed ACK.
 */
export function* tcp_timer_activate(tp: tcpcb, timer_type: number, delta: number): Blocking<unknown> {
	if ((tp.tt_flags & TT_STOPPED) !== 0) return;
	const c = timer_of(tp, timer_type);
	if (delta === 0) return callout_active(c) ? yield* callout_stop(c) : undefined;
	return yield* callout_reset(c, delta, handler_of(timer_type), tp);
}

export function tcp_timer_active(tp: tcpcb, timer_type: number): boolean {
	return callout_active(timer_of(tp, timer_type));
}

function* tcp_timer_stop(tp: tcpcb, timer_type: number): Blocking<void> {
	if ((yield* callout_stop(timer_of(tp, timer_type))) !== 0) return;
	tp.tt_flags |= timer_type << TT_DRAIN_SHIFT;
	tp.tt_draincnt++;
}

/** Stops all timers for good. tt_draincnt says afterwards how many handlers still run. */
export function* tcp_timers_stop(tp: tcpcb): Blocking<void> {
	tp.tt_flags |= TT_STOPPED;
	tp.tt_draincnt = 0;
	yield* tcp_timer_stop(tp, TT_REXMT);
	yield* tcp_timer_stop(tp, TT_PERSIST);
	yield* tcp_timer_stop(tp, TT_KEEP);
	yield* tcp_timer_stop(tp, TT_2MSL);
	yield* tcp_timer_stop(tp, TT_DELACK);
}

/** A handler has ended: the last one gives up the control block's reference on the pcb. @see tcp_timer_discard */
function* tcp_timer_done(tp: tcpcb, timer_type: number): Blocking<void> {
	const bit = timer_type << TT_DRAIN_SHIFT;
	if ((tp.tt_flags & bit) === 0) return;
	tp.tt_flags &= ~bit;
	yield* INP_WLOCK(tp.t_inpcb);
	if (--tp.tt_draincnt > 0 || !(yield* in_pcbrele_wlocked(tp.t_inpcb))) yield* INP_WUNLOCK(tp.t_inpcb);
}

/** Takes the pcb's lock for a handler. @returns false, with the lock dropped, if there is nothing to do any more */
function* tcp_timer_enter(tp: tcpcb, timer_type: number): Blocking<boolean> {
	const inp = tp.t_inpcb;
	const c = timer_of(tp, timer_type);
	yield* INP_WLOCK(inp);
	if (callout_pending(c) || !callout_active(c)) {
		yield* INP_WUNLOCK(inp);
		return false;
	}
	callout_deactivate(c);
	if ((inp.inp_flags & INP_DROPPED) !== 0) {
		yield* INP_WUNLOCK(inp);
		return false;
	}
	KASSERT((tp.tt_flags & TT_STOPPED) === 0, "tcp_timer: tcpcb can't be stopped here");
	return true;
}

/** Sends the acknowledgement that was put off. */
export function* tcp_timer_delack(tp: tcpcb): Blocking<void> {
	const saved = CURVNET_SET(tp.t_vnet);
	if (yield* tcp_timer_enter(tp, TT_DELACK)) {
		tp.t_flags |= TF_ACKNOW;
		V_tcpstat().tcps_delack++;
		NET_EPOCH_ENTER();
		yield* tcp_output(tp);
		yield* INP_WUNLOCK(tp.t_inpcb);
		NET_EPOCH_EXIT();
	}
	yield* tcp_timer_done(tp, TT_DELACK);
	CURVNET_RESTORE(saved);
}

/** Drops the connection; the pcb ends up unlocked. */
function* timer_drop(tp: tcpcb, error: number): Blocking<void> {
	NET_EPOCH_ENTER();
	const left = yield* tcp_drop(tp, error);
	NET_EPOCH_EXIT();
	if (left !== null) yield* INP_WUNLOCK(tp.t_inpcb);
}

/** TIME_WAIT is over, or a half-closed connection has been silent for too long. */
export function* tcp_timer_2msl(tp: tcpcb): Blocking<void> {
	const saved = CURVNET_SET(tp.t_vnet);
	if (yield* tcp_timer_enter(tp, TT_2MSL)) {
		tcp_free_sackholes(tp);
		if (tp.t_state !== TCPS_TIME_WAIT && ticks() - tp.t_rcvtime <= TP_MAXIDLE(tp)) {
			yield* tcp_timer_activate(tp, TT_2MSL, tcp_sysctl().keepintvl);
			yield* INP_WUNLOCK(tp.t_inpcb);
		} else {
			const so = tp.t_inpcb.inp_socket as socket;
			if (tp.t_state === TCPS_FIN_WAIT_2 && (so.so_rcv.sb_state & SBS_CANTRCVMORE) !== 0) {
				V_tcpstat().tcps_finwait2_drops++;
			}
			NET_EPOCH_ENTER();
			const left = yield* tcp_close(tp);
			NET_EPOCH_EXIT();
			if (left !== null) yield* INP_WUNLOCK(tp.t_inpcb);
		}
	}
	yield* tcp_timer_done(tp, TT_2MSL);
	CURVNET_RESTORE(saved);
}

/** Gives up on a connection that does not come about; probes an idle one if the socket wants it. */
export function* tcp_timer_keep(tp: tcpcb): Blocking<void> {
	const saved = CURVNET_SET(tp.t_vnet);
	if (yield* tcp_timer_enter(tp, TT_KEEP)) yield* tcp_keep(tp);
	yield* tcp_timer_done(tp, TT_KEEP);
	CURVNET_RESTORE(saved);
}

function* tcp_keep(tp: tcpcb): Blocking<void> {
	const inp = tp.t_inpcb;
	const settings = tcp_sysctl();
	const idle = ticks() - tp.t_rcvtime;
	if (TCPS_HAVEESTABLISHED(tp.t_state) && idle < settings.keepidle) {
		yield* tcp_timer_activate(tp, TT_KEEP, settings.keepidle - idle);
		yield* INP_WUNLOCK(inp);
		return;
	}
	V_tcpstat().tcps_keeptimeo++;
	const probing =
		tp.t_state >= TCPS_ESTABLISHED &&
		tp.t_state <= TCPS_CLOSING &&
		(settings.always_keepalive || ((inp.inp_socket as socket).so_options & SO_KEEPALIVE) !== 0);
	if (tp.t_state < TCPS_ESTABLISHED || (probing && idle >= settings.keepidle + TP_MAXIDLE(tp))) {
		V_tcpstat().tcps_keepdrops++;
		yield* timer_drop(tp, ETIMEDOUT);
		return;
	}
	if (probing) {
		V_tcpstat().tcps_keepprobe++;
		NET_EPOCH_ENTER();
		yield* tcp_respond(tp, null, 0, tp.rcv_nxt, (tp.snd_una - 1) | 0, 0);
		NET_EPOCH_EXIT();
	}
	yield* tcp_timer_activate(tp, TT_KEEP, probing ? settings.keepintvl : settings.keepidle);
	yield* INP_WUNLOCK(inp);
}

/** The peer's window has been closed for a while: send one byte into it. */
export function* tcp_timer_persist(tp: tcpcb): Blocking<void> {
	const saved = CURVNET_SET(tp.t_vnet);
	if (yield* tcp_timer_enter(tp, TT_PERSIST)) {
		const settings = tcp_sysctl();
		const idle = ticks() - tp.t_rcvtime;
		V_tcpstat().tcps_persisttimeo++;
		const silent =
			tp.t_rxtshift === TCP_MAXRXTSHIFT &&
			(idle >= settings.maxpersistidle || idle >= TCP_REXMTVAL(tp) * tcp_totbackoff);
		if (silent || (tp.t_state > TCPS_CLOSE_WAIT && idle >= settings.persmax)) {
			V_tcpstat().tcps_persistdrop++;
			yield* timer_drop(tp, ETIMEDOUT);
		} else {
			yield* tcp_setpersist(tp);
			tp.t_flags |= TF_FORCEDATA;
			NET_EPOCH_ENTER();
			yield* tcp_output(tp);
			NET_EPOCH_EXIT();
			tp.t_flags &= ~TF_FORCEDATA;
			yield* INP_WUNLOCK(tp.t_inpcb);
		}
	}
	yield* tcp_timer_done(tp, TT_PERSIST);
	CURVNET_RESTORE(saved);
}

/** No acknowledgement in time: back off, shrink the window to one segment and send the oldest one again. */
export function* tcp_timer_rexmt(tp: tcpcb): Blocking<void> {
	const saved = CURVNET_SET(tp.t_vnet);
	if (yield* tcp_timer_enter(tp, TT_REXMT)) {
		tcp_free_sackholes(tp);
		if (++tp.t_rxtshift > TCP_MAXRXTSHIFT) {
			tp.t_rxtshift = TCP_MAXRXTSHIFT;
			V_tcpstat().tcps_timeoutdrop++;
			yield* timer_drop(tp, ETIMEDOUT);
		} else {
			tcp_rexmt_prepare(tp);
			NET_EPOCH_ENTER();
			yield* tcp_output(tp);
			NET_EPOCH_EXIT();
			yield* INP_WUNLOCK(tp.t_inpcb);
		}
	}
	yield* tcp_timer_done(tp, TT_REXMT);
	CURVNET_RESTORE(saved);
}

function tcp_rexmt_prepare(tp: tcpcb): void {
	const settings = tcp_sysctl();
	if (tp.t_state === TCPS_SYN_SENT || tp.t_state === TCPS_SYN_RECEIVED) tp.snd_cwnd = 1;
	else if (tp.t_rxtshift === 1) {
		// remember where we were, should this turn out to be a retransmission for nothing
		tp.snd_cwnd_prev = tp.snd_cwnd;
		tp.snd_ssthresh_prev = tp.snd_ssthresh;
		tp.snd_recover_prev = tp.snd_recover;
		if (IN_FASTRECOVERY(tp)) tp.t_flags |= TF_WASFRECOVERY;
		else tp.t_flags &= ~TF_WASFRECOVERY;
		if (IN_CONGRECOVERY(tp)) tp.t_flags |= TF_WASCRECOVERY;
		else tp.t_flags &= ~TF_WASCRECOVERY;
		if ((tp.t_flags & TF_RCVD_TSTMP) === 0) tp.t_badrxtwin = ticks() + (tp.t_srtt >> (TCP_RTT_SHIFT + 1));
		tp.t_flags |= TF_PREVVALID;
	} else tp.t_flags &= ~TF_PREVVALID;
	V_tcpstat().tcps_rexmttimeo++;
	const embryonic = tp.t_state === TCPS_SYN_SENT || tp.t_state === TCPS_SYN_RECEIVED;
	const rexmt = (embryonic ? settings.rexmit_initial : TCP_REXMTVAL(tp)) * tcp_backoff[tp.t_rxtshift];
	tp.t_rxtcur = TCPT_RANGE(rexmt, tp.t_rttmin, settings.rexmit_max);
	if (tp.t_state === TCPS_SYN_SENT && tp.t_rxtshift === 3) {
		tp.t_flags &= ~(TF_REQ_SCALE | TF_REQ_TSTMP | TF_SACK_PERMIT);
	}
	tp.snd_nxt = tp.snd_una;
	tp.snd_recover = tp.snd_max;
	tp.t_flags |= TF_ACKNOW;
	tp.t_rtttime = 0;
	cc_cong_signal(tp, 0, CC_RTO);
}
