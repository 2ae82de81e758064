/** ix(4), iflib under it and the cable between: two machines that talk, or one whose card is fed by hand. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { boot, run, runTogether, runTogetherUntilExit, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { EINVAL, ENETDOWN, ENOBUFS, type Errno } from "../../../src/kernel/errno.ts";
import { ifunit } from "../../../src/kernel/ifnet/if.ts";
import { csum_check, csum_fill } from "../../../src/kernel/ifnet/if_ix_csum.ts";
import {
	IFCOUNTER_IBYTES,
	IFCOUNTER_IPACKETS,
	IFCOUNTER_OBYTES,
	IFCOUNTER_OPACKETS,
	IFF_DRV_RUNNING,
	type ifnet,
} from "../../../src/kernel/ifnet/if_var.ts";
import { type if_ctx, iflib_fast_intr_rxtx, iflib_if_transmit } from "../../../src/kernel/ifnet/iflib.ts";
import { ifmp_ring_is_idle } from "../../../src/kernel/ifnet/mp_ring.ts";
import { ifreq, SIOCSIFMTU } from "../../../src/kernel/ifnet/sockio.ts";
import { vnet0 } from "../../../src/kernel/jail/vnet.ts";
import { mtx_lock_spin, mtx_unlock_spin } from "../../../src/kernel/lock/mutex.ts";
import {
	CSUM_DATA_VALID,
	CSUM_DELAY_DATA,
	CSUM_DELAY_DATA_IPV6,
	CSUM_IP,
	CSUM_IP_CHECKED,
	CSUM_IP_TCP,
	CSUM_IP_UDP,
	CSUM_IP_VALID,
	CSUM_IP6_TCP,
	CSUM_IP6_UDP,
	CSUM_PSEUDO_HDR,
	M_EXT,
	M_HASHTYPE_NONE,
	M_HASHTYPE_RSS_IPV4,
	M_HASHTYPE_SET,
	M_PKTHDR,
	M_WAITOK,
	MT_DATA,
	m_append,
	m_copydata,
	m_get2,
	m_gethdr,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks, uma_set_fault, uma_zone_list } from "../../../src/kernel/mbuf/uma.ts";
import { V_ipstat } from "../../../src/kernel/netinet/ip_var.ts";
import { V_tcpstat } from "../../../src/kernel/netinet/tcp_var.ts";
import { V_udpstat } from "../../../src/kernel/netinet/udp_var.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	type Kernel,
	sbinuptime,
	set_curkernel,
} from "../../../src/kernel/sched/kernel.ts";
import { kthread_add } from "../../../src/kernel/sched/kthread.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, curthread, sync, sync_exactly, type thread } from "../../../src/kernel/sched/thread.ts";
import { interrupt, pcpu_find } from "../../../src/kernel/sched/ule.ts";
import { gtask_start, type gtaskqueue } from "../../../src/kernel/taskqueue/gtaskqueue.ts";
import type { CostOverrides } from "../../../src/machine/cost/table.ts";
import { Event } from "../../../src/machine/event.ts";
import { Machine, type MachineOptions } from "../../../src/machine/machine.ts";
import { connect, type Frame, type WireEnd } from "../../../src/machine/wire.ts";
import type { ping_stats } from "../../../src/userland/ping.ts";
import { type process, wait4 } from "../../../src/userland/process.ts";
import {
	type testbed,
	testbed_exec,
	testbed_keys,
	testbed_machine,
	testbed_machine_destroy,
	type testbed_options,
} from "../../../src/userland/testbed.ts";
import { sh } from "../../userland/world.ts";
import { exact, start } from "../sched/support.ts";

const IP_FLAGS = CSUM_IP_CHECKED | CSUM_IP_VALID;
const L4_FLAGS = CSUM_DATA_VALID | CSUM_PSEUDO_HDR;

/** A machine with a kernel and a card. */
interface Host {
	readonly kernel: Kernel;
	readonly machine: Machine;
	readonly wire: WireEnd;
	readonly ifp: ifnet;
	readonly ctx: if_ctx;
}

function overrides(values: { readonly [name in keyof CostOverrides]?: number }): CostOverrides {
	return Object.fromEntries(
		Object.entries(values).map(([name, value]) => [name, { value, range: [value, value], unit: "ns", source: "test" }]),
	);
}

/** Runs `body` as if in the kernel, in its first vnet. It must not wait. */
function in_vnet0<T>(kernel: Kernel, body: () => T): T {
	set_curkernel(kernel);
	const saved = CURVNET_SET(vnet0());
	const result = body();
	CURVNET_RESTORE(saved);
	return result;
}

function host_of(machine: Machine, cost_only = false): Host {
	const kernel = boot(machine, { cost_only });
	const ifp = in_vnet0(kernel, () => ifunit("ix0")) as ifnet;
	return { kernel, machine, wire: machine.wires[0], ifp, ctx: ifp.if_softc as if_ctx };
}

// Two machines

interface Pair {
	readonly hosts: readonly [Host, Host];
	readonly kernels: readonly Kernel[];
	/** what testbed_machine has made of each, once it has */
	readonly beds: testbed[];
	readonly keys: [Uint8Array, Uint8Array];
}

function pair(options: Partial<MachineOptions> = {}, second: Partial<MachineOptions> = {}, cost_only = false): Pair {
	const machines = [
		new Machine({ profile: exact, cpus: 4, ...options }),
		new Machine({ profile: exact, cpus: 4, name: "second", ...options, ...second }),
	];
	connect(machines[0], machines[1]);
	const hosts = [host_of(machines[0], cost_only), host_of(machines[1], cost_only)] as const;
	set_curkernel(hosts[0].kernel);
	return { hosts, kernels: hosts.map(({ kernel }) => kernel), beds: [], keys: testbed_keys() };
}

/** Starts a thread on each machine, and lets time pass until both have ended. */
function both(
	{ hosts, kernels }: Pair,
	main: (which: 0 | 1) => Blocking<void>,
	together: (threads: thread[]) => boolean = (threads) => runTogetherUntilExit(kernels, threads, 100_000, 10e9),
): void {
	const threads = ([0, 1] as const).map((which) => spawn(hosts[which].kernel, "test", () => main(which)));
	expect(together(threads)).toBe(true);
}

/** Builds a side of a test bed on each machine. */
function build(p: Pair, options: testbed_options): void {
	both(p, function* (which) {
		p.beds[which] = yield* testbed_machine(options, which, p.keys);
	});
}

/** Runs a command on one machine, and before it another one on the other, which must end well. @returns the ended process */
function exec(p: Pair, on: 0 | 1, command: string, other = ""): process {
	let proc: process | null = null;
	both(p, function* (which) {
		if (which === on) {
			// the other side may have to start something first
			if (other !== "") yield* pause_sbt("other", 2_000_000);
			proc = testbed_exec(p.beds[which].sides[which], command);
			yield* wait4(proc);
		} else if (other !== "") {
			const server = testbed_exec(p.beds[which].sides[which], other);
			expect([yield* wait4(server), ...server.errors]).toEqual([0]);
		}
	});
	return proc as unknown as process;
}

function destroy(p: Pair): void {
	both(p, (which) => testbed_machine_destroy(p.beds[which], which));
}

function pass(p: Pair, ns: number): void {
	runTogether(p.kernels, p.hosts[0].machine.now + ns);
}

function expect_no_leaks(kernel: Kernel): void {
	// what is freed after an epoch has its time
	run(kernel, kernel.machine.now + 100_000_000);
	expect(uma_leaks()).toEqual([]);
}

/** Lets `look` see, and change, each frame that comes to a running card. */
function tap({ wire }: Host, look: (bytes: Uint8Array) => void): void {
	const { receive } = wire;
	if (receive === null) throw new Error("the card does not run");
	wire.receive = (frame: Frame) => {
		look(frame.bytes);
		receive(frame);
	};
}

