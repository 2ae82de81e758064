/**
 * Ethernet: headers on the way out, demultiplexing on the way in.
 *
 * Simplified: no VLANs (tagged frames are dropped as on an interface without a trunk), bridges, lagg, netgraph or packet
 * filters.
 *
 * @see net/if_ethersubr.c; kernel.md section 4.1
 */

import { bcopy } from "../../machine/bcopy.ts";
import { Spares } from "../../machine/spares.ts";
import {
	EADDRNOTAVAIL,
	EAFNOSUPPORT,
	EHOSTDOWN,
	EHOSTUNREACH,
	EINVAL,
	ENETDOWN,
	ENOBUFS,
	EOPNOTSUPP,
	type Errno,
	EWOULDBLOCK,
} from "../errno.ts";
import { in_net_epoch, NET_EPOCH_ASSERT, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import {
	CSUM_DATA_VALID,
	CSUM_DELAY_DATA,
	CSUM_IP,
	CSUM_IP_CHECKED,
	CSUM_IP_VALID,
	CSUM_PSEUDO_HDR,
	M_BCAST,
	M_MCAST,
	M_NOWAIT,
	M_PREPEND,
	M_PROMISC,
	M_SETFIB,
	M_VLANTAG,
	m_adj,
	m_clrprotoflags,
	m_dup,
	m_freem,
	type mbuf,
} from "../mbuf/mbuf.ts";
import {
	AF_ARP,
	AF_INET,
	AF_INET6,
	AF_LINK,
	IN_MULTICAST,
	IN6_IS_ADDR_MULTICAST,
	IN6_IS_ADDR_UNSPECIFIED,
	in_get16,
	in_put16,
	type sockaddr,
	sockaddr_dl,
	type sockaddr_in,
	type sockaddr_in6,
} from "../netinet/in.ts";
import type { route } from "../route/nhop.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	KASSERT,
	KERNEL_GLOBAL,
	SI_ORDER_ANY,
	SI_SUB_INIT_IF,
	SYSINIT,
	type vnet,
} from "../sched/kernel.ts";
import { type Blocking, charge, cost, DONE, done, sync, sync_read_mostly } from "../sched/thread.ts";
import { BPF_MTAP, bpfattach, bpfdetach, DLT_EN10MB } from "./bpf.ts";
import {
	ETHER_ADDR_LEN,
	ETHER_HDR_LEN,
	ETHER_IS_BROADCAST,
	ETHER_IS_MULTICAST,
	ETHER_MAP_IP_MULTICAST,
	ETHER_MAP_IPV6_MULTICAST,
	ETHERMTU,
	ETHERTYPE_ARP,
	ETHERTYPE_IP,
	ETHERTYPE_IPV6,
	ETHERTYPE_QINQ,
	ETHERTYPE_VLAN,
	ether_copy,
	ether_equal,
	etherbroadcastaddr,
} from "./ethernet.ts";
import { if_attach, if_detach, if_printf } from "./if.ts";
import { linkhdr, pffinddomain, RT_HAS_GW, RT_L2_ME, RT_MAY_LOOP } from "./if_domain.ts";
import { arp_ifinit, arpresolve } from "./if_ether.ts";
import { if_simloop } from "./if_loop.ts";
import {
	IFCAP_HWSTATS,
	IFCOUNTER_IBYTES,
	IFCOUNTER_IERRORS,
	IFCOUNTER_IMCASTS,
	IFCOUNTER_IQDROPS,
	IFCOUNTER_NOPROTO,
	IFF_DRV_RUNNING,
	IFF_MONITOR,
	IFF_NOARP,
	IFF_SIMPLEX,
	IFF_UP,
	IFT_ETHER,
	if_inc_counter,
	type ifaddr,
	type ifnet,
} from "./if_var.ts";
import {
	NETISR_ARP,
	NETISR_DISPATCH_DIRECT,
	NETISR_ETHER,
	NETISR_IP,
	NETISR_IPV6,
	NETISR_POLICY_SOURCE,
	netisr_dispatch,
	netisr_register,
} from "./netisr.ts";
import { type ifreq, SIOCSIFADDR, SIOCSIFMTU } from "./sockio.ts";

/** Link headers not in use. What C keeps on its stack must not be shared by threads that yield, nor made for every packet. */
const linkhdrs = KERNEL_GLOBAL(() => new Spares(() => new linkhdr()));

