/** A module as a whole: what in it is compiled, what is left alone, what is imported for it, and what everything is called. */
import { transformWithOxc } from "vite";
import { describe, expect, test } from "vitest";
import { compileModule } from "../../compiler/module.ts";
import { type Coroutine, type Frame, frame_name, resume_thread } from "../../src/kernel/sched/frame.ts";
import { readProjectFile, sourceFiles } from "../support/source.ts";
import { compile, entryOf } from "./support.ts";

function compiled(source: string, resolve?: (specifier: string) => string) {
	return compileModule(source, { file: "m.js", runtime: "./frame.js", ...(resolve === undefined ? {} : { resolve }) });
}

/** Lets `main` of a program go on until it waits. @returns the names of the functions that do */
function waiting(program: string): string[] {
	const td: Coroutine = { td_main: entryOf(compile(program)) as () => unknown, td_frame: null };
	expect(resume_thread(td)).toBe(true);
	const names: string[] = [];
	for (let frame: Frame | null = td.td_frame; frame !== null; frame = frame.up) names.push(frame_name(frame));
	return names;
}

describe("left alone, to the byte", () => {
	test.each<[string, string]>([
		["a module without generators", "export const f = (x) => x\n  * g(x) // a comment\n;"],
		[
			"an ordinary generator",
			"export function* numbers(n) {\n  for (let i = 0; i < n; i++) yield i   // odd layout\n}",
		],
		["one that also hands on to others", "function* all() { yield 1; yield* numbers(2); }"],
		[
			"an iterator in an object and in a class",
			"const o = { *[Symbol.iterator]() { yield 1 } }; class A { *all() { yield this } }",
		],
		["a value that is made deep inside", "function* g() { try { if (a) { b((yield c)); } } finally { d() } }"],
		["an async generator", "async function* g() { yield* h(); }\nasync function* k() {}"],
		["a word that only looks like one", 'const text = "yield"; const product = 2 * f(3);'],
	])("%s", (_what, source) => {
		expect(compiled(source)).toEqual({ code: source, header: null, kept: [] });
	});

	test("what has been compiled", () => {
		const source = `
			import { lock } from "./lock.js";
			export function* f(x) { const y = yield* lock(x); yield; return x + y; }
			export function* kept(x) { try { yield* f(x); } finally { yield; } }
			export class A { *m() { return yield* this.#p(); } *#p() { try { yield* f(1); } catch {} } }
			export const o = { *m() { yield* f(2); }, *["computed"]() { yield* f(3); } };
			function* ordinary() { yield 1; }
		`;
		const once = compiled(source);
		expect(once.kept).toHaveLength(2);
		const twice = compiled(once.code);
		expect(twice).toEqual({ code: once.code, header: null, kept: [] });
		// and if it is written anew, for its imports' sake
		const { code } = compiled(once.code, (specifier) => specifier);
		expect(code.replaceAll(/import \{\s*(.*?)\s*\} from/g, "import {$1} from")).toBe(
			once.code.replaceAll(/import \{\s*(.*?)\s*\} from/g, "import {$1} from"),
		);
	});

	test("an ordinary generator in a module with functions that wait", () => {
		const { code, kept } = compiled("function* values() { yield 1; } function* waits() { yield; }");
		expect(code).toContain("function* values()");
		expect(code).toContain("function waits()");
		expect(kept).toEqual([]);
	});
});

