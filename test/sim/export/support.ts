/** Runs that export, short ones, in a directory that goes away. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";
import { type Format, outputFile, planExports } from "../../../sim/export/plan.ts";
import { parseRunOptions, type RawRunOptions } from "../../../sim/options.ts";
import type { RunResult } from "../../../sim/result.ts";
import { simulate } from "../../../sim/run.ts";

const directory = mkdtempSync(path.join(tmpdir(), "ifwg-export-"));
let count = 0;

afterAll(() => rmSync(directory, { recursive: true, force: true }));

export interface Exported {
	readonly directory: string;
	readonly file: string;
	readonly result: RunResult;
}

/** Makes a run, and the file of one format. */
export async function exportRun(format: Format, raw: RawRunOptions): Promise<Exported> {
	const options = parseRunOptions({ duration: "1ms", warmup: "500us", ...raw });
	const out = path.join(directory, String(count++));
	const plan = planExports({ out, export: format }, options);
	if (plan === null) throw new Error("nothing to export");
	const { result } = await simulate(options, plan);
	return { directory: out, file: outputFile(plan, format), result };
}
