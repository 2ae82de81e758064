/** What becomes of a packet on its way out or in: errors and their counters, bpf taps and writes, netmap. */
import "../../../src/kernel/netinet/ip_input.ts";
import "../../../src/kernel/netinet/ip6_input.ts";
import { describe, expect, test } from "vitest";
import type { wg_generation_name } from "../../../src/dev/wg/generation.ts";
import {
	DEFAULT_MTU,
	MAX_MTU,
	SIZEOF_WG_PKT_DATA,
	wg_aip_add,
	wg_deliver_netmap,
	wg_if_input,
	wg_output,
	wg_send_keepalive,
	wg_timers_event_want_initiation,
	wg_transmit,
	wg_xmit,
	wg_xmit_netmap,
} from "../../../src/dev/wg/if_wg.ts";
import { NOISE_AUTHTAG_LEN } from "../../../src/dev/wg/wg_noise.ts";
import {
	EAFNOSUPPORT,
	EHOSTUNREACH,
	EINVAL,
	ELOOP,
	EMSGSIZE,
	ENETDOWN,
	ENETUNREACH,
	ENOBUFS,
	ENOTCAPABLE,
	ENXIO,
} from "../../../src/kernel/errno.ts";
import { bpfwrite } from "../../../src/kernel/ifnet/bpf.ts";
import { ETHERTYPE_IP, ETHERTYPE_IPV6 } from "../../../src/kernel/ifnet/ethernet.ts";
import { if_tunnel_check_nesting, ifnet_departure_event, ifnet_printf } from "../../../src/kernel/ifnet/if.ts";
import {
	IFCAP_NETMAP,
	IFCOUNTER_IERRORS,
	IFCOUNTER_IPACKETS,
	IFCOUNTER_IQDROPS,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OPACKETS,
	IFF_DEBUG,
	type ifnet,
} from "../../../src/kernel/ifnet/if_var.ts";
import {
	NETMAP_RING_SLOTS,
	type netmap_adapter,
	netmap_register,
	netmap_rxsync,
	netmap_txsync,
	netmap_unregister,
} from "../../../src/kernel/ifnet/netmap.ts";
import { type ifreq, SIOCSIFMTU } from "../../../src/kernel/ifnet/sockio.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import { M_START, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks, uma_set_fault } from "../../../src/kernel/mbuf/uma.ts";
import { AF_INET, AF_UNSPEC, sockaddr_in, sockaddr_in6 } from "../../../src/kernel/netinet/in.ts";
import { NHF_GATEWAY, nhop_object, route } from "../../../src/kernel/route/nhop.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { connected_rigs, ipv4_packet, mbuf_of, new_rig, type rig, settle, two_rigs, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

const SRC = 0x0a000001;
const DST = 0x0a000002;
/** the cookie of the tags that count tunnels */
const MTAG_WGLOOP = 0x77676c70;
const ALL: readonly wg_generation_name[] = ["2021-11", "2021-11-rr", "2022-09", "main", "blake2-library"];

function counter(r: rig, which: number): number {
	return r.ifp.if_counters[which]!;
}

function ipv6_packet(len = 100): Uint8Array {
	const packet = new Uint8Array(len);
	packet[0] = 0x60;
	packet[5] = len - 40;
	packet[7] = 64;
	packet[23] = 1;
	packet[39] = 2;
	return packet;
}

/** Runs `main` with one interface up and without peers; afterwards nothing may be left of it. */
function with_rig(generation: wg_generation_name, main: (r: rig) => Blocking<void>): void {
	inThread(wg_world(generation), function* () {
		const r = yield* new_rig(0);
		yield* r.up();
		yield* main(r);
		yield* r.destroy();
		yield* settle();
		expect(uma_leaks().filter((leak) => /mbuf|wg/.test(JSON.stringify(leak)))).toEqual([]);
	});
}

function with_session(generation: wg_generation_name, main: (a: rig, b: rig) => Blocking<void>): void {
	inThread(wg_world(generation), function* () {
		const [a, b] = yield* connected_rigs();
		yield* main(a, b);
		yield* a.destroy();
		yield* b.destroy();
		yield* settle();
		expect(uma_leaks().filter((leak) => /mbuf|wg/.test(JSON.stringify(leak)))).toEqual([]);
	});
}

