/**
 * The arithmetic of ChaCha20-Poly1305 over data that may lie in several pieces. Nothing is charged here: what it costs depends on
 * whose code is simulated, and the callers know.
 *
 * A text in one piece is worked on where it lies. One in several is gathered, worked on and scattered back; nobody can tell from
 * the result, and nothing else runs in between. The tag of a text with nothing after it in its piece goes through `tag`.
 *
 * In a run for the costs only there is no arithmetic: the text stays as it is, a tag is 16 zero bytes, and a tag is right when it is
 * all zero. Who forges or corrupts a packet in such a run makes its tag something else.
 *
 * @see RFC 8439 section 2.8
 */

import { chacha20 } from "@noble/ciphers/chacha.js";
import { le32dec } from "../../kernel/endian.ts";
import { cost_only, KASSERT, KERNEL_GLOBAL } from "../../kernel/sched/kernel.ts";
import { bzero } from "../../machine/bcopy.ts";
import { AEAD_TAG_LEN, host_aead } from "../aead_backend.ts";
import { crypto_buffer_cursor, crypto_cursor_assign, crypto_cursor_copyback, crypto_cursor_copydata } from "./criov.ts";

/** Initial size of the gathering buffer: the largest Ethernet payload and a tag. */
const SCRATCH_SIZE = 2048;

/** The first block of keystream makes the Poly1305 key; the text begins with the second. */
const FIRST_TEXT_BLOCK = 1;

class aead_scratch {
	text = new Uint8Array(SCRATCH_SIZE);
	readonly src = new crypto_buffer_cursor();
	readonly dst = new crypto_buffer_cursor();

	/** The buffer, with room for `len` bytes and a tag. */
	reserve(len: number): Uint8Array {
		let size = this.text.length;
		while (size < len + AEAD_TAG_LEN) size *= 2;
		if (size > this.text.length) this.text = new Uint8Array(size);
		return this.text;
	}
}

const scratch = KERNEL_GLOBAL(() => new aead_scratch());

/** Whether the `len` bytes from `src` on are one piece, `dst` is the same place, and the tag lies or may lie right behind them. */
function is_one_piece(
	src: crypto_buffer_cursor,
	dst: crypto_buffer_cursor,
	len: number,
	tag_follows: boolean,
): boolean {
	return (
		tag_follows &&
		src.cc_buf !== null &&
		src.cc_len >= len &&
		src.cc_buf === dst.cc_buf &&
		src.cc_offset === dst.cc_offset
	);
}

/**
 * Encrypts `len` bytes at `src` to `dst`, the same place or one that does not overlap, and leaves the tag in `tag`.
 * Neither cursor moves.
 *
 * @param tag_follows the 16 bytes of storage behind the text at `dst`, if it is one piece, may be written
 */
export function aead_seal(
	key: Uint8Array,
	nonce12: Uint8Array,
	aad: Uint8Array | null,
	src: crypto_buffer_cursor,
	dst: crypto_buffer_cursor,
	len: number,
	tag_follows: boolean,
	tag: Uint8Array,
): void {
	if (cost_only()) {
		bzero(tag, 0, AEAD_TAG_LEN);
		return;
	}
	if (is_one_piece(src, dst, len, tag_follows)) {
		const buf = src.cc_buf!;
		const off = src.cc_offset;
		host_aead().seal(key, nonce12, aad, buf, off, len, buf, off);
		for (let i = 0; i < AEAD_TAG_LEN; i++) tag[i] = buf[off + len + i];
		return;
	}
	const s = scratch();
	const text = s.reserve(len);
	crypto_cursor_assign(s.src, src);
	crypto_cursor_assign(s.dst, dst);
	crypto_cursor_copydata(s.src, len, text, 0);
	host_aead().seal(key, nonce12, aad, text, 0, len, text, 0);
	crypto_cursor_copyback(s.dst, len, text, 0);
	for (let i = 0; i < AEAD_TAG_LEN; i++) tag[i] = text[len + i];
}

/**
 * Checks the tag of `len` bytes at `src` and decrypts them to `dst`, the same place or one that does not overlap. Neither cursor
 * moves.
 *
 * @param tag_follows the tag is right behind the text at `src` too, if that is one piece
 * @param tag_len bytes of the tag that count, 16 unless the session wants fewer
 * @returns false when the tag does not match; then nothing was written
 */
export function aead_open(
	key: Uint8Array,
	nonce12: Uint8Array,
	aad: Uint8Array | null,
	src: crypto_buffer_cursor,
	dst: crypto_buffer_cursor,
	len: number,
	tag_follows: boolean,
	tag: Uint8Array,
	tag_len: number,
): boolean {
	KASSERT(tag_len > 0 && tag_len <= AEAD_TAG_LEN, "aead_open: invalid tag length");
	if (cost_only()) {
		let bits = 0;
		let i = 0;
		for (; i <= tag_len - 4; i += 4) bits |= le32dec(tag, i);
		for (; i < tag_len; i++) bits |= tag[i];
		return bits === 0;
	}
	if (tag_len === AEAD_TAG_LEN && is_one_piece(src, dst, len, tag_follows)) {
		const buf = src.cc_buf!;
		const off = src.cc_offset;
		return host_aead().open(key, nonce12, aad, buf, off, len + AEAD_TAG_LEN, buf, off);
	}
	const s = scratch();
	const text = s.reserve(len);
	crypto_cursor_assign(s.src, src);
	crypto_cursor_assign(s.dst, dst);
	crypto_cursor_copydata(s.src, len, text, 0);
	if (tag_len === AEAD_TAG_LEN) {
		for (let i = 0; i < AEAD_TAG_LEN; i++) text[len + i] = tag[i];
		if (!host_aead().open(key, nonce12, aad, text, 0, len + AEAD_TAG_LEN, text, 0)) return false;
	} else if (!open_truncated(key, nonce12, aad, text, len, tag, tag_len)) {
		return false;
	}
	crypto_cursor_copyback(s.dst, len, text, 0);
	return true;
}

/** Decrypts `len` bytes at the beginning of `text`, of whose tag only the first bytes are known: by encrypting again. */
function open_truncated(
	key: Uint8Array,
	nonce12: Uint8Array,
	aad: Uint8Array | null,
	text: Uint8Array,
	len: number,
	tag: Uint8Array,
	tag_len: number,
): boolean {
	const again = new Uint8Array(len + AEAD_TAG_LEN);
	const plain = text.subarray(0, len);
	chacha20(key, nonce12, plain, plain, FIRST_TEXT_BLOCK);
	host_aead().seal(key, nonce12, aad, text, 0, len, again, 0);
	let bits = 0;
	for (let i = 0; i < tag_len; i++) bits |= again[len + i] ^ tag[i];
	return bits === 0;
}

/** Adds the keystream to `len` bytes at `cc`, whatever they are. The cursor moves behind them. */
export function aead_xor(key: Uint8Array, nonce12: Uint8Array, cc: crypto_buffer_cursor, len: number): void {
	if (cost_only()) return;
	const s = scratch();
	const text = s.reserve(len).subarray(0, len);
	crypto_cursor_assign(s.src, cc);
	crypto_cursor_copydata(s.src, len, text, 0);
	chacha20(key, nonce12, text, text, FIRST_TEXT_BLOCK);
	crypto_cursor_copyback(cc, len, text, 0);
}
