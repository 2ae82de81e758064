/**
 * Receiving and forwarding IPv6 packets.
 *
 * Simplified: no packet filters, no IPsec, no multicast routing; a host is in the all-nodes groups and in the
 * solicited-node group of each of its addresses, and in no others. Options in hop-by-hop and destination headers are
 * unknown ones, and are treated as their type says; routing headers are refused.
 *
 * @see netinet6/ip6_input.c, netinet6/ip6_forward.c
 */
import { IFF_LOOPBACK, type ifnet } from "../ifnet/if_var.ts";
import { NETISR_IPV6, NETISR_POLICY_FLOW, netisr_register } from "../ifnet/netisr.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import {
	M_ASSERTPKTHDR,
	M_BCAST,
	M_MCAST,
	m_adj,
	m_clrprotoflags,
	m_freem,
	m_pullup,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { fib6_lookup, NHF_GATEWAY } from "../route/route.ts";
import { SI_ORDER_ANY, SI_SUB_PROTO_DOMAIN, SYSINIT } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { frag6_input } from "./frag6.ts";
import {
	ICMP6_DST_UNREACH,
	ICMP6_DST_UNREACH_BEYONDSCOPE,
	ICMP6_DST_UNREACH_NOROUTE,
	ICMP6_PACKET_TOO_BIG,
	ICMP6_PARAM_PROB,
	ICMP6_PARAMPROB_HEADER,
	ICMP6_PARAMPROB_NEXTHEADER,
	ICMP6_PARAMPROB_OPTION,
	ICMP6_TIME_EXCEED_TRANSIT,
	ICMP6_TIME_EXCEEDED,
	icmp6_error,
} from "./icmp6.ts";
import {
	IPPROTO_DSTOPTS,
	IPPROTO_FRAGMENT,
	IPPROTO_HOPOPTS,
	IPPROTO_NONE,
	IPPROTO_ROUTING,
	in_get16,
	type sockaddr_in6,
} from "./in.ts";
import { in6_ifa_at, V_in6_ifaddrhead } from "./in6_var.ts";
import { ip_receive_probe, ip_send_probe } from "./ip_var.ts";
import {
	IP6_DST_OFF,
	IP6_HDR_LEN,
	IP6_HLIM_OFF,
	IP6_NXT_OFF,
	IP6_PLEN_OFF,
	IP6_SRC_OFF,
	IPV6_VERSION,
	IPV6_VERSION_MASK,
} from "./ip6.ts";
import { V_ip6, V_ip6stat } from "./ip6_var.ts";
import { ip6_protox } from "./protosw_in.ts";
import { in6_clearscope, in6_getscope, in6_setscope } from "./scope6.ts";

/** net.inet6.ip6.hdrnestlimit: how many headers a packet may have */
const ip6_hdrnestlimit = 15;

function is_loopback_at(buf: Uint8Array, off: number): boolean {
	for (let i = 0; i < 15; i++) if (buf[off + i] !== 0) return false;
	return buf[off + 15] === 1;
}

/** Whether the addresses may come in by `ifp` at all. */
function ip6_addresses_ok(buf: Uint8Array, ip6: number, ifp: ifnet | null): boolean {
	const src = ip6 + IP6_SRC_OFF;
	const dst = ip6 + IP6_DST_OFF;
	if (buf[src] === 0xff) return false;
	if (buf[dst] === 0xff && (buf[dst + 1] & 0x0f) === 0) return false;
	if (ifp === null || (ifp.if_flags & IFF_LOOPBACK) !== 0) return true;
	// ::1 may arrive only from ourselves, by the loopback route to one of our addresses
	return !(is_loopback_at(buf, src) || is_loopback_at(buf, dst));
}

/** Whether this host listens to the group at `off`. */
function in6_member(buf: Uint8Array, off: number): boolean {
	let zeroes = true;
	for (let i = 4; i < 11; i++) if (buf[off + i] !== 0) zeroes = false;
	if (!zeroes) return false;
	if (buf[off + 11] === 0 && buf[off + 12] === 0 && buf[off + 13] === 0 && buf[off + 14] === 0 && buf[off + 15] === 1)
		return true;
	if (buf[off + 11] !== 1 || buf[off + 12] !== 0xff) return false;
	for (const ia of V_in6_ifaddrhead().list) {
		const a = ia.ia_addr.sin6_addr;
		if (a[13] === buf[off + 13] && a[14] === buf[off + 14] && a[15] === buf[off + 15]) return true;
	}
	return false;
}

