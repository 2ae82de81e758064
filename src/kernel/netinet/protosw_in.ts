/**
 * The tables of what happens to a packet by its protocol number: ip_protox and ip6_protox.
 *
 * Protocols enter themselves when their module is loaded; the tables never change afterwards.
 *
 * @see ip_input.c ipproto_register; sys/protosw.h PRC_x
 */
import type { mbuf } from "../mbuf/mbuf.ts";
import type { Blocking } from "../sched/thread.ts";
import { IPPROTO_MAX, type sockaddr } from "./in.ts";

// what pr_ctlinput is told
export const PRC_IFDOWN = 0;
export const PRC_MSGSIZE = 5;
export const PRC_HOSTDEAD = 6;
export const PRC_UNREACH_NET = 8;
export const PRC_UNREACH_HOST = 9;
export const PRC_UNREACH_PROTOCOL = 10;
export const PRC_UNREACH_PORT = 11;
export const PRC_TIMXCEED_INTRANS = 18;
export const PRC_TIMXCEED_REASS = 19;
export const PRC_PARAMPROB = 20;
export const PRC_UNREACH_ADMIN_PROHIB = 21;

export interface ip_proto {
	/**
	 * Takes a packet. `m` begins with its IP header, `off` bytes of headers come before the protocol's own. For IPv6 the
	 * result is the next header and the packet goes on, or IPPROTO_DONE; for IPv4 nothing is looked at.
	 */
	readonly pr_input: (m: mbuf, off: number, proto: number) => Blocking<void>;
	/**
	 * Takes an error message. `sa` is the destination that the packet in question had; `m` holds what was quoted of it,
	 * its IP header `off` bytes behind the start of the first mbuf. No packet is passed for interface events.
	 */
	readonly pr_ctlinput?: (cmd: number, sa: sockaddr, m: mbuf | null, off: number) => Blocking<void>;
}

export const ip_protox: (ip_proto | null)[] = new Array<ip_proto | null>(IPPROTO_MAX).fill(null);
export const ip6_protox: (ip_proto | null)[] = new Array<ip_proto | null>(IPPROTO_MAX).fill(null);

/** Enters a protocol into IPv4's table. */
export function ipproto_register(proto: number, pr: ip_proto): void {
	ip_protox[proto] = pr;
}

/** Enters a protocol into IPv6's table. @see ip6_input.c ip6proto_register */
export function ip6proto_register(proto: number, pr: ip_proto): void {
	ip6_protox[proto] = pr;
}
