/**
 * Costs changed for one run: `--cost context_switch=900,line_transfer=80`.
 *
 * A value is in the unit `ifwg list costs` shows for that machine: cycles of the reference core, or of the machine's own core
 * where its profile has a constant of its own.
 */
import type { CostConstant } from "../src/machine/cost/cost.ts";
import { all_costs, type CostName, type CostOverrides } from "../src/machine/cost/table.ts";
import type { MachineProfile } from "../src/machine/profile.ts";
import { UsageError } from "./errors.ts";
import { quote } from "./units.ts";

/** by name, in the order of the tables; only what differs from the machine's own */
export type CostValues = { readonly [name in CostName]?: number };

export const COST_NAMES = Object.keys(all_costs) as CostName[];

/** Farther above the upper end of its range than this, a value is a typing error. */
const NONSENSE = 100;

/** The constant as this machine has it. */
export function costOf(profile: MachineProfile, name: CostName): CostConstant {
	return profile.costs[name] ?? all_costs[name];
}

/** The names of constants as somebody wrote them. */
export function parseCostName(what: string, text: string): CostName {
	const found = COST_NAMES.find((name) => name === text);
	if (found === undefined) throw new UsageError(`${what}: no ${quote(text)}; ifwg list costs shows them all`);
	return found;
}

function parseCost(item: string, profile: MachineProfile): [CostName, number] {
	const [key, text, ...rest] = item.split("=").map((part) => part.trim());
	if (text === undefined || rest.length > 0) {
		throw new UsageError(`--cost: ${quote(item)} is not a cost; write it like context_switch=900`);
	}
	const name = parseCostName("--cost", key);
	const { range, unit } = costOf(profile, name);
	const most = range[1] * NONSENSE;
	const value = /^[0-9]+(?:\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
	if (!(value <= most)) {
		throw new UsageError(
			`--cost: ${name}=${quote(text)} is not a number from 0 to ${most} (${unit.replaceAll("_", " ")}; plausible are ${range[0]} to ${range[1]})`,
		);
	}
	return [name, value];
}

/** In the order of the tables and without what is as usual, so that the same costs are always the same text. */
export function orderCosts(values: CostValues, profile: MachineProfile): CostValues {
	const known = COST_NAMES.filter((name) => values[name] !== undefined && values[name] !== costOf(profile, name).value);
	return Object.fromEntries(known.map((name) => [name, values[name]]));
}

export function parseCosts(text: string, profile: MachineProfile): CostValues {
	const pairs = text.split(",").map((item) => parseCost(item, profile));
	const twice = pairs.find(([name], i) => pairs.findIndex(([other]) => other === name) !== i);
	if (twice !== undefined) throw new UsageError(`--cost: ${twice[0]} is given twice`);
	return orderCosts(Object.fromEntries(pairs), profile);
}

export function formatCosts(values: CostValues): string {
	return Object.entries(values)
		.map(([name, value]) => `${name}=${value}`)
		.join(",");
}

/** The same for the machine, whose overrides are in cycles of its own core. */
export function costOverrides(values: CostValues, profile: MachineProfile): CostOverrides {
	return Object.fromEntries(
		Object.entries(values).map(([key, value]) => {
			const name = key as CostName;
			const constant = costOf(profile, name);
			const own = profile.costs[name] !== undefined || constant.unit === "ns" || constant.unit === "count";
			return [name, { ...constant, value: own ? value : value * profile.cycle_factor }];
		}),
	);
}
