/**
 * epair(4) as it was up to FreeBSD 13.0: the other end receives in the netisr thread.
 *
 * All pairs, in both directions, share one netisr queue of 2100 packets and one thread, in which the receiving stack runs too.
 * When that queue is full the CPU's "hardware" flag is set, and packets go to the interface's own queue of 50, which is drained
 * when the netisr thread has emptied its queue. A mutex per CPU covers a transmission from end to end. Simplified: the in-flight
 * count asserted by INVARIANTS kernels is waited for on destruction, since here an epoch wait may take no time at all.
 *
 * @see net/if_epair.c of 13.0; kernel.md section 2.1
 */
import { ENETDOWN, ENXIO, type Errno } from "../errno.ts";
import { MA_OWNED, MTX_DEF, mtx, mtx_assert, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { M_BCAST, M_MCAST, m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { CURVNET_RESTORE, CURVNET_SET, KASSERT, KERNEL_GLOBAL, mp_ncpus, TUNABLE_FETCH } from "../sched/kernel.ts";
import { pause } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost, sync } from "../sched/thread.ts";
import { BPF_MTAP } from "./bpf.ts";
import { if_qflush } from "./if.ts";
import type { epair_generation, epair_softc } from "./if_epair_var.ts";
import {
	IFCOUNTER_IPACKETS,
	IFCOUNTER_OBYTES,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OMCASTS,
	IFCOUNTER_OPACKETS,
	IFF_DRV_OACTIVE,
	IFF_DRV_RUNNING,
	IFF_UP,
	IFQ_DEQUEUE,
	IFQ_ENQUEUE,
	if_inc_counter,
	type ifnet,
	ifqmaxlen,
} from "./if_var.ts";
import { NETISR_EPAIR, NETISR_POLICY_CPU, netisr_get_cpuid, netisr_queue, netisr_register } from "./netisr.ts";

/** this generation's part of a softc */
class epair_netisr {
	/** packets on their way to this end, and places on drain lists, plus one */
	refcount = 1;
	/** CPU whose queue and lock this end's transmissions use */
	readonly cpuid: number;
	constructor(cpuid: number) {
		this.cpuid = cpuid;
	}
}

/** Per CPU. @see struct epair_dpcpu */
class epair_dpcpu {
	readonly if_epair_mtx = new mtx();
	epair_drv_flags = 0;
	/** interfaces with something in their own queue */
	readonly epair_ifp_drain_list: ifnet[] = [];
	constructor() {
		mtx_init(this.if_epair_mtx, "if_epair", null, MTX_DEF);
	}
}

const dpcpus = KERNEL_GLOBAL(() => Array.from({ length: mp_ncpus() }, () => new epair_dpcpu()));

function data(ifp: ifnet): epair_netisr {
	return (ifp.if_softc as epair_softc).epair_data as epair_netisr;
}

function dpcpu(ifp: ifnet): epair_dpcpu {
	return dpcpus()[data(ifp).cpuid];
}

function refcount_release(d: epair_netisr, ifp: ifnet): void {
	d.refcount--;
	KASSERT(d.refcount >= 1, `epair_nh_sintr: ifp=${ifp.if_xname} sc->refcount not >= 1: ${d.refcount}`);
}

/** netisr handler: the other end receives. */
function* epair_nh_sintr(m: mbuf): Blocking<void> {
	const ifp = m.m_pkthdr.rcvif as ifnet;
	const d = data(ifp);
	charge(cost.epair_tx_start);
	yield* ifp.if_input(ifp, m);
	refcount_release(d, ifp);
}

function epair_nh_m2cpuid(m: mbuf): number {
	return data(m.m_pkthdr.rcvif as ifnet).cpuid;
}

/** The netisr queue of a CPU has been emptied: there is room for what waits in the interfaces' own queues. */
function* epair_nh_drainedcpu(cpuid: number): Blocking<void> {
	const dp = dpcpus()[cpuid];
	yield* mtx_lock(dp.if_epair_mtx);
	const list = dp.epair_ifp_drain_list;
	for (let i = 0; i < list.length; ) {
		const ifp = list[i];
		dp.epair_drv_flags &= ~IFF_DRV_OACTIVE;
		ifp.if_drv_flags &= ~IFF_DRV_OACTIVE;
		yield* epair_start_locked(ifp);
		yield* mtx_lock(ifp.if_snd.ifq_mtx);
		if (ifp.if_snd.ifq.mq_len === 0) {
			list.splice(i, 1);
			refcount_release(data(ifp), ifp);
		} else i++;
		yield* mtx_unlock(ifp.if_snd.ifq_mtx);
		if ((ifp.if_drv_flags & IFF_DRV_OACTIVE) !== 0) {
			dp.epair_drv_flags |= IFF_DRV_OACTIVE;
			break;
		}
	}
	yield* mtx_unlock(dp.if_epair_mtx);
}

/** Takes an interface off all drain lists, before its queue is flushed. */
function* epair_remove_ifp_from_draining(ifp: ifnet): Blocking<void> {
	for (const dp of dpcpus()) {
		yield* mtx_lock(dp.if_epair_mtx);
		const at = dp.epair_ifp_drain_list.indexOf(ifp);
		if (at >= 0) {
			dp.epair_ifp_drain_list.splice(at, 1);
			refcount_release(data(ifp), ifp);
		}
		yield* mtx_unlock(dp.if_epair_mtx);
	}
}

function epair_add_ifp_for_draining(ifp: ifnet): void {
	const dp = dpcpu(ifp);
	mtx_assert(dp.if_epair_mtx, MA_OWNED);
	if (dp.epair_ifp_drain_list.includes(ifp)) return;
	data(ifp).refcount++;
	dp.epair_ifp_drain_list.push(ifp);
}

/** Queues a packet for the other end's netisr handler. On failure it has been freed and the CPU's flag is set. */
function* epair_handoff(dp: epair_dpcpu, ifp: ifnet, oifp: ifnet, m: mbuf): Blocking<Errno> {
	const peer = data(oifp);
	peer.refcount++;
	m.m_pkthdr.rcvif = oifp;
	const saved = CURVNET_SET(oifp.if_vnet);
	const error = yield* netisr_queue(NETISR_EPAIR, m);
	CURVNET_RESTORE(saved);
	if (error === 0) {
		if_inc_counter(ifp, IFCOUNTER_OPACKETS, 1);
		if_inc_counter(oifp, IFCOUNTER_IPACKETS, 1);
		return 0;
	}
	dp.epair_drv_flags |= IFF_DRV_OACTIVE;
	ifp.if_drv_flags |= IFF_DRV_OACTIVE;
	if_inc_counter(ifp, IFCOUNTER_OERRORS, 1);
	refcount_release(peer, oifp);
	return error;
}

/** Moves what waits in the interface's own queue to the netisr queue. */
function* epair_start_locked(ifp: ifnet): Blocking<void> {
	const dp = dpcpu(ifp);
	mtx_assert(dp.if_epair_mtx, MA_OWNED);
	if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0 || (ifp.if_flags & IFF_UP) === 0) return;
	const { oifp } = ifp.if_softc as epair_softc;
	for (;;) {
		const m = yield* IFQ_DEQUEUE(ifp.if_snd);
		if (m === null) return;
		BPF_MTAP(ifp, m);
		if ((oifp.if_drv_flags & IFF_DRV_RUNNING) === 0 || (oifp.if_flags & IFF_UP) === 0) {
			if_inc_counter(ifp, IFCOUNTER_OERRORS, 1);
			m_freem(m);
			continue;
		}
		if ((yield* epair_handoff(dp, ifp, oifp, m)) !== 0) epair_add_ifp_for_draining(ifp);
	}
}

