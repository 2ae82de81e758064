/**
 * What happens in the machine: two jails joined by an epair with a tunnel over it, iperf3's server in one and its client in
 * the other. It is done with the programs a person would use.
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

export class Scenario {
	protected readonly options: RunOptions;
	protected bed: testbed | null = null;
	private server: process | null = null;
	private client: process | null = null;
	private interfaces: ifnet[] = [];

	constructor(options: RunOptions) {
		this.options = options;
	}

	/** Payload of a packet of full size. */
	get payloadSize(): number {
		const { udp, length, mtu } = this.options;
		if (!udp) return mtu - TCP_HEADERS;
		return length > 0 ? length : mtu - UDP_HEADERS;
	}

	private clientCommand(address: string): string {
		const { udp, reverse, streams, bandwidth_bps, duration_ns, warmup_ns } = this.options;
		const words = [`iperf3 -c ${address} -t ${warmup_ns + duration_ns + AFTER_NS}ns -i 0 -P ${streams}`];
		if (udp) words.push(`-u -l ${this.payloadSize}`);
		if (udp || bandwidth_bps > 0) words.push(`-b ${bandwidth_bps}`);
		if (reverse) words.push("-R");
		return words.join(" ");
	}

	/** Builds the network and starts the programs. */
	*setup(): Blocking<void> {
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
	*teardown(): Blocking<void> {
		for (const proc of [this.client, this.server]) if (proc !== null) yield* wait4(proc);
		yield* pause_sbt("goodbye", GOODBYE_NS);
		this.interfaces = [];
		if (this.bed !== null && !(yield* testbed_destroy(this.bed))) throw new Error("a jail would not go");
		// what was freed last waits for readers that are long gone
		yield* NET_EPOCH_DRAIN_CALLBACKS();
	}
}

function tunnelOf(side: testbed_side): ifnet {
	const saved = CURVNET_SET(side.jail.pr_vnet);
	const ifp = V_ifnet().find((candidate) => candidate.if_xname === side.wg);
	CURVNET_RESTORE(saved);
	if (ifp === undefined) throw new Error(`no ${side.wg} in jail ${side.jail.pr_name}`);
	return ifp;
}
