/**
 * Runs a program two ways: as the generators it is written with, and compiled. What it does must be the same.
 *
 * A program is the text of a module with a function `main`. It is given `wait(value)`, which may have to wait and returns its
 * value; `log(...)`, which notes an effect; and `world`, which changes whenever somebody waits. It is text because the tests'
 * own code is compiled, too.
 */
import { inspect } from "node:util";
import { type Compiled, compileModule } from "../../compiler/module.ts";
import * as runtime from "../../src/kernel/sched/frame.ts";

/** Says of each place that may have to wait, in the order they are come to, whether it has to; false from its end on. */
export type Schedule = readonly boolean[];

export interface World {
	/** how often somebody has waited */
	now: number;
	/** a program's own change of its module's state */
	during: () => void;
}

export interface Outcome {
	/** all effects, in order */
	readonly log: readonly string[];
	/** what was decided at each place that might have had to wait */
	readonly decisions: readonly boolean[];
	/** how often it waited */
	readonly waits: number;
	/** how many frames were saved each time; compiled programs only */
	readonly depths: readonly number[];
}

/** Effects after which a program is stopped: none here has more to say. */
export const MOST_EFFECTS = 400;

const ENTRY = `
function* entry() {
	log("returned", yield* main());
}
`;

type Entry = () => Iterator<void, unknown, unknown>;

function show(value: unknown): string {
	if (typeof value !== "object" || value === null) return typeof value === "symbol" ? "a symbol" : String(value);
	return inspect(value, { depth: 6, breakLength: Number.POSITIVE_INFINITY });
}

class Stage {
	readonly log: string[] = [];
	readonly decisions: boolean[] = [];
	readonly depths: number[] = [];
	readonly world: World = { now: 0, during: () => {} };
	private readonly schedule: Schedule;

	constructor(schedule: Schedule) {
		this.schedule = schedule;
	}

	/** The program's `entry`; `given` is what else its text may name. */
	start(text: string, wait: unknown, given: Record<string, unknown> = {}): Entry {
		const names = { wait, log: this.note, world: this.world, ...given };
		return new Function(...Object.keys(names), `"use strict";\n${text}\nreturn entry;`)(
			...Object.values(names),
		) as Entry;
	}

	readonly note = (...values: unknown[]): void => {
		if (this.log.length >= MOST_EFFECTS) throw new Error("too many effects");
		this.log.push(values.map(show).join(" "));
	};

	readonly decide = (): boolean => {
		const decision = this.schedule[this.decisions.length] ?? false;
		this.decisions.push(decision);
		return decision;
	};

	waited(): void {
		this.world.now++;
		this.note("waited", this.world.now);
		this.world.during();
	}

	/** Runs until it is over; `step` says whether it has to be called again. */
	run(step: () => boolean): Outcome {
		try {
			while (step()) this.waited();
		} catch (error) {
			// what is wrong with which name is put in other words when the names are others
			const ours = error instanceof Error && error.constructor === Error;
			this.log.push(
				`threw ${ours || !(error instanceof Error) ? inspect((error as Error)?.message ?? error) : error.name}`,
			);
		}
		return { log: this.log, decisions: this.decisions, waits: this.world.now, depths: this.depths };
	}
}

/** How it is meant: JavaScript's own generators. */
export function interpret(program: string, schedule: Schedule): Outcome {
	const stage = new Stage(schedule);
	const wait = new Function("decide", "return function* wait(value) { if (decide()) yield; return value; }")(
		stage.decide,
	);
	const iterator = stage.start(program + ENTRY, wait)();
	return stage.run(() => iterator.next().done !== true);
}

export function compile(program: string): Compiled {
	return compileModule(program + ENTRY, { file: "program.js", runtime: "runtime" });
}

/** What a compiled module's text is when it is to be a function's: its import names what it is given. */
function asFunction(code: string): string {
	return code.replace(/^import \{(.*)\} from "runtime";$/m, (_all, names: string) => {
		return `const {${names.replaceAll(" as ", ": ")}} = runtime;`;
	});
}

/** A compiled program's first function; `given` is what its text may name. */
export function entryOf({ code }: Compiled, given: Record<string, unknown> = {}): unknown {
	return new Stage([]).start(asFunction(code), undefined, { ...given, runtime });
}

/** Which functions save themselves that only give back what they wait for: none, all, or all for every other wait. */
export const NAMINGS = ["none", "all", "now and then"] as const;

export function runCompiled(
	{ code }: Compiled,
	schedule: Schedule,
	naming: (typeof NAMINGS)[number] = "none",
): Outcome {
	const stage = new Stage(schedule);
	const wait = (value: unknown) => (stage.decide() ? runtime.wait_then((a) => a, value, undefined) : value);
	runtime.wait_dropped();
	const td: runtime.Coroutine = { td_main: stage.start(asFunction(code), wait, { runtime }), td_frame: null };
	let round = 0;
	const outcome = stage.run(() => {
		const end = naming === "all" || (naming === "now and then" && ++round % 2 === 0) ? runtime.name_all() : null;
		try {
			if (!runtime.resume_thread(td)) return false;
		} finally {
			end?.();
		}
		let depth = 0;
		for (let frame = td.td_frame; frame !== null; frame = frame.up) depth++;
		stage.depths.push(depth);
		return true;
	});
	if (runtime.wait_dropped()) throw new Error("frames were left over");
	if (runtime.resumption.frame !== null) throw new Error("a frame was not taken");
	return outcome;
}

/**
 * Runs `run` with every schedule, `most` at most. The decisions of one run say what the next one is to try: which places there
 * are to wait at depends on what has happened before.
 *
 * @returns whether these were all
 */
export function everySchedule(most: number, run: (schedule: Schedule) => Outcome): boolean {
	let schedule: boolean[] = [];
	for (let i = 0; i < most; i++) {
		const { decisions } = run(schedule);
		const last = decisions.lastIndexOf(false);
		if (last < 0) return true;
		schedule = [...decisions.slice(0, last), true];
	}
	return false;
}
