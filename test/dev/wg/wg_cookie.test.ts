import { expect, test } from "vitest";
import {
	cookie_mac_test,
	cookie_ratelimit_capacity_test,
	cookie_ratelimit_gc_test,
	cookie_ratelimit_timings_test,
	cookie_selftest,
} from "../../../src/dev/wg/selftest/cookie.ts";
import { selftest_message } from "../../../src/dev/wg/selftest/printf.ts";
import {
	COOKIE_ENCRYPTED_SIZE,
	COOKIE_INPUT_SIZE,
	COOKIE_NONCE_SIZE,
	cookie_checker,
	cookie_checker_create_payload,
	cookie_checker_free,
	cookie_checker_init,
	cookie_checker_update,
	cookie_checker_validate_macs,
	cookie_deinit,
	cookie_init,
	cookie_macs,
	cookie_maker,
	cookie_maker_consume_payload,
	cookie_maker_free,
	cookie_maker_init,
	cookie_maker_mac,
	RATELIMIT_SIZE_MAX,
	ratelimit,
	ratelimit_allow,
	ratelimit_deinit,
	ratelimit_init,
	ratelimit_v4,
	ratelimit_v6,
} from "../../../src/dev/wg/wg_cookie.ts";
import { EAGAIN, ECONNREFUSED, EINVAL, ETIMEDOUT } from "../../../src/kernel/errno.ts";
import { uma_leaks, uma_set_fault, uma_zone_list } from "../../../src/kernel/mbuf/uma.ts";
import { AF_UNIX, type sockaddr, sockaddr_in, sockaddr_in6 } from "../../../src/kernel/netinet/in.ts";
import { vnet } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { inThread, world } from "./support.ts";

const SECOND = 1e9;

/** Runs with the module's part set up, and checks that nothing is left over. */
function withCookies<T>(main: () => Blocking<T>): T {
	const kernel = world();
	const result = inThread(kernel, function* () {
		expect(cookie_init()).toBe(0);
		const value = yield* main();
		yield* cookie_deinit();
		return value;
	});
	expect(uma_leaks().filter((leak) => leak.zone === "wg ratelimit")).toEqual([]);
	return result;
}

test("the driver's self-test passes", () => {
	const messages: string[] = [];
	const stop = selftest_message.listen((message) => messages.push(message));
	expect(withCookies(() => cookie_selftest())).toBe(true);
	stop();
	expect(messages).toEqual([
		"cookie_ratelimit_timings_test: pass\n",
		"cookie_ratelimit_capacity_test: pass\n",
		"cookie_ratelimit_gc_test: pass\n",
		"cookie_mac_test: pass\n",
	]);
});

test("the self-test of timings notices a limiter that forgets, and one that counts ports", () => {
	expect(
		withCookies(() =>
			cookie_ratelimit_timings_test(function* () {
				return 0;
			}),
		),
	).toBe(false);
	expect(
		withCookies(() =>
			cookie_ratelimit_timings_test(function* (rl, sa, vn) {
				const other = new sockaddr_in6();
				other.sin6_addr[0] = (sa as sockaddr_in).sin_port & 0xff;
				other.sin6_addr[1] = (sa as sockaddr_in).sin_port >>> 8;
				return yield* ratelimit_allow(rl, sa.sa_family === 2 ? other : sa, vn);
			}),
		),
	).toBe(false);
});

test("the self-test of capacity notices a table without a bound", () => {
	expect(
		withCookies(() =>
			cookie_ratelimit_capacity_test(function* (rl, sa, vn) {
				rl.rl_table_num = Math.min(rl.rl_table_num, RATELIMIT_SIZE_MAX - 1);
				return yield* ratelimit_allow(rl, sa, vn);
			}),
		),
	).toBe(false);
});

