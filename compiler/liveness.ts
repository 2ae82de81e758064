/**
 * Which variables a function needs again after each of its waits: no others are worth saving.
 *
 * The analysis goes backwards through the compiled statements. Loops and branches that come from the source unchanged hold no wait,
 * so of them it is enough to know what they mention.
 */
import type { Expression, Node, Statement, SwitchStatement } from "estree";
import { children, position } from "./node.ts";

/** A place where a compiled function gives up its CPU. */
export interface Point {
	/** the call that may wait; null for a bare `yield`, which always does */
	readonly awaited: Expression | null;
	/** found here: the variables needed afterwards */
	readonly live: Set<string>;
}

type Names = ReadonlySet<string>;

export class Liveness {
	private readonly variables: Names;
	private readonly points: ReadonlyMap<Statement, Point>;
	/** switches that only say where to go on */
	private readonly entries: ReadonlySet<SwitchStatement>;
	private readonly breaks = new Map<string, Names>();
	private readonly continues = new Map<string, Names>();
	private readonly mentions = new WeakMap<Node, Names>();

	constructor(variables: Names, points: ReadonlyMap<Statement, Point>, entries: ReadonlySet<SwitchStatement>) {
		this.variables = variables;
		this.points = points;
		this.entries = entries;
	}

	/** What is needed before `statements`, if `out` is needed after them. Sets `live` of the points in them. */
	list(statements: readonly Statement[], out: Names): Names {
		let live = out;
		for (let i = statements.length - 1; i >= 0; i--) live = this.statement(statements[i], live);
		return live;
	}

	private statement(statement: Statement, out: Names): Names {
		const point = this.points.get(statement);
		if (point !== undefined) {
			for (const name of out) point.live.add(name);
			return point.awaited === null ? out : this.with(out, point.awaited);
		}
		if (position(statement) !== undefined && !isSimple(statement)) return this.unchanged(statement, out);
		switch (statement.type) {
			case "ExpressionStatement": {
				const { expression } = statement;
				if (
					expression.type !== "AssignmentExpression" ||
					expression.operator !== "=" ||
					expression.left.type !== "Identifier"
				) {
					return this.with(out, expression);
				}
				const before = new Set(out);
				before.delete(expression.left.name);
				return this.with(before, expression.right);
			}
			case "IfStatement": {
				const yes = this.statement(statement.consequent, out);
				const no = statement.alternate ? this.statement(statement.alternate, out) : out;
				return this.with(union(yes, no), statement.test);
			}
			case "BlockStatement":
				return this.list(statement.body, out);
			case "LabeledStatement":
				this.breaks.set(statement.label.name, out);
				return isCompiledLoop(statement.body)
					? this.loop(statement.label.name, statement.body, out)
					: this.statement(statement.body, out);
			case "SwitchStatement": {
				let live = out;
				if (this.entries.has(statement)) {
					for (let i = statement.cases.length - 1; i >= 0; i--) live = this.list(statement.cases[i].consequent, live);
					return live;
				}
				let before = out;
				for (let i = statement.cases.length - 1; i >= 0; i--) {
					live = this.list(statement.cases[i].consequent, live);
					before = union(before, live);
				}
				return this.with(before, statement.discriminant);
			}
			case "BreakStatement":
				return this.breaks.get(statement.label?.name ?? "") ?? out;
			case "ContinueStatement":
				return this.continues.get(statement.label?.name ?? "") ?? out;
			case "ReturnStatement":
			case "ThrowStatement":
				return statement.argument ? this.with(new Set(), statement.argument) : new Set();
			default:
				return this.unchanged(statement, out);
		}
	}

	/** Round and round, until nothing is added. */
	private loop(label: string, loop: CompiledLoop, out: Names): Names {
		let head = loop.test ? this.with(out, loop.test) : out;
		for (;;) {
			const next = loop.type === "ForStatement" && loop.update ? this.with(head, loop.update) : head;
			this.continues.set(label, next);
			const again = union(head, this.statement(loop.body, next));
			if (again.size === head.size) return head;
			head = again;
		}
	}

	/** A statement as it was in the source: it may leave for outer loops of ours. */
	private unchanged(statement: Statement, out: Names): Names {
		let before = this.with(out, statement);
		const follow = (node: Node): void => {
			if (node.type === "BreakStatement" && node.label) before = union(before, this.breaks.get(node.label.name) ?? out);
			if (node.type === "ContinueStatement" && node.label) {
				before = union(before, this.continues.get(node.label.name) ?? out);
			}
			for (const child of children(node)) follow(child);
		};
		follow(statement);
		return before;
	}

	private with(names: Names, node: Node): Names {
		return union(names, this.mentioned(node));
	}

	private mentioned(node: Node): Names {
		let found = this.mentions.get(node);
		if (found === undefined) {
			const names = new Set<string>();
			if (node.type === "Identifier") {
				if (this.variables.has(node.name)) names.add(node.name);
			} else {
				for (const child of children(node)) {
					if (node.type === "MemberExpression" && child === node.property && !node.computed) continue;
					if (node.type === "Property" && child === node.key && !node.computed) continue;
					for (const name of this.mentioned(child)) names.add(name);
				}
			}
			found = names;
			this.mentions.set(node, found);
		}
		return found;
	}
}

/** A statement with no other in it: the same wherever it comes from. */
function isSimple(statement: Statement): boolean {
	switch (statement.type) {
		case "ExpressionStatement":
		case "ReturnStatement":
		case "ThrowStatement":
			return true;
		case "BreakStatement":
		case "ContinueStatement":
			return Boolean(statement.label);
		default:
			return false;
	}
}

type CompiledLoop = Extract<Statement, { type: "ForStatement" | "WhileStatement" | "DoWhileStatement" }>;

function isCompiledLoop(statement: Statement): statement is CompiledLoop {
	return (
		statement.type === "ForStatement" || statement.type === "WhileStatement" || statement.type === "DoWhileStatement"
	);
}

function union(a: Names, b: Names): Names {
	if (b.size === 0 || a === b) return a;
	const all = new Set(a);
	for (const name of b) all.add(name);
	return all;
}
