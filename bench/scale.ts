/**
 * `npm run bench -- scale`: one interface with 100 000 peers and 1 000 000 allowed IPs. What a peer and a route weigh in the host's
 * memory, how long they take to make, and how many routes can be looked up in a second of host time. Then a storm of handshakes.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import "../sim/generic.ts";
import { installOpenssl } from "../sim/host/openssl.ts";
import { table } from "../sim/report/table.ts";
import { gigabits, grouped } from "../sim/units.ts";
import { WG_GENERATION_TUNABLE } from "../src/dev/wg/generation.ts";
import {
	SIZEOF_WG_PKT_COOKIE,
	SIZEOF_WG_PKT_INITIATION,
	WG_PKT_COOKIE,
	WG_PKT_INITIATION,
	wg_aip_add,
	wg_aip_lookup,
	wg_peer_create,
} from "../src/dev/wg/if_wg.ts";
import type { wg_peer, wg_softc } from "../src/dev/wg/if_wg_var.ts";
import {
	COOKIE_MAC_SIZE,
	cookie_macs,
	cookie_maker,
	cookie_maker_init,
	cookie_maker_mac,
} from "../src/dev/wg/wg_cookie.ts";
import { noise_local_private, noise_remote_put } from "../src/dev/wg/wg_noise.ts";
import { boot, run, runUntilExit, spawn } from "../src/kernel/boot.ts";
import { ifunit } from "../src/kernel/ifnet/if.ts";
import { if_clone_create, if_clone_destroy } from "../src/kernel/ifnet/if_clone.ts";
import { cred0 } from "../src/kernel/jail/jail.ts";
import { vnet0 } from "../src/kernel/jail/vnet.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../src/kernel/lock/epoch.ts";
import { sx_xlock, sx_xunlock } from "../src/kernel/lock/sx.ts";
import { uma_leaks } from "../src/kernel/mbuf/uma.ts";
import { AF_INET, in_put32, sockaddr_in } from "../src/kernel/netinet/in.ts";
import { arc4random_buf } from "../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread } from "../src/kernel/sched/thread.ts";
import { SOCK_DGRAM, soreceive_args } from "../src/kernel/socket/socket.ts";
import { io_result } from "../src/kernel/socket/uipc_syscalls.ts";
import { Machine } from "../src/machine/machine.ts";
import { findProfile } from "../src/machine/profile.ts";
import { iperf3_stats } from "../src/userland/iperf3.ts";
import { fork_exec, type program, type process as user_process } from "../src/userland/process.ts";
import { clock_monotonic, MSG_DONTWAIT, nanosleep, recvmsg, send, socket_open } from "../src/userland/syscall.ts";
import { testbed_exec, type testbed_side, testbed_two_jails } from "../src/userland/testbed.ts";

const PEERS = 100_000;
const ROUTES = 1_000_000;
const LOOKUPS = 1_000_000;
/** Simulated: making a peer multiplies on the curve, which takes its time there too. */
const LIMIT_NS = 100_000_000_000_000;

/** Initiations a second; a CPU deals with some thousands of those that need the curve. */
const STORM_RATES = [0, 1_000, 10_000, 50_000];
const STORM_BATCH = 10;
/** by then the handshake queue is as long as it gets */
const STORM_WARMUP_NS = 300_000_000;
const STORM_NS = 100_000_000;
/** the far side of the test bed: 192.168.2.2 */
const VICTIM = 0xc0a80202;
const PORT = 12345;

function say(text = ""): void {
	process.stdout.write(`${text}\n`);
}

/** Bytes in use on the host, after a collection. */
function memory(): number {
	setFlagsFromString("--expose-gc");
	const collect = runInNewContext("gc") as () => void;
	collect();
	const { heapUsed, arrayBuffers } = process.memoryUsage();
	return heapUsed + arrayBuffers;
}

