import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import {
	blake2b,
	blake2b_final,
	blake2b_init,
	blake2b_init_key,
	blake2b_state,
	blake2b_update,
} from "../../src/crypto/blake2/blake2b.ts";
import {
	blake2s,
	blake2s_final,
	blake2s_init,
	blake2s_init_key,
	blake2s_state,
	blake2s_update,
} from "../../src/crypto/blake2/blake2s.ts";
import { blake2s_hmac } from "../../src/crypto/blake2/blake2s_hmac.ts";
import { KernelPanic } from "../../src/kernel/sched/kernel.ts";
import { cost } from "../../src/kernel/sched/thread.ts";
import { ascii, bootKernel, bytes, charged, counting, hex } from "./support.ts";

beforeEach(() => bootKernel());

/** One hash of the pair, with what RFC 7693 says of it. */
interface Variant {
	readonly name: string;
	readonly node: string;
	readonly max: number;
	readonly oneshot: typeof blake2s;
	readonly state: () => {
		init(outlen: number): number;
		init_key(outlen: number, key: Uint8Array | null, keylen: number): number;
		update(input: Uint8Array, inlen: number): number;
		final(out: Uint8Array, outlen: number): number;
	};
	readonly abc: string;
	readonly keyedEmpty: string;
	readonly keyedZero: string;
	readonly selftest: {
		readonly result: string;
		readonly outlens: readonly number[];
		readonly inlens: readonly number[];
	};
	/** key length, message length, digest length and digest, by Python's hashlib */
	readonly keyed: readonly (readonly [number, number, number, string])[];
}

const variants: readonly Variant[] = [
	{
		name: "blake2s",
		node: "blake2s256",
		max: 32,
		oneshot: blake2s,
		state: () => {
			const S = new blake2s_state();
			return {
				init: (outlen) => blake2s_init(S, outlen),
				init_key: (outlen, key, keylen) => blake2s_init_key(S, outlen, key, keylen),
				update: (input, inlen) => blake2s_update(S, input, inlen),
				final: (out, outlen) => blake2s_final(S, out, outlen),
			};
		},
		abc: "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
		keyedEmpty: "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49",
		keyedZero: "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1",
		selftest: {
			result: "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe",
			outlens: [16, 20, 28, 32],
			inlens: [0, 3, 64, 65, 255, 1024],
		},
		keyed: [
			[32, 0, 16, "9536f9b267655743dee97b8a670f9f53"],
			[32, 116, 16, "3bb7844efca93a99b448f184b6b4c2d1"],
			[16, 64, 16, "521ceb8c84ace70ace5c25a7c66daf62"],
			[32, 132, 16, "9132eaf2872e3e08de87fee36e84692c"],
			[32, 18, 16, "e9d01e6539254e183036347d3ec538f7"],
			[1, 129, 7, "1cd20a939bc033"],
		],
	},
	{
		name: "blake2b",
		node: "blake2b512",
		max: 64,
		oneshot: blake2b,
		state: () => {
			const S = new blake2b_state();
			return {
				init: (outlen) => blake2b_init(S, outlen),
				init_key: (outlen, key, keylen) => blake2b_init_key(S, outlen, key, keylen),
				update: (input, inlen) => blake2b_update(S, input, inlen),
				final: (out, outlen) => blake2b_final(S, out, outlen),
			};
		},
		abc:
			"ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1" +
			"7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
		keyedEmpty:
			"10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786" +
			"b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568",
		keyedZero:
			"961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4" +
			"187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd",
		selftest: {
			result: "c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475",
			outlens: [20, 32, 48, 64],
			inlens: [0, 3, 128, 129, 255, 1024],
		},
		keyed: [
			[
				64,
				128,
				64,
				"b890c4cfabce8bf698d74bdd2e630627f49c096096af6960dd6e5f4c9ec6b1fa3c81d8d6ba2fb6abe0214812d00f1661" +
					"14b49a59eb9217d138d1a141673c4483",
			],
			[32, 129, 20, "8ae6070068cdee2876d62316381fae809986d7a3"],
			[1, 0, 1, "05"],
		],
	},
];

/** The bytes RFC 7693 appendix E tests with: the top bytes of a Fibonacci sequence begun with the seed. */
function selftestBytes(length: number, seed: number): Uint8Array {
	const out = new Uint8Array(length);
	let a = Math.imul(0xdead4bad, seed) >>> 0;
	let b = 1;
	for (let i = 0; i < length; i++) {
		const t = (a + b) >>> 0;
		a = b;
		b = t;
		out[i] = t >>> 24;
	}
	return out;
}

