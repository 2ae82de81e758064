/** Sizes, the m_get family, sharing and who frees what, tags, queues. */
import { beforeEach, describe, expect, test } from "vitest";
import { ENOBUFS } from "../../../src/kernel/errno.ts";
import {
	EXT_DISPOSABLE,
	EXT_PACKET,
	type ext_refcnt,
	M_BCAST,
	M_COPYALL,
	M_EOR,
	M_EXT,
	M_GETFIB,
	M_LEADINGSPACE,
	M_NOWAIT,
	M_PKTHDR,
	M_PREPEND,
	M_PROTO1,
	M_RDONLY,
	M_SETFIB,
	M_SIZE,
	M_START,
	M_TRAILINGSPACE,
	M_WAITOK,
	MHLEN,
	MINCLSIZE,
	MJUM9BYTES,
	MJUM16BYTES,
	MJUMPAGESIZE,
	MLEN,
	MT_DATA,
	MTAG_PERSISTENT,
	m_align,
	m_clget,
	m_cljget,
	m_cljset,
	m_copym,
	m_copypacket,
	m_defrag,
	m_demote,
	m_dup,
	m_extadd,
	m_extaddref,
	m_extrefcnt,
	m_follow,
	m_free,
	m_freem,
	m_get,
	m_get2,
	m_get3,
	m_getcl,
	m_gethdr,
	m_getjcl,
	m_getm2,
	m_move_pkthdr,
	m_tag_alloc,
	m_tag_copy_chain,
	m_tag_delete_nonpersistent,
	m_tag_find,
	m_tag_first,
	m_tag_get,
	m_tag_locate,
	m_tag_next,
	m_tag_prepend,
	max_datalen,
	mb_zones,
	mbufq,
	mbufq_concat,
	mbufq_dequeue,
	mbufq_drain,
	mbufq_enqueue,
	mbufq_first,
	mbufq_flush,
	mbufq_full,
	mbufq_init,
	mbufq_last,
	mbufq_len,
	mbufq_prepend,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks, uma_zone_get_cur, uma_zone_list } from "../../../src/kernel/mbuf/uma.ts";
import { hostthread } from "../../../src/kernel/sched/thread.ts";
import { boot, bytesOf, countMbufs, eachFailure, expectNoLeaks, pattern, withFailure } from "./support.ts";

beforeEach(() => {
	boot();
});

const used = (name: string): number => uma_zone_list().find((z) => z.name === name)!.used;

