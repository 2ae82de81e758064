/**
 * CUBIC: after a loss the window follows a cubic curve in time through the window at which the loss happened.
 *
 * All arithmetic is on integers with CUBIC_SHIFT bits of fraction, as in FreeBSD; products that would not be exact in a
 * JavaScript number are split, so that results are those of C's 64-bit integers on every host.
 *
 * @see netinet/cc/cc_cubic.c, cc_cubic.h; RFC 8312
 */
import { hz, ticks } from "../../sched/kernel.ts";
import {
	ENTER_RECOVERY,
	IN_CONGRECOVERY,
	IN_FASTRECOVERY,
	IN_RECOVERY,
	TCP_RTT_SHIFT,
	type tcpcb,
} from "../tcp_var.ts";
import { tcp_maxseg } from "../tcp_wnd.ts";
import { CC_ACK, CC_NDUPACK, CC_RTO, CC_RTO_ERR, CCF_ABC_SENTAWND, CCF_CWND_LIMITED, type cc_algo } from "./cc.ts";
import { newreno_ack_received, newreno_after_idle } from "./cc_newreno.ts";

export const CUBIC_SHIFT = 8;
/** about 0.7, 0.3, 3 * 0.3, 2 - 0.3, 0.4 and (1 + 0.7) / 2 in that fixed point */
const CUBIC_BETA = 179;
const ONE_SUB_CUBIC_BETA = 77;
const THREE_X_PT3 = 231;
const TWO_SUB_PT3 = 435;
const CUBIC_C_FACTOR = 102;
const CUBIC_FC_FACTOR = 217;
/** round trips measured before srtt is trusted */
const CUBIC_MIN_RTT_SAMPLES = 8;
const CUBED_ROOT_MAX_ULONG = 448845;
const INT_MAX = 0x7fffffff;

const CUBICFLAG_CONG_EVENT = 0x1;
const CUBICFLAG_IN_SLOWSTART = 0x2;
const CUBICFLAG_IN_APPLIMIT = 0x4;
const CUBICFLAG_RTO_EVENT = 0x8;

class cubic {
	/** time to climb back to max_cwnd, fixed point seconds */
	K = 0;
	sum_rtt_ticks = 0;
	max_cwnd = 0;
	prev_max_cwnd = 0;
	prev_max_cwnd_cp = 0;
	flags = 0;
	/** 0: none yet */
	min_rtt_ticks = 0;
	mean_rtt_ticks = 1;
	epoch_ack_count = 0;
	t_last_cong = 0;
	t_last_cong_prev = 0;
}

/** The cube root of wmax * 0.3 / 0.4, by a quadratic that fits the root between 1/8 and 1. @see cc_cubic.h cubic_k */
export function cubic_k(wmax_pkts: number): number {
	let s = Math.floor((wmax_pkts * ONE_SUB_CUBIC_BETA * 256) / CUBIC_C_FACTOR);
	let p = 0;
	while (s >= 256) {
		s >>= 3;
		p++;
	}
	let K = ((s * 275) >> CUBIC_SHIFT) + 98 - (((s * s * 120) >> CUBIC_SHIFT) >> CUBIC_SHIFT);
	for (; p > 0; p--) K *= 2;
	return K;
}

/** The window on the curve, bytes. @see cc_cubic.h cubic_cwnd */
export function cubic_cwnd(ticks_since_cong: number, wmax: number, smss: number, K: number): number {
	// t - K in fixed point
	const t = Math.trunc((ticks_since_cong * 256 - K * hz()) / hz());
	if (t > CUBED_ROOT_MAX_ULONG) return INT_MAX;
	if (t < -CUBED_ROOT_MAX_ULONG) return 0;
	// (t * t * t * C) >> 32 without losing bits: t * t in two halves
	const square = t * t;
	const high = Math.floor(square / 65536);
	const low = square - high * 65536;
	const factor = t * CUBIC_C_FACTOR;
	const segments = Math.floor((high * factor + Math.floor((low * factor) / 65536)) / 65536);
	return Math.max(0, segments * smss + wmax);
}

