/**
 * Operations that rearrange a chain without changing its bytes: into fewer mbufs, or into writable ones.
 *
 * @see uipc_mbuf.c
 */
import { panic } from "../sched/kernel.ts";
import { charge, cost } from "../sched/thread.ts";
import { m_free, m_freem, m_get, m_getcl, m_gethdr } from "./kern_mbuf.ts";
import { M_COPYFLAGS, M_EXT, M_PKTHDR, MCLBYTES, MHLEN, MLEN, MT_DATA } from "./mbuf_flags.ts";
import { M_TRAILINGSPACE, M_WRITABLE, m_not_filler, type mbuf } from "./mbuf_var.ts";
import { copy_payload, m_cat, m_dup_pkthdr, m_fixhdr, m_move_pkthdr, m_put } from "./uipc_mbuf.ts";
import { m_copydata, m_copydata_fresh } from "./uipc_mbuf_copy.ts";

/**
 * Copies a packet into as few mbufs as possible, even if it was a single one, and frees the old ones. null without memory,
 * and the old packet is whole. A chain without a packet header comes back as it is.
 */
export function m_defrag(m0: mbuf, how: number): mbuf | null {
	if ((m0.m_flags & M_PKTHDR) === 0) return m0;
	const total = m_fixhdr(m0);
	const m_final = total > MHLEN ? m_getcl(how, MT_DATA, M_PKTHDR) : m_gethdr(how, MT_DATA);
	if (m_final === null) return null;
	if (m_dup_pkthdr(m_final, m0, how) === 0) {
		m_freem(m_final);
		return null;
	}
	let m_new: mbuf | null = m_final;
	for (let progress = 0; progress < total; ) {
		const length = Math.min(total - progress, MCLBYTES);
		if (progress > 0) {
			m_new = length > MLEN ? m_getcl(how, MT_DATA, 0) : m_get(how, MT_DATA);
			if (m_new === null) {
				m_freem(m_final);
				return null;
			}
		}
		m_copydata_fresh(m0, progress, length, m_new!);
		progress += length;
		m_new!.m_len = length;
		if (m_new !== m_final) m_cat(m_final, m_new);
	}
	m_freem(m0);
	return m_final;
}

/**
 * Brings a chain down to `maxfrags` mbufs: first by moving data into the room behind earlier ones, then by replacing
 * neighbours by clusters. null if it cannot; the chain is then still valid, though not what it was. (One that is short
 * enough to begin with comes back as it is; C would go on compacting it, but no caller asks for that.)
 */
export function m_collapse(m0: mbuf, how: number, maxfrags: number): mbuf | null {
	charge(cost.mbuf_op);
	let curfrags = 0;
	for (let m: mbuf | null = m0; m !== null; m = m.m_next) curfrags++;
	let from = m0;
	for (;;) {
		curfrags = collapse_forward(from, curfrags, maxfrags);
		if (curfrags <= maxfrags) return m0;
		if (maxfrags <= 1) panic(`maxfrags ${maxfrags}, but normal collapse failed`);
		// the first mbuf stays, so that the packet header need not move
		let prev = m0;
		let n = prev.m_next;
		while (n !== null && (n.m_next === null || n.m_len + n.m_next.m_len >= MCLBYTES)) {
			prev = n;
			n = n.m_next;
		}
		if (n === null) return null;
		const n2: mbuf = n.m_next!;
		const m = m_getcl(how, MT_DATA, 0);
		if (m === null) return null;
		m_copydata(n, 0, n.m_len, m.m_buf, m.m_data);
		m_copydata(n2, 0, n2.m_len, m.m_buf, m.m_data + n.m_len);
		m.m_len = n.m_len + n2.m_len;
		m.m_next = n2.m_next;
		prev.m_next = m;
		curfrags--;
		m_free(n);
		m_free(n2);
		if (curfrags <= maxfrags) return m0;
		from = m;
	}
}

/** The first technique of m_collapse, from `m` on; returns how many mbufs the chain has now. */
function collapse_forward(m: mbuf, curfrags: number, maxfrags: number): number {
	for (let n = m.m_next; n !== null; n = m.m_next) {
		if (!M_WRITABLE(m) || n.m_len >= M_TRAILINGSPACE(m)) {
			m = n;
			continue;
		}
		m_not_filler(m, m.m_data + m.m_len, m.m_data + m.m_len + n.m_len);
		m_copydata(n, 0, n.m_len, m.m_buf, m.m_data + m.m_len);
		m.m_len += n.m_len;
		m.m_next = n.m_next;
		m_free(n);
		if (--curfrags <= maxfrags) break;
	}
	return curfrags;
}

/**
 * Makes a chain writable, and shorter where that is free: shared clusters are copied, or appended to the cluster before them
 * if they fit, as are plain mbufs. Without memory the chain is freed.
 */
export function m_unshare(m0: mbuf, how: number): mbuf | null {
	charge(cost.mbuf_op);
	let mprev: mbuf | null = null;
	let m: mbuf | null = m0;
	while (m !== null) {
		const ext = (m.m_flags & M_EXT) !== 0;
		if (ext && M_WRITABLE(m)) {
			mprev = m;
		} else if (mprev !== null && (mprev.m_flags & M_EXT) !== 0 && m.m_len <= M_TRAILINGSPACE(mprev)) {
			m_put(m.m_buf, m.m_data, mprev, mprev.m_data + mprev.m_len, m.m_len);
			mprev.m_len += m.m_len;
			mprev.m_next = m.m_next;
			m_free(m);
		} else if (!ext) {
			mprev = m;
		} else {
			const n = unshare_one(m, how);
			if (n === null) {
				m_freem(m0);
				return null;
			}
			if (mprev === null) m0 = n;
			else mprev.m_next = n;
			m_free(m);
			mprev = n;
		}
		m = mprev.m_next;
	}
	return m0;
}

/**
 * Copies one mbuf's data into new clusters, linked to its successor. The packet header moves at once, and with it the tags
 * leave the caller's chain if a later cluster is not to be had; freeing both parts is then all that is left.
 */
function unshare_one(m: mbuf, how: number): mbuf | null {
	const flags = m.m_flags & M_COPYFLAGS;
	const first = m_getcl(how, m.m_type, flags);
	if (first === null) return null;
	if ((m.m_flags & M_PKTHDR) !== 0) m_move_pkthdr(first, m);
	let n = first;
	let off = 0;
	for (;;) {
		const cc = Math.min(m.m_len - off, MCLBYTES);
		copy_payload(m.m_buf, m.m_data + off, n.m_buf, n.m_data, cc);
		n.m_len = cc;
		off += cc;
		if (off >= m.m_len) break;
		const more = m_getcl(how, m.m_type, flags & ~M_PKTHDR);
		if (more === null) {
			m_freem(first);
			return null;
		}
		n.m_next = more;
		n = more;
	}
	n.m_next = m.m_next;
	return first;
}
