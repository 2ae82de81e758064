/** What a worker thread of the pool does: one run for each call. Errors come back as data, since classes do not survive the way. */
import { PanicError, type PanicReport, UsageError } from "./errors.ts";
import type { ExportPlan } from "./export/plan.ts";
import type { RunOptions } from "./options.ts";
import type { Timed } from "./result.ts";
import { simulate } from "./run.ts";

export type Outcome<T = Timed> =
	| { readonly kind: "result"; readonly value: T }
	| { readonly kind: "panic"; readonly report: PanicReport }
	| { readonly kind: "usage"; readonly message: string }
	| { readonly kind: "internal"; readonly message: string; readonly stack: string };

/** What comes of `work`, as data. */
export async function outcomeOf<T>(work: () => Promise<T>): Promise<Outcome<T>> {
	try {
		return { kind: "result", value: await work() };
	} catch (error) {
		if (error instanceof PanicError) return { kind: "panic", report: error.report };
		if (error instanceof UsageError) return { kind: "usage", message: error.message };
		const known = error instanceof Error ? error : new Error(String(error));
		return { kind: "internal", message: known.message, stack: known.stack ?? "" };
	}
}

export function attempt(options: RunOptions, export_plan: ExportPlan | null = null): Promise<Outcome> {
	return outcomeOf(() => simulate(options, export_plan));
}

export default (options: RunOptions): Promise<Outcome> => attempt(options);
