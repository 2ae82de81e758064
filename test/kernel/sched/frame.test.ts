/** Frames: how functions that wait hang on a thread, go on from the inside out, and see what is thrown meanwhile. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import {
	type Coroutine,
	type Frame,
	forget_frames,
	frame_name,
	name_all,
	resume_thread,
	resumption,
	SUSPENDED,
	wait_dropped,
	wait_then,
} from "../../../src/kernel/sched/frame.ts";
import { type Blocking, DONE, done, later } from "../../../src/kernel/sched/thread.ts";

function threadOf(main: () => Blocking<void>): Coroutine {
	return { td_main: main, td_frame: null };
}

/** Lets a thread go on until it is over. @returns how often it had to wait */
function finish(td: Coroutine): number {
	let waits = 0;
	while (resume_thread(td)) waits++;
	return waits;
}

function frames(td: Coroutine): string[] {
	const names: string[] = [];
	for (let frame: Frame | null = td.td_frame; frame !== null; frame = frame.up) names.push(frame_name(frame));
	return names;
}

function* pause(): Blocking<void> {
	yield;
}

/** The place a test calls something at that may wait, and forgets to say so. */
const forget = (call: unknown): void => void call;

const WITHOUT_YIELD = "a function that may wait was called without yield*";

describe("a thread", () => {
	test("that never waits is over when it is let go once", () => {
		const log: string[] = [];
		const td = threadOf(function* () {
			yield* done(1);
			yield* DONE;
			log.push("done");
		});
		expect(resume_thread(td)).toBe(false);
		expect(log).toEqual(["done"]);
		expect(td).toEqual({ td_main: null, td_frame: null });
		expect(resume_thread(td)).toBe(false);
		expect(log).toEqual(["done"]);
	});

	test("goes on where it was each time it is let go, its variables as they were", () => {
		const log: number[] = [];
		const td = threadOf(function* () {
			for (let i = 0; i < 3; i++) {
				log.push(i);
				yield;
			}
			log.push(-1);
		});
		expect(log).toEqual([]);
		expect(resume_thread(td)).toBe(true);
		expect(log).toEqual([0]);
		expect(resume_thread(td)).toBe(true);
		expect(resume_thread(td)).toBe(true);
		expect(log).toEqual([0, 1, 2]);
		expect(resume_thread(td)).toBe(false);
		expect(log).toEqual([0, 1, 2, -1]);
	});

	test("has a frame for each function that waits, innermost first; those that are over are gone", () => {
		function* inner(): Blocking<number> {
			yield* pause();
			return 1;
		}
		function* outer(): Blocking<number> {
			const x = yield* inner();
			yield;
			return x + 1;
		}
		const td = threadOf(function* main() {
			yield* outer();
			yield* pause();
			forget(0);
		});
		resume_thread(td);
		expect(frames(td)).toEqual(["pause", "inner", "outer", "main"]);
		const main = td.td_frame?.up?.up?.up;
		resume_thread(td);
		expect(frames(td)).toEqual(["outer", "main"]);
		// who only waits for it is not called, and its frame stays as it is
		expect(td.td_frame?.up).toBe(main);
		resume_thread(td);
		expect(frames(td)).toEqual(["pause", "main"]);
		expect(resume_thread(td)).toBe(false);
		expect(frames(td)).toEqual([]);
	});

	test("has no frame for a function that only gives back what it waits for, unless all are to be named", () => {
		function* counts(n: number): Blocking<number> {
			yield* pause();
			return n + 1;
		}
		function* passes(n: number): Blocking<number> {
			if (n === 0) return -1;
			return yield* counts(n);
		}
		const log: number[] = [];
		function* main(): Blocking<void> {
			log.push(yield* passes(1));
			log.push(yield* passes(2));
		}
		const ends = [name_all(), name_all()];
		const named = threadOf(main);
		resume_thread(named);
		expect(frames(named)).toEqual(["pause", "counts", "passes", "main"]);
		ends[0]();
		ends[0]();
		resume_thread(named);
		expect(frames(named)).toEqual(["pause", "counts", "passes", "main"]);
		ends[1]();
		const plain = threadOf(main);
		resume_thread(plain);
		expect(frames(plain)).toEqual(["pause", "counts", "main"]);
		finish(named);
		finish(plain);
		expect(log).toEqual([2, 3, 2, 3]);
	});

	test("gives what a function returns to the one that waits for it, and to no other", () => {
		const log: unknown[] = [];
		function* give(value: unknown): Blocking<unknown> {
			yield;
			return value;
		}
		function* both(): Blocking<unknown> {
			return [yield* give(1), yield* give(undefined), yield* give(null), yield* give(0)];
		}
		const td = threadOf(function* () {
			log.push(yield* both(), yield* give("last"));
			// what has waited before says nothing about this
			yield;
			log.push(yield* done("at once"));
		});
		expect(finish(td)).toBe(6);
		expect(log).toEqual([[1, undefined, null, 0], "last", "at once"]);
	});

	test("has no frame for a function that returns nothing and waits last of all, either", () => {
		const log: string[] = [];
		function* branches(n: number): Blocking<void> {
			if (n === 0) {
				yield* pause();
				return;
			}
			if (n === 1) yield* pause();
			else {
				yield* pause();
				log.push("more");
			}
		}
		function* chooses(n: number): Blocking<number> {
			return n === 0 ? 5 : yield* done(n);
		}
		function* waits(): Blocking<number> {
			yield* pause();
			return 6;
		}
		function* either(first: boolean): Blocking<number> {
			return first ? yield* chooses(0) : yield* waits();
		}
		const td = threadOf(function* main() {
			for (let n = 0; n < 3; n++) yield* branches(n);
			log.push(`${yield* either(true)} ${yield* either(false)}`);
		});
		const seen: string[][] = [];
		while (resume_thread(td)) seen.push(frames(td));
		expect(seen).toEqual([
			["pause", "main"],
			["pause", "main"],
			["pause", "branches", "main"],
			["pause", "waits", "main"],
		]);
		expect(log).toEqual(["more", "5 6"]);
	});

	test("knows nothing of another one that runs in between", () => {
		const log: string[] = [];
		function* count(name: string, to: number): Blocking<number> {
			let n = 0;
			while (n < to) {
				yield* pause();
				log.push(`${name}${++n}`);
			}
			return n;
		}
		const tds = ["a", "b"].map((name, i) =>
			threadOf(function* () {
				log.push(`${name} ${yield* count(name, 2 + i)}`);
			}),
		);
		for (const i of [0, 1, 0, 1, 1, 0, 1]) resume_thread(tds[i]);
		expect(log).toEqual(["a1", "b1", "b2", "a2", "a 2", "b3", "b 3"]);
	});

	test("keeps what a function is called on", () => {
		class Holder {
			readonly n = 7;
			*get(): Blocking<number> {
				yield;
				return this.n;
			}
		}
		let got = 0;
		const td = threadOf(function* () {
			got = yield* new Holder().get();
		});
		finish(td);
		expect(got).toBe(7);
	});

	test.each([4, 5, 10, 11, 15, 17])("brings back %i variables, each its own", (count) => {
		let got: readonly number[] = [];
		function* some(n: number): Blocking<readonly number[]> {
			const a = n + 1;
			const b = n + 2;
			const c = n + 3;
			const d = n + 4;
			if (count === 4) {
				yield;
				return [a, b, c, d];
			}
			const e = n + 5;
			if (count === 5) {
				yield;
				return [a, b, c, d, e];
			}
			const f = n + 6;
			const g = n + 7;
			const h = n + 8;
			const i = n + 9;
			const j = n + 10;
			if (count === 10) {
				yield;
				return [a, b, c, d, e, f, g, h, i, j];
			}
			const k = n + 11;
			if (count === 11) {
				yield;
				return [a, b, c, d, e, f, g, h, i, j, k];
			}
			const l = n + 12;
			const m = n + 13;
			const o = n + 14;
			const p = n + 15;
			if (count === 15) {
				yield;
				return [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p];
			}
			const q = n + 16;
			const r = n + 17;
			yield;
			return [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r];
		}
		const td = threadOf(function* () {
			got = yield* some(100);
		});
		expect(finish(td)).toBe(1);
		expect(got).toEqual(Array.from({ length: count }, (_, i) => 101 + i));
	});
});

