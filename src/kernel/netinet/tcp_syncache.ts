/**
 * Connections that are coming in.
 *
 * FreeBSD keeps a SYN in a small syncache entry, and under attack in a cookie, until the handshake is complete. Here a SYN
 * makes an embryonic socket at once, as FreeBSD itself did before version 4.5: it waits on the listening socket's queue
 * of incomplete connections, which is bounded, and tcp_output sends its SYN-ACK. The handshake on the wire is the same.
 *
 * @see tcp_syncache.c syncache_add, syncache_socket
 */
import { m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { arc4random } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import { SB_MAX, type socket } from "../socket/socket.ts";
import { sonewconn } from "../socket/uipc_socket.ts";
import { in_get32, in6_copy } from "./in.ts";
import {
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_IPV4,
	INP_IPV6,
	INP_WLOCK,
	INP_WUNLOCK,
	in_pcbinshash,
	sotoinpcb,
} from "./in_pcb.ts";
import { TCP_MAX_WINSHIFT, TCP_MAXWIN, TCPS_SYN_RECEIVED } from "./tcp.ts";
import { tcp_rcvseqinit, tcp_sendseqinit } from "./tcp_do_segment.ts";
import { tcp_mss } from "./tcp_mss.ts";
import { tcp_output } from "./tcp_output.ts";
import { tcp_new_isn, tcp_state_change } from "./tcp_subr.ts";
import { TT_KEEP, tcp_timer_activate } from "./tcp_timer.ts";
import {
	intotcpcb,
	TF_ACKNOW,
	TF_NODELAY,
	TF_NOOPT,
	TF_NOPUSH,
	TF_RCVD_SCALE,
	TF_RCVD_TSTMP,
	TF_REQ_SCALE,
	TF_REQ_TSTMP,
	TF_SACK_PERMIT,
	TOF_MSS,
	TOF_SACKPERM,
	TOF_SCALE,
	TOF_TS,
	tcp_sysctl,
	tcp_ts_getticks,
	type tcphdr,
	type tcpopt,
	V_tcpstat,
} from "./tcp_var.ts";

/** The smallest window scale with which a window can reach the largest receive buffer. */
export function tcp_request_scale(): number {
	let scale = 0;
	while (scale < TCP_MAX_WINSHIFT && TCP_MAXWIN << scale < SB_MAX) scale++;
	return scale;
}

/** A SYN for the listening socket `lso`, whose pcb is locked and stays so. Consumes `m`. */
export function* syncache_add(m: mbuf, th: tcphdr, to: tcpopt, lso: socket, isipv6: boolean): Blocking<void> {
	const so = yield* sonewconn(lso, 0);
	if (so === null) {
		V_tcpstat().tcps_listendrop++;
		m_freem(m);
		return;
	}
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	const buf = m.m_buf;
	const ip = m.m_data;
	inp.inp_vflag &= ~(INP_IPV4 | INP_IPV6);
	if (isipv6) {
		inp.inp_vflag |= INP_IPV6;
		in6_copy(inp.inp_laddr6, 0, buf, ip + 24);
		in6_copy(inp.inp_faddr6, 0, buf, ip + 8);
	} else {
		inp.inp_vflag |= INP_IPV4;
		inp.inp_laddr = in_get32(buf, ip + 16);
		inp.inp_faddr = in_get32(buf, ip + 12);
	}
	m_freem(m);
	inp.inp_lport = th.th_dport;
	inp.inp_fport = th.th_sport;
	const linp = sotoinpcb(lso);
	inp.inp_ip_ttl = linp.inp_ip_ttl;
	inp.inp_ip_tos = linp.inp_ip_tos;
	inp.in6p_hops = linp.in6p_hops;
	yield* INP_HASH_WLOCK(inp.inp_pcbinfo);
	in_pcbinshash(inp);
	yield* INP_HASH_WUNLOCK(inp.inp_pcbinfo);

	const tp = intotcpcb(inp);
	tp.t_flags |= intotcpcb(linp).t_flags & (TF_NOPUSH | TF_NODELAY | TF_NOOPT);
	tp.iss = tcp_new_isn();
	tp.irs = th.th_seq;
	tp.ts_offset = arc4random() | 0;
	tcp_rcvseqinit(tp);
	tcp_sendseqinit(tp);
	tp.last_ack_sent = tp.rcv_nxt;
	tp.request_r_scale = tcp_request_scale();
	if ((to.to_flags & TOF_SCALE) !== 0 && (tp.t_flags & TF_REQ_SCALE) !== 0) {
		tp.t_flags |= TF_RCVD_SCALE;
		tp.snd_scale = to.to_wscale;
	} else tp.t_flags &= ~TF_REQ_SCALE;
	if ((to.to_flags & TOF_TS) !== 0 && (tp.t_flags & TF_REQ_TSTMP) !== 0) {
		tp.t_flags |= TF_RCVD_TSTMP;
		tp.ts_recent = to.to_tsval;
		tp.ts_recent_age = tcp_ts_getticks();
	} else tp.t_flags &= ~TF_REQ_TSTMP;
	if ((to.to_flags & TOF_SACKPERM) === 0) tp.t_flags &= ~TF_SACK_PERMIT;
	tp.snd_wnd = th.th_win;
	tp.snd_wl1 = th.th_seq;
	tcp_state_change(tp, TCPS_SYN_RECEIVED);
	yield* tcp_mss(tp, (to.to_flags & TOF_MSS) !== 0 ? to.to_mss : 0);
	V_tcpstat().tcps_accepts++;
	tp.t_flags |= TF_ACKNOW;
	yield* tcp_timer_activate(tp, TT_KEEP, tcp_sysctl().keepinit);
	yield* tcp_output(tp);
	yield* INP_WUNLOCK(inp);
}
