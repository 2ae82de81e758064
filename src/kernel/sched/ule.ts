/**
 * The scheduler: ULE's per-CPU run queues, priorities, preemption, idle loop and work stealing.
 *
 * Modelled: bucketed run queues, head insertion of preempted threads, binding and pinning, the choice of a CPU, remote
 * preemption by IPI, the idle thread that polls before it halts, stealing by idle CPUs and by those about to be.
 * Simplified: all CPUs are one group of the topology, so a thread's last CPU, idle, is chosen however long ago that was; user
 * threads keep a fixed priority instead of an interactivity score and share one queue with the rest instead of the calendar
 * queue; there is no long-term balancer; the cost of the tdq and thread locks is charged, but nobody waits for them.
 *
 * @see sched_ule.c; kern_switch.c; kernel.md section 9
 */
import { Cpu } from "../../machine/cpu.ts";
import { Event } from "../../machine/event.ts";
import { wide_fields } from "../../machine/shape.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { resume_thread } from "./frame.ts";
import { curkernel, KASSERT, KERNEL_GLOBAL, priorities, release_traits } from "./kernel.ts";
import { PRI_MAX_IDLE, PRI_MIN_IDLE } from "./priority.ts";
import { runq } from "./runq.ts";
import { spin_abandon, spin_end, spin_owner_left } from "./spin.ts";
import { stay_left, stay_none, stay_over } from "./stay.ts";
import {
	advance,
	type Blocking,
	cost,
	curthread,
	DONE,
	hostthread,
	later,
	leave_curthread,
	set_curthread,
	sync,
	sync_exactly,
	TDS_INACTIVE,
	TDS_INHIBITED,
	TDS_RUNNING,
	TDS_RUNQ,
	thread,
	threads_lead,
} from "./thread.ts";

export const sched_on_cpu = SDT_PROBE_DEFINE<[td: thread, cpu: number]>("sched:::on-cpu", "td: thread, cpu: number");
export const sched_off_cpu = SDT_PROBE_DEFINE<[td: thread, cpu: number]>("sched:::off-cpu", "td: thread, cpu: number");
export const sched_enqueue = SDT_PROBE_DEFINE<[td: thread, cpu: number, by: thread]>(
	"sched:::enqueue",
	"td: thread, cpu: number, by: thread",
);
export const sched_ipi = SDT_PROBE_DEFINE<[from: number, to: number]>("sched:::ipi", "from: number, to: number");
export const sched_thread_exit = SDT_PROBE_DEFINE<[td: thread]>("proc:::lwp-exit", "td: thread");

/** sched_idletd polls this often before it halts: sched_idlespins */
const IDLESPINS = 10_000;
/** statclock ticks per second; a tick closes a tdq_switchcnt window */
const STATHZ = 127;
const STAT_TICK_NS = Math.round(1_000_000_000 / STATHZ);
/** sched_slice: a tenth of a second in statclock ticks */
const SLICE_NS = 12 * STAT_TICK_NS;

/** One CPU as the scheduler sees it: struct pcpu and struct tdq. */
export class pcpu {
	/** the current stretch of work is over */
	readonly stretch = new Event(this, true);
	readonly pc_cpuid: number;
	readonly cpu: Cpu;
	pc_curthread: thread;
	readonly pc_idlethread: thread;
	/** running and queued threads, the idle thread left out */
	tdq_load = 0;
	/** queued threads that another CPU may take */
	tdq_transferable = 0;
	/** an IPI_PREEMPT is on its way */
	tdq_owepreempt = false;
	tdq_switchcnt = 0;
	tdq_oldswitchcnt = 0;
	tdq_window = 0;
	stretch_start = 0;
	/** part of the current stretch that is the way out of a C-state, not work */
	wake_latency = 0;
	/** parts of it that are interrupts and a context switch: the CPU's own time, which no thread takes along elsewhere */
	intr_left = 0;
	switch_left = 0;
	/** when the last interrupt that hit a spinning thread is over: until then it does not look at its lock */
	intr_end = 0;
	readonly ipi: ipi_line;
	private readonly tdq_runq = new runq();

	constructor(cpu: Cpu) {
		this.pc_cpuid = cpu.id;
		this.cpu = cpu;
		this.pc_idlethread = new thread(100_001 - 1_000 + cpu.id, `idle: cpu${cpu.id}`, PRI_MAX_IDLE);
		this.pc_idlethread.td_cpu = cpu.id;
		this.pc_idlethread.td_bound = true;
		this.pc_idlethread.td_state = TDS_RUNNING;
		this.pc_curthread = this.pc_idlethread;
		this.ipi = new ipi_line(this);
		cpu.enterIdle(0, 0);
	}

