import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareSets, student95, summarise } from "../../sim/ministat.ts";

// The examples of ministat(1): the files iguana, chameleon and leopard of usr.bin/ministat.
const iguana = [50, 200, 150, 400, 750, 400, 150];
const chameleon = [150, 400, 720, 500, 930];

describe("against what ministat(1) prints", () => {
	test("the manual's first set", () => {
		const s = summarise(iguana);
		expect([s.n, s.min, s.max, s.median, s.avg]).toEqual([7, 50, 750, 200, 300]);
		expect(s.stddev).toBeCloseTo(238.04761, 5);
	});

	test("the manual's second set", () => {
		const s = summarise(chameleon);
		expect([s.n, s.min, s.max, s.median, s.avg]).toEqual([5, 150, 930, 500, 540]);
		expect(s.stddev).toBeCloseTo(299.08193, 5);
	});

	test("no difference between them is proven at 95.0% confidence", () => {
		const d = compareSets(iguana, chameleon);
		expect(d.proven).toBe(false);
		expect(d.difference).toBe(240);
	});

	test("two sets that do differ: 54.2 +/- 20.4, worked by hand", () => {
		// variances 145 and 244.7 over 4 degrees of freedom each: pooled s = 13.959, t(8) = 2.306
		const d = compareSets([100, 110, 120, 90, 115], [150, 170, 165, 180, 141]);
		expect(d.proven).toBe(true);
		expect(d.difference).toBeCloseTo(54.2, 10);
		expect(d.pooled_stddev).toBeCloseTo(Math.sqrt((145 + 244.7) / 2), 10);
		expect(d.error).toBeCloseTo(20.36, 2);
		expect(d.percent).toBeCloseTo((54.2 / 107) * 100, 10);
	});
});

describe("Student's t at 95 %", () => {
	test.each([
		[1, 12.706],
		[8, 2.306],
		[30, 2.042],
		[40, 2.021],
		[60, 2.0],
		[100, 1.984],
		[1000, 1.962],
	])("with %i degrees of freedom is %f", (degrees, t) => {
		expect(student95(degrees)).toBeCloseTo(t, 3);
	});

	test("never grows with the degrees of freedom", () => {
		for (let n = 1; n < 200; n++) expect(student95(n + 1)).toBeLessThanOrEqual(student95(n));
	});
});

test("the median of an even number is the middle of the two in the middle", () => {
	expect(summarise([4, 1, 3, 2]).median).toBe(2.5);
});

test("one run on each side proves nothing, whatever it shows", () => {
	const d = compareSets([1], [1000]);
	expect(d.proven).toBe(false);
	expect(summarise([1]).stddev).toBe(0);
});

test("an empty set is refused", () => {
	expect(() => summarise([])).toThrow(RangeError);
});

test("order does not matter, and min <= median, avg <= max", () => {
	const values = fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { minLength: 1, maxLength: 40 });
	fc.assert(
		fc.property(values, (set) => {
			const s = summarise(set);
			expect(summarise([...set].reverse())).toEqual(s);
			expect(s.min).toBeLessThanOrEqual(s.median);
			expect(s.median).toBeLessThanOrEqual(s.max);
			expect(s.avg).toBeGreaterThanOrEqual(s.min - 1e-6);
			expect(s.avg).toBeLessThanOrEqual(s.max + 1e-6);
		}),
	);
});
