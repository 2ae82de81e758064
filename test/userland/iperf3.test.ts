import { describe, expect, test } from "vitest";
import { pause_sbt } from "../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";
import { iperf3_stats } from "../../src/userland/iperf3.ts";
import { type process, wait4 } from "../../src/userland/process.ts";
import { type testbed, testbed_exec } from "../../src/userland/testbed.ts";
import { expect_clean, inside, sh, with_testbed, world } from "./world.ts";

/** A server in one jail, a client in the other; both to their end. */
function* measure(tb: testbed, options: string, server_options = ""): Blocking<{ client: process; server: process }> {
	const server = testbed_exec(tb.sides[1], `iperf3 -s -1 -J${server_options}`);
	yield* pause_sbt("test", 1_000_000);
	const client = testbed_exec(tb.sides[0], `iperf3 -c ${tb.sides[1].address} -J ${options}`);
	yield* wait4(client);
	yield* wait4(server);
	return { client, server };
}

// biome-ignore lint/suspicious/noExplicitAny: iperf3's report, looked at as any reader of it would
function report(p: process): any {
	expect(p.errors).toEqual([]);
	return JSON.parse(p.lines.join("\n"));
}

describe("over the bare epair", () => {
	test.each([
		["TCP", "-t 8ms", 1],
		["TCP, reversed", "-t 8ms -R", 1],
		["three TCP streams", "-t 8ms -P 3", 3],
		["three TCP streams, reversed", "-t 8ms -P 3 -R", 3],
	])("%s: fast, nothing lost, and both ends agree", (_name, options, streams) => {
		with_testbed({ plain: true }, function* (tb) {
			const { client, server } = yield* measure(tb, options);
			const [c, s] = [report(client), report(server)];
			expect(c.error).toBeUndefined();
			expect(c.start.test_start).toMatchObject({
				protocol: "TCP",
				num_streams: streams,
				blksize: 131072,
				duration: 0.008,
			});
			expect(c.end.streams).toHaveLength(streams);
			const { sum_sent, sum_received } = c.end;
			// a stack without a wire does gigabits; a model that had lost its way would be off by more
			expect(sum_received.bits_per_second).toBeGreaterThan(1e9);
			expect(sum_received.bits_per_second).toBeLessThan(100e9);
			expect(sum_sent.bytes).toBeGreaterThanOrEqual(sum_received.bytes);
			// what is missing is on its way: no more than the two socket buffers of each stream hold
			expect(sum_sent.bytes - sum_received.bytes).toBeLessThan(streams * 4 * 1024 * 1024);
			expect(s.end.sum_received.bytes).toBe(sum_received.bytes);
			expect(s.start.cookie).toBe(c.start.cookie);
			// one stream does not fill any queue; three in slow start may
			expect(sum_sent.retransmits).toBeLessThanOrEqual(streams === 1 ? 0 : 50);
			expect(c.end.sum_sent.seconds).toBeGreaterThanOrEqual(0.008);
			expect(c.end.sum_sent.seconds).toBeLessThan(0.012);
			const stats = [iperf3_stats(client)!, iperf3_stats(server)!];
			const received = stats[0].bytes_received + stats[1].bytes_received;
			expect(stats[0].bytes_sent + stats[1].bytes_sent).toBeGreaterThanOrEqual(received);
		});
	});

	test("the sum of the intervals is the whole; -O leaves out the beginning", () => {
		with_testbed({ plain: true }, function* (tb) {
			const { client, server } = yield* measure(tb, "-t 8ms -i 2ms -O 3ms");
			const c = report(client);
			const counted = c.intervals.filter((iv: { sum: { omitted: boolean } }) => !iv.sum.omitted);
			expect(c.intervals.length - counted.length).toBeGreaterThanOrEqual(1);
			const bytes = counted.reduce((n: number, iv: { sum: { bytes: number } }) => n + iv.sum.bytes, 0);
			expect(bytes).toBe(c.end.sum_sent.bytes);
			expect(c.end.sum_sent.seconds).toBeLessThan(0.011);
			expect(iperf3_stats(server)!.bytes_received).toBeGreaterThan(report(server).end.sum_received.bytes);
		});
	});

	test("UDP at a rate: that rate, in order, none lost", () => {
		with_testbed({ plain: true }, function* (tb) {
			const { client, server } = yield* measure(tb, "-u -b 100M -t 50ms -l 1400");
			const c = report(client);
			expect(c.end.sum_sent.bits_per_second).toBeGreaterThan(90e6);
			expect(c.end.sum_sent.bits_per_second).toBeLessThan(110e6);
			expect(c.end.sum).toMatchObject({ lost_packets: 0 });
			expect(c.end.sum.packets).toBe(Math.ceil(c.end.sum_received.bytes / 1400));
			expect(report(server).end.streams[0].udp.out_of_order).toBe(0);
			expect(c.end.sum.jitter_ms).toBeLessThan(1);
		});
	});

	test("UDP as fast as it goes: every datagram is sent, and received or counted as lost", () => {
		with_testbed({ plain: true }, function* (tb) {
			const { client, server } = yield* measure(tb, "-u -b 0 -t 3ms -R");
			const c = report(client);
			const sent = iperf3_stats(server)!.packets_sent;
			const got = iperf3_stats(client)!.packets_received;
			expect(sent).toBeGreaterThan(300);
			expect(got).toBeLessThanOrEqual(sent);
			expect(c.end.streams[0].udp.packets).toBeGreaterThanOrEqual(got);
		});
	});

	test("counters can be read from outside while it runs", () => {
		with_testbed({ plain: true }, function* (tb) {
			const server = testbed_exec(tb.sides[1], "iperf3 -s -1");
			const client = testbed_exec(tb.sides[0], "iperf3 -c 192.168.2.2 -t 12ms");
			const samples: number[] = [];
			while (!client.p_exited) {
				yield* pause_sbt("sample", 1_000_000);
				samples.push(iperf3_stats(server)!.bytes_received);
			}
			yield* wait4(server);
			const moving = samples.filter((n, i) => i > 0 && n > samples[i - 1]);
			expect(moving.length).toBeGreaterThanOrEqual(6);
			expect(client.lines[0]).toBe("Connecting to host 192.168.2.2, port 5201");
			expect(client.lines.at(-1)).toBe("iperf Done.");
			expect(server.lines[1]).toBe("Server listening on 5201");
			expect(server.lines[3]).toMatch(/^Accepted connection from 192\.168\.2\.1, port \d+$/);
		});
	});

	test("a jail can be removed in the middle of a test, and leaves nothing", () => {
		with_testbed({ plain: true }, function* (tb) {
			const server = testbed_exec(tb.sides[1], "iperf3 -s");
			yield* pause_sbt("test", 1_000_000);
			const client = testbed_exec(tb.sides[0], "iperf3 -c 192.168.2.2 -t 10");
			yield* pause_sbt("test", 8_000_000);
			expect(iperf3_stats(server)!.bytes_received).toBeGreaterThan(0);
			expect(server.p_exited || client.p_exited).toBe(false);
		});
	});

	test("a second client is told that the server is busy", () => {
		with_testbed({ plain: true }, function* (tb) {
			testbed_exec(tb.sides[1], "iperf3 -s");
			yield* pause_sbt("test", 1_000_000);
			const first = testbed_exec(tb.sides[0], "iperf3 -c 192.168.2.2 -t 12ms");
			yield* pause_sbt("test", 6_000_000);
			const second = testbed_exec(tb.sides[0], "iperf3 -c 192.168.2.2 -t 3ms");
			expect(yield* wait4(second)).toBe(1);
			expect(second.errors).toEqual(["iperf3: error - the server is busy running a test. try again later"]);
			expect(yield* wait4(first)).toBe(0);
			const third = testbed_exec(tb.sides[0], "iperf3 -c 192.168.2.2 -t 3ms");
			expect(yield* wait4(third)).toBe(0);
		});
	});

	test("nobody listening: connection refused", () => {
		with_testbed({ plain: true }, function* (tb) {
			const client = testbed_exec(tb.sides[0], "iperf3 -c 192.168.2.2");
			expect(yield* wait4(client)).toBe(1);
			expect(client.errors).toEqual(["iperf3: error - unable to connect to server: Connection refused"]);
		});
	});

	test("cost-only gives the same report to the last byte", () => {
		const run = (cost_only: boolean): string =>
			with_testbed(
				{ plain: true },
				function* (tb) {
					const { client } = yield* measure(tb, "-t 4ms");
					return client.lines.join("\n");
				},
				world({ cost_only }),
			);
		expect(run(true)).toBe(run(false));
	});
});

test("mistakes on the command line", () => {
	const kernel = world();
	inside(kernel, function* () {
		const cases: [string, string][] = [
			["iperf3", "iperf3: parameter error - must either be a client (-c) or server (-s)"],
			["iperf3 -s -c 1.2.3.4", "iperf3: parameter error - cannot be both server and client"],
			["iperf3 -c 1.2.3.4 -t x", "iperf3: parameter error - test duration too long (maximum = 86400 seconds)"],
			["iperf3 -c 1.2.3.4 -P 1000", "iperf3: parameter error - number of parallel streams too large (maximum = 128)"],
			[
				"iperf3 -c 1.2.3.4 -u -l 8",
				"iperf3: parameter error - block size invalid (minimum = 16 bytes, maximum = 65507 bytes)",
			],
		];
		for (const [command, text] of cases) {
			const p = yield* sh(command);
			expect([p.p_xstat, p.errors[0]]).toEqual([1, text]);
		}
	});
	expect_clean(kernel);
});
