/** Threads that stay in their functions while they wait: what others do above them on the host's stack is none of their business. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../../../src/kernel/lock/mutex.ts";
import { type Frame, frame_name, set_stay } from "../../../src/kernel/sched/frame.ts";
import { curkernel, type Kernel, panic } from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, charge, type thread } from "../../../src/kernel/sched/thread.ts";
import { bootOn, finish, pass, start, work } from "./support.ts";

let stay: () => boolean;
/** threads that went on where they were, that left at once, and that stayed for a while and then had to leave */
let stayed: number;
let left: number;
let forced: number;

beforeEach(() => {
	stayed = left = forced = 0;
	stay = set_stay(() => {
		const { events } = curkernel.machine;
		const before = events.fired;
		const stays = stay();
		if (stays) stayed++;
		else if (events.fired === before) left++;
		else forced++;
		return stays;
	});
});

afterEach(() => {
	set_stay(stay);
});

/** Starts a thread on each CPU, all of one priority. */
function startAll(kernel: Kernel, mains: readonly (() => Blocking<void>)[]): thread[] {
	return mains.map((main, cpu) => start(kernel, `t${cpu}`, 40, cpu, main));
}

function waiting(td: thread): string[] {
	const names: string[] = [];
	for (let frame: Frame | null = td.td_frame; frame !== null; frame = frame.up) names.push(frame_name(frame));
	return names;
}

function* deep(depth: number, ns: number): Blocking<number> {
	if (depth === 0) yield* work(ns);
	else return (yield* deep(depth - 1, ns)) + 1;
	return 0;
}

test("one that waits longest goes on where it was, after all that was due before", () => {
	const kernel = bootOn({ cpus: 2 });
	const order: string[] = [];
	const tds = startAll(kernel, [
		function* () {
			order.push(`long ${yield* deep(5, 50_000)}`);
		},
		function* () {
			for (let i = 0; i < 10; i++) {
				yield* work(1_000);
				order.push(`short ${i}`);
			}
			yield* work(100_000);
		},
	]);
	finish(kernel, tds);
	expect(order).toEqual([...Array.from({ length: 10 }, (_, i) => `short ${i}`), "long 5"]);
	expect(stayed).toBeGreaterThan(0);
});

test("one that would wait for longer than the one below leaves at once", () => {
	const kernel = bootOn({ cpus: 4 });
	const order: number[] = [];
	// each begins before the next and is due before it
	const tds = startAll(
		kernel,
		[0, 1, 2, 3].map((n) => {
			return function* () {
				yield* work(n * 1_000);
				order.push(yield* deep(n, 20_000));
			};
		}),
	);
	finish(kernel, tds);
	expect(order).toEqual([0, 1, 2, 3]);
	expect(left).toBeGreaterThan(0);
	expect(forced).toBe(0);
});

test("those above the one whose turn comes sooner than it looked leave, and go on from their frames", () => {
	const kernel = bootOn({ cpus: 3 });
	const m = new mtx();
	mtx_init(m, "m", null, MTX_DEF);
	const order: string[] = [];
	const tds = startAll(kernel, [
		function* () {
			yield* work(1_000);
			yield* mtx_lock(m); // spins until the second lets it go, and nobody knows when that will be
			order.push("spun");
			yield* mtx_unlock(m);
		},
		function* () {
			yield* mtx_lock(m);
			yield* work(30_000);
			yield* mtx_unlock(m);
			order.push("unlocked");
		},
		function* () {
			yield* work(2_000);
			order.push(`above ${yield* deep(3, 60_000)}`);
		},
	]);
	finish(kernel, tds);
	expect(order).toEqual(["unlocked", "spun", "above 3"]);
	expect(forced).toBe(1);
});

describe("what is thrown above one that stays", () => {
	/** One that would catch what is thrown while it waits, and one that panics meanwhile. */
	function twoOf(kernel: Kernel, log: string[]): thread[] {
		return startAll(kernel, [
			function* () {
				try {
					log.push(`waited ${yield* deep(3, 50_000)}`);
				} catch {
					log.push("caught what was not thrown at it");
				}
			},
			function* () {
				yield* work(20_000);
				panic("above");
			},
		]);
	}

	test("goes to whoever drives the machine, and not through its functions", () => {
		const kernel = bootOn({ cpus: 2 });
		const log: string[] = [];
		const [waits] = twoOf(kernel, log);
		expect(() => pass(kernel, 1_000_000)).toThrow("above");
		expect(log).toEqual([]);
		expect(waiting(waits).filter((name) => name === "deep")).toHaveLength(4);
		// it was not harmed
		finish(kernel, [waits]);
		expect(log).toEqual(["waited 3"]);
	});

	test("is thrown once, and the next run is none the wiser", () => {
		for (const when of ["first", "second"]) {
			const kernel = bootOn({ cpus: 2 });
			const log: string[] = [];
			const tds = twoOf(kernel, log);
			expect(() => pass(kernel, 1_000_000), when).toThrow("above");
			expect(() => pass(kernel, 1_000_000), when).not.toThrow();
			expect(tds[0].td_exited).toBe(true);
		}
	});
});

test("a thread that exits above one that stays is seen at once", () => {
	const ends = [true, false].map((stays) => {
		const before = stays ? null : set_stay(() => false);
		const kernel = bootOn({ cpus: 3 });
		const [, , short] = startAll(kernel, [
			() => work(900_000) as Blocking<void>,
			() => work(800_000) as Blocking<void>,
			() => work(20_000) as Blocking<void>,
		]);
		finish(kernel, [short]);
		if (before !== null) set_stay(before);
		return kernel.machine.now;
	});
	expect(ends[0]).toBe(ends[1]);
});

test("time that is cut short finds all threads in their frames", () => {
	const kernel = bootOn({ cpus: 3 });
	const tds = startAll(
		kernel,
		[3_000_000, 2_000_000, 1_000_000].map(
			(ns) =>
				function* () {
					yield* deep(2, ns);
					charge(1);
				},
		),
	);
	pass(kernel, 500_000);
	for (const td of tds) expect(waiting(td).filter((name) => name === "deep")).toHaveLength(3);
	finish(kernel, tds);
});
