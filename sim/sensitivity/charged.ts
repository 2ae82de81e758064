/** Which constants a run charges while data flow: no other can matter to what is measured. */
import type { CostName } from "../../src/machine/cost/table.ts";
import { listenToCosts } from "../profile/costs.ts";
import type { Watcher } from "../watcher.ts";

export class ChargedCosts implements Watcher {
	readonly names = new Set<CostName>();
	private unlisten: (() => void) | null = null;

	begin(): void {
		this.unlisten = listenToCosts((name) => this.names.add(name));
	}

	/** The measured interval has ended. */
	end(): void {
		this.close();
	}

	close(): void {
		this.unlisten?.();
		this.unlisten = null;
	}
}
