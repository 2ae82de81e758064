/** Threads ahead of the clock let go of locks before the clock is there: whoever comes meanwhile waits as if it were. */
import { describe, expect, test } from "vitest";
import { lock_profiles } from "../../../src/kernel/lock/lock.ts";
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
import { type Blocking, charge, own_time, sync, sync_exactly, type thread } from "../../../src/kernel/sched/thread.ts";
import { LEAD_NS, LOCKED_LEADS } from "../../../src/machine/lead.ts";
import { bootOn, finish, start } from "../sched/support.ts";

/** before the next tick */
const START = 10_500_000;

type Step = () => Blocking<void>;

/** How the first thread has the lock, and how the second, which comes while it does. */
type Ways = readonly [take: Step, drop: Step, other_take: Step, other_drop: Step];

/** A fresh lock called "one", had in each pair of ways that exclude each other. */
const cases: readonly [string, () => Ways][] = [
	["mtx", () => twice(mutex(MTX_DEF), mtx_lock, mtx_unlock)],
	["spin mtx", () => twice(mutex(MTX_SPIN), mtx_lock_spin, mtx_unlock_spin)],
	["rwlock, two writers", () => twice(rw(), rw_wlock, rw_wunlock)],
	["rwlock, a writer and a reader", () => pair(rw(), rw_wlock, rw_wunlock, rw_rlock, rw_runlock)],
	["sx, two exclusive", () => twice(sleepable(), sx_xlock, sx_xunlock)],
	["sx, exclusive and shared", () => pair(sleepable(), sx_xlock, sx_xunlock, sx_slock, sx_sunlock)],
];

function pair<L>(
	lock: L,
	take: (lock: L) => Blocking<void>,
	drop: (lock: L) => Blocking<void>,
	other_take: (lock: L) => Blocking<void>,
	other_drop: (lock: L) => Blocking<void>,
): Ways {
	return [() => take(lock), () => drop(lock), () => other_take(lock), () => other_drop(lock)];
}

function twice<L>(lock: L, take: (lock: L) => Blocking<void>, drop: (lock: L) => Blocking<void>): Ways {
	return pair(lock, take, drop, take, drop);
}

function mutex(opts: number): mtx {
	const m = new mtx();
	mtx_init(m, "one", null, opts);
	return m;
}

function rw(): rwlock {
	const lock = new rwlock();
	rw_init(lock, "one");
	return lock;
}

function sleepable(): sx {
	const lock = new sx();
	sx_init(lock, "one");
	return lock;
}

/** Lets the machine's clock be at `time`, ns. */
function* until(time: number): Blocking<void> {
	charge(time - own_time());
	yield* sync_exactly();
}

/** A lock's books, and how long after START each thread was done. */
interface Outcome {
	readonly contested: number;
	readonly spin_ns: number;
	readonly block_ns: number;
	readonly first: number;
	readonly second: number;
}

/** Each of two threads on CPUs of their own takes the lock `after` START and has it for `hold`, ns. */
function meet(lead_ns: number, make: () => Ways, first: [number, number], second: [number, number]): Outcome {
	const kernel = bootOn({ cpus: 2, lead_ns });
	const [take, drop, other_take, other_drop] = make();
	const ended = [0, 0];
	const visits = (cpu: number, [after, hold]: [number, number], [enter, leave]: [Step, Step]): thread =>
		start(kernel, `on ${cpu}`, 40, cpu, function* () {
			// the first goes ahead first
			yield* until(START + cpu);
			charge(after - cpu);
			yield* enter();
			charge(hold);
			yield* leave();
			ended[cpu] = own_time() - START;
		});
	finish(kernel, [visits(0, first, [take, drop]), visits(1, second, [other_take, other_drop])]);
	const { contested, spin_ns, block_ns } = lock_profiles().find(({ name }) => name === "one")!;
	return { contested, spin_ns, block_ns, first: ended[0], second: ended[1] };
}

