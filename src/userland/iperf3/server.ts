/**
 * iperf3's server: one test at a time, and word to whoever else calls that it is busy.
 *
 * @see iperf_server_api.c, iperf_udp.c iperf_udp_accept
 */
import { type Errno, strerror } from "../../kernel/errno.ts";
import {
	AF_INET,
	AF_INET6,
	IPPROTO_IPV6,
	IPPROTO_TCP,
	IPV6_V6ONLY,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
} from "../../kernel/netinet/in.ts";
import { TCP_CONGESTION, TCP_MAXSEG, TCP_NODELAY } from "../../kernel/netinet/tcp.ts";
import type { Blocking } from "../../kernel/sched/thread.ts";
import { POLLIN, pollfd } from "../../kernel/socket/select.ts";
import {
	SO_REUSEADDR,
	SOCK_DGRAM,
	SOCK_STREAM,
	SOL_SOCKET,
	type socket,
	soreceive_args,
} from "../../kernel/socket/socket.ts";
import { accepted } from "../../kernel/socket/uipc_syscalls.ts";
import { numeric_host } from "../getopt.ts";
import type { process } from "../process.ts";
import {
	accept,
	bind,
	clock_monotonic,
	close,
	connect,
	getsockname,
	getsockopt,
	io_result,
	listen,
	poll,
	recvmsg,
	setsockopt,
	socket_open,
} from "../syscall.ts";
import { endpoint_of, stream_id } from "./client.ts";
import {
	ACCESS_DENIED,
	CLIENT_TERMINATE,
	COOKIE_SIZE,
	CREATE_STREAMS,
	close_streams,
	DISPLAY_RESULTS,
	EXCHANGE_RESULTS,
	get_parameters,
	get_results,
	IPERF_DONE,
	iperf_settings,
	type iperf_stats,
	iperf_stream,
	iperf_test,
	MAX_UDP_BLOCKSIZE,
	MIN_UDP_BLOCKSIZE,
	Nread,
	Nwrite,
	PARAM_EXCHANGE,
	read_state,
	SERVER_ERROR,
	send_results,
	set_send_state,
	TEST_END,
	TEST_RUNNING,
	TEST_START,
} from "./iperf.ts";
import { json_report, print_results, print_start } from "./report.ts";
import { end_test, init_test, poll_set, turn } from "./run.ts";
import { configure_stream } from "./stream.ts";

const UDP_CONNECT_REPLY = 0x39383736;
const BANNER = "-----------------------------------------------------------";
/** a client that says nothing for so long after its test should have ended is gone, ns */
const GRACE_NS = 10_000_000_000;

class server {
	readonly proc: process;
	readonly settings: iperf_settings;
	readonly stats: iperf_stats;
	listener: socket | null = null;
	/** takes the first datagram of the next UDP stream */
	udp_listener: socket | null = null;

	constructor(proc: process, settings: iperf_settings, stats: iperf_stats) {
		this.proc = proc;
		this.settings = settings;
		this.stats = stats;
	}
}

