import { defineCosts } from "./cost.ts";

/** Scheduler, sleep queues, task queues, callouts and locks beyond the bare atomics. */
export const scheduler_costs = defineCosts({
	sleepq_wakeup: {
		value: 120,
		range: [60, 300],
		unit: "cycles",
		source:
			"chain lock, hash and list walk of wakeup_any; netbenches PMC: 0.077 of an AEAD per packet on Silvermont, with about one in two packets waking",
	},
	sched_add: {
		value: 250,
		range: [120, 600],
		unit: "cycles",
		source:
			"sched_pickcpu over one topology level, runq_add, tdq_notify; instruction estimate, no published figure (calibration 0.7)",
	},
	sched_add_lines: {
		value: 6,
		range: [4, 15],
		unit: "count",
		source:
			"cache lines a wakeup takes from the target CPU, a count, times line_transfer: of 15 that it wrote last (13.0's sleepqueue, struct thread, tdq, pcpu), those that wait for one another by atomics or pointers: sleep queue chain, sleepqueue, thread, tdq_lock, tdq with run queue, flags of its running thread; with sleepq_wakeup and sched_add 970 cycles, 1200 in Linux for a call queued to a polling CPU (lkml 2012-02-06)",
	},
	sleepq_sleep: {
		value: 200,
		range: [100, 500],
		unit: "cycles",
		source: "sleepq_add, sleepq_switch; netbenches PMC: taskqueue sleep and switch 0.089 of an AEAD per packet",
	},
	idle_poll: {
		value: 60,
		range: [20, 200],
		unit: "cycles",
		source: "sched_idletd leaving its polling loop: one spinwait, the missed branch, sched_switch entry; estimate",
	},
	taskqueue_loop: {
		value: 60,
		range: [30, 150],
		unit: "cycles",
		source:
			"gtaskqueue_run_locked per task: 0.054 of an AEAD per packet on Silvermont (netbenches PMC), scaled to the reference core",
	},
	taskqueue_enqueue: {
		value: 40,
		range: [20, 100],
		unit: "cycles",
		source:
			"GROUPTASK_ENQUEUE without its lock and wakeup: worker to p_send enqueue is 0.033 of an AEAD (netbenches PMC)",
	},
	task_flag_read: {
		value: 5,
		range: [2, 10],
		unit: "cycles",
		source:
			"loop iteration over a task's ta_flags, a load and a branch; the line's transfer is charged apart (charge_task)",
	},
	callout_reset: {
		value: 120,
		range: [60, 300],
		unit: "cycles",
		source: "callout_reset_tick_on without its lock: bucket list operations; instruction estimate",
	},
	softclock: {
		value: 150,
		range: [80, 400],
		unit: "cycles",
		source: "softclock_call_cc per callout; instruction estimate",
	},
	turnstile: {
		value: 400,
		range: [200, 1000],
		unit: "cycles",
		source:
			"turnstile_wait or turnstile_broadcast: two spin locks, sorted insert, priority lending; instruction estimate",
	},
	lock_delay: {
		value: 30,
		range: [20, 150],
		unit: "cycles",
		source:
			"average overshoot of a spinning waiter: lock_delay's back-off; 0.009 of an AEAD in the netbenches PMC profile",
	},
	epoch: {
		value: 25,
		range: [10, 60],
		unit: "cycles",
		source: "epoch_enter_preempt or exit: per-CPU record, no shared line; instruction estimate",
	},
	swi_sched: {
		value: 60,
		range: [30, 150],
		unit: "cycles",
		source: "intr_event_schedule_thread before the scheduler; instruction estimate",
	},
	rendezvous: {
		value: 3000,
		range: [1500, 10000],
		unit: "cycles",
		source: "smp_rendezvous_cpus wait per rm_wlock: IPI send and handled, 3645 cycles (KVM IPIv v7)",
	},
});
