/**
 * Receiving UDP over IPv4: checks, the socket's block, and a tunnelling callback or the socket buffer.
 *
 * Simplified: a multicast or broadcast datagram goes to every socket bound to the port, without group membership.
 *
 * @see udp_usrreq.c udp_input, udp_append, udp_ctlinput
 */

import { bzero } from "../../machine/bcopy.ts";
import { Spares } from "../../machine/spares.ts";
import type { Errno } from "../errno.ts";
import {
	CSUM_DATA_VALID,
	CSUM_PSEUDO_HDR,
	M_BCAST,
	M_COPYALL,
	M_MCAST,
	M_NOWAIT,
	m_adj,
	m_copym,
	m_freem,
	m_pullup,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { KERNEL_GLOBAL } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SO_REUSEADDR, SO_REUSEPORT, SO_TIMESTAMP, type socket } from "../socket/socket.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_UNLOCK,
	sbappendaddr_locked,
	sorwakeup,
	sorwakeup_locked,
	sowwakeup,
} from "../socket/uipc_sockbuf.ts";
import {
	AF_INET,
	IN_MULTICAST,
	INADDR_ANY,
	IPPROTO_UDP,
	in_get16,
	in_get32,
	in_put16,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
} from "./in.ts";
import { in_cksum, in_pseudo } from "./in_cksum.ts";
import { inetctlerrmap } from "./in_ctlerr.ts";
import { in_broadcast } from "./in_ifa.ts";
import {
	INP_CONTROLOPTS,
	INP_FREED,
	INP_IPV4,
	INP_IPV6,
	INP_LOCK_ASSERT,
	INP_RLOCK,
	INP_RUNLOCK,
	INP_WUNLOCK,
	INPLOOKUP_RLOCKPCB,
	INPLOOKUP_WILDCARD,
	INPLOOKUP_WLOCKPCB,
	in_pcblookup,
	in_pcblookup_mbuf,
	in_pcbnotifyall,
	in_pcbref,
	in_pcbrele_rlocked,
	type inpcb,
} from "./in_pcb.ts";
import { IP_DST_OFF, IP_HDR_LEN, IP_LEN_OFF, IP_SRC_OFF, IP_TTL_OFF, ip_hlen } from "./ip.ts";
import { ip_savecontrol } from "./ip_ctloutput.ts";
import { BANDLIM_ICMP_UNREACH, badport_bandlim, ICMP_UNREACH, ICMP_UNREACH_PORT, icmp_error } from "./ip_icmp.ts";
import { ip_stripoptions } from "./ip_output.ts";
import { ipproto_register, PRC_HOSTDEAD } from "./protosw_in.ts";
import {
	intoudpcb,
	UDP_HDR_LEN,
	UH_DPORT,
	UH_SPORT,
	UH_SUM,
	UH_ULEN,
	udp_receive_probe,
	V_udbinfo,
	V_udp,
	V_udpstat,
} from "./udp_var.ts";

type udp_addrs = readonly [sockaddr_in, sockaddr_in];

/** Source and destination of datagrams under way, for reuse: what C has on the stack. */
const spare_addrs = KERNEL_GLOBAL(() => new Spares((): udp_addrs => [new sockaddr_in(), new sockaddr_in()]));

/** An IPv4 sender as an IPv6 socket sees it. */
function v4mapped(sin: sockaddr_in): sockaddr_in6 {
	const addr = new Uint8Array(16);
	addr[10] = 0xff;
	addr[11] = 0xff;
	in_put16(addr, 12, sin.sin_addr >>> 16);
	in_put16(addr, 14, sin.sin_addr & 0xffff);
	return new sockaddr_in6(addr, sin.sin_port);
}

/**
 * Gives a datagram to a socket, whose block is read-locked. A tunnelling socket's callback runs without the lock.
 * Consumes the packet.
 *
 * @returns true if the block is gone, and the lock with it
 */
