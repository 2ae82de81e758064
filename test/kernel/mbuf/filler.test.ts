/**
 * In a run for the costs only nobody reads filler, and m_defrag need not copy it. All else must be what it is without: here each chain
 * has a twin without filler, and whatever is done to both, they differ in what was filler only.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mtx_lock } from "../../../src/kernel/lock/mutex.ts";
import {
	int_ref,
	M_LEADINGSPACE,
	M_NOWAIT,
	M_PREPEND,
	M_SIZE,
	M_START,
	m_adj,
	m_append,
	m_cat,
	m_catpkt,
	m_collapse,
	m_copyback,
	m_copym,
	m_defrag,
	m_freem,
	m_pulldown,
	m_pullup,
	m_unshare,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { hostthread } from "../../../src/kernel/sched/thread.ts";
import { UIO_WRITE, uio } from "../../../src/kernel/socket/uio.ts";
import { m_uiotombuf } from "../../../src/kernel/socket/uipc_send.ts";
import { sbappendstream_locked } from "../../../src/kernel/socket/uipc_sockbuf.ts";
import { makeSockbuf, run } from "../socket/support.ts";
import { boot, build, bytesOf, expectNoLeaks, pattern, type Segment, segments } from "./support.ts";

/** What filler is written as, and nothing else: so that bytes which are read although they are filler, or the reverse, show. */
const FILLER = 0;

/** Writes that can be told from filler. */
const real = (len: number, seed: number): Uint8Array => pattern(len, seed).map((byte) => byte | 1);

interface Step {
	readonly do: keyof typeof steps;
	readonly x: number;
	readonly y: number;
}

/** What may be done to a packet, the same to both twins. */
const steps = {
	defrag: (m: mbuf) => m_defrag(m, M_NOWAIT),
	head: (m: mbuf, x: number) => {
		m_adj(m, x % 300);
		return m;
	},
	tail: (m: mbuf, x: number) => {
		m_adj(m, -(x % 300));
		return m;
	},
	append: (m: mbuf, x: number, y: number) => {
		m_append(m, x % 300, real(x % 300, y));
		return m;
	},
	prepend: (m: mbuf, x: number, y: number) => {
		const room = M_LEADINGSPACE(m);
		const len = room > 0 ? 1 + (x % room) : 1 + (x % 100);
		const n = M_PREPEND(m, len, M_NOWAIT)!;
		n.m_buf.set(real(len, y), n.m_data);
		return n;
	},
	pullup: (m: mbuf, x: number) => (m.m_pkthdr.len === 0 ? m : m_pullup(m, x % Math.min(m.m_pkthdr.len, 100))),
	pulldown: (m: mbuf, x: number, y: number) => {
		const { len } = m.m_pkthdr;
		if (len === 0) return m;
		const off = x % len;
		m_pulldown(m, off, 1 + (y % Math.min(len - off, 2000)), new int_ref());
		return m;
	},
	unshare: (m: mbuf) => m_unshare(m, M_NOWAIT),
	collapse: (m: mbuf, x: number) => m_collapse(m, M_NOWAIT, 2 + (x % 3)) ?? m,
	copyback: (m: mbuf, x: number, y: number) => {
		const off = x % (m.m_pkthdr.len + 1);
		// not into what is shared: whoever does that changes others' bytes
		m = m_unshare(m, M_NOWAIT)!;
		m_copyback(m, off, y % 200, real(y % 200, y));
		return m;
	},
	cat: (m: mbuf, x: number, y: number) => {
		const n = build([{ kind: x % 2 === 0 ? "mbuf" : "cluster", lead: 0, len: y % 200 }], true);
		n.m.m_buf.set(real(n.m.m_len, y), n.m.m_data);
		m_catpkt(m, n.m);
		return m;
	},
};

/** The chain of `spec`; in every second mbuf a part of the data is filler, or is merely written as such. */
function twin(spec: Segment[], x: number, filler: boolean): mbuf {
	const { m } = build(spec, true);
	let i = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next, i++) {
		n.m_buf.set(real(n.m_len, i + 1), n.m_data);
		if ((x >> i) % 2 === 0 || n.m_len === 0) continue;
		const from = n.m_data + (x % Math.min(n.m_len, 100));
		const to = n.m_data + n.m_len - (x % 3);
		if (from >= to) continue;
		n.m_buf.fill(FILLER, from, to);
		if (filler) {
			n.m_filler = from;
			n.m_filler_end = to;
		}
	}
	return m;
}

