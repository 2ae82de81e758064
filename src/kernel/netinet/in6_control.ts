/**
 * Configuring IPv6 addresses: the ioctls of the family, the routes an address brings along, and link-local addresses,
 * which an Ethernet interface gets with its first address and the loopback at once.
 *
 * Simplified: no duplicate address detection, no lifetimes, no prefixes from routers.
 *
 * @see netinet6/in6.c in6_control, in6_update_ifa, in6_purgeaddr; netinet6/in6_ifattach.c; netinet6/nd6_rtr.c
 */
import { EADDRNOTAVAIL, EAFNOSUPPORT, EEXIST, EINVAL, EOPNOTSUPP, type Errno } from "../errno.ts";
import { if_addaddr, if_deladdr } from "../ifnet/if.ts";
import { V_loif } from "../ifnet/if_loop.ts";
import { IFF_LOOPBACK, IFF_POINTOPOINT, IFT_ETHER, type ifaddr, type ifnet } from "../ifnet/if_var.ts";
import { _IOW, _IOWR, type ifreq, SIOCSIFADDR } from "../ifnet/sockio.ts";
import { PRIV_NET_ADDIFADDR, PRIV_NET_DELIFADDR, priv_check } from "../jail/priv.ts";
import { sx, sx_init, sx_xlock, sx_xunlock } from "../lock/sx.ts";
import { RTF_PINNED, RTM_ADD, RTM_DELETE, rib_action, rt_addrinfo, rt_flushifaroutes } from "../route/route.ts";
import { KERNEL_GLOBAL } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";
import {
	AF_INET6,
	IN6_ARE_ADDR_EQUAL,
	IN6_IS_ADDR_LINKLOCAL,
	IN6_IS_ADDR_MULTICAST,
	IN6_IS_ADDR_UNSPECIFIED,
	in6_prefixlen2mask,
	sockaddr_in6,
} from "./in.ts";
import { ifa_is_in6, type in6_aliasreq, in6_ifaddr, in6ifa_ifpforlinklocal, V_in6_ifaddrhead } from "./in6_var.ts";
import { in6_setscope } from "./scope6.ts";

/** struct in6_aliasreq and struct in6_ifreq on amd64 */
export const SIOCAIFADDR_IN6 = _IOW("i", 27, 136);
export const SIOCDIFADDR_IN6 = _IOW("i", 25, 288);
export const SIOCGIFADDR_IN6 = _IOWR("i", 33, 288);

class control_lock {
	readonly sx = new sx();
	constructor() {
		sx_init(this.sx, "in6_control");
	}
}

const in6_control_sx = KERNEL_GLOBAL(() => new control_lock());

/** Adds or deletes the routes of an address: its prefix by its interface, itself by lo0. */
function* in6_ifaddr_routes(cmd: number, ia: in6_ifaddr): Blocking<Errno> {
	const ifp = ia.ifa_ifp;
	const addr = ia.ia_addr.sin6_addr;
	let error: Errno = 0;
	if (ia.ia_dstaddr !== null && (ifp.if_flags & IFF_POINTOPOINT) !== 0)
		error = yield* one_route(cmd, ia, ia.ia_dstaddr.sin6_addr, 128, ifp);
	else if (ia.ia6_plen < 128 && (ifp.if_flags & IFF_LOOPBACK) === 0)
		error = yield* one_route(cmd, ia, addr, ia.ia6_plen, ifp);
	if (error !== 0 && error !== EEXIST && cmd === RTM_ADD) return error;
	error = yield* one_route(cmd, ia, addr, 128, V_loif());
	return error === EEXIST ? 0 : error;
}

function* one_route(cmd: number, ia: in6_ifaddr, dst: Uint8Array, plen: number, ifp: ifnet): Blocking<Errno> {
	const info = new rt_addrinfo(new sockaddr_in6(dst), plen);
	info.rti_ifa = ia;
	info.rti_ifp = ifp;
	info.rti_flags = RTF_PINNED;
	if (cmd === RTM_DELETE) info.rti_filter_ifa = ia;
	return yield* rib_action(ia.ifa_ifp.if_fib, cmd, info);
}

