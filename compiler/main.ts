/**
 * The second half of the build: what tsc wrote to build/, compiled into dist/, and what is below sim linked into one module.
 *
 * Files that are up to date are left alone.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { link, relative } from "./link.ts";
import { compileModule } from "./module.ts";

const built = fileURLToPath(new URL("..", import.meta.url));
const target = path.resolve(built, "../dist");

/** The module that has the kernel, the driver and the programs in it. */
const LINKED = "src/linked.js";

/** What stays by itself: tables, which the command line shows without waiting for a kernel. */
const APART = [
	"src/machine/cost/",
	"src/machine/profile.js",
	"src/machine/random.js",
	"src/kernel/errno.js",
	"src/kernel/release.js",
	"src/dev/wg/generation.js",
];

function modules(directory: string): string[] {
	return readdirSync(directory, { withFileTypes: true, recursive: true })
		.filter((entry) => entry.isFile() && entry.name.endsWith(".js"))
		.map((entry) => path.relative(built, path.join(entry.parentPath, entry.name)))
		.sort();
}

function changed(file: string): number {
	return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

const compiler = Math.max(...modules(path.join(built, "compiler")).map((file) => changed(path.join(built, file))));

/** Whether `made` was made before `file` was, or the compiler. */
function outdated(made: string, file: string): boolean {
	return changed(path.join(target, made)) <= Math.max(changed(path.join(built, file)), compiler);
}

function compile(file: string): string {
	const source = readFileSync(path.join(built, file), "utf8");
	return compileModule(source, { file, runtime: relative(file, "src/kernel/sched/frame.js") }).code;
}

function write(file: string, code: string): void {
	const to = path.join(target, file);
	mkdirSync(path.dirname(to), { recursive: true });
	writeFileSync(to, code);
}

const all = modules(built);
const together = all.filter((file) => file.startsWith("src/") && !APART.some((place) => file.startsWith(place)));
if (together.some((file) => outdated(LINKED, file))) {
	const linked = await link(new Map(together.map((file) => [file, compile(file)])), LINKED);
	for (const [file, code] of linked) write(file, code);
}
for (const file of all) if (!together.includes(file) && outdated(file, file)) write(file, compile(file));
