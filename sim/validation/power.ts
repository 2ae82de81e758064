/** The one thing said of power: on ESXi, a FreeBSD guest came close to Linux after the change. */
import { planPower, summarisePower } from "../axes/power.ts";
import { EXPECTED } from "../published.ts";
import { grouped } from "../units.ts";
import { agreement, type Check, within } from "./check.ts";

export function powerCheck(seeds: readonly number[]): Check {
	return {
		title: "A virtual machine's power",
		work: `\`ifwg axes power\`: the same 300 Mb/s of TCP under each policy on the vm profile, ${seeds.length} seeds. Linux is the policy linux-style in the same driver.`,
		jobs: planPower(seeds),
		judge: async (results) => {
			const [old, now, linux] = summarisePower(results);
			const ratio = now.overhead_w / linux.overhead_w;
			const before = old.overhead_w / linux.overhead_w;
			const rates = [old, now, linux].map((row) => `${grouped(row.threads_woken)} woken/s`).join(", ");
			return [
				{
					name: "esxi_power",
					ours: `${ratio.toFixed(2)} (all-cpus ${before.toFixed(2)}); ${rates}`,
					verdict: agreement(within(ratio, EXPECTED.power_round_robin_over_linux) && before > ratio),
					why: "No watts were published. An energy proxy, of one driver under two policies; not of two operating systems.",
				},
			];
		},
	};
}
