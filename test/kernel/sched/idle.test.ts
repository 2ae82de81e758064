/** What it takes to wake a CPU: nothing but a store while it polls, an interrupt and the way out of its C-state when it has halted. */
import { describe, expect, test } from "vitest";
import type { Kernel } from "../../../src/kernel/sched/kernel.ts";
import { sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt, sched_wakeup, tsleep, wakeup } from "../../../src/kernel/sched/sleepqueue.ts";
import { sched_ipi } from "../../../src/kernel/sched/ule.ts";
import { bootOn, exact, finish, pass, profile, start, work } from "./support.ts";

/** A thread that sleeps on CPU 1 until it is woken, and when it found itself awake. */
function sleeper(kernel: Kernel, chan: object): { woken: number[] } {
	const woken: number[] = [];
	start(kernel, "sleeper", 24, 1, function* () {
		for (;;) {
			yield* tsleep(chan, 0, "-", 0);
			woken.push(sbinuptime());
		}
	});
	pass(kernel, 300_000);
	return { woken };
}

interface Wakeup {
	/** from the moment the sleeper was found to when it runs, ns */
	latency: number;
	/** interrupts CPU 1 was sent */
	ipis: number;
	/** what the wakeup took the thread that sent it, ns */
	sender_ns: number;
	/** what became of CPU 1's books */
	exits: number[];
	wake_ns: number;
	poll_ns: number;
	interrupt_ns: number;
}

/** Wakes `chan` from CPU 0, and again when CPU 1 has been idle for about `idle_ns` since. Returns what the second time took. */
function wake(kernel: Kernel, chan: object, woken: number[], idle_ns: number): Wakeup {
	const cpu = kernel.machine.cpus[1];
	const result: Wakeup = { latency: 0, ipis: 0, sender_ns: 0, exits: [], wake_ns: 0, poll_ns: 0, interrupt_ns: 0 };
	let sent = 0;
	const stops = [
		sched_wakeup.listen(() => {
			sent = sbinuptime();
		}),
		sched_ipi.listen((_, to) => {
			if (to === 1) result.ipis++;
		}),
	];
	const before = woken.length;
	const waker = start(kernel, "waker", 24, 0, function* () {
		yield* wakeup(chan);
		while (woken.length === before || !cpu.idle) yield* work(100);
		yield* work(idle_ns - 2_000);
		result.ipis = 0;
		result.exits = [...cpu.cstate_exits];
		for (const part of ["wake_ns", "poll_ns", "interrupt_ns"] as const) result[part] = cpu[part];
		const began = sbinuptime();
		yield* wakeup(chan);
		result.sender_ns = sbinuptime() - began;
		yield* work(200_000);
		result.exits = result.exits.map((exits, i) => cpu.cstate_exits[i] - exits);
		for (const part of ["wake_ns", "poll_ns", "interrupt_ns"] as const) result[part] = cpu[part] - result[part];
	});
	finish(kernel, [waker]);
	for (const stop of stops) stop();
	expect(woken).toHaveLength(before + 2);
	result.latency = woken[before + 1] - sent;
	return result;
}

/** Lets the sleeper's CPU switch so often that ULE's idle thread polls. */
function busy(kernel: Kernel, switches = 200): void {
	const td = start(kernel, "switcher", 24, 1, function* () {
		for (let i = 0; i < switches; i++) yield* pause_sbt("switch", 1_000);
	});
	finish(kernel, [td]);
}

