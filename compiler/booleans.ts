/**
 * Asks whether a boolean is true: of `if (waits(td))` it makes `if (waits(td) === true)`, and of `!td.td_exited` then `td.td_exited !== true`.
 *
 * What a function gives back and what is in a field may be anything, as far as the host knows, and it goes through all that counts as
 * false: undefined, an empty string, a zero of either kind. That it is `true`, it sees at once. A kernel linked like that needs a fiftieth fewer
 * instructions for a packet.
 */
import { parse } from "acorn";
import { analyze } from "eslint-scope";
import type { Expression, FunctionExpression, Node, Program, Super } from "estree";
import { type Edit, edited } from "./edit.ts";
import { children, end, isFunction, position } from "./node.ts";

const COMPARISONS: ReadonlySet<string> = new Set(["===", "!==", "==", "!=", "<", ">", "<=", ">=", "in", "instanceof"]);

/** Functions of a module that never give back anything but a boolean, and fields of its objects that never hold anything else. */
class Booleans {
	private readonly functions = new Set<FunctionExpression>();
	/** which of these an identifier stands for */
	private readonly named = new Map<Node, FunctionExpression>();
	/** what is assigned to fields of a name; null: who knows */
	private readonly fields = new Map<string, (Node | null)[]>();

	constructor(program: Program) {
		const { scopes } = analyze(program, { ecmaVersion: 2022, sourceType: "module" });
		const top = scopes.find(({ type }) => type === "module")!;
		for (const statement of program.body) {
			if (statement.type !== "VariableDeclaration" || statement.kind !== "const") continue;
			for (const { id, init } of statement.declarations) {
				if (id.type !== "Identifier" || init?.type !== "FunctionExpression") continue;
				this.functions.add(init);
				for (const { identifier } of top.set.get(id.name)!.references) this.named.set(identifier as Node, init);
			}
		}
		const visit = (node: Node): void => {
			this.look(node);
			for (const child of children(node)) visit(child);
		};
		visit(program);
		this.narrow();
	}

	/** Notes what `node` makes a field hold. */
	private look(node: Node): void {
		const note = (key: Node, computed: boolean, value: Node | null): void => {
			if (computed || key.type !== "Identifier") return;
			const values = this.fields.get(key.name);
			if (values === undefined) this.fields.set(key.name, [value]);
			else values.push(value);
		};
		if (node.type === "AssignmentExpression" && node.left.type === "MemberExpression") {
			note(node.left.property, node.left.computed, node.operator === "=" ? node.right : null);
		} else if (node.type === "UpdateExpression" && node.argument.type === "MemberExpression") {
			note(node.argument.property, node.argument.computed, null);
		} else if (node.type === "Property") {
			note(node.key, node.computed, node.value);
		} else if (node.type === "PropertyDefinition") {
			note(node.key, node.computed, node.value ?? null);
		} else if (node.type === "MethodDefinition") {
			note(node.key, node.computed, null);
		}
	}

	/** Begins with all of them, and leaves out which are not, until there are none of these any more. */
	private narrow(): void {
		for (let before = -1; before !== this.functions.size + this.fields.size; ) {
			before = this.functions.size + this.fields.size;
			for (const body of this.functions) if (!this.givesBack(body)) this.functions.delete(body);
			for (const [name, values] of this.fields) {
				if (!values.every((value) => value !== null && this.has(value))) this.fields.delete(name);
			}
		}
	}

	private givesBack({ body, async, generator }: FunctionExpression): boolean {
		const last = body.body.at(-1)?.type;
		if (async || generator || (last !== "ReturnStatement" && last !== "ThrowStatement")) return false;
		const visit = (node: Node): boolean => {
			if (node.type === "ReturnStatement") return Boolean(node.argument && this.has(node.argument));
			return isFunction(node) || children(node).every(visit);
		};
		return visit(body);
	}

	/** Whether it is a boolean, whatever happens. */
	has(node: Node): boolean {
		switch (node.type) {
			case "Literal":
				return typeof node.value === "boolean";
			case "UnaryExpression":
				return node.operator === "!";
			case "BinaryExpression":
				return COMPARISONS.has(node.operator);
			case "LogicalExpression":
				return node.operator !== "??" && this.has(node.left) && this.has(node.right);
			case "ConditionalExpression":
				return this.has(node.consequent) && this.has(node.alternate);
			default:
				return this.asked(node);
		}
	}

	/** Whether it is one that the host does not know for a boolean. */
	asked(node: Node): node is Expression {
		if (node.type === "CallExpression") {
			const called = this.named.get(node.callee);
			return called !== undefined && this.functions.has(called);
		}
		if (node.type !== "MemberExpression" || node.computed || node.optional) return false;
		return node.property.type === "Identifier" && this.fields.has(node.property.name);
	}
}

/** An expression the value of which counts only as true or false, at most. */
function tests(node: Node): (Expression | Super)[] {
	switch (node.type) {
		case "IfStatement":
		case "WhileStatement":
		case "DoWhileStatement":
		case "ConditionalExpression":
			return [node.test];
		case "ForStatement":
			return node.test ? [node.test] : [];
		case "LogicalExpression":
			return node.operator === "??" ? [] : [node.left];
		default:
			return [];
	}
}

/** Makes the booleans of a linked module comparisons wherever they decide something. */
export function compareBooleans(code: string): string {
	const program = parse(code, { ecmaVersion: "latest", sourceType: "module", ranges: true }) as unknown as Program;
	const booleans = new Booleans(program);
	const edits: Edit[] = [];
	const compared = new Set<Node>();
	const compare = (node: Node): void => {
		if (compared.has(node)) return;
		compared.add(node);
		if (node.type === "LogicalExpression" && node.operator !== "??") {
			compare(node.left);
			compare(node.right);
		} else if (node.type === "UnaryExpression" && node.operator === "!") {
			if (booleans.asked(node.argument)) {
				const from = position(node)!;
				edits.push({ from, to: from + 1, text: "" }, { from: end(node), to: end(node), text: " !== true" });
			} else {
				compare(node.argument);
			}
		} else if (booleans.asked(node)) {
			edits.push({ from: end(node), to: end(node), text: " === true" });
		}
	};
	const visit = (node: Node): void => {
		for (const test of tests(node)) compare(test);
		for (const child of children(node)) visit(child);
	};
	visit(program);
	return edited(code, edits);
}
