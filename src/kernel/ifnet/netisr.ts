/**
 * netisr(9): hands packets to protocols, at once or through a queue and a software interrupt thread.
 *
 * A workstream is a CPU's share: one queue per protocol, one lock, one thread. There is one workstream unless the tunable
 * net.isr.maxthreads says otherwise, and its thread is bound to no CPU. Packets are dispatched directly by default: the
 * caller's own thread runs the protocol. Simplified: no polling, no RSS; a protocol is enabled in every vnet from its
 * registration until netisr_unregister_vnet takes it out of one.
 *
 * @see net/netisr.c, net/netisr_internal.h; kernel.md section 3
 */
import { EINVAL, ENOBUFS, ENOPROTOOPT, type Errno } from "../errno.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { M_ASSERTPKTHDR, M_HASHTYPE_GET, m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { swi_add, type swi_cookie, swi_sched } from "../sched/intr.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	curvnet,
	KASSERT,
	KERNEL_GLOBAL,
	mp_ncpus,
	priorities,
	release_traits,
	SI_ORDER_FIRST,
	SI_SUB_PROTO_BEGIN,
	SI_SUB_SOFTINTR,
	SYSINIT,
	TUNABLE_FETCH,
	VNET_DEFINE,
	VNET_SYSUNINIT,
	type vnet,
} from "../sched/kernel.ts";
import { type Blocking, charge, cost, curcpu, sync } from "../sched/thread.ts";
import { sched_pin, sched_unpin } from "../sched/ule.ts";

export const NETISR_IP = 1;
export const NETISR_IGMP = 2;
export const NETISR_ROUTE = 3;
export const NETISR_ARP = 4;
export const NETISR_ETHER = 5;
export const NETISR_IPV6 = 6;
export const NETISR_EPAIR = 8;
export const NETISR_IP_DIRECT = 9;
export const NETISR_IPV6_DIRECT = 10;
export const NETISR_MAXPROT = 16;

/** packets of a source stay in order */
export const NETISR_POLICY_SOURCE = 1;
/** packets of a flow stay in order */
export const NETISR_POLICY_FLOW = 2;
/** the protocol says which CPU */
export const NETISR_POLICY_CPU = 3;

export const NETISR_DISPATCH_DEFAULT = 0;
export const NETISR_DISPATCH_DEFERRED = 1;
export const NETISR_DISPATCH_HYBRID = 2;
export const NETISR_DISPATCH_DIRECT = 3;

/** nh_m2cpuid's "no opinion" */
export const NETISR_CPUID_NONE = -1;

const NWS_RUNNING = 0x1;
const NWS_DISPATCHING = 0x2;
const NWS_SCHEDULED = 0x4;

const netisr_maxqlimit_default = 10240;
const netisr_defaultqlimit_default = 256;

/** what a protocol registers */
export interface netisr_handler {
	readonly nh_name: string;
	/** consumes the packet; runs in the net epoch, in the vnet of its interface */
	readonly nh_handler: (m: mbuf) => Blocking<void>;
	/** gives the packet a flow id; null: it was consumed */
	readonly nh_m2flow?: (m: mbuf, source: number) => mbuf | null;
	/** the workstream's CPU, or NETISR_CPUID_NONE */
	readonly nh_m2cpuid?: (m: mbuf, source: number) => number;
	/** called when a batch of this protocol has been handled on a CPU */
	readonly nh_drainedcpu?: (cpuid: number) => Blocking<void>;
	readonly nh_proto: number;
	/** 0: the default */
	readonly nh_qlimit?: number;
	readonly nh_policy: number;
	readonly nh_dispatch?: number;
}

/** A protocol's queue and statistics on one workstream, as `netstat -Q` shows them. */
export class netisr_work {
	nw_head: mbuf | null = null;
	nw_tail: mbuf | null = null;
	nw_len = 0;
	nw_qlimit = 0;
	nw_watermark = 0;
	nw_dispatched = 0;
	nw_hybrid_dispatched = 0;
	nw_qdrops = 0;
	nw_queued = 0;
	nw_handled = 0;
	/** CPU that queued last; the packets' cache lines are there */
	nw_cpu = -1;
}

