/**
 * Interface cloning: making and destroying interfaces by name.
 *
 * A simple cloner makes one interface a unit number; an advanced one matches names itself. Units are handed out lowest first.
 * Destroying takes the interface off its cloner's list before the driver is asked, so of two that try at once one fails.
 *
 * @see net/if_clone.c; kernel.md section 4.2
 */
import { EEXIST, EINVAL, ENOSPC, ENXIO, EOPNOTSUPP, type Errno } from "../errno.ts";
import { IS_DEFAULT_VNET, vnet0 } from "../jail/vnet.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { CURVNET_RESTORE, CURVNET_SET, curvnet, KASSERT, KERNEL_GLOBAL, panic, VNET_DEFINE } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import { if_addgroup, if_delgroup, if_rele, ifunit, ifunit_ref } from "./if.ts";
import { IFNAMSIZ, type ifnet } from "./if_var.ts";

/** highest unit number */
const IF_MAXUNIT = 0x7fff;

export type ifcs_create_t = (ifc: if_clone, unit: number, params: unknown) => Blocking<Errno>;
export type ifcs_destroy_t = (ifp: ifnet) => Blocking<void>;
export type ifc_match_t = (ifc: if_clone, name: string) => boolean;
/** @returns the name of the interface made, or an error */
export type ifc_create_t = (ifc: if_clone, name: string, params: unknown) => Blocking<string | Errno>;
export type ifc_destroy_t = (ifc: if_clone, ifp: ifnet) => Blocking<Errno>;

export class if_clone {
	readonly ifc_name: string;
	readonly ifc_maxunit: number;
	readonly ifc_mtx = new mtx();
	/** units in use */
	readonly ifc_unrhdr = new Set<number>();
	/** newest first */
	readonly ifc_iflist: ifnet[] = [];
	// a simple cloner's
	ifcs_create: ifcs_create_t | null = null;
	ifcs_destroy: ifcs_destroy_t | null = null;
	/** units below this are made with the cloner and cannot be destroyed */
	ifcs_minifs = 0;
	// an advanced cloner's
	ifc_match: ifc_match_t | null = null;
	ifc_create: ifc_create_t | null = null;
	ifc_destroy: ifc_destroy_t | null = null;

	constructor(name: string, maxunit: number) {
		this.ifc_name = name;
		this.ifc_maxunit = maxunit === 0 ? IF_MAXUNIT : maxunit;
		mtx_init(this.ifc_mtx, "if_clone lock", null, MTX_DEF);
	}

	get simple(): boolean {
		return this.ifcs_create !== null;
	}
}

class cloners_lock {
	readonly m = new mtx();
	constructor() {
		mtx_init(this.m, "if_cloners lock", null, MTX_DEF);
	}
}

class cloner_list {
	/** newest first */
	readonly list: if_clone[] = [];
}

const if_cloners = KERNEL_GLOBAL(() => new cloners_lock());
const V_if_cloners = VNET_DEFINE(() => new cloner_list());

/** Unit number at the end of a name, -1 if it has none; null when the name is malformed. @see ifc_name2unit */
export function ifc_name2unit(name: string): number | null {
	const digits = /[0-9]*$/.exec(name)?.[0] ?? "";
	if (digits === "") return -1;
	if (digits.length > 1 && digits[0] === "0") return null;
	const unit = Number(digits);
	return unit > 0x7fffffff ? null : unit;
}

/** Reserves a unit; any, lowest first, if `unit` is negative. @returns the unit, or null when it is taken or none is left */
export function* ifc_alloc_unit(ifc: if_clone, unit: number): Blocking<number | null> {
	yield* mtx_lock(ifc.ifc_mtx);
	let got: number | null = unit;
	if (unit < 0) {
		let free = 0;
		while (free <= ifc.ifc_maxunit && (ifc.ifc_unrhdr.has(free) || taken(ifc, free))) free++;
		got = free <= ifc.ifc_maxunit ? free : null;
	} else if (unit > ifc.ifc_maxunit || ifc.ifc_unrhdr.has(unit)) got = null;
	if (got !== null) ifc.ifc_unrhdr.add(got);
	yield* mtx_unlock(ifc.ifc_mtx);
	return got;
}

