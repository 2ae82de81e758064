/** The command as people have it: the compiled program, in a process of its own. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { root } from "../support/source.ts";

const bin = path.join(root, "bin/ifwg.mjs");
let directory: string;

/** What is tested is this tree, not what was compiled some time ago. */
beforeAll(() => {
	directory = mkdtempSync(path.join(tmpdir(), "ifwg-cli-"));
	execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "pipe" });
}, 120_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
	status: number | null;
	stdout: string;
	stderr: string;
}

function ifwg(...argv: string[]): Ended {
	const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...argv], {
		cwd: directory,
		encoding: "utf8",
		maxBuffer: 2 ** 27,
		env: { ...process.env, NO_COLOR: "1" },
	});
	return { status, stdout, stderr };
}

function file(name: string, text: string): string {
	writeFileSync(path.join(directory, name), text);
	return `./${name}`;
}

const COMMANDS = [
	"compare",
	"run",
	"scan",
	"sensitivity",
	"validate",
	"axes",
	"trace",
	"packet",
	"stacks",
	"blake2",
	"list",
] as const;

/** Little traffic, but all of the machine. */
const SHORT = ["--duration", "2ms", "--warmup", "1ms", "--cost-only"];

describe("help", () => {
	test("without arguments, and with --help, is the same", () => {
		const { status, stdout, stderr } = ifwg();
		expect([status, stderr]).toEqual([0, ""]);
		expect(stdout).toBe(ifwg("--help").stdout);
		for (const command of COMMANDS) expect(stdout).toContain(`\n  ${command}`);
	});

	test.each(COMMANDS)("of %s ends with examples", (command) => {
		const { status, stdout } = ifwg(command, "--help");
		expect(status).toBe(0);
		expect(stdout).toMatch(/\nExamples:\n {2}\$ ifwg /);
	});
});

