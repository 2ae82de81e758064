/**
 * iperf3's reports: lines for people while the test runs and at its end, or one JSON document (-J).
 *
 * @see iperf_api.c iperf_print_intermediate, iperf_print_results; iperf_locale.c; units.c unit_snprintf
 */
import { nanotime, release } from "../../kernel/sched/kernel.ts";
import { date_string } from "../date.ts";
import { IPERF_VERSION, type iperf_interval, type iperf_stream, type iperf_test } from "./iperf.ts";

const DIVIDER = "- - - - - - - - - - - - - - - - - - - - - - - - -";
const BANNER = "-----------------------------------------------------------";

/** "1.10 GBytes", "9.42 Gbits": three digits and an adaptive unit. @see units.c unit_snprintf */
export function unit(value: number, bits: boolean): string {
	const step = bits ? 1000 : 1024;
	let n = bits ? value * 8 : value;
	let power = 0;
	while (n >= step && power < 4) {
		n /= step;
		power++;
	}
	const digits = n < 9.995 ? 2 : n < 99.95 ? 1 : 0;
	return `${n.toFixed(digits).padStart(4)} ${["", "K", "M", "G", "T"][power]}${bits ? "bits" : "Bytes"}`;
}

function rate(bytes: number, seconds: number): number {
	return seconds > 0 ? bytes / seconds : 0;
}

/** Sub-second tests get the digits they need. */
function seconds(s: number, length: number): string {
	return s.toFixed(length < 0.1 ? 4 : length < 1 ? 3 : 2);
}

function line(label: string, iv: { start: number; end: number; bytes: number }, rest: string): string {
	const length = iv.end - iv.start;
	const span = `${seconds(iv.start, length).padStart(6)}-${seconds(iv.end, length).padEnd(6)}`;
	return `[${label}] ${span} sec  ${unit(iv.bytes, false)}  ${unit(rate(iv.bytes, length), true)}/sec${rest}`;
}

function label(id: number): string {
	return `${id}`.padStart(3);
}

function loss(lost: number, packets: number): string {
	return `${lost}/${packets} (${packets > 0 ? Number(((100 * lost) / packets).toPrecision(2)) : 0}%)`;
}

function interval_rest(test: iperf_test, iv: iperf_interval): string {
	const omitted = iv.omitted ? "  (omitted)" : "";
	if (test.settings.udp) {
		if (test.sender) return `  ${iv.packets}${omitted}`;
		return `  ${(iv.jitter * 1000).toFixed(3)} ms  ${loss(iv.lost_packets, iv.packets)}${omitted}`;
	}
	if (!test.sender || !test.sender_has_retransmits) return omitted;
	return `  ${`${iv.retransmits}`.padStart(3)}   ${unit(iv.snd_cwnd, false)}${omitted}`;
}

/** The streams of an interval taken together. */
function sum(intervals: readonly iperf_interval[]): iperf_interval {
	const total = {
		...intervals[0],
		bytes: 0,
		retransmits: 0,
		packets: 0,
		lost_packets: 0,
		outoforder: 0,
		jitter: 0,
		snd_cwnd: 0,
	};
	for (const iv of intervals) {
		total.bytes += iv.bytes;
		total.retransmits += iv.retransmits;
		total.packets += iv.packets;
		total.lost_packets += iv.lost_packets;
		total.outoforder += iv.outoforder;
		total.jitter += iv.jitter / intervals.length;
	}
	return total;
}

function header(test: iperf_test, final: boolean): string {
	const left = "[ ID] Interval           Transfer     Bitrate";
	if (test.settings.udp) {
		return test.sender && !final ? `${left}         Total Datagrams` : `${left}         Jitter    Lost/Total Datagrams`;
	}
	if (!test.sender && !final) return left;
	return final ? `${left}         Retr` : `${left}         Retr  Cwnd`;
}

/** Says who talks to whom. */
export function print_start(test: iperf_test): void {
	if (test.settings.json) return;
	for (const sp of test.streams) {
		test.proc.stdout(
			`[${label(sp.id)}] local ${sp.local_host} port ${sp.local_port} connected to ${sp.remote_host} port ${sp.remote_port}`,
		);
	}
	test.proc.stdout(header(test, false));
}

