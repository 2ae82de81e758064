/** Rows of ranges on one axis: medians with their tails, runs seed by seed, and how far a cost moves a result. */
import type { Markup } from "../markup.ts";
import {
	decades,
	type FigureText,
	line,
	linear,
	logarithmic,
	marker,
	niceTicks,
	rect,
	seriesClass,
	shorten,
	svg,
	text,
	textWidth,
} from "./frame.ts";

export interface RangeRow {
	readonly label: string;
	/** one for each policy: from the mark to the end of its line; null where nothing was measured */
	readonly ranges: readonly ({ readonly from: number; readonly to: number } | null)[];
}

const RANGE_WIDTH = 460;
const RANGE_LINE = 15;

/** Median and tail of each policy, stage by stage, on a logarithmic axis: stages differ by factors of a thousand. */
export function ranges(
	figure: FigureText,
	policies: readonly string[],
	rows: readonly RangeRow[],
	show: (value: number) => string,
): Markup {
	const values = rows.flatMap((row) => row.ranges.flatMap((range) => (range === null ? [] : [range.from, range.to])));
	const positive = values.filter((value) => value > 0);
	const ticks = decades(Math.min(...positive, 1e3), Math.max(...positive, 1e4));
	const left = Math.max(...rows.map((row) => textWidth(row.label))) + 12;
	const x = logarithmic([ticks[0], ticks[ticks.length - 1]], [left, RANGE_WIDTH - 24]);
	const height = policies.length * RANGE_LINE + 12;
	const top = 30;
	const bottom = top + rows.length * height;
	const out: Markup[] = [];
	let at = 0;
	policies.forEach((policy, i) => {
		const name = shorten(policy, 28);
		out.push(marker(i, at + 6, 12), text(at + 17, 16, name, { class: `name ${seriesClass(i)}` }));
		at += 17 + textWidth(name, true) + 22;
	});
	for (const tick of ticks) {
		out.push(
			line(x(tick), top, x(tick), bottom, { class: "grid" }),
			text(x(tick), bottom + 16, show(tick), { class: "tick", "text-anchor": "middle" }),
		);
	}
	rows.forEach((row, r) => {
		const y = top + r * height;
		if (r > 0) out.push(line(0, y, RANGE_WIDTH, y, { class: "rule" }));
		out.push(text(left - 10, y + height / 2 + 4, row.label, { class: "label", "text-anchor": "end" }));
		row.ranges.forEach((range, i) => {
			if (range === null || range.from <= 0) return;
			const middle = y + 6 + (i + 0.5) * RANGE_LINE;
			const look = { class: `span ${seriesClass(i)}` };
			out.push(
				line(x(range.from), middle, x(range.to), middle, look),
				line(x(range.to), middle - 4, x(range.to), middle + 4, look),
				marker(i, x(range.from), middle),
			);
		});
	});
	return svg(figure, RANGE_WIDTH, bottom + 22, ...out);
}

export interface DotRow {
	readonly label: string;
	readonly values: readonly number[];
	readonly mean: number;
	readonly shown: string;
	readonly series: number;
}

const DOT_WIDTH = 460;
const DOT_ROW = 28;

/** Every run as a dot, their mean as a bar across: one look shows whether a mean stands for its runs. */
export function dots(
	figure: FigureText,
	rows: readonly DotRow[],
	unit: string,
	show: (value: number) => string,
): Markup {
	const ticks = niceTicks(0, Math.max(...rows.flatMap((row) => row.values)), 5);
	const left = Math.min(190, Math.max(...rows.map((row) => textWidth(shorten(row.label, 28)))) + 10);
	const right = Math.max(...rows.map((row) => textWidth(row.shown, true))) + 12;
	const x = linear([0, ticks[ticks.length - 1]], [left, DOT_WIDTH - right]);
	const bottom = 6 + rows.length * DOT_ROW;
	const out: Markup[] = [];
	for (const tick of ticks) {
		out.push(
			line(x(tick), 4, x(tick), bottom, { class: tick === 0 ? "axis" : "grid" }),
			text(x(tick), bottom + 16, show(tick), { class: "tick", "text-anchor": "middle" }),
		);
	}
	out.push(text(DOT_WIDTH - 2, bottom + 16, unit, { class: "tick", "text-anchor": "end" }));
	rows.forEach((row, i) => {
		const y = 6 + (i + 0.5) * DOT_ROW;
		out.push(text(left - 8, y + 4, shorten(row.label, 28), { class: "label", "text-anchor": "end" }));
		out.push(line(x(row.mean), y - 10, x(row.mean), y + 10, { class: `mean ${seriesClass(row.series)}` }));
		for (const value of row.values) out.push(marker(row.series, x(value), y, 3.6));
		out.push(text(DOT_WIDTH - 2, y + 4, row.shown, { class: "value", "text-anchor": "end" }));
	});
	return svg(figure, DOT_WIDTH, bottom + 22, ...out);
}

