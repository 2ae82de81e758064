/**
 * The driver's ciphers and hashes: authenticated encryption of packets in mbuf chains, of handshake fields in flat buffers.
 * BLAKE2s, which is in the same file of the driver, is in wg_crypto_blake2s.ts.
 *
 * Packets have been encrypted in three ways over the years, and the loader tunable `hw.wg.crypto` picks one of them: `own`, the
 * driver's portable C, which works in place and knows nothing of crypto(9); `cryptosoft` and `ossl`, one session of crypto(9) for
 * the whole module. `ossl` means that ossl.ko was loaded too: the framework prefers it, whoever came first. Without the tunable
 * the driver's generation decides.
 *
 * A nonce is 64 bits on the wire and two unsigned 32-bit halves here, low half first.
 *
 * @see wireguard-freebsd crypto.c and crypto.h; sys/dev/wg/wg_crypto.c
 */

import {
	chacha20_poly1305_decrypt,
	chacha20_poly1305_encrypt,
	XCHACHA20_POLY1305_NONCE,
	xchacha20_poly1305_decrypt,
	xchacha20_poly1305_encrypt,
} from "../../crypto/chacha20_poly1305/chacha20_poly1305.ts";
import { aead_open, aead_seal, aead_xor } from "../../crypto/ocf/aead_chain.ts";
import { crypto_buffer_cursor, crypto_cursor_init_mbuf } from "../../crypto/ocf/criov.ts";
import {
	crypto_destroyreq,
	crypto_dispatch,
	crypto_freesession,
	crypto_initreq,
	crypto_newsession,
	crypto_ses2caps,
} from "../../crypto/ocf/crypto.ts";
import {
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_F_CBIMM,
	CRYPTO_F_IV_SEPARATE,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_DECRYPT,
	CRYPTO_OP_ENCRYPT,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	CSP_F_SEPARATE_AAD,
	CSP_F_SEPARATE_OUTPUT,
	CSP_MODE_AEAD,
	type crypto_session,
	crypto_session_params,
	crypto_use_mbuf,
	cryptop,
	POLY1305_HASH_LEN,
} from "../../crypto/ocf/cryptodev.ts";
import { small_buffer } from "../../kernel/mbuf/uma_memory.ts";
// comes with the module crypto(9) is in
import "../../crypto/ocf/cryptosoft.ts";
import { ossl_load } from "../../crypto/ocf/ossl.ts";
import { EBADMSG, EMSGSIZE, ENOMEM, ENXIO, type Errno } from "../../kernel/errno.ts";
import { M_TRAILINGSPACE, m_adj, m_append, m_copydata, type mbuf } from "../../kernel/mbuf/mbuf.ts";
import { KERNEL_GLOBAL, panic, TUNABLE_FETCH } from "../../kernel/sched/kernel.ts";
import { type Blocking, charge, charge_bytes, cost, done } from "../../kernel/sched/thread.ts";
import { generation } from "./curgeneration.ts";

export const XCHACHA20POLY1305_NONCE_SIZE = XCHACHA20_POLY1305_NONCE;
export const CHACHA20POLY1305_KEY_SIZE = 32;
export const CHACHA20POLY1305_AUTHTAG_SIZE = POLY1305_HASH_LEN;

/** Nonces of 8 bytes, little endian: what crypto(9) gets, and the last 8 of the cipher's 12. */
const NONCE_SIZE = 8;
const IETF_NONCE_SIZE = 12;

/** Loader tunables. */
export const WG_CRYPTO_TUNABLE = "hw.wg.crypto";
export const WG_CRYPTO_BACKENDS = ["own", "cryptosoft", "ossl"] as const;
export type wg_crypto_backend = (typeof WG_CRYPTO_BACKENDS)[number];