describe("allocation", () => {
	test("sizes are those of a 64-bit machine", () => {
		expect([MLEN, MHLEN, MINCLSIZE, max_datalen]).toEqual([224, 168, 169, 92]);
		const m = m_get(M_NOWAIT, MT_DATA)!;
		expect([M_START(m) - m.m_dat_start, M_SIZE(m), M_TRAILINGSPACE(m), m.m_len]).toEqual([0, MLEN, MLEN, 0]);
		const h = m_gethdr(M_NOWAIT, MT_DATA)!;
		expect([M_START(h) - h.m_dat_start, M_SIZE(h), h.m_data - h.m_dat_start]).toEqual([56, MHLEN, 56]);
		const c = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)!;
		expect([c.m_data - M_START(c), M_SIZE(c), c.m_ext.ext_type, m_extrefcnt(c)]).toEqual([0, 2048, EXT_PACKET, 1]);
		for (const n of [m, h, c]) m_free(n);
		expectNoLeaks();
	});

	test("a used mbuf comes back as new", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m.m_pkthdr.flowid = 7;
		m.m_pkthdr.PH_per_ptr = m;
		m.m_flags |= M_BCAST;
		m.m_data += 8;
		m.m_len = 9;
		m_follow(m);
		m_free(m);
		const n = m_gethdr(M_NOWAIT, MT_DATA)!;
		expect(n).toBe(m);
		expect([
			n.m_data - n.m_dat_start,
			n.m_len,
			n.m_flags,
			n.m_pkthdr.flowid,
			n.m_pkthdr.PH_per_ptr,
			n.m_pkthdr.packet_id,
		]).toEqual([56, 0, M_PKTHDR, 0, null, 0]);
		m_free(n);
		expect(() => m_free(n)).toThrow("freeing free mbuf");
	});

	test.each([
		[100, M_PKTHDR, MHLEN],
		[200, 0, MLEN],
		[200, M_PKTHDR, 2048],
		[2048, 0, 2048],
		[2049, 0, MJUMPAGESIZE],
	])("m_get2 picks the smallest storage: %i bytes", (size, flags, storage) => {
		const m = m_get2(size, M_NOWAIT, MT_DATA, flags)!;
		expect([M_SIZE(m), m.m_len]).toEqual([storage, 0]);
		m_freem(m);
		expectNoLeaks();
	});

	test("m_get2 stops at a page, m_get3 at 16 KB", () => {
		expect(m_get2(MJUMPAGESIZE + 1, M_NOWAIT, MT_DATA, 0)).toBeNull();
		const m = m_get3(MJUM9BYTES + 1, M_NOWAIT, MT_DATA, 0)!;
		expect(M_SIZE(m)).toBe(MJUM16BYTES);
		m_freem(m);
		expect(m_get3(MJUM16BYTES + 1, M_NOWAIT, MT_DATA, 0)).toBeNull();
	});

	test("m_getm2 is all or nothing, and leaves a given chain alone", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		const failures = eachFailure((n) => {
			const { result, failed } = withFailure(n, () => m_getm2(m, 7000, M_NOWAIT, MT_DATA, M_EOR));
			if (result === null) expect(m.m_next).toBeNull();
			else {
				expect(result).toBe(m);
				m_freem(m.m_next);
				m.m_next = null;
			}
			return failed;
		});
		expect(failures).toBeGreaterThan(2);
		const chain = m_getm2(null, 4096 + 2048 + 100, M_NOWAIT, MT_DATA, M_PKTHDR | M_EOR)!;
		expect([M_SIZE(chain), M_SIZE(chain.m_next!), countMbufs(chain)]).toEqual([4096, 4096, 2]);
		expect([chain.m_flags & M_EOR, chain.m_next!.m_flags & M_EOR]).toEqual([0, M_EOR]);
		m_freem(chain);
		m_freem(m);
		expectNoLeaks();
	});

	test("a cluster can be had alone and attached later", () => {
		const cl = m_cljget(null, M_NOWAIT, MJUM9BYTES)!;
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_cljset(m, cl, 4);
		expect([m.m_buf === cl.buf, m.m_data]).toEqual([true, cl.start]);
		m_freem(m);
		m_freem(m_getjcl(M_NOWAIT, MT_DATA, 0, MJUM16BYTES));
		expect(() => m_cljget(null, M_NOWAIT, 1000)).toThrow("invalid cluster size");
		expectNoLeaks();
	});

	test("m_clget takes back the clusters of cached packets when there are no others", () => {
		boot({ tunables: { "kern.ipc.nmbclusters": "200" } });
		const packets = Array.from({ length: 200 }, () => m_getcl(M_NOWAIT, MT_DATA, 0)).filter((m) => m !== null);
		for (const m of packets) m_free(m);
		const { zone_clust } = mb_zones();
		const m = m_get(M_NOWAIT, MT_DATA)!;
		const before = zone_clust.uz_fails;
		const got = Array.from({ length: 60 }, () => m_get(M_NOWAIT, MT_DATA)!);
		expect(got.every((n) => m_clget(n, M_NOWAIT))).toBe(true);
		expect(zone_clust.uz_fails).toBeGreaterThanOrEqual(before);
		for (const n of got) m_free(n);
		m_free(m);
		expectNoLeaks();
	});

	test("at the limit M_NOWAIT fails", () => {
		boot({ tunables: { "kern.ipc.nmbclusters": "100" } });
		const got = Array.from({ length: 150 }, () => m_getcl(M_NOWAIT, MT_DATA, 0));
		expect(got.filter((m) => m !== null).length).toBe(100);
		expect(uma_zone_list().find((z) => z.name === "mbuf_packet")!.fails).toBeGreaterThan(0);
		for (const m of got) if (m !== null) m_free(m);
		expectNoLeaks();
	});

	test("costs one cache hit", () => {
		m_freem(m_getcl(M_NOWAIT, MT_DATA, 0));
		const { uma_zalloc, uma_zfree } = boot().costs;
		m_freem(m_getcl(M_NOWAIT, MT_DATA, 0));
		const before = hostthread.td_pending;
		m_freem(m_getcl(M_NOWAIT, MT_DATA, 0));
		expect(hostthread.td_pending - before).toBe(uma_zalloc + uma_zfree);
	});

	test("each kernel has its own mbufs", () => {
		m_get(M_NOWAIT, MT_DATA);
		expect(uma_leaks()).toEqual([{ zone: "mbuf", used: 1 }]);
		boot();
		expect(uma_leaks()).toEqual([]);
	});
});

