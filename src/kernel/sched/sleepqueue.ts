/**
 * Sleep and wakeup: threads wait on a channel (any object) until another thread wakes it.
 *
 * The lock given to msleep is released and the thread queued in one step, so no wakeup is lost. Timeouts are rounded up to
 * clock ticks, as callouts are.
 *
 * @see kern_synch.c _sleep, subr_sleepqueue.c; kernel.md section 11.5
 */
import { Event } from "../../machine/event.ts";
import { type Errno, EWOULDBLOCK } from "../errno.ts";
import { type mtx, mtx_lock, mtx_lock_spin, mtx_release } from "../lock/mutex.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { curkernel, KERNEL_GLOBAL, panic } from "./kernel.ts";
import {
	advance,
	type Blocking,
	catch_up,
	cost,
	curthread,
	DONE,
	later,
	sync,
	sync_exactly,
	type thread,
} from "./thread.ts";
import { interrupt, pcpu_find, sched_add, thread_inhibit } from "./ule.ts";

export const sched_sleep = SDT_PROBE_DEFINE<[td: thread, wmesg: string]>("sched:::sleep", "td: thread, wmesg: string");
export const sched_wakeup = SDT_PROBE_DEFINE<[td: thread, by: thread]>("sched:::wakeup", "td: thread, by: thread");

class sleepq {
	/** in order of arrival */
	readonly sq_blocked: thread[] = [];
}

/** What is slept on all the time: it has its queue at hand. Any other object will do for a channel as well; its queue is looked up. */
export abstract class sleep_channel {
	readonly wc_sleepq = new sleepq();
}

/** Empty queues are let go when there are more queues than this, and more than twice as many as there were then. */
const CHAINS_MIN = 64;

class sleepq_state {
	/** a queue stays with its channel when its last thread has gone: most channels are slept on again */
	private readonly chains = new Map<object, sleepq>();
	private limit = CHAINS_MIN;

	/** The queue of `chan`, if it has been slept on. */
	find(chan: object): sleepq | undefined {
		return chan instanceof sleep_channel ? chan.wc_sleepq : this.chains.get(chan);
	}

	/** The queue of `chan`, made if there is none. */
	of(chan: object): sleepq {
		if (chan instanceof sleep_channel) return chan.wc_sleepq;
		let sq = this.chains.get(chan);
		if (sq === undefined) {
			if (this.chains.size >= this.limit) this.sweep();
			sq = new sleepq();
			this.chains.set(chan, sq);
		}
		return sq;
	}

	private sweep(): void {
		for (const [chan, sq] of this.chains) if (sq.sq_blocked.length === 0) this.chains.delete(chan);
		this.limit = Math.max(CHAINS_MIN, 2 * this.chains.size);
	}

	/** wakeup calls that found a sleeper, for the statistics */
	wakeups = 0;
}

const sleepqs = KERNEL_GLOBAL(() => new sleepq_state());

export function wakeup_count(): number {
	return sleepqs().wakeups;
}

class sleep_timeout {
	readonly event = new Event(this);
	private readonly td: thread;
	constructor(td: thread) {
		this.td = td;
	}
	fire(): void {
		const td = this.td;
		interrupt(pcpu_find(0), cost.timer_interrupt, () => {
			const chan = td.td_wchan;
			if (chan === null) return;
			const { sq_blocked } = sleepqs().of(chan);
			sq_blocked.splice(sq_blocked.indexOf(td), 1);
			td.td_slpret = EWOULDBLOCK;
			resume(td);
		});
	}
}

const timeouts = new WeakMap<thread, sleep_timeout>();

function sleepq_add(chan: object, wmesg: string): void {
	const td = curthread;
	if (td.td_no_sleeping !== 0)
		panic(`sleepq_add: td ${td.td_name} to sleep on wchan ${wmesg} with sleeping prohibited`);
	if (td.td_critnest !== 0) panic(`sleeping in a critical section: ${wmesg}`);
	sleepqs().of(chan).sq_blocked.push(td);
	td.td_wchan = chan;
	td.td_wmesg = wmesg;
	td.td_slpret = 0;
	if (sched_sleep.on !== null) sched_sleep.on(td, wmesg);
	thread_inhibit();
}

function resume(td: thread): void {
	td.td_wchan = null;
	if (td.td_timeout) {
		td.td_timeout = false;
		curkernel.machine.events.cancel((timeouts.get(td) as sleep_timeout).event);
	}
	sleepqs().wakeups++;
	if (sched_wakeup.on !== null) sched_wakeup.on(td, curthread);
	sched_add(td);
}

/** Queues the running thread on `chan` and lets go of `lock`, in one instant. The thread has synchronised, and yields next. */
function sleep_now(chan: object, lock: mtx | null, wmesg: string, timo_ns: number): void {
	const td = curthread;
	if (lock !== null) mtx_release(lock);
	sleepq_add(chan, wmesg);
	if (timo_ns <= 0) return;
	let timeout = timeouts.get(td);
	if (timeout === undefined) {
		timeout = new sleep_timeout(td);
		timeouts.set(td, timeout);
	}
	td.td_timeout = true;
	curkernel.machine.events.schedule(timeout.event, curkernel.machine.now + timo_ns);
}

