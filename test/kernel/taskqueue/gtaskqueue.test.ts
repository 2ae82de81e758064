/** Group task queues: what the driver's data path lives on. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EAGAIN, EINVAL } from "../../../src/kernel/errno.ts";
import { in_net_epoch } from "../../../src/kernel/lock/epoch.ts";
import { type Kernel, sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curcpu, curthread, done } from "../../../src/kernel/sched/thread.ts";
import { sched_bind } from "../../../src/kernel/sched/ule.ts";
import {
	charge_task,
	GROUPTASK_ENQUEUE,
	GROUPTASK_INIT,
	grouptask,
	grouptask_block,
	grouptask_unblock,
	gtask_coalesced,
	gtask_enqueue,
	gtaskqueue_drain,
	NET_GROUPTASK_INIT,
	TASKQGROUP_DEFINE,
	type taskqgroup,
	taskqgroup_attach,
	taskqgroup_attach_cpu,
	taskqgroup_detach,
	taskqgroup_drain_all,
} from "../../../src/kernel/taskqueue/gtaskqueue.ts";
import { bootOn, finish, pass, profile, start, work } from "../sched/support.ts";

function on(kernel: Kernel, main: () => Blocking<void>): void {
	finish(kernel, [start(kernel, "main", 108, 0, main)]);
}

/** A group on every CPU, as the driver makes it. */
function group_on(kernel: Kernel): taskqgroup {
	let group: taskqgroup | null = null;
	on(kernel, function* () {
		group = yield* TASKQGROUP_DEFINE("wg_tqg", kernel.machine.cpus.length, 1);
	});
	pass(kernel, 2_000_000);
	if (group === null) throw new Error("no group");
	return group;
}

function queue_of(group: taskqgroup, gt: grouptask): number {
	return group.tqg_queue.findIndex(({ tgc_taskq }) => tgc_taskq === gt.gt_taskqueue);
}

describe("attach", () => {
	test("on 8 CPUs, one interface and one peer: handshakes on CPU 7, sends on 6, receives on 5", () => {
		const kernel = bootOn({ cpus: 8 });
		const group = group_on(kernel);
		const [sc, peer] = [{}, {}];
		const [handshake, send, recv] = [new grouptask(), new grouptask(), new grouptask()];
		on(kernel, function* () {
			yield* taskqgroup_attach(group, handshake, sc, "handshake");
			for (let cpu = 0; cpu < 8; cpu++) {
				for (const name of ["encrypt", "decrypt"]) {
					expect(yield* taskqgroup_attach_cpu(group, new grouptask(), sc, cpu, name)).toBe(0);
				}
			}
			yield* taskqgroup_attach(group, send, peer, "send");
			yield* taskqgroup_attach(group, recv, peer, "recv");
		});
		expect([handshake, send, recv].map((gt) => queue_of(group, gt))).toEqual([7, 6, 5]);
	});

	test("fewest tasks first among queues without one of the same owner, then among all; the last of equals", () => {
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 6 }), fc.array(fc.nat(3), { maxLength: 25 }), (cpus, owners) => {
				const kernel = bootOn({ cpus });
				const group = group_on(kernel);
				const uniqs = [{}, {}, {}, {}];
				const tasks: number[][] = Array.from({ length: cpus }, () => []);
				on(kernel, function* () {
					for (const owner of owners) {
						const free = tasks.map((_, i) => i).filter((i) => !tasks[i].includes(owner));
						const among = free.length > 0 ? free : tasks.map((_, i) => i);
						const fewest = Math.min(...among.map((i) => tasks[i].length));
						const expected = among.filter((i) => tasks[i].length === fewest).at(-1)!;
						const gt = new grouptask();
						yield* taskqgroup_attach(group, gt, uniqs[owner], "t");
						expect(queue_of(group, gt)).toBe(expected);
						tasks[expected].push(owner);
					}
				});
			}),
			{ numRuns: 40 },
		);
	});

	test("to a CPU without a queue is EINVAL; detach takes a task off, once", () => {
		const kernel = bootOn({ cpus: 2 });
		const group = group_on(kernel);
		const gt = new grouptask();
		GROUPTASK_INIT(gt, 0, function* () {}, undefined);
		on(kernel, function* () {
			expect(yield* taskqgroup_attach_cpu(group, gt, gt, 2, "t")).toBe(EINVAL);
			expect(gt.gt_taskqueue).toBeNull();
			expect(yield* taskqgroup_attach_cpu(group, gt, gt, 1, "t")).toBe(0);
			yield* taskqgroup_detach(group, gt);
		});
		expect(gt.gt_taskqueue).toBeNull();
		expect(group.tqg_queue.every(({ tgc_tasks, tgc_uniq }) => tgc_tasks.size + tgc_uniq.size === 0)).toBe(true);
		expect(() =>
			on(kernel, function* () {
				yield* GROUPTASK_ENQUEUE(gt);
			}),
		).toThrow("queue == NULL");
	});
});