describe("sharing", () => {
	test("the mbuf that holds the count outlives its m_free while others share its cluster", () => {
		const m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)!;
		m.m_len = m.m_pkthdr.len = 10;
		m.m_buf.set(pattern(10), m.m_data);
		const a = m_copym(m, 0, M_COPYALL, M_NOWAIT)!;
		const b = m_copym(a, 0, M_COPYALL, M_NOWAIT)!;
		expect([m_extrefcnt(m), m_extrefcnt(a), m_extrefcnt(b)]).toEqual([3, 3, 3]);
		m_freem(m);
		expect([used("mbuf_packet"), used("mbuf")]).toEqual([1, 2]);
		expect(bytesOf(b)).toEqual(pattern(10));
		m_freem(a);
		expect([used("mbuf_packet"), used("mbuf"), m_extrefcnt(b)]).toEqual([1, 1, 1]);
		expect(M_TRAILINGSPACE(b)).toBe(2038);
		m_freem(b);
		expect([used("mbuf_packet"), used("mbuf")]).toEqual([0, 0]);
		const again = m_getcl(M_NOWAIT, MT_DATA, 0)!;
		expect([again, m_extrefcnt(again)]).toEqual([m, 1]);
		m_free(again);
		expectNoLeaks();
	});

	test("a cluster attached by m_clget goes back to its own zone, whoever frees last", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_clget(m, M_NOWAIT);
		m.m_len = m.m_pkthdr.len = 5;
		const held = uma_zone_get_cur(mb_zones().zone_clust);
		const a = m_copypacket(m, M_NOWAIT)!;
		m_freem(m);
		expect(uma_zone_get_cur(mb_zones().zone_clust)).toBe(held);
		m_freem(a);
		expect(uma_zone_get_cur(mb_zones().zone_clust)).toBe(held - 1);
		expectNoLeaks();
	});

	test("foreign storage is given back once, to its owner", () => {
		const freed: unknown[] = [];
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_extadd(m, new Uint8Array(64), 64, (ref) => freed.push(ref.m_ext.ext_arg1), "arg", null, M_RDONLY, EXT_DISPOSABLE);
		m.m_len = m.m_pkthdr.len = 64;
		const a = m_copym(m, 0, M_COPYALL, M_NOWAIT)!;
		expect(a.m_flags & M_RDONLY).toBe(M_RDONLY);
		m_freem(m);
		expect(freed).toEqual([]);
		m_freem(a);
		expect(freed).toEqual(["arg"]);
		expectNoLeaks();
	});

	test("storage counted outside is freed by whoever is last", () => {
		const ref: ext_refcnt = { ext_count: 0 };
		let freed = 0;
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_extaddref(m, new Uint8Array(64), 64, ref, () => freed++, null, null);
		m.m_len = m.m_pkthdr.len = 64;
		const a = m_copym(m, 0, M_COPYALL, M_NOWAIT)!;
		expect(ref.ext_count).toBe(2);
		m_freem(m);
		m_freem(a);
		expect([ref.ext_count, freed]).toEqual([0, 1]);
		expectNoLeaks();
	});
});

describe("packet headers", () => {
	test("move with their tags and what the simulator follows", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_follow(m);
		M_SETFIB(m, 3);
		m.m_flags |= M_BCAST | M_PROTO1;
		m_tag_prepend(m, m_tag_get(5, 4, M_NOWAIT)!);
		const n = M_PREPEND(m, 8 + M_LEADINGSPACE(m), M_NOWAIT)!;
		expect(n).not.toBe(m);
		expect([n.m_pkthdr.packet_id, M_GETFIB(n), n.m_flags]).toEqual([1, 3, M_PKTHDR | M_BCAST | M_PROTO1]);
		expect(m_tag_find(n, 5, null)).not.toBeNull();
		const d = m_dup(n, M_NOWAIT)!;
		expect([d.m_pkthdr.packet_id, m_tag_find(d, 5, null)!.m_tag_len]).toEqual([1, 4]);
		m_demote(d, 1, 0);
		expect(d.m_flags).toBe(0);
		expect(() => M_GETFIB(d)).toThrow();
		m_freem(d);
		m_freem(n);
		expectNoLeaks();
	});

	test("m_move_pkthdr into a cluster leaves its data where it is", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		const c = m_getcl(M_NOWAIT, MT_DATA, 0)!;
		c.m_data += 30;
		m_move_pkthdr(c, m);
		expect([c.m_data - M_START(c), c.m_flags, m.m_flags]).toEqual([30, M_EXT | M_PKTHDR, 0]);
		m_free(m);
		m_free(c);
	});

	test("m_align puts data at the end, on a long word", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_align(m, 20);
		expect(m.m_data - m.m_dat_start).toBe(56 + 144);
		expect(() => m_align(m, 20)).toThrow("not a virgin mbuf");
		m_free(m);
	});
});

