/**
 * Tells somebody each time the kernel reads a cost, which is when it is about to charge for something.
 *
 * The kernel charges what it finds in the machine's table of costs, so a table whose entries report that they are read
 * names what is charged for, and the kernel need not know. The values stay what they are.
 */
import { curkernel } from "../../src/kernel/sched/kernel.ts";
import type { CostName } from "../../src/machine/cost/table.ts";

/** @param value what the kernel gets */
export type CostListener = (name: CostName, value: number) => void;

/** Listens to the kernel that runs now, to which nobody else may listen. @returns a function that ends it */
export function listenToCosts(listener: CostListener): () => void {
	const { costs } = curkernel.machine;
	if (Object.values(Object.getOwnPropertyDescriptors(costs)).some(({ get }) => get !== undefined))
		throw new Error("somebody listens to these costs already");
	const values = { ...costs };
	for (const [name, value] of Object.entries(values) as [CostName, number][]) {
		Object.defineProperty(costs, name, {
			configurable: true,
			enumerable: true,
			get() {
				listener(name, value);
				return value;
			},
		});
	}
	return () => {
		for (const [name, value] of Object.entries(values)) {
			Object.defineProperty(costs, name, { configurable: true, enumerable: true, writable: true, value });
		}
	};
}
