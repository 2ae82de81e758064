import { defineCosts } from "./cost.ts";

/** What the processor itself costs: atomics, coherence, inter-processor interrupts, context switches. */
export const hardware_costs = defineCosts({
	atomic: {
		value: 15,
		range: [10, 25],
		unit: "cycles",
		source: "compare-and-swap on a line this CPU owns, 14.6 clocks; perfbook cpu/overheads.tex, Xeon 8176",
	},
	line_transfer: {
		value: 50,
		range: [20, 102],
		unit: "ns",
		source:
			"line owned by another core of the socket: blind CAS 47.5 ns, CAS 101.9 ns (perfbook); one-way message 20-51 ns (core-to-core-latency)",
	},
	ipi_send: {
		value: 520,
		range: [300, 1600],
		unit: "cycles",
		source:
			"the APIC's part of an asynchronous IPI to an idle CPU: 1600 cycles in all on the sender's side, 1200 when a store to a monitored line takes the IPI's place (Westmere; lkml 2012-02-06), and the atomic on the target's pc_ipi_bitmap; what is queued for the target is charged apart",
	},
	ipi_latency: {
		value: 500,
		range: [200, 1200],
		unit: "ns",
		source: "bounded by 3645 cycles send-to-handled with IPI virtualisation (KVM IPIv v7), less sending and handling",
	},
	ipi_handler: {
		value: 900,
		range: [500, 2000],
		unit: "cycles",
		source:
			"interrupt entry, EOI and return; with sending and the wire it must stay below 3645 cycles send-to-handled in a guest with IPI virtualisation (KVM IPIv v7); estimate",
	},
	context_switch: {
		value: 1500,
		range: [600, 4500],
		unit: "cycles",
		source:
			"kernel thread to kernel thread, no address space change; no FreeBSD figure found (calibration 0.7), 4.3 us on an Intel 5150 is the upper end",
	},
	spinwait: {
		value: 10,
		range: [9, 140],
		unit: "cycles",
		source: "PAUSE: about 10 cycles up to Broadwell, 140 from Skylake on (Intel optimisation manual)",
	},
	timer_interrupt: {
		value: 2500,
		range: [1500, 6000],
		unit: "cycles",
		source:
			"hardclock with LAPIC rearm; the netbenches PMC profile gives 2.3 % of busy time to all interrupts at hz=1000 and 140 kpps",
	},
});
