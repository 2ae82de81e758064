/**
 * A socket option on its way between a caller and a protocol.
 *
 * @see sys/sockopt.h
 */
import { EINVAL, type Errno } from "../errno.ts";
import type { thread } from "../sched/thread.ts";

export const SOPT_GET = 0;
export const SOPT_SET = 1;

/** Values are JavaScript numbers where C has int, and the struct itself where C has a struct. */
export class sockopt {
	sopt_dir = SOPT_SET;
	sopt_level = 0;
	sopt_name = 0;
	sopt_val: number | object | string | null = null;
	sopt_td: thread | null = null;

	constructor(dir = SOPT_SET, level = 0, name = 0, val: number | object | string | null = null) {
		this.sopt_dir = dir;
		this.sopt_level = level;
		this.sopt_name = name;
		this.sopt_val = val;
	}
}

/** An option's int; anything else counts as too short a buffer. @returns the value, or null for EINVAL */
export function sooptcopyin_int(sopt: sockopt): number | null {
	return typeof sopt.sopt_val === "number" && Number.isInteger(sopt.sopt_val) ? sopt.sopt_val : null;
}

export function sooptcopyin<T extends object>(sopt: sockopt): T | null {
	return typeof sopt.sopt_val === "object" ? (sopt.sopt_val as T | null) : null;
}

/** Hands a value back to the caller. */
export function sooptcopyout(sopt: sockopt, val: number | object | string): Errno {
	if (sopt.sopt_dir !== SOPT_GET) return EINVAL;
	sopt.sopt_val = val;
	return 0;
}
