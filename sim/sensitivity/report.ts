/** A study as text and as docs/sensitivity.md. */
import { findProfile } from "../../src/machine/profile.ts";
import { formatCosts } from "../costs.ts";
import { commandLine, DEFAULT_SEED } from "../options.ts";
import { indent, markdownTable, table } from "../report/table.ts";
import { describeScenario } from "../report/text.ts";
import { formatDuration, gigabits, percent } from "../units.ts";
import { DEFAULT_STUDY, rangeText, type StudyOptions } from "./design.ts";
import { type Share, spearman95 } from "./statistics.ts";
import type { OutcomeName, Quantiles, StudySummary } from "./summary.ts";

/** Constants shown in a table of them; the file of results has them all. */
const SHOWN = 20;

/** A heading, what is to be said, and a table; any of them may be empty. */
interface Section {
	readonly title: string;
	readonly text: readonly string[];
	readonly rows: readonly (readonly string[])[];
	readonly left: readonly number[];
}

const LABELS: { readonly [name in OutcomeName]: string } = {
	ratio: "ratio round-robin : all-cpus, own",
	ratio_ossl: "ratio round-robin : all-cpus, ossl",
	all_cpus_share: "useful share, all-cpus",
	round_robin_share: "useful share, round-robin",
	all_cpus_bps: "Gb/s, all-cpus",
	round_robin_bps: "Gb/s, round-robin",
	ossl_ratio: "ratio ossl : own, all-cpus",
};

function show(name: OutcomeName, value: number): string {
	if (name === "all_cpus_bps" || name === "round_robin_bps") return gigabits(value);
	return name === "all_cpus_share" || name === "round_robin_share" ? percent(value) : value.toFixed(2);
}

function interval({ share, low, high }: Share): string {
	return `${percent(share)} (${percent(low)} to ${percent(high)})`;
}

function outcomes({ usual, noise, hypercube }: StudySummary): Section {
	const quantiles = (q: Quantiles, name: OutcomeName): string[] =>
		[q.min, q.q05, q.median, q.q95, q.max].map((value) => show(name, value));
	const names = Object.keys(LABELS) as OutcomeName[];
	return {
		title: "How the results move",
		text: [
			"`usual` is with the costs as they are, `+/-` the standard deviation from seed to seed there: what a figure moves by itself.",
			...(hypercube === null ? [] : ["The other columns: all costs at once, anywhere in their ranges."]),
		],
		rows: [
			["", "usual", "+/-", ...(hypercube === null ? [] : ["min", "5 %", "median", "95 %", "max"])],
			...names.map((name) => [
				LABELS[name],
				show(name, usual[name]),
				show(name, noise[name].stddev),
				...(hypercube === null ? [] : quantiles(hypercube.outcomes[name], name)),
			]),
		],
		left: [0],
	};
}

function conclusions({ hypercube }: StudySummary): Section[] {
	if (hypercube === null) return [];
	return [
		{
			title: "What holds, and where",
			text: [
				"Share of the space of costs in which a conclusion holds, with its 95 % interval; and of the seeds with the usual costs.",
			],
			rows: [
				["conclusion", "all costs varied", "points", "usual costs", "seeds"],
				...hypercube.conclusions.map((c) => [
					c.text,
					interval(c),
					`${c.holds} of ${c.of}`,
					percent(c.usual.share),
					`${c.usual.holds} of ${c.usual.of}`,
				]),
			],
			left: [0],
		},
	];
}

function tornado(options: StudyOptions, { usual, swings }: StudySummary): Section {
	const profile = findProfile(options.base.machine)!;
	const clear = swings.filter((swing) => swing.clear);
	return {
		title: "One cost at a time",
		text: [
			`The ratio with each cost at either end of its range, all others as usual (there it is ${usual.ratio.toFixed(2)}); the widest first.`,
			`${clear.length} of ${swings.length} move it clearly, that is, by more than three standard errors of the seeds; they have a *.`,
			"Shares are given at the low and at the high end.",
		],
		rows: [
			["cost", "low .. usual .. high", "ratio at low", "at high", "", "all-cpus share", "round-robin share"],
			...swings
				.slice(0, SHOWN)
				.map(({ name, low, high, clear }) => [
					name,
					rangeText(profile, name),
					low.ratio.toFixed(2),
					high.ratio.toFixed(2),
					clear ? "*" : "",
					percent(low.all_cpus_share),
					percent(high.all_cpus_share),
					percent(low.round_robin_share),
					percent(high.round_robin_share),
				]),
		],
		left: [0, 1, 4],
	};
}

