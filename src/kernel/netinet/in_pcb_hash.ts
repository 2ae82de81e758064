/**
 * Finding control blocks: by four-tuple for packets, by local port for bind.
 *
 * @see in_pcb.c in_pcblookup_hash_locked, in_pcblookup_local, in_pcbinshash; in6_pcb.c
 */
import type { ifnet } from "../ifnet/if_var.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import { KASSERT, panic } from "../sched/kernel.ts";
import { type Blocking, cost, curthread } from "../sched/thread.ts";
import { INADDR_ANY, in_get32 } from "./in.ts";
import {
	INP_FREED,
	INP_HASH_LOCK_ASSERT,
	INP_HASH_WLOCK_ASSERT,
	INP_INHASHLIST,
	INP_IPV4,
	INP_IPV6,
	INP_IPV6PROTO,
	INP_RLOCK,
	INP_RUNLOCK,
	INP_WLOCK,
	INP_WLOCK_ASSERT,
	INP_WUNLOCK,
	INPLOOKUP_MASK,
	INPLOOKUP_RLOCKPCB,
	INPLOOKUP_WILDCARD,
	INPLOOKUP_WLOCKPCB,
	type inpcb,
	type inpcbinfo,
	inpcbport,
} from "./in_pcb_var.ts";

/** what a socket bound to :: that also takes IPv4 counts in the best match */
const INP_LOOKUP_MAPPED_PCB_COST = 3;

export function INP_PCBHASH(faddr: number, lport: number, fport: number, mask: number): number {
	return (faddr ^ (faddr >>> 16) ^ lport ^ fport) & mask;
}

/** The part of an IPv6 address that goes into the hash. */
export function INP6_PCBHASHKEY(faddr: Uint8Array): number {
	return in_get32(faddr, 12);
}

function bucket_of(inp: inpcb): number {
	const key = (inp.inp_vflag & INP_IPV6) !== 0 ? INP6_PCBHASHKEY(inp.inp_faddr6) : inp.inp_faddr;
	return INP_PCBHASH(key, inp.inp_lport, inp.inp_fport, inp.inp_pcbinfo.ipi_hashmask);
}

function hash_insert(inp: inpcb): void {
	const base = inp.inp_pcbinfo.ipi_hashbase;
	const bucket = bucket_of(inp);
	const first = base[bucket];
	inp.inp_hash_bucket = bucket;
	inp.inp_hash_prev = null;
	inp.inp_hash_next = first;
	if (first !== null) first.inp_hash_prev = inp;
	base[bucket] = inp;
}

function hash_remove(inp: inpcb): void {
	const { inp_hash_next: next, inp_hash_prev: prev } = inp;
	if (prev === null) inp.inp_pcbinfo.ipi_hashbase[inp.inp_hash_bucket] = next;
	else prev.inp_hash_next = next;
	if (next !== null) next.inp_hash_prev = prev;
	inp.inp_hash_prev = null;
}

/** Enters a block, which has its local port and addresses now, into the hash. Both locks are held. */
export function in_pcbinshash(inp: inpcb): number {
	const pcbinfo = inp.inp_pcbinfo;
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(pcbinfo);
	KASSERT((inp.inp_flags & INP_INHASHLIST) === 0, "in_pcbinshash: INP_INHASHLIST");
	let phd = pcbinfo.ipi_porthash.get(inp.inp_lport);
	if (phd === undefined) {
		phd = new inpcbport(inp.inp_lport);
		pcbinfo.ipi_porthash.set(inp.inp_lport, phd);
	}
	inp.inp_phd = phd;
	inp.inp_portlist_prev = null;
	inp.inp_portlist_next = phd.phd_pcblist;
	if (phd.phd_pcblist !== null) phd.phd_pcblist.inp_portlist_prev = inp;
	phd.phd_pcblist = inp;
	hash_insert(inp);
	inp.inp_flags |= INP_INHASHLIST;
	return 0;
}

/** Moves a block whose foreign address or port changed. */
export function in_pcbrehash(inp: inpcb): void {
	INP_WLOCK_ASSERT(inp);
	INP_HASH_WLOCK_ASSERT(inp.inp_pcbinfo);
	KASSERT((inp.inp_flags & INP_INHASHLIST) !== 0, "in_pcbrehash: !INP_INHASHLIST");
	hash_remove(inp);
	hash_insert(inp);
}

/** Takes a block out of the hash and off its port. The hash lock is held. */
export function in_pcbremhash(inp: inpcb): void {
	const pcbinfo = inp.inp_pcbinfo;
	INP_HASH_WLOCK_ASSERT(pcbinfo);
	hash_remove(inp);
	const phd = inp.inp_phd as inpcbport;
	const { inp_portlist_next: next, inp_portlist_prev: prev } = inp;
	if (prev === null) phd.phd_pcblist = next;
	else prev.inp_portlist_next = next;
	if (next !== null) next.inp_portlist_prev = prev;
	if (phd.phd_pcblist === null) pcbinfo.ipi_porthash.delete(phd.phd_port);
	inp.inp_phd = null;
	inp.inp_flags &= ~INP_INHASHLIST;
}

/**
 * The block a packet belongs to: the exact four-tuple; then, with INPLOOKUP_WILDCARD, an unconnected block bound to the
 * destination address; then one bound to any address; last an IPv6 socket bound to any that takes IPv4 too.
 * Inside the network epoch, or with the hash lock held; the block is not locked.
 */
