/** Somebody who looks at a run without changing it, beside those who always do. */
import type { Machine } from "../src/machine/machine.ts";
import type { Driver } from "./driver.ts";

export interface Watcher {
	/** data begins to flow */
	begin(machine: Machine, driver: Driver): void;
	/** the warm-up is over: what is measured begins now */
	mark?(): void;
	/** what is measured has ended */
	end?(): void;
	/** takes away what `begin` attached; called also when the run failed */
	close(): void;
}
