/**
 * The one place where the driver, and the policy it dispatches by, are loaded.
 *
 * The driver is the built-in one or another directory with the same entry points. A policy is one of the driver's own, by
 * name, or a file with the same interface. Such a file need not import anything of ours: it may export a function that is
 * given what the kernel offers.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import type { dispatch_policy } from "../src/dev/wg/dispatch/policy.ts";
import type * as registry from "../src/dev/wg/dispatch/registry.ts";
import type * as if_wg from "../src/dev/wg/if_wg.ts";
import { wait_dropped } from "../src/kernel/sched/frame.ts";
import { KernelPanic } from "../src/kernel/sched/kernel.ts";
import type { Blocking } from "../src/kernel/sched/thread.ts";
import { UsageError } from "./errors.ts";
import { quote } from "./units.ts";

/** What the simulator uses of a driver: the rest of it is the kernel's business. */
export type Driver = Pick<
	typeof if_wg,
	"wg_task_run" | "wg_stage" | "wg_softc_encrypt" | "wg_softc_decrypt" | "WG_DISPATCH_TUNABLE"
> &
	Pick<typeof registry, "policies" | "find_policy" | "register_policy">;

const DRIVER_EXPORTS = [
	"wg_task_run",
	"wg_stage",
	"wg_softc_encrypt",
	"wg_softc_decrypt",
	"WG_DISPATCH_TUNABLE",
] as const;
const REGISTRY_EXPORTS = ["policies", "find_policy", "register_policy"] as const;

const POLICY_FILE = /\.(?:js|mjs|ts|mts)$/;

/** A reason on one line, whatever was thrown. */
function reason(error: unknown): string {
	const text = error instanceof Error ? error.message : String(error);
	return text.split("\n")[0].trim() || "no reason given";
}

/** Loads the built-in driver, or the one in `directory`. */
export async function loadDriver(directory: string | null): Promise<Driver> {
	if (directory === null) {
		const main = await import("../src/dev/wg/if_wg.ts");
		const dispatch = await import("../src/dev/wg/dispatch/registry.ts");
		return { ...main, ...dispatch };
	}
	const what = `--driver ${directory}`;
	const [main, dispatch] = await importForeign(what, directory, [
		driverFile(directory, "if_wg"),
		driverFile(directory, "dispatch/registry"),
	]);
	for (const name of DRIVER_EXPORTS)
		if (!(name in main)) throw new UsageError(`${what}: if_wg does not export ${name}`);
	for (const name of REGISTRY_EXPORTS) {
		if (!(name in dispatch)) throw new UsageError(`${what}: dispatch/registry does not export ${name}`);
	}
	return { ...main, ...dispatch } as unknown as Driver;
}

function driverFile(directory: string, name: string): string {
	for (const extension of [".js", ".mjs"]) {
		const file = path.resolve(directory, name + extension);
		if (existsSync(file)) return file;
	}
	throw new UsageError(`--driver ${directory}: no ${name}.js in it (a driver is loaded compiled)`);
}

/** What modules in `directory` export. */
async function importForeign(
	what: string,
	directory: string,
	files: readonly string[],
): Promise<Record<string, unknown>[]> {
	const { ForeignModules } = await import("./foreign.ts");
	const modules = new ForeignModules(directory);
	try {
		const loaded: Record<string, unknown>[] = [];
		for (const file of files) loaded.push(await modules.load(file));
		return loaded;
	} catch (error) {
		throw new UsageError(`${what}: cannot be loaded: ${reason(error)}`);
	} finally {
		modules.remove();
	}
}

/** What a policy file's function is given: everything the driver's own policies use. */
async function policyKernel() {
	const atomic = await import("../src/kernel/lock/atomic.ts");
	const kernel = await import("../src/kernel/sched/kernel.ts");
	const thread = await import("../src/kernel/sched/thread.ts");
	const gtaskqueue = await import("../src/kernel/taskqueue/gtaskqueue.ts");
	return {
		load: atomic.load,
		store: atomic.store,
		atomic_fetchadd: atomic.atomic_fetchadd,
		mp_ncpus: kernel.mp_ncpus,
		curcpu: thread.curcpu,
		charge: thread.charge,
		charge_task: gtaskqueue.charge_task,
		GROUPTASK_ENQUEUE: gtaskqueue.GROUPTASK_ENQUEUE,
		TASK_ENQUEUED: gtaskqueue.TASK_ENQUEUED,
	};
}

