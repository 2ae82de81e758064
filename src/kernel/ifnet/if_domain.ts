/**
 * Address families as interfaces see them: what to set up on an interface, and whom to ask about an address.
 *
 * FreeBSD spreads these over struct domain, pr_usrreqs.pru_control and direct calls from net/ into netinet/ and netinet6/
 * (in_ifdetach, nd6_resolve, in6_if_up). Here they are methods of the domain, so that ifnet/ needs to know no family.
 *
 * @see sys/domain.h; uipc_domain.c domain_add
 */
import { Words } from "../../machine/words.ts";
import type { Errno } from "../errno.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { sockaddr } from "../netinet/in.ts";
import type { Blocking, thread } from "../sched/thread.ts";
import type { ifaddr, ifnet } from "./if_var.ts";

/** flags of a link header and of route.ro_flags; @see net/route.h */
export const RT_L2_ME = 0x4;
export const RT_MAY_LOOP = 0x8;
export const RT_REJECT = 0x20;
export const RT_BLACKHOLE = 0x40;
export const RT_HAS_GW = 0x80;

/** A link header being made: where arpresolve and nd6_resolve put what they know. On ether_output's stack in C. */
export class linkhdr {
	readonly buf = new Words(14);
	/** RT_L2_ME: the neighbour is this host */
	pflags = 0;
}

export const PRC_IFDOWN = 0;
export const PRC_IFUP = 2;

export interface domain {
	readonly dom_family: number;
	readonly dom_name: string;
	/** what if_afdata[dom_family] is to be */
	readonly dom_ifattach?: (ifp: ifnet) => unknown;
	readonly dom_ifdetach?: (ifp: ifnet, aux: unknown) => Blocking<void>;
	/** upper bound of a packet's size on the interface, e.g. a neighbour's link MTU */
	readonly dom_ifmtu?: (ifp: ifnet) => number;
	/** interface ioctls of the family; EOPNOTSUPP passes them on to the driver. @see in_control, in6_control */
	readonly dom_control?: (cmd: number, data: unknown, ifp: ifnet | null, td: thread) => Blocking<Errno>;
	/** removes an address with everything that hangs on it. @see in_control SIOCDIFADDR, in6_purgeaddr */
	readonly dom_purgeaddr?: (ifa: ifaddr) => Blocking<void>;
	/** the rest of the family's state of an interface that goes. @see in_ifdetach, in6_ifdetach */
	readonly dom_ifgone?: (ifp: ifnet) => Blocking<void>;
	/** an address's interface went down or up. @see pfctlinput */
	readonly dom_ctlinput?: (cmd: number, ifa: ifaddr) => Blocking<void>;
	/** the interface's MTU changed: routes have copies of it. @see if_notifymtu, rt_updatemtu, nd6_setmtu */
	readonly dom_mtu?: (ifp: ifnet) => Blocking<void>;
	/** the interface came up. @see in6_if_up */
	readonly dom_if_up?: (ifp: ifnet) => Blocking<void>;
	/**
	 * Fills in the link header for a packet to neighbour `dst`, just before it returns. EWOULDBLOCK: the packet was kept until
	 * the answer comes; other errors: it was kept or freed. @see arpresolve, nd6_resolve
	 */
	readonly dom_resolve?: (ifp: ifnet, is_gw: number, m: mbuf, dst: sockaddr, lh: linkhdr) => Blocking<Errno>;
}

const domains: domain[] = [];

/** Makes a family known; in the module's scope. */
export function DOMAIN_SET(dom: domain): void {
	domains.push(dom);
	domains.sort((a, b) => a.dom_family - b.dom_family);
}

export function all_domains(): readonly domain[] {
	return domains;
}

/** @see uipc_domain.c pffinddomain */
export function pffinddomain(family: number): domain | null {
	for (let i = 0; i < domains.length; i++) if (domains[i].dom_family === family) return domains[i];
	return null;
}
