import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { costOverrides, formatCosts, parseCosts } from "../../sim/costs.ts";
import { UsageError } from "../../sim/errors.ts";
import {
	commandLine,
	parseList,
	parseRunOptions,
	parseSeeds,
	type RawRunOptions,
	settingsKey,
} from "../../sim/options.ts";
import { formatDuration, formatRate, grouped, parseDuration, parseRate, readableTime } from "../../sim/units.ts";
import type { Costs } from "../../src/machine/cost/costs.ts";
import { Machine } from "../../src/machine/machine.ts";
import { findProfile } from "../../src/machine/profile.ts";

function message(action: () => unknown): string {
	try {
		action();
	} catch (error) {
		expect(error).toBeInstanceOf(UsageError);
		return (error as Error).message;
	}
	throw new Error("nothing was thrown");
}

describe("defaults", () => {
	test("are the scenario of 2021", () => {
		expect(parseRunOptions({})).toEqual({
			machine: "xeon-d",
			hosts: 1,
			cpus: 8,
			release: "13.0",
			generation: "2022-09",
			policy: "round-robin",
			driver: null,
			crypto: "own",
			epair: "netisr",
			streams: 1,
			udp: false,
			reverse: false,
			bandwidth_bps: 0,
			length: 0,
			mtu: 1420,
			duration_ns: 20_000_000,
			warmup_ns: 10_000_000,
			seed: 1,
			cost_only: false,
			costs: {},
			lead_ns: null,
		});
	});

	test("the epair is the release's, the CPUs are the machine's", () => {
		expect(parseRunOptions({ release: "14.0" }).epair).toBe("taskqueue");
		expect(parseRunOptions({ machine: "server-64" }).cpus).toBe(64);
	});

	test("a generation that is named brings its policy and its ciphers, unless these are named too", () => {
		const chosen = (raw: RawRunOptions) => {
			const { policy, crypto } = parseRunOptions(raw);
			return [policy, crypto];
		};
		expect(chosen({ generation: "2021-11" })).toEqual(["all-cpus", "own"]);
		expect(chosen({ generation: "2021-11-rr" })).toEqual(["round-robin", "own"]);
		for (const generation of ["2022-09", "main", "blake2-library"]) {
			expect(chosen({ generation })).toEqual(["round-robin", "cryptosoft"]);
		}
		expect(chosen({ generation: "2021-11", policy: "linux-style", crypto: "ossl" })).toEqual(["linux-style", "ossl"]);
	});

	test("a UDP stream has a rate, because it would not stop by itself", () => {
		expect(parseRunOptions({ udp: true }).bandwidth_bps).toBe(1_000_000_000);
	});
});

