import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import {
	RNF_ACTIVE,
	RNF_ROOT,
	type radix_node,
	type radix_node_head,
	radix_node_pair,
	type radix_nodes,
	rn_detachhead,
	rn_inithead,
} from "../../../src/kernel/route/radix.ts";
import { bootOn } from "../sched/support.ts";

beforeAll(() => {
	bootOn();
});

/** Keys as the driver's allowed IPs and the routing table have them: a length byte, padding, the address. */
const OFF = 4;

class Entry {
	readonly key: Uint8Array;
	readonly mask: Uint8Array;
	readonly length: number;
	readonly nodes: radix_nodes;
	constructor(address: readonly number[], length: number) {
		const bytes = address.length;
		this.key = new Uint8Array(OFF + bytes);
		this.mask = new Uint8Array(OFF + bytes);
		this.key[0] = this.mask[0] = OFF + bytes;
		this.length = length;
		for (let i = 0; i < bytes; i++) {
			this.mask[OFF + i] = 0xff00 >> Math.min(8, Math.max(0, length - 8 * i));
			this.key[OFF + i] = address[i] & this.mask[OFF + i];
		}
		this.nodes = radix_node_pair(this);
	}
	get name(): string {
		return `${[...this.key.slice(OFF)].join(".")}/${this.length}`;
	}
	covers(address: readonly number[]): boolean {
		return address.every((byte, i) => ((byte ^ this.key[OFF + i]) & this.mask[OFF + i]) === 0);
	}
}

function keyOf(address: readonly number[]): Uint8Array {
	return Uint8Array.from([OFF + address.length, ...new Array<number>(OFF - 1).fill(0), ...address]);
}

function owner(node: radix_node | null): Entry | null {
	return node === null ? null : (node.rn_owner as Entry);
}

/**
 * What the tree must answer, by looking at every entry. As in FreeBSD the all-ones address only finds entries whose own
 * key is all ones, because the tree's right-hand marker has that key. Routing tables have longer keys and never notice.
 */
function linear(entries: Iterable<Entry>, address: readonly number[]): Entry | null {
	const ones = address.every((b) => b === 255);
	let best: Entry | null = null;
	for (const e of entries) {
		if (!e.covers(address) || (ones && !e.key.slice(OFF).every((b) => b === 255))) continue;
		if (best === null || e.length > best.length) best = e;
	}
	return best;
}

function head(): radix_node_head {
	return rn_inithead(OFF * 8) as radix_node_head;
}

/** Every link of the tree points back. */
function checkTree(h: radix_node_head): void {
	const walk = (x: radix_node): void => {
		expect(x.rn_flags & RNF_ACTIVE).toBe(RNF_ACTIVE);
		if (x.rn_bit < 0) {
			for (let t: radix_node | null = x; t !== null; t = t.rn_dupedkey) {
				if (t.rn_dupedkey !== null && t.rn_mask !== null && t.rn_dupedkey.rn_mask !== null)
					expect(t.rn_bit).toBeLessThan(t.rn_dupedkey.rn_bit);
			}
			return;
		}
		for (const child of [x.rn_left, x.rn_right]) {
			expect(child.rn_parent).toBe(x);
			if (child.rn_bit >= 0) expect(child.rn_bit).toBeGreaterThan(x.rn_bit);
			walk(child);
		}
		for (let m = x.rn_mklist; m !== null && m.rm_mklist !== null; m = m.rm_mklist)
			expect(m.rm_bit).toBeLessThanOrEqual(m.rm_mklist.rm_bit);
	};
	const top = h.rh.rnh_treetop;
	expect(top.rn_flags & RNF_ROOT).toBe(RNF_ROOT);
	walk(top);
}

// few distinct bytes, so that prefixes nest and keys repeat
const byte = fc.constantFrom(0, 1, 2, 3, 10, 127, 128, 192, 224, 254, 255);
const ipv4 = fc.tuple(byte, byte, byte, byte);
const command = fc.record({
	add: fc.boolean(),
	address: ipv4,
	length: fc.integer({ min: 0, max: 32 }),
});

