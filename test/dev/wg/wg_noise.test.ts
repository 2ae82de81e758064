import { expect, test } from "vitest";
import { crypto_deinit, crypto_init } from "../../../src/dev/wg/wg_crypto.ts";
import {
	KEEPALIVE_TIMEOUT,
	noise_consume_initiation,
	noise_handshake_secrets,
	noise_kdf,
	noise_keep_key_fresh_recv,
	noise_keep_key_fresh_send,
	noise_keypair_current,
	noise_keypair_decrypt,
	noise_keypair_encrypt,
	noise_keypair_lookup,
	noise_keypair_nonce_check,
	noise_keypair_nonce_next,
	noise_keypair_put,
	noise_keypair_received_with,
	noise_keypair_remote,
	noise_local_alloc,
	noise_local_arg,
	noise_local_free,
	noise_local_keys,
	noise_local_private,
	noise_remote_alloc,
	noise_remote_arg,
	noise_remote_disable,
	noise_remote_enable,
	noise_remote_free,
	noise_remote_handshake_clear,
	noise_remote_index,
	noise_remote_index_lookup,
	noise_remote_initiation_expired,
	noise_remote_keypairs_clear,
	noise_remote_keys,
	noise_remote_lookup,
	noise_remote_put,
	noise_remote_set_psk,
	noise_tai64n_now,
	REJECT_AFTER_MESSAGES,
	REJECT_AFTER_TIME,
	REKEY_AFTER_MESSAGES,
	REKEY_AFTER_TIME,
	REKEY_TIMEOUT,
	uint64,
	uint64_of,
} from "../../../src/dev/wg/wg_noise.ts";
import { EBADMSG, ECONNRESET, EINVAL, ENOENT, ENOSPC, ENXIO, ETIMEDOUT } from "../../../src/kernel/errno.ts";
import { NET_EPOCH_DRAIN_CALLBACKS } from "../../../src/kernel/lock/epoch.ts";
import { lockstat_acquire, lockstat_release } from "../../../src/kernel/lock/lock.ts";
import { malloc_leaks } from "../../../src/kernel/mbuf/malloc.ts";
import { M_NOWAIT, M_PKTHDR, MT_DATA, m_freem, m_get2, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_set_fault } from "../../../src/kernel/mbuf/uma.ts";
import { nanotime } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import {
	accept,
	finish,
	free_sides,
	handshake,
	initiate,
	inThread,
	respond,
	type side,
	two_sides,
	type WorldOptions,
	world,
} from "./support.ts";

const SECOND = 1e9;
const TICK = 1e6;

function bytes(hex: string): Uint8Array {
	return Uint8Array.from(Buffer.from(hex, "hex"));
}

function hex(data: Uint8Array): string {
	return Buffer.from(data).toString("hex");
}

/** Runs `main` with two sides that know each other; afterwards all must be freed. */
function withSides(main: (a: side, b: side) => Blocking<void>, options: WorldOptions = {}): void {
	inThread(world(options), function* () {
		const sides = yield* two_sides();
		yield* main(sides[0], sides[1]);
		yield* free_sides(sides);
	});
	expect(malloc_leaks().filter((leak) => leak.type === "NOISE")).toEqual([]);
}

test.each([
	[
		"test-key",
		"test-input",
		"6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633",
		"df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a",
		"fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24",
	],
	[
		"wireguard",
		"wireguard",
		"491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8",
		"1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f",
		"31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160",
	],
	[
		"",
		"",
		"8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
		"58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
		"0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e",
	],
])("the key derivation of (%s, %s) is wireguard-go's", (key, input, t0, t1, t2) => {
	world();
	const ck = new Uint8Array(32);
	ck.set(Buffer.from(key)); // HMAC pads a short key with zeros
	const x = Uint8Array.from(Buffer.from(input));
	const [a, b, c] = [new Uint8Array(32), new Uint8Array(32), new Uint8Array(32)];
	noise_kdf(a, b, c, x, 32, 32, 32, x.length, ck);
	expect([hex(a), hex(b), hex(c)]).toEqual([t0, t1, t2]);
	a.fill(0);
	noise_kdf(a, null, null, x, 32, 0, 0, x.length, ck);
	expect(hex(a)).toBe(t0);
});

