/**
 * netstat(1), in part: -m (mbufs in use: a leak shows here), -Q (netisr) and -i (interfaces).
 *
 * @see usr.bin/netstat/mbuf.c, netisr.c, if.c
 */
import { V_ifnet } from "../kernel/ifnet/if.ts";
import {
	IFCOUNTER_IERRORS,
	IFCOUNTER_IPACKETS,
	IFCOUNTER_IQDROPS,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OPACKETS,
} from "../kernel/ifnet/if_var.ts";
import { NETISR_MAXPROT, netisr_workstreams } from "../kernel/ifnet/netisr.ts";
import { uma_zone_list } from "../kernel/mbuf/uma.ts";
import { type Blocking, charge, cost } from "../kernel/sched/thread.ts";
import { getopt } from "./getopt.ts";
import type { process } from "./process.ts";
import { sysret } from "./syscall.ts";

/** @see mbuf.c mbpr */
function mbpr(proc: process): void {
	const zones = new Map(uma_zone_list().map((zone) => [zone.name, zone]));
	const line = (name: string, what: string): void => {
		const zone = zones.get(name);
		if (zone === undefined) return;
		proc.stdout(
			`${zone.used}/${zone.free}/${zone.used + zone.free}/${zone.limit} ${what} in use (current/cache/total/max)`,
		);
	};
	const mbufs = zones.get("mbuf");
	const packets = zones.get("mbuf_packet");
	if (mbufs !== undefined) {
		const cached = mbufs.free + (packets?.free ?? 0);
		proc.stdout(`${mbufs.used}/${cached}/${mbufs.used + cached} mbufs in use (current/cache/total)`);
	}
	line("mbuf_cluster", "mbuf clusters");
	if (packets !== undefined) {
		proc.stdout(`${packets.used}/${packets.free} mbuf+clusters out of packet secondary zone in use (current/cache)`);
	}
	line("mbuf_jumbo_page", "4k (page size) jumbo clusters");
	line("mbuf_jumbo_9k", "9k jumbo clusters");
	line("mbuf_jumbo_16k", "16k jumbo clusters");
	const fails = ["mbuf", "mbuf_cluster", "mbuf_packet"].map((name) => zones.get(name)?.fails ?? 0);
	proc.stdout(`${fails.join("/")} requests for mbufs denied (mbufs/clusters/mbuf+clusters)`);
}

/** @see netisr.c netisr_stats */
function netisr_stats(proc: process): void {
	proc.stdout("Workstreams:");
	proc.stdout("WSID CPU   Proto   Len WMark   Disp'd  HDisp'd   QDrops   Queued  Handled");
	for (const [i, nws] of netisr_workstreams().entries()) {
		for (let proto = 1; proto < NETISR_MAXPROT; proto++) {
			const w = nws.nws_work[proto];
			if (w.nw_handled === 0 && w.nw_qdrops === 0 && w.nw_dispatched === 0) continue;
			const columns = [w.nw_dispatched, w.nw_hybrid_dispatched, w.nw_qdrops, w.nw_queued, w.nw_handled];
			proc.stdout(
				`${`${i}`.padStart(4)} ${`${nws.nws_cpu}`.padStart(3)} ${`${proto}`.padStart(7)} ${`${w.nw_len}`.padStart(5)} ${`${w.nw_watermark}`.padStart(5)} ${columns.map((n) => `${n}`.padStart(8)).join(" ")}`,
			);
		}
	}
}

/** @see if.c intpr */
function intpr(proc: process): void {
	proc.stdout("Name       Mtu      Ipkts Ierrs Idrop      Opkts Oerrs");
	for (const ifp of V_ifnet()) {
		const c = (which: number, width: number): string => `${ifp.if_get_counter(ifp, which)}`.padStart(width);
		proc.stdout(
			`${ifp.if_xname.padEnd(8)} ${`${ifp.if_mtu}`.padStart(5)} ${c(IFCOUNTER_IPACKETS, 10)} ${c(IFCOUNTER_IERRORS, 5)} ${c(IFCOUNTER_IQDROPS, 5)} ${c(IFCOUNTER_OPACKETS, 10)} ${c(IFCOUNTER_OERRORS, 5)}`,
		);
	}
}

export function* netstat(proc: process, argv: readonly string[]): Blocking<number> {
	const parsed = getopt(argv, "mQin");
	if (parsed.error !== "" || parsed.options.length === 0) {
		proc.stderr("usage: netstat -m | -Q | -i [-n]");
		return 1;
	}
	charge(cost.syscall);
	for (const { name } of parsed.options) {
		if (name === "m") mbpr(proc);
		else if (name === "Q") netisr_stats(proc);
		else if (name === "i") intpr(proc);
	}
	yield* sysret(proc);
	return 0;
}
