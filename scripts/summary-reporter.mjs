/**
 * A vitest reporter that ends a run with one line, `N passed, N failed` (and `, N skipped` if any), alone on its line.
 *
 * A file or suite that failed outside a test (it did not load, its beforeAll threw) and an error nobody caught count as one
 * failure each, so that the line can never read "0 failed" after a failing run. Skipped tests are named with their reason:
 * a test that did not run for want of a tool must not go unseen.
 */
export default class SummaryReporter {
	onTestRunEnd(modules, unhandledErrors, reason) {
		let passed = 0;
		let failed = unhandledErrors.length;
		const skipped = [];

		for (const module of modules) {
			if (module.errors().length > 0) failed++;
			for (const suite of module.children.allSuites()) {
				if (suite.errors().length > 0) failed++;
			}
			for (const test of module.children.allTests()) {
				const result = test.result();
				if (result.state === "passed") passed++;
				else if (result.state === "skipped") skipped.push({ test, note: result.note });
				else failed++; // "failed", or "pending": the run ended before it did
			}
		}
		if (reason !== "passed" && failed === 0) failed = 1;

		const lines = skipped.map(({ test, note }) => {
			return `SKIPPED ${test.module.relativeModuleId} > ${test.fullName}${note ? `: ${note}` : ""}`;
		});
		lines.push(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
		process.stdout.write(`${lines.join("\n")}\n`);
	}
}
