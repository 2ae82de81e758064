/** What every exporter is: a listener to a run that fills one file. */
import type { Driver } from "../driver.ts";
import type { RunOptions } from "../options.ts";
import type { CpuTimeByStack } from "../profile/stacks.ts";

/** What there is to know of the run. */
export interface RunContext {
	readonly options: RunOptions;
	readonly driver: Driver;
	/** the line that repeats the run */
	readonly command: string;
}

/** What an exporter is told of it. */
export interface ExportContext extends RunContext {
	/** CPU time since the exporters began, counted once for all that want it, and only if one does */
	readonly cpuTime: () => CpuTimeByStack;
}

export interface Exporter {
	/** Stops listening. */
	close(): void;
	/** Writes what is left, after the last event. The kernel is still there. */
	finish(): void;
}
