/**
 * One run, from the options to the result: a machine or two, a kernel on each, both ends of a tunnel, iperf3 at them.
 *
 * The measured interval begins when data has flowed for the warm-up and lasts exactly the duration; iperf3 goes on a little
 * longer. Then everything is taken down, and no mbuf, zone item or allocation may be left.
 */

import { WG_GENERATION_TUNABLE } from "../src/dev/wg/generation.ts";
import { boot, run, runTogether, runTogetherUntilExit, runUntilExit, spawn } from "../src/kernel/boot.ts";
import { mb_zones } from "../src/kernel/mbuf/mb_zones.ts";
import { uma_leaks } from "../src/kernel/mbuf/uma.ts";
import { type Kernel, KernelPanic, set_curkernel } from "../src/kernel/sched/kernel.ts";
import type { Blocking } from "../src/kernel/sched/thread.ts";
import { Fingerprint } from "../src/machine/fingerprint.ts";
import { Machine, type MachineOptions } from "../src/machine/machine.ts";
import { findProfile, type MachineProfile } from "../src/machine/profile.ts";
import { connect } from "../src/machine/wire.ts";
import { costOverrides } from "./costs.ts";
import { type Driver, type LoadedPolicy, loadDriver, loadPolicy } from "./driver.ts";
import { Drops } from "./drops.ts";
import { inEach } from "./each.ts";
import "./generic.ts";
import { energyProxy } from "./energy.ts";
import { PanicError } from "./errors.ts";
import { Exports } from "./export/exports.ts";
import type { ExportPlan } from "./export/plan.ts";
import { installHost } from "./host/host.ts";
import { type CpuTime, type Measured, Metrics } from "./metrics.ts";
import { commandLine, type RunOptions, settingsKey } from "./options.ts";
import { LockWatch, panicReport } from "./panic.ts";
import type { RunResult, Timed } from "./result.ts";
import { makeScenario, type Scenario } from "./scenario.ts";
import { type Stretch, StretchRecorder } from "./stretch.ts";
import type { Watcher } from "./watcher.ts";

/** A step of simulated time in which to look whether something has happened. */
const STEP_NS = 100_000;
/** The network must be up, and data flowing, before this has passed. */
const SETUP_LIMIT_NS = 20_000_000_000;
/** Programs must end, and the network be down, before this has passed. */
const TEARDOWN_LIMIT_NS = 400_000_000_000;
/** net.inet.tcp.msl, ms: closed connections keep their jails for twice as long, and nobody is here to watch that. */
const MSL_MS = "500";
/** After that, what waits for the end of an epoch section is freed within a few clock ticks. */
const SETTLE_NS = 100_000_000;

/** The second of two machines; the first needs no name. */
const SECOND = "second machine";
/** packets the second machine sends are numbered from here */
const SECOND_PACKETS = 2 ** 30;

/** A run under way: what the ways of looking at one have in common. */
export class Run {
	readonly options: RunOptions;
	readonly profile: MachineProfile;
	/** a kernel on each machine, the client's first */
	readonly hosts: readonly Kernel[];
	readonly scenario: Scenario;

	constructor(options: RunOptions, driver: Driver, policy: LoadedPolicy, scenario = makeScenario(options)) {
		this.options = options;
		this.profile = findProfile(options.machine)!;
		const first = this.makeMachine();
		for (const char of settingsKey(options, policy.name)) first.fingerprint.add(0, char.codePointAt(0)!);
		const machines = [first];
		if (options.hosts === 2) {
			machines.push(this.makeMachine({ name: SECOND }));
			connect(machines[0], machines[1]);
		}
		this.hosts = machines.map((machine, i) =>
			boot(machine, {
				release: options.release,
				cost_only: options.cost_only,
				...(i > 0 ? { first_packet_id: SECOND_PACKETS } : {}),
				tunables: {
					epair: options.epair,
					"net.inet.tcp.msl": MSL_MS,
					[WG_GENERATION_TUNABLE]: options.generation,
					"hw.wg.crypto": options.crypto,
					[driver.WG_DISPATCH_TUNABLE]: policy.key,
				},
			}),
		);
		set_curkernel(this.kernel);
		this.scenario = scenario;
	}

	private makeMachine(more: Pick<MachineOptions, "name"> = {}): Machine {
		const { cpus, seed, costs, lead_ns } = this.options;
		return new Machine({
			profile: this.profile,
			cpus,
			seed,
			costs: costOverrides(costs, this.profile),
			...(lead_ns === null ? {} : { lead_ns }),
			...more,
		});
	}

	/** The client's kernel; the only one, unless there are two machines. */
	get kernel(): Kernel {
		return this.hosts[0];
	}

	get machine(): Machine {
		return this.kernel.machine;
	}

	/** Of everything that was scheduled so far, on all machines. */
	get fingerprint(): string {
		if (this.hosts.length === 1) return this.machine.fingerprint.toString();
		const all = new Fingerprint();
		for (const { machine } of this.hosts) all.absorb(machine.fingerprint);
		return all.toString();
	}

