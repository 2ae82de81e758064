/**
 * ix(4): Intel's 10 Gb/s cards, of which the X552 is part of the Xeon D. A machine has one for each cable that is plugged in.
 *
 * Each CPU, of up to sixteen, has a pair of queues with one interrupt, throttled to 31,250 a second. Packets received are spread by a hash
 * of their addresses: FreeBSD without option RSS hashes UDP by addresses alone, so that a tunnel's packets all come to one
 * queue, which one a random key decides. Checksums are left to the card.
 * Simplified: descriptors are lists and not bytes; adaptive interrupt moderation (off in 13.0), flow control, VLANs, TSO, LRO and
 * statistics registers but that of missed packets are missing.
 *
 * @see dev/ixgbe/if_ix.c, ix_txrx.c; machine/nic.ts for the card
 */
import { bcopy } from "../../machine/bcopy.ts";
import { type HashedAs, Nic, RSS_TABLE_SIZE } from "../../machine/nic.ts";
import type { WireEnd } from "../../machine/wire.ts";
import { EBADMSG, type Errno } from "../errno.ts";
import {
	CSUM_DELAY_DATA,
	CSUM_DELAY_DATA_IPV6,
	CSUM_IP,
	M_HASHTYPE_NONE,
	M_HASHTYPE_RSS_IPV4,
	M_HASHTYPE_RSS_IPV6,
	M_HASHTYPE_RSS_TCP_IPV4,
	M_HASHTYPE_RSS_TCP_IPV6,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { arc4random_buf, curkernel, mp_ncpus, SI_ORDER_ANY, SI_SUB_PSEUDO, SYSINIT } from "../sched/kernel.ts";
import { type Blocking, cost, own_time } from "../sched/thread.ts";
import { interrupt, pcpu_find } from "../sched/ule.ts";
import { grouptask_locker } from "../taskqueue/gtaskqueue.ts";
import { ETHER_ADDR_LEN } from "./ethernet.ts";
import { if_alloc, if_initname, if_qflush } from "./if.ts";
import { ether_ifattach } from "./if_ethersubr.ts";
import { csum_check, csum_fill } from "./if_ix_csum.ts";
import {
	IFCAP_HWCSUM,
	IFCAP_HWCSUM_IPV6,
	IFCAP_HWSTATS,
	IFCAP_LINKSTATE,
	IFCAP_RXCSUM,
	IFCAP_VLAN_MTU,
	IFCOUNTER_IQDROPS,
	IFF_BROADCAST,
	IFF_MULTICAST,
	IFF_SIMPLEX,
	IFT_ETHER,
	if_get_counter_default,
	type ifnet,
} from "./if_var.ts";
import {
	if_ctx,
	type if_pkt_info,
	type if_rxd_info,
	type if_txrx,
	iflib_device_register,
	iflib_fast_intr_rxtx,
	iflib_if_init,
	iflib_if_ioctl,
	iflib_if_transmit,
	iflib_intr_task,
} from "./iflib.ts";

/** IXGBE: queues its receive hash can name */
const QUEUES_MAX = 16;
/** DEFAULT_TXD, DEFAULT_RXD */
const DESCRIPTORS = 2048;
/** IXGBE_82599_SCATTER: buffers of a packet sent */
const SCATTER = 32;
const MAX_MTU = 9710;
const RSS_KEY_BYTES = 40;
const CSUM_OFFLOAD = CSUM_IP | CSUM_DELAY_DATA | CSUM_DELAY_DATA_IPV6;
/** first half of the address: one of Intel's */
const OUI = [0xa0, 0x36, 0x9f] as const;

const hash_types: Readonly<Record<HashedAs, number>> = {
	ipv4: M_HASHTYPE_RSS_IPV4,
	tcp_ipv4: M_HASHTYPE_RSS_TCP_IPV4,
	ipv6: M_HASHTYPE_RSS_IPV6,
	tcp_ipv6: M_HASHTYPE_RSS_TCP_IPV6,
	none: M_HASHTYPE_NONE,
};

/** A packet whose descriptors are filled in. */
interface Encapsulated {
	readonly m: mbuf;
	readonly ndesc: number;
	readonly tx_intr: boolean;
}

/** struct ix_tx_queue's ring */
class tx_ring {
	/** the card does not know of them yet */
	readonly filled: Encapsulated[] = [];
	/** descriptors up to one that is reported, and when the card does, ns */
	readonly rsq: { readonly ndesc: number; readonly done: number }[] = [];
	/** descriptors sent since the last one that is reported */
	unreported = 0;
}

/** A frame as the card reads it from memory. */
function gather(m: mbuf): Uint8Array {
	const frame = new Uint8Array(m.m_pkthdr.len);
	let at = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) {
		bcopy(n.m_buf, n.m_data, frame, at, n.m_len);
		at += n.m_len;
	}
	return frame;
}

