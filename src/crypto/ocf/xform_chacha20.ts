/**
 * ChaCha20 for crypto(9): the cipher alone, ChaCha20-Poly1305, and that with the long nonce.
 *
 * ChaCha20-Poly1305 is what packets are encrypted with, so it works on a text where it lies if that is one piece (aead_chain.ts).
 *
 * @see sys/crypto/chacha20/chacha-sw.c, opencrypto/xform_chacha20_poly1305.c
 */

import { EBADMSG, type Errno } from "../../kernel/errno.ts";
import { KERNEL_GLOBAL } from "../../kernel/sched/kernel.ts";
import { Words } from "../../machine/words.ts";
import { HCHACHA20_NONCE_SIZE, hchacha20 } from "../chacha20_poly1305/hchacha20.ts";
import { aead_open, aead_seal } from "./aead_chain.ts";
import { CHACHA_BLOCKLEN, CHACHA_IVLEN, CHACHA_MAXKEYLEN, CHACHA_MINKEYLEN, chacha20_crypt } from "./chacha20.ts";
import { crypto_buffer_cursor, crypto_copyback, crypto_copydata } from "./criov.ts";
import {
	CHACHA20_NATIVE_BLOCK_LEN,
	CHACHA20_POLY1305_KEY,
	CRYPTO_CHACHA20,
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_HAS_OUTPUT_BUFFER,
	CRYPTO_XCHACHA20_POLY1305,
	type crypto_session_params,
	type cryptop,
	POLY1305_HASH_LEN,
	XCHACHA20_POLY1305_IV_LEN,
} from "./cryptodev.ts";
import {
	request_aad,
	request_cipher_key,
	request_crypt,
	request_cursors,
	request_iv,
	request_mlen,
} from "./request.ts";
import type { enc_xform } from "./xform_enc.ts";

function chacha20_request(crp: cryptop, csp: crypto_session_params): void {
	request_crypt(crp, (text) => {
		chacha20_crypt(request_cipher_key(crp, csp), csp.csp_cipher_klen, request_iv(crp), text);
	});
}

/** @see chacha-sw.c enc_xform_chacha20 */
export const enc_xform_chacha20: enc_xform = {
	type: CRYPTO_CHACHA20,
	name: "chacha20",
	blocksize: 1,
	native_blocksize: CHACHA_BLOCKLEN,
	ivsize: CHACHA_IVLEN,
	minkey: CHACHA_MINKEYLEN,
	maxkey: CHACHA_MAXKEYLEN,
	macsize: 0,
	cost_setup: "chacha20_soft_setup",
	cost_encrypt: "chacha20_soft",
	cost_decrypt: "chacha20_soft",
	cost_verify: "chacha20_soft",
	cost_aad: "chacha20_soft",
	klen_valid: (klen) => klen === CHACHA_MINKEYLEN || klen === CHACHA_MAXKEYLEN,
	encrypt: chacha20_request,
	decrypt(crp, csp) {
		chacha20_request(crp, csp);
		return 0;
	},
};

const IETF_NONCE_LEN = 12;
/** what follows HChaCha20's part of a long nonce */
const ORIGINAL_NONCE_LEN = 8;

class chacha20_poly1305_scratch {
	readonly nonce12 = new Uint8Array(IETF_NONCE_LEN);
	readonly subkey = new Uint8Array(CHACHA20_POLY1305_KEY);
	readonly tag = new Words(POLY1305_HASH_LEN);
	readonly src = new crypto_buffer_cursor();
	readonly dst = new crypto_buffer_cursor();
}

const scratch = KERNEL_GLOBAL(() => new chacha20_poly1305_scratch());

/**
 * The IETF nonce that means the same as `len` bytes at `iv[off]`: the cipher with the 8-byte nonce counts blocks in the other four
 * bytes, which stay zero.
 */
function set_nonce(s: chacha20_poly1305_scratch, iv: Uint8Array, off: number, len: number): void {
	const pad = IETF_NONCE_LEN - len;
	for (let i = 0; i < pad; i++) s.nonce12[i] = 0;
	for (let i = 0; i < len; i++) s.nonce12[pad + i] = iv[off + i];
}

