/**
 * AES for crypto(9): CBC, counter mode, and the two AEADs on top of counter mode.
 *
 * @see opencrypto/xform_aes_cbc.c, xform_aes_icm.c; cryptosoft.c swcr_gcm, swcr_ccm
 */
import { EBADMSG } from "../../kernel/errno.ts";
import { cost_only } from "../../kernel/sched/kernel.ts";
import { aes_cbc_decrypt, aes_cbc_encrypt, aes_icm, aes_klen_valid, aes_setkey } from "./aes.ts";
import {
	AES_CBC_MAC_Final,
	AES_CBC_MAC_pad,
	AES_CBC_MAC_Reinit,
	AES_CBC_MAC_Setkey,
	AES_CBC_MAC_Update,
	aes_cbc_mac_ctx,
	ccm_counter,
	ccm_update_aad_length,
	ccm_update_b0,
} from "./cbc_mac.ts";
import {
	AES_BLOCK_LEN,
	AES_CBC_MAC_HASH_LEN,
	AES_CCM_IV_LEN,
	AES_GCM_IV_LEN,
	AES_GMAC_HASH_LEN,
	AES_MAX_KEY,
	AES_MIN_KEY,
	CRYPTO_AES_CBC,
	CRYPTO_AES_CCM_16,
	CRYPTO_AES_ICM,
	CRYPTO_AES_NIST_GCM_16,
	type crypto_session_params,
	type cryptop,
} from "./cryptodev.ts";
import {
	AES_GMAC_Final,
	AES_GMAC_lengths,
	AES_GMAC_Reinit,
	AES_GMAC_Setkey,
	AES_GMAC_Update,
	aes_gmac_ctx,
} from "./gmac.ts";
import { ocf_release } from "./ocf_release.ts";
import {
	request_aad,
	request_cipher_key,
	request_crypt,
	request_iv,
	request_mlen,
	request_put_tag,
	request_put_text,
	request_tag_matches,
	request_text,
} from "./request.ts";
import type { enc_xform } from "./xform_enc.ts";

/** The count in the counter block of a text's first block; a lower one makes the tag. */
const GCM_FIRST_TEXT_BLOCK = 2;
const CCM_FIRST_TEXT_BLOCK = 1;

/** @see xform_aes_cbc.c enc_xform_aes_cbc; in 13.0 xform_rijndael.c enc_xform_rijndael128 */
export const enc_xform_aes_cbc: enc_xform = {
	type: CRYPTO_AES_CBC,
	name: "AES-CBC",
	blocksize: AES_BLOCK_LEN,
	native_blocksize: 0,
	ivsize: AES_BLOCK_LEN,
	minkey: AES_MIN_KEY,
	maxkey: AES_MAX_KEY,
	macsize: 0,
	cost_setup: "aes_soft_setup",
	cost_encrypt: "aes_soft",
	cost_decrypt: "aes_soft",
	cost_verify: "aes_soft",
	cost_aad: "aes_soft",
	klen_valid: aes_klen_valid,
	encrypt(crp, csp) {
		request_crypt(crp, (text) => aes_cbc_encrypt(request_cipher_key(crp, csp), request_iv(crp), text));
	},
	decrypt(crp, csp) {
		request_crypt(crp, (text) => aes_cbc_decrypt(request_cipher_key(crp, csp), request_iv(crp), text));
		return 0;
	},
};

/** Counter mode; encryption and decryption are the same. */
function icm_crypt(crp: cryptop, csp: crypto_session_params): void {
	request_crypt(crp, (text) => {
		const counter = request_iv(crp).slice(0, AES_BLOCK_LEN);
		aes_icm(aes_setkey(request_cipher_key(crp, csp), csp.csp_cipher_klen), counter, text);
	});
}

/** @see xform_aes_icm.c enc_xform_aes_icm */
export const enc_xform_aes_icm: enc_xform = {
	...enc_xform_aes_cbc,
	type: CRYPTO_AES_ICM,
	name: "AES-ICM",
	blocksize: 1,
	native_blocksize: AES_BLOCK_LEN,
	encrypt: icm_crypt,
	decrypt(crp, csp) {
		icm_crypt(crp, csp);
		return 0;
	},
};

// AES-GCM

/** The tag of a ciphertext. */
function gcm_tag(crp: cryptop, csp: crypto_session_params, text: Uint8Array): Uint8Array {
	const tag = new Uint8Array(AES_GMAC_HASH_LEN);
	const ctx = new aes_gmac_ctx();
	AES_GMAC_Setkey(ctx, request_cipher_key(crp, csp), csp.csp_cipher_klen);
	AES_GMAC_Reinit(ctx, request_iv(crp), AES_GCM_IV_LEN);
	const aad = request_aad(crp);
	if (aad !== null) AES_GMAC_Update(ctx, aad);
	AES_GMAC_Update(ctx, text);
	AES_GMAC_lengths(ctx, crp.crp_aad_length, crp.crp_payload_length);
	AES_GMAC_Final(tag, ctx);
	return tag;
}

/** Encrypts or decrypts, without a look at the tag. @see xform_aes_icm.c aes_gcm_reinit, aes_icm_crypt */
function gcm_crypt(crp: cryptop, csp: crypto_session_params, text: Uint8Array): void {
	const counter = new Uint8Array(AES_BLOCK_LEN);
	counter.set(request_iv(crp).subarray(0, AES_GCM_IV_LEN));
	counter[AES_BLOCK_LEN - 1] = GCM_FIRST_TEXT_BLOCK;
	aes_icm(aes_setkey(request_cipher_key(crp, csp), csp.csp_cipher_klen), counter, text);
}