describe("what cannot be compiled is said, with the reason", () => {
	test.each<[string, string]>([
		["try { yield; } catch {}", "f waits in a `try`"],
		["try { g(); } finally { yield* g(); }", "f waits in a `try`"],
		["yield; return arguments.length;", "f uses `arguments`"],
		["yield; return () => arguments.length;", "f uses `arguments`"],
		["let n = 0; const g = () => n++; yield; g();", "f has a closure that captures `n`, which changes"],
		["let n; const g = () => n; yield; n = 1; g();", "f has a closure that captures `n`, which changes"],
		["for (const x of [1]) { h(() => x); yield; }", "f has a closure that captures `x`, which changes"],
		["for (;;) { const x = g(); h(() => x); yield; }", "f has a closure that captures `x`, which changes"],
		["const g = () => later; const later = 1; yield; g();", "f has a closure that captures `later`, which changes"],
		["yield; function g() {} g();", "f declares a function"],
		["yield; class A {}", "f has a class in it"],
		["{ var x = 1; } yield; return x;", "f has a `var`"],
		["return a?.b(yield* g());", "f waits in a ChainExpression"],
		["return (yield* g())?.b;", "f waits in a ChainExpression"],
		["let x; x ??= yield* g();", "f waits in a `\u003f\u003f=`"],
		["return [...a, yield* g()];", "f spreads before it waits"],
		["return [, yield* g()];", "f waits in an array with holes"],
		["return { [yield* g()]: 1 };", "f waits in such an object"],
		["return { m() {}, x: yield* g() };", "f waits in such an object"],
		["return { get m() { return 1; }, x: yield* g() };", "f waits in such an object"],
		["return { ...yield* g() };", "f waits in such an object"],
		["return (yield* g())();", "f waits for the function it calls"],
		["return new (yield* g())();", "f waits for the function it calls"],
		["return tag`${yield* g()}`;", "f waits in a TaggedTemplateExpression"],
		["return (yield* g()).n++;", "f waits in a UpdateExpression"],
		["const { a = yield* g() } = {};", "f waits in a pattern"],
		["for (const [a = yield* g()] of []);", "f waits in a pattern"],
		["[a = yield* g()] = [];", "f waits in a pattern"],
		["do {} while (yield* g());", "f waits in the condition of `do`"],
		["for (;; yield* g());", "f waits in the update of `for`"],
		["for (const k in yield* g());", "f waits in a ForInStatement"],
		["switch (1) { case yield* g(): }", "f waits in a `case`"],
		["a: b: for (;;) { yield; break a; }", "f waits behind two labels"],
	])("%s", (body, reason) => {
		const { code, kept } = compiled(`function* f() { ${body} }`);
		expect(kept).toEqual([`m.js: ${reason}`]);
		expect(code).toMatch(
			/^import \{.* generator as \$generator \} from ".\/frame.js";\nfunction f\(\.\.\.\$arguments\)/,
		);
	});

	test("methods by their names; those that nothing inside can find are kept, too", () => {
		const { kept } = compiled(
			`
			class A { *m() { yield; } *[f()]() { yield; } *"quoted"() { yield; } static *s() { try { yield; } finally {} } }
			export default class { *n() { yield; } *#p() { yield; } }
			const B = class { *k() { yield; } };
			class C { *hides(C) { yield; } }
			const o = { *l() { yield* super.l(); } };
		`.replace(/\n.*super.*\n/, "\n"),
		);
		expect(kept).toEqual([
			"m.js: method has no name to find it by",
			"m.js: method has no name to find it by",
			"m.js: s waits in a `try`",
			"m.js: n has no name to find it by",
			"m.js: k has no name to find it by",
			"m.js: hides has a parameter that hides `C`",
		]);
	});

	test.each(["class A { *m() { try { yield* super.m(); } finally {} } }", "const o = { *m() { yield* super.m(); } };"])(
		"and what cannot even stay a generator is refused: %s",
		(source) => {
			expect(() => compiled(source)).toThrow(new SyntaxError("a function that uses `super` cannot stay a generator"));
		},
	);

	test("text that is no JavaScript is refused", () => {
		expect(() => compiled("function* f() { yield* }")).toThrow(SyntaxError);
	});
});

