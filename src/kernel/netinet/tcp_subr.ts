/**
 * Control blocks: making, dropping, closing and freeing them, and errors reported by the network.
 *
 * @see tcp_subr.c
 */
import { EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, type Errno, ETIMEDOUT } from "../errno.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../lock/epoch.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { arc4random, KASSERT, SI_ORDER_ANY, SI_SUB_PROTO_DOMAIN, ticks, VNET_SYSUNINIT } from "../sched/kernel.ts";
import { wakeup } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SQ_INCOMP, SS_PROTOREF, type socket } from "../socket/socket.ts";
import { sorwakeup, sowwakeup } from "../socket/uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK, sofree, soisdisconnected } from "../socket/uipc_socket.ts";
import { CC_DEFAULT } from "./cc/cc.ts";
import {
	INP_DROPPED,
	INP_SOCKREF,
	INP_WLOCK_ASSERT,
	INP_WUNLOCK,
	in_pcbdrop,
	in_pcbinfo_destroy,
	in_pcbref,
	in_pcbrele_wlocked,
	type inpcb,
} from "./in_pcb.ts";
import { TCP_MAX_WINSHIFT, TCP_MAXWIN, TCPS_CLOSED, TCPS_ESTABLISHED, TCPS_HAVERCVDSYN, TCPS_SYN_SENT } from "./tcp.ts";
import { tcp_mss_update } from "./tcp_mss.ts";
import { tcp_output } from "./tcp_output.ts";
import { tcp_reass_flush } from "./tcp_reass.ts";
import { tcp_free_sackholes } from "./tcp_sack.ts";
import { tcp_timer_init, tcp_timers_stop } from "./tcp_timer.ts";
import {
	intotcpcb,
	TCP_RTTVAR_SHIFT,
	TF_REQ_SCALE,
	TF_REQ_TSTMP,
	TF_SACK_PERMIT,
	tcp_sysctl,
	tcpcb,
	tcpcbs,
	V_tcbinfo,
	V_tcpstat,
} from "./tcp_var.ts";

export const tcp_state_change_probe = SDT_PROBE_DEFINE<[tp: tcpcb, from: number, to: number]>(
	"tcp:::state-change",
	"tp: tcpcb, from: number, to: number",
);

export function tcp_state_change(tp: tcpcb, newstate: number): void {
	const old = tp.t_state;
	tp.t_state = newstate;
	if (tcp_state_change_probe.on !== null) tcp_state_change_probe.on(tp, old, newstate);
}

/** An initial sequence number. FreeBSD hashes the four-tuple with a secret and adds a clock; here it is only random. */
export function tcp_new_isn(): number {
	return arc4random() | 0;
}

/** Makes the control block of a pcb, which is locked. The block holds a reference on the pcb. */
export function tcp_newtcpcb(inp: inpcb): tcpcb {
	const settings = tcp_sysctl();
	charge(cost.tcp_newtcpcb);
	tcpcbs().count++;
	in_pcbref(inp);
	const tp = new tcpcb(inp, inp.inp_vnet, CC_DEFAULT());
	tp.cc_algo.cb_init(tp);
	tp.t_maxseg = settings.mssdflt;
	tcp_timer_init(tp);
	if (settings.do_rfc1323) tp.t_flags |= TF_REQ_SCALE | TF_REQ_TSTMP;
	if (settings.do_sack) tp.t_flags |= TF_SACK_PERMIT;
	tp.t_rttvar = Math.floor((settings.rexmit_initial << TCP_RTTVAR_SHIFT) / 4);
	tp.t_rttmin = settings.rexmit_min;
	tp.t_rxtcur = settings.rexmit_initial;
	tp.snd_cwnd = TCP_MAXWIN << TCP_MAX_WINSHIFT;
	tp.snd_ssthresh = TCP_MAXWIN << TCP_MAX_WINSHIFT;
	tp.t_rcvtime = ticks();
	inp.inp_ip_ttl = 64;
	inp.inp_ppcb = tp;
	return tp;
}

/** Gives up a connection: resets the peer if it knows us, and tells the socket. @returns null if the pcb is gone */
export function* tcp_drop(tp: tcpcb, errno: Errno): Blocking<tcpcb | null> {
	const so = tp.t_inpcb.inp_socket as socket;
	if (TCPS_HAVERCVDSYN(tp.t_state)) {
		tcp_state_change(tp, TCPS_CLOSED);
		yield* tcp_output(tp);
		V_tcpstat().tcps_drops++;
	} else V_tcpstat().tcps_conndrops++;
	so.so_error = errno === ETIMEDOUT && tp.t_softerror !== 0 ? tp.t_softerror : errno;
	return yield* tcp_close(tp);
}

