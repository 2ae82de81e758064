/**
 * What is counted during a run: a subscriber to the kernel's probes, and readings of the machine's own books.
 *
 * Counters run from the first packet on. `mark` remembers where they stand at the end of the warm-up, and `read` gives what
 * was added since. Neither touches the machine: a run that is measured goes exactly as one that is not.
 */
import { lock_profiles } from "../src/kernel/lock/lock.ts";
import { curkernel, type Kernel, sbinuptime } from "../src/kernel/sched/kernel.ts";
import { sched_wakeup } from "../src/kernel/sched/sleepqueue.ts";
import { pcpu_find } from "../src/kernel/sched/ule.ts";
import { gtask_coalesced, gtask_enqueue } from "../src/kernel/taskqueue/gtaskqueue.ts";
import type { MachineProfile } from "../src/machine/profile.ts";
import type { Driver } from "./driver.ts";
import { inEach } from "./each.ts";
import { type Distribution, StageClock } from "./latency.ts";
import { isCryptoTask, watchStints } from "./stints.ts";

/** One CPU's time over the measured interval, ns. busy + wake + poll + idle = the interval. */
export interface CpuTime {
	cpu: number;
	busy_ns: number;
	/** part of busy: the driver's task threads, woken for nothing */
	wasted_ns: number;
	/** part of busy: waiting for a lock whose owner runs */
	spin_ns: number;
	/** part of busy: context switches */
	switch_ns: number;
	/** part of busy: interrupts, IPIs included */
	interrupt_ns: number;
	/** on the way out of a C-state */
	wake_ns: number;
	/** idle thread polling for work */
	poll_ns: number;
	/** halted */
	idle_ns: number;
	/** halted, by C-state of the profile */
	cstate_ns: number[];
	/** how often a halt ended */
	halt_exits: number;
	context_switches: number;
	ipis_received: number;
}

export interface LockUse {
	name: string;
	acquisitions: number;
	contested: number;
	spin_ns: number;
	block_ns: number;
}

export interface Measured {
	/** encrypt and decrypt tasks put on a queue */
	tasks_scheduled: number;
	/** asked for while queued already: nothing happened */
	tasks_coalesced: number;
	/** runs of encrypt and decrypt tasks, and those that found at least one packet */
	tasks_run: number;
	tasks_useful: number;
	packets: number;
	wakeups: number;
	ipis: number;
	per_cpu: CpuTime[];
	locks: LockUse[];
	/** every stage a packet passes, in order, with how long it took */
	latency: { stage: string; distribution: Distribution }[];
	/** packets that came out of a tunnel, either direction */
	delivered: number;
}

interface Reading {
	tasks_scheduled: number;
	tasks_coalesced: number;
	tasks_run: number;
	tasks_useful: number;
	packets: number;
	wakeups: number;
	ipis: number;
	delivered: number;
	per_cpu: CpuTime[];
	locks: Map<string, LockUse>;
}

/** The state of one CPU's books at this moment, without closing them. */
function readCpu(id: number, profile: MachineProfile, wasted_ns: number): CpuTime {
	const pc = pcpu_find(id);
	const { cpu } = pc;
	const { now } = curkernel.machine;
	const reading: CpuTime = {
		cpu: id,
		busy_ns: cpu.busy_ns,
		wasted_ns,
		spin_ns: cpu.spin_ns,
		switch_ns: cpu.switch_ns,
		interrupt_ns: cpu.interrupt_ns,
		wake_ns: cpu.wake_ns,
		poll_ns: cpu.poll_ns,
		idle_ns: 0,
		cstate_ns: [...cpu.cstate_ns],
		halt_exits: cpu.wakeups,
		context_switches: cpu.context_switches,
		ipis_received: cpu.ipis_received,
	};
	if (cpu.idle) {
		const polled_until = Math.max(cpu.idle_since, Math.min(cpu.poll_until, now));
		const halted = now - polled_until;
		reading.poll_ns += polled_until - cpu.idle_since;
		let state = 0;
		profile.cstates.forEach((cstate, i) => {
			if (halted >= cstate.residency_ns) state = i;
		});
		reading.cstate_ns[state] += halted;
	} else {
		// a stretch of work is under way; its first part may be the way out of a C-state
		const elapsed = now - pc.stretch_start;
		const waking = Math.min(pc.wake_latency, elapsed);
		reading.wake_ns += waking;
		reading.busy_ns += elapsed - waking;
	}
	reading.idle_ns = reading.cstate_ns.reduce((sum, ns) => sum + ns, 0);
	return reading;
}

const CPU_FIELDS = [
	"busy_ns",
	"wasted_ns",
	"spin_ns",
	"switch_ns",
	"interrupt_ns",
	"wake_ns",
	"poll_ns",
	"idle_ns",
	"halt_exits",
	"context_switches",
	"ipis_received",
] as const;

function sinceCpu(end: CpuTime, start: CpuTime): CpuTime {
	const result: CpuTime = { ...end, cstate_ns: end.cstate_ns.map((ns, i) => ns - start.cstate_ns[i]) };
	for (const field of CPU_FIELDS) result[field] = end[field] - start[field];
	return result;
}

