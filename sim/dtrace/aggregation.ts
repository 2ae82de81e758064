/**
 * Aggregations: what becomes of many values without keeping them. Each action adds up such that two aggregations of different runs
 * can be put together afterwards.
 *
 * @see dtrace(1) aggregating functions
 */

export type Value = number | string;

/** What one row holds: plain data, so it can go from thread to thread. */
export interface Cell {
	/** how many values */
	count: number;
	/** their sum */
	sum: number;
	/** the smallest, or of max() the largest */
	extreme: number;
	/** sum of squares: needs more than 53 bits; 0 unless the action is stddev */
	squares: bigint;
	/** values in each bucket, by its lower end; null unless the action draws a distribution */
	buckets: Map<number, number> | null;
}

export interface Row {
	readonly keys: readonly Value[];
	readonly cell: Cell;
}

export const ACTIONS = ["count", "sum", "avg", "min", "max", "stddev", "quantize", "lquantize"] as const;
export type ActionName = (typeof ACTIONS)[number];

/** What lquantize is given besides the value: buckets of `step` from `base`, `levels` of them, and one on either side. */
export interface Linear {
	readonly base: number;
	readonly step: number;
	readonly levels: number;
}

/** One aggregation of a program. */
export interface Shape {
	readonly name: string;
	readonly action: ActionName;
	/** how the program writes its keys */
	readonly keys: readonly string[];
	readonly linear: Linear | null;
}

/** The whole result of one aggregation. */
export interface Table extends Shape {
	readonly rows: Row[];
}

export function emptyCell(action: ActionName): Cell {
	const draws = action === "quantize" || action === "lquantize";
	return { count: 0, sum: 0, extreme: 0, squares: 0n, buckets: draws ? new Map() : null };
}

/** The lower end of the bucket of powers of two that `value` is in: 0, 1, 2, 4, ...; of negative ones the end nearer to 0. */
export function powerBucket(value: number): number {
	const size = Math.abs(value);
	let bucket = 1;
	while (bucket * 2 <= size) bucket *= 2;
	return size === 0 ? 0 : value < 0 ? -bucket : bucket;
}

/** The lower end of the bucket of lquantize; base - step stands for everything below the base. */
export function linearBucket(value: number, { base, step, levels }: Linear): number {
	if (value < base) return base - step;
	return base + Math.min(levels, Math.floor((value - base) / step)) * step;
}

/** Adds one value, a whole number. */
export function addValue(cell: Cell, { action, linear }: Pick<Shape, "action" | "linear">, value: number): void {
	if (cell.count === 0 || (action === "min" ? value < cell.extreme : value > cell.extreme)) cell.extreme = value;
	cell.count++;
	cell.sum += value;
	if (action === "stddev") cell.squares += BigInt(value) * BigInt(value);
	if (cell.buckets !== null) {
		const bucket = linear === null ? powerBucket(value) : linearBucket(value, linear);
		cell.buckets.set(bucket, (cell.buckets.get(bucket) ?? 0) + 1);
	}
}

/** Adds what another cell of the same action has. */
export function addCell(cell: Cell, action: ActionName, other: Cell): void {
	if (cell.count === 0 || (action === "min" ? other.extreme < cell.extreme : other.extreme > cell.extreme)) {
		cell.extreme = other.extreme;
	}
	cell.count += other.count;
	cell.sum += other.sum;
	cell.squares += other.squares;
	for (const [bucket, n] of other.buckets ?? []) cell.buckets?.set(bucket, (cell.buckets.get(bucket) ?? 0) + n);
}

function squareRoot(n: bigint): bigint {
	if (n < 2n) return n;
	let x = BigInt(Math.floor(Math.sqrt(Number(n)))) + 1n;
	for (;;) {
		const y = (x + n / x) >> 1n;
		if (y >= x) return x;
		x = y;
	}
}

/**
 * What an action that gives one number has come to: whole, cut towards 0 as in C. The standard deviation is cut once, at the end,
 * where dtrace(1) cuts the average first.
 */
export function scalar(action: ActionName, cell: Cell): number {
	switch (action) {
		case "count":
			return cell.count;
		case "sum":
			return cell.sum;
		case "avg":
			return cell.count === 0 ? 0 : Math.trunc(cell.sum / cell.count);
		case "stddev": {
			const n = BigInt(cell.count);
			const sum = BigInt(cell.sum);
			return n === 0n ? 0 : Number(squareRoot((n * cell.squares - sum * sum) / (n * n)));
		}
		default:
			return cell.extreme;
	}
}

/** What rows are sorted by, as dtrace(1) does: the number, or of a distribution the sum of its buckets' ends. */
function weight(action: ActionName, { cell }: Row): number {
	if (cell.buckets === null) return action === "avg" ? cell.sum / Math.max(1, cell.count) : scalar(action, cell);
	let sum = 0;
	for (const [bucket, n] of cell.buckets) sum += bucket * n;
	return sum;
}

function compareKeys(a: readonly Value[], b: readonly Value[]): number {
	for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
	return 0;
}

/** Smallest first; equals by their keys, so that the order never depends on the order of events. */
export function sortRows(action: ActionName, rows: readonly Row[]): Row[] {
	return rows
		.map((row) => ({ row, weight: weight(action, row) }))
		.sort((a, b) => a.weight - b.weight || compareKeys(a.row.keys, b.row.keys))
		.map(({ row }) => row);
}

/** An aggregation while it grows. */
export class Aggregation {
	readonly shape: Shape;
	private readonly rows = new Map<Value, Row>();

	constructor(shape: Shape) {
		this.shape = shape;
	}

	/** The row of `keys`; the array is kept. */
	cell(keys: readonly Value[]): Cell {
		const id = keys.length === 1 ? keys[0] : JSON.stringify(keys);
		let row = this.rows.get(id);
		if (row === undefined) {
			row = { keys, cell: emptyCell(this.shape.action) };
			this.rows.set(id, row);
		}
		return row.cell;
	}

	/** Adds the rows of the same aggregation of another run. */
	merge(rows: readonly Row[]): void {
		for (const { keys, cell } of rows) addCell(this.cell(keys), this.shape.action, cell);
	}

	table(): Table {
		return { ...this.shape, rows: sortRows(this.shape.action, [...this.rows.values()]) };
	}
}
