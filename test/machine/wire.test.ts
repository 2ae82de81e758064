/** A cable between two machines: how long frames take, in which order they come out, and on whose clock. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CostOverrides } from "../../src/machine/cost/table.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile, type MachineProfile } from "../../src/machine/profile.ts";
import { connect, type Frame, frame_ns, lookahead_ns, WireEnd } from "../../src/machine/wire.ts";

const profile = findProfile("xeon-d") as MachineProfile;

function latency(ns: number): CostOverrides {
	return { wire_latency: { value: ns, range: [ns, ns], unit: "ns", source: "test" } };
}

function machine(wire_ns?: number): Machine {
	return new Machine({ profile, cpus: 1, ...(wire_ns === undefined ? {} : { costs: latency(wire_ns) }) });
}

function frame(length: number, packet_id = 0): Frame {
	return { bytes: new Uint8Array(length).fill(packet_id), packet_id };
}

/** What came out at an end: when, on that machine's clock, and which frame. */
interface Out {
	readonly time: number;
	readonly frame: Frame;
}

function listen(end: WireEnd): Out[] {
	const out: Out[] = [];
	end.receive = (frame) => out.push({ time: end.machine.now, frame });
	return out;
}

function cable(one = machine(), two = machine()): [WireEnd, WireEnd] {
	connect(one, two);
	return [one.wires[0], two.wires[0]];
}

describe("frame_ns", () => {
	test("is eight bits a byte at ten bits a nanosecond, preamble, check sequence and gap included, rounded up", () => {
		// (1514 + 24) * 0.8 = 1230.4; (65 + 24) * 0.8 = 71.2; (66 + 24) * 0.8 = 72
		expect([1514, 9014, 65, 66].map(frame_ns)).toEqual([1231, 7231, 72, 72]);
	});

	test("pads to sixty bytes, and takes no more for them than for sixty", () => {
		expect([0, 14, 59, 60].map(frame_ns)).toEqual([68, 68, 68, 68]);
		expect(frame_ns(61)).toBe(68);
		expect(frame_ns(62)).toBe(69);
	});
});

