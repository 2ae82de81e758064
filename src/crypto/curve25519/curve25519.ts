/**
 * `<crypto/curve25519.h>`: Diffie-Hellman on Curve25519, four times on either side of a handshake.
 *
 * FreeBSD 14 wraps libsodium, the driver of the time brought its own C; both are one scalar multiplication, and cost the same here.
 *
 * @see sys/crypto/curve25519.c, sys/crypto/curve25519.h; wireguard-freebsd crypto.c curve25519
 */
import { arc4random_buf } from "../../kernel/sched/kernel.ts";
import { charge, cost } from "../../kernel/sched/thread.ts";
import { host_x25519 } from "./x25519_backend.ts";

export const CURVE25519_KEY_SIZE = 32;

/** The generator has u = 9. */
const BASEPOINT: readonly number[] = [9, ...new Array<number>(CURVE25519_KEY_SIZE - 1).fill(0)];

/**
 * Multiplies `basepoint` by `secret`, which need not be clamped: the multiplication ignores the bits clamping fixes.
 * A peer that sends a point of small order gets an all-zero product, and must be refused.
 *
 * @returns false when the product is all zeros; `pub` is then zeroed
 * @see curve25519.c curve25519
 */
export function curve25519(pub: Uint8Array, secret: Uint8Array, basepoint: Uint8Array): boolean {
	charge(cost.curve25519);
	if (!host_x25519().scalarmult(pub, secret, basepoint)) {
		pub.fill(0, 0, CURVE25519_KEY_SIZE);
		return false;
	}
	return true;
}

/**
 * Computes the public key of a secret.
 *
 * @returns true always: the generator has no small-order product with a clamped scalar
 * @see curve25519.h curve25519_generate_public
 */
export function curve25519_generate_public(pub: Uint8Array, secret: Uint8Array): boolean {
	return curve25519(pub, secret, Uint8Array.from(BASEPOINT));
}

/**
 * Makes any 32 bytes a valid scalar: a multiple of 8 (so small-order parts vanish) with the highest bit at a fixed place.
 *
 * @see curve25519.h curve25519_clamp_secret; RFC 7748 section 5
 */
export function curve25519_clamp_secret(secret: Uint8Array): void {
	secret[0] = secret[0] & 248;
	secret[31] = (secret[31] & 127) | 64;
}

/**
 * Draws a new secret from the kernel's random numbers, or from another source that fills a buffer.
 *
 * @see curve25519.h curve25519_generate_secret
 */
export function curve25519_generate_secret(
	secret: Uint8Array,
	random_buf: (buf: Uint8Array) => void = arc4random_buf,
): void {
	random_buf(secret.subarray(0, CURVE25519_KEY_SIZE));
	curve25519_clamp_secret(secret);
}
