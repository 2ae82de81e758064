/**
 * UDP over IPv6: receiving, sending, and its sockets.
 *
 * @see netinet6/udp6_usrreq.c
 */
import { Spares } from "../../machine/spares.ts";
import {
	EADDRNOTAVAIL,
	EAFNOSUPPORT,
	EHOSTUNREACH,
	EINVAL,
	EISCONN,
	EMSGSIZE,
	ENOBUFS,
	ENOTCONN,
	type Errno,
} from "../errno.ts";
import { td_ucred } from "../jail/ucred.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import {
	CSUM_DATA_VALID_IPV6,
	CSUM_PSEUDO_HDR,
	CSUM_UDP_IPV6,
	M_COPYALL,
	M_HASHTYPE_OPAQUE,
	M_MCAST,
	M_NOWAIT,
	M_PREPEND,
	m_adj,
	m_copym,
	m_freem,
	m_pullup,
	max_linkhdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { KERNEL_GLOBAL } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import {
	PR_ADDR,
	PR_ATOMIC,
	pr_register,
	SO_REUSEADDR,
	SO_REUSEPORT,
	SO_TIMESTAMP,
	SOCK_DGRAM,
	SS_ISCONNECTED,
	type socket,
} from "../socket/socket.ts";
import { sosend_dgram } from "../socket/uipc_send.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_UNLOCK,
	sbappendaddr_locked,
	soreserve,
	sorwakeup_locked,
} from "../socket/uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK, soisconnected, soisdisconnected } from "../socket/uipc_socket.ts";
import { ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT, icmp6_error, inet6ctlerrmap } from "./icmp6.ts";
import {
	AF_INET,
	AF_INET6,
	IN6_IS_ADDR_UNSPECIFIED,
	IN6_IS_ADDR_V4MAPPED,
	IPPROTO_UDP,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	in6_copy,
	in6addr_loopback,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
} from "./in.ts";
import { in6_cksum, in6_cksum_pseudo } from "./in_cksum.ts";
import {
	IN6P_IPV6_V6ONLY,
	INP_CONTROLOPTS,
	INP_FREED,
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_INFO_WLOCK,
	INP_INFO_WUNLOCK,
	INP_IPV4,
	INP_IPV6,
	INP_RLOCK,
	INP_RUNLOCK,
	INP_UNLOCK,
	INP_WLOCK,
	INP_WLOCKED,
	INP_WUNLOCK,
	INPLOOKUP_RLOCKPCB,
	INPLOOKUP_WILDCARD,
	INPLOOKUP_WLOCKPCB,
	in_pcballoc,
	in_pcbref,
	in_pcbrele_rlocked,
	in6_getpeeraddr,
	in6_getsockaddr,
	type inpcb,
	sotoinpcb,
} from "./in_pcb.ts";
import { in6_control } from "./in6_control.ts";
import {
	in6_pcbbind,
	in6_pcbconnect,
	in6_pcbdisconnect,
	in6_pcblookup,
	in6_pcblookup_mbuf,
	in6_pcbsetport,
} from "./in6_pcb.ts";
import { in6_selectsrc_addr } from "./in6_src.ts";
import { in6_ifa_ifwithaddr } from "./in6_var.ts";
import { BANDLIM_ICMP6_UNREACH, badport_bandlim } from "./ip_icmp.ts";
import { V_ip } from "./ip_var.ts";
import {
	IP6_DST_OFF,
	IP6_HDR_LEN,
	IP6_HLIM_OFF,
	IP6_NXT_OFF,
	IP6_SRC_OFF,
	IPV6_MAXPACKET,
	IPV6_VERSION,
} from "./ip6.ts";
import { ip6_ctloutput, ip6_savecontrol, ip6_setpktopts } from "./ip6_ctloutput.ts";
import { ip6_output, type ip6_pktopts } from "./ip6_output.ts";
import { V_ip6 } from "./ip6_var.ts";
import { ip6proto_register } from "./protosw_in.ts";
import { in6_getscope, in6_setscope, sa6_embedscope, sa6_recoverscope } from "./scope6.ts";
import { udp_notify } from "./udp_input.ts";
import { udp_detach, udp_output, udp_shutdown } from "./udp_usrreq.ts";
import {
	intoudpcb,
	UDP_HDR_LEN,
	UH_DPORT,
	UH_SPORT,
	UH_SUM,
	UH_ULEN,
	udp_receive_probe,
	udp_recvspace,
	udp_send_probe,
	udp_sendspace,
	udpcb,
	V_udbinfo,
	V_udp,
	V_udpstat,
} from "./udp_var.ts";

