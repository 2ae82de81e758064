/** Numbers in memory, the same whether the host looks at bytes or at words. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { be16dec, be16enc, be32dec, be32enc, le32dec, le32enc } from "../../src/kernel/endian.ts";
import { Words, words_of, words_use } from "../../src/machine/words.ts";

/** A part of a larger buffer, with a view or without. */
function buffer(viewed: boolean): Uint8Array {
	const whole = new Uint8Array(64);
	const buf = whole.subarray(3, 51);
	if (viewed) words_use(buf);
	return buf;
}

const BUFFERS = [() => buffer(true), () => buffer(false), () => new Words(48)];

test.each([
	["be16", 2, be16enc, be16dec, (x: number) => [x >>> 8, x]],
	["be32", 4, be32enc, be32dec, (x: number) => [x >>> 24, x >>> 16, x >>> 8, x]],
	["le32", 4, le32enc, le32dec, (x: number) => [x, x >>> 8, x >>> 16, x >>> 24]],
] as const)("%s: these bytes in this order, and back", (_name, size, enc, dec, bytes) => {
	fc.assert(
		fc.property(fc.constantFrom(...BUFFERS), fc.nat(48 - size), fc.nat(2 ** (8 * size) - 1), (make, off, value) => {
			const buf = make();
			enc(buf, off, value);
			expect(dec(buf, off)).toBe(value);
			const expected = new Uint8Array(48);
			expected.set(bytes(value), off);
			expect(Uint8Array.from(buf)).toEqual(expected);
		}),
	);
});

test("the last two buffers have views, of what is in them", () => {
	const buffers = [buffer(true), buffer(true), buffer(true)];
	const [first, ...others] = buffers.map((buf) => words_of(buf));
	expect(first).toBeNull();
	for (const [i, view] of others.entries()) {
		buffers[i + 1][5] = 9;
		expect([view?.byteLength, view?.getUint8(5)]).toEqual([48, 9]);
	}
	expect(words_of(new Uint8Array(48))).toBeNull();
});

test("a small buffer has a view of its own, a part of it has none", () => {
	const buf = new Words(16);
	for (const part of [buf.subarray(4, 8), buf.slice(4)]) {
		expect(part.constructor).toBe(Uint8Array);
		expect(words_of(part)).toBeNull();
	}
	buf[3] = 7;
	expect(words_of(buf)?.getUint32(0)).toBe(7);
});