describe("bad input: one line that says what is wrong, exit 2, nothing on stdout", () => {
	test.each<[string, string[], RegExp]>([
		["an unknown command", ["compute"], /^ifwg: unknown command 'compute'/],
		["an unknown option", ["run", "--cpu", "4"], /^ifwg: unknown option '--cpu'/],
		["an option without its value", ["run", "--cpus"], /^ifwg: option '--cpus <n>' argument missing/],
		["0 CPUs", ["compare", "--cpus", "0"], /^ifwg: --cpus: "0" is not a whole number from 1 to 256/],
		["no machine", ["run", "--hosts", "0"], /^ifwg: --hosts: "0" is not a whole number from 1 to 2/],
		[
			"two machines in files of one",
			["run", "--hosts", "2", "--out", "x"],
			/^ifwg: --hosts 2: --out shows one machine/,
		],
		[
			"two machines in a report of one",
			["compare", "--hosts", "2", "--report", "x"],
			/^ifwg: --hosts 2: --report shows/,
		],
		["two machines where there is one", ["stacks", "--hosts", "2"], /^ifwg: unknown option '--hosts'/],
		["MTU 10", ["run", "--mtu", "10"], /^ifwg: --mtu: "10" is not a whole number/],
		["a negative time", ["run", "--duration=-5ms"], /^ifwg: --duration: "-5ms" is not a time/],
		["an unknown machine", ["run", "--machine", "cray"], /^ifwg: --machine: no "cray"; there is xeon-d, vm,/],
		["an unknown cipher in a list", ["compare", "--crypto", "own,rot13"], /^ifwg: --crypto: no "rot13"; there is own/],
		["an unknown policy", ["compare", "--policy", "all-cpus,robin"], /^ifwg: --policy: no "robin"; there is all-cpus/],
		[
			"a policy file that is not there",
			["run", "--policy", "./gone.mjs"],
			/^ifwg: --policy .\/gone.mjs: there is no such file/,
		],
		["an unknown generation", ["run", "--generation", "2020"], /^ifwg: --generation: no "2020"; there is 2021-11, /],
		["a trace of nothing", ["trace"], /^ifwg: trace: a program is missing/],
		["a trace of a probe nobody knows", ["trace", "sched:::of-cpu { count() }"], /^ifwg: trace: column 1: .*off-cpu/],
		["a script that is not there", ["trace", "-s", "gone.d"], /^ifwg: --script gone.d: cannot be read: ENOENT/],
		["an unknown list", ["list", "planets"], /^ifwg: list: no "planets"; there is machines/],
		["too many arguments", ["run", "fast"], /^ifwg: too many arguments for 'run'/],
		["a driver that is not one", ["run", "--driver", "."], /^ifwg: --driver .: no if_wg.js in it/],
		[
			"a table that cannot be written",
			["scan", "--cpus", "1", ...SHORT, "--write", "no/such/place"],
			/^ifwg: --write no\/such\/place: there is no directory no\/such/,
		],
		["a cost that is not one", ["run", "--cost", "teleport=1"], /^ifwg: --cost: no "teleport"; ifwg list costs shows/],
		["a cost in words", ["scan", "--cost", "atomic=dear"], /^ifwg: --cost: atomic="dear" is not a number from 0 to/],
		[
			"a cost to vary that is not one",
			["sensitivity", "--vary", "teleport"],
			/^ifwg: --vary: no "teleport"; ifwg list/,
		],
		["an unknown axis", ["axes", "time"], /^ifwg: axes: no "time"; there is ciphers, handshakes, cycles, power, flood/],
		["a page in no directory", ["validate", "--write", "no/p.md"], /^ifwg: --write no\/p.md: there is no directory no/],
		["fewer seeds than chance needs", ["sensitivity", "--base-seeds", "1"], /^ifwg: --base-seeds: "1" is not a whole/],
	])("%s", (_what, argv, expected) => {
		const { status, stdout, stderr } = ifwg(...argv);
		expect(stderr).toMatch(expected);
		expect(stderr.trimEnd().split("\n")).toHaveLength(1);
		expect([status, stdout]).toEqual([2, ""]);
	});

	test.each<[string, string, RegExp]>([
		["syntax.mjs", "export default {", /syntax.mjs: cannot be loaded: /],
		["throws.mjs", "throw new Error('no');", /throws.mjs: cannot be loaded: no/],
		["empty.mjs", "export default 5;", /empty.mjs: has no policy/],
		[
			"half.mjs",
			"export default { name: 'h', description: 'h', encrypt_dispatch() {} };",
			/half.mjs: its decrypt_dispatch/,
		],
		[
			"late.mjs",
			"export default { name: 'l', description: 'l', *encrypt_dispatch() { throw new Error('too late'); }, *decrypt_dispatch() {} };",
			/late.mjs: encrypt_dispatch threw: too late/,
		],
		[
			"forgets.mjs",
			"export default ({ charge, load }) => ({ name: 'f', description: 'f'," +
				" *encrypt_dispatch(sc) { charge(1e6); load(sc, 'sc_encrypt_last_cpu'); }, *decrypt_dispatch() {} });",
			/forgets.mjs: encrypt_dispatch threw: something that may wait was called without yield\*/,
		],
	])("a policy: %s", (name, text, expected) => {
		const { status, stdout, stderr } = ifwg("run", ...SHORT, "--policy", file(name, text));
		expect(stderr).toMatch(expected);
		expect(stderr.trimEnd().split("\n")).toHaveLength(1);
		expect([status, stdout]).toEqual([2, ""]);
	});
});

