/** What a worker thread does for `ifwg trace`: one run with a program that watches it. */

import type { LoadedPolicy } from "../driver.ts";
import type { RunOptions } from "../options.ts";
import type { RunResult } from "../result.ts";
import { simulate } from "../run.ts";
import type { Watcher } from "../watcher.ts";
import { type Outcome, outcomeOf } from "../worker.ts";
import type { Table } from "./aggregation.ts";
import { Program } from "./program.ts";

export interface TraceJob {
	readonly options: RunOptions;
	readonly program: string;
	/** from boot to the end, not only while the run is measured */
	readonly whole: boolean;
	/** see RunFacts */
	readonly one_of_many: boolean;
}

/** What a program has come to in one run. */
export interface TracedRun {
	readonly result: RunResult;
	readonly tables: Table[];
	/** what went wrong in the program while it ran */
	readonly complaints: string[];
}

/** A program that listens while it should. */
class ProgramWatcher implements Watcher {
	program: Program | null = null;
	private readonly job: TraceJob;
	private detach: (() => void) | null = null;

	constructor(job: TraceJob) {
		this.job = job;
	}

	boot(policy: LoadedPolicy): void {
		const { program, options, one_of_many, whole } = this.job;
		this.program = new Program(program, { policy: policy.name, seed: options.seed, one_of_many });
		if (whole) this.detach = this.program.attach();
	}

	mark(): void {
		if (!this.job.whole) this.detach = this.program?.attach() ?? null;
	}

	end(): void {
		if (!this.job.whole) this.close();
	}

	close(): void {
		this.detach?.();
		this.detach = null;
	}
}

export default function attemptTrace(job: TraceJob): Promise<Outcome<TracedRun>> {
	return outcomeOf(async () => {
		const watcher = new ProgramWatcher(job);
		const { result } = await simulate(job.options, null, watcher);
		const { program } = watcher;
		return { result, tables: program?.tables() ?? [], complaints: program?.complaints() ?? [] };
	});
}