export function print_interval(test: iperf_test): void {
	if (test.settings.json || test.settings.interval === 0) return;
	const last = test.streams.map((sp) => sp.intervals[sp.intervals.length - 1]);
	for (const [i, iv] of last.entries()) {
		test.proc.stdout(line(label(test.streams[i].id), iv, interval_rest(test, iv)));
	}
	if (last.length < 2) return;
	const total = sum(last);
	test.proc.stdout(line("SUM", total, interval_rest(test, total)));
	test.proc.stdout(DIVIDER);
}

/** Totals of a stream as its sender and its receiver counted them. */
interface totals {
	readonly sent: number;
	readonly received: number;
	readonly retransmits: number;
	readonly packets: number;
	readonly lost: number;
	readonly jitter: number;
	readonly outoforder: number;
}

function totals_of(test: iperf_test, sp: iperf_stream): totals {
	const peer = sp.peer;
	const mine = test.sender ? null : sp;
	return {
		sent: test.sender ? sp.bytes : (peer?.bytes ?? 0),
		received: test.sender ? (peer?.bytes ?? 0) : sp.bytes,
		retransmits: test.sender ? sp.retransmits_before : Math.max(0, peer?.retransmits ?? 0),
		packets: mine !== null ? mine.packet_count - mine.omitted_packets : (peer?.packets ?? 0),
		lost: mine !== null ? mine.cnt_error - mine.omitted_errors : (peer?.errors ?? 0),
		jitter: mine !== null ? mine.jitter : (peer?.jitter ?? 0),
		outoforder: mine !== null ? mine.outoforder - mine.omitted_outoforder : 0,
	};
}

function add(all: readonly totals[]): totals {
	const total = { sent: 0, received: 0, retransmits: 0, packets: 0, lost: 0, jitter: 0, outoforder: 0 };
	for (const t of all) {
		total.sent += t.sent;
		total.received += t.received;
		total.retransmits += t.retransmits;
		total.packets += t.packets;
		total.lost += t.lost;
		total.jitter += t.jitter / all.length;
		total.outoforder += t.outoforder;
	}
	return total;
}

/** The report at the end. */
export function print_results(test: iperf_test): void {
	const { proc, settings } = test;
	if (settings.json) {
		proc.stdout(JSON.stringify(json_report(test), null, "\t"));
		return;
	}
	const end = (test.end_time - test.start_time) / 1e9;
	const print = (id: string, t: totals): void => {
		const datagrams = settings.udp ? `  ${(t.jitter * 1000).toFixed(3)} ms  ${loss(t.lost, t.packets)}` : "";
		const retr = !settings.udp && test.sender_has_retransmits ? `  ${`${t.retransmits}`.padStart(3)}` : "";
		// a server knows only its own side
		if (test.role === "c" || test.sender) {
			proc.stdout(
				line(
					id,
					{ start: 0, end, bytes: t.sent },
					`${settings.udp ? `  0.000 ms  ${loss(0, t.packets)}` : retr}  sender`,
				),
			);
		}
		if (test.role === "c" || !test.sender)
			proc.stdout(line(id, { start: 0, end, bytes: t.received }, `${datagrams}  receiver`));
	};
	proc.stdout(DIVIDER);
	proc.stdout(header(test, true));
	const all = test.streams.map((sp) => totals_of(test, sp));
	for (const [i, t] of all.entries()) print(label(test.streams[i].id), t);
	if (all.length > 1) print("SUM", add(all));
	if (test.role === "c") {
		proc.stdout("");
		proc.stdout("iperf Done.");
	} else proc.stdout(BANNER);
}

function span(start: number, end: number, bytes: number): object {
	return { start, end, seconds: end - start, bytes, bits_per_second: rate(bytes, end - start) * 8 };
}

function interval_json(test: iperf_test, iv: iperf_interval): object {
	const base = span(iv.start, iv.end, iv.bytes);
	if (test.settings.udp) {
		if (test.sender) return { ...base, packets: iv.packets, omitted: iv.omitted, sender: true };
		return {
			...base,
			jitter_ms: iv.jitter * 1000,
			lost_packets: iv.lost_packets,
			packets: iv.packets,
			lost_percent: iv.packets > 0 ? (100 * iv.lost_packets) / iv.packets : 0,
			omitted: iv.omitted,
			sender: false,
		};
	}
	if (!test.sender || !test.sender_has_retransmits) return { ...base, omitted: iv.omitted, sender: test.sender };
	return {
		...base,
		retransmits: iv.retransmits,
		snd_cwnd: iv.snd_cwnd,
		rtt: iv.rtt,
		rttvar: iv.rttvar,
		pmtu: 0,
		omitted: iv.omitted,
		sender: true,
	};
}

