/**
 * Machine profiles: what a simulated computer is made of. Data only, every figure with its source.
 */
import type { CostOverrides } from "./cost/table.ts";

export interface CState {
	readonly name: string;
	/** time from the wake event to the first instruction, ns */
	readonly exit_latency_ns: number;
	/** an idle period must last this long before the CPU is in this state, ns */
	readonly residency_ns: number;
	/** power relative to the active core, for the energy proxy */
	readonly power: number;
}

export interface MachineProfile {
	readonly name: string;
	readonly description: string;
	readonly cpus: number;
	readonly ghz: number;
	/** cycles this core needs for each cycle of the reference core */
	readonly cycle_factor: number;
	/** two hardware threads per core: FreeBSD's idle thread then never spins before it halts */
	readonly smt: boolean;
	readonly virtualised: boolean;
	/** clock ticks per second: 1000 on metal, 100 in a virtual machine (HZ_VM) */
	readonly hz: number;
	/** power of one busy core, watts; only for the energy proxy */
	readonly active_w: number;
	readonly cstates: readonly CState[];
	/** half-width of the uniform jitter on every stretch of work, per mille */
	readonly jitter_permille: number;
	readonly costs: CostOverrides;
	readonly source: string;
}

/** skx table of Linux drivers/idle/intel_idle.c: exit latency and target residency; C1 and C1E are what a loaded CPU reaches. */
const server_cstates: readonly CState[] = [
	{ name: "C1", exit_latency_ns: 2_000, residency_ns: 0, power: 0.35 },
	{ name: "C1E", exit_latency_ns: 10_000, residency_ns: 20_000, power: 0.3 },
	{ name: "C6", exit_latency_ns: 133_000, residency_ns: 600_000, power: 0.05 },
];

/** a line between two cores of a Broadwell die; the table's value is a large Skylake's */
const broadwell_line: CostOverrides = {
	line_transfer: {
		value: 42,
		range: [40, 53],
		unit: "ns",
		source:
			"Broadwell E5-2660 v4, L2 to L2, modified, same socket: 40.3-42.3 ns (Intel Memory Latency Checker, Intel forum topic 700477); E5-2695 v4 44 ns (core-to-core-latency)",
	},
};

const xeonD: MachineProfile = {
	name: "xeon-d",
	description: "8-core server of 2021, bare metal: Xeon D-1541 class, 2.4 GHz under load, hyper-threading off",
	cpus: 8,
	ghz: 2.4,
	cycle_factor: 1,
	smt: false,
	virtualised: false,
	hz: 1000,
	active_w: 5.6,
	cstates: server_cstates,
	jitter_permille: 100,
	costs: broadwell_line,
	source: "Intel: D-1541 2.1 GHz base, 2.7 turbo, 45 W for 8 cores; intel_idle.c skx C-states; jitter: estimate",
};

const vm: MachineProfile = {
	...xeonD,
	name: "vm",
	description: "the same as xeon-d, as an 8-vCPU virtual machine: IPIs and wakeups from HLT are exits",
	virtualised: true,
	hz: 100,
	// one state: HLT leaves to the hypervisor, which finds the vCPU's thread again a few microseconds later
	cstates: [{ name: "HLT", exit_latency_ns: 8_000, residency_ns: 0, power: 0.2 }],
	costs: {
		...broadwell_line,
		ipi_send: {
			value: 4800,
			range: [2000, 8000],
			unit: "cycles",
			source:
				"an exit, 2000 cycles directly and more indirectly (SplitX); guest IPI 2.24 us in all, 4338 cycles x2APIC (KVM 4180bf1b655a, IPIv v7)",
		},
		ipi_handler: {
			value: 2400,
			range: [900, 4000],
			unit: "cycles",
			source:
				"interrupt injection and EOI without APIC virtualisation: the rest of the 6059 cycles of an xAPIC guest IPI (KVM IPIv v7)",
		},
		timer_interrupt: {
			value: 6500,
			range: [3000, 12000],
			unit: "cycles",
			source: "as on metal, and two exits of 2000 cycles (SplitX): injection and re-arming",
		},
	},
	source:
		"Linux 4180bf1b655a, KVM IPIv v7, SplitX; halt wake: a few us beyond polling (Documentation/virt/kvm/halt-polling); range in the cost table",
};

const atom: MachineProfile = {
	name: "atom-c2758",
	description: "8-core Atom C2758, 2.4 GHz, bare metal",
	cpus: 8,
	ghz: 2.4,
	cycle_factor: 2.3,
	smt: false,
	virtualised: false,
	hz: 1000,
	active_w: 2.5,
	cstates: [
		{ name: "C1", exit_latency_ns: 2_000, residency_ns: 0, power: 0.4 },
		{ name: "C1E", exit_latency_ns: 10_000, residency_ns: 20_000, power: 0.3 },
		{ name: "C2", exit_latency_ns: 20_000, residency_ns: 80_000, power: 0.15 },
	],
	jitter_permille: 100,
	costs: {
		chapoly_own: {
			value: 21500,
			range: [13000, 25000],
			unit: "mcycles_per_byte",
			source: "portable C on Silvermont: ChaCha20 16.0 + Poly1305 5.5 cycles/byte (OpenSSL perlasm headers)",
		},
		chapoly_soft: {
			value: 21500,
			range: [13000, 25000],
			unit: "mcycles_per_byte",
			source: "portable C on Silvermont: ChaCha20 16.0 + Poly1305 5.5 cycles/byte (OpenSSL perlasm headers)",
		},
		chapoly_ossl: {
			value: 9860,
			range: [8000, 12000],
			unit: "mcycles_per_byte",
			source: "Silvermont: 4x SSSE3 ChaCha20 7.03 + integer Poly1305 2.83 cycles/byte (OpenSSL perlasm headers)",
		},
		chapoly_ossl_setup: {
			value: 1200,
			range: [700, 2000],
			unit: "cycles",
			source:
				"128-bit SIMD fit on Haswell is 684 cycles with the key block; Silvermont at SSSE3 1x is 1.5 to 2 times slower; estimate",
		},
	},
	source:
		"cycle factor: forwarding costs 3290 cycles on the C2758 and 1430 on the E5-2650 (netbenches firewalls, FreeBSD 14); intel_idle atom table",
};

const epyc64: MachineProfile = {
	...xeonD,
	name: "server-64",
	description: "64-core server, bare metal, one socket, 2.9 GHz under load, SMT off",
	cpus: 64,
	ghz: 2.9,
	active_w: 3.5,
	costs: {
		line_transfer: {
			value: 85,
			range: [25, 110],
			unit: "ns",
			source:
				"core-to-core-latency: 17-24 ns within a CCX, 84-107 ns across on Zen and Zen 3; seven of eight transfers are across",
		},
	},
	source: "clock and power: AMD EPYC 7713 class, 225 W for 64 cores; C-states as xeon-d",
};

export const machineProfiles: readonly MachineProfile[] = [xeonD, vm, atom, epyc64];

export function findProfile(name: string): MachineProfile | undefined {
	return machineProfiles.find((profile) => profile.name === name);
}
