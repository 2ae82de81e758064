/**
 * What is left of a detached interface: methods that free what they are given, for those who still have a pointer to it.
 *
 * @see net/if_dead.c
 */
import { ENXIO, type Errno } from "../errno.ts";
import { m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { type Blocking, DONE, done } from "../sched/thread.ts";
import type { ifnet } from "./if_var.ts";

function ifdead_transmit(_ifp: ifnet, m: mbuf): Blocking<Errno> {
	m_freem(m);
	return done(ENXIO);
}

function ifdead_input(_ifp: ifnet, m: mbuf): Blocking<void> {
	m_freem(m);
	return DONE;
}

function ifdead_ioctl(): Blocking<Errno> {
	return done(ENXIO);
}

function ifdead_nothing(): Blocking<void> {
	return DONE;
}

function ifdead_resolvemulti(): null {
	return null;
}

function ifdead_get_counter(): number {
	return 0;
}

export function if_dead(ifp: ifnet): void {
	ifp.if_output = ifdead_transmit;
	ifp.if_input = ifdead_input;
	ifp.if_start = ifdead_nothing;
	ifp.if_ioctl = ifdead_ioctl;
	ifp.if_resolvemulti = ifdead_resolvemulti;
	ifp.if_qflush = ifdead_nothing;
	ifp.if_transmit = ifdead_transmit;
	ifp.if_get_counter = ifdead_get_counter;
}
