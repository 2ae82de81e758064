/** mp_ring: many threads put things on it, one at a time takes them off, and nothing is lost or overtaken. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ENOBUFS } from "../../../src/kernel/errno.ts";
import {
	ABDICATED,
	BUSY,
	IDLE,
	ifmp_ring,
	ifmp_ring_check_drainage,
	ifmp_ring_enqueue,
	ifmp_ring_is_idle,
	ifmp_ring_is_stalled,
	ifmp_ring_purge,
	STALLED,
} from "../../../src/kernel/ifnet/mp_ring.ts";
import type { Kernel } from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, curthread, sync_exactly, type thread } from "../../../src/kernel/sched/thread.ts";
import { bootOn, finish, profile, start, work } from "../sched/support.ts";

/** Who takes off, and how: what it takes, in order; how long an item takes; when it must stop. */
interface Consumer {
	readonly ring: ifmp_ring<number>;
	readonly taken: number[];
	/** the threads that took something off, one entry for each call of drain */
	readonly by: thread[];
	/** most that takes off at once, ns for each of them */
	batch: number;
	item_ns: number;
	/** it can not go on */
	stuck: boolean;
	/** what can_drain says; null: that it is not stuck */
	can_drain: boolean | null;
	/** calls of can_drain */
	asked: number;
	/** threads within drain at the same time, at most */
	most: number;
	/** called with each item before it is taken */
	taking: (item: number) => void;
}

function consumer(size: number): Consumer {
	let inside = 0;
	const c: Consumer = {
		ring: new ifmp_ring<number>(
			size,
			function* (r, cidx, pidx): Blocking<number> {
				c.most = Math.max(c.most, ++inside);
				c.by.push(curthread);
				let n = 0;
				for (let i = cidx; i !== pidx && n < c.batch && !c.stuck; i = (i + 1) % size) {
					c.taking(r.items[i] as number);
					c.taken.push(r.items[i] as number);
					r.items[i] = null;
					n++;
					yield* work(c.item_ns);
				}
				inside--;
				return n;
			},
			() => {
				c.asked++;
				return c.can_drain ?? !c.stuck;
			},
		),
		taken: [],
		by: [],
		batch: 4,
		item_ns: 100,
		stuck: false,
		can_drain: null,
		asked: 0,
		most: 0,
		taking: () => {},
	};
	return c;
}

/** Runs `main` as the only thread of a machine. */
function alone(main: () => Blocking<void>, kernel: Kernel = bootOn({ cpus: 1 })): void {
	finish(kernel, [start(kernel, "main", 108, 0, main)]);
}

function* put(c: Consumer, items: readonly number[], budget = 64, abdicate = false): Blocking<number[]> {
	const errors: number[] = [];
	for (const item of items) errors.push(yield* ifmp_ring_enqueue(c.ring, item, budget, abdicate));
	return errors;
}

function counters({ enqueues, drops, starts, stalls, restarts }: ifmp_ring<number>): number[] {
	return [enqueues, drops, starts, stalls, restarts];
}

describe("who puts something on an idle ring", () => {
	test("takes it off at once, and leaves the ring idle", () => {
		const c = consumer(8);
		expect(ifmp_ring_is_idle(c.ring)).toBe(true);
		alone(function* () {
			// twice around
			for (let i = 0; i < 20; i++) {
				expect(yield* ifmp_ring_enqueue(c.ring, i, 64, false)).toBe(0);
				expect(c.taken).toHaveLength(i + 1);
				expect(ifmp_ring_is_idle(c.ring)).toBe(true);
			}
		});
		expect(c.taken).toEqual(Array.from({ length: 20 }, (_, i) => i));
		expect(counters(c.ring)).toEqual([20, 0, 20, 0, 0]);
	});

	test("takes off what others add meanwhile, who leave at once; that is one start", () => {
		const c = consumer(64);
		c.item_ns = 10_000;
		const kernel = bootOn({ cpus: 2 });
		const took: number[] = [];
		const first = start(kernel, "first", 108, 0, function* () {
			expect(yield* ifmp_ring_enqueue(c.ring, 0, 4, false)).toBe(0);
		});
		const second = start(kernel, "second", 108, 1, function* () {
			yield* work(5_000);
			for (let i = 1; i <= 10; i++) {
				const before = kernel.machine.now;
				expect(yield* ifmp_ring_enqueue(c.ring, i, 4, false)).toBe(0);
				yield* sync_exactly();
				took.push(kernel.machine.now - before);
			}
			expect(c.ring.flags).toBe(BUSY);
		});
		finish(kernel, [first, second]);
		expect(c.taken).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
		expect(new Set(c.by)).toEqual(new Set([first]));
		expect(Math.max(...took)).toBeLessThan(c.item_ns);
		expect(counters(c.ring)).toEqual([11, 0, 1, 0, 0]);
		expect(ifmp_ring_is_idle(c.ring)).toBe(true);
	});
});

