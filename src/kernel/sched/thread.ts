/**
 * Kernel threads as coroutines, and how they spend simulated time.
 *
 * A thread's functions are written as generators and compiled to plain functions that save themselves when they wait, see
 * frame.ts. `charge` moves the thread's own clock ahead of the machine's; before it touches anything shared it synchronises, that
 * is, it lets the machine catch up. If nothing else is due before then, the machine's clock simply jumps and the thread goes on
 * without a switch; that is the common case, and what makes the simulator fast.
 *
 * @see docs/conventions.md; sys/proc.h struct thread
 */
import type { Costs } from "../../machine/cost/costs.ts";
import type { Cpu } from "../../machine/cpu.ts";
import type { EventQueue } from "../../machine/event.ts";
import { LOCKED_LEADS, READ_MOSTLY_LEADS } from "../../machine/lead.ts";
import type { Machine } from "../../machine/machine.ts";
import type { RandomStream } from "../../machine/random.ts";
import { wide_fields } from "../../machine/shape.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { type Frame, wait_then } from "./frame.ts";
import type { vnet } from "./kernel.ts";

/** What a thread has charged and not lived through changes by `ns`: hardware is never exact. Fires before it does. */
export const sched_jitter = SDT_PROBE_DEFINE<[td: thread, ns: number]>("sched:::jitter", "td: thread, ns: number");

/**
 * What a function has that may take a lock, sleep or spend simulated time: call it with `yield*`. That is how it is written, and
 * what the type checker sees; compiled, the function returns its result, or SUSPENDED if it has to wait.
 */
export type Blocking<T> = Iterable<void, T, void>;

export const TDS_INACTIVE = 0;
/** sleeping on a channel or blocked on a lock */
export const TDS_INHIBITED = 1;
export const TDS_RUNQ = 2;
export const TDS_RUNNING = 3;

/** Anything that a thread can wait for on a turnstile or by spinning: what the scheduler must know of a lock. */
export interface Contested {
	readonly lo_name: string;
	/** the thread to lend priority to, if it is known */
	owner(): thread | null;
	/** the best priority among threads blocked here, PRI_MAX_IDLE + 1 if none */
	waiting_priority(): number;
	/** threads on CPUs that spin until it is released, in order of arrival */
	readonly spinners: thread[];
	/** somebody may wait, spinning or blocked: set by whoever begins to */
	lo_waiters: boolean;
	/** the spinner that is on its way to try again */
	granted: thread | null;
	/** books time `td` has spun */
	spun(td: thread, ns: number): void;
}

export class thread {
	readonly td_tid: number;
	td_name: string;
	/** what it runs from its first instruction on, until it does */
	td_main: (() => Blocking<void>) | null = null;
	/** the functions that wait while it does not run, innermost first */
	td_frame: Frame | null = null;
	td_state = TDS_INACTIVE;
	td_priority: number;
	/** without what others lend */
	td_base_pri: number;
	/** CPU it runs on, or ran on last */
	td_cpu = 0;
	td_pinned = 0;
	/** sched_bind or a cpuset of one CPU: td_cpu never changes */
	td_bound = false;
	td_critnest = 0;
	/** its last critical section ends when the clock catches up with it: until then preemption is held up as in the section */
	td_critlate = false;
	/** mutexes it has, and rwlocks as a writer */
	td_locks = 0;
	/** a better thread waits for this CPU; acted on when the last critical section ends */
	td_owepreempt = false;
	td_no_sleeping = 0;
	td_epochnest = 0;
	td_epochera = 0;
	/** its place among the threads in a section */
	td_epochslot = 0;
	/** ns charged that the machine's clock has not seen yet */
	td_pending = 0;
	/** ns of CPU time used */
	td_runtime = 0;
	/** when its time slice began, ns of td_runtime */
	td_slice = 0;
	/** it owns the vector registers for good: PCB_KERNFPU_THR of its pcb */
	td_kernfpu = false;
	td_user = false;
	td_vnet: vnet | null = null;
	td_ucred: object | null = null;
	td_wchan: object | null = null;
	td_wmesg = "";
	/** lock it waits for, blocked or spinning */
	td_blocked: Contested | null = null;
	td_spinning = false;
	td_spin_since = 0;
	/** it waits without having left its functions, see stay.ts */
	td_stays = false;
	/** what it spins on */
	td_spinlock: Contested | null = null;
	/** contested locks it owns, from which it may have been lent priority */
	readonly td_contested: Contested[] = [];
	/** result of the sleep: 0 or EWOULDBLOCK */
	td_slpret = 0;
	/** its sleep ends by itself: a timeout is scheduled */
	td_timeout = false;
	/** run queue links */
	td_next: thread | null = null;
	td_prev: thread | null = null;
	td_rqbucket = -1;
	td_rw_rlocks = 0;
	td_sx_slocks = 0;
	td_exited = false;