function received(proc: process): [number, number, number] {
	const { ntransmitted, nreceived, corrupted } = proc.p_data as ping_stats;
	return [ntransmitted, nreceived, corrupted];
}

// One machine, its card fed by hand

interface Lonely extends Host {
	/** the other end of its cable */
	readonly far: WireEnd;
	/** frames the interface has received, in order, as BPF shows them: numbers, lengths of their mbufs, whether these are clusters */
	readonly seen: {
		readonly id: number;
		readonly lens: number[];
		readonly cluster: boolean;
		/** mbufs that have a packet header */
		readonly headers: number;
		readonly bytes: Uint8Array;
	}[];
}

const ETHERTYPE_TEST = 0x88b5;

function lonely(options: Partial<MachineOptions> = {}, mtu = 1500): Lonely {
	const machine = new Machine({ profile: exact, cpus: 1, ...options });
	const other = new Machine({ profile: exact, cpus: 1, name: "other" });
	connect(machine, other);
	const host = host_of(machine);
	inside(host, function* () {
		if (mtu !== 1500) yield* sh(`ifconfig ix0 mtu ${mtu}`);
		yield* sh("ifconfig ix0 inet 192.168.2.1/24 up");
	});
	const seen: Lonely["seen"] = [];
	set_curkernel(host.kernel);
	host.ifp.if_bpf?.listen((_ifp, m) => {
		if (m.m_pkthdr.rcvif === null) return;
		const bytes = new Uint8Array(m.m_pkthdr.len);
		m_copydata(m, 0, bytes.length, bytes);
		const lens: number[] = [];
		let headers = 0;
		for (let n: mbuf | null = m; n !== null; n = n.m_next) {
			lens.push(n.m_len);
			if ((n.m_flags & M_PKTHDR) !== 0) headers++;
		}
		seen.push({ id: (bytes[14] << 8) | bytes[15], lens, cluster: (m.m_flags & M_EXT) !== 0, headers, bytes });
	});
	return { ...host, far: other.wires[0], seen };
}

function inside({ kernel }: Host, main: () => Blocking<void>): void {
	const td = spawn(kernel, "test", main);
	expect(runUntilExit(kernel, td, 10e9)).toBe(true);
}

/** A frame to the card, of a protocol nobody knows: it is seen by BPF and dropped. */
function frame_to({ ifp }: Host, id: number, length = 60): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let i = 0; i < length; i++) bytes[i] = i * 13 + id;
	bytes.set(ifp.if_hw_addr, 0);
	bytes.set([ETHERTYPE_TEST >> 8, ETHERTYPE_TEST & 0xff, id >> 8, id & 0xff], 12);
	return bytes;
}

function deliver(w: Lonely, frames: readonly Uint8Array[], settle_ns = 2_000_000): void {
	for (const bytes of frames) w.far.send({ bytes, packet_id: 0 }, w.machine.now);
	run(w.kernel, w.machine.now + settle_ns);
}

function mbuf_of(bytes: Uint8Array): mbuf {
	const m = m_get2(Math.min(bytes.length, 2048), M_WAITOK, MT_DATA, M_PKTHDR) as mbuf;
	m_append(m, bytes.length, bytes);
	m.m_pkthdr.len = bytes.length;
	return m;
}

/** Interrupts of each pair of queues: when. */
function interrupts({ ctx, machine }: Host): number[][] {
	const times: number[][] = ctx.ifc_rxqs.map(() => []);
	const { intr_filter } = ctx.ifc_txrx;
	Object.assign(ctx.ifc_txrx, {
		intr_filter: (qid: number) => {
			times[qid].push(machine.now);
			intr_filter(qid);
		},
	});
	return times;
}

// Arithmetic of checksums, another way than the kernel's: as one's complement numbers, that is, modulo 65535

function words(bytes: Uint8Array): number {
	let sum = 0;
	for (const [i, byte] of bytes.entries()) sum = (sum + (i % 2 === 0 ? byte * 256 : byte)) % 65_535;
	return sum;
}

