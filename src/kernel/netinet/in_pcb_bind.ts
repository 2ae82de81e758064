/**
 * Local addresses and ports of control blocks: bind, connect, and the temporary forms of both that a single datagram needs.
 *
 * Sending an unconnected datagram binds and connects only on paper: the `_setup` functions choose addresses and ports into
 * an in_endpoints and change nothing. FreeBSD 13.0 lets them walk the hash in the epoch; 14.0 wants the hash lock held,
 * which the caller sees to.
 *
 * @see in_pcb.c in_pcbbind_setup, in_pcbconnect_setup, in_pcb_lport_dest, in_pcbladdr
 */
import { wide_fields } from "../../machine/shape.ts";
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EINVAL, ENETUNREACH, type Errno } from "../errno.ts";
import { IFF_LOOPBACK } from "../ifnet/if_var.ts";
import { PRIV_NETINET_RESERVEDPORT, PRIV_NETINET_REUSEPORT, priv_check_cred } from "../jail/priv.ts";
import type { ucred } from "../jail/ucred.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import { fib4_lookup } from "../route/route.ts";
import { arc4random_uniform, KERNEL_GLOBAL } from "../sched/kernel.ts";
import { cost, curthread } from "../sched/thread.ts";
import { SO_DONTROUTE, SO_REUSEADDR, SO_REUSEPORT, SOCK_STREAM, type socket } from "../socket/socket.ts";
import {
	AF_INET,
	IN_MULTICAST,
	INADDR_ANY,
	INADDR_BROADCAST,
	IPPORT_EPHEMERALFIRST,
	IPPORT_EPHEMERALLAST,
	IPPORT_HIFIRSTAUTO,
	IPPORT_HILASTAUTO,
	IPPORT_RESERVED,
	type sockaddr,
	type sockaddr_in,
} from "./in.ts";
import {
	ifa_ifwithaddr4,
	ifa_ifwithdstaddr4,
	ifa_ifwithnet4,
	in_broadaddr_of_first,
	in_first_ifaddr,
} from "./in_ifa.ts";
import { in_pcbinshash, in_pcblookup_hash_locked, in_pcblookup_local, in_pcbrehash } from "./in_pcb_hash.ts";
import { inp_so_options } from "./in_pcb_subr.ts";
import {
	INP_ANONPORT,
	INP_BINDANY,
	INP_HASH_LOCK_ASSERT,
	INP_HASH_WLOCK_ASSERT,
	INP_HIGHPORT,
	INP_INHASHLIST,
	INP_IPV6PROTO,
	INP_LOCK_ASSERT,
	INP_LOWPORT,
	INP_REUSEPORT,
	INP_TIMEWAIT,
	INP_WLOCK_ASSERT,
	INPLOOKUP_WILDCARD,
	type inpcb,
} from "./in_pcb_var.ts";

/** Both ends of a four-tuple, filled in step by step: in C, four pointer arguments. */
export class in_endpoints {
	laddr = 0;
	lport = 0;
	faddr = 0;
	fport = 0;
	/** the block that has this four-tuple already */
	oinp: inpcb | null = null;
}

wide_fields(new in_endpoints(), "laddr", "lport", "faddr", "fport");

/** For setting up on paper; used and read without waiting in between. */
export const in_scratch_endpoints = KERNEL_GLOBAL(() => new in_endpoints());

/** One of the port ranges of net.inet.ip.portrange. */
export class port_range {
	first = IPPORT_EPHEMERALFIRST;
	last = IPPORT_EPHEMERALLAST;
	start = 0;
}

const scratch_range = KERNEL_GLOBAL(() => new port_range());

