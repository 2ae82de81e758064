/**
 * ping(8): sends ICMP echo requests and times the replies, in simulated time.
 *
 * Packets carry a time stamp of microseconds and a pattern, and what comes back is compared with what went out. Both families
 * are in one program here, as from FreeBSD 13 on. Options: -c -i -s -t -W -m -D -q -o -S -n -4 -6.
 *
 * @see ping.c, ping6.c; RFC 792, RFC 4443
 */
import { type Errno, EWOULDBLOCK, strerror } from "../kernel/errno.ts";
import {
	AF_INET,
	AF_INET6,
	IP_DONTFRAG,
	IP_TTL,
	IPPROTO_ICMP,
	IPPROTO_ICMPV6,
	IPPROTO_IP,
	IPPROTO_IPV6,
	IPV6_UNICAST_HOPS,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	inet_ntop,
	type sockaddr,
	type sockaddr_in,
	type sockaddr_in6,
} from "../kernel/netinet/in.ts";
import { type Blocking, charge, cost } from "../kernel/sched/thread.ts";
import { POLLIN, pollfd } from "../kernel/socket/select.ts";
import { SOCK_RAW, type socket, soreceive_args } from "../kernel/socket/socket.ts";
import { duration_ns, getopt, integer, numeric_host } from "./getopt.ts";
import type { process } from "./process.ts";
import { bind, clock_monotonic, close, io_result, poll, recvmsg, send, setsockopt, socket_open } from "./syscall.ts";

const ICMP_MINLEN = 8;
const TIMEVAL_LEN = 8;
const MAXWAIT_NS = 10_000_000_000;
const MAXPAYLOAD = 65507;
const ICMP_ECHO = 8;
const ICMP_ECHOREPLY = 0;
const ICMP_UNREACH = 3;
const ICMP_TIMXCEED = 11;
const ICMP6_ECHO_REQUEST = 128;
const ICMP6_ECHO_REPLY = 129;

const EX_USAGE = 64;
const EX_NOHOST = 68;
const EX_OSERR = 71;

class settings {
	npackets = 0;
	interval = 1_000_000_000;
	datalen = 56;
	/** whole run, 0 for no limit */
	timeout = 0;
	waittime = MAXWAIT_NS;
	ttl = 0;
	df = false;
	quiet = false;
	once = false;
	source: sockaddr | null = null;
	af = 0;
}

/** Counters and times of a run. */
export class ping_stats {
	ntransmitted = 0;
	nreceived = 0;
	nrepeats = 0;
	/** milliseconds */
	tmin = Number.POSITIVE_INFINITY;
	tmax = 0;
	tsum = 0;
	tsumsq = 0;
	/** replies whose payload was not what had been sent */
	corrupted = 0;
}

class run {
	readonly proc: process;
	readonly s: settings;
	readonly stats = new ping_stats();
	readonly dst: sockaddr;
	readonly so: socket;
	readonly v6: boolean;
	readonly ident: number;
	readonly outpack: Uint8Array;
	readonly packet = new Uint8Array(65535);
	readonly seen = new Set<number>();
	readonly result = new io_result();

	constructor(proc: process, s: settings, dst: sockaddr, so: socket) {
		this.proc = proc;
		this.s = s;
		this.dst = dst;
		this.so = so;
		this.v6 = dst.sa_family === AF_INET6;
		this.ident = proc.p_pid & 0xffff;
		this.outpack = new Uint8Array(ICMP_MINLEN + s.datalen);
		for (let i = ICMP_MINLEN; i < this.outpack.length; i++) this.outpack[i] = i;
		proc.p_data = this.stats;
	}

	get timing(): boolean {
		return this.s.datalen >= TIMEVAL_LEN;
	}
}

/** The Internet checksum. @see utils.c in_cksum */
function in_cksum(buf: Uint8Array, length: number): number {
	let sum = 0;
	for (let i = 0; i + 1 < length; i += 2) sum += in_get16(buf, i);
	if ((length & 1) !== 0) sum += buf[length - 1] << 8;
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
	return ~sum & 0xffff;
}

