/**
 * Routers under full load, with many flows in one tunnel: how much they carry, how that grows with CPUs, and the PMC profile of
 * a C2558, stage by stage, relative to a packet's AEAD.
 *
 * The AEAD of ours is what its constants say for a packet of that length; the rest of a task is what remains of its CPU time.
 */
import type { Costs } from "../../src/machine/cost/costs.ts";
import { all_costs, resolveCosts } from "../../src/machine/cost/table.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { gain } from "../compare.ts";
import { loadDriver } from "../driver.ts";
import { EXPECTED } from "../published.ts";
import { grouped, percent } from "../units.ts";
import { agreement, type Check, type Row, within } from "./check.ts";
import { equilibrium, PACKET_BYTES, type RouterResult } from "./router.ts";

const MACHINE = "atom-c2758";

/** ns the AEAD of one packet takes, with ossl. */
function aeadNs(costs: Costs): number {
	return costs.chapoly_ossl_setup + (PACKET_BYTES * costs.chapoly_ossl) / 1000;
}

/** Ours within a factor of what was published. */
function like(value: number, published: number): boolean {
	return within(value, [published / EXPECTED.stage_within, published * EXPECTED.stage_within]);
}

function sum(values: Iterable<number>): number {
	let total = 0;
	for (const value of values) total += value;
	return total;
}

/** Cycles all CPUs together spend on a packet. */
function cyclesPerPacket({ measured, duration_ns, sent_pps, options }: RouterResult): number {
	const busy_ns = sum(measured.per_cpu.map((cpu) => cpu.busy_ns));
	return (busy_ns * findProfile(options.machine)!.ghz) / ((sent_pps * duration_ns) / 1e9);
}

function megabits(bps: number): string {
	return `${(bps / 1e6).toFixed(0)} Mb/s`;
}

export function judgeRates(four: RouterResult, eight: RouterResult): Row[] {
	const scaling = eight.bps / four.bps - 1;
	const cheaper =
		`A packet costs ours ${grouped(cyclesPerPacket(four))} cycles on 4 CPUs; ` +
		`theirs, if its CPUs were as busy as in the profile, about ${grouped(EXPECTED.c2558_cycles)}.`;
	const rate = (name: "c2558_udp" | "c2758_udp", { bps }: RouterResult): Row => ({
		name,
		ours: megabits(bps),
		verdict: agreement(within(bps, EXPECTED[name])),
		why: cheaper,
	});
	return [
		rate("c2558_udp", four),
		rate("c2758_udp", eight),
		{
			name: "router_scaling",
			ours: gain(scaling),
			verdict: agreement(within(scaling, EXPECTED.router_scaling)),
			why: "The one CPU that sends a peer's packets is the limit with 4 CPUs as with 8. Their two machines had different cards.",
		},
	];
}

/** The profile of a machine under full load. */
export function judgeStages({ times, measured, duration_ns, options }: RouterResult): Row[] {
	const profile = findProfile(options.machine)!;
	const costs = resolveCosts(profile.ghz, profile.cycle_factor, profile.costs);
	const aead = aeadNs(costs);
	/** time for each packet that was encrypted, AEAD = 1 */
	const relative = (ns: number): number => ns / times.encrypted / aead;
	const of = (field: "busy_ns" | "interrupt_ns" | "poll_ns"): number => sum(measured.per_cpu.map((cpu) => cpu[field]));
	const send = [...times.tasks["wg send"]].map((ns) => ns / duration_ns);
	const hottest = Math.max(...send);
	const average = sum(send) / options.cpus;
	const busy = measured.per_cpu.map((cpu) => percent(cpu.busy_ns / duration_ns)).join(", ");
	const encrypt_other = relative(times.total("wg encrypt")) - 1;
	const deliver_out = relative(times.total("wg send"));
	const dispatch = relative(times.dispatch_ns);
	const task_loop = costs.taskqueue_loop / aead;
	const interrupts = of("interrupt_ns") / of("busy_ns");
	const idle = of("poll_ns") / (options.cpus * duration_ns);
	const share = percent(measured.tasks_useful / measured.tasks_scheduled);
	return [
		{
			name: "pmc_hot_cpu",
			ours: `${percent(hottest)}; ${percent(average)}`,
			verdict: agreement(hottest > EXPECTED.hot_cpu_share_above && hottest > EXPECTED.hot_cpu_above * average),
			why: `One task, bound to one CPU, sends a peer's packets. CPUs are busy for ${busy} of the time.`,
		},
		{
			name: "pmc_encrypt_other",
			ours: encrypt_other.toFixed(3),
			verdict: agreement(like(encrypt_other, EXPECTED.encrypt_other)),
			why: "Locks, mbufs and waking wg_deliver_out, the AEAD taken off.",
		},
		{
			name: "pmc_deliver_out",
			ours: deliver_out.toFixed(3),
			verdict: agreement(like(deliver_out, EXPECTED.deliver_out)),
			why: "Both end in a card's ring.",
		},
		{
			name: "pmc_dispatch",
			ours: dispatch.toFixed(3),
			verdict: agreement(like(dispatch, EXPECTED.dispatch)),
			why: `The deeper the queue, the more tasks are enqueued already and skipped. ${share} of ours found work.`,
		},
		{
			name: "pmc_task_loop",
			ours: task_loop.toFixed(3),
			verdict: agreement(like(task_loop, EXPECTED.task_loop)),
			why: `The constant (${all_costs.taskqueue_loop.value} cycles of the reference core) for one task a packet; its locks are charged apart.`,
		},
		{
			name: "pmc_interrupts",
			ours: percent(interrupts),
			verdict: agreement(like(interrupts, EXPECTED.interrupts)),
			why: "The clock's, at most 8000 a second of each of the cards' queues, and those between CPUs.",
		},
		{
			name: "pmc_idle",
			ours: percent(idle),
			verdict: agreement(like(idle, EXPECTED.idle_awake)),
			why: "At the highest rate that loses nothing; at which rate their profile was taken is not recorded.",
		},
	];
}

export function profileCheck(seed: number): Check {
	return {
		title: "Routers",
		work:
			"4 and 8 Atom cores, all-cpus with ossl: packets of 528 bytes and 2000 flows come in from a card, and leave encrypted through one tunnel, " +
			"at the highest rate that loses nothing. Nothing else runs. Stages are of the 4 cores. " +
			"Several constants of the driver were bounded by that profile (`ifwg list costs` says which): its lines check sums, they are no predictions.",
		jobs: [],
		judge: async () => {
			const driver = await loadDriver(null);
			const [four, eight] = [4, 8].map((cpus) =>
				equilibrium(driver, { machine: MACHINE, cpus, policy: "all-cpus", seed }),
			);
			return [...judgeRates(four, eight), ...judgeStages(four)];
		},
	};
}
