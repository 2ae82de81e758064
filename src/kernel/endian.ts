/**
 * Numbers in memory, in one byte order or the other, at any address.
 *
 * @see byteorder(9); sys/endian.h
 */
import { words_of } from "../machine/words.ts";

/** Reads 16 bits, the high ones first. */
export function be16dec(buf: Uint8Array, off: number): number {
	return (buf[off] << 8) | buf[off + 1];
}

/** Writes 16 bits, the high ones first. */
export function be16enc(buf: Uint8Array, off: number, value: number): void {
	buf[off] = value >>> 8;
	buf[off + 1] = value;
}

/** Reads 32 bits, the high ones first, as an unsigned number. */
export function be32dec(buf: Uint8Array, off: number): number {
	const view = words_of(buf);
	if (view !== null) return view.getUint32(off);
	return ((buf[off] << 24) | (buf[off + 1] << 16) | (buf[off + 2] << 8) | buf[off + 3]) >>> 0;
}

/** Writes 32 bits, the high ones first. */
export function be32enc(buf: Uint8Array, off: number, value: number): void {
	const view = words_of(buf);
	if (view !== null) {
		view.setUint32(off, value);
		return;
	}
	buf[off] = value >>> 24;
	buf[off + 1] = value >>> 16;
	buf[off + 2] = value >>> 8;
	buf[off + 3] = value;
}

/** Reads 32 bits, the low ones first, as an unsigned number. */
export function le32dec(buf: Uint8Array, off: number): number {
	const view = words_of(buf);
	if (view !== null) return view.getUint32(off, true);
	return (buf[off] | (buf[off + 1] << 8) | (buf[off + 2] << 16) | (buf[off + 3] << 24)) >>> 0;
}

/** Writes 32 bits, the low ones first. */
export function le32enc(buf: Uint8Array, off: number, value: number): void {
	const view = words_of(buf);
	if (view !== null) {
		view.setUint32(off, value, true);
		return;
	}
	buf[off] = value;
	buf[off + 1] = value >>> 8;
	buf[off + 2] = value >>> 16;
	buf[off + 3] = value >>> 24;
}
