/** Booleans are compared where they decide, and nothing else is. */
import { describe, expect, test } from "vitest";
import { compareBooleans } from "../../compiler/booleans.ts";

const FUNCTIONS = `
const yes = function yes() { return true; };
const maybe = function maybe(x) { if (x > 3) return yes(); return x === 1 || !x; };
const falls = function falls(x) { if (x) return true; };
const number = function number(x) { return x; };
`;

/** What becomes of `code` behind these functions. */
function compared(code: string): string {
	const all = compareBooleans(FUNCTIONS + code);
	return all.slice(compareBooleans(FUNCTIONS).length);
}

describe("functions", () => {
	test.each([
		["if (yes()) a();", "if (yes() === true) a();"],
		["while (!maybe(1)) a();", "while (maybe(1) !== true) a();"],
		["const x = yes() ? 1 : maybe(2) ? 2 : 3;", "const x = yes() === true ? 1 : maybe(2) === true ? 2 : 3;"],
		["const x = maybe(1) && number(2);", "const x = maybe(1) === true && number(2);"],
		["for (; !(yes() && a); ) a();", "for (; !(yes() === true && a); ) a();"],
		["do a(); while (maybe(4) || yes());", "do a(); while (maybe(4) === true || yes() === true);"],
	])("%s", (code, expected) => {
		expect(compared(code)).toBe(expected);
	});

	test.each([
		"if (number(1)) a();",
		"if (falls(1)) a();",
		"const x = yes();",
		"const f = function (yes) { if (yes()) a(); };",
		"const f = function () { const maybe = a; if (maybe(1)) a(); };",
		"if (b.yes()) a();",
	])("not %s", (code) => {
		expect(compared(code)).toBe(code);
	});
});

describe("fields", () => {
	test("that only booleans are assigned to", () => {
		const code =
			"class A { constructor() { this.on = false; } set() { this.on = yes(); } } if (a.on) b(); if (!a.b.on) b();";
		expect(compared(code)).toContain("if (a.on === true) b(); if (a.b.on !== true) b();");
	});

	test.each(["this.on = number(1);", "this.on |= true;", "this.on++;", "f({ on: 1 });"])(
		"not if somewhere else there is %s",
		(other) => {
			const code = `class A { constructor() { this.on = false; ${other} } } if (a.on) b();`;
			expect(compared(code)).toBe(code);
		},
	);

	test("not those of a name that is computed, or of what may not be there", () => {
		const code = "class A { constructor() { this.on = false; } } if (a[on]) b(); if (a?.on) b();";
		expect(compared(code)).toBe(code);
	});
});

test("what is decided stays the same", () => {
	const code = `${FUNCTIONS}
		const log = [];
		const o = { on: false };
		for (const x of [0, 1, 2, 4, undefined]) {
			log.push(maybe(x) ? 1 : 0, !maybe(x), maybe(x) && x, maybe(x) || x, falls(x) ? 1 : 0, !falls(x));
			o.on = !o.on;
			if (!o.on || (maybe(x) && !number(x))) log.push(o.on);
		}
		return log;`;
	expect(new Function(`${compareBooleans(code.replace("return log;", ""))}return log;`)()).toEqual(
		new Function(code)(),
	);
});
