/**
 * uma(9), the zone allocator: each zone hands out items of one kind and keeps freed ones for reuse.
 *
 * Every CPU has two buckets of free items per zone. It allocates from the first and frees to it, last in, first out, and
 * swaps the two when the first runs empty or full. When both are no help it exchanges a whole bucket with the zone, and the zone
 * fills buckets from its keg. So a CPU has at hand what it freed, and a limit counts cached items as well, which is why one CPU
 * may fail to allocate while another caches free items.
 *
 * Free items are all alike, so a bucket is only a number, and which object stands for an item makes no difference: it is the
 * one that was freed last on any CPU. Thousands are free in many buckets, and the host has the last few in its cache. Whoever keeps
 * locks in items makes them forget which CPU had them, as in_pcbclear does.
 *
 * Simplified: one memory domain, bucket sizes do not grow with contention, no slabs (the keg is a list of items), and an
 * allocation with M_WAITOK never sleeps: at the limit it is granted, and counted in uz_sleeps.
 *
 * @see vm/uma_core.c, vm/uma.h
 */
import { KASSERT, panic, sbinuptime } from "../sched/kernel.ts";
import { charge, cost, curcpu, curthread } from "../sched/thread.ts";
import { uma_dbg_alloc, uma_dbg_free } from "./uma_dbg.ts";
import {
	type any_zone,
	M_NOWAIT,
	M_WAITOK,
	M_ZERO,
	UMA_ZONE_SECONDARY,
	uma,
	type uma_cache,
	type uma_ctor,
	type uma_dtor,
	uma_fail,
	type uma_fault,
	type uma_fini,
	type uma_init,
	uma_keg,
	uma_printf,
	uma_zone,
} from "./uma_int.ts";
import { item_bytes } from "./uma_memory.ts";
import { uma_zone_get_cur } from "./uma_stat.ts";

export * from "./uma_int.ts";
export * from "./uma_stat.ts";

const PAGE_SIZE = 4096;
/** a zone's warning is printed at most once in this time */
const WARN_INTERVAL_NS = 300_000_000_000;

/**
 * Makes a zone. `factory` makes one item, in place of carving it from a slab; what C leaves as memory to be initialised is
 * an object whose fields ctor sets. Zones belong to the running kernel: keep them with KERNEL_GLOBAL.
 *
 * @see uma_core.c uma_zcreate
 */
export function uma_zcreate<T extends object, A = unknown>(
	name: string,
	size: number,
	ctor: uma_ctor<T, A> | null,
	dtor: uma_dtor<T> | null,
	init: uma_init<T> | null,
	fini: uma_fini<T> | null,
	_align: number,
	flags: number,
	factory: () => T,
): uma_zone<T, A> {
	const state = uma();
	const zone = new uma_zone<T, A>(state, new uma_keg(name, factory), name, size, ctor, dtor, init, fini, flags);
	state.zones.push(zone as unknown as any_zone);
	return zone;
}

/** Makes a zone that shares another's keg, with constructors of its own. @see uma_core.c uma_zsecond_create */
export function uma_zsecond_create<T extends object, A = unknown>(
	name: string,
	ctor: uma_ctor<T, A> | null,
	dtor: uma_dtor<T> | null,
	init: uma_init<T> | null,
	fini: uma_fini<T> | null,
	master: uma_zone<T, never>,
): uma_zone<T, A> {
	const state = uma();
	const zone = new uma_zone<T, A>(
		state,
		master.uz_keg,
		name,
		master.uz_size,
		ctor,
		dtor,
		init,
		fini,
		UMA_ZONE_SECONDARY,
	);
	state.zones.push(zone as unknown as any_zone);
	return zone;
}

/** Limits how many items may be in use or cached; the limit returned is the one in force. */
export function uma_zone_set_max<T extends object, A>(zone: uma_zone<T, A>, nitems: number): number {
	zone.uz_max_items = nitems;
	return nitems;
}

export function uma_zone_get_max<T extends object, A>(zone: uma_zone<T, A>): number {
	return zone.uz_max_items;
}

/** What to print when the limit is hit. */
export function uma_zone_set_warning<T extends object, A>(zone: uma_zone<T, A>, warning: string): void {
	zone.uz_warning = warning;
}

/** Takes up to `count` items off the limit; returns how many it got. */
function zone_alloc_limit<T extends object, A>(zone: uma_zone<T, A>, count: number): number {
	if (zone.uz_max_items > 0) count = Math.min(count, Math.max(zone.uz_max_items - zone.uz_items, 0));
	zone.uz_items += count;
	return count;
}

/** Prints a zone's warning, not too often. @see uma_core.c zone_log_warning */
function zone_log_warning<T extends object, A>(zone: uma_zone<T, A>): void {
	const now = sbinuptime();
	if (zone.uz_warning === null || now - zone.uz_warned_ns < WARN_INTERVAL_NS) return;
	zone.uz_warned_ns = now;
	if (uma_printf.on !== null) uma_printf.on(`[zone: ${zone.uz_name}] ${zone.uz_warning}`);
}