describe("a plain function that waits", () => {
	test("goes on with what it says, and gives what that returns", () => {
		const log: unknown[] = [];
		const after = (a: number, b: string): string => {
			log.push([a, b]);
			return b.repeat(a);
		};
		const td = threadOf(function* () {
			log.push(yield* wait_then(after, 2, "x") as Blocking<string>);
			log.push(yield* later((a: number) => done(a + 1), 5));
			log.push(yield* later((a: number, b: number) => done(a + b), 5, 6));
		});
		resume_thread(td);
		expect(log).toEqual([]);
		expect(finish(td)).toBe(2);
		expect(log).toEqual([[2, "x"], "xx", 6, 11]);
	});

	test("may have to wait again", () => {
		let left = 3;
		const again = (): Blocking<string> => (left-- > 0 ? later(again, undefined) : done("at last"));
		let got = "";
		const td = threadOf(function* () {
			got = yield* again();
		});
		expect(finish(td)).toBe(3);
		expect(got).toBe("at last");
	});
});

describe("what is thrown", () => {
	function* fail(what: string): Blocking<never> {
		yield;
		throw new Error(what);
	}
	function* through(what: string): Blocking<void> {
		yield* pause();
		yield* fail(what);
		forget(what);
	}

	test("while functions wait comes to the innermost of them that can catch it", () => {
		const log: string[] = [];
		function* inner(): Blocking<string> {
			try {
				yield* through("a");
			} catch (error) {
				log.push(`inner ${(error as Error).message}`);
				yield;
				return "caught";
			}
			return "never";
		}
		const td = threadOf(function* main() {
			try {
				log.push(yield* inner());
			} catch {
				log.push("never");
			}
		});
		resume_thread(td);
		expect(frames(td)).toEqual(["pause", "through", "inner", "main"]);
		resume_thread(td);
		expect(frames(td)).toEqual(["fail", "through", "inner", "main"]);
		resume_thread(td);
		expect(frames(td)).toEqual(["inner", "main"]);
		expect(log).toEqual(["inner a"]);
		expect(resume_thread(td)).toBe(false);
		expect(log).toEqual(["inner a", "caught"]);
	});

	test("goes on outwards from where it is thrown again, and past what only tidies up", () => {
		const log: string[] = [];
		function* tidy(name: string, work: () => Blocking<void>): Blocking<void> {
			try {
				yield* work();
			} finally {
				yield;
				log.push(`tidied ${name}`);
			}
		}
		function* between(): Blocking<void> {
			yield* tidy("inner", () => through("b"));
			log.push("never");
		}
		const td = threadOf(function* () {
			try {
				yield* tidy("outer", between);
			} catch (error) {
				throw new Error(`${(error as Error).message}, and again`);
			}
		});
		expect(() => finish(td)).toThrow("b, and again");
		expect(log).toEqual(["tidied inner", "tidied outer"]);
	});

	test("and caught by nobody ends resume_thread, and says nothing to other threads", () => {
		const log: string[] = [];
		const other = threadOf(function* () {
			try {
				yield* pause();
				log.push("undisturbed");
			} catch {
				log.push("never");
			}
		});
		resume_thread(other);
		const td = threadOf(() => through("c") as Blocking<void>);
		resume_thread(td);
		resume_thread(td);
		expect(() => resume_thread(td)).toThrow("c");
		expect(finish(other)).toBe(0);
		expect(log).toEqual(["undisturbed"]);
		expect([resumption.frame, resumption.thrown]).toEqual([null, null]);
	});

	test("may be anything, nothing included", () => {
		const log: unknown[] = [];
		function* give(value: unknown): Blocking<void> {
			yield;
			throw value;
		}
		const td = threadOf(function* () {
			for (const value of [undefined, null, "text", SUSPENDED]) {
				try {
					yield* give(value);
					log.push("never");
				} catch (thrown) {
					log.push(thrown);
				}
			}
		});
		expect(finish(td)).toBe(4);
		expect(log).toEqual([undefined, null, "text", SUSPENDED]);
	});
});

