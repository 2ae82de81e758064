/** epoch(9): readers never wait, and what they may still see is not freed before they leave. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	in_net_epoch,
	NET_EPOCH_ASSERT,
	NET_EPOCH_CALL,
	NET_EPOCH_DRAIN_CALLBACKS,
	NET_EPOCH_ENTER,
	NET_EPOCH_EXIT,
	NET_EPOCH_WAIT,
} from "../../../src/kernel/lock/epoch.ts";
import { sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { curthread } from "../../../src/kernel/sched/thread.ts";
import { bootOn, finish, pass, start, work } from "../sched/support.ts";

describe("sections", () => {
	test("nest, pin the thread and forbid sleep until the outermost ends", () => {
		const kernel = bootOn({ cpus: 1 });
		const seen: unknown[] = [];
		const td = start(kernel, "reader", 24, 0, function* () {
			const look = (): number => seen.push([in_net_epoch(), curthread.td_pinned, curthread.td_no_sleeping]);
			look();
			NET_EPOCH_ENTER();
			NET_EPOCH_ENTER();
			look();
			NET_EPOCH_EXIT();
			look();
			NET_EPOCH_ASSERT();
			NET_EPOCH_EXIT();
			look();
		});
		finish(kernel, [td]);
		expect(seen).toEqual([
			[false, 0, 0],
			[true, 2, 2],
			[true, 1, 1],
			[false, 0, 0],
		]);
	});

	test.each([
		["leaving one that was not entered", NET_EPOCH_EXIT, /not in epoch/],
		["asserting outside of one", NET_EPOCH_ASSERT, /in_epoch/],
		["ending a thread inside one", NET_EPOCH_ENTER, /exits in an epoch section/],
	])("%s panics", (_, act, message) => {
		const kernel = bootOn({ cpus: 1 });
		const td = start(kernel, "td", 24, 0, function* () {
			act();
		});
		expect(() => finish(kernel, [td])).toThrow(message);
	});

	test.each([
		["NET_EPOCH_WAIT", NET_EPOCH_WAIT],
		["NET_EPOCH_DRAIN_CALLBACKS", NET_EPOCH_DRAIN_CALLBACKS],
	])("%s inside one panics", (_, wait) => {
		const kernel = bootOn({ cpus: 1 });
		const td = start(kernel, "td", 24, 0, function* () {
			NET_EPOCH_ENTER();
			yield* wait();
		});
		expect(() => finish(kernel, [td])).toThrow(/in the middle of an epoch section|called in an epoch section/);
	});
});

describe("the grace period", () => {
	test("NET_EPOCH_WAIT waits for sections open now, and for no later ones", () => {
		const kernel = bootOn({ cpus: 3 });
		const log: [string, number][] = [];
		const old = start(kernel, "old", 24, 0, function* () {
			NET_EPOCH_ENTER();
			yield* work(7_500_000);
			NET_EPOCH_EXIT();
			log.push(["old", sbinuptime()]);
		});
		const waits = start(kernel, "waits", 24, 1, function* () {
			yield* work(2_000_000);
			yield* NET_EPOCH_WAIT();
			log.push(["waited", sbinuptime()]);
		});
		const late = start(kernel, "late", 24, 2, function* () {
			yield* work(3_000_000);
			NET_EPOCH_ENTER();
			yield* work(30_000_000);
			NET_EPOCH_EXIT();
			log.push(["late", sbinuptime()]);
		});
		finish(kernel, [old, waits, late]);
		expect(log.map(([who]) => who)).toEqual(["old", "waited", "late"]);
		expect(log[1][1] - log[0][1]).toBeLessThan(2_500_000);
	});

	test("a callback runs after every section open at the call, and not before a tick", () => {
		const kernel = bootOn({ cpus: 2 });
		const ran: number[] = [];
		let called = 0;
		let left = 0;
		const reader = start(kernel, "reader", 24, 0, function* () {
			NET_EPOCH_ENTER();
			yield* work(4_300_000);
			NET_EPOCH_EXIT();
			yield* work(0);
			left = sbinuptime();
		});
		const frees = start(kernel, "frees", 24, 1, function* () {
			yield* work(1_000_000);
			called = sbinuptime();
			NET_EPOCH_CALL(function* () {
				ran.push(sbinuptime());
			}, undefined);
		});
		finish(kernel, [reader, frees]);
		pass(kernel, 10_000_000);
		expect(ran).toHaveLength(1);
		expect(ran[0]).toBeGreaterThan(left);
		const alone = bootOn({ cpus: 2 });
		const td = start(alone, "frees", 24, 1, function* () {
			called = sbinuptime();
			NET_EPOCH_CALL(function* () {
				ran.push(sbinuptime());
			}, undefined);
		});
		finish(alone, [td]);
		pass(alone, 10_000_000);
		const tick = Math.ceil(called / 1_000_000) * 1_000_000;
		expect(ran[1]).toBeGreaterThan(tick);
		expect(ran[1]).toBeLessThan(tick + 200_000);
	});

	test("NET_EPOCH_DRAIN_CALLBACKS waits for all that were handed in before, the one that runs now included", () => {
		fc.assert(
			fc.property(
				fc.array(fc.record({ after: fc.nat(1_500_000), takes: fc.nat(1_500_000), sleeps: fc.boolean() }), {
					minLength: 1,
					maxLength: 8,
				}),
				fc.nat(8_000_000),
				(calls, when) => {
					const kernel = bootOn({ cpus: 3 });
					let called = 0;
					let ran = 0;
					const caller = start(kernel, "calls", 24, 0, function* () {
						for (const { after, takes, sleeps } of calls) {
							yield* work(after);
							called++;
							NET_EPOCH_CALL(function* () {
								if (sleeps) yield* pause_sbt("callback", takes);
								else yield* work(takes);
								ran++;
							}, undefined);
						}
					});
					const results: [number, number][] = [];
					const drains = start(kernel, "drains", 24, 1, function* () {
						yield* work(when);
						const before = called;
						yield* NET_EPOCH_DRAIN_CALLBACKS();
						results.push([before, ran]);
					});
					finish(kernel, [caller, drains]);
					for (const [before, after] of results) expect(after).toBeGreaterThanOrEqual(before);
					pass(kernel, 20_000_000);
					expect(ran).toBe(calls.length);
				},
			),
			{ numRuns: 40 },
		);
	});
});