/** The range an ephemeral port of this socket comes from, and where in it to begin. */
export function in_pcb_range(inp: inpcb, cred: ucred): port_range | Errno {
	const pcbinfo = inp.inp_pcbinfo;
	const range = scratch_range();
	let last_used: number;
	if ((inp.inp_flags & INP_HIGHPORT) !== 0) {
		range.first = IPPORT_HIFIRSTAUTO;
		range.last = IPPORT_HILASTAUTO;
		last_used = pcbinfo.ipi_lasthi;
	} else if ((inp.inp_flags & INP_LOWPORT) !== 0) {
		const error = priv_check_cred(cred, PRIV_NETINET_RESERVEDPORT);
		if (error !== 0) return error;
		range.first = IPPORT_RESERVED / 2;
		range.last = IPPORT_RESERVED - 1;
		last_used = pcbinfo.ipi_lastlow;
	} else {
		range.first = IPPORT_EPHEMERALFIRST;
		range.last = IPPORT_EPHEMERALLAST;
		last_used = pcbinfo.ipi_lastport;
	}
	range.start = pcbinfo.ipi_random ? range.first + arc4random_uniform(range.last - range.first) : last_used;
	return range;
}

/** Remembers the last port given out of the socket's range. */
export function in_pcb_range_used(inp: inpcb, port: number): void {
	const pcbinfo = inp.inp_pcbinfo;
	if ((inp.inp_flags & INP_HIGHPORT) !== 0) pcbinfo.ipi_lasthi = port;
	else if ((inp.inp_flags & INP_LOWPORT) !== 0) pcbinfo.ipi_lastlow = port;
	else pcbinfo.ipi_lastport = port;
}

/**
 * Chooses a free local port into `ends`. With a foreign end the port is free if the whole four-tuple is, so that more
 * connections than ports are possible; without one, if the local end is.
 */
function in_pcb_lport_dest(
	inp: inpcb,
	ends: in_endpoints,
	cred: ucred,
	lookupflags: number,
	connected: boolean,
): Errno {
	const pcbinfo = inp.inp_pcbinfo;
	INP_LOCK_ASSERT(inp);
	INP_HASH_LOCK_ASSERT(pcbinfo);
	const range = in_pcb_range(inp, cred);
	if (typeof range === "number") return range;
	const { first, last } = range;
	let port = range.start;
	for (let count = last - first; count >= 0; count--) {
		port++;
		if (port < first || port > last) port = first;
		const used = connected
			? in_pcblookup_hash_locked(pcbinfo, ends.faddr, ends.fport, ends.laddr, port, lookupflags)
			: in_pcblookup_local(pcbinfo, ends.laddr, port, lookupflags);
		if (used === null) {
			ends.lport = port;
			in_pcb_range_used(inp, port);
			return 0;
		}
	}
	return EADDRNOTAVAIL;
}

/** Whether another socket already has the local end that bind asks for. */
function in_pcbbind_taken(inp: inpcb, so: socket, laddr: number, lport: number, cred: ucred): Errno {
	const pcbinfo = inp.inp_pcbinfo;
	let reuseport = so.so_options & SO_REUSEPORT;
	if (IN_MULTICAST(laddr) && (so.so_options & (SO_REUSEADDR | SO_REUSEPORT)) !== 0)
		reuseport = SO_REUSEADDR | SO_REUSEPORT;
	if (lport < IPPORT_RESERVED && priv_check_cred(cred, PRIV_NETINET_RESERVEDPORT) !== 0) return EACCES;
	if (!IN_MULTICAST(laddr) && priv_check_cred(inp.inp_cred, PRIV_NETINET_REUSEPORT) !== 0) {
		const t = in_pcblookup_local(pcbinfo, laddr, lport, INPLOOKUP_WILDCARD);
		if (
			t !== null &&
			(t.inp_flags & INP_TIMEWAIT) === 0 &&
			(so.so_type !== SOCK_STREAM || t.inp_faddr === INADDR_ANY) &&
			(laddr !== INADDR_ANY || t.inp_laddr !== INADDR_ANY || (t.inp_flags2 & INP_REUSEPORT) !== 0) &&
			inp.inp_cred.cr_uid !== t.inp_cred.cr_uid
		)
			return EADDRINUSE;
	}
	const wild = (so.so_options & (SO_REUSEADDR | SO_REUSEPORT)) === 0 ? INPLOOKUP_WILDCARD : 0;
	const t = in_pcblookup_local(pcbinfo, laddr, lport, wild);
	if (t === null || (reuseport & inp_so_options(t)) !== 0) return 0;
	const apart =
		laddr === INADDR_ANY &&
		t.inp_laddr === INADDR_ANY &&
		(inp.inp_vflag & INP_IPV6PROTO) !== 0 &&
		(t.inp_vflag & INP_IPV6PROTO) !== 0;
	return apart ? 0 : EADDRINUSE;
}

