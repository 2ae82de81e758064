/** What can go wrong on the way from a command line to a result, and the exit code each of these has. */

export const EXIT_OK = 0;
/** the command line, or a file it names, makes no sense */
export const EXIT_USAGE = 2;
/** the simulated kernel panicked */
export const EXIT_PANIC = 3;
/** this program is at fault */
export const EXIT_INTERNAL = 70;
/** Ctrl-C: 128 + SIGINT */
export const EXIT_INTERRUPTED = 130;

/** Something the person at the keyboard can put right. Its message is one line and says what would be right. */
export class UsageError extends Error {
	constructor(message: string) {
		super(message);
		this.name = "UsageError";
	}
}

/** A panic of the simulated kernel, with everything that was known of the machine when it happened. */
export interface PanicReport {
	readonly message: string;
	/** CPU that ran the thread at fault */
	readonly cpuid: number;
	/** name and number of that thread */
	readonly thread: string;
	/** simulated time, ns since boot */
	readonly time_ns: number;
	/** which of two machines, unless it was the first or only one */
	readonly machine: string;
	/** one line for each CPU */
	readonly cpus: readonly string[];
	/** one line for each lock somebody holds or waits for */
	readonly locks: readonly string[];
	/** the line that makes it happen again */
	readonly command: string;
}

/** Thrown by whoever drives a machine whose kernel panicked. */
export class PanicError extends Error {
	readonly report: PanicReport;
	constructor(report: PanicReport) {
		super(report.message);
		this.name = "PanicError";
		this.report = report;
	}
}

/** As FreeBSD prints a panic on its console, then what a debugger would be asked first, then the way to see it again. */
export function formatPanic(report: PanicReport): string {
	const seconds = (report.time_ns / 1e9).toFixed(9);
	return [
		`panic: ${report.message}`,
		`cpuid = ${report.cpuid}`,
		`time = ${seconds} s after boot`,
		`thread = ${report.thread}`,
		...(report.machine === "" ? [] : [`machine = the ${report.machine}`]),
		"CPUs:",
		...report.cpus.map((line) => `  ${line}`),
		...(report.locks.length > 0 ? ["Locks:", ...report.locks.map((line) => `  ${line}`)] : []),
		`Repeat it with: ${report.command}`,
	].join("\n");
}
