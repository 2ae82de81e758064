/**
 * Spinning: what threads do while the owner of the lock they want runs on another CPU. The lock keeps the list.
 *
 * @see kern_mutex.c __mtx_lock_sleep, _mtx_lock_spin_cookie
 */
import { curkernel, KERNEL_GLOBAL } from "./kernel.ts";
import { type Blocking, type Contested, cost, curthread, hostthread, own_time, type thread } from "./thread.ts";
import { pcpu_find } from "./ule.ts";

/** all threads that spin now */
const spinning = KERNEL_GLOBAL((): thread[] => []);

function spin_begin(td: thread, lock: Contested): void {
	td.td_spinning = true;
	td.td_spin_since = curkernel.machine.events.now;
	lock.spinners.push(td);
	lock.lo_waiters = true;
	td.td_spinlock = lock;
	spinning().push(td);
}

/**
 * Spins until the lock is released or its owner leaves its CPU. Call right after a sync; on return the clock has caught up
 * and the attempt is paid for, so the caller tries at once. Nothing can come between the grant and the attempt.
 */
export function* spin_wait(lock: Contested): Blocking<void> {
	spin_begin(curthread, lock);
	yield;
}

/** As spin_wait, for a lock that a thread ahead of the clock has released already, at `time` ns of its own: nobody will tell us. */
export function* spin_until(lock: Contested, time: number): Blocking<void> {
	const td = curthread;
	spin_begin(td, lock);
	if (lock.granted === null) {
		lock.granted = td;
		spin_wake(td, time);
	}
	yield;
}

/** Lets the first spinner (or the chooser's) try again, one line transfer and half a back-off later. */
export function spin_grant(lock: Contested): void {
	if (lock.spinners.length === 0 || lock.granted !== null) return;
	const chooser = curkernel.machine.events.chooser;
	const pick = chooser !== null && lock.spinners.length > 1 ? chooser.choose("waiter", lock.spinners.length) : 0;
	const td = lock.spinners[pick];
	lock.granted = td;
	spin_wake(td, releaser_time());
}

/** When the running thread does what it is about to tell spinners. */
function releaser_time(): number {
	return curthread === hostthread ? curkernel.machine.events.now : own_time();
}

/** Lets a spinner look again, at what happens at `time`. */
function spin_wake(td: thread, time: number): void {
	const pc = pcpu_find(td.td_cpu);
	if (pc.stretch.scheduled) return;
	const seen = Math.max(time + cost.line_transfer, pc.intr_end);
	curkernel.machine.events.schedule(pc.stretch, seen + cost.lock_delay + cost.atomic);
}

/** Mostly it is the last, and often the only one. */
function remove(threads: thread[], td: thread): void {
	if (threads[threads.length - 1] === td) threads.pop();
	else threads.splice(threads.indexOf(td), 1);
}

/** The spinner stops spinning, whatever the reason, and its time is booked. */
export function spin_end(td: thread): void {
	const lock = td.td_spinlock as Contested;
	const elapsed = Math.max(0, curkernel.machine.events.now - td.td_spin_since);
	td.td_spinning = false;
	remove(lock.spinners, td);
	if (lock.granted === td) lock.granted = null;
	td.td_spinlock = null;
	remove(spinning(), td);
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
	for (const td of spinning()) if ((td.td_spinlock as Contested).owner() === owner) spin_wake(td, releaser_time());
}
