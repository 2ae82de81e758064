/**
 * Socket options of IPv4, and what a datagram's receiver is told about its header.
 *
 * @see ip_output.c ip_ctloutput; ip_input.c ip_savecontrol
 */
import { EINVAL, ENOPROTOOPT, type Errno } from "../errno.ts";
import { PRIV_NETINET_BINDANY, priv_check_cred } from "../jail/priv.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import { nanotime } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import { sbcreatecontrol } from "../socket/cmsg.ts";
import {
	SCM_TIMESTAMP,
	SO_REUSEADDR,
	SO_REUSEPORT,
	SO_SETFIB,
	SO_TIMESTAMP,
	SOL_SOCKET,
	type socket,
} from "../socket/socket.ts";
import { SOPT_SET, type sockopt, sooptcopyin_int, sooptcopyout } from "../socket/sockopt.ts";
import {
	IP_BINDANY,
	IP_DONTFRAG,
	IP_HDRINCL,
	IP_MINTTL,
	IP_PORTRANGE,
	IP_RECVDSTADDR,
	IP_RECVTOS,
	IP_RECVTTL,
	IP_TOS,
	IP_TTL,
	IPPROTO_IP,
} from "./in.ts";
import {
	INP_BINDANY,
	INP_DONTFRAG,
	INP_HDRINCL,
	INP_HIGHPORT,
	INP_LOWPORT,
	INP_RECVDSTADDR,
	INP_RECVTOS,
	INP_RECVTTL,
	INP_REUSEADDR,
	INP_REUSEPORT,
	INP_WLOCK,
	INP_WUNLOCK,
	type inpcb,
	sotoinpcb,
} from "./in_pcb.ts";
import { IP_DST_OFF, IP_TOS_OFF, IP_TTL_OFF } from "./ip.ts";

const IP_PORTRANGE_HIGH = 1;
const IP_PORTRANGE_LOW = 2;

/** The flag of the block an on-off option stands for; 0: it is no such option. */
function option_flag(name: number): number {
	switch (name) {
		case IP_RECVDSTADDR:
			return INP_RECVDSTADDR;
		case IP_RECVTTL:
			return INP_RECVTTL;
		case IP_RECVTOS:
			return INP_RECVTOS;
		case IP_DONTFRAG:
			return INP_DONTFRAG;
		case IP_BINDANY:
			return INP_BINDANY;
		case IP_HDRINCL:
			return INP_HDRINCL;
		default:
			return 0;
	}
}

function set_bit(word: number, bit: number, on: boolean): number {
	return on ? word | bit : word & ~bit;
}

/** The block keeps copies of some of the socket's options: takes them over. */
export function* inp_socket_option(so: socket, name: number): Blocking<Errno> {
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	if (name === SO_REUSEADDR)
		inp.inp_flags2 = set_bit(inp.inp_flags2, INP_REUSEADDR, (so.so_options & SO_REUSEADDR) !== 0);
	else if (name === SO_REUSEPORT)
		inp.inp_flags2 = set_bit(inp.inp_flags2, INP_REUSEPORT, (so.so_options & SO_REUSEPORT) !== 0);
	else if (name === SO_SETFIB) inp.inp_fibnum = so.so_fibnum;
	yield* INP_WUNLOCK(inp);
	return 0;
}

function set_option(inp: inpcb, so: socket, name: number, value: number): Errno {
	switch (name) {
		case IP_TOS:
			if (value < 0 || value > 255) return EINVAL;
			inp.inp_ip_tos = value;
			return 0;
		case IP_TTL:
			if (value < 0 || value > 255) return EINVAL;
			inp.inp_ip_ttl = value;
			return 0;
		case IP_MINTTL:
			if (value < 0 || value > 255) return EINVAL;
			inp.inp_ip_minttl = value;
			return 0;
		case IP_PORTRANGE:
			if (value < 0 || value > IP_PORTRANGE_LOW) return EINVAL;
			inp.inp_flags &= ~(INP_LOWPORT | INP_HIGHPORT);
			if (value === IP_PORTRANGE_HIGH) inp.inp_flags |= INP_HIGHPORT;
			if (value === IP_PORTRANGE_LOW) inp.inp_flags |= INP_LOWPORT;
			return 0;
	}
	const flag = option_flag(name);
	if (flag === 0) return ENOPROTOOPT;
	if (name === IP_BINDANY) {
		const error = priv_check_cred(so.so_cred, PRIV_NETINET_BINDANY);
		if (error !== 0) return error;
	}
	inp.inp_flags = set_bit(inp.inp_flags, flag, value !== 0);
	return 0;
}

