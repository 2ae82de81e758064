/** Runs between two machines. */
import { describe, expect, test } from "vitest";
import { Drops } from "../../sim/drops.ts";
import { parseRunOptions, type RawRunOptions } from "../../sim/options.ts";
import { noColors } from "../../sim/report/colors.ts";
import { renderRun } from "../../sim/report/text.ts";
import { simulate, watch } from "../../sim/run.ts";
import { run } from "../../src/kernel/boot.ts";
import { vnet0 } from "../../src/kernel/jail/vnet.ts";
import { M_NOWAIT, MT_DATA, m_get } from "../../src/kernel/mbuf/mbuf.ts";
import { V_ipstat } from "../../src/kernel/netinet/ip_var.ts";
import { CURVNET_RESTORE, CURVNET_SET, curkernel, set_curkernel } from "../../src/kernel/sched/kernel.ts";

const SHORT: RawRunOptions = { hosts: "2", cpus: "4", crypto: "ossl", duration: "2ms", warmup: "1ms" };

test("the same options give the same result, and another seed another", async () => {
	const options = parseRunOptions(SHORT);
	const [one, two] = [await simulate(options), await simulate(options)];
	expect(two.result).toEqual(one.result);
	const other = await simulate(parseRunOptions({ ...SHORT, seed: "2" }));
	expect(other.result.fingerprint).not.toBe(one.result.fingerprint);
});

test.each(["all-cpus", "round-robin"])(
	"leaving the ciphers out changes nothing but the contents, under %s",
	async (policy) => {
		const real = await simulate(parseRunOptions({ ...SHORT, policy }));
		const cost_only = await simulate(parseRunOptions({ ...SHORT, policy, costOnly: true }));
		const { command, cost_only: _, ...left } = cost_only.result;
		expect({ ...left, command: real.result.command, cost_only: false }).toEqual(real.result);
		expect(command).toContain("--cost-only");
	},
);

test("how far the machines run on their own before they take turns makes no difference", async () => {
	const options = parseRunOptions({ ...SHORT, costOnly: true });
	const seen = (step_ns: number) =>
		watch(options, (under_way) => {
			under_way.begin();
			const { hosts, machine, scenario } = under_way;
			const end = machine.now + 3_000_000;
			const machines = hosts.map((host) => host.machine);
			for (;;) {
				const next = Math.min(...machines.map(({ events }) => events.nextTime));
				if (next > end) break;
				for (const host of hosts) run(host, Math.min(end, next + step_ns));
			}
			for (const host of hosts) run(host, end);
			return [under_way.fingerprint, under_way.events, scenario.bytesReceived, machines.map(({ ipis }) => ipis)];
		});
	const longest = parseRunOptions(SHORT);
	const whole = await watch(longest, (under_way) => {
		under_way.begin();
		return under_way.machine.costs.wire_latency;
	});
	const expected = await seen(whole);
	expect(expected[2]).toBeGreaterThan(100_000);
	for (const step_ns of [whole - 1, 1000, 137]) expect(await seen(step_ns)).toEqual(expected);
});

