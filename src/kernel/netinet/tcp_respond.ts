/**
 * Segments outside of a connection's flow: resets, challenge acknowledgements, keepalive probes.
 *
 * @see tcp_subr.c tcp_respond; tcp_input.c tcp_dropwithreset
 */
import {
	CSUM_TCP,
	CSUM_TCP_IPV6,
	M_BCAST,
	M_GETFIB,
	M_MCAST,
	M_NOWAIT,
	M_SETFIB,
	MT_DATA,
	m_freem,
	m_gethdr,
	max_linkhdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";
import { sbspace } from "../socket/uipc_sockbuf.ts";
import { IN_MULTICAST, INADDR_BROADCAST, IPPROTO_TCP, in_get16, in_get32, in_put16, in_put32, in6_copy } from "./in.ts";
import { in_pseudo, in6_cksum_pseudo } from "./in_cksum.ts";
import { INP_IPV6 } from "./in_pcb.ts";
import { ip_output } from "./ip_output.ts";
import { ip6_output } from "./ip6_output.ts";
import {
	TCP_HDRLEN,
	TCP_MAXWIN,
	TH_ACK,
	TH_ACKNO,
	TH_DPORT,
	TH_FIN,
	TH_FLAGS,
	TH_OFF,
	TH_RST,
	TH_SEQ,
	TH_SPORT,
	TH_SUM,
	TH_SYN,
	TH_WIN,
} from "./tcp.ts";
import { tcp_addoptions, tcpip_fillheaders } from "./tcp_output.ts";
import { TF_NOOPT, TF_RCVD_TSTMP, TOF_TS, tcp_sysctl, tcp_ts_getticks, type tcpcb, type tcphdr } from "./tcp_var.ts";

/**
 * Sends a segment without data. With `tp` it belongs to that connection; with `m` it answers that packet, whose first
 * mbuf holds IP and TCP header, and which is freed.
 */
export function* tcp_respond(
	tp: tcpcb | null,
	m: mbuf | null,
	off: number,
	ack: number,
	seq: number,
	flags: number,
): Blocking<void> {
	const inp = tp === null ? null : tp.t_inpcb;
	const isipv6 = inp !== null ? (inp.inp_vflag & INP_IPV6) !== 0 : m!.m_buf[m!.m_data] >> 4 === 6;
	const iphlen = isipv6 ? 40 : 20;
	charge(cost.tcp_output);
	const n = m_gethdr(M_NOWAIT, MT_DATA);
	if (n === null) {
		m_freem(m);
		return;
	}
	n.m_data += max_linkhdr;
	const buf = n.m_buf;
	const at = n.m_data;
	const th = at + iphlen;
	let optlen = 0;
	let win = 0;
	if (tp !== null && inp !== null) {
		const so = inp.inp_socket as socket | null;
		if ((flags & TH_RST) === 0 && so !== null) {
			win = Math.max(0, Math.min(sbspace(so.so_rcv), TCP_MAXWIN << tp.rcv_scale)) >> tp.rcv_scale;
		}
		if ((tp.t_flags & TF_NOOPT) === 0 && (tp.t_flags & TF_RCVD_TSTMP) !== 0) {
			const to = tp.t_outopt;
			to.to_flags = TOF_TS;
			to.to_tsval = (tcp_ts_getticks() + tp.ts_offset) | 0;
			to.to_tsecr = tp.ts_recent;
			optlen = tcp_addoptions(tp);
			for (let i = 0; i < optlen; i++) buf[th + TCP_HDRLEN + i] = tp.t_optbuf[i];
		}
		tcpip_fillheaders(inp, buf, at, iphlen + TCP_HDRLEN + optlen, tcp_sysctl().path_mtu_discovery);
		in_put16(buf, th + TH_SPORT, inp.inp_lport);
		in_put16(buf, th + TH_DPORT, inp.inp_fport);
		M_SETFIB(n, inp.inp_fibnum);
		if (m === null) flags = TH_ACK;
	} else {
		reply_headers(m as mbuf, off, buf, at, iphlen);
		M_SETFIB(n, M_GETFIB(m as mbuf));
	}
	m_freem(m);
	const tcplen = TCP_HDRLEN + optlen;
	n.m_len = iphlen + tcplen;
	n.m_pkthdr.len = n.m_len;
	n.m_pkthdr.rcvif = null;
	in_put32(buf, th + TH_SEQ, seq);
	in_put32(buf, th + TH_ACKNO, ack);
	buf[th + TH_OFF] = (tcplen >> 2) << 4;
	buf[th + TH_FLAGS] = flags;
	in_put16(buf, th + TH_WIN, win);
	in_put16(buf, th + TH_SUM + 2, 0);
	n.m_pkthdr.csum_data = TH_SUM;
	if (isipv6) {
		n.m_pkthdr.csum_flags = CSUM_TCP_IPV6;
		in_put16(buf, th + TH_SUM, in6_cksum_pseudo(buf, at, tcplen, IPPROTO_TCP, 0));
		yield* ip6_output(n, null, null, 0, null, null, inp);
	} else {
		n.m_pkthdr.csum_flags = CSUM_TCP;
		in_put16(buf, th + TH_SUM, in_pseudo(in_get32(buf, at + 12), in_get32(buf, at + 16), tcplen + IPPROTO_TCP));
		yield* ip_output(n, null, null, 0, null, inp);
	}
}

/** Headers of an answer to a packet nobody here owns: its own, turned round. */
function reply_headers(m: mbuf, off: number, buf: Uint8Array, at: number, iphlen: number): void {
	const from = m.m_buf;
	const ip = m.m_data;
	if (iphlen === 40) {
		in_put32(buf, at, 0x60000000);
		in_put16(buf, at + 4, TCP_HDRLEN);
		buf[at + 6] = IPPROTO_TCP;
		buf[at + 7] = 64;
		in6_copy(buf, at + 8, from, ip + 24);
		in6_copy(buf, at + 24, from, ip + 8);
	} else {
		buf.fill(0, at, at + 20);
		buf[at] = 0x45;
		in_put16(buf, at + 2, 20 + TCP_HDRLEN);
		if (tcp_sysctl().path_mtu_discovery) buf[at + 6] = 0x40;
		buf[at + 8] = 64;
		buf[at + 9] = IPPROTO_TCP;
		in_put32(buf, at + 12, in_get32(from, ip + 16));
		in_put32(buf, at + 16, in_get32(from, ip + 12));
	}
	in_put16(buf, at + iphlen + TH_SPORT, in_get16(from, ip + off + TH_DPORT));
	in_put16(buf, at + iphlen + TH_DPORT, in_get16(from, ip + off + TH_SPORT));
}

/** Answers a segment that must not be answered otherwise with a reset, unless it is a reset itself or was sent to many. */
export function* tcp_dropwithreset(m: mbuf, th: tcphdr, tp: tcpcb | null, off: number, tlen: number): Blocking<void> {
	const buf = m.m_buf;
	const ip = m.m_data;
	let silent = (th.th_flags & TH_RST) !== 0 || (m.m_flags & (M_BCAST | M_MCAST)) !== 0;
	if (buf[ip] >> 4 === 6) silent ||= buf[ip + 24] === 0xff || buf[ip + 8] === 0xff;
	else {
		const dst = in_get32(buf, ip + 16);
		const src = in_get32(buf, ip + 12);
		silent ||= IN_MULTICAST(dst) || IN_MULTICAST(src) || src === INADDR_BROADCAST;
	}
	if (silent) {
		m_freem(m);
		return;
	}
	if ((th.th_flags & TH_ACK) !== 0) {
		yield* tcp_respond(tp, m, off, 0, th.th_ack, TH_RST);
		return;
	}
	if ((th.th_flags & TH_SYN) !== 0) tlen++;
	if ((th.th_flags & TH_FIN) !== 0) tlen++;
	yield* tcp_respond(tp, m, off, (th.th_seq + tlen) | 0, 0, TH_RST | TH_ACK);
}
