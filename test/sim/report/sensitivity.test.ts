import { describe, expect, test } from "vitest";
import { UsageError } from "../../../sim/errors.ts";
import { parseSensitivity, readSensitivity } from "../../../sim/report/sensitivity.ts";

/** The part of `ifwg sensitivity --json` that is read; the figures are made up. */
function study(): Record<string, Record<string, unknown>> {
	return {
		options: { base: { machine: "xeon-d", cpus: 8 }, vary: ["context_switch"] },
		summary: {
			usual: { ratio: 2.05, all_cpus_share: 0.13 },
			swings: [{ name: "context_switch", low: { ratio: 1.6 }, high: { ratio: 2.6 }, swing: 1, clear: true }],
			hypercube: {
				points: 500,
				conclusions: [{ text: "round-robin wins", holds: 497, of: 500, share: 0.994, low: 0.98, high: 0.998 }],
			},
		},
	};
}

test("a study is read as it is printed", () => {
	expect(parseSensitivity("x.json", JSON.stringify(study()))).toEqual({
		rows: [{ name: "context_switch", low: 1.6, high: 2.6, base: 2.05 }],
		points: 500,
		conclusions: [{ text: "round-robin wins", share: 0.994, low: 0.98, high: 0.998 }],
		machine: "xeon-d",
		cpus: 8,
	});
});

test("one without a hypercube has no conclusions", () => {
	const without = study();
	without.summary.hypercube = null;
	expect(parseSensitivity("x.json", JSON.stringify(without))).toMatchObject({ points: 0, conclusions: [] });
});

describe("a file that is none is refused in one line that says how to make one", () => {
	const broken = (change: (of: ReturnType<typeof study>) => void): string => {
		const value = study();
		change(value);
		return JSON.stringify(value);
	};
	test.each([
		["", /is not JSON/],
		["[]", /no whole in it/],
		["{}", /no summary in it/],
		[broken((of) => delete of.summary.swings), /no swings in it/],
		[broken((of) => (of.summary.usual = { ratio: "2" })), /no ratio in it/],
		[broken((of) => (of.summary.swings = [1])), /no swings in it/],
	])("%s", (text, message) => {
		let error: unknown;
		try {
			parseSensitivity("x.json", text);
		} catch (thrown) {
			error = thrown;
		}
		expect(error).toBeInstanceOf(UsageError);
		expect((error as Error).message).toMatch(message);
		expect((error as Error).message).toMatch(/^--sensitivity x\.json: [^\n]*ifwg sensitivity --json > FILE$/);
	});

	test("one that is not there", () => {
		expect(() => readSensitivity("no/such.json")).toThrow(/there is no such file/);
		expect(() => readSensitivity(".")).toThrow(/cannot be read/);
	});
});
