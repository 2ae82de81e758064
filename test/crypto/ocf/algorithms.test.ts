import {
	type CipherCCMTypes,
	type CipherGCMTypes,
	createCipheriv,
	createDecipheriv,
	createHash,
	createHmac,
} from "node:crypto";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crypto_newsession } from "../../../src/crypto/ocf/crypto.ts";
import {
	CRYPTO_AES_CBC,
	CRYPTO_AES_CCM_16,
	CRYPTO_AES_CCM_CBC_MAC,
	CRYPTO_AES_ICM,
	CRYPTO_AES_NIST_GCM_16,
	CRYPTO_AES_NIST_GMAC,
	CRYPTO_BLAKE2S,
	CRYPTO_CHACHA20,
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_DECRYPT,
	CRYPTO_OP_ENCRYPT,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTO_POLY1305,
	CRYPTO_SHA2_224,
	CRYPTO_SHA2_224_HMAC,
	CRYPTO_SHA2_256,
	CRYPTO_SHA2_256_HMAC,
	CRYPTO_SHA2_384,
	CRYPTO_SHA2_384_HMAC,
	CRYPTO_SHA2_512,
	CRYPTO_SHA2_512_HMAC,
	CRYPTO_XCHACHA20_POLY1305,
	CRYPTOCAP_F_SOFTWARE,
	CSP_F_ESN,
	CSP_F_SEPARATE_AAD,
	CSP_F_SEPARATE_OUTPUT,
	CSP_MODE_AEAD,
	CSP_MODE_CIPHER,
	CSP_MODE_COMPRESS,
	CSP_MODE_DIGEST,
	CSP_MODE_ETA,
	crypto_session_params,
} from "../../../src/crypto/ocf/cryptodev.ts";
import { EBADMSG, EINVAL, EMSGSIZE, EOPNOTSUPP } from "../../../src/kernel/errno.ts";
import type { Release } from "../../../src/kernel/release.ts";
import { type Kernel, sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { cost } from "../../../src/kernel/sched/thread.ts";
import { ascii, bytes, counting, hex } from "../support.ts";
import { bootKernel, inKernel, openSession, pattern, runIn, runRequest } from "./support.ts";

const SEAL = CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST;
const OPEN = CRYPTO_OP_DECRYPT | CRYPTO_OP_VERIFY_DIGEST;

type params = Partial<crypto_session_params>;

function join(...pieces: Uint8Array[]): Uint8Array {
	return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

/** A kernel with both drivers; cryptosoft is asked for by name. */
function kernelWith(driver: string, release: Release = "14.0"): Kernel {
	return bootKernel({ release, tunables: driver === "ossl" ? { ossl_load: "YES" } : {} });
}

/** Encrypts in a flat buffer and says what came out, tag behind text; then opens it, and refuses it with a flipped bit. */
function sealAndOpen(
	driver: string,
	csp: params,
	iv: Uint8Array,
	aad: Uint8Array,
	plain: Uint8Array,
	mlen: number,
): string {
	let sealed = new Uint8Array(0);
	runIn(kernelWith(driver), function* () {
		const ses = yield* openSession({ csp_mode: CSP_MODE_AEAD, csp_flags: CSP_F_SEPARATE_AAD, ...csp }, driver);
		const at = { payload: [0, plain.length] as const, digest: plain.length, iv, aad };
		const out = yield* runRequest(ses, { ...at, op: SEAL, data: join(plain, new Uint8Array(mlen)) });
		expect(out.etype).toBe(0);
		sealed = out.data as Uint8Array<ArrayBuffer>;
		const back = yield* runRequest(ses, { ...at, op: OPEN, data: sealed });
		expect(back).toMatchObject({ etype: 0, data: join(plain, sealed.subarray(plain.length)) });
		const forged = sealed.slice();
		forged[forged.length - 1] ^= 1;
		expect((yield* runRequest(ses, { ...at, op: OPEN, data: forged })).etype).toBe(EBADMSG);
	});
	return hex(sealed);
}

describe("published vectors", () => {
	test.each(["cryptosoft", "ossl"])("AES-GCM, McGrew and Viega's cases 2 and 4: %s", (driver) => {
		const zero = new Uint8Array(16);
		const key = bytes("feffe9928665731c6d6a8f9467308308");
		const plain = bytes(
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		);
		const gcm = { csp_cipher_alg: CRYPTO_AES_NIST_GCM_16, csp_ivlen: 12, csp_cipher_klen: 16 };
		expect(sealAndOpen(driver, { ...gcm, csp_cipher_key: zero }, new Uint8Array(12), new Uint8Array(0), zero, 16)).toBe(
			"0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
		);
		expect(
			sealAndOpen(
				driver,
				{ ...gcm, csp_cipher_key: key },
				bytes("cafebabefacedbaddecaf888"),
				bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
				plain,
				16,
			),
		).toBe(
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" +
				"5bc94fbc3221a5db94fae95ae7121a47",
		);
	});

	test("AES-CCM, RFC 3610 packet vectors 1 and 7: tags of 8 and 10 bytes", () => {
		const ccm = { csp_cipher_alg: CRYPTO_AES_CCM_16, csp_ivlen: 13, csp_cipher_klen: 16 };
		const key = counting(16, 0xc0);
		const seal = (nonce: string, mlen: number): string =>
			sealAndOpen(
				"cryptosoft",
				{ ...ccm, csp_cipher_key: key, csp_auth_mlen: mlen },
				bytes(nonce),
				counting(8),
				counting(23, 8),
				mlen,
			);
		expect(seal("00000003020100a0a1a2a3a4a5", 8)).toBe(
			"588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0",
		);
		expect(seal("00000009080706a0a1a2a3a4a5", 10)).toBe(
			"0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c048c56602c97acbb7490",
		);
	});

	test("XChaCha20-Poly1305, the draft's A.3.1", () => {
		const plain = ascii(
			"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
		);
		const csp = {
			csp_cipher_alg: CRYPTO_XCHACHA20_POLY1305,
			csp_ivlen: 24,
			csp_cipher_klen: 32,
			csp_cipher_key: counting(32, 0x80),
		};
		const aad = bytes("50515253c0c1c2c3c4c5c6c7");
		expect(sealAndOpen("cryptosoft", csp, counting(24, 0x40), aad, plain, 16)).toBe(
			"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb" +
				"731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452" +
				"2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9" +
				"21f9664c97637da9768812f615c68b13b52e" +
				"c0875924c1c7987947deafd8780acf49",
		);
	});

	test.each(["cryptosoft", "ossl"])("AES-CBC and ChaCha20 alone: %s", (driver) => {
		runIn(kernelWith(driver), function* () {
			const cbc = yield* openSession(
				{
					csp_mode: CSP_MODE_CIPHER,
					csp_cipher_alg: CRYPTO_AES_CBC,
					csp_ivlen: 16,
					csp_cipher_klen: 16,
					csp_cipher_key: bytes("2b7e151628aed2a6abf7158809cf4f3c"),
				},
				driver,
			);
			// the IV lies before the text
			const data = join(counting(16), bytes("6bc1bee22e409f96e93d7e117393172a"));
			const out = yield* runRequest(cbc, { op: CRYPTO_OP_ENCRYPT, data, payload: [16, 16] });
			expect(hex(out.data.subarray(16))).toBe("7649abac8119b246cee98e9b12e9197d");
			const back = yield* runRequest(cbc, { op: CRYPTO_OP_DECRYPT, data: out.data, payload: [16, 16] });
			expect(back.data).toEqual(data);
			expect(yield* runRequest(cbc, { op: CRYPTO_OP_ENCRYPT, data, payload: [16, 15] })).toMatchObject({
				etype: EINVAL,
				data,
			});

			const chacha = yield* openSession(
				{ csp_mode: CSP_MODE_CIPHER, csp_cipher_alg: CRYPTO_CHACHA20, csp_ivlen: 16, csp_cipher_klen: 32 },
				driver,
			);
			const rfc8439 = yield* runRequest(chacha, {
				op: CRYPTO_OP_ENCRYPT,
				data: ascii("Ladies and Gentl"),
				payload: [0, 16],
				iv: bytes("01000000 00000000 0000004a 00000000"),
				cipher_key: counting(32),
			});
			expect(hex(rfc8439.data)).toBe("6e2e359a2568f98041ba0728dd0d6981");
		});
	});

	test("AES-ICM, SP 800-38A F.5.1; its IV is never in the buffer", () => {
		inKernel({}, function* () {
			const ses = yield* openSession({
				csp_mode: CSP_MODE_CIPHER,
				csp_cipher_alg: CRYPTO_AES_ICM,
				csp_ivlen: 16,
				csp_cipher_klen: 16,
				csp_cipher_key: bytes("2b7e151628aed2a6abf7158809cf4f3c"),
			});
			const data = bytes("6bc1bee22e409f96e93d7e117393172a");
			const at = { op: CRYPTO_OP_ENCRYPT, data, payload: [0, 16] as const };
			const out = yield* runRequest(ses, { ...at, iv: counting(16, 0xf0) });
			expect(hex(out.data)).toBe("874d6191b620e3261bef6864990db6ce");
			expect((yield* runRequest(ses, at)).etype).toBe(EINVAL);
		});
	});

	const digests: readonly [string, number, string, string, string][] = [
		["SHA-224, FIPS 180", CRYPTO_SHA2_224, "", "abc", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"],
		[
			"SHA-256, FIPS 180",
			CRYPTO_SHA2_256,
			"",
			"abc",
			"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		],
		[
			"SHA-384, FIPS 180",
			CRYPTO_SHA2_384,
			"",
			"abc",
			"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
		],
		[
			"SHA-512, FIPS 180",
			CRYPTO_SHA2_512,
			"",
			"abc",
			"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
				"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		],
		[
			"HMAC-SHA-256, RFC 4231 case 2",
			CRYPTO_SHA2_256_HMAC,
			"Jefe",
			"what do ya want for nothing?",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		],
		[
			"HMAC-SHA-384, RFC 4231 case 2",
			CRYPTO_SHA2_384_HMAC,
			"Jefe",
			"what do ya want for nothing?",
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
		],
		[
			"HMAC-SHA-512, RFC 4231 case 2",
			CRYPTO_SHA2_512_HMAC,
			"Jefe",
			"what do ya want for nothing?",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" +
				"9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		],
		[
			"HMAC-SHA-256, RFC 4231 case 6: a key longer than a block",
			CRYPTO_SHA2_256_HMAC,
			"\xaa".repeat(131),
			"Test Using Larger Than Block-Size Key - Hash Key First",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
		],
		[
			"Poly1305, RFC 8439 section 2.5.2",
			CRYPTO_POLY1305,
			Buffer.from("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b", "hex").toString("latin1"),
			"Cryptographic Forum Research Group",
			"a8061dc1305136c6c22b8baf0c0127a9",
		],
	];

	test.each(["cryptosoft", "ossl"].flatMap((driver) => digests.map((d) => [driver, ...d] as const)))(
		"%s: %s",
		(driver, _name, alg, keyText, message, expected) => {
			const key = Uint8Array.from(Buffer.from(keyText, "latin1"));
			runIn(kernelWith(driver), function* () {
				const csp = { csp_mode: CSP_MODE_DIGEST, csp_auth_alg: alg, csp_auth_klen: key.length };
				const size = expected.length / 2;
				const data = join(ascii(message), new Uint8Array(size));
				const at = { data, payload: [0, message.length] as const, digest: message.length };
				// a key of the session, a key of the request, each twice
				for (const own of key.length === 0 ? [false] : [false, true]) {
					const session = own || key.length === 0 ? csp : { ...csp, csp_auth_key: key };
					const ses = yield* openSession(session, driver);
					for (let i = 0; i < 2; i++) {
						const auth = own ? { auth_key: key } : {};
						const out = yield* runRequest(ses, { ...at, ...auth, op: CRYPTO_OP_COMPUTE_DIGEST });
						expect(out.etype).toBe(0);
						expect(hex(out.data.subarray(message.length))).toBe(expected);
						const verify = { ...at, ...auth, op: CRYPTO_OP_VERIFY_DIGEST };
						expect((yield* runRequest(ses, { ...verify, data: out.data })).etype).toBe(0);
						expect((yield* runRequest(ses, verify)).etype).toBe(EBADMSG);
					}
				}
			});
		},
	);
});

/** Where a text lies: what is before and after it, and the chain's shape. */
const place = fc.record({
	before: fc.nat(70),
	length: fc.oneof(fc.constantFrom(0, 1, 15, 16, 17, 63, 64, 65, 1420), fc.nat(700)),
	lengths: fc.array(fc.oneof(fc.constantFrom(0, 1, 15, 16, 17, 64), fc.nat(200)), { maxLength: 6 }),
	aad: fc.nat(40),
	klen: fc.constantFrom(16, 24, 32),
	seed: fc.nat(250),
	output: fc.boolean(),
});

const RUNS = { numRuns: 25 };

describe("against OpenSSL, whatever the shape of the chain", () => {
	interface aead_oracle {
		readonly name: string;
		readonly alg: number;
		readonly ivlen: number;
		readonly klen?: number;
		readonly mlens: readonly number[];
		seal(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, text: Uint8Array, mlen: number): Uint8Array;
	}
	const aeads: readonly aead_oracle[] = [
		{
			name: "AES-GCM",
			alg: CRYPTO_AES_NIST_GCM_16,
			ivlen: 12,
			mlens: [4, 8, 12, 15, 16],
			seal(key, iv, aad, text, mlen) {
				const c = createCipheriv(`aes-${8 * key.length}-gcm` as CipherGCMTypes, key, iv);
				c.setAAD(aad);
				return join(c.update(text), c.final(), c.getAuthTag().subarray(0, mlen));
			},
		},
		{
			name: "AES-CCM",
			alg: CRYPTO_AES_CCM_16,
			ivlen: 12,
			mlens: [4, 6, 8, 10, 12, 14, 16],
			seal(key, iv, aad, text, authTagLength) {
				const c = createCipheriv(`aes-${8 * key.length}-ccm` as CipherCCMTypes, key, iv, { authTagLength });
				c.setAAD(aad, { plaintextLength: text.length });
				return join(c.update(text), c.final(), c.getAuthTag());
			},
		},
		{
			name: "ChaCha20-Poly1305",
			alg: CRYPTO_CHACHA20_POLY1305,
			ivlen: 12,
			klen: 32,
			mlens: [16],
			seal(key, iv, aad, text) {
				const c = createCipheriv("chacha20-poly1305", key, iv, { authTagLength: 16 });
				c.setAAD(aad, { plaintextLength: text.length });
				return join(c.update(text), c.final(), c.getAuthTag());
			},
		},
		{
			name: "XChaCha20-Poly1305",
			alg: CRYPTO_XCHACHA20_POLY1305,
			ivlen: 24,
			klen: 32,
			mlens: [16],
			seal: (key, iv, aad, text) => xchacha20poly1305(key, iv, aad).encrypt(text),
		},
	];

	test.each(
		aeads.flatMap((a) =>
			["cryptosoft", "ossl"]
				.filter((d) => d === "cryptosoft" || a.alg === CRYPTO_AES_NIST_GCM_16 || a.alg === CRYPTO_CHACHA20_POLY1305)
				.map((d) => [a.name, d, a] as const),
		),
	)("%s of %s", (_name, driver, a) => {
		const kernel = kernelWith(driver);
		fc.assert(
			fc.property(place, (p) => {
				const key = pattern(a.klen ?? p.klen, p.seed);
				const iv = pattern(a.ivlen, p.seed + 1);
				const mlen = driver === "ossl" ? 16 : a.mlens[p.seed % a.mlens.length];
				const message = pattern(p.before + p.aad + p.length + 16 + 5, p.seed + 2);
				const start = p.before + p.aad;
				const aad = message.slice(p.before, start);
				const text = message.slice(start, start + p.length);
				const sealed = a.seal(key, iv, aad, text, mlen);
				runIn(kernel, function* () {
					const ses = yield* openSession(
						{
							csp_mode: CSP_MODE_AEAD,
							csp_cipher_alg: a.alg,
							csp_ivlen: a.ivlen,
							csp_cipher_klen: key.length,
							csp_auth_mlen: mlen,
							csp_flags: CSP_F_SEPARATE_OUTPUT,
						},
						driver,
					);
					const at = {
						lengths: p.lengths,
						payload: [start, p.length] as const,
						iv,
						aad: p.aad === 0 ? new Uint8Array(0) : ([p.before, p.aad] as const),
						cipher_key: key,
					};
					const expected = message.slice();
					expected.set(sealed, start);
					if (p.output) {
						const out = yield* runRequest(ses, {
							...at,
							op: SEAL,
							data: message,
							output: [p.length + mlen + 3, 3, p.seed % 2 === 0 ? undefined : p.lengths.toReversed()],
							digest: p.length + 3,
						});
						expect(out).toMatchObject({ etype: 0, data: message });
						expect(out.output.subarray(3)).toEqual(sealed);
					} else {
						const out = yield* runRequest(ses, { ...at, op: SEAL, data: message, digest: start + p.length });
						expect(out).toMatchObject({ etype: 0, data: expected });
					}
					const back = yield* runRequest(ses, { ...at, op: OPEN, data: expected, digest: start + p.length });
					expect(back.etype).toBe(0);
					expect(back.data.subarray(start, start + p.length)).toEqual(text);
				});
			}),
			RUNS,
		);
	});

	test.each(
		["cryptosoft", "ossl"].flatMap((d) =>
			[
				["aes-cbc", CRYPTO_AES_CBC, 16] as const,
				["aes-ctr", CRYPTO_AES_ICM, 1] as const,
				["chacha20", CRYPTO_CHACHA20, 1] as const,
			]
				.filter(([, alg]) => d === "cryptosoft" || alg !== CRYPTO_AES_ICM)
				.map((c) => [d, ...c] as const),
		),
	)("%s: %s", (driver, name, alg, blocksize) => {
		const kernel = kernelWith(driver);
		fc.assert(
			fc.property(place, fc.boolean(), (p, wrap) => {
				const key = pattern(alg === CRYPTO_CHACHA20 ? 32 : p.klen, p.seed);
				const iv = pattern(16, p.seed + 1);
				// ChaCha20's counter is about to carry into its upper half; AES's into everything
				if (wrap) iv.fill(0xff, 0, alg === CRYPTO_CHACHA20 ? 4 : 16);
				const cipher = alg === CRYPTO_CHACHA20 ? name : `aes-${8 * key.length}-${name.slice(4)}`;
				const length = p.length - (p.length % blocksize);
				const message = pattern(p.before + length + 9, p.seed + 2);
				const expected = message.slice();
				const c = createCipheriv(cipher, key, iv).setAutoPadding(false);
				expected.set(join(c.update(message.subarray(p.before, p.before + length)), c.final()), p.before);
				runIn(kernel, function* () {
					const ses = yield* openSession(
						{ csp_mode: CSP_MODE_CIPHER, csp_cipher_alg: alg, csp_ivlen: 16, csp_cipher_klen: key.length },
						driver,
					);
					const at = { lengths: p.lengths, payload: [p.before, length] as const, iv, cipher_key: key };
					expect(yield* runRequest(ses, { ...at, op: CRYPTO_OP_ENCRYPT, data: message })).toMatchObject({
						etype: 0,
						data: expected,
					});
					expect(yield* runRequest(ses, { ...at, op: CRYPTO_OP_DECRYPT, data: expected })).toMatchObject({
						etype: 0,
						data: message,
					});
				});
			}),
			RUNS,
		);
	});

	test.each(
		["cryptosoft", "ossl"].flatMap((d) =>
			[
				["sha224", CRYPTO_SHA2_224, CRYPTO_SHA2_224_HMAC] as const,
				["sha256", CRYPTO_SHA2_256, CRYPTO_SHA2_256_HMAC] as const,
				["sha384", CRYPTO_SHA2_384, CRYPTO_SHA2_384_HMAC] as const,
				["sha512", CRYPTO_SHA2_512, CRYPTO_SHA2_512_HMAC] as const,
			].map((h) => [d, ...h] as const),
		),
	)("%s: %s and its HMAC, whole and cut", (driver, name, hash, hmac) => {
		const kernel = kernelWith(driver);
		fc.assert(
			fc.property(place, fc.nat(200), fc.boolean(), (p, klen, keyed) => {
				const key = pattern(klen + 1, p.seed);
				const message = pattern(p.before + p.length + 64, p.seed + 2);
				const text = message.subarray(p.before, p.before + p.length);
				const digest = keyed ? createHmac(name, key).update(text).digest() : createHash(name).update(text).digest();
				const mlen = 1 + (p.seed % digest.length);
				const expected = message.slice();
				expected.set(digest.subarray(0, mlen), p.before + p.length);
				runIn(kernel, function* () {
					const auth = keyed ? { csp_auth_klen: key.length, csp_auth_key: key } : {};
					const ses = yield* openSession(
						{ csp_mode: CSP_MODE_DIGEST, csp_auth_alg: keyed ? hmac : hash, csp_auth_mlen: mlen, ...auth },
						driver,
					);
					const at = {
						op: CRYPTO_OP_COMPUTE_DIGEST,
						data: message,
						lengths: p.lengths,
						payload: [p.before, p.length] as const,
						digest: p.before + p.length,
					};
					expect(yield* runRequest(ses, at)).toMatchObject({ etype: 0, data: expected });
				});
			}),
			RUNS,
		);
	});

	test("GMAC is AES-GCM without a text, CBC-MAC is AES-CCM without one", () => {
		const kernel = kernelWith("cryptosoft");
		fc.assert(
			fc.property(place, (p) => {
				const key = pattern(p.klen, p.seed);
				const length = Math.max(1, p.length);
				const message = pattern(p.before + length + 16, p.seed + 2);
				const text = message.subarray(p.before, p.before + length);
				const g = createCipheriv(`aes-${8 * p.klen}-gcm` as CipherGCMTypes, key, pattern(12, p.seed));
				g.setAAD(text).final();
				const c = createCipheriv(`aes-${8 * p.klen}-ccm` as CipherCCMTypes, key, pattern(7, p.seed), {
					authTagLength: 8,
				});
				c.setAAD(text, { plaintextLength: 0 }).update(new Uint8Array(0));
				c.final();
				runIn(kernel, function* () {
					const key_params = { csp_mode: CSP_MODE_DIGEST, csp_auth_klen: p.klen, csp_auth_key: key };
					const at = {
						op: CRYPTO_OP_COMPUTE_DIGEST,
						data: message,
						lengths: p.lengths,
						payload: [p.before, length] as const,
						digest: p.before + length,
					};
					const gmac = yield* openSession({ ...key_params, csp_auth_alg: CRYPTO_AES_NIST_GMAC, csp_ivlen: 12 });
					const one = yield* runRequest(gmac, { ...at, iv: pattern(12, p.seed) });
					expect(hex(one.data.subarray(p.before + length))).toBe(g.getAuthTag().toString("hex"));
					const mac = yield* openSession({
						...key_params,
						csp_auth_alg: CRYPTO_AES_CCM_CBC_MAC,
						csp_ivlen: 7,
						csp_auth_mlen: 8,
					});
					const two = yield* runRequest(mac, { ...at, iv: pattern(7, p.seed) });
					expect(hex(two.data.subarray(p.before + length, p.before + length + 8))).toBe(c.getAuthTag().toString("hex"));
				});
			}),
			RUNS,
		);
	});
});

describe("encrypt, then authenticate", () => {
	const key = pattern(32, 3);
	const auth = pattern(20, 4);
	const iv = pattern(16, 5);
	const eta: params = {
		csp_mode: CSP_MODE_ETA,
		csp_cipher_alg: CRYPTO_AES_CBC,
		csp_ivlen: 16,
		csp_cipher_klen: 32,
		csp_cipher_key: key,
		csp_auth_alg: CRYPTO_SHA2_256_HMAC,
		csp_auth_klen: 20,
		csp_auth_key: auth,
		csp_auth_mlen: 16,
	};
	const header = pattern(8, 6);
	const plain = pattern(96, 7);
	const c = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(false);
	const cipher = join(c.update(plain), c.final());
	const mac = (...parts: Uint8Array[]): Uint8Array => {
		const h = createHmac("sha256", auth);
		for (const part of parts) h.update(part);
		return Uint8Array.from(h.digest().subarray(0, 16));
	};
	const at = { payload: [8, 96] as const, aad: [0, 8] as const, digest: 104, iv };

	test.each(["cryptosoft", "ossl"])(
		"%s, over header and ciphertext; a wrong digest leaves the text alone",
		(driver) => {
			runIn(kernelWith(driver), function* () {
				const ses = yield* openSession(eta, driver);
				const data = join(header, plain, new Uint8Array(16));
				const sealed = join(header, cipher, mac(header, cipher));
				const lengths = [3, 20, 41];
				expect(yield* runRequest(ses, { ...at, lengths, op: SEAL, data })).toMatchObject({ etype: 0, data: sealed });
				const back = yield* runRequest(ses, { ...at, lengths, op: OPEN, data: sealed });
				expect(back).toMatchObject({ etype: 0, data: join(header, plain, mac(header, cipher)) });
				const forged = sealed.slice();
				forged[0] ^= 1;
				expect(yield* runRequest(ses, { ...at, op: OPEN, data: forged })).toMatchObject({
					etype: EBADMSG,
					data: forged,
				});
			});
		},
	);

	test("an output buffer is authenticated by cryptosoft; ossl authenticates the input, which is the plaintext", () => {
		for (const driver of ["cryptosoft", "ossl"]) {
			runIn(kernelWith(driver), function* () {
				const ses = yield* openSession({ ...eta, csp_flags: CSP_F_SEPARATE_OUTPUT }, driver);
				const out = yield* runRequest(ses, {
					...at,
					op: SEAL,
					data: join(header, plain),
					digest: 96,
					output: [112, 0],
				});
				expect(out.output.subarray(0, 96)).toEqual(cipher);
				const covered = driver === "cryptosoft" ? cipher : plain;
				expect(out.output.subarray(96)).toEqual(mac(header, covered));
			});
		}
	});

	test("with CSP_F_ESN the number that is not sent is authenticated last, and ossl does not bid", () => {
		runIn(kernelWith("ossl"), function* () {
			const ses = yield* openSession({ ...eta, csp_flags: CSP_F_ESN });
			const esn = Uint8Array.of(0, 0, 1, 2);
			const data = join(header, plain, new Uint8Array(16));
			const out = yield* runRequest(ses, { ...at, op: SEAL, data, esn });
			expect(out.data).toEqual(join(header, cipher, mac(header, cipher, esn)));
		});
	});
});

describe("a forged AES-GCM packet", () => {
	test.each([
		["cryptosoft", false],
		["ossl", true],
	] as const)("%s: EBADMSG, and the text is decrypted all the same: %s", (driver, decrypted) => {
		runIn(kernelWith(driver), function* () {
			const key = pattern(16, 8);
			const ses = yield* openSession(
				{ csp_mode: CSP_MODE_AEAD, csp_cipher_alg: CRYPTO_AES_NIST_GCM_16, csp_ivlen: 12, csp_cipher_klen: 16 },
				driver,
			);
			const data = pattern(80, 9);
			const out = yield* runRequest(ses, {
				op: OPEN,
				data,
				payload: [0, 64],
				digest: 64,
				iv: pattern(12),
				cipher_key: key,
			});
			expect(out.etype).toBe(EBADMSG);
			const d = createDecipheriv("aes-128-gcm", key, pattern(12), { authTagLength: 16 });
			const plain = join(d.update(data.subarray(0, 64)));
			expect(out.data).toEqual(decrypted ? join(plain, data.subarray(64)) : data);
		});
	});
});

describe("releases", () => {
	const ccm: params = {
		csp_mode: CSP_MODE_AEAD,
		csp_cipher_alg: CRYPTO_AES_CCM_16,
		csp_ivlen: 12,
		csp_cipher_klen: 16,
		csp_cipher_key: pattern(16, 1),
	};

	/** An 8-byte tag, by the kernel and by OpenSSL with tags of 8 and 16 bytes. */
	function ccmTags(release: Release): { kernel: string; tag8: string; tag16: string } {
		const text = pattern(50, 2);
		const by = (authTagLength: number): string => {
			const c = createCipheriv("aes-128-ccm", pattern(16, 1), pattern(12), { authTagLength });
			c.update(text);
			c.final();
			return c.getAuthTag().toString("hex");
		};
		let tag = "";
		inKernel({ release }, function* () {
			const ses = yield* openSession({ ...ccm, csp_auth_mlen: 8 });
			const at = { payload: [0, 50] as const, digest: 50, iv: pattern(12) };
			const out = yield* runRequest(ses, { ...at, op: SEAL, data: join(text, new Uint8Array(8)) });
			tag = hex(out.data.subarray(50));
			expect((yield* runRequest(ses, { ...at, op: OPEN, data: out.data })).etype).toBe(0);
		});
		return { kernel: tag, tag8: by(8), tag16: by(16) };
	}

	test("14.0 passes the tag's length down to AES-CCM; 13.0 does with it what is still done with BLAKE2's", () => {
		const now = ccmTags("14.0");
		expect(now.kernel).toBe(now.tag8);
		const then = ccmTags("13.0");
		expect(then.kernel).not.toBe(then.tag8);
		expect(then.kernel).toBe(then.tag16.slice(0, 16));
	});

	test("13.0's AES-CCM knows one nonce length", () => {
		for (const [release, error] of [
			["13.0", EINVAL],
			["14.0", 0],
		] as const) {
			inKernel({ release }, function* () {
				const csp = Object.assign(new crypto_session_params(), ccm, { csp_ivlen: 13 });
				const ses = yield* crypto_newsession(csp, CRYPTOCAP_F_SOFTWARE);
				if (typeof ses === "number") expect(ses).toBe(error);
				else expect(error).toBe(0);
			});
		}
	});

	test("a nonce of 13 bytes leaves two for the length: more is EMSGSIZE", () => {
		inKernel({ release: "14.0" }, function* () {
			const ses = yield* openSession({ ...ccm, csp_ivlen: 13 });
			const data = new Uint8Array(0x10000 + 16);
			const at = { op: SEAL, data, iv: pattern(13) };
			expect((yield* runRequest(ses, { ...at, payload: [0, 0x10000], digest: 0x10000 })).etype).toBe(EMSGSIZE);
			expect((yield* runRequest(ses, { ...at, payload: [0, 0xffff], digest: 0xffff })).etype).toBe(0);
		});
	});

	test.each<[string, params, boolean]>([
		["SHA-2", { csp_mode: CSP_MODE_DIGEST, csp_auth_alg: CRYPTO_SHA2_256 }, true],
		["Poly1305", { csp_mode: CSP_MODE_DIGEST, csp_auth_alg: CRYPTO_POLY1305, csp_auth_klen: 32 }, false],
		["AES-GCM", { ...ccm, csp_cipher_alg: CRYPTO_AES_NIST_GCM_16 }, false],
		["AES-CBC", { ...ccm, csp_mode: CSP_MODE_CIPHER, csp_cipher_alg: CRYPTO_AES_CBC, csp_ivlen: 16 }, false],
		[
			"ChaCha20",
			{ csp_mode: CSP_MODE_CIPHER, csp_cipher_alg: CRYPTO_CHACHA20, csp_ivlen: 16, csp_cipher_klen: 32 },
			false,
		],
	])("ossl does %s in 14.0, in 13.0 only if it is a SHA-2", (_name, csp, in13) => {
		for (const release of ["13.0", "14.0"] as const) {
			inKernel({ release, tunables: { ossl_load: "YES" } }, function* () {
				const ses = yield* openSession(csp);
				const name = ses.cap.cc_dev.nameunit;
				expect(name).toBe(release === "14.0" || in13 ? "ossl0" : "cryptosoft0");
			});
		}
	});

	test("in 13.0 the key of a request stays with the session", () => {
		for (const release of ["13.0", "14.0"] as const) {
			inKernel({ release }, function* () {
				const [first, second] = [pattern(20, 1), pattern(20, 2)];
				const ses = yield* openSession({
					csp_mode: CSP_MODE_DIGEST,
					csp_auth_alg: CRYPTO_SHA2_256_HMAC,
					csp_auth_klen: 20,
					csp_auth_key: first,
				});
				const at = { op: CRYPTO_OP_COMPUTE_DIGEST, data: new Uint8Array(40), payload: [0, 8] as const, digest: 8 };
				yield* runRequest(ses, { ...at, auth_key: second });
				const out = yield* runRequest(ses, at);
				const used = release === "13.0" ? second : first;
				expect(hex(out.data.subarray(8))).toBe(createHmac("sha256", used).update(new Uint8Array(8)).digest("hex"));
			});
		}
	});
});

describe("session parameters", () => {
	const cbc: params = { csp_mode: CSP_MODE_CIPHER, csp_cipher_alg: CRYPTO_AES_CBC, csp_ivlen: 16, csp_cipher_klen: 16 };
	const hmac: params = { csp_mode: CSP_MODE_DIGEST, csp_auth_alg: CRYPTO_SHA2_256_HMAC, csp_auth_klen: 16 };
	const gcm: params = { ...cbc, csp_mode: CSP_MODE_AEAD, csp_cipher_alg: CRYPTO_AES_NIST_GCM_16, csp_ivlen: 12 };

	test.each<[string, params, number]>([
		["compression", { ...cbc, csp_mode: CSP_MODE_COMPRESS }, EINVAL],
		["a cipher with a digest", { ...cbc, csp_auth_alg: CRYPTO_SHA2_256 }, EINVAL],
		["a cipher with authenticated data", { ...cbc, csp_flags: CSP_F_SEPARATE_AAD }, EINVAL],
		["a cipher without a key", { ...cbc, csp_cipher_klen: 0 }, EINVAL],
		["a cipher without an IV", { ...cbc, csp_ivlen: 0 }, EINVAL],
		["an AEAD as cipher", { ...cbc, csp_cipher_alg: CRYPTO_AES_NIST_GCM_16, csp_ivlen: 12 }, EINVAL],
		["a cipher as AEAD", { ...gcm, csp_cipher_alg: CRYPTO_AES_CBC }, EINVAL],
		["an IV of another length", { ...cbc, csp_ivlen: 12 }, EOPNOTSUPP],
		["a key of 17 bytes", { ...cbc, csp_cipher_klen: 17 }, EINVAL],
		["GCM with an IV of 16 bytes", { ...gcm, csp_ivlen: 16 }, EINVAL],
		["GCM with a tag of 17 bytes", { ...gcm, csp_auth_mlen: 17 }, EINVAL],
		["CCM with an odd tag", { ...gcm, csp_cipher_alg: CRYPTO_AES_CCM_16, csp_auth_mlen: 7 }, EINVAL],
		["CCM with an IV of 6 bytes", { ...gcm, csp_cipher_alg: CRYPTO_AES_CCM_16, csp_ivlen: 6 }, EINVAL],
		["XChaCha20 with an IV of 12", { ...gcm, csp_cipher_alg: CRYPTO_XCHACHA20_POLY1305 }, EINVAL],
		["an HMAC without a key", { ...hmac, csp_auth_klen: 0 }, EINVAL],
		["a hash with a key", { ...hmac, csp_auth_alg: CRYPTO_SHA2_256 }, EINVAL],
		["a hash with an IV", { csp_mode: CSP_MODE_DIGEST, csp_auth_alg: CRYPTO_SHA2_256, csp_ivlen: 8 }, EINVAL],
		["a digest longer than the hash", { ...hmac, csp_auth_mlen: 33 }, EINVAL],
		["a Poly1305 key of 16 bytes", { ...hmac, csp_auth_alg: CRYPTO_POLY1305 }, EOPNOTSUPP],
		["ETA without a digest", { ...cbc, csp_mode: CSP_MODE_ETA }, EINVAL],
		["ETA with an AEAD", { ...gcm, ...hmac, csp_mode: CSP_MODE_ETA }, EINVAL],
		[
			"ETA with GMAC",
			{ ...cbc, ...hmac, csp_mode: CSP_MODE_ETA, csp_auth_alg: CRYPTO_AES_NIST_GMAC, csp_auth_key: pattern(16) },
			EOPNOTSUPP,
		],
		["ETA with BLAKE2 and no key", { ...cbc, csp_mode: CSP_MODE_ETA, csp_auth_alg: CRYPTO_BLAKE2S }, 0],
	])("%s", (_what, csp, error) => {
		inKernel({ release: "14.0" }, function* () {
			const ses = yield* crypto_newsession(Object.assign(new crypto_session_params(), csp), CRYPTOCAP_F_SOFTWARE);
			expect(typeof ses === "number" ? ses : 0).toBe(error);
		});
	});

	test.each<[string, params, number, RegExp]>([
		["a cipher asked to verify", cbc, OPEN, /invalid cipher op/],
		["ETA asked for a cipher", { ...cbc, ...hmac, csp_mode: CSP_MODE_ETA }, CRYPTO_OP_DECRYPT, /invalid ETA op/],
		["a digest asked to encrypt", hmac, CRYPTO_OP_ENCRYPT, /invalid digest op/],
	])("a request that breaks a rule panics: %s", (_what, csp, op, message) => {
		expect(() =>
			inKernel({ release: "14.0" }, function* () {
				const ses = yield* openSession(csp);
				const data = new Uint8Array(64);
				yield* runRequest(ses, { op, data, payload: [0, 16], cipher_key: pattern(16), auth_key: pattern(16) });
			}),
		).toThrow(message);
	});
});

describe("what it costs", () => {
	const key = pattern(16, 1);
	const aead = (alg: number): params => ({
		csp_mode: CSP_MODE_AEAD,
		csp_cipher_alg: alg,
		csp_ivlen: 12,
		csp_cipher_klen: 16,
		csp_cipher_key: key,
	});

	/** ns that a request of 1,600 bytes takes, with a tag that is right or not */
	function price(
		driver: string,
		csp: params,
		op: number,
		right: boolean,
		cost_only = false,
		lengths: number[] = [],
	): number {
		let ns = 0;
		runIn(
			bootKernel({ release: "14.0", cost_only, tunables: driver === "ossl" ? { ossl_load: "YES" } : {} }),
			function* () {
				const ses = yield* openSession(csp, driver);
				const at = {
					payload: [0, 1600] as const,
					digest: csp.csp_mode === CSP_MODE_CIPHER ? 0 : 1600,
					iv: pattern(csp.csp_ivlen!),
					lengths,
				};
				let data = new Uint8Array(1616);
				data = (yield* runRequest(ses, { ...at, op: SEAL, data })).data as Uint8Array<ArrayBuffer>;
				if (!right) data[1600] ^= 1;
				ns = sbinuptime();
				const { etype } = yield* runRequest(ses, { ...at, op, data });
				ns = sbinuptime() - ns;
				expect(etype).toBe(right || op === SEAL ? 0 : EBADMSG);
			},
		);
		return ns;
	}

	test.each([
		["cryptosoft", "AES-GCM", CRYPTO_AES_NIST_GCM_16],
		["cryptosoft", "AES-CCM", CRYPTO_AES_CCM_16],
		["ossl", "AES-GCM", CRYPTO_AES_NIST_GCM_16],
	] as const)("a run for the costs only takes as long: %s, %s", (driver, _name, alg) => {
		for (const [op, right] of [
			[SEAL, true],
			[OPEN, true],
			[OPEN, false],
		] as const) {
			const full = price(driver, aead(alg), op, right);
			expect(full).toBeGreaterThan(500);
			expect(price(driver, aead(alg), op, right, true)).toBe(full);
		}
	});

	test("AES-CCM decrypts twice, and once for a forgery; a forged GCM packet is cheap for cryptosoft, not for ossl", () => {
		const of = (driver: string, alg: number, op: number, right: boolean): number => price(driver, aead(alg), op, right);
		const ccm = (op: number, right: boolean): number => of("cryptosoft", CRYPTO_AES_CCM_16, op, right);
		expect(ccm(OPEN, true) / ccm(SEAL, true)).toBeCloseTo(1.5, 1);
		expect(ccm(OPEN, false)).toBe(ccm(SEAL, true));
		const gcm = (driver: string, right: boolean): number => of(driver, CRYPTO_AES_NIST_GCM_16, OPEN, right);
		expect(gcm("cryptosoft", false)).toBeLessThan(0.6 * gcm("cryptosoft", true));
		expect(gcm("ossl", false)).toBe(gcm("ossl", true));
		expect(gcm("ossl", true)).toBeLessThan(0.1 * gcm("cryptosoft", true));
	});

	test("each piece of a chain costs ossl calls, and cryptosoft nothing", () => {
		const pieces = [100, 100, 100, 100];
		const gcm = aead(CRYPTO_AES_NIST_GCM_16);
		const cbc = { ...gcm, csp_mode: CSP_MODE_CIPHER, csp_cipher_alg: CRYPTO_AES_CBC, csp_ivlen: 16 };
		for (const [csp, op] of [
			[gcm, SEAL],
			[cbc, CRYPTO_OP_ENCRYPT],
		] as const) {
			const at = (driver: string, lengths: number[]): number => price(driver, csp, op, true, false, lengths);
			const mbufs = at("cryptosoft", pieces) - at("cryptosoft", []);
			const calls = csp === gcm ? 4 : 8 - 1;
			const extra = at("ossl", pieces) - at("ossl", []) - mbufs;
			expect(Math.round(extra / cost.aes_ossl_segment)).toBe(calls);
		}
	});

	test("SHA-2 is charged by the block", () => {
		inKernel({ release: "14.0" }, function* () {
			const ses = yield* openSession({ csp_mode: CSP_MODE_DIGEST, csp_auth_alg: CRYPTO_SHA2_256 });
			const times: number[] = [];
			// one block up to 55 bytes: the padding takes nine
			for (const length of [0, 55, 56, 119, 120]) {
				const start = sbinuptime();
				const data = new Uint8Array(length + 32);
				yield* runRequest(ses, { op: CRYPTO_OP_COMPUTE_DIGEST, data, payload: [0, length], digest: length });
				times.push(sbinuptime() - start);
			}
			expect(times[1]).toBe(times[0]);
			expect(times[3]).toBe(times[2]);
			expect(times[2] - times[1]).toBe(times[4] - times[3]);
			expect(times[2] - times[1]).toBe(Math.round((64 * cost.sha256_soft) / 1000));
		});
	});
});
