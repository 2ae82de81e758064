/**
 * What got lost, by reason, as the machine's own statistics have it: `netstat -i`, `netstat -s`, `netstat -Q`.
 *
 * Retransmissions are no losses, but without a loss there are none: they are listed too.
 */
import { V_ifnet } from "../src/kernel/ifnet/if.ts";
import {
	IFCOUNTER_IERRORS,
	IFCOUNTER_IQDROPS,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OQDROPS,
} from "../src/kernel/ifnet/if_var.ts";
import { netisr_workstreams } from "../src/kernel/ifnet/netisr.ts";
import { vnet_foreach } from "../src/kernel/jail/vnet.ts";
import { V_ipstat } from "../src/kernel/netinet/ip_var.ts";
import { V_tcpstat } from "../src/kernel/netinet/tcp_var.ts";
import { V_udpstat } from "../src/kernel/netinet/udp_var.ts";
import { CURVNET_RESTORE, CURVNET_SET, curkernel, type Kernel } from "../src/kernel/sched/kernel.ts";
import { inEach } from "./each.ts";

const INTERFACE_COUNTERS: readonly (readonly [number, string])[] = [
	[IFCOUNTER_IQDROPS, "input queue full"],
	[IFCOUNTER_IERRORS, "input errors"],
	[IFCOUNTER_OQDROPS, "output queue full"],
	[IFCOUNTER_OERRORS, "output errors"],
];

type Counts = Map<string, number>;

function add(counts: Counts, reason: string, count: number): void {
	if (count !== 0) counts.set(reason, (counts.get(reason) ?? 0) + count);
}

/** The statistics of several kernels, added up. */
function readAll(hosts: readonly Kernel[]): Counts {
	const counts: Counts = new Map();
	inEach(hosts, () => readCounts(counts));
	return counts;
}

/** Adds the statistics of the kernel that runs now, over all vnets. */
function readCounts(counts: Counts): void {
	for (const nws of netisr_workstreams()) {
		for (const work of nws.nws_work) add(counts, "netisr queue full", work.nw_qdrops);
	}
	for (const vn of vnet_foreach()) {
		const saved = CURVNET_SET(vn);
		for (const ifp of V_ifnet()) {
			for (const [counter, what] of INTERFACE_COUNTERS) {
				add(counts, `${ifp.if_dname} ${what}`, ifp.if_get_counter(ifp, counter));
			}
		}
		const ip = V_ipstat();
		add(counts, "IP output dropped", ip.ips_odropped);
		add(counts, "IP fragments dropped", ip.ips_fragdropped + ip.ips_fragtimeout);
		add(counts, "IP without route", ip.ips_noroute);
		add(counts, "IP bad checksum", ip.ips_badsum);
		const tcp = V_tcpstat();
		add(counts, "TCP retransmitted", tcp.tcps_sndrexmitpack);
		add(counts, "TCP retransmission timeouts", tcp.tcps_rexmttimeo);
		add(counts, "TCP duplicates received", tcp.tcps_rcvduppack);
		add(counts, "TCP out of order", tcp.tcps_rcvoopack);
		add(counts, "TCP bad checksum", tcp.tcps_rcvbadsum);
		const udp = V_udpstat();
		add(counts, "UDP socket full", udp.udps_fullsock);
		add(counts, "UDP bad checksum", udp.udps_badsum);
		add(counts, "UDP without port", udp.udps_noport);
		CURVNET_RESTORE(saved);
	}
}

/** Counts from its making on. */
export class Drops {
	private readonly hosts: readonly Kernel[];
	private readonly before: Counts;

	/** Counts in these kernels, or the one that runs now. */
	constructor(hosts: readonly Kernel[] = [curkernel]) {
		this.hosts = hosts;
		this.before = readAll(hosts);
	}

	/** What was added since, by reason, in a fixed order; only what happened. */
	read(): Record<string, number> {
		const now = readAll(this.hosts);
		const reasons = [...now.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
		const result: Record<string, number> = {};
		for (const reason of reasons) {
			const count = now.get(reason)! - (this.before.get(reason) ?? 0);
			if (count !== 0) result[reason] = count;
		}
		return result;
	}
}
