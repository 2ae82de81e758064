/**
 * GMAC, the authentication of AES-GCM: a polynomial over the blocks, under a key that is the encryption of zero.
 *
 * @see opencrypto/gmac.c, gfmult.c; NIST SP 800-38D
 */
import { ghash } from "@noble/ciphers/_polyval.js";
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { aes_encrypt, type aes_schedule, aes_setkey } from "./aes.ts";
import { AES_BLOCK_LEN, AES_GCM_IV_LEN } from "./cryptodev.ts";

export const GMAC_BLOCK_LEN = 16;
export const GMAC_DIGEST_LEN = 16;

type noble_ghash = ReturnType<typeof ghash.create>;

export class aes_gmac_ctx {
	keysched: aes_schedule | null = null;
	readonly ghashkey = new Uint8Array(AES_BLOCK_LEN);
	readonly counter = new Uint8Array(AES_BLOCK_LEN);
	/** the sum so far; null before Reinit and after Final */
	hash: noble_ghash | null = null;
}

/** Structure assignment, of a context that has no data in it yet. */
export function aes_gmac_copy(to: aes_gmac_ctx, from: aes_gmac_ctx): void {
	KASSERT(from.hash === null, "aes_gmac_copy: context in use");
	to.keysched = from.keysched;
	to.ghashkey.set(from.ghashkey);
	to.hash = null;
}

/** The key stays: here it comes first. @see gmac.c AES_GMAC_Init */
export function AES_GMAC_Init(ctx: aes_gmac_ctx): void {
	ctx.hash = null;
}

/** @see gmac.c AES_GMAC_Setkey */
export function AES_GMAC_Setkey(ctx: aes_gmac_ctx, key: Uint8Array, klen: number): void {
	ctx.keysched = aes_setkey(key, klen);
	ctx.ghashkey.fill(0);
	aes_encrypt(ctx.keysched, ctx.ghashkey);
}

/** Begins a message. @see gmac.c AES_GMAC_Reinit */
export function AES_GMAC_Reinit(ctx: aes_gmac_ctx, iv: Uint8Array, ivlen: number): void {
	KASSERT(ivlen <= AES_GCM_IV_LEN, "passed ivlen too long!");
	ctx.counter.fill(0);
	ctx.counter.set(iv.subarray(0, ivlen));
	ctx.counter[AES_BLOCK_LEN - 1] = 1;
	ctx.hash = ghash.create(ctx.ghashkey);
}

/** Adds blocks; what is left of the last one counts as zero. @see gmac.c AES_GMAC_Update */
export function AES_GMAC_Update(ctx: aes_gmac_ctx, data: Uint8Array): void {
	if (data.length > 0) ctx.hash!.update(data);
}

/** Adds the block with the lengths, in bits. */
export function AES_GMAC_lengths(ctx: aes_gmac_ctx, aad_length: number, length: number): void {
	const block = new Uint8Array(GMAC_BLOCK_LEN);
	const view = new DataView(block.buffer);
	view.setUint32(4, aad_length * 8);
	view.setUint32(12, length * 8);
	AES_GMAC_Update(ctx, block);
}

/** @see gmac.c AES_GMAC_Final */
export function AES_GMAC_Final(digest: Uint8Array, ctx: aes_gmac_ctx): void {
	const sum = ctx.hash!.digest();
	ctx.hash = null;
	aes_encrypt(ctx.keysched!, ctx.counter);
	for (let i = 0; i < GMAC_DIGEST_LEN; i++) digest[i] = ctx.counter[i] ^ sum[i];
}
