/**
 * AES, the block cipher and the modes crypto(9) builds on it. Arithmetic only: what it costs depends on whose code is simulated.
 *
 * @see sys/crypto/rijndael; FIPS 197, NIST SP 800-38A
 */
import { cbc, unsafe } from "@noble/ciphers/aes.js";
import { AES_BLOCK_LEN } from "./cryptodev.ts";

/** An expanded key, for encryption. */
export type aes_schedule = Uint32Array;

export function aes_klen_valid(klen: number): boolean {
	return klen === 16 || klen === 24 || klen === 32;
}

/** @see rijndael-alg-fst.c rijndaelKeySetupEnc */
export function aes_setkey(key: Uint8Array, klen: number): aes_schedule {
	return unsafe.expandKeyLE(key.subarray(0, klen));
}

/** Encrypts one block where it is. */
export function aes_encrypt(schedule: aes_schedule, block: Uint8Array): void {
	unsafe.encryptBlock(schedule, block);
}

/** Adds the keystream that begins with `block`, a counter of 128 bits, to a text. The counter is used up. */
export function aes_icm(schedule: aes_schedule, block: Uint8Array, text: Uint8Array): void {
	unsafe.ctrCounter(schedule, block, text, text);
}

/** Whole blocks only. */
export function aes_cbc_encrypt(key: Uint8Array, iv: Uint8Array, text: Uint8Array): void {
	cbc(key, iv.subarray(0, AES_BLOCK_LEN), { disablePadding: true }).encrypt(text, text);
}

/** Whole blocks only. */
export function aes_cbc_decrypt(key: Uint8Array, iv: Uint8Array, text: Uint8Array): void {
	text.set(cbc(key, iv.subarray(0, AES_BLOCK_LEN), { disablePadding: true }).decrypt(text));
}
