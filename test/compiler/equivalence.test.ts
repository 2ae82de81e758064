/** Compiled code does what the generators it was made of would do: the same effects in the same order, whoever has to wait. */
import { describe, expect, test } from "vitest";
import { RandomStream } from "../../src/machine/random.ts";
import { expressions } from "./corpus/expressions.ts";
import { functions } from "./corpus/functions.ts";
import { statements } from "./corpus/statements.ts";
import { compile, everySchedule, interpret, runCompiled, type Schedule } from "./support.ts";

/** Tries so many schedules before it gives up on all of them, */
const EVERY = 256;
/** and takes so many by chance. */
const BY_CHANCE = 100;

function whole(text: string): string {
	return /function\* main\(/.test(text) ? text : `function* main() {${text}\n}`;
}

describe.each(Object.entries({ statements, expressions, functions }))("%s", (_kind, programs) => {
	test.each(Object.entries(programs))("%s", (name, text) => {
		const program = whole(text);
		const compiled = compile(program);
		let waits = 0;
		const same = (schedule: Schedule) => {
			const meant = interpret(program, schedule);
			const done = runCompiled(compiled, meant.decisions);
			expect(done.log, `with ${JSON.stringify(schedule)}\n${compiled.code}`).toEqual(meant.log);
			expect(done.decisions).toEqual(meant.decisions);
			waits = Math.max(waits, done.waits);
			return meant;
		};
		if (!everySchedule(EVERY, same)) {
			const chance = new RandomStream(1, name);
			for (let i = 0; i < BY_CHANCE; i++) same(Array.from({ length: 200 }, () => chance.uint32() % 2 === 0));
		}
		same(Array(1000).fill(true));
		if (name !== "functions that never wait") expect(waits).toBeGreaterThan(0);
	});
});
