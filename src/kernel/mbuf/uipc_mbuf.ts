/**
 * Operations on chains that change their shape: headers moved, room made in front, data trimmed, pulled up, joined and split.
 * Whether a function frees the chain when it fails is part of its contract, and is said with each.
 *
 * @see uipc_mbuf.c, sys/mbuf.h
 */
import { bcopy } from "../../machine/bcopy.ts";
import { KASSERT, panic } from "../sched/kernel.ts";
import { charge, charge_bytes, cost } from "../sched/thread.ts";
import { m_free, m_freem, m_get, m_gethdr, mb_dupcl } from "./kern_mbuf.ts";
import { M_COPYFLAGS, M_EXT, M_EXTPG, M_NOFREE, M_PKTHDR, M_RDONLY, MHLEN, MLEN } from "./mbuf_flags.ts";
import { m_tag_copy_chain, m_tag_delete_chain } from "./mbuf_tag.ts";
import {
	type int_ref,
	M_ALIGN,
	M_ASSERTPKTHDR,
	M_LEADINGSPACE,
	M_PKTDAT,
	M_SIZE,
	M_START,
	M_TRAILINGSPACE,
	M_WRITABLE,
	m_last,
	m_not_filler,
	type mbuf,
	pkthdr_assign,
	pkthdr_clear,
} from "./mbuf_var.ts";
import { M_NOWAIT } from "./uma.ts";

/** Room that protocols leave for headers below them: Ethernet rounded up, and IPv6 with TCP, which sets it at boot. */
export const max_linkhdr = 16;
export const max_protohdr = 60;
export const max_hdr = max_linkhdr + max_protohdr;
export const max_datalen = MHLEN - max_hdr;

/** bcopy, and its cost. All copying of packet data goes through here. */
export function copy_payload(src: Uint8Array, from: number, dst: Uint8Array, to: number, len: number): void {
	charge_bytes(len, cost.copy);
	bcopy(src, from, dst, to, len);
}

/** copy_payload into an mbuf that has been in use, at `to` in its storage. */
export function m_put(src: Uint8Array, from: number, m: mbuf, to: number, len: number): void {
	m_not_filler(m, to, to + len);
	copy_payload(src, from, m.m_buf, to, len);
}

/** Takes the packet header off an mbuf, tags and all. */
export function m_demote_pkthdr(m: mbuf): void {
	M_ASSERTPKTHDR(m, "m_demote_pkthdr");
	m_tag_delete_chain(m, null);
	m.m_flags &= ~M_PKTHDR;
	pkthdr_clear(m.m_pkthdr);
}

/** Makes a chain fit to be the inside of another: no packet headers, no flags but `flags`. With `all` the first mbuf too. */
export function m_demote(m0: mbuf, all: number | boolean, flags: number): void {
	for (let m = all ? m0 : m0.m_next; m !== null; m = m.m_next) {
		KASSERT(m.m_nextpkt === null, "m_demote: m_nextpkt in m");
		if ((m.m_flags & M_PKTHDR) !== 0) m_demote_pkthdr(m);
		m.m_flags &= M_EXT | M_RDONLY | M_NOFREE | M_EXTPG | flags;
	}
}

