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
import type { RunResult, Timed } from "./result.ts";
import { attempt, type Outcome } from "./worker.ts";

export interface PoolOptions {
	/** worker threads; all the host's cores when left out. 1 runs in this thread. */
	readonly workers?: number | undefined;
	/** called after each run, whichever it was */
	readonly onDone?: (done: number, total: number) => void;
	/** called with each result as it comes, in the order of arrival; `at` is the run's place among the jobs */
	readonly onResult?: ((result: RunResult, at: number) => void) | undefined;
}

/** The compiled worker, if this is the compiled program: Node runs no TypeScript in a thread. */
function workerFile(): string | null {
	const file = fileURLToPath(new URL("./worker.js", import.meta.url));
	return existsSync(file) ? file : null;
}

/** Gives the result, or throws what went wrong. */
export function unwrap(outcome: Outcome): Timed {
	switch (outcome.kind) {
		case "result":
			return outcome.timed;
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

/** Runs all of `jobs`. The first of them that fails, in their order, decides what is thrown. */
export async function runAll(jobs: readonly RunOptions[], options: PoolOptions = {}): Promise<Timed[]> {
	const wanted = Math.min(options.workers ?? availableParallelism(), jobs.length);
	const file = workerFile();
	return wanted <= 1 || file === null ? runHere(jobs, options) : runInThreads(jobs, wanted, file, options);
}

async function runHere(jobs: readonly RunOptions[], options: PoolOptions): Promise<Timed[]> {
	const results: Timed[] = [];
	for (const job of jobs) {
		const timed = unwrap(await attempt(job));
		options.onResult?.(timed.result, results.length);
		results.push(timed);
		options.onDone?.(results.length, jobs.length);
	}
	return results;
}

async function runInThreads(
	jobs: readonly RunOptions[],
	workers: number,
	filename: string,
	options: PoolOptions,
): Promise<Timed[]> {
	const pool = new Tinypool({ filename, runtime: "worker_threads", minThreads: workers, maxThreads: workers });
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
				const outcome = (await pool.run(job)) as Outcome;
				if (outcome.kind === "result") options.onResult?.(outcome.timed.result, at);
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