export function in_pcblookup_hash_locked(
	pcbinfo: inpcbinfo,
	faddr: number,
	fport: number,
	laddr: number,
	lport: number,
	lookupflags: number,
): inpcb | null {
	INP_HASH_LOCK_ASSERT(pcbinfo);
	curthread.td_pending += cost.in_pcblookup;
	const base = pcbinfo.ipi_hashbase;
	const mask = pcbinfo.ipi_hashmask;
	let inp = base[INP_PCBHASH(faddr, lport, fport, mask)];
	for (; inp !== null; inp = inp.inp_hash_next) {
		if ((inp.inp_vflag & INP_IPV4) === 0) continue;
		if (inp.inp_faddr === faddr && inp.inp_laddr === laddr && inp.inp_fport === fport && inp.inp_lport === lport)
			return inp;
	}
	if ((lookupflags & INPLOOKUP_WILDCARD) === 0) return null;
	let local_exact: inpcb | null = null;
	let local_wild: inpcb | null = null;
	let local_wild_mapped: inpcb | null = null;
	for (inp = base[INP_PCBHASH(INADDR_ANY, lport, 0, mask)]; inp !== null; inp = inp.inp_hash_next) {
		if ((inp.inp_vflag & INP_IPV4) === 0 || inp.inp_faddr !== INADDR_ANY || inp.inp_lport !== lport) continue;
		if (local_exact !== null) break;
		if (inp.inp_laddr === laddr) local_exact = inp;
		else if (inp.inp_laddr === INADDR_ANY) {
			if ((inp.inp_vflag & INP_IPV6PROTO) !== 0) local_wild_mapped = inp;
			else local_wild = inp;
		}
	}
	return local_exact ?? local_wild ?? local_wild_mapped;
}

/** Locks a block that a lookup found without a lock, unless it was freed meanwhile. */
export function* in_pcblookup_lock(inp: inpcb, lookupflags: number): Blocking<inpcb | null> {
	if ((lookupflags & INPLOOKUP_WLOCKPCB) !== 0) {
		yield* INP_WLOCK(inp);
		if ((inp.inp_flags2 & INP_FREED) === 0) return inp;
		yield* INP_WUNLOCK(inp);
	} else if ((lookupflags & INPLOOKUP_RLOCKPCB) !== 0) {
		yield* INP_RLOCK(inp);
		if ((inp.inp_flags2 & INP_FREED) === 0) return inp;
		yield* INP_RUNLOCK(inp);
	} else panic("in_pcblookup_hash: locking bug");
	return null;
}

/** Finds the block of a packet and locks it. @returns null if there is none */
export function* in_pcblookup(
	pcbinfo: inpcbinfo,
	faddr: number,
	fport: number,
	laddr: number,
	lport: number,
	lookupflags: number,
	_ifp: ifnet | null,
): Blocking<inpcb | null> {
	KASSERT((lookupflags & ~INPLOOKUP_MASK) === 0, `in_pcblookup: invalid lookup flags ${lookupflags}`);
	const inp = in_pcblookup_hash_locked(pcbinfo, faddr, fport, laddr, lport, lookupflags & INPLOOKUP_WILDCARD);
	return inp === null ? null : yield* in_pcblookup_lock(inp, lookupflags);
}

/** The same for callers that have the packet; a hash by the hardware would be used here, and there is none. */
export function* in_pcblookup_mbuf(
	pcbinfo: inpcbinfo,
	faddr: number,
	fport: number,
	laddr: number,
	lport: number,
	lookupflags: number,
	ifp: ifnet | null,
	_m: mbuf,
): Blocking<inpcb | null> {
	return yield* in_pcblookup(pcbinfo, faddr, fport, laddr, lport, lookupflags, ifp);
}

/**
 * A block that uses a local address and port, for bind. Without INPLOOKUP_WILDCARD an unconnected one bound to exactly
 * these; with it the one that fits best.
 */
export function in_pcblookup_local(
	pcbinfo: inpcbinfo,
	laddr: number,
	lport: number,
	lookupflags: number,
): inpcb | null {
	INP_HASH_LOCK_ASSERT(pcbinfo);
	if ((lookupflags & INPLOOKUP_WILDCARD) === 0) {
		let inp = pcbinfo.ipi_hashbase[INP_PCBHASH(INADDR_ANY, lport, 0, pcbinfo.ipi_hashmask)];
		for (; inp !== null; inp = inp.inp_hash_next) {
			if ((inp.inp_vflag & INP_IPV4) === 0) continue;
			if (inp.inp_faddr === INADDR_ANY && inp.inp_laddr === laddr && inp.inp_lport === lport) return inp;
		}
		return null;
	}
	const phd = pcbinfo.ipi_porthash.get(lport);
	if (phd === undefined) return null;
	let match: inpcb | null = null;
	let matchwild = 3 + INP_LOOKUP_MAPPED_PCB_COST;
	for (let inp = phd.phd_pcblist; inp !== null; inp = inp.inp_portlist_next) {
		if ((inp.inp_vflag & INP_IPV4) === 0) continue;
		let wildcard = (inp.inp_vflag & INP_IPV6) !== 0 ? INP_LOOKUP_MAPPED_PCB_COST : 0;
		if (inp.inp_faddr !== INADDR_ANY) wildcard++;
		if (inp.inp_laddr !== INADDR_ANY) {
			if (laddr === INADDR_ANY) wildcard++;
			else if (inp.inp_laddr !== laddr) continue;
		} else if (laddr !== INADDR_ANY) wildcard++;
		if (wildcard < matchwild) {
			match = inp;
			matchwild = wildcard;
			if (matchwild === 0) break;
		}
	}
	return match;
}
