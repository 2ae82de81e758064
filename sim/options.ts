/**
 * What can be chosen for a run, with its defaults, and how to read it from and write it to a command line.
 *
 * A run is a pure function of these options. So the command line that repeats it is made from them and nothing else.
 */
import { type wg_generation_name, wg_generations } from "../src/dev/wg/generation.ts";
import { type Release, releases, releaseTraits } from "../src/kernel/release.ts";
import { findProfile, machineProfiles } from "../src/machine/profile.ts";
import { type CostValues, formatCosts, parseCosts } from "./costs.ts";
import { UsageError } from "./errors.ts";
import { formatDuration, formatRate, parseDuration, parseInteger, parseRate, quote } from "./units.ts";

export const CRYPTOS = ["own", "cryptosoft", "ossl"] as const;
export type Crypto = (typeof CRYPTOS)[number];

export const EPAIRS = ["netisr", "taskqueue"] as const;
export type Epair = (typeof EPAIRS)[number];

export const CRYPTO_DESCRIPTIONS: Readonly<Record<Crypto, string>> = {
	own: "the driver's own portable C, in place over the mbuf chain (until October 2021)",
	cryptosoft: "crypto(9) with its portable software driver",
	ossl: "crypto(9) with ossl(4): OpenSSL's assembly",
};

export const EPAIR_DESCRIPTIONS: Readonly<Record<Epair, string>> = {
	netisr: "epair of 2021: packets cross by netisr, one thread for all of them",
	taskqueue: "epair from 2022 on: packets cross by a task queue",
};

export type Generation = wg_generation_name;
export const GENERATIONS = Object.keys(wg_generations) as Generation[];

export const GENERATION_DESCRIPTIONS: Readonly<Record<Generation, string>> = {
	"2021-11": "all CPUs are woken for each packet, the driver's own ciphers (wireguard-freebsd 8ed5135)",
	"2021-11-rr": "the same, but one CPU in turn is woken (ddc22da alone)",
	"2022-09": "the last one outside FreeBSD's tree: ciphers from crypto(9), errors of its operations unseen (20584d1)",
	main: "FreeBSD's own, with what was mended since, SA-26:52 included",
	"blake2-library": "main with BLAKE2s from a library API, as was proposed",
};

export interface RunOptions {
	readonly machine: string;
	/** 1: both ends in jails on one machine, joined by epair; 2: each on a machine of its own, joined by a 10 Gb/s cable */
	readonly hosts: number;
	/** of each machine */
	readonly cpus: number;
	readonly release: Release;
	/** which of the drivers of the years */
	readonly generation: Generation;
	/** a policy's name, or the path of a file that holds one */
	readonly policy: string;
	/** directory of the driver to load; null for the one built in */
	readonly driver: string | null;
	readonly crypto: Crypto;
	readonly epair: Epair;
	/** parallel streams, iperf3 -P */
	readonly streams: number;
	readonly udp: boolean;
	/** the server sends, iperf3 -R */
	readonly reverse: boolean;
	/** target rate of each stream, bits per second; 0 for no limit */
	readonly bandwidth_bps: number;
	/** payload of each datagram, iperf3 -l; 0 for what fits the tunnel. TCP sends what it likes. */
	readonly length: number;
	/** MTU of the tunnel */
	readonly mtu: number;
	/** measured time, after the warm-up */
	readonly duration_ns: number;
	/** traffic flows, but is not measured yet */
	readonly warmup_ns: number;
	readonly seed: number;
	/** leave out the ciphers' arithmetic; the schedule stays the same */
	readonly cost_only: boolean;
	/** constants of the cost model that differ from the machine's own */
	readonly costs: CostValues;
	/** how far ahead of the clock a thread may act on shared memory, ns; null for LEAD_NS */
	readonly lead_ns: number | null;
}

