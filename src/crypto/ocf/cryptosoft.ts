/**
 * cryptosoft0, the software driver that is always there: portable C, no vector registers, preemptible like any kernel code.
 *
 * In 13.0 a mutex of the session is held for as long as a request takes. All of wg's packets belong to one session, so there they
 * are encrypted and decrypted one at a time, however many CPUs there are.
 *
 * @see opencrypto/cryptosoft.c
 */
import { EINVAL, EMSGSIZE, ENXIO, type Errno } from "../../kernel/errno.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../../kernel/lock/mutex.ts";
import { KERNEL_GLOBAL, release_traits, SI_ORDER_SECOND, SI_SUB_DRIVERS, SYSINIT } from "../../kernel/sched/kernel.ts";
import { type Blocking, charge, charge_bytes, cost, DONE, done } from "../../kernel/sched/thread.ts";
import { type aes_cbc_mac_ctx, CCM_CBC_BLOCK_LEN, ccm_update_aad_length, ccm_update_b0 } from "./cbc_mac.ts";
import { crypto_apply } from "./criov.ts";
import { crypto_done, crypto_get_driver_session, crypto_get_driverid, crypto_unregister_all } from "./crypto.ts";
import {
	AES_CBC_MAC_HASH_LEN,
	AES_CCM_IV_LEN,
	AES_GCM_IV_LEN,
	CRYPTO_AES_CCM_16,
	CRYPTO_AES_CCM_CBC_MAC,
	CRYPTO_AES_ICM,
	CRYPTO_AES_NIST_GMAC,
	CRYPTO_F_IV_SEPARATE,
	CRYPTO_OP_IS_ENCRYPT,
	CRYPTO_POLY1305,
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	CRYPTODEV_PROBE_SOFTWARE,
	CSP_F_ESN,
	CSP_F_SEPARATE_AAD,
	CSP_F_SEPARATE_OUTPUT,
	CSP_MODE_AEAD,
	CSP_MODE_CIPHER,
	CSP_MODE_DIGEST,
	CSP_MODE_ETA,
	type crypto_session,
	type crypto_session_params,
	type cryptodev,
	type cryptop,
	POLY1305_KEY_LEN,
} from "./cryptodev.ts";
import { digest_begin, digest_compute, digest_finish, digest_session, digest_setup } from "./digest.ts";
import { AES_GMAC_lengths, type aes_gmac_ctx, GMAC_BLOCK_LEN } from "./gmac.ts";
import { ocf_release } from "./ocf_release.ts";
import { request_iv, request_text } from "./request.ts";
import { crypto_auth_hash, crypto_cipher } from "./xform.ts";
import { ccm_max_payload_length } from "./xform_aes.ts";
import type { enc_xform } from "./xform_enc.ts";

export class swcr_session {
	readonly swcr_lock = new mtx();
	swcr_process: ((ses: swcr_session, crp: cryptop) => Errno) | null = null;
	swcr_auth: digest_session | null = null;
	/** its sw_exf, as there is nothing else in swcr_encdec: keys are expanded by each request */
	swcr_encdec: enc_xform | null = null;
}

/** Encrypts or decrypts. A block cipher takes whole blocks only. @see cryptosoft.c swcr_encdec */
function swcr_encdec(ses: swcr_session, crp: cryptop): Errno {
	const exf = ses.swcr_encdec!;
	const csp = crp.crp_session!.csp;
	if (exf.native_blocksize === 0 && crp.crp_payload_length % exf.blocksize !== 0) return EINVAL;
	if (exf.type === CRYPTO_AES_ICM && (crp.crp_flags & CRYPTO_F_IV_SEPARATE) === 0) return EINVAL;

	charge(cost[exf.cost_setup]);
	if (CRYPTO_OP_IS_ENCRYPT(crp.crp_op)) {
		charge_bytes(crp.crp_payload_length, cost[exf.cost_encrypt]);
		exf.encrypt(crp, csp);
		return 0;
	}
	charge_bytes(crp.crp_payload_length, cost[exf.cost_decrypt]);
	return exf.decrypt(crp, csp);
}

/**
 * One AEAD request. Encryption costs cipher and MAC; decryption computes the MAC over everything first, and when it does not match
 * stops there.
 *
 * @see cryptosoft.c swcr_gcm, swcr_ccm, swcr_chacha20_poly1305
 */
function swcr_aead(ses: swcr_session, crp: cryptop): Errno {
	const exf = ses.swcr_encdec!;
	const csp = crp.crp_session!.csp;
	const len = crp.crp_payload_length;
	if (exf.type === CRYPTO_AES_CCM_16 && len > ccm_max_payload_length(csp)) return EMSGSIZE;
	if ((crp.crp_flags & CRYPTO_F_IV_SEPARATE) === 0) return EINVAL;

	charge(cost[exf.cost_setup]);
	charge_bytes(crp.crp_aad_length, cost[exf.cost_aad]);
	if (CRYPTO_OP_IS_ENCRYPT(crp.crp_op)) {
		charge_bytes(len, cost[exf.cost_encrypt]);
		exf.encrypt(crp, csp);
		return 0;
	}
	const error = exf.decrypt(crp, csp);
	charge_bytes(len, cost[error === 0 ? exf.cost_decrypt : exf.cost_verify]);
	return error;
}