	constructor(tid: number, name: string, priority: number) {
		this.td_tid = tid;
		this.td_name = name;
		this.td_priority = priority;
		this.td_base_pri = priority;
	}
}

wide_fields(new thread(0, "", 0), "td_pending", "td_runtime", "td_slice", "td_spin_since");

/** stands in for the running thread while no simulated thread runs: set-up code, tests, the run loop itself */
export const hostthread = new thread(0, "host", 255);

/** the running thread; never null */
export let curthread: thread = hostthread;
/** the running kernel's costs in integer ns; there are none outside of any kernel: zeroes would hide errors */
export let cost: Costs;

let machine: Machine;
let clock: EventQueue;
let cpu: Cpu;
let jitter: RandomStream;
let jitter_permille = 0;

/** The scheduler's: says which thread runs, and where. */
export function set_curthread(td: thread, on: Cpu): void {
	curthread = td;
	cpu = on;
}

/** No thread runs any more, on the CPU where one did. */
export function leave_curthread(): void {
	curthread = hostthread;
}

/** The kernel's: says whose clock and costs are in force. */
export function set_machine(m: Machine): void {
	machine = m;
	clock = m.events;
	cost = m.costs;
	cpu = m.cpus[0];
	jitter = m.random.stream("jitter");
	jitter_permille = m.profile.jitter_permille;
	lead_ns = m.lead_ns;
	locked_lead_ns = LOCKED_LEADS * lead_ns;
	read_mostly_lead_ns = READ_MOSTLY_LEADS * lead_ns;
	unseen_lead_ns = lead_ns === 0 ? 0 : Math.max(lead_ns, cost.ipi_latency);
	curthread = hostthread;
	hostthread.td_pending = 0;
}

/** CPU the running thread is on. */
export function curcpu(): number {
	return cpu.id;
}

/** The running thread's own time, ns since boot: what the machine's clock will say when it has caught up. */
export function own_time(): number {
	return clock.now + curthread.td_pending;
}

/** Advances the running thread's own clock by `ns` (an integer). */
export function charge(ns: number): void {
	curthread.td_pending += ns;
}

/** Charges for `bytes` at a per-byte cost, given in picoseconds per byte as `cost` holds it. */
export function charge_bytes(bytes: number, ps_per_byte: number): void {
	curthread.td_pending += Math.floor((bytes * ps_per_byte) / 1000);
}

/** A Blocking<void> that is already over: what a plain function returns when it did not have to wait. */
export const DONE = undefined as unknown as Blocking<any>;

/** A Blocking<T> that is already over. */
export function done<T>(value: T): Blocking<T> {
	return value as unknown as Blocking<T>;
}

/** how far ahead of the machine's clock a thread may be when it touches something shared, ns; 0 for never */
let lead_ns = 0;
/** the same when it has a lock alone, ns */
let locked_lead_ns = 0;
/** the same when it reads what hardly ever changes, or does what nobody sees before its time, ns */
let read_mostly_lead_ns = 0;
/** the same when it does what no other CPU can see, ns */
let unseen_lead_ns = 0;

