/**
 * Accesses to shared fields without a lock, and reference counts.
 *
 * A field that two threads may touch at once is read and written through these, so that the scheduler can run somebody else
 * in between, and so that a race detector can watch. Simplified: memory is sequentially consistent, and the cache line's
 * way between CPUs is charged by whoever knows it is contended.
 *
 * @see atomic(9), refcount(9)
 */
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { KASSERT } from "../sched/kernel.ts";
import {
	advance,
	advance_read_mostly,
	type Blocking,
	cost,
	curthread,
	DONE,
	done,
	later,
	sync,
	type thread,
} from "../sched/thread.ts";

export const race_load = SDT_PROBE_DEFINE<[object: object, field: string, td: thread]>(
	"race:::load",
	"object: object, field: string, td: thread",
);
export const race_store = SDT_PROBE_DEFINE<[object: object, field: string, td: thread]>(
	"race:::store",
	"object: object, field: string, td: thread",
);

type NumberField<T> = { [K in keyof T]: T[K] extends number ? K : never }[keyof T];

/** Reads a shared field without a lock. The compiler makes of it a function for each field (compiler/fields.ts), of those below. */
export function load<T extends object, K extends keyof T & string>(object: T, field: K): Blocking<T[K]> {
	return load_ready(object, field) ? done(object[field]) : later(load_now<T, K>, object, field);
}

/** Whether a shared field may be read at once, and then is. */
export function load_ready<T extends object>(object: T, field: keyof T & string): boolean {
	if (!advance()) return false;
	load_seen(object, field);
	return true;
}

/** As load, of a field that is `__read_mostly`: the value may be an older one, see advance_read_mostly. Compiled as load is. */
export function load_read_mostly<T extends object, K extends keyof T & string>(object: T, field: K): Blocking<T[K]> {
	return load_read_mostly_ready(object, field) ? done(object[field]) : later(load_now<T, K>, object, field);
}

/** As load_ready. */
export function load_read_mostly_ready<T extends object>(object: T, field: keyof T & string): boolean {
	if (!advance_read_mostly()) return false;
	load_seen(object, field);
	return true;
}

function load_now<T extends object, K extends keyof T & string>(object: T, field: K): Blocking<T[K]> {
	load_seen(object, field);
	return done(object[field]);
}

/** A shared field is read, now that the clock has caught up. */
export function load_seen<T extends object>(object: T, field: keyof T & string): void {
	if (race_load.on !== null) race_load.on(object, field, curthread);
}

/** Reads a shared field with `now`, when the clock has caught up. */
export function load_later<T extends object, V>(now: (object: T) => Blocking<V>, object: T): Blocking<V> {
	return later(now, object);
}

/** Writes a shared field without a lock. Compiled as load is. */
export function store<T extends object, K extends keyof T & string>(object: T, field: K, value: T[K]): Blocking<void> {
	const now = (): Blocking<void> => {
		object[field] = value;
		return DONE;
	};
	if (store_ready(object, field)) return now();
	return store_later(
		() => {
			store_seen(object, field);
			return now();
		},
		object,
		value,
	);
}

/** Whether a shared field may be written at once, and then is. */
export function store_ready<T extends object>(object: T, field: keyof T & string): boolean {
	if (!advance()) return false;
	store_seen(object, field);
	return true;
}

/** A shared field is written, now that the clock has caught up. */
export function store_seen<T extends object>(object: T, field: keyof T & string): void {
	if (race_store.on !== null) race_store.on(object, field, curthread);
}

/** Writes a shared field with `now`, when the clock has caught up. */
export function store_later<T extends object, V>(
	now: (object: T, value: V) => Blocking<void>,
	object: T,
	value: V,
): Blocking<void> {
	return later(now, object, value);
}

/** Adds to a shared counter. @returns the value before */
export function* atomic_fetchadd<T extends object, K extends NumberField<T> & string>(
	object: T,
	field: K,
	n: number,
): Blocking<number> {
	curthread.td_pending += cost.atomic;
	yield* sync();
	const counter = object as Record<string, number>;
	const before = counter[field];
	counter[field] = before + n;
	return before;
}

export interface Refcounted {
	refcnt: number;
}

/** A reference count of its own, for objects that have several. */
export class refcount implements Refcounted {
	refcnt = 0;
}

export function refcount_init(count: Refcounted, value: number): void {
	count.refcnt = value;
}

/**
 * Takes a reference; the caller holds one already. Counting up commutes with everything but the last release, which
 * cannot happen meanwhile, so no synchronisation is needed.
 */
export function refcount_acquire(count: Refcounted): void {
	KASSERT(count.refcnt > 0, "refcount overflow or use after free");
	curthread.td_pending += cost.atomic;
	count.refcnt++;
}

/** Takes a reference unless the count has reached zero. */
export function refcount_acquire_if_not_zero(count: Refcounted): boolean {
	curthread.td_pending += cost.atomic;
	if (count.refcnt === 0) return false;
	count.refcnt++;
	return true;
}

/** Drops a reference. @returns true if it was the last */
export function refcount_release(count: Refcounted): boolean {
	KASSERT(count.refcnt > 0, "refcount underflow");
	curthread.td_pending += cost.atomic;
	return --count.refcnt === 0;
}
