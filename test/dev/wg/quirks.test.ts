/** Upstream behaviours that look wrong and are kept: PORTING.md lists them, and each is shown here or where that list says. */
import { describe, expect, test } from "vitest";
import {
	calculate_padding,
	MAX_QUEUED_HANDSHAKES,
	MAX_QUEUED_PKT,
	MAX_STAGED_PKT,
	SIZEOF_WG_PKT_COOKIE,
	SIZEOF_WG_PKT_INITIATION,
	SIZEOF_WG_PKT_RESPONSE,
	WG_PKT_INITIATION,
	wg_aip_add,
	wg_down,
	wg_handshake,
	wg_output,
	wg_packet_alloc,
	wg_packet_free,
	wg_peer_set_endpoint,
	wg_prison_remove,
	wg_queue_both,
	wg_queue_deinit,
	wg_queue_delist_staged,
	wg_queue_dequeue_parallel,
	wg_queue_dequeue_serial,
	wg_queue_enlist_staged,
	wg_queue_init,
	wg_queue_push_staged,
	wg_send,
	wg_send_buf,
	wg_timers_disable,
	wg_timers_event_want_initiation,
	wg_timers_run_retry_handshake,
	wg_timers_run_send_initiation,
	wg_timers_run_zero_key_material,
	wg_up,
	wg_xmit,
} from "../../../src/dev/wg/if_wg.ts";
import {
	WG_PACKET_DEAD,
	wg_endpoint,
	type wg_packet,
	wg_packet_list,
	type wg_peer,
	wg_queue,
} from "../../../src/dev/wg/if_wg_var.ts";
import { cookie_ratelimit_timings_test } from "../../../src/dev/wg/selftest/cookie.ts";
import {
	COOKIE_ENCRYPTED_SIZE,
	COOKIE_INPUT_SIZE,
	COOKIE_NONCE_SIZE,
	cookie_checker,
	cookie_checker_create_payload,
	cookie_checker_init,
	cookie_checker_update,
	cookie_macs,
	cookie_maker,
	cookie_maker_consume_payload,
	cookie_maker_init,
	cookie_maker_mac,
	ratelimit_allow,
} from "../../../src/dev/wg/wg_cookie.ts";
import {
	noise_keypair_current,
	noise_local_private,
	noise_remote_arg,
	noise_remote_lookup,
	noise_remote_put,
	REJECT_AFTER_MESSAGES,
	REKEY_TIMEOUT,
} from "../../../src/dev/wg/wg_noise.ts";
import { callout_pending, callout_reset } from "../../../src/kernel/callout/callout.ts";
import {
	EADDRNOTAVAIL,
	EAFNOSUPPORT,
	EBUSY,
	ECONNREFUSED,
	EINVAL,
	ENOBUFS,
	ENOMEM,
	ENOTCONN,
} from "../../../src/kernel/errno.ts";
import {
	IFCOUNTER_IERRORS,
	IFCOUNTER_OERRORS,
	IFCOUNTER_OQDROPS,
	IFF_DRV_RUNNING,
	IFF_UP,
} from "../../../src/kernel/ifnet/if_var.ts";
import { SIOCSIFADDR } from "../../../src/kernel/ifnet/sockio.ts";
import { prison0 } from "../../../src/kernel/jail/jail.ts";
import { mtx_lock, mtx_unlock } from "../../../src/kernel/lock/mutex.ts";
import { rm_wowned } from "../../../src/kernel/lock/rmlock.ts";
import { rw_rlock, rw_runlock, rw_wlock, rw_wunlock } from "../../../src/kernel/lock/rwlock.ts";
import { malloc_leaks } from "../../../src/kernel/mbuf/malloc.ts";
import { AF_INET, AF_INET6, in_get32, sockaddr_in6 } from "../../../src/kernel/netinet/in.ts";
import {
	nvlist_add_binary,
	nvlist_add_number,
	nvlist_add_nvlist_array,
	nvlist_create,
	nvlist_destroy,
} from "../../../src/kernel/nv.ts";
import { RADIX_NODE_HEAD_UNLOCK } from "../../../src/kernel/route/radix.ts";
import { arc4random_buf, getsbinuptime, sbinuptime } from "../../../src/kernel/sched/kernel.ts";
import { kthread_wait, uthread_add } from "../../../src/kernel/sched/kthread.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, cost, sync, type thread } from "../../../src/kernel/sched/thread.ts";
import { gtask_enqueue } from "../../../src/kernel/taskqueue/gtaskqueue.ts";
import {
	connected_rigs,
	ipv4_packet,
	mbuf_of,
	new_rig,
	type rig,
	settle,
	sockaddr_bytes,
	two_rigs,
	wg_world,
} from "./rig.ts";
import { inThread } from "./support.ts";

