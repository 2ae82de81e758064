/**
 * Packet tags: annotations that travel with a packet's header.
 *
 * In C a tag's data lies behind the tag; here it is the field m_tag_data, a number, a reference, or an array of bytes. Copying
 * a tag copies bytes and numbers, and shares what is referred to, as copying a pointer would. Tag objects are used again,
 * because tunnels tag every packet.
 *
 * @see uipc_mbuf2.c, sys/mbuf.h
 */
import { Spares } from "../../machine/spares.ts";
import { KASSERT, KERNEL_GLOBAL } from "../sched/kernel.ts";
import { charge, cost } from "../sched/thread.ts";
import { free_account, MALLOC_DEFINE, malloc_account } from "./malloc.ts";
import { MTAG_ABI_COMPAT, MTAG_PERSISTENT } from "./mbuf_flags.ts";
import { m_tag, type mbuf } from "./mbuf_var.ts";

export const M_PACKET_TAGS = MALLOC_DEFINE("tag", "packet-attached information");

/** sizeof(struct m_tag) */
const M_TAG_SIZE = 24;

const spare_tags = KERNEL_GLOBAL(() => new Spares(() => new m_tag()));

export function m_tag_init(m: mbuf): void {
	m.m_pkthdr.tags = null;
}

/** Fills in a tag that is part of something larger; the caller sets m_tag_free. */
export function m_tag_setup(t: m_tag, cookie: number, type: number, len: number): void {
	t.m_tag_id = type;
	t.m_tag_len = len;
	t.m_tag_cookie = cookie;
}

/** Makes a tag for `len` bytes of data, which the caller puts into m_tag_data. @see uipc_mbuf2.c m_tag_alloc */
export function m_tag_alloc(cookie: number, type: number, len: number, how: number): m_tag | null {
	if (len < 0) return null;
	if (!malloc_account(M_PACKET_TAGS, len + M_TAG_SIZE, how)) return null;
	const t = spare_tags().take();
	m_tag_setup(t, cookie, type, len);
	t.m_tag_link = null;
	t.m_tag_free = m_tag_free_default;
	return t;
}

export function m_tag_get(type: number, len: number, how: number): m_tag | null {
	return m_tag_alloc(MTAG_ABI_COMPAT, type, len, how);
}

/** What m_tag_free does unless a tag's owner says otherwise. */
export function m_tag_free_default(t: m_tag): void {
	KASSERT(t.m_tag_free !== null, "m_tag_free_default: freeing free tag");
	free_account(M_PACKET_TAGS, t.m_tag_len + M_TAG_SIZE);
	t.m_tag_data = null;
	t.m_tag_free = null;
	spare_tags().give(t);
}

/** Gives up a tag that hangs on no packet. */
export function m_tag_free(t: m_tag): void {
	t.m_tag_free!(t);
}

export function m_tag_first(m: mbuf): m_tag | null {
	return m.m_pkthdr.tags;
}

export function m_tag_next(_m: mbuf, t: m_tag): m_tag | null {
	return t.m_tag_link;
}

export function m_tag_prepend(m: mbuf, t: m_tag): void {
	t.m_tag_link = m.m_pkthdr.tags;
	m.m_pkthdr.tags = t;
}

export function m_tag_unlink(m: mbuf, t: m_tag): void {
	let p = m.m_pkthdr.tags;
	if (p === t) {
		m.m_pkthdr.tags = t.m_tag_link;
		t.m_tag_link = null;
		return;
	}
	while (p !== null && p.m_tag_link !== t) p = p.m_tag_link;
	KASSERT(p !== null, "m_tag_unlink: tag not on this packet");
	p!.m_tag_link = t.m_tag_link;
	t.m_tag_link = null;
}

/** Unlinks a tag and frees it. */
export function m_tag_delete(m: mbuf, t: m_tag): void {
	m_tag_unlink(m, t);
	m_tag_free(t);
}

/** Deletes the tags from `t` on, or all. */
export function m_tag_delete_chain(m: mbuf, t: m_tag | null): void {
	let p = t ?? m.m_pkthdr.tags;
	while (p !== null) {
		const next: m_tag | null = p.m_tag_link;
		m_tag_delete(m, p);
		p = next;
	}
}

/** Deletes the tags that do not survive an interface. */
export function m_tag_delete_nonpersistent(m: mbuf): void {
	let p = m.m_pkthdr.tags;
	while (p !== null) {
		const next: m_tag | null = p.m_tag_link;
		if ((p.m_tag_id & MTAG_PERSISTENT) === 0) m_tag_delete(m, p);
		p = next;
	}
}

/** First tag of this kind after `t`, or from the beginning. */
export function m_tag_locate(m: mbuf, cookie: number, type: number, t: m_tag | null): m_tag | null {
	charge(cost.mbuf_op);
	let p = t === null ? m.m_pkthdr.tags : t.m_tag_link;
	while (p !== null && (p.m_tag_cookie !== cookie || p.m_tag_id !== type)) p = p.m_tag_link;
	return p;
}

export function m_tag_find(m: mbuf, type: number, start: m_tag | null): m_tag | null {
	return m.m_pkthdr.tags === null ? null : m_tag_locate(m, MTAG_ABI_COMPAT, type, start);
}

/** A tag like `t`, on no packet yet. */
export function m_tag_copy(t: m_tag, how: number): m_tag | null {
	const p = m_tag_alloc(t.m_tag_cookie, t.m_tag_id, t.m_tag_len, how);
	if (p === null) return null;
	p.m_tag_data = t.m_tag_data instanceof Uint8Array ? t.m_tag_data.slice() : t.m_tag_data;
	return p;
}

/** Replaces the tags of `to` by copies of `from`'s, in order. 0: no memory, and `to` has none left; 1: done. */
export function m_tag_copy_chain(to: mbuf, from: mbuf, how: number): number {
	m_tag_delete_chain(to, null);
	let last: m_tag | null = null;
	for (let p = from.m_pkthdr.tags; p !== null; p = p.m_tag_link) {
		const t = m_tag_copy(p, how);
		if (t === null) {
			m_tag_delete_chain(to, null);
			return 0;
		}
		if (last === null) to.m_pkthdr.tags = t;
		else last.m_tag_link = t;
		last = t;
	}
	return 1;
}
