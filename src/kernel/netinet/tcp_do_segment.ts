/**
 * tcp_do_segment: what a segment does to a connection. Header prediction first, for the two cases that make up a bulk
 * transfer; then RFC 793's event processing, in upstream's order.
 *
 * Entered with the pcb write-locked, inside the epoch; the lock is dropped and `m` consumed on all paths.
 *
 * @see tcp_input.c tcp_do_segment
 */
import { ECONNREFUSED, ECONNRESET } from "../errno.ts";
import { m_adj, m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { KASSERT, ticks } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SB_AUTOSIZE, SBS_CANTRCVMORE, SS_ISCONNECTED, SS_NOFDREF, type socket } from "../socket/socket.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_UNLOCK,
	sbappendstream_locked,
	sbavail,
	sbcut_locked,
	sbdrop,
	sbreserve_locked,
	sbspace,
	socantrcvmore,
	sorwakeup_locked,
	sowwakeup_locked,
} from "../socket/uipc_sockbuf.ts";
import { soisconnected, soisdisconnected } from "../socket/uipc_socket.ts";
import { CC_ACK, CC_DUPACK, CC_NDUPACK, CC_RTO_ERR } from "./cc/cc.ts";
import { INP_WUNLOCK } from "./in_pcb.ts";
import {
	SEQ_GEQ,
	SEQ_GT,
	SEQ_LEQ,
	SEQ_LT,
	TCP_MAXWIN,
	TCPS_CLOSE_WAIT,
	TCPS_CLOSING,
	TCPS_ESTABLISHED,
	TCPS_FIN_WAIT_1,
	TCPS_FIN_WAIT_2,
	TCPS_HAVEESTABLISHED,
	TCPS_HAVERCVDFIN,
	TCPS_LAST_ACK,
	TCPS_LISTEN,
	TCPS_SYN_RECEIVED,
	TCPS_SYN_SENT,
	TCPS_TIME_WAIT,
	TH_ACK,
	TH_FIN,
	TH_PUSH,
	TH_RST,
	TH_SYN,
	TH_URG,
	TSTMP_GEQ,
	TSTMP_GT,
	TSTMP_LT,
} from "./tcp.ts";
import { cc_ack_received, cc_cong_signal, cc_conn_init, cc_post_recovery } from "./tcp_cc.ts";
import { tcp_mss } from "./tcp_mss.ts";
import { tcp_output } from "./tcp_output.ts";
import { reass_result, tcp_reass } from "./tcp_reass.ts";
import { tcp_dropwithreset, tcp_respond } from "./tcp_respond.ts";
import { tcp_clean_sackreport, tcp_sack_doack, tcp_update_dsack_list, tcp_update_sack_list } from "./tcp_sack.ts";
import { tcp_close, tcp_drop, tcp_state_change } from "./tcp_subr.ts";
import {
	TCP_RTT_INVALIDATE,
	TP_MAXIDLE,
	TT_2MSL,
	TT_DELACK,
	TT_KEEP,
	TT_PERSIST,
	TT_REXMT,
	tcp_timer_activate,
	tcp_timer_active,
} from "./tcp_timer.ts";
import { tcp_twstart } from "./tcp_timewait.ts";
import {
	EXIT_RECOVERY,
	IN_FASTRECOVERY,
	IN_RECOVERY,
	TCP_DELTA_SHIFT,
	TCP_REXMTVAL,
	TCP_RTT_SHIFT,
	TCP_RTTVAR_SHIFT,
	TCP_TS_TO_TICKS,
	TCPT_RANGE,
	TF_ACKNOW,
	TF_DELACK,
	TF_NEEDFIN,
	TF_NEEDSYN,
	TF_PREVVALID,
	TF_RCVD_SCALE,
	TF_RCVD_TSTMP,
	TF_REQ_SCALE,
	TF_REQ_TSTMP,
	TF_RXWIN0SENT,
	TF_SACK_PERMIT,
	TF_WAKESOR,
	TF_WAKESOW,
	TOF_MSS,
	TOF_SACK,
	TOF_SACKPERM,
	TOF_SCALE,
	TOF_TS,
	tcp_sysctl,
	tcp_ts_getticks,
	type tcpcb,
	type tcphdr,
	type tcpopt,
	tcprexmtthresh,
	V_tcpstat,
} from "./tcp_var.ts";
import { BYTES_THIS_ACK, tcp_maxseg } from "./tcp_wnd.ts";

/** 24 days in milliseconds: a timestamp older than this says nothing */
const TCP_PAWS_IDLE = 24 * 24 * 60 * 60 * 1000;

/**
 * May this segment's ACK wait? Not if one waits already, so that every second segment is acknowledged; not after a
 * zero window; not for a segment larger than the MSS.
 */
function DELAY_ACK(tp: tcpcb, tlen: number): boolean {
	return (
		!tcp_timer_active(tp, TT_DELACK) &&
		(tp.t_flags & TF_RXWIN0SENT) === 0 &&
		tlen <= tp.t_maxseg &&
		(tcp_sysctl().delayed_ack || (tp.t_flags & TF_NEEDSYN) !== 0)
	);
}

/**
 * Automatic sizing of the receive buffer: half as much again, when more than 3/8 of it came in within half a round trip.
 *
 * @returns the new size, or 0
 */
