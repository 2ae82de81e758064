/**
 * Credentials: who a thread acts for, and in which jail. Shared and counted; the last holder gives up its hold on the jail.
 *
 * @see kern_prot.c crget, crhold, crfree; sys/ucred.h
 */
import { type Refcounted, refcount_acquire, refcount_release } from "../lock/atomic.ts";
import { KERNEL_GLOBAL, type vnet } from "../sched/kernel.ts";
import type { thread } from "../sched/thread.ts";
import { type prison, prison_free, prison_hold } from "./jail.ts";

class cred_stats {
	/** credentials that exist */
	inuse = 0;
}

/** how many credentials exist: a leak check */
export const cred_count = KERNEL_GLOBAL(() => new cred_stats());

export class ucred implements Refcounted {
	/** references; refcount(9)'s field */
	refcnt = 1;
	cr_uid: number;
	readonly cr_prison: prison;

	/** Use crget or crcopy. */
	constructor(uid: number, pr: prison) {
		this.cr_uid = uid;
		this.cr_prison = pr;
	}

	/** the vnet its jail lives in, CRED_TO_VNET */
	cr_vnet(): vnet {
		return this.cr_prison.pr_vnet;
	}
}

/** Makes a credential with one reference, holding its jail. */
export function crget(uid: number, pr: prison): ucred {
	prison_hold(pr);
	cred_count().inuse++;
	return new ucred(uid, pr);
}

export function crhold(cr: ucred): ucred {
	refcount_acquire(cr);
	return cr;
}

/** Drops a reference; the last lets go of the jail, which may then be torn down later by a kernel thread. */
export function crfree(cr: ucred): void {
	if (!refcount_release(cr)) return;
	cred_count().inuse--;
	prison_free(cr.cr_prison);
}

/** Is this the credential of a process in a jail? @see kern_jail.c jailed */
export function jailed(cr: ucred): boolean {
	return cr.cr_prison.pr_parent !== null;
}

/** Is it in a jail with a network stack of its own? @see kern_jail.c jailed_without_vnet, the opposite */
export function jailed_without_vnet(cr: ucred): boolean {
	return jailed(cr) && !cr.cr_prison.pr_has_vnet;
}

/** The credential of a thread. Threads know it as an object only, since the scheduler is below this layer. */
export function td_ucred(td: thread): ucred {
	return td.td_ucred as ucred;
}
