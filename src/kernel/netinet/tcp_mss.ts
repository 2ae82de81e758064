/**
 * Segment sizes: from the MTU of the route, the peer's MSS option, and the socket buffers.
 *
 * There is no host cache, so a path MTU learned by ICMP holds for its connection only.
 *
 * @see tcp_input.c tcp_mss_update, tcp_mss, tcp_mssopt; tcp_subr.c tcp_maxmtu, tcp_maxmtu6
 */
import { fib4_lookup, fib6_lookup, NHR_NONE } from "../route/route.ts";
import type { Blocking } from "../sched/thread.ts";
import { SB_MAX, type sockbuf, type socket } from "../socket/socket.ts";
import { SOCKBUF_LOCK, SOCKBUF_UNLOCK, sbreserve_locked } from "../socket/uipc_sockbuf.ts";
import { INP_IPV6, type inpcb } from "./in_pcb.ts";
import { tcp_sysctl, type tcpcb } from "./tcp_var.ts";

function is_ipv6(inp: inpcb): boolean {
	return (inp.inp_vflag & INP_IPV6) !== 0;
}

/** MTU of the route to the peer, 0 if there is none. */
function tcp_maxmtu(inp: inpcb): number {
	const nh = is_ipv6(inp)
		? fib6_lookup(inp.inp_fibnum, inp.inp_faddr6, inp.inp_zoneid, NHR_NONE, 0)
		: fib4_lookup(inp.inp_fibnum, inp.inp_faddr, 0, NHR_NONE, 0);
	return nh === null ? 0 : nh.nh_mtu;
}

/**
 * Works out t_maxseg.
 *
 * @param offer the MSS of the peer's SYN; 0 if it had none, -1 if it has not come
 * @param mtuoffer an MTU the path is known to have, or -1
 */
export function tcp_mss_update(tp: tcpcb, offer: number, mtuoffer: number): void {
	const inp = tp.t_inpcb;
	const settings = tcp_sysctl();
	const min_protoh = is_ipv6(inp) ? 60 : 40;
	if (mtuoffer !== -1) offer = mtuoffer - min_protoh;
	tp.t_maxseg = is_ipv6(inp) ? settings.v6mssdflt : settings.mssdflt;
	const maxmtu = tcp_maxmtu(inp);
	if (maxmtu === 0) return;
	if (offer === 0) offer = tp.t_maxseg;
	else if (offer !== -1) offer = Math.max(offer, settings.minmss);
	let mss = maxmtu - min_protoh;
	if (offer !== -1) mss = Math.min(mss, offer);
	tp.t_maxseg = Math.max(mss, 64);
}

/** Rounds a buffer up to whole segments. */
function* round_buffer(sb: sockbuf, mss: number): Blocking<void> {
	yield* SOCKBUF_LOCK(sb);
	const size = Math.min(Math.ceil(sb.sb_hiwat / mss) * mss, SB_MAX);
	if (sb.sb_hiwat > mss && size > sb.sb_hiwat) sbreserve_locked(sb, size);
	yield* SOCKBUF_UNLOCK(sb);
}

/** Takes over what the SYN said about segment sizes, and makes the buffers whole multiples of a segment. */
export function* tcp_mss(tp: tcpcb, offer: number): Blocking<void> {
	const so = tp.t_inpcb.inp_socket as socket;
	tcp_mss_update(tp, offer, -1);
	const mss = Math.min(tp.t_maxseg, so.so_snd.sb_hiwat);
	yield* round_buffer(so.so_snd, mss);
	tp.t_maxseg = Math.max(mss, 64);
	yield* round_buffer(so.so_rcv, mss);
}

/** The MSS option of our own SYN. */
export function tcp_mssopt(inp: inpcb): number {
	const settings = tcp_sysctl();
	const maxmtu = tcp_maxmtu(inp);
	if (maxmtu === 0) return is_ipv6(inp) ? settings.v6mssdflt : settings.mssdflt;
	return maxmtu - (is_ipv6(inp) ? 60 : 40);
}
