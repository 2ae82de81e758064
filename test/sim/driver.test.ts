import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Driver, loadPolicy } from "../../sim/driver.ts";
import { UsageError } from "../../sim/errors.ts";
import type { dispatch_policy } from "../../src/dev/wg/dispatch/policy.ts";
import { policies } from "../../src/dev/wg/dispatch/registry.ts";
import { resume_thread } from "../../src/kernel/sched/frame.ts";
import { KernelPanic } from "../../src/kernel/sched/kernel.ts";
import type { Blocking } from "../../src/kernel/sched/thread.ts";

let directory: string;
beforeAll(() => {
	directory = mkdtempSync(path.join(tmpdir(), "ifwg-test-"));
	mkdirSync(path.join(directory, "folder.mjs"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, text: string): string {
	const file = path.join(directory, name);
	writeFileSync(file, text);
	return file;
}

/** A driver that remembers what it was given. */
function fakeDriver(): { driver: Driver; registered: dispatch_policy[] } {
	const registered: dispatch_policy[] = [];
	const driver = {
		policies,
		register_policy: (policy: dispatch_policy) => registered.push(policy),
		find_policy: () => undefined,
	};
	return { driver: driver as unknown as Driver, registered };
}

async function complaint(spec: string): Promise<string> {
	try {
		await loadPolicy(fakeDriver().driver, spec);
	} catch (error) {
		expect(error).toBeInstanceOf(UsageError);
		return (error as Error).message;
	}
	throw new Error("nothing was thrown");
}

/** Calls what need not wait, in a thread of its own. */
function dispatch(call: () => Blocking<void>): void {
	expect(resume_thread({ td_main: call, td_frame: null })).toBe(false);
}

const GOOD = `{
	name: "mine", description: "does nothing",
	*encrypt_dispatch(sc) { sc.calls.push("encrypt"); },
	*decrypt_dispatch(sc) { sc.calls.push("decrypt"); },
}`;

describe("a policy", () => {
	test("of the driver's own is found by name", async () => {
		const { driver, registered } = fakeDriver();
		expect(await loadPolicy(driver, "round-robin")).toMatchObject({ name: "round-robin", key: "round-robin" });
		expect(registered).toEqual([]);
	});

	test.each([
		["object.mjs", `export default ${GOOD};`],
		["named.mjs", `export const policy = ${GOOD};`],
		["function.mjs", `export default ({ GROUPTASK_ENQUEUE, mp_ncpus }) => (${GOOD});`],
		[
			"typed.ts",
			`type Calls = { calls: string[] };\nconst n: number = 1;\nexport default ${GOOD.replaceAll("(sc)", "(sc: Calls)")};`,
		],
	])("is loaded from %s", async (name, text) => {
		const spec = write(name, text);
		const { driver, registered } = fakeDriver();
		expect(await loadPolicy(driver, spec)).toEqual({ name: "mine", key: spec, description: "does nothing" });
		const sc = { calls: [] as string[] };
		dispatch(() => registered[0].encrypt_dispatch(sc as never));
		dispatch(() => registered[0].decrypt_dispatch(sc as never));
		expect(sc.calls).toEqual(["encrypt", "decrypt"]);
	});

	test("in a file cannot take the place of a built-in one of the same name", async () => {
		const spec = write("impostor.mjs", `export default ${GOOD.replace("mine", "round-robin")};`);
		const { driver, registered } = fakeDriver();
		await loadPolicy(driver, spec);
		expect(registered.map((policy) => policy.name)).toEqual([spec]);
	});
});

describe("what is wrong with a policy is said in one line", () => {
	test("an unknown name", async () => {
		expect(await complaint("robin-hood")).toBe(
			'--policy: no "robin-hood"; there is all-cpus, round-robin, linux-style, or a file ./name.js, .mjs or .ts',
		);
	});

	test.each<[string, string | null, string]>([
		["missing.mjs", null, "there is no such file"],
		["folder.mjs", null, "there is no such file"],
		["wrong.txt", "x", "a policy is a file ending in .js, .mjs or .ts"],
		["throws.mjs", 'throw new Error("no\\nway");', "cannot be loaded: no"],
		[
			"empty.mjs",
			"export const x = 1;",
			"has no policy; export default { name, description, encrypt_dispatch, decrypt_dispatch }",
		],
		["factory.mjs", 'export default () => { throw new Error("not today"); };', "its function threw: not today"],
		["nameless.mjs", "export default { description: 'x' };", "its name is not a text"],
		[
			"half.mjs",
			`export default { name: "a", description: "b", *encrypt_dispatch() {} };`,
			"its decrypt_dispatch is not a function",
		],
	])("%s", async (name, text, expected) => {
		const spec = text === null ? path.join(directory, name) : write(name, text);
		expect(await complaint(spec)).toBe(`--policy ${spec}: ${expected}`);
	});
});

describe("a policy that throws while it runs", () => {
	async function thrownBy(name: string, body: string): Promise<unknown> {
		const spec = write(name, `export default ${GOOD.replace('sc.calls.push("encrypt");', body)};`);
		const { driver, registered } = fakeDriver();
		await loadPolicy(driver, spec);
		try {
			const panic = (): void => {
				throw new KernelPanic("broken rule");
			};
			dispatch(() => registered[0].encrypt_dispatch({ panic } as never));
		} catch (error) {
			return error;
		}
		return null;
	}

	test("is the author's to put right", async () => {
		const error = await thrownBy("late.mjs", 'throw new TypeError("oops");');
		expect(error).toBeInstanceOf(UsageError);
		expect((error as Error).message).toMatch(/late\.mjs: encrypt_dispatch threw: oops$/);
	});

	test("unless it made the kernel panic: then that is the finding", async () => {
		expect(await thrownBy("panics.mjs", "sc.panic();")).toBeInstanceOf(KernelPanic);
	});
});