/** What the module keeps: how it encrypts, and the buffers that lie on the stack in C. */
class wg_crypto {
	readonly backend: wg_crypto_backend;
	/** the one session of the module; null while there is none, and with the driver's own code */
	chacha20_poly1305_sid: crypto_session | null = null;
	/** requests not in use. A thread can be preempted in the middle of one, so there may be several. */
	readonly crp_free: cryptop[] = [];
	readonly nonce12 = new Uint8Array(IETF_NONCE_SIZE);
	readonly tag = small_buffer(POLY1305_HASH_LEN);
	readonly cc = new crypto_buffer_cursor();

	constructor() {
		const name = TUNABLE_FETCH(WG_CRYPTO_TUNABLE) ?? (generation().aead === "own" ? "own" : "cryptosoft");
		const backend = WG_CRYPTO_BACKENDS.find((known) => known === name);
		this.backend = backend ?? panic(`${WG_CRYPTO_TUNABLE}: no way of encrypting is called ${name}`);
	}
}

const wg_crypto_softc = KERNEL_GLOBAL(() => new wg_crypto());

const blank_tag = small_buffer(POLY1305_HASH_LEN);

function le64enc(buf: Uint8Array, off: number, lo: number, hi: number): void {
	buf[off] = lo;
	buf[off + 1] = lo >>> 8;
	buf[off + 2] = lo >>> 16;
	buf[off + 3] = lo >>> 24;
	buf[off + 4] = hi;
	buf[off + 5] = hi >>> 8;
	buf[off + 6] = hi >>> 16;
	buf[off + 7] = hi >>> 24;
}

/** Which of the three ways this kernel's driver encrypts packets. */
export function wg_crypto_backend_name(): wg_crypto_backend {
	return wg_crypto_softc().backend;
}

// Flat buffers, for handshakes. @see crypto.h

/** Encrypts a field of a handshake message with a counter for a nonce; `dst` receives the tag too. */
export function chacha20poly1305_encrypt(
	dst: Uint8Array,
	src: Uint8Array,
	src_len: number,
	ad: Uint8Array | null,
	ad_len: number,
	nonce_lo: number,
	nonce_hi: number,
	key: Uint8Array,
): void {
	const nonce_bytes = new Uint8Array(NONCE_SIZE);
	le64enc(nonce_bytes, 0, nonce_lo, nonce_hi);
	chacha20_poly1305_encrypt(dst, src, src_len, ad, ad_len, nonce_bytes, NONCE_SIZE, key);
}

/** Opens what chacha20poly1305_encrypt made. @returns false, and `dst` untouched, when the tag does not match */
export function chacha20poly1305_decrypt(
	dst: Uint8Array,
	src: Uint8Array,
	src_len: number,
	ad: Uint8Array | null,
	ad_len: number,
	nonce_lo: number,
	nonce_hi: number,
	key: Uint8Array,
): boolean {
	const nonce_bytes = new Uint8Array(NONCE_SIZE);
	le64enc(nonce_bytes, 0, nonce_lo, nonce_hi);
	return chacha20_poly1305_decrypt(dst, src, src_len, ad, ad_len, nonce_bytes, NONCE_SIZE, key);
}

/** Encrypts a cookie, with a random nonce of 24 bytes. */
export const xchacha20poly1305_encrypt = xchacha20_poly1305_encrypt;

/** Opens a cookie. */
export const xchacha20poly1305_decrypt = xchacha20_poly1305_decrypt;

/**
 * The driver's own code: one pass over the chain, the keystream carried from mbuf to mbuf, so the shape of the chain costs
 * nothing. The tag is known only at the end, and appended.
 *
 * @see crypto.c chacha20poly1305_crypt_mbuf, with COMPAT_NEED_CHACHA20POLY1305_MBUF
 */
function own_encrypt_mbuf(m: mbuf, nonce_lo: number, nonce_hi: number, key: Uint8Array): Errno {
	const sc = wg_crypto_softc();
	const len = m.m_pkthdr.len;

	charge(cost.chapoly_own_setup);
	charge_bytes(len, cost.chapoly_own);
	le64enc(sc.nonce12, IETF_NONCE_SIZE - NONCE_SIZE, nonce_lo, nonce_hi);
	crypto_cursor_init_mbuf(sc.cc, m);
	// where m_append would put the tag, the cipher may write it too
	const room = m.m_next === null && M_TRAILINGSPACE(m) >= POLY1305_HASH_LEN;
	aead_seal(key, sc.nonce12, null, sc.cc, sc.cc, len, room, sc.tag);
	return m_append(m, POLY1305_HASH_LEN, sc.tag) !== 0 ? 0 : ENOMEM;
}

