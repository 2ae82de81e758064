/** What people read: a comparison, and a single run, as text. */

import { type Cell, type Comparison, difference, findCell, gain, mean } from "../compare.ts";
import { formatCosts } from "../costs.ts";
import { ENERGY_FORMULA } from "../energy.ts";
import type { CpuTime, LockUse } from "../metrics.ts";
import { DEFAULT_GENERATION, type RunOptions } from "../options.ts";
import type { RunResult } from "../result.ts";
import { formatDuration, gigabits, grouped, percent, readableTime } from "../units.ts";
import { BAR_LEGEND, cpuBars } from "./bars.ts";
import type { Colors } from "./colors.ts";
import { indent, table } from "./table.ts";

/** Symbols of ministat(1), set by set. */
const SYMBOLS = "x+*%#@O";
/** More columns than this do not fit a terminal; the table is then repeated, cipher by cipher. */
const COLUMNS_MAX = 4;
const LOCKS_SHOWN = 4;

/** What is being simulated, in one or two lines. */
export function describeScenario(options: RunOptions): string[] {
	const streams = options.streams === 1 ? "one" : String(options.streams);
	const protocol = options.udp ? "UDP" : "TCP";
	const direction = options.reverse ? ", server to client" : "";
	const driver = options.generation === DEFAULT_GENERATION ? "wg" : `wg of generation ${options.generation}`;
	const cpus = options.cpus === 1 ? "1 CPU" : `${options.cpus} CPUs`;
	const machine = `${options.machine}, ${cpus}, FreeBSD ${options.release}`;
	return [
		options.hosts === 1
			? `Two vnet jails on one machine (${machine}) joined by epair (${options.epair}), ${driver} on each side;`
			: `Two machines (each ${machine}) joined by 10 Gb/s Ethernet (ix), ${driver} on each; figures are of both together;`,
		`${streams} iperf3 ${protocol} stream${options.streams === 1 ? "" : "s"}${direction}, MTU ${options.mtu}, ` +
			`${formatDuration(options.duration_ns)} measured after ${formatDuration(options.warmup_ns)} of warm-up` +
			`${options.cost_only ? ", ciphers charged but not computed" : ""}` +
			`${Object.keys(options.costs).length > 0 ? `; costs changed: ${formatCosts(options.costs)}` : ""}` +
			`${options.lead_ns === null ? "" : `; lead ${formatDuration(options.lead_ns)}`}.`,
	];
}

/** Averages each CPU's times over runs. */
export function averageCpus(runs: readonly RunResult[]): CpuTime[] {
	return runs[0].per_cpu.map((first, id) => {
		const result: CpuTime = { ...first, cstate_ns: [] };
		for (const field of Object.keys(first) as (keyof CpuTime)[]) {
			if (field !== "cstate_ns" && field !== "cpu") result[field] = mean(runs.map((run) => run.per_cpu[id][field]));
		}
		return result;
	});
}

export interface Line {
	readonly label: string;
	readonly of: (runs: readonly RunResult[]) => string;
}

const average = (pick: (run: RunResult) => number, show: (value: number) => string): Line["of"] => {
	return (runs) => show(mean(runs.map(pick)));
};

const total = (run: RunResult): number =>
	run.cpu_busy_ns + run.cpu_wake_ns + run.cpu_poll_ns + run.cpu_idle_ns || Number.NaN;

const share = (pick: (run: RunResult) => number): Line["of"] => average((run) => pick(run) / total(run), percent);

const perSegment = (pick: (run: RunResult) => number): Line["of"] => {
	return average(
		(run) => (run.segments === 0 ? 0 : pick(run) / run.segments),
		(value) => value.toFixed(2),
	);
};

export const counts: readonly Line[] = [
	{ label: "tasks scheduled", of: average((run) => run.tasks_scheduled, grouped) },
	{ label: "share that found work", of: average((run) => run.useful_task_share, percent) },
	{
		label: "packets per useful run",
		of: average(
			(run) => run.packets_per_useful_run,
			(value) => value.toFixed(2),
		),
	},
];