/** @see cryptosoft.c swcr_authcompute */
function swcr_authcompute(ses: swcr_session, crp: cryptop): Errno {
	return digest_compute(ses.swcr_auth!, crp, true);
}

/** GMAC alone: the text is authenticated as an AEAD authenticates what it does not encrypt. @see cryptosoft.c swcr_gmac */
function swcr_gmac(ses: swcr_session, crp: cryptop): Errno {
	const swa = ses.swcr_auth!;
	const axf = swa.sw_axf;
	const csp = crp.crp_session!.csp;
	const ctx = digest_begin(swa, crp, csp.csp_auth_klen);
	axf.Reinit!(ctx, request_iv(crp), csp.csp_ivlen);
	axf.Update(ctx, request_text(crp), 0, crp.crp_payload_length);
	charge_bytes(GMAC_BLOCK_LEN, cost.ghash_soft);
	AES_GMAC_lengths(ctx as aes_gmac_ctx, crp.crp_payload_length, 0);
	axf.Final(swa.aalg, ctx);
	return digest_finish(swa, crp);
}

/**
 * The MAC of AES-CCM alone, over a text that is not encrypted. The length of an empty one is authenticated too, which RFC 3610 does
 * not do.
 *
 * @see cryptosoft.c swcr_ccm_cbc_mac
 */
function swcr_ccm_cbc_mac(ses: swcr_session, crp: cryptop): Errno {
	const swa = ses.swcr_auth!;
	const axf = swa.sw_axf;
	const csp = crp.crp_session!.csp;
	const ctx = digest_begin(swa, crp, csp.csp_auth_klen) as aes_cbc_mac_ctx;
	const iv = request_iv(crp);
	const tag_length = ocf_release().ccm_fixed_lengths ? AES_CBC_MAC_HASH_LEN : swa.sw_mlen;
	axf.Reinit!(ctx, iv, csp.csp_ivlen);
	charge_bytes(CCM_CBC_BLOCK_LEN, cost.aes_soft);
	ccm_update_b0(ctx, iv, csp.csp_ivlen, crp.crp_payload_length, 0, tag_length);
	ccm_update_aad_length(ctx, crp.crp_payload_length);
	const error = crypto_apply(crp, crp.crp_payload_start, crp.crp_payload_length, axf.Update, ctx);
	if (error !== 0) return error;
	axf.Final(swa.aalg, ctx);
	return digest_finish(swa, crp);
}

/** Encrypts, then authenticates the ciphertext; the other way round a wrong digest leaves the text as it is. @see cryptosoft.c swcr_eta */
function swcr_eta(ses: swcr_session, crp: cryptop): Errno {
	const encrypting = CRYPTO_OP_IS_ENCRYPT(crp.crp_op);
	const error = encrypting ? swcr_encdec(ses, crp) : swcr_authcompute(ses, crp);
	if (error !== 0) return error;
	return encrypting ? swcr_authcompute(ses, crp) : swcr_encdec(ses, crp);
}

/** @see cryptosoft.c swcr_setup_cipher, swcr_setup_aead; in 13.0 swcr_setup_ccm */
function swcr_setup_cipher(ses: swcr_session, csp: crypto_session_params): Errno {
	const exf = crypto_cipher(csp)!;
	if (!exf.klen_valid(csp.csp_cipher_klen)) return EINVAL;
	if (exf.type === CRYPTO_AES_CCM_16 && ocf_release().ccm_fixed_lengths && csp.csp_ivlen !== AES_CCM_IV_LEN) {
		return EINVAL;
	}
	ses.swcr_encdec = exf;
	return 0;
}

/** @see cryptosoft.c swcr_setup_auth */
function swcr_setup_auth(ses: swcr_session, csp: crypto_session_params): Errno {
	const axf = crypto_auth_hash(csp)!;
	if (csp.csp_auth_mlen > axf.hashsize) return EINVAL;
	ses.swcr_auth = new digest_session(axf, csp);
	digest_setup(ses.swcr_auth, csp);
	return 0;
}

/** @see cryptosoft.c swcr_auth_supported */
function swcr_auth_supported(csp: crypto_session_params): boolean {
	if (crypto_auth_hash(csp) === null) return false;
	switch (csp.csp_auth_alg) {
		case CRYPTO_AES_NIST_GMAC:
			return csp.csp_auth_key !== null && csp.csp_ivlen === AES_GCM_IV_LEN;
		case CRYPTO_AES_CCM_CBC_MAC:
			if (ocf_release().ccm_fixed_lengths && csp.csp_ivlen !== AES_CCM_IV_LEN) return false;
			return csp.csp_auth_key !== null;
		case CRYPTO_POLY1305:
			return csp.csp_auth_klen === POLY1305_KEY_LEN;
		default:
			return true;
	}
}

/** @see cryptosoft.c swcr_cipher_supported */
function swcr_cipher_supported(csp: crypto_session_params): boolean {
	const exf = crypto_cipher(csp);
	return exf !== null && exf.macsize === 0 && exf.ivsize === csp.csp_ivlen;
}

