/** Aggregations against what somebody would compute who kept every value. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	ACTIONS,
	addCell,
	addValue,
	emptyCell,
	linearBucket,
	powerBucket,
	scalar,
} from "../../../sim/dtrace/aggregation.ts";
import { bucketsOf } from "../../../sim/dtrace/print.ts";

const value = fc.oneof(
	fc.integer(),
	fc.integer({ min: -20, max: 20 }),
	fc.maxSafeInteger().map((n) => n % 2 ** 40),
);
const values = fc.array(value, { minLength: 1, maxLength: 40 });
const linear = fc.record({
	base: fc.integer({ min: -50, max: 50 }),
	step: fc.integer({ min: 1, max: 9 }),
	levels: fc.integer({ min: 1, max: 30 }),
});

function cellOf(
	action: (typeof ACTIONS)[number],
	all: readonly number[],
	bounds: Parameters<typeof linearBucket>[1] | null,
) {
	const cell = emptyCell(action);
	for (const n of all) addValue(cell, { action, linear: bounds }, n);
	return cell;
}

const sum = (all: readonly number[]): number => all.reduce((total, n) => total + n, 0);

describe("one number", () => {
	test("is that of all values at once", () => {
		fc.assert(
			fc.property(values, (all) => {
				const of = (action: (typeof ACTIONS)[number]): number => scalar(action, cellOf(action, all, null));
				expect(of("count")).toBe(all.length);
				expect(of("sum")).toBe(sum(all));
				expect(of("min")).toBe(Math.min(...all));
				expect(of("max")).toBe(Math.max(...all));
				expect(of("avg")).toBe(Math.trunc(sum(all) / all.length) + 0);
			}),
		);
	});

	test("stddev is the root of the mean square distance from the mean, cut", () => {
		fc.assert(
			fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 30 }), (all) => {
				const mean = sum(all) / all.length;
				const exact = Math.sqrt(sum(all.map((n) => (n - mean) ** 2)) / all.length);
				const found = scalar("stddev", cellOf("stddev", all, null));
				expect(found).toBeLessThanOrEqual(exact + 1e-9);
				// the mean square is cut to a whole number before its root is taken
				expect(found + 1).toBeGreaterThan(Math.sqrt(Math.max(0, exact ** 2 - 1)) - 1e-9);
			}),
		);
	});

	test("stddev of numbers whose squares no double can hold", () => {
		const far = 2 ** 52;
		expect(scalar("stddev", cellOf("stddev", [far, far + 6], null))).toBe(3);
	});
});

test("parts that are put together are as the whole, for every action", () => {
	fc.assert(
		fc.property(values, values, linear, (first, second, bounds) => {
			for (const action of ACTIONS) {
				const with_bounds = action === "lquantize" ? bounds : null;
				const cell = cellOf(action, first, with_bounds);
				addCell(cell, action, cellOf(action, second, with_bounds));
				const whole = cellOf(action, [...first, ...second], with_bounds);
				expect(scalar(action, cell)).toBe(scalar(action, whole));
				expect(bucketsOf(cell, with_bounds)).toEqual(bucketsOf(whole, with_bounds));
			}
		}),
	);
});

describe("quantize", () => {
	test("a bucket is a power of two that its values reach, and the next one they do not", () => {
		fc.assert(
			fc.property(value, (n) => {
				const bucket = powerBucket(n);
				if (n === 0) {
					expect(bucket).toBe(0);
					return;
				}
				expect(Math.sign(bucket)).toBe(Math.sign(n));
				expect(Number.isInteger(Math.log2(Math.abs(bucket)))).toBe(true);
				expect(Math.abs(bucket)).toBeLessThanOrEqual(Math.abs(n));
				expect(Math.abs(bucket) * 2).toBeGreaterThan(Math.abs(n));
			}),
		);
	});

	test("shows every value once, in rows that rise, and an empty one at either end", () => {
		fc.assert(
			fc.property(values, (all) => {
				const rows = bucketsOf(cellOf("quantize", all, null), null);
				expect(sum(rows.map(({ count }) => count))).toBe(all.length);
				for (let i = 1; i < rows.length; i++) expect(rows[i].from).toBeGreaterThan(rows[i - 1].from);
				expect([rows[0].count, rows[rows.length - 1].count]).toEqual([0, 0]);
				for (const { from, count } of rows) {
					expect(count).toBe(all.filter((n) => powerBucket(n) === from).length);
				}
			}),
		);
	});
});

test("lquantize puts a value between its bounds in the step it is in, others beyond the ends", () => {
	fc.assert(
		fc.property(fc.integer({ min: -400, max: 400 }), linear, (n, bounds) => {
			const { base, step, levels } = bounds;
			const bucket = linearBucket(n, bounds);
			if (n < base) expect(bucket).toBe(base - step);
			else if (n >= base + levels * step) expect(bucket).toBe(base + levels * step);
			else {
				expect((bucket - base) % step).toBe(0);
				expect(n - bucket).toBeGreaterThanOrEqual(0);
				expect(n - bucket).toBeLessThan(step);
			}
			const [name] = bucketsOf(cellOf("lquantize", [n], bounds), bounds).filter(({ count }) => count === 1);
			expect(name.name).toBe(
				n < base ? `< ${base}` : bucket === base + levels * step ? `>= ${bucket}` : String(bucket),
			);
		}),
	);
});
