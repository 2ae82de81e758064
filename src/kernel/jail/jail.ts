/**
 * Jails: a tree of prisons, each perhaps with a network stack of its own.
 *
 * Two counts: pr_uref for what keeps a jail alive (being persistent, having processes), pr_ref for what keeps its memory
 * (credentials, above all). When pr_uref reaches zero the jail is dying and modules are told (PR_METHOD_REMOVE); when pr_ref
 * does, its vnet is destroyed. A credential held by an interface or a socket keeps a dying jail's vnet. Simplified: file systems,
 * host names, resource limits and address lists are left out, and removing a jail does not kill its processes: whoever
 * removes it ends them first, and a straggler's credential keeps the jail dying.
 *
 * @see kern_jail.c kern_jail_set, prison_deref, sys_jail_remove, do_jail_attach; sys/jail.h
 */
import { EEXIST, EINVAL, ENOENT, EPERM, type Errno } from "../errno.ts";
import { NET_EPOCH_CALL } from "../lock/epoch.ts";
import { sx, sx_init, sx_slock, sx_sunlock, sx_xlock, sx_xunlock } from "../lock/sx.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import {
	KASSERT,
	KERNEL_GLOBAL,
	SI_ORDER_ANY,
	SI_ORDER_FIRST,
	SI_SUB_VNET_DONE,
	SI_SUB_VNET_PRELINK,
	SYSINIT,
	type vnet,
	vnet_sysinit,
} from "../sched/kernel.ts";
import { type Blocking, curthread, type thread } from "../sched/thread.ts";
import { TASK_INIT, task, taskqueue_enqueue, taskqueue_thread } from "../taskqueue/taskqueue.ts";
import { osd_jail_call, osd_jail_exit, PR_METHOD_ATTACH, PR_METHOD_CREATE, PR_METHOD_REMOVE } from "./osd.ts";
import { crfree, crget, type ucred } from "./ucred.ts";
import { vnet_alloc, vnet_destroy, vnet0_create } from "./vnet.ts";

export {
	osd_jail_del,
	osd_jail_deregister,
	osd_jail_get,
	osd_jail_register,
	osd_jail_set,
	PR_METHOD_ATTACH,
	PR_METHOD_CHECK,
	PR_METHOD_CREATE,
	PR_METHOD_GET,
	PR_METHOD_REMOVE,
	PR_METHOD_SET,
} from "./osd.ts";

export const PRISON_STATE_ALIVE = 1;
export const PRISON_STATE_DYING = 2;

export const prison_created = SDT_PROBE_DEFINE<[pr: prison]>("jail:::create", "pr: prison");
export const prison_removed = SDT_PROBE_DEFINE<[pr: prison]>("jail:::remove", "pr: prison");
export const prison_destroyed = SDT_PROBE_DEFINE<[pr: prison]>("jail:::destroy", "pr: prison");

export class prison {
	readonly pr_id: number;
	readonly pr_name: string;
	readonly pr_parent: prison | null;
	readonly pr_children: prison[] = [];
	/** how many descendants it may have */
	pr_childmax: number;
	/** what keeps the memory */
	pr_ref = 1;
	/** what keeps it alive */
	pr_uref = 1;
	pr_state = PRISON_STATE_ALIVE;
	/** PR_VNET: pr_vnet is its own, not its parent's */
	readonly pr_has_vnet: boolean;
	pr_vnet: vnet;
	pr_hostid: number;
	/** modules' data, by slot */
	readonly pr_osd: unknown[] = [];
	readonly pr_task = new task();

	constructor(id: number, name: string, parent: prison | null, vn: vnet, has_vnet: boolean, childmax: number) {
		this.pr_id = id;
		this.pr_name = name;
		this.pr_parent = parent;
		this.pr_vnet = vn;
		this.pr_has_vnet = has_vnet;
		this.pr_childmax = childmax;
		this.pr_hostid = parent === null ? 0 : parent.pr_hostid;
	}
}

export interface prison_params {
	readonly name: string;
	/** a network stack of its own */
	readonly vnet?: boolean;
	/** children.max; 0 when left out, as jail(8) has it */
	readonly childmax?: number;
}

