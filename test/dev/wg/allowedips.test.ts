import fc from "fast-check";
import { expect, test } from "vitest";
import { round_robin } from "../../../src/dev/wg/dispatch/round_robin.ts";
import type { wg_generation_name } from "../../../src/dev/wg/generation.ts";
import { M_WG, wg_aip_add, wg_aip_del, wg_aip_lookup, wg_aip_remove_all } from "../../../src/dev/wg/if_wg.ts";
import { AIP_ADDR_OFFSET, type wg_peer, wg_softc } from "../../../src/dev/wg/if_wg_var.ts";
import {
	type aip_functions,
	free_peer,
	horrible_cidr_to_mask,
	horrible_mask_to_cidr,
	init_peer,
	randomized_test,
	test_aip_deinit,
	test_aip_init,
	wg_allowedips_selftest,
} from "../../../src/dev/wg/selftest/allowedips.ts";
import { selftest_message } from "../../../src/dev/wg/selftest/printf.ts";
import { EAFNOSUPPORT, ENOBUFS, ENOMEM } from "../../../src/kernel/errno.ts";
import { rm_wowned } from "../../../src/kernel/lock/rmlock.ts";
import { uma_set_fault } from "../../../src/kernel/mbuf/uma.ts";
import { AF_INET, AF_INET6, AF_UNSPEC } from "../../../src/kernel/netinet/in.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { inThread, world } from "./support.ts";

const driver: aip_functions = { wg_aip_add, wg_aip_lookup, wg_aip_remove_all };

/** What the self-test says while it runs. */
function messages_of<T>(main: () => T): [result: T, messages: string[]] {
	const messages: string[] = [];
	const stop = selftest_message.listen((message) => messages.push(message));
	const result = main();
	stop();
	return [result, messages];
}

/** allocations of the malloc type WG that were never freed */
function leaked(): number {
	const stats = M_WG.stats();
	return stats.mts_numallocs - stats.mts_numfrees;
}

const small = { NUM_PEERS: 50, NUM_RAND_ROUTES: 20, NUM_MUTATED_ROUTES: 20, NUM_QUERIES: 2000 };

test("the driver's self-test passes", () => {
	const kernel = world();
	const before = inThread(kernel, function* () {
		yield* [];
		return leaked();
	});
	const [passed, messages] = messages_of(() => inThread(kernel, () => wg_allowedips_selftest()));
	expect(passed).toBe(true);
	expect(messages).toEqual(["allowedips self-tests: pass\n"]);
	expect(leaked()).toBe(before);
});

test.each([1, 2, 3])("its randomised part passes with seed %i", (seed) => {
	expect(inThread(world({ seed }), () => randomized_test(small))).toBe(true);
});

test("it is run together with the rest", () => {
	expect(inThread(world(), () => wg_allowedips_selftest(small))).toBe(true);
});

test.each<[string, Partial<aip_functions>, boolean]>([
	[
		"prefixes that are not stolen",
		{
			*wg_aip_add(sc, peer, af, addr, cidr): Blocking<number> {
				const holder = yield* wg_aip_lookup(sc, af, addr, 0);
				return holder !== null && holder !== peer && cidr === 27 ? 0 : yield* wg_aip_add(sc, peer, af, addr, cidr);
			},
		},
		false,
	],
	[
		"prefixes one bit too long",
		{ wg_aip_add: (sc, peer, af, addr, cidr) => wg_aip_add(sc, peer, af, addr, cidr + 1) },
		false,
	],
	[
		"lookups that find nothing in IPv6",
		{
			*wg_aip_lookup(sc, af, buf, off): Blocking<wg_peer | null> {
				return af === AF_INET6 ? null : yield* wg_aip_lookup(sc, af, buf, off);
			},
		},
		false,
	],
	[
		"IPv6 that goes by its first 96 bits only",
		{
			*wg_aip_lookup(sc, af, buf, off): Blocking<wg_peer | null> {
				return yield* wg_aip_lookup(
					sc,
					af,
					af === AF_INET6 ? new Uint8Array([...buf.subarray(off, off + 12), 0, 0, 0, 0]) : buf,
					af === AF_INET6 ? 0 : off,
				);
			},
		},
		false,
	],
	[
		"removal that forgets the last route",
		{
			*wg_aip_remove_all(sc, peer): Blocking<void> {
				const last = peer.p_aips;
				yield* wg_aip_remove_all(sc, peer);
				if (last !== null && last.a_af === AF_INET)
					yield* wg_aip_add(sc, peer, AF_INET, last.a_addr.subarray(AIP_ADDR_OFFSET), 32);
			},
		},
		true,
	],
])("the self-test notices %s", (_, broken, may_panic) => {
	const run = (): boolean => inThread(world(), () => wg_allowedips_selftest(null, { ...driver, ...broken }));
	if (may_panic) {
		const [, messages] = messages_of(() => {
			try {
				run();
			} catch {
				// a table that is not empty in the end: the tries say so
			}
		});
		expect(messages.some((m) => m.endsWith("FAIL\n"))).toBe(true);
	} else expect(run()).toBe(false);
});

