/** A thread that keeps a better one waiting runs at the better one's priority, for as long as it does. */
import { describe, expect, test } from "vitest";
import { lockstat_block } from "../../../src/kernel/lock/lock.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../../../src/kernel/lock/mutex.ts";
import {
	rm_init,
	rm_priotracker,
	rm_rlock,
	rm_runlock,
	rm_wlock,
	rm_wunlock,
	rmlock,
} from "../../../src/kernel/lock/rmlock.ts";
import { rw_init, rw_rlock, rw_runlock, rw_wlock, rw_wunlock, rwlock } from "../../../src/kernel/lock/rwlock.ts";
import { sx, sx_init, sx_slock, sx_sunlock, sx_xlock, sx_xunlock } from "../../../src/kernel/lock/sx.ts";
import { pause, tsleep } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { bootOn, finish, pass, start, work } from "../sched/support.ts";

function mutex(name: string): mtx {
	const m = new mtx();
	mtx_init(m, name, null, MTX_DEF);
	return m;
}

describe("lending", () => {
	test("through several locks: each release gives back what came through that lock, and no more", () => {
		const kernel = bootOn({ cpus: 1 });
		const [a, b, c] = [mutex("a"), mutex("b"), mutex("c")];
		const seen: number[] = [];
		const owner = start(kernel, "owner", 108, 0, function* () {
			yield* mtx_lock(a);
			yield* mtx_lock(b);
			yield* mtx_lock(c);
			yield* pause("setup", 0); // panics if anybody waits already
			yield* work(10_000_000);
			seen.push(owner.td_priority);
			yield* mtx_unlock(b);
			seen.push(owner.td_priority);
			yield* mtx_unlock(c);
			seen.push(owner.td_priority);
			yield* mtx_unlock(a);
			seen.push(owner.td_priority);
		});
		const waiters = (
			[
				[a, 28],
				[b, 8],
				[c, 40],
			] as const
		).map(([m, priority], i) =>
			start(kernel, `w${i}`, priority, 0, function* () {
				yield* pause("later", 3);
				yield* mtx_lock(m);
				yield* mtx_unlock(m);
			}),
		);
		finish(kernel, [owner, ...waiters]);
		expect(seen).toEqual([8, 28, 28, 108]);
		expect(owner.td_contested).toEqual([]);
	});

	test("goes down a chain of threads that wait for each other", () => {
		const kernel = bootOn({ cpus: 1 });
		const [a, b] = [mutex("a"), mutex("b")];
		const seen: Record<string, number[]> = { low: [], middle: [] };
		const low = start(kernel, "low", 152, 0, function* () {
			yield* mtx_lock(a);
			yield* work(20_000_000);
			seen.low.push(low.td_priority);
			yield* mtx_unlock(a);
			seen.low.push(low.td_priority);
		});
		const middle = start(kernel, "middle", 108, 0, function* () {
			yield* pause("later", 2);
			yield* mtx_lock(b);
			yield* mtx_lock(a);
			seen.middle.push(middle.td_priority);
			yield* mtx_unlock(a);
			seen.middle.push(middle.td_priority);
			yield* mtx_unlock(b);
			seen.middle.push(middle.td_priority);
		});
		const high = start(kernel, "high", 24, 0, function* () {
			yield* pause("later", 4);
			yield* mtx_lock(b);
			yield* mtx_unlock(b);
		});
		finish(kernel, [low, middle, high]);
		expect(seen).toEqual({ low: [24, 152], middle: [24, 24, 108] });
	});

	test("lets an owner that waits for a CPU preempt who keeps it from one, at once", () => {
		const kernel = bootOn({ cpus: 2 });
		const m = mutex("m");
		let hogged = 0;
		const owner = start(kernel, "owner", 108, 0, function* () {
			yield* mtx_lock(m);
			yield* work(1_000_000);
			yield* mtx_unlock(m);
		});
		pass(kernel, 450_000);
		const hog = start(kernel, "hog", 40, 0, () => work(900_000));
		const waiter = start(kernel, "waiter", 24, 1, function* () {
			yield* work(100_000);
			expect(hog.td_state).not.toBe(owner.td_state);
			yield* mtx_lock(m);
			hogged = hog.td_runtime;
			yield* mtx_unlock(m);
		});
		finish(kernel, [owner, hog, waiter]);
		// until the waiter came, about 240 us; not the rest of the tick, let alone its 900 us
		expect(hogged).toBeGreaterThan(100_000);
		expect(hogged).toBeLessThan(300_000);
	});

	test("a writer that comes after another inherits the readers that still wait", () => {
		const kernel = bootOn({ cpus: 1 });
		const rw = new rwlock();
		rw_init(rw, "rw");
		const seen: number[] = [];
		const writer = (name: string, priority: number, ticks: number) => {
			const td = start(kernel, name, priority, 0, function* () {
				yield* pause("later", ticks);
				yield* rw_wlock(rw);
				yield* work(6_000_000);
				seen.push(td.td_priority);
				yield* rw_wunlock(rw);
				seen.push(td.td_priority);
			});
			return td;
		};
		const tds = [writer("first", 108, 1), writer("second", 40, 2)];
		const reader = start(kernel, "reader", 24, 0, function* () {
			yield* pause("later", 4);
			yield* rw_rlock(rw);
			yield* rw_runlock(rw);
		});
		finish(kernel, [...tds, reader]);
		expect(seen).toEqual([24, 24, 40, 108]);
	});

	test("waiters whose priority was raised meanwhile are woken in the new order", () => {
		const kernel = bootOn({ cpus: 2 });
		const [a, b] = [mutex("a"), mutex("b")];
		const order: string[] = [];
		const holder = start(kernel, "holder", 40, 0, function* () {
			yield* mtx_lock(a);
			yield* work(8_000_000);
			yield* mtx_unlock(a);
		});
		// keeps the holder off its CPU now and then, so that the others block instead of spinning
		const hog = start(kernel, "hog", 8, 0, function* () {
			for (let i = 0; i < 6; i++) {
				yield* pause("hog", 1);
				yield* work(900_000);
			}
		});
		const waits = (name: string, priority: number, ticks: number, outer: mtx | null) =>
			start(kernel, name, priority, 1, function* () {
				yield* pause("later", ticks);
				if (outer !== null) yield* mtx_lock(outer);
				yield* mtx_lock(a);
				order.push(name);
				yield* mtx_unlock(a);
				if (outer !== null) yield* mtx_unlock(outer);
			});
		const tds = [waits("plain", 48, 2, null), waits("raised", 108, 2, b)];
		const high = start(kernel, "high", 24, 1, function* () {
			yield* pause("later", 4);
			yield* mtx_lock(b);
			yield* mtx_unlock(b);
		});
		finish(kernel, [holder, hog, ...tds, high]);
		expect(order).toEqual(["raised", "plain"]);
	});

	test("to a thread that sleeps with the lock held is FreeBSD's panic", () => {
		const kernel = bootOn({ cpus: 1 });
		const m = mutex("m");
		start(kernel, "sleeps", 40, 0, function* () {
			yield* mtx_lock(m);
			yield* tsleep({}, 0, "-", 0);
		});
		const td = start(kernel, "waits", 48, 0, function* () {
			yield* mtx_lock(m);
		});
		expect(() => finish(kernel, [td])).toThrow("sleeping thread");
	});

	test("is not done by sx: it may be held asleep", () => {
		const kernel = bootOn({ cpus: 1 });
		const lock = new sx();
		sx_init(lock, "sx");
		let priority = 0;
		const owner = start(kernel, "owner", 108, 0, function* () {
			yield* sx_xlock(lock);
			yield* pause("held", 5);
			priority = owner.td_priority;
			yield* sx_xunlock(lock);
		});
		const waiter = start(kernel, "waiter", 24, 0, function* () {
			yield* pause("later", 2);
			yield* sx_xlock(lock);
			yield* sx_xunlock(lock);
		});
		finish(kernel, [owner, waiter]);
		expect(priority).toBe(108);
	});
});

