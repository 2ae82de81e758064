/**
 * `ifwg scan`: the same stream on machines of 2 to 64 CPUs under both policies.
 *
 * With a shallow queue one CPU of N finds the packet, so the all-cpus share is near 1/N. Where the ciphers cannot keep up the
 * queue fills, tasks stay enqueued and are skipped, and the share is far above that: the other regime.
 */
import { type Cell, mean, usefulShare } from "./compare.ts";
import { summarise } from "./ministat.ts";
import { commandLine, type RunOptions } from "./options.ts";
import { markdownTable, table } from "./report/table.ts";
import { describeScenario } from "./report/text.ts";
import type { RunResult, Timed } from "./result.ts";
import { gigabits, percent } from "./units.ts";

export const SCAN_CPUS = [2, 4, 8, 16, 32, 64];
const POLICIES = ["all-cpus", "round-robin"];
/** farther above 1/N than this, and the queue is not shallow any more */
export const SHALLOW_WITHIN = 1.5;

export interface ScanOptions {
	readonly base: RunOptions;
	readonly cpus: readonly number[];
	readonly seeds: readonly number[];
}

export interface ScanRow {
	readonly cpus: number;
	readonly all_cpus_share: number;
	readonly all_cpus_bps: number;
	readonly round_robin_share: number;
	readonly round_robin_bps: number;
	readonly throughput_ratio: number;
	/** the all-cpus share times N: 1 when exactly one CPU finds each packet */
	readonly share_times_cpus: number;
	readonly regime: "shallow" | "saturated";
}

export function planScan(options: ScanOptions): RunOptions[] {
	return options.cpus.flatMap((cpus) =>
		POLICIES.flatMap((policy) => options.seeds.map((seed) => ({ ...options.base, cpus, policy, seed }))),
	);
}

export function summariseScan(options: ScanOptions, timed: readonly Timed[]): ScanRow[] {
	const n = options.seeds.length;
	const cell = (at: number): Cell => {
		const runs: RunResult[] = timed.slice(at, at + n).map((one) => one.result);
		const { policy, crypto } = runs[0];
		return { policy, crypto, runs, throughput: summarise(runs.map((run) => run.throughput_bps)) };
	};
	return options.cpus.map((cpus, i) => {
		const old = cell(2 * i * n);
		const now = cell((2 * i + 1) * n);
		const all_cpus_share = usefulShare(old);
		const share_times_cpus = all_cpus_share * cpus;
		return {
			cpus,
			all_cpus_share,
			all_cpus_bps: mean(old.runs.map((run) => run.throughput_bps)),
			round_robin_share: usefulShare(now),
			round_robin_bps: mean(now.runs.map((run) => run.throughput_bps)),
			throughput_ratio: now.throughput.avg / old.throughput.avg,
			share_times_cpus,
			regime: share_times_cpus <= SHALLOW_WITHIN ? "shallow" : "saturated",
		};
	});
}

function cells(rows: readonly ScanRow[]): string[][] {
	return [
		["CPUs", "all-cpus share", "times N", "Gb/s", "round-robin share", "Gb/s", "ratio", "queue"],
		...rows.map((row) => [
			String(row.cpus),
			percent(row.all_cpus_share),
			row.share_times_cpus.toFixed(2),
			gigabits(row.all_cpus_bps),
			percent(row.round_robin_share),
			gigabits(row.round_robin_bps),
			row.throughput_ratio.toFixed(2),
			row.regime,
		]),
	];
}

const EXPLANATION = [
	"`times N` is the all-cpus share times the number of CPUs: 1 when of N tasks woken one finds the packet. Up to",
	`${SHALLOW_WITHIN} the queue is called shallow. Above, packets wait in it (few CPUs or slow ciphers): tasks are still`,
	"enqueued when the next packet comes, all-cpus skips them, and its loss is small.",
];

export function renderScan(rows: readonly ScanRow[]): string {
	return [...table(cells(rows), []), "", ...EXPLANATION].join("\n");
}

/** The table as the file docs/scan.md, with the way to make it again. */
export function scanMarkdown(options: ScanOptions, rows: readonly ScanRow[]): string {
	const { base, seeds } = options;
	const repeat = commandLine({ ...base, policy: "all-cpus", seed: seeds[0] })
		.replace("ifwg run --policy all-cpus", "ifwg scan")
		.replace(/ --seed .*$/, ` --seed ${seeds[0]} --seeds ${seeds.length} --write`)
		.replace(/ --cpus [0-9]+/, "");
	const [first, second] = describeScenario(base);
	return [
		"# From 2 to 64 CPUs",
		"",
		`${first.replace(/, [0-9]+ CPUs?/, "")}`,
		second,
		`Averages of ${seeds.length} seed${seeds.length === 1 ? "" : "s"}. A model's figures, not measurements.`,
		"",
		...markdownTable(cells(rows), []),
		"",
		...EXPLANATION,
		"",
		`Made by \`${repeat}\`.`,
		"",
	].join("\n");
}
