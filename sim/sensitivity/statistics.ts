/** What a study's numbers are judged by: intervals of shares, quantiles, rank correlation, regression on ranks. */

/** Two-sided 95 % point of the normal distribution. */
const NORMAL_95 = 1.959964;

export interface Share {
	readonly holds: number;
	readonly of: number;
	readonly share: number;
	/** 95 % interval */
	readonly low: number;
	readonly high: number;
}

/** A share with Wilson's score interval, which is good for few trials and near 0 and 1. @see E. B. Wilson, JASA 22 (1927) */
export function wilson(holds: number, of: number): Share {
	if (of === 0) return { holds, of, share: Number.NaN, low: 0, high: 1 };
	const p = holds / of;
	const z2 = NORMAL_95 ** 2;
	const middle = (p + z2 / (2 * of)) / (1 + z2 / of);
	const half = (NORMAL_95 / (1 + z2 / of)) * Math.sqrt((p * (1 - p)) / of + z2 / (4 * of * of));
	return { holds, of, share: p, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/** The value below which share `q` of the values lie, between the two nearest. */
export function quantile(values: readonly number[], q: number): number {
	const sorted = [...values].sort((a, b) => a - b);
	const at = q * (sorted.length - 1);
	const below = Math.floor(at);
	const above = Math.min(sorted.length - 1, below + 1);
	return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/** Ranks from 1; equal values share the mean of their ranks. */
export function ranks(values: readonly number[]): number[] {
	const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
	const result = new Array<number>(values.length);
	for (let from = 0; from < order.length; ) {
		let to = from;
		while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to++;
		for (let i = from; i <= to; i++) result[order[i]] = (from + to) / 2 + 1;
		from = to + 1;
	}
	return result;
}

/** Mean 0 and length 1, so that a scalar product is a correlation; all 0 if the values do not differ. */
function standardised(values: readonly number[]): number[] {
	const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
	const length = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0));
	return values.map((value) => (length === 0 ? 0 : (value - mean) / length));
}

function product(a: readonly number[], b: readonly number[]): number {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
	return sum;
}

export function pearson(a: readonly number[], b: readonly number[]): number {
	return product(standardised(a), standardised(b));
}

export function spearman(a: readonly number[], b: readonly number[]): number {
	return pearson(ranks(a), ranks(b));
}

/** |rank correlation| that chance exceeds in 5 % of all cases. */
export function spearman95(n: number): number {
	return n < 3 ? 1 : NORMAL_95 / Math.sqrt(n - 1);
}

export interface Regression {
	/** one for each column: by how many standard deviations the outcome's rank moves with one of the column's */
	readonly coefficients: readonly number[];
	/** share of the variance of the outcome's ranks that is explained */
	readonly r_squared: number;
}

/** Solves the symmetric positive system `a x = b` by Gauss's elimination with pivots; both are overwritten. Null if it has no one solution. */
function solve(a: number[][], b: number[]): number[] | null {
	const n = b.length;
	for (let i = 0; i < n; i++) {
		let pivot = i;
		for (let row = i + 1; row < n; row++) if (Math.abs(a[row][i]) > Math.abs(a[pivot][i])) pivot = row;
		if (Math.abs(a[pivot][i]) < 1e-9) return null;
		[a[i], a[pivot]] = [a[pivot], a[i]];
		[b[i], b[pivot]] = [b[pivot], b[i]];
		for (let row = i + 1; row < n; row++) {
			const factor = a[row][i] / a[i][i];
			for (let column = i; column < n; column++) a[row][column] -= factor * a[i][column];
			b[row] -= factor * b[i];
		}
	}
	for (let i = n - 1; i >= 0; i--) {
		for (let column = i + 1; column < n; column++) b[i] -= a[i][column] * b[column];
		b[i] /= a[i][i];
	}
	return b;
}

/** A regression needs this many points more than it has columns. */
const SPARE_POINTS = 20;

/** Least squares of the outcome's ranks on the columns' ranks, all standardised. Null with too few points. */
export function rankRegression(columns: readonly (readonly number[])[], outcome: readonly number[]): Regression | null {
	if (columns.length === 0 || outcome.length < columns.length + SPARE_POINTS) return null;
	const x = columns.map((column) => standardised(ranks(column)));
	const y = standardised(ranks(outcome));
	const coefficients = solve(
		x.map((a) => x.map((b) => product(a, b))),
		x.map((a) => product(a, y)),
	);
	if (coefficients === null) return null;
	return { coefficients, r_squared: coefficients.reduce((sum, b, i) => sum + b * product(x[i], y), 0) };
}
