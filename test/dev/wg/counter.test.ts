import fc from "fast-check";
import { expect, test } from "vitest";
import { noise_counter_selftest } from "../../../src/dev/wg/selftest/counter.ts";
import { selftest_message } from "../../../src/dev/wg/selftest/printf.ts";
import {
	COUNTER_WINDOW_SIZE,
	noise_keypair,
	noise_keypair_nonce_check,
	type noise_remote,
	REJECT_AFTER_MESSAGES,
	uint64,
	uint64_of,
} from "../../../src/dev/wg/wg_noise.ts";
import { EEXIST } from "../../../src/kernel/errno.ts";
import { rw_init, rw_wlock, rw_wunlock } from "../../../src/kernel/lock/rwlock.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { inThread, world } from "./support.ts";

function fresh(): noise_keypair {
	const kp = new noise_keypair(null as unknown as noise_remote);
	rw_init(kp.kp_nonce_lock, "counter");
	return kp;
}

test("the driver's self-test passes", () => {
	const messages: string[] = [];
	const stop = selftest_message.listen((message) => messages.push(message));
	expect(inThread(world(), () => noise_counter_selftest())).toBe(true);
	stop();
	expect(messages).toEqual(["nonce counter self-test: pass\n"]);
});

/** What was received, as one would write it down with nothing but a set. */
class model {
	private readonly seen = new Set<bigint>();
	private top = -1n;
	private readonly window: bigint;
	constructor(window = BigInt(COUNTER_WINDOW_SIZE)) {
		this.window = window;
	}
	check(nonce: bigint): number {
		if (nonce >= REJECT_AFTER_MESSAGES) return EEXIST;
		if (nonce + this.window < this.top || this.seen.has(nonce)) return EEXIST;
		this.seen.add(nonce);
		if (nonce > this.top) this.top = nonce;
		return 0;
	}
}

/** The model in place of the driver's function, one for each keypair. */
function checker_of(make: () => { check(nonce: bigint): number }): typeof noise_keypair_nonce_check {
	const models = new WeakMap<noise_keypair, { check(nonce: bigint): number }>();
	return function* (kp: noise_keypair, recv: uint64): Blocking<number> {
		let m = models.get(kp);
		if (m === undefined) models.set(kp, (m = make()));
		return m.check((BigInt(recv.hi) << 32n) | BigInt(recv.lo));
	};
}

test("the self-test holds of the model too", () => {
	expect(inThread(world(), () => noise_counter_selftest(checker_of(() => new model())))).toBe(true);
});

test.each([
	["a window one too small", () => new model(BigInt(COUNTER_WINDOW_SIZE - 1))],
	["a window one too large", () => new model(BigInt(COUNTER_WINDOW_SIZE + 1))],
	[
		"a limit one too high",
		() => {
			const m = new model();
			return { check: (n: bigint) => (n === REJECT_AFTER_MESSAGES ? 0 : m.check(n)) };
		},
	],
	[
		"nonce 0 taken for seen",
		() => {
			const m = new model();
			return { check: (n: bigint) => (n === 0n ? EEXIST : m.check(n)) };
		},
	],
	["no memory of the past", () => ({ check: () => 0 })],
])("the self-test notices %s", (_, make) => {
	expect(inThread(world(), () => noise_counter_selftest(checker_of(make)))).toBe(false);
});

/** Nonces that hover around one that moves on, now and then by a lot; from near 0, 2^32, 2^53 or the limit. */
const nonces = fc
	.tuple(
		fc.constantFrom(0n, (1n << 32n) - 9000n, 1n << 53n, (1n << 63n) - 100n, REJECT_AFTER_MESSAGES - 20_000n),
		fc.array(
			fc.tuple(
				fc.oneof(
					{ weight: 6, arbitrary: fc.integer({ min: 0, max: 3 }) },
					{ weight: 2, arbitrary: fc.integer({ min: 0, max: 200 }) },
					{ weight: 1, arbitrary: fc.integer({ min: 8000, max: 17_000 }) },
				),
				fc.oneof(
					fc.integer({ min: 0, max: 130 }),
					fc.integer({ min: COUNTER_WINDOW_SIZE - 66, max: COUNTER_WINDOW_SIZE + 66 }),
				),
			),
			{ maxLength: 300 },
		),
	)
	.map(([base, steps]) => {
		const list: bigint[] = [];
		let at = base;
		for (const [forward, back] of steps) {
			at += BigInt(forward);
			const n = at - BigInt(back);
			list.push(at, n < 0n ? 0n : n);
		}
		return list;
	});

test("the window accepts what a set would accept", () => {
	inThread(world(), function* () {
		const failures: string[] = [];
		for (const list of fc.sample(nonces, { seed: 20211111, numRuns: 300 })) {
			const kp = fresh();
			const m = new model();
			for (const n of list) {
				const got = yield* noise_keypair_nonce_check(kp, uint64_of(n));
				if (got !== m.check(n)) failures.push(`${n} of ${list.length}: ${got}`);
			}
		}
		expect(failures).toEqual([]);
	});
});

test("the check waits for the nonce lock", () => {
	const kernel = world();
	const order: string[] = [];
	inThread(kernel, function* () {
		const kp = fresh();
		yield* rw_wlock(kp.kp_nonce_lock);
		order.push("locked");
		yield* rw_wunlock(kp.kp_nonce_lock);
		order.push(`${yield* noise_keypair_nonce_check(kp, new uint64(5))}`);
		expect(kp.kp_nonce_lock.rw_writer).toBe(null);
	});
	expect(order).toEqual(["locked", "0"]);
});