/**
 * Works out the local end for a bind to `nam`, or to a free port if that is null. `ends` has the present local end on
 * entry and the new one on success; on error it is unchanged. The block is not changed.
 */
export function in_pcbbind_setup(inp: inpcb, nam: sockaddr | null, ends: in_endpoints, cred: ucred): Errno {
	const so = inp.inp_socket as socket;
	INP_LOCK_ASSERT(inp);
	INP_HASH_LOCK_ASSERT(inp.inp_pcbinfo);
	curthread.td_pending += cost.in_pcbbind_setup;
	if (in_first_ifaddr() === null) return EADDRNOTAVAIL;
	if (nam !== null && ends.laddr !== INADDR_ANY) return EINVAL;
	const old_laddr = ends.laddr;
	let laddr = ends.laddr;
	let lport = 0;
	if (nam !== null) {
		const sin = nam as sockaddr_in;
		if (sin.sa_family !== AF_INET) return EAFNOSUPPORT;
		if (sin.sin_port !== ends.lport) {
			if (ends.lport !== 0) return EINVAL;
			lport = sin.sin_port;
		}
		laddr = sin.sin_addr;
		if (
			!IN_MULTICAST(laddr) &&
			laddr !== INADDR_ANY &&
			(inp.inp_flags & INP_BINDANY) === 0 &&
			ifa_ifwithaddr4(laddr) === null
		)
			return EADDRNOTAVAIL;
		if (lport !== 0) {
			const error = in_pcbbind_taken(inp, so, laddr, lport, cred);
			if (error !== 0) return error;
		}
	}
	if (ends.lport !== 0) lport = ends.lport;
	ends.laddr = laddr;
	if (lport !== 0) {
		ends.lport = lport;
		return 0;
	}
	const wild = (so.so_options & (SO_REUSEADDR | SO_REUSEPORT)) === 0 ? INPLOOKUP_WILDCARD : 0;
	const error = in_pcb_lport_dest(inp, ends, cred, wild, false);
	if (error !== 0) ends.laddr = old_laddr;
	return error;
}

/** Binds a block that has no local end yet. Write lock and hash lock are held. */
export function in_pcbbind(inp: inpcb, nam: sockaddr | null, cred: ucred): Errno {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	if (inp.inp_lport !== 0 || inp.inp_laddr !== INADDR_ANY) return EINVAL;
	const anonport = nam === null || (nam as sockaddr_in).sin_port === 0;
	const ends = in_scratch_endpoints();
	ends.laddr = inp.inp_laddr;
	ends.lport = inp.inp_lport;
	const error = in_pcbbind_setup(inp, nam, ends, cred);
	if (error !== 0) return error;
	inp.inp_laddr = ends.laddr;
	inp.inp_lport = ends.lport;
	if (in_pcbinshash(inp) !== 0) {
		inp.inp_laddr = INADDR_ANY;
		inp.inp_lport = 0;
		return EAGAIN;
	}
	if (anonport) inp.inp_flags |= INP_ANONPORT;
	return 0;
}

/**
 * Chooses the source address for a destination: that of the interface the route leads out by; without a route, or if the
 * destination is this host, that of an interface on the destination's network.
 *
 * @returns 0 with ends.laddr set, or ENETUNREACH
 */
