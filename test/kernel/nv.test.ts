/**
 * nvlists: what is packed comes back, in libnv's own bytes; and no bytes, however wrong, do more than be refused.
 */
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { boot } from "../../src/kernel/boot.ts";
import { EEXIST, EINVAL, ENAMETOOLONG } from "../../src/kernel/errno.ts";
import { malloc_leaks } from "../../src/kernel/mbuf/malloc.ts";
import {
	NV_FLAG_IGNORE_CASE,
	NV_FLAG_NO_UNIQUE,
	NV_TYPE_BINARY,
	type nvlist,
	nvlist_add_binary,
	nvlist_add_bool,
	nvlist_add_bool_array,
	nvlist_add_null,
	nvlist_add_number,
	nvlist_add_number_array,
	nvlist_add_nvlist,
	nvlist_add_nvlist_array,
	nvlist_add_string,
	nvlist_add_string_array,
	nvlist_create,
	nvlist_destroy,
	nvlist_error,
	nvlist_exists,
	nvlist_exists_number,
	nvlist_exists_type,
	nvlist_get_binary,
	nvlist_get_bool_array,
	nvlist_get_number,
	nvlist_get_number_array,
	nvlist_get_nvlist,
	nvlist_get_nvlist_array,
	nvlist_get_string,
	nvlist_get_string_array,
	nvlist_pack,
	nvlist_size,
	nvlist_unpack,
} from "../../src/kernel/nv.ts";
import { KernelPanic } from "../../src/kernel/sched/kernel.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";

beforeAll(() => {
	boot(new Machine({ profile: findProfile("xeon-d")!, cpus: 1 }));
});

function leaked(): number {
	return malloc_leaks().find((leak) => leak.type === "nvlist")?.allocations ?? 0;
}

function hex(bytes: Uint8Array): string {
	return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

test("a list of one number is packed as libnv packs it", () => {
	const nvl = nvlist_create(0);
	nvlist_add_number(nvl, "listen-port", 0x3039);
	expect(hex(nvlist_pack(nvl)!)).toBe(
		// magic, version, flags, no descriptors, 39 bytes follow
		"6c0000" +
			"0000000000000000" +
			"2700000000000000" +
			// number, name of 12 bytes, 8 bytes of data, no items; the name; the number
			"03" +
			"0c00" +
			"0800000000000000" +
			"0000000000000000" +
			"6c697374656e2d706f727400" +
			"3930000000000000",
	);
	nvlist_destroy(nvl);
});

test("sizes in the headers of inner lists count to the end of the buffer, and arrays end each list with a mark", () => {
	const inner = nvlist_create(0);
	nvlist_add_bool(inner, "b", true);
	const nvl = nvlist_create(0);
	nvlist_add_nvlist_array(nvl, "a", [inner]);
	const packed = nvlist_pack(nvl)!;
	expect(packed.length).toBe(nvlist_size(nvl));
	// outer header 19, pair header 19, name 2: the inner header
	const at = 40;
	expect(packed[at]).toBe(0x6c);
	expect(packed[at + 11]).toBe(packed.length - at - 19);
	expect(packed[packed.length - 20]).toBe(254);
	// the pair of the array says one item and no size
	expect([packed[19], packed[22], packed[30]]).toEqual([11, 0, 1]);
	nvlist_destroy(inner);
	nvlist_destroy(nvl);
});

type tree = { [name: string]: unknown };

const value = fc.letrec((tie) => ({
	leaf: fc.oneof(
		fc.constant(null),
		fc.boolean(),
		fc.bigInt(0n, 2n ** 64n - 1n),
		fc.string({ maxLength: 12 }).filter((s) => !s.includes("\0")),
		fc.uint8Array({ minLength: 1, maxLength: 40 }),
		fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }),
		fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { minLength: 1, maxLength: 4 }),
	),
	tree: fc.dictionary(
		fc.string({ minLength: 1, maxLength: 8 }).filter((s) => !s.includes("\0")),
		fc.oneof({ depthSize: "small" }, tie("leaf"), tie("tree"), fc.array(tie("tree"), { minLength: 1, maxLength: 3 })),
		{ maxKeys: 4, noNullPrototype: true },
	),
})).tree as fc.Arbitrary<tree>;

function build(from: tree): nvlist {
	const nvl = nvlist_create(0);
	for (const [name, v] of Object.entries(from)) {
		if (v === null) nvlist_add_null(nvl, name);
		else if (typeof v === "boolean") nvlist_add_bool(nvl, name, v);
		else if (typeof v === "bigint") nvlist_add_number(nvl, name, v);
		else if (typeof v === "string") nvlist_add_string(nvl, name, v);
		else if (v instanceof Uint8Array) nvlist_add_binary(nvl, name, v);
		else if (Array.isArray(v)) {
			if (typeof v[0] === "boolean") nvlist_add_bool_array(nvl, name, v as boolean[]);
			else if (typeof v[0] === "bigint") nvlist_add_number_array(nvl, name, v as bigint[]);
			else {
				const lists = (v as tree[]).map(build);
				nvlist_add_nvlist_array(nvl, name, lists);
				lists.forEach(nvlist_destroy);
			}
		} else {
			const list = build(v as tree);
			nvlist_add_nvlist(nvl, name, list);
			nvlist_destroy(list);
		}
	}
	return nvl;
}