describe("a call without yield*", () => {
	test("that would have had to wait is found out when its caller returns, and forgotten then", () => {
		const td = threadOf(function* () {
			forget(pause());
		});
		expect(() => resume_thread(td)).toThrow(WITHOUT_YIELD);
		expect(wait_dropped()).toBe(false);
		expect(finish(threadOf(pause))).toBe(1);
	});

	test("is found out after a wait, too", () => {
		function* careless(): Blocking<void> {
			yield* pause();
			forget(pause());
		}
		const td = threadOf(function* () {
			yield* careless();
		});
		expect(resume_thread(td)).toBe(true);
		expect(() => resume_thread(td)).toThrow(WITHOUT_YIELD);
	});

	test("is found out when the next thing waits", () => {
		const td = threadOf(function* () {
			forget(later(() => done(1), undefined));
			yield* later(() => done(2), undefined);
		});
		expect(() => resume_thread(td)).toThrow(WITHOUT_YIELD);
		expect(wait_dropped()).toBe(false);
		expect(finish(threadOf(pause))).toBe(1);
	});

	test("is an exception to whoever can catch it", () => {
		const log: string[] = [];
		function* careless(): Blocking<void> {
			yield* pause();
			forget(pause());
		}
		const td = threadOf(function* () {
			try {
				yield* careless();
				log.push("never");
			} catch (error) {
				log.push((error as Error).message);
			}
			yield* pause();
			log.push("went on");
		});
		expect(finish(td)).toBe(2);
		expect(log).toEqual([WITHOUT_YIELD, "went on"]);
	});

	test("does not hide what is thrown after it", () => {
		const log: string[] = [];
		function* careless(): Blocking<void> {
			yield* pause();
			forget(pause());
			throw new Error("the reason");
		}
		const td = threadOf(function* () {
			try {
				yield* careless();
			} catch (error) {
				log.push((error as Error).message);
			}
			yield* pause();
		});
		expect(finish(td)).toBe(2);
		expect(log).toEqual(["the reason"]);
	});

	test("is told by wait_dropped, once", () => {
		expect(wait_dropped()).toBe(false);
		expect(pause() as unknown).toBe(SUSPENDED);
		expect(wait_dropped()).toBe(true);
		expect(wait_dropped()).toBe(false);
		forget(done(1));
		expect(wait_dropped()).toBe(false);
	});
});

test("frames that nobody uses hold on to what was in them until they are forgotten, as at each boot", async () => {
	setFlagsFromString("--expose-gc");
	const collect = runInNewContext("gc") as () => void;
	function* hold(what: object): Blocking<void> {
		yield;
		expect(what).not.toBeNull();
	}
	const used = (): WeakRef<object> => {
		const what = {};
		finish(
			threadOf(function* () {
				yield* hold(what);
			}),
		);
		return new WeakRef(what);
	};
	const gone = async (ref: WeakRef<object>): Promise<boolean> => {
		// what a WeakRef is made of stays until the task is over
		await new Promise((resolve) => setImmediate(resolve));
		collect();
		return ref.deref() === undefined;
	};
	const ref = used();
	expect(await gone(ref)).toBe(false);
	forget_frames();
	expect(await gone(ref)).toBe(true);
});
