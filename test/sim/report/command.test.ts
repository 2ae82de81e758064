/** `ifwg compare --report`, in this process: bad input before any run, and one whole report of short runs. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { main } from "../../../sim/cli.ts";
import { everyElement, parseXml, textOf } from "../../support/xml.ts";

const directory = mkdtempSync(path.join(tmpdir(), "ifwg-report-"));
const inside = (name: string): string => path.join(directory, name);

afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(() => {
	vi.restoreAllMocks();
});

async function ifwg(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
	const out: string[] = [];
	const err: string[] = [];
	vi.spyOn(process.stdout, "write").mockImplementation((text) => out.push(String(text)) > 0);
	vi.spyOn(process.stderr, "write").mockImplementation((text) => err.push(String(text)) > 0);
	const status = await main(argv);
	return { status, stdout: out.join(""), stderr: err.join("") };
}

describe("bad input: one line before any run, exit 2, nothing written", () => {
	writeFileSync(inside("there.html"), "kept");
	test.each([
		[["--report", inside("there.html")], /is there already; --force replaces it/],
		[["--report", inside("no/such.html")], /there is no directory/],
		[["--report", inside("there.html/x.html")], /is not a directory/],
		[["--report", directory, "--force"], /is a directory/],
		[["--report", " "], /a file is missing/],
		[["--force"], /--force: says nothing without --report FILE/],
		[["--no-scan"], /--no-scan: says nothing without --report FILE/],
		[["--sensitivity", "x.json"], /--sensitivity: says nothing without --report FILE/],
		[["--report", inside("new.html"), "--sensitivity", inside("there.html")], /is not JSON/],
	])("%j", async (argv, message) => {
		const { status, stdout, stderr } = await ifwg("compare", ...argv);
		expect([status, stdout]).toEqual([2, ""]);
		expect(stderr).toMatch(message);
		expect(stderr.trimEnd()).not.toContain("\n");
		expect(readdirSync(directory)).toEqual(["there.html"]);
		expect(readFileSync(inside("there.html"), "utf8")).toBe("kept");
	});
});

test("a report of short runs: written whole, and of the same data as the JSON", async () => {
	const file = inside("short.html");
	const short = [
		"--seeds",
		"1",
		"--crypto",
		"own",
		"--cpus",
		"2",
		"--duration",
		"500us",
		"--warmup",
		"500us",
		"--cost-only",
	];
	const { status, stdout, stderr } = await ifwg("compare", ...short, "--no-scan", "--report", file, "--json");
	expect([status, stderr]).toEqual([0, expect.stringMatching(new RegExp(`wrote ${file}\n$`))]);
	expect(existsSync(file)).toBe(true);
	expect(readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
	const root = parseXml(readFileSync(file, "utf8"));
	const data = [...everyElement(root)].find((one) => one.attributes.get("id") === "data")!;
	expect(JSON.parse(textOf(data))).toEqual(JSON.parse(stdout));
	expect(textOf(root)).toContain(
		"npx ifwg compare --crypto own --cpus 2 --duration 500us --warmup 500us --cost-only --seed 1 --no-scan --report report.html",
	);
});
