/** A kernel of its own for a measurement, and how much CPU time a piece of code takes in it. */
import { boot, runUntilExit, spawn } from "../../src/kernel/boot.ts";
import { KernelPanic } from "../../src/kernel/sched/kernel.ts";
import { type Blocking, curthread } from "../../src/kernel/sched/thread.ts";
import type { CostOverrides } from "../../src/machine/cost/table.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";
import "../generic.ts";
// part of every other run's kernel: without it this one would boot differently, depending on what was run before
import "../../src/dev/wg/if_wg.ts";

const LIMIT_NS = 1_000_000_000_000;

export interface WorldOptions {
	readonly machine: string;
	readonly tunables: Readonly<Record<string, string>>;
	readonly costs?: CostOverrides;
}

/** Runs `main` as a thread of a kernel with one CPU, and gives what it returns. */
export function inKernel<T>({ machine, tunables, costs }: WorldOptions, main: () => Blocking<T>): T {
	const profile = findProfile(machine)!;
	const kernel = boot(new Machine({ profile, cpus: 1, ...(costs === undefined ? {} : { costs }) }), { tunables });
	let result: { value: T } | null = null;
	const td = spawn(kernel, "measure", function* () {
		result = { value: yield* main() };
	});
	if (!runUntilExit(kernel, td, LIMIT_NS)) throw new KernelPanic("the measurement did not end");
	return (result as unknown as { value: T }).value;
}

/** CPU time the running thread has used, ns. */
export function cpuTime(): number {
	return curthread.td_runtime + curthread.td_pending;
}
