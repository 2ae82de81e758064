/** What every exporter is: a listener to a run that fills one file. */
import type { Driver } from "../driver.ts";
import type { RunOptions } from "../options.ts";

/** What an exporter is told of the run. */
export interface ExportContext {
	readonly options: RunOptions;
	readonly driver: Driver;
	/** the line that repeats the run */
	readonly command: string;
}

export interface Exporter {
	/** Stops listening. */
	close(): void;
	/** Writes what is left, after the last event. The kernel is still there. */
	finish(): void;
}