/** An item from the keg, initialised for the zone; null if init refuses it. */
function zone_import<T extends object, A>(zone: uma_zone<T, A>, flags: number): T | null {
	const keg = zone.uz_keg;
	charge(cost.uma_slab);
	let item = keg.uk_free.pop();
	if (item === undefined) {
		item = keg.uk_factory();
		keg.uk_items++;
	}
	if (zone.uz_init !== null && zone.uz_init(item, flags) !== 0) {
		keg.uk_free.push(item);
		return null;
	}
	return item;
}

/** Sends an item back to the keg. */
function zone_release<T extends object, A>(zone: uma_zone<T, A>, item: T): void {
	if (zone.uz_fini !== null) zone.uz_fini(item);
	zone.uz_keg.uk_free.push(item);
	zone.uz_items--;
}

/** Fills a bucket from the keg as far as the limit allows. @returns how many it holds @see uma_core.c zone_alloc_bucket */
function zone_alloc_bucket<T extends object, A>(zone: uma_zone<T, A>, flags: number): number {
	const got = zone_alloc_limit(zone, zone.uz_bucket_size);
	if (got === 0) return 0;
	let count = 0;
	for (; count < got; count++) {
		const item = zone_import(zone, flags);
		if (item === null) break;
		zone.uz_new.push(item);
	}
	zone.uz_items -= got - count;
	if (count === 0) zone_failed(zone);
	return count;
}

/** A single item past the caches: no bucket could be had. @see uma_core.c zone_alloc_item */
function zone_alloc_item<T extends object, A>(zone: uma_zone<T, A>, flags: number): T | null {
	if (zone_alloc_limit(zone, 1) === 0) {
		zone_log_warning(zone);
		if ((flags & M_WAITOK) === 0) {
			zone_failed(zone);
			return null;
		}
		zone.uz_sleeps++;
		zone.uz_items++;
	}
	const item = zone_import(zone, flags);
	if (item === null) {
		zone.uz_items--;
		zone_failed(zone);
		return null;
	}
	zone.uz_allocs++;
	return item;
}

function zone_failed<T extends object, A>(zone: uma_zone<T, A>): void {
	zone.uz_fails++;
	if (uma_fail.on !== null) uma_fail.on(zone.uz_name);
}

/** Refills the running CPU's bucket: from its other one, from the zone, or from the keg. @see uma_core.c cache_alloc */
function cache_alloc<T extends object, A>(zone: uma_zone<T, A>, cache: uma_cache, flags: number): T | null {
	if (cache.uc_freebucket > 0) {
		cache.uc_allocbucket = cache.uc_freebucket;
		cache.uc_freebucket = 0;
	} else if (zone.uz_bucket_size !== 0) {
		charge(cost.uma_bucket);
		if (zone.uz_buckets > 0) {
			zone.uz_buckets--;
			cache.uc_allocbucket = zone.uz_bucket_size;
		} else {
			cache.uc_allocbucket = zone_alloc_bucket(zone, flags);
			if (cache.uc_allocbucket === 0) return zone_alloc_item(zone, flags);
		}
	} else return zone_alloc_item(zone, flags);
	return cache_take(zone, cache);
}

/** Takes an item of the running CPU's bucket, which is not empty. */
function cache_take<T extends object, A>(zone: uma_zone<T, A>, cache: uma_cache): T {
	cache.uc_allocbucket--;
	cache.uc_allocs++;
	return (zone.uz_used.length > 0 ? zone.uz_used.pop() : zone.uz_new.pop()) as T;
}

/** Puts an item on the running CPU's buckets when the first is full. @see uma_core.c uma_zfree_arg, cache_free */
function cache_free<T extends object, A>(zone: uma_zone<T, A>, cache: uma_cache, item: T): void {
	if (zone.uz_bucket_size === 0) {
		zone.uz_frees++;
		zone_release(zone, item);
		return;
	}
	const full = cache.uc_allocbucket;
	let bucket = cache.uc_freebucket;
	if (bucket === zone.uz_bucket_size) {
		charge(cost.uma_bucket);
		zone.uz_buckets++;
		bucket = 0;
	}
	cache.uc_allocbucket = bucket + 1;
	cache.uc_freebucket = full;
	cache.uc_frees++;
	zone.uz_used.push(item);
}