describe("a full ring", () => {
	test("gives ENOBUFS, keeps what it has, and counts each time: two places of it stay empty", () => {
		const c = consumer(8);
		c.stuck = true;
		alone(function* () {
			expect(yield* put(c, [0, 1, 2, 3, 4, 5])).toEqual([0, 0, 0, 0, 0, 0]);
			expect(yield* put(c, [6, 7, 8])).toEqual([ENOBUFS, ENOBUFS, ENOBUFS]);
			expect([c.ring.enqueues, c.ring.drops]).toEqual([6, 3]);
			expect(c.taken).toEqual([]);
			c.stuck = false;
			expect(yield* put(c, [9])).toEqual([ENOBUFS]);
			expect(yield* put(c, [10])).toEqual([0]);
		});
		expect(c.taken).toEqual([0, 1, 2, 3, 4, 5, 10]);
	});

	test("that has stalled is looked at by whoever is refused, and goes on if it can", () => {
		const c = consumer(4);
		c.stuck = true;
		alone(function* () {
			yield* put(c, [1, 2]);
			expect(yield* put(c, [3])).toEqual([ENOBUFS]);
			expect([c.asked, c.ring.flags]).toEqual([1, STALLED]);
			c.stuck = false;
			expect(yield* put(c, [4])).toEqual([ENOBUFS]);
			expect([c.asked, c.ring.flags]).toEqual([2, IDLE]);
			expect(c.taken).toEqual([1, 2]);
		});
	});

	test("whose consumer is at work only refuses", () => {
		const c = consumer(4);
		c.item_ns = 100_000;
		const kernel = bootOn({ cpus: 2 });
		const first = start(kernel, "first", 108, 0, function* () {
			yield* ifmp_ring_enqueue(c.ring, 1, 64, false);
		});
		const second = start(kernel, "second", 108, 1, function* () {
			yield* work(50_000);
			expect(yield* put(c, [2, 3])).toEqual([0, ENOBUFS]);
		});
		finish(kernel, [first, second]);
		expect(c.taken).toEqual([1, 2]);
		expect(c.asked).toBe(0);
		expect(counters(c.ring)).toEqual([2, 1, 1, 0, 0]);
	});
});

describe("a drain that takes nothing", () => {
	test("stalls the ring, which check_drainage starts again when can_drain says so, and only then", () => {
		const c = consumer(16);
		alone(function* () {
			yield* ifmp_ring_check_drainage(c.ring, 64);
			expect([c.asked, c.by.length]).toEqual([0, 0]);
			c.stuck = true;
			yield* put(c, [1]);
			expect(ifmp_ring_is_stalled(c.ring)).toBe(true);
			expect(counters(c.ring)).toEqual([1, 0, 1, 1, 0]);
			c.stuck = false;
			c.can_drain = false;
			yield* ifmp_ring_check_drainage(c.ring, 64);
			expect(c.taken).toEqual([]);
			expect(c.by).toHaveLength(1);
			c.can_drain = true;
			yield* ifmp_ring_check_drainage(c.ring, 64);
			expect(c.taken).toEqual([1]);
			expect(ifmp_ring_is_idle(c.ring)).toBe(true);
			expect(counters(c.ring)).toEqual([1, 0, 1, 1, 1]);
		});
	});

	test("again, counts nothing; after some went, both a restart and a stall", () => {
		const c = consumer(16);
		alone(function* () {
			c.stuck = true;
			yield* put(c, [1, 2, 3]);
			expect(counters(c.ring)).toEqual([3, 0, 1, 1, 0]);
			c.can_drain = true;
			yield* ifmp_ring_check_drainage(c.ring, 64);
			expect(counters(c.ring)).toEqual([3, 0, 1, 1, 0]);
			// two go, then no more
			c.stuck = false;
			c.taking = (item) => {
				c.stuck = item === 2;
			};
			yield* ifmp_ring_check_drainage(c.ring, 64);
			expect(c.taken).toEqual([1, 2]);
			expect(ifmp_ring_is_stalled(c.ring)).toBe(true);
			expect(counters(c.ring)).toEqual([3, 0, 1, 2, 1]);
			expect([c.ring.cidx, c.ring.pidx]).toEqual([2, 3]);
		});
	});

	test("is tried again by whoever adds something: all of it goes, in order", () => {
		const c = consumer(16);
		alone(function* () {
			c.stuck = true;
			yield* put(c, [1, 2]);
			c.stuck = false;
			yield* put(c, [3]);
			expect(c.asked).toBe(0);
			expect(c.taken).toEqual([1, 2, 3]);
			expect(counters(c.ring)).toEqual([3, 0, 1, 1, 1]);
		});
	});
});

