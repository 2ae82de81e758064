/** Syntax trees (ESTree, as acorn reads and astring writes them): how to walk them, and how to make the nodes the compiler adds. */
import type {
	AssignmentExpression,
	BlockStatement,
	Expression,
	ExpressionStatement,
	Function as FunctionNode,
	Identifier,
	IfStatement,
	LabeledStatement,
	Literal,
	MemberExpression,
	Node,
	Pattern,
	SimpleCallExpression,
	Statement,
} from "estree";

/** Where it stands in the source; a node the compiler made stands nowhere. */
export function position(node: Node): number | undefined {
	return (node as { start?: number }).start;
}

/** Where it ends in the source it was parsed from. */
export function end(node: Node): number {
	return (node as unknown as { end: number }).end;
}

/** The nodes directly below `node`. */
export function children(node: Node): Node[] {
	const found: Node[] = [];
	for (const value of Object.values(node) as unknown[]) {
		for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) found.push(child);
	}
	return found;
}

function isNode(value: unknown): value is Node {
	return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

export function isFunction(node: Node): node is FunctionNode {
	return (
		node.type === "FunctionDeclaration" || node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression"
	);
}

export function isLoop(node: Node): boolean {
	return (
		node.type === "ForStatement" ||
		node.type === "ForInStatement" ||
		node.type === "ForOfStatement" ||
		node.type === "WhileStatement" ||
		node.type === "DoWhileStatement"
	);
}

const pointsOf = new WeakMap<Node, number>();

/** How many points a node of the source has where its function may wait: its `yield`s, those of inner functions left out. */
export function points(node: Node): number {
	let count = pointsOf.get(node);
	if (count === undefined) {
		count = node.type === "YieldExpression" ? 1 : 0;
		for (const child of children(node)) if (!isFunction(child)) count += points(child);
		pointsOf.set(node, count);
	}
	return count;
}

/** The names a pattern binds. */
export function patternNames(pattern: Pattern, names: Identifier[] = []): Identifier[] {
	switch (pattern.type) {
		case "Identifier":
			names.push(pattern);
			break;
		case "ObjectPattern":
			for (const property of pattern.properties) {
				patternNames(property.type === "RestElement" ? property.argument : property.value, names);
			}
			break;
		case "ArrayPattern":
			for (const element of pattern.elements) if (element !== null) patternNames(element, names);
			break;
		case "AssignmentPattern":
			patternNames(pattern.left, names);
			break;
		case "RestElement":
			patternNames(pattern.argument, names);
			break;
	}
	return names;
}

/** The variables that `node` itself assigns to: not by what is in it, and not by declaring them. */
export function assignedBy(node: Node): string[] {
	if (node.type === "AssignmentExpression") return patternNames(node.left).map(({ name }) => name);
	if (node.type === "UpdateExpression" && node.argument.type === "Identifier") return [node.argument.name];
	return [];
}

export function name(of: string): Identifier {
	return { type: "Identifier", name: of };
}

export function literal(value: number | boolean | null): Literal {
	return { type: "Literal", value, raw: String(value) };
}

export function assign(left: Pattern, right: Expression): AssignmentExpression {
	return { type: "AssignmentExpression", operator: "=", left, right };
}

export function evaluate(expression: Expression): ExpressionStatement {
	return { type: "ExpressionStatement", expression };
}

export function equal(left: Expression, right: Expression): Expression {
	return { type: "BinaryExpression", operator: "===", left, right };
}

export function differ(left: Expression, right: Expression): Expression {
	return { type: "BinaryExpression", operator: "!==", left, right };
}

export function both(left: Expression, right: Expression): Expression {
	return { type: "LogicalExpression", operator: "&&", left, right };
}

export function either(left: Expression, right: Expression): Expression {
	return { type: "LogicalExpression", operator: "||", left, right };
}

export function not(argument: Expression): Expression {
	return { type: "UnaryExpression", operator: "!", prefix: true, argument };
}

export function negative(argument: Expression): Expression {
	return { type: "UnaryExpression", operator: "-", prefix: true, argument };
}

export function choose(test: Expression, consequent: Expression, alternate: Expression): Expression {
	return { type: "ConditionalExpression", test, consequent, alternate };
}

export function member(object: Expression, property: string): MemberExpression {
	return { type: "MemberExpression", object, property: name(property), computed: false, optional: false };
}

export function element(object: Expression, property: Expression): MemberExpression {
	return { type: "MemberExpression", object, property, computed: true, optional: false };
}

export function call(callee: Expression, ...args: Expression[]): SimpleCallExpression {
	return { type: "CallExpression", callee, arguments: args, optional: false };
}

export function block(body: Statement[]): BlockStatement {
	return { type: "BlockStatement", body };
}

export function when(test: Expression, consequent: Statement, alternate: Statement | null = null): IfStatement {
	return { type: "IfStatement", test, consequent, alternate };
}

export function labelled(label: string, body: Statement): LabeledStatement {
	return { type: "LabeledStatement", label: name(label), body };
}

export function leave(label: string): Statement {
	return { type: "BreakStatement", label: name(label) };
}

export function giveBack(argument: Expression | null): Statement {
	return { type: "ReturnStatement", argument };
}

/** `let` or `const` names, with their first values. */
export function declare(kind: "let" | "const", names: ReadonlyMap<string, Expression | null>): Statement {
	return {
		type: "VariableDeclaration",
		kind,
		declarations: [...names].map(([of, init]) => ({ type: "VariableDeclarator" as const, id: name(of), init })),
	};
}

export type { FunctionNode };
