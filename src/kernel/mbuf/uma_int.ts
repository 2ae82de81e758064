/** What zones are made of. @see vm/uma_int.h */
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { KERNEL_GLOBAL, mp_ncpus, TUNABLE_FETCH } from "../sched/kernel.ts";
import { uma_dbg } from "./uma_dbg.ts";

export const M_NOWAIT = 0x1;
export const M_WAITOK = 0x2;
export const M_ZERO = 0x100;

export const UMA_ALIGN_PTR = 7;
export const UMA_ALIGN_CACHE = 63;
export const UMA_ZONE_CONTIG = 0x1;
export const UMA_ZONE_NOFREE = 0x20;
export const UMA_ZONE_SECONDARY = 0x200;
export const UMA_ZONE_NOBUCKET = 0x400;
export const UMA_ZONE_MAXBUCKET = 0x800;

/** Runs at each allocation; an error number makes the allocation fail. */
export type uma_ctor<T, A> = (item: T, arg: A, flags: number) => number;
/** Runs at each free. */
export type uma_dtor<T> = (item: T) => void;
/** Runs when an item comes from the keg into the zone; an error number sends it back. */
export type uma_init<T> = (item: T, flags: number) => number;
/** Runs when an item goes back to the keg. */
export type uma_fini<T> = (item: T) => void;

/** Says whether the M_NOWAIT allocation about to happen in the zone or malloc type of this name shall fail. */
export type uma_fault = (name: string) => boolean;

/** What UMA prints to the console: limits reached, zones destroyed with items in use. */
export const uma_printf = SDT_PROBE_DEFINE<[message: string]>("uma:::printf", "message: string");
/** An allocation failed: zone name. */
export const uma_fail = SDT_PROBE_DEFINE<[zone: string]>("uma:::fail", "zone: string");

/** Bucket capacities, and the largest item for which each is used. */
const bucket_entries = [2, 4, 8, 16, 30, 62, 126, 254];
const bucket_maxsize = [4096, 3072, 2048, 1024, 512, 256, 128, 64];
const BUCKET_MAX = 254;

/** One CPU's cache of a zone: how many items are in each of its buckets. */
export class uma_cache {
	/** to allocate from, and to free to while there is room */
	uc_allocbucket = 0;
	uc_freebucket = 0;
	uc_allocs = 0;
	uc_frees = 0;
}

/** Where a zone's items come from; a secondary zone shares its master's. */
export class uma_keg<T> {
	readonly uk_name: string;
	readonly uk_free: T[] = [];
	readonly uk_factory: () => T;
	/** items ever made */
	uk_items = 0;

	constructor(name: string, factory: () => T) {
		this.uk_name = name;
		this.uk_factory = factory;
	}
}

export class uma_zone<T extends object, A = unknown> {
	readonly uz_name: string;
	readonly uz_size: number;
	readonly uz_flags: number;
	readonly uz_keg: uma_keg<T>;
	readonly uz_ctor: uma_ctor<T, A> | null;
	readonly uz_dtor: uma_dtor<T> | null;
	readonly uz_init: uma_init<T> | null;
	readonly uz_fini: uma_fini<T> | null;
	readonly uz_cpu: uma_cache[];
	/** full buckets shared by all CPUs */
	uz_buckets = 0;
	/** the items in all buckets that have been in use, last in, first out */
	readonly uz_used: T[] = [];
	/** those that have not */
	readonly uz_new: T[] = [];
	readonly uz_bucket_size: number;
	readonly uz_state: uma_state;
	/** items taken from the keg: in use or cached */
	uz_items = 0;
	/** 0: no limit */
	uz_max_items = 0;
	uz_fails = 0;
	uz_sleeps = 0;
	uz_warning: string | null = null;
	uz_warned_ns = Number.NEGATIVE_INFINITY;
	/** allocations and frees that went past the per-CPU caches */
	uz_allocs = 0;
	uz_frees = 0;
	/** zone of which each of our items, in use or cached, keeps one item: what init allocates */
	uz_holds: uma_zone<object, never> | null = null;
	/** what is known of its items, while debugging */
	readonly uz_dbg: uma_dbg<T> | null;

	constructor(
		state: uma_state,
		keg: uma_keg<T>,
		name: string,
		size: number,
		ctor: uma_ctor<T, A> | null,
		dtor: uma_dtor<T> | null,
		init: uma_init<T> | null,
		fini: uma_fini<T> | null,
		flags: number,
	) {
		this.uz_state = state;
		this.uz_keg = keg;
		this.uz_name = name;
		this.uz_size = size;
		this.uz_ctor = ctor;
		this.uz_dtor = dtor;
		this.uz_init = init;
		this.uz_fini = fini;
		this.uz_flags = flags;
		this.uz_bucket_size = bucket_size(size, flags);
		this.uz_cpu = Array.from({ length: mp_ncpus() }, () => new uma_cache());
		this.uz_dbg = state.debug ? new uma_dbg<T>(name) : null;
	}
}

export type any_zone = uma_zone<object, never>;

/** The zones of one kernel. */
export class uma_state {
	readonly zones: any_zone[] = [];
	/** items that were still in use when their zone was destroyed */
	readonly lost: { readonly zone: string; readonly used: number }[] = [];
	fault: uma_fault | null = null;
	/** loader tunable vm.debug.divisor: nonzero checks every item of every zone for double frees and use after free */
	readonly debug = (TUNABLE_FETCH("vm.debug.divisor") ?? "0") !== "0";
}

export const uma = KERNEL_GLOBAL(() => new uma_state());

/** Bucket capacity for items of one size: large items are cached in small numbers. @see uma_core.c bucket_select */
function bucket_size(size: number, flags: number): number {
	if ((flags & UMA_ZONE_NOBUCKET) !== 0) return 0;
	if ((flags & UMA_ZONE_MAXBUCKET) !== 0) return BUCKET_MAX;
	if (size > bucket_maxsize[0]) return Math.max(Math.floor((bucket_maxsize[0] * bucket_entries[0]) / size), 1);
	let i = 1;
	while (i < bucket_maxsize.length && bucket_maxsize[i] >= size) i++;
	return bucket_entries[i - 1];
}
