/**
 * epair(4) as it is from FreeBSD 13.2 and 14.0 on: the other end receives in a task queue thread.
 *
 * All pairs, in both directions, share one task queue with one unbound thread of priority PI_NET, and every end has a queue of
 * 4096 packets. A sender schedules the receiver's task only if that is idle; the task takes the whole queue at once and, if
 * there is more by the time it has delivered that, puts itself at the end of the task queue. As in a GENERIC kernel there is no
 * RSS, hence one queue an end.
 *
 * @see net/if_epair.c of 14.0; kernel.md section 2.3
 */
import { E2BIG, ENETDOWN, ENXIO, type Errno } from "../errno.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import {
	M_BCAST,
	M_MCAST,
	M_SETFIB,
	M_VLANTAG,
	m_freem,
	m_tag_delete_nonpersistent,
	type mbuf,
	mbufq,
	mbufq_drain,
	mbufq_enqueue,
	mbufq_flush,
	mbufq_init,
	mbufq_len,
} from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { CURVNET_RESTORE, CURVNET_SET, KASSERT, KERNEL_GLOBAL, priorities } from "../sched/kernel.ts";
import { type Blocking, charge, cost, curcpu, DONE, sync } from "../sched/thread.ts";
import {
	NET_TASK_INIT,
	task,
	taskqueue_create,
	taskqueue_drain,
	taskqueue_enqueue,
	taskqueue_start_threads,
} from "../taskqueue/taskqueue.ts";
import { BPF_MTAP } from "./bpf.ts";
import { ETHER_VLAN_HDR_LEN } from "./ethernet.ts";
import { if_qflush, if_ref, if_rele } from "./if.ts";
import type { epair_generation, epair_softc } from "./if_epair_var.ts";
import {
	IFCOUNTER_IPACKETS,
	IFCOUNTER_OBYTES,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OMCASTS,
	IFCOUNTER_OPACKETS,
	IFCOUNTER_OQDROPS,
	IFF_DRV_RUNNING,
	IFF_UP,
	if_inc_counter,
	type ifnet,
} from "./if_var.ts";

/** A packet waits for the other end's task; the task takes it on. */
export const epair_enqueue = SDT_PROBE_DEFINE<[m: mbuf]>("epair:::enqueue", "m: mbuf");
export const epair_handle = SDT_PROBE_DEFINE<[m: mbuf]>("epair:::handle", "m: mbuf");

/** packets an end's queue holds */
const RXRSIZE = 4096;

const EPAIR_QUEUE_IDLE = 0;
const EPAIR_QUEUE_WAKING = 1;
const EPAIR_QUEUE_RUNNING = 2;

/** Packets on their way to one end. @see struct epair_queue */
class epair_queue {
	readonly mtx = new mtx();
	readonly q = new mbufq();
	state = EPAIR_QUEUE_IDLE;
	readonly tx_task = new task();
	readonly sc: epair_softc;
	/** CPU that queued last; the packets' cache lines are there */
	cpu = -1;

	constructor(sc: epair_softc) {
		this.sc = sc;
		mtx_init(this.mtx, "epairq", null, MTX_DEF);
		mbufq_init(this.q, RXRSIZE);
		NET_TASK_INIT(this.tx_task, 0, epair_tx_start_deferred, this);
	}
}

/** the task queue shared by all pairs */
const epair_tasks = KERNEL_GLOBAL(() => taskqueue_create("epair_task"));

/** Delivers everything queued for an end, once. In the net epoch. */
function* epair_tx_start_deferred(q: epair_queue, _pending: number): Blocking<void> {
	const { ifp } = q.sc;
	if_ref(ifp);
	const saved = CURVNET_SET(ifp.if_vnet);
	yield* mtx_lock(q.mtx);
	let m = mbufq_flush(q.q);
	q.state = EPAIR_QUEUE_RUNNING;
	const lines = q.cpu === curcpu() ? 0 : cost.handoff_lines * cost.line_transfer;
	yield* mtx_unlock(q.mtx);
	while (m !== null) {
		const next: mbuf | null = m.m_nextpkt;
		m.m_nextpkt = null;
		if (epair_handle.on !== null) epair_handle.on(m);
		charge(cost.epair_tx_start + lines);
		yield* ifp.if_input(ifp, m);
		m = next;
	}
	// not more than one flush a run, so that other pairs get their turn
	yield* mtx_lock(q.mtx);
	const resched = mbufq_len(q.q) > 0;
	q.state = resched ? EPAIR_QUEUE_WAKING : EPAIR_QUEUE_IDLE;
	yield* mtx_unlock(q.mtx);
	if (resched) yield* taskqueue_enqueue(epair_tasks(), q.tx_task);
	CURVNET_RESTORE(saved);
	if_rele(ifp);
}

