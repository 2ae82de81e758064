/**
 * ossl0, the driver around OpenSSL's assembly: fast, in vector registers, and therefore each request is one critical section.
 * Whatever becomes runnable on its CPU waits until the packet is done.
 *
 * ossl.ko is not loaded by default. The loader tunable `ossl_load` does, or whoever needs it calls ossl_load. In 13.0 it does SHA-2;
 * the ciphers came later, but ChaCha20-Poly1305 is there in 13.0 too, for the driver's OCF generation needs it.
 *
 * Whether a CPU has the instructions is not modelled: AES-NI, PCLMULQDQ, AVX and MOVBE are taken as there.
 *
 * @see sys/crypto/openssl/ossl.c, ossl_chacha20.c, ossl_aes.c
 */
import { EINVAL, ENXIO, type Errno } from "../../kernel/errno.ts";
import { KERNEL_GLOBAL, SI_ORDER_THIRD, SI_SUB_DRIVERS, SYSINIT, TUNABLE_FETCH } from "../../kernel/sched/kernel.ts";
import { type Blocking, charge, cost, DONE } from "../../kernel/sched/thread.ts";
import { crypto_done, crypto_get_driver_session, crypto_get_driverid, crypto_unregister_all } from "./crypto.ts";
import {
	AES_GCM_IV_LEN,
	CRYPTO_AES_CBC,
	CRYPTO_AES_NIST_GCM_16,
	CRYPTO_CHACHA20,
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_OP_IS_ENCRYPT,
	CRYPTO_POLY1305,
	CRYPTOCAP_F_ACCEL_SOFTWARE,
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	CRYPTODEV_PROBE_ACCEL_SOFTWARE,
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
} from "./cryptodev.ts";
import { digest_compute, digest_session, digest_setup } from "./digest.ts";
import { fpu_kern_enter, fpu_kern_leave, is_fpu_kern_thread } from "./fpu.ts";
import { GMAC_DIGEST_LEN } from "./gmac.ts";
import { ocf_release } from "./ocf_release.ts";
import {
	type ossl_cipher,
	ossl_cipher_aes_cbc,
	ossl_cipher_aes_gcm,
	ossl_cipher_chacha20,
	ossl_cipher_chacha20_poly1305,
} from "./ossl_cipher.ts";
import { ossl_walk } from "./ossl_walk.ts";
import type { auth_hash } from "./xform_auth.ts";
import { ossl_hash_poly1305 } from "./xform_mac.ts";
import { ossl_hash_sha2 } from "./xform_sha2.ts";

/** Keys of ciphers are expanded by each request. */
export class ossl_session {
	hash: digest_session | null = null;
	cipher: ossl_cipher | null = null;
}

/** @see ossl.c ossl_lookup_hash */
function ossl_lookup_hash(csp: crypto_session_params): auth_hash | null {
	if (csp.csp_auth_alg === CRYPTO_POLY1305) {
		return ocf_release().ossl_ciphers ? (ossl_hash_poly1305 as auth_hash) : null;
	}
	for (const axf of ossl_hash_sha2) if (axf.type === csp.csp_auth_alg) return axf;
	return null;
}

/** The key's length is checked here, so setting it cannot fail. @see ossl.c ossl_lookup_cipher */
function ossl_lookup_cipher(csp: crypto_session_params): ossl_cipher | null {
	let cipher: ossl_cipher;
	switch (csp.csp_cipher_alg) {
		case CRYPTO_AES_CBC:
			cipher = ossl_cipher_aes_cbc;
			break;
		case CRYPTO_AES_NIST_GCM_16:
			cipher = ossl_cipher_aes_gcm;
			break;
		case CRYPTO_CHACHA20:
			cipher = ossl_cipher_chacha20;
			break;
		case CRYPTO_CHACHA20_POLY1305:
			cipher = ossl_cipher_chacha20_poly1305;
			break;
		default:
			return null;
	}
	return cipher.klen_valid(csp.csp_cipher_klen) ? cipher : null;
}

/**
 * A cipher that is not an AEAD. FreeBSD does not look at the length of the IV, and ChaCha20's code then reads or writes past 16
 * bytes of stack; a session like that is refused here.
 */
function ossl_lookup_plain_cipher(csp: crypto_session_params): ossl_cipher | null {
	const cipher = ossl_lookup_cipher(csp);
	return cipher !== null && !cipher.aead && cipher.ivsize === csp.csp_ivlen ? cipher : null;
}

function ossl_aead_supported(csp: crypto_session_params): boolean {
	if (csp.csp_cipher_alg === CRYPTO_CHACHA20_POLY1305) return ossl_lookup_cipher(csp) !== null;
	if (!ocf_release().ossl_ciphers || csp.csp_cipher_alg !== CRYPTO_AES_NIST_GCM_16) return false;
	if (ossl_lookup_cipher(csp) === null || csp.csp_ivlen !== AES_GCM_IV_LEN) return false;
	return csp.csp_auth_mlen === 0 || csp.csp_auth_mlen === GMAC_DIGEST_LEN;
}

