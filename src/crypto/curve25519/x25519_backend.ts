/**
 * The arithmetic behind Curve25519: noble, or whatever the host has. noble multiplies with bigints and takes most of a
 * millisecond; OpenSSL is many times faster and gives the same bytes. Simulated time is charged by `curve25519`, not here.
 */
import { x25519 } from "@noble/curves/ed25519.js";

/** X25519 of RFC 7748: clamps the scalar itself and accepts any 32 bytes as a point. */
export interface x25519_backend {
	readonly name: string;

	/** Writes the 32-byte product to `out`; false, and `out` unchanged, when the product is all zeros. */
	scalarmult(out: Uint8Array, secret: Uint8Array, point: Uint8Array): boolean;
}

/** Message of the error noble throws for a point of small order, the only input with an all-zero product. */
const NOBLE_ZERO = "invalid private or public key received";

/** The noble library: JavaScript only, so it runs wherever the kernel does. */
export const noble_x25519: x25519_backend = {
	name: "noble",

	scalarmult(out, secret, point) {
		try {
			out.set(x25519.scalarMult(secret, point));
		} catch (error) {
			if (error instanceof Error && error.message === NOBLE_ZERO) {
				return false;
			}
			throw error;
		}
		return true;
	},
};

/** A fact about the host and not state of any kernel, as in aead_backend.ts: set once, before the first kernel boots. */
let backend: x25519_backend = noble_x25519;

/** Installs the host's own implementation. */
export function set_host_x25519(host: x25519_backend): void {
	backend = host;
}

/** The implementation in use. */
export function host_x25519(): x25519_backend {
	return backend;
}
