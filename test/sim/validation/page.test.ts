import { beforeAll, describe, expect, test } from "vitest";
import { loadDriver } from "../../../sim/driver.ts";
import type { RunOptions } from "../../../sim/options.ts";
import { parseRunOptions } from "../../../sim/options.ts";
import { published } from "../../../sim/published.ts";
import type { RunResult } from "../../../sim/result.ts";
import { simulate } from "../../../sim/run.ts";
import { StageTimes, TASKS } from "../../../sim/stages.ts";
import { changeCheck } from "../../../sim/validation/change.ts";
import { elsewhereCheck, handoffCheck } from "../../../sim/validation/elsewhere.ts";
import { measureHandoff } from "../../../sim/validation/handoff.ts";
import { renderValidation, type Section, validate, validationMarkdown } from "../../../sim/validation/page.ts";
import { powerCheck } from "../../../sim/validation/power.ts";
import { judgeRates, judgeStages } from "../../../sim/validation/profile.ts";
import { type RouterResult, routePackets } from "../../../sim/validation/router.ts";
import { streamsCheck } from "../../../sim/validation/streams.ts";

/** A result in which only what the checks look at is there. */
function made(options: RunOptions, part: Partial<RunResult>): RunResult {
	const { policy, crypto, machine, cpus, seed, streams, duration_ns } = options;
	const known = { policy, crypto, machine, cpus, seed, streams, duration_ns };
	const counts = { tasks_scheduled: 100, tasks_useful: 13, wakeups: 100, cpu_wakeups: 10, ipis: 10 };
	return { ...known, ...counts, throughput_bps: 1.5e9, energy_proxy_j: 0.2, ...part } as RunResult;
}

/** As in the published world, or nearly. */
function likePublished(options: RunOptions): RunResult {
	const fast = options.policy !== "all-cpus";
	return made(options, {
		throughput_bps: (fast ? 3.2e9 : 1.5e9) * (options.crypto === "ossl" ? 1.02 : 1),
		tasks_useful: fast ? 65 : 13,
		energy_proxy_j: fast ? 0.25 : 0.4,
	});
}

function verdicts(section: Section): Record<string, string> {
	return Object.fromEntries(section.rows.map((row) => [row.name, row.verdict]));
}

async function judged(check: Parameters<typeof validate>[0][number], world: (options: RunOptions) => RunResult) {
	const [section] = await validate([check], async (jobs) => jobs.map(world));
	return verdicts(section);
}

describe("verdicts", () => {
	test("a world as published agrees, and what was only said is compared in its words", async () => {
		expect(await judged(changeCheck([1, 2]), likePublished)).toEqual({
			share_all_cpus: "agree",
			share_round_robin: "agree",
			throughput_ratio: "agree",
			policy_beats_ossl: "agree",
			xeon_d_stream: "agree",
			atom_scaling: "cannot be compared",
			series_rank: "agree",
		});
		expect(await judged(streamsCheck([1]), likePublished)).toEqual({ streams_flat: "agree", streams_level: "agree" });
		expect(await judged(powerCheck([1]), likePublished)).toEqual({ esxi_power: "agree" });
	});

	test("a world in which the policy changes nothing disagrees", async () => {
		const all = await judged(changeCheck([1]), (options) => made(options, {}));
		expect(all).toMatchObject({ share_round_robin: "disagree", throughput_ratio: "disagree", series_rank: "disagree" });
		expect(await judged(powerCheck([1]), (options) => made(options, {}))).toEqual({ esxi_power: "disagree" });
	});

	test("throughput that grows with streams is not flat, and too much of it not on the level", async () => {
		const growing = (options: RunOptions) => made(options, { throughput_bps: 1.1e9 * options.streams });
		expect(await judged(streamsCheck([1]), growing)).toEqual({ streams_flat: "disagree", streams_level: "disagree" });
	});
});