const SRC = 0x0a000001;
const DST = 0x0a000002;

function peer_of(r: rig): wg_peer {
	return r.sc.sc_peers_first!;
}

function counter(r: rig, which: number): number {
	return r.ifp.if_counters[which]!;
}

/** Sends one packet through an interface. */
function xmit(r: rig): Blocking<number> {
	return wg_xmit(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), AF_INET, r.ifp.if_mtu);
}

function packet(): wg_packet {
	return wg_packet_alloc(mbuf_of(ipv4_packet(SRC, DST)))!;
}

/** The nonces of the data messages sent, in the order sent. */
function nonces(r: rig): number[] {
	return r.sent.filter(({ data }) => data[0] === 4).map(({ data }) => new DataView(data.buffer).getUint32(8, true));
}

/** Passes time without sleeping, which nobody may who holds a mutex. */
function* spin(ms: number): Blocking<void> {
	for (let i = 0; i < ms; i++) {
		charge(1e6);
		yield* sync();
	}
}

/** A thread that holds a lock until it is told to let go, and has it when this returns. */
class holder {
	held = false;
	released = false;
	private readonly lock: () => Blocking<void>;
	private readonly unlock: () => Blocking<void>;

	constructor(lock: () => Blocking<void>, unlock: () => Blocking<void>) {
		this.lock = lock;
		this.unlock = unlock;
	}

	*start(): Blocking<thread> {
		const td = uthread_add((self: holder) => self.main(), this as holder, "holder");
		while (!this.held) yield* settle(1);
		return td;
	}

	private *main(): Blocking<void> {
		yield* this.lock();
		this.held = true;
		while (!this.released) yield* spin(1);
		yield* this.unlock();
	}
}

function* destroy(...rigs: rig[]): Blocking<void> {
	for (const r of rigs) yield* r.destroy();
}

