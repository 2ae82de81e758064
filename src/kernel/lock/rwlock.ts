/**
 * rwlock(9): many readers or one writer, not to be held while sleeping.
 *
 * Readers are let in unless a writer waits, except for a thread that already holds a read lock, which would deadlock. A
 * writer spins while another writer runs. A contested write unlock wakes the waiting writers if there are any, else the
 * readers. Simplified: spinning on a lock held by readers, which upstream bounds, goes straight to blocking, unless they are ahead of
 * the clock and have let go already.
 *
 * @see kern_rwlock.c; kernel.md section 11.2
 */
import { KASSERT, panic } from "../sched/kernel.ts";
import { spin_grant, spin_until, spin_wait } from "../sched/spin.ts";
import {
	advance_read_mostly,
	advance_to_lock,
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
import { TD_IS_RUNNING } from "../sched/ule.ts";
import {
	advance_to_release,
	charge_lock,
	lock_acquired,
	lock_busy,
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

export const RW_RECURSE = 0x10;
export const RA_UNLOCKED = 0;
export const RA_LOCKED = 1;
export const RA_RLOCKED = 2;
export const RA_WLOCKED = 4;

export class rwlock extends lock_object {
	rw_writer: thread | null = null;
	rw_readers = 0;
	rw_recurse = 0;
	rw_flags = 0;
	readonly rw_shared = new turnstile();
	readonly rw_exclusive = new turnstile();

	override owner(): thread | null {
		return this.rw_writer;
	}
	override waiting_priority(): number {
		return Math.min(this.rw_shared.priority, this.rw_exclusive.priority);
	}
	override blocks(): boolean {
		return this.rw_shared.ts_blocked.length > 0 || this.rw_exclusive.ts_blocked.length > 0;
	}
}

export function rw_init(rw: rwlock, name: string): void {
	rw_init_flags(rw, name, 0);
}

export function rw_init_flags(rw: rwlock, name: string, flags: number): void {
	lock_init(rw, name);
	rw.rw_flags = flags;
}

export function rw_destroy(rw: rwlock): void {
	KASSERT(rw.rw_writer === null && rw.rw_readers === 0, `rw_destroy: rwlock ${rw.lo_name} is held`);
	rw.lo_initialised = false;
}

export function rw_wowned(rw: rwlock): boolean {
	return rw.rw_writer === curthread;
}

export function rw_assert(rw: rwlock, what: number): void {
	if ((what & RA_WLOCKED) !== 0 && rw.rw_writer !== curthread) panic(`Lock ${rw.lo_name} not exclusively locked`);
	if ((what & RA_RLOCKED) !== 0 && rw.rw_readers === 0) panic(`Lock ${rw.lo_name} not read locked`);
	if ((what & RA_LOCKED) !== 0 && rw.rw_writer !== curthread && rw.rw_readers === 0)
		panic(`Lock ${rw.lo_name} not locked`);
	if (what === RA_UNLOCKED && rw.rw_writer === curthread) panic(`Lock ${rw.lo_name} exclusively locked`);
}

function can_read(rw: rwlock): boolean {
	if (rw.rw_writer !== null) return false;
	return !rw.lo_waiters || rw.rw_exclusive.ts_blocked.length === 0 || curthread.td_rw_rlocks > 0;
}

function read_acquired(rw: rwlock): void {
	rw.rw_readers++;
	curthread.td_rw_rlocks++;
	lock_shared(rw);
}

function write_acquired(rw: rwlock): void {
	rw.rw_writer = curthread;
	curthread.td_locks++;
	if (rw.lo_waiters && rw.blocks()) turnstile_claim(rw);
	lock_acquired(rw);
}

/** A lock that has been without a writer for so long is likely to stay so, ns. Of our choice: twenty times as long as a reader may be ahead. */
const READ_MOSTLY_AFTER = 100_000;

/** As advance, before a read lock is taken: readers do not disturb each other. */
function advance_to_read(rw: rwlock): boolean {
	return own_time() - rw.lo_until > READ_MOSTLY_AFTER ? advance_read_mostly() : advance_to_lock();
}

/** Takes a read lock. */
export function rw_rlock(rw: rwlock): Blocking<void> {
	if (!rw.lo_initialised) panic(`rw_rlock() of destroyed rwlock ${rw.lo_name}`);
	charge_lock(rw);
	return advance_to_read(rw) ? rw_rlock_now(rw) : later(rw_rlock_now, rw);
}

function rw_rlock_now(rw: rwlock): Blocking<void> {
	if (!can_read(rw) || lock_busy(rw)) return rw_rlock_contested(rw);
	read_acquired(rw);
	return DONE;
}

function* rw_rlock_contested(rw: rwlock): Blocking<void> {
	KASSERT(rw.rw_writer !== curthread, `rw_rlock: wlock already held for ${rw.lo_name}`);
	KASSERT(curthread !== hostthread, `the host cannot wait for rwlock ${rw.lo_name}`);
	rw.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (can_read(rw)) {
			if (!lock_busy(rw)) break;
			yield* spin_until(rw, rw.lo_until);
			continue;
		}
		const owner: thread | null = rw.rw_writer;
		if (owner !== null && TD_IS_RUNNING(owner)) yield* spin_wait(rw);
		else yield* turnstile_wait(rw.rw_shared, rw, owner);
	}
	read_acquired(rw);
	spin_grant(rw); // other readers may come in as well
}

/** Takes the write lock. */
export function rw_wlock(rw: rwlock): Blocking<void> {
	if (!rw.lo_initialised) panic(`rw_wlock() of destroyed rwlock ${rw.lo_name}`);
	charge_lock(rw);
	return advance_to_lock() ? rw_wlock_now(rw) : later(rw_wlock_now, rw);
}

function rw_wlock_now(rw: rwlock): Blocking<void> {
	if (rw.rw_writer !== null || rw.rw_readers > 0 || lock_busy_until(rw) > 0) return rw_wlock_contested(rw);
	write_acquired(rw);
	return DONE;
}

function* rw_wlock_contested(rw: rwlock): Blocking<void> {
	if (rw.rw_writer === curthread) {
		KASSERT((rw.rw_flags & RW_RECURSE) !== 0, `__rw_wlock_hard: recursing but non-recursive rw ${rw.lo_name}`);
		rw.rw_recurse++;
		return;
	}
	KASSERT(curthread !== hostthread, `the host cannot wait for rwlock ${rw.lo_name}`);
	rw.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (rw.rw_writer === null && rw.rw_readers === 0) {
			const until = lock_busy_until(rw);
			if (until === 0) break;
			yield* spin_until(rw, until);
			continue;
		}
		const owner: thread | null = rw.rw_writer;
		if (owner !== null && TD_IS_RUNNING(owner)) yield* spin_wait(rw);
		else yield* turnstile_wait(rw.rw_exclusive, rw, owner);
	}
	write_acquired(rw);
}

