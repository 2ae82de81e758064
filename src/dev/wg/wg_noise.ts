/**
 * Noise_IKpsk2 as WireGuard uses it: identities, remotes, handshakes and the keypairs they end in.
 *
 * References run keypair -> remote -> local. The two hash tables of a local, remotes by public key and handshakes or keypairs by
 * index, are read inside the net epoch without a lock; what is unlinked is freed by an epoch callback.
 * Lock order: l_identity_lock, r_handshake_lock, r_keypair_mtx, l_index_mtx.
 *
 * As in wg_noise.c function by function. What C returns through a pointer is returned here when it is an object (an Errno, a number,
 * otherwise); `uint32_t *` is anything with an element 0, such as a Uint32Array over the message. A 64-bit nonce is a `uint64`, two halves.
 *
 * @see wg_noise.c, wg_noise.h; generations in generation.ts
 */
import {
	curve25519,
	curve25519_clamp_secret,
	curve25519_generate_public,
	curve25519_generate_secret,
} from "../../crypto/curve25519/curve25519.ts";
import { SIPHASH_CTX, SIPHASH_KEY_LENGTH, SipHashX } from "../../crypto/siphash/siphash.ts";
import {
	ECONNRESET,
	EEXIST,
	EINVAL,
	ENOENT,
	ENOMEM,
	ENOSPC,
	ENXIO,
	type Errno,
	ETIMEDOUT,
} from "../../kernel/errno.ts";
import {
	atomic_fetchadd,
	load,
	load_read_mostly,
	refcount,
	refcount_acquire,
	refcount_acquire_if_not_zero,
	refcount_init,
	refcount_release,
	store,
} from "../../kernel/lock/atomic.ts";
import { NET_EPOCH_CALL, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../kernel/lock/epoch.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../../kernel/lock/mutex.ts";
import {
	RA_WLOCKED,
	rw_assert,
	rw_destroy,
	rw_init,
	rw_rlock,
	rw_runlock,
	rw_wlock,
	rw_wunlock,
	rwlock,
} from "../../kernel/lock/rwlock.ts";
import { free_account, MALLOC_DEFINE, malloc_account } from "../../kernel/mbuf/malloc.ts";
import type { mbuf } from "../../kernel/mbuf/mbuf_var.ts";
import { M_NOWAIT, M_WAITOK, M_ZERO } from "../../kernel/mbuf/uma.ts";
import { SDT_PROBE_DEFINE } from "../../kernel/probe/probe.ts";
import {
	arc4random,
	arc4random_buf,
	getsbinuptime,
	nanotime,
	sbinuptime,
	type timespec,
} from "../../kernel/sched/kernel.ts";
import { type Blocking, sync, sync_read_mostly } from "../../kernel/sched/thread.ts";
import { CK_HASH, CK_LIST_ENTRY, CK_LIST_INSERT_BEFORE, CK_LIST_INSERT_HEAD, CK_LIST_REMOVE } from "./ck_queue.ts";
import { generation } from "./curgeneration.ts";
import {
	chacha20poly1305_decrypt,
	chacha20poly1305_decrypt_mbuf,
	chacha20poly1305_encrypt,
	chacha20poly1305_encrypt_mbuf,
} from "./wg_crypto.ts";
import {
	BLAKE2S_BLOCK_SIZE,
	BLAKE2S_HASH_SIZE,
	blake2s,
	blake2s_final,
	blake2s_init,
	blake2s_state,
	blake2s_update,
} from "./wg_crypto_blake2s.ts";

// wg_noise.h
export const NOISE_PUBLIC_KEY_LEN = 32;
export const NOISE_SYMMETRIC_KEY_LEN = 32;
export const NOISE_TIMESTAMP_LEN = 8 + 4;
export const NOISE_AUTHTAG_LEN = 16;
export const NOISE_HASH_LEN = BLAKE2S_HASH_SIZE;

/** seconds */
export const REJECT_AFTER_TIME = 180;
export const REKEY_TIMEOUT = 5;
export const KEEPALIVE_TIMEOUT = 10;

// wg_noise.c
const NOISE_HANDSHAKE_NAME = new TextEncoder().encode("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
const NOISE_IDENTIFIER_NAME = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");

/** The window moves by words of 64 bits, as on a 64-bit machine, so that many of its bits are spare. */
export const COUNTER_BITS_TOTAL = 8192;
const COUNTER_ORDER = 6;
export const COUNTER_BITS = 64;
const COUNTER_REDUNDANT_BITS = COUNTER_BITS;
export const COUNTER_WINDOW_SIZE = COUNTER_BITS_TOTAL - COUNTER_REDUNDANT_BITS;
const COUNTER_WORDS = COUNTER_BITS_TOTAL / COUNTER_BITS;

export const REKEY_AFTER_MESSAGES = 1n << 60n;
export const REJECT_AFTER_MESSAGES = (1n << 64n) - 1n - BigInt(COUNTER_WINDOW_SIZE) - 1n;
const REJECT_AFTER_MESSAGES_LO = Number(REJECT_AFTER_MESSAGES & 0xffffffffn);
const REJECT_AFTER_MESSAGES_HI = Number(REJECT_AFTER_MESSAGES >> 32n);
export const REKEY_AFTER_TIME = 120;
export const REKEY_AFTER_TIME_RECV = 165;
/** ns: fifty initiations a second */
export const REJECT_INTERVAL = 1_000_000_000 / 50;
const REJECT_INTERVAL_MASK = ~((1 << 24) - 1);
const SBT_1S = 1_000_000_000;
const TIMER_RESET = SBT_1S * -(REKEY_TIMEOUT + 1);

export const HT_INDEX_SIZE = 1 << 13;
const HT_INDEX_MASK = HT_INDEX_SIZE - 1;
export const HT_REMOTE_SIZE = 1 << 11;
const HT_REMOTE_MASK = HT_REMOTE_SIZE - 1;
export const MAX_REMOTE_PER_LOCAL = 1 << 20;

const UINT32 = 0x1_0000_0000;

/** `uint32_t *` */
export interface uint32_out {
	[index: number]: number;
}

/** `uint64_t`, for nonces: numbers are exact only up to 2^53, and a nonce may be anything. */
export class uint64 {
	lo: number;
	hi: number;
	constructor(lo = 0, hi = 0) {
		this.lo = lo;
		this.hi = hi;
	}
}

export function uint64_of(value: bigint): uint64 {
	return new uint64(Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
}

export class noise_index {
	readonly i_entry: CK_LIST_ENTRY<noise_index>;
	i_local_index: number;
	i_remote_index: number;
	i_is_keypair: boolean;
	/** what the index is the first member of in C, and is cast to there */
	readonly i_container: noise_remote | noise_keypair;
	constructor(container: noise_remote | noise_keypair, is_keypair: boolean) {
		this.i_entry = new CK_LIST_ENTRY<noise_index>(this);
		this.i_local_index = 0;
		this.i_remote_index = 0;
		this.i_is_keypair = is_keypair;
		this.i_container = container;
	}
}

export class noise_keypair {
	readonly kp_index: noise_index;
	readonly kp_refcnt: refcount;
	kp_can_send: boolean;
	kp_is_initiator: boolean;
	/** sbinuptime */
	kp_birthdate: number;
	kp_remote: noise_remote;

	readonly kp_send: Uint8Array;
	readonly kp_recv: Uint8Array;

	readonly kp_nonce_lock: rwlock;
	/** messages sent since kp_nonce_base, which is 0 except in tests of the limits: a number is exact for all one can ever send */
	kp_nonce_send: number;
	kp_nonce_base: bigint;
	kp_nonce_recv_lo: number;
	kp_nonce_recv_hi: number;
	/** 64-bit word n is elements 2n (low half) and 2n + 1 */
	readonly kp_backtrack: Uint32Array;

	constructor(remote: noise_remote) {
		this.kp_index = new noise_index(this, true);
		this.kp_refcnt = new refcount();
		this.kp_can_send = false;
		this.kp_is_initiator = false;
		this.kp_birthdate = 0;
		this.kp_remote = remote;
		this.kp_send = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
		this.kp_recv = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
		this.kp_nonce_lock = new rwlock();
		this.kp_nonce_send = 0;
		this.kp_nonce_base = 0n;
		this.kp_nonce_recv_lo = 0;
		this.kp_nonce_recv_hi = 0;
		this.kp_backtrack = new Uint32Array(COUNTER_BITS_TOTAL / 32);
	}
}

export class noise_handshake {
	readonly hs_e: Uint8Array;
	readonly hs_hash: Uint8Array;
	readonly hs_ck: Uint8Array;
	constructor() {
		this.hs_e = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		this.hs_hash = new Uint8Array(NOISE_HASH_LEN);
		this.hs_ck = new Uint8Array(NOISE_HASH_LEN);
	}
}

// enum noise_handshake_state
export const HANDSHAKE_DEAD = 0;
export const HANDSHAKE_INITIATOR = 1;
export const HANDSHAKE_RESPONDER = 2;

export class noise_remote {
	readonly r_index: noise_index;

	readonly r_entry: CK_LIST_ENTRY<noise_remote>;
	r_entry_inserted: boolean;
	readonly r_public: Uint8Array;

	readonly r_handshake_lock: rwlock;
	readonly r_handshake: noise_handshake;
	r_handshake_state: number;
	/** sbinuptime */
	r_last_sent: number;
	/** sbinuptime */
	r_last_init_recv: number;
	readonly r_timestamp: Uint8Array;
	readonly r_psk: Uint8Array;
	readonly r_ss: Uint8Array;

	readonly r_refcnt: refcount;
	r_local: noise_local;
	r_arg: unknown;

	readonly r_keypair_mtx: mtx;
	r_next: noise_keypair | null;
	r_current: noise_keypair | null;
	r_previous: noise_keypair | null;

	r_cleanup: ((r: noise_remote) => Blocking<void>) | null;

	constructor(local: noise_local) {
		this.r_index = new noise_index(this, false);
		this.r_entry = new CK_LIST_ENTRY<noise_remote>(this);
		this.r_entry_inserted = false;
		this.r_public = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		this.r_handshake_lock = new rwlock();
		this.r_handshake = new noise_handshake();
		this.r_handshake_state = HANDSHAKE_DEAD;
		this.r_last_sent = 0;
		this.r_last_init_recv = 0;
		this.r_timestamp = new Uint8Array(NOISE_TIMESTAMP_LEN);
		this.r_psk = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
		this.r_ss = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		this.r_refcnt = new refcount();
		this.r_local = local;
		this.r_arg = null;
		this.r_keypair_mtx = new mtx();
		this.r_next = null;
		this.r_current = null;
		this.r_previous = null;
		this.r_cleanup = null;
	}
}

export class noise_local {
	readonly l_identity_lock: rwlock;
	l_has_identity: boolean;
	readonly l_public: Uint8Array;
	readonly l_private: Uint8Array;

	readonly l_refcnt: refcount;
	readonly l_hash_key: Uint8Array;
	l_arg: unknown;
	l_cleanup: ((l: noise_local) => Blocking<void>) | null;

	readonly l_remote_mtx: mtx;
	l_remote_num: number;
	readonly l_remote_hash: CK_HASH<noise_remote>;

	readonly l_index_mtx: mtx;
	readonly l_index_hash: CK_HASH<noise_index>;

	constructor() {
		this.l_identity_lock = new rwlock();
		this.l_has_identity = false;
		this.l_public = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		this.l_private = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
		this.l_refcnt = new refcount();
		this.l_hash_key = new Uint8Array(SIPHASH_KEY_LENGTH);
		this.l_arg = null;
		this.l_cleanup = null;
		this.l_remote_mtx = new mtx();
		this.l_remote_num = 0;
		this.l_remote_hash = new CK_HASH<noise_remote>(HT_REMOTE_SIZE);
		this.l_index_mtx = new mtx();
		this.l_index_hash = new CK_HASH<noise_index>(HT_INDEX_SIZE);
	}
}

export type noise_handshake_event = "create-initiation" | "consume-initiation" | "create-response" | "consume-response";

/**
 * Fires when a handshake message was made or accepted, with what a packet analyser needs to decrypt the session: our static private
 * key, the peer's public key, our ephemeral private key (null when a responder has not made one yet) and the pre-shared key.
 * The buffers are wiped soon after: a listener copies what it keeps.
 */
export const noise_handshake_secrets = SDT_PROBE_DEFINE<
	[
		event: noise_handshake_event,
		r: noise_remote,
		local_private: Uint8Array,
		remote_public: Uint8Array,
		local_ephemeral: Uint8Array | null,
		psk: Uint8Array,
	]
>(
	"wg:noise::handshake-secrets",
	"event: string, r: noise_remote, local_private: bytes, remote_public: bytes, local_ephemeral: bytes, psk: bytes",
);

export const M_NOISE = MALLOC_DEFINE("NOISE", "wgnoise");

/** sizeof on a 64-bit machine, for memory accounting */
const SIZEOF_NOISE_LOCAL = 82_128;
const SIZEOF_NOISE_REMOTE = 512;
const SIZEOF_NOISE_KEYPAIR = 1_232;

/** Local configuration */

/**
 * Makes an identity with no key yet, holding one reference for the caller.
 *
 * @returns null when there is no memory, which only generations that allocate with M_NOWAIT can see
 * @see wg_noise.c noise_local_alloc; generation: config_nowait
 */
export function noise_local_alloc(arg: unknown): noise_local | null {
	if (!malloc_account(M_NOISE, SIZEOF_NOISE_LOCAL, (generation().config_nowait ? M_NOWAIT : M_WAITOK) | M_ZERO))
		return null;
	const l = new noise_local();

	rw_init(l.l_identity_lock, "noise_identity");
	l.l_has_identity = false;

	refcount_init(l.l_refcnt, 1);
	arc4random_buf(l.l_hash_key);
	l.l_arg = arg;
	l.l_cleanup = null;

	mtx_init(l.l_remote_mtx, "noise_remote", null, MTX_DEF);
	l.l_remote_num = 0;

	mtx_init(l.l_index_mtx, "noise_index", null, MTX_DEF);

	return l;
}

/** @see wg_noise.c noise_local_ref */
export function noise_local_ref(l: noise_local): noise_local {
	refcount_acquire(l.l_refcnt);
	return l;
}

/**
 * Drops a reference. The last one runs the owner's cleanup, then wipes and frees the identity.
 *
 * @see wg_noise.c noise_local_put
 */
export function* noise_local_put(l: noise_local): Blocking<void> {
	if (refcount_release(l.l_refcnt)) {
		if (l.l_cleanup !== null) yield* l.l_cleanup(l);
		rw_destroy(l.l_identity_lock);
		mtx_destroy(l.l_remote_mtx);
		mtx_destroy(l.l_index_mtx);
		explicit_bzero(l.l_public);
		explicit_bzero(l.l_private);
		explicit_bzero(l.l_hash_key);
		free_account(M_NOISE, SIZEOF_NOISE_LOCAL);
	}
}

/**
 * Drops the reference of noise_local_alloc, and says what to do when the last one goes.
 *
 * @see wg_noise.c noise_local_free
 */
export function* noise_local_free(
	l: noise_local,
	cleanup: ((l: noise_local) => Blocking<void>) | null,
): Blocking<void> {
	l.l_cleanup = cleanup;
	yield* noise_local_put(l);
}

/** @see wg_noise.c noise_local_arg */
export function noise_local_arg(l: noise_local): unknown {
	return l.l_arg;
}

/**
 * Changes the private key. What was agreed under the old one ends: every published remote gets a new static-static secret, loses
 * its handshake, and may not send with its keypairs any more. A key of zeros, having no public key, takes the identity away.
 *
 * @see wg_noise.c noise_local_private; all handshakes of the interface wait for the identity lock meanwhile (L-19)
 */
export function* noise_local_private(l: noise_local, private_key: Uint8Array): Blocking<void> {
	yield* rw_wlock(l.l_identity_lock);
	l.l_private.set(private_key.subarray(0, NOISE_PUBLIC_KEY_LEN));
	curve25519_clamp_secret(l.l_private);
	l.l_has_identity = curve25519_generate_public(l.l_public, l.l_private);

	NET_EPOCH_ENTER();
	for (let i = 0; i < HT_REMOTE_SIZE; i++) {
		for (let e = l.l_remote_hash.first(i); e !== null; e = e.le_next) {
			yield* noise_precompute_ss(l, e.le_elm);
			yield* noise_remote_expire_current(e.le_elm);
		}
	}
	NET_EPOCH_EXIT();
	yield* rw_wunlock(l.l_identity_lock);
}

/**
 * Copies the keys out; either buffer may be null.
 *
 * @returns 0, or ENXIO when there is no identity
 * @see wg_noise.c noise_local_keys
 */
export function* noise_local_keys(
	l: noise_local,
	public_key: Uint8Array | null,
	private_key: Uint8Array | null,
): Blocking<Errno> {
	yield* rw_rlock(l.l_identity_lock);
	const has_identity = l.l_has_identity;
	if (has_identity) {
		if (public_key !== null) public_key.set(l.l_public);
		if (private_key !== null) private_key.set(l.l_private);
	}
	yield* rw_runlock(l.l_identity_lock);
	return has_identity ? 0 : ENXIO;
}

/**
 * Computes the static-static secret ahead of any handshake; zeros stand for "there is none".
 *
 * @see wg_noise.c noise_precompute_ss
 */
export function* noise_precompute_ss(l: noise_local, r: noise_remote): Blocking<void> {
	yield* rw_wlock(r.r_handshake_lock);
	if (!l.l_has_identity || !curve25519(r.r_ss, l.l_private, r.r_public)) r.r_ss.fill(0);
	yield* rw_wunlock(r.r_handshake_lock);
}

/** Remote configuration */

/**
 * Makes a remote, with one reference for the caller and one of its own on the local. Nobody can look it up yet.
 *
 * @returns null when there is no memory, which only generations that allocate with M_NOWAIT can see
 * @see wg_noise.c noise_remote_alloc; generation: config_nowait
 */
export function* noise_remote_alloc(
	l: noise_local,
	arg: unknown,
	public_key: Uint8Array,
): Blocking<noise_remote | null> {
	if (!malloc_account(M_NOISE, SIZEOF_NOISE_REMOTE, (generation().config_nowait ? M_NOWAIT : M_WAITOK) | M_ZERO))
		return null;
	const r = new noise_remote(l);
	r.r_public.set(public_key.subarray(0, NOISE_PUBLIC_KEY_LEN));

	rw_init(r.r_handshake_lock, "noise_handshake");
	r.r_handshake_state = HANDSHAKE_DEAD;
	r.r_last_sent = TIMER_RESET;
	r.r_last_init_recv = TIMER_RESET;
	yield* noise_precompute_ss(l, r);

	refcount_init(r.r_refcnt, 1);
	r.r_local = noise_local_ref(l);
	r.r_arg = arg;

	mtx_init(r.r_keypair_mtx, "noise_keypair", null, MTX_DEF);

	return r;
}

/**
 * Publishes a remote, so that it is found by its public key.
 *
 * @returns 0, also when it was published already; ENOSPC when there are 2^20 remotes
 * @see wg_noise.c noise_remote_enable
 */
export function* noise_remote_enable(r: noise_remote): Blocking<Errno> {
	const l = r.r_local;
	let ret = 0;

	const idx = Number(siphash24(l.l_hash_key, r.r_public, NOISE_PUBLIC_KEY_LEN) & BigInt(HT_REMOTE_MASK));

	yield* mtx_lock(l.l_remote_mtx);
	if (!r.r_entry_inserted) {
		if (l.l_remote_num < MAX_REMOTE_PER_LOCAL) {
			r.r_entry_inserted = true;
			l.l_remote_num++;
			CK_LIST_INSERT_HEAD(l.l_remote_hash.head(idx), r.r_entry);
		} else {
			ret = ENOSPC;
		}
	}
	yield* mtx_unlock(l.l_remote_mtx);

	return ret;
}

/**
 * Takes a remote out of the table again; who holds a reference may go on using it.
 *
 * @see wg_noise.c noise_remote_disable
 */
export function* noise_remote_disable(r: noise_remote): Blocking<void> {
	const l = r.r_local;
	yield* mtx_lock(l.l_remote_mtx);
	if (r.r_entry_inserted) {
		r.r_entry_inserted = false;
		CK_LIST_REMOVE(r.r_entry);
		l.l_remote_num--;
	}
	yield* mtx_unlock(l.l_remote_mtx);
}

/**
 * Finds a published remote by its public key, and takes a reference.
 *
 * @see wg_noise.c noise_remote_lookup
 */
export function* noise_remote_lookup(l: noise_local, public_key: Uint8Array): Blocking<noise_remote | null> {
	let ret: noise_remote | null = null;

	const idx = Number(siphash24(l.l_hash_key, public_key, NOISE_PUBLIC_KEY_LEN) & BigInt(HT_REMOTE_MASK));

	NET_EPOCH_ENTER();
	yield* sync();
	for (let e = l.l_remote_hash.first(idx); e !== null; e = e.le_next) {
		const r = e.le_elm;
		if (timingsafe_bcmp(r.r_public, public_key, NOISE_PUBLIC_KEY_LEN) === 0) {
			if (refcount_acquire_if_not_zero(r.r_refcnt)) ret = r;
			break;
		}
	}
	NET_EPOCH_EXIT();
	return ret;
}

/**
 * Gives a remote's handshake a random index that nobody on this local has, in place of the one it had. Candidates are tried without
 * the lock first, and once more with it.
 *
 * @see wg_noise.c noise_remote_index_insert
 */
export function* noise_remote_index_insert(l: noise_local, r: noise_remote): Blocking<void> {
	const r_i = r.r_index;

	yield* noise_remote_index_remove(l, r);

	NET_EPOCH_ENTER();
	assign_id: for (;;) {
		r_i.i_local_index = arc4random();
		const idx = r_i.i_local_index & HT_INDEX_MASK;
		yield* sync();
		for (let e = l.l_index_hash.first(idx); e !== null; e = e.le_next) {
			if (e.le_elm.i_local_index === r_i.i_local_index) continue assign_id;
		}

		yield* mtx_lock(l.l_index_mtx);
		for (let e = l.l_index_hash.first(idx); e !== null; e = e.le_next) {
			if (e.le_elm.i_local_index === r_i.i_local_index) {
				yield* mtx_unlock(l.l_index_mtx);
				continue assign_id;
			}
		}
		CK_LIST_INSERT_HEAD(l.l_index_hash.head(idx), r_i.i_entry);
		yield* mtx_unlock(l.l_index_mtx);
		break;
	}

	NET_EPOCH_EXIT();
}

/**
 * Finds the remote that has an index: by its handshake, or if `lookup_keypair` by one of its keypairs too. Takes a reference.
 *
 * @see wg_noise.c noise_remote_index_lookup
 */
export function* noise_remote_index_lookup(
	l: noise_local,
	idx0: number,
	lookup_keypair: boolean,
): Blocking<noise_remote | null> {
	let ret: noise_remote | null = null;
	const idx = idx0 & HT_INDEX_MASK;

	NET_EPOCH_ENTER();
	yield* sync();
	for (let e = l.l_index_hash.first(idx); e !== null; e = e.le_next) {
		const i = e.le_elm;
		if (i.i_local_index === idx0) {
			let r: noise_remote;
			if (!i.i_is_keypair) {
				r = i.i_container as noise_remote;
			} else if (lookup_keypair) {
				r = (i.i_container as noise_keypair).kp_remote;
			} else {
				break;
			}
			if (refcount_acquire_if_not_zero(r.r_refcnt)) ret = r;
			break;
		}
	}
	NET_EPOCH_EXIT();
	return ret;
}

/** @see wg_noise.c noise_remote_index */
export function* noise_remote_index(l: noise_local, idx: number): Blocking<noise_remote | null> {
	return yield* noise_remote_index_lookup(l, idx, true);
}

/**
 * Ends a remote's handshake, if there is one, and frees its index.
 *
 * @returns 1 if there was one
 * @see wg_noise.c noise_remote_index_remove
 */
export function* noise_remote_index_remove(l: noise_local, r: noise_remote): Blocking<number> {
	rw_assert(r.r_handshake_lock, RA_WLOCKED);
	if (r.r_handshake_state !== HANDSHAKE_DEAD) {
		yield* mtx_lock(l.l_index_mtx);
		r.r_handshake_state = HANDSHAKE_DEAD;
		CK_LIST_REMOVE(r.r_index.i_entry);
		yield* mtx_unlock(l.l_index_mtx);
		return 1;
	}
	return 0;
}

/** @see wg_noise.c noise_remote_ref */
export function noise_remote_ref(r: noise_remote): noise_remote {
	refcount_acquire(r.r_refcnt);
	return r;
}

/**
 * Epoch callback that ends a remote nobody refers to: the owner's cleanup, the reference on the local, the keys.
 *
 * @see wg_noise.c noise_remote_smr_free
 */
export function* noise_remote_smr_free(r: noise_remote): Blocking<void> {
	if (r.r_cleanup !== null) yield* r.r_cleanup(r);
	yield* noise_local_put(r.r_local);
	rw_destroy(r.r_handshake_lock);
	mtx_destroy(r.r_keypair_mtx);
	explicit_bzero(r.r_public);
	bzero_handshake(r.r_handshake);
	explicit_bzero(r.r_timestamp);
	explicit_bzero(r.r_psk);
	explicit_bzero(r.r_ss);
	free_account(M_NOISE, SIZEOF_NOISE_REMOTE);
}

/** @see wg_noise.c noise_remote_put */
export function noise_remote_put(r: noise_remote): void {
	if (refcount_release(r.r_refcnt)) NET_EPOCH_CALL(noise_remote_smr_free, r);
}

/**
 * Retires a remote: unpublishes it, drops handshake and keypairs, and then the reference of noise_remote_alloc.
 *
 * @see wg_noise.c noise_remote_free
 */
export function* noise_remote_free(
	r: noise_remote,
	cleanup: ((r: noise_remote) => Blocking<void>) | null,
): Blocking<void> {
	r.r_cleanup = cleanup;
	yield* noise_remote_disable(r);

	yield* noise_remote_handshake_clear(r);
	yield* noise_remote_keypairs_clear(r);
	noise_remote_put(r);
}

/** @see wg_noise.c noise_remote_local */
export function noise_remote_local(r: noise_remote): noise_local {
	return noise_local_ref(r.r_local);
}

/** @see wg_noise.c noise_remote_arg */
export function noise_remote_arg(r: noise_remote): unknown {
	return r.r_arg;
}

/**
 * Sets the pre-shared key; null sets it to zeros, which is as good as none.
 *
 * @see wg_noise.c noise_remote_set_psk
 */
export function* noise_remote_set_psk(r: noise_remote, psk: Uint8Array | null): Blocking<void> {
	yield* rw_wlock(r.r_handshake_lock);
	if (psk === null) r.r_psk.fill(0);
	else r.r_psk.set(psk.subarray(0, NOISE_SYMMETRIC_KEY_LEN));
	yield* rw_wunlock(r.r_handshake_lock);
}

/**
 * Copies public and pre-shared key out; either buffer may be null.
 *
 * @returns 0, or ENOENT when no pre-shared key is set
 * @see wg_noise.c noise_remote_keys
 */
export function* noise_remote_keys(
	r: noise_remote,
	public_key: Uint8Array | null,
	psk: Uint8Array | null,
): Blocking<Errno> {
	if (public_key !== null) public_key.set(r.r_public);

	yield* rw_rlock(r.r_handshake_lock);
	if (psk !== null) psk.set(r.r_psk);
	const ret = timingsafe_bcmp(r.r_psk, null_key, NOISE_SYMMETRIC_KEY_LEN);
	yield* rw_runlock(r.r_handshake_lock);

	return ret ? 0 : ENOENT;
}

/**
 * @returns ETIMEDOUT when the last handshake message is more than REKEY_TIMEOUT old, so that another may be sent
 * @see wg_noise.c noise_remote_initiation_expired
 */
export function* noise_remote_initiation_expired(r: noise_remote): Blocking<Errno> {
	yield* rw_rlock(r.r_handshake_lock);
	const expired = noise_timer_expired(r.r_last_sent, REKEY_TIMEOUT, 0);
	yield* rw_runlock(r.r_handshake_lock);
	return expired;
}

/**
 * Forgets the handshake, and that any message was sent: the next initiation need not wait.
 *
 * @see wg_noise.c noise_remote_handshake_clear
 */
export function* noise_remote_handshake_clear(r: noise_remote): Blocking<void> {
	yield* rw_wlock(r.r_handshake_lock);
	if (yield* noise_remote_index_remove(r.r_local, r)) bzero_handshake(r.r_handshake);
	r.r_last_sent = TIMER_RESET;
	yield* rw_wunlock(r.r_handshake_lock);
}

/** @see wg_noise.c noise_remote_keypairs_clear */
export function* noise_remote_keypairs_clear(r: noise_remote): Blocking<void> {
	yield* mtx_lock(r.r_keypair_mtx);
	let kp = yield* load(r, "r_next");
	yield* store(r, "r_next", null);
	yield* noise_keypair_drop(kp);

	kp = yield* load(r, "r_current");
	yield* store(r, "r_current", null);
	yield* noise_keypair_drop(kp);

	kp = yield* load(r, "r_previous");
	yield* store(r, "r_previous", null);
	yield* noise_keypair_drop(kp);
	yield* mtx_unlock(r.r_keypair_mtx);
}

/** @see wg_noise.c noise_remote_expire_current */
export function* noise_remote_expire_current(r: noise_remote): Blocking<void> {
	yield* noise_remote_handshake_clear(r);

	NET_EPOCH_ENTER();
	let kp = yield* load(r, "r_next");
	if (kp !== null) yield* store(kp, "kp_can_send", false);
	kp = yield* load(r, "r_current");
	if (kp !== null) yield* store(kp, "kp_can_send", false);
	NET_EPOCH_EXIT();
}

/** Keypair functions */

/**
 * Puts a new keypair into its slot and gives it the handshake's index. An initiator may send at once, so its keypair becomes the
 * current one; a responder's waits as the next one until the peer proves, by using it, that it has it as well.
 *
 * @see wg_noise.c noise_add_new_keypair
 */
export function* noise_add_new_keypair(l: noise_local, r: noise_remote, kp: noise_keypair): Blocking<void> {
	const r_i = r.r_index;

	yield* mtx_lock(r.r_keypair_mtx);
	const next = yield* load(r, "r_next");
	const current = yield* load(r, "r_current");
	const previous = yield* load(r, "r_previous");

	if (kp.kp_is_initiator) {
		if (next !== null) {
			yield* store(r, "r_next", null);
			yield* store(r, "r_previous", next);
			yield* noise_keypair_drop(current);
		} else {
			yield* store(r, "r_previous", current);
		}
		yield* noise_keypair_drop(previous);
		yield* store(r, "r_current", kp);
	} else {
		yield* store(r, "r_next", kp);
		yield* noise_keypair_drop(next);
		yield* store(r, "r_previous", null);
		yield* noise_keypair_drop(previous);
	}
	yield* mtx_unlock(r.r_keypair_mtx);

	rw_assert(r.r_handshake_lock, RA_WLOCKED);

	kp.kp_index.i_is_keypair = true;
	kp.kp_index.i_local_index = r_i.i_local_index;
	kp.kp_index.i_remote_index = r_i.i_remote_index;

	yield* mtx_lock(l.l_index_mtx);
	CK_LIST_INSERT_BEFORE(r_i.i_entry, kp.kp_index.i_entry);
	r.r_handshake_state = HANDSHAKE_DEAD;
	CK_LIST_REMOVE(r_i.i_entry);
	yield* mtx_unlock(l.l_index_mtx);

	bzero_handshake(r.r_handshake);
}

/**
 * Turns a finished handshake into a keypair.
 *
 * @returns 0, or ENOSPC when there is no memory
 * @see wg_noise.c noise_begin_session
 */
export function* noise_begin_session(r: noise_remote): Blocking<Errno> {
	rw_assert(r.r_handshake_lock, RA_WLOCKED);

	if (!malloc_account(M_NOISE, SIZEOF_NOISE_KEYPAIR, M_NOWAIT | M_ZERO)) return ENOSPC;
	const kp = new noise_keypair(r);

	refcount_init(kp.kp_refcnt, 1);
	kp.kp_can_send = true;
	kp.kp_is_initiator = r.r_handshake_state === HANDSHAKE_INITIATOR;
	kp.kp_birthdate = getsbinuptime();
	kp.kp_remote = noise_remote_ref(r);

	if (kp.kp_is_initiator) {
		noise_kdf(
			kp.kp_send,
			kp.kp_recv,
			null,
			null,
			NOISE_SYMMETRIC_KEY_LEN,
			NOISE_SYMMETRIC_KEY_LEN,
			0,
			0,
			r.r_handshake.hs_ck,
		);
	} else {
		noise_kdf(
			kp.kp_recv,
			kp.kp_send,
			null,
			null,
			NOISE_SYMMETRIC_KEY_LEN,
			NOISE_SYMMETRIC_KEY_LEN,
			0,
			0,
			r.r_handshake.hs_ck,
		);
	}

	rw_init(kp.kp_nonce_lock, "noise_nonce");

	yield* noise_add_new_keypair(r.r_local, r, kp);
	return 0;
}

/**
 * Finds the keypair that has an index, and takes a reference. Once for every data packet received.
 *
 * @see wg_noise.c noise_keypair_lookup
 */
export function* noise_keypair_lookup(l: noise_local, idx0: number): Blocking<noise_keypair | null> {
	let ret: noise_keypair | null = null;
	const idx = idx0 & HT_INDEX_MASK;

	NET_EPOCH_ENTER();
	yield* sync_read_mostly();
	for (let e = l.l_index_hash.first(idx); e !== null; e = e.le_next) {
		const i = e.le_elm;
		if (i.i_local_index === idx0 && i.i_is_keypair) {
			const kp = i.i_container as noise_keypair;
			if (refcount_acquire_if_not_zero(kp.kp_refcnt)) ret = kp;
			break;
		}
	}
	NET_EPOCH_EXIT();
	return ret;
}

/**
 * The keypair to send with, and a reference on it; null when there is none or it is too old.
 *
 * @see wg_noise.c noise_keypair_current
 */
export function* noise_keypair_current(r: noise_remote): Blocking<noise_keypair | null> {
	let ret: noise_keypair | null = null;

	NET_EPOCH_ENTER();
	const kp = yield* load_read_mostly(r, "r_current");
	if (kp !== null && (yield* load_read_mostly(kp, "kp_can_send"))) {
		if (noise_timer_expired(kp.kp_birthdate, REJECT_AFTER_TIME, 0)) yield* store(kp, "kp_can_send", false);
		else if (refcount_acquire_if_not_zero(kp.kp_refcnt)) ret = kp;
	}
	NET_EPOCH_EXIT();
	return ret;
}

/** @see wg_noise.c noise_keypair_ref */
export function noise_keypair_ref(kp: noise_keypair): noise_keypair {
	refcount_acquire(kp.kp_refcnt);
	return kp;
}

/**
 * Notes that the peer used a keypair: if it was the next one, the peer has now confirmed it and it becomes the current one.
 *
 * @returns ECONNRESET when that happened
 * @see wg_noise.c noise_keypair_received_with
 */
export function* noise_keypair_received_with(kp: noise_keypair): Blocking<Errno> {
	const r = kp.kp_remote;

	if (kp !== (yield* load_read_mostly(r, "r_next"))) return 0;

	yield* mtx_lock(r.r_keypair_mtx);
	if (kp !== (yield* load(r, "r_next"))) {
		yield* mtx_unlock(r.r_keypair_mtx);
		return 0;
	}

	const old = yield* load(r, "r_previous");
	yield* store(r, "r_previous", yield* load(r, "r_current"));
	yield* noise_keypair_drop(old);
	yield* store(r, "r_current", kp);
	yield* store(r, "r_next", null);
	yield* mtx_unlock(r.r_keypair_mtx);

	return ECONNRESET;
}

/** @see wg_noise.c noise_keypair_smr_free */
export function* noise_keypair_smr_free(kp: noise_keypair): Blocking<void> {
	noise_remote_put(kp.kp_remote);
	rw_destroy(kp.kp_nonce_lock);
	explicit_bzero(kp.kp_send);
	explicit_bzero(kp.kp_recv);
	free_account(M_NOISE, SIZEOF_NOISE_KEYPAIR);
}

/** @see wg_noise.c noise_keypair_put */
export function noise_keypair_put(kp: noise_keypair): void {
	if (refcount_release(kp.kp_refcnt)) NET_EPOCH_CALL(noise_keypair_smr_free, kp);
}

/**
 * Gives up the reference of a slot: the keypair can no longer be looked up.
 *
 * @see wg_noise.c noise_keypair_drop
 */
export function* noise_keypair_drop(kp: noise_keypair | null): Blocking<void> {
	if (kp === null) return;

	const r = kp.kp_remote;
	const l = r.r_local;

	yield* mtx_lock(l.l_index_mtx);
	CK_LIST_REMOVE(kp.kp_index.i_entry);
	yield* mtx_unlock(l.l_index_mtx);

	noise_keypair_put(kp);
}

/** @see wg_noise.c noise_keypair_remote */
export function noise_keypair_remote(kp: noise_keypair): noise_remote {
	return noise_remote_ref(kp.kp_remote);
}

/**
 * Takes the next nonce to send with. One atomic addition; that the counter passes the limit by a few when several threads meet
 * there does no harm, as all of them see it.
 *
 * @returns 0, or EINVAL when the keypair may not send (any more)
 * @see wg_noise.c noise_keypair_nonce_next, as on a 64-bit machine
 */
export function* noise_keypair_nonce_next(kp: noise_keypair, send: uint64): Blocking<Errno> {
	if (!(yield* load_read_mostly(kp, "kp_can_send"))) return EINVAL;

	const n = yield* atomic_fetchadd(kp, "kp_nonce_send", 1);
	if (kp.kp_nonce_base === 0n) {
		send.lo = n >>> 0;
		send.hi = n < UINT32 ? 0 : Math.floor(n / UINT32);
		return 0;
	}

	const value = kp.kp_nonce_base + BigInt(n);
	send.lo = Number(value & 0xffffffffn);
	send.hi = Number((value >> 32n) & 0xffffffffn);
	if (value < REJECT_AFTER_MESSAGES) return 0;
	yield* store(kp, "kp_can_send", false);
	return EINVAL;
}

/**
 * Checks that a nonce was not received before, and remembers it. The window is a ring of 64-bit words that moves a word at a time;
 * counters are kept plus one, so that 0 says nothing was received yet.
 *
 * @returns 0, or EEXIST when the nonce is a repetition, is too far behind, or is past the limit
 * @see wg_noise.c noise_keypair_nonce_check; RFC 6479
 */
export function* noise_keypair_nonce_check(kp: noise_keypair, recv: uint64): Blocking<Errno> {
	let ret = EEXIST;

	yield* rw_wlock(kp.kp_nonce_lock);
	error: {
		const kp_lo = kp.kp_nonce_recv_lo;
		const kp_hi = kp.kp_nonce_recv_hi;
		let lo = recv.lo;
		let hi = recv.hi;

		if (
			(kp_hi === REJECT_AFTER_MESSAGES_HI && kp_lo >= REJECT_AFTER_MESSAGES_LO + 1) ||
			(hi === REJECT_AFTER_MESSAGES_HI && lo >= REJECT_AFTER_MESSAGES_LO)
		) {
			break error;
		}

		if (++lo === UINT32) {
			lo = 0;
			hi++;
		}

		// both sides of recv + COUNTER_WINDOW_SIZE < kp_nonce_recv fit in 64 bits: recv is at most REJECT_AFTER_MESSAGES
		let edge_lo = lo + COUNTER_WINDOW_SIZE;
		let edge_hi = hi;
		if (edge_lo >= UINT32) {
			edge_lo -= UINT32;
			edge_hi++;
		}
		if (edge_hi < kp_hi || (edge_hi === kp_hi && edge_lo < kp_lo)) break error;

		const index = (lo >>> COUNTER_ORDER) & (COUNTER_WORDS - 1);

		if (hi > kp_hi || (hi === kp_hi && lo > kp_lo)) {
			const index_current = (kp_lo >>> COUNTER_ORDER) & (COUNTER_WORDS - 1);
			// words between the two; rounding is only possible when there are far more than the ring has
			const ahead = (hi - kp_hi) * (UINT32 / COUNTER_BITS) + ((lo >>> COUNTER_ORDER) - (kp_lo >>> COUNTER_ORDER));
			const top = Math.min(ahead, COUNTER_WORDS);
			for (let i = 1; i <= top; i++) {
				const word = (i + index_current) & (COUNTER_WORDS - 1);
				kp.kp_backtrack[2 * word] = 0;
				kp.kp_backtrack[2 * word + 1] = 0;
			}
			kp.kp_nonce_recv_hi = hi;
			yield* store(kp, "kp_nonce_recv_lo", lo);
		}

		const half = 2 * index + ((lo >>> 5) & 1);
		const bit = 1 << (lo & 31);
		if (kp.kp_backtrack[half] & bit) break error;

		kp.kp_backtrack[half] |= bit;
		ret = 0;
	}
	yield* rw_wunlock(kp.kp_nonce_lock);
	return ret;
}

/**
 * Asked after sending: is it time for a new handshake? An initiator looks at the keypair's age, both sides at the number of messages.
 *
 * @returns ESTALE when it is
 * @see wg_noise.c noise_keep_key_fresh_send
 */
export function* noise_keep_key_fresh_send(r: noise_remote): Blocking<Errno> {
	let keep_key_fresh: boolean;

	NET_EPOCH_ENTER();
	out: {
		const current = yield* load_read_mostly(r, "r_current");
		keep_key_fresh = current !== null && (yield* load_read_mostly(current, "kp_can_send"));
		if (!keep_key_fresh) break out;
		const nonce = yield* load(current!, "kp_nonce_send");
		// no keypair sends 2^60 messages in its three minutes: without a base there is nothing to compare
		keep_key_fresh = current!.kp_nonce_base !== 0n && current!.kp_nonce_base + BigInt(nonce) > REKEY_AFTER_MESSAGES;
		if (keep_key_fresh) break out;
		keep_key_fresh = current!.kp_is_initiator && noise_timer_expired(current!.kp_birthdate, REKEY_AFTER_TIME, 0) !== 0;
	}
	NET_EPOCH_EXIT();
	return keep_key_fresh ? ESTALE : 0;
}

/**
 * Asked after receiving: will the keypair end before an answer and a handshake can have come through?
 *
 * @returns ESTALE when it will, and we are the initiator
 * @see wg_noise.c noise_keep_key_fresh_recv
 */
export function* noise_keep_key_fresh_recv(r: noise_remote): Blocking<Errno> {
	NET_EPOCH_ENTER();
	const current = yield* load_read_mostly(r, "r_current");
	const keep_key_fresh =
		current !== null &&
		(yield* load_read_mostly(current, "kp_can_send")) &&
		current.kp_is_initiator &&
		noise_timer_expired(current.kp_birthdate, REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT, 0) !== 0;
	NET_EPOCH_EXIT();

	return keep_key_fresh ? ESTALE : 0;
}

/**
 * Encrypts a packet in place, and says under which index the peer knows the keypair.
 *
 * @see wg_noise.c noise_keypair_encrypt; generation: aead_error_codes
 */
export function* noise_keypair_encrypt(kp: noise_keypair, r_idx: uint32_out, nonce: uint64, m: mbuf): Blocking<Errno> {
	const ret = yield* chacha20poly1305_encrypt_mbuf(m, nonce.lo, nonce.hi, kp.kp_send);
	if (ret) return generation().aead_error_codes ? ret : ENOMEM;

	r_idx[0] = kp.kp_index.i_remote_index;
	return 0;
}

/**
 * Decrypts a packet in place, unless the keypair is past its limits.
 *
 * @see wg_noise.c noise_keypair_decrypt; generation: aead_error_codes
 */
export function* noise_keypair_decrypt(kp: noise_keypair, nonce: uint64, m: mbuf): Blocking<Errno> {
	const cur_lo = yield* load(kp, "kp_nonce_recv_lo");

	if (
		(kp.kp_nonce_recv_hi === REJECT_AFTER_MESSAGES_HI && cur_lo >= REJECT_AFTER_MESSAGES_LO) ||
		noise_timer_expired(kp.kp_birthdate, REJECT_AFTER_TIME, 0)
	) {
		return EINVAL;
	}

	const ret = yield* chacha20poly1305_decrypt_mbuf(m, nonce.lo, nonce.hi, kp.kp_recv);
	if (ret) return generation().aead_error_codes ? ret : EINVAL;

	return 0;
}

/** Handshake functions */

/**
 * Makes the first message of a handshake, at most one in REKEY_TIMEOUT.
 *
 * @param s_idx our index, as it goes into the message
 * @param ue our ephemeral public key, @param es our encrypted static key, @param ets the encrypted timestamp: parts of the message
 * @returns 0, or EINVAL: no identity, too early, or a key that is no key
 * @see wg_noise.c noise_create_initiation
 */
export function* noise_create_initiation(
	r: noise_remote,
	s_idx: uint32_out,
	ue: Uint8Array,
	es: Uint8Array,
	ets: Uint8Array,
): Blocking<Errno> {
	const hs = r.r_handshake;
	const l = r.r_local;
	const key = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
	let ret = EINVAL;

	yield* rw_rlock(l.l_identity_lock);
	yield* rw_wlock(r.r_handshake_lock);
	error: {
		if (!l.l_has_identity) break error;
		if (!noise_timer_expired(r.r_last_sent, REKEY_TIMEOUT, 0)) break error;
		noise_param_init(hs.hs_ck, hs.hs_hash, r.r_public);

		// e
		curve25519_generate_secret(hs.hs_e);
		if (!curve25519_generate_public(ue, hs.hs_e)) break error;
		noise_msg_ephemeral(hs.hs_ck, hs.hs_hash, ue);

		// es
		if (noise_mix_dh(hs.hs_ck, key, hs.hs_e, r.r_public) !== 0) break error;

		// s
		noise_msg_encrypt(es, l.l_public, NOISE_PUBLIC_KEY_LEN, key, hs.hs_hash);

		// ss
		if (noise_mix_ss(hs.hs_ck, key, r.r_ss) !== 0) break error;

		// {t}
		noise_tai64n_now(ets);
		noise_msg_encrypt(ets, ets, NOISE_TIMESTAMP_LEN, key, hs.hs_hash);

		yield* noise_remote_index_insert(l, r);
		r.r_handshake_state = HANDSHAKE_INITIATOR;
		r.r_last_sent = getsbinuptime();
		s_idx[0] = r.r_index.i_local_index;
		ret = 0;
		if (noise_handshake_secrets.on !== null) {
			noise_handshake_secrets.on("create-initiation", r, l.l_private, r.r_public, hs.hs_e, r.r_psk);
		}
	}
	yield* rw_wunlock(r.r_handshake_lock);
	yield* rw_runlock(l.l_identity_lock);
	explicit_bzero(key);
	return ret;
}

/**
 * Accepts the first message of a handshake: whoever sent it knows our public key and has the private key of a published remote.
 * The arithmetic is done on a copy; the remote is changed only after replay and flood checks.
 *
 * @returns the remote, with a reference, or EINVAL
 * @see wg_noise.c noise_consume_initiation; the timestamp is stored even when the flood check then refuses the message (L-11)
 */
export function* noise_consume_initiation(
	l: noise_local,
	s_idx: number,
	ue: Uint8Array,
	es: Uint8Array,
	ets: Uint8Array,
): Blocking<noise_remote | Errno> {
	const hs = new noise_handshake();
	const key = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
	const r_public = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
	const timestamp = new Uint8Array(NOISE_TIMESTAMP_LEN);
	let ret: noise_remote | Errno = EINVAL;

	yield* rw_rlock(l.l_identity_lock);
	error: {
		if (!l.l_has_identity) break error;
		noise_param_init(hs.hs_ck, hs.hs_hash, l.l_public);

		// e
		noise_msg_ephemeral(hs.hs_ck, hs.hs_hash, ue);

		// es
		if (noise_mix_dh(hs.hs_ck, key, l.l_private, ue) !== 0) break error;

		// s
		if (noise_msg_decrypt(r_public, es, NOISE_PUBLIC_KEY_LEN + NOISE_AUTHTAG_LEN, key, hs.hs_hash) !== 0) break error;

		const r = yield* noise_remote_lookup(l, r_public);
		if (r === null) break error;

		error_put: {
			// ss
			if (noise_mix_ss(hs.hs_ck, key, r.r_ss) !== 0) break error_put;

			// {t}
			if (noise_msg_decrypt(timestamp, ets, NOISE_TIMESTAMP_LEN + NOISE_AUTHTAG_LEN, key, hs.hs_hash) !== 0) {
				break error_put;
			}

			hs.hs_e.set(ue.subarray(0, NOISE_PUBLIC_KEY_LEN));

			yield* rw_wlock(r.r_handshake_lock);
			error_set: {
				// replay
				if (memcmp(timestamp, r.r_timestamp, NOISE_TIMESTAMP_LEN) > 0) r.r_timestamp.set(timestamp);
				else break error_set;
				// flood
				if (noise_timer_expired(r.r_last_init_recv, 0, REJECT_INTERVAL)) r.r_last_init_recv = getsbinuptime();
				else break error_set;

				yield* noise_remote_index_insert(l, r);
				r.r_index.i_remote_index = s_idx;
				r.r_handshake_state = HANDSHAKE_RESPONDER;
				copy_handshake(r.r_handshake, hs);
				ret = noise_remote_ref(r);
				if (noise_handshake_secrets.on !== null) {
					noise_handshake_secrets.on("consume-initiation", r, l.l_private, r.r_public, null, r.r_psk);
				}
			}
			yield* rw_wunlock(r.r_handshake_lock);
		}
		noise_remote_put(r);
	}
	yield* rw_runlock(l.l_identity_lock);
	explicit_bzero(key);
	bzero_handshake(hs);
	return ret;
}

/**
 * Makes the answer to an initiation, and with it the responder's keypair.
 *
 * @param en the encrypted nothing that proves the answer
 * @returns 0, EINVAL when there is no initiation to answer, or ENOSPC
 * @see wg_noise.c noise_create_response
 */
export function* noise_create_response(
	r: noise_remote,
	s_idx: uint32_out,
	r_idx: uint32_out,
	ue: Uint8Array,
	en: Uint8Array,
): Blocking<Errno> {
	const hs = r.r_handshake;
	const l = r.r_local;
	const key = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
	const e = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
	let ret = EINVAL;

	yield* rw_rlock(l.l_identity_lock);
	yield* rw_wlock(r.r_handshake_lock);
	error: {
		if (r.r_handshake_state !== HANDSHAKE_RESPONDER) break error;

		// e
		curve25519_generate_secret(e);
		if (!curve25519_generate_public(ue, e)) break error;
		noise_msg_ephemeral(hs.hs_ck, hs.hs_hash, ue);

		// ee
		if (noise_mix_dh(hs.hs_ck, null, e, hs.hs_e) !== 0) break error;

		// se
		if (noise_mix_dh(hs.hs_ck, null, e, r.r_public) !== 0) break error;

		// psk
		noise_mix_psk(hs.hs_ck, hs.hs_hash, key, r.r_psk);

		// {}
		noise_msg_encrypt(en, null, 0, key, hs.hs_hash);

		if ((ret = yield* noise_begin_session(r)) === 0) {
			r.r_last_sent = getsbinuptime();
			s_idx[0] = r.r_index.i_local_index;
			r_idx[0] = r.r_index.i_remote_index;
			if (noise_handshake_secrets.on !== null) {
				noise_handshake_secrets.on("create-response", r, l.l_private, r.r_public, e, r.r_psk);
			}
		}
	}
	yield* rw_wunlock(r.r_handshake_lock);
	yield* rw_runlock(l.l_identity_lock);
	explicit_bzero(key);
	explicit_bzero(e);
	return ret;
}

/**
 * Accepts the answer to our initiation, and with it makes the initiator's keypair. The arithmetic is done on a copy and without the
 * handshake lock, so that it must be checked afterwards that the handshake is still the same one.
 *
 * @returns the remote, with a reference, or EINVAL or ENOSPC
 * @see wg_noise.c noise_consume_response
 */
export function* noise_consume_response(
	l: noise_local,
	s_idx: number,
	r_idx: number,
	ue: Uint8Array,
	en: Uint8Array,
): Blocking<noise_remote | Errno> {
	const preshared_key = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
	const key = new Uint8Array(NOISE_SYMMETRIC_KEY_LEN);
	const hs = new noise_handshake();
	let ret: noise_remote | Errno = EINVAL;

	const r = yield* noise_remote_index_lookup(l, r_idx, false);
	if (r === null) return ret;

	yield* rw_rlock(l.l_identity_lock);
	error: {
		if (!l.l_has_identity) break error;

		yield* rw_rlock(r.r_handshake_lock);
		if (r.r_handshake_state !== HANDSHAKE_INITIATOR) {
			yield* rw_runlock(r.r_handshake_lock);
			break error;
		}
		preshared_key.set(r.r_psk);
		copy_handshake(hs, r.r_handshake);
		yield* rw_runlock(r.r_handshake_lock);

		error_zero: {
			// e
			noise_msg_ephemeral(hs.hs_ck, hs.hs_hash, ue);

			// ee
			if (noise_mix_dh(hs.hs_ck, null, hs.hs_e, ue) !== 0) break error_zero;

			// se
			if (noise_mix_dh(hs.hs_ck, null, l.l_private, ue) !== 0) break error_zero;

			// psk
			noise_mix_psk(hs.hs_ck, hs.hs_hash, key, preshared_key);

			// {}
			if (noise_msg_decrypt(null, en, 0 + NOISE_AUTHTAG_LEN, key, hs.hs_hash) !== 0) break error_zero;

			yield* rw_wlock(r.r_handshake_lock);
			if (r.r_handshake_state === HANDSHAKE_INITIATOR && r.r_index.i_local_index === r_idx) {
				copy_handshake(r.r_handshake, hs);
				r.r_index.i_remote_index = s_idx;
				if ((ret = yield* noise_begin_session(r)) === 0) {
					ret = noise_remote_ref(r);
					if (noise_handshake_secrets.on !== null) {
						noise_handshake_secrets.on("consume-response", r, l.l_private, r.r_public, hs.hs_e, preshared_key);
					}
				}
			}
			yield* rw_wunlock(r.r_handshake_lock);
		}
		explicit_bzero(preshared_key);
		explicit_bzero(key);
		bzero_handshake(hs);
	}
	yield* rw_runlock(l.l_identity_lock);
	noise_remote_put(r);
	return ret;
}

/**
 * HMAC over BLAKE2s; `out` may be `input` or `key`, as it is written last.
 *
 * @see wg_noise.c hmac; 2021-11 had it in crypto.c as blake2s_hmac
 */
export function hmac(
	out: Uint8Array,
	input: Uint8Array,
	key: Uint8Array,
	outlen: number,
	inlen: number,
	keylen: number,
): void {
	const state = new blake2s_state();
	const x_key = new Uint8Array(BLAKE2S_BLOCK_SIZE);
	const i_hash = new Uint8Array(BLAKE2S_HASH_SIZE);

	if (keylen > BLAKE2S_BLOCK_SIZE) {
		blake2s_init(state, BLAKE2S_HASH_SIZE);
		blake2s_update(state, key, keylen);
		blake2s_final(state, x_key, BLAKE2S_HASH_SIZE);
	} else {
		x_key.set(key.subarray(0, keylen));
	}

	for (let i = 0; i < BLAKE2S_BLOCK_SIZE; ++i) x_key[i] ^= 0x36;

	blake2s_init(state, BLAKE2S_HASH_SIZE);
	blake2s_update(state, x_key, BLAKE2S_BLOCK_SIZE);
	blake2s_update(state, input, inlen);
	blake2s_final(state, i_hash, BLAKE2S_HASH_SIZE);

	for (let i = 0; i < BLAKE2S_BLOCK_SIZE; ++i) x_key[i] ^= 0x5c ^ 0x36;

	blake2s_init(state, BLAKE2S_HASH_SIZE);
	blake2s_update(state, x_key, BLAKE2S_BLOCK_SIZE);
	blake2s_update(state, i_hash, BLAKE2S_HASH_SIZE);
	blake2s_final(state, i_hash, BLAKE2S_HASH_SIZE);

	out.set(i_hash.subarray(0, outlen));
	explicit_bzero(x_key);
	explicit_bzero(i_hash);
}

/** Handshake helper functions */

/**
 * HKDF: mixes `x` into the chaining key and derives one to three keys, as many as there are buffers. `ck` may be one of them.
 *
 * @see wg_noise.c noise_kdf; RFC 5869
 */
export function noise_kdf(
	a: Uint8Array | null,
	b: Uint8Array | null,
	c: Uint8Array | null,
	x: Uint8Array | null,
	a_len: number,
	b_len: number,
	c_len: number,
	x_len: number,
	ck: Uint8Array,
): void {
	const out = new Uint8Array(BLAKE2S_HASH_SIZE + 1);
	const sec = new Uint8Array(BLAKE2S_HASH_SIZE);

	hmac(sec, x ?? nothing, ck, BLAKE2S_HASH_SIZE, x_len, NOISE_HASH_LEN);

	done: {
		if (a === null || a_len === 0) break done;

		out[0] = 1;
		hmac(out, out, sec, BLAKE2S_HASH_SIZE, 1, BLAKE2S_HASH_SIZE);
		a.set(out.subarray(0, a_len));

		if (b === null || b_len === 0) break done;

		out[BLAKE2S_HASH_SIZE] = 2;
		hmac(out, out, sec, BLAKE2S_HASH_SIZE, BLAKE2S_HASH_SIZE + 1, BLAKE2S_HASH_SIZE);
		b.set(out.subarray(0, b_len));

		if (c === null || c_len === 0) break done;

		out[BLAKE2S_HASH_SIZE] = 3;
		hmac(out, out, sec, BLAKE2S_HASH_SIZE, BLAKE2S_HASH_SIZE + 1, BLAKE2S_HASH_SIZE);
		c.set(out.subarray(0, c_len));
	}

	explicit_bzero(sec);
	explicit_bzero(out);
}

/** @see wg_noise.c noise_mix_dh */
export function noise_mix_dh(
	ck: Uint8Array,
	key: Uint8Array | null,
	private_key: Uint8Array,
	public_key: Uint8Array,
): Errno {
	const dh = new Uint8Array(NOISE_PUBLIC_KEY_LEN);

	if (!curve25519(dh, private_key, public_key)) return EINVAL;
	noise_kdf(ck, key, null, dh, NOISE_HASH_LEN, NOISE_SYMMETRIC_KEY_LEN, 0, NOISE_PUBLIC_KEY_LEN, ck);
	explicit_bzero(dh);
	return 0;
}

/** @see wg_noise.c noise_mix_ss */
export function noise_mix_ss(ck: Uint8Array, key: Uint8Array, ss: Uint8Array): Errno {
	if (timingsafe_bcmp(ss, null_key, NOISE_PUBLIC_KEY_LEN) === 0) return ENOENT;
	noise_kdf(ck, key, null, ss, NOISE_HASH_LEN, NOISE_SYMMETRIC_KEY_LEN, 0, NOISE_PUBLIC_KEY_LEN, ck);
	return 0;
}

/** @see wg_noise.c noise_mix_hash */
export function noise_mix_hash(hash: Uint8Array, src: Uint8Array, src_len: number): void {
	const blake = new blake2s_state();

	blake2s_init(blake, NOISE_HASH_LEN);
	blake2s_update(blake, hash, NOISE_HASH_LEN);
	blake2s_update(blake, src, src_len);
	blake2s_final(blake, hash, NOISE_HASH_LEN);
}

/** @see wg_noise.c noise_mix_psk */
export function noise_mix_psk(ck: Uint8Array, hash: Uint8Array, key: Uint8Array, psk: Uint8Array): void {
	const tmp = new Uint8Array(NOISE_HASH_LEN);

	noise_kdf(ck, tmp, key, psk, NOISE_HASH_LEN, NOISE_HASH_LEN, NOISE_SYMMETRIC_KEY_LEN, NOISE_SYMMETRIC_KEY_LEN, ck);
	noise_mix_hash(hash, tmp, NOISE_HASH_LEN);
	explicit_bzero(tmp);
}

/** @see wg_noise.c noise_param_init */
export function noise_param_init(ck: Uint8Array, hash: Uint8Array, s: Uint8Array): void {
	const blake = new blake2s_state();

	blake2s(ck, NOISE_HANDSHAKE_NAME, null, NOISE_HASH_LEN, NOISE_HANDSHAKE_NAME.length, 0);
	blake2s_init(blake, NOISE_HASH_LEN);
	blake2s_update(blake, ck, NOISE_HASH_LEN);
	blake2s_update(blake, NOISE_IDENTIFIER_NAME, NOISE_IDENTIFIER_NAME.length);
	blake2s_final(blake, hash, NOISE_HASH_LEN);

	noise_mix_hash(hash, s, NOISE_PUBLIC_KEY_LEN);
}

/** @see wg_noise.c noise_msg_encrypt; every key of a handshake encrypts one message, so the nonce is always zero */
export function noise_msg_encrypt(
	dst: Uint8Array,
	src: Uint8Array | null,
	src_len: number,
	key: Uint8Array,
	hash: Uint8Array,
): void {
	chacha20poly1305_encrypt(dst, src ?? nothing, src_len, hash, NOISE_HASH_LEN, 0, 0, key);
	noise_mix_hash(hash, dst, src_len + NOISE_AUTHTAG_LEN);
}

/** @see wg_noise.c noise_msg_decrypt */
export function noise_msg_decrypt(
	dst: Uint8Array | null,
	src: Uint8Array,
	src_len: number,
	key: Uint8Array,
	hash: Uint8Array,
): Errno {
	if (!chacha20poly1305_decrypt(dst ?? nothing, src, src_len, hash, NOISE_HASH_LEN, 0, 0, key)) {
		return EINVAL;
	}
	noise_mix_hash(hash, src, src_len);
	return 0;
}

/** @see wg_noise.c noise_msg_ephemeral */
export function noise_msg_ephemeral(ck: Uint8Array, hash: Uint8Array, src: Uint8Array): void {
	noise_mix_hash(hash, src, NOISE_PUBLIC_KEY_LEN);
	noise_kdf(ck, null, null, src, NOISE_HASH_LEN, 0, 0, NOISE_PUBLIC_KEY_LEN, ck);
}

/**
 * The time as TAI64N, rounded down so that it tells an observer little about our clock.
 *
 * @see wg_noise.c noise_tai64n_now; https://cr.yp.to/libtai/tai64.html
 */
export function noise_tai64n_now(output: Uint8Array): void {
	const time = getnanotime();
	const nsec = time.tv_nsec & REJECT_INTERVAL_MASK;

	const view = new DataView(output.buffer, output.byteOffset, NOISE_TIMESTAMP_LEN);
	view.setBigUint64(0, 0x400000000000000an + BigInt(time.tv_sec));
	view.setUint32(8, nsec);
}

/**
 * @returns ETIMEDOUT when more than `sec` seconds and `nsec` nanoseconds went by since `timer`, on the clock that moves once a tick
 * @see wg_noise.c noise_timer_expired
 */
export function noise_timer_expired(timer: number, sec: number, nsec: number): Errno {
	const now = getsbinuptime();
	return now > timer + sec * SBT_1S + nsec ? ETIMEDOUT : 0;
}

/** @see wg_noise.c siphash24 */
export function siphash24(key: Uint8Array, src: Uint8Array, len: number): bigint {
	const ctx = new SIPHASH_CTX();
	return SipHashX(ctx, 2, 4, key, src, len);
}

/** never written */
const null_key = new Uint8Array(NOISE_PUBLIC_KEY_LEN);
const nothing = new Uint8Array(0);

/** sys/errno.h; the driver's callers only ask whether it is nonzero */
const ESTALE = 70;

/** The wall clock as of the last tick. @see getnanotime(9) */
function getnanotime(): timespec {
	const time = nanotime();
	time.tv_nsec -= sbinuptime() - getsbinuptime();
	if (time.tv_nsec < 0) {
		time.tv_nsec += 1_000_000_000;
		time.tv_sec--;
	}
	return time;
}

/** Wipes key material; in C the compiler must not leave it out, here it never would. */
function explicit_bzero(buf: Uint8Array): void {
	buf.fill(0);
}

function bzero_handshake(hs: noise_handshake): void {
	explicit_bzero(hs.hs_e);
	explicit_bzero(hs.hs_hash);
	explicit_bzero(hs.hs_ck);
}

/** `*to = *from` */
function copy_handshake(to: noise_handshake, from: noise_handshake): void {
	to.hs_e.set(from.hs_e);
	to.hs_hash.set(from.hs_hash);
	to.hs_ck.set(from.hs_ck);
}

/** 0 when the bytes are equal; looks at all of them either way. */
function timingsafe_bcmp(a: Uint8Array, b: Uint8Array, len: number): number {
	let difference = 0;
	for (let i = 0; i < len; i++) difference |= a[i] ^ b[i];
	return difference;
}

function memcmp(a: Uint8Array, b: Uint8Array, len: number): number {
	for (let i = 0; i < len; i++) {
		if (a[i] !== b[i]) return a[i] - b[i];
	}
	return 0;
}
