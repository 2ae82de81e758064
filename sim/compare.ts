/**
 * `ifwg compare`: the same packets under several policies and ciphers, and what follows from the differences.
 */
import { compareSets, type Difference, type Summary, summarise } from "./ministat.ts";
import type { Crypto, RunOptions } from "./options.ts";
import { EXPECTED, type PublishedName, published } from "./published.ts";
import type { RunResult, Timed } from "./result.ts";
import { gigabits, percent } from "./units.ts";

export interface CompareOptions {
	/** everything that is the same in all runs */
	readonly base: RunOptions;
	/** the first is what others are compared against */
	readonly policies: readonly string[];
	readonly cryptos: readonly Crypto[];
	readonly seeds: readonly number[];
	/** also make the runs for published figures of other machines: two Xeon Ds, 4 and 8 Atom cores */
	readonly others: boolean;
}

/** All runs of one policy with one cipher. */
export interface Cell {
	readonly policy: string;
	readonly crypto: string;
	readonly runs: readonly RunResult[];
	readonly throughput: Summary;
}

export interface Validation {
	readonly name: PublishedName;
	readonly what: string;
	readonly published: string;
	readonly expected: string;
	readonly ours: string;
	/** null: nothing is expected, or this comparison does not show it */
	readonly holds: boolean | null;
	readonly source: string;
}

export interface CompareSummary {
	/** second policy : first policy, first cipher; null with one policy */
	throughput_ratio: number | null;
	/** by policy, against the first; each by cipher */
	throughput_ratios: { policy: string; crypto: string; ratio: number }[];
	/** gain of each further policy over the first, by cipher: 1.3 is +130 % */
	policy_gains: { policy: string; crypto: string; gain: number }[];
	/** gain of each further cipher over the first, by policy */
	crypto_gains: { crypto: string; policy: string; gain: number }[];
	useful_task_shares: { policy: string; crypto: string; share: number }[];
	validation: Validation[];
}

/** Runs on other machines than the comparison's; none unless they were asked for. */
export interface Others {
	/** between two Xeon Ds, one for each seed */
	readonly pair: readonly RunResult[];
	/** on 4 and 8 Atom cores */
	readonly atom: readonly RunResult[];
}

export interface Comparison {
	readonly options: CompareOptions;
	readonly cells: readonly Cell[];
	readonly others: Others;
	readonly summary: CompareSummary;
	readonly host_seconds: number;
}

const ATOM_CPUS = [4, 8];
/** as the router tests: small datagrams of many flows in one tunnel, more than it can take */
const ATOM_STREAMS = 16;
const ATOM_PAYLOAD = 500;
const ATOM_BPS_EACH = 100_000_000;

/** Netgate's ends were two machines, with ciphers in assembly. */
function pairJobs({ base, seeds }: CompareOptions): RunOptions[] {
	return seeds.map((seed) => ({
		...base,
		machine: "xeon-d",
		cpus: 8,
		hosts: 2,
		policy: "all-cpus",
		crypto: "ossl",
		seed,
	}));
}

function atomJobs(options: CompareOptions): RunOptions[] {
	return ATOM_CPUS.map((cpus) => ({
		...options.base,
		machine: "atom-c2758",
		cpus,
		policy: "all-cpus",
		crypto: "ossl",
		udp: true,
		reverse: false,
		streams: ATOM_STREAMS,
		length: ATOM_PAYLOAD,
		bandwidth_bps: ATOM_BPS_EACH,
		seed: options.seeds[0],
	}));
}

/** Every run of a comparison: cipher by cipher, policy by policy, seed by seed, then those on other machines. */
export function planComparison(options: CompareOptions): RunOptions[] {
	const jobs: RunOptions[] = [];
	for (const crypto of options.cryptos) {
		for (const policy of options.policies) {
			for (const seed of options.seeds) jobs.push({ ...options.base, crypto, policy, seed });
		}
	}
	return options.others ? [...jobs, ...pairJobs(options), ...atomJobs(options)] : jobs;
}

export function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Share of a cell's tasks that found work, over all its runs. */
export function usefulShare(cell: Cell): number {
	const scheduled = cell.runs.reduce((sum, run) => sum + run.tasks_scheduled, 0);
	const useful = cell.runs.reduce((sum, run) => sum + run.tasks_useful, 0);
	return scheduled === 0 ? 0 : useful / scheduled;
}

/** ministat's verdict on one cell against another. */
export function difference(of: Cell, against: Cell): Difference {
	return compareSets(
		against.runs.map((run) => run.throughput_bps),
		of.runs.map((run) => run.throughput_bps),
	);
}