	/** Simulated events so far, on all machines. */
	get events(): number {
		return this.hosts.reduce((sum, { machine }) => sum + machine.event_count, 0);
	}

	/** Those of them that came out of a queue. */
	get fired(): number {
		return this.hosts.reduce((sum, { machine }) => sum + machine.events.fired, 0);
	}

	/** Starts a thread on each machine and lets time pass until all have ended. @returns whether they did */
	private together(mains: readonly (() => Blocking<void>)[], limit_ns: number): boolean {
		const threads = mains.map((main, i) => spawn(this.hosts[i], "testbed", main));
		if (this.hosts.length === 1) return runUntilExit(this.kernel, threads[0], limit_ns);
		return runTogetherUntilExit(this.hosts, threads, STEP_NS, limit_ns);
	}

	/** Builds the network, starts the programs, and returns when data flows. */
	begin(): void {
		if (!this.together(this.scenario.setups(), SETUP_LIMIT_NS)) throw new KernelPanic("the testbed was never ready");
		const limit = this.machine.now + SETUP_LIMIT_NS;
		while (this.scenario.startedAt === 0) {
			if (this.machine.now > limit) throw new KernelPanic(`no data ever flowed: ${this.scenario.complaint()}`);
			this.pass(STEP_NS);
		}
	}

	/** Lets time pass until `time`. The client's kernel is the current one then. */
	private passTo(time: number): void {
		if (this.hosts.length === 1) {
			run(this.kernel, time);
			return;
		}
		runTogether(this.hosts, time);
		set_curkernel(this.kernel);
	}

	/** Lets `ns` pass. */
	pass(ns: number): void {
		this.passTo(this.machine.now + ns);
	}

	/** Lets time pass until `ns` after the data began to flow. */
	passUntil(ns: number): void {
		this.passTo(Math.max(this.machine.now, this.scenario.startedAt + ns));
	}

	/** Ends programs and network, and gives the memory of packets back; panics if anything is left. */
	end(): void {
		if (!this.together(this.scenario.teardowns(), TEARDOWN_LIMIT_NS)) {
			throw new KernelPanic("the testbed never came down");
		}
		this.pass(SETTLE_NS);
		const failure = this.scenario.complaint();
		if (failure !== "") throw new KernelPanic(failure);
		inEach(this.hosts, () => {
			const leaks = uma_leaks().map((leak) => `${leak.used} of ${leak.zone}`);
			if (leaks.length > 0) throw new KernelPanic(`memory left at the end of the run: ${leaks.join(", ")}`);
			mb_zones().destroy();
		});
	}
}

function sum(cpus: readonly CpuTime[], field: Exclude<keyof CpuTime, "cstate_ns" | "cpu">): number {
	return cpus.reduce((total, cpu) => total + cpu[field], 0);
}

function resultOf(run: Run, measured: Measured, bytes: number, drops: Record<string, number>): RunResult {
	const { options, profile, machine } = run;
	const cpus = measured.per_cpu;
	const { tasks_scheduled, tasks_useful, tasks_run, tasks_coalesced } = measured;
	return {
		policy: options.policy,
		crypto: options.crypto,
		cpus: options.cpus,
		machine: options.machine,
		hosts: options.hosts,
		release: options.release,
		generation: options.generation,
		epair: options.epair,
		seed: options.seed,
		protocol: options.udp ? "udp" : "tcp",
		streams: options.streams,
		reverse: options.reverse,
		mtu: options.mtu,
		duration_ns: options.duration_ns,
		warmup_ns: options.warmup_ns,
		cost_only: options.cost_only,
		costs: options.costs,
		lead_ns: machine.lead_ns,
		tasks_scheduled,
		tasks_useful,
		useful_task_share: tasks_scheduled === 0 ? 0 : tasks_useful / tasks_scheduled,
		tasks_run,
		tasks_coalesced,
		packets_per_useful_run: tasks_useful === 0 ? 0 : measured.packets / tasks_useful,
		throughput_bps: Math.round((bytes * 8e9) / options.duration_ns),
		segments: measured.delivered,
		wakeups: measured.wakeups,
		cpu_wakeups: sum(cpus, "halt_exits"),
		ipis: measured.ipis,
		context_switches: sum(cpus, "context_switches"),
		cpu_busy_ns: sum(cpus, "busy_ns"),
		cpu_wasted_ns: sum(cpus, "wasted_ns"),
		cpu_spin_ns: sum(cpus, "spin_ns"),
		cpu_switch_ns: sum(cpus, "switch_ns"),
		cpu_interrupt_ns: sum(cpus, "interrupt_ns"),
		cpu_wake_ns: sum(cpus, "wake_ns"),
		cpu_poll_ns: sum(cpus, "poll_ns"),
		cpu_idle_ns: sum(cpus, "idle_ns"),
		cstates: profile.cstates.map((state, i) => ({
			name: state.name,
			ns: cpus.reduce((total, cpu) => total + cpu.cstate_ns[i], 0),
		})),
		per_cpu: cpus,
		energy_proxy_j: energyProxy(cpus, profile),
		locks: measured.locks,
		latency: measured.latency,
		drops,
		events: run.events,
		fingerprint: run.fingerprint,
		command: commandLine(options),
	};
}

