/**
 * Where TCP calls its congestion control, and what it does itself around those calls.
 *
 * @see tcp_input.c cc_ack_received, cc_conn_init, cc_cong_signal, cc_post_recovery; tcp_output.c cc_after_idle
 */
import { CC_ACK, CC_NDUPACK, CC_RTO, CC_RTO_ERR, CCF_ABC_SENTAWND, CCF_CWND_LIMITED } from "./cc/cc.ts";
import {
	EXIT_RECOVERY,
	IN_FASTRECOVERY,
	TF_CONGRECOVERY,
	TF_FASTRECOVERY,
	TF_PREVVALID,
	TF_WASCRECOVERY,
	TF_WASFRECOVERY,
	type tcpcb,
	V_tcpstat,
} from "./tcp_var.ts";
import { BYTES_THIS_ACK, tcp_compute_initwnd, tcp_maxseg } from "./tcp_wnd.ts";

/** An ACK came: says how much it covers and whether the window was what held us back, and lets the window grow. */
export function cc_ack_received(tp: tcpcb, th_ack: number, nsegs: number, type: number): void {
	const ccv = tp.ccv;
	ccv.nsegs = nsegs;
	ccv.bytes_this_ack = BYTES_THIS_ACK(tp, th_ack);
	if (tp.snd_cwnd <= tp.snd_wnd) ccv.flags |= CCF_CWND_LIMITED;
	else ccv.flags &= ~CCF_CWND_LIMITED;
	if (type === CC_ACK) {
		if (tp.snd_cwnd > tp.snd_ssthresh) {
			tp.t_bytes_acked += ccv.bytes_this_ack;
			if (tp.t_bytes_acked >= tp.snd_cwnd) {
				tp.t_bytes_acked -= tp.snd_cwnd;
				ccv.flags |= CCF_ABC_SENTAWND;
			}
		} else {
			ccv.flags &= ~CCF_ABC_SENTAWND;
			tp.t_bytes_acked = 0;
		}
	}
	ccv.curack = th_ack;
	tp.cc_algo.ack_received(tp, type);
}

/** The connection stands: the initial window. There is no host cache here, so nothing is known of the peer. */
export function cc_conn_init(tp: tcpcb): void {
	const maxseg = tcp_maxseg(tp);
	tp.snd_cwnd = tp.snd_cwnd === 1 ? maxseg : tcp_compute_initwnd(maxseg);
	tp.cc_algo.conn_init(tp);
}

/** Something was lost, or a retransmission proves to have been for nothing. */
export function cc_cong_signal(tp: tcpcb, th_ack: number, type: number): void {
	switch (type) {
		case CC_NDUPACK:
			if (!IN_FASTRECOVERY(tp)) tp.snd_recover = tp.snd_max;
			break;
		case CC_RTO:
			tp.t_dupacks = 0;
			tp.t_bytes_acked = 0;
			EXIT_RECOVERY(tp);
			break;
		case CC_RTO_ERR:
			V_tcpstat().tcps_sndrexmitbad++;
			tp.snd_cwnd = tp.snd_cwnd_prev;
			tp.snd_ssthresh = tp.snd_ssthresh_prev;
			tp.snd_recover = tp.snd_recover_prev;
			if ((tp.t_flags & TF_WASFRECOVERY) !== 0) tp.t_flags |= TF_FASTRECOVERY;
			if ((tp.t_flags & TF_WASCRECOVERY) !== 0) tp.t_flags |= TF_CONGRECOVERY;
			tp.snd_nxt = tp.snd_max;
			tp.t_flags &= ~TF_PREVVALID;
			tp.t_badrxtwin = 0;
			break;
	}
	if (type === CC_NDUPACK) tp.ccv.curack = th_ack;
	tp.cc_algo.cong_signal(tp, type);
}

/** The ACK covers everything that was in flight when recovery began. */
export function cc_post_recovery(tp: tcpcb, th_ack: number): void {
	tp.ccv.curack = th_ack;
	tp.cc_algo.post_recovery(tp);
	tp.t_bytes_acked = 0;
	tp.sackhint.prr_out = 0;
}

export function cc_after_idle(tp: tcpcb): void {
	tp.cc_algo.after_idle(tp);
}
