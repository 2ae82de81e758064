/** The packets a run exports, as Wireshark sees them. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, type TestContext, test } from "vitest";
import { DSB, EPB, IDB } from "../../../sim/export/pcapng_format.ts";
import type { RawRunOptions } from "../../../sim/options.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { wait4 } from "../../../src/userland/process.ts";
import { testbed_exec, type testbed_options } from "../../../src/userland/testbed.ts";
import { requireTool } from "../../support/tools.ts";
import { captureTestbed, exportRun } from "./support.ts";

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
	return text.split("\n").flatMap((line) => (line === "" ? [] : [line.split("\t")]));
}

/** Blocks of a file in their order: type and body. */
function blocksOf(file: string): { type: number; body: Buffer }[] {
	const bytes = readFileSync(file);
	const blocks: { type: number; body: Buffer }[] = [];
	for (let at = 0; at < bytes.length; ) {
		const length = bytes.readUInt32LE(at + 4);
		if (bytes.readUInt32LE(at + length - 4) !== length) throw new Error(`a block's two lengths differ at ${at}`);
		blocks.push({ type: bytes.readUInt32LE(at), body: bytes.subarray(at + 8, at + length - 4) });
		at += length;
	}
	return blocks;
}

/** Where in the frame UDP's payload begins in a packet of the epair, or -1 if it is none. */
function udpPayload(frame: Buffer): number {
	const ethertype = frame.readUInt16BE(12);
	if (ethertype === 0x0800 && frame[23] === 17) return 14 + (frame[14] & 15) * 4 + 8;
	return ethertype === 0x86dd && frame[20] === 17 ? 14 + 40 + 8 : -1;
}

/** Each handshake's keys are in the file before the packet that begins it. @returns how many handshakes were begun */
function expectKeysFirst(file: string): number {
	const links: number[] = [];
	const begun = new Set<number>();
	let keys = 0;
	for (const { type, body } of blocksOf(file)) {
		if (type === IDB) links.push(body.readUInt16LE(0));
		else if (type === DSB) keys++;
		else if (type === EPB && links[body.readUInt32LE(0)] === 1) {
			const frame = body.subarray(20, 20 + body.readUInt32LE(12));
			const at = udpPayload(frame);
			if (at < 0 || frame.readUInt32LE(at) !== 1) continue;
			begun.add(frame.readUInt32LE(at + 4));
			expect(keys).toBeGreaterThanOrEqual(begun.size);
		}
	}
	return begun.size;
}

/** Every packet in a tunnel is opened, both handshake messages are understood, and nothing is damaged. */
function expectOpened(tshark: string, file: string, inner: RegExp, at_least: number): void {
	const asked = [
		"wg.type",
		"frame.protocols",
		"wg.keepalive",
		"wg.timestamp.value",
		"wg.handshake_ok",
		"_ws.malformed",
	];
	const messages = dissect(tshark, file, "wg || _ws.malformed", ...asked);
	// as tshark says of each: 1 initiation, 2 response, 4 transport
	const of = (type: number): string[][] => messages.filter(([text]) => Number(text) === type);
	const packets = of(4).filter(([, , keepalive]) => keepalive === "");
	expect(packets.length).toBeGreaterThan(at_least);
	expect(packets.filter(([, protocols]) => !/:wg:ip(?:v6)?:/.test(protocols))).toEqual([]);
	expect(packets.filter(([, protocols]) => inner.test(protocols)).length).toBeGreaterThan(at_least / 2);
	expect(of(1).length).toBeGreaterThan(0);
	expect(of(1).filter(([, , , stamp]) => !stamp.startsWith("Nov 11, 2021"))).toEqual([]);
	expect(of(2).length).toBeGreaterThan(0);
	expect(of(2).filter(([, , , , ok]) => !/^(?:1|True)$/.test(ok))).toEqual([]);
	expect(messages.filter(([, , , , , malformed]) => malformed !== "")).toEqual([]);
}

describe("tshark opens every transport packet, and sees what is inside", () => {
	test.each<[string, RawRunOptions, RegExp]>([
		["TCP", {}, /:wg:ip:tcp/],
		["TCP, the server sends", { reverse: true }, /:wg:ip:tcp/],
		["TCP in four streams on taskqueues", { streams: "4", epair: "taskqueue", crypto: "cryptosoft" }, /:wg:ip:tcp/],
		["TCP under all-cpus with ossl on 14.0", { policy: "all-cpus", crypto: "ossl", release: "14.0" }, /:wg:ip:tcp/],
		["the driver of the regression", { generation: "2021-11" }, /:wg:ip:tcp/],
		["datagrams", { udp: true, bandwidth: "200M", length: "500" }, /:wg:ip:udp/],
		["datagrams the server sends", { udp: true, bandwidth: "200M", reverse: true }, /:wg:ip:udp/],
	])("%s", async (_what, raw, inner) => {
		const tshark = requireTool(toolContext, "tshark");
		const file = await capture(raw);
		expectOpened(tshark, file, inner, 50);
		expect(expectKeysFirst(file)).toBe(1);
	});

	test("with new keys after two minutes", async () => {
		const tshark = requireTool(toolContext, "tshark");
		const file = await capture({ udp: true, bandwidth: "8k", length: "500", duration: "121s", warmup: "0ms" });
		expectOpened(tshark, file, /:wg:ip:udp/, 200);
		expect(expectKeysFirst(file)).toBe(2);
	});

	test.each<[string, testbed_options, RegExp]>([
		["over IPv6", { outer: "inet6" }, /:ipv6:udp:wg:ip:icmp/],
		["IPv6 within", { inner: "inet6" }, /:wg:ip(?:v6)?:.*icmpv6/],
	])("a tunnel %s", async (_what, options, inner) => {
		const tshark = requireTool(toolContext, "tshark");
		const file = await captureTestbed(options, function* (bed) {
			const [near, far] = bed.sides;
			expect(yield* wait4(testbed_exec(near, `ping -c 10 -i 0.01 ${far.inner}`))).toBe(0);
		});
		expectOpened(tshark, file, inner, 20);
		expect(expectKeysFirst(file)).toBe(1);
	});

	test("after handshakes that got no answer", async () => {
		const tshark = requireTool(toolContext, "tshark");
		const file = await captureTestbed({}, function* (bed) {
			const [near, far] = bed.sides;
			// nobody listens at first: what is sent is lost, and tried again
			yield* wait4(testbed_exec(far, `ifconfig ${far.wg} down`));
			const ping = testbed_exec(near, `ping -c 4 -i 8 -W 1000 ${far.inner}`);
			yield* pause_sbt("down", 12_000_000_000);
			yield* wait4(testbed_exec(far, `ifconfig ${far.wg} up`));
			expect(yield* wait4(ping)).toBe(0);
		});
		expectOpened(tshark, file, /:wg:ip:icmp/, 4);
		expect(expectKeysFirst(file)).toBeGreaterThanOrEqual(3);
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
		// Ethernet between the jails, an address family before what is in the tunnel
		const links = blocksOf(file)
			.filter(({ type }) => type === IDB)
			.map(({ body }) => body.readUInt16LE(0));
		expect(links.sort()).toEqual([0, 0, 1, 1]);
		// stamps have ns, and use them
		expect(frames.filter(([, time]) => !/\.[0-9]{9}$/.test(time))).toEqual([]);
		expect(frames.filter(([, time]) => !time.endsWith("000")).length).toBeGreaterThan(frames.length / 2);
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
