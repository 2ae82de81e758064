import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantile, rankRegression, ranks, spearman, wilson } from "../../../sim/sensitivity/statistics.ts";

describe("Wilson's interval", () => {
	test.each([
		[5, 10],
		[490, 500],
		[1, 20],
	])("of %i in %i ends at the shares from which what was seen is 1.96 standard errors away", (holds, of) => {
		const { share, low, high } = wilson(holds, of);
		for (const end of [low, high]) {
			expect(Math.abs(share - end) / Math.sqrt((end * (1 - end)) / of)).toBeCloseTo(1.959964, 6);
		}
	});

	test("of none in twenty still leaves some room", () => {
		expect(wilson(0, 20).low).toBe(0);
		expect(wilson(0, 20).high).toBeCloseTo(0.1611, 4);
	});

	test("contains the share, and lies in 0..1", () => {
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 2000 }), fc.double({ min: 0, max: 1, noNaN: true }), (of, u) => {
				const { share, low, high } = wilson(Math.round(u * of), of);
				expect(low).toBeGreaterThanOrEqual(0);
				expect(low - 1e-12).toBeLessThanOrEqual(share);
				expect(high + 1e-12).toBeGreaterThanOrEqual(share);
				expect(high).toBeLessThanOrEqual(1);
			}),
		);
	});
});

test("ranks begin at 1, and equals share theirs", () => {
	expect(ranks([10, 30, 20, 20])).toEqual([1, 4, 2.5, 2.5]);
});

test("rank correlation sees the order only", () => {
	expect(spearman([1, 2, 3, 4], [1, 10, 100, 1000])).toBeCloseTo(1);
	expect(spearman([1, 2, 3, 4], [4, 3, 2, 1])).toBeCloseTo(-1);
	// R: cor(c(1,2,3,4,5), c(2,1,4,3,5), method = "spearman")
	expect(spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])).toBeCloseTo(0.8);
	expect(spearman([1, 1, 1], [1, 2, 3])).toBe(0);
});

test("quantiles lie between the nearest values", () => {
	expect([0, 0.25, 0.5, 1].map((q) => quantile([4, 1, 3, 2], q))).toEqual([1, 1.75, 2.5, 4]);
});

describe("regression on ranks", () => {
	/** Two columns in which every pair of values occurs: no correlation between them. */
	const pairs = Array.from({ length: 64 }, (_, i) => [i % 8, i >> 3]);
	const columns = [0, 1].map((at) => pairs.map((pair) => pair[at]));

	test("finds which columns an outcome follows, by how much, and which way", () => {
		const outcome = pairs.map(([a, b]) => 100 * a - 10 * b);
		const { coefficients, r_squared } = rankRegression(columns, outcome)!;
		expect(coefficients[0]).toBeGreaterThan(0.9);
		expect(coefficients[1]).toBeLessThan(-0.05);
		expect(r_squared).toBeGreaterThan(0.98);
	});

	test("explains nothing of an outcome that follows none", () => {
		// the exclusive or of two halves: balanced against either column
		const outcome = pairs.map(([a, b]) => (a < 4 === b < 4 ? 1 : 0));
		expect(rankRegression(columns, outcome)!.r_squared).toBeCloseTo(0);
	});

	test("is refused with too few points, and with columns that are the same", () => {
		expect(rankRegression([[1, 2, 3]], [1, 2, 3])).toBeNull();
		expect(rankRegression([columns[0], columns[0]], columns[1])).toBeNull();
	});
});