/** Source and destination of a datagram under way, as programs see them, and with their zones for lookups. */
class udp6_addrs {
	readonly sa = [new sockaddr_in6(new Uint8Array(16)), new sockaddr_in6(new Uint8Array(16))] as const;
	readonly src = new Uint8Array(16);
	readonly dst = new Uint8Array(16);
}

/** For reuse: what C has on the stack. */
const spare_addrs = KERNEL_GLOBAL(() => new Spares(() => new udp6_addrs()));

/** Fills in one address without its zone, which goes to sin6_scope_id. */
function fill(sin6: sockaddr_in6, addr: Uint8Array, port: number): void {
	sin6.sin6_addr.set(addr);
	sin6.sin6_port = port;
	sin6.sin6_scope_id = 0;
	sa6_recoverscope(sin6);
}

/**
 * Gives a datagram to a socket, whose block is read-locked; a tunnelling socket's callback runs without the lock. Consumes
 * the packet. @returns true if the block is gone, and the lock with it
 */
function* udp6_append(inp: inpcb, n: mbuf, off: number, sa: readonly sockaddr[]): Blocking<boolean> {
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
	if ((inp.inp_flags & INP_CONTROLOPTS) !== 0 || (so.so_options & SO_TIMESTAMP) !== 0)
		opts = ip6_savecontrol(inp, n.m_buf, n.m_data, n.m_pkthdr.rcvif === null ? 0 : n.m_pkthdr.rcvif.if_index);
	m_adj(n, off + UDP_HDR_LEN);
	yield* SOCKBUF_LOCK(so.so_rcv);
	if (sbappendaddr_locked(so.so_rcv, sa[0], n, opts)) {
		yield* sorwakeup_locked(so);
		return false;
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	m_freem(n);
	m_freem(opts);
	V_udpstat().udps_fullsock++;
	return false;
}

/** Takes a datagram from IPv6. Consumes it. */
function* udp6_input(m: mbuf, off: number, _proto: number): Blocking<void> {
	charge(cost.udp_input);
	const stat = V_udpstat();
	stat.udps_ipackets++;
	if (m.m_len < off + UDP_HDR_LEN) {
		const pulled = m_pullup(m, off + UDP_HDR_LEN);
		if (pulled === null) {
			stat.udps_hdrops++;
			return;
		}
		m = pulled;
	}
	const buf = m.m_buf;
	const ip6 = m.m_data;
	const uh = ip6 + off;
	const dport = in_get16(buf, uh + UH_DPORT);
	const sport = in_get16(buf, uh + UH_SPORT);
	const plen = m.m_pkthdr.len - off;
	const ulen = in_get16(buf, uh + UH_ULEN);
	if (dport === 0) {
		m_freem(m);
		return;
	}
	if (plen !== ulen) {
		stat.udps_badlen++;
		m_freem(m);
		return;
	}
	const uh_sum = in_get16(buf, uh + UH_SUM);
	if (uh_sum === 0) stat.udps_nosum++;
	if (uh_sum === 0 || udp6_cksum(m, off, ulen) !== 0) {
		stat.udps_badsum++;
		m_freem(m);
		return;
	}
	const spares = spare_addrs();
	const addrs = spares.take();
	in6_copy(addrs.src, 0, buf, ip6 + IP6_SRC_OFF);
	in6_copy(addrs.dst, 0, buf, ip6 + IP6_DST_OFF);
	fill(addrs.sa[0], addrs.src, sport);
	fill(addrs.sa[1], addrs.dst, dport);
	if (addrs.dst[0] === 0xff) {
		yield* udp6_multi_input(m, off, addrs);
		spares.give(addrs);
		return;
	}
	const inp = yield* in6_pcblookup_mbuf(
		V_udbinfo(),
		addrs.src,
		sport,
		addrs.dst,
		dport,
		INPLOOKUP_WILDCARD | INPLOOKUP_RLOCKPCB,
		m.m_pkthdr.rcvif,
		m,
	);
	if (udp_receive_probe.on !== null) udp_receive_probe.on(inp, m);
	if (inp === null) {
		stat.udps_noport++;
		if ((m.m_flags & M_MCAST) !== 0) {
			stat.udps_noportbcast++;
			m_freem(m);
		} else if (V_udp().blackhole !== 0 || badport_bandlim(BANDLIM_ICMP6_UNREACH) < 0) m_freem(m);
		else yield* icmp6_error(m, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT, 0);
	} else if (inp.inp_ip_minttl !== 0 && inp.inp_ip_minttl > buf[ip6 + IP6_HLIM_OFF]) {
		yield* INP_RUNLOCK(inp);
		m_freem(m);
	} else if (!(yield* udp6_append(inp, m, off, addrs.sa))) yield* INP_RUNLOCK(inp);
	spares.give(addrs);
}

/** Sum of the pseudo header and a datagram, complemented. */
function udp6_cksum(m: mbuf, off: number, ulen: number): number {
	const hdr = m.m_pkthdr;
	if ((hdr.csum_flags & CSUM_DATA_VALID_IPV6) !== 0) {
		const sum =
			(hdr.csum_flags & CSUM_PSEUDO_HDR) !== 0
				? hdr.csum_data
				: in6_cksum_pseudo(m.m_buf, m.m_data, ulen, IPPROTO_UDP, hdr.csum_data);
		return (sum ^ 0xffff) & 0xffff;
	}
	return in6_cksum(m, IPPROTO_UDP, off, ulen);
}

/** Gives a copy of a datagram to every socket bound to its port. Consumes it. */
function* udp6_multi_input(m: mbuf, off: number, addrs: udp6_addrs): Blocking<void> {
	const dport = addrs.sa[1].sin6_port;
	let last: inpcb | null = null;
	for (let inp = V_udbinfo().ipi_listhead; inp !== null; inp = inp.inp_list_next) {
		if ((inp.inp_vflag & INP_IPV6) === 0 || inp.inp_lport !== dport) continue;
		if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6) || !IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6)) continue;
		yield* INP_RLOCK(inp);
		if ((inp.inp_flags2 & INP_FREED) !== 0) {
			yield* INP_RUNLOCK(inp);
			continue;
		}
		if (last !== null) {
			const n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
			if (n === null || !(yield* udp6_append(last, n, off, addrs.sa))) yield* INP_RUNLOCK(last);
		}
		last = inp;
		if (((inp.inp_socket as socket).so_options & (SO_REUSEPORT | SO_REUSEADDR)) === 0) break;
	}
	if (last === null) {
		V_udpstat().udps_noportbcast++;
		m_freem(m);
		return;
	}
	if (!(yield* udp6_append(last, m, off, addrs.sa))) yield* INP_RUNLOCK(last);
}

