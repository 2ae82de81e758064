import { defineConfig } from "vitest/config";
import { compileBlocking } from "./compiler/vite.ts";
import SummaryReporter from "./scripts/summary-reporter.mjs";

export default defineConfig({
	plugins: [compileBlocking()],
	test: {
		include: ["test/**/*.test.ts"],
		setupFiles: ["test/properties.ts"],
		pool: "threads",
		// all cores: a suite this long is worth them, and nobody watches it in the meantime
		maxWorkers: "100%",
		// a limit for hangs, far above what the slowest test needs on a busy machine; nothing here asserts on wall-clock time
		testTimeout: 240_000,
		hookTimeout: 240_000,
		// A forgotten `.only` or a missing snapshot is a failure everywhere, not on CI alone. `npx vitest run FILE -u` writes snapshots.
		allowOnly: false,
		update: "none",
		reporters: ["default", new SummaryReporter()],
	},
});
