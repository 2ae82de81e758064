/** Each of the driver's timers at its edge: what happens just before it, and just after. Idle time costs nothing here. */
// what comes out of the tunnel is dropped by IP, which knows no such address
import "../../../src/kernel/netinet/ip_input.ts";
import { describe, expect, test } from "vitest";
import { wg_timers_event_want_initiation, wg_xmit } from "../../../src/dev/wg/if_wg.ts";
import type { wg_peer } from "../../../src/dev/wg/if_wg_var.ts";
import {
	KEEPALIVE_TIMEOUT,
	REJECT_AFTER_MESSAGES,
	REJECT_AFTER_TIME,
	REKEY_AFTER_MESSAGES,
	REKEY_AFTER_TIME,
	REKEY_AFTER_TIME_RECV,
	REKEY_TIMEOUT,
} from "../../../src/dev/wg/wg_noise.ts";
import { callout_pending } from "../../../src/kernel/callout/callout.ts";
import { IFCOUNTER_IERRORS, IFCOUNTER_IPACKETS } from "../../../src/kernel/ifnet/if_var.ts";
import { AF_INET, sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import { nvlist_add_number } from "../../../src/kernel/nv.ts";
import { sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { connected_rigs, ipv4_packet, mbuf_of, type rig, settle, two_rigs, wg_world } from "./rig.ts";
import { inThread } from "./support.ts";

const SRC = 0x0a000001;
const DST = 0x0a000002;
const SECOND = 1_000_000_000;
/** How close to an edge: clock ticks are of 1 ms, and a handshake takes less than one. */
const NEAR = 5_000_000;
/** REKEY_TIMEOUT_JITTER, ms, and the tick it may take longer */
const JITTER_NS = 335_000_000;
const KEEPALIVE_LEN = 32;

const INITIATION = 1;
const DATA = 4;

function peer_of(r: rig): wg_peer {
	return r.sc.sc_peers_first!;
}

/** Sends one packet through an interface, and lets the tasks do theirs. */
function* xmit(r: rig): Blocking<void> {
	yield* wg_xmit(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), AF_INET, r.ifp.if_mtu);
	yield* settle(1);
}

/** Waits until it is so late. */
function until(ns: number): Blocking<unknown> {
	return pause_sbt("until", ns - sbinuptime());
}

function count(r: rig, type: number): number {
	return r.sent.filter(({ data }) => data[0] === type).length;
}

/** Notes when messages of a type are sent, from now on. */
function times(r: rig, type: number): number[] {
	const list: number[] = [];
	r.answer = (d) => {
		if (d.data[0] === type) list.push(sbinuptime());
		return 0;
	};
	return list;
}

function counter(r: rig, which: number): number {
	return r.ifp.if_counters[which]!;
}

/** Two connected interfaces for `main`, and their end. The first one began the session. */
function with_session(main: (a: rig, b: rig) => Blocking<void>): void {
	inThread(wg_world(), function* () {
		const [a, b] = yield* connected_rigs();
		yield* main(a, b);
		yield* a.destroy();
		yield* b.destroy();
	});
}

/** Nothing that `r` sends arrives. */
function cut(r: rig): void {
	r.other = null;
}

describe("a handshake nobody answers", () => {
	test("is tried 20 times, every 5 s and up to a third, then given up with what was staged", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			cut(a);
			const sent = times(a, INITIATION);
			yield* xmit(a);
			yield* pause_sbt("retries", 103 * SECOND);
			expect(sent).toHaveLength(20);
			for (let i = 1; i < sent.length; i++) {
				expect(sent[i] - sent[i - 1]).toBeGreaterThan(REKEY_TIMEOUT * SECOND);
				expect(sent[i] - sent[i - 1]).toBeLessThan(REKEY_TIMEOUT * SECOND + JITTER_NS + NEAR);
			}
			expect(peer_of(a).p_stage_queue.q_len).toBe(1);
			yield* pause_sbt("the end", 6 * SECOND);
			expect(peer_of(a).p_stage_queue.q_len).toBe(0);
			expect(callout_pending(peer_of(a).p_zero_key_material)).toBe(true);
			yield* pause_sbt("silence", 60 * SECOND);
			expect(sent).toHaveLength(20);

			// the next packet begins anew
			yield* xmit(a);
			expect(sent).toHaveLength(21);
			yield* a.destroy();
			yield* b.destroy();
		});
	});

	test("ends as soon as it is answered", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			cut(a);
			yield* xmit(a);
			yield* pause_sbt("retries", 7 * SECOND);
			expect(count(a, INITIATION)).toBe(2);
			a.other = b;
			yield* pause_sbt("retries", 30 * SECOND);
			expect(count(a, INITIATION)).toBe(3);
			expect(callout_pending(peer_of(a).p_retry_handshake)).toBe(false);
			// what was staged went out with the new session
			expect(a.sent.filter(({ data }) => data[0] === DATA && data.length > KEEPALIVE_LEN)).toHaveLength(1);
			yield* a.destroy();
			yield* b.destroy();
		});
	});

	test("is not begun again within 5 s, whoever wants it", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			cut(a);
			yield* xmit(a);
			const began = peer_of(a).p_remote.r_last_sent;
			yield* until(began + REKEY_TIMEOUT * SECOND - NEAR);
			yield* wg_timers_event_want_initiation(peer_of(a));
			expect(count(a, INITIATION)).toBe(1);
			yield* until(began + REKEY_TIMEOUT * SECOND + JITTER_NS + NEAR);
			expect(count(a, INITIATION)).toBe(2);
			yield* a.destroy();
			yield* b.destroy();
		});
	});
});