describe("impossible values are refused with one line that says what would be right", () => {
	test.each<[RawRunOptions, string]>([
		[{ cpus: "0" }, '--cpus: "0" is not a whole number from 1 to 256'],
		[{ cpus: "257" }, '--cpus: "257" is not a whole number from 1 to 256'],
		[{ cpus: "2.5" }, '--cpus: "2.5" is not a whole number from 1 to 256'],
		[{ cpus: "many" }, '--cpus: "many" is not a whole number from 1 to 256'],
		[{ hosts: "3" }, '--hosts: "3" is not a whole number from 1 to 2'],
		[{ hosts: "2", epair: "netisr" }, "--epair: there is none between two machines"],
		[{ mtu: "9161" }, '--mtu: "9161" is not a whole number from 576 to 9160'],
		[{ mtu: "10" }, '--mtu: "10" is not a whole number from 576 to 9160'],
		[{ duration: "-1s" }, '--duration: "-1s" is not a time; write it like 20ms, 1s or 500us'],
		[{ duration: "20" }, '--duration: "20" is not a time; write it like 20ms, 1s or 500us'],
		[{ duration: "0s" }, '--duration: "0s" is not from 100us to 600s'],
		[{ lead: "11us" }, '--lead: "11us" is not from 0ns to 10us'],
		[{ lead: "0" }, '--lead: "0" is not a time; write it like 20ms, 1s or 500us'],
		[{ warmup: "1h" }, '--warmup: "1h" is not a time; write it like 20ms, 1s or 500us'],
		[{ machine: "cray" }, '--machine: no "cray"; there is xeon-d, vm, atom-c2758, server-64'],
		[{ release: "12.4" }, '--release: no "12.4"; there is 13.0, 14.0'],
		[{ generation: "2020" }, '--generation: no "2020"; there is 2021-11, 2021-11-rr, 2022-09, main, blake2-library'],
		[{ crypto: "rot13" }, '--crypto: no "rot13"; there is own, cryptosoft, ossl'],
		[{ epair: "x" }, '--epair: no "x"; there is netisr, taskqueue'],
		[{ streams: "0" }, '--streams: "0" is not a whole number from 1 to 128'],
		[{ seed: "-3" }, '--seed: "-3" is not a whole number from 0 to 9007199254740991'],
		[{ seed: "0x" }, '--seed: "0x" is not a whole number from 0 to 9007199254740991'],
		[{ bandwidth: "fast" }, '--bandwidth: "fast" is not a rate; write it like 100M, 1.5G or 0 for no limit'],
		[{ cost: "teleport=3" }, '--cost: no "teleport"; ifwg list costs shows them all'],
		[{ cost: "context_switch" }, '--cost: "context_switch" is not a cost; write it like context_switch=900'],
		[{ cost: "atomic=1=2" }, '--cost: "atomic=1=2" is not a cost; write it like context_switch=900'],
		[{ cost: "atomic=-1" }, '--cost: atomic="-1" is not a number from 0 to 2500 (cycles; plausible are 10 to 25)'],
		[{ cost: "atomic=1e9" }, '--cost: atomic="1e9" is not a number from 0 to 2500 (cycles; plausible are 10 to 25)'],
		[
			{ cost: "atomic=99999" },
			'--cost: atomic="99999" is not a number from 0 to 2500 (cycles; plausible are 10 to 25)',
		],
		[{ cost: "atomic=12,atomic=13" }, "--cost: atomic is given twice"],
		[{ cost: "" }, '--cost: "" is not a cost; write it like context_switch=900'],
		[{ policy: " " }, "--policy: a name or a file is missing"],
		[{ machine: "a\nb" }, '--machine: no "a\\nb"; there is xeon-d, vm, atom-c2758, server-64'],
	])("%j", (raw, expected) => {
		expect(message(() => parseRunOptions(raw))).toBe(expected);
	});

	test("lists", () => {
		expect(message(() => parseList("--policy", "a,,b", []))).toBe('--policy: an empty name in "a,,b"');
		expect(message(() => parseList("--policy", "a,b,a", []))).toBe('--policy: "a,b,a" names something twice');
		expect(message(() => parseSeeds("0", undefined))).toBe('--seeds: "0" is not a whole number from 1 to 1000');
	});
});

test("seeds: five by default, the one that was named, or so many from it on", () => {
	expect(parseSeeds(undefined, undefined)).toEqual([1, 2, 3, 4, 5]);
	expect(parseSeeds(undefined, "0x2a")).toEqual([42]);
	expect(parseSeeds("3", "7")).toEqual([7, 8, 9]);
});

describe("the line that repeats a run", () => {
	/** Reads a command line back as the options of the program would. */
	function read(line: string): RawRunOptions {
		const raw: Record<string, string | boolean> = {};
		const words = line.replace(/^npx ifwg run /, "").split(" ");
		for (let i = 0; i < words.length; i++) {
			const name = words[i].slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
			raw[name] = i + 1 < words.length && !words[i + 1].startsWith("--") ? words[++i] : true;
		}
		return raw as RawRunOptions;
	}

	test("is short when all is as usual", () => {
		expect(commandLine(parseRunOptions({ policy: "all-cpus", seed: "42" }))).toBe(
			"npx ifwg run --policy all-cpus --crypto own --seed 0x2a",
		);
	});

	test("a file with odd characters is quoted for the shell", () => {
		expect(commandLine(parseRunOptions({ policy: "./it's mine.mjs" }))).toContain(`--policy './it'\\''s mine.mjs'`);
	});

	test("gives the same options again, whatever they are", () => {
		const raw = fc.record(
			{
				machine: fc.constantFrom("xeon-d", "vm", "atom-c2758", "server-64"),
				cpus: fc.integer({ min: 1, max: 256 }).map(String),
				release: fc.constantFrom("13.0", "14.0"),
				generation: fc.constantFrom("2021-11", "2021-11-rr", "2022-09", "main", "blake2-library"),
				policy: fc.constantFrom("all-cpus", "round-robin", "./x.mjs"),
				crypto: fc.constantFrom("own", "cryptosoft", "ossl"),
				epair: fc.constantFrom("netisr", "taskqueue"),
				streams: fc.integer({ min: 1, max: 128 }).map(String),
				udp: fc.boolean(),
				reverse: fc.boolean(),
				bandwidth: fc.constantFrom("0", "1G", "1500k", "123456"),
				length: fc.integer({ min: 16, max: 1400 }).map(String),
				mtu: fc.integer({ min: 576, max: 9000 }).map(String),
				duration: fc.constantFrom("1ms", "250us", "1.5s", "123457ns"),
				warmup: fc.constantFrom("0s", "5ms"),
				seed: fc.maxSafeNat().map(String),
				costOnly: fc.boolean(),
				lead: fc.constantFrom("0ns", "42ns", "10us"),
				cost: fc.constantFrom("atomic=12", "line_transfer=33.5,atomic=11", "chapoly_own=7200", "atomic=15"),
			},
			{ requiredKeys: [] },
		);
		fc.assert(
			fc.property(raw, (given) => {
				const options = parseRunOptions(given);
				expect(parseRunOptions(read(commandLine(options)))).toEqual(options);
			}),
		);
	});
});

