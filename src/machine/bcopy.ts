import { words_of } from "./words.ts";

/**
 * At most so many bytes are copied or cleared here. In a loop that does nothing else the host's own function is sooner done from 40 bytes on;
 * between other work, its code and the object it needs for a part of a buffer come out of slower caches each time.
 */
const SHORT = 96;

/** Named once: to find them in the prototype of typed arrays, each time, takes the host as long as a short copy does. */
const { copyWithin, fill, set, subarray } = Uint8Array.prototype;

/** The bytes of `buf` from `from` up to `to`, not a copy: buf.subarray(from, to). */
export function span(buf: Uint8Array, from: number, to: number): Uint8Array {
	return subarray.call(buf, from, to) as Uint8Array;
}

/**
 * Copies `len` bytes from `src[from]` on to `dst[to]` on. The two may be one buffer, and what is copied may overlap.
 *
 * A short copy goes eight bytes at a time, all read before they are written.
 *
 * @see bcopy(3); sys/amd64/amd64/support.S
 */
export function bcopy(src: Uint8Array, from: number, dst: Uint8Array, to: number, len: number): void {
	if (src === dst) {
		const view = words_of(src);
		// from the front, which must not be overwritten before it is read
		if (view !== null && len <= SHORT && (to <= from || to >= from + len)) copy_words(view, from, view, to, len);
		else copyWithin.call(dst, to, from, from + len);
	} else if (len > SHORT) {
		set.call(dst, span(src, from, from + len), to);
	} else {
		const here = words_of(src);
		const there = words_of(dst);
		if (here !== null && there !== null) copy_words(here, from, there, to, len);
		else copy_bytes(src, from, dst, to, len);
	}
}

/** A float is eight bytes like any others: the host hands them on as they are. */
function copy_words(src: DataView, from: number, dst: DataView, to: number, len: number): void {
	const end = from + len;
	for (; from <= end - 8; from += 8, to += 8) dst.setFloat64(to, src.getFloat64(from, true), true);
	if ((len & 4) !== 0) {
		dst.setInt32(to, src.getInt32(from, true), true);
		from += 4;
		to += 4;
	}
	if ((len & 2) !== 0) {
		dst.setInt16(to, src.getInt16(from, true), true);
		from += 2;
		to += 2;
	}
	if ((len & 1) !== 0) dst.setInt8(to, src.getInt8(from));
}

/** In each round of a loop the host looks up both buffers and their lengths, which takes longer than the bytes do. */
function copy_bytes(src: Uint8Array, from: number, dst: Uint8Array, to: number, len: number): void {
	const end = from + len;
	for (; from <= end - 8; from += 8, to += 8) {
		const a = src[from];
		const b = src[from + 1];
		const c = src[from + 2];
		const d = src[from + 3];
		const e = src[from + 4];
		const f = src[from + 5];
		const g = src[from + 6];
		const h = src[from + 7];
		dst[to] = a;
		dst[to + 1] = b;
		dst[to + 2] = c;
		dst[to + 3] = d;
		dst[to + 4] = e;
		dst[to + 5] = f;
		dst[to + 6] = g;
		dst[to + 7] = h;
	}
	for (; from < end; from++, to++) dst[to] = src[from];
}

/** Sets `len` bytes from `buf[off]` on to zero. @see bzero(3) */
export function bzero(buf: Uint8Array, off: number, len: number): void {
	const end = off + len;
	if (len > SHORT) {
		fill.call(buf, 0, off, end);
		return;
	}
	const view = words_of(buf);
	if (view !== null) for (; off <= end - 8; off += 8) view.setFloat64(off, 0);
	for (; off < end; off++) buf[off] = 0;
}