describe("queues", () => {
	test("a packet that finds the parallel queue full stays on the serial one, dead, and nobody is woken (L-1)", () => {
		inThread(wg_world(), function* () {
			const parallel = new wg_queue();
			const others = new wg_queue();
			const serial = new wg_queue();
			for (const q of [parallel, others, serial]) wg_queue_init(q, "test");
			for (let i = 0; i < MAX_QUEUED_PKT; i++) expect(yield* wg_queue_both(parallel, others, packet())).toBe(0);

			let woken = 0;
			const stop = gtask_enqueue.listen(() => woken++);
			const pkt = packet();
			expect(yield* wg_queue_both(parallel, serial, pkt)).toBe(ENOBUFS);
			stop();
			expect(woken).toBe(0);
			expect(pkt.p_state).toBe(WG_PACKET_DEAD);
			expect(serial.q_first).toBe(pkt);
			expect(serial.q_len).toBe(1);
			expect(parallel.q_len).toBe(MAX_QUEUED_PKT);

			// it goes when somebody else's packet makes the task look
			expect(yield* wg_queue_dequeue_serial(serial)).toBe(pkt);
			wg_packet_free(pkt);
			yield* wg_queue_deinit(parallel);
		});
	});

	test("such a packet counts twice, when it is queued and when it is reaped (Q-1)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* connected_rigs();
			const peer = peer_of(a);
			const others = new wg_queue();
			wg_queue_init(others, "test");
			const filling: wg_packet[] = [];
			for (let i = 0; i < MAX_QUEUED_PKT; i++) {
				const pkt = packet();
				pkt.p_keypair = yield* noise_keypair_current(peer.p_remote);
				yield* wg_queue_both(a.sc.sc_encrypt_parallel, others, pkt);
				filling.push(pkt);
			}
			yield* xmit(a);
			expect(counter(a, IFCOUNTER_OQDROPS)).toBe(1);
			yield* settle();
			expect(counter(a, IFCOUNTER_OERRORS)).toBe(1);
			expect(nonces(a)).toEqual([]);
			for (const pkt of filling) wg_packet_free(pkt);
			yield* destroy(a, b);
		});
	});

	test("senders to one peer take nonces in one order and places in another (L-2)", () => {
		const disordered = inThread(wg_world("2022-09", { cpus: 4 }), function* () {
			const [a, b] = yield* connected_rigs();
			a.other = null;
			const senders = [0, 1, 2].map(() =>
				uthread_add(
					function* () {
						for (let i = 0; i < 60; i++) yield* xmit(a);
					},
					undefined,
					"sender",
				),
			);
			for (const td of senders) yield* kthread_wait(td);
			yield* settle();
			const order = nonces(a);
			yield* destroy(a, b);
			return order.some((nonce, i) => i > 0 && nonce < order[i - 1]!);
		});
		expect(disordered).toBe(true);
	});

	test("staged packets that must go back end up behind newer ones (L-3)", () => {
		inThread(wg_world(), function* () {
			const staged = new wg_queue();
			const list = new wg_packet_list();
			wg_queue_init(staged, "test");
			const [first, second, newer] = [packet(), packet(), packet()];
			yield* wg_queue_push_staged(staged, first);
			yield* wg_queue_push_staged(staged, second);
			yield* wg_queue_delist_staged(staged, list);
			yield* wg_queue_push_staged(staged, newer);
			yield* wg_queue_enlist_staged(staged, list);
			const order: (wg_packet | null)[] = [];
			for (let i = 0; i < 3; i++) order.push(yield* wg_queue_dequeue_parallel(staged));
			expect(order).toEqual([newer, first, second]);
			for (const pkt of order) wg_packet_free(pkt!);
		});
	});

	test("nonces taken for packets that go back are lost (L-3)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* connected_rigs();
			a.other = null;
			const peer = peer_of(a);
			const kp = peer.p_remote.r_current!;
			// one nonce is left, and two packets come at once
			kp.kp_nonce_base = REJECT_AFTER_MESSAGES - 1n - BigInt(kp.kp_nonce_send);
			const before = kp.kp_nonce_send;
			yield* wg_queue_push_staged(peer.p_stage_queue, packet());
			yield* xmit(a);
			expect(kp.kp_nonce_send).toBe(before + 2);
			expect(kp.kp_can_send).toBe(false);
			expect(peer.p_stage_queue.q_len).toBe(2);
			expect(nonces(a)).toEqual([]);
			yield* destroy(a, b);
		});
	});

	test("a full stage queue drops its oldest packet, and no counter shows it (Q-2)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			a.other = null;
			for (let i = 0; i < MAX_STAGED_PKT + 5; i++) expect(yield* xmit(a)).toBe(0);
			expect(peer_of(a).p_stage_queue.q_len).toBe(MAX_STAGED_PKT);
			expect(counter(a, IFCOUNTER_OQDROPS) + counter(a, IFCOUNTER_OERRORS)).toBe(0);
			yield* destroy(a, b);
		});
	});

	test("a CPU is woken although nothing was queued for it (L-13)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* connected_rigs();
			const serial = peer_of(a).p_encrypt_serial;
			const before = a.sc.sc_encrypt_last_cpu;
			serial.q_len = MAX_QUEUED_PKT;
			yield* xmit(a);
			serial.q_len = 0;
			expect(counter(a, IFCOUNTER_OQDROPS)).toBe(1);
			expect(a.sc.sc_encrypt_last_cpu).not.toBe(before);
			yield* destroy(a, b);
		});
	});
});

