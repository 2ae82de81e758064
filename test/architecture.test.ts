/** The layers of docs/design.md: imports point down only, and the driver sees kernel interfaces, never the machine. */
import path from "node:path";
import { describe, expect, test } from "vitest";
import { importsOf, readProjectFile, sourceFiles } from "./support/source.ts";

/** From the bottom up. A layer may import itself and what is below it. */
const layers = ["src/machine", "src/kernel", "src/crypto", "src/dev", "src/userland", "sim"];

/** Above the layers; a test may also import the other two. */
const tops = ["web", "bench", "test"];

/** Beside the layers: the kernel does not know what is made of its functions, and the compiler no kernel. */
const compiler = "compiler";

/** The packages the compiler may use, of which estree is but types; and what its parts for vitest and for linking may besides. */
const COMPILER_PACKAGES = ["acorn", "astring", "estree"];
const MORE_PACKAGES = new Map([
	["compiler/vite.ts", ["@jridgewell/gen-mapping", "vite"]],
	["compiler/link.ts", ["rolldown"]],
	["compiler/booleans.ts", ["eslint-scope"]],
	["compiler/variables.ts", ["eslint-scope"]],
]);
/** The parts of it that need a host. */
const COMPILER_HOSTED = ["compiler/link.ts", "compiler/main.ts", "compiler/vite.ts"];

function placeOf(file: string): string | undefined {
	return [...layers, compiler, ...tops].find((place) => file.startsWith(`${place}/`));
}

function mayImport(from: string, to: string): boolean {
	if (from === to || from === "test") return true;
	if (from === compiler || tops.includes(to)) return false;
	if (tops.includes(from)) return true;
	if (to === compiler) return from === "sim";
	if (from === "src/dev" && to === "src/machine") return false;
	return layers.indexOf(to) < layers.indexOf(from);
}

/** What is wrong with the imports of one file, a line each. */
function offences(file: string, text: string): string[] {
	const from = placeOf(file);
	if (from === undefined) return [`${file}: belongs to no layer (${[...layers, compiler, ...tops].join(", ")})`];
	const found: string[] = [];
	for (const { specifier, line } of importsOf(text)) {
		const say = (what: string): number => found.push(`${file}:${line}: "${specifier}" ${what}`);
		if (specifier.startsWith("node:")) {
			if (from.startsWith("src/")) say("needs a host; what needs Node is passed in at the edge, by sim");
			if (from === compiler && !COMPILER_HOSTED.includes(file))
				say("needs a host; a module is compiled from text to text");
		} else if (specifier.startsWith(".")) {
			if (!specifier.endsWith(".ts") && !(tops.includes(from) && /\.(?:mjs|css|json)$/.test(specifier))) {
				say("does not end in .ts");
			}
			const target = path.posix.join(path.posix.dirname(file), specifier);
			const to = placeOf(target);
			if (to === undefined) {
				if (from !== "test") say("leaves the layers");
			} else if (!mayImport(from, to)) say(`points from ${from} to ${to}`);
		} else if (from.startsWith("src/") && !specifier.startsWith("@noble/")) {
			say("is a package the kernel does not use (only @noble/ ciphers, curves and hashes)");
		} else if (from === compiler) {
			if (!COMPILER_PACKAGES.includes(specifier) && !MORE_PACKAGES.get(file)?.includes(specifier))
				say("is a package the compiler does not use");
		}
	}
	return found;
}

describe("the rules themselves", () => {
	const offends = (file: string, specifier: string): boolean =>
		offences(file, `import { x } from "${specifier}";`).length > 0;

	test.each([
		["src/kernel/sched/thread.ts", "../../machine/event.ts"],
		["src/kernel/mbuf/mbuf.ts", "../ifnet/if.ts"],
		["src/crypto/ocf/crypto.ts", "../../kernel/mbuf/mbuf.ts"],
		["src/crypto/curve25519/x.ts", "@noble/curves/ed25519.js"],
		["src/dev/wg/if_wg.ts", "../../crypto/ocf/crypto.ts"],
		["src/userland/wg.ts", "../dev/wg/if_wg.ts"],
		["sim/cli.ts", "node:fs"],
		["sim/cli.ts", "../src/machine/event.ts"],
		["sim/cli.ts", "commander"],
		["sim/foreign.ts", "../compiler/module.ts"],
		["compiler/module.ts", "./lower.ts"],
		["compiler/module.ts", "acorn"],
		["compiler/main.ts", "node:fs"],
		["compiler/vite.ts", "@jridgewell/gen-mapping"],
		["compiler/link.ts", "rolldown"],
		["bench/main.ts", "../compiler/module.ts"],
		["test/compiler/a.test.ts", "../../compiler/module.ts"],
		["web/page.ts", "../sim/simulate.ts"],
		["bench/main.ts", "../src/kernel/mbuf/mbuf.ts"],
		["test/a.test.ts", "../bench/main.ts"],
		["test/a.test.ts", "../scripts/summary-reporter.mjs"],
	])("%s may import %s", (file, specifier) => {
		expect(offends(file, specifier)).toBe(false);
	});

	test.each([
		["src/machine/event.ts", "../kernel/errno.ts"],
		["src/kernel/netinet/tcp_syncache.ts", "../../crypto/blake2/blake2s.ts"],
		["src/kernel/ifnet/if.ts", "../../dev/wg/if_wg.ts"],
		["src/crypto/ocf/crypto.ts", "../../dev/wg/if_wg.ts"],
		["src/dev/wg/if_wg.ts", "../../machine/event.ts"],
		["src/dev/wg/if_wg.ts", "../../userland/wg.ts"],
		["src/userland/wg.ts", "../../sim/cli.ts"],
		["src/userland/wg.ts", "node:fs"],
		["src/machine/event.ts", "eventemitter3"],
		["src/kernel/errno.ts", "./errno.js"],
		["src/kernel/errno.ts", "./errno"],
		["src/kernel/errno.ts", "../../scripts/x.ts"],
		["src/stray.ts", "./kernel/errno.ts"],
		["src/kernel/sched/frame.ts", "../../../compiler/runtime.ts"],
		["src/userland/bridge.ts", "../../compiler/module.ts"],
		["compiler/runtime.ts", "../src/kernel/sched/frame.ts"],
		["compiler/main.ts", "../sim/cli.ts"],
		["compiler/main.ts", "../test/support/source.ts"],
		["compiler/module.ts", "node:fs"],
		["compiler/module.ts", "@jridgewell/gen-mapping"],
		["compiler/module.ts", "rolldown"],
		["compiler/link.ts", "vite"],
		["compiler/module.ts", "commander"],
		["compiler/module.ts", "./node.js"],
		["sim/cli.ts", "../web/page.ts"],
		["sim/cli.ts", "./data.json"],
		["sim/cli.ts", "../test/support/source.ts"],
		["web/page.ts", "../bench/main.ts"],
	])("%s may not import %s", (file, specifier) => {
		expect(offends(file, specifier)).toBe(true);
	});

	test("a type is a dependency too", () => {
		expect(offences("src/dev/wg/if_wg.ts", 'import type { x } from "../../machine/cpu.ts";')).toEqual([
			'src/dev/wg/if_wg.ts:1: "../../machine/cpu.ts" points from src/dev to src/machine',
		]);
	});
});

test("imports point down only", () => {
	const files = ["src", "sim", compiler, ...tops].flatMap(sourceFiles);
	expect(files).toContain("test/architecture.test.ts");
	expect(files).toContain("compiler/module.ts");
	expect(files.flatMap((file) => offences(file, readProjectFile(file)))).toEqual([]);
});
