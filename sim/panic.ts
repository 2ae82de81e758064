/** From a panic of the simulated kernel to the report of it: who ran where, who held which lock. */
import { type lock_object, lockstat_acquire, lockstat_release } from "../src/kernel/lock/lock.ts";
import { curkernel, type Kernel, type KernelPanic } from "../src/kernel/sched/kernel.ts";
import { thread_create } from "../src/kernel/sched/kthread.ts";
import { curthread, type thread } from "../src/kernel/sched/thread.ts";
import { describe_cpus } from "../src/kernel/sched/ule.ts";
import type { PanicReport } from "./errors.ts";

/** In a report; a kernel that died with more than this has another problem. */
const LOCKS_SHOWN = 40;

/**
 * Follows every lock, which takes time; so a run goes without, and is made once more with it when it has panicked. It
 * comes out the same.
 */
export class LockWatch {
	private readonly holders = new Map<lock_object, thread[]>();
	/** all threads, and whose they are */
	private readonly threads = new Map<thread, Kernel>();
	private readonly detach: (() => void)[];

	constructor() {
		this.detach = [
			thread_create.listen((td) => {
				this.threads.set(td, curkernel);
			}),
			lockstat_acquire.listen((lock, td) => {
				const holders = this.holders.get(lock);
				if (holders === undefined) this.holders.set(lock, [td]);
				else holders.push(td);
			}),
			lockstat_release.listen((lock, td) => {
				const holders = this.holders.get(lock);
				if (holders === undefined) return;
				const at = holders.lastIndexOf(td);
				if (at >= 0) holders.splice(at, 1);
				if (holders.length === 0) this.holders.delete(lock);
			}),
		];
	}

	/** A line for each lock of the running kernel that is held, with those who wait for it. */
	describe(): string[] {
		const lines: string[] = [];
		const threads = [...this.threads.keys()];
		for (const [lock, holders] of this.holders) {
			if ((this.threads.get(holders[0]) ?? curkernel) !== curkernel) continue;
			const waiting = threads.filter((td) => td.td_blocked === lock || td.td_spinlock === lock);
			const wanted = waiting.length === 0 ? "" : `; waiting: ${waiting.map(name).join(", ")}`;
			lines.push(`${lock.lo_name}: held by ${holders.map(name).join(", ")}${wanted}`);
		}
		if (lines.length <= LOCKS_SHOWN) return lines;
		return [...lines.slice(0, LOCKS_SHOWN), `and ${lines.length - LOCKS_SHOWN} more`];
	}

	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}
}

function name(td: thread): string {
	return `${td.td_name} (tid ${td.td_tid})`;
}

/** To be called where the panic was caught, before any other kernel runs. */
export function panicReport(panic: KernelPanic, watch: LockWatch | null, command: string): PanicReport {
	return {
		message: panic.message,
		cpuid: curthread.td_cpu,
		thread: name(curthread),
		time_ns: curkernel.machine.now,
		machine: curkernel.machine.name,
		cpus: describe_cpus(),
		locks: watch?.describe() ?? [],
		command,
	};
}
