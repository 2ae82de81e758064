/**
 * Reads programs in a small part of D, dtrace(1)'s language:
 *
 *     probe, ... / predicate / { @name[key, ...] = action(value); self->x = value; name[key, ...] = value; }
 *
 * `action(value) by key, ...` is short for the aggregation without a name, `@[key, ...] = action(value)`. Expressions are C's.
 */
import { quote } from "../units.ts";
import { wrong } from "./errors.ts";
import { Lexer, type Token } from "./lexer.ts";
import type { Aggregate, Assignment, Clause, Expression, Key } from "./syntax.ts";

/** Operators of two operands, those that bind least first; one level is evaluated from the left. */
const LEVELS: readonly (readonly string[])[] = [
	["||"],
	["^^"],
	["&&"],
	["|"],
	["^"],
	["&"],
	["==", "!="],
	["<", "<=", ">", ">="],
	["<<", ">>"],
	["+", "-"],
	["*", "/", "%"],
];

/** Expressions are no deeper than this: nobody writes them so, and each level takes room on the stack. */
const DEPTH_MAX = 100;

const UNARY = ["-", "!", "~", "+"];

/** What a token is called in an error message. */
function called(token: Token): string {
	return token.kind === "end" ? "the end of the program" : quote(token.text);
}

class Parser {
	private readonly lexer: Lexer;
	private last: Token;
	/** inside a predicate, outside of brackets: a `/` ends it */
	private slash_ends = false;
	private depth = 0;

	constructor(text: string) {
		this.lexer = new Lexer(text);
		this.last = { kind: "end", text: "", at: 0, end: 0 };
	}

	private wrong(at: number, what: string): never {
		return wrong(this.lexer.text, at, what);
	}

	private token(): Token {
		this.last = this.lexer.token();
		return this.last;
	}

	/** Passes over the sign or word `text` if it comes next. */
	private accept(text: string): boolean {
		const token = this.lexer.peek();
		if (token.text !== text || token.kind === "string" || token.kind === "end") return false;
		this.token();
		return true;
	}

	private expect(text: string, why: string): void {
		const token = this.lexer.peek();
		if (!this.accept(text)) this.wrong(token.at, `expected ${quote(text)} ${why}, not ${called(token)}`);
	}

	private word(what: string): Token {
		const token = this.token();
		if (token.kind !== "word") this.wrong(token.at, `expected ${what}, not ${called(token)}`);
		return token;
	}

	program(): Clause[] {
		const clauses: Clause[] = [];
		while (this.lexer.peek().kind !== "end") clauses.push(this.clause());
		if (clauses.length === 0) this.wrong(0, "the program is empty; write: probe { count() by key }");
		return clauses;
	}

	private clause(): Clause {
		const probes: { text: string; at: number }[] = [];
		do {
			const probe = this.lexer.probe();
			if (probe === null) this.wrong(this.lexer.peek().at, `expected a probe, not ${called(this.lexer.peek())}`);
			probes.push({ text: probe.text, at: probe.at });
		} while (this.accept(","));
		let predicate: Expression | null = null;
		if (this.accept("/")) {
			this.slash_ends = true;
			predicate = this.expression();
			this.slash_ends = false;
			this.expect("/", "after the predicate");
		}
		this.expect("{", "before what to do");
		const statements: (Aggregate | Assignment)[] = [];
		while (!this.accept("}")) {
			if (this.accept(";")) continue;
			statements.push(this.statement());
			const next = this.lexer.peek();
			if (next.text !== ";" && next.text !== "}") this.wrong(next.at, `expected ";" or "}", not ${called(next)}`);
		}
		if (statements.length === 0) this.wrong(this.last.at, "nothing to do; write: { count() }");
		return { probes, predicate, statements };
	}

	private statement(): Aggregate | Assignment {
		const first = this.lexer.peek();
		if (first.text === "@") return this.aggregation();
		if (first.kind !== "word") this.wrong(first.at, `expected an aggregation or a variable, not ${called(first)}`);
		const target = this.primary();
		if (this.accept("=")) {
			if (target.kind !== "name" && target.kind !== "self" && target.kind !== "element") {
				this.wrong(first.at, "only a variable can be assigned to: name, self->name or name[key]");
			}
			return { kind: "assignment", target, value: this.expression(), at: first.at };
		}
		if (target.kind !== "name") this.wrong(this.lexer.peek().at, `expected "=", not ${called(this.lexer.peek())}`);
		const parameters = this.parameters(first);
		const keys = this.accept("by") ? this.keys() : [];
		return { kind: "aggregate", name: "", keys, action: first.text, action_at: first.at, parameters, at: first.at };
	}

