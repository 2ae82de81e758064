import { describe, expect, test } from "vitest";
import { renderReport, reportJson } from "../../../sim/report/html/page.ts";
import { COLORS } from "../../../sim/report/html/style.ts";
import { everyElement, parseXml, textOf, type XmlElement } from "../../support/xml.ts";
import { type FixtureOptions, madeUpReport } from "./fixture.ts";

const EVIL = `./"><script>alert(1)</script>&amp;'.mjs`;

const CASES: Readonly<Record<string, FixtureOptions>> = {
	usual: {},
	"one policy": { policies: ["linux-style"], scan: false },
	"four policies": { policies: ["round-robin", "all-cpus", "linux-style", EVIL] },
	"one CPU, one seed": { cpus: "1", seeds: [7], scan: false, sensitivity: null },
	"a policy that carries nothing": { policies: ["round-robin", "all-cpus"], cpus: "1", scan: false },
	"many CPUs": { cpus: "64", seeds: [1, 2], sensitivity: null },
	"nothing but a hypercube's absence": {
		scan: false,
		sensitivity: { machine: "vm", cpus: 8, points: 0, rows: [], conclusions: [] },
	},
};

function elements(root: XmlElement): XmlElement[] {
	return [...everyElement(root)];
}

describe.each(Object.entries(CASES))("the report of %s", (_name, options) => {
	const data = madeUpReport(options);
	const html = renderReport(data);
	const root = parseXml(html);
	const all = elements(root);

	test("asks nothing of the network, and runs nothing", () => {
		for (const { name, attributes } of all) {
			expect(["link", "img", "iframe", "object", "embed", "base", "form", "image"]).not.toContain(name);
			for (const [key, value] of attributes) {
				expect(key).not.toMatch(/^on|^src|^style$|^xlink/);
				if (key === "href") expect(value).toMatch(/^#/);
				if (value.includes("url(")) expect(value).toMatch(/^url\(#[\w-]+\)$/);
			}
			if (name === "script") expect(attributes.get("type")).toBe("application/json");
			if (name === "style")
				expect(textOf({ name, attributes, children: all.find((one) => one.name === "style")!.children })).not.toMatch(
					/url\(|@import|@font-face/,
				);
		}
		expect(html.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:\/\//);
	});

	test("has each id once, and points to none that is missing", () => {
		const ids = all.flatMap((one) => one.attributes.get("id") ?? []);
		expect(new Set(ids).size).toBe(ids.length);
		for (const { attributes } of all) {
			const href = attributes.get("href");
			if (href !== undefined) expect(ids).toContain(href.slice(1));
			for (const id of (attributes.get("aria-labelledby") ?? "").split(" ")) if (id !== "") expect(ids).toContain(id);
			const fill = attributes.get("fill")?.match(/^url\(#(.*)\)$/);
			if (fill) expect(ids).toContain(fill[1]);
		}
	});

	test("shows no figure that is none", () => {
		const visible = all
			.filter((one) => one.name === "body")
			.flatMap((body) => body.children)
			.filter((child): child is XmlElement => typeof child !== "string" && child.name !== "script");
		for (const one of visible) expect(textOf(one)).not.toMatch(/NaN|undefined|Infinity|\[object/);
	});

	test("holds every run's fingerprint and the line that repeats it", () => {
		const cells = all.flatMap((one) => (one.name === "code" ? [textOf(one)] : []));
		const { runs, scan_runs, elsewhere_runs } = reportJson(data) as Record<
			string,
			{ fingerprint: string; command: string }[]
		>;
		for (const run of [...runs, ...scan_runs, ...elsewhere_runs]) {
			expect(cells).toContain(run.fingerprint);
			expect(cells).toContain(run.command);
		}
	});

	test("holds the data it was made from, to be read by programs", () => {
		const script = all.find((one) => one.attributes.get("id") === "data")!;
		expect(JSON.parse(textOf(script))).toEqual(JSON.parse(JSON.stringify(reportJson(data))));
	});

	test("behind every figure stands its table", () => {
		for (const figure of all.filter((one) => one.name === "figure")) {
			const inside = elements(figure).map((one) => one.name);
			expect(inside.filter((name) => name === "svg")).toHaveLength(1);
			expect(inside.filter((name) => name === "table")).toHaveLength(1);
		}
	});
});

test("the same data gives the same bytes", () => {
	expect(renderReport(madeUpReport())).toBe(renderReport(madeUpReport()));
});

test("the first screen says what changed, how sure it is, and how to repeat it", () => {
	const all = elements(parseXml(renderReport(madeUpReport())));
	const summary = all.find((one) => one.attributes.get("id") === "summary")!;
	const text = textOf(summary).replace(/\s+/g, " ");
	expect(text).toContain("round-robin carries 2.03 times what all-cpus does");
	expect(text).toMatch(/A difference is proven at 95 % by 5 seeds each: \+1\.152 ± 0\.209 Gb\/s/);
	expect(text).toContain("npx ifwg compare --report report.html");
	expect(all.filter((one) => one.attributes.get("class") === "agrees").map(textOf)).toHaveLength(5);
});

test("a published figure that is not met is named on the first screen, and marked in words", () => {
	const data = madeUpReport();
	const { comparison } = data;
	const validation = comparison.summary.validation.map((row) =>
		row.name === "throughput_ratio" ? { ...row, holds: false } : row,
	);
	const html = renderReport({ ...data, comparison: { ...comparison, summary: { ...comparison.summary, validation } } });
	const all = elements(parseXml(html));
	expect(textOf(all.find((one) => one.attributes.get("id") === "summary")!)).toContain(
		"Not: throughput, round-robin : all-cpus",
	);
	expect(all.filter((one) => one.attributes.get("class") === "disagrees").map(textOf)).toEqual(["✗ disagrees"]);
});

test("with one seed nothing is called proven", () => {
	const text = textOf(parseXml(renderReport(madeUpReport({ seeds: [1] }))));
	expect(text).toContain("One run each: this proves nothing");
	expect(text).not.toContain("is proven");
});

/** Relative luminance of #rrggbb. @see WCAG 2.2 */
function luminance(color: string): number {
	const [r, g, b] = [1, 3, 5].map((at) => {
		const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
		return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	});
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
	const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
	return (high + 0.05) / (low + 0.05);
}

describe.each([
	["light", 0],
	["dark", 1],
] as const)("in %s", (_name, column) => {
	test.each(["ink", "muted", "link", "good", "bad", "s0", "s1", "s2", "s3", "s4"])(
		"%s can be read on every ground",
		(name) => {
			for (const ground of ["ground", "raised"]) {
				expect(contrast(COLORS[name][column], COLORS[ground][column])).toBeGreaterThanOrEqual(4.5);
			}
		},
	);

	test.each(["nothing", "crypto", "other", "wake"])("%s stands out from the ground", (name) => {
		expect(contrast(COLORS[name][column], COLORS.ground[column])).toBeGreaterThanOrEqual(
			name === "other" || name === "wake" ? 2 : 3,
		);
	});
});
