/** Messages of assertions are made when one fails, and only then; what is asserted is looked at as before. */
import { expect, test } from "vitest";
import { messagesOnFailure } from "../../compiler/assertions.ts";

/** Runs the statements of `body`. @returns what was looked at and made, in order, and what was thrown */
function run(body: string): string[] {
	const log: string[] = [];
	const KASSERT = (condition: boolean, message: string): void => {
		if (!condition) throw new Error(message);
	};
	const seen = (what: string, value: unknown): unknown => {
		log.push(what);
		return value;
	};
	try {
		new Function("KASSERT", "MPASS", "seen", messagesOnFailure(body))(KASSERT, KASSERT, seen);
	} catch (error) {
		log.push(`threw ${(error as Error).message}`);
	}
	return log;
}

test("a message is made when its assertion fails", () => {
	const asserts = (value: unknown, name = "KASSERT"): string =>
		`${name}(seen("condition", ${value}), \`it is \${seen("message", 1)}\`); seen("after");`;
	expect(run(asserts(true))).toEqual(["condition", "after"]);
	expect(run(asserts(false))).toEqual(["condition", "message", "threw it is 1"]);
	expect(run(asserts(true, "MPASS"))).toEqual(["condition", "after"]);
	expect(run(asserts(false, "MPASS"))).toEqual(["condition", "message", "threw it is 1"]);
});

test("a condition of parts stays one", () => {
	expect(run('KASSERT(seen("a", false) || seen("b", true), "x" + seen("message"));')).toEqual(["a", "b"]);
	expect(run('KASSERT((seen("a", 1), false), "x" + seen("message", ""));')).toEqual(["a", "message", "threw x"]);
	expect(run('if (seen("if", true)) KASSERT(true, `${1}`); else seen("else");')).toEqual(["if"]);
});

test.each([
	'KASSERT(x, "constant");',
	"MPASS(x);",
	"const y = KASSERT(x, `${z}`);",
	"a.KASSERT(x, `${z}`);",
	"assert(x, `${z}`);",
	"KASSERT(...x, `${z}`);",
])("left alone: %s", (code) => {
	expect(messagesOnFailure(code)).toBe(code);
});