/** Another address on the same prefix of the same interface takes the prefix's route over. */
function* hand_over_prefix(gone: in6_ifaddr): Blocking<void> {
	const mask = gone.ia_prefixmask.sin6_addr;
	const addr = gone.ia_addr.sin6_addr;
	for (const ia of V_in6_ifaddrhead().list) {
		if (ia.ifa_ifp !== gone.ifa_ifp || ia.ia6_plen !== gone.ia6_plen) continue;
		const other = ia.ia_addr.sin6_addr;
		let same = true;
		for (let i = 0; i < 16; i++) if (((addr[i] ^ other[i]) & mask[i]) !== 0) same = false;
		if (!same) continue;
		yield* in6_ifaddr_routes(RTM_ADD, ia);
		return;
	}
}

/** Takes an address off its interface, with all routes that use it. @see in6.c in6_purgeaddr */
function* in6_purgeaddr(ia: in6_ifaddr): Blocking<void> {
	yield* if_deladdr(ia.ifa_ifp, ia);
	const list = V_in6_ifaddrhead().list;
	list.splice(list.indexOf(ia), 1);
	yield* in6_ifaddr_routes(RTM_DELETE, ia);
	yield* rt_flushifaroutes(ia, AF_INET6);
	yield* hand_over_prefix(ia);
}

function find(ifp: ifnet, addr: Uint8Array): in6_ifaddr | null {
	for (const ifa of ifp.if_addrhead) if (ifa_is_in6(ifa) && IN6_ARE_ADDR_EQUAL(ifa.ia_addr.sin6_addr, addr)) return ifa;
	return null;
}

/** Gives an interface an address. @see in6.c in6_update_ifa, in6_ifinit */
function* in6_addifaddr(
	ifp: ifnet,
	addr: Uint8Array,
	mask: Uint8Array,
	dst: sockaddr_in6 | null,
	flags: number,
): Blocking<Errno> {
	const old = find(ifp, addr);
	if (old !== null) yield* in6_purgeaddr(old);
	const ia = new in6_ifaddr(ifp, addr, mask);
	ia.ia6_flags |= flags;
	if (dst !== null && (ifp.if_flags & IFF_POINTOPOINT) !== 0) {
		const to = dst.sin6_addr.slice();
		in6_setscope(to, 0, ifp);
		ia.ia_dstaddr = new sockaddr_in6(to);
		ia.ifa_dstaddr = ia.ia_dstaddr;
	}
	const first = !ifp.if_addrhead.some(ifa_is_in6);
	yield* if_addaddr(ifp, ia);
	V_in6_ifaddrhead().list.push(ia);
	let error: Errno = 0;
	if (first && ifp.if_ioctl !== null) error = yield* ifp.if_ioctl(ifp, SIOCSIFADDR, ia);
	if (error === 0) error = yield* in6_ifaddr_routes(RTM_ADD, ia);
	if (error !== 0) yield* in6_purgeaddr(ia);
	return error;
}

/** fe80:: with the interface identifier made of the Ethernet address, EUI-64. @see in6_ifattach.c in6_get_hw_ifid */
function link_local_of(ifp: ifnet): Uint8Array | null {
	const addr = new Uint8Array(16);
	addr[0] = 0xfe;
	addr[1] = 0x80;
	if ((ifp.if_flags & IFF_LOOPBACK) !== 0) addr[15] = 1;
	else if (ifp.if_type === IFT_ETHER && ifp.if_hw_addr.length === 6) {
		const lla = ifp.if_hw_addr;
		addr.set([lla[0] ^ 2, lla[1], lla[2], 0xff, 0xfe, lla[3], lla[4], lla[5]], 8);
	} else return null;
	in6_setscope(addr, 0, ifp);
	return addr;
}

/** Gives an interface its link-local address if it can have one and has none. @see in6_ifattach.c in6_ifattach */
function* in6_ifattach_linklocal(ifp: ifnet): Blocking<Errno> {
	if (in6ifa_ifpforlinklocal(ifp) !== null) return 0;
	const addr = link_local_of(ifp);
	return addr === null ? 0 : yield* in6_addifaddr(ifp, addr, in6_prefixlen2mask(64), null, 0);
}

