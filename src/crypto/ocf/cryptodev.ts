/**
 * crypto(9)'s vocabulary: algorithms and flags, session parameters, buffers, requests, and what a driver implements.
 *
 * Numbers and names are FreeBSD 14's. FreeBSD 13.0 itself does not know ChaCha20-Poly1305; the driver's OCF generation asked for a
 * stable/13 that does, and that is what release 13.0 means here.
 *
 * @see opencrypto/cryptodev.h, opencrypto/cryptodev_if.m
 */
import type { Errno } from "../../kernel/errno.ts";
import type { mbuf } from "../../kernel/mbuf/mbuf.ts";
import { KASSERT } from "../../kernel/sched/kernel.ts";
import type { Blocking } from "../../kernel/sched/thread.ts";
import { task } from "../../kernel/taskqueue/taskqueue.ts";

// lengths of digests
export const SHA2_224_HASH_LEN = 28;
export const SHA2_256_HASH_LEN = 32;
export const SHA2_384_HASH_LEN = 48;
export const SHA2_512_HASH_LEN = 64;
export const AES_GMAC_HASH_LEN = 16;
export const POLY1305_HASH_LEN = 16;
export const AES_CBC_MAC_HASH_LEN = 16;
export const HASH_MAX_LEN = SHA2_512_HASH_LEN;

export const SHA2_256_BLOCK_LEN = 64;
export const SHA2_512_BLOCK_LEN = 128;

// what HMAC mixes into the key
export const HMAC_IPAD_VAL = 0x36;
export const HMAC_OPAD_VAL = 0x5c;

export const POLY1305_KEY_LEN = 32;
export const CHACHA20_POLY1305_KEY = 32;
export const AES_MIN_KEY = 16;
export const AES_MAX_KEY = 32;

export const AES_BLOCK_LEN = 16;
export const CHACHA20_NATIVE_BLOCK_LEN = 64;
export const EALG_MAX_BLOCK_LEN = CHACHA20_NATIVE_BLOCK_LEN;

// lengths of IVs
export const AES_GCM_IV_LEN = 12;
export const AES_CCM_IV_LEN = 12;
export const XCHACHA20_POLY1305_IV_LEN = 24;

/** What a driver bids for a session; the highest bid wins, and 0 or more is an error number. */
export const CRYPTODEV_PROBE_HARDWARE = -100;
export const CRYPTODEV_PROBE_ACCEL_SOFTWARE = -200;
export const CRYPTODEV_PROBE_SOFTWARE = -500;

export const CRYPTOCAP_F_HARDWARE = 0x01000000;
export const CRYPTOCAP_F_SOFTWARE = 0x02000000;
/** completes requests before its process method returns */
export const CRYPTOCAP_F_SYNC = 0x04000000;
export const CRYPTOCAP_F_ACCEL_SOFTWARE = 0x08000000;

// algorithms; SHA-1, RIPEMD-160, Camellia, XTS, the null ones and compression are left out
export const CRYPTO_AES_CBC = 11;
export const CRYPTO_SHA2_256_HMAC = 18;
export const CRYPTO_SHA2_384_HMAC = 19;
export const CRYPTO_SHA2_512_HMAC = 20;
/** known as CTR elsewhere */
export const CRYPTO_AES_ICM = 23;
export const CRYPTO_AES_NIST_GMAC = 24;
export const CRYPTO_AES_NIST_GCM_16 = 25;
export const CRYPTO_BLAKE2B = 29;
export const CRYPTO_BLAKE2S = 30;
export const CRYPTO_CHACHA20 = 31;
export const CRYPTO_SHA2_224_HMAC = 32;
export const CRYPTO_SHA2_224 = 34;
export const CRYPTO_SHA2_256 = 35;
export const CRYPTO_SHA2_384 = 36;
export const CRYPTO_SHA2_512 = 37;
export const CRYPTO_POLY1305 = 38;
export const CRYPTO_AES_CCM_CBC_MAC = 39;
export const CRYPTO_AES_CCM_16 = 40;
export const CRYPTO_CHACHA20_POLY1305 = 41;
export const CRYPTO_XCHACHA20_POLY1305 = 42;

// csp_mode
export const CSP_MODE_NONE = 0;
export const CSP_MODE_COMPRESS = 1;
export const CSP_MODE_CIPHER = 2;
export const CSP_MODE_DIGEST = 3;
export const CSP_MODE_AEAD = 4;
/** IPsec's encrypt, then authenticate */
export const CSP_MODE_ETA = 5;

