/**
 * Objects nobody uses at the moment, for whoever needs one next: what are locals in C, and live through a wait here. The host would spend
 * longer on making them than they are used.
 */
export class Spares<T extends object> {
	private readonly make: () => T;
	/** the first `count` of these are spare */
	private readonly items: T[] = [];
	private count = 0;

	constructor(make: () => T) {
		this.make = make;
	}

	/** One that nobody uses, as whoever used it last has left it. */
	take(): T {
		if (this.count === 0) return this.make();
		return this.items[--this.count];
	}

	/** Nobody uses `item` any more. */
	give(item: T): void {
		this.items[this.count++] = item;
	}
}
