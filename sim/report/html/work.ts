/** Sections about what the CPUs do: timelines, growth with their number, gains, and latency. */
import { type Cell, type Comparison, gain, mean, usefulShare } from "../../compare.ts";
import { published } from "../../published.ts";
import type { RunResult } from "../../result.ts";
import { ACTIVITIES } from "../../stretch.ts";
import { formatDuration, gigabits, percent, readableTime } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { type BarGroup, bars } from "../svg/bars.ts";
import { lineChart } from "../svg/lines.ts";
import { dots, ranges } from "../svg/ranges.ts";
import { NOTHING_NAME, ROWS_MAX, stretchFigures, timelines } from "../svg/timelines.ts";
import { label } from "../text.ts";
import { dataTable, figure, numbers, paragraph, section, wideFigure } from "./parts.ts";

const ACTIVITY_NAMES: Readonly<Record<(typeof ACTIVITIES)[number], string>> = {
	crypto: "encrypts or decrypts",
	deliver: "sends or receives for the tunnel",
	other: "everything else",
	nothing: NOTHING_NAME,
	wake: "on its way out of a halt",
	poll: "polls",
	halt: "halted",
};

export function timelineSection({ stretches, comparison }: ReportData): Markup {
	const figures = stretches.map(stretchFigures);
	const [first] = stretches;
	const when = `${formatDuration(first.length_ns)} from ${formatDuration(first.start_ns)} after the first data, seed ${comparison.options.seeds[0]}, ${comparison.options.cryptos[0]} crypto`;
	const shown = Math.min(ROWS_MAX, first.cpus.length);
	const cut = shown < first.cpus.length ? ` The first ${shown} of ${first.cpus.length} CPUs are drawn.` : "";
	const loudest = figures.map((f) => `${f.woken_for_nothing} times under ${f.policy}`).join(", ");
	const table = dataTable(
		numbers("", ...figures.map((f) => f.policy)),
		[
			["tasks queued", ...figures.map((f) => String(f.tasks_scheduled))],
			["task runs that found work", ...figures.map((f) => String(f.tasks_useful))],
			["threads woken for nothing", ...figures.map((f) => String(f.woken_for_nothing))],
			...ACTIVITIES.map((what) => [
				`time: ${ACTIVITY_NAMES[what]}`,
				...figures.map((f, i) => percent(f.time[what] / (stretches[i].length_ns * stretches[i].cpus.length))),
			]),
		],
		{
			caption:
				"All CPUs together. A bar covers a thread's whole time on the CPU, switching to it and interrupts included.",
		},
	);
	return section(
		"timelines",
		"The same moment on every CPU",
		wideFigure(
			[
				element("b", {}, `A driver's thread was woken, looked at an empty queue and slept again ${loudest}. `),
				`The same interval of both runs: ${when}.${cut}`,
			],
			"CPU timelines",
			timelines("fig-timelines", stretches),
			table,
		),
	);
}

function cellOf(comparison: Comparison, policy: string): Cell {
	return comparison.cells.find((cell) => cell.policy === policy)!;
}

/** The published shares belong to 8 CPUs and these policies. */
const PUBLISHED_SHARES = [
	{ policy: "all-cpus", x: 8, y: 0.13, name: published.share_all_cpus.published },
	{ policy: "round-robin", x: 8, y: 0.65, name: published.share_round_robin.published },
];

