/** PORTING.md against the sources: what it says is there, is there, in that order; and nothing is there that it does not say. */
import path from "node:path";
import { describe, expect, test } from "vitest";
import { wg_generations } from "../../../src/dev/wg/generation.ts";
import { codeOnly, readProjectFile, root, sourceFiles } from "../../support/source.ts";

/** A function of ours that a row names. */
interface Symbol {
	readonly name: string;
	/** null: one of the section's files */
	readonly file: string | null;
	readonly isStatic: boolean;
}

interface Row {
	readonly c: string;
	readonly here: string;
	readonly symbols: readonly Symbol[];
	readonly generations: readonly [o: string, n: string, m: string];
	readonly differences: string;
}

interface Section {
	readonly title: string;
	readonly files: readonly string[];
	readonly counts: readonly number[] | null;
	readonly rows: readonly Row[];
	readonly helpers: readonly string[];
}

interface Quirk {
	readonly id: string;
	readonly kept: string;
	readonly shown: string;
}

interface Table {
	readonly sections: readonly Section[];
	readonly structures: readonly Symbol[];
	readonly quirks: readonly Quirk[];
}

const cellsOf = (line: string): string[] =>
	line
		.slice(1, line.trimEnd().lastIndexOf("|"))
		.split("|")
		.map((cell) => cell.trim());

function symbolsOf(cell: string): Symbol[] {
	const symbols: Symbol[] = [];
	for (const found of cell.matchAll(/`(\w+)`( \(static\))?(?: in `(src\/[^`]+)`)?/g))
		symbols.push({ name: found[1]!, isStatic: found[2] !== undefined, file: found[3] ?? null });
	return symbols;
}

/** Cells that name no function but say why there is none. */
const reason = /^(?:missing|arithmetic): \S/;

function parse(text: string): Table {
	const sections: Section[] = [];
	let structures: Symbol[] = [];
	const quirks: Quirk[] = [];
	for (const part of text.split(/^## /m).slice(1)) {
		const title = part.slice(0, part.indexOf("\n"));
		const lines = part.split("\n");
		const tables: string[][][] = [];
		for (const [i, line] of lines.entries()) {
			if (!line.startsWith("|") || /^\|[-:|]+\|$/.test(line)) continue;
			if (!lines[i - 1]!.startsWith("|")) tables.push([]);
			tables.at(-1)!.push(cellsOf(line));
		}
		if (title === "Structures") {
			structures = tables[0]!.slice(1).flatMap(([, here]) => symbolsOf(here!).filter((s) => s.file !== null));
			continue;
		}
		const where = /^In (.*)$/m.exec(part)?.[1];
		if (where === undefined) {
			for (const rows of tables)
				for (const [id, , , kept, shown] of rows.slice(1)) quirks.push({ id: id!, kept: kept!, shown: shown! });
			continue;
		}
		const counts = /Upstream: (\d+) functions in O, (\d+) in N, (\d+) in M/.exec(part);
		const rows: Row[] = [];
		const helpers: string[] = [];
		for (const table of tables) {
			const [head, ...body] = table;
			if (head![0] === "C function") {
				for (const [c, here, o, n, m, differences] of body) {
					const symbols = reason.test(here!) ? [] : symbolsOf(here!);
					rows.push({
						c: c!.replaceAll("`", ""),
						here: here!,
						symbols,
						generations: [o!, n!, m!],
						differences: differences!,
					});
				}
			} else for (const [name] of body) helpers.push(name!);
		}
		sections.push({
			title,
			files: [...where.matchAll(/`(src\/[^`]+\.ts)`/g)].map((found) => found[1]!),
			counts: counts === null ? null : counts.slice(1).map(Number),
			rows,
			helpers,
		});
	}
	return { sections, structures, quirks };
}

interface Declared {
	readonly name: string;
	readonly exported: boolean;
	readonly offset: number;
}

/** Functions of a module's top level, and constants that are another name for one. */
function functionsOf(source: string): Declared[] {
	const found: Declared[] = [];
	const pattern = /^(export )?(?:function\*?\s+(\w+)|const (\w+) = \w+;)/gm;
	for (const match of codeOnly(source).matchAll(pattern)) {
		const name = match[2] ?? match[3]!;
		if (match[3] !== undefined && !/[a-z]/.test(name)) continue; // a constant
		found.push({ name, exported: match[1] !== undefined, offset: match.index });
	}
	return found;
}

type Read = (file: string) => string;

/** What is wrong with the text, given the sources: one line each. */
function offences(text: string, read: Read): string[] {
	const found: string[] = [];
	const { sections } = parse(text);
	const declared = new Map<string, Declared[]>();
	const functionsIn = (file: string): Declared[] => {
		let list = declared.get(file);
		if (list === undefined) declared.set(file, (list = functionsOf(read(file))));
		return list;
	};
	const listed = new Map<string, Set<string>>();
	const list = (file: string, name: string): void => {
		let names = listed.get(file);
		if (names === undefined) listed.set(file, (names = new Set()));
		names.add(name);
	};

	for (const section of sections) {
		const say = (what: string): number => found.push(`${section.title}: ${what}`);
		const seen = new Set<string>();
		const count = [0, 0, 0];
		const last = new Map<string, { offset: number; name: string }>();
		for (const row of section.rows) {
			if (seen.has(row.c)) say(`${row.c} is listed twice`);
			seen.add(row.c);
			for (const [i, mark] of row.generations.entries()) {
				if (!["x", "~", "-"].includes(mark)) say(`${row.c}: a generation has ${mark || "no mark"}`);
				if (mark !== "-") count[i]!++;
			}
			if (row.symbols.length === 0 && !reason.test(row.here)) say(`${row.c} is nowhere, and no reason is given`);
			for (const symbol of row.symbols) {
				const file = symbol.file ?? section.files[0]!;
				const declaration = functionsIn(file).find((one) => one.name === symbol.name);
				if (declaration === undefined) {
					say(`${row.c}: ${file} has no function ${symbol.name}`);
					continue;
				}
				list(file, symbol.name);
				if (declaration.exported === symbol.isStatic)
					say(`${symbol.name} of ${file} is ${symbol.isStatic ? "exported" : "not exported"}`);
				const before = last.get(file);
				if (before !== undefined && before.offset > declaration.offset)
					say(`${symbol.name} comes before ${before.name} in ${file}, which is not upstream's order`);
				last.set(file, { offset: declaration.offset, name: symbol.name });
			}
		}
		if (section.counts !== null && section.counts.join() !== count.join())
			say(`lists ${count.join(", ")} functions of O, N, M; upstream has ${section.counts.join(", ")}`);
		for (const helper of section.helpers) {
			const file = section.files.find((one) => functionsIn(one).some((f) => f.name === helper));
			if (file === undefined) say(`there is no function ${helper}`);
			else list(file, helper);
		}
		for (const file of section.files) if (!listed.has(file)) listed.set(file, new Set());
	}
	const primary = new Set(sections.flatMap((section) => section.files));
	for (const file of primary)
		for (const { name } of functionsIn(file))
			if (!listed.get(file)!.has(name)) found.push(`${file}: ${name} is not listed`);
	return found;
}

