/**
 * The interface between TCP and a congestion control algorithm.
 *
 * @see netinet/cc/cc.h, cc.c
 */
import { KASSERT, release_traits, TUNABLE_FETCH } from "../../sched/kernel.ts";
import type { tcpcb } from "../tcp_var.ts";
import { cubic_cc_algo } from "./cc_cubic.ts";
import { newreno_cc_algo } from "./cc_newreno.ts";

// kinds of ACK
export const CC_ACK = 0x0001;
export const CC_DUPACK = 0x0002;
export const CC_PARTIALACK = 0x0004;

// kinds of congestion
export const CC_RTO = 0x00000002;
export const CC_RTO_ERR = 0x00000004;
export const CC_NDUPACK = 0x00000008;

export const CCF_ABC_SENTAWND = 0x0002;
export const CCF_CWND_LIMITED = 0x0004;

/** What TCP tells the algorithm besides the control block itself, and the algorithm's own state. */
export class cc_var {
	flags = 0;
	bytes_this_ack = 0;
	curack = 0;
	nsegs = 0;
	cc_data: object | null = null;
}

export interface cc_algo {
	readonly name: string;
	cb_init(tp: tcpcb): void;
	conn_init(tp: tcpcb): void;
	ack_received(tp: tcpcb, type: number): void;
	cong_signal(tp: tcpcb, type: number): void;
	post_recovery(tp: tcpcb): void;
	after_idle(tp: tcpcb): void;
}

export function cc_find(name: string): cc_algo | null {
	if (name === newreno_cc_algo.name) return newreno_cc_algo;
	return name === cubic_cc_algo.name ? cubic_cc_algo : null;
}

/** net.inet.tcp.cc.algorithm: the loader's, or the release's own default. */
export function CC_DEFAULT(): cc_algo {
	const name = TUNABLE_FETCH("net.inet.tcp.cc.algorithm") ?? release_traits().tcp_cc;
	const algo = cc_find(name);
	KASSERT(algo !== null, `cc: no algorithm ${name}`);
	return algo as cc_algo;
}
