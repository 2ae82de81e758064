/**
 * Receiving and forwarding IPv4 packets.
 *
 * Simplified: no packet filters, no IPsec, no multicast routing or groups (a multicast packet goes up, and protocols
 * decide). Of IP options only source routes are looked at: they are refused. Forwarding is ip_tryforward and ip_forward in
 * one, without redirects.
 *
 * @see ip_input.c, ip_fastfwd.c
 */
import { EMSGSIZE } from "../errno.ts";
import { IFF_BROADCAST, IFF_LOOPBACK, type ifnet } from "../ifnet/if_var.ts";
import { NETISR_IP, NETISR_POLICY_FLOW, netisr_register } from "../ifnet/netisr.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import {
	CSUM_IP_CHECKED,
	CSUM_IP_VALID,
	M_ASSERTPKTHDR,
	M_BCAST,
	M_MCAST,
	m_adj,
	m_clrprotoflags,
	m_freem,
	m_pullup,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { fib4_lookup, NHF_GATEWAY } from "../route/route.ts";
import { SI_ORDER_ANY, SI_SUB_PROTO_DOMAIN, SYSINIT } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import {
	IN_LINKLOCAL,
	IN_LOOPBACK,
	IN_MULTICAST,
	INADDR_ANY,
	INADDR_BROADCAST,
	in_canforward,
	in_get16,
	in_get32,
	in_put16,
	type sockaddr_in,
} from "./in.ts";
import { in_cksum, in_cksum_hdr } from "./in_cksum.ts";
import { ifa_is_in, V_in_ifaddrhead } from "./in_var.ts";
import {
	IP_DF,
	IP_DST_OFF,
	IP_HDR_LEN,
	IP_LEN_OFF,
	IP_MF,
	IP_OFF_OFF,
	IP_OFFMASK,
	IP_P_OFF,
	IP_SRC_OFF,
	IP_SUM_OFF,
	IP_TTL_OFF,
	IPOPT_EOL,
	IPOPT_LSRR,
	IPOPT_NOP,
	IPOPT_SSRR,
	IPTTLDEC,
	IPVERSION,
	ip_hlen,
} from "./ip.ts";
import {
	ICMP_TIMXCEED,
	ICMP_TIMXCEED_INTRANS,
	ICMP_UNREACH,
	ICMP_UNREACH_HOST,
	ICMP_UNREACH_NEEDFRAG,
	ICMP_UNREACH_SRCFAIL,
	icmp_error,
	ip_noproto,
} from "./ip_icmp.ts";
import { ip_fragment } from "./ip_output.ts";
import { ip_reass } from "./ip_reass.ts";
import { ip_receive_probe, ip_send_probe, V_ip, V_ipstat } from "./ip_var.ts";
import { ip_protox } from "./protosw_in.ts";

export { type ip_proto, ip6proto_register, ipproto_register } from "./protosw_in.ts";

/**
 * Checks a header and makes the packet exactly as long as it says, with the header in one piece. Consumes a bad packet.
 *
 * @returns the packet, or null
 */
