/**
 * ICMPv6: echo replies, error messages, errors about packets of our own, and neighbour discovery's way in.
 *
 * Simplified: no redirects, no router discovery, no multicast listener reports, no node information queries.
 *
 * @see netinet6/icmp6.c, netinet/icmp6.h
 */
import { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOPROTOOPT } from "../errno.ts";
import {
	M_BCAST,
	M_MCAST,
	M_NOWAIT,
	M_PREPEND,
	m_adj,
	m_freem,
	m_pullup,
	m_tag_delete_chain,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { sbinuptime, VNET_DEFINE } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { IPPROTO_ICMPV6, in_put16, in_put32, in6_copy, sockaddr_in6 } from "./in.ts";
import { in6_cksum } from "./in_cksum.ts";
import { in6_selectsrc_addr } from "./in6_src.ts";
import { in6_ifa_at } from "./in6_var.ts";
import {
	ICMP6_HDR_LEN,
	IP6_DST_OFF,
	IP6_HDR_LEN,
	IP6_HLIM_OFF,
	IP6_NXT_OFF,
	IP6_PLEN_OFF,
	IP6_SRC_OFF,
	IPV6_MMTU,
	IPV6_VERSION,
} from "./ip6.ts";
import { ip6_output } from "./ip6_output.ts";
import { V_ip6 } from "./ip6_var.ts";
import { nd6_na_input, nd6_ns_input } from "./nd6_nbr.ts";
import {
	ip6_protox,
	ip6proto_register,
	PRC_MSGSIZE,
	PRC_PARAMPROB,
	PRC_TIMXCEED_INTRANS,
	PRC_UNREACH_ADMIN_PROHIB,
	PRC_UNREACH_HOST,
	PRC_UNREACH_NET,
	PRC_UNREACH_PORT,
	PRC_UNREACH_PROTOCOL,
} from "./protosw_in.ts";
import { rip6_input } from "./raw_ip6.ts";
import { in6_setscope } from "./scope6.ts";

export const ICMP6_DST_UNREACH = 1;
export const ICMP6_PACKET_TOO_BIG = 2;
export const ICMP6_TIME_EXCEEDED = 3;
export const ICMP6_PARAM_PROB = 4;
export const ICMP6_INFOMSG_MASK = 0x80;
export const ICMP6_ECHO_REQUEST = 128;
export const ICMP6_ECHO_REPLY = 129;
export const ND_ROUTER_SOLICIT = 133;
export const ND_ROUTER_ADVERT = 134;
export const ND_NEIGHBOR_SOLICIT = 135;
export const ND_NEIGHBOR_ADVERT = 136;
export const ND_REDIRECT = 137;

export const ICMP6_DST_UNREACH_NOROUTE = 0;
export const ICMP6_DST_UNREACH_ADMIN = 1;
export const ICMP6_DST_UNREACH_BEYONDSCOPE = 2;
export const ICMP6_DST_UNREACH_ADDR = 3;
export const ICMP6_DST_UNREACH_NOPORT = 4;
export const ICMP6_TIME_EXCEED_TRANSIT = 0;
export const ICMP6_PARAMPROB_HEADER = 0;
export const ICMP6_PARAMPROB_NEXTHEADER = 1;
export const ICMP6_PARAMPROB_OPTION = 2;

/** net.inet6.icmp6.errppslimit */
const icmp6errppslim = 100;

class icmp6stat {
	icp6s_error = 0;
	/** errors not sent: about errors, groups, or too many */
	icp6s_canterror = 0;
	icp6s_toofreq = 0;
	icp6s_tooshort = 0;
	icp6s_checksum = 0;
	icp6s_badlen = 0;
	icp6s_reflect = 0;
	icp6s_badns = 0;
	icp6s_badna = 0;
	readonly icp6s_inhist: number[] = new Array<number>(256).fill(0);
	readonly icp6s_outhist: number[] = new Array<number>(256).fill(0);
	/** for the rate limit */
	second = -1;
	errors = 0;
}

export const V_icmp6stat = VNET_DEFINE(() => new icmp6stat());

/** True if no more errors may go out in this second. */
function icmp6_ratelimit(): boolean {
	const stat = V_icmp6stat();
	const second = Math.floor(sbinuptime() / 1_000_000_000);
	if (stat.second !== second) {
		stat.second = second;
		stat.errors = 0;
	}
	return ++stat.errors > icmp6errppslim;
}

/** Whether a packet may be answered with an error at all. */
function icmp6_may_complain(m: mbuf, type: number, code: number): boolean {
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const group = (m.m_flags & (M_BCAST | M_MCAST)) !== 0 || buf[ip6 + IP6_DST_OFF] === 0xff;
	const even_so = type === ICMP6_PACKET_TOO_BIG || (type === ICMP6_PARAM_PROB && code === ICMP6_PARAMPROB_OPTION);
	if (group && !even_so) return false;
	if (buf[ip6 + IP6_SRC_OFF] === 0xff) return false;
	let any = true;
	for (let i = 0; i < 16; i++) if (buf[ip6 + IP6_SRC_OFF + i] !== 0) any = false;
	if (any) return false;
	// never about an error
	if (buf[ip6 + IP6_NXT_OFF] === IPPROTO_ICMPV6 && m.m_len > IP6_HDR_LEN) {
		if ((buf[ip6 + IP6_HDR_LEN] & ICMP6_INFOMSG_MASK) === 0) return false;
	}
	return true;
}

/**
 * Answers a packet with an error message, which quotes as much of it as fits the minimum MTU, unless errors must not be
 * answered so. Consumes the packet.
 *
 * @param param the pointer, or the MTU
 */
export function* icmp6_error(m: mbuf, type: number, code: number, param: number): Blocking<void> {
	charge(cost.icmp_error);
	const stat = V_icmp6stat();
	stat.icp6s_error++;
	if (m.m_len < IP6_HDR_LEN) {
		const pulled = m_pullup(m, IP6_HDR_LEN);
		if (pulled === null) return;
		m = pulled;
	}
	if (!icmp6_may_complain(m, type, code)) {
		stat.icp6s_canterror++;
		m_freem(m);
		return;
	}
	if (icmp6_ratelimit()) {
		stat.icp6s_toofreq++;
		m_freem(m);
		return;
	}
	const room = IPV6_MMTU - IP6_HDR_LEN - ICMP6_HDR_LEN;
	if (m.m_pkthdr.len > room) m_adj(m, room - m.m_pkthdr.len);
	const n = M_PREPEND(m, IP6_HDR_LEN + ICMP6_HDR_LEN, M_NOWAIT);
	if (n === null) return;
	const head =
		n.m_len < IP6_HDR_LEN + ICMP6_HDR_LEN + IP6_HDR_LEN ? m_pullup(n, IP6_HDR_LEN + ICMP6_HDR_LEN + IP6_HDR_LEN) : n;
	if (head === null) return;
	const buf = head.m_buf;
	const ip6 = head.m_data;
	const icmp6 = ip6 + IP6_HDR_LEN;
	const quoted = icmp6 + ICMP6_HDR_LEN;
	in6_copy(buf, ip6 + IP6_SRC_OFF, buf, quoted + IP6_SRC_OFF);
	in6_copy(buf, ip6 + IP6_DST_OFF, buf, quoted + IP6_DST_OFF);
	// what is quoted looks as it did on the wire
	unscope(buf, quoted + IP6_SRC_OFF);
	unscope(buf, quoted + IP6_DST_OFF);
	buf[ip6 + IP6_NXT_OFF] = IPPROTO_ICMPV6;
	buf[icmp6] = type;
	buf[icmp6 + 1] = code;
	in_put32(buf, icmp6 + 4, param);
	stat.icp6s_outhist[type]++;
	yield* icmp6_reflect(head, IP6_HDR_LEN);
}

function unscope(buf: Uint8Array, off: number): void {
	if ((buf[off] === 0xfe && (buf[off + 1] & 0xc0) === 0x80) || (buf[off] === 0xff && (buf[off + 1] & 0x0f) <= 2))
		in_put16(buf, off + 2, 0);
}

/** Sends a message back to where it came from: addresses swapped, source chosen if the destination was not ours alone. */
function* icmp6_reflect(m: mbuf, off: number): Blocking<void> {
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const to = buf.slice(ip6 + IP6_SRC_OFF, ip6 + IP6_SRC_OFF + 16);
	const own = in6_ifa_at(buf, ip6 + IP6_DST_OFF) ?? in6_selectsrc_addr(m.m_pkthdr.fibnum, to);
	if (own === null) {
		m_freem(m);
		return;
	}
	in6_copy(buf, ip6 + IP6_SRC_OFF, own.ia_addr.sin6_addr, 0);
	in6_copy(buf, ip6 + IP6_DST_OFF, to, 0);
	in_put32(buf, ip6, IPV6_VERSION << 24);
	buf[ip6 + IP6_NXT_OFF] = IPPROTO_ICMPV6;
	buf[ip6 + IP6_HLIM_OFF] = V_ip6().ip6_defhlim;
	m.m_flags &= ~(M_BCAST | M_MCAST);
	if (m.m_pkthdr.tags !== null) m_tag_delete_chain(m, null);
	yield* icmp6_send(m, off);
}

/** Completes the checksum and hands the message to IPv6. */
function* icmp6_send(m: mbuf, off: number): Blocking<void> {
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const plen = m.m_pkthdr.len - off;
	in_put16(buf, ip6 + IP6_PLEN_OFF, plen);
	in_put16(buf, ip6 + off + 2, 0);
	in_put16(buf, ip6 + off + 2, in6_cksum(m, IPPROTO_ICMPV6, off, plen));
	m.m_pkthdr.csum_flags = 0;
	m.m_pkthdr.rcvif = null;
	V_icmp6stat().icp6s_reflect++;
	yield* ip6_output(m, null, null, 0, null, null, null);
}

/** What pr_ctlinput calls an error; -1 for one that does not exist. */
function error_cmd(type: number, code: number): number {
	switch (type) {
		case ICMP6_DST_UNREACH:
			switch (code) {
				case ICMP6_DST_UNREACH_NOROUTE:
				case ICMP6_DST_UNREACH_BEYONDSCOPE:
					return PRC_UNREACH_NET;
				case ICMP6_DST_UNREACH_ADMIN:
					return PRC_UNREACH_ADMIN_PROHIB;
				case ICMP6_DST_UNREACH_ADDR:
					return PRC_UNREACH_HOST;
				case ICMP6_DST_UNREACH_NOPORT:
					return PRC_UNREACH_PORT;
				default:
					return -1;
			}
		case ICMP6_PACKET_TOO_BIG:
			return PRC_MSGSIZE;
		case ICMP6_TIME_EXCEEDED:
			return code <= 1 ? PRC_TIMXCEED_INTRANS + code : -1;
		case ICMP6_PARAM_PROB:
			if (code === ICMP6_PARAMPROB_NEXTHEADER) return PRC_UNREACH_PROTOCOL;
			return code <= ICMP6_PARAMPROB_OPTION ? PRC_PARAMPROB : -1;
		default:
			return -1;
	}
}

/** Error number a socket gets for what pr_ctlinput is told. @see netinet6/in6_proto.c inet6ctlerrmap */
export function inet6ctlerrmap(cmd: number): number {
	switch (cmd) {
		case PRC_MSGSIZE:
			return EMSGSIZE;
		case PRC_UNREACH_NET:
			return ENETUNREACH;
		case PRC_UNREACH_HOST:
			return EHOSTUNREACH;
		case PRC_UNREACH_PROTOCOL:
		case PRC_UNREACH_PORT:
		case PRC_UNREACH_ADMIN_PROHIB:
			return ECONNREFUSED;
		case PRC_PARAMPROB:
			return ENOPROTOOPT;
		default:
			return 0;
	}
}

/** An error about a packet of ours: tells the protocol it belonged to. The packet stays with the caller. */
function* icmp6_notify_error(m: mbuf, off: number, cmd: number): Blocking<void> {
	const quoted = off + ICMP6_HDR_LEN;
	if (cmd < 0 || m.m_len < quoted + IP6_HDR_LEN + 8) {
		V_icmp6stat().icp6s_badlen++;
		return;
	}
	const buf = m.m_buf;
	const at = m.m_data + quoted;
	const rcvif = m.m_pkthdr.rcvif;
	if (rcvif !== null) {
		in6_setscope(buf, at + IP6_SRC_OFF, rcvif);
		in6_setscope(buf, at + IP6_DST_OFF, rcvif);
	}
	const dst = new sockaddr_in6(buf.slice(at + IP6_DST_OFF, at + IP6_DST_OFF + 16));
	const pr = ip6_protox[buf[at + IP6_NXT_OFF]];
	if (pr?.pr_ctlinput !== undefined) yield* pr.pr_ctlinput(cmd, dst, m, quoted);
}

/** A received ICMPv6 message: acts on it, then lets raw sockets see what is not a request. */
function* icmp6_input(m: mbuf, off: number, proto: number): Blocking<void> {
	charge(cost.icmp_input);
	const stat = V_icmp6stat();
	const len = m.m_pkthdr.len - off;
	if (len < ICMP6_HDR_LEN) {
		stat.icp6s_tooshort++;
		m_freem(m);
		return;
	}
	// an error's quotation with 8 bytes of what it quotes, or a neighbour message with its options
	const want = off + Math.min(len, 96);
	if (m.m_len < want) {
		const pulled = m_pullup(m, want);
		if (pulled === null) {
			stat.icp6s_tooshort++;
			return;
		}
		m = pulled;
	}
	if (in6_cksum(m, IPPROTO_ICMPV6, off, len) !== 0) {
		stat.icp6s_checksum++;
		m_freem(m);
		return;
	}
	const buf = m.m_buf;
	const icmp6 = m.m_data + off;
	const type = buf[icmp6];
	stat.icp6s_inhist[type]++;
	switch (type) {
		case ICMP6_DST_UNREACH:
		case ICMP6_PACKET_TOO_BIG:
		case ICMP6_TIME_EXCEEDED:
		case ICMP6_PARAM_PROB:
			yield* icmp6_notify_error(m, off, error_cmd(type, buf[icmp6 + 1]));
			break;
		case ICMP6_ECHO_REQUEST:
			buf[icmp6] = ICMP6_ECHO_REPLY;
			stat.icp6s_outhist[ICMP6_ECHO_REPLY]++;
			yield* icmp6_reflect(m, off);
			return;
		case ND_NEIGHBOR_SOLICIT:
			if (!(yield* nd6_ns_input(m, off, len))) stat.icp6s_badns++;
			break;
		case ND_NEIGHBOR_ADVERT:
			if (!(yield* nd6_na_input(m, off, len))) stat.icp6s_badna++;
			break;
	}
	yield* rip6_input(m, off, proto);
}

ip6proto_register(IPPROTO_ICMPV6, { pr_input: icmp6_input });
