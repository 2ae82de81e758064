/** Collapsed stacks: their grammar, and that no ns is lost or counted twice. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseRunOptions } from "../../../sim/options.ts";
import { simulate } from "../../../sim/run.ts";
import { exportRun } from "./support.ts";

test.each(["own", "ossl"])("stacks add up to the busy time of all CPUs, to the ns, with %s", async (crypto) => {
	const { file, result } = await exportRun("stacks", { crypto, costOnly: true });
	const [head, ...lines] = readFileSync(file, "utf8").trimEnd().split("\n");
	const busy = Number(/^# busy: ([0-9]+) ns$/.exec(head)?.[1]);
	const parsed = lines.map((line) => /^(CPU [0-9]+(?:;[^;]+)+) ([0-9]+)$/.exec(line));
	expect(parsed.filter((match) => match === null)).toEqual([]);
	expect(parsed.reduce((sum, match) => sum + Number(match?.[2]), 0)).toBe(busy);
	expect(busy).toBeGreaterThan(result.cpu_busy_ns);
	// the functions that were running, as the kernel calls one another, and the cost they paid
	expect(lines.some((line) => line.includes(";gtaskqueue_thread_loop;wg_softc_encrypt;wg_encrypt;"))).toBe(true);
	expect(lines.some((line) => new RegExp(`;wg_decrypt;.*;chapoly_${crypto} [0-9]+$`).test(line))).toBe(true);
	expect(lines.some((line) => /^CPU [0-9]+;swi1: netisr 0;ithread_loop;swi_net;.*;ip_input /.test(line))).toBe(true);
	expect(lines.filter((line) => line.includes(";unseen"))).toEqual([]);
	const plain = await simulate(parseRunOptions({ duration: "1ms", warmup: "500us", crypto, costOnly: true }));
	expect(result).toEqual(plain.result);
});
