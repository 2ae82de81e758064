/** What the commands of `ifwg` share: options that describe a run, and making many runs with progress. */
import { existsSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { LEAD_NS } from "../../src/machine/lead.ts";
import { UsageError } from "../errors.ts";
import { writeWhole } from "../export/file.ts";
import { DEFAULT_GENERATION, DEFAULT_MACHINE, GENERATIONS, type RawRunOptions, type RunOptions } from "../options.ts";
import type { Progress } from "../progress.ts";
import type { RunResult } from "../result.ts";
import { parseInteger } from "../units.ts";

export interface CommonFlags extends RawRunOptions {
	readonly seeds?: string;
	readonly workers?: string;
	readonly json?: boolean;
}

/** more threads than any host has cores */
const WORKERS_MAX = 256;

export function print(text: string): void {
	process.stdout.write(`${text}\n`);
}

/** The options every simulating command has. */
export function machineOptions(command: Command): Command {
	return command
		.option("--machine <name>", `machine profile: ifwg list machines (default: ${DEFAULT_MACHINE})`)
		.option("--release <release>", "FreeBSD release: 13.0 or 14.0 (default: 13.0)")
		.option("--generation <name>", `driver: ${GENERATIONS.join(", ")} (default: ${DEFAULT_GENERATION})`)
		.option("--epair <kind>", "netisr (2021) or taskqueue (2022 on) (default: the release's)")
		.option("--streams <n>", "parallel iperf3 streams (default: 1)")
		.option("--udp", "UDP instead of TCP")
		.option("--reverse", "the server sends")
		.option("--bandwidth <rate>", "rate of each stream, such as 500M; 0 for no limit (default: 0, with --udp 1G)")
		.option("--length <bytes>", "payload of each datagram (default: what fits the tunnel)")
		.option("--mtu <bytes>", "MTU of the tunnel (default: 1420)")
		.option("--duration <time>", "measured time, such as 20ms or 1s (default: 20ms)")
		.option("--warmup <time>", "traffic before that, not measured (default: 10ms)")
		.option("--cost-only", "charge for the ciphers but do not compute them: faster, and the identical schedule")
		.option(
			"--cost <list>",
			"other values for constants of the cost model, such as context_switch=900,line_transfer=80: ifwg list costs",
			(value: string, before?: string) => (before === undefined ? value : `${before},${value}`),
		)
		.option(
			"--lead <time>",
			`how far a thread may act ahead of the clock, 0ns to 10us; at 0ns every access is in order (default: ${LEAD_NS}ns)`,
		)
		.option("--driver <dir>", "another driver with the same entry points, compiled")
		.option("--json", "print JSON")
		.option("--workers <n>", "worker threads (default: all cores of this computer)");
}

/** The option of those that can also look at two machines. */
export function hostsOption(command: Command): Command {
	return command.option(
		"--hosts <n>",
		"1: both ends on one machine, joined by epair; 2: on two, joined by 10 Gb/s Ethernet (default: 1)",
	);
}

/** For what draws or writes down one machine, CPU by CPU. */
export function oneHost(options: RunOptions, flag: string): void {
	if (options.hosts !== 1)
		throw new UsageError(`--hosts ${options.hosts}: ${flag} shows one machine only; leave one of the two out`);
}

export function parseWorkers(text: string | undefined): number | undefined {
	return text === undefined ? undefined : parseInteger("--workers", text, 1, WORKERS_MAX);
}

/** Fails early, before workers start, if a policy or the driver cannot be loaded. */
export async function checkModules(driver: string | null, policies: readonly string[]): Promise<void> {
	const { loadDriver, loadPolicy } = await import("../driver.ts");
	const loaded = await loadDriver(driver);
	for (const policy of policies) await loadPolicy(loaded, policy);
}

export async function runMany(
	what: string,
	jobs: readonly RunOptions[],
	workers: number | undefined,
	onResult?: (result: RunResult, at: number) => void,
) {
	const { runAll } = await import("../pool.ts");
	return withProgress(what, (onDone) => runAll(jobs, { workers, onDone }, ({ result }, at) => onResult?.(result, at)));
}

/** Does `work`, which says how far it is, and shows that. */
export async function withProgress<T>(what: string, work: (onDone: Progress["update"]) => Promise<T>): Promise<T> {
	const { startProgress } = await import("../progress.ts");
	const progress = startProgress(what);
	return work(progress.update).finally(progress.finish);
}

/** `--write [file]`: the file, or null. Fails early if it could not be written. */
export function checkPage(write: string | boolean | undefined, usual: string): string | null {
	const file = write === true ? usual : write;
	if (typeof file !== "string") return null;
	if (!existsSync(path.dirname(file))) {
		throw new UsageError(`--write ${file}: there is no directory ${path.dirname(file)}`);
	}
	return file;
}

export function writePage(file: string, text: string): void {
	writeWhole(file, text);
	process.stderr.write(`wrote ${file}\n`);
}