describe("a run", () => {
	test("has everything the report promises, as JSON", () => {
		const { status, stdout, stderr } = ifwg("run", ...SHORT, "--policy", "all-cpus", "--seed", "0x7", "--json");
		expect([status, stderr]).toEqual([0, ""]);
		const result = JSON.parse(stdout);
		expect(result).toMatchObject({ policy: "all-cpus", crypto: "own", cpus: 8, machine: "xeon-d", seed: 7 });
		expect(result.fingerprint).toMatch(/^[0-9a-f]{16}$/);
		expect(result.per_cpu).toHaveLength(8);
		for (const field of [
			"tasks_scheduled",
			"tasks_useful",
			"useful_task_share",
			"throughput_bps",
			"wakeups",
			"ipis",
			"context_switches",
			"cpu_busy_ns",
			"cpu_wasted_ns",
			"energy_proxy_j",
			"events",
		]) {
			expect(result[field], field).toBeGreaterThan(0);
		}
	});

	test("is repeated by the line it prints, to the byte", () => {
		const first = ifwg("run", ...SHORT, "--crypto", "ossl", "--seed", "9", "--json").stdout;
		const words = (JSON.parse(first).command as string).replace(/^npx ifwg /, "").split(" ");
		expect(ifwg(...words, "--json").stdout).toBe(first);
	});

	test("of a policy file that does as round-robin does and is called so goes as round-robin", () => {
		const copy = file(
			"copy.mjs",
			`export default ({ GROUPTASK_ENQUEUE, load, store, mp_ncpus }) => ({
				name: "round-robin",
				description: "the same again",
				*encrypt_dispatch(sc) {
					const cpu = ((yield* load(sc, "sc_encrypt_last_cpu")) + 1) % mp_ncpus();
					yield* store(sc, "sc_encrypt_last_cpu", cpu);
					yield* GROUPTASK_ENQUEUE(sc.sc_encrypt[cpu]);
				},
				*decrypt_dispatch(sc) {
					const cpu = ((yield* load(sc, "sc_decrypt_last_cpu")) + 1) % mp_ncpus();
					yield* store(sc, "sc_decrypt_last_cpu", cpu);
					yield* GROUPTASK_ENQUEUE(sc.sc_decrypt[cpu]);
				},
			});`,
		);
		const print = (policy: string) =>
			JSON.parse(ifwg("run", ...SHORT, "--policy", policy, "--json").stdout).fingerprint;
		expect(print(copy)).toBe(print("round-robin"));
	});

	test("of our own driver, loaded as somebody else's and compiled on the way, goes as it does built in", () => {
		const from = path.join(root, "build/src/dev/wg");
		const driver = path.join(directory, "driver");
		cpSync(from, driver, {
			recursive: true,
			filter: (file) => !/\.[^.]*$/.test(path.basename(file)) || file.endsWith(".js"),
		});
		let generators = 0;
		for (const name of readdirSync(driver, { recursive: true, encoding: "utf8" })) {
			if (!name.endsWith(".js")) continue;
			const text = readFileSync(path.join(driver, name), "utf8");
			generators += text.match(/function\*/g)?.length ?? 0;
			// what it uses of the kernel is the kernel that runs
			const outside = (all: string, before: string, specifier: string): string => {
				const imported = path.resolve(path.dirname(path.join(from, name)), specifier);
				if (!path.relative(from, imported).startsWith("..")) return all;
				return `${before}"${pathToFileURL(path.join(root, "dist", path.relative(path.join(root, "build"), imported))).href}"`;
			};
			writeFileSync(path.join(driver, name), text.replace(/\b(from |import |import\()"(\.[^"]*)"/g, outside));
		}
		expect(generators).toBeGreaterThan(50);
		const argv = ["run", "--policy", "round-robin", ...SHORT, "--json"];
		const foreign = ifwg(...argv, "--driver", "./driver");
		expect([foreign.status, foreign.stderr]).toEqual([0, ""]);
		expect(JSON.parse(foreign.stdout).fingerprint).toBe(JSON.parse(ifwg(...argv).stdout).fingerprint);
	});

	test("whose kernel panics says so as FreeBSD does, with CPUs, locks and the line that repeats it; exit 3", () => {
		// waking a task that was never attached is a broken rule of gtaskqueue
		const bad = file(
			"bad.mjs",
			`export default ({ GROUPTASK_ENQUEUE }) => ({
				name: "bad",
				description: "enqueues what is no task",
				*encrypt_dispatch(sc) { yield* GROUPTASK_ENQUEUE({ gt_taskqueue: null }); },
				*decrypt_dispatch(sc) {},
			});`,
		);
		const { status, stdout, stderr } = ifwg("run", ...SHORT, "--policy", bad);
		expect([status, stdout]).toEqual([3, ""]);
		expect(stderr).toMatch(/^panic: queue == NULL\ncpuid = \d\ntime = /);
		expect(stderr.match(/^ {2}cpuid = \d curthread = /gm)).toHaveLength(8);
		expect(stderr).toMatch(/\nRepeat it with: npx ifwg run --policy \.\/bad\.mjs .*--seed 0x1\n$/);
	});
});

test("a panic on the second of two machines says so, and shows that one's CPUs and locks only", () => {
	const bad = file(
		"far.mjs",
		`export default ({ GROUPTASK_ENQUEUE, curcpu }) => ({
			name: "far", description: "panics where packets arrive",
			*encrypt_dispatch(sc) { yield* GROUPTASK_ENQUEUE(sc.sc_encrypt[curcpu()]); },
			*decrypt_dispatch(sc) { yield* GROUPTASK_ENQUEUE({ gt_taskqueue: null }); },
		});`,
	);
	const { status, stdout, stderr } = ifwg("run", ...SHORT, "--hosts", "2", "--policy", bad);
	expect([status, stdout]).toEqual([3, ""]);
	expect(stderr).toMatch(/^panic: queue == NULL\ncpuid = \d\n.*\nthread = .*\nmachine = the second machine\nCPUs:\n/);
	expect(stderr.match(/^ {2}cpuid = \d curthread = /gm)).toHaveLength(8);
	expect(stderr).not.toContain("iperf3");
	expect(stderr).toMatch(/--hosts 2 .*--seed 0x1\n$/);
});

describe("a comparison", () => {
	test("is the same with 1 and with 2 workers, to the byte", () => {
		const compare = (workers: string) =>
			ifwg("compare", ...SHORT, "--crypto", "own", "--seeds", "2", "--no-others", "--json", "--workers", workers);
		const one = compare("1");
		expect(one.status).toBe(0);
		expect(compare("2").stdout).toBe(one.stdout);
		const { runs, summary } = JSON.parse(one.stdout);
		expect(runs.map((run: { policy: string; seed: number }) => `${run.policy} ${run.seed}`)).toEqual([
			"all-cpus 1",
			"all-cpus 2",
			"round-robin 1",
			"round-robin 2",
		]);
		expect(summary.throughput_ratio).toBeGreaterThan(0);
	});

	test("of two machines is the same with 1 and with 2 workers as well", () => {
		const compare = (workers: string) =>
			ifwg("compare", ...SHORT, "--hosts", "2", "--crypto", "ossl", "--seeds", "1", "--json", "--workers", workers);
		const one = compare("1");
		expect(one.status).toBe(0);
		expect(compare("2").stdout).toBe(one.stdout);
		const { runs, summary } = JSON.parse(one.stdout);
		expect(runs.map((run: { hosts: number; policy: string }) => `${run.hosts} ${run.policy}`)).toEqual([
			"2 all-cpus",
			"2 round-robin",
		]);
		expect(summary.validation.map(({ name }: { name: string }) => name)).toContain("xeon_d_stream");
	});

	test("as text ends with a fingerprint and a line that repeats each run", () => {
		const { status, stdout } = ifwg("compare", ...SHORT, "--seeds", "1", "--no-others");
		expect(status).toBe(0);
		expect(stdout).not.toContain("\x1b[");
		expect(stdout.match(/^ {2}[0-9a-f]{16} {2}npx ifwg run --policy /gm)).toHaveLength(4);
	});
});

test("lists can be read by people and by programs", () => {
	expect(ifwg("list").stdout).toMatch(/^machines\n {2}xeon-d: /);
	expect(JSON.parse(ifwg("list", "policies", "--json").stdout).map((policy: { name: string }) => policy.name)).toEqual([
		"all-cpus",
		"round-robin",
		"linux-style",
	]);
	const costs = JSON.parse(ifwg("list", "costs", "--json").stdout);
	for (const cost of costs)
		expect(cost, cost.name).toMatchObject({ unit: expect.any(String), source: expect.any(String) });
});

test("a trace gives the same, whatever the number of workers", () => {
	const little = ["--duration", "300us", "--warmup", "0ms", "--cost-only", "--cpus", "2", "--json"];
	const argv = ["trace", "wg:::task-run { quantize(packets) by kind }", "--policy", "all-cpus,round-robin", ...little];
	const one = ifwg(...argv, "--workers", "1");
	expect([one.status, one.stderr]).toEqual([0, ""]);
	expect(JSON.parse(one.stdout).aggregations[0].rows.length).toBe(4);
	expect(ifwg(...argv, "--workers", "2").stdout).toBe(one.stdout);
});

test("probes are listed with their arguments and what can be read of them", () => {
	expect(ifwg("list", "probes").stdout).toMatch(/\nsched:::on-cpu +td: thread, cpu: number\n/);
	const { probes, structures } = JSON.parse(ifwg("list", "probes", "--json").stdout);
	expect(probes.length).toBeGreaterThan(40);
	expect(structures.map(({ name }: { name: string }) => name)).toContain("mbuf");
});

test("generations are listed with what is different about them", () => {
	const generations = JSON.parse(ifwg("list", "generations", "--json").stdout);
	expect(generations.map(({ name, dispatch, aead }: Record<string, string>) => [name, dispatch, aead])).toEqual([
		["2021-11", "all-cpus", "own"],
		["2021-11-rr", "round-robin", "own"],
		["2022-09", "round-robin", "ocf"],
		["main", "round-robin", "ocf"],
		["blake2-library", "round-robin", "ocf"],
	]);
	expect(ifwg("list", "generations").stdout).toMatch(/^2021-11 +all-cpus +own +own +own /m);
});

test("the three ways to BLAKE2s stand side by side, as text and as JSON", () => {
	const { status, stdout, stderr } = ifwg("blake2");
	expect([status, stderr]).toEqual([0, ""]);
	// only a digest of full length is right without its length: 16 bytes, with a key and without
	expect(stdout.match(/\(a\) .* WRONG$/gm)).toHaveLength(2);
	expect(stdout.match(/\([bc]\) .* right$/gm)).toHaveLength(8);
	const { rows } = JSON.parse(ifwg("blake2", "--json").stdout);
	expect(rows).toHaveLength(4);
	for (const { digest_length, auth_xform, altered, library, blaketwo, reference } of rows) {
		expect(auth_xform.right).toBe(digest_length === 32);
		for (const answer of [altered, library, blaketwo]) expect(answer).toEqual({ digest: reference, right: true });
	}
});

test("Ctrl-C in the middle of a comparison: exit 130, and no file is left", async () => {
	const out = path.join(directory, "out");
	const child = spawn(process.execPath, [bin, "scan", "--duration", "60ms", "--workers", "2", "--write", out], {
		cwd: directory,
		stdio: ["ignore", "ignore", "pipe"],
	});
	const ended = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
	// the first line of progress says that it is under way, and most of it still to come
	await new Promise((resolve) => child.stderr.once("data", resolve));
	child.kill("SIGINT");
	expect(await ended).toBe(130);
	expect(readdirSync(directory).filter((name) => name.startsWith("out"))).toEqual([]);
});

test.each(["SIGINT", "SIGTERM"] as const)(
	"%s in the middle of an export: exit 130, one line, and no file is left",
	async (signal) => {
		const out = path.join(directory, `export-${signal}`);
		const child = spawn(
			process.execPath,
			[bin, "run", "--duration", "60s", "--cost-only", "--out", out, "--export", "ktr,perfetto"],
			{
				cwd: directory,
				stdio: ["ignore", "pipe", "pipe"],
			},
		);
		let said = "";
		child.stderr.on("data", (text) => {
			said += String(text);
		});
		const ended = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
		// there is something to take away
		const written = (): number =>
			existsSync(out) ? readdirSync(out).filter((name) => name.endsWith(".tmp")).length : 0;
		while (written() < 3 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 50));
		child.kill(signal);
		expect(await ended).toBe(130);
		expect(said.trim()).toBe("ifwg: interrupted; nothing was written");
		expect(readdirSync(out)).toEqual([]);
	},
	60_000,
);

test("a disk that takes no more: exit 2, one line, and no file is left", () => {
	const out = path.join(directory, "full");
	// what a file may have, in blocks of 512 bytes: the system refuses the rest, as it does when a disk is full
	const line = `ulimit -f 600; exec "$0" "$@"`;
	const argv = [bin, "run", ...SHORT, "--out", out, "--export", "ktr,perfetto,stacks"];
	const { status, stdout, stderr } = spawnSync("sh", ["-c", line, process.execPath, ...argv], {
		cwd: directory,
		encoding: "utf8",
	});
	expect([status, stdout]).toEqual([2, ""]);
	expect(stderr).toMatch(/^ifwg: cannot write .*: E(?:FBIG|NOSPC): [^\n]*\n$/);
	expect(readdirSync(out)).toEqual([]);
});

test("a scan writes its table whole", () => {
	const { status, stderr } = ifwg("scan", "--cpus", "1,2", ...SHORT, "--write", "scan.md");
	expect(status).toBe(0);
	expect(stderr).toMatch(/(^|\n)wrote scan\.md\n$/);
	expect(readFileSync(path.join(directory, "scan.md"), "utf8")).toMatch(/^# From 2 to 64 CPUs\n/);
});
