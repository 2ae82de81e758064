/**
 * The loopback interface: every packet sent comes back as received, through the netisr queue and its thread, never at once.
 *
 * lo0 claims to compute all checksums, so nobody does, and marks what it returns as checked.
 *
 * @see net/if_loop.c; kernel.md section 4.1
 */
import { EAFNOSUPPORT, EHOSTUNREACH, EOPNOTSUPP, type Errno } from "../errno.ts";
import {
	CSUM_DATA_VALID,
	CSUM_DATA_VALID_IPV6,
	CSUM_IP,
	CSUM_IP_CHECKED,
	CSUM_IP_VALID,
	CSUM_PSEUDO_HDR,
	CSUM_SCTP,
	CSUM_SCTP_IPV6,
	CSUM_SCTP_VALID,
	CSUM_TCP,
	CSUM_TCP_IPV6,
	CSUM_UDP,
	CSUM_UDP_IPV6,
	M_ASSERTPKTHDR,
	M_MCAST,
	m_adj,
	m_freem,
	m_tag_delete_nonpersistent,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { AF_INET, AF_INET6, type sockaddr } from "../netinet/in.ts";
import type { route } from "../route/nhop.ts";
import {
	KASSERT,
	SI_ORDER_ANY,
	SI_ORDER_SECOND,
	SI_SUB_INIT_IF,
	SI_SUB_PSEUDO,
	VNET_DEFINE,
	VNET_SYSINIT,
	VNET_SYSUNINIT,
} from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { BPF_MTAP, BPF_MTAP2_AF, bpfattach, bpfdetach, DLT_NULL } from "./bpf.ts";
import { if_alloc, if_attach, if_detach, if_free, if_initname, if_link_state_change, if_printf } from "./if.ts";
import { type if_clone, if_clone_detach, if_clone_simple } from "./if_clone.ts";
import { RT_BLACKHOLE, RT_REJECT } from "./if_domain.ts";
import {
	IFCAP_HWCSUM,
	IFCAP_HWCSUM_IPV6,
	IFCAP_LINKSTATE,
	IFCAP_RXCSUM,
	IFCAP_TXCSUM,
	IFCAP_TXCSUM_IPV6,
	IFCOUNTER_IBYTES,
	IFCOUNTER_IPACKETS,
	IFCOUNTER_OBYTES,
	IFCOUNTER_OPACKETS,
	IFF_DRV_RUNNING,
	IFF_LOOPBACK,
	IFF_MULTICAST,
	IFF_UP,
	IFT_LOOP,
	if_inc_counter,
	type ifnet,
	LINK_STATE_DOWN,
	LINK_STATE_UP,
} from "./if_var.ts";
import { NETISR_IP, NETISR_IPV6, netisr_queue } from "./netisr.ts";
import { type ifreq, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFADDR, SIOCSIFCAP, SIOCSIFFLAGS, SIOCSIFMTU } from "./sockio.ts";

export const LOMTU = 16384;
const LO_CSUM_FEATURES = CSUM_IP | CSUM_TCP | CSUM_UDP | CSUM_SCTP;
const LO_CSUM_FEATURES6 = CSUM_TCP_IPV6 | CSUM_UDP_IPV6 | CSUM_SCTP_IPV6;
const LO_CSUM_SET =
	CSUM_DATA_VALID | CSUM_DATA_VALID_IPV6 | CSUM_PSEUDO_HDR | CSUM_IP_CHECKED | CSUM_IP_VALID | CSUM_SCTP_VALID;

const loname = "lo";

class loopback {
	loif: ifnet | null = null;
	cloner: if_clone | null = null;
}

const V_lo = VNET_DEFINE(() => new loopback());

/** lo0 of the current vnet. */
export function V_loif(): ifnet {
	const { loif } = V_lo();
	KASSERT(loif !== null, "no loopback interface in this vnet");
	return loif as ifnet;
}

function* lo_clone_destroy(ifp: ifnet): Blocking<void> {
	bpfdetach(ifp);
	yield* if_detach(ifp);
	yield* if_free(ifp);
}

function* lo_clone_create(_ifc: if_clone, unit: number, _params: unknown): Blocking<Errno> {
	const ifp = yield* if_alloc(IFT_LOOP);
	if_initname(ifp, loname, unit);
	ifp.if_mtu = LOMTU;
	ifp.if_flags = IFF_LOOPBACK | IFF_MULTICAST;
	ifp.if_ioctl = loioctl;
	ifp.if_output = looutput;
	ifp.if_capabilities = IFCAP_HWCSUM | IFCAP_HWCSUM_IPV6 | IFCAP_LINKSTATE;
	ifp.if_capenable = ifp.if_capabilities;
	ifp.if_hwassist = LO_CSUM_FEATURES | LO_CSUM_FEATURES6;
	yield* if_attach(ifp);
	bpfattach(ifp, DLT_NULL, 4);
	const lo = V_lo();
	if (lo.loif === null) lo.loif = ifp;
	return 0;
}

VNET_SYSINIT("vnet_loif_init", SI_SUB_PSEUDO, SI_ORDER_ANY, function* () {
	V_lo().cloner = yield* if_clone_simple(loname, lo_clone_create, lo_clone_destroy, 1);
});

VNET_SYSUNINIT("vnet_loif_uninit", SI_SUB_INIT_IF, SI_ORDER_SECOND, function* () {
	const lo = V_lo();
	yield* if_clone_detach(lo.cloner as if_clone);
	lo.loif = null;
});

/** Sends a packet to ourselves. */
export function* looutput(ifp: ifnet, m: mbuf, dst: sockaddr, ro: route | null): Blocking<Errno> {
	M_ASSERTPKTHDR(m);
	charge(cost.looutput);
	if (ro !== null && (ro.ro_flags & (RT_REJECT | RT_BLACKHOLE)) !== 0) {
		m_freem(m);
		return (ro.ro_flags & RT_BLACKHOLE) !== 0 ? 0 : EHOSTUNREACH;
	}
	if_inc_counter(ifp, IFCOUNTER_OPACKETS, 1);
	if_inc_counter(ifp, IFCOUNTER_OBYTES, m.m_pkthdr.len);
	const hdr = m.m_pkthdr;
	switch (dst.sa_family) {
		case AF_INET:
			if ((ifp.if_capenable & IFCAP_RXCSUM) !== 0) {
				hdr.csum_data = 0xffff;
				hdr.csum_flags = LO_CSUM_SET;
			}
			hdr.csum_flags &= ~LO_CSUM_FEATURES;
			break;
		case AF_INET6:
			// marked as checked whatever the interface's capabilities say
			hdr.csum_data = 0xffff;
			hdr.csum_flags = LO_CSUM_SET;
			hdr.csum_flags &= ~LO_CSUM_FEATURES6;
			break;
		default:
			if_printf(ifp, `looutput: af=${dst.sa_family} unexpected\n`);
			m_freem(m);
			return EAFNOSUPPORT;
	}
	return yield* if_simloop(ifp, m, dst.sa_family, 0);
}

/**
 * Receives on `ifp` what was sent there: a simplex interface's own broadcasts, multicast for ourselves, loopback.
 *
 * @param hlen length of the link header in front, which is removed
 */
export function* if_simloop(ifp: ifnet, m: mbuf, af: number, hlen: number): Blocking<Errno> {
	M_ASSERTPKTHDR(m);
	m_tag_delete_nonpersistent(m);
	m.m_pkthdr.rcvif = ifp;
	if (hlen > 0) {
		BPF_MTAP(ifp, m);
		m_adj(m, hlen);
	} else {
		const { loif } = V_lo();
		if (loif !== null && ((m.m_flags & M_MCAST) === 0 || loif === ifp)) BPF_MTAP2_AF(loif, m, af);
	}
	let isr: number;
	if (af === AF_INET) isr = NETISR_IP;
	else if (af === AF_INET6) isr = NETISR_IPV6;
	else {
		if_printf(ifp, `if_simloop: can't handle af=${af}\n`);
		m_freem(m);
		return EAFNOSUPPORT;
	}
	if_inc_counter(ifp, IFCOUNTER_IPACKETS, 1);
	if_inc_counter(ifp, IFCOUNTER_IBYTES, m.m_pkthdr.len);
	// freed on failure, which nobody hears of
	yield* netisr_queue(isr, m);
	return 0;
}

/** Configures the loopback: an address brings it up. */
function* loioctl(ifp: ifnet, cmd: number, data: unknown): Blocking<Errno> {
	switch (cmd) {
		case SIOCSIFADDR:
			ifp.if_flags |= IFF_UP;
			ifp.if_drv_flags |= IFF_DRV_RUNNING;
			yield* if_link_state_change(ifp, LINK_STATE_UP);
			return 0;
		case SIOCADDMULTI:
		case SIOCDELMULTI: {
			const family = (data as ifreq).ifr_addr?.sa_family;
			return family === AF_INET || family === AF_INET6 ? 0 : EAFNOSUPPORT;
		}
		case SIOCSIFMTU:
			ifp.if_mtu = (data as ifreq).ifr_mtu;
			return 0;
		case SIOCSIFFLAGS:
			yield* if_link_state_change(ifp, (ifp.if_flags & IFF_UP) !== 0 ? LINK_STATE_UP : LINK_STATE_DOWN);
			return 0;
		case SIOCSIFCAP: {
			ifp.if_capenable = (data as ifreq).ifr_reqcap & ifp.if_capabilities;
			ifp.if_hwassist =
				((ifp.if_capenable & IFCAP_TXCSUM) !== 0 ? LO_CSUM_FEATURES : 0) |
				((ifp.if_capenable & IFCAP_TXCSUM_IPV6) !== 0 ? LO_CSUM_FEATURES6 : 0);
			return 0;
		}
		default:
			return EOPNOTSUPP;
	}
}
