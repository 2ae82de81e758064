/**
 * Which times on a CPU of the driver's task threads were for nothing: switched in, looked at an empty queue, switched out.
 *
 * A stint is from switching in to switching out. It found something if one of its encrypt or decrypt tasks found a packet,
 * or if it ran any other task: deliveries and handshakes are never queued without cause.
 */
import { curthread, type thread } from "../src/kernel/sched/thread.ts";
import { sched_off_cpu, sched_on_cpu } from "../src/kernel/sched/ule.ts";
import { type grouptask, gtask_done, gtask_start } from "../src/kernel/taskqueue/gtaskqueue.ts";
import type { Driver } from "./driver.ts";

/** How a stint ended: with a packet found, with none, or (preempted within a task) not known yet. */
export type StintEnd = "found" | "nothing" | "unknown";

/**
 * Called when a stint ends. `used` is the CPU time in ns since this thread's last end that was not "unknown".
 */
export type StintListener = (td: thread, cpu: number, end: StintEnd, used: number) => void;

/** A thread of the driver's task group, since it was last switched in. */
class Stint {
	since = 0;
	found = false;
	/** inside a task: whether it finds work is not known yet */
	task: grouptask | null = null;
	/** CPU time of earlier stints of a task that was preempted */
	carried = 0;
}

/** Whether a task encrypts or decrypts. */
export function isCryptoTask(driver: Driver, gt: grouptask): boolean {
	const func: unknown = gt.ta_func;
	return func === driver.wg_softc_encrypt || func === driver.wg_softc_decrypt;
}

/** Whether a thread is one of the driver's task group. */
export function isTaskThread(td: thread): boolean {
	return td.td_name.startsWith("wg_tqg");
}

/** Watches the kernel that runs now. @returns a function that ends it */
export function watchStints(driver: Driver, onEnd: StintListener): () => void {
	const stints = new Map<thread, Stint>();
	const end = (td: thread, stint: Stint, cpu: number): void => {
		const used = stint.carried + td.td_runtime - stint.since;
		stint.carried = 0;
		if (stint.found) {
			stint.found = stint.task !== null;
			onEnd(td, cpu, "found", used);
		} else if (stint.task !== null) {
			stint.carried = used;
			onEnd(td, cpu, "unknown", used);
		} else onEnd(td, cpu, "nothing", used);
	};
	const detach = [
		driver.wg_task_run.listen((_kind, packets) => {
			if (packets === 0) return;
			const stint = stints.get(curthread);
			if (stint !== undefined) stint.found = true;
		}),
		gtask_start.listen((gt) => {
			const td = curthread;
			if (!isTaskThread(td)) return;
			let stint = stints.get(td);
			if (stint === undefined) {
				// the thread's first task: it has been on its CPU since it was made
				stint = new Stint();
				stint.since = td.td_runtime;
				stints.set(td, stint);
			}
			stint.task = gt;
		}),
		gtask_done.listen((gt) => {
			const stint = stints.get(curthread);
			if (stint === undefined) return;
			stint.task = null;
			if (!isCryptoTask(driver, gt)) stint.found = true;
		}),
		sched_on_cpu.listen((td) => {
			const stint = stints.get(td);
			if (stint !== undefined) stint.since = td.td_runtime;
		}),
		sched_off_cpu.listen((td, cpu) => {
			const stint = stints.get(td);
			if (stint !== undefined) end(td, stint, cpu);
		}),
	];
	return () => {
		for (const one of detach) one();
	};
}
