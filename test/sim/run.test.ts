/** Whole runs, as short as they can be and still show the rule. Two processes and several workers: cli.test.ts. */
import { describe, expect, test } from "vitest";
import { inEach } from "../../sim/each.ts";
import { GENERATIONS, parseRunOptions, type RawRunOptions } from "../../sim/options.ts";
import type { RunResult } from "../../sim/result.ts";
import { prepare, Run, simulate } from "../../sim/run.ts";
import { m_get, m_getcl } from "../../src/kernel/mbuf/kern_mbuf.ts";
import { MT_DATA } from "../../src/kernel/mbuf/mbuf_flags.ts";
import { M_NOWAIT } from "../../src/kernel/mbuf/uma.ts";
import { LEAD_NS } from "../../src/machine/lead.ts";

async function result(raw: RawRunOptions): Promise<RunResult> {
	return (await simulate(parseRunOptions({ duration: "2ms", warmup: "1ms", ...raw }))).result;
}

test("the same options give the same result, to the last field", async () => {
	expect(await result({ policy: "all-cpus" })).toEqual(await result({ policy: "all-cpus" }));
});

test("who has come to the end of a run gives the storage of its packets to the next, and has none", async () => {
	const options = parseRunOptions({ duration: "1ms", warmup: "1ms", hosts: "2" });
	const { driver, policy } = await prepare(options);
	const run = new Run(options, driver, policy);
	run.begin();
	run.end();
	inEach(run.hosts, () => {
		expect(() => m_get(M_NOWAIT, MT_DATA)).toThrow("given back");
		expect(() => m_getcl(M_NOWAIT, MT_DATA, 0)).toThrow("given back");
	});
});

test("another seed gives another run", async () => {
	expect((await result({ seed: "2" })).fingerprint).not.toBe((await result({ seed: "3" })).fingerprint);
});

describe("cost-only leaves out arithmetic, not one event", () => {
	test.each([
		["own", "all-cpus", false],
		["ossl", "round-robin", false],
		["cryptosoft", "linux-style", true],
	])("%s, %s, udp %s", async (crypto, policy, udp) => {
		const options = { crypto, policy, udp, ...(udp ? { bandwidth: "300M" } : {}) };
		const real = await result(options);
		const cheap = await result({ ...options, costOnly: true });
		expect(cheap.fingerprint).toBe(real.fingerprint);
		expect({ ...cheap, command: "", cost_only: false }).toEqual({ ...real, command: "" });
	});
});

test("locks held more briefly than threads are ahead are waited for as if none was: the driver's queues", async () => {
	const contested = ({ locks }: RunResult): number =>
		locks.filter(({ name }) => name === "encp" || name === "decp").reduce((sum, lock) => sum + lock.contested, 0);
	const options = { policy: "all-cpus", crypto: "ossl", costOnly: true, duration: "10ms" };
	const usual = await result(options);
	const exact = await result({ ...options, lead: "0ns" });
	expect([usual.lead_ns, exact.lead_ns]).toEqual([LEAD_NS, 0]);
	expect(contested(exact)).toBeGreaterThan(20);
	expect(contested(usual)).toBeGreaterThan(contested(exact) / 3);
	expect(contested(usual)).toBeLessThan(contested(exact) * 3);
});

test("what happens is an event whether or not the host has to wait for it", async () => {
	/** of a few seeds: a single run depends on where the netisr thread is */
	const each = async (lead: string): Promise<number> => {
		const options = { policy: "round-robin", crypto: "ossl", costOnly: true, lead };
		const runs = await Promise.all(["1", "2", "3", "4", "5", "6"].map((seed) => result({ ...options, seed })));
		const sum = (of: (run: RunResult) => number): number => runs.reduce((total, run) => total + of(run), 0);
		return sum(({ events }) => events) / sum(({ segments }) => segments);
	};
	const ratio = (await each(`${LEAD_NS}ns`)) / (await each("0ns"));
	expect(ratio).toBeGreaterThan(0.85);
	expect(ratio).toBeLessThan(1.15);
});

describe("every generation of the driver runs under either policy, and leaves nothing behind", () => {
	test.each(GENERATIONS.flatMap((generation) => ["all-cpus", "round-robin"].map((policy) => [generation, policy])))(
		"%s, %s",
		async (generation, policy) => {
			const run = await result({ generation, policy, costOnly: true });
			expect(run).toMatchObject({ generation, policy });
			expect(run.throughput_bps).toBeGreaterThan(1e8);
		},
	);

	test("and what was changed can be measured: 2021-11 takes the queue's mutex to see how long it is", async () => {
		const options = { policy: "round-robin", crypto: "own", costOnly: true };
		const old = await result({ ...options, generation: "2021-11" });
		expect(old.fingerprint).not.toBe((await result({ ...options, generation: "2022-09" })).fingerprint);
	});
});

describe("traffic flows, and nothing is left behind (a run that leaks panics)", () => {
	test.each<[string, RawRunOptions]>([
		// slices are long, and the receiver reads seldom
		["on one CPU", { cpus: "1", duration: "20ms" }],
		["on 64 CPUs", { machine: "server-64", policy: "all-cpus" }],
		["in a virtual machine", { machine: "vm" }],
		["on release 14.0 with its epair", { release: "14.0" }],
		["over the netisr epair on release 14.0", { release: "14.0", epair: "netisr" }],
		["from the server", { reverse: true }],
		["in four streams", { streams: "4" }],
		["in datagrams", { udp: true, bandwidth: "200M", length: "500" }],
		["with a large MTU", { mtu: "8920" }],
		["with a small MTU", { mtu: "576" }],
	])("%s", async (_what, raw) => {
		const run = await result({ costOnly: true, ...raw });
		expect(run.throughput_bps).toBeGreaterThan(1e6);
		expect(run.tasks_useful).toBeGreaterThan(0);
		expect(run.tasks_useful).toBeLessThanOrEqual(run.tasks_run);
		for (const cpu of run.per_cpu) {
			expect(cpu.busy_ns + cpu.wake_ns + cpu.poll_ns + cpu.idle_ns).toBe(run.duration_ns);
		}
		const awake = run.cpu_busy_ns + run.cpu_wake_ns + run.cpu_poll_ns + run.cpu_idle_ns;
		expect(awake).toBe(run.duration_ns * run.cpus);
	});
});
