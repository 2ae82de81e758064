/** What the mbuf tests share: a bare kernel, chains of any shape with their bytes, and allocations that fail on order. */
import fc from "fast-check";
import { expect } from "vitest";
import { malloc_leaks } from "../../../src/kernel/mbuf/malloc.ts";
import {
	EXT_MOD_TYPE,
	M_NOWAIT,
	M_PKTHDR,
	M_SIZE,
	M_WAITOK,
	MJUMPAGESIZE,
	MT_DATA,
	m_copym,
	m_extadd,
	m_freem,
	m_get,
	m_getcl,
	m_gethdr,
	m_getjcl,
	m_sanity,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks, uma_set_fault } from "../../../src/kernel/mbuf/uma.ts";
import { Kernel, type KernelOptions, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";

/** A kernel without threads; code runs on behalf of the host thread, on CPU 0. */
export function boot(options: KernelOptions = {}): Machine {
	const machine = new Machine({ profile: findProfile("xeon-d")! });
	set_curkernel(new Kernel(machine, options));
	return machine;
}

export interface Segment {
	readonly kind: "mbuf" | "cluster" | "shared" | "jumbo" | "external";
	/** room left before the data, and bytes of data: both cut to what fits */
	readonly lead: number;
	readonly len: number;
}

export interface Chain {
	readonly m: mbuf;
	/** copies that share clusters with it */
	readonly sharers: { readonly m: mbuf; readonly bytes: Uint8Array }[];
	readonly bytes: Uint8Array;
}

export function segments(max = 5): fc.Arbitrary<Segment[]> {
	return fc.array(
		fc.record({
			kind: fc.constantFrom<Segment["kind"]>("mbuf", "mbuf", "cluster", "shared", "jumbo", "external"),
			lead: fc.oneof(fc.constant(0), fc.nat(120)),
			len: fc.oneof(fc.constant(0), fc.nat(40), fc.nat(224), fc.nat(5000)),
		}),
		{ minLength: 1, maxLength: max },
	);
}

/** The bytes of a chain, one after the other. */
export function bytesOf(chain: mbuf | null): Uint8Array {
	const parts: number[] = [];
	for (let m = chain; m !== null; m = m.m_next) {
		for (let i = 0; i < m.m_len; i++) parts.push(m.m_buf[m.m_data + i]!);
	}
	return Uint8Array.from(parts);
}

export function countMbufs(chain: mbuf | null): number {
	let n = 0;
	for (let m = chain; m !== null; m = m.m_next) n++;
	return n;
}

/** Bytes that are never the same twice in a row, so that a byte in the wrong place shows. */
export function pattern(len: number, seed = 1): Uint8Array {
	let x = (seed * 2654435761) >>> 0;
	return Uint8Array.from({ length: len }, () => {
		x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
		return x >>> 24;
	});
}

function makeSegment(s: Segment, hdr: boolean): mbuf {
	const flags = hdr ? M_PKTHDR : 0;
	if (s.kind === "mbuf") return (hdr ? m_gethdr(M_WAITOK, MT_DATA) : m_get(M_WAITOK, MT_DATA))!;
	if (s.kind === "jumbo") return m_getjcl(M_WAITOK, MT_DATA, flags, MJUMPAGESIZE)!;
	if (s.kind === "external") {
		const m = (hdr ? m_gethdr(M_WAITOK, MT_DATA) : m_get(M_WAITOK, MT_DATA))!;
		m_extadd(m, new Uint8Array(700), 700, () => {}, null, null, 0, EXT_MOD_TYPE);
		return m;
	}
	return m_getcl(M_WAITOK, MT_DATA, flags)!;
}

/** Builds a chain, with a packet header if `hdr`. */
export function build(spec: readonly Segment[], hdr: boolean): Chain {
	let first: mbuf | null = null;
	let last: mbuf | null = null;
	let total = 0;
	const sharers: { m: mbuf; bytes: Uint8Array }[] = [];
	for (const [i, s] of spec.entries()) {
		const m = makeSegment(s, hdr && i === 0);
		const size = M_SIZE(m);
		const lead = Math.min(s.lead, size);
		m.m_data += lead;
		m.m_len = Math.min(s.len, size - lead);
		m.m_buf.set(pattern(m.m_len, i + 1), m.m_data);
		total += m.m_len;
		if (last === null) first = m;
		else last.m_next = m;
		last = m;
		if (s.kind === "shared" && m.m_len > 0) {
			if (hdr && i === 0) m.m_pkthdr.len = m.m_len;
			const copy = m_copym(m, 0, m.m_len, M_WAITOK)!;
			sharers.push({ m: copy, bytes: bytesOf(copy) });
		}
	}
	if (hdr) first!.m_pkthdr.len = total;
	return { m: first!, sharers, bytes: bytesOf(first) };
}

/** The chain is sound and holds these bytes. */
export function expectChain(m: mbuf | null, bytes: Uint8Array): void {
	expect(m).not.toBeNull();
	expect(m_sanity(m!, 0)).toBe(1);
	expect(Buffer.from(bytesOf(m)).equals(Buffer.from(bytes))).toBe(true);
	if ((m!.m_flags & M_PKTHDR) !== 0) expect(m!.m_pkthdr.len).toBe(bytes.length);
}

/** Nobody else's bytes have changed; then frees them, and nothing must be left. */
export function finish(chain: Chain, ...rest: (mbuf | null)[]): void {
	for (const { m, bytes } of chain.sharers) {
		expect(Buffer.from(bytesOf(m)).equals(Buffer.from(bytes))).toBe(true);
		m_freem(m);
	}
	for (const m of rest) m_freem(m);
	expectNoLeaks();
}

export function expectNoLeaks(): void {
	expect(uma_leaks()).toEqual([]);
	expect(malloc_leaks()).toEqual([]);
}

/** Runs `f` with the allocation number `n` (from 0) failing; says whether so many happened. */
export function withFailure<T>(n: number, f: () => T): { readonly result: T; readonly failed: boolean } {
	let left = n;
	let failed = false;
	uma_set_fault(() => {
		if (left-- !== 0) return false;
		failed = true;
		return true;
	});
	try {
		return { result: f(), failed };
	} finally {
		uma_set_fault(null);
	}
}

/** Runs `f` again and again, failing its first allocation, then its second, until none is left to fail. */
export function eachFailure(f: (n: number) => boolean): number {
	for (let n = 0; n < 200; n++) if (!f(n)) return n;
	throw new Error("too many allocations");
}

export { M_NOWAIT, M_WAITOK };
