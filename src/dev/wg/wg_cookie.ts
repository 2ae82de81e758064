/**
 * Cookies: what a handshake message must carry so that nobody can make us compute for nothing.
 *
 * Every message has a mac1, which proves that the sender knows our public key. Under load it needs a mac2 as well, made with a
 * cookie that we sent to the address it claims to come from, and each address then has a budget of messages. A `cookie_checker` is
 * the receiving side, one for each interface; a `cookie_maker` the sending side, one for each peer; the ratelimiters are the module's.
 *
 * As in wg_cookie.c function by function.
 *
 * @see wg_cookie.c, wg_cookie.h; generations in generation.ts
 */
import { SIPHASH_CTX, SIPHASH_KEY_LENGTH, SipHashX } from "../../crypto/siphash/siphash.ts";
import {
	callout,
	callout_init_mtx,
	callout_pending,
	callout_reset,
	callout_stop,
} from "../../kernel/callout/callout.ts";
import { EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EINVAL, type Errno, ETIMEDOUT } from "../../kernel/errno.ts";
import {
	MA_OWNED,
	MTX_DEF,
	mtx,
	mtx_assert,
	mtx_destroy,
	mtx_init,
	mtx_lock,
	mtx_unlock,
} from "../../kernel/lock/mutex.ts";
import { rw_destroy, rw_init, rw_rlock, rw_runlock, rw_wlock, rw_wunlock, rwlock } from "../../kernel/lock/rwlock.ts";
import {
	M_NOWAIT,
	M_ZERO,
	uma_zalloc,
	uma_zcreate,
	uma_zdestroy,
	uma_zfree,
	type uma_zone,
} from "../../kernel/mbuf/uma.ts";
import {
	AF_INET,
	AF_INET6,
	in_put16,
	in_put32,
	type sockaddr,
	type sockaddr_in,
	type sockaddr_in6,
} from "../../kernel/netinet/in.ts";
import { arc4random_buf, getsbinuptime, hz, KERNEL_GLOBAL, type vnet } from "../../kernel/sched/kernel.ts";
import type { Blocking } from "../../kernel/sched/thread.ts";
import { generation } from "./curgeneration.ts";
import { xchacha20poly1305_decrypt, xchacha20poly1305_encrypt } from "./wg_crypto.ts";
import { blake2s_final, blake2s_init, blake2s_init_key, blake2s_state, blake2s_update } from "./wg_crypto_blake2s.ts";

// wg_cookie.h
export const COOKIE_MAC_SIZE = 16;
export const COOKIE_KEY_SIZE = 32;
export const COOKIE_NONCE_SIZE = 24;
export const COOKIE_COOKIE_SIZE = 16;
export const COOKIE_SECRET_SIZE = 32;
export const COOKIE_INPUT_SIZE = 32;
export const COOKIE_ENCRYPTED_SIZE = COOKIE_COOKIE_SIZE + COOKIE_MAC_SIZE;

// wg_cookie.c
const COOKIE_MAC1_KEY_LABEL = new TextEncoder().encode("mac1----");
const COOKIE_COOKIE_KEY_LABEL = new TextEncoder().encode("cookie--");
/** seconds */
export const COOKIE_SECRET_MAX_AGE = 120;
export const COOKIE_SECRET_LATENCY = 5;

const SBT_1S = 1_000_000_000;

export const RATELIMIT_SIZE = 1 << 13;
const RATELIMIT_MASK = RATELIMIT_SIZE - 1;
export const RATELIMIT_SIZE_MAX = RATELIMIT_SIZE * 8;
export const INITIATIONS_PER_SECOND = 20;
export const INITIATIONS_BURSTABLE = 5;
/** ns */
export const INITIATION_COST = SBT_1S / INITIATIONS_PER_SECOND;
const TOKEN_MAX = INITIATION_COST * INITIATIONS_BURSTABLE;
/** seconds */
export const ELEMENT_TIMEOUT = 1;
/** all of an IPv4 address */
const IPV4_MASK_SIZE = 4;
/** the /64 of an IPv6 address */
const IPV6_MASK_SIZE = 8;

export class cookie_macs {
	readonly mac1: Uint8Array;
	readonly mac2: Uint8Array;
	constructor(mac1: Uint8Array = new Uint8Array(COOKIE_MAC_SIZE), mac2: Uint8Array = new Uint8Array(COOKIE_MAC_SIZE)) {
		this.mac1 = mac1;
		this.mac2 = mac2;
	}
}

