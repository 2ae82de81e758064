/** What follows from the runs of a study. */
import type { CostName } from "../../src/machine/cost/table.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { costOf } from "../costs.ts";
import { summarise } from "../ministat.ts";
import { EXPECTED } from "../published.ts";
import { baseId, endId, hypercubeId, latinHypercubeOf, longId, type StudyOptions, VARIANTS } from "./design.ts";
import type { Journal, Metrics } from "./journal.ts";
import { pearson, quantile, type Regression, rankRegression, type Share, spearman, wilson } from "./statistics.ts";

/** What is read off the four runs of a point. */
export interface Outcome {
	/** throughput, round-robin : all-cpus, own ciphers; and the same with ossl */
	readonly ratio: number;
	readonly ratio_ossl: number;
	/** share of tasks that found work, own ciphers */
	readonly all_cpus_share: number;
	readonly round_robin_share: number;
	readonly all_cpus_bps: number;
	readonly round_robin_bps: number;
	/** throughput, ossl : own, under all-cpus */
	readonly ossl_ratio: number;
}

export type OutcomeName = keyof Outcome;

/** The runs of a point with several seeds, averaged as `ifwg compare` does: throughputs first, then ratios. */
function outcomeOf(seeds: readonly (readonly Metrics[])[]): Outcome {
	const total = (variant: number, field: "throughput_bps" | "tasks_scheduled" | "tasks_useful"): number =>
		seeds.reduce((sum, runs) => sum + runs[variant][field], 0);
	const bps = VARIANTS.map((_, variant) => total(variant, "throughput_bps") / seeds.length);
	const share = (variant: number): number => total(variant, "tasks_useful") / total(variant, "tasks_scheduled");
	return {
		ratio: bps[1] / bps[0],
		ratio_ossl: bps[3] / bps[2],
		all_cpus_share: share(0),
		round_robin_share: share(1),
		all_cpus_bps: bps[0],
		round_robin_bps: bps[1],
		ossl_ratio: bps[2] / bps[0],
	};
}

function within(value: number, [low, high]: readonly [number, number]): boolean {
	return value >= low && value <= high;
}

export const CONCLUSIONS: readonly { readonly text: string; readonly holds: (outcome: Outcome) => boolean }[] = [
	{ text: "round-robin wins, own ciphers", holds: (o) => o.ratio > 1 },
	{ text: "round-robin wins, ossl", holds: (o) => o.ratio_ossl > 1 },
	{ text: "it gains more than ossl does", holds: (o) => o.ratio > 1 && o.ratio > o.ossl_ratio },
	{
		text: "it gains more than twice what ossl does",
		holds: (o) => o.ratio > 1 && o.ratio - 1 > EXPECTED.policy_over_ossl_above * (o.ossl_ratio - 1),
	},
	{ text: "more than twice the throughput", holds: (o) => o.ratio > EXPECTED.throughput_ratio_above },
	{ text: "all-cpus share from 10 to 16 %", holds: (o) => within(o.all_cpus_share, EXPECTED.share_all_cpus) },
	{ text: "round-robin share from 55 to 75 %", holds: (o) => within(o.round_robin_share, EXPECTED.share_round_robin) },
];

export interface Spread {
	readonly mean: number;
	readonly stddev: number;
}

/** One constant at either end of its range, all others as usual. */
export interface Swing {
	readonly name: CostName;
	readonly low: Outcome;
	readonly high: Outcome;
	/** from the smallest to the largest of the three ratios: at the low end, as usual, at the high end */
	readonly swing: number;
	/** more than seeds alone would do, by either end against the usual costs */
	readonly clear: boolean;
}

export interface Importance {
	readonly name: CostName;
	/** rank correlation with each outcome */
	readonly spearman: { readonly [name in OutcomeName]: number };
	/** coefficient of the rank regression of the ratio; null with too few points */
	readonly coefficient: number | null;
}

export interface Quantiles {
	readonly min: number;
	readonly q05: number;
	readonly median: number;
	readonly q95: number;
	readonly max: number;
}

export interface Conclusion extends Share {
	readonly text: string;
	/** with the usual costs, seed by seed */
	readonly usual: Share;
}

export interface Check {
	readonly points: number;
	/** correlation of the ratio of short runs with that of runs of the usual length */
	readonly correlation: number;
	/** ratio of long runs less that of short ones: mean, and spread from point to point */
	readonly difference: Spread;
}

