/** Spinning for a lock whose owner runs: who is let in, what interrupts do, and what happens when the owner goes away. */
import { describe, expect, test } from "vitest";
import { lock_profiles, lockstat_spin } from "../../../src/kernel/lock/lock.ts";
import {
	MTX_DEF,
	MTX_SPIN,
	mtx,
	mtx_init,
	mtx_lock,
	mtx_lock_spin,
	mtx_trylock,
	mtx_unlock,
	mtx_unlock_spin,
} from "../../../src/kernel/lock/mutex.ts";
import { rw_init, rw_rlock, rw_runlock, rw_wlock, rw_wunlock, rwlock } from "../../../src/kernel/lock/rwlock.ts";
import { sx, sx_init, sx_slock, sx_sunlock, sx_xlock, sx_xunlock } from "../../../src/kernel/lock/sx.ts";
import { type Kernel, sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { tsleep, wakeup } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking, thread } from "../../../src/kernel/sched/thread.ts";
import { sched_on_cpu } from "../../../src/kernel/sched/ule.ts";
import { bootOn, finish, pass, start, work, wrongBooks } from "../sched/support.ts";

function mutex(name = "m", opts = MTX_DEF): mtx {
	const m = new mtx();
	mtx_init(m, name, null, opts);
	return m;
}

/** Wakes all CPUs up and lines threads up on them: `main[i]` begins at the same moment on CPU i. */
function together(kernel: Kernel, mains: readonly (() => Blocking<void>)[], priority = 40): thread[] {
	const begin = kernel.machine.now + 700_000; // later than the way out of any C-state, and not on a tick
	return mains.map((main, cpu) =>
		start(kernel, `t${cpu}`, priority, cpu, function* () {
			yield* work(begin - sbinuptime());
			yield* main();
			yield* work(7_000_000); // it does not leave its CPU, which would tell the spinners, too
		}),
	);
}

