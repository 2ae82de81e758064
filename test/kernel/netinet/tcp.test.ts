import { expect, test } from "vitest";
import { ECONNREFUSED } from "../../../src/kernel/errno.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { AF_INET, AF_INET6, in_get16, in6addr_any, sockaddr_in, sockaddr_in6 } from "../../../src/kernel/netinet/in.ts";
import {
	TCPOPT_MAXSEG,
	TCPOPT_SACK,
	TCPOPT_SACK_PERMITTED,
	TCPOPT_TIMESTAMP,
	TCPOPT_WINDOW,
	TH_ACK,
	TH_FIN,
	TH_RST,
	TH_SYN,
} from "../../../src/kernel/netinet/tcp.ts";
import { intotcpcb, tcpcbs, type tcpstat, V_tcpstat } from "../../../src/kernel/netinet/tcp_var.ts";
import { CURVNET_RESTORE, CURVNET_SET, sbinuptime, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { SHUT_WR, SO_RCVBUF, SOCK_STREAM, SOL_SOCKET, type socket } from "../../../src/kernel/socket/socket.ts";
import { sb_max_adj } from "../../../src/kernel/socket/uipc_sockbuf.ts";
import { numopensockets } from "../../../src/kernel/socket/uipc_socket.ts";
import {
	accepted,
	io_result,
	kern_accept,
	kern_bind,
	kern_close,
	kern_connect,
	kern_listen,
	kern_read,
	kern_sendto,
	kern_setsockopt,
	kern_shutdown,
	kern_socket,
} from "../../../src/kernel/socket/uipc_syscalls.ts";
import { pattern } from "../mbuf/support.ts";
import { Network, option, type Segment } from "./tcp_support.ts";

const PORT = 5201;

function* open(family = AF_INET): Blocking<socket> {
	const so = yield* kern_socket(curthread, family, SOCK_STREAM, 0);
	if (typeof so === "number") throw new Error(`socket: ${so}`);
	return so;
}

function* accept_one(backlog = 5, prepare?: (so: socket) => Blocking<unknown>): Blocking<socket> {
	const head = yield* open();
	if (prepare !== undefined) yield* prepare(head);
	expect(yield* kern_bind(curthread, head, new sockaddr_in(0, PORT))).toBe(0);
	expect(yield* kern_listen(curthread, head, backlog)).toBe(0);
	const a = yield* kern_accept(curthread, head);
	if (!(a instanceof accepted)) throw new Error(`accept: ${a}`);
	yield* kern_close(curthread, head);
	return a.so;
}

function* connect(net: Network, host = 1): Blocking<socket> {
	const so = yield* open();
	const error = yield* kern_connect(curthread, so, new sockaddr_in(net.hosts[host]!.addr, PORT));
	expect(error).toBe(0);
	return so;
}

interface Transfer {
	readonly net: Network;
	readonly received: Buffer;
	readonly seconds: number;
	readonly stat: tcpstat;
	readonly sndbuf: number;
	readonly rcvbuf: number;
	readonly cwnd: number;
}

/** Sends `bytes` from host 0 to host 1 and closes; looks that they arrive, and that nothing is left over. */
function transfer(net: Network, bytes: Uint8Array, block = 128 * 1024): Transfer {
	const received: Buffer[] = [];
	let begin = 0;
	let end = 0;
	let sndbuf = 0;
	let rcvbuf = 0;
	let cwnd = 0;
	const server = net.start(1, "server", function* () {
		const so = yield* accept_one();
		const buf = new Uint8Array(block);
		const io = new io_result();
		for (;;) {
			expect(yield* kern_read(curthread, so, buf, buf.length, io)).toBe(0);
			if (io.bytes === 0) break;
			received.push(Buffer.from(buf.subarray(0, io.bytes)));
		}
		rcvbuf = so.so_rcv.sb_hiwat;
		end = sbinuptime();
		yield* kern_close(curthread, so);
	});
	const client = net.start(0, "client", function* () {
		yield* pause_sbt("start", 1_000_000);
		const so = yield* connect(net);
		begin = sbinuptime();
		const io = new io_result();
		for (let at = 0; at < bytes.length; at += block) {
			const part = bytes.subarray(at, at + block);
			expect(yield* kern_sendto(curthread, so, part, part.length, 0, null, io)).toBe(0);
			expect(io.bytes).toBe(part.length);
		}
		sndbuf = so.so_snd.sb_hiwat;
		cwnd = intotcpcb(so.so_pcb!).snd_cwnd;
		yield* kern_close(curthread, so);
	});
	net.finish([client, server], 1000);
	set_curkernel(net.kernel);
	const saved = CURVNET_SET(net.hosts[0]!.vn);
	const stat = V_tcpstat();
	CURVNET_RESTORE(saved);
	return { net, received: Buffer.concat(received), seconds: (end - begin) / 1e9, stat, sndbuf, rcvbuf, cwnd };
}

/** After TIME_WAIT nothing is left of any connection. */
function expectNothingLeft(net: Network): void {
	net.wait(70);
	expect(numopensockets()).toBe(0);
	expect(tcpcbs().count).toBe(0);
	expect(uma_leaks()).toEqual([]);
}

const text = pattern(300_000);
const names = (s: Segment): string =>
	[
		s.flags & TH_SYN ? "S" : "",
		s.flags & TH_FIN ? "F" : "",
		s.flags & TH_RST ? "R" : "",
		s.flags & TH_ACK ? "." : "",
	].join("");

test("the handshake negotiates MSS, window scale 6, timestamps and SACK, and the close takes both FINs", () => {
	const { net, received } = transfer(new Network(), text.subarray(0, 100));
	expect(received.equals(Buffer.from(text.subarray(0, 100)))).toBe(true);
	const [syn, synack] = net.segments as [Segment, Segment];
	for (const s of [syn, synack]) {
		expect(in_get16(option(s, TCPOPT_MAXSEG)!, 0)).toBe(1460);
		expect([...option(s, TCPOPT_WINDOW)!]).toEqual([6]);
		expect(option(s, TCPOPT_SACK_PERMITTED)).not.toBeNull();
		expect(option(s, TCPOPT_TIMESTAMP)).not.toBeNull();
	}
	expect(syn.win).toBe(65535);
	expect(net.segments.slice(0, 3).map(names)).toEqual(["S", "S.", "."]);
	expect(net.segments.filter((s) => (s.flags & TH_FIN) !== 0).map((s) => s.from)).toEqual([0, 1]);
	expect(net.segments.some((s) => (s.flags & TH_RST) !== 0)).toBe(false);
	expectNothingLeft(net);
});

test("a connection to a port nobody listens on is refused", () => {
	const net = new Network();
	let error = 0;
	const client = net.start(0, "client", function* () {
		const so = yield* open();
		error = yield* kern_connect(curthread, so, new sockaddr_in(net.hosts[1]!.addr, 9));
		yield* kern_close(curthread, so);
	});
	net.finish([client]);
	expect(error).toBe(ECONNREFUSED);
	expect(net.segments.map(names)).toEqual(["S", "R."]);
	expectNothingLeft(net);
});

test("bulk data arrive unharmed, the buffers grow as far as 2 MB of mbufs let them, and every second segment is acknowledged", () => {
	const big = pattern(12_000_000);
	const { net, received, stat, sndbuf, rcvbuf, seconds } = transfer(new Network({ latency_ns: 5_000_000 }), big);
	expect(received.equals(Buffer.from(big))).toBe(true);
	// kern.ipc.maxsockbuf is 2 MB with the mbufs' own headers: one step of 8 KB less than that, one of a half
	expect(sndbuf).toBeGreaterThan(sb_max_adj - 8192);
	expect(rcvbuf).toBeGreaterThan((sb_max_adj * 2) / 3);
	expect(Math.max(sndbuf, rcvbuf)).toBeLessThanOrEqual(sb_max_adj);
	expect(stat.tcps_sndrexmitpack).toBe(0);
	const data = net.from(0).filter((s) => s.len > 0);
	const acks = net.from(1).filter((s) => s.len === 0);
	expect(data.filter((s) => s.len === 1448).length / data.length).toBeGreaterThan(0.95);
	expect(acks.length / data.length).toBeGreaterThan(0.4);
	expect(acks.length / data.length).toBeLessThan(0.75);
	// at most 2 MB in each 10 ms round trip
	expect(seconds).toBeGreaterThan(0.06);
	expectNothingLeft(net);
});

/** buffers that hold nothing back, so that the congestion window decides */
const large = { "net.inet.tcp.sendspace": "1500000", "net.inet.tcp.recvspace": "1500000" };

test("slow start doubles the data in flight each round trip, from ten segments", () => {
	const { net } = transfer(new Network({ latency_ns: 20_000_000, tunables: large }), pattern(1_000_000));
	const data = net.from(0).filter((s) => s.len > 0);
	const rounds: number[] = [];
	let last = Number.NEGATIVE_INFINITY;
	for (const s of data) {
		if (s.time - last > 15_000_000) rounds.push(0);
		rounds[rounds.length - 1]!++;
		last = s.time;
	}
	expect(rounds.slice(0, 3)).toEqual([10, 20, 40]);
	for (let i = 3; i < 6; i++) expect(rounds[i]! / rounds[i - 1]!).toBeGreaterThan(1.9);
});

test("a lone segment is acknowledged after 40 ms", () => {
	const net = new Network();
	const server = net.start(1, "server", function* () {
		const so = yield* accept_one();
		const io = new io_result();
		yield* kern_read(curthread, so, new Uint8Array(10), 10, io);
		yield* pause_sbt("idle", 200_000_000);
		yield* kern_close(curthread, so);
	});
	const client = net.start(0, "client", function* () {
		yield* pause_sbt("start", 1_000_000);
		const so = yield* connect(net);
		const io = new io_result();
		yield* pause_sbt("idle", 100_000_000);
		yield* kern_sendto(curthread, so, new Uint8Array(10), 10, 0, null, io);
		yield* pause_sbt("idle", 300_000_000);
		yield* kern_close(curthread, so);
	});
	net.finish([client, server]);
	const sent = net.from(0).find((s) => s.len === 10)!;
	const acked = net.from(1).find((s) => s.time > sent.time)!;
	expect(acked.flags).toBe(TH_ACK);
	expect((acked.time - sent.time) / 1e6).toBeGreaterThan(35);
	expect((acked.time - sent.time) / 1e6).toBeLessThan(60);
	expectNothingLeft(net);
});

for (const release of ["13.0", "14.0"] as const) {
	for (const sack of ["0", "1"]) {
		test(`one lost segment is repaired by fast retransmit, without a timeout (${release}, SACK ${sack})`, () => {
			const tunables = { "net.inet.tcp.sack.enable": sack };
			const net = new Network({ release, tunables, latency_ns: 1_000_000 });
			net.lose = (_s, n) => n === 40;
			const { received, stat } = transfer(net, text);
			expect(received.equals(Buffer.from(text))).toBe(true);
			expect(stat.tcps_rexmttimeo).toBe(0);
			expect(stat.tcps_sndrexmitpack).toBe(1);
			expect(net.from(1).some((s) => option(s, TCPOPT_SACK) !== null)).toBe(sack === "1");
			expectNothingLeft(net);
		});
	}
}

test("several holes in one window are repaired by SACK, each once", () => {
	const net = new Network({ latency_ns: 1_000_000 });
	net.lose = (_s, n) => [60, 63, 64, 70, 75].includes(n);
	const { received, stat } = transfer(net, text);
	expect(received.equals(Buffer.from(text))).toBe(true);
	expect(stat.tcps_rexmttimeo).toBe(0);
	expect(stat.tcps_sack_recovery_episode).toBe(1);
	expect(stat.tcps_sndrexmitpack).toBe(5);
	expectNothingLeft(net);
});

test("a lost tail is repaired by the retransmission timer, which backs off while nothing answers", () => {
	const net = new Network({ latency_ns: 1_000_000 });
	const times: number[] = [];
	net.lose = (s, n) => {
		if (n < 5 || times.length > 3) return false;
		times.push(s.time);
		return true;
	};
	const { received, stat } = transfer(net, text.subarray(0, 5 * 1448 + 100));
	expect(received.length).toBe(5 * 1448 + 100);
	expect(stat.tcps_rexmttimeo).toBeGreaterThanOrEqual(3);
	const gaps = times.slice(1).map((t, i) => (t - times[i]!) / 1e6);
	// the slop of 200 ms is in every one of them; the minimum of 30 ms beside it doubles
	expect(gaps[0]!).toBeGreaterThanOrEqual(200);
	expect(gaps[0]!).toBeLessThan(400);
	for (let i = 1; i < gaps.length; i++) expect(gaps[i]!).toBeGreaterThan(gaps[i - 1]!);
	expectNothingLeft(net);
});

test("random loss of 2 % in both directions harms nothing", () => {
	const net = new Network({ latency_ns: 500_000 });
	let x = 12345;
	net.lose = () => {
		x = (Math.imul(x, 1103515245) + 12345) >>> 0;
		return x >>> 16 < 0.02 * 65536;
	};
	const bytes = pattern(1_000_000);
	const { received } = transfer(net, bytes);
	expect(received.equals(Buffer.from(bytes))).toBe(true);
	expectNothingLeft(net);
});

test("a closed window is probed, and opens again when the reader reads", () => {
	const net = new Network();
	let total = 0;
	const server = net.start(1, "server", function* () {
		const so = yield* accept_one(5, (head) => kern_setsockopt(curthread, head, SOL_SOCKET, SO_RCVBUF, 8192));
		const io = new io_result();
		const buf = new Uint8Array(65536);
		yield* pause_sbt("sleepy", 12_000_000_000);
		do {
			yield* kern_read(curthread, so, buf, buf.length, io);
			total += io.bytes;
		} while (io.bytes > 0);
		yield* kern_close(curthread, so);
	});
	const client = net.start(0, "client", function* () {
		yield* pause_sbt("start", 1_000_000);
		const so = yield* connect(net);
		const io = new io_result();
		yield* kern_sendto(curthread, so, text.subarray(0, 50_000), 50_000, 0, null, io);
		yield* kern_close(curthread, so);
	});
	net.finish([client, server]);
	expect(total).toBe(50_000);
	expect(net.from(1).some((s) => s.win === 0 && (s.flags & TH_ACK) !== 0)).toBe(true);
	expect(net.from(0).filter((s) => s.len === 1).length).toBeGreaterThan(0);
	expectNothingLeft(net);
});

test("shutdown sends a FIN and still receives; the other side closes in its own time", () => {
	const net = new Network();
	let answer = 0;
	const server = net.start(1, "server", function* () {
		const so = yield* accept_one();
		const io = new io_result();
		const buf = new Uint8Array(100);
		do yield* kern_read(curthread, so, buf, buf.length, io);
		while (io.bytes > 0);
		yield* kern_sendto(curthread, so, new Uint8Array(42), 42, 0, null, io);
		yield* kern_close(curthread, so);
	});
	const client = net.start(0, "client", function* () {
		yield* pause_sbt("start", 1_000_000);
		const so = yield* connect(net);
		const io = new io_result();
		yield* kern_sendto(curthread, so, new Uint8Array(7), 7, 0, null, io);
		expect(yield* kern_shutdown(curthread, so, SHUT_WR)).toBe(0);
		yield* kern_read(curthread, so, new Uint8Array(100), 100, io);
		answer = io.bytes;
		yield* kern_close(curthread, so);
	});
	net.finish([client, server]);
	expect(answer).toBe(42);
	expectNothingLeft(net);
});

test("closing the listening socket lets connections nobody accepted go", () => {
	const net = new Network();
	const server = net.start(1, "server", function* () {
		const head = yield* open();
		yield* kern_bind(curthread, head, new sockaddr_in(0, PORT));
		yield* kern_listen(curthread, head, 5);
		yield* pause_sbt("idle", 100_000_000);
		expect(head.sol_qlen).toBe(3);
		yield* kern_close(curthread, head);
	});
	const client = net.start(0, "client", function* () {
		yield* pause_sbt("start", 1_000_000);
		const all: socket[] = [];
		for (let i = 0; i < 3; i++) all.push(yield* connect(net));
		yield* pause_sbt("idle", 200_000_000);
		for (const so of all) {
			const io = new io_result();
			expect(yield* kern_read(curthread, so, new Uint8Array(1), 1, io)).not.toBe(0);
			yield* kern_close(curthread, so);
		}
	});
	net.finish([client, server]);
	expectNothingLeft(net);
});

test("a bottleneck that drops is filled to more than half by newreno and by cubic", () => {
	for (const algorithm of ["newreno", "cubic"]) {
		const net = new Network({
			latency_ns: 2_000_000,
			rate: 100_000_000,
			queue: 60,
			tunables: { ...large, "net.inet.tcp.cc.algorithm": algorithm },
		});
		const bytes = pattern(10_000_000);
		const { received, seconds, stat } = transfer(net, bytes);
		expect(received.equals(Buffer.from(bytes))).toBe(true);
		expect((bytes.length * 8) / seconds / 1e6).toBeGreaterThan(50);
		expect((bytes.length * 8) / seconds / 1e6).toBeLessThan(100);
		expect(stat.tcps_sndrexmitpack).toBeGreaterThan(0);
		expectNothingLeft(net);
	}
});

test("cost-only mode gives the same schedule", () => {
	const schedule = (cost_only: boolean): unknown[] => {
		const net = new Network({ cost_only, latency_ns: 200_000 });
		net.lose = (_s, n) => n % 100 === 99;
		const block = new Uint8Array(65536);
		const server = net.start(1, "server", function* () {
			const so = yield* accept_one();
			const io = new io_result();
			do yield* kern_read(curthread, so, block, block.length, io, true);
			while (io.bytes > 0);
			yield* kern_close(curthread, so);
		});
		const client = net.start(0, "client", function* () {
			yield* pause_sbt("start", 1_000_000);
			const so = yield* connect(net);
			const io = new io_result();
			for (let i = 0; i < 20; i++) yield* kern_sendto(curthread, so, block, block.length, 0, null, io, true);
			yield* kern_close(curthread, so);
		});
		net.finish([client, server]);
		const { machine } = net.kernel;
		return [machine.now, machine.event_count, net.segments.map((s) => [s.time, s.seq, s.ack, s.len])];
	};
	expect(schedule(true)).toEqual(schedule(false));
});

test("IPv6 carries it all the same, in segments 20 bytes shorter", () => {
	const net = new Network({ latency_ns: 1_000_000 });
	net.lose = (_s, n) => n === 50;
	const received: Buffer[] = [];
	const server = net.start(1, "server", function* () {
		const head = yield* open(AF_INET6);
		expect(yield* kern_bind(curthread, head, new sockaddr_in6(in6addr_any, PORT))).toBe(0);
		expect(yield* kern_listen(curthread, head, 5)).toBe(0);
		const a = yield* kern_accept(curthread, head);
		if (!(a instanceof accepted)) throw new Error(`accept: ${a}`);
		expect((a.name as sockaddr_in6).sin6_addr).toEqual(net.hosts[0]!.addr6);
		const io = new io_result();
		const buf = new Uint8Array(65536);
		do {
			yield* kern_read(curthread, a.so, buf, buf.length, io);
			received.push(Buffer.from(buf.subarray(0, io.bytes)));
		} while (io.bytes > 0);
		yield* kern_close(curthread, a.so);
		yield* kern_close(curthread, head);
	});
	let refused = 0;
	const client = net.start(0, "client", function* () {
		yield* pause_sbt("start", 1_000_000);
		const other = yield* open(AF_INET6);
		refused = yield* kern_connect(curthread, other, new sockaddr_in6(net.hosts[1]!.addr6, 9));
		yield* kern_close(curthread, other);
		const so = yield* open(AF_INET6);
		expect(yield* kern_connect(curthread, so, new sockaddr_in6(net.hosts[1]!.addr6, PORT))).toBe(0);
		yield* kern_sendto(curthread, so, text, text.length, 0, null, new io_result());
		yield* kern_close(curthread, so);
	});
	net.finish([client, server]);
	expect(refused).toBe(ECONNREFUSED);
	expect(Buffer.concat(received).equals(Buffer.from(text))).toBe(true);
	const syn = net.segments.filter((s) => (s.flags & TH_SYN) !== 0).at(-1)!;
	expect(in_get16(option(syn, TCPOPT_MAXSEG)!, 0)).toBe(1440);
	expect(net.from(0).filter((s) => s.len === 1428).length).toBeGreaterThan(200);
	expectNothingLeft(net);
});