export class cookie_maker {
	readonly cm_mac1_key: Uint8Array;
	readonly cm_cookie_key: Uint8Array;

	readonly cm_lock: rwlock;
	cm_cookie_valid: boolean;
	readonly cm_cookie: Uint8Array;
	/** sbinuptime */
	cm_cookie_birthdate: number;
	cm_mac1_sent: boolean;
	readonly cm_mac1_last: Uint8Array;

	constructor() {
		this.cm_mac1_key = new Uint8Array(COOKIE_KEY_SIZE);
		this.cm_cookie_key = new Uint8Array(COOKIE_KEY_SIZE);
		this.cm_lock = new rwlock();
		this.cm_cookie_valid = false;
		this.cm_cookie = new Uint8Array(COOKIE_COOKIE_SIZE);
		this.cm_cookie_birthdate = 0;
		this.cm_mac1_sent = false;
		this.cm_mac1_last = new Uint8Array(COOKIE_MAC_SIZE);
	}
}

export class cookie_checker {
	readonly cc_key_lock: rwlock;
	readonly cc_mac1_key: Uint8Array;
	readonly cc_cookie_key: Uint8Array;

	readonly cc_secret_mtx: mtx;
	/** sbinuptime */
	cc_secret_birthdate: number;
	readonly cc_secret: Uint8Array;

	constructor() {
		this.cc_key_lock = new rwlock();
		this.cc_mac1_key = new Uint8Array(COOKIE_KEY_SIZE);
		this.cc_cookie_key = new Uint8Array(COOKIE_KEY_SIZE);
		this.cc_secret_mtx = new mtx();
		this.cc_secret_birthdate = 0;
		this.cc_secret = new Uint8Array(COOKIE_SECRET_SIZE);
	}
}

/** Whom a budget belongs to: an address, or for IPv6 a network, seen from one network stack. */
export class ratelimit_key {
	vnet: vnet | null;
	readonly ip: Uint8Array;
	constructor() {
		this.vnet = null;
		this.ip = new Uint8Array(IPV6_MASK_SIZE);
	}
}

export class ratelimit_entry {
	/** LIST_ENTRY: next in the bucket */
	r_entry: ratelimit_entry | null;
	readonly r_key: ratelimit_key;
	/** sbinuptime */
	r_last_time: number;
	r_tokens: number;
	constructor() {
		this.r_entry = null;
		this.r_key = new ratelimit_key();
		this.r_last_time = 0;
		this.r_tokens = 0;
	}
}

export class ratelimit {
	readonly rl_secret: Uint8Array;
	readonly rl_mtx: mtx;
	readonly rl_gc: callout;
	/** heads of RATELIMIT_SIZE lists */
	readonly rl_table: (ratelimit_entry | null)[];
	rl_table_num: number;
	/** only the in-tree driver asks */
	rl_initialized: boolean;
	constructor() {
		this.rl_secret = new Uint8Array(SIPHASH_KEY_LENGTH);
		this.rl_mtx = new mtx();
		this.rl_gc = new callout();
		this.rl_table = new Array(RATELIMIT_SIZE).fill(null);
		this.rl_table_num = 0;
		this.rl_initialized = false;
	}
}

export const ratelimit_v4 = KERNEL_GLOBAL(() => new ratelimit());
export const ratelimit_v6 = KERNEL_GLOBAL(() => new ratelimit());

class ratelimit_zone_ptr {
	zone: uma_zone<ratelimit_entry> | null = null;
}
const ratelimit_zone = KERNEL_GLOBAL(() => new ratelimit_zone_ptr());

/** sizeof(struct ratelimit_entry) on a 64-bit machine */
const SIZEOF_RATELIMIT_ENTRY = 48;

/** Public Functions */

/**
 * Sets the module's ratelimiters up.
 *
 * @returns 0; C returns ENOMEM without a zone, which always comes to be here
 * @see wg_cookie.c cookie_init
 */
export function cookie_init(): Errno {
	ratelimit_zone().zone = uma_zcreate(
		"wg ratelimit",
		SIZEOF_RATELIMIT_ENTRY,
		null,
		null,
		null,
		null,
		0,
		0,
		() => new ratelimit_entry(),
	);

	ratelimit_init(ratelimit_v4());
	ratelimit_init(ratelimit_v6());
	return 0;
}

/**
 * Empties and destroys them.
 *
 * @see wg_cookie.c cookie_deinit; generation: deinit_guarded
 */
