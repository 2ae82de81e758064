/** The compiler as a plugin of vite: tests run what the program runs. */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { addMapping, GenMapping, toEncodedMap } from "@jridgewell/gen-mapping";
import type { Plugin } from "vite";
import { type CompileOptions, compileModule } from "./module.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const runtime = path.join(root, "src/kernel/sched/frame.ts");

interface Place {
	readonly line: number;
	readonly column: number;
}

/** A source map in the making, as astring writes to it; what it says of generated lines, it says of those below the header. */
class SourceMap {
	readonly file: string;
	readonly mappings: { generated: Place; original: Place }[] = [];
	constructor(file: string) {
		this.file = file;
	}
	addMapping({ generated, original }: { generated: Place; original: Place }): void {
		this.mappings.push({ generated: { line: generated.line, column: generated.column }, original });
	}
	encode(header: number): string {
		const map = new GenMapping({ file: this.file });
		for (const { generated, original } of this.mappings) {
			addMapping(map, {
				generated: { line: generated.line + header, column: generated.column },
				original,
				source: this.file,
			});
		}
		return JSON.stringify(toEncodedMap(map));
	}
}

export function compileBlocking(): Plugin {
	return {
		name: "compile-blocking",
		enforce: "post",
		transform(source, id) {
			const file = id.split("?")[0];
			if (!file.startsWith(root) || file.includes("/node_modules/") || !/\.m?[jt]s$/.test(file)) return null;
			const map = new SourceMap(file);
			const sourceMap = map as unknown as NonNullable<CompileOptions["sourceMap"]>;
			const { code, header } = compileModule(source, { file, runtime, sourceMap });
			return header === null ? null : { code, map: map.encode(header) };
		},
	};
}