describe("a release that wakes a better thread", () => {
	const rm = new rmlock();
	const tracker = new rm_priotracker();
	const rw = new rwlock();
	const lock = new sx();
	const m = new mtx();
	const cases: [
		string,
		() => void,
		() => Blocking<void>,
		() => Blocking<void>,
		() => Blocking<void>,
		() => Blocking<void>,
	][] = [
		[
			"mtx",
			() => mtx_init(m, "m", null, MTX_DEF),
			() => mtx_lock(m),
			() => mtx_unlock(m),
			() => mtx_lock(m),
			() => mtx_unlock(m),
		],
		[
			"rw_wlock",
			() => rw_init(rw, "rw"),
			() => rw_wlock(rw),
			() => rw_wunlock(rw),
			() => rw_rlock(rw),
			() => rw_runlock(rw),
		],
		[
			"rw_rlock",
			() => rw_init(rw, "rw"),
			() => rw_rlock(rw),
			() => rw_runlock(rw),
			() => rw_wlock(rw),
			() => rw_wunlock(rw),
		],
		[
			"sx_xlock",
			() => sx_init(lock, "sx"),
			() => sx_xlock(lock),
			() => sx_xunlock(lock),
			() => sx_slock(lock),
			() => sx_sunlock(lock),
		],
		[
			"sx_slock",
			() => sx_init(lock, "sx"),
			() => sx_slock(lock),
			() => sx_sunlock(lock),
			() => sx_xlock(lock),
			() => sx_xunlock(lock),
		],
		[
			"rm_wlock",
			() => rm_init(rm, "rm"),
			() => rm_wlock(rm),
			() => rm_wunlock(rm),
			() => rm_rlock(rm, tracker),
			() => rm_runlock(rm, tracker),
		],
		[
			"rm_rlock",
			() => rm_init(rm, "rm"),
			() => rm_rlock(rm, tracker),
			() => rm_runlock(rm, tracker),
			() => rm_wlock(rm),
			() => rm_wunlock(rm),
		],
	];
	test.each(cases)("gives way to it there and then: %s", (_, init, take, drop, other_take, other_drop) => {
		const kernel = bootOn({ cpus: 1 });
		init();
		const order: string[] = [];
		const owner = start(kernel, "owner", 108, 0, function* () {
			yield* take();
			yield* work(5_000_000);
			yield* drop();
			order.push("owner");
		});
		const waiter = start(kernel, "waiter", 24, 0, function* () {
			yield* pause("later", 2);
			yield* other_take();
			order.push("waiter");
			yield* other_drop();
		});
		let blocks = 0;
		const stop = lockstat_block.listen(() => blocks++);
		finish(kernel, [owner, waiter]);
		stop();
		expect(order).toEqual(["waiter", "owner"]);
		expect(blocks).toBe(1);
	});
});
