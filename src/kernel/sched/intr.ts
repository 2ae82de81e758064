/**
 * Software interrupt threads.
 *
 * swi_sched makes the thread runnable unless it runs already, in which case it goes round once more. Handlers of class NET
 * run inside the net epoch, so the thread is pinned to its CPU while it works: preempted there, it cannot move.
 *
 * @see kern_intr.c swi_add, swi_sched, ithread_loop; kernel.md section 9.6
 */
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { kthread_add, kthread_add_bound } from "./kthread.ts";
import { type Blocking, cost, curthread, sync, sync_exactly, type thread } from "./thread.ts";
import { sched_add, thread_inhibit } from "./ule.ts";

export class swi_cookie {
	readonly name: string;
	readonly handler: () => Blocking<void>;
	readonly net: boolean;
	it_need = false;
	/** in IWAIT: nothing to do */
	it_waiting = false;
	it_thread: thread | null = null;
	constructor(name: string, handler: () => Blocking<void>, net: boolean) {
		this.name = name;
		this.handler = handler;
		this.net = net;
	}
}

/** a handler that has run this often in one epoch section leaves it for a moment: hw.intr_epoch_batch */
const INTR_EPOCH_BATCH = 1000;

/**
 * Runs the handler as often as it was asked for, then waits. All passes share one epoch section, so the thread stays pinned as
 * long as requests keep coming: only once it has nothing left to do may it be taken to another CPU.
 *
 * @see kern_intr.c ithread_loop
 */
function* ithread_loop(cookie: swi_cookie): Blocking<void> {
	for (;;) {
		let passes = 0;
		if (cookie.net) NET_EPOCH_ENTER();
		yield* sync_exactly();
		while (cookie.it_need) {
			cookie.it_need = false;
			yield* cookie.handler();
			if (cookie.net && ++passes >= INTR_EPOCH_BATCH) {
				NET_EPOCH_EXIT();
				passes = 0;
				NET_EPOCH_ENTER();
			}
			yield* sync_exactly();
		}
		if (cookie.net) NET_EPOCH_EXIT();
		yield* sync_exactly();
		if (cookie.it_need) continue;
		// no time passes between the last look at it_need and the wait, so no request is lost
		cookie.it_waiting = true;
		thread_inhibit();
		yield;
	}
}

/**
 * Makes a software interrupt thread `name` of the given priority. `net`: the handler runs in the net epoch. `cpu`: the only
 * CPU it may run on; -1, as FreeBSD does unless told otherwise, for any.
 */
export function swi_add(
	name: string,
	handler: () => Blocking<void>,
	priority: number,
	net: boolean,
	cpu = -1,
): swi_cookie {
	const cookie = new swi_cookie(name, handler, net);
	cookie.it_thread =
		cpu < 0
			? kthread_add(ithread_loop, cookie, name, priority)
			: kthread_add_bound(ithread_loop, cookie, name, priority, cpu);
	return cookie;
}

/** Asks for the handler to run. */
export function* swi_sched(cookie: swi_cookie): Blocking<void> {
	curthread.td_pending += cost.swi_sched;
	yield* sync();
	cookie.it_need = true;
	if (!cookie.it_waiting) return;
	cookie.it_waiting = false;
	sched_add(cookie.it_thread as thread);
	if (curthread.td_owepreempt) yield* sync();
}
