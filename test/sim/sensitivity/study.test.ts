import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UsageError } from "../../../sim/errors.ts";
import { commandLine, parseRunOptions, type RunOptions } from "../../../sim/options.ts";
import type { RunResult } from "../../../sim/result.ts";
import { simulate } from "../../../sim/run.ts";
import { ChargedCosts } from "../../../sim/sensitivity/charged.ts";
import { DEFAULT_STUDY, type StudyOptions, studyJobs, VARIANTS } from "../../../sim/sensitivity/design.ts";
import { header, Journal } from "../../../sim/sensitivity/journal.ts";
import { renderStudy, studyCommand, studyMarkdown } from "../../../sim/sensitivity/report.ts";
import { storedStudy } from "../../../sim/sensitivity/stored.ts";
import { finishStudy, parseVary, type Runner } from "../../../sim/sensitivity/study.ts";
import { summariseStudy } from "../../../sim/sensitivity/summary.ts";
import { root } from "../../support/source.ts";

let directory: string;
let count = 0;
beforeAll(() => {
	directory = mkdtempSync(path.join(tmpdir(), "ifwg-sensitivity-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const fresh = (): string => path.join(directory, `${count++}.jsonl`);
const base = parseRunOptions({ duration: "1ms", warmup: "0s", costOnly: true });
const options: StudyOptions = {
	base,
	vary: ["context_switch", "line_transfer"],
	points: 30,
	seeds: 2,
	base_seeds: 4,
	checks: 3,
};
const head = header(
	commandLine({ ...base, ...VARIANTS[0] }),
	["context_switch", "line_transfer"],
	["1", "2", "3", "4"],
);

/** A world simple enough to know what must come out: a context switch takes from all-cpus what it takes, seeds add a little. */
function plainWorld(job: RunOptions): RunResult {
	const { policy, crypto, seed, costs } = job;
	const switching = costs.context_switch ?? 1500;
	const throughput_bps = policy === "all-cpus" ? 4e9 - 500_000 * switching + 1e6 * (seed % 4) : 4e9;
	const tasks_useful = policy === "all-cpus" ? 13 : 65;
	const known = { policy, crypto, throughput_bps, tasks_scheduled: 100, tasks_useful, wakeups: 1 };
	return { ...known, fingerprint: "f" } as unknown as RunResult;
}

const runner: Runner = async (jobs, onResult) => {
	jobs.forEach((job, at) => {
		onResult(plainWorld(job), at);
	});
};

describe("a file of results", () => {
	test("an interrupted study goes on where it stopped, and ends as if it had not been", async () => {
		const whole = fresh();
		const first = new Journal(whole, head);
		await finishStudy(options, first, runner);
		first.close();

		const file = fresh();
		const stopped = new Journal(file, head);
		const giveUp: Runner = async (jobs, onResult) => {
			jobs.slice(0, 11).forEach((job, at) => {
				onResult(plainWorld(job), at);
			});
			throw new Error("Ctrl-C");
		};
		await expect(finishStudy(options, stopped, giveUp)).rejects.toThrow("Ctrl-C");
		stopped.close();
		appendFileSync(file, '{"run":"base 3","policy":"round-ro');

		const again = new Journal(file, head);
		let made = 0;
		await finishStudy(options, again, async (jobs, onResult) => {
			made = jobs.length;
			await runner(jobs, onResult);
		});
		expect(made).toBe(studyJobs(options).length - 11);
		expect(summariseStudy(options, again)).toEqual(summariseStudy(options, new Journal(whole, head)));
		again.close();
		expect(readFileSync(file, "utf8")).toBe(readFileSync(whole, "utf8"));
	});

	test("wherever it is cut off, it can be gone on with", async () => {
		const file = fresh();
		const small = { ...options, points: 0, vary: [], base_seeds: 2, checks: 0 };
		const journal = new Journal(file, head);
		await finishStudy(small, journal, runner);
		journal.close();
		const whole = readFileSync(file, "utf8");
		for (let cut = 0; cut < whole.length; cut += 13) {
			writeFileSync(file, whole);
			truncateSync(file, cut);
			const again = new Journal(file, head);
			await finishStudy(small, again, runner);
			again.close();
			expect(readFileSync(file, "utf8"), `cut at ${cut}`).toBe(whole);
		}
	});

	test("of other settings, of another model, or of something else is refused and left as it is", () => {
		const file = fresh();
		new Journal(file, head).close();
		const text = readFileSync(file, "utf8");
		const open =
			(wanted: typeof head, where = file) =>
			() =>
				new Journal(where, wanted);
		expect(open({ ...head, base: "npx ifwg run --cpus 4" })).toThrow(/holds results of other settings \(npx ifwg run /);
		expect(open({ ...head, fingerprints: ["1", "2", "3", "5"] })).toThrow(
			/holds results of another version of the model/,
		);
		expect(readFileSync(file, "utf8")).toBe(text);
		for (const other of ["# a page\n", "no end of line", '{"format":"else"}\n']) {
			const foreign = fresh();
			writeFileSync(foreign, other);
			expect(open(head, foreign)).toThrow(UsageError);
			expect(readFileSync(foreign, "utf8")).toBe(other);
		}
		expect(open(head, directory)).toThrow(UsageError);
	});

	test("a study of another size shares the file, and only the hypercube is another", async () => {
		const journal = new Journal(fresh(), head);
		await finishStudy(options, journal, runner);
		const larger = { ...options, points: 40, checks: 0 };
		expect(studyJobs(larger).filter((job) => !journal.has(job))).toHaveLength(4 * 40);
		journal.close();
	});
});

describe("the summary", () => {
	test("finds the constant that matters, how far it moves the ratio, and where a conclusion holds", async () => {
		const journal = new Journal(fresh(), head);
		await finishStudy(options, journal, runner);
		const { usual, swings, hypercube } = summariseStudy(options, journal);
		journal.close();
		expect(usual.ratio).toBeCloseTo(4 / 3.2515, 5);
		expect(swings.map(({ name, clear }) => [name, clear])).toEqual([
			["context_switch", true],
			["line_transfer", false],
		]);
		expect(swings[0].low.ratio).toBeCloseTo(4 / 3.7015, 5);
		expect(swings[0].high.ratio).toBeCloseTo(4 / 1.7515, 5);
		expect(hypercube?.importance[0].name).toBe("context_switch");
		expect(hypercube?.importance[0].coefficient).toBeGreaterThan(0.95);
		// more than 2 needs a switch of more than 4000 cycles: a twelfth of the space
		const twice = hypercube?.conclusions.find((conclusion) => conclusion.text.startsWith("more than twice the"));
		expect(twice?.holds).toBeGreaterThanOrEqual(1);
		expect(twice?.holds).toBeLessThanOrEqual(4);
		expect(hypercube?.check?.correlation).toBeCloseTo(1, 3);
	});

	test("as text and as a page says what was varied and how to make it again", async () => {
		const journal = new Journal(fresh(), head);
		await finishStudy(options, journal, runner);
		const summary = summariseStudy(options, journal);
		journal.close();
		const text = renderStudy(options, summary);
		expect(text).toMatch(/\n {2}context_switch {2}600 \.\. 1500 \.\. 4500 cycles +1\.08 +2\.28 {2}\*/);
		expect(text).toMatch(/\n {2}round-robin wins, own ciphers +100\.0 % \(88\.6 % to 100\.0 %\) +30 of 30/);
		const command = studyCommand(options, "context_switch,line_transfer");
		expect(command).toBe(
			"npx ifwg sensitivity --duration 1ms --warmup 0ns --points 30 --seeds 2 --base-seeds 4 --checks 3 --vary context_switch,line_transfer",
		);
		expect(studyMarkdown(options, summary, command)).toContain(`\nMade by \`${command} --write\`.\n`);
	});
});

test("constants to vary must exist", () => {
	expect(parseVary(undefined)).toBeNull();
	expect(parseVary("atomic,wg_xmit")).toEqual(["atomic", "wg_xmit"]);
	expect(() => parseVary("teleport")).toThrow('--vary: no "teleport"; ifwg list costs shows them all');
});

test("looking which costs a run charges does not change it, and what it charges changes it", async () => {
	const run = { ...base, duration_ns: 500_000 };
	const charged = new ChargedCosts();
	const { fingerprint } = (await simulate(run, null, charged)).result;
	const { names } = charged;
	const plain = (await simulate(run)).result;
	expect(fingerprint).toBe(plain.fingerprint);
	for (const name of ["context_switch", "line_transfer", "chapoly_own", "wg_encrypt", "tcp_output"]) {
		expect(names).toContain(name);
	}
	for (const name of ["chapoly_ossl", "aes_soft", "fork_exec", "ping_packet"]) expect(names).not.toContain(name);
	const dearer = (await simulate({ ...run, costs: { chapoly_own: 13_700 } })).result;
	expect(dearer.fingerprint).not.toBe(plain.fingerprint);
	expect(dearer.command).toContain("--cost chapoly_own=13700 ");
	expect((await simulate({ ...run, costs: { aes_soft: 20_000 } })).result.events).toBe(plain.events);
});

test("a stored study is nothing where there is no file, an incomplete one, or one of another model", async () => {
	const file = fresh();
	expect(await storedStudy(file)).toBeNull();
	const stored = readFileSync(path.join(root, DEFAULT_STUDY.results), "utf8");
	const first = stored.slice(0, stored.indexOf("\n") + 1);
	writeFileSync(file, first);
	expect(await storedStudy(file)).toBeNull();
	const { fingerprints } = JSON.parse(first);
	writeFileSync(file, stored.replace(fingerprints[0], "0"));
	expect(await storedStudy(file)).toBeNull();
});
