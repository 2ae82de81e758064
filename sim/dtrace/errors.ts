/** What is wrong with a program, and where. */
import { UsageError } from "../errors.ts";

/** "column 12", or in a program of several lines "line 3, column 12". */
function place(text: string, at: number): string {
	const before = text.slice(0, at).split("\n");
	const column = `column ${before[before.length - 1].length + 1}`;
	return text.includes("\n") ? `line ${before.length}, ${column}` : column;
}

/** Throws what is wrong with the program `text` at offset `at`, as one line. */
export function wrong(text: string, at: number, what: string): never {
	throw new UsageError(`trace: ${place(text, at)}: ${what}`);
}

/** How many letters to change, insert or leave out to get from one word to the other. */
function distance(from: string, to: string): number {
	let row = Array.from({ length: to.length + 1 }, (_, i) => i);
	for (let i = 1; i <= from.length; i++) {
		const next = [i];
		for (let j = 1; j <= to.length; j++) {
			const changed = row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1);
			next.push(Math.min(changed, row[j] + 1, next[j - 1] + 1));
		}
		row = next;
	}
	return row[to.length];
}

/** Words with as few changes as this are near. */
const NEAR = 2;
const SHOWN = 3;

/** Of `known`, what somebody who wrote `name` may have meant: near in letters, or containing it. Best first. */
export function near(name: string, known: readonly string[]): string[] {
	return known
		.map((word) => ({ word, far: word.includes(name) && name.length > 1 ? 1 : distance(name, word) }))
		.filter(({ word, far }) => far <= Math.min(NEAR, Math.ceil(word.length / 2)))
		.sort((a, b) => a.far - b.far)
		.slice(0, SHOWN)
		.map(({ word }) => word);
}

/** "; did you mean a, b?", or what there is when nothing is near. */
export function suggest(name: string, known: readonly string[], otherwise = `there is ${known.join(", ")}`): string {
	const guesses = near(name, known);
	return guesses.length > 0 ? `; did you mean ${guesses.join(" or ")}?` : `; ${otherwise}`;
}
