/** From an expression to a function that computes it: names and types are settled before the run, only values remain. */
import { curkernel, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { curcpu, curthread } from "../../src/kernel/sched/thread.ts";
import type { Value } from "./aggregation.ts";
import { suggest, wrong } from "./errors.ts";
import { fieldNames, fieldType, isStruct } from "./structs.ts";
import type { Expression } from "./syntax.ts";

/** The arguments a probe was fired with. */
export type Frame = readonly unknown[];

/** An expression ready to be computed: a number, a text, or a kernel structure with fields to read. */
export interface Compiled {
	/** "number", "string", or the name of a structure */
	readonly type: string;
	readonly read: (frame: Frame) => unknown;
}

export interface CompiledNumber extends Compiled {
	readonly read: (frame: Frame) => number;
}

export interface CompiledValue extends Compiled {
	readonly read: (frame: Frame) => Value;
}

/** A variable of the program; its type is that of what was first assigned to it. */
export interface Variable {
	readonly type: "number" | "string";
	/** types of its keys; null if it is no array */
	readonly keys: readonly string[] | null;
	/** its value, or its elements' by key; those of self-> by thread */
	readonly values: Map<unknown, Value>;
}

/** Something went wrong in the middle of a run: this firing of the probe counts for nothing. */
export class Fault extends Error {}

/** What names mean in a clause. */
export interface Scope {
	readonly text: string;
	/** the probe's name and arguments */
	readonly probe: string;
	readonly parameters: readonly { readonly name: string; readonly type: string }[];
	/** name to variable, those there are so far; those of threads begin with "self->" */
	readonly variables: Map<string, Variable>;
	/** names of all that are assigned to anywhere in the program */
	readonly assigned: ReadonlySet<string>;
	readonly policy: string;
	readonly seed: number;
}

/** What every probe knows besides its arguments. */
export const BUILTINS = {
	timestamp: {
		type: "number",
		description: "ns since boot: by the running thread's clock, with sched::: by the machine's",
	},
	cpu: { type: "number", description: "the CPU the probe fires on" },
	curthread: { type: "thread", description: "the running thread" },
	execname: { type: "string", description: "its name" },
	tid: { type: "number", description: "its number" },
	jailname: { type: "string", description: "the jail whose network it is in" },
	probename: { type: "string", description: "the probe, in full" },
	policy: { type: "string", description: "the run's policy" },
	seed: { type: "number", description: "the run's seed" },
} as const;

type BuiltinName = keyof typeof BUILTINS;

/** The value of a built-in; those of the run are constants. */
function builtin(name: BuiltinName, { probe, policy, seed }: Scope): (frame: Frame) => unknown {
	switch (name) {
		case "timestamp":
			// the scheduler acts when the machine gets there, though the thread that asks it to may be ahead
			return probe.startsWith("sched:::") ? () => curkernel.machine.now : () => sbinuptime();
		case "cpu":
			return () => curcpu();
		case "curthread":
			return () => curthread;
		case "execname":
			return () => curthread.td_name;
		case "tid":
			return () => curthread.td_tid;
		case "jailname":
			return () => curthread.td_vnet?.vnet_name ?? "";
		case "probename":
			return () => probe;
		case "policy":
			return () => policy;
		case "seed":
			return () => seed;
	}
}

function hexadecimal(bytes: Uint8Array): string {
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function dotted(address: number): string {
	return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}

/** A value of a probe or a structure as a program sees it; what is not there is 0 or an empty text. */
function reader(type: string, raw: (frame: Frame) => unknown): Compiled {
	switch (type) {
		case "number":
			return { type: "number", read: (frame) => (raw(frame) as number | null) ?? 0 };
		case "boolean":
			return { type: "number", read: (frame) => (raw(frame) ? 1 : 0) };
		case "string":
			return { type: "string", read: (frame) => (raw(frame) as string | null) ?? "" };
		case "in_addr":
			return { type: "string", read: (frame) => dotted((raw(frame) as number | null) ?? 0) };
		case "bytes":
			return { type: "string", read: (frame) => hexadecimal((raw(frame) as Uint8Array | null) ?? new Uint8Array()) };
		case "function":
			return { type: "string", read: (frame) => (raw(frame) as { name: string } | null)?.name ?? "" };
		case "object":
			return { type: "string", read: (frame) => (raw(frame) as object | null)?.constructor.name ?? "" };
		default:
			return { type, read: raw };
	}
}

function fieldOf(scope: Scope, expression: Extract<Expression, { kind: "field" }>): Compiled {
	const object = compileExpression(scope, expression.object);
	const { field, at } = expression;
	if (!isStruct(object.type)) return wrong(scope.text, at, `${described(object.type)} has no fields`);
	const type = fieldType(object.type, field);
	if (type === undefined) {
		return wrong(scope.text, at, `no ${field} in ${object.type}${suggest(field, fieldNames(object.type))}`);
	}
	const { read } = object;
	return reader(type, (frame) => {
		const value = read(frame) as Record<string, unknown> | null | undefined;
		return value === null || value === undefined ? null : value[field];
	});
}

/** What something that is no number or text is called. */
function described(type: string): string {
	return type === "number" || type === "string" ? `a ${type === "string" ? "text" : type}` : `a ${type}`;
}

/** A variable to read. One that is read before its first assignment is a number: it begins as 0. */
function variableOf(scope: Scope, name: string, keys: readonly string[] | null): Variable | undefined {
	const variable = scope.variables.get(name);
	if (variable !== undefined || !scope.assigned.has(name)) return variable;
	const fresh: Variable = { type: "number", keys, values: new Map() };
	scope.variables.set(name, fresh);
	return fresh;
}

function nameOf(scope: Scope, name: string, at: number): Compiled {
	const index = scope.parameters.findIndex((parameter) => parameter.name === name);
	if (index >= 0) return reader(scope.parameters[index].type, (frame) => frame[index]);
	const variable = variableOf(scope, name, null);
	if (variable !== undefined) {
		if (variable.keys !== null) return wrong(scope.text, at, `${name} is an array; write ${name}[key]`);
		const { type, values } = variable;
		const nothing = type === "number" ? 0 : "";
		return { type, read: () => values.get("") ?? nothing };
	}
	if (Object.hasOwn(BUILTINS, name)) {
		return { type: BUILTINS[name as BuiltinName].type, read: builtin(name as BuiltinName, scope) };
	}
	const known = [...scope.parameters.map((parameter) => parameter.name), ...scope.assigned];
	const all = [...new Set([...known, ...Object.keys(BUILTINS)])];
	return wrong(scope.text, at, `${scope.probe} has no ${name}${suggest(name, all)}`);
}

/** The id of an array's element. */
export function elementKey(
	scope: Scope,
	keys: readonly Expression[],
): { types: string[]; read: (frame: Frame) => Value } {
	const compiled = keys.map((key) => compileValue(scope, key, "a key"));
	const types = compiled.map(({ type }) => type);
	if (compiled.length === 1) return { types, read: compiled[0].read };
	return { types, read: (frame) => JSON.stringify(compiled.map(({ read }) => read(frame))) };
}

function elementOf(scope: Scope, expression: Extract<Expression, { kind: "element" }>): Compiled {
	const { name, keys, at } = expression;
	if (name === "args") {
		const [key] = keys;
		const parameter = key.kind === "number" && keys.length === 1 ? scope.parameters[key.value] : undefined;
		if (parameter === undefined) {
			return wrong(scope.text, at, `${scope.probe} has ${scope.parameters.length} arguments, args[0] on`);
		}
		return nameOf(scope, parameter.name, at);
	}
	const { types, read } = elementKey(scope, keys);
	const variable = variableOf(scope, name, types);
	if (variable === undefined) return wrong(scope.text, at, `nothing is ever assigned to ${name}[]`);
	if (variable.keys?.join() !== types.join()) {
		return wrong(scope.text, at, `${name} is used with other keys before`);
	}
	const { type, values } = variable;
	const nothing = type === "number" ? 0 : "";
	return { type, read: (frame) => values.get(read(frame)) ?? nothing };
}

function selfOf(scope: Scope, name: string, at: number): Compiled {
	const variable = variableOf(scope, `self->${name}`, null);
	if (variable === undefined) return wrong(scope.text, at, `nothing is ever assigned to self->${name}`);
	const { type, values } = variable;
	const nothing = type === "number" ? 0 : "";
	return { type, read: () => values.get(curthread) ?? nothing };
}

/** A number that is exact; others would only look like a result. */
export function whole(n: number): number {
	if (!Number.isSafeInteger(n)) throw new Fault("a number beyond 2^53");
	return n;
}

/** Bits are those of 64-bit numbers. */
function bits(operation: (a: bigint, b: bigint) => bigint): (a: number, b: number) => number {
	return (a, b) => Number(BigInt.asIntN(64, operation(BigInt(whole(a)), BigInt(whole(b)))));
}

function divided(operation: (a: number, b: number) => number): (a: number, b: number) => number {
	return (a, b) => {
		if (b === 0) throw new Fault("division by zero");
		return operation(a, b) + 0;
	};
}

function shift(operation: (a: bigint, b: bigint) => bigint): (a: number, b: number) => number {
	const shifted = bits(operation);
	return (a, b) => shifted(a, ((b % 64) + 64) % 64);
}

/** Numbers in C's way: whole, division cuts towards 0. */
const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
	"+": (a, b) => a + b,
	"-": (a, b) => a - b,
	"*": (a, b) => a * b,
	"/": divided((a, b) => Math.trunc(a / b)),
	"%": divided((a, b) => a % b),
	"&": bits((a, b) => a & b),
	"|": bits((a, b) => a | b),
	"^": bits((a, b) => a ^ b),
	"<<": shift((a, b) => a << b),
	">>": shift((a, b) => a >> b),
};

const COMPARISONS: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
	"==": (a, b) => a === b,
	"!=": (a, b) => a !== b,
	"<": (a, b) => a < b,
	"<=": (a, b) => a <= b,
	">": (a, b) => a > b,
	">=": (a, b) => a >= b,
};

