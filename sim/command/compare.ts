/** `ifwg compare`: the main job. */
import type { Command } from "commander";
import {
	CRYPTOS,
	type Crypto,
	DEFAULT_CRYPTOS,
	DEFAULT_MACHINE,
	DEFAULT_POLICIES,
	parseList,
	parseRunOptions,
	parseSeeds,
} from "../options.ts";
import { stdoutColors } from "../report/colors.ts";
import type { RawReportOptions } from "../report/file.ts";
import type { ReportPlan } from "../report/plan.ts";
import type { Sensitivity } from "../report/sensitivity.ts";
import type { Stretch } from "../stretch.ts";
import {
	type CommonFlags,
	checkModules,
	hostsOption,
	machineOptions,
	oneHost,
	parseWorkers,
	print,
	runMany,
	withProgress,
} from "./common.ts";

/** The short pieces of runs that the timelines are drawn from. */
async function recordStretches(plan: ReportPlan): Promise<Stretch[]> {
	const { STRETCH_NS } = await import("../report/plan.ts");
	const { recordStretch } = await import("../run.ts");
	return withProgress("timelines", async (onDone) => {
		const stretches: Stretch[] = [];
		for (const options of plan.stretches) {
			stretches.push(await recordStretch(options, Math.min(STRETCH_NS, options.duration_ns)));
			onDone(stretches.length, plan.stretches.length);
		}
		return stretches;
	});
}

/** The study of a named file; without one, for a report of what that study is about, the one that is stored. */
async function sensitivityFor(file: string | undefined, stored: boolean): Promise<Sensitivity | null> {
	const { parseSensitivity, readSensitivity } = await import("../report/sensitivity.ts");
	if (file !== undefined) return readSensitivity(file);
	if (!stored) return null;
	const { storedStudy } = await import("../sensitivity/stored.ts");
	const study = await storedStudy();
	return study === null ? null : parseSensitivity("the stored study", JSON.stringify(study));
}

type Flags = CommonFlags & RawReportOptions & { readonly others: boolean };

async function compareAction(flags: Flags): Promise<void> {
	const policies = parseList("--policy", flags.policy, DEFAULT_POLICIES);
	const cryptos = parseList("--crypto", flags.crypto, DEFAULT_CRYPTOS);
	const base = parseRunOptions({ ...flags, policy: policies[0], crypto: cryptos[0] });
	for (const crypto of cryptos) parseRunOptions({ crypto });
	const seeds = parseSeeds(flags.seeds, flags.seed);
	const workers = parseWorkers(flags.workers);
	const { reportFile } = await import("../report/file.ts");
	const file = reportFile(flags);
	if (file !== null) oneHost(base, "--report");
	await checkModules(base.driver, policies);
	const { planReport, reportJobs, summariseReport } = await import("../report/plan.ts");
	const { comparisonJson, planComparison, summariseComparison } = await import("../compare.ts");
	// what was published of other machines stands beside the scenario it is usually read with, not beside any other
	const usual =
		base.machine === DEFAULT_MACHINE &&
		base.hosts === 1 &&
		base.cpus === 8 &&
		base.streams === 1 &&
		!base.udp &&
		Object.keys(base.costs).length === 0;
	const sensitivity = await sensitivityFor(flags.sensitivity, file !== null && usual);
	const options = { base, policies, cryptos: cryptos as Crypto[], seeds, others: flags.others && usual };
	const plan = file === null ? null : planReport(options, flags.scan !== false);
	const jobs = plan === null ? planComparison(options) : reportJobs(plan);
	const began = performance.now();
	const timed = await runMany("compare", jobs, workers);
	const report = plan === null ? null : summariseReport(plan, timed, await recordStretches(plan), sensitivity);
	const comparison = report?.comparison ?? summariseComparison(options, timed);
	let json = comparisonJson(comparison);
	if (report !== null && file !== null) {
		const { renderReport, reportJson } = await import("../report/html/page.ts");
		const { writeWhole } = await import("../export/file.ts");
		writeWhole(file, renderReport(report));
		json = reportJson(report);
	}
	if (flags.json === true) {
		print(JSON.stringify(json, null, "\t"));
	} else {
		const { renderComparison } = await import("../report/text.ts");
		print(renderComparison(comparison, stdoutColors()));
		process.stderr.write(`${jobs.length} runs in ${((performance.now() - began) / 1000).toFixed(1)} s\n`);
	}
	if (file !== null) process.stderr.write(`wrote ${file}\n`);
}

export function addCompare(root: Command): void {
	hostsOption(machineOptions(root.command("compare")))
		.summary("the same packets under several policies and ciphers (the main job)")
		.description(
			"Runs the same packets under several policies and ciphers and shows what differs: how many tasks were scheduled and " +
				"found work, the throughput, and the price in wakeups, IPIs, context switches, lock waits, CPU time and energy. " +
				"Without options: all-cpus (the driver before ddc22da) beside round-robin (after), with the driver's own ciphers and " +
				"with ossl(4), five seeds each.",
		)
		.option("--policy <list>", `policies, the first being the base (default: ${DEFAULT_POLICIES.join(",")})`)
		.option(
			"--crypto <list>",
			`of ${CRYPTOS.join(", ")}, the first being the base (default: ${DEFAULT_CRYPTOS.join(",")})`,
		)
		.option("--cpus <n>", "number of CPUs, 1 to 256 (default: the machine's)")
		.option("--seed <n>", "first seed, decimal or 0x hexadecimal; without --seeds only this one (default: 1)")
		.option("--seeds <n>", "how many seeds (default: 5)")
		.option("--report <file>", "also write a report, one HTML file: figures, how sure they are, how to repeat them")
		.option("--force", "replace a report that is there")
		.option("--no-scan", "leave the report's runs on 2 to 64 CPUs out")
		.option(
			"--sensitivity <file>",
			"the study to draw in the report: what ifwg sensitivity --json prints (default: that in results, if it is of this model)",
		)
		.option(
			"--no-others",
			"leave out the runs for published figures of other machines: two Xeon Ds, 4 and 8 Atom cores",
		)
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg compare                                       the change to the driver, and what it did
  $ ifwg compare --machine vm --crypto own             on a virtual machine, where a wakeup is an exit
  $ ifwg compare --cpus 4 --seeds 1                    few CPUs: the queue is never shallow
  $ ifwg compare --policy round-robin,linux-style      two cursors, one atomic
  $ ifwg compare --hosts 2                             a tunnel between two machines
  $ ifwg compare --generation 2021-11 --crypto own     in the driver the change was made to
  $ ifwg compare --report change.html                  one file to attach to a review
  $ ifwg compare --release 14.0 --json > runs.json     one object for each run, and a summary`,
		)
		.action(compareAction);
}
