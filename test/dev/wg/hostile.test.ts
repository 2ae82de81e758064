/** Hostile input: no panic, the right counter, and nothing left behind. A million packets: `npm run fuzz`. */
// what gets through the tunnel must have somewhere to go
import "../../../src/kernel/netinet/ip_input.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WG_GENERATION_TUNABLE, type wg_generation_name } from "../../../src/dev/wg/generation.ts";
import {
	MAX_QUEUED_HANDSHAKES,
	SIZEOF_WG_PKT_DATA,
	WG_PKT_COOKIE,
	WG_PKT_DATA,
	WG_PKT_INITIATION,
	WG_PKT_RESPONSE,
	wg_timers_event_want_initiation,
	wg_xmit,
} from "../../../src/dev/wg/if_wg.ts";
import { SIOCSWG, wg_data_io } from "../../../src/dev/wg/if_wg_ioctl.ts";
import { WG_CRYPTO_TUNABLE, type wg_crypto_backend } from "../../../src/dev/wg/wg_crypto.ts";
import { MAX_REMOTE_PER_LOCAL, NOISE_AUTHTAG_LEN } from "../../../src/dev/wg/wg_noise.ts";
import { boot } from "../../../src/kernel/boot.ts";
import { E2BIG, EBADMSG, EFAULT, EINVAL, ENOSPC } from "../../../src/kernel/errno.ts";
import { IFCOUNTER_IERRORS, IFCOUNTER_IPACKETS } from "../../../src/kernel/ifnet/if_var.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../../../src/kernel/lock/epoch.ts";
import { malloc_leaks } from "../../../src/kernel/mbuf/malloc.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { AF_INET, sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import {
	nvlist_add_binary,
	nvlist_add_bool,
	nvlist_add_number,
	nvlist_add_nvlist_array,
	nvlist_create,
	nvlist_destroy,
	nvlist_pack,
} from "../../../src/kernel/nv.ts";
import type { Kernel } from "../../../src/kernel/sched/kernel.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";
import { type attacker, choosing, observed } from "./hostile.ts";
import { connected_rigs, ipv4_packet, mbuf_of, new_rig, type rig, settle, sockaddr_bytes, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

const GENERATIONS: wg_generation_name[] = ["2021-11", "2022-09", "main"];

/** What is in use: zones and malloc types. */
function in_use(): unknown {
	return [uma_leaks(), malloc_leaks()];
}

/** Runs `body` in a kernel, in which it leaves nothing. */
function without_leaks(kernel: Kernel, body: () => Blocking<void>): void {
	inThread(kernel, function* () {
		// what is made once and stays, is made here
		yield* (yield* new_rig(9)).destroy();
		yield* settle();
		const before = in_use();
		yield* body();
		yield* settle();
		for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
		expect(in_use()).toEqual(before);
	});
}

/** Two connected interfaces, and one who attacks the second; the session must outlive it. */
function under_attack(
	generation: wg_generation_name,
	main: (attack: attacker, a: rig, b: rig) => Blocking<void>,
): void {
	without_leaks(wg_world(generation), function* () {
		const [a, b] = yield* connected_rigs();
		const attack = yield* observed(a, b);
		yield* main(attack, a, b);
		const received = b.ifp.if_counters[IFCOUNTER_IPACKETS]!;
		yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(1, 2)), AF_INET, a.ifp.if_mtu);
		yield* settle();
		expect(b.ifp.if_counters[IFCOUNTER_IPACKETS]).toBe(received + 1);
		yield* a.destroy();
		yield* b.destroy();
	});
}

describe("messages", () => {
	test.each(GENERATIONS)(
		"%s: 20 000 of all kinds between them: each is in its counter, none is taken",
		(generation) => {
			const rounds = generation === "2022-09" ? 160 : 20;
			under_attack(generation, function* (attack) {
				for (let seed = 1; seed <= rounds; seed++) {
					yield* attack.attack(100, choosing(seed));
					expect([seed, ...attack.counted()]).toEqual([seed, ...attack.expected()]);
				}
				for (const n of Object.values(attack.fates)) expect(n).toBeGreaterThan(rounds);
			});
		},
	);

	test("any bytes", () => {
		fc.assert(
			fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (packets) => {
				under_attack("main", function* (attack) {
					for (const data of packets) yield* attack.send(data, new sockaddr_in(1, 1));
					yield* settle();
					expect(attack.counted()).toEqual(attack.expected());
				});
			}),
			{ numRuns: 10 },
		);
	});

	test("a handshake with any bit turned over, or any byte cut off, is not answered", () => {
		under_attack("2022-09", function* (attack, a, b) {
			a.other = null;
			yield* settle(6000);
			a.sent.length = 0;
			yield* wg_timers_event_want_initiation(a.sc.sc_peers_first!);
			const { data } = a.sent.find((d) => d.data[0] === WG_PKT_INITIATION)!;
			b.sent.length = 0;
			// the second MAC, the last 16 bytes, counts under load only
			for (let at = 0; at < data.length - 16; at += 3) {
				const altered = data.slice();
				altered[at] ^= 1 << (at % 8);
				yield* attack.send(altered, a.address);
				yield* attack.send(data.subarray(0, at), a.address);
			}
			yield* settle();
			expect(b.sent).toEqual([]);
			expect(attack.counted()).toEqual(attack.expected());
			// as it is it is, but only once
			a.other = b;
			for (let i = 0; i < 2; i++) yield* b.receive(data, a.address);
			yield* settle();
			expect(b.sent.filter((d) => d.data[0] === WG_PKT_RESPONSE)).toHaveLength(1);
		});
	});

	test("what was seen is not taken again, in any order", () => {
		under_attack("main", function* (attack) {
			for (let i = 0; i < 3; i++) for (const data of attack.seen) yield* attack.send(data, new sockaddr_in(7, 7));
			for (const data of [...attack.seen].reverse()) yield* attack.send(data, new sockaddr_in(7, 7));
			yield* settle();
			expect(attack.counted()).toEqual(attack.expected());
			expect(attack.target.sc.sc_peers_first!.p_endpoint.r_sin.sin_addr).not.toBe(7);
		});
	});
});

