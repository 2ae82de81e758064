/**
 * Which runs a sensitivity study makes: the usual costs with several seeds, each constant at either end of its range, and points
 * of a Latin hypercube, in which all constants differ at once. A function of its options; nothing here is drawn from the host.
 */
import type { CostName } from "../../src/machine/cost/table.ts";
import { findProfile, type MachineProfile } from "../../src/machine/profile.ts";
import { RandomStream } from "../../src/machine/random.ts";
import { type CostValues, costOf, orderCosts } from "../costs.ts";
import { type Crypto, DEFAULT_DURATION_NS, DEFAULT_WARMUP_NS, type RunOptions } from "../options.ts";

/** What is run at every point: both policies, with the driver's own ciphers and with ossl(4). */
export const VARIANTS: readonly { readonly policy: string; readonly crypto: Crypto }[] = [
	{ policy: "all-cpus", crypto: "own" },
	{ policy: "round-robin", crypto: "own" },
	{ policy: "all-cpus", crypto: "ossl" },
	{ policy: "round-robin", crypto: "ossl" },
];

export interface StudyOptions {
	/** everything but costs, policy, cipher and seed; its seed is the first one used, and that of the sampling */
	readonly base: RunOptions;
	/** constants to vary */
	readonly vary: readonly CostName[];
	/** points of the hypercube */
	readonly points: number;
	/** seeds at each end of each range */
	readonly seeds: number;
	/** seeds with the usual costs: how far seeds alone move a result */
	readonly base_seeds: number;
	/** points of the hypercube that are also run for the usual length */
	readonly checks: number;
}

/** How much a study does unless somebody says otherwise. */
export const DEFAULT_STUDY = {
	duration: "5ms",
	warmup: "5ms",
	points: 500,
	seeds: 3,
	base_seeds: 12,
	checks: 20,
	results: "results/sensitivity.jsonl",
	page: "docs/sensitivity.md",
} as const;

export interface Point {
	/** unique in a results file: `base 1`, `low atomic 2`, `hypercube 17/500`, `long hypercube 17/500` */
	readonly id: string;
	/** costs that differ from the machine's */
	readonly costs: CostValues;
	readonly seed: number;
	readonly duration_ns: number;
	readonly warmup_ns: number;
}

/** One run of a study. */
export interface Job {
	readonly point: Point;
	readonly options: RunOptions;
}

/** Enough digits for any constant, and a command line that can be read. */
const DIGITS = 4;

/**
 * The value at quantile `u` of a constant, 0 <= u < 1. Half of all points lie below the usual value and half above, evenly on
 * either side: most ranges reach farther up than down, and evenly over the whole they would make everything dearer.
 */
export function valueAt(profile: MachineProfile, name: CostName, u: number): number {
	const { value, range, unit } = costOf(profile, name);
	const [low, high] = range;
	if (unit === "count") return low + Math.floor(u * (high - low + 1));
	const one_sided = value === low || value === high;
	const exact = one_sided
		? low + u * (high - low)
		: u < 0.5
			? low + 2 * u * (value - low)
			: value + (2 * u - 1) * (high - value);
	return Math.min(high, Math.max(low, Number(exact.toPrecision(DIGITS))));
}

/** A permutation of 0..n-1. */
function shuffled(n: number, random: RandomStream): number[] {
	const order = Array.from({ length: n }, (_, i) => i);
	for (let i = n - 1; i > 0; i--) {
		const j = random.uniform(i + 1);
		[order[i], order[j]] = [order[j], order[i]];
	}
	return order;
}

/**
 * A Latin hypercube: for each constant, one point in each of `n` equally likely slices of its range. Every constant has a
 * random stream of its own, so that one constant more in the model leaves the values of the others as they were.
 */
export function latinHypercube(
	profile: MachineProfile,
	names: readonly CostName[],
	n: number,
	seed: number,
): CostValues[] {
	const columns = names.map((name) => {
		const random = new RandomStream(seed, `hypercube ${name}`);
		return shuffled(n, random).map((slice) => (slice + random.uint32() / 0x1_0000_0000) / n);
	});
	return Array.from({ length: n }, (_, i) =>
		orderCosts(Object.fromEntries(names.map((name, at) => [name, valueAt(profile, name, columns[at][i])])), profile),
	);
}

/** The hypercube of a study. */
export function latinHypercubeOf({ base, vary, points }: StudyOptions): CostValues[] {
	return latinHypercube(findProfile(base.machine)!, vary, points, base.seed);
}

export function baseId(i: number): string {
	return `base ${i + 1}`;
}

export function endId(end: "low" | "high", name: CostName, i: number): string {
	return `${end} ${name} ${i + 1}`;
}

/** The number of points is part of the name: a hypercube of another size is another one altogether. */
export function hypercubeId(i: number, n: number): string {
	return `hypercube ${i + 1}/${n}`;
}

export function longId(i: number, n: number): string {
	return `long ${hypercubeId(i, n)}`;
}

/** All points of a study, the cheap answers first. */
export function studyPoints(options: StudyOptions): Point[] {
	const { base, vary, points, seeds, base_seeds, checks } = options;
	const { duration_ns, warmup_ns } = base;
	const profile = findProfile(base.machine)!;
	const of = (id: string, costs: CostValues, i: number): Point => {
		return { id, costs, seed: base.seed + i, duration_ns, warmup_ns };
	};
	const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
	const hypercube = latinHypercubeOf(options);
	return [
		...range(base_seeds).map((i) => of(baseId(i), base.costs, i)),
		...vary.flatMap((name) => {
			const [low, high] = costOf(profile, name).range;
			return range(seeds).flatMap((i) => [
				of(endId("low", name, i), orderCosts({ ...base.costs, [name]: low }, profile), i),
				of(endId("high", name, i), orderCosts({ ...base.costs, [name]: high }, profile), i),
			]);
		}),
		...hypercube.map((costs, i) => of(hypercubeId(i, points), orderCosts({ ...base.costs, ...costs }, profile), i)),
		...hypercube.slice(0, checks).map((costs, i) => ({
			...of(longId(i, points), orderCosts({ ...base.costs, ...costs }, profile), i),
			duration_ns: DEFAULT_DURATION_NS,
			warmup_ns: DEFAULT_WARMUP_NS,
		})),
	];
}

export function studyJobs(options: StudyOptions): Job[] {
	return studyPoints(options).flatMap((point) => {
		const { costs, seed, duration_ns, warmup_ns } = point;
		return VARIANTS.map((variant) => ({
			point,
			options: { ...options.base, ...variant, costs, seed, duration_ns, warmup_ns },
		}));
	});
}

/** How a constant is written where its range is shown. */
export function rangeText(profile: MachineProfile, name: CostName): string {
	const { value, range, unit } = costOf(profile, name);
	return `${range[0]} .. ${value} .. ${range[1]} ${unit.replaceAll("_", " ").replace("mcycles per byte", "mc/B")}`;
}