export function in_pcbladdr(inp: inpcb, faddr: number, ends: in_endpoints): Errno {
	NET_EPOCH_ASSERT();
	const so = inp.inp_socket as socket;
	const nh = (so.so_options & SO_DONTROUTE) === 0 ? fib4_lookup(inp.inp_fibnum, faddr, 0, 0, 0) : null;
	if (nh !== null && (nh.nh_ifp.if_flags & IFF_LOOPBACK) === 0) {
		ends.laddr = (nh.nh_ifa.ifa_addr as sockaddr_in).sin_addr;
		return 0;
	}
	let ia = ifa_ifwithdstaddr4(faddr) ?? ifa_ifwithnet4(faddr);
	if (ia === null && nh !== null) ia = ifa_ifwithaddr4(faddr);
	if (ia === null) return ENETUNREACH;
	ends.laddr = ia.ia_addr.sin_addr;
	return 0;
}

/**
 * Works out both ends for a connection to `nam`. `ends` has the present local end on entry, and all four on success.
 *
 * @returns EADDRINUSE with ends.oinp set if the four-tuple is taken
 */
export function in_pcbconnect_setup(inp: inpcb, nam: sockaddr, ends: in_endpoints, cred: ucred): Errno {
	NET_EPOCH_ASSERT();
	INP_LOCK_ASSERT(inp);
	INP_HASH_LOCK_ASSERT(inp.inp_pcbinfo);
	curthread.td_pending += cost.in_pcbconnect_setup;
	ends.oinp = null;
	const sin = nam as sockaddr_in;
	if (sin.sa_family !== AF_INET) return EAFNOSUPPORT;
	if (sin.sin_port === 0) return EADDRNOTAVAIL;
	let faddr = sin.sin_addr;
	const first = in_first_ifaddr();
	if (first !== null) {
		if (faddr === INADDR_ANY) faddr = first.ia_addr.sin_addr;
		else if (faddr === INADDR_BROADCAST) faddr = in_broadaddr_of_first() ?? faddr;
	}
	const old_laddr = ends.laddr;
	if (ends.laddr === INADDR_ANY) {
		const error = in_pcbladdr(inp, faddr, ends);
		if (error !== 0) return error;
	}
	ends.faddr = faddr;
	ends.fport = sin.sin_port;
	if (ends.lport !== 0) {
		ends.oinp = in_pcblookup_hash_locked(inp.inp_pcbinfo, faddr, sin.sin_port, ends.laddr, ends.lport, 0);
		if (ends.oinp === null) return 0;
		ends.laddr = old_laddr;
		return EADDRINUSE;
	}
	const error = in_pcb_lport_dest(inp, ends, cred, INPLOOKUP_WILDCARD, true);
	if (error !== 0) ends.laddr = old_laddr;
	return error;
}

/** Connects a block, binding it first if it is not bound. Write lock and hash lock are held, inside the epoch. */
export function in_pcbconnect(inp: inpcb, nam: sockaddr, cred: ucred): Errno {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	const anonport = inp.inp_lport === 0;
	const ends = in_scratch_endpoints();
	ends.laddr = inp.inp_laddr;
	ends.lport = inp.inp_lport;
	const error = in_pcbconnect_setup(inp, nam, ends, cred);
	if (error !== 0) return error;
	if ((inp.inp_flags & INP_INHASHLIST) === 0) {
		inp.inp_lport = ends.lport;
		inp.inp_laddr = ends.laddr;
		if (in_pcbinshash(inp) !== 0) {
			inp.inp_laddr = INADDR_ANY;
			inp.inp_lport = 0;
			return EAGAIN;
		}
	}
	inp.inp_laddr = ends.laddr;
	inp.inp_faddr = ends.faddr;
	inp.inp_fport = ends.fport;
	in_pcbrehash(inp);
	if (anonport) inp.inp_flags |= INP_ANONPORT;
	return 0;
}

/** Undoes a connect; the local end stays. */
export function in_pcbdisconnect(inp: inpcb): void {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	inp.inp_faddr = INADDR_ANY;
	inp.inp_fport = 0;
	in_pcbrehash(inp);
}
