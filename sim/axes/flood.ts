/**
 * Handshake initiations from nobody, at the far end of a tunnel that carries a TCP stream. They are rubbish but for the first MAC,
 * which only needs the public key; so each costs the far end a multiplication on the curve, until 512 of them wait. Then it is
 * "under load" for a second, and asks the sender for a cookie instead, which is cheap.
 *
 * All of this is done by one task, whose thread is bound to its CPU. If it can only just keep up, 512 never wait, no cookie is ever
 * asked for, and its CPU has time for little else. What is bound to that CPU waits: encrypt and decrypt tasks that were queued
 * there, and the netisr if it is there, for a thread in a section of net_epoch is pinned, and the netisr is in one until its queue
 * is empty.
 *
 * @see if_wg.c wg_softc_handshake_receive, wg_handshake; kern_intr.c ithread_execute_handlers
 */
import { MAX_QUEUED_HANDSHAKES, wg_softc_handshake_receive } from "../../src/dev/wg/if_wg.ts";
import { V_udpstat } from "../../src/kernel/netinet/udp_var.ts";
import { CURVNET_RESTORE, CURVNET_SET } from "../../src/kernel/sched/kernel.ts";
import { type Blocking, curcpu, TDS_RUNQ, type thread } from "../../src/kernel/sched/thread.ts";
import { sched_enqueue, sched_off_cpu, sched_on_cpu } from "../../src/kernel/sched/ule.ts";
import { type grouptask, gtask_done, gtask_enqueue, gtask_start } from "../../src/kernel/taskqueue/gtaskqueue.ts";
import type { Machine } from "../../src/machine/machine.ts";
import type { Driver } from "../driver.ts";
import { parseRunOptions, type RunOptions } from "../options.ts";
import { table } from "../report/table.ts";
import { describeScenario } from "../report/text.ts";
import { prepare, Run } from "../run.ts";
import { Scenario } from "../scenario.ts";
import { isCryptoTask } from "../stints.ts";
import { gigabits, grouped, percent } from "../units.ts";
import { type Outcome, outcomeOf } from "../worker.ts";
import { InitiationCard } from "./initiations.ts";

/** From so many waiting initiations on the driver is under load. @see if_wg.c wg_handshake */
const UNDERLOAD = MAX_QUEUED_HANDSHAKES / 8;
const POLICIES = ["all-cpus", "round-robin"] as const;
/** Initiations a second; a CPU of these machines deals with about ten thousand that need the curve. */
const RATES = [0, 10_000, 50_000] as const;
/** By then the queue of handshakes is as long as it gets. */
const WARMUP = "150ms";

export interface FloodJob {
	readonly options: RunOptions;
	/** initiations a second */
	readonly rate: number;
}

export interface FloodRow {
	readonly policy: string;
	/** initiations a second: wanted, delivered to the far end, and answered with a cookie */
	readonly rate: number;
	readonly seed: number;
	readonly delivered: number;
	readonly cookies: number;
	readonly throughput_bps: number;
	/** share of the time that the handshake task ran */
	readonly handshakes: number;
	/** mean time from being queued to running of an encrypt or decrypt task, on the handshake task's CPU and on others, ns */
	readonly wait_here_ns: number;
	readonly wait_elsewhere_ns: number;
	/** share of the time that the netisr's thread waited for the handshake task's CPU */
	readonly netisr_waits: number;
}

/** The usual two jails, and initiations that arrive at the far one. */
class FloodScenario extends Scenario {
	private readonly rate: number;
	private card: InitiationCard | null = null;

	constructor(options: RunOptions, rate: number) {
		super(options);
		this.rate = rate;
	}

	/** Lets the flood begin: not before data flows, for under one no connection may come about. */
	begin(): void {
		const [near, far] = this.bed!.sides;
		if (this.rate > 0) this.card = new InitiationCard(far, near.outer, this.rate);
	}

	/** Initiations delivered so far. */
	get delivered(): number {
		return this.card?.delivered ?? 0;
	}

	/** Cookies asked for so far: they come to the near jail, where nobody waits for them. */
	get cookies(): number {
		const saved = CURVNET_SET(this.bed!.sides[0].jail.pr_vnet);
		const { udps_noport } = V_udpstat();
		CURVNET_RESTORE(saved);
		return udps_noport;
	}

	override *teardown(): Blocking<void> {
		this.card?.stop();
		yield* super.teardown();
	}
}

/** Times of one kind: how many, and their sum in ns. */
class Times {
	count = 0;
	total = 0;

	add(ns: number): void {
		this.count++;
		this.total += ns;
	}

	/** ns; 0 of none */
	get mean(): number {
		return this.count === 0 ? 0 : this.total / this.count;
	}
}

type Place = "asleep" | "waiting" | "running";

/** What the handshake task keeps from running. All times in ns. */
class Watch {
	/** time in the handshake task */
	handshakes = 0;
	/** from being queued to running: encrypt and decrypt tasks on the handshake task's CPU, and on the others */
	here = new Times();
	elsewhere = new Times();
	/** the netisr's thread was queued on the handshake task's CPU */
	netisr = 0;
	private readonly machine: Machine;
	private readonly driver: Driver;
	private readonly queued = new Map<grouptask, number>();
	/** the handshake task's CPU, -1 before it has run; and since when it runs and is not counted, -1 while it does not */
	private cpu = -1;
	private began = -1;
	private netisr_place: Place = "asleep";
	private netisr_cpu = -1;
	private netisr_since: number;

	constructor(machine: Machine, driver: Driver) {
		this.machine = machine;
		this.driver = driver;
		this.netisr_since = machine.now;
	}

