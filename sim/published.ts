/**
 * What has been measured on real machines, with its source. Printed beside our figures and never used to make them.
 */
export interface Published {
	readonly name: string;
	readonly what: string;
	/** as printed in the source */
	readonly published: string;
	/** in words, what ours must be to count as reproduced; empty where ours cannot be set beside it */
	readonly expected: string;
	readonly source: string;
}

const DDC22DA = "wireguard-freebsd ddc22da (J. Baldwin, 2021-11-11)";
const MAIL_2022_04 = "WireGuard list 2022-04-05 (J. Baldwin)";
const NETGATE = "Netgate blog 2021-02, pfSense 2.5";
const NETBENCHES = "netbenches 2020-09 (O. Cochard), driver of D26137, UDP of 500 B, thousands of flows in one tunnel";
const PMC = "netbenches 2020-09, kernel.pmc.graph of the C2558 (4 CPUs, encryption only)";
const IPSEC = "netbenches 2020-09, IPsec between two routers, FreeBSD 13 r365873";
const FORWARDING = "netbenches firewalls, fbsd16-n311215, GX-412TC";
const MAIL_2022_10 = "freebsd-arch 2022-10-13 (J. Baldwin)";

export const published = {
	share_all_cpus: {
		name: "share_all_cpus",
		what: "tasks that found work, all-cpus, 8 CPUs",
		published: "~13 %",
		expected: "10-16 %",
		source: DDC22DA,
	},
	share_round_robin: {
		name: "share_round_robin",
		what: "tasks that found work, round-robin",
		published: "~65 %",
		expected: "55-75 %",
		source: DDC22DA,
	},
	throughput_ratio: {
		name: "throughput_ratio",
		what: "throughput, round-robin : all-cpus",
		published: "> 2",
		expected: "> 2.0",
		source: DDC22DA,
	},
	policy_beats_ossl: {
		name: "policy_beats_ossl",
		what: "gain of the policy : gain of ossl",
		published: "far more",
		expected: "> 2",
		source: MAIL_2022_10,
	},
	xeon_d_stream: {
		name: "xeon_d_stream",
		what: "one stream between two 8-core Xeon Ds, all-cpus, SIMD",
		published: "1.54 Gb/s",
		expected: "1.03-2.31 Gb/s",
		source: "Netgate blog 2021-02, XG-1541",
	},
	atom_scaling: {
		name: "atom_scaling",
		what: "4 -> 8 Atom cores, all-cpus, UDP (ours: both ends in one)",
		published: "+17 %",
		expected: "printed",
		source: "netbenches 2020-09, C2558 and C2758",
	},
	series_rank: {
		name: "series_rank",
		what: "rank of the policy among the changes of its series",
		published: "the largest single effect",
		expected: "gain of the policy > gain of ossl",
		source: MAIL_2022_04,
	},
	esxi_power: {
		name: "esxi_power",
		what: "power for the tunnel in a virtual machine, round-robin : Linux",
		published: "nearly on par",
		expected: "0.9 to 1.1, all-cpus above",
		source: MAIL_2022_10,
	},
	streams_flat: {
		name: "streams_flat",
		what: "1, 2, 4, 8 streams between two 8-core Xeon Ds, all-cpus",
		published: "1.52, 1.53, 1.52, 1.53 Gb/s",
		expected: "largest : smallest < 1.1",
		source: `${NETGATE}, XG-1541`,
	},
	streams_level: {
		name: "streams_level",
		what: "the same, in absolute terms (their driver had assembly ciphers)",
		published: "1.53 Gb/s",
		expected: "1.02-2.30 Gb/s",
		source: `${NETGATE}, XG-1541`,
	},
	wireguard_go: {
		name: "wireguard_go",
		what: "kernel : wireguard-go, three routers and the XG-1541",
		published: "4.1, 4.1, 4.1, 1.13",
		expected: "",
		source: `${NETBENCHES}; ${NETGATE}`,
	},
	sg5100_stream: {
		name: "sg5100_stream",
		what: "one stream, 4-core Atom C3558",
		published: "909 Mb/s",
		expected: "",
		source: `${NETGATE}, SG-5100`,
	},
	sg5100_trex: {
		name: "sg5100_trex",
		what: "four tunnels, 1420-octet packets, both ways, Atom C3558",
		published: "1846 Mb/s",
		expected: "",
		source: `${NETGATE}, SG-5100`,
	},
	gx412_udp: {
		name: "gx412_udp",
		what: "router, 4-core GX-412TC at 1 GHz",
		published: "482.8 Mb/s",
		expected: "",
		source: NETBENCHES,
	},
	c2558_udp: {
		name: "c2558_udp",
		what: "router, 4-core Atom C2558",
		published: "607.4 Mb/s",
		expected: "405 to 911 Mb/s",
		source: NETBENCHES,
	},
	c2758_udp: {
		name: "c2758_udp",
		what: "router, 8-core Atom C2758",
		published: "710 Mb/s",
		expected: "473 to 1065 Mb/s",
		source: NETBENCHES,
	},
	router_scaling: {
		name: "router_scaling",
		what: "4 -> 8 Atom cores, routers, all-cpus",
		published: "+17 %",
		expected: "0 to +34 %",
		source: NETBENCHES,
	},
	ipsec_c2758: {
		name: "ipsec_c2758",
		what: "IPsec VTI on the C2758, null cipher and AES-GCM-128",
		published: "3702, 1607 Mb/s",
		expected: "",
		source: IPSEC,
	},
	pmc_hot_cpu: {
		name: "pmc_hot_cpu",
		what: "share of the hottest CPU's time in wg_deliver_out; on all CPUs",
		published: "56 %; 15 %",
		expected: "28 % or more, and twice the average",
		source: PMC,
	},
	pmc_encrypt_other: {
		name: "pmc_encrypt_other",
		what: "wg_softc_encrypt but its AEAD (AEAD = 1)",
		published: "0.259",
		expected: "0.13 to 0.52",
		source: PMC,
	},
	pmc_deliver_out: {
		name: "pmc_deliver_out",
		what: "wg_deliver_out, sending included (AEAD = 1)",
		published: "0.515",
		expected: "0.26 to 1.03",
		source: PMC,
	},
	pmc_dispatch: {
		name: "pmc_dispatch",
		what: "dispatch over all CPUs, with its wakeups (AEAD = 1)",
		published: "0.095",
		expected: "0.05 to 0.19",
		source: PMC,
	},
	pmc_task_loop: {
		name: "pmc_task_loop",
		what: "taskqueue loop, for each packet (AEAD = 1)",
		published: "0.054",
		expected: "0.027 to 0.11",
		source: PMC,
	},
	pmc_interrupts: {
		name: "pmc_interrupts",
		what: "interrupts, share of busy time",
		published: "2.3 %",
		expected: "1.1 to 4.6 %",
		source: PMC,
	},
	pmc_idle: {
		name: "pmc_idle",
		what: "idle thread awake, share of all time",
		published: "17.3 %",
		expected: "8.7 to 35 %",
		source: PMC,
	},
	pmc_card: {
		name: "pmc_card",
		what: "network card and forwarding, in and out (AEAD = 1)",
		published: "0.333, 0.197",
		expected: "",
		source: PMC,
	},
	pmc_xmit: {
		name: "pmc_xmit",
		what: "wg_transmit but its dispatch (AEAD = 1)",
		published: "0.164",
		expected: "",
		source: PMC,
	},
	pmc_functions: {
		name: "pmc_functions",
		what: "single functions: udp_send, ip_output, uma_zalloc, ... (AEAD = 1)",
		published: "0.316, 0.173, 0.086, ...",
		expected: "",
		source: PMC,
	},
	netisr_deferred: {
		name: "netisr_deferred",
		what: "null IPsec on 4 cores at 1 GHz: netisr deferred : direct",
		published: "0.45",
		expected: "",
		source: `${IPSEC}, GX-412TC`,
	},
	async_crypto: {
		name: "async_crypto",
		what: "null IPsec on 4 cores at 1 GHz: async_crypto : direct",
		published: "0.36",
		expected: "",
		source: `${IPSEC}, GX-412TC`,
	},
	netisr_xeon: {
		name: "netisr_xeon",
		what: "null IPsec on 8 Xeon cores: netisr : direct",
		published: "0.99",
		expected: "",
		source: `${IPSEC}, E5-2650`,
	},
	netisr_forwarding: {
		name: "netisr_forwarding",
		what: "a loaded netisr hop in forwarding",
		published: "1330 cycles of a 1 GHz core, 410 of a Xeon's",
		expected: "205 to 820 cycles",
		source: FORWARDING,
	},
	netisr_forwarding_6: {
		name: "netisr_forwarding_6",
		what: "IPv6 forwarding, direct : RSS and netisr threads",
		published: "1.78",
		expected: "",
		source: FORWARDING,
	},
} as const satisfies Record<string, Published>;

