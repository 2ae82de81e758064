/**
 * The mbuf itself. An mbuf is a small header with either a little data of its own or a reference to a cluster; packets are
 * chains of them, and only the first mbuf of a chain carries a packet header.
 *
 * A pointer into memory is a pair here: `m_buf` is a buffer, which the storage of many others is part of too, and `m_data` the offset
 * of the first byte in it. Storage of its own is `m_dat`; as in FreeBSD the packet header takes the room of its first 56 bytes, so that moving a header
 * into an mbuf moves the start of its data, and a cluster, while there is one, takes the place of the data.
 *
 * @see sys/mbuf.h
 */
import type { ifnet } from "../ifnet/if_var.ts";
import { KASSERT, panic } from "../sched/kernel.ts";
import {
	EXT_FLAG_EMBREF,
	M_EXT,
	M_EXTPG,
	M_HASHTYPE_HASHPROP,
	M_PKTHDR,
	M_PROTOFLAGS,
	M_RDONLY,
	MHLEN,
	MLEN,
	MT_NOTMBUF,
} from "./mbuf_flags.ts";
import type { uma_memory } from "./uma_memory.ts";

/** Where the data of an mbuf with a packet header begins in its own storage. */
export const M_PKTDAT = MLEN - MHLEN;

/** A packet tag: an annotation of a packet, found by cookie and id. Its data is `m_tag_data`, not the memory behind it. */
export class m_tag {
	m_tag_link: m_tag | null = null;
	m_tag_id = 0;
	m_tag_len = 0;
	m_tag_cookie = 0;
	m_tag_free: ((t: m_tag) => void) | null = null;
	m_tag_data: unknown = null;
}

/**
 * What is known of a packet as a whole; valid only with M_PKTHDR. The unions of the C structure are plain fields, because
 * no code here relies on two of their members sharing memory. The last two fields exist in the simulator only.
 */
export class pkthdr {
	rcvif: ifnet | null = null;
	tags: m_tag | null = null;
	/** total length of the chain */
	len = 0;
	flowid = 0;
	/** uint32: test single bits only with `&`, and compare with `>>> 0` */
	csum_flags = 0;
	fibnum = 0;
	rsstype = 0;
	/** ns since boot, with M_TSTMP */
	rcv_tstmp = 0;
	ether_vtag = 0;
	tso_segsz = 0;
	csum_data = 0;
	/** the persistent 64-bit word, for whichever layer owns the packet: if_wg and netisr keep small numbers or an object here */
	PH_per_ptr: unknown = null;
	PH_per_word = 0;
	/** the word that lasts until the packet leaves its layer */
	PH_loc_ptr: unknown = null;
	PH_loc_word = 0;
	/** follows a packet, its copies and its encrypted self from birth to death; 0: nobody follows it */
	packet_id = 0;
	/** simulated ns of its birth, for latency */
	birth_ns = 0;
}

/** Counts the sharers of external storage: the m_ext of the mbuf that brought it, or an object outside for EXT_EXTREF. */
export interface ext_refcnt {
	ext_count: number;
}

/**
 * External storage of an mbuf; valid only with M_EXT. The mbuf that first had the cluster holds the count of sharers
 * (EXT_FLAG_EMBREF); every other sharer points to that count with `ext_cnt`.
 */
export class m_ext implements ext_refcnt {
	ext_count = 0;
	ext_cnt: ext_refcnt | null = null;
	ext_size = 0;
	ext_type = 0;
	ext_flags = 0;
	ext_buf: uma_memory | null = null;
	/** where that begins in m_buf */
	ext_start = 0;
	ext_free: ((m: mbuf) => void) | null = null;
	ext_arg1: unknown = null;
	ext_arg2: unknown = null;
	/** the mbuf this is part of: what C computes from the address of the count */
	readonly ext_mbuf: mbuf;

	constructor(m: mbuf) {
		this.ext_mbuf = m;
	}
}

export class mbuf {
	m_next: mbuf | null = null;
	m_nextpkt: mbuf | null = null;
	/** what the storage of the data, m_dat or the cluster, is part of */
	m_buf: Uint8Array;
	/** offset of the first byte in m_buf */
	m_data = 0;
	m_len = 0;
	m_type = MT_NOTMBUF;
	m_flags = 0;
	/** in a run for the costs only, from which byte of m_buf up to which nobody reads what is there; none if they are the same */
	m_filler = 0;
	m_filler_end = 0;
	readonly m_pkthdr = new pkthdr();
	readonly m_ext: m_ext;
	/** its own MLEN bytes: what they are part of, and from where on; never replaced */
	readonly m_dat: Uint8Array;
	readonly m_dat_start: number;

	constructor(dat: uma_memory) {
		this.m_dat = dat.buf;
		this.m_dat_start = dat.start;
		this.m_buf = dat.buf;
		this.m_ext = new m_ext(this);
	}
}

/** A number a function hands back beside its result, where C passes a pointer to int. */
export class int_ref {
	value = 0;
}

/** Empties a packet header. */
export function pkthdr_clear(h: pkthdr): void {
	h.rcvif = null;
	h.tags = null;
	h.len = 0;
	h.flowid = 0;
	h.csum_flags = 0;
	h.fibnum = 0;
	h.rsstype = 0;
	h.rcv_tstmp = 0;
	h.ether_vtag = 0;
	h.tso_segsz = 0;
	h.csum_data = 0;
	h.PH_per_ptr = null;
	h.PH_per_word = 0;
	h.PH_loc_ptr = null;
	h.PH_loc_word = 0;
	h.packet_id = 0;
	h.birth_ns = 0;
}

