/** `ifwg validate`: every published figure beside ours. */
import type { Command } from "commander";
import { parseSeeds } from "../options.ts";
import type { Progress } from "../progress.ts";
import { checkPage, parseWorkers, print, runMany, writePage } from "./common.ts";

const PAGE = "docs/validation.md";

interface Flags {
	readonly seeds?: string;
	readonly seed?: string;
	readonly workers?: string;
	readonly json?: boolean;
	readonly write?: string | boolean;
}

async function validateAction(flags: Flags): Promise<void> {
	const seeds = parseSeeds(flags.seeds, flags.seed);
	const workers = parseWorkers(flags.workers);
	const page = checkPage(flags.write, PAGE);
	const { allChecks, renderValidation, validate, validationMarkdown } = await import("../validation/page.ts");
	const { startProgress } = await import("../progress.ts");
	let judging: Progress | null = null;
	const sections = await validate(
		allChecks(seeds),
		async (jobs) => {
			const timed = await runMany("validate", jobs, workers);
			judging = startProgress("validate", process.stderr, "parts");
			return timed.map(({ result }) => result);
		},
		(done, total) => judging?.update(done, total),
	);
	const command = `npx ifwg validate --seed ${seeds[0]} --seeds ${seeds.length} --write`;
	if (page !== null) writePage(page, validationMarkdown(sections, command));
	if (flags.json !== true) {
		print(renderValidation(sections));
		return;
	}
	const { published } = await import("../published.ts");
	const rows = sections.flatMap(({ title, rows }) =>
		rows.map((row) => ({ section: title, ...published[row.name], ...row })),
	);
	print(JSON.stringify(rows, null, "\t"));
}

export function addValidate(root: Command): void {
	root
		.command("validate")
		.summary("every published figure beside ours")
		.description(
			"Makes the work of every published measurement of this driver, as far as the simulator can, and sets ours beside it: agree, " +
				"disagree, or cannot be compared, and why.",
		)
		.option("--seeds <n>", "how many seeds (default: 5)")
		.option("--seed <n>", "first seed; without --seeds only this one (default: 1)")
		.option("--workers <n>", "worker threads (default: all cores of this computer)")
		.option("--json", "print JSON")
		.option("--write [file]", `write the page (default file: ${PAGE})`)
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg validate
  $ ifwg validate --seeds 2 --json | jq '.[] | select(.verdict == "disagree")'
  $ ifwg validate --write`,
		)
		.action(validateAction);
}
