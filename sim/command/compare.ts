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
import { type CommonFlags, checkModules, machineOptions, parseWorkers, print, runMany } from "./common.ts";

async function compareAction(flags: CommonFlags & { atom: boolean }): Promise<void> {
	const policies = parseList("--policy", flags.policy, DEFAULT_POLICIES);
	const cryptos = parseList("--crypto", flags.crypto, DEFAULT_CRYPTOS);
	const base = parseRunOptions({ ...flags, policy: policies[0], crypto: cryptos[0] });
	for (const crypto of cryptos) parseRunOptions({ crypto });
	const seeds = parseSeeds(flags.seeds, flags.seed);
	const workers = parseWorkers(flags.workers);
	await checkModules(base.driver, policies);
	const { planComparison, summariseComparison } = await import("../compare.ts");
	// the published scaling of Atom cores stands beside the scenario it is usually read with, not beside any other
	const usual =
		base.machine === DEFAULT_MACHINE &&
		base.cpus === 8 &&
		base.streams === 1 &&
		!base.udp &&
		Object.keys(base.costs).length === 0;
	const options = { base, policies, cryptos: cryptos as Crypto[], seeds, atom: flags.atom && usual };
	const jobs = planComparison(options);
	const began = performance.now();
	const comparison = summariseComparison(options, await runMany("compare", jobs, workers));
	if (flags.json === true) {
		const runs = comparison.cells.flatMap((cell) => cell.runs);
		print(JSON.stringify({ runs, atom_runs: comparison.atom, summary: comparison.summary }, null, "\t"));
		return;
	}
	const { renderComparison } = await import("../report/text.ts");
	print(renderComparison(comparison, stdoutColors()));
	process.stderr.write(`${jobs.length} runs in ${((performance.now() - began) / 1000).toFixed(1)} s\n`);
}

export function addCompare(root: Command): void {
	machineOptions(root.command("compare"))
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
		.option("--no-atom", "leave out the two runs for the published figure of 4 and 8 Atom cores")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg compare                                       the change to the driver, and what it did
  $ ifwg compare --machine vm --crypto own             on a virtual machine, where a wakeup is an exit
  $ ifwg compare --cpus 4 --seeds 1                    few CPUs: the queue is never shallow
  $ ifwg compare --policy round-robin,linux-style      two cursors, one atomic
  $ ifwg compare --generation 2021-11 --crypto own     in the driver the change was made to
  $ ifwg compare --release 14.0 --json > runs.json     one object for each run, and a summary`,
		)
		.action(compareAction);
}
