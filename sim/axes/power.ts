/**
 * What a policy costs a virtual machine's host: the same rate of traffic under each, and how often threads are woken, the guest
 * is left, and CPUs are awake for it.
 */
import { findProfile } from "../../src/machine/profile.ts";
import { mean } from "../compare.ts";
import { parseRunOptions, type RunOptions } from "../options.ts";
import { table } from "../report/table.ts";
import { describeScenario } from "../report/text.ts";
import type { RunResult } from "../result.ts";
import { gigabits, grouped } from "../units.ts";

export const POWER_POLICIES = ["all-cpus", "round-robin", "linux-style"] as const;
export type PowerPolicy = (typeof POWER_POLICIES)[number];

/** Every policy can carry this much, so that all do the same work. */
const RATE = "300M";

export interface PowerRow {
	readonly policy: PowerPolicy;
	readonly throughput_bps: number;
	/** each per second of simulated time */
	readonly threads_woken: number;
	readonly cpus_woken: number;
	readonly ipis: number;
	/** halts and IPIs: each leaves the guest. The clock's exits are the same for all, and not counted. */
	readonly exits: number;
	/** energy proxy: of all, and what traffic adds to CPUs that would all be halted in their first state, watts */
	readonly power_w: number;
	readonly overhead_w: number;
}

export function planPower(seeds: readonly number[], duration?: string): RunOptions[] {
	const base = parseRunOptions({ machine: "vm", bandwidth: RATE, costOnly: true, duration });
	return POWER_POLICIES.flatMap((policy) => seeds.map((seed) => ({ ...base, policy, seed })));
}

export function summarisePower(results: readonly RunResult[]): PowerRow[] {
	return POWER_POLICIES.map((policy) => {
		const runs = results.filter((run) => run.policy === policy);
		const { machine, cpus, duration_ns } = runs[0];
		const { active_w, cstates } = findProfile(machine)!;
		const rate = (count: (run: RunResult) => number): number => (mean(runs.map(count)) * 1e9) / duration_ns;
		const power_w = rate((run) => run.energy_proxy_j);
		return {
			policy,
			throughput_bps: mean(runs.map((run) => run.throughput_bps)),
			threads_woken: rate((run) => run.wakeups),
			cpus_woken: rate((run) => run.cpu_wakeups),
			ipis: rate((run) => run.ipis),
			exits: rate((run) => run.cpu_wakeups + run.ipis),
			power_w,
			overhead_w: power_w - cpus * active_w * cstates[0].power,
		};
	});
}

export function renderPower(options: RunOptions, rows: readonly PowerRow[]): string[] {
	return [
		...describeScenario(options),
		"A virtual machine's power at the same rate of traffic, per second. An exit is a halt or an IPI; the clock's are left out.",
		"Watts are the energy proxy: of everything, and what the traffic adds to CPUs that are all halted.",
		...table(
			[
				["", "Gb/s", "threads woken", "CPUs woken", "IPIs", "exits", "watts", "for traffic"],
				...rows.map((row) => [
					row.policy,
					gigabits(row.throughput_bps),
					...[row.threads_woken, row.cpus_woken, row.ipis, row.exits].map(grouped),
					row.power_w.toFixed(2),
					row.overhead_w.toFixed(2),
				]),
			],
			[0],
		),
	];
}
