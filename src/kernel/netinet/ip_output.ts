/**
 * Sending IPv4 packets: route, source address, checksums, fragments.
 *
 * Simplified: no packet filters, no IPsec, no send tags; IP options cannot be sent; multicast leaves by the route's
 * interface and is not looped back.
 *
 * @see ip_output.c
 */
import { EACCES, EADDRNOTAVAIL, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOBUFS, type Errno } from "../errno.ts";
import { RT_HAS_GW } from "../ifnet/if_domain.ts";
import { IFF_BROADCAST, IFF_LOOPBACK, IFF_MULTICAST, type ifnet } from "../ifnet/if_var.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import {
	CSUM_DELAY_DATA,
	CSUM_IP,
	CSUM_TSO,
	M_ASSERTPKTHDR,
	M_BCAST,
	M_HASHTYPE_SET,
	M_IP_FRAG,
	M_MCAST,
	M_NOWAIT,
	MT_DATA,
	m_adj,
	m_clrprotoflags,
	m_copym,
	m_freem,
	m_gethdr,
	max_linkhdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import {
	fib4_lookup,
	NH_VALIDATE,
	NHF_BROADCAST,
	NHF_GATEWAY,
	NHF_HOST,
	type route,
	rt_generation,
} from "../route/route.ts";
import { KASSERT } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import {
	AF_INET,
	IN_LOOPBACK,
	IN_MULTICAST,
	INADDR_ANY,
	INADDR_BROADCAST,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	sockaddr_in,
} from "./in.ts";
import { in_cksum, in_cksum_hdr, in_delayed_cksum } from "./in_cksum.ts";
import { ifa_ifwithdstaddr4, ifa_ifwithnet4, in_ifaddr_broadcast } from "./in_ifa.ts";
import { INP_LOCK_ASSERT, type inpcb } from "./in_pcb.ts";
import type { in_ifaddr } from "./in_var.ts";
import {
	IP_ALLOWBROADCAST,
	IP_DF,
	IP_DST_OFF,
	IP_FORWARDING,
	IP_HDR_LEN,
	IP_ID_OFF,
	IP_LEN_OFF,
	IP_MF,
	IP_NODEFAULTFLOWID,
	IP_OFF_OFF,
	IP_OFFMASK,
	IP_RAWOUTPUT,
	IP_ROUTETOIF,
	IP_SENDONES,
	IP_SRC_OFF,
	IP_SUM_OFF,
	IP_TTL_OFF,
	IP_VHL_OFF,
	IPVERSION,
	ip_hlen,
} from "./ip.ts";
import { ip_send_probe, V_ip, V_ipstat } from "./ip_var.ts";

export { IP_ALLOWBROADCAST, IP_FORWARDING, IP_NODEFAULTFLOWID, IP_RAWOUTPUT, IP_ROUTETOIF, IP_SENDONES } from "./ip.ts";

/** Gives a datagram its number; one that may not be fragmented needs none. @see ip_id.c ip_fillid, RFC 6864 */
export function ip_fillid(buf: Uint8Array, ip: number): void {
	if ((in_get16(buf, ip + IP_OFF_OFF) & (IP_DF | IP_MF | IP_OFFMASK)) === IP_DF) {
		in_put16(buf, ip + IP_ID_OFF, 0);
		return;
	}
	const settings = V_ip();
	settings.ip_id = (settings.ip_id + 1) & 0xffff;
	in_put16(buf, ip + IP_ID_OFF, settings.ip_id);
}

/**
 * Sends a packet that has an IP header with source, destination, protocol, length, TTL and offset filled in.
 *
 * @param m consumed, also on error
 * @param opt IP options to insert: not modelled, must be null
 * @param ro a cached route to use and fill; null: look the route up for this packet only
 * @param flags IP_FORWARDING and IP_RAWOUTPUT: the header is complete; IP_ALLOWBROADCAST; IP_ROUTETOIF; IP_SENDONES
 * @param inp the sender's block, locked, if it has one
 * @returns EHOSTUNREACH without a route, EMSGSIZE if the packet may not be fragmented, or what the interface says
 */