/** What a frame is, and whether its checksums are right: "ip", "ip udp", "ip6 tcp!", each with ! if its own is wrong. */
function judge(frame: Uint8Array): string {
	const name = (proto: number): string => ({ 1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6" })[proto] ?? `${proto}`;
	const wrong = (sum: number): string => (sum % 65_535 === 0 ? "" : "!");
	const type = frame[12] * 256 + frame[13];
	if (type === 0x0806) return "arp";
	if (type === 0x86dd) {
		const length = frame[18] * 256 + frame[19];
		if (frame[20] === 44) return "ip6 fragment";
		const segment = frame.subarray(54, 54 + length);
		return `ip6 ${name(frame[20])}${wrong(words(frame.subarray(22, 54)) + length + frame[20] + words(segment))}`;
	}
	const hlen = (frame[14] % 16) * 4;
	const ip = `ip${wrong(words(frame.subarray(14, 14 + hlen)))}`;
	if ((frame[20] & 0x3f) !== 0 || frame[21] !== 0) return `${ip} fragment`;
	const segment = frame.subarray(14 + hlen, 14 + frame[16] * 256 + frame[17]);
	const pseudo = frame[23] === 1 ? 0 : words(frame.subarray(26, 34)) + frame[23] + segment.length;
	return `${ip} ${name(frame[23])}${wrong(pseudo + words(segment))}`;
}

describe("two machines on a cable", () => {
	test("reach each other, and each waits for the cable twice: a slower one shows as twice as much in the rtt", () => {
		const profile = { ...exact, cstates: exact.cstates.slice(0, 1) };
		const rtts = [3_500, 103_500].map((wire_latency) => {
			const p = pair({ profile, costs: overrides({ wire_latency }) });
			build(p, { plain: true });
			return ([0, 1] as const).map((which) => {
				const proc = exec(p, which, `ping -c 3 -i 0.01 ${p.beds[which].sides[1 - which].address}`);
				expect(received(proc)).toEqual([3, 3, 0]);
				return (proc.p_data as ping_stats).tmin * 1_000;
			});
		});
		for (const which of [0, 1]) {
			expect(rtts[0][which]).toBeGreaterThan(7);
			expect(rtts[1][which] - rtts[0][which]).toBeGreaterThan(198);
			expect(rtts[1][which] - rtts[0][which]).toBeLessThan(202);
		}
	});

	test("have addresses and random numbers of their own", () => {
		const p = pair();
		const [one, two] = p.hosts;
		expect(one.ifp.if_hw_addr.subarray(0, 3)).toEqual(Uint8Array.of(0xa0, 0x36, 0x9f));
		expect(two.ifp.if_hw_addr).not.toEqual(one.ifp.if_hw_addr);
		expect(two.ifp.if_hw_addr).toHaveLength(6);
	});

	test("give back everything when the test bed goes, whatever crossed it", () => {
		for (const options of [{ plain: true }, { plain: false }, { plain: true, outer: "inet6" }] as const) {
			const p = pair();
			build(p, options);
			exec(p, 0, `ping -c 2 -i 0.01 -s 2000 ${p.beds[0].sides[1].address}`);
			destroy(p);
			pass(p, 500_000_000);
			for (const { kernel } of p.hosts) expect_no_leaks(kernel);
		}
	});
});

/** What runTogether does, in windows of `window` ns. */
function take_turns(kernels: readonly Kernel[], time: number, window: number): void {
	const next = (): number => Math.min(...kernels.map(({ machine }) => machine.events.nextTime));
	while (next() <= time) {
		const until = Math.min(time, next() + window);
		for (const kernel of kernels) run(kernel, until);
	}
	for (const kernel of kernels) run(kernel, time);
}

describe("machines run side by side", () => {
	/** All there is to tell of a run of iperf3 between the two, driven in windows of `window` ns; null: by runTogether. */
	function whole(seed: number, command: string, plain: boolean, window: number | null, swapped: boolean): unknown {
		const p = pair({ seed, profile: { ...exact, jitter_permille: 100 } }, {}, true);
		const kernels = swapped ? [...p.kernels].reverse() : p.kernels;
		const end = p.hosts[0].machine.now + 60_000_000;
		let client: process | null = null;
		both(
			p,
			function* (which) {
				const bed = yield* testbed_machine({ plain }, which, p.keys);
				if (which === 0) {
					yield* pause_sbt("server", 6_000_000);
					client = testbed_exec(bed.sides[0], `${command} -c ${bed.sides[1].address}`);
					yield* wait4(client);
				} else testbed_exec(bed.sides[1], "iperf3 -s -1");
			},
			(threads) => {
				if (window === null) runTogether(kernels, end);
				else take_turns(kernels, end, window);
				return threads.every((td) => td.td_exited);
			},
		);
		return [
			(client as unknown as process).lines,
			p.hosts.map(({ machine, ifp }) => [
				machine.fingerprint.toString(),
				machine.fingerprint.count,
				machine.event_count,
				...ifp.if_counters,
			]),
		];
	}

	test.each([
		[1, "iperf3 -t 1ms -i 0", true],
		[2, "iperf3 -u -b 2G -t 1ms -i 0 -l 1000", false],
	] as const)("and see the same in whatever turns they take, seed %i, %s", (seed, command, plain) => {
		const expected = whole(seed, command, plain, null, false);
		for (const [window, swapped] of [
			[1_000, true],
			[137, false],
		] as const) {
			expect(whole(seed, command, plain, window, swapped)).toEqual(expected);
		}
	});

	test("never further apart than the shorter of their cables is long", () => {
		const p = pair({ costs: overrides({ wire_latency: 1_500 }) }, { costs: overrides({ wire_latency: 9_000 }) });
		build(p, { plain: true });
		let apart = 0;
		const [one, two] = p.hosts.map(({ machine }) => machine);
		for (const [host, here, there] of [
			[p.hosts[0], one, two],
			[p.hosts[1], two, one],
		] as const) {
			// nothing happens on the other one between its clock and its next event
			tap(host, () => {
				apart = Math.max(apart, here.now - Math.max(there.now, there.events.nextTime), there.now - here.now);
			});
		}
		exec(p, 0, `iperf3 -c ${p.beds[1].sides[1].address} -t 1ms -i 0`, "iperf3 -s -1");
		expect(apart).toBeGreaterThan(500);
		expect(apart).toBeLessThanOrEqual(1_500);
	});

	// FAILS, a bug of boot.ts or wire.ts: among events of one time on a machine the one scheduled first by the host goes first, and
	// whether a frame's arrival or the machine's own doing was scheduled first depends on the windows the machines take turns in
	test("and agree on what comes first when a frame arrives at the very time of something else", () => {
		const orders = [3_500, 1_000, 100].map((window) => {
			const p = pair({ costs: overrides({ wire_latency: 3_500 }) });
			const [one, two] = p.hosts;
			const order: string[] = [];
			const start = Math.max(one.machine.now, two.machine.now) + 10_000;
			const arrival = start + 1_000 + 68 + 3_500;
			two.wire.receive = () => order.push("frame");
			const local = new Event({ fire: () => order.push("local") });
			const plan = new Event({ fire: () => two.machine.events.schedule(local, arrival) });
			const send = new Event({
				fire: () => one.wire.send({ bytes: new Uint8Array(60), packet_id: 0 }, one.machine.now),
			});
			two.machine.events.schedule(plan, start);
			one.machine.events.schedule(send, start + 1_000);
			take_turns(p.kernels, arrival + 1, window);
			return order;
		});
		expect(orders).toEqual([orders[0], orders[0], orders[0]]);
	});

	test("runTogetherUntilExit stops within a step of the last end, and says so if the limit comes first", () => {
		const p = pair();
		const [one, two] = p.hosts;
		const threads = [
			spawn(one.kernel, "one", () => pause_sbt("one", 1_000_000)),
			spawn(two.kernel, "two", () => pause_sbt("two", 5_000_000)),
		];
		const { now } = one.machine;
		expect(runTogetherUntilExit(p.kernels, threads, 10_000, 3_000_000)).toBe(false);
		expect(threads.map((td) => td.td_exited)).toEqual([true, false]);
		expect([one, two].map(({ machine }) => machine.now - now)).toEqual([3_000_000, 3_000_000]);
		expect(runTogetherUntilExit(p.kernels, threads, 10_000, 1e9)).toBe(true);
		expect(one.machine.now).toBe(two.machine.now);
		expect(one.machine.now - now).toBeGreaterThan(5_000_000);
		expect(one.machine.now - now).toBeLessThan(6_000_000);
	});
});

describe("checksums", () => {
	test("are the card's business, and right on the wire", () => {
		const kinds = new Set<string>();
		const left = new Set<string>();
		for (const outer of ["inet", "inet6"] as const) {
			const p = pair();
			build(p, { plain: true, outer });
			const to = p.beds[0].sides[1].address;
			const server = outer === "inet" ? "iperf3 -s -1" : "iperf3 -s -1 -6";
			for (const host of p.hosts) {
				tap(host, (bytes) => kinds.add(judge(bytes)));
				set_curkernel(host.kernel);
				host.ifp.if_bpf?.listen((_ifp, m) => {
					if (m.m_pkthdr.rcvif !== null) return;
					const bytes = new Uint8Array(m.m_pkthdr.len);
					m_copydata(m, 0, bytes.length, bytes);
					if (bytes[12] === 0x08 && bytes[13] === 0x06) return;
					const flags = m.m_pkthdr.csum_flags;
					const kind = judge(bytes);
					// what was left to it is not right yet, and what was not is
					expect(/^ip!/.test(kind)).toBe((flags & CSUM_IP) !== 0);
					expect(/!$/.test(kind.replace(/^ip!/, ""))).toBe((flags & (CSUM_DELAY_DATA | CSUM_DELAY_DATA_IPV6)) !== 0);
					left.add(kind);
				});
			}
			for (const [command, other] of [
				[`ping -c 1 -s 57 ${to}`, ""],
				[`ping -c 1 -s 3000 ${to}`, ""],
				[`iperf3 -c ${to} -t 1ms -i 0`, server],
				[`iperf3 -c ${to} -t 1ms -i 0 -u -b 100M -l 333`, server],
				[`iperf3 -c ${to} -t 1ms -i 0 -u -b 100M -l 2001`, server],
			]) {
				const proc = exec(p, 0, command, other);
				expect([command, proc.p_xstat, ...proc.errors]).toEqual([command, 0]);
			}
			for (const { kernel } of p.hosts) {
				const stat = in_vnet0(kernel, () => [
					V_ipstat().ips_badsum,
					V_udpstat().udps_badsum,
					V_tcpstat().tcps_rcvbadsum,
				]);
				expect(stat).toEqual([0, 0, 0]);
			}
		}
		expect([...kinds].sort()).toEqual(
			["ip icmp", "ip tcp", "ip udp", "ip fragment", "ip6 icmp6", "ip6 tcp", "ip6 udp", "ip6 fragment", "arp"].sort(),
		);
		for (const kind of ["ip! tcp!", "ip! udp!", "ip6 tcp!", "ip6 udp!"]) expect(left).toContain(kind);
	});

	// the first frame of its kind is damaged on the way: who notices, and how it ends
	test.each([
		["ip header", 22, /^ip icmp$/, "ping -c 2 -i 0.01 -t 1", [1, 0, 0]],
		["ip addresses", 31, /^ip icmp$/, "ping -c 2 -i 0.01 -t 1", [1, 0, 0]],
		["udp payload", 200, /^ip udp$/, "iperf3 -t 2ms -i 0 -u -b 100M -l 400 -c", [0, 1, 0]],
		["udp ports", 36, /^ip udp$/, "iperf3 -t 2ms -i 0 -u -b 100M -l 400 -c", [0, 1, 0]],
		["tcp payload", 700, /^ip tcp$/, "iperf3 -t 1ms -i 0 -c", [0, 0, 1]],
	] as const)("that do not fit make the stack drop and count a frame: %s", (_what, at, kind, command, expected) => {
		const p = pair();
		build(p, { plain: true });
		const [, far] = p.hosts;
		let damaged = 0;
		tap(far, (bytes) => {
			if (damaged > 0 || bytes.length <= at || !kind.test(judge(bytes))) return;
			// not one of those that set a test up
			if (bytes.length < 400 && kind.test("ip udp")) return;
			bytes[at] ^= 0x10;
			damaged++;
		});
		const proc = exec(
			p,
			0,
			`${command} ${p.beds[0].sides[1].address}`,
			command.startsWith("ping") ? "" : "iperf3 -s -1",
		);
		expect(damaged).toBe(1);
		const stat = in_vnet0(far.kernel, () => [
			V_ipstat().ips_badsum,
			V_udpstat().udps_badsum,
			V_tcpstat().tcps_rcvbadsum,
		]);
		expect(stat).toEqual(expected);
		if (command.startsWith("ping")) expect(received(proc)).toEqual([2, 1, 0]);
		else expect(proc.p_xstat).toBe(0);
	});

	interface Packet {
		readonly frame: Uint8Array;
		/** where the transport header begins and the packet ends */
		readonly at: number;
		readonly end: number;
		readonly v6: boolean;
		readonly tcp: boolean;
		/** flags and offset for csum_fill */
		readonly flags: number;
		readonly offset: number;
	}

	/** UDP or TCP over IPv4, with options or without, or IPv6; padded or not. Checksums as the stack leaves them to a card. */
	const packet: fc.Arbitrary<Packet> = fc
		.record({
			v6: fc.boolean(),
			tcp: fc.boolean(),
			options: fc.nat(10),
			addresses: fc.uint8Array({ minLength: 32, maxLength: 32 }),
			payload: fc.oneof(
				fc.uint8Array({ maxLength: 40 }),
				fc.uint8Array({ minLength: 41, maxLength: 1500, size: "max" }),
				fc.nat(1500).map((length) => new Uint8Array(length).fill(0xff)),
			),
			padding: fc.nat(20),
		})
		.map(({ v6, tcp, options, addresses, payload, padding }) => {
			const at = 14 + (v6 ? 40 : 20 + options * 4);
			const end = at + (tcp ? 20 : 8) + payload.length;
			const length = end - at;
			const proto = tcp ? 6 : 17;
			const offset = tcp ? 16 : 6;
			const frame = new Uint8Array(end + padding).fill(0xa5);
			frame.fill(0, 12, end);
			frame.set(v6 ? [0x86, 0xdd] : [0x08, 0x00], 12);
			// neither link-local nor multicast: part of those is the kernel's own
			if (v6) addresses.fill(0x20, 0, 1).fill(0x20, 16, 17);
			if (v6) frame.set([0x60, 0, 0, 0, length >> 8, length & 0xff, proto, 64, ...addresses], 14);
			else {
				frame.set([0x45 + options, 0, (end - 14) >> 8, (end - 14) & 0xff, 7, 7, 0, 0, 64, proto, 0xde, 0xad], 14);
				frame.set(addresses.subarray(0, 8 + options * 2), 26);
			}
			frame.set([0x30, 0x39, 0x30, 0x3a], at);
			if (!tcp) frame.set([length >> 8, length & 0xff], at + 4);
			frame.set(payload, end - payload.length);
			// the field holds the sum of the pseudo header
			const sum = words(frame.subarray(v6 ? 22 : 26, v6 ? 54 : 34)) + proto + length;
			frame.set([(sum % 65_535) >> 8, (sum % 65_535) & 0xff], at + offset);
			const delayed = v6 ? (tcp ? CSUM_IP6_TCP : CSUM_IP6_UDP) : (tcp ? CSUM_IP_TCP : CSUM_IP_UDP) | CSUM_IP;
			return { frame, at, end, v6, tcp, flags: delayed, offset };
		});

	function filled({ frame, flags, offset }: Packet): Uint8Array {
		const bytes = frame.slice();
		csum_fill(bytes, flags, offset);
		return bytes;
	}

	/** in cost-only mode there is another answer */
	const real = (): void => set_curkernel(boot(new Machine({ profile: exact, cpus: 1 })));

	test("filled in are right, and change nothing but their fields; the engine that checks them says so", () => {
		real();
		fc.assert(
			fc.property(packet, (p) => {
				const { frame, at, v6, tcp, offset } = p;
				const bytes = filled(p);
				expect(judge(bytes)).toBe(`${v6 ? "ip6" : "ip"} ${tcp ? "tcp" : "udp"}`);
				expect(csum_check(bytes)).toBe((v6 ? 0 : IP_FLAGS) | L4_FLAGS);
				const fields = [at + offset, at + offset + 1, ...(v6 ? [] : [24, 25])];
				for (const i of fields) bytes[i] = frame[i];
				expect(bytes).toEqual(frame);
			}),
			{ numRuns: 300 },
		);
	});

	test("left to the stack are left alone", () => {
		real();
		fc.assert(
			fc.property(packet, ({ frame, flags, offset }) => {
				const bytes = frame.slice();
				csum_fill(bytes, 0, offset);
				expect(bytes).toEqual(frame);
				csum_fill(bytes, flags & CSUM_IP, offset);
				expect(bytes.subarray(26)).toEqual(frame.subarray(26));
			}),
			{ numRuns: 50 },
		);
	});

	test("are wrong if any bit they cover is, and right whatever else is", () => {
		real();
		fc.assert(
			fc.property(packet, fc.nat(), fc.nat(7), (p, where, bit) => {
				const { at, end, v6 } = p;
				const bytes = filled(p);
				const i = 14 + (where % (bytes.length - 14));
				// another length sums other bytes, which may happen to fit
				fc.pre(v6 ? i !== 18 && i !== 19 : i !== 14);
				bytes[i] ^= 1 << bit;
				let expected = (v6 ? 0 : IP_FLAGS) | L4_FLAGS;
				if (i < at) {
					// of IPv6 headers only the pseudo header is covered, not class, flow and hop limit
					if (!v6 || i === 20 || i >= 22) expected = 0;
				} else if (i < end) expected &= IP_FLAGS;
				expect(csum_check(bytes)).toBe(expected);
			}),
			{ numRuns: 1_000 },
		);
	});

	test("of a fragment's payload nobody can tell: only the header's", () => {
		real();
		fc.assert(
			fc.property(packet, fc.oneof(fc.constant(0x2000), fc.integer({ min: 1, max: 0x3fff })), (p, fragment) => {
				fc.pre(!p.v6);
				const { frame, flags, offset } = p;
				frame.set([fragment >> 8, fragment & 0xff], 20);
				csum_fill(frame, flags, offset);
				expect(csum_check(frame)).toBe(IP_FLAGS);
			}),
			{ numRuns: 50 },
		);
	});

	test("are told of where a packet may not be fragmented as well", () => {
		real();
		const [p] = fc.sample(
			packet.filter(({ v6 }) => !v6),
			{ seed: 1, numRuns: 1 },
		);
		p.frame.set([0x40, 0], 20);
		expect(csum_check(filled(p))).toBe(IP_FLAGS | L4_FLAGS);
	});

	test("that a datagram does without are not said to be right; one that comes to 0 is sent as ffff", () => {
		real();
		const udp = packet.filter(({ tcp, end, at }) => !tcp && end - at >= 10);
		fc.assert(
			fc.property(udp, (p) => {
				const { at, end, v6 } = p;
				const none = filled(p);
				none.fill(0, at + 6, at + 8);
				expect(csum_check(none)).toBe(v6 ? 0 : IP_FLAGS);
				// make a word of the payload what the sum lacks
				const last = at + 8 + 2 * Math.floor((end - at - 10) / 2);
				p.frame.fill(0, last, last + 2);
				const csum = filled(p).slice(at + 6, at + 8);
				p.frame.set(csum, last);
				const zero = filled(p);
				expect([...zero.subarray(at + 6, at + 8)]).toEqual([0xff, 0xff]);
				expect(csum_check(zero)).toBe((v6 ? 0 : IP_FLAGS) | L4_FLAGS);
				// the sum would be right even so
				zero.fill(0, at + 6, at + 8);
				expect(csum_check(zero)).toBe(v6 ? 0 : IP_FLAGS);
			}),
			{ numRuns: 100 },
		);
	});

	test("of garbage and of frames that end too soon are never right, and never a reason to fall over", () => {
		real();
		const known = fc.constantFrom([0x08, 0x00, 0x45], [0x08, 0x00, 0x4f], [0x86, 0xdd, 0x60], [0x08, 0x06, 0x45]);
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 120, size: "max" }), known, (bytes, type) => {
				bytes.set(type.slice(0, Math.max(0, bytes.length - 12)), Math.min(12, bytes.length));
				expect(csum_check(bytes) & ~(IP_FLAGS | L4_FLAGS)).toBe(0);
			}),
			{ numRuns: 200 },
		);
		fc.assert(
			fc.property(packet, fc.nat(), (p, cut) => {
				const bytes = filled(p);
				expect(csum_check(bytes.subarray(0, cut % p.end))).toBe(0);
			}),
			{ numRuns: 200 },
		);
		// that the bytes that are not there would be zeros does not help
		fc.assert(
			fc.property(packet, fc.nat(), (p, cut) => {
				const { frame, at, tcp, end } = p;
				const payload = at + (tcp ? 20 : 8);
				fc.pre(end - payload >= 2);
				const short = payload + (cut % (end - payload));
				frame.fill(0, short, end);
				expect(csum_check(filled(p).subarray(0, short))).toBe(0);
			}),
			{ numRuns: 100 },
		);
		// nor that the sum over lengths that cannot be is right
		const [v4] = fc.sample(
			packet.filter(({ v6 }) => !v6),
			{ seed: 1, numRuns: 1 },
		);
		for (const [hlen, length] of [
			[16, v4.end - 14],
			[20, 19],
			[24, 23],
			[20, 0xffff],
		]) {
			const bytes = filled(v4);
			bytes[14] = 0x40 + hlen / 4;
			bytes.set([length >> 8, length & 0xff], 16);
			bytes.fill(0, 24, 26);
			const sum = 65_535 - words(bytes.subarray(14, 14 + hlen));
			bytes.set([sum >> 8, sum & 0xff], 24);
			expect(csum_check(bytes)).toBe(0);
		}
	});
});

