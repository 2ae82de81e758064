/**
 * Loads modules of somebody else's: a driver's, a policy's. They are compiled as ours were, see compiler/module.ts, and so are
 * the modules beside them and below that they import.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { compileModule } from "../compiler/module.ts";

const runtime = new URL("../src/kernel/sched/frame.js", import.meta.url).href;
const ours = fileURLToPath(new URL("..", import.meta.url));

/** Where all modules were when they were loaded: each exists once, however often it is asked for. */
const loaded = new Map<string, string>();

function within(file: string, directory: string): boolean {
	return !path.relative(directory, file).startsWith("..");
}

export class ForeignModules {
	/** what is in here is theirs */
	private readonly root: string;
	private readonly scratch = mkdtempSync(path.join(tmpdir(), "ifwg-foreign-"));
	/** where the compiled modules are, by their sources' places */
	private readonly compiled = new Map<string, string>();

	constructor(root: string) {
		this.root = path.resolve(root);
	}

	/** What `file` exports. @throws whatever its code throws, and SyntaxError */
	async load(file: string): Promise<Record<string, unknown>> {
		const module = (await import(pathToFileURL(this.compile(path.resolve(file))).href)) as Record<string, unknown>;
		for (const [source, target] of this.compiled) loaded.set(source, target);
		return module;
	}

	/** The compiled modules are not needed any more once they have been loaded. */
	remove(): void {
		rmSync(this.scratch, { recursive: true, force: true });
	}

	private theirs(file: string): boolean {
		return within(file, this.root) && (within(this.root, ours) || !within(file, ours));
	}

	private compile(file: string): string {
		const known = this.compiled.get(file) ?? loaded.get(file);
		if (known !== undefined) return known;
		const target = path.join(this.scratch, `${this.compiled.size}-${path.basename(file, path.extname(file))}.mjs`);
		this.compiled.set(file, target);
		const resolve = (specifier: string): string => {
			if (isBuiltin(specifier) || specifier.startsWith("data:")) return specifier;
			if (!/^(?:\.{0,2}\/|file:)/.test(specifier)) {
				return pathToFileURL(createRequire(file).resolve(specifier)).href;
			}
			const url = new URL(specifier, pathToFileURL(file));
			const imported = fileURLToPath(url);
			return this.theirs(imported) && /\.m?js$/.test(imported) ? pathToFileURL(this.compile(imported)).href : url.href;
		};
		const { code } = compileModule(readFileSync(file, "utf8"), { file, runtime, resolve });
		writeFileSync(target, code);
		return target;
	}
}
