/**
 * BLAKE2b as the kernel's libb2 offers it: a streaming state, digests of 1 to 64 bytes, an optional key of up to 64.
 *
 * The length of the digest and of the key enter the hash from the start: a 16-byte BLAKE2b is not the beginning of a 32-byte one.
 * It is BLAKE2s with 64-bit words and 12 rounds in place of 10. The driver does not use it; the crypto framework offers it.
 *
 * @see sys/contrib/libb2/blake2.h, blake2b-ref.c; RFC 7693
 */
import { blake2b as noble_blake2b } from "@noble/hashes/blake2.js";
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { charge, cost } from "../../kernel/sched/thread.ts";

export const BLAKE2B_BLOCKBYTES = 128;
export const BLAKE2B_OUTBYTES = 64;
export const BLAKE2B_KEYBYTES = 64;

/** Rounds of a compression. A 64-bit core takes as long for a round here as for one of BLAKE2s, with twice the data. */
const BLAKE2B_ROUNDS = 12;
const BLAKE2S_ROUNDS = 10;

type noble_state = ReturnType<typeof noble_blake2b.create>;

/** A hash in progress. A new state is empty until `blake2b_init` or `blake2b_init_key`, which may also start a used one again. */
export class blake2b_state {
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
	return t === 0 ? 0 : Math.floor((t - 1) / BLAKE2B_BLOCKBYTES);
}

/** Charges for compressing some blocks, by what a block of BLAKE2s costs. */
function charge_blocks(blocks: number): void {
	charge(Math.round((blocks * cost.blake2s_block * BLAKE2B_ROUNDS) / BLAKE2S_ROUNDS));
}

/**
 * Starts a hash without a key.
 *
 * @returns 0, or -1 when `outlen` is not 1 to 64
 * @see blake2b-ref.c blake2b_init
 */
export function blake2b_init(S: blake2b_state, outlen: number): number {
	if (outlen < 1 || outlen > BLAKE2B_OUTBYTES) {
		return -1;
	}
	charge(cost.blake2s_setup);
	S.h = noble_blake2b.create({ dkLen: outlen });
	S.outlen = outlen;
	S.t = 0;
	return 0;
}

/**
 * Starts a keyed hash, which is a MAC: the key, padded to a block, is hashed first.
 *
 * @returns 0, or -1 when `outlen` or `keylen` is not 1 to 64
 * @see blake2b-ref.c blake2b_init_key
 */
export function blake2b_init_key(S: blake2b_state, outlen: number, key: Uint8Array | null, keylen: number): number {
	if (outlen < 1 || outlen > BLAKE2B_OUTBYTES) {
		return -1;
	}
	if (key === null || keylen < 1 || keylen > BLAKE2B_KEYBYTES) {
		return -1;
	}
	charge(cost.blake2s_setup);
	S.h = noble_blake2b.create({ dkLen: outlen, key: key.subarray(0, keylen) });
	S.outlen = outlen;
	S.t = BLAKE2B_BLOCKBYTES;
	return 0;
}

/**
 * Hashes `inlen` more bytes.
 *
 * @returns 0
 * @see blake2b-ref.c blake2b_update
 */
export function blake2b_update(S: blake2b_state, input: Uint8Array, inlen: number): number {
	KASSERT(S.h !== null, "blake2b_update: state not initialised");
	if (inlen === 0) {
		return 0;
	}
	const t = S.t + inlen;
	charge_blocks(blocks_compressed(t) - blocks_compressed(S.t));
	S.h!.update(input.subarray(0, inlen));
	S.t = t;
	return 0;
}

/**
 * Ends the hash and writes the digest. The state is wiped and needs a new start.
 *
 * @returns 0, or -1 with nothing done when `outlen` is not the one given at the start
 * @see blake2b-ref.c blake2b_final
 */
export function blake2b_final(S: blake2b_state, out: Uint8Array, outlen: number): number {
	KASSERT(S.h !== null, "blake2b_final: state not initialised");
	if (S.outlen !== outlen) {
		return -1;
	}
	charge_blocks(1);
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
 * @see blake2b-ref.c blake2b
 */
export function blake2b(
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
	const S = new blake2b_state();
	const error = keylen === 0 ? blake2b_init(S, outlen) : blake2b_init_key(S, outlen, key, keylen);
	if (error !== 0) {
		return error;
	}
	if (input !== null) {
		blake2b_update(S, input, inlen);
	}
	return blake2b_final(S, out, outlen);
}
