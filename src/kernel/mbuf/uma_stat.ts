/** What zones tell about themselves: items in use, leaks, `vmstat -z`. */
import { uma, type uma_zone } from "./uma_int.ts";

/** Items in use. @see uma_core.c uma_zone_get_cur */
export function uma_zone_get_cur<T extends object, A>(zone: uma_zone<T, A>): number {
	return zone_allocs(zone) - zone_frees(zone);
}

export function zone_allocs<T extends object, A>(zone: uma_zone<T, A>): number {
	let n = zone.uz_allocs;
	for (const cache of zone.uz_cpu) n += cache.uc_allocs;
	return n;
}

function zone_frees<T extends object, A>(zone: uma_zone<T, A>): number {
	let n = zone.uz_frees;
	for (const cache of zone.uz_cpu) n += cache.uc_frees;
	return n;
}

export interface uma_leak {
	readonly zone: string;
	readonly used: number;
}

/** Zones of the running kernel, living or destroyed, with items in use that no cached item accounts for. */
export function uma_leaks(): uma_leak[] {
	const { zones, lost } = uma();
	const leaks = [...lost];
	for (const zone of zones) {
		let used = uma_zone_get_cur(zone);
		for (const other of zones) if (other.uz_holds === zone) used -= other.uz_items;
		if (used !== 0) leaks.push({ zone: zone.uz_name, used });
	}
	return leaks;
}

/** A line of `vmstat -z`. */
export interface uma_zone_stat {
	readonly name: string;
	readonly size: number;
	readonly limit: number;
	readonly used: number;
	readonly free: number;
	readonly requests: number;
	readonly fails: number;
	readonly sleeps: number;
}

/** What `vmstat -z` shows, in order of creation. */
export function uma_zone_list(): uma_zone_stat[] {
	return uma().zones.map((zone) => {
		const used = uma_zone_get_cur(zone);
		return {
			name: zone.uz_name,
			size: zone.uz_size,
			limit: zone.uz_max_items,
			used,
			free: zone.uz_items - used,
			requests: zone_allocs(zone),
			fails: zone.uz_fails,
			sleeps: zone.uz_sleeps,
		};
	});
}
