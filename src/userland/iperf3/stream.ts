/**
 * Sending and receiving on streams, and what paces them.
 *
 * A sender that has one TCP stream writes whole blocks and waits in the kernel while the socket buffer is full, and its receiver reads
 * whole blocks likewise, as iperf3 did before it made streams non-blocking. With several streams (-P) the sockets do not
 * block, and one thread goes round those that poll(2) says are ready, as iperf3 does before 3.16.
 *
 * @see iperf_api.c iperf_send, iperf_recv, iperf_check_throttle; iperf_tcp.c; iperf_udp.c
 */
import { EAGAIN, ENOBUFS, type Errno } from "../../kernel/errno.ts";
import { IPPROTO_TCP, in_get32, in_put32 } from "../../kernel/netinet/in.ts";
import { TCP_CONGESTION, TCP_INFO, TCP_MAXSEG, TCP_NODELAY } from "../../kernel/netinet/tcp.ts";
import { type Blocking, charge, cost } from "../../kernel/sched/thread.ts";
import { SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, type socket } from "../../kernel/socket/socket.ts";
import { clock_monotonic, getsockopt, read, send, setsockopt } from "../syscall.ts";
import type { iperf_stream, iperf_test } from "./iperf.ts";

/** blocks sent before the loop looks at anything else */
const MULTISEND = 10;

/** May this stream send, or is it ahead of its rate? */
export function check_throttle(test: iperf_test, sp: iperf_stream, now: number): void {
	const rate = test.settings.rate;
	if (rate === 0 || test.done) return;
	const since = test.omitting ? test.stats.start_ns : test.start_time;
	const sent = test.omitting ? sp.total_bytes : sp.bytes;
	sp.green_light = sent * 8 * 1e9 < rate * (now - since);
}

/** Puts time and number in front of a datagram. @see iperf_udp.c iperf_udp_send */
function udp_header(sp: iperf_stream): void {
	const now = clock_monotonic();
	charge(cost.iperf3_udp);
	in_put32(sp.buffer, 0, Math.floor(now / 1e9));
	in_put32(sp.buffer, 4, Math.floor((now % 1e9) / 1000));
	in_put32(sp.buffer, 8, ++sp.packet_count);
}

/** Sends one block. @returns 0, EAGAIN when the stream can take no more now, or another error */
function* send_block(test: iperf_test, sp: iperf_stream): Blocking<Errno> {
	charge(cost.iperf3_block);
	const udp = test.settings.udp;
	if (udp) udp_header(sp);
	const error = yield* send(test.proc, sp.so, sp.buffer, sp.buffer.length, test.scratch, !udp);
	if (udp && error === ENOBUFS) {
		// the interface's queue is full: iperf3 tries again later, with the next number
		sp.packet_count--;
		return EAGAIN;
	}
	sp.total_bytes += test.scratch.bytes;
	test.stats.bytes_sent += test.scratch.bytes;
	if (udp && error === 0) test.stats.packets_sent++;
	test.stats.blocks_sent++;
	if (error === 0 && test.scratch.bytes < sp.buffer.length) return EAGAIN;
	return error;
}

/** Sends on all streams that may, a few blocks each. @returns false if one broke */
export function* iperf_send(test: iperf_test, writable: (sp: iperf_stream) => boolean): Blocking<boolean> {
	const rate = test.settings.rate;
	// a block that waits in the kernel is a long time by itself
	const multisend = rate !== 0 || !(test.nonblocking || test.settings.udp) ? 1 : MULTISEND;
	for (let turn = 0; turn < multisend; turn++) {
		let active = false;
		for (const sp of test.streams) {
			if (!sp.green_light || !writable(sp)) continue;
			const error = yield* send_block(test, sp);
			if (error === EAGAIN) continue;
			if (error !== 0) return test.fail("unable to write to stream socket");
			active = true;
			if (rate !== 0) check_throttle(test, sp, clock_monotonic());
		}
		if (!active) break;
	}
	return true;
}

