/**
 * KTR text for FreeBSD's schedgraph.py: what `ktrdump -ct` would print of a kernel with KTR_SCHED, of locks and callouts.
 *
 * The tool wants the newest line first, so lines are written as they come and turned round at the end. A lock has a row
 * from the first time somebody waits for it: most locks nobody ever waits for, and there are thousands. The frequency to give
 * the tool is 1 GHz: time stamps are ns since boot.
 *
 * @see tools/sched/schedgraph.py; sys/ktr.h KTR_STATE; kernel.md section 14
 */
import { callout_end, callout_start } from "../../src/kernel/callout/callout.ts";
import {
	type lock_object,
	lockstat_acquire,
	lockstat_block,
	lockstat_release,
	lockstat_spin,
} from "../../src/kernel/lock/lock.ts";
import { curkernel } from "../../src/kernel/sched/kernel.ts";
import { hostthread, TDS_RUNQ, type thread } from "../../src/kernel/sched/thread.ts";
import {
	pcpu_find,
	sched_enqueue,
	sched_off_cpu,
	sched_on_cpu,
	sched_thread_exit,
} from "../../src/kernel/sched/ule.ts";
import type { Exporter } from "./export.ts";
import type { OutFile } from "./file.ts";
import { Timeline } from "./timeline.ts";

/** How long a wait may be and still be shown from its beginning; a longer one seems to begin later. */
const REORDER_NS = 1_000_000;

/** A name or text as the grammar takes it: without the quotation mark that ends it. */
function word(text: string): string {
	return text.replaceAll('"', "'");
}

/** What a thread that is not on a CPU does. @see sys/proc.h KTDSTATE */
function offState(td: thread): string {
	if (td.td_wchan !== null) return "sleep";
	if (td.td_blocked !== null) return "blocked";
	return td.td_state === TDS_RUNQ ? "yielding" : "iwait";
}

export class KtrExport implements Exporter {
	private readonly file: OutFile;
	/** the lines in the order of time */
	private readonly lines: OutFile;
	private readonly detach: (() => void)[];
	private readonly timeline: Timeline<string>;
	private readonly ids = new Map<thread, string>();
	/** locks somebody has waited for, and what they are called here */
	private readonly locks = new Map<lock_object, string>();
	private readonly same_name = new Map<string, number>();
	private readonly loads: number[];
	/** a CPU a thread has just left, with nobody in its place yet; -1 if there is none */
	private vacant = -1;
	private vacant_since = 0;

	constructor(file: OutFile) {
		this.file = file;
		this.loads = curkernel.machine.cpus.map(() => -1);
		const lines = file.spool();
		this.lines = lines;
		this.timeline = new Timeline((_time, line) => lines.text(line));
		this.detach = [
			sched_on_cpu.listen((td, cpu) => this.onCpu(td, cpu)),
			sched_off_cpu.listen((td, cpu) => this.offCpu(td, cpu)),
			sched_enqueue.listen((td, cpu, by) => this.enqueue(td, cpu, by)),
			sched_thread_exit.listen((td) => {
				this.state(td.td_cpu, td, "thread exit", `prio:${td.td_priority}`);
			}),
			lockstat_spin.listen((lock, td, ns) => this.spun(lock, td, ns)),
			lockstat_block.listen((lock, td, ns) => this.waited(lock, td, ns)),
			lockstat_acquire.listen((lock, td) => this.lockState(lock, "lock acquire", `thread:"${this.id(td)}"`, td.td_cpu)),
			lockstat_release.listen((lock, td) => this.lockState(lock, "lock release", "none", td.td_cpu)),
			callout_start.listen((c) => {
				this.callout("running", `func:"${word(c.c_func?.name ?? "")}", direct:0`);
			}),
			callout_end.listen(() => this.callout("idle", "none")),
		];
	}

	private id(td: thread): string {
		let id = this.ids.get(td);
		if (id === undefined) {
			id = `${word(td.td_name)} tid ${td.td_tid}`;
			this.ids.set(td, id);
		}
		return id;
	}

	/** A line, without its index, which is not known before the last. */
	private add(time: number, cpu: number, group: string, id: string, what: string, attributes: string): void {
		const { now } = curkernel.machine;
		const line = `${cpu} ${time} KTRGRAPH group:"${group}", id:"${id}", ${what}, attributes: ${attributes}\n`;
		this.timeline.add(time, line, now - REORDER_NS);
	}

