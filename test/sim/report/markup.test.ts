import fc from "fast-check";
import { expect, test } from "vitest";
import { element, escapeText, lines, raw } from "../../../sim/report/markup.ts";
import { parseXml, textOf } from "../../support/xml.ts";

/** Texts of any characters that a document may hold. */
const texts = fc.string({ unit: "binary" }).filter((text) => !/[\p{Cc}\p{Cs}\ufffe\uffff]/u.test(text));

test("any text comes back as it went in, as content and as an attribute, and is never markup", () => {
	fc.assert(
		fc.property(fc.oneof(texts, fc.constantFrom("</p>", '"><b>', "&lt;", "a & b")), (text) => {
			const parsed = parseXml(element("p", { title: text }, text).text);
			expect(textOf(parsed)).toBe(text);
			expect(parsed.attributes.get("title")).toBe(text);
			expect(parsed.children.filter((child) => typeof child !== "string")).toEqual([]);
		}),
	);
});

test("characters that no document may hold are replaced", () => {
	expect(escapeText("a\u0000b\u001bc\ud800d\tz")).toBe("a\ufffdb\ufffdc\ufffdd\tz");
});

test("an attribute that is undefined is left out, a number is rounded, and minus zero is zero", () => {
	expect(element("rect", { x: 1 / 3, y: -0.001, class: undefined }).text).toBe('<rect x="0.33" y="0"/>');
});

test("an element that HTML would leave open is always closed", () => {
	expect(element("td").text).toBe("<td></td>");
	expect(element("meta", { charset: "utf-8" }).text).toBe('<meta charset="utf-8"/>');
});

test("only what is markup already goes out as it is", () => {
	expect(element("b", {}, raw("<i>x</i>"), "<i>").text).toBe("<b><i>x</i>&lt;i&gt;</b>");
	expect(lines(element("b"), null, ["c", "d"]).text).toBe("<b></b>\n\nc\nd");
});
