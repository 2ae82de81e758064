/** A queue of packets, linked through m_nextpkt, perhaps with a limit. The caller locks it. @see sys/mbuf.h struct mbufq */
import { ENOBUFS, type Errno } from "../errno.ts";
import { m_freem } from "./kern_mbuf.ts";
import type { mbuf } from "./mbuf_var.ts";

export class mbufq {
	mq_first: mbuf | null = null;
	mq_last: mbuf | null = null;
	mq_len = 0;
	/** 0: no limit */
	mq_maxlen = 0;
}

export function mbufq_init(mq: mbufq, maxlen: number): void {
	mq.mq_first = null;
	mq.mq_last = null;
	mq.mq_len = 0;
	mq.mq_maxlen = maxlen;
}

/** Empties the queue without freeing anything: the packets come back linked through m_nextpkt. */
export function mbufq_flush(mq: mbufq): mbuf | null {
	const m = mq.mq_first;
	mq.mq_first = null;
	mq.mq_last = null;
	mq.mq_len = 0;
	return m;
}

/** Frees every packet. */
export function mbufq_drain(mq: mbufq): void {
	let m = mbufq_flush(mq);
	while (m !== null) {
		const next: mbuf | null = m.m_nextpkt;
		m.m_nextpkt = null;
		m_freem(m);
		m = next;
	}
}

export function mbufq_first(mq: mbufq): mbuf | null {
	return mq.mq_first;
}

export function mbufq_last(mq: mbufq): mbuf | null {
	return mq.mq_last;
}

export function mbufq_full(mq: mbufq): boolean {
	return mq.mq_maxlen > 0 && mq.mq_len >= mq.mq_maxlen;
}

export function mbufq_len(mq: mbufq): number {
	return mq.mq_len;
}

/** Adds a packet at the end; ENOBUFS when the queue is full, and the packet stays the caller's. */
export function mbufq_enqueue(mq: mbufq, m: mbuf): Errno {
	if (mbufq_full(mq)) return ENOBUFS;
	m.m_nextpkt = null;
	if (mq.mq_last === null) mq.mq_first = m;
	else mq.mq_last.m_nextpkt = m;
	mq.mq_last = m;
	mq.mq_len++;
	return 0;
}

export function mbufq_dequeue(mq: mbufq): mbuf | null {
	const m = mq.mq_first;
	if (m === null) return null;
	mq.mq_first = m.m_nextpkt;
	if (mq.mq_first === null) mq.mq_last = null;
	m.m_nextpkt = null;
	mq.mq_len--;
	return m;
}

/** Adds a packet in front, whatever the limit. */
export function mbufq_prepend(mq: mbufq, m: mbuf): void {
	m.m_nextpkt = mq.mq_first;
	mq.mq_first = m;
	if (mq.mq_last === null) mq.mq_last = m;
	mq.mq_len++;
}

/** Moves all of `src` to the end of `dst`, whatever the limit. */
export function mbufq_concat(dst: mbufq, src: mbufq): void {
	if (src.mq_first === null) return;
	if (dst.mq_last === null) dst.mq_first = src.mq_first;
	else dst.mq_last.m_nextpkt = src.mq_first;
	dst.mq_last = src.mq_last;
	dst.mq_len += src.mq_len;
	mbufq_flush(src);
}