describe.each(variants)("$name", (v) => {
	const digest = (input: Uint8Array, key: Uint8Array | null, outlen: number): string => {
		const out = new Uint8Array(outlen);
		expect(v.oneshot(out, input, key, outlen, input.length, key?.length ?? 0)).toBe(0);
		return hex(out);
	};

	test("RFC 7693, appendices A and B: abc", () => {
		expect(digest(ascii("abc"), null, v.max)).toBe(v.abc);
	});

	test("RFC 7693, appendix E: all lengths, with and without key", () => {
		const all = v.state();
		all.init(32);
		for (const outlen of v.selftest.outlens) {
			for (const inlen of v.selftest.inlens) {
				const input = selftestBytes(inlen, inlen);
				all.update(bytes(digest(input, null, outlen)), outlen);
				all.update(bytes(digest(input, selftestBytes(outlen, outlen), outlen)), outlen);
			}
		}
		const out = new Uint8Array(32);
		all.final(out, 32);
		expect(hex(out)).toBe(v.selftest.result);
	});

	test("the authors' known answers with a full key", () => {
		expect(digest(new Uint8Array(0), counting(v.max), v.max)).toBe(v.keyedEmpty);
		expect(digest(new Uint8Array(1), counting(v.max), v.max)).toBe(v.keyedZero);
	});

	test.each(v.keyed)("key of %i bytes, message of %i, digest of %i", (keylen, inlen, outlen, expected) => {
		expect(
			digest(
				Uint8Array.from({ length: inlen }, (_, i) => 7 * i + 3),
				counting(keylen),
				outlen,
			),
		).toBe(expected);
	});

	test("a full digest is what OpenSSL computes, in however many pieces it comes", () => {
		fc.assert(
			fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }), (pieces) => {
				const S = v.state();
				S.init(v.max);
				const hash = createHash(v.node);
				for (const piece of pieces) {
					expect(S.update(piece, piece.length)).toBe(0);
					hash.update(piece);
				}
				const out = new Uint8Array(v.max);
				expect(S.final(out, v.max)).toBe(0);
				expect(hex(out)).toBe(hash.digest("hex"));
			}),
		);
	});

	test("a short digest is not the start of a long one", () => {
		expect(digest(ascii("abc"), null, v.max).startsWith(digest(ascii("abc"), null, 16))).toBe(false);
	});

	test("lengths count, not the sizes of the buffers", () => {
		const out = new Uint8Array(v.max + 8).fill(7);
		expect(v.oneshot(out.subarray(3), ascii("abc and more"), counting(v.max), 5, 3, 4)).toBe(0);
		expect(hex(out.subarray(3, 8))).toBe(digest(ascii("abc"), counting(4), 5));
		expect(out.subarray(8)).toEqual(new Uint8Array(v.max).fill(7));
	});

	test("a key length of zero means no key", () => {
		const out = new Uint8Array(v.max);
		expect(v.oneshot(out, ascii("abc"), counting(v.max), v.max, 3, 0)).toBe(0);
		expect(hex(out)).toBe(v.abc);
	});

	test("an empty message may be null", () => {
		const out = new Uint8Array(v.max);
		expect(v.oneshot(out, null, null, v.max, 0, 0)).toBe(0);
		expect(hex(out)).toBe(digest(new Uint8Array(0), null, v.max));
	});

	test("lengths out of range are -1, and write and cost nothing", () => {
		const out = new Uint8Array(80).fill(7);
		const key = new Uint8Array(80);
		const S = v.state();
		const spent = charged(() => {
			for (const outlen of [0, v.max + 1]) {
				expect(v.oneshot(out, key, null, outlen, 1, 0)).toBe(-1);
				expect(v.oneshot(out, key, key, outlen, 1, 1)).toBe(-1);
				expect(S.init(outlen)).toBe(-1);
				expect(S.init_key(outlen, key, 1)).toBe(-1);
			}
			expect(v.oneshot(out, key, key, v.max, 1, v.max + 1)).toBe(-1);
			expect(v.oneshot(out, key, null, v.max, 1, 1)).toBe(-1);
			expect(v.oneshot(out, null, null, v.max, 1, 0)).toBe(-1);
			expect(S.init_key(v.max, key, 0)).toBe(-1);
			expect(S.init_key(v.max, key, v.max + 1)).toBe(-1);
			expect(S.init_key(v.max, null, 1)).toBe(-1);
		});
		expect(spent).toBe(0);
		expect(out).toEqual(new Uint8Array(80).fill(7));
	});

	test("final refuses another length than init had, and the hash can still be ended", () => {
		const S = v.state();
		const out = new Uint8Array(v.max);
		S.init(v.max);
		S.update(ascii("abc"), 3);
		expect(S.final(out, 16)).toBe(-1);
		expect(S.final(out, v.max)).toBe(0);
		expect(hex(out)).toBe(v.abc);
	});

	test("a state not begun, or ended, is a panic", () => {
		const S = v.state();
		const out = new Uint8Array(v.max);
		expect(() => S.update(out, 1)).toThrow(KernelPanic);
		expect(() => S.final(out, v.max)).toThrow(KernelPanic);
		S.init(v.max);
		S.final(out, v.max);
		expect(() => S.final(out, v.max)).toThrow(KernelPanic);
	});

	test("a block is charged for when it is compressed, the last one at the end", () => {
		const block = 2 * v.max;
		const price = v.max === 32 ? cost.blake2s_block : Math.round((cost.blake2s_block * 12) / 10);
		const input = new Uint8Array(3 * block);
		const S = v.state();
		expect(price).toBeGreaterThan(0);
		expect(charged(() => S.init_key(v.max, input, 1))).toBe(cost.blake2s_setup);
		expect(charged(() => S.update(input, 0))).toBe(0);
		expect(charged(() => S.update(input, 1))).toBe(price);
		expect(charged(() => S.update(input, block - 1))).toBe(0);
		expect(charged(() => S.update(input, 1))).toBe(price);
		expect(charged(() => S.final(new Uint8Array(v.max), v.max))).toBe(price);
		const empty = charged(() => v.oneshot(new Uint8Array(v.max), null, null, v.max, 0, 0));
		expect(empty).toBe(cost.blake2s_setup + price);
		const full = charged(() => v.oneshot(new Uint8Array(v.max), input, null, v.max, block, 0));
		expect(full).toBe(empty);
	});
});

