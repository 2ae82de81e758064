/**
 * Project Wycheproof's vectors: the edge cases implementations of these algorithms have got wrong. What is called invalid there must be
 * refused here, by the library's functions and by crypto(9)'s drivers.
 */
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { noble_backend, set_host_aead } from "../../src/crypto/aead_backend.ts";
import {
	chacha20_poly1305_decrypt,
	chacha20_poly1305_encrypt,
	xchacha20_poly1305_decrypt,
	xchacha20_poly1305_encrypt,
} from "../../src/crypto/chacha20_poly1305/chacha20_poly1305.ts";
import { curve25519 } from "../../src/crypto/curve25519/curve25519.ts";
import { noble_x25519, set_host_x25519 } from "../../src/crypto/curve25519/x25519_backend.ts";
import { crypto_freesession, crypto_newsession } from "../../src/crypto/ocf/crypto.ts";
import {
	CRYPTO_AES_CCM_16,
	CRYPTO_AES_NIST_GCM_16,
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_DECRYPT,
	CRYPTO_OP_ENCRYPT,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTO_XCHACHA20_POLY1305,
	CRYPTOCAP_F_SOFTWARE,
	CSP_F_SEPARATE_AAD,
	CSP_MODE_AEAD,
	crypto_session_params,
} from "../../src/crypto/ocf/cryptodev.ts";
import { EBADMSG } from "../../src/kernel/errno.ts";
import { bootKernel as kernelWith, openSession, runIn, runRequest } from "./ocf/support.ts";
import { aeadBackends, bootKernel, bytes, hex, x25519Backends } from "./support.ts";

/** The lines of a file of vectors, in fields; "-" is an empty one. */
function vectors(name: string): string[][] {
	return readFileSync(new URL(`wycheproof/${name}.txt`, import.meta.url), "utf8")
		.split("\n")
		.filter((line) => line !== "" && !line.startsWith("#"))
		.map((line) => line.split(" ").map((field) => (field === "-" ? "" : field)));
}

interface aead_vector {
	readonly id: string;
	readonly valid: boolean;
	readonly key: Uint8Array;
	readonly nonce: Uint8Array;
	readonly aad: Uint8Array;
	readonly text: Uint8Array;
	readonly box: Uint8Array;
	readonly tag_length: number;
}

function aead_vectors(name: string): aead_vector[] {
	return vectors(name).map(([id, verdict, key, nonce, aad, text, ciphertext, tag]) => ({
		id,
		valid: verdict === "valid",
		key: bytes(key),
		nonce: bytes(nonce),
		aad: bytes(aad),
		text: bytes(text),
		box: bytes(ciphertext + tag),
		tag_length: tag.length / 2,
	}));
}

describe.each(x25519Backends)("Curve25519 of $name", (backend) => {
	beforeEach(() => {
		bootKernel();
		set_host_x25519(backend);
		return () => set_host_x25519(noble_x25519);
	});

	test("every product is the published one, and a product of zero is refused", () => {
		let zeros = 0;
		for (const [id, secret, point, product] of vectors("x25519")) {
			const out = new Uint8Array(32).fill(0xaa);
			const ok = curve25519(out, bytes(secret), bytes(point));
			expect([id, hex(out)]).toEqual([id, product]);
			expect([id, ok]).toEqual([id, !/^0+$/.test(product)]);
			if (!ok) zeros++;
		}
		expect(zeros).toBeGreaterThan(20);
	});
});

