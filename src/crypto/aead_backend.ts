/**
 * The arithmetic behind every ChaCha20-Poly1305 in the machine, and nothing else: no cost, no mbuf, no session.
 *
 * The kernel asks `host_aead()` and does not care who answers. It is noble until sim installs what is fastest on its host. All give
 * the same bytes, a test says so, and simulated time is charged by the callers, so the choice changes how long a run takes and
 * never what it does.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";

/** Bytes of a Poly1305 tag, which `seal` adds and `open` takes away. */
export const AEAD_TAG_LEN = 16;

/** Message of the error noble throws when, and only when, a tag does not match. */
const NOBLE_BAD_TAG = "invalid tag";

/** ChaCha20-Poly1305 of RFC 8439 over pieces of byte arrays. The key has 32 bytes, the nonce 12. */
export interface aead_backend {
	readonly name: string;

	/**
	 * Encrypts `len` bytes at `buf[off]` and writes `len + 16` bytes, ciphertext then tag, at `out[outoff]`.
	 * In place (`out === buf`, `outoff === off`) is allowed; any other overlap is not.
	 */
	seal(
		key: Uint8Array,
		nonce12: Uint8Array,
		aad: Uint8Array | null,
		buf: Uint8Array,
		off: number,
		len: number,
		out: Uint8Array,
		outoff: number,
	): void;

	/**
	 * Checks and decrypts `len` bytes at `buf[off]`, of which the last 16 are the tag, and writes `len - 16` bytes at `out[outoff]`.
	 *
	 * @returns false when the tag does not match or `len` is less than 16; then nothing was written
	 */
	open(
		key: Uint8Array,
		nonce12: Uint8Array,
		aad: Uint8Array | null,
		buf: Uint8Array,
		off: number,
		len: number,
		out: Uint8Array,
		outoff: number,
	): boolean;
}

/** The noble library: JavaScript only, so it runs wherever the kernel does. */
export const noble_backend: aead_backend = {
	name: "noble",

	seal(key, nonce12, aad, buf, off, len, out, outoff) {
		const cipher = aad === null ? chacha20poly1305(key, nonce12) : chacha20poly1305(key, nonce12, aad);
		cipher.encrypt(buf.subarray(off, off + len), out.subarray(outoff, outoff + len + AEAD_TAG_LEN));
	},

	open(key, nonce12, aad, buf, off, len, out, outoff) {
		if (len < AEAD_TAG_LEN) {
			return false;
		}
		const cipher = aad === null ? chacha20poly1305(key, nonce12) : chacha20poly1305(key, nonce12, aad);
		try {
			cipher.decrypt(buf.subarray(off, off + len), out.subarray(outoff, outoff + len - AEAD_TAG_LEN));
		} catch (error) {
			if (error instanceof Error && error.message === NOBLE_BAD_TAG) {
				return false;
			}
			throw error;
		}
		return true;
	},
};

/**
 * A fact about the host, like its word size, and not state of any kernel: which library computes cannot be seen from inside a
 * machine. So it is the same for all kernels of the process and set once, before the first of them boots.
 */
let backend: aead_backend = noble_backend;

/** Installs the host's own implementation. */
export function set_host_aead(host: aead_backend): void {
	backend = host;
}

/** The implementation in use. */
export function host_aead(): aead_backend {
	return backend;
}
