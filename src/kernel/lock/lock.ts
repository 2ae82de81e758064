/**
 * What all locks share: a name, a place for waiting threads, statistics, and the turnstile for those that block.
 *
 * Waiting is FreeBSD's adaptive way: spin while the owner runs on another CPU, block on the turnstile when it does not.
 * A blocked thread lends its priority to the owner; a release wakes all blocked threads, and whoever comes first has it.
 *
 * @see subr_turnstile.c, kern_mutex.c; kernel.md section 11
 */
import { wide_fields } from "../../machine/shape.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { curkernel, KERNEL_GLOBAL, panic } from "../sched/kernel.ts";
import { PRI_MAX_IDLE } from "../sched/priority.ts";
import { spin_grant } from "../sched/spin.ts";
import {
	advance,
	advance_read_mostly,
	type Blocking,
	type Contested,
	cost,
	curthread,
	hostthread,
	own_time,
	sync,
	type thread,
} from "../sched/thread.ts";
import { sched_add, sched_prio, thread_inhibit } from "../sched/ule.ts";

export const lockstat_acquire = SDT_PROBE_DEFINE<[lock: lock_object, td: thread]>(
	"lockstat:::acquire",
	"lock: lock_object, td: thread",
);
export const lockstat_release = SDT_PROBE_DEFINE<[lock: lock_object, td: thread]>(
	"lockstat:::release",
	"lock: lock_object, td: thread",
);
export const lockstat_spin = SDT_PROBE_DEFINE<[lock: lock_object, td: thread, ns: number]>(
	"lockstat:::spin",
	"lock: lock_object, td: thread, ns: number",
);
export const lockstat_block = SDT_PROBE_DEFINE<[lock: lock_object, td: thread, ns: number]>(
	"lockstat:::block",
	"lock: lock_object, td: thread, ns: number",
);

/** Statistics of all locks of one name, as lock profiling groups them. @see LOCK_PROFILING(9) */
export class lock_prof {
	readonly name: string;
	acquisitions = 0;
	/** acquisitions that had to wait */
	contested = 0;
	spin_ns = 0;
	block_ns = 0;
	constructor(name: string) {
		this.name = name;
	}
}

wide_fields(new lock_prof(""), "spin_ns", "block_ns");

const profs = KERNEL_GLOBAL(() => new Map<string, lock_prof>());

export function lock_profiles(): lock_prof[] {
	return [...profs().values()];
}

const unnamed = new lock_prof("uninitialised");

export abstract class lock_object implements Contested {
	lo_name = "uninitialised";
	lo_initialised = false;
	lo_prof: lock_prof = unnamed;
	/** somebody may wait: who releases the lock has to look. As a bit of the lock's word in C. @see MTX_CONTESTED, RW_LOCK_WAITERS */
	lo_waiters = false;
	readonly spinners: thread[] = [];
	granted: thread | null = null;
	/** CPU that had the lock's cache line last */
	lo_lastcpu = -1;
	/** the latest time that one thread had it alone, in that thread's own time, ns */
	lo_from = 0;
	lo_until = 0;
	/** the latest time that readers had it ended then, ns */
	lo_shared_until = 0;

	abstract owner(): thread | null;
	abstract waiting_priority(): number;
	/** Whether threads are blocked on it. */
	abstract blocks(): boolean;

	/** Whether somebody does wait. Lets lo_waiters say so. */
	waited_for(): boolean {
		this.lo_waiters = this.spinners.length > 0 || this.blocks();
		return this.lo_waiters;
	}

	spun(td: thread, ns: number): void {
		this.lo_prof.spin_ns += ns;
		if (lockstat_spin.on !== null) lockstat_spin.on(this, td, ns);
	}
}

class any_lock extends lock_object {
	override owner(): thread | null {
		return null;
	}
	override waiting_priority(): number {
		return PRI_MAX_IDLE + 1;
	}
	override blocks(): boolean {
		return false;
	}
}

wide_fields(new any_lock(), "lo_from", "lo_until", "lo_shared_until");

/** The lock is a new one, though its memory is not: what the host knows of the old one is forgotten. */
export function lock_renew(lock: lock_object): void {
	lock.lo_lastcpu = -1;
	lock.lo_from = 0;
	lock.lo_until = 0;
	lock.lo_shared_until = 0;
}

export function lock_init(lock: lock_object, name: string): void {
	const all = profs();
	let prof = all.get(name);
	if (prof === undefined) {
		prof = new lock_prof(name);
		all.set(name, prof);
	}
	lock.lo_name = name;
	lock.lo_prof = prof;
	lock.lo_initialised = true;
	lock_renew(lock);
}

/** Cost of getting the lock's word: an atomic, and the line's way here if another CPU had it. */
export function charge_lock(lock: lock_object): void {
	const td = curthread;
	if (lock.lo_lastcpu === td.td_cpu || lock.lo_lastcpu < 0) td.td_pending += cost.atomic;
	else td.td_pending += cost.atomic + cost.line_transfer;
	lock.lo_lastcpu = td.td_cpu;
}