/** Sends one request. @see ping.c pinger */
function* pinger(r: run): Blocking<void> {
	const out = r.outpack;
	charge(cost.ping_packet);
	out[0] = r.v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	in_put16(out, 2, 0);
	in_put16(out, 4, r.ident);
	in_put16(out, 6, r.stats.ntransmitted & 0xffff);
	if (r.timing) {
		const now = clock_monotonic();
		in_put32(out, 8, Math.floor(now / 1e9));
		in_put32(out, 12, Math.floor((now % 1e9) / 1000));
	}
	// the kernel sums ICMPv6, over a pseudo header besides
	if (!r.v6) in_put16(out, 2, in_cksum(out, out.length));
	const error = yield* send(r.proc, r.so, out, out.length, r.result, false, r.dst);
	if (error !== 0) r.proc.warn(`sendto: ${strerror(error)}`);
	r.stats.ntransmitted++;
}

/** First byte of a reply's payload that is not as it was sent; -1 if all are. The time stamp is the caller's to compare. */
function wrong_byte(r: run, off: number, length: number): number {
	for (let i = ICMP_MINLEN + (r.timing ? TIMEVAL_LEN : 0); i < length && i < r.outpack.length; i++) {
		if (r.packet[off + i] !== r.outpack[i]) return i;
	}
	return -1;
}

/** Looks at what came in. @see ping.c pr_pack */
function pr_pack(r: run, cc: number, from: sockaddr): void {
	const { proc, stats, packet } = r;
	charge(cost.ping_packet);
	const off = r.v6 ? 0 : (packet[0] & 15) << 2;
	const length = cc - off;
	if (length < ICMP_MINLEN) return;
	const type = packet[off];
	const addr = r.v6 ? (from as sockaddr_in6).sin6_addr : (from as sockaddr_in).sin_addr;
	if (type !== (r.v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY)) {
		pr_error(r, off, length, addr, type);
		return;
	}
	if (in_get16(packet, off + 4) !== r.ident) return;
	const seq = in_get16(packet, off + 6);
	stats.nreceived++;
	let time = "";
	if (r.timing) {
		const now = clock_monotonic();
		const sent_us = in_get32(packet, off + 8) * 1e6 + in_get32(packet, off + 12);
		const triptime = (Math.floor(now / 1000) - sent_us) / 1000;
		stats.tsum += triptime;
		stats.tsumsq += triptime * triptime;
		if (triptime < stats.tmin) stats.tmin = triptime;
		if (triptime > stats.tmax) stats.tmax = triptime;
		time = ` time=${triptime.toFixed(3)} ms`;
	}
	const dup = r.seen.has(seq);
	r.seen.add(seq);
	if (dup) {
		stats.nrepeats++;
		stats.nreceived--;
	}
	const at = wrong_byte(r, off, length);
	if (at >= 0) stats.corrupted++;
	if (r.s.quiet) return;
	const what = r.v6 ? `, icmp_seq=${seq} hlim=64` : `: icmp_seq=${seq} ttl=${packet[8]}`;
	proc.stdout(`${length} bytes from ${inet_ntop(addr)}${what}${time}${dup ? " (DUP!)" : ""}`);
	if (at < 0) return;
	const hex = (n: number): string => n.toString(16);
	proc.stdout(`wrong data byte #${at} should be 0x${hex(r.outpack[at])} but was 0x${hex(packet[off + at])}`);
}