/** Takes the write lock if nobody holds the lock at all. */
export function* rw_try_wlock(rw: rwlock): Blocking<boolean> {
	charge_lock(rw);
	yield* sync();
	if (rw.rw_writer !== null || rw.rw_readers > 0 || lock_busy_until(rw) > 0) return false;
	write_acquired(rw);
	return true;
}

function wake_next(rw: rwlock): void {
	if (rw.spinners.length > 0) spin_grant(rw);
	if (rw.rw_exclusive.ts_blocked.length > 0) turnstile_broadcast(rw.rw_exclusive);
	else turnstile_broadcast(rw.rw_shared);
}

/** Releases a read lock. */
export function rw_runlock(rw: rwlock): Blocking<void> {
	curthread.td_pending += cost.atomic;
	return advance_to_release(rw) ? rw_runlock_now(rw) : later(rw_runlock_now, rw);
}

function rw_runlock_now(rw: rwlock): Blocking<void> {
	if (rw.rw_readers === 0) panic(`Lock ${rw.lo_name} not read locked`);
	rw.rw_readers--;
	curthread.td_rw_rlocks--;
	lock_unshared(rw);
	if (rw.rw_readers === 0 && rw.lo_waiters && rw.waited_for()) wake_next(rw);
	return curthread.td_owepreempt ? sync() : DONE;
}

/** Releases the write lock. */
export function rw_wunlock(rw: rwlock): Blocking<void> {
	curthread.td_pending += cost.atomic;
	return advance_to_release(rw) ? rw_wunlock_now(rw) : later(rw_wunlock_now, rw);
}

function rw_wunlock_now(rw: rwlock): Blocking<void> {
	if (rw.rw_writer !== curthread) panic(`Lock ${rw.lo_name} not exclusively locked`);
	if (rw.rw_recurse > 0) {
		rw.rw_recurse--;
		return DONE;
	}
	lock_released(rw);
	rw.rw_writer = null;
	curthread.td_locks--;
	if (rw.lo_waiters && rw.waited_for()) {
		turnstile_unlend(rw);
		wake_next(rw);
	}
	return curthread.td_owepreempt ? sync() : DONE;
}
