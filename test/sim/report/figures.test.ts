/** Figures from made-up data, each kept as a file that any browser shows, in light and in dark. */
import { describe, expect, test } from "vitest";
import { FIGURE_STYLE } from "../../../sim/report/html/style.ts";
import type { Markup } from "../../../sim/report/markup.ts";
import { bars, stacks } from "../../../sim/report/svg/bars.ts";
import { decades, linear, logarithmic, niceTicks, shorten } from "../../../sim/report/svg/frame.ts";
import { lineChart, spread } from "../../../sim/report/svg/lines.ts";
import { dots, ranges, tornado } from "../../../sim/report/svg/ranges.ts";
import { stretchFigures, timelines } from "../../../sim/report/svg/timelines.ts";
import { percent } from "../../../sim/units.ts";
import { everyElement, parseXml, textOf } from "../../support/xml.ts";
import { madeUpSensitivity, madeUpStretch } from "./fixture.ts";

/** The figure as a file of its own. */
function standalone(figure: Markup): string {
	return `${figure.text.replace("</desc>", `</desc>\n<style>${FIGURE_STYLE}\nsvg.figure { background: var(--ground); }</style>`)}\n`;
}

const two = [madeUpStretch("all-cpus", 4, 100_000), madeUpStretch("round-robin", 4, 100_000)];
const policies = ["all-cpus", "round-robin"];

const FIGURES: Readonly<Record<string, () => Markup>> = {
	timelines: () => timelines("timelines", two),
	lines: () =>
		lineChart({
			id: "lines",
			title: "Made-up shares",
			description: "One falls, one stays.",
			y_name: "tasks that found work",
			show: (value) => `${Math.round(value * 100)} %`,
			series: [...policies, "linux-style"].map((name, i) => ({
				name,
				points: [2, 4, 8, 16, 32, 64].map((x) => ({ x, y: i === 0 ? 1.04 / x : 0.9 - 0.1 * i - x / 300 })),
			})),
			reference: { name: "1/N", at: (x) => 1 / x },
			published: [{ x: 8, y: 0.13, name: "~13 %" }],
		}),
	bars: () =>
		bars({ id: "bars", title: "Made-up gains", description: "A gain and a loss." }, [
			{
				heading: "round-robin instead of all-cpus",
				rows: [{ label: "with own crypto", value: 1.05, low: 0.7, high: 2.4, shown: "+105 %", series: 1 }],
			},
			{
				heading: "ossl instead of own crypto",
				rows: [{ label: "under all-cpus", value: -0.1, low: -0.2, high: 0.05, shown: "-10 %", series: null }],
			},
		]),
	stacks: () =>
		stacks(
			{ id: "stacks", title: "Made-up CPU time", description: "Half of it for nothing." },
			[
				{ what: "crypto", name: "useful" },
				{ what: "nothing", name: "woken for nothing" },
				{ what: "poll", name: "polling" },
				{ what: "halt", name: "halted: C1" },
			],
			[
				{
					heading: "xeon-d",
					rows: [
						{ label: "all-cpus", shares: [0.3, 0.5, 0.15, 0.05] },
						{ label: "round-robin", shares: [0.8, 0, 0.2, 0] },
					],
				},
			],
		),
	ranges: () =>
		ranges(
			{ id: "ranges", title: "Made-up latency", description: "Two stages." },
			policies,
			[
				{
					label: "encrypt",
					ranges: [
						{ from: 8_000, to: 9_000 },
						{ from: 8_000, to: 64_000 },
					],
				},
				{ label: "on the way", ranges: [{ from: 1_600_000, to: 2_000_000 }, null] },
			],
			(ns) => `${ns / 1000} µs`,
		),
	dots: () =>
		dots(
			{ id: "dots", title: "Made-up runs", description: "One is slow." },
			policies.map((label, series) => ({
				label,
				values: [1.2, 1.19, 1.21, 0.71].map((value) => value * (series + 1)),
				mean: 1.08 * (series + 1),
				shown: (1.08 * (series + 1)).toFixed(3),
				series,
			})),
			"Gb/s",
			String,
		),
	tornado: () =>
		tornado(
			{ id: "tornado", title: "Made-up sensitivity", description: "One cost matters." },
			madeUpSensitivity.rows,
			(value) => value.toFixed(2),
			{ value: 1, name: "no difference" },
		),
};