test("the self-test of collection notices that it does not run", () => {
	expect(
		withCookies(() =>
			cookie_ratelimit_gc_test(function* (rl, sa, vn) {
				const ret = yield* ratelimit_allow(rl, sa, vn);
				rl.rl_gc.c_func = function* () {};
				return ret;
			}),
		),
	).toBe(false);
});

test("the self-test of MACs notices an address that does not matter", () => {
	expect(
		withCookies(() =>
			cookie_mac_test((cc, macs, buf, len, check, _sa, vn) =>
				cookie_checker_validate_macs(cc, macs, buf, len, check, new sockaddr_in(1, 51820), vn),
			),
		),
	).toBe(false);
});

/** A checker and a maker for the same key. */
function* pair(): Blocking<[cookie_checker, cookie_maker]> {
	const key = Uint8Array.from({ length: COOKIE_INPUT_SIZE }, (_, i) => i);
	const cc = new cookie_checker();
	const cm = new cookie_maker();
	cookie_checker_init(cc);
	yield* cookie_checker_update(cc, key);
	cookie_maker_init(cm, key);
	return [cc, cm];
}

const message = Uint8Array.from({ length: 116 }, (_, i) => 255 - i);

function* cookie_for(cc: cookie_checker, cm: cookie_maker, sa: sockaddr): Blocking<number> {
	const macs = new cookie_macs();
	const nonce = new Uint8Array(COOKIE_NONCE_SIZE);
	const ecookie = new Uint8Array(COOKIE_ENCRYPTED_SIZE);
	yield* cookie_maker_mac(cm, macs, message, message.length);
	yield* cookie_checker_create_payload(cc, macs, nonce, ecookie, sa);
	return yield* cookie_maker_consume_payload(cm, nonce, ecookie);
}

function* try_under_load(cc: cookie_checker, cm: cookie_maker, sa: sockaddr, vn: vnet | null = null): Blocking<number> {
	const macs = new cookie_macs();
	yield* cookie_maker_mac(cm, macs, message, message.length);
	return yield* cookie_checker_validate_macs(cc, macs, message, message.length, true, sa, vn);
}

test.each([
	["IPv4", new sockaddr_in(0x0a000001, 51820)],
	[
		"IPv6",
		new sockaddr_in6(
			Uint8Array.from({ length: 16 }, (_, i) => i),
			51820,
		),
	],
])("a cookie is used for 115 s and honoured for 120 s, over %s", (_, sa) => {
	withCookies(function* () {
		// past the first two minutes after boot, in which the checker's secret is all zeros, as upstream's
		yield* pause_sbt("boot", 130 * SECOND);
		const [cc, cm] = yield* pair();
		expect(yield* try_under_load(cc, cm, sa)).toBe(EAGAIN);
		expect(yield* cookie_for(cc, cm, sa)).toBe(0);
		expect(yield* try_under_load(cc, cm, sa)).toBe(0);
		yield* pause_sbt("age", 114.9 * SECOND);
		expect(yield* try_under_load(cc, cm, sa)).toBe(0);
		yield* pause_sbt("age", 0.2 * SECOND);
		expect(cm.cm_cookie_valid).toBe(true);
		expect(yield* try_under_load(cc, cm, sa)).toBe(EAGAIN);
		expect(cm.cm_cookie_valid).toBe(false);
		cookie_checker_free(cc);
		cookie_maker_free(cm);
	});
});

test("the checker's secret changes after two minutes, and with it every cookie", () => {
	withCookies(function* () {
		yield* pause_sbt("boot", 130 * SECOND);
		const [cc, cm] = yield* pair();
		const sa = new sockaddr_in(0x0a000001, 51820);
		expect(yield* cookie_for(cc, cm, sa)).toBe(0);
		yield* pause_sbt("age", 100 * SECOND);
		expect(yield* cookie_for(cc, cm, sa)).toBe(0);
		yield* pause_sbt("age", 25 * SECOND);
		expect(yield* try_under_load(cc, cm, sa)).toBe(EAGAIN);
		cookie_checker_free(cc);
		cookie_maker_free(cm);
	});
});

