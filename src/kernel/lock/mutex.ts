/**
 * mutex(9): adaptive and spin mutexes.
 *
 * An adaptive mutex is taken with one atomic when it is free. When it is not, the thread spins while the owner runs, and
 * blocks when it does not. A spin mutex disables preemption and always spins. A release hands nothing over: any thread
 * may come first.
 *
 * @see kern_mutex.c; kernel.md section 11.1
 */
import { KASSERT, panic } from "../sched/kernel.ts";
import { spin_grant, spin_until, spin_wait } from "../sched/spin.ts";
import {
	advance_to_lock,
	type Blocking,
	cost,
	curthread,
	DONE,
	hostthread,
	later,
	sync,
	sync_exactly,
	type thread,
} from "../sched/thread.ts";
import { critical_enter, TD_IS_RUNNING } from "../sched/ule.ts";
import {
	advance_to_release,
	charge_lock,
	lock_acquired,
	lock_busy,
	lock_init,
	lock_object,
	lock_released,
	turnstile,
	turnstile_broadcast,
	turnstile_unlend,
	turnstile_wait,
} from "./lock.ts";

export const MTX_DEF = 0;
export const MTX_SPIN = 1;
export const MTX_RECURSE = 4;
export const MTX_NOWITNESS = 8;
export const MTX_QUIET = 0x10;
export const MTX_DUPOK = 0x20;
export const MTX_NEW = 0x40;

export const MA_OWNED = 1;
export const MA_NOTOWNED = 2;
export const MA_RECURSED = 4;
export const MA_NOTRECURSED = 8;

export class mtx extends lock_object {
	mtx_owner: thread | null = null;
	mtx_recurse = 0;
	mtx_flags = 0;
	readonly mtx_turnstile = new turnstile();

	override owner(): thread | null {
		return this.mtx_owner;
	}
	override waiting_priority(): number {
		return this.mtx_turnstile.priority;
	}
	override blocks(): boolean {
		return this.mtx_turnstile.ts_blocked.length > 0;
	}
}

/** Initialises a mutex. `type` is the witness class; the name when null. */
export function mtx_init(m: mtx, name: string, type: string | null, opts: number): void {
	KASSERT(m.mtx_owner === null, `mtx_init: mutex ${name} is held`);
	lock_init(m, type ?? name);
	m.mtx_flags = opts;
	m.mtx_recurse = 0;
}

export function mtx_destroy(m: mtx): void {
	KASSERT(
		m.mtx_owner === null || m.mtx_owner === curthread,
		`mtx_destroy: mutex ${m.lo_name} is held by another thread`,
	);
	KASSERT(
		m.spinners.length === 0 && m.mtx_turnstile.ts_blocked.length === 0,
		`mtx_destroy: mutex ${m.lo_name} has waiters`,
	);
	m.mtx_owner = null;
	m.lo_initialised = false;
}

export function mtx_initialized(m: mtx): boolean {
	return m.lo_initialised;
}

export function mtx_owned(m: mtx): boolean {
	return m.mtx_owner === curthread;
}

export function mtx_assert(m: mtx, what: number): void {
	if ((what & MA_OWNED) !== 0 && m.mtx_owner !== curthread) panic(`mutex ${m.lo_name} not owned`);
	if ((what & MA_NOTOWNED) !== 0 && m.mtx_owner === curthread) panic(`mutex ${m.lo_name} owned`);
}

function acquired(m: mtx): void {
	m.mtx_owner = curthread;
	curthread.td_locks++;
	lock_acquired(m);
}

function recurse(m: mtx): void {
	KASSERT((m.mtx_flags & MTX_RECURSE) !== 0, `_mtx_lock_sleep: recursed on non-recursive mutex ${m.lo_name}`);
	m.mtx_recurse++;
}

/** Takes an adaptive mutex. */
export function mtx_lock(m: mtx): Blocking<void> {
	if (!m.lo_initialised) panic(`mtx_lock() of destroyed mutex ${m.lo_name}`);
	charge_lock(m);
	return advance_to_lock() ? mtx_lock_now(m) : later(mtx_lock_now, m);
}

function mtx_lock_now(m: mtx): Blocking<void> {
	if (m.mtx_owner !== null || lock_busy(m)) return mtx_lock_contested(m);
	acquired(m);
	return DONE;
}

