/** Storage that mbufs and clusters share: no two pieces of it touch the same byte. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { arena, item_bytes, type uma_memory } from "../../../src/kernel/mbuf/uma_memory.ts";

test("what is carved is zero, aligned, and nobody else's", () => {
	fc.assert(
		fc.property(
			fc.array(fc.constantFrom(1, 7, 224, 2048, 4096, 9216, 16384), { minLength: 1, maxLength: 200 }),
			(sizes) => {
				const storage = new arena();
				const pieces: uma_memory[] = sizes.map((size) => storage.carve(size));
				for (const [i, piece] of pieces.entries()) {
					expect([piece.size, piece.start % 8]).toEqual([sizes[i], 0]);
					expect(piece.bytes().every((byte) => byte === 0)).toBe(true);
				}
				for (const [i, piece] of pieces.entries()) piece.bytes().fill(i + 1);
				for (const [i, piece] of pieces.entries()) {
					expect(piece.bytes().length).toBe(sizes[i]);
					expect(piece.bytes().every((byte) => byte === ((i + 1) & 0xff))).toBe(true);
				}
			},
		),
		{ numRuns: 30 },
	);
});

test("a piece larger than any buffer gets one of its own", () => {
	const storage = new arena();
	const small = storage.carve(8);
	const large = storage.carve(20 * 1024 * 1024);
	expect([large.start, large.size]).toEqual([0, 20 * 1024 * 1024]);
	expect(large.buf === small.buf).toBe(false);
});

test("items that are memory have bytes, others have none", () => {
	const piece = new arena().carve(16);
	item_bytes(piece)!.fill(7);
	expect(piece.buf.subarray(piece.start, piece.start + 16).every((byte) => byte === 7)).toBe(true);
	const bytes = new Uint8Array(3);
	expect(item_bytes(bytes)).toBe(bytes);
	expect(item_bytes({})).toBeNull();
});
