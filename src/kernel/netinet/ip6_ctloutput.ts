/**
 * Socket options of IPv6, control messages of a datagram to send, and what a receiver is told about one.
 *
 * @see netinet6/ip6_output.c ip6_ctloutput, ip6_setpktopts; netinet6/ip6_input.c ip6_savecontrol
 */
import { le32dec } from "../endian.ts";
import { EINVAL, ENOPROTOOPT, ENXIO, type Errno } from "../errno.ts";
import { ifnet_byindex } from "../ifnet/if.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { Blocking } from "../sched/thread.ts";
import { CMSG_HDR, CMSG_LEN, cmsg_len, cmsg_level, cmsg_type, sbcreatecontrol } from "../socket/cmsg.ts";
import { SO_TIMESTAMP, SOL_SOCKET, type socket } from "../socket/socket.ts";
import { SOPT_SET, type sockopt, sooptcopyin_int, sooptcopyout } from "../socket/sockopt.ts";
import {
	IN6_IS_ADDR_UNSPECIFIED,
	IPPROTO_IPV6,
	IPV6_CHECKSUM,
	IPV6_DONTFRAG,
	IPV6_HOPLIMIT,
	IPV6_PKTINFO,
	IPV6_RECVPKTINFO,
	IPV6_TCLASS,
	IPV6_UNICAST_HOPS,
	IPV6_V6ONLY,
	in_put16,
} from "./in.ts";
import {
	IN6P_HOPLIMIT,
	IN6P_IPV6_V6ONLY,
	IN6P_PKTINFO,
	INP_DONTFRAG,
	INP_WLOCK,
	INP_WUNLOCK,
	type inpcb,
	sotoinpcb,
} from "./in_pcb.ts";
import { inp_socket_option, timestamp_control } from "./ip_ctloutput.ts";
import { IP6_DST_OFF, IP6_HLIM_OFF } from "./ip6.ts";
import { ip6_pktopts } from "./ip6_output.ts";
import { in6_getscope, in6_has_zone } from "./scope6.ts";

/** netinet6/in6.h; RECVPKTINFO's companion */
export const IPV6_RECVHOPLIMIT = 37;
/** struct in6_pktinfo: an address and an interface index */
const PKTINFO_LEN = 20;

function flag_of(name: number): number {
	switch (name) {
		case IPV6_RECVPKTINFO:
			return IN6P_PKTINFO;
		case IPV6_RECVHOPLIMIT:
			return IN6P_HOPLIMIT;
		case IPV6_DONTFRAG:
			return INP_DONTFRAG;
		case IPV6_V6ONLY:
			return IN6P_IPV6_V6ONLY;
		default:
			return 0;
	}
}

function set_option(inp: inpcb, name: number, value: number): Errno {
	switch (name) {
		case IPV6_UNICAST_HOPS:
			if (value < -1 || value > 255) return EINVAL;
			inp.in6p_hops = value;
			return 0;
		case IPV6_TCLASS:
			if (value < -1 || value > 255) return EINVAL;
			inp.in6p_tclass = value;
			return 0;
		case IPV6_CHECKSUM:
			if (value < -1 || (value & 1) !== 0) return value === -1 ? 0 : EINVAL;
			inp.in6p_cksum = value;
			return 0;
		case IPV6_V6ONLY:
			// only before there is anything to be confused about
			if (inp.inp_lport !== 0 || !IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6)) return EINVAL;
			break;
	}
	const flag = flag_of(name);
	if (flag === 0) return ENOPROTOOPT;
	inp.inp_flags = value !== 0 ? inp.inp_flags | flag : inp.inp_flags & ~flag;
	return 0;
}

function get_option(inp: inpcb, name: number): number | null {
	switch (name) {
		case IPV6_UNICAST_HOPS:
			return inp.in6p_hops;
		case IPV6_TCLASS:
			return inp.in6p_tclass;
		case IPV6_CHECKSUM:
			return inp.in6p_cksum;
	}
	const flag = flag_of(name);
	if (flag === 0) return null;
	return (inp.inp_flags & flag) !== 0 ? 1 : 0;
}