/** What a tap of the interface sees: the family in its header and the packet's length. */
function tap(r: rig): [family: number, len: number][] {
	const seen: [number, number][] = [];
	r.ifp.if_bpf!.listen((_ifp, m, head, len) => {
		expect(len).toBe(4);
		seen.push([head![0], m.m_pkthdr.len]);
	});
	return seen;
}

describe("a packet that cannot go", () => {
	test.each(ALL)(
		"%s: nobody has its destination: an error of that time, counted, and bpf still sees it (BZ-T9)",
		(generation) => {
			with_rig(generation, function* (r) {
				const seen = tap(r);
				const error = yield* wg_output(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), new sockaddr_in(DST), null);
				expect(error).toBe(generation === "main" || generation === "blake2-library" ? ENETUNREACH : ENOTCAPABLE);
				expect(counter(r, IFCOUNTER_OERRORS)).toBe(1);
				expect(seen).toEqual([[AF_INET, 100]]);
			});
		},
	);

	test("its peer has no endpoint: EHOSTUNREACH, and bpf sees it", () => {
		with_rig("main", function* (r) {
			yield* r.set_peer(new Uint8Array(32).fill(9), () => undefined);
			yield* wg_aip_add(r.sc, r.sc.sc_peers_first!, AF_INET, new Uint8Array(4), 0);
			expect(r.sc.sc_peers_first!.p_endpoint.r_family).toBe(AF_UNSPEC);
			const seen = tap(r);
			const said: string[] = [];
			const stop = ifnet_printf.listen((_ifp, text) => said.push(text));
			const send = () => wg_output(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), new sockaddr_in(DST), null);
			expect(yield* send()).toBe(EHOSTUNREACH);
			expect(said).toEqual([]);
			r.ifp.if_flags |= IFF_DEBUG;
			expect(yield* send()).toBe(EHOSTUNREACH);
			expect(said.join("")).toMatch(/^No valid endpoint has been configured or discovered for peer \d+\n$/);
			stop();
			expect(seen).toHaveLength(2);
			expect(counter(r, IFCOUNTER_OERRORS)).toBe(2);
		});
	});

	test("it has been through this tunnel already, or through nine others: ELOOP", () => {
		with_session("2022-09", function* (a) {
			a.other = null;
			const send = (m: mbuf) => wg_xmit(a.ifp, m, AF_INET, a.ifp.if_mtu);
			const again = mbuf_of(ipv4_packet(SRC, DST));
			expect(if_tunnel_check_nesting(a.ifp, again, MTAG_WGLOOP, 8)).toBe(0);
			expect(yield* send(again)).toBe(ELOOP);
			for (let others = 1; others <= 9; others++) {
				const m = mbuf_of(ipv4_packet(SRC, DST));
				for (let i = 0; i < others; i++)
					expect(if_tunnel_check_nesting({ i } as unknown as ifnet, m, MTAG_WGLOOP, 9)).toBe(0);
				expect(yield* send(m)).toBe(others < 8 ? 0 : ELOOP);
			}
			yield* settle();
			expect(counter(a, IFCOUNTER_OERRORS)).toBe(3);
			expect(a.sent).toHaveLength(7);
		});
	});

	test("the interface is going, or there is no memory, or it is no IP: ENXIO, ENOBUFS, EAFNOSUPPORT", () => {
		with_rig("2022-09", function* (r) {
			const { if_softc } = r.ifp;
			r.ifp.if_softc = null;
			expect(yield* wg_xmit(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), AF_INET, 1420)).toBe(ENXIO);
			r.ifp.if_softc = if_softc;
			uma_set_fault((zone) => zone === "wg packet");
			expect(yield* wg_xmit(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), AF_INET, 1420)).toBe(ENOBUFS);
			uma_set_fault(null);
			const dst = new sockaddr_in(DST);
			for (const bytes of [
				ipv4_packet(SRC, DST).fill(0x55, 0, 1),
				new Uint8Array(19).fill(0x45, 0, 1),
				ipv6_packet().subarray(0, 39),
			])
				expect(yield* wg_output(r.ifp, mbuf_of(bytes), dst, null)).toBe(EAFNOSUPPORT);
			expect(yield* wg_xmit(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), AF_UNSPEC, 1420)).toBe(EAFNOSUPPORT);
			expect(yield* wg_output(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), { sa_family: AF_UNSPEC }, null)).toBe(
				EAFNOSUPPORT,
			);
			expect(counter(r, IFCOUNTER_OERRORS)).toBe(7);
		});
	});
});