test("an object's method that never waits keeps its super", () => {
	const { code, kept } = compiled("const o = { *m() { return super.toString(); } };");
	expect(code).toMatch(/\{\s*m\(\) \{\s*return super.toString\(\);/);
	expect(kept).toEqual([]);
});

test("a method that never waits is compiled whatever it is called", () => {
	for (const name of ["m", "#m", "$", "$m_1", "[f]", "[a.b]", "[Symbol.for('x')]", '"quoted name"', "'q'", "12"]) {
		const { code, header } = compiled(`class A { * ${name} (x) { return x; } }`);
		expect(header, name).toBe(0);
		expect(code, name).not.toContain("*");
	}
});

describe("the header", () => {
	test.each<[string, string, string]>([
		["nothing, where nothing waits", "function* f() { return 1; }", ""],
		["what goes on, and what saves few variables", "function* f() { yield; }", "suspend0"],
		["what tells whether a call waits", "function* f() { yield* g(); f(); }", "SUSPENDED suspend0"],
		[
			"what saves more of them",
			"function* f(a, b, c, d, e) { yield; return [a, b, c, d, e]; } function* g() { yield; }",
			"suspend0 suspend9",
		],
		[
			"what saves many",
			"function* f(a, b, c, d, e, g, h, i, j, k) { yield; return [a, b, c, d, e, g, h, i, j, k]; }",
			"suspend16",
		],
		[
			"what saves any number",
			"function* f(a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r) { yield; return [a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r]; }",
			"suspend",
		],
		["what runs a generator", "function* f() { try { yield; } finally {} }", "generator"],
	])("imports %s", (_what, source, imported) => {
		const { code, header } = compiled(source);
		const names = /^import \{ (.*) \} from "\.\/frame\.js";\n/.exec(code)?.[1] ?? "";
		expect(names.replace(/ as \$\w+/g, "").replaceAll(",", "")).toBe(imported);
		expect(header).toBe(imported === "" ? 0 : 1);
		expect(code.split("\n").findIndex((line) => line.startsWith("function f"))).toBe(header);
	});
});

describe("resolve", () => {
	test("redirects imports, exports from others, and import() of a text", () => {
		const source = `
import a from "./a.js";
import * as b from "./b.js";
import "./c.js";
import data from "./data.json" with { type: "json" };
export { d, e as f } from './d.js';
export * from "./e.js";
export * as g from "./g.js";
export const local = 1;
export { local as other };
const later = () => import("./h.js");
const unknown = (name) => import(name);
const deep = { m: [async () => { await import("./i.js"); }] };
`;
		const seen: string[] = [];
		const { code, header } = compiled(source, (specifier) => {
			seen.push(specifier);
			return specifier.replace("./", "file:///elsewhere/");
		});
		const names = ["a", "b", "c", "data", "d", "e", "g", "h", "i"];
		expect(seen).toEqual(names.map((name) => (name === "data" ? "./data.json" : `./${name}.js`)));
		for (const name of names) expect(code).toMatch(new RegExp(`"file:///elsewhere/${name}\\.js(on)?"`));
		expect(code).not.toContain('"./');
		expect(code).toContain('with { type: "json" }');
		expect(code).toContain("import(name)");
		expect(header).toBe(0);
	});

	test("leaves the import of the runtime alone", () => {
		const { code } = compiled('import "./a.js"; function* f() { yield; }', () => "elsewhere");
		expect(code).toMatch(/^import \{.*\} from ".\/frame.js";\nimport "elsewhere";\n/);
	});
});

describe("names", () => {
	test("of functions that wait are what they were in the source; those without get one that says what holds them", () => {
		const names = waiting(`
			class A { *method() { yield* this.#hidden(); f(); } *#hidden() { yield* A.of(); f(); } static *of() { yield* kept(); f(); } }
			function* kept() { try { yield* object.member(); } finally {} }
			const object = { *member() { yield* held(); f(); } };
			const held = function* () { yield* own(); f(); };
			const own = function* named() { yield; };
			const f = () => {};
			function* main() { yield* new A().method(); f(); }
		`);
		expect(names).toEqual([
			"named",
			expect.stringMatching(/^\$held\d+$/),
			expect.stringMatching(/^\$member\d+$/),
			"kept",
			"of",
			"#hidden",
			"method",
			"main",
			"entry",
		]);
	});

	test("are in a stack trace, the first time and when they go on", () => {
		const program = `
			class A { *method() { trace(); yield; trace(); } }
			function* kept() { try { yield* new A().method(); } finally {} }
			function* main() { yield* kept(); }
		`;
		const traces: string[][] = [];
		const trace = () => {
			traces.push([...new Error().stack!.matchAll(/^ {4}at (?:async )?(\S+)/gm)].map(([, name]) => name));
		};
		const td: Coroutine = { td_main: entryOf(compile(program), { trace }) as () => unknown, td_frame: null };
		while (resume_thread(td));
		const ours = (trace: readonly string[]): string[] =>
			trace.filter((name) => /^(?:A\.method(?:\$resumed)?|\$kept0|kept|main|entry)$/.test(name));
		expect(traces.map(ours)).toEqual([
			["A.method", "$kept0", "kept", "main", "entry"],
			// who waits for it is not on the stack, but hangs on the thread
			["A.method$resumed"],
		]);
	});
});

test("all of this project is compiled but for a few functions that nobody is in a hurry for", async () => {
	const kept: string[] = [];
	const files = ["src", "sim", "bench"].flatMap(sourceFiles);
	let waiting = 0;
	for (const file of files) {
		const source = readProjectFile(file);
		if (!/function\s*\*|yield/.test(source)) continue;
		const compiled = compileModule((await transformWithOxc(source, file)).code, { file, runtime: "./frame.js" });
		if (compiled.header !== null) waiting++;
		kept.push(...compiled.kept);
	}
	expect(waiting).toBeGreaterThan(80);
	expect(kept.sort()).toEqual([
		"sim/driver.ts: call waits in a `try`",
		"src/crypto/ocf/blake2_story.ts: blake2_story has a closure that captures `reference`, which changes",
		"src/userland/bridge.ts: bridge waits in a `try`",
		"src/userland/process.ts: process_main waits in a `try`",
		"src/userland/sysctl.ts: sysctl has a closure that captures `name`, which changes",
	]);
});