function importance({ hypercube }: StudySummary): Section[] {
	if (hypercube === null) return [];
	const { r_squared, points } = hypercube;
	const chance = spearman95(points);
	const names: OutcomeName[] = ["ratio", "all_cpus_share", "round_robin_share", "all_cpus_bps", "round_robin_bps"];
	return [
		{
			title: "Which costs matter when all vary",
			text: [
				...(r_squared === null
					? ["Too few points for a regression: rank correlations only."]
					: [
							`\`weight\`: standardised coefficient of the regression of the ratio's rank on all ranks, which explains ${percent(r_squared)} of its variance.`,
						]),
				`The other columns are rank correlations (Spearman); chance alone exceeds ${chance.toFixed(2)} in one case of twenty.`,
			],
			rows: [
				["cost", "weight", ...names.map((name) => LABELS[name].replace(" round-robin : all-cpus, own", ""))],
				...hypercube.importance
					.slice(0, SHOWN)
					.map(({ name, coefficient, spearman }) => [
						name,
						coefficient === null ? "" : coefficient.toFixed(2),
						...names.map((outcome) => spearman[outcome].toFixed(2)),
					]),
			],
			left: [0],
		},
	];
}

function check({ base }: StudyOptions, { hypercube }: StudySummary): Section[] {
	if (hypercube === null || hypercube.check === null) return [];
	const { points, correlation, difference } = hypercube.check;
	return [
		{
			title: "Are runs this short good enough?",
			text: [
				`${points} points were also run for the length \`ifwg compare\` has, instead of ${formatDuration(base.duration_ns)}. ` +
					`Their ratios and those of the short runs correlate with ${correlation.toFixed(2)};`,
				`the long run's less the short one's is ${difference.mean.toFixed(2)} on average, with a standard deviation of ${difference.stddev.toFixed(2)}.`,
			],
			rows: [],
			left: [],
		},
	];
}

function sections(options: StudyOptions, summary: StudySummary): Section[] {
	return [
		...conclusions(summary),
		outcomes(summary),
		tornado(options, summary),
		...importance(summary),
		...check(options, summary),
	];
}

function describe(options: StudyOptions): string[] {
	const { vary, points, seeds, base_seeds } = options;
	return [
		...describeScenario(options.base),
		`${vary.length} costs varied over their sourced ranges: one at a time at both ends (${seeds} seed${seeds === 1 ? "" : "s"} each)` +
			`${points === 0 ? "" : `, and all at once at ${points} points`}; ${base_seeds} seeds with the usual costs.`,
	];
}

export function renderStudy(options: StudyOptions, summary: StudySummary): string {
	const body = sections(options, summary).flatMap(({ title, text, rows, left }) => [
		"",
		title,
		...indent([...text.map((line) => line.replaceAll("`", "")), ...table(rows, left)]),
	]);
	return [...describe(options), ...body].join("\n");
}

/** The line that makes the study again, or goes on with it. */
export function studyCommand(options: StudyOptions, vary: string | undefined): string {
	const { base } = options;
	const words = commandLine({ ...base, cost_only: false })
		.replace(/ifwg run --policy \S+ --crypto \S+/, "ifwg sensitivity")
		.replace(/ --(?:duration|warmup|seed) \S+/g, "")
		.split(" ");
	const add = (name: string, value: string | number, usual: string | number): void => {
		if (value !== usual) words.push(`${name} ${value}`);
	};
	add("--duration", formatDuration(base.duration_ns), DEFAULT_STUDY.duration);
	add("--warmup", formatDuration(base.warmup_ns), DEFAULT_STUDY.warmup);
	add("--seed", base.seed, DEFAULT_SEED);
	add("--points", options.points, DEFAULT_STUDY.points);
	add("--seeds", options.seeds, DEFAULT_STUDY.seeds);
	add("--base-seeds", options.base_seeds, DEFAULT_STUDY.base_seeds);
	add("--checks", options.checks, DEFAULT_STUDY.checks);
	if (vary !== undefined) words.push(`--vary ${vary}`);
	return words.join(" ");
}

export function studyMarkdown(options: StudyOptions, summary: StudySummary, command: string): string {
	const { base } = options;
	const costs = Object.keys(base.costs).length > 0 ? [`Costs changed throughout: ${formatCosts(base.costs)}.`] : [];
	return [
		"# How firmly does it stand?",
		"",
		"Every cost in the model has a range it may plausibly lie in (`npx ifwg list costs`). Here they are moved over it. A model's figures, not measurements.",
		"",
		...describe(options),
		...costs,
		"A value is drawn so that half of the points lie below the usual one and half above, evenly on either side.",
		"Costs that no run charges while data flows cannot matter and are left out.",
		...sections(options, summary).flatMap(({ title, text, rows, left }) => [
			"",
			`## ${title}`,
			"",
			...text,
			...(rows.length > 0 ? ["", ...markdownTable(rows, left)] : []),
		]),
		"",
		`Made by \`${command} --write\`.`,
		"",
	].join("\n");
}
