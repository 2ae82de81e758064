/**
 * What IPv6 counts and what can be set, per vnet.
 *
 * @see netinet6/ip6_var.h struct ip6stat; sysctl net.inet6.ip6
 */
import { VNET_DEFINE } from "../sched/kernel.ts";
import { IPV6_DEFHLIM } from "./ip6.ts";

export class ip6stat {
	ip6s_total = 0;
	ip6s_tooshort = 0;
	ip6s_toosmall = 0;
	ip6s_badvers = 0;
	ip6s_badscope = 0;
	ip6s_badoptions = 0;
	ip6s_toomanyhdr = 0;
	ip6s_fragments = 0;
	ip6s_fragdropped = 0;
	ip6s_fragtimeout = 0;
	ip6s_reassembled = 0;
	ip6s_forward = 0;
	ip6s_cantforward = 0;
	ip6s_delivered = 0;
	ip6s_notmember = 0;
	ip6s_localout = 0;
	ip6s_odropped = 0;
	ip6s_fragmented = 0;
	ip6s_ofragments = 0;
	ip6s_cantfrag = 0;
	ip6s_noroute = 0;
}

export const V_ip6stat = VNET_DEFINE(() => new ip6stat());

class ip6_settings {
	/** net.inet6.ip6.forwarding */
	ip6_forwarding = 0;
	/** net.inet6.ip6.hlim */
	ip6_defhlim = IPV6_DEFHLIM;
	/** the next fragmented datagram's number */
	ip6_id = 0;
	/** datagrams whose fragments may wait */
	maxfragpackets = 1024;
}

export const V_ip6 = VNET_DEFINE(() => new ip6_settings());