function show(nvl: nvlist): unknown {
	return nvl.nvl_head.map((p) => {
		const d = p.nvp_data;
		const nested = Array.isArray(d) && typeof d[0] === "object" ? (d as nvlist[]).map(show) : null;
		return [p.nvp_name, p.nvp_type, nested ?? (p.nvp_type === 5 ? show(d as nvlist) : d)];
	});
}

test("what is packed and unpacked is the same list, and packs to the same bytes; nothing leaks", () => {
	fc.assert(
		fc.property(value, (from) => {
			const nvl = build(from);
			const packed = nvlist_pack(nvl)!;
			const back = nvlist_unpack(packed, 0)!;
			expect(show(back)).toEqual(show(nvl));
			expect(nvlist_pack(back)).toEqual(packed);
			nvlist_destroy(nvl);
			nvlist_destroy(back);
			expect(leaked()).toBe(0);
		}),
		{ numRuns: 150 },
	);
});

test("every shortening of a packed list, and every change of one byte, is refused or is another list; nothing leaks", () => {
	fc.assert(
		fc.property(value, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (from, where, change, cut) => {
			const nvl = build(from);
			let bytes = nvlist_pack(nvl)!;
			nvlist_destroy(nvl);
			const at = where % bytes.length;
			if (cut) bytes = bytes.slice(0, at);
			else bytes[at] ^= change;
			nvlist_destroy(nvlist_unpack(bytes, 0));
			expect(leaked()).toBe(0);
		}),
		{ numRuns: 400 },
	);
});

test("random bytes are refused", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			expect(nvlist_unpack(bytes, 0)).toBeNull();
			expect(leaked()).toBe(0);
		}),
	);
});

/** A pair's header with a name, by hand. */
function pair(type: number, name: string, datasize: bigint, nitems: bigint, data: number[] = []): number[] {
	const head = new DataView(new ArrayBuffer(19));
	head.setUint8(0, type);
	head.setUint16(1, name.length + 1, true);
	head.setBigUint64(3, datasize, true);
	head.setBigUint64(11, nitems, true);
	return [...new Uint8Array(head.buffer), ...Array.from(name, (c) => c.charCodeAt(0)), 0, ...data];
}

function list(...pairs: number[][]): Uint8Array {
	const body = pairs.flat();
	const head = new DataView(new ArrayBuffer(19));
	head.setUint8(0, 0x6c);
	head.setBigUint64(11, BigInt(body.length), true);
	return Uint8Array.from([...new Uint8Array(head.buffer), ...body]);
}

test.each([
	["a descriptor", list(pair(6, "fd", 8n, 0n, [0, 0, 0, 0, 0, 0, 0, 0]))],
	["an unknown type", list(pair(13, "x", 0n, 0n))],
	["type 0", list(pair(0, "x", 0n, 0n))],
	["data larger than the buffer", list(pair(7, "x", 2n ** 63n, 0n, [1]))],
	["binary data of no length", list(pair(7, "x", 0n, 0n))],
	["a bool of 2", list(pair(2, "x", 1n, 0n, [2]))],
	["a number of 4 bytes", list(pair(3, "x", 4n, 0n, [1, 2, 3, 4]))],
	["a string without its zero byte", list(pair(4, "x", 2n, 0n, [65, 66]))],
	["a string with two", list(pair(4, "x", 3n, 0n, [65, 0, 0]))],
	["an array of billions of lists", list(pair(11, "x", 0n, 2n ** 40n))],
	["an array of billions of bools", list(pair(8, "x", 1n, 2n ** 32n, [1]))],
	["an array of no numbers", list(pair(9, "x", 0n, 0n))],
	["an end mark without a list", list(pair(255, "", 0n, 0n))],
	["an end of an array without one", list(pair(254, "", 0n, 0n))],
	["the same name twice", list(pair(1, "x", 0n, 0n), pair(1, "x", 0n, 0n))],
	["another magic", Uint8Array.of(0x6d, ...list().slice(1))],
	["a size that is not the buffer's", Uint8Array.of(...list(), 0)],
	["the flag for lists in arrays only", Uint8Array.of(0x6c, 0, 4, ...list().slice(3))],
])("%s is refused", (_what, bytes) => {
	expect(nvlist_unpack(bytes, 0)).toBeNull();
	expect(leaked()).toBe(0);
});

