/** Every chain operation against a flat array of bytes, with every allocation failing once, and nothing leaked. */
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import {
	int_ref,
	M_COPYALL,
	M_EXT,
	M_LEADINGSPACE,
	M_NOWAIT,
	M_PKTHDR,
	M_PREPEND,
	M_TRAILINGSPACE,
	M_WAITOK,
	M_WRITABLE,
	MCLBYTES,
	MHLEN,
	MLEN,
	MT_DATA,
	m_adj,
	m_append,
	m_apply,
	m_cat,
	m_catpkt,
	m_collapse,
	m_copyback,
	m_copydata,
	m_copym,
	m_copypacket,
	m_copyup,
	m_defrag,
	m_dup,
	m_freem,
	m_get,
	m_getcl,
	m_gethdr,
	m_getptr,
	m_last,
	m_length,
	m_pulldown,
	m_pullup,
	m_sanity,
	m_split,
	m_unshare,
	max_protohdr,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import {
	boot,
	build,
	bytesOf,
	type Chain,
	countMbufs,
	eachFailure,
	expectChain,
	finish,
	pattern,
	segments,
	withFailure,
} from "./support.ts";

beforeEach(() => {
	boot();
});

const runs = { numRuns: 150 };

/** Runs a property over chains, then once more for each allocation the operation makes, with that one failing. */
function property(name: string, body: (c: Chain, x: number, y: number, fail: number) => boolean): void {
	test(name, () => {
		fc.assert(
			fc.property(segments(), fc.boolean(), fc.nat(1_000_000), fc.nat(1_000_000), (spec, hdr, x, y) => {
				boot();
				body(build(spec, hdr), x, y, -1);
				eachFailure((n) => body(build(spec, hdr), x, y, n));
			}),
			runs,
		);
	});
}

const isPacket = (c: Chain): boolean => (c.m.m_flags & M_PKTHDR) !== 0;

describe("headers and room", () => {
	property("M_PREPEND adds room in front, or frees the chain", (c, x, _y, fail) => {
		const len = x % 120;
		const { result: m, failed } = withFailure(fail, () => M_PREPEND(c.m, len, M_NOWAIT));
		if (failed) expect(m).toBeNull();
		else {
			const added = pattern(len, 99);
			m!.m_buf.set(added, m!.m_data);
			expectChain(m, Buffer.concat([added, c.bytes]));
		}
		finish(c, m);
		return failed;
	});

	test("M_PREPEND keeps 56 bytes of room when a header moves into a plain mbuf", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m.m_len = m.m_pkthdr.len = 10;
		const p = M_PREPEND(m, 20, M_NOWAIT)!;
		expect(p).not.toBe(m);
		expect(p.m_next).toBe(m);
		expect(p.m_data - p.m_dat_start).toBe(56 + ((MHLEN - 20) & ~7));
		expect(m.m_flags & M_PKTHDR).toBe(0);
		expect(M_LEADINGSPACE(m)).toBe(56);
		expect(p.m_pkthdr.len).toBe(30);
		m_freem(p);
	});

	test("no room where nobody may write", () => {
		const m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)!;
		m.m_data += 100;
		m.m_len = m.m_pkthdr.len = 50;
		expect([M_LEADINGSPACE(m), M_TRAILINGSPACE(m)]).toEqual([100, MCLBYTES - 150]);
		const n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
		expect([M_LEADINGSPACE(m), M_TRAILINGSPACE(m), M_WRITABLE(m)]).toEqual([0, 0, false]);
		m_freem(n);
		expect(M_LEADINGSPACE(m)).toBe(100);
		m_freem(m);
	});
});