describe("a flood of handshakes", () => {
	test("what the queue has no room for is dropped and counted; of the rest, under load, who is unknown gets a cookie", () => {
		under_attack("2022-09", function* (attack, _a, b) {
			b.other = null;
			b.sent.length = 0;
			const choose = choosing(1);
			const extra = 50;
			const flood: Uint8Array[] = [];
			for (let i = 0; i < 8; i++) flood.push(yield* attack.with_mac(choose));
			// the handshake task does not get to run meanwhile
			b.sc.sc_handshake_queue.q_len += MAX_QUEUED_HANDSHAKES - 4 * flood.length;
			for (let i = 0; i < 4; i++) for (const data of flood) yield* attack.send(data, new sockaddr_in(i + 1, 5));
			b.sc.sc_handshake_queue.q_len += 4 * flood.length;
			for (let i = 0; i < extra; i++) yield* attack.send(flood[0], new sockaddr_in(i, 6));
			expect(attack.counted()[1]).toBeGreaterThan(0);
			yield* settle();
			b.sc.sc_handshake_queue.q_len = 0;
			const kinds = new Set(b.sent.map(({ data }) => data[0]));
			expect([...kinds]).toEqual([WG_PKT_COOKIE]);
			// a second later there is no load any more
			yield* settle(1500);
			b.sent.length = 0;
			yield* attack.send(flood[0], new sockaddr_in(1, 5));
			yield* settle();
			expect(b.sent).toEqual([]);
		});
	});
});

describe("a forged data message (FreeBSD-SA-26:52.if_wg, CVE-2026-58085)", () => {
	/** Sends an IP packet in the clear, with the index of a session somebody overheard, and gives what the counters say. */
	function forged(generation: wg_generation_name, crypto: wg_crypto_backend): { packets: number; errors: number } {
		const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: 2, seed: 1 });
		const kernel = boot(machine, {
			tunables: { [WG_GENERATION_TUNABLE]: generation, [WG_CRYPTO_TUNABLE]: crypto },
		});
		let result = { packets: 0, errors: 0 };
		without_leaks(kernel, function* () {
			const [a, b] = yield* connected_rigs();
			const { if_counters } = b.ifp;
			const packets = if_counters[IFCOUNTER_IPACKETS]!;
			const inner = ipv4_packet(0x0a000001, 0x0a000002);
			const forgery = new Uint8Array(SIZEOF_WG_PKT_DATA + inner.length + NOISE_AUTHTAG_LEN);
			const view = new DataView(forgery.buffer);
			view.setUint32(0, WG_PKT_DATA, true);
			view.setUint32(4, a.sc.sc_peers_first!.p_remote.r_current!.kp_index.i_remote_index, true);
			view.setUint32(8, 77, true);
			forgery.set(inner, SIZEOF_WG_PKT_DATA);
			yield* b.receive(forgery, new sockaddr_in(0x06060606, 666));
			yield* settle();
			result = { packets: if_counters[IFCOUNTER_IPACKETS]! - packets, errors: if_counters[IFCOUNTER_IERRORS]! };
			// who forges it also becomes the peer's endpoint
			const endpoint = b.sc.sc_peers_first!.p_endpoint.r_sin.sin_addr;
			expect(endpoint === 0x06060606).toBe(result.packets === 1);
			yield* a.destroy();
			yield* b.destroy();
		});
		return result;
	}

	test.each(["cryptosoft", "ossl"] as const)("comes out of the tunnel of 2022-09 with %s, text and all", (crypto) => {
		expect(forged("2022-09", crypto)).toEqual({ packets: 1, errors: 0 });
	});

	test.each([
		["main", "cryptosoft"],
		["main", "ossl"],
		["blake2-library", "ossl"],
		["2021-11", "own"],
		["2022-09", "own"],
	] as const)("is an error of %s with %s", (generation, crypto) => {
		expect(forged(generation, crypto)).toEqual({ packets: 0, errors: 1 });
	});
});

