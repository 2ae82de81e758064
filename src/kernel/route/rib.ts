/**
 * Routing tables: one radix tree for each address family and FIB of a vnet, and how routes are added and deleted.
 *
 * Lookups walk the tree inside the network epoch without its lock, as FreeBSD's lockless fib_algo modules do; changes take
 * the lock, build a nexthop and bump the table's generation, which makes sockets look up their cached routes again.
 * Simplified: no multipath, no expiring routes, no routing socket; reject and blackhole routes are not modelled.
 *
 * @see net/route/route_ctl.c, net/route/route_tables.c, net/route/nhop_ctl.c
 */
import { EEXIST, EINVAL, ENETUNREACH, ENOBUFS, type Errno } from "../errno.ts";
import { IFF_LOOPBACK, type ifaddr, type ifnet } from "../ifnet/if_var.ts";
import { NET_EPOCH_CALL } from "../lock/epoch.ts";
import { AF_INET, AF_INET6, AF_LINK, type sockaddr, type sockaddr_in, type sockaddr_in6 } from "../netinet/in.ts";
import { ifa_ifwithnet } from "../netinet/in_ifa.ts";
import { TUNABLE_FETCH, VNET_DEFINE } from "../sched/kernel.ts";
import { type Blocking, charge, cost, DONE } from "../sched/thread.ts";
import { NHF_BROADCAST, NHF_DEFAULT, NHF_GATEWAY, NHF_HOST, nhop_object } from "./nhop.ts";
import {
	RADIX_NODE_HEAD_DESTROY,
	RADIX_NODE_HEAD_LOCK,
	RADIX_NODE_HEAD_UNLOCK,
	type radix_node,
	type radix_node_head,
	radix_node_pair,
	type radix_nodes,
	rn_detachhead,
	rn_inithead,
} from "./radix.ts";

/** no such route. @see sys/errno.h */
const ESRCH: Errno = 3;

export const RTM_ADD = 1;
export const RTM_DELETE = 2;
export const RTM_CHANGE = 3;

export const RTF_UP = 0x1;
export const RTF_GATEWAY = 0x2;
export const RTF_HOST = 0x4;
export const RTF_STATIC = 0x800;
/** belongs to an interface address; replaced and deleted by it only */
export const RTF_PINNED = 0x100000;
export const RTF_BROADCAST = 0x400000;

/**
 * Bytes of a key before the address, behind it, and the whole key. The layout is the sockaddr's own; the zeroes at its
 * end keep the address of all ones from being the tree's marker.
 */
const KEY_OFF_IN = 4;
const KEY_END_IN = 8;
const KEY_LEN_IN = 16;
const KEY_OFF_IN6 = 8;
const KEY_END_IN6 = 24;
const KEY_LEN_IN6 = 28;

/** A route. @see net/route/route_var.h struct rtentry */
export class rtentry {
	readonly rt_nodes: radix_nodes;
	rt_nhop: nhop_object;
	rte_flags: number;
	constructor(nh: nhop_object, flags: number) {
		this.rt_nodes = radix_node_pair(this);
		this.rt_nhop = nh;
		this.rte_flags = flags;
	}
	get rt_key(): Uint8Array {
		return this.rt_nodes[0].rn_key;
	}
	get rt_mask(): Uint8Array | null {
		return this.rt_nodes[0].rn_mask;
	}
}

/** One table. @see net/route/route_var.h struct rib_head */
export class rib_head {
	readonly rnh: radix_node_head;
	readonly rib_family: number;
	readonly rib_fibnum: number;
	/** bumped by each change */
	rnh_gen = 1;
	rnh_prefixes = 0;
	/** the key of the lookup under way: filled and used without waiting in between */
	readonly key: Uint8Array;

	constructor(family: number, fibnum: number) {
		const off = family === AF_INET ? KEY_OFF_IN : KEY_OFF_IN6;
		this.rnh = rn_inithead(off << 3) as radix_node_head;
		this.rib_family = family;
		this.rib_fibnum = fibnum;
		this.key = new Uint8Array(family === AF_INET ? KEY_LEN_IN : KEY_LEN_IN6);
		this.key[0] = this.key.length;
	}
}

