/**
 * ICMP for IPv4: echo replies, error messages, and errors about packets of our own.
 *
 * Simplified: no redirects, no router discovery, no address mask or time stamp replies.
 *
 * @see ip_icmp.c, netinet/ip_icmp.h
 */
import { IFF_LOOPBACK } from "../ifnet/if_var.ts";
import {
	M_BCAST,
	M_MCAST,
	M_NOWAIT,
	M_PKTHDR,
	MHLEN,
	MT_DATA,
	m_align,
	m_copydata,
	m_freem,
	m_getcl,
	m_gethdr,
	m_length,
	m_pullup,
	m_tag_delete_chain,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { fib4_lookup } from "../route/route.ts";
import { KASSERT, sbinuptime, VNET_DEFINE } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import {
	IN_MULTICAST,
	INADDR_ANY,
	IPPROTO_ICMP,
	IPPROTO_TCP,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	sockaddr_in,
} from "./in.ts";
import { in_cksum_skip } from "./in_cksum.ts";
import { ifa_ifwithaddr4, ifaof_ifpforaddr4 } from "./in_ifa.ts";
import type { in_ifaddr } from "./in_var.ts";
import {
	IP_DF,
	IP_DST_OFF,
	IP_HDR_LEN,
	IP_LEN_OFF,
	IP_MF,
	IP_OFF_OFF,
	IP_P_OFF,
	IP_SRC_OFF,
	IP_SUM_OFF,
	IP_TOS_OFF,
	IP_TTL_OFF,
	IP_VHL_OFF,
	IPVERSION,
	ip_hlen,
} from "./ip.ts";
import { ip_output, ip_stripoptions } from "./ip_output.ts";
import { V_ip, V_ipstat } from "./ip_var.ts";
import {
	ip_protox,
	ipproto_register,
	PRC_MSGSIZE,
	PRC_PARAMPROB,
	PRC_TIMXCEED_INTRANS,
	PRC_UNREACH_ADMIN_PROHIB,
	PRC_UNREACH_NET,
	PRC_UNREACH_PORT,
	PRC_UNREACH_PROTOCOL,
} from "./protosw_in.ts";
import { rip_input } from "./raw_ip.ts";

export const ICMP_ECHOREPLY = 0;
export const ICMP_UNREACH = 3;
export const ICMP_SOURCEQUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIMXCEED = 11;
export const ICMP_PARAMPROB = 12;
export const ICMP_MAXTYPE = 40;

export const ICMP_UNREACH_NET = 0;
export const ICMP_UNREACH_HOST = 1;
export const ICMP_UNREACH_PROTOCOL = 2;
export const ICMP_UNREACH_PORT = 3;
export const ICMP_UNREACH_NEEDFRAG = 4;
export const ICMP_UNREACH_SRCFAIL = 5;
export const ICMP_UNREACH_NET_PROHIB = 9;
export const ICMP_UNREACH_HOST_PROHIB = 10;
export const ICMP_UNREACH_FILTER_PROHIB = 13;

export const ICMP_TIMXCEED_INTRANS = 0;
export const ICMP_TIMXCEED_REASS = 1;

/** type, code, checksum and one word */
export const ICMP_MINLEN = 8;
/** shortest error: its header, the quoted header and 8 bytes more */
const ICMP_ADVLENMIN = ICMP_MINLEN + IP_HDR_LEN + 8;

/** net.inet.icmp.quotelen: how much of a packet an error quotes */
const icmp_quotelen = 8;
/** net.inet.icmp.icmplim: errors, echo replies and so on in a second */
const icmplim = 200;

export const BANDLIM_ICMP_UNREACH = 0;
export const BANDLIM_ICMP_ECHO = 1;
export const BANDLIM_RST_CLOSEDPORT = 3;
export const BANDLIM_RST_OPENPORT = 4;
export const BANDLIM_ICMP6_UNREACH = 5;
const BANDLIM_MAX = 6;

class icmpstat {
	icps_error = 0;
	icps_oldicmp = 0;
	icps_badcode = 0;
	icps_tooshort = 0;
	icps_checksum = 0;
	icps_badlen = 0;
	icps_reflect = 0;
	icps_bmcastecho = 0;
	icps_badaddr = 0;
	icps_noroute = 0;
	/** suppressed by the rate limit */
	icps_limited = 0;
	readonly icps_inhist: number[] = new Array<number>(ICMP_MAXTYPE + 1).fill(0);
	readonly icps_outhist: number[] = new Array<number>(ICMP_MAXTYPE + 1).fill(0);
}

export const V_icmpstat = VNET_DEFINE(() => new icmpstat());

class bandlim {
	readonly second: number[] = new Array<number>(BANDLIM_MAX).fill(-1);
	readonly count: number[] = new Array<number>(BANDLIM_MAX).fill(0);
}

const V_bandlim = VNET_DEFINE(() => new bandlim());

/** Whether one more reply of this kind may go out in this second: 0, or -1 if not. @see ip_icmp.c badport_bandlim */
export function badport_bandlim(which: number): number {
	const limits = V_bandlim();
	const second = Math.floor(sbinuptime() / 1_000_000_000);
	if (limits.second[which] !== second) {
		limits.second[which] = second;
		limits.count[which] = 0;
	}
	if (++limits.count[which] <= icmplim) return 0;
	V_icmpstat().icps_limited++;
	return -1;
}

/** Questions and answers, as opposed to errors. */
function ICMP_INFOTYPE(type: number): boolean {
	return type === ICMP_ECHOREPLY || type === ICMP_ECHO || type === 9 || type === 10 || (type >= 13 && type <= 18);
}

/** Whether a packet may be answered with an error at all. */
function icmp_may_complain(n: mbuf, type: number): boolean {
	if ((n.m_flags & (M_BCAST | M_MCAST)) !== 0) return false;
	const buf = n.m_buf;
	const oip = n.m_data;
	if (n.m_len < IP_HDR_LEN + ICMP_MINLEN) return false;
	const oiphlen = ip_hlen(buf, oip);
	if (n.m_len < oiphlen + ICMP_MINLEN) return false;
	if ((in_get16(buf, oip + IP_OFF_OFF) & ~(IP_MF | IP_DF) & 0xffff) !== 0) return false;
	if (buf[oip + IP_P_OFF] === IPPROTO_ICMP && type !== ICMP_REDIRECT && !ICMP_INFOTYPE(buf[oip + oiphlen])) {
		V_icmpstat().icps_oldicmp++;
		return false;
	}
	return true;
}

/** How many bytes behind the IP header to quote: a TCP header whole, 8 of anything else. */
function icmp_quote_length(n: mbuf, oiphlen: number): number {
	const buf = n.m_buf;
	const oip = n.m_data;
	const payload = in_get16(buf, oip + IP_LEN_OFF) - oiphlen;
	const quote = Math.min(icmp_quotelen, payload);
	if (buf[oip + IP_P_OFF] === IPPROTO_TCP && n.m_len >= oiphlen + 20) {
		const tcphlen = (buf[oip + oiphlen + 12] >> 4) << 2;
		if (tcphlen >= 20 && tcphlen <= payload && n.m_len >= oiphlen + tcphlen) return Math.max(tcphlen, quote);
	}
	return Math.max(8, quote);
}

/**
 * Answers a packet with an error message, unless errors must not be answered so: not to broadcasts, later fragments, or
 * other errors. Consumes the packet.
 *
 * @param dest the gateway of a redirect
 * @param mtu of ICMP_UNREACH_NEEDFRAG
 */
export function* icmp_error(n: mbuf, type: number, code: number, dest: number, mtu: number): Blocking<void> {
	KASSERT(type <= ICMP_MAXTYPE, "icmp_error: illegal ICMP type");
	charge(cost.icmp_error);
	const stat = V_icmpstat();
	if (type !== ICMP_REDIRECT) stat.icps_error++;
	if (!icmp_may_complain(n, type)) {
		m_freem(n);
		return;
	}
	const oiphlen = ip_hlen(n.m_buf, n.m_data);
	const icmplen = Math.min(oiphlen + icmp_quote_length(n, oiphlen), m_length(n));
	const total = IP_HDR_LEN + ICMP_MINLEN + icmplen;
	const m = MHLEN > total ? m_gethdr(M_NOWAIT, MT_DATA) : m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	if (m === null) {
		m_freem(n);
		return;
	}
	m_align(m, total);
	m.m_len = total;
	m.m_pkthdr.len = total;
	m.m_pkthdr.fibnum = n.m_pkthdr.fibnum;
	m.m_pkthdr.rcvif = n.m_pkthdr.rcvif;
	stat.icps_outhist[type]++;
	const buf = m.m_buf;
	const ip = m.m_data;
	const icp = ip + IP_HDR_LEN;
	m_copydata(n, 0, IP_HDR_LEN, buf, ip);
	buf[ip + IP_VHL_OFF] = (IPVERSION << 4) | (IP_HDR_LEN >> 2);
	buf[ip + IP_TOS_OFF] = 0;
	buf[ip + IP_P_OFF] = IPPROTO_ICMP;
	in_put16(buf, ip + IP_LEN_OFF, total);
	in_put16(buf, ip + IP_OFF_OFF, 0);
	buf[icp] = type;
	buf[icp + 1] = type === ICMP_PARAMPROB ? 0 : code;
	in_put32(buf, icp + 4, 0);
	if (type === ICMP_REDIRECT) in_put32(buf, icp + 4, dest);
	else if (type === ICMP_PARAMPROB) buf[icp + 4] = code;
	else if (type === ICMP_UNREACH && code === ICMP_UNREACH_NEEDFRAG) in_put16(buf, icp + 6, mtu);
	m_copydata(n, 0, icmplen, buf, icp + ICMP_MINLEN);
	m_freem(n);
	yield* icmp_reflect(m);
}

/** Source address of a reply: the address that was asked, or that of the interface the packet came in by, or went out. */
function icmp_source(m: mbuf, asked: number, to: number): number | null {
	if (ifa_ifwithaddr4(asked) !== null) return asked;
	const rcvif = m.m_pkthdr.rcvif;
	if (rcvif !== null && (rcvif.if_flags & IFF_LOOPBACK) === 0) {
		const ia = ifaof_ifpforaddr4(to, rcvif);
		if (ia !== null) return ia.ia_addr.sin_addr;
	}
	const nh = fib4_lookup(m.m_pkthdr.fibnum, to, 0, 0, 0);
	return nh === null ? null : (nh.nh_ifa as in_ifaddr).ia_addr.sin_addr;
}

/** Sends a packet back to where it came from. Consumes it. */
function* icmp_reflect(m: mbuf): Blocking<void> {
	if (ip_hlen(m.m_buf, m.m_data) > IP_HDR_LEN) ip_stripoptions(m);
	const buf = m.m_buf;
	const ip = m.m_data;
	const src = in_get32(buf, ip + IP_SRC_OFF);
	const dst = in_get32(buf, ip + IP_DST_OFF);
	// multicast, experimental, the null network; a link-local source is answered, and ip_output looks after broadcasts
	if (IN_MULTICAST(src) || src >>> 28 === 0xf || src >>> 24 === 0) {
		V_icmpstat().icps_badaddr++;
		m_freem(m);
		return;
	}
	const from = IN_MULTICAST(dst) || src === INADDR_ANY ? null : icmp_source(m, dst, src);
	if (from === null) {
		V_icmpstat().icps_noroute++;
		m_freem(m);
		return;
	}
	in_put32(buf, ip + IP_SRC_OFF, from);
	in_put32(buf, ip + IP_DST_OFF, src);
	buf[ip + IP_TTL_OFF] = V_ip().ip_defttl;
	if (m.m_pkthdr.tags !== null) m_tag_delete_chain(m, null);
	m.m_flags &= ~(M_BCAST | M_MCAST);
	yield* icmp_send(m);
}

/** Completes the checksum and hands the message to IP. */
function* icmp_send(m: mbuf): Blocking<void> {
	const buf = m.m_buf;
	const ip = m.m_data;
	const hlen = ip_hlen(buf, ip);
	in_put16(buf, ip + hlen + 2, 0);
	in_put16(buf, ip + hlen + 2, in_cksum_skip(m, in_get16(buf, ip + IP_LEN_OFF), hlen));
	in_put16(buf, ip + IP_SUM_OFF, 0);
	m.m_pkthdr.csum_flags = 0;
	m.m_pkthdr.rcvif = null;
	yield* ip_output(m, null, null, 0, null, null);
}

/** What pr_ctlinput calls a destination-unreachable code; -1 for one that does not exist. */
function unreach_cmd(code: number): number {
	switch (code) {
		case ICMP_UNREACH_NEEDFRAG:
			return PRC_MSGSIZE;
		case ICMP_UNREACH_PROTOCOL:
			return PRC_UNREACH_PROTOCOL;
		case ICMP_UNREACH_PORT:
			return PRC_UNREACH_PORT;
		case ICMP_UNREACH_NET_PROHIB:
		case ICMP_UNREACH_HOST_PROHIB:
		case ICMP_UNREACH_FILTER_PROHIB:
			return PRC_UNREACH_ADMIN_PROHIB;
		default:
			return code <= 15 ? PRC_UNREACH_NET : -1;
	}
}

/** An error about a packet of ours: tells the protocol it belonged to. The packet stays with the caller. */
function* icmp_deliver(m: mbuf, hlen: number, icmplen: number, cmd: number): Blocking<void> {
	const buf = m.m_buf;
	const quoted = m.m_data + hlen + ICMP_MINLEN;
	const stat = V_icmpstat();
	if (
		icmplen < ICMP_ADVLENMIN ||
		ip_hlen(buf, quoted) < IP_HDR_LEN ||
		icmplen < ICMP_MINLEN + ip_hlen(buf, quoted) + 8
	) {
		stat.icps_badlen++;
		return;
	}
	const dst = in_get32(buf, quoted + IP_DST_OFF);
	if (IN_MULTICAST(dst) || cmd < 0) {
		stat.icps_badcode++;
		return;
	}
	const pr = ip_protox[buf[quoted + IP_P_OFF]];
	if (pr?.pr_ctlinput !== undefined) yield* pr.pr_ctlinput(cmd, new sockaddr_in(dst), m, hlen + ICMP_MINLEN);
}

/** A received ICMP message: acts on it, then lets raw sockets see what is not a request. */
function* icmp_input(m: mbuf, hlen: number, proto: number): Blocking<void> {
	charge(cost.icmp_input);
	const stat = V_icmpstat();
	const icmplen = in_get16(m.m_buf, m.m_data + IP_LEN_OFF) - hlen;
	if (icmplen < ICMP_MINLEN) {
		stat.icps_tooshort++;
		m_freem(m);
		return;
	}
	const want = hlen + Math.min(icmplen, ICMP_MINLEN + 60 + 60);
	if (m.m_len < want) {
		const pulled = m_pullup(m, want);
		if (pulled === null) {
			stat.icps_tooshort++;
			return;
		}
		m = pulled;
	}
	if (in_cksum_skip(m, hlen + icmplen, hlen) !== 0) {
		stat.icps_checksum++;
		m_freem(m);
		return;
	}
	const buf = m.m_buf;
	const icp = m.m_data + hlen;
	const type = buf[icp];
	const code = buf[icp + 1];
	if (type <= ICMP_MAXTYPE) stat.icps_inhist[type]++;
	switch (type) {
		case ICMP_UNREACH:
			yield* icmp_deliver(m, hlen, icmplen, unreach_cmd(code));
			break;
		case ICMP_TIMXCEED:
			yield* icmp_deliver(m, hlen, icmplen, code > 1 ? -1 : PRC_TIMXCEED_INTRANS + code);
			break;
		case ICMP_PARAMPROB:
			yield* icmp_deliver(m, hlen, icmplen, code > 1 ? -1 : PRC_PARAMPROB);
			break;
		case ICMP_ECHO:
			if ((m.m_flags & (M_MCAST | M_BCAST)) !== 0) {
				stat.icps_bmcastecho++;
				break;
			}
			if (badport_bandlim(BANDLIM_ICMP_ECHO) < 0) {
				m_freem(m);
				return;
			}
			buf[icp] = ICMP_ECHOREPLY;
			stat.icps_reflect++;
			stat.icps_outhist[ICMP_ECHOREPLY]++;
			yield* icmp_reflect(m);
			return;
	}
	yield* rip_input(m, hlen, proto);
}

/** A packet for a protocol nobody has: counted, and answered with an error if it was for us alone. */
export function* ip_noproto(m: mbuf): Blocking<void> {
	V_ipstat().ips_noproto++;
	V_ipstat().ips_delivered--;
	yield* icmp_error(m, ICMP_UNREACH, ICMP_UNREACH_PROTOCOL, 0, 0);
}

ipproto_register(IPPROTO_ICMP, { pr_input: icmp_input });
