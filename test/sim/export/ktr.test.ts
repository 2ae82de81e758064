/** KTR text against what schedgraph.py reads; its grammar is in kernel.md section 14. */
import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { readSchedgraph, type Schedgraph, type SchedgraphEvent, type SchedgraphRow } from "./schedgraph.ts";
import { exportRun } from "./support.ts";

/** States it has colours for, and `spinning`, to which it gives one. */
const STATES = [
	...["running", "idle", "yielding", "iwait", "sleep", "blocked", "runq add", "runq rem", "thread exit", "spinning"],
	...["lock acquire", "lock contest", "lock release"],
];

let text: string;
let graph: Schedgraph;
/** all events, newest first, as they are in the file */
let events: (SchedgraphEvent & Pick<SchedgraphRow, "group" | "id">)[];

beforeAll(async () => {
	const { file, directory } = await exportRun("ktr", { policy: "all-cpus", costOnly: true });
	expect(readdirSync(directory)).toEqual(["ktr.txt"]);
	text = readFileSync(file, "utf8");
	graph = readSchedgraph(text);
	events = graph.rows
		.flatMap(({ group, id, events: own }) => own.map((event) => ({ ...event, group, id })))
		.sort((a, b) => a.index - b.index);
}, 60_000);

describe("schedgraph.py can read it", () => {
	test("every line, with its attributes, without a complaint", () => {
		expect(events.length).toBeGreaterThan(1000);
		expect(events.length).toBe(text.trimEnd().split("\n").length);
		expect(graph.complaints).toEqual([]);
	});

	test("newest first, numbered from 1", () => {
		expect(events.map(({ index }) => index)).toEqual(events.map((_, i) => i + 1));
		expect(events.filter(({ time }, i) => i > 0 && time > events[i - 1].time)).toEqual([]);
	});

	test("states it has colours for, and points", () => {
		const kinds = new Set(events.filter(({ type }) => type !== "counter").map(({ type, datum }) => `${type} ${datum}`));
		const known = ["point wokeup", ...STATES.map((state) => `state ${state}`)];
		expect([...kinds].filter((kind) => !known.includes(kind))).toEqual([]);
	});

	test("links from who is woken to who wakes, and back", () => {
		const links = events.filter(({ attributes }) => attributes.has("linkedto"));
		expect(links.filter(({ datum }) => datum === "wokeup").length).toBeGreaterThan(50);
		expect(links.filter(({ datum }) => datum === "runq add").length).toBeGreaterThan(50);
	});
});

test("a file that is wrong is complained about", () => {
	const line = (i: number, time: number, rest: string): string => `${i} 0 ${time} KTRGRAPH ${rest}\n`;
	const state = (id: string, attributes: string): string =>
		`group:"thread", id:"${id}", state:"running", attributes: ${attributes}`;
	const wrong: [string, RegExp][] = [
		["cpu index timestamp trace\n", /^cannot parse/],
		[line(1, 5, state("a", "none")) + line(2, 5000, state("b", "none")), /^bad time stamp/],
		[line(1, 5, state("a", 'linkedto:"b"')), /a link to b, which has no row/],
		[line(1, 5, state("a", 'prio:1,lockname:"x"')), /^attributes/],
		[line(1, 5, 'group:"load", id:"c", counter:0, attributes: none'), /counters of load are all 0/],
		[line(1, 5, 'group:"x", id:"c", start:0x1, attributes: none'), /^unknown type/],
		[
			line(2, 5, 'group:"x", id:"c", counter:1, attributes: none') +
				line(1, 5, 'group:"x", id:"c", state:"s", attributes: none'),
			/one row/,
		],
	];
	for (const [file, complaint] of wrong) {
		expect(readSchedgraph(file).complaints.length).toBe(1);
		expect(readSchedgraph(file).complaints[0]).toMatch(complaint);
	}
});

describe("it shows the run", () => {
	test("threads, the load of every CPU, callouts, and locks that were waited for", () => {
		expect([...new Set(graph.rows.map(({ group }) => group))].sort()).toEqual(["callout", "load", "lock", "thread"]);
		const ids = graph.rows.map(({ id }) => id);
		for (let cpu = 0; cpu < 8; cpu++) {
			expect(ids).toContain(`CPU ${cpu} load`);
			expect(ids.some((id) => id.startsWith(`wg_tqg_${cpu} tid `))).toBe(true);
		}
	});

	test("a CPU runs one thread at a time", () => {
		const running = new Map<number, string>();
		for (const { group, id, cpu, type, datum } of [...events].reverse()) {
			if (group !== "thread" || type !== "state") continue;
			if (datum === "running") {
				if ((running.get(cpu) ?? id) !== id) throw new Error(`CPU ${cpu} runs both ${running.get(cpu)} and ${id}`);
				running.set(cpu, id);
			} else if (datum !== "runq add" && datum !== "spinning" && running.get(cpu) === id) running.delete(cpu);
		}
	});

	test("a callout that runs comes to its end", () => {
		const callouts = graph.rows.filter(({ group }) => group === "callout").flatMap((row) => row.events);
		expect(callouts.length).toBeGreaterThan(2);
		expect(callouts.map(({ datum }) => datum)).toEqual(callouts.map((_, i) => (i % 2 === 0 ? "running" : "idle")));
	});
});

test("the same run makes the same file", async () => {
	const { file } = await exportRun("ktr", { policy: "all-cpus", costOnly: true });
	expect(readFileSync(file, "utf8") === text).toBe(true);
});
