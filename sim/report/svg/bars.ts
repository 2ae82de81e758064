/** Horizontal bars: one value a row, or several parts that make a whole. */
import type { Markup } from "../markup.ts";
import {
	type FigureText,
	hatch,
	legend,
	line,
	linear,
	niceTicks,
	rect,
	SWATCH,
	seriesClass,
	shorten,
	svg,
	text,
	textWidth,
} from "./frame.ts";

export interface BarRow {
	readonly label: string;
	readonly value: number;
	/** the ends of a whisker */
	readonly low?: number;
	readonly high?: number;
	/** the value as it is read, beside the bar */
	readonly shown: string;
	/** which policy's look it has; null for a neutral one */
	readonly series: number | null;
}

/** Rows under a heading. */
export interface BarGroup {
	readonly heading: string;
	readonly rows: readonly BarRow[];
}

const WIDTH = 460;
const ROW = 24;
const BAR = 14;
const HEADING = 24;

/** Left of zero if negative. */
export function bars(figure: FigureText, groups: readonly BarGroup[]): Markup {
	const rows = groups.flatMap((group) => group.rows);
	const values = rows.flatMap((row) => [row.value, row.low ?? row.value, row.high ?? row.value]);
	const low = Math.min(0, ...values);
	const high = Math.max(0, ...values);
	const left = Math.max(...rows.map((row) => textWidth(shorten(row.label, 24)))) + 10;
	const right = Math.max(...rows.map((row) => textWidth(row.shown, true))) + 12;
	const x = linear([low, high || 1], [left, WIDTH - right]);
	const out: Markup[] = [];
	let y = 4;
	for (const { heading, rows: members } of groups) {
		if (heading !== "") {
			out.push(text(0, y + 15, shorten(heading, 50), { class: "strong small" }));
			y += HEADING;
		}
		out.push(line(x(0), y, x(0), y + members.length * ROW, { class: "axis" }));
		for (const row of members) {
			const middle = y + ROW / 2;
			const from = Math.min(x(0), x(row.value));
			const to = Math.max(x(0), x(row.value));
			const end = Math.max(to, x(row.high ?? row.value));
			const look = row.series === null ? "bar" : `bar ${seriesClass(row.series)}`;
			out.push(
				text(left - 8, middle + 4, shorten(row.label, 24), { class: "label", "text-anchor": "end" }),
				rect(from, middle - BAR / 2, Math.max(1, to - from), BAR, { class: look }),
			);
			if (row.low !== undefined && row.high !== undefined && row.high > row.low) {
				out.push(
					line(x(row.low), middle, x(row.high), middle, { class: "whisker" }),
					line(x(row.low), middle - 4, x(row.low), middle + 4, { class: "whisker" }),
					line(x(row.high), middle - 4, x(row.high), middle + 4, { class: "whisker" }),
				);
			}
			out.push(text(end + 7, middle + 4, row.shown, { class: "value" }));
			y += ROW;
		}
		y += 8;
	}
	return svg(figure, WIDTH, y, ...out);
}

export interface Part {
	/** its class in the style sheet is `do-` and this */
	readonly what: string;
	readonly name: string;
}

export interface StackRow {
	readonly label: string;
	/** shares of one, in the order of the parts */
	readonly shares: readonly number[];
}

const STACK_BAR = 18;
const STACK_WIDTH = 460;
/** A share narrower than this, in pixels, is not written into its bar. */
const WRITTEN = 30;

/** Each row is a whole; parts have their own looks, and the part called "nothing" is hatched. */
export function stacks(
	figure: FigureText,
	parts: readonly Part[],
	groups: readonly { heading: string; rows: readonly StackRow[] }[],
): Markup {
	const labels = groups.flatMap((group) => group.rows.map((row) => shorten(row.label, 20)));
	const left = Math.max(...labels.map((label) => textWidth(label))) + 10;
	const x = linear([0, 1], [left, STACK_WIDTH - 22]);
	const fill = (what: string): string | undefined => (what === "nothing" ? `url(#${figure.id}-hatch)` : undefined);
	const out: Markup[] = [hatch(`${figure.id}-hatch`, 45, 3.2, "hatching")];
	const key = legend(
		parts.map(({ what, name }) => ({
			name,
			draw: (from, y) => [rect(from, y - 11, SWATCH, 12, { class: `do-${what}`, fill: fill(what) })],
		})),
		0,
		STACK_WIDTH,
		0,
	);
	out.push(...key.pieces);
	let y = key.height + 4;
	for (const { heading, rows } of groups) {
		out.push(text(0, y + 14, shorten(heading, 50), { class: "strong small" }));
		y += HEADING;
		for (const row of rows) {
			const middle = y + 12;
			out.push(text(left - 8, middle + 4, shorten(row.label, 20), { class: "label", "text-anchor": "end" }));
			let sum = 0;
			row.shares.forEach((share, i) => {
				const from = x(sum);
				sum += share;
				const width = x(sum) - from;
				if (width < 0.05) return;
				const { what } = parts[i];
				out.push(rect(from, middle - STACK_BAR / 2, width, STACK_BAR, { class: `do-${what}`, fill: fill(what) }));
				if (width >= WRITTEN) {
					const shown = `${Math.round(share * 100)} %`;
					out.push(text(from + width / 2, middle + 4, shown, { class: `on on-${what}`, "text-anchor": "middle" }));
				}
			});
			y += 26;
		}
		y += 4;
	}
	for (const tick of niceTicks(0, 1, 4)) {
		out.push(
			line(x(tick), y - 4, x(tick), y, { class: "axis" }),
			text(x(tick), y + 13, `${Math.round(tick * 100)} %`, { class: "tick", "text-anchor": "middle" }),
		);
	}
	return svg(figure, STACK_WIDTH, y + 20, ...out);
}
