/** What a line of the validation page is, and what makes some of them together. */
import type { RunOptions } from "../options.ts";
import type { PublishedName } from "../published.ts";
import type { RunResult } from "../result.ts";

export type Verdict = "agree" | "disagree" | "cannot be compared";

export interface Row {
	readonly name: PublishedName;
	/** as text; empty if we have nothing of the kind */
	readonly ours: string;
	readonly verdict: Verdict;
	/** what is to be known when reading the verdict; never empty for a disagreement or where nothing can be compared */
	readonly why: string;
}

/** Lines that come out of the same runs. */
export interface Check {
	readonly title: string;
	/** what was run, in words */
	readonly work: string;
	/** runs for the pool */
	readonly jobs: readonly RunOptions[];
	/** what follows from their results, in the order of the jobs; may look at a run of its own */
	readonly judge: (results: readonly RunResult[]) => Promise<readonly Row[]>;
}

export function agreement(holds: boolean): Verdict {
	return holds ? "agree" : "disagree";
}

export function within(value: number, [low, high]: readonly [number, number]): boolean {
	return value >= low && value <= high;
}