export function* cookie_deinit(): Blocking<void> {
	yield* ratelimit_deinit(ratelimit_v4());
	yield* ratelimit_deinit(ratelimit_v6());
	const zone = ratelimit_zone();
	if (zone.zone !== null || !generation().deinit_guarded) uma_zdestroy(zone.zone!);
	zone.zone = null;
}

/** @see wg_cookie.c cookie_checker_init */
export function cookie_checker_init(cc: cookie_checker): void {
	cc.cc_mac1_key.fill(0);
	cc.cc_cookie_key.fill(0);
	cc.cc_secret_birthdate = 0;
	cc.cc_secret.fill(0);

	rw_init(cc.cc_key_lock, "cookie_checker_key");
	mtx_init(cc.cc_secret_mtx, "cookie_checker_secret", null, MTX_DEF);
}

/** @see wg_cookie.c cookie_checker_free */
export function cookie_checker_free(cc: cookie_checker): void {
	rw_destroy(cc.cc_key_lock);
	mtx_destroy(cc.cc_secret_mtx);
	explicit_bzero(cc.cc_mac1_key);
	explicit_bzero(cc.cc_cookie_key);
	cc.cc_secret_birthdate = 0;
	explicit_bzero(cc.cc_secret);
}

/**
 * Gives the checker the interface's public key, or none.
 *
 * @see wg_cookie.c cookie_checker_update
 */
export function* cookie_checker_update(cc: cookie_checker, key: Uint8Array | null): Blocking<void> {
	yield* rw_wlock(cc.cc_key_lock);
	if (key !== null) {
		precompute_key(cc.cc_mac1_key, key, COOKIE_MAC1_KEY_LABEL);
		precompute_key(cc.cc_cookie_key, key, COOKIE_COOKIE_KEY_LABEL);
	} else {
		cc.cc_mac1_key.fill(0);
		cc.cc_cookie_key.fill(0);
	}
	yield* rw_wunlock(cc.cc_key_lock);
}

/**
 * Makes a cookie for an address and encrypts it, so that only who saw the message with this mac1 can read it.
 *
 * @see wg_cookie.c cookie_checker_create_payload
 */
export function* cookie_checker_create_payload(
	cc: cookie_checker,
	macs: cookie_macs,
	nonce: Uint8Array,
	ecookie: Uint8Array,
	sa: sockaddr,
): Blocking<void> {
	const cookie = new Uint8Array(COOKIE_COOKIE_SIZE);

	yield* make_cookie(cc, cookie, sa);
	arc4random_buf(nonce.subarray(0, COOKIE_NONCE_SIZE));

	yield* rw_rlock(cc.cc_key_lock);
	xchacha20poly1305_encrypt(ecookie, cookie, COOKIE_COOKIE_SIZE, macs.mac1, COOKIE_MAC_SIZE, nonce, cc.cc_cookie_key);
	yield* rw_runlock(cc.cc_key_lock);

	explicit_bzero(cookie);
}

/** @see wg_cookie.c cookie_maker_init */
export function cookie_maker_init(cm: cookie_maker, key: Uint8Array): void {
	bzero_cookie_maker(cm);
	precompute_key(cm.cm_mac1_key, key, COOKIE_MAC1_KEY_LABEL);
	precompute_key(cm.cm_cookie_key, key, COOKIE_COOKIE_KEY_LABEL);
	rw_init(cm.cm_lock, "cookie_maker");
}

/** @see wg_cookie.c cookie_maker_free */
export function cookie_maker_free(cm: cookie_maker): void {
	rw_destroy(cm.cm_lock);
	bzero_cookie_maker(cm);
}

/**
 * Takes the cookie out of a cookie reply. One reply is accepted for each message sent; as the lock is let go between decrypting
 * and storing, two that come at once may both be (L-16).
 *
 * @returns 0; ETIMEDOUT when no message waits for a reply; EINVAL when it cannot be decrypted
 * @see wg_cookie.c cookie_maker_consume_payload
 */
export function* cookie_maker_consume_payload(
	cm: cookie_maker,
	nonce: Uint8Array,
	ecookie: Uint8Array,
): Blocking<Errno> {
	const cookie = new Uint8Array(COOKIE_COOKIE_SIZE);
	let ret: Errno;

	yield* rw_rlock(cm.cm_lock);
	error: {
		if (!cm.cm_mac1_sent) {
			ret = ETIMEDOUT;
			break error;
		}

		if (
			!xchacha20poly1305_decrypt(
				cookie,
				ecookie,
				COOKIE_ENCRYPTED_SIZE,
				cm.cm_mac1_last,
				COOKIE_MAC_SIZE,
				nonce,
				cm.cm_cookie_key,
			)
		) {
			ret = EINVAL;
			break error;
		}
		yield* rw_runlock(cm.cm_lock);

		yield* rw_wlock(cm.cm_lock);
		cm.cm_cookie.set(cookie);
		cm.cm_cookie_birthdate = getsbinuptime();
		cm.cm_cookie_valid = true;
		cm.cm_mac1_sent = false;
		yield* rw_wunlock(cm.cm_lock);

		return 0;
	}
	yield* rw_runlock(cm.cm_lock);
	return ret;
}

