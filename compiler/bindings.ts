/**
 * The variables of a function that may live across a wait.
 *
 * They are those declared in a statement list that waits somewhere. The compiled function declares all of them at its top, so
 * that a resumed one can set them before it jumps to where it was: two of the same name need two names then, and a closure must
 * not see that the variable it captured is a new one after each wait.
 */

import type { Expression, Identifier, Node, Pattern, Statement } from "estree";
import type { FunctionNode } from "./node.ts";
import { children, isFunction, patternNames, points, position } from "./node.ts";
import { Unsupported } from "./unsupported.ts";

class Binding {
	readonly name: string;
	/** declared in a list that waits: moved to the top of the function */
	readonly moved: boolean;
	/** declared in the function's own list, not in an inner one */
	readonly outermost: boolean;
	readonly in_loop: boolean;
	readonly declared: number;
	/** assignments after it has been declared */
	writes = 0;
	captured = false;
	/** the first place in a closure that names it */
	first_capture = Number.POSITIVE_INFINITY;
	readonly uses: Identifier[] = [];
	constructor(name: string, where: Partial<Omit<Binding, "name" | "uses">> = {}) {
		this.name = name;
		this.moved = where.moved ?? false;
		this.outermost = where.outermost ?? false;
		this.in_loop = where.in_loop ?? false;
		this.declared = where.declared ?? 0;
	}
}

class Scope {
	readonly up: Scope | null;
	/** the function it belongs to */
	readonly owner: FunctionNode;
	readonly in_loop: boolean;
	readonly bindings = new Map<string, Binding>();
	constructor(up: Scope | null, owner: FunctionNode, in_loop: boolean) {
		this.up = up;
		this.owner = owner;
		this.in_loop = in_loop;
	}
	find(of: string): Binding | null {
		for (let scope: Scope | null = this; scope !== null; scope = scope.up) {
			const binding = scope.bindings.get(of);
			if (binding !== undefined) return binding;
		}
		return null;
	}
}

class Resolver {
	/** names that mean something outside of the function, or are given away */
	readonly taken = new Set<string>();
	readonly moved: Binding[] = [];
	readonly parameters: Binding[] = [];
	private readonly fn: FunctionNode;

	constructor(fn: FunctionNode) {
		this.fn = fn;
		const scope = new Scope(null, fn, false);
		for (const parameter of fn.params) {
			for (const { name } of patternNames(parameter)) {
				const binding = new Binding(name);
				scope.bindings.set(name, binding);
				this.parameters.push(binding);
				this.taken.add(name);
			}
		}
		for (const parameter of fn.params) if (parameter.type !== "Identifier") this.pattern(parameter, scope, false);
		if (fn.body.type === "BlockStatement") this.list(fn.body.body, scope, false, true);
	}

	private declare(statements: readonly Node[], scope: Scope, moved: boolean, outermost: boolean): void {
		for (const statement of statements) {
			if (statement.type === "VariableDeclaration") {
				if (statement.kind === "var") throw new Unsupported("has a `var`");
				for (const declarator of statement.declarations) {
					for (const id of patternNames(declarator.id)) {
						const binding = new Binding(id.name, {
							moved,
							outermost,
							in_loop: scope.in_loop,
							declared: position(id) ?? 0,
						});
						scope.bindings.set(id.name, binding);
						if (moved) this.moved.push(binding);
					}
				}
			} else if (statement.type === "FunctionDeclaration") {
				scope.bindings.set(statement.id.name, new Binding(statement.id.name));
			}
		}
	}

	private list(statements: readonly Statement[], up: Scope, in_loop: boolean, outermost: boolean): void {
		const scope = new Scope(up, up.owner, in_loop);
		const moved = up.owner === this.fn && (outermost || statements.some((statement) => points(statement) > 0));
		this.declare(statements, scope, moved, outermost);
		for (const statement of statements) this.walk(statement, scope);
	}

	private use(id: Identifier, scope: Scope, write: boolean): void {
		const binding = scope.find(id.name);
		if (binding === null) {
			this.taken.add(id.name);
			return;
		}
		binding.uses.push(id);
		if (write) binding.writes++;
		if (scope.owner !== this.fn) {
			binding.captured = true;
			binding.first_capture = Math.min(binding.first_capture, position(id) ?? 0);
		}
	}

	private pattern(pattern: Pattern, scope: Scope, write: boolean): void {
		switch (pattern.type) {
			case "Identifier":
				this.use(pattern, scope, write);
				break;
			case "ObjectPattern":
				for (const property of pattern.properties) {
					if (property.type === "RestElement") {
						this.pattern(property.argument, scope, write);
						continue;
					}
					if (property.computed) this.walk(property.key, scope);
					property.shorthand = false;
					this.pattern(property.value, scope, write);
				}
				break;
			case "ArrayPattern":
				for (const element of pattern.elements) if (element !== null) this.pattern(element, scope, write);
				break;
			case "AssignmentPattern":
				this.pattern(pattern.left, scope, write);
				this.walk(pattern.right, scope);
				break;
			case "RestElement":
				this.pattern(pattern.argument, scope, write);
				break;
			case "MemberExpression":
				this.walk(pattern, scope);
				break;
		}
	}