export class netisr_workstream {
	readonly nws_cpu: number;
	readonly nws_mtx = new mtx();
	nws_flags = 0;
	/** packets queued over all protocols */
	nws_pending_work = 0;
	/** a bit per protocol with something queued */
	nws_pendingbits = 0;
	nws_swi_cookie: swi_cookie | null = null;
	readonly nws_work: netisr_work[] = Array.from({ length: NETISR_MAXPROT }, () => new netisr_work());

	constructor(cpu: number) {
		this.nws_cpu = cpu;
		mtx_init(this.nws_mtx, "netisr_mtx", null, MTX_DEF);
	}
}

class netisr_state {
	readonly proto: (netisr_handler | null)[] = new Array(NETISR_MAXPROT).fill(null);
	readonly np_qlimit: number[] = new Array(NETISR_MAXPROT).fill(0);
	readonly np_dispatch: number[] = new Array(NETISR_MAXPROT).fill(NETISR_DISPATCH_DEFAULT);
	readonly np_policy: number[] = new Array(NETISR_MAXPROT).fill(0);
	/** by workstream index */
	readonly nws: netisr_workstream[] = [];
	/** by CPU; those beyond net.isr.maxthreads have no thread and only count what was dispatched directly */
	readonly dpcpu: netisr_workstream[] = Array.from({ length: mp_ncpus() }, (_, cpu) => new netisr_workstream(cpu));
	dispatch_policy = NETISR_DISPATCH_DIRECT;
	maxqlimit = netisr_maxqlimit_default;
	defaultqlimit = netisr_defaultqlimit_default;
}

const netisr = KERNEL_GLOBAL(() => new netisr_state());

class netisr_disabled {
	readonly proto: boolean[] = new Array(NETISR_MAXPROT).fill(false);
}

/** protocols that are shut down in this vnet */
const V_netisr_disabled = VNET_DEFINE(() => new netisr_disabled());

/** args: protocol, packet, CPU of the workstream */
export const netisr_enqueue = SDT_PROBE_DEFINE<[proto: number, m: mbuf, cpu: number]>(
	"netisr:::enqueue",
	"proto: number, m: mbuf, cpu: number",
);
export const netisr_drop = SDT_PROBE_DEFINE<[proto: number, m: mbuf, cpu: number]>(
	"netisr:::drop",
	"proto: number, m: mbuf, cpu: number",
);
/** args: protocol, packet, whether it comes from a queue */
export const netisr_handle = SDT_PROBE_DEFINE<[proto: number, m: mbuf, queued: boolean]>(
	"netisr:::handle",
	"proto: number, m: mbuf, queued: boolean",
);

/** Bounds a protocol's queue limit. @see netisr.c netisr_register */
function netisr_limit(ns: netisr_state, qlimit: number): number {
	return qlimit === 0 ? ns.defaultqlimit : Math.min(qlimit, ns.maxqlimit);
}

/** Makes a protocol known; from a SYSINIT, once per kernel. */
export function netisr_register(nh: netisr_handler): void {
	const ns = netisr();
	const proto = nh.nh_proto;
	KASSERT(proto > 0 && proto < NETISR_MAXPROT, `netisr_register: nh_proto ${proto} out of range`);
	KASSERT(
		ns.proto[proto] === null,
		`netisr_register(${proto}, ${nh.nh_name}): name ${ns.proto[proto]?.nh_name} present`,
	);
	KASSERT(
		nh.nh_policy >= NETISR_POLICY_SOURCE && nh.nh_policy <= NETISR_POLICY_CPU,
		`netisr_register: unsupported nh_policy ${nh.nh_policy} for ${nh.nh_name}`,
	);
	KASSERT(
		nh.nh_m2cpuid === undefined || nh.nh_policy === NETISR_POLICY_CPU,
		`netisr_register: nh_policy != CPU but m2cpuid defined for ${nh.nh_name}`,
	);
	KASSERT(
		nh.nh_policy !== NETISR_POLICY_CPU || nh.nh_m2cpuid !== undefined,
		`netisr_register: nh_policy == CPU but m2cpuid not defined for ${nh.nh_name}`,
	);
	ns.proto[proto] = nh;
	ns.np_policy[proto] = nh.nh_policy;
	ns.np_dispatch[proto] = nh.nh_dispatch ?? NETISR_DISPATCH_DEFAULT;
	ns.np_qlimit[proto] = netisr_limit(ns, nh.nh_qlimit ?? 0);
	for (const nws of ns.nws) nws.nws_work[proto].nw_qlimit = ns.np_qlimit[proto];
}

