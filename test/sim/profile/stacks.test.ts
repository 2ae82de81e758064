/** Profiles of several policies: no ns is lost, and files are there whole or not at all. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseRunOptions } from "../../../sim/options.ts";
import { unwrap } from "../../../sim/pool.ts";
import {
	byCentre,
	differenceLines,
	family,
	fold,
	foldedLines,
	planStackFiles,
	renderStacks,
	writeStackFiles,
} from "../../../sim/profile/compare.ts";
import { type Profile, profile } from "../../../sim/profile/worker.ts";
import { simulate } from "../../../sim/run.ts";
import { resolveCosts } from "../../../src/machine/cost/table.ts";
import { findProfile } from "../../../src/machine/profile.ts";

const directory = mkdtempSync(path.join(tmpdir(), "ifwg-stacks-"));
const policies = ["all-cpus", "round-robin"];
const options = policies.map((policy) =>
	parseRunOptions({ policy, cpus: "3", duration: "1ms", warmup: "500us", costOnly: true }),
);
let profiles: Profile[];

beforeAll(async () => {
	profiles = [unwrap(await profile(options[0])), unwrap(await profile(options[1]))];
}, 120_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function total(values: Iterable<number>): number {
	let sum = 0;
	for (const value of values) sum += value;
	return sum;
}

test("a profile is of the measured interval of the same run, to the ns and to the packet", async () => {
	const { result } = await simulate(options[0]);
	const [{ stacks, busy_ns, packets }] = profiles;
	expect(total(stacks.map(({ ns }) => ns))).toBe(busy_ns);
	expect(busy_ns).toBe(result.cpu_busy_ns);
	expect(packets).toBe(result.segments);
	expect(stacks.every(({ ns }) => ns > 0)).toBe(true);
});

test("spinning, switches and interrupts are those of the machine's own books", async () => {
	const { result } = await simulate(options[0]);
	const of = (name: (text: string) => boolean): number =>
		total(profiles[0].stacks.filter(({ functions }) => name(functions.at(-1) ?? "")).map(({ ns }) => ns));
	// what is under way at either end may be in one of the two only
	const books = (name: string, ns: number, each_ns: number): void => {
		expect(Math.abs(of((text) => text === name) - ns)).toBeLessThanOrEqual(2 * options[0].cpus * each_ns);
		expect(ns).toBeGreaterThan(10 * options[0].cpus * each_ns);
	};
	const { ghz, cycle_factor, costs } = findProfile(options[0].machine)!;
	const { context_switch, ipi_handler } = resolveCosts(ghz, cycle_factor, costs);
	books("context switch", result.cpu_switch_ns, context_switch);
	books("interrupt", result.cpu_interrupt_ns, ipi_handler);
	expect(Math.abs(of((name) => name.startsWith("spin on ")) - result.cpu_spin_ns)).toBeLessThan(10_000);
	// what each CPU had charged and not lived through when the profile began: a packet's cipher at most
	expect(of((name) => name === "unseen")).toBeLessThan(options[0].cpus * 15_000);
});

test("what is put together adds up to the whole", () => {
	for (const one of profiles) {
		expect(total(fold(one).values())).toBe(one.busy_ns);
		expect(total(byCentre(one).values())).toBe(one.busy_ns);
	}
	expect([family("wg_tqg_12"), family("idle: cpu3"), family("iperf3")]).toEqual(["wg_tqg_*", "idle: cpu*", "iperf3"]);
});

test("a difference has a column for each policy, which adds up to its busy time", () => {
	const parsed = differenceLines(profiles[0], profiles[1], false).map((line) =>
		/^([^;]+(?:;[^;]+)+) ([0-9]+) ([0-9]+)$/.exec(line),
	);
	expect(parsed.includes(null)).toBe(false);
	expect(total(parsed.map((match) => Number(match?.[2])))).toBe(profiles[0].busy_ns);
	expect(total(parsed.map((match) => Number(match?.[3])))).toBe(profiles[1].busy_ns);
	const stacks = parsed.map((match) => match?.[1]);
	expect(new Set(stacks).size).toBe(stacks.length);
	expect(stacks.some((stack) => stack?.startsWith("wg_tqg_*;gtaskqueue_thread_loop;wg_softc_encrypt;"))).toBe(true);
});

test("by packet, in ps, the lines add up to the CPU time of a packet", () => {
	const [one] = profiles;
	const ps = total(foldedLines(one, true).map((line) => Number(line.slice(line.lastIndexOf(" ") + 1))));
	expect(Math.abs(ps - (one.busy_ns * 1000) / one.packets)).toBeLessThan(fold(one).size);
});

test("the table has the costs that most goes to first, and what is left in one row", () => {
	const lines = renderStacks(profiles, 3);
	expect(lines[0]).toMatch(/all-cpus +round-robin +difference$/);
	expect(lines).toHaveLength(1 + 3 + 1 + 2);
	expect(lines[4]).toMatch(/^[0-9]+ others /);
	expect(lines[5]).toContain(String(Math.round(profiles[0].busy_ns / profiles[0].packets)).replace(/\B(?=...$)/, " "));
});

describe("files", () => {
	test("of all policies and their differences are written", () => {
		const files = planStackFiles(directory, policies, false, false);
		writeStackFiles(files, profiles, Number.POSITIVE_INFINITY);
		const names = ["all-cpus-round-robin.diff.folded", "all-cpus.folded", "round-robin.folded"];
		expect(readdirSync(directory).sort()).toEqual(names);
		const text = readFileSync(path.join(directory, names[1]), "utf8");
		expect(text).toBe(`${foldedLines(profiles[0], false).join("\n")}\n`);
	});

	test("that are there already are not replaced without --force", () => {
		const file = path.join(directory, "all-cpus.folded");
		writeFileSync(file, "mine");
		expect(() => planStackFiles(directory, policies, false, false)).toThrow(
			/all-cpus\.folded: is there already; --force/,
		);
		expect(planStackFiles(directory, policies, false, true)).toHaveLength(3);
		expect(readFileSync(file, "utf8")).toBe("mine");
	});

	test("that would be too large are not begun, nor are the others", () => {
		const small = mkdtempSync(path.join(directory, "small-"));
		const files = planStackFiles(small, policies, false, false);
		expect(() => writeStackFiles(files, profiles, 50_000)).toThrow(/^--max-size: .* makes it more than 50 000 bytes/);
		expect(readdirSync(small)).toEqual([]);
		expect(() => planStackFiles(small, ["./a/x.mjs", "a/x.mjs"], false, false)).toThrow(/^--policy: two of them/);
	});
});
