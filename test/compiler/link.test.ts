/** Modules linked into one: whoever imports them cannot tell. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { link } from "../../compiler/link.ts";

// biome-ignore lint/suspicious/noExplicitAny: what a module of a test exports, only the test knows
type Exports = Record<string, any>;

const directories: string[] = [];

afterEach(() => {
	for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

class Linked {
	readonly files: Map<string, string>;
	private readonly directory = mkdtempSync(path.join(tmpdir(), "ifwg-link-"));

	constructor(files: Map<string, string>) {
		this.files = files;
		directories.push(this.directory);
		for (const [file, code] of files) {
			mkdirSync(path.dirname(path.join(this.directory, file)), { recursive: true });
			writeFileSync(path.join(this.directory, file), code);
		}
	}

	get code(): string {
		return this.files.get("linked.mjs")!;
	}

	import(file: string): Promise<Exports> {
		return import(/* @vite-ignore */ pathToFileURL(path.join(this.directory, file)).href);
	}
}

/** Links `modules`; `apart` are beside them. */
async function linked(modules: Record<string, string>, apart: Record<string, string> = {}): Promise<Linked> {
	const files = await link(new Map(Object.entries(modules)), "linked.mjs");
	return new Linked(new Map([...files, ...Object.entries(apart)]));
}

test("a module's place is taken by one with the same exports", async () => {
	const l = await linked({
		"a/one.mjs": `
			export const number = 1, { left, right: [other] } = { left: 2, right: [3] };
			export function twice(x) { return 2 * x; }
			export function* count() { yield 1; yield 2; }
			export class A { static made = 0; constructor() { A.made++; } }
			const inner = 4;
			export { inner, inner as outer };`,
		"nothing.mjs": "export {};",
	});
	const one = await l.import("a/one.mjs");
	expect(Object.keys(one).sort()).toEqual(["A", "count", "inner", "left", "number", "other", "outer", "twice"]);
	expect([one.number, one.left, one.other, one.inner, one.outer, one.twice(21)]).toEqual([1, 2, 3, 4, 4, 42]);
	expect([...one.count()]).toEqual([1, 2]);
	new one.A();
	expect(one.A.made).toBe(1);
	expect(Object.keys(await l.import("nothing.mjs"))).toEqual([]);
});

test("a variable is seen to change", async () => {
	const l = await linked({
		"state.mjs": "export let current = null, before; export function set(x) { before = current; current = x; }",
		"user.mjs":
			'import { current, set } from "./state.mjs"; export function next() { set(current + 1); return current; }',
	});
	const state = await l.import("state.mjs");
	const user = await l.import("user.mjs");
	state.set(7);
	expect([user.next(), user.next(), state.current, state.before]).toEqual([8, 9, 9, 8]);
});

test("what is passed on is the same thing, wherever it comes from", async () => {
	const l = await linked({
		"thing.mjs": "export const thing = {}; export let n = 0; export const more = () => ++n;",
		"all.mjs": 'export * from "./thing.mjs"; export const own = 1;',
		"some.mjs": 'export { thing as it, n } from "./thing.mjs";',
		"named.mjs": 'import { thing } from "./all.mjs"; export { thing };',
	});
	const { thing, more } = await l.import("thing.mjs");
	const all = await l.import("all.mjs");
	const some = await l.import("some.mjs");
	more();
	expect([all.thing === thing, some.it === thing, (await l.import("named.mjs")).thing === thing]).toEqual([
		true,
		true,
		true,
	]);
	expect([all.n, some.n, all.own]).toEqual([1, 1, 1]);
});

test("names stay, though modules have the same ones", async () => {
	const source = (result: number): string => `
		const state = ${result};
		export function run() { return [state, run.name]; }
		export class Thing {}`;
	const l = await linked({ "a.mjs": source(1), "b.mjs": source(2), "c.mjs": source(3) });
	for (const [file, state] of Object.entries({ "a.mjs": 1, "b.mjs": 2, "c.mjs": 3 })) {
		const { run, Thing } = await l.import(file);
		expect([run(), run.name, Thing.name, new Thing().constructor.name]).toEqual([
			[state, "run"],
			"run",
			"Thing",
			"Thing",
		]);
	}
});

