import { defineCosts } from "./cost.ts";

/** System calls and the programs that make them. */
export const user_costs = defineCosts({
	syscall: {
		value: 300,
		range: [150, 800],
		unit: "cycles",
		source:
			"entry, argument copy, return to user mode; 105 ns for the cheapest call on an Intel 5150 (latency list), more with page-table isolation",
	},
	fork_exec: {
		value: 600_000,
		range: [200_000, 3_000_000],
		unit: "cycles",
		source: "fork and execve of a small dynamic program, a few hundred microseconds; set-up only; order of magnitude",
	},
	clock_gettime: {
		value: 80,
		range: [50, 300],
		unit: "cycles",
		source:
			"time page and RDTSC without entering the kernel, 20 to 40 ns; instruction estimate with RDTSC's 25 to 40 cycles",
	},
	tty_line: {
		value: 2500,
		range: [800, 10000],
		unit: "cycles",
		source: "printf of one line into a buffer and its share of a write(2) to a pty; instruction estimate",
	},
	iperf3_block: {
		value: 300,
		range: [120, 1000],
		unit: "cycles",
		source:
			"iperf3's own work per block or datagram: throttle check, byte counters, loop over streams; instruction estimate from iperf_api.c iperf_send and iperf_tcp_send",
	},
	iperf3_loop: {
		value: 250,
		range: [100, 800],
		unit: "cycles",
		source:
			"one turn of iperf3's select loop without its system calls: fd_set copies, timer list; instruction estimate from iperf_client_api.c iperf_run_client",
	},
	iperf3_udp: {
		value: 200,
		range: [80, 600],
		unit: "cycles",
		source:
			"sequence number, time stamp and jitter arithmetic per datagram; instruction estimate from iperf_udp.c iperf_udp_recv",
	},
	ping_packet: {
		value: 400,
		range: [150, 1500],
		unit: "cycles",
		source:
			"ping's own work per echo: time stamps, checks, arithmetic; instruction estimate from ping.c pinger and pr_pack",
	},
});
