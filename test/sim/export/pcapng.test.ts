/** The packets a run exports, as Wireshark sees them. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, type TestContext, test } from "vitest";
import type { RawRunOptions } from "../../../sim/options.ts";
import { requireTool } from "../../support/tools.ts";
import { exportRun } from "./support.ts";

let toolContext: TestContext;

beforeEach((context) => {
	toolContext = context;
});

/** Makes a run and gives the name of its file. */
async function capture(raw: RawRunOptions): Promise<string> {
	const { directory, file } = await exportRun("pcapng", raw);
	expect(readdirSync(directory)).toEqual(["packets.pcapng"]);
	return file;
}

/** What tshark has to say of the packets that pass `filter`: the fields of each. */
function dissect(tshark: string, file: string, filter: string, ...fields: string[]): string[][] {
	const argv = ["-n", "-r", file, "-Y", filter, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
	const text = execFileSync(tshark, argv, {
		encoding: "utf8",
		stdio: ["ignore", "pipe", "ignore"],
		maxBuffer: 2 ** 27,
	});
	return text === ""
		? []
		: text
				.trimEnd()
				.split("\n")
				.map((line) => line.split("\t"));
}

describe("tshark opens every transport packet, and sees what is inside", () => {
	test.each<[string, RawRunOptions, string]>([
		["TCP", {}, "tcp"],
		["TCP under all-cpus with ossl on release 14.0", { policy: "all-cpus", crypto: "ossl", release: "14.0" }, "tcp"],
		["datagrams", { udp: true, bandwidth: "200M", length: "500" }, "udp"],
	])("%s", async (_what, raw, inner) => {
		const tshark = requireTool(toolContext, "tshark");
		const file = await capture(raw);
		const fields = ["frame.protocols", "wg.keepalive"];
		const transport = dissect(tshark, file, "wg.type == 4", ...fields).filter(([, keepalive]) => keepalive === "");
		expect(transport.length).toBeGreaterThan(100);
		expect(transport.filter(([protocols]) => !protocols.includes(":wg:ip:"))).toEqual([]);
		expect(transport.filter(([protocols]) => protocols.includes(`:wg:ip:${inner}`)).length).toBeGreaterThan(50);
		// the handshake is understood, too
		const stamps = dissect(tshark, file, "wg.type == 1", "wg.timestamp.value").flat();
		expect(stamps.length).toBeGreaterThan(0);
		expect(stamps.filter((stamp) => !stamp.startsWith("Nov 11, 2021"))).toEqual([]);
		const responses = dissect(tshark, file, "wg.type == 2", "wg.handshake_ok").flat();
		expect(responses.length).toBeGreaterThan(0);
		expect(responses.filter((ok) => !/^(?:1|True)$/.test(ok))).toEqual([]);
		// nothing in the file is damaged, in either layer
		expect(dissect(tshark, file, "_ws.malformed", "frame.number")).toEqual([]);
	});
});

describe("a file of packets", () => {
	test("says which packet, where, when, which way, and on which CPU", async () => {
		const tshark = requireTool(toolContext, "tshark");
		const file = await capture({});
		const fields = [
			"frame.interface_name",
			"frame.time_epoch",
			"frame.packet_id",
			"frame.interface_queue",
			"frame.comment",
		];
		const frames = dissect(tshark, file, "frame", ...fields);
		expect([...new Set(frames.map(([name]) => name))].sort()).toEqual([
			"wgtest1:epair0a",
			"wgtest1:wg0",
			"wgtest2:epair0b",
			"wgtest2:wg0",
		]);
		const times = frames.map(([, time]) => Number(time));
		expect(times).toEqual([...times].sort((a, b) => a - b));
		expect(new Date(times[0] * 1000).toISOString()).toMatch(/^2021-11-11T00:00/);
		// a packet of data has one number on all four interfaces
		const places = new Map<string, Set<string>>();
		for (const [name, , id] of frames) places.set(id, (places.get(id) ?? new Set()).add(name));
		expect([...places.values()].filter((names) => names.size === 4).length).toBeGreaterThan(50);
		for (const [, , , queue, comment] of frames) {
			expect(Number(queue)).toBeLessThan(8);
			expect(comment).toMatch(/ tid [0-9]+$/);
		}
	});

	test("is the same, to the last byte, when the run is", async () => {
		const raw = { duration: "200us", warmup: "0ms" };
		expect(readFileSync(await capture(raw)).equals(readFileSync(await capture(raw)))).toBe(true);
	});
});
