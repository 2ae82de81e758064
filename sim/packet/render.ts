/** A packet's life as text and as JSON. */
import type { Colors } from "../report/colors.ts";
import { indent, table } from "../report/table.ts";
import { grouped, percent, readableTime } from "../units.ts";
import { hexdump } from "./decode.ts";
import type { Followed } from "./follow.ts";
import type { Stage, Step } from "./life.ts";
import type { Selector } from "./select.ts";

export interface RenderOptions {
	/** bytes of each layer to show */
	readonly bytes: number;
	/** every call and cost, not only the outer functions */
	readonly full: boolean;
}

/** How many functions below what all steps of a stage have in common are told apart. */
const DEPTH = 3;

/** The functions all these steps were called from. */
function common(steps: readonly Step[]): number {
	const [first, ...rest] = steps.filter(({ kind }) => kind === "work").map(({ functions }) => functions);
	if (first === undefined) return 0;
	let length = first.length - 1;
	for (const functions of rest) {
		let i = 0;
		while (i < length && i < functions.length - 1 && functions[i] === first[i]) i++;
		length = i;
	}
	return length;
}

interface Line {
	at_ns: number;
	ns: number;
	text: string;
}

/** One line for each function that is called, with all it calls; times of one function in a row are one line. */
function lines(stage: Stage, full: boolean): Line[] {
	const result: Line[] = [];
	/** the steps until the packet is seen again, where one is inside the other's function */
	const together: Step[] = [];
	const flush = (): void => {
		const skip = Math.max(0, common(together) - 1);
		for (const { at_ns, ns, functions, kind } of together.splice(0)) {
			const called = functions.slice(skip, full ? undefined : skip + DEPTH);
			const text = kind === "work" ? called.join(" > ") : `[${functions.at(-1)}]`;
			const last = result.at(-1);
			if (last?.text === text) last.ns += ns;
			else result.push({ at_ns, ns, text });
		}
	};
	for (const step of stage.steps) {
		if (step.kind === "seen") {
			flush();
			result.push({ at_ns: step.at_ns, ns: 0, text: `[${step.functions[0]}]` });
		} else together.push(step);
	}
	flush();
	return result;
}

function stageHeading(stage: Stage, colors: Colors): string {
	const who = stage.kind === "work" ? "on" : "for";
	const name = stage.kind === "work" ? colors.bold(stage.name) : colors.yellow(stage.name);
	return `${name}: ${grouped(stage.ns)} ns ${who} ${stage.thread}, CPU ${stage.cpu}`;
}

function partsText(parts: Readonly<Record<string, number>>): string {
	return Object.entries(parts)
		.map(([what, ns]) => `${what} ${grouped(ns)}`)
		.join(", ");
}

function stageText(stage: Stage, full: boolean, colors: Colors): string[] {
	const head = stageHeading(stage, colors);
	if (stage.kind === "wait")
		return [head, ...indent([partsText(stage.parts), stage.woken].filter((text) => text !== ""))];
	const rows = lines(stage, full).map(({ at_ns, ns, text }) => [
		`+${grouped(at_ns)}`,
		grouped(stage.time_ns - stage.at_ns + at_ns),
		ns === 0 ? "" : grouped(ns),
		text,
	]);
	return [head, ...indent(table(rows, [3]))];
}

function summary({ life }: Followed): string[] {
	const rows = life.stages.map((stage) => [
		stage.name,
		stage.kind === "work" ? grouped(stage.ns) : "",
		stage.kind === "wait" ? grouped(stage.ns) : "",
		percent(stage.ns / life.total_ns),
		`${stage.thread}, CPU ${stage.cpu}`,
		partsText(stage.parts),
	]);
	const of = (kind: Stage["kind"]): string =>
		grouped(life.stages.filter((stage) => stage.kind === kind).reduce((sum, { ns }) => sum + ns, 0));
	return table(
		[
			["", "work, ns", "wait, ns", "share", "thread", "of that, ns"],
			...rows,
			["together", of("work"), of("wait"), "100.0 %", readableTime(life.total_ns), ""],
		],
		[0, 4, 5],
	);
}

function layersText({ layers }: Followed, bytes: number, colors: Colors): string[] {
	return layers.flatMap((layer) => [
		"",
		`${colors.bold(layer.where)}, +${grouped(layer.at_ns)} ns, ${layer.bytes.length} bytes`,
		...indent(
			layer.decoded.headers.map(({ protocol, at, text }) => `${at.toString(16).padStart(4, "0")} ${protocol}: ${text}`),
		),
		...(bytes > 0 ? indent(hexdump(layer.bytes, bytes)) : []),
	]);
}

export function renderPacket(
	followed: Followed,
	selector: Selector,
	command: string,
	options: RenderOptions,
	colors: Colors,
): string {
	const { life } = followed;
	return [
		`packet ${grouped(selector.number)} (${selector.kind}), made by ${life.origin} ${(life.begin_ns / 1e9).toFixed(9)} s after boot`,
		"",
		colors.dim("since it began, since boot, for so long (ns): functions and the costs they paid"),
		...life.stages.flatMap((stage) => ["", ...stageText(stage, options.full, colors)]),
		"",
		colors.bold("what it looked like"),
		...layersText(followed, options.bytes, colors),
		"",
		colors.bold("where the time went"),
		"",
		...summary(followed),
		"",
		`Repeat it with: ${command}`,
	].join("\n");
}

/** Everything, for programs. Bytes are hexadecimal. */
export function packetJson(followed: Followed, selector: Selector, command: string): string {
	const layers = followed.layers.map(({ where, at_ns, bytes, decoded }) => ({
		where,
		at_ns,
		bytes: Buffer.from(bytes).toString("hex"),
		headers: decoded.headers,
	}));
	return JSON.stringify({ ...selector, ...followed.life, layers, command }, null, "\t");
}
