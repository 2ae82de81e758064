/**
 * `npm run fuzz -- [N [SEED]]`: N hostile packets, a million unless said otherwise, into a driver of each generation in turn, in
 * rounds of a thousand. After each round every packet must be in the counter it belongs in; at the end the session must still work,
 * and nothing may be left. What fails is repeated with the seed that is printed.
 */
import "../../../src/kernel/netinet/ip_input.ts";
import type { wg_generation_name } from "../../../src/dev/wg/generation.ts";
import { wg_xmit } from "../../../src/dev/wg/if_wg.ts";
import { IFCOUNTER_IPACKETS } from "../../../src/kernel/ifnet/if_var.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../../../src/kernel/lock/epoch.ts";
import { malloc_leaks } from "../../../src/kernel/mbuf/malloc.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { AF_INET } from "../../../src/kernel/netinet/in.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { choosing, observed } from "./hostile.ts";
import { connected_rigs, ipv4_packet, mbuf_of, new_rig, settle, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

const GENERATIONS: readonly wg_generation_name[] = ["2021-11", "2022-09", "main"];
const DEFAULT_PACKETS = 1_000_000;
/** Packets between two looks at the counters, and to one pair of interfaces; the queues take that many. */
const BATCH = 100;
const ROUND = 1000;

function fail(text: string): never {
	process.stderr.write(`\nfuzz: ${text}\n`);
	process.exit(1);
}

function wholeNumber(text: string | undefined, fallback: number): number {
	const value = text === undefined ? fallback : Number(text);
	return Number.isSafeInteger(value) && value >= 0
		? value
		: fail(`${text} is not a whole number; give [packets [seed]]`);
}

function in_use(): string {
	return JSON.stringify([uma_leaks(), malloc_leaks()]);
}

/** One pair of interfaces under attack, from their making to their end. */
function* round(seed: number): Blocking<void> {
	const [a, b] = yield* connected_rigs();
	const attack = yield* observed(a, b);
	const choose = choosing(seed);
	for (let n = 0; n < ROUND; n += BATCH) {
		yield* attack.attack(BATCH, choose);
		const counted = attack.counted().join(" ");
		const expected = attack.expected().join(" ");
		if (counted !== expected) throw new Error(`packets, queue drops, errors: ${counted} and not ${expected}`);
	}
	const before = b.ifp.if_counters[IFCOUNTER_IPACKETS];
	yield* wg_xmit(a.ifp, mbuf_of(ipv4_packet(1, 2)), AF_INET, a.ifp.if_mtu);
	yield* settle();
	if (b.ifp.if_counters[IFCOUNTER_IPACKETS] !== before + 1) throw new Error("the session does not work any more");
	yield* a.destroy();
	yield* b.destroy();
}

function one(generation: wg_generation_name, seed: number): void {
	inThread(wg_world(generation, { seed }), function* () {
		yield* (yield* new_rig(9)).destroy();
		yield* settle();
		const before = in_use();
		yield* round(seed);
		yield* settle();
		for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
		const after = in_use();
		if (after !== before) throw new Error(`memory left: ${after} and not ${before}`);
	});
}

const packets = wholeNumber(process.argv[2], DEFAULT_PACKETS);
const first = wholeNumber(process.argv[3], 1);
const began = performance.now();
const rounds = Math.ceil(packets / ROUND);
for (let i = 0; i < rounds; i++) {
	const generation = GENERATIONS[i % GENERATIONS.length];
	const seed = first + i;
	try {
		one(generation, seed);
	} catch (error) {
		// the generation follows from the place, so the same place is asked for
		fail(`${generation}, seed ${seed}, round ${i + 1} of ${rounds}: ${(error as Error).message}`);
	}
	if (process.stderr.isTTY) process.stderr.write(`\r${(i + 1) * ROUND} packets`);
}
const seconds = (performance.now() - began) / 1000;
process.stdout.write(
	`${rounds * ROUND} hostile packets in ${seconds.toFixed(1)} s: no panic, every one counted, nothing left\n`,
);
