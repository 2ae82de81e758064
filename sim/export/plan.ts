/** Which files a run writes, and where: read from the command line and checked before the run starts. */
import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { UsageError } from "../errors.ts";
import type { RunOptions } from "../options.ts";
import { parseList } from "../options.ts";
import { quote } from "../units.ts";

/** What can be exported, the file it goes to, and what opens it. */
export const FORMATS = {
	pcapng: { file: "packets.pcapng", description: "packets of every interface, with the keys: Wireshark, tshark" },
	ktr: { file: "ktr.txt", description: "threads, CPUs, locks and callouts: FreeBSD's schedgraph.py ktr.txt 1" },
	perfetto: { file: "trace.json", description: "CPUs, threads, queues and packets: ui.perfetto.dev, chrome://tracing" },
	stacks: { file: "stacks.txt", description: "CPU time by CPU, thread and functions called, in ns: flamegraph.pl" },
	speedscope: { file: "speedscope.json", description: "the same for speedscope.app" },
} as const;

export type Format = keyof typeof FORMATS;

export const FORMAT_NAMES = Object.keys(FORMATS) as Format[];

export interface ExportPlan {
	readonly formats: readonly Format[];
	readonly directory: string;
	/** bytes all files together may have; Infinity for no limit */
	readonly max_bytes: number;
}

export interface RawExportOptions {
	readonly out?: string | undefined;
	readonly export?: string | undefined;
	readonly force?: boolean | undefined;
	readonly maxSize?: string | undefined;
}

const SIZE_UNITS: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** `500M`, `2G`, `100000` to bytes. */
export function parseSize(what: string, text: string): number {
	const match = /^([0-9]+(?:\.[0-9]+)?)([kmg]?)$/i.exec(text.trim());
	const bytes = match === null ? 0 : Math.floor(Number(match[1]) * SIZE_UNITS[match[2].toLowerCase()]);
	if (bytes < 1) throw new UsageError(`${what}: ${quote(text)} is not a size; write it like 500M or 2G`);
	return bytes;
}

export function outputFile(plan: ExportPlan, format: Format): string {
	return path.join(plan.directory, FORMATS[format].file);
}

/** Makes the directory if there is none, in one that is there, and sees that files can be made in it. */
export function prepareDirectory(directory: string): void {
	try {
		if (!existsSync(directory)) mkdirSync(directory);
		accessSync(directory, constants.W_OK | constants.X_OK);
	} catch (error) {
		const { code, message } = error as NodeJS.ErrnoException;
		const is_file = existsSync(directory) && !statSync(directory).isDirectory();
		const why = is_file ? "it is not a directory" : code === "EACCES" ? "no permission" : message.split("\n")[0];
		throw new UsageError(`--out ${directory}: cannot be written to: ${why}`);
	}
}

/** What the options ask for; null when nothing is to be written. */
export function planExports(raw: RawExportOptions, run: RunOptions): ExportPlan | null {
	if (raw.out === undefined) {
		for (const name of ["export", "force", "maxSize"] as const) {
			const flag = name === "maxSize" ? "max-size" : name;
			if (raw[name] !== undefined) throw new UsageError(`--${flag}: says nothing without --out DIR`);
		}
		return null;
	}
	if (raw.out.trim() === "") throw new UsageError("--out: a directory is missing");
	const formats = parseList("--export", raw.export, FORMAT_NAMES).map((name) => {
		const format = FORMAT_NAMES.find((known) => known === name);
		if (format === undefined) {
			throw new UsageError(`--export: no ${quote(name)}; there is ${FORMAT_NAMES.join(", ")}`);
		}
		return format;
	});
	if (run.cost_only && formats.includes("pcapng")) {
		throw new UsageError("--cost-only: packets have no contents then, for pcapng to show; leave one of the two out");
	}
	const max_bytes = raw.maxSize === undefined ? Number.POSITIVE_INFINITY : parseSize("--max-size", raw.maxSize);
	const plan = { formats, directory: raw.out, max_bytes };
	prepareDirectory(raw.out);
	for (const format of formats) {
		const file = outputFile(plan, format);
		if (existsSync(file) && raw.force !== true) {
			throw new UsageError(`${file}: is there already; --force replaces it`);
		}
	}
	return plan;
}
