/** Compiles a module: all functions that may wait, and the import of what they need for it. */
import { parse } from "acorn";
import { generate, type Options } from "astring";
import type {
	BlockStatement,
	ClassDeclaration,
	ClassExpression,
	Expression,
	FunctionDeclaration,
	MethodDefinition,
	Node,
	Program,
} from "estree";
import { accessFields } from "./fields.ts";
import { keepGenerator } from "./generator.ts";
import { lowerFunction } from "./lower.ts";
import { assignedBy, children, type FunctionNode, isFunction, member, name, points } from "./node.ts";
import { GENERATOR, GOES_ON_WITH, importOf, resumedName } from "./runtime.ts";
import { Unsupported } from "./unsupported.ts";

export interface CompileOptions {
	/** of the source, for messages */
	readonly file: string;
	/** how it imports src/kernel/sched/frame */
	readonly runtime: string;
	/** what it imports instead of a module it names; nothing changes when left out */
	readonly resolve?: (specifier: string) => string;
	/** is told where everything went */
	readonly sourceMap?: NonNullable<Options["sourceMap"]>;
}

export interface Compiled {
	readonly code: string;
	/** lines of `code` before the first one that comes from the source; null if the source needed nothing and is `code` */
	readonly header: number | null;
	/** functions that stayed generators, and why, a line each */
	readonly kept: readonly string[];
}