	/** Queues a thread here. @see sched_ule.c tdq_runq_add, tdq_load_add */
	runq_add(td: thread, head: boolean): void {
		td.td_state = TDS_RUNQ;
		td.td_cpu = this.pc_cpuid;
		this.tdq_runq.add(td, head);
		this.tdq_load++;
		if (td.td_pinned === 0 && !td.td_bound) {
			this.tdq_transferable++;
			ule().transferable++;
		}
	}

	runq_remove(td: thread): void {
		this.tdq_runq.remove(td);
		this.tdq_load--;
		if (td.td_pinned === 0 && !td.td_bound) {
			this.tdq_transferable--;
			ule().transferable--;
		}
	}

	/** The best queued thread, left where it is. */
	runq_first(): thread | null {
		return this.tdq_runq.first();
	}

	/** The best queued thread that may move to another CPU. */
	runq_steal(): thread | null {
		return this.tdq_transferable === 0 ? null : this.tdq_runq.first_movable();
	}

	/** Best priority running or queued here: tdq_lowpri. */
	get tdq_lowpri(): number {
		const first = this.runq_first();
		const running = this.pc_curthread.td_priority;
		return first !== null && first.td_priority < running ? first.td_priority : running;
	}

	get idle(): boolean {
		return this.pc_curthread === this.pc_idlethread;
	}

	/** The stretch of work that was under way is over. */
	fire(): void {
		const now = this.stretch.time;
		const td = this.pc_curthread;
		account(this, td, now - this.stretch_start);
		td.td_pending = 0;
		if (td.td_spinning) spin_end(td);
		run(this);
	}
}

/** IPI_PREEMPT on its way to a CPU; one at a time, as in the APIC's request register. */
class ipi_line {
	readonly event = new Event(this);
	private readonly pc: pcpu;
	constructor(pc: pcpu) {
		this.pc = pc;
	}
	fire(): void {
		const pc = this.pc;
		pc.cpu.ipis_received++;
		pc.tdq_owepreempt = false;
		interrupt(pc, cost.ipi_handler, null);
	}
}

wide_fields(
	new pcpu(new Cpu(0, { cstates: [] })),
	"stretch_start",
	"wake_latency",
	"intr_left",
	"switch_left",
	"intr_end",
);

class ule_state {
	readonly pcpus: pcpu[];
	/** queued threads that may be stolen, over all CPUs: zero spares idle CPUs the search */
	transferable = 0;
	readonly random = curkernel.machine.random.stream("sched");
	/** how long an idle thread polls, ns; 0 where it never does */
	readonly poll_ns: number;
	readonly spin_threshold: number;
	intr_nesting = 0;
	/** a CPU stops being idle: the clock must tick again */
	clock_resume: (() => void) | null = null;
	constructor() {
		this.pcpus = curkernel.machine.cpus.map((cpu) => new pcpu(cpu));
		this.poll_ns = curkernel.machine.profile.smt ? 0 : IDLESPINS * Math.max(1, cost.spinwait);
		this.spin_threshold = Math.floor((2 * Math.max(10_000, 6 * curkernel.hz)) / STATHZ);
	}
}

const ule = KERNEL_GLOBAL(() => new ule_state());

export function pcpu_find(id: number): pcpu {
	return ule().pcpus[id];
}

/** the CPU of the running thread */
let curpc: pcpu;

export function curpcpu(): pcpu {
	return curpc;
}

/** From now on, `td` is the running thread, on `pc`. */
export function run_as(td: thread, pc: pcpu): void {
	curpc = pc;
	set_curthread(td, pc.cpu);
}

/** Says what to call when a CPU stops being idle. */
export function sched_set_clock(resume: () => void): void {
	ule().clock_resume = resume;
}

/** Books `elapsed` ns of the CPU to the thread that had it. */
function account(pc: pcpu, td: thread, elapsed: number): void {
	let busy = elapsed;
	if (pc.wake_latency > 0) {
		const waking = Math.min(pc.wake_latency, elapsed);
		pc.wake_latency -= waking;
		pc.cpu.wake_ns += waking;
		busy -= waking;
	}
	td.td_runtime += busy;
	pc.cpu.busy_ns += busy;
	if (pc.intr_left > 0) {
		const part = Math.min(pc.intr_left, busy);
		pc.intr_left -= part;
		pc.cpu.interrupt_ns += part;
		busy -= part;
	}
	if (pc.switch_left > 0) {
		const part = Math.min(pc.switch_left, busy);
		pc.switch_left -= part;
		pc.cpu.switch_ns += part;
	}
}

