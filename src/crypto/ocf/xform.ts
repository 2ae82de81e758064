/**
 * The tables of crypto(9): which digest and which cipher a session means.
 *
 * @see opencrypto/crypto.c crypto_auth_hash, crypto_cipher
 */
import { aes_klen_valid } from "./aes.ts";
import {
	CRYPTO_AES_CCM_CBC_MAC,
	CRYPTO_AES_NIST_GMAC,
	CRYPTO_BLAKE2B,
	CRYPTO_BLAKE2S,
	type crypto_session_params,
} from "./cryptodev.ts";
import { enc_xform_aes_cbc, enc_xform_aes_icm, enc_xform_aes_nist_gcm, enc_xform_ccm } from "./xform_aes.ts";
import type { auth_hash } from "./xform_auth.ts";
import {
	auth_hash_blake2b,
	auth_hash_blake2b_mlen,
	auth_hash_blake2s,
	auth_hash_blake2s_mlen,
	blake2_mlen,
} from "./xform_blake2.ts";
import { enc_xform_chacha20, enc_xform_chacha20_poly1305, enc_xform_xchacha20_poly1305 } from "./xform_chacha20.ts";
import type { enc_xform } from "./xform_enc.ts";
import { auth_hash_ccm_cbc_mac, auth_hash_nist_gmac_aes, auth_hash_poly1305 } from "./xform_mac.ts";
import { auth_hash_sha2 } from "./xform_sha2.ts";

function by_type<X extends { readonly type: number }>(entries: readonly X[]): ReadonlyMap<number, X> {
	return new Map(entries.map((x) => [x.type, x]));
}

const auth_hashes = by_type<auth_hash>([
	...auth_hash_sha2,
	auth_hash_poly1305 as auth_hash,
	auth_hash_nist_gmac_aes as auth_hash,
	auth_hash_ccm_cbc_mac as auth_hash,
	auth_hash_blake2b as auth_hash,
	auth_hash_blake2s as auth_hash,
]);

const altered_auth_hashes = by_type<auth_hash>([
	auth_hash_blake2b_mlen as auth_hash,
	auth_hash_blake2s_mlen as auth_hash,
]);

const enc_xforms = by_type<enc_xform>([
	enc_xform_aes_cbc,
	enc_xform_aes_icm,
	enc_xform_aes_nist_gcm,
	enc_xform_ccm,
	enc_xform_chacha20,
	enc_xform_chacha20_poly1305,
	enc_xform_xchacha20_poly1305,
]);

/** Algorithms whose key may be left out. */
export function alg_key_optional(alg: number): boolean {
	return alg === CRYPTO_BLAKE2B || alg === CRYPTO_BLAKE2S;
}

/** The digest of a session, null if there is none like it. @see crypto.c crypto_auth_hash */
export function crypto_auth_hash(csp: crypto_session_params): auth_hash | null {
	const alg = csp.csp_auth_alg;
	if ((alg === CRYPTO_AES_NIST_GMAC || alg === CRYPTO_AES_CCM_CBC_MAC) && !aes_klen_valid(csp.csp_auth_klen)) {
		return null;
	}
	if (blake2_mlen()) {
		const altered = altered_auth_hashes.get(alg);
		if (altered !== undefined) return altered;
	}
	return auth_hashes.get(alg) ?? null;
}

/** The cipher of a session, null if there is none like it. @see crypto.c crypto_cipher */
export function crypto_cipher(csp: crypto_session_params): enc_xform | null {
	return enc_xforms.get(csp.csp_cipher_alg) ?? null;
}