describe("blake2s_hmac", () => {
	const hmac = (input: Uint8Array, key: Uint8Array, outlen = 32): Uint8Array => {
		const out = new Uint8Array(outlen);
		blake2s_hmac(out, input, key, outlen, input.length, key.length);
		return out;
	};

	/** The key derivation of the WireGuard paper, section 5.4. */
	const kdf = (key: Uint8Array, input: Uint8Array): Uint8Array[] => {
		const prk = hmac(input, key);
		const t0 = hmac(Uint8Array.of(1), prk);
		const t1 = hmac(Uint8Array.of(...t0, 2), prk);
		return [t0, t1, hmac(Uint8Array.of(...t1, 3), prk)];
	};

	test("is what OpenSSL computes, for keys shorter and longer than a block", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 150 }), fc.uint8Array({ maxLength: 200 }), (key, input) => {
				expect(hex(hmac(input, key))).toBe(createHmac("blake2s256", key).update(input).digest("hex"));
			}),
		);
	});

	test.each([
		[
			"test-key",
			"test-input",
			"6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633",
			"df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a",
			"fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24",
		],
		[
			"wireguard",
			"wireguard",
			"491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8",
			"1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f",
			"31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160",
		],
		[
			"",
			"",
			"8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
			"58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
			"0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e",
		],
	])("derives the keys of wireguard-go's kdf_test: %o, %o", (key, input, ...expected) => {
		expect(kdf(ascii(key), ascii(input)).map(hex)).toEqual(expected);
	});

	test("a short MAC is the start of the long one", () => {
		expect(hmac(ascii("abc"), counting(32), 5)).toEqual(hmac(ascii("abc"), counting(32)).subarray(0, 5));
	});

	test("the result may replace key or input", () => {
		const expected = hmac(counting(32, 5), counting(32));
		const key = counting(32);
		blake2s_hmac(key, counting(32, 5), key, 32, 32, 32);
		expect(key).toEqual(expected);
		const input = counting(32, 5);
		blake2s_hmac(input, input, counting(32), 32, 32, 32);
		expect(input).toEqual(expected);
	});

	test("costs its two hashes, and a third for a long key", () => {
		const hash = (blocks: number) => cost.blake2s_setup + blocks * cost.blake2s_block;
		expect(charged(() => hmac(counting(32), counting(32)))).toBe(hash(2) + hash(2));
		expect(charged(() => hmac(counting(32), counting(65)))).toBe(hash(2) + hash(2) + hash(2));
	});
});
