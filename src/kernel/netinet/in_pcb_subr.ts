/**
 * The life of a control block: made with its socket, perhaps outliving it, freed after the network epoch.
 *
 * @see in_pcb.c in_pcballoc, in_pcbdetach, in_pcbfree, in_pcbrele_rlocked, in_pcbnotifyall
 */
import { ENOBUFS, type Errno } from "../errno.ts";
import { crfree, crhold } from "../jail/ucred.ts";
import { refcount_acquire, refcount_init, refcount_release } from "../lock/atomic.ts";
import { NET_EPOCH_CALL } from "../lock/epoch.ts";
import { lock_renew } from "../lock/lock.ts";
import { MTX_DEF, MTX_RECURSE, mtx_destroy, mtx_init } from "../lock/mutex.ts";
import { RW_RECURSE, rw_destroy, rw_init_flags } from "../lock/rwlock.ts";
import { m_freem } from "../mbuf/mbuf.ts";
import { M_NOWAIT, UMA_ALIGN_PTR, uma_zalloc, uma_zcreate, uma_zdestroy, uma_zfree } from "../mbuf/uma.ts";
import { RO_INVALIDATE_CACHE } from "../route/nhop.ts";
import { CURVNET_RESTORE, CURVNET_SET, curvnet, KASSERT, MPASS } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SO_REUSEADDR, SO_REUSEPORT, type socket } from "../socket/socket.ts";
import { AF_INET6, type sockaddr, sockaddr_in, sockaddr_in6 } from "./in.ts";
import { in_pcbremhash } from "./in_pcb_hash.ts";
import {
	IN6P_IPV6_V6ONLY,
	INP_DROPPED,
	INP_FREED,
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_INFO_WLOCK,
	INP_INFO_WUNLOCK,
	INP_INHASHLIST,
	INP_IPV4,
	INP_IPV6,
	INP_IPV6PROTO,
	INP_LIST_WLOCK,
	INP_LIST_WUNLOCK,
	INP_REUSEADDR,
	INP_REUSEPORT,
	INP_RLOCK,
	INP_RUNLOCK,
	INP_WLOCK,
	INP_WLOCK_ASSERT,
	INP_WUNLOCK,
	inpcb,
	inpcbinfo,
	sotoinpcb,
} from "./in_pcb_var.ts";

/**
 * Makes a protocol's tables for the current vnet.
 *
 * @param lockname class of the locks of its blocks
 */
export function in_pcbinfo_init(name: string, lockname: string, hash_nelements: number): inpcbinfo {
	const zone = uma_zcreate<inpcb>(
		`${name}_inpcb`,
		400,
		null,
		null,
		(inp) => {
			rw_init_flags(inp.inp_lock, lockname, RW_RECURSE);
			return 0;
		},
		(inp) => rw_destroy(inp.inp_lock),
		UMA_ALIGN_PTR,
		0,
		() => new inpcb(),
	);
	const pcbinfo = new inpcbinfo(name, hash_nelements, zone, curvnet());
	mtx_init(pcbinfo.ipi_lock, name, null, MTX_DEF | MTX_RECURSE);
	mtx_init(pcbinfo.ipi_hash_lock, `${name}_hash`, null, MTX_DEF);
	rw_init_flags(pcbinfo.ipi_list_lock, `${name}_list`, 0);
	return pcbinfo;
}

/** Gives the tables back when a vnet goes; no block may be left. */
export function in_pcbinfo_destroy(pcbinfo: inpcbinfo): void {
	KASSERT(pcbinfo.ipi_count === 0, `in_pcbinfo_destroy: ipi_count = ${pcbinfo.ipi_count}`);
	uma_zdestroy(pcbinfo.ipi_zone);
	mtx_destroy(pcbinfo.ipi_hash_lock);
	rw_destroy(pcbinfo.ipi_list_lock);
	mtx_destroy(pcbinfo.ipi_lock);
}

/** A block from the zone still carries what its last owner left in it. */
function in_pcbclear(inp: inpcb): void {
	// an item of this CPU's cache, so it was this CPU that had it last, whoever had the object that stands for it: see uma.ts
	lock_renew(inp.inp_lock);
	inp.inp_hash_next = null;
	inp.inp_hash_prev = null;
	inp.inp_hash_bucket = -1;
	inp.inp_portlist_next = null;
	inp.inp_portlist_prev = null;
	inp.inp_phd = null;
	inp.inp_list_next = null;
	inp.inp_list_prev = null;
	inp.inp_flags = 0;
	inp.inp_flags2 = 0;
	inp.inp_ppcb = null;
	inp.inp_flow = 0;
	inp.inp_vflag = 0;
	inp.inp_ip_ttl = 0;
	inp.inp_ip_p = 0;
	inp.inp_ip_minttl = 0;
	inp.inp_ip_tos = 0;
	inp.inp_flowid = 0;
	inp.inp_flowtype = 0;
	inp.inp_laddr = 0;
	inp.inp_faddr = 0;
	inp.inp_lport = 0;
	inp.inp_fport = 0;
	inp.inp_laddr6.fill(0);
	inp.inp_faddr6.fill(0);
	inp.inp_zoneid = 0;
	inp.inp_options = null;
	inp.in6p_hops = -1;
	inp.in6p_cksum = -1;
	inp.in6p_tclass = 0;
	RO_INVALIDATE_CACHE(inp.inp_route);
}