/** Brings the books of all CPUs up to the present moment; changes nothing else. */
export function sched_settle(): void {
	const now = curkernel.machine.events.now;
	for (const pc of ule().pcpus) {
		pc.cpu.settle(now);
		if (pc.cpu.idle) continue;
		account(pc, pc.pc_curthread, now - pc.stretch_start);
		pc.stretch_start = now;
	}
}

/** Lets the current thread live through what it has charged. */
export function start_stretch(pc: pcpu): void {
	const events = curkernel.machine.events;
	pc.stretch_start = events.now;
	const td = pc.pc_curthread;
	if (td.td_spinning) return;
	events.schedule(pc.stretch, events.now + td.td_pending);
}

/** Runs the current thread until it has to wait for something. */
function run(pc: pcpu): void {
	for (;;) {
		const td = pc.pc_curthread;
		if (td === pc.pc_idlethread) {
			sched_idletd(pc);
			return;
		}
		td.td_critlate = false;
		if (td.td_owepreempt && td.td_critnest === 0) {
			td.td_owepreempt = false;
			if (pc.tdq_lowpri < td.td_priority) {
				preempt(pc, td);
				return;
			}
		}
		run_as(td, pc);
		if (td.td_stays) {
			stay_over(td);
			return;
		}
		const waits = resume_thread(td);
		if (stay_left()) return;
		// it may have stayed while it was moved
		pc = curpc;
		leave_curthread();
		if (!waits) {
			// what it charged last is paid before it goes
			if (td.td_pending > 0) start_stretch(pc);
			else thread_exit(pc, td);
			return;
		}
		if (td.td_state !== TDS_RUNNING) {
			pc.tdq_load--;
			mi_switch(pc, td);
			return;
		}
		if (td.td_spinning || td.td_pending > 0) {
			start_stretch(pc);
			return;
		}
	}
}

function thread_exit(pc: pcpu, td: thread): void {
	KASSERT(td.td_critnest === 0, `thread ${td.td_name} exits in a critical section`);
	KASSERT(td.td_epochnest === 0, `thread ${td.td_name} exits in an epoch section`);
	td.td_state = TDS_INACTIVE;
	td.td_exited = true;
	stay_none();
	pc.tdq_load--;
	if (sched_thread_exit.on !== null) sched_thread_exit.on(td);
	mi_switch(pc, td);
}

/** Puts the running thread back at the head of its queue, because a better one waits. */
function preempt(pc: pcpu, td: thread): void {
	pc.tdq_load--;
	if (td.td_spinning) spin_abandon(td);
	pc.runq_add(td, true);
	mi_switch(pc, td);
}

/** Gives the CPU to the next thread; `td` has been put wherever it belongs. */
function mi_switch(pc: pcpu, td: thread): void {
	td.td_owepreempt = false;
	const state = ule();
	// whoever goes to sleep and leaves nothing behind looks for work elsewhere first: the idle thread need not run at all
	const next =
		pc.tdq_load === 0 && state.transferable > 0 && td.td_state === TDS_INHIBITED
			? (tdq_steal(pc, state) ?? pc.pc_idlethread)
			: tdq_choose(pc);
	if (next === td) {
		td.td_state = TDS_RUNNING;
		td.td_pending += pc.intr_left + pc.switch_left;
		start_stretch(pc);
		return;
	}
	spin_owner_left(td);
	switch_in(pc, td, next);
}

function tdq_choose(pc: pcpu): thread {
	const next = pc.runq_first();
	if (next === null) return pc.pc_idlethread;
	pc.runq_remove(next);
	pc.tdq_load++;
	return next;
}

function switch_in(pc: pcpu, old: thread, next: thread): void {
	const machine = curkernel.machine;
	const now = machine.events.now;
	pc.tdq_switchcnt++;
	pc.cpu.context_switches++;
	if (sched_off_cpu.on !== null && old !== pc.pc_idlethread) sched_off_cpu.on(old, pc.pc_cpuid);
	next.td_state = TDS_RUNNING;
	next.td_cpu = pc.pc_cpuid;
	pc.switch_left += cost.context_switch;
	next.td_pending += pc.intr_left + pc.switch_left;
	next.td_slice = next.td_runtime;
	pc.pc_curthread = next;
	machine.fingerprint.add(now, (pc.pc_cpuid << 20) ^ next.td_tid);
	if (sched_on_cpu.on !== null && next !== pc.pc_idlethread) sched_on_cpu.on(next, pc.pc_cpuid);
	start_stretch(pc);
}