/** A packet we receive from ourselves needs no checksums: says so. @see if_ethersubr.c update_mbuf_csumflags */
function update_mbuf_csumflags(src: mbuf, dst: mbuf): void {
	let flags = 0;
	if ((src.m_pkthdr.csum_flags & CSUM_IP) !== 0) flags |= CSUM_IP_CHECKED | CSUM_IP_VALID;
	if ((src.m_pkthdr.csum_flags & CSUM_DELAY_DATA) !== 0) flags |= CSUM_DATA_VALID | CSUM_PSEUDO_HDR;
	dst.m_pkthdr.csum_flags |= flags;
	if ((flags & CSUM_DATA_VALID) !== 0) dst.m_pkthdr.csum_data = 0xffff;
}

/** Fills in type and source of a link header. */
function ether_fillheader(ifp: ifnet, lh: linkhdr, etype: number): Blocking<Errno> {
	ether_copy(lh.buf, 6, ifp.if_hw_addr, 0);
	in_put16(lh.buf, 12, etype);
	return done(0);
}

/** Finds the link header for a packet to `dst`; EWOULDBLOCK if the packet waits for an answer. @see ether_resolve_addr */
function* ether_resolve_addr(ifp: ifnet, m: mbuf, dst: sockaddr, lh: linkhdr): Blocking<Errno> {
	lh.pflags = RT_MAY_LOOP;
	const group = (m.m_flags & (M_BCAST | M_MCAST)) !== 0;
	switch (dst.sa_family) {
		case AF_INET:
			if (!group) return yield* arpresolve(ifp, 0, m, dst, lh);
			if ((m.m_flags & M_BCAST) !== 0) ether_copy(lh.buf, 0, etherbroadcastaddr, 0);
			else ETHER_MAP_IP_MULTICAST((dst as sockaddr_in).sin_addr, lh.buf, 0);
			return yield* ether_fillheader(ifp, lh, ETHERTYPE_IP);
		case AF_INET6: {
			if ((m.m_flags & M_MCAST) !== 0) {
				ETHER_MAP_IPV6_MULTICAST((dst as sockaddr_in6).sin6_addr, lh.buf, 0);
				return yield* ether_fillheader(ifp, lh, ETHERTYPE_IPV6);
			}
			const resolve = pffinddomain(AF_INET6)?.dom_resolve;
			if (resolve !== undefined) return yield* resolve(ifp, 0, m, dst, lh);
			break;
		}
		case AF_ARP:
			// the packet itself says who is meant, and no copy comes back; @see if_ether.c arp_fillheader
			lh.pflags = 0;
			if (group) ether_copy(lh.buf, 0, etherbroadcastaddr, 0);
			else ether_copy(lh.buf, 0, m.m_buf, m.m_data + 18);
			return yield* ether_fillheader(ifp, lh, ETHERTYPE_ARP);
	}
	return yield* ether_noaf(ifp, m, dst);
}

function* ether_noaf(ifp: ifnet, m: mbuf, dst: sockaddr): Blocking<Errno> {
	if_printf(ifp, `can't handle af${dst.sa_family}\n`);
	m_freem(m);
	return EAFNOSUPPORT;
}

/** Puts the link header in front of a packet and transmits it. Consumes it. */
export function* ether_output(ifp: ifnet, m0: mbuf, dst: sockaddr, ro: route | null): Blocking<Errno> {
	charge(cost.ether_output);
	yield* sync_read_mostly();
	if (
		(ifp.if_flags & IFF_MONITOR) !== 0 ||
		(ifp.if_flags & IFF_UP) === 0 ||
		(ifp.if_drv_flags & IFF_DRV_RUNNING) === 0
	) {
		m_freem(m0);
		return ENETDOWN;
	}
	const spares = linkhdrs();
	const lh = spares.take();
	const error = yield* ether_resolve_addr(ifp, m0, dst, lh);
	if (error !== 0) {
		spares.give(lh);
		if (error === EHOSTDOWN && ro !== null && (ro.ro_flags & RT_HAS_GW) !== 0) return EHOSTUNREACH;
		return error === EWOULDBLOCK ? 0 : error;
	}
	if ((lh.pflags & RT_L2_ME) !== 0) {
		spares.give(lh);
		update_mbuf_csumflags(m0, m0);
		return yield* if_simloop(ifp, m0, dst.sa_family, 0);
	}
	const m = M_PREPEND(m0, ETHER_HDR_LEN, M_NOWAIT);
	if (m === null) {
		spares.give(lh);
		return ENOBUFS;
	}
	const { m_buf, m_data } = m;
	bcopy(lh.buf, 0, m_buf, m_data, ETHER_HDR_LEN);
	const loop_copy = (lh.pflags & RT_MAY_LOOP) !== 0;
	spares.give(lh);
	// a simplex interface does not hear its own broadcasts
	if ((m.m_flags & M_BCAST) !== 0 && loop_copy && (ifp.if_flags & IFF_SIMPLEX) !== 0) {
		const n = m_dup(m, M_NOWAIT);
		if (n !== null) {
			update_mbuf_csumflags(m, n);
			yield* if_simloop(ifp, n, dst.sa_family, ETHER_HDR_LEN);
		} else if_inc_counter(ifp, IFCOUNTER_IQDROPS, 1);
	}
	return yield* ifp.if_transmit(ifp, m);
}

