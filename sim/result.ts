/** What a run gives: everything in it is a function of the options, so two runs of the same options give the same text. */

import type { CostValues } from "./costs.ts";
import type { Distribution } from "./latency.ts";
import type { CpuTime, LockUse } from "./metrics.ts";

export interface RunResult {
	policy: string;
	crypto: string;
	cpus: number;
	machine: string;
	/** machines of that kind; `cpus` is how many CPUs each has, everything else is of all of them together */
	hosts: number;
	release: string;
	generation: string;
	epair: string;
	seed: number;
	protocol: "tcp" | "udp";
	streams: number;
	reverse: boolean;
	mtu: number;
	duration_ns: number;
	warmup_ns: number;
	cost_only: boolean;
	/** constants of the cost model that differ from the machine's own */
	costs: CostValues;
	/** how far ahead of the clock a thread could act on shared memory */
	lead_ns: number;

	/** encrypt and decrypt tasks put on a queue; those whose run found a packet; the share */
	tasks_scheduled: number;
	tasks_useful: number;
	useful_task_share: number;
	/** runs of these tasks: differs from tasks_scheduled by those under way at either end */
	tasks_run: number;
	/** enqueues of a task that was queued already */
	tasks_coalesced: number;
	packets_per_useful_run: number;

	/** payload that reached the receiving program */
	throughput_bps: number;
	/** packets that came out of a tunnel, both directions: data segments, acknowledgements, datagrams */
	segments: number;
	/** threads woken */
	wakeups: number;
	/** CPUs woken out of a halt */
	cpu_wakeups: number;
	ipis: number;
	context_switches: number;

	cpu_busy_ns: number;
	/** part of busy: the driver's task threads, from being switched in to being switched out, when no task found work */
	cpu_wasted_ns: number;
	cpu_spin_ns: number;
	cpu_switch_ns: number;
	cpu_interrupt_ns: number;
	cpu_wake_ns: number;
	cpu_poll_ns: number;
	/** halted */
	cpu_idle_ns: number;
	cstates: { name: string; ns: number }[];
	per_cpu: CpuTime[];
	energy_proxy_j: number;

	/** most waited for first */
	locks: LockUse[];
	latency: { stage: string; distribution: Distribution }[];
	/** by reason; only those that happened */
	drops: Record<string, number>;

	/** simulated events of the whole run, warm-up and tear-down included */
	events: number;
	fingerprint: string;
	/** the line that repeats this run */
	command: string;
}

/** A result, and what it took to get it, which is no part of it. */
export interface Timed {
	readonly result: RunResult;
	readonly host_seconds: number;
}
