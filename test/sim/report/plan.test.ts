import { describe, expect, test } from "vitest";
import { NOT_MODELLED } from "../../../sim/limits.ts";
import { commandLine, compareCommandLine, parseRunOptions, type RawRunOptions } from "../../../sim/options.ts";
import { planReport, reportJobs } from "../../../sim/report/plan.ts";
import { SCAN_CPUS } from "../../../sim/scan.ts";
import { readProjectFile } from "../../support/source.ts";
import { madeUpReport } from "./fixture.ts";

function planOf(raw: RawRunOptions, scan = true) {
	const base = parseRunOptions({ policy: "all-cpus", crypto: "own", ...raw });
	return planReport(
		{ base, policies: ["all-cpus", "round-robin"], cryptos: ["own", "ossl"], seeds: [3, 4], others: false },
		scan,
	);
}

describe("the runs of a report", () => {
	test("are the comparison's, first, then the scan's and the other machine's", () => {
		const lines = reportJobs(planOf({})).map(commandLine);
		expect(lines).toHaveLength(8 + 2 * SCAN_CPUS.length + 2);
		expect(lines[0]).toBe("npx ifwg run --policy all-cpus --crypto own --seed 0x3");
		expect(lines.at(-1)).toBe("npx ifwg run --policy round-robin --crypto own --machine vm --seed 0x3");
	});

	test("are none twice: where the comparison is as short as the scan, both share their runs", () => {
		const lines = reportJobs(planOf({ duration: "1ms", warmup: "1ms" })).map(commandLine);
		expect(new Set(lines).size).toBe(lines.length);
		expect(lines).toHaveLength(8 + 2 * (SCAN_CPUS.length - 1) + 2);
	});

	test("are on bare metal, too, when the comparison is of a virtual machine", () => {
		const { elsewhere } = planOf({ machine: "vm" }, false);
		expect([elsewhere.base.machine, elsewhere.base.cpus]).toEqual(["xeon-d", 8]);
	});

	test("come back to where they belong, however they are shared", () => {
		const { comparison, scan, elsewhere } = madeUpReport();
		for (const one of [comparison, ...scan, elsewhere]) {
			for (const { policy, crypto, runs } of one.cells) {
				for (const run of runs) {
					expect([run.policy, run.crypto, run.cpus, run.machine]).toEqual([
						policy,
						crypto,
						one.options.base.cpus,
						one.options.base.machine,
					]);
				}
			}
		}
	});
});

test.each([
	[{}, ["all-cpus", "round-robin"], ["own", "ossl"], [1, 2, 3, 4, 5], "npx ifwg compare"],
	[{}, ["all-cpus", "round-robin"], ["own"], [1], "npx ifwg compare --crypto own --seed 1"],
	[
		{ machine: "vm", udp: true },
		["./my policy.mjs"],
		["own", "ossl"],
		[7, 8],
		"npx ifwg compare --policy './my policy.mjs' --machine vm --udp --seed 7 --seeds 2",
	],
	[
		{ cpus: "4" },
		["all-cpus", "round-robin"],
		["own", "ossl"],
		[2, 3, 4, 5, 6],
		"npx ifwg compare --cpus 4 --seed 2 --seeds 5",
	],
])("a comparison's line names what is not usual: %j", (raw, policies, cryptos, seeds, line) => {
	expect(compareCommandLine(parseRunOptions(raw), policies, cryptos, seeds)).toBe(line);
});

test("the report and README.md name the same limits: change sim/limits.ts with README's section Not modelled", () => {
	const section = /\n## Not modelled\n([\s\S]*?)\n(?:\n[^*\s]|## )/.exec(readProjectFile("README.md"));
	const items = (section?.[1] ?? "")
		.split(/\n\* |^\* /m)
		.map((item) => item.replace(/\s+/g, " ").trim())
		.filter((item) => item !== "");
	expect(items).toEqual(NOT_MODELLED);
});
