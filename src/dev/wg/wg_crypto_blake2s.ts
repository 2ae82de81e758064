/**
 * BLAKE2s for the driver: its own code, or the library's. Both give the same bytes in the same time; the loader tunable
 * `hw.wg.blake2s` picks one, and without it the driver's generation does. The names and arguments are the library's, which are the
 * driver's plus what they return.
 *
 * @see wireguard-freebsd crypto.c, with COMPAT_NEED_BLAKE2S; RFC 7693
 */
import {
	BLAKE2S_BLOCKBYTES,
	BLAKE2S_KEYBYTES,
	BLAKE2S_OUTBYTES,
	blake2s_final as library_final,
	blake2s_init as library_init,
	blake2s_init_key as library_init_key,
	blake2s_state as library_state,
	blake2s_update as library_update,
} from "../../crypto/blake2/blake2s.ts";
import { KERNEL_GLOBAL, panic, TUNABLE_FETCH } from "../../kernel/sched/kernel.ts";
import { charge, cost } from "../../kernel/sched/thread.ts";
import { generation } from "./curgeneration.ts";

export const BLAKE2S_BLOCK_SIZE = BLAKE2S_BLOCKBYTES;
export const BLAKE2S_HASH_SIZE = BLAKE2S_OUTBYTES;
export const BLAKE2S_KEY_SIZE = BLAKE2S_KEYBYTES;

/** Loader tunable: own or library. */
export const WG_BLAKE2S_TUNABLE = "hw.wg.blake2s";

const uses_library = KERNEL_GLOBAL(() => {
	const name = TUNABLE_FETCH(WG_BLAKE2S_TUNABLE) ?? generation().blake2;
	if (name !== "own" && name !== "library") panic(`${WG_BLAKE2S_TUNABLE}: no BLAKE2s is called ${name}`);
	return { library: name === "library" };
});

/** RFC 7693 section 2.6 */
const blake2s_iv = Uint32Array.of(
	0x6a09e667,
	0xbb67ae85,
	0x3c6ef372,
	0xa54ff53a,
	0x510e527f,
	0x9b05688c,
	0x1f83d9ab,
	0x5be0cd19,
);

const ROUNDS = 10;

