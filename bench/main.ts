/**
 * `npm run bench`: what the simulator carries in a second of host time. Probes off, one core; streams and the command in processes of
 * their own. Cases take turns; figures are medians. `npm run bench -- quick` makes one round of each; `npm run bench -- scale`
 * measures large configurations instead, `npm run bench -- export` what it costs to look, `npm run bench -- lead` what it gives and
 * costs to let threads run ahead of the clock.
 */
import { cpus } from "node:os";
import { parseRunOptions, type RawRunOptions } from "../sim/options.ts";
import { runBare } from "../sim/run.ts";
import { grouped } from "../sim/units.ts";
import { Event, EventQueue } from "../src/machine/event.ts";
import { type Case, interleaved, loadWarning, median, mediansOf, runCommand, runStream, timed } from "./measure.ts";
import { say, section } from "./output.ts";

const quick = process.argv.includes("quick");
const ROUNDS = quick ? 1 : 5;
/** of streams, whose processes make several runs each */
const STREAM_ROUNDS = quick ? 1 : 3;

/** Pending at a time: about what a machine of 8 CPUs with its callouts and IPIs has. */
const QUEUE_SIZE = 64;
const QUEUE_EVENTS = 3_000_000;

class Again {
	readonly event = new Event(this);
	private readonly queue: EventQueue;
	private random: number;
	constructor(queue: EventQueue, seed: number) {
		this.queue = queue;
		this.random = seed;
	}
	fire(): void {
		// xorshift32: some delay, never the same
		let x = this.random;
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		this.random = x;
		this.queue.schedule(this.event, this.event.time + 1 + (x >>> 20));
	}
}

function bareQueue(): Record<string, number> {
	const queue = new EventQueue();
	for (let i = 1; i <= QUEUE_SIZE; i++) queue.schedule(new Again(queue, i * 2_654_435_761).event, i);
	const { seconds } = timed(() => {
		for (let i = 0; i < QUEUE_EVENTS; i++) queue.step(Number.POSITIVE_INFINITY);
	});
	return { events: queue.fired / seconds };
}

const verdict = (value: number, target: number): string => (value >= target ? "met" : `below ${grouped(target)}`);

function scenario(policy: string, costOnly: boolean, n = 8): RawRunOptions {
	return { policy, crypto: "ossl", cpus: String(n), duration: quick ? "50ms" : "150ms", costOnly };
}

function throughput(): void {
	const targets: [string, string, boolean, number][] = [
		["round-robin, real bytes", "round-robin", false, 25_000],
		["all-cpus, real bytes", "all-cpus", false, 8_000],
		["round-robin, cost only", "round-robin", true, 50_000],
		["all-cpus, cost only", "all-cpus", true, 12_000],
	];
	const rounds = new Map(targets.map(([name]) => [name, [] as Record<string, number>[]]));
	for (let round = 0; round < STREAM_ROUNDS; round++)
		for (const [name, policy, costOnly] of targets) rounds.get(name)!.push(runStream(scenario(policy, costOnly)));
	const medians = mediansOf(rounds);
	section("One TCP stream through both tunnels, 8 CPUs, ossl, per second of host time", [
		["", "data segments", "packets", "events", "from the queue", "events/segment", "segments", "1 000 000 events"],
		...targets.map(([name, , , target]) => {
			const figures = medians.get(name)!;
			return [
				name,
				grouped(figures.segments),
				grouped(figures.packets),
				grouped(figures.events),
				grouped(figures.fired),
				figures.per_segment.toFixed(1),
				verdict(figures.segments, target),
				verdict(figures.events, 1_000_000),
			];
		}),
	]);
}

/** What it costs the host that CPUs take turns: on one of them a thread hardly ever waits for the clock. */
async function turns(): Promise<void> {
	const sizes = [1, 2, 4, 8];
	const cases: Case[] = sizes.map((n) => ({
		name: String(n),
		once: async () => {
			const bare = await runBare(parseRunOptions(scenario("round-robin", true, n)));
			return { segments: bare.data_segments / bare.host_seconds, per_segment: bare.events / bare.data_segments };
		},
	}));
	const medians = await interleaved(cases, ROUNDS);
	section("The same stream by number of CPUs, round-robin, cost only, per second of host time", [
		["CPUs", "data segments", "events/segment"],
		...sizes.map((n) => {
			const figures = medians.get(String(n))!;
			return [String(n), grouped(figures.segments), figures.per_segment.toFixed(1)];
		}),
	]);
}

async function scaling(): Promise<void> {
	const sizes = [1, 2, 4, 8, 16, 32, 64, 128];
	const cases: Case[] = sizes.map((n) => ({
		name: String(n),
		once: async () => {
			const bare = await runBare(
				parseRunOptions({
					policy: "round-robin",
					crypto: "ossl",
					cpus: String(n),
					udp: true,
					bandwidth: "200M",
					// long enough for what many CPUs leave behind at boot not to count: the host collects it in the first tenth of a second
					duration: quick ? "50ms" : "1s",
					costOnly: true,
				}),
			);
			return { ns: (bare.host_seconds * 1e9) / bare.events, events: bare.events, packets: bare.packets };
		},
	}));
	const medians = await interleaved(cases, ROUNDS);
	const per_event = sizes.map((n) => medians.get(String(n))!.ns);
	section("Host time per simulated event at equal traffic: one UDP stream of 200 Mb/s, round-robin, cost only", [
		["CPUs", "ns/event", "events", "packets"],
		...sizes.map((n, i) => {
			const figures = medians.get(String(n))!;
			return [String(n), per_event[i].toFixed(0), grouped(figures.events), grouped(figures.packets)];
		}),
	]);
	const spread = Math.max(...per_event) / Math.min(...per_event);
	say(`  largest : smallest = ${spread.toFixed(2)} (${spread <= 2 ? "met" : "above 2"})`);
	say();
}

async function main(): Promise<void> {
	say(`node ${process.version}, ${cpus()[0]?.model ?? "unknown CPU"}, ${ROUNDS} rounds, medians`);
	process.stdout.write(loadWarning());
	say();

	const queue = (await interleaved([{ name: "queue", once: bareQueue }], ROUNDS)).get("queue")!;
	section("Bare event queue", [
		["", "events/s", ""],
		[`${QUEUE_SIZE} pending`, grouped(queue.events), verdict(queue.events, 5_000_000)],
	]);

	throughput();
	await turns();
	await scaling();

	const help = median(Array.from({ length: quick ? 3 : 9 }, () => runCommand(["--help"]).seconds));
	const whole = runCommand(["compare", "--json"]);
	section("The command, in a process of its own", [
		["", "seconds", "limit", "peak memory, MB", "limit"],
		["ifwg --help", help.toFixed(3), "0.3", "", ""],
		["ifwg compare, all workers", whole.seconds.toFixed(1), "60", whole.peak_mb.toFixed(0), "400"],
	]);
	process.stdout.write(loadWarning());
}

if (process.argv.includes("scale")) {
	const { scale } = await import("./scale.ts");
	await scale();
} else if (process.argv.includes("export")) {
	const { exportCosts } = await import("./export.ts");
	await exportCosts(quick);
} else if (process.argv.includes("lead")) {
	const { benchLead } = await import("./lead.ts");
	await benchLead(quick);
} else {
	await main();
}
