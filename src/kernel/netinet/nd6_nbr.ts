/**
 * Neighbour solicitations and advertisements.
 *
 * @see netinet6/nd6_nbr.c; RFC 4861 sections 4.3, 4.4, 7
 */
import type { ifnet } from "../ifnet/if_var.ts";
import { mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { M_NOWAIT, MT_DATA, m_gethdr, max_linkhdr, type mbuf } from "../mbuf/mbuf.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { ND_NEIGHBOR_ADVERT, ND_NEIGHBOR_SOLICIT, V_icmp6stat } from "./icmp6.ts";
import {
	IN6_ARE_ADDR_EQUAL,
	IN6_IS_ADDR_MULTICAST,
	IN6_IS_ADDR_UNSPECIFIED,
	IPPROTO_ICMPV6,
	in_put16,
	in_put32,
	in6_copy,
	in6addr_linklocal_allnodes,
} from "./in.ts";
import { in6_cksum } from "./in_cksum.ts";
import { in6_selectsrc_addr } from "./in6_src.ts";
import { in6_ifa_ifwithaddr } from "./in6_var.ts";
import {
	ICMP6_HDR_LEN,
	IP6_DST_OFF,
	IP6_HDR_LEN,
	IP6_HLIM_OFF,
	IP6_NXT_OFF,
	IP6_PLEN_OFF,
	IP6_SRC_OFF,
	IPV6_MAXHLIM,
	IPV6_UNSPECSRC,
	IPV6_VERSION,
} from "./ip6.ts";
import { ip6_output } from "./ip6_output.ts";
import {
	ND6_LLINFO_INCOMPLETE,
	ND6_LLINFO_REACHABLE,
	ND6_LLINFO_STALE,
	nd6_cache_lladdr,
	nd6_llinfo_setstate,
	nd6_lookup,
	nd6_set_lladdr,
} from "./nd6.ts";
import { in6_has_zone, in6_setscope } from "./scope6.ts";

const ND_NA_FLAG_ROUTER = 0x80;
const ND_NA_FLAG_SOLICITED = 0x40;
const ND_NA_FLAG_OVERRIDE = 0x20;
const ND_OPT_SOURCE_LINKADDR = 1;
const ND_OPT_TARGET_LINKADDR = 2;
/** type, code, checksum, word, target */
const ND_MSG_LEN = ICMP6_HDR_LEN + 16;

/** ff02::1:ffXX:XXXX of an address, on the link of `ifp`. */
function solicited_node(addr: Uint8Array, ifp: ifnet): Uint8Array {
	const group = new Uint8Array(16);
	group[0] = 0xff;
	group[1] = 2;
	group[11] = 1;
	group[12] = 0xff;
	group[13] = addr[13];
	group[14] = addr[14];
	group[15] = addr[15];
	in6_setscope(group, 0, ifp);
	return group;
}

/** Makes a message with its option and sends it by `ifp`. */
function* nd6_send(
	ifp: ifnet,
	type: number,
	word: number,
	src: Uint8Array,
	dst: Uint8Array,
	target: Uint8Array,
	opt: number,
): Blocking<void> {
	charge(cost.nd6_message);
	const m = m_gethdr(M_NOWAIT, MT_DATA);
	if (m === null) return;
	const optlen = opt !== 0 && ifp.if_hw_addr.length === 6 ? 8 : 0;
	const plen = ND_MSG_LEN + optlen;
	m.m_data += max_linkhdr;
	m.m_len = IP6_HDR_LEN + plen;
	m.m_pkthdr.len = m.m_len;
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const nd = ip6 + IP6_HDR_LEN;
	in_put32(buf, ip6, IPV6_VERSION << 24);
	in_put16(buf, ip6 + IP6_PLEN_OFF, plen);
	buf[ip6 + IP6_NXT_OFF] = IPPROTO_ICMPV6;
	buf[ip6 + IP6_HLIM_OFF] = IPV6_MAXHLIM;
	in6_copy(buf, ip6 + IP6_SRC_OFF, src, 0);
	in6_copy(buf, ip6 + IP6_DST_OFF, dst, 0);
	buf[nd] = type;
	buf[nd + 1] = 0;
	in_put16(buf, nd + 2, 0);
	in_put32(buf, nd + 4, word);
	in6_copy(buf, nd + ICMP6_HDR_LEN, target, 0);
	if (in6_has_zone(target, 0)) in_put16(buf, nd + ICMP6_HDR_LEN + 2, 0);
	if (optlen > 0) {
		buf[nd + ND_MSG_LEN] = opt;
		buf[nd + ND_MSG_LEN + 1] = 1;
		for (let i = 0; i < 6; i++) buf[nd + ND_MSG_LEN + 2 + i] = ifp.if_hw_addr[i];
	}
	in_put16(buf, nd + 2, in6_cksum(m, IPPROTO_ICMPV6, IP6_HDR_LEN, plen));
	V_icmp6stat().icp6s_outhist[type]++;
	yield* ip6_output(m, null, null, IN6_IS_ADDR_UNSPECIFIED(src) ? IPV6_UNSPECSRC : 0, null, ifp, null);
}

/**
 * Asks for the link address of `target`.
 *
 * @param daddr ask this address only; null: the group all who have such an address are in
 */
export function* nd6_ns_output(ifp: ifnet, daddr: Uint8Array | null, target: Uint8Array): Blocking<void> {
	const ia = in6_selectsrc_addr(ifp.if_fib, target);
	if (ia === null) return;
	const dst = daddr ?? solicited_node(target, ifp);
	yield* nd6_send(ifp, ND_NEIGHBOR_SOLICIT, 0, ia.ia_addr.sin6_addr, dst, target, ND_OPT_SOURCE_LINKADDR);
}

/** Says that `target` is ours. */
function* nd6_na_output(ifp: ifnet, daddr: Uint8Array, target: Uint8Array, flags: number): Blocking<void> {
	yield* nd6_send(ifp, ND_NEIGHBOR_ADVERT, flags * 0x1000000, target, daddr, target, ND_OPT_TARGET_LINKADDR);
}

/** Offset of the link address in an option of this type, 0 if there is none, -1 if the options are broken. */
function find_lladdr(buf: Uint8Array, nd: number, len: number, type: number): number {
	const end = nd + len;
	for (let at = nd + ND_MSG_LEN; at < end; ) {
		const olen = at + 1 < end ? buf[at + 1] << 3 : 0;
		if (olen === 0 || at + olen > end) return -1;
		if (buf[at] === type) return at + 2;
		at += olen;
	}
	return 0;
}

/** A neighbour solicitation. The packet stays with the caller. @returns false if it is malformed */
export function* nd6_ns_input(m: mbuf, off: number, len: number): Blocking<boolean> {
	charge(cost.nd6_message);
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const nd = ip6 + off;
	const ifp = m.m_pkthdr.rcvif;
	if (ifp === null || buf[ip6 + IP6_HLIM_OFF] !== IPV6_MAXHLIM || len < ND_MSG_LEN) return false;
	const target = buf.slice(nd + ICMP6_HDR_LEN, nd + ND_MSG_LEN);
	if (IN6_IS_ADDR_MULTICAST(target)) return false;
	in6_setscope(target, 0, ifp);
	const src = buf.slice(ip6 + IP6_SRC_OFF, ip6 + IP6_SRC_OFF + 16);
	const lladdr = find_lladdr(buf, nd, Math.min(len, m.m_len - off), ND_OPT_SOURCE_LINKADDR);
	if (lladdr < 0) return false;
	const detecting = IN6_IS_ADDR_UNSPECIFIED(src);
	if (detecting && lladdr > 0) return false;
	const ia = in6_ifa_ifwithaddr(target, 0);
	if (ia === null || ia.ifa_ifp !== ifp) return true;
	if (IN6_ARE_ADDR_EQUAL(src, target)) return true;
	if (detecting) {
		const all = in6addr_linklocal_allnodes.slice();
		in6_setscope(all, 0, ifp);
		yield* nd6_na_output(ifp, all, target, ND_NA_FLAG_OVERRIDE);
		return true;
	}
	if (lladdr > 0) yield* nd6_cache_lladdr(ifp, src, buf, lladdr);
	yield* nd6_na_output(ifp, src, target, ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE);
	return true;
}

/** A neighbour advertisement. The packet stays with the caller. @returns false if it is malformed */
export function* nd6_na_input(m: mbuf, off: number, len: number): Blocking<boolean> {
	charge(cost.nd6_message);
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const nd = ip6 + off;
	const ifp = m.m_pkthdr.rcvif;
	if (ifp === null || buf[ip6 + IP6_HLIM_OFF] !== IPV6_MAXHLIM || len < ND_MSG_LEN) return false;
	const flags = buf[nd + 4];
	const solicited = (flags & ND_NA_FLAG_SOLICITED) !== 0;
	const override = (flags & ND_NA_FLAG_OVERRIDE) !== 0;
	const target = buf.slice(nd + ICMP6_HDR_LEN, nd + ND_MSG_LEN);
	if (IN6_IS_ADDR_MULTICAST(target) || (solicited && buf[ip6 + IP6_DST_OFF] === 0xff)) return false;
	in6_setscope(target, 0, ifp);
	const lladdr = find_lladdr(buf, nd, Math.min(len, m.m_len - off), ND_OPT_TARGET_LINKADDR);
	if (lladdr < 0) return false;
	const ln = nd6_lookup(target, ifp);
	// nobody asked
	if (ln === null) return true;
	yield* mtx_lock(ln.ln_lock);
	if (ln.ln_deleted || ln.ln_static) {
		yield* mtx_unlock(ln.ln_lock);
		return true;
	}
	ln.ln_router = (flags & ND_NA_FLAG_ROUTER) !== 0;
	if (ln.ln_state <= ND6_LLINFO_INCOMPLETE) {
		if (lladdr === 0) yield* mtx_unlock(ln.ln_lock);
		else yield* nd6_set_lladdr(ln, buf, lladdr, solicited ? ND6_LLINFO_REACHABLE : ND6_LLINFO_STALE);
		return true;
	}
	let differs = false;
	if (lladdr > 0) for (let i = 0; i < 6; i++) if (ln.r_linkdata[i] !== buf[lladdr + i]) differs = true;
	if (differs && !override) {
		if (ln.ln_state === ND6_LLINFO_REACHABLE) yield* nd6_llinfo_setstate(ln, ND6_LLINFO_STALE);
		yield* mtx_unlock(ln.ln_lock);
		return true;
	}
	if (differs) {
		yield* nd6_set_lladdr(ln, buf, lladdr, solicited ? ND6_LLINFO_REACHABLE : ND6_LLINFO_STALE);
		return true;
	}
	if (solicited) {
		ln.la_asked = 0;
		yield* nd6_llinfo_setstate(ln, ND6_LLINFO_REACHABLE);
	}
	yield* mtx_unlock(ln.ln_lock);
	return true;
}