function ip_validate(m: mbuf): mbuf | null {
	const stat = V_ipstat();
	stat.ips_total++;
	if (m.m_pkthdr.len < IP_HDR_LEN) {
		stat.ips_tooshort++;
		m_freem(m);
		return null;
	}
	if (m.m_len < IP_HDR_LEN) {
		const pulled = m_pullup(m, IP_HDR_LEN);
		if (pulled === null) {
			stat.ips_toosmall++;
			return null;
		}
		m = pulled;
	}
	if (m.m_buf[m.m_data] >> 4 !== IPVERSION) {
		stat.ips_badvers++;
		m_freem(m);
		return null;
	}
	const hlen = ip_hlen(m.m_buf, m.m_data);
	if (hlen < IP_HDR_LEN) {
		stat.ips_badhlen++;
		m_freem(m);
		return null;
	}
	if (hlen > m.m_len) {
		const pulled = m_pullup(m, hlen);
		if (pulled === null) {
			stat.ips_badhlen++;
			return null;
		}
		m = pulled;
	}
	const hdr = m.m_pkthdr;
	const ifp = hdr.rcvif;
	if (ip_receive_probe.on !== null) ip_receive_probe.on(m, ifp);
	const buf = m.m_buf;
	const ip = m.m_data;
	if (
		(IN_LOOPBACK(in_get32(buf, ip + IP_DST_OFF)) || IN_LOOPBACK(in_get32(buf, ip + IP_SRC_OFF))) &&
		ifp !== null &&
		(ifp.if_flags & IFF_LOOPBACK) === 0
	) {
		stat.ips_badaddr++;
		m_freem(m);
		return null;
	}
	let bad: boolean;
	if ((hdr.csum_flags & CSUM_IP_CHECKED) !== 0) bad = (hdr.csum_flags & CSUM_IP_VALID) === 0;
	else bad = (hlen === IP_HDR_LEN ? in_cksum_hdr(buf, ip) : in_cksum(m, hlen)) !== 0;
	if (bad) {
		stat.ips_badsum++;
		m_freem(m);
		return null;
	}
	const ip_len = in_get16(buf, ip + IP_LEN_OFF);
	if (ip_len < hlen) {
		stat.ips_badlen++;
		m_freem(m);
		return null;
	}
	if (hdr.len < ip_len) {
		stat.ips_tooshort++;
		m_freem(m);
		return null;
	}
	if (hdr.len > ip_len) {
		if (m.m_len === hdr.len) {
			m.m_len = ip_len;
			hdr.len = ip_len;
		} else m_adj(m, ip_len - hdr.len);
	}
	return m;
}

/** Whether the header has a source route. */
function has_source_route(m: mbuf, hlen: number): boolean {
	const buf = m.m_buf;
	const end = m.m_data + hlen;
	let at = m.m_data + IP_HDR_LEN;
	while (at < end) {
		const opt = buf[at];
		if (opt === IPOPT_EOL) return false;
		if (opt === IPOPT_NOP) {
			at++;
			continue;
		}
		if (opt === IPOPT_LSRR || opt === IPOPT_SSRR) return true;
		const len = at + 1 < end ? buf[at + 1] : 0;
		if (len < 2) return true;
		at += len;
	}
	return false;
}

/** Whether a packet to `dst` that came in by `ifp` is for this host. Counts it for the address it is for. */
function ip_ours(m: mbuf, dst: number, ifp: ifnet | null): boolean {
	const head = V_in_ifaddrhead();
	if (head.list.length === 0 && (m.m_flags & (M_MCAST | M_BCAST)) === 0) return true;
	const ia = head.lookup(dst);
	if (ia !== null) {
		const settings = V_ip();
		const checkif =
			settings.ip_checkinterface !== 0 &&
			settings.ipforwarding === 0 &&
			ifp !== null &&
			(ifp.if_flags & IFF_LOOPBACK) === 0;
		if (!checkif || ia.ifa_ifp === ifp) {
			ia.ifa_ipackets++;
			ia.ifa_ibytes += m.m_pkthdr.len;
			return true;
		}
	}
	if (ifp !== null && (ifp.if_flags & IFF_BROADCAST) !== 0) {
		for (const ifa of ifp.if_addrhead) {
			if (!ifa_is_in(ifa) || ifa.ia_broadaddr === null || ifa.ia_broadaddr.sin_addr !== dst) continue;
			ifa.ifa_ipackets++;
			ifa.ifa_ibytes += m.m_pkthdr.len;
			return true;
		}
	}
	return IN_MULTICAST(dst) || dst === INADDR_BROADCAST || dst === INADDR_ANY;
}

