/**
 * Booting a kernel on a machine, and driving it.
 *
 * Whoever uses a kernel boots it here, runs programs in it as threads, and lets time pass. Several kernels may exist; `run`
 * makes the one it drives the current one first.
 */
import type { Machine } from "../machine/machine.ts";
import { lookahead_ns } from "../machine/wire.ts";
import "./callout/callout.ts";
import "./taskqueue/taskqueue.ts";
import { forget_frames } from "./sched/frame.ts";
import { Kernel, type KernelOptions, mi_startup, set_curkernel } from "./sched/kernel.ts";
import { uthread_add } from "./sched/kthread.ts";
import { type Blocking, hostthread, type thread } from "./sched/thread.ts";

/** Simulated time at which a booted kernel is handed over, ns: SYSINITs need far less. */
const BOOT_NS = 10_000_000;
/** the longest a boot may take, with every self-test, simulated ns */
const BOOT_LIMIT_NS = 600_000_000_000;

/** Boots a kernel: runs every SYSINIT and lets the threads they start settle. */
export function boot(machine: Machine, options: KernelOptions = {}): Kernel {
	forget_frames();
	const kernel = new Kernel(machine, options);
	set_curkernel(kernel);
	const init = uthread_add(mi_startup, undefined, "init");
	machine.run(BOOT_NS);
	// self-tests at module load take seconds
	if (!init.td_exited) runUntilExit(kernel, init, BOOT_LIMIT_NS);
	if (!init.td_exited) throw new Error("the kernel did not boot: a SYSINIT waits for something that never comes");
	return kernel;
}

/** Starts a program's thread in `kernel`; it runs when time passes. */
export function spawn(kernel: Kernel, name: string, main: () => Blocking<void>, like?: thread): thread {
	set_curkernel(kernel);
	if (like !== undefined) {
		hostthread.td_vnet = like.td_vnet;
		hostthread.td_ucred = like.td_ucred;
	}
	return uthread_add(main, undefined, name);
}

/** Lets simulated time pass until `time`, ns since boot. */
export function run(kernel: Kernel, time: number): void {
	set_curkernel(kernel);
	kernel.machine.run(time);
}

/** Runs until `td` has ended or `limit` ns of simulated time have passed. @returns whether it ended */
export function runUntilExit(kernel: Kernel, td: thread, limit_ns: number): boolean {
	set_curkernel(kernel);
	const events = kernel.machine.events;
	const end = events.now + limit_ns;
	kernel.machine.horizon = end;
	while (!td.td_exited && events.step(end));
	return td.td_exited;
}

/**
 * Lets time pass on several machines that are connected, until `time`. They take turns: each runs for as long as nothing another one
 * does meanwhile can reach it.
 */
export function runTogether(kernels: readonly Kernel[], time: number): void {
	const machines = kernels.map(({ machine }) => machine);
	const ahead = lookahead_ns(machines);
	for (;;) {
		const next = Math.min(...machines.map(({ events }) => events.nextTime));
		if (next > time) break;
		const until = Math.min(time, next + ahead);
		for (const kernel of kernels) run(kernel, until);
	}
	for (const kernel of kernels) run(kernel, time);
}

/** Runs connected machines in steps of `step_ns` until all of `threads` have ended or `limit_ns` have passed. @returns whether they ended */
export function runTogetherUntilExit(
	kernels: readonly Kernel[],
	threads: readonly thread[],
	step_ns: number,
	limit_ns: number,
): boolean {
	const { machine } = kernels[0];
	const end = machine.now + limit_ns;
	const over = (): boolean => threads.every((td) => td.td_exited);
	while (!over() && machine.now < end) runTogether(kernels, Math.min(end, machine.now + step_ns));
	return over();
}
