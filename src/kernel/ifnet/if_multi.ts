/**
 * Multicast groups of an interface, counted: the first membership tells the driver, the last leaving does.
 *
 * Simplified: the link-layer groups have no records of their own; no interface here filters by them.
 *
 * @see net/if.c if_addmulti, if_delmulti_locked, if_findmulti
 */
import { ENOENT, type Errno } from "../errno.ts";
import { mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import {
	AF_INET,
	AF_INET6,
	IN6_ARE_ADDR_EQUAL,
	type sockaddr,
	type sockaddr_in,
	type sockaddr_in6,
} from "../netinet/in.ts";
import type { Blocking } from "../sched/thread.ts";
import { ifmultiaddr, type ifnet } from "./if_var.ts";
import { ifreq, SIOCADDMULTI, SIOCDELMULTI } from "./sockio.ts";

function same_group(a: sockaddr, b: sockaddr): boolean {
	if (a.sa_family !== b.sa_family) return false;
	if (a.sa_family === AF_INET) return (a as sockaddr_in).sin_addr === (b as sockaddr_in).sin_addr;
	if (a.sa_family === AF_INET6) return IN6_ARE_ADDR_EQUAL((a as sockaddr_in6).sin6_addr, (b as sockaddr_in6).sin6_addr);
	return false;
}

export function if_findmulti(ifp: ifnet, sa: sockaddr): ifmultiaddr | null {
	return ifp.if_multiaddrs.find((ifma) => same_group(ifma.ifma_addr, sa)) ?? null;
}

function* tell_driver(ifp: ifnet, cmd: number, sa: sockaddr): Blocking<void> {
	if (ifp.if_ioctl === null) return;
	const ifr = new ifreq(ifp.if_xname);
	ifr.ifr_addr = sa;
	yield* ifp.if_ioctl(ifp, cmd, ifr);
}

/** Joins a group, or counts one more membership. A number is an error. */
export function* if_addmulti(ifp: ifnet, sa: sockaddr): Blocking<ifmultiaddr | Errno> {
	yield* mtx_lock(ifp.if_addr_lock);
	const known = if_findmulti(ifp, sa);
	if (known !== null) {
		known.ifma_refcount++;
		yield* mtx_unlock(ifp.if_addr_lock);
		return known;
	}
	const lladdr = ifp.if_resolvemulti === null ? null : ifp.if_resolvemulti(ifp, sa);
	if (typeof lladdr === "number") {
		yield* mtx_unlock(ifp.if_addr_lock);
		return lladdr;
	}
	const ifma = new ifmultiaddr(ifp, sa);
	ifma.ifma_lladdr = lladdr;
	ifp.if_multiaddrs.push(ifma);
	yield* mtx_unlock(ifp.if_addr_lock);
	yield* tell_driver(ifp, SIOCADDMULTI, sa);
	return ifma;
}

/** Gives a membership up. */
export function* if_delmulti_ifma(ifma: ifmultiaddr): Blocking<void> {
	const ifp = ifma.ifma_ifp;
	yield* mtx_lock(ifp.if_addr_lock);
	const at = --ifma.ifma_refcount === 0 ? ifp.if_multiaddrs.indexOf(ifma) : -1;
	if (at >= 0) ifp.if_multiaddrs.splice(at, 1);
	yield* mtx_unlock(ifp.if_addr_lock);
	if (at >= 0) yield* tell_driver(ifp, SIOCDELMULTI, ifma.ifma_addr);
}

export function* if_delmulti(ifp: ifnet, sa: sockaddr): Blocking<Errno> {
	const ifma = if_findmulti(ifp, sa);
	if (ifma === null) return ENOENT;
	yield* if_delmulti_ifma(ifma);
	return 0;
}

/** Forgets all groups of an interface that goes; their families gave theirs up before. */
export function* if_purgemaddrs(ifp: ifnet): Blocking<void> {
	yield* mtx_lock(ifp.if_addr_lock);
	ifp.if_multiaddrs.length = 0;
	yield* mtx_unlock(ifp.if_addr_lock);
}
