/**
 * HChaCha20 turns a key and the first 16 bytes of a long nonce into a fresh key: the ChaCha20 rounds without the final addition,
 * keeping the first and the last row.
 *
 * @see draft-irtf-cfrg-xchacha-03 section 2.2; libsodium crypto_core_hchacha20
 */
import { hchacha } from "@noble/ciphers/chacha.js";

export const HCHACHA20_NONCE_SIZE = 16;
export const HCHACHA20_KEY_SIZE = 32;

/** The bytes of "expand 32-byte k", the constant row of the state. */
const SIGMA: readonly number[] = [
	0x65, 0x78, 0x70, 0x61, 0x6e, 0x64, 0x20, 0x33, 0x32, 0x2d, 0x62, 0x79, 0x74, 0x65, 0x20, 0x6b,
];

/** noble works on words in memory order; a copy is always aligned, which the caller's bytes need not be. */
function words(bytes: ArrayLike<number>): Uint32Array {
	return new Uint32Array(Uint8Array.from(bytes).buffer);
}

/**
 * Derives the subkey. Pure arithmetic: the cost belongs to the function that needed the key.
 *
 * @param out 32 bytes, the derived key
 * @param nonce at least 16 bytes, of which the first 16 count
 */
export function hchacha20(out: Uint8Array, nonce: Uint8Array, key: Uint8Array): void {
	const derived = new Uint32Array(HCHACHA20_KEY_SIZE / 4);

	hchacha(words(SIGMA), words(key), words(nonce.subarray(0, HCHACHA20_NONCE_SIZE)), derived);
	out.set(new Uint8Array(derived.buffer));
	derived.fill(0);
}