export function* ip_output(
	m: mbuf,
	opt: mbuf | null,
	ro: route | null,
	flags: number,
	_imo: null,
	inp: inpcb | null,
): Blocking<Errno> {
	M_ASSERTPKTHDR(m);
	NET_EPOCH_ASSERT();
	KASSERT(opt === null, "ip_output: IP options are not modelled");
	charge(cost.ip_output);
	if (inp !== null) {
		INP_LOCK_ASSERT(inp);
		m.m_pkthdr.fibnum = inp.inp_fibnum;
		if ((flags & IP_NODEFAULTFLOWID) === 0) {
			m.m_pkthdr.flowid = inp.inp_flowid;
			M_HASHTYPE_SET(m, inp.inp_flowtype);
		}
	}
	const stat = V_ipstat();
	const buf = m.m_buf;
	const ip = m.m_data;
	const ip_len = in_get16(buf, ip + IP_LEN_OFF);
	const ip_off = in_get16(buf, ip + IP_OFF_OFF);
	let hlen = IP_HDR_LEN;
	if ((flags & (IP_FORWARDING | IP_RAWOUTPUT)) === 0) {
		buf[ip + IP_VHL_OFF] = (IPVERSION << 4) | (hlen >> 2);
		ip_fillid(buf, ip);
	} else hlen = ip_hlen(buf, ip);
	if ((flags & IP_FORWARDING) === 0) stat.ips_localout++;

	const fibnum = m.m_pkthdr.fibnum;
	const dst = in_get32(buf, ip + IP_DST_OFF);
	let gw: sockaddr_in;
	let ia: in_ifaddr | null;
	let ifp: ifnet;
	let mtu: number;
	let isbroadcast: boolean;
	if ((flags & (IP_SENDONES | IP_ROUTETOIF)) !== 0) {
		ia = ifa_ifwithdstaddr4(dst) ?? ifa_ifwithnet4(dst);
		if (ia === null) {
			stat.ips_noroute++;
			m_freem(m);
			return ENETUNREACH;
		}
		ifp = ia.ifa_ifp;
		mtu = ifp.if_mtu;
		gw = new sockaddr_in(dst);
		buf[ip + IP_TTL_OFF] = 1;
		isbroadcast = (flags & IP_SENDONES) !== 0 || ((ifp.if_flags & IFF_BROADCAST) !== 0 && in_ifaddr_broadcast(dst, ia));
		if ((flags & IP_SENDONES) !== 0) {
			in_put32(buf, ip + IP_DST_OFF, INADDR_BROADCAST);
			gw = new sockaddr_in(INADDR_BROADCAST);
		}
	} else {
		let nh = null;
		if (ro !== null) {
			NH_VALIDATE(ro, rt_generation(fibnum, AF_INET));
			if (ro.ro_nh !== null && ro.ro_dst4 === dst) nh = ro.ro_nh;
		}
		if (nh === null) {
			nh = fib4_lookup(fibnum, dst, 0, 0, m.m_pkthdr.flowid);
			if (ro !== null) {
				ro.ro_nh = nh;
				ro.ro_dst4 = dst;
				ro.ro_cookie = rt_generation(fibnum, AF_INET);
				ro.ro_flags = nh !== null && (nh.nh_flags & NHF_GATEWAY) !== 0 ? RT_HAS_GW : 0;
			}
		}
		if (nh === null) {
			stat.ips_noroute++;
			m_freem(m);
			return EHOSTUNREACH;
		}
		nh.nh_pksent++;
		ifp = nh.nh_ifp;
		ia = nh.nh_ifa as in_ifaddr;
		mtu = nh.nh_mtu;
		gw = (nh.nh_flags & NHF_GATEWAY) !== 0 ? (nh.gw_sa as sockaddr_in) : nh.dst4(dst);
		isbroadcast =
			(nh.nh_flags & (NHF_HOST | NHF_BROADCAST)) === (NHF_HOST | NHF_BROADCAST) ||
			((ifp.if_flags & IFF_BROADCAST) !== 0 && in_ifaddr_broadcast(gw.sin_addr, ia));
	}

	if (in_get32(buf, ip + IP_SRC_OFF) === INADDR_ANY) in_put32(buf, ip + IP_SRC_OFF, ia.ia_addr.sin_addr);
	if (IN_MULTICAST(dst)) {
		m.m_flags |= M_MCAST;
		buf[ip + IP_TTL_OFF] = 1;
		gw = new sockaddr_in(dst);
		if ((ifp.if_flags & IFF_MULTICAST) === 0 || (ifp.if_flags & IFF_LOOPBACK) !== 0) {
			stat.ips_noroute++;
			m_freem(m);
			return ENETUNREACH;
		}
	} else if (isbroadcast) {
		let error: Errno = 0;
		if ((ifp.if_flags & IFF_BROADCAST) === 0) error = EADDRNOTAVAIL;
		else if ((flags & IP_ALLOWBROADCAST) === 0) error = EACCES;
		else if (ip_len > mtu) error = EMSGSIZE;
		if (error !== 0) {
			m_freem(m);
			return error;
		}
		m.m_flags |= M_BCAST;
	} else m.m_flags &= ~M_BCAST;

	const src = in_get32(buf, ip + IP_SRC_OFF);
	if ((IN_LOOPBACK(dst) || IN_LOOPBACK(src)) && (ifp.if_flags & IFF_LOOPBACK) === 0) {
		stat.ips_badaddr++;
		m_freem(m);
		return EADDRNOTAVAIL;
	}
	const hdr = m.m_pkthdr;
	hdr.csum_flags |= CSUM_IP;
	if ((hdr.csum_flags & CSUM_DELAY_DATA & ~ifp.if_hwassist) !== 0) {
		in_delayed_cksum(m);
		hdr.csum_flags &= ~CSUM_DELAY_DATA;
	}
	if (ip_len <= mtu || (hdr.csum_flags & ifp.if_hwassist & CSUM_TSO) !== 0) {
		in_put16(buf, ip + IP_SUM_OFF, 0);
		if ((hdr.csum_flags & CSUM_IP & ~ifp.if_hwassist) !== 0) {
			in_put16(buf, ip + IP_SUM_OFF, hlen === IP_HDR_LEN ? in_cksum_hdr(buf, ip) : in_cksum(m, hlen));
			hdr.csum_flags &= ~CSUM_IP;
		}
		if ((flags & IP_FORWARDING) === 0) {
			ia.ifa_opackets++;
			ia.ifa_obytes += hdr.len;
		}
		m_clrprotoflags(m);
		if (ip_send_probe.on !== null) ip_send_probe.on(m, ifp);
		return yield* ifp.if_output(ifp, m, gw, ro);
	}
	if ((ip_off & IP_DF) !== 0 || (hdr.csum_flags & CSUM_TSO) !== 0) {
		stat.ips_cantfrag++;
		m_freem(m);
		return EMSGSIZE;
	}
	return yield* output_fragments(m, mtu, ifp, ia, gw, ro);
}

