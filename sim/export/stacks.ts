/**
 * Collapsed stacks of simulated CPU time, for flamegraph.pl, speedscope and Perfetto: CPU, thread, task, and the ns spent there.
 *
 * They cover the whole run, set-up included, and add up to the busy time of all CPUs, to the ns. The time of interrupts is
 * that of the thread they hit.
 */
import { curkernel } from "../../src/kernel/sched/kernel.ts";
import { curthread, type thread } from "../../src/kernel/sched/thread.ts";
import { pcpu_find, sched_off_cpu, sched_on_cpu, sched_settle } from "../../src/kernel/sched/ule.ts";
import { gtask_done, gtask_start } from "../../src/kernel/taskqueue/gtaskqueue.ts";
import type { Exporter } from "./export.ts";
import type { OutFile } from "./file.ts";

/** A thread's CPU time, and how much of it is booked to a stack already. */
class Account {
	booked: number;
	task = "";
	constructor(booked: number) {
		this.booked = booked;
	}
}

export class StacksExport implements Exporter {
	private readonly file: OutFile;
	private readonly detach: (() => void)[];
	private readonly accounts = new Map<thread, Account>();
	private readonly stacks = new Map<string, number>();
	private readonly busy_before: number;

	constructor(file: OutFile) {
		this.file = file;
		sched_settle();
		this.busy_before = this.busy();
		for (const cpu of curkernel.machine.cpus) {
			const pc = pcpu_find(cpu.id);
			this.account(pc.pc_curthread);
			this.account(pc.pc_idlethread);
		}
		this.detach = [
			sched_on_cpu.listen((td) => {
				this.account(td);
			}),
			sched_off_cpu.listen((td) => this.book(td, td.td_runtime)),
			gtask_start.listen((gt) => this.task(gt.gt_name)),
			gtask_done.listen(() => this.task("")),
		];
	}

	private busy(): number {
		return curkernel.machine.cpus.reduce((sum, cpu) => sum + cpu.busy_ns, 0);
	}

	private account(td: thread): Account {
		let account = this.accounts.get(td);
		if (account === undefined) {
			account = new Account(td.td_runtime);
			this.accounts.set(td, account);
		}
		return account;
	}

	/** The running thread enters a task, or leaves it. */
	private task(name: string): void {
		const td = curthread;
		// what it has charged belongs to what it did until now, though the machine's clock has not seen it
		this.book(td, td.td_runtime + td.td_pending);
		this.account(td).task = name;
	}

	/** Books a thread's time up to `runtime`. Time booked in advance is made up for by what comes. */
	private book(td: thread, runtime: number): void {
		const account = this.account(td);
		const ns = runtime - account.booked;
		if (ns <= 0) return;
		account.booked = runtime;
		const frames = [`CPU ${td.td_cpu}`, td.td_name, account.task].filter((frame) => frame !== "");
		const stack = frames.map((frame) => frame.replaceAll(";", ",")).join(";");
		this.stacks.set(stack, (this.stacks.get(stack) ?? 0) + ns);
	}

	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}

	finish(): void {
		sched_settle();
		for (const td of this.accounts.keys()) this.book(td, td.td_runtime);
		this.file.text(`# busy: ${this.busy() - this.busy_before} ns\n`);
		for (const stack of [...this.stacks.keys()].sort()) this.file.text(`${stack} ${this.stacks.get(stack)}\n`);
	}
}
