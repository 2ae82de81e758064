import type { Statement, SwitchCase, SwitchStatement } from "estree";
import { literal, name } from "./node.ts";
import { AT } from "./runtime.ts";

/** A statement list under construction: the cases of its switch. */
export class List {
	private readonly cases: { at: number[]; body: Statement[] }[] = [{ at: [0], body: [] }];
	/** told of the switch, if it becomes one */
	private readonly entries: Set<SwitchStatement>;

	constructor(entries: Set<SwitchStatement>) {
		this.entries = entries;
	}

	add(statement: Statement): void {
		this.cases[this.cases.length - 1].body.push(statement);
	}

	/** What follows is also reached when the function goes on at one of `at`. */
	enter(at: number[]): void {
		if (at.length > 0) this.cases.push({ at, body: [] });
	}

	finish(): Statement[] {
		if (this.cases.length === 1) return this.cases[0].body;
		const cases: SwitchCase[] = [];
		for (const { at, body } of this.cases) {
			at.forEach((point, i) => {
				cases.push({ type: "SwitchCase", test: literal(point), consequent: i === at.length - 1 ? body : [] });
			});
		}
		const entry: SwitchStatement = { type: "SwitchStatement", discriminant: name(AT), cases };
		this.entries.add(entry);
		return [entry];
	}
}