class prison_state {
	/** all there are, by id; prison0 included */
	readonly allprison: prison[] = [];
	readonly allprison_lock = new sx();
	lastid = 0;
	prison0: prison | null = null;
	cred0: ucred | null = null;

	constructor() {
		sx_init(this.allprison_lock, "allprison");
	}
}

const state = KERNEL_GLOBAL(() => new prison_state());

/** The base system. */
export function prison0(): prison {
	return state().prison0 as prison;
}

/** Root's credential in the base system: proc0's. */
export function cred0(): ucred {
	return state().cred0 as ucred;
}

/** All jails as of now, the base system first. */
export function allprison(): readonly prison[] {
	return state().allprison;
}

export function prison_hold(pr: prison): void {
	KASSERT(pr.pr_ref > 0, `Trying to hold dead prison ${pr.pr_name}`);
	pr.pr_ref++;
}

/**
 * Drops a reference. The last one tears the vnet down, which sleeps, so a kernel thread does it: FreeBSD queues the jail's task
 * at once, here the way to the task queue leads through an epoch callback because this function cannot block.
 */
export function prison_free(pr: prison): void {
	KASSERT(pr.pr_ref > 0, `Trying to free dead prison ${pr.pr_name}`);
	if (--pr.pr_ref > 0) return;
	NET_EPOCH_CALL(prison_schedule, pr);
}

function* prison_schedule(pr: prison): Blocking<void> {
	TASK_INIT(pr.pr_task, 0, prison_complete, pr);
	yield* taskqueue_enqueue(taskqueue_thread(), pr.pr_task);
}

/** The end of a jail nobody refers to any more. @see kern_jail.c prison_deref, its last part */
function* prison_complete(pr: prison): Blocking<void> {
	const s = state();
	yield* sx_xlock(s.allprison_lock);
	s.allprison.splice(s.allprison.indexOf(pr), 1);
	const parent = pr.pr_parent as prison;
	parent.pr_children.splice(parent.pr_children.indexOf(pr), 1);
	yield* sx_xunlock(s.allprison_lock);
	if (pr.pr_has_vnet) yield* vnet_destroy(pr.pr_vnet);
	osd_jail_exit(pr);
	if (prison_destroyed.on !== null) prison_destroyed.on(pr);
	prison_free(parent);
}

/** Descendants of a jail, itself not included, parents before children. */
function descendants(pr: prison): prison[] {
	return pr.pr_children.flatMap((child) => [child, ...descendants(child)]);
}

/** Finds a jail below `mypr` by id. @see kern_jail.c prison_find_child */
export function prison_find_child(mypr: prison, id: number): prison | null {
	return descendants(mypr).find((pr) => pr.pr_id === id && pr.pr_state === PRISON_STATE_ALIVE) ?? null;
}

/** Finds a jail below `mypr` by its full dotted name as seen from there. @see kern_jail.c prison_find_name */
export function prison_find_name(mypr: prison, name: string): prison | null {
	let pr = mypr;
	for (const part of name.split(".")) {
		const child = pr.pr_children.find((c) => c.pr_name === part && c.pr_state === PRISON_STATE_ALIVE);
		if (child === undefined) return null;
		pr = child;
	}
	return pr === mypr ? null : pr;
}

/** Is `pr2` below `pr1`? @see kern_jail.c prison_ischild */
export function prison_ischild(pr1: prison, pr2: prison): boolean {
	for (let pr = pr2.pr_parent; pr !== null; pr = pr.pr_parent) if (pr === pr1) return true;
	return false;
}

