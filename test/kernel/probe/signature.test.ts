/** What a probe says of its arguments while it runs is what its type says. */
import { expect, test } from "vitest";
import { isStruct } from "../../../sim/dtrace/structs.ts";
import { readProjectFile, sourceFiles } from "../../support/source.ts";

/** Types that are read as another word: everything else keeps its own. */
const READ_AS: readonly (readonly [RegExp, readonly string[]])[] = [
	[/^(?:"[^"]*"(?: \| )?)+$/, ["string"]],
	[/^(?:wg_stage_name|noise_handshake_event)$/, ["string"]],
	[/^Uint8Array$/, ["bytes"]],
	[/^number$/, ["number", "in_addr"]],
];
const SCALARS = ["number", "boolean", "string", "in_addr", "bytes", "object"];

interface Definition {
	readonly name: string;
	readonly declared: readonly (readonly [name: string, type: string])[];
	readonly signature: readonly (readonly [name: string, type: string])[];
}

function pairs(text: string): (readonly [string, string])[] {
	return text
		.split(",")
		.map((argument) => argument.trim())
		.filter((argument) => argument !== "")
		.map((argument) => {
			const colon = argument.indexOf(":");
			return [argument.slice(0, colon).trim(), argument.slice(colon + 1).trim()] as const;
		});
}

const definitions: Definition[] = [];
let mentioned = 0;
for (const file of sourceFiles("src")) {
	const text = readProjectFile(file);
	mentioned += text.match(/= ?\s*SDT_PROBE_DEFINE</g)?.length ?? 0;
	const pattern = /SDT_PROBE_DEFINE<\s*\[([^\]]*)\]\s*>\(\s*"([^"]+)"(?:,\s*"([^"]*)")?,?\s*\)/g;
	for (const [, tuple, name, signature] of text.matchAll(pattern)) {
		const declared = pairs(tuple.replace(/\s+/g, " "));
		definitions.push({ name, declared, signature: pairs(signature ?? "") });
	}
}

test("this test reads every definition there is", () => {
	expect(definitions.length).toBeGreaterThan(40);
	expect(definitions.length).toBe(mentioned);
});

test.each(definitions.map((definition) => [definition.name, definition] as const))("%s", (_name, definition) => {
	const { declared, signature } = definition;
	expect(signature.map(([name]) => name)).toEqual(declared.map(([name]) => name));
	declared.forEach(([, type], i) => {
		const read = type.replace(/ \| null$/, "");
		const allowed = READ_AS.find(([pattern]) => pattern.test(read))?.[1] ?? [read];
		expect(allowed).toContain(signature[i][1]);
		expect(SCALARS.includes(signature[i][1]) || isStruct(signature[i][1])).toBe(true);
	});
});
