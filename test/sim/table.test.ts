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
			"    2  own   all-cpus     54.2 %  0.554 Gb/s    1150    165528  d86495601789a2de
			    2  own   round-robin  92.7 %  0.762 Gb/s     550    141634  fc526f81ac3b3344
			    2  ossl  all-cpus     49.9 %  1.386 Gb/s    1268    335596  9abc746f32c56359
			    2  ossl  round-robin  92.4 %  1.298 Gb/s    1199    296797  dbaef3b5ce1eb899
			    8  own   all-cpus     12.2 %  0.705 Gb/s    6152    380001  8382be61a859e8e4
			    8  own   round-robin  67.7 %  2.114 Gb/s    2483    434363  b4956fe5d7dcedb3
			    8  ossl  all-cpus     12.9 %  1.088 Gb/s   11575    593304  222eb66776e2ada7
			    8  ossl  round-robin  67.6 %  2.714 Gb/s    3581    672738  849f2eb3d75869c6
			   16  own   all-cpus      5.4 %  0.661 Gb/s   14026    644304  0a65a82917dfd4ce
			   16  own   round-robin  60.3 %  3.366 Gb/s    4399    663307  6f4ab9995a7e1372
			   16  ossl  all-cpus      6.4 %  0.683 Gb/s   14440    740257  62a001d7749d62f5
			   16  ossl  round-robin  64.3 %  3.957 Gb/s    5319    825024  f689151ae07cab22
			2 x 8  ossl  all-cpus     14.2 %  2.187 Gb/s   19771    820330  af703773a10d89e4
			2 x 8  ossl  all-cpus     14.3 %  2.320 Gb/s   20834    920201  cfdb4f2256bb7d7b
			2 x 8  ossl  all-cpus     14.1 %  2.349 Gb/s   21073   1026878  4d4008d3ed11d161
			2 x 8  ossl  all-cpus     14.1 %  1.423 Gb/s   13233    582884  5a6a9cc89a3ca63f
			2 x 8  ossl  all-cpus     14.3 %  2.333 Gb/s   20985   1002311  9479b80c22cb81d0
			2 x 8  ossl  round-robin  60.9 %  4.761 Gb/s    5502    907937  551d8027e295a042
			2 x 8  ossl  round-robin  57.4 %  3.830 Gb/s    4138    774049  6324c3b2df756d7a
			2 x 8  ossl  round-robin  60.6 %  4.818 Gb/s    5663    928507  f0e5fa18da74b755
			2 x 8  ossl  round-robin  61.6 %  4.354 Gb/s    4656    828157  a9b8d20df91f5a5f
			2 x 8  ossl  round-robin  59.8 %  4.822 Gb/s    5655    928917  2333b4775365b787"
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