test("longest-prefix match agrees with a linear scan after any adds and deletes", () => {
	fc.assert(
		fc.property(
			fc.array(command, { maxLength: 60 }),
			fc.array(ipv4, { minLength: 1, maxLength: 20 }),
			(commands, probes) => {
				const h = head();
				const model = new Map<string, Entry>();
				for (const c of commands) {
					const e = new Entry(c.address, c.length);
					if (c.add) {
						const added = h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes);
						expect(added === null).toBe(model.has(e.name));
						if (added !== null) model.set(e.name, e);
					} else {
						expect(owner(h.rnh_deladdr(e.key, e.mask, h.rh))).toBe(model.get(e.name) ?? null);
						model.delete(e.name);
					}
					checkTree(h);
				}
				for (const address of [...probes, ...commands.map((c) => c.address)]) {
					expect(owner(h.rnh_matchaddr(keyOf(address), h.rh))?.name).toBe(linear(model.values(), address)?.name);
				}
				for (const e of model.values()) expect(owner(h.rnh_lookup(e.key, e.mask, h.rh))).toBe(e);
			},
		),
		{ numRuns: 300 },
	);
});

test("a walk visits every entry in order of keys, most specific first, but not those of the all-ones key", () => {
	fc.assert(
		fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
			const h = head();
			const model = new Map<string, Entry>();
			for (const c of commands) {
				const e = new Entry(c.address, c.length);
				if (h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes) !== null) model.set(e.name, e);
			}
			const seen: Entry[] = [];
			h.rnh_walktree(
				h.rh,
				(rn, list) => {
					list.push(rn.rn_owner as Entry);
					return 0;
				},
				seen,
			);
			const order = (a: Entry, b: Entry): number => {
				for (let i = OFF; i < a.key.length; i++) if (a.key[i] !== b.key[i]) return a.key[i] - b.key[i];
				return b.length - a.length;
			};
			const wanted = [...model.values()].filter((e) => e.key.slice(OFF).some((b) => b !== 255)).sort(order);
			expect(seen.map((e) => e.name)).toEqual(wanted.map((e) => e.name));
		}),
		{ numRuns: 100 },
	);
});

test("a walk may delete what it is given, and its result ends it", () => {
	const h = head();
	for (let i = 0; i < 50; i++) {
		const e = new Entry([10, 0, i, 0], 24);
		h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes);
	}
	let calls = 0;
	const result = h.rnh_walktree(h.rh, () => (++calls === 10 ? 35 : 0), null);
	expect([result, calls]).toEqual([35, 10]);
	h.rnh_walktree(
		h.rh,
		(rn) => {
			const e = rn.rn_owner as Entry;
			h.rnh_deladdr(e.key, e.mask, h.rh);
			return 0;
		},
		null,
	);
	expect(rn_detachhead(h)).toBe(1);
});

test("an entry with the same key and mask is refused, and its nodes can be used again", () => {
	const h = head();
	const a = new Entry([10, 1, 0, 0], 16);
	const b = new Entry([10, 1, 0, 0], 16);
	expect(h.rnh_addaddr(a.key, a.mask, h.rh, a.nodes)).toBe(a.nodes[0]);
	expect(h.rnh_addaddr(b.key, b.mask, h.rh, b.nodes)).toBeNull();
	expect(owner(h.rnh_deladdr(a.key, a.mask, h.rh))).toBe(a);
	expect(h.rnh_deladdr(a.key, a.mask, h.rh)).toBeNull();
	expect(h.rnh_addaddr(a.key, a.mask, h.rh, a.nodes)).toBe(a.nodes[0]);
});

test("the default entry catches everything, and nothing is found in an empty tree", () => {
	const h = head();
	expect(h.rnh_matchaddr(keyOf([0, 0, 0, 0]), h.rh)).toBeNull();
	expect(h.rnh_matchaddr(keyOf([255, 255, 255, 255]), h.rh)).toBeNull();
	const e = new Entry([0, 0, 0, 0], 0);
	h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes);
	for (const a of [
		[0, 0, 0, 0],
		[1, 2, 3, 4],
		[255, 255, 255, 254],
	])
		expect(owner(h.rnh_matchaddr(keyOf(a), h.rh))).toBe(e);
});

test("host routes have no mask and win over any prefix of the same key", () => {
	const h = head();
	const net = new Entry([10, 0, 0, 1], 32);
	const host = new Entry([10, 0, 0, 1], 32);
	h.rnh_addaddr(net.key, net.mask, h.rh, net.nodes);
	expect(h.rnh_addaddr(host.key, null, h.rh, host.nodes)).not.toBeNull();
	expect(owner(h.rnh_matchaddr(keyOf([10, 0, 0, 1]), h.rh))).toBe(host);
	expect(owner(h.rnh_lookup(host.key, null, h.rh))).toBe(host);
});

