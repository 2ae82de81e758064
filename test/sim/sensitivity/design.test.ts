import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COST_NAMES, costOf } from "../../../sim/costs.ts";
import { parseRunOptions, settingsKey } from "../../../sim/options.ts";
import { latinHypercube, type StudyOptions, studyJobs, studyPoints, valueAt } from "../../../sim/sensitivity/design.ts";
import { findProfile, machineProfiles } from "../../../src/machine/profile.ts";

const xeon = findProfile("xeon-d")!;
const study = (sizes: Partial<StudyOptions> = {}): StudyOptions => ({
	base: parseRunOptions({ duration: "5ms", warmup: "5ms", costOnly: true }),
	vary: ["context_switch", "line_transfer"],
	points: 4,
	seeds: 2,
	base_seeds: 3,
	checks: 1,
	...sizes,
});

describe("a value at a quantile", () => {
	test.each(machineProfiles.map((profile) => profile.name))("lies in the constant's range, on %s", (machine) => {
		const profile = findProfile(machine)!;
		const u = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
		fc.assert(
			fc.property(fc.constantFrom(...COST_NAMES), u, (name, at) => {
				const { range, unit } = costOf(profile, name);
				const value = valueAt(profile, name, at);
				expect(value).toBeGreaterThanOrEqual(range[0]);
				expect(value).toBeLessThanOrEqual(range[1]);
				if (unit === "count") expect(value % 1).toBe(0);
			}),
		);
	});

	test("is the usual one in the middle, and the ends of the range at the ends", () => {
		expect([0, 0.5, 0.9999999].map((u) => valueAt(xeon, "context_switch", u))).toEqual([600, 1500, 4500]);
	});

	test("of a count takes each whole number equally often", () => {
		const drawn = Array.from({ length: 100 }, (_, i) => valueAt(xeon, "handoff_lines", (i + 0.5) / 100));
		expect([0, 1, 2, 3, 4].map((value) => drawn.filter((other) => other === value).length)).toEqual(Array(5).fill(20));
	});
});

test("a hypercube has one point in each slice of each constant's range", () => {
	const n = 50;
	const cube = latinHypercube(xeon, ["context_switch", "line_transfer"], n, 7);
	for (const name of ["context_switch", "line_transfer"] as const) {
		const slices = Array.from({ length: n }, (_, i) => valueAt(xeon, name, i / n));
		const drawn = cube.map((costs) => costs[name] ?? costOf(xeon, name).value).sort((a, b) => a - b);
		drawn.forEach((value, i) => {
			expect(value).toBeGreaterThanOrEqual(slices[i]);
			if (i + 1 < n) expect(value).toBeLessThanOrEqual(slices[i + 1]);
		});
	}
});

test("a constant more leaves the others' values as they were, and another seed does not", () => {
	const two = latinHypercube(xeon, ["context_switch", "line_transfer"], 20, 1);
	const three = latinHypercube(xeon, ["context_switch", "atomic", "line_transfer"], 20, 1);
	expect(three.map(({ atomic: _, ...rest }) => rest)).toEqual(two);
	expect(latinHypercube(xeon, ["context_switch", "line_transfer"], 20, 2)).not.toEqual(two);
});

test("every point of a study has a name of its own, and every job is a run of its own", () => {
	const points = studyPoints(study());
	expect(points).toHaveLength(3 + 2 * 2 * 2 + 4 + 1);
	expect(new Set(points.map((point) => point.id)).size).toBe(points.length);
	const jobs = studyJobs(study());
	expect(jobs).toHaveLength(4 * points.length);
	expect(new Set(jobs.map(({ options }) => settingsKey(options, options.policy))).size).toBe(jobs.length);
});

test("costs given for the whole study stay where they are not varied", () => {
	const base = parseRunOptions({ cost: "atomic=20,context_switch=700" });
	const points = studyPoints(study({ base, points: 0, seeds: 1, base_seeds: 2, vary: ["context_switch"] }));
	expect(points.map((point) => point.costs)).toEqual([
		{ atomic: 20, context_switch: 700 },
		{ atomic: 20, context_switch: 700 },
		{ atomic: 20, context_switch: 600 },
		{ atomic: 20, context_switch: 4500 },
	]);
});
