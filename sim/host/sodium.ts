/**
 * libsodium, compiled to WebAssembly, as the host's arithmetic for packets.
 *
 * Same bytes as the other backends. Its ciphers are portable C, slower than OpenSSL's assembly; but Node's interface to OpenSSL makes a
 * cipher object and three buffers for each packet, which takes longer than all of this: with it a run with real bytes is 1.3 to 1.4
 * times as fast.
 */
import sodium from "libsodium-wrappers";
import { AEAD_TAG_LEN, type aead_backend } from "../../src/crypto/aead_backend.ts";
import { span } from "../../src/machine/bcopy.ts";

/** named once, see bcopy.ts */
const { set } = Uint8Array.prototype;

/** To be waited for once before the backend is used: the module is compiled then. */
export const sodiumReady: Promise<void> = sodium.ready;

export const sodiumAead: aead_backend = {
	name: "sodium",

	seal(key, nonce12, aad, buf, off, len, out, outoff) {
		const text = span(buf, off, off + len);
		set.call(out, sodium.crypto_aead_chacha20poly1305_ietf_encrypt(text, aad, null, nonce12, key), outoff);
	},

	open(key, nonce12, aad, buf, off, len, out, outoff) {
		if (len < AEAD_TAG_LEN) return false;
		let plain: Uint8Array;
		try {
			plain = sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, span(buf, off, off + len), aad, nonce12, key);
		} catch (error) {
			// a TypeError says that a key or nonce has the wrong length, anything else that the tag does not match
			if (error instanceof TypeError) throw error;
			return false;
		}
		set.call(out, plain, outoff);
		return true;
	},
};