const text = readProjectFile("PORTING.md");
const table = parse(text);

test("the tables and the sources agree", () => {
	expect(offences(text, readProjectFile)).toEqual([]);
});

test("every file of the driver that has functions is in a table", () => {
	const files = new Set(table.sections.flatMap((section) => section.files));
	const left = sourceFiles("src/dev/wg").filter(
		(file) => !files.has(file) && functionsOf(readProjectFile(file)).length > 0,
	);
	expect(left).toEqual([]);
});

describe("the check notices", () => {
	const file = "src/dev/wg/wg_cookie.ts";
	const with_source =
		(change: (source: string) => string): Read =>
		(name) =>
			name === file ? change(readProjectFile(file)) : readProjectFile(name);

	test.each<[string, (t: string) => string, (source: string) => string, string]>([
		[
			"a function that is gone",
			(t) => t,
			(s) => s.replace("function ratelimit_init(", "function ratelimit_start("),
			"has no function ratelimit_init",
		],
		[
			"a function nobody listed",
			(t) => t,
			(s) => `${s}\nexport function* cookie_maker_forget() {}\n`,
			"cookie_maker_forget is not listed",
		],
		["a row that is gone", (t) => t.replace(/^\| `make_cookie`.*\n/m, ""), (s) => s, "make_cookie is not listed"],
		["too few rows", (t) => t.replace(/^\| `make_cookie`.*\n/m, ""), (s) => s, "upstream has 23, 23, 23"],
		[
			"a row without a reason",
			(t) => t.replace(/^\| `make_cookie` \| `make_cookie`/m, "| `make_cookie` | none"),
			(s) => s,
			"make_cookie is nowhere",
		],
		[
			"another order",
			(t) => t,
			(s) =>
				`${s.replace("export function cookie_init(", "export function cookie_init_(")}\nexport function cookie_init() {}\n`,
			"cookie_deinit comes before cookie_init",
		],
		[
			"an export that is none",
			(t) => t,
			(s) => s.replace("export function precompute_key(", "function precompute_key("),
			"precompute_key of src/dev/wg/wg_cookie.ts is not exported",
		],
		[
			"a helper that is gone",
			(t) => t.replace("| same_ip |", "| same_address |"),
			(s) => s,
			"there is no function same_address",
		],
	])("%s", (_, change_text, change_source, message) => {
		const found = offences(change_text(text), with_source(change_source));
		expect(found.join("\n")).toContain(message);
	});
});

