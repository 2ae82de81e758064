/** `ifwg list`: what can be chosen, and every constant with its source. */
import type { Command } from "commander";
import { print } from "./common.ts";

async function listAction(name: string | undefined, flags: { json?: boolean; driver?: string }): Promise<void> {
	const { LISTS, listData, listEverything, listText, parseListName } = await import("../list.ts");
	const wanted = name === undefined ? undefined : parseListName(name);
	const { loadDriver } = await import("../driver.ts");
	const driver = await loadDriver(flags.driver ?? null);
	if (flags.json === true) {
		const data =
			wanted === undefined
				? Object.fromEntries(LISTS.map((list) => [list, listData(list, driver)]))
				: listData(wanted, driver);
		print(JSON.stringify(data, null, "\t"));
	} else {
		print((wanted === undefined ? listEverything(driver) : listText(wanted, driver)).join("\n"));
	}
}

export function addList(root: Command): void {
	root
		.command("list")
		.summary("what can be chosen, and every constant with its source")
		.description(
			"Shows what can be chosen: machines, generations, policies, crypto, epair, releases; probes, for ifwg trace; and costs, the model's constants.",
		)
		.argument("[what]", "one of them; without it, all but probes and costs")
		.option("--driver <dir>", "list this driver's policies")
		.option("--json", "print JSON")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg list
  $ ifwg list machines
  $ ifwg list probes
  $ ifwg list costs --json`,
		)
		.action(listAction);
}
