/**
 * What crypto(9) refuses: session parameters that make no sense, with an error, and requests that break the rules, with a panic.
 *
 * @see opencrypto/crypto.c check_csp, crp_sanity (under INVARIANTS)
 */
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { crypto_buffer_len } from "./criov.ts";
import {
	AES_CBC_MAC_HASH_LEN,
	AES_GCM_IV_LEN,
	AES_GMAC_HASH_LEN,
	CRYPTO_AES_CBC,
	CRYPTO_AES_CCM_16,
	CRYPTO_AES_CCM_CBC_MAC,
	CRYPTO_AES_ICM,
	CRYPTO_AES_NIST_GCM_16,
	CRYPTO_AES_NIST_GMAC,
	CRYPTO_BLAKE2B,
	CRYPTO_BLAKE2S,
	CRYPTO_BUF_CONTIG,
	CRYPTO_BUF_MBUF,
	CRYPTO_BUF_NONE,
	CRYPTO_CHACHA20,
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_F_DONE,
	CRYPTO_F_IV_SEPARATE,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_DECRYPT,
	CRYPTO_OP_ENCRYPT,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTO_POLY1305,
	CRYPTO_SHA2_224,
	CRYPTO_SHA2_224_HMAC,
	CRYPTO_SHA2_256,
	CRYPTO_SHA2_256_HMAC,
	CRYPTO_SHA2_384,
	CRYPTO_SHA2_384_HMAC,
	CRYPTO_SHA2_512,
	CRYPTO_SHA2_512_HMAC,
	CRYPTO_XCHACHA20_POLY1305,
	CSP_F_ESN,
	CSP_F_SEPARATE_AAD,
	CSP_F_SEPARATE_OUTPUT,
	CSP_MODE_AEAD,
	CSP_MODE_CIPHER,
	CSP_MODE_DIGEST,
	CSP_MODE_ETA,
	type crypto_buffer,
	type crypto_session_params,
	type cryptop,
	EALG_MAX_BLOCK_LEN,
	POLY1305_HASH_LEN,
	XCHACHA20_POLY1305_IV_LEN,
} from "./cryptodev.ts";
import { ocf_release } from "./ocf_release.ts";
import { alg_key_optional, crypto_auth_hash } from "./xform.ts";

type alg_type = "none" | "cipher" | "digest" | "keyed digest" | "aead";

const alg_types: ReadonlyMap<number, alg_type> = new Map([
	[CRYPTO_AES_CBC, "cipher"],
	[CRYPTO_AES_ICM, "cipher"],
	[CRYPTO_CHACHA20, "cipher"],
	[CRYPTO_SHA2_224, "digest"],
	[CRYPTO_SHA2_256, "digest"],
	[CRYPTO_SHA2_384, "digest"],
	[CRYPTO_SHA2_512, "digest"],
	[CRYPTO_SHA2_224_HMAC, "keyed digest"],
	[CRYPTO_SHA2_256_HMAC, "keyed digest"],
	[CRYPTO_SHA2_384_HMAC, "keyed digest"],
	[CRYPTO_SHA2_512_HMAC, "keyed digest"],
	[CRYPTO_AES_NIST_GMAC, "keyed digest"],
	[CRYPTO_AES_CCM_CBC_MAC, "keyed digest"],
	[CRYPTO_BLAKE2B, "keyed digest"],
	[CRYPTO_BLAKE2S, "keyed digest"],
	[CRYPTO_POLY1305, "keyed digest"],
	[CRYPTO_AES_NIST_GCM_16, "aead"],
	[CRYPTO_AES_CCM_16, "aead"],
	[CRYPTO_CHACHA20_POLY1305, "aead"],
	[CRYPTO_XCHACHA20_POLY1305, "aead"],
]);

function alg_type(alg: number): alg_type {
	return alg_types.get(alg) ?? "none";
}

const SUPPORTED_SES = CSP_F_SEPARATE_OUTPUT | CSP_F_SEPARATE_AAD | CSP_F_ESN;

// RFC 3610: the nonce leaves 2 to 8 bytes for the text's length, and a tag has an even length
const CCM_MIN_IV_LEN = 7;
const CCM_MAX_IV_LEN = 13;
const CCM_MIN_TAG_LEN = 4;

