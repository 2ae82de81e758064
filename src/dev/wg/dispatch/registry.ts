/** The policies there are, by name; a run may bring one of its own. */
import { all_cpus } from "./all_cpus.ts";
import { linux_style } from "./linux_style.ts";
import type { dispatch_policy } from "./policy.ts";
import { round_robin } from "./round_robin.ts";

export const policies: readonly dispatch_policy[] = [all_cpus, round_robin, linux_style];

/** policies that came with a run; code, not kernel state, so it outlives kernels */
const loaded = new Map<string, dispatch_policy>();

export function register_policy(policy: dispatch_policy): void {
	loaded.set(policy.name, policy);
}

export function find_policy(name: string): dispatch_policy | undefined {
	return loaded.get(name) ?? policies.find((policy) => policy.name === name);
}
