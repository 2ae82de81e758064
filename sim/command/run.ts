/** `ifwg run`: one run, everything about it, and files for the tools that show it. */
import type { Command } from "commander";
import type { ExportPlan, RawExportOptions } from "../export/plan.ts";
import { CRYPTOS, parseRunOptions, type RunOptions } from "../options.ts";
import { stdoutColors } from "../report/colors.ts";
import type { Timed } from "../result.ts";
import { type CommonFlags, checkModules, hostsOption, machineOptions, oneHost, print, runMany } from "./common.ts";

/** A run that writes files, and says which. */
async function runExporting(options: RunOptions, plan: ExportPlan): Promise<Timed> {
	const { exportRun } = await import("../export/run.ts");
	const { outputFile } = await import("../export/plan.ts");
	const timed = await exportRun(options, plan);
	for (const format of plan.formats) process.stderr.write(`wrote ${outputFile(plan, format)}\n`);
	return timed;
}

async function runAction(flags: CommonFlags & RawExportOptions): Promise<void> {
	const options = parseRunOptions(flags);
	await checkModules(options.driver, [options.policy]);
	const { planExports } = await import("../export/plan.ts");
	if (flags.out !== undefined) oneHost(options, "--out");
	const plan = planExports(flags, options);
	const { result, host_seconds } =
		plan === null ? (await runMany("run", [options], 1))[0] : await runExporting(options, plan);
	if (flags.json === true) {
		print(JSON.stringify(result, null, "\t"));
		return;
	}
	const { renderRun } = await import("../report/text.ts");
	print(renderRun(options, result, stdoutColors()));
	process.stderr.write(`${host_seconds.toFixed(1)} s\n`);
}

export function addRun(root: Command): void {
	hostsOption(machineOptions(root.command("run")))
		.summary("one run, everything about it")
		.description(
			"Makes one run and shows everything about it. Every run ends with its fingerprint and the line that repeats it.",
		)
		.option(
			"--policy <name>",
			"all-cpus, round-robin, linux-style, or a file ./name.mjs, .js or .ts (default: round-robin, or that of --generation)",
		)
		.option("--crypto <name>", `one of ${CRYPTOS.join(", ")} (default: own, or that of --generation)`)
		.option("--cpus <n>", "number of CPUs, 1 to 256 (default: the machine's)")
		.option("--seed <n>", "decimal or 0x hexadecimal (default: 1)")
		.option("--out <dir>", "write what happened to files in this directory, for the tools that show it")
		.option("--export <list>", "which of them: pcapng, ktr, perfetto, stacks, speedscope (default: all)")
		.option("--force", "replace files that are there already")
		.option("--max-size <size>", "all files together, such as 500M or 2G; a run that needs more leaves none")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg run --policy all-cpus --seed 0x2a
  $ ifwg run --duration 5ms --out trace --export pcapng     packets and keys for Wireshark
  $ ifwg run --generation main
  $ ifwg run --hosts 2                                      a tunnel between two machines
  $ ifwg run --cost context_switch=900,line_transfer=80     were a switch cheaper, and a cache line farther away
  $ ifwg run --udp --streams 8 --bandwidth 200M --length 500
  $ ifwg run --policy ./mine.mjs --duration 200ms --json

A policy file exports an object, or a function that is given the kernel's functions and returns one:
  export default ({ GROUPTASK_ENQUEUE, curcpu }) => ({
    name: "same-cpu", description: "wake the CPU we are on",
    *encrypt_dispatch(sc) { yield* GROUPTASK_ENQUEUE(sc.sc_encrypt[curcpu()]); },
    *decrypt_dispatch(sc) { yield* GROUPTASK_ENQUEUE(sc.sc_decrypt[curcpu()]); },
  });`,
		)
		.action(runAction);
}
