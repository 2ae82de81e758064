import { expect, test } from "vitest";
import { StageClock } from "../../sim/latency.ts";

const WAY = ["staged", "encrypt-start", "encrypt-end", "sent", "received", "decrypt-start", "decrypt-end", "delivered"];

function distribution(clock: StageClock, stage: string) {
	const row = clock.read().find((candidate) => candidate.stage === stage);
	if (row === undefined) throw new Error(`no stage ${stage}`);
	return row.distribution;
}

test("each stage gets the time since the one before, and the tunnel the whole", () => {
	const clock = new StageClock();
	let time = 1000;
	WAY.forEach((stage, i) => {
		time += i * 10;
		clock.stamp(stage, 7, time);
	});
	expect(distribution(clock, "wait for an encrypt task").mean_ns).toBe(10);
	expect(distribution(clock, "encrypt").mean_ns).toBe(20);
	expect(distribution(clock, "wait for the receive task").mean_ns).toBe(70);
	expect(distribution(clock, "tunnel, end to end")).toEqual({
		n: 1,
		mean_ns: 280,
		p50_ns: 280,
		p99_ns: 280,
		max_ns: 280,
	});
});

test("packets overlap without touching each other", () => {
	const clock = new StageClock();
	for (let id = 1; id <= 100; id++) clock.stamp("staged", id, 0);
	for (let id = 100; id >= 1; id--) clock.stamp("encrypt-start", id, id);
	expect(distribution(clock, "wait for an encrypt task")).toEqual({
		n: 100,
		mean_ns: 51,
		p50_ns: 50,
		p99_ns: 99,
		max_ns: 100,
	});
});

test("a stage that was skipped is not guessed", () => {
	const clock = new StageClock();
	clock.stamp("staged", 1, 0);
	clock.stamp("sent", 1, 50);
	expect(distribution(clock, "wait for the send task").n).toBe(0);
	clock.stamp("received", 1, 60);
	expect(distribution(clock, "UDP, IP, the way across").n).toBe(1);
});

test("what began in the warm-up and ends in the interval counts where it ends", () => {
	const clock = new StageClock();
	clock.stamp("staged", 1, 0);
	clock.stamp("encrypt-start", 1, 100);
	clock.reset();
	clock.stamp("encrypt-end", 1, 130);
	expect(distribution(clock, "wait for an encrypt task").n).toBe(0);
	expect(distribution(clock, "encrypt").max_ns).toBe(30);
});

test("packets that never arrive are forgotten, the oldest first", () => {
	const clock = new StageClock();
	for (let id = 1; id <= 40_000; id++) clock.stamp("staged", id, id);
	clock.stamp("encrypt-start", 1, 50_000);
	clock.stamp("encrypt-start", 40_000, 50_000);
	expect(distribution(clock, "wait for an encrypt task")).toMatchObject({ n: 1, max_ns: 10_000 });
});
