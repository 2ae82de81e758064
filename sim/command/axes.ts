/** `ifwg axes`: what else can be chosen, and what it changes. */
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { DEFAULT_MACHINE, parseRunOptions, parseSeeds, type RunOptions } from "../options.ts";
import type { RunResult } from "../result.ts";
import { quote } from "../units.ts";
import { parseWorkers, print, runMany, withProgress } from "./common.ts";

const AXES = ["ciphers", "handshakes", "cycles", "power", "flood"] as const;
type Axis = (typeof AXES)[number];

interface Flags {
	readonly machine?: string;
	readonly duration?: string;
	readonly seeds?: string;
	readonly seed?: string;
	readonly workers?: string;
	readonly json?: boolean;
}

interface Shown {
	readonly rows: unknown;
	readonly text: readonly string[];
}

function parseAxes(name: string | undefined): readonly Axis[] {
	if (name === undefined) return AXES;
	const found = AXES.find((axis) => axis === name);
	if (found === undefined) throw new UsageError(`axes: no ${quote(name)}; there is ${AXES.join(", ")}`);
	return [found];
}

async function axesAction(name: string | undefined, flags: Flags): Promise<void> {
	const axes = parseAxes(name);
	const seeds = parseSeeds(flags.seeds ?? (flags.seed === undefined ? "2" : undefined), flags.seed);
	const workers = parseWorkers(flags.workers);
	const { machine } = parseRunOptions({ machine: flags.machine ?? DEFAULT_MACHINE, duration: flags.duration });
	const run = async (what: string, jobs: readonly RunOptions[]): Promise<RunResult[]> =>
		(await runMany(what, jobs, workers)).map((timed) => timed.result);

	const show: Record<Axis, () => Promise<Shown>> = {
		ciphers: async () => {
			const { cipherBase, planCiphers, renderCiphers, summariseCiphers } = await import("../axes/ciphers.ts");
			const base = cipherBase(machine, flags.duration);
			const rows = summariseCiphers(await run("ciphers", planCiphers(base, seeds)));
			return { rows, text: renderCiphers(base, rows) };
		},
		handshakes: async () => {
			const { measureHandshakes, renderHandshakes } = await import("../axes/handshakes.ts");
			const rows = measureHandshakes(machine);
			return { rows, text: renderHandshakes(machine, rows) };
		},
		cycles: async () => {
			const { measureCycles, renderCycles } = await import("../axes/cycles.ts");
			const rows = measureCycles(machine);
			return { rows, text: renderCycles(machine, rows) };
		},
		power: async () => {
			const { planPower, renderPower, summarisePower } = await import("../axes/power.ts");
			const jobs = planPower(seeds, flags.duration);
			const rows = summarisePower(await run("power", jobs));
			return { rows, text: renderPower(jobs[0], rows) };
		},
		flood: async () => {
			const { default: attemptFlood, planFlood, renderFlood } = await import("../axes/flood.ts");
			const { compiledWorker, doAll } = await import("../pool.ts");
			const jobs = planFlood(machine, seeds, flags.duration);
			const work = { here: attemptFlood, file: compiledWorker(new URL("../axes/flood.js", import.meta.url)) };
			const rows = await withProgress("flood", (onDone) => doAll(jobs, work, { workers, onDone }));
			return { rows, text: renderFlood(jobs[0].options, rows) };
		},
	};
	const shown: [Axis, Shown][] = [];
	for (const axis of axes) shown.push([axis, await show[axis]()]);
	if (flags.json === true) {
		print(JSON.stringify(Object.fromEntries(shown.map(([axis, { rows }]) => [axis, rows])), null, "\t"));
	} else {
		print(shown.map(([, { text }]) => text.join("\n")).join("\n\n"));
	}
}

export function addAxes(root: Command): void {
	root
		.command("axes")
		.summary("ciphers, BLAKE2s, cycles per byte, a virtual machine's power, a flood")
		.description(
			"What else can be chosen besides the policy, and what it changes: the ciphers under each policy and number of CPUs (ciphers), " +
				"BLAKE2s of the driver or of a library (handshakes), encryption alone (cycles), what a policy costs a virtual " +
				"machine at the same traffic (power), and what a flood of handshake initiations does to a stream (flood).",
		)
		.argument("[axis]", `one of ${AXES.join(", ")}; without it, all`)
		.option("--machine <name>", `machine profile; power is always of vm (default: ${DEFAULT_MACHINE})`)
		.option("--duration <time>", "measured time of each run (default: 20ms, flood 50ms)")
		.option("--seeds <n>", "how many seeds to average (default: 2)")
		.option("--seed <n>", "first seed; without --seeds only this one (default: 1)")
		.option("--workers <n>", "worker threads (default: all cores of this computer)")
		.option("--json", "print JSON")
		.addHelpText(
			"after",
			`
Examples:
  $ ifwg axes power                                what a FreeBSD guest costs its host
  $ ifwg axes ciphers --machine atom-c2758
  $ ifwg axes cycles --json
  $ ifwg axes flood --seeds 4                      why ten thousand initiations a second hurt more than fifty`,
		)
		.action(axesAction);
}
