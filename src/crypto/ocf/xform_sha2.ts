/**
 * SHA-2, plain and for HMAC: cryptosoft's portable C, and ossl's vector code with the same results.
 *
 * A hash charges a block when it is compressed; the last one or two, with the padding, at the end.
 *
 * @see opencrypto/xform_sha2.c, sys/crypto/openssl/ossl_sha256.c, ossl_sha512.c; FIPS 180-4
 */
import { sha224, sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { charge, charge_bytes, cost } from "../../kernel/sched/thread.ts";
import type { CostName } from "../../machine/cost/table.ts";
import {
	CRYPTO_SHA2_224,
	CRYPTO_SHA2_224_HMAC,
	CRYPTO_SHA2_256,
	CRYPTO_SHA2_256_HMAC,
	CRYPTO_SHA2_384,
	CRYPTO_SHA2_384_HMAC,
	CRYPTO_SHA2_512,
	CRYPTO_SHA2_512_HMAC,
	SHA2_224_HASH_LEN,
	SHA2_256_BLOCK_LEN,
	SHA2_256_HASH_LEN,
	SHA2_384_HASH_LEN,
	SHA2_512_BLOCK_LEN,
	SHA2_512_HASH_LEN,
} from "./cryptodev.ts";
import type { auth_hash } from "./xform_auth.ts";

/** What this file uses of a noble hash. */
interface sha2_hash {
	update(data: Uint8Array): unknown;
	digest(): Uint8Array;
	clone(): sha2_hash;
}

/** A hash in progress. */
class sha2_ctx {
	h: sha2_hash | null = null;
	/** bytes hashed so far */
	t = 0;
}

/** One length of SHA-2. */
interface sha2_variant {
	readonly create: () => sha2_hash;
	readonly name: string;
	readonly hash: number;
	readonly hmac: number;
	readonly hashsize: number;
	readonly blocksize: number;
}

const variants: readonly sha2_variant[] = [
	{
		create: () => sha224.create(),
		name: "SHA2-224",
		hash: CRYPTO_SHA2_224,
		hmac: CRYPTO_SHA2_224_HMAC,
		hashsize: SHA2_224_HASH_LEN,
		blocksize: SHA2_256_BLOCK_LEN,
	},
	{
		create: () => sha256.create(),
		name: "SHA2-256",
		hash: CRYPTO_SHA2_256,
		hmac: CRYPTO_SHA2_256_HMAC,
		hashsize: SHA2_256_HASH_LEN,
		blocksize: SHA2_256_BLOCK_LEN,
	},
	{
		create: () => sha384.create(),
		name: "SHA2-384",
		hash: CRYPTO_SHA2_384,
		hmac: CRYPTO_SHA2_384_HMAC,
		hashsize: SHA2_384_HASH_LEN,
		blocksize: SHA2_512_BLOCK_LEN,
	},
	{
		create: () => sha512.create(),
		name: "SHA2-512",
		hash: CRYPTO_SHA2_512,
		hmac: CRYPTO_SHA2_512_HMAC,
		hashsize: SHA2_512_HASH_LEN,
		blocksize: SHA2_512_BLOCK_LEN,
	},
];

/** Bytes of the padding that cannot be left out: one with the top bit, and the length, an eighth of a block. */
function padding(blocksize: number): number {
	return 1 + blocksize / 8;
}

function sha2_entry(v: sha2_variant, hmac: boolean, cost_byte: CostName): auth_hash<sha2_ctx> {
	return {
		type: hmac ? v.hmac : v.hash,
		name: hmac ? `HMAC-${v.name}` : v.name,
		keysize: hmac ? v.blocksize : 0,
		hashsize: v.hashsize,
		blocksize: v.blocksize,
		ctx_new: () => new sha2_ctx(),
		ctx_copy(to, from) {
			to.h = from.h === null ? null : from.h.clone();
			to.t = from.t;
		},
		Init(ctx) {
			charge(cost.sha2_setup);
			ctx.h = v.create();
			ctx.t = 0;
		},
		Setkey: null,
		Reinit: null,
		Setlen: null,
		Update(ctx, buf, off, len) {
			const before = Math.floor(ctx.t / v.blocksize);
			ctx.t += len;
			charge_bytes((Math.floor(ctx.t / v.blocksize) - before) * v.blocksize, cost[cost_byte]);
			ctx.h!.update(buf.subarray(off, off + len));
			return 0;
		},
		Final(out, ctx) {
			const blocks = Math.ceil(((ctx.t % v.blocksize) + padding(v.blocksize)) / v.blocksize);
			charge_bytes(blocks * v.blocksize, cost[cost_byte]);
			out.set(ctx.h!.digest());
			ctx.h = null;
		},
	};
}

function sha2_table(sha256_byte: CostName, sha512_byte: CostName): auth_hash[] {
	const table: auth_hash[] = [];
	for (const v of variants) {
		const cost_byte = v.blocksize === SHA2_256_BLOCK_LEN ? sha256_byte : sha512_byte;
		table.push(sha2_entry(v, false, cost_byte) as auth_hash, sha2_entry(v, true, cost_byte) as auth_hash);
	}
	return table;
}

/** @see xform_sha2.c auth_hash_sha2_224 and following */
export const auth_hash_sha2: readonly auth_hash[] = sha2_table("sha256_soft", "sha512_soft");

/** @see ossl_sha256.c ossl_hash_sha224, ossl_hash_sha256; ossl_sha512.c ossl_hash_sha384, ossl_hash_sha512 */
export const ossl_hash_sha2: readonly auth_hash[] = sha2_table("sha256_ossl", "sha512_ossl");

/** Whether an algorithm is an HMAC: its key goes through hmac_init_ipad and not Setkey. */
export function alg_is_hmac(alg: number): boolean {
	return variants.some((v) => v.hmac === alg);
}