/** Makes something `n` times, and says what one weighs and takes. */
function* measured(n: number, what: (i: number) => Blocking<void>): Blocking<{ bytes: number; seconds: number }> {
	const before = memory();
	const began = performance.now();
	for (let i = 0; i < n; i++) yield* what(i);
	const seconds = (performance.now() - began) / 1000;
	return { bytes: (memory() - before) / n, seconds };
}

/** The address of route i: a multiplication spreads them over the whole space, each once. */
function address(i: number): number {
	return Math.imul(i, 2_654_435_761) >>> 0;
}

/** A key for peer i. */
function key_of(i: number): Uint8Array {
	const key = new Uint8Array(32);
	for (let at = 0; at < 32; at += 4) in_put32(key, at, Math.imul(i + 1, 0x9e3779b1 + at * 2) >>> 0);
	key[31] &= 127;
	return key;
}

/** @returns rows of the table */
function* peers_and_routes(): Blocking<string[][]> {
	curthread.td_ucred = cred0();
	curthread.td_vnet = vnet0();
	yield* if_clone_create("wg0", null);
	const sc = ifunit("wg0")!.if_softc as wg_softc;
	yield* noise_local_private(sc.sc_local, key_of(PEERS));

	const peers: wg_peer[] = [];
	const made = yield* measured(PEERS, function* (i) {
		yield* sx_xlock(sc.sc_lock);
		const peer = yield* wg_peer_create(sc, key_of(i));
		yield* sx_xunlock(sc.sc_lock);
		if (typeof peer === "number") throw new Error(`peer ${i}: error ${peer}`);
		peers.push(peer);
	});

	const addr = new Uint8Array(4);
	const routed = yield* measured(ROUTES, function* (i) {
		in_put32(addr, 0, address(i));
		const error = yield* wg_aip_add(sc, peers[i % PEERS], AF_INET, addr, 32);
		if (error !== 0) throw new Error(`route ${i}: error ${error}`);
	});

	const began = performance.now();
	for (let i = 0; i < LOOKUPS; i++) {
		// another order than they were made in
		const route = (i * 7919) % ROUTES;
		in_put32(addr, 0, address(route));
		const peer = yield* wg_aip_lookup(sc, AF_INET, addr, 0);
		if (peer !== peers[route % PEERS]) throw new Error(`route ${route}: wrong peer`);
		noise_remote_put(peer.p_remote);
	}
	const lookups_s = LOOKUPS / ((performance.now() - began) / 1000);

	const ending = performance.now();
	peers.length = 0;
	yield* if_clone_destroy("wg0");
	for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
	const gone = (performance.now() - ending) / 1000;
	const leaks = uma_leaks();
	if (leaks.length > 0) throw new Error(`left: ${JSON.stringify(leaks)}`);

	return [
		["", "number", "bytes each", "seconds to make", "lookups/s"],
		["peers", grouped(PEERS), made.bytes.toFixed(0), made.seconds.toFixed(1), ""],
		["allowed IPs", grouped(ROUTES), routed.bytes.toFixed(0), routed.seconds.toFixed(1), grouped(lookups_s)],
		["all of it gone again", "", "", gone.toFixed(1), ""],
	];
}

/** Runs `main` in a kernel of its own. */
function inKernel<T>(main: () => Blocking<T>): T {
	const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: 8, seed: 1 });
	const kernel = boot(machine, { tunables: { [WG_GENERATION_TUNABLE]: "main" } });
	let result: { value: T } | null = null;
	const td = spawn(kernel, "bench", function* () {
		result = { value: yield* main() };
	});
	if (!runUntilExit(kernel, td, LIMIT_NS) || result === null) throw new Error("the thread never ended");
	return (result as { value: T }).value;
}

/** What the attacker has done so far. */
class storm_stats {
	sent = 0;
	cookies = 0;
}

