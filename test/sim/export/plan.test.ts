/** What is asked for in files is checked before the run, and files are there whole or not at all. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { UsageError } from "../../../sim/errors.ts";
import { Budget, OutFile } from "../../../sim/export/file.ts";
import { FORMAT_NAMES, planExports, type RawExportOptions } from "../../../sim/export/plan.ts";
import { Timeline } from "../../../sim/export/timeline.ts";
import { parseRunOptions } from "../../../sim/options.ts";
import { simulate } from "../../../sim/run.ts";

const directory = mkdtempSync(path.join(tmpdir(), "ifwg-plan-"));
const tiny = parseRunOptions({ duration: "100us", warmup: "0ms", costOnly: true, cpus: "2" });
const options = parseRunOptions({ duration: "500us", warmup: "0ms", costOnly: true });

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function fresh(name: string): string {
	const made = path.join(directory, name);
	mkdirSync(made);
	return made;
}

describe("bad input is refused with one line", () => {
	const file = path.join(directory, "a-file");
	writeFileSync(file, "");
	const full = fresh("full");
	writeFileSync(path.join(full, "ktr.txt"), "mine");
	test.each<[string, RawExportOptions, RegExp]>([
		["a format nobody knows", { out: directory, export: "gif" }, /^--export: no "gif"; there is pcapng, ktr/],
		["a file for a directory", { out: file, export: "ktr" }, /^--out .*: it is not a directory$/],
		["a directory in none", { out: path.join(directory, "no/such"), export: "ktr" }, /cannot be written to: ENOENT/],
		["a directory the system does not allow", { out: "/proc/ifwg", export: "ktr" }, /cannot be written to/],
		["a file that is there", { out: full, export: "ktr" }, /ktr\.txt: is there already; --force replaces it$/],
		["a size that is none", { out: full, export: "ktr", maxSize: "big" }, /^--max-size: "big" is not a size/],
		["--force alone", { force: true }, /^--force: says nothing without --out/],
		["packets without contents", { out: directory, export: "pcapng" }, /^--cost-only: packets have no contents/],
	])("%s", (_what, raw, message) => {
		let said = "";
		try {
			planExports(raw, options);
		} catch (error) {
			if (error instanceof UsageError) said = error.message;
		}
		expect(said).toMatch(message);
		expect(said).not.toContain("\n");
	});

	test("and --force replaces what is there, when the run is over", () => {
		expect(planExports({ out: full, export: "ktr", force: true }, options)?.formats).toEqual(["ktr"]);
		expect(readFileSync(path.join(full, "ktr.txt"), "utf8")).toBe("mine");
	});
});

test("nothing to write without --out, everything with it alone", () => {
	expect(planExports({}, options)).toBeNull();
	const real = { ...options, cost_only: false };
	expect(planExports({ out: path.join(directory, "new") }, real)?.formats).toEqual(FORMAT_NAMES);
});

test("a run that needs more than --max-size leaves nothing", async () => {
	const out = fresh("small");
	const plan = planExports({ out, export: "ktr,perfetto", maxSize: "64k" }, options);
	await expect(simulate(options, plan)).rejects.toThrow(/^--max-size: .* makes it more than 65 536 bytes/);
	expect(readdirSync(out)).toEqual([]);
});

test("a run whose last file does not fit leaves none of the others either", async () => {
	const asked = { export: "ktr,stacks" };
	const whole = fresh("whole");
	await simulate(tiny, planExports({ out: whole, ...asked }, tiny));
	const sizes = ["ktr.txt", "stacks.txt"].map((name) => statSync(path.join(whole, name)).size);
	const total = sizes[0] + sizes[1];
	const exact = fresh("exact");
	await simulate(tiny, planExports({ out: exact, ...asked, maxSize: String(total) }, tiny));
	expect(readdirSync(exact).sort()).toEqual(["ktr.txt", "stacks.txt"]);
	const less = fresh("less");
	const plan = planExports({ out: less, ...asked, maxSize: String(total - 1) }, tiny);
	await expect(simulate(tiny, plan)).rejects.toThrow(/^--max-size: .*stacks\.txt makes it more/);
	expect(readdirSync(less)).toEqual([]);
});

test("lines come back last one first, however many blocks they take", () => {
	const file = new OutFile(path.join(fresh("lines"), "f"), new Budget(Number.POSITIVE_INFINITY));
	const lines = Array.from({ length: 50_000 }, (_, i) => `line ${i} ${"x".repeat(i % 37)}`);
	for (const line of lines) file.text(`${line}\n`);
	const back: string[] = [];
	file.linesBackwards((line) => back.push(line));
	file.abort();
	expect(back.length).toBe(lines.length);
	expect(back.reverse().every((line, i) => line === lines[i])).toBe(true);
});

test("a timeline sorts by time, and keeps the order of equals", () => {
	const out: string[] = [];
	const timeline = new Timeline<string>((time, record) => out.push(`${time}${record}`));
	timeline.add(5, "a", 1);
	timeline.add(3, "b", 2);
	timeline.add(5, "c", 2);
	expect(out).toEqual([]);
	timeline.add(4, "d", 4);
	expect(out).toEqual(["3b", "4d"]);
	timeline.release(Number.POSITIVE_INFINITY);
	expect(out).toEqual(["3b", "4d", "5a", "5c"]);
});
