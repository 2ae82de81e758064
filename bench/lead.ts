/**
 * `npm run bench -- lead`: what it gives and what it costs to let threads act ahead of the clock (`--lead`). How many segments are
 * carried per second of host time, and how far the results differ from those of a machine on which every access is in order.
 */
import { summarise } from "../sim/ministat.ts";
import { parseRunOptions, parseSeeds } from "../sim/options.ts";
import { runAll } from "../sim/pool.ts";
import type { RunResult } from "../sim/result.ts";
import { runBare } from "../sim/run.ts";
import { grouped } from "../sim/units.ts";
import { type Case, interleaved, loadWarning } from "./measure.ts";
import { section } from "./output.ts";

/** null is the usual one */
const LEADS = ["0ns", "100ns", "200ns", null, "400ns", "600ns"] as const;
const POLICIES = ["all-cpus", "round-robin"] as const;

const named = (lead: string | null): string => lead ?? "usual";

/** Acquisitions of locks called `names`, or of all, that had to wait, per cent. */
function contested(run: RunResult, names: readonly string[] | null): number {
	const locks = run.locks.filter(({ name }) => names?.includes(name) ?? true);
	const sum = (field: "contested" | "acquisitions"): number => locks.reduce((total, lock) => total + lock[field], 0);
	return (100 * sum("contested")) / Math.max(1, sum("acquisitions"));
}

const RESULTS: readonly [string, number, (run: RunResult) => number][] = [
	["useful tasks, %", 1, (run) => 100 * run.useful_task_share],
	["Gb/s", 2, (run) => run.throughput_bps / 1e9],
	["switches per useful task", 2, (run) => run.context_switches / run.tasks_useful],
	["spinning, % of busy", 2, (run) => (100 * run.cpu_spin_ns) / run.cpu_busy_ns],
	["locks contested, %", 2, (run) => contested(run, null)],
	["so_rcv contested, %", 2, (run) => contested(run, ["so_rcv"])],
	["so_snd contested, %", 2, (run) => contested(run, ["so_snd"])],
	["wg_tqg contested, %", 2, (run) => contested(run, ["wg_tqg taskqueue"])],
	["encp, decp contested, %", 2, (run) => contested(run, ["encp", "decp"])],
];

/** Mean and standard error. */
function estimate(values: readonly number[], digits: number): string {
	const { n, avg, stddev } = summarise(values);
	return `${avg.toFixed(digits)} +/- ${(stddev / Math.sqrt(n)).toFixed(digits)}`;
}

export async function benchLead(quick: boolean): Promise<void> {
	process.stdout.write(loadWarning());
	const seeds = parseSeeds(quick ? "2" : "10", "1");
	for (const policy of POLICIES) {
		const options = (lead: string | null) =>
			parseRunOptions({ policy, crypto: "ossl", costOnly: true, ...(lead === null ? {} : { lead }) });
		const results = await runAll(LEADS.flatMap((lead) => seeds.map((seed) => ({ ...options(lead), seed }))));
		const cases: Case[] = LEADS.map((lead) => ({
			name: named(lead),
			once: async () => {
				const bare = await runBare({ ...options(lead), duration_ns: quick ? 20_000_000 : 150_000_000 });
				return { segments: bare.data_segments / bare.host_seconds, events: bare.events / bare.data_segments };
			},
		}));
		const medians = await interleaved(cases, quick ? 1 : 5);
		section(`${policy}, 8 CPUs, ossl, cost only; means of ${seeds.length} seeds with their standard errors`, [
			["lead", ...LEADS.map(named)],
			["segments/s of host time", ...LEADS.map((lead) => grouped(medians.get(named(lead))!.segments))],
			["events per segment", ...LEADS.map((lead) => medians.get(named(lead))!.events.toFixed(0))],
			...RESULTS.map(([name, digits, of]) => [
				name,
				...LEADS.map((_, i) => {
					const runs = results.slice(i * seeds.length, (i + 1) * seeds.length);
					return estimate(
						runs.map(({ result }) => of(result)),
						digits,
					);
				}),
			]),
		]);
	}
}