describe("a frame", () => {
	test("comes out of the other end as it went in, its last bit and the way across later", () => {
		const [a, b] = cable(machine(3_500), machine(3_500));
		const out = listen(b);
		const sent = frame(1514, 7);
		expect(a.send(sent, 1_000)).toBe(1_000 + 1_231);
		b.machine.run(1_000_000);
		expect(out).toEqual([{ time: 1_000 + 1_231 + 3_500, frame: sent }]);
		expect(out[0].frame.bytes).toBe(sent.bytes);
	});

	test("takes as long across as the sender says, and not what the receiver does", () => {
		const [a, b] = cable(machine(2_000), machine(7_000));
		const outs = [listen(a), listen(b)];
		a.send(frame(60), 0);
		b.send(frame(60), 0);
		a.machine.run(100_000);
		b.machine.run(100_000);
		expect(outs.map((out) => out.map(({ time }) => time))).toEqual([[7_068], [2_068]]);
	});

	test("is an event of the machine it goes to: its own lets time pass without it", () => {
		const [a, b] = cable();
		const out = listen(b);
		a.send(frame(60), 0);
		expect([a.machine.events.size, b.machine.events.size]).toEqual([0, 1]);
		a.machine.run(1_000_000);
		expect(out).toEqual([]);
		expect(b.machine.now).toBe(0);
		b.machine.run(68 + b.machine.costs.wire_latency - 1);
		expect(out).toEqual([]);
		b.machine.run(68 + b.machine.costs.wire_latency);
		expect(out).toHaveLength(1);
		expect(b.machine.events.fired).toBe(1);
	});

	test("waits for those before it, and for nothing once they have left", () => {
		const [a, b] = cable(machine(3_500), machine(3_500));
		const out = listen(b);
		// two at once, one while they leave, one right when the last bit is out, one a nanosecond late
		const left = [a.send(frame(1514, 1), 0), a.send(frame(60, 2), 0), a.send(frame(60, 3), 100)];
		expect(left).toEqual([1_231, 1_299, 1_367]);
		expect(a.send(frame(60, 4), 1_367)).toBe(1_435);
		expect(a.send(frame(60, 5), 1_436)).toBe(1_504);
		b.machine.run(1_000_000);
		expect(out.map(({ time, frame }) => [frame.packet_id, time - 3_500])).toEqual([
			[1, 1_231],
			[2, 1_299],
			[3, 1_367],
			[4, 1_435],
			[5, 1_504],
		]);
	});

	test("does not disturb those that go the other way", () => {
		const alone = cable();
		const alone_out = listen(alone[1]);
		const both = cable();
		const both_out = listen(both[1]);
		const back_out = listen(both[0]);
		for (let i = 0; i < 5; i++) {
			alone[0].send(frame(1514, i), i * 700);
			both[0].send(frame(1514, i), i * 700);
			both[1].send(frame(1514, i), i * 700);
		}
		for (const end of [...alone, ...both]) end.machine.run(1_000_000);
		expect(both_out).toEqual(alone_out);
		expect(back_out).toEqual(alone_out);
	});

	test("sent from within the arrival of another is one like any", () => {
		const [a, b] = cable(machine(3_500), machine(3_500));
		const out = listen(a);
		b.receive = (frame) => b.send(frame, b.machine.now);
		for (const id of [1, 2]) a.send(frame(60, id), 0);
		b.machine.run(100_000);
		a.machine.run(100_000);
		expect(out.map(({ time, frame }) => [frame.packet_id, time])).toEqual([
			[1, 2 * 3_568],
			[2, 2 * 3_568 + 68],
		]);
	});

	test("comes out at its time whatever went in before it, in order and unharmed", () => {
		const send = fc.record({ length: fc.nat(9_014), gap: fc.oneof(fc.nat(100), fc.nat(8_000)), early: fc.nat(300) });
		fc.assert(
			fc.property(
				fc.array(send, { maxLength: 60, size: "max" }),
				fc.integer({ min: 1, max: 8_000 }),
				fc.integer({ min: 1, max: 9_000 }),
				(sends, wire_ns, step) => {
					const [a, b] = cable(machine(wire_ns), machine(wire_ns));
					const out = listen(b);
					const expected: number[][] = [];
					let clock = 0;
					let free = 0;
					for (const [i, { length, gap, early }] of sends.entries()) {
						clock += gap;
						// what a thread on another CPU hands over may be a little older
						const time = Math.max(0, clock - early);
						const tenths = 8 * (Math.max(60, length) + 24);
						free = Math.max(free, time) + (tenths - (tenths % 10)) / 10 + (tenths % 10 > 0 ? 1 : 0);
						// the receiver lives on meanwhile, but never past what can still arrive
						if (i % 3 === 0) b.machine.run(Math.max(b.machine.now, Math.min(time, free - 1)));
						expect(a.send(frame(length, i), time)).toBe(free);
						expected.push([i, free + wire_ns, length]);
					}
					while (b.machine.events.size > 0) b.machine.run(b.machine.now + step);
					expect(out.map(({ time, frame }) => [frame.packet_id, time, frame.bytes.length])).toEqual(expected);
				},
			),
			{ numRuns: 100 },
		);
	});
});

describe("a frame nobody waits for", () => {
	test("is gone if nothing is plugged in at the other end; it takes the cable all the same", () => {
		const end = new WireEnd(machine());
		expect(end.send(frame(60), 10)).toBe(78);
		expect(end.send(frame(60), 10)).toBe(146);
		end.machine.run(1_000_000);
		expect(end.machine.events.fired).toBe(0);
	});

	test("is gone if nobody listens when it arrives; those after it are not", () => {
		const [a, b] = cable();
		for (const id of [1, 2, 3]) a.send(frame(60, id), id * 10_000);
		b.machine.run(15_000);
		const out = listen(b);
		b.machine.run(25_000);
		b.receive = null;
		b.machine.run(1_000_000);
		expect(out.map(({ frame }) => frame.packet_id)).toEqual([2]);
	});
});

describe("cables", () => {
	test("are independent of each other, and a machine finds its ends in the order they were laid", () => {
		const [a, b, c] = [machine(), machine(), machine()];
		connect(a, b);
		connect(c, a);
		expect(a.wires.map(({ peer }) => peer?.machine)).toEqual([b, c]);
		expect([b, c].map(({ wires }) => wires.map(({ peer }) => peer))).toEqual([[a.wires[0]], [a.wires[1]]]);
		const outs = [listen(b.wires[0]), listen(c.wires[0])];
		a.wires[0].send(frame(1514, 1), 0);
		a.wires[1].send(frame(1514, 2), 0);
		b.run(100_000);
		c.run(100_000);
		expect(outs.map((out) => out.map(({ time, frame }) => [frame.packet_id, time]))).toEqual([
			[[1, 1_231 + a.costs.wire_latency]],
			[[2, 1_231 + a.costs.wire_latency]],
		]);
	});

	test("let nobody see anything sooner than the shortest of them: that is how far machines may run alone", () => {
		expect(lookahead_ns([machine(5_000), machine(2_000), machine(9_000)])).toBe(2_000);
		expect(lookahead_ns([machine()])).toBe(3_500);
	});
});
