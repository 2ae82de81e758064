import * as fc from "fast-check";
import { expect, test } from "vitest";
import { bcopy, bzero, span } from "../../src/machine/bcopy.ts";

test("copies these bytes and touches no others, in one buffer as between two", () => {
	const size = 300;
	const place = fc.nat(size);
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: size, maxLength: size }),
			fc.uint8Array({ minLength: size, maxLength: size }),
			fc.tuple(place, place, fc.oneof(fc.nat(12), place)),
			fc.boolean(),
			(src, other, [from, to, wanted], same) => {
				const dst = same ? src : other;
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
		fc.property(fc.uint8Array({ minLength: size, maxLength: size }), fc.nat(size), fc.nat(size), (buf, off, wanted) => {
			const len = Math.min(wanted, size - off);
			const expected = Uint8Array.from(buf, (byte, i) => (i >= off && i < off + len ? 0 : byte));
			bzero(buf, off, len);
			expect(buf).toEqual(expected);
		}),
	);
});

test("a span is the bytes themselves", () => {
	const buf = Uint8Array.of(1, 2, 3, 4);
	span(buf, 1, 3)[0] = 9;
	expect([...buf]).toEqual([1, 9, 3, 4]);
});
