/** `ifwg trace` on real runs: what it counts is what the run reports, and the run does not notice. */
import { describe, expect, test } from "vitest";
import { scalar, type Table } from "../../../sim/dtrace/aggregation.ts";
import { planTrace, type Trace, trace } from "../../../sim/dtrace/trace.ts";
import { parseRunOptions } from "../../../sim/options.ts";
import { simulate } from "../../../sim/run.ts";

const base = parseRunOptions({ policy: "all-cpus", duration: "500us", warmup: "200us", costOnly: true });

async function traced(
	program: string,
	more: { policies?: string[]; seeds?: number[]; whole?: boolean } = {},
): Promise<Trace> {
	const { policies = ["all-cpus"], seeds = [1], whole = false } = more;
	return trace(planTrace({ program, whole, policies, seeds, base }));
}

/** The only number of an aggregation without keys. */
function numberOf(table: Table): number {
	return scalar(table.action, table.rows[0].cell);
}

function byKey(table: Table): Record<string, number> {
	return Object.fromEntries(table.rows.map(({ keys, cell }) => [keys.join(), scalar(table.action, cell)]));
}

describe("a program that watches a run", () => {
	test("finds what the run reports of the same time, and does not change it", async () => {
		const { tables, results } = await traced(`
			wg:::task-run { @runs = count(); @packets = sum(packets); }
			wg:::task-run /packets > 0/ { @useful = count() }
			sched:::ipi { @ipis = count() }
			sched:::wakeup { @wakeups = count() }
			lockstat:::spin { @spins[lock->lo_name] = sum(ns) }`);
		const bare = (await simulate(base)).result;
		expect(results[0].fingerprint).toBe(bare.fingerprint);
		const [runs, packets, useful, ipis, wakeups, spins] = tables;
		expect(numberOf(runs)).toBe(bare.tasks_run);
		expect(numberOf(useful)).toBe(bare.tasks_useful);
		expect(numberOf(packets)).toBe(Math.round(bare.packets_per_useful_run * bare.tasks_useful));
		expect(numberOf(ipis)).toBe(bare.ipis);
		expect(numberOf(wakeups)).toBe(bare.wakeups);
		const reported = bare.locks.filter(({ spin_ns }) => spin_ns > 0);
		expect(reported.length).toBeGreaterThan(0);
		const spun = byKey(spins);
		for (const { name, spin_ns } of reported) expect(spun[name]).toBe(spin_ns);
	});

	test("of several runs, results are added up; of several policies, kept apart", async () => {
		const program = "wg:::task-run { count() by kind }";
		const [first, second] = [await traced(program), await traced(program, { seeds: [2] })];
		const both = await traced(program, { seeds: [1, 2] });
		const [a, b, sum] = [first, second, both].map(({ tables }) => byKey(tables[0]));
		for (const kind of ["encrypt", "decrypt"]) expect(sum[kind]).toBe(a[kind] + b[kind]);
		const policies = await traced(program, { policies: ["all-cpus", "round-robin"] });
		expect(byKey(policies.tables[0])).toMatchObject({ "all-cpus,encrypt": a.encrypt, "all-cpus,decrypt": a.decrypt });
		expect(policies.tables[0].keys).toEqual(["policy", "kind"]);
	});

	test("sees the measured time, or the whole run", async () => {
		const program = "jail:::create { count() by pr->pr_name } wg:noise::handshake-secrets { @e[event] = count() }";
		const measured = await traced(program);
		expect(measured.tables.map(({ rows }) => rows)).toEqual([[], []]);
		const whole = await traced(program, { whole: true });
		expect(byKey(whole.tables[0])).toEqual({ wgtest1: 1, wgtest2: 1 });
		expect(byKey(whole.tables[1])).toMatchObject({ "create-initiation": 1, "consume-response": 1 });
	});

	test("no thread waits less than no time for a CPU", async () => {
		const { tables } = await traced(
			`sched:::enqueue { queued[td->td_tid] = timestamp }
			sched:::on-cpu /queued[td->td_tid]/ { min(timestamp - queued[td->td_tid]); queued[td->td_tid] = 0 }`,
		);
		expect(numberOf(tables[0])).toBeGreaterThanOrEqual(0);
	});
});
