/** Whether a report can be written where it is to go: asked before the runs, which take a while. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import path from "node:path";
import { UsageError } from "../errors.ts";

export interface RawReportOptions {
	readonly report?: string | undefined;
	readonly force?: boolean | undefined;
	readonly sensitivity?: string | undefined;
	/** false with --no-scan */
	readonly scan?: boolean | undefined;
}

/** The file to write, or null when none is asked for. */
export function reportFile(raw: RawReportOptions): string | null {
	const { report: file } = raw;
	if (file === undefined) {
		const alone = raw.force === true ? "force" : raw.sensitivity !== undefined ? "sensitivity" : "no-scan";
		if (alone === "no-scan" && raw.scan !== false) return null;
		throw new UsageError(`--${alone}: says nothing without --report FILE`);
	}
	if (file.trim() === "") throw new UsageError("--report: a file is missing");
	const directory = path.dirname(file);
	if (!existsSync(directory)) throw new UsageError(`--report ${file}: there is no directory ${directory}`);
	if (!statSync(directory).isDirectory()) throw new UsageError(`--report ${file}: ${directory} is not a directory`);
	if (existsSync(file)) {
		if (statSync(file).isDirectory()) throw new UsageError(`--report ${file}: is a directory`);
		if (raw.force !== true) throw new UsageError(`--report ${file}: is there already; --force replaces it`);
	}
	try {
		accessSync(directory, constants.W_OK | constants.X_OK);
	} catch {
		throw new UsageError(`--report ${file}: no permission to write in ${directory}`);
	}
	return file;
}