export function summariseComparison(options: CompareOptions, timed: readonly Timed[]): Comparison {
	const results = timed.map((one) => one.result);
	const cells: Cell[] = [];
	let at = 0;
	for (const crypto of options.cryptos) {
		for (const policy of options.policies) {
			const runs = results.slice(at, at + options.seeds.length);
			at += options.seeds.length;
			cells.push({ policy, crypto, runs, throughput: summarise(runs.map((run) => run.throughput_bps)) });
		}
	}
	const pair = options.others ? results.slice(at, at + options.seeds.length) : [];
	const others = { pair, atom: results.slice(at + pair.length) };
	return {
		options,
		cells,
		others,
		summary: summaryOf(options, cells, others),
		host_seconds: timed.reduce((sum, one) => sum + one.host_seconds, 0),
	};
}

export function findCell(cells: readonly Cell[], policy: string, crypto: string): Cell | undefined {
	return cells.find((cell) => cell.policy === policy && cell.crypto === crypto);
}

function summaryOf(options: CompareOptions, cells: readonly Cell[], others: Others): CompareSummary {
	const { policies, cryptos } = options;
	const at = (policy: string, crypto: string): Cell => findCell(cells, policy, crypto)!;
	const ratio = (of: Cell, against: Cell): number => of.throughput.avg / against.throughput.avg;
	const throughput_ratios = policies
		.slice(1)
		.flatMap((policy) =>
			cryptos.map((crypto) => ({ policy, crypto, ratio: ratio(at(policy, crypto), at(policies[0], crypto)) })),
		);
	const crypto_gains = cryptos
		.slice(1)
		.flatMap((crypto) =>
			policies.map((policy) => ({ crypto, policy, gain: ratio(at(policy, crypto), at(policy, cryptos[0])) - 1 })),
		);
	return {
		throughput_ratio: throughput_ratios[0]?.ratio ?? null,
		throughput_ratios,
		policy_gains: throughput_ratios.map(({ policy, crypto, ratio }) => ({ policy, crypto, gain: ratio - 1 })),
		crypto_gains,
		useful_task_shares: cells.map((cell) => ({
			policy: cell.policy,
			crypto: cell.crypto,
			share: usefulShare(cell),
		})),
		validation: validate(options, cells, others),
	};
}

/** What `ifwg compare --json` prints. */
export function comparisonJson({ cells, others, summary }: Comparison): object {
	return { runs: cells.flatMap((cell) => cell.runs), pair_runs: others.pair, atom_runs: others.atom, summary };
}

/** Signed per cent. */
export function gain(value: number): string {
	return `${value >= 0 ? "+" : ""}${(value * 100).toFixed(0)} %`;
}

function within(value: number, [low, high]: readonly [number, number]): boolean {
	return value >= low && value <= high;
}

/** The published figures this comparison has something to say about. They were measured on 8 CPUs with one TCP stream. */
function validate(options: CompareOptions, cells: readonly Cell[], { pair, atom }: Others): Validation[] {
	const rows: Validation[] = [];
	const add = (name: PublishedName, ours: string, holds: boolean | null): void => {
		rows.push({ ...published[name], ours, holds });
	};
	const { base, cryptos } = options;
	const comparable = base.cpus === 8 && base.streams === 1 && !base.udp;
	const crypto = cryptos[0];
	const old = findCell(cells, "all-cpus", crypto);
	const now = findCell(cells, "round-robin", crypto);
	const old_ossl = findCell(cells, "all-cpus", "ossl");
	if (comparable && old !== undefined) {
		const share = usefulShare(old);
		add("share_all_cpus", percent(share), within(share, EXPECTED.share_all_cpus));
	}
	if (comparable && now !== undefined) {
		const share = usefulShare(now);
		add("share_round_robin", percent(share), within(share, EXPECTED.share_round_robin));
	}
	if (comparable && old !== undefined && now !== undefined) {
		const ratio = now.throughput.avg / old.throughput.avg;
		add("throughput_ratio", ratio.toFixed(2), ratio > EXPECTED.throughput_ratio_above);
		if (old_ossl !== undefined && old_ossl !== old) {
			const ossl_gain = old_ossl.throughput.avg / old.throughput.avg - 1;
			const ours = `${gain(ratio - 1)} : ${gain(ossl_gain)}`;
			add("policy_beats_ossl", ours, ratio - 1 > EXPECTED.policy_over_ossl_above * ossl_gain && ratio > 1);
		}
	}
	const two = base.hosts === 2 && base.machine === "xeon-d" && comparable ? (old_ossl?.runs ?? []) : pair;
	if (two.length > 0) {
		const bps = mean(two.map((run) => run.throughput_bps));
		add("xeon_d_stream", `${gigabits(bps)} Gb/s`, within(bps, EXPECTED.xeon_d_bps));
	}
	if (atom.length === ATOM_CPUS.length) {
		add("atom_scaling", gain(atom[1].throughput_bps / atom[0].throughput_bps - 1), null);
	}
	return rows;
}
