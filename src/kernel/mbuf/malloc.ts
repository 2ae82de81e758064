/**
 * malloc(9)'s bookkeeping. JavaScript allocates the memory; what the simulation needs is the count of allocations and bytes of
 * each malloc type, the chance to fail, and the cost.
 *
 * @see kern_malloc.c, sys/malloc.h
 */
import { KERNEL_GLOBAL } from "../sched/kernel.ts";
import { charge, cost } from "../sched/thread.ts";
import { M_NOWAIT, uma_get_fault, uma_printf } from "./uma.ts";

/** One kernel's numbers of one malloc type, as `vmstat -m` shows them. */
export class malloc_type_stats {
	readonly type: malloc_type;
	mts_numallocs = 0;
	mts_numfrees = 0;
	mts_memalloced = 0;
	mts_memfreed = 0;
	mts_fails = 0;

	constructor(type: malloc_type) {
		this.type = type;
	}
}

/** What an allocation is for: M_WG, M_NOISE, M_PACKET_TAGS. */
export class malloc_type {
	readonly ks_shortdesc: string;
	readonly ks_longdesc: string;
	readonly stats: () => malloc_type_stats;

	constructor(shortdesc: string, longdesc: string) {
		this.ks_shortdesc = shortdesc;
		this.ks_longdesc = longdesc;
		this.stats = KERNEL_GLOBAL(() => {
			const stats = new malloc_type_stats(this);
			kmemstatistics().push(stats);
			return stats;
		});
	}
}

/** types the running kernel has used */
const kmemstatistics = KERNEL_GLOBAL<malloc_type_stats[]>(() => []);

/** Declares a malloc type; in the module's scope. */
export function MALLOC_DEFINE(shortdesc: string, longdesc: string): malloc_type {
	return new malloc_type(shortdesc, longdesc);
}

/** Counts an allocation of `size` bytes. False: it failed, which only M_NOWAIT can, and only by fault injection. */
export function malloc_account(type: malloc_type, size: number, flags: number): boolean {
	charge(cost.uma_zalloc);
	const stats = type.stats();
	if ((flags & M_NOWAIT) !== 0) {
		const fault = uma_get_fault();
		if (fault?.(type.ks_shortdesc)) {
			stats.mts_fails++;
			return false;
		}
	}
	stats.mts_numallocs++;
	stats.mts_memalloced += size;
	return true;
}

/** Counts that `size` bytes were freed. */
export function free_account(type: malloc_type, size: number): void {
	charge(cost.uma_zfree);
	const stats = type.stats();
	stats.mts_numfrees++;
	stats.mts_memfreed += size;
}

/** Says what a malloc type still has allocated, when its module is unloaded. @see kern_malloc.c malloc_uninit */
export function malloc_uninit(type: malloc_type): number {
	const stats = type.stats();
	const allocations = stats.mts_numallocs - stats.mts_numfrees;
	if (allocations !== 0 && uma_printf.on !== null) {
		const bytes = stats.mts_memalloced - stats.mts_memfreed;
		uma_printf.on(
			`Warning: memory type ${type.ks_shortdesc} leaked memory on destroy (${allocations} allocations, ${bytes} bytes leaked).`,
		);
	}
	return allocations;
}

export interface malloc_leak {
	readonly type: string;
	readonly allocations: number;
	readonly bytes: number;
}

/** Types of the running kernel that have something allocated. */
export function malloc_leaks(): malloc_leak[] {
	return kmemstatistics()
		.map((s) => ({
			type: s.type.ks_shortdesc,
			allocations: s.mts_numallocs - s.mts_numfrees,
			bytes: s.mts_memalloced - s.mts_memfreed,
		}))
		.filter((leak) => leak.allocations !== 0 || leak.bytes !== 0);
}
