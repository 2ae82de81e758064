/** Own ciphers, cryptosoft and ossl, under each policy, with few CPUs and many. */
import { gain, mean } from "../compare.ts";
import { CRYPTOS, type Crypto, parseRunOptions, type RunOptions } from "../options.ts";
import { table } from "../report/table.ts";
import { describeScenario } from "../report/text.ts";
import type { RunResult } from "../result.ts";
import { gigabits, percent } from "../units.ts";

export const CIPHER_CPUS = [2, 4, 8, 16];
const POLICIES = ["all-cpus", "round-robin", "linux-style"];

export interface CipherRow {
	readonly cpus: number;
	readonly policy: string;
	readonly crypto: Crypto;
	readonly throughput_bps: number;
	readonly useful_task_share: number;
	/** throughput against the driver's own ciphers: 0.3 is +30 % */
	readonly gain: number;
}

export function planCiphers(base: RunOptions, seeds: readonly number[]): RunOptions[] {
	return CIPHER_CPUS.flatMap((cpus) =>
		POLICIES.flatMap((policy) =>
			CRYPTOS.flatMap((crypto) => seeds.map((seed) => ({ ...base, cpus, policy, crypto, seed }))),
		),
	);
}

export function cipherBase(machine: string, duration?: string): RunOptions {
	return parseRunOptions({ machine, duration, costOnly: true });
}

export function summariseCiphers(results: readonly RunResult[]): CipherRow[] {
	return CIPHER_CPUS.flatMap((cpus) =>
		POLICIES.flatMap((policy) => {
			const at = (crypto: Crypto) =>
				results.filter((run) => run.cpus === cpus && run.policy === policy && run.crypto === crypto);
			const bps = (crypto: Crypto): number => mean(at(crypto).map((run) => run.throughput_bps));
			return CRYPTOS.map((crypto) => ({
				cpus,
				policy,
				crypto,
				throughput_bps: bps(crypto),
				useful_task_share: mean(at(crypto).map((run) => run.useful_task_share)),
				gain: bps(crypto) / bps("own") - 1,
			}));
		}),
	);
}

export function renderCiphers(base: RunOptions, rows: readonly CipherRow[]): string[] {
	const lines = CIPHER_CPUS.flatMap((cpus) =>
		POLICIES.map((policy) => {
			const of = (crypto: Crypto): CipherRow =>
				rows.find((row) => row.cpus === cpus && row.policy === policy && row.crypto === crypto)!;
			return [
				String(cpus),
				policy,
				...CRYPTOS.map((crypto) => gigabits(of(crypto).throughput_bps)),
				...CRYPTOS.slice(1).map((crypto) => gain(of(crypto).gain)),
				...CRYPTOS.map((crypto) => percent(of(crypto).useful_task_share)),
			];
		}),
	);
	return [
		...describeScenario(base).map((line) => line.replace(/, [0-9]+ CPUs?/, "")),
		"Throughput in Gb/s, what another cipher gains on the driver's own, and the share of tasks that found work.",
		...table(
			[
				[
					"CPUs",
					"policy",
					...CRYPTOS,
					...CRYPTOS.slice(1).map((name) => `+${name}`),
					...CRYPTOS.map((name) => `${name} useful`),
				],
				...lines,
			],
			[1],
		),
	];
}