/** An interface may have been renamed to, or moved in with, the name a unit would get. */
function taken(ifc: if_clone, unit: number): boolean {
	return ifunit(`${ifc.ifc_name}${unit}`) !== null;
}

export function* ifc_free_unit(ifc: if_clone, unit: number): Blocking<void> {
	yield* mtx_lock(ifc.ifc_mtx);
	ifc.ifc_unrhdr.delete(unit);
	yield* mtx_unlock(ifc.ifc_mtx);
}

function* if_clone_attach(ifc: if_clone): Blocking<boolean> {
	const lock = if_cloners().m;
	yield* mtx_lock(lock);
	const { list } = V_if_cloners();
	const exists = list.some((other) => other.ifc_name === ifc.ifc_name);
	if (!exists) list.unshift(ifc);
	yield* mtx_unlock(lock);
	return !exists;
}

/** Registers a cloner in the current vnet, and makes its first `minifs` interfaces. null: the name is taken */
export function* if_clone_simple(
	name: string,
	create: ifcs_create_t,
	destroy: ifcs_destroy_t,
	minifs: number,
): Blocking<if_clone | null> {
	const ifc = new if_clone(name, 0);
	ifc.ifcs_create = create;
	ifc.ifcs_destroy = destroy;
	ifc.ifcs_minifs = minifs;
	if (!(yield* if_clone_attach(ifc))) return null;
	for (let unit = 0; unit < minifs; unit++) {
		const error = yield* if_clone_createif(ifc, `${name}${unit}`, null);
		KASSERT(typeof error === "string", `if_clone_simple: failed to create required interface ${name}${unit}`);
	}
	return ifc;
}

/** Registers a cloner that matches and makes names by itself. */
export function* if_clone_advanced(
	name: string,
	maxunit: number,
	match: ifc_match_t,
	create: ifc_create_t,
	destroy: ifc_destroy_t | null,
): Blocking<if_clone | null> {
	const ifc = new if_clone(name, maxunit);
	ifc.ifc_match = match;
	ifc.ifc_create = create;
	ifc.ifc_destroy = destroy;
	return (yield* if_clone_attach(ifc)) ? ifc : null;
}

/** Unregisters a cloner of the current vnet and destroys everything it made. */
export function* if_clone_detach(ifc: if_clone): Blocking<void> {
	const lock = if_cloners().m;
	yield* mtx_lock(lock);
	const { list } = V_if_cloners();
	const at = list.indexOf(ifc);
	if (at >= 0) list.splice(at, 1);
	yield* mtx_unlock(lock);
	// units that could not be destroyed one by one go with the cloner
	ifc.ifcs_minifs = 0;
	while (ifc.ifc_iflist.length > 0) {
		const error = yield* if_clone_destroyif(ifc, ifc.ifc_iflist[0]);
		KASSERT(error === 0, `if_clone_detach: ${ifc.ifc_name}: error ${error}`);
	}
	mtx_destroy(ifc.ifc_mtx);
}

/** Does a simple cloner make interfaces of this name? @see ifc_simple_match */
function ifc_matches(ifc: if_clone, name: string): boolean {
	if (ifc.ifc_match !== null) return ifc.ifc_match(ifc, name);
	return name.startsWith(ifc.ifc_name) && /^[0-9]*$/.test(name.slice(ifc.ifc_name.length));
}

/** The cloner for a name: of this vnet, or else of the base system. */
function* find_cloner(test: (ifc: if_clone) => boolean): Blocking<if_clone | null> {
	const lock = if_cloners().m;
	yield* mtx_lock(lock);
	let ifc = V_if_cloners().list.find(test) ?? null;
	if (ifc === null && !IS_DEFAULT_VNET(curvnet())) {
		const saved = CURVNET_SET(vnet0());
		ifc = V_if_cloners().list.find(test) ?? null;
		CURVNET_RESTORE(saved);
	}
	yield* mtx_unlock(lock);
	return ifc;
}

/** Makes an interface. @returns its name, which differs from `name` if that has no unit; or an error */
export function* if_clone_create(name: string, params: unknown): Blocking<string | Errno> {
	const ifc = yield* find_cloner((c) => ifc_matches(c, name));
	if (ifc === null) return EINVAL;
	return yield* if_clone_createif(ifc, name, params);
}

