/**
 * Control blocks with IPv6 addresses: lookups, bind, connect.
 *
 * Addresses of blocks carry their zone. @see netinet6/in6_pcb.c, netinet6/in6_src.c in6_pcbsetport
 */
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EHOSTUNREACH, EINVAL, type Errno } from "../errno.ts";
import type { ifnet } from "../ifnet/if_var.ts";
import { PRIV_NETINET_RESERVEDPORT, priv_check_cred } from "../jail/priv.ts";
import type { ucred } from "../jail/ucred.ts";
import { NET_EPOCH_ASSERT } from "../lock/epoch.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import { KASSERT } from "../sched/kernel.ts";
import { type Blocking, cost, curthread } from "../sched/thread.ts";
import { SO_REUSEADDR, SO_REUSEPORT, type socket } from "../socket/socket.ts";
import {
	AF_INET6,
	IN6_ARE_ADDR_EQUAL,
	IN6_IS_ADDR_MULTICAST,
	IN6_IS_ADDR_UNSPECIFIED,
	IN6_IS_ADDR_V4MAPPED,
	INADDR_ANY,
	IPPORT_RESERVED,
	in6addr_loopback,
	type sockaddr,
	type sockaddr_in6,
} from "./in.ts";
import {
	IN6P_IPV6_V6ONLY,
	INP_ANONPORT,
	INP_BINDANY,
	INP_HASH_LOCK_ASSERT,
	INP_HASH_WLOCK_ASSERT,
	INP_INFO_WLOCK,
	INP_INFO_WUNLOCK,
	INP_INHASHLIST,
	INP_IPV4,
	INP_IPV6,
	INP_PCBHASH,
	INP_WLOCK,
	INP_WLOCK_ASSERT,
	INP_WUNLOCK,
	INP6_PCBHASHKEY,
	INPLOOKUP_MASK,
	INPLOOKUP_WILDCARD,
	in_pcb_range,
	in_pcb_range_used,
	in_pcbinshash,
	in_pcblookup_local,
	in_pcblookup_lock,
	in_pcbrehash,
	inp_so_options,
	type inpcb,
	type inpcbinfo,
} from "./in_pcb.ts";
import { in6_selectsrc_addr } from "./in6_src.ts";
import { in6_ifa_ifwithaddr, V_in6_ifaddrhead } from "./in6_var.ts";
import { sa6_embedscope } from "./scope6.ts";

/** Like in_pcblookup_hash_locked, for IPv6: the exact four-tuple, then bound to the address, then to any. */
export function in6_pcblookup_hash_locked(
	pcbinfo: inpcbinfo,
	faddr: Uint8Array,
	fport: number,
	laddr: Uint8Array,
	lport: number,
	lookupflags: number,
): inpcb | null {
	INP_HASH_LOCK_ASSERT(pcbinfo);
	curthread.td_pending += cost.in_pcblookup;
	const base = pcbinfo.ipi_hashbase;
	const mask = pcbinfo.ipi_hashmask;
	let inp = base[INP_PCBHASH(INP6_PCBHASHKEY(faddr), lport, fport, mask)];
	for (; inp !== null; inp = inp.inp_hash_next) {
		if ((inp.inp_vflag & INP_IPV6) === 0 || inp.inp_fport !== fport || inp.inp_lport !== lport) continue;
		if (IN6_ARE_ADDR_EQUAL(inp.inp_faddr6, faddr) && IN6_ARE_ADDR_EQUAL(inp.inp_laddr6, laddr)) return inp;
	}
	if ((lookupflags & INPLOOKUP_WILDCARD) === 0) return null;
	let local_wild: inpcb | null = null;
	for (inp = base[INP_PCBHASH(0, lport, 0, mask)]; inp !== null; inp = inp.inp_hash_next) {
		if ((inp.inp_vflag & INP_IPV6) === 0 || inp.inp_lport !== lport || !IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6))
			continue;
		if (IN6_ARE_ADDR_EQUAL(inp.inp_laddr6, laddr)) return inp;
		if (IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6)) local_wild = inp;
	}
	return local_wild;
}

/** Finds the block of a packet and locks it. @returns null if there is none */
export function* in6_pcblookup(
	pcbinfo: inpcbinfo,
	faddr: Uint8Array,
	fport: number,
	laddr: Uint8Array,
	lport: number,
	lookupflags: number,
	_ifp: ifnet | null,
): Blocking<inpcb | null> {
	KASSERT((lookupflags & ~INPLOOKUP_MASK) === 0, `in6_pcblookup: invalid lookup flags ${lookupflags}`);
	const inp = in6_pcblookup_hash_locked(pcbinfo, faddr, fport, laddr, lport, lookupflags & INPLOOKUP_WILDCARD);
	return inp === null ? null : yield* in_pcblookup_lock(inp, lookupflags);
}

