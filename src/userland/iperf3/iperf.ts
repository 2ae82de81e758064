/**
 * What a test is made of: settings, streams and counters, and the messages on the control connection.
 *
 * The protocol is iperf 3's: a cookie, one-byte states, JSON behind a four-byte length. A real iperf3 would understand it, but for
 * one thing: times are seconds with a fraction, since a simulated test may last milliseconds.
 *
 * @see iperf.h, iperf_api.c send_parameters, get_parameters, send_results, get_results
 */
import { arc4random_uniform } from "../../kernel/sched/kernel.ts";
import type { Blocking } from "../../kernel/sched/thread.ts";
import type { socket } from "../../kernel/socket/socket.ts";
import type { process } from "../process.ts";
import { close, io_result, read, send } from "../syscall.ts";

export const IPERF_VERSION = "3.10.1";
export const PORT = 5201;
export const COOKIE_SIZE = 37;
export const DEFAULT_TCP_BLKSIZE = 128 * 1024;
export const DEFAULT_UDP_BLKSIZE = 1460;
export const MAX_BLOCKSIZE = 1024 * 1024;
export const MIN_UDP_BLOCKSIZE = 16;
export const MAX_UDP_BLOCKSIZE = 65535 - 8 - 20;
export const MAX_STREAMS = 128;
/** bits per second of a UDP stream, unless told */
export const UDP_RATE = 1024 * 1024;
export const PACING_TIMER_NS = 1_000_000;
const MAX_PARAMS_JSON_STRING = 8 * 1024;
const MAX_RESULTS_JSON_STRING = 256 * 1024;

// states, as they go over the control connection
export const TEST_START = 1;
export const TEST_RUNNING = 2;
export const TEST_END = 4;
export const PARAM_EXCHANGE = 9;
export const CREATE_STREAMS = 10;
export const SERVER_TERMINATE = 11;
export const CLIENT_TERMINATE = 12;
export const EXCHANGE_RESULTS = 13;
export const DISPLAY_RESULTS = 14;
export const IPERF_START = 15;
export const IPERF_DONE = 16;
export const ACCESS_DENIED = -1;
export const SERVER_ERROR = -2;

export class iperf_settings {
	udp = false;
	port = PORT;
	/** ns */
	duration = 10_000_000_000;
	/** ns at the start that do not count */
	omit = 0;
	/** ns between reports, 0 for none */
	interval = 1_000_000_000;
	streams = 1;
	reverse = false;
	/** bits per second and stream, 0 for as many as go */
	rate = 0;
	/** bytes of a block or datagram, 0 for the default */
	blksize = 0;
	/** bytes of the socket buffers, 0 for the system's */
	window = 0;
	mss = 0;
	nodelay = false;
	congestion = "";
	bind = "";
	domain = 0;
	json = false;
	one_off = false;
	host = "";
}

/** What one stream did in one reporting interval, or altogether. */
export class iperf_interval {
	start = 0;
	end = 0;
	bytes = 0;
	retransmits = 0;
	snd_cwnd = 0;
	rtt = 0;
	rttvar = 0;
	packets = 0;
	lost_packets = 0;
	outoforder = 0;
	jitter = 0;
	omitted = false;
}

export class iperf_stream {
	readonly id: number;
	readonly so: socket;
	readonly sender: boolean;
	readonly buffer: Uint8Array;
	readonly local_host: string;
	readonly local_port: number;
	readonly remote_host: string;
	readonly remote_port: number;
	/** may send now, as far as its rate goes */
	green_light = true;
	/** since the test began, the omitted part included */
	total_bytes = 0;
	/** total_bytes when the omitted part ended */
	omitted_bytes = 0;
	/** total_bytes when the current interval began */
	interval_bytes = 0;
	retransmits_before = 0;
	interval_retransmits = 0;
	// UDP
	packet_count = 0;
	omitted_packets = 0;
	interval_packets = 0;
	cnt_error = 0;
	omitted_errors = 0;
	interval_errors = 0;
	outoforder = 0;
	omitted_outoforder = 0;
	interval_outoforder = 0;
	jitter = 0;
	prev_transit = 0;
	first_transit = true;
	readonly intervals: iperf_interval[] = [];
	/** what the other side says about this stream */
	peer: stream_results | null = null;

	constructor(id: number, so: socket, sender: boolean, blksize: number, local: endpoint, remote: endpoint) {
		this.id = id;
		this.so = so;
		this.sender = sender;
		this.buffer = new Uint8Array(blksize);
		// a recognisable pattern, as iperf3 fills its buffers with
		for (let i = 0; i < blksize; i++) this.buffer[i] = 0x30 + (i % 10);
		this.local_host = local.host;
		this.local_port = local.port;
		this.remote_host = remote.host;
		this.remote_port = remote.port;
	}

	/** bytes that count: those of the omitted part do not */
	get bytes(): number {
		return this.total_bytes - this.omitted_bytes;
	}
}

export interface endpoint {
	readonly host: string;
	readonly port: number;
}

