import { defineCosts } from "./cost.ts";

/**
 * What the driver does between locks, crypto and mbuf calls, which are charged apart. Anchors are the shares of the netbenches PMC
 * profile of the driver's ancestor on a C2558 (calibration 1.4): an AEAD there is about 6000 Silvermont cycles, about 2600 of
 * the reference core.
 */
export const wg_costs = defineCosts({
	wg_xmit: {
		value: 150,
		range: [75, 430],
		unit: "cycles",
		source:
			"wg_transmit other than dispatch: 0.164 of an AEAD, 430 reference cycles with allocation, lookup and locks; a third of it taken as its own code",
	},
	wg_aip_lookup: {
		value: 80,
		range: [40, 300],
		unit: "cycles",
		source:
			"rnh_matchaddr in a small table: part of the same 0.164 of an AEAD; grows with depth, which is not modelled",
	},
	wg_encrypt: {
		value: 150,
		range: [75, 400],
		unit: "cycles",
		source:
			"wg_softc_encrypt other than AEAD: 0.259 of an AEAD with copies, noise and mbuf work; loop alone 1.9 % of samples, 0.065 of an AEAD",
	},
	wg_decrypt: {
		value: 150,
		range: [75, 400],
		unit: "cycles",
		source: "as wg_encrypt; the profile has the encrypt direction only",
	},
	wg_deliver_out: {
		value: 150,
		range: [75, 410],
		unit: "cycles",
		source:
			"wg_deliver_out other than sending: 0.157 of an AEAD, 410 reference cycles with dequeue locks and free, charged apart",
	},
	wg_deliver_in: {
		value: 150,
		range: [75, 410],
		unit: "cycles",
		source: "as wg_deliver_out; the profile has the encrypt direction only",
	},
	wg_input: {
		value: 150,
		range: [75, 430],
		unit: "cycles",
		source: "as wg_xmit; the profile has the encrypt direction only",
	},
});
