/**
 * Routes: IPv4 lookups, and what other parts of the kernel know of routing.
 *
 * @see netinet/in_fib.c fib4_lookup; net/route.h
 */

import type { Errno } from "../errno.ts";
import type { ifaddr, ifnet } from "../ifnet/if_var.ts";
import { AF_INET, AF_INET6, in_put32, type sockaddr } from "../netinet/in.ts";
import { type Blocking, cost, curthread } from "../sched/thread.ts";
import { type nhop_object, RT_LINK_IS_UP } from "./nhop.ts";
import { RTF_GATEWAY, RTM_ADD, RTM_DELETE, rib_action, rt_addrinfo, rt_tables_get_rnh, type rtentry } from "./rib.ts";

export * from "./nhop.ts";
export * from "./rib.ts";
export * from "./route6.ts";

/** the nexthop is referenced, or may be cached: nothing to do here */
export const NHR_NONE = 0;
export const NHR_REF = 1;

/** The nexthop for an IPv4 destination, or null. Inside the network epoch. */
export function fib4_lookup(
	fibnum: number,
	dst: number,
	_scopeid: number,
	_flags: number,
	_flowid: number,
): nhop_object | null {
	curthread.td_pending += cost.fib_lookup;
	const rib = rt_tables_get_rnh(fibnum, AF_INET);
	if (rib === null) return null;
	in_put32(rib.key, 4, dst);
	const rn = rib.rnh.rnh_matchaddr(rib.key, rib.rnh.rh);
	if (rn === null) return null;
	const nh = (rn.rn_owner as rtentry).rt_nhop;
	return RT_LINK_IS_UP(nh.nh_ifp) ? nh : null;
}

/** Generation of a FIB's table: a cached route looked up at another is stale. */
export function rt_generation(fibnum: number, family: number): number {
	const rib = rt_tables_get_rnh(fibnum, family);
	return rib === null ? 0 : rib.rnh_gen;
}

function full_length(family: number): number {
	return family === AF_INET6 ? 128 : 32;
}

/**
 * Adds a route, as route(8) does.
 *
 * @param prefixlen null for a host
 * @param gateway null for a directly connected network, which needs `ifp`
 */
export function* rt_add(
	fibnum: number,
	dst: sockaddr,
	prefixlen: number | null,
	gateway: sockaddr | null,
	ifp: ifnet | null,
	ifa: ifaddr | null,
	flags = 0,
): Blocking<Errno> {
	const info = new rt_addrinfo(dst, prefixlen ?? full_length(dst.sa_family));
	info.rti_gateway = gateway;
	info.rti_flags = flags | (gateway === null ? 0 : RTF_GATEWAY);
	info.rti_ifp = ifp;
	info.rti_ifa = ifa;
	return yield* rib_action(fibnum, RTM_ADD, info);
}

/** Deletes the route to exactly this prefix. */
export function* rt_delete(fibnum: number, dst: sockaddr, prefixlen: number | null, flags = 0): Blocking<Errno> {
	const info = new rt_addrinfo(dst, prefixlen ?? full_length(dst.sa_family));
	info.rti_flags = flags;
	return yield* rib_action(fibnum, RTM_DELETE, info);
}