/** jail(8)'s creation of a persistent jail below `ppr`. @see kern_jail.c kern_jail_set with JAIL_CREATE */
export function* prison_create(ppr: prison, params: prison_params): Blocking<prison | Errno> {
	if (params.name === "" || params.name.includes(".")) return EINVAL;
	const s = state();
	yield* sx_xlock(s.allprison_lock);
	if (ppr.pr_state !== PRISON_STATE_ALIVE) {
		yield* sx_xunlock(s.allprison_lock);
		return ENOENT;
	}
	if (ppr.pr_children.some((pr) => pr.pr_name === params.name && pr.pr_state === PRISON_STATE_ALIVE)) {
		yield* sx_xunlock(s.allprison_lock);
		return EEXIST;
	}
	for (let pr: prison | null = ppr; pr !== null; pr = pr.pr_parent) {
		if (descendants(pr).length < pr.pr_childmax) continue;
		yield* sx_xunlock(s.allprison_lock);
		return EPERM;
	}
	const id = ++s.lastid;
	const has_vnet = params.vnet ?? false;
	const pr = new prison(id, params.name, ppr, ppr.pr_vnet, has_vnet, params.childmax ?? 0);
	prison_hold(ppr);
	ppr.pr_children.push(pr);
	s.allprison.push(pr);
	yield* sx_xunlock(s.allprison_lock);
	if (has_vnet) pr.pr_vnet = yield* vnet_alloc(params.name);
	const error = yield* osd_jail_call(pr, PR_METHOD_CREATE, null);
	if (error !== 0) {
		yield* prison_remove(pr);
		return error;
	}
	if (prison_created.on !== null) prison_created.on(pr);
	return pr;
}

/**
 * Removes a jail and everything below it, youngest first. Modules hear of it now; the vnet goes when the last credential does.
 *
 * @see kern_jail.c sys_jail_remove, prison_remove_one
 */
export function* prison_remove(pr: prison): Blocking<Errno> {
	if (pr.pr_parent === null || pr.pr_state !== PRISON_STATE_ALIVE) return EINVAL;
	for (const child of descendants(pr).reverse()) yield* prison_remove_one(child);
	yield* prison_remove_one(pr);
	return 0;
}

function* prison_remove_one(pr: prison): Blocking<void> {
	if (pr.pr_state !== PRISON_STATE_ALIVE) return;
	pr.pr_state = PRISON_STATE_DYING;
	pr.pr_uref = 0;
	yield* osd_jail_call(pr, PR_METHOD_REMOVE, null);
	if (prison_removed.on !== null) prison_removed.on(pr);
	prison_free(pr);
}

/** Waits for nothing: tells whether a jail and its vnet are gone for good. */
export function prison_isgone(pr: prison): boolean {
	return !state().allprison.includes(pr) && pr.pr_vnet.vnet_data.length === 0;
}

/**
 * jexec(8): moves a thread into a jail, with a root credential there and in its vnet.
 *
 * @returns EINVAL for a dying jail
 * @see kern_jail.c do_jail_attach
 */
export function* jail_attach(td: thread, pr: prison): Blocking<Errno> {
	if (pr.pr_state !== PRISON_STATE_ALIVE) return EINVAL;
	yield* sx_slock(state().allprison_lock);
	const error = yield* osd_jail_call(pr, PR_METHOD_ATTACH, td);
	yield* sx_sunlock(state().allprison_lock);
	if (error !== 0) return error;
	thread_setcred(td, crget(0, pr));
	return 0;
}

/** Gives a thread a credential, whose reference it takes over, and the vnet that belongs to it. */
export function thread_setcred(td: thread, cr: ucred): void {
	const old = td.td_ucred as ucred | null;
	td.td_ucred = cr;
	td.td_vnet = cr.cr_prison.pr_vnet;
	if (old !== null) crfree(old);
}

/** A thread that ends gives its credential back. */
export function thread_crfree(td: thread): void {
	const old = td.td_ucred as ucred | null;
	td.td_ucred = null;
	td.td_vnet = null;
	if (old !== null) crfree(old);
}

/** prison0 and vnet0 exist before any driver; the booting thread lives in them. @see net/vnet.c vnet0_init */
SYSINIT("vnet0", SI_SUB_VNET_PRELINK, SI_ORDER_FIRST, function* () {
	const s = state();
	const pr = new prison(0, "0", null, vnet0_create(), true, 999_999);
	s.prison0 = pr;
	s.allprison.push(pr);
	s.cred0 = crget(0, pr);
	thread_setcred(curthread, crget(0, pr));
	yield* sx_slock(s.allprison_lock);
	yield* sx_sunlock(s.allprison_lock);
});

/** When all of the system is up, vnet0's network stack starts, in the order of its own subsystems. */
SYSINIT("vnet0 sysinit", SI_SUB_VNET_DONE, SI_ORDER_ANY, function* () {
	yield* vnet_sysinit();
});
