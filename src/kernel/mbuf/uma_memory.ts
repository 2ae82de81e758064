/**
 * Items that are memory. Storage of all sizes comes out of the same few buffers, so a pointer is a buffer and an offset that tells
 * where in it: the host then has at hand what it knows of the buffers, and copies inside one without an object for each part.
 */
import { Words, words_use } from "../../machine/words.ts";
import { KASSERT } from "../sched/kernel.ts";

/**
 * The first buffer is of so many bytes, which many a kernel never gets beyond. The others are enough for most runs, so that those have
 * two (machine/words.ts). Of more than 32 MB each, because the C library keeps and clears memory that is given back below that size
 * (mallopt(3), M_MMAP_THRESHOLD); beyond, it asks the computer for each buffer, which looks for memory only when it is touched.
 */
const FIRST_BYTES = 256 * 1024;
const BUFFER_BYTES = 34 * 1024 * 1024;

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

/**
 * Buffers of kernels that have come to their end, all zeroes, for the next ones. So the host need not make and clear one for each; and as
 * it counts them when it decides whether to look for garbage, it looks once in many runs and not in every other one.
 */
const spare: Uint8Array[] = [];
/** one for each of two machines */
const SPARE_MAX = 2;

/** Where the storage of one kernel comes from. */
export class arena {
	/** all buffers but the first; the last of them is in use, up to `next` */
	private readonly large: Uint8Array[] = [];
	private buf: Uint8Array = new Uint8Array(0);
	private next = 0;
	private closed = false;

	/** Storage that nobody has: zeroes, at a multiple of 8 bytes. */
	carve(size: number): uma_memory {
		if (this.next + size > this.buf.length) this.grow(size);
		const start = this.next;
		this.next = (start + size + 7) & ~7;
		return new uma_memory(this.buf, start, size);
	}

	private grow(size: number): void {
		KASSERT(!this.closed, "arena: carving from storage that was given back");
		if (this.buf.length === 0) this.buf = new Uint8Array(Math.max(FIRST_BYTES, size));
		else {
			const used = size <= BUFFER_BYTES ? spare.pop() : undefined;
			this.buf = used ?? new Uint8Array(Math.max(BUFFER_BYTES, size));
			this.large.push(this.buf);
		}
		this.next = 0;
		words_use(this.buf);
	}

	/** Gives everything back. Nothing of it may be touched any more: it becomes another kernel's. */
	close(): void {
		this.closed = true;
		for (const buf of this.large) {
			if (buf.length !== BUFFER_BYTES || spare.length === SPARE_MAX) continue;
			buf.fill(0, 0, buf === this.buf ? this.next : buf.length);
			spare.push(buf);
		}
		this.large.length = 0;
		this.buf = new Uint8Array(0);
		this.next = 0;
	}
}
