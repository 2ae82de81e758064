/**
 * The router tests' work: packets come in from a card, many flows in one tunnel, and go out encrypted; nothing else happens on the
 * machine. One jail is the router; the other one's end of the epair is down, so that what is sent is gone, as into a card.
 *
 * A card is a thread on each CPU that wakes up when an interrupt would, and hands what has come since to ip_input, as iflib's
 * tasks do. Its own work (descriptors, DMA, mbufs' refilling beyond their allocation) is not charged: there is no driver of one here.
 */

import { boot, run, runUntilExit, spawn } from "../../src/kernel/boot.ts";
import { V_ifnet } from "../../src/kernel/ifnet/if.ts";
import { IFCOUNTER_OERRORS, type ifnet } from "../../src/kernel/ifnet/if_var.ts";
import { NETISR_IP, netisr_dispatch } from "../../src/kernel/ifnet/netisr.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../src/kernel/lock/epoch.ts";
import {
	CSUM_IP_CHECKED,
	CSUM_IP_VALID,
	M_PKTHDR,
	M_WAITOK,
	MT_DATA,
	m_getcl,
	type mbuf,
} from "../../src/kernel/mbuf/mbuf.ts";
import { V_ip } from "../../src/kernel/netinet/ip_var.ts";
import { CURVNET_RESTORE, CURVNET_SET, KernelPanic, priorities, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { kthread_add_bound } from "../../src/kernel/sched/kthread.ts";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { key_to_base64 } from "../../src/userland/base64.ts";
import { wait4 } from "../../src/userland/process.ts";
import { testbed_exec, type testbed_side, testbed_two_jails } from "../../src/userland/testbed.ts";
import type { Driver } from "../driver.ts";
import "../generic.ts";
import { type Measured, Metrics } from "../metrics.ts";
import { StageTimes } from "../stages.ts";

/** 500 bytes of payload, UDP and IP headers. */
export const PACKET_BYTES = 528;
/** The same with an Ethernet header: what the published rates count. */
const FRAME_BYTES = 542;
const FLOWS = 2000;
/** A card interrupts this often when there is traffic: 8000 times a second, igb(4)'s default. */
const INTERRUPT_NS = 125_000;
const SETUP_LIMIT_NS = 10_000_000_000;
const WARMUP_NS = 10_000_000;
const MEASURED_NS = 20_000_000;

export interface RouterOptions {
	readonly machine: string;
	readonly cpus: number;
	readonly policy: string;
	/** packets per second that arrive, over all queues of the card */
	readonly offered_pps: number;
	readonly seed: number;
}

export interface RouterResult {
	readonly options: RouterOptions;
	readonly duration_ns: number;
	/** encrypted packets that went out */
	readonly sent_pps: number;
	/** frames as the published rates count them */
	readonly bps: number;
	readonly times: StageTimes;
	readonly measured: Measured;
}

function* sh(side: testbed_side, command: string): Blocking<void> {
	const proc = testbed_exec(side, command);
	if ((yield* wait4(proc)) !== 0) throw new KernelPanic(`router: ${command}: ${proc.errors.join("; ")}`);
}

/** Both jails, a session between them, a net behind the other one, and then nobody there. */
function* buildRouter(): Blocking<testbed_side> {
	const { sides } = yield* testbed_two_jails();
	const [router, other] = sides;
	yield* sh(router, `ping -c 1 ${other.address}`);
	yield* sh(
		router,
		`wg set ${router.wg} peer ${key_to_base64(other.public_key)} allowed-ips ${other.inner}/32,10.7.0.0/16`,
	);
	yield* sh(router, `route add -net 10.7.0.0/16 -interface ${router.wg}`);
	yield* sh(other, `ifconfig ${other.ether} down`);
	return router;
}

/** A packet of a flow, as a card leaves it: header checked, and its flow known. */
function packet(flow: number, rcvif: ifnet): mbuf {
	const m = m_getcl(M_WAITOK, MT_DATA, M_PKTHDR)!;
	const bytes = m.m_buf;
	const ip = m.m_data;
	bytes.fill(0, ip, ip + PACKET_BYTES);
	bytes.set([0x45, 0, PACKET_BYTES >>> 8, PACKET_BYTES & 0xff, 0, 0, 0, 0, 64, 17, 0, 0], ip);
	bytes.set([10, 8, flow >>> 8, flow & 0xff, 10, 7, flow >>> 8, flow & 0xff], ip + 12);
	m.m_len = PACKET_BYTES;
	m.m_pkthdr.len = PACKET_BYTES;
	m.m_pkthdr.rcvif = rcvif;
	m.m_pkthdr.flowid = flow;
	m.m_pkthdr.csum_flags = CSUM_IP_CHECKED | CSUM_IP_VALID;
	return m;
}

/** Routes packets for a while. Throws KernelPanic if the machine does. */
export function routePackets(driver: Driver, options: RouterOptions): RouterResult {
	const { cpus, offered_pps, seed, policy } = options;
	const machine = new Machine({ profile: findProfile(options.machine)!, cpus, seed });
	const kernel = boot(machine, {
		cost_only: true,
		tunables: { "hw.wg.crypto": "ossl", [driver.WG_DISPATCH_TUNABLE]: policy },
	});
	const times = new StageTimes(cpus);
	const metrics = new Metrics(driver);
	try {
		let router: testbed_side | null = null;
		const setup = spawn(kernel, "router", function* () {
			router = yield* buildRouter();
		});
		if (!runUntilExit(kernel, setup, SETUP_LIMIT_NS) || router === null) throw new KernelPanic("router: not ready");
		const saved = CURVNET_SET((router as testbed_side).jail.pr_vnet);
		V_ip().ipforwarding = 1;
		const card = V_ifnet().find((ifp) => ifp.if_xname === (router as unknown as testbed_side).ether)!;
		const flows = machine.random.stream("flows");
		const began = sbinuptime();
		const receive = function* (): Blocking<void> {
			let received = 0;
			for (;;) {
				yield* pause_sbt("card", INTERRUPT_NS);
				const arrived = Math.floor(((sbinuptime() - began) * offered_pps) / cpus / 1e9);
				for (; received < arrived; received++) {
					NET_EPOCH_ENTER();
					yield* netisr_dispatch(NETISR_IP, packet(flows.uniform(FLOWS), card));
					NET_EPOCH_EXIT();
				}
			}
		};
		for (let cpu = 0; cpu < cpus; cpu++)
			kthread_add_bound(receive, undefined, `card ${cpu}`, priorities().PI_SOFT, cpu);
		CURVNET_RESTORE(saved);
		times.begin(driver);
		run(kernel, machine.now + WARMUP_NS);
		times.mark();
		metrics.mark();
		// the other end is down, and counts what was sent into it as an error
		const before = card.if_get_counter(card, IFCOUNTER_OERRORS);
		run(kernel, machine.now + MEASURED_NS);
		const sent = card.if_get_counter(card, IFCOUNTER_OERRORS) - before;
		const measured = metrics.read();
		times.end();
		const sent_pps = (sent * 1e9) / MEASURED_NS;
		return { options, duration_ns: MEASURED_NS, sent_pps, bps: sent_pps * FRAME_BYTES * 8, times, measured };
	} finally {
		times.close();
		metrics.close();
	}
}

/** A router keeps up if it sends this share of what arrives. */
const KEEPS_UP = 0.99;
const LOWEST_PPS = 50_000;
const HIGHEST_PPS = 2_000_000;
/** Good to about one per cent. */
const STEPS = 8;

/** The highest rate at which nothing is lost: what those tests call equilibrium throughput. */
export function equilibrium(driver: Driver, options: Omit<RouterOptions, "offered_pps">): RouterResult {
	let best = routePackets(driver, { ...options, offered_pps: LOWEST_PPS });
	let [low, high] = [LOWEST_PPS, HIGHEST_PPS];
	for (let i = 0; i < STEPS; i++) {
		const offered_pps = Math.round(Math.sqrt(low * high) / 1000) * 1000;
		const result = routePackets(driver, { ...options, offered_pps });
		if (result.sent_pps >= KEEPS_UP * offered_pps) {
			best = result;
			low = offered_pps;
		} else high = offered_pps;
	}
	return best;
}