function tcp_autorcvbuf(so: socket, tp: tcpcb, tlen: number): number {
	const settings = tcp_sysctl();
	const hiwat = so.so_rcv.sb_hiwat;
	let newsize = 0;
	if (
		settings.recvbuf_auto &&
		(so.so_rcv.sb_flags & SB_AUTOSIZE) !== 0 &&
		tp.t_srtt !== 0 &&
		tp.rfbuf_ts !== 0 &&
		TCP_TS_TO_TICKS((tcp_ts_getticks() - tp.rfbuf_ts) | 0) > Math.floor((tp.t_srtt >> TCP_RTT_SHIFT) / 2)
	) {
		if (tp.rfbuf_cnt > Math.floor(Math.floor(hiwat / 2) / 4) * 3 && hiwat < settings.recvbuf_max) {
			newsize = Math.min(hiwat + Math.floor(hiwat / 2), settings.recvbuf_max);
		}
		tp.rfbuf_ts = 0;
		tp.rfbuf_cnt = 0;
	} else tp.rfbuf_cnt += tlen;
	return newsize;
}

/** Takes one round trip, in ticks, into the estimators; ends the back-off. */
export function tcp_xmit_timer(tp: tcpcb, rtt: number): void {
	V_tcpstat().tcps_rttupdated++;
	tp.t_rttupdated++;
	if (tp.t_srtt !== 0 && tp.t_rxtshift <= TCP_RTT_INVALIDATE) {
		let delta = ((rtt - 1) << TCP_DELTA_SHIFT) - (tp.t_srtt >> (TCP_RTT_SHIFT - TCP_DELTA_SHIFT));
		if ((tp.t_srtt += delta) <= 0) tp.t_srtt = 1;
		if (delta < 0) delta = -delta;
		delta -= tp.t_rttvar >> (TCP_RTTVAR_SHIFT - TCP_DELTA_SHIFT);
		if ((tp.t_rttvar += delta) <= 0) tp.t_rttvar = 1;
		if (tp.t_rttbest > tp.t_srtt + tp.t_rttvar) tp.t_rttbest = tp.t_srtt + tp.t_rttvar;
	} else {
		tp.t_srtt = rtt << TCP_RTT_SHIFT;
		tp.t_rttvar = rtt << (TCP_RTTVAR_SHIFT - 1);
		tp.t_rttbest = tp.t_srtt + tp.t_rttvar;
	}
	tp.t_rtttime = 0;
	tp.t_rxtshift = 0;
	tp.t_rxtcur = TCPT_RANGE(TCP_REXMTVAL(tp), Math.max(tp.t_rttmin, rtt + 2), tcp_sysctl().rexmit_max);
	tp.t_softerror = 0;
}

/** Measures a round trip by the echoed timestamp, or by the segment that was being timed. */
function measure_rtt(tp: tcpcb, th: tcphdr, to: tcpopt): void {
	if ((to.to_flags & TOF_TS) !== 0 && to.to_tsecr !== 0) {
		const t = (tcp_ts_getticks() - to.to_tsecr) | 0;
		if (tp.t_rttlow === 0 || tp.t_rttlow > t) tp.t_rttlow = t;
		tcp_xmit_timer(tp, TCP_TS_TO_TICKS(t) + 1);
	} else if (tp.t_rtttime !== 0 && SEQ_GT(th.th_ack, tp.t_rtseq)) {
		const t = ticks() - tp.t_rtttime;
		if (tp.t_rttlow === 0 || tp.t_rttlow > t) tp.t_rttlow = t;
		tcp_xmit_timer(tp, t);
	}
}

/** Proportional rate reduction (RFC 6937): how much may be sent in answer to an ACK during recovery. */
function prr_window(tp: tcpcb, maxseg: number): void {
	const hint = tp.sackhint;
	const del_data = hint.delivered_data;
	const pipe = ((tp.snd_nxt - tp.snd_fack) | 0) + hint.sack_bytes_rexmit;
	let snd_cnt: number;
	hint.prr_delivered += del_data;
	if (pipe >= tp.snd_ssthresh) {
		if (hint.recover_fs === 0) hint.recover_fs = Math.max(1, (tp.snd_nxt - tp.snd_una) | 0);
		snd_cnt = Math.floor((hint.prr_delivered * tp.snd_ssthresh + hint.recover_fs - 1) / hint.recover_fs) - hint.prr_out;
	} else {
		const limit = Math.max(hint.prr_delivered - hint.prr_out, del_data) + maxseg;
		snd_cnt = Math.min(tp.snd_ssthresh - pipe, limit);
	}
	snd_cnt = Math.floor(Math.max(snd_cnt, 0) / maxseg);
	tp.snd_cwnd = Math.max(maxseg, ((tp.snd_nxt - tp.snd_recover) | 0) + hint.sack_bytes_rexmit + snd_cnt * maxseg);
}

/** An ACK during SACK recovery that does not end it. */
function* tcp_sack_partialack(tp: tcpcb, th: tcphdr): Blocking<void> {
	const maxseg = tcp_maxseg(tp);
	yield* tcp_timer_activate(tp, TT_REXMT, 0);
	tp.t_rtttime = 0;
	if (tcp_sysctl().do_prr) prr_window(tp, maxseg);
	else {
		const num_segs = Math.floor(BYTES_THIS_ACK(tp, th.th_ack) / maxseg) >= 2 ? 2 : 1;
		tp.snd_cwnd = tp.sackhint.sack_bytes_rexmit + ((tp.snd_nxt - tp.snd_recover) | 0) + num_segs * maxseg;
		if (tp.snd_cwnd > tp.snd_ssthresh) tp.snd_cwnd = tp.snd_ssthresh;
	}
	tp.t_flags |= TF_ACKNOW;
	yield* tcp_output(tp);
}

/** An ACK during recovery without SACK: the next hole is right behind it. */
function* tcp_newreno_partial_ack(tp: tcpcb, th: tcphdr): Blocking<void> {
	const onxt = tp.snd_nxt;
	const ocwnd = tp.snd_cwnd;
	const maxseg = tcp_maxseg(tp);
	const acked = BYTES_THIS_ACK(tp, th.th_ack);
	yield* tcp_timer_activate(tp, TT_REXMT, 0);
	tp.t_rtttime = 0;
	tp.snd_nxt = th.th_ack;
	tp.snd_cwnd = maxseg + acked;
	tp.t_flags |= TF_ACKNOW;
	yield* tcp_output(tp);
	tp.snd_cwnd = ocwnd;
	if (SEQ_GT(onxt, tp.snd_nxt)) tp.snd_nxt = onxt;
	tp.snd_cwnd = Math.max(tp.snd_cwnd - acked, 0) + maxseg;
}