function ixgbe_txrx(nic: Nic, ifp: ifnet): if_txrx {
	const rings = nic.queues.map(() => new tx_ring());
	return {
		nqsets: nic.queues.length,
		ntxd: DESCRIPTORS,
		nrxd: DESCRIPTORS,
		rss_table_size: RSS_TABLE_SIZE,
		tx_nsegments: SCATTER,
		tx_csum_flags: CSUM_OFFLOAD,
		max_mtu: MAX_MTU,
		init: () => nic.start(),
		stop: () => {
			nic.stop();
			for (const ring of rings) {
				ring.filled.length = 0;
				ring.rsq.length = 0;
				ring.unreported = 0;
			}
		},
		txd_encap: (txqid: number, pi: if_pkt_info) => {
			// what is offloaded takes a descriptor of its own, to say so
			const ndesc = pi.ipi_nsegs + ((pi.ipi_m.m_pkthdr.csum_flags & CSUM_OFFLOAD) !== 0 ? 1 : 0);
			rings[txqid].filled.push({ m: pi.ipi_m, ndesc, tx_intr: pi.ipi_tx_intr });
			return ndesc;
		},
		txd_flush: (txqid: number) => {
			const ring = rings[txqid];
			const now = own_time();
			for (const { m, ndesc, tx_intr } of ring.filled.splice(0)) {
				const bytes = gather(m);
				const { csum_flags, csum_data, packet_id } = m.m_pkthdr;
				csum_fill(bytes, csum_flags, csum_data);
				const done = nic.transmit(txqid, { bytes, packet_id }, now, tx_intr);
				ring.unreported += ndesc;
				if (!tx_intr) continue;
				ring.rsq.push({ ndesc: ring.unreported, done });
				ring.unreported = 0;
			}
		},
		txd_credits_update: (txqid: number, clear: boolean) => {
			const { rsq } = rings[txqid];
			const now = own_time();
			if (!clear) return rsq.length > 0 && rsq[0].done <= now ? 1 : 0;
			let processed = 0;
			while (rsq.length > 0 && rsq[0].done <= now) processed += (rsq.shift() as { ndesc: number }).ndesc;
			return processed;
		},
		rxd_available: (rxqid: number, budget: number) => Math.min(nic.queues[rxqid].filled.length, budget + 1),
		rxd_pkt_get: (rxqid: number, ri: if_rxd_info): Errno => {
			const received = nic.queues[rxqid].filled.shift();
			if (received === undefined) return EBADMSG;
			ri.iri_len = received.length;
			let left = received.length;
			for (const buffer of received.buffers) {
				ri.iri_frags.push(Math.min(buffer.length, left));
				left -= buffer.length;
			}
			ri.iri_flowid = received.hash;
			ri.iri_rsstype = hash_types[received.hashed_as];
			ri.iri_packet_id = received.packet_id;
			if ((ifp.if_capenable & IFCAP_RXCSUM) !== 0) {
				ri.iri_csum_flags = received.csum_flags;
				ri.iri_csum_data = 0xffff;
			}
			return 0;
		},
		rxd_refill: (rxqid: number, buffers: readonly Uint8Array[]) => {
			nic.queues[rxqid].posted.push(...buffers);
		},
		intr_filter: (rxqid: number) => nic.queues[rxqid].mask(),
		queue_intr_enable: (rxqid: number) => nic.queues[rxqid].unmask(own_time()),
	};
}

/** Attaches the card at one end of a cable. */
function* ixgbe_if_attach(wire: WireEnd, unit: number): Blocking<void> {
	const ifp = yield* if_alloc(IFT_ETHER);
	const nic = new Nic(wire, Math.min(mp_ncpus(), QUEUES_MAX), csum_check);
	const key = new Uint8Array(RSS_KEY_BYTES);
	arc4random_buf(key);
	nic.set_rss_key(key);
	const lla = new Uint8Array(ETHER_ADDR_LEN);
	arc4random_buf(lla);
	lla.set(OUI);
	const ctx = new if_ctx(ifp, ixgbe_txrx(nic, ifp));
	ifp.if_softc = ctx;
	if_initname(ifp, "ix", unit);
	ifp.if_flags = IFF_BROADCAST | IFF_SIMPLEX | IFF_MULTICAST;
	ifp.if_capabilities = IFCAP_HWCSUM | IFCAP_HWCSUM_IPV6 | IFCAP_HWSTATS | IFCAP_VLAN_MTU | IFCAP_LINKSTATE;
	ifp.if_capenable = ifp.if_capabilities;
	ifp.if_baudrate = 10_000_000_000;
	ifp.if_init = iflib_if_init;
	ifp.if_ioctl = iflib_if_ioctl;
	yield* ether_ifattach(ifp, lla);
	ifp.if_transmit = iflib_if_transmit;
	ifp.if_qflush = if_qflush;
	ifp.if_get_counter = (_ifp, cnt) => (cnt === IFCOUNTER_IQDROPS ? nic.missed : if_get_counter_default(ifp, cnt));
	yield* iflib_device_register(ctx);
	for (const queue of nic.queues) {
		const pc = pcpu_find(queue.index);
		const task = iflib_intr_task(ctx, queue.index);
		// whoever has the task's queue locked runs with interrupts disabled, or is waited for, until what it does is over
		queue.blocked_until = () => {
			const owner = grouptask_locker(task);
			return owner === null ? 0 : Math.max(curkernel.machine.now + 1, pcpu_find(owner.td_cpu).stretch.time);
		};
		queue.handler = () => interrupt(pc, cost.ipi_handler, () => iflib_fast_intr_rxtx(ctx, queue.index));
	}
}

SYSINIT("ix", SI_SUB_PSEUDO, SI_ORDER_ANY, function* () {
	let unit = 0;
	for (const wire of curkernel.machine.wires) yield* ixgbe_if_attach(wire, unit++);
});
