#!/usr/bin/env node
// The `ifwg` command: loads the compiled program and gives it the arguments.
import { existsSync } from "node:fs";

const cli = new URL("../dist/sim/cli.js", import.meta.url);

if (existsSync(cli)) {
	const { main } = await import(cli.href);
	process.exitCode = await main(process.argv.slice(2));
} else {
	console.error("ifwg: not built yet (dist/sim/cli.js is missing): run npm run build");
	process.exitCode = 2;
}