/** Counters anybody may read at any time, also from outside the machine. They only grow; the omitted part counts. */
export class iperf_stats {
	bytes_sent = 0;
	bytes_received = 0;
	blocks_sent = 0;
	packets_sent = 0;
	packets_received = 0;
	/** data is flowing, and the omitted part is over */
	measuring = false;
	/** when data began to flow and when they ceased, ns since boot; 0 before */
	start_ns = 0;
	end_ns = 0;
}

export class iperf_test {
	readonly proc: process;
	readonly role: "c" | "s";
	readonly settings: iperf_settings;
	readonly stats: iperf_stats;
	state = 0;
	cookie = "";
	ctrl: socket | null = null;
	local: endpoint = { host: "", port: 0 };
	remote: endpoint = { host: "", port: 0 };
	readonly streams: iperf_stream[] = [];
	/** this side sends the data */
	sender = false;
	/** only when all streams are written without waiting does one that is full not hold up the others */
	nonblocking = false;
	omitting = false;
	done = false;
	/** ns since boot: start of what counts, of the current interval; and of the timers */
	start_time = 0;
	end_time = 0;
	interval_start = 0;
	next_report = Number.POSITIVE_INFINITY;
	omit_end = Number.POSITIVE_INFINITY;
	test_end = Number.POSITIVE_INFINITY;
	next_pacing = Number.POSITIVE_INFINITY;
	/** CPU time of the process when the test began, ns */
	cpu_start = 0;
	cpu_util = 0;
	remote_cpu_util = 0;
	sender_has_retransmits = false;
	congestion_used = "";
	remote_congestion_used = "";
	ctrl_mss = 0;
	/** what went wrong, in iperf3's words */
	error = "";
	readonly scratch = new io_result();

	constructor(proc: process, role: "c" | "s", settings: iperf_settings, stats: iperf_stats) {
		this.proc = proc;
		this.role = role;
		this.settings = settings;
		this.stats = stats;
	}

	fail(error: string): false {
		if (this.error === "") this.error = error;
		return false;
	}
}

/** A cookie of 36 characters that tells tests apart. @see iperf_util.c make_cookie */
export function make_cookie(): string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567";
	let cookie = "";
	for (let i = 0; i < COOKIE_SIZE - 1; i++) cookie += letters[arc4random_uniform(letters.length)];
	return cookie;
}

/** Writes all of `buf`. @see net.c Nwrite */
export function* Nwrite(test: iperf_test, so: socket, buf: Uint8Array): Blocking<boolean> {
	return (yield* send(test.proc, so, buf, buf.length, test.scratch)) === 0;
}

/** Reads until `buf` is full. @see net.c Nread */
export function* Nread(test: iperf_test, so: socket, buf: Uint8Array): Blocking<boolean> {
	let got = 0;
	while (got < buf.length) {
		const error = yield* read(test.proc, so, buf.subarray(got), buf.length - got, test.scratch);
		if (error !== 0 || test.scratch.bytes === 0) return false;
		got += test.scratch.bytes;
	}
	return true;
}

/** Goes to a state and tells the other side. @see iperf_api.c iperf_set_send_state */
export function* set_send_state(test: iperf_test, state: number): Blocking<boolean> {
	test.state = state;
	return (
		(yield* Nwrite(test, test.ctrl as socket, Uint8Array.of(state & 255))) ||
		test.fail("unable to send control message")
	);
}

/** Reads the other side's next state; null when the connection is gone. */
export function* read_state(test: iperf_test): Blocking<number | null> {
	const byte = new Uint8Array(1);
	if (!(yield* Nread(test, test.ctrl as socket, byte))) return null;
	return byte[0] > 127 ? byte[0] - 256 : byte[0];
}

function* JSON_write(test: iperf_test, value: unknown): Blocking<boolean> {
	const text = new TextEncoder().encode(JSON.stringify(value));
	const message = new Uint8Array(4 + text.length);
	new DataView(message.buffer).setUint32(0, text.length);
	message.set(text, 4);
	return yield* Nwrite(test, test.ctrl as socket, message);
}

/** The other side's message: an object, or null if it was none, too long or cut short. */
function* JSON_read(test: iperf_test, max: number): Blocking<Readonly<Record<string, unknown>> | null> {
	const length = new Uint8Array(4);
	if (!(yield* Nread(test, test.ctrl as socket, length))) return null;
	const size = new DataView(length.buffer).getUint32(0);
	if (size === 0 || size > max) return null;
	const text = new Uint8Array(size);
	if (!(yield* Nread(test, test.ctrl as socket, text))) return null;
	try {
		const value: unknown = JSON.parse(new TextDecoder().decode(text));
		return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : null;
	} catch {
		return null;
	}
}

