import { describe, expect, test } from "vitest";
import { type CompareOptions, planComparison, summariseComparison } from "../../sim/compare.ts";
import { energyProxy } from "../../sim/energy.ts";
import type { CpuTime } from "../../sim/metrics.ts";
import { parseRunOptions } from "../../sim/options.ts";
import { cpuBar } from "../../sim/report/bars.ts";
import { noColors } from "../../sim/report/colors.ts";
import { markdownTable, table } from "../../sim/report/table.ts";
import { renderComparison } from "../../sim/report/text.ts";
import type { RunResult, Timed } from "../../sim/result.ts";
import { planScan, scanMarkdown, summariseScan } from "../../sim/scan.ts";
import { findProfile } from "../../src/machine/profile.ts";

function cpuTime(cpu: number, part: Partial<CpuTime> = {}): CpuTime {
	return {
		cpu,
		busy_ns: 0,
		wasted_ns: 0,
		spin_ns: 0,
		switch_ns: 0,
		interrupt_ns: 0,
		wake_ns: 0,
		poll_ns: 0,
		idle_ns: 0,
		cstate_ns: [0, 0, 0],
		halt_exits: 0,
		context_switches: 0,
		ipis_received: 0,
		...part,
	};
}

/** A made-up result in which only what a test looks at matters. */
function made(part: Partial<RunResult>): RunResult {
	return {
		policy: "all-cpus",
		crypto: "own",
		cpus: 2,
		machine: "xeon-d",
		hosts: 1,
		release: "13.0",
		generation: "2022-09",
		epair: "netisr",
		seed: 1,
		protocol: "tcp",
		streams: 1,
		reverse: false,
		mtu: 1420,
		duration_ns: 1_000_000,
		warmup_ns: 0,
		cost_only: false,
		costs: {},
		lead_ns: 42,
		tasks_scheduled: 1000,
		tasks_useful: 130,
		useful_task_share: 0.13,
		tasks_run: 1000,
		tasks_coalesced: 2,
		packets_per_useful_run: 1.02,
		throughput_bps: 1.5e9,
		segments: 125,
		wakeups: 1500,
		cpu_wakeups: 300,
		ipis: 700,
		context_switches: 2500,
		cpu_busy_ns: 1_500_000,
		cpu_wasted_ns: 400_000,
		cpu_spin_ns: 100_000,
		cpu_switch_ns: 50_000,
		cpu_interrupt_ns: 30_000,
		cpu_wake_ns: 100_000,
		cpu_poll_ns: 100_000,
		cpu_idle_ns: 300_000,
		cstates: [{ name: "C1", ns: 300_000 }],
		per_cpu: [
			cpuTime(0, { busy_ns: 900_000, wasted_ns: 100_000, idle_ns: 100_000 }),
			cpuTime(1, {
				busy_ns: 600_000,
				wasted_ns: 300_000,
				spin_ns: 100_000,
				wake_ns: 100_000,
				poll_ns: 100_000,
				idle_ns: 200_000,
			}),
		],
		energy_proxy_j: 0.01,
		locks: [{ name: "udpinp", acquisitions: 400, contested: 40, spin_ns: 9_000, block_ns: 1_500_000 }],
		latency: [{ stage: "encrypt", distribution: { n: 5, mean_ns: 5000, p50_ns: 4900, p99_ns: 6000, max_ns: 6100 } }],
		drops: {},
		events: 12_345,
		fingerprint: "0123456789abcdef",
		command: "npx ifwg run --policy all-cpus --crypto own --seed 0x1",
		...part,
	};
}

const options: CompareOptions = {
	base: parseRunOptions({ cpus: "8" }),
	policies: ["all-cpus", "round-robin"],
	cryptos: ["own", "ossl"],
	seeds: [1, 2],
	others: false,
};

/** Two policies, two ciphers, two seeds, by the orders the plan asks for. */
function results(of: CompareOptions = options): Timed[] {
	return planComparison(of).map(({ policy, crypto, seed }) => {
		const fast = policy === "round-robin";
		const result = made({
			policy,
			crypto,
			seed,
			throughput_bps: (fast ? 3.2e9 : 1.5e9) * (crypto === "ossl" ? 1.1 : 1) + seed * 1e6,
			tasks_scheduled: fast ? 200 : 1000,
			useful_task_share: fast ? 0.65 : 0.13,
			drops: fast ? {} : { "wg queue full": 3 },
		});
		return { result, host_seconds: 0.5 };
	});
}

test("the plan goes cipher by cipher, policy by policy, seed by seed, with other machines last", () => {
	const plan = planComparison({ ...options, others: true });
	const two = (hosts: number): string => (hosts === 1 ? "" : `${hosts} x `);
	expect(
		plan.map((job) => `${job.crypto} ${job.policy} ${job.seed} ${two(job.hosts)}${job.machine} ${job.cpus}`),
	).toEqual([
		"own all-cpus 1 xeon-d 8",
		"own all-cpus 2 xeon-d 8",
		"own round-robin 1 xeon-d 8",
		"own round-robin 2 xeon-d 8",
		"ossl all-cpus 1 xeon-d 8",
		"ossl all-cpus 2 xeon-d 8",
		"ossl round-robin 1 xeon-d 8",
		"ossl round-robin 2 xeon-d 8",
		"ossl all-cpus 1 2 x xeon-d 8",
		"ossl all-cpus 2 2 x xeon-d 8",
		"ossl all-cpus 1 atom-c2758 4",
		"ossl all-cpus 1 atom-c2758 8",
	]);
});