describe("a halted CPU", () => {
	test.each([
		[10_000, 0, 2_000],
		[100_000, 1, 10_000],
		[900_000, 2, 133_000],
	])("asleep for %d ns needs an IPI and leaves C-state %d in %d ns", (idle_ns, state, exit) => {
		const kernel = bootOn({ cpus: 2 });
		const chan = {};
		const { woken } = sleeper(kernel, chan);
		const { latency, ipis, exits, wake_ns } = wake(kernel, chan, woken, idle_ns);
		const { costs } = kernel.machine;
		expect(ipis).toBe(1);
		expect(exits).toEqual([0, 1, 2].map((i) => (i === state ? 1 : 0)));
		expect(wake_ns).toBe(exit);
		// the wakeup's own cost, the wire, the way out, the interrupt and the switch to the thread
		const enqueue = costs.sched_add + costs.sched_add_lines * costs.line_transfer;
		const path = costs.ipi_send + costs.ipi_latency + exit + costs.ipi_handler + costs.context_switch;
		expect(latency).toBe(enqueue + path);
	});

	test("is not looked at by the clock: no ticks, no interrupts, however long", () => {
		const kernel = bootOn({ cpus: 2 });
		pass(kernel, 5_000_000);
		const { events_before, wakeups } = {
			events_before: kernel.machine.event_count,
			wakeups: kernel.machine.cpus[0].wakeups,
		};
		pass(kernel, 1_000_000_000);
		expect(kernel.machine.event_count - events_before).toBeLessThan(3);
		expect(kernel.machine.cpus[0].wakeups).toBe(wakeups);
	});

	test("woken twice at once gets one interrupt", () => {
		const kernel = bootOn({ cpus: 2 });
		const [a, b] = [{}, {}];
		const first = sleeper(kernel, a);
		const second = sleeper(kernel, b);
		pass(kernel, 1_000_000);
		const ipis = kernel.machine.ipis;
		const waker = start(kernel, "waker", 24, 0, function* () {
			yield* wakeup(a);
			yield* wakeup(b);
		});
		const to: number[] = [];
		const stop = sched_ipi.listen((_, cpu) => to.push(cpu));
		finish(kernel, [waker]);
		pass(kernel, 1_000_000);
		stop();
		expect([first.woken.length, second.woken.length]).toEqual([1, 1]);
		expect(to.filter((cpu) => cpu === 1)).toHaveLength(1);
		expect(kernel.machine.ipis - ipis).toBe(to.length + 1); // and one for the waker itself, sent by the host
	});
});

describe("a polling CPU", () => {
	test("needs no IPI after many switches, and is there in a fraction of the time", () => {
		const kernel = bootOn({ cpus: 2 });
		const chan = {};
		const { woken } = sleeper(kernel, chan);
		busy(kernel);
		const { latency, ipis, exits, wake_ns, poll_ns, interrupt_ns } = wake(kernel, chan, woken, 20_000);
		const { costs } = kernel.machine;
		expect([ipis, wake_ns, interrupt_ns]).toEqual([0, 0, 0]);
		expect(exits).toEqual([0, 0, 0]);
		expect(poll_ns).toBeGreaterThan(17_000);
		const enqueue = costs.sched_add + costs.sched_add_lines * costs.line_transfer;
		expect(latency).toBe(enqueue + costs.line_transfer + costs.idle_poll + costs.context_switch);
	});

	test("halts when it has polled for long enough", () => {
		const kernel = bootOn({ cpus: 2 });
		const chan = {};
		const { woken } = sleeper(kernel, chan);
		busy(kernel);
		const spins = 10_000 * kernel.machine.costs.spinwait;
		const { ipis, poll_ns, exits } = wake(kernel, chan, woken, spins + 10_000);
		expect(ipis).toBe(1);
		expect(poll_ns).toBe(spins);
		expect(exits).toEqual([1, 0, 0]);
	});

	test.each([
		["few switches", exact, 20],
		["SMT", { ...exact, smt: true }, 200],
	])("is none with %s", (_, machine, switches) => {
		const kernel = bootOn({ cpus: 2, profile: machine });
		busy(kernel, switches);
		pass(kernel, 10_000);
		const cpu = kernel.machine.cpus[1];
		expect(cpu.idle).toBe(true);
		expect(cpu.polling(kernel.machine.now)).toBe(false);
		expect(cpu.poll_ns).toBe(0);
	});

	test("goes back to halting once the switches are two statclock ticks old", () => {
		const kernel = bootOn({ cpus: 2 });
		busy(kernel);
		pass(kernel, 20_000_000);
		const once = start(kernel, "once", 24, 1, () => work(100));
		finish(kernel, [once]);
		expect(kernel.machine.cpus[1].polling(kernel.machine.now)).toBe(false);
	});
});

describe("a virtual machine", () => {
	test("pays for exits: sending an IPI, taking it, and waking from HLT", () => {
		const measure = (name: string): Wakeup => {
			const kernel = bootOn({ cpus: 2, profile: { ...profile(name), jitter_permille: 0 } });
			const chan = {};
			return wake(kernel, chan, sleeper(kernel, chan).woken, 10_000);
		};
		const [metal, virtual] = [measure("xeon-d"), measure("vm")];
		const ns = (cycles: number): number => Math.round(cycles / 2.4);
		expect([metal.ipis, virtual.ipis]).toEqual([1, 1]);
		expect(virtual.sender_ns - metal.sender_ns).toBe(ns(4800) - ns(520));
		expect(virtual.interrupt_ns - metal.interrupt_ns).toBe(ns(2400) - ns(900));
		expect([metal.wake_ns, virtual.wake_ns]).toEqual([2_000, 8_000]);
		expect(virtual.latency - metal.latency).toBe(ns(4800) - ns(520) + ns(2400) - ns(900) + 6_000);
	});
});
