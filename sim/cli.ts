/**
 * The `ifwg` command. What a command needs is imported when it runs, so that help is there at once.
 */
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Command, CommanderError } from "commander";
import { EXIT_INTERNAL, EXIT_OK, EXIT_PANIC, EXIT_USAGE, formatPanic, PanicError, UsageError } from "./errors.ts";
import type { ExportPlan, RawExportOptions } from "./export/plan.ts";
import {
	CRYPTOS,
	type Crypto,
	DEFAULT_CRYPTOS,
	DEFAULT_GENERATION,
	DEFAULT_MACHINE,
	DEFAULT_POLICIES,
	GENERATIONS,
	parseList,
	parseRunOptions,
	parseSeeds,
	type RawRunOptions,
	type RunOptions,
} from "./options.ts";
import { stdoutColors } from "./report/colors.ts";
import type { Timed } from "./result.ts";
import { parseInteger } from "./units.ts";

interface CommonFlags extends RawRunOptions {
	readonly seeds?: string;
	readonly workers?: string;
	readonly json?: boolean;
}

const WORKERS_MAX = 256;

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
  $ ifwg blake2                                    why BLAKE2s is better had from a library
  $ ifwg list costs                                every constant of the model, with its source

ifwg COMMAND --help explains each command. Exit codes: 0 done, 2 bad option or file, 3 the simulated kernel panicked.`;

function print(text: string): void {
	process.stdout.write(`${text}\n`);
}

/** Writes a file whole or not at all. */
function writeWhole(file: string, text: string): void {
	const part = `${file}.${process.pid}.tmp`;
	try {
		writeFileSync(part, text);
		renameSync(part, file);
	} catch (error) {
		rmSync(part, { force: true });
		throw new UsageError(`cannot write ${file}: ${(error as Error).message.split("\n")[0]}`);
	}
}

/** The options every simulating command has. */
function machineOptions(command: Command): Command {
	return command
		.option("--machine <name>", `machine profile: ifwg list machines (default: ${DEFAULT_MACHINE})`)
		.option("--release <release>", "FreeBSD release: 13.0 or 14.0 (default: 13.0)")
		.option("--generation <name>", `driver: ${GENERATIONS.join(", ")} (default: ${DEFAULT_GENERATION})`)
		.option("--epair <kind>", "netisr (2021) or taskqueue (2022 on) (default: the release's)")
		.option("--streams <n>", "parallel iperf3 streams (default: 1)")
		.option("--udp", "UDP instead of TCP")
		.option("--reverse", "the server sends")
		.option("--bandwidth <rate>", "rate of each stream, such as 500M; 0 for no limit (default: 0, with --udp 1G)")
		.option("--length <bytes>", "payload of each datagram (default: what fits the tunnel)")
		.option("--mtu <bytes>", "MTU of the tunnel (default: 1420)")
		.option("--duration <time>", "measured time, such as 20ms or 1s (default: 20ms)")
		.option("--warmup <time>", "traffic before that, not measured (default: 10ms)")
		.option("--cost-only", "charge for the ciphers but do not compute them: faster, and the identical schedule")
		.option("--driver <dir>", "another driver with the same entry points, compiled")
		.option("--json", "print JSON")
		.option("--workers <n>", "worker threads (default: all cores of this computer)");
}

function parseWorkers(text: string | undefined): number | undefined {
	return text === undefined ? undefined : parseInteger("--workers", text, 1, WORKERS_MAX);
}

/** Fails early, before workers start, if a policy or the driver cannot be loaded. */
async function checkModules(driver: string | null, policies: readonly string[]): Promise<void> {
	const { loadDriver, loadPolicy } = await import("./driver.ts");
	const loaded = await loadDriver(driver);
	for (const policy of policies) await loadPolicy(loaded, policy);
}

async function runMany(what: string, jobs: readonly RunOptions[], workers: number | undefined) {
	const { runAll } = await import("./pool.ts");
	const { startProgress } = await import("./progress.ts");
	const progress = startProgress(what);
	try {
		return await runAll(jobs, { workers, onDone: progress.update });
	} finally {
		progress.finish();
	}
}

async function compareAction(flags: CommonFlags & { atom: boolean }): Promise<void> {
	const policies = parseList("--policy", flags.policy, DEFAULT_POLICIES);
	const cryptos = parseList("--crypto", flags.crypto, DEFAULT_CRYPTOS);
	const base = parseRunOptions({ ...flags, policy: policies[0], crypto: cryptos[0] });
	for (const crypto of cryptos) parseRunOptions({ crypto });
	const seeds = parseSeeds(flags.seeds, flags.seed);
	const workers = parseWorkers(flags.workers);
	await checkModules(base.driver, policies);
	const { planComparison, summariseComparison } = await import("./compare.ts");
	// the published scaling of Atom cores stands beside the scenario it is usually read with, not beside any other
	const usual = base.machine === DEFAULT_MACHINE && base.cpus === 8 && base.streams === 1 && !base.udp;
	const options = { base, policies, cryptos: cryptos as Crypto[], seeds, atom: flags.atom && usual };
	const jobs = planComparison(options);
	const began = performance.now();
	const comparison = summariseComparison(options, await runMany("compare", jobs, workers));
	if (flags.json === true) {
		const runs = comparison.cells.flatMap((cell) => cell.runs);
		print(JSON.stringify({ runs, atom_runs: comparison.atom, summary: comparison.summary }, null, "\t"));
		return;
	}
	const { renderComparison } = await import("./report/text.ts");
	print(renderComparison(comparison, stdoutColors()));
	process.stderr.write(`${jobs.length} runs in ${((performance.now() - began) / 1000).toFixed(1)} s\n`);
}

/** A run that writes files, and says which. */
async function runExporting(options: RunOptions, plan: ExportPlan): Promise<Timed> {
	const { exportRun } = await import("./export/run.ts");
	const { outputFile } = await import("./export/plan.ts");
	const timed = await exportRun(options, plan);
	for (const format of plan.formats) process.stderr.write(`wrote ${outputFile(plan, format)}\n`);
	return timed;
}

async function runAction(flags: CommonFlags & RawExportOptions): Promise<void> {
	const options = parseRunOptions(flags);
	await checkModules(options.driver, [options.policy]);
	const { planExports } = await import("./export/plan.ts");
	const plan = planExports(flags, options);
	const { result, host_seconds } =
		plan === null ? (await runMany("run", [options], 1))[0] : await runExporting(options, plan);
	if (flags.json === true) {
		print(JSON.stringify(result, null, "\t"));
		return;
	}
	const { renderRun } = await import("./report/text.ts");
	print(renderRun(options, result, stdoutColors()));
	process.stderr.write(`${host_seconds.toFixed(1)} s\n`);
}

async function scanAction(flags: CommonFlags & { write?: string | boolean }): Promise<void> {
	const { planScan, renderScan, SCAN_CPUS, scanMarkdown, summariseScan } = await import("./scan.ts");
	const cpus =
		flags.cpus === undefined
			? SCAN_CPUS
			: parseList("--cpus", flags.cpus, []).map((text) => parseRunOptions({ cpus: text }).cpus);
	const { cpus: _list, policy: _policy, ...rest } = flags;
	const base = parseRunOptions(rest);
	const seeds = parseSeeds(flags.seeds ?? (flags.seed === undefined ? "1" : undefined), flags.seed);
	const file = flags.write === true ? "docs/scan.md" : flags.write;
	if (typeof file === "string" && !existsSync(path.dirname(file))) {
		throw new UsageError(`--write ${file}: there is no directory ${path.dirname(file)}`);
	}
	await checkModules(base.driver, []);
	const options = { base, cpus, seeds };
	const rows = summariseScan(options, await runMany("scan", planScan(options), parseWorkers(flags.workers)));
	if (typeof file === "string") {
		writeWhole(file, scanMarkdown(options, rows));
		process.stderr.write(`wrote ${file}\n`);
	}
	print(flags.json === true ? JSON.stringify(rows, null, "\t") : renderScan(rows));
}

async function listAction(name: string | undefined, flags: { json?: boolean; driver?: string }): Promise<void> {
	const { LISTS, listData, listEverything, listText, parseListName } = await import("./list.ts");
	const wanted = name === undefined ? undefined : parseListName(name);
	const { loadDriver } = await import("./driver.ts");
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

async function blake2Action(flags: { json?: boolean }): Promise<void> {
	const { renderBlake2, tellBlake2 } = await import("./blake2.ts");
	const story = tellBlake2();
	print(flags.json === true ? JSON.stringify(story, null, "\t") : renderBlake2(story, stdoutColors()));
}

function program(): Command {
	const root = new Command("ifwg")
		.description(INTRODUCTION)
		.usage("COMMAND [options]")
		.helpCommand(false)
		.showSuggestionAfterError(true)
		.exitOverride()
		.configureOutput({ writeErr: () => {} })
		.addHelpText("after", EXAMPLES);

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

	machineOptions(root.command("run"))
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
		.option("--export <list>", "which of them: pcapng, ktr, perfetto, stacks (default: all)")
		.option("--force", "replace files that are there already")
		.option("--max-size <size>", "all files together, such as 500M or 2G; a run that needs more leaves none")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg run --policy all-cpus --seed 0x2a
  $ ifwg run --duration 5ms --out trace --export pcapng     packets and keys for Wireshark
  $ ifwg run --generation main
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

	root
		.command("list")
		.summary("what can be chosen, and every constant with its source")
		.description(
			"Shows what can be chosen: machines, generations, policies, crypto, epair, releases; and costs, the model's constants.",
		)
		.argument("[what]", "one of them; without it, all but the costs")
		.option("--driver <dir>", "list this driver's policies")
		.option("--json", "print JSON")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg list
  $ ifwg list machines
  $ ifwg list costs --json`,
		)
		.action(listAction);

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
