/**
 * `npm run bench -- export`: what it costs to look. How much longer a run takes with each exporter, what probes cost when nobody
 * listens, and how much memory an exporting run needs as it gets longer. `npm run bench -- export quick` makes fewer and shorter runs.
 */
import {
	closeSync,
	cpSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	readSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Program } from "../sim/dtrace/program.ts";
import { FORMAT_NAMES, outputFile, planExports } from "../sim/export/plan.ts";
import { parseRunOptions, type RunOptions } from "../sim/options.ts";
import { type Bare, simulate } from "../sim/run.ts";
import { grouped } from "../sim/units.ts";
import type { Watcher } from "../sim/watcher.ts";
import { allProbes } from "../src/kernel/probe/probe.ts";
import { type Case, cpuTimed, interleaved, loadWarning, median, runCommand } from "./measure.ts";
import { say, section } from "./output.ts";

const TRACE = "wg:::task-run { quantize(packets) by kind }";
/** Every probe there is, counted by name: the most a program can hear. */
const TRACE_ALL = "::: { count() by probename }";

/** The standard scenario with real bytes, which packets need to be worth looking at. */
const standard = (quick: boolean): RunOptions =>
	parseRunOptions({ duration: quick ? "2ms" : "20ms", warmup: quick ? "1ms" : "5ms" });

/** A run with exports: seconds of CPU time, and bytes written. */
async function exporting(options: RunOptions, directory: string, formats: string): Promise<Record<string, number>> {
	const out = path.join(directory, "out");
	const plan = planExports({ out, export: formats, force: true }, options)!;
	const { seconds } = await cpuTimed(() => simulate(options, plan));
	const bytes = plan.formats.reduce((sum, format) => sum + statSync(outputFile(plan, format)).size, 0);
	rmSync(out, { recursive: true });
	return { seconds, bytes };
}

async function tracing(options: RunOptions, text: string): Promise<Record<string, number>> {
	let detach = (): void => {};
	const watcher: Watcher = {
		boot: (policy) => {
			detach = new Program(text, { policy: policy.name, seed: options.seed, one_of_many: false }).attach();
		},
		close: () => detach(),
	};
	return { seconds: (await cpuTimed(() => simulate(options, null, watcher))).seconds, bytes: 0 };
}

async function exporters(directory: string, quick: boolean): Promise<void> {
	const options = standard(quick);
	const cases: Case[] = [
		{ name: "none", once: async () => ({ seconds: (await cpuTimed(() => simulate(options))).seconds, bytes: 0 }) },
		...FORMAT_NAMES.map((name): Case => ({ name, once: () => exporting(options, directory, name) })),
		{ name: "all of them", once: () => exporting(options, directory, FORMAT_NAMES.join(",")) },
		{ name: "trace, one probe", once: () => tracing(options, TRACE) },
		{ name: "trace, every probe", once: () => tracing(options, TRACE_ALL) },
	];
	const medians = await interleaved(cases, quick ? 1 : 7);
	const none = medians.get("none")!.seconds;
	section("The standard scenario with exports, whole runs, real bytes, in turns in one process", [
		["", "CPU seconds", "ratio to none", "MB written"],
		...cases.map(({ name }) => {
			const { seconds, bytes } = medians.get(name)!;
			return [name, seconds.toFixed(2), (seconds / none).toFixed(2), (bytes / 1e6).toFixed(1)];
		}),
	]);
}

/** Where the compiled program is: this file is dist/bench/export.js. */
const compiled = fileURLToPath(new URL("..", import.meta.url));

function* scripts(directory: string): Generator<string> {
	for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
		if (entry.isFile() && entry.name.endsWith(".js")) yield path.join(entry.parentPath, entry.name);
	}
}

