/** Same seed, same options, same run: however it is cut into slices, watched, or replayed from a chooser's answers. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { set_stay } from "../../../src/kernel/sched/frame.ts";
import { set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { sched_settle } from "../../../src/kernel/sched/ule.ts";
import { type ChoiceKind, type Chooser, ReplayChooser } from "../../../src/machine/chooser.ts";
import { bootOn, finish, type Program, profile, program, startProgram, wrongBooks } from "./support.ts";

const BOOTED_NS = 10_000_000;
const END_NS = BOOTED_NS + 20_000_000;

interface Outcome {
	fingerprint: string;
	events: number;
	ipis: number;
	cpus: number[][];
	threads: [exited: boolean, runtime: number, cpu: number][];
}

/** A run in which the horizon has always been reached, so that every thread waits for the queue; and how many did not. */
interface AlwaysYield {
	inline_events: number;
}

/** Runs a program until END_NS, its time cut into slices that end at `ends`, and looked at after each of them or not. */
function outcome(
	p: Program,
	ends: readonly number[],
	watch: boolean,
	chooser?: Chooser,
	name = "xeon-d",
	always?: AlwaysYield,
): Outcome {
	const kernel = bootOn({ profile: profile(name), cpus: p.cpus, seed: p.seed, ...(chooser && { chooser }) });
	const { locks, tds } = startProgram(kernel, p);
	if (always !== undefined) {
		const before = kernel.machine.inline_events;
		kernel.machine.horizon = 0;
		while (kernel.machine.events.step(END_NS));
		always.inline_events = kernel.machine.inline_events - before;
	}
	for (const end of [...ends, END_NS]) {
		kernel.machine.run(end);
		if (watch) sched_settle();
	}
	expect(wrongBooks(kernel)).toEqual([]);
	expect(locks.violations).toEqual([]);
	const { machine } = kernel;
	return {
		fingerprint: machine.fingerprint.toString(),
		events: machine.event_count,
		ipis: machine.ipis,
		cpus: machine.cpus.map((c) => [c.busy_ns, c.poll_ns, c.wake_ns, c.spin_ns, c.switch_ns, c.interrupt_ns, c.wakeups]),
		threads: tds.map((td) => [td.td_exited, td.td_runtime, td.td_cpu]),
	};
}

const moments = fc
	.array(fc.integer({ min: BOOTED_NS, max: END_NS }), { maxLength: 8 })
	.map((times) => times.sort((a, b) => a - b));

describe("a run", () => {
	test("is the same in one piece and in any number of slices, watched or not", () => {
		fc.assert(
			fc.property(program, moments, (p, ends) => {
				expect(outcome(p, ends, true)).toEqual(outcome(p, [], false));
			}),
			{ numRuns: 60 },
		);
	});

	test("is the same when no thread ever passes a synchronisation without going through the queue", () => {
		fc.assert(
			fc.property(program, (p) => {
				const always: AlwaysYield = { inline_events: -1 };
				expect(outcome(p, [], false, undefined, "xeon-d", always)).toEqual(outcome(p, [], false));
				expect(always.inline_events).toBe(0);
			}),
			{ numRuns: 60 },
		);
	});

	test("is the same whether threads stay in their functions while they wait, or leave them", () => {
		let stayed = 0;
		let left = 0;
		fc.assert(
			fc.property(program, moments, (p, ends) => {
				const stay = set_stay(() => false);
				try {
					const never = outcome(p, ends, true);
					set_stay(() => {
						const stays = stay();
						if (stays) stayed++;
						else left++;
						return stays;
					});
					expect(outcome(p, ends, true)).toEqual(never);
				} finally {
					set_stay(stay);
				}
			}),
			{ numRuns: 60 },
		);
		expect(Math.min(stayed, left)).toBeGreaterThan(100);
	});

	test("is the same in a second kernel that takes turns with another", () => {
		fc.assert(
			fc.property(program, program, (p, q) => {
				const alone = outcome(p, [], false);
				const kernel = bootOn({ profile: profile("xeon-d"), cpus: p.cpus, seed: p.seed });
				startProgram(kernel, p);
				const other = bootOn({ profile: profile("vm"), cpus: q.cpus, seed: q.seed });
				startProgram(other, q);
				for (let at = BOOTED_NS; at <= END_NS; at += 1_000_000) {
					for (const each of [kernel, other]) {
						set_curkernel(each);
						each.machine.run(at);
					}
				}
				expect(kernel.machine.fingerprint.toString()).toBe(alone.fingerprint);
			}),
			{ numRuns: 10 },
		);
	});

	test("differs with the seed", () => {
		const p = fc
			.sample(program, { seed: 5, numRuns: 20 })
			.reduce((a, b) => (a.threads.length >= b.threads.length ? a : b));
		const prints = [1, 2, 3, 4].map((seed) => outcome({ ...p, seed }, [], false).fingerprint);
		expect(new Set(prints).size).toBe(4);
	});
});

describe("a chooser", () => {
	test("that always answers as FreeBSD would changes nothing", () => {
		fc.assert(
			fc.property(program, (p) => {
				expect(outcome(p, [], false, new ReplayChooser([]))).toEqual(outcome(p, [], false));
			}),
			{ numRuns: 30 },
		);
	});

	test("may answer as it likes: the run is another, every rule still holds, and its answers repeat it", () => {
		let asked = 0;
		let changed = 0;
		fc.assert(
			fc.property(program, fc.array(fc.nat(3), { minLength: 40, maxLength: 200 }), (p, script) => {
				const chooser = new ReplayChooser(script);
				const run = outcome(p, [], false, chooser);
				expect(outcome(p, [], false, new ReplayChooser(chooser.taken))).toEqual(run);
				if (chooser.taken.some((answer) => answer > 0)) {
					asked++;
					if (run.fingerprint !== outcome(p, [], false).fingerprint) changed++;
				}
			}),
			{ numRuns: 60, seed: 3 },
		);
		expect(asked).toBeGreaterThan(30);
		expect(changed / asked).toBeGreaterThan(0.5);
	});

	test("that is as unkind as it can be still lets everybody finish", () => {
		class Last implements Chooser {
			choose(_kind: ChoiceKind, count: number): number {
				return count - 1;
			}
		}
		fc.assert(
			fc.property(program, (p) => {
				const kernel = bootOn({ cpus: p.cpus, seed: p.seed, chooser: new Last() });
				finish(kernel, startProgram(kernel, p).tds);
			}),
			{ numRuns: 60 },
		);
	});
});

describe("any number of CPUs", () => {
	const [p] = fc.sample(program, { seed: 11, numRuns: 1 });
	test.each([1, 2, 3, 8, 64, 255, 256])("%d", (cpus) => {
		for (const name of ["xeon-d", "vm", "atom-c2758", "server-64"]) {
			const kernel = bootOn({ profile: profile(name), cpus });
			const { locks, tds } = startProgram(kernel, { ...p, cpus, threads: [...p.threads, ...p.threads, ...p.threads] });
			finish(kernel, tds);
			expect(locks.violations).toEqual([]);
			expect(wrongBooks(kernel)).toEqual([]);
		}
	});
});