class rt_tables {
	readonly inet: (rib_head | null)[] = [];
	readonly inet6: (rib_head | null)[] = [];
}

const V_rt_tables = VNET_DEFINE(() => new rt_tables());

/** How many FIBs each vnet has, net.fibs. */
export function rt_numfibs(): number {
	const tunable = TUNABLE_FETCH("net.fibs");
	const n = tunable === null ? 1 : Number(tunable);
	return Number.isInteger(n) && n >= 1 && n <= 65536 ? n : 1;
}

/** The table of a FIB, made when it is first used; null if there is no such FIB. @see rt_tables_get_rnh */
export function rt_tables_get_rnh(fibnum: number, family: number): rib_head | null {
	const tables = V_rt_tables();
	const list = family === AF_INET ? tables.inet : tables.inet6;
	const found = list[fibnum];
	if (found !== undefined && found !== null) return found;
	if (fibnum < 0 || fibnum >= rt_numfibs()) return null;
	while (list.length <= fibnum) list.push(null);
	const made = new rib_head(family, fibnum);
	list[fibnum] = made;
	return made;
}

/** What to add or delete. @see net/route.h struct rt_addrinfo */
export class rt_addrinfo {
	rti_dst: sockaddr;
	/** prefix length; the address's full length for a host */
	rti_prefixlen: number;
	rti_gateway: sockaddr | null = null;
	rti_flags = 0;
	rti_ifa: ifaddr | null = null;
	rti_ifp: ifnet | null = null;
	/** 0: the interface's */
	rti_mtu = 0;
	/** delete only a route of this address */
	rti_filter_ifa: ifaddr | null = null;
	constructor(dst: sockaddr, prefixlen: number) {
		this.rti_dst = dst;
		this.rti_prefixlen = prefixlen;
	}
}

/** A key, or with `prefixlen` bits only; the rest is zero. */
function make_key(sa: sockaddr, prefixlen: number): Uint8Array {
	const v4 = sa.sa_family === AF_INET;
	const off = v4 ? KEY_OFF_IN : KEY_OFF_IN6;
	const key = new Uint8Array(v4 ? KEY_LEN_IN : KEY_LEN_IN6);
	const end = v4 ? KEY_END_IN : KEY_END_IN6;
	key[0] = key.length;
	for (let i = off; i < end; i++) {
		const bits = Math.min(8, Math.max(0, prefixlen - 8 * (i - off)));
		const byte = v4 ? (sa as sockaddr_in).sin_addr >>> (24 - 8 * (i - off)) : (sa as sockaddr_in6).sin6_addr[i - off];
		key[i] = byte & (0xff00 >> bits);
	}
	return key;
}

function make_mask(family: number, prefixlen: number): Uint8Array | null {
	const off = family === AF_INET ? KEY_OFF_IN : KEY_OFF_IN6;
	const end = family === AF_INET ? KEY_END_IN : KEY_END_IN6;
	if (prefixlen === 8 * (end - off)) return null;
	const mask = new Uint8Array(end);
	mask[0] = end;
	for (let i = off; i < end; i++) mask[i] = 0xff00 >> Math.min(8, Math.max(0, prefixlen - 8 * (i - off)));
	return mask;
}

/** Fills in what the caller left open: the address, and by it the interface, that leads to the gateway. @see rt_getifa_fib */
function rt_getifa_fib(info: rt_addrinfo): Errno {
	if (info.rti_ifa === null) {
		const gateway = info.rti_gateway;
		if (gateway !== null && gateway.sa_family !== AF_LINK) info.rti_ifa = ifa_ifwithnet(gateway);
		if (info.rti_ifa === null && info.rti_ifp !== null) {
			const ifp = info.rti_ifp;
			info.rti_ifa = ifp.if_addrhead.find((ifa) => ifa.ifa_addr?.sa_family === info.rti_dst.sa_family) ?? null;
		}
		if (info.rti_ifa === null) return ENETUNREACH;
	}
	if (info.rti_ifp === null) info.rti_ifp = info.rti_ifa.ifa_ifp;
	return 0;
}

