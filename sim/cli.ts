/**
 * The `ifwg` command. What a command needs is imported when it runs, so that help is there at once.
 */
import { Command, CommanderError } from "commander";
import { addAxes } from "./command/axes.ts";
import { addBlake2 } from "./command/blake2.ts";
import { addCompare } from "./command/compare.ts";
import { addList } from "./command/list.ts";
import { addPacket } from "./command/packet.ts";
import { addRun } from "./command/run.ts";
import { addScan } from "./command/scan.ts";
import { addSensitivity } from "./command/sensitivity.ts";
import { addStacks } from "./command/stacks.ts";
import { addTrace } from "./command/trace.ts";
import { addValidate } from "./command/validate.ts";
import { EXIT_INTERNAL, EXIT_OK, EXIT_PANIC, EXIT_USAGE, formatPanic, PanicError, UsageError } from "./errors.ts";

const INTRODUCTION = [
	"A deterministic simulator of the FreeBSD kernel around if_wg, the WireGuard driver.",
	"",
	"Two jails on one simulated machine talk through a WireGuard tunnel over an epair. The driver spreads encryption over the " +
		"CPUs by a policy; ifwg shows what a policy costs and what it wins. Same options, same seed, same result, to the last event.",
].join("\n");

const EXAMPLES = `
Examples:
  $ ifwg compare                                   the driver before and after its change of policy
  $ ifwg compare --policy all-cpus,./mine.mjs      a policy of your own beside the old one
  $ ifwg run --policy all-cpus --cpus 16           one run, everything about it
  $ ifwg scan                                      from 2 to 64 CPUs
  $ ifwg trace 'sched:::ipi { count() by from }'   any probe of the kernel, asked in dtrace(1)'s language
  $ ifwg packet 100                                one packet's life, and where its time went
  $ ifwg stacks                                    what the CPU time of a packet goes to, by function
  $ ifwg sensitivity                               how firmly the outcome stands if a cost is wrong
  $ ifwg validate                                  every published figure beside ours
  $ ifwg axes power                                a virtual machine's wakeups, exits and energy
  $ ifwg blake2                                    why BLAKE2s is better had from a library
  $ ifwg list costs                                every constant of the model, with its source

ifwg COMMAND --help explains each command. Exit codes: 0 done, 2 bad option or file, 3 the simulated kernel panicked.`;

function program(): Command {
	const root = new Command("ifwg")
		.description(INTRODUCTION)
		.usage("COMMAND [options]")
		.helpCommand(false)
		.showSuggestionAfterError(true)
		.exitOverride()
		.configureOutput({ writeErr: () => {} })
		.addHelpText("after", EXAMPLES);

	for (const add of [
		addCompare,
		addRun,
		addScan,
		addSensitivity,
		addValidate,
		addAxes,
		addTrace,
		addPacket,
		addStacks,
		addBlake2,
		addList,
	])
		add(root);
	for (const command of root.commands) command.exitOverride().configureOutput({ writeErr: () => {} });
	return root;
}

/** What is said of an error, and the exit code. */
function explain(error: unknown): number {
	const say = (text: string): void => {
		process.stderr.write(`${text}\n`);
	};
	if (error instanceof CommanderError) {
		if (error.exitCode === 0) return EXIT_OK;
		say(`ifwg: ${error.message.replace(/^error: /, "").replaceAll("\n", " ")}`);
		return EXIT_USAGE;
	}
	if (error instanceof UsageError) {
		say(`ifwg: ${error.message}`);
		return EXIT_USAGE;
	}
	if (error instanceof PanicError) {
		say(formatPanic(error.report));
		return EXIT_PANIC;
	}
	const known = error instanceof Error ? error : new Error(String(error));
	if (process.env.IFWG_DEBUG === "1") say(known.stack ?? known.message);
	else say(`ifwg: internal error: ${known.message.split("\n")[0]} (IFWG_DEBUG=1 shows where)`);
	return EXIT_INTERNAL;
}

/** Runs the command line `argv` (without node and script). @returns the exit code */
export async function main(argv: string[]): Promise<number> {
	// a reader that has seen enough (head, less) is no error
	process.stdout.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code === "EPIPE") process.exit(EXIT_OK);
		throw error;
	});
	try {
		await program().parseAsync(argv.length === 0 ? ["--help"] : argv, { from: "user" });
		return EXIT_OK;
	} catch (error) {
		return explain(error);
	}
}