describe("endpoints", () => {
	test("a new endpoint is written without the lock, and the old sticky source stays (L-4)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			const peer = peer_of(a);
			peer.p_endpoint.l_in = 0x7f000063;
			yield* rw_wlock(peer.p_endpoint_lock);
			b.address.sin_port = 7;
			expect(
				yield* a.set_peer(b.public_key, (nvl) => nvlist_add_binary(nvl, "endpoint", sockaddr_bytes(b.address))),
			).toBe(0);
			yield* rw_wunlock(peer.p_endpoint_lock);
			expect(peer.p_endpoint.r_sin.sin_port).toBe(7);
			expect(peer.p_endpoint.l_in).toBe(0x7f000063);
			yield* destroy(a, b);
		});
	});

	test("an endpoint is compared without the lock (L-5)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			const peer = peer_of(a);
			const same = new wg_endpoint();
			same.assign(peer.p_endpoint);
			yield* rw_wlock(peer.p_endpoint_lock);
			yield* wg_peer_set_endpoint(peer, same);
			yield* rw_wunlock(peer.p_endpoint_lock);
			yield* destroy(a, b);
		});
	});

	test("a data packet whose source address is gone is lost; a handshake message is sent once more (L-10)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* connected_rigs();
			const peer = peer_of(a);
			a.other = null;
			a.answer = ({ control }) => (control === null ? 0 : EADDRNOTAVAIL);
			peer.p_endpoint.l_in = 0x7f000063;
			yield* xmit(a);
			yield* settle();
			expect(nonces(a)).toEqual([]);
			expect(counter(a, IFCOUNTER_OERRORS)).toBe(1);
			expect(peer.p_endpoint.l_in).toBe(0);

			const e = new wg_endpoint();
			e.assign(peer.p_endpoint);
			e.l_in = 0x7f000063;
			yield* wg_send_buf(a.sc, e, new Uint8Array(SIZEOF_WG_PKT_COOKIE), SIZEOF_WG_PKT_COOKIE);
			expect(a.sent.map(({ data }) => data.length)).toEqual([SIZEOF_WG_PKT_COOKIE]);
			yield* destroy(a, b);
		});
	});

	test("an IPv6 source address goes without its interface (L-22)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			a.other = null;
			const e = new wg_endpoint();
			e.r_family = AF_INET6;
			e.l_in6.set([0xfe, 0x80]);
			e.l_in6[15] = 9;
			expect(yield* wg_send(a.sc, e, mbuf_of(new Uint8Array(32)))).toBe(0);
			const control = a.sent[0]!.control!;
			const at = control.findIndex((byte, i) => byte === 0xfe && control[i + 1] === 0x80);
			expect([...control.subarray(at, at + 20)]).toEqual([...e.l_in6, 0, 0, 0, 0]);
			yield* destroy(a, b);
		});
	});
});

