/** Compiled code does what the generators it was made of would do: the same effects in the same order, whoever has to wait. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Compiled } from "../../compiler/module.ts";
import { RandomStream } from "../../src/machine/random.ts";
import { expressions } from "./corpus/expressions.ts";
import { functions } from "./corpus/functions.ts";
import { statements } from "./corpus/statements.ts";
import { CONSTRUCTS, type Construct, writeProgram } from "./programs.ts";
import {
	compile,
	everySchedule,
	interpret,
	MOST_EFFECTS,
	NAMINGS,
	type Outcome,
	runCompiled,
	type Schedule,
} from "./support.ts";

/** Tries so many schedules before it gives up on all of them, */
const EVERY = 256;
/** and takes so many by chance. */
const BY_CHANCE = 100;

function whole(text: string): string {
	return /function\* main\(/.test(text) ? text : `function* main() {${text}\n}`;
}

/** @returns what it did, every way */
function same(program: string, compiled: Compiled, schedule: Schedule): Outcome {
	const meant = interpret(program, schedule);
	for (const naming of NAMINGS) {
		const done = runCompiled(compiled, meant.decisions, naming);
		// the texts are made for a failure only
		if (done.log.join("\n") !== meant.log.join("\n")) {
			expect(done.log, `${program}\n${compiled.code}\nnamed: ${naming}`).toEqual(meant.log);
		}
		expect(done.decisions).toEqual(meant.decisions);
		expect(done.waits).toBe(meant.waits);
	}
	return meant;
}

const ALWAYS: Schedule = Array(MOST_EFFECTS).fill(true);

describe.each(Object.entries({ statements, expressions, functions }))("%s", (_kind, programs) => {
	test.each(Object.entries(programs))("%s", (name, text) => {
		const program = whole(text);
		const compiled = compile(program);
		const always = same(program, compiled, ALWAYS);
		if (name !== "functions that never wait") expect(always.waits).toBeGreaterThan(0);
		// a program that does not get to its end is not compared as a whole
		expect(always.log.length).toBeLessThan(MOST_EFFECTS);
		if (everySchedule(EVERY, (schedule) => same(program, compiled, schedule))) return;
		const chance = new RandomStream(1, name);
		for (let i = 0; i < BY_CHANCE; i++) {
			same(
				program,
				compiled,
				ALWAYS.map(() => chance.uint32() % 2 === 0),
			);
		}
	});
});

describe("programs by chance", () => {
	const choices = fc.noBias(fc.uint8Array({ minLength: 150, maxLength: 500, size: "max" }));

	test("do the same, compiled or not", () => {
		const schedules = fc.array(fc.array(fc.boolean(), { minLength: 30, maxLength: 120, size: "max" }), {
			minLength: 2,
			maxLength: 2,
		});
		fc.assert(
			fc.property(choices, schedules, (chosen, some) => {
				const { text } = writeProgram(chosen);
				const compiled = compile(text);
				for (const schedule of [[], ALWAYS, ...some]) same(text, compiled, schedule);
			}),
			{ numRuns: fc.readConfigureGlobal().numRuns ?? 300 },
		);
	});

	test("are made of everything, nearly all compiled, and wait often with several frames saved", () => {
		const made = new Map<Construct, number>(CONSTRUCTS.map((construct) => [construct, 0]));
		const waits = { all: 0, deep: 0, deepest: 0 };
		let functions = 0;
		let kept = 0;
		for (const chosen of fc.sample(choices, { seed: 1, numRuns: 100 })) {
			const program = writeProgram(chosen);
			for (const [construct, times] of program.made) made.set(construct, made.get(construct)! + times);
			const compiled = compile(program.text);
			functions += program.text.match(/^(?:function|class K)/gm)?.length ?? 0;
			kept += compiled.kept.length;
			const { depths } = runCompiled(compiled, ALWAYS);
			waits.all += depths.length;
			// the entry's, that of main, and that of what waits are always there
			waits.deep += depths.filter((depth) => depth > 3).length;
			waits.deepest = Math.max(waits.deepest, ...depths);
		}
		for (const [construct, times] of made) expect(times, construct).toBeGreaterThan(10);
		expect(waits.all).toBeGreaterThan(1000);
		expect(waits.deep).toBeGreaterThan(waits.all / 4);
		expect(waits.deepest).toBeGreaterThan(4);
		expect(kept).toBeLessThan(functions / 5);
	});
});