describe.each(cases)("%s", (_, make) => {
	test("who comes while another has it waits as long as without a lead", () => {
		const outcomes = [0, LEAD_NS].map((lead) => meet(lead, make, [0, 200], [120, 50]));
		expect(outcomes[0].contested).toBe(1);
		expect(outcomes[0].spin_ns).toBeGreaterThan(80);
		expect(outcomes[1]).toEqual(outcomes[0]);
	});

	test("who comes when it is free again does not", () => {
		const outcomes = [0, LEAD_NS].map((lead) => meet(lead, make, [0, 100], [150, 50]));
		expect(outcomes[0].contested).toBe(0);
		expect(outcomes[1]).toEqual(outcomes[0]);
	});

	test("who comes before, and would have it for too long, waits in the other's stead", () => {
		const [exact, ahead] = [0, LEAD_NS].map((lead) => meet(lead, make, [200, 60], [130, 60]));
		expect([exact.contested, ahead.contested]).toEqual([1, 1]);
		expect(exact.second).toBeLessThan(exact.first);
		expect(ahead.first).toBeLessThan(ahead.second);
		expect(Math.max(ahead.first, ahead.second)).toBeLessThan(1.2 * Math.max(exact.first, exact.second));
	});

	test("who comes long before does not", () => {
		const outcomes = [0, LEAD_NS].map((lead) => meet(lead, make, [200, 60], [20, 60]));
		expect(outcomes[0].contested).toBe(0);
		expect(outcomes[1]).toEqual(outcomes[0]);
	});
});

describe("readers ahead of the clock", () => {
	test.each([
		["rwlock", () => pair(rw(), rw_rlock, rw_runlock, rw_wlock, rw_wunlock)],
		["sx", () => pair(sleepable(), sx_slock, sx_sunlock, sx_xlock, sx_xunlock)],
	] as [string, () => Ways][])("keep a writer out: %s", (_, make) => {
		const { contested, spin_ns, second } = meet(LEAD_NS, make, [0, 200], [120, 50]);
		expect(contested).toBe(1);
		expect(spin_ns).toBeGreaterThan(80);
		expect(second).toBeGreaterThan(250);
	});

	test("keep a writer out: rmlock", () => {
		// a writer's rendezvous takes longer than the usual lead
		const lead_ns = 10_000;
		const kernel = bootOn({ cpus: 2, lead_ns });
		const rm = new rmlock();
		rm_init(rm, "one");
		const tracker = new rm_priotracker();
		const times = [0, 0];
		const reader = start(kernel, "reader", 40, 0, function* () {
			yield* until(START);
			yield* rm_rlock(rm, tracker);
			charge(lead_ns - 100);
			yield* rm_runlock(rm, tracker);
			times[0] = own_time();
		});
		const writer = start(kernel, "writer", 40, 1, function* () {
			yield* until(START + 1);
			yield* rm_wlock(rm);
			times[1] = own_time();
			yield* rm_wunlock(rm);
		});
		finish(kernel, [reader, writer]);
		expect(times[0]).toBeGreaterThan(START + lead_ns - 100);
		expect(times[1]).toBeGreaterThanOrEqual(times[0]);
	});
});

describe("who has a lock need not wait for the clock under it", () => {
	/** ns after START that the clock says with a lock taken and `hold` charged, and after it is let go and the rest charged */
	function clocks(make: () => Ways, hold: number, rest: number): number[] {
		const kernel = bootOn({ cpus: 1 });
		const [take, drop] = make();
		const seen: number[] = [];
		const owner = start(kernel, "owner", 40, 0, function* () {
			yield* until(START);
			yield* take();
			charge(hold);
			yield* sync();
			seen.push(kernel.machine.now - START);
			yield* drop();
			charge(rest);
			yield* sync();
			seen.push(kernel.machine.now - START);
		});
		finish(kernel, [owner]);
		return seen;
	}

	const exclusive = cases.filter(([name]) => !name.startsWith("sx"));

	test.each(exclusive)("%s", (_, make) => {
		const [under, after] = clocks(make, LEAD_NS + 100, 0);
		expect(under).toBe(0);
		expect(after).toBeGreaterThan(LEAD_NS + 100);
	});

	test.each(exclusive)("but not for ever: %s", (_, make) => {
		expect(clocks(make, LOCKED_LEADS * LEAD_NS, 0)[0]).toBeGreaterThan(LOCKED_LEADS * LEAD_NS);
	});

	test("but another one he takes in time", () => {
		const kernel = bootOn({ cpus: 1 });
		const outer = mutex(MTX_DEF);
		const inner = mutex(MTX_DEF);
		let waited = 0;
		const owner = start(kernel, "owner", 40, 0, function* () {
			yield* until(START);
			yield* mtx_lock(outer);
			charge(LEAD_NS + 100);
			yield* mtx_lock(inner);
			waited = kernel.machine.now - START;
			yield* mtx_unlock(inner);
			yield* mtx_unlock(outer);
		});
		finish(kernel, [owner]);
		expect(waited).toBeGreaterThan(LEAD_NS);
	});

	test("an sx is for sleeping under, and others may see much meanwhile", () => {
		expect(clocks(() => twice(sleepable(), sx_xlock, sx_xunlock), LEAD_NS + 100, 0)[0]).toBeGreaterThan(LEAD_NS);
	});

	test("nor need readers, once nobody has written for long", () => {
		const reads = (): Ways => twice(rw(), rw_rlock, rw_runlock);
		const kernel = bootOn({ cpus: 1 });
		const lock = rw();
		const seen: number[] = [];
		const thread = start(kernel, "thread", 40, 0, function* () {
			yield* until(START);
			yield* rw_wlock(lock);
			yield* rw_wunlock(lock);
			for (const pause of [0, 200_000]) {
				yield* until(START + 1_000 + pause);
				charge(LEAD_NS + 100);
				yield* rw_rlock(lock);
				seen.push(kernel.machine.now - START - 1_000 - pause);
				yield* rw_runlock(lock);
			}
		});
		finish(kernel, [thread]);
		expect(seen[0]).toBeGreaterThan(LEAD_NS);
		expect(seen[1]).toBe(0);
		expect(clocks(reads, LEAD_NS + 100, 0)[0]).toBeGreaterThan(LEAD_NS);
	});
});

