/**
 * Makes an assertion's message only when the assertion fails, as a macro does: of `KASSERT(ok, text)` it makes `(ok) || KASSERT(false, text)`,
 * unless the text is a constant.
 */
import { parse } from "acorn";
import type { Node, Program } from "estree";
import { type Edit, edited } from "./edit.ts";
import { children, end, position } from "./node.ts";

const ASSERTIONS: ReadonlySet<string> = new Set(["KASSERT", "MPASS"]);

export function messagesOnFailure(code: string): string {
	const edits: Edit[] = [];
	const visit = (node: Node, parent: Node): void => {
		for (const child of children(node)) visit(child, node);
		if (node.type !== "CallExpression" || node.callee.type !== "Identifier") return;
		if (!ASSERTIONS.has(node.callee.name) || parent.type !== "ExpressionStatement") return;
		const [condition, message] = node.arguments;
		if (message === undefined || message.type === "Literal" || condition.type === "SpreadElement") return;
		// parentheses around a condition are not part of it
		const to = code.indexOf(",", end(condition));
		const asserted = code.slice(code.indexOf("(", end(node.callee)) + 1, to);
		edits.push({ from: position(node)!, to, text: `(${asserted}) || ${node.callee.name}(false` });
	};
	const program = parse(code, { ecmaVersion: "latest", sourceType: "module" }) as unknown as Program;
	visit(program, program);
	return edited(code, edits);
}
