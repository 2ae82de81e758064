/** From 2 to 64 CPUs. */
import { type Cell, findCell, usefulShare } from "../../compare.ts";
import { published } from "../../published.ts";
import { gigabits, percent } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { lineChart } from "../svg/lines.ts";
import { dataTable, duration, figure, numbers, paragraph, section } from "./parts.ts";

/** The published shares belong to 8 CPUs and these policies. */
const PUBLISHED_SHARES = [
	{ policy: "all-cpus", x: 8, y: 0.13, name: published.share_all_cpus.published },
	{ policy: "round-robin", x: 8, y: 0.65, name: published.share_round_robin.published },
];

export function scanSection({ scan, comparison }: ReportData): Markup | null {
	if (scan.length === 0) return null;
	const { policies, base, cryptos } = comparison.options;
	const [crypto] = cryptos;
	const cpus = scan.map((one) => one.options.base.cpus);
	const points = (of: (cell: Cell) => number) =>
		policies.map((name) => ({
			name,
			points: scan.map((one, i) => ({ x: cpus[i], y: of(findCell(one.cells, name, crypto)!) })),
		}));
	const comparable = base.streams === 1 && !base.udp;
	const marks = comparable ? PUBLISHED_SHARES.filter((one) => policies.includes(one.policy)) : [];
	const bps = (cell: Cell): number => cell.throughput.avg / 1e9;
	const last = scan[scan.length - 1];
	const told = policies
		.map((policy) => `${percent(usefulShare(findCell(last.cells, policy, crypto)!))} under ${policy}`)
		.join(", ");
	const speeds = policies
		.map((policy) => `${gigabits(findCell(last.cells, policy, crypto)!.throughput.avg)} Gb/s under ${policy}`)
		.join(", ");
	const run = last.cells[0].runs[0];
	return section(
		"scan",
		"From 2 to 64 CPUs",
		paragraph(
			`One run each with seed ${run.seed}, ${run.crypto} crypto, shorter than the runs above: ${duration(run.duration_ns)} after ${duration(run.warmup_ns)} of warm-up. They show a shape; the figures of the comparison are firmer.`,
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
						...policies.map((policy) => percent(usefulShare(findCell(one.cells, policy, crypto)!))),
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
						...policies.map((policy) => gigabits(findCell(one.cells, policy, crypto)!.throughput.avg)),
					]),
				),
			),
		),
	);
}