function* epair_start(ifp: ifnet): Blocking<void> {
	const dp = dpcpu(ifp);
	yield* mtx_lock(dp.if_epair_mtx);
	yield* epair_start_locked(ifp);
	yield* mtx_unlock(dp.if_epair_mtx);
}

function* epair_transmit_locked(dp: epair_dpcpu, ifp: ifnet, m: mbuf): Blocking<Errno> {
	charge(cost.epair_transmit);
	if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) {
		m_freem(m);
		return ENXIO;
	}
	if ((ifp.if_flags & IFF_UP) === 0) {
		m_freem(m);
		return ENETDOWN;
	}
	BPF_MTAP(ifp, m);
	const { oifp } = ifp.if_softc as epair_softc;
	if ((oifp.if_drv_flags & IFF_DRV_RUNNING) === 0 || (oifp.if_flags & IFF_UP) === 0) {
		if_inc_counter(ifp, IFCOUNTER_OERRORS, 1);
		m_freem(m);
		return 0;
	}
	if ((dp.epair_drv_flags & IFF_DRV_OACTIVE) !== 0) {
		const error = yield* IFQ_ENQUEUE(ifp.if_snd, m);
		if (error === 0) epair_add_ifp_for_draining(ifp);
		return error;
	}
	const { len } = m.m_pkthdr;
	const mflags = m.m_flags;
	const error = yield* epair_handoff(dp, ifp, oifp, m);
	if (error === 0) {
		if_inc_counter(ifp, IFCOUNTER_OBYTES, len);
		if ((mflags & (M_BCAST | M_MCAST)) !== 0) if_inc_counter(ifp, IFCOUNTER_OMCASTS, 1);
	}
	return error;
}

function* epair_transmit(ifp: ifnet, m: mbuf): Blocking<Errno> {
	// a detached end has no softc any more
	if (ifp.if_softc === null) {
		m_freem(m);
		return ENXIO;
	}
	const dp = dpcpu(ifp);
	yield* mtx_lock(dp.if_epair_mtx);
	const error = yield* epair_transmit_locked(dp, ifp, m);
	yield* mtx_unlock(dp.if_epair_mtx);
	return error;
}

function* epair_qflush(ifp: ifnet): Blocking<void> {
	yield* epair_remove_ifp_from_draining(ifp);
	yield* if_qflush(ifp);
}

export const epair_generation_a: epair_generation = {
	*modload() {
		const qlimit = TUNABLE_FETCH("net.link.epair.netisr_maxqlen");
		netisr_register({
			nh_name: "epair",
			nh_proto: NETISR_EPAIR,
			nh_policy: NETISR_POLICY_CPU,
			nh_handler: epair_nh_sintr,
			nh_m2cpuid: epair_nh_m2cpuid,
			nh_drainedcpu: epair_nh_drainedcpu,
			nh_qlimit: qlimit === null ? 42 * ifqmaxlen : Number(qlimit),
		});
		yield* sync();
	},
	setup(sc) {
		sc.epair_data = new epair_netisr(netisr_get_cpuid(sc.ifp.if_index));
	},
	transmit: epair_transmit,
	start: epair_start,
	qflush: epair_qflush,
	*drain(sc) {
		const d = sc.epair_data as epair_netisr;
		while (d.refcount !== 1) yield* pause("epair", 1);
	},
};
