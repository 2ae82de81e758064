/**
 * Handshake initiations from nobody that arrive from outside, by a network card of which nothing is modelled but its interrupt thread:
 * it hands them to ip_input. They are rubbish but for the first MAC, which only needs the public key of whom they are for.
 *
 * @see if_wg.c wg_input; net/iflib.c _task_fn_rx
 */
import { SIZEOF_WG_PKT_INITIATION, WG_PKT_INITIATION } from "../../src/dev/wg/if_wg.ts";
import {
	COOKIE_MAC_SIZE,
	cookie_macs,
	cookie_maker,
	cookie_maker_init,
	cookie_maker_mac,
} from "../../src/dev/wg/wg_cookie.ts";
import { V_ifnet } from "../../src/kernel/ifnet/if.ts";
import { NETISR_IP, netisr_dispatch } from "../../src/kernel/ifnet/netisr.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../src/kernel/lock/epoch.ts";
import { M_PKTHDR, M_WAITOK, MT_DATA, m_copyback, m_get2 } from "../../src/kernel/mbuf/mbuf.ts";
import { AF_INET, IPPROTO_UDP, in_put16, in_put32, inet_pton } from "../../src/kernel/netinet/in.ts";
import { in_cksum_hdr } from "../../src/kernel/netinet/in_cksum.ts";
import { arc4random_buf, CURVNET_RESTORE, CURVNET_SET, priorities, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { kthread_add } from "../../src/kernel/sched/kthread.ts";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { TESTBED_PORT, type testbed_side } from "../../src/userland/testbed.ts";

/** Different messages, delivered in turn: none is like the one before. */
const MESSAGES = 256;
const IP_HEADER = 20;
const UDP_HEADER = 8;
/** discard(9): nobody waits for an answer */
const SOURCE_PORT = 9;

export class InitiationCard {
	delivered = 0;
	private over = false;
	private readonly side: testbed_side;
	private readonly source: string;
	private readonly interval_ns: number;

	/** Starts to deliver `rate` initiations a second to `side`, as if from the address `source`. */
	constructor(side: testbed_side, source: string, rate: number) {
		this.side = side;
		this.source = source;
		this.interval_ns = 1e9 / rate;
		kthread_add(() => this.main(), undefined, "intr: card", priorities().PI_NET);
	}

	stop(): void {
		this.over = true;
	}

	private *main(): Blocking<void> {
		const saved = CURVNET_SET(this.side.jail.pr_vnet);
		const rcvif = V_ifnet().find((ifp) => ifp.if_xname === this.side.ether)!;
		const packets = yield* this.packets();
		for (let next = sbinuptime(); !this.over; next += this.interval_ns) {
			const packet = packets[this.delivered % MESSAGES];
			const m = m_get2(packet.length, M_WAITOK, MT_DATA, M_PKTHDR)!;
			m_copyback(m, 0, packet.length, packet);
			m.m_pkthdr.rcvif = rcvif;
			NET_EPOCH_ENTER();
			yield* netisr_dispatch(NETISR_IP, m);
			NET_EPOCH_EXIT();
			this.delivered++;
			yield* pause_sbt("rx", Math.max(1, next + this.interval_ns - sbinuptime()));
		}
		CURVNET_RESTORE(saved);
	}

	private *packets(): Blocking<Uint8Array[]> {
		const maker = new cookie_maker();
		const macs = new cookie_macs();
		cookie_maker_init(maker, this.side.public_key);
		const list: Uint8Array[] = [];
		for (let i = 0; i < MESSAGES; i++) {
			const packet = new Uint8Array(IP_HEADER + UDP_HEADER + SIZEOF_WG_PKT_INITIATION);
			const data = packet.subarray(IP_HEADER + UDP_HEADER);
			arc4random_buf(data);
			data.set([WG_PKT_INITIATION, 0, 0, 0]);
			const len = data.length - 2 * COOKIE_MAC_SIZE;
			yield* cookie_maker_mac(maker, macs, data, len);
			data.set(macs.mac1, len);
			this.headers(packet);
			list.push(packet);
		}
		return list;
	}

	/** IPv4 and UDP; a UDP checksum of 0 is none. */
	private headers(packet: Uint8Array): void {
		packet[0] = 0x45;
		in_put16(packet, 2, packet.length);
		packet[8] = 64;
		packet[9] = IPPROTO_UDP;
		in_put32(packet, 12, inet_pton(AF_INET, this.source)!);
		in_put32(packet, 16, inet_pton(AF_INET, this.side.outer)!);
		in_put16(packet, 10, in_cksum_hdr(packet, 0));
		in_put16(packet, IP_HEADER, SOURCE_PORT);
		in_put16(packet, IP_HEADER + 2, TESTBED_PORT);
		in_put16(packet, IP_HEADER + 4, packet.length - IP_HEADER);
	}
}
