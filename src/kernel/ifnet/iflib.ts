/**
 * iflib(4): what network card drivers of FreeBSD have in common. The driver fills and reads descriptors; iflib queues, maps, frees
 * and refills, and runs the tasks that interrupts ask for.
 *
 * Sending happens in the thread that sends: mp_ring makes one of those that want the same queue do it for all. Receiving happens
 * in a task of the group if_io_tqg, on the CPU the queue's interrupt goes to, at most 16 packets a run.
 * Simplified: no VLANs, TSO, LRO, netmap, ALTQ; no pfil hook at the receive ring; no watchdog that resets a hung queue; the link is
 * always up; DMA maps and prefetching are part of the costs; the group if_io_tqg exists only where there is a card.
 *
 * @see net/iflib.c; read in 13.0
 */

import { bcopy } from "../../machine/bcopy.ts";
import { callout, callout_drain, callout_init, callout_reset } from "../callout/callout.ts";
import { EINVAL, ENETDOWN, ENOBUFS, ENOMEM, type Errno } from "../errno.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import { sx, sx_init, sx_xlock, sx_xunlock } from "../lock/sx.ts";
import {
	CSUM_DELAY_DATA,
	CSUM_DELAY_DATA_IPV6,
	CSUM_IP,
	EXT_CLUSTER,
	M_HASHTYPE_GET,
	M_HASHTYPE_SET,
	M_MCAST,
	M_NOWAIT,
	MCLBYTES,
	MHLEN,
	MT_DATA,
	m_cljget,
	m_cljset,
	m_collapse,
	m_defrag,
	m_demote_pkthdr,
	m_free,
	m_freem,
	m_gethdr,
	mb_zones,
	type mbuf,
	type uma_memory,
	uma_zfree,
} from "../mbuf/mbuf.ts";
import { AF_INET, AF_INET6 } from "../netinet/in.ts";
import { DELAY, hz, KERNEL_GLOBAL, MPASS, mp_ncpus } from "../sched/kernel.ts";
import { type Blocking, charge, charge_bytes, cost, sync } from "../sched/thread.ts";
import {
	GROUPTASK_ENQUEUE,
	GROUPTASK_INIT,
	grouptask,
	grouptask_enqueue_filter,
	NET_GROUPTASK_INIT,
	TASK_ENQUEUED,
	TASKQGROUP_DEFINE,
	type taskqgroup,
	taskqgroup_attach_cpu,
} from "../taskqueue/gtaskqueue.ts";
import { BPF_MTAP } from "./bpf.ts";
import { if_link_state_change, if_setmtu } from "./if.ts";
import { arp_ifinit } from "./if_ether.ts";
import { ether_ioctl } from "./if_ethersubr.ts";
import {
	IFCAP_TXCSUM,
	IFCAP_TXCSUM_IPV6,
	IFCOUNTER_IBYTES,
	IFCOUNTER_IPACKETS,
	IFCOUNTER_OBYTES,
	IFCOUNTER_OMCASTS,
	IFCOUNTER_OPACKETS,
	IFF_DRV_OACTIVE,
	IFF_DRV_RUNNING,
	IFF_NOARP,
	IFF_UP,
	if_inc_counter,
	type ifaddr,
	type ifnet,
	LINK_STATE_UP,
} from "./if_var.ts";
import { ifmp_ring, ifmp_ring_check_drainage, ifmp_ring_enqueue, ifmp_ring_purge } from "./mp_ring.ts";
import { type ifreq, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFMTU } from "./sockio.ts";

/** packets taken off an mp_ring in one go */
const TX_BATCH_SIZE = 32;
/** packets a run of a receive task takes at most: dev.ix.0.iflib.rx_budget left alone */
const RX_BUDGET = 16;
/** frames up to this are copied, and their buffer stays where it is */
const IFLIB_RX_COPY_THRESH = 128;
/** buffers handed to the driver at once */
const IFLIB_MAX_RX_REFRESH = 32;
/** buffers an idle receive queue begins with */
const FL_INITIAL = 128;
const IFLIB_DEFAULT_TX_UPDATE_FREQ = 16;
const IFLIB_RXEOF_MORE = 1;
const IFLIB_RXEOF_EMPTY = 2;
/** the driver is given time to come to rest before and after it is stopped, ns */
const STOP_DELAY_NS = 1_000_000;