/** setsockopt and getsockopt of level IPPROTO_IPV6; and what SOL_SOCKET options mean to the block. */
export function* ip6_ctloutput(so: socket, sopt: sockopt): Blocking<Errno> {
	if (sopt.sopt_level !== IPPROTO_IPV6) {
		if (sopt.sopt_level === SOL_SOCKET && sopt.sopt_dir === SOPT_SET)
			return yield* inp_socket_option(so, sopt.sopt_name);
		return EINVAL;
	}
	const inp = sotoinpcb(so);
	if (sopt.sopt_dir === SOPT_SET) {
		const value = sooptcopyin_int(sopt);
		if (value === null) return EINVAL;
		yield* INP_WLOCK(inp);
		const error = set_option(inp, sopt.sopt_name, value);
		yield* INP_WUNLOCK(inp);
		return error;
	}
	const value = get_option(inp, sopt.sopt_name);
	return value === null ? ENOPROTOOPT : sooptcopyout(sopt, value);
}

/** Reads the control messages of one datagram, which stay the caller's. @returns the options, or an error */
export function ip6_setpktopts(control: mbuf): ip6_pktopts | Errno {
	const opt = new ip6_pktopts();
	if (control.m_next !== null) return EINVAL;
	const buf = control.m_buf;
	let at = control.m_data;
	let left = control.m_len;
	while (left > 0) {
		const len = left < CMSG_HDR ? 0 : cmsg_len(buf, at);
		if (len === 0 || len > left) return EINVAL;
		if (cmsg_level(buf, at) === IPPROTO_IPV6) {
			const data = at + CMSG_HDR;
			switch (cmsg_type(buf, at)) {
				case IPV6_PKTINFO: {
					if (len !== CMSG_LEN(PKTINFO_LEN)) return EINVAL;
					const ifindex = le32dec(buf, data + 16);
					if (ifindex !== 0 && ifnet_byindex(ifindex) === null) return ENXIO;
					opt.ip6po_ifindex = ifindex;
					const src = buf.slice(data, data + 16);
					if (!IN6_IS_ADDR_UNSPECIFIED(src)) opt.ip6po_src = src;
					break;
				}
				case IPV6_HOPLIMIT:
					if (len !== CMSG_LEN(4)) return EINVAL;
					opt.ip6po_hlim = le32dec(buf, data) | 0;
					break;
				case IPV6_TCLASS:
					if (len !== CMSG_LEN(4)) return EINVAL;
					opt.ip6po_tclass = le32dec(buf, data) | 0;
					break;
				default:
					return ENOPROTOOPT;
			}
		}
		const step = (len + 7) & ~7;
		at += step;
		left -= step;
	}
	return opt;
}

/** Control messages about a received packet whose header is at `ip6` of `buf`. @returns the chain, null if there are none */
export function ip6_savecontrol(inp: inpcb, buf: Uint8Array, ip6: number, ifindex: number): mbuf | null {
	let chain: mbuf | null = null;
	if ((inp.inp_flags & IN6P_HOPLIMIT) !== 0) {
		const hops = Uint8Array.of(buf[ip6 + IP6_HLIM_OFF], 0, 0, 0);
		chain = sbcreatecontrol(hops, 4, IPV6_HOPLIMIT, IPPROTO_IPV6);
	}
	if ((inp.inp_flags & IN6P_PKTINFO) !== 0) {
		const info = new Uint8Array(PKTINFO_LEN);
		info.set(buf.subarray(ip6 + IP6_DST_OFF, ip6 + IP6_DST_OFF + 16));
		const zone = in6_getscope(info, 0);
		if (in6_has_zone(info, 0)) in_put16(info, 2, 0);
		const index = zone === 0 ? ifindex : zone;
		info[16] = index;
		info[17] = index >>> 8;
		const c = sbcreatecontrol(info, PKTINFO_LEN, IPV6_PKTINFO, IPPROTO_IPV6);
		if (c !== null) {
			c.m_next = chain;
			chain = c;
		}
	}
	if (((inp.inp_socket as socket).so_options & SO_TIMESTAMP) !== 0) {
		const c = timestamp_control();
		if (c !== null) {
			c.m_next = chain;
			chain = c;
		}
	}
	return chain;
}
