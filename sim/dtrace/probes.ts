/** The probes there are, and which of them a description means. */
import { allProbes, type Probe } from "../../src/kernel/probe/probe.ts";
import { near, wrong } from "./errors.ts";

export interface Parameter {
	readonly name: string;
	/** number, boolean, string, in_addr, bytes, object, or a structure */
	readonly type: string;
}

export interface KnownProbe {
	readonly name: string;
	readonly parameters: readonly Parameter[];
	readonly probe: Probe<unknown[]>;
}

function parametersOf(signature: string): Parameter[] {
	if (signature === "") return [];
	return signature.split(", ").map((text) => {
		const [name, type] = text.split(": ");
		return { name, type };
	});
}

/** Every probe of the kernel and the driver that are loaded, by name. */
export function knownProbes(): KnownProbe[] {
	return [...allProbes().values()]
		.map((any) => {
			const probe = any as unknown as Probe<unknown[]>;
			return { name: probe.name, parameters: parametersOf(probe.signature), probe };
		})
		.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A part of a description: empty for anything, with * and ? as in the shell. */
function partMatches(pattern: string, part: string): boolean {
	if (pattern === "") return true;
	const source = pattern
		.split("")
		.map((char) => (char === "*" ? ".*" : char === "?" ? "." : char.replace(/[^\w]/, "\\$&")))
		.join("");
	return new RegExp(`^${source}$`).test(part);
}

/** As dtrace(1) reads it: parts that are left out on the left, or empty, stand for any. */
export function describes(description: string, name: string): boolean {
	const pattern = description.split(":");
	if (pattern.length > 4) return false;
	const parts = name.split(":");
	while (pattern.length < parts.length) pattern.unshift("");
	return parts.every((part, i) => partMatches(pattern[i], part));
}

/** The probes that `description`, at offset `at` of the program, means. Throws a UsageError if there are none. */
export function findProbes(known: readonly KnownProbe[], text: string, description: string, at: number): KnownProbe[] {
	const found = known.filter(({ name }) => describes(description, name));
	if (found.length > 0) return found;
	const names = known.map(({ name }) => name);
	const last = description.split(":").at(-1) ?? "";
	const ends = names.map((name) => name.split(":").at(-1) ?? "");
	const guesses = near(description, names);
	if (guesses.length === 0) guesses.push(...near(last, ends).map((end) => names[ends.indexOf(end)]));
	if (guesses.length === 0)
		guesses.push(...names.filter((name) => name.startsWith(description.split(":")[0])).slice(0, 5));
	const hint = guesses.length > 0 ? `; did you mean ${[...new Set(guesses)].join(" or ")}?` : "";
	return wrong(text, at, `no probe ${description}${hint || ": ifwg list probes shows all"}`);
}
