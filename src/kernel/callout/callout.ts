/**
 * callout(9): functions to be called at a later clock tick.
 *
 * callout_reset arms a callout on the tick-based wheel of CPU 0, where they all stay unless moved. The clock interrupt hands
 * those that are due to the softclock thread, which calls them one by one: a software interrupt thread in 13.0, a kernel
 * thread in 14.0. PENDING is cleared before the handler runs, so a handler may arm its own callout again.
 * Simplified: one wheel instead of one per CPU; due callouts run in the order they were armed; no direct callouts.
 *
 * @see kern_timeout.c; kernel.md section 8
 */
import { Event, EventQueue } from "../../machine/event.ts";
import { epoch_callbacks_pending, epoch_hardclock } from "../lock/epoch.ts";
import { MA_OWNED, type mtx, mtx_assert, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { RA_WLOCKED, rw_assert, rw_wlock, rw_wunlock, type rwlock } from "../lock/rwlock.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import {
	curkernel,
	KASSERT,
	KERNEL_GLOBAL,
	priorities,
	release_traits,
	SI_ORDER_FIRST,
	SI_SUB_SOFTINTR,
	SYSINIT,
	ticks,
	type vnet,
} from "../sched/kernel.ts";
import { kthread_add } from "../sched/kthread.ts";
import { sleepq_wait, wakeup } from "../sched/sleepqueue.ts";
import { type Blocking, cost, curthread, sync, sync_exactly, sync_read_mostly, type thread } from "../sched/thread.ts";
import { interrupt, pcpu_find, sched_add, sched_set_clock, thread_inhibit } from "../sched/ule.ts";

export const callout_start = SDT_PROBE_DEFINE<[c: callout]>("callout_execute:::callout-start", "c: callout");
export const callout_end = SDT_PROBE_DEFINE<[c: callout]>("callout_execute:::callout-end", "c: callout");

export const CALLOUT_ACTIVE = 0x2;
export const CALLOUT_PENDING = 0x4;
export const CALLOUT_RETURNUNLOCKED = 0x10;

type callout_func = (arg: never) => Blocking<void>;

export class callout {
	/** at its tick, in the callout wheel */
	readonly c_event = new Event(this);
	c_func: callout_func | null = null;
	c_arg: unknown = null;
	c_flags = 0;
	c_mtx: mtx | null = null;
	c_rw: rwlock | null = null;
	c_lockflags = 0;
	c_vnet: vnet | null = null;
	/** its tick has come: it waits for the softclock thread */
	fire(): void {
		wheel().expired.push(this);
	}
}

class callwheel {
	/** keyed by tick; only its ordering is used, its clock stands still */
	readonly queue = new EventQueue();
	readonly expired: callout[] = [];
	running: callout | null = null;
	/** the running callout was cancelled while it waited for its lock; or it has the lock, and it is too late for that */
	cancel = false;
	/** somebody waits for the running callout to end, and it may not be armed again until then */
	draining = false;
	td: thread | null = null;
	waiting = false;
	readonly clock = new hardclock();
}

const wheel = KERNEL_GLOBAL(() => new callwheel());

/**
 * The clock interrupt of all CPUs. Busy CPUs take it every tick; it is not scheduled while every CPU is idle and no callout
 * is due, as FreeBSD's event timers skip ticks.
 */
class hardclock {
	readonly event = new Event(this);

	fire(): void {
		const now_tick = ticks();
		const w = wheel();
		const machine = curkernel.machine;
		while (w.queue.nextTime <= now_tick) w.queue.step(now_tick);
		for (const cpu of machine.cpus) {
			if (cpu.id !== 0 && !cpu.idle) interrupt(pcpu_find(cpu.id), cost.timer_interrupt, null);
		}
		const work = w.expired.length > 0 && w.waiting;
		if (work || epoch_callbacks_pending() || !machine.cpus[0].idle) {
			interrupt(pcpu_find(0), cost.timer_interrupt, () => {
				epoch_hardclock();
				if (!work) return;
				w.waiting = false;
				sched_add(w.td as thread);
			});
		}
		this.arm(w);
	}

	/** Schedules the next tick that has anything to do. */
	arm(w: callwheel): void {
		const machine = curkernel.machine;
		const next = ticks() + 1;
		let busy = epoch_callbacks_pending() || w.expired.length > 0;
		for (let i = 0; !busy && i < machine.cpus.length; i++) busy = !machine.cpus[i].idle;
		const tick = busy ? next : Math.max(next, w.queue.nextTime);
		if (tick === Number.POSITIVE_INFINITY) return;
		const time = tick * curkernel.tick_ns;
		if (!this.event.scheduled || this.event.time > time) machine.events.schedule(this.event, time);
	}
}

/** softclock: calls what is due, in order. */
function* softclock(): Blocking<void> {
	const w = wheel();
	for (;;) {
		yield* sync_exactly();
		while (w.expired.length > 0) {
			const c = w.expired.shift() as callout;
			yield* softclock_call(w, c);
			yield* sync_exactly();
		}
		w.waiting = true;
		thread_inhibit();
		yield;
	}
}

