/** Who runs where, and when one thread gives way to another. */
import { describe, expect, test } from "vitest";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import { MTX_SPIN, mtx, mtx_init, mtx_lock_spin, mtx_unlock_spin } from "../../../src/kernel/lock/mutex.ts";
import { swi_add, swi_sched } from "../../../src/kernel/sched/intr.ts";
import { type Kernel, sbinuptime, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { uthread_add } from "../../../src/kernel/sched/kthread.ts";
import { pause_sbt, tsleep, wakeup } from "../../../src/kernel/sched/sleepqueue.ts";
import {
	type Blocking,
	charge,
	curcpu,
	curthread,
	sync,
	TDS_RUNQ,
	type thread,
} from "../../../src/kernel/sched/thread.ts";
import {
	critical_enter,
	critical_exit,
	interrupt,
	pcpu_find,
	sched_add,
	sched_bind,
	sched_off_cpu,
	sched_on_cpu,
	sched_pin,
	sched_unpin,
	thread_inhibit,
	userret,
} from "../../../src/kernel/sched/ule.ts";
import { bootOn, exact, finish, pass, start, work } from "./support.ts";

/** The threads that ran on `cpu`, in order, while `body` lets time pass. */
function whoRan(cpu: number, body: () => void): string[] {
	const ran: string[] = [];
	const stop = sched_on_cpu.listen((td, on) => {
		if (on === cpu) ran.push(td.td_name);
	});
	body();
	stop();
	return ran;
}

/** A thread on `cpu` that sleeps on `chan` and notes when it runs. */
function waiter(kernel: Kernel, chan: object, priority: number, cpu: number): { td: thread; ran: number[] } {
	const ran: number[] = [];
	const td = start(kernel, "waiter", priority, cpu, function* () {
		for (;;) {
			yield* tsleep(chan, 0, "-", 0);
			ran.push(sbinuptime());
		}
	});
	pass(kernel, 1_000_000);
	return { td, ran };
}

/** A thread that waits as an interrupt thread does, on no channel, and notes on which CPUs it has run. */
function sleeper(kernel: Kernel, priority: number): { td: thread; ran: number[] } {
	const ran: number[] = [];
	const td = start(kernel, "ithread", priority, -1, function* () {
		for (;;) {
			thread_inhibit();
			yield;
			ran.push(curcpu());
		}
	});
	pass(kernel, 1_000_000);
	return { td, ran };
}

describe("a thread of better priority, woken", () => {
	test("on the same CPU runs at once, and the waker goes on where it was", () => {
		const kernel = bootOn({ cpus: 1 });
		const chan = {};
		const { ran } = waiter(kernel, chan, 24, 0);
		let woke = 0;
		let resumed = 0;
		const td = start(kernel, "waker", 40, 0, function* () {
			woke = sbinuptime();
			yield* wakeup(chan);
			resumed = sbinuptime();
			yield* work(10_000);
		});
		finish(kernel, [td]);
		expect(ran).toHaveLength(1);
		expect(ran[0]).toBeGreaterThan(woke);
		expect(resumed).toBeGreaterThan(ran[0]);
	});

	test.each([
		["worse", 48],
		["equal", 40],
	])("not if its priority is %s: it waits until the waker sleeps", (_, priority) => {
		const kernel = bootOn({ cpus: 1 });
		const chan = {};
		const { ran } = waiter(kernel, chan, priority, 0);
		let done = 0;
		const td = start(kernel, "waker", 40, 0, function* () {
			yield* wakeup(chan);
			yield* work(10_000_000);
			done = sbinuptime();
		});
		finish(kernel, [td]);
		pass(kernel, 1_000_000);
		expect(ran[0]).toBeGreaterThanOrEqual(done);
	});

	test.each([["a critical section", () => critical_enter(), () => critical_exit()]] as [
		string,
		() => void,
		() => Blocking<void>,
	][])("waits for the end of %s, nested or not", (_, enter, exit) => {
		const kernel = bootOn({ cpus: 1 });
		const chan = {};
		const { ran } = waiter(kernel, chan, 24, 0);
		const at: number[] = [];
		const td = start(kernel, "waker", 40, 0, function* () {
			enter();
			enter();
			yield* wakeup(chan);
			yield* work(5_000_000); // ticks pass as well
			yield* exit();
			yield* work(5_000);
			at.push(sbinuptime(), ran.length);
			yield* exit();
			at.push(sbinuptime(), ran.length);
		});
		finish(kernel, [td]);
		expect([at[1], at[3]]).toEqual([0, 1]);
		expect(ran[0]).toBeGreaterThan(at[0]);
		expect(ran[0]).toBeLessThan(at[2]);
	});

	test("waits for the release of a spin mutex, and takes the CPU right there", () => {
		const kernel = bootOn({ cpus: 1 });
		const chan = {};
		const m = new mtx();
		mtx_init(m, "spin", null, MTX_SPIN);
		const { ran } = waiter(kernel, chan, 24, 0);
		const counts: number[] = [];
		const td = start(kernel, "waker", 40, 0, function* () {
			yield* mtx_lock_spin(m);
			yield* wakeup(chan);
			yield* work(3_000_000);
			counts.push(ran.length);
			yield* mtx_unlock_spin(m);
			counts.push(ran.length);
		});
		finish(kernel, [td]);
		expect(counts).toEqual([0, 1]);
	});

	test("by another CPU interrupts: after the IPI and a switch, not after the work under way", () => {
		const kernel = bootOn({ cpus: 2 });
		const chan = {};
		const { ran } = waiter(kernel, chan, 24, 1);
		let woke = 0;
		const long = start(kernel, "long", 40, 1, () => work(10_000_000));
		const waker = start(kernel, "waker", 24, 0, function* () {
			yield* work(1_000_000);
			woke = sbinuptime();
			yield* wakeup(chan);
		});
		finish(kernel, [long, waker]);
		const { costs } = kernel.machine;
		const enqueue = costs.sleepq_wakeup + costs.sched_add + costs.sched_add_lines * costs.line_transfer;
		const path = costs.ipi_send + costs.ipi_latency + costs.ipi_handler + costs.context_switch;
		expect(ran[0] - woke).toBe(enqueue + path);
		expect(long.td_runtime).toBeGreaterThanOrEqual(10_000_000);
	});
});

describe("an interrupt", () => {
	test("wakes threads on other CPUs when its handler runs, not when the work it interrupted is done", () => {
		const kernel = bootOn({ cpus: 2 });
		const ran: number[] = [];
		const sleeper = start(kernel, "sleeper", 24, 1, function* () {
			yield* pause_sbt("nap", 3_000_000);
			ran.push(sbinuptime());
		});
		let slept = 0;
		const stop = sched_off_cpu.listen((td) => {
			if (td === sleeper && slept === 0) slept = kernel.machine.now;
		});
		// CPU 0 takes the timer's interrupt in the midst of one long stretch
		const long = start(kernel, "long", 24, 0, () => work(50_000_000));
		finish(kernel, [sleeper, long]);
		stop();
		const { costs } = kernel.machine;
		const enqueue = costs.sched_add + costs.sched_add_lines * costs.line_transfer;
		const path = costs.ipi_send + costs.ipi_latency + exact.cstates[2].exit_latency_ns + costs.ipi_handler;
		expect(ran[0] - slept).toBe(3_000_000 + costs.timer_interrupt + enqueue + path + costs.context_switch);
	});

	test("wakes an interrupt thread on its own CPU if that is idle, else where least waits, and takes nobody's place for it", () => {
		const kernel = bootOn({ cpus: 4 });
		for (const busy of [false, true]) {
			const { td, ran } = sleeper(kernel, 40);
			const user = busy ? start(kernel, "busy", 152, 0, () => work(900_000)) : null;
			pass(kernel, 300_000);
			const before = ran.length;
			interrupt(pcpu_find(0), 100, () => sched_add(td));
			pass(kernel, 300_000);
			expect(ran).toHaveLength(before + 1);
			if (busy) expect(ran[before]).not.toBe(0);
			else expect(ran[before]).toBe(0);
			if (user !== null) finish(kernel, [user]);
		}
	});

	test("delays the thread it interrupts by what it takes", () => {
		const kernel = bootOn({ cpus: 1 });
		let took = 0;
		const td = start(kernel, "long", 24, 0, function* () {
			const began = sbinuptime();
			yield* work(10_000_000);
			took = sbinuptime() - began;
		});
		finish(kernel, [td]);
		expect(took).toBe(10_000_000 + 10 * kernel.machine.costs.timer_interrupt);
		expect(kernel.machine.cpus[0].interrupt_ns).toBeGreaterThanOrEqual(10 * kernel.machine.costs.timer_interrupt);
	});
});

describe("a thread's CPU", () => {
	/** The CPUs a thread with short naps runs on, while others come and go everywhere. */
	function roam(prepare: () => Blocking<void>): Set<number> {
		const kernel = bootOn({ cpus: 4, seed: 3 });
		const cpus = new Set<number>();
		const others = Array.from({ length: 12 }, (_, i) =>
			start(kernel, `other${i}`, 8 + 16 * (i & 1), -1, function* () {
				for (let k = 0; k < 100; k++) {
					yield* work(1_000 * (i + 1));
					yield* pause_sbt("nap", 700 * (i + 1));
				}
			}),
		);
		const td = start(kernel, "roamer", 28, -1, function* () {
			yield* work(500_000);
			yield* prepare();
			for (let k = 0; k < 200; k++) {
				yield* work(3_000);
				cpus.add(curcpu());
				if (td.td_no_sleeping === 0) yield* pause_sbt("nap", 2_000);
			}
			if (td.td_no_sleeping > 0) NET_EPOCH_EXIT();
			while (td.td_pinned > 0) sched_unpin();
		});
		finish(kernel, [...others, td]);
		return cpus;
	}

	test("changes as it likes", () => {
		expect(roam(() => sync()).size).toBeGreaterThan(1);
	});
	test("stays while it is pinned", () => {
		expect(
			roam(function* () {
				sched_pin();
			}).size,
		).toBe(1);
	});
	test("stays inside an epoch section, preempted or not", () => {
		expect(
			roam(function* () {
				NET_EPOCH_ENTER();
			}).size,
		).toBe(1);
	});
	test.each([0, 1, 2, 3])("is CPU %d once it is bound there", (cpu) => {
		expect([...roam(() => sched_bind(cpu))]).toEqual([cpu]);
	});

	test("sched_bind moves it before it returns", () => {
		const kernel = bootOn({ cpus: 4 });
		const at: number[] = [];
		const busy = start(kernel, "busy", 8, 2, () => work(5_000_000));
		const td = start(kernel, "mover", 24, -1, function* () {
			for (const cpu of [3, 0, 0, 2, 1]) {
				yield* sched_bind(cpu);
				at.push(curcpu());
			}
		});
		finish(kernel, [td, busy]);
		expect(at).toEqual([3, 0, 0, 2, 1]);
	});
});

describe("stealing", () => {
	test("an idle CPU takes a thread that waits on another, but none that is bound or pinned", () => {
		for (const pinned of [false, true]) {
			const kernel = bootOn({ cpus: 2 });
			const seen: number[] = [];
			const blocker = start(kernel, "blocker", 8, 1, () => work(2_000_000));
			const td = start(kernel, "waits", 24, 0, function* () {
				yield* work(10_000);
			});
			// preempted on CPU 0 by the hog, while CPU 1 is busy; CPU 1 is free long before CPU 0
			const loose = start(kernel, "loose", 24, -1, function* () {
				if (pinned) sched_pin();
				for (let i = 0; i < 100; i++) {
					yield* work(10_000);
					seen.push(curcpu());
				}
				if (pinned) sched_unpin();
			});
			pass(kernel, 400_000); // time to leave the deepest C-state
			const home = loose.td_cpu;
			const hog = start(kernel, "hog", 8, home, () => work(20_000_000));
			const other = start(kernel, "other", 8, 1 - home, () => work(3_000_000));
			finish(kernel, [blocker, td, loose, hog, other]);
			expect(seen.includes(1 - home)).toBe(!pinned);
		}
	});
});

describe("going idle", () => {
	test("a CPU takes what waits elsewhere as soon as its last thread sleeps: its idle thread does not run in between", () => {
		const kernel = bootOn({ cpus: 2 });
		start(kernel, "long", 24, 0, () => work(900_000));
		const short = start(kernel, "short", 24, 1, function* () {
			yield* work(300_000);
			yield* pause_sbt("rest", 200_000);
		});
		pass(kernel, 150_000);
		const waits = start(kernel, "waits", 152, -1, () => work(50_000));
		const cpu = kernel.machine.cpus[1];
		pass(kernel, 50_000);
		const before = cpu.context_switches;
		expect(waits.td_runtime).toBe(0);
		pass(kernel, 260_000);
		expect(waits.td_cpu).toBe(1);
		expect(short.td_wmesg).toBe("rest");
		expect(cpu.context_switches - before).toBe(1);
	});
});

describe("user threads", () => {
	test("share a CPU by time slices of a tenth of a second, taken at the end of a system call", () => {
		const kernel = bootOn({ cpus: 1 });
		set_curkernel(kernel);
		const main = function* (): Blocking<void> {
			for (let i = 0; i < 3_000; i++) {
				yield* work(100_000);
				yield* userret();
			}
		};
		const tds = ["a", "b"].map((name) => uthread_add(main, undefined, name));
		const ran = whoRan(0, () => finish(kernel, tds, 2_000_000_000)).filter((name) => name === "a" || name === "b");
		expect(ran.slice(0, 6).join("")).toMatch(/^(ababab|bababa)$/);
		expect(ran.length).toBeGreaterThanOrEqual(6);
		expect(ran.length).toBeLessThanOrEqual(10);
	});

	test("what a thread charged last is paid before it ends", () => {
		const kernel = bootOn({ cpus: 1 });
		const td = start(kernel, "last", 24, 0, function* () {
			charge(123_456);
		});
		const began = kernel.machine.now;
		finish(kernel, [td]);
		expect(td.td_runtime).toBeGreaterThanOrEqual(123_456);
		expect(kernel.machine.now - began).toBeGreaterThan(123_456);
	});
});

describe("software interrupts", () => {
	test("asked for while they run, run once more, however often they were asked", () => {
		const kernel = bootOn({ cpus: 2 });
		set_curkernel(kernel);
		let runs = 0;
		const cookie = swi_add(
			"swi",
			function* () {
				runs++;
				yield* work(50_000);
			},
			28,
			true,
		);
		pass(kernel, 1_000_000);
		const td = start(kernel, "asks", 24, 1, function* () {
			yield* swi_sched(cookie);
			while (runs === 0) yield* work(1_000);
			for (let i = 0; i < 5; i++) yield* swi_sched(cookie);
		});
		finish(kernel, [td]);
		pass(kernel, 1_000_000);
		expect(runs).toBe(2);
	});

	test("share one epoch section over all passes: preempted between two, the thread stays on its CPU", () => {
		const kernel = bootOn({ cpus: 2 });
		const chan = {};
		const { td: better } = waiter(kernel, chan, 24, 0);
		const away: number[] = [];
		const on: number[] = [];
		const cookie = swi_add(
			"swi",
			function* (): Blocking<void> {
				on.push(curcpu());
				if (on.length > 4) return;
				cookie.it_need = true;
				critical_enter();
				yield* wakeup(chan);
				curthread.td_critnest--; // as critical_exit, but what it owes is paid when the pass is over
			},
			28,
			true,
		);
		const stop = sched_off_cpu.listen((td) => {
			if (td === cookie.it_thread && td.td_state === TDS_RUNQ) away.push(td.td_pinned);
		});
		(cookie.it_thread as thread).td_cpu = 0;
		const td = start(kernel, "asks", 24, 1, function* () {
			yield* swi_sched(cookie);
		});
		finish(kernel, [td]);
		pass(kernel, 1_000_000);
		stop();
		expect(better.td_runtime).toBeGreaterThan(0);
		expect(on).toEqual([0, 0, 0, 0, 0]);
		expect(away).toEqual([1, 1, 1, 1]);
	});

	test("may be bound to a CPU", () => {
		const kernel = bootOn({ cpus: 4 });
		set_curkernel(kernel);
		const on: number[] = [];
		const cookies = [0, 1, 2, 3].map((cpu) =>
			swi_add(
				`swi ${cpu}`,
				function* () {
					on.push(cpu, curcpu());
				},
				28,
				false,
				cpu,
			),
		);
		const td = start(kernel, "asks", 24, 1, function* () {
			for (const cookie of cookies) yield* swi_sched(cookie);
		});
		finish(kernel, [td]);
		pass(kernel, 1_000_000);
		expect(on).toHaveLength(8);
		for (let i = 0; i < 8; i += 2) expect(on[i + 1]).toBe(on[i]);
	});
});
