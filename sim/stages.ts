/**
 * Where CPU time goes while data flows: in each of the driver's tasks, in deciding which tasks to wake, on each CPU.
 *
 * A task's time is CPU time of its thread from the task's beginning to its end; what a task of the driver calls (UDP, IP,
 * Ethernet, taking locks, waking threads) is in it.
 */
import type { dispatch_policy } from "../src/dev/wg/dispatch/policy.ts";
import { type Blocking, curthread, type thread } from "../src/kernel/sched/thread.ts";
import { sched_settle } from "../src/kernel/sched/ule.ts";
import { gtask_done, gtask_start } from "../src/kernel/taskqueue/gtaskqueue.ts";
import type { Driver } from "./driver.ts";
import type { Watcher } from "./watcher.ts";

/** The driver's tasks, as taskqgroup_attach was told their names. */
export const TASKS = ["wg encrypt", "wg decrypt", "wg send", "wg recv"] as const;
export type TaskName = (typeof TASKS)[number];

type DispatchName = "encrypt_dispatch" | "decrypt_dispatch";

function spent(td: thread): number {
	return td.td_runtime + td.td_pending;
}

export class StageTimes implements Watcher {
	/** ns in each task, by CPU */
	readonly tasks: Readonly<Record<TaskName, Float64Array>>;
	/** ns in the policy's encrypt_dispatch, whoever called it */
	dispatch_ns = 0;
	/** packets the encrypt tasks took */
	encrypted = 0;
	/** tasks under way, and what their threads had used when they began, or when the interval did */
	private readonly running = new Map<thread, { readonly task: string; since: number }>();
	private readonly detach: (() => void)[] = [];

	constructor(cpus: number) {
		this.tasks = Object.fromEntries(TASKS.map((name) => [name, new Float64Array(cpus)])) as Record<
			TaskName,
			Float64Array
		>;
	}

	begin(driver: Driver): void {
		this.detach.push(
			gtask_start.listen((gt) => {
				this.running.set(curthread, { task: gt.gt_name, since: spent(curthread) });
			}),
			gtask_done.listen(() => {
				this.book(curthread, spent(curthread));
				this.running.delete(curthread);
			}),
			driver.wg_task_run.listen((kind, packets) => {
				if (kind === "encrypt") this.encrypted += packets;
			}),
			...driver.policies.map((policy) => this.timeDispatch(policy)),
		);
	}

	/** Stands between the driver and a policy, with a stopwatch. @returns what takes it away again */
	private timeDispatch(policy: dispatch_policy): () => void {
		const changed = policy as { -readonly [name in DispatchName]: dispatch_policy[name] };
		const original = policy.encrypt_dispatch;
		const self = this;
		changed.encrypt_dispatch = function* (sc): Blocking<void> {
			const since = spent(curthread);
			yield* original(sc);
			self.dispatch_ns += spent(curthread) - since;
		};
		return () => {
			changed.encrypt_dispatch = original;
		};
	}

	private book(td: thread, now: number): void {
		const run = this.running.get(td);
		if (run === undefined) return;
		const ns = this.tasks[run.task as TaskName];
		// what it has charged ahead of the clock may be booked already
		if (ns !== undefined && now > run.since) ns[td.td_cpu] += now - run.since;
	}

	mark(): void {
		sched_settle();
		for (const [td, run] of this.running) run.since = td.td_runtime;
		for (const name of TASKS) this.tasks[name].fill(0);
		this.dispatch_ns = 0;
		this.encrypted = 0;
	}

	end(): void {
		sched_settle();
		for (const td of this.running.keys()) this.book(td, td.td_runtime);
		this.running.clear();
		this.close();
	}

	/** Stops listening. */
	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}

	/** ns in a task, all CPUs together */
	total(name: TaskName): number {
		return this.tasks[name].reduce((sum, ns) => sum + ns, 0);
	}
}