/**
 * Computes the MACs of an outgoing message of `len` bytes: mac1, and mac2 if there is a cookie that the other side still honours.
 *
 * @see wg_cookie.c cookie_maker_mac
 */
export function* cookie_maker_mac(cm: cookie_maker, macs: cookie_macs, buf: Uint8Array, len: number): Blocking<void> {
	yield* rw_wlock(cm.cm_lock);
	macs_mac1(macs, buf, len, cm.cm_mac1_key);
	cm.cm_mac1_last.set(macs.mac1);
	cm.cm_mac1_sent = true;

	if (cm.cm_cookie_valid && !timer_expired(cm.cm_cookie_birthdate, COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY, 0)) {
		macs_mac2(macs, buf, len, cm.cm_cookie);
	} else {
		macs.mac2.fill(0);
		cm.cm_cookie_valid = false;
	}
	yield* rw_wunlock(cm.cm_lock);
}

/**
 * Checks the MACs of a message received; mac2 and the sender's budget only when `check_cookie` says that we are under load.
 *
 * @returns 0: go on; EINVAL: not for us; EAGAIN: answer with a cookie; ECONNREFUSED: over budget; EAFNOSUPPORT
 * @see wg_cookie.c cookie_checker_validate_macs
 */
export function* cookie_checker_validate_macs(
	cc: cookie_checker,
	macs: cookie_macs,
	buf: Uint8Array,
	len: number,
	check_cookie: boolean,
	sa: sockaddr,
	vnet: vnet | null,
): Blocking<Errno> {
	const our_macs = new cookie_macs();
	const cookie = new Uint8Array(COOKIE_COOKIE_SIZE);

	yield* rw_rlock(cc.cc_key_lock);
	macs_mac1(our_macs, buf, len, cc.cc_mac1_key);
	yield* rw_runlock(cc.cc_key_lock);

	if (timingsafe_bcmp(our_macs.mac1, macs.mac1, COOKIE_MAC_SIZE) !== 0) return EINVAL;

	if (check_cookie) {
		yield* make_cookie(cc, cookie, sa);
		macs_mac2(our_macs, buf, len, cookie);

		if (timingsafe_bcmp(our_macs.mac2, macs.mac2, COOKIE_MAC_SIZE) !== 0) return EAGAIN;

		if (sa.sa_family === AF_INET) return yield* ratelimit_allow(ratelimit_v4(), sa, vnet);
		else if (sa.sa_family === AF_INET6) return yield* ratelimit_allow(ratelimit_v6(), sa, vnet);
		else return EAFNOSUPPORT;
	}

	return 0;
}

/** Private functions */

/** @see wg_cookie.c precompute_key */
export function precompute_key(key: Uint8Array, input: Uint8Array, label: Uint8Array): void {
	const blake = new blake2s_state();
	blake2s_init(blake, COOKIE_KEY_SIZE);
	blake2s_update(blake, label, label.length);
	blake2s_update(blake, input, COOKIE_INPUT_SIZE);
	blake2s_final(blake, key, COOKIE_KEY_SIZE);
}

/** @see wg_cookie.c macs_mac1 */
export function macs_mac1(macs: cookie_macs, buf: Uint8Array, len: number, key: Uint8Array): void {
	const state = new blake2s_state();
	blake2s_init_key(state, COOKIE_MAC_SIZE, key, COOKIE_KEY_SIZE);
	blake2s_update(state, buf, len);
	blake2s_final(state, macs.mac1, COOKIE_MAC_SIZE);
}

/** @see wg_cookie.c macs_mac2 */
export function macs_mac2(macs: cookie_macs, buf: Uint8Array, len: number, key: Uint8Array): void {
	const state = new blake2s_state();
	blake2s_init_key(state, COOKIE_MAC_SIZE, key, COOKIE_COOKIE_SIZE);
	blake2s_update(state, buf, len);
	blake2s_update(state, macs.mac1, COOKIE_MAC_SIZE);
	blake2s_final(state, macs.mac2, COOKIE_MAC_SIZE);
}