describe.each(aeadBackends)("the library with $name", (backend) => {
	beforeEach(() => {
		bootKernel();
		set_host_aead(backend);
		return () => set_host_aead(noble_backend);
	});

	test.each([
		["chacha20_poly1305", 12],
		["xchacha20_poly1305", 24],
	] as const)("%s seals what is valid, opens it, and opens nothing else", (name, nonce_length) => {
		const seen = { valid: 0, invalid: 0 };
		for (const v of aead_vectors(name)) {
			// nonces of other lengths are the caller's mistake here, and a panic
			if (v.nonce.length !== nonce_length) continue;
			seen[v.valid ? "valid" : "invalid"]++;
			const opened = new Uint8Array(v.text.length);
			const sealed = new Uint8Array(v.text.length + 16);
			let ok: boolean;
			if (nonce_length === 12) {
				chacha20_poly1305_encrypt(sealed, v.text, v.text.length, v.aad, v.aad.length, v.nonce, 12, v.key);
				ok = chacha20_poly1305_decrypt(opened, v.box, v.box.length, v.aad, v.aad.length, v.nonce, 12, v.key);
			} else {
				xchacha20_poly1305_encrypt(sealed, v.text, v.text.length, v.aad, v.aad.length, v.nonce, v.key);
				ok = xchacha20_poly1305_decrypt(opened, v.box, v.box.length, v.aad, v.aad.length, v.nonce, v.key);
			}
			expect([v.id, ok]).toEqual([v.id, v.valid]);
			expect([v.id, hex(sealed) === hex(v.box)]).toEqual([v.id, v.valid]);
			expect([v.id, hex(opened)]).toEqual([v.id, v.valid ? hex(v.text) : "00".repeat(v.text.length)]);
		}
		expect(seen.valid).toBeGreaterThan(100);
		expect(seen.invalid).toBeGreaterThan(40);
	});
});

describe("crypto(9)", () => {
	// refused: nonces and tags of lengths no session can have; AES-GCM takes nonces of 12 bytes only
	test.each([
		["cryptosoft", "chacha20_poly1305", CRYPTO_CHACHA20_POLY1305, { valid: 136, forged: 60, refused: 8 }],
		["ossl", "chacha20_poly1305", CRYPTO_CHACHA20_POLY1305, { valid: 136, forged: 60, refused: 8 }],
		["cryptosoft", "xchacha20_poly1305", CRYPTO_XCHACHA20_POLY1305, { valid: 126, forged: 60, refused: 9 }],
		["cryptosoft", "aes_gcm", CRYPTO_AES_NIST_GCM_16, { valid: 11, forged: 81, refused: 104 }],
		["ossl", "aes_gcm", CRYPTO_AES_NIST_GCM_16, { valid: 11, forged: 81, refused: 104 }],
		["cryptosoft", "aes_ccm", CRYPTO_AES_CCM_16, { valid: 135, forged: 81, refused: 66 }],
	] as const)("%s, %s: seals what is valid, opens it, and refuses the rest", (driver, name, alg, counts) => {
		const seen = { valid: 0, forged: 0, refused: 0 };
		runIn(kernelWith({ release: "14.0", tunables: driver === "ossl" ? { ossl_load: "YES" } : {} }), function* () {
			for (const v of aead_vectors(name)) {
				// not invalid here: the kernel's short form
				if (alg === CRYPTO_CHACHA20_POLY1305 && v.nonce.length === 8) continue;
				const params = {
					csp_mode: CSP_MODE_AEAD,
					csp_flags: CSP_F_SEPARATE_AAD,
					csp_cipher_alg: alg,
					csp_cipher_klen: v.key.length,
					csp_cipher_key: v.key,
					csp_ivlen: v.nonce.length,
					csp_auth_mlen: v.tag_length,
				};
				const asked = yield* crypto_newsession(
					Object.assign(new crypto_session_params(), params),
					CRYPTOCAP_F_SOFTWARE,
				);
				if (typeof asked === "number") {
					seen.refused++;
					continue;
				}
				yield* crypto_freesession(asked);
				const ses = yield* openSession(params, driver);
				const at = { payload: [0, v.text.length] as const, digest: v.text.length, iv: v.nonce, aad: v.aad };
				const open = yield* runRequest(ses, { ...at, op: CRYPTO_OP_DECRYPT | CRYPTO_OP_VERIFY_DIGEST, data: v.box });
				expect([v.id, open.etype]).toEqual([v.id, v.valid ? 0 : EBADMSG]);
				if (v.valid) {
					expect([v.id, hex(open.data.subarray(0, v.text.length))]).toEqual([v.id, hex(v.text)]);
					const data = new Uint8Array(v.box.length);
					data.set(v.text);
					const seal = yield* runRequest(ses, { ...at, op: CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST, data });
					expect([v.id, seal.etype, hex(seal.data)]).toEqual([v.id, 0, hex(v.box)]);
				}
				seen[v.valid ? "valid" : "forged"]++;
				yield* crypto_freesession(ses);
			}
		});
		expect(seen).toEqual(counts);
	});
});
