/** `ifwg trace`: a program over several runs, and what it has come to in all of them. */
import { loadDriver } from "../driver.ts";
import "../generic.ts";
import type { RunOptions } from "../options.ts";
import { compiledWorker, doAll, type PoolOptions } from "../pool.ts";
import type { RunResult } from "../result.ts";
import { Aggregation, type Table } from "./aggregation.ts";
import { Program } from "./program.ts";
import attemptTrace, { type TraceJob } from "./worker.ts";

export interface Trace {
	readonly tables: Table[];
	/** what went wrong in a program while it ran, by run */
	readonly complaints: string[];
	readonly results: RunResult[];
}

export interface TraceOptions {
	readonly program: string;
	readonly whole: boolean;
	readonly policies: readonly string[];
	readonly seeds: readonly number[];
	readonly base: RunOptions;
}

/** Throws a UsageError if the program makes no sense, before any run is made. */
export async function checkProgram(program: string, driver: string | null): Promise<void> {
	await loadDriver(driver);
	new Program(program, { policy: "", seed: 0, one_of_many: false });
}

/** One job for each policy and seed. */
export function planTrace({ program, whole, policies, seeds, base }: TraceOptions): TraceJob[] {
	const one_of_many = policies.length > 1;
	return policies.flatMap((policy) =>
		seeds.map((seed) => ({ options: { ...base, policy, seed }, program, whole, one_of_many })),
	);
}

/** Makes the runs and puts together what each has found: the number of workers and their order change nothing. */
export async function trace(jobs: readonly TraceJob[], options: PoolOptions = {}): Promise<Trace> {
	const work = { here: attemptTrace, file: compiledWorker(new URL("./worker.js", import.meta.url)) };
	const runs = await doAll(jobs, work, options);
	const [first] = runs;
	const tables = first.tables.map((shape, i) => {
		const whole = new Aggregation(shape);
		for (const run of runs) whole.merge(run.tables[i].rows);
		return whole.table();
	});
	const complaints = runs.flatMap(({ result, complaints: said }) =>
		said.map((what) => `${result.policy}, seed ${result.seed}: ${what}`),
	);
	return { tables, complaints, results: runs.map(({ result }) => result) };
}
