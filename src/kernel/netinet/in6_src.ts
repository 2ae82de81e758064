/**
 * Choosing the source address of an IPv6 packet.
 *
 * The rules of RFC 6724 that can matter without address policies and temporary addresses: same address, scope, deprecated
 * addresses, outgoing interface, longest prefix.
 *
 * @see netinet6/in6_src.c in6_selectsrc
 */

import { ifnet_byindex } from "../ifnet/if.ts";
import type { ifnet } from "../ifnet/if_var.ts";
import { fib6_lookup } from "../route/route.ts";
import { IN6_ARE_ADDR_EQUAL, IN6_IS_ADDR_LINKLOCAL, IN6_IS_ADDR_LOOPBACK, IN6_IS_ADDR_MULTICAST } from "./in.ts";
import { IN6_IFF_DEPRECATED, IN6_IFF_DUPLICATED, type in6_ifaddr, in6_matchlen, V_in6_ifaddrhead } from "./in6_var.ts";
import { in6_getscope } from "./scope6.ts";

/** Scope of an address as a number, larger is wider. @see scope6.c in6_addrscope */
export function in6_addrscope(a: Uint8Array): number {
	if (IN6_IS_ADDR_MULTICAST(a)) return a[1] & 0x0f;
	if (IN6_IS_ADDR_LINKLOCAL(a)) return 2;
	if (IN6_IS_ADDR_LOOPBACK(a)) return 1;
	return 14;
}

/** Where packets to `dst` leave: by its zone, or by its route. Null: nowhere. @see in6_src.c in6_selectif */
export function in6_selectif(fibnum: number, dst: Uint8Array): ifnet | null {
	const zone = in6_getscope(dst, 0);
	if (zone !== 0) return ifnet_byindex(zone);
	const nh = fib6_lookup(fibnum, dst, 0, 0, 0);
	return nh === null ? null : nh.nh_aifp;
}

/** Whether `ia` is a better source than `best` for `dst` leaving by `ifp`. */
function better(ia: in6_ifaddr, best: in6_ifaddr, dst: Uint8Array, ifp: ifnet, dst_scope: number): boolean {
	const a = ia.ia_addr.sin6_addr;
	const b = best.ia_addr.sin6_addr;
	if (IN6_ARE_ADDR_EQUAL(b, dst)) return false;
	if (IN6_ARE_ADDR_EQUAL(a, dst)) return true;
	const as = in6_addrscope(a);
	const bs = in6_addrscope(b);
	if (as !== bs) return bs < as ? bs < dst_scope : as >= dst_scope;
	const ad = (ia.ia6_flags & IN6_IFF_DEPRECATED) !== 0;
	const bd = (best.ia6_flags & IN6_IFF_DEPRECATED) !== 0;
	if (ad !== bd) return bd;
	const ai = ia.ifa_ifp === ifp;
	const bi = best.ifa_ifp === ifp;
	if (ai !== bi) return ai;
	return in6_matchlen(a, dst) > in6_matchlen(b, dst);
}

/** The address to send from to `dst`, which carries its zone; null if there is none or no way there. */
export function in6_selectsrc_addr(fibnum: number, dst: Uint8Array): in6_ifaddr | null {
	const ifp = in6_selectif(fibnum, dst);
	if (ifp === null) return null;
	const dst_scope = in6_addrscope(dst);
	const dst_zone = in6_getscope(dst, 0);
	let best: in6_ifaddr | null = null;
	for (const ia of V_in6_ifaddrhead().list) {
		if ((ia.ia6_flags & IN6_IFF_DUPLICATED) !== 0) continue;
		const a = ia.ia_addr.sin6_addr;
		// a link-local address is of no use on another link, nor ::1 anywhere but here
		const zone = in6_getscope(a, 0);
		if (zone !== 0 && zone !== (dst_zone === 0 ? ifp.if_index : dst_zone)) continue;
		if (IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LOOPBACK(dst)) continue;
		if (best === null || better(ia, best, dst, ifp, dst_scope)) best = ia;
	}
	return best;
}