describe.each(Object.entries(FIGURES))("%s", (name, draw) => {
	test("looks as it looked", async () => {
		await expect(standalone(draw())).toMatchFileSnapshot(`__snapshots__/${name}.svg`);
	});

	test("has a title and a description, its own ids, and draws nothing outside itself", () => {
		const svg = parseXml(draw().text);
		const names = (svg.attributes.get("aria-labelledby") ?? "").split(" ");
		const [title, description] = [...everyElement(svg)].filter((one) => one.name === "title" || one.name === "desc");
		expect([title.attributes.get("id"), description.attributes.get("id")]).toEqual(names);
		expect(textOf(title).length * textOf(description).length).toBeGreaterThan(0);
		const [, , width, height] = (svg.attributes.get("viewBox") ?? "").split(" ").map(Number);
		for (const one of everyElement(svg)) {
			const id = one.attributes.get("id");
			if (id !== undefined) expect(id.startsWith(name)).toBe(true);
			if (one.name === "rect") {
				const [x, y, w, h] = ["x", "y", "width", "height"].map((key) => Number(one.attributes.get(key)));
				expect(Math.min(x, y, width - x - w, height - y - h)).toBeGreaterThanOrEqual(-0.01);
			}
			for (const value of one.attributes.values()) expect(value).not.toMatch(/NaN|undefined|Infinity/);
		}
	});
});

describe("timelines", () => {
	const svg = parseXml(timelines("t", two).text);
	const elements = [...everyElement(svg)];

	test("every wakeup for nothing is a hatched box of its own, and each CPU's row says how many there were", () => {
		const boxes = elements
			.filter((one) => one.attributes.get("class") === "do-nothing" && one.name === "path")
			.map((one) => {
				expect(one.attributes.get("fill")).toBe("url(#t-hatch)");
				return (one.attributes.get("d") ?? "").split("z").length - 1;
			});
		const counts = elements.filter((one) => one.attributes.get("class") === "loud").map(textOf);
		const expected = two.map(stretchFigures).map((figures) => figures.woken_for_nothing);
		expect(expected[0]).toBeGreaterThan(10);
		expect(boxes.reduce((sum, n) => sum + n, 0)).toBe(expected[0] + expected[1]);
		expect(counts).toEqual(boxes.map((n) => `× ${n}`));
	});

	test("such a box is taller than any other, so that it is seen without colour", () => {
		const height = (what: string): number[] =>
			elements
				.filter((one) => one.attributes.get("class") === `do-${what}` && one.name === "path")
				.flatMap((one) =>
					[...(one.attributes.get("d") ?? "").matchAll(/v([0-9.]+)/g)].map((match) => Number(match[1])),
				);
		const others = ["crypto", "deliver", "other", "wake", "poll"].flatMap(height);
		expect(Math.min(...height("nothing"))).toBeGreaterThan(Math.max(...others));
	});

	test("both policies are drawn over the same times: equal times are at equal places", () => {
		const crypto = (stretch: number): string => timelines("t", [two[stretch], two[1 - stretch]]).text;
		const ticks = (text: string): string[] =>
			[...text.matchAll(/<text x="([^"]+)"[^>]*class="tick"/g)].map(([, x]) => x);
		expect(ticks(crypto(0))).toEqual(ticks(crypto(1)));
	});
});

test("ticks are round, begin at or below zero and reach the highest value", () => {
	expect(niceTicks(0, 4.3, 5)).toEqual([0, 1, 2, 3, 4, 5]);
	expect(niceTicks(0, 1, 4).map(percent)).toEqual(["0.0 %", "25.0 %", "50.0 %", "75.0 %", "100.0 %"]);
	expect(niceTicks(-0.3, 1, 4)).toEqual([-0.5, 0, 0.5, 1]);
	expect(niceTicks(0, 0, 5).length).toBeGreaterThan(1);
	expect(decades(900, 1_000_001)).toEqual([100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]);
});

test("scales keep their ends; a logarithmic one makes equal ratios equal distances", () => {
	const scale = linear([0, 10], [100, 200]);
	expect([scale(0), scale(10), scale(5)]).toEqual([100, 200, 150]);
	const log = logarithmic([2, 64], [0, 500]);
	expect([2, 4, 8, 64].map((value) => Math.round(log(value)))).toEqual([0, 100, 200, 500]);
});

test("labels that would lie on each other are moved apart, in their order", () => {
	const [a, b, c] = spread([100, 101, 50], 14);
	expect(b - a).toBeCloseTo(14);
	expect(a - c).toBeGreaterThanOrEqual(14);
});

test("a long name loses its middle and keeps its end", () => {
	expect(shorten("./policies/experimental/mine.mjs", 16)).toBe("./poli…/mine.mjs");
	expect(shorten("all-cpus", 16)).toBe("all-cpus");
});
