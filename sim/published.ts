/**
 * What has been measured on real machines, with its source. Printed beside our figures and never used to make them.
 */
export interface Published {
	readonly name: string;
	readonly what: string;
	/** as printed in the source */
	readonly published: string;
	/** in words, what ours must be to count as reproduced */
	readonly expected: string;
	readonly source: string;
}

const DDC22DA = "wireguard-freebsd ddc22da (J. Baldwin, 2021-11-11)";
const MAIL_2022_10 = "freebsd-arch 2022-10-13 (J. Baldwin)";

export const published = {
	share_all_cpus: {
		name: "share_all_cpus",
		what: "tasks that found work, all-cpus, 8 CPUs",
		published: "~13 %",
		expected: "10-16 %",
		source: DDC22DA,
	},
	share_round_robin: {
		name: "share_round_robin",
		what: "tasks that found work, round-robin",
		published: "~65 %",
		expected: "55-75 %",
		source: DDC22DA,
	},
	throughput_ratio: {
		name: "throughput_ratio",
		what: "throughput, round-robin : all-cpus",
		published: "> 2",
		expected: "> 2.0",
		source: DDC22DA,
	},
	policy_beats_ossl: {
		name: "policy_beats_ossl",
		what: "gain of the policy : gain of ossl",
		published: "far more",
		expected: "> 2",
		source: MAIL_2022_10,
	},
	xeon_d_stream: {
		name: "xeon_d_stream",
		what: "one stream, 8-core Xeon D, all-cpus, SIMD",
		published: "1.54 Gb/s",
		expected: "1.03-2.31 Gb/s",
		source: "Netgate blog 2021-02, XG-1541",
	},
	atom_scaling: {
		name: "atom_scaling",
		what: "4 -> 8 Atom cores, all-cpus, UDP (ours: both ends in one)",
		published: "+17 %",
		expected: "printed",
		source: "netbenches 2020-09, C2558 and C2758",
	},
} as const satisfies Record<string, Published>;

export type PublishedName = keyof typeof published;

/** The ranges of `expected`, as numbers. */
export const EXPECTED = {
	share_all_cpus: [0.1, 0.16],
	share_round_robin: [0.55, 0.75],
	throughput_ratio_above: 2,
	policy_over_ossl_above: 2,
	xeon_d_bps: [1.542e9 / 1.5, 1.542e9 * 1.5],
} as const;
