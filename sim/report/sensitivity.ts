/**
 * What a report takes from a sensitivity study: the file is what `ifwg sensitivity --json` prints. Only what is drawn is
 * read, and all of it is checked, for a file on a command line can be any file.
 */
import { readFileSync } from "node:fs";
import { UsageError } from "../errors.ts";
import type { TornadoRow } from "./svg/ranges.ts";

export interface Conclusion {
	readonly text: string;
	/** share of the sampled space in which it holds, and its interval at 95 % */
	readonly share: number;
	readonly low: number;
	readonly high: number;
}

export interface Sensitivity {
	/** each cost at either end of its range: the ratio of throughputs */
	readonly rows: readonly TornadoRow[];
	/** points of the hypercube; 0 without one */
	readonly points: number;
	readonly conclusions: readonly Conclusion[];
	readonly machine: string;
	readonly cpus: number;
}

type Json = Readonly<Record<string, unknown>>;

/** Reads fields of parsed JSON; the first one that is not as it must be is named in the error. */
class Reader {
	private readonly file: string;
	constructor(file: string) {
		this.file = file;
	}

	private fail(what: string): never {
		throw new UsageError(
			`--sensitivity ${this.file}: no ${what} in it; make the file with ifwg sensitivity --json > FILE`,
		);
	}

	object(of: Json, key: string): Json {
		const value = of[key];
		return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : this.fail(key);
	}

	list(of: Json, key: string): Json[] {
		const value = of[key];
		if (!Array.isArray(value) || value.some((item) => typeof item !== "object" || item === null)) this.fail(key);
		return value as Json[];
	}

	number(of: Json, key: string): number {
		const value = of[key];
		return typeof value === "number" && Number.isFinite(value) ? value : this.fail(key);
	}

	text(of: Json, key: string): string {
		const value = of[key];
		return typeof value === "string" ? value : this.fail(key);
	}
}

export function parseSensitivity(file: string, json: string): Sensitivity {
	const read = new Reader(file);
	let whole: unknown;
	try {
		whole = JSON.parse(json);
	} catch {
		throw new UsageError(`--sensitivity ${file}: is not JSON; make the file with ifwg sensitivity --json > FILE`);
	}
	const root = { whole } as Json;
	const study = read.object(root, "whole");
	const summary = read.object(study, "summary");
	const base = read.object(read.object(study, "options"), "base");
	const usual = read.number(read.object(summary, "usual"), "ratio");
	const cube = summary.hypercube === null ? null : read.object(summary, "hypercube");
	return {
		rows: read.list(summary, "swings").map((swing) => ({
			name: read.text(swing, "name"),
			low: read.number(read.object(swing, "low"), "ratio"),
			high: read.number(read.object(swing, "high"), "ratio"),
			base: usual,
		})),
		points: cube === null ? 0 : read.number(cube, "points"),
		conclusions:
			cube === null
				? []
				: read.list(cube, "conclusions").map((conclusion) => ({
						text: read.text(conclusion, "text"),
						share: read.number(conclusion, "share"),
						low: read.number(conclusion, "low"),
						high: read.number(conclusion, "high"),
					})),
		machine: read.text(base, "machine"),
		cpus: read.number(base, "cpus"),
	};
}

export function readSensitivity(file: string): Sensitivity {
	let json: string;
	try {
		json = readFileSync(file, "utf8");
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		throw new UsageError(`--sensitivity ${file}: ${code === "ENOENT" ? "there is no such file" : "cannot be read"}`);
	}
	return parseSensitivity(file, json);
}