/** Transmits a frame that has its header. */
export function* ether_output_frame(ifp: ifnet, m: mbuf): Blocking<Errno> {
	return yield* ifp.if_transmit(ifp, m);
}

/** One received frame: counts it, shows it to BPF, and drops what is not for us. */
function* ether_input_internal(ifp: ifnet, m: mbuf): Blocking<void> {
	charge(cost.ether_input);
	if ((ifp.if_flags & IFF_UP) === 0) {
		m_freem(m);
		return;
	}
	if (m.m_len < ETHER_HDR_LEN) {
		if_printf(ifp, `discard frame w/o leading ethernet header (len ${m.m_len} pkt len ${m.m_pkthdr.len})\n`);
		if_inc_counter(ifp, IFCOUNTER_IERRORS, 1);
		m_freem(m);
		return;
	}
	const { m_buf, m_data } = m;
	if (ETHER_IS_MULTICAST(m_buf, m_data)) {
		m.m_flags |= ETHER_IS_BROADCAST(m_buf, m_data) ? M_BCAST : M_MCAST;
		if_inc_counter(ifp, IFCOUNTER_IMCASTS, 1);
	} else if (!ether_equal(ifp.if_hw_addr, m_buf, m_data)) m.m_flags |= M_PROMISC;
	BPF_MTAP(ifp, m);
	if ((ifp.if_capenable & IFCAP_HWSTATS) === 0) if_inc_counter(ifp, IFCOUNTER_IBYTES, m.m_pkthdr.len);
	if ((ifp.if_flags & IFF_MONITOR) !== 0) {
		m_freem(m);
		return;
	}
	M_SETFIB(m, ifp.if_fib);
	return yield* ether_demux(ifp, m);
}

function* ether_nh_input(m: mbuf): Blocking<void> {
	return yield* ether_input_internal(m.m_pkthdr.rcvif as ifnet, m);
}

/** Ethernet frames are handled where they arrive, whatever net.isr.dispatch says. */
SYSINIT("ether", SI_SUB_INIT_IF, SI_ORDER_ANY, function* () {
	netisr_register({
		nh_name: "ether",
		nh_handler: ether_nh_input,
		nh_proto: NETISR_ETHER,
		nh_policy: NETISR_POLICY_SOURCE,
		nh_dispatch: NETISR_DISPATCH_DIRECT,
	});
	yield* sync();
});

/** Receives a frame, or several linked through m_nextpkt. In the net epoch, entered here unless the caller is. */
export function* ether_input(ifp: ifnet, list: mbuf): Blocking<void> {
	const saved = CURVNET_SET(ifp.if_vnet);
	const needs_epoch = !in_net_epoch();
	if (needs_epoch) NET_EPOCH_ENTER();
	let m: mbuf | null = list;
	while (m !== null) {
		const next: mbuf | null = m.m_nextpkt;
		m.m_nextpkt = null;
		KASSERT(
			m.m_pkthdr.rcvif === ifp,
			`ether_input: ifnet mismatch rcvif ${m.m_pkthdr.rcvif?.if_xname} ifp ${ifp.if_xname}`,
		);
		yield* netisr_dispatch(NETISR_ETHER, m);
		m = next;
	}
	if (needs_epoch) NET_EPOCH_EXIT();
	CURVNET_RESTORE(saved);
}

const isr_of_type = new Map<number, number>([
	[ETHERTYPE_IP, NETISR_IP],
	[ETHERTYPE_IPV6, NETISR_IPV6],
	[ETHERTYPE_ARP, NETISR_ARP],
]);

