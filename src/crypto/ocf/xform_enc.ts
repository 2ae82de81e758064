/**
 * What a cipher is to crypto(9): a table entry, with what cryptosoft pays for it.
 *
 * In C an entry works block by block; here it works on a request at once, because the arithmetic is the host's. The order of
 * effects is kept: encryption writes text, then tag, and decryption writes nothing before the tag was found right.
 *
 * The entries are in xform_aes.ts and xform_chacha20.ts, the choice among them in xform.ts.
 *
 * @see opencrypto/xform_enc.h
 */
import type { Errno } from "../../kernel/errno.ts";
import type { CostName } from "../../machine/cost/table.ts";
import type { crypto_session_params, cryptop } from "./cryptodev.ts";

export interface enc_xform {
	readonly type: number;
	readonly name: string;
	/** 1 for a stream cipher */
	readonly blocksize: number;
	/** what a stream cipher works in; 0 for a block cipher */
	readonly native_blocksize: number;
	readonly ivsize: number;
	readonly minkey: number;
	readonly maxkey: number;
	/** bytes of the tag, 0 for a cipher without one */
	readonly macsize: number;
	/** cryptosoft: per request */
	readonly cost_setup: CostName;
	/** per byte: encryption and, for one with a tag, its computation */
	readonly cost_encrypt: CostName;
	/** per byte: decryption, the check of a tag included */
	readonly cost_decrypt: CostName;
	/** per byte: the check of a tag alone, all there is to do for a forgery */
	readonly cost_verify: CostName;
	/** per byte of authenticated data */
	readonly cost_aad: CostName;
	/** Whether there are keys of this length. In C, what setkey returns. */
	klen_valid(klen: number): boolean;
	encrypt(crp: cryptop, csp: crypto_session_params): void;
	/** @returns EBADMSG, with nothing written, when the tag does not match */
	decrypt(crp: cryptop, csp: crypto_session_params): Errno;
}
