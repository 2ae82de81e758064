/**
 * Privileges: what root may do, and what of it root of a jail may.
 *
 * Simplified: no MAC framework, no securelevel, no per-jail allow flags.
 *
 * @see sys/priv.h; kern_priv.c priv_check_cred; kern_jail.c prison_priv_check
 */
import { EPERM, type Errno } from "../errno.ts";
import { release_traits } from "../sched/kernel.ts";
import type { thread } from "../sched/thread.ts";
import { jailed, td_ucred, type ucred } from "./ucred.ts";

export const PRIV_JAIL_ATTACH = 110;
export const PRIV_JAIL_SET = 111;
export const PRIV_JAIL_REMOVE = 112;
export const PRIV_NET_RAW = 395;
export const PRIV_NET_ROUTE = 396;
export const PRIV_NET_SETIFMTU = 398;
export const PRIV_NET_SETIFFLAGS = 399;
export const PRIV_NET_SETIFCAP = 400;
export const PRIV_NET_SETIFNAME = 401;
export const PRIV_NET_SETIFMETRIC = 402;
export const PRIV_NET_SETIFPHYS = 403;
export const PRIV_NET_SETIFMAC = 404;
export const PRIV_NET_ADDMULTI = 405;
export const PRIV_NET_DELMULTI = 406;
export const PRIV_NET_HWIOCTL = 407;
export const PRIV_NET_SETLLADDR = 408;
export const PRIV_NET_ADDIFGROUP = 409;
export const PRIV_NET_DELIFGROUP = 410;
export const PRIV_NET_IFCREATE = 411;
export const PRIV_NET_IFDESTROY = 412;
export const PRIV_NET_ADDIFADDR = 413;
export const PRIV_NET_DELIFADDR = 414;
export const PRIV_NET_LAGG = 415;
export const PRIV_NET_GIF = 416;
export const PRIV_NET_SETIFVNET = 417;
export const PRIV_NET_SETIFDESCR = 418;
export const PRIV_NET_SETIFFIB = 419;
export const PRIV_NET_VXLAN = 420;
/** 14.0; the driver for 13.0 asks for PRIV_NET_HWIOCTL instead */
export const PRIV_NET_WG = 424;
export const PRIV_NETINET_RESERVEDPORT = 490;
export const PRIV_NETINET_RAW = 497;
export const PRIV_NETINET_ADDRCTRL6 = 499;
export const PRIV_NETINET_ND6 = 500;
export const PRIV_NETINET_ALIFETIME6 = 502;
export const PRIV_NETINET_REUSEPORT = 504;
export const PRIV_NETINET_SETHDROPTS = 505;
export const PRIV_NETINET_BINDANY = 506;

/** granted to root of any jail */
const jail_privileges: ReadonlySet<number> = new Set([
	PRIV_JAIL_ATTACH,
	PRIV_JAIL_SET,
	PRIV_JAIL_REMOVE,
	PRIV_NETINET_RESERVEDPORT,
	PRIV_NETINET_REUSEPORT,
]);

/** granted to root of a jail with a network stack of its own */
const vnet_privileges: ReadonlySet<number> = new Set([
	PRIV_NET_RAW,
	PRIV_NET_ROUTE,
	PRIV_NET_SETIFMTU,
	PRIV_NET_SETIFFLAGS,
	PRIV_NET_SETIFCAP,
	PRIV_NET_SETIFNAME,
	PRIV_NET_SETIFMETRIC,
	PRIV_NET_SETIFPHYS,
	PRIV_NET_SETIFMAC,
	PRIV_NET_ADDMULTI,
	PRIV_NET_DELMULTI,
	PRIV_NET_HWIOCTL,
	PRIV_NET_SETLLADDR,
	PRIV_NET_ADDIFGROUP,
	PRIV_NET_DELIFGROUP,
	PRIV_NET_IFCREATE,
	PRIV_NET_IFDESTROY,
	PRIV_NET_ADDIFADDR,
	PRIV_NET_DELIFADDR,
	PRIV_NET_LAGG,
	PRIV_NET_GIF,
	PRIV_NET_SETIFVNET,
	PRIV_NET_SETIFDESCR,
	PRIV_NET_SETIFFIB,
	PRIV_NET_VXLAN,
	PRIV_NET_WG,
	PRIV_NETINET_SETHDROPTS,
	PRIV_NETINET_BINDANY,
	PRIV_NETINET_RAW,
	PRIV_NETINET_ADDRCTRL6,
	PRIV_NETINET_ND6,
	PRIV_NETINET_ALIFETIME6,
]);

/** Does the jail let its root do this? @see kern_jail.c prison_priv_check */
export function prison_priv_check(cr: ucred, priv: number): Errno {
	if (!jailed(cr)) return 0;
	if (cr.cr_prison.pr_has_vnet && vnet_privileges.has(priv)) return 0;
	return jail_privileges.has(priv) ? 0 : EPERM;
}

/** @returns 0 if the credential has the privilege, else EPERM */
export function priv_check_cred(cr: ucred, priv: number): Errno {
	// before 14.0 there is no privilege of if_wg's own
	if (priv === PRIV_NET_WG && release_traits().osreldate < 1400000) priv = PRIV_NET_HWIOCTL;
	const error = prison_priv_check(cr, priv);
	if (error !== 0) return error;
	return cr.cr_uid === 0 ? 0 : EPERM;
}

export function priv_check(td: thread, priv: number): Errno {
	return priv_check_cred(td_ucred(td), priv);
}