/** The window standard TCP would have by now, bytes. @see cc_cubic.h tf_cwnd */
export function tf_cwnd(ticks_since_cong: number, rtt_ticks: number, wmax: number, smss: number): number {
	const num = THREE_X_PT3 * ticks_since_cong * smss;
	const den = TWO_SUB_PT3 * rtt_ticks;
	const whole = Math.floor(num / den);
	const grown = whole * 256 + Math.floor(((num - whole * den) * 256) / den);
	return Math.floor((wmax * CUBIC_BETA + grown) / 256);
}

function data(tp: tcpcb): cubic {
	return tp.ccv.cc_data as cubic;
}

/** Keeps the least and the mean round trip of the epoch. */
function cubic_record_rtt(tp: tcpcb, c: cubic): void {
	if (tp.t_rttupdated < CUBIC_MIN_RTT_SAMPLES) return;
	const srtt = tp.t_srtt >> TCP_RTT_SHIFT;
	if (srtt < c.min_rtt_ticks || c.min_rtt_ticks === 0) {
		c.min_rtt_ticks = Math.max(1, srtt);
		if (c.min_rtt_ticks > c.mean_rtt_ticks) c.mean_rtt_ticks = c.min_rtt_ticks;
	}
	c.sum_rtt_ticks += srtt;
	c.epoch_ack_count++;
}

function packets(bytes: number, mss: number): number {
	return Math.floor(bytes / mss);
}

function cubic_ack_received(tp: tcpcb, type: number): void {
	const c = data(tp);
	const ccv = tp.ccv;
	cubic_record_rtt(tp, c);
	if (type !== CC_ACK || IN_RECOVERY(tp)) return;
	if ((ccv.flags & CCF_CWND_LIMITED) === 0) {
		c.flags |= CUBICFLAG_IN_APPLIMIT;
		return;
	}
	if (tp.snd_cwnd <= tp.snd_ssthresh || c.min_rtt_ticks === 0) {
		c.flags |= CUBICFLAG_IN_SLOWSTART;
		newreno_ack_received(tp, type);
		return;
	}
	if ((c.flags & CUBICFLAG_RTO_EVENT) !== 0 && (c.flags & CUBICFLAG_IN_SLOWSTART) !== 0) {
		c.flags &= ~(CUBICFLAG_RTO_EVENT | CUBICFLAG_IN_SLOWSTART);
		c.max_cwnd = tp.snd_cwnd;
		c.K = 0;
	} else if ((c.flags & (CUBICFLAG_IN_SLOWSTART | CUBICFLAG_IN_APPLIMIT)) !== 0) {
		c.flags &= ~(CUBICFLAG_IN_SLOWSTART | CUBICFLAG_IN_APPLIMIT);
		c.t_last_cong = ticks();
		c.K = cubic_k(packets(c.max_cwnd, tp.t_maxseg));
	}
	const since = ticks() - c.t_last_cong;
	const w_tf = tf_cwnd(since, c.mean_rtt_ticks, c.max_cwnd, tp.t_maxseg);
	const w_cubic_next = cubic_cwnd(since + c.mean_rtt_ticks, c.max_cwnd, tp.t_maxseg, c.K);
	ccv.flags &= ~CCF_ABC_SENTAWND;
	const target = Math.max(w_tf, w_cubic_next);
	if (tp.snd_cwnd < target) tp.snd_cwnd = Math.min(target, INT_MAX);
	if ((c.flags & CUBICFLAG_CONG_EVENT) === 0 && c.max_cwnd < tp.snd_cwnd) {
		c.max_cwnd = tp.snd_cwnd;
		c.K = cubic_k(packets(c.max_cwnd, tp.t_maxseg));
	}
}

