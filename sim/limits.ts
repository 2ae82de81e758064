/** What is not modelled. README.md has the same list; a test compares the two. Backquotes mark code, as in Markdown. */
export const NOT_MODELLED: readonly string[] = [
	"Caches beyond one rule: the line of a lock, a task or a sleeping thread that another CPU had last costs a transfer; payload " +
		"never does. No NUMA, no memory bandwidth, no frequency changes, no SMT sharing of a core (SMT only decides whether the " +
		"idle thread polls).",
	"Order within a cache line's travel time (about 50 ns): a thread may act that far ahead of the clock, because hardware gives " +
		"such accesses no order either. So nobody is seen waiting for a lock held more briefly, such as the driver's queues; " +
		"`--lead 0ns` orders everything, and shows it.",
	"ULE's interactivity scores, calendar queue and long-term balancer; user threads keep one priority. Nobody waits for the " +
		"scheduler's own locks.",
	"Physical network cards, TSO, checksum offload on epair, pf, IPsec, netmap beyond the emulated mode that wg needs, IP options, " +
		"multicast routing, router advertisements.",
	"TCP: ECN, urgent data, fast open, syncache cookies, host cache. Both releases use 13.0's loss recovery.",
	"Memory pressure: `M_WAITOK` never sleeps. Memory is sequentially consistent.",
	"`--cost-only` leaves out ciphers and payload sums, never headers.",
];