/** Checks a header and makes the packet exactly as long as it says. Consumes a bad packet. @returns it, or null */
function ip6_validate(m: mbuf): mbuf | null {
	const stat = V_ip6stat();
	stat.ip6s_total++;
	if (m.m_len < IP6_HDR_LEN) {
		const pulled = m.m_pkthdr.len < IP6_HDR_LEN ? null : m_pullup(m, IP6_HDR_LEN);
		if (pulled === null) {
			if (m.m_pkthdr.len < IP6_HDR_LEN) m_freem(m);
			stat.ip6s_toosmall++;
			return null;
		}
		m = pulled;
	}
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const ifp = m.m_pkthdr.rcvif;
	if ((buf[ip6] & IPV6_VERSION_MASK) !== IPV6_VERSION) {
		stat.ip6s_badvers++;
		m_freem(m);
		return null;
	}
	if (ip_receive_probe.on !== null) ip_receive_probe.on(m, ifp);
	if (!ip6_addresses_ok(buf, ip6, ifp)) {
		stat.ip6s_badscope++;
		m_freem(m);
		return null;
	}
	const total = IP6_HDR_LEN + in_get16(buf, ip6 + IP6_PLEN_OFF);
	if (m.m_pkthdr.len < total) {
		stat.ip6s_tooshort++;
		m_freem(m);
		return null;
	}
	if (m.m_pkthdr.len > total) {
		if (m.m_len === m.m_pkthdr.len) {
			m.m_len = total;
			m.m_pkthdr.len = total;
		} else m_adj(m, total - m.m_pkthdr.len);
	}
	return m;
}

/** Takes an IPv6 packet from an interface, in its vnet and in the network epoch: up to a protocol, on, or away. */
export function* ip6_input(m: mbuf): Blocking<void> {
	M_ASSERTPKTHDR(m);
	NET_EPOCH_ASSERT();
	charge(cost.ip6_input);
	const valid = ip6_validate(m);
	if (valid === null) return;
	m = valid;
	const stat = V_ip6stat();
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const rcvif = m.m_pkthdr.rcvif;
	if (rcvif !== null) {
		in6_setscope(buf, ip6 + IP6_SRC_OFF, rcvif);
		in6_setscope(buf, ip6 + IP6_DST_OFF, rcvif);
	}
	if (buf[ip6 + IP6_DST_OFF] === 0xff) {
		if (!in6_member(buf, ip6 + IP6_DST_OFF)) {
			stat.ip6s_notmember++;
			m_freem(m);
			return;
		}
	} else {
		const ia = in6_ifa_at(buf, ip6 + IP6_DST_OFF);
		if (ia === null) {
			if (V_ip6().ip6_forwarding === 0) {
				stat.ip6s_cantforward++;
				m_freem(m);
			} else yield* ip6_forward(m);
			return;
		}
		ia.ifa_ipackets++;
		ia.ifa_ibytes += m.m_pkthdr.len;
	}
	yield* ip6_deliver(m);
}

/** Walks the chain of headers up to one that a protocol takes. Consumes the packet. */
function* ip6_deliver(m: mbuf): Blocking<void> {
	const stat = V_ip6stat();
	stat.ip6s_delivered++;
	let nxt = m.m_buf[m.m_data + IP6_NXT_OFF];
	let off = IP6_HDR_LEN;
	for (let nest = 0; nest <= ip6_hdrnestlimit; nest++) {
		switch (nxt) {
			case IPPROTO_HOPOPTS:
			case IPPROTO_DSTOPTS: {
				const n = yield* ip6_options(m, off, nxt === IPPROTO_HOPOPTS && off !== IP6_HDR_LEN);
				if (n === null) return;
				m = n;
				nxt = m.m_buf[m.m_data + off];
				off += (m.m_buf[m.m_data + off + 1] + 1) << 3;
				break;
			}
			case IPPROTO_ROUTING:
				stat.ip6s_badoptions++;
				yield* icmp6_error(m, ICMP6_PARAM_PROB, ICMP6_PARAMPROB_HEADER, off + 2);
				return;
			case IPPROTO_FRAGMENT: {
				const whole = yield* frag6_input(m, off);
				if (whole === null) return;
				m = whole;
				nxt = m.m_buf[m.m_data + IP6_NXT_OFF];
				off = IP6_HDR_LEN;
				break;
			}
			case IPPROTO_NONE:
				m_freem(m);
				return;
			default: {
				const pr = ip6_protox[nxt];
				if (pr !== null) yield* pr.pr_input(m, off, nxt);
				else yield* icmp6_error(m, ICMP6_PARAM_PROB, ICMP6_PARAMPROB_NEXTHEADER, IP6_NXT_OFF);
				return;
			}
		}
	}
	stat.ip6s_toomanyhdr++;
	m_freem(m);
}

