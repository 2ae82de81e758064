import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** The project's own directory. */
export const root = path.resolve(import.meta.dirname, "../..");

/** Directories that hold what was installed or made, not what was written. As in .gitignore. */
const notOurs = new Set(["node_modules", "dist", "coverage", "out", ".git"]);

/** Every file of the project under `directory` (relative to the root, "" for all), sorted, as relative paths with `/`. */
export function projectFiles(directory: string): string[] {
	const files: string[] = [];
	const visit = (relative: string): void => {
		for (const entry of readdirSync(path.join(root, relative), { withFileTypes: true })) {
			const child = relative === "" ? entry.name : `${relative}/${entry.name}`;
			if (entry.isDirectory()) {
				if (!notOurs.has(entry.name)) visit(child);
			} else if (entry.isFile() && !entry.name.endsWith(".tmp")) files.push(child);
		}
	};
	try {
		visit(directory);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
	}
	return files.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** TypeScript sources under a directory. */
export function sourceFiles(directory: string): string[] {
	return projectFiles(directory).filter((file) => file.endsWith(".ts"));
}

export function readProjectFile(file: string): string {
	return readFileSync(path.join(root, file), "utf8");
}

/** The line number, from 1, of an offset in a text. */
export function lineAt(text: string, offset: number): number {
	let line = 1;
	for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) line++;
	return line;
}

/** Words after which a `/` begins a regular expression and not a division. */
const beforeExpression = /(?:^|[^.\w$])(?:return|typeof|case|in|of|delete|void|throw|new|else|do|yield|await)$/;

/**
 * Blanks comments and the insides of strings, templates and regular expressions with spaces, so that a pattern sees only code.
 * Offsets and line numbers stay, and so do the quotes; code inside `${}` is code.
 *
 * This is no parser: a regular expression right after a `)` or `}` is taken for a division.
 */
export function codeOnly(text: string): string {
	const out: string[] = [];
	const length = text.length;
	let at = 0;
	let significant = ""; // the last characters of code that were not blank, to tell a division from a regular expression

	const blankTo = (end: number): void => {
		for (; at < end; at++) out.push(text[at] === "\n" ? "\n" : " ");
	};
	const keep = (): void => {
		const char = text[at++]!;
		out.push(char);
		if (char > " ") significant = (significant + char).slice(-12);
		else if (!significant.endsWith(" ")) significant = `${significant} `.slice(-12);
	};

	const string = (quote: string): void => {
		keep();
		let end = at;
		while (end < length && text[end] !== quote && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
		blankTo(Math.min(end, length));
		if (text[at] === quote) keep();
	};
	const template = (): void => {
		keep();
		while (at < length && text[at] !== "`") {
			if (text.startsWith("${", at)) {
				keep();
				keep();
				code("}");
				if (at < length) keep();
			} else blankTo(Math.min(at + (text[at] === "\\" ? 2 : 1), length));
		}
		if (at < length) keep();
	};
	const regularExpression = (): void => {
		keep();
		let end = at;
		for (let inClass = false; end < length && text[end] !== "\n"; end++) {
			if (text[end] === "\\") end++;
			else if (text[end] === "[") inClass = true;
			else if (text[end] === "]") inClass = false;
			else if (text[end] === "/" && !inClass) break;
		}
		blankTo(Math.min(end, length));
		if (text[at] === "/") keep();
	};
	const expressionExpected = (): boolean => {
		const before = significant.trimEnd();
		return before === "" || /[(,=:[!&|?{;+\-*%<>~^]$/.test(before) || beforeExpression.test(before);
	};
	/** Code up to the closing brace of a `${}`, or to the end. */
	const code = (closing: string): void => {
		let depth = 0;
		while (at < length) {
			const char = text[at]!;
			if (text.startsWith("//", at)) {
				const end = text.indexOf("\n", at);
				blankTo(end === -1 ? length : end);
			} else if (text.startsWith("/*", at)) {
				const end = text.indexOf("*/", at + 2);
				blankTo(end === -1 ? length : end + 2);
			} else if (char === '"' || char === "'") string(char);
			else if (char === "`") template();
			else if (char === "/" && expressionExpected()) regularExpression();
			else {
				if (char === "}" && closing === "}" && depth === 0) return;
				if (char === "{") depth++;
				else if (char === "}") depth--;
				keep();
			}
		}
	};
	code("");
	return out.join("");
}

export interface Import {
	readonly specifier: string;
	readonly line: number;
}

/** Every module a source names with a literal: import, export from, dynamic import, and import types. */
export function importsOf(text: string): Import[] {
	const code = codeOnly(text);
	const imports: Import[] = [];
	for (const match of code.matchAll(/(?<![.\w$])(?:from\s*|import\s*\(?\s*)(["'`])( *)\1/g)) {
		const end = match.index + match[0].length - 1;
		imports.push({ specifier: text.slice(end - match[2]!.length, end), line: lineAt(text, match.index) });
	}
	return imports;
}
