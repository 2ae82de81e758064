/**
 * HTML and SVG as text. Everything that is not markup already is escaped, so what a report quotes (a policy's file name, a
 * lock's name) can never become markup. What comes out is well-formed as XML, too.
 */

/** Text that is markup and goes out as it is. Made by `element` and `raw` only. */
export class Markup {
	readonly text: string;
	constructor(text: string) {
		this.text = text;
	}
}

/** An element's content: texts are escaped, null is nothing. */
export type Content = Markup | string | null | readonly Content[];

export type Attributes = Readonly<Record<string, string | number | undefined>>;

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** Not allowed in XML at all, however escaped; a file's name may have them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones meant
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;

export function escapeText(text: string): string {
	return text.replace(FORBIDDEN, "\ufffd").replace(/[&<>"]/g, (char) => ESCAPES[char]);
}

/** A number as short as it can be at a hundredth: enough for a hundredth of a pixel. */
export function short(value: number): string {
	const rounded = Math.round(value * 100) / 100;
	return String(Object.is(rounded, -0) ? 0 : rounded);
}

function contentText(content: Content): string {
	if (content === null) return "";
	if (content instanceof Markup) return content.text;
	if (typeof content === "string") return escapeText(content);
	return content.map(contentText).join("");
}

/** HTML elements that have no content and no end. */
const VOID = new Set(["meta", "br", "col"]);
/** Elements that must have an end even when empty, or HTML reads on as if they were open. SVG's may be closed at once. */
const CLOSES_ITSELF = new Set(["path", "rect", "line", "circle", "use"]);

/** `<name attributes>content</name>`. An attribute that is undefined is left out; numbers are rounded to a hundredth. */
export function element(name: string, attributes: Attributes = {}, ...content: Content[]): Markup {
	let open = `<${name}`;
	for (const [key, value] of Object.entries(attributes)) {
		if (value === undefined) continue;
		open += ` ${key}="${typeof value === "number" ? short(value) : escapeText(value)}"`;
	}
	const inside = contentText(content);
	if (VOID.has(name) || (inside === "" && CLOSES_ITSELF.has(name))) return new Markup(`${open}/>`);
	return new Markup(`${open}>${inside}</${name}>`);
}

/** Markup that somebody else has made, or a style sheet of ours. */
export function raw(text: string): Markup {
	return new Markup(text);
}

/** Several pieces one after the other, each on its own line so that a file can be read and compared. */
export function lines(...content: Content[]): Markup {
	return new Markup(content.flat(1).map(contentText).join("\n"));
}
