/**
 * CPU timelines of two or more policies over the same simulated interval, one row for each CPU.
 *
 * Work is a solid bar on the row's base line. A thread woken for nothing is a hatched bar that stands taller than all others,
 * with a cross above it: it is seen without colours, too.
 */
import type { Activity, Segment, Stretch } from "../../stretch.ts";
import { element, type Markup, short } from "../markup.ts";
import {
	Boxes,
	hatch,
	type LegendEntry,
	legend,
	line,
	linear,
	niceTicks,
	path,
	rect,
	type Scale,
	SWATCH,
	shorten,
	svg,
	text,
} from "./frame.ts";

const WIDTH = 960;
const LEFT = 52;
const RIGHT = 74;
const ROW = 22;
const BAR = 10;
/** of a bar that stands for nothing found */
const TALL = 14;
const HEAD = 34;
const AXIS = 34;
/** More rows than this do not fit a screen. */
export const ROWS_MAX = 16;
/** A bar is at least this wide, or a glance would miss it. */
const THINNEST = 0.5;
/** Crosses closer than this to the one before would be one blot. */
const CROSS_GAP = 5;

const SOLID: readonly { readonly what: Activity; readonly name: string; readonly height: number }[] = [
	{ what: "crypto", name: "encrypts or decrypts", height: BAR },
	{ what: "deliver", name: "sends or receives for the tunnel", height: BAR },
	{ what: "other", name: "everything else: iperf3, TCP, IP, epair", height: BAR },
	{ what: "wake", name: "on its way out of a halt", height: 5 },
	{ what: "poll", name: "polls for work", height: 2 },
];
export const NOTHING_NAME = "woken for nothing";

/** How often a CPU's driver thread was woken for nothing. A preempted one counts as often as it was switched in. */
function countNothing(segments: readonly Segment[]): number {
	return segments.filter((segment) => segment.what === "nothing").length;
}

export interface StretchFigures {
	readonly policy: string;
	readonly tasks_scheduled: number;
	readonly tasks_useful: number;
	readonly woken_for_nothing: number;
	/** ns of all CPUs, by what they did */
	readonly time: Readonly<Record<Activity, number>>;
}

/** What a stretch shows, as numbers. */
export function stretchFigures(stretch: Stretch): StretchFigures {
	const time: Record<Activity, number> = { crypto: 0, deliver: 0, other: 0, nothing: 0, wake: 0, poll: 0, halt: 0 };
	for (const segment of stretch.cpus.flat()) time[segment.what] += segment.to - segment.from;
	const { policy, tasks_scheduled, tasks_useful } = stretch;
	const woken_for_nothing = stretch.cpus.reduce((sum, segments) => sum + countNothing(segments), 0);
	return { policy, tasks_scheduled, tasks_useful, woken_for_nothing, time };
}

function cross(x: number, y: number): string {
	return `M${short(x - 2)} ${short(y - 2)}l4 4m0 -4l-4 4`;
}

/** One CPU's row; `base` is the line its bars stand on. */
function row(id: string, name: string, segments: readonly Segment[], base: number, x: Scale): Markup[] {
	const out: (Markup | null)[] = [
		text(LEFT - 8, base, name, { class: "label", "text-anchor": "end" }),
		line(LEFT, base + 0.5, WIDTH - RIGHT, base + 0.5, { class: "rule" }),
	];
	const draw = (what: Activity, height: number, attributes: Record<string, string>): void => {
		const boxes = new Boxes();
		for (const { from, to, what: kind } of segments) {
			if (kind === what) boxes.add(x(from), base - height, Math.max(THINNEST, x(to) - x(from)), height);
		}
		out.push(boxes.path(attributes));
	};
	for (const { what, height } of SOLID) draw(what, height, { class: `do-${what}` });
	draw("nothing", TALL, { class: "do-nothing", fill: `url(#${id}-hatch)` });
	let crosses = "";
	let last = Number.NEGATIVE_INFINITY;
	for (const { from, to, what } of segments) {
		const middle = x((from + to) / 2);
		if (what !== "nothing" || middle - last < CROSS_GAP) continue;
		crosses += cross(middle, base - TALL - 3.5);
		last = middle;
	}
	if (crosses !== "") out.push(path(crosses, { class: "cross" }));
	const count = countNothing(segments);
	const told = { class: count > 0 ? "loud" : "quiet", "text-anchor": "end" };
	out.push(text(WIDTH - 4, base, count > 0 ? `× ${count}` : "–", told));
	return out.filter((piece) => piece !== null);
}