/** Whether text and tag are one piece of the input, in this order. */
function tag_follows(s: chacha20_poly1305_scratch, crp: cryptop): boolean {
	return (
		crp.crp_digest_start === crp.crp_payload_start + crp.crp_payload_length &&
		s.src.cc_len >= crp.crp_payload_length + POLY1305_HASH_LEN &&
		!CRYPTO_HAS_OUTPUT_BUFFER(crp)
	);
}

function seal(s: chacha20_poly1305_scratch, crp: cryptop, csp: crypto_session_params, key: Uint8Array): void {
	request_cursors(s.src, s.dst, crp);
	const mlen = request_mlen(csp, POLY1305_HASH_LEN);
	const behind = mlen === POLY1305_HASH_LEN && tag_follows(s, crp);
	aead_seal(key, s.nonce12, request_aad(crp), s.src, s.dst, crp.crp_payload_length, behind, s.tag);
	crypto_copyback(crp, crp.crp_digest_start, mlen, s.tag);
}

function open(s: chacha20_poly1305_scratch, crp: cryptop, csp: crypto_session_params, key: Uint8Array): Errno {
	request_cursors(s.src, s.dst, crp);
	const mlen = request_mlen(csp, POLY1305_HASH_LEN);
	const behind = tag_follows(s, crp);
	crypto_copydata(crp, crp.crp_digest_start, mlen, s.tag);
	const len = crp.crp_payload_length;
	return aead_open(key, s.nonce12, request_aad(crp), s.src, s.dst, len, behind, s.tag, mlen) ? 0 : EBADMSG;
}

/** @see xform_chacha20_poly1305.c enc_xform_chacha20_poly1305; RFC 8439 */
export const enc_xform_chacha20_poly1305: enc_xform = {
	type: CRYPTO_CHACHA20_POLY1305,
	name: "ChaCha20-Poly1305",
	blocksize: 1,
	native_blocksize: CHACHA20_NATIVE_BLOCK_LEN,
	ivsize: IETF_NONCE_LEN,
	minkey: CHACHA20_POLY1305_KEY,
	maxkey: CHACHA20_POLY1305_KEY,
	macsize: POLY1305_HASH_LEN,
	cost_setup: "chapoly_soft_setup",
	cost_encrypt: "chapoly_soft",
	cost_decrypt: "chapoly_soft",
	cost_verify: "poly1305_soft",
	cost_aad: "poly1305_soft",
	klen_valid: (klen) => klen === CHACHA20_POLY1305_KEY,
	encrypt(crp, csp) {
		const s = scratch();
		set_nonce(s, crp.crp_iv, 0, csp.csp_ivlen);
		seal(s, crp, csp, request_cipher_key(crp, csp));
	},
	decrypt(crp, csp) {
		const s = scratch();
		set_nonce(s, crp.crp_iv, 0, csp.csp_ivlen);
		return open(s, crp, csp, request_cipher_key(crp, csp));
	},
};

/** Derives the key of a long nonce, and keeps the rest of the nonce. */
function set_long_nonce(s: chacha20_poly1305_scratch, crp: cryptop, csp: crypto_session_params): void {
	hchacha20(s.subkey, crp.crp_iv.subarray(0, HCHACHA20_NONCE_SIZE), request_cipher_key(crp, csp));
	set_nonce(s, crp.crp_iv, HCHACHA20_NONCE_SIZE, ORIGINAL_NONCE_LEN);
}

/** @see xform_chacha20_poly1305.c enc_xform_xchacha20_poly1305; draft-irtf-cfrg-xchacha-03 */
export const enc_xform_xchacha20_poly1305: enc_xform = {
	...enc_xform_chacha20_poly1305,
	type: CRYPTO_XCHACHA20_POLY1305,
	name: "XChaCha20-Poly1305",
	ivsize: XCHACHA20_POLY1305_IV_LEN,
	cost_setup: "xchapoly_soft_setup",
	encrypt(crp, csp) {
		const s = scratch();
		set_long_nonce(s, crp, csp);
		seal(s, crp, csp, s.subkey);
	},
	decrypt(crp, csp) {
		const s = scratch();
		set_long_nonce(s, crp, csp);
		return open(s, crp, csp, s.subkey);
	},
};
