/**
 * CBC-MAC as AES-CCM uses it. The first block says how long nonce, text and tag are, so unlike a hash cut short, a shorter CCM tag
 * is a tag of its own.
 *
 * @see opencrypto/cbc_mac.c; cryptosoft.c build_ccm_b0, build_ccm_aad_length; RFC 3610
 */
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { aes_encrypt, type aes_schedule, aes_setkey } from "./aes.ts";
import { AES_CBC_MAC_HASH_LEN } from "./cryptodev.ts";

export const CCM_CBC_BLOCK_LEN = 16;

/** An authenticated length of at least this has a longer encoding. */
const CCM_AAD_LONG = 0x10000 - 0x100;

export class aes_cbc_mac_ctx {
	keysched: aes_schedule | null = null;
	readonly block = new Uint8Array(CCM_CBC_BLOCK_LEN);
	readonly staging_block = new Uint8Array(CCM_CBC_BLOCK_LEN);
	/** bytes in the staging block */
	blockIndex = 0;
	readonly nonce = new Uint8Array(CCM_CBC_BLOCK_LEN);
	nonceLength = 0;
}

/** Structure assignment, of a context that has no data in it yet. */
export function aes_cbc_mac_copy(to: aes_cbc_mac_ctx, from: aes_cbc_mac_ctx): void {
	to.keysched = from.keysched;
	to.blockIndex = 0;
}

/** The key stays: here it comes first. @see cbc_mac.c AES_CBC_MAC_Init */
export function AES_CBC_MAC_Init(ctx: aes_cbc_mac_ctx): void {
	ctx.blockIndex = 0;
}

export function AES_CBC_MAC_Setkey(ctx: aes_cbc_mac_ctx, key: Uint8Array, klen: number): void {
	ctx.keysched = aes_setkey(key, klen);
}

/** Begins a message: the first block to come is encrypted as it is. @see cbc_mac.c AES_CBC_MAC_Reinit */
export function AES_CBC_MAC_Reinit(ctx: aes_cbc_mac_ctx, nonce: Uint8Array, nonceLen: number): void {
	ctx.nonce.set(nonce.subarray(0, nonceLen));
	ctx.nonceLength = nonceLen;
	ctx.blockIndex = 0;
	ctx.block.fill(0);
}

function encrypt_staging_block(ctx: aes_cbc_mac_ctx): void {
	for (let i = 0; i < CCM_CBC_BLOCK_LEN; i++) ctx.block[i] ^= ctx.staging_block[i];
	aes_encrypt(ctx.keysched!, ctx.block);
	ctx.blockIndex = 0;
}

/** @see cbc_mac.c AES_CBC_MAC_Update */
export function AES_CBC_MAC_Update(ctx: aes_cbc_mac_ctx, data: Uint8Array, off: number, length: number): void {
	for (let i = 0; i < length; i++) {
		ctx.staging_block[ctx.blockIndex++] = data[off + i];
		if (ctx.blockIndex === CCM_CBC_BLOCK_LEN) encrypt_staging_block(ctx);
	}
}

/** Fills the last block with zeros. */
export function AES_CBC_MAC_pad(ctx: aes_cbc_mac_ctx): void {
	if (ctx.blockIndex === 0) return;
	ctx.staging_block.fill(0, ctx.blockIndex);
	encrypt_staging_block(ctx);
}

/** @see cbc_mac.c AES_CBC_MAC_Final */
export function AES_CBC_MAC_Final(buf: Uint8Array, ctx: aes_cbc_mac_ctx): void {
	AES_CBC_MAC_pad(ctx);
	const s0 = new Uint8Array(CCM_CBC_BLOCK_LEN);
	ccm_counter(s0, ctx.nonce, ctx.nonceLength, 0);
	aes_encrypt(ctx.keysched!, s0);
	for (let i = 0; i < AES_CBC_MAC_HASH_LEN; i++) buf[i] = ctx.block[i] ^ s0[i];
}

/** A block of the counter: how many bytes count, the nonce, and the count. @see xform_aes_icm.c aes_ccm_reinit */
export function ccm_counter(block: Uint8Array, nonce: Uint8Array, nonce_length: number, count: number): void {
	block.fill(0);
	block[0] = 15 - nonce_length - 1;
	block.set(nonce.subarray(0, nonce_length), 1);
	block[CCM_CBC_BLOCK_LEN - 1] = count;
}

/** Adds the first block, which holds all the lengths. @see cryptosoft.c build_ccm_b0 */
export function ccm_update_b0(
	ctx: aes_cbc_mac_ctx,
	nonce: Uint8Array,
	nonce_length: number,
	aad_length: number,
	data_length: number,
	tag_length: number,
): void {
	KASSERT(nonce_length >= 7 && nonce_length <= 13, "nonce_length must be between 7 and 13 bytes");
	const b0 = new Uint8Array(CCM_CBC_BLOCK_LEN);
	const L = 15 - nonce_length;
	b0[0] = (aad_length > 0 ? 1 << 6 : 0) + (((tag_length - 2) >> 1) << 3) + L - 1;
	b0.set(nonce.subarray(0, nonce_length), 1);
	let rest = data_length;
	for (let i = CCM_CBC_BLOCK_LEN - 1; i > nonce_length; i--) {
		b0[i] = rest & 0xff;
		rest = Math.floor(rest / 0x100);
	}
	AES_CBC_MAC_Update(ctx, b0, 0, CCM_CBC_BLOCK_LEN);
}

/** Adds the length of the authenticated data, which precedes them. @see cryptosoft.c build_ccm_aad_length */
export function ccm_update_aad_length(ctx: aes_cbc_mac_ctx, aad_length: number): void {
	const blk = new Uint8Array(6);
	const view = new DataView(blk.buffer);
	if (aad_length < CCM_AAD_LONG) {
		view.setUint16(0, aad_length);
		AES_CBC_MAC_Update(ctx, blk, 0, 2);
	} else {
		view.setUint16(0, 0xfffe);
		view.setUint32(2, aad_length);
		AES_CBC_MAC_Update(ctx, blk, 0, 6);
	}
}
