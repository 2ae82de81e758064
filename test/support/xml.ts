/** A strict reader of well-formed XML, the part of it that our HTML and SVG are made of. It throws where a browser would guess. */
export interface XmlElement {
	readonly name: string;
	readonly attributes: ReadonlyMap<string, string>;
	readonly children: (XmlElement | string)[];
}

const TOKEN = /<([A-Za-z][\w:-]*)((?:\s+[A-Za-z_][\w:.-]*="[^"<]*")*)\s*(\/?)>|<\/([A-Za-z][\w:-]*)>|([^<]+)/y;
const ATTRIBUTE = /([A-Za-z_][\w:.-]*)="([^"<]*)"/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"' };

function decode(text: string): string {
	return text.replace(/&([^;]*;?)/g, (whole, body: string) => {
		const found = body.endsWith(";") ? ENTITIES[body.slice(0, -1)] : undefined;
		if (found === undefined) throw new Error(`not an entity: ${whole.slice(0, 20)}`);
		return found;
	});
}

/** The root element. A DOCTYPE may stand before it. */
export function parseXml(text: string): XmlElement {
	const body = text.replace(/^<!DOCTYPE html>\n/, "").trim();
	const root: XmlElement = { name: "", attributes: new Map(), children: [] };
	const open: XmlElement[] = [root];
	TOKEN.lastIndex = 0;
	while (TOKEN.lastIndex < body.length) {
		const at = TOKEN.lastIndex;
		const match = TOKEN.exec(body);
		if (match === null) throw new Error(`not well-formed: ${body.slice(at, at + 60)}`);
		const [, name, list, closed, end, content] = match;
		const top = open[open.length - 1];
		if (content !== undefined) top.children.push(decode(content));
		else if (end !== undefined) {
			if (top.name !== end) throw new Error(`</${end}> ends <${top.name}>`);
			open.pop();
		} else {
			const attributes = new Map<string, string>();
			for (const [, key, value] of list.matchAll(ATTRIBUTE)) {
				if (attributes.has(key)) throw new Error(`<${name}> has ${key} twice`);
				attributes.set(key, decode(value));
			}
			const element: XmlElement = { name, attributes, children: [] };
			top.children.push(element);
			if (closed === "") open.push(element);
		}
	}
	if (open.length > 1) throw new Error(`<${open[open.length - 1].name}> is never closed`);
	const [only, ...more] = root.children;
	if (typeof only !== "object" || more.length > 0) throw new Error("not one root element");
	return only;
}

/** An element and all below it, in order. */
export function* everyElement(element: XmlElement): Generator<XmlElement> {
	yield element;
	for (const child of element.children) if (typeof child !== "string") yield* everyElement(child);
}

export function textOf(element: XmlElement): string {
	return element.children.map((child) => (typeof child === "string" ? child : textOf(child))).join("");
}
