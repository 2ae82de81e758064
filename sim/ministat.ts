/**
 * What ministat(1) says of two sets of measurements: N, smallest, largest, median, average, standard deviation, and whether the
 * averages differ, by Student's t at 95 % confidence with a pooled standard deviation.
 *
 * @see usr.bin/ministat/ministat.c
 */
export interface Summary {
	readonly n: number;
	readonly min: number;
	readonly max: number;
	readonly median: number;
	readonly avg: number;
	/** sample standard deviation; 0 for one measurement */
	readonly stddev: number;
}

export interface Difference {
	/** false: no difference proven at 95 % confidence */
	readonly proven: boolean;
	/** average of the second set less that of the first, and half the width of its interval */
	readonly difference: number;
	readonly error: number;
	/** the same in per cent of the first average */
	readonly percent: number;
	readonly percent_error: number;
	readonly pooled_stddev: number;
}

/** Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom. */
const STUDENT_95 = [
	12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
	2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL_95 = 1.959964;

/** Beyond the table by the Cornish-Fisher expansion, good to four digits there. */
export function student95(degrees: number): number {
	if (degrees < 1) return Number.POSITIVE_INFINITY;
	if (degrees <= STUDENT_95.length) return STUDENT_95[degrees - 1];
	const z = NORMAL_95;
	const first = (z ** 3 + z) / (4 * degrees);
	const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees * degrees);
	return z + first + second;
}

export function summarise(values: readonly number[]): Summary {
	const n = values.length;
	if (n === 0) throw new RangeError("ministat: no measurements");
	const sorted = [...values].sort((a, b) => a - b);
	const avg = sorted.reduce((sum, value) => sum + value, 0) / n;
	const squares = sorted.reduce((sum, value) => sum + (value - avg) ** 2, 0);
	const middle = Math.floor(n / 2);
	return {
		n,
		min: sorted[0],
		max: sorted[n - 1],
		median: n % 2 === 0 ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle],
		avg,
		stddev: n > 1 ? Math.sqrt(squares / (n - 1)) : 0,
	};
}

/** Compares `second` against `first`. With one measurement on each side nothing is ever proven. */
export function compareSets(first: readonly number[], second: readonly number[]): Difference {
	const a = summarise(first);
	const b = summarise(second);
	const degrees = a.n + b.n - 2;
	const pooled =
		degrees > 0 ? Math.sqrt(((a.n - 1) * a.stddev ** 2 + (b.n - 1) * b.stddev ** 2) / degrees) : Number.NaN;
	const difference = b.avg - a.avg;
	const error = degrees > 0 ? student95(degrees) * pooled * Math.sqrt(1 / a.n + 1 / b.n) : Number.POSITIVE_INFINITY;
	return {
		proven: Math.abs(difference) > error,
		difference,
		error,
		percent: (difference * 100) / a.avg,
		percent_error: (error * 100) / a.avg,
		pooled_stddev: pooled,
	};
}