describe("abdicate", () => {
	test("leaves what is put on the ring for check_drainage to take, whatever can_drain says", () => {
		const c = consumer(16);
		alone(function* () {
			c.can_drain = false;
			expect(yield* put(c, [1, 2], 64, true)).toEqual([0, 0]);
			expect(c.ring.flags).toBe(ABDICATED);
			expect([c.taken, c.ring.items.slice(0, 3)]).toEqual([[], [1, 2, null]]);
			yield* ifmp_ring_check_drainage(c.ring, 64);
			expect(c.taken).toEqual([1, 2]);
			expect(ifmp_ring_is_idle(c.ring)).toBe(true);
			expect(counters(c.ring)).toEqual([2, 0, 0, 0, 0]);
		});
	});

	test("or for the next who does not; a stalled ring stays stalled", () => {
		const c = consumer(16);
		alone(function* () {
			yield* put(c, [1], 64, true);
			yield* put(c, [2]);
			expect(c.taken).toEqual([1, 2]);
			c.stuck = true;
			yield* put(c, [3]);
			yield* put(c, [4], 64, true);
			expect(c.ring.flags).toBe(STALLED);
			expect(c.ring.stalls).toBe(1);
		});
	});

	test("leaves a consumer that is at work at work", () => {
		const c = consumer(16);
		c.item_ns = 100_000;
		const kernel = bootOn({ cpus: 2 });
		const first = start(kernel, "first", 108, 0, function* () {
			yield* ifmp_ring_enqueue(c.ring, 1, 64, false);
		});
		const second = start(kernel, "second", 108, 1, function* () {
			yield* work(50_000);
			expect(yield* put(c, [2], 64, true)).toEqual([0]);
			expect(c.ring.flags).toBe(BUSY);
		});
		finish(kernel, [first, second]);
		expect(c.taken).toEqual([1, 2]);
		expect(ifmp_ring_is_idle(c.ring)).toBe(true);
	});
});

test("others see which places are free when 64 items have gone; once the budget is used up, after every call", () => {
	const upTo = (n: number): number[] => Array.from({ length: n + 1 }, (_, i) => i);
	for (const [budget, seen] of [
		[1_000, [0, 64, 128]],
		[20, [0, ...upTo(129).map((i) => i + 20)]],
	] as const) {
		const c = consumer(256);
		c.batch = 1;
		const indices = new Set<number>();
		c.taking = () => indices.add(c.ring.cidx);
		alone(function* () {
			yield* put(c, upTo(149), 64, true);
			yield* ifmp_ring_check_drainage(c.ring, budget);
		});
		expect([...indices]).toEqual(seen);
		expect(c.ring.cidx).toBe(150);
	}
});