/** A loss: remember the window it happened at, a little less if windows are shrinking, and come down to 0.7 of it. */
function cubic_ssthresh_update(tp: tcpcb, c: cubic, maxseg: number): void {
	let cwnd = tp.snd_cwnd;
	if (cwnd < c.max_cwnd) cwnd = Math.floor((cwnd * CUBIC_FC_FACTOR) / 256);
	c.prev_max_cwnd = c.max_cwnd;
	c.max_cwnd = cwnd;
	const beta = Math.floor((cwnd * CUBIC_BETA) / 256);
	let ssthresh = beta;
	if ((c.flags & CUBICFLAG_CONG_EVENT) === 0) {
		ssthresh = Math.floor(cwnd / 2);
		c.max_cwnd = beta;
	}
	tp.snd_ssthresh = Math.max(ssthresh, 2 * maxseg);
}

function cubic_cong_signal(tp: tcpcb, type: number): void {
	const c = data(tp);
	const mss = tcp_maxseg(tp);
	switch (type) {
		case CC_NDUPACK:
			if (IN_FASTRECOVERY(tp)) break;
			if (!IN_CONGRECOVERY(tp)) {
				cubic_ssthresh_update(tp, c, mss);
				c.flags |= CUBICFLAG_CONG_EVENT;
				c.t_last_cong = ticks();
				c.K = cubic_k(packets(c.max_cwnd, mss));
			}
			ENTER_RECOVERY(tp);
			break;
		case CC_RTO:
			if (tp.t_rxtshift === 1) {
				c.t_last_cong_prev = c.t_last_cong;
				c.prev_max_cwnd_cp = c.prev_max_cwnd;
			}
			c.flags |= CUBICFLAG_CONG_EVENT | CUBICFLAG_RTO_EVENT;
			c.prev_max_cwnd = c.max_cwnd;
			tp.snd_ssthresh = Math.floor((tp.snd_cwnd * CUBIC_BETA) / 256);
			tp.snd_cwnd = mss;
			break;
		case CC_RTO_ERR:
			c.flags &= ~(CUBICFLAG_CONG_EVENT | CUBICFLAG_RTO_EVENT);
			c.max_cwnd = c.prev_max_cwnd;
			c.prev_max_cwnd = c.prev_max_cwnd_cp;
			c.t_last_cong = c.t_last_cong_prev;
			c.K = cubic_k(packets(c.max_cwnd, mss));
			break;
	}
}

function cubic_post_recovery(tp: tcpcb): void {
	const c = data(tp);
	if (IN_FASTRECOVERY(tp)) {
		const pipe = (tp.snd_max - tp.ccv.curack) | 0;
		if (pipe < tp.snd_ssthresh) tp.snd_cwnd = Math.max(pipe, tp.t_maxseg) + tp.t_maxseg;
		else tp.snd_cwnd = Math.max(Math.floor((c.max_cwnd * CUBIC_BETA) / 256), 2 * tp.t_maxseg);
	}
	if (c.epoch_ack_count > 0 && c.sum_rtt_ticks >= c.epoch_ack_count) {
		c.mean_rtt_ticks = Math.floor(c.sum_rtt_ticks / c.epoch_ack_count);
	}
	c.epoch_ack_count = 0;
	c.sum_rtt_ticks = 0;
}

export const cubic_cc_algo: cc_algo = {
	name: "cubic",
	cb_init: (tp) => {
		const c = new cubic();
		c.t_last_cong = ticks();
		tp.ccv.cc_data = c;
	},
	conn_init: (tp) => {
		data(tp).max_cwnd = tp.snd_cwnd;
	},
	ack_received: cubic_ack_received,
	cong_signal: cubic_cong_signal,
	post_recovery: cubic_post_recovery,
	after_idle: (tp) => {
		const c = data(tp);
		c.max_cwnd = Math.max(c.max_cwnd, tp.snd_cwnd);
		c.K = cubic_k(packets(c.max_cwnd, tp.t_maxseg));
		newreno_after_idle(tp);
		c.t_last_cong = ticks();
	},
};