/** Checks everything a chain must satisfy, and panics if it does not; with `sanitize` it makes bad links harmless instead. */
export function m_sanity(m0: mbuf, sanitize: number): number {
	let pktlen = 0;
	for (let m: mbuf | null = m0; m !== null; m = m.m_next) {
		const start = M_START(m);
		const end = start + M_SIZE(m);
		if (m.m_data < start) panic("m_sanity: m_data outside mbuf data range left");
		if (m.m_data > end) panic("m_sanity: m_data outside mbuf data range right");
		if (m.m_data + m.m_len > end) panic("m_sanity: m_data + m_len exceeds mbuf space");
		if ((m0.m_flags & M_PKTHDR) !== 0) pktlen += m.m_len;
		if (m === m0) continue;
		if (m.m_nextpkt !== null) {
			if (!sanitize) panic("m_sanity: m->m_nextpkt on in-chain mbuf");
			m_freem(m.m_nextpkt);
			m.m_nextpkt = null;
		}
		if ((m.m_flags & M_PKTHDR) !== 0) {
			if (!sanitize) panic(`m_sanity: ${m.m_pkthdr.tags !== null ? "m_tags" : "M_PKTHDR"} on in-chain mbuf`);
			m_demote_pkthdr(m);
		}
	}
	if (pktlen !== 0 && pktlen !== m0.m_pkthdr.len) {
		if (!sanitize) panic("m_sanity: m_pkthdr.len != mbuf chain length");
		m0.m_pkthdr.len = 0;
	}
	return 1;
}

/** Moves the packet header, tags included, from `from` to `to`, which becomes the packet's first mbuf and must be empty. */
export function m_move_pkthdr(to: mbuf, from: mbuf): void {
	to.m_flags = (from.m_flags & M_COPYFLAGS) | (to.m_flags & (M_EXT | M_EXTPG));
	if ((to.m_flags & M_EXT) === 0) to.m_data = to.m_dat_start + M_PKTDAT;
	pkthdr_assign(to.m_pkthdr, from.m_pkthdr);
	from.m_pkthdr.tags = null;
	from.m_flags &= ~M_PKTHDR;
}
export const M_MOVE_PKTHDR = m_move_pkthdr;

/** Copies the packet header, each tag too. 0: no memory for the tags, and `to` has none; 1: done. */
export function m_dup_pkthdr(to: mbuf, from: mbuf, how: number): number {
	to.m_flags = (from.m_flags & M_COPYFLAGS) | (to.m_flags & (M_EXT | M_EXTPG));
	if ((to.m_flags & M_EXT) === 0) to.m_data = to.m_dat_start + M_PKTDAT;
	pkthdr_assign(to.m_pkthdr, from.m_pkthdr);
	to.m_pkthdr.tags = null;
	return m_tag_copy_chain(to, from, how);
}

/**
 * Puts a new mbuf with `len` bytes in front; the packet header moves to it, its length unchanged (M_PREPEND sees to that).
 * Without memory the chain is freed.
 */
export function m_prepend(m: mbuf, len: number, how: number): mbuf | null {
	charge(cost.mbuf_op);
	const mn = (m.m_flags & M_PKTHDR) !== 0 ? m_gethdr(how, m.m_type) : m_get(how, m.m_type);
	if (mn === null) {
		m_freem(m);
		return null;
	}
	if ((m.m_flags & M_PKTHDR) !== 0) m_move_pkthdr(mn, m);
	mn.m_next = m;
	if (len < M_SIZE(mn)) M_ALIGN(mn, len);
	mn.m_len = len;
	return mn;
}

/** Makes room for `plen` bytes before the data, in place if there is some. Without memory the chain is freed: `m = M_PREPEND(m, ...)`. */
export function M_PREPEND(m: mbuf, plen: number, how: number): mbuf | null {
	let mm: mbuf | null = m;
	if (M_LEADINGSPACE(m) >= plen) {
		m_not_filler(m, m.m_data - plen, m.m_data);
		m.m_data -= plen;
		m.m_len += plen;
	} else mm = m_prepend(m, plen, how);
	if (mm !== null && (mm.m_flags & M_PKTHDR) !== 0) mm.m_pkthdr.len += plen;
	return mm;
}

/** Appends chain `n`: copies mbufs that fit into the room behind, and links the rest. Touches no packet header. */
export function m_cat(m: mbuf, n: mbuf | null): void {
	charge(cost.mbuf_op);
	m = m_last(m);
	while (n !== null) {
		if (!M_WRITABLE(m) || M_TRAILINGSPACE(m) < n.m_len) {
			m.m_next = n;
			return;
		}
		m_put(n.m_buf, n.m_data, m, m.m_data + m.m_len, n.m_len);
		m.m_len += n.m_len;
		n = m_free(n);
	}
}