/** A packet to be sent: struct if_pkt_info. */
export interface if_pkt_info {
	readonly ipi_m: mbuf;
	/** the card is to tell when it has left */
	readonly ipi_tx_intr: boolean;
	/** buffers it lies in */
	readonly ipi_nsegs: number;
}

/** A packet received: struct if_rxd_info. */
export class if_rxd_info {
	iri_len = 0;
	iri_flowid = 0;
	iri_rsstype = 0;
	iri_csum_flags = 0;
	iri_csum_data = 0;
	/** not upstream's: see Frame.packet_id */
	iri_packet_id = 0;
	/** length in each buffer */
	readonly iri_frags: number[] = [];
}

/** What a driver does with descriptors and registers: struct if_txrx and the ifdi methods. None of it waits. */
export interface if_txrx {
	readonly nqsets: number;
	/** descriptors of a queue */
	readonly ntxd: number;
	readonly nrxd: number;
	/** entries of the table that turns hashes into queues, a power of two */
	readonly rss_table_size: number;
	/** buffers a packet may lie in */
	readonly tx_nsegments: number;
	/** checksums the card can fill in, CSUM_x */
	readonly tx_csum_flags: number;
	readonly max_mtu: number;
	readonly init: () => void;
	readonly stop: () => void;
	/** fills in descriptors; how many */
	readonly txd_encap: (txqid: number, pi: if_pkt_info) => number;
	/** rings the doorbell */
	readonly txd_flush: (txqid: number) => void;
	/** descriptors done since it was asked last with `clear`; without, whether there are any */
	readonly txd_credits_update: (txqid: number, clear: boolean) => number;
	/** packets that can be taken, counted up to one more than `budget` */
	readonly rxd_available: (rxqid: number, budget: number) => number;
	readonly rxd_pkt_get: (rxqid: number, ri: if_rxd_info) => Errno;
	readonly rxd_refill: (rxqid: number, buffers: readonly Uint8Array[]) => void;
	/** masks the interrupt of a queue: the driver's own part of an interrupt filter */
	readonly intr_filter: (rxqid: number) => void;
	readonly queue_intr_enable: (rxqid: number) => void;
}

/** struct iflib_ctx */
export class if_ctx {
	readonly ifc_ifp: ifnet;
	readonly ifc_txrx: if_txrx;
	readonly ifc_ctx_sx = new sx();
	readonly ifc_txqs: readonly iflib_txq[];
	readonly ifc_rxqs: readonly iflib_rxq[];

	constructor(ifp: ifnet, txrx: if_txrx) {
		this.ifc_ifp = ifp;
		this.ifc_txrx = txrx;
		sx_init(this.ifc_ctx_sx, "iflib ctx lock");
		this.ifc_txqs = Array.from({ length: txrx.nqsets }, (_, id) => new iflib_txq(this, id));
		this.ifc_rxqs = Array.from({ length: txrx.nqsets }, (_, id) => new iflib_rxq(this, id));
	}
}

/** struct iflib_txq */
class iflib_txq {
	readonly ift_ctx: if_ctx;
	readonly ift_id: number;
	readonly ift_size: number;
	readonly ift_br: ifmp_ring<mbuf | iflib_txq>;
	/** by descriptor: the packet whose first one it is */
	readonly ift_sds: (mbuf | null)[];
	readonly ift_task = new grouptask();
	readonly ift_timer = new callout();
	ift_pidx = 0;
	ift_cidx = 0;
	ift_in_use = 0;
	ift_processed = 0;
	ift_cleaned = 0;
	/** descriptors the card does not know of yet */
	ift_db_pending = 0;
	ift_rs_pending = 0;
	ift_no_desc_avail = 0;
	ift_mbuf_defrag = 0;
	ift_mbuf_defrag_failed = 0;

	constructor(ctx: if_ctx, id: number) {
		this.ift_ctx = ctx;
		this.ift_id = id;
		this.ift_size = ctx.ifc_txrx.ntxd;
		this.ift_sds = new Array<mbuf | null>(this.ift_size).fill(null);
		this.ift_br = new ifmp_ring<mbuf | iflib_txq>(
			this.ift_size,
			(r, cidx, pidx) => iflib_txq_drain(this, r, cidx, pidx),
			() => iflib_txq_can_drain(this),
		);
		callout_init(this.ift_timer, true);
	}

