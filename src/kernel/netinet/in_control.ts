/**
 * Configuring IPv4 addresses: the ioctls of the family, and the routes an address brings along.
 *
 * An address brings a route to its network by its interface (to the other end on a point-to-point link, to itself on a
 * loopback) and a host route to itself by lo0.
 *
 * @see in.c in_control, in_aifaddr_ioctl, in_difaddr_ioctl, in_handle_ifaddr_route, in_scrubprefix
 */
import { EADDRNOTAVAIL, EDESTADDRREQ, EEXIST, EINVAL, EOPNOTSUPP, type Errno } from "../errno.ts";
import { if_addaddr, if_deladdr } from "../ifnet/if.ts";
import { DOMAIN_SET } from "../ifnet/if_domain.ts";
import { arp_ifscrub } from "../ifnet/if_ether.ts";
import { V_loif } from "../ifnet/if_loop.ts";
import {
	IFF_BROADCAST,
	IFF_LOOPBACK,
	IFF_POINTOPOINT,
	IFF_UP,
	IFT_ETHER,
	type ifaddr,
	type ifnet,
} from "../ifnet/if_var.ts";
import { _IOWR, type ifreq, SIOCAIFADDR, SIOCDIFADDR, SIOCGIFADDR, SIOCSIFADDR } from "../ifnet/sockio.ts";
import { PRIV_NET_ADDIFADDR, PRIV_NET_DELIFADDR, priv_check } from "../jail/priv.ts";
import { sx, sx_init, sx_xlock, sx_xunlock } from "../lock/sx.ts";
import {
	RTF_PINNED,
	RTM_ADD,
	RTM_DELETE,
	rib_action,
	rt_addrinfo,
	rt_flushifaroutes,
	rt_tables_flush,
} from "../route/route.ts";
import { KERNEL_GLOBAL, SI_ORDER_FIRST, SI_SUB_PROTO_DOMAIN, VNET_SYSUNINIT } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";
import { AF_INET, AF_UNSPEC, INADDR_ANY, INADDR_BROADCAST, in_len2mask, in_mask2len, sockaddr_in } from "./in.ts";
import { IFA_ROUTE, IFA_RTSELF, ifa_is_in, type in_aliasreq, in_ifaddr, V_in_ifaddrhead } from "./in_var.ts";

const IFREQ_SIZE = 32;
export const SIOCGIFDSTADDR = _IOWR("i", 34, IFREQ_SIZE);
export const SIOCGIFBRDADDR = _IOWR("i", 35, IFREQ_SIZE);
export const SIOCGIFNETMASK = _IOWR("i", 37, IFREQ_SIZE);
export const SIOCGIFALIAS = _IOWR("i", 41, 68);

class control_lock {
	readonly sx = new sx();
	constructor() {
		sx_init(this.sx, "in_control");
	}
}

const in_control_sx = KERNEL_GLOBAL(() => new control_lock());

/** The prefix of the interface route an address brings, and its length. @see in.c ia_getrtprefix */
function ia_getrtprefix(ia: in_ifaddr): { prefix: number; len: number } {
	const flags = ia.ifa_ifp.if_flags;
	if ((flags & IFF_POINTOPOINT) !== 0 && ia.ia_dstaddr !== null) return { prefix: ia.ia_dstaddr.sin_addr, len: 32 };
	if ((flags & IFF_LOOPBACK) !== 0) return { prefix: ia.ia_addr.sin_addr, len: 32 };
	return { prefix: ia.ia_subnet, len: in_mask2len(ia.ia_subnetmask) };
}

/** Whether a host route to the address itself by lo0 is due. @see in.c ia_need_loopback_route */
function ia_need_loopback_route(ia: in_ifaddr): boolean {
	const flags = ia.ifa_ifp.if_flags;
	const addr = ia.ia_addr.sin_addr;
	if ((flags & IFF_LOOPBACK) !== 0 || addr === INADDR_ANY) return false;
	if ((flags & IFF_POINTOPOINT) !== 0) return ia.ia_dstaddr === null || ia.ia_dstaddr.sin_addr !== addr;
	return ia.ia_subnetmask !== INADDR_BROADCAST;
}