	private inner(fn: FunctionNode, up: Scope): void {
		const scope = new Scope(up, fn, false);
		if (fn.type === "FunctionExpression" && fn.id) scope.bindings.set(fn.id.name, new Binding(fn.id.name));
		for (const parameter of fn.params) {
			for (const { name } of patternNames(parameter)) scope.bindings.set(name, new Binding(name));
		}
		for (const parameter of fn.params) this.pattern(parameter, scope, false);
		if (fn.body.type === "BlockStatement") this.list(fn.body.body, scope, false, false);
		else this.walk(fn.body, scope);
	}

	private walk(node: Node | null | undefined, scope: Scope): void {
		if (!node) return;
		switch (node.type) {
			case "Identifier":
				if (node.name === "arguments" && (scope.owner === this.fn || scope.owner.type === "ArrowFunctionExpression")) {
					throw new Unsupported("uses `arguments`");
				}
				this.use(node, scope, false);
				return;
			case "MemberExpression":
				this.walk(node.object, scope);
				if (node.computed) this.walk(node.property, scope);
				return;
			case "Property":
				if (node.computed) this.walk(node.key, scope);
				node.shorthand = false;
				this.walk(node.value, scope);
				return;
			case "AssignmentExpression":
				this.pattern(node.left, scope, true);
				this.walk(node.right, scope);
				return;
			case "UpdateExpression":
				if (node.argument.type === "Identifier") this.use(node.argument, scope, true);
				else this.walk(node.argument, scope);
				return;
			case "VariableDeclaration":
				for (const declarator of node.declarations) {
					this.pattern(declarator.id, scope, false);
					this.walk(declarator.init, scope);
				}
				return;
			case "BlockStatement":
				this.list(node.body, scope, scope.in_loop, false);
				return;
			case "ForStatement": {
				const loop = new Scope(scope, scope.owner, true);
				if (node.init) this.declare([node.init], loop, scope.owner === this.fn && points(node) > 0, false);
				for (const part of [node.init, node.test, node.update, node.body]) this.walk(part, loop);
				return;
			}
			case "ForInStatement":
			case "ForOfStatement": {
				const loop = new Scope(scope, scope.owner, true);
				if (node.left.type === "VariableDeclaration") {
					this.declare([node.left], loop, scope.owner === this.fn && points(node) > 0, false);
					for (const declarator of node.left.declarations) this.pattern(declarator.id, loop, true);
				} else this.pattern(node.left, loop, true);
				this.walk(node.right, scope);
				this.walk(node.body, loop);
				return;
			}
			case "WhileStatement":
			case "DoWhileStatement": {
				const loop = new Scope(scope, scope.owner, true);
				this.walk(node.test, loop);
				this.walk(node.body, loop);
				return;
			}
			case "SwitchStatement": {
				this.walk(node.discriminant, scope);
				const cases = new Scope(scope, scope.owner, scope.in_loop);
				const statements = node.cases.flatMap((one) => one.consequent);
				this.declare(statements, cases, scope.owner === this.fn && points(node) > 0, false);
				for (const one of node.cases) this.walk(one.test, cases);
				for (const statement of statements) this.walk(statement, cases);
				return;
			}
			case "TryStatement": {
				if (scope.owner === this.fn && points(node) > 0) throw new Unsupported("waits in a `try`");
				this.walk(node.block, scope);
				if (node.handler) {
					const handler = new Scope(scope, scope.owner, scope.in_loop);
					if (node.handler.param) {
						for (const { name } of patternNames(node.handler.param)) handler.bindings.set(name, new Binding(name));
					}
					this.walk(node.handler.body, handler);
				}
				this.walk(node.finalizer, scope);
				return;
			}
			case "LabeledStatement":
				this.walk(node.body, scope);
				return;
			case "BreakStatement":
			case "ContinueStatement":
				return;
			case "ClassDeclaration":
			case "ClassExpression":
				throw new Unsupported("has a class in it");
			default:
				if (isFunction(node)) this.inner(node, scope);
				else for (const child of children(node)) this.walk(child, scope);
		}
	}
}

/** The variable an expression made of members begins with. */
function rootOf(expression: Expression): string | null {
	let root: Node = expression;
	while (root.type === "MemberExpression") root = root.object;
	return root.type === "Identifier" ? root.name : null;
}

/**
 * Gives each variable of `fn` that may live across a wait a name of its own, in place: and none that `self`, by which `fn` is
 * found, begins with.
 *
 * @returns these names, the parameters' left out
 */
export function moveVariables(fn: FunctionNode, self: Expression): string[] {
	const { parameters, moved, taken } = new Resolver(fn);
	const found = rootOf(self);
	if (found !== null) {
		if (parameters.some(({ name }) => name === found)) throw new Unsupported(`has a parameter that hides \`${found}\``);
		taken.add(found);
	}
	for (const binding of [...parameters, ...moved]) {
		if (!binding.captured) continue;
		if (binding.writes > 0 || binding.in_loop || binding.first_capture < binding.declared) {
			throw new Unsupported(`has a closure that captures \`${binding.name}\`, which changes`);
		}
	}
	const shared = new Set<string>();
	const seen = new Set<string>();
	for (const { name } of moved) (seen.has(name) ? shared : seen).add(name);
	let serial = 0;
	return moved.map((binding) => {
		let chosen = binding.name;
		while (taken.has(chosen) || (!binding.outermost && shared.has(chosen))) chosen = `${binding.name}$${++serial}`;
		taken.add(chosen);
		for (const id of binding.uses) id.name = chosen;
		return chosen;
	});
}