/** Sleeps for `timo_ticks`, or else `timo_ns`; for ever when both are 0. */
function* sleep_on(chan: object, wmesg: string, timo_ticks: number, timo_ns: number): Blocking<Errno> {
	const td = curthread;
	td.td_pending += cost.sleepq_sleep;
	yield* sync_exactly();
	sleep_now(chan, null, wmesg, timo_ticks > 0 ? tick_deadline(timo_ticks) : timo_ns);
	yield;
	return td.td_slpret;
}

/** Ticks to ns from now, ending on a clock tick. */
function tick_deadline(timo_ticks: number): number {
	if (timo_ticks <= 0) return 0;
	const tick = curkernel.tick_ns;
	const now = curkernel.machine.now;
	return (Math.floor(now / tick) + timo_ticks) * tick - now;
}

/**
 * Sleeps on `chan` until woken. Call right after a sync: no time passes between what the caller has just looked at and the
 * sleep, as when the chain is locked meanwhile.
 *
 * @see subr_sleepqueue.c sleepq_lock, sleepq_add, sleepq_wait
 */
export function* sleepq_wait(chan: object, wmesg: string): Blocking<void> {
	curthread.td_pending += cost.sleepq_sleep;
	sleepq_add(chan, wmesg);
	yield;
}

/**
 * Sleeps on `chan`, giving up `lock` meanwhile.
 *
 * @param timo_ticks at most this many clock ticks; 0 for ever
 * @returns 0, or EWOULDBLOCK when the time was up
 */
export function* msleep(
	chan: object,
	lock: mtx,
	_priority: number,
	wmesg: string,
	timo_ticks: number,
): Blocking<Errno> {
	const td = curthread;
	td.td_pending += cost.sleepq_sleep + cost.atomic;
	if (!catch_up()) yield;
	sleep_now(chan, lock, wmesg, tick_deadline(timo_ticks));
	yield;
	yield* mtx_lock(lock);
	return td.td_slpret;
}

/** msleep for a spin mutex. */
export function* msleep_spin(chan: object, lock: mtx, wmesg: string, timo_ticks: number): Blocking<Errno> {
	const td = curthread;
	td.td_pending += cost.sleepq_sleep + cost.atomic;
	if (!catch_up()) yield;
	sleep_now(chan, lock, wmesg, tick_deadline(timo_ticks));
	yield;
	yield* mtx_lock_spin(lock);
	return td.td_slpret;
}

/** Sleeps on `chan` without a lock. */
export function* tsleep(chan: object, _priority: number, wmesg: string, timo_ticks: number): Blocking<Errno> {
	return yield* sleep_on(chan, wmesg, timo_ticks, 0);
}

/** Sleeps for `ns`. @see pause_sbt(9) */
export function* pause_sbt(wmesg: string, ns: number): Blocking<void> {
	yield* sleep_on({}, wmesg, 0, Math.max(1, Math.round(ns)));
}

/** Sleeps for some clock ticks. */
export function* pause(wmesg: string, timo_ticks: number): Blocking<void> {
	yield* sleep_on({}, wmesg, Math.max(1, timo_ticks), 0);
}

/** Wakes every thread sleeping on `chan`, in the order they went to sleep. */
export function wakeup(chan: object): Blocking<void> {
	curthread.td_pending += cost.sleepq_wakeup;
	return advance() ? wakeup_now(chan) : later(wakeup_now, chan);
}

function wakeup_now(chan: object): Blocking<void> {
	const sleepers = sleepqs().find(chan)?.sq_blocked;
	if (sleepers === undefined || sleepers.length === 0) return DONE;
	for (const td of sleepers) resume(td);
	while (sleepers.length > 0) sleepers.pop();
	return curthread.td_owepreempt ? sync() : DONE;
}

/** Wakes the sleeper of the best priority, the longest asleep among equals. */
export function wakeup_one(chan: object): Blocking<void> {
	curthread.td_pending += cost.sleepq_wakeup;
	return advance() ? wakeup_one_now(chan) : later(wakeup_one_now, chan);
}

function wakeup_one_now(chan: object): Blocking<void> {
	const sleepers = sleepqs().find(chan)?.sq_blocked;
	if (sleepers === undefined || sleepers.length === 0) return DONE;
	let best = 0;
	for (let i = 1; i < sleepers.length; i++) if (sleepers[i].td_priority < sleepers[best].td_priority) best = i;
	const [td] = sleepers.splice(best, 1);
	resume(td);
	return curthread.td_owepreempt ? sync() : DONE;
}

/** Wakes the most recent sleeper: what task queues use from FreeBSD 13 on (wakeup_any). */
export function wakeup_any(chan: object): Blocking<void> {
	curthread.td_pending += cost.sleepq_wakeup;
	return advance() ? wakeup_any_now(chan) : later(wakeup_any_now, chan);
}

function wakeup_any_now(chan: object): Blocking<void> {
	const td = sleepqs().find(chan)?.sq_blocked.pop();
	if (td === undefined) return DONE;
	resume(td);
	return curthread.td_owepreempt ? sync() : DONE;
}

/** wakeup_any from an interrupt filter, where nobody may wait: who is woken runs when the filter is done. */
export function wakeup_any_filter(chan: object): void {
	curthread.td_pending += cost.sleepq_wakeup;
	const td = sleepqs().find(chan)?.sq_blocked.pop();
	if (td !== undefined) resume(td);
}

/** Whether anybody sleeps on `chan`; for assertions. */
export function sleepq_waiters(chan: object): number {
	return sleepqs().find(chan)?.sq_blocked.length ?? 0;
}