export function* udp_append(inp: inpcb, n: mbuf, off: number, sa: readonly sockaddr[]): Blocking<boolean> {
	INP_LOCK_ASSERT(inp);
	const up = intoudpcb(inp);
	if (up.u_tun_func !== null) {
		in_pcbref(inp);
		yield* INP_RUNLOCK(inp);
		const consumed = yield* up.u_tun_func(n, off, inp, sa, up.u_tun_ctx as never);
		yield* INP_RLOCK(inp);
		if (yield* in_pcbrele_rlocked(inp)) {
			if (!consumed) m_freem(n);
			return true;
		}
		if (consumed) return false;
	}
	charge(cost.udp_append);
	const so = inp.inp_socket as socket;
	let opts: mbuf | null = null;
	let from = sa[0];
	if (from.sa_family === AF_INET) {
		if ((inp.inp_flags & INP_CONTROLOPTS) !== 0 || (so.so_options & SO_TIMESTAMP) !== 0)
			opts = ip_savecontrol(inp, n.m_buf, n.m_data);
		if ((inp.inp_vflag & INP_IPV6) !== 0) from = v4mapped(from as sockaddr_in);
	}
	m_adj(n, off + UDP_HDR_LEN);
	yield* SOCKBUF_LOCK(so.so_rcv);
	if (sbappendaddr_locked(so.so_rcv, from, n, opts)) {
		yield* sorwakeup_locked(so);
		return false;
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	m_freem(n);
	m_freem(opts);
	V_udpstat().udps_fullsock++;
	return false;
}

/** Sum of the pseudo header and a datagram of `len` bytes, complemented. The IP header has no options. */
function udp_cksum(m: mbuf, len: number): number {
	const buf = m.m_buf;
	const ip = m.m_data;
	if ((m.m_pkthdr.csum_flags & CSUM_DATA_VALID) !== 0) {
		const data = m.m_pkthdr.csum_data;
		if ((m.m_pkthdr.csum_flags & CSUM_PSEUDO_HDR) !== 0) return (data ^ 0xffff) & 0xffff;
		const sum = in_pseudo(in_get32(buf, ip + IP_SRC_OFF), in_get32(buf, ip + IP_DST_OFF), len + data + IPPROTO_UDP);
		return sum ^ 0xffff;
	}
	// the first nine bytes of the header, and the checksum, become the pseudo header's zero, protocol and length
	const high = in_get32(buf, ip);
	const low = in_get32(buf, ip + 4);
	const ttl = buf[ip + IP_TTL_OFF];
	const ip_sum = in_get16(buf, ip + 10);
	bzero(buf, ip, 9);
	in_put16(buf, ip + 10, len);
	const sum = in_cksum(m, len + IP_HDR_LEN);
	in_put16(buf, ip, high >>> 16);
	in_put16(buf, ip + 2, high & 0xffff);
	in_put16(buf, ip + 4, low >>> 16);
	in_put16(buf, ip + 6, low & 0xffff);
	buf[ip + IP_TTL_OFF] = ttl;
	in_put16(buf, ip + 10, ip_sum);
	return sum;
}

/** Takes a datagram from IP. Consumes it. */
export function* udp_input(m: mbuf, iphlen: number, _proto: number): Blocking<void> {
	charge(cost.udp_input);
	const stat = V_udpstat();
	stat.udps_ipackets++;
	if (iphlen > IP_HDR_LEN) {
		ip_stripoptions(m);
		iphlen = IP_HDR_LEN;
	}
	if (m.m_len < IP_HDR_LEN + UDP_HDR_LEN) {
		const pulled = m_pullup(m, IP_HDR_LEN + UDP_HDR_LEN);
		if (pulled === null) {
			stat.udps_hdrops++;
			return;
		}
		m = pulled;
	}
	const buf = m.m_buf;
	const ip = m.m_data;
	const uh = ip + IP_HDR_LEN;
	const dport = in_get16(buf, uh + UH_DPORT);
	if (dport === 0) {
		m_freem(m);
		return;
	}
	const len = in_get16(buf, uh + UH_ULEN);
	const ip_len = in_get16(buf, ip + IP_LEN_OFF) - IP_HDR_LEN;
	if (ip_len !== len) {
		if (len > ip_len || len < UDP_HDR_LEN) {
			stat.udps_badlen++;
			m_freem(m);
			return;
		}
		m_adj(m, len - ip_len);
	}
	if (in_get16(buf, uh + UH_SUM) === 0) stat.udps_nosum++;
	else if (udp_cksum(m, len) !== 0) {
		stat.udps_badsum++;
		m_freem(m);
		return;
	}
	const src = in_get32(buf, ip + IP_SRC_OFF);
	const dst = in_get32(buf, ip + IP_DST_OFF);
	const sport = in_get16(buf, uh + UH_SPORT);
	const ifp = m.m_pkthdr.rcvif;
	const spares = spare_addrs();
	const sa = spares.take();
	sa[0].sin_addr = src;
	sa[0].sin_port = sport;
	sa[1].sin_addr = dst;
	sa[1].sin_port = dport;
	if (IN_MULTICAST(dst) || (ifp !== null && in_broadcast(dst, ifp))) {
		yield* udp_multi_input(m, iphlen, sa);
		spares.give(sa);
		return;
	}
	const inp = yield* in_pcblookup_mbuf(
		V_udbinfo(),
		src,
		sport,
		dst,
		dport,
		INPLOOKUP_WILDCARD | INPLOOKUP_RLOCKPCB,
		ifp,
		m,
	);
	if (udp_receive_probe.on !== null) udp_receive_probe.on(inp, m);
	if (inp === null) {
		stat.udps_noport++;
		if ((m.m_flags & (M_BCAST | M_MCAST)) !== 0) {
			stat.udps_noportbcast++;
			m_freem(m);
		} else if (V_udp().blackhole !== 0 || badport_bandlim(BANDLIM_ICMP_UNREACH) < 0) m_freem(m);
		else yield* icmp_error(m, ICMP_UNREACH, ICMP_UNREACH_PORT, 0, 0);
	} else if (inp.inp_ip_minttl !== 0 && inp.inp_ip_minttl > buf[ip + IP_TTL_OFF]) {
		yield* INP_RUNLOCK(inp);
		m_freem(m);
	} else if (!(yield* udp_append(inp, m, iphlen, sa))) yield* INP_RUNLOCK(inp);
	spares.give(sa);
}

/** Gives a copy of a datagram to every socket bound to its port. Consumes it. */
function* udp_multi_input(m: mbuf, iphlen: number, sa: udp_addrs): Blocking<void> {
	const { sin_addr: src, sin_port: sport } = sa[0];
	const { sin_addr: dst, sin_port: dport } = sa[1];
	let last: inpcb | null = null;
	for (let inp = V_udbinfo().ipi_listhead; inp !== null; inp = inp.inp_list_next) {
		if (inp.inp_lport !== dport || (inp.inp_vflag & INP_IPV4) === 0) continue;
		if (inp.inp_laddr !== INADDR_ANY && inp.inp_laddr !== dst) continue;
		if (inp.inp_faddr !== INADDR_ANY && inp.inp_faddr !== src) continue;
		if (inp.inp_fport !== 0 && inp.inp_fport !== sport) continue;
		yield* INP_RLOCK(inp);
		if ((inp.inp_flags2 & INP_FREED) !== 0) {
			yield* INP_RUNLOCK(inp);
			continue;
		}
		if (last !== null) {
			const n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
			if (n === null || !(yield* udp_append(last, n, iphlen, sa))) yield* INP_RUNLOCK(last);
		}
		last = inp;
		if (((inp.inp_socket as socket).so_options & (SO_REUSEPORT | SO_REUSEADDR)) === 0) break;
	}
	if (udp_receive_probe.on !== null) udp_receive_probe.on(last, m);
	if (last === null) {
		V_udpstat().udps_noportbcast++;
		m_freem(m);
		return;
	}
	if (!(yield* udp_append(last, m, iphlen, sa))) yield* INP_RUNLOCK(last);
}

/** Tells a socket of an error, which its next call returns. */
export function* udp_notify(inp: inpcb, errno: Errno): Blocking<inpcb> {
	const so = inp.inp_socket as socket;
	so.so_error = errno;
	yield* sorwakeup(so);
	yield* sowwakeup(so);
	return inp;
}

/** An ICMP error about a datagram of ours: for the connected socket that sent it, or for a tunnel's callback. */
function* udp_ctlinput(cmd: number, sa: sockaddr, m: mbuf | null, off: number): Blocking<void> {
	if (sa.sa_family !== AF_INET) return;
	const faddr = (sa as sockaddr_in).sin_addr;
	const errno = inetctlerrmap(cmd);
	if (faddr === INADDR_ANY || errno === 0) return;
	const pcbinfo = V_udbinfo();
	if (m === null || cmd === PRC_HOSTDEAD) {
		yield* in_pcbnotifyall(pcbinfo, faddr, errno, udp_notify);
		return;
	}
	const buf = m.m_buf;
	const ip = m.m_data + off;
	const uh = ip + ip_hlen(buf, ip);
	const laddr = in_get32(buf, ip + IP_SRC_OFF);
	const lport = in_get16(buf, uh + UH_SPORT);
	const fport = in_get16(buf, uh + UH_DPORT);
	const inp = yield* in_pcblookup(pcbinfo, faddr, fport, laddr, lport, INPLOOKUP_WLOCKPCB, null);
	if (inp !== null) {
		if (inp.inp_socket !== null) yield* udp_notify(inp, errno);
		yield* INP_WUNLOCK(inp);
		return;
	}
	const wild = yield* in_pcblookup(pcbinfo, faddr, fport, laddr, lport, INPLOOKUP_WILDCARD | INPLOOKUP_RLOCKPCB, null);
	if (wild === null) return;
	const up = intoudpcb(wild);
	const { u_icmp_func: func, u_tun_ctx: ctx } = up;
	yield* INP_RUNLOCK(wild);
	if (func !== null) yield* func(cmd, sa, m, off, ctx as never);
}

ipproto_register(IPPROTO_UDP, { pr_input: udp_input, pr_ctlinput: udp_ctlinput });
