/**
 * An attacker: whatever can be sent to an interface by who has seen its traffic and knows its public key, but none of the private
 * ones. Nothing made here may be accepted.
 */
import {
	SIZEOF_WG_PKT_COOKIE,
	SIZEOF_WG_PKT_DATA,
	SIZEOF_WG_PKT_INITIATION,
	SIZEOF_WG_PKT_RESPONSE,
	WG_PKT_COOKIE,
	WG_PKT_DATA,
	WG_PKT_INITIATION,
	WG_PKT_RESPONSE,
	wg_input,
	wg_timers_event_want_initiation,
	wg_xmit,
} from "../../../src/dev/wg/if_wg.ts";
import {
	COOKIE_MAC_SIZE,
	cookie_macs,
	cookie_maker,
	cookie_maker_init,
	cookie_maker_mac,
} from "../../../src/dev/wg/wg_cookie.ts";
import { NOISE_AUTHTAG_LEN } from "../../../src/dev/wg/wg_noise.ts";
import { IFCOUNTER_IERRORS, IFCOUNTER_IPACKETS, IFCOUNTER_IQDROPS } from "../../../src/kernel/ifnet/if_var.ts";
import { AF_INET, type sockaddr, sockaddr_in, sockaddr_in6 } from "../../../src/kernel/netinet/in.ts";
import type { inpcb } from "../../../src/kernel/netinet/in_pcb.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { ipv4_packet, mbuf_of, type rig, settle } from "./rig.ts";

const IP6_HEADER = 40;
const UDP_HEADER = 8;
const MACS_LEN = 2 * COOKIE_MAC_SIZE;
const HANDSHAKE_LENGTHS: readonly (readonly [type: number, len: number])[] = [
	[WG_PKT_INITIATION, SIZEOF_WG_PKT_INITIATION],
	[WG_PKT_RESPONSE, SIZEOF_WG_PKT_RESPONSE],
	[WG_PKT_COOKIE, SIZEOF_WG_PKT_COOKIE],
];

/** A number from 0 to below n. */
export type chooser = (n: number) => number;

/** xorshift32: the same packets for the same seed. */
export function choosing(seed: number): chooser {
	let x = (seed ^ 0x9e3779b9) >>> 0 || 1;
	return (n) => {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		return (x >>> 0) % n;
	};
}

/** What wg_input makes of bytes that are good for nothing. */
export type fate = "short" | "error" | "handshake";

/** By the lengths and types alone, as nothing an attacker sends passes any later check. */
export function fate_of(data: Uint8Array): fate {
	if (data.length < 4) return "short";
	const type = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
	return HANDSHAKE_LENGTHS.some(([t, len]) => t === type && len === data.length) ? "handshake" : "error";
}

export class attacker {
	readonly target: rig;
	/** traffic the attacker has seen; the target has all of it already */
	readonly seen: Uint8Array[];
	readonly fates: Record<fate, number> = { short: 0, error: 0, handshake: 0 };
	private readonly maker = new cookie_maker();
	private readonly macs = new cookie_macs();
	private readonly before: readonly number[];

	constructor(target: rig, seen: Uint8Array[]) {
		this.target = target;
		this.seen = seen;
		cookie_maker_init(this.maker, target.public_key);
		this.before = this.counters();
	}

	private counters(): number[] {
		const { if_counters } = this.target.ifp;
		return [IFCOUNTER_IPACKETS, IFCOUNTER_IQDROPS, IFCOUNTER_IERRORS].map((which) => if_counters[which]!);
	}

	/** What the target has counted of us: packets, queue drops, errors. */
	counted(): number[] {
		return this.counters().map((value, i) => value - this.before[i]);
	}

	/** What it should have. */
	expected(): number[] {
		return [0, this.fates.short, this.fates.error];
	}

	private random(choose: chooser, len: number): Uint8Array {
		return Uint8Array.from({ length: len }, () => choose(256));
	}

	/** Bytes with the type, and perhaps the length, of some message. */
	private typed(choose: chooser): Uint8Array {
		const [type, len] = HANDSHAKE_LENGTHS[choose(3)];
		if (choose(2) === 0) {
			const data = this.random(choose, SIZEOF_WG_PKT_DATA + choose(200));
			data.set([WG_PKT_DATA, 0, 0, 0]);
			return data;
		}
		const data = this.random(choose, choose(4) === 0 ? 4 + choose(200) : len);
		data.set([type, 0, 0, 0]);
		return data;
	}

	/** Something that was seen, with some of its bits turned over, cut off, or continued. */
	private altered(choose: chooser): Uint8Array {
		const data = this.seen[choose(this.seen.length)].slice();
		switch (choose(4)) {
			case 0:
				return data;
			case 1:
				return data.subarray(0, choose(data.length + 1));
			case 2: {
				const longer = this.random(choose, data.length + 1 + choose(64));
				longer.set(data);
				return longer;
			}
			default:
				for (let i = choose(4); i >= 0; i--) data[choose(data.length)] ^= 1 << choose(8);
				return data;
		}
	}

	/** A handshake message of rubbish with a right first MAC, which gets as far as the curve. */
	*with_mac(choose: chooser): Blocking<Uint8Array> {
		const [type, len] = HANDSHAKE_LENGTHS[choose(2)];
		const data = this.random(choose, len);
		data.set([type, 0, 0, 0]);
		yield* cookie_maker_mac(this.maker, this.macs, data, len - MACS_LEN);
		data.set(this.macs.mac1, len - MACS_LEN);
		return data;
	}

	private *packet(choose: chooser): Blocking<Uint8Array> {
		const kind = choose(64);
		if (kind === 0) return yield* this.with_mac(choose);
		if (kind < 16) return this.random(choose, choose(8) === 0 ? choose(5) : choose(300));
		if (kind < 32) return this.typed(choose);
		return this.altered(choose);
	}

	/** Sends bytes, from wherever. */
	*send(data: Uint8Array, from: sockaddr): Blocking<void> {
		this.fates[fate_of(data)]++;
		if (from.sa_family === AF_INET) return yield* this.target.receive(data, from);
		const packet = new Uint8Array(IP6_HEADER + UDP_HEADER + data.length);
		packet.set(data, IP6_HEADER + UDP_HEADER);
		yield* wg_input(mbuf_of(packet), IP6_HEADER, null as unknown as inpcb, [from, new sockaddr_in6()], this.target.sc);
	}

	/** Sends `n` packets of all kinds, and waits until they have been dealt with. */
	*attack(n: number, choose: chooser): Blocking<void> {
		for (let i = 0; i < n; i++) {
			const data = yield* this.packet(choose);
			const from = choose(4) === 0 ? new sockaddr_in6() : new sockaddr_in(choose(2 ** 32), choose(65536));
			yield* this.send(data, from);
		}
		yield* settle(2);
	}
}

/** An attacker of the second of two connected interfaces, who has seen some traffic: data, and a handshake each way. */
export function* observed(a: rig, b: rig): Blocking<attacker> {
	for (let i = 0; i < 4; i++) {
		yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(0x0a000001, 0x0a000002, 60 + 40 * i)), AF_INET, a.ifp.if_mtu);
	}
	yield* settle();
	for (const r of [a, b]) {
		yield* settle(6000);
		yield* wg_timers_event_want_initiation(r.sc.sc_peers_first!);
		yield* settle();
	}
	const seen = a.sent.map(({ data }) => data);
	if (!seen.some((data) => data.length >= SIZEOF_WG_PKT_DATA + NOISE_AUTHTAG_LEN && data[0] === WG_PKT_DATA)) {
		throw new Error("no data was seen");
	}
	return new attacker(b, seen);
}
