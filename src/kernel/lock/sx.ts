/**
 * sx(9): shared/exclusive locks that may be held while sleeping.
 *
 * Like rwlock, but waiters sleep instead of blocking on a turnstile: no priority is lent, and taking a contested one is
 * forbidden wherever sleeping is.
 *
 * @see kern_sx.c; kernel.md section 11.4
 */
import { KASSERT, panic } from "../sched/kernel.ts";
import { PRI_MAX_IDLE } from "../sched/priority.ts";
import { spin_grant, spin_until, spin_wait } from "../sched/spin.ts";
import { type Blocking, cost, curthread, hostthread, sync, sync_exactly, type thread } from "../sched/thread.ts";
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
	turnstile_wait,
} from "./lock.ts";

export const SX_DUPOK = 0x01;
export const SX_RECURSE = 0x20;
export const SX_LOCKED = 1;
export const SX_SLOCKED = 2;
export const SX_XLOCKED = 4;
export const SX_UNLOCKED = 8;

export class sx extends lock_object {
	sx_owner: thread | null = null;
	sx_sharers = 0;
	sx_recurse = 0;
	sx_flags = 0;
	readonly sx_sharedq = new turnstile();
	readonly sx_exclusiveq = new turnstile();

	override owner(): thread | null {
		return this.sx_owner;
	}
	override waiting_priority(): number {
		return PRI_MAX_IDLE + 1; // sleepers lend nothing
	}
	override blocks(): boolean {
		return this.sx_sharedq.ts_blocked.length > 0 || this.sx_exclusiveq.ts_blocked.length > 0;
	}
}

export function sx_init(lock: sx, name: string): void {
	sx_init_flags(lock, name, 0);
}

export function sx_init_flags(lock: sx, name: string, flags: number): void {
	lock_init(lock, name);
	lock.sx_flags = flags;
}

export function sx_destroy(lock: sx): void {
	KASSERT(lock.sx_owner === null && lock.sx_sharers === 0, `sx_destroy: sx ${lock.lo_name} is held`);
	lock.lo_initialised = false;
}

export function sx_xlocked(lock: sx): boolean {
	return lock.sx_owner === curthread;
}

export function sx_assert(lock: sx, what: number): void {
	if ((what & SX_XLOCKED) !== 0 && lock.sx_owner !== curthread) panic(`Lock ${lock.lo_name} not exclusively locked`);
	if ((what & SX_SLOCKED) !== 0 && lock.sx_sharers === 0) panic(`Lock ${lock.lo_name} not share locked`);
	if ((what & SX_LOCKED) !== 0 && lock.sx_owner !== curthread && lock.sx_sharers === 0)
		panic(`Lock ${lock.lo_name} not locked`);
	if ((what & SX_UNLOCKED) !== 0 && lock.sx_owner === curthread) panic(`Lock ${lock.lo_name} exclusively locked`);
}

function* sleep_for(lock: sx, queue: turnstile): Blocking<void> {
	const owner = lock.sx_owner;
	if (owner !== null && TD_IS_RUNNING(owner)) {
		yield* spin_wait(lock);
	} else {
		const td = curthread;
		KASSERT(
			td.td_no_sleeping === 0,
			`_sx_xlock_hard: td ${td.td_name} to sleep on sx ${lock.lo_name} with sleeping prohibited`,
		);
		yield* turnstile_wait(queue, lock, null);
	}
}

function can_share(lock: sx): boolean {
	if (lock.sx_owner !== null) return false;
	return !lock.lo_waiters || lock.sx_exclusiveq.ts_blocked.length === 0 || curthread.td_sx_slocks > 0;
}

function shared_acquired(lock: sx): void {
	lock.sx_sharers++;
	curthread.td_sx_slocks++;
	lock_shared(lock);
}

/** Takes a shared lock. */
export function* sx_slock(lock: sx): Blocking<void> {
	if (!lock.lo_initialised) panic(`sx_slock() of destroyed sx ${lock.lo_name}`);
	charge_lock(lock);
	yield* sync();
	KASSERT(lock.sx_owner !== curthread, `sx_slock: xlock already held for ${lock.lo_name}`);
	if (!can_share(lock) || lock_busy(lock)) yield* sx_slock_contested(lock);
	else shared_acquired(lock);
}

function* sx_slock_contested(lock: sx): Blocking<void> {
	KASSERT(curthread !== hostthread, `the host cannot wait for sx ${lock.lo_name}`);
	lock.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (!can_share(lock)) yield* sleep_for(lock, lock.sx_sharedq);
		else if (lock_busy(lock)) yield* spin_until(lock, lock.lo_until);
		else break;
	}
	shared_acquired(lock);
	spin_grant(lock); // others may come in as well
}

/** Takes the exclusive lock. */
export function* sx_xlock(lock: sx): Blocking<void> {
	if (!lock.lo_initialised) panic(`sx_xlock() of destroyed sx ${lock.lo_name}`);
	charge_lock(lock);
	yield* sync();
	if (lock.sx_owner === curthread) {
		KASSERT((lock.sx_flags & SX_RECURSE) !== 0, `_sx_xlock_hard: recursed on non-recursive sx ${lock.lo_name}`);
		lock.sx_recurse++;
		return;
	}
	if (lock.sx_owner !== null || lock.sx_sharers > 0 || lock_busy_until(lock) > 0) yield* sx_xlock_contested(lock);
	lock.sx_owner = curthread;
	lock_acquired(lock);
}

function* sx_xlock_contested(lock: sx): Blocking<void> {
	KASSERT(curthread !== hostthread, `the host cannot wait for sx ${lock.lo_name}`);
	lock.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (lock.sx_owner !== null || lock.sx_sharers > 0) {
			yield* sleep_for(lock, lock.sx_exclusiveq);
			continue;
		}
		const until = lock_busy_until(lock);
		if (until === 0) return;
		yield* spin_until(lock, until);
	}
}

function wake_next(lock: sx): void {
	if (lock.spinners.length > 0) spin_grant(lock);
	if (lock.sx_exclusiveq.ts_blocked.length > 0) turnstile_broadcast(lock.sx_exclusiveq);
	else turnstile_broadcast(lock.sx_sharedq);
}

/** Releases a shared lock. */
export function* sx_sunlock(lock: sx): Blocking<void> {
	curthread.td_pending += cost.atomic;
	if (!advance_to_release(lock)) yield;
	if (lock.sx_sharers === 0) panic(`Lock ${lock.lo_name} not share locked`);
	lock.sx_sharers--;
	curthread.td_sx_slocks--;
	lock_unshared(lock);
	if (lock.sx_sharers === 0 && lock.lo_waiters && lock.waited_for()) wake_next(lock);
	if (curthread.td_owepreempt) yield* sync();
}

/** Releases the exclusive lock. */
export function* sx_xunlock(lock: sx): Blocking<void> {
	curthread.td_pending += cost.atomic;
	if (!advance_to_release(lock)) yield;
	if (lock.sx_owner !== curthread) panic(`Lock ${lock.lo_name} not exclusively locked`);
	if (lock.sx_recurse > 0) {
		lock.sx_recurse--;
		return;
	}
	lock_released(lock);
	lock.sx_owner = null;
	if (lock.lo_waiters && lock.waited_for()) wake_next(lock);
	if (curthread.td_owepreempt) yield* sync();
}
