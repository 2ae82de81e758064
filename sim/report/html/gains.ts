/** What the policy gains beside what the ciphers gain, and every run. */
import { type Cell, findCell, gain } from "../../compare.ts";
import { gigabits } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { type BarGroup, bars } from "../svg/bars.ts";
import { dots } from "../svg/ranges.ts";
import { label } from "../text.ts";
import { dataTable, figure, numbers, section } from "./parts.ts";

/** Gain of one cell over another, and its extremes when runs of the same seed are compared. */
function gainRow(of: Cell, against: Cell, name: string, series: number | null): BarGroup["rows"][number] {
	// nothing gained over a run that carried nothing can be told in per cent
	const each = of.runs.map((run, i) => run.throughput_bps / against.runs[i].throughput_bps - 1).filter(Number.isFinite);
	const value = of.throughput.avg / against.throughput.avg - 1;
	if (!Number.isFinite(value) || each.length === 0) return { label: name, value: 0, shown: "–", series };
	return { label: name, value, low: Math.min(...each), high: Math.max(...each), shown: gain(value), series };
}

export function gainSection({ comparison }: ReportData): Markup {
	const { cells, options } = comparison;
	const { policies, cryptos } = options;
	const at = (policy: string, crypto: string): Cell => findCell(cells, policy, crypto)!;
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
								row.low === undefined ? "–" : gain(row.low),
								row.high === undefined ? "–" : gain(row.high),
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
