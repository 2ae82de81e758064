/** `ifwg scan`: from 2 to 64 CPUs, as a table. */
import type { Command } from "commander";
import { CRYPTOS, parseList, parseRunOptions, parseSeeds } from "../options.ts";
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

async function scanAction(flags: CommonFlags & { write?: string | boolean }): Promise<void> {
	const { planScan, renderScan, SCAN_CPUS, scanMarkdown, summariseScan } = await import("../scan.ts");
	const cpus =
		flags.cpus === undefined
			? SCAN_CPUS
			: parseList("--cpus", flags.cpus, []).map((text) => parseRunOptions({ cpus: text }).cpus);
	const { cpus: _list, policy: _policy, ...rest } = flags;
	const base = parseRunOptions(rest);
	const seeds = parseSeeds(flags.seeds ?? (flags.seed === undefined ? "1" : undefined), flags.seed);
	const page = checkPage(flags.write, "docs/scan.md");
	await checkModules(base.driver, []);
	const options = { base, cpus, seeds };
	const rows = summariseScan(options, await runMany("scan", planScan(options), parseWorkers(flags.workers)));
	if (page !== null) writePage(page, scanMarkdown(options, rows));
	print(flags.json === true ? JSON.stringify(rows, null, "\t") : renderScan(rows));
}

export function addScan(root: Command): void {
	machineOptions(root.command("scan"))
		.summary("from 2 to 64 CPUs, as a table")
		.description("Makes the same run on 2, 4, 8, 16, 32 and 64 CPUs under all-cpus and round-robin, as a table.")
		.option("--cpus <list>", "numbers of CPUs (default: 2,4,8,16,32,64)")
		.option("--crypto <name>", `one of ${CRYPTOS.join(", ")} (default: own, or that of --generation)`)
		.option("--seed <n>", "first seed (default: 1)")
		.option("--seeds <n>", "how many seeds to average (default: 1)")
		.option("--write [file]", "write the table as Markdown (default file: docs/scan.md)")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg scan
  $ ifwg scan --cpus 4,8 --crypto ossl --seeds 3
  $ ifwg scan --write`,
		)
		.action(scanAction);
}
