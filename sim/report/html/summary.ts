/** The report's first screen: what changed, how sure we are, how to repeat it, and what was published. */
import {
	type Cell,
	type Comparison,
	difference,
	findCell,
	gain,
	mean,
	usefulShare,
	type Validation,
} from "../../compare.ts";
import { compareCommandLine } from "../../options.ts";
import type { RunResult } from "../../result.ts";
import { gigabits, percent } from "../../units.ts";
import { type Content, element, lines, type Markup } from "../markup.ts";
import type { ReportData } from "../plan.ts";
import type { Sensitivity } from "../sensitivity.ts";
import { shorten } from "../svg/frame.ts";
import { describeScenario } from "../text.ts";
import { code, command, dataTable, section } from "./parts.ts";

/** The two cells a report is about: the first and the second policy, with the first cipher. */
export interface Pair {
	readonly first: Cell;
	/** null: there is one policy only */
	readonly second: Cell | null;
}

export function pairOf({ options, cells }: Comparison): Pair {
	const { policies, cryptos } = options;
	const first = findCell(cells, policies[0], cryptos[0])!;
	return { first, second: policies.length < 2 ? null : findCell(cells, policies[1], cryptos[0])! };
}

/** The line that makes this report again. */
export function reportCommand({ comparison, scan }: ReportData): string {
	const { base, policies, cryptos, seeds } = comparison.options;
	const without = scan.length === 0 ? "--no-scan " : "";
	return `${compareCommandLine(base, policies, cryptos, seeds)} ${without}--report report.html`;
}

/** `12.4 – 13.0`: from the smallest to the largest of several runs. */
function span(values: readonly number[], show: (value: number) => string): string {
	const low = show(Math.min(...values));
	const high = show(Math.max(...values));
	return low === high ? low : `${low}–${high}`;
}

function oneDecimal(share: number): string {
	return (share * 100).toFixed(1);
}

const wakeupsPerPacket = (run: RunResult): number => (run.segments === 0 ? 0 : run.wakeups / run.segments);

interface Change {
	readonly what: string;
	readonly unit: string;
	readonly of: (cell: Cell) => string;
	readonly each: (run: RunResult) => number;
	readonly show: (value: number) => string;
}

const CHANGES: readonly Change[] = [
	{
		what: "Tasks that found work",
		unit: " %",
		of: (cell) => oneDecimal(usefulShare(cell)),
		each: (run) => run.useful_task_share,
		show: oneDecimal,
	},
	{
		what: "Throughput, Gb/s",
		unit: "",
		of: (cell) => gigabits(cell.throughput.avg),
		each: (run) => run.throughput_bps,
		show: gigabits,
	},
	{
		what: "Threads woken per packet",
		unit: "",
		of: (cell) => mean(cell.runs.map(wakeupsPerPacket)).toFixed(2),
		each: wakeupsPerPacket,
		show: (value) => value.toFixed(2),
	},
];

/** Longer names of policies (paths) are shortened where they head a column. */
const NAME_MAX = 16;

/** Averages of both policies, and below each, small, its lowest and its highest run. */
function changes({ first, second }: Pair): Markup {
	const cells = second === null ? [first] : [first, second];
	const head = cells.map(({ policy }, i) =>
		element("th", { scope: "col" }, element("code", { class: `unbroken ${seriesText(i)}` }, shorten(policy, NAME_MAX))),
	);
	const rows = CHANGES.map(({ what, unit, of, each, show }) => {
		const figures = cells.map((cell, i) => {
			const all = span(cell.runs.map(each), show);
			const range = all === of(cell) ? null : element("small", {}, all);
			return element("td", {}, element("b", { class: seriesText(i) }, of(cell), unit), range);
		});
		return element("tr", {}, element("th", { scope: "row" }, what), ...figures);
	});
	const ranges = first.runs.length < 2 ? "" : `Averages of ${first.runs.length} runs; small: lowest–highest run`;
	return element(
		"table",
		{ class: "change" },
		...["\n", element("thead", {}, element("tr", {}, element("td", {}, element("small", {}, ranges)), ...head))],
		...["\n", element("tbody", {}, ...rows.flatMap((row) => ["\n", row]))],
		"\n",
	);
}

function seriesText(series: number): string {
	return `legend${series}`;
}

/** A policy's name in its colour. */
function name({ policy }: Cell, series: number): Markup {
	return element("code", { class: seriesText(series) }, policy);
}

function times(ratio: number): string {
	return `${ratio.toFixed(2)} times`;
}

/** One sentence: the answer. */
function answer({ summary }: Comparison, { first, second }: Pair): Content[] {
	if (second === null) return ["One policy only: nothing is compared here."];
	const ratio = summary.throughput_ratio ?? Number.NaN;
	if (!Number.isFinite(ratio)) return [name(first, 0), " carries nothing at all: there is no ratio."];
	return [
		name(second, 1),
		" carries ",
		element("b", {}, times(ratio)),
		" what ",
		name(first, 0),
		` does (${first.crypto} crypto).`,
	];
}

/** The policy's gain beside the cipher's, if both were varied. */
function gains({ summary, options }: Comparison): Content {
	const [policy] = summary.policy_gains;
	const [cipher] = summary.crypto_gains;
	if (policy === undefined || cipher === undefined) return null;
	if (!Number.isFinite(policy.gain) || !Number.isFinite(cipher.gain)) return null;
	return element(
		"p",
		{ class: "muted" },
		`The policy gains ${gain(policy.gain)}; ${cipher.crypto} instead of ${options.cryptos[0]} crypto, ${gain(cipher.gain)}.`,
	);
}

