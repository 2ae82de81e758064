/**
 * tcp_input: from an IP packet to the connection it belongs to.
 *
 * @see tcp_input.c tcp_input, tcp6_input, tcp_dooptions
 */
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import {
	CSUM_DATA_VALID,
	CSUM_PSEUDO_HDR,
	M_BCAST,
	M_MCAST,
	m_freem,
	m_pullup,
	m_rcvif,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SO_ACCEPTCONN, type socket } from "../socket/socket.ts";
import { IN_MULTICAST, INADDR_BROADCAST, IPPROTO_TCP, in_get16, in_get32, in_put16, in_put32, in6_copy } from "./in.ts";
import { in_cksum, in_pseudo, in6_cksum, in6_cksum_pseudo } from "./in_cksum.ts";
import { INP_WUNLOCK, INPLOOKUP_WILDCARD, INPLOOKUP_WLOCKPCB, in_pcblookup_mbuf, type inpcb } from "./in_pcb.ts";
import { in6_pcblookup_mbuf } from "./in6_pcb.ts";
import { IP_HDR_LEN } from "./ip.ts";
import { BANDLIM_RST_CLOSEDPORT, badport_bandlim } from "./ip_icmp.ts";
import { ip_stripoptions } from "./ip_output.ts";
import {
	TCP_HDRLEN,
	TCP_MAX_WINSHIFT,
	TCPOLEN_MAXSEG,
	TCPOLEN_SACK,
	TCPOLEN_SACK_PERMITTED,
	TCPOLEN_TIMESTAMP,
	TCPOLEN_WINDOW,
	TCPOPT_EOL,
	TCPOPT_MAXSEG,
	TCPOPT_NOP,
	TCPOPT_SACK,
	TCPOPT_SACK_PERMITTED,
	TCPOPT_TIMESTAMP,
	TCPOPT_WINDOW,
	TCPS_CLOSED,
	TCPS_LISTEN,
	TCPS_TIME_WAIT,
	TH_ACK,
	TH_ACKNO,
	TH_DPORT,
	TH_FIN,
	TH_FLAGS,
	TH_OFF,
	TH_RST,
	TH_SEQ,
	TH_SPORT,
	TH_SYN,
	TH_URP,
	TH_WIN,
} from "./tcp.ts";
import { tcp_do_segment } from "./tcp_do_segment.ts";
import { tcp_dropwithreset } from "./tcp_respond.ts";
import { syncache_add } from "./tcp_syncache.ts";
import { tcp_twcheck } from "./tcp_timewait.ts";
import {
	intotcpcb,
	TCP_MAX_SACK,
	TO_SYN,
	TOF_MSS,
	TOF_SACK,
	TOF_SACKPERM,
	TOF_SCALE,
	TOF_TS,
	type tcpcb,
	tcphdr,
	type tcpopt,
	V_tcbinfo,
	V_tcpstat,
} from "./tcp_var.ts";

export const tcp_receive = SDT_PROBE_DEFINE<[tp: tcpcb, m: mbuf, th: tcphdr, tlen: number]>(
	"tcp:::receive",
	"tp: tcpcb, m: mbuf, th: tcphdr, tlen: number",
);

const LOOKUP = INPLOOKUP_WILDCARD | INPLOOKUP_WLOCKPCB;

/** Reads the options at `at`. Those only a SYN may carry count only if `flags` says it is one. */
export function tcp_dooptions(to: tcpopt, buf: Uint8Array, at: number, len: number, flags: number): void {
	to.to_flags = 0;
	to.to_tsecr = 0;
	to.to_nsacks = 0;
	const end = at + len;
	while (at < end) {
		const opt = buf[at];
		if (opt === TCPOPT_EOL) break;
		if (opt === TCPOPT_NOP) {
			at++;
			continue;
		}
		if (end - at < 2) break;
		const optlen = buf[at + 1];
		if (optlen < 2 || optlen > end - at) break;
		switch (opt) {
			case TCPOPT_MAXSEG:
				if (optlen !== TCPOLEN_MAXSEG || (flags & TO_SYN) === 0) break;
				to.to_flags |= TOF_MSS;
				to.to_mss = in_get16(buf, at + 2);
				break;
			case TCPOPT_WINDOW:
				if (optlen !== TCPOLEN_WINDOW || (flags & TO_SYN) === 0) break;
				to.to_flags |= TOF_SCALE;
				to.to_wscale = Math.min(buf[at + 2], TCP_MAX_WINSHIFT);
				break;
			case TCPOPT_TIMESTAMP:
				if (optlen !== TCPOLEN_TIMESTAMP) break;
				to.to_flags |= TOF_TS;
				to.to_tsval = in_get32(buf, at + 2) | 0;
				to.to_tsecr = in_get32(buf, at + 6) | 0;
				break;
			case TCPOPT_SACK_PERMITTED:
				if (optlen !== TCPOLEN_SACK_PERMITTED || (flags & TO_SYN) === 0) break;
				to.to_flags |= TOF_SACKPERM;
				break;
			case TCPOPT_SACK: {
				if (optlen <= 2 || (optlen - 2) % TCPOLEN_SACK !== 0 || (flags & TO_SYN) !== 0) break;
				to.to_flags |= TOF_SACK;
				to.to_nsacks = Math.min((optlen - 2) / TCPOLEN_SACK, TCP_MAX_SACK);
				for (let i = 0; i < 2 * to.to_nsacks; i++) to.to_sacks[i] = in_get32(buf, at + 2 + 4 * i);
				V_tcpstat().tcps_sack_rcv_blocks++;
				break;
			}
		}
		at += optlen;
	}
}

