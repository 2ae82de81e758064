import { expect, test } from "vitest";
import { allProbes, SDT_PROBE_DEFINE } from "../../../src/kernel/probe/probe.ts";

test("a probe nobody listens to is null; listeners are called in order, and go away again", () => {
	const probe = SDT_PROBE_DEFINE<[n: number, s: string]>("test:::one");
	const heard: string[] = [];
	expect(probe.on).toBeNull();
	const stops = ["a", "b", "c"].map((who) => probe.listen((n, s) => heard.push(`${who}${n}${s}`)));
	probe.on?.(1, "x");
	expect(heard).toEqual(["a1x", "b1x", "c1x"]);
	stops[1]();
	stops[1](); // twice does nothing
	probe.on?.(2, "y");
	expect(heard.slice(3)).toEqual(["a2y", "c2y"]);
	stops[0]();
	stops[2]();
	expect(probe.on).toBeNull();
});

test("the same function may listen twice, and each stop takes one of them away", () => {
	const probe = SDT_PROBE_DEFINE<[]>("test:::twice");
	let heard = 0;
	const listener = (): void => {
		heard++;
	};
	const [first, second] = [probe.listen(listener), probe.listen(listener)];
	probe.on?.();
	expect(heard).toBe(2);
	first();
	first();
	probe.on?.();
	expect(heard).toBe(3);
	second();
	expect(probe.on).toBeNull();
});

test("names are unique and known", () => {
	const probe = SDT_PROBE_DEFINE<[]>("test:::named");
	expect(allProbes().get("test:::named")).toBe(probe);
	expect(() => SDT_PROBE_DEFINE("test:::named")).toThrow(/twice/);
});

test("a listener that goes away while it is called takes nobody's call with it", () => {
	const probe = SDT_PROBE_DEFINE<[]>("test:::leaves");
	const heard: string[] = [];
	const stop = probe.listen(() => {
		heard.push("a");
		stop();
	});
	probe.listen(() => heard.push("b"));
	probe.on?.();
	probe.on?.();
	expect(heard).toEqual(["a", "b", "b"]);
});
