/**
 * The energy proxy: not a measurement, only a way to see in one number what being awake costs.
 *
 *     E = active_w * (busy + waking + polling) + active_w * sum over C-states (halted in it * its power)
 *
 * summed over the CPUs; active_w is one busy core's power, a C-state's power is relative to that. What leaving a state costs
 * beyond the time it takes, and everything outside the cores, is left out. Meant for ratios between runs on one machine.
 */
import type { MachineProfile } from "../src/machine/profile.ts";
import type { CpuTime } from "./metrics.ts";

export const ENERGY_FORMULA = "active power x (busy + waking + polling) + sum over C-states of halted time x its power";

export function energyProxy(cpus: readonly CpuTime[], profile: MachineProfile): number {
	let joules = 0;
	for (const cpu of cpus) {
		let active_ns = cpu.busy_ns + cpu.wake_ns + cpu.poll_ns;
		cpu.cstate_ns.forEach((ns, i) => {
			active_ns += ns * profile.cstates[i].power;
		});
		joules += (active_ns * profile.active_w) / 1e9;
	}
	return joules;
}