export type PublishedName = keyof typeof published;

/** The ranges of `expected`, as numbers. */
export const EXPECTED = {
	share_all_cpus: [0.1, 0.16],
	share_round_robin: [0.55, 0.75],
	throughput_ratio_above: 2,
	policy_over_ossl_above: 2,
	xeon_d_bps: [1.542e9 / 1.5, 1.542e9 * 1.5],
	streams_bps: [1.525e9 / 1.5, 1.525e9 * 1.5],
	streams_flat_below: 1.1,
	power_round_robin_over_linux: [0.9, 1.1],
	/** a stage's published time for each packet, relative to its AEAD; ours may be half or twice that */
	stage_within: 2,
	encrypt_other: 0.259,
	deliver_out: 0.515,
	dispatch: 0.095,
	task_loop: 0.054,
	/** share of busy time */
	interrupts: 0.023,
	/** wg_deliver_out's share of the hottest CPU, and that : the average of all */
	hot_cpu_share_above: 0.28,
	hot_cpu_above: 2,
	c2558_udp: [607.4e6 / 1.5, 607.4e6 * 1.5],
	c2758_udp: [710e6 / 1.5, 710e6 * 1.5],
	router_scaling: [0, 0.34],
	/** of 4 CPUs at 2.4 GHz, 82.7 % busy, at 140 000 packets a second */
	c2558_cycles: (4 * 2.4e9 * 0.827) / 140e3,
	/** share of all time in the idle thread, awake */
	idle_awake: 0.173,
	/** cycles of a core such as the reference core: 1330 of a GX-412TC's, which takes 4614 to forward where a Xeon takes 1430 */
	netisr_hop_cycles: 410,
} as const;
