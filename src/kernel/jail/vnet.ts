/**
 * Virtual network stacks: made with a jail that asks for one, destroyed with it.
 *
 * The variables themselves are kernel.ts's (VNET_DEFINE); here are a vnet's birth, which runs every VNET_SYSINIT in it, and
 * its death, which runs every VNET_SYSUNINIT in the opposite order. The base system's vnet0 is made at boot, before any driver
 * is, and is curvnet for the rest of the boot, as in FreeBSD.
 *
 * @see net/vnet.c vnet_alloc, vnet_destroy, vnet0_init; kernel.md section 13
 */
import { SX_RECURSE, sx, sx_init, sx_init_flags, sx_slock, sx_sunlock, sx_xlock, sx_xunlock } from "../lock/sx.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	KASSERT,
	KERNEL_GLOBAL,
	vnet,
	vnet_sysinit,
	vnet_sysuninit,
} from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";

class vnet_state {
	/** vnet_head: newest first */
	readonly list: vnet[] = [];
	next_id = 0;
	readonly vnet_sxlock = new sx();
	readonly ifnet_detach_sxlock = new sx();
	vnet0: vnet | null = null;

	constructor() {
		sx_init(this.vnet_sxlock, "vnet_sxlock");
		sx_init_flags(this.ifnet_detach_sxlock, "ifnet_detach_sx", SX_RECURSE);
	}
}

const state = KERNEL_GLOBAL(() => new vnet_state());

/** The base system's vnet. */
export function vnet0(): vnet {
	return state().vnet0 as vnet;
}

export function IS_DEFAULT_VNET(vn: vnet): boolean {
	return vn === state().vnet0;
}

/** Is it being torn down? Then whoever cleans up leaves most of it to the stack's own teardown. */
export function VNET_IS_SHUTTING_DOWN(vn: vnet): boolean {
	return vn.vnet_shutdown;
}

/** Serialises everything that detaches interfaces with the teardown of a vnet. @see net/if.c */
export function ifnet_detach_sxlock(): sx {
	return state().ifnet_detach_sxlock;
}

export function VNET_LIST_RLOCK(): Blocking<void> {
	return sx_slock(state().vnet_sxlock);
}

export function VNET_LIST_RUNLOCK(): Blocking<void> {
	return sx_sunlock(state().vnet_sxlock);
}

/** VNET_FOREACH: all vnets as of now; hold VNET_LIST_RLOCK over the loop. */
export function vnet_foreach(): readonly vnet[] {
	return state().list.slice();
}

/** Makes vnet0 and hands it to the booting thread. Its VNET_SYSINITs run later, when the base system's have. */
export function vnet0_create(): vnet {
	const s = state();
	KASSERT(s.vnet0 === null, "vnet0 exists");
	const vn = new vnet(s.next_id++, "vnet0");
	s.vnet0 = vn;
	s.list.unshift(vn);
	return vn;
}

/** Makes a vnet and starts its network stack. */
export function* vnet_alloc(name: string): Blocking<vnet> {
	const s = state();
	const vn = new vnet(s.next_id++, name);
	const saved = CURVNET_SET(vn);
	yield* vnet_sysinit();
	CURVNET_RESTORE(saved);
	yield* sx_xlock(s.vnet_sxlock);
	s.list.unshift(vn);
	yield* sx_xunlock(s.vnet_sxlock);
	return vn;
}

/** Takes a vnet down: interfaces go home, cloners and protocols go away. Sleeps. Nobody may have a socket in it. */
export function* vnet_destroy(vn: vnet): Blocking<void> {
	const s = state();
	KASSERT(vn.vnet_sockcnt === 0, `vnet_destroy: vnet still has sockets: ${vn.vnet_sockcnt}`);
	yield* sx_xlock(s.vnet_sxlock);
	s.list.splice(s.list.indexOf(vn), 1);
	yield* sx_xunlock(s.vnet_sxlock);
	const saved = CURVNET_SET(vn);
	// whoever detaches an interface at this moment is let through first
	yield* sx_xlock(s.ifnet_detach_sxlock);
	vn.vnet_shutdown = true;
	yield* vnet_sysuninit();
	yield* sx_xunlock(s.ifnet_detach_sxlock);
	CURVNET_RESTORE(saved);
	KASSERT(vn.vnet_ifcnt === 0, `vnet_destroy: ${vn.vnet_ifcnt} interfaces left in ${vn.vnet_name}`);
	vn.vnet_data.length = 0;
}