test("a handshake gives both sides the same keys, crossed, and each the other's index", () => {
	withSides(function* (a, b) {
		expect(yield* handshake(a, b)).toBe(0);
		const ours = a.r.r_current!;
		const theirs = b.r.r_next!;
		expect(ours.kp_is_initiator).toBe(true);
		expect(theirs.kp_is_initiator).toBe(false);
		expect(hex(ours.kp_send)).toBe(hex(theirs.kp_recv));
		expect(hex(ours.kp_recv)).toBe(hex(theirs.kp_send));
		expect(hex(ours.kp_send)).not.toBe(hex(ours.kp_recv));
		expect(ours.kp_index.i_remote_index).toBe(theirs.kp_index.i_local_index);
		expect(theirs.kp_index.i_remote_index).toBe(ours.kp_index.i_local_index);
		// the handshake is gone, but its index now leads to the keypair
		expect(hex(a.r.r_handshake.hs_ck)).toBe("00".repeat(32));
		expect(yield* noise_remote_index_lookup(a.l, ours.kp_index.i_local_index, false)).toBe(null);
		const found = yield* noise_remote_index(a.l, ours.kp_index.i_local_index);
		expect(found).toBe(a.r);
		noise_remote_put(found!);
		const kp = yield* noise_keypair_lookup(b.l, theirs.kp_index.i_local_index);
		expect(kp).toBe(theirs);
		noise_remote_put(noise_keypair_remote(kp!));
		noise_keypair_put(kp!);
	});
});

test("different pre-shared keys end in the initiator refusing the response", () => {
	withSides(function* (a, b) {
		yield* noise_remote_set_psk(a.r, bytes("11".repeat(32)));
		expect(yield* noise_remote_keys(a.r, null, null)).toBe(0);
		expect(yield* noise_remote_keys(b.r, null, null)).toBe(ENOENT);
		expect(yield* handshake(a, b)).toBe(EINVAL);
		expect(a.r.r_current).toBe(null);
		yield* noise_remote_set_psk(b.r, bytes("11".repeat(32)));
		yield* pause_sbt("t", 6 * SECOND);
		expect(yield* handshake(a, b)).toBe(0);
	});
});

test("a changed bit anywhere in a message makes it worthless", () => {
	withSides(function* (a, b) {
		const [, i] = yield* initiate(a);
		for (const part of [i.ue, i.es, i.ets]) {
			part[3] ^= 4;
			expect(yield* accept(b, i)).toBe(EINVAL);
			part[3] ^= 4;
		}
		expect(yield* accept(b, i)).toBe(0);
		const [, m] = yield* respond(b);
		for (const part of [m.ue, m.en]) {
			part[3] ^= 4;
			expect(yield* finish(a, m)).toBe(EINVAL);
			part[3] ^= 4;
		}
		m.r_idx[0] ^= 1;
		expect(yield* finish(a, m)).toBe(EINVAL);
		m.r_idx[0] ^= 1;
		expect(yield* finish(a, m)).toBe(0);
		expect(yield* finish(a, m)).toBe(EINVAL);
	});
});

test("an ephemeral key of small order is refused", () => {
	withSides(function* (a, b) {
		const [, i] = yield* initiate(a);
		i.ue.fill(0);
		expect(yield* accept(b, i)).toBe(EINVAL);
	});
});

test("keypairs move from next to current to previous, and the fourth pushes out the first", () => {
	withSides(function* (a, b) {
		const slots = (s: side) => [s.r.r_next, s.r.r_current, s.r.r_previous];
		yield* handshake(a, b);
		const [a1, b1] = [a.r.r_current, b.r.r_next];
		expect(slots(b)).toEqual([b1, null, null]);
		expect(yield* noise_keypair_current(b.r)).toBe(null); // not confirmed yet
		expect(yield* noise_keypair_received_with(b1!)).toBe(ECONNRESET);
		expect(yield* noise_keypair_received_with(b1!)).toBe(0);
		expect(slots(b)).toEqual([null, b1, null]);

		yield* pause_sbt("t", 6 * SECOND);
		yield* handshake(a, b);
		const [a2, b2] = [a.r.r_current, b.r.r_next];
		expect(slots(a)).toEqual([null, a2, a1]);
		expect(slots(b)).toEqual([b2, b1, null]);

		// the other way round, with an unconfirmed keypair: as initiator it becomes the previous one, and the current one goes
		yield* pause_sbt("t", 6 * SECOND);
		yield* handshake(b, a);
		const [a3, b3] = [a.r.r_next, b.r.r_current];
		expect(slots(b)).toEqual([null, b3, b2]);
		expect(slots(a)).toEqual([a3, a2, null]);
		expect(yield* noise_keypair_lookup(b.l, b1!.kp_index.i_local_index)).toBe(null);

		expect(yield* noise_keypair_received_with(a3!)).toBe(ECONNRESET);
		expect(slots(a)).toEqual([null, a3, a2]);
		yield* noise_remote_keypairs_clear(a.r);
		expect(slots(a)).toEqual([null, null, null]);
	});
});