function binaryOf(scope: Scope, expression: Extract<Expression, { kind: "binary" }>): CompiledNumber {
	const { operator, at } = expression;
	if (operator === "&&" || operator === "||" || operator === "^^") {
		const left = compileTruth(scope, expression.left);
		const right = compileTruth(scope, expression.right);
		if (operator === "&&") return { type: "number", read: (frame) => (left(frame) && right(frame) ? 1 : 0) };
		if (operator === "||") return { type: "number", read: (frame) => (left(frame) || right(frame) ? 1 : 0) };
		return { type: "number", read: (frame) => (left(frame) !== right(frame) ? 1 : 0) };
	}
	const compare = COMPARISONS[operator];
	if (compare !== undefined) {
		const left = compileValue(scope, expression.left, `the left of ${operator}`);
		const right = compileValue(scope, expression.right, `the right of ${operator}`);
		if (left.type !== right.type) {
			return wrong(scope.text, at, `${operator} compares ${described(left.type)} with ${described(right.type)}`);
		}
		return { type: "number", read: (frame) => (compare(left.read(frame), right.read(frame)) ? 1 : 0) };
	}
	const compute = ARITHMETIC[operator];
	const left = compileNumber(scope, expression.left, `the left of ${operator}`);
	const right = compileNumber(scope, expression.right, `the right of ${operator}`);
	return { type: "number", read: (frame) => compute(left.read(frame), right.read(frame)) };
}

