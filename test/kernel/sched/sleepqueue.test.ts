/** Sleeping and waking: who is woken, in what order, when a sleep ends by itself, and that no wakeup is lost. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EWOULDBLOCK } from "../../../src/kernel/errno.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import {
	MTX_DEF,
	MTX_SPIN,
	mtx,
	mtx_init,
	mtx_lock,
	mtx_lock_spin,
	mtx_owned,
	mtx_unlock,
	mtx_unlock_spin,
} from "../../../src/kernel/lock/mutex.ts";
import { sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { kthread_wait } from "../../../src/kernel/sched/kthread.ts";
import {
	msleep,
	msleep_spin,
	pause,
	pause_sbt,
	sleepq_waiters,
	tsleep,
	wakeup,
	wakeup_any,
	wakeup_one,
} from "../../../src/kernel/sched/sleepqueue.ts";
import { charge } from "../../../src/kernel/sched/thread.ts";
import { critical_enter } from "../../../src/kernel/sched/ule.ts";
import { bootOn, finish, pass, profile, start, work } from "./support.ts";

/** Three sleepers of the given priorities on one CPU, and the order in which `wake`, called three times, lets them run. */
function order(priorities: readonly number[], wake: (chan: object) => ReturnType<typeof wakeup_any>): number[] {
	const kernel = bootOn({ cpus: 2 });
	const chan = {};
	const woken: number[] = [];
	const sleepers = priorities.map((priority, i) => {
		const td = start(kernel, `s${i}`, priority, 1, function* () {
			yield* tsleep(chan, 0, "-", 0);
			woken.push(i);
		});
		pass(kernel, 1_000_000);
		return td;
	});
	expect(sleepq_waiters(chan)).toBe(priorities.length);
	const waker = start(kernel, "waker", 24, 0, function* () {
		for (let left = priorities.length; left > 0; left = sleepq_waiters(chan)) {
			yield* wake(chan);
			yield* work(1_000_000);
		}
		yield* wake(chan); // nobody there: nothing happens
	});
	finish(kernel, [...sleepers, waker]);
	return woken;
}

describe("which sleeper", () => {
	test("wakeup: all, the best priority first to run, then in order of arrival", () => {
		expect(order([24, 24, 24], wakeup)).toEqual([0, 1, 2]);
		expect(order([40, 24, 40], wakeup)).toEqual([1, 0, 2]);
	});
	test("wakeup_one: best priority, then longest asleep", () => {
		expect(order([24, 24, 24], wakeup_one)).toEqual([0, 1, 2]);
		expect(order([40, 24, 28, 24], wakeup_one)).toEqual([1, 3, 2, 0]);
	});
	test("wakeup_any: the latest to fall asleep, whatever its priority", () => {
		expect(order([24, 40, 28], wakeup_any)).toEqual([2, 1, 0]);
	});
});