describe("the family of a packet", () => {
	/** Sends an IPv4 packet whose next hop is an IPv6 address. */
	function cross(generation: wg_generation_name): number {
		let error = -1;
		with_session(generation, function* (a) {
			const ro = new route();
			ro.ro_nh = Object.assign(Object.create(nhop_object.prototype), { nh_flags: NHF_GATEWAY }) as nhop_object;
			error = yield* wg_output(a.ifp, mbuf_of(ipv4_packet(SRC, DST)), new sockaddr_in6(), ro);
		});
		return error;
	}

	test("an IPv4 packet by an IPv6 gateway is EAFNOSUPPORT, before main (BZ-T7)", () => {
		expect(ALL.map(cross)).toEqual([EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT, 0, 0]);
	});

	/** Writes a packet to a bpf descriptor, as dhclient(8) would, or tcpreplay(1). */
	function write(generation: wg_generation_name, hdrcmplt: boolean): [error: number, sent: number] {
		const result: [number, number] = [-1, 0];
		with_session(generation, function* (a) {
			const before = counter(a, IFCOUNTER_OPACKETS);
			result[0] = yield* bpfwrite(a.ifp, Uint8Array.of(AF_INET, 0, 0, 0, ...ipv4_packet(SRC, DST)), hdrcmplt);
			yield* settle();
			result[1] = counter(a, IFCOUNTER_OPACKETS) - before;
		});
		return result;
	}

	test("what bpf(4) writes says its family before the packet", () => {
		for (const generation of ALL) expect(write(generation, false)).toEqual([0, 1]);
	});

	test("with a complete header it is refused, before main (BZ-T8)", () => {
		expect(ALL.map((generation) => write(generation, true))).toEqual([
			[EAFNOSUPPORT, 0],
			[EAFNOSUPPORT, 0],
			[EAFNOSUPPORT, 0],
			[0, 1],
			[0, 1],
		]);
	});

	test("bpf(4) refuses what is no packet, or not for this interface", () => {
		with_rig("main", function* (r) {
			const packet = Uint8Array.of(AF_INET, 0, 0, 0, ...ipv4_packet(SRC, DST));
			expect(yield* bpfwrite(r.ifp, new Uint8Array(0), false)).toBe(0);
			expect(yield* bpfwrite(r.ifp, packet.subarray(0, 3), false)).toBe(EMSGSIZE);
			expect(yield* bpfwrite(r.ifp, new Uint8Array(4 + DEFAULT_MTU + 1), false)).toBe(EMSGSIZE);
			expect(yield* bpfwrite(r.ifp, packet.fill(0, 0, 4), false)).toBe(EAFNOSUPPORT);
			r.ifp.if_flags = 0;
			expect(yield* bpfwrite(r.ifp, packet, false)).toBe(ENETDOWN);
		});
	});
});

describe("bpf(4) taps", () => {
	test("see a packet before encryption and after decryption, and never a keepalive, a replay or a handshake", () => {
		with_session("2022-09", function* (a, b) {
			const out = tap(a);
			const into = tap(b);
			yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(SRC, DST, 70)), AF_INET, a.ifp.if_mtu);
			yield* settle();
			expect([out, into]).toEqual([[[AF_INET, 70]], [[AF_INET, 70]]]);
			const { data } = a.sent.find((d) => d.data[0] === 4)!;
			yield* b.receive(data, a.address);
			yield* wg_send_keepalive(a.sc.sc_peers_first!);
			yield* settle(6000);
			yield* wg_timers_event_want_initiation(a.sc.sc_peers_first!);
			yield* settle();
			expect([out.length, into.length]).toEqual([1, 1]);
			expect(counter(b, IFCOUNTER_IERRORS)).toBe(1);
		});
	});

	test("are gone before the interface's departure is told, since main (BZ-T10)", () => {
		function tapped_at_departure(generation: wg_generation_name): boolean {
			let tapped = false;
			const stop = ifnet_departure_event.listen((ifp) => {
				tapped = ifp.if_bpf !== null;
			});
			with_rig(generation, function* () {});
			stop();
			return tapped;
		}
		expect(ALL.map(tapped_at_departure)).toEqual([true, true, true, false, false]);
	});
});

