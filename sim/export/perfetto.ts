/**
 * A trace for ui.perfetto.dev and chrome://tracing: what each CPU runs, what each thread does, how long queues are, and the
 * way of every packet through the tunnel as arrows from thread to thread.
 *
 * Process 1 has a row for each CPU, process 2 one for each thread. Newer viewers read the thread_state events and show
 * scheduling as they show a kernel's own; older ones ignore them.
 *
 * @see Chrome Trace Event Format; perfetto json_trace_parser.cc
 */
import type { wg_softc } from "../../src/dev/wg/if_wg_var.ts";
import { netisr_enqueue, netisr_handle, netisr_workstreams } from "../../src/kernel/ifnet/netisr.ts";
import { curkernel, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { curcpu, curthread, TDS_RUNQ, type thread } from "../../src/kernel/sched/thread.ts";
import { pcpu_find, sched_enqueue, sched_off_cpu, sched_on_cpu } from "../../src/kernel/sched/ule.ts";
import {
	type grouptask,
	gtask_coalesced,
	gtask_done,
	gtask_enqueue,
	gtask_start,
} from "../../src/kernel/taskqueue/gtaskqueue.ts";
import type { Driver } from "../driver.ts";
import type { ExportContext, Exporter } from "./export.ts";
import type { OutFile } from "./file.ts";

const CPUS_PID = 1;
const THREADS_PID = 2;

/** ns as microseconds, exact. */
function us(ns: number): string {
	const whole = Math.floor(ns / 1000);
	return `${whole}.${String(ns - whole * 1000).padStart(3, "0")}`;
}

/** A thread's row. */
class Track {
	/** what it has been doing since when; "" before anything is known */
	state = "";
	since = 0;
	cpu = 0;
	/** its own clock never goes back here, whatever jitter does to it */
	clock = 0;
	/** open slices, one within the other */
	depth = 0;
}

export class PerfettoExport implements Exporter {
	private readonly file: OutFile;
	private readonly detach: (() => void)[];
	private readonly tracks = new Map<thread, Track>();
	/** last value of each counter: it is written when it has changed */
	private readonly counters = new Map<string, number>();
	private readonly driver: Driver;
	private readonly command: string;
	private separator = "\n";

	constructor(file: OutFile, context: ExportContext) {
		this.file = file;
		this.command = context.command;
		this.driver = context.driver;
		file.text('{"displayTimeUnit":"ns","traceEvents":[');
		this.name("process_name", CPUS_PID, 0, "CPUs");
		this.name("process_name", THREADS_PID, 0, "threads");
		for (const { id } of curkernel.machine.cpus) this.name("thread_name", CPUS_PID, id + 1, `CPU ${id}`);
		this.detach = [
			sched_on_cpu.listen((td, cpu) => {
				this.change(td, "Running", cpu);
				this.load(cpu);
			}),
			sched_off_cpu.listen((td, cpu) => {
				this.change(td, td.td_blocked !== null ? "D" : td.td_state === TDS_RUNQ ? "R" : "S", cpu);
				this.load(cpu);
			}),
			sched_enqueue.listen((td, cpu) => {
				this.change(td, "R", cpu);
				this.load(cpu);
			}),
			gtask_enqueue.listen((gt) => this.queues(gt)),
			gtask_coalesced.listen((gt) => this.queues(gt)),
			gtask_start.listen((gt) => {
				this.queues(gt);
				this.begin(gt.gt_name, "task", "");
			}),
			gtask_done.listen((gt) => {
				this.queues(gt);
				this.end();
			}),
			netisr_enqueue.listen((_proto, _m, cpu) => this.netisr(cpu)),
			netisr_handle.listen((_proto, _m, queued) => {
				if (queued) this.netisr(curcpu());
			}),
			context.driver.wg_stage.listen((stage, packet_id) => {
				// the journey begins when the packet is staged and ends when it is delivered
				const flow_in = stage !== "staged";
				const flow_out = stage !== "delivered";
				const flow = `"bind_id":"0x${packet_id.toString(16)}","flow_in":${flow_in},"flow_out":${flow_out},`;
				this.begin(stage, "packet", `${flow}"args":{"packet":${packet_id}},`);
				this.end();
			}),
		];
	}

	private event(fields: string): void {
		this.file.text(`${this.separator}{${fields}}`);
		this.separator = ",\n";
	}

	private name(what: string, pid: number, tid: number, name: string): void {
		const args = JSON.stringify({ name });
		this.event(`"ph":"M","name":"${what}","pid":${pid},"tid":${tid},"args":${args}`);
	}

	private track(td: thread): Track {
		let track = this.tracks.get(td);
		if (track === undefined) {
			track = new Track();
			this.tracks.set(td, track);
			this.name("thread_name", THREADS_PID, td.td_tid, td.td_name);
		}
		return track;
	}

	/** A thread begins to do something else: what it did until now is written. */
	private change(td: thread, state: string, cpu: number): void {
		const track = this.track(td);
		this.stretch(td, track);
		track.state = state;
		track.since = curkernel.machine.now;
		track.cpu = cpu;
	}

	private stretch(td: thread, track: Track): void {
		const { state, since, cpu } = track;
		if (state === "") return;
		const when = `"ts":${us(since)},"dur":${us(curkernel.machine.now - since)}`;
		const args = state === "Running" ? `{"cpu":${cpu}}` : "{}";
		const where = `"pid":${THREADS_PID},"tid":${td.td_tid}`;
		this.event(`"ph":"T","name":"${state}","cat":"thread_state",${when},${where},"args":${args}`);
		if (state !== "Running") return;
		const what = `"name":${JSON.stringify(td.td_name)},"cat":"cpu"`;
		const info = `{"tid":${td.td_tid},"prio":${td.td_priority}}`;
		this.event(`"ph":"X",${what},${when},"pid":${CPUS_PID},"tid":${cpu + 1},"args":${info}`);
	}

	private counter(name: string, value: number): void {
		if (this.counters.get(name) === value) return;
		this.counters.set(name, value);
		const what = `"ph":"C","name":${JSON.stringify(name)},"pid":${CPUS_PID}`;
		this.event(`${what},"ts":${us(curkernel.machine.now)},"args":{"value":${value}}`);
	}

	/** Threads running and queued on a CPU. */
	private load(cpu: number): void {
		this.counter(`CPU ${cpu} load`, pcpu_find(cpu).tdq_load);
	}

	/** Packets that wait for a CPU's netisr thread, without those it has taken. */
	private netisr(cpu: number): void {
		const stream = netisr_workstreams().find(({ nws_cpu }) => nws_cpu === cpu);
		if (stream !== undefined) this.counter(`netisr ${cpu} packets`, stream.nws_pending_work);
	}

	/** Tasks on a task's queue; of a task that encrypts or decrypts, also the packets its tunnel has for it and its like. */
	private queues(gt: grouptask): void {
		const queue = gt.gt_taskqueue;
		if (queue !== null) this.counter(`${queue.tq_name} tasks`, queue.tq_queue.length);
		const func: unknown = gt.ta_func;
		const encrypts = func === this.driver.wg_softc_encrypt;
		if (!encrypts && func !== this.driver.wg_softc_decrypt) return;
		const { sc_ifp, sc_encrypt_parallel, sc_decrypt_parallel } = gt.ta_context as wg_softc;
		const tunnel = `${sc_ifp.if_vnet.vnet_name}:${sc_ifp.if_xname}`;
		const what = encrypts ? "to encrypt" : "to decrypt";
		this.counter(`${tunnel} packets ${what}`, (encrypts ? sc_encrypt_parallel : sc_decrypt_parallel).q_len);
	}

	private clock(track: Track): string {
		track.clock = Math.max(track.clock, sbinuptime());
		return `"ts":${us(track.clock)},"pid":${THREADS_PID},"tid":${curthread.td_tid}`;
	}

	/** The running thread begins something. */
	private begin(name: string, category: string, more: string): void {
		const track = this.track(curthread);
		track.depth++;
		this.event(`"ph":"B","name":${JSON.stringify(name)},"cat":"${category}",${more}${this.clock(track)}`);
	}

	/** It ends what it began last; what was under way before anybody looked ends unseen. */
	private end(): void {
		const track = this.track(curthread);
		if (track.depth === 0) return;
		track.depth--;
		this.event(`"ph":"E",${this.clock(track)}`);
	}

	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}

	finish(): void {
		for (const [td, track] of this.tracks) {
			this.stretch(td, track);
			const end = Math.max(track.clock, curkernel.machine.now);
			for (; track.depth > 0; track.depth--) {
				this.event(`"ph":"E","ts":${us(end)},"pid":${THREADS_PID},"tid":${td.td_tid}`);
			}
		}
		this.file.text(
			`\n],"metadata":${JSON.stringify({ command: this.command, machine: curkernel.machine.profile.name })}}\n`,
		);
	}
}
