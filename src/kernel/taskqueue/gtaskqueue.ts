/**
 * Group task queues: one queue and one bound thread per CPU, and tasks attached to one queue for life.
 *
 * A task that is *running* is not "enqueued": the flag is cleared before the handler is called, so an enqueue during a run
 * means exactly one more run. The queue is first in, first out behind a spin mutex. The driver's data path lives on these.
 *
 * @see subr_gtaskqueue.c; kernel.md section 1.2; releases 13.0 and 14.0 agree
 */
import { EAGAIN, EINVAL, type Errno } from "../errno.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { charge_lock, lock_busy_until } from "../lock/lock.ts";
import {
	MTX_DEF,
	MTX_SPIN,
	mtx,
	mtx_init,
	mtx_lock,
	mtx_lock_spin,
	mtx_unlock,
	mtx_unlock_spin,
} from "../lock/mutex.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { KASSERT, mp_ncpus, panic, priorities } from "../sched/kernel.ts";
import { kthread_add } from "../sched/kthread.ts";
import { msleep_spin, sleep_channel, wakeup, wakeup_any, wakeup_any_filter } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost, curthread, done, own_time, type thread } from "../sched/thread.ts";
import { sched_bind } from "../sched/ule.ts";

export const gtask_enqueue = SDT_PROBE_DEFINE<[gt: grouptask, by: thread]>(
	"taskqueue:::enqueue",
	"gt: grouptask, by: thread",
);
export const gtask_coalesced = SDT_PROBE_DEFINE<[gt: grouptask, by: thread]>(
	"taskqueue:::coalesced",
	"gt: grouptask, by: thread",
);
export const gtask_start = SDT_PROBE_DEFINE<[gt: grouptask]>("taskqueue:::run-start", "gt: grouptask");
export const gtask_done = SDT_PROBE_DEFINE<[gt: grouptask]>("taskqueue:::run-done", "gt: grouptask");

export const TASK_ENQUEUED = 0x1;
export const TASK_NOENQUEUE = 0x2;
export const TASK_NETWORK = 0x4;

const TQ_FLAGS_ACTIVE = 1;
const TQ_FLAGS_BLOCKED = 2;

type gtask_fn = (ctx: never) => Blocking<void>;

/** A task and its place in a group: struct gtask within struct grouptask. */
export class grouptask {
	/** the next one on its queue */
	ta_link: grouptask | null = null;
	ta_flags = 0;
	ta_func: gtask_fn | null = null;
	ta_context: unknown = null;
	gt_taskqueue: gtaskqueue | null = null;
	gt_uniq: object | null = null;
	gt_name = "";
	gt_cpu = -1;
	/** CPU that had the line of ta_flags and of the queue link last; -1 before any had */
	ta_lastcpu = -1;
}

/**
 * Charges for a look at a task's flags: their line comes here if another CPU had it. Its own CPU takes it back before each run,
 * to clear TASK_ENQUEUED.
 */
export function charge_task(gt: grouptask): void {
	const td = curthread;
	if (gt.ta_lastcpu !== td.td_cpu && gt.ta_lastcpu >= 0) td.td_pending += cost.line_transfer;
	gt.ta_lastcpu = td.td_cpu;
}

/** Tasks linked by ta_link, an STAILQ; and how many. */
class grouptask_list {
	stqh_first: grouptask | null = null;
	stqh_last: grouptask | null = null;
	length = 0;

	/** STAILQ_INSERT_TAIL */
	insert_tail(gt: grouptask): void {
		if (this.stqh_last === null) this.stqh_first = gt;
		else this.stqh_last.ta_link = gt;
		this.stqh_last = gt;
		this.length++;
	}

	/** STAILQ_FIRST and STAILQ_REMOVE_HEAD; null: there is none */
	remove_head(): grouptask | null {
		const gt = this.stqh_first;
		if (gt === null) return null;
		this.stqh_first = gt.ta_link;
		if (this.stqh_first === null) this.stqh_last = null;
		gt.ta_link = null;
		this.length--;
		return gt;
	}
}

export class gtaskqueue extends sleep_channel {
	readonly tq_name: string;
	readonly tq_mutex = new mtx();
	readonly tq_queue = new grouptask_list();
	tq_flags = TQ_FLAGS_ACTIVE;
	tq_thread: thread | null = null;
	/** the task that runs now, and how many have run: one thread per queue, so one at most */
	tq_running: grouptask | null = null;
	tq_seq = 0;
	/** threads in a drain: spares the common case a wakeup nobody waits for */
	tq_drainers = 0;
	constructor(name: string) {
		super();
		this.tq_name = name;
	}
}