/**
 * Makes sure that the running thread may touch shared things: that the machine's clock is not further behind its own than
 * the machine's lead, or LOCKED_LEADS times that while it has a lock, and that no preemption is owed. What such a thread does may
 * be seen as much too early, but by no more; and who comes to a lock that it has meanwhile waits, though it has let go already: see
 * lock_busy.
 *
 * @returns true if so; false if something else is due first: the caller must `yield` at once, and is exactly up to date when it
 * is resumed
 */
export function advance(): boolean {
	const td = curthread;
	if (td.td_pending <= lead_ns && (!td.td_owepreempt || td.td_critnest > 0)) {
		machine.ahead_events++;
		return true;
	}
	return td.td_locks > 0 && ahead(locked_lead_ns) ? true : catch_up();
}

/**
 * As advance, for whoever is about to take a lock: one that he has already does not let him be further ahead. Else he would come to a lock
 * at the end of his lead, have to wait with it held, and keep from it who comes before.
 */
export function advance_to_lock(): boolean {
	return ahead(lead_ns) || catch_up();
}

/** Whether the running thread is no further ahead than that, and no preemption is owed. */
function ahead(lead: number): boolean {
	const td = curthread;
	if (td.td_pending > lead || (td.td_owepreempt && td.td_critnest === 0)) return false;
	machine.ahead_events++;
	return true;
}

/**
 * As advance, for whoever only reads what hardly ever changes (`__read_mostly` in C), or does what nobody can see before its own
 * time: see READ_MOSTLY_LEADS.
 */
export function advance_read_mostly(): boolean {
	return ahead(read_mostly_lead_ns) || catch_up();
}

/**
 * As advance, for what no other CPU can see: only an interrupt could tell, and none is here sooner than an IPI takes. One that is
 * under way already may find done what was to be done up to so much later.
 */
export function advance_unseen(): boolean {
	return ahead(unseen_lead_ns) || catch_up();
}

/** Whether threads may act ahead of the clock at all. */
export function threads_lead(): boolean {
	return lead_ns > 0;
}

/**
 * As advance, but brings the machine's clock up to the running thread's exactly. For whoever stops running next: sleeping,
 * spinning and blocking.
 */
export function catch_up(): boolean {
	const td = curthread;
	let pending = td.td_pending;
	if (td.td_owepreempt && td.td_critnest === 0) return false;
	if (pending === 0) return true;
	if (td === hostthread) {
		td.td_pending = 0;
		return true;
	}
	if (jitter_permille !== 0) {
		const draw = (jitter.uint32() >>> 16) - 32768;
		const more = Math.trunc((pending * jitter_permille * draw) / 32_768_000);
		if (sched_jitter.on !== null) sched_jitter.on(td, more);
		pending += more;
		td.td_pending = pending;
	}
	const then = clock.now + pending;
	if (then >= clock.nextTime || then > machine.horizon) return false;
	clock.now = then;
	td.td_pending = 0;
	td.td_critlate = false;
	td.td_runtime += pending;
	cpu.busy_ns += pending;
	machine.inline_events++;
	return true;
}

/**
 * Lets the clock catch up, then goes on with `after(a, b)`: what a primitive returns whose advance or catch_up said false. The
 * primitive is a plain function, which costs nothing where nobody has to wait.
 */
export function later<A, T>(after: (a: A) => Blocking<T>, a: A): Blocking<T>;
export function later<A, B, T>(after: (a: A, b: B) => Blocking<T>, a: A, b: B): Blocking<T>;
export function later<A, B, T>(after: (a: A, b: B) => Blocking<T>, a: A, b?: B): Blocking<T> {
	return wait_then(after, a, b as B) as Blocking<T>;
}

function nothing(): Blocking<void> {
	return DONE;
}

/** Waits until the thread may touch shared things, see advance; a preemption point. */
export function sync(): Blocking<void> {
	return advance() ? DONE : later(nothing, undefined);
}

/** As sync, see advance_read_mostly. */
export function sync_read_mostly(): Blocking<void> {
	return advance_read_mostly() ? DONE : later(nothing, undefined);
}

/** Waits until the machine's clock has caught up with the thread's exactly, see catch_up. */
export function sync_exactly(): Blocking<void> {
	return catch_up() ? DONE : later(nothing, undefined);
}
