/**
 * Interface ioctls: create, destroy, flags, MTU, names, moving between vnets; the rest goes to the address family, and what
 * that does not know to the driver.
 *
 * @see net/if.c ifioctl, ifhwioctl, if_vmove_loan, if_vmove_reclaim
 */
import { EBUSY, EEXIST, EINVAL, ENXIO, EOPNOTSUPP, type Errno } from "../errno.ts";
import { prison_find_child, prison_free, prison_hold } from "../jail/jail.ts";
import {
	PRIV_NET_ADDMULTI,
	PRIV_NET_DELMULTI,
	PRIV_NET_IFCREATE,
	PRIV_NET_IFDESTROY,
	PRIV_NET_SETIFCAP,
	PRIV_NET_SETIFDESCR,
	PRIV_NET_SETIFFIB,
	PRIV_NET_SETIFFLAGS,
	PRIV_NET_SETIFMTU,
	PRIV_NET_SETIFNAME,
	PRIV_NET_SETIFVNET,
	priv_check,
} from "../jail/priv.ts";
import { td_ucred } from "../jail/ucred.ts";
import { ifnet_detach_sxlock, VNET_IS_SHUTTING_DOWN } from "../jail/vnet.ts";
import { sx_xlock, sx_xunlock } from "../lock/sx.ts";
import type { sockaddr } from "../netinet/in.ts";
import { CURVNET_RESTORE, CURVNET_SET } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";
import {
	if_down,
	if_printf,
	if_rele,
	if_up,
	if_vmove_to,
	ifnet_arrival_event,
	ifnet_departure_event,
	ifunit,
	ifunit_ref,
} from "./if.ts";
import { if_clone_create, if_clone_destroy } from "./if_clone.ts";
import { all_domains } from "./if_domain.ts";
import { if_addmulti, if_delmulti } from "./if_multi.ts";
import {
	IF_MAXMTU,
	IF_MINMTU,
	IFF_CANTCHANGE,
	IFF_MULTICAST,
	IFF_RENAMING,
	IFF_UP,
	IFNAMSIZ,
	type ifnet,
} from "./if_var.ts";
import {
	type ifreq,
	SIOCADDMULTI,
	SIOCDELMULTI,
	SIOCGIFCAP,
	SIOCGIFDESCR,
	SIOCGIFFIB,
	SIOCGIFFLAGS,
	SIOCGIFINDEX,
	SIOCGIFMTU,
	SIOCIFCREATE,
	SIOCIFCREATE2,
	SIOCIFDESTROY,
	SIOCSIFADDR,
	SIOCSIFCAP,
	SIOCSIFDESCR,
	SIOCSIFFIB,
	SIOCSIFFLAGS,
	SIOCSIFMTU,
	SIOCSIFNAME,
	SIOCSIFRVNET,
	SIOCSIFVNET,
} from "./sockio.ts";

/** ifhwioctl's "not one of mine" */
const ENOIOCTL = -3;

/** Lends an interface of this vnet to a jail below. */
function* if_vmove_loan(td: thread, ifp: ifnet, ifname: string, jid: number): Blocking<Errno> {
	const pr = prison_find_child(td_ucred(td).cr_prison, jid);
	if (pr === null) return ENXIO;
	if (pr.pr_vnet === ifp.if_vnet) return EEXIST;
	const saved = CURVNET_SET(pr.pr_vnet);
	const taken = ifunit(ifname) !== null;
	CURVNET_RESTORE(saved);
	if (taken) return EEXIST;
	if (VNET_IS_SHUTTING_DOWN(ifp.if_vnet)) return EBUSY;
	prison_hold(pr);
	const error = yield* if_vmove_to(ifp, pr.pr_vnet);
	prison_free(pr);
	return error;
}

/** Takes an interface back from a jail below. */
function* if_vmove_reclaim(td: thread, ifname: string, jid: number): Blocking<Errno> {
	const pr = prison_find_child(td_ucred(td).cr_prison, jid);
	if (pr === null) return ENXIO;
	const saved = CURVNET_SET(pr.pr_vnet);
	const ifp = ifunit(ifname);
	CURVNET_RESTORE(saved);
	if (ifp === null) return ENXIO;
	const vnet_dst = td_ucred(td).cr_vnet();
	if (vnet_dst === ifp.if_vnet) return EEXIST;
	if (VNET_IS_SHUTTING_DOWN(ifp.if_vnet)) return EBUSY;
	prison_hold(pr);
	const error = yield* if_vmove_to(ifp, vnet_dst);
	prison_free(pr);
	return error;
}