export function* in6_pcblookup_mbuf(
	pcbinfo: inpcbinfo,
	faddr: Uint8Array,
	fport: number,
	laddr: Uint8Array,
	lport: number,
	lookupflags: number,
	ifp: ifnet | null,
	_m: mbuf,
): Blocking<inpcb | null> {
	return yield* in6_pcblookup(pcbinfo, faddr, fport, laddr, lport, lookupflags, ifp);
}

/** A block that uses a local address and port, for bind; the one that fits best with INPLOOKUP_WILDCARD. */
export function in6_pcblookup_local(
	pcbinfo: inpcbinfo,
	laddr: Uint8Array,
	lport: number,
	lookupflags: number,
): inpcb | null {
	INP_HASH_LOCK_ASSERT(pcbinfo);
	const phd = pcbinfo.ipi_porthash.get(lport);
	if (phd === undefined) return null;
	const wild = (lookupflags & INPLOOKUP_WILDCARD) !== 0;
	const any = IN6_IS_ADDR_UNSPECIFIED(laddr);
	let match: inpcb | null = null;
	let matchwild = 3;
	for (let inp = phd.phd_pcblist; inp !== null; inp = inp.inp_portlist_next) {
		if ((inp.inp_vflag & INP_IPV6) === 0) continue;
		let wildcard = IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6) ? 0 : 1;
		if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6)) {
			if (any) wildcard++;
			else if (!IN6_ARE_ADDR_EQUAL(inp.inp_laddr6, laddr)) continue;
		} else if (!any) wildcard++;
		if (!wild && wildcard !== 0) continue;
		if (wildcard < matchwild) {
			match = inp;
			matchwild = wildcard;
			if (matchwild === 0) break;
		}
	}
	return match;
}

function lookup_flags(so: socket): number {
	return (so.so_options & (SO_REUSEADDR | SO_REUSEPORT)) === 0 ? INPLOOKUP_WILDCARD : 0;
}

/** Gives a block a free local port and enters it into the hash. @see in6_src.c in6_pcbsetport */
export function in6_pcbsetport(laddr: Uint8Array, inp: inpcb, cred: ucred): Errno {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	const range = in_pcb_range(inp, cred);
	if (typeof range === "number") return range;
	const flags = lookup_flags(inp.inp_socket as socket);
	let port = range.start;
	for (let count = range.last - range.first; count >= 0; count--) {
		port++;
		if (port < range.first || port > range.last) port = range.first;
		if (in6_pcblookup_local(inp.inp_pcbinfo, laddr, port, flags) !== null) continue;
		in_pcb_range_used(inp, port);
		inp.inp_lport = port;
		inp.inp_flags |= INP_ANONPORT;
		if (in_pcbinshash(inp) === 0) return 0;
		inp.inp_lport = 0;
		return EAGAIN;
	}
	return EADDRNOTAVAIL;
}

/** Whether another socket already has the local end that bind asks for. */
function in6_pcbbind_taken(inp: inpcb, laddr: Uint8Array, lport: number, cred: ucred): Errno {
	const so = inp.inp_socket as socket;
	const pcbinfo = inp.inp_pcbinfo;
	if (lport < IPPORT_RESERVED && priv_check_cred(cred, PRIV_NETINET_RESERVEDPORT) !== 0) return EACCES;
	const reuseport = so.so_options & SO_REUSEPORT;
	const flags = lookup_flags(so);
	const t = in6_pcblookup_local(pcbinfo, laddr, lport, flags);
	if (t !== null && (reuseport & inp_so_options(t)) === 0) return EADDRINUSE;
	if ((inp.inp_flags & IN6P_IPV6_V6ONLY) !== 0 || !IN6_IS_ADDR_UNSPECIFIED(laddr)) return 0;
	// this socket would take IPv4 as well
	const t4 = in_pcblookup_local(pcbinfo, INADDR_ANY, lport, flags);
	return t4 !== null && (reuseport & inp_so_options(t4)) === 0 ? EADDRINUSE : 0;
}