/** An error somebody sent about one of our requests. @see ping.c pr_icmph */
function pr_error(r: run, off: number, length: number, addr: number | Uint8Array, type: number): void {
	const { packet } = r;
	if (r.v6 || (type !== ICMP_UNREACH && type !== ICMP_TIMXCEED)) return;
	const inner = off + ICMP_MINLEN;
	const hlen = (packet[inner] & 15) << 2;
	if (length < ICMP_MINLEN + hlen + ICMP_MINLEN || packet[inner + 9] !== IPPROTO_ICMP) return;
	const icmp = inner + hlen;
	if (packet[icmp] !== ICMP_ECHO || in_get16(packet, icmp + 4) !== r.ident) return;
	const unreachable = ["Net", "Host", "Protocol", "Port"];
	const code = packet[off + 1];
	let text = `Destination ${unreachable[code] ?? "Unreachable, Bad Code"} Unreachable`;
	if (type === ICMP_TIMXCEED) text = code === 0 ? "Time to live exceeded" : "Frag reassembly time exceeded";
	else if (code === 4) text = `frag needed and DF set (MTU ${in_get16(packet, off + 6)})`;
	else if (code === 13) text = "Communication prohibited by filter";
	r.proc.stdout(`${length} bytes from ${inet_ntop(addr)}: ${text}`);
}

/** @returns the exit status @see ping.c finish */
function finish(r: run, host: string): number {
	const { proc, stats } = r;
	const { ntransmitted, nreceived } = stats;
	proc.stdout("");
	proc.stdout(`--- ${host} ${r.v6 ? "ping6" : "ping"} statistics ---`);
	let line = `${ntransmitted} packets transmitted, ${nreceived} packets received, `;
	if (stats.nrepeats > 0) line += `+${stats.nrepeats} duplicates, `;
	if (ntransmitted > 0) {
		if (nreceived > ntransmitted) line += "-- somebody's printing up packets!";
		else line += `${(((ntransmitted - nreceived) * 100) / ntransmitted).toFixed(1)}% packet loss`;
	}
	proc.stdout(line);
	if (nreceived > 0 && r.timing) {
		const n = nreceived + stats.nrepeats;
		const avg = stats.tsum / n;
		const stddev = Math.sqrt(Math.max(0, stats.tsumsq / n - avg * avg));
		const figures = [stats.tmin, avg, stats.tmax, stddev].map((t) => t.toFixed(3)).join("/");
		proc.stdout(`round-trip min/avg/max/${r.v6 ? "std-dev" : "stddev"} = ${figures} ms`);
	}
	return nreceived > 0 ? 0 : 2;
}

/** Takes in everything that has arrived. @returns false if nothing had */
function* receive(r: run, fds: readonly pollfd[], wait: number): Blocking<boolean> {
	if ((yield* poll(r.proc, fds, wait)) === 0) return false;
	const msg = new soreceive_args();
	msg.want_addr = true;
	const error = yield* recvmsg(r.proc, r.so, r.packet, r.packet.length, msg, r.result);
	if (error !== 0) {
		if (error !== EWOULDBLOCK) r.proc.warn(`recvmsg: ${strerror(error)}`);
		return true;
	}
	if (msg.psa !== null) pr_pack(r, r.result.bytes, msg.psa);
	return true;
}

function* main_loop(r: run): Blocking<void> {
	const { s, stats } = r;
	const fds = [new pollfd(r.so, POLLIN)];
	const end = s.timeout > 0 ? clock_monotonic() + s.timeout : Number.POSITIVE_INFINITY;
	let last = clock_monotonic();
	let interval = s.interval;
	let almost_done = false;
	yield* pinger(r);
	for (;;) {
		const now = clock_monotonic();
		if (now >= end) return;
		yield* receive(r, fds, Math.max(0, Math.min(last + interval, end) - now));
		if (stats.nreceived > 0 && (s.once || (s.npackets > 0 && stats.nreceived >= s.npackets))) return;
		if (clock_monotonic() - last < interval) continue;
		if (s.npackets === 0 || stats.ntransmitted < s.npackets) yield* pinger(r);
		else {
			if (almost_done) return;
			almost_done = true;
			// twice the longest round trip, at least a second; or long, if nothing ever came back
			interval = stats.nreceived > 0 ? Math.max(1e9, Math.floor((2 * stats.tmax) / 1000) * 1e9) : s.waittime;
		}
		last = clock_monotonic();
	}
}

