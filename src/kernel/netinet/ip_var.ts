/**
 * What IPv4 counts and what can be set, per vnet; and its probes.
 *
 * @see netinet/ip_var.h struct ipstat; sysctl net.inet.ip; dtrace_ip(4)
 */
import type { ifnet } from "../ifnet/if_var.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { VNET_DEFINE } from "../sched/kernel.ts";
import { IPDEFTTL } from "./ip.ts";

export class ipstat {
	ips_total = 0;
	ips_badsum = 0;
	ips_tooshort = 0;
	ips_toosmall = 0;
	ips_badhlen = 0;
	ips_badlen = 0;
	ips_badvers = 0;
	ips_badaddr = 0;
	ips_badoptions = 0;
	ips_fragments = 0;
	ips_fragdropped = 0;
	ips_fragtimeout = 0;
	ips_reassembled = 0;
	ips_forward = 0;
	ips_fastforward = 0;
	ips_cantforward = 0;
	ips_noproto = 0;
	ips_delivered = 0;
	ips_localout = 0;
	ips_odropped = 0;
	ips_fragmented = 0;
	ips_ofragments = 0;
	ips_cantfrag = 0;
	ips_noroute = 0;
}

export const V_ipstat = VNET_DEFINE(() => new ipstat());

class ip_settings {
	/** net.inet.ip.forwarding */
	ipforwarding = 0;
	/** net.inet.ip.ttl */
	ip_defttl = IPDEFTTL;
	/** net.inet.ip.check_interface */
	ip_checkinterface = 0;
	/** net.inet.ip.maxfragpackets */
	maxfragpackets = 1024;
	/** net.inet.ip.maxfragsperpacket */
	maxfragsperpacket = 16;
	/** the next datagram's number */
	ip_id = 0;
}

export const V_ip = VNET_DEFINE(() => new ip_settings());

/** a packet leaves by an interface; its header is where the data begin */
export const ip_send_probe = SDT_PROBE_DEFINE<[m: mbuf, ifp: ifnet]>("ip:::send", "m: mbuf, ifp: ifnet");
/** a packet arrived, header checked for length */
export const ip_receive_probe = SDT_PROBE_DEFINE<[m: mbuf, ifp: ifnet | null]>("ip:::receive", "m: mbuf, ifp: ifnet");
