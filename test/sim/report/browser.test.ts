/** The report in a real browser: it fits every width, complains of nothing, fetches nothing, and prints. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { renderReport } from "../../../sim/report/html/page.ts";
import { Chromium, type Look } from "../../support/chromium.ts";
import { requireTool } from "../../support/tools.ts";
import { madeUpReport } from "./fixture.ts";

const directory = mkdtempSync(path.join(tmpdir(), "ifwg-browser-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const LOOKS: Readonly<Record<string, Look>> = {
	desktop: { width: 1280, height: 800 },
	"desktop, dark": { width: 1280, height: 800, dark: true },
	phone: { width: 390, height: 844, phone: true },
	// A4 less its margins; whoever likes it dark still prints on white
	paper: { width: 695, height: 1000, dark: true, print: true },
	"small phone": { width: 320, height: 568, phone: true },
};

interface Seen {
	readonly page: number;
	readonly window: number;
	/** elements that stick out of the page and cannot be scrolled to */
	readonly out: readonly string[];
	/** elements that stick out of their card */
	readonly burst: readonly string[];
	/** texts of figures that stick out of them */
	readonly cut: readonly string[];
	readonly summary_bottom: number;
	readonly background: string;
	readonly smallest_text: number;
}

/** Runs in the page. */
const LOOK = `(() => {
	const wide = document.documentElement.clientWidth;
	const scrolled = (one) => {
		const box = one.closest(".scroll");
		return box !== null && getComputedStyle(box).overflowX === "auto";
	};
	const out = [...document.querySelectorAll("main *")].filter((one) => {
		const box = one.getBoundingClientRect();
		return box.width > 0 && !scrolled(one) && (box.right > wide + 1 || box.left < -1);
	});
	const burst = [...document.querySelectorAll(".card")].flatMap((card) =>
		[...card.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > card.getBoundingClientRect().right - 4));
	const cut = [...document.querySelectorAll("svg.figure text")].filter((one) => {
		const box = one.getBoundingClientRect();
		const frame = one.ownerSVGElement.getBoundingClientRect();
		return box.right > frame.right + 1 || box.left < frame.left - 1 || box.bottom > frame.bottom + 2 || box.top < frame.top - 2;
	});
	const sizes = [...document.querySelectorAll("svg.figure text")].map((one) => {
		const scale = one.ownerSVGElement.getBoundingClientRect().width / one.ownerSVGElement.viewBox.baseVal.width;
		return parseFloat(getComputedStyle(one).fontSize) * scale;
	});
	return {
		page: document.documentElement.scrollWidth,
		window: innerWidth,
		out: out.map((one) => one.tagName + " " + one.className),
		burst: burst.map((one) => one.tagName + " " + one.textContent),
		cut: cut.map((one) => one.textContent),
		summary_bottom: document.getElementById("summary").getBoundingClientRect().bottom,
		background: getComputedStyle(document.body).backgroundColor,
		smallest_text: Math.min(...sizes),
	};
})()`;

test("the report fits desktop and phone, in light and dark, prints, and makes no complaint and no request", async (context) => {
	const chromium = requireTool(context, "chromium");
	const file = path.join(directory, "report.html");
	const long = `./policies/${"a-very-long-directory-name/".repeat(4)}mine.mjs`;
	const browser = await Chromium.start(chromium);
	try {
		for (const policies of [
			["all-cpus", "round-robin"],
			["all-cpus", long, "linux-style"],
		]) {
			writeFileSync(file, renderReport(madeUpReport({ policies })));
			for (const [name, look] of Object.entries(LOOKS)) {
				await browser.open(file, look);
				const seen = await browser.evaluate<Seen>(LOOK);
				const { page, out, burst, cut } = seen;
				expect({ name, page, out, burst, cut }).toEqual({ name, page: look.width, out: [], burst: [], cut: [] });
				expect(seen.background).toBe(
					look.dark === true && look.print !== true ? "rgb(21, 23, 28)" : "rgb(255, 255, 255)",
				);
				if (look.width > 1000 && policies.length === 2) expect(seen.summary_bottom).toBeLessThan(look.height);
				expect(seen.smallest_text).toBeGreaterThan(look.width < 390 || look.print === true ? 6 : 8);
			}
			const pdf = await browser.pdf();
			expect(pdf.subarray(0, 5).toString()).toBe("%PDF-");
		}
		expect(browser.complaints).toEqual([]);
	} finally {
		await browser.close();
	}
});
