/**
 * The regression test of the whole: policy x cipher x CPUs as a table, compared with the one committed here. Short runs, so the
 * figures are not those of `ifwg compare`; but nothing in machine, kernel, driver or programs can change without showing here.
 */
import { describe, expect, test } from "vitest";
import { parseRunOptions } from "../../sim/options.ts";
import type { RunResult } from "../../sim/result.ts";
import { simulate } from "../../sim/run.ts";

const rows: RunResult[] = [];
for (const cpus of ["2", "8", "16"]) {
	for (const crypto of ["own", "ossl"]) {
		for (const policy of ["all-cpus", "round-robin"]) {
			const options = { policy, crypto, cpus, warmup: "5ms", duration: "5ms", costOnly: true };
			rows.push((await simulate(parseRunOptions(options))).result);
		}
	}
}

function row(cpus: number, crypto: string, policy: string): RunResult {
	return rows.find((r) => r.cpus === cpus && r.crypto === crypto && r.policy === policy)!;
}

describe("5 ms of one TCP stream after 5 ms", () => {
	test("the table is the committed one", () => {
		const lines = rows.map((r) =>
			[
				String(r.cpus).padStart(2),
				r.crypto.padEnd(4),
				r.policy.padEnd(11),
				`${(r.useful_task_share * 100).toFixed(1)} %`.padStart(6),
				`${(r.throughput_bps / 1e9).toFixed(3)} Gb/s`,
				String(r.tasks_scheduled).padStart(6),
				String(r.events).padStart(8),
				r.fingerprint,
			].join("  "),
		);
		expect(lines.join("\n")).toMatchInlineSnapshot(`
			" 2  own   all-cpus     52.1 %  0.615 Gb/s    1072     29045  3f2d7927ef61b131
			 2  own   round-robin  93.2 %  0.731 Gb/s     429     22066  be43446ee674f356
			 2  ossl  all-cpus     60.5 %  1.335 Gb/s     788     38636  52b6dccf7af43c75
			 2  ossl  round-robin  93.6 %  1.353 Gb/s    1211     49809  afe1e25f79500588
			 8  own   all-cpus     12.8 %  0.810 Gb/s    7809    119754  f391b61dbbfc4e76
			 8  own   round-robin  63.4 %  2.222 Gb/s    2729     87003  f3e599084ee67c02
			 8  ossl  all-cpus     12.9 %  1.237 Gb/s   12431    160917  e6a515f3b7680a18
			 8  ossl  round-robin  72.4 %  1.946 Gb/s    2502     90141  f68fde67686f2537
			16  own   all-cpus      5.5 %  0.746 Gb/s   15266    211657  83900ce95b193738
			16  own   round-robin  63.5 %  2.241 Gb/s    3006     95522  b98bd546ade4cace
			16  ossl  all-cpus      6.4 %  0.696 Gb/s   14661    222401  394b9bc7b34c8148
			16  ossl  round-robin  65.2 %  3.874 Gb/s    5204    162353  9f031d44257d3cd1"
		`);
	});

	test.each(["own", "ossl"])("on 8 CPUs with %s crypto the shares are Baldwin's", (crypto) => {
		expect(row(8, crypto, "all-cpus").useful_task_share).toBeGreaterThan(0.1);
		expect(row(8, crypto, "all-cpus").useful_task_share).toBeLessThan(0.16);
		expect(row(8, crypto, "round-robin").useful_task_share).toBeGreaterThan(0.55);
		expect(row(8, crypto, "round-robin").useful_task_share).toBeLessThan(0.75);
	});

	test("from 8 CPUs up the all-cpus share is close to one in N", () => {
		for (const cpus of [8, 16]) {
			for (const crypto of ["own", "ossl"]) {
				const times = row(cpus, crypto, "all-cpus").useful_task_share * cpus;
				expect(times).toBeGreaterThan(1 / 1.5);
				expect(times).toBeLessThan(1.5);
			}
		}
	});

	test("the more CPUs, the more all-cpus loses", () => {
		const ratio = (cpus: number) =>
			row(cpus, "own", "round-robin").throughput_bps / row(cpus, "own", "all-cpus").throughput_bps;
		expect(ratio(8)).toBeGreaterThan(ratio(2));
		expect(ratio(16)).toBeGreaterThan(ratio(8));
	});
});
