/**
 * The part of a test in which data flow, the same for client and server: one thread that goes round its timers, its control
 * connection and its streams.
 *
 * @see iperf_client_api.c iperf_run_client, iperf_server_api.c iperf_run_server, iperf_api.c iperf_init_test, iperf_reset_stats
 */
import { type Blocking, charge, cost, type thread } from "../../kernel/sched/thread.ts";
import { POLLIN, POLLOUT, pollfd } from "../../kernel/socket/select.ts";
import { clock_monotonic, nanosleep, poll, setnonblock } from "../syscall.ts";
import { iperf_interval, type iperf_stream, type iperf_test, PACING_TIMER_NS } from "./iperf.ts";
import { print_interval } from "./report.ts";
import { check_throttle, iperf_recv, iperf_send, tcp_info } from "./stream.ts";

/** What one turn waits for: made when the test starts. */
export class poll_set {
	readonly ctrl: pollfd;
	readonly listener: pollfd | null;
	readonly streams = new Map<iperf_stream, pollfd>();
	/** may be written now: one whose writes block always may */
	readonly writable: (sp: iperf_stream) => boolean;

	constructor(test: iperf_test, listener: pollfd | null) {
		this.ctrl = new pollfd(test.ctrl!, POLLIN);
		this.listener = listener;
		for (const sp of test.streams) this.streams.set(sp, new pollfd(sp.so, sp.sender ? POLLOUT : POLLIN));
		this.writable = test.nonblocking ? (sp) => this.streams.get(sp)!.revents !== 0 : () => true;
	}

	/** Waits, however long, for a message or for data. */
	*wait_readable(test: iperf_test): Blocking<void> {
		const fds: pollfd[] = [this.ctrl];
		for (const [sp, fd] of this.streams) {
			fd.revents = 0;
			if (sp.green_light) fds.push(fd);
		}
		yield* poll(test.proc, fds, -1);
	}
}

/** TEST_START: sets the clocks. */
export function* init_test(test: iperf_test): Blocking<void> {
	const now = clock_monotonic();
	const { settings: s, stats } = test;
	stats.start_ns = now;
	test.start_time = now;
	test.interval_start = now;
	test.cpu_start = (test.proc.p_td as thread).td_runtime;
	test.omitting = s.omit > 0;
	stats.measuring = !test.omitting;
	if (test.omitting) test.omit_end = now + s.omit;
	test.test_end = now + s.omit + s.duration;
	if (s.interval > 0) test.next_report = now + s.interval;
	if (s.rate > 0 && test.sender) test.next_pacing = now + PACING_TIMER_NS;
	if (!test.nonblocking) return;
	for (const sp of test.streams) yield* setnonblock(test.proc, sp.so, true);
}

/** Closes an interval: what each stream did since the last. @see iperf_api.c iperf_stats_callback */
export function* gather_stats(test: iperf_test, now: number): Blocking<void> {
	if (now <= test.interval_start) return;
	const base = test.omitting ? test.stats.start_ns : test.start_time;
	for (const sp of test.streams) {
		const iv = new iperf_interval();
		iv.start = (test.interval_start - base) / 1e9;
		iv.end = (now - base) / 1e9;
		iv.omitted = test.omitting;
		iv.bytes = sp.total_bytes - sp.interval_bytes;
		sp.interval_bytes = sp.total_bytes;
		iv.packets = sp.packet_count - sp.interval_packets;
		iv.lost_packets = sp.cnt_error - sp.interval_errors;
		iv.outoforder = sp.outoforder - sp.interval_outoforder;
		iv.jitter = sp.jitter;
		sp.interval_packets = sp.packet_count;
		sp.interval_errors = sp.cnt_error;
		sp.interval_outoforder = sp.outoforder;
		if (sp.sender && !test.settings.udp) {
			const ti = yield* tcp_info(test, sp.so);
			if (ti !== null) {
				test.sender_has_retransmits = true;
				iv.retransmits = ti.retransmits - sp.interval_retransmits;
				sp.interval_retransmits = ti.retransmits;
				sp.retransmits_before += iv.retransmits;
				iv.snd_cwnd = ti.snd_cwnd;
				iv.rtt = ti.rtt;
				iv.rttvar = ti.rttvar;
			}
		}
		sp.intervals.push(iv);
	}
	test.interval_start = now;
	print_interval(test);
}

/** The omitted part is over: what was counted so far does not count. @see iperf_api.c iperf_reset_stats */
function* reset_stats(test: iperf_test, now: number): Blocking<void> {
	yield* gather_stats(test, now);
	for (const sp of test.streams) {
		sp.omitted_bytes = sp.total_bytes;
		sp.omitted_packets = sp.packet_count;
		sp.omitted_errors = sp.cnt_error;
		sp.omitted_outoforder = sp.outoforder;
		sp.retransmits_before = 0;
		sp.jitter = 0;
	}
	test.omit_end = Number.POSITIVE_INFINITY;
	test.omitting = false;
	test.stats.measuring = true;
	test.start_time = now;
	if (test.settings.interval > 0) test.next_report = now + test.settings.interval;
}

/** @see timer.c tmr_run */
function* run_timers(test: iperf_test, now: number): Blocking<void> {
	if (now >= test.next_report) {
		yield* gather_stats(test, now);
		while (test.next_report <= now) test.next_report += test.settings.interval;
	}
	if (now >= test.omit_end) yield* reset_stats(test, now);
	if (now >= test.next_pacing) {
		for (const sp of test.streams) check_throttle(test, sp, now);
		while (test.next_pacing <= now) test.next_pacing += PACING_TIMER_NS;
	}
}

/** The test is over: freezes the clocks and counters. */
export function* end_test(test: iperf_test): Blocking<void> {
	const now = clock_monotonic();
	test.done = true;
	test.end_time = now;
	test.stats.end_ns = now;
	test.stats.measuring = false;
	const wall = now - test.stats.start_ns;
	const used = (test.proc.p_td as thread).td_runtime - test.cpu_start;
	test.cpu_util = wall > 0 ? (used / wall) * 100 : 0;
	yield* gather_stats(test, now);
}

/** Waits for something to do, but not past the next timer. */
function* wait(test: iperf_test, set: poll_set): Blocking<void> {
	const fds: pollfd[] = [set.ctrl];
	if (set.listener !== null) fds.push(set.listener);
	let ready_to_send = false;
	let throttled = false;
	for (const [sp, fd] of set.streams) {
		fd.revents = 0;
		if (sp.sender && !sp.green_light) throttled = true;
		else if (sp.sender && !test.nonblocking) ready_to_send = true;
		else if (sp.green_light) fds.push(fd);
	}
	const next = Math.min(test.next_report, test.omit_end, test.next_pacing, test.test_end);
	const left = Math.max(0, next - clock_monotonic());
	if (ready_to_send || left === 0) yield* poll(test.proc, fds, 0);
	else if (throttled && fds.length <= 2) {
		// the wait for a pacing timer is shorter than a clock tick may be
		yield* nanosleep(test.proc, left);
		yield* poll(test.proc, fds, 0);
	} else yield* poll(test.proc, fds, left);
}

/** One turn of the loop. @returns false when a stream broke; set.ctrl.revents says whether the other side has a message */
export function* turn(test: iperf_test, set: poll_set): Blocking<boolean> {
	charge(cost.iperf3_loop);
	yield* wait(test, set);
	let ok = true;
	if (test.sender) ok = yield* iperf_send(test, set.writable);
	else for (const [sp, fd] of set.streams) if (fd.revents !== 0) yield* iperf_recv(test, sp);
	yield* run_timers(test, clock_monotonic());
	return ok;
}
