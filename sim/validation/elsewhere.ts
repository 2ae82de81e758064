/** What was measured on work our kernel cannot do, or only in part: each line says why. */
import { EXPECTED, type PublishedName } from "../published.ts";
import { agreement, type Check, type Row, within } from "./check.ts";
import { measureHandoff } from "./handoff.ts";

const NO_IPSEC = "There is no IPsec here, and no null cipher";
const NOT_TIMED = "Not timed apart.";

function without(name: PublishedName, why: string): Row {
	return { name, ours: "", verdict: "cannot be compared", why };
}

export function handoffCheck(seeds: readonly number[]): Check {
	return {
		title: "Handing packets over",
		work: "Four CPUs that each receive packets as fast as they can; forwarding's work for each, at once or after a hop through netisr.",
		jobs: [],
		judge: async () => {
			const { ratio, hop_cycles } = measureHandoff(seeds);
			const [low, high] = [EXPECTED.netisr_hop_cycles / 2, EXPECTED.netisr_hop_cycles * 2];
			return [
				{
					name: "netisr_forwarding",
					ours: `${hop_cycles.toFixed(0)} cycles`,
					verdict: agreement(within(hop_cycles, [low, high])),
					why: "The constants of netisr were bounded by this figure: a check of the sum, no prediction.",
				},
				{
					name: "netisr_deferred",
					ours: ratio.toFixed(2),
					verdict: "cannot be compared",
					why: `${NO_IPSEC}: ours is a forwarded packet's work on Xeon cores. The direction is the same, the loss is smaller.`,
				},
				without("netisr_xeon", `${NO_IPSEC}. On 8 Xeon cores they found no loss; ours, on 4, has some.`),
				without("async_crypto", `${NO_IPSEC}: what remains of a request is not what they measured.`),
				without("netisr_forwarding_6", "FreeBSD's option RSS is not modelled."),
			];
		},
	};
}

export function elsewhereCheck(): Check {
	return {
		title: "Routers, other programs, single functions",
		work: "Nothing was run: these have no counterpart here.",
		jobs: [],
		judge: async () => [
			without("gx412_udp", "The ciphers' cost on that core is not known, so it has no profile."),
			without("sg5100_stream", "Limited by its 1 Gb/s card, so that it says nothing of the driver."),
			without(
				"sg5100_trex",
				"Four tunnels on a 4-core Atom of another kind; we have no profile of it, and one tunnel.",
			),
			without("wireguard_go", "There is no wireguard-go here: the user's side of the tunnel device is not modelled."),
			without("ipsec_c2758", "There is no IPsec here."),
			without(
				"pmc_card",
				"Not timed apart. The cards' constants come from this very line, so they would agree by construction.",
			),
			without("pmc_xmit", NOT_TIMED),
			without(
				"pmc_functions",
				`${NOT_TIMED} Their constants come from this very profile, so they would agree by construction.`,
			),
		],
	};
}
