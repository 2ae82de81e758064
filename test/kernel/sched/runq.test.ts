/** The run queue against the simplest there is: lists of threads, one for each bucket. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { PRI_MAX_IDLE, RQ_PPQ } from "../../../src/kernel/sched/priority.ts";
import { runq } from "../../../src/kernel/sched/runq.ts";
import { thread } from "../../../src/kernel/sched/thread.ts";

const THREADS = 12;

interface Step {
	readonly id: number;
	readonly priority: number;
	readonly head: boolean;
	readonly pinned: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
	id: fc.nat(THREADS - 1),
	// the ends of the range, the middle where the bits change words, and anything
	priority: fc.oneof(fc.constantFrom(0, 3, 4, 127, 128, PRI_MAX_IDLE), fc.nat(PRI_MAX_IDLE)),
	head: fc.boolean(),
	pinned: fc.boolean(),
});

test("the best thread is first, those of a bucket in order, whoever comes to the front or goes", () => {
	fc.assert(
		fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
			const queue = new runq();
			const threads = Array.from({ length: THREADS }, (_, id) => new thread(id, `t${id}`, 0));
			const buckets: thread[][] = Array.from({ length: (PRI_MAX_IDLE + 1) / RQ_PPQ }, () => []);
			for (const { id, priority, head, pinned } of steps) {
				const td = threads[id];
				const bucket = buckets.find((each) => each.includes(td));
				if (bucket === undefined) {
					td.td_priority = priority;
					td.td_pinned = pinned ? 1 : 0;
					queue.add(td, head);
					const into = buckets[Math.floor(priority / RQ_PPQ)];
					if (head) into.unshift(td);
					else into.push(td);
				} else {
					// a priority that has changed meanwhile does not matter
					td.td_priority = priority;
					queue.remove(td);
					bucket.splice(bucket.indexOf(td), 1);
				}
				const all = buckets.flat();
				expect(queue.first()).toBe(all[0] ?? null);
				expect(queue.first_movable()).toBe(all.find((each) => each.td_pinned === 0) ?? null);
			}
		}),
	);
});
