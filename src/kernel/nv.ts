/**
 * nv(9): lists of named, typed values, the form in which a configuration too big for a struct crosses an ioctl.
 *
 * Names are unique unless the list is made with NV_FLAG_NO_UNIQUE. The first error sticks to the list: whoever fills one
 * checks once, when it is packed. User programs use the same code as the kernel, and their lists are counted with the
 * kernel's under the malloc type "nvlist", so that a list nobody destroyed shows at the end of a run. Descriptors
 * cannot be in a list, as in FreeBSD's kernel.
 *
 * @see sys/nv.h, contrib/libnv/nvlist.c, contrib/libnv/bsd_nvpair.c
 */
import { EEXIST, EINVAL, ENAMETOOLONG, ENOMEM, type Errno } from "./errno.ts";
import { free_account, MALLOC_DEFINE, malloc_account } from "./mbuf/malloc.ts";
import { M_WAITOK } from "./mbuf/uma.ts";
import { panic } from "./sched/kernel.ts";

export const NV_NAME_MAX = 2048;

export const NV_TYPE_NONE = 0;
export const NV_TYPE_NULL = 1;
export const NV_TYPE_BOOL = 2;
export const NV_TYPE_NUMBER = 3;
export const NV_TYPE_STRING = 4;
export const NV_TYPE_NVLIST = 5;
export const NV_TYPE_BINARY = 7;
export const NV_TYPE_BOOL_ARRAY = 8;
export const NV_TYPE_NUMBER_ARRAY = 9;
export const NV_TYPE_STRING_ARRAY = 10;
export const NV_TYPE_NVLIST_ARRAY = 11;

/** names are compared without regard to case */
export const NV_FLAG_IGNORE_CASE = 0x01;
/** names need not be unique */
export const NV_FLAG_NO_UNIQUE = 0x02;
export const NV_FLAG_PUBLIC_MASK = NV_FLAG_IGNORE_CASE | NV_FLAG_NO_UNIQUE;

export const M_NVLIST = MALLOC_DEFINE("nvlist", "kernel nvlist");

/** what one list and one pair take, without their data, on a 64-bit machine */
const LIST_BYTES = 56;
const PAIR_BYTES = 64;

/** Numbers are kept as 64-bit integers, so that packing gives back what unpacking took. */
export type nv_value =
	| null
	| boolean
	| bigint
	| string
	| Uint8Array
	| nvlist
	| readonly boolean[]
	| readonly bigint[]
	| readonly string[]
	| readonly nvlist[];

export class nvpair {
	readonly nvp_name: string;
	readonly nvp_type: number;
	readonly nvp_data: nv_value;

	constructor(name: string, type: number, data: nv_value) {
		this.nvp_name = name;
		this.nvp_type = type;
		this.nvp_data = data;
	}
}

const type_names: Readonly<Record<number, string>> = {
	[NV_TYPE_NULL]: "NULL",
	[NV_TYPE_BOOL]: "BOOL",
	[NV_TYPE_NUMBER]: "NUMBER",
	[NV_TYPE_STRING]: "STRING",
	[NV_TYPE_NVLIST]: "NVLIST",
	[NV_TYPE_BINARY]: "BINARY",
	[NV_TYPE_BOOL_ARRAY]: "BOOL ARRAY",
	[NV_TYPE_NUMBER_ARRAY]: "NUMBER ARRAY",
	[NV_TYPE_STRING_ARRAY]: "STRING ARRAY",
	[NV_TYPE_NVLIST_ARRAY]: "NVLIST ARRAY",
};

function to_uint64(value: number | bigint): bigint {
	return BigInt.asUintN(64, BigInt(value));
}

export class nvlist {
	nvl_error: Errno = 0;
	nvl_flags: number;
	/** the list this one is a value in */
	nvl_parent: nvlist | null = null;
	/** the next list of the array this one is in */
	nvl_array_next: nvlist | null = null;
	/** in the order they were added */
	readonly nvl_head: nvpair[] = [];

	constructor(flags: number) {
		this.nvl_flags = flags;
	}
}

/** An empty list; it ends with nvlist_destroy. */
export function nvlist_create(flags: number): nvlist {
	malloc_account(M_NVLIST, LIST_BYTES, M_WAITOK);
	return new nvlist(flags);
}

/** Frees a list and all lists in it; null is allowed. Not recursive: lists from outside may be nested deeply. */
export function nvlist_destroy(nvl: nvlist | null): void {
	if (nvl === null) return;
	const left: nvlist[] = [nvl];
	for (let list = left.pop(); list !== undefined; list = left.pop()) {
		for (const nvp of list.nvl_head) {
			if (nvp.nvp_type === NV_TYPE_NVLIST) left.push(nvp.nvp_data as nvlist);
			else if (nvp.nvp_type === NV_TYPE_NVLIST_ARRAY) for (const item of nvp.nvp_data as nvlist[]) left.push(item);
			free_account(M_NVLIST, PAIR_BYTES);
		}
		list.nvl_head.length = 0;
		free_account(M_NVLIST, LIST_BYTES);
	}
}

