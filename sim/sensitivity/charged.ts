/** Which constants of the cost model a machine charges: the others cannot matter to what it does. */
import type { CostName, Costs } from "../../src/machine/cost/table.ts";

export class CostWatch {
	private readonly read = new Set<CostName>();

	/** Looks over the machine's shoulder from now on. It gets the same values as before. */
	constructor(costs: Costs) {
		for (const name of Object.keys(costs) as CostName[]) {
			const value = costs[name];
			Object.defineProperty(costs, name, {
				get: () => {
					this.read.add(name);
					return value;
				},
			});
		}
	}

	get names(): ReadonlySet<CostName> {
		return this.read;
	}
}