	get avail(): number {
		return this.ift_size - this.ift_in_use;
	}
}

/** struct iflib_rxq with its one free list */
class iflib_rxq {
	readonly ifr_ctx: if_ctx;
	readonly ifr_id: number;
	readonly ifr_task = new grouptask();
	readonly ifr_watchdog = new callout();
	readonly ifl_size: number;
	/** buffers the card has, in order, with the mbufs they will get */
	readonly ifsd_cl: uma_memory[] = [];
	readonly ifsd_m: mbuf[] = [];
	/** those of copied packets, to be posted again */
	readonly recycled: uma_memory[] = [];
	ifl_credits = 0;

	constructor(ctx: if_ctx, id: number) {
		this.ifr_ctx = ctx;
		this.ifr_id = id;
		this.ifl_size = ctx.ifc_txrx.nrxd;
		callout_init(this.ifr_watchdog, true);
	}
}

class iflib_state {
	io_tqg: taskqgroup | null = null;
}

const iflib = KERNEL_GLOBAL(() => new iflib_state());

/** The threads all cards share, one on each CPU. @see iflib.c TASKQGROUP_DEFINE(if_io_tqg, mp_ncpus, 1) */
function* if_io_tqg(): Blocking<taskqgroup> {
	const state = iflib();
	if (state.io_tqg === null) state.io_tqg = yield* TASKQGROUP_DEFINE("if_io_tqg", mp_ncpus(), 1);
	return state.io_tqg;
}

// Sending

/** How many descriptors the card may be left without knowing of. */
function txq_max_db_deferred(txq: iflib_txq): number {
	const notify_count = txq.ift_size / IFLIB_DEFAULT_TX_UPDATE_FREQ - 1;
	const minthresh = txq.ift_size / 8;
	if (txq.ift_in_use > 4 * minthresh) return notify_count;
	if (txq.ift_in_use > 2 * minthresh) return notify_count >> 1;
	if (txq.ift_in_use > minthresh) return notify_count >> 3;
	return 0;
}

/** How many descriptors may be filled in before the card is to report one. */
function txq_max_rs_deferred(txq: iflib_txq): number {
	const notify_count = txq.ift_size / IFLIB_DEFAULT_TX_UPDATE_FREQ - 1;
	const minthresh = txq.ift_size / 8;
	if (txq.ift_in_use > 4 * minthresh) return notify_count;
	if (txq.ift_in_use > 2 * minthresh) return notify_count >> 1;
	if (txq.ift_in_use > minthresh) return notify_count >> 2;
	return 2;
}

/** Rings the doorbell if enough has come together, or `ring`. @returns whether it did */
function iflib_txd_db_check(txq: iflib_txq, ring: boolean): boolean {
	const { ifc_txrx } = txq.ift_ctx;
	if (ring || txq.ift_db_pending >= txq_max_db_deferred(txq) || txq.avail <= ifc_txrx.tx_nsegments + 2) {
		ifc_txrx.txd_flush(txq.ift_id);
		txq.ift_db_pending = 0;
		return true;
	}
	return false;
}

function segments_of(m: mbuf): number {
	let nsegs = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) if (n.m_len > 0) nsegs++;
	return nsegs;
}

/**
 * Fills in the descriptors of the packet at `at` on the ring. A packet in too many pieces is put together first.
 *
 * @returns ENOBUFS if there are too few descriptors, and it stays on the ring; ENOMEM if it was freed
 */
