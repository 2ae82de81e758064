/**
 * What ChaCha20-Poly1305 costs in simulated time, by length and by who does it: the kernel's library, and sessions of crypto(9) with
 * each driver. A request is measured from its dispatch to its return, callback included, in a flat buffer.
 */
import { curkernel, KASSERT, sbinuptime } from "../../kernel/sched/kernel.ts";
import { type Blocking, done } from "../../kernel/sched/thread.ts";
import { chacha20_poly1305_encrypt } from "../chacha20_poly1305/chacha20_poly1305.ts";
import {
	crypto_dispatch,
	crypto_find_driver,
	crypto_freesession,
	crypto_initreq,
	crypto_newsession,
} from "./crypto.ts";
import {
	CRYPTO_CHACHA20_POLY1305,
	CRYPTO_F_CBIMM,
	CRYPTO_F_IV_SEPARATE,
	CRYPTO_OP_COMPUTE_DIGEST,
	CRYPTO_OP_ENCRYPT,
	CSP_MODE_AEAD,
	type crypto_session,
	crypto_session_params,
	crypto_use_buf,
	cryptop,
	POLY1305_HASH_LEN,
} from "./cryptodev.ts";
// the driver that is always there
import "./cryptosoft.ts";
import { ossl_load } from "./ossl.ts";

export const SPEED_BACKENDS = ["library", "cryptosoft", "ossl"] as const;
export type speed_backend = (typeof SPEED_BACKENDS)[number];

export const SPEED_LENGTHS = [64, 128, 256, 512, 1024, 1420, 2048, 4096, 8192, 16384] as const;

/** One measurement. */
export interface speed_row {
	readonly backend: speed_backend;
	readonly length: number;
	/** mean simulated time of one encryption */
	readonly ns: number;
	readonly cycles_per_byte: number;
}

/** Messages a measurement is the mean of: the machine's work takes a little more or less each time. */
const REPEAT = 16;

const IV_LEN = 8;
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

function* open_session(backend: speed_backend): Blocking<crypto_session | null> {
	if (backend === "library") return null;
	if (backend === "ossl") yield* ossl_load();
	const csp = new crypto_session_params();
	csp.csp_mode = CSP_MODE_AEAD;
	csp.csp_ivlen = IV_LEN;
	csp.csp_cipher_alg = CRYPTO_CHACHA20_POLY1305;
	csp.csp_cipher_klen = KEY.length;
	csp.csp_cipher_key = KEY;
	const ses = yield* crypto_newsession(csp, yield* crypto_find_driver(backend));
	if (typeof ses === "number") throw new Error(`crypto_newsession with ${backend}: error ${ses}`);
	return ses;
}

/** Encrypts `length` bytes at the beginning of `buf`. */
function* encrypt(ses: crypto_session | null, crp: cryptop, buf: Uint8Array, length: number): Blocking<void> {
	if (ses === null) {
		chacha20_poly1305_encrypt(buf, buf, length, null, 0, crp.crp_iv, IV_LEN, KEY);
		return;
	}
	crypto_initreq(crp, ses);
	crp.crp_op = CRYPTO_OP_ENCRYPT | CRYPTO_OP_COMPUTE_DIGEST;
	crp.crp_flags = CRYPTO_F_IV_SEPARATE | CRYPTO_F_CBIMM;
	crypto_use_buf(crp, buf, buf.length);
	crp.crp_payload_length = length;
	crp.crp_digest_start = length;
	crp.crp_callback = () => done(0);
	yield* crypto_dispatch(crp);
	KASSERT(crp.crp_etype === 0, "speed: the request failed");
}

/** Measures one way at all lengths, in a thread of a booted kernel. ossl.ko is loaded if it is ossl's turn, and stays. */
export function* crypto_speed(
	backend: speed_backend,
	lengths: readonly number[] = SPEED_LENGTHS,
): Blocking<speed_row[]> {
	const ses = yield* open_session(backend);
	const crp = new cryptop();
	const ghz = curkernel.machine.profile.ghz;
	const rows: speed_row[] = [];
	for (const length of lengths) {
		const buf = new Uint8Array(length + POLY1305_HASH_LEN);
		const start = sbinuptime();
		for (let i = 0; i < REPEAT; i++) yield* encrypt(ses, crp, buf, length);
		const ns = (sbinuptime() - start) / REPEAT;
		rows.push({ backend, length, ns, cycles_per_byte: (ns * ghz) / length });
	}
	yield* crypto_freesession(ses);
	return rows;
}
