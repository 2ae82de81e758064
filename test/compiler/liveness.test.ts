/** A frame holds what its function needs after the wait, and nothing else: not what is over, nor what is made anew. */
import { expect, test } from "vitest";
import { compileModule } from "../../compiler/module.ts";

/** The variables saved at each wait of a function `f`, without the numbers they are told apart by. */
function saved(parameters: string, body: string): string[][] {
	const { code, kept } = compileModule(`function* f(${parameters}) {${body}}`, { file: "m.js", runtime: "./frame.js" });
	expect(kept).toEqual([]);
	const [called, goesOn] = code
		.split("function f$resumed")
		.map((half) =>
			[...half.matchAll(/\$suspend\d*\(f\$resumed, \d+(?:, ([^)]*))?\)/g)].map(
				([, names]) => names?.replace(/\$\d+/g, "$").split(", ").sort() ?? [],
			),
		);
	expect(called).toEqual(goesOn);
	return goesOn;
}

test.each<[string, string, string, string[][]]>([
	["nothing that a later wait gives a value", "", "let a = 1; g(a); yield; a = yield* g(); g(a);", [[], []]],
	["nothing after a return that waits", "a, b", "if (g()) { yield; return yield* g(); } g(b);", [[], []]],
	["what a case falls into", "a, b, c", "switch (a) { case 1: yield; case 2: g(b); }", [["b"]]],
	["nothing that is not used again", "a, b", "g(a); yield; g(b); yield;", [["b"], []]],
	["nothing that is only used to get there", "a, b", "const x = yield* g(a, b); yield* g(x);", [[], []]],
	["what is returned", "a", "yield; return a;", [["a"]]],
	["a variable that is assigned on one way only", "c", "let a = 1; yield; if (c) a = 2; g(a);", [["a", "c"]]],
	["nothing needed on the other way only", "a, b, c", "if (c) { yield; g(a); } else { yield; g(b); }", [["a"], ["b"]]],
	["what follows a branch", "a, c", "if (c) yield; g(a);", [["a"]]],
	["what an earlier statement of a loop needs in the next round", "n", "for (;;) { g(n); yield; }", [["n"]]],
	["no variable of a round in the next one", "n", "while (n--) { const x = g(); g(x); yield; }", [["n"]]],
	["a loop's counter, and what its test needs", "n", "for (let i = 0; i < n; i++) yield;", [["i", "n"]]],
	["operands read before, under a name of their own", "o", "return o.p + (yield* g());", [["$"]]],
	[
		"what a closure has captured only if that is called",
		"a",
		"const h = () => a; h(); yield; g(); yield; return a;",
		[["a"], ["a"]],
	],
	["the closure, not what it captured", "a", "const h = () => a; yield; return h();", [["h"]]],
	["no property that is called as a variable", "a", "yield; return g.a + { a: 1 }.a;", [[]]],
	["an inner variable, not the outer one of its name", "a", "{ const a = g(); yield; g(a); }", [["a$"]]],
])("%s", (_what, parameters, body, expected) => {
	expect(saved(parameters, body)).toEqual(expected);
});

test("this, which is saved where it is used, is no variable", () => {
	const wrapped = (body: string): boolean =>
		compileModule(`function* f() {${body}}`, { file: "m.js", runtime: "./frame.js" }).code.includes(
			"$with_this(this, ",
		);
	expect(saved("", "g(this.a); yield; g(this.a);")).toEqual([[]]);
	expect(wrapped("g(this.a); yield;")).toBe(true);
	expect(wrapped("yield; g(() => this.a);")).toBe(true);
	expect(wrapped("yield; g(function () { return this.a; });")).toBe(false);
});