test("the fingerprint covers every option but those that must not matter", () => {
	const base = parseRunOptions({});
	const key = settingsKey(base, "round-robin");
	expect(settingsKey({ ...base, cost_only: true, policy: "./copy.mjs", driver: "x" }, "round-robin")).toBe(key);
	const others: Partial<typeof base>[] = [
		{ machine: "vm" },
		{ cpus: 4 },
		{ release: "14.0" },
		{ generation: "main" },
		{ crypto: "ossl" },
		{ epair: "taskqueue" },
		{ streams: 2 },
		{ udp: true },
		{ reverse: true },
		{ bandwidth_bps: 1 },
		{ length: 100 },
		{ mtu: 1400 },
		{ duration_ns: 1 },
		{ warmup_ns: 1 },
		{ seed: 2 },
		{ lead_ns: 0 },
		{ lead_ns: 42 },
		{ costs: { atomic: 12 } },
	];
	for (const other of others) expect(settingsKey({ ...base, ...other }, "round-robin")).not.toBe(key);
	expect(settingsKey(base, "all-cpus")).not.toBe(key);
});

describe("costs", () => {
	test("are in the order of the tables, without what is as usual, however they are written", () => {
		const { costs } = parseRunOptions({ cost: "sched_add=300, context_switch=900,atomic=15" });
		expect(formatCosts(costs)).toBe("context_switch=900,sched_add=300");
	});

	test("are in the unit the machine lists them in: of the reference core, or of its own where it has a constant of its own", () => {
		const atom = findProfile("atom-c2758")!;
		const charged = (cost: string): Costs =>
			new Machine({ profile: atom, costs: costOverrides(parseCosts(cost, atom), atom) }).costs;
		const usual = charged("atomic=15");
		// 30 cycles of the reference core are 2.3 times as many of an Atom's, at 2.4 GHz
		expect(charged("atomic=30")).toEqual({ ...usual, atomic: Math.round((30 * 2.3) / 2.4) });
		expect(charged("chapoly_own=12000")).toEqual({ ...usual, chapoly_own: 5000 });
		expect(charged("line_transfer=70")).toEqual({ ...usual, line_transfer: 70 });
	});
});

describe("units", () => {
	test.each([
		["20ms", 20_000_000],
		["1s", 1_000_000_000],
		["0.5s", 500_000_000],
		["250us", 250_000],
		["7ns", 7],
	])("%s is %i ns and back", (text, ns) => {
		expect(parseDuration("t", text)).toBe(ns);
		expect(parseDuration("t", formatDuration(ns))).toBe(ns);
	});

	test("rates go both ways", () => {
		fc.assert(
			fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (bps) => {
				expect(parseRate("r", formatRate(bps))).toBe(bps);
			}),
		);
	});

	test("numbers are grouped the same everywhere", () => {
		expect([0, 999, 1000, 1234567].map(grouped)).toEqual(["0", "999", "1 000", "1 234 567"]);
	});

	test("times are read in the unit that fits", () => {
		expect([12, 1_500, 2_345_678, 3e9].map(readableTime)).toEqual(["12 ns", "1.50 us", "2.35 ms", "3.00 s"]);
	});
});
