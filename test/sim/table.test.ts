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
			" 2  own   all-cpus     54.9 %  0.517 Gb/s    1070     77444  39556635a52a89d9
			 2  own   round-robin  91.1 %  0.670 Gb/s     694     73883  3fa517d8d328800d
			 2  ossl  all-cpus     62.2 %  1.259 Gb/s     603    101592  db13d16bd980dacb
			 2  ossl  round-robin  92.9 %  1.237 Gb/s    1054    138512  026ff7510121271c
			 8  own   all-cpus     13.2 %  1.324 Gb/s   10536    344576  e0fb648796a68b65
			 8  own   round-robin  66.5 %  2.237 Gb/s    2675    234494  e0dd6ff1acfaf105
			 8  ossl  all-cpus     12.8 %  1.285 Gb/s   12974    370483  5851ffe27c1670e2
			 8  ossl  round-robin  71.2 %  2.066 Gb/s    2871    262943  644726dd9f5a51c7
			16  own   all-cpus      5.8 %  0.823 Gb/s   16661    462025  488c3317bf18e29c
			16  own   round-robin  61.1 %  3.053 Gb/s    4222    326412  5cd4d09dd4c1c65c
			16  ossl  all-cpus      6.5 %  0.808 Gb/s   17262    504332  380db099b0025479
			16  ossl  round-robin  58.5 %  2.694 Gb/s    3456    283264  fe88d62aca6e7963"
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
