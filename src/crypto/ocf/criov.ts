/**
 * Walking the data of a request: cursors over flat memory and mbuf chains, and copying in and out at a position.
 *
 * A cursor points into a segment, a piece of contiguous memory. What C returns as a pointer is the pair of `cc_buf`, the storage,
 * and `cc_offset`, the position in it; moving over an mbuf's end steps to the next mbuf, and past the last one leaves no segment.
 *
 * @see opencrypto/criov.c
 */

import type { Errno } from "../../kernel/errno.ts";
import { M_EXTPG, M_PKTHDR, type mbuf } from "../../kernel/mbuf/mbuf.ts";
import { KASSERT, MPASS, panic } from "../../kernel/sched/kernel.ts";
import { bcopy } from "../../machine/bcopy.ts";
import {
	CRYPTO_BUF_CONTIG,
	CRYPTO_BUF_MBUF,
	CRYPTO_BUF_NONE,
	CRYPTO_F_IV_SEPARATE,
	CRYPTO_HAS_OUTPUT_BUFFER,
	type crypto_buffer,
	type cryptop,
} from "./cryptodev.ts";

export class crypto_buffer_cursor {
	cc_type = CRYPTO_BUF_NONE;
	/** storage of the segment; null past the end of a chain */
	cc_buf: Uint8Array | null = null;
	/** next byte of the segment in cc_buf */
	cc_offset = 0;
	/** bytes left in the segment */
	cc_len = 0;
	cc_mbuf: mbuf | null = null;
}

/** Total length of a buffer. @see crypto.c crypto_buffer_len */
export function crypto_buffer_len(cb: crypto_buffer): number {
	if (cb.cb_type === CRYPTO_BUF_CONTIG) return cb.cb_buf_len;
	if (cb.cb_type !== CRYPTO_BUF_MBUF) return 0;
	const m = cb.cb_mbuf!;
	if ((m.m_flags & M_PKTHDR) !== 0) return m.m_pkthdr.len;
	let len = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) len += n.m_len;
	return len;
}

function cursor_enter_mbuf(cc: crypto_buffer_cursor, m: mbuf | null): void {
	cc.cc_mbuf = m;
	if (m === null) {
		cc.cc_buf = null;
		cc.cc_offset = 0;
		cc.cc_len = 0;
		return;
	}
	KASSERT((m.m_flags & M_EXTPG) === 0, "crypto_cursor: not supported for unmapped mbufs");
	cc.cc_buf = m.m_buf;
	cc.cc_offset = m.m_data;
	cc.cc_len = m.m_len;
}

/** Puts a cursor on the first byte of a buffer. @see criov.c crypto_cursor_init */
export function crypto_cursor_init(cc: crypto_buffer_cursor, cb: crypto_buffer): void {
	if (cb.cb_type === CRYPTO_BUF_MBUF) {
		crypto_cursor_init_mbuf(cc, cb.cb_mbuf!);
	} else if (cb.cb_type === CRYPTO_BUF_CONTIG) {
		cc.cc_type = CRYPTO_BUF_CONTIG;
		cc.cc_buf = cb.cb_buf;
		cc.cc_offset = 0;
		cc.cc_len = cb.cb_buf_len;
		cc.cc_mbuf = null;
	} else {
		panic(`crypto_cursor_init: invalid buffer type ${cb.cb_type}`);
	}
}

/** Puts a cursor on the first byte of a chain that is not part of a request. */
export function crypto_cursor_init_mbuf(cc: crypto_buffer_cursor, m: mbuf): void {
	cc.cc_type = CRYPTO_BUF_MBUF;
	cursor_enter_mbuf(cc, m);
}

/** Structure assignment: `to` points where `from` does. */
export function crypto_cursor_assign(to: crypto_buffer_cursor, from: crypto_buffer_cursor): void {
	to.cc_type = from.cc_type;
	to.cc_buf = from.cc_buf;
	to.cc_offset = from.cc_offset;
	to.cc_len = from.cc_len;
	to.cc_mbuf = from.cc_mbuf;
}

/** Moves forward. At the end of an mbuf it goes on to the next. @see criov.c crypto_cursor_advance */
export function crypto_cursor_advance(cc: crypto_buffer_cursor, amount: number): void {
	if (cc.cc_type === CRYPTO_BUF_CONTIG) {
		MPASS(cc.cc_len >= amount, "cc->cc_buf_len >= amount");
		cc.cc_offset += amount;
		cc.cc_len -= amount;
		return;
	}
	while (amount >= cc.cc_len) {
		KASSERT(cc.cc_mbuf !== null, "crypto_cursor_advance: past the end of the chain");
		amount -= cc.cc_len;
		cursor_enter_mbuf(cc, cc.cc_mbuf!.m_next);
		if (amount === 0) return;
	}
	cc.cc_offset += amount;
	cc.cc_len -= amount;
}

/** Bytes from the cursor to the end of its segment. @see criov.c crypto_cursor_seglen */
export function crypto_cursor_seglen(cc: crypto_buffer_cursor): number {
	return cc.cc_len;
}