/**
 * Whether another thread has the lock alone at the running thread's own time, though it has let go already, being ahead of the
 * clock. One that had it a little later, while the running thread would still have it if it took as long, should have waited for
 * this one; this one waits instead, so that as many wait as there should.
 */
export function lock_busy(lock: lock_object): boolean {
	const now = own_time();
	return now < lock.lo_until && now > 2 * lock.lo_from - lock.lo_until && curthread !== hostthread;
}

/** As lock_busy, for a thread that wants the lock alone and finds readers as much in its way. @returns when it is free, ns; 0 for now */
export function lock_busy_until(lock: lock_object): number {
	if (lock_busy(lock)) return lock.lo_until;
	return own_time() < lock.lo_shared_until && curthread !== hostthread ? lock.lo_shared_until : 0;
}

/** The running thread has it now, together with others. */
export function lock_shared(lock: lock_object): void {
	lock.lo_prof.acquisitions++;
	if (lockstat_acquire.on !== null) lockstat_acquire.on(lock, curthread);
}

/** The running thread has it now, alone. */
export function lock_acquired(lock: lock_object): void {
	const now = own_time();
	if (now >= lock.lo_until) lock.lo_from = now;
	lock_shared(lock);
}

/** As advance, for whoever is about to release a lock: it stays busy until then, so that nobody sees it unless he waits for it already. */
export function advance_to_release(lock: lock_object): boolean {
	return lock.lo_waiters ? advance() : advance_read_mostly();
}

/** The running thread, which had it alone, has it no more. */
export function lock_released(lock: lock_object): void {
	if (lockstat_release.on !== null) lockstat_release.on(lock, curthread);
	const now = own_time();
	if (now > lock.lo_until) lock.lo_until = now;
}

/** The running thread, which had it together with others, has it no more. */
export function lock_unshared(lock: lock_object): void {
	if (lockstat_release.on !== null) lockstat_release.on(lock, curthread);
	const now = own_time();
	if (now > lock.lo_shared_until) lock.lo_shared_until = now;
}

/** Threads blocked on one lock, in order of arrival; their priorities may change while they wait. */
export class turnstile {
	readonly ts_blocked: thread[] = [];

	/** The best priority among them, PRI_MAX_IDLE + 1 if there are none. */
	get priority(): number {
		let best = PRI_MAX_IDLE + 1;
		for (const td of this.ts_blocked) if (td.td_priority < best) best = td.td_priority;
		return best;
	}
}

/**
 * Blocks the running thread on `ts` of `lock`. Call right after a sync; returns when the lock was released, after another
 * sync and paid for, to try again. Where no owner is known, spinners that were told after this thread must look, too.
 */
export function* turnstile_wait(ts: turnstile, lock: lock_object, owner: thread | null): Blocking<void> {
	const td = curthread;
	const since = curkernel.machine.now;
	ts.ts_blocked.push(td);
	lock.lo_waiters = true;
	td.td_blocked = lock;
	thread_inhibit();
	if (owner === null) spin_grant(lock);
	else propagate_priority(owner, lock, td.td_priority);
	td.td_pending += cost.turnstile;
	yield;
	const waited = curkernel.machine.now - since;
	lock.lo_prof.block_ns += waited;
	if (lockstat_block.on !== null) lockstat_block.on(lock, td, waited);
	td.td_pending += cost.atomic;
	yield* sync();
}

/** Lends `priority` to the owner, and to whatever thread keeps that one waiting. */
function propagate_priority(first: thread, lock: Contested, priority: number): void {
	let owner: thread | null = first;
	let held: Contested = lock;
	while (owner !== null) {
		if (owner.td_wchan !== null) panic("sleeping thread");
		if (!owner.td_contested.includes(held)) owner.td_contested.push(held);
		if (owner.td_priority <= priority) return;
		sched_prio(owner, priority);
		if (owner.td_blocked === null) return;
		held = owner.td_blocked;
		owner = held.owner();
	}
}

/**
 * The running thread has just come to own `lock`: it inherits the waiters that the last release left where they were, and
 * runs at the best of their priorities.
 */
export function turnstile_claim(lock: Contested): void {
	propagate_priority(curthread, lock, lock.waiting_priority());
}

/** Gives back what was lent through `lock`, which the running thread releases. */
export function turnstile_unlend(lock: Contested): void {
	const td = curthread;
	const at = td.td_contested.indexOf(lock);
	if (at < 0) return;
	td.td_contested.splice(at, 1);
	let priority = td.td_base_pri;
	for (const other of td.td_contested) priority = Math.min(priority, other.waiting_priority());
	sched_prio(td, priority);
	td.td_owepreempt = true; // the scheduler looks again; nothing happens if nobody better waits
}

function by_priority(a: thread, b: thread): number {
	return a.td_priority - b.td_priority;
}

/** Makes every thread blocked on `ts` runnable, best priority first, then in order of arrival. Charges the running thread. */
export function turnstile_broadcast(ts: turnstile): void {
	if (ts.ts_blocked.length === 0) return;
	curthread.td_pending += cost.turnstile;
	const woken = ts.ts_blocked.splice(0);
	if (woken.length > 1) woken.sort(by_priority);
	for (const td of woken) {
		td.td_blocked = null;
		sched_add(td);
	}
}
