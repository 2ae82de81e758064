import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fingerprint } from "../../src/machine/fingerprint.ts";

type Entry = [time: number, value: number];

function fingerprint(entries: readonly Entry[]): string {
	const print = new Fingerprint();
	for (const [time, value] of entries) print.add(time, value);
	expect(print.count).toBe(entries.length);
	return print.toString();
}

const entry: fc.Arbitrary<Entry> = fc.tuple(fc.nat({ max: 2 ** 50 }), fc.nat({ max: 2 ** 30 }));

describe("Fingerprint", () => {
	test("is 16 digits, and the same for the same run", () => {
		fc.assert(
			fc.property(fc.array(entry), (entries) => {
				expect(fingerprint(entries)).toMatch(/^[0-9a-f]{16}$/);
				expect(fingerprint(entries)).toBe(fingerprint(entries));
			}),
		);
	});

	test("changes with any time, by a nanosecond or by 2^32 of them, any value, the order and the length", () => {
		fc.assert(
			fc.property(fc.array(entry, { minLength: 1, maxLength: 30 }), fc.nat(), fc.nat(20), (entries, where, bit) => {
				const at = where % entries.length;
				const change = (time: number, value: number): string =>
					fingerprint(entries.map((e, i) => (i === at ? [e[0] + time, e[1] ^ value] : e)));
				const all = [
					fingerprint(entries),
					change(1, 0),
					change(2 ** 32, 0),
					change(0, 1 << bit),
					fingerprint([...entries, [0, 0]]),
				];
				expect(new Set(all).size).toBe(all.length);
				const [a, b] = [entries[0], entries[entries.length - 1]];
				if (a[0] !== b[0] || a[1] !== b[1]) {
					expect(fingerprint([a, b])).not.toBe(fingerprint([b, a]));
				}
			}),
		);
	});
});
