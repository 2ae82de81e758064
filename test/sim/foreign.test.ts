/** Modules of somebody else's: compiled as ours are, each loaded once, and what is ours not a second time. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ForeignModules } from "../../sim/foreign.ts";
import * as errno from "../../src/kernel/errno.ts";
import { root } from "../support/source.ts";

let directory: string;
let before: string | undefined;
let serial = 0;

beforeAll(() => {
	directory = mkdtempSync(path.join(tmpdir(), "ifwg-foreign-test-"));
	// other tests load modules at the same time
	before = process.env.TMPDIR;
	process.env.TMPDIR = mkdtempSync(path.join(directory, "tmp-"));
});
afterAll(() => {
	if (before === undefined) delete process.env.TMPDIR;
	else process.env.TMPDIR = before;
	rmSync(directory, { recursive: true, force: true });
});

/** Each test has a directory of its own: a module that was loaded once stays so. */
let theirs: string;
beforeEach(() => {
	theirs = path.join(directory, `${++serial}`);
	mkdirSync(theirs);
});

function write(name: string, text: string): string {
	const file = path.join(theirs, name);
	mkdirSync(path.dirname(file), { recursive: true });
	writeFileSync(file, text);
	return file;
}

/** Where compiled modules are while they are being loaded. */
function scratches(): string[] {
	return readdirSync(tmpdir());
}

async function load(...files: string[]): Promise<Record<string, unknown>[]> {
	const modules = new ForeignModules(theirs);
	try {
		const loaded: Record<string, unknown>[] = [];
		for (const file of files) loaded.push(await modules.load(file));
		return loaded;
	} finally {
		modules.remove();
	}
}

test("a module is compiled: what may wait is a plain function", async () => {
	const file = write("m.mjs", "export function* f(x) { return x + 1; }\nexport function* values() { yield 1; }");
	const [{ f, values }] = (await load(file)) as { f: (x: number) => unknown; values: () => Iterable<number> }[];
	expect(f(1)).toBe(2);
	expect([...values()]).toEqual([1]);
});

test("the modules beside it and below are, too, each once, however often and by whomever they are imported", async () => {
	write(
		"beside.js",
		"globalThis.loaded = (globalThis.loaded ?? 0) + 1; export const state = {}; export function* f() { return 1; }",
	);
	write("below/deep.mjs", 'export { state as deep } from "../beside.js"; export * from "./../beside.js";');
	const a = write(
		"a.mjs",
		'export { state, f } from "./beside.js"; export { deep } from "./below/deep.mjs"; export const later = await import("./beside.js");',
	);
	const b = write("b.mjs", 'import * as beside from "./beside.js"; export { beside };');
	const global = globalThis as { loaded?: number };
	try {
		const [first, second, again] = (await load(a, b, a)) as {
			state: object;
			deep: object;
			later: { state: object };
			beside: { state: object };
			f: () => unknown;
		}[];
		expect(global.loaded).toBe(1);
		for (const state of [first.deep, first.later.state, second.beside.state]) expect(state).toBe(first.state);
		expect(again).toBe(first);
		expect(first.f()).toBe(1);
	} finally {
		delete global.loaded;
	}
});

test("a module that is asked for again, by whomever, is the one that is there", async () => {
	const file = write("m.mjs", 'export { state } from "./n.mjs";');
	const other = write("other.mjs", 'export { state } from "./n.mjs";');
	const n = write("n.mjs", "export const state = {};");
	const [first] = await load(file);
	expect((await load(file))[0]).toBe(first);
	expect((await load(other))[0].state).toBe(first.state);
	expect((await load(n))[0].state).toBe(first.state);
});

test("modules that import each other are no trouble", async () => {
	const a = write(
		"a.mjs",
		'import { b } from "./b.mjs"; export const a = () => "a"; export const both = () => a() + b();',
	);
	write("b.mjs", 'import { a } from "./a.mjs"; export const b = () => `b${a()}`;');
	const [{ both }] = (await load(a)) as { both: () => string }[];
	expect(both()).toBe("aba");
});

test("what is ours is not copied: they see the very modules we see", async () => {
	const ours = pathToFileURL(path.join(root, "src/kernel/errno.ts")).href;
	const relative = path.relative(theirs, path.join(root, "src/kernel/errno.ts"));
	const file = write("m.mjs", `export * as absolute from "${ours}"; export * as relative from "${relative}";`);
	const [{ absolute, relative: found }] = await load(file);
	expect(absolute).toBe(found);
	expect((absolute as typeof errno).EINVAL).toBe(errno.EINVAL);
});

test("what is Node's or a package's is found from where the module is", async () => {
	write("node_modules/thing/package.json", '{ "name": "thing", "type": "module", "exports": "./main.js" }');
	write("node_modules/thing/main.js", "export const thing = 5;");
	const file = write(
		"m.mjs",
		'import { sep } from "node:path"; import { join } from "path"; import { thing } from "thing"; import { x } from "data:text/javascript,export const x = 6";' +
			"export const found = [sep, join('a', 'b'), thing, x];",
	);
	const [{ found }] = await load(file);
	expect(found).toEqual([path.sep, path.join("a", "b"), 5, 6]);
});

test("what is no JavaScript is read where it is", async () => {
	write("data.json", '{ "n": 7 }');
	const file = write("m.mjs", 'import data from "./data.json" with { type: "json" }; export { data };');
	expect((await load(file))[0].data).toEqual({ n: 7 });
});

test("a directory of theirs is left as it was, and the scratch directory is removed", async () => {
	const file = write("m.mjs", 'export { x } from "./n.mjs";');
	write("n.mjs", "export const x = 1;");
	const modules = new ForeignModules(theirs);
	expect((await modules.load(file)).x).toBe(1);
	expect(scratches()).toHaveLength(1);
	modules.remove();
	expect(scratches()).toEqual([]);
	expect(readdirSync(theirs).sort()).toEqual(["m.mjs", "n.mjs"]);
	modules.remove();
});

test("what is wrong with a module is thrown", async () => {
	await expect(load(write("syntax.mjs", "export const = 1;"))).rejects.toThrow(SyntaxError);
	await expect(load(write("throws.mjs", "throw new Error('of theirs');"))).rejects.toThrow("of theirs");
	await expect(load(write("gone.mjs", 'import "./nowhere.mjs";'))).rejects.toThrow(/ENOENT.*nowhere\.mjs/);
	await expect(load(write("package.mjs", 'import "no-such-package";'))).rejects.toThrow(/no-such-package/);
});