describe("receiving", () => {
	const clusters = ({ kernel }: Host): number => {
		set_curkernel(kernel);
		return uma_zone_list().find(({ name }) => name === "mbuf_cluster")?.requests ?? 0;
	};

	test("copies up to 128 bytes and posts their cluster again; of more it keeps the cluster and posts a new one", () => {
		const w = lonely();
		const [rxq] = w.ctx.ifc_rxqs;
		expect(rxq.ifl_credits).toBe(128);
		// the first packet makes it fill the ring, but for one
		deliver(w, [frame_to(w, 0)]);
		expect(rxq.ifl_credits).toBe(2047);
		for (const [id, [length, copied]] of (
			[
				[60, true],
				[128, true],
				[129, false],
				[1514, false],
				[61, true],
			] as const
		).entries()) {
			const posted = new Set(rxq.ifsd_cl);
			const before = clusters(w);
			deliver(w, [frame_to(w, id + 1, length)]);
			const last = w.seen.at(-1);
			expect(last).toMatchObject({ id: id + 1, lens: [length], cluster: !copied });
			expect(last?.bytes).toEqual(frame_to(w, id + 1, length));
			expect(clusters(w) - before).toBe(copied ? 0 : 1);
			expect(rxq.ifsd_cl.filter((cl) => posted.has(cl))).toHaveLength(copied ? 2047 : 2046);
			expect([rxq.ifl_credits, rxq.ifsd_cl.length, rxq.ifsd_m.length]).toEqual([2047, 2047, 2047]);
		}
		expect(w.seen).toHaveLength(6);
	});

	test("goes through every buffer of the ring, and all of them again", () => {
		const w = lonely();
		for (let i = 0; i < 5_000; i += 100) {
			deliver(
				w,
				Array.from({ length: 100 }, (_, j) => frame_to(w, i + j, (i + j) % 2 === 0 ? 60 : 200)),
				200_000,
			);
		}
		run(w.kernel, w.machine.now + 2_000_000);
		expect(w.seen.map(({ id }) => id)).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
		expect(w.seen.every(({ id, bytes }) => Buffer.compare(bytes, frame_to(w, id, bytes.length)) === 0)).toBe(true);
	});

	// FAILS, a bug of if_ix.ts: bytes are counted by ether_input_internal and by iflib_rxeof. Upstream's ix(4) has IFCAP_HWSTATS,
	// which keeps ether_input_internal from counting
	test("counts packets and bytes once", () => {
		const w = lonely();
		const counters = w.ifp.if_counters.slice();
		deliver(w, [frame_to(w, 1, 60), frame_to(w, 2, 1000)]);
		expect(w.ifp.if_counters[IFCOUNTER_IPACKETS] - counters[IFCOUNTER_IPACKETS]).toBe(2);
		expect(w.ifp.if_counters[IFCOUNTER_IBYTES] - counters[IFCOUNTER_IBYTES]).toBe(1060);
	});

	test("takes at most 16 packets a run, and comes again at once while there are more", () => {
		const w = lonely();
		const [rxq] = w.ctx.ifc_rxqs;
		deliver(w, [frame_to(w, 0)]);
		const runs: number[] = [];
		const times = interrupts(w);
		const stop = gtask_start.listen((gt) => {
			if (gt === rxq.ifr_task) runs.push(w.seen.length);
		});
		// the CPU needs 133 us to wake: by then all are there
		run(w.kernel, w.machine.now + 5_000_000);
		deliver(
			w,
			Array.from({ length: 100 }, (_, i) => frame_to(w, i + 1)),
		);
		stop();
		runs.push(w.seen.length);
		expect(runs.slice(0, 8).map((n) => n - 1)).toEqual([0, 16, 32, 48, 64, 80, 96, 100]);
		expect(w.seen.map(({ id }) => id)).toEqual(Array.from({ length: 101 }, (_, i) => i));
		expect(times[0].length).toBeLessThanOrEqual(3);
	});

	test("of one that is longer than a cluster makes one packet of several", () => {
		const w = lonely({}, 9000);
		deliver(w, [frame_to(w, 1, 2048), frame_to(w, 2, 2049), frame_to(w, 3, 9014)]);
		expect(w.seen.map(({ lens }) => lens)).toEqual([[2048], [2048, 1], [2048, 2048, 2048, 2048, 822]]);
		expect(w.seen.map(({ headers }) => headers)).toEqual([1, 1, 1]);
		expect(w.seen.every(({ id, bytes }) => Buffer.compare(bytes, frame_to(w, id, bytes.length)) === 0)).toBe(true);
		expect(w.ctx.ifc_rxqs[0].ifl_credits).toBe(2047);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("loses what there is no buffer for, and nothing after that", () => {
		const w = lonely();
		// 128 buffers are posted, and the CPU sleeps deeply
		run(w.kernel, w.machine.now + 5_000_000);
		deliver(
			w,
			Array.from({ length: 200 }, (_, i) => frame_to(w, i)),
		);
		expect(w.seen.map(({ id }) => id)).toEqual(Array.from({ length: 128 }, (_, i) => i));
		deliver(w, [frame_to(w, 500), frame_to(w, 501)]);
		expect(w.seen.slice(128).map(({ id }) => id)).toEqual([500, 501]);
	});

	test("without memory goes on until its buffers are used up, and again when there is some, without a frame to remind it", () => {
		for (const missing of ["mbuf", "mbuf_cluster"]) {
			const w = lonely();
			const [rxq] = w.ctx.ifc_rxqs;
			const frames = (n: number): Uint8Array[] => Array.from({ length: n }, (_, i) => frame_to(w, i, 500));
			set_curkernel(w.kernel);
			uma_set_fault((name) => name === missing);
			for (let i = 0; i < 5; i++) deliver(w, frames(40));
			expect(w.seen).toHaveLength(128);
			expect(rxq.ifl_credits).toBe(0);
			uma_set_fault(null);
			run(w.kernel, w.machine.now + 5_000_000);
			expect(rxq.ifl_credits).toBe(2047);
			deliver(w, frames(40));
			expect(w.seen).toHaveLength(168);
			// small ones leave their clusters behind
			uma_set_fault((name) => name === missing);
			deliver(
				w,
				Array.from({ length: 40 }, (_, i) => frame_to(w, i)),
			);
			expect(w.seen).toHaveLength(208);
			inside(w, function* () {
				yield* sh("ifconfig ix0 down");
			});
			uma_set_fault(null);
			expect_no_leaks(w.kernel);
		}
	});

	test("loses and forgets nothing, whenever frames come and whatever else its only CPU does", () => {
		let held = 0;
		fc.assert(
			fc.property(
				fc.record({
					seed: fc.nat(),
					lead_ns: fc.constantFrom(0, 320),
					nic_itr: fc.constantFrom(0, 0, 1_000, 32_000),
					/** computing and sleeping in turn, ns, as a user's thread and as one of the kernel that goes first */
					work: fc.array(fc.tuple(fc.nat(30_000), fc.nat(30_000)), { maxLength: 20, size: "max" }),
					urgent: fc.array(fc.tuple(fc.nat(3_000), fc.nat(20_000)), { maxLength: 20, size: "max" }),
					gaps: fc.array(fc.oneof(fc.nat(200), fc.nat(4_000), fc.nat(40_000)), {
						minLength: 1,
						maxLength: 120,
						size: "max",
					}),
				}),
				({ seed, lead_ns, nic_itr, work, urgent, gaps }) => {
					const w = lonely({
						seed,
						lead_ns,
						costs: overrides({ nic_itr }),
						profile: { ...exact, jitter_permille: 100 },
					});
					const busy = (turns: readonly (readonly [number, number])[]) =>
						function* (): Blocking<void> {
							for (const [compute, rest] of turns) {
								charge(compute);
								yield* sync();
								yield* pause_sbt("rest", rest + 1);
							}
						};
					spawn(w.kernel, "user", busy(work));
					kthread_add(busy(urgent), undefined, "urgent", 8);
					let time = w.machine.now;
					for (const [i, gap] of gaps.entries()) {
						time += gap;
						w.far.send({ bytes: frame_to(w, i, 60 + (i % 3) * 100), packet_id: 0 }, time);
					}
					const { gt_taskqueue } = w.ctx.ifc_rxqs[0].ifr_task;
					const stop = gtask_start.listen(() => held++);
					run(w.kernel, time + 20_000_000);
					stop();
					expect(gt_taskqueue?.tq_queue).toEqual([]);
					expect(w.seen.map(({ id }) => id)).toEqual(gaps.map((_, i) => i));
				},
			),
			{ numRuns: 60 },
		);
		expect(held).toBeGreaterThan(120);
	});

	test("waits while its interrupt is masked", () => {
		const w = lonely();
		w.ctx.ifc_txrx.intr_filter(0);
		deliver(w, [frame_to(w, 1)], 20_000_000);
		expect(w.seen).toEqual([]);
		set_curkernel(w.kernel);
		w.ctx.ifc_txrx.queue_intr_enable(0);
		deliver(w, []);
		expect(w.seen).toHaveLength(1);
	});

	test("is asked for by an interrupt if there is something to receive, and sending if something has left; for what there is not, it unmasks", () => {
		for (const [left, come] of [
			[0, 0],
			[0, 1],
			[1, 0],
			[1, 1],
		]) {
			const w = lonely();
			const calls: string[] = [];
			const started: unknown[] = [];
			Object.assign(w.ctx.ifc_txrx, {
				intr_filter: (qid: number) => calls.push(`mask ${qid}`),
				queue_intr_enable: (qid: number) => calls.push(`unmask ${qid}`),
				txd_credits_update: () => left,
				rxd_available: () => come,
			});
			set_curkernel(w.kernel);
			interrupt(pcpu_find(0), 0, () => iflib_fast_intr_rxtx(w.ctx, 0));
			expect(calls).toEqual(["mask 0", ...new Array(2 - left - come).fill("unmask 0")]);
			Object.assign(w.ctx.ifc_txrx, { txd_credits_update: () => 0, rxd_available: () => 0 });
			const stop = gtask_start.listen((gt) => started.push(gt));
			run(w.kernel, w.machine.now + 1_000_000);
			stop();
			const [{ ift_task }] = w.ctx.ifc_txqs;
			const [{ ifr_task }] = w.ctx.ifc_rxqs;
			expect(started).toEqual([...(left > 0 ? [ift_task] : []), ...(come > 0 ? [ifr_task] : [])]);
			// each task unmasks when it has done its part
			expect(calls).toEqual(["mask 0", "unmask 0", "unmask 0"]);
		}
	});

	// FAILS, a bug of if_ix.ts: blocked_until says when what the queue's own CPU computes is over, though the lock is another CPU's
	test("is held up by another CPU that has its queue locked no longer than that, whatever its own CPU computes", () => {
		const w = lonely({ cpus: 2 });
		deliver(w, [frame_to(w, 0)]);
		const times = interrupts(w);
		const { tq_mutex } = w.ctx.ifc_rxqs[0].ifr_task.gt_taskqueue as gtaskqueue;
		const arrival = w.machine.now + 1_000_000;
		const until = function* (time: number): Blocking<void> {
			charge(time - sbinuptime());
			yield* sync_exactly();
		};
		start(w.kernel, "computes", 150, 0, () => until(arrival + 500_000));
		start(w.kernel, "locks", 150, 1, function* () {
			yield* until(arrival - 2_000);
			yield* mtx_lock_spin(tq_mutex);
			yield* until(arrival + 2_000);
			yield* mtx_unlock_spin(tq_mutex);
		});
		w.far.send({ bytes: frame_to(w, 1), packet_id: 0 }, arrival - w.machine.costs.wire_latency - 68);
		run(w.kernel, arrival + 5_000_000);
		expect(times[0]).toHaveLength(1);
		expect(times[0][0] - arrival).toBeGreaterThanOrEqual(2_000);
		expect(times[0][0] - arrival).toBeLessThan(3_000);
	});

	test("is asked for by interrupts at least 32 us apart, pair by pair", () => {
		fc.assert(
			fc.property(
				fc.nat(),
				fc.array(fc.oneof(fc.nat(500), fc.nat(50_000)), { minLength: 80, maxLength: 80 }),
				(seed, gaps) => {
					const w = lonely({ seed, cpus: 4 });
					const times = interrupts(w);
					let time = w.machine.now;
					for (const [i, gap] of gaps.entries()) {
						time += gap;
						const bytes = frame_to(w, i);
						// IPv4, as far as the hash goes
						if (i % 2 === 0) bytes.set([0x08, 0x00], 12);
						bytes[33] = i % 8;
						w.far.send({ bytes, packet_id: 0 }, time);
					}
					run(w.kernel, time + 5_000_000);
					expect(times.flat().length).toBeGreaterThan(10);
					for (const of_pair of times) {
						for (let i = 1; i < of_pair.length; i++) expect(of_pair[i] - of_pair[i - 1]).toBeGreaterThanOrEqual(32_000);
					}
				},
			),
			{ numRuns: 10 },
		);
	});
});

describe("sending", () => {
	/** Sends frames as fast as it goes. @returns the numbers of those that were accepted */
	function* flood(w: Host, ids: readonly number[], length: number, errors: Errno[] = []): Blocking<number[]> {
		const accepted: number[] = [];
		for (const id of ids) {
			const error = yield* w.ifp.if_transmit(w.ifp, mbuf_of(frame_to(w, id, length)));
			if (error === 0) accepted.push(id);
			else errors.push(error);
		}
		return accepted;
	}

	function listen(w: Lonely): number[] {
		const ids: number[] = [];
		w.far.receive = ({ bytes }) => {
			const id = (bytes[14] << 8) | bytes[15];
			expect(Buffer.compare(bytes, frame_to(w, id, bytes.length))).toBe(0);
			ids.push(id);
		};
		return ids;
	}

	const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

	/** What is left lying goes when the timer looks, twice a second. */
	function settle(w: Lonely): void {
		run(w.kernel, w.machine.now + 1_000_000_000);
		w.far.machine.run(w.machine.now);
	}

	test("faster than the cable takes it fills the ring: ENOBUFS then, and what was accepted goes, in order", () => {
		const w = lonely();
		const ids = listen(w);
		const errors: Errno[] = [];
		let accepted: number[] = [];
		const before = w.ifp.if_counters.slice();
		inside(w, function* () {
			accepted = yield* flood(w, upTo(9_000), 1514, errors);
		});
		settle(w);
		expect(new Set(errors)).toEqual(new Set([ENOBUFS]));
		expect(accepted.length).toBeGreaterThan(4_000);
		expect(accepted.length + errors.length).toBe(9_000);
		expect(ids).toEqual(accepted);
		const [txq] = w.ctx.ifc_txqs;
		expect(txq.ift_br.drops).toBe(errors.length);
		expect(txq.ift_br.stalls).toBeGreaterThan(0);
		expect(ifmp_ring_is_idle(txq.ift_br)).toBe(true);
		expect(w.ifp.if_counters[IFCOUNTER_OPACKETS] - before[IFCOUNTER_OPACKETS]).toBe(accepted.length);
		expect(w.ifp.if_counters[IFCOUNTER_OBYTES] - before[IFCOUNTER_OBYTES]).toBe(accepted.length * 1514);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("is over when the interface goes down: what waits is freed, and after up all is as new", () => {
		const w = lonely();
		const ids = listen(w);
		const [txq] = w.ctx.ifc_txqs;
		inside(w, function* () {
			const errors: Errno[] = [];
			yield* flood(w, upTo(9_000), 1514, errors);
			expect(errors).not.toEqual([]);
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
		settle(w);
		ids.length = 0;
		inside(w, function* () {
			yield* sh("ifconfig ix0 up");
			for (let i = 0; i < 5; i++) {
				expect(yield* flood(w, upTo(50), 100)).toEqual(upTo(50));
				yield* pause_sbt("leave", 1_000_000);
			}
		});
		settle(w);
		expect(ids).toEqual([0, 1, 2, 3, 4].flatMap(() => upTo(50)));
		// of what has left only so many packets are kept as one may have pieces, and what came after the last look
		expect(txq.ift_sds.filter((m) => m !== null).length).toBeLessThanOrEqual(txq.ift_in_use);
		expect(txq.ift_in_use).toBeLessThan(50 + 32 + 3);
	});

	test("one frame leaves as soon as it is handed over", () => {
		const w = lonely();
		listen(w);
		const times: number[] = [];
		const { receive } = w.far;
		w.far.receive = (frame) => {
			times.push(w.far.machine.now);
			receive?.(frame);
		};
		let sent = 0;
		inside(w, function* () {
			yield* flood(w, [1], 60);
			sent = w.machine.now + curthread.td_pending;
		});
		settle(w);
		expect(times).toHaveLength(1);
		expect(times[0] - 68 - w.machine.costs.wire_latency).toBeLessThanOrEqual(sent);
	});

	test("from several CPUs at once: each one's frames go in order, and none is forgotten", () => {
		const w = lonely({ cpus: 4 });
		const ids = listen(w);
		const accepted: number[][] = [];
		const tds = upTo(4).map((t) =>
			spawn(w.kernel, `sender ${t}`, function* () {
				accepted[t] = yield* flood(
					w,
					upTo(700).map((i) => t * 1_000 + i),
					900,
				);
			}),
		);
		for (const td of tds) expect(runUntilExit(w.kernel, td, 1e9)).toBe(true);
		settle(w);
		expect(upTo(4).map((t) => ids.filter((id) => Math.floor(id / 1_000) === t))).toEqual(accepted);
		expect(accepted.flat().length).toBeGreaterThan(2_000);
	});

	test("goes by the packet's flow, to the first queue without one", () => {
		const w = lonely({ cpus: 4 });
		const queues: number[] = [];
		const { txd_encap } = w.ctx.ifc_txrx;
		Object.assign(w.ctx.ifc_txrx, {
			txd_encap: (qid: number, pi: Parameters<typeof txd_encap>[1]) => {
				queues.push(qid);
				return txd_encap(qid, pi);
			},
		});
		inside(w, function* () {
			for (const [flowid, type] of [
				[6, M_HASHTYPE_NONE],
				[6, M_HASHTYPE_RSS_IPV4],
				[3, M_HASHTYPE_RSS_IPV4],
				[4, M_HASHTYPE_RSS_IPV4],
			]) {
				const m = mbuf_of(frame_to(w, 1));
				m.m_pkthdr.flowid = flowid;
				M_HASHTYPE_SET(m, type);
				yield* w.ifp.if_transmit(w.ifp, m);
			}
		});
		expect(queues).toEqual([0, 2, 3, 0]);
	});

	test("of what is left lying without a doorbell happens when the timer looks, twice a second", () => {
		const w = lonely();
		const [txq] = w.ctx.ifc_txqs;
		let rang = 0;
		const { txd_flush } = w.ctx.ifc_txrx;
		Object.assign(w.ctx.ifc_txrx, {
			txd_flush: (qid: number) => {
				rang++;
				txd_flush(qid);
			},
		});
		settle(w);
		expect(rang).toBe(0);
		txq.ift_db_pending = 1;
		run(w.kernel, w.machine.now + 501_000_000);
		expect(rang).toBeGreaterThan(0);
		expect(txq.ift_db_pending).toBe(0);
		rang = 0;
		settle(w);
		expect(rang).toBe(0);
	});

	test("of a packet in more pieces than the card takes puts it together first", () => {
		const w = lonely();
		const ids = listen(w);
		const [txq] = w.ctx.ifc_txqs;
		inside(w, function* () {
			for (const pieces of [32, 33, 100]) {
				const bytes = frame_to(w, pieces, 1500);
				const m = m_gethdr(M_WAITOK, MT_DATA) as mbuf;
				let last = m;
				for (let i = 0; i < pieces; i++) {
					const n = i === 0 ? m : (m_gethdr(M_WAITOK, MT_DATA) as mbuf);
					const piece = bytes.subarray(Math.floor((1500 * i) / pieces), Math.floor((1500 * (i + 1)) / pieces));
					n.m_buf.set(piece, n.m_data);
					n.m_len = piece.length;
					if (i > 0) {
						n.m_flags &= ~M_PKTHDR;
						last.m_next = n;
						last = n;
					}
				}
				m.m_pkthdr.len = 1500;
				expect(yield* w.ifp.if_transmit(w.ifp, m)).toBe(0);
			}
		});
		settle(w);
		expect(ids).toEqual([32, 33, 100]);
		expect([txq.ift_mbuf_defrag, txq.ift_mbuf_defrag_failed]).toEqual([2, 0]);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("while the interface is down is ENETDOWN, and the packet is freed", () => {
		const w = lonely();
		const ids = listen(w);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
			expect(w.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
			expect(yield* iflib_if_transmit(w.ifp, mbuf_of(frame_to(w, 1, 1514)))).toBe(ENETDOWN);
		});
		settle(w);
		expect(ids).toEqual([]);
		expect_no_leaks(w.kernel);
	});
});

describe("ifconfig", () => {
	test("ix0 down gives back every mbuf and cluster, whatever is under way; up, traffic flows again", () => {
		const p = pair();
		build(p, { plain: true });
		const to = p.beds[0].sides[1].address;
		expect(received(exec(p, 0, `ping -c 2 -i 0.01 ${to}`))).toEqual([2, 2, 0]);
		// in the middle of it, at both ends, one after the other
		for (const down of [0, 1] as const) {
			both(p, function* (which) {
				if (which === 1) {
					testbed_exec(p.beds[1].sides[1], "iperf3 -s -1");
				} else {
					yield* pause_sbt("server", 2_000_000);
					testbed_exec(p.beds[0].sides[0], `iperf3 -c ${to} -u -b 3G -l 1400 -t 10ms -i 0`);
				}
				if (which === down) {
					yield* pause_sbt("flow", 6_000_000);
					yield* wait4(testbed_exec(p.beds[which].sides[which], "ifconfig ix0 down"));
				} else yield* pause_sbt("other", 20_000_000);
			});
			const host = p.hosts[down];
			expect(host.ifp.if_counters[down === 0 ? IFCOUNTER_OPACKETS : IFCOUNTER_IPACKETS]).toBeGreaterThan(500);
			const { ifc_rxqs, ifc_txqs } = host.ctx;
			expect(ifc_rxqs.flatMap((q) => [q.ifl_credits, q.ifsd_cl.length, q.ifsd_m.length, q.recycled.length])).toEqual(
				new Array(16).fill(0),
			);
			expect(ifc_txqs.every((q) => q.avail === 2048 && q.ift_sds.every((m) => m === null))).toBe(true);
			expect(ifc_txqs.every((q) => ifmp_ring_is_idle(q.ift_br))).toBe(true);
			expect(exec(p, down, "ifconfig ix0 up").p_xstat).toBe(0);
			// the connections that were cut off give up in time, or go on
			expect(received(exec(p, 0, `ping -c 2 -i 0.01 ${to}`))).toEqual([2, 2, 0]);
			expect(received(exec(p, 1, `ping -c 2 -i 0.01 ${p.beds[0].sides[0].address}`))).toEqual([2, 2, 0]);
			pass(p, 3_000_000_000);
		}
		destroy(p);
		pass(p, 100_000_000);
		for (const { kernel } of p.hosts) {
			set_curkernel(kernel);
			expect(uma_leaks().filter(({ zone }) => /mbuf/.test(zone))).toEqual([]);
		}
	});

	test("mtu up to 9710, and no further: then it is as before, and goes on", () => {
		const w = lonely();
		const frames = [60, 200, 1_500, 400].map((length, i) => frame_to(w, i, length));
		for (const mtu of [9_710, 9_711, 1_400]) {
			inside(w, function* () {
				const before = w.ifp.if_mtu;
				const ifr = Object.assign(new ifreq("ix0"), { ifr_mtu: mtu });
				const error = yield* (w.ifp.if_ioctl as NonNullable<ifnet["if_ioctl"]>)(w.ifp, SIOCSIFMTU, ifr);
				expect([mtu, error, w.ifp.if_mtu]).toEqual(mtu > 9_710 ? [mtu, EINVAL, before] : [mtu, 0, mtu]);
			});
			expect(w.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(IFF_DRV_RUNNING);
			w.seen.length = 0;
			deliver(w, frames);
			expect(w.seen.map(({ bytes }) => bytes)).toEqual(frames);
		}
		inside(w, function* () {
			const said = yield* sh("ifconfig ix0 mtu 10000");
			expect([said.p_xstat, said.lines]).toEqual([1, ["ifconfig: ioctl SIOCSIFMTU (set mtu): Invalid argument"]]);
			expect(w.ifp.if_mtu).toBe(1_400);
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("mtu 9000 at both ends lets 8000 bytes through in one frame of four clusters", () => {
		const p = pair();
		build(p, { plain: true, mtu: 9000 });
		const lengths: number[][] = [[], []];
		const chains: number[][][] = [[], []];
		for (const [i, host] of p.hosts.entries()) {
			tap(host, (bytes) => lengths[i].push(bytes.length));
			set_curkernel(host.kernel);
			host.ifp.if_bpf?.listen((_ifp, m) => {
				const lens: number[] = [];
				for (let n: mbuf | null = m; n !== null; n = n.m_next) lens.push(n.m_len);
				if (m.m_pkthdr.rcvif !== null && m.m_pkthdr.len > 1_000) chains[i].push(lens);
			});
		}
		expect(received(exec(p, 0, `ping -c 2 -i 0.01 -s 8000 -D ${p.beds[0].sides[1].address}`))).toEqual([2, 2, 0]);
		const expected = [8042, 8042];
		expect(lengths.map((of_side) => of_side.filter((length) => length > 60))).toEqual([expected, expected]);
		expect(chains).toEqual(new Array(2).fill(new Array(2).fill([2048, 2048, 2048, 1898])));
		// one end cannot take what the other sends: nothing was changed there
		const q = pair();
		build(q, { plain: true });
		const refused = exec(q, 0, `ping -c 1 -t 1 -s 8000 -D ${q.beds[0].sides[1].address}`);
		expect(received(refused)).toEqual([1, 0, 0]);
		expect(refused.errors).toEqual(["ping: sendto: Message too long"]);
	});
});

test("a tunnel's packets all come to one queue in each direction: which one, the card's key decides", () => {
	const queues: number[][] = [[], []];
	for (let seed = 1; seed <= 5; seed++) {
		const p = pair({ seed, cpus: 8 });
		build(p, {});
		const took = p.hosts.map(({ ctx }) => {
			const set = new Set<number>();
			const { rxd_pkt_get } = ctx.ifc_txrx;
			Object.assign(ctx.ifc_txrx, {
				rxd_pkt_get: (qid: number, ri: Parameters<typeof rxd_pkt_get>[1]) => {
					const error = rxd_pkt_get(qid, ri);
					// the rest is ARP
					if (ri.iri_rsstype === M_HASHTYPE_NONE) expect(qid).toBe(0);
					else set.add(qid);
					return error;
				},
			});
			return set;
		});
		expect(received(exec(p, 0, `ping -c 5 -i 0.001 ${p.beds[0].sides[1].address}`))).toEqual([5, 5, 0]);
		for (const [i, set] of took.entries()) {
			expect(set.size).toBe(1);
			queues[i].push(...set);
		}
	}
	for (const of_side of queues) expect(new Set(of_side).size).toBeGreaterThan(1);
	expect(queues[0]).not.toEqual(queues[1]);
});