function unaryOf(scope: Scope, { operator, operand }: Extract<Expression, { kind: "unary" }>): CompiledNumber {
	if (operator === "!") {
		const truth = compileTruth(scope, operand);
		return { type: "number", read: (frame) => (truth(frame) ? 0 : 1) };
	}
	const { read } = compileNumber(scope, operand, `what is after ${operator}`);
	if (operator === "-") return { type: "number", read: (frame) => 0 - read(frame) };
	if (operator === "~") return { type: "number", read: (frame) => -1 - read(frame) };
	return { type: "number", read };
}

/** A number that is not 0, a text that is not empty, a structure that is there. */
export function compileTruth(scope: Scope, expression: Expression): (frame: Frame) => boolean {
	const { read } = compileExpression(scope, expression);
	return (frame) => Boolean(read(frame));
}

/** An expression that must be a number or a text. */
export function compileValue(scope: Scope, expression: Expression, what: string): CompiledValue {
	const compiled = compileExpression(scope, expression);
	if (isStruct(compiled.type)) {
		const fields = fieldNames(compiled.type).join(", ");
		return wrong(scope.text, expression.at, `${what} is a ${compiled.type}; name one of its fields: ${fields}`);
	}
	return compiled as CompiledValue;
}

export function compileNumber(scope: Scope, expression: Expression, what: string): CompiledNumber {
	const compiled = compileValue(scope, expression, what);
	if (compiled.type !== "number") return wrong(scope.text, expression.at, `${what} must be a number, not a text`);
	return compiled as CompiledNumber;
}

export function compileExpression(scope: Scope, expression: Expression): Compiled {
	switch (expression.kind) {
		case "number":
		case "string": {
			const { kind, value } = expression;
			return { type: kind, read: () => value };
		}
		case "name":
			return nameOf(scope, expression.name, expression.at);
		case "self":
			return selfOf(scope, expression.name, expression.at);
		case "element":
			return elementOf(scope, expression);
		case "field":
			return fieldOf(scope, expression);
		case "unary":
			return unaryOf(scope, expression);
		case "binary":
			return binaryOf(scope, expression);
		case "choice": {
			const test = compileTruth(scope, expression.test);
			const yes = compileValue(scope, expression.yes, "the value after ?");
			const no = compileValue(scope, expression.no, "the value after :");
			if (yes.type !== no.type) return wrong(scope.text, expression.at, "both values of a ? must be of one type");
			return { type: yes.type, read: (frame) => (test(frame) ? yes : no).read(frame) };
		}
	}
}