/** Lets the current vnet's packets through again. @see netisr.c netisr_register_vnet */
export function netisr_register_vnet(nh: netisr_handler): void {
	V_netisr_disabled().proto[nh.nh_proto] = false;
}

/** Stops a protocol in the current vnet and frees what it has queued for it. @see netisr.c netisr_unregister_vnet */
export function* netisr_unregister_vnet(vn: vnet, nh: netisr_handler): Blocking<void> {
	V_netisr_disabled().proto[nh.nh_proto] = true;
	for (const nws of netisr().nws) {
		yield* mtx_lock(nws.nws_mtx);
		netisr_drain_proto_vnet(vn, nws, nh.nh_proto);
		yield* mtx_unlock(nws.nws_mtx);
	}
}

/** Frees the queued packets of one vnet. @see netisr.c netisr_drain_proto_vnet */
function netisr_drain_proto_vnet(vn: vnet, nws: netisr_workstream, proto: number): void {
	const work = nws.nws_work[proto];
	let m = work.nw_head;
	work.nw_head = null;
	work.nw_tail = null;
	while (m !== null) {
		const next: mbuf | null = m.m_nextpkt;
		m.m_nextpkt = null;
		if (m.m_pkthdr.rcvif?.if_vnet === vn || rcvif_gone(m)) {
			work.nw_len--;
			nws.nws_pending_work--;
			m_freem(m);
		} else {
			if (work.nw_tail === null) work.nw_head = m;
			else work.nw_tail.m_nextpkt = m;
			work.nw_tail = m;
		}
		m = next;
	}
	if (work.nw_len === 0) nws.nws_pendingbits &= ~(1 << proto);
}

export function netisr_getqlimit(proto: number): number {
	return netisr().np_qlimit[proto];
}

/** @see netisr.c netisr_setqlimit */
export function netisr_setqlimit(proto: number, qlimit: number): Errno {
	const ns = netisr();
	if (qlimit > ns.maxqlimit) return EINVAL;
	ns.np_qlimit[proto] = qlimit;
	for (const nws of ns.nws) nws.nws_work[proto].nw_qlimit = qlimit;
	return 0;
}

/** Packets of a protocol dropped for want of room, over all workstreams. */
export function netisr_getqdrops(proto: number): number {
	let drops = 0;
	for (const nws of netisr().nws) drops += nws.nws_work[proto].nw_qdrops;
	return drops;
}

export function netisr_clearqdrops(proto: number): void {
	for (const nws of netisr().nws) nws.nws_work[proto].nw_qdrops = 0;
}

/** The workstreams, for statistics: what `netstat -Q` reads. */
export function netisr_workstreams(): readonly netisr_workstream[] {
	return netisr().nws;
}

export function netisr_get_cpucount(): number {
	return netisr().nws.length;
}

/** CPU of workstream `cpunumber` modulo their count. */
export function netisr_get_cpuid(cpunumber: number): number {
	const nws = netisr().nws;
	return nws[cpunumber % nws.length].nws_cpu;
}

export function netisr_default_flow2cpu(flowid: number): number {
	return netisr_get_cpuid(flowid);
}

/** sysctl net.isr.dispatch: the policy of protocols that do not ask for one. */
export function netisr_set_dispatch(policy: number): void {
	KASSERT(policy >= NETISR_DISPATCH_DEFERRED && policy <= NETISR_DISPATCH_DIRECT, "net.isr.dispatch out of range");
	netisr().dispatch_policy = policy;
}

function netisr_get_dispatch(ns: netisr_state, proto: number): number {
	const own = ns.np_dispatch[proto];
	return own === NETISR_DISPATCH_DEFAULT ? ns.dispatch_policy : own;
}