/** The whole run, with everything counted. */
function observed(
	options: RunOptions,
	driver: Driver,
	policy: LoadedPolicy,
	export_plan: ExportPlan | null = null,
	watcher: Watcher | null = null,
): RunResult {
	const run = new Run(options, driver, policy);
	const metrics = new Metrics(driver, run.hosts);
	let exports: Exports | null = null;
	try {
		watcher?.boot?.(policy);
		if (export_plan !== null) exports = new Exports(export_plan, { options, driver, command: commandLine(options) });
		run.begin();
		watcher?.begin?.(driver);
		run.passUntil(options.warmup_ns);
		metrics.mark();
		watcher?.mark?.();
		const drops = new Drops(run.hosts);
		const before = run.scenario.bytesReceived;
		run.pass(options.duration_ns);
		const measured = metrics.read();
		watcher?.end?.();
		const lost = drops.read();
		const bytes = run.scenario.bytesReceived - before;
		run.end();
		exports?.commit();
		return resultOf(run, measured, bytes, lost);
	} finally {
		exports?.abort();
		watcher?.close();
		metrics.close();
	}
}

/** Makes a run that has panicked once more, and looks who held which lock. */
function examine(options: RunOptions, driver: Driver, policy: LoadedPolicy, first: KernelPanic): PanicError {
	const watch = new LockWatch();
	try {
		observed(options, driver, policy);
	} catch (error) {
		const panic = error instanceof KernelPanic ? error : first;
		return new PanicError(panicReport(panic, watch, commandLine(options)));
	} finally {
		watch.close();
	}
	return new PanicError(panicReport(first, null, commandLine(options)));
}

/** The host's libraries do the arithmetic of every kernel of this process. */
let prepared = false;

/** Has the host ready, and loads what a run needs. Throws UsageError if driver or policy are at fault. */
export async function prepare(options: RunOptions): Promise<{ driver: Driver; policy: LoadedPolicy }> {
	if (!prepared) await installHost(process.env);
	prepared = true;
	const driver = await loadDriver(options.driver);
	return { driver, policy: await loadPolicy(driver, options.policy) };
}

/** Makes a run, and the files of `export_plan`, if it comes to its end. Throws PanicError if the kernel panics, UsageError if driver or policy are at fault. */
export async function simulate(
	options: RunOptions,
	export_plan: ExportPlan | null = null,
	watcher: Watcher | null = null,
): Promise<Timed> {
	const { driver, policy } = await prepare(options);
	const began = performance.now();
	try {
		const result = observed(options, driver, policy, export_plan, watcher);
		return { result, host_seconds: (performance.now() - began) / 1000 };
	} catch (error) {
		if (!(error instanceof KernelPanic)) throw error;
		throw examine(options, driver, policy, error);
	}
}

/** The first `length_ns` of the measured interval, CPU by CPU. The rest of the run is not made. */
export async function recordStretch(options: RunOptions, length_ns: number): Promise<Stretch> {
	return watch(options, (run, driver) => {
		run.begin();
		const recorder = new StretchRecorder(driver);
		try {
			run.passUntil(options.warmup_ns);
			const start_ns = run.machine.now - run.scenario.startedAt;
			recorder.begin();
			run.pass(length_ns);
			return recorder.end(options.policy, start_ns);
		} finally {
			recorder.close();
		}
	});
}

/** Sets up a run for somebody who only looks at part of it, and need not see its end. */
export async function watch<T>(options: RunOptions, look: (run: Run, driver: Driver) => T): Promise<T> {
	const { driver, policy } = await prepare(options);
	try {
		return look(new Run(options, driver, policy), driver);
	} catch (error) {
		if (!(error instanceof KernelPanic)) throw error;
		throw examine(options, driver, policy, error);
	}
}

/** What a run costs the host, while nobody listens to any probe. */
export interface Bare {
	/** all of these for the measured interval only */
	readonly host_seconds: number;
	readonly events: number;
	/** those that came out of the queue */
	readonly fired: number;
	/** packets that carry payload of full size, as many as the bytes that arrived make */
	readonly data_segments: number;
	/** packets out of either tunnel, acknowledgements included */
	readonly packets: number;
}

/** The same run without counters, for benchmarks. */
export async function runBare(options: RunOptions): Promise<Bare> {
	const { driver, policy } = await prepare(options);
	const run = new Run(options, driver, policy);
	run.begin();
	run.passUntil(options.warmup_ns);
	set_curkernel(run.kernel);
	const bytes = run.scenario.bytesReceived;
	const packets = run.scenario.packetsReceived;
	const { events, fired } = run;
	const began = performance.now();
	run.pass(options.duration_ns);
	const host_seconds = (performance.now() - began) / 1000;
	const bare = {
		host_seconds,
		events: run.events - events,
		fired: run.fired - fired,
		data_segments: Math.floor((run.scenario.bytesReceived - bytes) / run.scenario.payloadSize),
		packets: run.scenario.packetsReceived - packets,
	};
	run.end();
	return bare;
}
