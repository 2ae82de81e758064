/** What the driver's tests share: a booted kernel, a thread in it, and two sides of a handshake. */
// the clock and the thread that runs epoch callbacks boot with a kernel once they are imported
import "../../../src/kernel/callout/callout.ts";
import "../../../src/kernel/taskqueue/taskqueue.ts";
import { WG_GENERATION_TUNABLE, type wg_generation_name } from "../../../src/dev/wg/generation.ts";
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
} from "../../../src/dev/wg/wg_noise.ts";
import { boot, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../../../src/kernel/lock/epoch.ts";
import { arc4random_buf, type Kernel } from "../../../src/kernel/sched/kernel.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";

export interface WorldOptions {
	readonly cpus?: number;
	readonly seed?: number;
	readonly generation?: wg_generation_name;
}

/** Boots a kernel. */
export function world(options: WorldOptions = {}): Kernel {
	const machine = new Machine({ profile: findProfile("xeon-d")!, cpus: options.cpus ?? 2, seed: options.seed ?? 1 });
	const tunables = options.generation === undefined ? {} : { [WG_GENERATION_TUNABLE]: options.generation };
	return boot(machine, { tunables });
}

/** Runs `main` as a thread of `kernel` to its end, and returns what it returns. */
export function inThread<T>(kernel: Kernel, main: () => Blocking<T>, limit_s = 1000): T {
	let result: { value: T } | null = null;
	const td = spawn(kernel, "test", function* () {
		result = { value: yield* main() };
	});
	if (!runUntilExit(kernel, td, limit_s * 1e9)) throw new Error("the test's thread did not end");
	return (result as unknown as { value: T }).value;
}

/** One side: an identity, and the other side as a remote. */
export interface side {
	l: noise_local;
	r: noise_remote;
	public_key: Uint8Array;
}

/** Two identities that know each other. */
export function* two_sides(): Blocking<[side, side]> {
	const locals: noise_local[] = [];
	const publics: Uint8Array[] = [];
	for (let i = 0; i < 2; i++) {
		const l = noise_local_alloc(`local ${i}`)!;
		const key = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		arc4random_buf(key);
		yield* noise_local_private(l, key);
		const public_key = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		yield* noise_local_keys(l, public_key, null);
		locals.push(l);
		publics.push(public_key);
	}
	const sides: side[] = [];
	for (let i = 0; i < 2; i++) {
		const r = (yield* noise_remote_alloc(locals[i], `remote of ${i}`, publics[1 - i]))!;
		yield* noise_remote_enable(r);
		sides.push({ l: locals[i], r, public_key: publics[i] });
	}
	return sides as [side, side];
}

/** Takes both sides apart, and waits until the epoch has freed them. */
export function* free_sides(sides: readonly side[]): Blocking<void> {
	for (const s of sides) {
		yield* noise_remote_free(s.r, null);
		yield* noise_local_free(s.l, null);
	}
	// a keypair's callback frees the keypair and may queue the remote's
	for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
}

export class initiation {
	readonly s_idx = new Uint32Array(1);
	readonly ue = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
	readonly es = new Uint8Array(NOISE_PUBLIC_KEY_LEN + NOISE_AUTHTAG_LEN);
	readonly ets = new Uint8Array(NOISE_TIMESTAMP_LEN + NOISE_AUTHTAG_LEN);
}

export class response {
	readonly s_idx = new Uint32Array(1);
	readonly r_idx = new Uint32Array(1);
	readonly ue = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
	readonly en = new Uint8Array(NOISE_AUTHTAG_LEN);
}

/** `from` makes an initiation. */
export function* initiate(from: side): Blocking<[error: number, message: initiation]> {
	const i = new initiation();
	return [yield* noise_create_initiation(from.r, i.s_idx, i.ue, i.es, i.ets), i];
}

/** `to` is given an initiation; 0 or the error. */
export function* accept(to: side, i: initiation): Blocking<number> {
	const r = yield* noise_consume_initiation(to.l, i.s_idx[0], i.ue.slice(), i.es.slice(), i.ets.slice());
	if (typeof r === "number") return r;
	noise_remote_put(r);
	return 0;
}

export function* respond(from: side): Blocking<[error: number, message: response]> {
	const m = new response();
	return [yield* noise_create_response(from.r, m.s_idx, m.r_idx, m.ue, m.en), m];
}

export function* finish(to: side, m: response): Blocking<number> {
	const r = yield* noise_consume_response(to.l, m.s_idx[0], m.r_idx[0], m.ue.slice(), m.en.slice());
	if (typeof r === "number") return r;
	noise_remote_put(r);
	return 0;
}

/** A whole handshake; the initiator's new keypair is current, the responder's next. */
export function* handshake(from: side, to: side): Blocking<number> {
	const [error, i] = yield* initiate(from);
	if (error !== 0) return error;
	const refused = yield* accept(to, i);
	if (refused !== 0) return refused;
	const [no_answer, m] = yield* respond(to);
	if (no_answer !== 0) return no_answer;
	return yield* finish(from, m);
}