/** The same as a command line gives it: text, or nothing. */
export interface RawRunOptions {
	readonly machine?: string | undefined;
	readonly hosts?: string | undefined;
	readonly cpus?: string | undefined;
	readonly release?: string | undefined;
	readonly generation?: string | undefined;
	readonly policy?: string | undefined;
	readonly driver?: string | undefined;
	readonly crypto?: string | undefined;
	readonly epair?: string | undefined;
	readonly streams?: string | undefined;
	readonly udp?: boolean | undefined;
	readonly reverse?: boolean | undefined;
	readonly bandwidth?: string | undefined;
	readonly length?: string | undefined;
	readonly mtu?: string | undefined;
	readonly duration?: string | undefined;
	readonly warmup?: string | undefined;
	readonly seed?: string | undefined;
	readonly costOnly?: boolean | undefined;
	readonly cost?: string | undefined;
	readonly lead?: string | undefined;
}

export const DEFAULT_MACHINE = "xeon-d";
export const DEFAULT_RELEASE: Release = "13.0";
export const DEFAULT_GENERATION: Generation = "2022-09";
export const DEFAULT_POLICY = "round-robin";
/** the policies `compare` lays side by side: the driver before and after ddc22da */
export const DEFAULT_POLICIES = ["all-cpus", "round-robin"] as const;
export const DEFAULT_CRYPTOS: readonly Crypto[] = ["own", "ossl"];
export const DEFAULT_DURATION_NS = 20_000_000;
export const DEFAULT_WARMUP_NS = 10_000_000;
export const DEFAULT_SEED = 1;
export const DEFAULT_SEEDS = 5;
/** what a datagram stream sends without -b: too much for one CPU to hide, as the router tests do */
export const DEFAULT_UDP_BPS = 1_000_000_000;

/** the driver's default: 1500 less the tunnel's headers over IPv6 */
export const DEFAULT_MTU = 1420;
/** what every IPv4 host must take */
const MTU_MIN = 576;
/**
 * What the driver's socket sends at most: its send buffer is net.inet.udp.maxdgram, 9216 bytes, less the control message with the
 * source address, a message's header and tag. The interface takes a larger MTU, but no full packet of it would leave.
 */
const MTU_MAX = 9216 - 24 - 32;
/** a datagram carries iperf3's 16-byte header */
const LENGTH_MIN = 16;
const LENGTH_MAX = 65_507;
const HOSTS_MAX = 2;
const CPUS_MAX = 256;
const STREAMS_MAX = 128;
const TIME_MAX_NS = 600_000_000_000;
/** shorter, and nothing happens in it that could be measured */
const DURATION_MIN_NS = 100_000;
/** farther, and little of what CPUs do to one another is left */
const LEAD_MAX_NS = 10_000;
export const SEEDS_MAX = 1000;

function oneOf<T extends string>(what: string, text: string, known: readonly T[]): T {
	const found = known.find((name) => name === text);
	if (found === undefined) throw new UsageError(`${what}: no ${quote(text)}; there is ${known.join(", ")}`);
	return found;
}

function time(what: string, text: string, low: number, high = TIME_MAX_NS): number {
	const ns = parseDuration(what, text);
	if (ns < low || ns > high) {
		throw new UsageError(`${what}: ${quote(text)} is not from ${formatDuration(low)} to ${formatDuration(high)}`);
	}
	return ns;
}

