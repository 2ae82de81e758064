/**
 * UMA's checks of an INVARIANTS kernel: which items are in use, and whether a freed one was written to. Off unless the loader
 * tunable vm.debug.divisor is set, because they cost host time on every allocation; they cost no simulated time.
 *
 * @see vm/uma_dbg.c
 */
import { panic } from "../sched/kernel.ts";
import { item_bytes } from "./uma_memory.ts";

/** 0xdeadc0de in memory order, what freed bytes are filled with */
const junk = [0xde, 0xc0, 0xad, 0xde];

/** What is known of the items of one zone. */
export class uma_dbg<T extends object> {
	readonly name: string;
	readonly used = new Set<T>();
	/** memory filled with junk, because it was freed at least once */
	readonly trashed = new Set<T>();

	constructor(name: string) {
		this.name = name;
	}
}

/** Notes that an item is in use; panics if it already was, or if a byte of it changed while it was free. */
export function uma_dbg_alloc<T extends object>(dbg: uma_dbg<T>, item: T): void {
	if (dbg.used.has(item)) panic(`Duplicate alloc of item in zone ${dbg.name}`);
	dbg.used.add(item);
	const bytes = item_bytes(item);
	if (bytes === null || !dbg.trashed.has(item)) return;
	for (let i = 0; i < bytes.length; i++) {
		if (bytes[i] !== junk[i & 3]) panic(`Memory modified after free in zone ${dbg.name} at byte ${i}`);
	}
}

/** Notes that an item is free; panics if it already was. */
export function uma_dbg_free<T extends object>(dbg: uma_dbg<T>, item: T): void {
	if (!dbg.used.delete(item)) panic(`Duplicate free of item in zone ${dbg.name}`);
	const bytes = item_bytes(item);
	if (bytes === null) return;
	for (let i = 0; i < bytes.length; i++) bytes[i] = junk[i & 3];
	dbg.trashed.add(item);
}
