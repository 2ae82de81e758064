/** Vector registers in the kernel: what keeps preemption out, and until when. */
import { describe, expect, test } from "vitest";
import { fpu_kern_enter, fpu_kern_leave } from "../../../src/crypto/ocf/fpu.ts";
import { charge, own_time, sync, sync_exactly } from "../../../src/kernel/sched/thread.ts";
import { LEAD_NS } from "../../../src/machine/lead.ts";
import { bootOn, finish, start } from "../../kernel/sched/support.ts";

/** before the next tick */
const START = 10_500_000;
const SECTION = 10_000;

/** When a better thread, woken `after` START on the CPU of one that has a section then, gets to run, ns after START. */
function preempted(lead_ns: number, after: number): number {
	const kernel = bootOn({ cpus: 2, lead_ns });
	let ran = 0;
	const worker = start(kernel, "worker", 120, 1, function* () {
		charge(START - own_time());
		yield* sync_exactly();
		yield* fpu_kern_enter();
		charge(SECTION);
		yield* fpu_kern_leave();
		charge(100);
		yield* sync();
		charge(50_000);
		yield* sync();
	});
	const waker = start(kernel, "waker", 40, 0, function* () {
		charge(START + after - own_time());
		yield* sync_exactly();
		const urgent = start(kernel, "urgent", 8, 1, function* () {
			ran = kernel.machine.now - START;
			yield* sync();
		});
		expect(urgent.td_cpu).toBe(1);
	});
	finish(kernel, [worker, waker]);
	return ran;
}

describe.each([0, LEAD_NS])("a section without context, lead %i ns", (lead) => {
	test("is not interrupted, though the thread may have left it ahead of the clock", () => {
		const ran = preempted(lead, SECTION / 2);
		expect(ran).toBeGreaterThan(SECTION);
		expect(ran).toBeLessThan(SECTION + 3_000);
	});

	test("when it is over, a better thread gets the CPU at once", () => {
		const ran = preempted(lead, 2 * SECTION);
		expect(ran).toBeGreaterThan(2 * SECTION);
		expect(ran).toBeLessThan(2 * SECTION + 3_000);
	});
});
