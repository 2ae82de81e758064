/**
 * Aggregations as dtrace(1) prints them: keys in columns, then the number, or a distribution with bars of 40 characters.
 *
 * @see libdtrace dt_consume.c dt_print_quantize, dt_print_lquantize
 */
import { type ActionName, type Cell, type Row, scalar, type Table, type Value } from "./aggregation.ts";

const BAR = 40;
const TEXT_KEY = 50;
/** widths of a number: of a 32-bit and of a 64-bit key, and of the result */
const NARROW = 8;
const WIDE = 16;

const HEADING = `${"value".padStart(WIDE)}  ------------- Distribution ------------- ${"count".padEnd(9)}`;

/** How wide numbers in column `i` are printed. */
function keyWidth(rows: readonly Row[], i: number): number {
	return rows.some(({ keys }) => String(keys[i]).length > NARROW) ? WIDE : NARROW;
}

function keyText(key: Value, width: number): string {
	return typeof key === "number" ? ` ${String(key).padStart(width)}` : `  ${key.padEnd(TEXT_KEY)}`;
}

/** One bucket: its name, its bar, how many values it has. */
function bucketLine(name: string, count: number, total: number): string {
	const depth = total === 0 ? 0 : Math.floor((count * BAR) / total + 0.5);
	return `${name.padStart(WIDE)} |${"@".repeat(depth).padEnd(BAR)} ${String(count).padEnd(9)}`;
}

/** The power of two after `bucket`, on the way up through 0. */
function nextPower(bucket: number): number {
	if (bucket === -1) return 0;
	if (bucket === 0) return 1;
	return bucket < 0 ? bucket / 2 : bucket * 2;
}

function previousPower(bucket: number): number {
	return 0 - nextPower(0 - bucket);
}

interface Bucket {
	readonly name: string;
	readonly from: number;
	readonly count: number;
}

/** All buckets from the one before the first that has values to the one after the last. */
export function bucketsOf(cell: Cell, linear: Table["linear"]): Bucket[] {
	const buckets = cell.buckets ?? new Map<number, number>();
	const filled = [...buckets.keys()].sort((a, b) => a - b);
	if (filled.length === 0) return [];
	const out: Bucket[] = [];
	const last = filled[filled.length - 1];
	if (linear === null) {
		const end = nextPower(last);
		for (let from = previousPower(filled[0]); from <= end; from = nextPower(from)) {
			out.push({ name: String(from), from, count: buckets.get(from) ?? 0 });
		}
		return out;
	}
	const { base, step, levels } = linear;
	const lowest = base - step;
	const highest = base + levels * step;
	for (let from = Math.max(lowest, filled[0] - step); from <= Math.min(highest, last + step); from += step) {
		const name = from === lowest ? `< ${base}` : from === highest ? `>= ${highest}` : String(from);
		out.push({ name, from, count: buckets.get(from) ?? 0 });
	}
	return out;
}

function rowLines(table: Table, row: Row, widths: readonly number[]): string[] {
	const keys = row.keys.map((key, i) => keyText(key, widths[i])).join("");
	const { action, linear } = table;
	if (row.cell.buckets === null) return [`${keys} ${String(scalar(action, row.cell)).padStart(WIDE)}`];
	const buckets = bucketsOf(row.cell, linear);
	const total = row.cell.count;
	return [keys, HEADING, ...buckets.map(({ name, count }) => bucketLine(name, count, total)), ""];
}

/** The lines of all tables; with several, each under its name. */
export function printTables(tables: readonly Table[]): string[] {
	return tables.flatMap((table, i) => {
		const widths = table.keys.map((_, column) => keyWidth(table.rows, column));
		const lines = table.rows.flatMap((row) => rowLines(table, row, widths));
		if (lines.length === 0) lines.push("  (nothing: the probe did not fire, or the predicate never held)");
		const name = tables.length > 1 ? [...(i > 0 && lines[0] !== "" ? [""] : []), `@${table.name}`] : [];
		return [...name, ...lines];
	});
}

/** A table for --json: numbers where there is one number, buckets by their lower ends where there are buckets. */
export function tableData({ name, action, keys, linear, rows }: Table): unknown {
	return {
		name,
		action: action satisfies ActionName,
		keys,
		...(linear === null ? {} : { linear }),
		rows: rows.map(({ keys: values, cell }) => ({
			keys: values,
			...(cell.buckets === null
				? { value: scalar(action, cell) }
				: { buckets: bucketsOf(cell, linear).map(({ from, count }) => ({ from, count })) }),
			...(action === "avg" || action === "stddev" ? { count: cell.count, sum: cell.sum } : {}),
		})),
	};
}