describe("modules that import each other", () => {
	test("may use each other's functions while they are run", async () => {
		const l = await linked({
			"a.mjs": 'import { b } from "./b.mjs"; export function a() { return "a"; } export const fromB = b();',
			"b.mjs": 'import { a } from "./a.mjs"; export function b() { return "b"; } export const fromA = a();',
		});
		expect((await l.import("a.mjs")).fromB).toBe("b");
		expect((await l.import("b.mjs")).fromA).toBe("a");
	});

	test("are run once, each after what it imports, else in the order they are given", async () => {
		const l = await linked({
			"a.mjs": 'import { log } from "./log.mjs"; import "./z.mjs"; log.push("a");',
			"b.mjs": 'import { log } from "./log.mjs"; log.push("b");',
			"log.mjs": "export const log = [];",
			"z.mjs": 'import { log } from "./log.mjs"; log.push("z");',
		});
		await l.import("b.mjs");
		await l.import("a.mjs");
		expect((await l.import("log.mjs")).log).toEqual(["z", "a", "b"]);
	});
});

test("what is apart is imported from where it is, and once", async () => {
	const l = await linked(
		{
			"src/deep/a.mjs":
				'import path from "node:path"; import { table } from "../table.mjs"; export const a = table; export const join = path.join;',
		},
		{ "src/table.mjs": "export const table = [];" },
	);
	const { a, join } = await l.import("src/deep/a.mjs");
	expect(a).toBe((await l.import("src/table.mjs")).table);
	expect(join).toBe(path.join);
});

test("functions and classes are constants, unless something assigns to them", async () => {
	const l = await linked({
		"a.mjs": `
			export class A {}
			export function f() { return g; }
			function g() { g = null; return h(); }
			async function h() {}
			export const early = f();`,
	});
	expect(l.code).toMatch(/^const A = class/m);
	expect(l.code).toMatch(/^const f = function f\(/m);
	expect(l.code).toMatch(/^const h = async function h\(/m);
	expect(l.code).toMatch(/^function g\(/m);
	const { f, early } = await l.import("a.mjs");
	expect(early).toBe(f());
	early();
	expect(f()).toBe(null);
});

test("what cannot be linked is said", async () => {
	await expect(linked({ "a.mjs": "export const = 1;" })).rejects.toThrow();
	await expect(linked({ "a.mjs": 'import { nothing } from "./b.mjs"; nothing();', "b.mjs": "" })).rejects.toThrow(
		/nothing/,
	);
});

describe("what it imports from outside", () => {
	const outside: Record<string, string> = {
		"outside/all.mjs": 'export * from "./constants.mjs"; export { n as m, f as g } from "./constants.mjs";',
		"outside/constants.mjs": `
			export * from "./all.mjs";
			export const c = {};
			export let n = 0;
			export function f() { return ++n; }
			export class K {}`,
	};
	const source = `
		import { c, f, K, n } from "./outside/constants.mjs";
		import { c as d, g, m } from "./outside/all.mjs";
		import * as whole from "./outside/constants.mjs";
		import { sep } from "node:path";
		export function look() { f(); g(); return [c === d, f === g, c === whole.c, new K() instanceof whole.K, n, m, sep]; }`;

	test("becomes a constant if it is one, also one that is passed on, and is seen to change if not", async () => {
		const files = await link(new Map([["user.mjs", source]]), "linked.mjs", (file) => outside[file] ?? null);
		const l = new Linked(new Map([...files, ...Object.entries(outside)]));
		for (const name of ["c", "c$1", "f", "g", "K"]) expect(l.code).toContain(`const ${name} = $imported_${name};`);
		for (const name of ["n", "m", "whole", "sep"]) expect(l.code).not.toContain(`$imported_${name}`);
		const { look } = await l.import("user.mjs");
		expect(look()).toEqual([true, true, true, true, 2, 2, path.sep]);
		expect(look().slice(4, 6)).toEqual([4, 4]);
	});

	test("stays what it was if the outside cannot be read", async () => {
		const l = await linked({ "user.mjs": source }, outside);
		expect(l.code).not.toContain("$imported_");
		expect((await l.import("user.mjs")).look()).toEqual([true, true, true, true, 2, 2, path.sep]);
	});
});