describe("handshakes", () => {
	test("load on one interface makes all of them ask for cookies, for a second (L-6)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			const loaded = yield* new_rig(2);
			const junk = new Uint8Array(SIZEOF_WG_PKT_INITIATION);
			junk[0] = WG_PKT_INITIATION;
			const pkt = wg_packet_alloc(mbuf_of(junk))!;
			pkt.p_endpoint.r_family = AF_INET;
			loaded.sc.sc_handshake_queue.q_len = MAX_QUEUED_HANDSHAKES / 8;
			yield* wg_handshake(loaded.sc, pkt);
			loaded.sc.sc_handshake_queue.q_len = 0;

			yield* wg_timers_event_want_initiation(peer_of(a));
			yield* settle();
			expect(b.sent.map(({ data }) => data.length)).toEqual([SIZEOF_WG_PKT_COOKIE]);

			// the message after that has a cookie, and load is over anyway
			yield* pause_sbt("over", 6e9);
			expect(b.sent[1]!.data.length).toBe(SIZEOF_WG_PKT_RESPONSE);
			yield* destroy(a, b, loaded);
		});
	});

	test("a handshake message that is no good is dropped without a counter (Q-3)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			const junk = new Uint8Array(SIZEOF_WG_PKT_INITIATION);
			junk[0] = WG_PKT_INITIATION;
			yield* a.receive(junk, b.address);
			yield* settle();
			expect(counter(a, IFCOUNTER_IERRORS)).toBe(0);
			expect(peer_of(a).p_rx_bytes).toBe(0);
			yield* destroy(a, b);
		});
	});

	test("a handshake message counts as sent although it could not be (Q-4)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			a.answer = () => ENOTCONN;
			yield* wg_timers_event_want_initiation(peer_of(a));
			expect(a.sent).toEqual([]);
			expect(peer_of(a).p_tx_bytes).toBe(SIZEOF_WG_PKT_INITIATION);
			yield* destroy(a, b);
		});
	});

	test("the count of retries is reset outside its mutex (L-15)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			const peer = peer_of(a);
			a.other = null;
			peer.p_handshake_retries = 5;
			yield* mtx_lock(peer.p_handshake_mtx);
			yield* wg_timers_run_send_initiation(peer, false);
			expect(peer.p_handshake_retries).toBe(0);
			yield* mtx_unlock(peer.p_handshake_mtx);
			yield* destroy(a, b);
		});
	});

	test("a retry that comes exactly five seconds after the last message sends nothing, and is not tried again (L-20)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			const peer = peer_of(a);
			a.other = null;
			peer.p_remote.r_last_sent = getsbinuptime() - REKEY_TIMEOUT * 1e9;
			yield* wg_timers_run_retry_handshake(peer);
			expect(a.sent).toEqual([]);
			expect(peer.p_handshake_retries).toBe(1);
			expect(callout_pending(peer.p_retry_handshake)).toBe(false);
			yield* destroy(a, b);
		});
	});

	test("two cookie replies at once are both accepted (L-16)", () => {
		const results = inThread(wg_world("2022-09", { cpus: 4 }), function* () {
			const maker = new cookie_maker();
			const checker = new cookie_checker();
			const macs = new cookie_macs();
			const key = new Uint8Array(COOKIE_INPUT_SIZE);
			const message = new Uint8Array(64);
			arc4random_buf(key);
			cookie_maker_init(maker, key);
			cookie_checker_init(checker);
			yield* cookie_checker_update(checker, key);
			yield* cookie_maker_mac(maker, macs, message, message.length);
			const nonce = new Uint8Array(COOKIE_NONCE_SIZE);
			const cookie = new Uint8Array(COOKIE_ENCRYPTED_SIZE);
			yield* cookie_checker_create_payload(checker, macs, nonce, cookie, new sockaddr_in6());
			const got: number[] = [];
			// both wait for the lock, and get it together
			const hold = new holder(
				() => rw_wlock(maker.cm_lock),
				() => rw_wunlock(maker.cm_lock),
			);
			yield* hold.start();
			const readers = [0, 1].map(() =>
				uthread_add(
					function* () {
						got.push(yield* cookie_maker_consume_payload(maker, nonce, cookie));
					},
					undefined,
					"reply",
				),
			);
			yield* settle();
			hold.released = true;
			for (const td of readers) yield* kthread_wait(td);
			return got;
		});
		expect(results).toEqual([0, 0]);
	});

	test("a private key that is not clamped is new every time, and ends the sessions (L-17)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* connected_rigs();
			const current = peer_of(a).p_remote.r_current!;
			yield* a.set_private_key();
			expect(current.kp_can_send).toBe(true);

			const unclamped = a.private_key.slice();
			unclamped[0] = unclamped[0]! | 7;
			yield* a.set_private_key(unclamped);
			expect(current.kp_can_send).toBe(false);
			yield* destroy(a, b);
		});
	});

	test("while a private key is set no handshake of the interface moves (L-19)", () => {
		inThread(wg_world(), function* () {
			const r = yield* new_rig(0);
			const peers = 40;
			for (let i = 0; i < peers; i++) {
				const key = new Uint8Array(32);
				arc4random_buf(key);
				yield* r.set_peer(key, () => undefined);
			}
			const setter = uthread_add(
				function* () {
					yield* noise_local_private(r.sc.sc_local, new Uint8Array(32).fill(3));
				},
				undefined,
				"setter",
			);
			while (r.sc.sc_local.l_identity_lock.rw_writer === null) {
				charge(100);
				yield* sync();
			}
			const since = sbinuptime();
			yield* rw_rlock(r.sc.sc_local.l_identity_lock);
			yield* rw_runlock(r.sc.sc_local.l_identity_lock);
			expect(sbinuptime() - since).toBeGreaterThan((peers - 2) * cost.curve25519);
			yield* kthread_wait(setter);
			yield* destroy(r);
		});
	});
});

