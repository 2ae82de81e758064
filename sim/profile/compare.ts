/**
 * Profiles of several policies side by side: as a table of what the CPU time went to, and as collapsed stacks for
 * flamegraph.pl, with the difference of two in the form of difffolded.pl: stack, time under the first, under the second.
 *
 * CPUs are put together, and so are threads that there is one of on each CPU: a policy that spreads its work differently
 * would seem to do all of it elsewhere.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { UsageError } from "../errors.ts";
import { Budget, OutFile } from "../export/file.ts";
import { frame } from "../export/stacks.ts";
import { table } from "../report/table.ts";
import { grouped } from "../units.ts";
import type { Profile } from "./worker.ts";

/** ns by collapsed stack. */
export type Folded = ReadonlyMap<string, number>;

/** A thread's name without the number of its CPU. */
export function family(thread: string): string {
	return thread.replace(/(_|cpu)[0-9]+$/, "$1*");
}

export function fold({ stacks }: Profile): Folded {
	const folded = new Map<string, number>();
	for (const { thread, functions, ns } of stacks) {
		const stack = [family(thread), ...functions].map(frame).join(";");
		folded.set(stack, (folded.get(stack) ?? 0) + ns);
	}
	return folded;
}

/** CPU time by what it went to, whoever spent it: the innermost function, or the cost it paid. */
export function byCentre({ stacks }: Profile): Map<string, number> {
	const centres = new Map<string, number>();
	for (const { functions, ns } of stacks) {
		const centre = functions.at(-1) ?? "";
		centres.set(centre, (centres.get(centre) ?? 0) + ns);
	}
	return centres;
}

/** Integers, as flamegraph.pl wants them: ns of the whole profile, or ps for each packet. */
function counted(ns: number, profile: Profile, per_packet: boolean): number {
	return per_packet ? Math.round((ns * 1000) / Math.max(1, profile.packets)) : ns;
}

/** The lines of one profile, in alphabetical order. */
export function foldedLines(profile: Profile, per_packet: boolean): string[] {
	return [...fold(profile)].map(([stack, ns]) => `${stack} ${counted(ns, profile, per_packet)}`).sort();
}

/** A line for each stack that either has. */
export function differenceLines(one: Profile, other: Profile, per_packet: boolean): string[] {
	const a = fold(one);
	const b = fold(other);
	return [...new Set([...a.keys(), ...b.keys()])].sort().map((stack) => {
		const before = counted(a.get(stack) ?? 0, one, per_packet);
		return `${stack} ${before} ${counted(b.get(stack) ?? 0, other, per_packet)}`;
	});
}

/** The name of a policy as part of a file's. */
function label(policy: string): string {
	return policy.replace(/^(?:\.*\/)+/, "").replace(/[^\w.-]+/g, "_");
}

export interface StackFile {
	readonly name: string;
	readonly lines: (profiles: readonly Profile[]) => string[];
}

/** The files for these policies: one each, and the difference of each to the first. Checked before any run. */
export function planStackFiles(
	directory: string,
	policies: readonly string[],
	per_packet: boolean,
	force: boolean,
): StackFile[] {
	const labels = policies.map(label);
	if (new Set(labels).size !== labels.length)
		throw new UsageError("--policy: two of them would have files of one name");
	const files = labels.flatMap((name, i) => {
		const own: StackFile = {
			name: path.join(directory, `${name}.folded`),
			lines: (profiles) => foldedLines(profiles[i], per_packet),
		};
		if (i === 0) return [own];
		const difference: StackFile = {
			name: path.join(directory, `${labels[0]}-${name}.diff.folded`),
			lines: (profiles) => differenceLines(profiles[0], profiles[i], per_packet),
		};
		return [own, difference];
	});
	for (const { name } of files) {
		if (existsSync(name) && !force) throw new UsageError(`${name}: is there already; --force replaces it`);
	}
	return files;
}

/** Writes all files, or none. */
export function writeStackFiles(files: readonly StackFile[], profiles: readonly Profile[], max_bytes: number): void {
	const budget = new Budget(max_bytes);
	const open: OutFile[] = [];
	try {
		for (const { name, lines } of files) {
			const file = new OutFile(name, budget);
			open.push(file);
			for (const line of lines(profiles)) file.text(`${line}\n`);
			file.flush();
		}
		for (const file of open) file.commit();
	} finally {
		for (const file of open) file.abort();
	}
}

function perPacket(ns: number, { packets }: Profile): number {
	return ns / Math.max(1, packets);
}

/** What the CPU time of a packet goes to, most first; and how much more of it than under the first policy. */
export function renderStacks(profiles: readonly Profile[], top: number): string[] {
	const centres = profiles.map(byCentre);
	const cost = (name: string, i: number): number => perPacket(centres[i].get(name) ?? 0, profiles[i]);
	const most = (name: string): number => Math.max(...profiles.map((_profile, i) => cost(name, i)));
	const names = [...new Set(centres.flatMap((centre) => [...centre.keys()]))];
	names.sort((a, b) => most(b) - most(a) || (a < b ? -1 : 1));
	const signed = (value: number): string => (value < 0 ? "-" : "+") + grouped(Math.abs(value));
	const row = (name: string, values: readonly number[]): string[] => [
		name,
		...values.map(grouped),
		...values.slice(1).map((value) => signed(value - values[0])),
	];
	const rest = names.slice(top);
	const all = profiles.map((profile) => perPacket(profile.busy_ns, profile));
	const rows = [
		["ns of CPU time a packet", ...profiles.map(({ policy }) => policy), ...profiles.slice(1).map(() => "difference")],
		...names.slice(0, top).map((name) =>
			row(
				name,
				profiles.map((_profile, i) => cost(name, i)),
			),
		),
		...(rest.length === 0
			? []
			: [
					row(
						`${rest.length} others`,
						profiles.map((_profile, i) => rest.reduce((sum, name) => sum + cost(name, i), 0)),
					),
				]),
		row("together", all),
		["packets", ...profiles.map(({ packets }) => grouped(packets))],
	];
	return table(rows);
}

/** Everything, for programs. */
export function stacksJson(profiles: readonly Profile[]): string {
	const data = profiles.map((profile) => ({
		policy: profile.policy,
		packets: profile.packets,
		busy_ns: profile.busy_ns,
		centres: Object.fromEntries([...byCentre(profile)].sort((a, b) => b[1] - a[1])),
		stacks: Object.fromEntries([...fold(profile)].sort((a, b) => (a[0] < b[0] ? -1 : 1))),
	}));
	return JSON.stringify(data, null, "\t");
}
