/**
 * MADE-UP data for the report's figures: no figure in here comes from a run. They are of a plausible size, never change with
 * the model, and hold one of everything a figure may have to draw.
 */
import type { CpuTime } from "../../../sim/metrics.ts";
import { commandLine, parseRunOptions, type RunOptions } from "../../../sim/options.ts";
import { planReport, type ReportData, reportJobs, summariseReport } from "../../../sim/report/plan.ts";
import type { Sensitivity } from "../../../sim/report/sensitivity.ts";
import type { RunResult } from "../../../sim/result.ts";
import type { Activity, Segment, Stretch } from "../../../sim/stretch.ts";
import { LEAD_NS } from "../../../src/machine/lead.ts";
import { findProfile } from "../../../src/machine/profile.ts";

/** How far each seed is from the others; the fifth is the odd one out. */
const SEED_SPREAD = [0, 0.02, -0.03, 0.01, -0.35];

const LATENCY: readonly (readonly [stage: string, all_cpus: number, other: number])[] = [
	["wait for an encrypt task", 1_400, 2_100],
	["encrypt", 8_000, 8_000],
	["wait for the send task", 1_300, 9_000],
	["UDP, IP, the way across", 1_600_000, 900_000],
	["wait for a decrypt task", 1_400, 1_500],
	["decrypt", 7_800, 7_800],
	["wait for the receive task", 1_500, 12_000],
	["tunnel, end to end", 1_650_000, 950_000],
];

function madeCpu(cpu: number, ns: number, all: boolean, halted: number): CpuTime {
	const busy_ns = Math.round(ns * (all ? 0.6 : 0.75));
	const wake_ns = Math.round(ns * halted * 0.2);
	const idle_ns = Math.round(ns * halted);
	return {
		cpu,
		busy_ns,
		wasted_ns: Math.round(ns * (all ? 0.12 : 0.01)),
		spin_ns: Math.round(ns * 0.02),
		switch_ns: Math.round(ns * (all ? 0.15 : 0.05)),
		interrupt_ns: Math.round(ns * 0.01),
		wake_ns,
		poll_ns: ns - busy_ns - wake_ns - idle_ns,
		idle_ns,
		cstate_ns: [idle_ns],
		halt_exits: Math.round(halted * 1000),
		context_switches: all ? 5000 : 1500,
		ipis_received: all ? 300 : 80,
	};
}

/** What a run of these options gives, in a world that is not the model's. */
export function madeUpResult(options: RunOptions): RunResult {
	const { policy, crypto, cpus, machine, seed, duration_ns } = options;
	const all = policy === "all-cpus";
	const spread = 1 + SEED_SPREAD[(seed - 1) % SEED_SPREAD.length] * (all ? 1 : 0.2);
	const growth = all ? 8 / Math.max(8, cpus) : Math.log2(cpus) / 3;
	const slow = Math.min(1, cpus / 8);
	const bps = 1e9 * (all ? 1.2 : 2.3) * growth * slow * spread * (crypto === "ossl" ? 1.15 : 1);
	const share = all ? Math.min(1, 1.04 / cpus) : 0.95 - 0.1 * Math.log2(cpus);
	const segments = Math.round((bps * duration_ns) / 1e9 / 8 / 1368);
	const tasks_useful = Math.round(segments * 1.6);
	const tasks_scheduled = Math.round(tasks_useful / share);
	const halted = machine === "vm" ? 0.15 : 0.05;
	const per_cpu = Array.from({ length: cpus }, (_, cpu) => madeCpu(cpu, duration_ns, all, halted));
	const sum = (pick: (cpu: CpuTime) => number): number => per_cpu.reduce((total, cpu) => total + pick(cpu), 0);
	const states = findProfile(machine)!.cstates;
	return {
		policy,
		crypto,
		cpus,
		machine,
		hosts: 1,
		release: options.release,
		generation: options.generation,
		costs: options.costs,
		lead_ns: options.lead_ns ?? LEAD_NS,
		epair: options.epair,
		seed,
		protocol: options.udp ? "udp" : "tcp",
		streams: options.streams,
		reverse: options.reverse,
		mtu: options.mtu,
		duration_ns,
		warmup_ns: options.warmup_ns,
		cost_only: options.cost_only,
		tasks_scheduled,
		tasks_useful,
		useful_task_share: tasks_scheduled === 0 ? 0 : tasks_useful / tasks_scheduled,
		tasks_run: tasks_scheduled,
		tasks_coalesced: 3,
		packets_per_useful_run: 1.2,
		throughput_bps: Math.round(bps),
		segments,
		wakeups: Math.round(segments * (all ? 1.1 * cpus : 1.4)),
		cpu_wakeups: sum((cpu) => cpu.halt_exits),
		ipis: sum((cpu) => cpu.ipis_received),
		context_switches: sum((cpu) => cpu.context_switches),
		cpu_busy_ns: sum((cpu) => cpu.busy_ns),
		cpu_wasted_ns: sum((cpu) => cpu.wasted_ns),
		cpu_spin_ns: sum((cpu) => cpu.spin_ns),
		cpu_switch_ns: sum((cpu) => cpu.switch_ns),
		cpu_interrupt_ns: sum((cpu) => cpu.interrupt_ns),
		cpu_wake_ns: sum((cpu) => cpu.wake_ns),
		cpu_poll_ns: sum((cpu) => cpu.poll_ns),
		cpu_idle_ns: sum((cpu) => cpu.idle_ns),
		cstates: states.map(({ name }, i) => {
			const share = states.length === 1 ? 1 : [0.6, 0.3, 0.1][i];
			return { name, ns: Math.round(sum((cpu) => cpu.idle_ns) * share) };
		}),
		per_cpu,
		energy_proxy_j: (cpus * duration_ns * 5) / 1e9,
		locks: [
			{ name: "tcpinp", acquisitions: 5000, contested: 700, spin_ns: duration_ns * 0.15, block_ns: duration_ns * 0.01 },
			{
				name: "so_rcv",
				acquisitions: 14_000,
				contested: 400,
				spin_ns: duration_ns * (all ? 0.003 : 0.01),
				block_ns: 0,
			},
			{ name: "txq", acquisitions: 9000, contested: all ? 0 : 4, spin_ns: 0, block_ns: all ? 0 : 600 },
			{ name: "stageq", acquisitions: 6000, contested: 0, spin_ns: 0, block_ns: 0 },
		],
		latency: LATENCY.map(([stage, old, now]) => {
			const p50_ns = all ? old : now;
			const p99_ns = Math.round(p50_ns * (p50_ns > 1e5 ? 1.3 : 8));
			return { stage, distribution: { n: 3000, mean_ns: p50_ns, p50_ns, p99_ns, max_ns: p99_ns * 2 } };
		}),
		drops: {},
		events: 700_000,
		fingerprint: `made-up-${policy.length}${crypto.length}-${cpus}-${seed}`,
		command: commandLine(options),
	};
}