	/** @returns a function that ends it */
	attach(): () => void {
		const isNetisr = (td: thread): boolean => td.td_name.startsWith("swi1: netisr");
		const detach = [
			gtask_enqueue.listen((gt) => {
				if (isCryptoTask(this.driver, gt)) this.queued.set(gt, this.machine.now);
			}),
			gtask_start.listen((gt) => this.start(gt)),
			gtask_done.listen((gt) => {
				if (!isHandshake(gt)) return;
				this.countHandshakes();
				this.began = -1;
			}),
			sched_enqueue.listen((td, cpu) => {
				if (isNetisr(td)) this.moveNetisr("waiting", cpu);
			}),
			sched_on_cpu.listen((td, cpu) => {
				if (isNetisr(td)) this.moveNetisr("running", cpu);
			}),
			sched_off_cpu.listen((td, cpu) => {
				if (isNetisr(td)) this.moveNetisr(td.td_state === TDS_RUNQ ? "waiting" : "asleep", cpu);
			}),
		];
		return () => {
			for (const one of detach) one();
		};
	}

	/** What has been counted so far is forgotten; what is under way counts from now on. */
	reset(): void {
		this.settle();
		this.handshakes = 0;
		this.netisr = 0;
		this.here = new Times();
		this.elsewhere = new Times();
	}

	/** Counts what is under way, up to now. */
	settle(): void {
		this.countHandshakes();
		this.moveNetisr(this.netisr_place, this.netisr_cpu);
	}

	private start(gt: grouptask): void {
		const { now } = this.machine;
		if (isHandshake(gt)) {
			this.cpu = curcpu();
			this.began = now;
			return;
		}
		const queued = this.queued.get(gt);
		if (queued === undefined) return;
		this.queued.delete(gt);
		(curcpu() === this.cpu ? this.here : this.elsewhere).add(now - queued);
	}

	private countHandshakes(): void {
		if (this.began < 0) return;
		const { now } = this.machine;
		this.handshakes += now - this.began;
		this.began = now;
	}

	private moveNetisr(place: Place, cpu: number): void {
		const { now } = this.machine;
		if (this.netisr_place === "waiting" && this.netisr_cpu === this.cpu) this.netisr += now - this.netisr_since;
		this.netisr_place = place;
		this.netisr_cpu = cpu;
		this.netisr_since = now;
	}
}

function isHandshake(gt: grouptask): boolean {
	return gt.ta_func === wg_softc_handshake_receive;
}

async function measureFlood({ options, rate }: FloodJob): Promise<FloodRow> {
	const { driver, policy } = await prepare(options);
	const scenario = new FloodScenario(options, rate);
	const run = new Run(options, driver, policy, scenario);
	run.begin();
	scenario.begin();
	const watch = new Watch(run.machine, driver);
	const detach = watch.attach();
	run.passUntil(options.warmup_ns);
	const [bytes, delivered, cookies] = [scenario.bytesReceived, scenario.delivered, scenario.cookies];
	watch.reset();
	run.pass(options.duration_ns);
	watch.settle();
	detach();
	const per_s = (count: number): number => (count * 1e9) / options.duration_ns;
	const row = {
		policy: options.policy,
		rate,
		seed: options.seed,
		delivered: per_s(scenario.delivered - delivered),
		cookies: per_s(scenario.cookies - cookies),
		throughput_bps: per_s((scenario.bytesReceived - bytes) * 8),
		handshakes: watch.handshakes / options.duration_ns,
		wait_here_ns: watch.here.mean,
		wait_elsewhere_ns: watch.elsewhere.mean,
		netisr_waits: watch.netisr / options.duration_ns,
	};
	run.end();
	return row;
}

/** What a worker thread does: one row. */
export default function attemptFlood(job: FloodJob): Promise<Outcome<FloodRow>> {
	return outcomeOf(() => measureFlood(job));
}

export function planFlood(machine: string, seeds: readonly number[], duration = "50ms"): FloodJob[] {
	const base = { machine, crypto: "ossl", warmup: WARMUP, duration, costOnly: true };
	return POLICIES.flatMap((policy) => {
		const options = parseRunOptions({ ...base, policy });
		return RATES.flatMap((rate) => seeds.map((seed) => ({ options: { ...options, seed }, rate })));
	});
}

/** ns in us. */
function microseconds(ns: number): string {
	return ns === 0 ? "" : (ns / 1000).toFixed(1);
}

export function renderFlood(options: RunOptions, rows: readonly FloodRow[]): string[] {
	return [
		...describeScenario(options),
		"Handshake initiations from nobody, each second, at the far end of the stream's tunnel. One task deals with them, on one CPU;",
		`when ${UNDERLOAD} wait it asks for cookies instead, which is cheap. Behind it wait, on that CPU, encrypt and decrypt tasks (mean, us; any`,
		"other CPU's could take the packet) and the netisr (share of the time; it cannot leave while it has packets).",
		...table(
			[
				[
					"",
					"initiations",
					"seed",
					"Gb/s",
					"cookies",
					"handshake task",
					"wait there",
					"elsewhere",
					"netisr waits there",
				],
				...rows.map((row) => [
					row.policy,
					grouped(row.rate),
					String(row.seed),
					gigabits(row.throughput_bps),
					grouped(row.cookies),
					percent(row.handshakes),
					microseconds(row.wait_here_ns),
					microseconds(row.wait_elsewhere_ns),
					percent(row.netisr_waits),
				]),
			],
			[0],
		),
	];
}