/** The source of a datagram: what IPV6_PKTINFO asks for, the socket's own, or the best for the destination. */
function udp6_selectsrc(inp: inpcb, opt: ip6_pktopts | null, dst: Uint8Array): Uint8Array | Errno {
	if (opt !== null && opt.ip6po_src !== null) {
		return in6_ifa_ifwithaddr(opt.ip6po_src, 0) === null ? EADDRNOTAVAIL : opt.ip6po_src;
	}
	if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6)) return inp.inp_laddr6;
	const ia = in6_selectsrc_addr(inp.inp_fibnum, dst);
	return ia === null ? EHOSTUNREACH : ia.ia_addr.sin6_addr;
}

/** Embeds the zone of the destination, or of the interface asked for, in a link-local source. */
function source_zone(opt: ip6_pktopts, dst: Uint8Array): void {
	const src = opt.ip6po_src;
	if (src === null) return;
	const zone = opt.ip6po_ifindex !== 0 ? opt.ip6po_ifindex : in6_getscope(dst, 0);
	if (zone !== 0 && src[0] === 0xfe && (src[1] & 0xc0) === 0x80) in_put16(src, 2, zone);
}

/**
 * Sends one datagram. The block is read-locked if it is bound and a destination is given, write-locked otherwise. Consumes
 * `m` and `control` whatever happens.
 */