function* iflib_encap(txq: iflib_txq, items: (mbuf | iflib_txq | null)[], at: number): Blocking<Errno> {
	const { ifc_txrx } = txq.ift_ctx;
	let m = items[at] as mbuf;
	charge(cost.iflib_encap);
	let nsegs = segments_of(m);
	if (nsegs > ifc_txrx.tx_nsegments) {
		txq.ift_mbuf_defrag++;
		const whole = m_collapse(m, M_NOWAIT, ifc_txrx.tx_nsegments) ?? m_defrag(m, M_NOWAIT);
		if (whole === null || segments_of(whole) > ifc_txrx.tx_nsegments) {
			txq.ift_mbuf_defrag_failed++;
			m_freem(whole ?? m);
			items[at] = null;
			return ENOMEM;
		}
		m = whole;
		items[at] = m;
		nsegs = segments_of(m);
	}
	if (nsegs + 2 > txq.avail) {
		txq.ift_no_desc_avail++;
		if ((txq.ift_task.ta_flags & TASK_ENQUEUED) === 0) yield* GROUPTASK_ENQUEUE(txq.ift_task);
		return ENOBUFS;
	}
	txq.ift_sds[txq.ift_pidx] = m;
	txq.ift_rs_pending += nsegs + 1;
	let ipi_tx_intr = false;
	if (txq.ift_rs_pending > txq_max_rs_deferred(txq) || txq.avail - nsegs <= ifc_txrx.tx_nsegments + 2) {
		ipi_tx_intr = true;
		txq.ift_rs_pending = 0;
	}
	const ndesc = ifc_txrx.txd_encap(txq.ift_id, { ipi_m: m, ipi_tx_intr, ipi_nsegs: nsegs });
	txq.ift_in_use += ndesc;
	txq.ift_db_pending += ndesc;
	txq.ift_pidx = (txq.ift_pidx + ndesc) % txq.ift_size;
	return 0;
}

/** Frees the packets of the next `n` descriptors. */
function iflib_tx_desc_free(txq: iflib_txq, n: number): void {
	for (; n > 0; n--) {
		const m = txq.ift_sds[txq.ift_cidx];
		if (m !== null) {
			m_freem(m);
			txq.ift_sds[txq.ift_cidx] = null;
		}
		txq.ift_cidx = (txq.ift_cidx + 1) % txq.ift_size;
	}
}

/** Frees what has left, but for as many descriptors as the largest packet takes. @returns how many descriptors */
function iflib_completed_tx_reclaim(txq: iflib_txq): number {
	const { ifc_txrx } = txq.ift_ctx;
	txq.ift_processed += ifc_txrx.txd_credits_update(txq.ift_id, true);
	const reclaim = txq.ift_processed - txq.ift_cleaned - ifc_txrx.tx_nsegments;
	if (reclaim <= 0) return 0;
	iflib_tx_desc_free(txq, reclaim);
	txq.ift_cleaned += reclaim;
	txq.ift_in_use -= reclaim;
	return reclaim;
}

function iflib_txq_can_drain(txq: iflib_txq): boolean {
	const { ifc_txrx } = txq.ift_ctx;
	return txq.avail > ifc_txrx.tx_nsegments + 2 || ifc_txrx.txd_credits_update(txq.ift_id, false) > 0;
}

/** Sends what is on the ring from `cidx` to `pidx`, up to a batch. The task puts its queue on it, to be its consumer. */
function* iflib_txq_drain(
	txq: iflib_txq,
	r: ifmp_ring<mbuf | iflib_txq>,
	cidx: number,
	pidx: number,
): Blocking<number> {
	const { ifc_ifp: ifp, ifc_txrx } = txq.ift_ctx;
	if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) return 0;
	const reclaimed = iflib_completed_tx_reclaim(txq);
	let rang = iflib_txd_db_check(txq, reclaimed > 0 && txq.ift_db_pending > 0);
	if ((ifp.if_drv_flags & IFF_DRV_OACTIVE) !== 0) return 0;
	const count = Math.min((pidx - cidx + r.size) % r.size, TX_BATCH_SIZE);
	let skipped = 0;
	let pkt_sent = 0;
	let bytes_sent = 0;
	let mcast_sent = 0;
	let err: Errno = 0;
	for (let i = 0; i < count && txq.avail >= ifc_txrx.tx_nsegments + 2; i++) {
		const at = (cidx + i) % r.size;
		if (r.items[at] === txq) {
			skipped++;
			continue;
		}
		err = yield* iflib_encap(txq, r.items, at);
		if (err !== 0) {
			if (err === ENOBUFS) break;
			skipped++;
			continue;
		}
		pkt_sent++;
		const m = r.items[at] as mbuf;
		r.items[at] = null;
		bytes_sent += m.m_pkthdr.len;
		if ((m.m_flags & M_MCAST) !== 0) mcast_sent++;
		if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) break;
		BPF_MTAP(ifp, m);
		rang = iflib_txd_db_check(txq, false);
	}
	iflib_txd_db_check(txq, rang ? false : err !== 0);
	if_inc_counter(ifp, IFCOUNTER_OBYTES, bytes_sent);
	if_inc_counter(ifp, IFCOUNTER_OPACKETS, pkt_sent);
	if (mcast_sent > 0) if_inc_counter(ifp, IFCOUNTER_OMCASTS, mcast_sent);
	return skipped + pkt_sent;
}

