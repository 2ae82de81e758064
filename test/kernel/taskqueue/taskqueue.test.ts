import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EBUSY } from "../../../src/kernel/errno.ts";
import { in_net_epoch } from "../../../src/kernel/lock/epoch.ts";
import { type Kernel, sbinuptime, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import {
	NET_TASK_INIT,
	TASK_INIT,
	task,
	type taskqueue,
	taskqueue_block,
	taskqueue_cancel,
	taskqueue_create,
	taskqueue_drain,
	taskqueue_enqueue,
	taskqueue_free,
	taskqueue_start_threads,
	taskqueue_swi,
	taskqueue_thread,
	taskqueue_unblock,
} from "../../../src/kernel/taskqueue/taskqueue.ts";
import { bootOn, finish, pass, profile, start, work } from "../sched/support.ts";

function on(kernel: Kernel, main: () => Blocking<void>): void {
	finish(kernel, [start(kernel, "main", 108, 0, main)]);
}

function queue_with(kernel: Kernel, threads: number): taskqueue {
	set_curkernel(kernel);
	const queue = taskqueue_create("tq");
	taskqueue_start_threads(queue, threads, 40, "worker");
	pass(kernel, 1_000_000);
	return queue;
}

describe("tasks", () => {
	test("run by descending priority, in order among equals", () => {
		fc.assert(
			fc.property(fc.array(fc.nat(4), { minLength: 1, maxLength: 12 }), (priorities) => {
				const kernel = bootOn({ cpus: 2 });
				const queue = queue_with(kernel, 1);
				const ran: number[] = [];
				on(kernel, function* () {
					yield* taskqueue_block(queue);
					for (const [i, priority] of priorities.entries()) {
						const t = new task();
						TASK_INIT(
							t,
							priority,
							function* () {
								ran.push(i);
							},
							undefined,
						);
						yield* taskqueue_enqueue(queue, t);
					}
					yield* work(1_000_000);
					expect(ran).toEqual([]);
					yield* taskqueue_unblock(queue);
				});
				pass(kernel, 1_000_000);
				const expected = priorities.map((_, i) => i).sort((a, b) => priorities[b] - priorities[a] || a - b);
				expect(ran).toEqual(expected);
			}),
			{ numRuns: 30 },
		);
	});

	test("are told how often they were asked for, up to 65535, and every asking is told once", () => {
		fc.assert(
			fc.property(
				fc.nat(),
				fc.array(fc.nat(5_000), { minLength: 1, maxLength: 60 }),
				fc.nat(20_000),
				(seed, delays, takes) => {
					const kernel = bootOn({ cpus: 3, seed, profile: profile("xeon-d") });
					const queue = queue_with(kernel, 1);
					const t = new task();
					let told = 0;
					TASK_INIT(
						t,
						0,
						function* (_: undefined, pending: number) {
							expect(pending).toBeGreaterThan(0);
							told += pending;
							yield* work(takes);
						},
						undefined,
					);
					on(kernel, function* () {
						for (const delay of delays) {
							yield* work(delay);
							expect(yield* taskqueue_enqueue(queue, t)).toBe(0);
						}
						yield* taskqueue_drain(queue, t);
					});
					expect(told).toBe(delays.length);
				},
			),
			{ numRuns: 30 },
		);
		const kernel = bootOn({ cpus: 2 });
		const queue = queue_with(kernel, 1);
		const t = new task();
		let told = 0;
		TASK_INIT(
			t,
			0,
			function* (_: undefined, pending: number) {
				told = pending;
			},
			undefined,
		);
		on(kernel, function* () {
			yield* taskqueue_block(queue);
			yield* taskqueue_enqueue(queue, t);
			t.ta_pending = 65_534;
			for (let i = 0; i < 3; i++) yield* taskqueue_enqueue(queue, t);
			yield* taskqueue_unblock(queue);
			yield* taskqueue_drain(queue, t);
		});
		expect(told).toBe(65_535);
	});

	test.each([1, 2])("enqueued while running, with %d threads", (threads) => {
		const kernel = bootOn({ cpus: 4 });
		const queue = queue_with(kernel, threads);
		const t = new task();
		let inside = 0;
		let most = 0;
		let runs = 0;
		TASK_INIT(
			t,
			0,
			function* () {
				runs++;
				most = Math.max(most, ++inside);
				yield* work(1_000_000);
				inside--;
			},
			undefined,
		);
		on(kernel, function* () {
			yield* taskqueue_enqueue(queue, t);
			while (runs === 0) yield* work(10_000);
			yield* taskqueue_enqueue(queue, t);
			yield* taskqueue_drain(queue, t);
		});
		expect([runs, most]).toEqual([2, threads]);
	});

	test("NET ones share a section of the net epoch, the others are outside", () => {
		const kernel = bootOn({ cpus: 2 });
		const queue = queue_with(kernel, 1);
		const eras: [boolean, number][] = [];
		on(kernel, function* () {
			yield* taskqueue_block(queue);
			for (const net of [true, true, false, true]) {
				const t = new task();
				(net ? NET_TASK_INIT : TASK_INIT)(
					t,
					0,
					function* () {
						eras.push([in_net_epoch(), curthread.td_epochera]);
						yield* work(1_000);
					},
					undefined,
				);
				yield* taskqueue_enqueue(queue, t);
			}
			yield* taskqueue_unblock(queue);
		});
		pass(kernel, 1_000_000);
		expect(eras.map(([inside]) => inside)).toEqual([true, true, false, true]);
		expect(eras[1][1]).toBe(eras[0][1]);
		expect(eras[3][1]).not.toBe(eras[0][1]);
		expect(queue.tq_threads[0].td_epochnest).toBe(0);
	});
});

describe("taskqueue_drain, _cancel and _free", () => {
	test("drain waits for the run, and no longer", () => {
		const kernel = bootOn({ cpus: 2 });
		const queue = queue_with(kernel, 1);
		const t = new task();
		let ended = 0;
		TASK_INIT(
			t,
			0,
			function* () {
				yield* work(400_000);
				ended = sbinuptime();
			},
			undefined,
		);
		on(kernel, function* () {
			yield* taskqueue_drain(queue, t);
			yield* taskqueue_enqueue(queue, t);
			yield* taskqueue_drain(queue, t);
			expect(ended).toBeGreaterThan(0);
			expect(sbinuptime() - ended).toBeLessThan(100_000);
		});
	});

	test("cancel takes a queued task off; one that runs is EBUSY", () => {
		const kernel = bootOn({ cpus: 2 });
		const queue = queue_with(kernel, 1);
		const t = new task();
		let runs = 0;
		TASK_INIT(
			t,
			0,
			function* () {
				runs++;
				yield* work(1_000_000);
			},
			undefined,
		);
		on(kernel, function* () {
			expect(yield* taskqueue_cancel(queue, t)).toBe(0);
			yield* taskqueue_block(queue);
			yield* taskqueue_enqueue(queue, t);
			expect(yield* taskqueue_cancel(queue, t)).toBe(0);
			yield* taskqueue_unblock(queue);
			yield* work(500_000);
			expect(runs).toBe(0);
			yield* taskqueue_enqueue(queue, t);
			while (runs === 0) yield* work(10_000);
			yield* taskqueue_enqueue(queue, t);
			expect(yield* taskqueue_cancel(queue, t)).toBe(EBUSY);
			yield* taskqueue_drain(queue, t);
		});
		expect(runs).toBe(1);
	});

	test.each([1, 3])("free runs what is queued, then ends the %d threads", (threads) => {
		const kernel = bootOn({ cpus: 4 });
		const queue = queue_with(kernel, threads);
		const tds = [...queue.tq_threads];
		expect(tds.map((td) => td.td_name)).toEqual(threads === 1 ? ["worker"] : ["worker_0", "worker_1", "worker_2"]);
		let runs = 0;
		on(kernel, function* () {
			for (let i = 0; i < 5; i++) {
				const t = new task();
				TASK_INIT(
					t,
					0,
					function* () {
						yield* work(100_000);
						runs++;
					},
					undefined,
				);
				yield* taskqueue_enqueue(queue, t);
			}
			yield* taskqueue_free(queue);
			expect(runs).toBe(5);
		});
		pass(kernel, 1_000_000);
		expect(tds.every((td) => td.td_exited)).toBe(true);
	});
});

test("the system's own queues run at their priorities", () => {
	const kernel = bootOn({ cpus: 2 });
	const seen: [string, number][] = [];
	on(kernel, function* () {
		for (const queue of [taskqueue_swi(), taskqueue_thread()]) {
			const t = new task();
			TASK_INIT(
				t,
				0,
				function* () {
					seen.push([curthread.td_name, curthread.td_priority]);
				},
				undefined,
			);
			yield* taskqueue_enqueue(queue, t);
			yield* taskqueue_drain(queue, t);
		}
	});
	expect(seen).toEqual([
		["swi6: task queue", 48],
		["thread taskq", 108],
	]);
});
