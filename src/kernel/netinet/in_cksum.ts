/**
 * The Internet checksum, over bytes, chains and pseudo headers.
 *
 * Sums are of 16-bit words in network order, and kept folded. Packets are added up 32 bits at a time (machine/words.ts); that
 * works in either byte order, because the sum of swapped words is the swapped sum (RFC 1071, section 2B).
 *
 * In cost-only mode packets have no payload worth summing. There a sum over more than a maximum IP header, that is, over
 * a transport payload, is charged but not made, and counts as 0: "correct" to whoever verifies, and what a sender then
 * stores is not looked at. IP header sums, and those of segments without payload, are real in either mode.
 *
 * @see sys/amd64/amd64/in_cksum.c, netinet6/in6_cksum.c, ip_output.c in_delayed_cksum, RFC 1071
 */
import { words_of } from "../../machine/words.ts";
import { CSUM_UDP, m_copyback, m_copydata, type mbuf } from "../mbuf/mbuf.ts";
import { cost_only, KASSERT } from "../sched/kernel.ts";
import { charge_bytes, cost } from "../sched/thread.ts";
import { IPPROTO_UDP, in_get16, in_put16 } from "./in.ts";

/** longest run summed in cost-only mode: a header with all options */
const COST_ONLY_LIMIT = 60;

/** in_sum, byte by byte. */
function in_sum_bytes(buf: Uint8Array, off: number, end: number): number {
	let sum = 0;
	let i = off;
	for (; i + 1 < end; i += 2) sum += (buf[i] << 8) | buf[i + 1];
	if (i < end) sum += buf[i] << 8;
	return fold(sum);
}

/** Folds carries back in until 16 bits are left. */
function fold(sum: number): number {
	sum = (sum & 0xffff) + Math.floor(sum / 65536);
	sum = (sum & 0xffff) + (sum >>> 16);
	return (sum & 0xffff) + (sum >>> 16);
}

function swap(sum: number): number {
	return ((sum & 0xff) << 8) | (sum >>> 8);
}

/** The folded sum of `len` bytes, the first of which is the high half of a word. */
export function in_sum(buf: Uint8Array, off: number, len: number): number {
	const end = off + len;
	const view = words_of(buf);
	if (view === null) return in_sum_bytes(buf, off, end);
	// of 32-bit words their sum, without its carries, and that of their upper halves
	let words = 0;
	let high = 0;
	let i = off;
	for (; i <= end - 16; i += 16) {
		const a = view.getInt32(i, true);
		const b = view.getInt32(i + 4, true);
		const c = view.getInt32(i + 8, true);
		const d = view.getInt32(i + 12, true);
		words = (words + a + b + c + d) | 0;
		high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
	}
	for (; i <= end - 4; i += 4) {
		const a = view.getInt32(i, true);
		words = (words + a) | 0;
		high = (high + (a >>> 16)) | 0;
	}
	let rest = 0;
	for (; i < end; i++) rest += ((i - off) & 1) === 0 ? buf[i] : buf[i] << 8;
	// up to 128 kB the lower halves add up to less than 2^32, so the carries are not missed
	const low = (words - (high << 16)) >>> 0;
	return swap(fold(rest + low + high));
}

/** in_sum as a card makes it, of what need not be looked at in cost-only mode: then null. Nothing is charged. */
export function in_sum_payload(buf: Uint8Array, off: number, len: number): number | null {
	return len > COST_ONLY_LIMIT && cost_only() ? null : in_sum(buf, off, len);
}

/** The folded sum of `len` bytes of a chain from byte `skip` on. */
function chain_sum(m: mbuf, skip: number, len: number): number {
	let n: mbuf | null = m;
	while (n !== null && skip >= n.m_len) {
		skip -= n.m_len;
		n = n.m_next;
	}
	let sum = 0;
	let odd = false;
	while (len > 0) {
		KASSERT(n !== null, `in_cksum: out of data by ${len}`);
		const mb: mbuf = n!;
		const take = Math.min(mb.m_len - skip, len);
		if (take > 0) {
			const part = in_sum(mb.m_buf, mb.m_data + skip, take);
			sum += odd ? swap(part) : part;
			if ((take & 1) !== 0) odd = !odd;
			len -= take;
		}
		skip = 0;
		n = mb.m_next;
	}
	return fold(sum);
}