/** A module as it is loaded, not as it is written. */
function load(file: string): Promise<Record<string, unknown>> {
	return import(/* @vite-ignore */ path.join(root, file)) as Promise<Record<string, unknown>>;
}

describe("the modules, loaded", () => {
	test("export every function the tables name", async () => {
		const missing: string[] = [];
		for (const section of table.sections)
			for (const row of section.rows)
				for (const symbol of row.symbols) {
					const file = symbol.file ?? section.files[0]!;
					if (!symbol.isStatic && typeof (await load(file))[symbol.name] !== "function")
						missing.push(`${file}: ${symbol.name}`);
				}
		expect(missing).toEqual([]);
	});

	test("export no function the tables do not name", async () => {
		const named = new Set<string>();
		for (const section of table.sections) {
			for (const row of section.rows) for (const symbol of row.symbols) named.add(symbol.name);
			for (const helper of section.helpers) named.add(helper);
		}
		const unnamed: string[] = [];
		for (const file of new Set(table.sections.flatMap((section) => section.files))) {
			const source = readProjectFile(file);
			for (const [name, value] of Object.entries(await load(file))) {
				if (typeof value !== "function" || named.has(name)) continue;
				const isClass = /^class\b/.test(Function.prototype.toString.call(value));
				const isVariable = new RegExp(`^export const ${name}\\b[^=]*=\\s*(?:KERNEL_GLOBAL|VNET_DEFINE)\\b`, "m").test(
					source,
				);
				if (!isClass && !isVariable) unnamed.push(`${file}: ${name}`);
			}
		}
		expect(unnamed).toEqual([]);
	});

	test("export a class for every structure", async () => {
		const missing: string[] = [];
		for (const { name, file } of table.structures)
			if (typeof (await load(file!))[name] !== "function") missing.push(`${file}: ${name}`);
		expect(missing).toEqual([]);
		expect(table.structures.length).toBeGreaterThan(15);
	});
});

test("nothing of the driver is missing but what releases before 13 needed", () => {
	const missing = table.sections.flatMap(({ rows }) => rows.filter((row) => row.here.startsWith("missing")));
	expect(missing.map(({ c }) => c)).toEqual(["m_snd_tag_rele"]);
});

test("only the arithmetic inside crypto.c is somebody else's", () => {
	for (const { title, rows } of table.sections)
		if (rows.some((row) => row.here.startsWith("arithmetic"))) expect(title).toBe("crypto.c, crypto.h, wg_crypto.c");
});

describe("generations", () => {
	const entries = Object.keys(wg_generations.main).filter((entry) => entry !== "name" && entry !== "version");

	test("every entry of the table of generations is named where it matters", () => {
		expect(entries.filter((entry) => !text.includes(`\`${entry}\``))).toEqual([]);
	});

	test("a row that differs says how", () => {
		const silent: string[] = [];
		for (const section of table.sections)
			for (const row of section.rows)
				if (row.symbols.length > 0 && row.generations.includes("~") && row.differences === "") silent.push(row.c);
		expect(silent).toEqual([]);
	});
});

describe("behaviours that look wrong", () => {
	test.each(table.quirks.map((quirk) => [quirk.id, quirk] as const))("%s is kept, and shown by a test", (_, quirk) => {
		if (/^not kept: \S/.test(quirk.kept)) return;
		const symbols = symbolsOf(quirk.kept);
		expect(symbols.length).toBeGreaterThan(0);
		for (const symbol of symbols) {
			const file = symbol.file ?? "src/dev/wg/if_wg.ts";
			expect(readProjectFile(file), `${file} has ${symbol.name}`).toMatch(new RegExp(`\\b${symbol.name}\\b`));
		}
		const shown = /^`(test\/[^`]+)`: (.+)$/.exec(quirk.shown);
		expect(shown, quirk.shown).not.toBe(null);
		expect(readProjectFile(shown![1]!)).toContain(`"${shown![2]!}"`);
	});

	test("none of the known ones is left out", () => {
		const ids = table.quirks.map((quirk) => quirk.id);
		// T6 was never given; the rest were mended before the oldest generation here
		const tree = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11].map((n) => `BZ-T${n}`);
		const known = [...Array.from({ length: 22 }, (_, i) => `L-${i + 1}`), "BZ-62", "BZ-71", "BZ-72", ...tree];
		expect(known.filter((id) => !ids.includes(id))).toEqual([]);
		expect(new Set(ids).size).toBe(ids.length);
	});
});