/**
 * Looks through a header of options at `off`; what an unknown one means is in the two top bits of its type.
 *
 * @param misplaced a hop-by-hop header that is not the first
 * @returns the packet with the header in its first mbuf, null if it was consumed
 */
function* ip6_options(m: mbuf, off: number, misplaced: boolean): Blocking<mbuf | null> {
	const stat = V_ip6stat();
	if (misplaced) {
		yield* icmp6_error(m, ICMP6_PARAM_PROB, ICMP6_PARAMPROB_NEXTHEADER, off);
		return null;
	}
	if (m.m_pkthdr.len < off + 8) {
		stat.ip6s_tooshort++;
		m_freem(m);
		return null;
	}
	let n = m.m_len < off + 8 ? m_pullup(m, off + 8) : m;
	if (n === null) return null;
	const len = (n.m_buf[n.m_data + off + 1] + 1) << 3;
	if (n.m_pkthdr.len < off + len) {
		stat.ip6s_tooshort++;
		m_freem(n);
		return null;
	}
	if (n.m_len < off + len) n = m_pullup(n, off + len);
	if (n === null) return null;
	const buf = n.m_buf;
	const end = n.m_data + off + len;
	for (let at = n.m_data + off + 2; at < end; ) {
		const type = buf[at];
		if (type === 0) {
			at++;
			continue;
		}
		const action = type >> 6;
		if (type !== 1 && action !== 0) {
			stat.ip6s_badoptions++;
			if (action === 1 || (action === 3 && (n.m_flags & M_MCAST) !== 0)) m_freem(n);
			else yield* icmp6_error(n, ICMP6_PARAM_PROB, ICMP6_PARAMPROB_OPTION, at - n.m_data);
			return null;
		}
		at += 2 + buf[at + 1];
	}
	return n;
}

/** Sends a packet on towards where it is going. Consumes it. @see ip6_forward.c ip6_forward */
function* ip6_forward(m: mbuf): Blocking<void> {
	charge(cost.ip_forward);
	const stat = V_ip6stat();
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const src = ip6 + IP6_SRC_OFF;
	const dst = ip6 + IP6_DST_OFF;
	let unspecified = true;
	for (let i = 0; i < 16; i++) if (buf[src + i] !== 0) unspecified = false;
	if ((m.m_flags & (M_BCAST | M_MCAST)) !== 0 || buf[dst] === 0xff || unspecified) {
		stat.ip6s_cantforward++;
		m_freem(m);
		return;
	}
	if (buf[ip6 + IP6_HLIM_OFF] <= 1) {
		yield* icmp6_error(m, ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT, 0);
		return;
	}
	const nh = fib6_lookup(m.m_pkthdr.fibnum, buf.subarray(dst, dst + 16), 0, 0, 0);
	if (nh === null) {
		stat.ip6s_noroute++;
		yield* icmp6_error(m, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE, 0);
		return;
	}
	const ifp = nh.nh_ifp;
	const zone = in6_getscope(buf, src);
	if (zone !== 0 && zone !== ifp.if_index) {
		stat.ip6s_cantforward++;
		stat.ip6s_badscope++;
		yield* icmp6_error(m, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_BEYONDSCOPE, 0);
		return;
	}
	if (m.m_pkthdr.len > nh.nh_mtu) {
		yield* icmp6_error(m, ICMP6_PACKET_TOO_BIG, 0, nh.nh_mtu);
		return;
	}
	buf[ip6 + IP6_HLIM_OFF]--;
	const to = (nh.nh_flags & NHF_GATEWAY) !== 0 ? (nh.gw_sa as sockaddr_in6) : nh.dst6(buf, dst);
	in6_clearscope(buf, src);
	in6_clearscope(buf, dst);
	m_clrprotoflags(m);
	nh.nh_pksent++;
	if (ip_send_probe.on !== null) ip_send_probe.on(m, ifp);
	const error = yield* ifp.if_output(ifp, m, to, null);
	if (error === 0) stat.ip6s_forward++;
	else stat.ip6s_cantforward++;
}

SYSINIT("ip6_init", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	netisr_register({ nh_name: "ip6", nh_handler: ip6_input, nh_proto: NETISR_IPV6, nh_policy: NETISR_POLICY_FLOW });
});