/** One queue of a group. @see subr_gtaskqueue.c struct taskqgroup_cpu */
class taskqgroup_cpu {
	readonly tgc_taskq: gtaskqueue;
	readonly tgc_cpu: number;
	readonly tgc_tasks = new Set<grouptask>();
	/** how many of them each owner has: upstream walks the list, which takes too long with 100,000 peers */
	readonly tgc_uniq = new Map<object | null, number>();
	constructor(taskq: gtaskqueue, cpu: number) {
		this.tgc_taskq = taskq;
		this.tgc_cpu = cpu;
	}
}

/** TASKQGROUP_DEFINE: `count` queues, one thread each, bound to CPUs 0, stride, 2*stride, ... when there is more than one. */
export class taskqgroup {
	readonly tqg_name: string;
	readonly tqg_lock = new mtx();
	readonly tqg_queue: taskqgroup_cpu[] = [];
	constructor(name: string) {
		this.tqg_name = name;
	}
}

export function GROUPTASK_INIT<T>(gt: grouptask, _priority: number, func: (ctx: T) => Blocking<void>, ctx: T): void {
	gt.ta_flags = 0;
	gt.ta_func = func as gtask_fn;
	gt.ta_context = ctx;
}

/** As GROUPTASK_INIT, for a handler that is called inside the net epoch. */
export function NET_GROUPTASK_INIT<T>(gt: grouptask, priority: number, func: (ctx: T) => Blocking<void>, ctx: T): void {
	GROUPTASK_INIT(gt, priority, func, ctx);
	gt.ta_flags = TASK_NETWORK;
}

/**
 * Puts a task on its queue unless it is there already, and wakes the queue's thread.
 *
 * The wakeup is issued after the mutex is dropped, even when the thread is running: it then finds no sleeper.
 *
 * @returns 0, also when the task was queued already; EAGAIN when the task is blocked
 * @see subr_gtaskqueue.c grouptaskqueue_enqueue
 */
export function* GROUPTASK_ENQUEUE(gt: grouptask): Blocking<Errno> {
	const queue = gt.gt_taskqueue;
	if (queue === null) panic("queue == NULL");
	curthread.td_pending += cost.taskqueue_enqueue;
	yield* mtx_lock_spin(queue.tq_mutex);
	charge_task(gt);
	if ((gt.ta_flags & TASK_ENQUEUED) !== 0) {
		if (gtask_coalesced.on !== null) gtask_coalesced.on(gt, curthread);
		yield* mtx_unlock_spin(queue.tq_mutex);
		return 0;
	}
	if ((gt.ta_flags & TASK_NOENQUEUE) !== 0) {
		yield* mtx_unlock_spin(queue.tq_mutex);
		return EAGAIN;
	}
	queue.tq_queue.insert_tail(gt);
	gt.ta_flags |= TASK_ENQUEUED;
	if (gtask_enqueue.on !== null) gtask_enqueue.on(gt, curthread);
	yield* mtx_unlock_spin(queue.tq_mutex);
	if ((queue.tq_flags & TQ_FLAGS_BLOCKED) === 0) yield* wakeup_any(queue);
	return 0;
}

/** Who has the lock of a task's queue: no interrupt filter that wants it gets on until he lets go. */
export function grouptask_locker(gt: grouptask): thread | null {
	return gt.gt_taskqueue === null ? null : gt.gt_taskqueue.tq_mutex.mtx_owner;
}

/**
 * GROUPTASK_ENQUEUE from an interrupt filter: plain code that cannot wait. The caller has seen that the queue is not locked. Whoever
 * had its lock until a moment ahead of the clock is waited for: see lock_busy.
 */
export function grouptask_enqueue_filter(gt: grouptask): void {
	const queue = gt.gt_taskqueue;
	if (queue === null) panic("queue == NULL");
	KASSERT(queue.tq_mutex.mtx_owner === null, `grouptask_enqueue_filter: ${queue.tq_name} is locked`);
	charge_lock(queue.tq_mutex);
	charge(cost.taskqueue_enqueue + cost.atomic + Math.max(0, lock_busy_until(queue.tq_mutex) - own_time()));
	queue.tq_mutex.lo_prof.acquisitions++;
	charge_task(gt);
	if ((gt.ta_flags & TASK_ENQUEUED) !== 0) {
		if (gtask_coalesced.on !== null) gtask_coalesced.on(gt, curthread);
		return;
	}
	if ((gt.ta_flags & TASK_NOENQUEUE) !== 0) return;
	queue.tq_queue.insert_tail(gt);
	gt.ta_flags |= TASK_ENQUEUED;
	if (gtask_enqueue.on !== null) gtask_enqueue.on(gt, curthread);
	if ((queue.tq_flags & TQ_FLAGS_BLOCKED) === 0) wakeup_any_filter(queue);
}

