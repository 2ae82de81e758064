/**
 * Operations that copy data: out of a chain, into it, and chains as a whole, shared or deep.
 *
 * @see uipc_mbuf.c
 */
import { bcopy, bzero } from "../../machine/bcopy.ts";
import { KASSERT } from "../sched/kernel.ts";
import { charge, charge_bytes, cost } from "../sched/thread.ts";
import { m_free, m_freem, m_get, m_getcl, m_gethdr, mb_dupcl } from "./kern_mbuf.ts";
import { M_COPYALL, M_EXT, M_PKTHDR, M_RDONLY, MCLBYTES, MHLEN, MINCLSIZE, MLEN } from "./mbuf_flags.ts";
import { M_ASSERTPKTHDR, M_TRAILINGSPACE, m_last, type mbuf } from "./mbuf_var.ts";
import { copy_payload, m_dup_pkthdr, m_put } from "./uipc_mbuf.ts";
import { M_NOWAIT } from "./uma.ts";

/**
 * A copy of `len` bytes from `off0` on that shares clusters, and so is read-only where it does. M_COPYALL: to the end.
 * null without memory.
 */
export function m_copym(m0: mbuf, off0: number, len: number, how: number): mbuf | null {
	KASSERT(off0 >= 0, "m_copym, negative off");
	KASSERT(len >= 0, "m_copym, negative len");
	charge(cost.mbuf_op);
	let off = off0;
	let copyhdr = off === 0 && (m0.m_flags & M_PKTHDR) !== 0;
	let m: mbuf | null = m0;
	while (off > 0) {
		KASSERT(m !== null, "m_copym, offset > size of mbuf chain");
		if (off < m!.m_len) break;
		off -= m!.m_len;
		m = m!.m_next;
	}
	let top: mbuf | null = null;
	let last: mbuf | null = null;
	while (len > 0) {
		if (m === null) {
			KASSERT(len === M_COPYALL, "m_copym, length > size of mbuf chain");
			break;
		}
		const n: mbuf | null = copyhdr ? m_gethdr(how, m.m_type) : m_get(how, m.m_type);
		if (last === null) top = n;
		else last.m_next = n;
		if (n === null || (copyhdr && !m_dup_pkthdr(n, m, how))) {
			m_freem(top);
			return null;
		}
		if (copyhdr) {
			if (len !== M_COPYALL) n.m_pkthdr.len = len;
			copyhdr = false;
		}
		n.m_len = Math.min(len, m.m_len - off);
		if ((m.m_flags & M_EXT) !== 0) {
			n.m_data = m.m_data + off;
			mb_dupcl(n, m);
		} else copy_payload(m.m_buf, m.m_data + off, n.m_buf, n.m_data, n.m_len);
		if (len !== M_COPYALL) len -= n.m_len;
		off = 0;
		m = m.m_next;
		last = n;
	}
	return top;
}

/** A copy of a whole packet that shares clusters and keeps the room before the first mbuf's data. null without memory. */
export function m_copypacket(m0: mbuf, how: number): mbuf | null {
	charge(cost.mbuf_op);
	let top: mbuf | null = null;
	let last: mbuf | null = null;
	for (let m: mbuf | null = m0; m !== null; m = m.m_next) {
		const n = m_get(how, m.m_type);
		if (last === null) top = n;
		else last.m_next = n;
		if (n === null || (m === m0 && !m_dup_pkthdr(n, m, how))) {
			m_freem(top);
			return null;
		}
		n.m_len = m.m_len;
		if ((m.m_flags & M_EXT) !== 0) {
			n.m_data = m.m_data;
			mb_dupcl(n, m);
		} else {
			if (m === m0) n.m_data = n.m_dat_start + m.m_data - m.m_dat_start;
			copy_payload(m.m_buf, m.m_data, n.m_buf, n.m_data, n.m_len);
		}
		last = n;
	}
	return top;
}