describe("life cycle", () => {
	test("a timer that is running already goes on after the timers were stopped (L-7)", () => {
		inThread(wg_world("2022-09", { cpus: 4 }), function* () {
			const [a, b] = yield* connected_rigs();
			const peer = peer_of(a);
			const { r_keypair_mtx } = peer.p_remote;
			const hold = new holder(
				() => mtx_lock(r_keypair_mtx),
				() => mtx_unlock(r_keypair_mtx),
			);
			const td = yield* hold.start();
			yield* callout_reset(peer.p_zero_key_material, 1, wg_timers_run_zero_key_material, peer);
			yield* settle();
			yield* wg_timers_disable(peer);
			expect(peer.p_remote.r_current).not.toBe(null);
			hold.released = true;
			yield* kthread_wait(td);
			yield* settle();
			expect(peer.p_remote.r_current).toBe(null);
			yield* destroy(a, b);
		});
	});

	test("a handshake between the end of the sessions and that of the sockets leaves a session on a down interface (L-8)", () => {
		inThread(wg_world("2022-09", { cpus: 4 }), function* () {
			const [a, b] = yield* connected_rigs();
			const peer = peer_of(a);
			const late = new Uint8Array(32);
			arc4random_buf(late);
			yield* a.set_peer(late, () => undefined);

			// wg_down is held up at the second peer, the first one's sessions gone already
			const { r_handshake_lock } = a.sc.sc_peers_last!.p_remote;
			const hold = new holder(
				() => rw_wlock(r_handshake_lock),
				() => rw_wunlock(r_handshake_lock),
			);
			const td = yield* hold.start();
			const down = uthread_add(() => wg_down(a.sc), undefined, "down");
			yield* settle();
			expect(peer.p_remote.r_current).toBe(null);
			peer_of(b).p_remote.r_last_sent -= 2 * REKEY_TIMEOUT * 1e9;
			yield* wg_timers_run_send_initiation(peer_of(b), false);
			yield* settle();
			hold.released = true;
			yield* kthread_wait(td);
			yield* kthread_wait(down);

			expect(a.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
			expect(peer.p_enabled).toBe(false);
			expect(peer.p_remote.r_next !== null || peer.p_remote.r_current !== null).toBe(true);
			yield* destroy(a, b);
		});
	});

	/** While peer is added to `r`, what a lookup by its key finds first: whether the peer has its queues yet. */
	function first_seen(generation: "2022-09" | "main"): boolean {
		return inThread(wg_world(generation), function* () {
			const r = yield* new_rig(0);
			const key = new Uint8Array(32);
			arc4random_buf(key);
			const adder = uthread_add(
				function* () {
					yield* r.set_peer(key, () => undefined);
				},
				undefined,
				"adder",
			);
			let remote = yield* noise_remote_lookup(r.sc.sc_local, key);
			while (remote === null) {
				charge(50);
				yield* sync();
				remote = yield* noise_remote_lookup(r.sc.sc_local, key);
			}
			const peer = noise_remote_arg(remote) as wg_peer;
			const whole = peer.p_recv.gt_taskqueue !== null;
			noise_remote_put(remote);
			yield* kthread_wait(adder);
			expect(peer.p_recv.gt_taskqueue).not.toBe(null);
			yield* destroy(r);
			return whole;
		});
	}

	test("main publishes a peer that is not whole yet (L-12)", () => {
		expect(first_seen("main")).toBe(false);
		expect(first_seen("2022-09")).toBe(true);
	});

	test("when its jail goes an interface stays marked running, with its timers on (L-18)", () => {
		inThread(wg_world(), function* () {
			const [a, b] = yield* two_rigs();
			yield* wg_prison_remove(prison0());
			expect(a.sc.sc_socket.so_so4).toBe(null);
			expect(a.ifp.if_drv_flags & IFF_DRV_RUNNING).not.toBe(0);
			expect(peer_of(a).p_enabled).toBe(true);
			expect(yield* wg_up(a.sc)).toBe(EBUSY);
			yield* destroy(a, b);
		});
	});

	test("an address does not bring the interface up (Q-5)", () => {
		inThread(wg_world(), function* () {
			const r = yield* new_rig(0);
			expect(yield* r.ifp.if_ioctl!(r.ifp, SIOCSIFADDR, null)).toBe(0);
			expect(r.ifp.if_flags & IFF_UP).toBe(0);
			expect(r.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
			yield* destroy(r);
		});
	});
});

describe("packets", () => {
	test("a packet of another family than its sender says is EAFNOSUPPORT, and an assertion fails in main (L-21)", () => {
		function output(generation: "2022-09" | "main"): number {
			return inThread(wg_world(generation), function* () {
				const r = yield* new_rig(0);
				const error = yield* wg_output(r.ifp, mbuf_of(ipv4_packet(SRC, DST)), new sockaddr_in6(), null);
				yield* destroy(r);
				return error;
			});
		}
		expect(output("2022-09")).toBe(EAFNOSUPPORT);
		expect(() => output("main")).toThrow(/parsed_af == af/);
	});

	test.each([0, 1, 15, 16, 17, 31, 1419, 1420])(
		"without an MTU the padding of %i bytes is the padded length, before main (BZ-T4)",
		(len) => {
			function padding(generation: "2021-11" | "2022-09" | "main", mtu: number): number {
				return inThread(wg_world(generation), function* () {
					yield* sync();
					const pkt = wg_packet_alloc(mbuf_of(new Uint8Array(len)))!;
					pkt.p_mtu = mtu;
					const bytes = calculate_padding(pkt);
					wg_packet_free(pkt);
					return bytes;
				});
			}
			const padded = Math.ceil(len / 16) * 16;
			expect(padding("2021-11", 0)).toBe(padded);
			expect(padding("2022-09", 0)).toBe(padded);
			expect(padding("main", 0)).toBe(padded - len);
			for (const generation of ["2022-09", "main"] as const)
				expect(padding(generation, 1420)).toBe(Math.min(padded, 1420) - len);
		},
	);
});

describe("configuration", () => {
	/** Adds a peer with a prefix that is too long. */
	function add_bad_peer(generation: "2022-09" | "main"): [error: number, peers: number] {
		return inThread(wg_world(generation), function* () {
			const r = yield* new_rig(0);
			const key = new Uint8Array(32).fill(9);
			const error = yield* r.set_peer(key, (nvl) => {
				const aip = nvlist_create(0);
				nvlist_add_binary(aip, "ipv4", new Uint8Array(4));
				nvlist_add_number(aip, "cidr", 33);
				nvlist_add_nvlist_array(nvl, "allowed-ips", [aip]);
				nvlist_destroy(aip);
			});
			const peers = r.sc.sc_peers_num;
			yield* destroy(r);
			return [error, peers];
		});
	}

	test("a new peer that is refused is taken off a list it is not on, before main (BZ-T3)", () => {
		expect(() => add_bad_peer("2022-09")).toThrow(/TAILQ_REMOVE/);
		expect(add_bad_peer("main")).toEqual([EINVAL, 0]);
	});

	test("an error leaks the whole list the program passed, in the oldest driver (Q-6)", () => {
		function leaked(generation: "2021-11" | "2022-09"): number {
			return inThread(wg_world(generation), function* () {
				const r = yield* new_rig(0);
				const before = malloc_leaks().find(({ type }) => type === "nvlist")?.allocations ?? 0;
				expect(yield* r.set((nvl) => nvlist_add_number(nvl, "listen-port", 65536))).toBe(EINVAL);
				const after = malloc_leaks().find(({ type }) => type === "nvlist")?.allocations ?? 0;
				yield* destroy(r);
				return after - before;
			});
		}
		expect(leaked("2021-11")).toBeGreaterThan(0);
		expect(leaked("2022-09")).toBe(0);
	});

	test("a prefix that could not be added leaves the table locked, before main (Q-7)", () => {
		function locked(generation: "2022-09" | "main"): boolean {
			return inThread(wg_world(generation), function* () {
				const [a, b] = yield* two_rigs();
				const root = a.sc.sc_aip4;
				root.rnh_addaddr = () => null; // no memory
				root.rnh_lookup = () => null;
				expect(yield* wg_aip_add(a.sc, peer_of(a), AF_INET, Uint8Array.of(1, 2, 3, 4), 32)).toBe(ENOMEM);
				const kept = rm_wowned(root.rnh_lock);
				if (kept) yield* RADIX_NODE_HEAD_UNLOCK(root);
				yield* destroy(a, b);
				return kept;
			});
		}
		expect(locked("2022-09")).toBe(true);
		expect(locked("main")).toBe(false);
	});
});

test("the self-test does not notice a limiter that refuses every other IPv6 address (Q-9)", () => {
	const passed = inThread(wg_world(), () =>
		cookie_ratelimit_timings_test(function* (rl, sa, vn): Blocking<number> {
			const tried = sa.sa_family === AF_INET6 ? in_get32((sa as sockaddr_in6).sin6_addr, 0) : 0;
			return tried === 0 || tried === 0x01020304 ? yield* ratelimit_allow(rl, sa, vn) : ECONNREFUSED;
		}),
	);
	expect(passed).toBe(true);
});
