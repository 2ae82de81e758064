/** A study from its options to its summary: which constants, which runs, and only those that are not in the file yet. */
import type { CostName } from "../../src/machine/cost/table.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { parseCostName } from "../costs.ts";
import { UsageError } from "../errors.ts";
import { commandLine, parseList, type RunOptions } from "../options.ts";
import type { RunResult } from "../result.ts";
import { simulate } from "../run.ts";
import { ChargedCosts } from "./charged.ts";
import { type StudyOptions, studyJobs, VARIANTS, variable } from "./design.ts";
import { type Header, header, Journal } from "./journal.ts";
import { type StudySummary, summariseStudy } from "./summary.ts";

/** Makes the runs, in any order, and tells each result as it comes, with the job's place. */
export type Runner = (
	jobs: readonly RunOptions[],
	onResult: (result: RunResult, at: number) => void,
) => Promise<unknown>;

/** `--vary`: constants by name; null for all. */
export function parseVary(text: string | undefined, base: RunOptions): CostName[] | null {
	if (text === undefined) return null;
	const known = variable(findProfile(base.machine)!);
	return parseList("--vary", text, []).map((item) => {
		const name = parseCostName("--vary", item);
		if (!known.includes(name)) throw new UsageError(`--vary: ${name} has no range on ${base.machine}`);
		return name;
	});
}

/** The first run of each variant, looked at closely. */
async function lookAt(base: RunOptions): Promise<Header> {
	const charged = new ChargedCosts();
	const fingerprints: string[] = [];
	for (const variant of VARIANTS)
		fingerprints.push((await simulate({ ...base, ...variant }, null, charged)).result.fingerprint);
	const names = variable(findProfile(base.machine)!).filter((name) => charged.names.has(name));
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