test("as upstream, the self-test forgets that a first insertion failed, and only says so", () => {
	let failures = 0;
	const [passed, messages] = messages_of(() =>
		inThread(world(), () =>
			wg_allowedips_selftest(null, {
				...driver,
				*wg_aip_add(sc, peer, af, addr, cidr): Blocking<number> {
					const error = yield* wg_aip_add(sc, peer, af, addr, cidr);
					return failures++ === 0 ? ENOMEM : error;
				},
			}),
		),
	);
	expect(passed).toBe(true);
	expect(messages).toEqual([`allowedips self-test insertion: FAIL (${ENOMEM})\n`, "allowedips self-tests: pass\n"]);
});

test("a failed allocation fails the self-test and leaks nothing", () => {
	const kernel = world();
	const [passed, messages] = messages_of(() =>
		inThread(kernel, function* () {
			let left = 3;
			uma_set_fault((zone) => zone === "WG" && left-- === 0);
			const ret = yield* wg_allowedips_selftest();
			uma_set_fault(null);
			return ret;
		}),
	);
	expect(passed).toBe(false);
	expect(messages).toEqual(["allowedips self-test malloc: FAIL\n"]);
	expect(leaked()).toBe(0);
});

test("the reference list's masks", () => {
	for (let cidr = 0; cidr <= 128; cidr++) expect(horrible_mask_to_cidr(horrible_cidr_to_mask(cidr))).toBe(cidr);
	expect([...horrible_cidr_to_mask(83)]).toEqual([0xffffffff, 0xffffffff, 0xffffe000, 0]);
});

// A model: the table as one would write it down.

interface route {
	af: number;
	addr: string;
	cidr: number;
	peer: number;
}

function bits_of(addr: Uint8Array): string {
	let bits = "";
	for (const byte of addr) bits += byte.toString(2).padStart(8, "0");
	return bits;
}

/** Prefixes by name, and the longest that fits wins. */
class naive_table {
	private readonly routes = new Map<string, route>();
	private name(af: number, addr: Uint8Array, cidr: number): string {
		return `${af}/${bits_of(addr).slice(0, cidr)}`;
	}
	add(peer: number, af: number, addr: Uint8Array, cidr: number): void {
		this.routes.set(this.name(af, addr, cidr), { af, addr: bits_of(addr).slice(0, cidr), cidr, peer });
	}
	del(peer: number, af: number, addr: Uint8Array, cidr: number): void {
		const name = this.name(af, addr, cidr);
		if (this.routes.get(name)?.peer === peer) this.routes.delete(name);
	}
	remove_all(peer: number): void {
		for (const [name, r] of this.routes) if (r.peer === peer) this.routes.delete(name);
	}
	lookup(af: number, addr: Uint8Array): number | null {
		let best: route | null = null;
		for (const r of this.routes.values())
			if (r.af === af && bits_of(addr).startsWith(r.addr) && (best === null || r.cidr > best.cidr)) best = r;
		return best === null ? null : best.peer;
	}
	of(peer: number): string[] {
		return [...this.routes.values()]
			.filter((r) => r.peer === peer)
			.map((r) => `${r.af} ${r.addr}`)
			.sort();
	}
}