/**
 * The idle thread: takes queued work, then steals, then polls for a while if the CPU has been switching a lot, and
 * halts at last. Polling CPUs need no IPI, so a busy machine without SMT sends few; an SMT machine never polls.
 *
 * @see sched_ule.c sched_idletd, tdq_idled
 */
function sched_idletd(pc: pcpu): void {
	if (pc.tdq_load > 0) {
		switch_in(pc, pc.pc_idlethread, tdq_choose(pc));
		return;
	}
	const state = ule();
	const stolen = state.transferable > 0 ? tdq_steal(pc, state) : null;
	if (stolen !== null) {
		switch_in(pc, pc.pc_idlethread, stolen);
		return;
	}
	const now = curkernel.machine.events.now;
	const window = Math.floor(now / STAT_TICK_NS);
	if (window !== pc.tdq_window) {
		pc.tdq_oldswitchcnt = window === pc.tdq_window + 1 ? pc.tdq_switchcnt : 0;
		pc.tdq_switchcnt = 0;
		pc.tdq_window = window;
	}
	const polls = state.poll_ns > 0 && pc.tdq_switchcnt + pc.tdq_oldswitchcnt > state.spin_threshold;
	pc.cpu.enterIdle(now, polls ? state.poll_ns : 0);
}

/**
 * Takes the best thread that may move from the CPU that has most of them, of those with more than one; null if there is none.
 * The thief pays, before the thread goes on.
 *
 * @see sched_ule.c tdq_trysteal, tdq_idled, tdq_move
 */
function tdq_steal(pc: pcpu, state: ule_state): thread | null {
	let victim: pcpu | null = null;
	for (const other of state.pcpus) {
		if (other === pc || other.tdq_transferable === 0 || other.tdq_load < 2) continue;
		if (victim === null || other.tdq_load > victim.tdq_load) victim = other;
	}
	if (victim === null) return null;
	const td = victim.runq_steal();
	if (td === null) return null;
	victim.runq_remove(td);
	pc.tdq_load++;
	td.td_pending += cost.sched_add + cost.sched_add_lines * cost.line_transfer;
	return td;
}

/**
 * An interrupt on `pc`: stops the stretch under way, charges for the handler, runs `handler` (plain code that may make
 * threads runnable), and reschedules.
 */
export function interrupt(pc: pcpu, handler_cost: number, handler: (() => void) | null): void {
	const state = ule();
	const events = curkernel.machine.events;
	const now = events.now;
	const td = pc.pc_curthread;
	/** of the stretch under way, which goes on when the handler is done */
	let remaining = 0;
	if (pc.cpu.idle) {
		pc.wake_latency = pc.cpu.exitIdle(now);
		remaining = pc.wake_latency;
		if (state.clock_resume !== null) state.clock_resume();
	} else {
		account(pc, td, now - pc.stretch_start);
		if (pc.stretch.scheduled) remaining = pc.stretch.time - now;
	}
	pc.stretch_start = now;
	// the handler's effects come after the wakeup and the interrupts before it, but not after the work it interrupts
	const ahead = pc.wake_latency + pc.intr_left;
	td.td_pending = ahead + handler_cost;
	if (handler !== null) {
		state.intr_nesting++;
		run_as(td, pc);
		handler();
		leave_curthread();
		state.intr_nesting--;
	}
	const spent = td.td_pending - ahead;
	pc.intr_left += spent;
	if (td !== pc.pc_idlethread && pc.tdq_lowpri < td.td_priority) {
		if (td.td_critnest > 0 || td.td_critlate) td.td_owepreempt = true;
		else {
			events.cancel(pc.stretch);
			td.td_pending = td.td_spinning ? 0 : remaining + spent - pc.intr_left - pc.switch_left;
			preempt(pc, td);
			return;
		}
	}
	if (td.td_spinning) {
		// a thread on its way to try again keeps its appointment, or comes late to it; otherwise it goes on spinning
		td.td_pending = 0;
		td.td_spin_since += spent;
		pc.intr_end = now + pc.intr_left;
		if (pc.stretch.scheduled && pc.stretch.time < pc.intr_end) events.schedule(pc.stretch, pc.intr_end);
		return;
	}
	td.td_pending = remaining + spent;
	events.schedule(pc.stretch, now + td.td_pending);
}

