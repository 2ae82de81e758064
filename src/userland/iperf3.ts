/**
 * iperf3(1): measures how much goes over a connection, in simulated time.
 *
 * One process and one thread, as iperf3 is before 3.16. Besides iperf3's options, times may carry a unit (-t 40ms), since a
 * second of simulated time is long. Left out: SCTP, -n and -k (by amount), --bidir, authentication, files.
 *
 * @see iperf3(1), iperf_api.c iperf_parse_arguments
 */
import { AF_INET, AF_INET6 } from "../kernel/netinet/in.ts";
import type { Blocking } from "../kernel/sched/thread.ts";
import { amount, duration_ns, getopt, integer, numeric_host } from "./getopt.ts";
import { run_client } from "./iperf3/client.ts";
import {
	iperf_settings,
	iperf_stats,
	MAX_BLOCKSIZE,
	MAX_STREAMS,
	MAX_UDP_BLOCKSIZE,
	MIN_UDP_BLOCKSIZE,
	UDP_RATE,
} from "./iperf3/iperf.ts";
import { run_server } from "./iperf3/server.ts";
import type { process } from "./process.ts";

const long_options: Readonly<Record<string, string>> = {
	server: "s",
	client: "c",
	port: "p",
	udp: "u",
	time: "t",
	interval: "i",
	parallel: "P",
	reverse: "R",
	bitrate: "b",
	bandwidth: "b",
	length: "l",
	window: "w",
	"set-mss": "M",
	"no-delay": "N",
	congestion: "C",
	bind: "B",
	omit: "O",
	json: "J",
	"one-off": "1",
	version4: "4",
	version6: "6",
	daemon: "D",
};

const OMIT_MAX_NS = 600e9;
const TIME_MAX_NS = 86400e9;

const MAX_TCP_BUFFER = 512 * 1024 * 1024;

class usage_error extends Error {}

function need<T>(value: T | null, error: string): T {
	if (value === null) throw new usage_error(error);
	return value;
}

/** A number that must lie within bounds. */
function within(value: number | null, low: number, high: number, error: string): number {
	return need(value !== null && value >= low && value <= high ? value : null, error);
}

interface command {
	readonly role: "c" | "s";
	readonly settings: iperf_settings;
}

function parse(argv: readonly string[]): command {
	const parsed = getopt(argv, "sc:p:ut:i:P:Rb:l:w:M:NC:B:O:J146D", long_options);
	if (parsed.error !== "") throw new usage_error(parsed.error);
	if (parsed.operands.length > 0) throw new usage_error(`unrecognized argument ${parsed.operands[0]}`);
	const s = new iperf_settings();
	let server = false;
	let rate: number | null = null;
	for (const { name, value } of parsed.options) {
		if (name === "s") server = true;
		else if (name === "c") s.host = value;
		else if (name === "p") s.port = within(integer(value), 1, 65535, "port number is out of range");
		else if (name === "u") s.udp = true;
		else if (name === "t") {
			s.duration = within(duration_ns(value), 1, TIME_MAX_NS, "test duration too long (maximum = 86400 seconds)");
		} else if (name === "i") {
			s.interval = within(duration_ns(value), 0, 60e9, "invalid report interval (min = 0.1, max = 60 seconds)");
		} else if (name === "P") {
			s.streams = within(integer(value), 1, MAX_STREAMS, "number of parallel streams too large (maximum = 128)");
		} else if (name === "R") s.reverse = true;
		else if (name === "b") rate = need(amount(value, 1000), "invalid bitrate");
		else if (name === "l") {
			s.blksize = within(amount(value, 1024), 1, MAX_BLOCKSIZE, "block size too large (maximum = 1048576 bytes)");
		} else if (name === "w") {
			s.window = within(
				amount(value, 1024),
				1,
				MAX_TCP_BUFFER,
				"socket buffer size too large (maximum = 536870912 bytes)",
			);
		} else if (name === "M") s.mss = within(integer(value), 1, 9216, "TCP MSS too large (maximum = 9216 bytes)");
		else if (name === "N") s.nodelay = true;
		else if (name === "C") s.congestion = value;
		else if (name === "B") {
			need(numeric_host(value, 0), "unable to bind to local address");
			s.bind = value;
		} else if (name === "O") {
			s.omit = within(duration_ns(value), 0, OMIT_MAX_NS, "bogus value for --omit");
		} else if (name === "J") s.json = true;
		else if (name === "1") s.one_off = true;
		else if (name === "4") s.domain = AF_INET;
		else if (name === "6") s.domain = AF_INET6;
	}
	if (server && s.host !== "") throw new usage_error("cannot be both server and client");
	if (!server && s.host === "") throw new usage_error("must either be a client (-c) or server (-s)");
	if (s.udp && s.blksize > 0 && (s.blksize < MIN_UDP_BLOCKSIZE || s.blksize > MAX_UDP_BLOCKSIZE)) {
		throw new usage_error(
			`block size invalid (minimum = ${MIN_UDP_BLOCKSIZE} bytes, maximum = ${MAX_UDP_BLOCKSIZE} bytes)`,
		);
	}
	s.rate = rate ?? (s.udp ? UDP_RATE : 0);
	return { role: server ? "s" : "c", settings: s };
}

/** The counters of a running or ended iperf3; null for another program. */
export function iperf3_stats(proc: process): iperf_stats | null {
	return proc.p_data instanceof iperf_stats ? proc.p_data : null;
}

export function* iperf3(proc: process, argv: readonly string[]): Blocking<number> {
	const stats = new iperf_stats();
	proc.p_data = stats;
	let command: command;
	try {
		command = parse(argv);
	} catch (error) {
		if (!(error instanceof usage_error)) throw error;
		proc.warn(`parameter error - ${error.message}`);
		proc.stderr("Usage: iperf3 [-s|-c host] [options]");
		return 1;
	}
	const run = command.role === "s" ? run_server : run_client;
	return yield* run(proc, command.settings, stats);
}
