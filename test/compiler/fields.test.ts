/** Shared fields that code names are accessed by functions of the module's own; everything else that is called so, or is unusual, is left as it is. */
import { describe, expect, test } from "vitest";
import { compileModule } from "../../compiler/module.ts";

const ATOMIC = 'import { load, store } from "../kernel/lock/atomic.js";\n';
const compiled = (source: string): string => compileModule(source, { file: "m.js", runtime: "./frame.js" }).code;

test("each field gets its functions once, and they come from where load and store do", () => {
	const code = compiled(`${ATOMIC}
		function* f(a, b) { yield* store(a, "x", (yield* load(b, "x")) + (yield* load(a, "x"))); return yield* load(b, "y"); }
	`);
	expect(code).toMatch(
		/load_ready as \$load_ready, load_later as \$load_later, load_seen as \$load_seen, store_ready as \$store_ready/,
	);
	expect(code.match(/function \$\w+/g)).toEqual([
		"function $load_x",
		"function $load_x_now",
		"function $store_x",
		"function $store_x_now",
		"function $load_y",
		"function $load_y_now",
	]);
	expect(code).toContain("$load_x(b)");
	expect(code).not.toMatch(/\b(?:load|store)\(/);
});

test("by another name, too", () => {
	const code = compiled(
		'import { load as peek } from "./lock/atomic.ts"; function* f(a) { return yield* peek(a, "x"); }',
	);
	expect(code).toContain("$load_x(a)");
});

describe("left alone", () => {
	test.each<[string, string]>([
		["load of another module", 'import { load } from "./file.js"; function* f(a) { yield* load(a, "x"); }'],
		["a function of the module's own", 'function* load(a, x) { yield; } function* f(a) { yield* load(a, "x"); }'],
		["a parameter", `${ATOMIC} function* f(load, a) { yield* load(a, "x"); }`],
		["a variable", `${ATOMIC} function* f(a) { const { load } = a; yield* load(a, "x"); }`],
		["a field in a variable", `${ATOMIC} function* f(a, field) { yield* load(a, field); }`],
		["a name that is none in code", `${ATOMIC} function* f(a) { yield* load(a, "x-y"); }`],
		["an argument too many", `${ATOMIC} function* f(a, b) { yield* load(a, "x", b); }`],
		["arguments in a list", `${ATOMIC} function* f(a) { yield* load(...a, "x"); }`],
		["a method", `${ATOMIC} function* f(a) { yield* a.load(a, "x"); }`],
	])("%s", (_what, source) => {
		expect(compiled(source)).not.toContain("$load_");
	});
});
