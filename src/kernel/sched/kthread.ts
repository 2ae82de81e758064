/**
 * kthread(9): kernel threads, and the threads of user programs, which differ only in priority and time slice.
 */
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { curkernel, priorities, thread_alloc } from "./kernel.ts";
import { pause } from "./sleepqueue.ts";
import { type Blocking, curthread, type thread } from "./thread.ts";
import { sched_add } from "./ule.ts";

export const thread_create = SDT_PROBE_DEFINE<[td: thread]>("proc:::lwp-create", "td: thread");

function start<T>(td: thread, fn: (arg: T) => Blocking<void>, arg: T): thread {
	td.td_main = () => fn(arg);
	td.td_vnet = curthread.td_vnet;
	td.td_ucred = curthread.td_ucred;
	if (thread_create.on !== null) thread_create.on(td);
	sched_add(td);
	return td;
}

/** Starts a kernel thread running `fn(arg)` at `priority`. Inherits vnet and credentials of its creator. */
export function kthread_add<T>(fn: (arg: T) => Blocking<void>, arg: T, name: string, priority: number): thread {
	return start(thread_alloc(name, priority), fn, arg);
}

/** A kernel thread that only ever runs on `cpu`. */
export function kthread_add_bound<T>(
	fn: (arg: T) => Blocking<void>,
	arg: T,
	name: string,
	priority: number,
	cpu: number,
): thread {
	const td = thread_alloc(name, priority);
	td.td_cpu = cpu;
	td.td_bound = true;
	return start(td, fn, arg);
}

/** Starts a user program's thread: timeshare priority, time slices. Starts on the CPU its creator uses, then goes where it likes. */
export function uthread_add<T>(fn: (arg: T) => Blocking<void>, arg: T, name: string): thread {
	const td = thread_alloc(name, priorities().PRI_MIN_BATCH);
	td.td_user = true;
	td.td_cpu = curthread.td_cpu % curkernel.machine.cpus.length;
	return start(td, fn, arg);
}

/** Waits until `td` has ended; looks once a tick. */
export function* kthread_wait(td: thread): Blocking<void> {
	while (!td.td_exited) yield* pause("thrwait", 1);
}
