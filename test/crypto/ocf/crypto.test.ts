import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { blake2b, blake2s } from "@noble/hashes/blake2.js";
import { describe, expect, test } from "vitest";
import {
	crypto_dispatch,
	crypto_dispatch_async,
	crypto_done,
	crypto_find_driver,
	crypto_freereq,
	crypto_freesession,
	crypto_get_driverid,
	crypto_getcaps,
	crypto_getreq,
	crypto_initreq,
	crypto_newsession,
	crypto_ses2hid,
	crypto_stats,
	crypto_unblock,
	crypto_unregister_all,
} from "../../../src/crypto/ocf/crypto.ts";
import {
	CRYPTO_ASYNC_ORDERED,
	CRYPTO_BLAKE2B,
	CRYPTO_BLAKE2S,
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_F_CBIFSYNC,
	CRYPTO_F_CBIMM,
	CRYPTO_F_IV_SEPARATE,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_DECRYPT,
	CRYPTO_OP_ENCRYPT,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTO_SYMQ,
	CRYPTOCAP_F_HARDWARE,
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	CRYPTODEV_PROBE_HARDWARE,
	CRYPTODEV_PROBE_SOFTWARE,
	CSP_F_SEPARATE_AAD,
	CSP_F_SEPARATE_OUTPUT,
	CSP_MODE_AEAD,
	CSP_MODE_CIPHER,
	CSP_MODE_DIGEST,
	type crypto_session,
	crypto_session_params,
	crypto_use_buf,
	crypto_use_mbuf,
	crypto_use_output_buf,
	cryptop,
} from "../../../src/crypto/ocf/cryptodev.ts";
import { swcr_attach, swcr_detach } from "../../../src/crypto/ocf/cryptosoft.ts";
import { ossl_load, ossl_loaded, ossl_unload } from "../../../src/crypto/ocf/ossl.ts";
import { EAGAIN, EBADMSG, EINVAL, ENOMEM, EOPNOTSUPP, ERESTART } from "../../../src/kernel/errno.ts";
import { m_freem } from "../../../src/kernel/mbuf/mbuf.ts";
import { M_WAITOK, uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { kthread_add_bound } from "../../../src/kernel/sched/kthread.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, curthread, done, sync } from "../../../src/kernel/sched/thread.ts";
import { bootKernel, bytesOf, chainOf, inKernel, pattern, runIn, test_driver } from "./support.ts";

const key = pattern(32, 2);
const ENCRYPT = CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST;
const DECRYPT = CRYPTO_OP_DECRYPT | CRYPTO_OP_VERIFY_DIGEST;

const nothing = (): Blocking<number> => done(0);

function aead(changes: Partial<crypto_session_params> = {}): crypto_session_params {
	const csp = new crypto_session_params();
	csp.csp_mode = CSP_MODE_AEAD;
	csp.csp_ivlen = 8;
	csp.csp_cipher_alg = CRYPTO_CHACHA20_POLY1305;
	csp.csp_cipher_klen = 32;
	csp.csp_flags = CSP_F_SEPARATE_AAD | CSP_F_SEPARATE_OUTPUT;
	return Object.assign(csp, changes);
}

function digest(changes: Partial<crypto_session_params> = {}): crypto_session_params {
	const csp = new crypto_session_params();
	csp.csp_mode = CSP_MODE_DIGEST;
	csp.csp_auth_alg = CRYPTO_BLAKE2S;
	return Object.assign(csp, changes);
}

function* open(csp: crypto_session_params, crid = CRYPTOCAP_F_SOFTWARE): Blocking<crypto_session> {
	const ses = yield* crypto_newsession(csp, crid);
	if (typeof ses === "number") throw new Error(`crypto_newsession: ${ses}`);
	return ses;
}

/** A request over a flat buffer whose last 16 bytes are the tag, or room for it. */
function request(ses: crypto_session, op: number, buf: Uint8Array, crp = new cryptop()): cryptop {
	crypto_initreq(crp, ses);
	crp.crp_op = op;
	crp.crp_flags = CRYPTO_F_IV_SEPARATE | CRYPTO_F_CBIMM;
	crypto_use_buf(crp, buf, buf.length);
	crp.crp_payload_length = buf.length - 16;
	crp.crp_digest_start = buf.length - 16;
	crp.crp_cipher_key = key;
	crp.crp_callback = nothing;
	return crp;
}

function withTag(plain: Uint8Array): Uint8Array {
	const buf = new Uint8Array(plain.length + 16);
	buf.set(plain);
	return buf;
}

describe("session parameters", () => {
	test.each<[string, crypto_session_params, number]>([
		["an AEAD without a key", aead({ csp_cipher_klen: 0 }), EINVAL],
		["a key of no length", aead({ csp_cipher_klen: 0, csp_cipher_key: key }), EINVAL],
		["no IV", aead({ csp_ivlen: 0 }), EINVAL],
		["an IV of 16 bytes", aead({ csp_ivlen: 16 }), EINVAL],
		["a tag of 17 bytes", aead({ csp_auth_mlen: 17 }), EINVAL],
		["an AEAD with a digest", aead({ csp_auth_alg: CRYPTO_BLAKE2S }), EINVAL],
		["an unknown flag", aead({ csp_flags: 0x10 }), EINVAL],
		["an unknown mode", aead({ csp_mode: CSP_MODE_CIPHER }), EINVAL],
		["a digest as cipher", aead({ csp_cipher_alg: CRYPTO_BLAKE2S }), EINVAL],
		["a digest longer than the hash", digest({ csp_auth_mlen: 33 }), EINVAL],
		["a digest with authenticated data", digest({ csp_flags: CSP_F_SEPARATE_AAD }), EINVAL],
		["a key no driver takes", aead({ csp_cipher_klen: 16 }), EOPNOTSUPP],
	])("%s", (_what, csp, error) => {
		inKernel({}, function* () {
			expect(yield* crypto_newsession(csp, CRYPTOCAP_F_SOFTWARE)).toBe(error);
		});
	});

	test("hardware only, where there is none, is EOPNOTSUPP", () => {
		inKernel({}, function* () {
			expect(yield* crypto_newsession(aead(), CRYPTOCAP_F_HARDWARE)).toBe(EOPNOTSUPP);
		});
	});
});

describe("the choice of a driver", () => {
	function* driverOf(ses: crypto_session): Blocking<string> {
		for (const name of ["cryptosoft", "ossl", "test"]) {
			if ((yield* crypto_find_driver(name)) === crypto_ses2hid(ses)) return name;
		}
		return "?";
	}

	test("ossl wins over cryptosoft once it is loaded; sessions stay where they are", () => {
		inKernel({}, function* () {
			const before = yield* open(aead());
			expect(yield* driverOf(before)).toBe("cryptosoft");
			expect(ossl_loaded()).toBe(false);
			expect(yield* ossl_load()).toBe(0);
			const after = yield* open(aead());
			expect(yield* driverOf(after)).toBe("ossl");
			expect(yield* driverOf(before)).toBe("cryptosoft");
			// no digests there
			expect(yield* driverOf(yield* open(digest()))).toBe("cryptosoft");
		});
	});

	test("a tie goes to the driver with fewer sessions, then to the first", () => {
		inKernel({}, function* () {
			const twin = new test_driver("test0", CRYPTODEV_PROBE_SOFTWARE);
			yield* crypto_get_driverid(twin, () => ({}), CRYPTOCAP_F_SOFTWARE);
			const names: string[] = [];
			for (let i = 0; i < 3; i++) names.push(yield* driverOf(yield* open(aead())));
			expect(names).toEqual(["cryptosoft", "test", "cryptosoft"]);
		});
	});

	test("hardware bids highest, is taken by number, and its error is passed on", () => {
		inKernel({}, function* () {
			const card = new test_driver("test0", CRYPTODEV_PROBE_HARDWARE);
			const hid = yield* crypto_get_driverid(card, () => ({}), CRYPTOCAP_F_HARDWARE);
			expect(yield* crypto_getcaps(hid)).toBe(CRYPTOCAP_F_HARDWARE);
			expect(yield* crypto_getcaps(99)).toBe(0);
			expect(yield* driverOf(yield* open(aead(), CRYPTOCAP_F_HARDWARE | CRYPTOCAP_F_SOFTWARE))).toBe("test");
			expect(yield* driverOf(yield* open(aead(), hid))).toBe("test");
			expect(yield* driverOf(yield* open(aead(), CRYPTOCAP_F_SOFTWARE))).toBe("cryptosoft");
			card.newsession = ENOMEM;
			expect(yield* crypto_newsession(aead(), hid)).toBe(ENOMEM);
			card.probe = EINVAL;
			expect(yield* crypto_newsession(aead(), hid)).toBe(EOPNOTSUPP);
			expect(yield* crypto_get_driverid(card, () => ({}), CRYPTOCAP_F_SYNC)).toBe(-1);
		});
	});
});

describe.each(["cryptosoft", "ossl"])("ChaCha20-Poly1305 of %s", (driver) => {
	function withDriver(main: () => Blocking<void>): void {
		inKernel({ tunables: driver === "ossl" ? { ossl_load: "YES" } : {} }, main);
	}

	test.each([8, 12])("an IV of %d bytes, authenticated data, flat buffer", (ivlen) => {
		withDriver(function* () {
			const nonce12 = new Uint8Array(12);
			nonce12.set(pattern(ivlen, 9), 12 - ivlen);
			const aad = pattern(21, 4);
			const plain = pattern(300);
			const ses = yield* open(aead({ csp_ivlen: ivlen }));
			const buf = withTag(plain);
			const crp = request(ses, ENCRYPT, buf);
			crp.crp_iv.set(pattern(ivlen, 9));
			crp.crp_aad = aad;
			crp.crp_aad_length = 21;
			expect(yield* crypto_dispatch(crp)).toBe(0);
			expect(crp.crp_etype).toBe(0);
			expect(buf).toEqual(chacha20poly1305(key, nonce12, aad).encrypt(plain));
		});
	});

	test("authenticated data, text and tag anywhere in a chain", () => {
		withDriver(function* () {
			const ses = yield* open(aead({ csp_cipher_key: key }));
			const message = pattern(500);
			// tag at 2, data at 30..49, text at 100..399
			const expected = message.slice();
			const sealed = chacha20poly1305(key, new Uint8Array(12), message.subarray(30, 50)).encrypt(
				message.subarray(100, 400),
			);
			expected.set(sealed.subarray(0, 300), 100);
			expected.set(sealed.subarray(300), 2);
			const m = chainOf(message, [10, 25, 90, 64, 64]);
			for (const op of [ENCRYPT, DECRYPT]) {
				const crp = new cryptop();
				crypto_initreq(crp, ses);
				crp.crp_op = op;
				crp.crp_flags = CRYPTO_F_IV_SEPARATE | CRYPTO_F_CBIMM;
				crypto_use_mbuf(crp, m);
				crp.crp_aad_start = 30;
				crp.crp_aad_length = 20;
				crp.crp_payload_start = 100;
				crp.crp_payload_length = 300;
				crp.crp_digest_start = 2;
				crp.crp_callback = nothing;
				yield* crypto_dispatch(crp);
				expect(crp.crp_etype).toBe(0);
				if (op === ENCRYPT) expect(bytesOf(m)).toEqual(expected);
			}
			expected.set(message.subarray(100, 400), 100);
			expect(bytesOf(m)).toEqual(expected);
			m_freem(m);
		});
	});

	test("an output of its own leaves the input alone", () => {
		withDriver(function* () {
			const ses = yield* open(aead());
			const buf = withTag(pattern(100));
			const out = new Uint8Array(140);
			const crp = request(ses, ENCRYPT, buf);
			crypto_use_output_buf(crp, out, 140);
			crp.crp_payload_output_start = 4;
			crp.crp_digest_start = 104;
			yield* crypto_dispatch(crp);
			expect(buf).toEqual(withTag(pattern(100)));
			expect(out.subarray(4, 120)).toEqual(chacha20poly1305(key, new Uint8Array(12)).encrypt(pattern(100)));
		});
	});

	test("a forged tag: the dispatch returns 0, the request says EBADMSG, the buffer is untouched", () => {
		withDriver(function* () {
			const ses = yield* open(aead());
			const forged = chacha20poly1305(key, new Uint8Array(12)).encrypt(pattern(100));
			forged[3] ^= 1;
			const buf = forged.slice();
			let called = 0;
			const crp = request(ses, DECRYPT, buf);
			crp.crp_callback = () => {
				called = crp.crp_etype;
				return done(0);
			};
			expect(yield* crypto_dispatch(crp)).toBe(0);
			expect(crp.crp_etype).toBe(EBADMSG);
			expect(called).toBe(EBADMSG);
			expect(buf).toEqual(forged);
			expect(crypto_stats()).toMatchObject({ cs_ops: 1, cs_errs: 1 });
		});
	});

	test("a shorter tag is the beginning of the long one, and all of it must match", () => {
		withDriver(function* () {
			const ses = yield* open(aead({ csp_auth_mlen: 8 }));
			const sealed = chacha20poly1305(key, new Uint8Array(12)).encrypt(pattern(100));
			const buf = withTag(pattern(100));
			yield* crypto_dispatch(request(ses, ENCRYPT, buf));
			expect(buf.subarray(0, 108)).toEqual(sealed.subarray(0, 108));
			expect(buf.subarray(108)).toEqual(new Uint8Array(8));
			const crp = request(ses, DECRYPT, buf);
			yield* crypto_dispatch(crp);
			expect(crp.crp_etype).toBe(0);
			expect(buf.subarray(0, 100)).toEqual(pattern(100));
			buf[107] ^= 1;
			const forged = request(ses, DECRYPT, buf);
			yield* crypto_dispatch(forged);
			expect(forged.crp_etype).toBe(EBADMSG);
		});
	});

	test.each<[string, (crp: cryptop) => void, RegExp]>([
		["without IV_SEPARATE", (crp) => (crp.crp_flags = CRYPTO_F_CBIMM), /AEAD without a separate IV/],
		["a text past the end", (crp) => (crp.crp_payload_length = 200), /payload outside input buffer/],
		["a tag past the end", (crp) => (crp.crp_digest_start = 116), /invalid digest start/],
		["half an operation", (crp) => (crp.crp_op = CRYPTO_OP_ENCRYPT | CRYPTO_OP_VERIFY_DIGEST), /invalid AEAD op/],
		["no key", (crp) => (crp.crp_cipher_key = null), /cipher request without a key/],
		["no callback", (crp) => (crp.crp_callback = null), /incoming crp without callback/],
		["an old error", (crp) => (crp.crp_etype = EINVAL), /incoming crp with error/],
	])("a request that breaks a rule panics: %s", (_what, breakIt, message) => {
		expect(() =>
			withDriver(function* () {
				const crp = request(yield* open(aead()), ENCRYPT, withTag(pattern(100)));
				breakIt(crp);
				yield* crypto_dispatch(crp);
			}),
		).toThrow(message);
	});
});

describe("digests of cryptosoft", () => {
	test.each<[string, number, number, (m: Uint8Array, k?: Uint8Array) => Uint8Array]>([
		["Blake2s", CRYPTO_BLAKE2S, 32, (m, k) => blake2s(m, k === undefined ? {} : { key: k })],
		["Blake2b", CRYPTO_BLAKE2B, 64, (m, k) => blake2b(m, k === undefined ? {} : { key: k })],
	])("%s always makes the longest digest: a short one is its beginning", (_name, alg, size, hash) => {
		inKernel({}, function* () {
			for (const mlen of [0, 16]) {
				for (const sessionKey of [null, pattern(32, 6)]) {
					const klen = sessionKey === null ? 0 : 32;
					const csp = digest({ csp_auth_alg: alg, csp_auth_mlen: mlen, csp_auth_klen: klen, csp_auth_key: sessionKey });
					const ses = yield* open(csp);
					const used = mlen === 0 ? size : mlen;
					// twice: the session's context must survive a request
					for (let i = 0; i < 2; i++) {
						const m = chainOf(pattern(300), [100]);
						const crp = new cryptop();
						crypto_initreq(crp, ses);
						crp.crp_flags = CRYPTO_F_CBIMM;
						crypto_use_mbuf(crp, m);
						crp.crp_payload_length = 200;
						crp.crp_digest_start = 200;
						crp.crp_callback = nothing;
						yield* crypto_dispatch(crp);
						const expected = hash(pattern(300).subarray(0, 200), sessionKey ?? undefined).subarray(0, used);
						expect(bytesOf(m).subarray(200, 200 + used)).toEqual(expected);
						const verify = new cryptop();
						crypto_initreq(verify, ses);
						verify.crp_op = CRYPTO_OP_VERIFY_DIGEST;
						verify.crp_flags = CRYPTO_F_CBIMM;
						crypto_use_mbuf(verify, m);
						verify.crp_payload_length = 200;
						verify.crp_digest_start = 200;
						verify.crp_callback = nothing;
						m.m_buf[m.m_data] ^= i;
						yield* crypto_dispatch(verify);
						expect(verify.crp_etype).toBe(i === 0 ? 0 : EBADMSG);
						m_freem(m);
					}
					yield* crypto_freesession(ses);
				}
			}
			expect(blake2s(pattern(9)).subarray(0, 16)).not.toEqual(blake2s(pattern(9), { dkLen: 16 }));
		});
	});

	test("a key with the request replaces the session's", () => {
		inKernel({}, function* () {
			const ses = yield* open(digest({ csp_auth_klen: 32 }));
			const buf = withTag(withTag(pattern(64)));
			const crp = new cryptop();
			crypto_initreq(crp, ses);
			crp.crp_flags = CRYPTO_F_CBIMM;
			crypto_use_buf(crp, buf, buf.length);
			crp.crp_payload_length = 64;
			crp.crp_digest_start = 64;
			crp.crp_auth_key = key;
			crp.crp_callback = nothing;
			yield* crypto_dispatch(crp);
			expect(buf.subarray(64)).toEqual(blake2s(pattern(64), { key }));
		});
	});
});

describe("completion", () => {
	test("CBIMM, and CBIFSYNC of a synchronous driver, call back in the thread that dispatched; else a return thread does", () => {
		inKernel({}, function* () {
			const ses = yield* open(aead());
			const me = curthread.td_name;
			for (const [flag, name] of [
				[CRYPTO_F_CBIMM, me],
				[CRYPTO_F_CBIFSYNC, me],
				[0, "crypto returns 0"],
			] as const) {
				let by = "";
				const crp = request(ses, ENCRYPT, withTag(pattern(10)));
				crp.crp_flags = CRYPTO_F_IV_SEPARATE | flag;
				crp.crp_callback = () => {
					by = curthread.td_name;
					return done(0);
				};
				yield* crypto_dispatch(crp);
				yield* pause("test", 2);
				expect(by).toBe(name);
			}
			expect(crypto_stats().cs_rets).toBe(1);
		});
	});

	test("a driver that finishes later has its CBIFSYNC requests called back by a return thread", () => {
		inKernel({}, function* () {
			const card = new test_driver("test0", CRYPTODEV_PROBE_HARDWARE);
			const hid = yield* crypto_get_driverid(card, () => ({}), CRYPTOCAP_F_HARDWARE);
			let pending: cryptop | null = null;
			card.process = (crp) => {
				pending = crp;
				return done(0);
			};
			const ses = yield* open(aead(), hid);
			let by = "";
			const crp = request(ses, ENCRYPT, withTag(pattern(10)));
			crp.crp_flags = CRYPTO_F_IV_SEPARATE | CRYPTO_F_CBIFSYNC;
			crp.crp_callback = () => {
				by = curthread.td_name;
				return done(0);
			};
			// not worth a worker: the driver does not keep the thread busy
			yield* crypto_dispatch_async(crp, 0);
			expect(pending).toBe(crp);
			yield* crypto_done(crp);
			yield* pause("test", 2);
			expect(by).toBe("crypto returns 0");
		});
	});

	test("ordered asynchronous requests call back in the order of dispatch, whichever is done first", () => {
		inKernel({ release: "14.0" }, function* () {
			const ses = yield* open(aead());
			const order: number[] = [];
			const finished: number[] = [];
			for (let i = 0; i < 12; i++) {
				// the first one takes longest
				const crp = request(ses, ENCRYPT, withTag(pattern(i === 0 ? 60_000 : 100)));
				crp.crp_opaque = i;
				crp.crp_callback = (done_crp) => {
					order.push(done_crp.crp_opaque as number);
					return done(0);
				};
				expect(yield* crypto_dispatch_async(crp, CRYPTO_ASYNC_ORDERED)).toBe(0);
			}
			charge(50_000);
			yield* sync();
			expect(order).toEqual([]);
			yield* pause("test", 5);
			expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
			// without the flag each is called back when it is done: short ones overtake the long one
			for (let i = 0; i < 4; i++) {
				const crp = request(ses, ENCRYPT, withTag(pattern(i === 0 ? 60_000 : 100)));
				crp.crp_callback = function* () {
					yield* sync();
					finished.push(i);
					return 0;
				};
				yield* crypto_dispatch_async(crp, 0);
			}
			yield* pause("test", 5);
			expect(finished.length).toBe(4);
			expect(finished[3]).toBe(0);
		});
	});
});

describe("a driver out of resources", () => {
	test("has its requests wait in order until it is unblocked", () => {
		inKernel({}, function* () {
			const card = new test_driver("test0", CRYPTODEV_PROBE_HARDWARE);
			const hid = yield* crypto_get_driverid(card, () => ({}), CRYPTOCAP_F_HARDWARE | CRYPTOCAP_F_SYNC);
			let busy = true;
			const calls: string[] = [];
			card.process = function* (crp, hint) {
				calls.push(`${crp.crp_opaque}${hint !== 0 ? " more" : ""} by ${curthread.td_name}`);
				if (busy) return ERESTART;
				yield* crypto_done(crp);
				return 0;
			};
			const ses = yield* open(aead(), hid);
			const order: unknown[] = [];
			const send = function* (name: string): Blocking<void> {
				const crp = request(ses, ENCRYPT, withTag(pattern(10)));
				crp.crp_opaque = name;
				crp.crp_callback = (done_crp) => {
					order.push(done_crp.crp_opaque);
					return done(0);
				};
				expect(yield* crypto_dispatch(crp)).toBe(0);
			};
			yield* send("a");
			yield* pause("test", 2);
			// refused in this thread, and again in the dispatch thread, which blocked the driver
			expect(calls).toEqual(["a by test", "a by crypto"]);
			expect(crypto_stats().cs_blocks).toBe(1);
			yield* send("b");
			yield* pause("test", 2);
			expect(calls.length).toBe(2);
			busy = false;
			expect(yield* crypto_unblock(99, CRYPTO_SYMQ)).toBe(EINVAL);
			expect(yield* crypto_unblock(hid, CRYPTO_SYMQ)).toBe(0);
			yield* pause("test", 2);
			expect(calls.slice(2)).toEqual(["a more by crypto", "b by crypto"]);
			expect(order).toEqual(["a", "b"]);
		});
	});
});

describe("unregistering", () => {
	test("waits for the last session, and requests meanwhile get EAGAIN and another driver", () => {
		const kernel = bootKernel();
		runIn(kernel, function* () {
			yield* ossl_load();
			const ses = yield* open(aead());
			let gone = false;
			kthread_add_bound(
				function* () {
					yield* ossl_unload();
					gone = true;
				},
				undefined,
				"kldunload",
				100,
				1,
			);
			yield* pause("test", 2);
			expect(gone).toBe(false);
			const buf = withTag(pattern(10));
			const crp = request(ses, ENCRYPT, buf);
			expect(yield* crypto_dispatch(crp)).toBe(0);
			expect(crp.crp_etype).toBe(EAGAIN);
			expect(buf).toEqual(withTag(pattern(10)));
			yield* pause("test", 2);
			expect(gone).toBe(true);
			expect(ossl_loaded()).toBe(false);
			const again = request(crp.crp_session!, ENCRYPT, buf);
			yield* crypto_dispatch(again);
			expect(again.crp_etype).toBe(0);
			yield* crypto_freesession(again.crp_session);
			expect(yield* crypto_unregister_all(7)).toBe(EINVAL);
			yield* swcr_detach();
			expect(yield* crypto_newsession(aead(), CRYPTOCAP_F_SOFTWARE)).toBe(EOPNOTSUPP);
			expect(yield* swcr_attach()).toBe(0);
		});
	});
});

test("a request from the zone goes back to it", () => {
	const kernel = inKernel({}, function* () {
		const crp = crypto_getreq(yield* open(aead()), M_WAITOK)!;
		yield* crypto_dispatch(request(crp.crp_session!, ENCRYPT, withTag(pattern(10)), crp));
		crypto_freereq(crp);
		crypto_freereq(null);
	});
	set_curkernel(kernel);
	expect(uma_leaks().filter((leak) => leak.zone === "cryptop")).toEqual([]);
});

describe("preemption", () => {
	/** ns that a more important thread, woken in the middle of a packet on its CPU, waits to run */
	function latency(load: boolean): number {
		const kernel = bootKernel({ release: "14.0", tunables: load ? { ossl_load: "YES" } : {} }, 2);
		let waited = -1;
		runIn(kernel, function* () {
			const ses = yield* open(aead());
			let busy = false;
			kthread_add_bound(
				function* () {
					busy = true;
					for (let i = 0; i < 3; i++) yield* crypto_dispatch(request(ses, ENCRYPT, withTag(pattern(60_000))));
				},
				undefined,
				"crypto",
				120,
				1,
			);
			while (!busy) {
				charge(100);
				yield* sync();
			}
			// into the first packet
			charge(15_000);
			yield* sync();
			const woken = kernel.machine.now;
			kthread_add_bound(
				function* () {
					waited = kernel.machine.now - woken;
					yield* sync();
				},
				undefined,
				"urgent",
				8,
				1,
			);
			yield* pause("test", 5);
		});
		return waited;
	}

	test("cryptosoft lets a better thread in at once, ossl finishes the packet first", () => {
		const soft = latency(false);
		const ossl = latency(true);
		expect(soft).toBeLessThan(10_000);
		expect(ossl).toBeGreaterThan(15_000);
	});
});