function get_option(inp: inpcb, name: number): number | null {
	switch (name) {
		case IP_TOS:
			return inp.inp_ip_tos;
		case IP_TTL:
			return inp.inp_ip_ttl;
		case IP_MINTTL:
			return inp.inp_ip_minttl;
		case IP_PORTRANGE:
			if ((inp.inp_flags & INP_HIGHPORT) !== 0) return IP_PORTRANGE_HIGH;
			return (inp.inp_flags & INP_LOWPORT) !== 0 ? IP_PORTRANGE_LOW : 0;
	}
	const flag = option_flag(name);
	if (flag === 0) return null;
	return (inp.inp_flags & flag) !== 0 ? 1 : 0;
}

/** setsockopt and getsockopt of level IPPROTO_IP; and what SOL_SOCKET options mean to the block. */
export function* ip_ctloutput(so: socket, sopt: sockopt): Blocking<Errno> {
	if (sopt.sopt_level !== IPPROTO_IP) {
		if (sopt.sopt_level === SOL_SOCKET && sopt.sopt_dir === SOPT_SET)
			return yield* inp_socket_option(so, sopt.sopt_name);
		return EINVAL;
	}
	const inp = sotoinpcb(so);
	if (sopt.sopt_dir === SOPT_SET) {
		const value = sooptcopyin_int(sopt);
		if (value === null) return EINVAL;
		yield* INP_WLOCK(inp);
		const error = set_option(inp, so, sopt.sopt_name, value);
		yield* INP_WUNLOCK(inp);
		return error;
	}
	const value = get_option(inp, sopt.sopt_name);
	return value === null ? ENOPROTOOPT : sooptcopyout(sopt, value);
}

/** The time of arrival as a struct timeval, for SO_TIMESTAMP. */
export function timestamp_control(): mbuf | null {
	const now = nanotime();
	const tv = new Uint8Array(16);
	const view = new DataView(tv.buffer);
	view.setBigInt64(0, BigInt(now.tv_sec), true);
	view.setBigInt64(8, BigInt(Math.floor(now.tv_nsec / 1000)), true);
	return sbcreatecontrol(tv, 16, SCM_TIMESTAMP, SOL_SOCKET);
}

/**
 * Control messages about a received packet, as the block's options ask for them.
 *
 * @param ip offset of the IP header in `buf`
 * @returns the chain, null if there are none
 */
export function ip_savecontrol(inp: inpcb, buf: Uint8Array, ip: number): mbuf | null {
	let chain: mbuf | null = null;
	if ((inp.inp_flags & INP_RECVTOS) !== 0) {
		chain = sbcreatecontrol(buf.subarray(ip + IP_TOS_OFF, ip + IP_TOS_OFF + 1), 1, IP_RECVTOS, IPPROTO_IP);
	}
	if ((inp.inp_flags & INP_RECVTTL) !== 0) {
		const c = sbcreatecontrol(buf.subarray(ip + IP_TTL_OFF, ip + IP_TTL_OFF + 1), 1, IP_RECVTTL, IPPROTO_IP);
		if (c !== null) {
			c.m_next = chain;
			chain = c;
		}
	}
	if ((inp.inp_flags & INP_RECVDSTADDR) !== 0) {
		const c = sbcreatecontrol(buf.subarray(ip + IP_DST_OFF, ip + IP_DST_OFF + 4), 4, IP_RECVDSTADDR, IPPROTO_IP);
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