test("a list nested ten thousand deep is no danger to the stack", () => {
	const depth = 10_000;
	const open = pair(5, "n", 1n, 0n).length;
	const bytes = new Uint8Array(19 + depth * (open + 19));
	let at = 0;
	for (let i = 0; i <= depth; i++) {
		const head = new DataView(bytes.buffer, at, 19);
		head.setUint8(0, 0x6c);
		head.setBigUint64(11, BigInt(bytes.length - at - 19), true);
		at += 19;
		if (i < depth) bytes.set(pair(5, "n", 1n, 0n), at);
		at += open;
	}
	const nvl = nvlist_unpack(bytes, 0);
	expect(nvl).not.toBeNull();
	nvlist_destroy(nvl);
	expect(leaked()).toBe(0);
});

test("a big-endian list is understood", () => {
	const bytes = list(pair(3, "x", 8n, 0n, [0, 0, 0, 0, 0, 0, 1, 2]));
	const view = new DataView(bytes.buffer);
	bytes[2] = 0x80;
	view.setBigUint64(11, BigInt(bytes.length - 19));
	view.setUint16(20, 2);
	view.setBigUint64(22, 8n);
	const nvl = nvlist_unpack(bytes, 0)!;
	expect(nvlist_get_number(nvl, "x")).toBe(0x102);
	nvlist_destroy(nvl);
});

test("flags must be the ones asked for", () => {
	const nvl = nvlist_create(NV_FLAG_NO_UNIQUE);
	nvlist_add_null(nvl, "x");
	nvlist_add_null(nvl, "x");
	const packed = nvlist_pack(nvl)!;
	expect(nvlist_unpack(packed, 0)).toBeNull();
	nvlist_destroy(nvlist_unpack(packed, NV_FLAG_NO_UNIQUE));
	nvlist_destroy(nvl);
	expect(leaked()).toBe(0);
});

test("the first error stays, and a list with an error does not pack", () => {
	const nvl = nvlist_create(0);
	nvlist_add_binary(nvl, "empty", new Uint8Array(0));
	nvlist_add_number(nvl, "later", 1);
	expect(nvlist_error(nvl)).toBe(EINVAL);
	expect(nvlist_exists(nvl, "later")).toBe(false);
	expect(nvlist_pack(nvl)).toBeNull();
	nvlist_destroy(nvl);
	const twice = nvlist_create(0);
	nvlist_add_number(twice, "x", 1);
	nvlist_add_bool(twice, "x", true);
	expect(nvlist_error(twice)).toBe(EEXIST);
	nvlist_destroy(twice);
	const long = nvlist_create(0);
	nvlist_add_null(long, "x".repeat(2048));
	expect(nvlist_error(long)).toBe(ENAMETOOLONG);
	nvlist_destroy(long);
	expect(leaked()).toBe(0);
});

test("getters find by name and type, and panic in libnv's words when there is none", () => {
	const nvl = nvlist_create(NV_FLAG_IGNORE_CASE);
	nvlist_add_number(nvl, "Port", 12345);
	nvlist_add_string(nvl, "name", "Grüße");
	nvlist_add_string_array(nvl, "names", ["a", "", "b"]);
	nvlist_add_number(nvl, "minus", -1);
	expect(nvlist_get_number(nvl, "PORT")).toBe(12345);
	expect(nvlist_exists_number(nvl, "name")).toBe(false);
	expect(nvlist_exists_type(nvl, "port", NV_TYPE_BINARY)).toBe(false);
	const back = nvlist_unpack(nvlist_pack(nvl)!, NV_FLAG_IGNORE_CASE)!;
	expect(nvlist_get_string(back, "name")).toBe("Grüße");
	expect(nvlist_get_string_array(back, "names")).toEqual(["a", "", "b"]);
	expect(nvlist_get_number(back, "minus")).toBe(2 ** 64);
	expect(() => nvlist_get_binary(nvl, "public-key")).toThrow(KernelPanic);
	expect(() => nvlist_get_binary(nvl, "public-key")).toThrow("Element 'public-key' of type BINARY doesn't exist.");
	nvlist_destroy(back);
	nvlist_destroy(nvl);
});

test("a list put into another is a copy: the original may change or go", () => {
	const inner = nvlist_create(0);
	const bytes = Uint8Array.of(1, 2, 3);
	nvlist_add_binary(inner, "key", bytes);
	bytes[0] = 9;
	const outer = nvlist_create(0);
	nvlist_add_nvlist(outer, "one", inner);
	nvlist_add_nvlist_array(outer, "many", [inner, inner]);
	nvlist_add_bool_array(outer, "bits", [true, false]);
	nvlist_add_number_array(outer, "numbers", [1, 2n]);
	nvlist_destroy(inner);
	expect(nvlist_get_binary(nvlist_get_nvlist(outer, "one"), "key")).toEqual(Uint8Array.of(1, 2, 3));
	expect(nvlist_get_nvlist_array(outer, "many")).toHaveLength(2);
	expect(nvlist_get_bool_array(outer, "bits")).toEqual([true, false]);
	expect(nvlist_get_number_array(outer, "numbers")).toEqual([1n, 2n]);
	nvlist_destroy(outer);
	expect(leaked()).toBe(0);
});