export interface TornadoRow {
	readonly name: string;
	/** the result with the cost at the low and at the high end of its range */
	readonly low: number;
	readonly high: number;
	/** the result with every cost as it is */
	readonly base: number;
}

const TORNADO_WIDTH = 460;
const TORNADO_ROW = 24;

/** How far each cost, from one end of its range to the other, moves a result: the one that moves it most on top. */
export function tornado(
	figure: FigureText,
	rows: readonly TornadoRow[],
	show: (value: number) => string,
	threshold: { readonly value: number; readonly name: string } | null = null,
): Markup {
	const sorted = [...rows].sort((a, b) => reach(b) - reach(a) || (a.name < b.name ? -1 : 1));
	const values = sorted.flatMap((row) => [row.low, row.high, row.base]);
	if (threshold !== null) values.push(threshold.value);
	const least = Math.min(...values);
	const most = Math.max(...values);
	const pad = (most - least || 1) * 0.06;
	const left = Math.min(190, Math.max(...sorted.map((row) => textWidth(shorten(row.name, 24)))) + 12);
	const x = linear([least - pad, most + pad], [left + 44, TORNADO_WIDTH - 48]);
	const top = 26;
	const bottom = top + sorted.length * TORNADO_ROW;
	const base = sorted[0].base;
	const out: Markup[] = [];
	if (threshold !== null) {
		const at = x(threshold.value);
		out.push(
			line(at, top - 4, at, bottom + 4, { class: "reference" }),
			text(at, bottom + 17, threshold.name, { class: "label", "text-anchor": "middle" }),
		);
	}
	sorted.forEach((row, i) => {
		const middle = top + (i + 0.5) * TORNADO_ROW;
		const part = (value: number, what: "low" | "high"): void => {
			const from = Math.min(x(row.base), x(value));
			out.push(rect(from, middle - 7, Math.abs(x(value) - x(row.base)), 14, { class: `end-${what}` }));
		};
		out.push(text(left - 8, middle + 4, shorten(row.name, 24), { class: "label", "text-anchor": "end" }));
		part(row.low, "low");
		part(row.high, "high");
		// a cost may move a result to one side only, with either end: the longer is named at the outside
		const ends = [
			{ value: row.low, mark: "−" },
			{ value: row.high, mark: "+" },
		].sort((a, b) => a.value - b.value);
		const first = x(Math.min(ends[0].value, row.base));
		const last = x(Math.max(ends[1].value, row.base));
		out.push(
			text(first - 6, middle + 4, `${show(ends[0].value)} ${ends[0].mark}`, { class: "tick", "text-anchor": "end" }),
			text(last + 6, middle + 4, `${ends[1].mark} ${show(ends[1].value)}`, { class: "tick" }),
		);
	});
	out.push(
		line(x(base), top - 6, x(base), bottom + 4, { class: "axis" }),
		text(x(base), top - 11, `as it is: ${show(base)}`, { class: "label", "text-anchor": "middle" }),
	);
	return svg(figure, TORNADO_WIDTH, bottom + 26, ...out);
}

function reach(row: TornadoRow): number {
	return Math.max(row.low, row.high, row.base) - Math.min(row.low, row.high, row.base);
}
