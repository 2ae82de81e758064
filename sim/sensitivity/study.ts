/** A study from its options to its summary: which constants, which runs, and only those that are not in the file yet. */
import type { CostName } from "../../src/machine/cost/table.ts";
import { COST_NAMES, parseCostName } from "../costs.ts";
import { commandLine, parseList, type RunOptions } from "../options.ts";
import type { RunResult } from "../result.ts";
import { simulate } from "../run.ts";
import { ChargedCosts } from "./charged.ts";
import { type StudyOptions, studyJobs, VARIANTS } from "./design.ts";
import { type Header, header, Journal } from "./journal.ts";
import { type StudySummary, summariseStudy } from "./summary.ts";

/** Makes the runs, in any order, and tells each result as it comes, with the job's place. */
export type Runner = (
	jobs: readonly RunOptions[],
	onResult: (result: RunResult, at: number) => void,
) => Promise<unknown>;

/** `--vary`: constants by name; null for all. */
export function parseVary(text: string | undefined): CostName[] | null {
	if (text === undefined) return null;
	return parseList("--vary", text, []).map((item) => parseCostName("--vary", item));
}

/** The first run of each variant, looked at closely. */
async function lookAt(base: RunOptions): Promise<Header> {
	const charged = new ChargedCosts();
	const fingerprints: string[] = [];
	for (const variant of VARIANTS)
		fingerprints.push((await simulate({ ...base, ...variant }, null, charged)).result.fingerprint);
	const names = COST_NAMES.filter((name) => charged.names.has(name));
	return header(commandLine({ ...base, ...VARIANTS[0] }), names, fingerprints);
}

export async function runStudy(
	sizes: Omit<StudyOptions, "vary">,
	vary: readonly CostName[] | null,
	file: string,
	runner: Runner,
): Promise<{ options: StudyOptions; summary: StudySummary }> {
	const head = await lookAt(sizes.base);
	const options = { ...sizes, vary: vary ?? head.charged };
	const journal = new Journal(file, head);
	try {
		await finishStudy(options, journal, runner);
		return { options, summary: summariseStudy(options, journal) };
	} finally {
		journal.close();
	}
}

/** Makes the runs of a study that the journal does not have. */
export async function finishStudy(options: StudyOptions, journal: Journal, runner: Runner): Promise<void> {
	const missing = studyJobs(options).filter((job) => !journal.has(job));
	await runner(
		missing.map((job) => job.options),
		(result, at) => journal.append(missing[at], result),
	);
}
