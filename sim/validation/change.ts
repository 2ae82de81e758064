/** What was published of the change itself: the runs of `ifwg compare`. */
import { gain, planComparison, summariseComparison } from "../compare.ts";
import { DEFAULT_CRYPTOS, DEFAULT_POLICIES, parseRunOptions } from "../options.ts";
import type { PublishedName } from "../published.ts";
import { agreement, type Check, type Row } from "./check.ts";

/** Said beside a line, whatever its verdict. */
const WHY: { readonly [name in PublishedName]?: string } = {
	throughput_ratio: "A bound only was published; which machine, MTU and ciphers is not known.",
	policy_beats_ossl: "In words only. Gain of the policy with own ciphers; gain of ossl under all-cpus.",
	atom_scaling: "Sender, both ends and receiver share the cores here. The router's work is compared below.",
	xeon_d_stream:
		"With ossl, as theirs had assembly. On two machines, but iperf3 runs on them and there is no packet filter; theirs were routers between it.",
};

export function changeCheck(seeds: readonly number[]): Check {
	const base = parseRunOptions({ costOnly: true });
	const options = { base, policies: DEFAULT_POLICIES, cryptos: DEFAULT_CRYPTOS, seeds, others: true };
	return {
		title: "The change of policy",
		work: `\`ifwg compare\`: one TCP stream, 8 CPUs, both policies with own ciphers and ossl, ${seeds.length} seeds; the same stream between two Xeon Ds; and 16 UDP streams between two jails of 4 and 8 Atom cores.`,
		jobs: planComparison(options),
		judge: async (results) => {
			const timed = results.map((result) => ({ result, host_seconds: 0 }));
			const { summary } = summariseComparison(options, timed);
			const rows: Row[] = summary.validation.map(({ name, ours, holds }) => ({
				name,
				ours,
				verdict: holds === null ? "cannot be compared" : agreement(holds),
				why: WHY[name] ?? "",
			}));
			const policy = summary.policy_gains[0].gain;
			const ossl = summary.crypto_gains[0].gain;
			rows.push({
				name: "series_rank",
				ours: `${gain(policy)} : ${gain(ossl)}`,
				verdict: agreement(policy > 0 && policy > ossl),
				why: "Of the other changes of the series only ossl is a choice here; waiting allocations and removed locks are not.",
			});
			return rows;
		},
	};
}