/** Student's t and the spread from seed to seed. */
function proof({ first, second }: Pair): Content[] {
	if (second === null) return [];
	const d = difference(second, first);
	const n = first.runs.length;
	if (Number.isNaN(d.pooled_stddev)) return ["One run each: this proves nothing. More ", code("--seeds"), " would."];
	const ratios = second.runs.map((run, i) => run.throughput_bps / first.runs[i].throughput_bps).filter(Number.isFinite);
	const medians = second.throughput.median / first.throughput.median;
	const ratioText = (value: number): string => value.toFixed(2);
	const sign = d.difference >= 0 ? "+" : "−";
	const interval = `${sign}${gigabits(Math.abs(d.difference))} ± ${gigabits(d.error)} Gb/s`;
	return [
		element("b", {}, d.proven ? "A difference is proven" : "No difference is proven"),
		` at 95 % by ${n} seeds each: ${interval} (Student's t).`,
		ratios.length === 0 ? null : ` Seed by seed, the ratio is ${span(ratios, ratioText)}`,
		Number.isFinite(medians) ? `; by medians it is ${ratioText(medians)}.` : ".",
	];
}

function published(validation: readonly Validation[]): Content[] {
	const judged = validation.filter((row) => row.holds !== null);
	if (judged.length === 0) {
		return [
			"No published figure is of this scenario (they are of 8 CPUs and one TCP stream, all-cpus and round-robin).",
		];
	}
	const failed = judged.filter((row) => row.holds === false);
	const agree = `${judged.length - failed.length} of ${judged.length} published figures agree`;
	const names = failed.map((row) => row.what).join("; ");
	return [element("b", {}, agree), failed.length === 0 ? "." : `. Not: ${names}.`];
}

function costs(sensitivity: Sensitivity | null): Content[] {
	if (sensitivity === null) {
		return [
			"Costs were not varied for this report: see ",
			code("ifwg sensitivity"),
			", and give its results with ",
			code("--sensitivity"),
			".",
		];
	}
	const [first, ...rest] = sensitivity.conclusions;
	if (first === undefined)
		return ["Costs were varied one at a time: see ", element("a", { href: "#sensitivity" }, "below"), "."];
	const share = (conclusion: typeof first): string => `${conclusion.text}: ${percent(conclusion.share)}`;
	return [
		element(
			"b",
			{},
			`With all costs varied at once (${sensitivity.machine}, ${sensitivity.cpus} CPUs, ${sensitivity.points} points): `,
		),
		[first, ...rest.slice(0, 2)].map(share).join("; "),
		" of the space (",
		element("a", { href: "#sensitivity" }, "more"),
		").",
	];
}

const VERDICTS = {
	true: element("span", { class: "agrees" }, "✓ agrees"),
	false: element("span", { class: "disagrees" }, "✗ disagrees"),
	null: element("span", { class: "neither" }, "– only shown"),
};

function publishedTable(validation: readonly Validation[]): Content {
	if (validation.length === 0) return null;
	const columns = ["Figure", "Published", "Ours", "To agree", "Verdict", "Source"].map((name) => ({
		name,
		number: false,
	}));
	return dataTable(
		columns,
		validation.map((row) => [
			row.what,
			row.published,
			element("b", {}, row.ours),
			row.expected,
			VERDICTS[`${row.holds}`],
			element("span", { class: "source" }, row.source),
		]),
		{
			stack: true,
			caption: "Ours come from a model, not from a measurement, and nothing in it knows the published ones.",
		},
	);
}

function card(title: string, ...content: Content[]): Markup {
	return element("div", { class: "card" }, "\n", lines(element("h3", {}, title), ...content), "\n");
}

export function titleOf({ options }: Comparison): string {
	const [first, second] = options.policies;
	return second === undefined ? `if_wg: ${first}` : `if_wg: ${second} against ${first}`;
}

export function summarySection(data: ReportData): Markup {
	const { comparison, sensitivity } = data;
	const pair = pairOf(comparison);
	const { validation } = comparison.summary;
	const sure = [proof(pair), published(validation), costs(sensitivity)].filter((item) => item.length > 0);
	const runs = comparison.cells.reduce(
		(sum, cell) => sum + cell.runs.length,
		comparison.others.pair.length + comparison.others.atom.length,
	);
	return lines(
		element("h1", {}, titleOf(comparison)),
		element("p", { class: "about" }, describeScenario(comparison.options.base).join(" ")),
		element(
			"section",
			{ id: "summary", class: "first", "aria-label": "Summary" },
			"\n",
			lines(
				card("What changed", element("p", {}, ...answer(comparison, pair)), changes(pair), gains(comparison)),
				card("How sure are we", element("ul", {}, ...sure.flatMap((item) => ["\n", element("li", {}, ...item)]), "\n")),
				card(
					"How to repeat it",
					command(reportCommand(data)),
					element(
						"p",
						{},
						`The same line gives the same ${runs} runs, to the last simulated event, on any computer. Each run's own line and fingerprint are `,
						element("a", { href: "#repeat" }, "at the end"),
						"; what the model leaves out is ",
						element("a", { href: "#limits" }, "there, too"),
						".",
					),
				),
			),
			"\n",
		),
		validation.length === 0 ? null : section("published", "Beside what was published", publishedTable(validation)),
	);
}
