/**
 * A flat file system in memory, one for the whole machine: enough for keys and configuration files.
 */
import { KERNEL_GLOBAL } from "../kernel/sched/kernel.ts";

const files = KERNEL_GLOBAL(() => new Map<string, string>());

export function write_file(path: string, text: string): void {
	files().set(path, text);
}

/** The contents of a file, or null if there is none. */
export function read_file(path: string): string | null {
	return files().get(path) ?? null;
}

export function unlink(path: string): void {
	files().delete(path);
}
