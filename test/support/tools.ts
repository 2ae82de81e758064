import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import type { TestContext } from "vitest";

/** Where a program of the host is, or null. */
export function findTool(name: string, searchPath: string = process.env.PATH ?? ""): string | null {
	for (const directory of searchPath.split(path.delimiter)) {
		if (directory === "") continue;
		const file = path.join(directory, name);
		try {
			accessSync(file, constants.X_OK);
			if (statSync(file).isFile()) return file;
		} catch {
			// not here
		}
	}
	return null;
}

/**
 * For a test that runs a program Debian has and npm has not (`wg`, `tshark`): returns where it is. A missing program skips the
 * test, with a note the summary prints; with CI=true, where `.ci/run` should have installed it, the test fails.
 */
export function requireTool(context: TestContext, name: string, debianPackage: string = name): string {
	const found = findTool(name);
	if (found !== null) return found;
	const note = `${name} is not installed (Debian package ${debianPackage}; .ci/run installs it)`;
	if (process.env.CI === "true") throw new Error(note);
	return context.skip(note);
}
