/**
 * Sending IPv6 packets: route, scope, checksums, fragments.
 *
 * Simplified: no packet filters, no IPsec, no extension headers of our own but the fragment header; multicast leaves by
 * the interface of its zone and is not looped back.
 *
 * @see netinet6/ip6_output.c
 */
import { EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOBUFS, EOPNOTSUPP, type Errno } from "../errno.ts";
import { ifnet_byindex } from "../ifnet/if.ts";
import { RT_HAS_GW } from "../ifnet/if_domain.ts";
import { IFF_LOOPBACK, type ifnet } from "../ifnet/if_var.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import {
	CSUM_DELAY_DATA_IPV6,
	CSUM_TSO,
	M_ASSERTPKTHDR,
	M_HASHTYPE_SET,
	M_IP_FRAG,
	M_MCAST,
	M_NOWAIT,
	MT_DATA,
	m_clrprotoflags,
	m_copym,
	m_freem,
	m_gethdr,
	max_linkhdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { fib6_lookup, NH_VALIDATE, NHF_GATEWAY, type nhop_object, type route, rt_generation } from "../route/route.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import {
	AF_INET6,
	IN6_IS_ADDR_UNSPECIFIED,
	IPPROTO_FRAGMENT,
	in_get16,
	in_put16,
	in_put32,
	in6_copy,
	in6_equal_at,
	sockaddr_in6,
} from "./in.ts";
import { in6_delayed_cksum } from "./in_cksum.ts";
import { INP_LOCK_ASSERT, type inpcb } from "./in_pcb.ts";
import type { in6_ifaddr } from "./in6_var.ts";
import { IP_NODEFAULTFLOWID } from "./ip.ts";
import { ip_send_probe } from "./ip_var.ts";
import {
	IP6_DST_OFF,
	IP6_FRAG_LEN,
	IP6_HDR_LEN,
	IP6_HLIM_OFF,
	IP6_NXT_OFF,
	IP6_PLEN_OFF,
	IP6_SRC_OFF,
	IP6F_MORE_FRAG,
	IPV6_FORWARDING,
	IPV6_MINMTU,
	IPV6_MMTU,
	IPV6_UNSPECSRC,
} from "./ip6.ts";
import { V_ip6, V_ip6stat } from "./ip6_var.ts";
import { in6_clearscope, in6_getscope } from "./scope6.ts";

export { IPV6_FORWARDING, IPV6_MINMTU, IPV6_UNSPECSRC } from "./ip6.ts";

/** Options of one packet, or of a socket. @see netinet6/ip6_var.h struct ip6_pktopts */
export class ip6_pktopts {
	/** -1: the default */
	ip6po_hlim = -1;
	ip6po_tclass = -1;
	/** IPV6_PKTINFO: source address, null if none was given */
	ip6po_src: Uint8Array | null = null;
	/** IPV6_PKTINFO: interface, 0 if none was given */
	ip6po_ifindex = 0;
	ip6po_dontfrag = false;
}

/** The nexthop of a packet: the cached one if it still fits. */
function ip6_route(ro: route | null, fibnum: number, buf: Uint8Array, ip6: number): nhop_object | null {
	const dst_off = ip6 + IP6_DST_OFF;
	if (ro !== null) {
		NH_VALIDATE(ro, rt_generation(fibnum, AF_INET6));
		if (ro.ro_nh !== null && in6_equal_at(ro.ro_dst6, buf, dst_off)) return ro.ro_nh;
	}
	const nh = fib6_lookup(fibnum, buf.subarray(dst_off, dst_off + 16), 0, 0, 0);
	if (ro !== null) {
		ro.ro_nh = nh;
		in6_copy(ro.ro_dst6, 0, buf, dst_off);
		ro.ro_cookie = rt_generation(fibnum, AF_INET6);
		ro.ro_flags = nh !== null && (nh.nh_flags & NHF_GATEWAY) !== 0 ? RT_HAS_GW : 0;
	}
	return nh;
}

/**
 * Sends a packet that has an IPv6 header with addresses, next header and hop limit filled in, the addresses with their
 * zones.
 *
 * @param m consumed, also on error
 * @param ro a cached route to use and fill; null: look the route up for this packet only
 * @param ifpp the interface of a multicast packet without a zone; null: the route's
 * @returns EHOSTUNREACH without a route, EMSGSIZE if the packet may not be fragmented, or what the interface says
 */