/** Takes note of a datagram: losses, order, jitter. @see iperf_udp.c iperf_udp_recv; RFC 1889 */
function udp_account(test: iperf_test, sp: iperf_stream): void {
	charge(cost.iperf3_udp);
	const arrived = clock_monotonic();
	const sent = in_get32(sp.buffer, 0) * 1e9 + in_get32(sp.buffer, 4) * 1000;
	const pcount = in_get32(sp.buffer, 8);
	if (pcount >= sp.packet_count + 1) {
		if (pcount > sp.packet_count + 1) sp.cnt_error += pcount - 1 - sp.packet_count;
		sp.packet_count = pcount;
	} else {
		sp.outoforder++;
		if (sp.cnt_error > 0) sp.cnt_error--;
	}
	const transit = (arrived - sent) / 1e9;
	if (sp.first_transit) {
		sp.first_transit = false;
		sp.prev_transit = transit;
	}
	const d = Math.abs(transit - sp.prev_transit);
	sp.prev_transit = transit;
	sp.jitter += (d - sp.jitter) / 16;
	test.stats.packets_received++;
}

/** Reads one block or datagram, or what there is of it. @returns 0, EAGAIN when there is no more, or -1 at the end */
function* recv_block(test: iperf_test, sp: iperf_stream): Blocking<Errno> {
	charge(cost.iperf3_block);
	const { udp } = test.settings;
	let got = 0;
	do {
		const error = yield* read(test.proc, sp.so, sp.buffer, sp.buffer.length - got, test.scratch, !udp);
		const bytes = test.scratch.bytes;
		got += bytes;
		sp.total_bytes += bytes;
		test.stats.bytes_received += bytes;
		if (error !== 0) return error === EAGAIN ? EAGAIN : -1;
		if (udp) {
			udp_account(test, sp);
			return 0;
		}
		if (bytes === 0) return -1;
	} while (got < sp.buffer.length);
	return 0;
}

/** Receives on a stream that has something. One at its end is left alone from then on: the control connection says what it means. */
export function* iperf_recv(test: iperf_test, sp: iperf_stream): Blocking<void> {
	if ((yield* recv_block(test, sp)) === -1) sp.green_light = false;
}

/** What iperf3 reads of TCP_INFO. */
export interface tcp_info_sample {
	readonly retransmits: number;
	readonly snd_cwnd: number;
	readonly rtt: number;
	readonly rttvar: number;
}

/** TCP_INFO of a stream, or null where the kernel does not say. @see tcp_info.c save_tcpinfo */
export function* tcp_info(test: iperf_test, so: socket): Blocking<tcp_info_sample | null> {
	const info = yield* getsockopt(test.proc, so, IPPROTO_TCP, TCP_INFO);
	if (typeof info !== "object" || info === null) return null;
	const ti = info as Readonly<Record<string, number>>;
	return {
		retransmits: ti.tcpi_snd_rexmitpack ?? 0,
		snd_cwnd: ti.tcpi_snd_cwnd ?? 0,
		rtt: ti.tcpi_rtt ?? 0,
		rttvar: ti.tcpi_rttvar ?? 0,
	};
}

/** Socket options of a new stream. @see iperf_tcp.c iperf_tcp_connect, iperf_udp.c iperf_udp_buffercheck */
export function* configure_stream(test: iperf_test, so: socket): Blocking<boolean> {
	const { proc, settings: s } = test;
	if (s.window > 0) {
		if ((yield* setsockopt(proc, so, SOL_SOCKET, SO_SNDBUF, s.window)) !== 0) {
			return test.fail("unable to set socket buffer size");
		}
		if ((yield* setsockopt(proc, so, SOL_SOCKET, SO_RCVBUF, s.window)) !== 0) {
			return test.fail("unable to set socket buffer size");
		}
	}
	if (s.udp) return true;
	if (s.nodelay && (yield* setsockopt(proc, so, IPPROTO_TCP, TCP_NODELAY, 1)) !== 0) {
		return test.fail("unable to set TCP/SCTP NODELAY");
	}
	if (s.mss > 0 && (yield* setsockopt(proc, so, IPPROTO_TCP, TCP_MAXSEG, s.mss)) !== 0) {
		return test.fail("unable to set TCP/SCTP MSS");
	}
	if (s.congestion !== "" && (yield* setsockopt(proc, so, IPPROTO_TCP, TCP_CONGESTION, s.congestion)) !== 0) {
		return test.fail("unable to set TCP_CONGESTION: Supplied congestion control algorithm not supported on this host");
	}
	return true;
}
