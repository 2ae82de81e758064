/**
 * A function that waits is compiled twice: once as it is called, once as it goes on. This makes the first of the second: of statements with
 * ways in for whoever goes on, the same without. Nothing comes to them from elsewhere then, so the host need not provide for it.
 */
import type { Expression, Statement, SwitchStatement } from "estree";
import { block, position } from "./node.ts";
import { AT } from "./runtime.ts";

/** `entries` are the switches that only say where to go on. */
export function afresh(statements: readonly Statement[], entries: ReadonlySet<SwitchStatement>): Statement[] {
	return statements.flatMap((statement) => statementAfresh(statement, entries));
}

function statementAfresh(s: Statement, entries: ReadonlySet<SwitchStatement>): Statement[] {
	// as it was in the source
	if (position(s) !== undefined) return [s];
	const inner = (statement: Statement): Statement => {
		const [only, ...more] = statementAfresh(statement, entries);
		return only !== undefined && more.length === 0 ? only : block(only === undefined ? [] : [only, ...more]);
	};
	switch (s.type) {
		case "ExpressionStatement": {
			const { expression } = s;
			const settles = expression.type === "AssignmentExpression" && isAt(expression.left as Expression);
			return settles ? [] : [s];
		}
		case "BlockStatement":
			return [block(afresh(s.body, entries))];
		case "IfStatement":
			return [
				{
					...s,
					test: test(s.test),
					consequent: inner(s.consequent),
					alternate: s.alternate ? inner(s.alternate) : null,
				},
			];
		case "LabeledStatement":
			return [{ ...s, body: inner(s.body) }];
		case "WhileStatement":
		case "DoWhileStatement":
			return [{ ...s, test: test(s.test), body: inner(s.body) }];
		case "ForStatement":
			return [{ ...s, test: s.test ? test(s.test) : null, body: inner(s.body) }];
		case "SwitchStatement": {
			if (entries.has(s))
				return afresh(
					s.cases.flatMap(({ consequent }) => consequent),
					entries,
				);
			const cases = s.cases.map((one) => ({ ...one, consequent: afresh(one.consequent, entries) }));
			return [{ ...s, discriminant: test(s.discriminant), cases }];
		}
		default:
			return [s];
	}
}

/** What a statement decides by: `$at === 0 ? a : b`, `$at !== 0 || a`, or as it is. */
function test(e: Expression): Expression {
	const asks = (part: Expression): boolean => part.type === "BinaryExpression" && isAt(part.left as Expression);
	if (e.type === "ConditionalExpression" && asks(e.test)) return e.consequent;
	if (e.type === "LogicalExpression" && asks(e.left)) return e.right;
	return e;
}

function isAt(e: Expression): boolean {
	return e.type === "Identifier" && e.name === AT;
}