/** Chooses the workstream's CPU for a packet. @see netisr.c netisr_select_cpuid */
function netisr_select_cpuid(ns: netisr_state, proto: number, dispatch: number, source: number, m: mbuf): number {
	if (ns.nws.length === 1) return ns.nws[0].nws_cpu;
	const nh = ns.proto[proto] as netisr_handler;
	let policy = nh.nh_policy;
	if (policy === NETISR_POLICY_CPU) {
		const cpuid = (nh.nh_m2cpuid as (m: mbuf, source: number) => number)(m, source);
		if (cpuid !== NETISR_CPUID_NONE) return cpuid;
		if (dispatch === NETISR_DISPATCH_HYBRID) return curcpu();
		policy = NETISR_POLICY_SOURCE;
	}
	if (policy === NETISR_POLICY_FLOW) {
		if (M_HASHTYPE_GET(m) === 0 && nh.nh_m2flow !== undefined && nh.nh_m2flow(m, source) === null) return -1;
		if (M_HASHTYPE_GET(m) !== 0) return netisr_default_flow2cpu(m.m_pkthdr.flowid);
	}
	const rcvif = m.m_pkthdr.rcvif;
	return netisr_get_cpuid(rcvif === null ? source : rcvif.if_index + source);
}

/**
 * Has the interface a packet came in by been freed? 14.0 queues an index and a generation instead of a pointer and drops
 * the packet then; 13.0 keeps the bare pointer and calls whatever if_dead left there.
 *
 * @see if.c m_rcvif_restore
 */
function rcvif_gone(m: mbuf): boolean {
	const rcvif = m.m_pkthdr.rcvif;
	return rcvif === null || (release_traits().osreldate >= 1400000 && rcvif.if_index === 0);
}

/** Handles all packets a protocol has queued now; later ones wait for the next round. Called and returns with the lock held. */
function* netisr_process_workstream_proto(nws: netisr_workstream, proto: number): Blocking<void> {
	const nh = netisr().proto[proto] as netisr_handler;
	const work = nws.nws_work[proto];
	const handled = work.nw_len;
	let m = work.nw_head;
	work.nw_head = null;
	work.nw_tail = null;
	work.nw_len = 0;
	nws.nws_pending_work -= handled;
	nws.nws_pendingbits &= ~(1 << proto);
	const lines = work.nw_cpu === curcpu() ? 0 : cost.handoff_lines * cost.line_transfer;
	yield* mtx_unlock(nws.nws_mtx);
	while (m !== null) {
		const next: mbuf | null = m.m_nextpkt;
		m.m_nextpkt = null;
		charge(cost.netisr_loop + lines);
		const rcvif = m.m_pkthdr.rcvif;
		if (rcvif === null || rcvif_gone(m)) {
			m_freem(m);
		} else {
			const saved = CURVNET_SET(rcvif.if_vnet);
			if (netisr_handle.on !== null) netisr_handle.on(proto, m, true);
			yield* nh.nh_handler(m);
			CURVNET_RESTORE(saved);
		}
		m = next;
	}
	if (nh.nh_drainedcpu !== undefined) yield* nh.nh_drainedcpu(nws.nws_cpu);
	yield* mtx_lock(nws.nws_mtx);
	work.nw_handled += handled;
}

/** The thread's work: empties all queues, lowest protocol number first. @see netisr.c swi_net */
function* swi_net(nws: netisr_workstream): Blocking<void> {
	yield* mtx_lock(nws.nws_mtx);
	KASSERT((nws.nws_flags & NWS_RUNNING) === 0, "swi_net: running");
	// somebody else handles a packet here; it will ask for us again when there is more
	if ((nws.nws_flags & NWS_DISPATCHING) === 0) {
		nws.nws_flags |= NWS_RUNNING;
		nws.nws_flags &= ~NWS_SCHEDULED;
		while (nws.nws_pendingbits !== 0) {
			for (let proto = 0, bits = nws.nws_pendingbits; bits !== 0; proto++, bits >>>= 1) {
				if ((bits & 1) !== 0 && nws.nws_work[proto].nw_len !== 0) yield* netisr_process_workstream_proto(nws, proto);
			}
		}
		nws.nws_flags &= ~NWS_RUNNING;
	}
	yield* mtx_unlock(nws.nws_mtx);
}

