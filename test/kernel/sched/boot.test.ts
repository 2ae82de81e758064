/** Booting a kernel and driving it from outside. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { boot, run, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { getsbinuptime, hz, nanotime, sbinuptime, ticks, vnet } from "../../../src/kernel/sched/kernel.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, curthread, DONE, type thread } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { bootOn, exact, work } from "./support.ts";

test("a program runs when time passes, as a user thread, and a run to its end stops there", () => {
	const kernel = boot(new Machine({ profile: exact }));
	const seen: unknown[] = [];
	const td = spawn(kernel, "program", function* () {
		seen.push(curthread.td_name, curthread.td_user, curthread.td_priority);
		yield* work(2_000_000);
	});
	expect(seen).toEqual([]);
	expect(runUntilExit(kernel, td, 1_000_000)).toBe(false);
	expect(seen).toEqual(["program", true, 152]);
	expect(runUntilExit(kernel, td, 1_000_000_000)).toBe(true);
	expect(kernel.machine.now).toBeLessThan(13_000_000);
	run(kernel, 50_000_000);
	expect(kernel.machine.now).toBe(50_000_000);
});

test("a kernel that boots lets go of what waited in those before", async () => {
	setFlagsFromString("--expose-gc");
	const collect = runInNewContext("gc") as () => void;
	function* hold(what: object): Blocking<void> {
		yield* pause("hold", 1);
		expect(what).not.toBeNull();
	}
	/** as many at once as a boot does not need frames for */
	const waited = (): WeakRef<object>[] => {
		const kernel = boot(new Machine({ profile: exact }));
		const refs = Array.from({ length: 500 }, () => {
			const what = {};
			spawn(kernel, "holder", () => hold(what));
			return new WeakRef(what);
		});
		run(kernel, 1_000_000_000);
		return refs;
	};
	const refs = waited();
	boot(new Machine({ profile: exact }));
	// what a WeakRef is made of stays until the task is over
	await new Promise((resolve) => setImmediate(resolve));
	collect();
	expect(refs.filter((ref) => ref.deref() !== undefined)).toEqual([]);
});

test("a program spawned like another has its vnet and credentials", () => {
	const kernel = bootOn();
	const [vn, cred] = [new vnet(7, "jail"), {}];
	const first = spawn(kernel, "first", () => work(1));
	first.td_vnet = vn;
	first.td_ucred = cred;
	const second = spawn(kernel, "second", () => work(1), first);
	expect([second.td_vnet, second.td_ucred]).toEqual([vn, cred]);
});

test("a thread's clock runs ahead of the machine's by what it has charged; ticks and the cached clock do not", () => {
	const kernel = bootOn({}, { boottime_s: 1_000 });
	const td = spawn(kernel, "clock", function* () {
		yield* pause("tick", 1);
		const [up, cached, wall] = [sbinuptime(), getsbinuptime(), nanotime()];
		charge(123);
		expect(sbinuptime() - up).toBe(123);
		expect(getsbinuptime()).toBe(cached);
		expect(cached).toBe(ticks() * (1_000_000_000 / hz()));
		expect(wall).toEqual({ tv_sec: 1_000, tv_nsec: up });
	});
	expect(runUntilExit(kernel, td, 100_000_000)).toBe(true);
});

test("a thread's main function runs in the thread from its first statement on, generator or not", () => {
	const kernel = bootOn({ cpus: 2 });
	let ran_in: thread | null = null;
	const td = spawn(kernel, "plain", () => {
		ran_in = curthread;
		return DONE;
	});
	expect(ran_in).toBeNull();
	expect(runUntilExit(kernel, td, 1e9)).toBe(true);
	expect(ran_in).toBe(td);
});