/**
 * A duplicate ACK: the third starts fast retransmit, later ones let new data out, the first two as well (RFC 3042).
 *
 * @returns true if the segment needs nothing more
 */
function* tcp_dupack(tp: tcpcb, so: socket, th: tcphdr, sack_changed: boolean): Blocking<boolean> {
	const settings = tcp_sysctl();
	const sack = (tp.t_flags & TF_SACK_PERMIT) !== 0;
	const maxseg = tcp_maxseg(tp);
	V_tcpstat().tcps_rcvdupack++;
	if (th.th_ack !== tp.snd_una || (sack && !sack_changed)) return false;
	if (!tcp_timer_active(tp, TT_REXMT)) {
		tp.t_dupacks = 0;
		return false;
	}
	if (++tp.t_dupacks > tcprexmtthresh || IN_FASTRECOVERY(tp)) {
		cc_ack_received(tp, th.th_ack, 1, CC_DUPACK);
		if (settings.do_prr && IN_FASTRECOVERY(tp) && sack) prr_window(tp, maxseg);
		else if (sack && IN_FASTRECOVERY(tp)) {
			const awnd = ((tp.snd_nxt - tp.snd_fack) | 0) + tp.sackhint.sack_bytes_rexmit;
			if (awnd < tp.snd_ssthresh) tp.snd_cwnd = Math.min(tp.snd_cwnd + maxseg, tp.snd_ssthresh);
		} else tp.snd_cwnd += maxseg;
		yield* tcp_output(tp);
		return true;
	}
	if (tp.t_dupacks === tcprexmtthresh) {
		const onxt = tp.snd_nxt;
		if (settings.do_prr || sack ? IN_FASTRECOVERY(tp) : SEQ_LEQ(th.th_ack, tp.snd_recover)) {
			tp.t_dupacks = 0;
			return false;
		}
		cc_cong_signal(tp, th.th_ack, CC_NDUPACK);
		cc_ack_received(tp, th.th_ack, 1, CC_DUPACK);
		yield* tcp_timer_activate(tp, TT_REXMT, 0);
		tp.t_rtttime = 0;
		if (settings.do_prr) {
			tp.sackhint.prr_delivered = tp.sackhint.sacked_bytes;
			tp.sackhint.recover_fs = Math.max(1, (tp.snd_nxt - tp.snd_una) | 0);
		}
		if (sack) {
			V_tcpstat().tcps_sack_recovery_episode++;
			tp.snd_recover = tp.snd_nxt;
			tp.snd_cwnd = maxseg;
			yield* tcp_output(tp);
			return true;
		}
		tp.snd_nxt = th.th_ack;
		tp.snd_cwnd = maxseg;
		yield* tcp_output(tp);
		KASSERT(tp.snd_limited <= 2, "tcp_do_segment: tp->snd_limited too big");
		tp.snd_cwnd = tp.snd_ssthresh + maxseg * (tp.t_dupacks - tp.snd_limited);
		if (SEQ_GT(onxt, tp.snd_nxt)) tp.snd_nxt = onxt;
		return true;
	}
	if (!settings.do_rfc3042) return false;
	cc_ack_received(tp, th.th_ack, 1, CC_DUPACK);
	const oldcwnd = tp.snd_cwnd;
	const oldsndmax = tp.snd_max;
	if (tp.t_dupacks === 1) tp.snd_limited = 0;
	const flight = (tp.snd_nxt - tp.snd_una) | 0;
	tp.snd_cwnd = flight + (tp.t_dupacks - tp.snd_limited) * maxseg;
	yield* SOCKBUF_LOCK(so.so_snd);
	const avail = sbavail(so.so_snd) - flight;
	yield* SOCKBUF_UNLOCK(so.so_snd);
	if (avail > 0) yield* tcp_output(tp);
	const sent = (tp.snd_max - oldsndmax) | 0;
	if (sent > maxseg) tp.snd_limited = 2;
	else if (sent > 0) tp.snd_limited++;
	tp.snd_cwnd = oldcwnd;
	return true;
}

/** Header prediction, sender's side: an ACK of outstanding data, and nothing else. */
function* predicted_ack(tp: tcpcb, so: socket, th: tcphdr, to: tcpopt, m: mbuf): Blocking<void> {
	const stat = V_tcpstat();
	stat.tcps_predack++;
	if (
		(to.to_flags & TOF_TS) === 0 &&
		tp.t_rxtshift === 1 &&
		(tp.t_flags & TF_PREVVALID) !== 0 &&
		ticks() < tp.t_badrxtwin
	) {
		cc_cong_signal(tp, th.th_ack, CC_RTO_ERR);
	}
	measure_rtt(tp, th, to);
	const acked = BYTES_THIS_ACK(tp, th.th_ack);
	stat.tcps_rcvackpack++;
	stat.tcps_rcvackbyte += acked;
	yield* sbdrop(so.so_snd, acked);
	if (SEQ_GT(tp.snd_una, tp.snd_recover) && SEQ_LEQ(th.th_ack, tp.snd_recover)) tp.snd_recover = (th.th_ack - 1) | 0;
	cc_ack_received(tp, th.th_ack, 1, CC_ACK);
	tp.snd_una = th.th_ack;
	tp.snd_wl2 = th.th_ack;
	tp.t_dupacks = 0;
	m_freem(m);
	if (tp.snd_una === tp.snd_max) yield* tcp_timer_activate(tp, TT_REXMT, 0);
	else if (!tcp_timer_active(tp, TT_PERSIST)) yield* tcp_timer_activate(tp, TT_REXMT, tp.t_rxtcur);
	tp.t_flags |= TF_WAKESOW;
	if (sbavail(so.so_snd) > 0) yield* tcp_output(tp);
}

