/**
 * The protocol control block of an Internet socket, and the tables all blocks of a protocol are in.
 *
 * Lock order: ipi_lock, inp_lock, ipi_list_lock, ipi_hash_lock. Lookups walk the hash chains inside the network epoch and
 * take only the lock of the block they find; whoever changes a chain holds ipi_hash_lock.
 *
 * Simplified: no connection groups (PCBGROUP, RSS), no load-balancing groups, and no address restrictions by prison,
 * because every jail of this kernel has a network stack of its own.
 *
 * @see netinet/in_pcb.h
 */
import { wide_fields } from "../../machine/shape.ts";
import type { ucred } from "../jail/ucred.ts";
import { refcount } from "../lock/atomic.ts";
import { MA_OWNED, mtx, mtx_assert, mtx_lock, mtx_owned, mtx_unlock } from "../lock/mutex.ts";
import {
	RA_LOCKED,
	RA_RLOCKED,
	RA_WLOCKED,
	rw_assert,
	rw_rlock,
	rw_runlock,
	rw_wlock,
	rw_wowned,
	rw_wunlock,
	rwlock,
} from "../lock/rwlock.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { uma_zone } from "../mbuf/uma.ts";
import { route } from "../route/nhop.ts";
import { MPASS, type vnet } from "../sched/kernel.ts";
import { type Blocking, curthread } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";

// inp_vflag
export const INP_IPV4 = 0x1;
export const INP_IPV6 = 0x2;
/** opened as an IPv6 socket */
export const INP_IPV6PROTO = 0x4;

// inp_flags
export const INP_RECVDSTADDR = 0x00000004;
export const INP_HDRINCL = 0x00000008;
export const INP_HIGHPORT = 0x00000010;
export const INP_LOWPORT = 0x00000020;
/** the kernel chose the port */
export const INP_ANONPORT = 0x00000040;
export const INP_RECVTTL = 0x00000400;
export const INP_DONTFRAG = 0x00000800;
export const INP_BINDANY = 0x00001000;
export const INP_INHASHLIST = 0x00002000;
export const INP_RECVTOS = 0x00004000;
export const IN6P_IPV6_V6ONLY = 0x00008000;
export const IN6P_PKTINFO = 0x00010000;
export const IN6P_HOPLIMIT = 0x00020000;
export const IN6P_TCLASS = 0x00400000;
export const INP_TIMEWAIT = 0x01000000;
export const INP_ONESBCAST = 0x02000000;
export const INP_DROPPED = 0x04000000;
export const INP_SOCKREF = 0x08000000;
export const INP_CONTROLOPTS = INP_RECVDSTADDR | INP_RECVTTL | INP_RECVTOS | IN6P_PKTINFO | IN6P_HOPLIMIT | IN6P_TCLASS;

// inp_flags2
export const INP_REUSEPORT = 0x00000008;
/** freed; somebody still refers to it */
export const INP_FREED = 0x00000010;
export const INP_REUSEADDR = 0x00000020;

// flags of the lookups
export const INPLOOKUP_WILDCARD = 0x1;
export const INPLOOKUP_RLOCKPCB = 0x2;
export const INPLOOKUP_WLOCKPCB = 0x4;
export const INPLOOKUP_MASK = INPLOOKUP_WILDCARD | INPLOOKUP_RLOCKPCB | INPLOOKUP_WLOCKPCB;

/** All blocks bound to one local port. @see netinet/in_pcb.h struct inpcbport */
export class inpcbport {
	readonly phd_port: number;
	phd_pcblist: inpcb | null = null;
	constructor(port: number) {
		this.phd_port = port;
	}
}

export class inpcb {
	readonly inp_lock = new rwlock();
	/** hash chain */
	inp_hash_next: inpcb | null = null;
	inp_hash_prev: inpcb | null = null;
	inp_hash_bucket = -1;
	/** all blocks with the same local port */
	inp_portlist_next: inpcb | null = null;
	inp_portlist_prev: inpcb | null = null;
	inp_phd: inpcbport | null = null;
	/** all blocks of the protocol */
	inp_list_next: inpcb | null = null;
	inp_list_prev: inpcb | null = null;
	readonly inp_refcount = new refcount();
	inp_flags = 0;
	inp_flags2 = 0;
	/** tcpcb or udpcb */
	inp_ppcb: object | null = null;
	inp_socket: socket | null = null;
	inp_pcbinfo!: inpcbinfo;
	inp_cred!: ucred;
	inp_flow = 0;
	inp_vflag = 0;
	inp_ip_ttl = 0;
	inp_ip_p = 0;
	inp_ip_minttl = 0;
	inp_ip_tos = 0;
	inp_flowid = 0;
	inp_flowtype = 0;
	/** struct in_conninfo: host-order numbers; IPv6 addresses beside them */
	inp_fibnum = 0;
	inp_laddr = 0;
	inp_faddr = 0;
	inp_lport = 0;
	inp_fport = 0;
	readonly inp_laddr6 = new Uint8Array(16);
	readonly inp_faddr6 = new Uint8Array(16);
	inp_zoneid = 0;
	inp_options: mbuf | null = null;
	/** -1: the stack's default */
	in6p_hops = -1;
	/** offset of the checksum in raw IPv6 packets, -1 for none */
	in6p_cksum = -1;
	in6p_tclass = 0;
	readonly inp_route = new route();
	inp_gencnt = 0;
	inp_vnet!: vnet;
}

