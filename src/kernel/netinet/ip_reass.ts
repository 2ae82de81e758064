/**
 * Reassembly of IPv4 fragments, with bounded queues.
 *
 * Fragments of a datagram wait in a list ordered by offset, linked by m_nextpkt; overlaps are trimmed off the newcomer and
 * its successors. Simplified: 64 buckets instead of 1024, and the timer only runs while something waits.
 *
 * @see ip_reass.c
 */
import { callout, callout_drain, callout_init, callout_reset } from "../callout/callout.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { M_IP_FRAG, m_adj, m_cat, m_fixhdr, m_freem, type mbuf } from "../mbuf/mbuf.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	curvnet,
	hz,
	SI_ORDER_ANY,
	SI_SUB_PROTO_DOMAIN,
	sbinuptime,
	VNET_DEFINE,
	VNET_SYSUNINIT,
	type vnet,
} from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { in_get16, in_get32, in_put16 } from "./in.ts";
import {
	IP_DST_OFF,
	IP_ID_OFF,
	IP_LEN_OFF,
	IP_MAXPACKET,
	IP_MF,
	IP_OFF_OFF,
	IP_OFFMASK,
	IP_P_OFF,
	IP_SRC_OFF,
	ip_hlen,
} from "./ip.ts";
import { V_ip, V_ipstat } from "./ip_var.ts";

const IPREASS_NHASH = 64;
/** how long fragments wait for the others */
const IPFRAGTTL_NS = 30_000_000_000;

/** A datagram in pieces. @see ip_var.h struct ipq */
class ipq {
	readonly src: number;
	readonly dst: number;
	readonly id: number;
	readonly proto: number;
	readonly expires_ns: number;
	nfrags = 0;
	frags: mbuf | null = null;
	constructor(src: number, dst: number, id: number, proto: number) {
		this.src = src;
		this.dst = dst;
		this.id = id;
		this.proto = proto;
		this.expires_ns = sbinuptime() + IPFRAGTTL_NS;
	}
}

class bucket {
	readonly lock = new mtx();
	/** oldest first */
	readonly queues: ipq[] = [];
	constructor() {
		mtx_init(this.lock, "IP reassembly", null, MTX_DEF);
	}
}

class reass_state {
	readonly buckets = Array.from({ length: IPREASS_NHASH }, () => new bucket());
	readonly timer = new callout();
	readonly vn: vnet = curvnet();
	/** datagrams waiting */
	nqueues = 0;
	ticking = false;
	constructor() {
		callout_init(this.timer, true);
	}
}

class reass_slot {
	/** made by the first fragment this vnet sees */
	state: reass_state | null = null;
}

const V_ipq = VNET_DEFINE(() => new reass_slot());

function frag_off(m: mbuf): number {
	return (in_get16(m.m_buf, m.m_data + IP_OFF_OFF) & IP_OFFMASK) << 3;
}

function frag_len(m: mbuf): number {
	return in_get16(m.m_buf, m.m_data + IP_LEN_OFF) - ip_hlen(m.m_buf, m.m_data);
}

/** Cuts `n` bytes off the beginning of a fragment's data. */
function trim_front(m: mbuf, n: number): mbuf {
	const buf = m.m_buf;
	const ip = m.m_data;
	const hlen = ip_hlen(buf, ip);
	// the header moves up over what is cut
	buf.copyWithin(ip + n, ip, ip + hlen);
	in_put16(buf, ip + n + IP_LEN_OFF, in_get16(buf, ip + IP_LEN_OFF) - n);
	in_put16(buf, ip + n + IP_OFF_OFF, in_get16(buf, ip + IP_OFF_OFF) + (n >> 3));
	m_adj(m, n);
	return m;
}

function free_queue(q: ipq): number {
	let n = q.frags;
	let count = 0;
	while (n !== null) {
		const next: mbuf | null = n.m_nextpkt;
		n.m_nextpkt = null;
		m_freem(n);
		count++;
		n = next;
	}
	q.frags = null;
	return count;
}

/**
 * Puts a fragment where its offset belongs. Of bytes that came before, the older copy stays at the front and the newer at
 * the back. @returns false if it brought nothing new
 */
function insert(q: ipq, m: mbuf): boolean {
	let before: mbuf | null = null;
	let at = q.frags;
	while (at !== null && frag_off(at) <= frag_off(m)) {
		before = at;
		at = at.m_nextpkt;
	}
	if (before !== null) {
		const overlap = frag_off(before) + frag_len(before) - frag_off(m);
		if (overlap > 0) {
			if (overlap >= frag_len(m) || m.m_len < ip_hlen(m.m_buf, m.m_data) + overlap) return false;
			trim_front(m, overlap);
		}
	}
	const end = frag_off(m) + frag_len(m);
	while (at !== null && end > frag_off(at)) {
		const overlap = end - frag_off(at);
		if (overlap < frag_len(at) && at.m_len >= ip_hlen(at.m_buf, at.m_data) + overlap) {
			trim_front(at, overlap);
			break;
		}
		const next: mbuf | null = at.m_nextpkt;
		at.m_nextpkt = null;
		m_freem(at);
		q.nfrags--;
		V_ipstat().ips_fragdropped++;
		at = next;
	}
	m.m_nextpkt = at;
	if (before === null) q.frags = m;
	else before.m_nextpkt = m;
	q.nfrags++;
	return true;
}

/** Length of the datagram if all of it is there, else -1. */
function complete(q: ipq): number {
	let next = 0;
	let last: mbuf | null = null;
	for (let n = q.frags; n !== null; n = n.m_nextpkt) {
		if (frag_off(n) !== next) return -1;
		next += frag_len(n);
		last = n;
	}
	if (last === null || (in_get16(last.m_buf, last.m_data + IP_OFF_OFF) & IP_MF) !== 0) return -1;
	return next;
}

