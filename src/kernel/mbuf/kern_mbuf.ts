/**
 * The m_get family, external storage and its sharers, m_free.
 *
 * Not modelled: unmapped pages (M_EXTPG) and send tags.
 *
 * @see kern_mbuf.c, sys/mbuf.h
 */
import { KASSERT, panic, sbinuptime } from "../sched/kernel.ts";
import { charge, cost } from "../sched/thread.ts";
import { m_extset, m_getzone, mb_args, mb_ctor_clust, mb_zones } from "./mb_zones.ts";
import {
	EXT_CLUSTER,
	EXT_DISPOSABLE,
	EXT_EXTREF,
	EXT_FLAG_EMBREF,
	EXT_JUMBO9,
	EXT_JUMBO16,
	EXT_JUMBOP,
	EXT_MOD_TYPE,
	EXT_NET_DRV,
	EXT_PACKET,
	EXT_RXRING,
	EXT_SFBUF,
	M_EOR,
	M_EXT,
	M_EXTPG,
	M_NOFREE,
	M_PKTHDR,
	M_RDONLY,
	MCLBYTES,
	MHLEN,
	MINCLSIZE,
	MJUM9BYTES,
	MJUM16BYTES,
	MJUMPAGESIZE,
	MLEN,
} from "./mbuf_flags.ts";
import { m_tag_delete_chain } from "./mbuf_tag.ts";
import { type ext_refcnt, M_SIZE, type m_ext, m_last, type mbuf } from "./mbuf_var.ts";
import { M_NOWAIT, uma_zalloc_arg, uma_zfree, uma_zone_reclaim } from "./uma.ts";
import { uma_memory } from "./uma_memory.ts";

/** An mbuf with MLEN bytes of its own. */
export function m_get(how: number, type: number): mbuf | null {
	return uma_zalloc_arg(mb_zones().zone_mbuf, mb_args(0, type), how);
}

/** An mbuf with a packet header and MHLEN bytes of its own. */
export function m_gethdr(how: number, type: number): mbuf | null {
	return uma_zalloc_arg(mb_zones().zone_mbuf, mb_args(M_PKTHDR, type), how);
}

/** An mbuf with a cluster. */
export function m_getcl(how: number, type: number, flags: number): mbuf | null {
	return uma_zalloc_arg(mb_zones().zone_pack, mb_args(flags, type), how);
}

/** Gives an mbuf a cluster; when there is none, takes back those of cached packets and tries once more. */
export function m_clget(m: mbuf, how: number): boolean {
	KASSERT((m.m_flags & M_EXT) === 0, "m_clget: mbuf has M_EXT");
	const z = mb_zones();
	m.m_ext.ext_buf = null;
	if (uma_zalloc_arg(z.zone_clust, m, how) === null && (how & M_NOWAIT) !== 0) {
		uma_zone_reclaim(z.zone_pack);
		uma_zalloc_arg(z.zone_clust, m, how);
	}
	return (m.m_flags & M_EXT) !== 0;
}
export const MCLGET = m_clget;

/** A cluster of one of the four sizes, attached to `m` unless that is null. */
export function m_cljget(m: mbuf | null, how: number, size: number): uma_memory | null {
	if (m !== null) {
		KASSERT((m.m_flags & M_EXT) === 0, "m_cljget: mbuf has M_EXT");
		m.m_ext.ext_buf = null;
	}
	return uma_zalloc_arg(m_getzone(size), m, how);
}

/** Attaches a cluster that m_cljget gave without an mbuf. It must be new and shared with nobody. */
export function m_cljset(m: mbuf, cl: uma_memory, type: number): void {
	mb_ctor_clust(cl, m);
	m.m_ext.ext_type = type;
}

/** An mbuf with a cluster of the given size. */
export function m_getjcl(how: number, type: number, flags: number, size: number): mbuf | null {
	if (size === MCLBYTES) return m_getcl(how, type, flags);
	const z = mb_zones();
	const m = uma_zalloc_arg(z.zone_mbuf, mb_args(flags, type), how);
	if (m === null) return null;
	if (uma_zalloc_arg(m_getzone(size), m, how) === null) {
		uma_zfree(z.zone_mbuf, m);
		return null;
	}
	return m;
}

