/**
 * module(9): what a module is told when it is loaded and unloaded.
 *
 * Modules are part of the program here, so loading one is calling its handler.
 *
 * @see kern_module.c module_register_init; sys/module.h
 */
import type { Errno } from "./errno.ts";
import type { Blocking } from "./sched/thread.ts";

export const MOD_LOAD = 0;
export const MOD_UNLOAD = 1;

/** @param what MOD_LOAD, MOD_UNLOAD, ... */
export type modeventhand_t = (what: number) => Blocking<Errno>;

/** Loads a module. One that fails to load is told to unload, whatever it has taken back by itself. @returns its error */
export function* module_register_init(handler: modeventhand_t): Blocking<Errno> {
	const error = yield* handler(MOD_LOAD);
	if (error !== 0) yield* handler(MOD_UNLOAD);
	return error;
}