/** Copies `len` bytes from offset `off` of a chain to `cp`, from `at` on. The chain must have them. */
export function m_copydata(m0: mbuf | null, off: number, len: number, cp: Uint8Array, at = 0): void {
	KASSERT(off >= 0, "m_copydata, negative off");
	KASSERT(len >= 0, "m_copydata, negative len");
	charge(cost.mbuf_op);
	let m = m0;
	while (off > 0) {
		KASSERT(m !== null, "m_copydata, offset > size of mbuf chain");
		if (off < m!.m_len) break;
		off -= m!.m_len;
		m = m!.m_next;
	}
	while (len > 0) {
		KASSERT(m !== null, "m_copydata, length > size of mbuf chain");
		const count = Math.min(m!.m_len - off, len);
		copy_payload(m!.m_buf, m!.m_data + off, cp, at, count);
		len -= count;
		at += count;
		off = 0;
		m = m!.m_next;
	}
}

/**
 * m_copydata to the beginning of a new mbuf's data. Filler is charged for and left out, and known of the new mbuf: the first there
 * is, with what goes on right behind it; what else there may be is copied.
 */
export function m_copydata_fresh(m0: mbuf, off: number, len: number, n: mbuf): void {
	charge(cost.mbuf_op);
	let m: mbuf = m0;
	while (off > 0 && off >= m.m_len) {
		off -= m.m_len;
		m = m.m_next!;
	}
	let at = n.m_data;
	const end = at + len;
	for (; at < end; m = m.m_next!, off = 0) {
		const from = m.m_data + off;
		const count = Math.min(m.m_len - off, end - at);
		charge_bytes(count, cost.copy);
		if (m.m_filler === m.m_filler_end) bcopy(m.m_buf, from, n.m_buf, at, count);
		else copy_around_filler(m, from, n, at, count);
		at += count;
	}
}

function copy_around_filler(m: mbuf, from: number, n: mbuf, at: number, count: number): void {
	const filler = Math.min(Math.max(m.m_filler - from, 0), count);
	const filler_end = Math.min(Math.max(m.m_filler_end - from, filler), count);
	if (n.m_filler === n.m_filler_end) n.m_filler = n.m_filler_end = at + filler;
	if (n.m_filler_end === at + filler) {
		bcopy(m.m_buf, from, n.m_buf, at, filler);
		bcopy(m.m_buf, from + filler_end, n.m_buf, at + filler_end, count - filler_end);
		n.m_filler_end = at + filler_end;
	} else bcopy(m.m_buf, from, n.m_buf, at, count);
}

/** A deep, writable copy of a packet. null without memory; the original is untouched. */
export function m_dup(m0: mbuf | null, how: number): mbuf | null {
	if (m0 === null) return null;
	M_ASSERTPKTHDR(m0, "m_dup");
	charge(cost.mbuf_op);
	let m: mbuf | null = m0;
	let remain = m0.m_pkthdr.len;
	let moff = 0;
	let top: mbuf | null = null;
	let last: mbuf | null = null;
	while (remain > 0 || top === null) {
		const clustered = remain >= MINCLSIZE;
		const n: mbuf | null = clustered ? m_getcl(how, m0.m_type, 0) : m_get(how, m0.m_type);
		if (n === null) {
			m_freem(top);
			return null;
		}
		let nsize = clustered ? MCLBYTES : MLEN;
		if (last === null) {
			if (!m_dup_pkthdr(n, m0, how)) {
				m_free(n);
				return null;
			}
			if (!clustered) nsize = MHLEN;
			n.m_flags &= ~M_RDONLY;
			top = n;
		} else last.m_next = n;
		n.m_len = 0;
		last = n;
		while (n.m_len < nsize && m !== null) {
			const chunk = Math.min(nsize - n.m_len, m.m_len - moff);
			copy_payload(m.m_buf, m.m_data + moff, n.m_buf, n.m_data + n.m_len, chunk);
			moff += chunk;
			n.m_len += chunk;
			remain -= chunk;
			if (moff === m.m_len) {
				m = m.m_next;
				moff = 0;
			}
		}
		KASSERT((remain > 0 && m !== null) || (remain === 0 && m === null), "m_dup: bogus m_pkthdr.len");
	}
	return top;
}