describe("the age of a session", () => {
	test("120 s: its initiator begins a new one when it sends, the responder does not", () => {
		with_session(function* (a, b) {
			cut(a);
			const age = peer_of(a).p_remote.r_current!.kp_birthdate + REKEY_AFTER_TIME * SECOND;
			yield* until(age - NEAR);
			yield* xmit(a);
			expect([count(a, DATA), count(a, INITIATION)]).toEqual([1, 0]);
			yield* until(age + NEAR);
			cut(b);
			yield* xmit(b);
			expect([count(b, DATA), count(b, INITIATION)]).toEqual([1, 0]);
			yield* xmit(a);
			expect([count(a, DATA), count(a, INITIATION)]).toEqual([2, 1]);
		});
	});

	test("165 s: its initiator begins a new one when it receives", () => {
		with_session(function* (a, b) {
			const age = peer_of(a).p_remote.r_current!.kp_birthdate + REKEY_AFTER_TIME_RECV * SECOND;
			yield* until(age - NEAR);
			yield* xmit(b);
			expect(count(a, INITIATION)).toBe(0);
			yield* until(age + NEAR);
			yield* xmit(b);
			expect(count(a, INITIATION)).toBe(1);
			expect(count(b, INITIATION)).toBe(0);
		});
	});

	test("180 s: nothing is sent with it any more, a new one is begun instead", () => {
		with_session(function* (_a, b) {
			cut(b);
			const age = peer_of(b).p_remote.r_current!.kp_birthdate + REJECT_AFTER_TIME * SECOND;
			yield* until(age - NEAR);
			yield* xmit(b);
			expect([count(b, DATA), count(b, INITIATION)]).toEqual([1, 0]);
			yield* until(age + NEAR);
			yield* xmit(b);
			expect([count(b, DATA), count(b, INITIATION)]).toEqual([1, 1]);
			expect(peer_of(b).p_stage_queue.q_len).toBe(1);
		});
	});

	test("180 s: nothing is received with it any more", () => {
		with_session(function* (a, b) {
			cut(a);
			yield* xmit(a);
			yield* xmit(a);
			const [first, second] = a.sent.map(({ data }) => data);
			const age = peer_of(b).p_remote.r_current!.kp_birthdate + REJECT_AFTER_TIME * SECOND;
			const received = counter(b, IFCOUNTER_IPACKETS);
			yield* until(age - NEAR);
			yield* b.receive(first, a.address);
			yield* settle(1);
			expect(counter(b, IFCOUNTER_IPACKETS)).toBe(received + 1);
			yield* until(age + NEAR);
			yield* b.receive(second, a.address);
			yield* settle(1);
			expect(counter(b, IFCOUNTER_IPACKETS)).toBe(received + 1);
			expect(counter(b, IFCOUNTER_IERRORS)).toBe(1);
		});
	});

	test("540 s: its keys are wiped, on both sides", () => {
		with_session(function* (a, b) {
			const remotes = [a, b].map((r) => peer_of(r).p_remote);
			const age = Math.min(...remotes.map((r) => r.r_current!.kp_birthdate)) + 3 * REJECT_AFTER_TIME * SECOND;
			yield* until(age - NEAR);
			for (const r of remotes) expect(r.r_current).not.toBe(null);
			yield* until(age + 2 * NEAR);
			for (const r of remotes) expect([r.r_next, r.r_current, r.r_previous]).toEqual([null, null, null]);
			expect(a.sent.concat(b.sent)).toEqual([]);
		});
	});
});