/** A socket bound to the server's port; without an address or family, it takes IPv4 only. @see net.c netannounce */
function* netannounce(srv: server, type: number): Blocking<socket | Errno> {
	const { proc, settings: s } = srv;
	let sa: sockaddr;
	if (s.bind !== "") sa = numeric_host(s.bind, s.port) as sockaddr;
	else sa = s.domain === AF_INET6 ? new sockaddr_in6(new Uint8Array(16), s.port) : new sockaddr_in(0, s.port);
	const so = yield* socket_open(proc, sa.sa_family, type, 0);
	if (typeof so === "number") return so;
	yield* setsockopt(proc, so, SOL_SOCKET, SO_REUSEADDR, 1);
	if (sa.sa_family === AF_INET6) yield* setsockopt(proc, so, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	let error = yield* bind(proc, so, sa);
	if (error === 0 && type === SOCK_STREAM) error = yield* listen(proc, so, 2147483647);
	if (error === 0) return so;
	yield* close(proc, so);
	return error;
}

/** Takes a connection whose cookie is right; one with another is told that we are busy. Null: it was not ours. */
function* accept_stream(srv: server, test: iperf_test): Blocking<accepted | null> {
	const conn = yield* accept(srv.proc, srv.listener as socket);
	if (typeof conn === "number") return null;
	const cookie = new Uint8Array(COOKIE_SIZE);
	const ours = (yield* Nread(test, conn.so, cookie)) && new TextDecoder().decode(cookie) === `${test.cookie}\0`;
	if (ours) return conn;
	yield* Nwrite(test, conn.so, Uint8Array.of(ACCESS_DENIED & 255));
	yield* close(srv.proc, conn.so);
	return null;
}

/** The first datagram says where a stream comes from; its socket is connected there, and a new one waits for the next stream. */
function* accept_udp(srv: server, test: iperf_test): Blocking<accepted | null> {
	const so = srv.udp_listener as socket;
	const msg = new soreceive_args();
	msg.want_addr = true;
	const buf = new Uint8Array(test.settings.blksize);
	if ((yield* recvmsg(srv.proc, so, buf, buf.length, msg, new io_result())) !== 0 || msg.psa === null) return null;
	if ((yield* connect(srv.proc, so, msg.psa)) !== 0) return null;
	const next = yield* netannounce(srv, SOCK_DGRAM);
	if (typeof next === "number") return null;
	srv.udp_listener = next;
	if (!(yield* configure_stream(test, so))) return null;
	const reply = new Uint8Array(4);
	new DataView(reply.buffer).setUint32(0, UDP_CONNECT_REPLY, true);
	return (yield* Nwrite(test, so, reply)) ? new accepted(so, msg.psa) : null;
}

/** Takes all streams, while it listens to the control connection. */
function* create_streams(srv: server, test: iperf_test): Blocking<boolean> {
	const { settings: s } = test;
	const ctrl = new pollfd(test.ctrl as socket, POLLIN);
	const deadline = clock_monotonic() + GRACE_NS;
	while (test.streams.length < s.streams) {
		const waiting = new pollfd((s.udp ? srv.udp_listener : srv.listener) as socket, POLLIN);
		if ((yield* poll(srv.proc, [ctrl, waiting], Math.max(0, deadline - clock_monotonic()))) === 0) {
			return test.fail("unable to accept stream connection: Operation timed out");
		}
		if (ctrl.revents !== 0) return test.fail("the client has unexpectedly closed the connection");
		const conn = yield* s.udp ? accept_udp(srv, test) : accept_stream(srv, test);
		if (conn === null) {
			if (s.udp) return test.fail("unable to accept stream connection");
			continue;
		}
		if (!s.udp && !(yield* configure_stream(test, conn.so))) return false;
		const local = endpoint_of(yield* getsockname(srv.proc, conn.so));
		const id = stream_id(test.streams.length);
		test.streams.push(new iperf_stream(id, conn.so, test.sender, s.blksize, local, endpoint_of(conn.name)));
	}
	if (!s.udp) {
		const cc = yield* getsockopt(srv.proc, test.streams[0].so, IPPROTO_TCP, TCP_CONGESTION);
		if (typeof cc === "string") test.congestion_used = cc;
	}
	return true;
}

/** Acts on the client's next state. @see iperf_server_api.c iperf_handle_message_server */
function* handle_message(test: iperf_test): Blocking<boolean> {
	const state = yield* read_state(test);
	if (state === null) return test.fail("the client has unexpectedly closed the connection");
	test.state = state;
	switch (state) {
		case TEST_START:
			return true;
		case TEST_END:
			yield* end_test(test);
			yield* close_streams(test);
			if (!(yield* set_send_state(test, EXCHANGE_RESULTS))) return false;
			if (!(yield* get_results(test)) || !(yield* send_results(test))) return false;
			if (!(yield* set_send_state(test, DISPLAY_RESULTS))) return false;
			print_results(test);
			return true;
		case IPERF_DONE:
			return true;
		case CLIENT_TERMINATE:
			return test.fail("the client has terminated");
		default:
			return test.fail("received an unknown control message");
	}
}

/** Somebody calls while a test runs. */
function* turn_away(srv: server, test: iperf_test): Blocking<void> {
	const conn = yield* accept(srv.proc, srv.listener as socket);
	if (typeof conn === "number") return;
	yield* Nwrite(test, conn.so, Uint8Array.of(ACCESS_DENIED & 255));
	yield* close(srv.proc, conn.so);
}

function* serve(srv: server, test: iperf_test): Blocking<boolean> {
	const cookie = new Uint8Array(COOKIE_SIZE);
	yield* setsockopt(srv.proc, test.ctrl as socket, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!(yield* Nread(test, test.ctrl as socket, cookie))) return test.fail("unable to receive cookie at server");
	test.cookie = new TextDecoder().decode(cookie.subarray(0, COOKIE_SIZE - 1));
	if (!(yield* set_send_state(test, PARAM_EXCHANGE)) || !(yield* get_parameters(test))) return false;
	const s = test.settings;
	if (s.udp && (s.blksize < MIN_UDP_BLOCKSIZE || s.blksize > MAX_UDP_BLOCKSIZE)) {
		return test.fail("unable to receive parameters from client");
	}
	test.sender = s.reverse;
	test.nonblocking = s.streams > 1 && !s.udp;
	const mss = yield* getsockopt(srv.proc, test.ctrl as socket, IPPROTO_TCP, TCP_MAXSEG);
	if (typeof mss === "number") test.ctrl_mss = mss;
	if (s.udp) {
		const so = yield* netannounce(srv, SOCK_DGRAM);
		if (typeof so === "number") return test.fail(`unable to start stream listener: ${strerror(so)}`);
		srv.udp_listener = so;
	}
	if (!(yield* set_send_state(test, CREATE_STREAMS)) || !(yield* create_streams(srv, test))) return false;
	print_start(test);
	if (!(yield* set_send_state(test, TEST_START))) return false;
	yield* init_test(test);
	test.test_end += GRACE_NS;
	if (!(yield* set_send_state(test, TEST_RUNNING))) return false;
	const set = new poll_set(test, new pollfd(srv.listener as socket, POLLIN));
	while (test.state === TEST_RUNNING) {
		if (!(yield* turn(test, set))) return false;
		if (set.listener!.revents !== 0) yield* turn_away(srv, test);
		if (set.ctrl.revents !== 0 && !(yield* handle_message(test))) return false;
		if (clock_monotonic() > test.test_end) return test.fail("the client has unexpectedly closed the connection");
	}
	while (test.state !== IPERF_DONE) if (!(yield* handle_message(test))) return false;
	return true;
}

/** Serves one test, whatever becomes of it. @returns whether it went well */
function* run_one(srv: server): Blocking<boolean> {
	const { proc } = srv;
	const conn = yield* accept(proc, srv.listener as socket);
	if (typeof conn === "number") {
		proc.warn(`error - unable to accept connection from client: ${strerror(conn)}`);
		return false;
	}
	const settings = new iperf_settings();
	settings.json = srv.settings.json;
	settings.interval = srv.settings.interval;
	settings.port = srv.settings.port;
	const test = new iperf_test(proc, "s", settings, srv.stats);
	test.ctrl = conn.so;
	test.remote = endpoint_of(conn.name);
	test.local = endpoint_of(yield* getsockname(proc, conn.so));
	if (!settings.json) proc.stdout(`Accepted connection from ${test.remote.host}, port ${test.remote.port}`);
	const ok = yield* serve(srv, test);
	if (!ok) {
		if (settings.json) proc.stdout(JSON.stringify(json_report(test), null, "\t"));
		else proc.warn(`error - ${test.error}`);
		if (test.state !== CLIENT_TERMINATE) yield* Nwrite(test, conn.so, Uint8Array.of(SERVER_ERROR & 255));
		yield* close_streams(test);
	}
	if (srv.udp_listener !== null) yield* close(proc, srv.udp_listener);
	srv.udp_listener = null;
	yield* close(proc, conn.so);
	return ok;
}

/** Serves tests until it is killed, or one with -1. @returns the exit status */
export function* run_server(proc: process, settings: iperf_settings, stats: iperf_stats): Blocking<number> {
	const srv = new server(proc, settings, stats);
	if (settings.domain === 0) settings.domain = AF_INET;
	const so = yield* netannounce(srv, SOCK_STREAM);
	if (typeof so === "number") {
		proc.warn(`error - unable to start listener for connections: ${strerror(so)}`);
		return proc.warn("exiting");
	}
	srv.listener = so;
	let ok: boolean;
	do {
		if (!settings.json) {
			proc.stdout(BANNER);
			proc.stdout(`Server listening on ${settings.port}`);
			proc.stdout(BANNER);
		}
		ok = yield* run_one(srv);
	} while (!settings.one_off);
	yield* close(proc, so);
	return ok ? 0 : 1;
}
