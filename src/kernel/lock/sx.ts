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
import { spin_grant, spin_wait } from "../sched/spin.ts";
import { type Blocking, cost, curthread, hostthread, sync_exactly, type thread } from "../sched/thread.ts";
import { TD_IS_RUNNING } from "../sched/ule.ts";
import {
	charge_lock,
	lock_init,
	lock_object,
	lockstat_acquire,
	lockstat_release,
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

/** Takes a shared lock. */
export function* sx_slock(lock: sx): Blocking<void> {
	if (!lock.lo_initialised) panic(`sx_slock() of destroyed sx ${lock.lo_name}`);
	charge_lock(lock);
	yield* sync_exactly();
	KASSERT(lock.sx_owner !== curthread, `sx_slock: xlock already held for ${lock.lo_name}`);
	let waited = false;
	while (
		lock.sx_owner !== null ||
		(lock.lo_waiters && lock.sx_exclusiveq.ts_blocked.length > 0 && curthread.td_sx_slocks === 0)
	) {
		KASSERT(curthread !== hostthread, `the host cannot wait for sx ${lock.lo_name}`);
		if (!waited) lock.lo_prof.contested++;
		waited = true;
		yield* sleep_for(lock, lock.sx_sharedq);
	}
	lock.sx_sharers++;
	curthread.td_sx_slocks++;
	if (waited) spin_grant(lock); // others may come in as well
	lock.lo_prof.acquisitions++;
	if (lockstat_acquire.on !== null) lockstat_acquire.on(lock, curthread);
}

/** Takes the exclusive lock. */
export function* sx_xlock(lock: sx): Blocking<void> {
	if (!lock.lo_initialised) panic(`sx_xlock() of destroyed sx ${lock.lo_name}`);
	charge_lock(lock);
	yield* sync_exactly();
	if (lock.sx_owner === curthread) {
		KASSERT((lock.sx_flags & SX_RECURSE) !== 0, `_sx_xlock_hard: recursed on non-recursive sx ${lock.lo_name}`);
		lock.sx_recurse++;
		return;
	}
	let waited = false;
	while (lock.sx_owner !== null || lock.sx_sharers > 0) {
		KASSERT(curthread !== hostthread, `the host cannot wait for sx ${lock.lo_name}`);
		if (!waited) lock.lo_prof.contested++;
		waited = true;
		yield* sleep_for(lock, lock.sx_exclusiveq);
	}
	lock.sx_owner = curthread;
	lock.lo_prof.acquisitions++;
	if (lockstat_acquire.on !== null) lockstat_acquire.on(lock, curthread);
}

function wake_next(lock: sx): void {
	if (lock.spinners.length > 0) spin_grant(lock);
	if (lock.sx_exclusiveq.ts_blocked.length > 0) turnstile_broadcast(lock.sx_exclusiveq);
	else turnstile_broadcast(lock.sx_sharedq);
}

/** Releases a shared lock. */
export function* sx_sunlock(lock: sx): Blocking<void> {
	curthread.td_pending += cost.atomic;
	yield* sync_exactly();
	if (lock.sx_sharers === 0) panic(`Lock ${lock.lo_name} not share locked`);
	lock.sx_sharers--;
	curthread.td_sx_slocks--;
	if (lockstat_release.on !== null) lockstat_release.on(lock, curthread);
	if (lock.sx_sharers === 0 && lock.lo_waiters && lock.waited_for()) wake_next(lock);
	if (curthread.td_owepreempt) yield* sync_exactly();
}

/** Releases the exclusive lock. */
export function* sx_xunlock(lock: sx): Blocking<void> {
	curthread.td_pending += cost.atomic;
	yield* sync_exactly();
	if (lock.sx_owner !== curthread) panic(`Lock ${lock.lo_name} not exclusively locked`);
	if (lock.sx_recurse > 0) {
		lock.sx_recurse--;
		return;
	}
	if (lockstat_release.on !== null) lockstat_release.on(lock, curthread);
	lock.sx_owner = null;
	if (lock.lo_waiters && lock.waited_for()) wake_next(lock);
	if (curthread.td_owepreempt) yield* sync_exactly();
}