function start_json(test: iperf_test): object {
	const { settings: s } = test;
	const now = nanotime().tv_sec;
	return {
		connected: test.streams.map((sp) => ({
			socket: sp.id,
			local_host: sp.local_host,
			local_port: sp.local_port,
			remote_host: sp.remote_host,
			remote_port: sp.remote_port,
		})),
		version: `iperf ${IPERF_VERSION}`,
		system_info: `FreeBSD ${release()}-RELEASE amd64`,
		timestamp: { time: date_string(now), timesecs: now },
		...(test.role === "c"
			? { connecting_to: { host: s.host, port: s.port } }
			: { accepted_connection: { host: test.remote.host, port: test.remote.port } }),
		cookie: test.cookie,
		...(s.udp ? {} : { tcp_mss_default: test.ctrl_mss }),
		sock_bufsize: s.window,
		test_start: {
			protocol: s.udp ? "UDP" : "TCP",
			num_streams: s.streams,
			blksize: s.blksize,
			omit: s.omit / 1e9,
			duration: s.duration / 1e9,
			bytes: 0,
			blocks: 0,
			reverse: s.reverse ? 1 : 0,
			tos: 0,
			target_bitrate: s.rate,
		},
	};
}

function end_json(test: iperf_test): object {
	const { settings: s } = test;
	const end = (test.end_time - test.start_time) / 1e9;
	const all = test.streams.map((sp) => totals_of(test, sp));
	const total = add(all);
	const udp_fields = (t: totals): object => ({
		jitter_ms: t.jitter * 1000,
		lost_packets: t.lost,
		packets: t.packets,
		lost_percent: t.packets > 0 ? (100 * t.lost) / t.packets : 0,
	});
	const retransmits = (t: totals): object => (test.sender_has_retransmits ? { retransmits: t.retransmits } : {});
	const streams = test.streams.map((sp, i) => {
		const t = all[i];
		if (s.udp) {
			return {
				udp: {
					socket: sp.id,
					...span(0, end, t.sent),
					...udp_fields(t),
					out_of_order: t.outoforder,
					sender: test.sender,
				},
			};
		}
		return {
			sender: { socket: sp.id, ...span(0, end, t.sent), ...retransmits(t), sender: test.sender },
			receiver: { socket: sp.id, ...span(0, end, t.received), sender: test.sender },
		};
	});
	const extra = s.udp ? udp_fields(total) : {};
	return {
		streams,
		...(s.udp ? { sum: { ...span(0, end, total.sent), ...extra, sender: test.sender } } : {}),
		sum_sent: { ...span(0, end, total.sent), ...(s.udp ? extra : retransmits(total)), sender: true },
		sum_received: { ...span(0, end, total.received), ...extra, sender: false },
		cpu_utilization_percent: {
			host_total: test.cpu_util,
			host_user: 0,
			host_system: test.cpu_util,
			remote_total: test.remote_cpu_util,
			remote_user: 0,
			remote_system: test.remote_cpu_util,
		},
		...(s.udp
			? {}
			: {
					sender_tcp_congestion: test.sender ? test.congestion_used : test.remote_congestion_used,
					receiver_tcp_congestion: test.sender ? test.remote_congestion_used : test.congestion_used,
				}),
	};
}

/** The document -J prints; on an error with what there is and `error`. */
export function json_report(test: iperf_test): object {
	const count = test.streams.length > 0 ? test.streams[0].intervals.length : 0;
	const intervals = Array.from({ length: count }, (_, i) => {
		const ivs = test.streams.map((sp) => sp.intervals[i]);
		return {
			streams: ivs.map((iv, k) => ({ socket: test.streams[k].id, ...interval_json(test, iv) })),
			sum: interval_json(test, sum(ivs)),
		};
	});
	return {
		start: start_json(test),
		intervals,
		end: test.error === "" ? end_json(test) : {},
		...(test.error === "" ? {} : { error: `error - ${test.error}` }),
	};
}