/**
 * The tag goes first, then the packet is decrypted while its MAC is computed: when the tag turns out to be wrong, what was
 * ciphertext is garbage.
 *
 * @see crypto.c chacha20poly1305_crypt_mbuf, with COMPAT_NEED_CHACHA20POLY1305_MBUF
 */
function own_decrypt_mbuf(m: mbuf, nonce_lo: number, nonce_hi: number, key: Uint8Array): Errno {
	if (m.m_pkthdr.len < POLY1305_HASH_LEN) return EMSGSIZE;

	const sc = wg_crypto_softc();
	const len = m.m_pkthdr.len - POLY1305_HASH_LEN;
	// m_adj leaves the bytes of the tag where they were; whether they follow the text is known before it only
	const together = m.m_len >= len + POLY1305_HASH_LEN;
	m_copydata(m, len, POLY1305_HASH_LEN, sc.tag);
	m_adj(m, -POLY1305_HASH_LEN);

	charge(cost.chapoly_own_setup);
	charge_bytes(len, cost.chapoly_own);
	le64enc(sc.nonce12, IETF_NONCE_SIZE - NONCE_SIZE, nonce_lo, nonce_hi);
	crypto_cursor_init_mbuf(sc.cc, m);
	if (aead_open(key, sc.nonce12, null, sc.cc, sc.cc, len, together, sc.tag, POLY1305_HASH_LEN)) return 0;
	aead_xor(key, sc.nonce12, sc.cc, len);
	return EBADMSG;
}

/**
 * Encrypts a packet in place and appends the tag.
 *
 * @returns 0; ENOMEM when there was no room for the tag
 * @see crypto.c chacha20poly1305_encrypt_mbuf
 */
export function* chacha20poly1305_encrypt_mbuf(
	m: mbuf,
	nonce_lo: number,
	nonce_hi: number,
	key: Uint8Array,
): Blocking<Errno> {
	if (wg_crypto_softc().backend === "own") return own_encrypt_mbuf(m, nonce_lo, nonce_hi, key);
	return yield* ocf_encrypt_mbuf(m, nonce_lo, nonce_hi, key);
}

/**
 * Checks a packet's tag, cuts it off, and decrypts in place.
 *
 * @returns 0; EMSGSIZE when the packet is shorter than a tag; EBADMSG when the tag is wrong, though not from the 2022-09 driver
 * with crypto(9), which takes such a packet for a good one
 * @see crypto.c chacha20poly1305_decrypt_mbuf
 */
export function* chacha20poly1305_decrypt_mbuf(
	m: mbuf,
	nonce_lo: number,
	nonce_hi: number,
	key: Uint8Array,
): Blocking<Errno> {
	if (wg_crypto_softc().backend === "own") return own_decrypt_mbuf(m, nonce_lo, nonce_hi, key);
	return yield* ocf_decrypt_mbuf(m, nonce_lo, nonce_hi, key);
}

/** The requests' callback: there is nothing to do, the result is looked at after the dispatch. @see crypto.c crypto_callback */
function crypto_callback(_crp: cryptop): Blocking<Errno> {
	return done(0);
}

/** Fills in what encryption and decryption have in common. */
function ocf_prepare(sc: wg_crypto, op: number, m: mbuf, nonce_lo: number, nonce_hi: number, key: Uint8Array): cryptop {
	const crp = sc.crp_free.pop() ?? new cryptop();
	if (sc.chacha20_poly1305_sid === null) panic("wg: no crypto session");
	crypto_initreq(crp, sc.chacha20_poly1305_sid);
	crp.crp_op = op;
	crp.crp_flags = CRYPTO_F_IV_SEPARATE | CRYPTO_F_CBIMM;
	crypto_use_mbuf(crp, m);
	crp.crp_payload_length = m.m_pkthdr.len - POLY1305_HASH_LEN;
	crp.crp_digest_start = crp.crp_payload_length;
	le64enc(crp.crp_iv, 0, nonce_lo, nonce_hi);
	crp.crp_cipher_key = key;
	crp.crp_callback = crypto_callback;
	return crp;
}