/** The smallest mbuf that holds `size` bytes, up to a page; its length stays 0. */
export function m_get2(size: number, how: number, type: number, flags: number): mbuf | null {
	if (size <= MHLEN || (size <= MLEN && (flags & M_PKTHDR) === 0)) {
		return uma_zalloc_arg(mb_zones().zone_mbuf, mb_args(flags, type), how);
	}
	if (size > MJUMPAGESIZE) return null;
	return m_getjcl(how, type, flags, size <= MCLBYTES ? MCLBYTES : MJUMPAGESIZE);
}

/** m_get2 with the larger clusters too; new in 14.0. */
export function m_get3(size: number, how: number, type: number, flags: number): mbuf | null {
	if (size <= MJUMPAGESIZE) return m_get2(size, how, type, flags);
	if (size > MJUM16BYTES) return null;
	return m_getjcl(how, type, flags, size <= MJUM9BYTES ? MJUM9BYTES : MJUM16BYTES);
}

/**
 * Enough mbufs for `len` bytes, appended to `m` if there is one; all or nothing. Page-sized clusters are only tried without
 * waiting, whatever `how` says.
 */
export function m_getm2(m: mbuf | null, len: number, how: number, type: number, flags: number): mbuf | null {
	KASSERT(len >= 0, "m_getm2: len is < 0");
	flags &= M_PKTHDR | M_EOR;
	if (m !== null) flags &= ~M_PKTHDR;
	let head: mbuf | null = null;
	let tail: mbuf | null = null;
	while (len > 0) {
		let mb: mbuf | null = null;
		const hdr = flags & M_PKTHDR;
		if (len > MCLBYTES) mb = m_getjcl(M_NOWAIT, type, hdr, MJUMPAGESIZE);
		if (mb === null) {
			if (len >= MINCLSIZE) mb = m_getcl(how, type, hdr);
			else mb = hdr !== 0 ? m_gethdr(how, type) : m_get(how, type);
			if (mb === null) {
				m_freem(head);
				return null;
			}
		}
		len -= M_SIZE(mb);
		if (tail === null) head = mb;
		else tail.m_next = mb;
		tail = mb;
		flags &= ~M_PKTHDR;
	}
	if ((flags & M_EOR) !== 0 && tail !== null) tail.m_flags |= M_EOR;
	if (m === null) return head;
	const last = m_last(m);
	last.m_next = head;
	last.m_flags &= ~M_EOR;
	return m;
}

export function m_getm(m: mbuf | null, len: number, how: number, type: number): mbuf | null {
	return m_getm2(m, len, how, type, M_PKTHDR);
}

/** Attaches storage that is not ours; `freef` is called with the mbuf that holds the count when the last sharer is freed. */
export function m_extadd(
	m: mbuf,
	buf: Uint8Array,
	size: number,
	freef: ((m: mbuf) => void) | null,
	arg1: unknown,
	arg2: unknown,
	flags: number,
	type: number,
): void {
	KASSERT(type !== EXT_CLUSTER, "m_extadd: EXT_CLUSTER not allowed");
	const ext = m.m_ext;
	m.m_flags |= M_EXT | flags;
	m_extset(m, new uma_memory(buf, 0, size));
	ext.ext_size = size;
	ext.ext_free = freef;
	ext.ext_arg1 = arg1;
	ext.ext_arg2 = arg2;
	ext.ext_type = type;
	if (type !== EXT_EXTREF) {
		ext.ext_cnt = null;
		ext.ext_count = 1;
		ext.ext_flags = EXT_FLAG_EMBREF;
	} else ext.ext_flags = 0;
}

/** Attaches storage whose sharers are counted outside; takes a reference. */
export function m_extaddref(
	m: mbuf,
	buf: Uint8Array,
	size: number,
	ref_cnt: ext_refcnt,
	freef: (m: mbuf) => void,
	arg1: unknown,
	arg2: unknown,
): void {
	charge(cost.atomic);
	ref_cnt.ext_count++;
	m_extadd(m, buf, size, freef, arg1, arg2, 0, EXT_EXTREF);
	m.m_ext.ext_cnt = ref_cnt;
}

