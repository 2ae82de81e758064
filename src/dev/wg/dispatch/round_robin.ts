/**
 * The policy of ddc22da: wake the task of one CPU, the next after the last one.
 *
 * The iterators are read and written without a lock, so two callers may pick the same CPU or an update may be lost.
 * Upstream says the race does not matter; every access is a preemption point here, so a schedule that shows it exists.
 *
 * @see if_wg.c wg_encrypt_dispatch and wg_decrypt_dispatch at ddc22da
 */
import { load, store } from "../../../kernel/lock/atomic.ts";
import { mp_ncpus } from "../../../kernel/sched/kernel.ts";
import type { Blocking } from "../../../kernel/sched/thread.ts";
import { GROUPTASK_ENQUEUE } from "../../../kernel/taskqueue/gtaskqueue.ts";
import type { wg_softc } from "../if_wg_var.ts";
import type { dispatch_policy } from "./policy.ts";

function* wg_encrypt_dispatch(sc: wg_softc): Blocking<void> {
	const cpu = ((yield* load(sc, "sc_encrypt_last_cpu")) + 1) % mp_ncpus();
	yield* store(sc, "sc_encrypt_last_cpu", cpu);
	yield* GROUPTASK_ENQUEUE(sc.sc_encrypt[cpu]);
}

function* wg_decrypt_dispatch(sc: wg_softc): Blocking<void> {
	const cpu = ((yield* load(sc, "sc_decrypt_last_cpu")) + 1) % mp_ncpus();
	yield* store(sc, "sc_decrypt_last_cpu", cpu);
	yield* GROUPTASK_ENQUEUE(sc.sc_decrypt[cpu]);
}

export const round_robin: dispatch_policy = {
	name: "round-robin",
	description: "wake one CPU, the next in turn (ddc22da, the driver since 2022)",
	encrypt_dispatch: wg_encrypt_dispatch,
	decrypt_dispatch: wg_decrypt_dispatch,
};