/**
 * What came of a request that was dispatched with result `ret`. The dispatch succeeds also when the operation did not: of that only
 * crp_etype tells, and whether it is asked is a matter of the generation.
 */
function ocf_finish(sc: wg_crypto, crp: cryptop, ret: Errno): Errno {
	if (ret === 0 && generation().ocf_checks_etype) ret = crp.crp_etype;
	crypto_destroyreq(crp);
	sc.crp_free.push(crp);
	return ret;
}

/** @see crypto.c chacha20poly1305_encrypt_mbuf, without COMPAT_NEED_CHACHA20POLY1305_MBUF */
function* ocf_encrypt_mbuf(m: mbuf, nonce_lo: number, nonce_hi: number, key: Uint8Array): Blocking<Errno> {
	if (m_append(m, POLY1305_HASH_LEN, blank_tag) === 0) return ENOMEM;
	const sc = wg_crypto_softc();
	const crp = ocf_prepare(sc, CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST, m, nonce_lo, nonce_hi, key);
	return ocf_finish(sc, crp, yield* crypto_dispatch(crp));
}

/** @see crypto.c chacha20poly1305_decrypt_mbuf, without COMPAT_NEED_CHACHA20POLY1305_MBUF */
function* ocf_decrypt_mbuf(m: mbuf, nonce_lo: number, nonce_hi: number, key: Uint8Array): Blocking<Errno> {
	if (m.m_pkthdr.len < POLY1305_HASH_LEN) return EMSGSIZE;
	const sc = wg_crypto_softc();
	const crp = ocf_prepare(sc, CRYPTO_OP_DECRYPT | CRYPTO_OP_VERIFY_DIGEST, m, nonce_lo, nonce_hi, key);
	const ret = ocf_finish(sc, crp, yield* crypto_dispatch(crp));
	if (ret !== 0) return ret;
	m_adj(m, -POLY1305_HASH_LEN);
	return 0;
}

/**
 * Makes ready for packets: with crypto(9), opens the session. Which driver serves it is decided here and stays so. The newest
 * driver refuses one that could complete later, because it looks at the result right after the dispatch.
 *
 * @see crypto.c crypto_init; wg_crypto.c wg_crypto_init
 */
export function* crypto_init(): Blocking<Errno> {
	const sc = wg_crypto_softc();
	if (sc.backend === "own") return 0;
	if (sc.backend === "ossl") {
		const error = yield* ossl_load();
		if (error !== 0) return error;
	}

	const csp = new crypto_session_params();
	csp.csp_mode = CSP_MODE_AEAD;
	csp.csp_ivlen = NONCE_SIZE;
	csp.csp_cipher_alg = CRYPTO_CHACHA20_POLY1305;
	csp.csp_cipher_klen = CHACHA20POLY1305_KEY_SIZE;
	csp.csp_flags = CSP_F_SEPARATE_AAD | CSP_F_SEPARATE_OUTPUT;
	const sid = yield* crypto_newsession(csp, CRYPTOCAP_F_SOFTWARE);
	if (typeof sid === "number") return sid;
	if (generation().ocf_requires_synchronous && (crypto_ses2caps(sid) & CRYPTOCAP_F_SYNC) === 0) {
		yield* crypto_freesession(sid);
		return ENXIO;
	}
	sc.chacha20_poly1305_sid = sid;
	return 0;
}

/** @see crypto.c crypto_deinit */
export function* crypto_deinit(): Blocking<void> {
	const sc = wg_crypto_softc();
	const sid = sc.chacha20_poly1305_sid;
	sc.chacha20_poly1305_sid = null;
	yield* crypto_freesession(sid);
}
