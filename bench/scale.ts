/**
 * `npm run bench -- scale`: one interface with 100 000 peers and 1 000 000 allowed IPs. What a peer and a route weigh in the host's
 * memory, how long they take to make, and how many routes can be looked up in a second of host time.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import "../sim/generic.ts";
import { installHost } from "../sim/host/host.ts";
import { table } from "../sim/report/table.ts";
import { grouped } from "../sim/units.ts";
import { WG_GENERATION_TUNABLE } from "../src/dev/wg/generation.ts";
import { wg_aip_add, wg_aip_lookup, wg_peer_create } from "../src/dev/wg/if_wg.ts";
import type { wg_peer, wg_softc } from "../src/dev/wg/if_wg_var.ts";
import { noise_local_private, noise_remote_put } from "../src/dev/wg/wg_noise.ts";
import { boot, runUntilExit, spawn } from "../src/kernel/boot.ts";
import { ifunit } from "../src/kernel/ifnet/if.ts";
import { if_clone_create, if_clone_destroy } from "../src/kernel/ifnet/if_clone.ts";
import { cred0 } from "../src/kernel/jail/jail.ts";
import { vnet0 } from "../src/kernel/jail/vnet.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../src/kernel/lock/epoch.ts";
import { sx_xlock, sx_xunlock } from "../src/kernel/lock/sx.ts";
import { uma_leaks } from "../src/kernel/mbuf/uma.ts";
import { AF_INET, in_put32 } from "../src/kernel/netinet/in.ts";
import { type Blocking, curthread } from "../src/kernel/sched/thread.ts";
import { Machine } from "../src/machine/machine.ts";
import { findProfile } from "../src/machine/profile.ts";
import { say } from "./output.ts";

const PEERS = 100_000;
const ROUTES = 1_000_000;
const LOOKUPS = 1_000_000;
/** Simulated: making a peer multiplies on the curve, which takes its time there too. */
const LIMIT_NS = 100_000_000_000_000;

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

export async function scale(): Promise<void> {
	await installHost({});
	say("One interface, in host memory and host time");
	for (const line of table(inKernel(peers_and_routes))) say(`  ${line}`);
	say();
}
