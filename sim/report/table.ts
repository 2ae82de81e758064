/** Plain text tables: columns aligned, numbers to the right, two spaces between. */

/** A row with fewer cells than others leaves the rest empty. */
export function table(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string[] {
	const columns = Math.max(0, ...rows.map((row) => row.length));
	const widths = Array.from({ length: columns }, (_, i) => Math.max(0, ...rows.map((row) => (row[i] ?? "").length)));
	return rows.map((row) =>
		widths
			.map((width, i) => (left.includes(i) ? (row[i] ?? "").padEnd(width) : (row[i] ?? "").padStart(width)))
			.join("  ")
			.trimEnd(),
	);
}

/** The same as a Markdown table; the first row is the heading. */
export function markdownTable(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string[] {
	const [heading, ...body] = rows;
	const rule = heading.map((_, i) => (left.includes(i) ? "---" : "--:"));
	return [heading, rule, ...body].map((row) => `| ${row.join(" | ")} |`);
}

export function indent(lines: readonly string[], by = "  "): string[] {
	return lines.map((line) => (line === "" ? "" : by + line));
}