test("a cookie reply without a message, or for another message, is refused", () => {
	withCookies(function* () {
		const [cc, cm] = yield* pair();
		const sa = new sockaddr_in(0x0a000001, 51820);
		const nonce = new Uint8Array(COOKIE_NONCE_SIZE);
		const ecookie = new Uint8Array(COOKIE_ENCRYPTED_SIZE);
		expect(yield* cookie_maker_consume_payload(cm, nonce, ecookie)).toBe(ETIMEDOUT);
		const macs = new cookie_macs();
		yield* cookie_maker_mac(cm, macs, message, message.length);
		yield* cookie_checker_create_payload(cc, macs, nonce, ecookie, sa);
		yield* cookie_maker_mac(cm, new cookie_macs(), message, message.length - 1);
		expect(yield* cookie_maker_consume_payload(cm, nonce, ecookie)).toBe(EINVAL);
		cookie_checker_free(cc);
		cookie_maker_free(cm);
	});
});

test("without a key, or for another family, nothing passes", () => {
	withCookies(function* () {
		const [cc, cm] = yield* pair();
		const unix: sockaddr = { sa_family: AF_UNIX };
		// a cookie for an unknown family is random, so mac2 cannot match
		expect(yield* try_under_load(cc, cm, unix)).toBe(EAGAIN);
		yield* cookie_checker_update(cc, null);
		expect(yield* try_under_load(cc, cm, new sockaddr_in(1, 2))).toBe(EINVAL);
		cookie_checker_free(cc);
		cookie_maker_free(cm);
	});
});

test("network stacks have budgets of their own, and so have the two families", () => {
	withCookies(function* () {
		const one = new vnet(0, "one");
		const two = new vnet(1, "two");
		const sa = new sockaddr_in(0x0a000001, 1);
		for (let i = 0; i < 5; i++) expect(yield* ratelimit_allow(ratelimit_v4(), sa, one)).toBe(0);
		expect(yield* ratelimit_allow(ratelimit_v4(), sa, one)).toBe(ECONNREFUSED);
		expect(yield* ratelimit_allow(ratelimit_v4(), sa, two)).toBe(0);
		expect(yield* ratelimit_allow(ratelimit_v4(), sa, null)).toBe(0);
		expect(ratelimit_v4().rl_table_num).toBe(3);
		expect(ratelimit_v6().rl_table_num).toBe(0);
	});
});

test("a full zone refuses the message", () => {
	withCookies(function* () {
		uma_set_fault((name) => name === "wg ratelimit");
		expect(yield* ratelimit_allow(ratelimit_v4(), new sockaddr_in(9, 9), null)).toBe(ECONNREFUSED);
		uma_set_fault(null);
		expect(ratelimit_v4().rl_table_num).toBe(0);
		expect(yield* ratelimit_allow(ratelimit_v4(), new sockaddr_in(9, 9), null)).toBe(0);
	});
});

test("collection goes on while entries remain, and stops when none do", () => {
	withCookies(function* () {
		const rl = new ratelimit();
		ratelimit_init(rl);
		yield* ratelimit_allow(rl, new sockaddr_in(1, 1), null);
		yield* pause_sbt("t", 0.7 * SECOND);
		yield* ratelimit_allow(rl, new sockaddr_in(2, 1), null);
		yield* pause_sbt("t", 0.5 * SECOND);
		// at 1.0 s neither entry is older than a second; strictly
		expect(rl.rl_table_num).toBe(2);
		yield* pause_sbt("t", 1 * SECOND);
		expect(rl.rl_table_num).toBe(0);
		expect(rl.rl_gc.c_flags & 4).toBe(0);
		yield* ratelimit_deinit(rl);
		expect(uma_zone_list().find((zone) => zone.name === "wg ratelimit")?.used).toBe(0);
	});
});
