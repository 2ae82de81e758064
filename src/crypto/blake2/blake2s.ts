/**
 * BLAKE2s as the kernel's libb2 offers it: a streaming state, digests of 1 to 32 bytes, an optional key of up to 32.
 *
 * The length of the digest and of the key enter the hash from the start: a 16-byte BLAKE2s is not the beginning of a 32-byte one.
 * The compression is noble's; a digest charges its setup once and each 64-byte block when it is compressed, which for the last
 * block is at the end, because only then is it known to be the last.
 *
 * @see sys/contrib/libb2/blake2.h, blake2s-ref.c; RFC 7693
 */
import { blake2s as noble_blake2s } from "@noble/hashes/blake2.js";
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { charge, cost } from "../../kernel/sched/thread.ts";

export const BLAKE2S_BLOCKBYTES = 64;
export const BLAKE2S_OUTBYTES = 32;
export const BLAKE2S_KEYBYTES = 32;

type noble_state = ReturnType<typeof noble_blake2s.create>;

/** A hash in progress. A new state is empty until `blake2s_init` or `blake2s_init_key`, which may also start a used one again. */
export class blake2s_state {
	/** The chaining value and the buffer; null before the start and after the end. */
	h: noble_state | null;
	outlen: number;
	/** Bytes hashed so far, the key block included. */
	t: number;

	constructor() {
		this.h = null;
		this.outlen = 0;
		this.t = 0;
	}
}

/** Blocks compressed once `t` bytes came in: all full ones but the last, which waits. */
function blocks_compressed(t: number): number {
	return t === 0 ? 0 : Math.floor((t - 1) / BLAKE2S_BLOCKBYTES);
}

/**
 * Starts a hash without a key.
 *
 * @returns 0, or -1 when `outlen` is not 1 to 32
 * @see blake2s-ref.c blake2s_init
 */
export function blake2s_init(S: blake2s_state, outlen: number): number {
	if (outlen < 1 || outlen > BLAKE2S_OUTBYTES) {
		return -1;
	}
	charge(cost.blake2s_setup);
	S.h = noble_blake2s.create({ dkLen: outlen });
	S.outlen = outlen;
	S.t = 0;
	return 0;
}

/**
 * Starts a keyed hash, which is a MAC: the key, padded to a block, is hashed first.
 *
 * @returns 0, or -1 when `outlen` or `keylen` is not 1 to 32
 * @see blake2s-ref.c blake2s_init_key
 */
export function blake2s_init_key(S: blake2s_state, outlen: number, key: Uint8Array | null, keylen: number): number {
	if (outlen < 1 || outlen > BLAKE2S_OUTBYTES) {
		return -1;
	}
	if (key === null || keylen < 1 || keylen > BLAKE2S_KEYBYTES) {
		return -1;
	}
	charge(cost.blake2s_setup);
	S.h = noble_blake2s.create({ dkLen: outlen, key: key.subarray(0, keylen) });
	S.outlen = outlen;
	S.t = BLAKE2S_BLOCKBYTES;
	return 0;
}

/**
 * Hashes `inlen` more bytes.
 *
 * @returns 0
 * @see blake2s-ref.c blake2s_update
 */
export function blake2s_update(S: blake2s_state, input: Uint8Array, inlen: number): number {
	KASSERT(S.h !== null, "blake2s_update: state not initialised");
	if (inlen === 0) {
		return 0;
	}
	const t = S.t + inlen;
	charge((blocks_compressed(t) - blocks_compressed(S.t)) * cost.blake2s_block);
	S.h!.update(input.subarray(0, inlen));
	S.t = t;
	return 0;
}

/**
 * Ends the hash and writes the digest. The state is wiped, as the driver's own version does, and needs a new start.
 *
 * @returns 0, or -1 with nothing done when `outlen` is not the one given at the start
 * @see blake2s-ref.c blake2s_final
 */
export function blake2s_final(S: blake2s_state, out: Uint8Array, outlen: number): number {
	KASSERT(S.h !== null, "blake2s_final: state not initialised");
	if (S.outlen !== outlen) {
		return -1;
	}
	charge(cost.blake2s_block);
	out.set(S.h!.digest());
	S.h = null;
	S.outlen = 0;
	S.t = 0;
	return 0;
}

/**
 * Hashes one buffer, with a key when `keylen` is not 0.
 *
 * @returns 0, or -1 when a length is out of range or a needed buffer is null
 * @see blake2s-ref.c blake2s
 */
export function blake2s(
	out: Uint8Array,
	input: Uint8Array | null,
	key: Uint8Array | null,
	outlen: number,
	inlen: number,
	keylen: number,
): number {
	if (input === null && inlen > 0) {
		return -1;
	}
	const S = new blake2s_state();
	const error = keylen === 0 ? blake2s_init(S, outlen) : blake2s_init_key(S, outlen, key, keylen);
	if (error !== 0) {
		return error;
	}
	if (input !== null) {
		blake2s_update(S, input, inlen);
	}
	return blake2s_final(S, out, outlen);
}