export function* ip6_output(
	m: mbuf,
	opt: ip6_pktopts | null,
	ro: route | null,
	flags: number,
	_im6o: null,
	ifpp: ifnet | null,
	inp: inpcb | null,
): Blocking<Errno> {
	M_ASSERTPKTHDR(m);
	NET_EPOCH_ASSERT();
	charge(cost.ip6_output);
	const stat = V_ip6stat();
	if (inp !== null) {
		INP_LOCK_ASSERT(inp);
		m.m_pkthdr.fibnum = inp.inp_fibnum;
		if ((flags & IP_NODEFAULTFLOWID) === 0) {
			m.m_pkthdr.flowid = inp.inp_flowid;
			M_HASHTYPE_SET(m, inp.inp_flowtype);
		}
	}
	const buf = m.m_buf;
	const ip6 = m.m_data;
	in_put16(buf, ip6 + IP6_PLEN_OFF, m.m_pkthdr.len - IP6_HDR_LEN);
	if ((flags & IPV6_FORWARDING) === 0) stat.ip6s_localout++;
	if (opt !== null) {
		if (opt.ip6po_hlim >= 0) buf[ip6 + IP6_HLIM_OFF] = opt.ip6po_hlim;
		if (opt.ip6po_tclass >= 0) {
			buf[ip6] = (buf[ip6] & 0xf0) | (opt.ip6po_tclass >> 4);
			buf[ip6 + 1] = (buf[ip6 + 1] & 0x0f) | ((opt.ip6po_tclass & 0x0f) << 4);
		}
	}
	const multicast = buf[ip6 + IP6_DST_OFF] === 0xff;
	const zone = in6_getscope(buf, ip6 + IP6_DST_OFF);
	let ifp: ifnet | null = null;
	let origifp: ifnet | null = null;
	let dst: sockaddr_in6;
	let mtu: number;
	let src: Uint8Array | null = null;
	if (multicast && (ifpp !== null || zone !== 0)) {
		ifp = ifpp ?? ifnet_byindex(zone);
		origifp = ifp;
		mtu = ifp === null ? IPV6_MMTU : ifp.if_mtu;
		dst = new sockaddr_in6(buf.slice(ip6 + IP6_DST_OFF, ip6 + IP6_DST_OFF + 16));
	} else {
		const nh = ip6_route(ro, m.m_pkthdr.fibnum, buf, ip6);
		if (nh === null) {
			stat.ip6s_noroute++;
			m_freem(m);
			return EHOSTUNREACH;
		}
		nh.nh_pksent++;
		ifp = nh.nh_ifp;
		origifp = nh.nh_aifp;
		mtu = nh.nh_mtu;
		src = (nh.nh_ifa as in6_ifaddr).ia_addr.sin6_addr;
		dst = (nh.nh_flags & NHF_GATEWAY) !== 0 ? (nh.gw_sa as sockaddr_in6) : nh.dst6(buf, ip6 + IP6_DST_OFF);
	}
	if (ifp === null || origifp === null) {
		stat.ip6s_noroute++;
		m_freem(m);
		return ENETUNREACH;
	}
	if ((flags & (IPV6_UNSPECSRC | IPV6_FORWARDING)) === 0 && in6_unspecified_at(buf, ip6 + IP6_SRC_OFF)) {
		if (src === null || IN6_IS_ADDR_UNSPECIFIED(src)) {
			m_freem(m);
			return EOPNOTSUPP;
		}
		in6_copy(buf, ip6 + IP6_SRC_OFF, src, 0);
	}
	if (multicast) m.m_flags |= M_MCAST;
	else m.m_flags &= ~M_MCAST;
	const src_zone = in6_getscope(buf, ip6 + IP6_SRC_OFF);
	if ((src_zone !== 0 && src_zone !== origifp.if_index) || (zone !== 0 && zone !== origifp.if_index)) {
		stat.ip6s_badscope++;
		m_freem(m);
		return EHOSTUNREACH;
	}
	in6_clearscope(buf, ip6 + IP6_SRC_OFF);
	in6_clearscope(buf, ip6 + IP6_DST_OFF);
	if ((flags & IPV6_MINMTU) !== 0 && mtu > IPV6_MMTU) mtu = IPV6_MMTU;
	const hdr = m.m_pkthdr;
	if ((hdr.csum_flags & CSUM_DELAY_DATA_IPV6 & ~ifp.if_hwassist) !== 0) {
		in6_delayed_cksum(m, hdr.len - IP6_HDR_LEN, IP6_HDR_LEN);
		hdr.csum_flags &= ~CSUM_DELAY_DATA_IPV6;
	}
	const loopback = (ifp.if_flags & IFF_LOOPBACK) !== 0;
	const via = loopback ? origifp : ifp;
	if (hdr.len <= mtu || (hdr.csum_flags & ifp.if_hwassist & CSUM_TSO) !== 0) {
		m_clrprotoflags(m);
		if (ip_send_probe.on !== null) ip_send_probe.on(m, ifp);
		return yield* ifp.if_output(via, m, dst, ro);
	}
	if ((flags & IPV6_FORWARDING) !== 0 || opt?.ip6po_dontfrag === true) {
		stat.ip6s_cantfrag++;
		m_freem(m);
		return EMSGSIZE;
	}
	let next = ip6_fragment(m, mtu);
	let error = next === null ? ENOBUFS : 0;
	while (next !== null) {
		const piece: mbuf = next;
		next = piece.m_nextpkt;
		piece.m_nextpkt = null;
		if (error !== 0) {
			m_freem(piece);
			continue;
		}
		m_clrprotoflags(piece);
		if (ip_send_probe.on !== null) ip_send_probe.on(piece, ifp);
		error = yield* ifp.if_output(via, piece, dst, ro);
	}
	if (error === 0) stat.ip6s_fragmented++;
	return error;
}