/** Makes `n` share `m`'s storage. The caller sets n's m_data and m_len. @see uipc_mbuf.c mb_dupcl */
export function mb_dupcl(n: mbuf, m: mbuf): void {
	if ((m.m_flags & M_EXT) === 0) panic("mb_dupcl: M_EXT|M_EXTPG not set");
	if ((n.m_flags & M_EXT) !== 0) panic("mb_dupcl: M_EXT|M_EXTPG set");
	const from = m.m_ext;
	const to = n.m_ext;
	to.ext_size = from.ext_size;
	to.ext_type = from.ext_type;
	to.ext_flags = from.ext_flags & ~EXT_FLAG_EMBREF;
	to.ext_buf = from.ext_buf;
	to.ext_start = from.ext_start;
	if (from.ext_type === EXT_EXTREF) {
		to.ext_free = from.ext_free;
		to.ext_arg1 = from.ext_arg1;
		to.ext_arg2 = from.ext_arg2;
	}
	n.m_buf = m.m_buf;
	n.m_filler = m.m_filler;
	n.m_filler_end = m.m_filler_end;
	n.m_flags |= m.m_flags & (M_RDONLY | M_EXT | M_EXTPG);
	const refcnt = (from.ext_flags & EXT_FLAG_EMBREF) !== 0 ? from : from.ext_cnt;
	if (refcnt === null) panic("mb_dupcl: no refcounting pointer");
	to.ext_cnt = refcnt;
	if (refcnt.ext_count !== 1) charge(cost.atomic);
	refcnt.ext_count++;
}

/**
 * Gives up one mbuf's share of its storage; the last sharer frees the storage with the mbuf that holds the count. That mbuf
 * thus outlives its own m_free while others share its cluster: it is in use, but on no chain.
 *
 * @see kern_mbuf.c mb_free_ext
 */
export function mb_free_ext(m: mbuf): void {
	const z = mb_zones();
	const ext = m.m_ext;
	const refcnt = (ext.ext_flags & EXT_FLAG_EMBREF) !== 0 ? ext : ext.ext_cnt;
	if (refcnt === null) panic("mb_free_ext: no refcounting pointer");
	const extref = ext.ext_type === EXT_EXTREF;
	const mref = extref ? null : (refcnt as m_ext).ext_mbuf;
	const freembuf = (m.m_flags & M_NOFREE) === 0;
	if (refcnt.ext_count !== 1) charge(cost.atomic);
	if (refcnt.ext_count <= 0) panic("mb_free_ext: reference count underflow");
	if (--refcnt.ext_count === 0) {
		switch (ext.ext_type) {
			case EXT_PACKET:
				refcnt.ext_count = 1;
				uma_zfree(z.zone_pack, mref);
				break;
			case EXT_CLUSTER:
			case EXT_JUMBOP:
			case EXT_JUMBO9:
			case EXT_JUMBO16:
				uma_zfree(m_getzone(ext.ext_size), ext.ext_buf);
				uma_zfree(z.zone_mbuf, mref);
				break;
			case EXT_SFBUF:
			case EXT_NET_DRV:
			case EXT_MOD_TYPE:
			case EXT_DISPOSABLE:
				if (mref!.m_ext.ext_free === null) panic("mb_free_ext: ext_free not set");
				mref!.m_ext.ext_free(mref!);
				uma_zfree(z.zone_mbuf, mref);
				break;
			case EXT_EXTREF:
				if (ext.ext_free === null) panic("mb_free_ext: ext_free not set");
				ext.ext_free(m);
				break;
			case EXT_RXRING:
				KASSERT(ext.ext_free === null, "mb_free_ext: ext_free is set");
				break;
			default:
				panic("mb_free_ext: unknown ext_type");
		}
	}
	if (freembuf && m !== mref) uma_zfree(z.zone_mbuf, m);
}

/** Frees one mbuf with its tags and its share of a cluster; returns the next of the chain. */
export function m_free(m: mbuf): mbuf | null {
	const n = m.m_next;
	const flags = m.m_flags;
	if ((flags & (M_PKTHDR | M_NOFREE)) === (M_PKTHDR | M_NOFREE)) m_tag_delete_chain(m, null);
	if ((flags & M_EXT) !== 0) mb_free_ext(m);
	else if ((flags & M_NOFREE) === 0) uma_zfree(mb_zones().zone_mbuf, m);
	return n;
}

/** Frees a chain; null is allowed. */
export function m_freem(m: mbuf | null): void {
	while (m !== null) m = m_free(m);
}

/** Starts to follow a packet: gives it a number and the time of its birth. The simulator's own; costs no simulated time. */
export function m_follow(m: mbuf): void {
	m.m_pkthdr.packet_id = ++mb_zones().packet_id;
	m.m_pkthdr.birth_ns = sbinuptime();
}
