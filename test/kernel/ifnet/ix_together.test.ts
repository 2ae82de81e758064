import { describe, expect, test } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { run, runTogether, runTogetherUntilExit, spawn } from "../../../src/kernel/boot.ts";
import type { Kernel } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { Event } from "../../../src/machine/event.ts";
import { type process, wait4 } from "../../../src/userland/process.ts";
import { testbed_exec, testbed_machine } from "../../../src/userland/testbed.ts";
import { exact } from "../sched/support.ts";
import { both, build, exec, overrides, pair, tap } from "./ix_support.ts";

/** What runTogether does, in windows of `window` ns. */
function take_turns(kernels: readonly Kernel[], time: number, window: number): void {
	const next = (): number => Math.min(...kernels.map(({ machine }) => machine.events.nextTime));
	while (next() <= time) {
		const until = Math.min(time, next() + window);
		for (const kernel of kernels) run(kernel, until);
	}
	for (const kernel of kernels) run(kernel, time);
}

describe("machines run side by side", () => {
	/** All there is to tell of a run of iperf3 between the two, driven in windows of `window` ns; null: by runTogether. */
	function whole(seed: number, command: string, plain: boolean, window: number | null, swapped: boolean): unknown {
		const p = pair({ seed, profile: { ...exact, jitter_permille: 100 } }, {}, true);
		const kernels = swapped ? [...p.kernels].reverse() : p.kernels;
		const end = p.hosts[0].machine.now + 60_000_000;
		let client: process | null = null;
		both(
			p,
			function* (which) {
				const bed = yield* testbed_machine({ plain }, which, p.keys);
				if (which === 0) {
					yield* pause_sbt("server", 6_000_000);
					client = testbed_exec(bed.sides[0], `${command} -c ${bed.sides[1].address}`);
					yield* wait4(client);
				} else testbed_exec(bed.sides[1], "iperf3 -s -1");
			},
			(threads) => {
				if (window === null) runTogether(kernels, end);
				else take_turns(kernels, end, window);
				return threads.every((td) => td.td_exited);
			},
		);
		return [
			(client as unknown as process).lines,
			p.hosts.map(({ machine, ifp }) => [
				machine.fingerprint.toString(),
				machine.fingerprint.count,
				machine.event_count,
				...ifp.if_counters,
			]),
		];
	}

	test.each([
		[1, "iperf3 -t 1ms -i 0", true],
		[2, "iperf3 -u -b 2G -t 1ms -i 0 -l 1000", false],
	] as const)("and see the same in whatever turns they take, seed %i, %s", (seed, command, plain) => {
		const expected = whole(seed, command, plain, null, false);
		for (const [window, swapped] of [
			[1_000, true],
			[137, false],
		] as const) {
			expect(whole(seed, command, plain, window, swapped)).toEqual(expected);
		}
	});

	test("never further apart than the shorter of their cables is long", () => {
		const p = pair({ costs: overrides({ wire_latency: 1_500 }) }, { costs: overrides({ wire_latency: 9_000 }) });
		build(p, { plain: true });
		let apart = 0;
		const [one, two] = p.hosts.map(({ machine }) => machine);
		for (const [host, here, there] of [
			[p.hosts[0], one, two],
			[p.hosts[1], two, one],
		] as const) {
			// nothing happens on the other one between its clock and its next event
			tap(host, () => {
				apart = Math.max(apart, here.now - Math.max(there.now, there.events.nextTime), there.now - here.now);
			});
		}
		exec(p, 0, `iperf3 -c ${p.beds[1].sides[1].address} -t 1ms -i 0`, "iperf3 -s -1");
		expect(apart).toBeGreaterThan(500);
		expect(apart).toBeLessThanOrEqual(1_500);
	});

	test("and agree on what comes first when a frame arrives at the very time of something else", () => {
		const orders = [3_500, 1_000, 100].map((window) => {
			const p = pair({ costs: overrides({ wire_latency: 3_500 }) });
			const [one, two] = p.hosts;
			const order: string[] = [];
			const start = Math.max(one.machine.now, two.machine.now) + 10_000;
			const arrival = start + 1_000 + 68 + 3_500;
			two.wire.receive = () => order.push("frame");
			const local = new Event({ fire: () => order.push("local") });
			const plan = new Event({ fire: () => two.machine.events.schedule(local, arrival) });
			const send = new Event({
				fire: () => one.wire.send({ bytes: new Uint8Array(60), packet_id: 0 }, one.machine.now),
			});
			two.machine.events.schedule(plan, start);
			one.machine.events.schedule(send, start + 1_000);
			take_turns(p.kernels, arrival + 1, window);
			return order;
		});
		expect(orders).toEqual([orders[0], orders[0], orders[0]]);
	});

	test("runTogetherUntilExit stops within a step of the last end, and says so if the limit comes first", () => {
		const p = pair();
		const [one, two] = p.hosts;
		const threads = [
			spawn(one.kernel, "one", () => pause_sbt("one", 1_000_000)),
			spawn(two.kernel, "two", () => pause_sbt("two", 5_000_000)),
		];
		const { now } = one.machine;
		expect(runTogetherUntilExit(p.kernels, threads, 10_000, 3_000_000)).toBe(false);
		expect(threads.map((td) => td.td_exited)).toEqual([true, false]);
		expect([one, two].map(({ machine }) => machine.now - now)).toEqual([3_000_000, 3_000_000]);
		expect(runTogetherUntilExit(p.kernels, threads, 10_000, 1e9)).toBe(true);
		expect(one.machine.now).toBe(two.machine.now);
		expect(one.machine.now - now).toBeGreaterThan(5_000_000);
		expect(one.machine.now - now).toBeLessThan(6_000_000);
	});
});
