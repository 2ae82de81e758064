/**
 * OpenSSL's libcrypto, which is in Node's own program, as the host's arithmetic for packets: the assembly that ossl(4) wraps in FreeBSD.
 *
 * Its C functions are called as they are, on a piece of memory that stays. node:crypto, see openssl.ts, makes a cipher object and three
 * buffers for each packet, which takes longer than all of this.
 *
 * @see EVP_EncryptInit(3), of OpenSSL, "AEAD Interface"
 */
import type { LibraryHandle } from "koffi";
import { AEAD_TAG_LEN, type aead_backend } from "../../src/crypto/aead_backend.ts";
import { bcopy } from "../../src/machine/bcopy.ts";

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;

const KEY_LEN = 32;
const NONCE_LEN = 12;
/** where in our place the nonce is, the int that tells how much was written, and the text, which what is authenticated besides follows */
const NONCE = KEY_LEN;
const WRITTEN = NONCE + 16;
const TEXT = WRITTEN + 16;
/** enough for any packet; more is asked for when it is needed */
const PLACE = 16_384;

/** The C functions: addresses are numbers, 0 is NULL. They return 1, and 0 or less when they fail. */
type Init = (ctx: number, cipher: number, engine: 0, key: number, nonce: number) => number;
type Update = (ctx: number, out: number, outlen: number, text: number, len: number) => number;
type Final = (ctx: number, out: number, outlen: number) => number;

/**
 * Looks for libcrypto in this process.
 *
 * @throws where koffi was not installed or has no code for this host, and where Node came without those functions
 */
export async function libcryptoAead(): Promise<aead_backend> {
	const { default: koffi } = await import("koffi");
	const library: LibraryHandle = koffi.load(null);
	const pointer = "uintptr_t";
	const init = [pointer, pointer, pointer, pointer, pointer];
	const update = [pointer, pointer, pointer, pointer, "int"];
	const final = [pointer, pointer, pointer];
	const EVP_EncryptInit_ex: Init = library.func("EVP_EncryptInit_ex", "int", init);
	const EVP_EncryptUpdate: Update = library.func("EVP_EncryptUpdate", "int", update);
	const EVP_EncryptFinal_ex: Final = library.func("EVP_EncryptFinal_ex", "int", final);
	const EVP_DecryptInit_ex: Init = library.func("EVP_DecryptInit_ex", "int", init);
	const EVP_DecryptUpdate: Update = library.func("EVP_DecryptUpdate", "int", update);
	const EVP_DecryptFinal_ex: Final = library.func("EVP_DecryptFinal_ex", "int", final);
	const ctrl = [pointer, "int", "int", pointer];
	const EVP_CIPHER_CTX_ctrl: (ctx: number, type: number, arg: number, ptr: number) => number = library.func(
		"EVP_CIPHER_CTX_ctrl",
		"int",
		ctrl,
	);
	const EVP_CIPHER_CTX_new: () => number = library.func("EVP_CIPHER_CTX_new", pointer, []);
	const EVP_chacha20_poly1305: () => number = library.func("EVP_chacha20_poly1305", pointer, []);
	const ERR_clear_error: () => void = library.func("ERR_clear_error", "void", []);

	/** What is bigger than a few dozen bytes lies outside V8's heap, and is not moved. */
	let place = new Uint8Array(PLACE);
	let address = Number(koffi.address(place));

	/** Puts everything in its place: `len` bytes of text, which `room` bytes are kept for. */
	function load(
		key: Uint8Array,
		nonce12: Uint8Array,
		aad: Uint8Array | null,
		buf: Uint8Array,
		off: number,
		len: number,
		room: number,
	): void {
		if (key.length !== KEY_LEN || nonce12.length !== NONCE_LEN) {
			throw new TypeError(`a key of ${key.length} and a nonce of ${nonce12.length} bytes`);
		}
		const size = TEXT + room + (aad?.length ?? 0);
		if (size > place.length) {
			place = new Uint8Array(size);
			address = Number(koffi.address(place));
		}
		bcopy(key, 0, place, 0, KEY_LEN);
		bcopy(nonce12, 0, place, NONCE, NONCE_LEN);
		bcopy(buf, off, place, TEXT, len);
		if (aad !== null) bcopy(aad, 0, place, TEXT + room, aad.length);
	}

	function check(result: number): void {
		if (result !== 1) throw new Error("OpenSSL's libcrypto refuses ChaCha20-Poly1305");
	}

	/** A context that has its cipher, and lacks a key and a nonce. They are never freed: a thread has two. */
	function context(begin: Init): number {
		const ctx = EVP_CIPHER_CTX_new();
		check(begin(ctx, EVP_chacha20_poly1305(), 0, 0, 0));
		return ctx;
	}
	const sealing = context(EVP_EncryptInit_ex);
	const opening = context(EVP_DecryptInit_ex);

	return {
		name: "openssl",

		seal(key, nonce12, aad, buf, off, len, out, outoff) {
			load(key, nonce12, aad, buf, off, len, len + AEAD_TAG_LEN);
			const text = address + TEXT;
			const end = text + len;
			const written = address + WRITTEN;
			check(EVP_EncryptInit_ex(sealing, 0, 0, address, address + NONCE));
			if (aad !== null) check(EVP_EncryptUpdate(sealing, 0, written, end + AEAD_TAG_LEN, aad.length));
			check(EVP_EncryptUpdate(sealing, text, written, text, len));
			check(EVP_EncryptFinal_ex(sealing, end, written));
			check(EVP_CIPHER_CTX_ctrl(sealing, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, end));
			bcopy(place, TEXT, out, outoff, len + AEAD_TAG_LEN);
		},

		open(key, nonce12, aad, buf, off, len, out, outoff) {
			if (len < AEAD_TAG_LEN) return false;
			load(key, nonce12, aad, buf, off, len, len);
			const text = address + TEXT;
			const plain = len - AEAD_TAG_LEN;
			const end = text + plain;
			const written = address + WRITTEN;
			check(EVP_DecryptInit_ex(opening, 0, 0, address, address + NONCE));
			check(EVP_CIPHER_CTX_ctrl(opening, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, end));
			if (aad !== null) check(EVP_DecryptUpdate(opening, 0, written, end + AEAD_TAG_LEN, aad.length));
			check(EVP_DecryptUpdate(opening, text, written, text, plain));
			// what update has written is not authentic yet, so it may not reach the caller before final has agreed
			if (EVP_DecryptFinal_ex(opening, end, written) !== 1) {
				ERR_clear_error(); // node:crypto would report what it finds there as its own
				return false;
			}
			bcopy(place, TEXT, out, outoff, plain);
			return true;
		},
	};
}