/** Whether session parameters are consistent. Compression fails as an unknown mode does. @see crypto.c check_csp */
export function check_csp(csp: crypto_session_params): boolean {
	if ((csp.csp_flags & ~SUPPORTED_SES) !== 0) return false;
	if (csp.csp_ivlen < 0 || csp.csp_cipher_klen < 0 || csp.csp_auth_klen < 0 || csp.csp_auth_mlen < 0) return false;
	if (csp.csp_auth_key !== null && csp.csp_auth_klen === 0) return false;
	if (csp.csp_cipher_key !== null && csp.csp_cipher_klen === 0) return false;
	switch (csp.csp_mode) {
		case CSP_MODE_CIPHER:
			if (csp.csp_auth_alg !== 0 || csp.csp_auth_klen !== 0 || csp.csp_auth_mlen !== 0) return false;
			return (csp.csp_flags & CSP_F_SEPARATE_AAD) === 0 && check_cipher(csp);
		case CSP_MODE_DIGEST:
			if (csp.csp_cipher_alg !== 0 || csp.csp_cipher_klen !== 0) return false;
			return (csp.csp_flags & CSP_F_SEPARATE_AAD) === 0 && check_digest_iv(csp) && check_digest(csp);
		case CSP_MODE_AEAD:
			return check_aead(csp);
		case CSP_MODE_ETA:
			return check_cipher(csp) && check_digest(csp);
		default:
			return false;
	}
}

function check_cipher(csp: crypto_session_params): boolean {
	if (alg_type(csp.csp_cipher_alg) !== "cipher" || csp.csp_cipher_klen === 0) return false;
	return csp.csp_ivlen > 0 && csp.csp_ivlen < EALG_MAX_BLOCK_LEN;
}

/** An IV is for the two MACs that have one; 13.0 does not care. */
function check_digest_iv(csp: crypto_session_params): boolean {
	if (ocf_release().digest_any_ivlen) return csp.csp_ivlen < EALG_MAX_BLOCK_LEN;
	if (csp.csp_auth_alg === CRYPTO_AES_CCM_CBC_MAC) return ccm_ivlen_valid(csp.csp_ivlen);
	return csp.csp_ivlen === (csp.csp_auth_alg === CRYPTO_AES_NIST_GMAC ? AES_GCM_IV_LEN : 0);
}

function check_digest(csp: crypto_session_params): boolean {
	const type = alg_type(csp.csp_auth_alg);
	if (type !== "digest" && type !== "keyed digest") return false;
	if (!alg_key_optional(csp.csp_auth_alg) && (type === "keyed digest") !== (csp.csp_auth_klen !== 0)) return false;
	if (csp.csp_auth_mlen === 0) return true;
	const axf = crypto_auth_hash(csp);
	if (axf === null || csp.csp_auth_mlen > axf.hashsize) return false;
	return csp.csp_auth_alg !== CRYPTO_AES_CCM_CBC_MAC || ccm_tag_length_valid(csp.csp_auth_mlen);
}

function ccm_ivlen_valid(ivlen: number): boolean {
	return ivlen >= CCM_MIN_IV_LEN && ivlen <= CCM_MAX_IV_LEN;
}

/** 13.0 does not ask, beyond the length of the longest. @see crypto.c ccm_tag_length_valid */
function ccm_tag_length_valid(len: number): boolean {
	return ocf_release().ccm_fixed_lengths || (len >= CCM_MIN_TAG_LEN && len % 2 === 0);
}

function check_aead(csp: crypto_session_params): boolean {
	if (alg_type(csp.csp_cipher_alg) !== "aead") return false;
	if (csp.csp_cipher_klen === 0) return false;
	if (csp.csp_ivlen === 0 || csp.csp_ivlen >= EALG_MAX_BLOCK_LEN) return false;
	if (csp.csp_auth_alg !== 0 || csp.csp_auth_klen !== 0) return false;
	const mlen = csp.csp_auth_mlen;
	switch (csp.csp_cipher_alg) {
		case CRYPTO_AES_CCM_16:
			if (mlen > AES_CBC_MAC_HASH_LEN || (mlen !== 0 && !ccm_tag_length_valid(mlen))) return false;
			return ocf_release().ccm_fixed_lengths || ccm_ivlen_valid(csp.csp_ivlen);
		case CRYPTO_AES_NIST_GCM_16:
			return csp.csp_ivlen === AES_GCM_IV_LEN && mlen <= AES_GMAC_HASH_LEN;
		case CRYPTO_XCHACHA20_POLY1305:
			return csp.csp_ivlen === XCHACHA20_POLY1305_IV_LEN && mlen <= POLY1305_HASH_LEN;
		default:
			return (csp.csp_ivlen === 8 || csp.csp_ivlen === 12) && mlen <= POLY1305_HASH_LEN;
	}
}

function cb_sanity(cb: crypto_buffer, message: string): void {
	KASSERT(cb.cb_type === CRYPTO_BUF_CONTIG || cb.cb_type === CRYPTO_BUF_MBUF, message);
}

