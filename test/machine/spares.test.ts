import { expect, test } from "vitest";
import { Spares } from "../../src/machine/spares.ts";

test("what is spare is taken before anything is made, the last first, and by one only", () => {
	let made = 0;
	const spares = new Spares(() => ({ id: ++made }));
	const [one, two] = [spares.take(), spares.take()];
	expect([one.id, two.id]).toEqual([1, 2]);
	spares.give(one);
	spares.give(two);
	expect([spares.take().id, spares.take().id, spares.take().id, made]).toEqual([2, 1, 3, 3]);
});
