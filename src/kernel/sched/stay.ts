/**
 * Waiting without leaving: while a thread waits for the clock, its functions can stay on the host's stack, and what is due before
 * runs above them. It is only a quicker way to save and restore them, and nobody can tell. Only the topmost can go on, so one that
 * would wait for longer than the one below does not stay; and if that one's turn comes sooner than it looked, those above leave as if they
 * had at once.
 */
import type { Event } from "../../machine/event.ts";
import { set_stay } from "./frame.ts";
import { curkernel } from "./kernel.ts";
import { curthread, hostthread, leave_curthread, type thread } from "./thread.ts";
import { curpcpu, start_stretch } from "./ule.ts";

/** So many may stay: each takes some of the host's stack. */
const STAYING_MAX = 8;

/** how many do */
let staying = 0;
/** ends the topmost one's wait */
let next: Event | null = null;
/** the one whose turn it is */
let called: thread | null = null;
/** all must leave */
let leaving = false;
/** what was thrown above them */
let thrown: { readonly reason: unknown } | null = null;
/** the topmost one is leaving */
let left = false;

/** How a thread waits in its functions. @returns whether it was its turn, else it has to leave them */
function stay_on_stack(): boolean {
	const td = curthread;
	if (staying === STAYING_MAX || td === hostthread || td.td_pending === 0) return false;
	if (td.td_owepreempt && td.td_critnest === 0) return false;
	const { events } = curkernel.machine;
	const below = next;
	if (below?.scheduled && !td.td_spinning && events.now + td.td_pending >= below.time) return false;
	const pc = curpcpu();
	next = pc.stretch;
	leave_curthread();
	start_stretch(pc);
	td.td_stays = true;
	staying++;
	try {
		while (called === null && !leaving && events.step(events.until));
	} catch (reason) {
		// it is not for the functions below to catch
		thrown = { reason };
		leaving = true;
	}
	staying--;
	next = below;
	td.td_stays = false;
	if (called === td) {
		called = null;
		return true;
	}
	left = true;
	return false;
}

set_stay(stay_on_stack);

/** It is the turn of `td`, which stays: those above it leave. */
export function stay_over(td: thread): void {
	called = td;
}

/** All leave: whoever drives the machine wants to see what has happened. */
export function stay_none(): void {
	if (staying > 0) leaving = true;
}

/**
 * Whether a thread that was let go on has left its functions because it could not stay: then its wait has been seen to.
 *
 * @throws what was thrown above, once all have left
 */
export function stay_left(): boolean {
	if (!left) return false;
	left = false;
	if (staying > 0) return true;
	leaving = false;
	if (thrown === null) return true;
	const { reason } = thrown;
	thrown = null;
	throw reason;
}
