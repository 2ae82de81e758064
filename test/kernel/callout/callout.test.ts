/** callout(9): when handlers run, and what stopping one is worth while it runs. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	CALLOUT_RETURNUNLOCKED,
	callout,
	callout_active,
	callout_deactivate,
	callout_drain,
	callout_init,
	callout_init_mtx,
	callout_init_rw,
	callout_pending,
	callout_reset,
	callout_stop,
} from "../../../src/kernel/callout/callout.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_owned, mtx_unlock } from "../../../src/kernel/lock/mutex.ts";
import { rw_init, rw_wlock, rw_wowned, rw_wunlock, rwlock } from "../../../src/kernel/lock/rwlock.ts";
import { type Kernel, sbinuptime, ticks } from "../../../src/kernel/sched/kernel.ts";
import { pause, tsleep } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { bootOn, exact, finish, pass, profile, start, work } from "../sched/support.ts";

/** Runs `main` on CPU 1, leaving CPU 0 to the callouts, and all the time it takes. */
function on(kernel: Kernel, main: () => Blocking<void>): void {
	finish(kernel, [start(kernel, "main", 40, 1, main)]);
}

function* nothing(): Blocking<void> {}

describe("time", () => {
	test.each(["xeon-d", "vm"])("a callout runs on its tick, never before, and shortly after (%s)", (name) => {
		fc.assert(
			fc.property(
				fc.array(fc.record({ ticks: fc.integer({ min: -1, max: 20 }), after: fc.nat(3_000_000) }), { maxLength: 10 }),
				(list) => {
					const kernel = bootOn({ cpus: 2, profile: { ...profile(name), jitter_permille: 0 } });
					const tick = 1_000_000_000 / profile(name).hz;
					const fired: { due: number; at: number; n: number }[] = [];
					on(kernel, function* () {
						for (const [n, { ticks: to, after }] of list.entries()) {
							yield* work(after);
							const c = new callout();
							callout_init(c, true);
							yield* callout_reset(
								c,
								to,
								function* (due: { tick: number }) {
									fired.push({ due: due.tick, at: sbinuptime(), n });
								},
								{ tick: ticks() + Math.max(1, to) },
							);
						}
					});
					pass(kernel, 25 * tick);
					expect(fired).toHaveLength(list.length);
					for (const { due, at } of fired) {
						expect(at).toBeGreaterThan(due * tick);
						expect(at - due * tick).toBeLessThan(200_000);
					}
					// by tick, and in the order of arming within one
					const order = fired.map(({ due, n }) => [due, n]);
					expect(order).toEqual([...order].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
				},
			),
			{ numRuns: 30 },
		);
	});

	test("runs in a thread of clock priority in which sleeping is forbidden, PENDING off and ACTIVE on", () => {
		for (const [release, priority, name] of [
			["13.0", 40, "swi4: clock (0)"],
			["14.0", 8, "clock (0)"],
		] as const) {
			const kernel = bootOn({ cpus: 2 }, { release });
			const c = new callout();
			const seen: unknown[] = [];
			callout_init(c, true);
			on(kernel, function* () {
				yield* callout_reset(
					c,
					1,
					function* () {
						seen.push(curthread.td_name, curthread.td_priority, callout_pending(c), callout_active(c));
					},
					undefined,
				);
				expect([callout_pending(c), callout_active(c)]).toEqual([true, true]);
			});
			pass(kernel, 3_000_000);
			expect(seen).toEqual([name, priority, false, true]);
			callout_deactivate(c);
			expect(callout_active(c)).toBe(false);
			on(kernel, function* () {
				yield* callout_reset(c, 1, () => tsleep({}, 0, "-", 0) as Blocking<never>, undefined);
			});
			expect(() => pass(kernel, 3_000_000)).toThrow(/sleeping prohibited/);
		}
	});

	test("a handler may arm its own callout again", () => {
		const kernel = bootOn({ cpus: 2 });
		const c = new callout();
		const at: number[] = [];
		callout_init(c, true);
		function* again(): Blocking<void> {
			at.push(ticks());
			if (at.length < 5) yield* callout_reset(c, 2, again, undefined);
		}
		on(kernel, function* () {
			yield* callout_reset(c, 2, again, undefined);
		});
		pass(kernel, 30_000_000);
		expect(at.map((tick) => tick - at[0])).toEqual([0, 2, 4, 6, 8]);
	});
});

describe("callout_reset and callout_stop return", () => {
	test("1 for what was pending, 0 and -1 for what was not", () => {
		const kernel = bootOn({ cpus: 2 });
		const c = new callout();
		let runs = 0;
		const handler = function* (): Blocking<void> {
			runs++;
		};
		callout_init(c, true);
		const got: number[] = [];
		on(kernel, function* () {
			got.push(yield* callout_stop(c));
			got.push(yield* callout_reset(c, 2, handler, undefined));
			got.push(yield* callout_reset(c, 3, handler, undefined));
			got.push(yield* callout_stop(c));
			got.push(yield* callout_stop(c));
			got.push(yield* callout_drain(c));
			yield* pause("x", 6);
			got.push(runs);
			yield* callout_reset(c, 1, handler, undefined);
			got.push(yield* callout_drain(c), runs);
		});
		expect(got).toEqual([-1, 0, 1, 1, -1, -1, 0, 1, 0]);
	});

	/** Arms a callout whose handler takes 3 ms, and does `act` in the middle of that. */
	function running(act: (c: callout, log: unknown[]) => Blocking<void>, again = false): unknown[] {
		const kernel = bootOn({ cpus: 2 });
		const c = new callout();
		const log: unknown[] = [];
		callout_init(c, true);
		function* handler(): Blocking<void> {
			log.push("begins");
			if (again) yield* callout_reset(c, 10, handler, undefined);
			yield* work(3_000_000);
			log.push("ends");
		}
		on(kernel, function* () {
			yield* callout_reset(c, 1, handler, undefined);
			while (log.length === 0) yield* work(10_000);
			yield* act(c, log);
		});
		pass(kernel, 20_000_000);
		return log;
	}

	test("0 when the handler runs", () => {
		const log = running(function* (c, log) {
			log.push(yield* callout_stop(c));
			log.push(callout_active(c));
		});
		expect(log).toEqual(["begins", 0, false, "ends"]);
	});

	test("0 when it runs and has armed itself again; but it does not run again", () => {
		const log = running(function* (c, log) {
			log.push(yield* callout_stop(c));
			log.push(yield* callout_stop(c));
		}, true);
		expect(log).toEqual(["begins", 0, 0, "ends"]);
	});

	test("drain: waits for the handler, and takes back what it armed meanwhile", () => {
		expect(
			running(function* (c, log) {
				log.push(yield* callout_drain(c));
			}),
		).toEqual(["begins", "ends", -1]);
		expect(
			running(function* (c, log) {
				log.push(yield* callout_drain(c));
			}, true),
		).toEqual(["begins", "ends", 1]);
	});

	test("drain returns as soon as the handler has ended, not a tick later", () => {
		for (let lead = 0; lead < 4_000; lead += 100) {
			const kernel = bootOn({ cpus: 2 });
			const c = new callout();
			let ended = 0;
			let drained = 0;
			let running = false;
			callout_init(c, true);
			on(kernel, function* () {
				yield* callout_reset(
					c,
					1,
					function* () {
						running = true;
						yield* work(20_000);
						ended = sbinuptime();
					},
					undefined,
				);
				while (!running) yield* work(10);
				yield* work(18_000 + lead);
				yield* callout_drain(c);
				drained = sbinuptime();
			});
			expect(drained).toBeGreaterThanOrEqual(ended);
			expect(drained - ended).toBeLessThan(20_000);
		}
	});

	test("reset: refused while somebody drains", () => {
		const kernel = bootOn({ cpus: 3 });
		const c = new callout();
		let runs = 0;
		callout_init(c, true);
		function* handler(): Blocking<void> {
			runs++;
			yield* work(2_000_000);
			yield* callout_reset(c, 1, handler, undefined);
		}
		on(kernel, function* () {
			yield* callout_reset(c, 1, handler, undefined);
			while (runs === 0) yield* work(10_000);
			yield* callout_drain(c);
		});
		pass(kernel, 10_000_000);
		expect([runs, callout_pending(c)]).toEqual([1, false]);
	});
});

describe("a callout with a lock", () => {
	/** Holds the lock while the callout comes due, does `act`, and releases it. Returns how often the handler ran. */
	function held(
		kind: "mtx" | "rw",
		flags: number,
		act: (c: callout) => Blocking<number>,
	): { result: number; runs: number; owned: boolean[] } {
		const kernel = bootOn({ cpus: 2 });
		const m = new mtx();
		const rw = new rwlock();
		mtx_init(m, "m", null, MTX_DEF);
		rw_init(rw, "rw");
		const c = new callout();
		if (kind === "mtx") callout_init_mtx(c, m, flags);
		else callout_init_rw(c, rw, flags);
		const owned: boolean[] = [];
		let result = -2;
		const handler = function* (): Blocking<void> {
			owned.push(kind === "mtx" ? mtx_owned(m) : rw_wowned(rw));
			yield* work(1_000);
			if ((flags & CALLOUT_RETURNUNLOCKED) !== 0) yield* kind === "mtx" ? mtx_unlock(m) : rw_wunlock(rw);
		};
		on(kernel, function* () {
			yield* callout_reset(c, 1, handler, undefined);
			yield* kind === "mtx" ? mtx_lock(m) : rw_wlock(rw);
			yield* work(2_500_000); // its tick is over: it waits for the lock
			result = yield* act(c);
			yield* kind === "mtx" ? mtx_unlock(m) : rw_wunlock(rw);
		});
		pass(kernel, 10_000_000);
		expect([m.mtx_owner, rw.rw_writer]).toEqual([null, null]);
		return { result, runs: owned.length, owned };
	}

	test.each([
		["mtx", 0],
		["rw", 0],
		["mtx", CALLOUT_RETURNUNLOCKED],
		["rw", CALLOUT_RETURNUNLOCKED],
	] as const)("%s: is called with it held, and left without; flags %d", (kind, flags) => {
		expect(held(kind, flags, () => work(0) as Blocking<never>)).toMatchObject({ runs: 1, owned: [true] });
	});

	test.each(["mtx", "rw"] as const)("%s: stopped by its holder while it waits, it does not run", (kind) => {
		expect(held(kind, 0, callout_stop)).toMatchObject({ result: 1, runs: 0 });
	});

	test.each(["mtx", "rw"] as const)("%s: reset by its holder while it waits, it runs once, later", (kind) => {
		const { result, runs } = held(kind, 0, (c) => callout_reset(c, 2, c.c_func as () => Blocking<void>, undefined));
		expect([result, runs]).toEqual([1, 1]);
	});

	test("a handler that has begun cannot be stopped, though it has let the lock go", () => {
		const kernel = bootOn({ cpus: 2 });
		const m = new mtx();
		mtx_init(m, "m", null, MTX_DEF);
		const c = new callout();
		callout_init_mtx(c, m, CALLOUT_RETURNUNLOCKED);
		const log: unknown[] = [];
		on(kernel, function* () {
			yield* callout_reset(
				c,
				1,
				function* () {
					yield* mtx_unlock(m);
					log.push("begins");
					yield* work(2_000_000);
					log.push("ends");
				},
				undefined,
			);
			while (log.length === 0) yield* work(10_000);
			yield* mtx_lock(m);
			log.push(yield* callout_stop(c));
			yield* mtx_unlock(m);
			log.push(yield* callout_drain(c));
		});
		expect(log).toEqual(["begins", 0, "ends", -1]);
	});

	test("may only be stopped by who holds it", () => {
		const kernel = bootOn({ cpus: 2 });
		const m = new mtx();
		mtx_init(m, "m", null, MTX_DEF);
		const c = new callout();
		callout_init_mtx(c, m, 0);
		expect(() =>
			on(kernel, function* () {
				yield* callout_stop(c);
			}),
		).toThrow(/not owned/);
	});
});

describe("the clock", () => {
	test("does not tick while all CPUs are idle, and does as soon as one is busy or a callout is due", () => {
		const kernel = bootOn({ cpus: 2, profile: exact });
		const c = new callout();
		callout_init(c, true);
		on(kernel, function* () {
			yield* callout_reset(c, 500, nothing, undefined);
		});
		const before = kernel.machine.event_count;
		pass(kernel, 490_000_000);
		expect(kernel.machine.event_count - before).toBeLessThan(5);
		pass(kernel, 20_000_000);
		expect(callout_pending(c)).toBe(false);
		const interrupts = kernel.machine.cpus[1].interrupt_ns;
		on(kernel, () => work(5_000_000));
		expect(kernel.machine.cpus[1].interrupt_ns - interrupts).toBeGreaterThanOrEqual(
			5 * kernel.machine.costs.timer_interrupt,
		);
	});
});
