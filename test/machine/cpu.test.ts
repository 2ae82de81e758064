import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Cpu } from "../../src/machine/cpu.ts";
import { findProfile } from "../../src/machine/profile.ts";

const xeon = findProfile("xeon-d")!;

function idle(cpu: Cpu): number {
	return cpu.poll_ns + cpu.cstate_ns.reduce((sum, ns) => sum + ns, 0);
}

describe("C-states", () => {
	test.each([
		[0, 0, 2_000],
		[19_999, 0, 2_000],
		[20_000, 1, 10_000],
		[599_999, 1, 10_000],
		[600_000, 2, 133_000],
		[1e12, 2, 133_000],
	])("after %d ns the CPU is in state %d, which takes %d ns to leave", (halted, state, latency) => {
		const cpu = new Cpu(0, xeon);
		cpu.enterIdle(1_000, 0);
		expect(cpu.exitIdle(1_000 + halted)).toBe(latency);
		expect(cpu.cstate_ns[state]).toBe(halted);
		expect(cpu.cstate_exits[state]).toBe(1);
		expect(cpu.wakeups).toBe(1);
	});

	test("polling comes first, takes nothing to leave, and does not count towards the depth", () => {
		const cpu = new Cpu(0, xeon);
		cpu.enterIdle(1_000, 50_000);
		expect(cpu.polling(50_999)).toBe(true);
		expect(cpu.polling(51_000)).toBe(false);
		expect(cpu.exitIdle(30_000)).toBe(0);
		expect([cpu.poll_ns, cpu.wakeups]).toEqual([29_000, 0]);
		cpu.enterIdle(100_000, 50_000);
		expect(cpu.exitIdle(150_000 + 19_999)).toBe(2_000);
		expect([cpu.poll_ns, cpu.cstate_ns[0], cpu.wakeups]).toEqual([79_000, 19_999, 1]);
	});
});

describe("settle", () => {
	test("looking at the books, however often, changes neither the latency nor what is booked in the end", () => {
		const period = fc.record({ busy: fc.nat(5_000), poll: fc.constantFrom(0, 40_000), idle: fc.nat(900_000) });
		fc.assert(
			fc.property(
				fc.array(fc.tuple(period, fc.array(fc.nat(900_000), { maxLength: 4 })), { maxLength: 10 }),
				(periods) => {
					const quiet = new Cpu(0, xeon);
					const watched = new Cpu(0, xeon);
					let now = 0;
					let idle_ns = 0;
					for (const [{ busy, poll, idle: length }, looks] of periods) {
						now += busy;
						quiet.enterIdle(now, poll);
						watched.enterIdle(now, poll);
						for (const at of looks.filter((look) => look <= length).sort((a, b) => a - b)) {
							watched.settle(now + at);
							expect(idle(watched)).toBe(idle_ns + at);
						}
						now += length;
						idle_ns += length;
						expect(watched.exitIdle(now)).toBe(quiet.exitIdle(now));
						expect(idle(quiet)).toBe(idle_ns);
						expect(idle(watched)).toBe(idle_ns);
					}
					expect([...watched.cstate_exits]).toEqual([...quiet.cstate_exits]);
					expect([watched.wakeups, watched.poll_ns]).toEqual([quiet.wakeups, quiet.poll_ns]);
				},
			),
		);
	});

	test("leaves a busy CPU alone", () => {
		const cpu = new Cpu(0, xeon);
		cpu.enterIdle(0, 0);
		cpu.exitIdle(100);
		cpu.settle(500);
		expect(idle(cpu)).toBe(100);
	});
});
