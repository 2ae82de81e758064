/**
 * ossl's ciphers: the same results as cryptosoft's, at the assembly's price.
 *
 * @see sys/crypto/openssl/ossl_chacha20.c, ossl_aes.c
 */
import { EINVAL, type Errno } from "../../kernel/errno.ts";
import { charge, charge_bytes, cost } from "../../kernel/sched/thread.ts";
import { aes_klen_valid } from "./aes.ts";
import { CHACHA_IVLEN } from "./chacha20.ts";
import {
	AES_BLOCK_LEN,
	AES_GCM_IV_LEN,
	CHACHA20_POLY1305_KEY,
	CRYPTO_OP_IS_ENCRYPT,
	type crypto_session_params,
	type cryptop,
} from "./cryptodev.ts";
import { ossl_aes_cbc_walk, ossl_aes_gcm_walk, ossl_chacha20_walk, type ossl_walk } from "./ossl_walk.ts";
import { enc_xform_aes_cbc, enc_xform_aes_nist_gcm, gcm_decrypt_unverified } from "./xform_aes.ts";
import { enc_xform_chacha20, enc_xform_chacha20_poly1305 } from "./xform_chacha20.ts";

export interface ossl_cipher {
	readonly aead: boolean;
	/** 0 for one whose user has checked it */
	readonly ivsize: number;
	klen_valid(klen: number): boolean;
	process(walk: ossl_walk, crp: cryptop, csp: crypto_session_params): Errno;
}

/** Charges for both passes over a text: the first run is part of the setup. */
function charge_chapoly(walk: ossl_walk, crp: cryptop): void {
	ossl_chacha20_walk(walk, crp);
	charge_bytes(crp.crp_payload_length, cost.chapoly_ossl);
	if (walk.segments > 1) charge((walk.segments - 1) * cost.ossl_segment);
	charge(walk.bounces * cost.ossl_bounce);
}

/**
 * Decryption computes the MAC over everything first, and when it does not match stops there.
 *
 * @see ossl_chacha20.c ossl_chacha20_poly1305_encrypt, ossl_chacha20_poly1305_decrypt
 */
export const ossl_cipher_chacha20_poly1305: ossl_cipher = {
	aead: true,
	ivsize: 0,
	klen_valid: (klen) => klen === CHACHA20_POLY1305_KEY,
	process(walk, crp, csp) {
		charge(cost.chapoly_ossl_setup);
		charge_bytes(crp.crp_aad_length, cost.poly1305_ossl);
		if (CRYPTO_OP_IS_ENCRYPT(crp.crp_op)) {
			charge_chapoly(walk, crp);
			enc_xform_chacha20_poly1305.encrypt(crp, csp);
			return 0;
		}
		const error = enc_xform_chacha20_poly1305.decrypt(crp, csp);
		if (error === 0) charge_chapoly(walk, crp);
		else charge_bytes(crp.crp_payload_length, cost.poly1305_ossl);
		return error;
	},
};

/** @see ossl_chacha20.c ossl_chacha20 */
export const ossl_cipher_chacha20: ossl_cipher = {
	aead: false,
	ivsize: CHACHA_IVLEN,
	// the 16-byte keys of cryptosoft are not for the assembly
	klen_valid: (klen) => klen === CHACHA20_POLY1305_KEY,
	process(walk, crp, csp) {
		ossl_chacha20_walk(walk, crp);
		charge(walk.segments * cost.chacha20_ossl_setup + walk.bounces * cost.ossl_bounce);
		charge_bytes(crp.crp_payload_length, cost.chacha20_ossl);
		if (!CRYPTO_OP_IS_ENCRYPT(crp.crp_op)) return enc_xform_chacha20.decrypt(crp, csp);
		enc_xform_chacha20.encrypt(crp, csp);
		return 0;
	},
};

/** @see ossl_aes.c ossl_aes_cbc */
export const ossl_cipher_aes_cbc: ossl_cipher = {
	aead: false,
	ivsize: AES_BLOCK_LEN,
	klen_valid: aes_klen_valid,
	process(walk, crp, csp) {
		if (crp.crp_payload_length % AES_BLOCK_LEN !== 0) return EINVAL;
		ossl_aes_cbc_walk(walk, crp, AES_BLOCK_LEN);
		charge(cost.aes_ossl_setup + (walk.segments + walk.bounces) * cost.aes_ossl_segment);
		if (CRYPTO_OP_IS_ENCRYPT(crp.crp_op)) {
			charge_bytes(crp.crp_payload_length, cost.aes_cbc_encrypt_ossl);
			enc_xform_aes_cbc.encrypt(crp, csp);
			return 0;
		}
		charge_bytes(crp.crp_payload_length, cost.aes_cbc_decrypt_ossl);
		return enc_xform_aes_cbc.decrypt(crp, csp);
	},
};

/**
 * One pass for cipher and MAC, also in decryption: when the tag turns out to be wrong the text has been decrypted already, and stays
 * so. cryptosoft leaves it as it was.
 *
 * @see ossl_aes.c ossl_aes_gcm
 */
export const ossl_cipher_aes_gcm: ossl_cipher = {
	aead: true,
	ivsize: AES_GCM_IV_LEN,
	klen_valid: aes_klen_valid,
	process(walk, crp, csp) {
		ossl_aes_gcm_walk(walk, crp);
		charge(cost.aes_ossl_setup + walk.segments * cost.aes_ossl_segment);
		charge_bytes(crp.crp_aad_length + crp.crp_payload_length, cost.aes_gcm_ossl);
		if (CRYPTO_OP_IS_ENCRYPT(crp.crp_op)) {
			enc_xform_aes_nist_gcm.encrypt(crp, csp);
			return 0;
		}
		const error = enc_xform_aes_nist_gcm.decrypt(crp, csp);
		if (error !== 0) gcm_decrypt_unverified(crp, csp);
		return error;
	},
};
