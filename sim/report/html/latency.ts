/** How long packets stay in each stage of the tunnel. */
import { findCell, mean } from "../../compare.ts";
import type { RunResult } from "../../result.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { ranges } from "../svg/ranges.ts";
import { dataTable, figure, numbers, time } from "./parts.ts";

/** Percentiles averaged over the runs that have any. */
function quantile(runs: readonly RunResult[], stage: number, which: "p50_ns" | "p99_ns"): number {
	const values = runs.filter((run) => run.latency[stage].distribution.n > 0);
	return values.length === 0 ? 0 : mean(values.map((run) => run.latency[stage].distribution[which]));
}

export function latencyFigure({ comparison }: ReportData): Markup {
	const { options } = comparison;
	const cells = options.policies.map((policy) => findCell(comparison.cells, policy, options.cryptos[0])!);
	const stages = cells[0].runs[0].latency.map((row) => row.stage);
	const rows = stages.map((stage, i) => ({
		label: stage,
		ranges: cells.map(({ runs }) => {
			const from = quantile(runs, i, "p50_ns");
			return from > 0 ? { from, to: quantile(runs, i, "p99_ns") } : null;
		}),
	}));
	const total = rows[rows.length - 1];
	const told = cells.map((cell, i) => `${cell.policy} ${time(total.ranges[i]?.from ?? 0)}`).join(", ");
	return figure(
		[
			element("b", {}, "A packet's time in each stage. "),
			`A mark is the median, the end of its line the 99th percentile, on a logarithmic axis. Median of the whole way: ${told}.`,
		],
		ranges(
			{ id: "fig-latency", title: "Latency by stage", description: `Median from end to end: ${told}.` },
			options.policies,
			rows,
			(ns) => time(ns).replace(/\.0+ /, " "),
		),
		dataTable(
			numbers("", ...cells.flatMap((cell) => [`${cell.policy}, median`, "99th percentile"])),
			rows.map((row) => [
				row.label,
				...row.ranges.flatMap((range) => (range === null ? ["–", "–"] : [time(range.from), time(range.to)])),
			]),
			{ caption: `${options.cryptos[0]} crypto` },
		),
	);
}
