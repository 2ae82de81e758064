/**
 * iperf3's client: says what to test, opens the streams, ends the test when its time is up, and fetches the server's figures.
 *
 * @see iperf_client_api.c
 */
import { type Errno, strerror } from "../../kernel/errno.ts";
import {
	AF_INET6,
	IPPROTO_TCP,
	inet_ntop,
	type sockaddr,
	type sockaddr_in,
	type sockaddr_in6,
} from "../../kernel/netinet/in.ts";
import { TCP_CONGESTION, TCP_MAXSEG, TCP_NODELAY } from "../../kernel/netinet/tcp.ts";
import type { Blocking } from "../../kernel/sched/thread.ts";
import { SO_RCVTIMEO, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, type socket } from "../../kernel/socket/socket.ts";
import { numeric_host } from "../getopt.ts";
import type { process } from "../process.ts";
import { bind, clock_monotonic, close, connect, getsockname, getsockopt, setsockopt, socket_open } from "../syscall.ts";
import {
	ACCESS_DENIED,
	CREATE_STREAMS,
	close_streams,
	DEFAULT_TCP_BLKSIZE,
	DEFAULT_UDP_BLKSIZE,
	DISPLAY_RESULTS,
	EXCHANGE_RESULTS,
	type endpoint,
	get_results,
	IPERF_DONE,
	type iperf_settings,
	type iperf_stats,
	iperf_stream,
	iperf_test,
	make_cookie,
	Nread,
	Nwrite,
	PARAM_EXCHANGE,
	read_state,
	SERVER_ERROR,
	SERVER_TERMINATE,
	send_parameters,
	send_results,
	set_send_state,
	TEST_END,
	TEST_RUNNING,
	TEST_START,
} from "./iperf.ts";
import { json_report, print_results, print_start } from "./report.ts";
import { end_test, init_test, poll_set, turn } from "./run.ts";
import { configure_stream, iperf_recv } from "./stream.ts";

const UDP_CONNECT_MSG = 0x36373839;
/** how long a client waits for the server's first datagram, ns */
const UDP_CONNECT_TIMEOUT = 30_000_000_000;

export function endpoint_of(sa: sockaddr | Errno): endpoint {
	if (typeof sa === "number") return { host: "", port: 0 };
	if (sa.sa_family === AF_INET6) {
		const sin6 = sa as sockaddr_in6;
		return { host: inet_ntop(sin6.sin6_addr), port: sin6.sin6_port };
	}
	const sin = sa as sockaddr_in;
	return { host: inet_ntop(sin.sin_addr), port: sin.sin_port };
}

/** Opens a socket and connects it to the server. @returns an error number if that fails @see net.c netdial */
function* netdial(test: iperf_test, type: number): Blocking<socket | Errno> {
	const { proc, settings: s } = test;
	const sa = numeric_host(s.host, s.port) as sockaddr;
	const so = yield* socket_open(proc, sa.sa_family, type, 0);
	if (typeof so === "number") return so;
	let error: Errno = 0;
	if (s.bind !== "") error = yield* bind(proc, so, numeric_host(s.bind, 0) as sockaddr);
	if (error === 0 && test.ctrl !== null && !(yield* configure_stream(test, so))) return -1;
	if (error === 0) error = yield* connect(proc, so, sa);
	if (error === 0) return so;
	yield* close(proc, so);
	return error;
}

/** The control connection. @see iperf_client_api.c iperf_connect */
function* iperf_connect(test: iperf_test): Blocking<boolean> {
	const { proc, settings: s } = test;
	if (numeric_host(s.host, s.port) === null) {
		return test.fail("unable to connect to server: Name does not resolve");
	}
	const so = yield* netdial(test, SOCK_STREAM);
	if (typeof so === "number") return test.fail(`unable to connect to server: ${strerror(so)}`);
	test.ctrl = so;
	// control messages are small and must not wait for one another
	yield* setsockopt(proc, so, IPPROTO_TCP, TCP_NODELAY, 1);
	test.cookie = make_cookie();
	if (!(yield* Nwrite(test, so, cookie_bytes(test)))) return test.fail("unable to send cookie to server");
	const mss = yield* getsockopt(proc, so, IPPROTO_TCP, TCP_MAXSEG);
	if (typeof mss === "number") test.ctrl_mss = mss;
	if (s.blksize === 0) {
		if (!s.udp) s.blksize = DEFAULT_TCP_BLKSIZE;
		else s.blksize = test.ctrl_mss > 0 ? test.ctrl_mss : DEFAULT_UDP_BLKSIZE;
	}
	return true;
}

function cookie_bytes(test: iperf_test): Uint8Array {
	return new TextEncoder().encode(`${test.cookie}\0`);
}