/** @see wg_cookie.c timer_expired */
export function timer_expired(timer: number, sec: number, nsec: number): Errno {
	const now = getsbinuptime();
	return now > timer + sec * SBT_1S + nsec ? ETIMEDOUT : 0;
}

/**
 * The cookie of an address and port under the checker's secret, which changes every two minutes.
 *
 * @see wg_cookie.c make_cookie
 */
export function* make_cookie(cc: cookie_checker, cookie: Uint8Array, sa: sockaddr): Blocking<void> {
	const state = new blake2s_state();

	yield* mtx_lock(cc.cc_secret_mtx);
	if (timer_expired(cc.cc_secret_birthdate, COOKIE_SECRET_MAX_AGE, 0)) {
		arc4random_buf(cc.cc_secret);
		cc.cc_secret_birthdate = getsbinuptime();
	}
	blake2s_init_key(state, COOKIE_COOKIE_SIZE, cc.cc_secret, COOKIE_SECRET_SIZE);
	yield* mtx_unlock(cc.cc_secret_mtx);

	if (sa.sa_family === AF_INET) {
		const sin = new Uint8Array(4 + 2);
		in_put32(sin, 0, (sa as sockaddr_in).sin_addr);
		in_put16(sin, 4, (sa as sockaddr_in).sin_port);
		blake2s_update(state, sin, 4 + 2);
		blake2s_final(state, cookie, COOKIE_COOKIE_SIZE);
	} else if (sa.sa_family === AF_INET6) {
		const port = new Uint8Array(2);
		in_put16(port, 0, (sa as sockaddr_in6).sin6_port);
		blake2s_update(state, (sa as sockaddr_in6).sin6_addr, 16);
		blake2s_update(state, port, 2);
		blake2s_final(state, cookie, COOKIE_COOKIE_SIZE);
	} else {
		arc4random_buf(cookie);
	}
}

/**
 * Until 60ac452 the callout was tied to the mutex as if it were a rwlock, which worked: both begin with the same lock object.
 *
 * @see wg_cookie.c ratelimit_init
 */
export function ratelimit_init(rl: ratelimit): void {
	mtx_init(rl.rl_mtx, "ratelimit_lock", null, MTX_DEF);
	callout_init_mtx(rl.rl_gc, rl.rl_mtx, 0);
	arc4random_buf(rl.rl_secret);
	rl.rl_table.fill(null);
	rl.rl_table_num = 0;
	rl.rl_initialized = true;
}

/** @see wg_cookie.c ratelimit_deinit; generation: deinit_guarded */
export function* ratelimit_deinit(rl: ratelimit): Blocking<void> {
	if (generation().deinit_guarded && !rl.rl_initialized) return;
	yield* mtx_lock(rl.rl_mtx);
	yield* callout_stop(rl.rl_gc);
	yield* ratelimit_gc(rl, true);
	yield* mtx_unlock(rl.rl_mtx);
	mtx_destroy(rl.rl_mtx);
	rl.rl_initialized = false;
}

/** The callout comes with rl_mtx held. @see wg_cookie.c ratelimit_gc_callout */
export function* ratelimit_gc_callout(rl: ratelimit): Blocking<void> {
	return yield* ratelimit_gc(rl, false);
}

/**
 * Plans the next collection, unless one is planned already or there is nothing to collect.
 *
 * @see wg_cookie.c ratelimit_gc_schedule
 */
export function* ratelimit_gc_schedule(rl: ratelimit): Blocking<void> {
	if (rl.rl_table_num > 0 && !callout_pending(rl.rl_gc)) {
		yield* callout_reset(rl.rl_gc, ELEMENT_TIMEOUT * hz(), ratelimit_gc_callout, rl);
	}
}

/**
 * Forgets addresses that were not heard of for ELEMENT_TIMEOUT, or all of them.
 *
 * @see wg_cookie.c ratelimit_gc
 */
export function* ratelimit_gc(rl: ratelimit, force: boolean): Blocking<void> {
	mtx_assert(rl.rl_mtx, MA_OWNED);

	if (rl.rl_table_num === 0) return;

	const expiry = getsbinuptime() - ELEMENT_TIMEOUT * SBT_1S;

	for (let i = 0; i < RATELIMIT_SIZE; i++) {
		let prev: ratelimit_entry | null = null;
		let tr: ratelimit_entry | null;
		for (let r = rl.rl_table[i]; r !== null; r = tr) {
			tr = r.r_entry;
			if (r.r_last_time < expiry || force) {
				rl.rl_table_num--;
				if (prev === null) rl.rl_table[i] = tr;
				else prev.r_entry = tr;
				r.r_entry = null;
				uma_zfree(ratelimit_zone().zone!, r);
			} else {
				prev = r;
			}
		}
	}

	yield* ratelimit_gc_schedule(rl);
}

