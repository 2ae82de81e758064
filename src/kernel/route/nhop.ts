/**
 * Nexthops: where packets of a route go, shared by everything that sends them there; and the cached route of a socket.
 *
 * Simplified: a nexthop is garbage collected, so lookups take no reference on it; deleting the route marks it invalid, and
 * whoever cached it looks the route up again. No multipath groups.
 *
 * @see net/route/nhop.h, net/route.h struct route
 */
import { wide_fields } from "../../machine/shape.ts";
import { IFCAP_LINKSTATE, type ifaddr, type ifnet, LINK_STATE_UP } from "../ifnet/if_var.ts";
import { type sockaddr, sockaddr_in, sockaddr_in6 } from "../netinet/in.ts";

export const NHF_REJECT = 0x0001;
export const NHF_BLACKHOLE = 0x0002;
export const NHF_REDIRECT = 0x0004;
export const NHF_DEFAULT = 0x0008;
export const NHF_BROADCAST = 0x0010;
export const NHF_GATEWAY = 0x0020;
export const NHF_HOST = 0x0040;

export class nhop_object {
	readonly nh_ifp: ifnet;
	/** where the source address comes from */
	readonly nh_ifa: ifaddr;
	/** interface of the address a packet to ourselves is for; nh_ifp for all others */
	readonly nh_aifp: ifnet;
	nh_flags: number;
	/** the route's own MTU, 0: the interface's, whatever that is when it is asked for */
	nh_rmx_mtu: number;
	/** the gateway, if NHF_GATEWAY */
	readonly gw_sa: sockaddr | null;
	nh_pksent = 0;
	/** false once its route is gone */
	nh_valid = true;
	/** the destination sent to last, when there is no gateway; never changed once made, so it can be handed down */
	private nh_dst4 = new sockaddr_in();
	private nh_dst6 = new sockaddr_in6();

	constructor(ifp: ifnet, ifa: ifaddr, aifp: ifnet, flags: number, mtu: number, gw: sockaddr | null) {
		this.nh_ifp = ifp;
		this.nh_ifa = ifa;
		this.nh_aifp = aifp;
		this.nh_flags = flags;
		this.nh_rmx_mtu = mtu;
		this.gw_sa = gw;
	}

	get nh_mtu(): number {
		const mtu = this.nh_rmx_mtu;
		const if_mtu = this.nh_ifp.if_mtu;
		return mtu === 0 || mtu > if_mtu ? if_mtu : mtu;
	}

	/** A sockaddr for an on-link destination: what C has on the stack for each packet. */
	dst4(addr: number): sockaddr_in {
		if (this.nh_dst4.sin_addr !== addr) this.nh_dst4 = new sockaddr_in(addr);
		return this.nh_dst4;
	}

	/** The same for IPv6; the address lies in `buf` at `off`. */
	dst6(buf: Uint8Array, off: number): sockaddr_in6 {
		const last = this.nh_dst6.sin6_addr;
		for (let i = 15; i >= 0; i--) {
			if (last[i] !== buf[off + i]) {
				this.nh_dst6 = new sockaddr_in6(buf.slice(off, off + 16));
				break;
			}
		}
		return this.nh_dst6;
	}
}

/** A route cached by a socket, or handed down with a packet. @see net/route.h struct route, struct route_in6 */
export class route {
	ro_nh: nhop_object | null = null;
	/** destination the cached nexthop is for, as ip_output sees it */
	ro_dst4 = 0;
	readonly ro_dst6 = new Uint8Array(16);
	/** generation of the table when it was looked up */
	ro_cookie = 0;
	ro_flags = 0;
	ro_mtu = 0;
}

wide_fields(new route(), "ro_dst4");

/** Forgets a cached route. @see net/route.h RO_INVALIDATE_CACHE */
export function RO_INVALIDATE_CACHE(ro: route): void {
	ro.ro_nh = null;
}

/** Forgets a cached route that is gone, or may have been superseded since. @see net/route.h NH_VALIDATE, NH_IS_VALID */
export function NH_VALIDATE(ro: route, generation: number): void {
	if (ro.ro_nh !== null && (ro.ro_cookie !== generation || !ro.ro_nh.nh_valid)) ro.ro_nh = null;
}

/** Interfaces that know their link's state must have one. @see net/route.h RT_LINK_IS_UP */
export function RT_LINK_IS_UP(ifp: ifnet): boolean {
	return (ifp.if_capabilities & IFCAP_LINKSTATE) === 0 || ifp.if_link_state === LINK_STATE_UP;
}