	/** @name[key, ...] = action(value) */
	private aggregation(): Aggregate {
		const { at } = this.token();
		const name = this.lexer.peek().kind === "word" ? this.token().text : "";
		let keys: Key[] = [];
		if (this.accept("[")) {
			keys = this.keys();
			this.expect("]", "after the keys");
		}
		this.expect("=", `after @${name}`);
		const action = this.word("an action such as count or quantize");
		return {
			...{ kind: "aggregate", name, keys, at },
			...{ action: action.text, action_at: action.at, parameters: this.parameters(action) },
		};
	}

	private parameters(action: Token): Expression[] {
		this.expect("(", `after ${action.text}`);
		if (this.accept(")")) return [];
		const list = this.list();
		this.expect(")", `after what ${action.text} is given`);
		return list;
	}

	private list(): Expression[] {
		const list = [this.expression()];
		while (this.accept(",")) list.push(this.expression());
		return list;
	}

	private keys(): Key[] {
		const keys: Key[] = [];
		do {
			const { at } = this.lexer.peek();
			const expression = this.expression();
			keys.push({ expression, text: this.lexer.text.slice(at, this.last.end) });
		} while (this.accept(","));
		return keys;
	}

	private expression(): Expression {
		const test = this.binary(0);
		if (!this.accept("?")) return test;
		const yes = this.expression();
		this.expect(":", "between the two values of a ?");
		return { kind: "choice", test, yes, no: this.expression(), at: test.at };
	}

	private binary(level: number): Expression {
		if (level === LEVELS.length) return this.unary();
		let left = this.binary(level + 1);
		for (;;) {
			const { text, kind, at } = this.lexer.peek();
			if (kind !== "sign" || !LEVELS[level].includes(text) || (text === "/" && this.slash_ends)) return left;
			this.token();
			left = { kind: "binary", operator: text, left, right: this.binary(level + 1), at };
		}
	}

	private unary(): Expression {
		const { text, kind, at } = this.lexer.peek();
		if (++this.depth > DEPTH_MAX) this.wrong(at, `an expression deeper than ${DEPTH_MAX} levels`);
		let expression: Expression;
		if (kind !== "sign" || !UNARY.includes(text)) expression = this.primary();
		else {
			this.token();
			expression = { kind: "unary", operator: text, operand: this.unary(), at };
		}
		this.depth--;
		return expression;
	}

	/** Brackets around something: a `/` in them divides. */
	private inside<T>(read: () => T, close: string, what: string): T {
		const { slash_ends } = this;
		this.slash_ends = false;
		const value = read();
		this.expect(close, what);
		this.slash_ends = slash_ends;
		return value;
	}

	private primary(): Expression {
		let expression = this.atom();
		while (this.accept("->") || this.accept(".")) {
			const { text, at } = this.word("the name of a field");
			expression = { kind: "field", object: expression, field: text, at };
		}
		return expression;
	}

	private atom(): Expression {
		const token = this.token();
		const { at } = token;
		switch (token.kind) {
			case "number": {
				const value = Number(token.text);
				if (!Number.isSafeInteger(value)) this.wrong(at, `${token.text} is too large`);
				return { kind: "number", value, at };
			}
			case "string":
				return { kind: "string", value: JSON.parse(token.text) as string, at };
			case "word":
				if (token.text === "self" && this.accept("->")) {
					return { kind: "self", name: this.word("the name of a variable").text, at };
				}
				if (this.accept("[")) {
					const keys = this.inside(() => this.list(), "]", "after the keys");
					return { kind: "element", name: token.text, keys, at };
				}
				return { kind: "name", name: token.text, at };
			default:
				if (token.text === "(") return this.inside(() => this.expression(), ")", "to close the bracket");
				return this.wrong(at, `expected a value, not ${called(token)}`);
		}
	}
}

/** Reads a program. Throws a UsageError that says where it makes no sense. */
export function parseProgram(text: string): Clause[] {
	return new Parser(text).program();
}
