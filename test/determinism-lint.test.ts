/**
 * Same seed, same result: nothing below `sim` may read a clock, a locale, the host's randomness or an engine's own arithmetic,
 * and nothing may run at a moment JavaScript chooses. And no committed file names the machine it was written on.
 */
import { describe, expect, test } from "vitest";
import { codeOnly, lineAt, projectFiles, readProjectFile, sourceFiles } from "./support/source.ts";

interface Rule {
	readonly name: string;
	/** Matched against code without comments and strings. */
	readonly pattern: RegExp;
}

const rules: readonly Rule[] = [
	{ name: "the host's clock", pattern: /(?<![.\w$])(?:Date\b|performance\s*\??\.)/g },
	{
		name: "the host's randomness",
		pattern:
			/(?<![\w$])(?:randomBytes|randomFillSync|randomUUID|randomInt|randomSecretKey|randomPrivateKey|getRandomValues)\b|\.\s*keygen\s*\(\s*\)|\bcrypto\s*\.\s*(?:subtle|webcrypto)\b/g,
	},
	// IEEE 754 fixes the result of these and of no other function of Math, random() least of all.
	{
		name: "a function of Math whose result engines may choose",
		pattern:
			/(?<![.\w$])Math\b(?!\s*\.\s*(?:abs|ceil|clz32|floor|fround|imul|max|min|round|sign|sqrt|trunc|E|PI|LN2|LN10)\b)/g,
	},
	{ name: "a power other than of a whole number literal", pattern: /\*\*=?(?!\s*\d[\d_]*n?(?![\w.]))/g },
	{
		name: "a moment the host chooses",
		pattern:
			/(?<![.\w$])(?:setTimeout|setInterval|setImmediate|queueMicrotask|requestAnimationFrame|requestIdleCallback|MessageChannel)\b/g,
	},
	{
		name: "a promise",
		pattern:
			/(?<![.\w$])(?:Promise\b|await\b(?!\s*[:?,;=)])|async\s+function\b|async\s*\*?\s*[\w$#[]*\s*\([^()]*\)\s*(?::[^={;]*)?(?:=>|\{)|async\s+[\w$]+\s*=>)/g,
	},
	{
		name: "the host",
		pattern:
			/(?<![.\w$])(?:(?:process|console|navigator)\s*\??[.[]|(?:globalThis|Buffer|__dirname|__filename)\b|require\s*\()/g,
	},
	{ name: "the locale", pattern: /(?<![.\w$])Intl\s*\.|\.\s*(?:toLocale\w*|localeCompare)\b/g },
	{ name: "the garbage collector", pattern: /(?<![.\w$])(?:WeakRef|FinalizationRegistry)\b/g },
	{ name: "a sort without a comparator", pattern: /\.\s*(?:sort|toSorted)\s*\(\s*\)/g },
];

function offences(file: string, text: string): string[] {
	const code = codeOnly(text);
	const lines = text.split("\n");
	return rules.flatMap(({ name, pattern }) =>
		Array.from(code.matchAll(pattern), (match) => {
			const line = lineAt(text, match.index);
			return `${file}:${line}: ${name}: ${lines[line - 1]!.trim()}`;
		}),
	);
}

describe("the scanner", () => {
	test.each([
		"const t = Date.now();",
		"const t = new Date();",
		"let when: Date;",
		"performance.now()",
		"Math.random()",
		"const { random } = Math;",
		'Math["random"]()',
		"Math.log(x)",
		"Math.log2(x)",
		"Math.exp(x)",
		"Math.pow(x, 2)",
		"Math.sin(x) + Math.cos(x)",
		"x ** y",
		"x ** 0.5",
		"x **= y",
		"crypto.randomBytes(32)",
		'import { randomBytes } from "@noble/hashes/utils.js";',
		"x25519.keygen()",
		"x25519.utils.randomSecretKey()",
		"setTimeout(f, 0)",
		"setInterval(f, 1)",
		"setImmediate(f)",
		"queueMicrotask(f)",
		"new Promise(f)",
		"let x: Promise<void>;",
		"async function f() {}",
		"class A { async f() {} }",
		"class A { async *f(): AsyncGenerator<void> {} }",
		"const f = async () => 1;",
		"const f = async x => 1;",
		"await f();",
		"for await (const x of y) {}",
		"process.env.HOME",
		"process?.exit()",
		'console.log("x")',
		"globalThis.x",
		"Buffer.from(x)",
		"new Intl.NumberFormat()",
		"n.toLocaleString()",
		"a.localeCompare(b)",
		"new WeakRef(x)",
		"new FinalizationRegistry(f)",
		"list.sort()",
		"list\n\t.toSorted( )",
		"`at ${Date.now()}`",
	])("catches %s", (snippet) => {
		expect(offences("x.ts", `const ok = 1;\n${snippet}\n`)).not.toEqual([]);
	});

	test.each([
		"// Date.now() is not allowed",
		"/** Math.random() neither */",
		'panic("process.exit");',
		"panic(`the console.log of ${name}`);",
		"Math.floor(x / y) * Math.imul(a, b) + Math.sqrt(c)",
		"2 ** 32 + 10 ** 9",
		"2n ** 64n",
		"crp.process(x); ops.async = true;",
		"const async = flags & CRYPTO_F_ASYNC;",
		"if (async) { x(); }",
		"class A { async: boolean = false; }",
		"arc4random_buf(buf)",
		"list.sort((a, b) => a - b)",
		"const update = lastUpdate; let pDate = 1; x.Date = 1;",
		"function crypto_process() {}",
		"x.keygen(seed)",
	])("lets %s pass", (snippet) => {
		expect(offences("x.ts", snippet)).toEqual([]);
	});

	test("names file, line, rule and text", () => {
		expect(offences("src/a.ts", "/* one\ntwo */\n\tlist.sort();\n")).toEqual([
			"src/a.ts:3: a sort without a comparator: list.sort();",
		]);
	});
});

test("nothing below sim depends on the host", () => {
	const files = sourceFiles("src");
	expect(files).toContain("src/kernel/errno.ts");
	expect(files.flatMap((file) => offences(file, readProjectFile(file)))).toEqual([]);
});

/** Absolute paths of a work place, and hosts packages come from: a lock file with one would install nowhere else. */
const elsewhere =
	/(?<![\w.~-])\/(?:work|tmp)\/|\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.[a-z]+|https?:\/\/[^/\s"']*(?:registry|artifactory|nexus|verdaccio)[^/\s"']*|\b(?:npm\.pkg\.github|pypi|proxy\.golang|index\.crates)\.(?:com|org|io)\b|"resolved":\s+"http/;

describe("no file names the machine it was written on, or a package registry", () => {
	const slash = "/";

	test.each([
		`see ${slash}work/main`,
		`"${slash}tmp/x.pcapng"`,
		`"resolved": ${JSON.stringify("https:".concat("//example.org/x.tgz"))}`,
		["https:", "", "registry.example.org", "x"].join(slash),
		["registry", "npmjs", "org"].join("."),
	])("catches %s", (text) => {
		expect(text).toMatch(elsewhere);
	});

	test.each(["docs/work/x", "https://example.org/tmp/x", "../tmp/x", "registry.nodes.set(x)"])(
		"lets %s pass",
		(text) => {
			expect(text).not.toMatch(elsewhere);
		},
	);

	test("in the whole project", () => {
		const found: string[] = [];
		for (const file of projectFiles("")) {
			readProjectFile(file)
				.split("\n")
				.forEach((line, index) => {
					if (elsewhere.test(line)) found.push(`${file}:${index + 1}: ${line.trim().slice(0, 160)}`);
				});
		}
		expect(found).toEqual([]);
	});
});