function if_setname(ifp: ifnet, name: unknown): Errno {
	if (typeof name !== "string" || name === "" || name.length >= IFNAMSIZ) return EINVAL;
	if (name === ifp.if_xname) return 0;
	if (ifunit(name) !== null) return EEXIST;
	ifp.if_flags |= IFF_RENAMING;
	if (ifnet_departure_event.on !== null) ifnet_departure_event.on(ifp);
	if_printf(ifp, `changing name to '${name}'\n`);
	ifp.if_xname = name;
	if (ifnet_arrival_event.on !== null) ifnet_arrival_event.on(ifp);
	ifp.if_flags &= ~IFF_RENAMING;
	return 0;
}

/** New flags: those a user may change, and up and down with all that hangs on it. */
function* if_setflags(ifp: ifnet, ifr: ifreq): Blocking<Errno> {
	const now_up = (ifr.ifr_flags & IFF_UP) !== 0;
	const was_up = (ifp.if_flags & IFF_UP) !== 0;
	if (was_up && !now_up) yield* if_down(ifp);
	ifp.if_flags = (ifp.if_flags & IFF_CANTCHANGE) | (ifr.ifr_flags & ~IFF_CANTCHANGE);
	// the driver is told after the flag is set; what it answers is nobody's business
	if (ifp.if_ioctl !== null) yield* ifp.if_ioctl(ifp, SIOCSIFFLAGS, ifr);
	if (now_up && !was_up) yield* if_up(ifp);
	return 0;
}

function* if_setmtu_ioctl(ifp: ifnet, ifr: ifreq): Blocking<Errno> {
	if (ifr.ifr_mtu < IF_MINMTU || ifr.ifr_mtu > IF_MAXMTU) return EINVAL;
	if (ifp.if_ioctl === null) return EOPNOTSUPP;
	const oldmtu = ifp.if_mtu;
	const error = yield* ifp.if_ioctl(ifp, SIOCSIFMTU, ifr);
	if (ifp.if_mtu !== oldmtu) {
		for (const dom of all_domains()) if (dom.dom_mtu !== undefined) yield* dom.dom_mtu(ifp);
	}
	return error;
}

/** Requests that concern the interface as such. */
function* ifhwioctl(cmd: number, ifp: ifnet, data: unknown, td: thread): Blocking<Errno> {
	const ifr = data as ifreq;
	switch (cmd) {
		case SIOCGIFINDEX:
			ifr.ifr_index = ifp.if_index;
			return 0;
		case SIOCGIFFLAGS:
			ifr.ifr_flags = ifp.if_flags | ifp.if_drv_flags;
			return 0;
		case SIOCGIFCAP:
			ifr.ifr_reqcap = ifp.if_capabilities;
			ifr.ifr_curcap = ifp.if_capenable;
			return 0;
		case SIOCGIFMTU:
			ifr.ifr_mtu = ifp.if_mtu;
			return 0;
		case SIOCGIFFIB:
			ifr.ifr_fib = ifp.if_fib;
			return 0;
		case SIOCGIFDESCR:
			ifr.ifr_data = ifp.if_descr;
			return 0;
		case SIOCSIFDESCR:
			return set(td, PRIV_NET_SETIFDESCR, () => {
				ifp.if_descr = ifr.ifr_data as string | null;
				return 0;
			});
		case SIOCSIFFIB:
			return set(td, PRIV_NET_SETIFFIB, () => {
				ifp.if_fib = ifr.ifr_fib;
				return 0;
			});
		case SIOCSIFNAME:
			return set(td, PRIV_NET_SETIFNAME, () => if_setname(ifp, ifr.ifr_data));
		case SIOCSIFFLAGS:
			return priv_check(td, PRIV_NET_SETIFFLAGS) || (yield* if_setflags(ifp, ifr));
		case SIOCSIFMTU:
			return priv_check(td, PRIV_NET_SETIFMTU) || (yield* if_setmtu_ioctl(ifp, ifr));
		case SIOCSIFVNET:
			return priv_check(td, PRIV_NET_SETIFVNET) || (yield* if_vmove_loan(td, ifp, ifr.ifr_name, ifr.ifr_jid));
		case SIOCSIFCAP: {
			const error = priv_check(td, PRIV_NET_SETIFCAP);
			if (error !== 0) return error;
			if (ifp.if_ioctl === null) return EOPNOTSUPP;
			if ((ifr.ifr_reqcap & ~ifp.if_capabilities) !== 0) return EINVAL;
			return yield* ifp.if_ioctl(ifp, cmd, ifr);
		}
		case SIOCADDMULTI:
		case SIOCDELMULTI: {
			const adding = cmd === SIOCADDMULTI;
			const error = priv_check(td, adding ? PRIV_NET_ADDMULTI : PRIV_NET_DELMULTI);
			if (error !== 0) return error;
			if ((ifp.if_flags & IFF_MULTICAST) === 0) return EOPNOTSUPP;
			if (!adding) return yield* if_delmulti(ifp, ifr.ifr_addr as sockaddr);
			const ifma = yield* if_addmulti(ifp, ifr.ifr_addr as sockaddr);
			return typeof ifma === "number" ? ifma : 0;
		}
		default:
			return ENOIOCTL;
	}
}