/** Whether the checksum of the segment is wrong. Over IPv4, FreeBSD overlays the pseudo header on the IP header; so do we. */
function bad_cksum(m: mbuf, isipv6: boolean, off0: number, tlen: number): boolean {
	const buf = m.m_buf;
	const ip = m.m_data;
	const pkt = m.m_pkthdr;
	if ((pkt.csum_flags & CSUM_DATA_VALID) !== 0) {
		if ((pkt.csum_flags & CSUM_PSEUDO_HDR) !== 0) return (pkt.csum_data ^ 0xffff) !== 0;
		const sum = isipv6
			? in6_cksum_pseudo(buf, ip, tlen, IPPROTO_TCP, pkt.csum_data)
			: in_pseudo(in_get32(buf, ip + 12), in_get32(buf, ip + 16), pkt.csum_data + tlen + IPPROTO_TCP);
		return (sum ^ 0xffff) !== 0;
	}
	if (isipv6) return in6_cksum(m, IPPROTO_TCP, off0, tlen) !== 0;
	const w0 = in_get32(buf, ip);
	const w1 = in_get32(buf, ip + 4);
	const ttl = buf[ip + 8];
	const sum = in_get16(buf, ip + 10);
	in_put32(buf, ip, 0);
	in_put32(buf, ip + 4, 0);
	buf[ip + 8] = 0;
	in_put16(buf, ip + 10, tlen);
	const wrong = in_cksum(m, off0 + tlen) !== 0;
	in_put32(buf, ip, w0);
	in_put32(buf, ip + 4, w1);
	buf[ip + 8] = ttl;
	in_put16(buf, ip + 10, sum);
	return wrong;
}

function read_header(th: tcphdr, buf: Uint8Array, at: number, hlen: number): void {
	th.th_sport = in_get16(buf, at + TH_SPORT);
	th.th_dport = in_get16(buf, at + TH_DPORT);
	th.th_seq = in_get32(buf, at + TH_SEQ) | 0;
	th.th_ack = in_get32(buf, at + TH_ACKNO) | 0;
	th.th_flags = buf[at + TH_FLAGS];
	th.th_win = in_get16(buf, at + TH_WIN);
	th.th_urp = in_get16(buf, at + TH_URP);
	th.th_hlen = hlen;
}

/** addresses of the IPv6 packet being looked up; done with before anything waits */
const src6 = new Uint8Array(16);
const dst6 = new Uint8Array(16);

function* lookup(m: mbuf, isipv6: boolean, off0: number): Blocking<inpcb | null> {
	const buf = m.m_buf;
	const ip = m.m_data;
	const sport = in_get16(buf, ip + off0 + TH_SPORT);
	const dport = in_get16(buf, ip + off0 + TH_DPORT);
	if (isipv6) {
		in6_copy(src6, 0, buf, ip + 8);
		in6_copy(dst6, 0, buf, ip + 24);
		return yield* in6_pcblookup_mbuf(V_tcbinfo(), src6, sport, dst6, dport, LOOKUP, m_rcvif(m), m);
	}
	const src = in_get32(buf, ip + 12);
	const dst = in_get32(buf, ip + 16);
	return yield* in_pcblookup_mbuf(V_tcbinfo(), src, sport, dst, dport, LOOKUP, m_rcvif(m), m);
}

/** Is the segment addressed to more than one host? Such a SYN is not answered. */
function to_many(m: mbuf, isipv6: boolean): boolean {
	if ((m.m_flags & (M_BCAST | M_MCAST)) !== 0) return true;
	if (isipv6) return m.m_buf[m.m_data + 24] === 0xff;
	const dst = in_get32(m.m_buf, m.m_data + 16);
	return IN_MULTICAST(dst) || dst === INADDR_BROADCAST;
}