function make_nhop(info: rt_addrinfo, host: boolean): nhop_object {
	const ifp = info.rti_ifp!;
	const ifa = info.rti_ifa!;
	let flags = 0;
	if (host) flags |= NHF_HOST;
	if (info.rti_prefixlen === 0) flags |= NHF_DEFAULT;
	if ((info.rti_flags & RTF_BROADCAST) !== 0) flags |= NHF_BROADCAST;
	const gateway = (info.rti_flags & RTF_GATEWAY) !== 0 ? info.rti_gateway : null;
	if (gateway !== null) flags |= NHF_GATEWAY;
	// a packet to ourselves leaves by the loopback, but belongs to the interface that has the address
	const aifp = (ifp.if_flags & IFF_LOOPBACK) !== 0 ? ifa.ifa_ifp : ifp;
	return new nhop_object(ifp, ifa, aifp, flags, info.rti_mtu, gateway);
}

function* add_route(rib: rib_head, info: rt_addrinfo): Blocking<Errno> {
	const mask = make_mask(rib.rib_family, info.rti_prefixlen);
	const key = make_key(info.rti_dst, info.rti_prefixlen);
	const error = rt_getifa_fib(info);
	if (error !== 0) return error;
	const rt = new rtentry(make_nhop(info, mask === null), info.rti_flags | RTF_UP);
	const head = rib.rnh;
	yield* RADIX_NODE_HEAD_LOCK(head);
	let result: Errno = 0;
	if (head.rnh_addaddr(key, mask, head.rh, rt.rt_nodes) === null) {
		const old = head.rnh_lookup(key, mask, head.rh);
		const entry = old === null ? null : (old.rn_owner as rtentry);
		// an interface's own route takes the place of any other
		if (entry !== null && (info.rti_flags & RTF_PINNED) !== 0 && (entry.rte_flags & RTF_PINNED) === 0) {
			entry.rt_nhop.nh_valid = false;
			entry.rt_nhop = rt.rt_nhop;
			entry.rte_flags = rt.rte_flags;
		} else result = entry === null ? ENOBUFS : EEXIST;
	} else rib.rnh_prefixes++;
	if (result === 0) rib.rnh_gen++;
	yield* RADIX_NODE_HEAD_UNLOCK(head);
	return result;
}

/** A route leaves the tree: whoever has it cached must notice; a walk under way may still be on its nodes. */
function rt_unlinked(rt: rtentry): void {
	rt.rt_nhop.nh_valid = false;
	NET_EPOCH_CALL(destroy_rtentry, rt);
}

function destroy_rtentry(_rt: rtentry): Blocking<void> {
	return DONE;
}

function* del_route(rib: rib_head, info: rt_addrinfo): Blocking<Errno> {
	const mask = make_mask(rib.rib_family, info.rti_prefixlen);
	const key = make_key(info.rti_dst, info.rti_prefixlen);
	const head = rib.rnh;
	yield* RADIX_NODE_HEAD_LOCK(head);
	let error: Errno = 0;
	const rn = head.rnh_lookup(key, mask, head.rh);
	if (rn === null) error = ESRCH;
	else {
		const rt = rn.rn_owner as rtentry;
		if (info.rti_filter_ifa !== null && rt.rt_nhop.nh_ifa !== info.rti_filter_ifa) error = ESRCH;
		else if ((rt.rte_flags & RTF_PINNED) !== 0 && (info.rti_flags & RTF_PINNED) === 0) error = EINVAL;
		else {
			head.rnh_deladdr(key, mask, head.rh);
			rib.rnh_prefixes--;
			rib.rnh_gen++;
			rt_unlinked(rt);
		}
	}
	yield* RADIX_NODE_HEAD_UNLOCK(head);
	return error;
}