describe("timeouts", () => {
	test.each(["xeon-d", "vm"])("end on a clock tick (%s), also when the thread had work to pay for first", (name) => {
		const kernel = bootOn({ cpus: 2, profile: { ...profile(name), jitter_permille: 0 } });
		const tick = 1_000_000_000 / profile(name).hz;
		const { costs } = kernel.machine;
		const woken: number[] = [];
		let error = -1;
		const td = start(kernel, "sleeper", 24, 1, function* () {
			for (const ticks of [1, 3]) {
				charge(Math.floor(tick * 1.5)); // asleep in the middle of a tick
				error = yield* tsleep({}, 0, "-", ticks);
				woken.push(sbinuptime());
				yield* pause("x", 1);
				charge(123);
				yield* pause("x", 2);
				woken.push(sbinuptime());
			}
		});
		finish(kernel, [td]);
		expect(error).toBe(EWOULDBLOCK);
		const deepest = kernel.machine.profile.cstates.at(-1)!.exit_latency_ns;
		const slack = 2 * deepest + costs.timer_interrupt + costs.ipi_send + costs.ipi_latency + costs.ipi_handler + 3_000;
		for (const at of woken) expect(at % tick).toBeLessThan(slack);
	});

	test("pause_sbt sleeps for that long, tick or not", () => {
		const kernel = bootOn({ cpus: 1 });
		let slept = 0;
		const td = start(kernel, "sleeper", 24, 0, function* () {
			const began = sbinuptime();
			yield* pause_sbt("x", 123_456);
			slept = sbinuptime() - began;
		});
		finish(kernel, [td]);
		expect(slept).toBeGreaterThanOrEqual(123_456);
		expect(slept).toBeLessThan(123_456 + 20_000);
	});

	test("are off once the thread is awake: the next sleep is not cut short by the last one's", () => {
		const kernel = bootOn({ cpus: 2 });
		const chan = {};
		const errors: number[] = [];
		const td = start(kernel, "sleeper", 24, 1, function* () {
			errors.push(yield* tsleep(chan, 0, "-", 5));
			errors.push(yield* tsleep(chan, 0, "-", 0));
		});
		const waker = start(kernel, "waker", 24, 0, function* () {
			yield* work(1_000_000);
			yield* wakeup(chan);
			yield* work(20_000_000);
			yield* wakeup(chan);
		});
		finish(kernel, [td, waker]);
		expect(errors).toEqual([0, 0]);
	});
});

describe("no wakeup is lost", () => {
	test.each(["a mutex", "a spin mutex"])("between a condition checked under %s and the sleep", (kind) => {
		const spin = kind === "a spin mutex";
		fc.assert(
			fc.property(
				fc.nat(),
				fc.integer({ min: 1, max: 4 }),
				fc.array(fc.nat(3_000), { minLength: 1, maxLength: 40 }),
				fc.nat(2_000),
				(seed, cpus, delays, handling) => {
					const kernel = bootOn({ cpus, seed, profile: profile("xeon-d") });
					const m = new mtx();
					mtx_init(m, "m", null, spin ? MTX_SPIN : MTX_DEF);
					let items = 0;
					let taken = 0;
					const consumer = start(kernel, "consumer", 40, -1, function* () {
						yield* spin ? mtx_lock_spin(m) : mtx_lock(m);
						while (taken < delays.length) {
							while (items === 0) {
								if (spin) yield* msleep_spin(m, m, "-", 0);
								else yield* msleep(m, m, 0, "-", 0);
								expect(mtx_owned(m)).toBe(true);
							}
							items--;
							taken++;
							charge(handling);
						}
						yield* spin ? mtx_unlock_spin(m) : mtx_unlock(m);
					});
					const producer = start(kernel, "producer", 28, -1, function* () {
						for (const delay of delays) {
							yield* work(delay);
							yield* spin ? mtx_lock_spin(m) : mtx_lock(m);
							items++;
							yield* spin ? mtx_unlock_spin(m) : mtx_unlock(m);
							yield* wakeup_any(m);
						}
					});
					finish(kernel, [consumer, producer]);
					expect(taken).toBe(delays.length);
				},
			),
			{ numRuns: 60 },
		);
	});
});

describe("sleeping where it is forbidden panics", () => {
	test.each([
		["in an epoch section", NET_EPOCH_ENTER, /with sleeping prohibited/],
		["in a critical section", critical_enter, /critical section/],
	])("%s", (_, enter, message) => {
		const kernel = bootOn({ cpus: 1 });
		const td = start(kernel, "sleeper", 24, 0, function* () {
			enter();
			yield* tsleep({}, 0, "-", 0);
			NET_EPOCH_EXIT();
		});
		expect(() => finish(kernel, [td])).toThrow(message);
	});
});

test("kthread_wait returns when the thread has ended", () => {
	const kernel = bootOn({ cpus: 2 });
	const child = start(kernel, "child", 24, 1, () => work(3_300_000));
	let ended = false;
	const parent = start(kernel, "parent", 24, 0, function* () {
		yield* kthread_wait(child);
		ended = child.td_exited;
	});
	finish(kernel, [child, parent]);
	expect(ended).toBe(true);
});