/**
 * Token bucket: an address gains a token's worth of time as it passes, up to five, and a message costs one.
 *
 * @returns 0 when the message may be handled, ECONNREFUSED when not: no token left, table full, or no memory
 * @see wg_cookie.c ratelimit_allow
 */
export function* ratelimit_allow(rl: ratelimit, sa: sockaddr, vnet: vnet | null): Blocking<Errno> {
	let ret = ECONNREFUSED;
	// struct ratelimit_key as it lies in memory, for the hash: pointer, address
	const key = new Uint8Array(8 + IPV6_MASK_SIZE);
	let len = key.length;

	// stands for the pointer, which is not the same from run to run
	if (vnet !== null) in_put32(key, 4, vnet.vnet_id + 1);
	if (sa.sa_family === AF_INET) {
		in_put32(key, 8, (sa as sockaddr_in).sin_addr);
		len -= IPV6_MASK_SIZE - IPV4_MASK_SIZE;
	} else if (sa.sa_family === AF_INET6) {
		key.set((sa as sockaddr_in6).sin6_addr.subarray(0, IPV6_MASK_SIZE), 8);
	} else {
		return ret;
	}

	const bucket = Number(siphash13(rl.rl_secret, key, len) & BigInt(RATELIMIT_MASK));
	yield* mtx_lock(rl.rl_mtx);

	error: {
		ok: {
			for (let r = rl.rl_table[bucket]; r !== null; r = r.r_entry) {
				if (r.r_key.vnet !== vnet || !same_ip(r.r_key.ip, key, len - 8)) continue;

				const now = getsbinuptime();
				const diff = now - r.r_last_time;
				r.r_last_time = now;

				let tokens = r.r_tokens + diff;

				if (tokens > TOKEN_MAX) tokens = TOKEN_MAX;

				if (tokens >= INITIATION_COST) {
					r.r_tokens = tokens - INITIATION_COST;
					break ok;
				} else {
					r.r_tokens = tokens;
					break error;
				}
			}

			if (rl.rl_table_num >= RATELIMIT_SIZE_MAX) break error;

			const r = uma_zalloc(ratelimit_zone().zone!, M_NOWAIT | M_ZERO);
			if (r === null) break error;

			rl.rl_table_num++;

			r.r_entry = rl.rl_table[bucket];
			rl.rl_table[bucket] = r;
			r.r_key.vnet = vnet;
			r.r_key.ip.set(key.subarray(8));
			r.r_last_time = getsbinuptime();
			r.r_tokens = TOKEN_MAX - INITIATION_COST;

			yield* ratelimit_gc_schedule(rl);
		}
		ret = 0;
	}
	yield* mtx_unlock(rl.rl_mtx);
	return ret;
}

/** @see wg_cookie.c siphash13 */
export function siphash13(key: Uint8Array, src: Uint8Array, len: number): bigint {
	const ctx = new SIPHASH_CTX();
	return SipHashX(ctx, 1, 3, key, src, len);
}

/** The last part of bcmp on two keys: the address, which in `key` comes after the pointer. */
function same_ip(ip: Uint8Array, key: Uint8Array, len: number): boolean {
	for (let i = 0; i < len; i++) {
		if (ip[i] !== key[8 + i]) return false;
	}
	return true;
}

/** Wipes what must not stay in memory. */
function explicit_bzero(buf: Uint8Array): void {
	buf.fill(0);
}

function bzero_cookie_maker(cm: cookie_maker): void {
	explicit_bzero(cm.cm_mac1_key);
	explicit_bzero(cm.cm_cookie_key);
	cm.cm_cookie_valid = false;
	explicit_bzero(cm.cm_cookie);
	cm.cm_cookie_birthdate = 0;
	cm.cm_mac1_sent = false;
	explicit_bzero(cm.cm_mac1_last);
}

/** 0 when the bytes are equal; looks at all of them either way. */
function timingsafe_bcmp(a: Uint8Array, b: Uint8Array, len: number): number {
	let difference = 0;
	for (let i = 0; i < len; i++) difference |= a[i] ^ b[i];
	return difference;
}
