import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
	CURVE25519_KEY_SIZE,
	curve25519,
	curve25519_clamp_secret,
	curve25519_generate_public,
	curve25519_generate_secret,
} from "../../src/crypto/curve25519/curve25519.ts";
import { noble_x25519, set_host_x25519 } from "../../src/crypto/curve25519/x25519_backend.ts";
import { cost } from "../../src/kernel/sched/thread.ts";
import { bootKernel, bytes, charged, counting, hex, x25519Backends } from "./support.ts";

/** Points whose product with a clamped scalar is zero: orders 1, 2, 4 and 8, and the same numbers not reduced. */
const smallOrder = [
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
];

function product(secret: Uint8Array, point: Uint8Array): string {
	const out = new Uint8Array(CURVE25519_KEY_SIZE);
	expect(curve25519(out, secret, point)).toBe(true);
	return hex(out);
}

beforeEach(() => bootKernel());

describe.each(x25519Backends)("with $name", (backend) => {
	beforeAll(() => set_host_x25519(backend));
	afterAll(() => set_host_x25519(noble_x25519));

	test.each([
		[
			"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
			"e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
			"c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
		],
		[
			"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
			"e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
			"95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
		],
	])("RFC 7748, section 5.2: %s", (secret, point, expected) => {
		expect(product(bytes(secret), bytes(point))).toBe(expected);
	});

	test("RFC 7748, section 5.2: iterated once and a thousand times", () => {
		let k = bytes(`09${"00".repeat(31)}`);
		let u = k;
		for (let i = 1; i <= 1000; i++) {
			const next = bytes(product(k, u));
			u = k;
			k = next;
			if (i === 1) expect(hex(k)).toBe("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
		}
		expect(hex(k)).toBe("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
	});

	test("RFC 7748, section 6.1: both sides agree", () => {
		const alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
		const bob = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
		const [alicePublic, bobPublic] = [new Uint8Array(32), new Uint8Array(32)];
		expect(curve25519_generate_public(alicePublic, alice)).toBe(true);
		expect(curve25519_generate_public(bobPublic, bob)).toBe(true);
		expect(hex(alicePublic)).toBe("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
		expect(hex(bobPublic)).toBe("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
		const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
		expect(product(alice, bobPublic)).toBe(shared);
		expect(product(bob, alicePublic)).toBe(shared);
	});

	test.each(smallOrder)("a point of small order is refused, and the result zeroed: %s", (point) => {
		const out = new Uint8Array(40).fill(7);
		expect(curve25519(out, counting(32, 1), bytes(point))).toBe(false);
		expect(hex(out)).toBe("00".repeat(32) + "07".repeat(8));
	});

	test("the multiplication clamps the secret itself", () => {
		const secret = bytes("ff".repeat(32));
		const clamped = secret.slice();
		curve25519_clamp_secret(clamped);
		const point = counting(32, 9);
		expect(product(secret, point)).toBe(product(clamped, point));
	});

	test("the result may replace one of its factors", () => {
		const [secret, point] = [counting(32, 1), counting(32, 9)];
		const expected = product(secret, point);
		const inSecret = secret.slice();
		expect(curve25519(inSecret, inSecret, point)).toBe(true);
		expect(hex(inSecret)).toBe(expected);
		const inPoint = point.slice();
		expect(curve25519(inPoint, secret, inPoint)).toBe(true);
		expect(hex(inPoint)).toBe(expected);
	});
});

test("random keys and points give what OpenSSL gives, the top bit of a point ignored", () => {
	const some = fc.uint8Array({ minLength: 32, maxLength: 32 });
	const der = (prefix: string, raw: Uint8Array): Buffer => Buffer.concat([Buffer.from(prefix, "hex"), raw]);
	fc.assert(
		fc.property(some, some, (secret, point) => {
			fc.pre(!smallOrder.includes(hex(point)));
			const expected = diffieHellman({
				privateKey: createPrivateKey({
					key: der("302e020100300506032b656e04220420", secret),
					format: "der",
					type: "pkcs8",
				}),
				publicKey: createPublicKey({ key: der("302a300506032b656e032100", point), format: "der", type: "spki" }),
			});
			for (const backend of x25519Backends) {
				const out = new Uint8Array(32);
				expect(backend.scalarmult(out, secret, point)).toBe(true);
				expect(hex(out)).toBe(hex(expected));
			}
		}),
		{ numRuns: 40 },
	);
});

test("a secret comes from the kernel's random numbers, clamped, and again with the same seed", () => {
	const draw = (seed: number): string => {
		bootKernel(seed);
		const secret = new Uint8Array(32);
		curve25519_generate_secret(secret);
		expect(secret[0] & 7).toBe(0);
		expect(secret[31] & 0xc0).toBe(0x40);
		return hex(secret);
	};
	expect(draw(1)).toBe(draw(1));
	expect(draw(1)).not.toBe(draw(2));
});

test("a secret may come from another source", () => {
	const secret = new Uint8Array(40);
	curve25519_generate_secret(secret, (buf) => buf.fill(0xff));
	expect(hex(secret)).toBe(`f8${"ff".repeat(30)}7f${"00".repeat(8)}`);
});

test("a multiplication costs the same whether it succeeds or not", () => {
	const out = new Uint8Array(32);
	expect(cost.curve25519).toBeGreaterThan(0);
	expect(charged(() => curve25519(out, counting(32, 1), counting(32, 9)))).toBe(cost.curve25519);
	expect(charged(() => curve25519(out, counting(32, 1), bytes(smallOrder[0])))).toBe(cost.curve25519);
	expect(charged(() => curve25519_generate_public(out, counting(32, 1)))).toBe(cost.curve25519);
});
