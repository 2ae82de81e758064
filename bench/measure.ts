/** Measuring: cases take turns round by round, so that whatever the computer does meanwhile meets all of them alike. */
import { spawnSync } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";

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

/** The median of each figure of each case, over `rounds` rounds after one that only warms up. */
export async function interleaved(
	cases: readonly Case[],
	rounds: number,
): Promise<Map<string, Record<string, number>>> {
	const figures = new Map<string, Record<string, number[]>>();
	for (let round = -1; round < rounds; round++) {
		for (const { name, once } of cases) {
			const result = await once();
			if (round < 0) continue;
			const kept = figures.get(name) ?? {};
			for (const [figure, value] of Object.entries(result)) (kept[figure] ??= []).push(value);
			figures.set(name, kept);
		}
	}
	const medians = new Map<string, Record<string, number>>();
	for (const [name, kept] of figures) {
		medians.set(name, Object.fromEntries(Object.entries(kept).map(([figure, values]) => [figure, median(values)])));
	}
	return medians;
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

/** Runs the compiled command in a process of its own. */
export function runCommand(argv: readonly string[]): Child {
	const script = fileURLToPath(new URL("./child.js", import.meta.url));
	const { seconds, value } = timed(() =>
		spawnSync(process.execPath, [script, ...argv], { encoding: "utf8", maxBuffer: 2 ** 28 }),
	);
	if (value.status !== 0) throw new Error(`ifwg ${argv.join(" ")}: exit ${value.status}\n${value.stderr}`);
	const kilobytes = Number(/MAXRSS ([0-9]+)/.exec(value.stderr)?.[1]);
	return { seconds, peak_mb: kilobytes / 1024 };
}

/** One line if the computer is busy with something else: then figures are low. */
export function loadWarning(): string {
	const [load] = loadavg();
	return load > 1.2 ? `load average ${load.toFixed(1)}: something else is running, so figures are too low\n` : "";
}