describe("trimming and joining", () => {
	property("m_adj drops from either end, and clamps", (c, x, y, _fail) => {
		const n = x % (c.bytes.length + 20);
		const head = y % 2 === 0;
		m_adj(c.m, head ? n : -n);
		expectChain(c.m, head ? c.bytes.subarray(n) : c.bytes.subarray(0, Math.max(c.bytes.length - n, 0)));
		finish(c, c.m);
		return false;
	});

	test("m_adj leaves emptied mbufs at the head, and frees none at the tail if the last one suffices", () => {
		const c = build(
			[
				{ kind: "mbuf", lead: 0, len: 10 },
				{ kind: "mbuf", lead: 0, len: 10 },
				{ kind: "mbuf", lead: 0, len: 10 },
			],
			true,
		);
		m_adj(c.m, 15);
		expect(countMbufs(c.m)).toBe(3);
		m_adj(c.m, -10);
		expect(countMbufs(c.m)).toBe(3);
		m_adj(c.m, -1);
		expect(countMbufs(c.m)).toBe(2);
		finish(c, c.m);
	});

	test("m_cat and m_catpkt append", () => {
		fc.assert(
			fc.property(segments(3), segments(3), fc.boolean(), (a, b, hdr) => {
				const x = build(a, hdr);
				const y = build(b, hdr);
				const all = Buffer.concat([x.bytes, y.bytes]);
				if (hdr) m_catpkt(x.m, y.m);
				else m_cat(x.m, y.m);
				expectChain(x.m, all);
				m_freem(x.m);
				for (const s of [...x.sharers, ...y.sharers]) {
					expect(bytesOf(s.m)).toEqual(s.bytes);
					m_freem(s.m);
				}
				finish({ m: x.m, sharers: [], bytes: all });
			}),
			runs,
		);
	});

	property("m_split cuts in two; without memory the bytes are still there", (c, x, _y, fail) => {
		const at = x % (c.bytes.length + 2);
		const { result: tail, failed } = withFailure(fail, () => m_split(c.m, at, M_NOWAIT));
		if (failed) expect(Buffer.from(bytesOf(c.m)).equals(Buffer.from(c.bytes))).toBe(true);
		else {
			expect(Buffer.from(bytesOf(c.m)).equals(Buffer.from(c.bytes.subarray(0, at)))).toBe(true);
			expect(Buffer.from(bytesOf(tail)).equals(Buffer.from(c.bytes.subarray(at)))).toBe(true);
			if (tail !== null) {
				m_sanity(c.m, 0);
				m_sanity(tail, 0);
				if (isPacket(c)) expect([c.m.m_pkthdr.len, tail.m_pkthdr.len]).toEqual([at, c.bytes.length - at]);
			}
		}
		finish(c, c.m, tail);
		return failed;
	});

	test("the tail of a split cluster is not writable until the head is gone", () => {
		const m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)!;
		m.m_len = m.m_pkthdr.len = 100;
		const tail = m_split(m, 40, M_NOWAIT)!;
		expect([M_WRITABLE(m), M_WRITABLE(tail)]).toEqual([false, false]);
		m_freem(m);
		expect(M_WRITABLE(tail)).toBe(true);
		m_freem(tail);
	});
});

describe("m_pullup", () => {
	property("makes bytes contiguous or frees the chain", (c, x, _y, fail) => {
		const len = 1 + (x % 200);
		const { result: m, failed } = withFailure(fail, () => m_pullup(c.m, len));
		const first = c.sharers;
		if (failed || len > c.bytes.length) expect(m).toBeNull();
		else if (m !== null) {
			expect(m.m_len).toBeGreaterThanOrEqual(len);
			expectChain(m, c.bytes);
		} else expect(len).toBeGreaterThan(MHLEN);
		finish({ ...c, sharers: first }, m);
		return failed;
	});

	test("puts an mbuf in front of a cluster even when the bytes were contiguous, and takes max_protohdr with them", () => {
		const c = build([{ kind: "cluster", lead: 0, len: 500 }], true);
		const m = m_pullup(c.m, 4)!;
		expect(m).not.toBe(c.m);
		expect(m.m_len).toBe(max_protohdr);
		expect(m.m_flags & M_EXT).toBe(0);
		expect(m.m_data - m.m_dat_start).toBe(MLEN - MHLEN);
		expectChain(m, c.bytes);
		finish(c, m);
	});

	test("returns a chain whose first plain mbuf has enough as it is", () => {
		const c = build(
			[
				{ kind: "mbuf", lead: 0, len: 40 },
				{ kind: "mbuf", lead: 0, len: 40 },
			],
			true,
		);
		expect(m_pullup(c.m, 40)).toBe(c.m);
		expect(c.m.m_len).toBe(40);
		expect(m_pullup(c.m, 60)).toBe(c.m);
		expect(c.m.m_len).toBe(80);
		expect(c.m.m_next).toBeNull();
		finish(c, c.m);
	});

	test("more than MHLEN bytes is too much", () => {
		const c = build([{ kind: "cluster", lead: 0, len: 500 }], true);
		expect(m_pullup(c.m, MHLEN + 1)).toBeNull();
		finish(c);
	});

	property("m_copyup leaves the room asked for", (c, x, y, fail) => {
		const len = 1 + (x % 100);
		const off = y % 40;
		const { result: m, failed } = withFailure(fail, () => m_copyup(c.m, len, off));
		if (failed || len > c.bytes.length) expect(m).toBeNull();
		else {
			expect(M_LEADINGSPACE(m!)).toBe(off);
			expectChain(m, c.bytes);
		}
		finish(c, m);
		return failed;
	});

	property("m_pulldown makes bytes contiguous where they are, or frees the chain", (c, x, y, fail) => {
		const off = c.bytes.length === 0 ? 0 : x % c.bytes.length;
		const len = 1 + (y % 300);
		const offp = y % 2 === 0 ? new int_ref() : null;
		const { result: n, failed } = withFailure(fail, () => m_pulldown(c.m, off, len, offp));
		const alive = n !== null;
		if (failed || off + len > c.bytes.length) expect(n).toBeNull();
		else if (alive) {
			const at = n.m_data + (offp?.value ?? 0);
			expect(n.m_data + n.m_len - at).toBeGreaterThanOrEqual(len);
			expect(n.m_buf.slice(at, at + len)).toEqual(c.bytes.slice(off, off + len));
			expectChain(c.m, c.bytes);
		}
		finish(c, alive ? c.m : null);
		return failed;
	});
});