function swcr_aead_supported(csp: crypto_session_params): boolean {
	const exf = crypto_cipher(csp);
	if (exf === null || exf.macsize === 0) return false;
	return csp.csp_cipher_klen >= exf.minkey && csp.csp_cipher_klen <= exf.maxkey;
}

/** @see cryptosoft.c swcr_probesession */
function swcr_supported(csp: crypto_session_params): boolean {
	switch (csp.csp_mode) {
		case CSP_MODE_CIPHER:
			return swcr_cipher_supported(csp);
		case CSP_MODE_DIGEST:
			return swcr_auth_supported(csp);
		case CSP_MODE_AEAD:
			return swcr_aead_supported(csp);
		case CSP_MODE_ETA:
			if (csp.csp_auth_alg === CRYPTO_AES_NIST_GMAC || csp.csp_auth_alg === CRYPTO_AES_CCM_CBC_MAC) return false;
			return swcr_cipher_supported(csp) && swcr_auth_supported(csp);
		default:
			return false;
	}
}

/** What a request of a digest session goes through. */
function digest_process(csp: crypto_session_params): (ses: swcr_session, crp: cryptop) => Errno {
	if (csp.csp_auth_alg === CRYPTO_AES_NIST_GMAC) return swcr_gmac;
	return csp.csp_auth_alg === CRYPTO_AES_CCM_CBC_MAC ? swcr_ccm_cbc_mac : swcr_authcompute;
}

function swcr_setup(ses: swcr_session, csp: crypto_session_params): Errno {
	const has_digest = csp.csp_mode === CSP_MODE_DIGEST || csp.csp_mode === CSP_MODE_ETA;
	const error = has_digest ? swcr_setup_auth(ses, csp) : 0;
	if (error !== 0) return error;
	if (csp.csp_mode === CSP_MODE_DIGEST) {
		ses.swcr_process = digest_process(csp);
		return 0;
	}
	if (csp.csp_mode === CSP_MODE_CIPHER) ses.swcr_process = swcr_encdec;
	else ses.swcr_process = csp.csp_mode === CSP_MODE_ETA ? swcr_eta : swcr_aead;
	return swcr_setup_cipher(ses, csp);
}

const SUPPORTED_SES = CSP_F_SEPARATE_OUTPUT | CSP_F_SEPARATE_AAD | CSP_F_ESN;

/** @see cryptosoft.c */
class swcr_driver implements cryptodev {
	readonly nameunit = "cryptosoft0";
	/** driver number, -1 while it is not attached */
	swcr_id = -1;

	cryptodev_probesession(csp: crypto_session_params): number {
		if ((csp.csp_flags & ~SUPPORTED_SES) !== 0 || !swcr_supported(csp)) return EINVAL;
		return CRYPTODEV_PROBE_SOFTWARE;
	}

	/** @see cryptosoft.c swcr_newsession */
	cryptodev_newsession(cses: crypto_session, csp: crypto_session_params): Blocking<Errno> {
		const ses = crypto_get_driver_session<swcr_session>(cses);
		if (release_traits().swcr_session_lock) mtx_init(ses.swcr_lock, "swcr session lock", null, MTX_DEF);
		const error = swcr_setup(ses, csp);
		if (error !== 0) this.cryptodev_freesession(cses);
		return done(error);
	}

	/** @see cryptosoft.c swcr_freesession */
	cryptodev_freesession(cses: crypto_session): Blocking<void> {
		const ses = crypto_get_driver_session<swcr_session>(cses);
		if (release_traits().swcr_session_lock) mtx_destroy(ses.swcr_lock);
		return DONE;
	}

	/** @see cryptosoft.c swcr_process */
	*cryptodev_process(crp: cryptop, _hint: number): Blocking<Errno> {
		const ses = crypto_get_driver_session<swcr_session>(crp.crp_session!);
		charge(cost.ocf_request);
		if (release_traits().swcr_session_lock) {
			yield* mtx_lock(ses.swcr_lock);
			crp.crp_etype = ses.swcr_process!(ses, crp);
			yield* mtx_unlock(ses.swcr_lock);
		} else {
			crp.crp_etype = ses.swcr_process!(ses, crp);
		}
		yield* crypto_done(crp);
		return 0;
	}
}

const swcr = KERNEL_GLOBAL(() => new swcr_driver());

/** @see cryptosoft.c swcr_attach */
export function* swcr_attach(): Blocking<Errno> {
	const dev = swcr();
	dev.swcr_id = yield* crypto_get_driverid(dev, () => new swcr_session(), CRYPTOCAP_F_SOFTWARE | CRYPTOCAP_F_SYNC);
	return dev.swcr_id < 0 ? ENXIO : 0;
}

/** Detaches the driver once its last session is closed. @see cryptosoft.c swcr_detach */
export function* swcr_detach(): Blocking<void> {
	yield* crypto_unregister_all(swcr().swcr_id);
}

SYSINIT("cryptosoft", SI_SUB_DRIVERS, SI_ORDER_SECOND, function* () {
	yield* swcr_attach();
});
