/** The same moment of both runs, CPU by CPU. */
import { ACTIVITIES } from "../../stretch.ts";
import { percent } from "../../units.ts";
import { element, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { NOTHING_NAME, ROWS_MAX, stretchFigures, timelines } from "../svg/timelines.ts";
import { dataTable, duration, numbers, section, wideFigure } from "./parts.ts";

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
	const when = `${duration(first.length_ns)} from ${duration(first.start_ns)} after the first data, seed ${comparison.options.seeds[0]}, ${comparison.options.cryptos[0]} crypto`;
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