test("an initiation is made at most every five seconds, strictly, on the clock that moves once a tick", () => {
	withSides(function* (a) {
		expect((yield* initiate(a))[0]).toBe(0);
		const sent = a.r.r_last_sent;
		expect((yield* initiate(a))[0]).toBe(EINVAL);
		yield* pause_sbt("t", sent + REKEY_TIMEOUT * SECOND + TICK / 2 - (sent + TICK / 2));
		expect(yield* noise_remote_initiation_expired(a.r)).toBe(0);
		yield* pause_sbt("t", 2 * TICK);
		expect(yield* noise_remote_initiation_expired(a.r)).toBe(ETIMEDOUT);
		expect((yield* initiate(a))[0]).toBe(0);
		yield* noise_remote_handshake_clear(a.r);
		expect((yield* initiate(a))[0]).toBe(0);
	});
});

test("an initiation is accepted once", () => {
	withSides(function* (a, b) {
		const [, i] = yield* initiate(a);
		expect(yield* accept(b, i)).toBe(0);
		yield* pause_sbt("t", SECOND);
		expect(yield* accept(b, i)).toBe(EINVAL);
	});
});

test("a flood of initiations is refused, but moves the timestamp on all the same (L-11)", () => {
	withSides(function* (a, b) {
		const messages = [];
		for (let n = 0; n < 3; n++) {
			messages.push((yield* initiate(a))[1]);
			yield* noise_remote_handshake_clear(a.r);
			yield* pause_sbt("t", 0.05 * SECOND);
		}
		expect(yield* accept(b, messages[0])).toBe(0);
		const stamp = hex(b.r.r_timestamp);
		expect(yield* accept(b, messages[1])).toBe(EINVAL); // within 20 ms
		expect(hex(b.r.r_timestamp)).not.toBe(stamp);
		yield* pause_sbt("t", 0.025 * SECOND);
		expect(yield* accept(b, messages[1])).toBe(EINVAL); // now it is a replay, and would not have been
		expect(yield* accept(b, messages[2])).toBe(0);
	});
});

test("a responder answers once, and only what it accepted", () => {
	withSides(function* (a, b) {
		expect((yield* respond(b))[0]).toBe(EINVAL);
		const [, i] = yield* initiate(a);
		expect((yield* respond(a))[0]).toBe(EINVAL); // an initiator does not answer itself
		yield* accept(b, i);
		expect((yield* respond(b))[0]).toBe(0);
		expect((yield* respond(b))[0]).toBe(EINVAL);
	});
});

test("no memory for a keypair is ENOSPC, and the handshake goes on existing", () => {
	withSides(function* (a, b) {
		const [, i] = yield* initiate(a);
		yield* accept(b, i);
		uma_set_fault((name) => name === "NOISE");
		expect((yield* respond(b))[0]).toBe(ENOSPC);
		uma_set_fault(null);
	});
});

test("only the 2021-11 driver can fail to allocate identities and remotes", () => {
	for (const generation of ["2021-11", "2022-09"] as const) {
		inThread(world({ generation }), function* () {
			const l = noise_local_alloc(null)!;
			uma_set_fault((name) => name === "NOISE");
			const l2 = noise_local_alloc(null);
			const r = yield* noise_remote_alloc(l, null, new Uint8Array(32));
			expect([l2 === null, r === null]).toEqual(generation === "2021-11" ? [true, true] : [false, false]);
		});
	}
});

