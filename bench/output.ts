/** What the benches print: lines, and tables under a title. */
import { table } from "../sim/report/table.ts";

export function say(text = ""): void {
	process.stdout.write(`${text}\n`);
}

/** A table, its first row the heads, and an empty line. */
export function section(title: string, rows: readonly (readonly string[])[]): void {
	say(title);
	for (const line of table(rows)) say(`  ${line}`);
	say();
}
