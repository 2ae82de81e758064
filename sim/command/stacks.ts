/** `ifwg stacks`: where CPU time goes, by function, under several policies. */
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { CRYPTOS, DEFAULT_POLICIES, parseList, parseRunOptions } from "../options.ts";
import { parseInteger } from "../units.ts";
import { type CommonFlags, checkModules, machineOptions, parseWorkers, print, withProgress } from "./common.ts";

const DEFAULT_TOP = 25;
const TOP_MAX = 10_000;

interface StacksFlags extends CommonFlags {
	readonly out?: string;
	readonly force?: boolean;
	readonly maxSize?: string;
	readonly perPacket?: boolean;
	readonly top?: string;
}

async function stacksAction(flags: StacksFlags): Promise<void> {
	const policies = parseList("--policy", flags.policy, DEFAULT_POLICIES);
	const jobs = policies.map((policy) => parseRunOptions({ ...flags, policy }));
	const workers = parseWorkers(flags.workers);
	const top = flags.top === undefined ? DEFAULT_TOP : parseInteger("--top", flags.top, 1, TOP_MAX);
	if (flags.out === undefined && (flags.force || flags.perPacket || flags.maxSize !== undefined)) {
		throw new UsageError("--force, --max-size, --per-packet: say nothing without --out DIR");
	}
	await checkModules(jobs[0].driver, policies);
	const { parseSize, prepareDirectory } = await import("../export/plan.ts");
	const { planStackFiles, renderStacks, stacksJson, writeStackFiles } = await import("../profile/compare.ts");
	const max_bytes = flags.maxSize === undefined ? Number.POSITIVE_INFINITY : parseSize("--max-size", flags.maxSize);
	if (flags.out !== undefined) prepareDirectory(flags.out);
	const files =
		flags.out === undefined ? [] : planStackFiles(flags.out, policies, flags.perPacket === true, flags.force === true);
	const { compiledWorker, doAll } = await import("../pool.ts");
	const { profile } = await import("../profile/worker.ts");
	const work = { here: profile, file: compiledWorker(new URL("../profile/worker.js", import.meta.url)) };
	const profiles = await withProgress("stacks", (onDone) => doAll(jobs, work, { workers, onDone }));
	writeStackFiles(files, profiles, max_bytes);
	for (const { name } of files) process.stderr.write(`wrote ${name}\n`);
	print(flags.json === true ? stacksJson(profiles) : renderStacks(profiles, top).join("\n"));
}

export function addStacks(root: Command): void {
	machineOptions(root.command("stacks"))
		.summary("where CPU time goes, by function and cost, under several policies; flame graphs of the difference")
		.description(
			"Profiles the measured time of a run under each policy: every ns of CPU time, by the functions that were running and what " +
				"they paid for. It shows what the CPU time of a packet goes to, and writes collapsed stacks for flamegraph.pl, " +
				"with the difference of each further policy to the first, if there is a place to put them.",
		)
		.option("--policy <list>", `policies, the first being the base (default: ${DEFAULT_POLICIES.join(",")})`)
		.option("--crypto <name>", `one of ${CRYPTOS.join(", ")} (default: own, or that of --generation)`)
		.option("--cpus <n>", "number of CPUs, 1 to 256 (default: the machine's)")
		.option("--seed <n>", "decimal or 0x hexadecimal (default: 1)")
		.option("--top <n>", `rows to show (default: ${DEFAULT_TOP})`)
		.option("--out <dir>", "write POLICY.folded for each, and FIRST-POLICY.diff.folded, into this directory")
		.option("--per-packet", "in files: ps for each packet that came out of a tunnel, in place of ns altogether")
		.option("--force", "replace files that are there already")
		.option("--max-size <size>", "all files together, such as 5M; if they need more, none is left")
		.addHelpText(
			"after",
			`
The table and the files put all CPUs together, and threads of which there is one on each CPU. Time in them adds up to the busy
time of all CPUs, to the ns. Threads spin, switch and are interrupted: that is in them, too.

Examples:
  $ ifwg stacks --duration 5ms                         what a packet costs before and after the change of policy
  $ ifwg stacks --policy round-robin --crypto ossl     one policy
  $ ifwg stacks --out stacks --per-packet              files for flame graphs; then
  $ flamegraph.pl --countname ps stacks/all-cpus-round-robin.diff.folded > diff.svg`,
		)
		.action(stacksAction);
}