/** A task on CPU 1 that takes `takes` ns and tells what it did. */
function task(
	kernel: Kernel,
	group: taskqgroup,
	takes: number,
	body?: (runs: number) => Blocking<void>,
): { gt: grouptask; runs: number[]; where: string[] } {
	const gt = new grouptask();
	const runs: number[] = [];
	const where: string[] = [];
	GROUPTASK_INIT(
		gt,
		0,
		function* () {
			runs.push(sbinuptime());
			where.push(`${curcpu()} ${curthread.td_name} ${curthread.td_priority}`);
			if (body !== undefined) yield* body(runs.length);
			yield* work(takes);
		},
		undefined,
	);
	on(kernel, function* () {
		yield* taskqgroup_attach_cpu(group, gt, gt, 1, "t");
	});
	return { gt, runs, where };
}

describe("enqueue", () => {
	test("runs the task on the queue's own CPU, at soft interrupt priority", () => {
		for (const [release, priority] of [
			["13.0", 24],
			["14.0", 8],
		] as const) {
			const kernel = bootOn({ cpus: 3 }, { release });
			const group = group_on(kernel);
			const { gt, where } = task(kernel, group, 100);
			on(kernel, function* () {
				for (let i = 0; i < 3; i++) {
					expect(yield* GROUPTASK_ENQUEUE(gt)).toBe(0);
					yield* work(500_000);
				}
			});
			expect(where).toEqual(new Array(3).fill(`1 wg_tqg_1 ${priority}`));
		}
	});

	test("while queued does nothing; while running means exactly one more run", () => {
		const kernel = bootOn({ cpus: 2 });
		const group = group_on(kernel);
		const events: string[] = [];
		const stops = [
			gtask_enqueue.listen(() => events.push("enqueued")),
			gtask_coalesced.listen(() => events.push("coalesced")),
		];
		const { gt, runs } = task(kernel, group, 100_000, function* (run) {
			if (run === 1) for (let i = 0; i < 3; i++) expect(yield* GROUPTASK_ENQUEUE(gt)).toBe(0);
		});
		on(kernel, function* () {
			yield* GROUPTASK_ENQUEUE(gt);
			yield* GROUPTASK_ENQUEUE(gt);
			while (runs.length === 0) yield* work(1_000);
			yield* work(20_000);
			yield* GROUPTASK_ENQUEUE(gt);
			yield* work(2_000_000);
		});
		for (const stop of stops) stop();
		expect(runs).toHaveLength(2);
		expect(events).toEqual(["enqueued", "coalesced", "enqueued", "coalesced", "coalesced", "coalesced"]);
	});

	test("moves the line of the task's flags: whoever looks pays for it once, until the task's own CPU has taken it back to run", () => {
		const kernel = bootOn({ cpus: 2 });
		const { costs } = kernel.machine;
		const group = group_on(kernel);
		const gt = new grouptask();
		GROUPTASK_INIT(gt, 0, () => done(undefined), null);
		const paid: number[] = [];
		const look = () => {
			const before = curthread.td_pending;
			charge_task(gt);
			paid.push(curthread.td_pending - before);
		};
		on(kernel, function* () {
			yield* taskqgroup_attach_cpu(group, gt, {}, 1, "task");
			look();
			yield* GROUPTASK_ENQUEUE(gt);
			yield* pause_sbt("runs", 1_000_000);
			look();
			look();
			yield* sched_bind(1);
			look();
		});
		expect(paid).toEqual([0, costs.line_transfer, 0, costs.line_transfer]);
	});

	test("is never lost: after the last enqueue there is a run that began later", () => {
		fc.assert(
			fc.property(
				fc.nat(),
				fc.array(fc.array(fc.nat(4_000), { maxLength: 30 }), { minLength: 1, maxLength: 3 }),
				fc.nat(5_000),
				(seed, producers, takes) => {
					const kernel = bootOn({ cpus: 4, seed, profile: profile("xeon-d") });
					const group = group_on(kernel);
					let enqueued = 0;
					let seen = 0;
					const gt = new grouptask();
					GROUPTASK_INIT(
						gt,
						0,
						function* () {
							seen = enqueued;
							yield* work(takes);
						},
						undefined,
					);
					on(kernel, function* () {
						yield* taskqgroup_attach_cpu(group, gt, gt, 1, "t");
					});
					const tds = producers.map((delays, i) =>
						start(kernel, `p${i}`, 40, -1, function* () {
							for (const delay of delays) {
								yield* work(delay);
								enqueued++;
								yield* GROUPTASK_ENQUEUE(gt);
							}
						}),
					);
					finish(kernel, tds);
					pass(kernel, 2_000_000);
					expect(seen).toBe(enqueued);
				},
			),
			{ numRuns: 50 },
		);
	});

	test("is first in, first out, whatever the tasks' priorities; one thread, so never two at once", () => {
		const kernel = bootOn({ cpus: 2 });
		const group = group_on(kernel);
		const log: string[] = [];
		let inside = 0;
		const tasks = [0, 1, 2, 3].map((i) => {
			const gt = new grouptask();
			GROUPTASK_INIT(
				gt,
				10 - i,
				function* () {
					expect(inside++).toBe(0);
					log.push(`t${i}`);
					yield* work(50_000);
					inside--;
				},
				undefined,
			);
			return gt;
		});
		on(kernel, function* () {
			for (const gt of tasks) yield* taskqgroup_attach_cpu(group, gt, gt, 1, "t");
			for (const i of [2, 0, 3, 1]) yield* GROUPTASK_ENQUEUE(tasks[i]);
			yield* taskqgroup_drain_all(group);
			log.push("drained");
		});
		expect(log).toEqual(["t2", "t0", "t3", "t1", "drained"]);
	});

	test("a NET task runs in the net epoch, a plain one after it does not", () => {
		const kernel = bootOn({ cpus: 2 });
		const group = group_on(kernel);
		const inside: boolean[] = [];
		const tasks = [true, true, false, true].map((net) => {
			const gt = new grouptask();
			const handler = function* (): Blocking<void> {
				inside.push(in_net_epoch());
				yield* work(10_000);
			};
			if (net) NET_GROUPTASK_INIT(gt, 0, handler, undefined);
			else GROUPTASK_INIT(gt, 0, handler, undefined);
			return gt;
		});
		on(kernel, function* () {
			for (const gt of tasks) yield* taskqgroup_attach_cpu(group, gt, gt, 1, "t");
			for (const gt of tasks) yield* GROUPTASK_ENQUEUE(gt);
			yield* taskqgroup_drain_all(group);
		});
		expect(inside).toEqual([true, true, false, true]);
		expect(group.tqg_queue[1].tgc_taskq.tq_thread?.td_epochnest).toBe(0);
	});
});

