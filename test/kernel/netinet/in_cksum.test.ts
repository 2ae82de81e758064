import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { M_NOWAIT, M_PKTHDR, MT_DATA, m_freem, m_getm2, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import {
	in_cksum,
	in_cksum_hdr,
	in_cksum_skip,
	in_pseudo,
	in_sum,
	in6_cksum,
	in6_cksum_pseudo,
} from "../../../src/kernel/netinet/in_cksum.ts";
import { set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { curthread } from "../../../src/kernel/sched/thread.ts";
import { bootOn } from "../sched/support.ts";

beforeAll(() => {
	bootOn();
});

/** RFC 1071, section 4.1, a byte at a time. */
function naive(bytes: Uint8Array, off: number, len: number): number {
	let sum = 0;
	for (let i = 0; i < len; i++) sum += i % 2 === 0 ? bytes[off + i] * 256 : bytes[off + i];
	while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
	return sum;
}

/** 0 and 0xffff are the same number in ones' complement. */
function same(a: number, b: number): boolean {
	return a % 0xffff === b % 0xffff;
}

function chain(bytes: Uint8Array, cuts: readonly number[]): mbuf {
	let first: mbuf | null = null;
	let last: mbuf | null = null;
	const ends = [...cuts.map((c) => c % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
	let at = 0;
	for (const end of ends) {
		const m = m_getm2(null, Math.max(end - at, 1), M_NOWAIT, MT_DATA, first === null ? M_PKTHDR : 0) as mbuf;
		m.m_buf.set(bytes.subarray(at, end), m.m_data);
		m.m_len = end - at;
		m_freem(m.m_next);
		m.m_next = null;
		if (first === null) first = m;
		else (last as mbuf).m_next = m;
		last = m;
		at = end;
	}
	(first as mbuf).m_pkthdr.len = bytes.length;
	return first as mbuf;
}

test("the example of RFC 1071", () => {
	expect(in_sum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8)).toBe(0xddf2);
});

test("a known IP header", () => {
	const header = Uint8Array.from(Buffer.from("45000073000040004011b861c0a80001c0a800c7", "hex"));
	expect(in_cksum_hdr(header, 0)).toBe(0);
	header.fill(0, 10, 12);
	expect(in_cksum_hdr(header, 0)).toBe(0xb861);
});

test("any run of bytes sums as a naive sum does, at any offset and length", () => {
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 1, maxLength: 600 }), fc.nat(), fc.nat(), (bytes, a, b) => {
			const off = a % bytes.length;
			const len = b % (bytes.length - off + 1);
			expect(same(in_sum(bytes, off, len), naive(bytes, off, len))).toBe(true);
		}),
	);
});

test("64 kB of the largest words sum right: no carry is lost", () => {
	const ones = new Uint8Array(65535).fill(0xff);
	for (const [off, len] of [
		[0, 65535],
		[1, 65532],
		[2, 65533],
	])
		expect(same(in_sum(ones, off, len), naive(ones, off, len))).toBe(true);
});

test("nor is one lost where the sum of whole words runs over", () => {
	const bytes = new Uint8Array(64).map((_, i) => (i % 4 < 2 ? 0xff : 0));
	bytes.set([0xff, 0x7f], 2);
	expect(same(in_sum(bytes, 0, 64), naive(bytes, 0, 64))).toBe(true);
});

test("a chain sums as its bytes do, however it is cut", () => {
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: 2, maxLength: 2000 }),
			fc.array(fc.nat(2000), { maxLength: 6 }),
			fc.nat(),
			(bytes, cuts, s) => {
				const skip = s % bytes.length;
				const m = chain(bytes, cuts);
				expect(same(~in_cksum_skip(m, bytes.length, skip) & 0xffff, naive(bytes, skip, bytes.length - skip))).toBe(
					true,
				);
				m_freem(m);
			},
		),
		{ numRuns: 200 },
	);
});

test("a sum that was stored makes the whole sum right", () => {
	const bytes = Uint8Array.from({ length: 1400 }, (_, i) => (i * 37) & 0xff);
	bytes[6] = bytes[7] = 0;
	const m = chain(bytes, [700]);
	const sum = in_cksum(m, 1400);
	m.m_buf[m.m_data + 6] = sum >> 8;
	m.m_buf[m.m_data + 7] = sum;
	expect(in_cksum(m, 1400)).toBe(0);
	m_freem(m);
});

test("pseudo headers of both families agree with their bytes", () => {
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.nat(65535), fc.nat(255), (addresses, len, proto) => {
			const view = new DataView(addresses.buffer);
			const bytes = Uint8Array.from([...addresses, 0, proto, len >> 8, len & 0xff]);
			expect(same(in_pseudo(view.getUint32(0), view.getUint32(4), len + proto), naive(bytes, 0, 12))).toBe(true);
		}),
	);
	const header = new Uint8Array(40).map((_, i) => (i >= 8 ? i * 5 : 0));
	const bytes = Uint8Array.from([...header.slice(8), 0, 0, 5, 120, 0, 0, 0, 17]);
	expect(in6_cksum_pseudo(header, 0, 1400, 17, 0)).toBe(naive(bytes, 0, 40));
});

test("the zone of a link-local address is not part of the sum", () => {
	const packet = new Uint8Array(48);
	packet.set([0xfe, 0x80], 8);
	packet.set([0xff, 0x02], 24);
	packet.set([1, 2, 3, 4, 5, 6, 7, 8], 40);
	const plain = chain(packet, []);
	const before = in6_cksum(plain, 58, 40, 8);
	packet.set([0, 7], 10);
	packet.set([0, 7], 26);
	const zoned = chain(packet, []);
	expect(in6_cksum(zoned, 58, 40, 8)).toBe(before);
	m_freem(plain);
	m_freem(zoned);
});

test("in cost-only mode payload sums cost the same and count as right; header sums are real", () => {
	const bytes = new Uint8Array(1400).fill(1);
	const costs: number[] = [];
	for (const cost_only of [false, true]) {
		const kernel = bootOn({}, { cost_only });
		set_curkernel(kernel);
		const m = chain(bytes, []);
		const before = curthread.td_pending;
		expect(in_cksum(m, 1400) === 0).toBe(cost_only);
		expect(in_cksum(m, 20)).not.toBe(0);
		costs.push(curthread.td_pending - before);
		m_freem(m);
	}
	expect(costs[0]).toBe(costs[1]);
	expect(costs[0]).toBeGreaterThan(0);
});
