import { expect, test } from "vitest";
import { codeOnly, importsOf } from "./source.ts";

test("comments and the insides of strings, templates and regular expressions are blanked, in place", () => {
	expect(codeOnly('a("x//y"); // z\nb')).toBe('a("    ");     \nb');
	expect(codeOnly("a /* b\nc */ d")).toBe("a     \n     d");
	expect(codeOnly("'it\\'s' + x")).toBe("'     ' + x");
	expect(codeOnly("x = /[/\"]'/g; y")).toBe("x = /     /g; y");
	expect(codeOnly("return /a/.test(b)")).toBe("return / /.test(b)");
});

test("a division is not a regular expression", () => {
	expect(codeOnly("a / b / c")).toBe("a / b / c");
	expect(codeOnly("(a) / b; c[0] / d")).toBe("(a) / b; c[0] / d");
	expect(codeOnly("noreturn / b / c")).toBe("noreturn / b / c");
});

test("code inside a template is code, however deep", () => {
	expect(codeOnly("`a${b({c: `d${e}`})}f`")).toBe("` ${b({c: ` ${e}`})} `");
	expect(codeOnly("`\\${a}` + b")).toBe("`     ` + b");
});

test("an unfinished comment, string or template does not run past the end", () => {
	for (const text of ["/*", '"a', '"a\\', "`a", "`${a", "x = /a", "//", "`\\"])
		expect(codeOnly(text)).toHaveLength(text.length);
});

test("every form of import is found, and none in a comment or a string", () => {
	const text = [
		'import "./a.ts";',
		'import type { b } from "./b.ts";',
		'import {\n\tc,\n} from "./c.ts";',
		"export * from './d.ts';",
		'type E = import("./e.ts").E;',
		'// import "./no.ts"',
		"x = 'import \"./no.ts\"';",
		'Array.from("no");',
	].join("\n");
	expect(importsOf(text).map(({ specifier }) => specifier)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts"]);
	expect(importsOf(text)[3]!.line).toBe(6);
});
