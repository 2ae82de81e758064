/** m_pulldown: contiguous bytes anywhere in a chain. @see uipc_mbuf2.c */
import { KASSERT } from "../sched/kernel.ts";
import { charge, cost } from "../sched/thread.ts";
import { m_free, m_freem, m_get, m_getcl, m_gethdr } from "./kern_mbuf.ts";
import { EXT_CLUSTER, M_EXT, M_PKTHDR, MCLBYTES, MINCLSIZE, MLEN } from "./mbuf_flags.ts";
import { type int_ref, M_LEADINGSPACE, M_TRAILINGSPACE, M_WRITABLE, m_not_filler, type mbuf } from "./mbuf_var.ts";
import { copy_payload, m_adj, m_dup_pkthdr, m_put } from "./uipc_mbuf.ts";
import { m_copydata } from "./uipc_mbuf_copy.ts";
import { M_NOWAIT } from "./uma.ts";

/** A copy of part of one mbuf, in one mbuf. */
function m_dup1(m: mbuf, off: number, len: number, how: number): mbuf | null {
	if (len > MCLBYTES) return null;
	const copyhdr = off === 0 && (m.m_flags & M_PKTHDR) !== 0;
	let n: mbuf | null;
	if (len >= MINCLSIZE) n = m_getcl(how, m.m_type, copyhdr ? M_PKTHDR : 0);
	else n = copyhdr ? m_gethdr(how, m.m_type) : m_get(how, m.m_type);
	if (n === null) return null;
	if (copyhdr && !m_dup_pkthdr(n, m, how)) {
		m_free(n);
		return null;
	}
	m_copydata(m, off, len, n.m_buf, n.m_data);
	n.m_len = len;
	return n;
}

/**
 * Makes the `len` bytes from `off` on contiguous, leaving the chain before them alone. Returns the mbuf that holds them;
 * with `offp` they may start anywhere in it, without they start at its m_data. When it fails the chain is freed.
 */
export function m_pulldown(m: mbuf, off: number, len: number, offp: int_ref | null): mbuf | null {
	charge(cost.mbuf_op);
	if (len > MCLBYTES) {
		m_freem(m);
		return null;
	}
	let n: mbuf | null = m;
	while (n !== null && off > 0 && n.m_len <= off) {
		off -= n.m_len;
		n = n.m_next;
	}
	while (n !== null && n.m_len === 0) n = n.m_next;
	if (n === null) {
		m_freem(m);
		return null;
	}
	if (len <= n.m_len - off) {
		if (off === 0 || offp !== null) {
			if (offp !== null) offp.value = off;
			return n;
		}
		const o = m_dup1(n, off, n.m_len - off, M_NOWAIT);
		if (o === null) {
			m_freem(m);
			return null;
		}
		n.m_len = off;
		o.m_next = n.m_next;
		n.m_next = o;
		return o;
	}
	return gather(m, n, off, len, offp);
}

/** The bytes lie in `n` and what follows it: brings them together in one of the two, or in a new mbuf between them. */
function gather(m: mbuf, n: mbuf, off: number, len: number, offp: int_ref | null): mbuf | null {
	const writable = (n.m_flags & M_EXT) === 0 || (n.m_ext.ext_type === EXT_CLUSTER && M_WRITABLE(n));
	const hlen = n.m_len - off;
	const tlen = len - hlen;
	let olen = 0;
	for (let o = n.m_next; o !== null; o = o.m_next) olen += o.m_len;
	const next = n.m_next;
	if (next === null || hlen + olen < len) {
		m_freem(m);
		return null;
	}
	const anywhere = off === 0 || offp !== null;
	if (anywhere && M_TRAILINGSPACE(n) >= tlen && writable) {
		m_not_filler(n, n.m_data + n.m_len, n.m_data + n.m_len + tlen);
		m_copydata(next, 0, tlen, n.m_buf, n.m_data + n.m_len);
		n.m_len += tlen;
		m_adj(next, tlen);
		if (offp !== null) offp.value = off;
		return n;
	}
	if (anywhere && M_LEADINGSPACE(next) >= hlen && writable && next.m_len >= tlen) {
		next.m_data -= hlen;
		next.m_len += hlen;
		m_put(n.m_buf, n.m_data + off, next, next.m_data, hlen);
		n.m_len -= hlen;
		if (offp !== null) offp.value = 0;
		return next;
	}
	const o = len > MLEN ? m_getcl(M_NOWAIT, m.m_type, 0) : m_get(M_NOWAIT, m.m_type);
	if (o === null) {
		m_freem(m);
		return null;
	}
	KASSERT(o.m_next === null, "m_pulldown: new mbuf has a successor");
	copy_payload(n.m_buf, n.m_data + off, o.m_buf, o.m_data, hlen);
	n.m_len -= hlen;
	m_copydata(next, 0, tlen, o.m_buf, o.m_data + hlen);
	o.m_len = len;
	m_adj(next, tlen);
	o.m_next = next;
	n.m_next = o;
	if (offp !== null) offp.value = 0;
	return o;
}
