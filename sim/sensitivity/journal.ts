/**
 * The results of a study as a file that grows, one JSON object a line, so that an interrupted study goes on where it stopped and
 * anybody can read it.
 *
 * The first line says what the study is of; `point` lines give a point's costs, `run` lines what a run at a point gave. A line
 * is written at once and whole. One that was cut off at the end of the file (the power failed) is dropped when it is opened.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import type { CostName } from "../../src/machine/cost/table.ts";
import type { CostValues } from "../costs.ts";
import { UsageError } from "../errors.ts";
import type { RunResult } from "../result.ts";
import type { Job } from "./design.ts";

const FORMAT = "ifwg sensitivity 1";

/** What all lines of a file are about. Two studies with the same header may share a file. */
export interface Header {
	readonly format: typeof FORMAT;
	/** the line that makes the first run: settings that all runs have in common */
	readonly base: string;
	/** of the first run of each variant: another model, or other costs, give others */
	readonly fingerprints: readonly string[];
	/** constants that runs charge while data flows */
	readonly charged: readonly CostName[];
}

interface PointLine {
	readonly point: string;
	readonly seed: number;
	readonly duration_ns: number;
	readonly warmup_ns: number;
	readonly costs: CostValues;
}

/** What is kept of a run. */
const METRICS = ["throughput_bps", "tasks_scheduled", "tasks_useful", "wakeups", "fingerprint"] as const;
export type Metrics = Pick<RunResult, (typeof METRICS)[number]>;

interface RunLine extends Metrics {
	readonly run: string;
	readonly policy: string;
	readonly crypto: string;
}

export function header(base: string, charged: readonly CostName[], fingerprints: readonly string[]): Header {
	return { format: FORMAT, base, fingerprints, charged };
}

function keyOf(point: string, policy: string, crypto: string): string {
	return `${point}, ${policy}, ${crypto}`;
}

function differs(what: string, file: string): UsageError {
	return new UsageError(`${file}: ${what}; remove it, or name another file with --results`);
}

export class Journal {
	readonly file: string;
	private readonly fd: number;
	private readonly points = new Set<string>();
	private readonly runs = new Map<string, Metrics>();

	/** Opens `file` to go on with the study of `wanted`, or to begin it. Throws UsageError if it is about something else. */
	constructor(file: string, wanted: Header) {
		this.file = file;
		try {
			mkdirSync(path.dirname(file), { recursive: true });
			this.fd = openSync(file, "a+");
		} catch (error) {
			throw new UsageError(`--results ${file}: ${(error as Error).message}`);
		}
		try {
			this.load(wanted);
		} catch (error) {
			closeSync(this.fd);
			throw error;
		}
	}

	private load(wanted: Header): void {
		const bytes = readFileSync(this.fd);
		const whole = bytes.lastIndexOf(10) + 1;
		const lines = bytes.toString("utf8", 0, whole).split("\n");
		lines.pop();
		let first: Partial<Header>;
		try {
			const parsed: unknown[] = lines.map((line) => JSON.parse(line));
			first = (parsed[0] ?? wanted) as Partial<Header>;
			for (const line of parsed.slice(1)) this.remember(line as PointLine | RunLine);
		} catch {
			throw differs("is no file of results", this.file);
		}
		// somebody else's file that has no end of line in it is not a torn line of ours
		if (lines.length === 0 && bytes.length > 0 && !JSON.stringify(wanted).startsWith(bytes.toString("utf8"))) {
			throw differs("is no file of results", this.file);
		}
		if (first.format !== FORMAT) throw differs("is no file of results", this.file);
		if (first.base !== wanted.base) throw differs(`holds results of other settings (${first.base})`, this.file);
		if (JSON.stringify(first) !== JSON.stringify(wanted)) {
			throw differs("holds results of another version of the model", this.file);
		}
		if (whole < bytes.length) ftruncateSync(this.fd, whole);
		if (lines.length === 0) this.write(wanted);
	}

	private remember(line: PointLine | RunLine): void {
		if ("point" in line) this.points.add(line.point);
		else this.runs.set(keyOf(line.run, line.policy, line.crypto), line);
	}

	private write(line: object): void {
		const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
		try {
			for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at);
		} catch (error) {
			throw new UsageError(`cannot write ${this.file}: ${(error as Error).message}`);
		}
	}

	has({ point, options }: Job): boolean {
		return this.runs.has(keyOf(point.id, options.policy, options.crypto));
	}

	/** What a run gave; undefined if it has not been made. */
	find(point: string, policy: string, crypto: string): Metrics | undefined {
		return this.runs.get(keyOf(point, policy, crypto));
	}

	append({ point }: Job, result: RunResult): void {
		if (!this.points.has(point.id)) {
			const { id, costs, seed, duration_ns, warmup_ns } = point;
			const line: PointLine = { point: id, seed, duration_ns, warmup_ns, costs };
			this.write(line);
			this.remember(line);
		}
		const metrics = Object.fromEntries(METRICS.map((name) => [name, result[name]])) as Metrics;
		const line: RunLine = { run: point.id, policy: result.policy, crypto: result.crypto, ...metrics };
		this.write(line);
		this.remember(line);
	}

	close(): void {
		closeSync(this.fd);
	}
}