	private state(cpu: number, td: thread, state: string, attributes: string, time = curkernel.machine.now): void {
		this.add(time, cpu, "thread", this.id(td), `state:"${state}"`, attributes);
	}

	/** Threads running and queued on a CPU, when that has changed. */
	private load(cpu: number): void {
		const load = pcpu_find(cpu).tdq_load;
		if (this.loads[cpu] === load) return;
		this.loads[cpu] = load;
		this.add(curkernel.machine.now, cpu, "load", `CPU ${cpu} load`, `counter:${load}`, "none");
	}

	private onCpu(td: thread, cpu: number): void {
		if (this.vacant === cpu) this.vacant = -1;
		else {
			this.idles();
			const idle = pcpu_find(cpu).pc_idlethread;
			this.state(cpu, idle, "idle", `prio:${idle.td_priority}`);
		}
		this.state(cpu, td, "running", `prio:${td.td_priority}`);
		this.load(cpu);
	}

	private offCpu(td: thread, cpu: number): void {
		this.idles();
		if (!td.td_exited) {
			const lock = td.td_blocked === null ? "(null)" : word(td.td_blocked.lo_name);
			const wmesg = td.td_wchan === null ? "(null)" : word(td.td_wmesg);
			this.state(cpu, td, offState(td), `prio:${td.td_priority}, wmesg:"${wmesg}", lockname:"${lock}"`);
		}
		this.load(cpu);
		this.vacant = cpu;
		this.vacant_since = curkernel.machine.now;
	}

	/** Nobody has taken the CPU that was left last, so its idle thread has it since then. */
	private idles(): void {
		if (this.vacant < 0) return;
		const idle = pcpu_find(this.vacant).pc_idlethread;
		this.state(this.vacant, idle, "running", `prio:${idle.td_priority}`, this.vacant_since);
		this.vacant = -1;
	}

	private enqueue(td: thread, cpu: number, by: thread): void {
		this.idles();
		// a link must lead to a thread that has a row, or a click on it is an error: the timer interrupt has none
		const by_whom = by === hostthread ? "" : `, linkedto:"${this.id(by)}"`;
		this.state(cpu, td, "runq add", `prio:${td.td_priority}${by_whom}`);
		if (by !== hostthread) {
			const linked = `linkedto:"${this.id(td)}"`;
			this.add(curkernel.machine.now, by.td_cpu, "thread", this.id(by), 'point:"wokeup"', linked);
		}
		this.load(cpu);
	}

	/** A thread has waited for a lock by spinning, and stops now. */
	private spun(lock: lock_object, td: thread, ns: number): void {
		const since = curkernel.machine.now - Math.min(ns, REORDER_NS);
		this.state(td.td_cpu, td, "spinning", `lockname:"${word(lock.lo_name)}"`, since);
		this.waited(lock, td, ns);
		this.state(td.td_cpu, td, "running", "none");
	}

	private waited(lock: lock_object, td: thread, ns: number): void {
		this.lockId(lock);
		const since = curkernel.machine.now - Math.min(ns, REORDER_NS);
		this.lockState(lock, "lock contest", `thread:"${this.id(td)}"`, td.td_cpu, since);
	}

	/** Makes a row for a lock; locks of one name are told apart by the order in which they were first waited for. */
	private lockId(lock: lock_object): void {
		if (this.locks.has(lock)) return;
		const n = (this.same_name.get(lock.lo_name) ?? 0) + 1;
		this.same_name.set(lock.lo_name, n);
		this.locks.set(lock, n === 1 ? word(lock.lo_name) : `${word(lock.lo_name)} (${n})`);
	}

	private lockState(lock: lock_object, state: string, attributes: string, cpu = 0, time = curkernel.machine.now): void {
		const id = this.locks.get(lock);
		if (id !== undefined) this.add(time, cpu, "lock", id, `state:"${state}"`, attributes);
	}

	private callout(state: string, attributes: string): void {
		this.add(curkernel.machine.now, 0, "callout", "callwheel cpu 0", `state:"${state}"`, attributes);
	}

	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}

	finish(): void {
		this.idles();
		this.timeline.release(Number.POSITIVE_INFINITY);
		let index = 0;
		this.lines.linesBackwards((line) => {
			index++;
			const first = line.indexOf(" ");
			const second = line.indexOf(" ", first + 1);
			const cpu = line.slice(0, first).padStart(3);
			const time = line.slice(first + 1, second).padStart(16);
			this.file.text(`${String(index).padStart(6)} ${cpu} ${time}${line.slice(second)}\n`);
		});
	}
}