test("purge frees what is left, in order, and the ring is as new", () => {
	const c = consumer(8);
	const freed: number[] = [];
	alone(function* () {
		// so that what is left runs over the end
		yield* put(c, [1, 2, 3, 4, 5]);
		c.stuck = true;
		yield* put(c, [6, 7, 8, 9]);
		ifmp_ring_purge(c.ring, (item) => freed.push(item));
		expect(freed).toEqual([6, 7, 8, 9]);
		expect(c.ring.items).toEqual(new Array(8).fill(null));
		expect(ifmp_ring_is_idle(c.ring)).toBe(true);
		ifmp_ring_purge(c.ring, (item) => freed.push(item));
		expect(freed).toHaveLength(4);
		c.stuck = false;
		yield* put(c, [10]);
		expect(c.taken).toEqual([1, 2, 3, 4, 5, 10]);
	});
});

test("the line of its state moves to whoever changes it, who pays for that once", () => {
	const kernel = bootOn({ cpus: 2 });
	const { costs } = kernel.machine;
	const c = consumer(8);
	const paid: number[] = [];
	const pay = (): void => {
		const before = curthread.td_pending;
		c.ring.charge_state();
		paid.push(curthread.td_pending - before);
	};
	for (const cpu of [0, 1]) {
		finish(kernel, [
			start(kernel, `${cpu}`, 108, cpu, function* () {
				pay();
				pay();
			}),
		]);
	}
	expect(paid).toEqual([costs.atomic, costs.atomic, costs.atomic + costs.line_transfer, costs.atomic]);
});

test("whatever threads do: what was accepted comes off once, one producer's in order, by one thread at a time", () => {
	const producer = fc.record({
		cpu: fc.nat(2),
		priority: fc.constantFrom(24, 108),
		delays: fc.array(fc.oneof(fc.constant(0), fc.nat(300), fc.nat(3_000)), { maxLength: 25, size: "max" }),
		abdicates: fc.nat(3),
	});
	fc.assert(
		fc.property(
			fc.record({
				seed: fc.nat(),
				lead_ns: fc.constantFrom(0, 320),
				size: fc.integer({ min: 3, max: 12 }),
				budget: fc.nat(8),
				batch: fc.integer({ min: 1, max: 5 }),
				item_ns: fc.oneof(fc.nat(50), fc.nat(2_000)),
				producers: fc.array(producer, { minLength: 1, maxLength: 4 }),
				/** when the consumer can go on and when it cannot, in turn */
				stuck: fc.array(fc.nat(4_000), { maxLength: 8, size: "max" }),
			}),
			({ seed, lead_ns, size, budget, batch, item_ns, producers, stuck }) => {
				const kernel = bootOn({ cpus: 3, seed, lead_ns, profile: profile("xeon-d") });
				const c = consumer(size);
				c.batch = batch;
				c.item_ns = item_ns;
				const accepted: number[][] = producers.map(() => []);
				let refused = 0;
				const threads = producers.map(({ cpu, priority, delays, abdicates }, p) =>
					start(kernel, `p${p}`, priority, cpu, function* () {
						for (const [i, delay] of delays.entries()) {
							yield* work(delay);
							const item = p * 1_000 + i;
							const abdicate = abdicates > 0 && i % (abdicates + 1) === abdicates;
							const error = yield* ifmp_ring_enqueue(c.ring, item, budget, abdicate);
							if (error === 0) accepted[p].push(item);
							else refused++;
							expect([0, ENOBUFS]).toContain(error);
						}
					}),
				);
				threads.push(
					start(kernel, "stuck", 24, 2, function* () {
						for (const delay of stuck) {
							c.stuck = !c.stuck;
							yield* work(delay);
							yield* ifmp_ring_check_drainage(c.ring, budget);
						}
					}),
				);
				finish(kernel, threads);
				c.stuck = false;
				finish(kernel, [start(kernel, "last", 108, 0, () => ifmp_ring_check_drainage(c.ring, budget))]);
				expect(ifmp_ring_is_idle(c.ring)).toBe(true);
				expect(producers.map((_, p) => c.taken.filter((item) => Math.floor(item / 1_000) === p))).toEqual(accepted);
				expect(c.most).toBeLessThanOrEqual(1);
				expect([c.ring.enqueues, c.ring.drops]).toEqual([c.taken.length, refused]);
				expect(c.ring.restarts).toBe(c.ring.stalls);
				expect(c.ring.items.every((item) => item === null)).toBe(true);
			},
		),
		{ numRuns: 120 },
	);
});