/** Takes an IPv4 packet from an interface, in its vnet and in the network epoch: up to a protocol, on, or away. */
export function* ip_input(m: mbuf): Blocking<void> {
	M_ASSERTPKTHDR(m);
	NET_EPOCH_ASSERT();
	charge(cost.ip_input);
	const valid = ip_validate(m);
	if (valid === null) return;
	m = valid;
	const stat = V_ipstat();
	let hlen = ip_hlen(m.m_buf, m.m_data);
	const dst = in_get32(m.m_buf, m.m_data + IP_DST_OFF);
	if (hlen > IP_HDR_LEN && has_source_route(m, hlen)) {
		stat.ips_badoptions++;
		yield* icmp_error(m, ICMP_UNREACH, ICMP_UNREACH_SRCFAIL, 0, 0);
		return;
	}
	if (!ip_ours(m, dst, m.m_pkthdr.rcvif)) {
		if (IN_LINKLOCAL(dst) || V_ip().ipforwarding === 0) {
			stat.ips_cantforward++;
			m_freem(m);
		} else yield* ip_forward(m, dst);
		return;
	}
	if ((in_get16(m.m_buf, m.m_data + IP_OFF_OFF) & (IP_MF | IP_OFFMASK)) !== 0) {
		const whole = yield* ip_reass(m);
		if (whole === null) return;
		m = whole;
		hlen = ip_hlen(m.m_buf, m.m_data);
	}
	stat.ips_delivered++;
	const proto = m.m_buf[m.m_data + IP_P_OFF];
	const pr = ip_protox[proto];
	if (pr === null) yield* ip_noproto(m);
	else yield* pr.pr_input(m, hlen, proto);
}

/** Sends a packet on towards where it is going. Consumes it. */
function* ip_forward(m: mbuf, dst: number): Blocking<void> {
	charge(cost.ip_forward);
	const stat = V_ipstat();
	const buf = m.m_buf;
	const ip = m.m_data;
	const src = in_get32(buf, ip + IP_SRC_OFF);
	if ((m.m_flags & (M_BCAST | M_MCAST)) !== 0 || !in_canforward(dst) || (src !== INADDR_ANY && !in_canforward(src))) {
		stat.ips_cantforward++;
		m_freem(m);
		return;
	}
	if (buf[ip + IP_TTL_OFF] <= IPTTLDEC) {
		yield* icmp_error(m, ICMP_TIMXCEED, ICMP_TIMXCEED_INTRANS, 0, 0);
		return;
	}
	const nh = fib4_lookup(m.m_pkthdr.fibnum, dst, 0, 0, m.m_pkthdr.flowid);
	if (nh === null) {
		stat.ips_noroute++;
		stat.ips_cantforward++;
		yield* icmp_error(m, ICMP_UNREACH, ICMP_UNREACH_HOST, 0, 0);
		return;
	}
	const ip_len = in_get16(buf, ip + IP_LEN_OFF);
	const mtu = nh.nh_mtu;
	const ifp = nh.nh_ifp;
	const gw = (nh.nh_flags & NHF_GATEWAY) !== 0 ? (nh.gw_sa as sockaddr_in) : nh.dst4(dst);
	// the error quotes the packet as it came, so the decision comes before the header changes
	if (ip_len > mtu && (in_get16(buf, ip + IP_OFF_OFF) & IP_DF) !== 0) {
		stat.ips_cantfrag++;
		yield* icmp_error(m, ICMP_UNREACH, ICMP_UNREACH_NEEDFRAG, 0, mtu);
		return;
	}
	buf[ip + IP_TTL_OFF] -= IPTTLDEC;
	const sum = in_get16(buf, ip + IP_SUM_OFF) + (IPTTLDEC << 8);
	in_put16(buf, ip + IP_SUM_OFF, sum > 0xffff ? (sum + 1) & 0xffff : sum);
	nh.nh_pksent++;
	let error = 0;
	if (ip_len > mtu) {
		error = ip_fragment(m, mtu, ifp.if_hwassist);
		if (error === EMSGSIZE) stat.ips_cantfrag++;
	}
	let next: mbuf | null = m;
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
		error = yield* ifp.if_output(ifp, piece, gw, null);
	}
	if (error !== 0) stat.ips_odropped++;
	else {
		stat.ips_forward++;
		stat.ips_fastforward++;
	}
}

SYSINIT("ip_init", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	netisr_register({ nh_name: "ip", nh_handler: ip_input, nh_proto: NETISR_IP, nh_policy: NETISR_POLICY_FLOW });
});