/** Makes the block of a socket. On success so_pcb is set, and the block is write-locked. */
export function* in_pcballoc(so: socket, pcbinfo: inpcbinfo): Blocking<Errno> {
	charge(cost.in_pcballoc);
	const inp = uma_zalloc(pcbinfo.ipi_zone, M_NOWAIT);
	if (inp === null) return ENOBUFS;
	in_pcbclear(inp);
	inp.inp_pcbinfo = pcbinfo;
	inp.inp_vnet = pcbinfo.ipi_vnet;
	inp.inp_socket = so;
	crhold(so.so_cred);
	inp.inp_cred = so.so_cred;
	inp.inp_fibnum = so.so_fibnum;
	yield* INP_WLOCK(inp);
	if (so.so_proto.pr_domain === AF_INET6) inp.inp_vflag |= INP_IPV6PROTO | INP_IPV6;
	if ((inp.inp_vflag & INP_IPV6PROTO) !== 0) inp.inp_flags |= IN6P_IPV6_V6ONLY;
	yield* INP_LIST_WLOCK(pcbinfo);
	inp.inp_list_next = pcbinfo.ipi_listhead;
	if (pcbinfo.ipi_listhead !== null) pcbinfo.ipi_listhead.inp_list_prev = inp;
	pcbinfo.ipi_listhead = inp;
	pcbinfo.ipi_count++;
	inp.inp_gencnt = ++pcbinfo.ipi_gencnt;
	refcount_init(inp.inp_refcount, 1);
	yield* INP_LIST_WUNLOCK(pcbinfo);
	so.so_pcb = inp;
	return 0;
}

/** Parts socket and block; TCP's may live on. */
export function in_pcbdetach(inp: inpcb): void {
	KASSERT(inp.inp_socket !== null, "in_pcbdetach: inp_socket == NULL");
	(inp.inp_socket as socket).so_pcb = null;
	inp.inp_socket = null;
}

/** Keeps the block's memory while its lock is not held. */
export function in_pcbref(inp: inpcb): void {
	KASSERT(inp.inp_refcount.refcnt > 0, "in_pcbref: refcount 0");
	refcount_acquire(inp.inp_refcount);
}

/** Drops a reference with the read lock held. @returns true if the block is gone, and the lock with it */
export function* in_pcbrele_rlocked(inp: inpcb): Blocking<boolean> {
	KASSERT(inp.inp_refcount.refcnt > 0, "in_pcbrele_rlocked: refcount 0");
	const last = refcount_release(inp.inp_refcount);
	if (!last && (inp.inp_flags2 & INP_FREED) === 0) return false;
	yield* INP_RUNLOCK(inp);
	if (last) in_pcbzfree(inp);
	return true;
}

/** Drops a reference with the write lock held. @returns true if the block is gone, and the lock with it */
export function* in_pcbrele_wlocked(inp: inpcb): Blocking<boolean> {
	KASSERT(inp.inp_refcount.refcnt > 0, "in_pcbrele_wlocked: refcount 0");
	INP_WLOCK_ASSERT(inp);
	const last = refcount_release(inp.inp_refcount);
	if (!last && (inp.inp_flags2 & INP_FREED) === 0) return false;
	yield* INP_WUNLOCK(inp);
	if (last) in_pcbzfree(inp);
	return true;
}
export const in_pcbrele = in_pcbrele_wlocked;

function in_pcbzfree(inp: inpcb): void {
	KASSERT(inp.inp_socket === null, "in_pcbrele: inp_socket != NULL");
	uma_zfree(inp.inp_pcbinfo.ipi_zone, inp);
}

/** After the epoch: nobody can find the block any more; gives back what it holds. */
function* in_pcbfree_deferred(inp: inpcb): Blocking<void> {
	yield* INP_WLOCK(inp);
	const saved = CURVNET_SET(inp.inp_vnet);
	if (inp.inp_options !== null) m_freem(inp.inp_options);
	inp.inp_options = null;
	inp.inp_vflag = 0;
	crfree(inp.inp_cred);
	const released = yield* in_pcbrele_wlocked(inp);
	MPASS(released, "released");
	CURVNET_RESTORE(saved);
}