function ossl_supported(csp: crypto_session_params): boolean {
	switch (csp.csp_mode) {
		case CSP_MODE_DIGEST:
			return ossl_lookup_hash(csp) !== null;
		case CSP_MODE_CIPHER:
			return ocf_release().ossl_ciphers && ossl_lookup_plain_cipher(csp) !== null;
		case CSP_MODE_ETA:
			if (!ocf_release().ossl_ciphers || csp.csp_cipher_alg === CRYPTO_CHACHA20) return false;
			return ossl_lookup_hash(csp) !== null && ossl_lookup_plain_cipher(csp) !== null;
		case CSP_MODE_AEAD:
			return ossl_aead_supported(csp);
		default:
			return false;
	}
}

/** @see ossl.c */
class ossl_softc implements cryptodev {
	readonly nameunit = "ossl0";
	/** driver number, -1 while the module is not loaded */
	sc_cid = -1;
	readonly walk = new ossl_walk();

	/** @see ossl.c ossl_probesession */
	cryptodev_probesession(csp: crypto_session_params): number {
		if ((csp.csp_flags & ~(CSP_F_SEPARATE_OUTPUT | CSP_F_SEPARATE_AAD)) !== 0) return EINVAL;
		return ossl_supported(csp) ? CRYPTODEV_PROBE_ACCEL_SOFTWARE : EINVAL;
	}

	/** Keys are hashed in vector registers too. @see ossl.c ossl_newsession */
	*cryptodev_newsession(cses: crypto_session, csp: crypto_session_params): Blocking<Errno> {
		const s = crypto_get_driver_session<ossl_session>(cses);
		if (csp.csp_mode === CSP_MODE_DIGEST || csp.csp_mode === CSP_MODE_ETA) {
			s.hash = new digest_session(ossl_lookup_hash(csp)!, csp);
			if (csp.csp_auth_key !== null) yield* fpu_kern_enter();
			digest_setup(s.hash, csp);
			if (csp.csp_auth_key !== null) yield* fpu_kern_leave();
		}
		if (csp.csp_mode !== CSP_MODE_DIGEST) s.cipher = ossl_lookup_cipher(csp);
		return 0;
	}

	cryptodev_freesession(_cses: crypto_session): Blocking<void> {
		return DONE;
	}

	/** The callback runs after the critical section. @see ossl.c ossl_process */
	*cryptodev_process(crp: cryptop, _hint: number): Blocking<Errno> {
		charge(cost.ocf_request);
		const owns_fpu = is_fpu_kern_thread();
		if (!owns_fpu) yield* fpu_kern_enter();
		const error = this.process(crypto_get_driver_session<ossl_session>(crp.crp_session!), crp);
		if (!owns_fpu) yield* fpu_kern_leave();
		crp.crp_etype = error;
		yield* crypto_done(crp);
		return 0;
	}

	private process(s: ossl_session, crp: cryptop): Errno {
		const csp = crp.crp_session!.csp;
		if (csp.csp_mode === CSP_MODE_DIGEST) return digest_compute(s.hash!, crp, false);
		if (csp.csp_mode !== CSP_MODE_ETA) return s.cipher!.process(this.walk, crp, csp);
		return this.process_eta(s, crp, csp);
	}

	/** @see ossl.c ossl_process_eta */
	private process_eta(s: ossl_session, crp: cryptop, csp: crypto_session_params): Errno {
		const encrypting = CRYPTO_OP_IS_ENCRYPT(crp.crp_op);
		const error = encrypting ? s.cipher!.process(this.walk, crp, csp) : digest_compute(s.hash!, crp, false);
		if (error !== 0) return error;
		return encrypting ? digest_compute(s.hash!, crp, false) : s.cipher!.process(this.walk, crp, csp);
	}
}
const ossl = KERNEL_GLOBAL(() => new ossl_softc());

/** Whether ossl.ko is loaded. */
export function ossl_loaded(): boolean {
	return ossl().sc_cid >= 0;
}

/** Loads the module, unless it is loaded already. Sessions that exist keep their drivers. @see ossl.c ossl_attach */
export function* ossl_load(): Blocking<Errno> {
	const sc = ossl();
	if (sc.sc_cid >= 0) return 0;
	const flags = CRYPTOCAP_F_SOFTWARE | CRYPTOCAP_F_SYNC | CRYPTOCAP_F_ACCEL_SOFTWARE;
	sc.sc_cid = yield* crypto_get_driverid(sc, () => new ossl_session(), flags);
	return sc.sc_cid < 0 ? ENXIO : 0;
}

/** Unloads the module once its last session is closed. @see ossl.c ossl_detach */
export function* ossl_unload(): Blocking<void> {
	const sc = ossl();
	if (sc.sc_cid < 0) return;
	yield* crypto_unregister_all(sc.sc_cid);
	sc.sc_cid = -1;
}

SYSINIT("ossl", SI_SUB_DRIVERS, SI_ORDER_THIRD, function* () {
	if (TUNABLE_FETCH("ossl_load") === "YES") yield* ossl_load();
});
