import * as fc from "fast-check";
import { expect, test } from "vitest";
import { bcopy, bzero, span } from "../../src/machine/bcopy.ts";
import { Words, words_use } from "../../src/machine/words.ts";

test("copies these bytes and touches no others, in one buffer as between two", () => {
	const size = 300;
	const place = fc.nat(size);
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: size, maxLength: size }),
			fc.uint8Array({ minLength: size, maxLength: size }),
			fc.tuple(place, place, fc.oneof(fc.nat(12), place)),
			fc.boolean(),
			fc.boolean(),
			fc.boolean(),
			(src, other, [from, to, wanted], same, views, ofBoth) => {
				const dst = same ? src : other;
				if (views) words_use(src);
				if (ofBoth) words_use(other);
				const len = Math.min(wanted, size - from, size - to);
				const expected = Uint8Array.from(dst);
				expected.set(src.slice(from, from + len), to);
				bcopy(src, from, dst, to, len);
				expect(dst).toEqual(expected);
			},
		),
	);
});

test("zeroes these bytes and touches no others", () => {
	const size = 300;
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: size, maxLength: size }),
			fc.nat(size),
			fc.nat(size),
			fc.boolean(),
			(buf, off, wanted, viewed) => {
				if (viewed) words_use(buf);
				const len = Math.min(wanted, size - off);
				const expected = Uint8Array.from(buf, (byte, i) => (i >= off && i < off + len ? 0 : byte));
				bzero(buf, off, len);
				expect(buf).toEqual(expected);
			},
		),
	);
});

test("a span is the bytes themselves", () => {
	const buf = Uint8Array.of(1, 2, 3, 4);
	span(buf, 1, 3)[0] = 9;
	expect([...buf]).toEqual([1, 9, 3, 4]);
});

test("bytes that are no number as a float arrive as they are, however often", () => {
	const size = 64;
	const [src, dst] = [new Uint8Array(size), new Uint8Array(size)];
	words_use(src);
	words_use(dst);
	for (let round = 0; round < 30_000; round++) {
		// quiet and signalling, of either sign, with what the host marks holes by
		for (let at = 0; at < size; at += 8) {
			const pattern = [
				round,
				round >>> 8,
				0,
				at,
				0,
				(round & 1) === 0 ? 0xff : 0,
				0xf0 | (round % 16),
				0x7f | (round & 128),
			];
			src.set((round & 7) === 7 ? [0xff, 0xff, 0xf7, 0xff, 0xff, 0xff, 0xf7, 0xff] : pattern, at);
		}
		bcopy(src, 0, dst, 0, size);
		if (!dst.every((byte, i) => byte === src[i])) expect(dst).toEqual(src);
	}
	expect(dst).toEqual(src);
});

test("small buffers with a view are copied as others are", () => {
	fc.assert(
		fc.property(fc.nat(40), fc.nat(40), fc.nat(40), fc.boolean(), (from, to, wanted, back) => {
			const [small, other] = [new Words(40), new Uint8Array(40)];
			for (let i = 0; i < 40; i++) small[i] = i + 1;
			for (let i = 0; i < 40; i++) other[i] = 100 + i;
			const [src, dst] = back ? [other, small] : [small, other];
			const len = Math.min(wanted, 40 - from, 40 - to);
			const expected = Uint8Array.from(dst);
			expected.set(src.slice(from, from + len), to);
			bcopy(src, from, dst, to, len);
			expect(Uint8Array.from(dst)).toEqual(expected);
		}),
	);
});