export const price: readonly Line[] = [
	{ label: "packets through a tunnel", of: average((run) => run.segments, grouped) },
	{ label: "threads woken", of: average((run) => run.wakeups, grouped) },
	{ label: "  per packet", of: perSegment((run) => run.wakeups) },
	{ label: "IPIs", of: average((run) => run.ipis, grouped) },
	{ label: "  per packet", of: perSegment((run) => run.ipis) },
	{ label: "context switches", of: average((run) => run.context_switches, grouped) },
	{ label: "  per packet", of: perSegment((run) => run.context_switches) },
	{ label: "CPUs woken from halt", of: average((run) => run.cpu_wakeups, grouped) },
	{ label: "CPU time useful", of: share((run) => run.cpu_busy_ns - run.cpu_wasted_ns) },
	{ label: "  wasted: woken for nothing", of: share((run) => run.cpu_wasted_ns) },
	{ label: "  waking up or polling", of: share((run) => run.cpu_wake_ns + run.cpu_poll_ns) },
	{ label: "  idle", of: share((run) => run.cpu_idle_ns) },
	{ label: "  of it spinning on locks", of: share((run) => run.cpu_spin_ns) },
	{ label: "  of it switching threads", of: share((run) => run.cpu_switch_ns) },
	{
		label: "energy proxy, mJ",
		of: average(
			(run) => run.energy_proxy_j * 1e3,
			(value) => value.toFixed(1),
		),
	},
	{
		label: "  nJ per bit carried",
		of: average(
			(run) => (run.energy_proxy_j * 1e18) / (run.throughput_bps * run.duration_ns || Number.NaN),
			(value) => (Number.isNaN(value) ? "-" : value.toFixed(2)),
		),
	},
];

/** Cells in groups that fit the width: all together, or one group for each cipher. */
function groupsOf(cells: readonly Cell[]): Cell[][] {
	if (cells.length <= COLUMNS_MAX) return [[...cells]];
	const groups = new Map<string, Cell[]>();
	for (const cell of cells) groups.set(cell.crypto, [...(groups.get(cell.crypto) ?? []), cell]);
	return [...groups.values()];
}

export function label(cell: Cell): string {
	return `${cell.policy}, ${cell.crypto}`;
}

function lines(groups: readonly Cell[][], rows: readonly Line[], colors: Colors): string[] {
	return groups.flatMap((group, i) => {
		const text = table([
			["", ...group.map(label)],
			...rows.map((row) => [row.label, ...group.map((cell) => row.of(cell.runs))]),
		]);
		return indent([...(i > 0 ? [""] : []), colors.dim(text[0]), ...text.slice(1)]);
	});
}

function ministat({ options, cells }: Comparison, colors: Colors): string[] {
	const rows = cells.map((cell, i) => {
		const { n, min, max, median, avg, stddev } = cell.throughput;
		const figures = [min, max, median, avg, stddev].map(gigabits);
		return [`${SYMBOLS[i % SYMBOLS.length]} ${label(cell)}`, String(n), ...figures];
	});
	const text = table([["", "N", "Min", "Max", "Median", "Avg", "Stddev"], ...rows]);
	const out = [colors.dim(text[0]), ...text.slice(1)];
	const against = (of: Cell, base: Cell): void => {
		const d = difference(of, base);
		const what = `${label(of)} against ${label(base)}`;
		if (Number.isNaN(d.pooled_stddev)) out.push(`${what}: one run each proves nothing`);
		else if (!d.proven) out.push(`${what}: no difference proven at 95.0% confidence`);
		else {
			out.push(
				`${what}: ${d.difference >= 0 ? "+" : ""}${gigabits(d.difference)} +/- ${gigabits(d.error)} Gb/s ` +
					`(${d.percent.toFixed(1)}% +/- ${d.percent_error.toFixed(1)}%) at 95.0% confidence`,
			);
		}
	};
	for (const crypto of options.cryptos) {
		const base = findCell(cells, options.policies[0], crypto)!;
		for (const policy of options.policies.slice(1)) against(findCell(cells, policy, crypto)!, base);
	}
	return indent(out);
}

