/**
 * Memory that is looked at several bytes at a time.
 *
 * For every byte of a typed array the host makes sure that it is there, which takes it ten times as long as the byte does. What
 * packets lie in is a few large buffers; those that the kernels at work use are known here, each with a view that reads and
 * writes words, wherever they begin. Small buffers may have one of their own. It is only a quicker way to the same bytes.
 */

/** A small buffer with a view: for what is copied into packets, and out of them, all the time. Parts of it are ordinary. */
export class Words extends Uint8Array<ArrayBuffer> {
	readonly view: DataView;

	constructor(length: number) {
		super(new ArrayBuffer(length));
		this.view = new DataView(this.buffer);
	}

	static get [Symbol.species](): Uint8ArrayConstructor {
		return Uint8Array;
	}
}

/** The two buffers made last: one is in use, or one by each of two machines that are joined by a cable. Others are held on to by nobody. */
let last: Uint8Array | null = null;
let last_view: DataView | null = null;
let before: Uint8Array | null = null;
let before_view: DataView | null = null;

/** From now on there is a view of `buf`. Of the one before the last there is none any more. */
export function words_use(buf: Uint8Array): void {
	before = last;
	before_view = last_view;
	last = buf;
	last_view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
}

/** The view of a buffer, or null: then it has to be looked at byte by byte. */
export function words_of(buf: Uint8Array): DataView | null {
	if (buf === last) return last_view;
	if (buf === before) return before_view;
	return (buf as Partial<Words>).view ?? null;
}
