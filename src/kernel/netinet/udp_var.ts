/**
 * UDP's header, counters, per-socket state and tables.
 *
 * @see netinet/udp.h, netinet/udp_var.h
 */
import type { mbuf } from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { VNET_DEFINE } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import type { sockaddr } from "./in.ts";
import type { inpcb, inpcbinfo } from "./in_pcb_var.ts";

export const UDP_HDR_LEN = 8;
export const UH_SPORT = 0;
export const UH_DPORT = 2;
export const UH_ULEN = 4;
export const UH_SUM = 6;

/** net.inet.udp.maxdgram: the largest datagram a program may send */
export const udp_sendspace = 9216;
/** net.inet.udp.recvspace: 40 datagrams of 1 KB with the senders' addresses */
export const udp_recvspace = 40 * (1024 + 28);

/**
 * Gets the datagrams of a tunnelling socket, with no lock held. `m` begins with its IP header, `off` bytes of which come
 * before the UDP header. `sa` is the source and the destination; they are the caller's, so copy what is to be kept.
 *
 * @returns true if the packet was consumed; false: treat it as an ordinary datagram (14.0; 13.0 always consumes)
 */
export type udp_tun_func_t<T = never> = (
	m: mbuf,
	off: number,
	inp: inpcb,
	sa: readonly sockaddr[],
	ctx: T,
) => Blocking<boolean>;

/** Gets ICMP errors about datagrams a tunnelling socket sent. */
export type udp_tun_icmp_t<T = never> = (
	cmd: number,
	sa: sockaddr,
	m: mbuf | null,
	off: number,
	ctx: T,
) => Blocking<void>;

export class udpcb {
	u_tun_func: udp_tun_func_t<unknown> | null = null;
	u_icmp_func: udp_tun_icmp_t<unknown> | null = null;
	u_tun_ctx: unknown = null;
}

export function intoudpcb(inp: inpcb): udpcb {
	return inp.inp_ppcb as udpcb;
}

export class udpstat {
	udps_ipackets = 0;
	udps_hdrops = 0;
	udps_badsum = 0;
	udps_nosum = 0;
	udps_badlen = 0;
	udps_noport = 0;
	udps_noportbcast = 0;
	udps_fullsock = 0;
	udps_opackets = 0;
}

export const V_udpstat = VNET_DEFINE(() => new udpstat());

class udb_slot {
	info!: inpcbinfo;
	/** net.inet.udp.blackhole: no ICMP for closed ports */
	blackhole = 0;
	/** net.inet.udp.checksum */
	cksum = 1;
	flowid = 0;
}

export const V_udp = VNET_DEFINE(() => new udb_slot());

export function V_udbinfo(): inpcbinfo {
	return V_udp().info;
}

/** a datagram leaves; its IP header is where the data begin */
export const udp_send_probe = SDT_PROBE_DEFINE<[inp: inpcb, m: mbuf]>("udp:::send", "inp: inpcb, m: mbuf");
/** a datagram arrived; the block is null if nobody has the port */
export const udp_receive_probe = SDT_PROBE_DEFINE<[inp: inpcb | null, m: mbuf]>("udp:::receive", "inp: inpcb, m: mbuf");