describe("a router", () => {
	let slow: RouterResult;
	let fast: RouterResult;
	let flooded: RouterResult;
	beforeAll(async () => {
		const driver = await loadDriver(null);
		const options = { machine: "atom-c2758", cpus: 4, policy: "all-cpus", seed: 1 };
		slow = routePackets(driver, { ...options, offered_pps: 60_000 });
		fast = routePackets(driver, { ...options, offered_pps: 500_000 });
		flooded = routePackets(driver, { ...options, offered_pps: 2_000_000 });
	});

	test("sends all that comes while it can, and no more than its one sending CPU can beyond", () => {
		expect(slow.sent_pps).toBeGreaterThan(0.98 * 60_000);
		expect(slow.sent_pps).toBeLessThan(1.02 * 60_000);
		expect(fast.sent_pps).toBeGreaterThan(200_000);
		expect(fast.sent_pps).toBeLessThan(0.8 * 500_000);
	});

	test("sends nothing at all in a flood: receive tasks that never end let nobody of their own priority in", () => {
		expect(flooded.sent_pps).toBe(0);
		expect(flooded.measured.per_cpu.every(({ busy_ns }) => busy_ns === flooded.duration_ns)).toBe(true);
	});

	test("has one task that sends, bound to one CPU, and encrypts on all", () => {
		expect([...slow.times.tasks["wg send"]].filter((ns) => ns > 0)).toHaveLength(1);
		expect([...slow.times.tasks["wg encrypt"]].filter((ns) => ns > 0)).toHaveLength(4);
		expect(slow.times.total("wg decrypt")).toBe(0);
	});

	test("spends no more in its tasks than its CPUs are busy", () => {
		for (const { times, measured, duration_ns } of [slow, fast]) {
			for (const { cpu, busy_ns } of measured.per_cpu) {
				const tasks = TASKS.reduce((sum, name) => sum + times.tasks[name][cpu], 0);
				expect(tasks).toBeLessThanOrEqual(busy_ns + 0.001 * duration_ns);
			}
		}
	});

	test("dispatches for less when packets wait: enqueued tasks are skipped", () => {
		const each = ({ times }: RouterResult): number => times.dispatch_ns / times.encrypted;
		expect(each(fast)).toBeLessThan(0.9 * each(slow));
	});

	test("is judged by the published profile, every line with a reason", () => {
		const rows = [...judgeRates(slow, fast), ...judgeStages(fast)];
		for (const row of rows) expect(row.why).not.toBe("");
		const { router_scaling, c2758_udp } = verdicts({ title: "", work: "", rows });
		expect([router_scaling, c2758_udp]).toEqual(["disagree", "disagree"]);
	});
});

test("times of stages are of a run that goes as if nobody looked", async () => {
	const options = parseRunOptions({ policy: "all-cpus", duration: "500us", warmup: "0s", costOnly: true });
	const times = new StageTimes(options.cpus);
	const { fingerprint } = (await simulate(options, null, times)).result;
	expect(times.encrypted).toBeGreaterThan(0);
	expect(times.dispatch_ns).toBeGreaterThan(0);
	const plain = (await simulate(options)).result;
	expect(fingerprint).toBe(plain.fingerprint);
});

test("a hop to another thread costs something, whichever seed", () => {
	for (const seed of [1, 2, 3]) {
		const { ratio, hop_cycles } = measureHandoff([seed]);
		expect(ratio).toBeLessThan(1);
		expect(hop_cycles).toBeGreaterThan(100);
	}
});

test("the page has every published figure exactly once, and says why where nothing can be compared", async () => {
	const driver = await loadDriver(null);
	const router = routePackets(driver, {
		machine: "atom-c2758",
		cpus: 4,
		policy: "all-cpus",
		offered_pps: 50_000,
		seed: 1,
	});
	const routers = {
		title: "Routers",
		work: "",
		jobs: [],
		judge: async () => [...judgeRates(router, router), ...judgeStages(router)],
	};
	const checks = [changeCheck([1]), streamsCheck([1]), routers, handoffCheck([1]), powerCheck([1]), elsewhereCheck()];
	const sections = await validate(checks, async (jobs) => jobs.map(likePublished));
	const rows = sections.flatMap((section) => section.rows);
	expect(rows.map((row) => row.name).sort()).toEqual(Object.keys(published).sort());
	for (const { name, verdict, why } of rows) if (verdict === "cannot be compared") expect(why, name).not.toBe("");

	const page = validationMarkdown(sections, "npx ifwg validate --write");
	for (const { what, source } of Object.values(published)) {
		expect(page).toContain(`| ${what} | `);
		expect(page).toContain(` | ${source} |`);
	}
	const columns = page
		.split("\n")
		.filter((line) => line.startsWith("|"))
		.map((line) => line.split(" | ").length);
	expect(new Set(columns)).toEqual(new Set([7]));
	expect(renderValidation(sections)).toMatch(/^Published figures beside ours\.\nagree: \d+, disagree: \d+, cannot be/);
});
