/** A change of a text: what is from `from` up to `to` becomes `text`. */
export interface Edit {
	readonly from: number;
	readonly to: number;
	readonly text: string;
}

/** The text with all edits made, which do not overlap. */
export function edited(code: string, edits: Edit[]): string {
	let result = "";
	let at = 0;
	for (const edit of edits.sort((a, b) => a.from - b.from || a.to - b.to)) {
		result += code.slice(at, edit.from) + edit.text;
		at = edit.to;
	}
	return result + code.slice(at);
}
