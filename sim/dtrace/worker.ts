/** What a worker thread does for `ifwg trace`: one run with a program that watches it. */
import type { RunOptions } from "../options.ts";
import type { Onlook, Onlooker } from "../run.ts";
import { attempt, type Outcome } from "../worker.ts";
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

export interface TraceOutcome {
	readonly outcome: Outcome;
	readonly tables: Table[];
	readonly complaints: string[];
}

/** A program that listens while it should. */
class Watcher implements Onlooker {
	private readonly program: Program;
	private readonly whole: boolean;
	private detach: (() => void) | null;

	constructor(program: Program, whole: boolean) {
		this.program = program;
		this.whole = whole;
		this.detach = whole ? program.attach() : null;
	}

	mark(): void {
		if (!this.whole) this.detach = this.program.attach();
	}

	read(): void {
		if (!this.whole) this.close();
	}

	close(): void {
		this.detach?.();
		this.detach = null;
	}
}

export default async function attemptTrace(job: TraceJob): Promise<TraceOutcome> {
	const { options, whole, one_of_many } = job;
	let program: Program | null = null;
	const onlook: Onlook = (policy) => {
		program = new Program(job.program, { policy: policy.name, seed: options.seed, one_of_many });
		return new Watcher(program, whole);
	};
	const outcome = await attempt(options, null, onlook);
	const done = program as Program | null; // the compiler does not see that onlook was called
	return { outcome, tables: done?.tables() ?? [], complaints: done?.complaints() ?? [] };
}
