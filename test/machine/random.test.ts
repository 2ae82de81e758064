import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RandomStream, RandomStreams } from "../../src/machine/random.ts";

function draw(stream: RandomStream, count: number): number[] {
	return Array.from({ length: count }, () => stream.uint32());
}

describe("random streams", () => {
	test("give these numbers, on every engine and in every release", () => {
		expect(draw(new RandomStream(1, "jitter"), 4)).toMatchInlineSnapshot(`
			[
			  2349704492,
			  2288020622,
			  1620626393,
			  1663665001,
			]
		`);
		expect(draw(new RandomStream(1, "sched"), 4)).toMatchInlineSnapshot(`
			[
			  834983458,
			  301241930,
			  3731861522,
			  1974551851,
			]
		`);
		expect(draw(new RandomStream(2 ** 40 + 1, "sched"), 4)).toMatchInlineSnapshot(`
			[
			  485684101,
			  3104379190,
			  968817693,
			  820553078,
			]
		`);
	});

	test("fill gives the same bytes as uint32, little-endian, and a remainder", () => {
		const bytes = new Uint8Array(10);
		new RandomStream(1, "x").fill(bytes);
		const view = new DataView(new ArrayBuffer(12));
		draw(new RandomStream(1, "x"), 3).forEach((x, i) => {
			view.setUint32(4 * i, x, true);
		});
		expect([...bytes]).toEqual([...new Uint8Array(view.buffer).subarray(0, 10)]);
	});

	test("are independent: draws from one change nothing in another", () => {
		fc.assert(
			fc.property(fc.nat(), fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 60 }), (seed, order) => {
				const together = new RandomStreams(seed);
				const alone = new RandomStreams(seed);
				const seen = order.filter((name) => {
					const x = together.stream(name).uint32();
					return name === "a" && x !== alone.stream("a").uint32();
				});
				expect(seen).toEqual([]);
			}),
		);
	});

	test("differ by name, and by either half of the seed", () => {
		const first = (seed: number, name: string): string => draw(new RandomStream(seed, name), 3).join();
		const all = [first(1, "a"), first(1, "b"), first(2, "a"), first(1 + 2 ** 32, "a"), first(1, "ab"), first(1, "ba")];
		expect(new Set(all).size).toBe(all.length);
	});

	test("uniform stays in its bound and reaches all of it evenly", () => {
		const stream = new RandomStream(3, "dice");
		const counts = new Array(6).fill(0);
		for (let i = 0; i < 60_000; i++) counts[stream.uniform(6)]++;
		for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
		expect([stream.uniform(0), stream.uniform(1)]).toEqual([0, 0]);
		fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (bound) => stream.uniform(bound) < bound));
	});
});
