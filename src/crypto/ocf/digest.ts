/**
 * A session's digest, and one request for it: computed and stored, or computed and compared. The work of cryptosoft and of ossl,
 * which have it twice in C.
 *
 * @see cryptosoft.c swcr_setup_auth, swcr_authprepare, swcr_authcompute; ossl.c ossl_newsession_hash, ossl_process_hash
 */
import { EBADMSG, type Errno } from "../../kernel/errno.ts";
import { crypto_apply, crypto_apply_buf, crypto_copyback, crypto_copydata } from "./criov.ts";
import {
	CRYPTO_HAS_OUTPUT_BUFFER,
	CRYPTO_OP_IS_ENCRYPT,
	CRYPTO_OP_VERIFY_DIGEST,
	CSP_F_ESN,
	type crypto_session_params,
	type cryptop,
	ESN_LEN,
	HASH_MAX_LEN,
} from "./cryptodev.ts";
import { ocf_release } from "./ocf_release.ts";
import { type auth_hash, hmac_init_ipad, hmac_init_opad } from "./xform_auth.ts";
import { alg_is_hmac } from "./xform_sha2.ts";

export class digest_session {
	readonly sw_axf: auth_hash;
	readonly sw_hmac: boolean;
	/** bytes of the digest that are used */
	readonly sw_mlen: number;
	/** contexts to start from, with the key in them; the outer one of an HMAC only */
	readonly sw_ictx: unknown;
	readonly sw_octx: unknown;
	/** on the stack in C */
	readonly ctx: unknown;
	readonly aalg = new Uint8Array(HASH_MAX_LEN);
	readonly uaalg = new Uint8Array(HASH_MAX_LEN);

	constructor(axf: auth_hash, csp: crypto_session_params) {
		this.sw_axf = axf;
		this.sw_hmac = alg_is_hmac(csp.csp_auth_alg);
		this.sw_mlen = csp.csp_auth_mlen === 0 ? axf.hashsize : csp.csp_auth_mlen;
		this.sw_ictx = axf.ctx_new();
		this.sw_octx = this.sw_hmac ? axf.ctx_new() : null;
		this.ctx = axf.ctx_new();
	}
}

/** Puts a key into the context that a digest begins with. */
function prepare_inner(sw: digest_session, ctx: unknown, key: Uint8Array | null, klen: number): void {
	const axf = sw.sw_axf;
	if (sw.sw_hmac) {
		hmac_init_ipad(axf, key!, klen, ctx);
		return;
	}
	// the key precedes Init: BLAKE2 hashes it at once
	if (axf.Setlen !== null) axf.Setlen(ctx, sw.sw_mlen);
	if (axf.Setkey !== null) axf.Setkey(ctx, key, klen);
	axf.Init(ctx);
}

/** Makes the contexts to start from, unless a key comes with each request. */
export function digest_setup(sw: digest_session, csp: crypto_session_params): void {
	if (csp.csp_auth_klen !== 0 && csp.csp_auth_key === null) return;
	digest_prepare(sw, csp.csp_auth_key, csp.csp_auth_klen);
}

/** @see cryptosoft.c swcr_authprepare */
function digest_prepare(sw: digest_session, key: Uint8Array | null, klen: number): void {
	prepare_inner(sw, sw.sw_ictx, key, klen);
	if (sw.sw_hmac) hmac_init_opad(sw.sw_axf, key!, klen, sw.sw_octx);
}

/** The context for one request, with its key or the session's. In 13.0 a request's key becomes the session's. */
export function digest_begin(sw: digest_session, crp: cryptop, klen: number): unknown {
	if (crp.crp_auth_key !== null) {
		if (!ocf_release().auth_key_sticks) {
			prepare_inner(sw, sw.ctx, crp.crp_auth_key, klen);
			return sw.ctx;
		}
		digest_prepare(sw, crp.crp_auth_key, klen);
	}
	sw.sw_axf.ctx_copy(sw.ctx, sw.sw_ictx);
	return sw.ctx;
}

/** The outer hash of an HMAC, over the inner one. */
function digest_outer(sw: digest_session, crp: cryptop, klen: number): void {
	const axf = sw.sw_axf;
	if (crp.crp_auth_key !== null && !ocf_release().auth_key_sticks) hmac_init_opad(axf, crp.crp_auth_key, klen, sw.ctx);
	else axf.ctx_copy(sw.ctx, sw.sw_octx);
	axf.Update(sw.ctx, sw.aalg, 0, axf.hashsize);
	axf.Final(sw.aalg, sw.ctx);
}

/** Stores the digest in `aalg`, or compares it with what is in the buffer. */
export function digest_finish(sw: digest_session, crp: cryptop): Errno {
	if ((crp.crp_op & CRYPTO_OP_VERIFY_DIGEST) === 0) {
		crypto_copyback(crp, crp.crp_digest_start, sw.sw_mlen, sw.aalg);
		return 0;
	}
	crypto_copydata(crp, crp.crp_digest_start, sw.sw_mlen, sw.uaalg);
	let bits = 0;
	for (let i = 0; i < sw.sw_mlen; i++) bits |= sw.aalg[i] ^ sw.uaalg[i];
	return bits === 0 ? 0 : EBADMSG;
}

/**
 * One request: authenticated data, then text, then the number that is not sent.
 *
 * @param looks_at_output the text that was encrypted into an output buffer is authenticated there. cryptosoft does; ossl always
 * reads the input, so that encrypt-then-authenticate with an output buffer authenticates the plaintext.
 */
export function digest_compute(sw: digest_session, crp: cryptop, looks_at_output: boolean): Errno {
	const axf = sw.sw_axf;
	const csp = crp.crp_session!.csp;
	const ctx = digest_begin(sw, crp, csp.csp_auth_klen);

	let error =
		crp.crp_aad !== null
			? axf.Update(ctx, crp.crp_aad, 0, crp.crp_aad_length)
			: crypto_apply(crp, crp.crp_aad_start, crp.crp_aad_length, axf.Update, ctx);
	if (error !== 0) return error;
	error =
		looks_at_output && CRYPTO_HAS_OUTPUT_BUFFER(crp) && CRYPTO_OP_IS_ENCRYPT(crp.crp_op)
			? crypto_apply_buf(crp.crp_obuf, crp.crp_payload_output_start, crp.crp_payload_length, axf.Update, ctx)
			: crypto_apply(crp, crp.crp_payload_start, crp.crp_payload_length, axf.Update, ctx);
	if (error !== 0) return error;
	if ((csp.csp_flags & CSP_F_ESN) !== 0) axf.Update(ctx, crp.crp_esn, 0, ESN_LEN);

	axf.Final(sw.aalg, ctx);
	if (sw.sw_hmac) digest_outer(sw, crp, csp.csp_auth_klen);
	return digest_finish(sw, crp);
}
