/**
 * `<crypto/chacha20_poly1305.h>`: authenticated encryption of one contiguous buffer, for handshakes and cookies.
 *
 * FreeBSD wraps libsodium's portable C under the names Linux uses. Here the arithmetic is the host's; the time charged is that of
 * portable C. Packets of the data path do not come this way.
 *
 * @see sys/crypto/chacha20_poly1305.c, sys/crypto/chacha20_poly1305.h; kernel release 14.0
 */
import { KASSERT } from "../../kernel/sched/kernel.ts";
import { charge, charge_bytes, cost } from "../../kernel/sched/thread.ts";
import { AEAD_TAG_LEN, host_aead } from "../aead_backend.ts";
import { HCHACHA20_NONCE_SIZE, hchacha20 } from "./hchacha20.ts";

export const CHACHA20_POLY1305_KEY = 32;
export const CHACHA20_POLY1305_TAG = AEAD_TAG_LEN;
export const XCHACHA20_POLY1305_NONCE = 24;

/** One ChaCha20 block, the work of deriving an XChaCha20 subkey. */
const CHACHA20_BLOCK = 64;

/** Nonce of RFC 8439. */
const IETF_NONCE = 12;

/** Nonce of the original cipher, which counts blocks with 64 bits. */
const ORIGINAL_NONCE = 8;

/**
 * The 12-byte nonce that means the same. With 8 bytes the other 4 are the upper half of the block counter, and stay zero in any
 * message shorter than 256 GiB.
 */
function ietf_nonce(nonce: Uint8Array, nonce_len: number): Uint8Array {
	KASSERT(
		nonce_len === ORIGINAL_NONCE || nonce_len === IETF_NONCE,
		"chacha20_poly1305: nonce of neither 8 nor 12 bytes",
	);

	const nonce12 = new Uint8Array(IETF_NONCE);
	nonce12.set(nonce.subarray(0, nonce_len), IETF_NONCE - nonce_len);
	return nonce12;
}

/** The authenticated data, or null when there is none. */
function aad_bytes(aad: Uint8Array | null, aad_len: number): Uint8Array | null {
	return aad === null || aad_len === 0 ? null : aad.subarray(0, aad_len);
}

/**
 * Encrypts `src_len` bytes and appends the tag: `dst` receives `src_len + 16` bytes and may be `src` itself.
 *
 * @see chacha20_poly1305.c chacha20_poly1305_encrypt
 */
export function chacha20_poly1305_encrypt(
	dst: Uint8Array,
	src: Uint8Array,
	src_len: number,
	aad: Uint8Array | null,
	aad_len: number,
	nonce: Uint8Array,
	nonce_len: number,
	key: Uint8Array,
): void {
	charge(cost.chapoly_own_setup);
	charge_bytes(src_len, cost.chapoly_own);
	host_aead().seal(key, ietf_nonce(nonce, nonce_len), aad_bytes(aad, aad_len), src, 0, src_len, dst, 0);
}

/**
 * Checks the tag, the last 16 of `src_len` bytes, and decrypts the rest into `dst`, which may be `src` itself.
 * A forgery costs as much as a message here; FreeBSD stops after the Poly1305 part.
 *
 * @returns false when the tag does not match or there is none; `dst` is then untouched
 * @see chacha20_poly1305.c chacha20_poly1305_decrypt
 */
export function chacha20_poly1305_decrypt(
	dst: Uint8Array,
	src: Uint8Array,
	src_len: number,
	aad: Uint8Array | null,
	aad_len: number,
	nonce: Uint8Array,
	nonce_len: number,
	key: Uint8Array,
): boolean {
	if (src_len < CHACHA20_POLY1305_TAG) {
		return false;
	}
	charge(cost.chapoly_own_setup);
	charge_bytes(src_len - CHACHA20_POLY1305_TAG, cost.chapoly_own);
	return host_aead().open(key, ietf_nonce(nonce, nonce_len), aad_bytes(aad, aad_len), src, 0, src_len, dst, 0);
}

/** Derives the one-message key of a 24-byte nonce and charges for its block. */
function xchacha20_subkey(nonce: Uint8Array, key: Uint8Array): Uint8Array {
	const subkey = new Uint8Array(CHACHA20_POLY1305_KEY);

	charge_bytes(CHACHA20_BLOCK, cost.chapoly_own);
	hchacha20(subkey, nonce, key);
	return subkey;
}

/**
 * The same with a nonce of 24 bytes, long enough to be drawn at random: 16 go into a subkey, 8 into the cipher.
 *
 * @see chacha20_poly1305.c xchacha20_poly1305_encrypt; draft-irtf-cfrg-xchacha-03 section 2.3
 */
export function xchacha20_poly1305_encrypt(
	dst: Uint8Array,
	src: Uint8Array,
	src_len: number,
	aad: Uint8Array | null,
	aad_len: number,
	nonce: Uint8Array,
	key: Uint8Array,
): void {
	const subkey = xchacha20_subkey(nonce, key);
	const rest = nonce.subarray(HCHACHA20_NONCE_SIZE, XCHACHA20_POLY1305_NONCE);

	chacha20_poly1305_encrypt(dst, src, src_len, aad, aad_len, rest, ORIGINAL_NONCE, subkey);
	subkey.fill(0);
}

/**
 * Opens what `xchacha20_poly1305_encrypt` made.
 *
 * @returns false when the tag does not match or there is none; `dst` is then untouched
 * @see chacha20_poly1305.c xchacha20_poly1305_decrypt
 */
export function xchacha20_poly1305_decrypt(
	dst: Uint8Array,
	src: Uint8Array,
	src_len: number,
	aad: Uint8Array | null,
	aad_len: number,
	nonce: Uint8Array,
	key: Uint8Array,
): boolean {
	const subkey = xchacha20_subkey(nonce, key);
	const rest = nonce.subarray(HCHACHA20_NONCE_SIZE, XCHACHA20_POLY1305_NONCE);
	const ok = chacha20_poly1305_decrypt(dst, src, src_len, aad, aad_len, rest, ORIGINAL_NONCE, subkey);

	subkey.fill(0);
	return ok;
}
