/** How far the conclusions stand if the costs are wrong. */
import { percent } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { Sensitivity } from "../sensitivity.ts";
import { tornado } from "../svg/ranges.ts";
import { code, dataTable, figure, numbers, paragraph, section } from "./parts.ts";

const COSTS_DRAWN = 15;

export function sensitivitySection(sensitivity: Sensitivity | null): Markup {
	const title = "If the costs are wrong";
	if (sensitivity === null) {
		return section(
			"sensitivity",
			title,
			paragraph(
				"Every cost of the model has a plausible range from its source. This report was made without a study of what happens within these ranges: ",
				code("ifwg sensitivity"),
				" makes one of the usual settings, which reports of these settings then draw here; for others there is ",
				code("--sensitivity study.json"),
				", with what ",
				code("ifwg sensitivity --json"),
				" prints.",
			),
		);
	}
	const { rows, conclusions, points, machine, cpus } = sensitivity;
	const far = (row: (typeof rows)[number]): number =>
		Math.max(row.low, row.high, row.base) - Math.min(row.low, row.high, row.base);
	const drawn = [...rows].sort((a, b) => far(b) - far(a)).slice(0, COSTS_DRAWN);
	const ratio = (value: number): string => value.toFixed(2);
	const [most] = drawn;
	const drawing =
		most === undefined
			? null
			: figure(
					[
						element("b", {}, "Throughput ratio, round-robin : all-cpus, when one cost is wrong. "),
						`${machine}, ${cpus} CPUs. − is the low end of the cost's range, + the high end. `,
						drawn.length < rows.length ? `The ${drawn.length} of ${rows.length} costs that move the ratio most.` : null,
					],
					tornado(
						{
							id: "fig-sensitivity",
							title: "How far each cost moves the throughput ratio",
							description: `${most.name} moves it most: from ${ratio(Math.min(most.low, most.high))} to ${ratio(Math.max(most.low, most.high))}.`,
						},
						drawn,
						ratio,
						{ value: 1, name: "no difference" },
					),
					dataTable(
						numbers("cost", "low end", "as it is", "high end"),
						rows.map((row) => [row.name, ratio(row.low), ratio(row.base), ratio(row.high)]),
					),
				);
	const together =
		conclusions.length === 0
			? null
			: element(
					"div",
					{},
					paragraph(
						element("b", {}, "All costs at once. "),
						`${points} points of a Latin hypercube over all ranges: in what share of them does each conclusion hold?`,
					),
					dataTable(
						numbers("", "holds in", "95 % interval"),
						conclusions.map((one) => [one.text, percent(one.share), `${percent(one.low)} to ${percent(one.high)}`]),
					),
				);
	return section("sensitivity", title, element("div", { class: "pair" }, drawing, together));
}
