/** The network card: its hash, its queues and buffers, and when it interrupts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CostOverrides } from "../../src/machine/cost/table.ts";
import { Event } from "../../src/machine/event.ts";
import { Machine } from "../../src/machine/machine.ts";
import { Nic, NicQueue, toeplitz } from "../../src/machine/nic.ts";
import { findProfile, type MachineProfile } from "../../src/machine/profile.ts";
import { connect, type WireEnd } from "../../src/machine/wire.ts";

const profile = findProfile("xeon-d") as MachineProfile;

function bytes(hex: string): Uint8Array {
	return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** The key of Microsoft's "Verifying the RSS hash calculation". */
const KEY = bytes("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa");

/** Its examples: addresses and ports, hash of the addresses alone and with the ports. */
const examples = [
	["66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178],
	["199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea],
	["24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a],
	["38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xafc7327f],
	["153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d1809c5, 0x10e828a2],
] as const;

/** 3ffe:2501:200:1fff::7 and 3ffe:2501:200:3::1 */
const SRC6 = bytes("3ffe250102001fff0000000000000007");
const DST6 = bytes("3ffe2501020000030000000000000001");
const HASH6 = 0x2cc18cd5;

function inet(text: string): number[] {
	return text.split(".").map(Number);
}

function words(...values: number[]): number[] {
	return values.flatMap((value) => [value >> 8, value & 0xff]);
}

/** An Ethernet frame of `length` bytes with an IPv4 header, ports and numbered bytes. */
function ipv4(src: string, dst: string, length = 60, ports: readonly [number, number] = [1, 2]): Uint8Array {
	const frame = Uint8Array.from({ length }, (_, i) => i * 7);
	frame.set([...words(0x0800), 0x45, 0, ...words(length - 14, 0, 0), 64, 17, 0, 0, ...inet(src), ...inet(dst)], 12);
	frame.set(words(...ports), 34);
	return frame;
}

function ipv6(src: Uint8Array, dst: Uint8Array): Uint8Array {
	const frame = new Uint8Array(80);
	frame.set([...words(0x86dd), 0x60, 0, 0, 0, ...words(26), 17, 64, ...src, ...dst], 12);
	return frame;
}

function arp(): Uint8Array {
	const frame = Uint8Array.from({ length: 60 }, (_, i) => i * 11);
	frame.set(words(0x0806), 12);
	return frame;
}

interface World {
	readonly machine: Machine;
	readonly nic: Nic;
	/** the other end of its cable */
	readonly far: WireEnd;
	/** what the other end got: when, on its own clock, and the frame's number */
	readonly got: [number, number][];
}

function overrides(values: { readonly [name in keyof CostOverrides]?: number }): CostOverrides {
	return Object.fromEntries(
		Object.entries(values).map(([name, value]) => [name, { value, range: [value, value], unit: "ns", source: "test" }]),
	);
}

/** A started card with Microsoft's key and `posted` buffers of 2048 bytes in each queue. */
function world(queues = 4, posted = 8, check: (frame: Uint8Array) => number = () => 0): World {
	const costs = overrides({ wire_latency: 1_000, nic_itr: 32_000 });
	const [machine, other] = [new Machine({ profile, cpus: 1, costs }), new Machine({ profile, cpus: 1, costs })];
	connect(machine, other);
	const nic = new Nic(machine.wires[0], queues, check);
	nic.set_rss_key(KEY);
	nic.start();
	for (const queue of nic.queues) post(queue, posted);
	const [far] = other.wires;
	const got: [number, number][] = [];
	far.receive = ({ packet_id }) => got.push([other.now, packet_id]);
	return { machine, nic, far, got };
}

function post(queue: NicQueue, count: number, size = 2048): Uint8Array[] {
	const buffers = Array.from({ length: count }, () => new Uint8Array(size).fill(0xee));
	queue.posted.push(...buffers);
	return buffers;
}

/** Delivers frames to the card, back to back. */
function deliver({ machine, far }: World, ...frames: Uint8Array[]): void {
	for (const [i, frame] of frames.entries()) far.send({ bytes: frame, packet_id: i + 1 }, machine.now);
	machine.run(machine.now + 100_000);
}

/** When a queue interrupts. */
function interrupts(queue: NicQueue, machine: Machine): number[] {
	const times: number[] = [];
	queue.handler = () => times.push(machine.now);
	return times;
}

function at(machine: Machine, time: number, what: () => void): void {
	machine.events.schedule(new Event({ fire: what }), time);
}

describe("toeplitz", () => {
	test.each(examples)("%s:%i to %s:%i, by Microsoft's table", (src, sport, dst, dport, addresses, ports) => {
		const input = Uint8Array.from([...inet(src), ...inet(dst), ...words(sport, dport)]);
		expect(toeplitz(KEY, input, 0, 8)).toBe(addresses);
		expect(toeplitz(KEY, input, 0, 12)).toBe(ports);
	});

	test("IPv6 addresses, by Microsoft's table", () => {
		expect(toeplitz(KEY, Uint8Array.from([...SRC6, ...DST6]), 0, 32)).toBe(HASH6);
	});

	test("begins where it is told to", () => {
		const [src, , dst, , hash] = examples[0];
		expect(toeplitz(KEY, Uint8Array.from([1, 2, 3, ...inet(src), ...inet(dst), 4]), 3, 8)).toBe(hash);
		expect(toeplitz(KEY, new Uint8Array(0), 0, 0)).toBe(0);
	});
});

describe("a frame that arrives", () => {
	test.each(examples)("%s:%i to %s:%i goes to the queue its addresses say, whatever the ports", (...example) => {
		const [src, sport, dst, dport, hash] = example;
		const w = world(8);
		deliver(w, ipv4(src, dst, 60, [sport, dport]), ipv4(src, dst, 1000, [dport, 9]));
		const expected = w.nic.queues.map((_, i) => (i === (hash & 511) % 8 ? [hash, hash] : []));
		expect(w.nic.queues.map(({ filled }) => filled.map((frame) => frame.hash))).toEqual(expected);
		expect(w.nic.queues.flatMap(({ filled }) => filled.map((frame) => frame.hashed_as))).toEqual(["ipv4", "ipv4"]);
	});

	test("IPv6 goes by its addresses; with 3 queues, by the table's 512 entries and not by the whole hash", () => {
		const w = world(3);
		// 0x2cc18cd5 & 511 = 213
		expect([213 % 3, HASH6 % 3]).toEqual([0, 2]);
		deliver(w, ipv6(SRC6, DST6));
		expect(w.nic.queues.map(({ filled }) => filled.length)).toEqual([1, 0, 0]);
		expect(w.nic.queues[0].filled[0]).toMatchObject({ hash: HASH6, hashed_as: "ipv6", length: 80 });
	});

	test("that is neither goes to the first queue, without a hash", () => {
		const w = world(4);
		deliver(w, arp(), Uint8Array.from([1, 2, 3]));
		expect(w.nic.queues.map(({ filled }) => filled.length)).toEqual([2, 0, 0, 0]);
		expect(w.nic.queues[0].filled.map(({ hash, hashed_as }) => [hash, hashed_as])).toEqual([
			[0, "none"],
			[0, "none"],
		]);
	});

	test.each(examples)(
		"%s:%i to %s:%i goes by its ports as well if it is TCP, unless it is a fragment",
		(...example) => {
			const [src, sport, dst, dport, addresses, ports] = example;
			const tcp = ipv4(src, dst, 60, [sport, dport]);
			tcp[23] = 6;
			const with_options = ipv4(src, dst, 80, [0, 0]);
			with_options[23] = 6;
			with_options[14] = 0x46;
			with_options.set(words(sport, dport), 38);
			const [first, last] = [tcp.slice(), tcp.slice()];
			first[20] = 0x20;
			last[21] = 1;
			const w = world(1);
			deliver(w, tcp, with_options, first, last);
			expect(w.nic.queues[0].filled.map(({ hash, hashed_as }) => [hash, hashed_as])).toEqual([
				[ports, "tcp_ipv4"],
				[ports, "tcp_ipv4"],
				[addresses, "ipv4"],
				[addresses, "ipv4"],
			]);
		},
	);

	test("with TCP over IPv6 goes by its ports as well, by Microsoft's table", () => {
		const frame = ipv6(SRC6, DST6);
		frame[20] = 6;
		frame.set(words(2794, 1766), 54);
		const w = world(1);
		deliver(w, frame);
		expect(w.nic.queues[0].filled[0]).toMatchObject({ hash: 0x40207d3d, hashed_as: "tcp_ipv6" });
	});

	test("of one address pair reaches one queue, which depends on the key", () => {
		fc.assert(
			fc.property(
				fc.integer({ min: 1, max: 16 }),
				fc.uint8Array({ minLength: 40, maxLength: 40 }),
				fc.array(fc.tuple(fc.ipV4(), fc.ipV4()), { minLength: 1, maxLength: 6 }),
				fc.array(fc.tuple(fc.nat(5), fc.nat(65_535), fc.nat(65_535), fc.integer({ min: 60, max: 1514 })), {
					maxLength: 30,
					size: "max",
				}),
				(queues, key, pairs, frames) => {
					const w = world(queues, 100);
					w.nic.set_rss_key(key);
					const seen = new Map<string, Set<number>>();
					for (const [i, sport, dport, length] of frames) {
						const [src, dst] = pairs[i % pairs.length];
						deliver(w, ipv4(src, dst, length, [sport, dport]));
						const at = w.nic.queues.findIndex(({ filled }) => filled.length > 0);
						w.nic.queues[at].filled.length = 0;
						const hash = toeplitz(key, Uint8Array.from([...inet(src), ...inet(dst)]), 0, 8);
						expect(at).toBe((hash & 511) % queues);
						seen.set(`${src} ${dst}`, (seen.get(`${src} ${dst}`) ?? new Set()).add(at));
					}
					expect([...seen.values()].every(({ size }) => size === 1)).toBe(true);
				},
			),
			{ numRuns: 60 },
		);
	});

	test("lies in the first of the buffers posted, bytes, length, number and the checksum engine's word with it", () => {
		const checked: Uint8Array[] = [];
		const w = world(1, 0, (frame) => {
			checked.push(frame);
			return 0x123;
		});
		const [queue] = w.nic.queues;
		const buffers = post(queue, 3);
		const [one, two] = [ipv4("1.2.3.4", "5.6.7.8", 100), ipv4("1.2.3.4", "5.6.7.8", 2048)];
		deliver(w, one, two);
		expect(queue.filled.map(({ length, packet_id, csum_flags }) => [length, packet_id, csum_flags])).toEqual([
			[100, 1, 0x123],
			[2048, 2, 0x123],
		]);
		expect(queue.filled.map((frame) => frame.buffers)).toEqual([[buffers[0]], [buffers[1]]]);
		expect(queue.filled.every((frame, i) => frame.buffers[0] === buffers[i])).toBe(true);
		expect(queue.posted).toEqual([buffers[2]]);
		expect(buffers[0].subarray(0, 100)).toEqual(one);
		expect(buffers[0].subarray(100).every((byte) => byte === 0xee)).toBe(true);
		expect(buffers[1]).toEqual(two);
		expect(checked).toEqual([one, two]);
	});

	test("longer than a buffer fills several, in the order they were posted", () => {
		for (const [length, expected] of [
			[2048, 1],
			[2049, 2],
			[4096, 2],
			[9014, 5],
		]) {
			const w = world(1, 0);
			const [queue] = w.nic.queues;
			const buffers = post(queue, 6);
			const frame = ipv4("1.2.3.4", "5.6.7.8", length);
			deliver(w, frame);
			expect(queue.filled[0].length).toBe(length);
			expect(queue.filled[0].buffers).toHaveLength(expected);
			expect(queue.filled[0].buffers.every((buffer, i) => buffer === buffers[i])).toBe(true);
			expect(queue.posted).toHaveLength(6 - expected);
			const written = queue.filled[0].buffers.flatMap((buffer) => [...buffer]);
			expect(Uint8Array.from(written.slice(0, length))).toEqual(frame);
			expect(written.slice(length).every((byte) => byte === 0xee)).toBe(true);
		}
	});

	test("without a buffer, or with too few, is missed and counted; the buffers stay posted for one that fits", () => {
		const w = world(1, 0);
		const [queue] = w.nic.queues;
		const times = interrupts(queue, w.machine);
		queue.unmask(0);
		const small = ipv4("1.2.3.4", "5.6.7.8", 60);
		const large = ipv4("1.2.3.4", "5.6.7.8", 2049);
		deliver(w, small);
		expect([w.nic.missed, queue.filled.length]).toEqual([1, 0]);
		post(queue, 1);
		deliver(w, large);
		expect([w.nic.missed, queue.filled.length, queue.posted.length]).toEqual([2, 0, 1]);
		expect(times).toEqual([]);
		deliver(w, large, small, small);
		expect([w.nic.missed, queue.filled.length, queue.posted.length]).toEqual([4, 1, 0]);
		expect(queue.filled[0].length).toBe(60);
	});
});

describe("a queue interrupts", () => {
	const queue_of = (nic_itr = 32_000): { queue: NicQueue; machine: Machine; times: number[] } => {
		const machine = new Machine({ profile, cpus: 1, costs: overrides({ nic_itr }) });
		const queue = new NicQueue(machine, 0);
		return { queue, machine, times: interrupts(queue, machine) };
	};

	test("when a frame is in memory, if it has not lately: the first time, at once", () => {
		const w = world(1);
		const times = interrupts(w.nic.queues[0], w.machine);
		w.nic.queues[0].unmask(0);
		deliver(w, arp());
		expect(times).toEqual([68 + 1_000]);
		expect(w.nic.queues[0].interrupts).toBe(1);
	});

	test("not while it is masked, as after a start; on unmask at once, for all that has come meanwhile", () => {
		const { queue, machine, times } = queue_of();
		for (const time of [100, 200, 300]) at(machine, time, () => queue.cause(machine.now));
		machine.run(1_000_000);
		expect(times).toEqual([]);
		queue.unmask(1_000_005);
		machine.run(2_000_000);
		expect(times).toEqual([1_000_005]);
		queue.mask();
		queue.unmask(2_000_001);
		machine.run(3_000_000);
		expect(times).toEqual([1_000_005]);
	});

	test("not if it was masked before it came to it, but after that is over", () => {
		const { queue, machine, times } = queue_of();
		queue.unmask(0);
		queue.cause(500);
		at(machine, 400, () => queue.mask());
		machine.run(10_000);
		expect(times).toEqual([]);
		queue.unmask(20_000);
		machine.run(50_000);
		expect(times).toEqual([20_000]);
	});

	test("no two closer than nic_itr, once for all causes in between", () => {
		const { queue, machine, times } = queue_of(32_000);
		queue.unmask(0);
		for (const time of [1_000, 1_001, 20_000, 33_000, 33_001, 200_000])
			at(machine, time, () => queue.cause(machine.now));
		machine.run(1_000_000);
		expect(times).toEqual([1_000, 33_000, 65_000, 200_000]);
		expect(queue.interrupts).toBe(4);
	});

	test("sooner than it was going to, if something is due sooner", () => {
		const { queue, machine, times } = queue_of();
		queue.unmask(0);
		queue.cause(9_000);
		queue.cause(4_000);
		queue.cause(6_000);
		machine.run(100_000);
		expect(times).toEqual([4_000]);
	});

	test("only once its CPU takes interrupts, for as long as it takes; what is throttled counts from there", () => {
		const { queue, machine, times } = queue_of();
		queue.unmask(0);
		let until = 7_000;
		queue.blocked_until = () => until;
		queue.cause(1_000);
		at(machine, 2_000, () => queue.cause(2_000));
		// when the time is up, it is blocked again
		at(machine, 6_999, () => {
			until = 9_000;
		});
		at(machine, 9_500, () => queue.cause(9_500));
		machine.run(9_999);
		expect(times).toEqual([9_000]);
		machine.run(1_000_000);
		expect(times).toEqual([9_000, 41_000]);
	});

	test("on time of its own, whatever the others do", () => {
		const w = world(4);
		const [a, b] = [w.nic.queues[0], w.nic.queues[2]];
		const times = [interrupts(a, w.machine), interrupts(b, w.machine)];
		a.unmask(0);
		b.unmask(0);
		a.cause(10);
		b.cause(20);
		w.machine.run(100_000);
		expect(times).toEqual([[10], [20]]);
	});

	test("never two closer than nic_itr, never late, and never none at all, whenever what comes", () => {
		const operation = fc.record({
			gap: fc.oneof(fc.nat(50), fc.nat(5_000), fc.nat(60_000)),
			what: fc.constantFrom("cause" as const, "cause" as const, "block" as const),
			ns: fc.nat(3_000),
		});
		fc.assert(
			fc.property(
				fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40_000 })),
				fc.array(operation, { maxLength: 60, size: "max" }),
				// how long the driver leaves it masked after each interrupt
				fc.array(fc.nat(20_000), { minLength: 1, maxLength: 5 }),
				(itr, operations, masked) => {
					const { queue, machine } = queue_of(itr);
					const times: number[] = [];
					/** causes no interrupt has answered yet */
					let open: number[] = [];
					let blocked = 0;
					/** since when it could have interrupted */
					let free = 0;
					queue.blocked_until = () => blocked;
					queue.handler = () => {
						const { now } = machine;
						expect(now - (times.at(-1) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(itr);
						expect(open).not.toEqual([]);
						expect(now).toBeGreaterThanOrEqual(blocked);
						// as soon as there was a cause, no mask, and no throttle; blocked, it may have been held back further
						const due = Math.max(open[0], free, (times.at(-1) ?? Number.NEGATIVE_INFINITY) + itr);
						expect(now).toBeGreaterThanOrEqual(due);
						expect(now).toBeLessThanOrEqual(Math.max(due, blocked));
						times.push(now);
						open = [];
						queue.mask();
						at(machine, now + masked[times.length % masked.length], () => {
							free = machine.now;
							queue.unmask(machine.now);
						});
					};
					queue.unmask(0);
					let now = 0;
					let last = -1;
					for (const { gap, what, ns } of operations) {
						now += gap;
						const then = now;
						if (what === "cause") last = then;
						at(machine, then, () => {
							if (what === "block") blocked = Math.max(blocked, then + ns);
							else {
								open.push(then);
								queue.cause(then);
							}
						});
					}
					machine.run(now + 1_000_000);
					expect(open).toEqual([]);
					expect(times.at(-1) ?? -1).toBeGreaterThanOrEqual(last);
					expect(queue.interrupts).toBe(times.length);
				},
			),
			{ numRuns: 300 },
		);
	});
});

describe("a frame that is sent", () => {
	test("leaves in the order of the doorbells, from whatever queue, and comes out at the other end", () => {
		const w = world();
		const left = [
			w.nic.transmit(3, { bytes: new Uint8Array(1514), packet_id: 1 }, 0, false),
			w.nic.transmit(0, { bytes: new Uint8Array(60), packet_id: 2 }, 0, false),
			w.nic.transmit(1, { bytes: new Uint8Array(60), packet_id: 3 }, 5_000, false),
		];
		expect(left).toEqual([1_231, 1_299, 5_068]);
		w.far.machine.run(100_000);
		expect(w.got).toEqual([
			[2_231, 1],
			[2_299, 2],
			[6_068, 3],
		]);
	});

	test("with a report makes its queue interrupt when the last bit has left, and not before; without, never", () => {
		const w = world();
		const times = w.nic.queues.map((queue) => interrupts(queue, w.machine));
		for (const queue of w.nic.queues) queue.unmask(0);
		w.nic.transmit(1, { bytes: new Uint8Array(1514), packet_id: 1 }, 0, false);
		const left = w.nic.transmit(2, { bytes: new Uint8Array(1514), packet_id: 2 }, 0, true);
		expect(left).toBe(2_462);
		w.machine.run(left - 1);
		expect(times).toEqual([[], [], [], []]);
		w.machine.run(left);
		expect(times).toEqual([[], [], [left], []]);
		w.machine.run(1_000_000);
		expect(times).toEqual([[], [], [left], []]);
	});

	test("one after the other, each with a report: the last is told of as well, no sooner than the throttle lets it", () => {
		const w = world(1);
		const [queue] = w.nic.queues;
		const times = interrupts(queue, w.machine);
		queue.unmask(0);
		const left = [0, 0, 0].map(() => w.nic.transmit(0, { bytes: new Uint8Array(9_014), packet_id: 0 }, 0, true));
		expect(left).toEqual([7_231, 14_462, 21_693]);
		w.machine.run(1_000_000);
		expect(times).toEqual([7_231, 39_231]);
		const again = w.nic.transmit(0, { bytes: new Uint8Array(60), packet_id: 0 }, 1_000_000, true);
		w.machine.run(2_000_000);
		expect(times).toEqual([7_231, 39_231, again]);
	});
});

describe("stop", () => {
	test("forgets buffers, frames, causes and the mask, and takes in nothing more until start", () => {
		const w = world(2);
		const times = w.nic.queues.map((queue) => interrupts(queue, w.machine));
		deliver(w, arp());
		expect(w.nic.queues[0].filled).toHaveLength(1);
		w.nic.queues[1].unmask(w.machine.now);
		w.nic.queues[1].cause(w.machine.now + 10);
		w.nic.stop();
		expect(w.nic.queues.map(({ posted, filled }) => [posted.length, filled.length])).toEqual([
			[0, 0],
			[0, 0],
		]);
		for (const queue of w.nic.queues) post(queue, 4);
		deliver(w, arp(), arp());
		expect(w.nic.queues[0].filled).toEqual([]);
		expect(w.nic.missed).toBe(0);
		w.nic.start();
		w.nic.queues[1].cause(w.machine.now);
		w.machine.run(w.machine.now + 100_000);
		expect(times).toEqual([[], []]);
		w.nic.queues[0].unmask(w.machine.now);
		w.machine.run(w.machine.now + 100_000);
		expect(times).toEqual([[], []]);
		deliver(w, arp());
		expect(times[0]).toHaveLength(1);
		expect(w.nic.queues[0].filled).toHaveLength(1);
	});

	test("forgets when it was going to interrupt: what comes after a start has a time of its own", () => {
		const w = world(1);
		const [queue] = w.nic.queues;
		const times = interrupts(queue, w.machine);
		queue.unmask(0);
		queue.cause(10_000);
		w.nic.stop();
		w.nic.start();
		queue.unmask(0);
		queue.cause(50_000);
		w.machine.run(1_000_000);
		expect(times).toEqual([50_000]);
	});

	test("forgets what has not left yet: after a start nobody is told of it", () => {
		const w = world(1);
		const [queue] = w.nic.queues;
		const times = interrupts(queue, w.machine);
		queue.unmask(0);
		w.nic.transmit(0, { bytes: new Uint8Array(9_014), packet_id: 0 }, 0, true);
		w.nic.stop();
		w.nic.start();
		queue.unmask(0);
		w.machine.run(1_000_000);
		expect(times).toEqual([]);
	});
});
