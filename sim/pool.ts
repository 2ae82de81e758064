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
}

/** Called with what comes back, in the order of arrival; `at` is the job's place among the jobs. */
type OnOutcome<R> = (outcome: R, at: number) => void;

/** What a pool's threads do: a function of a job, in a module of its own that exports it as default. */
export interface Work<J, R> {
	readonly here: (job: J) => Promise<R>;
	/** the module, compiled, by its URL */
	readonly module: URL;
}

const RUN: Work<RunOptions, Outcome> = { here: attempt, module: new URL("./worker.js", import.meta.url) };

/** The compiled module, if this is the compiled program: Node runs no TypeScript in a thread. */
function workerFile(module: URL): string | null {
	const file = fileURLToPath(module);
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
export async function runAll(
	jobs: readonly RunOptions[],
	options: PoolOptions & { readonly onResult?: OnOutcome<RunResult> | undefined } = {},
): Promise<Timed[]> {
	return workAll(jobs, RUN, unwrap, options, (outcome, at) => {
		if (outcome.kind === "result") options.onResult?.(outcome.timed.result, at);
	});
}

/** Does `work` for all of `jobs`; `open` makes a result of what comes back, or throws what went wrong. */
export async function workAll<J, R, T>(
	jobs: readonly J[],
	work: Work<J, R>,
	open: (outcome: R) => T,
	options: PoolOptions = {},
	onOutcome: OnOutcome<R> = () => {},
): Promise<T[]> {
	const wanted = Math.min(options.workers ?? availableParallelism(), jobs.length);
	const file = workerFile(work.module);
	if (wanted > 1 && file !== null) return (await inThreads<J, R>(jobs, wanted, file, options, onOutcome)).map(open);
	const results: T[] = [];
	for (const job of jobs) {
		const outcome = await work.here(job);
		onOutcome(outcome, results.length);
		results.push(open(outcome));
		options.onDone?.(results.length, jobs.length);
	}
	return results;
}

async function inThreads<J, R>(
	jobs: readonly J[],
	workers: number,
	filename: string,
	options: PoolOptions,
	onOutcome: OnOutcome<R>,
): Promise<R[]> {
	const pool = new Tinypool({ filename, runtime: "worker_threads", minThreads: workers, maxThreads: workers });
	// threads are in the middle of a computation when Ctrl-C comes; nothing of theirs is on disk, so they may just end
	const interrupted = (): void => {
		process.stderr.write("\nifwg: interrupted\n");
		process.exit(EXIT_INTERRUPTED);
	};
	process.once("SIGINT", interrupted);
	try {
		let done = 0;
		return await Promise.all(
			jobs.map(async (job, at) => {
				const outcome = (await pool.run(job)) as R;
				onOutcome(outcome, at);
				options.onDone?.(++done, jobs.length);
				return outcome;
			}),
		);
	} finally {
		process.off("SIGINT", interrupted);
		await pool.destroy();
	}
}