describe("copies", () => {
	property("m_copym copies a range, sharing clusters", (c, x, y, fail) => {
		const off = x % (c.bytes.length + 1);
		const len = y % 3 === 0 ? M_COPYALL : y % (c.bytes.length - off + 1);
		const wholeAtEnd = off === c.bytes.length;
		const { result: n, failed } = withFailure(fail, () =>
			wholeAtEnd && len !== M_COPYALL ? null : m_copym(c.m, off, len, M_NOWAIT),
		);
		if (failed) expect(n).toBeNull();
		else {
			const want = c.bytes.subarray(off, len === M_COPYALL ? undefined : off + len);
			expect(Buffer.from(bytesOf(n)).equals(Buffer.from(want))).toBe(true);
			if (n !== null) {
				m_sanity(n, 0);
				for (let m: mbuf | null = n; m !== null; m = m.m_next) {
					if ((m.m_flags & M_EXT) !== 0) expect(M_WRITABLE(m)).toBe(false);
				}
			}
		}
		expectChain(c.m, c.bytes);
		finish(c, c.m, n);
		return failed;
	});

	property("m_copypacket and m_dup copy packets; m_dup's copy is writable", (c, x, _y, fail) => {
		if (!isPacket(c)) {
			finish(c, c.m);
			return false;
		}
		// an empty mbuf behind the last byte is more than m_dup's own assertion allows
		const deep = x % 2 === 0 && m_last(c.m).m_len > 0;
		const { result: n, failed } = withFailure(fail, () => (deep ? m_dup : m_copypacket)(c.m, M_NOWAIT));
		if (failed) expect(n).toBeNull();
		else expectChain(n, c.bytes);
		for (let m = n; deep && m !== null; m = m.m_next) expect(M_WRITABLE(m)).toBe(true);
		expectChain(c.m, c.bytes);
		finish(c, c.m, n);
		return failed;
	});

	property("m_copydata, m_apply, m_getptr and m_length read what is there", (c, x, y, _fail) => {
		const off = x % (c.bytes.length + 1);
		const len = y % (c.bytes.length - off + 1);
		const out = new Uint8Array(len + 2);
		if (off < c.bytes.length) m_copydata(c.m, off, len, out, 1);
		const want = off < c.bytes.length ? c.bytes.slice(off, off + len) : new Uint8Array(len);
		expect(out).toEqual(Uint8Array.from([0, ...want, 0]));
		let sum = 0;
		m_apply(
			c.m,
			0,
			c.bytes.length,
			(k, buf, start, count) => {
				for (let i = 0; i < count; i++) sum += k * buf[start + i]!;
				return 0;
			},
			3,
		);
		expect(sum).toBe(c.bytes.reduce((a, b) => a + 3 * b, 0));
		expect(m_length(c.m)).toBe(c.bytes.length);
		const ref = new int_ref();
		const m = m_getptr(c.m, off, ref)!;
		if (off < c.bytes.length) expect(m.m_buf[m.m_data + ref.value]).toBe(c.bytes[off]);
		else expect([m.m_next, ref.value]).toEqual([null, m.m_len]);
		expect(m_getptr(c.m, c.bytes.length + 1, ref)).toBeNull();
		finish(c, c.m);
		return false;
	});

	test("reading past the end panics", () => {
		const c = build([{ kind: "mbuf", lead: 0, len: 10 }], true);
		expect(() => m_copydata(c.m, 5, 6, new Uint8Array(6))).toThrow("m_copydata, length > size of mbuf chain");
		expect(() => m_copym(c.m, 5, 6, M_NOWAIT)).toThrow("m_copym, length > size of mbuf chain");
	});
});

