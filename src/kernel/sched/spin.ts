/**
 * Spinning: what threads do while the owner of the lock they want runs on another CPU. The lock keeps the list.
 *
 * @see kern_mutex.c __mtx_lock_sleep, _mtx_lock_spin_cookie
 */
import { curkernel, KERNEL_GLOBAL } from "./kernel.ts";
import { type Blocking, type Contested, cost, curthread, hostthread, type thread } from "./thread.ts";
import { pcpu_find } from "./ule.ts";

/** all threads that spin now */
const spinning = KERNEL_GLOBAL((): thread[] => []);

/**
 * Spins until the lock is released or its owner leaves its CPU. Call right after a sync; on return the clock has caught up
 * and the attempt is paid for, so the caller tries at once. Nothing can come between the grant and the attempt.
 */
export function* spin_wait(lock: Contested): Blocking<void> {
	const td = curthread;
	td.td_spinning = true;
	td.td_spin_since = curkernel.machine.events.now;
	lock.spinners.push(td);
	lock.lo_waiters = true;
	td.td_spinlock = lock;
	spinning().push(td);
	yield;
}

/** Lets the first spinner (or the chooser's) try again, one line transfer and half a back-off later. */
export function spin_grant(lock: Contested): void {
	if (lock.spinners.length === 0 || lock.granted !== null) return;
	const chooser = curkernel.machine.events.chooser;
	const pick = chooser !== null && lock.spinners.length > 1 ? chooser.choose("waiter", lock.spinners.length) : 0;
	const td = lock.spinners[pick];
	lock.granted = td;
	spin_wake(td);
}

function spin_wake(td: thread): void {
	const events = curkernel.machine.events;
	const pc = pcpu_find(td.td_cpu);
	if (pc.stretch.scheduled) return;
	const releaser_ahead = curthread === hostthread ? 0 : curthread.td_pending;
	const seen = Math.max(events.now + releaser_ahead + cost.line_transfer, pc.intr_end);
	events.schedule(pc.stretch, seen + cost.lock_delay + cost.atomic);
}

/** The spinner stops spinning, whatever the reason, and its time is booked. */
export function spin_end(td: thread): void {
	const lock = td.td_spinlock as Contested;
	const elapsed = Math.max(0, curkernel.machine.events.now - td.td_spin_since);
	td.td_spinning = false;
	lock.spinners.splice(lock.spinners.indexOf(td), 1);
	if (lock.granted === td) lock.granted = null;
	td.td_spinlock = null;
	const all = spinning();
	all.splice(all.indexOf(td), 1);
	pcpu_find(td.td_cpu).cpu.spin_ns += elapsed;
	lock.spun(td, elapsed);
}

/** A spinner is preempted: it tries again when it runs; if it was about to be let in, the next one is. */
export function spin_abandon(td: thread): void {
	const lock = td.td_spinlock as Contested;
	const was_granted = lock.granted === td;
	spin_end(td);
	if (was_granted && lock.owner() === null) spin_grant(lock);
}

/** A thread left its CPU: those that spin on locks it holds now, whoever held them before, must look again and will block. */
export function spin_owner_left(owner: thread): void {
	for (const td of spinning()) if ((td.td_spinlock as Contested).owner() === owner) spin_wake(td);
}
