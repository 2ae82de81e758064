/**
 * BLAKE2s by the driver's own code or by a library: what a handshake takes in CPU time on either side, and how much of that is
 * BLAKE2s at all. The functions of wg_noise and the MACs of wg_cookie, without sockets and queues.
 */

import { WG_GENERATION_TUNABLE } from "../../src/dev/wg/generation.ts";
import { COOKIE_KEY_SIZE, cookie_macs, macs_mac1 } from "../../src/dev/wg/wg_cookie.ts";
import { WG_BLAKE2S_TUNABLE } from "../../src/dev/wg/wg_crypto_blake2s.ts";
import {
	NOISE_AUTHTAG_LEN,
	NOISE_PUBLIC_KEY_LEN,
	NOISE_TIMESTAMP_LEN,
	noise_consume_initiation,
	noise_consume_response,
	noise_create_initiation,
	noise_create_response,
	type noise_local,
	noise_local_alloc,
	noise_local_free,
	noise_local_keys,
	noise_local_private,
	type noise_remote,
	noise_remote_alloc,
	noise_remote_enable,
	noise_remote_free,
	noise_remote_put,
} from "../../src/dev/wg/wg_noise.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../../src/kernel/lock/epoch.ts";
import { arc4random_buf, KASSERT } from "../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { all_costs, type CostOverrides } from "../../src/machine/cost/table.ts";
import { table } from "../report/table.ts";
import { grouped, percent, readableTime } from "../units.ts";
import { cpuTime, inKernel } from "./thread.ts";

export const BLAKE2S = ["own", "library"] as const;

/** Handshakes a figure is the mean of. */
const REPEAT = 8;
/** An initiator may begin again after REKEY_TIMEOUT. */
const BETWEEN_NS = 6_000_000_000;
/** What the first MAC covers: all of the message before it. */
const INITIATION_BYTES = 116;
const RESPONSE_BYTES = 60;

export interface HandshakeRow {
	readonly blake2s: (typeof BLAKE2S)[number];
	/** CPU time of one handshake, ns */
	readonly initiator_ns: number;
	readonly responder_ns: number;
	/** what one CPU can answer, and begin, in a second */
	readonly answered: number;
	readonly begun: number;
	/** share of both sides' time that is BLAKE2s */
	readonly blake2s_share: number;
}

interface Side {
	readonly l: noise_local;
	readonly r: noise_remote;
}

function* twoSides(): Blocking<[Side, Side]> {
	const locals: noise_local[] = [];
	const publics: Uint8Array[] = [];
	for (let i = 0; i < 2; i++) {
		const l = noise_local_alloc(null)!;
		const key = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		arc4random_buf(key);
		yield* noise_local_private(l, key);
		yield* noise_local_keys(l, key, null);
		locals.push(l);
		publics.push(key);
	}
	const sides: Side[] = [];
	for (let i = 0; i < 2; i++) {
		const r = (yield* noise_remote_alloc(locals[i], null, publics[1 - i]))!;
		yield* noise_remote_enable(r);
		sides.push({ l: locals[i], r });
	}
	return sides as [Side, Side];
}

/** One handshake. @returns CPU time of the initiator and of the responder, ns */
function* handshake(a: Side, b: Side): Blocking<[initiator_ns: number, responder_ns: number]> {
	const macs = new cookie_macs();
	const mac_key = new Uint8Array(COOKIE_KEY_SIZE);
	const message = new Uint8Array(INITIATION_BYTES);
	const [ours, theirs] = [new Uint32Array(1), new Uint32Array(1)];
	const ue = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
	const es = new Uint8Array(NOISE_PUBLIC_KEY_LEN + NOISE_AUTHTAG_LEN);
	const ets = new Uint8Array(NOISE_TIMESTAMP_LEN + NOISE_AUTHTAG_LEN);
	const en = new Uint8Array(NOISE_AUTHTAG_LEN);

	const t0 = cpuTime();
	let error = yield* noise_create_initiation(a.r, ours, ue, es, ets);
	KASSERT(error === 0, "handshake: no initiation");
	macs_mac1(macs, message, INITIATION_BYTES, mac_key);

	const t1 = cpuTime();
	macs_mac1(macs, message, INITIATION_BYTES, mac_key);
	const remote = yield* noise_consume_initiation(b.l, ours[0], ue, es, ets);
	if (typeof remote !== "number") noise_remote_put(remote);
	KASSERT(remote === b.r, "handshake: the initiation was refused");
	error = yield* noise_create_response(b.r, theirs, ours, ue, en);
	KASSERT(error === 0, "handshake: no response");
	macs_mac1(macs, message, RESPONSE_BYTES, mac_key);

	const t2 = cpuTime();
	macs_mac1(macs, message, RESPONSE_BYTES, mac_key);
	const answered = yield* noise_consume_response(a.l, theirs[0], ours[0], ue, en);
	if (typeof answered !== "number") noise_remote_put(answered);
	KASSERT(answered === a.r, "handshake: the response was refused");
	const t3 = cpuTime();
	return [t1 - t0 + (t3 - t2), t2 - t1];
}

function* manyHandshakes(): Blocking<[number, number]> {
	const [a, b] = yield* twoSides();
	let [initiator, responder] = [0, 0];
	for (let i = 0; i < REPEAT; i++) {
		const [one, other] = yield* handshake(a, b);
		initiator += one / REPEAT;
		responder += other / REPEAT;
		yield* pause_sbt("handshake", BETWEEN_NS);
	}
	for (const side of [a, b]) {
		yield* noise_remote_free(side.r, null);
		yield* noise_local_free(side.l, null);
	}
	for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
	return [initiator, responder];
}

/** A machine on which BLAKE2s takes no time: what is missing then is what it takes. */
const FREE: CostOverrides = {
	blake2s_setup: { ...all_costs.blake2s_setup, value: 0 },
	blake2s_block: { ...all_costs.blake2s_block, value: 0 },
};

export function measureHandshakes(machine: string): HandshakeRow[] {
	return BLAKE2S.map((blake2s) => {
		const tunables = { [WG_GENERATION_TUNABLE]: "main", [WG_BLAKE2S_TUNABLE]: blake2s };
		const [initiator_ns, responder_ns] = inKernel({ machine, tunables }, manyHandshakes);
		const without = inKernel({ machine, tunables, costs: FREE }, manyHandshakes);
		return {
			blake2s,
			initiator_ns,
			responder_ns,
			answered: 1e9 / responder_ns,
			begun: 1e9 / initiator_ns,
			blake2s_share: 1 - (without[0] + without[1]) / (initiator_ns + responder_ns),
		};
	});
}

export function renderHandshakes(machine: string, rows: readonly HandshakeRow[]): string[] {
	return [
		`BLAKE2s of the driver's own or of a library: what one CPU of ${machine} does for a handshake, generation main.`,
		"Both charge the same constants for a block and for a digest: a difference could only come from how often they are called.",
		...table(
			[
				["BLAKE2s", "initiator", "responder", "begun/s", "answered/s", "of it BLAKE2s"],
				...rows.map((row) => [
					row.blake2s,
					readableTime(row.initiator_ns),
					readableTime(row.responder_ns),
					grouped(row.begun),
					grouped(row.answered),
					percent(row.blake2s_share),
				]),
			],
			[0],
		),
	];
}
