/** Every limit of age at the instant itself: all of them are strict, so the limit still is good and the next nanosecond is not. */
import { describe, expect, test } from "vitest";
import {
	cookie_checker,
	cookie_checker_init,
	cookie_checker_update,
	cookie_macs,
	cookie_maker,
	cookie_maker_init,
	cookie_maker_mac,
	make_cookie,
	timer_expired,
} from "../../../src/dev/wg/wg_cookie.ts";
import {
	noise_keep_key_fresh_recv,
	noise_keep_key_fresh_send,
	noise_keypair_current,
	noise_keypair_decrypt,
	noise_keypair_put,
	noise_timer_expired,
	REJECT_AFTER_TIME,
	REKEY_TIMEOUT,
	uint64_of,
} from "../../../src/dev/wg/wg_noise.ts";
import { EINVAL, ETIMEDOUT } from "../../../src/kernel/errno.ts";
import { m_freem } from "../../../src/kernel/mbuf/mbuf.ts";
import { sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import { getsbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { mbuf_of } from "./rig.ts";
import { accept, free_sides, handshake, initiate, inThread, respond, type side, two_sides, world } from "./support.ts";

const SECOND = 1_000_000_000;

/** The verdict just before an age of so many seconds, at it, and just after it. */
function* around(seconds: number, born: (at: number) => void, verdict: () => Blocking<unknown>): Blocking<unknown[]> {
	const list: unknown[] = [];
	for (const past of [-1, 0, 1]) {
		born(getsbinuptime() - seconds * SECOND - past);
		list.push(yield* verdict());
	}
	return list;
}

function with_session(main: (a: side, b: side) => Blocking<void>): void {
	inThread(world(), function* () {
		const sides = yield* two_sides();
		yield* pause_sbt("a while", 600 * SECOND);
		expect(yield* handshake(sides[0], sides[1])).toBe(0);
		yield* main(...sides);
		yield* free_sides(sides);
	});
}

describe("a session's age", () => {
	test("120 s when its initiator sends, 165 s when it receives: renewed afterwards", () => {
		with_session(function* (a) {
			const kp = a.r.r_current!;
			const born = (at: number) => {
				kp.kp_birthdate = at;
			};
			const send = yield* around(120, born, () => noise_keep_key_fresh_send(a.r));
			const recv = yield* around(165, born, () => noise_keep_key_fresh_recv(a.r));
			for (const verdicts of [send, recv]) {
				expect(verdicts.slice(0, 2)).toEqual([0, 0]);
				expect(verdicts[2]).not.toBe(0);
			}
		});
	});

	test("180 s: still used to send, and to receive, and then not", () => {
		with_session(function* (a) {
			const kp = a.r.r_current!;
			const born = (at: number) => {
				kp.kp_birthdate = at;
			};
			const sends = yield* around(REJECT_AFTER_TIME, born, function* () {
				const current = yield* noise_keypair_current(a.r);
				if (current !== null) noise_keypair_put(current);
				return current !== null;
			});
			expect(sends).toEqual([true, true, false]);
			const receives = yield* around(REJECT_AFTER_TIME, born, function* () {
				const m = mbuf_of(new Uint8Array(64));
				const error = yield* noise_keypair_decrypt(kp, uint64_of(1n), m);
				m_freem(m);
				return error;
			});
			// rubbish either way, which is found out only while the key may be used
			const [before, at, after] = receives;
			expect([before, at]).toEqual([before, before]);
			expect(after).toBe(EINVAL);
			expect(before).not.toBe(EINVAL);
		});
	});
});

describe("handshakes", () => {
	test("5 s after the last message an initiation is not made yet", () => {
		inThread(world(), function* () {
			const sides = yield* two_sides();
			yield* pause_sbt("a while", 60 * SECOND);
			const made = yield* around(
				REKEY_TIMEOUT,
				(at) => {
					sides[0].r.r_last_sent = at;
				},
				function* () {
					const [error] = yield* initiate(sides[0]);
					return error;
				},
			);
			expect(made).toEqual([EINVAL, EINVAL, 0]);
			yield* free_sides(sides);
		});
	});

	test("20 ms after the last one an initiation is a flood still", () => {
		inThread(world(), function* () {
			const [a, b] = yield* two_sides();
			yield* pause_sbt("a while", 60 * SECOND);
			const taken = yield* around(
				0.02,
				(at) => {
					b.r.r_last_init_recv = at;
				},
				function* () {
					// each must be of a later time than the last, whose clock has steps of 16 ms
					const since = getsbinuptime() - b.r.r_last_init_recv;
					a.r.r_last_sent = -10 * SECOND;
					yield* pause_sbt("tai64n", 0.04 * SECOND);
					const [error, message] = yield* initiate(a);
					expect(error).toBe(0);
					// the remote's clock starts again where it was, right after a tick, so that none comes while the message is read
					yield* pause_sbt("tick", 0.002 * SECOND);
					b.r.r_last_init_recv = getsbinuptime() - since;
					const verdict = yield* accept(b, message);
					if (verdict === 0) yield* respond(b);
					return verdict;
				},
			);
			expect(taken).toEqual([EINVAL, EINVAL, 0]);
			yield* free_sides([a, b]);
		});
	});

	test("both files' clocks are strict, and tick", () => {
		inThread(world(), function* () {
			yield* pause_sbt("a while", 10 * SECOND);
			const now = getsbinuptime();
			for (const expired of [noise_timer_expired, timer_expired]) {
				expect([1, 0, -1].map((past) => expired(now - 2 * SECOND + past, 2, 0))).toEqual([0, 0, ETIMEDOUT]);
				expect([1, 0, -1].map((past) => expired(now - 7 + past, 0, 7))).toEqual([0, 0, ETIMEDOUT]);
			}
		});
	});
});

describe("cookies", () => {
	test("a cookie is used up to 115 s, a secret up to 120 s", () => {
		inThread(world(), function* () {
			yield* pause_sbt("a while", 600 * SECOND);
			const key = new Uint8Array(32).fill(3);
			const cm = new cookie_maker();
			cookie_maker_init(cm, key);
			const macs = new cookie_macs();
			const used = yield* around(
				115,
				(at) => {
					cm.cm_cookie_valid = true;
					cm.cm_cookie_birthdate = at;
				},
				function* () {
					yield* cookie_maker_mac(cm, macs, key, key.length);
					return macs.mac2.some((byte) => byte !== 0);
				},
			);
			expect(used).toEqual([true, true, false]);

			const cc = new cookie_checker();
			cookie_checker_init(cc);
			yield* cookie_checker_update(cc, key);
			const cookie = new Uint8Array(16);
			const kept = yield* around(
				120,
				(at) => {
					cc.cc_secret.fill(1);
					cc.cc_secret_birthdate = at;
				},
				function* () {
					yield* make_cookie(cc, cookie, new sockaddr_in(1, 2));
					return cc.cc_secret.every((byte) => byte === 1);
				},
			);
			expect(kept).toEqual([true, true, false]);
		});
	});
});
