/** `ifwg blake2`: why BLAKE2s is better had from a library. */
import type { Command } from "commander";
import { stdoutColors } from "../report/colors.ts";
import { print } from "./common.ts";

async function blake2Action(flags: { json?: boolean }): Promise<void> {
	const { renderBlake2, tellBlake2 } = await import("../blake2.ts");
	const story = tellBlake2();
	print(flags.json === true ? JSON.stringify(story, null, "\t") : renderBlake2(story, stdoutColors()));
}

export function addBlake2(root: Command): void {
	root
		.command("blake2")
		.summary("BLAKE2s by crypto(9), by crypto(9) altered, and by a library, side by side")
		.description(
			"Shows why the driver does not get BLAKE2s from crypto(9): digests made behind its interface as it is, behind that " +
				"interface altered to pass the digest's length down, and by a library API, beside those of RFC 7693.",
		)
		.option("--json", "print JSON")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg blake2
  $ ifwg blake2 --json`,
		)
		.action(blake2Action);
}