// csp_flags
export const CSP_F_SEPARATE_OUTPUT = 0x0001;
export const CSP_F_SEPARATE_AAD = 0x0002;
export const CSP_F_ESN = 0x0004;

/** What a session does: mode, algorithms, lengths in bytes, and keys that hold for all its requests unless one brings its own. */
export class crypto_session_params {
	csp_mode = CSP_MODE_NONE;
	csp_flags = 0;
	csp_ivlen = 0;
	csp_cipher_alg = 0;
	csp_cipher_klen = 0;
	csp_cipher_key: Uint8Array | null = null;
	csp_auth_alg = 0;
	csp_auth_klen = 0;
	csp_auth_key: Uint8Array | null = null;
	/** bytes of the digest to use, 0 for all */
	csp_auth_mlen = 0;
}

/** Structure assignment. */
export function csp_assign(to: crypto_session_params, from: crypto_session_params): void {
	to.csp_mode = from.csp_mode;
	to.csp_flags = from.csp_flags;
	to.csp_ivlen = from.csp_ivlen;
	to.csp_cipher_alg = from.csp_cipher_alg;
	to.csp_cipher_klen = from.csp_cipher_klen;
	to.csp_cipher_key = from.csp_cipher_key;
	to.csp_auth_alg = from.csp_auth_alg;
	to.csp_auth_klen = from.csp_auth_klen;
	to.csp_auth_key = from.csp_auth_key;
	to.csp_auth_mlen = from.csp_auth_mlen;
}

// cb_type; uio and page lists are for users of crypto(9) that are not modelled
export const CRYPTO_BUF_NONE = 0;
export const CRYPTO_BUF_CONTIG = 1;
export const CRYPTO_BUF_MBUF = 3;

/** Where a request reads or writes: a piece of memory or an mbuf chain. */
export class crypto_buffer {
	cb_type = CRYPTO_BUF_NONE;
	cb_buf: Uint8Array | null = null;
	cb_buf_len = 0;
	cb_mbuf: mbuf | null = null;
}

export const ESN_LEN = 4;

// crp_op; decryption is the absence of encryption
export const CRYPTO_OP_DECRYPT = 0x0;
export const CRYPTO_OP_ENCRYPT = 0x1;
export const CRYPTO_OP_COMPUTE_DIGEST = 0x0;
export const CRYPTO_OP_VERIFY_DIGEST = 0x2;

export function CRYPTO_OP_IS_ENCRYPT(op: number): boolean {
	return (op & CRYPTO_OP_ENCRYPT) !== 0;
}

// crp_flags
/** call back at once, in whatever thread completes the request */
export const CRYPTO_F_CBIMM = 0x0010;
export const CRYPTO_F_DONE = 0x0020;
/** the same if the driver is synchronous */
export const CRYPTO_F_CBIFSYNC = 0x0040;
/** call back in the order of dispatch; set by crypto_dispatch_async */
export const CRYPTO_F_ASYNC_ORDERED = 0x0100;
/** the IV is in crp_iv and not in the buffer */
export const CRYPTO_F_IV_SEPARATE = 0x0200;

/** flag of crypto_dispatch_async */
export const CRYPTO_ASYNC_ORDERED = 0x1;

/** hint to a driver's process method: another request follows */
export const CRYPTO_HINT_MORE = 0x1;

/** what crypto_unblock unblocks */
export const CRYPTO_SYMQ = 0x1;

/** One request. All lengths and positions are bytes, positions count from the beginning of the buffer. */
export class cryptop {
	readonly crp_task = new task();
	crp_session: crypto_session | null = null;
	crp_op = 0;
	crp_flags = 0;
	/** 0, or what went wrong: the only place where that is said */
	crp_etype: Errno = 0;
	crp_olen = 0;
	readonly crp_buf = new crypto_buffer();
	readonly crp_obuf = new crypto_buffer();
	crp_aad: Uint8Array | null = null;
	crp_aad_start = 0;
	crp_aad_length = 0;
	/** upper half of an IPsec sequence number that is authenticated and not sent, with CSP_F_ESN */
	readonly crp_esn: Uint8Array;
	readonly crp_iv: Uint8Array;
	/** the memory of both */
	private readonly crp_bytes = new Float64Array(Math.ceil((EALG_MAX_BLOCK_LEN + ESN_LEN) / 8));
	crp_iv_start = 0;
	crp_payload_start = 0;
	crp_payload_output_start = 0;
	crp_payload_length = 0;
	crp_digest_start = 0;
	crp_cipher_key: Uint8Array | null = null;
	crp_auth_key: Uint8Array | null = null;
	crp_opaque: unknown = null;
	crp_callback: ((crp: cryptop) => Blocking<Errno>) | null = null;
	/** place among the ordered requests of its return worker */
	crp_seq = 0;
	crp_retw_id = 0;

