import { defineCosts } from "./cost.ts";

/**
 * Interfaces, Ethernet, ARP, netisr, epair, loopback, BPF.
 *
 * Pure instructions only: locks, atomics, allocation, wakeups and copies are charged by their own constants. Three totals
 * bound the sums. Forwarding a packet through both drivers, ether_input, ip_tryforward and ether_output is at most 1430 cycles
 * (E5-2650). A hop over the 13.0 epair is at most 2.9 us and over the 14.0 one at most 0.86 us, all work included
 * (346 kpps and 1.168 Mpps, FreeBSD reviews D33853). And if_wg's wg_send, of which Ethernet and driver are a part, is 930
 * reference cycles (netbenches PMC C2558).
 */
export const ifnet_costs = defineCosts({
	if_inc_counter: {
		value: 4,
		range: [1, 10],
		unit: "cycles",
		source: "counter_u64_add: one add to a per-CPU line already owned; instruction estimate",
	},
	ether_output: {
		value: 110,
		range: [60, 250],
		unit: "cycles",
		source:
			"header prepended, no loop copy, resolved neighbour apart: part of wg_send's 930 reference cycles (netbenches PMC C2558)",
	},
	arp_lookup: {
		value: 40,
		range: [20, 120],
		unit: "cycles",
		source:
			"arpresolve of a valid entry: one hash, one chain element, 14 bytes copied, no lock; estimate within ether_output's share",
	},
	arp_message: {
		value: 500,
		range: [250, 1500],
		unit: "cycles",
		source:
			"an ARP packet made or handled, allocation apart; once per neighbour in 20 minutes, not on the data path; estimate",
	},
	ether_input: {
		value: 90,
		range: [50, 200],
		unit: "cycles",
		source:
			"ether_input and ether_input_internal: forwarding is at most 1430 cycles with both drivers (netbenches E5-2650); estimate",
	},
	ether_demux: {
		value: 50,
		range: [25, 120],
		unit: "cycles",
		source:
			"flags cleared, header stripped, protocol chosen: forwarding is at most 1430 cycles (netbenches E5-2650); estimate",
	},
	netisr_dispatch: {
		value: 30,
		range: [15, 80],
		unit: "cycles",
		source: "policy looked up, two counters, indirect call; instruction estimate",
	},
	netisr_queue: {
		value: 60,
		range: [30, 150],
		unit: "cycles",
		source:
			"CPU selected, list and counters; a loaded hop is at most 1330 cycles with wakeup (netbenches GX-412TC, dispatch policies); estimate",
	},
	netisr_loop: {
		value: 40,
		range: [20, 100],
		unit: "cycles",
		source:
			"per packet in netisr_process_workstream_proto: a cold mbuf header, vnet set and restored; a loaded hop is at most 1330 cycles; estimate",
	},
	epair_transmit: {
		value: 120,
		range: [60, 300],
		unit: "cycles",
		source:
			"epair_transmit of either era without its lock and queue: checks, header fields, counters; within 0.86 us a hop (D33853); estimate",
	},
	epair_tx_start: {
		value: 60,
		range: [30, 150],
		unit: "cycles",
		source:
			"epair_tx_start_deferred or epair_nh_sintr per packet: a cold mbuf header, indirect call; within 0.86 us a hop (D33853); estimate",
	},
	handoff_lines: {
		value: 2,
		range: [0, 4],
		unit: "count",
		source:
			"cache lines of a packet (its mbuf header, the first line of its data) that the receiving CPU must fetch from the queueing one: a count, times line_transfer; estimate",
	},
	looutput: {
		value: 70,
		range: [35, 180],
		unit: "cycles",
		source: "looutput and if_simloop: tag walk, checksum flags, counters; no published figure; instruction estimate",
	},
	bpf_test: {
		value: 3,
		range: [1, 10],
		unit: "cycles",
		source: "bpf_peers_present: a load, a test and a branch predicted right; instruction estimate",
	},
	ifioctl: {
		value: 2000,
		range: [800, 10000],
		unit: "cycles",
		source: "an interface ioctl without what the driver does; not on the data path; estimate",
	},
	iflib_encap: {
		value: 300,
		range: [150, 510],
		unit: "cycles",
		source:
			"a packet put on a card's transmit ring and taken off it again, doorbell included: the NIC's transmit task is 0.197 of an AEAD, 510 reference cycles (netbenches PMC C2558), less the mp_ring's atomics and the free",
	},
	iflib_rx: {
		value: 250,
		range: [120, 500],
		unit: "cycles",
		source:
			"a packet taken off a card's receive ring and its buffer replaced: receive task and forwarding are 0.333 of an AEAD, 865 reference cycles (netbenches PMC C2558), less ip_input, ip_forward, Ethernet, netisr and allocation",
	},
	nic_intr: {
		value: 250,
		range: [100, 800],
		unit: "cycles",
		source:
			"the interrupt filter itself, ixgbe_msix_que: one uncached write masks the queue; with entry and return all interrupts are 0.065 of an AEAD a packet (netbenches PMC C2558); estimate",
	},
	nic_itr: {
		value: 32_000,
		range: [0, 128_000],
		unit: "ns",
		source:
			"least time between two interrupts of a queue: hw.ix.max_interrupt_rate 31250, 4000000 / IXGBE_LOW_LATENCY (ixgbe.h)",
	},
	wire_latency: {
		value: 3_500,
		range: [1_500, 8_000],
		unit: "ns",
		source:
			"from one machine's memory to the other's, the frame's own time apart: at most 25,600 bit times in a pair of 10GBASE-T PHYs (IEEE 802.3, delay constraints of 10GBASE-T), about 1 us for both cards' DMA (Neugebauer et al., SIGCOMM 2018); estimate",
	},
});