export function scanSection({ scan, comparison }: ReportData): Markup | null {
	if (scan.length === 0) return null;
	const { policies, base } = comparison.options;
	const cpus = scan.map((one) => one.options.base.cpus);
	const points = (of: (cell: Cell) => number) =>
		policies.map((name) => ({
			name,
			points: scan.map((one, i) => ({ x: cpus[i], y: of(cellOf(one, name)) })),
		}));
	const comparable = base.streams === 1 && !base.udp;
	const marks = comparable ? PUBLISHED_SHARES.filter((one) => policies.includes(one.policy)) : [];
	const bps = (cell: Cell): number => cell.throughput.avg / 1e9;
	const last = scan[scan.length - 1];
	const told = policies.map((policy) => `${percent(usefulShare(cellOf(last, policy)))} under ${policy}`).join(", ");
	const speeds = policies
		.map((policy) => `${gigabits(cellOf(last, policy).throughput.avg)} Gb/s under ${policy}`)
		.join(", ");
	const run = last.cells[0].runs[0];
	return section(
		"scan",
		"From 2 to 64 CPUs",
		paragraph(
			`One run each with seed ${run.seed}, ${run.crypto} crypto, shorter than the runs above: ${formatDuration(run.duration_ns)} after ${formatDuration(run.warmup_ns)} of warm-up. They show a shape; the figures of the comparison are firmer.`,
		),
		element(
			"div",
			{ class: "pair" },
			figure(
				[
					element("b", {}, "Share of tasks that found work. "),
					`On ${cpus[cpus.length - 1]} CPUs ${told}. Dotted: 1/N, when one task of N finds the packet.`,
					marks.length > 0 ? " Diamonds: published." : null,
				],
				lineChart({
					id: "fig-share",
					title: "Share of tasks that found work, by number of CPUs",
					description: `On ${cpus[cpus.length - 1]} CPUs ${told}.`,
					y_name: "tasks that found work",
					show: (value) => `${Math.round(value * 100)} %`,
					series: points(usefulShare),
					reference: { name: "1/N", at: (x) => 1 / x },
					published: marks,
				}),
				dataTable(
					numbers("CPUs", ...policies, "1/N"),
					scan.map((one, i) => [
						String(cpus[i]),
						...policies.map((policy) => percent(usefulShare(cellOf(one, policy)))),
						percent(1 / cpus[i]),
					]),
				),
			),
			figure(
				[element("b", {}, "Throughput. "), `On ${cpus[cpus.length - 1]} CPUs ${speeds}.`],
				lineChart({
					id: "fig-throughput",
					title: "Throughput by number of CPUs",
					description: `On ${cpus[cpus.length - 1]} CPUs ${speeds}.`,
					y_name: "Gb/s",
					show: (value) => String(Math.round(value * 10) / 10),
					series: points(bps),
				}),
				dataTable(
					numbers("CPUs", ...policies.map((policy) => `${policy}, Gb/s`)),
					scan.map((one, i) => [
						String(cpus[i]),
						...policies.map((policy) => gigabits(cellOf(one, policy).throughput.avg)),
					]),
				),
			),
		),
	);
}

/** Gain of one cell over another, and its extremes when runs of the same seed are compared. */
function gainRow(of: Cell, against: Cell, name: string, series: number | null): BarGroup["rows"][number] {
	const each = of.runs.map((run, i) => run.throughput_bps / against.runs[i].throughput_bps - 1);
	const value = of.throughput.avg / against.throughput.avg - 1;
	return { label: name, value, low: Math.min(...each), high: Math.max(...each), shown: gain(value), series };
}