/** Fragments a packet and sends the pieces; after the first error the rest is freed. */
function* output_fragments(
	m: mbuf,
	mtu: number,
	ifp: ifnet,
	ia: in_ifaddr,
	gw: sockaddr_in,
	ro: route | null,
): Blocking<Errno> {
	let error = ip_fragment(m, mtu, ifp.if_hwassist);
	let next: mbuf | null = m;
	while (next !== null) {
		const piece: mbuf = next;
		next = piece.m_nextpkt;
		piece.m_nextpkt = null;
		if (error !== 0) {
			m_freem(piece);
			continue;
		}
		ia.ifa_opackets++;
		ia.ifa_obytes += piece.m_pkthdr.len;
		m_clrprotoflags(piece);
		if (ip_send_probe.on !== null) ip_send_probe.on(piece, ifp);
		error = yield* ifp.if_output(ifp, piece, gw, ro);
	}
	if (error === 0) V_ipstat().ips_fragmented++;
	return error;
}

/**
 * Cuts a packet into fragments of at most `mtu` bytes, linked by m_nextpkt; `m` becomes the first of them. The pieces
 * share the data.
 *
 * @returns 0, EMSGSIZE or ENOBUFS; in any case the caller has the whole list
 */
export function ip_fragment(m: mbuf, mtu: number, if_hwassist: number): Errno {
	const stat = V_ipstat();
	const buf = m.m_buf;
	const ip = m.m_data;
	const hlen = ip_hlen(buf, ip);
	const ip_len = in_get16(buf, ip + IP_LEN_OFF);
	const ip_off = in_get16(buf, ip + IP_OFF_OFF);
	if ((ip_off & IP_DF) !== 0) {
		stat.ips_cantfrag++;
		return EMSGSIZE;
	}
	const len = (mtu - hlen) & ~7;
	if (len < 8) return EMSGSIZE;
	if ((m.m_pkthdr.csum_flags & CSUM_DELAY_DATA) !== 0) {
		in_delayed_cksum(m);
		m.m_pkthdr.csum_flags &= ~CSUM_DELAY_DATA;
	}
	m.m_flags |= M_IP_FRAG;
	let last = m;
	for (let off = hlen + len; off < ip_len; off += len) {
		charge(cost.ip_fragment);
		const n = m_gethdr(M_NOWAIT, MT_DATA);
		if (n === null) {
			stat.ips_odropped++;
			return ENOBUFS;
		}
		n.m_flags |= (m.m_flags & M_MCAST) | M_IP_FRAG;
		// options that need not be in every fragment would be left out here
		n.m_data += max_linkhdr;
		n.m_buf.set(buf.subarray(ip, ip + hlen), n.m_data);
		n.m_len = hlen;
		const more = off + len < ip_len;
		const take = more ? len : ip_len - off;
		in_put16(
			n.m_buf,
			n.m_data + IP_OFF_OFF,
			(ip_off + ((off - hlen) >> 3)) | (more || (ip_off & IP_MF) !== 0 ? IP_MF : 0),
		);
		in_put16(n.m_buf, n.m_data + IP_LEN_OFF, take + hlen);
		n.m_next = m_copym(m, off, take, M_NOWAIT);
		if (n.m_next === null) {
			m_freem(n);
			stat.ips_odropped++;
			return ENOBUFS;
		}
		n.m_pkthdr.len = hlen + take;
		n.m_pkthdr.rcvif = null;
		n.m_pkthdr.csum_flags = m.m_pkthdr.csum_flags;
		n.m_pkthdr.fibnum = m.m_pkthdr.fibnum;
		n.m_pkthdr.flowid = m.m_pkthdr.flowid;
		n.m_pkthdr.rsstype = m.m_pkthdr.rsstype;
		fragment_sum(n, hlen, if_hwassist);
		stat.ips_ofragments++;
		last.m_nextpkt = n;
		last = n;
	}
	m_adj(m, hlen + len - ip_len);
	in_put16(buf, ip + IP_LEN_OFF, hlen + len);
	in_put16(buf, ip + IP_OFF_OFF, ip_off | IP_MF);
	fragment_sum(m, hlen, if_hwassist);
	return 0;
}

function fragment_sum(m: mbuf, hlen: number, if_hwassist: number): void {
	in_put16(m.m_buf, m.m_data + IP_SUM_OFF, 0);
	if ((m.m_pkthdr.csum_flags & CSUM_IP & ~if_hwassist) === 0) return;
	in_put16(m.m_buf, m.m_data + IP_SUM_OFF, in_cksum(m, hlen));
	m.m_pkthdr.csum_flags &= ~CSUM_IP;
}

/** Takes the options out of a packet's header. @see ip_options.c ip_stripoptions */
export function ip_stripoptions(m: mbuf): void {
	const buf = m.m_buf;
	const ip = m.m_data;
	const optlen = ip_hlen(buf, ip) - IP_HDR_LEN;
	buf.copyWithin(ip + optlen, ip, ip + IP_HDR_LEN);
	m.m_data += optlen;
	m.m_len -= optlen;
	m.m_pkthdr.len -= optlen;
	in_put16(buf, m.m_data + IP_LEN_OFF, in_get16(buf, m.m_data + IP_LEN_OFF) - optlen);
	buf[m.m_data + IP_VHL_OFF] = (IPVERSION << 4) | (IP_HDR_LEN >> 2);
}
