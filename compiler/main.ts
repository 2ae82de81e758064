/**
 * The second half of the build: what tsc wrote to build/, compiled into dist/.
 *
 * Files that are up to date are left alone.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compileModule } from "./module.ts";

const built = fileURLToPath(new URL("..", import.meta.url));
const target = path.resolve(built, "../dist");

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
for (const file of modules(built)) {
	const from = path.join(built, file);
	const to = path.join(target, file);
	if (changed(to) > Math.max(changed(from), compiler)) continue;
	const runtime = path.relative(path.dirname(file), "src/kernel/sched/frame.js");
	const { code } = compileModule(readFileSync(from, "utf8"), {
		file,
		runtime: runtime.startsWith(".") ? runtime : `./${runtime}`,
	});
	mkdirSync(path.dirname(to), { recursive: true });
	writeFileSync(to, code);
}
