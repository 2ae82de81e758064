import { chacha20, chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { blake2s as noble_blake2s } from "@noble/hashes/blake2.js";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { libcryptoAead } from "../../../sim/host/libcrypto.ts";
import { noble_backend, set_host_aead } from "../../../src/crypto/aead_backend.ts";
import { crypto_stats } from "../../../src/crypto/ocf/crypto.ts";
import { swcr_detach } from "../../../src/crypto/ocf/cryptosoft.ts";
import {
	chacha20poly1305_decrypt,
	chacha20poly1305_decrypt_mbuf,
	chacha20poly1305_encrypt,
	chacha20poly1305_encrypt_mbuf,
	crypto_deinit,
	crypto_init,
	WG_CRYPTO_BACKENDS,
	wg_crypto_backend_name,
} from "../../../src/dev/wg/wg_crypto.ts";
import {
	blake2s,
	blake2s_final,
	blake2s_init_key,
	blake2s_state,
	blake2s_update,
} from "../../../src/dev/wg/wg_crypto_blake2s.ts";
import { EBADMSG, EMSGSIZE, ENOMEM } from "../../../src/kernel/errno.ts";
import { m_freem, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_set_fault } from "../../../src/kernel/mbuf/uma.ts";
import type { Kernel, KernelOptions } from "../../../src/kernel/sched/kernel.ts";
import { sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { kthread_add_bound, kthread_wait } from "../../../src/kernel/sched/kthread.ts";
import type { thread } from "../../../src/kernel/sched/thread.ts";
import { bootKernel, bytesOf, chainOf, inKernel, pattern, runIn, shapes } from "../../crypto/ocf/support.ts";

const key = pattern(32, 7);
const NONCE_LO = 0xfedcba98;
const NONCE_HI = 0x76543210;
/** four zeros, then the nonce, little endian */
const nonce12 = Uint8Array.of(0, 0, 0, 0, 0x98, 0xba, 0xdc, 0xfe, 0x10, 0x32, 0x54, 0x76);

const openssl = await libcryptoAead();
afterEach(() => set_host_aead(noble_backend));

function tunables(crypto: string, generation = "main"): KernelOptions {
	return { release: "14.0", tunables: { "hw.wg.crypto": crypto, "net.wg.generation": generation } };
}

/** A kernel whose driver is ready to encrypt. */
function kernelWith(options: KernelOptions): Kernel {
	return inKernel(options, function* () {
		expect(yield* crypto_init()).toBe(0);
	});
}

function sealed(plain: Uint8Array): Uint8Array {
	return chacha20poly1305(key, nonce12).encrypt(plain);
}

describe.each(WG_CRYPTO_BACKENDS)("packets, %s", (backend) => {
	test.each([noble_backend, openssl])("are RFC 8439's bytes whatever the shape of the chain, with $name", (host) => {
		set_host_aead(host);
		const kernel = kernelWith(tunables(backend));
		fc.assert(
			fc.property(shapes, ({ length, lengths, room }) => {
				const plain = pattern(length);
				runIn(kernel, function* () {
					expect(wg_crypto_backend_name()).toBe(backend);
					const m = chainOf(plain, lengths, room);
					expect(yield* chacha20poly1305_encrypt_mbuf(m, NONCE_LO, NONCE_HI, key)).toBe(0);
					expect(m.m_pkthdr.len).toBe(length + 16);
					expect(bytesOf(m)).toEqual(sealed(plain));
					expect(yield* chacha20poly1305_decrypt_mbuf(m, NONCE_LO, NONCE_HI, key)).toBe(0);
					expect(m.m_pkthdr.len).toBe(length);
					expect(bytesOf(m)).toEqual(plain);
					m_freem(m);
				});
			}),
			{ numRuns: 60 },
		);
	});

	test("a packet split anywhere opens to the same text", () => {
		const kernel = kernelWith(tunables(backend));
		fc.assert(
			fc.property(shapes, ({ length, lengths }) => {
				const plain = pattern(length);
				runIn(kernel, function* () {
					const m = chainOf(sealed(plain), lengths);
					expect(yield* chacha20poly1305_decrypt_mbuf(m, NONCE_LO, NONCE_HI, key)).toBe(0);
					expect(bytesOf(m)).toEqual(plain);
					m_freem(m);
				});
			}),
			{ numRuns: 40 },
		);
	});

	test("a packet shorter than a tag is EMSGSIZE and stays as it was", () => {
		runIn(kernelWith(tunables(backend)), function* () {
			const m = chainOf(pattern(15), [3]);
			expect(yield* chacha20poly1305_decrypt_mbuf(m, 0, 0, key)).toBe(EMSGSIZE);
			expect(bytesOf(m)).toEqual(pattern(15));
			m_freem(m);
		});
	});

	test("no room for the tag and no mbuf for it is ENOMEM", () => {
		runIn(kernelWith(tunables(backend)), function* () {
			const m = chainOf(pattern(100), [], 4);
			uma_set_fault(() => true);
			expect(yield* chacha20poly1305_encrypt_mbuf(m, 0, 0, key)).toBe(ENOMEM);
			uma_set_fault(null);
			m_freem(m);
		});
	});

	test("arithmetic left out takes the same time, and a tag of zeros is the right one", () => {
		const times = [false, true].map((cost_only) => {
			const kernel = kernelWith({ ...tunables(backend), cost_only });
			let took = 0;
			runIn(kernel, function* () {
				const m = chainOf(pattern(1420), [100, 200, 3]);
				const begin = sbinuptime();
				expect(yield* chacha20poly1305_encrypt_mbuf(m, 1, 0, key)).toBe(0);
				expect(yield* chacha20poly1305_decrypt_mbuf(m, 1, 0, key)).toBe(0);
				expect(yield* chacha20poly1305_encrypt_mbuf(m, 1, 0, key)).toBe(0);
				const last = lastByte(m);
				last.buf[last.at] ^= 1;
				expect(yield* chacha20poly1305_decrypt_mbuf(m, 1, 0, key)).toBe(EBADMSG);
				took = sbinuptime() - begin;
				m_freem(m);
			});
			return took;
		});
		expect(times[0]).toBe(times[1]);
		expect(times[0]).toBeGreaterThan(1000);
	});
});

function lastByte(m: mbuf): { buf: Uint8Array; at: number } {
	let last = m;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) if (n.m_len > 0) last = n;
	return { buf: last.m_buf, at: last.m_data + last.m_len - 1 };
}

describe("a forged packet", () => {
	const plain = pattern(333);
	const forged = sealed(plain);
	forged[340] ^= 0x40;
	const ciphertext = forged.subarray(0, 333);

	test.each([[[]], [[64, 100]], [[333]], [[0, 340]]])(
		"the driver's own code has lost its tag and left garbage: %j",
		(lengths) => {
			runIn(kernelWith(tunables("own")), function* () {
				const m = chainOf(forged, lengths);
				expect(yield* chacha20poly1305_decrypt_mbuf(m, NONCE_LO, NONCE_HI, key)).toBe(EBADMSG);
				expect(m.m_pkthdr.len).toBe(333);
				expect(bytesOf(m)).toEqual(chacha20(key, nonce12, ciphertext, undefined, 1));
				m_freem(m);
			});
		},
	);

	test.each(["cryptosoft", "ossl"])("%s: the 2022-09 driver takes its ciphertext for the text", (backend) => {
		runIn(kernelWith(tunables(backend, "2022-09")), function* () {
			const m = chainOf(forged, [100]);
			expect(yield* chacha20poly1305_decrypt_mbuf(m, NONCE_LO, NONCE_HI, key)).toBe(0);
			expect(bytesOf(m)).toEqual(ciphertext);
			expect(crypto_stats().cs_errs).toBe(1);
			m_freem(m);
		});
	});

	test.each(["cryptosoft", "ossl"])("%s: the newest driver says EBADMSG, and the packet is untouched", (backend) => {
		runIn(kernelWith(tunables(backend)), function* () {
			const m = chainOf(forged, [100]);
			expect(yield* chacha20poly1305_decrypt_mbuf(m, NONCE_LO, NONCE_HI, key)).toBe(EBADMSG);
			expect(bytesOf(m)).toEqual(forged);
			m_freem(m);
		});
	});
});

describe("time", () => {
	/** ns to encrypt 1424 bytes split as given */
	function encryptTime(options: KernelOptions, lengths: readonly number[]): number {
		let took = 0;
		runIn(kernelWith(options), function* () {
			const m = chainOf(pattern(1424), lengths, 16);
			const begin = sbinuptime();
			yield* chacha20poly1305_encrypt_mbuf(m, 0, 0, key);
			took = sbinuptime() - begin;
			m_freem(m);
		});
		return took;
	}

	test("the shape of the chain matters to ossl only", () => {
		for (const backend of ["own", "cryptosoft"]) {
			expect(encryptTime(tunables(backend), [100, 200])).toBe(encryptTime(tunables(backend), []));
		}
		const whole = encryptTime(tunables("ossl"), []);
		const aligned = encryptTime(tunables("ossl"), [640, 640]);
		const split = encryptTime(tunables("ossl"), [630, 650]);
		expect(aligned).toBeGreaterThan(whole);
		expect(split).toBeGreaterThan(aligned);
	});

	test("ossl is several times faster", () => {
		const own = encryptTime(tunables("own"), []);
		const soft = encryptTime(tunables("cryptosoft"), []);
		const ossl = encryptTime(tunables("ossl"), []);
		expect(soft / ossl).toBeGreaterThan(3);
		expect(own / ossl).toBeGreaterThan(3);
	});

	/** ns until four CPUs have encrypted a hundred packets each: waking them is then a small part */
	function fourCpus(options: KernelOptions): number {
		const kernel = kernelWith(options);
		let took = 0;
		runIn(kernel, function* () {
			const begin = sbinuptime();
			const workers: thread[] = [];
			for (let i = 0; i < 4; i++) {
				const m = chainOf(pattern(1424), [], 40);
				workers.push(
					kthread_add_bound(
						function* () {
							for (let k = 0; k < 100; k++) {
								expect(yield* chacha20poly1305_encrypt_mbuf(m, k, i, key)).toBe(0);
								expect(yield* chacha20poly1305_decrypt_mbuf(m, k, i, key)).toBe(0);
							}
							expect(bytesOf(m)).toEqual(pattern(1424));
							took = Math.max(took, sbinuptime() - begin);
							m_freem(m);
						},
						undefined,
						`worker ${i}`,
						100,
						i,
					),
				);
			}
			for (const td of workers) yield* kthread_wait(td);
		});
		return took;
	}

	test("13.0's session mutex lets one CPU work at a time in cryptosoft, and only there", () => {
		const with13 = (backend: string): number => fourCpus({ ...tunables(backend), release: "13.0" });
		const with14 = (backend: string): number => fourCpus(tunables(backend));
		expect(with13("cryptosoft") / with14("cryptosoft")).toBeGreaterThan(3);
		expect(with13("own") / with14("own")).toBeLessThan(1.5);
		expect(with13("ossl") / with14("ossl")).toBeLessThan(1.5);
	});
});

describe("loading", () => {
	test.each([
		["2021-11", undefined, "own"],
		["2022-09", undefined, "cryptosoft"],
		["2022-09", "own", "own"],
		["main", "ossl", "ossl"],
	])("generation %s with tunable %s encrypts with %s", (generation, tunable, backend) => {
		const settings: Record<string, string> = { "net.wg.generation": generation };
		if (tunable !== undefined) settings["hw.wg.crypto"] = tunable;
		inKernel({ tunables: settings }, function* () {
			expect(wg_crypto_backend_name()).toBe(backend);
		});
	});

	test("an unknown name is a panic", () => {
		const kernel = bootKernel(tunables("fast"));
		expect(() =>
			runIn(kernel, function* () {
				wg_crypto_backend_name();
			}),
		).toThrow(/hw.wg.crypto/);
	});

	test("the session ends with the module: then its driver can go", () => {
		inKernel(tunables("cryptosoft"), function* () {
			expect(yield* crypto_init()).toBe(0);
			yield* crypto_deinit();
			yield* swcr_detach();
		});
	});

	test("cryptosoft means ossl when the loader has loaded that", () => {
		const time = (settings: Record<string, string>): number => {
			let took = 0;
			const kernel = kernelWith({ release: "14.0", tunables: { ...settings, "net.wg.generation": "main" } });
			runIn(kernel, function* () {
				const m = chainOf(pattern(1424), [], 16);
				const begin = sbinuptime();
				yield* chacha20poly1305_encrypt_mbuf(m, 0, 0, key);
				took = sbinuptime() - begin;
				m_freem(m);
			});
			return took;
		};
		expect(time({ "hw.wg.crypto": "cryptosoft", ossl_load: "YES" })).toBe(time({ "hw.wg.crypto": "ossl" }));
	});
});

test("a handshake field is RFC 8439's with the counter in the nonce", () => {
	inKernel({}, function* () {
		const out = new Uint8Array(48);
		chacha20poly1305_encrypt(out, pattern(32), 32, pattern(20, 3), 20, NONCE_LO, NONCE_HI, key);
		expect(out).toEqual(chacha20poly1305(key, nonce12, pattern(20, 3)).encrypt(pattern(32)));
		const back = new Uint8Array(32);
		expect(chacha20poly1305_decrypt(back, out, 48, pattern(20, 3), 20, NONCE_LO, NONCE_HI, key)).toBe(true);
		expect(back).toEqual(pattern(32));
		expect(chacha20poly1305_decrypt(back, out, 48, pattern(20, 4), 20, NONCE_LO, NONCE_HI, key)).toBe(false);
	});
});

describe.each(["own", "library"])("BLAKE2s, %s", (which) => {
	test("is RFC 7693's for any key, digest and pieces", () => {
		const kernel = bootKernel({ tunables: { "hw.wg.blake2s": which } });
		fc.assert(
			fc.property(
				fc.integer({ min: 1, max: 32 }),
				fc.nat(32),
				fc.array(fc.oneof(fc.constantFrom(0, 1, 63, 64, 65, 128), fc.nat(200)), { maxLength: 5 }),
				(outlen, keylen, pieces) => {
					const total = pieces.reduce((a, b) => a + b, 0);
					const input = pattern(total, 5);
					const hashKey = pattern(32, 9).subarray(0, keylen);
					const expected = noble_blake2s(input, keylen === 0 ? { dkLen: outlen } : { dkLen: outlen, key: hashKey });
					runIn(kernel, function* () {
						const out = new Uint8Array(outlen);
						expect(blake2s(out, input, hashKey, outlen, total, keylen)).toBe(0);
						expect(out).toEqual(expected);
						if (keylen === 0) return;
						const S = new blake2s_state();
						const again = new Uint8Array(outlen);
						blake2s_init_key(S, outlen, hashKey, keylen);
						let off = 0;
						for (const n of pieces) {
							blake2s_update(S, input.subarray(off), n);
							off += n;
						}
						expect(blake2s_final(S, again, outlen)).toBe(0);
						expect(again).toEqual(expected);
					});
				},
			),
			{ numRuns: 60 },
		);
	});

	test("takes the same time", () => {
		let took = 0;
		inKernel({ tunables: { "hw.wg.blake2s": which } }, function* () {
			const begin = sbinuptime();
			blake2s(new Uint8Array(16), pattern(148), pattern(32), 16, 148, 32);
			took = sbinuptime() - begin;
		});
		// setup and four blocks at 2.4 GHz
		expect(took).toBe(Math.round(100 / 2.4) + 4 * Math.round(450 / 2.4));
	});
});