/** Makes one packet of all fragments. */
function join(q: ipq, length: number): mbuf {
	const m = q.frags as mbuf;
	let n = m.m_nextpkt;
	m.m_nextpkt = null;
	while (n !== null) {
		const next: mbuf | null = n.m_nextpkt;
		n.m_nextpkt = null;
		m.m_pkthdr.csum_flags &= n.m_pkthdr.csum_flags;
		m.m_pkthdr.csum_data += n.m_pkthdr.csum_data;
		m_adj(n, ip_hlen(n.m_buf, n.m_data));
		m_cat(m, n);
		n = next;
	}
	const sum = m.m_pkthdr.csum_data;
	m.m_pkthdr.csum_data = (sum & 0xffff) + (sum >>> 16);
	const buf = m.m_buf;
	const ip = m.m_data;
	in_put16(buf, ip + IP_LEN_OFF, length + ip_hlen(buf, ip));
	in_put16(buf, ip + IP_OFF_OFF, 0);
	m_fixhdr(m);
	q.frags = null;
	return m;
}

/**
 * Takes in a fragment. Consumes it.
 *
 * @returns the whole datagram if this was the last piece missing, else null
 */
export function* ip_reass(m: mbuf): Blocking<mbuf | null> {
	const stat = V_ipstat();
	const settings = V_ip();
	stat.ips_fragments++;
	charge(cost.ip_reass);
	const buf = m.m_buf;
	const ip = m.m_data;
	const hlen = ip_hlen(buf, ip);
	const len = in_get16(buf, ip + IP_LEN_OFF) - hlen;
	const more = (in_get16(buf, ip + IP_OFF_OFF) & IP_MF) !== 0;
	if (len === 0 || (more && (len & 7) !== 0) || frag_off(m) + len + hlen > IP_MAXPACKET) {
		stat.ips_toosmall++;
		m_freem(m);
		return null;
	}
	m.m_flags |= M_IP_FRAG;
	const slot = V_ipq();
	slot.state ??= new reass_state();
	const state = slot.state;
	const src = in_get32(buf, ip + IP_SRC_OFF);
	const dst = in_get32(buf, ip + IP_DST_OFF);
	const id = in_get16(buf, ip + IP_ID_OFF);
	const proto = buf[ip + IP_P_OFF];
	const b = state.buckets[(src ^ (src >>> 16) ^ id) & (IPREASS_NHASH - 1)];
	yield* mtx_lock(b.lock);
	let q = b.queues.find((x) => x.id === id && x.src === src && x.dst === dst && x.proto === proto) ?? null;
	if (q === null) {
		if (state.nqueues >= settings.maxfragpackets && b.queues.length > 0) drop_oldest(state, b);
		if (state.nqueues >= settings.maxfragpackets) {
			stat.ips_fragdropped++;
			yield* mtx_unlock(b.lock);
			m_freem(m);
			return null;
		}
		q = new ipq(src, dst, id, proto);
		b.queues.push(q);
		state.nqueues++;
	}
	let whole: mbuf | null = null;
	if (!insert(q, m)) {
		stat.ips_fragdropped++;
		m_freem(m);
	} else {
		const length = complete(q);
		if (length >= 0) {
			whole = join(q, length);
			remove(state, b, q);
			stat.ips_reassembled++;
		} else if (q.nfrags > settings.maxfragsperpacket) {
			stat.ips_fragdropped += free_queue(q);
			remove(state, b, q);
		}
	}
	yield* mtx_unlock(b.lock);
	if (state.nqueues > 0 && !state.ticking) {
		state.ticking = true;
		yield* callout_reset(state.timer, hz(), ipreass_timo, state);
	}
	return whole;
}

function remove(state: reass_state, b: bucket, q: ipq): void {
	b.queues.splice(b.queues.indexOf(q), 1);
	state.nqueues--;
}

function drop_oldest(state: reass_state, b: bucket): void {
	const q = b.queues[0];
	V_ipstat().ips_fragdropped += free_queue(q);
	remove(state, b, q);
}

/** Once a second while anything waits: drops what has waited too long. @see ipreass_slowtimo */
function* ipreass_timo(state: reass_state): Blocking<void> {
	const saved = CURVNET_SET(state.vn);
	for (const b of state.buckets) {
		if (b.queues.length === 0) continue;
		yield* mtx_lock(b.lock);
		while (b.queues.length > 0 && b.queues[0].expires_ns <= sbinuptime()) {
			V_ipstat().ips_fragtimeout += free_queue(b.queues[0]);
			remove(state, b, b.queues[0]);
		}
		yield* mtx_unlock(b.lock);
	}
	if (state.nqueues > 0) yield* callout_reset(state.timer, hz(), ipreass_timo, state);
	else state.ticking = false;
	CURVNET_RESTORE(saved);
}

/** Frees all fragments that wait. @see ipreass_drain */
export function* ipreass_drain(): Blocking<void> {
	const state = V_ipq().state;
	if (state === null) return;
	for (const b of state.buckets) {
		yield* mtx_lock(b.lock);
		while (b.queues.length > 0) drop_oldest(state, b);
		yield* mtx_unlock(b.lock);
	}
}

VNET_SYSUNINIT("ipreass_destroy", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	const slot = V_ipq();
	if (slot.state === null) return;
	yield* callout_drain(slot.state.timer);
	yield* ipreass_drain();
	for (const b of slot.state.buckets) mtx_destroy(b.lock);
	slot.state = null;
});