describe("keepalives", () => {
	test("10 s after data came in and nothing went back", () => {
		with_session(function* (a, b) {
			yield* xmit(a);
			const received = sbinuptime();
			yield* until(received + KEEPALIVE_TIMEOUT * SECOND - NEAR);
			expect(b.sent).toEqual([]);
			yield* until(received + KEEPALIVE_TIMEOUT * SECOND + NEAR);
			expect(b.sent.map(({ data }) => data.length)).toEqual([KEEPALIVE_LEN]);
			yield* pause_sbt("silence", 100 * SECOND);
			expect(b.sent).toHaveLength(1);
			expect(count(a, INITIATION)).toBe(0);
		});
	});

	test("one only, also when more data came in meanwhile: going out it stops the timer that was armed for the second", () => {
		with_session(function* (a, b) {
			const sent = times(b, DATA);
			yield* xmit(a);
			yield* xmit(a);
			expect(peer_of(b).p_need_another_keepalive).toBe(true);
			yield* pause_sbt("both", 30 * SECOND);
			expect(sent).toHaveLength(1);
			expect(peer_of(b).p_need_another_keepalive).toBe(false);
		});
	});

	test("none, when data went back", () => {
		with_session(function* (a, b) {
			yield* xmit(a);
			yield* pause_sbt("a while", 9 * SECOND);
			yield* xmit(b);
			yield* pause_sbt("silence", 9 * SECOND);
			expect(b.sent.map(({ data }) => data.length > KEEPALIVE_LEN)).toEqual([true]);
		});
	});

	test("every so often when persistent, counted from the last message in either direction", () => {
		with_session(function* (a, b) {
			const interval = 15 * SECOND;
			const sent = times(a, DATA);
			yield* a.set_peer(b.public_key, (nvl) => nvlist_add_number(nvl, "persistent-keepalive-interval", 15));
			yield* pause_sbt("four", 4 * interval - NEAR);
			// one at once
			expect(sent).toHaveLength(4);
			for (let i = 1; i < sent.length; i++) expect(Math.abs(sent[i] - sent[i - 1] - interval)).toBeLessThan(NEAR);
			yield* until(sent[3] + 4 * SECOND);
			yield* xmit(b);
			const heard = sbinuptime();
			// the answer to that, ten seconds later, is a message too
			yield* until(heard + KEEPALIVE_TIMEOUT * SECOND + NEAR);
			expect(sent).toHaveLength(5);
			yield* until(sent[4] + interval - NEAR);
			expect(sent).toHaveLength(5);
			yield* until(sent[4] + interval + NEAR);
			expect(sent).toHaveLength(6);
		});
	});
});

describe("a peer that is silent", () => {
	test("is sent a new initiation 15 s, and up to a third, after data", () => {
		with_session(function* (a) {
			cut(a);
			yield* xmit(a);
			const sent = sbinuptime();
			yield* until(sent + (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT) * SECOND - NEAR);
			expect(count(a, INITIATION)).toBe(0);
			yield* until(sent + (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT) * SECOND + JITTER_NS + NEAR);
			expect(count(a, INITIATION)).toBe(1);
		});
	});

	test("is not after a keepalive only", () => {
		with_session(function* (a, b) {
			yield* xmit(b);
			cut(a);
			cut(b);
			yield* pause_sbt("keepalive", 40 * SECOND);
			expect(a.sent.map(({ data }) => data.length)).toEqual([KEEPALIVE_LEN]);
		});
	});
});