test("the summary has both policies' gains and both ciphers' gains, and says which published figures hold", () => {
	const { summary } = summariseComparison(options, results());
	expect(summary.throughput_ratio).toBeCloseTo(2.1325, 3);
	expect(summary.policy_gains.map((g) => `${g.policy} ${g.crypto} ${g.gain.toFixed(2)}`)).toEqual([
		"round-robin own 1.13",
		"round-robin ossl 1.13",
	]);
	expect(summary.crypto_gains.map((g) => `${g.crypto} ${g.policy} ${g.gain.toFixed(2)}`)).toEqual([
		"ossl all-cpus 0.10",
		"ossl round-robin 0.10",
	]);
	expect(summary.validation.map((row) => `${row.name}: ${row.ours} ${row.holds}`)).toEqual([
		"share_all_cpus: 13.0 % true",
		"share_round_robin: 65.0 % true",
		"throughput_ratio: 2.13 true",
		"policy_beats_ossl: +113 % : +10 % true",
	]);
});

describe("the Xeon D's figure, measured between two machines with ciphers in assembly,", () => {
	const xeon = (compared: CompareOptions): string[] =>
		summariseComparison(compared, results(compared))
			.summary.validation.filter(({ name }) => name === "xeon_d_stream")
			.map(({ ours, holds }) => `${ours} ${holds}`);

	test("is held against runs of its own beside a comparison on one machine, and against nothing without them", () => {
		expect(xeon({ ...options, others: true })).toEqual(["1.652 Gb/s true"]);
		expect(xeon({ ...options, cryptos: ["own"], others: true })).toEqual(["1.652 Gb/s true"]);
		expect(xeon(options)).toEqual([]);
	});

	test("is held against a comparison between two machines itself, and there against ossl(4) only", () => {
		const base = { ...options.base, hosts: 2 };
		expect(xeon({ ...options, base })).toEqual(["1.652 Gb/s true"]);
		expect(xeon({ ...options, base, cryptos: ["own"] })).toEqual([]);
		expect(xeon({ ...options, base: { ...base, machine: "vm" } })).toEqual([]);
		expect(xeon({ ...options, base: { ...base, streams: 2 } })).toEqual([]);
	});
});

test("figures measured on 8 CPUs with one TCP stream are not held against anything else", () => {
	const other = { ...options, base: { ...options.base, streams: 4 } };
	expect(summariseComparison(other, results()).summary.validation).toEqual([]);
});

test("the text of a comparison", () => {
	expect(renderComparison(summariseComparison(options, results()), noColors)).toMatchSnapshot();
});

describe("bars", () => {
	test("are always full, in the order useful, spinning, wasted, waking, polling, halted", () => {
		const bar = cpuBar(
			cpuTime(0, { busy_ns: 600, wasted_ns: 200, spin_ns: 100, wake_ns: 100, poll_ns: 100, idle_ns: 200 }),
		);
		expect(bar).toBe(
			`${"#".repeat(15)}${"s".repeat(5)}${"x".repeat(10)}${"w".repeat(5)}${"~".repeat(5)}${".".repeat(10)}`,
		);
	});

	test("rounding never adds up to more than the bar", () => {
		const thirds = cpuTime(0, { busy_ns: 333, wasted_ns: 111, spin_ns: 111, wake_ns: 333, poll_ns: 334 });
		expect(cpuBar(thirds)).toHaveLength(50);
	});

	test("a CPU that did nothing is empty", () => {
		expect(cpuBar(cpuTime(0, { idle_ns: 5 }))).toBe(".".repeat(50));
		expect(cpuBar(cpuTime(0))).toBe(".".repeat(50));
	});
});

test("the energy proxy is the formula it prints", () => {
	const profile = findProfile("xeon-d")!;
	const [c1, c1e, c6] = profile.cstates.map((state) => state.power);
	const cpus = [
		cpuTime(0, { busy_ns: 1e9, wake_ns: 5e8, poll_ns: 5e8 }),
		cpuTime(1, { idle_ns: 3e9, cstate_ns: [1e9, 1e9, 1e9] }),
	];
	expect(energyProxy(cpus, profile)).toBeCloseTo(profile.active_w * (2 + c1 + c1e + c6), 12);
});

test("tables align numbers to the right and names to the left", () => {
	expect(
		table([
			["", "a"],
			["name", "10"],
			["n", "9"],
		]),
	).toEqual(["       a", "name  10", "n      9"]);
	expect(
		markdownTable([
			["", "a"],
			["n", "9"],
		]),
	).toEqual(["|  | a |", "| --- | --: |", "| n | 9 |"]);
});

describe("a scan", () => {
	const scan = { base: parseRunOptions({ crypto: "ossl" }), cpus: [2, 8], seeds: [3] };
	const timed = (): Timed[] =>
		planScan(scan).map(({ cpus, policy }) => ({
			result: made({
				cpus,
				policy,
				tasks_useful: cpus === 2 ? 900 : 140,
				throughput_bps: policy === "all-cpus" ? 1e9 : 2e9,
			}),
			host_seconds: 1,
		}));

	test("tells the two regimes apart by the share times the number of CPUs", () => {
		const rows = summariseScan(scan, timed());
		expect(rows.map((row) => [row.cpus, row.share_times_cpus, row.regime])).toEqual([
			[2, 1.8, "saturated"],
			[8, 1.12, "shallow"],
		]);
		expect(rows[1].throughput_ratio).toBe(2);
	});

	test("the file says how to make it again", () => {
		const text = scanMarkdown(scan, summariseScan(scan, timed()));
		expect(text).toContain("Made by `npx ifwg scan --crypto ossl --seed 3 --seeds 1 --write`.");
		expect(text).toContain("| 8 | 14.0 % | 1.12 | 1.000 | 14.0 % | 2.000 | 2.00 | shallow |");
	});
});
