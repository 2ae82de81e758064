/**
 * The one table of what differs between the kernel releases this simulator knows, where it shows.
 *
 * Everything that depends on the release asks here; nothing compares release names elsewhere, priorities apart, which
 * have a table of their own.
 *
 * @see docs of each field; kernel.md sections 0.1, 2, 7, 8, 12 and 16 were read in F-Stack's 13.0 and rtems-libbsd's 14.0
 */
export type Release = "13.0" | "14.0";

export interface ReleaseTraits {
	readonly release: Release;
	readonly osreldate: number;
	/** epair of the era: netisr up to 13.0, task queue from 13.1 */
	readonly epair: "netisr" | "taskqueue";
	/** unconnected UDP sends take the global inpcb hash lock (in_pcb.c, 14.0) instead of walking in the epoch */
	readonly udp_send_hash_lock: boolean;
	/** cryptosoft holds the session's mutex while it works (cryptosoft.c swcr_process, 13.0) */
	readonly swcr_session_lock: boolean;
	/** default congestion control, net.inet.tcp.cc.algorithm */
	readonly tcp_cc: "newreno" | "cubic";
	/** softclock runs as a software interrupt thread (13.0) or a kernel thread of its own (14.0) */
	readonly softclock: "swi" | "kthread";
	/** tdq_notify leaves out the IPI when an equal or better thread was queued already (sched_ule.c, 14.0) */
	readonly notify_compares_lowpri: boolean;
}

const table: Record<Release, ReleaseTraits> = {
	"13.0": {
		release: "13.0",
		osreldate: 1300139,
		epair: "netisr",
		udp_send_hash_lock: false,
		swcr_session_lock: true,
		tcp_cc: "newreno",
		softclock: "swi",
		notify_compares_lowpri: false,
	},
	"14.0": {
		release: "14.0",
		osreldate: 1400097,
		epair: "taskqueue",
		udp_send_hash_lock: true,
		swcr_session_lock: false,
		tcp_cc: "cubic",
		softclock: "kthread",
		notify_compares_lowpri: true,
	},
};

export const releases = Object.keys(table) as Release[];

export function releaseTraits(release: Release): ReleaseTraits {
	return table[release];
}
