import { expect, test } from "vitest";
import { SIPHASH_CTX, SipHashX } from "../../src/crypto/siphash/siphash.ts";

const key = Uint8Array.from({ length: 16 }, (_, i) => i);
const message = Uint8Array.from({ length: 64 }, (_, i) => i);

test("SipHash-2-4 gives the values of the paper and its reference code", () => {
	const ctx = new SIPHASH_CTX();
	expect(SipHashX(ctx, 2, 4, key, message, 15)).toBe(0xa129ca6149be45e5n);
	expect(SipHashX(ctx, 2, 4, key, message, 0)).toBe(0x726fdb47dd0e0e31n);
	expect(SipHashX(ctx, 2, 4, key, message, 8)).toBe(0x93f5f5799a932462n);
});

test("SipHash-1-3 gives the value known for the empty message", () => {
	expect(SipHashX(new SIPHASH_CTX(), 1, 3, key, message, 0)).toBe(0xabac0158050fc4dcn);
});

test("the state is wiped", () => {
	const ctx = new SIPHASH_CTX();
	SipHashX(ctx, 2, 4, key, message, 64);
	expect(ctx.v.every((word) => word === 0)).toBe(true);
});