/** Adds or deletes an address's interface route. @see in.c in_handle_ifaddr_route */
function* in_handle_ifaddr_route(cmd: number, ia: in_ifaddr): Blocking<Errno> {
	const { prefix, len } = ia_getrtprefix(ia);
	const ifp = ia.ifa_ifp;
	const host = len === 32 && (ifp.if_flags & (IFF_POINTOPOINT | IFF_LOOPBACK)) === 0;
	const info = new rt_addrinfo(new sockaddr_in(prefix), len);
	info.rti_ifa = ia;
	info.rti_ifp = host ? V_loif() : ifp;
	info.rti_flags = RTF_PINNED;
	if (cmd === RTM_DELETE) info.rti_filter_ifa = ia;
	return yield* rib_action(ifp.if_fib, cmd, info);
}

/** Adds or deletes the host route to an address by lo0. @see if.c ifa_maintain_loopback_route */
function* ifa_loopback_route(cmd: number, ia: in_ifaddr): Blocking<Errno> {
	const info = new rt_addrinfo(new sockaddr_in(ia.ia_addr.sin_addr), 32);
	info.rti_ifa = ia;
	info.rti_ifp = V_loif();
	info.rti_flags = RTF_PINNED;
	const error = yield* rib_action(ia.ifa_ifp.if_fib, cmd, info);
	return cmd === RTM_ADD && error === EEXIST ? 0 : error;
}

/** Another address that brings the same interface route. */
function same_prefix(target: in_ifaddr, with_route: boolean): in_ifaddr | null {
	const want = ia_getrtprefix(target);
	for (const ia of V_in_ifaddrhead().list) {
		if (ia === target || ia.ifa_ifp.if_fib !== target.ifa_ifp.if_fib) continue;
		const has = ia_getrtprefix(ia);
		if (has.prefix !== want.prefix || has.len !== want.len) continue;
		if (((ia.ifa_flags & IFA_ROUTE) !== 0) !== with_route) continue;
		if (!with_route && (ia.ifa_ifp.if_flags & IFF_UP) === 0) continue;
		return ia;
	}
	return null;
}

/** Adds the interface route unless another address has brought it. */
function* in_addprefix(target: in_ifaddr): Blocking<Errno> {
	if (same_prefix(target, true) !== null) return 0;
	const error = yield* in_handle_ifaddr_route(RTM_ADD, target);
	if (error === 0) target.ifa_flags |= IFA_ROUTE;
	return error;
}

/** Takes an address's routes away; a route that another address also wants passes to that one. */
function* in_scrubprefix(target: in_ifaddr): Blocking<void> {
	if ((target.ifa_flags & IFA_RTSELF) !== 0) {
		yield* ifa_loopback_route(RTM_DELETE, target);
		target.ifa_flags &= ~IFA_RTSELF;
	}
	const ifp = target.ifa_ifp;
	if ((target.ifa_flags & IFA_ROUTE) !== 0) {
		const heir = same_prefix(target, false);
		yield* in_handle_ifaddr_route(RTM_DELETE, target);
		target.ifa_flags &= ~IFA_ROUTE;
		if (heir !== null && (yield* in_handle_ifaddr_route(RTM_ADD, heir)) === 0) heir.ifa_flags |= IFA_ROUTE;
	}
	if (ifp.if_type === IFT_ETHER) yield* arp_ifscrub(ifp, target.ia_addr.sin_addr);
}

/** Takes an address off its interface, with all routes that use it. @see in.c in_difaddr_ioctl */
function* in_purgeaddr(ia: in_ifaddr): Blocking<void> {
	yield* if_deladdr(ia.ifa_ifp, ia);
	V_in_ifaddrhead().remove(ia);
	yield* in_scrubprefix(ia);
	yield* rt_flushifaroutes(ia, AF_INET);
}

