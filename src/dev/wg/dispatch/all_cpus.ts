/**
 * The policy before ddc22da: wake the task of every CPU, except those that are enqueued already.
 *
 * The flag is read without the queue's lock. A task that *runs* is not enqueued, so busy CPUs are asked to run once more.
 *
 * @see if_wg.c wg_encrypt_dispatch and wg_decrypt_dispatch at 8ed5135
 */
import { load } from "../../../kernel/lock/atomic.ts";
import { mp_ncpus } from "../../../kernel/sched/kernel.ts";
import { type Blocking, charge, cost } from "../../../kernel/sched/thread.ts";
import { charge_task, GROUPTASK_ENQUEUE, type grouptask, TASK_ENQUEUED } from "../../../kernel/taskqueue/gtaskqueue.ts";
import type { wg_softc } from "../if_wg_var.ts";
import type { dispatch_policy } from "./policy.ts";

function* wake_all(tasks: grouptask[]): Blocking<void> {
	for (let i = 0; i < mp_ncpus(); i++) {
		charge(cost.task_flag_read);
		charge_task(tasks[i]);
		if (((yield* load(tasks[i], "ta_flags")) & TASK_ENQUEUED) !== 0) continue;
		yield* GROUPTASK_ENQUEUE(tasks[i]);
	}
}

export const all_cpus: dispatch_policy = {
	name: "all-cpus",
	description: "wake every CPU whose task is not enqueued, for each packet (the driver before ddc22da)",
	*encrypt_dispatch(sc: wg_softc): Blocking<void> {
		yield* wake_all(sc.sc_encrypt);
	},
	*decrypt_dispatch(sc: wg_softc): Blocking<void> {
		yield* wake_all(sc.sc_decrypt);
	},
};
