import { blake2b, blake2s } from "@noble/hashes/blake2.js";
import { describe, expect, test } from "vitest";
import { blake2_load, blake2_unload } from "../../../src/crypto/ocf/blake2_cryptodev.ts";
import { blake2_story, type blake2_story_result } from "../../../src/crypto/ocf/blake2_story.ts";
import { crypto_freesession, crypto_newsession } from "../../../src/crypto/ocf/crypto.ts";
import {
	CRYPTO_BLAKE2B,
	CRYPTO_BLAKE2S,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTOCAP_F_SOFTWARE,
	CSP_F_SEPARATE_OUTPUT,
	CSP_MODE_DIGEST,
	crypto_session_params,
} from "../../../src/crypto/ocf/cryptodev.ts";
import { fpu_kern_ctx, fpu_kern_enter_ctx } from "../../../src/crypto/ocf/fpu.ts";
import { crypto_speed, SPEED_BACKENDS, type speed_row } from "../../../src/crypto/ocf/speed.ts";
import { BLAKE2_MLEN_TUNABLE } from "../../../src/crypto/ocf/xform_blake2.ts";
import { EBADMSG, EINVAL } from "../../../src/kernel/errno.ts";
import { kthread_add_bound } from "../../../src/kernel/sched/kthread.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { counting, hex } from "../support.ts";
import { bootKernel, inKernel, openSession, pattern, runIn, runRequest } from "./support.ts";

const digest = { csp_mode: CSP_MODE_DIGEST, csp_auth_alg: CRYPTO_BLAKE2S };
const blake2_ko = { blake2_load: "YES" };

/** The digest of 20 bytes. */
function* digestOf(csp: Partial<crypto_session_params>, mlen: number, driver?: string): Blocking<Uint8Array> {
	const ses = yield* openSession({ ...csp, csp_auth_mlen: mlen }, driver);
	const data = new Uint8Array(20 + mlen);
	data.set(pattern(20));
	const out = yield* runRequest(ses, {
		op: CRYPTO_OP_COMPUTE_DIGEST,
		data,
		lengths: [7, 9],
		payload: [0, 20],
		digest: 20,
	});
	expect(out.etype).toBe(0);
	return out.data.subarray(20);
}

