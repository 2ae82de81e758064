/**
 * The life of an interface: allocated, attached, up and down, moved between vnets, detached, freed.
 *
 * The list of interfaces is written under ifnet_sxlock and read inside the net epoch. Detaching waits until nobody inside the
 * epoch can still be using the interface, so it sleeps. Simplified: no routing socket, no netgraph, no ALTQ; interface groups are
 * names only. And where FreeBSD leaves the addresses of a borrowed interface to the dying vnet's protocols, which no longer find
 * it, they are removed before it goes home.
 *
 * @see net/if.c; kernel.md section 4
 */
import { EIO, ENOBUFS, ENOENT, ENOMEM, ENXIO, type Errno } from "../errno.ts";
import { ifnet_detach_sxlock, VNET_IS_SHUTTING_DOWN } from "../jail/vnet.ts";
import { refcount_acquire, refcount_release } from "../lock/atomic.ts";
import { NET_EPOCH_CALL, NET_EPOCH_DRAIN_CALLBACKS, NET_EPOCH_WAIT } from "../lock/epoch.ts";
import { MTX_DEF, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { sx, sx_init, sx_xlock, sx_xunlock } from "../lock/sx.ts";
import {
	M_BCAST,
	M_MCAST,
	M_NOWAIT,
	m_freem,
	m_tag_alloc,
	m_tag_locate,
	m_tag_prepend,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { AF_LINK, sockaddr_dl } from "../netinet/in.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	curvnet,
	KASSERT,
	KERNEL_GLOBAL,
	panic,
	release_traits,
	SI_ORDER_ANY,
	SI_SUB_VNET_DONE,
	VNET_DEFINE,
	VNET_SYSUNINIT,
	type vnet,
} from "../sched/kernel.ts";
import { type Blocking, DONE, sync } from "../sched/thread.ts";
import { TASK_INIT, taskqueue_drain, taskqueue_enqueue, taskqueue_swi } from "../taskqueue/taskqueue.ts";
import { bpfattach, bpfdetach } from "./bpf.ts";
import { if_clone_addgroup, if_clone_findifc } from "./if_clone.ts";
import { if_dead } from "./if_dead.ts";
import { all_domains, PRC_IFDOWN, PRC_IFUP, pffinddomain } from "./if_domain.ts";
import { if_purgemaddrs } from "./if_multi.ts";
import {
	IFCOUNTER_OBYTES,
	IFCOUNTER_OMCASTS,
	IFCOUNTER_OQDROPS,
	IFF_DRV_OACTIVE,
	IFF_DYING,
	IFF_UP,
	IFQ_ENQUEUE,
	IFQ_PURGE,
	IFT_ETHER,
	if_inc_counter,
	ifaddr,
	ifnet,
	LINK_STATE_UP,
} from "./if_var.ts";

export const ifnet_arrival_event = SDT_PROBE_DEFINE<[ifp: ifnet]>("ifnet:::arrival", "ifp: ifnet");
export const ifnet_departure_event = SDT_PROBE_DEFINE<[ifp: ifnet]>("ifnet:::departure", "ifp: ifnet");
export const ifnet_link_event = SDT_PROBE_DEFINE<[ifp: ifnet, state: number]>(
	"ifnet:::link",
	"ifp: ifnet, state: number",
);
/** what if_printf says */
export const ifnet_printf = SDT_PROBE_DEFINE<[ifp: ifnet, text: string]>("ifnet:::printf", "ifp: ifnet, text: string");

class ifnet_state {
	readonly ifnet_sxlock = new sx();
	/** interfaces allocated and not yet destroyed, of all vnets: a leak check */
	count = 0;
	/** 14.0: one index table for all vnets */
	readonly ifindex_table = new ifindex_table();

	constructor() {
		sx_init(this.ifnet_sxlock, "ifnet_sx");
	}
}

/** Who has which index; indices start at 1 and are reused, lowest first. */
class ifindex_table {
	readonly table: (ifnet | null)[] = [null];
}

const state = KERNEL_GLOBAL(() => new ifnet_state());

class ifnethead {
	readonly list: ifnet[] = [];
}

const V_ifnet_head = VNET_DEFINE(() => new ifnethead());
const V_ifindex_table = VNET_DEFINE(() => new ifindex_table());

/** The interfaces of the current vnet, in order of arrival; read it inside the net epoch. */
export function V_ifnet(): readonly ifnet[] {
	return V_ifnet_head().list;
}

/** How many interfaces exist in the running kernel. */
export function ifnet_count(): number {
	return state().count;
}

/** From 14.0 on an interface keeps its index when it moves; before, every vnet counts for itself. */
function ifindex_is_global(): boolean {
	return release_traits().osreldate >= 1400000;
}

function ifindex(): (ifnet | null)[] {
	return ifindex_is_global() ? state().ifindex_table.table : V_ifindex_table().table;
}

function ifindex_alloc(ifp: ifnet): void {
	const table = ifindex();
	let idx = 1;
	while (idx < table.length && table[idx] !== null) idx++;
	table[idx] = ifp;
	ifp.if_index = idx;
}

function ifindex_free(ifp: ifnet): void {
	const table = ifindex();
	KASSERT(table[ifp.if_index] === ifp, `${ifp.if_xname}: freeing unallocated ifnet`);
	table[ifp.if_index] = null;
	while (table.length > 1 && table[table.length - 1] === null) table.length--;
}

/** The interface with this index in the current vnet. */
export function ifnet_byindex(idx: number): ifnet | null {
	const ifp = ifindex()[idx] ?? null;
	return ifp !== null && ifp.if_vnet === curvnet() ? ifp : null;
}

export function if_printf(ifp: ifnet, text: string): void {
	if (ifnet_printf.on !== null) ifnet_printf.on(ifp, text);
}

/** Makes an interface with an index, in the current vnet, that nobody sees yet. */
export function* if_alloc(type: number): Blocking<ifnet> {
	const s = state();
	const ifp = new ifnet(type, curvnet());
	mtx_init(ifp.if_addr_lock, "if_addr_lock", null, MTX_DEF);
	mtx_init(ifp.if_snd.ifq_mtx, "if send queue", null, MTX_DEF);
	TASK_INIT(ifp.if_linktask, 0, do_link_state_change, ifp);
	yield* sx_xlock(s.ifnet_sxlock);
	ifindex_alloc(ifp);
	s.count++;
	yield* sx_xunlock(s.ifnet_sxlock);
	return ifp;
}

export function if_initname(ifp: ifnet, name: string, unit: number): void {
	ifp.if_dname = name;
	ifp.if_dunit = unit;
	ifp.if_xname = unit < 0 ? name : `${name}${unit}`;
}

export function if_setmtu(ifp: ifnet, mtu: number): Errno {
	ifp.if_mtu = mtu;
	return 0;
}

/** Adds the interface to the current vnet. */
export function* if_attach(ifp: ifnet): Blocking<void> {
	return yield* if_attach_internal(ifp, false);
}

function* if_attach_internal(ifp: ifnet, vmove: boolean): Blocking<void> {
	if (ifp.if_index === 0 || ifindex()[ifp.if_index] !== ifp) {
		panic(`${ifp.if_xname}: BUG: if_attach called without if_alloc'd input()`);
	}
	ifp.if_vnet = curvnet();
	if (ifp.if_home_vnet === null) ifp.if_home_vnet = curvnet();
	if_addgroup(ifp, "all");
	if (vmove && ifp.if_cloner !== null) if_clone_addgroup(ifp, ifp.if_cloner);
	KASSERT(
		(ifp.if_transmit === undefined) === (ifp.if_qflush === undefined),
		"transmit and qflush must both either be set or both be NULL",
	);
	if (ifp.if_transmit === undefined) {
		ifp.if_transmit = if_transmit_default;
		ifp.if_qflush = if_qflush;
	}
	if (ifp.if_input === undefined) ifp.if_input = if_input_default;
	if (!vmove) {
		const ifa = new ifaddr(ifp);
		ifa.ifa_addr = new sockaddr_dl(ifp.if_index, ifp.if_type);
		ifp.if_addr = ifa;
		ifp.if_addrhead.unshift(ifa);
		ifp.if_broadcastaddr = null;
		if (ifp.if_type === IFT_ETHER) ifp.if_hw_addr = new Uint8Array(ifp.if_addrlen);
	} else if (ifp.if_addr !== null) {
		(ifp.if_addr.ifa_addr as sockaddr_dl).sdl_index = ifp.if_index;
	}
	yield* if_link_ifnet(ifp);
	for (const dom of all_domains()) {
		if (dom.dom_ifattach !== undefined) ifp.if_afdata[dom.dom_family] = dom.dom_ifattach(ifp);
	}
	ifp.if_afdata_initialized = 1;
	if (ifnet_arrival_event.on !== null) ifnet_arrival_event.on(ifp);
}

function* if_link_ifnet(ifp: ifnet): Blocking<void> {
	const s = state();
	yield* sx_xlock(s.ifnet_sxlock);
	V_ifnet_head().list.push(ifp);
	curvnet().vnet_ifcnt++;
	yield* sx_xunlock(s.ifnet_sxlock);
}

/** @returns false if somebody else unlinked it first */
function* if_unlink_ifnet(ifp: ifnet, vmove: boolean): Blocking<boolean> {
	const s = state();
	yield* sx_xlock(s.ifnet_sxlock);
	const list = V_ifnet_head().list;
	const at = list.indexOf(ifp);
	if (at >= 0) {
		list.splice(at, 1);
		if (!vmove) ifp.if_flags |= IFF_DYING;
		curvnet().vnet_ifcnt--;
	}
	yield* sx_xunlock(s.ifnet_sxlock);
	return at >= 0;
}

/** Takes the interface away from its vnet. Afterwards its methods are stubs. Sleeps; a second call does nothing. */
export function* if_detach(ifp: ifnet): Blocking<void> {
	const saved = CURVNET_SET(ifp.if_vnet);
	if (yield* if_unlink_ifnet(ifp, false)) {
		yield* sx_xlock(ifnet_detach_sxlock());
		yield* if_detach_internal(ifp, false);
		yield* sx_xunlock(ifnet_detach_sxlock());
	}
	CURVNET_RESTORE(saved);
}

/** What detaching and moving have in common; the interface is off the list. */
function* if_detach_internal(ifp: ifnet, vmove: boolean): Blocking<void> {
	yield* NET_EPOCH_WAIT();
	yield* NET_EPOCH_DRAIN_CALLBACKS();
	ifp.if_groups.length = 0;
	yield* taskqueue_drain(taskqueue_swi(), ifp.if_linktask);
	if (vmove) ifp.if_cloner = if_clone_findifc(ifp);
	yield* if_down(ifp);
	if (VNET_IS_SHUTTING_DOWN(ifp.if_vnet) && !vmove) {
		// the protocols are gone or going, and clean up by themselves
		if_departs(ifp);
	} else {
		yield* if_purgeaddrs(ifp);
		for (const dom of all_domains()) if (dom.dom_ifgone !== undefined) yield* dom.dom_ifgone(ifp);
		yield* if_purgemaddrs(ifp);
		if_departs(ifp);
		if (!vmove) {
			if_dead(ifp);
			ifp.if_addrhead.length = 0;
			ifp.if_addr = null;
		}
	}
	ifp.if_afdata_initialized = 0;
	for (const dom of all_domains()) {
		const aux = ifp.if_afdata[dom.dom_family];
		if (aux === null) continue;
		if (dom.dom_ifdetach !== undefined) yield* dom.dom_ifdetach(ifp, aux);
		ifp.if_afdata[dom.dom_family] = null;
	}
}

/** ifnet_departure_event; bpf(4) listens to it. */
function if_departs(ifp: ifnet): void {
	if (ifnet_departure_event.on !== null) ifnet_departure_event.on(ifp);
	bpfdetach(ifp);
}

/** Gives the index back; the memory goes when the last reference and the last reader have. */
export function* if_free(ifp: ifnet): Blocking<void> {
	const s = state();
	ifp.if_flags |= IFF_DYING;
	const saved = CURVNET_SET(ifp.if_vnet);
	yield* sx_xlock(s.ifnet_sxlock);
	ifindex_free(ifp);
	ifp.if_index = 0;
	yield* sx_xunlock(s.ifnet_sxlock);
	if_rele(ifp);
	CURVNET_RESTORE(saved);
}

export function if_ref(ifp: ifnet): void {
	refcount_acquire(ifp.if_refcount);
}

export function if_rele(ifp: ifnet): void {
	if (refcount_release(ifp.if_refcount)) NET_EPOCH_CALL(if_destroy, ifp);
}

function* if_destroy(ifp: ifnet): Blocking<void> {
	KASSERT((ifp.if_flags & IFF_DYING) !== 0, "if_free_internal: interface not dying");
	yield* IFQ_PURGE(ifp.if_snd);
	mtx_destroy(ifp.if_addr_lock);
	mtx_destroy(ifp.if_snd.ifq_mtx);
	state().count--;
}

/** Moves an interface to another vnet. It is off the old one's list already. @see if.c if_vmove */
function* if_vmove(ifp: ifnet, new_vnet: vnet): Blocking<void> {
	const s = state();
	const bp = ifp.if_bpf;
	yield* if_detach_internal(ifp, true);
	if (!ifindex_is_global()) {
		yield* sx_xlock(s.ifnet_sxlock);
		ifindex_free(ifp);
		yield* sx_xunlock(s.ifnet_sxlock);
	}
	if (ifp.if_reassign !== null) yield* ifp.if_reassign(ifp, new_vnet, null);
	const saved = CURVNET_SET(new_vnet);
	if (!ifindex_is_global()) {
		yield* sx_xlock(s.ifnet_sxlock);
		ifindex_alloc(ifp);
		yield* sx_xunlock(s.ifnet_sxlock);
	}
	yield* if_attach_internal(ifp, true);
	if (ifp.if_bpf === null && bp !== null) bpfattach(ifp, bp.bif_dlt, bp.bif_hdrlen);
	CURVNET_RESTORE(saved);
}

/** Unlinks an interface from its vnet and moves it. @returns ENXIO if somebody else took it away first */
export function* if_vmove_to(ifp: ifnet, new_vnet: vnet): Blocking<Errno> {
	const saved = CURVNET_SET(ifp.if_vnet);
	const found = yield* if_unlink_ifnet(ifp, true);
	if (found) yield* if_vmove(ifp, new_vnet);
	CURVNET_RESTORE(saved);
	return found ? 0 : ENXIO;
}

/** Before anything else of a vnet goes, the interfaces it borrowed go home. @see if.c vnet_if_return */
VNET_SYSUNINIT("vnet_if_return", SI_SUB_VNET_DONE, SI_ORDER_ANY, function* () {
	yield* sync();
	const borrowed = V_ifnet().filter((ifp) => ifp.if_home_vnet !== ifp.if_vnet);
	for (const ifp of borrowed) yield* if_vmove_to(ifp, ifp.if_home_vnet as vnet);
});

/** Finds an interface of the current vnet by name. */
export function ifunit(name: string): ifnet | null {
	for (const ifp of V_ifnet()) if (ifp.if_xname === name) return ifp;
	return null;
}

/** The same, with a reference, and never one that is being destroyed. */
export function ifunit_ref(name: string): ifnet | null {
	const ifp = ifunit(name);
	if (ifp === null || (ifp.if_flags & IFF_DYING) !== 0) return null;
	if_ref(ifp);
	return ifp;
}

export function if_addgroup(ifp: ifnet, group: string): Errno {
	if (ifp.if_groups.includes(group)) return ENOENT;
	ifp.if_groups.push(group);
	return 0;
}

export function if_delgroup(ifp: ifnet, group: string): Errno {
	const at = ifp.if_groups.indexOf(group);
	if (at < 0) return ENOENT;
	ifp.if_groups.splice(at, 1);
	return 0;
}

/** Adds an address record. Under the interface's address lock; the family keeps lists of its own. */
export function* if_addaddr(ifp: ifnet, ifa: ifaddr): Blocking<void> {
	yield* mtx_lock(ifp.if_addr_lock);
	ifp.if_addrhead.push(ifa);
	yield* mtx_unlock(ifp.if_addr_lock);
}

/** Removes an address record from the interface's list. */
export function* if_deladdr(ifp: ifnet, ifa: ifaddr): Blocking<void> {
	yield* mtx_lock(ifp.if_addr_lock);
	const at = ifp.if_addrhead.indexOf(ifa);
	if (at >= 0) ifp.if_addrhead.splice(at, 1);
	yield* mtx_unlock(ifp.if_addr_lock);
}

/** Removes all addresses but the link's own. */
export function* if_purgeaddrs(ifp: ifnet): Blocking<void> {
	for (const ifa of ifp.if_addrhead.slice()) {
		const family = ifa.ifa_addr?.sa_family ?? AF_LINK;
		if (family === AF_LINK) continue;
		const dom = pffinddomain(family);
		if (dom?.dom_purgeaddr !== undefined) yield* dom.dom_purgeaddr(ifa);
		yield* if_deladdr(ifp, ifa);
	}
}

function* if_ctlinput(ifp: ifnet, cmd: number): Blocking<void> {
	for (const ifa of ifp.if_addrhead.slice()) {
		const dom = ifa.ifa_addr === null ? null : pffinddomain(ifa.ifa_addr.sa_family);
		if (dom?.dom_ctlinput !== undefined) yield* dom.dom_ctlinput(cmd, ifa);
	}
}

/** Marks the interface down, tells the families and throws away what it has queued. @see if.c if_unroute */
export function* if_down(ifp: ifnet): Blocking<void> {
	ifp.if_flags &= ~IFF_UP;
	yield* if_ctlinput(ifp, PRC_IFDOWN);
	yield* ifp.if_qflush(ifp);
}

/** Marks the interface up and tells the families. @see if.c if_route */
export function* if_up(ifp: ifnet): Blocking<void> {
	ifp.if_flags |= IFF_UP;
	yield* if_ctlinput(ifp, PRC_IFUP);
	for (const dom of all_domains()) if (dom.dom_if_up !== undefined) yield* dom.dom_if_up(ifp);
}

/** Notes a new link state; those who want to know hear of it from a task queue thread. */
export function* if_link_state_change(ifp: ifnet, link_state: number): Blocking<void> {
	if (ifp.if_link_state === link_state) return;
	ifp.if_link_state = link_state;
	yield* taskqueue_enqueue(taskqueue_swi(), ifp.if_linktask);
}

function* do_link_state_change(ifp: ifnet, pending: number): Blocking<void> {
	const saved = CURVNET_SET(ifp.if_vnet);
	const link_state = ifp.if_link_state;
	yield* sync();
	if (pending > 1) if_printf(ifp, `${pending} link states coalesced\n`);
	if_printf(ifp, `link state changed to ${link_state === LINK_STATE_UP ? "UP" : "DOWN"}\n`);
	if (ifnet_link_event.on !== null) ifnet_link_event.on(ifp, link_state);
	CURVNET_RESTORE(saved);
}

/** Empties the send queue. */
export function* if_qflush(ifp: ifnet): Blocking<void> {
	return yield* IFQ_PURGE(ifp.if_snd);
}

/** Transmits through the send queue, for drivers without if_transmit. @see if.c if_transmit, if_handoff */
function* if_transmit_default(ifp: ifnet, m: mbuf): Blocking<Errno> {
	const len = m.m_pkthdr.len;
	const multicast = (m.m_flags & (M_BCAST | M_MCAST)) !== 0;
	const error = yield* IFQ_ENQUEUE(ifp.if_snd, m);
	if (error !== 0) {
		if_inc_counter(ifp, IFCOUNTER_OQDROPS, 1);
		return ENOBUFS;
	}
	if_inc_counter(ifp, IFCOUNTER_OBYTES, len);
	if (multicast) if_inc_counter(ifp, IFCOUNTER_OMCASTS, 1);
	if ((ifp.if_drv_flags & IFF_DRV_OACTIVE) === 0 && ifp.if_start !== null) yield* ifp.if_start(ifp);
	return 0;
}

/** For interfaces nobody gave an input function. */
function if_input_default(_ifp: ifnet, m: mbuf): Blocking<void> {
	m_freem(m);
	return DONE;
}

/** Notes on the packet that it goes through a tunnel, and refuses when it has gone through too many or this one before. */
export function if_tunnel_check_nesting(ifp: ifnet, m: mbuf, cookie: number, limit: number): Errno {
	let count = 1;
	let mtag = m_tag_locate(m, cookie, 0, null);
	while (mtag !== null) {
		if (mtag.m_tag_data === ifp) {
			if_printf(ifp, "loop detected\n");
			return EIO;
		}
		count++;
		mtag = m_tag_locate(m, cookie, 0, mtag);
	}
	if (count > limit) {
		if_printf(ifp, `if_output recursively called too many times(${count})\n`);
		return EIO;
	}
	mtag = m_tag_alloc(cookie, 0, 8, M_NOWAIT);
	if (mtag === null) return ENOMEM;
	mtag.m_tag_data = ifp;
	m_tag_prepend(m, mtag);
	return 0;
}