function* udp6_output(inp: inpcb, m: mbuf, addr6: sockaddr | null, control: mbuf | null, td: thread): Blocking<Errno> {
	charge(cost.udp_output);
	const opt = control === null ? null : ip6_setpktopts(control);
	m_freem(control);
	if (typeof opt === "number" || m.m_pkthdr.len + UDP_HDR_LEN > IPV6_MAXPACKET) {
		m_freem(m);
		return typeof opt === "number" ? opt : EMSGSIZE;
	}
	const sin6 = addr6 as sockaddr_in6 | null;
	const to = sin6 === null ? null : IN6_IS_ADDR_UNSPECIFIED(sin6.sin6_addr) ? in6addr_loopback : sa6_embedscope(sin6);
	if (to !== null && opt !== null) {
		if (opt.ip6po_ifindex !== 0 && in6_getscope(to, 0) === 0 && to[0] === 0xfe) in_put16(to, 2, opt.ip6po_ifindex);
		source_zone(opt, to);
	}
	if (sin6 === null || (IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6) && inp.inp_lport === 0)) yield* INP_WLOCK(inp);
	else yield* INP_RLOCK(inp);
	NET_EPOCH_ENTER();
	const error = yield* udp6_output_locked(inp, m, to, sin6 === null ? 0 : sin6.sin6_port, opt, td);
	yield* INP_UNLOCK(inp);
	NET_EPOCH_EXIT();
	return error;
}

/** udp6_output between taking and dropping the lock. */
function* udp6_output_locked(
	inp: inpcb,
	m: mbuf,
	to: Uint8Array | null,
	port: number,
	opt: ip6_pktopts | null,
	td: thread,
): Blocking<Errno> {
	let error: Errno = 0;
	let laddr: Uint8Array = inp.inp_laddr6;
	let faddr: Uint8Array = inp.inp_faddr6;
	let fport = inp.inp_fport;
	const connected = !IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6);
	if (to !== null) {
		if (port === 0) error = EADDRNOTAVAIL;
		else if (connected) error = EISCONN;
		else {
			const src = udp6_selectsrc(inp, opt, to);
			if (typeof src === "number") error = src;
			else {
				laddr = src;
				faddr = to;
				fport = port;
				if (inp.inp_lport === 0) {
					yield* INP_HASH_WLOCK(inp.inp_pcbinfo);
					error = in6_pcbsetport(laddr, inp, td_ucred(td));
					yield* INP_HASH_WUNLOCK(inp.inp_pcbinfo);
				}
			}
		}
	} else if (!connected) error = ENOTCONN;
	if (error !== 0) {
		m_freem(m);
		return error;
	}
	const plen = UDP_HDR_LEN + m.m_pkthdr.len;
	const n = M_PREPEND(m, IP6_HDR_LEN + UDP_HDR_LEN + max_linkhdr, M_NOWAIT);
	if (n === null) return ENOBUFS;
	n.m_data += max_linkhdr;
	n.m_len -= max_linkhdr;
	n.m_pkthdr.len -= max_linkhdr;
	const buf = n.m_buf;
	const ip6 = n.m_data;
	const uh = ip6 + IP6_HDR_LEN;
	in_put32(buf, ip6, ((IPV6_VERSION << 24) | (inp.in6p_tclass << 20) | (inp.inp_flow & 0xfffff)) >>> 0);
	buf[ip6 + IP6_NXT_OFF] = IPPROTO_UDP;
	buf[ip6 + IP6_HLIM_OFF] = inp.in6p_hops >= 0 ? inp.in6p_hops : V_ip6().ip6_defhlim;
	in6_copy(buf, ip6 + IP6_SRC_OFF, laddr, 0);
	in6_copy(buf, ip6 + IP6_DST_OFF, faddr, 0);
	in_put16(buf, uh + UH_SPORT, inp.inp_lport);
	in_put16(buf, uh + UH_DPORT, fport);
	in_put16(buf, uh + UH_ULEN, plen);
	in_put16(buf, uh + UH_SUM, in6_cksum_pseudo(buf, ip6, plen, IPPROTO_UDP, 0));
	n.m_pkthdr.csum_flags = CSUM_UDP_IPV6;
	n.m_pkthdr.csum_data = UH_SUM;
	V_udpstat().udps_opackets++;
	if (udp_send_probe.on !== null) udp_send_probe.on(inp, n);
	return yield* ip6_output(n, opt, INP_WLOCKED(inp) ? inp.inp_route : null, 0, null, null, inp);
}