	constructor() {
		const { buffer } = this.crp_bytes;
		this.crp_iv = new Uint8Array(buffer, 0, EALG_MAX_BLOCK_LEN);
		this.crp_esn = new Uint8Array(buffer, EALG_MAX_BLOCK_LEN, ESN_LEN);
	}

	/** Sets crp_iv and crp_esn to zero, eight bytes at a time. */
	clear_bytes(): void {
		const { crp_bytes } = this;
		for (let i = 0; i < crp_bytes.length; i++) crp_bytes[i] = 0;
	}
}

/** One driver, as the framework sees it. */
export interface cryptodev {
	/** name and unit, as `ossl0` */
	readonly nameunit: string;
	/** @returns the bid for such a session (CRYPTODEV_PROBE_x, negative), or an error number */
	cryptodev_probesession(csp: crypto_session_params): number;
	cryptodev_newsession(cses: crypto_session, csp: crypto_session_params): Blocking<Errno>;
	cryptodev_freesession(cses: crypto_session): Blocking<void>;
	/** @returns 0 once the request is done or under way, whatever came of it, or ERESTART when it must be tried again */
	cryptodev_process(crp: cryptop, hint: number): Blocking<Errno>;
}

/** A registered driver. */
export class cryptocap {
	readonly cc_dev: cryptodev;
	cc_hid = 0;
	cc_sessions = 0;
	cc_flags: number;
	/** the driver ran out of resources: requests wait in the queue */
	cc_qblocked = false;
	/** makes the driver's part of a session: what C says with its size */
	readonly cc_session_new: () => object;
	refcnt = 1;

	constructor(dev: cryptodev, session_new: () => object, flags: number) {
		this.cc_dev = dev;
		this.cc_session_new = session_new;
		this.cc_flags = flags;
	}
}

/** A session: the choice of a driver, the parameters, and the driver's own data. Opaque to those who use it. */
export class crypto_session {
	readonly cap: cryptocap;
	readonly csp = new crypto_session_params();
	readonly id: number;
	readonly softc: object;

	constructor(cap: cryptocap, csp: crypto_session_params, id: number) {
		this.cap = cap;
		csp_assign(this.csp, csp);
		this.id = id;
		this.softc = cap.cc_session_new();
	}
}

/** Counters of the framework, sysctl kern.crypto.stats. */
export class cryptostats {
	/** requests dispatched */
	cs_ops = 0;
	/** requests that failed */
	cs_errs = 0;
	/** wakeups of the dispatch thread */
	cs_intrs = 0;
	/** wakeups of the return threads */
	cs_rets = 0;
	/** times a driver was blocked */
	cs_blocks = 0;
}

/** The request works on the first `len` bytes of `buf`. */
export function crypto_use_buf(crp: cryptop, buf: Uint8Array, len: number): void {
	use_buf(crp.crp_buf, buf, len);
}

/** The request works on an mbuf chain. */
export function crypto_use_mbuf(crp: cryptop, m: mbuf): void {
	use_mbuf(crp.crp_buf, m);
}

/** The result goes into a buffer of its own. */
export function crypto_use_output_buf(crp: cryptop, buf: Uint8Array, len: number): void {
	use_buf(crp.crp_obuf, buf, len);
}

/** The result goes into an mbuf chain of its own. */
export function crypto_use_output_mbuf(crp: cryptop, m: mbuf): void {
	use_mbuf(crp.crp_obuf, m);
}

function use_buf(cb: crypto_buffer, buf: Uint8Array, len: number): void {
	KASSERT(len <= buf.length, "crypto_use_buf: buffer shorter than its length");
	cb.cb_type = CRYPTO_BUF_CONTIG;
	cb.cb_buf = buf;
	cb.cb_buf_len = len;
	cb.cb_mbuf = null;
}

function use_mbuf(cb: crypto_buffer, m: mbuf): void {
	cb.cb_type = CRYPTO_BUF_MBUF;
	cb.cb_mbuf = m;
	cb.cb_buf = null;
	cb.cb_buf_len = 0;
}

export function CRYPTO_HAS_OUTPUT_BUFFER(crp: cryptop): boolean {
	return crp.crp_obuf.cb_type !== CRYPTO_BUF_NONE;
}