/** The order in which a round takes the message's words, 16 for each round. RFC 7693 section 2.7 */
const blake2s_sigma = Uint8Array.of(
	...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
	...[14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
	...[11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
	...[7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
	...[9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
	...[2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
	...[12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
	...[13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
	...[6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
	...[10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
);

/** Parameter block without the two lengths: fanout and depth are 1. */
const SEQUENTIAL = 0x01010000;

/** A hash in progress. */
export class blake2s_state {
	readonly h = new Uint32Array(8);
	/** bytes compressed so far; a message is far shorter than where C's second counter word begins */
	t = 0;
	/** all ones in the last block */
	f = 0;
	readonly buf = new Uint8Array(BLAKE2S_BLOCK_SIZE);
	buflen = 0;
	outlen = 0;
	/** the library's state, when that is in use */
	readonly library: library_state | null = uses_library().library ? new library_state() : null;
}

/** The words of a block and the working vector, on the stack in C. */
class blake2s_work {
	readonly m = new Uint32Array(16);
	readonly v = new Uint32Array(16);
}

const work = KERNEL_GLOBAL(() => new blake2s_work());

function ror32(word: number, bits: number): number {
	return (word >>> bits) | (word << (32 - bits));
}

/** @see crypto.c blake2s_init_param */
function blake2s_init_param(S: blake2s_state, outlen: number, keylen: number): void {
	charge(cost.blake2s_setup);
	S.h.set(blake2s_iv);
	S.h[0] ^= SEQUENTIAL | (keylen << 8) | outlen;
	S.t = 0;
	S.f = 0;
	S.buf.fill(0);
	S.buflen = 0;
	S.outlen = outlen;
}

/** Starts a hash without a key. @returns 0, or -1 when `outlen` is not 1 to 32 @see crypto.c blake2s_init */
export function blake2s_init(S: blake2s_state, outlen: number): number {
	if (S.library !== null) return library_init(S.library, outlen);
	if (outlen < 1 || outlen > BLAKE2S_HASH_SIZE) return -1;
	blake2s_init_param(S, outlen, 0);
	return 0;
}

/**
 * Starts a keyed hash: the key, padded to a block, is hashed first.
 *
 * @returns 0, or -1 when `outlen` or `keylen` is not 1 to 32
 * @see crypto.c blake2s_init_key
 */
export function blake2s_init_key(S: blake2s_state, outlen: number, key: Uint8Array, keylen: number): number {
	if (S.library !== null) return library_init_key(S.library, outlen, key, keylen);
	if (outlen < 1 || outlen > BLAKE2S_HASH_SIZE || keylen < 1 || keylen > BLAKE2S_KEY_SIZE) return -1;
	blake2s_init_param(S, outlen, keylen);
	S.buf.set(key.subarray(0, keylen));
	S.buflen = BLAKE2S_BLOCK_SIZE;
	return 0;
}

/** The mixing function. RFC 7693 section 3.1 */
function G(v: Uint32Array, a: number, b: number, c: number, d: number, x: number, y: number): void {
	v[a] = v[a] + v[b] + x;
	v[d] = ror32(v[d] ^ v[a], 16);
	v[c] = v[c] + v[d];
	v[b] = ror32(v[b] ^ v[c], 12);
	v[a] = v[a] + v[b] + y;
	v[d] = ror32(v[d] ^ v[a], 8);
	v[c] = v[c] + v[d];
	v[b] = ror32(v[b] ^ v[c], 7);
}

/** Takes one block into the state. `inc` is how many of its bytes are message. @see crypto.c blake2s_compress */
function blake2s_compress(S: blake2s_state, block: Uint8Array, off: number, inc: number): void {
	const m = work().m;
	const v = work().v;
	charge(cost.blake2s_block);
	S.t += inc;
	for (let i = 0; i < 16; i++) {
		const at = off + 4 * i;
		m[i] = block[at] | (block[at + 1] << 8) | (block[at + 2] << 16) | (block[at + 3] << 24);
	}
	for (let i = 0; i < 8; i++) {
		v[i] = S.h[i];
		v[i + 8] = blake2s_iv[i];
	}
	v[12] ^= S.t;
	v[14] ^= S.f;
	for (let r = 0; r < ROUNDS; r++) {
		const s = 16 * r;
		const sigma = blake2s_sigma;
		G(v, 0, 4, 8, 12, m[sigma[s]], m[sigma[s + 1]]);
		G(v, 1, 5, 9, 13, m[sigma[s + 2]], m[sigma[s + 3]]);
		G(v, 2, 6, 10, 14, m[sigma[s + 4]], m[sigma[s + 5]]);
		G(v, 3, 7, 11, 15, m[sigma[s + 6]], m[sigma[s + 7]]);
		G(v, 0, 5, 10, 15, m[sigma[s + 8]], m[sigma[s + 9]]);
		G(v, 1, 6, 11, 12, m[sigma[s + 10]], m[sigma[s + 11]]);
		G(v, 2, 7, 8, 13, m[sigma[s + 12]], m[sigma[s + 13]]);
		G(v, 3, 4, 9, 14, m[sigma[s + 14]], m[sigma[s + 15]]);
	}
	for (let i = 0; i < 8; i++) S.h[i] ^= v[i] ^ v[i + 8];
}

/** Hashes `inlen` more bytes. A full buffer waits: it may be the last block. @returns 0 @see crypto.c blake2s_update */
export function blake2s_update(S: blake2s_state, input: Uint8Array, inlen: number): number {
	if (S.library !== null) return library_update(S.library, input, inlen);
	let off = 0;
	while (off < inlen) {
		if (S.buflen === BLAKE2S_BLOCK_SIZE) {
			blake2s_compress(S, S.buf, 0, BLAKE2S_BLOCK_SIZE);
			S.buflen = 0;
		}
		const todo = Math.min(BLAKE2S_BLOCK_SIZE - S.buflen, inlen - off);
		S.buf.set(input.subarray(off, off + todo), S.buflen);
		S.buflen += todo;
		off += todo;
	}
	return 0;
}

/**
 * Ends the hash, writes the digest and wipes the state.
 *
 * @returns 0, or -1 with nothing done when `outlen` is not the one given at the start
 * @see crypto.c blake2s_final
 */
export function blake2s_final(S: blake2s_state, out: Uint8Array, outlen: number): number {
	if (S.library !== null) return library_final(S.library, out, outlen);
	if (outlen !== S.outlen) return -1;
	S.f = 0xffffffff;
	S.buf.fill(0, S.buflen);
	blake2s_compress(S, S.buf, 0, S.buflen);
	for (let i = 0; i < outlen; i++) out[i] = S.h[i >>> 2] >>> (8 * (i & 3));
	S.h.fill(0);
	S.buf.fill(0);
	S.buflen = 0;
	S.outlen = 0;
	return 0;
}

/** Hashes one buffer, with a key when `keylen` is not 0. @returns 0, or -1 for a length out of range @see crypto.h blake2s */
export function blake2s(
	out: Uint8Array,
	input: Uint8Array,
	key: Uint8Array | null,
	outlen: number,
	inlen: number,
	keylen: number,
): number {
	const S = new blake2s_state();
	const error = keylen !== 0 ? blake2s_init_key(S, outlen, key!, keylen) : blake2s_init(S, outlen);
	if (error !== 0) return error;
	blake2s_update(S, input, inlen);
	return blake2s_final(S, out, outlen);
}
