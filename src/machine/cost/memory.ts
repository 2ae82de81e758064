import { defineCosts } from "./cost.ts";

/** UMA, mbufs and memory copies. */
export const memory_costs = defineCosts({
	uma_zalloc: {
		value: 60,
		range: [30, 150],
		unit: "cycles",
		source:
			"per-CPU cache hit: uma_zalloc 0.086 of an AEAD for all objects of a packet, about four (netbenches PMC C2558)",
	},
	uma_zfree: {
		value: 55,
		range: [30, 150],
		unit: "cycles",
		source: "uma_zfree 0.079 of an AEAD for all objects of a packet (netbenches PMC C2558)",
	},
	uma_bucket: {
		value: 400,
		range: [150, 1200],
		unit: "cycles",
		source: "a bucket fetched from or given to the zone: two locks and a cross-CPU line per bucket; estimate",
	},
	uma_slab: {
		value: 40,
		range: [15, 120],
		unit: "cycles",
		source:
			"one item taken from a slab while a bucket is filled: bit set search and pointer arithmetic under the keg lock; estimate",
	},
	mbuf_op: {
		value: 25,
		range: [10, 60],
		unit: "cycles",
		source: "m_adj, m_pullup without copying, m_tag walks: instruction estimate",
	},
	copy: {
		value: 120,
		range: [60, 300],
		unit: "mcycles_per_byte",
		source:
			"memcpy of packet-sized blocks from L2 with rep movsb, about 8 bytes per cycle; memmove is 1.6 % of samples in the netbenches PMC profile",
	},
	in_cksum: {
		value: 300,
		range: [120, 800],
		unit: "mcycles_per_byte",
		source: "amd64 in_cksum.c adds eight 32-bit words per iteration with 64-bit adds: 2 to 8 bytes per cycle; estimate",
	},
});