describe("what is counted", () => {
	const made = simulate(parseRunOptions({ ...SHORT, policy: "all-cpus" }));

	test("is of both machines: CPUs are numbered through, and the time of each adds up", async () => {
		const { result } = await made;
		expect(result.hosts).toBe(2);
		expect(result.cpus).toBe(4);
		expect(result.per_cpu.map(({ cpu }) => cpu)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
		for (const cpu of result.per_cpu) {
			expect(cpu.busy_ns + cpu.wake_ns + cpu.poll_ns + cpu.idle_ns).toBe(result.duration_ns);
		}
	});

	test("both ends wake all of their own CPUs for each packet: tasks are found on either machine", async () => {
		const { result } = await made;
		const wasted = result.per_cpu.map(({ wasted_ns }) => wasted_ns);
		expect(Math.max(...wasted.slice(0, 4))).toBeGreaterThan(0);
		expect(Math.max(...wasted.slice(4))).toBeGreaterThan(0);
		expect(result.useful_task_share).toBeGreaterThan(0.2);
		expect(result.useful_task_share).toBeLessThan(0.5);
	});

	test("packets are followed from machine to machine: every stage has as many, and the way across takes at least the cable", async () => {
		const { result } = await made;
		const stages = new Map(result.latency.map(({ stage, distribution }) => [stage, distribution]));
		const across = stages.get("UDP, IP, the way across")!;
		expect(across.n).toBeGreaterThan(100);
		expect(stages.get("encrypt")!.n / across.n).toBeCloseTo(1, 1);
		expect(stages.get("decrypt")!.n / across.n).toBeCloseTo(1, 1);
		expect(across.p50_ns).toBeGreaterThan(3500);
	});

	test("nothing is lost on the way", async () => {
		expect((await made).result.drops).toEqual({});
	});

	test("is said to be of both, with the line that repeats it", async () => {
		const options = parseRunOptions({ ...SHORT, policy: "all-cpus" });
		const text = renderRun(options, (await made).result, noColors);
		expect(text).toContain("Two machines (each xeon-d, 4 CPUs, FreeBSD 13.0) joined by 10 Gb/s Ethernet (ix)");
		expect(text).toContain("--hosts 2");
	});
});

test.each([
	["UDP", { udp: true, bandwidth: "200M" }],
	["the server sends", { reverse: true }],
	["several streams on 14.0", { streams: "3", release: "14.0" }],
	["the largest MTU", { mtu: "9160" }],
	["one CPU each", { cpus: "1" }],
	["in a virtual machine", { machine: "vm" }],
	["every access in order", { lead: "0ns" }],
	["an old generation", { generation: "2021-11", crypto: "own" }],
] as [string, RawRunOptions][])("data arrives and nothing is left behind: %s", async (_, more) => {
	const { result } = await simulate(parseRunOptions({ ...SHORT, ...more }));
	expect(result.throughput_bps).toBeGreaterThan(50_000_000);
});

test.each([1, 2])(
	"no full packet of a larger MTU than may be asked for leaves the driver's socket, with %i hosts",
	async (hosts) => {
		const options = { ...parseRunOptions({ ...SHORT, hosts: String(hosts), mtu: "9160" }), mtu: 9161 };
		await expect(simulate(options)).rejects.toThrow("unable to write to stream socket");
	},
);

test("packets of the two machines have numbers of their own", async () => {
	const options = parseRunOptions({ ...SHORT, costOnly: true });
	const staged = await watch(options, (under_way, driver) => {
		const numbers = under_way.hosts.map(() => new Set<number>());
		const detach = driver.wg_stage.listen((stage, packet_id) => {
			if (stage === "staged") numbers[under_way.hosts.indexOf(curkernel)].add(packet_id);
		});
		under_way.begin();
		under_way.pass(1_000_000);
		detach();
		return numbers;
	});
	for (const numbers of staged) expect(numbers.size).toBeGreaterThan(10);
	expect([...staged[0]].filter((number) => staged[1].has(number))).toEqual([]);
});

test.each([0, 1])("what is lost on machine %i is counted, and what it leaves behind is a panic", async (at) => {
	const options = parseRunOptions({ ...SHORT, costOnly: true });
	const [lost, end] = await watch(options, (under_way) => {
		under_way.begin();
		const drops = new Drops(under_way.hosts);
		under_way.pass(100_000);
		set_curkernel(under_way.hosts[at]);
		const saved = CURVNET_SET(vnet0());
		V_ipstat().ips_noroute += 7;
		CURVNET_RESTORE(saved);
		m_get(M_NOWAIT, MT_DATA);
		set_curkernel(under_way.kernel);
		return [drops.read(), () => under_way.end()] as const;
	});
	expect(lost).toEqual({ "IP without route": 7 });
	expect(end).toThrow("memory left at the end of the run: 1 of mbuf");
});
