/** What a worker thread of the pool does: one run for each call. Errors come back as data, since classes do not survive the way. */
import { PanicError, type PanicReport, UsageError } from "./errors.ts";
import type { ExportPlan } from "./export/plan.ts";
import type { RunOptions } from "./options.ts";
import type { Timed } from "./result.ts";
import { simulate } from "./run.ts";
import type { Watcher } from "./watcher.ts";

export type Outcome =
	| { readonly kind: "result"; readonly timed: Timed }
	| { readonly kind: "panic"; readonly report: PanicReport }
	| { readonly kind: "usage"; readonly message: string }
	| { readonly kind: "internal"; readonly message: string; readonly stack: string };

export async function attempt(
	options: RunOptions,
	export_plan: ExportPlan | null = null,
	watcher: Watcher | null = null,
): Promise<Outcome> {
	try {
		return { kind: "result", timed: await simulate(options, export_plan, watcher) };
	} catch (error) {
		if (error instanceof PanicError) return { kind: "panic", report: error.report };
		if (error instanceof UsageError) return { kind: "usage", message: error.message };
		const known = error instanceof Error ? error : new Error(String(error));
		return { kind: "internal", message: known.message, stack: known.stack ?? "" };
	}
}

export default (options: RunOptions): Promise<Outcome> => attempt(options);