function* in6_aifaddr(ifra: in6_aliasreq, ifp: ifnet, td: thread): Blocking<Errno> {
	const error = priv_check(td, PRIV_NET_ADDIFADDR);
	if (error !== 0) return error;
	const sin6 = ifra.ifra_addr;
	if (sin6 === null || sin6.sa_family !== AF_INET6) return EAFNOSUPPORT;
	if (IN6_IS_ADDR_MULTICAST(sin6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(sin6.sin6_addr)) return EINVAL;
	const addr = sin6.sin6_addr.slice();
	in6_setscope(addr, 0, ifp);
	const mask = ifra.ifra_prefixmask === null ? in6_prefixlen2mask(128) : ifra.ifra_prefixmask.sin6_addr.slice();
	if (!IN6_IS_ADDR_LINKLOCAL(addr)) {
		const ll = yield* in6_ifattach_linklocal(ifp);
		if (ll !== 0) return ll;
	}
	return yield* in6_addifaddr(ifp, addr, mask, ifra.ifra_dstaddr, ifra.ifra_flags);
}

function* in6_difaddr(ifr: ifreq, ifp: ifnet, td: thread): Blocking<Errno> {
	const error = priv_check(td, PRIV_NET_DELIFADDR);
	if (error !== 0) return error;
	if (ifr.ifr_addr === null || ifr.ifr_addr.sa_family !== AF_INET6) return EAFNOSUPPORT;
	const addr = (ifr.ifr_addr as sockaddr_in6).sin6_addr.slice();
	in6_setscope(addr, 0, ifp);
	const ia = find(ifp, addr);
	if (ia === null) return EADDRNOTAVAIL;
	yield* in6_purgeaddr(ia);
	return 0;
}

/**
 * Interface ioctls of IPv6; what it does not know goes to the driver.
 *
 * @param data in6_aliasreq for SIOCAIFADDR_IN6, ifreq for the others
 */
export function* in6_control(
	_so: socket | null,
	cmd: number,
	data: unknown,
	arg: unknown,
	td: thread,
): Blocking<Errno> {
	const ifp = arg as ifnet | null;
	if (ifp === null) return EADDRNOTAVAIL;
	switch (cmd) {
		case SIOCGIFADDR_IN6: {
			const ia = ifp.if_addrhead.find(ifa_is_in6);
			if (ia === undefined) return EADDRNOTAVAIL;
			(data as ifreq).ifr_addr = new sockaddr_in6(ia.ia_addr.sin6_addr.slice());
			return 0;
		}
		case SIOCAIFADDR_IN6:
		case SIOCDIFADDR_IN6: {
			const lock = in6_control_sx().sx;
			charge(cost.in_control);
			yield* sx_xlock(lock);
			const error =
				cmd === SIOCAIFADDR_IN6
					? yield* in6_aifaddr(data as in6_aliasreq, ifp, td)
					: yield* in6_difaddr(data as ifreq, ifp, td);
			yield* sx_xunlock(lock);
			return error;
		}
		default:
			return ifp.if_ioctl === null ? EOPNOTSUPP : yield* ifp.if_ioctl(ifp, cmd, data);
	}
}

/** The ioctls of the family itself, without the driver's. */
export function* in6_dom_control(cmd: number, data: unknown, ifp: ifnet | null, td: thread): Blocking<Errno> {
	if (cmd !== SIOCGIFADDR_IN6 && cmd !== SIOCAIFADDR_IN6 && cmd !== SIOCDIFADDR_IN6) return EOPNOTSUPP;
	return yield* in6_control(null, cmd, data, ifp, td);
}

export function* in6_dom_purgeaddr(ifa: ifaddr): Blocking<void> {
	if (ifa_is_in6(ifa)) yield* in6_purgeaddr(ifa);
}

/** An interface came up: one with IPv6 addresses gets its link-local address if it has none. @see in6_ifattach.c in6_if_up */
export function* in6_if_up(ifp: ifnet): Blocking<void> {
	if (ifp.if_addrhead.some(ifa_is_in6)) yield* in6_ifattach_linklocal(ifp);
}