/** Allocates an item; `udata` goes to the constructor. null if M_NOWAIT and there is none. @see uma_core.c uma_zalloc_arg */
export function uma_zalloc_arg<T extends object, A>(zone: uma_zone<T, A>, udata: A, flags: number): T | null {
	if (curthread.td_critnest !== 0) panic("uma_zalloc_debug: called within spinlock or critical section");
	charge(cost.uma_zalloc);
	const fault = zone.uz_state.fault;
	if (fault !== null && (flags & M_NOWAIT) !== 0 && fault(zone.uz_name)) {
		zone_failed(zone);
		return null;
	}
	const cache = zone.uz_cpu[curcpu()];
	const item = cache.uc_allocbucket > 0 ? cache_take(zone, cache) : cache_alloc(zone, cache, flags);
	if (item === null) return null;
	if (zone.uz_dbg !== null) uma_dbg_alloc(zone.uz_dbg, item);
	if ((flags & M_ZERO) !== 0) item_bytes(item)?.fill(0);
	if (zone.uz_ctor !== null && zone.uz_ctor(item, udata, flags) !== 0) {
		zone_failed(zone);
		if (zone.uz_dbg !== null) uma_dbg_free(zone.uz_dbg, item);
		item_free(zone, item);
		return null;
	}
	return item;
}

/** Allocates an item without an argument for its constructor. M_ZERO clears byte arrays; objects are cleared by ctor. */
export function uma_zalloc<T extends object>(zone: uma_zone<T>, flags: number): T | null {
	return uma_zalloc_arg(zone, null, flags);
}

/** Frees an item; null is allowed. @see uma_core.c uma_zfree_arg */
export function uma_zfree<T extends object, A>(zone: uma_zone<T, A>, item: T | null): void {
	if (item === null) return;
	if (curthread.td_critnest !== 0) panic("uma_zfree_debug: called within spinlock or critical section");
	charge(cost.uma_zfree);
	if (zone.uz_dbg !== null) uma_dbg_free(zone.uz_dbg, item);
	if (zone.uz_dtor !== null) zone.uz_dtor(item);
	item_free(zone, item);
}

/** Onto the bucket the next allocation takes from, while there is room: what was freed last is used first. */
function item_free<T extends object, A>(zone: uma_zone<T, A>, item: T): void {
	const cache = zone.uz_cpu[curcpu()];
	if (cache.uc_allocbucket < zone.uz_bucket_size) {
		cache.uc_allocbucket++;
		cache.uc_frees++;
		zone.uz_used.push(item);
	} else cache_free(zone, cache, item);
}

function bucket_drain<T extends object, A>(zone: uma_zone<T, A>, count: number): void {
	while (count-- > 0) zone_release(zone, (zone.uz_new.length > 0 ? zone.uz_new.pop() : zone.uz_used.pop()) as T);
}

/** Gives the zone's full buckets back to the keg; the CPUs keep theirs. @see uma_core.c uma_zone_reclaim, UMA_RECLAIM_DRAIN */
export function uma_zone_reclaim<T extends object, A>(zone: uma_zone<T, A>): void {
	charge(cost.uma_bucket);
	for (; zone.uz_buckets > 0; zone.uz_buckets--) bucket_drain(zone, zone.uz_bucket_size);
}

/**
 * Destroys a zone. Items still in use are lost: the message is FreeBSD's, and the leak stays known to uma_leaks.
 *
 * @returns how many items were lost
 * @see uma_core.c uma_zdestroy, keg_dtor
 */
export function uma_zdestroy<T extends object, A>(zone: uma_zone<T, A>): number {
	const state = zone.uz_state;
	const at = state.zones.indexOf(zone as unknown as any_zone);
	KASSERT(at >= 0, `uma_zdestroy: zone ${zone.uz_name} destroyed twice`);
	state.zones.splice(at, 1);
	uma_zone_reclaim(zone);
	for (const cache of zone.uz_cpu) {
		bucket_drain(zone, cache.uc_allocbucket);
		bucket_drain(zone, cache.uc_freebucket);
		cache.uc_allocbucket = 0;
		cache.uc_freebucket = 0;
	}
	const used = uma_zone_get_cur(zone);
	if (used !== 0) {
		state.lost.push({ zone: zone.uz_name, used });
		if ((zone.uz_flags & UMA_ZONE_SECONDARY) === 0 && uma_printf.on !== null) {
			const pages = Math.ceil((used * zone.uz_size) / PAGE_SIZE);
			uma_printf.on(`Freed UMA keg (${zone.uz_name}) was not empty (${used} items).  Lost ${pages} pages of memory.`);
		}
	}
	if ((zone.uz_flags & UMA_ZONE_SECONDARY) === 0) zone.uz_keg.uk_free.length = 0; // keg_dtor: its items go with it
	return used;
}

/** Makes M_NOWAIT allocations of the running kernel fail when the hook says so; null takes it away. @see fail(9) */
export function uma_set_fault(fault: uma_fault | null): void {
	uma().fault = fault;
}

/** The hook in force: malloc asks it too. */
export function uma_get_fault(): uma_fault | null {
	return uma().fault;
}