test("a mutex that another thread has at its own time is not to be had by trying", () => {
	const kernel = bootOn({ cpus: 2 });
	const m = mutex(MTX_DEF);
	const got: boolean[] = [];
	const owner = start(kernel, "owner", 40, 0, function* () {
		yield* until(START);
		yield* mtx_lock(m);
		charge(200);
		yield* mtx_unlock(m);
	});
	const other = start(kernel, "other", 40, 1, function* () {
		yield* until(START + 100);
		got.push(yield* mtx_trylock(m));
		yield* until(START + 300);
		got.push(yield* mtx_trylock(m));
		yield* mtx_unlock(m);
	});
	finish(kernel, [owner, other]);
	expect(got).toEqual([false, true]);
});

test("of two times that a mutex is held, the later one is remembered: who comes between them does not wait", () => {
	const kernel = bootOn({ cpus: 3 });
	const m = mutex(MTX_DEF);
	const visits = [
		[250, 40],
		[20, 20],
		[130, 20],
	].map(([after, hold], cpu) =>
		start(kernel, `on ${cpu}`, 40, cpu, function* () {
			yield* until(START + cpu);
			charge(after - cpu);
			yield* mtx_lock(m);
			charge(hold);
			yield* mtx_unlock(m);
		}),
	);
	finish(kernel, visits);
	expect(lock_profiles().find(({ name }) => name === "one")).toMatchObject({ acquisitions: 3, contested: 0 });
});

test("many threads meet as often at one lock, and wait as long, whatever the lead", () => {
	const [exact, ahead] = [0, LEAD_NS].map((lead_ns) => {
		const kernel = bootOn({ cpus: 4, lead_ns });
		const m = mutex(MTX_DEF);
		const dice = kernel.machine.random.stream("test");
		const tds = [0, 1, 2, 3].map((cpu) =>
			start(kernel, `on ${cpu}`, 40, cpu, function* () {
				for (let i = 0; i < 2_000; i++) {
					yield* mtx_lock(m);
					charge(20 + dice.uniform(60));
					yield* mtx_unlock(m);
					charge(500 + dice.uniform(1_500));
				}
			}),
		);
		finish(kernel, tds);
		const { acquisitions, contested, spin_ns, block_ns } = lock_profiles().find(({ name }) => name === "one")!;
		expect([acquisitions, block_ns]).toEqual([8_000, 0]);
		return { contested, spin_ns };
	});
	expect(exact.contested).toBeGreaterThan(500);
	expect(ahead.contested / exact.contested).toBeGreaterThan(0.8);
	expect(ahead.contested / exact.contested).toBeLessThan(1.25);
	expect(ahead.spin_ns / exact.spin_ns).toBeGreaterThan(0.8);
	expect(ahead.spin_ns / exact.spin_ns).toBeLessThan(1.5);
});
