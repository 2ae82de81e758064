/** Runs that export, short ones, in a directory that goes away. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";
import { loadDriver } from "../../../sim/driver.ts";
import { Exports } from "../../../sim/export/exports.ts";
import { type Format, outputFile, planExports } from "../../../sim/export/plan.ts";
import { parseRunOptions, type RawRunOptions } from "../../../sim/options.ts";
import type { RunResult } from "../../../sim/result.ts";
import { simulate } from "../../../sim/run.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import type { testbed, testbed_options } from "../../../src/userland/testbed.ts";
import { with_testbed, world } from "../../userland/world.ts";

const directory = mkdtempSync(path.join(tmpdir(), "ifwg-export-"));
let count = 0;

afterAll(() => rmSync(directory, { recursive: true, force: true }));

export interface Exported {
	readonly directory: string;
	readonly file: string;
	readonly result: RunResult;
}

/** What happens in a test bed as a file of packets: for scenarios that are no run of iperf3. */
export async function captureTestbed(
	options: testbed_options,
	body: (bed: testbed) => Blocking<void>,
): Promise<string> {
	const out = path.join(directory, String(count++));
	const run = parseRunOptions({});
	const plan = planExports({ out, export: "pcapng" }, run);
	if (plan === null) throw new Error("nothing to export");
	const kernel = world();
	const exports = new Exports(plan, { options: run, driver: await loadDriver(null), command: "a test" });
	try {
		with_testbed(options, body, kernel);
		exports.commit();
	} finally {
		exports.abort();
	}
	return outputFile(plan, "pcapng");
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
