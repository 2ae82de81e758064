/**
 * BLAKE2s three ways, side by side: behind crypto(9)'s interface as it is, behind that interface altered to pass the digest's length
 * down, and as a library. Beside them what the other driver makes of the same session, and what is right.
 *
 * WireGuard wants the keyed 16-byte digest. The interface as it is gives the beginning of the 32-byte one; AES-CCM, whose tag length
 * goes into its first block, shows that crypto(9) can pass a length down where somebody wrote the code.
 */
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { type Blocking, done } from "../../kernel/sched/thread.ts";
import { blake2s } from "../blake2/blake2s.ts";
import { blake2_load } from "./blake2_cryptodev.ts";
import {
	crypto_destroyreq,
	crypto_dispatch,
	crypto_find_driver,
	crypto_freesession,
	crypto_initreq,
	crypto_newsession,
} from "./crypto.ts";
import {
	CRYPTO_BLAKE2S,
	CRYPTO_F_CBIMM,
	CRYPTO_OP_COMPUTE_DIGEST,
	CSP_MODE_DIGEST,
	crypto_session_params,
	crypto_use_buf,
	cryptop,
} from "./cryptodev.ts";
// the driver that is always there
import "./cryptosoft.ts";
import { sysctl_blake2_mlen } from "./xform_blake2.ts";

/** One way of getting a digest. */
export interface blake2_answer {
	/** hexadecimal */
	readonly digest: string;
	/** it is the reference's */
	readonly right: boolean;
}

/** One digest, by all ways. */
export interface blake2_row {
	readonly digest_length: number;
	readonly keyed: boolean;
	/** (a) cryptosoft through auth_xform: csp_auth_mlen is accepted and not passed down */
	readonly auth_xform: blake2_answer;
	/** (b) the same, with the altered table of kern.crypto.blake2_mlen=1 */
	readonly altered: blake2_answer;
	/** (c) the library API */
	readonly library: blake2_answer;
	/** session (a) once more, served by the driver blaketwo, which does pass the length down */
	readonly blaketwo: blake2_answer;
	/** RFC 7693's */
	readonly reference: string;
}

export interface blake2_story_result {
	/** as text, in ASCII */
	readonly message: string;
	/** hexadecimal */
	readonly key: string;
	readonly rows: readonly blake2_row[];
}

const MESSAGE = Uint8Array.of(0x61, 0x62, 0x63);
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);
const NO_KEY = new Uint8Array(0);

/** The digest as RFC 7693 defines it. The first 32-byte one is printed in its appendix B, the others are by the authors' own code. */
const cases: readonly { readonly length: number; readonly key: Uint8Array; readonly reference: string }[] = [
	{ length: 16, key: NO_KEY, reference: "aa4938119b1dc7b87cbad0ffd200d0ae" },
	{ length: 16, key: KEY, reference: "61ba5f165c194692e09d12520cc4c74a" },
	{ length: 32, key: NO_KEY, reference: "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982" },
	{ length: 32, key: KEY, reference: "a281f725754969a702f6fe36fc591b7def866e4b70173ece402fc01c064d6b65" },
];

function hex(bytes: Uint8Array): string {
	let text = "";
	for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
	return text;
}

/** The digest by a session of one driver. */
function* session_digest(driver: string, length: number, key: Uint8Array): Blocking<Uint8Array> {
	const csp = new crypto_session_params();
	csp.csp_mode = CSP_MODE_DIGEST;
	csp.csp_auth_alg = CRYPTO_BLAKE2S;
	csp.csp_auth_mlen = length;
	csp.csp_auth_klen = key.length;
	csp.csp_auth_key = key.length > 0 ? key : null;
	const ses = yield* crypto_newsession(csp, yield* crypto_find_driver(driver));
	if (typeof ses === "number") throw new Error(`crypto_newsession with ${driver}: error ${ses}`);

	const buf = new Uint8Array(MESSAGE.length + length);
	buf.set(MESSAGE);
	const crp = new cryptop();
	crypto_initreq(crp, ses);
	crp.crp_op = CRYPTO_OP_COMPUTE_DIGEST;
	crp.crp_flags = CRYPTO_F_CBIMM;
	crypto_use_buf(crp, buf, buf.length);
	crp.crp_payload_length = MESSAGE.length;
	crp.crp_digest_start = MESSAGE.length;
	crp.crp_callback = () => done(0);
	yield* crypto_dispatch(crp);
	KASSERT(crp.crp_etype === 0, "blake2_story: the request failed");
	crypto_destroyreq(crp);
	yield* crypto_freesession(ses);
	return buf.subarray(MESSAGE.length);
}

/** The digest by cryptosoft, with the table as it is or altered. */
function* auth_xform_digest(altered: boolean, length: number, key: Uint8Array): Blocking<Uint8Array> {
	const old = sysctl_blake2_mlen(altered);
	const digest = yield* session_digest("cryptosoft", length, key);
	sysctl_blake2_mlen(old);
	return digest;
}

function library_digest(length: number, key: Uint8Array): Uint8Array {
	const out = new Uint8Array(length);
	const error = blake2s(out, MESSAGE, key, length, MESSAGE.length, key.length);
	KASSERT(error === 0, "blake2s: invalid arguments");
	return out;
}

/** Computes all digests, in a thread of a booted kernel. blake2.ko is loaded for it, and stays. */
export function* blake2_story(): Blocking<blake2_story_result> {
	yield* blake2_load();
	const rows: blake2_row[] = [];
	for (const { length, key, reference } of cases) {
		const answer = (digest: Uint8Array): blake2_answer => ({ digest: hex(digest), right: hex(digest) === reference });
		rows.push({
			digest_length: length,
			keyed: key.length > 0,
			auth_xform: answer(yield* auth_xform_digest(false, length, key)),
			altered: answer(yield* auth_xform_digest(true, length, key)),
			library: answer(library_digest(length, key)),
			blaketwo: answer(yield* session_digest("blaketwo", length, key)),
			reference,
		});
	}
	return { message: "abc", key: hex(KEY), rows };
}
