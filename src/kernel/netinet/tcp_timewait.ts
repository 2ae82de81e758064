/**
 * TIME_WAIT: a closed connection keeps its address for twice the longest life of a segment, to answer a peer that missed
 * the last acknowledgement.
 *
 * FreeBSD 13 replaces the control block by a smaller one meanwhile; here, as in FreeBSD 14, it stays what it is.
 *
 * @see tcp_timewait.c tcp_twstart, tcp_twcheck
 */
import { m_freem, type mbuf } from "../mbuf/mbuf.ts";
import type { Blocking } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";
import { soisdisconnected } from "../socket/uipc_socket.ts";
import { INP_WUNLOCK } from "./in_pcb.ts";
import { SEQ_GT, TCPS_TIME_WAIT, TH_ACK, TH_FIN, TH_RST, TH_SYN } from "./tcp.ts";
import { tcp_output } from "./tcp_output.ts";
import { tcp_respond } from "./tcp_respond.ts";
import { tcp_close, tcp_state_change } from "./tcp_subr.ts";
import { TT_2MSL, TT_DELACK, TT_KEEP, TT_PERSIST, TT_REXMT, tcp_timer_activate } from "./tcp_timer.ts";
import { TF_ACKNOW, tcp_sysctl, type tcpcb, type tcphdr } from "./tcp_var.ts";

/** Enters TIME_WAIT. Entered with the pcb locked; drops the lock. */
export function* tcp_twstart(tp: tcpcb): Blocking<void> {
	const inp = tp.t_inpcb;
	tcp_state_change(tp, TCPS_TIME_WAIT);
	yield* soisdisconnected(inp.inp_socket as socket);
	if ((tp.t_flags & TF_ACKNOW) !== 0) yield* tcp_output(tp);
	yield* tcp_timer_activate(tp, TT_REXMT, 0);
	yield* tcp_timer_activate(tp, TT_PERSIST, 0);
	yield* tcp_timer_activate(tp, TT_KEEP, 0);
	yield* tcp_timer_activate(tp, TT_DELACK, 0);
	yield* tcp_timer_activate(tp, TT_2MSL, 2 * tcp_sysctl().msl);
	yield* INP_WUNLOCK(inp);
}

/**
 * A segment for a connection in TIME_WAIT. A SYN beyond the old sequence numbers ends it, so that the address can be used
 * again. Drops the pcb's lock.
 *
 * @returns true if the caller must look up the segment anew; else the segment was consumed
 */
export function* tcp_twcheck(tp: tcpcb, th: tcphdr, m: mbuf, off0: number, tlen: number): Blocking<boolean> {
	const inp = tp.t_inpcb;
	const flags = th.th_flags;
	if ((flags & TH_RST) === 0) {
		if ((flags & TH_SYN) !== 0 && SEQ_GT(th.th_seq, tp.rcv_nxt)) {
			if ((yield* tcp_close(tp)) !== null) yield* INP_WUNLOCK(inp);
			return true;
		}
		if ((flags & TH_ACK) !== 0) {
			if ((flags & TH_FIN) !== 0) {
				const seq = (th.th_seq + tlen + ((flags & TH_SYN) !== 0 ? 1 : 0)) | 0;
				if (((seq + 1) | 0) === tp.rcv_nxt) yield* tcp_timer_activate(tp, TT_2MSL, 2 * tcp_sysctl().msl);
			}
			if (flags !== TH_ACK || tlen !== 0 || th.th_seq !== tp.rcv_nxt || th.th_ack !== tp.snd_nxt) {
				yield* tcp_respond(tp, m, off0, tp.rcv_nxt, tp.snd_nxt, TH_ACK);
				yield* INP_WUNLOCK(inp);
				return false;
			}
		}
	}
	m_freem(m);
	yield* INP_WUNLOCK(inp);
	return false;
}
