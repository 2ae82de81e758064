/**
 * libsodium, compiled to WebAssembly, as the host's arithmetic for packets.
 *
 * Same bytes as the other backends. Its ciphers are portable C, slower than OpenSSL's assembly; but Node's interface to OpenSSL makes a
 * cipher object and three buffers for each packet, which takes longer than all of this. Its own interface for JavaScript copies everything once
 * more, into memory it asks for each time, and takes as long as the cipher does; so the C functions are called here themselves, on
 * a place in their memory that stays.
 *
 * @see crypto_aead_chacha20poly1305_ietf_encrypt(3), of libsodium
 */
import sodium from "libsodium-wrappers";
import { AEAD_TAG_LEN, type aead_backend } from "../../src/crypto/aead_backend.ts";
import { bcopy } from "../../src/machine/bcopy.ts";

/** The C functions: addresses are numbers, 0 is NULL, and a 64-bit length is two halves, the lower first. They return 0, or -1. */
interface Library {
	/** its memory; another one when it has grown */
	readonly HEAPU8: Uint8Array;
	_malloc(bytes: number): number;
	_free(address: number): void;
	_crypto_aead_chacha20poly1305_ietf_encrypt(
		...args: [
			c: number,
			clen: 0,
			m: number,
			mlen: number,
			0,
			ad: number,
			adlen: number,
			0,
			nsec: 0,
			npub: number,
			k: number,
		]
	): number;
	_crypto_aead_chacha20poly1305_ietf_decrypt(
		...args: [
			m: number,
			mlen: 0,
			nsec: 0,
			c: number,
			clen: number,
			0,
			ad: number,
			adlen: number,
			0,
			npub: number,
			k: number,
		]
	): number;
}

const KEY_LEN = 32;
const NONCE_LEN = 12;
/** where in our place the text begins, which what is authenticated besides follows */
const TEXT = KEY_LEN + 16;
/** enough for any packet; more is asked for when it is needed */
const PLACE = 16_384;

let library: Library;
/** the address of our place, and its size */
let place = 0;
let size = 0;

/** To be waited for once before the backend is used: the module is compiled then. */
export const sodiumReady: Promise<void> = sodium.ready.then(() => {
	library = (sodium as unknown as { libsodium: Library }).libsodium;
	reserve(PLACE);
});

function reserve(bytes: number): void {
	if (bytes <= size) return;
	library._free(place);
	place = library._malloc(bytes);
	size = bytes;
}

/** Puts everything in its place: `len` bytes of text, which `room` bytes are kept for. @returns the address of what is authenticated besides */
function load(
	key: Uint8Array,
	nonce12: Uint8Array,
	aad: Uint8Array | null,
	buf: Uint8Array,
	off: number,
	len: number,
	room: number,
): number {
	if (key.length !== KEY_LEN || nonce12.length !== NONCE_LEN) {
		throw new TypeError(`a key of ${key.length} and a nonce of ${nonce12.length} bytes`);
	}
	reserve(TEXT + room + (aad?.length ?? 0));
	const memory = library.HEAPU8;
	bcopy(key, 0, memory, place, KEY_LEN);
	bcopy(nonce12, 0, memory, place + KEY_LEN, NONCE_LEN);
	bcopy(buf, off, memory, place + TEXT, len);
	if (aad !== null) bcopy(aad, 0, memory, place + TEXT + room, aad.length);
	return place + TEXT + room;
}

export const sodiumAead: aead_backend = {
	name: "sodium",

	seal(key, nonce12, aad, buf, off, len, out, outoff) {
		const ad = load(key, nonce12, aad, buf, off, len, len + AEAD_TAG_LEN);
		const text = place + TEXT;
		const adlen = aad?.length ?? 0;
		library._crypto_aead_chacha20poly1305_ietf_encrypt(text, 0, text, len, 0, ad, adlen, 0, 0, place + KEY_LEN, place);
		bcopy(library.HEAPU8, text, out, outoff, len + AEAD_TAG_LEN);
	},

	open(key, nonce12, aad, buf, off, len, out, outoff) {
		if (len < AEAD_TAG_LEN) return false;
		const ad = load(key, nonce12, aad, buf, off, len, len);
		const text = place + TEXT;
		const adlen = aad?.length ?? 0;
		const failed = library._crypto_aead_chacha20poly1305_ietf_decrypt(
			text,
			0,
			0,
			text,
			len,
			0,
			ad,
			adlen,
			0,
			place + KEY_LEN,
			place,
		);
		if (failed !== 0) return false;
		bcopy(library.HEAPU8, text, out, outoff, len - AEAD_TAG_LEN);
		return true;
	},
};