/** Reads and checks options. What is not given has its default; some defaults depend on machine, release or protocol. */
export function parseRunOptions(raw: RawRunOptions): RunOptions {
	const machine = oneOf(
		"--machine",
		raw.machine ?? DEFAULT_MACHINE,
		machineProfiles.map((profile) => profile.name),
	);
	const profile = findProfile(machine)!;
	const release = oneOf("--release", raw.release ?? DEFAULT_RELEASE, releases);
	const generation = oneOf("--generation", raw.generation ?? DEFAULT_GENERATION, GENERATIONS);
	const policy = raw.policy ?? (raw.generation === undefined ? DEFAULT_POLICY : wg_generations[generation].dispatch);
	if (policy.trim() === "") throw new UsageError("--policy: a name or a file is missing");
	const udp = raw.udp ?? false;
	const hosts = parseInteger("--hosts", raw.hosts ?? "1", 1, HOSTS_MAX);
	if (hosts > 1 && raw.epair !== undefined) throw new UsageError("--epair: there is none between two machines");
	return {
		machine,
		hosts,
		cpus: raw.cpus === undefined ? profile.cpus : parseInteger("--cpus", raw.cpus, 1, CPUS_MAX),
		release,
		generation,
		policy,
		driver: raw.driver ?? null,
		crypto: oneOf("--crypto", raw.crypto ?? defaultCrypto(raw.generation === undefined ? null : generation), CRYPTOS),
		epair: oneOf("--epair", raw.epair ?? releaseTraits(release).epair, EPAIRS),
		streams: parseInteger("--streams", raw.streams ?? "1", 1, STREAMS_MAX),
		udp,
		reverse: raw.reverse ?? false,
		bandwidth_bps: raw.bandwidth === undefined ? defaultBandwidth(udp) : parseRate("--bandwidth", raw.bandwidth),
		length: raw.length === undefined ? 0 : parseInteger("--length", raw.length, LENGTH_MIN, LENGTH_MAX),
		mtu: parseInteger("--mtu", raw.mtu ?? String(DEFAULT_MTU), MTU_MIN, MTU_MAX),
		duration_ns: raw.duration === undefined ? DEFAULT_DURATION_NS : time("--duration", raw.duration, DURATION_MIN_NS),
		warmup_ns: raw.warmup === undefined ? DEFAULT_WARMUP_NS : time("--warmup", raw.warmup, 0),
		seed: parseInteger("--seed", raw.seed ?? String(DEFAULT_SEED), 0, Number.MAX_SAFE_INTEGER),
		cost_only: raw.costOnly ?? false,
		costs: raw.cost === undefined ? {} : parseCosts(raw.cost, profile),
		lead_ns: raw.lead === undefined ? null : time("--lead", raw.lead, 0, LEAD_MAX_NS),
	};
}

/** The driver's own ciphers, or for a generation that was named what that one uses where ossl(4) is not loaded. */
function defaultCrypto(generation: Generation | null): Crypto {
	return generation === null || wg_generations[generation].aead === "own" ? "own" : "cryptosoft";
}

function defaultBandwidth(udp: boolean): number {
	return udp ? DEFAULT_UDP_BPS : 0;
}

/** `--seeds`: how many runs, or without it one when a seed was named. */
export function parseSeeds(count: string | undefined, seed: string | undefined): number[] {
	const first = parseInteger("--seed", seed ?? String(DEFAULT_SEED), 0, Number.MAX_SAFE_INTEGER - SEEDS_MAX);
	const fallback = seed === undefined ? DEFAULT_SEEDS : 1;
	const n = count === undefined ? fallback : parseInteger("--seeds", count, 1, SEEDS_MAX);
	return Array.from({ length: n }, (_, i) => first + i);
}

/** A list such as `all-cpus,round-robin`: at least one, none twice. */
export function parseList(what: string, text: string | undefined, fallback: readonly string[]): string[] {
	if (text === undefined) return [...fallback];
	const items = text.split(",").map((item) => item.trim());
	if (items.some((item) => item === "")) throw new UsageError(`${what}: an empty name in ${quote(text)}`);
	if (new Set(items).size !== items.length) throw new UsageError(`${what}: ${quote(text)} names something twice`);
	return items;
}

