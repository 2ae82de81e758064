/**
 * IPv6 route lookups.
 *
 * @see netinet6/in6_fib.c fib6_lookup
 */
import { AF_INET6, IN6_IS_SCOPE_EMBED } from "../netinet/in.ts";
import { cost, curthread } from "../sched/thread.ts";
import { type nhop_object, RT_LINK_IS_UP } from "./nhop.ts";
import { rt_tables_get_rnh, type rtentry } from "./rib.ts";

/**
 * The nexthop for an IPv6 destination, or null. A link-local destination without an embedded zone gets that of `scopeid`.
 * Inside the network epoch.
 */
export function fib6_lookup(
	fibnum: number,
	dst: Uint8Array,
	scopeid: number,
	_flags: number,
	_flowid: number,
): nhop_object | null {
	curthread.td_pending += cost.fib_lookup;
	const rib = rt_tables_get_rnh(fibnum, AF_INET6);
	if (rib === null) return null;
	const key = rib.key;
	for (let i = 0; i < 16; i++) key[8 + i] = dst[i];
	if (scopeid !== 0 && IN6_IS_SCOPE_EMBED(dst) && (key[10] | key[11]) === 0) {
		key[10] = scopeid >>> 8;
		key[11] = scopeid;
	}
	const rn = rib.rnh.rnh_matchaddr(key, rib.rnh.rh);
	if (rn === null) return null;
	const nh = (rn.rn_owner as rtentry).rt_nhop;
	return RT_LINK_IS_UP(nh.nh_ifp) ? nh : null;
}
