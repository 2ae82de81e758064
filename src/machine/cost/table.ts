/** All costs of the machine, one table per area; and the numbers a run uses, in integer nanoseconds (per byte: picoseconds). */
import type { CostConstant } from "./cost.ts";
import { Costs } from "./costs.ts";
import { crypto_costs } from "./crypto.ts";
import { hardware_costs } from "./hardware.ts";
import { ifnet_costs } from "./ifnet.ts";
import { inet_costs } from "./inet.ts";
import { memory_costs } from "./memory.ts";
import { scheduler_costs } from "./scheduler.ts";
import { tcp_costs } from "./tcp.ts";
import { user_costs } from "./user.ts";
import { wg_costs } from "./wg.ts";

export const all_costs = {
	...hardware_costs,
	...scheduler_costs,
	...memory_costs,
	...crypto_costs,
	...ifnet_costs,
	...inet_costs,
	...tcp_costs,
	...wg_costs,
	...user_costs,
};

export type CostName = keyof typeof all_costs;
export type CostOverrides = { readonly [name in CostName]?: CostConstant };

/**
 * Turns constants into what a run charges.
 *
 * @param ghz clock of the simulated core
 * @param cycleFactor cycles this core needs for each cycle of the reference core
 * @param overrides constants of the profile or of a sensitivity study, in place of the table's
 */
export function resolveCosts(ghz: number, cycleFactor: number, overrides: CostOverrides): Costs {
	const costs: { [name in CostName]: number } = new Costs();
	for (const name of Object.keys(all_costs) as CostName[]) {
		const override = overrides[name];
		const c: CostConstant = override ?? all_costs[name];
		// a profile's own constant is in its own core's cycles; the table's are the reference core's
		const cycles = override === undefined ? c.value * cycleFactor : c.value;
		costs[name] = c.unit === "ns" || c.unit === "count" ? Math.round(c.value) : Math.round(cycles / ghz);
	}
	return costs;
}