export interface LoadedPolicy {
	/** what the policy calls itself */
	readonly name: string;
	/** what the driver finds it under: hw.wg.dispatch */
	readonly key: string;
	readonly description: string;
}

/** Finds a policy by name, or loads the file that holds it and makes the driver know it. */
export async function loadPolicy(driver: Driver, spec: string): Promise<LoadedPolicy> {
	const known = driver.policies.find((policy) => policy.name === spec);
	if (known !== undefined) return { name: known.name, key: known.name, description: known.description };
	if (!POLICY_FILE.test(spec) && !spec.includes("/")) {
		const names = driver.policies.map((policy) => policy.name).join(", ");
		throw new UsageError(`--policy: no ${quote(spec)}; there is ${names}, or a file ./name.js, .mjs or .ts`);
	}
	const policy = await readPolicy(spec);
	driver.register_policy(guarded(spec, policy));
	return { name: policy.name, key: spec, description: policy.description };
}

async function readPolicy(spec: string): Promise<dispatch_policy> {
	const what = `--policy ${spec}`;
	const file = path.resolve(spec);
	if (!POLICY_FILE.test(spec)) throw new UsageError(`${what}: a policy is a file ending in .js, .mjs or .ts`);
	if (!existsSync(file) || !statSync(file).isFile()) throw new UsageError(`${what}: there is no such file`);
	const module = await importPolicy(what, file);
	let value = module.default ?? module.policy;
	if (typeof value === "function") {
		try {
			value = (value as (kernel: unknown) => unknown)(await policyKernel());
		} catch (error) {
			throw new UsageError(`${what}: its function threw: ${reason(error)}`);
		}
	}
	return checkPolicy(what, value);
}

async function importPolicy(what: string, file: string): Promise<Record<string, unknown>> {
	if (!/ts$/.test(file)) return (await importForeign(what, path.dirname(file), [file]))[0];
	const directory = mkdtempSync(path.join(tmpdir(), "ifwg-policy-"));
	try {
		return (await importForeign(what, directory, [withoutTypes(what, file, directory)]))[0];
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
}

/** Node 20 does not take types away: the compiler of the project does, without looking beyond the file. */
function withoutTypes(what: string, file: string, directory: string): string {
	try {
		const source = path.join(directory, "policy.mts");
		copyFileSync(file, source);
		const require = createRequire(import.meta.url);
		const tsc = path.join(path.dirname(require.resolve("typescript/package.json")), "bin/tsc");
		const flags = ["--noCheck", "--noResolve", "--module", "nodenext", "--target", "es2023", "--verbatimModuleSyntax"];
		execFileSync(process.execPath, [tsc, ...flags, "--ignoreConfig", source], { stdio: "pipe" });
		return path.join(directory, "policy.mjs");
	} catch {
		throw new UsageError(`${what}: cannot be compiled; a .js or .mjs file would need no compiler`);
	}
}

function checkPolicy(what: string, value: unknown): dispatch_policy {
	const policy = value as Partial<dispatch_policy> | null | undefined;
	if (typeof policy !== "object" || policy === null) {
		throw new UsageError(
			`${what}: has no policy; export default { name, description, encrypt_dispatch, decrypt_dispatch }`,
		);
	}
	for (const name of ["name", "description"] as const) {
		if (typeof policy[name] !== "string" || policy[name] === "")
			throw new UsageError(`${what}: its ${name} is not a text`);
	}
	for (const name of ["encrypt_dispatch", "decrypt_dispatch"] as const) {
		if (typeof policy[name] !== "function") throw new UsageError(`${what}: its ${name} is not a function`);
	}
	return policy as dispatch_policy;
}

/** A policy whose own errors are told from ours: they are the author's to put right, and end the run with one line. */
function guarded(spec: string, policy: dispatch_policy): dispatch_policy {
	function* call(
		name: "encrypt_dispatch" | "decrypt_dispatch",
		sc: Parameters<dispatch_policy["encrypt_dispatch"]>[0],
	): Blocking<void> {
		try {
			yield* policy[name](sc);
			if (wait_dropped()) throw new Error("something that may wait was called without yield*");
		} catch (error) {
			if (error instanceof KernelPanic) throw error;
			throw new UsageError(`--policy ${spec}: ${name} threw: ${reason(error)}`);
		}
	}
	return {
		name: spec,
		description: policy.description,
		encrypt_dispatch: (sc) => call("encrypt_dispatch", sc),
		decrypt_dispatch: (sc) => call("decrypt_dispatch", sc),
	};
}
