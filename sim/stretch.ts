/**
 * A short stretch of a run, CPU by CPU: what each did from when to when. For pictures; the figures of a run are in metrics.ts.
 *
 * A listener like any other: a run that is recorded goes exactly as one that is not.
 */
import { curkernel } from "../src/kernel/sched/kernel.ts";
import { curthread, type thread } from "../src/kernel/sched/thread.ts";
import { pcpu_find, sched_off_cpu, sched_on_cpu, sched_settle } from "../src/kernel/sched/ule.ts";
import { gtask_enqueue, gtask_start } from "../src/kernel/taskqueue/gtaskqueue.ts";
import type { Driver } from "./driver.ts";
import { isCryptoTask, isTaskThread, type StintEnd, watchStints } from "./stints.ts";

/**
 * What a CPU does, switching included: encrypting or decrypting, other tasks of the driver, anything else, a task thread of
 * the driver woken for nothing, on the way out of a halt, polling for work, halted.
 */
export const ACTIVITIES = ["crypto", "deliver", "other", "nothing", "wake", "poll", "halt"] as const;
export type Activity = (typeof ACTIVITIES)[number];

/** `from` and `to` in ns since the stretch began. */
export interface Segment {
	readonly from: number;
	readonly to: number;
	readonly what: Activity;
}

export interface Stretch {
	readonly policy: string;
	/** ns; when it began, counted from the first packet of data, and how long it is */
	readonly start_ns: number;
	readonly length_ns: number;
	/** encrypt and decrypt tasks queued in it, and runs of them that found a packet */
	readonly tasks_scheduled: number;
	readonly tasks_useful: number;
	/** by CPU, in order of time, without gaps */
	readonly cpus: readonly (readonly Segment[])[];
}

interface Open {
	from: number;
	to: number;
	what: Activity;
}

/** A CPU's books when its last segment ended, to tell what it did until the next. */
interface Books {
	poll_ns: number;
	halt_ns: number;
	wake_ns: number;
}

export class StretchRecorder {
	private readonly driver: Driver;
	private readonly detach: (() => void)[];
	private start = 0;
	private readonly cpus: Open[][] = [];
	private readonly books: Books[] = [];
	/** the segment on each CPU that has not ended */
	private readonly running: (Open | null)[] = [];
	/** segments of a preempted task: whether it finds work is known when it goes on */
	private readonly undecided = new Map<thread, Open[]>();
	private scheduled = 0;
	private useful = 0;

	/** Begins to watch the kernel that runs now, so that at `begin` it is known what the driver's threads are about. */
	constructor(driver: Driver) {
		this.driver = driver;
		this.detach = [watchStints(driver, (td, cpu, end) => this.decide(td, cpu, end))];
	}

	/** The stretch begins now. */
	begin(): void {
		const { driver, detach } = this;
		sched_settle();
		this.start = curkernel.machine.now;
		for (const { id } of curkernel.machine.cpus) {
			const pc = pcpu_find(id);
			this.cpus.push([]);
			this.books.push(this.readBooks(id));
			this.running.push(pc.pc_curthread === pc.pc_idlethread ? null : this.open(id, "other"));
		}
		detach.push(
			sched_on_cpu.listen((_td, cpu) => {
				this.idleUntilNow(cpu);
				this.running[cpu] = this.open(cpu, "other");
			}),
			sched_off_cpu.listen((_td, cpu) => {
				const open = this.running[cpu];
				if (open === null) return;
				open.to = curkernel.machine.now - this.start;
				this.running[cpu] = null;
				this.books[cpu] = this.readBooks(cpu);
			}),
			gtask_start.listen((gt) => {
				const open = this.running[curthread.td_cpu];
				if (open === null || !isTaskThread(curthread)) return;
				if (isCryptoTask(driver, gt)) open.what = "crypto";
				else if (open.what === "other") open.what = "deliver";
			}),
			gtask_enqueue.listen((gt) => {
				if (isCryptoTask(driver, gt)) this.scheduled++;
			}),
			driver.wg_task_run.listen((_kind, packets) => {
				if (packets > 0) this.useful++;
			}),
		);
	}

	/** A task thread leaves its CPU; its segment, not closed yet, turns out to have been for something or for nothing. */
	private decide(td: thread, cpu: number, end: StintEnd): void {
		const open = this.running[cpu] ?? null;
		if (open === null) return;
		const segments = [...(this.undecided.get(td) ?? []), open];
		if (end === "unknown") this.undecided.set(td, segments);
		else this.undecided.delete(td);
		if (end === "nothing") for (const segment of segments) segment.what = "nothing";
	}

	private readBooks(id: number): Books {
		const { cpu } = pcpu_find(id);
		return { poll_ns: cpu.poll_ns, halt_ns: cpu.cstate_ns.reduce((sum, ns) => sum + ns, 0), wake_ns: cpu.wake_ns };
	}

	private open(cpu: number, what: Activity): Open {
		const from = curkernel.machine.now - this.start;
		const open = { from, to: from, what };
		this.cpus[cpu].push(open);
		return open;
	}

	/**
	 * The time since the last thread left the CPU: polling, then halted, then waking, then interrupts. The sums are the
	 * machine's own; that a CPU which halts, is interrupted and polls again did so in this order is a simplification.
	 */
	private idleUntilNow(cpu: number): void {
		const segments = this.cpus[cpu];
		const now = curkernel.machine.now - this.start;
		let from = segments.length === 0 ? 0 : segments[segments.length - 1].to;
		if (from >= now) return;
		const before = this.books[cpu];
		const after = this.readBooks(cpu);
		const add = (what: Activity, ns: number): void => {
			const to = Math.min(now, from + ns);
			if (to > from) segments.push({ from, to, what });
			from = Math.max(from, to);
		};
		add("poll", after.poll_ns - before.poll_ns);
		add("halt", after.halt_ns - before.halt_ns);
		add("wake", after.wake_ns - before.wake_ns);
		add("other", now - from);
	}

	/** The stretch ends now. */
	end(policy: string, start_ns: number): Stretch {
		this.close();
		sched_settle();
		const length_ns = curkernel.machine.now - this.start;
		this.running.forEach((open, cpu) => {
			if (open === null) this.idleUntilNow(cpu);
			else open.to = length_ns;
		});
		return {
			policy,
			start_ns,
			length_ns,
			tasks_scheduled: this.scheduled,
			tasks_useful: this.useful,
			cpus: this.cpus.map((segments) => segments.filter((segment) => segment.to > segment.from)),
		};
	}

	/** Stops listening. */
	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}
}
