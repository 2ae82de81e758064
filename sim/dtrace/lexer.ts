/** Cuts a program into words, numbers, texts and signs. */
import { quote } from "../units.ts";
import { wrong } from "./errors.ts";

export interface Token {
	readonly kind: "word" | "number" | "string" | "sign" | "end";
	readonly text: string;
	readonly at: number;
	/** offset behind it */
	readonly end: number;
}

const BLANK = /(?:\s|\/\*[\s\S]*?\*\/|\/\/[^\n]*)*/y;
const WORD = /[A-Za-z_][A-Za-z_0-9]*/y;
const NUMBER = /0[xX][0-9a-fA-F]+|[0-9]+/y;
const TEXT = /"(?:[^"\\\n]|\\["\\])*"/y;
const SIGN = /->|<<|>>|<=|>=|==|!=|&&|\|\||\^\^|[-+*/%<>!~&|^?:()[\]{}=,;@.]/y;
/** Up to what ends a probe's description; a `/` begins a predicate. */
const PROBE = /[^\s,/{}]+/y;

export class Lexer {
	readonly text: string;
	private next = 0;

	constructor(text: string) {
		this.text = text;
	}

	private match(pattern: RegExp): string | null {
		pattern.lastIndex = this.next;
		return pattern.exec(this.text)?.[0] ?? null;
	}

	private skip(): void {
		this.next += this.match(BLANK)?.length ?? 0;
	}

	private take(kind: Token["kind"], text: string): Token {
		const at = this.next;
		this.next += text.length;
		return { kind, text, at, end: this.next };
	}

	/** The next token, passed over. */
	token(): Token {
		this.skip();
		if (this.next >= this.text.length) return this.take("end", "");
		const kinds = [
			["word", WORD],
			["number", NUMBER],
			["string", TEXT],
			["sign", SIGN],
		] as const;
		for (const [kind, pattern] of kinds) {
			const text = this.match(pattern);
			if (text !== null) return this.take(kind, text);
		}
		const what = this.text[this.next] === '"' ? "a text that does not end" : `what is ${quote(this.text[this.next])}`;
		return wrong(this.text, this.next, `${what}?`);
	}

	/** The next token, still to come. */
	peek(): Token {
		const before = this.next;
		const token = this.token();
		this.next = before;
		return token;
	}

	/** The description of a probe; null if something else comes. */
	probe(): Token | null {
		this.skip();
		const text = this.match(PROBE);
		return text === null ? null : this.take("word", text);
	}
}