/** Panics on a request that its session does not allow. @see crypto.c crp_sanity */
export function crp_sanity(crp: cryptop): void {
	KASSERT(crp.crp_session !== null, "incoming crp without a session");
	KASSERT(crp.crp_etype === 0, "incoming crp with error");
	KASSERT((crp.crp_flags & CRYPTO_F_DONE) === 0, "incoming crp already done");

	const csp = crp.crp_session!.csp;
	cb_sanity(crp.crp_buf, "incoming crp with invalid input buffer type");
	const ilen = crypto_buffer_len(crp.crp_buf);
	let olen = ilen;
	const has_output = crp.crp_obuf.cb_type !== CRYPTO_BUF_NONE;
	if (has_output) {
		KASSERT(
			(csp.csp_flags & CSP_F_SEPARATE_OUTPUT) !== 0,
			"incoming crp with separate output buffer but no session support",
		);
		cb_sanity(crp.crp_obuf, "incoming crp with invalid output buffer type");
		olen = crypto_buffer_len(crp.crp_obuf);
	}

	op_sanity(crp, csp);
	if (csp.csp_mode === CSP_MODE_AEAD || csp.csp_mode === CSP_MODE_ETA) {
		aad_sanity(crp, ilen);
	} else {
		KASSERT(
			crp.crp_aad === null && crp.crp_aad_start === 0 && crp.crp_aad_length === 0,
			"AAD region in request not supporting AAD",
		);
	}

	if (csp.csp_ivlen === 0) {
		KASSERT((crp.crp_flags & CRYPTO_F_IV_SEPARATE) === 0, "IV_SEPARATE set when IV isn't used");
		KASSERT(crp.crp_iv_start === 0, "crp_iv_start set when IV isn't used");
	} else if ((crp.crp_flags & CRYPTO_F_IV_SEPARATE) !== 0) {
		KASSERT(crp.crp_iv_start === 0, "IV_SEPARATE used with non-zero IV start");
	} else {
		KASSERT(crp.crp_iv_start + csp.csp_ivlen <= ilen, "IV outside buffer length");
	}

	KASSERT(crp.crp_payload_start === 0 || crp.crp_payload_start < ilen, "invalid payload start");
	KASSERT(crp.crp_payload_start + crp.crp_payload_length <= ilen, "payload outside input buffer");
	if (has_output) {
		KASSERT(crp.crp_payload_output_start < olen, "invalid payload output start");
		KASSERT(crp.crp_payload_output_start + crp.crp_payload_length <= olen, "payload outside output buffer");
	} else {
		KASSERT(crp.crp_payload_output_start === 0, "payload output start non-zero without output buffer");
	}

	if (csp.csp_mode === CSP_MODE_CIPHER) {
		KASSERT(crp.crp_digest_start === 0, "non-zero digest start for request without a digest");
	} else {
		const len = (crp.crp_op & CRYPTO_OP_VERIFY_DIGEST) !== 0 ? ilen : olen;
		KASSERT(crp.crp_digest_start === 0 || crp.crp_digest_start < len, "invalid digest start");
		KASSERT(crp.crp_digest_start + csp.csp_auth_mlen <= len, "digest outside buffer");
	}
	if (csp.csp_cipher_klen !== 0) {
		KASSERT(csp.csp_cipher_key !== null || crp.crp_cipher_key !== null, "cipher request without a key");
	}
	if (csp.csp_auth_klen !== 0) {
		KASSERT(csp.csp_auth_key !== null || crp.crp_auth_key !== null, "auth request without a key");
	}
	KASSERT(crp.crp_callback !== null, "incoming crp without callback");
}

/** Whether the operation fits the mode. */
function op_sanity(crp: cryptop, csp: crypto_session_params): void {
	const op = crp.crp_op;
	const both =
		op === (CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST) || op === (CRYPTO_OP_DECRYPT | CRYPTO_OP_VERIFY_DIGEST);
	switch (csp.csp_mode) {
		case CSP_MODE_CIPHER:
			KASSERT(op === CRYPTO_OP_ENCRYPT || op === CRYPTO_OP_DECRYPT, "invalid cipher op");
			break;
		case CSP_MODE_DIGEST:
			KASSERT(op === CRYPTO_OP_COMPUTE_DIGEST || op === CRYPTO_OP_VERIFY_DIGEST, "invalid digest op");
			break;
		case CSP_MODE_AEAD:
			KASSERT(both, "invalid AEAD op");
			KASSERT((crp.crp_flags & CRYPTO_F_IV_SEPARATE) !== 0, "AEAD without a separate IV");
			break;
		default:
			KASSERT(both, "invalid ETA op");
	}
}

function aad_sanity(crp: cryptop, ilen: number): void {
	if (crp.crp_aad === null) {
		KASSERT(crp.crp_aad_start === 0 || crp.crp_aad_start < ilen, "invalid AAD start");
		KASSERT(crp.crp_aad_length !== 0 || crp.crp_aad_start === 0, "AAD with zero length and non-zero start");
		KASSERT(crp.crp_aad_length === 0 || crp.crp_aad_start + crp.crp_aad_length <= ilen, "AAD outside input length");
		return;
	}
	KASSERT((crp.crp_session!.csp.csp_flags & CSP_F_SEPARATE_AAD) !== 0, "session doesn't support separate AAD buffer");
	KASSERT(crp.crp_aad_start === 0, "separate AAD buffer with non-zero AAD start");
	KASSERT(crp.crp_aad_length !== 0, "separate AAD buffer with zero length");
}