/** Copies `size` bytes at `src[off]` to the cursor and moves it behind them. @see criov.c crypto_cursor_copyback */
export function crypto_cursor_copyback(cc: crypto_buffer_cursor, size: number, src: Uint8Array, off: number): void {
	while (size > 0) {
		KASSERT(cc.cc_buf !== null, "crypto_cursor_copyback: past the end of the buffer");
		const todo = Math.min(size, cc.cc_len);
		bcopy(src, off, cc.cc_buf!, cc.cc_offset, todo);
		off += todo;
		size -= todo;
		crypto_cursor_advance(cc, todo);
	}
}

/** Copies `size` bytes from the cursor to `dst[off]` and moves it behind them. @see criov.c crypto_cursor_copydata */
export function crypto_cursor_copydata(cc: crypto_buffer_cursor, size: number, dst: Uint8Array, off: number): void {
	while (size > 0) {
		KASSERT(cc.cc_buf !== null, "crypto_cursor_copydata: past the end of the buffer");
		const todo = Math.min(size, cc.cc_len);
		bcopy(cc.cc_buf!, cc.cc_offset, dst, off, todo);
		off += todo;
		size -= todo;
		crypto_cursor_advance(cc, todo);
	}
}

function buffer_copyback(cb: crypto_buffer, pos: number, size: number, src: Uint8Array): void {
	if (cb.cb_type === CRYPTO_BUF_CONTIG) {
		MPASS(pos + size <= cb.cb_buf_len, "off + size <= cb_buf_len");
		bcopy(src, 0, cb.cb_buf!, pos, size);
		return;
	}
	let off = 0;
	for (let m = cb.cb_mbuf; size > 0; m = m.m_next) {
		if (m === null) panic("crypto_copyback: past the end of the chain");
		if (pos >= m.m_len) {
			pos -= m.m_len;
			continue;
		}
		const todo = Math.min(size, m.m_len - pos);
		bcopy(src, off, m.m_buf, m.m_data + pos, todo);
		off += todo;
		size -= todo;
		pos = 0;
	}
}

/** Writes to a position of the request's output: its own buffer if it has one. @see criov.c crypto_copyback */
export function crypto_copyback(crp: cryptop, pos: number, size: number, src: Uint8Array): void {
	buffer_copyback(CRYPTO_HAS_OUTPUT_BUFFER(crp) ? crp.crp_obuf : crp.crp_buf, pos, size, src);
}

/** Reads from a position of the request's input. @see criov.c crypto_copydata */
export function crypto_copydata(crp: cryptop, pos: number, size: number, dst: Uint8Array): void {
	const cb = crp.crp_buf;
	if (cb.cb_type === CRYPTO_BUF_CONTIG) {
		MPASS(pos + size <= cb.cb_buf_len, "off + size <= cb_buf_len");
		bcopy(cb.cb_buf!, pos, dst, 0, size);
		return;
	}
	let off = 0;
	for (let m = cb.cb_mbuf; size > 0; m = m.m_next) {
		if (m === null) panic("crypto_copydata: past the end of the chain");
		if (pos >= m.m_len) {
			pos -= m.m_len;
			continue;
		}
		const todo = Math.min(size, m.m_len - pos);
		bcopy(m.m_buf, m.m_data + pos, dst, off, todo);
		off += todo;
		size -= todo;
		pos = 0;
	}
}

/** The request's IV, wherever it is. @see cryptodev.h crypto_read_iv */
export function crypto_read_iv(crp: cryptop, iv: Uint8Array): void {
	const ivlen = crp.crp_session!.csp.csp_ivlen;
	if ((crp.crp_flags & CRYPTO_F_IV_SEPARATE) !== 0) bcopy(crp.crp_iv, 0, iv, 0, ivlen);
	else crypto_copydata(crp, crp.crp_iv_start, ivlen, iv);
}

/**
 * Calls `f` for every piece of `len` bytes at a position of a buffer, until it returns an error.
 *
 * @see criov.c crypto_apply_buf
 */
export function crypto_apply_buf<A>(
	cb: crypto_buffer,
	pos: number,
	len: number,
	f: (arg: A, buf: Uint8Array, off: number, len: number) => Errno,
	arg: A,
): Errno {
	if (cb.cb_type === CRYPTO_BUF_CONTIG) {
		MPASS(pos + len <= cb.cb_buf_len, "off + len <= cb_buf_len");
		return f(arg, cb.cb_buf!, pos, len);
	}
	for (let m = cb.cb_mbuf; len > 0; m = m.m_next) {
		if (m === null) panic("crypto_apply: past the end of the chain");
		if (pos >= m.m_len) {
			pos -= m.m_len;
			continue;
		}
		const todo = Math.min(len, m.m_len - pos);
		const error = f(arg, m.m_buf, m.m_data + pos, todo);
		if (error !== 0) return error;
		len -= todo;
		pos = 0;
	}
	return 0;
}

/** The same for the request's input. @see criov.c crypto_apply */
export function crypto_apply<A>(
	crp: cryptop,
	pos: number,
	len: number,
	f: (arg: A, buf: Uint8Array, off: number, len: number) => Errno,
	arg: A,
): Errno {
	return crypto_apply_buf(crp.crp_buf, pos, len, f, arg);
}
