/** The event queue against the simplest queue there is: an array, sorted anew each time. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReplayChooser } from "../../src/machine/chooser.ts";
import { Event, EventQueue } from "../../src/machine/event.ts";

const calls = (fire: () => void): Event => new Event({ fire });

const named = (id: number, log: number[]): Event => calls(() => log.push(id));

type Operation =
	| { do: "schedule"; id: number; delay: number }
	| { do: "first"; id: number; delay: number }
	| { do: "cancel"; id: number }
	| { do: "step" };

const EVENTS = 40;
/** events below this are scheduled first, and their number is their rank */
const RANKS = 4;
const operation: fc.Arbitrary<Operation> = fc.oneof(
	{
		weight: 5,
		arbitrary: fc.record({ do: fc.constant("schedule" as const), id: fc.nat(EVENTS - 1), delay: fc.nat(12) }),
	},
	{
		weight: 1,
		arbitrary: fc.record({ do: fc.constant("first" as const), id: fc.nat(RANKS - 1), delay: fc.nat(12) }),
	},
	{ weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), id: fc.nat(EVENTS - 1) }) },
	{ weight: 3, arbitrary: fc.record({ do: fc.constant("step" as const) }) },
);

describe("EventQueue", () => {
	test("fires as a sorted array would, ties in the order of scheduling but for what comes first, whatever is moved and cancelled", () => {
		fc.assert(
			fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
				const queue = new EventQueue();
				const fired: number[] = [];
				const events = Array.from({ length: EVENTS }, (_, id) => named(id, fired));
				let reference: { id: number; time: number; seq: number }[] = [];
				const expected: number[] = [];
				let seq = 0;
				let now = 0;
				for (const o of operations) {
					if (o.do === "schedule") {
						queue.schedule(events[o.id], now + o.delay);
						reference = reference.filter((e) => e.id !== o.id);
						reference.push({ id: o.id, time: now + o.delay, seq: seq++ });
					} else if (o.do === "first") {
						queue.scheduleFirst(events[o.id], now + o.delay, o.id);
						reference = reference.filter((e) => e.id !== o.id);
						reference.push({ id: o.id, time: now + o.delay, seq: o.id - RANKS });
					} else if (o.do === "cancel") {
						queue.cancel(events[o.id]);
						reference = reference.filter((e) => e.id !== o.id);
					} else {
						const next = reference.sort((a, b) => a.time - b.time || a.seq - b.seq).shift();
						expect(queue.step(Number.POSITIVE_INFINITY)).toBe(next !== undefined);
						if (next !== undefined) {
							expected.push(next.id);
							now = next.time;
						}
					}
					expect(queue.size).toBe(reference.length);
					expect(queue.now).toBe(now);
					expect(queue.nextTime).toBe(Math.min(Number.POSITIVE_INFINITY, ...reference.map((e) => e.time)));
				}
				expect(fired).toEqual(expected);
				expect(queue.fired).toBe(expected.length);
			}),
			{ numRuns: 200 },
		);
	});

	test("what comes first does so among many of its time, near or far, and never in the past", () => {
		const queue = new EventQueue();
		const fired: number[] = [];
		for (let id = 10; id < 60; id++) queue.schedule(named(id, fired), id < 40 ? 100 : 200);
		for (const time of [100, 150, 200]) queue.scheduleFirst(named(time, fired), time, 1);
		queue.scheduleFirst(named(0, fired), 200, 0);
		while (queue.step(1_000));
		const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
		expect(fired).toEqual([100, ...upTo(10, 40), 150, 0, 200, ...upTo(40, 60)]);
		expect(() => queue.scheduleFirst(named(1, fired), 199, 0)).toThrow(RangeError);
	});

	test("grows past its first 256 places", () => {
		const queue = new EventQueue();
		const fired: number[] = [];
		for (let id = 0; id < 1000; id++) queue.schedule(named(id, fired), (id * 7919) % 1000);
		while (queue.step(Number.POSITIVE_INFINITY));
		expect(fired).toHaveLength(1000);
		expect(fired.map((id) => (id * 7919) % 1000)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
	});

	test("stops before what lies beyond the limit, and takes what lies on it", () => {
		const queue = new EventQueue();
		const fired: number[] = [];
		queue.schedule(named(1, fired), 10);
		queue.schedule(named(2, fired), 11);
		expect(queue.step(9)).toBe(false);
		expect(queue.step(10)).toBe(true);
		expect(queue.step(10)).toBe(false);
		expect(fired).toEqual([1]);
	});

	test("an event may schedule itself again, at the same time: it comes after those already there", () => {
		const queue = new EventQueue();
		const fired: string[] = [];
		const again: Event = calls(() => {
			fired.push("again");
			if (fired.length < 4) queue.schedule(again, 5);
		});
		queue.schedule(again, 5);
		queue.schedule(
			calls(() => fired.push("other")),
			5,
		);
		while (queue.step(5));
		expect(fired).toEqual(["again", "other", "again", "again"]);
	});

	test.each([-1, 4, Number.NaN])("refuses a time that is not to come: %d", (time) => {
		const queue = new EventQueue();
		queue.schedule(
			calls(() => {}),
			5,
		);
		queue.step(5);
		expect(() =>
			queue.schedule(
				calls(() => {}),
				time,
			),
		).toThrow(RangeError);
	});

	test("a chooser picks among equal times only, offered in the order of scheduling", () => {
		const run = (script: number[]): { fired: number[]; taken: number[] } => {
			const queue = new EventQueue();
			const chooser = new ReplayChooser(script);
			queue.chooser = chooser;
			const fired: number[] = [];
			for (const [id, time] of [5, 3, 5, 5, 9].entries()) queue.schedule(named(id, fired), time);
			while (queue.step(Number.POSITIVE_INFINITY));
			return { fired, taken: chooser.taken };
		};
		expect(run([])).toEqual({ fired: [1, 0, 2, 3, 4], taken: [0, 0] });
		expect(run([2, 1])).toEqual({ fired: [1, 3, 2, 0, 4], taken: [2, 1] });
		expect(run([7, 1])).toEqual({ fired: [1, 0, 3, 2, 4], taken: [0, 1] });
	});

	test("what never comes is no tie of the end of the list", () => {
		const queue = new EventQueue();
		queue.chooser = new ReplayChooser([]);
		const fired: number[] = [];
		queue.schedule(named(0, fired), 1);
		queue.schedule(named(1, fired), Number.POSITIVE_INFINITY);
		while (queue.step(Number.POSITIVE_INFINITY));
		expect(fired).toEqual([0, 1]);
	});
});
