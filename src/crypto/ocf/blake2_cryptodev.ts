/**
 * blaketwo0, the driver of blake2.ko: BLAKE2 in vector registers, digests only.
 *
 * It outbids cryptosoft and, unlike cryptosoft, passes the session's length down. So the same session computes one thing where
 * blake2.ko is loaded and another where it is not. Like ossl it is not loaded by default: the loader tunable `blake2_load` does, or
 * whoever needs it calls blake2_load.
 *
 * In 13.0 it saves the vector registers to an area of the CPU's, under a mutex. When a MAC does not match it forgets to give both
 * back: the next request on that CPU panics, from the same thread for the recursion, from another because the mutex's owner sleeps.
 *
 * The vector code is charged like portable C, for a single message has little to compute side by side.
 *
 * @see sys/crypto/blake2/blake2_cryptodev.c
 */
import { EBADMSG, EINVAL, ENOMEM, type Errno } from "../../kernel/errno.ts";
import { MTX_DEF, MTX_NEW, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../../kernel/lock/mutex.ts";
import {
	KERNEL_GLOBAL,
	mp_ncpus,
	SI_ORDER_THIRD,
	SI_SUB_DRIVERS,
	SYSINIT,
	TUNABLE_FETCH,
} from "../../kernel/sched/kernel.ts";
import { type Blocking, charge, cost, curcpu, DONE, done } from "../../kernel/sched/thread.ts";
import {
	BLAKE2B_KEYBYTES,
	BLAKE2B_OUTBYTES,
	blake2b_final,
	blake2b_init,
	blake2b_init_key,
	blake2b_state,
	blake2b_update,
} from "../blake2/blake2b.ts";
import {
	BLAKE2S_KEYBYTES,
	BLAKE2S_OUTBYTES,
	blake2s_final,
	blake2s_init,
	blake2s_init_key,
	blake2s_state,
	blake2s_update,
} from "../blake2/blake2s.ts";
import { crypto_apply, crypto_copyback, crypto_copydata } from "./criov.ts";
import { crypto_done, crypto_get_driver_session, crypto_get_driverid, crypto_unregister_all } from "./crypto.ts";
import {
	CRYPTO_BLAKE2B,
	CRYPTO_BLAKE2S,
	CRYPTO_OP_VERIFY_DIGEST,
	CRYPTOCAP_F_ACCEL_SOFTWARE,
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	CRYPTODEV_PROBE_ACCEL_SOFTWARE,
	CSP_MODE_DIGEST,
	type crypto_session,
	type crypto_session_params,
	type cryptodev,
	type cryptop,
} from "./cryptodev.ts";
import {
	fpu_kern_ctx,
	fpu_kern_enter,
	fpu_kern_enter_ctx,
	fpu_kern_leave,
	fpu_kern_leave_ctx,
	is_fpu_kern_thread,
} from "./fpu.ts";
import { ocf_release } from "./ocf_release.ts";

class blake2_session {
	mlen = 0;
}

/** A save area for the vector registers, and what protects it. */
class blake2_ctx {
	readonly ctx_mtx = new mtx();
	readonly ctx_fpu = new fpu_kern_ctx();
}

/** Hashes the text of a request into `res`. */
function blake2_hash(ses: blake2_session, crp: cryptop, res: Uint8Array): Errno {
	const csp = crp.crp_session!.csp;
	const key = crp.crp_auth_key ?? csp.csp_auth_key;
	const klen = csp.csp_auth_klen;
	let rc: number;
	if (csp.csp_auth_alg === CRYPTO_BLAKE2B) {
		const sb = new blake2b_state();
		rc = klen > 0 ? blake2b_init_key(sb, ses.mlen, key, klen) : blake2b_init(sb, ses.mlen);
		if (rc !== 0) return EINVAL;
		const error = crypto_apply(crp, crp.crp_payload_start, crp.crp_payload_length, blake2b_applicator, sb);
		if (error !== 0) return error;
		rc = blake2b_final(sb, res, ses.mlen);
	} else {
		const ss = new blake2s_state();
		rc = klen > 0 ? blake2s_init_key(ss, ses.mlen, key, klen) : blake2s_init(ss, ses.mlen);
		if (rc !== 0) return EINVAL;
		const error = crypto_apply(crp, crp.crp_payload_start, crp.crp_payload_length, blake2s_applicator, ss);
		if (error !== 0) return error;
		rc = blake2s_final(ss, res, ses.mlen);
	}
	return rc !== 0 ? EINVAL : 0;
}

function blake2b_applicator(state: blake2b_state, buf: Uint8Array, off: number, len: number): Errno {
	return blake2b_update(state, buf.subarray(off, off + len), len) !== 0 ? EINVAL : 0;
}

function blake2s_applicator(state: blake2s_state, buf: Uint8Array, off: number, len: number): Errno {
	return blake2s_update(state, buf.subarray(off, off + len), len) !== 0 ? EINVAL : 0;
}

/** Stores the digest, or compares it with what is in the buffer. */
function blake2_inject(ses: blake2_session, crp: cryptop, res: Uint8Array): Errno {
	if ((crp.crp_op & CRYPTO_OP_VERIFY_DIGEST) === 0) {
		crypto_copyback(crp, crp.crp_digest_start, ses.mlen, res);
		return 0;
	}
	const res2 = new Uint8Array(BLAKE2B_OUTBYTES);
	crypto_copydata(crp, crp.crp_digest_start, ses.mlen, res2);
	let bits = 0;
	for (let i = 0; i < ses.mlen; i++) bits |= res[i] ^ res2[i];
	return bits === 0 ? 0 : EBADMSG;
}

/** @see blake2_cryptodev.c blake2_cipher_process, after 13.0 */
function* blake2_cipher_process(ses: blake2_session, crp: cryptop): Blocking<Errno> {
	const res = new Uint8Array(BLAKE2B_OUTBYTES);
	yield* fpu_kern_enter();
	const error = blake2_hash(ses, crp, res);
	yield* fpu_kern_leave();
	return error !== 0 ? error : blake2_inject(ses, crp, res);
}

/** With the early return that keeps save area and mutex. @see blake2_cryptodev.c blake2_cipher_process of 13.0 */
function* blake2_cipher_process_13(
	contexts: readonly blake2_ctx[],
	ses: blake2_session,
	crp: cryptop,
): Blocking<Errno> {
	const res = new Uint8Array(BLAKE2B_OUTBYTES);
	const ctx = is_fpu_kern_thread() ? null : contexts[curcpu()];
	if (ctx !== null) {
		yield* mtx_lock(ctx.ctx_mtx);
		fpu_kern_enter_ctx(ctx.ctx_fpu);
	}
	let error = blake2_hash(ses, crp, res);
	if (error === 0) {
		error = blake2_inject(ses, crp, res);
		if (error === EBADMSG) return error;
	}
	if (ctx !== null) {
		fpu_kern_leave_ctx(ctx.ctx_fpu);
		yield* mtx_unlock(ctx.ctx_mtx);
	}
	return error;
}

/** @see blake2_cryptodev.c */
class blake2_softc implements cryptodev {
	readonly nameunit = "blaketwo0";
	/** driver number, -1 while the module is not loaded */
	cid = -1;
	contexts: blake2_ctx[] = [];

	/** @see blake2_cryptodev.c blake2_probesession */
	cryptodev_probesession(csp: crypto_session_params): number {
		if (csp.csp_flags !== 0 || csp.csp_mode !== CSP_MODE_DIGEST) return EINVAL;
		if (csp.csp_auth_alg !== CRYPTO_BLAKE2B && csp.csp_auth_alg !== CRYPTO_BLAKE2S) return EINVAL;
		return CRYPTODEV_PROBE_ACCEL_SOFTWARE;
	}

	/** @see blake2_cryptodev.c blake2_newsession, blake2_cipher_setup */
	cryptodev_newsession(cses: crypto_session, csp: crypto_session_params): Blocking<Errno> {
		const is_b = csp.csp_auth_alg === CRYPTO_BLAKE2B;
		if (csp.csp_auth_klen > (is_b ? BLAKE2B_KEYBYTES : BLAKE2S_KEYBYTES)) return done(EINVAL);
		const hashlen = is_b ? BLAKE2B_OUTBYTES : BLAKE2S_OUTBYTES;
		if (csp.csp_auth_mlen > hashlen) return done(EINVAL);
		crypto_get_driver_session<blake2_session>(cses).mlen = csp.csp_auth_mlen === 0 ? hashlen : csp.csp_auth_mlen;
		return done(0);
	}

	cryptodev_freesession(_cses: crypto_session): Blocking<void> {
		return DONE;
	}

	/** @see blake2_cryptodev.c blake2_process */
	*cryptodev_process(crp: cryptop, _hint: number): Blocking<Errno> {
		const ses = crypto_get_driver_session<blake2_session>(crp.crp_session!);
		charge(cost.ocf_request);
		crp.crp_etype = ocf_release().blake2_percpu_ctx
			? yield* blake2_cipher_process_13(this.contexts, ses, crp)
			: yield* blake2_cipher_process(ses, crp);
		yield* crypto_done(crp);
		return 0;
	}
}

const blaketwo = KERNEL_GLOBAL(() => new blake2_softc());

/** Loads the module, unless it is loaded already. @see blake2_cryptodev.c blake2_attach */
export function* blake2_load(): Blocking<Errno> {
	const sc = blaketwo();
	if (sc.cid >= 0) return 0;
	const flags = CRYPTOCAP_F_SOFTWARE | CRYPTOCAP_F_SYNC | CRYPTOCAP_F_ACCEL_SOFTWARE;
	sc.cid = yield* crypto_get_driverid(sc, () => new blake2_session(), flags);
	if (sc.cid < 0) return ENOMEM;
	if (!ocf_release().blake2_percpu_ctx) return 0;
	for (let cpu = 0; cpu < mp_ncpus(); cpu++) {
		const ctx = new blake2_ctx();
		mtx_init(ctx.ctx_mtx, "bl2fpumtx", null, MTX_DEF | MTX_NEW);
		sc.contexts.push(ctx);
	}
	return 0;
}

/** Unloads the module once its last session is closed. @see blake2_cryptodev.c blake2_detach, blake2_cleanctx */
export function* blake2_unload(): Blocking<void> {
	const sc = blaketwo();
	if (sc.cid < 0) return;
	yield* crypto_unregister_all(sc.cid);
	sc.cid = -1;
	for (const ctx of sc.contexts) mtx_destroy(ctx.ctx_mtx);
	sc.contexts = [];
}

SYSINIT("blake2", SI_SUB_DRIVERS, SI_ORDER_THIRD, function* () {
	if (TUNABLE_FETCH("blake2_load") === "YES") yield* blake2_load();
});