/** Handshake initiations from nobody: rubbish, but for the first MAC, which only needs the public key. */
function* rubbish(public_key: Uint8Array, n: number): Blocking<Uint8Array[]> {
	const maker = new cookie_maker();
	const macs = new cookie_macs();
	cookie_maker_init(maker, public_key);
	const list: Uint8Array[] = [];
	for (let i = 0; i < n; i++) {
		const data = new Uint8Array(SIZEOF_WG_PKT_INITIATION);
		arc4random_buf(data);
		data.set([WG_PKT_INITIATION, 0, 0, 0]);
		const len = data.length - 2 * COOKIE_MAC_SIZE;
		yield* cookie_maker_mac(maker, macs, data, len);
		data.set(macs.mac1, len);
		list.push(data);
	}
	return list;
}

/** A program that sends so many initiations a second, and counts the cookies that come back, until it is killed. */
function storm(target: testbed_side, rate: number, stats: storm_stats): program {
	return function* (proc) {
		const so = yield* socket_open(proc, AF_INET, SOCK_DGRAM, 0);
		if (typeof so === "number") return 1;
		const flood = yield* rubbish(target.public_key, 256);
		const to = new sockaddr_in(VICTIM, PORT);
		const result = new io_result();
		const reply = new Uint8Array(256);
		const msg = new soreceive_args();
		const batch_ns = (STORM_BATCH * 1e9) / rate;
		for (let next = clock_monotonic(); ; next += batch_ns) {
			for (let i = 0; i < STORM_BATCH; i++) {
				const data = flood[stats.sent++ % flood.length];
				yield* send(proc, so, data, data.length, result, false, to);
			}
			for (;;) {
				msg.flags = MSG_DONTWAIT;
				const error = yield* recvmsg(proc, so, reply, reply.length, msg, result);
				if (error !== 0) break;
				if (reply[0] === WG_PKT_COOKIE && result.bytes === SIZEOF_WG_PKT_COOKIE) stats.cookies++;
			}
			yield* nanosleep(proc, Math.max(1, Math.round(next + batch_ns - clock_monotonic())));
		}
	};
}

/** One TCP stream through a tunnel, and so many initiations a second at its far end meanwhile. @returns a row of the table */
function weather(rate: number): string[] {
	const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: 8, seed: 1 });
	const kernel = boot(machine, { tunables: { "hw.wg.crypto": "ossl", "net.inet.tcp.msl": "500" } });
	const stats = new storm_stats();
	let server: user_process | null = null;
	const setup = spawn(kernel, "bench", function* () {
		const bed = yield* testbed_two_jails({ mtu: 1420 });
		const [near, far] = bed.sides;
		server = testbed_exec(far, "iperf3 -s -1");
		yield* pause_sbt("server", 2_000_000);
		testbed_exec(near, "iperf3 -c 169.254.0.2 -t 1 -i 0");
		if (rate > 0) fork_exec(null, "storm", storm(far, rate, stats), [], { jail: near.jail, console: null });
	});
	if (!runUntilExit(kernel, setup, 20e9)) throw new Error("the test bed was never ready");
	run(kernel, machine.now + STORM_WARMUP_NS);
	const received = (): number => iperf3_stats(server as unknown as user_process)?.bytes_received ?? 0;
	const [bytes, sent, cookies] = [received(), stats.sent, stats.cookies];
	const began = performance.now();
	run(kernel, machine.now + STORM_NS);
	const seconds = (performance.now() - began) / 1000;
	const per_s = (n: number): string => grouped((n * 1e9) / STORM_NS);
	return [
		grouped(rate),
		per_s(stats.sent - sent),
		per_s(stats.cookies - cookies),
		gigabits(((received() - bytes) * 8e9) / STORM_NS),
		(seconds / (STORM_NS / 1e9)).toFixed(0),
	];
}

export function scale(): void {
	installOpenssl();
	say("One interface, in host memory and host time");
	for (const line of table(inKernel(peers_and_routes))) say(`  ${line}`);
	say();
	say("A TCP stream through the tunnel, and initiations from nobody to its far end, in simulated time; 8 CPUs, ossl");
	const rows = STORM_RATES.map(weather);
	for (const line of table([["wanted/s", "sent/s", "cookies back/s", "Gb/s of data", "host seconds for one"], ...rows]))
		say(`  ${line}`);
	say();
}