/** Queues a packet for the other end `osc`. The task may be scheduled for a packet that is then dropped. */
function* epair_menq(m: mbuf, osc: epair_softc): Blocking<void> {
	const oifp = osc.ifp;
	const ifp = osc.oifp;
	const q = osc.epair_data as epair_queue;
	m.m_flags &= ~M_VLANTAG;
	m_tag_delete_nonpersistent(m);
	m.m_pkthdr.rcvif = oifp;
	M_SETFIB(m, oifp.if_fib);
	m.m_nextpkt = null;
	const { len } = m.m_pkthdr;
	const mflags = m.m_flags;
	yield* mtx_lock(q.mtx);
	if (q.state === EPAIR_QUEUE_IDLE) {
		q.state = EPAIR_QUEUE_WAKING;
		yield* taskqueue_enqueue(epair_tasks(), q.tx_task);
	}
	q.cpu = curcpu();
	const error = mbufq_enqueue(q.q, m);
	if (error === 0 && epair_enqueue.on !== null) epair_enqueue.on(m);
	yield* mtx_unlock(q.mtx);
	if (error !== 0) {
		m_freem(m);
		if_inc_counter(ifp, IFCOUNTER_OQDROPS, 1);
		return;
	}
	if_inc_counter(ifp, IFCOUNTER_OPACKETS, 1);
	if_inc_counter(ifp, IFCOUNTER_OBYTES, len);
	if ((mflags & (M_BCAST | M_MCAST)) !== 0) if_inc_counter(ifp, IFCOUNTER_OMCASTS, 1);
	if_inc_counter(oifp, IFCOUNTER_IPACKETS, 1);
}

function drop(ifp: ifnet, m: mbuf, error: Errno): Errno {
	m_freem(m);
	if_inc_counter(ifp, IFCOUNTER_OERRORS, 1);
	return error;
}

/** Sends to the other end. Drops there are not told here: they count as OQDROPS. */
function* epair_transmit(ifp: ifnet, m: mbuf): Blocking<Errno> {
	charge(cost.epair_transmit);
	yield* sync();
	const sc = ifp.if_softc as epair_softc | null;
	if (m.m_pkthdr.len > ifp.if_mtu + ETHER_VLAN_HDR_LEN) return drop(ifp, m, E2BIG);
	if (sc === null || (ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) return drop(ifp, m, ENXIO);
	if ((ifp.if_flags & IFF_UP) === 0) return drop(ifp, m, ENETDOWN);
	BPF_MTAP(ifp, m);
	const { oifp } = sc;
	if ((oifp.if_drv_flags & IFF_DRV_RUNNING) === 0 || (oifp.if_flags & IFF_UP) === 0) return drop(ifp, m, 0);
	yield* epair_menq(m, oifp.if_softc as epair_softc);
	return 0;
}

/** Nothing waits in the interface's own queue. */
function epair_start(_ifp: ifnet): Blocking<void> {
	return DONE;
}

export const epair_generation_d: epair_generation = {
	*modload() {
		taskqueue_start_threads(epair_tasks(), 1, priorities().PI_NET, "epair_task");
		yield* sync();
	},
	setup(sc) {
		sc.epair_data = new epair_queue(sc);
	},
	transmit: epair_transmit,
	start: epair_start,
	qflush: if_qflush,
	*drain(sc) {
		const q = sc.epair_data as epair_queue;
		yield* taskqueue_drain(epair_tasks(), q.tx_task);
		yield* mtx_lock(q.mtx);
		mbufq_drain(q.q);
		KASSERT(q.state === EPAIR_QUEUE_IDLE, `epair: destroying a queue in state ${q.state}`);
		yield* mtx_unlock(q.mtx);
		mtx_destroy(q.mtx);
	},
};
