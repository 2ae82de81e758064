/**
 * What a report is made from: the comparison itself, and a few short runs of the same kind that a comparison of one machine
 * cannot show. All of them go through the same functions as the comparison does.
 */
import { findProfile } from "../../src/machine/profile.ts";
import { type CompareOptions, type Comparison, planComparison, summariseComparison } from "../compare.ts";
import { commandLine, DEFAULT_MACHINE, type RunOptions } from "../options.ts";
import type { Timed } from "../result.ts";
import { SCAN_CPUS } from "../scan.ts";
import type { Stretch } from "../stretch.ts";
import type { Sensitivity } from "./sensitivity.ts";

/** Runs on other numbers of CPUs are at most this long: their figures are for the shape of a curve. */
const SCAN_DURATION_NS = 5_000_000;
const SCAN_WARMUP_NS = 5_000_000;
/** About twenty full-size packets at a gigabit a second. */
export const STRETCH_NS = 200_000;
/** Timelines of more policies than this are too far apart to be compared by eye. */
const STRETCHES = 2;

export interface ReportPlan {
	readonly main: CompareOptions;
	/** one for each number of CPUs; none if no scan is wanted */
	readonly scan: readonly CompareOptions[];
	/** the same on a virtual machine, or, if this is one, on bare metal */
	readonly elsewhere: CompareOptions;
	/** runs of which the first STRETCH_NS measured are drawn */
	readonly stretches: readonly RunOptions[];
}

export interface ReportData {
	readonly comparison: Comparison;
	readonly scan: readonly Comparison[];
	readonly elsewhere: Comparison;
	readonly stretches: readonly Stretch[];
	readonly sensitivity: Sensitivity | null;
}

export function planReport(main: CompareOptions, scan: boolean): ReportPlan {
	const { base, policies, cryptos, seeds } = main;
	const one = { ...main, cryptos: cryptos.slice(0, 1), seeds: seeds.slice(0, 1), others: false };
	const short = {
		...base,
		duration_ns: Math.min(base.duration_ns, SCAN_DURATION_NS),
		warmup_ns: Math.min(base.warmup_ns, SCAN_WARMUP_NS),
	};
	const machine = findProfile(base.machine)?.virtualised === true ? DEFAULT_MACHINE : "vm";
	return {
		main,
		scan: scan ? SCAN_CPUS.map((cpus) => ({ ...one, base: { ...short, cpus } })) : [],
		elsewhere: { ...one, base: { ...base, machine } },
		stretches: policies.slice(0, STRETCHES).map((policy) => ({ ...base, policy, crypto: cryptos[0], seed: seeds[0] })),
	};
}

/** All runs, none twice: a short comparison has made some of the scan's already. */
export function reportJobs(plan: ReportPlan): RunOptions[] {
	const jobs = [plan.main, ...plan.scan, plan.elsewhere].flatMap(planComparison);
	return [...new Map(jobs.map((job) => [commandLine(job), job])).values()];
}

/** @param timed what the runs of `reportJobs` gave, in that order */
export function summariseReport(
	plan: ReportPlan,
	timed: readonly Timed[],
	stretches: readonly Stretch[],
	sensitivity: Sensitivity | null,
): ReportData {
	const made = new Map(reportJobs(plan).map((job, i) => [commandLine(job), timed[i]]));
	const summarise = (options: CompareOptions): Comparison =>
		summariseComparison(
			options,
			planComparison(options).map((job) => made.get(commandLine(job))!),
		);
	return {
		comparison: summarise(plan.main),
		scan: plan.scan.map(summarise),
		elsewhere: summarise(plan.elsewhere),
		stretches,
		sensitivity,
	};
}
