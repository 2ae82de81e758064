/**
 * What happens in the machines: two ends with a tunnel between them, iperf3's server on one and its client on the other. The ends are
 * jails on one machine, joined by an epair, or machines of their own, joined by a cable. It is done with the programs a person
 * would use.
 */
import { V_ifnet } from "../src/kernel/ifnet/if.ts";
import { IFCOUNTER_IPACKETS, type ifnet } from "../src/kernel/ifnet/if_var.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../src/kernel/lock/epoch.ts";
import { CURVNET_RESTORE, CURVNET_SET } from "../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../src/kernel/sched/thread.ts";
import { iperf3_stats } from "../src/userland/iperf3.ts";
import { type process, wait4 } from "../src/userland/process.ts";
import {
	type testbed,
	testbed_destroy,
	testbed_exec,
	testbed_keys,
	testbed_machine,
	testbed_machine_destroy,
	type testbed_side,
	testbed_two_jails,
} from "../src/userland/testbed.ts";
import type { RunOptions } from "./options.ts";

/** Headers of IPv4 and UDP, and of IPv4 and TCP with timestamps: what an MTU has less of payload. */
const UDP_HEADERS = 28;
const TCP_HEADERS = 52;
/** What the server has time for, to be there when the client comes. */
const SERVER_START_NS = 2_000_000;
/** iperf3 goes on for so long after the measured interval, so that nothing of its end is in it. */
const AFTER_NS = 1_000_000;
/** Connections say goodbye in this time; a jail removed under them would keep the half that waits for ten minutes. */
const GOODBYE_NS = 50_000_000;
/** On machines of their own they are waited for until they are forgotten: twice net.inet.tcp.msl, see run.ts. */
const TIME_WAIT_NS = 1_200_000_000;

export class Scenario {
	protected readonly options: RunOptions;
	protected bed: testbed | null = null;
	protected server: process | null = null;
	protected client: process | null = null;
	protected interfaces: ifnet[] = [];

	constructor(options: RunOptions) {
		this.options = options;
	}

	/** Payload of a packet of full size. */
	get payloadSize(): number {
		const { udp, length, mtu } = this.options;
		if (!udp) return mtu - TCP_HEADERS;
		return length > 0 ? length : mtu - UDP_HEADERS;
	}

	protected clientCommand(address: string): string {
		const { udp, reverse, streams, bandwidth_bps, duration_ns, warmup_ns } = this.options;
		const words = [`iperf3 -c ${address} -t ${warmup_ns + duration_ns + AFTER_NS}ns -i 0 -P ${streams}`];
		if (udp) words.push(`-u -l ${this.payloadSize}`);
		if (udp || bandwidth_bps > 0) words.push(`-b ${bandwidth_bps}`);
		if (reverse) words.push("-R");
		return words.join(" ");
	}

	/** For each machine, what builds its part of the network and starts its programs. Called in the first one. */
	setups(): (() => Blocking<void>)[] {
		return [() => this.setup()];
	}

	/** For each machine, what waits for its programs to end and takes its part of the network down. */
	teardowns(): (() => Blocking<void>)[] {
		return [() => this.teardown()];
	}

	/** Builds the network and starts the programs. */
	protected *setup(): Blocking<void> {
		const bed = yield* testbed_two_jails({ mtu: this.options.mtu });
		this.bed = bed;
		const [near, far] = bed.sides;
		this.interfaces = bed.sides.map(tunnelOf);
		this.server = testbed_exec(far, "iperf3 -s -1");
		yield* pause_sbt("server", SERVER_START_NS);
		this.client = testbed_exec(near, this.clientCommand(far.address));
	}

	/** When data began to flow, ns since boot; 0 before. */
	get startedAt(): number {
		return this.client === null ? 0 : (iperf3_stats(this.client)?.start_ns ?? 0);
	}

	/** Payload the receiving program has read so far. */
	get bytesReceived(): number {
		const receiver = this.options.reverse ? this.client : this.server;
		return receiver === null ? 0 : (iperf3_stats(receiver)?.bytes_received ?? 0);
	}

	/** Packets that came out of either end of the tunnel so far. */
	get packetsReceived(): number {
		return this.interfaces.reduce((sum, ifp) => sum + ifp.if_get_counter(ifp, IFCOUNTER_IPACKETS), 0);
	}

	/** What a program that failed had to say; empty if none has. */
	complaint(): string {
		for (const proc of [this.client, this.server]) {
			if (proc?.p_exited && proc.p_xstat !== 0)
				return `${proc.p_comm} exited with ${proc.p_xstat}: ${proc.errors.join("; ")}`;
		}
		return "";
	}

	/** Waits for the programs to end, and takes the network down. */
	protected *teardown(): Blocking<void> {
		for (const proc of [this.client, this.server]) if (proc !== null) yield* wait4(proc);
		yield* pause_sbt("goodbye", GOODBYE_NS);
		this.interfaces = [];
		if (this.bed !== null && !(yield* testbed_destroy(this.bed))) throw new Error("a jail would not go");
		// what was freed last waits for readers that are long gone
		yield* NET_EPOCH_DRAIN_CALLBACKS();
	}
}

/** The same on two machines: the client on the first, the server on the second. */
class TwoMachines extends Scenario {
	private readonly beds: (testbed | null)[] = [null, null];

	override setups(): (() => Blocking<void>)[] {
		const keys = testbed_keys();
		return [() => this.setupNear(keys), () => this.setupFar(keys)];
	}

	override teardowns(): (() => Blocking<void>)[] {
		return [() => this.teardownOf(0), () => this.teardownOf(1)];
	}

	private *build(which: 0 | 1, keys: readonly [Uint8Array, Uint8Array]): Blocking<testbed> {
		const bed = yield* testbed_machine({ mtu: this.options.mtu }, which, keys);
		this.beds[which] = bed;
		this.interfaces[which] = tunnelOf(bed.sides[which]);
		return bed;
	}

	private *setupNear(keys: readonly [Uint8Array, Uint8Array]): Blocking<void> {
		const { sides } = yield* this.build(0, keys);
		// both build at once, and neither knows when the other is done
		yield* pause_sbt("server", 2 * SERVER_START_NS);
		this.client = testbed_exec(sides[0], this.clientCommand(sides[1].address));
	}

	private *setupFar(keys: readonly [Uint8Array, Uint8Array]): Blocking<void> {
		const { sides } = yield* this.build(1, keys);
		this.server = testbed_exec(sides[1], "iperf3 -s -1");
	}

	private *teardownOf(which: 0 | 1): Blocking<void> {
		const proc = which === 0 ? this.client : this.server;
		if (proc !== null) yield* wait4(proc);
		yield* pause_sbt("goodbye", TIME_WAIT_NS);
		const bed = this.beds[which];
		if (bed !== null) yield* testbed_machine_destroy(bed, which);
		yield* NET_EPOCH_DRAIN_CALLBACKS();
	}
}

export function makeScenario(options: RunOptions): Scenario {
	return options.hosts === 2 ? new TwoMachines(options) : new Scenario(options);
}

function tunnelOf(side: testbed_side): ifnet {
	const saved = CURVNET_SET(side.jail.pr_vnet);
	const ifp = V_ifnet().find((candidate) => candidate.if_xname === side.wg);
	CURVNET_RESTORE(saved);
	if (ifp === undefined) throw new Error(`no ${side.wg} in jail ${side.jail.pr_name}`);
	return ifp;
}
