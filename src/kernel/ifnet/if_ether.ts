/**
 * ARP: from IPv4 addresses to Ethernet addresses.
 *
 * A resolved neighbour is found without a lock. An unresolved one keeps up to 16 packets while it is asked for, once a second,
 * and the caller is told that the host is down after five tries. Timing follows FreeBSD: 20 minutes from resolution, refreshed
 * towards the end if the entry is in use; 20 seconds for one that was never answered. Simplified: no proxy ARP, no CARP, no
 * gratuitous retransmissions.
 *
 * @see netinet/if_ether.c
 */
import { bcopy } from "../../machine/bcopy.ts";
import { callout_pending, callout_reset, callout_stop } from "../callout/callout.ts";
import { EADDRNOTAVAIL, EHOSTDOWN, EHOSTUNREACH, EINVAL, ENOMEM, type Errno, EWOULDBLOCK } from "../errno.ts";
import { NET_EPOCH_ASSERT, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import {
	M_ALIGN,
	M_BCAST,
	M_MCAST,
	M_NOWAIT,
	MT_DATA,
	m_clrprotoflags,
	m_freem,
	m_gethdr,
	m_pullup,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { AF_ARP, AF_INET, in_get16, in_get32, in_put16, in_put32, type sockaddr, sockaddr_in } from "../netinet/in.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	hz,
	SI_ORDER_ANY,
	SI_SUB_PROTO_DOMAIN,
	SYSINIT,
	sbinuptime,
	VNET_DEFINE,
} from "../sched/kernel.ts";
import { type Blocking, charge, cost, sync } from "../sched/thread.ts";
import {
	ARP_LEN,
	ARPHRD_ETHER,
	ARPOP_REPLY,
	ARPOP_REQUEST,
	ETHER_ADDR_LEN,
	ETHER_HDR_LEN,
	ETHER_IS_BROADCAST,
	ETHER_IS_MULTICAST,
	ETHERTYPE_IP,
	ether_copy,
	ether_equal,
} from "./ethernet.ts";
import { DOMAIN_SET, type linkhdr, RT_L2_ME, RT_MAY_LOOP } from "./if_domain.ts";
import {
	ARP_LLINFO_INCOMPLETE,
	ARP_LLINFO_REACHABLE,
	ARP_LLINFO_VERIFY,
	LLE_FREE_LOCKED,
	LLE_IFADDR,
	LLE_LINKED,
	LLE_STATIC,
	LLE_VALID,
	LLE_WLOCK,
	LLE_WUNLOCK,
	lla_lookup,
	lla_lookup_exclusive,
	llentry,
	llentry_free,
	lltable,
	lltable_free,
	lltable_link_or_find,
	lltable_prefix_free,
	lltable_unlink_entry,
	RLLE_IFADDR,
	RLLE_VALID,
} from "./if_llatbl.ts";
import { IFF_NOARP, IFF_STATICARP, type ifaddr, type ifnet } from "./if_var.ts";
import { NETISR_ARP, NETISR_POLICY_SOURCE, netisr_register } from "./netisr.ts";

/** sysctl net.link.ether.inet, and `netstat -s -p arp` */
class arp_state {
	/** seconds */
	max_age = 20 * 60;
	maxtries = 5;
	/** seconds an unanswered entry is kept */
	wait = 20;
	/** seconds between requests */
	rexmit = 1;
	maxhold = 16;
	txrequests = 0;
	txreplies = 0;
	txerrors = 0;
	rxrequests = 0;
	rxreplies = 0;
	received = 0;
	dropped = 0;
	timeouts = 0;
	dupips = 0;
}

export const V_arp = VNET_DEFINE(() => new arp_state());

/** a neighbour's Ethernet address became known, or changed */
export const arp_resolved = SDT_PROBE_DEFINE<[ifp: ifnet, addr: number]>("arp:::resolved", "ifp: ifnet, addr: in_addr");

/** The neighbours of an interface; if_afdata[AF_ARP]. */
export function LLTABLE(ifp: ifnet): lltable {
	return ifp.if_afdata[AF_ARP] as lltable;
}

DOMAIN_SET({
	dom_family: AF_ARP,
	dom_name: "arp",
	dom_ifattach: (ifp) => new lltable(ifp),
	dom_ifdetach: (_ifp, aux) => lltable_free(aux as lltable),
});

function time_uptime(): number {
	return Math.floor(sbinuptime() / 1_000_000_000);
}

/** Ages an entry. Runs without locks held, with a reference of its own. */
function* arptimer(lle: llentry): Blocking<void> {
	yield* LLE_WLOCK(lle);
	if ((lle.la_flags & LLE_STATIC) !== 0) {
		yield* LLE_FREE_LOCKED(lle);
		return;
	}
	if (callout_pending(lle.lle_timer)) {
		// somebody armed it again, and with it our reference
		yield* LLE_WUNLOCK(lle);
		return;
	}
	const ifp = lle.lle_tbl.llt_ifp;
	const saved = CURVNET_SET(ifp.if_vnet);
	const arp = V_arp();
	if (lle.ln_state === ARP_LLINFO_REACHABLE) {
		// about to expire: find out whether it is still used
		lle.r_skip_req = 1;
		lle.ln_state = ARP_LLINFO_VERIFY;
		yield* callout_reset(lle.lle_timer, hz() * arp.rexmit, arptimer, lle);
		yield* LLE_WUNLOCK(lle);
	} else if (lle.ln_state === ARP_LLINFO_VERIFY && lle.r_skip_req === 0 && lle.la_preempt > 0) {
		lle.la_preempt--;
		yield* callout_reset(lle.lle_timer, hz() * arp.rexmit, arptimer, lle);
		yield* LLE_WUNLOCK(lle);
		NET_EPOCH_ENTER();
		yield* arprequest(ifp, null, lle.r_l3addr);
		NET_EPOCH_EXIT();
	} else if (lle.ln_state === ARP_LLINFO_VERIFY && lle.la_expire > time_uptime()) {
		yield* callout_reset(lle.lle_timer, hz() * arp.rexmit, arptimer, lle);
		yield* LLE_WUNLOCK(lle);
	} else {
		if ((lle.la_flags & LLE_LINKED) !== 0) {
			lle.lle_refcnt--;
			yield* lltable_unlink_entry(lle);
			arp.dropped += yield* llentry_free(lle);
		} else yield* LLE_FREE_LOCKED(lle);
		arp.timeouts++;
	}
	CURVNET_RESTORE(saved);
}

/** Our address on `ifp` from which to ask for `tip`: one on its network, or else the last. */
function arp_source(ifp: ifnet, tip: number): number | null {
	let sip: number | null = null;
	for (const ifa of ifp.if_addrhead) {
		if (ifa.ifa_addr === null || ifa.ifa_addr.sa_family !== AF_INET) continue;
		sip = (ifa.ifa_addr as sockaddr_in).sin_addr;
		const mask = ifa.ifa_netmask === null ? 0xffffffff : (ifa.ifa_netmask as sockaddr_in).sin_addr;
		if (((sip ^ tip) & mask) === 0) break;
	}
	return sip;
}

const arp_dst: sockaddr = { sa_family: AF_ARP };

/** Broadcasts a request for `tip`. In the net epoch. */
export function* arprequest(ifp: ifnet, sip: number | null, tip: number): Blocking<Errno> {
	NET_EPOCH_ASSERT();
	const from = sip ?? arp_source(ifp, tip);
	if (from === null) return EADDRNOTAVAIL;
	charge(cost.arp_message);
	const m = m_gethdr(M_NOWAIT, MT_DATA);
	if (m === null) return ENOMEM;
	m.m_len = ARP_LEN;
	m.m_pkthdr.len = ARP_LEN;
	M_ALIGN(m, ARP_LEN);
	const { m_buf, m_data } = m;
	in_put16(m_buf, m_data, ARPHRD_ETHER);
	in_put16(m_buf, m_data + 2, ETHERTYPE_IP);
	m_buf[m_data + 4] = ETHER_ADDR_LEN;
	m_buf[m_data + 5] = 4;
	in_put16(m_buf, m_data + 6, ARPOP_REQUEST);
	ether_copy(m_buf, m_data + 8, ifp.if_hw_addr, 0);
	in_put32(m_buf, m_data + 14, from);
	m_buf.fill(0, m_data + 18, m_data + 24);
	in_put32(m_buf, m_data + 24, tip);
	m.m_flags |= M_BCAST;
	m_clrprotoflags(m);
	const error = yield* ifp.if_output(ifp, m, arp_dst, null);
	V_arp().txrequests++;
	if (error !== 0) V_arp().txerrors++;
	return error;
}

/** Copies a valid entry's header. */
function use_entry(la: llentry, lh: linkhdr, flags: number): void {
	bcopy(la.r_linkdata, 0, lh.buf, 0, ETHER_HDR_LEN);
	lh.pflags = (flags & LLE_IFADDR) !== 0 ? RT_MAY_LOOP | RT_L2_ME : RT_MAY_LOOP;
	// tells the timer that the entry is in use
	if (la.r_skip_req !== 0) la.r_skip_req = 0;
}

/**
 * Finds the link header for a packet to a neighbour.
 *
 * @returns 0; EWOULDBLOCK: the packet is kept until the answer comes; EHOSTDOWN or EHOSTUNREACH: kept as well, but nobody has
 * answered so far; EINVAL: freed, for no entry can be made
 */
export function* arpresolve(ifp: ifnet, is_gw: number, m: mbuf, dst: sockaddr, lh: linkhdr): Blocking<Errno> {
	NET_EPOCH_ASSERT();
	charge(cost.arp_lookup);
	const la = lla_lookup(LLTABLE(ifp), (dst as sockaddr_in).sin_addr);
	if (la !== null && (la.r_flags & RLLE_VALID) !== 0) {
		use_entry(la, lh, la.r_flags);
		return 0;
	}
	return yield* arpresolve_full(ifp, is_gw, m, (dst as sockaddr_in).sin_addr, lh);
}

/** The slow way: makes the entry, keeps the packet, asks. */
function* arpresolve_full(ifp: ifnet, is_gw: number, m: mbuf, addr: number, lh: linkhdr): Blocking<Errno> {
	const llt = LLTABLE(ifp);
	const arp = V_arp();
	let la = yield* lla_lookup_exclusive(llt, addr);
	if (la === null && (ifp.if_flags & (IFF_NOARP | IFF_STATICARP)) === 0) {
		const fresh = new llentry(llt, addr);
		yield* LLE_WLOCK(fresh);
		la = yield* lltable_link_or_find(llt, fresh);
	}
	if (la === null) {
		m_freem(m);
		return EINVAL;
	}
	if ((la.la_flags & LLE_VALID) !== 0 && ((la.la_flags & LLE_STATIC) !== 0 || la.la_expire > time_uptime())) {
		const flags = la.la_flags;
		yield* LLE_WUNLOCK(la);
		use_entry(la, lh, flags);
		return 0;
	}
	const renew = la.la_asked === 0 || la.la_expire !== time_uptime();
	if (la.la_numheld >= arp.maxhold && la.la_hold !== null) {
		const oldest = la.la_hold;
		la.la_hold = oldest.m_nextpkt;
		oldest.m_nextpkt = null;
		m_freem(oldest);
		la.la_numheld--;
		arp.dropped++;
	}
	m.m_nextpkt = null;
	if (la.la_hold === null) la.la_hold = m;
	else {
		let last = la.la_hold;
		while (last.m_nextpkt !== null) last = last.m_nextpkt;
		last.m_nextpkt = m;
	}
	la.la_numheld++;
	const error = la.la_asked < arp.maxtries ? EWOULDBLOCK : is_gw !== 0 ? EHOSTUNREACH : EHOSTDOWN;
	if (!renew) {
		yield* LLE_WUNLOCK(la);
		return error;
	}
	la.lle_refcnt++;
	la.la_expire = time_uptime();
	if ((yield* callout_reset(la.lle_timer, hz() * arp.wait, arptimer, la)) > 0) la.lle_refcnt--;
	la.la_asked++;
	yield* LLE_WUNLOCK(la);
	const asked = yield* arprequest(ifp, null, addr);
	return asked !== 0 ? asked : error;
}

/** netisr handler: checks that the packet is ARP for Ethernet and IPv4, and long enough. */
function* arpintr(m0: mbuf): Blocking<void> {
	charge(cost.arp_message);
	const ifp = m0.m_pkthdr.rcvif as ifnet;
	const m = m0.m_len < ARP_LEN ? m_pullup(m0, ARP_LEN) : m0;
	if (m === null) return;
	const { m_buf, m_data } = m;
	if (
		in_get16(m_buf, m_data) !== ARPHRD_ETHER ||
		m_buf[m_data + 4] !== ETHER_ADDR_LEN ||
		m_buf[m_data + 5] !== 4 ||
		in_get16(m_buf, m_data + 2) !== ETHERTYPE_IP
	) {
		m_freem(m);
		return;
	}
	V_arp().received++;
	return yield* in_arpinput(ifp, m);
}

/** The address of `ifp` that an ARP packet is about: the target's, the sender's, or just the first. */
function arp_myaddr(ifp: ifnet, itaddr: number, isaddr: number): number | null {
	let first: number | null = null;
	let sender = false;
	for (const ifa of ifp.if_addrhead) {
		if (ifa.ifa_addr === null || ifa.ifa_addr.sa_family !== AF_INET) continue;
		const addr = (ifa.ifa_addr as sockaddr_in).sin_addr;
		if (addr === itaddr) return addr;
		if (addr === isaddr) sender = true;
		first ??= addr;
	}
	return sender ? isaddr : first;
}

/** Learns the sender's address if we have to do with it, and answers if we are the target. */
function* in_arpinput(ifp: ifnet, m: mbuf): Blocking<void> {
	const { m_buf, m_data } = m;
	const arp = V_arp();
	const op = in_get16(m_buf, m_data + 6);
	const isaddr = in_get32(m_buf, m_data + 14);
	let itaddr = in_get32(m_buf, m_data + 24);
	const myaddr = arp_myaddr(ifp, itaddr, isaddr);
	if (op === ARPOP_REPLY) arp.rxreplies++;
	if (
		myaddr === null ||
		ETHER_IS_MULTICAST(m_buf, m_data + 8) ||
		ether_equal(ifp.if_hw_addr, m_buf, m_data + 8) ||
		ETHER_IS_BROADCAST(m_buf, m_data + 8)
	) {
		m_freem(m);
		return;
	}
	if (isaddr === myaddr && myaddr !== 0) {
		// somebody uses our address: answer, so that the other side notices too
		itaddr = myaddr;
		arp.dupips++;
	} else if ((ifp.if_flags & IFF_STATICARP) === 0) {
		const llt = LLTABLE(ifp);
		let la = yield* lla_lookup_exclusive(llt, isaddr);
		if (la === null && itaddr === myaddr && isaddr !== 0) {
			const fresh = new llentry(llt, isaddr);
			yield* LLE_WLOCK(fresh);
			la = yield* lltable_link_or_find(llt, fresh);
		}
		if (la !== null) yield* arp_check_update_lle(ifp, la, m_buf, m_data + 8);
	}
	if (op !== ARPOP_REQUEST) {
		m_freem(m);
		return;
	}
	arp.rxrequests++;
	if (itaddr !== myaddr) {
		m_freem(m);
		return;
	}
	yield* arp_reply(ifp, m, myaddr);
}

/** Turns a request into the reply to it. */
function* arp_reply(ifp: ifnet, m: mbuf, myaddr: number): Blocking<void> {
	const { m_buf, m_data } = m;
	charge(cost.arp_message);
	in_put16(m_buf, m_data + 6, ARPOP_REPLY);
	ether_copy(m_buf, m_data + 18, m_buf, m_data + 8);
	in_put32(m_buf, m_data + 24, in_get32(m_buf, m_data + 14));
	ether_copy(m_buf, m_data + 8, ifp.if_hw_addr, 0);
	in_put32(m_buf, m_data + 14, myaddr);
	m.m_flags &= ~(M_BCAST | M_MCAST);
	m.m_len = ARP_LEN;
	m.m_pkthdr.len = ARP_LEN;
	m.m_pkthdr.rcvif = null;
	m_clrprotoflags(m);
	V_arp().txreplies++;
	yield* ifp.if_output(ifp, m, arp_dst, null);
}

/** Notes a neighbour's address in a locked entry, unlocks it, and sends what waited for it. */
function* arp_check_update_lle(ifp: ifnet, la: llentry, buf: Uint8Array, sha: number): Blocking<void> {
	if ((la.la_flags & LLE_STATIC) !== 0) {
		yield* LLE_WUNLOCK(la);
		return;
	}
	const changed = (la.la_flags & LLE_VALID) === 0 || !ether_equal(la.r_linkdata, buf, sha);
	if (changed) {
		ether_copy(la.r_linkdata, 0, buf, sha);
		ether_copy(la.r_linkdata, 6, ifp.if_hw_addr, 0);
		in_put16(la.r_linkdata, 12, ETHERTYPE_IP);
		la.la_flags |= LLE_VALID;
		la.r_flags |= RLLE_VALID;
		if (arp_resolved.on !== null) arp_resolved.on(ifp, la.r_l3addr);
	}
	yield* arp_mark_lle_reachable(la);
	let hold = la.la_hold;
	la.la_hold = null;
	la.la_numheld = 0;
	const addr = la.r_l3addr;
	yield* LLE_WUNLOCK(la);
	if (hold === null) return;
	const dst = new sockaddr_in(addr);
	while (hold !== null) {
		const next: mbuf | null = hold.m_nextpkt;
		hold.m_nextpkt = null;
		m_clrprotoflags(hold);
		yield* ifp.if_output(ifp, hold, dst, null);
		hold = next;
	}
}

/** Arms the timer of an entry that has just been confirmed. */
function* arp_mark_lle_reachable(la: llentry): Blocking<void> {
	const arp = V_arp();
	la.ln_state = ARP_LLINFO_REACHABLE;
	if ((la.la_flags & LLE_STATIC) === 0) {
		la.lle_refcnt++;
		la.la_expire = time_uptime() + arp.max_age;
		// the timer comes early, to leave time for asking again
		const seconds = Math.max(arp.rexmit, arp.max_age - arp.maxtries * arp.rexmit);
		if ((yield* callout_reset(la.lle_timer, hz() * seconds, arptimer, la)) > 0) la.lle_refcnt--;
	}
	la.la_asked = 0;
	la.la_preempt = arp.maxtries;
}

/** A permanent entry for one of our own addresses, or one an administrator sets: arp(8) -s. */
export function* arp_add_static(ifp: ifnet, addr: number, lladdr: Uint8Array, flags: number): Blocking<void> {
	const llt = LLTABLE(ifp);
	const fresh = new llentry(llt, addr);
	yield* LLE_WLOCK(fresh);
	const la = yield* lltable_link_or_find(llt, fresh);
	if ((yield* callout_stop(la.lle_timer)) > 0) la.lle_refcnt--;
	ether_copy(la.r_linkdata, 0, lladdr, 0);
	ether_copy(la.r_linkdata, 6, ifp.if_hw_addr, 0);
	in_put16(la.r_linkdata, 12, ETHERTYPE_IP);
	la.la_flags |= LLE_VALID | LLE_STATIC | flags;
	la.r_flags |= RLLE_VALID | (flags & RLLE_IFADDR);
	la.ln_state = ARP_LLINFO_REACHABLE;
	yield* LLE_WUNLOCK(la);
}

/** A new IPv4 address of an Ethernet interface: enters it in the table and announces it. @see arp_ifinit */
export function* arp_ifinit(ifp: ifnet, ifa: ifaddr): Blocking<void> {
	const addr = (ifa.ifa_addr as sockaddr_in).sin_addr;
	if ((ifp.if_flags & IFF_NOARP) !== 0 || addr === 0) return;
	NET_EPOCH_ENTER();
	yield* arprequest(ifp, addr, addr);
	NET_EPOCH_EXIT();
	yield* arp_add_static(ifp, addr, ifp.if_hw_addr, LLE_IFADDR);
}

/** An address of ours goes, and with it its entry, and its network's if `mask` is given. @see arp_ifscrub, lltable_prefix_free */
export function* arp_ifscrub(ifp: ifnet, addr: number, mask = 0xffffffff): Blocking<void> {
	const llt = ifp.if_afdata[AF_ARP] as lltable | null;
	if (llt !== null) yield* lltable_prefix_free(llt, addr, mask);
}

/** arp(8) -d: forgets a neighbour. */
export function* arp_delete(ifp: ifnet, addr: number): Blocking<void> {
	yield* arp_ifscrub(ifp, addr);
}

/** arp(8) -a: an interface's neighbours; null for one that has not answered. */
export function arp_entries(ifp: ifnet): { addr: number; lladdr: Uint8Array | null }[] {
	return LLTABLE(ifp)
		.entries()
		.map((lle) => ({
			addr: lle.r_l3addr,
			lladdr: lle.ln_state === ARP_LLINFO_INCOMPLETE ? null : lle.r_linkdata.slice(0, ETHER_ADDR_LEN),
		}));
}

SYSINIT("arp", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	netisr_register({ nh_name: "arp", nh_handler: arpintr, nh_proto: NETISR_ARP, nh_policy: NETISR_POLICY_SOURCE });
	yield* sync();
});
