/**
 * route(8): adds, deletes and finds routes.
 *
 * The routing socket is not modelled: a request goes to the routing table directly, after the check of privilege that a write to
 * the socket makes. Destinations and gateways are numeric.
 *
 * @see sbin/route/route.c newroute, rtsock.c route_output
 */
import { EEXIST, ENETUNREACH, type Errno, ESRCH, strerror } from "../kernel/errno.ts";
import { ifunit } from "../kernel/ifnet/if.ts";
import { PRIV_NET_ROUTE, priv_check } from "../kernel/jail/priv.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../kernel/lock/epoch.ts";
import { AF_INET, AF_INET6, inet_ntop, type sockaddr, sockaddr_in, sockaddr_in6 } from "../kernel/netinet/in.ts";
import { fib4_lookup, fib6_lookup, NHR_NONE, RTF_HOST, RTF_STATIC, rt_add, rt_delete } from "../kernel/route/route.ts";
import { type Blocking, charge, cost, curthread } from "../kernel/sched/thread.ts";
import { getopt, integer, numeric_host, parse_prefix, type prefix } from "./getopt.ts";
import type { process } from "./process.ts";
import { sysret } from "./syscall.ts";

function to_sockaddr(ip: prefix): sockaddr {
	return typeof ip.addr === "number" ? new sockaddr_in(ip.addr) : new sockaddr_in6(ip.addr);
}

/** What the command line says. */
interface request {
	readonly dst: prefix;
	readonly host: boolean;
	readonly gateway: string;
	readonly iface: boolean;
	readonly fib: number;
}

function usage(proc: process): number {
	proc.stderr("usage: route [-j jail] [-46dnqtv] command [[modifiers] args]");
	return 64;
}

/** Reads modifiers and arguments of add and delete; null if they make no sense. */
function parse(args: readonly string[]): request | null {
	let af: number = AF_INET;
	let host: boolean | null = null;
	let iface = false;
	let fib = 0;
	const operands: string[] = [];
	for (let i = 0; i < args.length; i++) {
		const word = args[i];
		if (word === "-inet6" || word === "-6") af = AF_INET6;
		else if (word === "-inet" || word === "-4") af = AF_INET;
		else if (word === "-net") host = false;
		else if (word === "-host") host = true;
		else if (word === "-iface" || word === "-interface") iface = true;
		else if (word === "-fib") fib = integer(args[++i] ?? "") ?? -1;
		else if (word.startsWith("-")) return null;
		else operands.push(word);
	}
	if (operands.length < 1 || operands.length > 2 || fib < 0) return null;
	const name = operands[0] === "default" ? (af === AF_INET6 ? "::/0" : "0.0.0.0/0") : operands[0];
	const dst = parse_prefix(name);
	if (dst === null) return null;
	host ??= !name.includes("/");
	return { dst, host, gateway: operands[1] ?? "", iface, fib };
}

function* routemsg(proc: process, adding: boolean, r: request): Blocking<Errno | null> {
	charge(cost.syscall);
	let error = priv_check(curthread, PRIV_NET_ROUTE);
	if (error === 0) {
		const dst = to_sockaddr(r.dst);
		const len = r.host ? null : r.dst.len;
		const flags = RTF_STATIC | (r.host ? RTF_HOST : 0);
		if (!adding) error = yield* rt_delete(r.fib, dst, len, flags);
		else if (r.iface) {
			const ifp = ifunit(r.gateway);
			error = ifp === null ? ENETUNREACH : yield* rt_add(r.fib, dst, len, null, ifp, null, flags);
		} else {
			const gateway = numeric_host(r.gateway, 0);
			if (gateway === null) {
				proc.warn(`bad address: ${r.gateway}`);
				return null;
			}
			error = yield* rt_add(r.fib, dst, len, gateway, null, null, flags);
		}
	}
	yield* sysret(proc);
	return error;
}

function explain(error: Errno): string {
	if (error === ESRCH) return "not in table";
	if (error === EEXIST) return "route already in table";
	if (error === ENETUNREACH) return "gateway uses the same route";
	return strerror(error);
}

function* newroute(proc: process, verb: string, args: readonly string[]): Blocking<number> {
	const r = parse(args);
	if (r === null || (verb === "add" && r.gateway === "")) return usage(proc);
	const error = yield* routemsg(proc, verb === "add", r);
	if (error === null) return 68;
	const name = r.dst.len === 0 ? "default" : inet_ntop(r.dst.addr);
	const line = `${verb} ${r.host ? "host" : "net"} ${name}${r.gateway === "" ? "" : `: gateway ${r.gateway}`}`;
	if (error === 0) {
		proc.stdout(line);
		return 0;
	}
	proc.warn(`route has not been ${verb === "add" ? "added" : "deleted"}: ${strerror(error)}`);
	proc.stdout(`${line}: ${explain(error)}`);
	return 1;
}

/** `route get`: which route a packet would take. */
function get(proc: process, args: readonly string[]): number {
	const r = parse(args);
	if (r === null) return usage(proc);
	NET_EPOCH_ENTER();
	const nh =
		typeof r.dst.addr === "number"
			? fib4_lookup(r.fib, r.dst.addr, 0, NHR_NONE, 0)
			: fib6_lookup(r.fib, r.dst.addr, 0, NHR_NONE, 0);
	NET_EPOCH_EXIT();
	if (nh === null) return proc.warn("route has not been found");
	proc.stdout(`   route to: ${inet_ntop(r.dst.addr)}`);
	proc.stdout(`        fib: ${r.fib}`);
	proc.stdout(`  interface: ${nh.nh_ifp.if_xname}`);
	return 0;
}

export function* route(proc: process, argv: readonly string[]): Blocking<number> {
	const parsed = getopt(argv, "46dnqtvj:");
	if (parsed.error !== "") return usage(proc);
	const [verb, ...args] = parsed.operands;
	const family = parsed.options.some((o) => o.name === "6") ? ["-inet6"] : [];
	if (verb === "add") return yield* newroute(proc, "add", [...family, ...args]);
	if (verb === "delete" || verb === "del") return yield* newroute(proc, "delete", [...family, ...args]);
	if (verb === "get" || verb === "show") return get(proc, [...family, ...args]);
	return usage(proc);
}