/** Frees the control block's contents; its reference on the pcb goes now, or with the last timer handler that runs. */
export function* tcp_discardcb(tp: tcpcb): Blocking<void> {
	const inp = tp.t_inpcb;
	INP_WLOCK_ASSERT(inp);
	charge(cost.tcp_newtcpcb);
	yield* tcp_timers_stop(tp);
	tcp_reass_flush(tp);
	tcp_free_sackholes(tp);
	tp.ccv.cc_data = null;
	inp.inp_ppcb = null;
	tcpcbs().count--;
	if (tp.tt_draincnt === 0) {
		const released = yield* in_pcbrele_wlocked(inp);
		KASSERT(!released, "tcp_discardcb: inp should not have been released here");
	}
}

/**
 * Closes a connection for good: nobody finds the pcb any more and the socket is disconnected. A connection that no socket
 * user knows goes with its socket.
 *
 * @returns `tp`, with the pcb still locked, or null if it is gone
 */
export function* tcp_close(tp: tcpcb): Blocking<tcpcb | null> {
	const inp = tp.t_inpcb;
	INP_WLOCK_ASSERT(inp);
	yield* in_pcbdrop(inp);
	V_tcpstat().tcps_closed++;
	if (tp.t_state !== TCPS_CLOSED) tcp_state_change(tp, TCPS_CLOSED);
	const so = inp.inp_socket as socket;
	KASSERT(so !== null, "tcp_close: inp_socket NULL");
	yield* soisdisconnected(so);
	if ((inp.inp_flags & INP_SOCKREF) !== 0) {
		KASSERT((so.so_state & SS_PROTOREF) !== 0, "tcp_close: !SS_PROTOREF");
		inp.inp_flags &= ~INP_SOCKREF;
		yield* INP_WUNLOCK(inp);
		yield* SOCK_LOCK(so);
		so.so_state &= ~SS_PROTOREF;
		yield* sofree(so);
		return null;
	}
	yield* SOCK_LOCK(so);
	if (so.so_qstate === SQ_INCOMP) {
		// an embryonic connection: only the listening socket's queue knows it
		yield* INP_WUNLOCK(inp);
		yield* sofree(so);
		return null;
	}
	yield* SOCK_UNLOCK(so);
	return tp;
}

/** The network cannot reach the peer: remembered, and fatal only if the connection does not come about. */
export function* tcp_notify(inp: inpcb, error: Errno): Blocking<inpcb | null> {
	if ((inp.inp_flags & INP_DROPPED) !== 0) return inp;
	const tp = intotcpcb(inp);
	if (tp.t_state === TCPS_ESTABLISHED && (error === EHOSTUNREACH || error === ENETUNREACH || error === EHOSTDOWN)) {
		return inp;
	}
	if (tp.t_state < TCPS_ESTABLISHED && tp.t_rxtshift > 3 && tp.t_softerror !== 0) {
		return (yield* tcp_drop(tp, error)) === null ? null : inp;
	}
	tp.t_softerror = error;
	const so = inp.inp_socket as socket;
	yield* wakeup(so.so_timeo);
	yield* sorwakeup(so);
	yield* sowwakeup(so);
	return inp;
}

/** A port is unreachable: a connection that does not stand yet is refused. @see tcp_drop_syn_sent */
export function* tcp_drop_syn_sent(inp: inpcb, errno: Errno): Blocking<inpcb | null> {
	if ((inp.inp_flags & INP_DROPPED) !== 0) return inp;
	const tp = intotcpcb(inp);
	if (tp.t_state !== TCPS_SYN_SENT) return inp;
	return (yield* tcp_drop(tp, errno)) === null ? null : inp;
}

/** A router wants smaller packets: smaller segments from now on, and the lost ones again. */
export function* tcp_mtudisc(inp: inpcb, mtuoffer: number): Blocking<inpcb> {
	if ((inp.inp_flags & INP_DROPPED) !== 0) return inp;
	const tp = intotcpcb(inp);
	tcp_mss_update(tp, -1, mtuoffer);
	const so = inp.inp_socket as socket;
	if (so.so_snd.sb_hiwat < tp.t_maxseg) tp.t_maxseg = so.so_snd.sb_hiwat;
	tp.t_rtttime = 0;
	tp.snd_nxt = tp.snd_una;
	tcp_free_sackholes(tp);
	tp.snd_recover = tp.snd_max;
	yield* tcp_output(tp);
	return inp;
}

/** A vnet goes. No socket is left in it, since sockets hold their jail; freed pcbs go back to their zone after the epoch. */
VNET_SYSUNINIT("tcp", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	yield* NET_EPOCH_DRAIN_CALLBACKS();
	in_pcbinfo_destroy(V_tcbinfo());
});