/** Checksum of bytes `skip` to `len` of a chain, complemented. @see in_cksum_skip */
export function in_cksum_skip(m: mbuf, len: number, skip: number): number {
	len -= skip;
	charge_bytes(len, cost.in_cksum);
	if (len > COST_ONLY_LIMIT && cost_only()) return 0;
	return ~chain_sum(m, skip, len) & 0xffff;
}

/** Checksum of the first `len` bytes of a chain, complemented: 0 if a checksum among them is right. */
export function in_cksum(m: mbuf, len: number): number {
	return in_cksum_skip(m, len, 0);
}

/** Checksum of a 20-byte IP header at `off`. */
export function in_cksum_hdr(buf: Uint8Array, off: number): number {
	charge_bytes(20, cost.in_cksum);
	return ~in_sum(buf, off, 20) & 0xffff;
}

/** Adds two folded sums. */
export function in_addword(sum: number, b: number): number {
	return fold(sum + b);
}

/** The folded sum of a pseudo header: two addresses and, added up, protocol and length (and a partial sum). */
export function in_pseudo(a: number, b: number, c: number): number {
	return fold((a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff) + Math.floor(c / 65536) + (c & 0xffff));
}

/** The folded sum of the IPv6 pseudo header of the packet whose header is at `off`. @see in6_cksum.c in6_cksum_pseudo */
export function in6_cksum_pseudo(buf: Uint8Array, off: number, len: number, nxt: number, csum: number): number {
	let sum = csum + (len >>> 16) + (len & 0xffff) + nxt;
	for (let i = off + 8; i < off + 40; i += 2) sum += (buf[i] << 8) | buf[i + 1];
	// a zone embedded in a link-local address is not on the wire, and not in the sum
	if (embedded(buf, off + 8)) sum -= in_get16(buf, off + 10);
	if (embedded(buf, off + 24)) sum -= in_get16(buf, off + 26);
	return fold(sum);
}

function embedded(buf: Uint8Array, off: number): boolean {
	const first = buf[off];
	if (first === 0xfe) return (buf[off + 1] & 0xc0) === 0x80;
	return first === 0xff && ((buf[off + 1] & 0x0f) === 1 || (buf[off + 1] & 0x0f) === 2);
}

/** Checksum of an upper-layer packet behind an IPv6 header at the chain's start, complemented. @see in6_cksum.c in6_cksum */
export function in6_cksum(m: mbuf, nxt: number, off: number, len: number): number {
	charge_bytes(len + 40, cost.in_cksum);
	if (len > COST_ONLY_LIMIT && cost_only()) return 0;
	const pseudo = in6_cksum_pseudo(m.m_buf, m.m_data, len, nxt, 0);
	return ~fold(pseudo + chain_sum(m, off, len)) & 0xffff;
}

/** Writes a 16-bit word into a chain. */
function put16_at(m: mbuf, off: number, value: number): void {
	if (off + 2 <= m.m_len) {
		in_put16(m.m_buf, m.m_data + off, value);
		return;
	}
	const word = new Uint8Array(2);
	in_put16(word, 0, value);
	m_copyback(m, off, 2, word);
}

function get16_at(m: mbuf, off: number): number {
	if (off + 2 <= m.m_len) return in_get16(m.m_buf, m.m_data + off);
	const word = new Uint8Array(2);
	m_copydata(m, off, 2, word);
	return in_get16(word, 0);
}

/** Completes a transport checksum that was left to the interface. The field has the sum of the pseudo header. */
export function in_delayed_cksum(m: mbuf): void {
	const buf = m.m_buf;
	const ip = m.m_data;
	const offset = (buf[ip] & 0x0f) << 2;
	let csum: number;
	if ((m.m_pkthdr.csum_flags & CSUM_UDP) !== 0) {
		csum = in_cksum_skip(m, get16_at(m, offset + 4) + offset, offset);
		if (csum === 0) csum = 0xffff;
	} else csum = in_cksum_skip(m, in_get16(buf, ip + 2), offset);
	put16_at(m, offset + m.m_pkthdr.csum_data, csum);
}

/** The same behind IPv6 headers; `plen` is the length behind them. @see ip6_output.c in6_delayed_cksum */
export function in6_delayed_cksum(m: mbuf, plen: number, offset: number): void {
	let csum = in_cksum_skip(m, offset + plen, offset);
	if (csum === 0 && m.m_buf[m.m_data + 6] === IPPROTO_UDP) csum = 0xffff;
	put16_at(m, offset + m.m_pkthdr.csum_data, csum);
}