function gains({ options, summary }: Comparison): string[] {
	const ratios = summary.throughput_ratios.map(
		({ policy, crypto, ratio }) =>
			`ratio ${policy} : ${options.policies[0]} with ${crypto} crypto: ${ratio.toFixed(2)}`,
	);
	const policies = summary.policy_gains.map(
		({ policy, crypto, gain: value }) => `gain of ${policy} with ${crypto} crypto: ${gain(value)}`,
	);
	const cryptos = summary.crypto_gains.map(
		({ crypto, policy, gain: value }) => `gain of ${crypto} crypto with ${policy}: ${gain(value)}`,
	);
	return indent([...ratios, ...policies, ...cryptos]);
}

/** Locks of several runs, added up by name. */
export function sumLocks(runs: readonly RunResult[]): LockUse[] {
	const sums = new Map<string, LockUse>();
	for (const lock of runs.flatMap((run) => run.locks)) {
		const sum = sums.get(lock.name) ?? { name: lock.name, acquisitions: 0, contested: 0, spin_ns: 0, block_ns: 0 };
		sum.acquisitions += lock.acquisitions / runs.length;
		sum.contested += lock.contested / runs.length;
		sum.spin_ns += lock.spin_ns / runs.length;
		sum.block_ns += lock.block_ns / runs.length;
		sums.set(lock.name, sum);
	}
	return [...sums.values()].sort(
		(a, b) => b.spin_ns + b.block_ns - a.spin_ns - a.block_ns || (a.name < b.name ? -1 : 1),
	);
}

function lockRows(runs: readonly RunResult[]): string[][] {
	return sumLocks(runs)
		.filter((lock) => lock.contested > 0)
		.slice(0, LOCKS_SHOWN)
		.map((lock) => [
			lock.name,
			grouped(lock.acquisitions),
			percent(lock.contested / lock.acquisitions),
			readableTime(lock.spin_ns),
			readableTime(lock.block_ns),
		]);
}

function locks(cells: readonly Cell[], colors: Colors): string[] {
	const rows = cells.flatMap((cell) => lockRows(cell.runs).map((row, i) => [i === 0 ? label(cell) : "", ...row]));
	if (rows.length === 0) return ["  nobody waited for a lock"];
	const text = table([["", "lock", "acquired", "contested", "spinning", "blocked"], ...rows], [0, 1]);
	return indent([colors.dim(text[0]), ...text.slice(1)]);
}

function latency(groups: readonly Cell[][], colors: Colors): string[] {
	return groups.flatMap((group, g) => {
		const stages = group[0].runs[0].latency.map((row) => row.stage);
		const rows = stages.map((stage, i) => [
			stage,
			...group.map((cell) => {
				const median = mean(cell.runs.map((run) => run.latency[i].distribution.p50_ns));
				const tail = mean(cell.runs.map((run) => run.latency[i].distribution.p99_ns));
				return `${(median / 1000).toFixed(1)} / ${(tail / 1000).toFixed(1)}`;
			}),
		]);
		const text = table([["", ...group.map(label)], ...rows]);
		return indent([...(g > 0 ? [""] : []), colors.dim(text[0]), ...text.slice(1)]);
	});
}

function drops(cells: readonly Cell[]): string[] {
	return indent(
		cells.map((cell) => {
			const sums = new Map<string, number>();
			for (const run of cell.runs) {
				for (const [why, count] of Object.entries(run.drops)) sums.set(why, (sums.get(why) ?? 0) + count);
			}
			const what = [...sums].map(([why, count]) => `${why} ${grouped(count / cell.runs.length)}`).join(", ");
			return `${label(cell)}: ${what === "" ? "none" : what}`;
		}),
	);
}