test("masks with holes are matched too", () => {
	const h = head();
	const e = new Entry([10, 0, 3, 0], 24);
	e.mask[OFF + 1] = 0;
	h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes);
	const other = new Entry([10, 7, 9, 0], 24);
	h.rnh_addaddr(other.key, other.mask, h.rh, other.nodes);
	expect(owner(h.rnh_matchaddr(keyOf([10, 0, 3, 77]), h.rh))).toBe(e);
	expect(owner(h.rnh_matchaddr(keyOf([10, 7, 9, 77]), h.rh))).toBe(other);
	expect(h.rnh_matchaddr(keyOf([11, 0, 3, 77]), h.rh)).toBeNull();
	expect(owner(h.rnh_deladdr(e.key, e.mask, h.rh))).toBe(e);
	expect(h.rnh_matchaddr(keyOf([10, 0, 3, 77]), h.rh)).toBeNull();
});

test("IPv6 keys of 128 bits work alike", () => {
	fc.assert(
		fc.property(
			fc.array(
				fc.record({
					address: fc.array(byte, { minLength: 16, maxLength: 16 }),
					length: fc.integer({ min: 0, max: 128 }),
				}),
				{
					maxLength: 40,
				},
			),
			(commands) => {
				const h = head();
				const model = new Map<string, Entry>();
				for (const c of commands) {
					const e = new Entry(c.address, c.length);
					if (h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes) !== null) model.set(e.name, e);
				}
				for (const c of commands) {
					expect(owner(h.rnh_matchaddr(keyOf(c.address), h.rh))?.name).toBe(linear(model.values(), c.address)?.name);
				}
			},
		),
		{ numRuns: 60 },
	);
});

test("a tree of thousands of entries, which has an index, answers as before through adds and deletes", () => {
	const h = head();
	// prefixes by length and network, to look up the slow and obvious way
	const model: Map<number, Entry>[] = Array.from({ length: 33 }, () => new Map());
	let seed = 20211111;
	const random = (): number => {
		seed = (seed ^ (seed << 13)) >>> 0;
		seed = (seed ^ (seed >>> 17)) >>> 0;
		seed = (seed ^ (seed << 5)) >>> 0;
		return seed;
	};
	const bytes = (a: number): number[] => [a >>> 24, (a >>> 16) & 255, (a >>> 8) & 255, a & 255];
	const maskOf = (length: number): number => (length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0);
	// half of the addresses share few networks, so that prefixes nest
	const address = (): number => ((random() & 1) !== 0 ? random() : (0x0a000000 | (random() & 0x0003ffff)) >>> 0);
	const expected = (a: number): Entry | undefined => {
		for (let length = 32; length >= 0; length--) {
			const e = model[length].get((a & maskOf(length)) >>> 0);
			if (e !== undefined) return e;
		}
		return undefined;
	};
	const change = (add: boolean): void => {
		const length = random() % 8 === 0 ? random() % 16 : 16 + (random() % 17);
		const a = address();
		const net = (a & maskOf(length)) >>> 0;
		if (add) {
			const e = new Entry(bytes(a), length);
			const added = h.rnh_addaddr(e.key, e.mask, h.rh, e.nodes);
			expect(added === null).toBe(model[length].has(net));
			if (added !== null) model[length].set(net, e);
			return;
		}
		// an entry that exists
		const [key, e] = [...model[length]][0] ?? [];
		if (e === undefined || key === undefined) return;
		expect(owner(h.rnh_deladdr(e.key, e.mask, h.rh))).toBe(e);
		model[length].delete(key);
	};
	const check = (n: number): void => {
		for (let i = 0; i < n; i++) {
			const a = address();
			if (a !== 0xffffffff) expect(owner(h.rnh_matchaddr(keyOf(bytes(a)), h.rh))).toBe(expected(a) ?? null);
		}
	};
	while (h.rh.rnh_entries < 5000) change(true);
	expect(h.rh.rnh_index).not.toBeNull();
	check(3000);
	for (let round = 0; round < 30; round++) {
		for (let i = 0; i < 40; i++) change(random() % 3 !== 0);
		check(200);
	}
	expect(h.rnh_matchaddr(keyOf([255, 255, 255, 255]), h.rh)).toBeNull();
});