/** Reads the options; a string is what is wrong with them. */
function parse(argv: readonly string[], s: settings): readonly string[] | string {
	const parsed = getopt(argv, "c:i:s:t:W:m:DqoS:n46");
	if (parsed.error !== "") return parsed.error;
	for (const { name, value } of parsed.options) {
		const n = integer(value);
		const ns = duration_ns(value);
		if (name === "c") {
			if (n === null || n <= 0) return `invalid count of packets to transmit: \`${value}'`;
			s.npackets = n;
		} else if (name === "i") {
			if (ns === null || ns <= 0) return `invalid timing interval: \`${value}'`;
			s.interval = ns;
		} else if (name === "s") {
			if (n === null || n < 0) return `invalid packet size: \`${value}'`;
			if (n > MAXPAYLOAD) return `packet size too large: ${n} > ${MAXPAYLOAD}`;
			s.datalen = n;
		} else if (name === "t") {
			if (ns === null || ns < 1) return `invalid timeout: \`${value}'`;
			s.timeout = ns;
		} else if (name === "W") {
			if (n === null || n < 1) return `invalid timing interval: \`${value}'`;
			s.waittime = n * 1e6;
		} else if (name === "m") {
			if (n === null || n < 0 || n > 255) return `invalid TTL: \`${value}'`;
			s.ttl = n;
		} else if (name === "D") s.df = true;
		else if (name === "q") s.quiet = true;
		else if (name === "o") s.once = true;
		else if (name === "S") {
			s.source = numeric_host(value, 0);
			if (s.source === null) return `cannot resolve ${value}: Unknown host`;
		} else if (name === "4") s.af = AF_INET;
		else if (name === "6") s.af = AF_INET6;
	}
	return parsed.operands;
}

function* configure(proc: process, s: settings, so: socket, v6: boolean): Blocking<Errno> {
	let error: Errno = 0;
	if (s.source !== null) error = yield* bind(proc, so, s.source);
	if (error === 0 && s.ttl > 0) {
		error = yield* v6
			? setsockopt(proc, so, IPPROTO_IPV6, IPV6_UNICAST_HOPS, s.ttl)
			: setsockopt(proc, so, IPPROTO_IP, IP_TTL, s.ttl);
	}
	if (error === 0 && s.df && !v6) error = yield* setsockopt(proc, so, IPPROTO_IP, IP_DONTFRAG, 1);
	return error;
}

export function* ping(proc: process, argv: readonly string[]): Blocking<number> {
	const s = new settings();
	const operands = parse(argv, s);
	if (typeof operands === "string") return proc.warn(operands, EX_USAGE);
	if (operands.length !== 1) {
		proc.stderr(
			"usage: ping [-4] [-6] [-Dnoq] [-c count] [-i wait] [-m ttl] [-S src_addr] [-s packetsize] [-t timeout] [-W waittime] host",
		);
		return EX_USAGE;
	}
	const host = operands[0];
	const dst = numeric_host(host, 0);
	if (dst === null || (s.af !== 0 && dst.sa_family !== s.af)) {
		return proc.warn(`cannot resolve ${host}: Unknown host`, EX_NOHOST);
	}
	const v6 = dst.sa_family === AF_INET6;
	const so = yield* socket_open(proc, dst.sa_family, SOCK_RAW, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	if (typeof so === "number") return proc.warn(`socket: ${strerror(so)}`, EX_OSERR);
	const error = yield* configure(proc, s, so, v6);
	if (error !== 0) {
		yield* close(proc, so);
		return proc.warn(`${s.source !== null ? "bind" : "setsockopt"}: ${strerror(error)}`, EX_OSERR);
	}
	const r = new run(proc, s, dst, so);
	if (v6)
		proc.stdout(
			`PING6(${48 + s.datalen}=40+8+${s.datalen} bytes) ${s.source === null ? "::" : inet_ntop((s.source as sockaddr_in6).sin6_addr)} --> ${host}`,
		);
	else proc.stdout(`PING ${host} (${host}): ${s.datalen} data bytes`);
	yield* main_loop(r);
	yield* close(proc, so);
	return finish(r, host);
}