export class Metrics {
	private readonly hosts: readonly Kernel[];
	private readonly driver: Driver;
	private readonly detach: (() => void)[] = [];
	private readonly stages = new StageClock();
	private readonly wasted: Float64Array;
	private tasks_scheduled = 0;
	private tasks_coalesced = 0;
	private tasks_run = 0;
	private tasks_useful = 0;
	private packets = 0;
	private wakeups = 0;
	private delivered = 0;
	private start: Reading;

	/** Starts to count in these kernels, or the one that runs now. CPUs of all machines are numbered through. */
	constructor(driver: Driver, hosts: readonly Kernel[] = [curkernel]) {
		this.hosts = hosts;
		this.wasted = new Float64Array(hosts.reduce((sum, { machine }) => sum + machine.cpus.length, 0));
		this.driver = driver;
		this.listen();
		this.start = this.reading();
	}

	private listen(): void {
		const { driver, detach } = this;
		detach.push(
			gtask_enqueue.listen((gt) => {
				if (isCryptoTask(driver, gt)) this.tasks_scheduled++;
			}),
			gtask_coalesced.listen((gt) => {
				if (isCryptoTask(driver, gt)) this.tasks_coalesced++;
			}),
			driver.wg_task_run.listen((_kind, packets) => {
				this.tasks_run++;
				this.packets += packets;
				if (packets === 0) return;
				this.tasks_useful++;
			}),
			watchStints(driver, (_td, cpu, end, used) => {
				if (end === "nothing") this.wasted[this.firstCpu(curkernel) + cpu] += used;
			}),
			sched_wakeup.listen(() => {
				this.wakeups++;
			}),
			driver.wg_stage.listen((stage, packet_id) => {
				this.stages.stamp(stage, packet_id, sbinuptime());
				if (stage === "delivered") this.delivered++;
			}),
		);
	}

	/** The number here of a machine's CPU 0. */
	private firstCpu(kernel: Kernel): number {
		let first = 0;
		for (const host of this.hosts) {
			if (host === kernel) break;
			first += host.machine.cpus.length;
		}
		return first;
	}

	/** What the books of all machines say. */
	private books(): Pick<Reading, "ipis" | "per_cpu" | "locks"> {
		const locks = new Map<string, LockUse>();
		const per_cpu: CpuTime[] = [];
		let ipis = 0;
		inEach(this.hosts, ({ machine }) => {
			ipis += machine.ipis;
			for (const { id } of machine.cpus) {
				const cpu = per_cpu.length;
				per_cpu.push({ ...readCpu(id, machine.profile, this.wasted[cpu]), cpu });
			}
			for (const { name, acquisitions, contested, spin_ns, block_ns } of lock_profiles()) {
				const sum = locks.get(name) ?? { name, acquisitions: 0, contested: 0, spin_ns: 0, block_ns: 0 };
				sum.acquisitions += acquisitions;
				sum.contested += contested;
				sum.spin_ns += spin_ns;
				sum.block_ns += block_ns;
				locks.set(name, sum);
			}
		});
		return { ipis, per_cpu, locks };
	}

	private reading(): Reading {
		return {
			tasks_scheduled: this.tasks_scheduled,
			tasks_coalesced: this.tasks_coalesced,
			tasks_run: this.tasks_run,
			tasks_useful: this.tasks_useful,
			packets: this.packets,
			wakeups: this.wakeups,
			delivered: this.delivered,
			...this.books(),
		};
	}

	/** The measured interval begins now. */
	mark(): void {
		this.start = this.reading();
		this.stages.reset();
	}

	/** What happened since the mark. */
	read(): Measured {
		const { start } = this;
		const end = this.reading();
		const none: LockUse = { name: "", acquisitions: 0, contested: 0, spin_ns: 0, block_ns: 0 };
		const locks = [...end.locks.values()].map((lock) => {
			const before = start.locks.get(lock.name) ?? none;
			return {
				name: lock.name,
				acquisitions: lock.acquisitions - before.acquisitions,
				contested: lock.contested - before.contested,
				spin_ns: lock.spin_ns - before.spin_ns,
				block_ns: lock.block_ns - before.block_ns,
			};
		});
		return {
			tasks_scheduled: end.tasks_scheduled - start.tasks_scheduled,
			tasks_coalesced: end.tasks_coalesced - start.tasks_coalesced,
			tasks_run: end.tasks_run - start.tasks_run,
			tasks_useful: end.tasks_useful - start.tasks_useful,
			packets: end.packets - start.packets,
			wakeups: end.wakeups - start.wakeups,
			ipis: end.ipis - start.ipis,
			delivered: end.delivered - start.delivered,
			per_cpu: end.per_cpu.map((cpu, id) => sinceCpu(cpu, start.per_cpu[id])),
			locks: locks
				.filter((lock) => lock.acquisitions > 0)
				.sort((a, b) => waited(b) - waited(a) || b.contested - a.contested || (a.name < b.name ? -1 : 1)),
			latency: this.stages.read(),
		};
	}

	/** Stops listening. */
	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}
}

function waited(lock: LockUse): number {
	return lock.spin_ns + lock.block_ns;
}