/** Appends packet `n` to packet `m`; n's header goes. */
export function m_catpkt(m: mbuf, n: mbuf): void {
	M_ASSERTPKTHDR(m, "m_catpkt");
	M_ASSERTPKTHDR(n, "m_catpkt");
	m.m_pkthdr.len += n.m_pkthdr.len;
	m_demote(n, 1, 0);
	m_cat(m, n);
}

/**
 * Drops bytes: from the front if `req_len` is positive, leaving emptied mbufs where they are, and from the end if it is
 * negative. More than there is drops everything. Cannot fail.
 */
export function m_adj(mp: mbuf | null, req_len: number): void {
	if (mp === null) return;
	charge(cost.mbuf_op);
	if (req_len >= 0) m_adj_head(mp, req_len);
	else m_adj_tail(mp, -req_len);
}

function m_adj_head(mp: mbuf, req_len: number): void {
	let len = req_len;
	let m: mbuf | null = mp;
	while (m !== null && len > 0) {
		if (m.m_len <= len) {
			len -= m.m_len;
			m.m_len = 0;
			m = m.m_next;
		} else {
			m.m_len -= len;
			m.m_data += len;
			len = 0;
		}
	}
	if ((mp.m_flags & M_PKTHDR) !== 0) mp.m_pkthdr.len -= req_len - len;
}

function m_adj_tail(mp: mbuf, len: number): void {
	let count = mp.m_len;
	let m = mp;
	while (m.m_next !== null) {
		m = m.m_next;
		count += m.m_len;
	}
	if (m.m_len >= len) {
		m.m_len -= len;
		if ((mp.m_flags & M_PKTHDR) !== 0) mp.m_pkthdr.len -= len;
		return;
	}
	count = Math.max(count - len, 0);
	if ((mp.m_flags & M_PKTHDR) !== 0) mp.m_pkthdr.len = count;
	m = mp;
	while (m.m_len < count) {
		count -= m.m_len;
		m = m.m_next!;
	}
	m.m_len = count;
	m_freem(m.m_next);
	m.m_next = null;
}

/** The copying half of m_pullup and m_copyup: moves data from `n` on into `m` until `len` bytes have come. */
function pull(m: mbuf, n: mbuf | null, len: number): mbuf | null {
	let space = m.m_dat_start + MLEN - (m.m_data + m.m_len);
	while (n !== null) {
		const count = Math.min(Math.max(len, max_protohdr), space, n.m_len);
		m_put(n.m_buf, n.m_data, m, m.m_data + m.m_len, count);
		len -= count;
		m.m_len += count;
		n.m_len -= count;
		space -= count;
		if (n.m_len !== 0) n.m_data += count;
		else n = m_free(n);
		if (len <= 0) break;
	}
	if (len > 0) {
		m_free(m);
		m_freem(n);
		return null;
	}
	m.m_next = n;
	return m;
}

/**
 * Makes the first `len` bytes contiguous in an mbuf's own storage, and up to max_protohdr bytes with them. A first mbuf with
 * a cluster, or with no successor, is never good enough: a new mbuf is put in front even if the bytes were contiguous,
 * so callers look at m_len first. If the chain is too short, `len` too long, or memory short, the chain is freed.
 */
export function m_pullup(n: mbuf, len: number): mbuf | null {
	KASSERT((n.m_flags & M_EXTPG) === 0, "m_pullup: unmapped mbuf");
	charge(cost.mbuf_op);
	if ((n.m_flags & M_EXT) === 0 && n.m_data + len < n.m_dat_start + MLEN && n.m_next !== null) {
		if (n.m_len >= len) return n;
		return pull(n, n.m_next, len - n.m_len);
	}
	const m = len > MHLEN ? null : m_get(M_NOWAIT, n.m_type);
	if (m === null) {
		m_freem(n);
		return null;
	}
	if ((n.m_flags & M_PKTHDR) !== 0) m_move_pkthdr(m, n);
	return pull(m, n, len);
}

