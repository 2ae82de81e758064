import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { noble_backend, set_host_aead } from "../../src/crypto/aead_backend.ts";
import {
	chacha20_poly1305_decrypt,
	chacha20_poly1305_encrypt,
	xchacha20_poly1305_decrypt,
	xchacha20_poly1305_encrypt,
} from "../../src/crypto/chacha20_poly1305/chacha20_poly1305.ts";
import { hchacha20 } from "../../src/crypto/chacha20_poly1305/hchacha20.ts";
import { KernelPanic } from "../../src/kernel/sched/kernel.ts";
import { cost } from "../../src/kernel/sched/thread.ts";
import { aeadBackends, ascii, bootKernel, bytes, charged, counting, hex } from "./support.ts";

const SUNSCREEN = ascii(
	"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
);
const SUNSCREEN_AAD = bytes("50515253c0c1c2c3c4c5c6c7");

/** RFC 8439, appendix A.5: its nonce begins with four zero bytes, so the 8-byte form must open it too. */
const a5 = {
	key: bytes("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
	nonce: bytes("000000000102030405060708"),
	aad: bytes("f33388860000000000004e91"),
	box: bytes(`
		64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0
		bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855
		9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9
		9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a
		0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130
		305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38`),
};

beforeEach(() => bootKernel());

describe.each(aeadBackends)("with $name", (backend) => {
	beforeAll(() => set_host_aead(backend));
	afterAll(() => set_host_aead(noble_backend));

	test.each([
		{ form: "12-byte", nonce: a5.nonce },
		{ form: "8-byte", nonce: a5.nonce.slice(4) },
	])("opens RFC 8439 appendix A.5 with the $form nonce", ({ nonce }) => {
		const plain = new Uint8Array(a5.box.length - 16);
		const ok = chacha20_poly1305_decrypt(plain, a5.box, a5.box.length, a5.aad, 12, nonce, nonce.length, a5.key);
		expect(ok).toBe(true);
		expect(Buffer.from(plain).toString()).toMatch(
			/^Internet-Drafts are draft documents valid for a maximum of six months/,
		);

		const again = new Uint8Array(a5.box.length);
		chacha20_poly1305_encrypt(again, plain, plain.length, a5.aad, 12, nonce, nonce.length, a5.key);
		expect(hex(again)).toBe(hex(a5.box));
	});

	test("XChaCha20-Poly1305 of draft-irtf-cfrg-xchacha-03, appendix A.3.1", () => {
		const key = counting(32, 0x80);
		const nonce = counting(24, 0x40);
		const box = new Uint8Array(SUNSCREEN.length + 16);
		xchacha20_poly1305_encrypt(box, SUNSCREEN, SUNSCREEN.length, SUNSCREEN_AAD, SUNSCREEN_AAD.length, nonce, key);
		expect(hex(box)).toBe(
			"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39" +
				"ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9" +
				"21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
		);

		const plain = new Uint8Array(SUNSCREEN.length);
		const open = () =>
			xchacha20_poly1305_decrypt(plain, box, box.length, SUNSCREEN_AAD, SUNSCREEN_AAD.length, nonce, key);
		expect(open()).toBe(true);
		expect(plain).toEqual(SUNSCREEN);

		plain.fill(0);
		box[3] ^= 1;
		expect(open()).toBe(false);
		expect(plain).toEqual(new Uint8Array(SUNSCREEN.length));
	});

	test("what was encrypted opens, from a longer buffer and in place", () => {
		const aad = fc.uint8Array({ maxLength: 32 });
		const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
		fc.assert(
			fc.property(key, fc.constantFrom(8, 12), aad, fc.uint8Array({ maxLength: 200 }), (k, nonce_len, a, plain) => {
				const buf = new Uint8Array(plain.length + 16 + 9);
				buf.set(plain);
				chacha20_poly1305_encrypt(buf, buf, plain.length, a, a.length, counting(16), nonce_len, k);
				const ok = chacha20_poly1305_decrypt(buf, buf, plain.length + 16, a, a.length, counting(16), nonce_len, k);
				expect(ok).toBe(true);
				expect(buf.subarray(0, plain.length)).toEqual(plain);
			}),
		);
	});
});

test("a forgery leaves the destination as it was", () => {
	const dst = new Uint8Array(300).fill(7);
	const forged = a5.box.slice();
	forged[forged.length - 1] ^= 0x80;
	expect(chacha20_poly1305_decrypt(dst, forged, forged.length, a5.aad, 12, a5.nonce, 12, a5.key)).toBe(false);
	expect(dst).toEqual(new Uint8Array(300).fill(7));
});

test("fewer bytes than a tag are refused, and cost nothing", () => {
	expect(
		charged(() => expect(chacha20_poly1305_decrypt(a5.box, a5.box, 15, null, 0, a5.nonce, 12, a5.key)).toBe(false)),
	).toBe(0);
});

test("no authenticated data is the same as none of its bytes", () => {
	const [one, two, three] = [new Uint8Array(20), new Uint8Array(20), new Uint8Array(20)];
	chacha20_poly1305_encrypt(one, ascii("text"), 4, null, 0, a5.nonce, 12, a5.key);
	chacha20_poly1305_encrypt(two, ascii("text"), 4, a5.aad, 0, a5.nonce, 12, a5.key);
	chacha20_poly1305_encrypt(three, ascii("text"), 4, a5.aad, 12, a5.nonce, 12, a5.key);
	expect(one).toEqual(two);
	expect(one).not.toEqual(three);
});

test("a nonce of another length is a panic", () => {
	expect(() => chacha20_poly1305_encrypt(new Uint8Array(20), ascii("text"), 4, null, 0, a5.nonce, 11, a5.key)).toThrow(
		KernelPanic,
	);
});

test("HChaCha20 of draft-irtf-cfrg-xchacha-03, section 2.2.1, whatever the alignment", () => {
	const out = new Uint8Array(33);
	const nonce = bytes("00 000000090000004a0000000031415927").subarray(1);
	hchacha20(out.subarray(1), nonce, counting(33, -1).subarray(1));
	expect(hex(out.subarray(1))).toBe("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
	expect(out[0]).toBe(0);
});

test("costs a setup and a price for each byte of text; the long nonce costs one block more", () => {
	const key = counting(32);
	const box = new Uint8Array(1016);
	const nonce = counting(24);
	const price = (n: number) => Math.floor((n * cost.chapoly_own) / 1000);
	expect(cost.chapoly_own).toBeGreaterThan(0);

	const short = cost.chapoly_own_setup + price(1000);
	expect(charged(() => chacha20_poly1305_encrypt(box, box, 1000, null, 0, nonce, 8, key))).toBe(short);
	expect(charged(() => chacha20_poly1305_decrypt(box, box, 1016, null, 0, nonce, 8, key))).toBe(short);
	const long = short + price(64);
	expect(charged(() => xchacha20_poly1305_encrypt(box, box, 1000, null, 0, nonce, key))).toBe(long);
	expect(charged(() => xchacha20_poly1305_decrypt(box, box, 1016, null, 0, nonce, key))).toBe(long);
});