/** Goes on sending, and frees what has left. */
function* task_fn_tx(txq: iflib_txq): Blocking<void> {
	const { ifc_ifp, ifc_txrx } = txq.ift_ctx;
	if ((ifc_ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) return;
	if (txq.ift_db_pending > 0) yield* ifmp_ring_enqueue(txq.ift_br, txq, TX_BATCH_SIZE, false);
	else yield* ifmp_ring_check_drainage(txq.ift_br, TX_BATCH_SIZE);
	ifc_txrx.queue_intr_enable(txq.ift_id);
}

/** The transmit queue of a packet's flow. */
function QIDX({ ifc_txqs, ifc_txrx }: if_ctx, m: mbuf): number {
	return (m.m_pkthdr.flowid & (ifc_txrx.rss_table_size - 1)) % ifc_txqs.length;
}

/** if_transmit of all cards: the queue is that of the packet's flow, the first one if it has none. Consumes the packet. */
export function* iflib_if_transmit(ifp: ifnet, m: mbuf): Blocking<Errno> {
	const ctx = ifp.if_softc as if_ctx;
	const { ifc_txqs } = ctx;
	yield* sync();
	if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) {
		m_freem(m);
		return ENETDOWN;
	}
	const txq = ifc_txqs[ifc_txqs.length > 1 && M_HASHTYPE_GET(m) !== 0 ? QIDX(ctx, m) : 0];
	const err = yield* ifmp_ring_enqueue(txq.ift_br, m, TX_BATCH_SIZE, false);
	if (err !== 0) {
		yield* GROUPTASK_ENQUEUE(txq.ift_task);
		yield* ifmp_ring_check_drainage(txq.ift_br, TX_BATCH_SIZE);
		m_freem(m);
	}
	return err;
}

