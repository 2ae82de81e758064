/**
 * taskqueue(9): queues of tasks run by one or more kernel threads.
 *
 * A task counts how often it was enqueued while it waited and is run once with that count. With several threads it may run
 * beside itself; with one it runs again afterwards. Tasks are ordered by priority, first in first out among equals.
 *
 * @see subr_taskqueue.c; kernel.md section 1.1
 */
import { EBUSY, type Errno } from "../errno.ts";
import { epoch_call_task, epoch_set_kick, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import {
	KASSERT,
	KERNEL_GLOBAL,
	priorities,
	SI_ORDER_ANY,
	SI_ORDER_SECOND,
	SI_SUB_EPOCH,
	SI_SUB_TASKQ,
	SYSINIT,
} from "../sched/kernel.ts";
import { kthread_add } from "../sched/kthread.ts";
import { msleep, tsleep, wakeup, wakeup_any } from "../sched/sleepqueue.ts";
import { type Blocking, cost, curthread, sync, sync_exactly, type thread } from "../sched/thread.ts";
import { sched_add, thread_inhibit } from "../sched/ule.ts";

export const task_enqueue = SDT_PROBE_DEFINE<[queue: string, t: task, by: thread]>(
	"taskqueue:::task-enqueue",
	"queue: string, t: task, by: thread",
);
export const task_run = SDT_PROBE_DEFINE<[queue: string, t: task]>("taskqueue:::task-run", "queue: string, t: task");

const TASK_NETWORK = 0x4;
const USHRT_MAX = 65_535;

type task_fn = (ctx: never, pending: number) => Blocking<void>;

export class task {
	ta_pending = 0;
	ta_priority = 0;
	ta_flags = 0;
	ta_func: task_fn | null = null;
	ta_context: unknown = null;
}

export function TASK_INIT<T>(
	t: task,
	priority: number,
	func: (ctx: T, pending: number) => Blocking<void>,
	ctx: T,
): void {
	t.ta_pending = 0;
	t.ta_priority = priority;
	t.ta_flags = 0;
	t.ta_func = func as task_fn;
	t.ta_context = ctx;
}

/** As TASK_INIT, for a handler that is called inside the net epoch. */
export function NET_TASK_INIT<T>(
	t: task,
	priority: number,
	func: (ctx: T, pending: number) => Blocking<void>,
	ctx: T,
): void {
	TASK_INIT(t, priority, func, ctx);
	t.ta_flags = TASK_NETWORK;
}

export class taskqueue {
	readonly tq_name: string;
	readonly tq_mutex = new mtx();
	readonly tq_queue: task[] = [];
	readonly tq_active: task[] = [];
	readonly tq_threads: thread[] = [];
	tq_blocked = false;
	tq_running = true;
	tq_drainers = 0;
	constructor(name: string) {
		this.tq_name = name;
	}
}

export function taskqueue_create(name: string): taskqueue {
	const queue = new taskqueue(name);
	mtx_init(queue.tq_mutex, name, "taskqueue", MTX_DEF);
	return queue;
}

/** Starts `count` threads at `priority`; named `name`, or `name_0`, `name_1`, ... when there are several. */
export function taskqueue_start_threads(queue: taskqueue, count: number, priority: number, name: string): void {
	for (let i = 0; i < count; i++) {
		const td = kthread_add(taskqueue_thread_loop, queue, count === 1 ? name : `${name}_${i}`, priority);
		queue.tq_threads.push(td);
	}
}

/** Queues a task, or counts one more if it is queued already. The mutex is dropped before the wakeup. @returns 0 */
export function* taskqueue_enqueue(queue: taskqueue, t: task): Blocking<Errno> {
	curthread.td_pending += cost.taskqueue_enqueue;
	yield* mtx_lock(queue.tq_mutex);
	if (t.ta_pending > 0) {
		if (t.ta_pending < USHRT_MAX) t.ta_pending++;
		yield* mtx_unlock(queue.tq_mutex);
		return 0;
	}
	let at = queue.tq_queue.length;
	while (at > 0 && queue.tq_queue[at - 1].ta_priority < t.ta_priority) at--;
	if (at === queue.tq_queue.length) queue.tq_queue.push(t);
	else queue.tq_queue.splice(at, 0, t);
	t.ta_pending = 1;
	if (task_enqueue.on !== null) task_enqueue.on(queue.tq_name, t, curthread);
	const blocked = queue.tq_blocked;
	yield* mtx_unlock(queue.tq_mutex);
	if (!blocked) yield* wakeup_any(queue);
	return 0;
}

function* taskqueue_run_locked(queue: taskqueue): Blocking<void> {
	let in_epoch = false;
	while (queue.tq_queue.length > 0) {
		const t = queue.tq_queue.shift() as task;
		const pending = t.ta_pending;
		t.ta_pending = 0;
		queue.tq_active.push(t);
		curthread.td_pending += cost.taskqueue_loop;
		yield* mtx_unlock(queue.tq_mutex);
		const net = (t.ta_flags & TASK_NETWORK) !== 0;
		if (net && !in_epoch) NET_EPOCH_ENTER();
		if (!net && in_epoch) NET_EPOCH_EXIT();
		in_epoch = net;
		if (task_run.on !== null) task_run.on(queue.tq_name, t);
		yield* (t.ta_func as task_fn)(t.ta_context as never, pending);
		yield* mtx_lock(queue.tq_mutex);
		queue.tq_active.splice(queue.tq_active.indexOf(t), 1);
		if (queue.tq_drainers > 0) yield* wakeup(t);
	}
	if (in_epoch) NET_EPOCH_EXIT();
}

function* taskqueue_thread_loop(queue: taskqueue): Blocking<void> {
	yield* mtx_lock(queue.tq_mutex);
	while (queue.tq_running) {
		yield* taskqueue_run_locked(queue);
		if (queue.tq_queue.length > 0) continue;
		if (!queue.tq_running) break;
		yield* msleep(queue, queue.tq_mutex, 0, "-", 0);
	}
	yield* taskqueue_run_locked(queue);
	queue.tq_threads.splice(queue.tq_threads.indexOf(curthread), 1);
	yield* mtx_unlock(queue.tq_mutex);
	yield* wakeup(queue.tq_threads);
}

/** Waits while a task is queued or running anywhere. */
export function* taskqueue_drain(queue: taskqueue, t: task): Blocking<void> {
	yield* mtx_lock(queue.tq_mutex);
	while (t.ta_pending > 0 || queue.tq_active.includes(t)) {
		queue.tq_drainers++;
		yield* msleep(t, queue.tq_mutex, 0, "tq_drain", 1);
		queue.tq_drainers--;
	}
	yield* mtx_unlock(queue.tq_mutex);
}

/** Takes a task off the queue. @returns EBUSY if it is running, else 0 */
export function* taskqueue_cancel(queue: taskqueue, t: task): Blocking<Errno> {
	yield* mtx_lock(queue.tq_mutex);
	const at = queue.tq_queue.indexOf(t);
	if (at >= 0) queue.tq_queue.splice(at, 1);
	t.ta_pending = 0;
	const busy = queue.tq_active.includes(t);
	yield* mtx_unlock(queue.tq_mutex);
	return busy ? EBUSY : 0;
}

/** Holds wakeups back; tasks may still be queued. */
export function* taskqueue_block(queue: taskqueue): Blocking<void> {
	yield* mtx_lock(queue.tq_mutex);
	queue.tq_blocked = true;
	yield* mtx_unlock(queue.tq_mutex);
}

export function* taskqueue_unblock(queue: taskqueue): Blocking<void> {
	yield* mtx_lock(queue.tq_mutex);
	queue.tq_blocked = false;
	const waiting = queue.tq_queue.length > 0;
	yield* mtx_unlock(queue.tq_mutex);
	if (waiting) yield* wakeup_any(queue);
}

/** Ends the queue's threads after they have run what is queued. */
export function* taskqueue_free(queue: taskqueue): Blocking<void> {
	yield* mtx_lock(queue.tq_mutex);
	queue.tq_running = false;
	yield* mtx_unlock(queue.tq_mutex);
	yield* wakeup(queue);
	while (queue.tq_threads.length > 0) yield* tsleep(queue.tq_threads, 0, "tq_destroy", 1);
	KASSERT(queue.tq_active.length === 0, "Tasks still running?");
}

class system_queues {
	readonly swi = taskqueue_create("swi");
	readonly thread = taskqueue_create("thread");
	epoch_td: thread | null = null;
	epoch_waiting = false;
}

const queues = KERNEL_GLOBAL(() => new system_queues());

/** The queue run at software interrupt priority; link state changes go here. */
export function taskqueue_swi(): taskqueue {
	return queues().swi;
}

/** The general queue with one kernel thread. */
export function taskqueue_thread(): taskqueue {
	return queues().thread;
}

SYSINIT("taskqueue", SI_SUB_TASKQ, SI_ORDER_SECOND, function* () {
	taskqueue_start_threads(taskqueue_swi(), 1, priorities().SWI_TQ, "swi6: task queue");
	taskqueue_start_threads(taskqueue_thread(), 1, priorities().PWAIT, "thread taskq");
	yield* sync();
});

/** softirq_N's part in epoch(9): one thread runs all callbacks, woken by hardclock while there are any. */
function* epoch_thread(state: system_queues): Blocking<void> {
	for (;;) {
		yield* sync_exactly();
		yield* epoch_call_task();
		yield* sync_exactly();
		state.epoch_waiting = true;
		thread_inhibit();
		yield;
	}
}

SYSINIT("epoch callbacks", SI_SUB_EPOCH, SI_ORDER_ANY, function* () {
	const state = queues();
	state.epoch_td = kthread_add(epoch_thread, state, "softirq_0", priorities().PI_SOFT);
	epoch_set_kick(() => {
		if (!state.epoch_waiting) return;
		state.epoch_waiting = false;
		sched_add(state.epoch_td as thread);
	});
	yield* sync();
});
