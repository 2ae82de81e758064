/**
 * Reassembly of IPv6 fragments. Overlapping fragments make the whole datagram invalid (RFC 5722).
 *
 * @see netinet6/frag6.c
 */
import { callout, callout_drain, callout_init, callout_reset } from "../callout/callout.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { M_IP_FRAG, m_adj, m_cat, m_fixhdr, m_freem, m_pullup, type mbuf } from "../mbuf/mbuf.ts";
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
	IP6_DST_OFF,
	IP6_FRAG_LEN,
	IP6_HDR_LEN,
	IP6_NXT_OFF,
	IP6_PLEN_OFF,
	IP6_SRC_OFF,
	IP6F_MORE_FRAG,
	IP6F_OFF_MASK,
	IPV6_MAXPACKET,
} from "./ip6.ts";
import { V_ip6, V_ip6stat } from "./ip6_var.ts";

const IPV6_FRAGTTL_NS = 60_000_000_000;

/** One fragment: its packet, cut down to its data. */
interface fragment {
	readonly off: number;
	readonly len: number;
	readonly m: mbuf;
}

/** A datagram in pieces. */
class ip6q {
	readonly id: number;
	readonly addrs: Uint8Array;
	readonly expires_ns = sbinuptime() + IPV6_FRAGTTL_NS;
	/** by offset */
	readonly frags: fragment[] = [];
	/** length of the datagram's data, known from its last fragment */
	total = -1;
	have = 0;
	constructor(id: number, addrs: Uint8Array) {
		this.id = id;
		this.addrs = addrs;
	}
}

class frag6_state {
	readonly lock = new mtx();
	/** oldest first */
	readonly queues: ip6q[] = [];
	readonly timer = new callout();
	readonly vn: vnet = curvnet();
	ticking = false;
	constructor() {
		mtx_init(this.lock, "frag6", null, MTX_DEF);
		callout_init(this.timer, true);
	}
}

class frag6_slot {
	state: frag6_state | null = null;
}

const V_frag6 = VNET_DEFINE(() => new frag6_slot());

function drop(state: frag6_state, q: ip6q): number {
	state.queues.splice(state.queues.indexOf(q), 1);
	for (const f of q.frags) m_freem(f.m);
	return q.frags.length;
}

function same(a: Uint8Array, buf: Uint8Array, off: number): boolean {
	for (let i = 0; i < 32; i++) if (a[i] !== buf[off + i]) return false;
	return true;
}

/** Puts a fragment in its place. @returns false if it overlaps another */
function insert(q: ip6q, f: fragment): boolean {
	let at = q.frags.length;
	while (at > 0 && q.frags[at - 1].off > f.off) at--;
	if (at > 0 && q.frags[at - 1].off + q.frags[at - 1].len > f.off) return false;
	if (at < q.frags.length && f.off + f.len > q.frags[at].off) return false;
	q.frags.splice(at, 0, f);
	q.have += f.len;
	return true;
}

/**
 * Takes in a fragment whose fragment header is at `off`. Consumes it.
 *
 * @returns the whole datagram without fragment header if this was the last piece missing, else null
 */
export function* frag6_input(m: mbuf, off: number): Blocking<mbuf | null> {
	charge(cost.ip_reass);
	const stat = V_ip6stat();
	stat.ip6s_fragments++;
	if (m.m_len < off + IP6_FRAG_LEN) {
		const pulled = m_pullup(m, off + IP6_FRAG_LEN);
		if (pulled === null) return null;
		m = pulled;
	}
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const offlg = in_get16(buf, ip6 + off + 2);
	const fragoff = offlg & IP6F_OFF_MASK;
	const more = (offlg & IP6F_MORE_FRAG) !== 0;
	const id = in_get32(buf, ip6 + off + 4);
	const nxt = buf[ip6 + off];
	const len = m.m_pkthdr.len - off - IP6_FRAG_LEN;
	// fragment headers behind others than the fixed one are not sent by anybody here
	if (off !== IP6_HDR_LEN || len <= 0 || (more && (len & 7) !== 0) || fragoff + len > IPV6_MAXPACKET) {
		stat.ip6s_fragdropped++;
		m_freem(m);
		return null;
	}
	const slot = V_frag6();
	slot.state ??= new frag6_state();
	const state = slot.state;
	yield* mtx_lock(state.lock);
	let q = state.queues.find((x) => x.id === id && same(x.addrs, buf, ip6 + IP6_SRC_OFF)) ?? null;
	if (q === null) {
		if (state.queues.length >= V_ip6().maxfragpackets) stat.ip6s_fragdropped += drop(state, state.queues[0]);
		q = new ip6q(id, buf.slice(ip6 + IP6_SRC_OFF, ip6 + IP6_DST_OFF + 16));
		state.queues.push(q);
	}
	if (!more) q.total = fragoff + len;
	let whole: mbuf | null = null;
	if (!insert(q, { off: fragoff, len, m })) {
		stat.ip6s_fragdropped += 1 + drop(state, q);
		m_freem(m);
	} else if (q.have === q.total) {
		whole = join(q, nxt);
		state.queues.splice(state.queues.indexOf(q), 1);
		stat.ip6s_reassembled++;
	}
	yield* mtx_unlock(state.lock);
	if (state.queues.length > 0 && !state.ticking) {
		state.ticking = true;
		yield* callout_reset(state.timer, hz(), frag6_timo, state);
	}
	return whole;
}

/** Makes one packet of all fragments, and takes the fragment header out. */
function join(q: ip6q, nxt: number): mbuf {
	const m = q.frags[0].m;
	for (let i = 1; i < q.frags.length; i++) {
		const n = q.frags[i].m;
		m_adj(n, IP6_HDR_LEN + IP6_FRAG_LEN);
		m_cat(m, n);
	}
	const buf = m.m_buf;
	buf.copyWithin(m.m_data + IP6_FRAG_LEN, m.m_data, m.m_data + IP6_HDR_LEN);
	m.m_data += IP6_FRAG_LEN;
	m.m_len -= IP6_FRAG_LEN;
	buf[m.m_data + IP6_NXT_OFF] = nxt;
	in_put16(buf, m.m_data + IP6_PLEN_OFF, q.total);
	m.m_flags |= M_IP_FRAG;
	m.m_pkthdr.csum_flags = 0;
	m_fixhdr(m);
	return m;
}

/** Once a second while anything waits: drops what has waited too long. @see frag6_slowtimo */
function* frag6_timo(state: frag6_state): Blocking<void> {
	const saved = CURVNET_SET(state.vn);
	yield* mtx_lock(state.lock);
	while (state.queues.length > 0 && state.queues[0].expires_ns <= sbinuptime())
		V_ip6stat().ip6s_fragtimeout += drop(state, state.queues[0]);
	yield* mtx_unlock(state.lock);
	if (state.queues.length > 0) yield* callout_reset(state.timer, hz(), frag6_timo, state);
	else state.ticking = false;
	CURVNET_RESTORE(saved);
}

VNET_SYSUNINIT("frag6_destroy", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	const slot = V_frag6();
	if (slot.state === null) return;
	yield* callout_drain(slot.state.timer);
	yield* mtx_lock(slot.state.lock);
	while (slot.state.queues.length > 0) drop(slot.state, slot.state.queues[0]);
	yield* mtx_unlock(slot.state.lock);
	mtx_destroy(slot.state.lock);
	slot.state = null;
});