/** Whether the running thread is interrupted, and what is charged is the handler's. @see struct thread td_intr_nesting_level */
export function in_interrupt(): boolean {
	return ule().intr_nesting > 0;
}

/** @see sched_ule.c sched_shouldpreempt */
function sched_shouldpreempt(pri: number, cpri: number, remote: boolean): boolean {
	if (pri >= cpri) return false;
	if (cpri >= PRI_MIN_IDLE) return true;
	const p = priorities();
	if (pri <= p.preempt_thresh) return true;
	return remote && pri < p.PRI_MIN_BATCH && cpri >= p.PRI_MIN_BATCH;
}

/** @see sched_ule.c sched_pickcpu */
function sched_pickcpu(td: thread, state: ule_state): pcpu {
	const last = state.pcpus[td.td_cpu];
	if (td.td_pinned > 0 || td.td_bound || state.pcpus.length === 1) return last;
	const self = curthread === hostthread ? last : state.pcpus[curthread.td_cpu];
	const pri = td.td_priority;
	// an interrupt thread stays near the interrupt that wakes it
	const interrupt = state.intr_nesting > 0 && pri <= priorities().PRI_MAX_ITHD;
	const prefer = interrupt ? self : last;
	if (prefer.tdq_load === 0) return prefer;
	let best: pcpu | null = null;
	let best_metric = 0;
	for (const pc of state.pcpus) {
		// CPUs where it would run at once, an idle one first, then any; within these the least loaded, ties by the dice
		const rank = pc.tdq_load === 0 || pri < pc.tdq_lowpri ? 0 : 1;
		const metric = rank * 0x1000000 + pc.tdq_load * 256 - (pc === prefer ? 64 : 0) + (state.random.uint32() >>> 27);
		if (best === null || metric < best_metric) {
			best = pc;
			best_metric = metric;
		}
	}
	if (best === null) return last;
	if (best.tdq_load > 0 && pri < self.tdq_lowpri && self.tdq_load <= best.tdq_load + 1) return self;
	return best;
}

/**
 * Makes a thread runnable: picks its CPU, queues it, and sees to it that the CPU notices. Charges the running thread.
 *
 * @see sched_ule.c sched_add, tdq_notify, sched_setpreempt
 */
export function sched_add(td: thread): void {
	const state = ule();
	const machine = curkernel.machine;
	const pc = sched_pickcpu(td, state);
	const waker = curthread;
	const local = waker !== hostthread && pc.pc_cpuid === waker.td_cpu;
	waker.td_pending += cost.sched_add + (local ? 0 : cost.sched_add_lines * cost.line_transfer);
	const lowpri = pc.tdq_lowpri;
	pc.runq_add(td, false);
	machine.fingerprint.add(machine.events.now, (pc.pc_cpuid << 20) ^ (td.td_tid << 1) ^ 1);
	if (sched_enqueue.on !== null) sched_enqueue.on(td, pc.pc_cpuid, waker);
	const running = pc.pc_curthread;
	if (!sched_shouldpreempt(td.td_priority, running.td_priority, !local)) return;
	if (local) {
		running.td_owepreempt = true;
		return;
	}
	if (pc.tdq_owepreempt) return;
	if (release_traits().notify_compares_lowpri && lowpri <= td.td_priority) return;
	if (running === pc.pc_idlethread) {
		if (!pc.cpu.idle) return; // on its way in or out of idle: it will look at tdq_load
		const seen = machine.events.now + (waker === hostthread ? 0 : waker.td_pending) + cost.line_transfer;
		if (pc.cpu.polling(seen)) {
			pc.cpu.exitIdle(machine.events.now);
			if (state.clock_resume !== null) state.clock_resume();
			running.td_pending = seen - machine.events.now + cost.idle_poll;
			start_stretch(pc);
			return;
		}
	}
	pc.tdq_owepreempt = true;
	ipi_cpu(pc);
}

/** Sends IPI_PREEMPT. */
function ipi_cpu(pc: pcpu): void {
	const machine = curkernel.machine;
	const sender = curthread;
	sender.td_pending += cost.ipi_send;
	machine.ipis++;
	if (sched_ipi.on !== null) sched_ipi.on(sender.td_cpu, pc.pc_cpuid);
	if (!pc.ipi.event.scheduled) {
		const delay = sender === hostthread ? 0 : sender.td_pending;
		machine.events.schedule(pc.ipi.event, machine.events.now + delay + cost.ipi_latency);
	}
}

