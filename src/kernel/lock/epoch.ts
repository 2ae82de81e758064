/**
 * epoch(9): readers that never wait, and frees that wait for them.
 *
 * A section pins its thread and forbids sleeping. A callback handed to epoch_call runs once every section that was open at
 * that moment has ended and a clock tick has looked at the list, in a "softirq" task queue thread. Simplified: there is one
 * epoch, net_epoch_preempt, and readers are not lent priority by a waiter.
 *
 * @see subr_epoch.c; kernel.md section 10
 */
import { curkernel, KASSERT, KERNEL_GLOBAL, mp_ncpus, SI_ORDER_ANY, SI_SUB_TASKQ, SYSINIT } from "../sched/kernel.ts";
import { pause, sleepq_wait, wakeup } from "../sched/sleepqueue.ts";
import { type Blocking, cost, curthread, sync_exactly, type thread } from "../sched/thread.ts";
import { sched_pin, sched_unpin } from "../sched/ule.ts";

type epoch_callback = (ctx: never) => Blocking<void>;

class epoch_state {
	/** threads inside a section: the first `nactive` of these */
	readonly active: thread[] = [];
	nactive = 0;
	/** counts section entries and calls, so that "open at the call" is a comparison */
	era = 1;
	readonly pending_fn: epoch_callback[] = [];
	readonly pending_ctx: unknown[] = [];
	readonly pending_era: number[] = [];
	/** wakes the task that runs callbacks; set by the task queue group once it stands */
	kick: (() => void) | null = null;
	/** callbacks handed in so far, and those that have run */
	called = 0;
	drained = 0;
}

const net_epoch = KERNEL_GLOBAL(() => new epoch_state());

/** Enters a section of net_epoch_preempt; sections nest. */
export function NET_EPOCH_ENTER(): void {
	const td = curthread;
	td.td_pending += cost.epoch;
	if (td.td_epochnest++ === 0) {
		const state = net_epoch();
		td.td_epochslot = state.nactive;
		state.active[state.nactive++] = td;
		td.td_epochera = state.era++;
	}
	td.td_no_sleeping++;
	sched_pin();
}

/** Leaves the section entered last. */
export function NET_EPOCH_EXIT(): void {
	const td = curthread;
	KASSERT(td.td_epochnest > 0, "epoch_exit_preempt: not in epoch");
	td.td_pending += cost.epoch;
	td.td_no_sleeping--;
	sched_unpin();
	if (--td.td_epochnest > 0) return;
	const state = net_epoch();
	const { active } = state;
	const last = active[--state.nactive];
	if (last === td) return;
	last.td_epochslot = td.td_epochslot;
	active[td.td_epochslot] = last;
}

export function in_net_epoch(): boolean {
	return curthread.td_epochnest > 0;
}

export function NET_EPOCH_ASSERT(): void {
	KASSERT(curthread.td_epochnest > 0, "Assertion in_epoch(net_epoch_preempt) failed");
}

/** The era of the oldest section still open. */
function oldest(state: epoch_state): number {
	let min = Number.POSITIVE_INFINITY;
	for (let i = 0; i < state.nactive; i++) min = Math.min(min, state.active[i].td_epochera);
	return min;
}

/** Runs `fn(ctx)` after every section open now has ended; returns at once. */
export function NET_EPOCH_CALL<T>(fn: (ctx: T) => Blocking<void>, ctx: T): void {
	const state = net_epoch();
	curthread.td_pending += cost.epoch;
	state.pending_fn.push(fn as epoch_callback);
	state.pending_ctx.push(ctx);
	state.pending_era.push(state.era++);
	state.called++;
}

/** Whether hardclock has a reason to wake the callback task. */
export function epoch_callbacks_pending(): boolean {
	return net_epoch().pending_fn.length > 0;
}

/** hardclock's part: wakes the callback task if there is anything to do. Plain code, in interrupt context. */
export function epoch_hardclock(): void {
	const state = net_epoch();
	if (state.pending_fn.length > 0 && state.kick !== null) state.kick();
}

/** Says how the callback task is woken. */
export function epoch_set_kick(kick: () => void): void {
	net_epoch().kick = kick;
}

/** The callback task: runs every callback whose grace period is over. @see subr_epoch.c epoch_call_task */
export function* epoch_call_task(): Blocking<void> {
	const state = net_epoch();
	while (state.pending_fn.length > 0 && state.pending_era[0] < oldest(state)) {
		const fn = state.pending_fn.shift() as epoch_callback;
		const ctx = state.pending_ctx.shift() as never;
		state.pending_era.shift();
		yield* fn(ctx);
		state.drained++;
	}
	yield* wakeup(state);
}

/** Waits until every section that is open now has ended. Sleeps; never inside a section. */
export function* NET_EPOCH_WAIT(): Blocking<void> {
	KASSERT(
		curthread.td_epochnest === 0,
		"epoch_wait_preempt() called in the middle of an epoch section of the same epoch",
	);
	const state = net_epoch();
	curthread.td_pending += cost.epoch;
	yield* sync_exactly();
	const now = state.era++;
	while (oldest(state) < now) yield* pause("epoch", 1);
}

/** Waits until every callback queued so far has run. */
export function* NET_EPOCH_DRAIN_CALLBACKS(): Blocking<void> {
	KASSERT(curthread.td_epochnest === 0, "epoch_drain_callbacks() called in an epoch section");
	const state = net_epoch();
	yield* sync_exactly();
	const target = state.called;
	while (state.drained < target) {
		yield* sleepq_wait(state, "EDRAIN");
		yield* sync_exactly();
	}
}

SYSINIT("epoch", SI_SUB_TASKQ, SI_ORDER_ANY, function* () {
	KASSERT(mp_ncpus() > 0 && curkernel.hz > 0, "epoch needs a clock");
	net_epoch();
	yield* sync_exactly();
});