wide_fields(new inpcb(), "inp_laddr", "inp_faddr", "inp_lport", "inp_fport");

/** One protocol's blocks in one vnet. */
export class inpcbinfo {
	readonly ipi_name: string;
	readonly ipi_lock = new mtx();
	readonly ipi_list_lock = new rwlock();
	readonly ipi_hash_lock = new mtx();
	ipi_listhead: inpcb | null = null;
	ipi_count = 0;
	ipi_gencnt = 0;
	ipi_lastport = 0;
	ipi_lastlow = 0;
	ipi_lasthi = 0;
	/** choose ephemeral ports at random: UDP always, TCP unless it opens very many connections */
	ipi_random = true;
	readonly ipi_hashbase: (inpcb | null)[];
	readonly ipi_hashmask: number;
	readonly ipi_porthash = new Map<number, inpcbport>();
	readonly ipi_zone: uma_zone<inpcb>;
	readonly ipi_vnet: vnet;

	constructor(name: string, hash_nelements: number, zone: uma_zone<inpcb>, vn: vnet) {
		this.ipi_name = name;
		this.ipi_hashbase = new Array<inpcb | null>(hash_nelements).fill(null);
		this.ipi_hashmask = hash_nelements - 1;
		this.ipi_zone = zone;
		this.ipi_vnet = vn;
	}
}

wide_fields(new inpcbinfo("", 1, undefined as never, undefined as never), "ipi_lastport");

export function INP_RLOCK(inp: inpcb): Blocking<void> {
	return rw_rlock(inp.inp_lock);
}
export function INP_RUNLOCK(inp: inpcb): Blocking<void> {
	return rw_runlock(inp.inp_lock);
}
export function INP_WLOCK(inp: inpcb): Blocking<void> {
	return rw_wlock(inp.inp_lock);
}
export function INP_WUNLOCK(inp: inpcb): Blocking<void> {
	return rw_wunlock(inp.inp_lock);
}
export function INP_WLOCKED(inp: inpcb): boolean {
	return rw_wowned(inp.inp_lock);
}
/** Releases the lock, however it is held. */
export function INP_UNLOCK(inp: inpcb): Blocking<void> {
	return rw_wowned(inp.inp_lock) ? rw_wunlock(inp.inp_lock) : rw_runlock(inp.inp_lock);
}
export function INP_LOCK_ASSERT(inp: inpcb): void {
	rw_assert(inp.inp_lock, RA_LOCKED);
}
export function INP_RLOCK_ASSERT(inp: inpcb): void {
	rw_assert(inp.inp_lock, RA_RLOCKED);
}
export function INP_WLOCK_ASSERT(inp: inpcb): void {
	rw_assert(inp.inp_lock, RA_WLOCKED);
}
export function INP_INFO_WLOCK(ipi: inpcbinfo): Blocking<void> {
	return mtx_lock(ipi.ipi_lock);
}
export function INP_INFO_WUNLOCK(ipi: inpcbinfo): Blocking<void> {
	return mtx_unlock(ipi.ipi_lock);
}
export function INP_INFO_WLOCK_ASSERT(ipi: inpcbinfo): void {
	mtx_assert(ipi.ipi_lock, MA_OWNED);
}
export function INP_INFO_LOCK_ASSERT(ipi: inpcbinfo): void {
	MPASS(curthread.td_epochnest > 0 || mtx_owned(ipi.ipi_lock), "in_epoch(net_epoch_preempt) || mtx_owned(&ipi_lock)");
}
export function INP_LIST_WLOCK(ipi: inpcbinfo): Blocking<void> {
	return rw_wlock(ipi.ipi_list_lock);
}
export function INP_LIST_WUNLOCK(ipi: inpcbinfo): Blocking<void> {
	return rw_wunlock(ipi.ipi_list_lock);
}
export function INP_HASH_WLOCK(ipi: inpcbinfo): Blocking<void> {
	return mtx_lock(ipi.ipi_hash_lock);
}
export function INP_HASH_WUNLOCK(ipi: inpcbinfo): Blocking<void> {
	return mtx_unlock(ipi.ipi_hash_lock);
}
export function INP_HASH_WLOCK_ASSERT(ipi: inpcbinfo): void {
	mtx_assert(ipi.ipi_hash_lock, MA_OWNED);
}
export function INP_HASH_LOCK_ASSERT(ipi: inpcbinfo): void {
	MPASS(
		curthread.td_epochnest > 0 || mtx_owned(ipi.ipi_hash_lock),
		"in_epoch(net_epoch_preempt) || mtx_owned(&ipi_hash_lock)",
	);
}

/** The block of a socket, which must have one. */
export function sotoinpcb(so: socket): inpcb {
	return so.so_pcb as inpcb;
}