function find(ifp: ifnet, addr: sockaddr_in | null): in_ifaddr | null {
	for (const ifa of ifp.if_addrhead) {
		if (!ifa_is_in(ifa)) continue;
		if (addr === null || ifa.ia_addr.sin_addr === addr.sin_addr) return ifa;
	}
	return null;
}

/** The address an ifreq names; null: none, so any will do. */
function request_addr(ifr: ifreq): sockaddr_in | null {
	return ifr.ifr_addr !== null && ifr.ifr_addr.sa_family === AF_INET ? (ifr.ifr_addr as sockaddr_in) : null;
}

function* in_difaddr_ioctl(ifr: ifreq, ifp: ifnet, td: thread): Blocking<Errno> {
	const error = priv_check(td, PRIV_NET_DELIFADDR);
	if (error !== 0) return error;
	const ia = find(ifp, request_addr(ifr));
	if (ia === null) return EADDRNOTAVAIL;
	yield* in_purgeaddr(ia);
	return 0;
}

/** The mask of an address's class, for those who give none. */
function class_mask(addr: number): number {
	if (addr >>> 31 === 0) return in_len2mask(8);
	return addr >>> 30 === 2 ? in_len2mask(16) : in_len2mask(24);
}

/** Makes the record of a new address. */
function make_ifaddr(ifra: in_aliasreq, addr: sockaddr_in, ifp: ifnet): in_ifaddr {
	const mask = ifra.ifra_mask === null ? class_mask(addr.sin_addr) : ifra.ifra_mask.sin_addr;
	const ia = new in_ifaddr(ifp, addr.sin_addr, mask);
	if ((ifp.if_flags & IFF_BROADCAST) !== 0) {
		const host_bits = ~mask >>> 0;
		const all_ones = mask === 0xfffffffe ? INADDR_BROADCAST : (ia.ia_subnet | host_bits) >>> 0;
		ia.ia_broadaddr = new sockaddr_in(ifra.ifra_broadaddr === null ? all_ones : ifra.ifra_broadaddr.sin_addr);
		ia.ifa_dstaddr = ia.ia_broadaddr;
	}
	if ((ifp.if_flags & IFF_POINTOPOINT) !== 0 && ifra.ifra_dstaddr !== null) {
		ia.ia_dstaddr = new sockaddr_in(ifra.ifra_dstaddr.sin_addr);
		ia.ifa_dstaddr = ia.ia_dstaddr;
	}
	return ia;
}

function* in_aifaddr_ioctl(ifra: in_aliasreq, ifp: ifnet, td: thread): Blocking<Errno> {
	let error = priv_check(td, PRIV_NET_ADDIFADDR);
	if (error !== 0) return error;
	const addr = ifra.ifra_addr;
	if (addr === null || addr.sa_family !== AF_INET) return EINVAL;
	for (const other of [ifra.ifra_broadaddr, ifra.ifra_mask]) {
		if (other !== null && other.sa_family !== AF_INET && other.sa_family !== AF_UNSPEC) return EINVAL;
	}
	const dst = ifra.ifra_dstaddr;
	if ((ifp.if_flags & IFF_POINTOPOINT) !== 0 && (dst === null || dst.sin_addr === INADDR_ANY)) return EDESTADDRREQ;
	const old = find(ifp, addr);
	if (old !== null) yield* in_purgeaddr(old);
	const ia = make_ifaddr(ifra, addr, ifp);
	yield* if_addaddr(ifp, ia);
	V_in_ifaddrhead().insert(ia);
	if (ifp.if_ioctl !== null) error = yield* ifp.if_ioctl(ifp, SIOCSIFADDR, ia);
	if (error === 0) {
		error = yield* in_addprefix(ia);
		if (error === 0 && ia_need_loopback_route(ia)) {
			error = yield* ifa_loopback_route(RTM_ADD, ia);
			if (error === 0) ia.ifa_flags |= IFA_RTSELF;
		}
	}
	if (error !== 0) yield* in_purgeaddr(ia);
	return error;
}

