/**
 * Linux's way: one CPU in turn as well, but a queue cursor moved atomically, and work that is queued on a CPU is left there if
 * it has not started.
 *
 * Linux calls queue_work_on for the next online CPU after the queue's last one; work pending there already is not queued
 * again, which is what a task's ENQUEUED flag does here. Its batches come from segmentation offload, which FreeBSD's
 * driver does not see, so what remains of the difference is the cursor.
 *
 * @see wireguard-linux-compat src/queueing.h wg_queue_enqueue_per_device_and_peer, wg_cpumask_next_online
 */
import { atomic_fetchadd } from "../../../kernel/lock/atomic.ts";
import { mp_ncpus } from "../../../kernel/sched/kernel.ts";
import type { Blocking } from "../../../kernel/sched/thread.ts";
import { GROUPTASK_ENQUEUE } from "../../../kernel/taskqueue/gtaskqueue.ts";
import type { wg_softc } from "../if_wg_var.ts";
import type { dispatch_policy } from "./policy.ts";

export const linux_style: dispatch_policy = {
	name: "linux-style",
	description: "wake one CPU, the next in turn, by an atomic cursor (Linux's queue_work_on)",
	*encrypt_dispatch(sc: wg_softc): Blocking<void> {
		const cpu = ((yield* atomic_fetchadd(sc, "sc_encrypt_last_cpu", 1)) + 1) % mp_ncpus();
		yield* GROUPTASK_ENQUEUE(sc.sc_encrypt[cpu]);
	},
	*decrypt_dispatch(sc: wg_softc): Blocking<void> {
		const cpu = ((yield* atomic_fetchadd(sc, "sc_decrypt_last_cpu", 1)) + 1) % mp_ncpus();
		yield* GROUPTASK_ENQUEUE(sc.sc_decrypt[cpu]);
	},
};
