import { defineCosts } from "./cost.ts";

/**
 * IP, UDP, ICMP, routing and protocol control blocks.
 *
 * The anchor is the PMC profile of an Atom C2558 (netbenches, 2020-09; calibration.md 1.4): what if_wg's wg_send costs, and
 * inclusive shares of it, in units of the AEAD of the same packet. 528 bytes of ChaCha20-Poly1305 take about 2600 cycles
 * on the reference core, which makes wg_send 930, udp_send 820, ip_output 450 and in_pcbconnect_setup 180, all
 * inclusive. Locks, atomics, allocation, checksums and copies are charged apart and are not part of the values here.
 */
export const inet_costs = defineCosts({
	ip_output: {
		value: 150,
		range: [80, 400],
		unit: "cycles",
		source:
			"ip_output inclusive is 0.173 of an AEAD, 450 reference cycles (netbenches PMC C2558), less fib_lookup, ether_output and a driver's transmit",
	},
	ip_fragment: {
		value: 250,
		range: [120, 600],
		unit: "cycles",
		source:
			"per fragment, without allocation and checksums: header copied, chain shared; estimate from instruction counts",
	},
	ip_input: {
		value: 150,
		range: [80, 350],
		unit: "cycles",
		source:
			"forwarding is at most 1430 cycles a packet with both drivers and Ethernet (netbenches E5-2650, FreeBSD 14); a tenth for validation and the address hash; estimate",
	},
	ip_forward: {
		value: 200,
		range: [100, 500],
		unit: "cycles",
		source:
			"ip_tryforward within the 1430 cycles of forwarding (netbenches E5-2650, FreeBSD 14), route lookup apart; estimate",
	},
	ip_reass: {
		value: 300,
		range: [150, 900],
		unit: "cycles",
		source: "per fragment: hash bucket, ordered insert; bucket lock apart; estimate from instruction counts",
	},
	fib_lookup: {
		value: 60,
		range: [30, 200],
		unit: "cycles",
		source:
			"lockless lookup in a table of few routes, part of ip_output's 450 cycles; DXR papers give 5 to 30 ns with full tables",
	},
	rn_match_node: {
		value: 6,
		range: [4, 60],
		unit: "cycles",
		source:
			"per tree level: a load, a byte test and a branch with the node in L1 or L2; the high end is an L3 hit per level; estimate",
	},
	rib_action: {
		value: 2500,
		range: [1000, 10000],
		unit: "cycles",
		source:
			"adding or deleting a route: nexthop made, radix changed, table generation bumped; not on the data path; estimate",
	},
	in_control: {
		value: 5000,
		range: [2000, 20000],
		unit: "cycles",
		source: "configuring an address, its routes apart; not on the data path; estimate",
	},
	in_pcblookup: {
		value: 90,
		range: [40, 250],
		unit: "cycles",
		source: "two hash chains of about one entry, usually in cache; part of udp_send and udp_input; estimate",
	},
	in_pcbbind_setup: {
		value: 50,
		range: [20, 120],
		unit: "cycles",
		source:
			"of a datagram with IP_SENDSRCADDR: one interface address hash lookup, what is left of udp_send's 820 cycles; estimate",
	},
	in_pcbconnect_setup: {
		value: 90,
		range: [50, 250],
		unit: "cycles",
		source:
			"0.069 of an AEAD inclusive, 180 reference cycles (netbenches PMC C2558), less the lookup of a colliding pcb",
	},
	in_pcballoc: {
		value: 800,
		range: [400, 2000],
		unit: "cycles",
		source: "clearing about 400 bytes, list and credential; not on the data path; estimate",
	},
	udp_output: {
		value: 130,
		range: [70, 350],
		unit: "cycles",
		source:
			"udp_send is 0.316 of an AEAD, 820 reference cycles (netbenches PMC C2558), less ip_output, in_pcbconnect_setup, locks and M_PREPEND",
	},
	udp_input: {
		value: 150,
		range: [80, 400],
		unit: "cycles",
		source:
			"header checks and dispatch, pcb lookup and checksum apart; no FreeBSD figure found, about what udp_output needs; estimate",
	},
	udp_append: {
		value: 120,
		range: [60, 300],
		unit: "cycles",
		source: "into a socket buffer without waking anyone: control data and sbappendaddr; estimate",
	},
	icmp_input: {
		value: 300,
		range: [150, 800],
		unit: "cycles",
		source: "an echo request turned round, checksum and ip_output apart; estimate from instruction counts",
	},
	icmp_error: {
		value: 400,
		range: [200, 1000],
		unit: "cycles",
		source: "rate limit, new packet, quoted header; allocation and checksum apart; estimate from instruction counts",
	},
	rip_input: {
		value: 150,
		range: [80, 400],
		unit: "cycles",
		source: "per raw socket looked at and per copy handed up: like udp_append; estimate",
	},
	ip6_output: {
		value: 200,
		range: [100, 500],
		unit: "cycles",
		source:
			"like ip_output, with source scope checks; FreeBSD forwards IPv6 at 80 to 95 % of the IPv4 rate (netbenches); estimate",
	},
	ip6_input: {
		value: 180,
		range: [90, 400],
		unit: "cycles",
		source:
			"like ip_input, with address scope checks; FreeBSD forwards IPv6 at 80 to 95 % of the IPv4 rate (netbenches); estimate",
	},
	nd6_resolve: {
		value: 80,
		range: [40, 200],
		unit: "cycles",
		source: "a valid neighbour entry found in the interface's hash, as arpresolve; estimate",
	},
	nd6_message: {
		value: 800,
		range: [400, 2000],
		unit: "cycles",
		source: "neighbour solicitation or advertisement, made or handled; not on the data path; estimate",
	},
});
