/** Which constants of the cost model a run charges while data flows: the others cannot matter to what is measured. */
import type { CostName, Costs } from "../../src/machine/cost/table.ts";
import type { Machine } from "../../src/machine/machine.ts";
import type { Watcher } from "../watcher.ts";

export class ChargedCosts implements Watcher {
	readonly names = new Set<CostName>();
	private costs: Costs = {} as Costs;
	private values: Costs = {} as Costs;

	/** Puts a look-out in front of each constant; the machine gets the same values as before. */
	begin(machine: Machine): void {
		this.costs = machine.costs;
		this.values = { ...machine.costs };
		for (const name of Object.keys(this.values) as CostName[]) {
			const value = this.values[name];
			const get = (): number => {
				this.names.add(name);
				return value;
			};
			Object.defineProperty(this.costs, name, { get, configurable: true });
		}
	}

	/** Until the measured interval has ended. */
	end(): void {
		this.close();
	}

	close(): void {
		for (const name of Object.keys(this.values) as CostName[]) {
			Object.defineProperty(this.costs, name, { value: this.values[name], writable: true });
		}
	}
}