/** The IPv4 form of a v4-mapped address. */
function unmapped(sin6: sockaddr_in6): sockaddr_in {
	return new sockaddr_in(in_get32(sin6.sin6_addr, 12), sin6.sin6_port);
}

/** pru_send: to a v4-mapped address the datagram goes by IPv4, unless the socket is for IPv6 only. */
function* udp6_send(
	so: socket,
	flags: number,
	m: mbuf | null,
	nam: sockaddr | null,
	control: mbuf | null,
	td: thread,
): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const packet = m as mbuf;
	let error: Errno = 0;
	if (nam !== null) {
		const sin6 = nam as sockaddr_in6;
		if (sin6.sa_family !== AF_INET6) error = sin6.sa_family === AF_INET ? EINVAL : EAFNOSUPPORT;
		else if (IN6_IS_ADDR_V4MAPPED(sin6.sin6_addr)) {
			if ((inp.inp_flags & IN6P_IPV6_V6ONLY) === 0)
				return yield* udp_output(inp, packet, unmapped(sin6), control, td, flags);
			error = EINVAL;
		}
	}
	if (error !== 0) {
		m_freem(control);
		m_freem(packet);
		return error;
	}
	return yield* udp6_output(inp, packet, nam, control, td);
}

function* udp6_attach(so: socket, _proto: number, _td: thread): Blocking<Errno> {
	const pcbinfo = V_udbinfo();
	let error = yield* soreserve(so, udp_sendspace, udp_recvspace);
	if (error !== 0) return error;
	yield* INP_INFO_WLOCK(pcbinfo);
	error = yield* in_pcballoc(so, pcbinfo);
	if (error === 0) {
		const inp = sotoinpcb(so);
		inp.inp_vflag |= INP_IPV6;
		if ((inp.inp_flags & IN6P_IPV6_V6ONLY) === 0) inp.inp_vflag |= INP_IPV4;
		inp.in6p_hops = -1;
		inp.inp_ip_ttl = V_ip().ip_defttl;
		inp.inp_ip_p = IPPROTO_UDP;
		inp.inp_flowid = V_udp().flowid++;
		inp.inp_flowtype = M_HASHTYPE_OPAQUE;
		inp.inp_ppcb = new udpcb();
		yield* INP_WUNLOCK(inp);
	}
	yield* INP_INFO_WUNLOCK(pcbinfo);
	return error;
}

function* udp6_bind(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	yield* INP_HASH_WLOCK(pcbinfo);
	inp.inp_vflag = (inp.inp_vflag & ~INP_IPV4) | INP_IPV6;
	const any = IN6_IS_ADDR_UNSPECIFIED((nam as sockaddr_in6).sin6_addr);
	if ((inp.inp_flags & IN6P_IPV6_V6ONLY) === 0 && any) inp.inp_vflag |= INP_IPV4;
	const error = in6_pcbbind(inp, nam, td_ucred(td));
	yield* INP_HASH_WUNLOCK(pcbinfo);
	yield* INP_WUNLOCK(inp);
	return error;
}

