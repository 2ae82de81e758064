/**
 * rmlock(9): read-mostly locks. A reader pays no atomic and no shared cache line, only pins itself; a writer interrupts
 * every other CPU and waits for the readers to leave.
 *
 * The radix heads of routing tables and of the driver's allowed IPs use them.
 *
 * @see kern_rmlock.c; kernel.md section 11.3
 */
import { KASSERT, mp_ncpus, panic } from "../sched/kernel.ts";
import { PRI_MAX_IDLE } from "../sched/priority.ts";
import {
	advance_read_mostly,
	type Blocking,
	cost,
	curthread,
	DONE,
	hostthread,
	later,
	own_time,
	sync,
	sync_exactly,
	type thread,
} from "../sched/thread.ts";
import { sched_pin, sched_unpin } from "../sched/ule.ts";
import {
	advance_to_release,
	charge_lock,
	lock_acquired,
	lock_busy_until,
	lock_init,
	lock_object,
	lock_released,
	lock_shared,
	lock_unshared,
	turnstile,
	turnstile_broadcast,
	turnstile_claim,
	turnstile_unlend,
	turnstile_wait,
} from "./lock.ts";

/** On the reader's stack upstream; here it only has to exist. */
export class rm_priotracker {
	rmp_thread: thread | null = null;
}

export class rmlock extends lock_object {
	rm_owner: thread | null = null;
	/** a writer has asked for the lock: new readers wait */
	rm_writers = 0;
	rm_readers = 0;
	readonly rm_turnstile = new turnstile();

	override owner(): thread | null {
		return this.rm_owner;
	}
	override waiting_priority(): number {
		return this.rm_turnstile.priority;
	}
	override blocks(): boolean {
		return this.rm_turnstile.ts_blocked.length > 0;
	}
}

export function rm_init(rm: rmlock, name: string): void {
	lock_init(rm, name);
}

export function rm_destroy(rm: rmlock): void {
	KASSERT(rm.rm_owner === null && rm.rm_readers === 0, `rm_destroy: rmlock ${rm.lo_name} is held`);
	rm.lo_initialised = false;
}

export function rm_wowned(rm: rmlock): boolean {
	return rm.rm_owner === curthread;
}

function read_acquired(rm: rmlock, tracker: rm_priotracker): void {
	rm.rm_readers++;
	tracker.rmp_thread = curthread;
	sched_pin();
	lock_shared(rm);
}

/** Takes a read lock; the thread stays on its CPU until it lets go. */
export function rm_rlock(rm: rmlock, tracker: rm_priotracker): Blocking<void> {
	if (!rm.lo_initialised) panic(`rm_rlock() of destroyed rmlock ${rm.lo_name}`);
	curthread.td_pending += cost.atomic >> 1;
	return advance_read_mostly() ? rm_rlock_now(rm, tracker) : later(rm_rlock_now, rm, tracker);
}

function rm_rlock_now(rm: rmlock, tracker: rm_priotracker): Blocking<void> {
	if (rm.rm_writers > 0) return rm_rlock_hard(rm, tracker);
	read_acquired(rm, tracker);
	return DONE;
}

function* rm_rlock_hard(rm: rmlock, tracker: rm_priotracker): Blocking<void> {
	KASSERT(rm.rm_owner !== curthread, `rm_rlock: wlock already held for ${rm.lo_name}`);
	KASSERT(curthread !== hostthread, `the host cannot wait for rmlock ${rm.lo_name}`);
	rm.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (rm.rm_writers === 0) break;
		yield* turnstile_wait(rm.rm_turnstile, rm, rm.rm_owner);
	}
	read_acquired(rm, tracker);
}

/** Lets go of a read lock. */
export function rm_runlock(rm: rmlock, tracker: rm_priotracker): Blocking<void> {
	curthread.td_pending += cost.atomic >> 1;
	return advance_to_release(rm) ? rm_runlock_now(rm, tracker) : later(rm_runlock_now, rm, tracker);
}

function rm_runlock_now(rm: rmlock, tracker: rm_priotracker): Blocking<void> {
	KASSERT(tracker.rmp_thread === curthread, `rm_runlock: ${rm.lo_name} is not read locked by this thread`);
	tracker.rmp_thread = null;
	sched_unpin();
	rm.rm_readers--;
	lock_unshared(rm);
	if (rm.rm_readers === 0 && rm.lo_waiters && rm.waited_for()) turnstile_broadcast(rm.rm_turnstile);
	return curthread.td_owepreempt ? sync() : DONE;
}

/** Takes the write lock: asks all other CPUs by IPI, then waits for the readers. */
export function* rm_wlock(rm: rmlock): Blocking<void> {
	if (!rm.lo_initialised) panic(`rm_wlock() of destroyed rmlock ${rm.lo_name}`);
	charge_lock(rm);
	yield* sync_exactly();
	KASSERT(rm.rm_owner !== curthread, `rm_wlock: recursing on ${rm.lo_name}`);
	rm.rm_writers++;
	if (mp_ncpus() > 1) {
		curthread.td_pending += cost.rendezvous;
		yield* sync_exactly();
	}
	if (rm.rm_owner !== null || rm.rm_readers > 0) rm.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (rm.rm_owner === null && rm.rm_readers === 0) {
			// readers ahead of the clock have left already, but are not gone yet
			const until = lock_busy_until(rm);
			if (until === 0) break;
			curthread.td_pending += until - own_time();
			continue;
		}
		KASSERT(curthread !== hostthread, `the host cannot wait for rmlock ${rm.lo_name}`);
		yield* turnstile_wait(rm.rm_turnstile, rm, rm.rm_owner);
	}
	rm.rm_owner = curthread;
	if (rm.rm_turnstile.ts_blocked.length > 0) turnstile_claim(rm);
	lock_acquired(rm);
}

/** Releases the write lock. */
export function* rm_wunlock(rm: rmlock): Blocking<void> {
	curthread.td_pending += cost.atomic;
	yield* sync_exactly();
	if (rm.rm_owner !== curthread) panic(`Lock ${rm.lo_name} not exclusively locked`);
	lock_released(rm);
	rm.rm_owner = null;
	rm.rm_writers--;
	if (rm.waiting_priority() <= PRI_MAX_IDLE) turnstile_unlend(rm);
	turnstile_broadcast(rm.rm_turnstile);
	if (curthread.td_owepreempt) yield* sync();
}
