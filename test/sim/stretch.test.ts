import { describe, expect, test } from "vitest";
import { parseRunOptions } from "../../sim/options.ts";
import { recordStretch, simulate } from "../../sim/run.ts";
import { ACTIVITIES, type Activity, type Segment } from "../../sim/stretch.ts";

const LENGTH_NS = 1_000_000;

function options(policy: string, machine: string) {
	return parseRunOptions({ policy, machine, crypto: "own", duration: "1ms", warmup: "1ms", costOnly: true });
}

function total(segments: readonly Segment[], ...kinds: Activity[]): number {
	return segments.reduce((sum, { from, to, what }) => sum + (kinds.includes(what) ? to - from : 0), 0);
}

describe.each([
	["all-cpus", "xeon-d"],
	["round-robin", "vm"],
])("a stretch of %s on %s", async (policy, machine) => {
	const stretch = await recordStretch(options(policy, machine), LENGTH_NS);
	const { result } = await simulate(options(policy, machine));

	test("covers each CPU's time in order, without gaps and overlaps", () => {
		expect(stretch.length_ns).toBe(LENGTH_NS);
		for (const segments of stretch.cpus) {
			let at = 0;
			for (const { from, to, what } of segments) {
				expect(from).toBe(at);
				expect(to).toBeGreaterThan(from);
				expect(ACTIVITIES).toContain(what);
				at = to;
			}
			expect(at).toBe(LENGTH_NS);
		}
	});

	test("is of the very run that is measured: the same tasks, and on each CPU the same time polled, halted, woken and worked", () => {
		expect(stretch.tasks_scheduled).toBe(result.tasks_scheduled);
		expect(stretch.tasks_useful).toBe(result.tasks_useful);
		expect(stretch.cpus).toHaveLength(result.per_cpu.length);
		stretch.cpus.forEach((segments, id) => {
			const cpu = result.per_cpu[id];
			expect(total(segments, "poll")).toBe(cpu.poll_ns);
			expect(total(segments, "halt")).toBe(cpu.idle_ns);
			expect(total(segments, "wake")).toBe(cpu.wake_ns);
			expect(total(segments, "crypto", "deliver", "other", "nothing")).toBe(cpu.busy_ns);
		});
	});

	test("calls the same time wasted as the metrics do, up to the stints under way at either end", () => {
		const wasted = stretch.cpus.reduce((sum, segments) => sum + total(segments, "nothing"), 0);
		expect(wasted).toBeGreaterThan(0);
		expect(Math.abs(wasted - result.cpu_wasted_ns)).toBeLessThan(0.05 * result.cpu_wasted_ns + 10_000);
	});
});

test("a policy that cannot be loaded is refused as everywhere", async () => {
	await expect(recordStretch({ ...options("all-cpus", "xeon-d"), policy: "no-such" }, LENGTH_NS)).rejects.toThrow(
		/--policy: no "no-such"/,
	);
});
