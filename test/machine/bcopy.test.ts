import * as fc from "fast-check";
import { expect, test } from "vitest";
import { bcopy } from "../../src/machine/bcopy.ts";

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
