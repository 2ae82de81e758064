/** A study that was made before, with the usual options: what a report shows unless it is given another. */
import { existsSync } from "node:fs";
import { UsageError } from "../errors.ts";
import { DEFAULT_SEED, parseRunOptions } from "../options.ts";
import { DEFAULT_STUDY, type StudyOptions } from "./design.ts";
import { runStudy } from "./study.ts";
import type { StudySummary } from "./summary.ts";

const { duration, warmup, points, seeds, base_seeds, checks } = DEFAULT_STUDY;

/** @returns null if `file` is not there, not complete, or made with another version of the model */
export async function storedStudy(
	file: string = DEFAULT_STUDY.results,
): Promise<{ options: StudyOptions; summary: StudySummary } | null> {
	if (!existsSync(file)) return null;
	const base = { ...parseRunOptions({ duration, warmup, costOnly: true }), seed: DEFAULT_SEED };
	try {
		return await runStudy({ base, points, seeds, base_seeds, checks }, null, file, async (missing) => {
			if (missing.length > 0) throw new UsageError(`${file}: ${missing.length} runs are missing`);
		});
	} catch (error) {
		if (error instanceof UsageError) return null;
		throw error;
	}
}