/** A copy of the compiled program in which no probe is looked at before it would fire. @returns how many places there were */
function stripProbes(directory: string): number {
	const files = [...scripts(path.join(directory, "src"))];
	const names = new Set<string>();
	for (const file of files) {
		for (const [, name] of readFileSync(file, "utf8").matchAll(/const (\w+) = SDT_PROBE_DEFINE\(/g)) names.add(name);
	}
	if (names.size < allProbes().size) throw new Error(`${names.size} of ${allProbes().size} probes found`);
	let places = 0;
	for (const file of files) {
		const text = readFileSync(file, "utf8");
		const stripped = text.replace(/\b(\w+)\.on (!==|===) null/g, (all, name: string, sign: string) => {
			if (!names.has(name)) return all;
			places++;
			return sign === "!==" ? "false" : "true";
		});
		if (stripped !== text) writeFileSync(file, stripped);
	}
	return places;
}

type Run = (options: RunOptions) => Promise<Bare>;

/** The program once more, under another address, so that the engine compiles and optimises it by itself. */
async function copyOf(
	directory: string,
	name: string,
	change: (copy: string) => number,
): Promise<{ run: Run; places: number }> {
	const copy = path.join(directory, name);
	mkdirSync(copy);
	for (const part of ["src", "sim"]) cpSync(path.join(compiled, part), path.join(copy, part), { recursive: true });
	writeFileSync(path.join(copy, "package.json"), '{"type":"module"}');
	symlinkSync(path.resolve(compiled, "../node_modules"), path.join(copy, "node_modules"));
	const places = change(copy);
	const { runBare } = (await import(pathToFileURL(path.join(copy, "sim/run.js")).href)) as { runBare: Run };
	return { run: runBare, places };
}

/**
 * Three copies of the program take turns: two as they are, whose difference is what this computer cannot tell apart, and one
 * without the tests of probes.
 */
async function silentProbes(directory: string, quick: boolean): Promise<void> {
	const as_is = await copyOf(directory, "as-is", () => 0);
	const again = await copyOf(directory, "again", () => 0);
	const without = await copyOf(directory, "without", stripProbes);
	const options = parseRunOptions({ crypto: "ossl", duration: quick ? "10ms" : "60ms", costOnly: true });
	const copies = [as_is, again, without];
	const rounds = quick ? 2 : 15;
	const ratios = { again: [] as number[], without: [] as number[] };
	for (let round = -2; round < rounds; round++) {
		const seconds: number[] = [];
		const events = new Set<number>();
		// who goes first changes, so that what grows with time meets all alike
		for (let i = 0; i < copies.length; i++) {
			const which = (i + round + copies.length) % copies.length;
			const run = await cpuTimed(() => copies[which].run(options));
			seconds[which] = run.seconds;
			events.add(run.value.events);
		}
		if (events.size !== 1) throw new Error("the copies did not make the same run");
		if (round < 0) continue;
		ratios.again.push(seconds[0] / seconds[1]);
		ratios.without.push(seconds[0] / seconds[2]);
	}
	const row = (name: string, all: readonly number[]): string[] => {
		const sorted = [...all].sort((a, b) => a - b);
		const at = (share: number): string =>
			`${((sorted[Math.round((sorted.length - 1) * share)] - 1) * 100).toFixed(1)} %`;
		return [name, `${((median(all) - 1) * 100).toFixed(1)} %`, at(0.25), at(0.75)];
	};
	section(
		`What ${without.places} tests of probes cost that nobody listens to (round-robin, ossl, cost only, ${rounds} rounds)`,
		[
			["slower than", "median", "lower quartile", "upper quartile"],
			row("a copy without them", ratios.without),
			row("an equal copy", ratios.again),
		],
	);
}

/** What a file of packets says at its end of how many it has. */
function packetsIn(file: string): number {
	const fd = openSync(file, "r");
	const tail = Buffer.alloc(4096);
	readSync(fd, tail, 0, tail.length, Math.max(0, statSync(file).size - tail.length));
	closeSync(fd);
	return Number(/end of the run: ([0-9]+) packets/.exec(tail.toString("latin1"))?.[1]);
}

function memory(directory: string, quick: boolean): void {
	const rows: string[][] = [
		["measured time", "peak, MB, none", "peak, MB, all exports", "packets in the file", "MB written"],
	];
	for (const duration of quick ? ["5ms", "20ms"] : ["25ms", "100ms", "400ms"]) {
		const out = path.join(directory, "long");
		const argv = ["run", "--crypto", "ossl", "--duration", duration];
		const bare = runCommand(argv);
		const exported = runCommand([...argv, "--out", out]);
		const files = readdirSync(out).map((name) => path.join(out, name));
		const packets = packetsIn(path.join(out, "packets.pcapng"));
		const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
		rows.push([
			duration,
			bare.peak_mb.toFixed(0),
			exported.peak_mb.toFixed(0),
			grouped(packets),
			(bytes / 1e6).toFixed(0),
		]);
		rmSync(out, { recursive: true });
	}
	section("Memory of the command while it exports everything", rows);
}

export async function exportCosts(quick: boolean): Promise<void> {
	const directory = mkdtempSync(path.join(tmpdir(), "ifwg-bench-"));
	try {
		say(loadWarning());
		await exporters(directory, quick);
		await silentProbes(directory, quick);
		memory(directory, quick);
		process.stdout.write(loadWarning());
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
}