export function nvlist_error(nvl: nvlist | null): Errno {
	return nvl === null ? ENOMEM : nvl.nvl_error;
}

export function nvlist_set_error(nvl: nvlist, error: Errno): void {
	if (nvl.nvl_error === 0) nvl.nvl_error = error;
}

export function nvlist_empty(nvl: nvlist): boolean {
	return nvl.nvl_head.length === 0;
}

export function nvlist_flags(nvl: nvlist): number {
	return nvl.nvl_flags & NV_FLAG_PUBLIC_MASK;
}

/** The pair of that name, of any type with NV_TYPE_NONE. @see nvlist.c nvlist_find */
function nvlist_find(nvl: nvlist, type: number, name: string): nvpair | null {
	const fold = (nvl.nvl_flags & NV_FLAG_IGNORE_CASE) !== 0;
	const wanted = fold ? name.toLowerCase() : name;
	for (const nvp of nvl.nvl_head) {
		if (type !== NV_TYPE_NONE && nvp.nvp_type !== type) continue;
		if ((fold ? nvp.nvp_name.toLowerCase() : nvp.nvp_name) === wanted) return nvp;
	}
	return null;
}

/** Adds a pair whose data belong to the list from now on. False, and an error in the list, if that cannot be. */
export function nvlist_move_nvpair(nvl: nvlist, nvp: nvpair): boolean {
	if (nvl.nvl_error !== 0) return false;
	if (nvp.nvp_name.length >= NV_NAME_MAX) nvlist_set_error(nvl, ENAMETOOLONG);
	else if ((nvl.nvl_flags & NV_FLAG_NO_UNIQUE) === 0 && nvlist_exists(nvl, nvp.nvp_name)) nvlist_set_error(nvl, EEXIST);
	if (nvl.nvl_error !== 0) return false;
	malloc_account(M_NVLIST, PAIR_BYTES, M_WAITOK);
	nvl.nvl_head.push(nvp);
	return true;
}

function add(nvl: nvlist, name: string, type: number, data: nv_value, size = 1): void {
	if (size === 0) nvlist_set_error(nvl, EINVAL);
	nvlist_move_nvpair(nvl, new nvpair(name, type, data));
}

export function nvlist_add_null(nvl: nvlist, name: string): void {
	add(nvl, name, NV_TYPE_NULL, null);
}

export function nvlist_add_bool(nvl: nvlist, name: string, value: boolean): void {
	add(nvl, name, NV_TYPE_BOOL, value);
}

/** Adds a 64-bit unsigned number; a negative one wraps, as in C. */
export function nvlist_add_number(nvl: nvlist, name: string, value: number | bigint): void {
	add(nvl, name, NV_TYPE_NUMBER, to_uint64(value));
}

export function nvlist_add_string(nvl: nvlist, name: string, value: string): void {
	add(nvl, name, NV_TYPE_STRING, value);
}

/** Adds a copy of the first `size` bytes of `value`. */
export function nvlist_add_binary(nvl: nvlist, name: string, value: Uint8Array, size = value.length): void {
	add(nvl, name, NV_TYPE_BINARY, value.slice(0, size), size);
}

export function nvlist_add_bool_array(nvl: nvlist, name: string, value: readonly boolean[]): void {
	add(nvl, name, NV_TYPE_BOOL_ARRAY, value.slice(), value.length);
}

export function nvlist_add_number_array(nvl: nvlist, name: string, value: readonly (number | bigint)[]): void {
	add(nvl, name, NV_TYPE_NUMBER_ARRAY, value.map(to_uint64), value.length);
}

export function nvlist_add_string_array(nvl: nvlist, name: string, value: readonly string[]): void {
	add(nvl, name, NV_TYPE_STRING_ARRAY, value.slice(), value.length);
}

/** Adds lists that belong to `nvl` from now on, also when they could not be added. */
function move_lists(nvl: nvlist, name: string, type: number, lists: readonly nvlist[]): void {
	if (lists.length === 0) nvlist_set_error(nvl, EINVAL);
	for (const [i, list] of lists.entries()) {
		if (list.nvl_error !== 0) nvlist_set_error(nvl, list.nvl_error);
		list.nvl_parent = nvl;
		list.nvl_array_next = lists[i + 1] ?? null;
	}
	const data = type === NV_TYPE_NVLIST ? lists[0] : lists;
	if (!nvlist_move_nvpair(nvl, new nvpair(name, type, data))) for (const list of lists) nvlist_destroy(list);
}