/** Strips the Ethernet header and hands the packet to its protocol. */
export function* ether_demux(ifp: ifnet, m: mbuf): Blocking<void> {
	NET_EPOCH_ASSERT();
	charge(cost.ether_demux);
	const ether_type = in_get16(m.m_buf, m.m_data + 12);
	if ((m.m_flags & M_VLANTAG) !== 0 || ether_type === ETHERTYPE_VLAN || ether_type === ETHERTYPE_QINQ) {
		if_inc_counter(ifp, IFCOUNTER_NOPROTO, 1);
		m_freem(m);
		return;
	}
	const isr = isr_of_type.get(ether_type);
	if ((m.m_flags & M_PROMISC) !== 0 || isr === undefined || (isr === NETISR_ARP && (ifp.if_flags & IFF_NOARP) !== 0)) {
		m_freem(m);
		return;
	}
	m_clrprotoflags(m);
	m_adj(m, ETHER_HDR_LEN);
	// its result means nothing here: a direct dispatch has none, a queued packet was freed
	yield* netisr_dispatch(isr, m);
}

/** Turns an IP group into an Ethernet group. @see ether_resolvemulti */
function ether_resolvemulti(ifp: ifnet, sa: sockaddr): sockaddr | null | Errno {
	const lladdr = new Uint8Array(ETHER_ADDR_LEN);
	switch (sa.sa_family) {
		case AF_LINK:
			return ETHER_IS_MULTICAST((sa as sockaddr_dl).sdl_data, 0) ? null : EADDRNOTAVAIL;
		case AF_INET:
			if (!IN_MULTICAST((sa as sockaddr_in).sin_addr)) return EADDRNOTAVAIL;
			ETHER_MAP_IP_MULTICAST((sa as sockaddr_in).sin_addr, lladdr, 0);
			break;
		case AF_INET6: {
			const addr = (sa as sockaddr_in6).sin6_addr;
			if (IN6_IS_ADDR_UNSPECIFIED(addr)) return null;
			if (!IN6_IS_ADDR_MULTICAST(addr)) return EADDRNOTAVAIL;
			ETHER_MAP_IPV6_MULTICAST(addr, lladdr, 0);
			break;
		}
		default:
			return EAFNOSUPPORT;
	}
	return new sockaddr_dl(ifp.if_index, IFT_ETHER, lladdr);
}

/** Attaches an Ethernet interface. Methods are set after if_attach, as upstream: arrival handlers run before. */
export function* ether_ifattach(ifp: ifnet, lla: Uint8Array): Blocking<void> {
	ifp.if_addrlen = ETHER_ADDR_LEN;
	ifp.if_hdrlen = ETHER_HDR_LEN;
	ifp.if_mtu = ETHERMTU;
	yield* if_attach(ifp);
	ifp.if_output = ether_output;
	ifp.if_input = ether_input;
	ifp.if_resolvemulti = ether_resolvemulti;
	ifp.if_reassign = ether_reassign;
	if (ifp.if_baudrate === 0) ifp.if_baudrate = 10_000_000;
	ifp.if_broadcastaddr = etherbroadcastaddr;
	const sdl = (ifp.if_addr as ifaddr).ifa_addr as sockaddr_dl;
	sdl.sdl_type = IFT_ETHER;
	sdl.sdl_data = lla.slice();
	ifp.if_hw_addr.set(lla);
	bpfattach(ifp, DLT_EN10MB, ETHER_HDR_LEN);
}

export function* ether_ifdetach(ifp: ifnet): Blocking<void> {
	bpfdetach(ifp);
	yield* if_detach(ifp);
}

/** Ethernet has nothing of its own to do when an interface moves. */
function ether_reassign(_ifp: ifnet, _vn: vnet, _arg: unknown): Blocking<void> {
	return DONE;
}

/** ioctls all Ethernet interfaces answer alike. */
export function* ether_ioctl(ifp: ifnet, cmd: number, data: unknown): Blocking<Errno> {
	switch (cmd) {
		case SIOCSIFADDR: {
			ifp.if_flags |= IFF_UP;
			if (ifp.if_init !== null) yield* ifp.if_init(ifp.if_softc);
			const ifa = data as ifaddr | null;
			if (ifa?.ifa_addr?.sa_family === AF_INET) yield* arp_ifinit(ifp, ifa);
			return 0;
		}
		case SIOCSIFMTU: {
			const { ifr_mtu } = data as ifreq;
			if (ifr_mtu > ETHERMTU) return EINVAL;
			ifp.if_mtu = ifr_mtu;
			return 0;
		}
		default:
			return EOPNOTSUPP;
	}
}
