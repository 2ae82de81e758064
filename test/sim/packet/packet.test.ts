/** One packet's life: nothing of its time is lost, and its bytes are those that crossed the tunnel. */
import { beforeAll, describe, expect, test } from "vitest";
import { UsageError } from "../../../sim/errors.ts";
import { parseRunOptions, type RawRunOptions } from "../../../sim/options.ts";
import { type Followed, followPacket } from "../../../sim/packet/follow.ts";
import { Recorder } from "../../../sim/packet/recorder.ts";
import { packetJson, renderPacket } from "../../../sim/packet/render.ts";
import { parseSelector, type Selector } from "../../../sim/packet/select.ts";
import { noColors } from "../../../sim/report/colors.ts";
import { watch } from "../../../sim/run.ts";

const nothing = (): void => {};

function follow(selector: Selector, raw: RawRunOptions): Promise<Followed> {
	return followPacket(parseRunOptions({ duration: "500us", warmup: "300us", ...raw }), selector, nothing);
}

function total(parts: Iterable<number>): number {
	let sum = 0;
	for (const part of parts) sum += part;
	return sum;
}

const TUNNEL = [
	...["wait for an encrypt task", "encrypt", "wait for the send task", "send: UDP, IP, epair"],
	...["wait for netisr", "receive: epair, IP, UDP", "wait for a decrypt task", "decrypt"],
	...["wait for the receive task", "deliver: nonce check, IP"],
];

function expectWhole({ life }: Followed): void {
	expect(life.total_ns).toBeGreaterThan(0);
	expect(total(life.stages.map(({ ns }) => ns))).toBe(life.total_ns);
	let at = 0;
	for (const stage of life.stages) {
		expect(stage.at_ns).toBe(at);
		expect(stage.time_ns).toBe(life.begin_ns + at);
		at += stage.ns;
		expect(total(Object.values(stage.parts))).toBe(stage.ns);
		expect(stage.steps.filter(({ ns }) => ns < 0)).toEqual([]);
		if (stage.kind === "work") expect(total(stage.steps.map(({ ns }) => ns))).toBe(stage.ns);
		else expect(stage.steps).toEqual([]);
	}
}

describe("a data packet", () => {
	const data: Selector = { kind: "data", number: 7 };
	let followed: Followed;
	beforeAll(async () => {
		followed = await follow(data, {});
	}, 120_000);

	test("passes every stage of both tunnels, and the stages add up to its life, to the ns", () => {
		expectWhole(followed);
		expect(followed.life.stages.map(({ name }) => name)).toEqual(["make: tcp_output", ...TUNNEL]);
	});

	test("is worked on by the functions of the driver and the stack, the ciphers among them", () => {
		const functions = (name: string): string[] =>
			followed.life.stages.find((stage) => stage.name === name)!.steps.flatMap((step) => [...step.functions]);
		expect(functions("make: tcp_output")).toEqual(
			expect.arrayContaining(["tcp_output", "ip_output", "wg_output", "wg_xmit"]),
		);
		expect(functions("encrypt")).toEqual(expect.arrayContaining(["wg_encrypt", "chapoly_own"]));
		expect(functions("send: UDP, IP, epair")).toEqual(expect.arrayContaining(["wg_deliver_out", "ether_output"]));
		expect(functions("decrypt")).toEqual(expect.arrayContaining(["wg_decrypt", "chapoly_own"]));
		const deliver = functions("deliver: nonce check, IP");
		expect(deliver).toEqual(expect.arrayContaining(["noise_keypair_nonce_check", "tcp_input"]));
		expect(deliver).not.toContain("tcp_output");
	});

	test("has the same bytes inside and outside at both ends, and what was encrypted is the packet and zeros", () => {
		const layers = new Map(followed.layers.map((layer) => [layer.where, layer]));
		const inner = layers.get("wgtest1:wg0 out")!.bytes;
		const padded = layers.get("wg, padded plaintext")!.bytes;
		const message = layers.get("wg, encrypted")!;
		const frame = layers.get("wgtest1:epair0a out")!;
		expect(layers.get("wgtest2:wg0 in")!.bytes).toEqual(inner);
		expect(layers.get("wgtest2:epair0b in")!.bytes).toEqual(frame.bytes);
		expect(padded.subarray(0, inner.length)).toEqual(inner);
		expect(padded.subarray(inner.length).every((byte) => byte === 0)).toBe(true);
		expect(message.bytes.length).toBe(padded.length + 32);
		expect(frame.bytes.subarray(14 + 20 + 8)).toEqual(message.bytes);
		expect(frame.decoded.headers.map(({ protocol }) => protocol)).toEqual([
			...["Ethernet", "IPv4", "UDP", "WireGuard", "data"],
		]);
		expect(message.decoded.headers[0].text).toMatch(/^transport data, receiver 0x[0-9a-f]{8}, counter [0-9]+$/);
	});

	test("is shown with where its time went", () => {
		const text = renderPacket(followed, data, "the line", { bytes: 16, full: false }, noColors);
		expect(text).toContain("where the time went");
		expect(text).toMatch(/^together .* 100\.0 %/m);
		expect(text).toContain("Repeat it with: the line");
		const full = renderPacket(followed, data, "the line", { bytes: 0, full: true }, noColors);
		expect(full.length).toBeGreaterThan(text.length);
		const json = JSON.parse(packetJson(followed, data, "the line"));
		expect(json.total_ns).toBe(followed.life.total_ns);
		expect(json.layers[0].bytes).toMatch(/^45[0-9a-f]+$/);
	});
});