/**
 * A queue's thread: runs queued tasks until there are none, then sleeps. Upstream's gtaskqueue_run_locked is its inner loop.
 *
 * @see subr_gtaskqueue.c gtaskqueue_thread_loop, gtaskqueue_run_locked
 */
function* gtaskqueue_thread_loop(queue: gtaskqueue): Blocking<void> {
	yield* mtx_lock_spin(queue.tq_mutex);
	while ((queue.tq_flags & TQ_FLAGS_ACTIVE) !== 0) {
		let in_epoch = false;
		for (let gt = queue.tq_queue.remove_head(); gt !== null; gt = queue.tq_queue.remove_head()) {
			charge_task(gt);
			gt.ta_flags &= ~TASK_ENQUEUED;
			queue.tq_running = gt;
			queue.tq_seq++;
			curthread.td_pending += cost.taskqueue_loop;
			yield* mtx_unlock_spin(queue.tq_mutex);
			const net = (gt.ta_flags & TASK_NETWORK) !== 0;
			if (net && !in_epoch) NET_EPOCH_ENTER();
			if (!net && in_epoch) NET_EPOCH_EXIT();
			in_epoch = net;
			if (gtask_start.on !== null) gtask_start.on(gt);
			yield* (gt.ta_func as gtask_fn)(gt.ta_context as never);
			if (gtask_done.on !== null) gtask_done.on(gt);
			yield* mtx_lock_spin(queue.tq_mutex);
			queue.tq_running = null;
			if (queue.tq_drainers > 0) yield* wakeup(gt);
		}
		if (in_epoch) NET_EPOCH_EXIT();
		yield* msleep_spin(queue, queue.tq_mutex, "-", 0);
	}
	yield* mtx_unlock_spin(queue.tq_mutex);
}

/**
 * Creates a group. Its threads have soft interrupt priority and bind themselves to their CPU on first use.
 *
 * @see subr_gtaskqueue.c taskqgroup_cpu_create, taskqgroup_bind
 */
export function* TASKQGROUP_DEFINE(name: string, count: number, stride: number): Blocking<taskqgroup> {
	const group = new taskqgroup(name);
	mtx_init(group.tqg_lock, "taskqgroup", null, MTX_DEF);
	let cpu = 0;
	for (let i = 0; i < count; i++) {
		const queue = new gtaskqueue(`${name}_${i}`);
		mtx_init(queue.tq_mutex, `${name} taskqueue`, null, MTX_SPIN);
		queue.tq_thread = kthread_add(gtaskqueue_thread_loop, queue, queue.tq_name, priorities().PI_SOFT);
		group.tqg_queue.push(new taskqgroup_cpu(queue, cpu));
		cpu = (cpu + stride) % mp_ncpus();
	}
	if (count > 1) {
		for (const { tgc_taskq, tgc_cpu } of group.tqg_queue) {
			const bind = new grouptask();
			GROUPTASK_INIT(bind, 0, sched_bind, tgc_cpu);
			bind.gt_taskqueue = tgc_taskq;
			bind.gt_name = "taskqgroup bind";
			yield* GROUPTASK_ENQUEUE(bind);
		}
	}
	return group;
}

/**
 * Attaches a task to the queue with the fewest tasks, at first among those without a task of the same `uniq`. The scan
 * only passes over queues with more than the fewest so far, so of equals the highest numbered wins.
 */
export function* taskqgroup_attach(group: taskqgroup, gt: grouptask, uniq: object, name: string): Blocking<void> {
	yield* mtx_lock(group.tqg_lock);
	gt.gt_uniq = uniq;
	gt.gt_name = name;
	gt.gt_cpu = -1;
	let best = -1;
	for (let strict = 1; strict >= 0 && best < 0; strict--) {
		let fewest = Number.POSITIVE_INFINITY;
		for (let i = 0; i < group.tqg_queue.length; i++) {
			const { tgc_tasks, tgc_uniq } = group.tqg_queue[i];
			if (tgc_tasks.size > fewest) continue;
			if (strict === 1 && tgc_uniq.has(uniq)) continue;
			fewest = tgc_tasks.size;
			best = i;
		}
	}
	if (best < 0) panic("taskqgroup_attach: failed to find queue");
	link(group, best, gt);
	yield* mtx_unlock(group.tqg_lock);
}