/** SIOCGIFADDR and its relatives: part of an address, into the request. */
function in_getaddr(cmd: number, ifr: ifreq, ifp: ifnet): Errno {
	const wanted = request_addr(ifr);
	const ia = (wanted === null ? null : find(ifp, wanted)) ?? find(ifp, null);
	if (ia === null) return EADDRNOTAVAIL;
	switch (cmd) {
		case SIOCGIFADDR:
			ifr.ifr_addr = new sockaddr_in(ia.ia_addr.sin_addr);
			return 0;
		case SIOCGIFBRDADDR:
			if (ia.ia_broadaddr === null) return EINVAL;
			ifr.ifr_addr = new sockaddr_in(ia.ia_broadaddr.sin_addr);
			return 0;
		case SIOCGIFDSTADDR:
			if (ia.ia_dstaddr === null) return EINVAL;
			ifr.ifr_addr = new sockaddr_in(ia.ia_dstaddr.sin_addr);
			return 0;
		default:
			ifr.ifr_addr = new sockaddr_in(ia.ia_sockmask.sin_addr);
			return 0;
	}
}

/** SIOCGIFALIAS: all that belongs to one address, into the request. */
function in_gifaddr(ifra: in_aliasreq, ifp: ifnet): Errno {
	const ia = ifra.ifra_addr === null ? null : find(ifp, ifra.ifra_addr);
	if (ia === null) return EADDRNOTAVAIL;
	ifra.ifra_mask = new sockaddr_in(ia.ia_sockmask.sin_addr);
	const other = ia.ia_dstaddr ?? ia.ia_broadaddr;
	ifra.ifra_broadaddr = other === null ? null : new sockaddr_in(other.sin_addr);
	return 0;
}

/**
 * Interface ioctls of IPv4; what it does not know goes to the driver.
 *
 * @param data in_aliasreq for SIOCAIFADDR and SIOCGIFALIAS, ifreq for the others
 */
export function* in_control(_so: socket | null, cmd: number, data: unknown, arg: unknown, td: thread): Blocking<Errno> {
	const ifp = arg as ifnet | null;
	if (ifp === null) return EADDRNOTAVAIL;
	switch (cmd) {
		case SIOCGIFADDR:
		case SIOCGIFBRDADDR:
		case SIOCGIFDSTADDR:
		case SIOCGIFNETMASK:
			return in_getaddr(cmd, data as ifreq, ifp);
		case SIOCGIFALIAS:
			return in_gifaddr(data as in_aliasreq, ifp);
		case SIOCAIFADDR:
		case SIOCDIFADDR: {
			const lock = in_control_sx().sx;
			charge(cost.in_control);
			yield* sx_xlock(lock);
			const error =
				cmd === SIOCAIFADDR
					? yield* in_aifaddr_ioctl(data as in_aliasreq, ifp, td)
					: yield* in_difaddr_ioctl(data as ifreq, ifp, td);
			yield* sx_xunlock(lock);
			return error;
		}
		case SIOCSIFADDR:
			return EINVAL;
		default:
			return ifp.if_ioctl === null ? EOPNOTSUPP : yield* ifp.if_ioctl(ifp, cmd, data);
	}
}

/** The ioctls of the family itself, without the driver's. */
function* dom_control(cmd: number, data: unknown, ifp: ifnet | null, td: thread): Blocking<Errno> {
	switch (cmd) {
		case SIOCGIFADDR:
		case SIOCGIFBRDADDR:
		case SIOCGIFDSTADDR:
		case SIOCGIFNETMASK:
		case SIOCGIFALIAS:
		case SIOCAIFADDR:
		case SIOCDIFADDR:
			return yield* in_control(null, cmd, data, ifp, td);
		default:
			return EOPNOTSUPP;
	}
}

function* dom_purgeaddr(ifa: ifaddr): Blocking<void> {
	if (ifa_is_in(ifa)) yield* in_purgeaddr(ifa);
}

DOMAIN_SET({
	dom_family: AF_INET,
	dom_name: "internet",
	dom_control,
	dom_purgeaddr,
});

VNET_SYSUNINIT("rt_tables_destroy", SI_SUB_PROTO_DOMAIN, SI_ORDER_FIRST, rt_tables_flush);
