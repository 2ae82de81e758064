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
			" 2  own   all-cpus     51.7 %  0.626 Gb/s    1084     78030  04ed5180e531e221
			 2  own   round-robin  93.2 %  0.738 Gb/s     542     54905  6e29c622bc91a70e
			 2  ossl  all-cpus     54.4 %  1.567 Gb/s    1587    130949  4ece6c26bb4be2af
			 2  ossl  round-robin  91.6 %  1.197 Gb/s    1190    151763  45427af3b43bf2e1
			 8  own   all-cpus     12.6 %  0.895 Gb/s    9134    314437  3ed00c4ec2be8b79
			 8  own   round-robin  71.4 %  2.397 Gb/s    2162    252111  459ba470d79472e9
			 8  ossl  all-cpus     12.8 %  1.000 Gb/s   10574    384578  5fcea0919e68a76c
			 8  ossl  round-robin  64.6 %  2.053 Gb/s    2879    337749  fa1bf81f7ef76c6a
			16  own   all-cpus      5.4 %  0.727 Gb/s   14806    486941  1bc75e22b450d4ed
			16  own   round-robin  58.8 %  2.315 Gb/s    3233    321549  cbb5f9b2ddc5b41e
			16  ossl  all-cpus      6.4 %  0.598 Gb/s   13244    466328  c88800b52da0e158
			16  ossl  round-robin  56.9 %  2.614 Gb/s    3396    284574  4241aa1f24fe1960"
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