/** Header prediction, receiver's side: the next data, with room for them, and nothing else. */
function* predicted_data(
	tp: tcpcb,
	so: socket,
	th: tcphdr,
	m: mbuf,
	drop_hdrlen: number,
	tlen: number,
): Blocking<void> {
	const stat = V_tcpstat();
	if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && tp.rcv_numsacks > 0) tcp_clean_sackreport(tp);
	stat.tcps_preddat++;
	tp.rcv_nxt = (tp.rcv_nxt + tlen) | 0;
	tp.snd_wl1 = th.th_seq;
	tp.rcv_up = tp.rcv_nxt;
	stat.tcps_rcvpack++;
	stat.tcps_rcvbyte += tlen;
	const newsize = tcp_autorcvbuf(so, tp, tlen);
	yield* SOCKBUF_LOCK(so.so_rcv);
	if ((so.so_rcv.sb_state & SBS_CANTRCVMORE) !== 0) m_freem(m);
	else {
		if (newsize !== 0 && !sbreserve_locked(so.so_rcv, newsize)) so.so_rcv.sb_flags &= ~SB_AUTOSIZE;
		m_adj(m, drop_hdrlen);
		sbappendstream_locked(so.so_rcv, m);
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	tp.t_flags |= TF_WAKESOR;
	if (DELAY_ACK(tp, tlen)) tp.t_flags |= TF_DELACK;
	else {
		tp.t_flags |= TF_ACKNOW;
		yield* tcp_output(tp);
	}
}

/**
 * Ends the processing of a segment: starts the delayed ACK's timer, wakes the reader and the writer whose buffers changed,
 * and drops the lock. @see tcp_handle_wakeup
 */
function* check_delack(tp: tcpcb, so: socket): Blocking<void> {
	if ((tp.t_flags & TF_DELACK) !== 0) {
		tp.t_flags &= ~TF_DELACK;
		yield* tcp_timer_activate(tp, TT_DELACK, tcp_sysctl().delacktime);
	}
	if ((so.so_state & SS_ISCONNECTED) !== 0) {
		if ((tp.t_flags & TF_WAKESOR) !== 0) {
			tp.t_flags &= ~TF_WAKESOR;
			yield* SOCKBUF_LOCK(so.so_rcv);
			yield* sorwakeup_locked(so);
		}
		if ((tp.t_flags & TF_WAKESOW) !== 0) {
			tp.t_flags &= ~TF_WAKESOW;
			yield* SOCKBUF_LOCK(so.so_snd);
			yield* sowwakeup_locked(so);
		}
	}
	yield* INP_WUNLOCK(tp.t_inpcb);
}

/** Ends it without output. `tp` is null when the connection is gone. */
function* drop(tp: tcpcb | null, so: socket, m: mbuf | null): Blocking<void> {
	if (tp !== null) yield* check_delack(tp, so);
	m_freem(m);
}

function* dropafterack(tp: tcpcb, so: socket, th: tcphdr, m: mbuf, off0: number, tlen: number): Blocking<void> {
	if (
		tp.t_state === TCPS_SYN_RECEIVED &&
		(th.th_flags & TH_ACK) !== 0 &&
		(SEQ_GT(tp.snd_una, th.th_ack) || SEQ_GT(th.th_ack, tp.snd_max))
	) {
		yield* dropwithreset(tp, so, th, m, off0, tlen);
		return;
	}
	tp.t_flags |= TF_ACKNOW;
	yield* tcp_output(tp);
	yield* drop(tp, so, m);
}

function* dropwithreset(tp: tcpcb | null, so: socket, th: tcphdr, m: mbuf, off0: number, tlen: number): Blocking<void> {
	yield* tcp_dropwithreset(m, th, tp, off0, tlen);
	yield* drop(tp, so, null);
}

/** The options of a SYN count from now on. */
function* syn_options(tp: tcpcb, th: tcphdr, to: tcpopt): Blocking<void> {
	if ((to.to_flags & TOF_SCALE) !== 0 && (tp.t_flags & TF_REQ_SCALE) !== 0) {
		tp.t_flags |= TF_RCVD_SCALE;
		tp.snd_scale = to.to_wscale;
	} else tp.t_flags &= ~TF_REQ_SCALE;
	tp.snd_wnd = th.th_win;
	if ((to.to_flags & TOF_TS) !== 0 && (tp.t_flags & TF_REQ_TSTMP) !== 0) {
		tp.t_flags |= TF_RCVD_TSTMP;
		tp.ts_recent = to.to_tsval;
		tp.ts_recent_age = tcp_ts_getticks();
	} else tp.t_flags &= ~TF_REQ_TSTMP;
	if ((to.to_flags & TOF_MSS) !== 0) yield* tcp_mss(tp, to.to_mss);
	if ((to.to_flags & TOF_SACKPERM) === 0) tp.t_flags &= ~TF_SACK_PERMIT;
}

const SCALED = TF_RCVD_SCALE | TF_REQ_SCALE;