/** Appends to a workstream's queue, and says whether its thread must be asked for. Frees the packet when the queue is full. */
function netisr_queue_workstream(nws: netisr_workstream, proto: number, m: mbuf): Errno {
	const work = nws.nws_work[proto];
	if (work.nw_len >= work.nw_qlimit) {
		work.nw_qdrops++;
		if (netisr_drop.on !== null) netisr_drop.on(proto, m, nws.nws_cpu);
		m_freem(m);
		return ENOBUFS;
	}
	m.m_nextpkt = null;
	if (work.nw_tail === null) work.nw_head = m;
	else work.nw_tail.m_nextpkt = m;
	work.nw_tail = m;
	work.nw_cpu = curcpu();
	work.nw_len++;
	if (work.nw_len > work.nw_watermark) work.nw_watermark = work.nw_len;
	work.nw_queued++;
	nws.nws_pending_work++;
	nws.nws_pendingbits |= 1 << proto;
	if (netisr_enqueue.on !== null) netisr_enqueue.on(proto, m, nws.nws_cpu);
	return 0;
}

/** Queues for the workstream of `cpuid`, and asks for its thread unless it runs or will run anyway. */
function* netisr_queue_internal(ns: netisr_state, proto: number, m: mbuf, cpuid: number): Blocking<Errno> {
	const nws = ns.dpcpu[cpuid];
	charge(cost.netisr_queue);
	yield* mtx_lock(nws.nws_mtx);
	const error = netisr_queue_workstream(nws, proto, m);
	const dosignal = error === 0 && (nws.nws_flags & (NWS_RUNNING | NWS_DISPATCHING | NWS_SCHEDULED)) === 0;
	if (dosignal) nws.nws_flags |= NWS_SCHEDULED;
	yield* mtx_unlock(nws.nws_mtx);
	if (dosignal) yield* swi_sched(nws.nws_swi_cookie as swi_cookie);
	return error;
}

/**
 * Queues a packet for later, whatever the dispatch policy.
 *
 * @returns 0; ENOBUFS when the queue is full, and the packet has been freed; ENOPROTOOPT when this vnet shut the protocol down
 * @see netisr.c netisr_queue_src
 */
export function* netisr_queue_src(proto: number, source: number, m: mbuf): Blocking<Errno> {
	const ns = netisr();
	KASSERT(ns.proto[proto] !== null, `netisr_queue_src: invalid protocol ${proto}`);
	M_ASSERTPKTHDR(m, "netisr_queue_src");
	if (V_netisr_disabled().proto[proto]) {
		m_freem(m);
		return ENOPROTOOPT;
	}
	const cpuid = netisr_select_cpuid(ns, proto, NETISR_DISPATCH_DEFERRED, source, m);
	if (cpuid < 0) return ENOBUFS;
	return yield* netisr_queue_internal(ns, proto, m, cpuid);
}

export function* netisr_queue(proto: number, m: mbuf): Blocking<Errno> {
	return yield* netisr_queue_src(proto, 0, m);
}

/** Handles a packet in this thread. Its fate is not told. */
function* netisr_dispatch_direct(ns: netisr_state, proto: number, m: mbuf): Blocking<Errno> {
	charge(cost.netisr_dispatch);
	const nws = ns.dpcpu[curcpu()];
	const work = nws.nws_work[proto];
	work.nw_dispatched++;
	work.nw_handled++;
	if (netisr_handle.on !== null) netisr_handle.on(proto, m, false);
	yield* (ns.proto[proto] as netisr_handler).nh_handler(m);
	return 0;
}

/** Handles a packet in this thread if its CPU is this one and nobody else is at work there, else queues it. */
function* netisr_dispatch_hybrid(ns: netisr_state, proto: number, source: number, m: mbuf): Blocking<Errno> {
	sched_pin();
	const cpuid = netisr_select_cpuid(ns, proto, NETISR_DISPATCH_HYBRID, source, m);
	let error: Errno = ENOBUFS;
	if (cpuid >= 0) {
		if (cpuid !== curcpu()) error = yield* netisr_queue_internal(ns, proto, m, cpuid);
		else error = yield* netisr_dispatch_here(ns, proto, m, ns.dpcpu[cpuid]);
	}
	sched_unpin();
	return error;
}