function set(td: thread, priv: number, change: () => Errno): Errno {
	return priv_check(td, priv) || change();
}

/** Asks the address families, or the one the socket is of. */
function* if_control(so: socket | null, cmd: number, data: unknown, ifp: ifnet, td: thread): Blocking<Errno> {
	if (so !== null) return yield* so.so_proto.pr_usrreqs.pru_control(so, cmd, data, ifp, td);
	for (const dom of all_domains()) {
		if (dom.dom_control === undefined) continue;
		const error = yield* dom.dom_control(cmd, data, ifp, td);
		if (error !== EOPNOTSUPP) return error;
	}
	return EOPNOTSUPP;
}

/**
 * ioctl(2) of an interface, on socket `so`; without one, in the thread's vnet and for whichever family knows the request.
 *
 * After SIOCIFCREATE the request's name is the interface's.
 */
export function* ifioctl(so: socket | null, cmd: number, data: unknown, td: thread): Blocking<Errno> {
	const vn = so !== null ? so.so_vnet : td_ucred(td).cr_vnet();
	charge(cost.ifioctl);
	if (VNET_IS_SHUTTING_DOWN(vn)) return EBUSY;
	const saved = CURVNET_SET(vn);
	const error = yield* ifioctl_locked(so, cmd, data as ifreq, td);
	CURVNET_RESTORE(saved);
	return error;
}

function* ifioctl_locked(so: socket | null, cmd: number, ifr: ifreq, td: thread): Blocking<Errno> {
	switch (cmd) {
		case SIOCSIFRVNET:
			return priv_check(td, PRIV_NET_SETIFVNET) || (yield* if_vmove_reclaim(td, ifr.ifr_name, ifr.ifr_jid));
		case SIOCIFCREATE:
		case SIOCIFCREATE2: {
			const error = priv_check(td, PRIV_NET_IFCREATE);
			if (error !== 0) return error;
			const made = yield* if_clone_create(ifr.ifr_name, cmd === SIOCIFCREATE2 ? ifr.ifr_data : null);
			if (typeof made === "number") return made;
			ifr.ifr_name = made;
			return 0;
		}
		case SIOCIFDESTROY: {
			const error = priv_check(td, PRIV_NET_IFDESTROY);
			if (error !== 0) return error;
			yield* sx_xlock(ifnet_detach_sxlock());
			const destroyed = yield* if_clone_destroy(ifr.ifr_name);
			yield* sx_xunlock(ifnet_detach_sxlock());
			return destroyed;
		}
	}
	const ifp = ifunit_ref(request_name(ifr));
	if (ifp === null) return ENXIO;
	let error = yield* ifhwioctl(cmd, ifp, ifr, td);
	if (error === ENOIOCTL) {
		const oif_flags = ifp.if_flags;
		error = yield* if_control(so, cmd, ifr, ifp, td);
		// drivers trust SIOCSIFADDR to come from a family, which has checked it
		if (error === EOPNOTSUPP && ifp.if_ioctl !== null && cmd !== SIOCSIFADDR) {
			error = yield* ifp.if_ioctl(ifp, cmd, ifr);
		}
		if (((oif_flags ^ ifp.if_flags) & IFF_UP & ifp.if_flags) !== 0) {
			for (const dom of all_domains()) if (dom.dom_if_up !== undefined) yield* dom.dom_if_up(ifp);
		}
	}
	if_rele(ifp);
	return error;
}

/** The interface's name is in every request's structure, whatever it is called there: ifr_name, ifra_name, wgd_name. */
function request_name(data: object): string {
	for (const [field, value] of Object.entries(data)) if (field.endsWith("_name")) return value as string;
	return "";
}
