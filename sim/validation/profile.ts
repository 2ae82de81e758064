/**
 * Where the time goes on a router under full load: the PMC profile of a C2558, stage by stage, relative to a packet's AEAD.
 *
 * The AEAD of ours is what its constants say for a packet of that length; the rest of a task is what remains of its CPU time.
 */
import { all_costs, type Costs, resolveCosts } from "../../src/machine/cost/table.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { parseRunOptions, type RunOptions } from "../options.ts";
import { EXPECTED } from "../published.ts";
import type { RunResult } from "../result.ts";
import { runWatched } from "../run.ts";
import { StageTimes } from "../stages.ts";
import { percent } from "../units.ts";
import { agreement, type Check, type Row, within } from "./check.ts";

/** 500 bytes of payload are 528 of IP packet, and padded to a multiple of 16. */
const PACKET_BYTES = 528;

/** What one machine can be made to do for this: many streams of small datagrams, more than it can take. */
const ROUTER: RunOptions = parseRunOptions({
	machine: "atom-c2758",
	cpus: "4",
	policy: "all-cpus",
	crypto: "ossl",
	udp: true,
	streams: "16",
	length: "500",
	bandwidth: "100M",
	costOnly: true,
});

const SHALLOW =
	"Ours feeds the tunnel from a program on the same CPUs: the queue is shallow and tasks sleep and are woken. Theirs was fed by a card: the queue was deep, and tasks were mostly enqueued already.";

/** ns the AEAD of one packet takes. */
export function aeadNs(costs: Costs): number {
	return costs.chapoly_ossl_setup + (PACKET_BYTES * costs.chapoly_ossl) / 1000;
}

/** Ours within a factor of what was published. */
function like(value: number, published: number): boolean {
	return within(value, [published / EXPECTED.stage_within, published * EXPECTED.stage_within]);
}

function judgeProfile(times: StageTimes, run: RunResult): Row[] {
	const profile = findProfile(run.machine)!;
	const costs = resolveCosts(profile.ghz, profile.cycle_factor, profile.costs);
	const aead = aeadNs(costs);
	/** time for each packet that was encrypted, AEAD = 1 */
	const relative = (ns: number): number => ns / times.encrypted / aead;
	const total_ns = run.cpus * run.duration_ns;
	const send = [...times.tasks["wg send"]].map((ns) => ns / run.duration_ns);
	const hottest = Math.max(...send);
	const average = send.reduce((sum, share) => sum + share, 0) / run.cpus;
	const encrypt_other = relative(times.total("wg encrypt")) - 1;
	const deliver_out = relative(times.total("wg send"));
	const dispatch = relative(times.dispatch_ns);
	const task_loop = costs.taskqueue_loop / aead;
	const interrupts = run.cpu_interrupt_ns / run.cpu_busy_ns;
	return [
		{
			name: "pmc_hot_cpu",
			ours: `${percent(hottest)}; ${percent(average)}`,
			verdict: agreement(hottest > EXPECTED.hot_cpu_above * average),
			why: `One task, bound to one CPU, sends a peer's packets: the same structure. How hot it gets differs: ${percent(run.throughput_bps / 607.4e6)} of their rate, because ours also sends, decrypts and receives.`,
		},
		{
			name: "pmc_encrypt_other",
			ours: encrypt_other.toFixed(3),
			verdict: agreement(like(encrypt_other, EXPECTED.encrypt_other)),
			why: `Locks, waking wg_deliver_out and mbufs whose lines another CPU has. ${SHALLOW}`,
		},
		{
			name: "pmc_deliver_out",
			ours: deliver_out.toFixed(3),
			verdict: agreement(like(deliver_out, EXPECTED.deliver_out)),
			why: "Ours sends into epair, which wakes its netisr thread, where theirs put the packet into a card's ring.",
		},
		{
			name: "pmc_dispatch",
			ours: dispatch.toFixed(3),
			verdict: agreement(like(dispatch, EXPECTED.dispatch)),
			why: SHALLOW,
		},
		{
			name: "pmc_task_loop",
			ours: task_loop.toFixed(3),
			verdict: agreement(like(task_loop, EXPECTED.task_loop)),
			why: `From the constant (${all_costs.taskqueue_loop.value} cycles of the reference core), for one task a packet; its locks are charged apart.`,
		},
		{
			name: "pmc_interrupts",
			ours: percent(interrupts),
			verdict: agreement(like(interrupts, EXPECTED.interrupts)),
			why: "Theirs had the card's interrupts, ours has those between CPUs, which a shallow queue makes many of.",
		},
		{
			name: "pmc_idle",
			ours: percent(run.cpu_poll_ns / total_ns),
			verdict: "cannot be compared",
			why: "How idle a machine is depends on what else it does: ours also runs the programs.",
		},
	];
}

export function profileCheck(duration_ns: number): Check {
	const options = { ...ROUTER, duration_ns };
	return {
		title: "Where the time goes",
		work: "All-cpus with ossl on 4 Atom cores, 16 UDP streams with 500 bytes of payload, more than it can take.",
		jobs: [],
		judge: async () => {
			const times = new StageTimes(options.cpus);
			return judgeProfile(times, await runWatched(options, times));
		},
	};
}
