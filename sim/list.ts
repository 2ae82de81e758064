/** `ifwg list`: everything that can be chosen, and every constant with its source. */
import { wg_generations } from "../src/dev/wg/generation.ts";
import { releases, releaseTraits } from "../src/kernel/release.ts";
import type { CostConstant } from "../src/machine/cost/cost.ts";
import { all_costs, type CostName } from "../src/machine/cost/table.ts";
import { type MachineProfile, machineProfiles } from "../src/machine/profile.ts";
import type { Driver } from "./driver.ts";
import { BUILTINS } from "./dtrace/expression.ts";
import { knownProbes, type Parameter } from "./dtrace/probes.ts";
import { allStructs } from "./dtrace/structs.ts";
import { UsageError } from "./errors.ts";
import "./generic.ts";
import {
	CRYPTO_DESCRIPTIONS,
	CRYPTOS,
	EPAIR_DESCRIPTIONS,
	EPAIRS,
	GENERATION_DESCRIPTIONS,
	GENERATIONS,
} from "./options.ts";
import { indent, table } from "./report/table.ts";
import { quote, readableTime } from "./units.ts";

export const LISTS = ["machines", "generations", "policies", "crypto", "epair", "releases", "probes", "costs"] as const;
export type ListName = (typeof LISTS)[number];

export function parseListName(text: string): ListName {
	const found = LISTS.find((name) => name === text);
	if (found === undefined) throw new UsageError(`list: no ${quote(text)}; there is ${LISTS.join(", ")}`);
	return found;
}

interface CostRow extends CostConstant {
	readonly name: string;
	/** profiles that have a value of their own */
	readonly in_profiles?: Record<string, CostConstant>;
}

/** What `--json` prints for one list. */
export function listData(name: ListName, driver: Driver): unknown {
	switch (name) {
		case "machines":
			return machineProfiles;
		case "generations":
			return GENERATIONS.map((name) => ({ ...wg_generations[name], description: GENERATION_DESCRIPTIONS[name] }));
		case "policies":
			return driver.policies.map((policy) => ({ name: policy.name, description: policy.description }));
		case "crypto":
			return CRYPTOS.map((crypto) => ({ name: crypto, description: CRYPTO_DESCRIPTIONS[crypto] }));
		case "epair":
			return EPAIRS.map((epair) => ({ name: epair, description: EPAIR_DESCRIPTIONS[epair] }));
		case "releases":
			return releases.map((release) => releaseTraits(release));
		case "probes":
			return {
				probes: knownProbes().map(({ name, parameters }) => ({ name, arguments: parameters })),
				structures: allStructs(),
				builtins: Object.entries(BUILTINS).map(([name, builtin]) => ({ name, ...builtin })),
			};
		case "costs":
			return costRows();
	}
}

function costRows(): CostRow[] {
	return (Object.keys(all_costs) as CostName[]).map((name) => {
		const constant: CostConstant = all_costs[name];
		const own = machineProfiles.flatMap((profile) => {
			const override = profile.costs[name];
			return override === undefined ? [] : [[profile.name, override] as const];
		});
		return { name, ...constant, ...(own.length > 0 ? { in_profiles: Object.fromEntries(own) } : {}) };
	});
}

function describeMachine(profile: MachineProfile): string[] {
	const states = profile.cstates
		.map((state) => `${state.name} (leaves in ${readableTime(state.exit_latency_ns)})`)
		.join(", ");
	return [
		`${profile.name}: ${profile.description}`,
		`  ${profile.cpus} CPUs at ${profile.ghz} GHz, ${profile.cycle_factor} cycles for one of the reference core, hz ${profile.hz}`,
		`  idle states: ${states}`,
		`  source: ${profile.source}`,
	];
}

function costText(row: CostRow): string[] {
	const show = (c: CostConstant): string =>
		`${c.value} ${c.unit.replaceAll("_", " ")} (${c.range[0]} to ${c.range[1]})`;
	return [
		`${row.name}: ${show(row)}`,
		`  ${row.source}`,
		...Object.entries(row.in_profiles ?? {}).flatMap(([profile, c]) => [
			`  on ${profile}: ${show(c)}`,
			`    ${c.source}`,
		]),
	];
}

function probesText(): string[] {
	const signature = (parameters: readonly Parameter[]): string =>
		parameters.map(({ name, type }) => `${name}: ${type}`).join(", ");
	return [
		...table(
			knownProbes().map(({ name, parameters }) => [name, signature(parameters)]),
			[0, 1],
		),
		"",
		"Fields:",
		...indent(
			table(
				allStructs().map(({ name, fields }) => [name, signature(fields)]),
				[0, 1],
			),
		),
		"",
		"With every probe:",
		...indent(
			table(
				Object.entries(BUILTINS).map(([name, { type, description }]) => [name, type, description]),
				[0, 1, 2],
			),
		),
	];
}

/** The same as text. */
export function listText(name: ListName, driver: Driver): string[] {
	switch (name) {
		case "machines":
			return machineProfiles.flatMap((profile, i) => [...(i > 0 ? [""] : []), ...describeMachine(profile)]);
		case "generations":
			return table(
				[
					["", "policy", "packets", "handshakes", "BLAKE2s", ""],
					...GENERATIONS.map((name) => {
						const { dispatch, aead, kernel_handshake_crypto, blake2 } = wg_generations[name];
						return [
							name,
							dispatch,
							aead === "ocf" ? "crypto(9)" : "own",
							kernel_handshake_crypto ? "kernel" : "own",
							blake2,
							GENERATION_DESCRIPTIONS[name],
						];
					}),
				],
				[0, 1, 2, 3, 4, 5],
			);
		case "policies":
			return table(
				[
					...driver.policies.map((policy) => [policy.name, policy.description]),
					["./file.mjs", "your own: exports default { name, description, encrypt_dispatch, decrypt_dispatch }"],
				],
				[0, 1],
			);
		case "crypto":
			return table(
				CRYPTOS.map((crypto) => [crypto, CRYPTO_DESCRIPTIONS[crypto]]),
				[0, 1],
			);
		case "epair":
			return table(
				EPAIRS.map((epair) => [epair, EPAIR_DESCRIPTIONS[epair]]),
				[0, 1],
			);
		case "releases":
			return table(
				[
					["", "epair", "TCP", "softclock", "UDP send takes the hash lock", "cryptosoft locks its session"],
					...releases.map((release) => {
						const t = releaseTraits(release);
						const yes = (value: boolean): string => (value ? "yes" : "no");
						return [release, t.epair, t.tcp_cc, t.softclock, yes(t.udp_send_hash_lock), yes(t.swcr_session_lock)];
					}),
				],
				[0, 1, 2, 3, 4, 5],
			);
		case "probes":
			return probesText();
		case "costs":
			return costRows().flatMap(costText);
	}
}

/** All lists but the long ones. */
export function listEverything(driver: Driver): string[] {
	const out: string[] = [];
	for (const name of LISTS) {
		if (name === "costs" || name === "probes") continue;
		out.push(name, ...indent(listText(name, driver)), "");
	}
	out.push(`probes: ${knownProbes().length}, each with its arguments: ifwg list probes`);
	out.push(`costs: ${Object.keys(all_costs).length} constants, each with its range and source: ifwg list costs`);
	return out;
}
