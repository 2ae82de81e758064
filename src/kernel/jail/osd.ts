/**
 * Object-specific data of jails: a module keeps something of its own with each jail, and hears of the jail's life.
 *
 * Simplified: jails only (no threads), no lock: registering happens when modules load, and methods are called one jail at a time.
 *
 * @see kern_osd.c osd_register, osd_call; sys/osd.h; sys/jail.h PR_METHOD_x
 */
import type { Errno } from "../errno.ts";
import { KASSERT, KERNEL_GLOBAL } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import type { prison } from "./jail.ts";

export const PR_METHOD_CREATE = 0;
export const PR_METHOD_GET = 1;
export const PR_METHOD_SET = 2;
export const PR_METHOD_CHECK = 3;
export const PR_METHOD_ATTACH = 4;
export const PR_METHOD_REMOVE = 5;
export const PR_MAXMETHOD = 6;

export type osd_method_t = (pr: prison, data: unknown) => Blocking<Errno>;
export type osd_destructor_t = (value: unknown) => void;
/** by PR_METHOD_x; missing ones do nothing */
export type osd_methods = { readonly [method: number]: osd_method_t | undefined };

class osd_slot {
	readonly destructor: osd_destructor_t | null;
	readonly methods: osd_methods;
	constructor(destructor: osd_destructor_t | null, methods: osd_methods) {
		this.destructor = destructor;
		this.methods = methods;
	}
}

/** slot n of the C interface is element n - 1; null when deregistered */
const osdm = KERNEL_GLOBAL<(osd_slot | null)[]>(() => []);

/** @returns the module's slot, from 1; reused when a module has gone */
export function osd_jail_register(destructor: osd_destructor_t | null, methods: osd_methods): number {
	const slots = osdm();
	const made = new osd_slot(destructor, methods);
	const free = slots.indexOf(null);
	if (free >= 0) {
		slots[free] = made;
		return free + 1;
	}
	slots.push(made);
	return slots.length;
}

export function osd_jail_deregister(slot: number): void {
	const slots = osdm();
	KASSERT(slot > 0 && slot <= slots.length && slots[slot - 1] !== null, `osd_deregister: unused slot ${slot}`);
	slots[slot - 1] = null;
}

export function osd_jail_set(pr: prison, slot: number, value: unknown): Errno {
	KASSERT(osdm()[slot - 1] !== null, `osd_set: unused slot ${slot}`);
	pr.pr_osd[slot - 1] = value;
	return 0;
}

export function osd_jail_get(pr: prison, slot: number): unknown {
	return pr.pr_osd[slot - 1] ?? null;
}

/** Gives up one slot's data of a jail. */
export function osd_jail_del(pr: prison, slot: number): void {
	const value = pr.pr_osd[slot - 1] ?? null;
	pr.pr_osd[slot - 1] = null;
	if (value !== null) osdm()[slot - 1]?.destructor?.(value);
}

/** Calls a method of every slot; the first error stops. @see kern_osd.c osd_call */
export function* osd_jail_call(pr: prison, method: number, data: unknown): Blocking<Errno> {
	for (const slot of osdm().slice()) {
		const fn = slot?.methods[method];
		if (fn === undefined) continue;
		const error = yield* fn(pr, data);
		if (error !== 0) return error;
	}
	return 0;
}

/** Gives up all slots' data, when a jail is freed. @see kern_osd.c osd_exit */
export function osd_jail_exit(pr: prison): void {
	for (let slot = 1; slot <= osdm().length; slot++) osd_jail_del(pr, slot);
}
