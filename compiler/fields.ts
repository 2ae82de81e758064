/**
 * Shared fields by name: `load(peer, "p_enabled")` becomes `$load_p_enabled(peer)`, a function of the module's own that says
 * `peer.p_enabled`. The host looks up a field whose name comes as a string in a table for all objects and names; where the name stands
 * in the code, it remembers where in such objects the field is.
 *
 * @see src/kernel/lock/atomic.ts, which has the halves that these functions are made of
 */
import { parse } from "acorn";
import type { ImportDeclaration, Node, Pattern, Program, SimpleCallExpression } from "estree";
import { children, isFunction, name, patternNames } from "./node.ts";

const ATOMIC = /(?:^|\/)lock\/atomic\.[jt]s$/;
const FIELD = /^[\w$]+$/;

interface Access {
	/** how many arguments it has, the field's name among them */
	readonly args: number;
	readonly imports: readonly string[];
	readonly code: (field: string) => string;
}

/** `kind` is load, or another that reads. */
function reads(kind: string): Access {
	return {
		args: 2,
		imports: [`${kind}_ready`, "load_later", "load_seen"],
		code: (field) =>
			`function $${kind}_${field}(object) {
				return $${kind}_ready(object, "${field}") ? object.${field} : $load_later($${kind}_${field}_now, object);
			}
			function $${kind}_${field}_now(object) {
				$load_seen(object, "${field}");
				return object.${field};
			}`,
	};
}

const ACCESSES: Readonly<Record<string, Access>> = {
	load: reads("load"),
	load_read_mostly: reads("load_read_mostly"),
	store: {
		args: 3,
		imports: ["store_ready", "store_later", "store_seen"],
		code: (field) =>
			`function $store_${field}(object, value) {
				if (!$store_ready(object, "${field}")) return $store_later($store_${field}_now, object, value);
				object.${field} = value;
			}
			function $store_${field}_now(object, value) {
				$store_seen(object, "${field}");
				object.${field} = value;
			}`,
	},
};

/** The names that anything but an import binds somewhere. */
function bound(node: Node, names: Set<string>): Set<string> {
	const patterns: (Pattern | null | undefined)[] = [];
	if (isFunction(node)) patterns.push(...node.params);
	if (node.type === "FunctionDeclaration" || node.type === "FunctionExpression") patterns.push(node.id);
	if (node.type === "ClassDeclaration" || node.type === "ClassExpression") patterns.push(node.id);
	if (node.type === "VariableDeclarator") patterns.push(node.id);
	if (node.type === "CatchClause") patterns.push(node.param);
	for (const pattern of patterns) if (pattern) for (const id of patternNames(pattern)) names.add(id.name);
	for (const child of children(node)) bound(child, names);
	return names;
}

/** The field a call accesses, if it is named and nothing is unusual. */
function fieldOf({ arguments: args }: SimpleCallExpression, access: Access): string | null {
	if (args.length !== access.args || args.some((arg) => arg.type === "SpreadElement")) return null;
	const [, field] = args;
	if (field.type !== "Literal" || typeof field.value !== "string" || !FIELD.test(field.value)) return null;
	return field.value;
}

function accessFieldsBy(declaration: ImportDeclaration, program: Program): void {
	const others = bound(program, new Set());
	const accesses = new Map<string, string>();
	for (const specifier of declaration.specifiers) {
		if (specifier.type !== "ImportSpecifier" || specifier.imported.type !== "Identifier") continue;
		const { name: kind } = specifier.imported;
		if (Object.hasOwn(ACCESSES, kind) && !others.has(specifier.local.name)) accesses.set(specifier.local.name, kind);
	}
	const made = new Map<string, string>();
	const imports = new Set<string>();
	const visit = (node: Node): void => {
		for (const child of children(node)) visit(child);
		if (node.type !== "CallExpression" || node.callee.type !== "Identifier") return;
		const kind = accesses.get(node.callee.name);
		if (kind === undefined) return;
		const field = fieldOf(node, ACCESSES[kind]);
		if (field === null) return;
		node.callee = name(`$${kind}_${field}`);
		node.arguments.splice(1, 1);
		made.set(node.callee.name, ACCESSES[kind].code(field));
		for (const needed of ACCESSES[kind].imports) imports.add(needed);
	};
	visit(program);
	for (const imported of imports) {
		declaration.specifiers.push({ type: "ImportSpecifier", imported: name(imported), local: name(`$${imported}`) });
	}
	for (const code of made.values()) {
		program.body.push(...(parse(code, { ecmaVersion: "latest", sourceType: "module" }) as unknown as Program).body);
	}
}

/** Gives a module functions of its own for the shared fields it names. */
export function accessFields(program: Program): void {
	for (const node of [...program.body]) {
		if (node.type === "ImportDeclaration" && ATOMIC.test(String(node.source.value))) accessFieldsBy(node, program);
	}
}
