import { LEAD_NS, LOCKED_LEADS, READ_MOSTLY_LEADS } from "../src/machine/lead.ts";

/** What is not modelled. README.md has the same list; a test compares the two. Backquotes mark code, as in Markdown. */
export const NOT_MODELLED: readonly string[] = [
	"Caches beyond one rule: the line of a lock, a task or a sleeping thread that another CPU had last costs a transfer; payload " +
		"never does. No NUMA, no memory bandwidth, no frequency changes, no SMT sharing of a core (SMT only decides whether the " +
		"idle thread polls).",
	`Order within ${LEAD_NS} ns, or ${LOCKED_LEADS * LEAD_NS} for who has a lock: a thread may act that far ahead of the clock, and what it does is seen ` +
		`that much too early; what hardly ever changes it may read ${(READ_MOSTLY_LEADS * LEAD_NS) / 1000} us too early. ` +
		"Locks are waited for as if none did, nearly as often, but which of two that come within that time is first is not certain; " +
		"`--lead 0ns` orders everything.",
	"ULE's interactivity scores, calendar queue and long-term balancer; user threads keep one priority. Nobody waits for the " +
		"scheduler's own locks.",
	"Network cards other than one kind (ix, 10 Gb/s, with receive queues, interrupt throttling and checksums, without TSO, LRO and " +
		"VLANs), on a cable between two machines that run iperf3 themselves.",
	"Checksum offload on epair, pf, IPsec, netmap beyond the emulated mode that wg needs, IP options, multicast routing, router " +
		"advertisements.",
	"TCP: ECN, urgent data, fast open, syncache cookies, host cache. Both releases use 13.0's loss recovery.",
	"Memory pressure: `M_WAITOK` never sleeps. Memory is sequentially consistent.",
	"`--cost-only` leaves out ciphers and payload sums, never headers.",
];
