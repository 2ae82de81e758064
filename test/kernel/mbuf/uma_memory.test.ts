/** Storage that mbufs and clusters share: no two pieces of it touch the same byte. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
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

describe("storage that was given back", () => {
	const PIECE = 1024 * 1024;

	/** The first piece of a large buffer. */
	function large(storage: arena): uma_memory {
		storage.carve(256 * 1024);
		return storage.carve(PIECE);
	}

	test("becomes that of the next kernel, all zeroes", () => {
		const storage = new arena();
		const pieces = [large(storage), storage.carve(2048), storage.carve(7)];
		for (const piece of pieces) piece.bytes().fill(0xff);
		storage.close();
		const next = new arena();
		const piece = large(next);
		expect(piece.buf === pieces[0].buf).toBe(true);
		expect([piece, next.carve(2048), next.carve(7)].every((one) => one.bytes().every((byte) => byte === 0))).toBe(true);
		next.close();
	});

	test("is one kernel's at a time", () => {
		large(new arena()); // of which nothing comes back, with whatever was there before
		const [one, other] = [new arena(), new arena()];
		const buffers = new Set([large(one), large(other), large(new arena())].map((piece) => piece.buf));
		expect(buffers.size).toBe(3);
		one.close();
		other.close();
		const [third, fourth, fifth] = [new arena(), new arena(), new arena()].map((storage) => large(storage).buf);
		expect([third, fourth, fifth].map((buf) => buffers.has(buf))).toEqual([true, true, false]);
	});

	test("cannot be carved from any more", () => {
		const storage = new arena();
		storage.carve(8);
		storage.close();
		expect(() => storage.carve(8)).toThrow("given back");
	});
});
