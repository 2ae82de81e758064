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
			"    2  own   all-cpus     52.2 %  0.626 Gb/s    1090    163612  040fbd3a66c69e79
			    2  own   round-robin  92.5 %  0.830 Gb/s     559    161397  b99e310cad9cc105
			    2  ossl  all-cpus     54.6 %  1.143 Gb/s    1649    244498  27090316032e27e1
			    2  ossl  round-robin  93.1 %  1.350 Gb/s    1269    263429  cb8523b189f572cf
			    8  own   all-cpus     12.6 %  0.832 Gb/s    8786    623611  fe261207119069d2
			    8  own   round-robin  65.9 %  2.235 Gb/s    2539    531282  b0bf2fdf738fa519
			    8  ossl  all-cpus     12.8 %  0.924 Gb/s   10558    587120  f30003b5cb1d84b8
			    8  ossl  round-robin  72.3 %  1.889 Gb/s    2531    483494  bc0f16e35c94e180
			   16  own   all-cpus      5.4 %  0.654 Gb/s   13594    646146  c303ccc6237a2738
			   16  own   round-robin  59.2 %  3.358 Gb/s    4308    735174  3d912e8fa7a50979
			   16  ossl  all-cpus      6.3 %  0.473 Gb/s   10101    534740  6db02749bb713f27
			   16  ossl  round-robin  57.8 %  2.538 Gb/s    3387    585472  bc2815b58af68892
			2 x 8  ossl  all-cpus     14.2 %  2.322 Gb/s   20710    886667  4d69858cf9948781
			2 x 8  ossl  all-cpus     14.1 %  2.300 Gb/s   20656   1030691  f64195ff5995f32b
			2 x 8  ossl  all-cpus     14.0 %  2.340 Gb/s   20987    991361  27de5ac1aa6425b7
			2 x 8  ossl  all-cpus     14.0 %  1.403 Gb/s   13144    619333  42dfb9f6a8a31420
			2 x 8  ossl  all-cpus     14.1 %  2.303 Gb/s   20788   1036605  0be65e930516c190
			2 x 8  ossl  round-robin  59.6 %  4.581 Gb/s    5238    873645  a0e06b7a4a5d5a16
			2 x 8  ossl  round-robin  58.8 %  4.800 Gb/s    5638    895345  bb01e0c22c9b9194
			2 x 8  ossl  round-robin  57.9 %  3.649 Gb/s    3960    739349  e4d581ba4d6e8713
			2 x 8  ossl  round-robin  59.0 %  3.688 Gb/s    4094    715843  c30395f956e61ca5
			2 x 8  ossl  round-robin  58.4 %  3.946 Gb/s    4321    804535  7dcd9cfc5ff33f1b"
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