test("a keypair may send for 180 s, and stops by itself", () => {
	withSides(function* (a, b) {
		yield* handshake(a, b);
		const kp = a.r.r_current!;
		yield* pause_sbt("t", REJECT_AFTER_TIME * SECOND - 2 * TICK);
		const current = yield* noise_keypair_current(a.r);
		expect(current).toBe(kp);
		noise_keypair_put(kp);
		yield* pause_sbt("t", 4 * TICK);
		expect(kp.kp_can_send).toBe(true);
		expect(yield* noise_keypair_current(a.r)).toBe(null);
		expect(kp.kp_can_send).toBe(false);
		expect(yield* noise_keypair_nonce_next(kp, new uint64())).toBe(EINVAL);
	});
});

test("the initiator renews after 120 s of sending, and on receiving when 15 s are left; the responder does not", () => {
	withSides(function* (a, b) {
		yield* handshake(a, b);
		yield* noise_keypair_received_with(b.r.r_next!);
		const ask = function* (): Blocking<boolean[]> {
			const answers: boolean[] = [];
			for (const s of [a, b]) {
				answers.push((yield* noise_keep_key_fresh_send(s.r)) !== 0, (yield* noise_keep_key_fresh_recv(s.r)) !== 0);
			}
			return answers;
		};
		yield* pause_sbt("t", REKEY_AFTER_TIME * SECOND - 2 * TICK);
		expect(yield* ask()).toEqual([false, false, false, false]);
		yield* pause_sbt("t", 4 * TICK);
		expect(yield* ask()).toEqual([true, false, false, false]);
		yield* pause_sbt("t", (REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT - REKEY_AFTER_TIME) * SECOND);
		expect(yield* ask()).toEqual([true, true, false, false]);
	});
});

test("both sides renew after 2^60 messages, and the last nonce is the limit's predecessor", () => {
	withSides(function* (a, b) {
		yield* handshake(a, b);
		yield* noise_keypair_received_with(b.r.r_next!);
		for (const s of [a, b]) {
			const kp = s.r.r_current!;
			const nonce = new uint64();
			kp.kp_nonce_send = 0xffff_ffff;
			expect(yield* noise_keypair_nonce_next(kp, nonce)).toBe(0);
			expect([nonce.hi, nonce.lo]).toEqual([0, 0xffff_ffff]);
			expect(yield* noise_keypair_nonce_next(kp, nonce)).toBe(0);
			expect([nonce.hi, nonce.lo]).toEqual([1, 0]);

			kp.kp_nonce_send = 0;
			kp.kp_nonce_base = REKEY_AFTER_MESSAGES;
			expect(yield* noise_keep_key_fresh_send(s.r)).toBe(0);
			yield* noise_keypair_nonce_next(kp, nonce);
			expect(nonce).toEqual(uint64_of(REKEY_AFTER_MESSAGES));
			expect(yield* noise_keep_key_fresh_send(s.r)).not.toBe(0);

			kp.kp_nonce_send = 0;
			kp.kp_nonce_base = REJECT_AFTER_MESSAGES - 1n;
			expect(yield* noise_keypair_nonce_next(kp, nonce)).toBe(0);
			expect(nonce).toEqual(uint64_of(REJECT_AFTER_MESSAGES - 1n));
			expect(yield* noise_keypair_nonce_check(kp, nonce)).toBe(0);
			expect(yield* noise_keypair_nonce_next(kp, nonce)).toBe(EINVAL);
			expect(kp.kp_can_send).toBe(false);
		}
	});
});

test("a new private key ends handshakes and sending; an all-zero one still is a key once it is clamped", () => {
	withSides(function* (a, b) {
		yield* handshake(a, b);
		const ss = hex(a.r.r_ss);
		yield* noise_local_private(a.l, bytes("22".repeat(32)));
		expect(hex(a.r.r_ss)).not.toBe(ss);
		expect(a.r.r_current!.kp_can_send).toBe(false);
		expect(yield* noise_remote_initiation_expired(a.r)).toBe(ETIMEDOUT);
		expect(yield* noise_local_keys(a.l, null, null)).toBe(0);
		const key = new Uint8Array(32);
		yield* noise_local_private(a.l, new Uint8Array(32));
		yield* noise_local_keys(a.l, null, key);
		expect(hex(key)).toBe(`${"00".repeat(31)}40`);
	});
});

