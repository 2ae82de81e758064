/** The counters, on a real kernel with a driver that is nothing but tasks. */
import { afterEach, describe, expect, test } from "vitest";
import type { Driver } from "../../sim/driver.ts";
import { type Measured, Metrics } from "../../sim/metrics.ts";
import { LockWatch, panicReport } from "../../sim/panic.ts";
import { boot, run, spawn } from "../../src/kernel/boot.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../../src/kernel/lock/mutex.ts";
import { Probe } from "../../src/kernel/probe/probe.ts";
import { type Kernel, KernelPanic, panic } from "../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, sync } from "../../src/kernel/sched/thread.ts";
import {
	GROUPTASK_ENQUEUE,
	GROUPTASK_INIT,
	grouptask,
	TASKQGROUP_DEFINE,
	taskqgroup_attach_cpu,
} from "../../src/kernel/taskqueue/gtaskqueue.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";

const MS = 1_000_000;
const TASK_NS = 5_000;
const cleanup: (() => void)[] = [];

afterEach(() => {
	for (const action of cleanup.splice(0)) action();
});

/** Packets wait in a number; whoever runs first takes them all. */
class World {
	readonly kernel: Kernel;
	readonly metrics: Metrics;
	queue = 0;
	readonly tasks: grouptask[] = [];

	constructor(cpus: number) {
		const machine = new Machine({ profile: findProfile("xeon-d")!, cpus, seed: 1 });
		this.kernel = boot(machine);
		const world = this;
		const wg_task_run = new Probe<[kind: "encrypt" | "decrypt", packets: number]>("task-run");
		const encrypt = function* (): Blocking<void> {
			charge(TASK_NS);
			yield* sync();
			const packets = world.queue;
			world.queue = 0;
			if (wg_task_run.on !== null) wg_task_run.on("encrypt", packets);
		};
		const driver = {
			wg_task_run,
			wg_stage: new Probe("stage"),
			wg_softc_encrypt: encrypt,
			wg_softc_decrypt: encrypt,
		} as unknown as Driver;
		this.metrics = new Metrics(driver);
		cleanup.push(() => this.metrics.close());
		this.program(function* () {
			const group = yield* TASKQGROUP_DEFINE("wg_tqg", cpus, 1);
			for (let cpu = 0; cpu < cpus; cpu++) {
				const task = new grouptask();
				GROUPTASK_INIT(task, 0, encrypt, world as never);
				yield* taskqgroup_attach_cpu(group, task, world, cpu, "encrypt");
				world.tasks.push(task);
			}
		});
		this.pass(10 * MS);
		this.metrics.mark();
	}

	program(body: () => Blocking<void>): void {
		spawn(this.kernel, "test", body);
	}

	pass(ns: number): void {
		run(this.kernel, this.kernel.machine.now + ns);
	}

	measure(body: () => Blocking<void>, ns = 5 * MS): Measured {
		this.program(body);
		this.pass(ns);
		return this.metrics.read();
	}
}

describe("useful and useless tasks", () => {
	test("one packet, four tasks: four scheduled, one useful, three stints wasted", () => {
		const world = new World(4);
		const measured = world.measure(function* () {
			world.queue++;
			for (const task of world.tasks) yield* GROUPTASK_ENQUEUE(task);
		});
		expect(measured).toMatchObject({
			tasks_scheduled: 4,
			tasks_run: 4,
			tasks_useful: 1,
			packets: 1,
			tasks_coalesced: 0,
		});
		const wasted = measured.per_cpu.map((cpu) => cpu.wasted_ns);
		expect(wasted.filter((ns) => ns === 0)).toHaveLength(1);
		// each useless stint has at least the task in it, and is not much longer
		for (const ns of wasted.filter((value) => value > 0)) {
			expect(ns).toBeGreaterThan(TASK_NS * 0.9);
			expect(ns).toBeLessThan(TASK_NS * 2);
		}
	});

	test("an enqueue of a queued task is a coalesced one, not a scheduled one", () => {
		const world = new World(1);
		const measured = world.measure(function* () {
			world.queue++;
			// on one CPU the task's thread has a better priority, so nothing else can stand between these
			yield* GROUPTASK_ENQUEUE(world.tasks[0]);
			yield* GROUPTASK_ENQUEUE(world.tasks[0]);
		});
		expect(measured.tasks_scheduled + measured.tasks_coalesced).toBe(2);
		expect(measured.tasks_run).toBe(measured.tasks_scheduled);
	});

	test("the warm-up does not count", () => {
		const world = new World(2);
		world.measure(function* () {
			yield* GROUPTASK_ENQUEUE(world.tasks[0]);
		});
		world.metrics.mark();
		const measured = world.metrics.read();
		expect(measured).toMatchObject({ tasks_scheduled: 0, tasks_run: 0, wakeups: 0, ipis: 0 });
		expect(measured.per_cpu.every((cpu) => cpu.busy_ns === 0 && cpu.idle_ns === 0)).toBe(true);
	});
});

