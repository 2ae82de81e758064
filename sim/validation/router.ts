/**
 * The router tests' work: packets come in by one card, many flows, and go out encrypted by another, through one tunnel; nothing else
 * happens on the machine. Its neighbour in the tunnel is a machine too, for as long as it takes to agree on keys. Then its cable is
 * pulled: what is sent is gone.
 */
import { boot, run, runTogetherUntilExit, spawn } from "../../src/kernel/boot.ts";
import { ETHER_HDR_LEN } from "../../src/kernel/ifnet/ethernet.ts";
import { V_ifnet } from "../../src/kernel/ifnet/if.ts";
import { csum_fill } from "../../src/kernel/ifnet/if_ix_csum.ts";
import { IFCOUNTER_OPACKETS } from "../../src/kernel/ifnet/if_var.ts";
import { vnet0 } from "../../src/kernel/jail/vnet.ts";
import { CSUM_IP } from "../../src/kernel/mbuf/mbuf.ts";
import { V_ip } from "../../src/kernel/netinet/ip_var.ts";
import { CURVNET_RESTORE, CURVNET_SET, KernelPanic, set_curkernel } from "../../src/kernel/sched/kernel.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { connect, type Frame } from "../../src/machine/wire.ts";
import { key_to_base64 } from "../../src/userland/base64.ts";
import { wait4 } from "../../src/userland/process.ts";
import { testbed_exec, testbed_keys, testbed_machine, type testbed_side } from "../../src/userland/testbed.ts";
import { costOverrides, parseCosts } from "../costs.ts";
import type { Driver } from "../driver.ts";
import "../generic.ts";
import { type Measured, Metrics } from "../metrics.ts";
import { StageTimes } from "../stages.ts";

/** 500 bytes of payload, UDP and IP headers. */
export const PACKET_BYTES = 528;
/** The same with an Ethernet header: what the published rates count. */
const FRAME_BYTES = 542;
const FLOWS = 2000;
/** A queue of their card interrupts this often at most: 8000 times a second, igb(4)'s default (IGB_INTS_PER_SEC). */
const INTERRUPT_NS = 125_000;
/** The cards: encrypted packets leave by the first, the others come in by the second. */
const EXIT = "ix0";
const ENTRANCE = "ix1";
const SETUP_LIMIT_NS = 10_000_000_000;
const SETUP_STEP_NS = 100_000;
/** Packets are put on the cable for so long at a time. */
const FEED_NS = 100_000;
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

/** The router's part: a session with its neighbour, a net behind that one, and a card where packets come in. */
function* buildRouter(keys: readonly [Uint8Array, Uint8Array]): Blocking<void> {
	const { sides } = yield* testbed_machine({}, 0, keys);
	const [router, other] = sides;
	yield* sh(router, `ping -c 1 ${other.address}`);
	yield* sh(
		router,
		`wg set ${router.wg} peer ${key_to_base64(other.public_key)} allowed-ips ${other.inner}/32,10.7.0.0/16`,
	);
	yield* sh(router, `route add -net 10.7.0.0/16 -interface ${router.wg}`);
	yield* sh(router, `ifconfig ${ENTRANCE} inet 10.8.255.254/16 up`);
}

/** The Ethernet frames of all flows: UDP without a checksum, addressed to the router's card. */
function framesTo(lladdr: Uint8Array): Frame[] {
	return Array.from({ length: FLOWS }, (_, flow) => {
		const bytes = new Uint8Array(ETHER_HDR_LEN + PACKET_BYTES);
		bytes.set(lladdr);
		bytes.set([0x02, 0, 0, 0, 0, 1, 0x08, 0x00], 6);
		bytes.set([0x45, 0, PACKET_BYTES >>> 8, PACKET_BYTES & 0xff, 0, 0, 0, 0, 64, 17, 0, 0], ETHER_HDR_LEN);
		bytes.set([10, 8, flow >>> 8, flow & 0xff, 10, 7, flow >>> 8, flow & 0xff], ETHER_HDR_LEN + 12);
		bytes.set([0, 9, 0, 9, (PACKET_BYTES - 20) >>> 8, (PACKET_BYTES - 20) & 0xff, 0, 0], ETHER_HDR_LEN + 20);
		csum_fill(bytes, CSUM_IP, 0);
		return { bytes, packet_id: 0 };
	});
}

/** Routes packets for a while. Throws KernelPanic if the machine does. */
export function routePackets(driver: Driver, options: RouterOptions): RouterResult {
	const { cpus, offered_pps, seed, policy } = options;
	const profile = findProfile(options.machine)!;
	const costs = costOverrides(parseCosts(`nic_itr=${INTERRUPT_NS}`, profile), profile);
	const machine = new Machine({ profile, cpus, seed, costs });
	const neighbour = new Machine({ profile, cpus: 1, seed, costs, name: "neighbour" });
	const source = new Machine({ profile, cpus: 1, seed, costs, name: "source" });
	connect(machine, neighbour);
	connect(machine, source);
	const hosts = [machine, neighbour].map((one) =>
		boot(one, {
			cost_only: true,
			tunables: { "hw.wg.crypto": "ossl", [driver.WG_DISPATCH_TUNABLE]: policy },
		}),
	);
	const [kernel] = hosts;
	set_curkernel(kernel);
	const times = new StageTimes(cpus);
	const metrics = new Metrics(driver);
	try {
		const keys = testbed_keys();
		const setups = [
			spawn(hosts[0], "router", () => buildRouter(keys)),
			spawn(hosts[1], "neighbour", function* () {
				yield* testbed_machine({}, 1, keys);
			}),
		];
		if (!runTogetherUntilExit(hosts, setups, SETUP_STEP_NS, SETUP_LIMIT_NS)) throw new KernelPanic("router: not ready");
		machine.wires[0].peer = null;
		set_curkernel(kernel);
		const saved = CURVNET_SET(vnet0());
		V_ip().ipforwarding = 1;
		const [exit, entrance] = [EXIT, ENTRANCE].map((name) => V_ifnet().find((ifp) => ifp.if_xname === name)!);
		CURVNET_RESTORE(saved);
		const frames = framesTo(entrance.if_hw_addr);
		const flows = machine.random.stream("flows");
		const began = machine.now;
		let offered = 0;
		const pass = (ns: number): void => {
			const end = machine.now + ns;
			while (machine.now < end) {
				const until = Math.min(end, machine.now + FEED_NS);
				for (let at = began; ; offered++) {
					at = began + Math.floor((offered * 1e9) / offered_pps);
					if (at >= until) break;
					source.wires[0].send(frames[flows.uniform(FLOWS)], at);
				}
				run(kernel, until);
			}
		};
		times.begin(driver);
		pass(WARMUP_NS);
		times.mark();
		metrics.mark();
		const before = exit.if_get_counter(exit, IFCOUNTER_OPACKETS);
		pass(MEASURED_NS);
		const sent = exit.if_get_counter(exit, IFCOUNTER_OPACKETS) - before;
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
