/**
 * The regression test of the whole: policy x cipher x CPUs as a table, compared with the one committed here. Short runs, so the
 * figures are not those of `ifwg compare`; but nothing in machine, kernel, driver or programs can change without showing here.
 */
import { describe, expect, test } from "vitest";
import { mean } from "../../sim/compare.ts";
import { parseRunOptions } from "../../sim/options.ts";
import { EXPECTED } from "../../sim/published.ts";
import type { RunResult } from "../../sim/result.ts";
import { simulate } from "../../sim/run.ts";

const SHORT = { warmup: "5ms", duration: "5ms", costOnly: true };

const rows: RunResult[] = [];
for (const cpus of ["2", "8", "16"]) {
	for (const crypto of ["own", "ossl"]) {
		for (const policy of ["all-cpus", "round-robin"]) {
			rows.push((await simulate(parseRunOptions({ ...SHORT, policy, crypto, cpus }))).result);
		}
	}
}
/** between two machines */
const pairs: RunResult[] = [];
for (const policy of ["all-cpus", "round-robin"]) {
	for (const seed of ["1", "2", "3", "4", "5"]) {
		const options = { ...SHORT, hosts: "2", policy, crypto: "ossl", seed };
		pairs.push((await simulate(parseRunOptions(options))).result);
	}
}

function row(cpus: number, crypto: string, policy: string): RunResult {
	return rows.find((r) => r.cpus === cpus && r.crypto === crypto && r.policy === policy)!;
}

describe("5 ms of one TCP stream after 5 ms", () => {
	test("the table is the committed one", () => {
		const lines = [...rows, ...pairs].map((r) =>
			[
				`${r.hosts === 1 ? "" : `${r.hosts} x `}${r.cpus}`.padStart(5),
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
			"    2  own   all-cpus     52.0 %  0.595 Gb/s    1061    163425  98ccc63e623ea5d0
			    2  own   round-robin  93.5 %  0.849 Gb/s     752    177077  edcc56e6a691e628
			    2  ossl  all-cpus     59.8 %  1.526 Gb/s     850    251388  3893e1239e1613d9
			    2  ossl  round-robin  94.6 %  1.407 Gb/s    1084    278863  8782104f62776b0c
			    8  own   all-cpus     12.4 %  0.674 Gb/s    6375    386221  c79b880afe3ec56d
			    8  own   round-robin  64.6 %  2.178 Gb/s    2579    581643  cf3189517bb9f715
			    8  ossl  all-cpus     13.1 %  1.309 Gb/s   12852    682781  f430825fd1f84118
			    8  ossl  round-robin  70.3 %  2.594 Gb/s    3555    643295  8177f81fb84760d4
			   16  own   all-cpus      5.7 %  0.770 Gb/s   15916    694895  e3a52577dc74a88e
			   16  own   round-robin  60.6 %  3.487 Gb/s    4564    653954  44a50315fa5c02c6
			   16  ossl  all-cpus      6.4 %  0.727 Gb/s   15143    722402  3e11c9cd7f324ebc
			   16  ossl  round-robin  65.3 %  3.968 Gb/s    5290    823328  0fcbdc781135ac98
			2 x 8  ossl  all-cpus     14.3 %  2.294 Gb/s   20705   1033606  c870aa5861b5b813
			2 x 8  ossl  all-cpus     14.3 %  2.316 Gb/s   20891    991619  a01c216b464013d8
			2 x 8  ossl  all-cpus     14.7 %  1.531 Gb/s   13965    678130  d8a90b1aea3ee392
			2 x 8  ossl  all-cpus     14.0 %  1.424 Gb/s   13324    579182  78db7acd1e579e9d
			2 x 8  ossl  all-cpus     14.2 %  2.335 Gb/s   21137   1030374  e0bc149005baf5b8
			2 x 8  ossl  round-robin  59.7 %  4.312 Gb/s    4957    856185  4c7266dc694bdec8
			2 x 8  ossl  round-robin  58.6 %  3.639 Gb/s    3970    741532  307170bb95a4d797
			2 x 8  ossl  round-robin  60.1 %  4.769 Gb/s    5610    940548  b31865fe46d5b579
			2 x 8  ossl  round-robin  58.4 %  3.763 Gb/s    4033    707180  3b57a9b8dfaf8821
			2 x 8  ossl  round-robin  59.5 %  4.445 Gb/s    5188    878443  0a5422b1568d75e0"
		`);
	});

	test("between two machines all-cpus is within a factor of 1.5 of what Netgate measured, and round-robin above it with each seed", () => {
		const bps = (policy: string): number[] =>
			pairs.filter((r) => r.policy === policy).map(({ throughput_bps }) => throughput_bps);
		const [low, high] = EXPECTED.xeon_d_bps;
		expect(mean(bps("all-cpus"))).toBeGreaterThan(low);
		expect(mean(bps("all-cpus"))).toBeLessThan(high);
		for (const [i, faster] of bps("round-robin").entries()) expect(faster).toBeGreaterThan(bps("all-cpus")[i]);
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