test("whatever is done to a packet, it only ever lacks filler", () => {
	const step = fc.record<Step>({
		do: fc.constantFrom(...(Object.keys(steps) as (keyof typeof steps)[])),
		x: fc.nat(100_000),
		y: fc.nat(100_000),
	});
	fc.assert(
		fc.property(
			segments().map((spec) => spec.filter((s) => s.kind !== "shared").concat({ kind: "cluster", lead: 0, len: 1400 })),
			fc.nat(100_000),
			fc.array(step, { maxLength: 12 }),
			(spec, x, todo) => {
				const both = [true, false].map((filler) => {
					boot();
					const before = hostthread.td_pending;
					let m = twin(spec, x, filler);
					for (const s of todo) m = steps[s.do](m, s.x, s.y)!;
					m = m_defrag(m, M_NOWAIT)!;
					const bytes = bytesOf(m);
					m_freem(m);
					expectNoLeaks();
					return { bytes, charged: hostthread.td_pending - before };
				});
				const [lacking, whole] = both;
				expect(lacking.charged).toBe(whole.charged);
				expect(lacking.bytes.length).toBe(whole.bytes.length);
				expect(whole.bytes.findIndex((byte, i) => byte !== FILLER && byte !== lacking.bytes[i])).toBe(-1);
			},
		),
		{ numRuns: 2000 },
	);
});

test("what a program says is filler is not copied, in a run for the costs only: a header and a trailer around it are", () => {
	for (const cost_only of [false, true]) {
		boot({ cost_only });
		const sent = m_uiotombuf(new uio(real(9000, 1), UIO_WRITE, true), M_NOWAIT, 9000, 0, 0)!;
		const m = build([{ kind: "mbuf", lead: 0, len: 52 }], true).m;
		// across the end of the first page, where two fillers meet
		m_cat(m, m_copym(sent, 3500, 1300, M_NOWAIT));
		m.m_pkthdr.len += 1300;
		m_append(m, 16, real(16, 2));
		const head = bytesOf(m).subarray(0, 52);
		const copy = m_defrag(m, M_NOWAIT)!;
		expect([copy.m_next, copy.m_len]).toEqual([null, 1368]);
		expect(copy.m_filler_end - copy.m_filler).toBe(cost_only ? 1300 : 0);
		expect(bytesOf(copy).subarray(0, 52)).toEqual(head);
		expect(bytesOf(copy).subarray(1352)).toEqual(real(16, 2));
		expect(
			bytesOf(copy)
				.subarray(52, 1352)
				.every((byte) => byte === 0),
		).toBe(cost_only);
		m_freem(copy);
		m_freem(sent);
		expectNoLeaks();
	}
});

describe("what is put where filler was is none", () => {
	/** A packet of two mbufs, each with filler all over its storage, be that data or not. */
	function packet(...spec: Segment[]): mbuf {
		boot();
		const { m } = build(spec, true);
		for (const n of [m, m.m_next!]) {
			n.m_filler = M_START(n);
			n.m_filler_end = n.m_filler + M_SIZE(n);
		}
		return m;
	}

	test("by m_pulldown, behind the data of the first", () => {
		const m = packet({ kind: "mbuf", lead: 0, len: 100 }, { kind: "mbuf", lead: 0, len: 50 });
		expect(m_pulldown(m, 90, 20, new int_ref())).toBe(m);
		expect([m.m_len, m.m_filler_end]).toEqual([110, m.m_data + 100]);
	});

	test("by m_pulldown, before the data of the second", () => {
		const m = packet({ kind: "mbuf", lead: 0, len: 168 }, { kind: "mbuf", lead: 60, len: 50 });
		expect(m_pulldown(m, 158, 20, new int_ref())).toBe(m.m_next);
		const n = m.m_next!;
		expect([n.m_data, n.m_filler_end].map((at) => at - M_START(n))).toEqual([50, 50]);
	});

	test("by m_unshare", () => {
		const m = packet({ kind: "cluster", lead: 0, len: 100 }, { kind: "mbuf", lead: 0, len: 50 });
		expect(m_unshare(m, M_NOWAIT)).toBe(m);
		expect([m.m_len, m.m_filler_end - M_START(m)]).toEqual([150, 100]);
	});

	test("by a socket buffer", () => {
		const m = packet({ kind: "cluster", lead: 0, len: 100 }, { kind: "mbuf", lead: 0, len: 50 });
		const sb = makeSockbuf(100_000);
		run(mtx_lock(sb.sb_mtx));
		sbappendstream_locked(sb, m);
		expect([m.m_len, m.m_filler_end - M_START(m)]).toEqual([150, 100]);
	});
});
