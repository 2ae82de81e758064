/**
 * How a function waits in the middle, and goes on later: what compiled `function*` are made of.
 *
 * The compiler (compiler/) turns every Blocking function into a plain one. When it has to wait, each function on the way saves
 * itself in a frame and returns SUSPENDED; the frames hang on the thread, innermost first. When the thread goes on, only the
 * innermost function is called again; the one that had called it is when that is over. Most calls never wait, and cost no
 * more than a call. Some that do can stay where they are meanwhile, with others running above them on the host's stack.
 */
import { call } from "../../machine/call.ts";

/** What a function returns that has to wait, having saved itself. */
export const SUSPENDED: unique symbol = Symbol("SUSPENDED");

type Resumable = (this: never, ...args: never[]) => unknown;
type GoesOn = (this: never, frame: Frame, value: unknown) => unknown;

/** A function in the middle of its work. Frames are used again and again: the host would spend much time on making them. */
export class Frame {
	/** called to go on, with the frame and what came back from what it waited for */
	fn: Resumable = undefined as never;
	/** its `this`, if it has one */
	self: unknown = undefined;
	/** where it goes on; below zero if it has arguments of its own, and finds both in `resumption` */
	at = 0;
	/** the frame of the function that waits for this one */
	up: Frame | null = null;
	/** variables it needs again; if there are more than sixteen, the first of these is all of them: so it is 184 bytes in all */
	v0: unknown = undefined;
	v1: unknown = undefined;
	v2: unknown = undefined;
	v3: unknown = undefined;
	v4: unknown = undefined;
	v5: unknown = undefined;
	v6: unknown = undefined;
	v7: unknown = undefined;
	v8: unknown = undefined;
	v9: unknown = undefined;
	v10: unknown = undefined;
	v11: unknown = undefined;
	v12: unknown = undefined;
	v13: unknown = undefined;
	v14: unknown = undefined;
	v15: unknown = undefined;
}

/** So many are made at once, and lie together in the host's memory. Made one by one they were all over it, and 1.03 times as slow. */
const FRAMES_AT_ONCE = 1024;

/** frames nobody uses */
let spare: Frame | null = null;

function more_frames(): Frame {
	let first = new Frame();
	for (let i = 1; i < FRAMES_AT_ONCE; i++) {
		const frame = new Frame();
		frame.up = first;
		first = frame;
	}
	return first;
}

/** Forgets the frames nobody uses: their variables hold on to what was in the kernels before, which may be gone. */
type BlockingGenerator = Generator<void, unknown, unknown>;

/**
 * The frame that a function with arguments of its own is called to go on with, and what came back from what it waited for; it takes
 * the frame away.
 */
export const resumption: {
	frame: Frame | null;
	value: unknown;
	/** what was thrown instead; only generators are told */
	thrown: { readonly reason: unknown } | null;
	/** whether a function saves itself that has nothing left to do but give back what it waits for */
	named: boolean;
} = { frame: null, value: undefined, thrown: null, named: false };

/** those who want that */
let naming = 0;

/** From now on, all functions that wait can be named: see frame_name. @returns a function that ends it */
export function name_all(): () => void {
	naming++;
	resumption.named = true;
	let ended = false;
	return () => {
		if (ended) return;
		ended = true;
		naming--;
		resumption.named = naming > 0;
	};
}

const WITHOUT_YIELD = "a function that may wait was called without yield*";

/** From here on up hang the frames saved since the thread was let go, which hang on nothing yet. */
const saved = new Frame();
let outermost = saved;

/** Forgets the frames nobody uses: their variables hold on to what was in the kernels before, which may be gone. */
export function forget_frames(): void {
	spare = null;
	if (outermost === saved) saved.up = null;
}

function save(fn: Resumable, at: number): Frame {
	const frame = spare ?? more_frames();
	spare = frame.up;
	frame.fn = fn;
	frame.at = at;
	outermost.up = frame;
	outermost = frame;
	return frame;
}

/** Saves a function with no variables. */
export function suspend0(fn: Resumable, at: number): typeof SUSPENDED {
	save(fn, at);
	return SUSPENDED;
}

/** Saves a function with one variable. */
export function suspend1(fn: Resumable, at: number, v0: unknown): typeof SUSPENDED {
	save(fn, at).v0 = v0;
	return SUSPENDED;
}

/** Saves a function with two variables. */
export function suspend2(fn: Resumable, at: number, v0: unknown, v1: unknown): typeof SUSPENDED {
	const frame = save(fn, at);
	frame.v0 = v0;
	frame.v1 = v1;
	return SUSPENDED;
}

/** Saves a function with up to 4 variables. */
export function suspend4(
	fn: Resumable,
	at: number,
	v0: unknown,
	v1: unknown,
	v2: unknown,
	v3?: unknown,
): typeof SUSPENDED {
	const frame = save(fn, at);
	frame.v0 = v0;
	frame.v1 = v1;
	frame.v2 = v2;
	frame.v3 = v3;
	return SUSPENDED;
}

/** Saves a function with up to 9 variables. */
export function suspend9(
	fn: Resumable,
	at: number,
	v0: unknown,
	v1: unknown,
	v2: unknown,
	v3: unknown,
	v4: unknown,
	v5?: unknown,
	v6?: unknown,
	v7?: unknown,
	v8?: unknown,
): typeof SUSPENDED {
	const frame = save(fn, at);
	frame.v0 = v0;
	frame.v1 = v1;
	frame.v2 = v2;
	frame.v3 = v3;
	frame.v4 = v4;
	frame.v5 = v5;
	frame.v6 = v6;
	frame.v7 = v7;
	frame.v8 = v8;
	return SUSPENDED;
}