/** Adds a copy of a list; the caller keeps its own. */
export function nvlist_add_nvlist(nvl: nvlist, name: string, value: nvlist): void {
	move_lists(nvl, name, NV_TYPE_NVLIST, [nvlist_clone(value)]);
}

/** Adds copies of lists; the caller keeps its own. */
export function nvlist_add_nvlist_array(nvl: nvlist, name: string, value: readonly nvlist[]): void {
	move_lists(nvl, name, NV_TYPE_NVLIST_ARRAY, value.map(nvlist_clone));
}

/** A copy of a list with all that is in it. */
export function nvlist_clone(nvl: nvlist): nvlist {
	const copy = nvlist_create(nvl.nvl_flags & NV_FLAG_PUBLIC_MASK);
	for (const nvp of nvl.nvl_head) {
		const data = nvp.nvp_data;
		if (nvp.nvp_type === NV_TYPE_NVLIST) nvlist_add_nvlist(copy, nvp.nvp_name, data as nvlist);
		else if (nvp.nvp_type === NV_TYPE_NVLIST_ARRAY) nvlist_add_nvlist_array(copy, nvp.nvp_name, data as nvlist[]);
		else add(copy, nvp.nvp_name, nvp.nvp_type, data instanceof Uint8Array ? data.slice() : data);
	}
	copy.nvl_error = nvl.nvl_error;
	return copy;
}

export function nvlist_exists(nvl: nvlist, name: string): boolean {
	return nvlist_find(nvl, NV_TYPE_NONE, name) !== null;
}

export function nvlist_exists_type(nvl: nvlist, name: string, type: number): boolean {
	return nvlist_find(nvl, type, name) !== null;
}

export function nvlist_exists_bool(nvl: nvlist, name: string): boolean {
	return nvlist_exists_type(nvl, name, NV_TYPE_BOOL);
}

export function nvlist_exists_number(nvl: nvlist, name: string): boolean {
	return nvlist_exists_type(nvl, name, NV_TYPE_NUMBER);
}

export function nvlist_exists_string(nvl: nvlist, name: string): boolean {
	return nvlist_exists_type(nvl, name, NV_TYPE_STRING);
}

export function nvlist_exists_binary(nvl: nvlist, name: string): boolean {
	return nvlist_exists_type(nvl, name, NV_TYPE_BINARY);
}

export function nvlist_exists_nvlist(nvl: nvlist, name: string): boolean {
	return nvlist_exists_type(nvl, name, NV_TYPE_NVLIST);
}

export function nvlist_exists_nvlist_array(nvl: nvlist, name: string): boolean {
	return nvlist_exists_type(nvl, name, NV_TYPE_NVLIST_ARRAY);
}

/** The data of a pair that must be there: to ask for one that is not is the caller's mistake, and a panic. */
function get(nvl: nvlist, name: string, type: number): nv_value {
	const nvp = nvlist_find(nvl, type, name);
	if (nvp === null) panic(`Element '${name}' of type ${type_names[type]} doesn't exist.`);
	return nvp.nvp_data;
}

export function nvlist_get_bool(nvl: nvlist, name: string): boolean {
	return get(nvl, name, NV_TYPE_BOOL) as boolean;
}

/** As a JavaScript number: above 2^53 it is rounded, which no bound that a caller checks is near. */
export function nvlist_get_number(nvl: nvlist, name: string): number {
	return Number(get(nvl, name, NV_TYPE_NUMBER) as bigint);
}

export function nvlist_get_string(nvl: nvlist, name: string): string {
	return get(nvl, name, NV_TYPE_STRING) as string;
}

/** The list's own bytes; their length is the size. */
export function nvlist_get_binary(nvl: nvlist, name: string): Uint8Array {
	return get(nvl, name, NV_TYPE_BINARY) as Uint8Array;
}

export function nvlist_get_nvlist(nvl: nvlist, name: string): nvlist {
	return get(nvl, name, NV_TYPE_NVLIST) as nvlist;
}

export function nvlist_get_nvlist_array(nvl: nvlist, name: string): readonly nvlist[] {
	return get(nvl, name, NV_TYPE_NVLIST_ARRAY) as readonly nvlist[];
}

export function nvlist_get_bool_array(nvl: nvlist, name: string): readonly boolean[] {
	return get(nvl, name, NV_TYPE_BOOL_ARRAY) as readonly boolean[];
}

export function nvlist_get_number_array(nvl: nvlist, name: string): readonly bigint[] {
	return get(nvl, name, NV_TYPE_NUMBER_ARRAY) as readonly bigint[];
}

export function nvlist_get_string_array(nvl: nvlist, name: string): readonly string[] {
	return get(nvl, name, NV_TYPE_STRING_ARRAY) as readonly string[];
}

export { nvlist_pack, nvlist_size, nvlist_unpack } from "./nv_pack.ts";