describe("tags", () => {
	test("are found by cookie and id, from a place on", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		const [a, b, c] = [
			m_tag_alloc(1, 2, 0, M_NOWAIT)!,
			m_tag_alloc(9, 2, 0, M_NOWAIT)!,
			m_tag_alloc(1, 2, 0, M_NOWAIT)!,
		];
		for (const t of [c, b, a]) m_tag_prepend(m, t);
		expect(m_tag_first(m)).toBe(a);
		expect(m_tag_next(m, a)).toBe(b);
		expect(m_tag_locate(m, 1, 2, null)).toBe(a);
		expect(m_tag_locate(m, 1, 2, a)).toBe(c);
		expect(m_tag_locate(m, 1, 2, c)).toBeNull();
		m_freem(m);
		expectNoLeaks();
	});

	test("only persistent ones survive an interface", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		m_tag_prepend(m, m_tag_get(1, 0, M_NOWAIT)!);
		m_tag_prepend(m, m_tag_get(1 | MTAG_PERSISTENT, 0, M_NOWAIT)!);
		m_tag_prepend(m, m_tag_get(2, 0, M_NOWAIT)!);
		m_tag_delete_nonpersistent(m);
		expect(m_tag_first(m)!.m_tag_id).toBe(1 | MTAG_PERSISTENT);
		expect(m_tag_first(m)!.m_tag_link).toBeNull();
		m_freem(m);
		expectNoLeaks();
	});

	test("are copied in order, bytes and all; without memory none is left, and m_defrag fails with the packet whole", () => {
		const m = m_gethdr(M_NOWAIT, MT_DATA)!;
		for (let i = 0; i < 3; i++) {
			const t = m_tag_get(i, 2, M_NOWAIT)!;
			t.m_tag_data = Uint8Array.of(i, i);
			m_tag_prepend(m, t);
		}
		const n = m_gethdr(M_NOWAIT, MT_DATA)!;
		expect(m_tag_copy_chain(n, m, M_NOWAIT)).toBe(1);
		const ids: number[] = [];
		for (let t = m_tag_first(n); t !== null; t = t.m_tag_link) {
			ids.push(t.m_tag_id);
			expect(t.m_tag_data).toEqual(Uint8Array.of(t.m_tag_id, t.m_tag_id));
		}
		expect(ids).toEqual([2, 1, 0]);
		expect(withFailure(1, () => m_tag_copy_chain(n, m, M_NOWAIT)).result).toBe(0);
		expect(m_tag_first(n)).toBeNull();
		expect(withFailure(2, () => m_defrag(m, M_NOWAIT)).result).toBeNull();
		expect(m_tag_first(m)!.m_tag_id).toBe(2);
		m_freem(n);
		m_freem(m);
		expectNoLeaks();
	});
});

describe("mbufq", () => {
	test("first in, first out, up to its limit", () => {
		const q = new mbufq();
		mbufq_init(q, 2);
		const [a, b, c] = [1, 2, 3].map(() => m_gethdr(M_NOWAIT, MT_DATA)!) as [never, never, never];
		expect([mbufq_enqueue(q, a), mbufq_enqueue(q, b), mbufq_enqueue(q, c)]).toEqual([0, 0, ENOBUFS]);
		expect([mbufq_len(q), mbufq_full(q)]).toEqual([2, true]);
		expect([mbufq_first(q), mbufq_last(q)]).toEqual([a, b]);
		mbufq_prepend(q, c);
		expect([mbufq_dequeue(q), mbufq_dequeue(q), mbufq_dequeue(q), mbufq_dequeue(q)]).toEqual([c, a, b, null]);
		const p = new mbufq();
		mbufq_init(p, 0);
		for (const m of [a, b]) mbufq_enqueue(p, m);
		mbufq_enqueue(q, c);
		mbufq_concat(q, p);
		expect([mbufq_len(q), mbufq_len(p), mbufq_first(q), mbufq_last(q)]).toEqual([3, 0, c, b]);
		expect(mbufq_flush(p)).toBeNull();
		mbufq_drain(q);
		expect([mbufq_len(q), mbufq_first(q)]).toEqual([0, null]);
		expectNoLeaks();
	});
});

test("everything above also holds with UMA's own checks on", () => {
	boot({ tunables: { "vm.debug.divisor": "1" } });
	const m = m_getcl(M_WAITOK, MT_DATA, M_PKTHDR)!;
	m.m_len = m.m_pkthdr.len = 100;
	const a = m_copypacket(m, M_NOWAIT)!;
	m_freem(m);
	m_freem(a);
	expect(uma_leaks()).toEqual([]);
});