function shellWord(text: string): string {
	return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** What the command lines of a run and of a comparison have in common. Options with their default value are left out. */
function sharedWords(options: RunOptions): string[] {
	const profile = findProfile(options.machine);
	const words: string[] = [];
	const add = (differs: boolean, text: string): void => {
		if (differs) words.push(text);
	};
	add(options.driver !== null, `--driver ${shellWord(options.driver ?? "")}`);
	add(options.machine !== DEFAULT_MACHINE, `--machine ${options.machine}`);
	add(options.hosts !== 1, `--hosts ${options.hosts}`);
	add(options.cpus !== profile?.cpus, `--cpus ${options.cpus}`);
	add(options.release !== DEFAULT_RELEASE, `--release ${options.release}`);
	add(options.generation !== DEFAULT_GENERATION, `--generation ${options.generation}`);
	add(options.epair !== releaseTraits(options.release).epair, `--epair ${options.epair}`);
	add(options.streams !== 1, `--streams ${options.streams}`);
	add(options.udp, "--udp");
	add(options.reverse, "--reverse");
	add(options.bandwidth_bps !== defaultBandwidth(options.udp), `--bandwidth ${formatRate(options.bandwidth_bps)}`);
	add(options.length !== 0, `--length ${options.length}`);
	add(options.mtu !== DEFAULT_MTU, `--mtu ${options.mtu}`);
	add(options.duration_ns !== DEFAULT_DURATION_NS, `--duration ${formatDuration(options.duration_ns)}`);
	add(options.warmup_ns !== DEFAULT_WARMUP_NS, `--warmup ${formatDuration(options.warmup_ns)}`);
	add(options.cost_only, "--cost-only");
	add(Object.keys(options.costs).length > 0, `--cost ${formatCosts(options.costs)}`);
	add(options.lead_ns !== null, `--lead ${formatDuration(options.lead_ns ?? 0)}`);
	return words;
}

/** The one line that repeats a run. Of the options with their default value only those people compare by are named. */
export function commandLine(options: RunOptions): string {
	const { policy, crypto, seed } = options;
	const words = ["npx ifwg run", `--policy ${shellWord(policy)}`, `--crypto ${crypto}`, ...sharedWords(options)];
	return [...words, `--seed 0x${seed.toString(16)}`].join(" ");
}

/** The one line that repeats a comparison; `seeds` are consecutive. */
export function compareCommandLine(
	base: RunOptions,
	policies: readonly string[],
	cryptos: readonly string[],
	seeds: readonly number[],
): string {
	const words = ["npx ifwg compare"];
	const list = (flag: string, values: readonly string[], fallback: readonly string[]): void => {
		if (values.join() !== fallback.join()) words.push(`${flag} ${shellWord(values.join())}`);
	};
	list("--policy", policies, DEFAULT_POLICIES);
	list("--crypto", cryptos, DEFAULT_CRYPTOS);
	words.push(...sharedWords(base));
	if (seeds.length === 1) words.push(`--seed ${seeds[0]}`);
	else {
		if (seeds[0] !== DEFAULT_SEED) words.push(`--seed ${seeds[0]}`);
		if (seeds.length !== DEFAULT_SEEDS || seeds[0] !== DEFAULT_SEED) words.push(`--seeds ${seeds.length}`);
	}
	return words.join(" ");
}

/**
 * What a fingerprint covers besides the events: the settings, so that two runs of different worlds never agree by accident.
 * Left out is what must not change the schedule: --cost-only.
 */
export function settingsKey(options: RunOptions, policyName: string): string {
	const {
		machine,
		cpus,
		release,
		generation,
		crypto,
		epair,
		streams,
		udp,
		reverse,
		bandwidth_bps,
		mtu,
		duration_ns,
		warmup_ns,
	} = options;
	return JSON.stringify([
		machine,
		cpus,
		release,
		generation,
		policyName,
		crypto,
		epair,
		streams,
		udp,
		reverse,
		bandwidth_bps,
		options.length,
		mtu,
		duration_ns,
		warmup_ns,
		options.seed,
		// runs with the usual costs and lead, on one machine, keep the fingerprints they always had
		...(Object.keys(options.costs).length > 0 ? [options.costs] : []),
		...(options.lead_ns !== null ? [options.lead_ns] : []),
		...(options.hosts !== 1 ? [`${options.hosts} hosts`] : []),
	]);
}
