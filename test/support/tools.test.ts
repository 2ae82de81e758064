import path from "node:path";
import { afterEach, expect, type TestContext, test, vi } from "vitest";
import { findTool, requireTool } from "./tools.ts";

afterEach(() => {
	vi.unstubAllEnvs();
});

/** A context whose skip throws the note, as vitest's own ends the test by throwing. */
const context = {
	skip(note?: string): never {
		throw new Error(`skipped: ${note}`);
	},
} as unknown as TestContext;

test("a program is found on the path, and a directory or a missing one is not", () => {
	expect(findTool(path.basename(process.execPath), `:${path.dirname(process.execPath)}`)).toBe(process.execPath);
	expect(findTool("no-such-program")).toBeNull();
	expect(findTool("support", path.dirname(import.meta.dirname))).toBeNull();
});

test("a test without its tool is skipped with the package's name, and fails with CI=true", () => {
	vi.stubEnv("CI", "");
	expect(() => requireTool(context, "no-such-program", "some-package")).toThrow(/^skipped: .*some-package/);
	vi.stubEnv("CI", "true");
	expect(() => requireTool(context, "no-such-program", "some-package")).toThrow(/^no-such-program is not installed/);
});