test("without an identity there are no keys and no handshakes", () => {
	inThread(world(), function* () {
		const l = noise_local_alloc("me")!;
		expect(noise_local_arg(l)).toBe("me");
		expect(yield* noise_local_keys(l, null, null)).toBe(ENXIO);
		const r = (yield* noise_remote_alloc(l, "you", bytes("09".padEnd(64, "0"))))!;
		expect(noise_remote_arg(r)).toBe("you");
		const s: side = { l, r, public_key: new Uint8Array(32) };
		const [error, i] = yield* initiate(s);
		expect(error).toBe(EINVAL);
		expect(yield* noise_consume_initiation(l, 1, i.ue, i.es, i.ets)).toBe(EINVAL);
		yield* free_sides([s]);
	});
	expect(malloc_leaks().filter((leak) => leak.type === "NOISE")).toEqual([]);
});

test("a remote is found while it is enabled, and usable afterwards by who holds it", () => {
	withSides(function* (a, b) {
		const held = yield* noise_remote_lookup(a.l, b.public_key);
		expect(held).toBe(a.r);
		expect(yield* noise_remote_enable(a.r)).toBe(0);
		expect(a.l.l_remote_num).toBe(1);
		yield* noise_remote_disable(a.r);
		yield* noise_remote_disable(a.r);
		expect(a.l.l_remote_num).toBe(0);
		expect(yield* noise_remote_lookup(a.l, b.public_key)).toBe(null);
		noise_remote_put(held!);
		const [, i] = yield* initiate(b);
		expect(yield* accept(a, i)).toBe(EINVAL); // who is not published does not get in
		a.l.l_remote_num = 1 << 20;
		expect(yield* noise_remote_enable(a.r)).toBe(ENOSPC);
		a.l.l_remote_num = 0;
	});
});

test("references run keypair, remote, local: the last one out runs the cleanups, once", () => {
	inThread(world(), function* () {
		const [a, b] = yield* two_sides();
		yield* handshake(a, b);
		const kp = (yield* noise_keypair_current(a.r))!;
		const key = kp.kp_send;
		const log: string[] = [];
		yield* noise_remote_free(a.r, function* () {
			log.push("remote");
		});
		yield* noise_local_free(a.l, function* () {
			log.push("local");
		});
		for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
		expect(log).toEqual([]);
		expect(hex(key)).not.toBe("00".repeat(32));
		noise_keypair_put(kp);
		for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
		expect(log).toEqual(["remote", "local"]);
		expect(hex(key)).toBe("00".repeat(32));
		expect([hex(a.l.l_private), hex(a.r.r_ss)]).toEqual(["00".repeat(32), "00".repeat(32)]);
		yield* free_sides([b]);
	});
	expect(malloc_leaks().filter((leak) => leak.type === "NOISE")).toEqual([]);
});

test("locks are taken in the order identity, handshake, keypair, index", () => {
	const rank = ["noise_identity", "noise_handshake", "noise_keypair", "noise_index"];
	const held: number[] = [];
	const wrong: string[] = [];
	const stops = [
		lockstat_acquire.listen((lock) => {
			const r = rank.indexOf(lock.lo_name);
			if (r < 0) return;
			if (held.some((other) => other >= r)) wrong.push(`${lock.lo_name} after ${held.map((h) => rank[h])}`);
			held.push(r);
		}),
		lockstat_release.listen((lock) => {
			const at = held.indexOf(rank.indexOf(lock.lo_name));
			if (at >= 0) held.splice(at, 1);
		}),
	];
	withSides(function* (a, b) {
		for (let n = 0; n < 3; n++) {
			expect(yield* handshake(a, b)).toBe(0);
			yield* noise_keypair_received_with(b.r.r_next!);
			yield* pause_sbt("t", 6 * SECOND);
		}
		yield* noise_local_private(a.l, bytes("33".repeat(32)));
	});
	for (const stop of stops) stop();
	expect(wrong).toEqual([]);
	expect(held).toEqual([]);
});

