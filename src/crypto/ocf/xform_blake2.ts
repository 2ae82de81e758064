/**
 * BLAKE2 behind crypto(9)'s interface for digests, as the kernel has it, and as it could be.
 *
 * Init is not told how long a digest is wanted. For BLAKE2 the length is part of the hash, so the kernel's entries always make the
 * longest digest, and a session that asks for fewer bytes gets the beginning of that, not a BLAKE2 of the shorter length.
 * WireGuard's 16-byte MACs can therefore not be had here.
 *
 * The altered entries are what would help: one more function, Setlen, which passes the session's length down. FreeBSD has nothing of
 * the kind. The tunable `kern.crypto.blake2_mlen=1` puts them into the table.
 *
 * @see sys/crypto/blake2/blake2-sw.c
 */
import { KASSERT, KERNEL_GLOBAL, panic, TUNABLE_FETCH } from "../../kernel/sched/kernel.ts";
import {
	BLAKE2B_BLOCKBYTES,
	BLAKE2B_KEYBYTES,
	BLAKE2B_OUTBYTES,
	blake2b_final,
	blake2b_init,
	blake2b_init_key,
	blake2b_state,
	blake2b_update,
} from "../blake2/blake2b.ts";
import {
	BLAKE2S_BLOCKBYTES,
	BLAKE2S_KEYBYTES,
	BLAKE2S_OUTBYTES,
	blake2s_final,
	blake2s_init,
	blake2s_init_key,
	blake2s_state,
	blake2s_update,
} from "../blake2/blake2s.ts";
import { CRYPTO_BLAKE2B, CRYPTO_BLAKE2S } from "./cryptodev.ts";
import type { auth_hash } from "./xform_auth.ts";

/** Loader tunable, and a sysctl for as long as no session is being opened. */
export const BLAKE2_MLEN_TUNABLE = "kern.crypto.blake2_mlen";

class blake2b_xform_ctx {
	readonly state = new blake2b_state();
	readonly key = new Uint8Array(BLAKE2B_KEYBYTES);
	klen = 0;
	/** hard-coded, unless Setlen changes it */
	outlen = BLAKE2B_OUTBYTES;
}

class blake2s_xform_ctx {
	readonly state = new blake2s_state();
	readonly key = new Uint8Array(BLAKE2S_KEYBYTES);
	klen = 0;
	/** hard-coded, unless Setlen changes it */
	outlen = BLAKE2S_OUTBYTES;
}

function blake2_xform_copy(
	to: blake2b_xform_ctx | blake2s_xform_ctx,
	from: blake2b_xform_ctx | blake2s_xform_ctx,
): void {
	to.state.h = from.state.h === null ? null : from.state.h.clone();
	to.state.outlen = from.state.outlen;
	to.state.t = from.state.t;
	to.key.set(from.key);
	to.klen = from.klen;
	to.outlen = from.outlen;
}

/** @see blake2-sw.c blake2b_xform_setkey, blake2s_xform_setkey */
function blake2_xform_setkey(ctx: blake2b_xform_ctx | blake2s_xform_ctx, key: Uint8Array | null, klen: number): void {
	if (klen > ctx.key.length) panic(`invalid klen ${klen}`);
	if (key !== null) ctx.key.set(key.subarray(0, klen));
	ctx.klen = klen;
}

function blake2_xform_setlen(ctx: blake2b_xform_ctx | blake2s_xform_ctx, mlen: number): void {
	ctx.outlen = mlen;
}

/** @see blake2-sw.c auth_hash_blake2b */
export const auth_hash_blake2b: auth_hash<blake2b_xform_ctx> = {
	type: CRYPTO_BLAKE2B,
	name: "Blake2b",
	keysize: BLAKE2B_KEYBYTES,
	hashsize: BLAKE2B_OUTBYTES,
	blocksize: BLAKE2B_BLOCKBYTES,
	ctx_new: () => new blake2b_xform_ctx(),
	ctx_copy: blake2_xform_copy,
	Init(ctx) {
		const error =
			ctx.klen > 0 ? blake2b_init_key(ctx.state, ctx.outlen, ctx.key, ctx.klen) : blake2b_init(ctx.state, ctx.outlen);
		KASSERT(error === 0, "blake2b_init_key: invalid arguments");
	},
	Setkey: blake2_xform_setkey,
	Reinit: null,
	Setlen: null,
	Update(ctx, buf, off, len) {
		return blake2b_update(ctx.state, buf.subarray(off, off + len), len);
	},
	Final(out, ctx) {
		const error = blake2b_final(ctx.state, out, ctx.outlen);
		KASSERT(error === 0, "blake2b_final: invalid");
	},
};

/** @see blake2-sw.c auth_hash_blake2s */
export const auth_hash_blake2s: auth_hash<blake2s_xform_ctx> = {
	type: CRYPTO_BLAKE2S,
	name: "Blake2s",
	keysize: BLAKE2S_KEYBYTES,
	hashsize: BLAKE2S_OUTBYTES,
	blocksize: BLAKE2S_BLOCKBYTES,
	ctx_new: () => new blake2s_xform_ctx(),
	ctx_copy: blake2_xform_copy,
	Init(ctx) {
		const error =
			ctx.klen > 0 ? blake2s_init_key(ctx.state, ctx.outlen, ctx.key, ctx.klen) : blake2s_init(ctx.state, ctx.outlen);
		KASSERT(error === 0, "blake2s_init_key: invalid arguments");
	},
	Setkey: blake2_xform_setkey,
	Reinit: null,
	Setlen: null,
	Update(ctx, buf, off, len) {
		return blake2s_update(ctx.state, buf.subarray(off, off + len), len);
	},
	Final(out, ctx) {
		const error = blake2s_final(ctx.state, out, ctx.outlen);
		KASSERT(error === 0, "blake2s_final: invalid");
	},
};

/** The altered ones. */
export const auth_hash_blake2b_mlen: auth_hash<blake2b_xform_ctx> = {
	...auth_hash_blake2b,
	Setlen: blake2_xform_setlen,
};
export const auth_hash_blake2s_mlen: auth_hash<blake2s_xform_ctx> = {
	...auth_hash_blake2s,
	Setlen: blake2_xform_setlen,
};

class blake2_xform_state {
	mlen = TUNABLE_FETCH(BLAKE2_MLEN_TUNABLE) === "1";
}

const blake2_xform = KERNEL_GLOBAL(() => new blake2_xform_state());

/** Whether new sessions get the altered entries. */
export function blake2_mlen(): boolean {
	return blake2_xform().mlen;
}

/** Changes the sysctl. Sessions keep the entry they were opened with. @returns the old value */
export function sysctl_blake2_mlen(value: boolean): boolean {
	const old = blake2_xform().mlen;
	blake2_xform().mlen = value;
	return old;
}