export function gainSection({ comparison }: ReportData): Markup {
	const { cells, options } = comparison;
	const { policies, cryptos } = options;
	const at = (policy: string, crypto: string): Cell =>
		cells.find((cell) => cell.policy === policy && cell.crypto === crypto)!;
	const groups: BarGroup[] = [
		...policies.slice(1).map((policy, i) => ({
			heading: `${policy} instead of ${policies[0]}`,
			rows: cryptos.map((crypto) =>
				gainRow(at(policy, crypto), at(policies[0], crypto), `with ${crypto} crypto`, i + 1),
			),
		})),
		...cryptos.slice(1).map((crypto) => ({
			heading: `${crypto} instead of ${cryptos[0]} crypto`,
			rows: policies.map((policy) => gainRow(at(policy, crypto), at(policy, cryptos[0]), `under ${policy}`, null)),
		})),
	];
	const shown = groups.filter((group) => group.rows.length > 0);
	const dotRows = cells.map((cell) => ({
		label: label(cell),
		values: cell.runs.map((run) => run.throughput_bps / 1e9),
		mean: cell.throughput.avg / 1e9,
		shown: gigabits(cell.throughput.avg),
		series: policies.indexOf(cell.policy),
	}));
	const perRun = dataTable(
		[...numbers("", "N", "Min", "Max", "Median", "Avg", "Stddev")],
		cells.map((cell) => {
			const { n, min, max, median, avg, stddev } = cell.throughput;
			return [label(cell), String(n), ...[min, max, median, avg, stddev].map(gigabits)];
		}),
		{ caption: "Gb/s" },
	);
	const told = shown.flatMap((group) => group.rows.map((row) => `${group.heading}, ${row.label}: ${row.shown}.`));
	const gains =
		shown.length === 0
			? null
			: figure(
					[
						element("b", {}, "What each change gains in throughput. "),
						"Bars are of the averages; whiskers reach from the least to the greatest gain when runs of the same seed are compared.",
					],
					bars(
						{ id: "fig-gains", title: "Gain of the policy beside gain of the ciphers", description: told.join(" ") },
						shown,
					),
					dataTable(
						numbers("", "gain", "least", "greatest"),
						shown.flatMap((group) =>
							group.rows.map((row) => [
								`${group.heading}, ${row.label}`,
								row.shown,
								gain(row.low ?? row.value),
								gain(row.high ?? row.value),
							]),
						),
					),
				);
	return section(
		"gains",
		"The policy's gain beside the ciphers'",
		element(
			"div",
			{ class: "pair" },
			gains,
			figure(
				[
					element("b", {}, "Every run. "),
					"A mark is one seed, the upright bar their average. A mark far from the others says that the average hides something.",
				],
				dots(
					{
						id: "fig-runs",
						title: "Throughput of every run",
						description: dotRows.map((row) => `${row.label}: average ${row.shown} Gb/s.`).join(" "),
					},
					dotRows,
					"Gb/s",
					(value) => String(Math.round(value * 10) / 10),
				),
				perRun,
			),
		),
	);
}

/** Percentiles averaged over the runs that have any. */
function quantile(runs: readonly RunResult[], stage: number, which: "p50_ns" | "p99_ns"): number {
	const values = runs.filter((run) => run.latency[stage].distribution.n > 0);
	return values.length === 0 ? 0 : mean(values.map((run) => run.latency[stage].distribution[which]));
}

export function latencySection({ comparison }: ReportData): Markup {
	const { options } = comparison;
	const cells = options.policies.map((policy) => cellOf(comparison, policy));
	const stages = cells[0].runs[0].latency.map((row) => row.stage);
	const rows = stages.map((stage, i) => ({
		label: stage,
		ranges: cells.map(({ runs }) => {
			const from = quantile(runs, i, "p50_ns");
			return from > 0 ? { from, to: quantile(runs, i, "p99_ns") } : null;
		}),
	}));
	const total = rows[rows.length - 1];
	const told = cells.map((cell, i) => `${cell.policy} ${readableTime(total.ranges[i]?.from ?? 0)}`).join(", ");
	return section(
		"latency",
		"Where a packet waits",
		figure(
			[
				element("b", {}, "Time in each stage of the tunnel. "),
				`Median from end to end: ${told}. The axis is logarithmic: each line is ten times the one before. ${options.cryptos[0]} crypto.`,
			],
			ranges(
				{ id: "fig-latency", title: "Latency by stage", description: `Median from end to end: ${told}.` },
				options.policies,
				rows,
				(ns) => readableTime(ns).replace(/\.0+ /, " ").replace("us", "µs"),
			),
			dataTable(
				numbers("", ...cells.flatMap((cell) => [`${cell.policy}, median`, "99th percentile"])),
				rows.map((row) => [
					row.label,
					...row.ranges.flatMap((range) =>
						range === null ? ["–", "–"] : [readableTime(range.from), readableTime(range.to)],
					),
				]),
			),
		),
	);
}