describe("sizes", () => {
	test("the MTU is 1420 until it is set, to anything from 1 to 65455", () => {
		with_rig("2022-09", function* (r) {
			expect(r.ifp.if_mtu).toBe(1420);
			for (const [mtu, error] of [
				[0, EINVAL],
				[-1, EINVAL],
				[MAX_MTU + 1, EINVAL],
				[1, 0],
				[65455, 0],
			] as const) {
				const before = r.ifp.if_mtu;
				expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCSIFMTU, { ifr_mtu: mtu } as ifreq)).toBe(error);
				expect(r.ifp.if_mtu).toBe(error === 0 ? mtu : before);
			}
		});
	});

	test.each([20, 31, 32, 33, 1419, 1420])("a packet of %i bytes is padded to 16, but not beyond the MTU", (len) => {
		with_session("main", function* (a) {
			yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(SRC, DST, len)), AF_INET, 1420);
			yield* settle();
			const padded = Math.min(Math.ceil(len / 16) * 16, 1420);
			expect(a.sent.map(({ data }) => data.length)).toEqual([SIZEOF_WG_PKT_DATA + padded + NOISE_AUTHTAG_LEN]);
		});
	});
});

/** Runs `main` with the first of two connected interfaces in netmap mode. */
function in_netmap(main: (a: rig, b: rig, na: netmap_adapter) => Blocking<void>): void {
	with_session("main", function* (a, b) {
		const na = netmap_register(a.ifp) as netmap_adapter;
		yield* main(a, b, na);
		yield* netmap_unregister(na);
		expect(a.ifp.if_capenable & IFCAP_NETMAP).toBe(0);
	});
}

function frame(ethertype: number, packet: Uint8Array): Uint8Array {
	return Uint8Array.of(...new Array<number>(12).fill(1), ethertype >> 8, ethertype & 255, ...packet);
}

