/**
 * IPv6 addresses of interfaces, the requests that configure them, and which of them is meant.
 *
 * Addresses inside the kernel carry the zone of their scope, where they have one (scope6.ts).
 *
 * @see netinet6/in6_var.h; in6.c in6ifa_ifwithaddr, in6ifa_ifpforlinklocal
 */
import { ifaddr, type ifnet } from "../ifnet/if_var.ts";
import { VNET_DEFINE } from "../sched/kernel.ts";
import { AF_INET6, IN6_ARE_ADDR_EQUAL, IN6_IS_ADDR_LINKLOCAL, in6_mask2len, sockaddr_in6 } from "./in.ts";

export const IN6_IFF_ANYCAST = 0x01;
export const IN6_IFF_TENTATIVE = 0x02;
export const IN6_IFF_DUPLICATED = 0x04;
export const IN6_IFF_DEPRECATED = 0x10;
/** do not detect duplicates: always so here */
export const IN6_IFF_NODAD = 0x20;
export const IN6_IFF_AUTOCONF = 0x40;

export class in6_ifaddr extends ifaddr {
	ia_addr: sockaddr_in6;
	/** the other end of a point-to-point link */
	ia_dstaddr: sockaddr_in6 | null = null;
	ia_prefixmask: sockaddr_in6;
	ia6_plen: number;
	ia6_flags = IN6_IFF_NODAD;

	constructor(ifp: ifnet, addr: Uint8Array, mask: Uint8Array) {
		super(ifp);
		this.ia_addr = new sockaddr_in6(addr);
		this.ia_prefixmask = new sockaddr_in6(mask);
		this.ia6_plen = in6_mask2len(mask);
		this.ifa_addr = this.ia_addr;
		this.ifa_netmask = this.ia_prefixmask;
	}
	get ia_ifp(): ifnet {
		return this.ifa_ifp;
	}
}

/** Argument of SIOCAIFADDR_IN6. */
export class in6_aliasreq {
	ifra_name: string;
	ifra_addr: sockaddr_in6 | null = null;
	ifra_dstaddr: sockaddr_in6 | null = null;
	ifra_prefixmask: sockaddr_in6 | null = null;
	ifra_flags = 0;
	constructor(name: string) {
		this.ifra_name = name;
	}
}

class in6_ifaddrhead {
	readonly list: in6_ifaddr[] = [];
}

/** All IPv6 addresses of a vnet. Read in the network epoch; written under the lock of in6_control. */
export const V_in6_ifaddrhead = VNET_DEFINE(() => new in6_ifaddrhead());

/** Whether `ifa` is an IPv6 address. */
export function ifa_is_in6(ifa: ifaddr): ifa is in6_ifaddr {
	return ifa.ifa_addr !== null && ifa.ifa_addr.sa_family === AF_INET6;
}

/** Compares the first `plen` bits. */
export function in6_prefix_equal(a: Uint8Array, b: Uint8Array, plen: number): boolean {
	const whole = plen >> 3;
	for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
	const rest = plen & 7;
	return rest === 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest) & 0xff) === 0;
}

/** How many leading bits agree. @see in6.c in6_matchlen */
export function in6_matchlen(a: Uint8Array, b: Uint8Array): number {
	for (let i = 0; i < 16; i++) if (a[i] !== b[i]) return 8 * i + Math.clz32((a[i] ^ b[i]) << 24);
	return 128;
}

/** The record of one of this host's addresses. `zone` 0: it is embedded in the address, or has none. */
export function in6_ifa_ifwithaddr(addr: Uint8Array, zone: number): in6_ifaddr | null {
	const list = V_in6_ifaddrhead().list;
	for (let i = 0; i < list.length; i++) {
		const ia = list[i];
		if (!IN6_ARE_ADDR_EQUAL(ia.ia_addr.sin6_addr, addr)) continue;
		if (zone === 0 || ia.ifa_ifp.if_index === zone) return ia;
	}
	return null;
}

/** Is there an address of this host at `off` in a packet, and which? */
export function in6_ifa_at(buf: Uint8Array, off: number): in6_ifaddr | null {
	const list = V_in6_ifaddrhead().list;
	next: for (let i = 0; i < list.length; i++) {
		const a = list[i].ia_addr.sin6_addr;
		for (let j = 15; j >= 0; j--) if (a[j] !== buf[off + j]) continue next;
		return list[i];
	}
	return null;
}

/** The address on the most specific network that `addr` is in. */
export function in6_ifa_ifwithnet(addr: Uint8Array): in6_ifaddr | null {
	let best: in6_ifaddr | null = null;
	for (const ia of V_in6_ifaddrhead().list) {
		if (ia.ia_dstaddr !== null && IN6_ARE_ADDR_EQUAL(ia.ia_dstaddr.sin6_addr, addr)) return ia;
		if (!in6_prefix_equal(ia.ia_addr.sin6_addr, addr, ia.ia6_plen)) continue;
		if (best === null || ia.ia6_plen > best.ia6_plen) best = ia;
	}
	return best;
}

/** An interface's link-local address. */
export function in6ifa_ifpforlinklocal(ifp: ifnet): in6_ifaddr | null {
	for (const ifa of ifp.if_addrhead) if (ifa_is_in6(ifa) && IN6_IS_ADDR_LINKLOCAL(ifa.ia_addr.sin6_addr)) return ifa;
	return null;
}
