/** Somebody who looks at a run without changing it, beside those who always do. */
import type { Driver, LoadedPolicy } from "./driver.ts";

export interface Watcher {
	/** the kernel is there, and has not run anything of the scenario yet */
	boot?(policy: LoadedPolicy): void;
	/** data begins to flow */
	begin?(driver: Driver): void;
	/** the warm-up is over: what is measured begins now */
	mark?(): void;
	/** what is measured has ended */
	end?(): void;
	/** takes away what was attached; called also when the run failed */
	close(): void;
}