test.each<[string, Selector, RawRunOptions, string[]]>([
	[
		"an acknowledgement, all CPUs woken",
		{ kind: "ack", number: 1 },
		{ policy: "all-cpus", crypto: "ossl", cpus: "4" },
		TUNNEL,
	],
	[
		"a datagram over the epair of 14.0",
		{ kind: "data", number: 3 },
		{ udp: true, release: "14.0", cpus: "2", reverse: true },
		TUNNEL.map((name) => name.replace("netisr", "the epair task")),
	],
	["a keepalive", { kind: "keepalive", number: 1 }, {}, TUNNEL],
	[
		"the first handshake's initiation, which has to ask for an address",
		{ kind: "handshake", number: 1 },
		{},
		[
			...["wait for ARP", "send: epair"],
			...["wait for netisr", "receive: epair, IP, UDP", "wait for the handshake task", "handshake"],
		],
	],
])("%s has all its stages, and they add up", async (_what, selector, raw, stages) => {
	const followed = await follow(selector, raw);
	expectWhole(followed);
	expect(followed.life.stages.slice(1).map(({ name }) => name)).toEqual(stages);
});

test("recording changes nothing", async () => {
	const options = parseRunOptions({ cpus: "3", warmup: "200us" });
	const fingerprint = (record: boolean): Promise<string> =>
		watch(options, (run, driver) => {
			run.begin();
			run.passUntil(options.warmup_ns);
			const recorder = record ? new Recorder(driver) : null;
			run.pass(150_000);
			recorder?.close();
			if (recorder !== null) expect(recorder.mentions.length).toBeGreaterThan(100);
			run.pass(150_000);
			return `${run.machine.fingerprint} ${run.machine.event_count}`;
		});
	expect(await fingerprint(true)).toBe(await fingerprint(false));
});

test("a packet that there is not, or no contents, is refused with one line", async () => {
	const one: Selector = { kind: "data", number: 1 };
	await expect(follow({ ...one, number: 1_000_000 }, { cpus: "2" })).rejects.toThrow(
		/^packet: no number 1 000 000 of data/,
	);
	await expect(follow(one, { costOnly: true })).rejects.toThrow(/^--cost-only: packets have no contents/);
	expect(() => parseSelector(undefined, undefined)).toThrow(UsageError);
	expect(() => parseSelector("1", "data")).toThrow(/^packet: say which/);
	expect(() => parseSelector(undefined, "cookies")).toThrow(/^--first: no "cookies"; there is data, ack/);
	expect(() => parseSelector("0", undefined)).toThrow(/not a whole number from 1/);
});
