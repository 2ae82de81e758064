/**
 * NewReno: slow start with appropriate byte counting, additive increase, halving on loss.
 *
 * @see netinet/cc/cc_newreno.c; RFC 5681, RFC 3465, RFC 6582
 */
import { TCP_MAXWIN } from "../tcp.ts";
import { ENTER_RECOVERY, IN_CONGRECOVERY, IN_FASTRECOVERY, IN_RECOVERY, tcp_sysctl, type tcpcb } from "../tcp_var.ts";
import { tcp_compute_initwnd, tcp_maxseg } from "../tcp_wnd.ts";
import { CC_ACK, CC_NDUPACK, CC_RTO, CCF_ABC_SENTAWND, CCF_CWND_LIMITED, type cc_algo } from "./cc.ts";

/** net.inet.tcp.cc.newreno.beta, percent */
const V_newreno_beta = 50;

/**
 * Opens the window for an ACK in order: in slow start by what was acknowledged, at most abc_l_var segments, or one after a
 * timeout; in congestion avoidance by one segment each time a whole window was acknowledged.
 */
export function newreno_ack_received(tp: tcpcb, type: number): void {
	const ccv = tp.ccv;
	if (type !== CC_ACK || IN_RECOVERY(tp) || (ccv.flags & CCF_CWND_LIMITED) === 0) return;
	const cw = tp.snd_cwnd;
	let incr = tp.t_maxseg;
	if (cw > tp.snd_ssthresh) {
		if ((ccv.flags & CCF_ABC_SENTAWND) !== 0) ccv.flags &= ~CCF_ABC_SENTAWND;
		else incr = 0;
	} else if (tp.snd_nxt === tp.snd_max) {
		incr = Math.min(ccv.bytes_this_ack, ccv.nsegs * tcp_sysctl().abc_l_var * tp.t_maxseg);
	} else incr = Math.min(ccv.bytes_this_ack, tp.t_maxseg);
	if (incr > 0) tp.snd_cwnd = Math.min(cw + incr, TCP_MAXWIN << tp.snd_scale);
}

/** After a long silence the window says nothing any more: back to the initial one. */
export function newreno_after_idle(tp: tcpcb): void {
	tp.snd_ssthresh = Math.max(tp.snd_ssthresh, tp.snd_cwnd - (tp.snd_cwnd >> 2));
	tp.snd_cwnd = Math.min(tcp_compute_initwnd(tcp_maxseg(tp)), tp.snd_cwnd);
}

function newreno_cong_signal(tp: tcpcb, type: number): void {
	const mss = tcp_maxseg(tp);
	if (type === CC_NDUPACK) {
		if (IN_FASTRECOVERY(tp)) return;
		if (!IN_CONGRECOVERY(tp)) {
			tp.snd_ssthresh = Math.max(Math.floor((tp.snd_cwnd * V_newreno_beta) / (100 * mss)), 2) * mss;
		}
		ENTER_RECOVERY(tp);
	} else if (type === CC_RTO) {
		tp.snd_ssthresh = Math.max(Math.floor(Math.min(tp.snd_wnd, tp.snd_cwnd) / 2 / mss), 2) * mss;
		tp.snd_cwnd = mss;
	}
}

/** Recovery is over: if little is in flight, come out by slow start rather than with a burst. */
function newreno_post_recovery(tp: tcpcb): void {
	if (!IN_FASTRECOVERY(tp)) return;
	const pipe = (tp.snd_max - tp.ccv.curack) | 0;
	if (pipe < tp.snd_ssthresh) tp.snd_cwnd = Math.max(pipe, tp.t_maxseg) + tp.t_maxseg;
	else tp.snd_cwnd = tp.snd_ssthresh;
}

export const newreno_cc_algo: cc_algo = {
	name: "newreno",
	cb_init: (tp) => {
		tp.ccv.cc_data = null;
	},
	conn_init: () => {},
	ack_received: newreno_ack_received,
	cong_signal: newreno_cong_signal,
	post_recovery: newreno_post_recovery,
	after_idle: newreno_after_idle,
};