describe("a spinner", () => {
	test("has the lock a line transfer, a back-off and an atomic after the release", () => {
		const kernel = bootOn({ cpus: 2 });
		const m = mutex();
		const at: number[] = [];
		const tds = together(kernel, [
			function* () {
				yield* mtx_lock(m);
				yield* work(20_000);
				yield* mtx_unlock(m);
				at.push(sbinuptime());
			},
			function* () {
				yield* work(1_000);
				yield* mtx_lock(m);
				at.push(sbinuptime());
				yield* mtx_unlock(m);
			},
		]);
		finish(kernel, tds);
		const { costs } = kernel.machine;
		expect(at[1] - at[0]).toBe(costs.line_transfer + costs.lock_delay + costs.atomic);
		expect(kernel.machine.cpus[1].spin_ns).toBeGreaterThan(18_000);
		expect(lock_profiles().find(({ name }) => name === "m")).toMatchObject({ contested: 1, block_ns: 0 });
	});

	test("is booked once, whatever ticks interrupt it, and the ticks beside it", () => {
		const kernel = bootOn({ cpus: 2 });
		const m = mutex("ticked");
		const spun: [string, number][] = [];
		const stop = lockstat_spin.listen((_, td, ns) => spun.push([td.td_name, ns]));
		const tds = together(kernel, [
			function* () {
				yield* mtx_lock(m);
				yield* work(10_000_000);
				yield* mtx_unlock(m);
			},
			function* () {
				yield* work(1_000);
				yield* mtx_lock(m);
				yield* mtx_unlock(m);
			},
		]);
		finish(kernel, tds);
		stop();
		const { costs, cpus } = kernel.machine;
		// ten ticks, and what they take goes off the spinning; they delay the owner just the same
		expect(cpus[1].spin_ns).toBeGreaterThan(9_990_000);
		expect(cpus[1].spin_ns).toBeLessThan(10_000_000 + costs.timer_interrupt);
		expect(spun).toEqual([["t1", cpus[1].spin_ns]]);
		expect(lock_profiles().find(({ name }) => name === "ticked")?.spin_ns).toBe(cpus[1].spin_ns);
		expect(wrongBooks(kernel)).toEqual([]);
	});

	test("blocks when the owner leaves its CPU, also if that owner came after the one it began to spin for", () => {
		for (const second of [false, true]) {
			const kernel = bootOn({ cpus: 4 });
			const m = mutex();
			let spinning = -1;
			const waits = function* (): Blocking<void> {
				yield* work(2_000);
				yield* mtx_lock(m);
				yield* mtx_unlock(m);
			};
			const tds = together(kernel, [
				function* () {
					yield* mtx_lock(m);
					yield* work(second ? 5_000 : 2_000_000);
					yield* mtx_unlock(m);
				},
				// barges in as soon as the lock is free: one of the spinners was told and sees it, the other was not
				function* () {
					if (!second) return;
					yield* work(3_000);
					while (!(yield* mtx_trylock(m)));
					yield* work(2_000_000);
					yield* mtx_unlock(m);
				},
				waits,
				waits,
			]);
			// the owner is preempted in the middle of it
			const hog = start(kernel, "hog", 8, second ? 1 : 0, function* () {
				yield* tsleep(kernel, 0, "-", 1);
				yield* work(3_000_000);
				spinning = tds.filter((td) => td.td_spinning).length;
			});
			finish(kernel, [...tds, hog]);
			expect(spinning).toBe(0);
		}
	});

	test("cannot keep the owner's CPU from it: no deadlock through a third thread that spins for the spinner", () => {
		const kernel = bootOn({ cpus: 4 });
		const [m, outer] = [mutex("m"), mutex("outer")];
		const chan = {};
		const hog = start(kernel, "hog", 8, 1, function* () {
			yield* tsleep(chan, 0, "-", 0);
			yield* mtx_lock(outer); // held by t2, which waits for m, which t1 on this CPU holds
			yield* mtx_unlock(outer);
		});
		pass(kernel, 1_000_000);
		const tds = together(kernel, [
			function* () {
				yield* mtx_lock(m);
				yield* work(10_000);
				yield* mtx_unlock(m);
				yield* work(10_000);
				yield* wakeup(chan);
			},
			function* () {
				yield* work(3_000);
				while (!(yield* mtx_trylock(m)));
				yield* work(100_000);
				yield* mtx_unlock(m);
			},
			function* () {
				yield* mtx_lock(outer);
				yield* work(1_000);
				yield* mtx_lock(m);
				yield* mtx_unlock(m);
				yield* mtx_unlock(outer);
			},
			function* () {
				yield* work(500);
				yield* mtx_lock(m); // the first to spin, and the one that is told when t0 lets go
				yield* mtx_unlock(m);
			},
		]);
		finish(kernel, [hog], 5_000_000);
		finish(kernel, tds);
	});

	test("that was let in and is preempted passes the lock on, at whichever nanosecond it is", () => {
		const preempted = (after: number): { waited: number; early: number } => {
			const kernel = bootOn({ cpus: 4 });
			const m = mutex();
			const chan = {};
			const got: number[] = [];
			let released = 0;
			let interrupted = 0;
			const hog = start(kernel, "hog", 8, 1, function* () {
				yield* tsleep(chan, 0, "-", 0);
				yield* work(5_000_000);
			});
			const stop = sched_on_cpu.listen((td) => {
				if (td === hog) interrupted = kernel.machine.now;
			});
			pass(kernel, 1_000_000);
			const taker = (delay: number) =>
				function* (): Blocking<void> {
					yield* work(delay);
					yield* mtx_lock(m);
					got.push(sbinuptime());
					yield* work(100);
					yield* mtx_unlock(m);
				};
			const tds = together(kernel, [
				function* () {
					yield* mtx_lock(m);
					yield* work(12_000);
					released = sbinuptime();
					yield* mtx_unlock(m);
				},
				taker(1_000),
				taker(2_000),
				function* () {
					yield* work(after);
					yield* wakeup(chan);
				},
			]);
			finish(kernel, [...tds, hog]);
			stop();
			expect(got).toHaveLength(2);
			return { waited: got[0] - released, early: released - interrupted };
		};
		// the hog's interrupt is moved over the time in which the first spinner is told, and tries
		const first = 8_000 + preempted(8_000).early;
		for (let after = first - 10; after < first + 110; after++) expect(preempted(after).waited).toBeLessThan(1_000_000);
	});

	test("of a spin mutex is never preempted, and takes its ticks", () => {
		const kernel = bootOn({ cpus: 2 });
		const m = mutex("s", MTX_SPIN);
		const order: string[] = [];
		const chan = {};
		const hog = start(kernel, "hog", 8, 1, function* () {
			yield* tsleep(chan, 0, "-", 0);
			order.push("hog");
		});
		pass(kernel, 1_000_000);
		const tds = together(kernel, [
			function* () {
				yield* mtx_lock_spin(m);
				yield* work(10_000);
				yield* wakeup(chan);
				yield* work(3_000_000);
				yield* mtx_unlock_spin(m);
			},
			function* () {
				yield* work(1_000);
				yield* mtx_lock_spin(m);
				order.push("spinner");
				yield* mtx_unlock_spin(m);
			},
		]);
		finish(kernel, [...tds, hog]);
		expect(order).toEqual(["spinner", "hog"]);
		expect(wrongBooks(kernel)).toEqual([]);
	});
});

