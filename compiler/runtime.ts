/** What compiled code uses of src/kernel/sched/frame.ts, and the names it uses it by. */
import type { Expression } from "estree";
import { element, equal, literal, member, name } from "./node.ts";

export const AT = "$at";
export const RESULT = "$result";
export const FRAME = "$frame";
export const RESUMPTION = "$resumption";
export const GENERATOR = "$generator";
export const WITH_THIS = "$with_this";

/** Frames come in sizes, by the number of variables in them; larger ones have a list. */
const SIZES = [0, 1, 2, 4, 9, 16] as const;

export function suspendName(variables: number): string {
	const size = SIZES.find((size) => variables <= size);
	return size === undefined ? "$suspend" : `$suspend${size}`;
}

/** Where in a frame of `variables` the one number `i` is. */
export function variableOf(variables: number, i: number): Expression {
	if (SIZES.some((size) => variables <= size)) return member(name(FRAME), `v${i}`);
	return element(member(name(FRAME), "v0"), literal(i));
}

/** What a function that only goes on is called with: its frame, and what came back from what it waited for. */
export const GOES_ON_WITH = [name(FRAME), name(RESULT)];

/** What the function is called that goes on with one of this name. */
export function resumedName(of: string): string {
	return `${of}$resumed`;
}

const IMPORTED = [
	"SUSPENDED",
	"resumption",
	"suspend",
	...SIZES.map((size) => `suspend${size}`),
	"with_this",
	"generator",
];

/** The statement a compiled module begins with: what of `used` it needs. */
export function importOf(used: ReadonlySet<string>, runtime: string): string {
	const names = IMPORTED.filter((one) => used.has(`$${one}`));
	if (names.length === 0) return "";
	return `import { ${names.map((one) => `${one} as $${one}`).join(", ")} } from ${JSON.stringify(runtime)};\n`;
}

/** Whether a result is SUSPENDED. */
export function isSuspended(result: Expression): Expression {
	return equal(result, name("$SUSPENDED"));
}