/** Decrypts a request of AES-GCM whether or not its tag is right. */
export function gcm_decrypt_unverified(crp: cryptop, csp: crypto_session_params): void {
	request_crypt(crp, (text) => gcm_crypt(crp, csp, text));
}

/** @see xform_aes_icm.c enc_xform_aes_nist_gcm; cryptosoft.c swcr_gcm; NIST SP 800-38D */
export const enc_xform_aes_nist_gcm: enc_xform = {
	...enc_xform_aes_icm,
	type: CRYPTO_AES_NIST_GCM_16,
	name: "AES-GCM",
	ivsize: AES_GCM_IV_LEN,
	macsize: AES_GMAC_HASH_LEN,
	cost_encrypt: "aes_gcm_soft",
	cost_decrypt: "aes_gcm_soft",
	cost_verify: "ghash_soft",
	cost_aad: "ghash_soft",
	encrypt(crp, csp) {
		const mlen = request_mlen(csp, AES_GMAC_HASH_LEN);
		if (cost_only()) {
			request_put_tag(crp, blank_tag, mlen);
			return;
		}
		const text = request_text(crp);
		gcm_crypt(crp, csp, text);
		const tag = gcm_tag(crp, csp, text);
		request_put_text(crp, text);
		request_put_tag(crp, tag, mlen);
	},
	decrypt(crp, csp) {
		const mlen = request_mlen(csp, AES_GMAC_HASH_LEN);
		if (cost_only()) return request_tag_matches(crp, blank_tag, mlen) ? 0 : EBADMSG;
		const text = request_text(crp);
		if (!request_tag_matches(crp, gcm_tag(crp, csp, text), mlen)) return EBADMSG;
		gcm_crypt(crp, csp, text);
		request_put_text(crp, text);
		return 0;
	},
};

// AES-CCM

/** In a run for the costs only. */
const blank_tag = new Uint8Array(AES_CBC_MAC_HASH_LEN);

/** The tag of a plaintext. Its length goes into the first block, in 13.0 always as 16. */
function ccm_tag(crp: cryptop, csp: crypto_session_params, text: Uint8Array, mlen: number): Uint8Array {
	const tag = new Uint8Array(AES_CBC_MAC_HASH_LEN);
	const ctx = new aes_cbc_mac_ctx();
	const iv = request_iv(crp);
	const tag_length = ocf_release().ccm_fixed_lengths ? AES_CBC_MAC_HASH_LEN : mlen;
	AES_CBC_MAC_Setkey(ctx, request_cipher_key(crp, csp), csp.csp_cipher_klen);
	AES_CBC_MAC_Reinit(ctx, iv, csp.csp_ivlen);
	ccm_update_b0(ctx, iv, csp.csp_ivlen, crp.crp_aad_length, crp.crp_payload_length, tag_length);
	const aad = request_aad(crp);
	if (aad !== null) {
		ccm_update_aad_length(ctx, aad.length);
		AES_CBC_MAC_Update(ctx, aad, 0, aad.length);
		AES_CBC_MAC_pad(ctx);
	}
	AES_CBC_MAC_Update(ctx, text, 0, text.length);
	AES_CBC_MAC_Final(tag, ctx);
	return tag;
}

/** Encrypts or decrypts. @see xform_aes_icm.c aes_ccm_reinit, aes_icm_crypt */
function ccm_crypt(crp: cryptop, csp: crypto_session_params, text: Uint8Array): void {
	const counter = new Uint8Array(AES_BLOCK_LEN);
	ccm_counter(counter, request_iv(crp), csp.csp_ivlen, CCM_FIRST_TEXT_BLOCK);
	aes_icm(aes_setkey(request_cipher_key(crp, csp), csp.csp_cipher_klen), counter, text);
}

/** Longest text that the nonce leaves room to say the length of. @see cryptodev.h ccm_max_payload_length */
export function ccm_max_payload_length(csp: crypto_session_params): number {
	const L = 15 - csp.csp_ivlen;
	if (L === 2) return 0xffff;
	return L === 3 ? 0xffffff : 0xffffffff;
}

/**
 * The MAC is over the plaintext. Decryption therefore decrypts twice, once for the MAC and, when that is right, once more into place.
 *
 * @see xform_aes_icm.c enc_xform_ccm; cryptosoft.c swcr_ccm; RFC 3610
 */
export const enc_xform_ccm: enc_xform = {
	...enc_xform_aes_icm,
	type: CRYPTO_AES_CCM_16,
	name: "AES-CCM",
	ivsize: AES_CCM_IV_LEN,
	macsize: AES_CBC_MAC_HASH_LEN,
	cost_encrypt: "aes_ccm_soft",
	cost_decrypt: "aes_ccm_soft_decrypt",
	cost_verify: "aes_ccm_soft",
	cost_aad: "aes_soft",
	encrypt(crp, csp) {
		const mlen = request_mlen(csp, AES_CBC_MAC_HASH_LEN);
		if (cost_only()) {
			request_put_tag(crp, blank_tag, mlen);
			return;
		}
		const text = request_text(crp);
		const tag = ccm_tag(crp, csp, text, mlen);
		ccm_crypt(crp, csp, text);
		request_put_text(crp, text);
		request_put_tag(crp, tag, mlen);
	},
	decrypt(crp, csp) {
		const mlen = request_mlen(csp, AES_CBC_MAC_HASH_LEN);
		if (cost_only()) return request_tag_matches(crp, blank_tag, mlen) ? 0 : EBADMSG;
		const text = request_text(crp);
		ccm_crypt(crp, csp, text);
		if (!request_tag_matches(crp, ccm_tag(crp, csp, text, mlen), mlen)) return EBADMSG;
		request_put_text(crp, text);
		return 0;
	},
};