/** Opens the streams. A TCP stream shows the cookie; a UDP one knocks and waits for an answer. */
function* create_streams(test: iperf_test): Blocking<boolean> {
	const { proc, settings: s } = test;
	for (let i = 0; i < s.streams; i++) {
		const so = yield* netdial(test, s.udp ? SOCK_DGRAM : SOCK_STREAM);
		if (typeof so === "number") {
			return test.fail(`unable to connect stream: ${so < 0 ? test.error : strerror(so)}`);
		}
		if (!s.udp) {
			if (!(yield* Nwrite(test, so, cookie_bytes(test)))) return test.fail("unable to send cookie to server");
		} else {
			const msg = new Uint8Array(4);
			new DataView(msg.buffer).setUint32(0, UDP_CONNECT_MSG, true);
			if (!(yield* Nwrite(test, so, msg))) return test.fail("unable to write to stream socket");
			yield* setsockopt(proc, so, SOL_SOCKET, SO_RCVTIMEO, UDP_CONNECT_TIMEOUT);
			if (!(yield* Nread(test, so, msg))) return test.fail("unable to read from stream socket");
			yield* setsockopt(proc, so, SOL_SOCKET, SO_RCVTIMEO, 0);
		}
		const local = endpoint_of(yield* getsockname(proc, so));
		test.streams.push(
			new iperf_stream(stream_id(i), so, test.sender, s.blksize, local, { host: s.host, port: s.port }),
		);
	}
	if (!s.udp) {
		const cc = yield* getsockopt(proc, test.streams[0].so, IPPROTO_TCP, TCP_CONGESTION);
		if (typeof cc === "string") test.congestion_used = cc;
	}
	return true;
}

/** Streams are numbered as descriptors usually come out: both sides must agree. @see iperf_api.c iperf_add_stream */
export function stream_id(i: number): number {
	return i === 0 ? 1 : i + 2;
}

/** Acts on the server's next state. @see iperf_client_api.c iperf_handle_message_client */
function* handle_message(test: iperf_test): Blocking<boolean> {
	const state = yield* read_state(test);
	if (state === null) return test.fail("control socket has closed unexpectedly");
	test.state = state;
	switch (state) {
		case PARAM_EXCHANGE:
			return yield* send_parameters(test);
		case CREATE_STREAMS:
			if (!(yield* create_streams(test))) return false;
			print_start(test);
			return true;
		case TEST_START:
			yield* init_test(test);
			return true;
		case TEST_RUNNING:
			return true;
		case EXCHANGE_RESULTS:
			return (yield* send_results(test)) && (yield* get_results(test));
		case DISPLAY_RESULTS:
			print_results(test);
			yield* close_streams(test);
			return yield* set_send_state(test, IPERF_DONE);
		case IPERF_DONE:
			return true;
		case SERVER_TERMINATE:
			return test.fail("the server has terminated");
		case ACCESS_DENIED:
			return test.fail("the server is busy running a test. try again later");
		case SERVER_ERROR:
			return test.fail("the server reports an error");
		default:
			return test.fail("received an unknown control message");
	}
}

/** Runs the test from TEST_RUNNING to TEST_END. */
function* run_test(test: iperf_test): Blocking<boolean> {
	const set = new poll_set(test, null);
	while (test.state === TEST_RUNNING) {
		if (!(yield* turn(test, set))) return false;
		if (set.ctrl.revents !== 0 && !(yield* handle_message(test))) return false;
		if (clock_monotonic() < test.test_end) continue;
		yield* end_test(test);
		if (!(yield* set_send_state(test, TEST_END))) return false;
	}
	// a receiver goes on reading, or the server might never get round to the news
	while (!test.sender && test.state === TEST_END) {
		test.test_end = Number.POSITIVE_INFINITY;
		test.next_report = Number.POSITIVE_INFINITY;
		yield* drain(test, set);
		if (set.ctrl.revents !== 0 && !(yield* handle_message(test))) return false;
	}
	return true;
}

/** Reads and forgets: what arrives now does not count. */
function* drain(test: iperf_test, set: poll_set): Blocking<void> {
	yield* set.wait_readable(test);
	for (const [sp, fd] of set.streams) {
		if (fd.revents === 0) continue;
		const before = sp.total_bytes;
		yield* iperf_recv(test, sp);
		sp.total_bytes = before;
	}
}

/** Runs one test against a server. @returns the exit status */
export function* run_client(proc: process, settings: iperf_settings, stats: iperf_stats): Blocking<number> {
	const test = new iperf_test(proc, "c", settings, stats);
	test.sender = !settings.reverse;
	test.nonblocking = settings.streams > 1 && !settings.udp;
	if (!settings.json) proc.stdout(`Connecting to host ${settings.host}, port ${settings.port}`);
	if (!settings.json && settings.reverse) proc.stdout(`Reverse mode, remote host ${settings.host} is sending`);
	let ok = yield* iperf_connect(test);
	while (ok && test.state !== IPERF_DONE) {
		ok = test.state === TEST_RUNNING ? yield* run_test(test) : yield* handle_message(test);
	}
	if (!ok) {
		yield* close_streams(test);
		if (settings.json) proc.stdout(JSON.stringify(json_report(test), null, "\t"));
		else proc.warn(`error - ${test.error}`);
	}
	if (test.ctrl !== null) yield* close(proc, test.ctrl);
	return ok ? 0 : 1;
}
