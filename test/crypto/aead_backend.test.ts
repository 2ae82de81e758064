/** Every backend is the cipher of RFC 8439, writes where it was told to and nowhere else, and none can be told from another. */
import { createCipheriv } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { installHost } from "../../sim/host/host.ts";
import { host_aead, noble_backend, set_host_aead } from "../../src/crypto/aead_backend.ts";
import { host_x25519, noble_x25519, set_host_x25519 } from "../../src/crypto/curve25519/x25519_backend.ts";
import { aeadBackends, ascii, bytes, counting, hex } from "./support.ts";

const GUARD = 0xee;
const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 });
const aad = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: null });
const text = fc.uint8Array({ maxLength: 300 });
const offset = fc.integer({ min: 0, max: 7 });

/** The oracle, straight from node:crypto. */
function sealed(k: Uint8Array, n: Uint8Array, a: Uint8Array | null, plain: Uint8Array): Uint8Array {
	const cipher = createCipheriv("chacha20-poly1305", k, n, { authTagLength: 16 });
	if (a !== null) cipher.setAAD(a, { plaintextLength: plain.length });
	return Uint8Array.from(Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
}

/** `data` at `off` of a buffer otherwise full of guard bytes, with `room` bytes behind it. */
function placed(data: Uint8Array, off: number, room: number): Uint8Array {
	const buf = new Uint8Array(off + data.length + room).fill(GUARD);
	buf.set(data, off);
	return buf;
}

describe.each(aeadBackends)("$name", (backend) => {
	test("RFC 8439, section 2.8.2", () => {
		const plain = ascii(
			"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
		);
		const out = new Uint8Array(plain.length + 16);
		backend.seal(
			counting(32, 0x80),
			bytes("070000004041424344454647"),
			bytes("50515253c0c1c2c3c4c5c6c7"),
			plain,
			0,
			plain.length,
			out,
			0,
		);
		expect(hex(out)).toBe(
			"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b" +
				"1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
				"3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
		);
	});

	test("seals from any offset to any offset, and touches nothing else", () => {
		fc.assert(
			fc.property(key, nonce, aad, text, offset, offset, (k, n, a, plain, off, outoff) => {
				const buf = placed(plain, off, 5);
				const out = new Uint8Array(outoff + plain.length + 16 + 5).fill(GUARD);
				backend.seal(k, n, a, buf, off, plain.length, out, outoff);
				expect(out).toEqual(placed(sealed(k, n, a, plain), outoff, 5));
				expect(buf).toEqual(placed(plain, off, 5));
			}),
		);
	});

	test("opens from any offset to any offset, and touches nothing else", () => {
		fc.assert(
			fc.property(key, nonce, aad, text, offset, offset, (k, n, a, plain, off, outoff) => {
				const buf = placed(sealed(k, n, a, plain), off, 5);
				const out = new Uint8Array(outoff + plain.length + 5).fill(GUARD);
				expect(backend.open(k, n, a, buf, off, plain.length + 16, out, outoff)).toBe(true);
				expect(out).toEqual(placed(plain, outoff, 5));
			}),
		);
	});

	test("seals and opens in place", () => {
		fc.assert(
			fc.property(key, nonce, aad, text, offset, (k, n, a, plain, off) => {
				const buf = placed(plain, off, 16);
				backend.seal(k, n, a, buf, off, plain.length, buf, off);
				expect(buf).toEqual(placed(sealed(k, n, a, plain), off, 0));
				expect(backend.open(k, n, a, buf, off, plain.length + 16, buf, off)).toBe(true);
				expect(buf.subarray(0, off + plain.length)).toEqual(placed(plain, off, 0));
			}),
		);
	});

	test.each([16_384, 70_000, 3_000_000])("%i bytes, and short ones after them", (length) => {
		for (const plain of [counting(length, 3), ascii("short")]) {
			const box = sealed(counting(32), counting(12), ascii("header"), plain);
			const out = new Uint8Array(plain.length + 16);
			backend.seal(counting(32), counting(12), ascii("header"), plain, 0, plain.length, out, 0);
			expect(Buffer.compare(out, box)).toBe(0);
			expect(backend.open(counting(32), counting(12), ascii("header"), box, 0, box.length, out, 0)).toBe(true);
			expect(Buffer.compare(out.subarray(0, plain.length), plain)).toBe(0);
		}
	});

	test("a flipped bit anywhere fails, and nothing is written", () => {
		fc.assert(
			fc.property(key, nonce, text, fc.nat(), fc.integer({ min: 0, max: 7 }), (k, n, plain, where, bit) => {
				const forged = sealed(k, n, null, plain);
				forged[where % forged.length] ^= 1 << bit;
				const before = forged.slice();
				expect(backend.open(k, n, null, forged, 0, forged.length, forged, 0)).toBe(false);
				expect(forged).toEqual(before);
			}),
		);
	});

	test("other authenticated data fails", () => {
		const box = sealed(counting(32), counting(12), ascii("one"), ascii("text"));
		const out = new Uint8Array(4).fill(GUARD);
		expect(backend.open(counting(32), counting(12), ascii("two"), box, 0, box.length, out, 0)).toBe(false);
		expect(backend.open(counting(32), counting(12), null, box, 0, box.length, out, 0)).toBe(false);
		expect(out).toEqual(new Uint8Array(4).fill(GUARD));
	});

	test.each([0, 1, 15])("%i bytes hold no tag", (length) => {
		const out = new Uint8Array(16).fill(GUARD);
		expect(backend.open(counting(32), counting(12), null, new Uint8Array(16), 0, length, out, 0)).toBe(false);
		expect(out).toEqual(new Uint8Array(16).fill(GUARD));
	});

	test("a key of the wrong length is a mistake and not a forgery", () => {
		const box = sealed(counting(32), counting(12), null, ascii("text"));
		expect(() => backend.open(counting(31), counting(12), null, box, 0, box.length, new Uint8Array(4), 0)).toThrow();
	});
});

test("all backends give the same bytes at every length around a block", () => {
	for (let length = 0; length <= 260; length++) {
		const plain = counting(length, length);
		const boxes = aeadBackends.map((backend) => {
			const out = new Uint8Array(length + 16);
			backend.seal(counting(32, length), counting(12), null, plain, 0, length, out, 0);
			return hex(out);
		});
		expect(new Set(boxes).size).toBe(1);
	}
});

describe("the host", () => {
	afterEach(() => {
		set_host_aead(noble_backend);
		set_host_x25519(noble_x25519);
	});

	test("computes with noble until its own libraries are installed, and with what the environment names for packets", async () => {
		expect([host_aead().name, host_x25519().name]).toEqual(["noble", "noble"]);
		await installHost({});
		expect([host_aead().name, host_x25519().name]).toEqual(["openssl", "openssl"]);
		for (const name of ["node", "noble", "openssl"]) {
			await installHost({ IFWG_AEAD: name });
			expect(host_aead().name).toBe(name);
		}
		await expect(installHost({ IFWG_AEAD: "rot13" })).rejects.toThrow(
			'IFWG_AEAD: no "rot13"; there is openssl, node, noble',
		);
	});

	test("computes with what Node offers where libcrypto cannot be reached", async () => {
		const libcryptoAead = () => Promise.reject(new Error("no koffi"));
		vi.resetModules();
		vi.doMock("../../sim/host/libcrypto.ts", () => ({ libcryptoAead }));
		try {
			const host = await import("../../sim/host/host.ts");
			const aead = await import("../../src/crypto/aead_backend.ts");
			await host.installHost({});
			expect(aead.host_aead().name).toBe("node");
			await expect(host.installHost({ IFWG_AEAD: "openssl" })).rejects.toThrow("no openssl on this host: no koffi");
		} finally {
			vi.doUnmock("../../sim/host/libcrypto.ts");
			vi.resetModules();
		}
	});
});
