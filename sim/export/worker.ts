/** The thread an exporting run is made in, so that Ctrl-C finds somebody who listens. */
import type { RunOptions } from "../options.ts";
import { attempt, type Outcome } from "../worker.ts";
import type { ExportPlan } from "./plan.ts";

export interface ExportJob {
	readonly options: RunOptions;
	readonly plan: ExportPlan;
}

export default function attemptExport(job: ExportJob): Promise<Outcome> {
	return attempt(job.options, job.plan);
}
