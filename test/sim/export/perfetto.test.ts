/** The trace against what Perfetto's importer wants. */
import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { exportRun } from "./support.ts";

interface TraceEvent {
	readonly ph: string;
	readonly name?: string;
	readonly cat?: string;
	readonly pid: number;
	readonly tid?: number;
	readonly ts?: number;
	readonly dur?: number;
	readonly bind_id?: string;
	readonly flow_in?: boolean;
	readonly flow_out?: boolean;
	readonly args?: Record<string, unknown>;
}

let text: string;
let events: TraceEvent[];

beforeAll(async () => {
	text = readFileSync((await exportRun("perfetto", { costOnly: true })).file, "utf8");
	events = (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents;
}, 60_000);

const of = (ph: string): TraceEvent[] => events.filter((event) => event.ph === ph);

test("every event has a known kind, a place and a time", () => {
	expect([...new Set(events.map(({ ph }) => ph))].sort()).toEqual(["B", "C", "E", "M", "T", "X"]);
	const good = (event: TraceEvent): boolean =>
		Number.isInteger(event.pid) && (event.ph === "M" || (event.ts as number) >= 0) && (event.dur ?? 0) >= 0;
	expect(events.filter((event) => !good(event))).toEqual([]);
	const named = new Set(of("M").map(({ pid, tid }) => `${pid}.${tid}`));
	const unnamed = events.filter(({ pid, tid }) => tid !== undefined && !named.has(`${pid}.${tid}`));
	expect(unnamed).toEqual([]);
});

test("a CPU runs one thread at a time, and scheduling states say on which", () => {
	const free = new Map<number, number>();
	for (const { tid, ts, dur } of of("X").sort((a, b) => (a.ts as number) - (b.ts as number))) {
		if ((ts as number) < (free.get(tid as number) ?? 0) - 1e-6)
			throw new Error(`two threads on CPU row ${tid} at ${ts}`);
		free.set(tid as number, (ts as number) + (dur as number));
	}
	const running = of("T").filter(({ name }) => name === "Running");
	expect(running.length).toBe(of("X").length);
	expect(running.filter(({ args }) => !Number.isInteger(args?.cpu))).toEqual([]);
});

test("what is on one row is in order of time: spans of a CPU, states of a thread, values of a counter", () => {
	const last = new Map<string, number>();
	for (const { ph, pid, tid, ts, name } of events) {
		if (ph !== "X" && ph !== "T" && ph !== "C") continue;
		const row = ph === "C" ? `C ${pid} ${name}` : `${ph} ${pid} ${tid}`;
		if ((ts as number) < (last.get(row) ?? 0)) throw new Error(`${row} goes back to ${ts}`);
		last.set(row, ts as number);
	}
});

test("a state ends where the next begins, so that the thread is always in one", () => {
	const ends = new Map<number, number>();
	for (const { tid, ts, dur } of of("T")) {
		const end = ends.get(tid as number);
		if (end !== undefined) expect(Math.abs((ts as number) - end)).toBeLessThan(1e-6);
		ends.set(tid as number, (ts as number) + (dur as number));
	}
});

test("counters: load of every CPU, tasks and packets that wait, each a number that is not negative", () => {
	const counters = of("C");
	expect(counters.filter(({ args }) => !(Number.isInteger(args?.value) && (args?.value as number) >= 0))).toEqual([]);
	expect(counters.filter(({ args }) => Object.keys(args ?? {}).join() !== "value")).toEqual([]);
	const names = new Set(counters.map(({ name }) => name));
	for (const name of ["wgtest1:wg0 packets to encrypt", "wgtest2:wg0 packets to decrypt", "netisr 0 packets"]) {
		expect(names).toContain(name);
		expect(counters.some((event) => event.name === name && (event.args?.value as number) > 0)).toBe(true);
	}
	for (let cpu = 0; cpu < 8; cpu++) expect(names).toContain(`CPU ${cpu} load`);
	expect([...names].some((name) => /^wg_tqg_[0-7] tasks$|taskqueue tasks$| tasks$/.test(name ?? ""))).toBe(true);
});

test("slices of a thread nest, and time does not go back in them", () => {
	const open = new Map<number, number>();
	const clock = new Map<number, number>();
	for (const { ph, tid, ts } of events) {
		if (ph !== "B" && ph !== "E") continue;
		const row = tid as number;
		if ((ts as number) < (clock.get(row) ?? 0)) throw new Error(`thread ${row} goes back to ${ts}`);
		clock.set(row, ts as number);
		const depth = (open.get(row) ?? 0) + (ph === "B" ? 1 : -1);
		if (depth < 0) throw new Error(`thread ${row} ends at ${ts} what it did not begin`);
		open.set(row, depth);
	}
	expect([...open.values()].filter((depth) => depth !== 0)).toEqual([]);
});

test("a packet's way is a chain of arrows with a hexadecimal name, from staged to delivered", () => {
	const ways = new Map<string, TraceEvent[]>();
	for (const event of events) {
		if (event.cat !== "packet") continue;
		expect(event.bind_id).toMatch(/^0x[0-9a-f]+$/);
		const way = ways.get(event.bind_id as string);
		if (way === undefined) ways.set(event.bind_id as string, [event]);
		else way.push(event);
	}
	// an arrow that comes in has gone out before, and not after it comes in
	for (const way of ways.values()) {
		for (let i = 1; i < way.length; i++) {
			expect(way[i].flow_in).toBe(true);
			expect(way[i - 1].flow_out).toBe(true);
		}
	}
	const whole = [...ways.values()].filter((way) => way[0].name === "staged" && way.at(-1)?.name === "delivered");
	expect(whole.length).toBeGreaterThan(50);
	for (const way of whole) {
		expect([way[0].flow_in, way[0].flow_out, way.at(-1)?.flow_in, way.at(-1)?.flow_out]).toEqual([
			...[false, true],
			...[true, false],
		]);
	}
});

test("the same run makes the same file", async () => {
	expect(readFileSync((await exportRun("perfetto", { costOnly: true })).file, "utf8") === text).toBe(true);
});
