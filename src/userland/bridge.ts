/**
 * bridge: netmap's example program. Here it joins the two sides of one interface, `netmap:IFACE`, where the driver is, and `netmap:IFACE^`,
 * where the stack is: it sits in the middle, copies frames both ways, and should not be noticed. It runs until it is killed.
 *
 * @see tools/tools/netmap/bridge.c
 */
import { strerror } from "../kernel/errno.ts";
import { ifunit } from "../kernel/ifnet/if.ts";
import {
	type netmap_adapter,
	netmap_poll,
	netmap_register,
	netmap_rxsync,
	netmap_txsync,
	netmap_unregister,
} from "../kernel/ifnet/netmap.ts";
import { hz } from "../kernel/sched/kernel.ts";
import { type Blocking, charge, cost } from "../kernel/sched/thread.ts";
import { getopt } from "./getopt.ts";
import type { process } from "./process.ts";
import { sysret } from "./syscall.ts";

/** how often it looks whether it was killed */
const POLLS_PER_SECOND = 10;

/** The interface whose two sides these are, or null. */
function interface_of(ports: readonly string[]): string | null {
	const [own, host] = [...ports].sort((a, b) => a.length - b.length);
	const match = /^netmap:([^^]+)$/.exec(own ?? "");
	return ports.length === 2 && match !== null && host === `${own}^` ? match[1] : null;
}

/** Copies what waits on one side to the other. @returns how many frames */
function* move(na: netmap_adapter, from_host: boolean): Blocking<number> {
	for (let n = 0; ; n++) {
		const frame = yield* netmap_rxsync(na, from_host);
		if (frame === null) return n;
		// a frame the other side refuses is lost, as on a wire
		yield* netmap_txsync(na, !from_host, frame);
	}
}

export function* bridge(proc: process, argv: readonly string[]): Blocking<number> {
	const parsed = getopt(argv, "i:w:v");
	const name = interface_of(parsed.options.filter((o) => o.name === "i").map((o) => o.value));
	if (parsed.error !== "" || name === null) {
		proc.stderr("usage: bridge [-v] [-w seconds] -i netmap:iface -i netmap:iface^");
		return 1;
	}
	charge(cost.syscall);
	const ifp = ifunit(name);
	if (ifp === null) return proc.warn(`cannot open netmap:${name}: No such device or address`);
	const na = netmap_register(ifp);
	if (typeof na === "number") return proc.warn(`cannot open netmap:${name}: ${strerror(na)}`);
	try {
		for (;;) {
			charge(cost.syscall);
			if ((yield* move(na, false)) + (yield* move(na, true)) === 0) {
				yield* netmap_poll(na, Math.floor(hz() / POLLS_PER_SECOND));
			}
			yield* sysret(proc);
		}
	} finally {
		yield* netmap_unregister(na);
	}
}