function samples(id: string): LegendEntry[] {
	return [
		{
			name: NOTHING_NAME,
			draw: (x, y) => [
				rect(x + 5, y - TALL, 7, TALL, { class: "do-nothing", fill: `url(#${id}-hatch)` }),
				path(cross(x + 8.5, y - TALL - 3.5), { class: "cross" }),
			],
		},
		...SOLID.map(({ what, name, height }) => ({
			name,
			draw: (x: number, y: number) => [rect(x, y - height, SWATCH, height, { class: `do-${what}` })],
		})),
		{ name: "nothing drawn: halted", draw: (x, y) => [line(x, y + 0.5, x + SWATCH, y + 0.5, { class: "rule" })] },
	];
}

/** All stretches under one time axis. */
export function timelines(id: string, stretches: readonly Stretch[]): Markup {
	const length = Math.max(...stretches.map((stretch) => stretch.length_ns));
	const x = linear([0, length], [LEFT, WIDTH - RIGHT]);
	const ticks = niceTicks(0, length / 1000, 8).filter((us) => us * 1000 <= length);
	const rows = Math.min(ROWS_MAX, Math.max(...stretches.map((stretch) => stretch.cpus.length)));
	const panel = HEAD + rows * ROW;
	const key = legend(samples(id), LEFT, WIDTH, 6);
	const head = 6 + key.height;
	const bottom = head + 4 + stretches.length * panel;
	const out: Markup[] = [hatch(`${id}-hatch`, 45, 3.2, "hatching"), ...key.pieces];
	stretches.forEach((stretch, i) => {
		const top = head + i * panel;
		const { woken_for_nothing, tasks_scheduled, tasks_useful } = stretchFigures(stretch);
		out.push(
			text(LEFT, top + 21, shorten(stretch.policy, 40), { class: "strong" }),
			text(
				WIDTH - 4,
				top + 21,
				`${tasks_scheduled} tasks queued, ${tasks_useful} found work; woken for nothing: ${woken_for_nothing} times`,
				{ class: "label", "text-anchor": "end" },
			),
		);
		for (const us of ticks) {
			const at = x(us * 1000);
			out.push(line(at, top + HEAD - 4, at, top + panel, { class: "grid" }));
		}
		stretch.cpus.slice(0, rows).forEach((segments, cpu) => {
			out.push(...row(id, `CPU ${cpu}`, segments, top + HEAD + (cpu + 1) * ROW - 3, x));
		});
	});
	for (const us of ticks) {
		out.push(text(x(us * 1000), bottom + 14, String(us), { class: "tick", "text-anchor": "middle" }));
	}
	out.push(text(WIDTH - RIGHT + 14, bottom + 14, "µs", { class: "tick" }));
	const told = stretches.map((stretch) => {
		const f = stretchFigures(stretch);
		return `${f.policy}: ${f.tasks_scheduled} tasks queued, ${f.tasks_useful} found work, threads woken for nothing ${f.woken_for_nothing} times.`;
	});
	return svg(
		{ id, title: `What each CPU did, over the same ${length / 1000} µs`, description: told.join(" ") },
		WIDTH,
		bottom + AXIS - 12,
		element("g", {}, ...out.flatMap((piece) => ["\n", piece])),
	);
}