/** Binds a block that has no local end yet. Write lock and hash lock are held. */
export function in6_pcbbind(inp: inpcb, nam: sockaddr | null, cred: ucred): Errno {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	curthread.td_pending += cost.in_pcbbind_setup;
	if (V_in6_ifaddrhead().list.length === 0) return EADDRNOTAVAIL;
	if (inp.inp_lport !== 0 || !IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6)) return EINVAL;
	let lport = 0;
	if (nam !== null) {
		const sin6 = nam as sockaddr_in6;
		if (sin6.sa_family !== AF_INET6) return EAFNOSUPPORT;
		const laddr = sa6_embedscope(sin6);
		lport = sin6.sin6_port;
		if (
			!IN6_IS_ADDR_MULTICAST(laddr) &&
			!IN6_IS_ADDR_UNSPECIFIED(laddr) &&
			(inp.inp_flags & INP_BINDANY) === 0 &&
			in6_ifa_ifwithaddr(laddr, 0) === null
		)
			return EADDRNOTAVAIL;
		if (lport !== 0) {
			const error = in6_pcbbind_taken(inp, laddr, lport, cred);
			if (error !== 0) return error;
		}
		inp.inp_laddr6.set(laddr);
	}
	if (lport === 0) {
		const error = in6_pcbsetport(inp.inp_laddr6, inp, cred);
		if (error !== 0) inp.inp_laddr6.fill(0);
		return error;
	}
	inp.inp_lport = lport;
	if (in_pcbinshash(inp) === 0) return 0;
	inp.inp_laddr6.fill(0);
	inp.inp_lport = 0;
	return EAGAIN;
}

/** Connects a block, binding it first if it is not bound. Write lock and hash lock are held, inside the epoch. */
export function in6_pcbconnect(inp: inpcb, nam: sockaddr, cred: ucred): Errno {
	NET_EPOCH_ASSERT();
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	curthread.td_pending += cost.in_pcbconnect_setup;
	const sin6 = nam as sockaddr_in6;
	if (sin6.sa_family !== AF_INET6) return EAFNOSUPPORT;
	if (sin6.sin6_port === 0 || IN6_IS_ADDR_V4MAPPED(sin6.sin6_addr)) return EADDRNOTAVAIL;
	const faddr = IN6_IS_ADDR_UNSPECIFIED(sin6.sin6_addr) ? in6addr_loopback : sa6_embedscope(sin6);
	let laddr: Uint8Array = inp.inp_laddr6;
	if (IN6_IS_ADDR_UNSPECIFIED(laddr)) {
		const ia = in6_selectsrc_addr(inp.inp_fibnum, faddr);
		if (ia === null) return EHOSTUNREACH;
		laddr = ia.ia_addr.sin6_addr;
	}
	if (in6_pcblookup_hash_locked(inp.inp_pcbinfo, faddr, sin6.sin6_port, laddr, inp.inp_lport, 0) !== null)
		return EADDRINUSE;
	if (inp.inp_lport === 0) {
		const error = in6_pcbsetport(laddr, inp, cred);
		if (error !== 0) return error;
	}
	inp.inp_laddr6.set(laddr);
	inp.inp_faddr6.set(faddr);
	inp.inp_fport = sin6.sin6_port;
	inp.inp_vflag &= ~INP_IPV4;
	if ((inp.inp_flags & INP_INHASHLIST) === 0) return in_pcbinshash(inp);
	in_pcbrehash(inp);
	return 0;
}

/** Undoes a connect; the local end stays. */
export function in6_pcbdisconnect(inp: inpcb): void {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	inp.inp_faddr6.fill(0);
	inp.inp_fport = 0;
	in_pcbrehash(inp);
}

/** Tells every block connected to `faddr` of an error. @see in6_pcb.c in6_pcbnotify */
export function* in6_pcbnotify(
	pcbinfo: inpcbinfo,
	faddr: Uint8Array,
	fport: number,
	errno: Errno,
	notify: (inp: inpcb, errno: Errno) => Blocking<inpcb | null>,
): Blocking<void> {
	yield* INP_INFO_WLOCK(pcbinfo);
	let inp = pcbinfo.ipi_listhead;
	while (inp !== null) {
		const next: inpcb | null = inp.inp_list_next;
		yield* INP_WLOCK(inp);
		const concerned =
			(inp.inp_vflag & INP_IPV6) !== 0 &&
			inp.inp_socket !== null &&
			IN6_ARE_ADDR_EQUAL(inp.inp_faddr6, faddr) &&
			(fport === 0 || inp.inp_fport === fport);
		if (!concerned || (yield* notify(inp, errno)) !== null) yield* INP_WUNLOCK(inp);
		inp = next;
	}
	yield* INP_INFO_WUNLOCK(pcbinfo);
}