describe("the story of the mail", () => {
	function story(): blake2_story_result {
		let result: blake2_story_result | null = null;
		inKernel({}, function* () {
			result = yield* blake2_story();
		});
		return result!;
	}

	test("auth_xform is wrong where the digest is short; altered, library and blaketwo are right", () => {
		const { rows, message, key } = story();
		expect(message).toBe("abc");
		expect(key).toBe(hex(counting(32)));
		expect(rows.map((r) => [r.digest_length, r.keyed, r.auth_xform.right])).toEqual([
			[16, false, false],
			[16, true, false],
			[32, false, true],
			[32, true, true],
		]);
		for (const r of rows) {
			expect(r.altered).toEqual({ digest: r.reference, right: true });
			expect(r.library).toEqual({ digest: r.reference, right: true });
			expect(r.blaketwo).toEqual({ digest: r.reference, right: true });
		}
	});

	// the names of these tests are what they print
	test.each(
		story().rows.map((r) => [r.keyed ? "keyed" : "plain", r.digest_length, r.auth_xform.digest, r.reference] as const),
	)("%s, %i bytes: auth_xform says %s, RFC 7693 says %s", (kind, dkLen, digest, reference) => {
		const key = kind === "keyed" ? { key: counting(32) } : {};
		const abc = Uint8Array.of(0x61, 0x62, 0x63);
		expect(reference).toBe(hex(blake2s(abc, { dkLen, ...key })));
		expect(digest).toBe(hex(blake2s(abc, key)).slice(0, 2 * dkLen));
	});

	test("RFC 7693, appendix B: abc", () => {
		expect(story().rows[2]!.reference).toBe("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	});
});

describe("kern.crypto.blake2_mlen", () => {
	test.each<[string, Record<string, string>, boolean]>([
		["is off", {}, false],
		["is on", { [BLAKE2_MLEN_TUNABLE]: "1" }, true],
	])("%s", (_what, tunables, altered) => {
		inKernel({ tunables }, function* () {
			for (const mlen of [1, 16, 31, 32]) {
				for (const key of [undefined, pattern(32, 5)]) {
					const auth = key === undefined ? {} : { csp_auth_klen: 32, csp_auth_key: key };
					const opts = key === undefined ? {} : { key };
					const s = altered
						? blake2s(pattern(20), { dkLen: mlen, ...opts })
						: blake2s(pattern(20), opts).subarray(0, mlen);
					expect(yield* digestOf({ ...digest, ...auth }, mlen)).toEqual(s);
					const b = altered
						? blake2b(pattern(20), { dkLen: mlen, ...opts })
						: blake2b(pattern(20), opts).subarray(0, mlen);
					expect(yield* digestOf({ ...digest, ...auth, csp_auth_alg: CRYPTO_BLAKE2B }, mlen)).toEqual(b);
				}
			}
		});
	});
});

describe.each(["13.0", "14.0"] as const)("blaketwo of %s", (release) => {
	test("outbids cryptosoft, and the same session gives another digest", () => {
		let before = "";
		let after = "";
		inKernel({ release }, function* () {
			before = hex(yield* digestOf(digest, 16));
			expect(yield* blake2_load()).toBe(0);
			expect(yield* blake2_load()).toBe(0);
			after = hex(yield* digestOf(digest, 16));
		});
		expect(before).toBe(hex(blake2s(pattern(20)).subarray(0, 16)));
		expect(after).toBe(hex(blake2s(pattern(20), { dkLen: 16 })));
	});

	test("does digests without flags, of BLAKE2, with keys that fit", () => {
		inKernel({ release, tunables: blake2_ko }, function* () {
			const flags = yield* openSession({ ...digest, csp_flags: CSP_F_SEPARATE_OUTPUT });
			expect(flags.cap.cc_dev.nameunit).toBe("cryptosoft0");
			const b = yield* digestOf(
				{ ...digest, csp_auth_alg: CRYPTO_BLAKE2B, csp_auth_klen: 40, csp_auth_key: pattern(40) },
				48,
			);
			expect(b).toEqual(blake2b(pattern(20), { dkLen: 48, key: pattern(40) }));
			const csp = Object.assign(new crypto_session_params(), digest, { csp_auth_klen: 33 });
			expect(yield* crypto_newsession(csp, CRYPTOCAP_F_SOFTWARE)).toBe(EINVAL);
		});
	});

	test("a digest that does not match is EBADMSG", () => {
		inKernel({ release, tunables: blake2_ko }, function* () {
			const ses = yield* openSession(digest);
			const at = { op: CRYPTO_OP_VERIFY_DIGEST, payload: [0, 20] as const, digest: 20 };
			const good = Uint8Array.from([...pattern(20), ...blake2s(pattern(20))]);
			expect((yield* runRequest(ses, { ...at, data: good })).etype).toBe(0);
			expect((yield* runRequest(ses, { ...at, data: new Uint8Array(52) })).etype).toBe(EBADMSG);
			yield* crypto_freesession(ses);
			yield* blake2_unload();
			yield* blake2_unload();
		});
	});
});

describe("after a mismatch in blaketwo", () => {
	const mismatch = { op: CRYPTO_OP_VERIFY_DIGEST, data: new Uint8Array(52), payload: [0, 20] as const, digest: 20 };

	function twice(release: "13.0" | "14.0"): void {
		inKernel({ release, tunables: blake2_ko }, function* () {
			const ses = yield* openSession(digest);
			expect((yield* runRequest(ses, mismatch)).etype).toBe(EBADMSG);
			expect((yield* runRequest(ses, mismatch)).etype).toBe(EBADMSG);
		});
	}

	test("13.0 panics when the same thread comes to that CPU again; 14.0 does not", () => {
		expect(() => twice("13.0")).toThrow(/recursed on non-recursive mutex bl2fpumtx/);
		twice("14.0");
	});

	/** One thread leaks on CPU 1 and goes to sleep, then another comes to `cpu`. */
	function another(cpu: number): void {
		runIn(bootKernel({ release: "13.0", tunables: blake2_ko }), function* () {
			const ses = yield* openSession(digest);
			let finished = 0;
			for (const on of [1, cpu]) {
				kthread_add_bound(
					function* () {
						expect((yield* runRequest(ses, mismatch)).etype).toBe(EBADMSG);
						finished++;
						yield* pause("forever", 1_000_000);
					},
					undefined,
					`verify ${on}`,
					120,
					on,
				);
				yield* pause("test", 5);
			}
			expect(finished).toBe(2);
		});
	}

	test("in 13.0 another thread on that CPU finds the owner of the mutex asleep, which panics; elsewhere it works", () => {
		expect(() => another(1)).toThrow(/sleeping thread/);
		another(2);
	});

	test("a save area in use cannot be used again", () => {
		expect(() =>
			inKernel({}, function* () {
				const ctx = new fpu_kern_ctx();
				fpu_kern_enter_ctx(ctx);
				fpu_kern_enter_ctx(ctx);
			}),
		).toThrow(/using inuse ctx/);
	});
});

describe("cycles per byte of ChaCha20-Poly1305", () => {
	const rows = (release: "13.0" | "14.0"): speed_row[] => {
		const all: speed_row[] = [];
		inKernel({ release }, function* () {
			for (const backend of SPEED_BACKENDS) all.push(...(yield* crypto_speed(backend)));
		});
		return all;
	};

	test("falls with the length, and ossl's is a fraction of cryptosoft's", () => {
		const all = rows("14.0");
		for (const backend of SPEED_BACKENDS) {
			const own = all.filter((r) => r.backend === backend);
			for (let i = 1; i < own.length; i++) expect(own[i]!.cycles_per_byte).toBeLessThan(own[i - 1]!.cycles_per_byte);
		}
		const at = (backend: string, length: number): number =>
			all.find((r) => r.backend === backend && r.length === length)!.cycles_per_byte;
		expect(at("cryptosoft", 16384)).toBeCloseTo(11.6 + 0.1, 0);
		expect(at("ossl", 16384)).toBeCloseTo(1.7, 1);
		expect(at("cryptosoft", 1420) / at("ossl", 1420)).toBeGreaterThan(4);
		expect(rows("14.0")).toEqual(all);
	});
});
