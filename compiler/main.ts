/**
 * The second half of the build: what tsc wrote to build/, compiled into dist/; the kernel linked into one module there, the driver
 * into another.
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

/** What stays by itself: tables, which the command line shows without waiting for a kernel. */
const APART = [
	"src/machine/cost/",
	"src/machine/lead.js",
	"src/machine/profile.js",
	"src/machine/random.js",
	"src/kernel/errno.js",
	"src/kernel/release.js",
	"src/dev/wg/generation.js",
];

/** The module a module of src is linked into: the driver's by themselves, as another driver may be loaded in its place. */
function linkedInto(file: string): string | null {
	if (!file.startsWith("src/") || APART.some((place) => file.startsWith(place))) return null;
	// programs know its ioctls
	return file.startsWith("src/dev/wg/") && file !== "src/dev/wg/if_wg_ioctl.js"
		? "src/dev/wg/linked.js"
		: "src/linked.js";
}

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

function read(file: string): string {
	return readFileSync(path.join(built, file), "utf8");
}

function compile(file: string): string {
	return compileModule(read(file), { file, runtime: relative(file, "src/kernel/sched/frame.js") }).code;
}

function write(file: string, code: string): void {
	const to = path.join(target, file);
	mkdirSync(path.dirname(to), { recursive: true });
	writeFileSync(to, code);
}

const linked = new Map<string, string[]>();
for (const file of modules(built)) {
	const module = linkedInto(file);
	if (module !== null) linked.set(module, [...(linked.get(module) ?? []), file]);
	else if (outdated(file, file)) write(file, compile(file));
}
for (const [module, files] of linked) {
	if (!files.some((file) => outdated(module, file))) continue;
	const modules = new Map(files.map((file) => [file, compile(file)]));
	for (const [file, code] of await link(modules, module, read)) write(file, code);
}