function validation({ summary }: Comparison, colors: Colors): string[] {
	const rows = summary.validation.map((row) => [
		row.what,
		row.published,
		row.ours,
		row.expected,
		row.holds === null ? "-" : row.holds ? "yes" : "NO",
		row.source,
	]);
	const text = table([["", "published", "ours", "expected", "holds", "source"], ...rows], [0, 5]);
	return indent([
		colors.dim(text[0]),
		...text.slice(1).map((line, i) => (rows[i][4] === "NO" ? colors.red(line) : line)),
	]);
}

/** Everything `ifwg compare` prints. */
export function renderComparison(comparison: Comparison, colors: Colors): string {
	const { options, cells } = comparison;
	const groups = groupsOf(cells);
	const seeds = options.seeds.length === 1 ? "1 seed" : `${options.seeds.length} seeds, averages of them below`;
	const out: string[] = [...describeScenario(options.base), `The same packets under each policy; ${seeds}.`];
	const section = (title: string, body: readonly string[]): void => {
		if (body.length > 0) out.push("", colors.bold(title), ...body);
	};
	section("What Baldwin counted: encrypt and decrypt tasks", lines(groups, counts, colors));
	section("Throughput, Gb/s", ministat(comparison, colors));
	section("Gains", gains(comparison));
	section("The price", [...lines(groups, price, colors), `  energy proxy = ${ENERGY_FORMULA}`]);
	section("Locks most waited for", locks(cells, colors));
	for (const cell of groups[0]) section(`CPUs, ${label(cell)}`, indent(cpuBars(averageCpus(cell.runs))));
	out.push(`  ${BAR_LEGEND}`);
	section("Latency by stage, us, median / 99th percentile", latency(groups, colors));
	section("Drops", drops(cells));
	if (comparison.summary.validation.length > 0) {
		section("Published figures beside ours (ours: a model, not a measurement)", validation(comparison, colors));
	}
	const runs = [...cells.flatMap((cell) => cell.runs), ...comparison.others.pair, ...comparison.others.atom];
	section(
		"Fingerprints, and the line that repeats each run",
		indent(runs.map((run) => `${run.fingerprint}  ${run.command}`)),
	);
	return out.join("\n");
}

/** Everything `ifwg run` prints. */
export function renderRun(options: RunOptions, result: RunResult, colors: Colors): string {
	const runs = [result];
	const out: string[] = describeScenario(options);
	const section = (title: string, body: readonly string[]): void => {
		out.push("", colors.bold(title), ...indent(body));
	};
	const rows = (list: readonly Line[]): string[] => table(list.map((row) => [row.label, row.of(runs)]));
	section(`Policy ${result.policy}, ${result.crypto} crypto: ${gigabits(result.throughput_bps)} Gb/s`, []);
	section("Encrypt and decrypt tasks", rows(counts));
	section("The price", rows(price));
	const contested = lockRows(runs);
	section(
		"Locks most waited for",
		contested.length === 0
			? ["nobody waited for a lock"]
			: table([["lock", "acquired", "contested", "spinning", "blocked"], ...contested]),
	);
	section("CPUs", [...cpuBars(result.per_cpu), BAR_LEGEND]);
	section(
		"Latency by stage, us",
		table([
			["", "n", "mean", "median", "99th", "max"],
			...result.latency.map(({ stage, distribution: d }) => [
				stage,
				String(d.n),
				...[d.mean_ns, d.p50_ns, d.p99_ns, d.max_ns].map((ns) => (ns / 1000).toFixed(1)),
			]),
		]),
	);
	section("C-states", table(result.cstates.map(({ name, ns }) => [name, percent(ns / total(result))])));
	const reasons = Object.entries(result.drops);
	section("Drops", reasons.length === 0 ? ["none"] : table(reasons.map(([why, count]) => [why, grouped(count)])));
	out.push("", `${grouped(result.events)} events, fingerprint ${result.fingerprint}`, `repeat with: ${result.command}`);
	return out.join("\n");
}
