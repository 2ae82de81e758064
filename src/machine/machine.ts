/**
 * The machine: CPUs, clock and event queue, costs, random numbers, chooser and fingerprint of one run.
 */
import type { Chooser } from "./chooser.ts";
import type { Costs } from "./cost/costs.ts";
import { type CostOverrides, resolveCosts } from "./cost/table.ts";
import { Cpu } from "./cpu.ts";
import { EventQueue } from "./event.ts";
import { Fingerprint } from "./fingerprint.ts";
import { LEAD_NS } from "./lead.ts";
import type { MachineProfile } from "./profile.ts";
import { RandomStreams } from "./random.ts";
import type { WireEnd } from "./wire.ts";

export const MAX_CPUS = 256;

export interface MachineOptions {
	readonly profile: MachineProfile;
	/** number of CPUs, 1 to 256; the profile's when left out */
	readonly cpus?: number;
	readonly seed?: number;
	readonly chooser?: Chooser;
	/** constants in place of the profile's, for sensitivity studies */
	readonly costs?: CostOverrides;
	/**
	 * how far ahead of the clock a thread may act on shared memory, ns; LEAD_NS when left out. 0 orders every access, at up to
	 * 1.4 times the host time.
	 */
	readonly lead_ns?: number;
	/** of several machines in one run, all but the first have a name: their random numbers are others */
	readonly name?: string;
}

export class Machine {
	readonly profile: MachineProfile;
	readonly cpus: readonly Cpu[];
	readonly events = new EventQueue();
	readonly costs: Costs;
	readonly random: RandomStreams;
	readonly fingerprint = new Fingerprint();
	/** this machine's ends of the cables to others, in the order of the cards they are plugged into */
	readonly wires: WireEnd[] = [];
	readonly lead_ns: number;
	readonly name: string;
	/** inter-processor interrupts sent */
	ipis = 0;
	/** synchronisations a thread passed without waiting for the queue: events all the same, only cheaper for the host */
	inline_events = 0;
	/** those it passed ahead of the clock: cheaper still */
	ahead_events = 0;
	/** `run` stops here, ns; no thread may run ahead of it */
	horizon = Number.POSITIVE_INFINITY;

	constructor(options: MachineOptions) {
		const count = options.cpus ?? options.profile.cpus;
		if (!Number.isInteger(count) || count < 1 || count > MAX_CPUS)
			throw new RangeError(`cpus: ${count} is not 1..${MAX_CPUS}`);
		this.profile = options.profile;
		this.cpus = Array.from({ length: count }, (_, id) => new Cpu(id, options.profile));
		this.costs = resolveCosts(options.profile.ghz, options.profile.cycle_factor, {
			...options.profile.costs,
			...options.costs,
		});
		this.lead_ns = options.lead_ns ?? LEAD_NS;
		this.name = options.name ?? "";
		this.random = new RandomStreams(options.seed ?? 1, this.name);
		this.events.chooser = options.chooser ?? null;
	}

	/** simulated events so far: fired from the queue or passed, so about as many whatever the lead */
	get event_count(): number {
		return this.events.fired + this.inline_events + this.ahead_events;
	}

	get now(): number {
		return this.events.now;
	}

	/** Runs until `time` (ns), or until nothing is left to happen. */
	run(time: number): void {
		this.horizon = time;
		const events = this.events;
		while (events.step(time));
		if (events.now < time && time !== Number.POSITIVE_INFINITY) events.now = time;
	}
}