function* softclock_call(w: callwheel, c: callout): Blocking<void> {
	const td = curthread;
	const func = c.c_func as callout_func;
	const arg = c.c_arg as never;
	td.td_pending += cost.softclock;
	c.c_flags &= ~CALLOUT_PENDING;
	w.running = c;
	w.cancel = false;
	const returns_unlocked = (c.c_lockflags & CALLOUT_RETURNUNLOCKED) !== 0;
	const { c_mtx, c_rw } = c;
	if (c_mtx !== null) yield* mtx_lock(c_mtx);
	if (c_rw !== null) yield* rw_wlock(c_rw);
	const locked_out = w.cancel;
	if (!locked_out) {
		w.cancel = c_mtx !== null || c_rw !== null;
		td.td_vnet = c.c_vnet;
		td.td_no_sleeping++;
		if (callout_start.on !== null) callout_start.on(c);
		yield* func(arg);
		if (callout_end.on !== null) callout_end.on(c);
		td.td_no_sleeping--;
		td.td_vnet = null;
	}
	if (c_mtx !== null && (!returns_unlocked || locked_out)) yield* mtx_unlock(c_mtx);
	if (c_rw !== null && (!returns_unlocked || locked_out)) yield* rw_wunlock(c_rw);
	w.running = null;
	if (w.draining) {
		w.draining = false;
		yield* wakeup(w);
	}
}

export function callout_init(c: callout, _mpsafe: boolean): void {
	c.c_flags = 0;
	c.c_mtx = null;
	c.c_rw = null;
	c.c_lockflags = 0;
}

/** The handler is called with `m` held, which is released afterwards unless CALLOUT_RETURNUNLOCKED. */
export function callout_init_mtx(c: callout, m: mtx, flags: number): void {
	callout_init(c, true);
	c.c_mtx = m;
	c.c_lockflags = flags;
}

/** The handler is called with `rw` write-locked. */
export function callout_init_rw(c: callout, rw: rwlock, flags: number): void {
	callout_init(c, true);
	c.c_rw = rw;
	c.c_lockflags = flags;
}

/**
 * Arms a callout `to_ticks` clock ticks from now, at least one; not while somebody drains it.
 *
 * @returns 1 if this cancelled a run that was due before, else 0
 */
export function* callout_reset<T>(
	c: callout,
	to_ticks: number,
	func: (arg: T) => Blocking<void>,
	arg: T,
): Blocking<number> {
	curthread.td_pending += cost.callout_reset + cost.atomic;
	yield* sync_read_mostly();
	const w = wheel();
	let cancelled = 0;
	if (w.running === c) {
		if (has_lock(c) && !w.cancel) {
			w.cancel = true;
			cancelled = 1;
		}
		if (w.draining) return cancelled;
	}
	if ((c.c_flags & CALLOUT_PENDING) !== 0) {
		unlink(w, c);
		cancelled = 1;
	}
	c.c_func = func as callout_func;
	c.c_arg = arg;
	c.c_vnet = curthread.td_vnet;
	c.c_flags |= CALLOUT_PENDING | CALLOUT_ACTIVE;
	w.queue.schedule(c.c_event, ticks() + Math.max(1, Math.floor(to_ticks)));
	w.clock.arm(w);
	return cancelled;
}

function has_lock(c: callout): boolean {
	return c.c_mtx !== null || c.c_rw !== null;
}

function unlink(w: callwheel, c: callout): void {
	const at = w.expired.length === 0 ? -1 : w.expired.indexOf(c);
	if (at >= 0) w.expired.splice(at, 1);
	w.queue.cancel(c.c_event);
	c.c_flags &= ~CALLOUT_PENDING;
}

/**
 * Disarms a callout without waiting. The lock of one that has a lock must be held: a handler that still waits for it is
 * then cancelled.
 *
 * @returns 1 if it was stopped, 0 if it runs now and cannot be stopped, -1 if it was neither pending nor running
 */
export function* callout_stop(c: callout): Blocking<number> {
	curthread.td_pending += cost.atomic;
	yield* sync_read_mostly();
	if (c.c_mtx !== null) mtx_assert(c.c_mtx, MA_OWNED);
	if (c.c_rw !== null) rw_assert(c.c_rw, RA_WLOCKED);
	const w = wheel();
	const running = w.running === c;
	c.c_flags &= ~CALLOUT_ACTIVE;
	if (running && has_lock(c) && !w.cancel) {
		w.cancel = true; // the softclock thread waits for our lock and will see this
		return 1;
	}
	if (!callout_pending(c)) return running ? 0 : -1;
	unlink(w, c);
	return running ? 0 : 1;
}

/**
 * Waits until a running handler has finished, then disarms the callout. Sleeps; the callout's own lock may not be held.
 *
 * @returns 1 if it was pending, else -1
 */
export function* callout_drain(c: callout): Blocking<number> {
	curthread.td_pending += cost.atomic;
	yield* sync();
	const w = wheel();
	while (w.running === c) {
		KASSERT(w.td !== curthread, "callout_drain called from the callout itself");
		w.draining = true;
		yield* sleepq_wait(w, "codrain");
		yield* sync();
	}
	c.c_flags &= ~CALLOUT_ACTIVE;
	if (!callout_pending(c)) return -1;
	unlink(w, c);
	return 1;
}

export function callout_pending(c: callout): boolean {
	return (c.c_flags & CALLOUT_PENDING) !== 0;
}

export function callout_active(c: callout): boolean {
	return (c.c_flags & CALLOUT_ACTIVE) !== 0;
}

export function callout_deactivate(c: callout): void {
	c.c_flags &= ~CALLOUT_ACTIVE;
}

/** Starts the ticking again when a CPU stops being idle. */
function hardclock_resume(): void {
	const clock = wheel().clock.event;
	const time = (ticks() + 1) * curkernel.tick_ns;
	if (!clock.scheduled || clock.time > time) curkernel.machine.events.schedule(clock, time);
}

SYSINIT("softclock", SI_SUB_SOFTINTR, SI_ORDER_FIRST, function* () {
	const w = wheel();
	const name = release_traits().softclock === "swi" ? "swi4: clock (0)" : "clock (0)";
	w.td = kthread_add(softclock, undefined, name, priorities().SWI_CLOCK);
	sched_set_clock(hardclock_resume);
	w.clock.arm(w);
	yield* sync();
});