export interface StudySummary {
	/** with the usual costs */
	readonly usual: Outcome;
	/** of single seeds around that */
	readonly noise: { readonly [name in OutcomeName]: Spread };
	/** greatest first */
	readonly swings: readonly Swing[];
	/** null without a hypercube */
	readonly hypercube: {
		readonly points: number;
		readonly outcomes: { readonly [name in OutcomeName]: Quantiles };
		readonly conclusions: readonly Conclusion[];
		/** most important first */
		readonly importance: readonly Importance[];
		readonly r_squared: number | null;
		readonly check: Check | null;
	} | null;
}

/** An end of a range differs clearly when it lies this many standard errors of the seeds away. */
const CLEAR = 3;

export const OUTCOMES: readonly OutcomeName[] = [
	"ratio",
	"ratio_ossl",
	"all_cpus_share",
	"round_robin_share",
	"all_cpus_bps",
	"round_robin_bps",
	"ossl_ratio",
];

function perOutcome<T>(of: (name: OutcomeName) => T): { readonly [name in OutcomeName]: T } {
	return Object.fromEntries(OUTCOMES.map((name) => [name, of(name)])) as { [name in OutcomeName]: T };
}

function spread(values: readonly number[]): Spread {
	const { avg, stddev } = summarise(values);
	return { mean: avg, stddev };
}

function upTo(n: number): number[] {
	return Array.from({ length: n }, (_, i) => i);
}

/** Throws if a run of the study is missing. */
export function summariseStudy(options: StudyOptions, journal: Journal): StudySummary {
	const runsAt = (id: string): Metrics[] =>
		VARIANTS.map(({ policy, crypto }) => {
			const run = journal.find(id, policy, crypto);
			if (run === undefined) throw new Error(`no run at ${id}`);
			return run;
		});
	const single = (id: string): Outcome => outcomeOf([runsAt(id)]);
	const { vary, seeds, base_seeds } = options;
	const base = upTo(base_seeds).map((i) => single(baseId(i)));
	const noise = perOutcome((name) => spread(base.map((outcome) => outcome[name])));
	const usual = outcomeOf(upTo(base_seeds).map((i) => runsAt(baseId(i))));
	const error = noise.ratio.stddev * Math.sqrt(1 / seeds + 1 / base_seeds);
	const end = (which: "low" | "high", name: CostName): Outcome =>
		outcomeOf(upTo(seeds).map((i) => runsAt(endId(which, name, i))));
	const swings = vary
		.map((name) => {
			const low = end("low", name);
			const high = end("high", name);
			const away = Math.max(Math.abs(low.ratio - usual.ratio), Math.abs(high.ratio - usual.ratio));
			const three = [low.ratio, usual.ratio, high.ratio];
			return { name, low, high, swing: Math.max(...three) - Math.min(...three), clear: away > CLEAR * error };
		})
		.sort((a, b) => b.swing - a.swing);
	return { usual, noise, swings, hypercube: summariseHypercube(options, base, single) };
}

function summariseHypercube(
	options: StudyOptions,
	base: readonly Outcome[],
	single: (id: string) => Outcome,
): StudySummary["hypercube"] {
	const { points, checks, vary } = options;
	if (points === 0) return null;
	const outcomes = upTo(points).map((i) => single(hypercubeId(i, points)));
	const column = (name: OutcomeName): number[] => outcomes.map((outcome) => outcome[name]);
	const profile = findProfile(options.base.machine)!;
	const sampled = latinHypercubeOf(options);
	const inputs = vary.map((name) => sampled.map((costs) => costs[name] ?? costOf(profile, name).value));
	const regression: Regression | null = rankRegression(inputs, column("ratio"));
	const importance = vary
		.map((name, at) => ({
			name,
			spearman: perOutcome((outcome) => spearman(inputs[at], column(outcome))),
			coefficient: regression?.coefficients[at] ?? null,
		}))
		.sort((a, b) => weight(b) - weight(a));
	const long = upTo(Math.min(checks, points)).map((i) => single(longId(i, points)).ratio);
	const short = column("ratio").slice(0, long.length);
	return {
		points,
		outcomes: perOutcome((name) => {
			const values = column(name);
			const at = (q: number): number => quantile(values, q);
			return { min: at(0), q05: at(0.05), median: at(0.5), q95: at(0.95), max: at(1) };
		}),
		conclusions: CONCLUSIONS.map(({ text, holds }) => ({
			text,
			...wilson(outcomes.filter(holds).length, points),
			usual: wilson(base.filter(holds).length, base.length),
		})),
		importance,
		r_squared: regression?.r_squared ?? null,
		check:
			long.length < 2
				? null
				: {
						points: long.length,
						correlation: pearson(short, long),
						difference: spread(long.map((ratio, i) => ratio - short[i])),
					},
	};
}

function weight({ coefficient, spearman }: Importance): number {
	return Math.abs(coefficient ?? spearman.ratio);
}
