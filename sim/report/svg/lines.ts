/** A quantity against the number of CPUs: a line for each policy, named at its end, with its own marks and dashes. */
import type { Markup } from "../markup.ts";
import {
	diamond,
	type FigureText,
	line,
	linear,
	logarithmic,
	marker,
	niceTicks,
	path,
	seriesClass,
	shorten,
	svg,
	text,
} from "./frame.ts";

export interface Series {
	readonly name: string;
	readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface LineChart extends FigureText {
	readonly y_name: string;
	readonly show: (value: number) => string;
	readonly series: readonly Series[];
	/** a curve to compare against: what it is, and its value at x */
	readonly reference?: { readonly name: string; readonly at: (x: number) => number };
	/** published figures, drawn as open diamonds */
	readonly published?: readonly { readonly x: number; readonly y: number; readonly name: string }[];
}

const WIDTH = 460;
const HEIGHT = 300;
const LEFT = 46;
const RIGHT = 112;
const TOP = 30;
const BOTTOM = 40;
/** Names at the ends of lines keep this far apart. */
const NAME_GAP = 14;

/** Moves values apart, keeping their order, so that none is nearer than `gap` to the next. */
export function spread(values: readonly number[], gap: number): number[] {
	const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b] || a - b);
	const out = [...values];
	for (let i = 1; i < order.length; i++) out[order[i]] = Math.max(out[order[i]], out[order[i - 1]] + gap);
	const shift = order.length === 0 ? 0 : (out[order[order.length - 1]] - values[order[order.length - 1]]) / 2;
	return out.map((value) => value - shift);
}

export function lineChart(chart: LineChart): Markup {
	const xs = [...new Set(chart.series.flatMap((one) => one.points.map((point) => point.x)))].sort((a, b) => a - b);
	const published = chart.published ?? [];
	const ys = [...chart.series.flatMap((one) => one.points.map((point) => point.y)), ...published.map((one) => one.y)];
	const ticks = niceTicks(0, Math.max(...ys), 5);
	const low = xs[0];
	const high = xs[xs.length - 1];
	const x = high > low ? logarithmic([low, high], [LEFT + 8, WIDTH - RIGHT]) : () => (LEFT + WIDTH - RIGHT) / 2;
	const y = linear([0, ticks[ticks.length - 1]], [HEIGHT - BOTTOM, TOP]);
	const out: Markup[] = [text(4, 15, chart.y_name, { class: "label" })];
	for (const tick of ticks) {
		out.push(
			line(LEFT, y(tick), WIDTH - RIGHT + 8, y(tick), { class: tick === 0 ? "axis" : "grid" }),
			text(LEFT - 7, y(tick) + 4, chart.show(tick), { class: "tick", "text-anchor": "end" }),
		);
	}
	for (const tick of xs) {
		out.push(text(x(tick), HEIGHT - BOTTOM + 17, String(tick), { class: "tick", "text-anchor": "middle" }));
	}
	out.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "CPUs", { class: "label", "text-anchor": "middle" }));
	const { reference } = chart;
	const ends = chart.series.map((one) => one.points[one.points.length - 1]?.y ?? 0);
	const names = chart.series.map((one) => shorten(one.name, 12));
	if (reference !== undefined) {
		const d = xs.map((value, i) => `${i === 0 ? "M" : "L"}${point(x(value), y(reference.at(value)))}`).join("");
		out.push(path(d, { class: "reference" }));
		ends.push(reference.at(high));
		names.push(reference.name);
	}
	const heights = spread(ends.map(y), NAME_GAP);
	chart.series.forEach(({ points }, i) => {
		const d = points.map((one, k) => `${k === 0 ? "M" : "L"}${point(x(one.x), y(one.y))}`).join("");
		out.push(path(d, { class: `curve ${seriesClass(i)}` }));
		for (const one of points) out.push(marker(i, x(one.x), y(one.y), 4));
	});
	names.forEach((name, i) => {
		const look = i < chart.series.length ? `name ${seriesClass(i)}` : "label";
		out.push(text(WIDTH - RIGHT + 13, heights[i] + 4, name, { class: look }));
	});
	for (const one of published) {
		out.push(
			path(diamond(x(one.x), y(one.y), 8), { class: "published" }),
			text(x(one.x) + 12, y(one.y) - 8, one.name, { class: "label halo" }),
		);
	}
	return svg(chart, WIDTH, HEIGHT, ...out);
}

function point(x: number, y: number): string {
	return `${Math.round(x * 100) / 100} ${Math.round(y * 100) / 100}`;
}