function* if_clone_createif(ifc: if_clone, name: string, params: unknown): Blocking<string | Errno> {
	if (ifunit(name) !== null) return EEXIST;
	const made = ifc.simple
		? yield* ifc_simple_create(ifc, name, params)
		: yield* (ifc.ifc_create as ifc_create_t)(ifc, name, params);
	if (typeof made === "number") return made;
	const ifp = ifunit(made);
	if (ifp === null) panic(`if_clone_createif: lookup failed for ${made}`);
	yield* if_clone_addif(ifc, ifp);
	return made;
}

function* ifc_simple_create(ifc: if_clone, name: string, params: unknown): Blocking<string | Errno> {
	const wanted = ifc_name2unit(name);
	if (wanted === null) return EINVAL;
	const unit = yield* ifc_alloc_unit(ifc, wanted);
	if (unit === null) return wanted < 0 ? ENOSPC : EEXIST;
	const full = `${ifc.ifc_name}${unit}`;
	const error = full.length >= IFNAMSIZ ? ENOSPC : yield* (ifc.ifcs_create as ifcs_create_t)(ifc, unit, params);
	if (error === 0) return full;
	yield* ifc_free_unit(ifc, unit);
	return error;
}

/** Puts an interface on its cloner's list: a driver that makes a second one does it itself. */
export function* if_clone_addif(ifc: if_clone, ifp: ifnet): Blocking<void> {
	if_addgroup(ifp, ifc.ifc_name);
	ifp.if_cloner = ifc;
	yield* mtx_lock(ifc.ifc_mtx);
	ifc.ifc_iflist.unshift(ifp);
	yield* mtx_unlock(ifc.ifc_mtx);
}

/** The cloner whose list an interface is on. */
export function if_clone_findifc(ifp: ifnet): if_clone | null {
	const ifc = ifp.if_cloner;
	return ifc?.ifc_iflist.includes(ifp) ? ifc : null;
}

/** Restores the group of an interface that has moved. */
export function if_clone_addgroup(ifp: ifnet, ifc: if_clone): void {
	if_addgroup(ifp, ifc.ifc_name);
}

/** Destroys an interface by name: ENXIO if there is none, EINVAL if it is no clone or may not be destroyed. */
export function* if_clone_destroy(name: string): Blocking<Errno> {
	const ifp = ifunit_ref(name);
	if (ifp === null) return ENXIO;
	const ifc = yield* find_cloner((c) => c.ifc_name === ifp.if_dname);
	const error = ifc === null ? EINVAL : yield* if_clone_destroyif(ifc, ifp);
	if_rele(ifp);
	return error;
}

/** Destroys an interface of a cloner. ENXIO: somebody else is destroying it. */
export function* if_clone_destroyif(ifc: if_clone, ifp: ifnet): Blocking<Errno> {
	if (!ifc.simple && ifc.ifc_destroy === null) return EOPNOTSUPP;
	const saved = CURVNET_SET(ifp.if_vnet);
	yield* mtx_lock(ifc.ifc_mtx);
	const at = ifc.ifc_iflist.indexOf(ifp);
	if (at >= 0) ifc.ifc_iflist.splice(at, 1);
	yield* mtx_unlock(ifc.ifc_mtx);
	if (at < 0) {
		CURVNET_RESTORE(saved);
		return ENXIO;
	}
	if_delgroup(ifp, ifc.ifc_name);
	const error = ifc.simple ? yield* ifc_simple_destroy(ifc, ifp) : yield* (ifc.ifc_destroy as ifc_destroy_t)(ifc, ifp);
	if (error !== 0) {
		if_addgroup(ifp, ifc.ifc_name);
		yield* mtx_lock(ifc.ifc_mtx);
		ifc.ifc_iflist.unshift(ifp);
		yield* mtx_unlock(ifc.ifc_mtx);
	}
	CURVNET_RESTORE(saved);
	return error;
}

function* ifc_simple_destroy(ifc: if_clone, ifp: ifnet): Blocking<Errno> {
	const unit = ifp.if_dunit;
	if (unit < ifc.ifcs_minifs) return EINVAL;
	yield* (ifc.ifcs_destroy as ifcs_destroy_t)(ifp);
	yield* ifc_free_unit(ifc, unit);
	return 0;
}
