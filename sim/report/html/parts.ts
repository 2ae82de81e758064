/** Pieces a report's page is put together from. */
import { formatDuration, readableTime } from "../../units.ts";
import { type Content, element, lines, type Markup } from "../markup.ts";

export interface Column {
	readonly name: string;
	/** numbers stand to the right */
	readonly number: boolean;
}

/** Heads of columns: the first is text, all others are numbers. */
export function numbers(first: string, ...names: string[]): Column[] {
	return [{ name: first, number: false }, ...names.map((name) => ({ name, number: true }))];
}

export interface TableOptions {
	readonly caption?: string;
	/** on a phone, a row becomes a paragraph with the columns' names in it */
	readonly stack?: boolean;
	readonly className?: string;
}

/** The first cell of each row is its head. */
export function dataTable(
	columns: readonly Column[],
	rows: readonly (readonly Content[])[],
	options: TableOptions = {},
): Markup {
	const look = (i: number): string | undefined => (columns[i].number ? "number" : undefined);
	const classes = [options.stack === true ? "stack" : "", options.className ?? ""].filter((name) => name !== "");
	return element(
		"div",
		{ class: options.stack === true ? "wide" : "scroll" },
		element(
			"table",
			{ class: classes.length === 0 ? undefined : classes.join(" ") },
			options.caption === undefined ? null : element("caption", {}, options.caption),
			"\n",
			element(
				"thead",
				{},
				element("tr", {}, ...columns.map(({ name }, i) => element("th", { scope: "col", class: look(i) }, name))),
			),
			"\n",
			element(
				"tbody",
				{},
				...rows.flatMap((row) => [
					"\n",
					element(
						"tr",
						{},
						...row.map((cell, i) =>
							i === 0
								? element("th", { scope: "row" }, cell)
								: element("td", { class: look(i), "data-name": columns[i].name }, cell),
						),
					),
				]),
			),
			"\n",
		),
	);
}

/** A figure under its message, with the numbers behind it to unfold. */
export function figure(message: Content, drawing: Markup, table: Markup): Markup {
	return element(
		"figure",
		{},
		...["\n", element("figcaption", {}, message)],
		...["\n", drawing],
		...["\n", element("details", {}, element("summary", {}, "The numbers"), "\n", table)],
		"\n",
	);
}

/** The same for a figure that is too wide for a phone: it scrolls there, by keyboard, too. */
export function wideFigure(message: Content, label: string, drawing: Markup, table: Markup): Markup {
	const region = { class: "scroll timeline", tabindex: "0", role: "region", "aria-label": label };
	return figure(message, element("div", region, "\n", drawing, "\n"), table);
}

export function section(id: string, title: string, ...content: Content[]): Markup {
	const heading = element("h2", { id: `${id}-title` }, title);
	return element("section", { id, "aria-labelledby": `${id}-title` }, "\n", lines(heading, ...content), "\n");
}

export function paragraph(...content: Content[]): Markup {
	return element("p", {}, ...content);
}

export function code(text: string): Markup {
	return element("code", {}, text);
}

/** A time as people write it. */
export function time(ns: number): string {
	return readableTime(ns).replace(" us", " µs");
}

/** A round time: `200 µs`. */
export function duration(ns: number): string {
	return formatDuration(ns)
		.replace(/([a-z]+)$/, " $1")
		.replace(" us", " µs");
}

/** Longer than this, an option with its value may be broken. */
const UNBROKEN = 40;

/** A command line that breaks between its options only. */
export function command(text: string): Markup {
	const words = text.split(/ (?=--)/);
	const pieces = words.map((word) => element("span", { class: word.length > UNBROKEN ? undefined : "unbroken" }, word));
	return element("pre", {}, ...pieces.flatMap((piece, i) => (i === 0 ? [piece] : [" ", piece])));
}

/** Text in which backquotes mark code. */
export function marked(text: string): Content[] {
	return text.split("`").map((piece, i) => (i % 2 === 1 ? code(piece) : piece));
}