/** m_pullup that always puts a new mbuf in front, with `dstoff` bytes of room before the data. Frees the chain when it fails. */
export function m_copyup(n: mbuf, len: number, dstoff: number): mbuf | null {
	charge(cost.mbuf_op);
	const m = len > MHLEN - dstoff ? null : m_get(M_NOWAIT, n.m_type);
	if (m === null) {
		m_freem(n);
		return null;
	}
	if ((n.m_flags & M_PKTHDR) !== 0) m_move_pkthdr(m, n);
	m.m_data += dstoff;
	return pull(m, n, len);
}

/**
 * Cuts a chain in two after `len0` bytes and returns the tail, whose first mbuf may share a cluster with the head's last and
 * is then not writable. null if the chain is shorter, or without memory; the chain is then what it was, except that a packet
 * header may already say `len0`.
 */
export function m_split(m0: mbuf, len0: number, how: number): mbuf | null {
	charge(cost.mbuf_op);
	let len = len0;
	let m: mbuf | null = m0;
	while (m !== null && len > m.m_len) {
		len -= m.m_len;
		m = m.m_next;
	}
	if (m === null) return null;
	const remain = m.m_len - len;
	let n: mbuf | null;
	if ((m0.m_flags & M_PKTHDR) !== 0) {
		n = m_gethdr(how, m0.m_type);
		if (n === null) return null;
		n.m_pkthdr.rcvif = m0.m_pkthdr.rcvif;
		n.m_pkthdr.packet_id = m0.m_pkthdr.packet_id;
		n.m_pkthdr.birth_ns = m0.m_pkthdr.birth_ns;
		n.m_pkthdr.len = m0.m_pkthdr.len - len0;
		m0.m_pkthdr.len = len0;
		if (remain === 0) {
			n.m_next = m.m_next;
			m.m_next = null;
			return n;
		}
		if ((m.m_flags & M_EXT) === 0) {
			if (remain > MHLEN) {
				M_ALIGN(n, 0);
				n.m_next = m_split(m, len, how);
				if (n.m_next === null) {
					m_free(n);
					return null;
				}
				n.m_len = 0;
				return n;
			}
			M_ALIGN(n, remain);
		}
	} else if (remain === 0) {
		n = m.m_next;
		m.m_next = null;
		return n;
	} else {
		n = m_get(how, m.m_type);
		if (n === null) return null;
		M_ALIGN(n, remain);
	}
	if ((m.m_flags & M_EXT) !== 0) {
		n.m_data = m.m_data + len;
		mb_dupcl(n, m);
	} else copy_payload(m.m_buf, m.m_data + len, n.m_buf, n.m_data, remain);
	n.m_len = remain;
	m.m_len = len;
	n.m_next = m.m_next;
	m.m_next = null;
	return n;
}

/** Bytes in a chain. */
export function m_length(m0: mbuf | null): number {
	charge(cost.mbuf_op);
	let len = 0;
	for (let m = m0; m !== null; m = m.m_next) len += m.m_len;
	return len;
}

/** Sets the packet header's length to what the chain has. */
export function m_fixhdr(m0: mbuf): number {
	const len = m_length(m0);
	m0.m_pkthdr.len = len;
	return len;
}

/** The mbuf that holds byte `loc`, and the byte's offset in its data; the byte after the last counts as the last mbuf's. */
export function m_getptr(m0: mbuf, loc: number, off: int_ref): mbuf | null {
	charge(cost.mbuf_op);
	let m = m0;
	while (loc >= 0) {
		if (m.m_len > loc) {
			off.value = loc;
			return m;
		}
		loc -= m.m_len;
		if (m.m_next === null) {
			if (loc !== 0) return null;
			off.value = m.m_len;
			return m;
		}
		m = m.m_next;
	}
	return null;
}
