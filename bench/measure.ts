/** Measuring: cases take turns round by round, so that whatever the computer does meanwhile meets all of them alike. */
import { spawnSync } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import type { RawRunOptions } from "../sim/options.ts";

export interface Case {
	readonly name: string;
	/** does the work once and says how much it was, per unit of the figure */
	readonly once: () => Promise<Record<string, number>> | Record<string, number>;
}

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = Math.floor(sorted.length / 2);
	return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of each figure of each case, over `rounds` rounds after one, or so many, that only warm up. */
export async function interleaved(
	cases: readonly Case[],
	rounds: number,
	warmups = 1,
): Promise<Map<string, Record<string, number>>> {
	const results = new Map(cases.map(({ name }) => [name, [] as Record<string, number>[]]));
	for (let round = -warmups; round < rounds; round++) {
		for (const { name, once } of cases) {
			const result = await once();
			if (round >= 0) results.get(name)!.push(result);
		}
	}
	return mediansOf(results);
}

/** The median of each figure of each case. */
export function mediansOf(
	results: ReadonlyMap<string, readonly Record<string, number>[]>,
): Map<string, Record<string, number>> {
	return new Map(
		[...results].map(([name, rounds]) => [
			name,
			Object.fromEntries(Object.keys(rounds[0]).map((figure) => [figure, median(rounds.map((one) => one[figure]))])),
		]),
	);
}

/** Seconds that `action` takes, and what it gives. */
export function timed<T>(action: () => T): { seconds: number; value: T } {
	const began = performance.now();
	const value = action();
	return { seconds: (performance.now() - began) / 1000, value };
}

/**
 * Seconds of CPU time, all threads of this process, that `action` takes, and what it gives. On a computer that does something else
 * as well, these vary less than seconds of the clock.
 */
export async function cpuTimed<T>(action: () => Promise<T>): Promise<{ seconds: number; value: T }> {
	const began = process.cpuUsage();
	const value = await action();
	const { user, system } = process.cpuUsage(began);
	return { seconds: (user + system) / 1e6, value };
}

export interface Child {
	readonly seconds: number;
	readonly peak_mb: number;
}

function runScript(name: string, argv: readonly string[]): { stdout: string; stderr: string } {
	const script = fileURLToPath(new URL(name, import.meta.url));
	const child = spawnSync(process.execPath, [script, ...argv], { encoding: "utf8", maxBuffer: 2 ** 28 });
	if (child.status !== 0) throw new Error(`${name} ${argv.join(" ")}: exit ${child.status}\n${child.stderr}`);
	return child;
}

/** Runs the compiled command in a process of its own. */
export function runCommand(argv: readonly string[]): Child {
	const { seconds, value } = timed(() => runScript("./child.js", argv));
	const kilobytes = Number(/MAXRSS ([0-9]+)/.exec(value.stderr)?.[1]);
	return { seconds, peak_mb: kilobytes / 1024 };
}

/** Figures of one scenario, run in a process of its own: see stream.ts. */
export function runStream(options: RawRunOptions): Record<string, number> {
	return JSON.parse(runScript("./stream.js", [JSON.stringify(options)]).stdout) as Record<string, number>;
}

/** One line if the computer is busy with something else: then figures are low. */
export function loadWarning(): string {
	const [load] = loadavg();
	return load > 1.2 ? `load average ${load.toFixed(1)}: something else is running, so figures are too low\n` : "";
}
