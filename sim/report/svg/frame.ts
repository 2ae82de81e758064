/**
 * What all figures share: the svg element with its title and description, scales, ticks, text.
 *
 * These are our own few functions and no plotting library: the libraries want a DOM, which Node has not, and draw none of
 * the two figures that matter most here (CPU timelines, and marks that do not rely on colour). Colours are classes; the
 * style sheet gives them a light, a dark and a printed form.
 */
import { type Attributes, type Content, element, type Markup, short } from "../markup.ts";

export interface FigureText {
	/** unique in the page */
	readonly id: string;
	/** what the figure shows, for who cannot see it */
	readonly title: string;
	/** what it says, in a sentence or two */
	readonly description: string;
}

/** A figure `width` by `height`; in a page it is shown at that size or as wide as there is room. */
export function svg(text: FigureText, width: number, height: number, ...content: Content[]): Markup {
	const { id } = text;
	return element(
		"svg",
		{
			xmlns: "http://www.w3.org/2000/svg",
			id,
			class: "figure",
			role: "img",
			"aria-labelledby": `${id}-title ${id}-desc`,
			viewBox: `0 0 ${short(width)} ${short(height)}`,
			width: Math.round(width),
			height: Math.round(height),
		},
		...["\n", element("title", { id: `${id}-title` }, text.title)],
		...["\n", element("desc", { id: `${id}-desc` }, text.description)],
		...content.flat(1).flatMap((piece) => ["\n", piece]),
		"\n",
	);
}

/** Maps a value to a coordinate. */
export type Scale = (value: number) => number;

export function linear(domain: readonly [number, number], range: readonly [number, number]): Scale {
	const span = domain[1] - domain[0] || 1;
	return (value) => range[0] + ((value - domain[0]) / span) * (range[1] - range[0]);
}

/** Equal ratios are equal distances. The domain lies above zero. */
export function logarithmic(domain: readonly [number, number], range: readonly [number, number]): Scale {
	const scale = linear([Math.log10(domain[0]), Math.log10(domain[1])], range);
	return (value) => scale(Math.log10(value));
}

/** Round numbers from 0, or from below `low` if that is negative, to at least `high`: about `count` of them. */
export function niceTicks(low: number, high: number, count: number): number[] {
	const bottom = Math.min(0, low);
	const span = Math.max(high, 0) - bottom || 1;
	const rough = span / count;
	const power = 10 ** Math.floor(Math.log10(rough));
	const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999)!;
	const first = Math.floor(bottom / step + 1e-9);
	const last = Math.ceil(Math.max(high, 0) / step - 1e-9);
	return Array.from({ length: Math.max(1, last - first) + 1 }, (_, i) => (first + i) * step);
}

/** 1, 10, 100, ... from at most `low` to at least `high`. */
export function decades(low: number, high: number): number[] {
	const first = Math.floor(Math.log10(low) + 1e-9);
	const last = Math.max(first + 1, Math.ceil(Math.log10(high) - 1e-9));
	return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}

export function text(x: number, y: number, content: string, attributes: Attributes = {}): Markup {
	return element("text", { x, y, ...attributes }, content);
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes = {}): Markup {
	return element("line", { x1, y1, x2, y2, ...attributes });
}

export function rect(x: number, y: number, width: number, height: number, attributes: Attributes = {}): Markup {
	return element("rect", { x, y, width, height, ...attributes });
}

/** Figures do not know which font they will have: these are the widths of a wide one. */
const EM_PLAIN = 0.61;
const EM_BOLD = 0.68;

/** The size of ordinary text in figures, pixels. */
export const TEXT_SIZE = 12;

/** About as wide as text is, in pixels; in most fonts it is narrower. */
export function textWidth(content: string, bold = false): number {
	return content.length * TEXT_SIZE * (bold ? EM_BOLD : EM_PLAIN);
}

/** At most `max` characters, the middle left out. */
export function shorten(content: string, max: number): string {
	if (content.length <= max) return content;
	const tail = Math.floor((max - 1) * 0.6);
	return `${content.slice(0, max - 1 - tail)}…${content.slice(content.length - tail)}`;
}

/** Rectangles of one kind as a single path: thousands of them stay small. */
export class Boxes {
	private readonly pieces: string[] = [];

	add(x: number, y: number, width: number, height: number): void {
		this.pieces.push(`M${short(x)} ${short(y)}h${short(width)}v${short(height)}h${short(-width)}z`);
	}

	path(attributes: Attributes): Markup | null {
		return this.pieces.length === 0 ? null : element("path", { ...attributes, d: this.pieces.join("") });
	}
}

/** How many looks a series may have; beyond that they come again. */
const LOOKS = 5;

/** The class of the i-th policy in every figure. */
export function seriesClass(index: number): string {
	return `s${index % LOOKS}`;
}

/** The i-th policy's mark, by shape and not only by colour: disc, square, triangle, diamond, ring. */
export function marker(index: number, x: number, y: number, size = 4.5): Markup {
	const name = `mark ${seriesClass(index)}`;
	const s = size;
	switch (index % LOOKS) {
		case 0:
			return element("circle", { class: name, cx: x, cy: y, r: s });
		case 1:
			return rect(x - s * 0.9, y - s * 0.9, s * 1.8, s * 1.8, { class: name });
		case 2:
			return path(`M${short(x)} ${short(y - s * 1.1)}l${short(s * 1.1)} ${short(s * 2)}h${short(-s * 2.2)}z`, {
				class: name,
			});
		case 3:
			return path(diamond(x, y, s * 1.2), { class: name });
		default:
			return element("circle", { class: `${name} ring`, cx: x, cy: y, r: s });
	}
}

export function path(d: string, attributes: Attributes = {}): Markup {
	return element("path", { ...attributes, d });
}

export function diamond(x: number, y: number, s: number): string {
	return `M${short(x)} ${short(y - s)}l${short(s)} ${short(s)}l${short(-s)} ${short(s)}l${short(-s)} ${short(-s)}z`;
}

export interface LegendEntry {
	readonly name: string;
	/** the sample, on a line at y, `SWATCH` wide from x */
	readonly draw: (x: number, y: number) => readonly Markup[];
}

export const SWATCH = 16;
const LEGEND_LINE = 20;

/** Samples with their names, in as many lines as they need between `left` and `right`. @returns markup, and its height */
export function legend(
	entries: readonly LegendEntry[],
	left: number,
	right: number,
	top: number,
): { pieces: Markup[]; height: number } {
	const pieces: Markup[] = [];
	let x = left;
	let y = top + 14;
	for (const { name, draw } of entries) {
		const width = SWATCH + 6 + textWidth(name);
		if (x > left && x + width > right) {
			x = left;
			y += LEGEND_LINE;
		}
		pieces.push(...draw(x, y), text(x + SWATCH + 6, y, name, { class: "label" }));
		x += width + 14;
	}
	return { pieces, height: y - top + 6 };
}

/** Parallel strokes to fill areas with. Its id is the figure's, so that two figures on a page do not share one. */
export function hatch(id: string, angle: number, gap: number, stroke: string): Markup {
	const lines = line(0, 0, 0, gap, { class: stroke });
	return element(
		"pattern",
		{ id, width: gap, height: gap, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${angle})` },
		lines,
	);
}
