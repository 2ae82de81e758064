import { expect } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { boot, run, runTogether, runTogetherUntilExit, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { ifunit } from "../../../src/kernel/ifnet/if.ts";
import type { ifnet } from "../../../src/kernel/ifnet/if_var.ts";
import type { if_ctx } from "../../../src/kernel/ifnet/iflib.ts";
import { vnet0 } from "../../../src/kernel/jail/vnet.ts";
import {
	CSUM_DATA_VALID,
	CSUM_IP_CHECKED,
	CSUM_IP_VALID,
	CSUM_PSEUDO_HDR,
	M_EXT,
	M_PKTHDR,
	M_WAITOK,
	MT_DATA,
	m_append,
	m_copydata,
	m_get2,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { CURVNET_RESTORE, CURVNET_SET, type Kernel, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking, thread } from "../../../src/kernel/sched/thread.ts";
import type { CostOverrides } from "../../../src/machine/cost/table.ts";
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
import { exact } from "../sched/support.ts";

export const IP_FLAGS = CSUM_IP_CHECKED | CSUM_IP_VALID;
export const L4_FLAGS = CSUM_DATA_VALID | CSUM_PSEUDO_HDR;

/** A machine with a kernel and a card. */
export interface Host {
	readonly kernel: Kernel;
	readonly machine: Machine;
	readonly wire: WireEnd;
	readonly ifp: ifnet;
	readonly ctx: if_ctx;
}

export function overrides(values: { readonly [name in keyof CostOverrides]?: number }): CostOverrides {
	return Object.fromEntries(
		Object.entries(values).map(([name, value]) => [name, { value, range: [value, value], unit: "ns", source: "test" }]),
	);
}

/** Runs `body` as if in the kernel, in its first vnet. It must not wait. */
export function in_vnet0<T>(kernel: Kernel, body: () => T): T {
	set_curkernel(kernel);
	const saved = CURVNET_SET(vnet0());
	const result = body();
	CURVNET_RESTORE(saved);
	return result;
}

export function host_of(machine: Machine, cost_only = false): Host {
	const kernel = boot(machine, { cost_only });
	const ifp = in_vnet0(kernel, () => ifunit("ix0")) as ifnet;
	return { kernel, machine, wire: machine.wires[0], ifp, ctx: ifp.if_softc as if_ctx };
}

// Two machines

export interface Pair {
	readonly hosts: readonly [Host, Host];
	readonly kernels: readonly Kernel[];
	/** what testbed_machine has made of each, once it has */
	readonly beds: testbed[];
	readonly keys: [Uint8Array, Uint8Array];
}

export function pair(
	options: Partial<MachineOptions> = {},
	second: Partial<MachineOptions> = {},
	cost_only = false,
): Pair {
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
export function both(
	{ hosts, kernels }: Pair,
	main: (which: 0 | 1) => Blocking<void>,
	together: (threads: thread[]) => boolean = (threads) => runTogetherUntilExit(kernels, threads, 100_000, 10e9),
): void {
	const threads = ([0, 1] as const).map((which) => spawn(hosts[which].kernel, "test", () => main(which)));
	expect(together(threads)).toBe(true);
}

/** Builds a side of a test bed on each machine. */
export function build(p: Pair, options: testbed_options): void {
	both(p, function* (which) {
		p.beds[which] = yield* testbed_machine(options, which, p.keys);
	});
}

/** Runs a command on one machine, and before it another one on the other, which must end well. @returns the ended process */
export function exec(p: Pair, on: 0 | 1, command: string, other = ""): process {
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

export function destroy(p: Pair): void {
	both(p, (which) => testbed_machine_destroy(p.beds[which], which));
}

export function pass(p: Pair, ns: number): void {
	runTogether(p.kernels, p.hosts[0].machine.now + ns);
}

export function expect_no_leaks(kernel: Kernel): void {
	// what is freed after an epoch has its time
	run(kernel, kernel.machine.now + 100_000_000);
	expect(uma_leaks()).toEqual([]);
}

/** Lets `look` see, and change, each frame that comes to a running card. */
export function tap({ wire }: Host, look: (bytes: Uint8Array) => void): void {
	const { receive } = wire;
	if (receive === null) throw new Error("the card does not run");
	wire.receive = (frame: Frame) => {
		look(frame.bytes);
		receive(frame);
	};
}

export function received(proc: process): [number, number, number] {
	const { ntransmitted, nreceived, corrupted } = proc.p_data as ping_stats;
	return [ntransmitted, nreceived, corrupted];
}

// One machine, its card fed by hand

export interface Lonely extends Host {
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

export const ETHERTYPE_TEST = 0x88b5;

export function lonely(options: Partial<MachineOptions> = {}, mtu = 1500): Lonely {
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

export function inside({ kernel }: Host, main: () => Blocking<void>): void {
	const td = spawn(kernel, "test", main);
	expect(runUntilExit(kernel, td, 10e9)).toBe(true);
}

/** A frame to the card, of a protocol nobody knows: it is seen by BPF and dropped. */
export function frame_to({ ifp }: Host, id: number, length = 60): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let i = 0; i < length; i++) bytes[i] = i * 13 + id;
	bytes.set(ifp.if_hw_addr, 0);
	bytes.set([ETHERTYPE_TEST >> 8, ETHERTYPE_TEST & 0xff, id >> 8, id & 0xff], 12);
	return bytes;
}

export function deliver(w: Lonely, frames: readonly Uint8Array[], settle_ns = 2_000_000): void {
	for (const bytes of frames) w.far.send({ bytes, packet_id: 0 }, w.machine.now);
	run(w.kernel, w.machine.now + settle_ns);
}

export function mbuf_of(bytes: Uint8Array): mbuf {
	const m = m_get2(Math.min(bytes.length, 2048), M_WAITOK, MT_DATA, M_PKTHDR) as mbuf;
	m_append(m, bytes.length, bytes);
	m.m_pkthdr.len = bytes.length;
	return m;
}

/** Interrupts of each pair of queues: when. */
export function interrupts({ ctx, machine }: Host): number[][] {
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

export function words(bytes: Uint8Array): number {
	let sum = 0;
	for (const [i, byte] of bytes.entries()) sum = (sum + (i % 2 === 0 ? byte * 256 : byte)) % 65_535;
	return sum;
}

/** What a frame is, and whether its checksums are right: "ip", "ip udp", "ip6 tcp!", each with ! if its own is wrong. */
export function judge(frame: Uint8Array): string {
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
