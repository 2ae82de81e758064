/**
 * The report as one file: nothing is loaded from anywhere, nothing runs, and the same comparison gives the same bytes.
 */

import { LEAD_NS } from "../../../src/machine/lead.ts";
import { comparisonJson } from "../../compare.ts";
import { formatCosts } from "../../costs.ts";
import { NOT_MODELLED } from "../../limits.ts";
import type { RunResult } from "../../result.ts";
import { formatDuration, formatRate } from "../../units.ts";
import { element, lines, type Markup, raw } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import { gainSection } from "./gains.ts";
import { latencyFigure } from "./latency.ts";
import { lockFigure } from "./locks.ts";
import { code, command, dataTable, marked, paragraph, section } from "./parts.ts";
import { powerSection } from "./power.ts";
import { scanSection } from "./scaling.ts";
import { sensitivitySection } from "./sensitivity.ts";
import { PAGE_STYLE } from "./style.ts";
import { reportCommand, summarySection, titleOf } from "./summary.ts";
import { timelineSection } from "./timelines.ts";

/** What all runs of the comparison have in common. */
function settings({ comparison }: ReportData): Markup {
	const { base, policies, cryptos, seeds } = comparison.options;
	const rows: [string, string][] = [
		["policies", policies.join(", ")],
		["crypto", cryptos.join(", ")],
		["seeds", seeds.join(", ")],
		["machine", `${base.machine}, ${base.cpus} CPU${base.cpus === 1 ? "" : "s"}`],
		["FreeBSD", base.release],
		["generation of the driver", base.generation],
		["driver", base.driver ?? "built in"],
		["epair", base.epair],
		["traffic", `${base.streams} × ${base.udp ? "UDP" : "TCP"}${base.reverse ? ", server to client" : ""}`],
		["rate of each stream", base.bandwidth_bps === 0 ? "no limit" : `${formatRate(base.bandwidth_bps)} bit/s`],
		["payload of a datagram", base.length === 0 ? "what fits the tunnel" : `${base.length} bytes`],
		["MTU of the tunnel", String(base.mtu)],
		["measured", `${formatDuration(base.duration_ns)} after ${formatDuration(base.warmup_ns)} of warm-up`],
		["costs changed", Object.keys(base.costs).length === 0 ? "none" : formatCosts(base.costs)],
		["lead", formatDuration(base.lead_ns ?? LEAD_NS)],
		["ciphers", base.cost_only ? "charged for, not computed" : "computed on real bytes"],
	];
	return dataTable(
		[
			{ name: "Setting", number: false },
			{ name: "Value", number: false },
		],
		rows,
	);
}

/** Every run with the line that makes it again. */
function runTable(runs: readonly RunResult[]): Markup {
	return dataTable(
		[
			{ name: "Fingerprint", number: false },
			{ name: "Line that repeats the run", number: false },
		],
		runs.map((run) => [code(run.fingerprint), code(run.command)]),
		{ stack: true, className: "runs" },
	);
}

function allRuns({ comparison, elsewhere, scan }: ReportData): { main: RunResult[]; others: RunResult[] } {
	const runs = (cells: ReportData["comparison"]["cells"]): RunResult[] => cells.flatMap((cell) => [...cell.runs]);
	return {
		main: [...runs(comparison.cells), ...comparison.others.pair, ...comparison.others.atom],
		others: [...scan, elsewhere].flatMap((one) => runs(one.cells)),
	};
}

function repeatSection(data: ReportData): Markup {
	const { main, others } = allRuns(data);
	return section(
		"repeat",
		"Settings, and how to repeat every run",
		command(reportCommand(data)),
		paragraph(
			"A fingerprint is over every simulated event of a run and its settings. The same fingerprint means the same run, to the last event.",
		),
		settings(data),
		element("details", {}, element("summary", {}, `The ${main.length} runs of the comparison`), "\n", runTable(main)),
		element(
			"details",
			{},
			element("summary", {}, `The ${others.length} shorter or other runs of this report`),
			"\n",
			runTable(others),
		),
		paragraph(
			"The results of all these runs are in this file as JSON, too: the ",
			code("script"),
			" element with the id ",
			code("data"),
			", as ",
			code("ifwg compare --report FILE --json"),
			" prints them.",
		),
	);
}

/** What `--json` prints with a report, and what the report's file holds. */
export function reportJson(data: ReportData): object {
	const { comparison, elsewhere, scan, sensitivity } = data;
	return {
		...comparisonJson(comparison),
		scan_runs: scan.flatMap((one) => one.cells.flatMap((cell) => cell.runs)),
		elsewhere_runs: elsewhere.cells.flatMap((cell) => cell.runs),
		stretches: data.stretches,
		sensitivity,
	};
}

/** JSON that may stand in a script element: no `<` in it, and no `&`, so that it is well-formed as XML, too. */
function embedded(data: object): Markup {
	const json = JSON.stringify(data).replace(
		/[<>&\u2028\u2029]/g,
		(char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
	);
	return element("script", { type: "application/json", id: "data" }, raw(json));
}

function limitsSection(): Markup {
	return section(
		"limits",
		"What is not modelled",
		element("ul", {}, ...NOT_MODELLED.flatMap((limit) => ["\n", element("li", {}, ...marked(limit))]), "\n"),
	);
}

/** The whole file. */
export function renderReport(data: ReportData): string {
	const head = element(
		"head",
		{},
		"\n",
		lines(
			element("meta", { charset: "utf-8" }),
			element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
			element("meta", { name: "color-scheme", content: "light dark" }),
			element("title", {}, titleOf(data.comparison)),
			element("style", {}, raw(PAGE_STYLE)),
		),
		"\n",
	);
	const sections = [
		summarySection(data),
		timelineSection(data),
		scanSection(data),
		gainSection(data),
		section(
			"waiting",
			"Where packets and threads wait",
			element("div", { class: "pair" }, latencyFigure(data), lockFigure(data)),
		),
		powerSection(data),
		sensitivitySection(data.sensitivity),
		repeatSection(data),
		limitsSection(),
	].filter((one) => one !== null);
	const body = element(
		"body",
		{},
		"\n",
		element("main", {}, "\n", lines(...sections), "\n"),
		"\n",
		embedded(reportJson(data)),
		"\n",
	);
	return `<!DOCTYPE html>\n${element("html", { lang: "en" }, "\n", head, "\n", body, "\n").text}\n`;
}