/** The routes a peer's own list shows. */
function listed(peer: wg_peer): string[] {
	const names: string[] = [];
	for (let aip = peer.p_aips; aip !== null; aip = aip.a_next) {
		const cidr = bits_of(aip.a_mask.subarray(AIP_ADDR_OFFSET)).lastIndexOf("1") + 1;
		names.push(`${aip.a_af} ${bits_of(aip.a_addr.subarray(AIP_ADDR_OFFSET)).slice(0, cidr)}`);
	}
	return names.sort();
}

type step =
	| { kind: "add" | "del" | "lookup"; peer: number; v6: boolean; addr: Uint8Array; cidr: number }
	| { kind: "remove_all"; peer: number };

/** Addresses that share long prefixes with each other: a few bytes, each of a few values. */
const address = fc
	.tuple(
		fc.constantFrom(0, 10, 255),
		fc.constantFrom(0, 0, 0, 1, 128, 255),
		fc.constantFrom(0, 0x80, 0xff),
		fc.nat({ max: 255 }),
		fc.uint8Array({ minLength: 12, maxLength: 12 }),
		fc.boolean(),
	)
	.map(([a, b, c, d, rest, plain]) => Uint8Array.of(a, b, c, d, ...(plain ? new Uint8Array(12) : rest)));

const steps: fc.Arbitrary<step[]> = fc.array(
	fc.oneof(
		{
			weight: 12,
			arbitrary: fc.record({
				kind: fc.constantFrom<"add" | "del" | "lookup">("add", "add", "add", "del", "lookup", "lookup"),
				peer: fc.nat({ max: 3 }),
				v6: fc.boolean(),
				addr: address,
				cidr: fc.oneof(fc.nat({ max: 128 }), fc.constantFrom(0, 1, 7, 8, 9, 24, 31, 32, 64, 127, 128)),
			}),
		},
		{ weight: 1, arbitrary: fc.record({ kind: fc.constant("remove_all" as const), peer: fc.nat({ max: 3 }) }) },
	),
	{ maxLength: 120 },
);

/** Plays one list of steps on the driver's table and on the model. @returns where they differ */
function* play(list: readonly step[]): Blocking<string[]> {
	const sc = new wg_softc(round_robin);
	const model = new naive_table();
	const differences: string[] = [];
	test_aip_init(sc);
	const peers = [0, 1, 2, 3].map(() => init_peer(sc)!);

	for (const [i, s] of list.entries()) {
		const peer = peers[s.peer];
		if (s.kind === "remove_all") {
			yield* wg_aip_remove_all(sc, peer);
			model.remove_all(s.peer);
		} else {
			const af = s.v6 ? AF_INET6 : AF_INET;
			const addr = s.v6 ? s.addr : s.addr.subarray(0, 4);
			const cidr = s.v6 ? s.cidr : Math.min(s.cidr, 32);
			if (s.kind === "lookup") {
				// anywhere in a buffer, as in a packet
				const packet = new Uint8Array(40);
				packet.set(addr, 20);
				const before = peers.map((p) => p.p_remote.r_refcnt.refcnt);
				const found = yield* wg_aip_lookup(sc, af, packet, 20);
				const expected = model.lookup(af, addr);
				if (found !== (expected === null ? null : peers[expected])) differences.push(`step ${i}: lookup`);
				peers.forEach((p, n) => {
					if (p.p_remote.r_refcnt.refcnt !== before[n] + (p === found ? 1 : 0))
						differences.push(`step ${i}: reference`);
				});
			} else if (s.kind === "add") {
				if ((yield* wg_aip_add(sc, peer, af, addr, cidr)) !== 0) differences.push(`step ${i}: add`);
				model.add(s.peer, af, addr, cidr);
			} else {
				if ((yield* wg_aip_del(sc, peer, af, addr, cidr)) !== 0) differences.push(`step ${i}: del`);
				model.del(s.peer, af, addr, cidr);
			}
		}
		for (const [n, p] of peers.entries()) {
			const routes = listed(p);
			if (routes.length !== p.p_aips_num) differences.push(`step ${i}: p_aips_num ${p.p_aips_num}`);
			if (routes.join() !== model.of(n).join()) differences.push(`step ${i}: list of peer ${n}`);
		}
		if (rm_wowned(sc.sc_aip4.rnh_lock) || rm_wowned(sc.sc_aip6.rnh_lock)) differences.push(`step ${i}: lock kept`);
	}
	for (const p of peers) {
		yield* wg_aip_remove_all(sc, p);
		free_peer(p);
	}
	test_aip_deinit(sc);
	if (leaked() !== 0) differences.push(`${leaked()} allocations leaked`);
	return differences;
}

