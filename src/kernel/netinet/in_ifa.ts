/**
 * Which of our addresses is meant: by the address itself, by the other end of a link, by network.
 *
 * @see if.c ifa_ifwithaddr, ifa_ifwithdstaddr, ifa_ifwithnet, ifaof_ifpforaddr; in.c in_localip, in_broadcast
 */
import { IFF_BROADCAST, IFF_POINTOPOINT, type ifaddr, type ifnet } from "../ifnet/if_var.ts";
import {
	AF_INET,
	AF_INET6,
	INADDR_ANY,
	INADDR_BROADCAST,
	type sockaddr,
	type sockaddr_in,
	type sockaddr_in6,
} from "./in.ts";
import { IFP_TO_IA, ifa_is_in, type in_ifaddr, V_in_ifaddrhead } from "./in_var.ts";
import { in6_ifa_ifwithaddr, in6_ifa_ifwithnet } from "./in6_var.ts";

/** The record of one of this host's IPv4 addresses. */
export function ifa_ifwithaddr4(addr: number): in_ifaddr | null {
	return V_in_ifaddrhead().lookup(addr);
}

/** The record of one of this host's addresses, of either family. */
export function ifa_ifwithaddr(sa: sockaddr): ifaddr | null {
	if (sa.sa_family === AF_INET) return ifa_ifwithaddr4((sa as sockaddr_in).sin_addr);
	if (sa.sa_family === AF_INET6) return in6_ifa_ifwithaddr((sa as sockaddr_in6).sin6_addr, 0);
	return null;
}

/** Is this one of the host's addresses? */
export function ifa_ifwithaddr_check(sa: sockaddr): boolean {
	return ifa_ifwithaddr(sa) !== null;
}

/** The address whose point-to-point link leads to `addr`. */
export function ifa_ifwithdstaddr4(addr: number): in_ifaddr | null {
	for (const ia of V_in_ifaddrhead().list) {
		if ((ia.ifa_ifp.if_flags & IFF_POINTOPOINT) !== 0 && ia.ia_dstaddr !== null && ia.ia_dstaddr.sin_addr === addr)
			return ia;
	}
	return null;
}

/** The address on the most specific network that `addr` is in. */
export function ifa_ifwithnet4(addr: number): in_ifaddr | null {
	let best: in_ifaddr | null = null;
	for (const ia of V_in_ifaddrhead().list) {
		if ((ia.ifa_ifp.if_flags & IFF_POINTOPOINT) !== 0 && ia.ia_dstaddr !== null) {
			if (ia.ia_dstaddr.sin_addr === addr) return ia;
			continue;
		}
		if ((addr & ia.ia_subnetmask) >>> 0 !== ia.ia_subnet) continue;
		if (best === null || ia.ia_subnetmask > best.ia_subnetmask) best = ia;
	}
	return best;
}

/** The same for either family. */
export function ifa_ifwithnet(sa: sockaddr): ifaddr | null {
	if (sa.sa_family === AF_INET) return ifa_ifwithnet4((sa as sockaddr_in).sin_addr);
	return in6_ifa_ifwithnet((sa as sockaddr_in6).sin6_addr);
}

/** The address of interface `ifp` that fits `addr` best: on its network, or else the first. */
export function ifaof_ifpforaddr4(addr: number, ifp: ifnet): in_ifaddr | null {
	for (const ifa of ifp.if_addrhead) {
		if (ifa_is_in(ifa) && (addr & ifa.ia_subnetmask) >>> 0 === ifa.ia_subnet) return ifa;
	}
	return IFP_TO_IA(ifp);
}

/** The vnet's first IPv4 address. */
export function in_first_ifaddr(): in_ifaddr | null {
	const list = V_in_ifaddrhead().list;
	return list.length === 0 ? null : list[0];
}

/** Broadcast address of the first address, where it has one: what INADDR_BROADCAST in a connect means. */
export function in_broadaddr_of_first(): number | null {
	const ia = in_first_ifaddr();
	if (ia === null || (ia.ifa_ifp.if_flags & IFF_BROADCAST) === 0 || ia.ia_broadaddr === null) return null;
	return ia.ia_broadaddr.sin_addr;
}

/** Is it an address of this host? @see in.c in_localip */
export function in_localip(addr: number): boolean {
	return ifa_ifwithaddr4(addr) !== null;
}

/** Is `addr` a broadcast on the network of `ia`? The network's own number counts as the old form of one. @see in.c in_ifaddr_broadcast */
export function in_ifaddr_broadcast(addr: number, ia: in_ifaddr): boolean {
	if (addr === INADDR_BROADCAST || addr === INADDR_ANY) return true;
	if (ia.ia_broadaddr !== null && ia.ia_broadaddr.sin_addr === addr) return true;
	return addr === ia.ia_subnet && ia.ia_subnetmask < 0xfffffffe;
}

/** Is `addr` a broadcast on any network of `ifp`? @see in.c in_broadcast */
export function in_broadcast(addr: number, ifp: ifnet): boolean {
	if (addr === INADDR_BROADCAST || addr === INADDR_ANY) return true;
	if ((ifp.if_flags & IFF_BROADCAST) === 0) return false;
	for (const ifa of ifp.if_addrhead) if (ifa_is_in(ifa) && in_ifaddr_broadcast(addr, ifa)) return true;
	return false;
}