describe("when a writer lets go", () => {
	/** Several threads spin for a lock that a writer holds; returns the moments at which they had it, in order. */
	function readers(
		take: () => Blocking<void>,
		drop: () => Blocking<void>,
		wtake: () => Blocking<void>,
		wdrop: () => Blocking<void>,
	): number[] {
		const kernel = bootOn({ cpus: 5 });
		const got: number[] = [];
		const reader = function* (): Blocking<void> {
			yield* work(1_000);
			yield* take();
			got.push(sbinuptime());
			yield* work(100_000);
			yield* drop();
		};
		const tds = together(kernel, [
			function* () {
				yield* wtake();
				yield* work(20_000);
				yield* wdrop();
			},
			reader,
			reader,
			reader,
			reader,
		]);
		finish(kernel, tds);
		return got;
	}

	test("all readers that spin come in at once: rwlock", () => {
		const rw = new rwlock();
		const got = readers(
			() => rw_rlock(rw),
			() => rw_runlock(rw),
			function* () {
				rw_init(rw, "rw");
				yield* rw_wlock(rw);
			},
			() => rw_wunlock(rw),
		);
		expect(got).toHaveLength(4);
		expect(got[3] - got[0]).toBeLessThan(1_000);
	});

	test("all sharers that spin come in at once: sx", () => {
		const lock = new sx();
		const got = readers(
			() => sx_slock(lock),
			() => sx_sunlock(lock),
			function* () {
				sx_init(lock, "sx");
				yield* sx_xlock(lock);
			},
			() => sx_xunlock(lock),
		);
		expect(got).toHaveLength(4);
		expect(got[3] - got[0]).toBeLessThan(1_000);
	});

	test("a writer that spins and finds a reader inside blocks instead", () => {
		const kernel = bootOn({ cpus: 4 });
		const rw = new rwlock();
		rw_init(rw, "rw");
		const tds = together(kernel, [
			function* () {
				yield* rw_wlock(rw);
				yield* work(20_000);
				yield* rw_wunlock(rw);
			},
			function* () {
				yield* work(1_000);
				yield* rw_rlock(rw);
				yield* work(2_000_000);
				yield* rw_runlock(rw);
			},
			function* () {
				yield* work(2_000);
				yield* rw_wlock(rw);
				yield* rw_wunlock(rw);
			},
			function* () {
				yield* work(3_000);
				yield* rw_wlock(rw);
				yield* rw_wunlock(rw);
			},
		]);
		finish(kernel, tds);
		for (const cpu of [2, 3]) expect(kernel.machine.cpus[cpu].spin_ns).toBeLessThan(30_000);
	});
});
