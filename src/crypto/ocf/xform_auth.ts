/**
 * What a digest is to crypto(9): a table entry. And HMAC, which makes a keyed digest of a plain one.
 *
 * The entries are in xform_sha2.ts, xform_blake2.ts and xform_mac.ts, the choice among them in xform.ts. Each charges what its work
 * takes, so ossl has entries of its own.
 *
 * @see opencrypto/xform_auth.h, xform.c
 */
import type { Errno } from "../../kernel/errno.ts";
import { HMAC_IPAD_VAL, HMAC_OPAD_VAL } from "./cryptodev.ts";

/** One digest. `C` is its context: what C allocates by size and hands around as a void pointer. */
export interface auth_hash<C = unknown> {
	readonly type: number;
	readonly name: string;
	/** longest key */
	readonly keysize: number;
	readonly hashsize: number;
	readonly blocksize: number;
	/** a new context, in place of `ctxsize` bytes of memory */
	ctx_new(): C;
	/** structure assignment */
	ctx_copy(to: C, from: C): void;
	/** Begins a digest. How long a digest is wanted it is not told. */
	Init(ctx: C): void;
	/** before Init; null for one without a key, and for an HMAC, whose key its user hashes */
	Setkey: ((ctx: C, key: Uint8Array | null, klen: number) => void) | null;
	/** for those with an IV, after Init */
	Reinit: ((ctx: C, iv: Uint8Array, ivlen: number) => void) | null;
	/** Not in FreeBSD: how long a digest is wanted, before Init. Only the altered BLAKE2 has it, see xform_blake2.ts. */
	Setlen: ((ctx: C, mlen: number) => void) | null;
	Update(ctx: C, buf: Uint8Array, off: number, len: number): Errno;
	/** writes `hashsize` bytes, or as many as Setlen said */
	Final(out: Uint8Array, ctx: C): void;
}

/** Begins the inner or the outer hash of an HMAC: hashes the key, a block long, mixed with `padval`. @see xform.c hmac_init_pad */
function hmac_init_pad(axf: auth_hash, key: Uint8Array, klen: number, ctx: unknown, padval: number): void {
	const hmac_key = new Uint8Array(axf.blocksize);
	if (klen > axf.blocksize) {
		axf.Init(ctx);
		axf.Update(ctx, key, 0, klen);
		axf.Final(hmac_key, ctx);
	} else {
		hmac_key.set(key.subarray(0, klen));
	}
	for (let i = 0; i < axf.blocksize; i++) hmac_key[i] ^= padval;
	axf.Init(ctx);
	axf.Update(ctx, hmac_key, 0, axf.blocksize);
}

/** @see xform.c hmac_init_ipad */
export function hmac_init_ipad(axf: auth_hash, key: Uint8Array, klen: number, ctx: unknown): void {
	hmac_init_pad(axf, key, klen, ctx, HMAC_IPAD_VAL);
}

/** @see xform.c hmac_init_opad */
export function hmac_init_opad(axf: auth_hash, key: Uint8Array, klen: number, ctx: unknown): void {
	hmac_init_pad(axf, key, klen, ctx, HMAC_OPAD_VAL);
}
