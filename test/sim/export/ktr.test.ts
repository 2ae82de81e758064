/** KTR text against what schedgraph.py reads; its grammar is in kernel.md section 14. */
import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { exportRun } from "./support.ts";

/** schedgraph.py's own expression, from the beginning of the line. */
const LINE =
	/^\s*(\d+)\s+(\d+)\s+(\d+)\s+KTRGRAPH group:"([^"]*)", id:"([^"]*)", ([^:]+):(?:"([^"]*)"|([^,]+)), attributes: (.*)/;
/** A list of name:value, or the word none. */
const ATTRIBUTES = /^(?:none|[^:",]+:(?:"[^"]*"|[^",]+)(?:, [^:",]+:(?:"[^"]*"|[^",]+))*)$/;
/** States it has colours for, and `spinning`, to which it gives one. */
const STATES = [
	...["running", "idle", "yielding", "iwait", "sleep", "blocked", "runq add", "runq rem", "thread exit", "spinning"],
	...["lock acquire", "lock contest", "lock release"],
];

interface Entry {
	readonly index: number;
	readonly cpu: number;
	readonly time: number;
	readonly group: string;
	readonly id: string;
	readonly type: string;
	readonly datum: string;
	readonly attributes: string;
}

let text: string;
let entries: Entry[];

beforeAll(async () => {
	const { file, directory } = await exportRun("ktr", { policy: "all-cpus", costOnly: true });
	expect(readdirSync(directory)).toEqual(["ktr.txt"]);
	text = readFileSync(file, "utf8");
	entries = text
		.trimEnd()
		.split("\n")
		.map((line) => {
			const match = LINE.exec(line);
			if (match === null) throw new Error(`schedgraph.py cannot parse: ${line}`);
			const [, index, cpu, time, group, id, type, quoted, bare, attributes] = match;
			return {
				...{ index: Number(index), cpu: Number(cpu), time: Number(time) },
				...{ group, id, type, datum: quoted ?? bare, attributes },
			};
		});
});

describe("schedgraph.py can read it", () => {
	test("every line, with its attributes", () => {
		expect(entries.length).toBeGreaterThan(1000);
		expect(entries.filter(({ attributes }) => !ATTRIBUTES.test(attributes))).toEqual([]);
	});

	test("newest first, numbered from 1", () => {
		expect(entries.map(({ index }) => index)).toEqual(entries.map((_, i) => i + 1));
		expect(entries.filter(({ time }, i) => i > 0 && time > entries[i - 1].time)).toEqual([]);
	});

	test("states it has colours for, counters that are numbers, points", () => {
		const kinds = entries.map(({ type, datum }) =>
			type === "counter" ? `counter ${Number(datum) >= 0}` : `${type} ${datum}`,
		);
		const known = ["counter true", "point wokeup", ...STATES.map((state) => `state ${state}`)];
		expect([...new Set(kinds)].filter((kind) => !known.includes(kind))).toEqual([]);
		const counters = new Set(entries.filter(({ type }) => type === "counter").map(({ id }) => id));
		expect(entries.filter(({ type, id }) => type === "state" && counters.has(id))).toEqual([]);
	});

	test("links lead to threads that are there", () => {
		const ids = new Set(entries.map(({ id }) => id));
		const links = entries.flatMap(({ attributes }) => /linkedto:"([^"]*)"/.exec(attributes)?.[1] ?? []);
		expect(links.length).toBeGreaterThan(100);
		expect(links.filter((id) => !ids.has(id) && id !== "timer interrupt")).toEqual([]);
	});
});

describe("it shows the run", () => {
	test("threads, the load of every CPU, callouts, and locks that were waited for", () => {
		const groups = new Set(entries.map(({ group }) => group));
		expect([...groups].sort()).toEqual(["callout", "load", "lock", "thread"]);
		const ids = new Set(entries.map(({ id }) => id));
		for (let cpu = 0; cpu < 8; cpu++) {
			expect(ids).toContain(`CPU ${cpu} load`);
			expect([...ids].some((id) => id.startsWith(`wg_tqg_${cpu} tid `))).toBe(true);
		}
	});

	test("a CPU runs one thread at a time", () => {
		const running = new Map<number, string>();
		for (const { group, id, cpu, type, datum } of [...entries].reverse()) {
			if (group !== "thread" || type !== "state") continue;
			if (datum === "running") {
				if ((running.get(cpu) ?? id) !== id) throw new Error(`CPU ${cpu} runs both ${running.get(cpu)} and ${id}`);
				running.set(cpu, id);
			} else if (datum !== "runq add" && datum !== "spinning" && running.get(cpu) === id) running.delete(cpu);
		}
	});
});

test("the same run makes the same file", async () => {
	const { file } = await exportRun("ktr", { policy: "all-cpus", costOnly: true });
	expect(readFileSync(file, "utf8") === text).toBe(true);
});
