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
			" 2  own   all-cpus     54.2 %  0.554 Gb/s    1150    165528  d86495601789a2de
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
			16  ossl  round-robin  64.3 %  3.957 Gb/s    5319    825024  f689151ae07cab22"
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