/**
 * Changes a thread's priority. A queued thread that gets a better one is queued afresh, so that it may preempt, or run
 * elsewhere; the running thread pays for that.
 *
 * @see sched_ule.c sched_thread_priority
 */
export function sched_prio(td: thread, priority: number): void {
	const before = td.td_priority;
	if (before === priority) return;
	if (td.td_state !== TDS_RUNQ) {
		td.td_priority = priority;
		return;
	}
	const pc = pcpu_find(td.td_cpu);
	pc.runq_remove(td);
	td.td_priority = priority;
	if (priority < before) sched_add(td);
	else pc.runq_add(td, false);
}

/** Binds the running thread to a CPU and moves there at once. @see sched_ule.c sched_bind */
export function* sched_bind(cpu: number): Blocking<void> {
	const td = curthread;
	yield* sync_exactly();
	td.td_bound = true;
	if (td.td_cpu === cpu) return;
	td.td_cpu = cpu;
	// leave this CPU: queue on the target, and let the scheduler see that it must run there
	const pc = pcpu_find(cpu);
	pc.runq_add(td, false);
	if (pc.idle || sched_shouldpreempt(td.td_priority, pc.pc_curthread.td_priority, true)) {
		if (pc.idle && !pc.cpu.idle) {
			// it will look at tdq_load
		} else if (!pc.tdq_owepreempt) {
			pc.tdq_owepreempt = true;
			ipi_cpu(pc);
			td.td_pending = 0;
		}
	}
	yield;
}

/** Lets others of equal or better priority run; used by user threads whose slice is over. @see kern_synch.c sys_sched_yield */
export function* sched_relinquish(): Blocking<void> {
	yield* sync_exactly();
	const td = curthread;
	pcpu_find(td.td_cpu).runq_add(td, false);
	yield;
}

/**
 * End of a system call: a user thread whose time slice is used up gives way to others that wait for its CPU.
 * Kernel threads are never sliced: the request is only acted on when returning to user mode.
 */
export function userret(): Blocking<void> {
	const td = curthread;
	if (td.td_runtime - td.td_slice < SLICE_NS) return DONE;
	if (pcpu_find(td.td_cpu).tdq_load < 2) return DONE;
	td.td_slice = td.td_runtime;
	return sched_relinquish();
}

/** Keeps the running thread on its CPU until sched_unpin. */
export function sched_pin(): void {
	curthread.td_pinned++;
}

export function sched_unpin(): void {
	curthread.td_pinned--;
}

/** No preemption from here to the matching critical_exit. */
export function critical_enter(): void {
	curthread.td_critnest++;
}

/** Ends a critical section; a preemption that was held up happens here. */
export function critical_exit(): Blocking<void> {
	const td = curthread;
	KASSERT(td.td_critnest > 0, "critical_exit: td_critnest == 0");
	td.td_critnest--;
	return td.td_critnest === 0 && td.td_owepreempt ? sync() : DONE;
}

/**
 * As critical_exit, for a thread that is ahead of the clock and need not wait for it here: the section lasts until it next does, so a
 * preemption that is held up happens that much late.
 */
export function critical_exit_late(): Blocking<void> {
	if (!threads_lead()) return advance() ? critical_exit() : later(critical_exit, undefined);
	const td = curthread;
	KASSERT(td.td_critnest > 0, "critical_exit: td_critnest == 0");
	td.td_critnest--;
	td.td_critlate = td.td_critnest === 0 && td.td_pending > 0;
	return DONE;
}

/** True while a thread is on a CPU, which is when waiting for it by spinning makes sense. */
export function TD_IS_RUNNING(td: thread): boolean {
	return td.td_state === TDS_RUNNING;
}

/** The running thread stops being runnable; the caller yields next. */
export function thread_inhibit(): void {
	curthread.td_state = TDS_INHIBITED;
}

/** Per-thread CPU states for a panic message, FreeBSD's `show pcpu` in short. */
export function describe_cpus(): string[] {
	return ule().pcpus.map(
		(pc) =>
			`cpuid = ${pc.pc_cpuid} curthread = ${pc.pc_curthread.td_name} (tid ${pc.pc_curthread.td_tid})` +
			(pc.pc_curthread.td_blocked !== null ? ` waits for ${pc.pc_curthread.td_blocked.lo_name}` : "") +
			`, load ${pc.tdq_load}`,
	);
}