function* netisr_dispatch_here(ns: netisr_state, proto: number, m: mbuf, nws: netisr_workstream): Blocking<Errno> {
	charge(cost.netisr_dispatch);
	yield* mtx_lock(nws.nws_mtx);
	if ((nws.nws_flags & (NWS_RUNNING | NWS_DISPATCHING | NWS_SCHEDULED)) !== 0) {
		const error = netisr_queue_workstream(nws, proto, m);
		yield* mtx_unlock(nws.nws_mtx);
		return error;
	}
	nws.nws_flags |= NWS_DISPATCHING;
	yield* mtx_unlock(nws.nws_mtx);
	if (netisr_handle.on !== null) netisr_handle.on(proto, m, false);
	yield* (ns.proto[proto] as netisr_handler).nh_handler(m);
	yield* mtx_lock(nws.nws_mtx);
	nws.nws_flags &= ~NWS_DISPATCHING;
	const work = nws.nws_work[proto];
	work.nw_handled++;
	work.nw_hybrid_dispatched++;
	// work that came meanwhile was left to us to announce
	const dosignal = nws.nws_pendingbits !== 0 && (nws.nws_flags & NWS_SCHEDULED) === 0;
	if (dosignal) nws.nws_flags |= NWS_SCHEDULED;
	yield* mtx_unlock(nws.nws_mtx);
	if (dosignal) yield* swi_sched(nws.nws_swi_cookie as swi_cookie);
	return 0;
}

/** Hands a packet to its protocol as the dispatch policy has it. In the net epoch. @see netisr.c netisr_dispatch_src */
export function* netisr_dispatch_src(proto: number, source: number, m: mbuf): Blocking<Errno> {
	NET_EPOCH_ASSERT();
	const ns = netisr();
	KASSERT(ns.proto[proto] !== null, `netisr_dispatch_src: invalid protocol ${proto}`);
	if (V_netisr_disabled().proto[proto]) return yield* netisr_queue_src(proto, source, m);
	switch (netisr_get_dispatch(ns, proto)) {
		case NETISR_DISPATCH_DIRECT:
			return yield* netisr_dispatch_direct(ns, proto, m);
		case NETISR_DISPATCH_HYBRID:
			return yield* netisr_dispatch_hybrid(ns, proto, source, m);
		default:
			return yield* netisr_queue_src(proto, source, m);
	}
}

export function* netisr_dispatch(proto: number, m: mbuf): Blocking<Errno> {
	return yield* netisr_dispatch_src(proto, 0, m);
}

function tunable_number(name: string, otherwise: number): number {
	const text = TUNABLE_FETCH(name);
	return text === null ? otherwise : Number(text);
}

const dispatch_names: Readonly<Record<string, number>> = {
	deferred: NETISR_DISPATCH_DEFERRED,
	hybrid: NETISR_DISPATCH_HYBRID,
	direct: NETISR_DISPATCH_DIRECT,
};

/** Makes the workstreams and starts their threads. @see netisr.c netisr_init, netisr_start_swi */
SYSINIT("netisr", SI_SUB_SOFTINTR, SI_ORDER_FIRST, function* () {
	const ns = netisr();
	const maxthreads = tunable_number("net.isr.maxthreads", 1);
	const count = maxthreads === -1 ? mp_ncpus() : maxthreads < 1 ? 1 : Math.min(maxthreads, mp_ncpus());
	ns.maxqlimit = tunable_number("net.isr.maxqlimit", netisr_maxqlimit_default);
	ns.defaultqlimit = Math.min(tunable_number("net.isr.defaultqlimit", netisr_defaultqlimit_default), ns.maxqlimit);
	ns.dispatch_policy = dispatch_names[TUNABLE_FETCH("net.isr.dispatch") ?? "direct"] ?? NETISR_DISPATCH_DIRECT;
	const bind = tunable_number("net.isr.bindthreads", 0) !== 0;
	for (let cpu = 0; cpu < count; cpu++) {
		const nws = ns.dpcpu[cpu];
		nws.nws_work.forEach((work, proto) => {
			work.nw_qlimit = ns.np_qlimit[proto];
		});
		nws.nws_swi_cookie = swi_add(
			`swi1: netisr ${cpu}`,
			() => swi_net(nws),
			priorities().SWI_NET,
			true,
			bind ? cpu : -1,
		);
		ns.nws.push(nws);
	}
	yield* sync();
});

/** When a vnet goes, no packet of its may stay queued: each protocol's own uninit in FreeBSD, all at once here. */
VNET_SYSUNINIT("netisr", SI_SUB_PROTO_BEGIN, SI_ORDER_FIRST, function* () {
	const vn = curvnet();
	for (const nh of netisr().proto) if (nh !== null) yield* netisr_unregister_vnet(vn, nh);
});