/**
 * Adds or deletes a route.
 *
 * @returns EEXIST, ESRCH, ENETUNREACH when nothing leads to the gateway, EINVAL for a FIB that does not exist
 * @see route_ctl.c rib_action
 */
export function* rib_action(fibnum: number, action: number, info: rt_addrinfo): Blocking<Errno> {
	charge(cost.rib_action);
	const rib = rt_tables_get_rnh(fibnum, info.rti_dst.sa_family);
	if (rib === null) return EINVAL;
	return action === RTM_ADD ? yield* add_route(rib, info) : yield* del_route(rib, info);
}

class walk_collect {
	readonly found: rtentry[] = [];
	readonly ifp: ifnet | null;
	readonly ifa: ifaddr | null;
	constructor(ifp: ifnet | null, ifa: ifaddr | null) {
		this.ifp = ifp;
		this.ifa = ifa;
	}
}

function collect(rn: radix_node, arg: walk_collect): number {
	const rt = rn.rn_owner as rtentry;
	const nh = rt.rt_nhop;
	const all = arg.ifp === null && arg.ifa === null;
	if (all || nh.nh_ifp === arg.ifp || nh.nh_aifp === arg.ifp || nh.nh_ifa === arg.ifa) arg.found.push(rt);
	return 0;
}

function* rib_del_collected(rib: rib_head, what: walk_collect): Blocking<number> {
	const head = rib.rnh;
	yield* RADIX_NODE_HEAD_LOCK(head);
	head.rnh_walktree(head.rh, collect, what);
	for (const rt of what.found) {
		head.rnh_deladdr(rt.rt_key, rt.rt_mask, head.rh);
		rib.rnh_prefixes--;
		rt_unlinked(rt);
	}
	if (what.found.length > 0) rib.rnh_gen++;
	yield* RADIX_NODE_HEAD_UNLOCK(head);
	return what.found.length;
}

function* each_rib_delete(ifp: ifnet | null, ifa: ifaddr | null, family: number): Blocking<void> {
	const tables = V_rt_tables();
	for (const list of [tables.inet, tables.inet6]) {
		for (const rib of list) {
			if (rib === null || (family !== 0 && rib.rib_family !== family)) continue;
			yield* rib_del_collected(rib, new walk_collect(ifp, ifa));
		}
	}
}

/** Deletes all routes through an interface that goes away. @see route_ifaddrs.c rt_flushifroutes */
export function* rt_flushifroutes(ifp: ifnet): Blocking<void> {
	yield* each_rib_delete(ifp, null, 0);
}

/** Deletes all routes that use an address that goes away. @see in.c in_ifadown */
export function* rt_flushifaroutes(ifa: ifaddr, family: number): Blocking<void> {
	yield* each_rib_delete(null, ifa, family);
}

/** Empties and gives back all tables, when a vnet goes. */
export function* rt_tables_flush(): Blocking<void> {
	yield* each_rib_delete(null, null, 0);
	const tables = V_rt_tables();
	for (const list of [tables.inet, tables.inet6]) {
		for (const rib of list) {
			if (rib === null) continue;
			RADIX_NODE_HEAD_DESTROY(rib.rnh);
			rn_detachhead(rib.rnh);
		}
		list.length = 0;
	}
}

class walk_dump {
	readonly family: number;
	readonly out: rtentry[] = [];
	constructor(family: number) {
		this.family = family;
	}
}

/** All routes of a table, in order: for `netstat -r`. */
export function rib_walk(fibnum: number, family: number): rtentry[] {
	const rib = rt_tables_get_rnh(fibnum, family);
	if (rib === null) return [];
	const dump = new walk_dump(family === AF_INET6 ? AF_INET6 : AF_INET);
	rib.rnh.rnh_walktree(
		rib.rnh.rh,
		(rn, arg) => {
			arg.out.push(rn.rn_owner as rtentry);
			return 0;
		},
		dump,
	);
	return dump.out;
}
