/**
 * Many runs at once, on all cores of the host. Results come in the order the runs were asked for, never in that of arrival,
 * so the number of workers changes nothing but the time it takes.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import { EXIT_INTERRUPTED, PanicError, UsageError } from "./errors.ts";
import type { RunOptions } from "./options.ts";
import type { Timed } from "./result.ts";
import { attempt, type Outcome } from "./worker.ts";

export interface PoolOptions {
	/** worker threads; all the host's cores when left out. 1 runs in this thread. */
	readonly workers?: number | undefined;
	/** called after each run, whichever it was */
	readonly onDone?: (done: number, total: number) => void;
}

/** Called with each result as it comes, in the order of arrival; `at` is the job's place among the jobs. */
type OnResult<T> = (result: T, at: number) => void;

/** What is done for each job, here or in a thread. */
export interface Work<J, T> {
	readonly here: (job: J) => Promise<Outcome<T>>;
	/** the compiled module whose default export does the same; null if this is not the compiled program */
	readonly file: string | null;
}

/** Memory for what a worker has made and soon forgets, MB. Node's own choice, 48, is no faster and all of it gets used. */
const YOUNG_MB = 24;

/** The compiled worker at `url`, if this is the compiled program: Node runs no TypeScript in a thread. */
export function compiledWorker(url: URL): string | null {
	const file = fileURLToPath(url);
	return existsSync(file) ? file : null;
}

/** Gives the result, or throws what went wrong. */
export function unwrap<T>(outcome: Outcome<T>): T {
	switch (outcome.kind) {
		case "result":
			return outcome.value;
		case "panic":
			throw new PanicError(outcome.report);
		case "usage":
			throw new UsageError(outcome.message);
		case "internal": {
			const error = new Error(outcome.message);
			error.stack = outcome.stack;
			throw error;
		}
	}
}

/** Makes all runs of `jobs`. The first of them that fails, in their order, decides what is thrown. */
export function runAll(
	jobs: readonly RunOptions[],
	options: PoolOptions = {},
	onResult: OnResult<Timed> = () => {},
): Promise<Timed[]> {
	const work = { here: attempt, file: compiledWorker(new URL("./worker.js", import.meta.url)) };
	return doAll(jobs, work, options, onResult);
}

/** The same for any other work. */
export async function doAll<J, T>(
	jobs: readonly J[],
	work: Work<J, T>,
	options: PoolOptions = {},
	onResult: OnResult<T> = () => {},
): Promise<T[]> {
	const wanted = Math.min(options.workers ?? availableParallelism(), jobs.length);
	const { file } = work;
	if (wanted > 1 && file !== null) return doInThreads(jobs, wanted, file, options, onResult);
	const results: T[] = [];
	for (const job of jobs) {
		const result = unwrap(await work.here(job));
		onResult(result, results.length);
		results.push(result);
		options.onDone?.(results.length, jobs.length);
	}
	return results;
}

async function doInThreads<J, T>(
	jobs: readonly J[],
	workers: number,
	filename: string,
	options: PoolOptions,
	onResult: OnResult<T>,
): Promise<T[]> {
	const pool = new Tinypool({
		filename,
		runtime: "worker_threads",
		minThreads: workers,
		maxThreads: workers,
		resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
	});
	// threads are in the middle of a computation when Ctrl-C comes; nothing of theirs is on disk, so they may just end
	const interrupted = (): void => {
		process.stderr.write("\nifwg: interrupted\n");
		process.exit(EXIT_INTERRUPTED);
	};
	process.once("SIGINT", interrupted);
	try {
		let done = 0;
		const outcomes = await Promise.all(
			jobs.map(async (job, at) => {
				const outcome = (await pool.run(job)) as Outcome<T>;
				if (outcome.kind === "result") onResult(outcome.value, at);
				options.onDone?.(++done, jobs.length);
				return outcome;
			}),
		);
		return outcomes.map(unwrap);
	} finally {
		process.off("SIGINT", interrupted);
		await pool.destroy();
	}
}
