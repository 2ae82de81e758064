/** Collapsed stacks: their grammar, and that no ns is lost or counted twice. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { exportRun } from "./support.ts";

test.each(["own", "ossl"])("stacks add up to the busy time of all CPUs, to the ns, with %s", async (crypto) => {
	const { file, result } = await exportRun("stacks", { crypto, costOnly: true });
	const [head, ...lines] = readFileSync(file, "utf8").trimEnd().split("\n");
	const busy = Number(/^# busy: ([0-9]+) ns$/.exec(head)?.[1]);
	const parsed = lines.map((line) => /^(CPU [0-9]+;[^;]+(?:;[^;]+)?) ([0-9]+)$/.exec(line));
	expect(parsed.filter((match) => match === null)).toEqual([]);
	expect(parsed.reduce((sum, match) => sum + Number(match?.[2]), 0)).toBe(busy);
	expect(busy).toBeGreaterThan(result.cpu_busy_ns);
	expect(lines.some((line) => /^CPU 0;wg_tqg_0;.*encrypt/.test(line))).toBe(true);
});
