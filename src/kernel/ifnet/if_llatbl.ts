/**
 * The table of an interface's IPv4 neighbours.
 *
 * Entries are found without a lock, inside the net epoch, and changed under their own lock; linking and unlinking takes the
 * table's. Simplified: one table class for ARP (IPv6 keeps its own), and a Map in place of the hash chains.
 *
 * @see net/if_llatbl.c, net/if_llatbl.h
 */
import { Words } from "../../machine/words.ts";
import { callout, callout_init, callout_stop } from "../callout/callout.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { KERNEL_GLOBAL } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import { ETHER_HDR_LEN } from "./ethernet.ts";
import type { ifnet } from "./if_var.ts";

// la_flags
export const LLE_DELETED = 0x0001;
export const LLE_STATIC = 0x0002;
/** one of our own addresses */
export const LLE_IFADDR = 0x0004;
export const LLE_VALID = 0x0008;
export const LLE_LINKED = 0x0040;

// r_flags, read without a lock
export const RLLE_VALID = 0x0001;
export const RLLE_IFADDR = LLE_IFADDR;

export const ARP_LLINFO_INCOMPLETE = 0;
export const ARP_LLINFO_REACHABLE = 1;
export const ARP_LLINFO_VERIFY = 2;
export const ARP_LLINFO_DELETED = 3;

class lle_stats {
	inuse = 0;
}

/** entries that exist, over all tables: a leak check */
export const lle_count = KERNEL_GLOBAL(() => new lle_stats());

export class llentry {
	readonly lle_tbl: lltable;
	readonly lle_lock = new mtx();
	readonly lle_timer = new callout();
	/** IPv4 address, host order */
	readonly r_l3addr: number;
	/** the whole link header for packets to it */
	readonly r_linkdata = new Words(ETHER_HDR_LEN);
	r_flags = 0;
	/** set while the timer wants to know whether the entry is still used; cleared by its use */
	r_skip_req = 0;
	la_flags = 0;
	/** packets that wait for the answer, linked through m_nextpkt */
	la_hold: mbuf | null = null;
	la_numheld = 0;
	/** seconds since boot */
	la_expire = 0;
	la_asked = 0;
	/** refresh requests left before the entry expires */
	la_preempt = 0;
	ln_state = ARP_LLINFO_INCOMPLETE;
	lle_refcnt = 1;

	constructor(tbl: lltable, addr: number) {
		this.lle_tbl = tbl;
		this.r_l3addr = addr;
		mtx_init(this.lle_lock, "lle", null, MTX_DEF);
		callout_init(this.lle_timer, true);
		lle_count().inuse++;
	}
}

export class lltable {
	readonly llt_ifp: ifnet;
	readonly llt_lock = new mtx();
	/** by r_l3addr as a signed number, which the host finds sooner than a large one */
	private readonly llt_hash = new Map<number, llentry>();

	constructor(ifp: ifnet) {
		this.llt_ifp = ifp;
		mtx_init(this.llt_lock, "if_afdata", null, MTX_DEF);
	}

	get(addr: number): llentry | undefined {
		return this.llt_hash.get(addr | 0);
	}

	add(lle: llentry): void {
		this.llt_hash.set(lle.r_l3addr | 0, lle);
	}

	remove(lle: llentry): void {
		this.llt_hash.delete(lle.r_l3addr | 0);
	}

	entries(): llentry[] {
		return [...this.llt_hash.values()];
	}
}

export function LLE_WLOCK(lle: llentry): Blocking<void> {
	return mtx_lock(lle.lle_lock);
}

export function LLE_WUNLOCK(lle: llentry): Blocking<void> {
	return mtx_unlock(lle.lle_lock);
}

/** Finds an entry; lockless. */
export function lla_lookup(llt: lltable, addr: number): llentry | null {
	return llt.get(addr) ?? null;
}

/** Finds an entry and locks it. */
export function* lla_lookup_exclusive(llt: lltable, addr: number): Blocking<llentry | null> {
	const lle = lla_lookup(llt, addr);
	if (lle === null) return null;
	yield* LLE_WLOCK(lle);
	if ((lle.la_flags & LLE_DELETED) === 0) return lle;
	yield* LLE_WUNLOCK(lle);
	return null;
}

/**
 * Links a new, locked entry unless there is one for the address already, which is preferred.
 *
 * @returns the locked entry to use
 */
export function* lltable_link_or_find(llt: lltable, lle: llentry): Blocking<llentry> {
	yield* mtx_lock(llt.llt_lock);
	const other = llt.get(lle.r_l3addr);
	if (other === undefined) {
		llt.add(lle);
		lle.la_flags |= LLE_LINKED;
	}
	yield* mtx_unlock(llt.llt_lock);
	if (other === undefined) return lle;
	yield* LLE_WLOCK(other);
	yield* llentry_free(lle);
	return other;
}

/** Gives up a reference to a locked entry; the lock is released either way. @see LLE_FREE_LOCKED */
export function* LLE_FREE_LOCKED(lle: llentry): Blocking<void> {
	lle.lle_refcnt--;
	yield* mtx_unlock(lle.lle_lock);
	if (lle.lle_refcnt === 0) {
		mtx_destroy(lle.lle_lock);
		lle_count().inuse--;
	}
}

/** Takes a locked entry out of its table. */
export function* lltable_unlink_entry(lle: llentry): Blocking<void> {
	const llt = lle.lle_tbl;
	yield* mtx_lock(llt.llt_lock);
	if ((lle.la_flags & LLE_LINKED) !== 0) {
		llt.remove(lle);
		lle.la_flags &= ~LLE_LINKED;
	}
	yield* mtx_unlock(llt.llt_lock);
}

/** Stops the timer of a locked entry, drops its packets and gives up the table's reference. @returns packets dropped */
export function* llentry_free(lle: llentry): Blocking<number> {
	if ((yield* callout_stop(lle.lle_timer)) > 0) lle.lle_refcnt--;
	let dropped = 0;
	while (lle.la_hold !== null) {
		const m: mbuf = lle.la_hold;
		lle.la_hold = m.m_nextpkt;
		m.m_nextpkt = null;
		m_freem(m);
		dropped++;
	}
	lle.la_numheld = 0;
	lle.la_flags = (lle.la_flags & ~LLE_VALID) | LLE_DELETED;
	lle.r_flags = 0;
	lle.ln_state = ARP_LLINFO_DELETED;
	yield* LLE_FREE_LOCKED(lle);
	return dropped;
}

/** Removes the entries of a network; all of them with mask 0. @see lltable_prefix_free */
export function* lltable_prefix_free(llt: lltable, addr: number, mask: number): Blocking<void> {
	for (const lle of llt.entries()) {
		if (((lle.r_l3addr ^ addr) & mask) !== 0) continue;
		yield* LLE_WLOCK(lle);
		yield* lltable_unlink_entry(lle);
		yield* llentry_free(lle);
	}
}

export function* lltable_free(llt: lltable): Blocking<void> {
	yield* lltable_prefix_free(llt, 0, 0);
	mtx_destroy(llt.llt_lock);
}
