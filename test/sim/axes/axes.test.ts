import { beforeAll, describe, expect, test } from "vitest";
import { CIPHER_CPUS, cipherBase, planCiphers, renderCiphers, summariseCiphers } from "../../../sim/axes/ciphers.ts";
import { measureCycles, renderCycles } from "../../../sim/axes/cycles.ts";
import attemptFlood, { type FloodRow, planFlood, renderFlood } from "../../../sim/axes/flood.ts";
import { measureHandshakes, renderHandshakes } from "../../../sim/axes/handshakes.ts";
import { POWER_POLICIES, planPower, renderPower, summarisePower } from "../../../sim/axes/power.ts";
import type { RunOptions } from "../../../sim/options.ts";
import { unwrap } from "../../../sim/pool.ts";
import type { RunResult } from "../../../sim/result.ts";
import { all_costs } from "../../../src/machine/cost/table.ts";
import { findProfile } from "../../../src/machine/profile.ts";

const MACHINE = "xeon-d";
const { ghz, jitter_permille } = findProfile(MACHINE)!;

describe("encryption alone", () => {
	const rows = measureCycles(MACHINE, [64, 1420]);
	const of = (crypto: string, bytes: number) => rows.find((row) => row.crypto === crypto && row.bytes === bytes)!;

	test("of the driver's own code costs what its constants say, within the machine's jitter", () => {
		for (const bytes of [64, 1420]) {
			const { chapoly_own, chapoly_own_setup } = all_costs;
			const cycles = chapoly_own_setup.value + (bytes * chapoly_own.value) / 1000;
			const { ns } = of("own", bytes);
			expect(Math.abs((ns * ghz) / cycles - 1)).toBeLessThan(jitter_permille / 1000);
		}
	});

	test("costs less for each byte of a longer packet, and ossl's least of all", () => {
		for (const crypto of ["own", "cryptosoft", "ossl"]) {
			expect(of(crypto, 1420).cycles_per_byte).toBeLessThan(of(crypto, 64).cycles_per_byte);
		}
		expect(of("ossl", 1420).ns).toBeLessThan(of("cryptosoft", 1420).ns / 2);
		expect(renderCycles(MACHINE, rows).at(-1)).toMatch(/^ 1420 +\d+\.\d\d +\d+\.\d\d +\d\.\d\d$/);
	});
});

describe("a handshake", () => {
	const rows = measureHandshakes(MACHINE);

	test("is mostly Curve25519: four multiplications on either side at most", () => {
		for (const { initiator_ns, responder_ns, blake2s_share } of rows) {
			const multiplication = all_costs.curve25519.value / ghz;
			for (const side of [initiator_ns, responder_ns]) {
				expect(side).toBeGreaterThan(3 * multiplication);
				expect(side).toBeLessThan(5.5 * multiplication);
			}
			expect(blake2s_share).toBeGreaterThan(0.01);
			expect(blake2s_share).toBeLessThan(0.2);
		}
	});

	test("costs the same with BLAKE2s of the driver and of a library, for both compress as often", () => {
		expect(rows[0]).toEqual({ ...rows[1], blake2s: "own" });
		expect(renderHandshakes(MACHINE, rows)).toHaveLength(5);
	});
});

describe("the runs of an axis", () => {
	/** Wakeups and joules by policy, the rest the same for all. */
	const made = ({ policy, crypto, machine, cpus, seed, duration_ns }: RunOptions): RunResult => {
		const known = { policy, crypto, machine, cpus, seed, duration_ns, useful_task_share: 0.5 };
		const all = policy === "all-cpus";
		const counts = { wakeups: all ? 8000 : 1000, cpu_wakeups: 10 * seed, ipis: 100, energy_proxy_j: all ? 0.4 : 0.3 };
		return { ...known, ...counts, throughput_bps: crypto === "own" ? 1e9 : 1.5e9 } as RunResult;
	};

	test("power: the same rate on the virtual machine under each policy, counted per second", () => {
		const jobs = planPower([1, 3]);
		expect(new Set(jobs.map((job) => `${job.machine} ${job.bandwidth_bps}`))).toEqual(new Set(["vm 300000000"]));
		const rows = summarisePower(jobs.map(made));
		expect(rows.map((row) => row.policy)).toEqual([...POWER_POLICIES]);
		// 20 ms; 8 CPUs of 5.6 W, a fifth of which a halted one takes
		expect(rows[0]).toMatchObject({ threads_woken: 400_000, cpus_woken: 1000, exits: 6000, power_w: 20 });
		expect(rows[0].overhead_w).toBeCloseTo(20 - 8 * 5.6 * 0.2);
		expect(renderPower(jobs[0], rows).at(-1)).toMatch(
			/^linux-style +1\.000 +50 000 +1 000 +5 000 +6 000 +15\.00 +6\.04$/,
		);
	});

	test("ciphers: each with each policy and number of CPUs, and what it gains on the driver's own", () => {
		const base = cipherBase(MACHINE);
		const jobs = planCiphers(base, [1]);
		expect(jobs).toHaveLength(CIPHER_CPUS.length * 3 * 3);
		const rows = summariseCiphers(jobs.map(made));
		expect(rows).toHaveLength(jobs.length);
		for (const { crypto, gain } of rows) expect(gain).toBeCloseTo(crypto === "own" ? 0 : 0.5);
		expect(renderCiphers(base, rows).at(-1)).toMatch(/^ +16 {2}linux-style +1\.000 +1\.500 +1\.500 +\+50 % +\+50 %/);
	});
});

describe("a flood of initiations", () => {
	/** Long enough for 512 initiations to wait at the highest rate. */
	const short = { warmup_ns: 30_000_000, duration_ns: 10_000_000 };
	const jobs = planFlood(MACHINE, [1]).filter((job) => job.options.policy === "round-robin");
	const rows: FloodRow[] = [];

	beforeAll(async () => {
		for (const { options, rate } of jobs) {
			rows.push(unwrap(await attemptFlood({ rate, options: { ...options, ...short } })));
		}
	});

	test("none: the handshake task has nothing to do", () => {
		expect(rows.map((row) => row.rate)).toEqual([0, 10_000, 50_000]);
		expect(rows[0]).toMatchObject({ delivered: 0, cookies: 0, handshakes: 0, wait_here_ns: 0 });
		expect(rows[0].throughput_bps).toBeGreaterThan(1e9);
	});

	test("what one CPU can just bear: no cookies, and crypto tasks wait behind the handshakes", () => {
		const [, row] = rows;
		expect(row.cookies).toBe(0);
		expect(Math.abs(row.delivered / row.rate - 1)).toBeLessThan(0.05);
		// a multiplication on the curve for each, and some more
		const multiplications = (row.delivered * all_costs.curve25519.value) / ghz / 1e9;
		expect(row.handshakes).toBeGreaterThan(multiplications);
		expect(row.handshakes).toBeLessThan(1.2 * multiplications);
		expect(row.wait_here_ns).toBeGreaterThan(2 * row.wait_elsewhere_ns);
	});

	test("far more: each is asked for a cookie, and data flows", () => {
		const [calm, , row] = rows;
		// 500 in all, and some of up to 512 that wait at either end
		expect(Math.abs(row.cookies / row.delivered - 1)).toBeLessThan(0.25);
		expect(row.handshakes).toBeLessThan(0.3);
		expect(row.throughput_bps).toBeGreaterThan(calm.throughput_bps / 2);
		expect(renderFlood(jobs[0].options, rows).at(-1)).toMatch(
			/^round-robin +50 000 +1 +\d\.\d{3} +\d\d \d00 +[12]\d\.\d %/,
		);
	});
});