/**
 * A TCP segment, from ip_input or ip6_input.
 *
 * @param m the packet, from its IP header on
 * @param off0 length of the IP header, with options or extension headers
 */
export function* tcp_input(m: mbuf, off0: number, _proto: number): Blocking<void> {
	NET_EPOCH_ASSERT();
	const stat = V_tcpstat();
	stat.tcps_rcvtotal++;
	charge(cost.tcp_input);
	if (m.m_len < off0 + TCP_HDRLEN) {
		const pulled = m_pullup(m, off0 + TCP_HDRLEN);
		if (pulled === null) {
			stat.tcps_rcvshort++;
			return;
		}
		m = pulled;
	}
	const isipv6 = m.m_buf[m.m_data] >> 4 === 6;
	if (!isipv6 && off0 > IP_HDR_LEN) {
		ip_stripoptions(m);
		off0 = IP_HDR_LEN;
	}
	let tlen = isipv6 ? in_get16(m.m_buf, m.m_data + 4) + 40 - off0 : in_get16(m.m_buf, m.m_data + 2) - off0;
	if (bad_cksum(m, isipv6, off0, tlen)) {
		stat.tcps_rcvbadsum++;
		m_freem(m);
		return;
	}
	const hlen = (m.m_buf[m.m_data + off0 + TH_OFF] >> 4) << 2;
	if (hlen < TCP_HDRLEN || hlen > tlen) {
		stat.tcps_rcvbadoff++;
		m_freem(m);
		return;
	}
	tlen -= hlen;
	if (m.m_len < off0 + hlen) {
		const pulled = m_pullup(m, off0 + hlen);
		if (pulled === null) {
			stat.tcps_rcvshort++;
			return;
		}
		m = pulled;
	}
	const drop_hdrlen = off0 + hlen;

	for (;;) {
		const inp = yield* lookup(m, isipv6, off0);
		const at = m.m_data + off0;
		if (inp === null) {
			const th = new tcphdr();
			read_header(th, m.m_buf, at, hlen);
			stat.tcps_noport++;
			if (badport_bandlim(BANDLIM_RST_CLOSEDPORT) < 0) {
				m_freem(m);
				return;
			}
			yield* tcp_dropwithreset(m, th, null, off0, tlen);
			return;
		}
		const tp = intotcpcb(inp);
		if (tp === null || tp.t_state === TCPS_CLOSED) {
			const th = new tcphdr();
			read_header(th, m.m_buf, at, hlen);
			yield* tcp_dropwithreset(m, th, null, off0, tlen);
			yield* INP_WUNLOCK(inp);
			return;
		}
		const th = tp.t_inhdr;
		read_header(th, m.m_buf, at, hlen);
		if (tcp_receive.on !== null) tcp_receive.on(tp, m, th, tlen);
		if (tp.t_state === TCPS_TIME_WAIT) {
			tcp_dooptions(tp.t_inopt, m.m_buf, at + TCP_HDRLEN, hlen - TCP_HDRLEN, 0);
			if (yield* tcp_twcheck(tp, th, m, off0, tlen)) continue;
			return;
		}
		const so = inp.inp_socket as socket;
		if (tp.t_state === TCPS_LISTEN) {
			yield* listen_input(m, th, tp, so, isipv6, off0, hlen, tlen);
			yield* INP_WUNLOCK(inp);
			return;
		}
		tcp_dooptions(tp.t_inopt, m.m_buf, at + TCP_HDRLEN, hlen - TCP_HDRLEN, (th.th_flags & TH_SYN) !== 0 ? TO_SYN : 0);
		yield* tcp_do_segment(m, th, tp.t_inopt, so, tp, off0, drop_hdrlen, tlen);
		return;
	}
}

/** A segment for a listening socket, which stays locked: only a SYN is welcome. */
function* listen_input(
	m: mbuf,
	th: tcphdr,
	tp: tcpcb,
	so: socket,
	isipv6: boolean,
	off0: number,
	hlen: number,
	tlen: number,
): Blocking<void> {
	const flags = th.th_flags;
	if ((flags & TH_RST) !== 0 || (so.so_options & SO_ACCEPTCONN) === 0) {
		m_freem(m);
		return;
	}
	if ((flags & TH_ACK) !== 0) {
		V_tcpstat().tcps_badsyn++;
		yield* tcp_dropwithreset(m, th, null, off0, tlen);
		return;
	}
	if ((flags & TH_SYN) === 0 || (flags & TH_FIN) !== 0 || to_many(m, isipv6)) {
		m_freem(m);
		return;
	}
	tcp_dooptions(tp.t_inopt, m.m_buf, m.m_data + off0 + TCP_HDRLEN, hlen - TCP_HDRLEN, TO_SYN);
	yield* syncache_add(m, th, tp.t_inopt, so, isipv6);
}
