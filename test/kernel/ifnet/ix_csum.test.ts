/** The checksum engine of the card, against arithmetic of another kind. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { boot } from "../../../src/kernel/boot.ts";
import { csum_check, csum_fill } from "../../../src/kernel/ifnet/if_ix_csum.ts";
import {
	CSUM_DELAY_DATA,
	CSUM_DELAY_DATA_IPV6,
	CSUM_IP,
	CSUM_IP_TCP,
	CSUM_IP_UDP,
	CSUM_IP6_TCP,
	CSUM_IP6_UDP,
	m_copydata,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { V_ipstat } from "../../../src/kernel/netinet/ip_var.ts";
import { V_tcpstat } from "../../../src/kernel/netinet/tcp_var.ts";
import { V_udpstat } from "../../../src/kernel/netinet/udp_var.ts";
import { set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { exact } from "../sched/support.ts";
import { build, exec, IP_FLAGS, in_vnet0, judge, L4_FLAGS, pair, received, tap, words } from "./ix_support.ts";

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
