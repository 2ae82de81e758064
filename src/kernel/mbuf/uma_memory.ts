/**
 * Items that are memory. Storage of all sizes comes out of the same few buffers, so a pointer is a buffer and an offset that tells
 * where in it: the host then has at hand what it knows of the buffers, and copies inside one without an object for each part.
 */
import { Words, words_use } from "../../machine/words.ts";

/**
 * The first buffer is of so many bytes, which many a kernel never gets beyond. The others are enough for most runs, so that those have
 * two (machine/words.ts); the computer does not look for memory for what nobody has touched yet.
 */
const FIRST_BYTES = 256 * 1024;
const BUFFER_BYTES = 16 * 1024 * 1024;

/** `size` bytes of `buf` from `start` on, the caddr_t of an item that is memory. */
export class uma_memory {
	readonly buf: Uint8Array;
	readonly start: number;
	readonly size: number;

	constructor(buf: Uint8Array, start: number, size: number) {
		this.buf = buf;
		this.start = start;
		this.size = size;
	}

	/** As a buffer of its own. */
	bytes(): Uint8Array {
		return this.buf.subarray(this.start, this.start + this.size);
	}
}

/** A small buffer of its own, for what a driver copies into packets or out of them all the time. */
export function small_buffer(size: number): Uint8Array {
	return new Words(size);
}

/** The bytes of an item that is memory, else null. */
export function item_bytes(item: object): Uint8Array | null {
	if (item instanceof uma_memory) return item.bytes();
	return item instanceof Uint8Array ? item : null;
}

/** Where the storage of one kernel comes from; it lives as long as the kernel. */
export class arena {
	private buf = new Uint8Array(0);
	private next = 0;

	/** Storage that nobody had before: zeroes, at a multiple of 8 bytes. */
	carve(size: number): uma_memory {
		if (this.next + size > this.buf.length) {
			this.buf = new Uint8Array(Math.max(this.buf.length === 0 ? FIRST_BYTES : BUFFER_BYTES, size));
			this.next = 0;
			words_use(this.buf);
		}
		const start = this.next;
		this.next = (start + size + 7) & ~7;
		return new uma_memory(this.buf, start, size);
	}
}