/** A module without any of these is as it should be. */
const MAY_WAIT = /function\s*\*|yield|\*\s*(?:[#$\w]+|\[.*\]|"[^"]*"|'[^']*')\s*\(/;

/**
 * Whether a generator function is one of ours, that waits. An ordinary generator makes values: it has a `yield` with something
 * behind it, and is left alone.
 */
function isBlocking(fn: FunctionNode): boolean {
	const makesValues = (node: Node): boolean =>
		(node.type === "YieldExpression" && !node.delegate && Boolean(node.argument)) ||
		children(node).some((child) => !isFunction(child) && makesValues(child));
	return fn.generator === true && fn.async !== true && !makesValues(fn.body);
}

/** Whether a method's `super` is in it, or in an arrow function of its. */
function usesSuper(node: Node): boolean {
	return children(node).some(
		(child) =>
			child.type === "Super" || ((!isFunction(child) || child.type === "ArrowFunctionExpression") && usesSuper(child)),
	);
}

/** How a method finds itself: not by the object's, where a class below may have put its own. */
function methodOf(within: ClassDeclaration | ClassExpression | null, method: MethodDefinition): Expression | null {
	const { key } = method;
	if (key.type === "PrivateIdentifier") return { ...member({ type: "ThisExpression" }, key.name), property: key };
	if (!within?.id || method.computed || key.type !== "Identifier") return null;
	const owner = name(within.id.name);
	return member(method.static ? owner : member(owner, "prototype"), key.name);
}

/** What a function without a name is called after. */
function calledAfter(parent: Node): string {
	const named =
		parent.type === "VariableDeclarator"
			? parent.id
			: parent.type === "Property" && !parent.computed
				? parent.key
				: null;
	return named?.type === "Identifier" ? named.name : "function";
}

/** What is the same of all functions that go on. */
const FUNCTION = { generator: false, async: false, params: GOES_ON_WITH };

class Compilation {
	readonly kept: string[] = [];
	/** functions to be declared in the present list of statements */
	private beside: FunctionDeclaration[] = [];
	found = false;
	private serial = 0;
	private readonly file: string;
	/** names that something in the module assigns to */
	private readonly reassigned = new Set<string>();

	constructor(file: string, program: Program) {
		this.file = file;
		const visit = (node: Node): void => {
			for (const name of assignedBy(node)) this.reassigned.add(name);
			for (const child of children(node)) visit(child);
		};
		visit(program);
	}

	/** Inner functions first. What keepGenerator has made is as it should be. */
	visit(node: Node, parent: Node, within: ClassDeclaration | ClassExpression | null): void {
		if (node.type === "MethodDefinition") {
			for (const child of children(node.value)) this.visit(child, node.value, null);
			if (isBlocking(node.value)) this.method(node, within);
			return;
		}
		if (node.type === "FunctionDeclaration" && isBlocking(node)) {
			for (const child of children(node)) this.visit(child, node, null);
			const goesOn = name(resumedName(node.id.name));
			const body = this.compile(node, goesOn, true, node.id.name);
			if (body !== null) this.beside.push({ ...FUNCTION, type: "FunctionDeclaration", id: goesOn, body });
			return;
		}
		if (node.type === "CallExpression" && node.callee.type === "Identifier" && node.callee.name === GENERATOR) return;
		const inside = node.type === "ClassDeclaration" || node.type === "ClassExpression" ? node : within;
		const beside = this.beside;
		if (node.type === "Program" || node.type === "BlockStatement" || node.type === "StaticBlock") this.beside = [];
		for (const child of children(node)) this.visit(child, node, inside);
		if (this.beside !== beside) {
			(node as Program).body.push(...this.beside);
			this.beside = beside;
		}
		if (!isFunction(node) || node.type === "ArrowFunctionExpression" || !isBlocking(node)) return;
		if (parent.type === "Property" && parent.method) {
			if (usesSuper(node)) {
				// a method is all it can be, and has no name inside
				this.compile(node, null, false, calledAfter(parent));
				return;
			}
			parent.method = false;
		}
		node.id ??= name(`$${calledAfter(parent)}${++this.serial}`);
		this.compile(node, name(node.id.name), false, node.id.name);
	}

	private method(method: MethodDefinition, within: ClassDeclaration | ClassExpression | null): void {
		const { key } = method;
		const named = key.type === "Identifier" || key.type === "PrivateIdentifier";
		const goesOn: MethodDefinition = named ? { ...method, key: { ...key, name: resumedName(key.name) } } : method;
		const body = this.compile(method.value, methodOf(within, goesOn), named, named ? key.name : "method");
		if (body === null) return;
		within!.body.body.push({ ...goesOn, value: { ...FUNCTION, type: "FunctionExpression", body } });
	}

	/** @returns the body of the function that goes on, if that is `apart` */
	private compile(fn: FunctionNode, self: Expression | null, apart: boolean, shown: string): BlockStatement | null {
		this.found = true;
		if (points(fn.body) === 0) {
			fn.generator = false;
			return null;
		}
		const before = structuredClone(fn);
		try {
			if (self === null) throw new Unsupported("has no name to find it by");
			return lowerFunction(fn, self, apart, this.reassigned);
		} catch (error) {
			if (!(error instanceof Unsupported)) throw error;
			this.kept.push(`${this.file}: ${shown} ${error.message}`);
			Object.assign(fn, before);
			keepGenerator(fn, shown);
			return null;
		}
	}
}

function redirect(program: Program, resolve: (specifier: string) => string): void {
	const visit = (node: Node): void => {
		if (
			node.type === "ImportDeclaration" ||
			node.type === "ExportNamedDeclaration" ||
			node.type === "ExportAllDeclaration" ||
			node.type === "ImportExpression"
		) {
			const { source } = node;
			if (source?.type === "Literal" && typeof source.value === "string") {
				node.source = { type: "Literal", value: resolve(source.value) };
			}
		}
		for (const child of children(node)) visit(child);
	};
	visit(program);
}

function namesIn(node: Node, names: Set<string>): Set<string> {
	if (node.type === "Identifier") names.add(node.name);
	for (const child of children(node)) namesIn(child, names);
	return names;
}

/**
 * Compiles one module's JavaScript.
 *
 * @throws SyntaxError
 */
export function compileModule(source: string, options: CompileOptions): Compiled {
	const { file, runtime, resolve, sourceMap } = options;
	const unchanged = { code: source, header: null, kept: [] };
	if (resolve === undefined && !MAY_WAIT.test(source)) return unchanged;
	const parsed = parse(source, { ecmaVersion: "latest", sourceType: "module", locations: sourceMap !== undefined });
	const program = parsed as unknown as Program;
	const compilation = new Compilation(file, program);
	compilation.visit(program, program, null);
	if (compilation.found) accessFields(program);
	if (resolve !== undefined) redirect(program, resolve);
	else if (!compilation.found) return unchanged;
	const header = compilation.found ? importOf(namesIn(program, new Set()), runtime) : "";
	const code = sourceMap === undefined ? generate(program) : generate(program, { sourceMap });
	return { code: header + code, header: header === "" ? 0 : 1, kept: compilation.kept };
}
