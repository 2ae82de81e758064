/**
 * The interface, its addresses and its send queue: what net/if.h, net/if_var.h and net/if_types.h declare.
 *
 * Counters are per-CPU in FreeBSD so that counting takes no lock; here one number each does, for the same reason. Methods are
 * fields of the interface, as in C, so that if_dead can replace them under the feet of whoever still has a pointer.
 *
 * @see net/if.h, net/if_var.h, net/if_types.h
 */
import { wide_fields } from "../../machine/shape.ts";
import { ENOBUFS, type Errno } from "../errno.ts";
import { refcount } from "../lock/atomic.ts";
import { mtx, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { m_freem, type mbuf, mbufq, mbufq_dequeue, mbufq_drain, mbufq_enqueue, mbufq_init } from "../mbuf/mbuf.ts";
import type { sockaddr } from "../netinet/in.ts";
import type { route } from "../route/nhop.ts";
import type { vnet } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { task } from "../taskqueue/taskqueue.ts";
import type { bpf_if } from "./bpf.ts";
import type { if_clone } from "./if_clone.ts";
import type { netmap_adapter } from "./netmap.ts";

// if_flags
export const IFF_UP = 0x1;
export const IFF_BROADCAST = 0x2;
export const IFF_DEBUG = 0x4;
export const IFF_LOOPBACK = 0x8;
export const IFF_POINTOPOINT = 0x10;
export const IFF_NOARP = 0x80;
export const IFF_PROMISC = 0x100;
export const IFF_ALLMULTI = 0x200;
export const IFF_SIMPLEX = 0x800;
export const IFF_LINK0 = 0x1000;
export const IFF_LINK1 = 0x2000;
export const IFF_LINK2 = 0x4000;
export const IFF_MULTICAST = 0x8000;
export const IFF_CANTCONFIG = 0x10000;
export const IFF_MONITOR = 0x40000;
export const IFF_STATICARP = 0x80000;
export const IFF_DYING = 0x200000;
export const IFF_RENAMING = 0x400000;
/** what SIOCSIFFLAGS may not change */
export const IFF_CANTCHANGE =
	IFF_BROADCAST |
	IFF_POINTOPOINT |
	IFF_SIMPLEX |
	IFF_MULTICAST |
	IFF_ALLMULTI |
	IFF_PROMISC |
	IFF_DYING |
	IFF_CANTCONFIG;

// if_drv_flags
export const IFF_DRV_RUNNING = 0x40;
export const IFF_DRV_OACTIVE = 0x400;

export const IFCAP_RXCSUM = 0x1;
export const IFCAP_TXCSUM = 0x2;
export const IFCAP_VLAN_MTU = 0x8;
export const IFCAP_LINKSTATE = 0x80000;
export const IFCAP_NETMAP = 0x100000;
export const IFCAP_RXCSUM_IPV6 = 0x200000;
export const IFCAP_TXCSUM_IPV6 = 0x400000;
/** the card counts bytes, so the stack does not */
export const IFCAP_HWSTATS = 0x800000;
export const IFCAP_HWCSUM = IFCAP_RXCSUM | IFCAP_TXCSUM;
export const IFCAP_HWCSUM_IPV6 = IFCAP_RXCSUM_IPV6 | IFCAP_TXCSUM_IPV6;

export const LINK_STATE_UNKNOWN = 0;
export const LINK_STATE_DOWN = 1;
export const LINK_STATE_UP = 2;

export const IFT_OTHER = 1;
export const IFT_ETHER = 6;
export const IFT_PPP = 23;
export const IFT_LOOP = 24;
/** 13.0 has no such number and the driver uses IFT_PPP there */
export const IFT_WIREGUARD = 0xf8;

export const IFNAMSIZ = 16;
export const IF_MINMTU = 72;
export const IF_MAXMTU = 65535;
/** net.link.ifqmaxlen: length of a send queue */
export const ifqmaxlen = 50;

export const IFCOUNTER_IPACKETS = 0;
export const IFCOUNTER_IERRORS = 1;
export const IFCOUNTER_OPACKETS = 2;
export const IFCOUNTER_OERRORS = 3;
export const IFCOUNTER_COLLISIONS = 4;
export const IFCOUNTER_IBYTES = 5;
export const IFCOUNTER_OBYTES = 6;
export const IFCOUNTER_IMCASTS = 7;
export const IFCOUNTER_OMCASTS = 8;
export const IFCOUNTER_IQDROPS = 9;
export const IFCOUNTER_OQDROPS = 10;
export const IFCOUNTER_NOPROTO = 11;
export const IFCOUNTERS = 12;

export const IFNET_EVENT_UP = 0;
export const IFNET_EVENT_DOWN = 1;

/** slots of if_afdata, one per address family */
const AF_SLOTS = 42;

/** A send queue with its lock and limit. @see net/ifq.h struct ifqueue */
export class ifqueue {
	readonly ifq_mtx = new mtx();
	readonly ifq = new mbufq();
	ifq_drops = 0;

	constructor() {
		mbufq_init(this.ifq, ifqmaxlen);
	}
}

/** An address of an interface. Families extend it: in_ifaddr, in6_ifaddr. @see struct ifaddr */
export class ifaddr {
	ifa_addr: sockaddr | null = null;
	/** the broadcast address, or the other end of a point-to-point link */
	ifa_dstaddr: sockaddr | null = null;
	ifa_netmask: sockaddr | null = null;
	ifa_ifp: ifnet;
	ifa_flags = 0;
	ifa_metric = 0;
	readonly ifa_refcnt = new refcount();
	ifa_ipackets = 0;
	ifa_opackets = 0;
	ifa_ibytes = 0;
	ifa_obytes = 0;

	constructor(ifp: ifnet) {
		this.ifa_ifp = ifp;
		this.ifa_refcnt.refcnt = 1;
	}
}

/** A multicast group an interface listens to. @see struct ifmultiaddr */
export class ifmultiaddr {
	ifma_addr: sockaddr;
	/** the address of the link it maps to, e.g. an Ethernet address */
	ifma_lladdr: sockaddr | null = null;
	ifma_ifp: ifnet;
	ifma_refcount = 1;
	ifma_protospec: unknown = null;

	constructor(ifp: ifnet, addr: sockaddr) {
		this.ifma_ifp = ifp;
		this.ifma_addr = addr;
	}
}

export type if_init_fn_t = (sc: unknown) => Blocking<void>;
export type if_ioctl_fn_t = (ifp: ifnet, cmd: number, data: unknown) => Blocking<Errno>;
export type if_input_fn_t = (ifp: ifnet, m: mbuf) => Blocking<void>;
export type if_output_fn_t = (ifp: ifnet, m: mbuf, dst: sockaddr, ro: route | null) => Blocking<Errno>;
export type if_transmit_fn_t = (ifp: ifnet, m: mbuf) => Blocking<Errno>;
export type if_start_fn_t = (ifp: ifnet) => Blocking<void>;
export type if_qflush_fn_t = (ifp: ifnet) => Blocking<void>;
export type if_reassign_fn_t = (ifp: ifnet, vn: vnet, arg: unknown) => Blocking<void>;
/** turns a group address into a link address; a number is an error */
export type if_resolvemulti_fn_t = (ifp: ifnet, sa: sockaddr) => sockaddr | null | Errno;
export type if_get_counter_t = (ifp: ifnet, cnt: number) => number;

/** what a driver has not set when it attaches its interface, if_attach does */
const unset = undefined as never;

/** A network interface. Made by if_alloc only. @see struct ifnet */
export class ifnet {
	if_index = 0;
	if_xname = "";
	if_dname = "";
	if_dunit = -1;
	if_descr: string | null = null;
	readonly if_type: number;
	/** what drivers of `if_type` keep beside if_softc */
	if_l2com: unknown = null;
	if_softc: unknown = null;
	if_vnet: vnet;
	/** where it was created, and goes back to */
	if_home_vnet: vnet | null = null;
	/** IFF_x; written under the configuration lock only, read by anybody */
	if_flags = 0;
	if_drv_flags = 0;
	if_capabilities = 0;
	if_capenable = 0;
	if_hwassist = 0;
	if_mtu = 0;
	if_metric = 0;
	if_baudrate = 0;
	if_fib = 0;
	if_link_state = LINK_STATE_UNKNOWN;
	if_addrlen = 0;
	if_hdrlen = 0;
	if_pcount = 0;
	if_amcount = 0;
	readonly if_addr_lock = new mtx();
	readonly if_addrhead: ifaddr[] = [];
	/** the AF_LINK address, first of if_addrhead */
	if_addr: ifaddr | null = null;
	/** link address, empty if the interface has none */
	if_hw_addr: Uint8Array = new Uint8Array(0);
	if_broadcastaddr: Uint8Array | null = null;
	readonly if_multiaddrs: ifmultiaddr[] = [];
	/** per family: what its dom_ifattach made */
	readonly if_afdata: (unknown | null)[] = new Array(AF_SLOTS).fill(null);
	if_afdata_initialized = 0;
	readonly if_groups: string[] = [];
	readonly if_snd = new ifqueue();
	/** taps; null on an interface nobody called bpfattach for */
	if_bpf: bpf_if | null = null;
	/** the program that has the interface in netmap mode, or null */
	if_netmap: netmap_adapter | null = null;
	/** the cloner that made it */
	if_cloner: if_clone | null = null;
	readonly if_refcount = new refcount();
	readonly if_counters = new Float64Array(IFCOUNTERS);
	readonly if_linktask = new task();

	if_init: if_init_fn_t | null = null;
	if_ioctl: if_ioctl_fn_t | null = null;
	if_start: if_start_fn_t | null = null;
	if_input: if_input_fn_t = unset;
	if_output: if_output_fn_t = unset;
	if_transmit: if_transmit_fn_t = unset;
	if_qflush: if_qflush_fn_t = unset;
	if_resolvemulti: if_resolvemulti_fn_t | null = null;
	if_reassign: if_reassign_fn_t | null = null;
	if_get_counter: if_get_counter_t = if_get_counter_default;

	constructor(type: number, vn: vnet) {
		this.if_type = type;
		this.if_vnet = vn;
		this.if_refcount.refcnt = 1;
	}
}

wide_fields(new ifnet(0, undefined as never), "if_baudrate");

/** Adds to a counter of this CPU's: no lock, no shared cache line. @see if.c if_inc_counter */
export function if_inc_counter(ifp: ifnet, cnt: number, inc: number): void {
	charge(cost.if_inc_counter);
	ifp.if_counters[cnt] += inc;
}

/** @see if.c if_get_counter_default */
export function if_get_counter_default(ifp: ifnet, cnt: number): number {
	return ifp.if_counters[cnt];
}

/** Puts a packet on a send queue, or frees it if that is full. @see net/ifq.h IFQ_ENQUEUE */
export function* IFQ_ENQUEUE(ifq: ifqueue, m: mbuf): Blocking<Errno> {
	yield* mtx_lock(ifq.ifq_mtx);
	const error = mbufq_enqueue(ifq.ifq, m);
	if (error === ENOBUFS) {
		ifq.ifq_drops++;
		m_freem(m);
	}
	yield* mtx_unlock(ifq.ifq_mtx);
	return error;
}

/** @see net/ifq.h IFQ_DEQUEUE */
export function* IFQ_DEQUEUE(ifq: ifqueue): Blocking<mbuf | null> {
	yield* mtx_lock(ifq.ifq_mtx);
	const m = mbufq_dequeue(ifq.ifq);
	yield* mtx_unlock(ifq.ifq_mtx);
	return m;
}

/** @see net/ifq.h IFQ_PURGE */
export function* IFQ_PURGE(ifq: ifqueue): Blocking<void> {
	yield* mtx_lock(ifq.ifq_mtx);
	mbufq_drain(ifq.ifq);
	yield* mtx_unlock(ifq.ifq_mtx);
}
