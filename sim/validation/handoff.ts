/**
 * What handing a packet to another thread costs: four CPUs, each with a thread that receives packets as fast as it can, as four
 * queues of a network card would. Packets take the work of forwarding one, at once or after a hop through netisr(9).
 */
import { boot, runUntilExit, spawn } from "../../src/kernel/boot.ts";
import { V_loif } from "../../src/kernel/ifnet/if_loop.ts";
import { NETISR_POLICY_FLOW, netisr_dispatch, netisr_register } from "../../src/kernel/ifnet/netisr.ts";
import { vnet0 } from "../../src/kernel/jail/vnet.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../src/kernel/lock/epoch.ts";
import {
	M_HASHTYPE_OPAQUE_HASH,
	M_HASHTYPE_SET,
	M_WAITOK,
	MT_DATA,
	m_freem,
	m_gethdr,
} from "../../src/kernel/mbuf/mbuf.ts";
import { CURVNET_RESTORE, CURVNET_SET, KernelPanic, priorities, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { kthread_add_bound } from "../../src/kernel/sched/kthread.ts";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, DONE, sync_exactly } from "../../src/kernel/sched/thread.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { mean } from "../compare.ts";
import { DEFAULT_MACHINE } from "../options.ts";
import "../generic.ts";
// part of every other run's kernel: without it this one would boot differently, depending on what was run before
import "../../src/dev/wg/if_wg.ts";

const CPUS = 4;
/** A number no protocol has. */
const PROTO = 14;
const PACKETS = 20_000;
/** Forwarding a packet, both drivers included, of a Xeon: netbenches firewalls, E5-2650. */
const FORWARD_CYCLES = 1430;
const LIMIT_NS = 1_000_000_000;
const LOOK_NS = 1_000_000;

/** How long PACKETS take the whole machine, ns. */
function elapsed(dispatch: "direct" | "deferred", seed: number): number {
	const profile = findProfile(DEFAULT_MACHINE)!;
	const kernel = boot(new Machine({ profile, cpus: CPUS, seed }), {
		cost_only: true,
		tunables: { "net.isr.dispatch": dispatch, "net.isr.maxthreads": "-1", "net.isr.bindthreads": "1" },
	});
	const work_ns = Math.round(FORWARD_CYCLES / profile.ghz);
	const flows = kernel.machine.random.stream("flows");
	let handled = 0;
	let first_ns = 0;
	let last_ns = 0;
	const nh_handler = (m: Parameters<typeof m_freem>[0]): Blocking<void> => {
		charge(work_ns);
		m_freem(m);
		if (++handled === PACKETS) last_ns = sbinuptime();
		return DONE;
	};
	function* receive(cpu: number): Blocking<void> {
		for (let i = cpu; i < PACKETS; i += CPUS) {
			const m = m_gethdr(M_WAITOK, MT_DATA)!;
			m.m_pkthdr.rcvif = V_loif();
			// which CPU's queue a packet came by says nothing of the thread its flow belongs to
			m.m_pkthdr.flowid = flows.uint32();
			M_HASHTYPE_SET(m, M_HASHTYPE_OPAQUE_HASH);
			NET_EPOCH_ENTER();
			yield* netisr_dispatch(PROTO, m);
			NET_EPOCH_EXIT();
			yield* sync_exactly();
		}
	}
	const main = spawn(kernel, "handoff", function* () {
		netisr_register({
			nh_name: "handoff",
			nh_handler,
			nh_proto: PROTO,
			nh_policy: NETISR_POLICY_FLOW,
			nh_qlimit: PACKETS,
		});
		const saved = CURVNET_SET(vnet0());
		first_ns = sbinuptime();
		for (let cpu = 0; cpu < CPUS; cpu++) kthread_add_bound(receive, cpu, `rx ${cpu}`, priorities().PI_SOFT, cpu);
		while (handled < PACKETS) yield* pause_sbt("handoff", LOOK_NS);
		CURVNET_RESTORE(saved);
	});
	if (!runUntilExit(kernel, main, LIMIT_NS))
		throw new KernelPanic(`handoff: only ${handled} of ${PACKETS} packets arrived`);
	return last_ns - first_ns;
}

export interface Handoff {
	/** packets a second, deferred : direct */
	readonly ratio: number;
	/** CPU cycles a packet takes more when it is handed over */
	readonly hop_cycles: number;
}

/** Averages over the seeds. */
export function measureHandoff(seeds: readonly number[]): Handoff {
	const direct = mean(seeds.map((seed) => elapsed("direct", seed)));
	const deferred = mean(seeds.map((seed) => elapsed("deferred", seed)));
	const { ghz } = findProfile(DEFAULT_MACHINE)!;
	return { ratio: direct / deferred, hop_cycles: ((deferred - direct) * CPUS * ghz) / PACKETS };
}