/** Attaches a task to the queue of one CPU. @returns EINVAL if the group has none for it */
export function* taskqgroup_attach_cpu(
	group: taskqgroup,
	gt: grouptask,
	uniq: object,
	cpu: number,
	name: string,
): Blocking<Errno> {
	yield* mtx_lock(group.tqg_lock);
	const at = group.tqg_queue.findIndex((q) => q.tgc_cpu === cpu);
	if (at >= 0) {
		gt.gt_uniq = uniq;
		gt.gt_name = name;
		gt.gt_cpu = cpu;
		link(group, at, gt);
	}
	yield* mtx_unlock(group.tqg_lock);
	return at < 0 ? EINVAL : 0;
}

function link(group: taskqgroup, at: number, gt: grouptask): void {
	const { tgc_taskq, tgc_tasks, tgc_uniq } = group.tqg_queue[at];
	tgc_tasks.add(gt);
	tgc_uniq.set(gt.gt_uniq, (tgc_uniq.get(gt.gt_uniq) ?? 0) + 1);
	gt.gt_taskqueue = tgc_taskq;
}

/** Takes a task off its group: blocks it, waits for a run under way, unlinks it. */
export function* taskqgroup_detach(group: taskqgroup, gt: grouptask): Blocking<void> {
	yield* grouptask_block(gt);
	yield* mtx_lock(group.tqg_lock);
	const entry = group.tqg_queue.find((q) => q.tgc_tasks.delete(gt));
	if (entry === undefined) panic(`taskqgroup_detach: task ${gt.gt_name} not in group`);
	const left = (entry.tgc_uniq.get(gt.gt_uniq) ?? 0) - 1;
	if (left > 0) entry.tgc_uniq.set(gt.gt_uniq, left);
	else entry.tgc_uniq.delete(gt.gt_uniq);
	yield* mtx_unlock(group.tqg_lock);
	gt.gt_taskqueue = null;
	gt.ta_flags &= ~TASK_NOENQUEUE;
}

/** Waits while a task is queued or running. */
export function* gtaskqueue_drain(gt: grouptask): Blocking<void> {
	const queue = gt.gt_taskqueue;
	if (queue === null) panic("gtaskqueue_drain: task is not attached");
	yield* mtx_lock_spin(queue.tq_mutex);
	while ((gt.ta_flags & TASK_ENQUEUED) !== 0 || queue.tq_running === gt) {
		KASSERT(queue.tq_thread !== curthread, "gtaskqueue_drain from the task's own queue");
		queue.tq_drainers++;
		yield* msleep_spin(gt, queue.tq_mutex, "gtq_drain", 1);
		queue.tq_drainers--;
	}
	yield* mtx_unlock_spin(queue.tq_mutex);
}

/** Stops a task from being enqueued, then waits for it. */
export function* grouptask_block(gt: grouptask): Blocking<void> {
	const queue = gt.gt_taskqueue;
	if (queue === null) panic("grouptask_block: task is not attached");
	yield* mtx_lock_spin(queue.tq_mutex);
	gt.ta_flags |= TASK_NOENQUEUE;
	yield* mtx_unlock_spin(queue.tq_mutex);
	yield* gtaskqueue_drain(gt);
}

/** Lets a blocked task be enqueued again; queues nothing itself. */
export function* grouptask_unblock(gt: grouptask): Blocking<void> {
	const queue = gt.gt_taskqueue;
	if (queue === null) panic("grouptask_unblock: task is not attached");
	yield* mtx_lock_spin(queue.tq_mutex);
	gt.ta_flags &= ~TASK_NOENQUEUE;
	yield* mtx_unlock_spin(queue.tq_mutex);
}

/** Waits until everything queued on the group so far has run, queue by queue. */
export function* taskqgroup_drain_all(group: taskqgroup): Blocking<void> {
	for (const { tgc_taskq } of group.tqg_queue) {
		yield* mtx_lock_spin(tgc_taskq.tq_mutex);
		const barrier = new grouptask();
		GROUPTASK_INIT(barrier, 0, () => done(undefined), undefined);
		barrier.gt_taskqueue = tgc_taskq;
		barrier.gt_name = "drain barrier";
		yield* mtx_unlock_spin(tgc_taskq.tq_mutex);
		yield* GROUPTASK_ENQUEUE(barrier);
		yield* gtaskqueue_drain(barrier);
	}
}