/** The client tells the server what to test. */
export function* send_parameters(test: iperf_test): Blocking<boolean> {
	const s = test.settings;
	const sent = yield* JSON_write(test, {
		[s.udp ? "udp" : "tcp"]: true,
		omit: s.omit / 1e9,
		time: s.duration / 1e9,
		parallel: s.streams,
		...(s.reverse ? { reverse: true } : {}),
		...(s.window > 0 ? { window: s.window } : {}),
		...(s.mss > 0 ? { MSS: s.mss } : {}),
		...(s.nodelay ? { nodelay: true } : {}),
		...(s.congestion !== "" ? { congestion: s.congestion } : {}),
		len: s.blksize,
		...(s.rate > 0 ? { bandwidth: s.rate } : {}),
		pacing_timer: PACING_TIMER_NS / 1000,
		client_version: IPERF_VERSION,
	});
	return sent || test.fail("unable to send parameters to server");
}

/** A number of a message from the other side, within bounds; the default when it is missing. */
function number(from: Readonly<Record<string, unknown>>, name: string, max: number, otherwise: number): number {
	const value = from[name];
	return typeof value === "number" && value >= 0 && value <= max ? value : otherwise;
}

/** The server hears what to test. */
export function* get_parameters(test: iperf_test): Blocking<boolean> {
	const j = yield* JSON_read(test, MAX_PARAMS_JSON_STRING);
	if (j === null) return test.fail("unable to receive parameters from client");
	const s = test.settings;
	s.udp = j.udp === true;
	s.omit = Math.round(number(j, "omit", 600, 0) * 1e9);
	s.duration = Math.round(number(j, "time", 86400, 10) * 1e9);
	s.streams = Math.floor(number(j, "parallel", MAX_STREAMS, 1));
	s.reverse = j.reverse === true;
	s.window = Math.floor(number(j, "window", 512 * 1024 * 1024, 0));
	s.mss = Math.floor(number(j, "MSS", 65535, 0));
	s.nodelay = j.nodelay === true;
	s.congestion = typeof j.congestion === "string" ? j.congestion : "";
	s.blksize = Math.floor(number(j, "len", MAX_BLOCKSIZE, DEFAULT_TCP_BLKSIZE));
	s.rate = Math.floor(number(j, "bandwidth", 1e15, 0));
	return s.streams > 0 && s.blksize > 0 ? true : test.fail("unable to receive parameters from client");
}

/** What each side tells the other about a stream. */
export interface stream_results {
	readonly id: number;
	readonly bytes: number;
	readonly retransmits: number;
	readonly jitter: number;
	readonly errors: number;
	readonly packets: number;
	readonly start_time: number;
	readonly end_time: number;
}

export function* send_results(test: iperf_test): Blocking<boolean> {
	const seconds = (test.end_time - test.start_time) / 1e9;
	const sent = yield* JSON_write(test, {
		cpu_util_total: test.cpu_util,
		cpu_util_user: 0,
		cpu_util_system: test.cpu_util,
		sender_has_retransmits: test.sender ? (test.sender_has_retransmits ? 1 : 0) : -1,
		congestion_used: test.congestion_used,
		streams: test.streams.map((sp) => ({
			id: sp.id,
			bytes: sp.bytes,
			retransmits: test.sender && test.sender_has_retransmits ? sp.retransmits_before : -1,
			jitter: sp.jitter,
			errors: sp.cnt_error - sp.omitted_errors,
			packets: sp.packet_count - sp.omitted_packets,
			start_time: 0,
			end_time: seconds,
		})),
	});
	return sent || test.fail("unable to send results");
}

export function* get_results(test: iperf_test): Blocking<boolean> {
	const j = yield* JSON_read(test, MAX_RESULTS_JSON_STRING);
	if (j === null || !Array.isArray(j.streams)) return test.fail("unable to receive results");
	test.remote_cpu_util = number(j, "cpu_util_total", 1e6, 0);
	test.remote_congestion_used = typeof j.congestion_used === "string" ? j.congestion_used : "";
	if (!test.sender) test.sender_has_retransmits = j.sender_has_retransmits === 1;
	for (const r of j.streams as unknown[]) {
		if (typeof r !== "object" || r === null) return test.fail("unable to receive results");
		const record = r as Readonly<Record<string, unknown>>;
		const sp = test.streams.find((stream) => stream.id === record.id);
		if (sp === undefined) return test.fail("unable to receive results");
		sp.peer = {
			id: sp.id,
			bytes: number(record, "bytes", Number.MAX_SAFE_INTEGER, 0),
			retransmits: number(record, "retransmits", Number.MAX_SAFE_INTEGER, -1),
			jitter: number(record, "jitter", 1e9, 0),
			errors: number(record, "errors", Number.MAX_SAFE_INTEGER, 0),
			packets: number(record, "packets", Number.MAX_SAFE_INTEGER, 0),
			start_time: number(record, "start_time", 1e9, 0),
			end_time: number(record, "end_time", 1e9, 0),
		};
	}
	return true;
}

/** Closes the streams. */
export function* close_streams(test: iperf_test): Blocking<void> {
	for (const sp of test.streams) if (test.proc.p_fd.has(sp.so)) yield* close(test.proc, sp.so);
}