describe("CPU time", () => {
	test("busy, waking, polling and halted time add up to the interval on every CPU, wherever it is cut", () => {
		const world = new World(4);
		world.program(function* () {
			for (;;) {
				world.queue++;
				for (const task of world.tasks) yield* GROUPTASK_ENQUEUE(task);
				yield* pause_sbt("test", 30_000);
			}
		});
		const start = world.kernel.machine.now;
		for (let i = 0; i < 200; i++) {
			world.pass(12_347);
			const elapsed = world.kernel.machine.now - start;
			for (const cpu of world.metrics.read().per_cpu) {
				expect(cpu.busy_ns + cpu.wake_ns + cpu.poll_ns + cpu.idle_ns).toBe(elapsed);
				expect(cpu.wasted_ns).toBeLessThanOrEqual(cpu.busy_ns);
			}
		}
	});

	test("reading changes nothing: a run that is looked at comes out as one that is not", () => {
		const go = (look: boolean): string => {
			const world = new World(3);
			world.program(function* () {
				for (let i = 0; i < 50; i++) {
					for (const task of world.tasks) yield* GROUPTASK_ENQUEUE(task);
					yield* pause_sbt("test", 50_000);
				}
			});
			for (let i = 0; i < 100; i++) {
				world.pass(40_000);
				if (look) world.metrics.read();
			}
			return world.kernel.machine.fingerprint.toString();
		};
		expect(go(true)).toBe(go(false));
	});
});

describe("a panic", () => {
	test("is reported with its CPU and thread, and with who holds and who waits for each lock", () => {
		const watch = new LockWatch();
		cleanup.push(() => watch.close());
		const world = new World(2);
		const lock = new mtx();
		world.program(function* () {
			mtx_init(lock, "poor mutex", null, MTX_DEF);
			yield* mtx_lock(lock);
			charge(MS);
			yield* sync();
			panic("it had to come to this");
		});
		world.program(function* () {
			yield* pause_sbt("test", MS / 2);
			yield* mtx_lock(lock);
			yield* mtx_unlock(lock);
		});
		let caught: unknown;
		try {
			world.pass(5 * MS);
		} catch (error) {
			caught = error;
		}
		expect(caught).toBeInstanceOf(KernelPanic);
		const report = panicReport(caught as KernelPanic, watch, "npx ifwg run --seed 0x1");
		expect(report.message).toBe("it had to come to this");
		expect(report.thread).toMatch(/^test \(tid \d+\)$/);
		expect(report.cpus).toHaveLength(2);
		expect(report.cpus[report.cpuid]).toContain("curthread = test");
		expect(report.locks).toEqual([
			expect.stringMatching(/^poor mutex: held by test \(tid \d+\); waiting: test \(tid \d+\)$/),
		]);
	});

	test("is reported with the locks of the kernel that panicked, though another one has some as well", () => {
		const watch = new LockWatch();
		cleanup.push(() => watch.close());
		const holding = (name: string, last: () => void): World => {
			const world = new World(1);
			const lock = new mtx();
			world.program(function* () {
				mtx_init(lock, name, null, MTX_DEF);
				yield* mtx_lock(lock);
				charge(MS);
				yield* sync();
				last();
				charge(10 * MS);
				yield* sync();
			});
			return world;
		};
		holding("other mutex", () => {}).pass(5 * MS);
		const world = holding("own mutex", () => panic("here"));
		expect(() => world.pass(5 * MS)).toThrow("here");
		const { locks } = panicReport(new KernelPanic("here"), watch, "npx ifwg run");
		expect(locks).toEqual([expect.stringMatching(/^own mutex: held by test \(tid \d+\)$/)]);
	});
});