describe("writing", () => {
	property("m_append appends; what fitted before memory ran out stays", (c, x, _y, fail) => {
		const more = pattern(x % 900, 7);
		const { result: done, failed } = withFailure(fail, () => m_append(c.m, more.length, more));
		const got = bytesOf(c.m);
		expect(done).toBe(failed ? 0 : 1);
		const kept = got.length - c.bytes.length;
		if (!failed) expect(kept).toBe(more.length);
		expectChain(c.m, Buffer.concat([c.bytes, more.subarray(0, kept)]));
		finish(c, c.m);
		return failed;
	});

	property("m_copyback writes in place, and makes the chain longer with zeroes in a gap", (c, x, y, fail) => {
		for (const s of c.sharers.splice(0)) m_freem(s.m);
		const off = x % (c.bytes.length + 300);
		const data = pattern(1 + (y % 600), 5);
		const { failed } = withFailure(fail, () => m_copyback(c.m, off, data.length, data));
		const want = new Uint8Array(Math.max(c.bytes.length, off + data.length));
		want.set(c.bytes);
		want.set(data, off);
		const got = bytesOf(c.m);
		if (!failed) expectChain(c.m, want);
		else expect(Buffer.from(got).equals(Buffer.from(want.subarray(0, got.length)))).toBe(true);
		m_sanity(c.m, 0);
		finish(c, c.m);
		return failed;
	});

	test("m_copyback does write what others share", () => {
		const m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)!;
		m.m_len = m.m_pkthdr.len = 4;
		const n = m_copypacket(m, M_NOWAIT)!;
		m_copyback(m, 0, 4, Uint8Array.of(1, 2, 3, 4));
		expect(bytesOf(n)).toEqual(Uint8Array.of(1, 2, 3, 4));
		m_freem(m);
		m_freem(n);
	});
});

describe("rearranging", () => {
	property("m_defrag copies into the fewest mbufs; without memory the packet is whole", (c, _x, _y, fail) => {
		const { result: m, failed } = withFailure(fail, () => m_defrag(c.m, M_NOWAIT));
		if (failed) {
			expect(m).toBeNull();
			expectChain(c.m, c.bytes);
			finish(c, c.m);
		} else {
			expectChain(m, c.bytes);
			if ((m!.m_flags & M_PKTHDR) !== 0) {
				expect(countMbufs(m)).toBe(Math.max(Math.ceil(c.bytes.length / MCLBYTES), 1));
			} else expect(m).toBe(c.m);
			finish(c, m);
		}
		return failed;
	});

	test("m_defrag copies even a single mbuf", () => {
		const c = build([{ kind: "cluster", lead: 0, len: 100 }], true);
		const m = m_defrag(c.m, M_NOWAIT)!;
		expect(m).not.toBe(c.m);
		expect(m.m_flags & M_EXT).toBe(0);
		finish(c, m);
	});

	property("m_unshare makes everything writable, or frees the chain", (c, _x, _y, fail) => {
		const { result: m, failed } = withFailure(fail, () => m_unshare(c.m, M_NOWAIT));
		if (failed) expect(m).toBeNull();
		else {
			expectChain(m, c.bytes);
			for (let n = m; n !== null; n = n.m_next) expect(M_WRITABLE(n)).toBe(true);
		}
		finish(c, m);
		return failed;
	});

	property("m_collapse comes down to the limit, or leaves a valid chain", (c, x, _y, fail) => {
		const max = 2 + (x % 3);
		const { result: m, failed } = withFailure(fail, () => m_collapse(c.m, M_NOWAIT, max));
		if (failed) expect(m).toBeNull();
		if (m !== null) {
			expect(m).toBe(c.m);
			expect(countMbufs(m)).toBeLessThanOrEqual(max);
		}
		expectChain(c.m, c.bytes);
		finish(c, c.m);
		return failed;
	});
});

test("m_sanity finds what is wrong", () => {
	const c = build(
		[
			{ kind: "mbuf", lead: 0, len: 10 },
			{ kind: "cluster", lead: 0, len: 10 },
		],
		true,
	);
	c.m.m_pkthdr.len++;
	expect(() => m_sanity(c.m, 0)).toThrow("m_pkthdr.len != mbuf chain length");
	c.m.m_pkthdr.len--;
	c.m.m_next!.m_flags |= M_PKTHDR;
	expect(() => m_sanity(c.m, 0)).toThrow("M_PKTHDR on in-chain mbuf");
	expect(m_sanity(c.m, 1)).toBe(1);
	c.m.m_data -= 1;
	expect(() => m_sanity(c.m, 0)).toThrow("outside mbuf data range left");
	c.m.m_data += 1;
	c.m.m_next!.m_len = 3000;
	expect(() => m_sanity(c.m, 0)).toThrow("mbuf space");
	c.m.m_next!.m_len = 10;
	c.m.m_next!.m_nextpkt = m_get(M_WAITOK, MT_DATA);
	expect(() => m_sanity(c.m, 0)).toThrow("m_nextpkt on in-chain mbuf");
	expect(m_sanity(c.m, 1)).toBe(1);
	finish(c, c.m);
});
