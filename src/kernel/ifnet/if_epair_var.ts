/** What both generations of epair(4) share: the softc, and what a generation must be able to do. */
import type { Errno } from "../errno.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { Blocking } from "../sched/thread.ts";
import type { ifnet } from "./if_var.ts";

export class epair_softc {
	/** this end */
	readonly ifp: ifnet;
	/** the other end */
	readonly oifp: ifnet;
	/** the generation's own part */
	epair_data: unknown = null;

	constructor(ifp: ifnet, oifp: ifnet) {
		this.ifp = ifp;
		this.oifp = oifp;
	}
}

/** How one end hands packets to the other; chosen when the kernel boots. */
export interface epair_generation {
	/** module load: threads and queues shared by all pairs */
	readonly modload: () => Blocking<void>;
	/** makes epair_data, before the interface is attached */
	readonly setup: (sc: epair_softc) => void;
	readonly transmit: (ifp: ifnet, m: mbuf) => Blocking<Errno>;
	readonly start: (ifp: ifnet) => Blocking<void>;
	readonly qflush: (ifp: ifnet) => Blocking<void>;
	/** no packet may be on its way to this end afterwards; the interface is detached */
	readonly drain: (sc: epair_softc) => Blocking<void>;
}