/** pru_close and pru_abort: gives up the connection, if there is one. */
function* udp6_close(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6)) {
		yield* INP_HASH_WLOCK(pcbinfo);
		in6_pcbdisconnect(inp);
		inp.inp_laddr6.fill(0);
		yield* INP_HASH_WUNLOCK(pcbinfo);
		yield* soisdisconnected(so);
	}
	yield* INP_WUNLOCK(inp);
}

function* udp6_connect(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6)) {
		yield* INP_WUNLOCK(inp);
		return EISCONN;
	}
	NET_EPOCH_ENTER();
	yield* INP_HASH_WLOCK(pcbinfo);
	const error = in6_pcbconnect(inp, nam, td_ucred(td));
	yield* INP_HASH_WUNLOCK(pcbinfo);
	NET_EPOCH_EXIT();
	if (error === 0) yield* soisconnected(so);
	yield* INP_WUNLOCK(inp);
	return error;
}

function* udp6_disconnect(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	if (IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6)) {
		yield* INP_WUNLOCK(inp);
		return ENOTCONN;
	}
	yield* INP_HASH_WLOCK(pcbinfo);
	in6_pcbdisconnect(inp);
	inp.inp_laddr6.fill(0);
	yield* INP_HASH_WUNLOCK(pcbinfo);
	yield* SOCK_LOCK(so);
	so.so_state &= ~SS_ISCONNECTED;
	yield* SOCK_UNLOCK(so);
	yield* INP_WUNLOCK(inp);
	return 0;
}

/** An ICMPv6 error about a datagram of ours: for the connected socket that sent it, or for a tunnel's callback. */
function* udp6_ctlinput(cmd: number, sa: sockaddr, m: mbuf | null, off: number): Blocking<void> {
	const errno = inet6ctlerrmap(cmd);
	if (m === null || errno === 0 || sa.sa_family !== AF_INET6) return;
	const buf = m.m_buf;
	const ip6 = m.m_data + off;
	const uh = ip6 + IP6_HDR_LEN;
	const faddr = (sa as sockaddr_in6).sin6_addr;
	const laddr = buf.slice(ip6 + IP6_SRC_OFF, ip6 + IP6_SRC_OFF + 16);
	const rcvif = m.m_pkthdr.rcvif;
	if (rcvif !== null) in6_setscope(laddr, 0, rcvif);
	const lport = in_get16(buf, uh + UH_SPORT);
	const fport = in_get16(buf, uh + UH_DPORT);
	const pcbinfo = V_udbinfo();
	const inp = yield* in6_pcblookup(pcbinfo, faddr, fport, laddr, lport, INPLOOKUP_WLOCKPCB, null);
	if (inp !== null) {
		if (inp.inp_socket !== null) yield* udp_notify(inp, errno);
		yield* INP_WUNLOCK(inp);
		return;
	}
	const wild = yield* in6_pcblookup(pcbinfo, faddr, fport, laddr, lport, INPLOOKUP_WILDCARD | INPLOOKUP_RLOCKPCB, null);
	if (wild === null) return;
	const { u_icmp_func: func, u_tun_ctx: ctx } = intoudpcb(wild);
	yield* INP_RUNLOCK(wild);
	if (func !== null) yield* func(cmd, sa, m, off, ctx as never);
}

ip6proto_register(IPPROTO_UDP, { pr_input: udp6_input, pr_ctlinput: udp6_ctlinput });

pr_register({
	pr_type: SOCK_DGRAM,
	pr_domain: AF_INET6,
	pr_protocol: IPPROTO_UDP,
	pr_flags: PR_ATOMIC | PR_ADDR,
	pr_ctloutput: ip6_ctloutput,
	pr_usrreqs: {
		pru_abort: udp6_close,
		pru_attach: udp6_attach,
		pru_bind: udp6_bind,
		pru_connect: udp6_connect,
		pru_control: in6_control,
		pru_detach: udp_detach,
		pru_disconnect: udp6_disconnect,
		pru_peeraddr: in6_getpeeraddr,
		pru_send: udp6_send,
		pru_shutdown: udp_shutdown,
		pru_sockaddr: in6_getsockaddr,
		pru_close: udp6_close,
		pru_sosend: sosend_dgram,
	},
});
