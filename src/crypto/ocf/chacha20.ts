/**
 * ChaCha20 as its author published it: a counter of 64 bits that wraps around, a nonce of 64, keys of 16 or 32 bytes.
 *
 * noble's version stops before its 32-bit counter wraps, which a session of CRYPTO_CHACHA20 may ask for.
 *
 * @see sys/crypto/chacha20/chacha.c
 */
import { le32dec } from "../../kernel/endian.ts";
export const CHACHA_MINKEYLEN = 16;
export const CHACHA_MAXKEYLEN = 32;
export const CHACHA_BLOCKLEN = 64;
/** counter, then nonce */
export const CHACHA_IVLEN = 16;

const DOUBLE_ROUNDS = 10;

/** "expand 32-byte k" and "expand 16-byte k" */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
const TAU = Uint32Array.of(0x61707865, 0x3120646e, 0x79622d36, 0x6b206574);

/** Words of the state. */
const KEY = 4;
const COUNTER = 12;

function rotl(x: number, n: number): number {
	return (x << n) | (x >>> (32 - n));
}

function quarter_round(x: Uint32Array, a: number, b: number, c: number, d: number): void {
	x[a] += x[b];
	x[d] = rotl(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotl(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotl(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotl(x[b] ^ x[c], 7);
}

function chacha_block(state: Uint32Array, x: Uint32Array): void {
	x.set(state);
	for (let i = 0; i < DOUBLE_ROUNDS; i++) {
		for (let column = 0; column < 4; column++) quarter_round(x, column, 4 + column, 8 + column, 12 + column);
		for (let column = 0; column < 4; column++) {
			quarter_round(x, column, 4 + ((column + 1) & 3), 8 + ((column + 2) & 3), 12 + ((column + 3) & 3));
		}
	}
	for (let i = 0; i < state.length; i++) x[i] += state[i];
}

/** Encrypts or decrypts a text where it is. `iv` is the counter of the first block, low half first, and the nonce. */
export function chacha20_crypt(key: Uint8Array, klen: number, iv: Uint8Array, text: Uint8Array): void {
	const state = new Uint32Array(16);
	const x = new Uint32Array(16);
	state.set(klen === CHACHA_MAXKEYLEN ? SIGMA : TAU);
	// a short key is used twice
	for (let i = 0; i < 8; i++) state[KEY + i] = le32dec(key, (4 * i) % klen);
	for (let i = 0; i < 4; i++) state[COUNTER + i] = le32dec(iv, 4 * i);

	for (let off = 0; off < text.length; off += CHACHA_BLOCKLEN) {
		chacha_block(state, x);
		const end = Math.min(CHACHA_BLOCKLEN, text.length - off);
		for (let i = 0; i < end; i++) text[off + i] ^= x[i >> 2] >>> (8 * (i & 3));
		state[COUNTER]++;
		if (state[COUNTER] === 0) state[COUNTER + 1]++;
	}
}