describe("drain and block", () => {
	test("drain waits for a run that is queued or under way, and returns at once otherwise", () => {
		const kernel = bootOn({ cpus: 2 });
		const group = group_on(kernel);
		const { gt, runs } = task(kernel, group, 500_000);
		on(kernel, function* () {
			yield* gtaskqueue_drain(gt);
			expect(runs).toHaveLength(0);
			yield* GROUPTASK_ENQUEUE(gt);
			yield* gtaskqueue_drain(gt);
			expect(runs).toHaveLength(1);
			expect(sbinuptime() - runs[0]).toBeGreaterThanOrEqual(500_000);
			expect(sbinuptime() - runs[0]).toBeLessThan(650_000); // and the way out of the deepest C-state
		});
	});

	test("a blocked task is refused with EAGAIN, not queued again by unblock, and then taken again", () => {
		const kernel = bootOn({ cpus: 2 });
		const group = group_on(kernel);
		const { gt, runs } = task(kernel, group, 300_000);
		on(kernel, function* () {
			yield* GROUPTASK_ENQUEUE(gt);
			yield* grouptask_block(gt); // the one that is queued runs, and is waited for
			expect(runs).toHaveLength(1);
			expect(sbinuptime() - runs[0]).toBeGreaterThanOrEqual(300_000);
			expect(yield* GROUPTASK_ENQUEUE(gt)).toBe(EAGAIN);
			yield* grouptask_unblock(gt);
			yield* work(1_000_000);
			expect(runs).toHaveLength(1);
			expect(yield* GROUPTASK_ENQUEUE(gt)).toBe(0);
			yield* gtaskqueue_drain(gt);
			expect(runs).toHaveLength(2);
		});
	});

	test("a task that is queued already says 0, blocked or not", () => {
		const kernel = bootOn({ cpus: 3 });
		const group = group_on(kernel);
		const { gt, runs } = task(kernel, group, 1_000_000);
		const results: number[] = [];
		on(kernel, function* () {
			yield* GROUPTASK_ENQUEUE(gt);
			while (runs.length === 0) yield* work(1_000);
			yield* GROUPTASK_ENQUEUE(gt);
		});
		const blocker = start(kernel, "blocker", 108, 2, () => grouptask_block(gt));
		const asker = start(kernel, "asker", 108, 0, function* () {
			yield* work(300_000);
			results.push(yield* GROUPTASK_ENQUEUE(gt));
		});
		finish(kernel, [blocker, asker]);
		expect(results).toEqual([0]);
		expect(runs).toHaveLength(2);
	});
});
