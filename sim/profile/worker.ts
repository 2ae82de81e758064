/** What a worker thread does that profiles: one run for each call, measured from the end of its warm-up on. */
import type { RunOptions } from "../options.ts";
import { watch } from "../run.ts";
import { type Outcome, outcomeOf } from "../worker.ts";
import { CpuTimeByStack, type Stacks } from "./stacks.ts";

export interface Profile extends Stacks {
	readonly policy: string;
	/** packets that came out of a tunnel meanwhile, both directions */
	readonly packets: number;
}

export function profile(options: RunOptions): Promise<Outcome<Profile>> {
	return outcomeOf(() =>
		watch(options, (run, driver) => {
			run.begin();
			run.passUntil(options.warmup_ns);
			const time = new CpuTimeByStack();
			let packets = 0;
			const detach = driver.wg_stage.listen((stage) => {
				if (stage === "delivered") packets++;
			});
			try {
				run.pass(options.duration_ns);
				return { policy: options.policy, packets, ...time.read() };
			} finally {
				detach();
				time.close();
			}
		}),
	);
}

export default profile;