/** Twice a second: sends what has been left lying. */
function* iflib_timer(txq: iflib_txq): Blocking<void> {
	if ((txq.ift_ctx.ifc_ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) return;
	if (txq.ift_db_pending > 0) yield* GROUPTASK_ENQUEUE(txq.ift_task);
	yield* callout_reset(txq.ift_timer, iflib_timer_default(), iflib_timer, txq);
}

function iflib_timer_default(): number {
	return Math.max(1, Math.floor(hz() / 2));
}

// Receiving

/** Posts up to `count` buffers. @returns IFLIB_RXEOF_EMPTY if memory ran out */
function iflib_fl_refill(rxq: iflib_rxq, count: number): number {
	const { ifc_txrx } = rxq.ifr_ctx;
	MPASS(count <= rxq.ifl_size - rxq.ifl_credits - 1, "count <= fl->ifl_size - fl->ifl_credits - 1");
	let buffers: Uint8Array[] = [];
	for (let n = count; n > 0; n--) {
		const cl = rxq.recycled.pop() ?? m_cljget(null, M_NOWAIT, MCLBYTES);
		if (cl === null) break;
		const m = m_gethdr(M_NOWAIT, MT_DATA);
		if (m === null) {
			rxq.recycled.push(cl);
			break;
		}
		rxq.ifsd_cl.push(cl);
		rxq.ifsd_m.push(m);
		buffers.push(cl.bytes());
		rxq.ifl_credits++;
		count--;
		if (buffers.length === IFLIB_MAX_RX_REFRESH) {
			ifc_txrx.rxd_refill(rxq.ifr_id, buffers);
			buffers = [];
		}
	}
	if (buffers.length > 0) ifc_txrx.rxd_refill(rxq.ifr_id, buffers);
	return count === 0 ? 0 : IFLIB_RXEOF_EMPTY;
}

/** Posts as many buffers as there is room for; one descriptor stays free, or full and empty would look alike. */
function iflib_fl_refill_all(rxq: iflib_rxq): number {
	const reclaimable = rxq.ifl_size - rxq.ifl_credits - 1;
	return reclaimable > 0 ? iflib_fl_refill(rxq, reclaimable) : 0;
}

function iflib_fl_bufs_free(rxq: iflib_rxq): void {
	const { zone_clust } = mb_zones();
	for (const cl of [...rxq.ifsd_cl.splice(0), ...rxq.recycled.splice(0)]) uma_zfree(zone_clust, cl);
	for (const m of rxq.ifsd_m.splice(0)) m_free(m);
	rxq.ifl_credits = 0;
}

/** Makes the packet of what the card has written: a small one is copied, so that its buffer can be posted again. */
function iflib_rxd_pkt_get(rxq: iflib_rxq, ri: if_rxd_info): mbuf {
	const { iri_frags } = ri;
	let head: mbuf | null = null;
	let tail: mbuf | null = null;
	for (const len of iri_frags) {
		const cl = rxq.ifsd_cl.shift() as uma_memory;
		const m = rxq.ifsd_m.shift() as mbuf;
		rxq.ifl_credits--;
		if (iri_frags.length === 1 && len <= Math.min(IFLIB_RX_COPY_THRESH, MHLEN)) {
			charge_bytes(len, cost.copy);
			bcopy(cl.buf, cl.start, m.m_buf, m.m_data, len);
			rxq.recycled.push(cl);
		} else {
			if (tail !== null) m_demote_pkthdr(m);
			m_cljset(m, cl, EXT_CLUSTER);
		}
		m.m_len = len;
		if (tail === null) head = m;
		else tail.m_next = m;
		tail = m;
	}
	const m = head as mbuf;
	const hdr = m.m_pkthdr;
	hdr.len = ri.iri_len;
	hdr.rcvif = rxq.ifr_ctx.ifc_ifp;
	hdr.flowid = ri.iri_flowid;
	M_HASHTYPE_SET(m, ri.iri_rsstype);
	hdr.csum_flags = ri.iri_csum_flags;
	hdr.csum_data = ri.iri_csum_data;
	hdr.packet_id = ri.iri_packet_id;
	return m;
}

/** Takes up to `budget` packets off the ring, refills it, and hands the packets on. @returns IFLIB_RXEOF_x */
function* iflib_rxeof(rxq: iflib_rxq, budget: number): Blocking<number> {
	NET_EPOCH_ASSERT();
	const { ifc_ifp: ifp, ifc_txrx } = rxq.ifr_ctx;
	yield* sync();
	let avail = ifc_txrx.rxd_available(rxq.ifr_id, budget);
	if (avail === 0) return iflib_fl_refill_all(rxq);
	let first: mbuf | null = null;
	let last: mbuf | null = null;
	let rx_pkts = 0;
	let rx_bytes = 0;
	for (let budget_left = budget; budget_left > 0 && avail > 0; ) {
		if ((ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) break;
		charge(cost.iflib_rx);
		const ri = new if_rxd_info();
		MPASS(ifc_txrx.rxd_pkt_get(rxq.ifr_id, ri) === 0, "isc_rxd_pkt_get");
		rx_pkts++;
		rx_bytes += ri.iri_len;
		const m = iflib_rxd_pkt_get(rxq, ri);
		avail--;
		budget_left--;
		if (avail === 0 && budget_left > 0) {
			yield* sync();
			avail = ifc_txrx.rxd_available(rxq.ifr_id, budget_left);
		}
		if (last === null) first = m;
		else last.m_nextpkt = m;
		last = m;
	}
	let result = iflib_fl_refill_all(rxq);
	if (first !== null) yield* ifp.if_input(ifp, first);
	if_inc_counter(ifp, IFCOUNTER_IBYTES, rx_bytes);
	if_inc_counter(ifp, IFCOUNTER_IPACKETS, rx_pkts);
	yield* sync();
	if (avail !== 0 || ifc_txrx.rxd_available(rxq.ifr_id, 1) !== 0) result |= IFLIB_RXEOF_MORE;
	return result;
}

/** Receives, and comes again if there is more; otherwise the queue may interrupt again. */
function* task_fn_rx(rxq: iflib_rxq): Blocking<void> {
	const { ifc_ifp, ifc_txrx } = rxq.ifr_ctx;
	if ((ifc_ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) return;
	const more = yield* iflib_rxeof(rxq, RX_BUDGET);
	if ((more & IFLIB_RXEOF_MORE) === 0) ifc_txrx.queue_intr_enable(rxq.ifr_id);
	if ((ifc_ifp.if_drv_flags & IFF_DRV_RUNNING) === 0) return;
	if ((more & IFLIB_RXEOF_MORE) !== 0) yield* GROUPTASK_ENQUEUE(rxq.ifr_task);
	else if ((more & IFLIB_RXEOF_EMPTY) !== 0) yield* callout_reset(rxq.ifr_watchdog, 1, task_fn_rx_watchdog, rxq);
}

function* task_fn_rx_watchdog(rxq: iflib_rxq): Blocking<void> {
	yield* GROUPTASK_ENQUEUE(rxq.ifr_task);
}

/** The interrupt filter of a pair of queues: asks for the task of whichever has something to do. Plain code, in interrupt context. */
export function iflib_fast_intr_rxtx(ctx: if_ctx, qid: number): void {
	const { ifc_txrx } = ctx;
	charge(cost.nic_intr);
	ifc_txrx.intr_filter(qid);
	if (ifc_txrx.txd_credits_update(qid, false) > 0) grouptask_enqueue_filter(ctx.ifc_txqs[qid].ift_task);
	// the same vector serves both, so that receiving is interrupted again while its task runs
	else ifc_txrx.queue_intr_enable(qid);
	if (ifc_txrx.rxd_available(qid, 1) > 0) grouptask_enqueue_filter(ctx.ifc_rxqs[qid].ifr_task);
	else ifc_txrx.queue_intr_enable(qid);
}

/** The task whose queue an interrupt of this pair wants, to be asked whether it is locked. */
export function iflib_intr_task(ctx: if_ctx, qid: number): grouptask {
	return ctx.ifc_rxqs[qid].ifr_task;
}

// Configuration

function* iflib_init_locked(ctx: if_ctx): Blocking<void> {
	const { ifc_ifp: ifp, ifc_txrx } = ctx;
	ifp.if_drv_flags = (ifp.if_drv_flags | IFF_DRV_OACTIVE) & ~IFF_DRV_RUNNING;
	ifp.if_hwassist =
		((ifp.if_capenable & IFCAP_TXCSUM) !== 0 ? ifc_txrx.tx_csum_flags & (CSUM_IP | CSUM_DELAY_DATA) : 0) |
		((ifp.if_capenable & IFCAP_TXCSUM_IPV6) !== 0 ? ifc_txrx.tx_csum_flags & CSUM_DELAY_DATA_IPV6 : 0);
	ifc_txrx.init();
	for (const rxq of ctx.ifc_rxqs) {
		iflib_fl_bufs_free(rxq);
		iflib_fl_refill(rxq, Math.min(FL_INITIAL, rxq.ifl_size - 1));
	}
	ifp.if_drv_flags = (ifp.if_drv_flags | IFF_DRV_RUNNING) & ~IFF_DRV_OACTIVE;
	for (const { ifr_id } of ctx.ifc_rxqs) ifc_txrx.queue_intr_enable(ifr_id);
	for (const txq of ctx.ifc_txqs) yield* callout_reset(txq.ift_timer, iflib_timer_default(), iflib_timer, txq);
}

/** Frees what waits to be sent or has not been freed since, and begins with the first descriptor again. */
function iflib_txq_clean(txq: iflib_txq): void {
	ifmp_ring_purge(txq.ift_br, (item) => {
		if (item !== txq) m_freem(item as mbuf);
	});
	for (let i = 0; i < txq.ift_size; i++) {
		m_freem(txq.ift_sds[i]);
		txq.ift_sds[i] = null;
	}
	txq.ift_processed = 0;
	txq.ift_cleaned = 0;
	txq.ift_in_use = 0;
	txq.ift_cidx = 0;
	txq.ift_pidx = 0;
	txq.ift_db_pending = 0;
	txq.ift_rs_pending = 0;
}

function* iflib_stop(ctx: if_ctx): Blocking<void> {
	const { ifc_ifp: ifp, ifc_txrx } = ctx;
	ifp.if_drv_flags = (ifp.if_drv_flags | IFF_DRV_OACTIVE) & ~IFF_DRV_RUNNING;
	DELAY(STOP_DELAY_NS);
	yield* sync();
	ifc_txrx.stop();
	DELAY(STOP_DELAY_NS);
	yield* sync();
	for (const txq of ctx.ifc_txqs) {
		yield* callout_drain(txq.ift_timer);
		iflib_txq_clean(txq);
	}
	for (const rxq of ctx.ifc_rxqs) {
		yield* callout_drain(rxq.ifr_watchdog);
		iflib_fl_bufs_free(rxq);
	}
}

/** if_init of all cards. */
export function* iflib_if_init(ctx: unknown): Blocking<void> {
	const { ifc_ctx_sx } = ctx as if_ctx;
	yield* sx_xlock(ifc_ctx_sx);
	yield* iflib_init_locked(ctx as if_ctx);
	yield* sx_xunlock(ifc_ctx_sx);
}

export function* iflib_if_ioctl(ifp: ifnet, cmd: number, data: unknown): Blocking<Errno> {
	const ctx = ifp.if_softc as if_ctx;
	const running = (): boolean => (ifp.if_drv_flags & IFF_DRV_RUNNING) !== 0;
	switch (cmd) {
		case SIOCSIFADDR: {
			const ifa = data as ifaddr;
			const family = ifa.ifa_addr?.sa_family;
			if (family !== AF_INET && family !== AF_INET6) return yield* ether_ioctl(ifp, cmd, data);
			ifp.if_flags |= IFF_UP;
			const reinit = !running();
			// the first announcement finds a card that does not run yet
			if (family === AF_INET && (ifp.if_flags & IFF_NOARP) === 0) yield* arp_ifinit(ifp, ifa);
			if (reinit) yield* iflib_if_init(ctx);
			return 0;
		}
		case SIOCSIFMTU: {
			const { ifr_mtu } = data as ifreq;
			if (ifr_mtu === ifp.if_mtu) return 0;
			if (ifr_mtu > ctx.ifc_txrx.max_mtu) return EINVAL;
			yield* sx_xlock(ctx.ifc_ctx_sx);
			const was_running = running();
			if (was_running) yield* iflib_stop(ctx);
			const error = if_setmtu(ifp, ifr_mtu);
			if (was_running) yield* iflib_init_locked(ctx);
			yield* sx_xunlock(ctx.ifc_ctx_sx);
			return error;
		}
		case SIOCSIFFLAGS:
			yield* sx_xlock(ctx.ifc_ctx_sx);
			if ((ifp.if_flags & IFF_UP) !== 0) {
				if (!running()) yield* iflib_init_locked(ctx);
			} else if (running()) yield* iflib_stop(ctx);
			yield* sx_xunlock(ctx.ifc_ctx_sx);
			return 0;
		case SIOCADDMULTI:
		case SIOCDELMULTI:
			// no filter here, so nothing to tell the card
			return 0;
		default:
			return yield* ether_ioctl(ifp, cmd, data);
	}
}

/** Attaches the tasks of a card's queues: those of pair `i` to CPU `i`. */
export function* iflib_device_register(ctx: if_ctx): Blocking<void> {
	const group = yield* if_io_tqg();
	for (let i = 0; i < ctx.ifc_txqs.length; i++) {
		const { ift_task } = ctx.ifc_txqs[i];
		const { ifr_task } = ctx.ifc_rxqs[i];
		GROUPTASK_INIT(ift_task, 0, task_fn_tx, ctx.ifc_txqs[i]);
		NET_GROUPTASK_INIT(ifr_task, 0, task_fn_rx, ctx.ifc_rxqs[i]);
		yield* taskqgroup_attach_cpu(group, ift_task, ctx, i, `${ctx.ifc_ifp.if_xname} tx ${i}`);
		yield* taskqgroup_attach_cpu(group, ifr_task, ctx, i, `${ctx.ifc_ifp.if_xname} rx ${i}`);
	}
	yield* if_link_state_change(ctx.ifc_ifp, LINK_STATE_UP);
}
