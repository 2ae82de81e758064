/** `ifwg sensitivity`: how firmly the conclusions stand when costs of the model are wrong. */
import type { Command } from "commander";
import { DEFAULT_SEED, parseRunOptions } from "../options.ts";
import { DEFAULT_STUDY } from "../sensitivity/design.ts";
import { parseInteger } from "../units.ts";
import {
	type CommonFlags,
	checkModules,
	checkPage,
	machineOptions,
	parseWorkers,
	print,
	runMany,
	writePage,
} from "./common.ts";

const MOST = 100_000;

interface Flags extends CommonFlags {
	readonly points?: string;
	readonly baseSeeds?: string;
	readonly checks?: string;
	readonly vary?: string;
	readonly results?: string;
	readonly write?: string | boolean;
}

async function sensitivityAction(flags: Flags): Promise<void> {
	const { seed, seeds, ...rest } = flags;
	const base = parseRunOptions({
		...rest,
		duration: flags.duration ?? DEFAULT_STUDY.duration,
		warmup: flags.warmup ?? DEFAULT_STUDY.warmup,
		costOnly: true,
	});
	const count = (what: string, text: string | undefined, fallback: number, low: number): number =>
		text === undefined ? fallback : parseInteger(what, text, low, MOST);
	const sizes = {
		base: { ...base, seed: count("--seed", seed, DEFAULT_SEED, 0) },
		points: count("--points", flags.points, DEFAULT_STUDY.points, 0),
		seeds: count("--seeds", seeds, DEFAULT_STUDY.seeds, 1),
		base_seeds: count("--base-seeds", flags.baseSeeds, DEFAULT_STUDY.base_seeds, 2),
		checks: count("--checks", flags.checks, DEFAULT_STUDY.checks, 0),
	};
	const page = checkPage(flags.write, DEFAULT_STUDY.page);
	await checkModules(base.driver, []);
	const { parseVary, runStudy } = await import("../sensitivity/study.ts");
	const vary = parseVary(flags.vary);
	const file = flags.results ?? DEFAULT_STUDY.results;
	const workers = parseWorkers(flags.workers);
	const { options, summary } = await runStudy(sizes, vary, file, (jobs, onResult) =>
		runMany("sensitivity", jobs, workers, onResult),
	);
	const { renderStudy, studyCommand, studyMarkdown } = await import("../sensitivity/report.ts");
	if (page !== null) writePage(page, studyMarkdown(options, summary, studyCommand(options, flags.vary)));
	print(flags.json === true ? JSON.stringify({ options, summary }, null, "\t") : renderStudy(options, summary));
	process.stderr.write(`every run is in ${file}\n`);
}

export function addSensitivity(root: Command): void {
	machineOptions(root.command("sensitivity"))
		.summary("how firmly the conclusions stand if costs of the model are wrong")
		.description(
			"Varies every cost of the model over the range its source leaves open: one at a time, at both ends, and all at once, " +
				"at the points of a Latin hypercube. Each point is four runs, all-cpus and round-robin with own ciphers and with ossl. " +
				"Shows how the ratio of throughputs and the useful shares move, which costs matter, and in what share of the space " +
				"the conclusions hold. Every run is written to a file as it ends; the same command goes on where it was stopped.",
		)
		.option("--points <n>", `points of the hypercube; 0 for none (default: ${DEFAULT_STUDY.points})`)
		.option("--seeds <n>", `seeds at each end of each range (default: ${DEFAULT_STUDY.seeds})`)
		.option(
			"--base-seeds <n>",
			`seeds with the usual costs, to tell chance from cause (default: ${DEFAULT_STUDY.base_seeds})`,
		)
		.option("--checks <n>", `points that are also run for 20ms after 10ms (default: ${DEFAULT_STUDY.checks})`)
		.option("--vary <list>", "only these costs (default: all that a run charges while data flows)")
		.option("--cpus <n>", "number of CPUs, 1 to 256 (default: the machine's)")
		.option("--seed <n>", "first seed, and that of the sampling (default: 1)")
		.option("--results <file>", `file of results, JSON lines (default: ${DEFAULT_STUDY.results})`)
		.option("--write [file]", `write the outcome as Markdown (default file: ${DEFAULT_STUDY.page})`)
		.addHelpText(
			"after",
			`
The default study is some thousands of runs of 5ms after 5ms of warm-up: about half an hour on two cores.
--cost-only is implied.

Examples:
  $ ifwg sensitivity --write
  $ ifwg sensitivity --points 0 --vary context_switch,line_transfer,ipi_latency
  $ ifwg sensitivity --machine vm --points 100 --seeds 1 --results vm.jsonl
  $ ifwg sensitivity --json | jq .summary.hypercube.conclusions`,
		)
		.action(sensitivityAction);
}
