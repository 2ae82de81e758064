/**
 * What is done with a function that cannot become a plain one: it stays a generator, and a plain function around it runs that.
 * Needed where something is caught, or tidied up, that is thrown while the function waits.
 */
import type { Expression, Node, YieldExpression } from "estree";
import { assign, block, call, choose, declare, type FunctionNode, giveBack, isFunction, member, name } from "./node.ts";
import { GENERATOR, isSuspended, RESULT } from "./runtime.ts";

const ARGUMENTS = "$arguments";

/** `yield* call` becomes: call it, and yield only if it has to wait. */
function waitFor(delegating: YieldExpression): Expression {
	const pause: YieldExpression = { type: "YieldExpression", delegate: false, argument: null };
	return choose(isSuspended(assign(name(RESULT), delegating.argument as Expression)), pause, name(RESULT));
}

function replaceIn(node: Node): void {
	if (node.type === "Super") throw new SyntaxError("a function that uses `super` cannot stay a generator");
	const slots = node as unknown as Record<string, unknown>;
	const visit = (value: unknown): unknown => {
		if (Array.isArray(value)) return value.map(visit);
		if (typeof value !== "object" || value === null || typeof (value as Node).type !== "string") return value;
		const child = value as Node;
		if (isFunction(child)) return child;
		replaceIn(child);
		return child.type === "YieldExpression" && child.delegate ? waitFor(child) : child;
	};
	for (const key of Object.keys(slots)) slots[key] = visit(slots[key]);
}

/** Wraps `fn`, in place; `called` is its name in a stack trace. */
export function keepGenerator(fn: FunctionNode, called: string): void {
	if (fn.body.type !== "BlockStatement") throw new SyntaxError("an arrow function is no generator");
	replaceIn(fn.body);
	const inner: Expression = {
		type: "FunctionExpression",
		id: name(`$${called}0`),
		generator: true,
		async: false,
		params: fn.params,
		body: block([declare("let", new Map([[RESULT, null]])), ...fn.body.body]),
	};
	const iterator = call(member(inner, "apply"), { type: "ThisExpression" }, name(ARGUMENTS));
	fn.generator = false;
	fn.params = [{ type: "RestElement", argument: name(ARGUMENTS) }];
	fn.body = block([giveBack(call(name(GENERATOR), iterator, { type: "Literal", value: called }))]);
}