function* mtx_lock_contested(m: mtx): Blocking<void> {
	if (m.mtx_owner === curthread) {
		recurse(m);
		return;
	}
	KASSERT(
		curthread.td_critnest === 0,
		`acquiring blockable sleep lock with spinlock or critical section held (${m.lo_name})`,
	);
	KASSERT(curthread !== hostthread, `the host cannot wait for mutex ${m.lo_name}`);
	m.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		const owner: thread | null = m.mtx_owner;
		if (owner === null) {
			if (!lock_busy(m)) break;
			yield* spin_until(m, m.lo_until);
		} else if (TD_IS_RUNNING(owner)) yield* spin_wait(m);
		else yield* turnstile_wait(m.mtx_turnstile, m, owner);
	}
	m.lo_lastcpu = curthread.td_cpu;
	acquired(m);
}

/** Takes an adaptive mutex if it is free. */
export function* mtx_trylock(m: mtx): Blocking<boolean> {
	charge_lock(m);
	yield* sync();
	if (m.mtx_owner === curthread) {
		if ((m.mtx_flags & MTX_RECURSE) === 0) return false;
		m.mtx_recurse++;
		return true;
	}
	if (m.mtx_owner !== null || lock_busy(m)) return false;
	acquired(m);
	return true;
}

/** Lets go of a mutex here and now; the caller has synchronised. For unlock paths and msleep. */
export function mtx_release(m: mtx): void {
	if (m.mtx_owner !== curthread) panic(`mutex ${m.lo_name} not owned`);
	lock_released(m);
	m.mtx_owner = null;
	curthread.td_locks--;
	if ((m.mtx_flags & MTX_SPIN) !== 0) curthread.td_critnest--;
	if (m.lo_waiters && m.waited_for()) wake_next(m);
}

function wake_next(m: mtx): void {
	if (m.spinners.length > 0) spin_grant(m);
	if (m.mtx_turnstile.ts_blocked.length > 0) {
		turnstile_unlend(m);
		turnstile_broadcast(m.mtx_turnstile);
	}
}

/** Releases an adaptive mutex. */
export function mtx_unlock(m: mtx): Blocking<void> {
	curthread.td_pending += cost.atomic;
	return advance_to_release(m) ? mtx_unlock_now(m) : later(mtx_unlock_now, m);
}

function mtx_unlock_now(m: mtx): Blocking<void> {
	if (m.mtx_recurse > 0) {
		mtx_assert(m, MA_OWNED);
		m.mtx_recurse--;
		return DONE;
	}
	mtx_release(m);
	return curthread.td_owepreempt ? sync() : DONE;
}

/** Takes a spin mutex: no preemption until it is released. */
export function mtx_lock_spin(m: mtx): Blocking<void> {
	if (!m.lo_initialised) panic(`mtx_lock_spin() of destroyed mutex ${m.lo_name}`);
	critical_enter();
	charge_lock(m);
	return advance_to_lock() ? mtx_lock_spin_now(m) : later(mtx_lock_spin_now, m);
}

function mtx_lock_spin_now(m: mtx): Blocking<void> {
	if (m.mtx_owner !== null || lock_busy(m)) return mtx_lock_spin_contested(m);
	acquired(m);
	return DONE;
}

function* mtx_lock_spin_contested(m: mtx): Blocking<void> {
	if (m.mtx_owner === curthread) {
		recurse(m);
		return;
	}
	KASSERT(curthread !== hostthread, `the host cannot wait for mutex ${m.lo_name}`);
	m.lo_prof.contested++;
	for (;;) {
		yield* sync_exactly();
		if (m.mtx_owner !== null) yield* spin_wait(m);
		else if (lock_busy(m)) yield* spin_until(m, m.lo_until);
		else break;
	}
	m.lo_lastcpu = curthread.td_cpu;
	acquired(m);
}

/** Releases a spin mutex; a preemption held up meanwhile happens here. */
export function mtx_unlock_spin(m: mtx): Blocking<void> {
	curthread.td_pending += cost.atomic;
	return advance_to_release(m) ? mtx_unlock_spin_now(m) : later(mtx_unlock_spin_now, m);
}

function mtx_unlock_spin_now(m: mtx): Blocking<void> {
	if (m.mtx_recurse > 0) {
		m.mtx_recurse--;
		curthread.td_critnest--;
		return DONE;
	}
	mtx_release(m);
	return curthread.td_owepreempt && curthread.td_critnest === 0 ? sync() : DONE;
}
