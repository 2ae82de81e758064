/**
 * Keeps what changes in a module in fields of constant objects: of `let x = 1` it makes `const $x = { x: 1 }`, and of `x` then `$x.x`.
 *
 * A variable of a module the host reads out of the module each time, and looks whether it has been set and what it is. Of a field
 * it remembers what has ever been in it, and the object with the field it knows when it compiles. So one that begins without a
 * value gets its field with its first: else undefined would be among what has ever been there. The kernel asks for the
 * running thread, the clock and the costs all the time: linked like that it carries 1.07 times as many segments.
 */
import { parse } from "acorn";
import { analyze, type Reference } from "eslint-scope";
import type { Identifier, Node, Program, VariableDeclarator } from "estree";
import { type Edit, edited } from "./edit.ts";
import { children, end, position } from "./node.ts";

/** Identifiers that are more than a value where they stand. */
class Places {
	readonly exported = new Set<unknown>();
	readonly shorthand = new Set<unknown>();
	readonly called = new Set<unknown>();
	/** on the left of an `=`, alone */
	readonly assigned = new Set<unknown>();
	/** of `x++`, `x += 1` and the like */
	readonly counted = new Set<unknown>();

	constructor(program: Program) {
		const visit = (node: Node): void => {
			if (node.type === "ExportSpecifier") this.exported.add(node.local);
			else if (node.type === "Property" && node.shorthand) this.shorthand.add(node.value);
			else if (node.type === "CallExpression") this.called.add(node.callee);
			else if (node.type === "TaggedTemplateExpression") this.called.add(node.tag);
			else if (node.type === "AssignmentExpression")
				(node.operator === "=" ? this.assigned : this.counted).add(node.left);
			else if (node.type === "UpdateExpression") this.counted.add(node.argument);
			for (const child of children(node)) visit(child);
		};
		visit(program);
	}
}

/**
 * Moves the variables of a module that are declared by a `let` of their own. What the module exports stays a variable as well,
 * and changes along: others see it as before. What is assigned to in a pattern or a loop, or is exported and counted, stays as it
 * is.
 */
export function moveToFields(code: string): string {
	const program = parse(code, { ecmaVersion: "latest", sourceType: "module", ranges: true }) as unknown as Program;
	const { scopes } = analyze(program, { ecmaVersion: 2022, sourceType: "module" });
	const names = new Set(
		scopes.flatMap(({ set, through }) => [...set.keys(), ...through.map((r) => r.identifier.name)]),
	);
	const top = scopes.find(({ type }) => type === "module")!;
	const places = new Places(program);
	const edits: Edit[] = [];

	const move = (statement: Node, { id, init }: VariableDeclarator & { id: Identifier }): void => {
		const uses = top.set.get(id.name)!.references.filter((use) => use.identifier !== id);
		const exported = uses.some((use) => places.exported.has(use.identifier));
		const movable = (use: Reference): boolean =>
			use.isReadOnly() || places.assigned.has(use.identifier) || (!exported && places.counted.has(use.identifier));
		if (!uses.every(movable)) return;
		let object = `$${id.name}`;
		while (names.has(object)) object = `$${object}`;
		names.add(object);
		const field = `${object}.${id.name}`;
		const [from, to] = [position(statement)!, end(statement)];
		if (exported) {
			edits.push({ from: to, to, text: `\nconst ${object} = ${init ? `{ ${id.name} }` : "{}"};` });
		} else if (init) {
			edits.push({ from, to: position(init)!, text: `const ${object} = { ${id.name}: ` });
			edits.push({ from: end(init), to, text: " };" });
		} else {
			edits.push({ from, to, text: `const ${object} = {};` });
		}
		for (const { identifier } of uses) {
			const at = position(identifier as Identifier)!;
			if (places.exported.has(identifier)) continue;
			if (exported && places.assigned.has(identifier)) {
				edits.push({ from: at, to: at, text: `${field} = ` });
				continue;
			}
			const use = places.called.has(identifier) ? `(0, ${field})` : field;
			const whole = places.shorthand.has(identifier) ? `${id.name}: ${use}` : use;
			edits.push({ from: at, to: at + id.name.length, text: whole });
		}
	};

	for (const statement of program.body) {
		if (statement.type !== "VariableDeclaration" || statement.kind !== "let") continue;
		const [declarator] = statement.declarations;
		if (statement.declarations.length === 1 && declarator.id.type === "Identifier") {
			move(statement, { ...declarator, id: declarator.id });
		}
	}
	return edited(code, edits);
}