describe("netmap", () => {
	test("what comes out of the tunnel goes to the program, in an Ethernet frame of a made-up address", () => {
		in_netmap(function* (_a, b, na) {
			yield* wg_xmit(b.ifp, mbuf_of(ipv4_packet(DST, SRC, 64)), AF_INET, 1420);
			yield* settle();
			const got = (yield* netmap_rxsync(na, false))!;
			expect([...got.subarray(0, 14)]).toEqual([255, 255, 255, 255, 255, 255, 2, 2, 2, 2, 2, 2, 8, 0]);
			expect(got.subarray(14)).toEqual(ipv4_packet(DST, SRC, 64));
			expect(yield* netmap_rxsync(na, false)).toBe(null);
		});
	});

	test("what the stack sends goes to the program, and from the program into the tunnel", () => {
		in_netmap(function* (a, b, na) {
			for (const [packet, dst, type] of [
				[ipv4_packet(SRC, DST, 64), new sockaddr_in(DST), [8, 0]],
				[ipv6_packet(64), new sockaddr_in6(), [0x86, 0xdd]],
			] as const) {
				expect(yield* wg_output(a.ifp, mbuf_of(packet), dst, null)).toBe(0);
				const got = (yield* netmap_rxsync(na, true))!;
				expect([...got.subarray(0, 14)]).toEqual([255, 255, 255, 255, 255, 255, 6, 6, 6, 6, 6, 6, ...type]);
				expect(got.subarray(14)).toEqual(packet);
			}
			expect(a.sent).toEqual([]);
			const received = counter(b, IFCOUNTER_IPACKETS);
			expect(yield* netmap_txsync(na, false, frame(ETHERTYPE_IP, ipv4_packet(SRC, DST, 64)))).toBe(0);
			yield* settle();
			expect(counter(b, IFCOUNTER_IPACKETS)).toBe(received + 1);
		});
	});

	test("the program hears of no error that does not pass", () => {
		in_netmap(function* (a, _b, na) {
			const send = (bytes: Uint8Array) => netmap_txsync(na, false, bytes);
			// neither IP nor long enough: these are told
			expect(yield* send(frame(0x0806, ipv4_packet(SRC, DST)))).toBe(EAFNOSUPPORT);
			expect(yield* send(frame(ETHERTYPE_IP, new Uint8Array(10)))).toBe(EAFNOSUPPORT);
			expect(yield* send(new Uint8Array(13))).toBe(ENOBUFS);
			// no peer: it would be tried for ever
			expect(yield* send(frame(ETHERTYPE_IPV6, ipv6_packet()))).toBe(0);
			expect(counter(a, IFCOUNTER_OERRORS)).toBe(4);
			uma_set_fault((zone) => zone === "wg packet");
			expect(yield* send(frame(ETHERTYPE_IP, ipv4_packet(SRC, DST)))).toBe(ENOBUFS);
			uma_set_fault(null);
		});
	});

	test("what the program sends up must be IP", () => {
		in_netmap(function* (a, _b, na) {
			yield* netmap_txsync(na, true, frame(0x0806, ipv4_packet(DST, SRC)));
			yield* netmap_txsync(na, true, new Uint8Array(5));
			expect(counter(a, IFCOUNTER_IERRORS)).toBe(2);
			yield* netmap_txsync(na, true, frame(ETHERTYPE_IP, ipv4_packet(DST, SRC)));
			yield* netmap_txsync(na, true, frame(ETHERTYPE_IPV6, ipv6_packet()));
			expect(counter(a, IFCOUNTER_IERRORS)).toBe(2);
		});
	});

	test("a packet that looped is said to have, debugged or not (Q-10), and a missing header is a drop", () => {
		in_netmap(function* (a, _b, na) {
			const said: string[] = [];
			const stop = ifnet_printf.listen((_ifp, text) => said.push(text));
			const m = mbuf_of(ipv4_packet(SRC, DST));
			expect(if_tunnel_check_nesting(a.ifp, m, MTAG_WGLOOP, 8)).toBe(0);
			expect(yield* wg_xmit_netmap(a.ifp, m, AF_INET)).toBe(ELOOP);
			stop();
			expect(said).toContain("wg_xmit_netmap: packet looped\n");
			expect(counter(a, IFCOUNTER_IERRORS)).toBe(1);

			for (const hand_over of [wg_xmit_netmap, wg_deliver_netmap]) {
				const full = mbuf_of(new Uint8Array(2000));
				full.m_data = M_START(full);
				uma_set_fault((zone) => zone === "mbuf");
				const error = yield* hand_over(a.ifp, full, AF_INET);
				uma_set_fault(null);
				expect(error).toBe(hand_over === wg_xmit_netmap ? ENOBUFS : undefined);
			}
			expect(counter(a, IFCOUNTER_IQDROPS)).toBe(2);
			expect(yield* netmap_rxsync(na, true)).toBe(null);
		});
	});

	test("a ring holds 1024 frames", () => {
		in_netmap(function* (a, _b, na) {
			const send = () => wg_output(a.ifp, mbuf_of(ipv4_packet(SRC, DST)), new sockaddr_in(DST), null);
			for (let i = 0; i < NETMAP_RING_SLOTS; i++) expect(yield* send()).toBe(0);
			expect(yield* send()).toBe(ENOBUFS);
			expect(na.host_rx.drops).toBe(1);
		});
	});

	test("main's if_transmit and if_input are for netmap only, and an assertion says so; before main if_transmit is for anybody", () => {
		const outside = (generation: wg_generation_name, call: "transmit" | "input") =>
			inThread(wg_world(generation), function* () {
				const [a, b] = yield* two_rigs();
				a.other = null;
				const m = mbuf_of(ipv4_packet(SRC, DST));
				NET_EPOCH_ENTER();
				const error = call === "transmit" ? yield* wg_transmit(a.ifp, m) : yield* wg_if_input(a.ifp, m);
				NET_EPOCH_EXIT();
				yield* a.destroy();
				yield* b.destroy();
				return error;
			});
		expect(outside("2022-09", "transmit")).toBe(0);
		expect(() => outside("main", "transmit")).toThrow(/wg_transmit: ifp wg0 is not in netmap mode/);
		expect(() => outside("main", "input")).toThrow(/wg_if_input: ifp wg0 is not in netmap mode/);
	});
});