test("the tries give what a naive table would, and the peers' lists show it", () => {
	fc.assert(
		fc.property(steps, (list) => {
			expect(inThread(world(), () => play(list))).toEqual([]);
		}),
		{ seed: 20211105, numRuns: 200 },
	);
});

/** One table with one peer, taken apart afterwards. */
function with_table<T>(generation: wg_generation_name, main: (sc: wg_softc, peer: wg_peer) => Blocking<T>): T {
	return inThread(world({ generation }), function* () {
		const sc = new wg_softc(round_robin);
		test_aip_init(sc);
		const peer = init_peer(sc)!;
		const result = yield* main(sc, peer);
		yield* wg_aip_remove_all(sc, peer);
		free_peer(peer);
		test_aip_deinit(sc);
		return result;
	});
}

test("prefix lengths beyond the family's are cut", () => {
	with_table("main", function* (sc, peer) {
		expect(yield* wg_aip_add(sc, peer, AF_INET, Uint8Array.of(10, 0, 0, 1), 200)).toBe(0);
		expect(listed(peer)).toEqual([`${AF_INET} ${bits_of(Uint8Array.of(10, 0, 0, 1))}`]);
	});
});

test.each([AF_UNSPEC, 18, 255])("address family %i has no allowed IPs", (af) => {
	with_table("main", function* (sc, peer) {
		const addr = new Uint8Array(16);
		expect(yield* wg_aip_add(sc, peer, af, addr, 0)).toBe(EAFNOSUPPORT);
		expect(yield* wg_aip_del(sc, peer, af, addr, 0)).toBe(EAFNOSUPPORT);
		expect(yield* wg_aip_lookup(sc, af, addr, 0)).toBe(null);
		expect(peer.p_aips_num).toBe(0);
	});
});

test.each<[wg_generation_name, number]>([
	["2021-11", ENOBUFS],
	["2021-11-rr", ENOBUFS],
	["2022-09", 0],
	["main", 0],
])("without memory %s adds with result %i", (generation, expected) => {
	with_table(generation, function* (sc, peer) {
		uma_set_fault((zone) => zone === "WG");
		const error = yield* wg_aip_add(sc, peer, AF_INET, Uint8Array.of(10, 0, 0, 0), 8);
		uma_set_fault(null);
		expect(error).toBe(expected);
		expect(peer.p_aips_num).toBe(expected === 0 ? 1 : 0);
	});
});

test("deleting another peer's prefix, or one that is not there, does nothing", () => {
	with_table("main", function* (sc, peer) {
		const other = init_peer(sc)!;
		const addr = Uint8Array.of(10, 1, 2, 3);
		yield* wg_aip_add(sc, other, AF_INET, addr, 24);
		expect(yield* wg_aip_del(sc, peer, AF_INET, addr, 24)).toBe(0);
		expect(yield* wg_aip_del(sc, other, AF_INET, addr, 25)).toBe(0);
		expect(yield* wg_aip_lookup(sc, AF_INET, addr, 0)).toBe(other);
		expect(yield* wg_aip_del(sc, other, AF_INET, addr, 24)).toBe(0);
		expect(yield* wg_aip_lookup(sc, AF_INET, addr, 0)).toBe(null);
		free_peer(other);
	});
});