/** tcp_do_segment */
export function* tcp_do_segment(
	m: mbuf,
	th: tcphdr,
	to: tcpopt,
	so: socket,
	tp: tcpcb,
	off0: number,
	drop_hdrlen: number,
	tlen: number,
): Blocking<void> {
	const stat = V_tcpstat();
	let thflags = th.th_flags;
	let needoutput = false;
	let incforsyn = false;
	charge(cost.tcp_do_segment);
	tp.sackhint.last_sack_ack = 0;
	KASSERT(tp.t_state > TCPS_LISTEN, "tcp_do_segment: TCPS_LISTEN");
	KASSERT(tp.t_state !== TCPS_TIME_WAIT, "tcp_do_segment: TCPS_TIME_WAIT");

	if (tp.t_state === TCPS_SYN_SENT && (thflags & TH_ACK) !== 0) {
		if (SEQ_LEQ(th.th_ack, tp.iss) || SEQ_GT(th.th_ack, tp.snd_max)) {
			yield* dropwithreset(tp, so, th, m, off0, tlen);
			return;
		}
	}
	tp.t_rcvtime = ticks();
	const tiwin = th.th_win << tp.snd_scale;

	if ((to.to_flags & TOF_TS) !== 0 && to.to_tsecr !== 0) {
		to.to_tsecr = (to.to_tsecr - tp.ts_offset) | 0;
		if (TSTMP_GT(to.to_tsecr, tcp_ts_getticks())) to.to_tsecr = 0;
		else if ((tp.t_flags & TF_PREVVALID) !== 0 && tp.t_badrxtwin !== 0 && SEQ_LT(to.to_tsecr, tp.t_badrxtwin)) {
			cc_cong_signal(tp, th.th_ack, CC_RTO_ERR);
		}
	}
	if (tp.t_state === TCPS_SYN_SENT && (thflags & TH_SYN) !== 0) yield* syn_options(tp, th, to);
	if ((tp.t_flags & TF_RCVD_TSTMP) !== 0 && (to.to_flags & TOF_TS) === 0 && (thflags & TH_RST) === 0) {
		yield* drop(tp, so, m);
		return;
	}

	if (
		tp.t_state === TCPS_ESTABLISHED &&
		th.th_seq === tp.rcv_nxt &&
		(thflags & (TH_SYN | TH_FIN | TH_RST | TH_URG | TH_ACK)) === TH_ACK &&
		tp.snd_nxt === tp.snd_max &&
		tiwin !== 0 &&
		tiwin === tp.snd_wnd &&
		(tp.t_flags & (TF_NEEDSYN | TF_NEEDFIN)) === 0 &&
		tp.t_segq === null &&
		((to.to_flags & TOF_TS) === 0 || TSTMP_GEQ(to.to_tsval, tp.ts_recent))
	) {
		if ((to.to_flags & TOF_TS) !== 0 && SEQ_LEQ(th.th_seq, tp.last_ack_sent)) {
			tp.ts_recent_age = tcp_ts_getticks();
			tp.ts_recent = to.to_tsval;
		}
		if (tlen === 0) {
			if (
				SEQ_GT(th.th_ack, tp.snd_una) &&
				SEQ_LEQ(th.th_ack, tp.snd_max) &&
				!IN_RECOVERY(tp) &&
				(to.to_flags & TOF_SACK) === 0 &&
				tp.snd_holes_first === null
			) {
				yield* predicted_ack(tp, so, th, to, m);
				yield* check_delack(tp, so);
				return;
			}
		} else if (th.th_ack === tp.snd_una && tlen <= sbspace(so.so_rcv)) {
			yield* predicted_data(tp, so, th, m, drop_hdrlen, tlen);
			yield* check_delack(tp, so);
			return;
		}
	}

	charge(cost.tcp_slow_path);
	tp.rcv_wnd = Math.max(sbspace(so.so_rcv), 0, (tp.rcv_adv - tp.rcv_nxt) | 0);
	let ack_stage = true;
	let process_ack_only = false;
	if (tp.t_state === TCPS_SYN_RECEIVED) {
		if ((thflags & TH_ACK) !== 0 && (SEQ_LEQ(th.th_ack, tp.snd_una) || SEQ_GT(th.th_ack, tp.snd_max))) {
			yield* dropwithreset(tp, so, th, m, off0, tlen);
			return;
		}
	}
	if (tp.t_state === TCPS_SYN_SENT) {
		if ((thflags & (TH_ACK | TH_RST)) === (TH_ACK | TH_RST)) {
			yield* drop(yield* tcp_drop(tp, ECONNREFUSED), so, m);
			return;
		}
		if ((thflags & TH_RST) !== 0 || (thflags & TH_SYN) === 0) {
			yield* drop(tp, so, m);
			return;
		}
		tp.irs = th.th_seq;
		tcp_rcvseqinit(tp);
		if ((thflags & TH_ACK) !== 0) {
			stat.tcps_connects++;
			yield* soisconnected(so);
			if ((tp.t_flags & SCALED) === SCALED) tp.rcv_scale = tp.request_r_scale;
			tp.rcv_adv = (tp.rcv_adv + Math.min(tp.rcv_wnd, TCP_MAXWIN << tp.rcv_scale)) | 0;
			tp.snd_una = (tp.snd_una + 1) | 0;
			if (tlen !== 0 && DELAY_ACK(tp, tlen)) yield* tcp_timer_activate(tp, TT_DELACK, tcp_sysctl().delacktime);
			else tp.t_flags |= TF_ACKNOW;
			tp.t_starttime = ticks();
			if ((tp.t_flags & TF_NEEDFIN) !== 0) {
				tcp_state_change(tp, TCPS_FIN_WAIT_1);
				tp.t_flags &= ~TF_NEEDFIN;
				thflags &= ~TH_SYN;
			} else {
				tcp_state_change(tp, TCPS_ESTABLISHED);
				cc_conn_init(tp);
				yield* tcp_timer_activate(tp, TT_KEEP, tcp_sysctl().keepidle);
			}
		} else {
			tp.t_flags |= TF_ACKNOW | TF_NEEDSYN;
			yield* tcp_timer_activate(tp, TT_REXMT, 0);
			tcp_state_change(tp, TCPS_SYN_RECEIVED);
		}
		th.th_seq = (th.th_seq + 1) | 0;
		if (tlen > tp.rcv_wnd) {
			const todrop = tlen - tp.rcv_wnd;
			m_adj(m, -todrop);
			tlen = tp.rcv_wnd;
			thflags &= ~TH_FIN;
			stat.tcps_rcvpackafterwin++;
		}
		tp.snd_wl1 = (th.th_seq - 1) | 0;
		tp.rcv_up = th.th_seq;
		if ((thflags & TH_ACK) !== 0) process_ack_only = true;
		else ack_stage = false;
	} else {
		// RFC 5961: only a RST exactly at the left edge ends the connection, others are challenged
		if ((thflags & TH_RST) !== 0) {
			const inside =
				(SEQ_GEQ(th.th_seq, tp.last_ack_sent) && SEQ_LT(th.th_seq, (tp.last_ack_sent + tp.rcv_wnd) | 0)) ||
				(tp.rcv_wnd === 0 && tp.last_ack_sent === th.th_seq);
			if (!inside) {
				yield* drop(tp, so, m);
				return;
			}
			if (tp.last_ack_sent === th.th_seq) {
				stat.tcps_drops++;
				so.so_error = tp.t_state === TCPS_SYN_RECEIVED ? ECONNREFUSED : ECONNRESET;
				yield* drop(yield* tcp_close(tp), so, m);
				return;
			}
			stat.tcps_badrst++;
			yield* challenge_ack(tp, so, m, off0);
			return;
		}
		if ((thflags & TH_SYN) !== 0 && tp.t_state !== TCPS_SYN_RECEIVED) {
			stat.tcps_badsyn++;
			yield* challenge_ack(tp, so, m, off0);
			return;
		}
		if ((to.to_flags & TOF_TS) !== 0 && tp.ts_recent !== 0 && TSTMP_LT(to.to_tsval, tp.ts_recent)) {
			if (((tcp_ts_getticks() - tp.ts_recent_age) | 0) > TCP_PAWS_IDLE) tp.ts_recent = 0;
			else {
				stat.tcps_rcvduppack++;
				stat.tcps_rcvdupbyte += tlen;
				stat.tcps_pawsdrop++;
				if (tlen > 0) yield* dropafterack(tp, so, th, m, off0, tlen);
				else yield* drop(tp, so, m);
				return;
			}
		}
		if (tp.t_state === TCPS_SYN_RECEIVED && SEQ_LT(th.th_seq, tp.irs)) {
			yield* dropwithreset(tp, so, th, m, off0, tlen);
			return;
		}
		let todrop = (tp.rcv_nxt - th.th_seq) | 0;
		if (todrop > 0) {
			if ((thflags & TH_SYN) !== 0) {
				thflags &= ~TH_SYN;
				th.th_seq = (th.th_seq + 1) | 0;
				todrop--;
			}
			if (todrop > tlen || (todrop === tlen && (thflags & TH_FIN) === 0)) {
				thflags &= ~TH_FIN;
				tp.t_flags |= TF_ACKNOW;
				todrop = tlen;
				stat.tcps_rcvduppack++;
				stat.tcps_rcvdupbyte += todrop;
			} else stat.tcps_rcvpartduppack++;
			if (todrop > 0 && (tp.t_flags & TF_SACK_PERMIT) !== 0) {
				tcp_update_sack_list(tp, th.th_seq, (th.th_seq + todrop) | 0);
				tp.t_flags |= TF_ACKNOW;
			}
			drop_hdrlen += todrop;
			th.th_seq = (th.th_seq + todrop) | 0;
			tlen -= todrop;
		}
		if ((so.so_state & SS_NOFDREF) !== 0 && tp.t_state > TCPS_CLOSE_WAIT && tlen > 0) {
			// nobody is left who could read this
			const left = yield* tcp_close(tp);
			stat.tcps_rcvafterclose++;
			yield* dropwithreset(left, so, th, m, off0, tlen);
			return;
		}
		todrop = (th.th_seq + tlen - (tp.rcv_nxt + tp.rcv_wnd)) | 0;
		if (todrop > 0) {
			stat.tcps_rcvpackafterwin++;
			if (todrop >= tlen) {
				if (tp.rcv_wnd === 0 && th.th_seq === tp.rcv_nxt) {
					tp.t_flags |= TF_ACKNOW;
					stat.tcps_rcvwinprobe++;
				} else {
					yield* dropafterack(tp, so, th, m, off0, tlen);
					return;
				}
			}
			m_adj(m, -todrop);
			tlen -= todrop;
			thflags &= ~(TH_PUSH | TH_FIN);
		}
		if (
			(to.to_flags & TOF_TS) !== 0 &&
			SEQ_LEQ(th.th_seq, tp.last_ack_sent) &&
			SEQ_LEQ(tp.last_ack_sent, (th.th_seq + tlen + ((thflags & (TH_SYN | TH_FIN)) !== 0 ? 1 : 0)) | 0)
		) {
			tp.ts_recent_age = tcp_ts_getticks();
			tp.ts_recent = to.to_tsval;
		}
		if ((thflags & TH_ACK) === 0) {
			if (tp.t_state === TCPS_SYN_RECEIVED || (tp.t_flags & TF_NEEDSYN) !== 0) ack_stage = false;
			else {
				if ((tp.t_flags & TF_ACKNOW) !== 0) yield* dropafterack(tp, so, th, m, off0, tlen);
				else yield* drop(tp, so, m);
				return;
			}
		}
	}

	ack: if (ack_stage) {
		if (!process_ack_only) {
			if (tp.t_state === TCPS_SYN_RECEIVED) {
				stat.tcps_connects++;
				yield* soisconnected(so);
				if ((tp.t_flags & SCALED) === SCALED) tp.rcv_scale = tp.request_r_scale;
				tp.snd_wnd = tiwin;
				tp.t_starttime = ticks();
				if ((tp.t_flags & TF_NEEDFIN) !== 0) {
					tcp_state_change(tp, TCPS_FIN_WAIT_1);
					tp.t_flags &= ~TF_NEEDFIN;
				} else {
					tcp_state_change(tp, TCPS_ESTABLISHED);
					cc_conn_init(tp);
					yield* tcp_timer_activate(tp, TT_KEEP, tcp_sysctl().keepidle);
				}
				if (SEQ_GT(th.th_ack, tp.snd_una) && (tp.t_flags & TF_NEEDSYN) === 0) incforsyn = true;
				if (tlen === 0 && (thflags & TH_FIN) === 0) yield* tcp_reass(tp, 0, 0, 0, null, new reass_result());
				tp.snd_wl1 = (th.th_seq - 1) | 0;
			}
			if (SEQ_GT(th.th_ack, tp.snd_max)) {
				stat.tcps_rcvacktoomuch++;
				yield* dropafterack(tp, so, th, m, off0, tlen);
				return;
			}
			let sack_changed = false;
			if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && ((to.to_flags & TOF_SACK) !== 0 || tp.snd_holes_first !== null)) {
				sack_changed = tcp_sack_doack(tp, to, th.th_ack);
			} else tp.sackhint.sacked_bytes = 0;
			if (SEQ_LEQ(th.th_ack, tp.snd_una)) {
				if (tlen === 0 && (tiwin === tp.snd_wnd || (tp.t_flags & TF_SACK_PERMIT) !== 0)) {
					if ((thflags & TH_FIN) !== 0 && !TCPS_HAVERCVDFIN(tp.t_state)) tp.t_dupacks = 0;
					else if (yield* tcp_dupack(tp, so, th, sack_changed)) {
						yield* drop(tp, so, m);
						return;
					}
				}
				break ack;
			}
			tp.t_dupacks = 0;
			if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && (to.to_flags & TOF_SACK) !== 0 && sack_changed) tp.t_dupacks++;
			if (IN_FASTRECOVERY(tp)) {
				if (SEQ_LT(th.th_ack, tp.snd_recover)) {
					if ((tp.t_flags & TF_SACK_PERMIT) !== 0) yield* tcp_sack_partialack(tp, th);
					else yield* tcp_newreno_partial_ack(tp, th);
				} else cc_post_recovery(tp, th.th_ack);
			}
			if ((tp.t_flags & TF_NEEDSYN) !== 0) {
				tp.t_flags &= ~TF_NEEDSYN;
				tp.snd_una = (tp.snd_una + 1) | 0;
				if ((tp.t_flags & SCALED) === SCALED) tp.rcv_scale = tp.request_r_scale;
			}
		}
		// process_ACK
		if (incforsyn) tp.snd_una = (tp.snd_una + 1) | 0;
		const acked = BYTES_THIS_ACK(tp, th.th_ack);
		KASSERT(acked >= 0, `tcp_do_segment: acked unexepectedly negative ${acked}`);
		stat.tcps_rcvackpack++;
		stat.tcps_rcvackbyte += acked;
		if (
			tp.t_rxtshift === 1 &&
			(tp.t_flags & TF_PREVVALID) !== 0 &&
			tp.t_badrxtwin !== 0 &&
			(to.to_flags & TOF_TS) !== 0 &&
			SEQ_LT(to.to_tsecr, tp.t_badrxtwin)
		) {
			cc_cong_signal(tp, th.th_ack, CC_RTO_ERR);
		}
		measure_rtt(tp, th, to);
		if (th.th_ack === tp.snd_max) {
			yield* tcp_timer_activate(tp, TT_REXMT, 0);
			needoutput = true;
		} else if (!tcp_timer_active(tp, TT_PERSIST)) yield* tcp_timer_activate(tp, TT_REXMT, tp.t_rxtcur);
		if (acked === 0) break ack;
		cc_ack_received(tp, th.th_ack, 1, CC_ACK);
		yield* SOCKBUF_LOCK(so.so_snd);
		const held = sbavail(so.so_snd);
		const ourfinisacked = acked > held;
		const cut = Math.min(acked, held);
		tp.snd_wnd = Math.max(tp.snd_wnd - cut, 0);
		const mfree = sbcut_locked(so.so_snd, cut);
		yield* SOCKBUF_UNLOCK(so.so_snd);
		tp.t_flags |= TF_WAKESOW;
		m_freem(mfree);
		if (!IN_RECOVERY(tp) && SEQ_GT(tp.snd_una, tp.snd_recover) && SEQ_LEQ(th.th_ack, tp.snd_recover)) {
			tp.snd_recover = (th.th_ack - 1) | 0;
		}
		if (IN_RECOVERY(tp) && SEQ_GEQ(th.th_ack, tp.snd_recover)) EXIT_RECOVERY(tp);
		tp.snd_una = th.th_ack;
		if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && SEQ_GT(tp.snd_una, tp.snd_recover)) tp.snd_recover = tp.snd_una;
		if (SEQ_LT(tp.snd_nxt, tp.snd_una)) tp.snd_nxt = tp.snd_una;
		if (ourfinisacked) {
			if (tp.t_state === TCPS_FIN_WAIT_1) {
				if ((so.so_rcv.sb_state & SBS_CANTRCVMORE) !== 0) {
					yield* soisdisconnected(so);
					yield* tcp_timer_activate(tp, TT_2MSL, TP_MAXIDLE(tp));
				}
				tcp_state_change(tp, TCPS_FIN_WAIT_2);
			} else if (tp.t_state === TCPS_CLOSING) {
				yield* tcp_twstart(tp);
				m_freem(m);
				return;
			} else if (tp.t_state === TCPS_LAST_ACK) {
				yield* drop(yield* tcp_close(tp), so, m);
				return;
			}
		}
	}

	// step 6: the window
	if (
		(thflags & TH_ACK) !== 0 &&
		(SEQ_LT(tp.snd_wl1, th.th_seq) ||
			(tp.snd_wl1 === th.th_seq && (SEQ_LT(tp.snd_wl2, th.th_ack) || (tp.snd_wl2 === th.th_ack && tiwin > tp.snd_wnd))))
	) {
		if (tlen === 0 && tp.snd_wl2 === th.th_ack && tiwin > tp.snd_wnd) stat.tcps_rcvwinupd++;
		tp.snd_wnd = tiwin;
		tp.snd_wl1 = th.th_seq;
		tp.snd_wl2 = th.th_ack;
		if (tp.snd_wnd > tp.max_sndwnd) tp.max_sndwnd = tp.snd_wnd;
		needoutput = true;
	}
	if (SEQ_GT(tp.rcv_nxt, tp.rcv_up)) tp.rcv_up = tp.rcv_nxt;

	// the text of the segment
	if ((tlen > 0 || (thflags & TH_FIN) !== 0) && !TCPS_HAVERCVDFIN(tp.t_state)) {
		thflags = yield* segment_text(tp, so, th, thflags, m, drop_hdrlen, tlen);
	} else {
		m_freem(m);
		thflags &= ~TH_FIN;
	}

	if ((thflags & TH_FIN) !== 0) {
		if (!TCPS_HAVERCVDFIN(tp.t_state)) {
			yield* socantrcvmore(so);
			tp.t_flags &= ~TF_WAKESOR;
			tp.t_flags |= (tp.t_flags & TF_NEEDSYN) !== 0 ? TF_DELACK : TF_ACKNOW;
			tp.rcv_nxt = (tp.rcv_nxt + 1) | 0;
		}
		switch (tp.t_state) {
			case TCPS_SYN_RECEIVED:
			case TCPS_ESTABLISHED:
				tcp_state_change(tp, TCPS_CLOSE_WAIT);
				break;
			case TCPS_FIN_WAIT_1:
				tcp_state_change(tp, TCPS_CLOSING);
				break;
			case TCPS_FIN_WAIT_2:
				yield* tcp_twstart(tp);
				return;
		}
	}
	if (needoutput || (tp.t_flags & TF_ACKNOW) !== 0) yield* tcp_output(tp);
	yield* check_delack(tp, so);
}