test("the probe shows what a packet analyser needs", () => {
	const events: string[] = [];
	const stop = noise_handshake_secrets.listen((event, _r, local, remote, ephemeral, psk) => {
		events.push(
			`${event} ${[local, remote, psk].every((k) => k.length === 32 && k.some((x) => x !== 0))} ${ephemeral?.some((x) => x !== 0) ?? "none"}`,
		);
	});
	withSides(function* (a, b) {
		yield* noise_remote_set_psk(a.r, bytes("44".repeat(32)));
		yield* noise_remote_set_psk(b.r, bytes("44".repeat(32)));
		yield* handshake(a, b);
	});
	stop();
	expect(events).toEqual([
		"create-initiation true true",
		"consume-initiation true none",
		"create-response true true",
		"consume-response true true",
	]);
});

test("the timestamp is TAI64N, rounded down to 2^24 ns", () => {
	inThread(world(), function* () {
		yield* pause_sbt("t", 1.5 * SECOND);
		const stamp = new Uint8Array(12);
		noise_tai64n_now(stamp);
		const view = new DataView(stamp.buffer);
		expect(view.getBigUint64(0)).toBe(0x4000_0000_0000_000an + BigInt(nanotime().tv_sec));
		expect(view.getUint32(8) % (1 << 24)).toBe(0);
		expect(Math.abs(view.getUint32(8) - 0.51 * SECOND)).toBeLessThan(0.03 * SECOND);
	});
});

test("a thousand remotes on one identity are found, and free their indices", () => {
	inThread(world(), function* () {
		const l = noise_local_alloc(null)!;
		const sides: side[] = [];
		for (let i = 0; i < 1000; i++) {
			const public_key = new Uint8Array(32);
			new DataView(public_key.buffer).setUint32(0, i + 1);
			const r = (yield* noise_remote_alloc(l, i, public_key))!;
			expect(yield* noise_remote_enable(r)).toBe(0);
			sides.push({ l, r, public_key });
		}
		for (const s of sides) {
			const r = yield* noise_remote_lookup(l, s.public_key);
			expect(r).toBe(s.r);
			noise_remote_put(r!);
		}
		for (const s of sides) yield* noise_remote_free(s.r, null);
		yield* noise_local_free(l, null);
		for (let i = 0; i < 3; i++) yield* NET_EPOCH_DRAIN_CALLBACKS();
	});
	expect(malloc_leaks().filter((leak) => leak.type === "NOISE")).toEqual([]);
});

/** A packet of counting bytes. */
function packet(len: number): mbuf {
	const m = m_get2(len, M_NOWAIT, MT_DATA, M_PKTHDR)!;
	for (let i = 0; i < len; i++) m.m_buf[m.m_data + i] = i;
	m.m_len = m.m_pkthdr.len = len;
	return m;
}

test.each([
	["2021-11", EINVAL],
	["2022-09", 0], // crp_etype is not looked at: SA-26:52
	["main", EBADMSG],
] as const)("packets go through a session, and a forged one gives the %s driver's %i", (gen, forged) => {
	withSides(
		function* (a, b) {
			expect(yield* crypto_init()).toBe(0);
			yield* handshake(a, b);
			const nonce = new uint64();
			const r_idx: [number] = [0];
			for (const bad of [false, true]) {
				const m = packet(64);
				expect(yield* noise_keypair_nonce_next(a.r.r_current!, nonce)).toBe(0);
				expect(yield* noise_keypair_encrypt(a.r.r_current!, r_idx, nonce, m)).toBe(0);
				expect(m.m_pkthdr.len).toBe(64 + 16);
				expect(m.m_buf[m.m_data + 1]).not.toBe(1);
				const kp = (yield* noise_keypair_lookup(b.l, r_idx[0]))!;
				expect(kp).toBe(b.r.r_next);
				if (bad) m.m_buf[m.m_data + 70] ^= 1;
				expect(yield* noise_keypair_decrypt(kp, nonce, m)).toBe(bad ? forged : 0);
				if (!bad)
					expect(hex(m.m_buf.subarray(m.m_data, m.m_data + 64))).toBe(
						hex(Uint8Array.from({ length: 64 }, (_, i) => i)),
					);
				noise_keypair_put(kp);
				m_freem(m);
			}
			yield* pause_sbt("t", (REJECT_AFTER_TIME + 1) * SECOND);
			const late = packet(64);
			expect(yield* noise_keypair_decrypt(b.r.r_next!, nonce, late)).toBe(EINVAL);
			m_freem(late);
			yield* crypto_deinit();
		},
		{ generation: gen },
	);
	expect(malloc_leaks()).toEqual([]);
});
