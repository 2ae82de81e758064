/** Whatever threads do with locks taken in order: exclusion holds, everybody finishes, and nothing lent is kept. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bootOn, finish, profile, program, startProgram, wrongBooks } from "../sched/support.ts";

describe.each(["xeon-d", "vm"])("random programs on %s", (name) => {
	test("exclude each other, finish, give lent priority back and leave the books right", () => {
		fc.assert(
			fc.property(program, (p) => {
				const kernel = bootOn({ profile: profile(name), cpus: p.cpus, seed: p.seed });
				const { locks, tds } = startProgram(kernel, p);
				finish(kernel, tds);
				expect(locks.violations).toEqual([]);
				for (const td of tds) {
					expect(td.td_priority).toBe(td.td_base_pri);
					expect(td.td_contested).toEqual([]);
					expect([td.td_critnest, td.td_pinned, td.td_no_sleeping, td.td_rw_rlocks, td.td_sx_slocks]).toEqual([
						0, 0, 0, 0, 0,
					]);
				}
				expect(wrongBooks(kernel)).toEqual([]);
			}),
			{ numRuns: 150, seed: 7 },
		);
	});
});