describe("configuration", () => {
	/** What SIOCSWG says to these bytes. */
	function* ioctl(r: rig, data: Uint8Array, size = data.length): Blocking<number> {
		const wgd = new wg_data_io(r.ifp.if_xname, data);
		wgd.wgd_size = size;
		return yield* r.ifp.if_ioctl!(r.ifp, SIOCSWG, wgd);
	}

	function with_interface(generation: wg_generation_name, body: (r: rig) => Blocking<void>): void {
		without_leaks(wg_world(generation), function* () {
			const r = yield* new_rig(0);
			yield* body(r);
			yield* r.destroy();
		});
	}

	/** A list such as wg(8) sends. */
	function good_list(peers: number): Uint8Array {
		const nvl = nvlist_create(0);
		nvlist_add_bool(nvl, "replace-peers", true);
		nvlist_add_number(nvl, "listen-port", 51820);
		nvlist_add_binary(nvl, "private-key", new Uint8Array(32).fill(7));
		const list = Array.from({ length: peers }, (_, i) => {
			const peer = nvlist_create(0);
			const key = new Uint8Array(32).fill(9);
			new DataView(key.buffer).setUint32(0, i);
			nvlist_add_binary(peer, "public-key", key);
			nvlist_add_binary(peer, "endpoint", sockaddr_bytes(new sockaddr_in(1, 2)));
			const aip = nvlist_create(0);
			nvlist_add_binary(aip, "ipv4", Uint8Array.of(10, 0, i >> 8, i));
			nvlist_add_number(aip, "cidr", 32);
			nvlist_add_nvlist_array(peer, "allowed-ips", [aip]);
			nvlist_destroy(aip);
			return peer;
		});
		nvlist_add_nvlist_array(nvl, "peers", list);
		for (const peer of list) nvlist_destroy(peer);
		const packed = nvlist_pack(nvl)!;
		nvlist_destroy(nvl);
		return packed;
	}

	test.each(GENERATIONS)("%s: sizes that cannot be are refused before anything is read", (generation) => {
		with_interface(generation, function* (r) {
			const list = good_list(1);
			expect(yield* ioctl(r, list, 0)).toBe(EFAULT);
			expect(yield* ioctl(r, list, 0x7fff_ffff)).toBe(E2BIG);
			expect(yield* ioctl(r, list, 0xffff_ffff)).toBe(E2BIG);
			expect(yield* ioctl(r, list, list.length + 1)).toBe(EFAULT);
			expect(r.sc.sc_peers_num).toBe(0);
		});
	});

	test("a list that is large is none the worse", () => {
		with_interface("main", function* (r) {
			expect(yield* ioctl(r, good_list(100))).toBe(0);
			expect(r.sc.sc_peers_num).toBe(100);
		});
	});

	test("a list cut off anywhere is EBADMSG", () => {
		with_interface("main", function* (r) {
			const list = good_list(1);
			for (let len = 1; len < list.length; len++) expect(yield* ioctl(r, list.slice(0, len))).toBe(EBADMSG);
			expect(r.sc.sc_peers_num).toBe(0);
		});
	});

	test("a list with any of its bytes changed is refused or taken, and nothing else", () => {
		const list = good_list(2);
		fc.assert(
			fc.property(
				fc.array(fc.record({ at: fc.nat(list.length - 1), byte: fc.nat(255) }), { minLength: 40, maxLength: 60 }),
				(changes) => {
					with_interface("main", function* (r) {
						for (const { at, byte } of changes) {
							const altered = list.slice();
							altered[at] = byte;
							expect([0, EBADMSG, EINVAL]).toContain(yield* ioctl(r, altered));
						}
						expect(yield* ioctl(r, list)).toBe(0);
						expect(r.sc.sc_peers_num).toBe(2);
					});
				},
			),
			{ numRuns: 5 },
		);
	});

	test("of 2^20 peers the next panics 2022-09, which takes it off a list it is not on (BZ-T3)", () => {
		expect(() =>
			inThread(wg_world("2022-09"), function* () {
				const r = yield* new_rig(0);
				r.sc.sc_local.l_remote_num = MAX_REMOTE_PER_LOCAL;
				yield* r.set_peer(new Uint8Array(32).fill(1), () => undefined);
			}),
		).toThrow(/TAILQ_REMOVE/);
	});

	test("of 2^20 peers the next is refused by main, and the interface goes on", () => {
		with_interface("main", function* (r) {
			const { sc_local } = r.sc;
			const held = sc_local.l_remote_num;
			const add = (byte: number) => r.set_peer(new Uint8Array(32).fill(byte), () => undefined);
			sc_local.l_remote_num = MAX_REMOTE_PER_LOCAL - 1;
			expect(yield* add(1)).toBe(0);
			expect(yield* add(2)).toBe(ENOSPC);
			expect(sc_local.l_remote_num).toBe(MAX_REMOTE_PER_LOCAL);
			expect(r.sc.sc_peers_num).toBe(1);
			// it is there already: nothing to refuse
			expect(yield* add(1)).toBe(0);
			sc_local.l_remote_num = held + 1;
		});
	});
});