/** Segments without gaps: stretches of work whose order and lengths come from a small generator of their own. */
function madeUpCpu(cpu: number, length: number, all: boolean): Segment[] {
	let state = 1 + cpu * 7919 + (all ? 104_729 : 0);
	const next = (below: number): number => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
		return (state >>> 8) % below;
	};
	const segments: Segment[] = [];
	let from = 0;
	const add = (what: Activity, ns: number): void => {
		const to = Math.min(length, from + ns);
		if (to > from) segments.push({ from, to, what });
		from = to;
	};
	while (from < length) {
		const dice = next(10);
		if (dice < (all ? 6 : 1)) add("nothing", 900 + next(600));
		else if (dice < 8) add("crypto", 5_000 + next(4_000));
		else if (dice < 9) add("deliver", 1_500 + next(2_000));
		else add("other", 2_000 + next(5_000));
		add("poll", 500 + next(3_000));
		if (cpu === 2 && dice === 9) {
			add("halt", 12_000);
			add("wake", 2_000);
		}
	}
	return segments;
}

export function madeUpStretch(policy: string, cpus = 8, length_ns = 200_000): Stretch {
	const all = policy === "all-cpus";
	return {
		policy,
		start_ns: 10_000_000,
		length_ns,
		tasks_scheduled: all ? 400 : 110,
		tasks_useful: all ? 52 : 72,
		cpus: Array.from({ length: cpus }, (_, cpu) => madeUpCpu(cpu, length_ns, all)),
	};
}

export const madeUpSensitivity: Sensitivity = {
	machine: "xeon-d",
	cpus: 8,
	points: 500,
	rows: [
		{ name: "ipi_send", low: 1.9, high: 2.2, base: 2.05 },
		{ name: "context_switch", low: 1.62, high: 2.61, base: 2.05 },
		{ name: "line_transfer", low: 1.71, high: 2.4, base: 2.05 },
		{ name: "taskqueue_loop", low: 2.06, high: 2.03, base: 2.05 },
		{ name: "chapoly_own", low: 2.3, high: 2.12, base: 2.05 },
	],
	conclusions: [
		{ text: "round-robin wins, own ciphers", share: 0.994, low: 0.982, high: 0.998 },
		{ text: "it gains more than ossl does", share: 0.962, low: 0.941, high: 0.976 },
		{ text: "more than twice the throughput", share: 0.41, low: 0.368, high: 0.454 },
	],
};

export interface FixtureOptions {
	readonly policies?: readonly string[];
	readonly cpus?: string;
	readonly scan?: boolean;
	readonly seeds?: readonly number[];
	readonly sensitivity?: Sensitivity | null;
}

/** A whole report's data. */
export function madeUpReport(options: FixtureOptions = {}): ReportData {
	const policies = options.policies ?? ["all-cpus", "round-robin"];
	const base = parseRunOptions({ policy: policies[0], crypto: "own", ...(options.cpus ? { cpus: options.cpus } : {}) });
	const seeds = options.seeds ?? [1, 2, 3, 4, 5];
	const plan = planReport({ base, policies, cryptos: ["own", "ossl"], seeds, others: true }, options.scan ?? true);
	const timed = reportJobs(plan).map((job) => ({ result: madeUpResult(job), host_seconds: 0 }));
	const stretches = plan.stretches.map((job) => madeUpStretch(job.policy, job.cpus));
	return summariseReport(
		plan,
		timed,
		stretches,
		options.sensitivity === undefined ? madeUpSensitivity : options.sensitivity,
	);
}