/** Structure assignment: `to` becomes what `from` is, the list of tags included. */
export function pkthdr_assign(to: pkthdr, from: pkthdr): void {
	to.rcvif = from.rcvif;
	to.tags = from.tags;
	to.len = from.len;
	to.flowid = from.flowid;
	to.csum_flags = from.csum_flags;
	to.fibnum = from.fibnum;
	to.rsstype = from.rsstype;
	to.rcv_tstmp = from.rcv_tstmp;
	to.ether_vtag = from.ether_vtag;
	to.tso_segsz = from.tso_segsz;
	to.csum_data = from.csum_data;
	to.PH_per_ptr = from.PH_per_ptr;
	to.PH_per_word = from.PH_per_word;
	to.PH_loc_ptr = from.PH_loc_ptr;
	to.PH_loc_word = from.PH_loc_word;
	to.packet_id = from.packet_id;
	to.birth_ns = from.birth_ns;
}

/** How many mbufs share this one's cluster. @see sys/mbuf.h m_extrefcnt */
export function m_extrefcnt(m: mbuf): number {
	const ext = m.m_ext;
	return (ext.ext_flags & EXT_FLAG_EMBREF) !== 0 ? ext.ext_count : ext.ext_cnt!.ext_count;
}

/** Whether the data may be written: not marked read-only, and the storage shared with nobody. */
export function M_WRITABLE(m: mbuf): boolean {
	return (m.m_flags & (M_RDONLY | M_EXTPG)) === 0 && ((m.m_flags & M_EXT) === 0 || m_extrefcnt(m) === 1);
}

/** Offset in m_buf where the storage of this mbuf begins. */
export function M_START(m: mbuf): number {
	if ((m.m_flags & M_EXT) !== 0) return m.m_ext.ext_start;
	return (m.m_flags & M_PKTHDR) !== 0 ? m.m_dat_start + M_PKTDAT : m.m_dat_start;
}

/** Size of the storage of this mbuf. */
export function M_SIZE(m: mbuf): number {
	if ((m.m_flags & M_EXT) !== 0) return m.m_ext.ext_size;
	return (m.m_flags & M_PKTHDR) !== 0 ? MHLEN : MLEN;
}

/** Room before the data, 0 if it may not be written. */
export function M_LEADINGSPACE(m: mbuf): number {
	return M_WRITABLE(m) ? m.m_data - M_START(m) : 0;
}

/** Room behind the data, 0 if it may not be written. */
export function M_TRAILINGSPACE(m: mbuf): number {
	return M_WRITABLE(m) ? M_START(m) + M_SIZE(m) - (m.m_data + m.m_len) : 0;
}

/** Bytes `from` up to `to` of an mbuf's storage are written: of its filler there remains what lies on one side of them. */
export function m_not_filler(m: mbuf, from: number, to: number): void {
	if (to <= m.m_filler || from >= m.m_filler_end) return;
	if (from > m.m_filler) m.m_filler_end = from;
	else m.m_filler = Math.min(to, m.m_filler_end);
}

/** Places the data of a fresh mbuf so that `len` bytes end at the end of its storage, on a long-word boundary. */
export function m_align(m: mbuf, len: number): void {
	KASSERT(m.m_data === M_START(m), "m_align: not a virgin mbuf");
	m.m_data += (M_SIZE(m) - len) & ~7;
}
export const M_ALIGN = m_align;
export const MH_ALIGN = m_align;
export const MEXT_ALIGN = m_align;

export function M_ASSERTPKTHDR(m: mbuf | null, func = "M_ASSERTPKTHDR"): void {
	if (m === null || (m.m_flags & M_PKTHDR) === 0) panic(`${func}: no mbuf packet header!`);
}

/** The interface a packet came in by. */
export function m_rcvif(m: mbuf): ifnet | null {
	M_ASSERTPKTHDR(m, "m_rcvif");
	return m.m_pkthdr.rcvif;
}

/** Clears what only one layer understands, before the packet goes to another. */
export function m_clrprotoflags(m: mbuf): void {
	let n: mbuf | null = m;
	while (n !== null) {
		n.m_flags &= ~M_PROTOFLAGS;
		n = n.m_next;
	}
}

/** Last mbuf of a chain. */
export function m_last(m: mbuf): mbuf {
	while (m.m_next !== null) m = m.m_next;
	return m;
}

export function M_GETFIB(m: mbuf): number {
	KASSERT((m.m_flags & M_PKTHDR) !== 0, "Attempt to get FIB from non header mbuf.");
	return m.m_pkthdr.fibnum;
}

export function M_SETFIB(m: mbuf, fib: number): void {
	KASSERT((m.m_flags & M_PKTHDR) !== 0, "Attempt to set FIB on non header mbuf.");
	m.m_pkthdr.fibnum = fib;
}

export function M_HASHTYPE_CLEAR(m: mbuf): void {
	m.m_pkthdr.rsstype = 0;
}

export function M_HASHTYPE_GET(m: mbuf): number {
	return m.m_pkthdr.rsstype;
}

export function M_HASHTYPE_SET(m: mbuf, type: number): void {
	m.m_pkthdr.rsstype = type;
}

export function M_HASHTYPE_ISHASH(m: mbuf): boolean {
	return (m.m_pkthdr.rsstype & M_HASHTYPE_HASHPROP) !== 0;
}