function in6_unspecified_at(buf: Uint8Array, off: number): boolean {
	for (let i = 0; i < 16; i++) if (buf[off + i] !== 0) return false;
	return true;
}

/**
 * Cuts a packet into fragments of at most `mtu` bytes, linked by m_nextpkt. Frees the packet; the pieces share its data.
 *
 * @returns the list, null without memory or when the MTU leaves no room
 */
function ip6_fragment(m: mbuf, mtu: number): mbuf | null {
	const stat = V_ip6stat();
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const hdr = m.m_pkthdr;
	if ((hdr.csum_flags & CSUM_DELAY_DATA_IPV6) !== 0) {
		in6_delayed_cksum(m, hdr.len - IP6_HDR_LEN, IP6_HDR_LEN);
		hdr.csum_flags &= ~CSUM_DELAY_DATA_IPV6;
	}
	const len = (mtu - IP6_HDR_LEN - IP6_FRAG_LEN) & ~7;
	const settings = V_ip6();
	settings.ip6_id = (settings.ip6_id + 1) >>> 0;
	let first: mbuf | null = null;
	let last: mbuf | null = null;
	for (let off = IP6_HDR_LEN; off < hdr.len && len >= 8; off += len) {
		charge(cost.ip_fragment);
		const take = Math.min(len, hdr.len - off);
		const n = m_gethdr(M_NOWAIT, MT_DATA);
		const data = n === null ? null : m_copym(m, off, take, M_NOWAIT);
		if (n === null || data === null) {
			m_freem(n);
			stat.ip6s_odropped++;
			while (first !== null) {
				const next: mbuf | null = first.m_nextpkt;
				first.m_nextpkt = null;
				m_freem(first);
				first = next;
			}
			break;
		}
		n.m_data += max_linkhdr;
		const at = n.m_data;
		const to = n.m_buf;
		to.set(buf.subarray(ip6, ip6 + IP6_HDR_LEN), at);
		to[at + IP6_NXT_OFF] = IPPROTO_FRAGMENT;
		in_put16(to, at + IP6_PLEN_OFF, take + IP6_FRAG_LEN);
		to[at + IP6_HDR_LEN] = buf[ip6 + IP6_NXT_OFF];
		to[at + IP6_HDR_LEN + 1] = 0;
		in_put16(to, at + IP6_HDR_LEN + 2, (off - IP6_HDR_LEN) | (off + take < hdr.len ? IP6F_MORE_FRAG : 0));
		in_put32(to, at + IP6_HDR_LEN + 4, settings.ip6_id);
		n.m_len = IP6_HDR_LEN + IP6_FRAG_LEN;
		n.m_next = data;
		n.m_flags |= (m.m_flags & M_MCAST) | M_IP_FRAG;
		n.m_pkthdr.len = n.m_len + take;
		n.m_pkthdr.fibnum = hdr.fibnum;
		n.m_pkthdr.flowid = hdr.flowid;
		n.m_pkthdr.rsstype = hdr.rsstype;
		stat.ip6s_ofragments++;
		if (last === null) first = n;
		else last.m_nextpkt = n;
		last = n;
	}
	m_freem(m);
	return first;
}

/** Length of what follows the IPv6 header at `ip6`. */
export function ip6_plen(buf: Uint8Array, ip6: number): number {
	return in_get16(buf, ip6 + IP6_PLEN_OFF);
}
