import { setFlagsFromString } from "node:v8";
import { beforeAll, describe, expect, test } from "vitest";
import { sockaddr_in } from "../../src/kernel/netinet/in.ts";
import { thread } from "../../src/kernel/sched/thread.ts";
import { Cpu } from "../../src/machine/cpu.ts";
import { Event, EventQueue } from "../../src/machine/event.ts";
import { wide_fields } from "../../src/machine/shape.ts";

/** Asks V8 whether two objects have one shape. */
let same_shape: (a: object, b: object) => boolean;

beforeAll(() => {
	setFlagsFromString("--allow-natives-syntax");
	same_shape = new Function("a", "b", "return %HaveSameMap(a, b)") as typeof same_shape;
	setFlagsFromString("--no-allow-natives-syntax");
});

class narrow {
	n = 0;
	other = 0;
}

class wide {
	n = 0;
	other = 0;
}

describe("wide_fields", () => {
	test("without it, an object changes shape when a field outgrows small whole numbers", () => {
		const [before, after] = [new narrow(), new narrow()];
		after.n = 2 ** 40;
		expect(same_shape(before, after)).toBe(false);
	});

	test("with it, objects have the shape they will have, and the values they begin with", () => {
		wide_fields(new wide(), "n");
		const [before, after] = [new wide(), new wide()];
		expect(before).toEqual({ n: 0, other: 0 });
		after.n = 2 ** 40;
		expect(same_shape(before, after)).toBe(true);
		after.other = 2 ** 40;
		expect(same_shape(before, after)).toBe(false);
	});
});

test("what the scheduler and the clock look at all the time does not change shape", () => {
	const day = 86_400 * 1e9;
	const makers: (() => object)[] = [
		() => new thread(1, "t", 1),
		() => new EventQueue(),
		() => new Event({ fire() {} }),
		() => new Cpu(0, { cstates: [] }),
		() => new sockaddr_in(),
	];
	const fields = ["td_pending", "td_runtime", "td_slice", "now", "until", "time", "busy_ns", "idle_since", "sin_addr"];
	for (const make of makers) {
		const [before, after] = [make(), make() as Record<string, number>];
		const known = fields.filter((field) => field in after);
		expect(known).not.toEqual([]);
		for (const field of known) after[field] = day;
		expect(same_shape(before, after), known.join()).toBe(true);
	}
});