describe("roaming", () => {
	test("the endpoint is where the last good message came from", () => {
		with_session(function* (a, b) {
			cut(a);
			yield* xmit(a);
			const [{ data }] = a.sent;
			const elsewhere = new sockaddr_in(0xc0a80001, 1234);
			yield* b.receive(data, elsewhere);
			yield* settle();
			expect(peer_of(b).p_endpoint.r_sin).toMatchObject({ sin_addr: 0xc0a80001, sin_port: 1234 });
			yield* xmit(b);
			expect(b.sent[0].to).toMatchObject({ sin_addr: 0xc0a80001, sin_port: 1234 });
		});
	});

	test("a message seen before, or altered, moves nothing", () => {
		with_session(function* (a, b) {
			yield* xmit(a);
			cut(a);
			yield* xmit(a);
			const [seen, fresh] = a.sent.map(({ data }) => data);
			const altered = fresh.slice();
			altered[20] ^= 1;
			const elsewhere = new sockaddr_in(0xc0a80001, 1234);
			for (const data of [seen, altered]) yield* b.receive(data, elsewhere);
			yield* settle();
			expect(counter(b, IFCOUNTER_IERRORS)).toBe(2);
			expect(peer_of(b).p_endpoint.r_sin).toMatchObject({ sin_addr: a.address.sin_addr, sin_port: 51820 });
		});
	});

	test("a whole handshake from another place moves the endpoint too", () => {
		with_session(function* (a, b) {
			yield* pause_sbt("a while", 6 * SECOND);
			cut(a);
			yield* wg_timers_event_want_initiation(peer_of(a));
			const { data } = a.sent.find((d) => d.data[0] === INITIATION)!;
			yield* b.receive(data, new sockaddr_in(0xc0a80002, 99));
			yield* settle();
			expect(peer_of(b).p_endpoint.r_sin).toMatchObject({ sin_addr: 0xc0a80002, sin_port: 99 });
		});
	});
});

describe("the number of messages of a session", () => {
	/** Makes it so that the next message of `r` has this number. */
	function set_counter(r: rig, next: bigint): void {
		const kp = peer_of(r).p_remote.r_current!;
		kp.kp_nonce_base = next - BigInt(kp.kp_nonce_send);
	}

	test.each(["initiator", "responder"])("after 2^60 the %s begins a new one", (who) => {
		with_session(function* (a, b) {
			const [from, to] = who === "initiator" ? [a, b] : [b, a];
			yield* pause_sbt("a while", 6 * SECOND);
			const received = counter(to, IFCOUNTER_IPACKETS);
			set_counter(from, REKEY_AFTER_MESSAGES - 2n);
			yield* xmit(from);
			yield* xmit(from);
			expect(count(from, INITIATION)).toBe(0);
			expect(counter(to, IFCOUNTER_IPACKETS)).toBe(received + 2);
			yield* xmit(from);
			expect(count(from, INITIATION)).toBe(1);
			yield* settle();
			const { r_current, r_next } = peer_of(from).p_remote;
			expect((r_next ?? r_current)!.kp_nonce_base).toBe(0n);
		});
	});

	test("near 2^64 nothing is sent with it any more", () => {
		with_session(function* (a, b) {
			cut(a);
			const received = counter(b, IFCOUNTER_IPACKETS);
			set_counter(a, REJECT_AFTER_MESSAGES - 1n);
			yield* xmit(a);
			yield* xmit(a);
			const data = a.sent.filter((d) => d.data[0] === DATA).map((d) => d.data);
			expect(data).toHaveLength(1);
			expect(new DataView(data[0].buffer).getBigUint64(8, true)).toBe(REJECT_AFTER_MESSAGES - 1n);
			expect(peer_of(a).p_stage_queue.q_len).toBe(1);
			// and the other side takes the last one there can be
			yield* b.receive(data[0], a.address);
			yield* settle();
			expect(counter(b, IFCOUNTER_IPACKETS)).toBe(received + 1);
		});
	});
});
