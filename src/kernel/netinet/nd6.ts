/**
 * Neighbour discovery's cache: the link address of each IPv6 neighbour on an Ethernet, and packets that wait for one.
 *
 * An entry goes from INCOMPLETE to REACHABLE when its neighbour answers, to STALE when nothing was heard for a while, and,
 * when it is used then, by way of DELAY to PROBE, where it is asked again. Simplified: no routers, prefixes or redirects
 * are learned, no duplicates are detected, and an entry nobody uses stays STALE until its interface goes.
 *
 * @see netinet6/nd6.c; RFC 4861
 */
import { bcopy } from "../../machine/bcopy.ts";
import { callout, callout_init, callout_reset, callout_stop } from "../callout/callout.ts";
import { EHOSTDOWN, ENETDOWN, type Errno, EWOULDBLOCK } from "../errno.ts";
import { ETHER_HDR_LEN, ETHERTYPE_IPV6 } from "../ifnet/ethernet.ts";
import { DOMAIN_SET, type linkhdr, RT_MAY_LOOP } from "../ifnet/if_domain.ts";
import { IFF_UP, type ifnet } from "../ifnet/if_var.ts";
import { NET_EPOCH_ASSERT, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { MTX_DEF, mtx, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { CURVNET_RESTORE, CURVNET_SET, hz } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, icmp6_error } from "./icmp6.ts";
import { AF_INET6, IN6_ARE_ADDR_EQUAL, in_get32, in_put16, type sockaddr, sockaddr_in6 } from "./in.ts";
import { in6_dom_control, in6_dom_purgeaddr, in6_if_up } from "./in6_control.ts";
import { nd6_ns_output } from "./nd6_nbr.ts";

export const ND6_LLINFO_NOSTATE = -2;
export const ND6_LLINFO_INCOMPLETE = 0;
export const ND6_LLINFO_REACHABLE = 1;
export const ND6_LLINFO_STALE = 2;
export const ND6_LLINFO_DELAY = 3;
export const ND6_LLINFO_PROBE = 4;

/** seconds between solicitations; RETRANS_TIMER */
const RETRANS_TIMER_S = 1;
/** seconds an answer counts, REACHABLE_TIME */
const REACHABLE_TIME_S = 30;
/** seconds a stale entry is used before it is asked again, DELAY_FIRST_PROBE_TIME */
const DELAY_FIRST_PROBE_TIME_S = 5;
/** solicitations by multicast and by unicast, nd6_mmaxtries and nd6_umaxtries */
const nd6_maxtries = 3;
/** net.inet6.icmp6.nd6_maxqueuelen: packets that wait for one neighbour */
const nd6_maxqueuelen = 16;

/** a neighbour's link address became known, or changed */
export const nd6_resolved = SDT_PROBE_DEFINE<[ifp: ifnet, addr: Uint8Array]>(
	"nd6:::resolved",
	"ifp: ifnet, addr: bytes",
);

/** A neighbour. @see net/if_llatbl.h struct llentry */
export class nd6_entry {
	readonly ln_addr: Uint8Array;
	readonly ln_ifp: ifnet;
	readonly ln_lock = new mtx();
	readonly ln_timer = new callout();
	ln_next: nd6_entry | null = null;
	ln_state = ND6_LLINFO_NOSTATE;
	ln_router = false;
	ln_deleted = false;
	/** configured, never expires */
	ln_static = false;
	/** the whole link header for packets to it, valid from REACHABLE on */
	readonly r_linkdata = new Uint8Array(ETHER_HDR_LEN);
	r_valid = false;
	la_hold: mbuf | null = null;
	la_numheld = 0;
	la_asked = 0;

	constructor(ifp: ifnet, addr: Uint8Array) {
		this.ln_ifp = ifp;
		this.ln_addr = addr;
		mtx_init(this.ln_lock, "lle", null, MTX_DEF);
		callout_init(this.ln_timer, true);
	}
}

/** The neighbours of an interface; if_afdata[AF_INET6]. @see netinet6/in6_var.h struct in6_ifextra */
export class in6_ifextra {
	readonly lltable = new Map<number, nd6_entry>();
}

function LLTABLE6(ifp: ifnet): in6_ifextra {
	return ifp.if_afdata[AF_INET6] as in6_ifextra;
}

/** The entry of a neighbour, without its lock; null if there is none. */
export function nd6_lookup(addr: Uint8Array, ifp: ifnet): nd6_entry | null {
	let ln = LLTABLE6(ifp).lltable.get(in_get32(addr, 12)) ?? null;
	while (ln !== null && !IN6_ARE_ADDR_EQUAL(ln.ln_addr, addr)) ln = ln.ln_next;
	return ln;
}

/** The entry of a neighbour, made if there is none; not locked. @see nd6.c nd6_alloc */
export function nd6_alloc(addr: Uint8Array, ifp: ifnet): nd6_entry {
	const found = nd6_lookup(addr, ifp);
	if (found !== null) return found;
	const table = LLTABLE6(ifp).lltable;
	const key = in_get32(addr, 12);
	const ln = new nd6_entry(ifp, addr.slice(0, 16));
	ln.ln_next = table.get(key) ?? null;
	table.set(key, ln);
	return ln;
}

function unlink(ln: nd6_entry): void {
	const table = LLTABLE6(ln.ln_ifp).lltable;
	const key = in_get32(ln.ln_addr, 12);
	let at = table.get(key) ?? null;
	if (at === ln) {
		if (ln.ln_next === null) table.delete(key);
		else table.set(key, ln.ln_next);
		return;
	}
	while (at !== null && at.ln_next !== ln) at = at.ln_next;
	if (at !== null) at.ln_next = ln.ln_next;
}

/** Takes the packets that wait; the caller has the lock. */
function take_hold(ln: nd6_entry): mbuf | null {
	const chain = ln.la_hold;
	ln.la_hold = null;
	ln.la_numheld = 0;
	return chain;
}

function free_chain(chain: mbuf | null): void {
	while (chain !== null) {
		const next: mbuf | null = chain.m_nextpkt;
		chain.m_nextpkt = null;
		m_freem(chain);
		chain = next;
	}
}

/** Removes an entry, whose lock is held and is dropped. @returns the packets that waited for it */
function* nd6_free(ln: nd6_entry): Blocking<mbuf | null> {
	const chain = take_hold(ln);
	unlink(ln);
	ln.ln_deleted = true;
	ln.r_valid = false;
	yield* callout_stop(ln.ln_timer);
	yield* mtx_unlock(ln.ln_lock);
	return chain;
}

/** Changes an entry's state and arms the timer that goes with it. Its lock is held. @see nd6.c nd6_llinfo_setstate */
export function* nd6_llinfo_setstate(ln: nd6_entry, state: number): Blocking<void> {
	ln.ln_state = state;
	let seconds = 0;
	switch (state) {
		case ND6_LLINFO_INCOMPLETE:
		case ND6_LLINFO_PROBE:
			seconds = RETRANS_TIMER_S;
			break;
		case ND6_LLINFO_REACHABLE:
			seconds = REACHABLE_TIME_S;
			break;
		case ND6_LLINFO_DELAY:
			ln.la_asked = 0;
			seconds = DELAY_FIRST_PROBE_TIME_S;
			break;
	}
	// a stale entry takes the slow way, where its use is noticed
	ln.r_valid =
		ln.ln_static || state === ND6_LLINFO_REACHABLE || state === ND6_LLINFO_DELAY || state === ND6_LLINFO_PROBE;
	if (seconds > 0 && !ln.ln_static) yield* callout_reset(ln.ln_timer, seconds * hz(), nd6_llinfo_timer, ln);
	else yield* callout_stop(ln.ln_timer);
}

/** An entry's timer. @see nd6.c nd6_llinfo_timer */
function* nd6_llinfo_timer(ln: nd6_entry): Blocking<void> {
	if (ln.ln_deleted) return;
	yield* mtx_lock(ln.ln_lock);
	if (ln.ln_deleted) {
		yield* mtx_unlock(ln.ln_lock);
		return;
	}
	const ifp = ln.ln_ifp;
	const saved = CURVNET_SET(ifp.if_vnet);
	NET_EPOCH_ENTER();
	let unicast = false;
	let ask = false;
	switch (ln.ln_state) {
		case ND6_LLINFO_INCOMPLETE:
			ask = ln.la_asked < nd6_maxtries;
			break;
		case ND6_LLINFO_REACHABLE:
			yield* nd6_llinfo_setstate(ln, ND6_LLINFO_STALE);
			yield* mtx_unlock(ln.ln_lock);
			NET_EPOCH_EXIT();
			CURVNET_RESTORE(saved);
			return;
		case ND6_LLINFO_DELAY:
			ask = true;
			unicast = true;
			break;
		case ND6_LLINFO_PROBE:
			ask = ln.la_asked < nd6_maxtries;
			unicast = true;
			break;
	}
	if (ask) {
		ln.la_asked++;
		yield* nd6_llinfo_setstate(ln, unicast ? ND6_LLINFO_PROBE : ND6_LLINFO_INCOMPLETE);
		const target = ln.ln_addr;
		yield* mtx_unlock(ln.ln_lock);
		yield* nd6_ns_output(ifp, unicast ? target : null, target);
	} else {
		// nobody there: the first packet that waits is answered, the others are dropped
		const chain = yield* nd6_free(ln);
		if (chain !== null) {
			const rest = chain.m_nextpkt;
			chain.m_nextpkt = null;
			yield* icmp6_error(chain, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, 0);
			free_chain(rest);
		}
	}
	NET_EPOCH_EXIT();
	CURVNET_RESTORE(saved);
}

/**
 * Finds the link header for a packet to a neighbour.
 *
 * @returns 0; EWOULDBLOCK: the packet is kept until the answer comes; ENETDOWN: it was freed
 */
export function* nd6_resolve(ifp: ifnet, _is_gw: number, m: mbuf, dst: sockaddr, lh: linkhdr): Blocking<Errno> {
	NET_EPOCH_ASSERT();
	charge(cost.nd6_resolve);
	const addr = (dst as sockaddr_in6).sin6_addr;
	const ln = nd6_lookup(addr, ifp);
	if (ln?.r_valid === true) {
		use_entry(ln, lh);
		return 0;
	}
	return yield* nd6_resolve_slow(ifp, m, addr, lh);
}

function use_entry(ln: nd6_entry, lh: linkhdr): void {
	bcopy(ln.r_linkdata, 0, lh.buf, 0, ETHER_HDR_LEN);
	lh.pflags = RT_MAY_LOOP;
}

function* nd6_resolve_slow(ifp: ifnet, m: mbuf, addr: Uint8Array, lh: linkhdr): Blocking<Errno> {
	if ((ifp.if_flags & IFF_UP) === 0) {
		m_freem(m);
		return ENETDOWN;
	}
	const ln = nd6_alloc(addr, ifp);
	yield* mtx_lock(ln.ln_lock);
	if (ln.ln_deleted) {
		yield* mtx_unlock(ln.ln_lock);
		m_freem(m);
		return EHOSTDOWN;
	}
	if (ln.ln_state === ND6_LLINFO_STALE) yield* nd6_llinfo_setstate(ln, ND6_LLINFO_DELAY);
	if (ln.ln_state > ND6_LLINFO_INCOMPLETE) {
		yield* mtx_unlock(ln.ln_lock);
		use_entry(ln, lh);
		return 0;
	}
	m.m_nextpkt = null;
	if (ln.la_hold === null) ln.la_hold = m;
	else {
		let last = ln.la_hold;
		while (last.m_nextpkt !== null) last = last.m_nextpkt;
		last.m_nextpkt = m;
	}
	if (++ln.la_numheld > nd6_maxqueuelen) {
		const oldest = ln.la_hold;
		ln.la_hold = oldest.m_nextpkt;
		oldest.m_nextpkt = null;
		m_freem(oldest);
		ln.la_numheld--;
	}
	const first = ln.la_asked === 0;
	if (first) {
		ln.la_asked++;
		yield* nd6_llinfo_setstate(ln, ND6_LLINFO_INCOMPLETE);
	}
	yield* mtx_unlock(ln.ln_lock);
	if (first) yield* nd6_ns_output(ifp, null, ln.ln_addr);
	return EWOULDBLOCK;
}

/**
 * Notes a neighbour's link address in its entry, whose lock is held and is dropped; packets that waited go out.
 *
 * @param lladdr six bytes at `off` of `buf`
 * @param state what the entry becomes
 */
export function* nd6_set_lladdr(ln: nd6_entry, buf: Uint8Array, off: number, state: number): Blocking<void> {
	const ifp = ln.ln_ifp;
	const data = ln.r_linkdata;
	for (let i = 0; i < 6; i++) data[i] = buf[off + i];
	for (let i = 0; i < 6; i++) data[6 + i] = ifp.if_hw_addr[i];
	in_put16(data, 12, ETHERTYPE_IPV6);
	ln.la_asked = 0;
	yield* nd6_llinfo_setstate(ln, state);
	let chain = take_hold(ln);
	yield* mtx_unlock(ln.ln_lock);
	if (nd6_resolved.on !== null) nd6_resolved.on(ifp, ln.ln_addr);
	if (chain === null) return;
	const dst = new sockaddr_in6(ln.ln_addr);
	while (chain !== null) {
		const m: mbuf = chain;
		chain = m.m_nextpkt;
		m.m_nextpkt = null;
		yield* ifp.if_output(ifp, m, dst, null);
	}
}

/**
 * Learns the link address that a neighbour's own message carries; a new or changed one is STALE until confirmed.
 *
 * @see nd6.c nd6_cache_lladdr
 */
export function* nd6_cache_lladdr(ifp: ifnet, from: Uint8Array, buf: Uint8Array, off: number): Blocking<void> {
	const ln = nd6_alloc(from, ifp);
	yield* mtx_lock(ln.ln_lock);
	if (ln.ln_deleted || ln.ln_static) {
		yield* mtx_unlock(ln.ln_lock);
		return;
	}
	let changed = ln.ln_state <= ND6_LLINFO_INCOMPLETE;
	for (let i = 0; i < 6; i++) if (ln.r_linkdata[i] !== buf[off + i]) changed = true;
	if (changed) yield* nd6_set_lladdr(ln, buf, off, ND6_LLINFO_STALE);
	else yield* mtx_unlock(ln.ln_lock);
}

/** Enters a neighbour that never expires, as `ndp -s` does. */
export function* nd6_add_static(ifp: ifnet, addr: Uint8Array, lladdr: Uint8Array): Blocking<void> {
	const ln = nd6_alloc(addr, ifp);
	yield* mtx_lock(ln.ln_lock);
	ln.ln_static = true;
	yield* nd6_set_lladdr(ln, lladdr, 0, ND6_LLINFO_REACHABLE);
}

/** Every neighbour of an interface, for `ndp -a`. */
export function nd6_entries(ifp: ifnet): nd6_entry[] {
	const out: nd6_entry[] = [];
	for (const first of LLTABLE6(ifp).lltable.values())
		for (let ln: nd6_entry | null = first; ln !== null; ln = ln.ln_next) out.push(ln);
	return out;
}

/** Forgets all neighbours, when the interface goes. @see nd6.c nd6_purge, nd6_ifdetach */
function* nd6_ifdetach(ifp: ifnet, _aux: unknown): Blocking<void> {
	for (const ln of nd6_entries(ifp)) {
		yield* mtx_lock(ln.ln_lock);
		free_chain(yield* nd6_free(ln));
	}
}

DOMAIN_SET({
	dom_family: AF_INET6,
	dom_name: "internet6",
	dom_ifattach: () => new in6_ifextra(),
	dom_ifdetach: nd6_ifdetach,
	dom_control: in6_dom_control,
	dom_purgeaddr: in6_dom_purgeaddr,
	dom_if_up: in6_if_up,
	dom_resolve: nd6_resolve,
});
