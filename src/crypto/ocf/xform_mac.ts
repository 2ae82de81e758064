/**
 * The MACs that are no hashes: Poly1305, GMAC, CBC-MAC. Poly1305's key may be used once; the other two have an IV.
 *
 * @see opencrypto/xform_poly1305.c, xform_gmac.c, xform_cbc_mac.c; sys/crypto/openssl/ossl_poly1305.c
 */
import { poly1305 } from "@noble/ciphers/_poly1305.js";
import { KASSERT, panic } from "../../kernel/sched/kernel.ts";
import { charge, charge_bytes, cost } from "../../kernel/sched/thread.ts";
import type { CostName } from "../../machine/cost/table.ts";
import {
	AES_CBC_MAC_Final,
	AES_CBC_MAC_Init,
	AES_CBC_MAC_Reinit,
	AES_CBC_MAC_Setkey,
	AES_CBC_MAC_Update,
	aes_cbc_mac_copy,
	aes_cbc_mac_ctx,
	CCM_CBC_BLOCK_LEN,
} from "./cbc_mac.ts";
import {
	AES_CBC_MAC_HASH_LEN,
	AES_GMAC_HASH_LEN,
	AES_MAX_KEY,
	CRYPTO_AES_CCM_CBC_MAC,
	CRYPTO_AES_NIST_GMAC,
	CRYPTO_POLY1305,
	POLY1305_HASH_LEN,
	POLY1305_KEY_LEN,
} from "./cryptodev.ts";
import {
	AES_GMAC_Final,
	AES_GMAC_Init,
	AES_GMAC_Reinit,
	AES_GMAC_Setkey,
	AES_GMAC_Update,
	aes_gmac_copy,
	aes_gmac_ctx,
	GMAC_BLOCK_LEN,
} from "./gmac.ts";
import type { auth_hash } from "./xform_auth.ts";

const POLY1305_BLOCK_LEN = 16;

class poly1305_xform_ctx {
	readonly key = new Uint8Array(POLY1305_KEY_LEN);
	state: ReturnType<typeof poly1305.create> | null = null;
	t = 0;
}

function poly1305_entry(cost_setup: CostName, cost_byte: CostName): auth_hash<poly1305_xform_ctx> {
	return {
		type: CRYPTO_POLY1305,
		name: "Poly-1305",
		keysize: POLY1305_KEY_LEN,
		hashsize: POLY1305_HASH_LEN,
		blocksize: POLY1305_BLOCK_LEN,
		ctx_new: () => new poly1305_xform_ctx(),
		ctx_copy(to, from) {
			KASSERT(from.t === 0, "poly1305: copy of a context in use");
			to.key.set(from.key);
			to.state = poly1305.create(to.key);
			to.t = 0;
		},
		Setkey(ctx, key, klen) {
			if (klen !== POLY1305_KEY_LEN) panic(`Bogus keylen: ${klen} bytes`);
			if (key !== null) ctx.key.set(key.subarray(0, klen));
		},
		Init(ctx) {
			charge(cost[cost_setup]);
			ctx.state = poly1305.create(ctx.key);
			ctx.t = 0;
		},
		Reinit: null,
		Setlen: null,
		Update(ctx, buf, off, len) {
			charge_bytes(len, cost[cost_byte]);
			ctx.state!.update(buf.subarray(off, off + len));
			ctx.t += len;
			return 0;
		},
		Final(out, ctx) {
			out.set(ctx.state!.digest());
			ctx.state = null;
			ctx.t = 0;
		},
	};
}

/** @see xform_poly1305.c auth_hash_poly1305 */
export const auth_hash_poly1305 = poly1305_entry("poly1305_soft_setup", "poly1305_soft");

/** @see ossl_poly1305.c ossl_hash_poly1305 */
export const ossl_hash_poly1305 = poly1305_entry("poly1305_ossl_setup", "poly1305_ossl");

/** One for all key lengths; FreeBSD has three that differ in their names. @see xform_gmac.c auth_hash_nist_gmac_aes_128 */
export const auth_hash_nist_gmac_aes: auth_hash<aes_gmac_ctx> = {
	type: CRYPTO_AES_NIST_GMAC,
	name: "GMAC-AES",
	keysize: AES_MAX_KEY,
	hashsize: AES_GMAC_HASH_LEN,
	blocksize: GMAC_BLOCK_LEN,
	ctx_new: () => new aes_gmac_ctx(),
	ctx_copy: aes_gmac_copy,
	Init: AES_GMAC_Init,
	Setkey(ctx, key, klen) {
		charge(cost.aes_soft_setup);
		AES_GMAC_Setkey(ctx, key!, klen);
	},
	Reinit: AES_GMAC_Reinit,
	Setlen: null,
	Update(ctx, buf, off, len) {
		charge_bytes(len, cost.ghash_soft);
		AES_GMAC_Update(ctx, buf.subarray(off, off + len));
		return 0;
	},
	Final(out, ctx) {
		charge_bytes(GMAC_BLOCK_LEN, cost.aes_soft);
		AES_GMAC_Final(out, ctx);
	},
};

/** One for all key lengths; FreeBSD has three that differ in their names. @see xform_cbc_mac.c auth_hash_ccm_cbc_mac_128 */
export const auth_hash_ccm_cbc_mac: auth_hash<aes_cbc_mac_ctx> = {
	type: CRYPTO_AES_CCM_CBC_MAC,
	name: "CBC-CCM-AES",
	keysize: AES_MAX_KEY,
	hashsize: AES_CBC_MAC_HASH_LEN,
	blocksize: CCM_CBC_BLOCK_LEN,
	ctx_new: () => new aes_cbc_mac_ctx(),
	ctx_copy: aes_cbc_mac_copy,
	Init: AES_CBC_MAC_Init,
	Setkey(ctx, key, klen) {
		charge(cost.aes_soft_setup);
		AES_CBC_MAC_Setkey(ctx, key!, klen);
	},
	Reinit: AES_CBC_MAC_Reinit,
	Setlen: null,
	Update(ctx, buf, off, len) {
		charge_bytes(len, cost.aes_soft);
		AES_CBC_MAC_Update(ctx, buf, off, len);
		return 0;
	},
	Final(out, ctx) {
		charge_bytes(CCM_CBC_BLOCK_LEN, cost.aes_soft);
		AES_CBC_MAC_Final(out, ctx);
	},
};