/** Takes the block out of all tables and frees it after a grace period. Entered with the write lock, which it drops. */
export function* in_pcbfree(inp: inpcb): Blocking<void> {
	const pcbinfo = inp.inp_pcbinfo;
	KASSERT(inp.inp_socket === null, "in_pcbfree: inp_socket != NULL");
	KASSERT((inp.inp_flags2 & INP_FREED) === 0, "in_pcbfree: called twice for pcb");
	INP_WLOCK_ASSERT(inp);
	yield* INP_LIST_WLOCK(pcbinfo);
	inp.inp_gencnt = ++pcbinfo.ipi_gencnt;
	if ((inp.inp_flags & INP_INHASHLIST) !== 0) {
		yield* INP_HASH_WLOCK(pcbinfo);
		in_pcbremhash(inp);
		yield* INP_HASH_WUNLOCK(pcbinfo);
	}
	const { inp_list_next: next, inp_list_prev: prev } = inp;
	if (prev === null) pcbinfo.ipi_listhead = next;
	else prev.inp_list_next = next;
	if (next !== null) next.inp_list_prev = prev;
	pcbinfo.ipi_count--;
	yield* INP_LIST_WUNLOCK(pcbinfo);
	RO_INVALIDATE_CACHE(inp.inp_route);
	inp.inp_flags2 |= INP_FREED;
	yield* INP_WUNLOCK(inp);
	NET_EPOCH_CALL(in_pcbfree_deferred, inp);
}

/** Gives up address and port, so that no packet finds the block, while the socket stays open. */
export function* in_pcbdrop(inp: inpcb): Blocking<void> {
	INP_WLOCK_ASSERT(inp);
	inp.inp_flags |= INP_DROPPED;
	if ((inp.inp_flags & INP_INHASHLIST) !== 0) {
		yield* INP_HASH_WLOCK(inp.inp_pcbinfo);
		in_pcbremhash(inp);
		yield* INP_HASH_WUNLOCK(inp.inp_pcbinfo);
	}
}

/** The block's copy of the socket's options. */
export function inp_so_options(inp: inpcb): number {
	let so_options = 0;
	if ((inp.inp_flags2 & INP_REUSEPORT) !== 0) so_options |= SO_REUSEPORT;
	if ((inp.inp_flags2 & INP_REUSEADDR) !== 0) so_options |= SO_REUSEADDR;
	return so_options;
}

export function in_sockaddr(port: number, addr: number): sockaddr_in {
	return new sockaddr_in(addr, port);
}

/** pru_sockaddr of IPv4 sockets: what the socket is bound to. */
export function* in_getsockaddr(so: socket): Blocking<sockaddr | Errno> {
	const inp = sotoinpcb(so);
	KASSERT(inp !== null, "in_getsockaddr: inp == NULL");
	yield* INP_RLOCK(inp);
	const nam = in_sockaddr(inp.inp_lport, inp.inp_laddr);
	yield* INP_RUNLOCK(inp);
	return nam;
}

/** pru_peeraddr of IPv4 sockets. */
export function* in_getpeeraddr(so: socket): Blocking<sockaddr | Errno> {
	const inp = sotoinpcb(so);
	KASSERT(inp !== null, "in_getpeeraddr: inp == NULL");
	yield* INP_RLOCK(inp);
	const nam = in_sockaddr(inp.inp_fport, inp.inp_faddr);
	yield* INP_RUNLOCK(inp);
	return nam;
}

function in6_sockaddr(port: number, addr: Uint8Array, zone: number): sockaddr_in6 {
	const nam = new sockaddr_in6(addr.slice(), port);
	nam.sin6_scope_id = zone;
	return nam;
}

/** pru_sockaddr of IPv6 sockets; an IPv4 peer's addresses come v4-mapped. @see in6_pcb.c in6_mapped_sockaddr */
export function* in6_getsockaddr(so: socket): Blocking<sockaddr | Errno> {
	const inp = sotoinpcb(so);
	yield* INP_RLOCK(inp);
	const nam = in6_sockaddr(inp.inp_lport, inp.inp_laddr6, inp.inp_zoneid);
	yield* INP_RUNLOCK(inp);
	return nam;
}

/** pru_peeraddr of IPv6 sockets. */
export function* in6_getpeeraddr(so: socket): Blocking<sockaddr | Errno> {
	const inp = sotoinpcb(so);
	yield* INP_RLOCK(inp);
	const nam = in6_sockaddr(inp.inp_fport, inp.inp_faddr6, inp.inp_zoneid);
	yield* INP_RUNLOCK(inp);
	return nam;
}

/**
 * Tells every block connected to `faddr` of an error. `notify` gets the block write-locked and returns it, or null if it
 * has dropped the lock itself.
 */
export function* in_pcbnotifyall(
	pcbinfo: inpcbinfo,
	faddr: number,
	errno: Errno,
	notify: (inp: inpcb, errno: Errno) => Blocking<inpcb | null>,
): Blocking<void> {
	yield* INP_INFO_WLOCK(pcbinfo);
	let inp = pcbinfo.ipi_listhead;
	while (inp !== null) {
		const next: inpcb | null = inp.inp_list_next;
		yield* INP_WLOCK(inp);
		const concerned = (inp.inp_vflag & INP_IPV4) !== 0 && inp.inp_faddr === faddr && inp.inp_socket !== null;
		if (!concerned || (yield* notify(inp, errno)) !== null) yield* INP_WUNLOCK(inp);
		inp = next;
	}
	yield* INP_INFO_WUNLOCK(pcbinfo);
}
