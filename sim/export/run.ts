/** A run with exports, and what becomes of its files when it is interrupted. */
import { rmSync } from "node:fs";
import { Tinypool } from "tinypool";
import { EXIT_INTERRUPTED } from "../errors.ts";
import type { RunOptions } from "../options.ts";
import { compiledWorker, unwrap } from "../pool.ts";
import type { Timed } from "../result.ts";
import type { Outcome } from "../worker.ts";
import { leftovers } from "./file.ts";
import { type ExportPlan, outputFile } from "./plan.ts";
import attemptExport, { type ExportJob } from "./worker.ts";

/** What ends a run early: Ctrl-C, kill, a terminal that goes away. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Makes the run and its files: all of them, or, whatever happens, none. */
export async function exportRun(options: RunOptions, plan: ExportPlan): Promise<Timed> {
	const job: ExportJob = { options, plan };
	const filename = compiledWorker(new URL("./worker.js", import.meta.url));
	if (filename === null) return unwrap(await attemptExport(job));
	const pool = new Tinypool({ filename, runtime: "worker_threads", minThreads: 1, maxThreads: 1 });
	const interrupted = async (): Promise<never> => {
		await pool.destroy();
		for (const format of plan.formats) {
			for (const file of leftovers(outputFile(plan, format), process.pid)) rmSync(file, { force: true });
		}
		process.stderr.write("\nifwg: interrupted; nothing was written\n");
		process.exit(EXIT_INTERRUPTED);
	};
	for (const signal of SIGNALS) process.once(signal, interrupted);
	try {
		return unwrap((await pool.run(job)) as Outcome);
	} finally {
		for (const signal of SIGNALS) process.off(signal, interrupted);
		await pool.destroy();
	}
}