function* challenge_ack(tp: tcpcb, so: socket, m: mbuf, off0: number): Blocking<void> {
	yield* tcp_respond(tp, m, off0, tp.rcv_nxt, tp.snd_nxt, TH_ACK);
	tp.last_ack_sent = tp.rcv_nxt;
	yield* drop(tp, so, null);
}

/**
 * Takes the data of a segment: at once if they are the next ones, into the reassembly queue if not; notes what to report
 * by SACK. Consumes `m`.
 *
 * @returns TH_FIN if a FIN has come in order
 */
function* segment_text(
	tp: tcpcb,
	so: socket,
	th: tcphdr,
	thflags: number,
	m: mbuf,
	drop_hdrlen: number,
	tlen: number,
): Blocking<number> {
	const start = th.th_seq;
	const end = (start + tlen) | 0;
	const save_rnxt = tp.rcv_nxt;
	let fin: number;
	let accepted = tlen;
	m_adj(m, drop_hdrlen);
	if (start === tp.rcv_nxt && tp.t_segq === null && TCPS_HAVEESTABLISHED(tp.t_state)) {
		tp.t_flags |= DELAY_ACK(tp, tlen) ? TF_DELACK : TF_ACKNOW;
		tp.rcv_nxt = end;
		fin = thflags & TH_FIN;
		V_tcpstat().tcps_rcvpack++;
		V_tcpstat().tcps_rcvbyte += tlen;
		yield* SOCKBUF_LOCK(so.so_rcv);
		if ((so.so_rcv.sb_state & SBS_CANTRCVMORE) !== 0) m_freem(m);
		else sbappendstream_locked(so.so_rcv, m);
		yield* SOCKBUF_UNLOCK(so.so_rcv);
		tp.t_flags |= TF_WAKESOR;
	} else {
		const result = new reass_result();
		yield* tcp_reass(tp, start, thflags, tlen, m, result);
		fin = result.flags;
		accepted = result.tlen;
		tp.t_flags |= TF_ACKNOW;
	}
	if ((tp.t_flags & TF_SACK_PERMIT) === 0 || tlen === 0) return fin;
	if (accepted === 0) {
		if (SEQ_LT(start, save_rnxt)) tcp_update_sack_list(tp, start, end);
	} else if (SEQ_GT(tp.rcv_nxt, save_rnxt) && tp.rcv_numsacks >= 1 && tp.sackblks[1] === start) {
		tcp_update_sack_list(tp, tp.sackblks[0], tp.sackblks[1]);
	} else if (SEQ_GT(tp.rcv_nxt, save_rnxt) || accepted >= tlen) {
		tcp_update_dsack_list(tp, start, end);
	} else tcp_update_dsack_list(tp, start, (start + accepted) | 0);
	return fin;
}

/** Sequence numbers of the receiving side, from the peer's. */
export function tcp_rcvseqinit(tp: tcpcb): void {
	tp.rcv_nxt = (tp.irs + 1) | 0;
	tp.rcv_adv = tp.rcv_nxt;
}

/** Sequence numbers of the sending side, from our own. */
export function tcp_sendseqinit(tp: tcpcb): void {
	tp.snd_una = tp.iss;
	tp.snd_nxt = tp.iss;
	tp.snd_max = tp.iss;
	tp.snd_up = tp.iss;
	tp.snd_recover = tp.iss;
}
