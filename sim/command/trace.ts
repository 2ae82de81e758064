/** `ifwg trace`: questions to any probe of the kernel, in dtrace(1)'s language. */
import type { Command } from "commander";
import { CRYPTOS, DEFAULT_POLICY, parseList, parseRunOptions, parseSeeds } from "../options.ts";
import { type CommonFlags, checkModules, machineOptions, parseWorkers, print, withProgress } from "./common.ts";

interface TraceFlags extends CommonFlags {
	readonly script?: string;
	readonly whole?: boolean;
}

/** The program: from the command line, or from a file. */
async function programText(words: string | undefined, script: string | undefined): Promise<string> {
	const { UsageError } = await import("../errors.ts");
	if (script === undefined) {
		if (words === undefined) {
			throw new UsageError("trace: a program is missing, such as 'wg:::task-run { quantize(packets) by kind }'");
		}
		return words;
	}
	if (words !== undefined) throw new UsageError("trace: a program and --script: leave one of the two out");
	const { readFileSync } = await import("node:fs");
	try {
		return readFileSync(script, "utf8");
	} catch (error) {
		throw new UsageError(`--script ${script}: cannot be read: ${(error as Error).message.split("\n")[0]}`);
	}
}

async function traceAction(words: string | undefined, flags: TraceFlags): Promise<void> {
	const program = await programText(words, flags.script);
	const policies = parseList("--policy", flags.policy, [parseRunOptions({ ...flags, seed: undefined }).policy]);
	const base = parseRunOptions({ ...flags, policy: policies[0] });
	const seeds = flags.seeds === undefined ? [base.seed] : parseSeeds(flags.seeds, flags.seed);
	const workers = parseWorkers(flags.workers);
	await checkModules(base.driver, policies);
	const { checkProgram, planTrace, trace } = await import("../dtrace/trace.ts");
	await checkProgram(program, base.driver);
	const jobs = planTrace({ program, whole: flags.whole ?? false, policies, seeds, base });
	const { tables, complaints, results } = await withProgress("trace", (onDone) => trace(jobs, { workers, onDone }));
	const { printTables, tableData } = await import("../dtrace/print.ts");
	if (flags.json === true) {
		const runs = results.map(({ policy, seed, fingerprint, command }) => ({ policy, seed, fingerprint, command }));
		print(JSON.stringify({ program, runs, aggregations: tables.map(tableData), complaints }, null, "\t"));
	} else {
		print(printTables(tables).join("\n"));
	}
	for (const complaint of complaints) process.stderr.write(`trace: ${complaint}\n`);
}

export function addTrace(root: Command): void {
	machineOptions(root.command("trace"))
		.summary("counts and distributions of anything that happens, in dtrace(1)'s language")
		.description(
			"Asks any probe of the kernel, as dtrace(1) does: which probe, on what condition, and what to add up by what key. " +
				"Results are those of the measured time, and the run goes exactly as it goes when nobody looks.",
		)
		.argument("[program]", "probe, ... / condition / { action(value) by key, ...; }")
		.option("-s, --script <file>", "read the program from a file")
		.option("--policy <list>", `policies; of several, each gets rows of its own (default: ${DEFAULT_POLICY})`)
		.option("--crypto <name>", `one of ${CRYPTOS.join(", ")} (default: own, or that of --generation)`)
		.option("--cpus <n>", "number of CPUs, 1 to 256 (default: the machine's)")
		.option("--seed <n>", "first seed, decimal or 0x hexadecimal (default: 1)")
		.option("--seeds <n>", "how many seeds, their results added up (default: 1)")
		.option("--whole", "from boot to the end, not only the measured time")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg trace 'wg:::task-run { quantize(packets) by kind }' --policy all-cpus,round-robin
                                              how many packets a task finds, before and after
  $ ifwg trace 'sched:::ipi { count() by from, to }'
  $ ifwg trace 'lockstat:::spin, lockstat:::block { sum(ns) by lock->lo_name, probename }'
  $ ifwg trace 'netisr:::enqueue /m->m_pkthdr.len > 1000/ { count() by cpu, jailname }'
  $ ifwg trace 'sched:::enqueue { runnable[td->td_tid] = timestamp; }
      sched:::on-cpu /runnable[td->td_tid]/ { @[td->td_name] = quantize(timestamp - runnable[td->td_tid]);
      runnable[td->td_tid] = 0; }'            how long threads wait for a CPU, ns

The language, a small part of D:
  probes      provider:module:function:name; parts left out or empty mean any, * and ? match: sched:::, lockstat:::*, on-cpu
  conditions  /expression/: the clause counts only where it is not 0
  actions     count() sum(n) avg(n) min(n) max(n) stddev(n) quantize(n) lquantize(n, from, to, step)
  keys        action(n) by key, ...  or as in D  @name[key, ...] = action(n)
  values      the probe's arguments by name or as args[0], their fields (td->td_name), timestamp cpu curthread execname
              tid jailname probename policy seed, numbers, "texts", and C's operators
  variables   name = value, name[key] = value, and self->name = value, which each thread has its own of; all begin as 0

ifwg list probes shows the probes, their arguments, and which fields can be read.`,
		)
		.action(traceAction);
}
