/**
 * The cost model: what the simulated hardware charges for each thing the kernel does. Data only.
 *
 * Every constant carries a value, the range it may plausibly lie in, a unit and where it comes from. `cycles` are cycles of
 * the reference core (a server core of the Haswell to Cascade Lake generations) and are scaled by a profile's clock and
 * by how many more cycles its core needs for the same work; `ns` are not scaled. Nothing in the code knows a time.
 */
export type Unit = "cycles" | "ns" | "mcycles_per_byte" | "count";

export interface CostConstant {
	readonly value: number;
	/** the plausible range, both ends included; sensitivity studies vary the value over it */
	readonly range: readonly [number, number];
	readonly unit: Unit;
	readonly source: string;
}

export type CostTable = Readonly<Record<string, CostConstant>>;

/** Checks a table when it is defined, so that a typing error in a constant is found at start, not in a result. */
export function defineCosts<T extends CostTable>(table: T): T {
	for (const [name, c] of Object.entries(table)) {
		const [low, high] = c.range;
		if (!(low >= 0 && low <= c.value && c.value <= high)) {
			throw new RangeError(`cost ${name}: value ${c.value} outside its range ${low}..${high}`);
		}
		if (c.source.length < 10) throw new RangeError(`cost ${name} has no source`);
	}
	return table;
}