/** Saves a function with up to 16 variables. */
export function suspend16(
	fn: Resumable,
	at: number,
	v0: unknown,
	v1: unknown,
	v2: unknown,
	v3: unknown,
	v4: unknown,
	v5: unknown,
	v6: unknown,
	v7: unknown,
	v8: unknown,
	v9: unknown,
	v10?: unknown,
	v11?: unknown,
	v12?: unknown,
	v13?: unknown,
	v14?: unknown,
	v15?: unknown,
): typeof SUSPENDED {
	suspend9(fn, at, v0, v1, v2, v3, v4, v5, v6, v7, v8);
	const frame = outermost;
	frame.v9 = v9;
	frame.v10 = v10;
	frame.v11 = v11;
	frame.v12 = v12;
	frame.v13 = v13;
	frame.v14 = v14;
	frame.v15 = v15;
	return SUSPENDED;
}

/** Saves a function with any number of variables. */
export function suspend(fn: Resumable, at: number, ...values: unknown[]): typeof SUSPENDED {
	save(fn, at).v0 = values;
	return SUSPENDED;
}

/** Notes the `this` of the function that has just been saved. */
export function with_this(self: unknown, suspended: typeof SUSPENDED): typeof SUSPENDED {
	outermost.self = self;
	return suspended;
}

/** Goes on with a function that stays a generator, see there. */
function resume_generator({ v0, v1 }: Frame, value: unknown): unknown {
	const iterator = v0 as BlockingGenerator;
	const { thrown } = resumption;
	resumption.thrown = null;
	return step(thrown === null ? iterator.next(value) : iterator.throw(thrown.reason), iterator, v1);
}

function step(result: IteratorResult<void, unknown>, iterator: BlockingGenerator, name: unknown): unknown {
	return result.done ? result.value : suspend2(resume_generator, 0, iterator, name);
}

/**
 * Runs a function that stays a generator, because it must see what is thrown while it waits. It yields where a compiled
 * function would return SUSPENDED.
 */
export function generator(iterator: BlockingGenerator, name: string): unknown {
	return step(iterator.next(undefined), iterator, name);
}

/**
 * What a function is called that waits. Those that only give back what they wait for are not among the frames, unless name_all
 * says so.
 */
export function frame_name(frame: Frame): string {
	return frame.fn === resume_generator ? (frame.v1 as string) : source_name(frame.fn.name);
}

/** What a function is called in the source: one that goes on is another than the one that was called. */
export function source_name(compiled: string): string {
	return compiled.replace("$resumed", "");
}

/** Goes on after a wait: the innermost of a thread's frames, so whoever runs the thread knows it. */
function resume_after_wait({ v0: after, v1: a, v2: b }: Frame): unknown {
	return (after as (a: unknown, b: unknown) => unknown)(a, b);
}

/** Lets others run until the thread that waits may go on, see set_stay. */
let stay = (): boolean => false;

/**
 * The scheduler's: says how a thread waits without leaving its functions. `how` returns true when the thread may go on, and
 * false when it must leave them.
 *
 * @returns how it was before
 */
export function set_stay(how: () => boolean): () => boolean {
	const before = stay;
	stay = how;
	return before;
}

/** Waits, and goes on with `after(a, b)`. Nothing was saved before: it is the innermost. */
export function wait_then<A, B>(after: (a: A, b: B) => unknown, a: A, b: B): unknown {
	if (wait_dropped()) throw new Error(WITHOUT_YIELD);
	return stay() ? after(a, b) : suspend4(resume_after_wait, 0, after, a, b);
}

/**
 * Whether a function has returned that had to wait, without saying so: something in it was called without `yield*`. What was
 * saved is forgotten.
 */
export function wait_dropped(): boolean {
	const dropped = outermost !== saved;
	outermost = saved;
	return dropped;
}

/** Whatever runs compiled functions: a thread. */
export interface Coroutine {
	/** its first function, until that is called */
	td_main: (() => unknown) | null;
	/** functions that wait, innermost first */
	td_frame: Frame | null;
}

/** Lets `td` go on until it has to wait. @returns false when it is over */
export function resume_thread(td: Coroutine): boolean {
	try {
		return run_thread(td, undefined);
	} catch (reason) {
		return unwind(td, reason);
	}
}

function run_thread(td: Coroutine, result: unknown): boolean {
	if (td.td_main !== null) {
		const main = td.td_main;
		td.td_main = null;
		result = main();
	}
	for (;;) {
		if (typeof result === "symbol") {
			outermost.up = td.td_frame;
			td.td_frame = saved.up;
			outermost = saved;
			return true;
		}
		if (outermost !== saved) {
			outermost = saved;
			throw new Error(WITHOUT_YIELD);
		}
		const frame = td.td_frame;
		if (frame === null) return false;
		td.td_frame = frame.up;
		// the function takes its variables out before it does anything else
		frame.up = spare;
		spare = frame;
		const { self } = frame;
		if (self !== undefined) frame.self = undefined;
		if (frame.fn === resume_after_wait) {
			result = resume_after_wait(frame);
		} else if (frame.at >= 0) {
			result = call(frame.fn as GoesOn, self, frame, result);
		} else {
			resumption.frame = frame;
			resumption.value = result;
			result = call(frame.fn as () => unknown, self);
		}
	}
}

/** Gives what was thrown to the functions that waited, from the inside: those that can catch it are generators. */
function unwind(td: Coroutine, reason: unknown): boolean {
	// what was thrown may have come after a call without yield*
	wait_dropped();
	for (let frame = td.td_frame; frame !== null; frame = frame.up) {
		if (frame.fn !== resume_generator) continue;
		td.td_frame = frame;
		resumption.thrown = { reason };
		return resume_thread(td);
	}
	throw reason;
}