/**
 * Writes `len` bytes at offset `off`, making the chain longer, with zeroes in a gap, if need be. Writes shared storage too,
 * and without memory silently stops short.
 */
export function m_copyback(m0: mbuf | null, off: number, len: number, cp: Uint8Array, at = 0): void {
	if (m0 === null) return;
	charge(cost.mbuf_op);
	const totlen = copyback(m0, off, len, cp, at);
	if ((m0.m_flags & M_PKTHDR) !== 0 && m0.m_pkthdr.len < totlen) m0.m_pkthdr.len = totlen;
}

/** Does m_copyback's work; returns how far into the chain it got. */
function copyback(m: mbuf, off: number, len: number, cp: Uint8Array, at: number): number {
	let totlen = 0;
	while (off > m.m_len) {
		off -= m.m_len;
		totlen += m.m_len;
		if (m.m_next === null) {
			const n = m_get(M_NOWAIT, m.m_type);
			if (n === null) return totlen;
			charge_bytes(MLEN, cost.copy);
			bzero(n.m_buf, n.m_data, MLEN);
			n.m_len = Math.min(MLEN, len + off);
			m.m_next = n;
		}
		m = m.m_next;
	}
	while (len > 0) {
		if (m.m_next === null && len > m.m_len - off) m.m_len += Math.min(len - (m.m_len - off), M_TRAILINGSPACE(m));
		const mlen = Math.min(m.m_len - off, len);
		m_put(cp, at, m, m.m_data + off, mlen);
		at += mlen;
		len -= mlen;
		totlen += mlen + off;
		off = 0;
		if (len === 0) break;
		if (m.m_next === null) {
			const n = m_get(M_NOWAIT, m.m_type);
			if (n === null) break;
			n.m_len = Math.min(MLEN, len);
			m.m_next = n;
		}
		m = m.m_next;
	}
	return totlen;
}

/** Appends `len` bytes. 1: done; 0: memory ran out, and what fitted stays appended. */
export function m_append(m0: mbuf, len: number, cp: Uint8Array, at = 0): number {
	charge(cost.mbuf_op);
	let m = m_last(m0);
	let remainder = len;
	const space = Math.min(M_TRAILINGSPACE(m), remainder);
	if (space > 0) {
		m_put(cp, at, m, m.m_data + m.m_len, space);
		m.m_len += space;
		at += space;
		remainder -= space;
	}
	while (remainder > 0) {
		const n = m_get(M_NOWAIT, m.m_type);
		if (n === null) break;
		n.m_len = Math.min(MLEN, remainder);
		copy_payload(cp, at, n.m_buf, n.m_data, n.m_len);
		at += n.m_len;
		remainder -= n.m_len;
		m.m_next = n;
		m = n;
	}
	if ((m0.m_flags & M_PKTHDR) !== 0) m0.m_pkthdr.len += len - remainder;
	return remainder === 0 ? 1 : 0;
}

/** Calls `f` on each contiguous piece of `len` bytes from `off` on, until it returns an error. */
export function m_apply<A>(
	m0: mbuf | null,
	off: number,
	len: number,
	f: (arg: A, buf: Uint8Array, start: number, count: number) => number,
	arg: A,
): number {
	KASSERT(off >= 0, "m_apply, negative off");
	KASSERT(len >= 0, "m_apply, negative len");
	charge(cost.mbuf_op);
	let m = m0;
	while (off > 0) {
		KASSERT(m !== null, "m_apply, offset > size of mbuf chain");
		if (off < m!.m_len) break;
		off -= m!.m_len;
		m = m!.m_next;
	}
	while (len > 0) {
		KASSERT(m !== null, "m_apply, length > size of mbuf chain");
		const count = Math.min(m!.m_len - off, len);
		const error = f(arg, m!.m_buf, m!.m_data + off, count);
		if (error !== 0) return error;
		len -= count;
		off = 0;
		m = m!.m_next;
	}
	return 0;
}
