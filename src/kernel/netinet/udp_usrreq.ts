/**
 * UDP sockets over IPv4: sending, binding, connecting, tunnelling.
 *
 * An unconnected datagram is bound and connected on paper only. FreeBSD 14.0 holds the hash lock of all UDP sockets of
 * the vnet while it does so, 13.0 only the network epoch: `udp_send_hash_lock` of the release.
 *
 * @see udp_usrreq.c
 */
import { Spares } from "../../machine/spares.ts";
import { EAGAIN, EBUSY, EINVAL, EISCONN, EMSGSIZE, ENOBUFS, ENOPROTOOPT, ENOTCONN, type Errno } from "../errno.ts";
import { td_ucred } from "../jail/ucred.ts";
import { NET_EPOCH_DRAIN_CALLBACKS, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { CSUM_UDP, M_HASHTYPE_OPAQUE, M_NOWAIT, M_PREPEND, m_freem, max_linkhdr, type mbuf } from "../mbuf/mbuf.ts";
import {
	KASSERT,
	KERNEL_GLOBAL,
	release_traits,
	SI_ORDER_ANY,
	SI_SUB_PROTO_DOMAIN,
	VNET_SYSINIT,
	VNET_SYSUNINIT,
} from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import { CMSG_HDR, CMSG_LEN, cmsg_len, cmsg_level, cmsg_type } from "../socket/cmsg.ts";
import {
	PR_ADDR,
	PR_ATOMIC,
	pr_register,
	SO_BROADCAST,
	SO_DONTROUTE,
	SOCK_DGRAM,
	SS_ISCONNECTED,
	type socket,
} from "../socket/socket.ts";
import { sosend_dgram } from "../socket/uipc_send.ts";
import { socantsendmore, soreserve } from "../socket/uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK, soisconnected, soisdisconnected } from "../socket/uipc_socket.ts";
import {
	AF_INET,
	INADDR_ANY,
	INADDR_BROADCAST,
	IP_SENDSRCADDR,
	IP_TOS,
	IPPROTO_IP,
	IPPROTO_UDP,
	in_get32,
	in_put16,
	in_put32,
	type sockaddr,
	sockaddr_in,
} from "./in.ts";
import { in_pseudo } from "./in_cksum.ts";
import { in_control } from "./in_control.ts";
import {
	INP_ANONPORT,
	INP_DONTFRAG,
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_INFO_WLOCK,
	INP_INFO_WUNLOCK,
	INP_IPV4,
	INP_ONESBCAST,
	INP_RLOCK,
	INP_UNLOCK,
	INP_WLOCK,
	INP_WLOCKED,
	INP_WUNLOCK,
	in_endpoints,
	in_getpeeraddr,
	in_getsockaddr,
	in_pcballoc,
	in_pcbbind,
	in_pcbbind_setup,
	in_pcbconnect,
	in_pcbconnect_setup,
	in_pcbdetach,
	in_pcbdisconnect,
	in_pcbfree,
	in_pcbinfo_destroy,
	in_pcbinfo_init,
	in_pcbinshash,
	type inpcb,
	sotoinpcb,
} from "./in_pcb.ts";
import {
	IP_ALLOWBROADCAST,
	IP_DF,
	IP_DST_OFF,
	IP_HDR_LEN,
	IP_LEN_OFF,
	IP_MAXPACKET,
	IP_OFF_OFF,
	IP_P_OFF,
	IP_ROUTETOIF,
	IP_SENDONES,
	IP_SRC_OFF,
	IP_SUM_OFF,
	IP_TOS_OFF,
	IP_TTL_OFF,
} from "./ip.ts";
import { ip_ctloutput } from "./ip_ctloutput.ts";
import { ip_output } from "./ip_output.ts";
import { V_ip } from "./ip_var.ts";
import "./udp_input.ts";
import {
	intoudpcb,
	UDP_HDR_LEN,
	UH_DPORT,
	UH_SPORT,
	UH_SUM,
	UH_ULEN,
	udp_recvspace,
	udp_send_probe,
	udp_sendspace,
	type udp_tun_func_t,
	type udp_tun_icmp_t,
	udpcb,
	V_udbinfo,
	V_udp,
	V_udpstat,
} from "./udp_var.ts";

const UDPIP_HDR_LEN = IP_HDR_LEN + UDP_HDR_LEN;

/** What the control messages of one datagram say; in C, variables of udp_output. */
class udp_sendopts {
	/** IP_SENDSRCADDR was given: `src` */
	has_src = false;
	readonly src = new sockaddr_in();
	/** -1: the socket's */
	tos = -1;
}

/** Locals of udp_output in C. */
class udp_output_locals {
	readonly ends = new in_endpoints();
	readonly opts = new udp_sendopts();
}

const spare_locals = KERNEL_GLOBAL(() => new Spares(() => new udp_output_locals()));

/** Reads the control messages, if there are any, into `opts`. Frees them. */
function udp_parse_control(inp: inpcb, control: mbuf | null, opts: udp_sendopts): Errno {
	opts.has_src = false;
	opts.tos = -1;
	if (control === null) return 0;
	const error = parse_messages(inp, control, opts);
	m_freem(control);
	return error;
}

function parse_messages(inp: inpcb, control: mbuf, opts: udp_sendopts): Errno {
	if (control.m_next !== null) return EINVAL;
	const buf = control.m_buf;
	let at = control.m_data;
	let left = control.m_len;
	while (left > 0) {
		const len = left < CMSG_HDR ? 0 : cmsg_len(buf, at);
		if (len === 0 || len > left) return EINVAL;
		if (cmsg_level(buf, at) === IPPROTO_IP) {
			switch (cmsg_type(buf, at)) {
				case IP_SENDSRCADDR:
					if (len !== CMSG_LEN(4)) return EINVAL;
					opts.has_src = true;
					opts.src.sin_addr = in_get32(buf, at + CMSG_HDR);
					opts.src.sin_port = inp.inp_lport;
					break;
				case IP_TOS:
					if (len !== CMSG_LEN(1)) return EINVAL;
					opts.tos = buf[at + CMSG_HDR];
					break;
				default:
					return ENOPROTOOPT;
			}
		}
		const step = (len + 7) & ~7;
		at += step;
		left -= step;
	}
	return 0;
}

/** The source of one datagram: what IP_SENDSRCADDR asks for, if it may be had. `ends` has the block's own on entry. */
function* udp_choose_source(inp: inpcb, src: sockaddr_in, ends: in_endpoints, td: thread): Blocking<Errno> {
	if (ends.lport === 0 || (ends.laddr === INADDR_ANY && src.sin_addr === INADDR_ANY)) return EINVAL;
	const locked = release_traits().udp_send_hash_lock;
	if (locked) yield* INP_HASH_WLOCK(inp.inp_pcbinfo);
	const error = in_pcbbind_setup(inp, src, ends, td_ucred(td));
	if (locked) yield* INP_HASH_WUNLOCK(inp.inp_pcbinfo);
	return error;
}

/** Fills in both ends of a datagram to `sin`; a port chosen for the socket on the way stays with it. */
function* udp_choose_ends(inp: inpcb, sin: sockaddr_in, ends: in_endpoints, td: thread): Blocking<Errno> {
	if (
		inp.inp_laddr !== INADDR_ANY &&
		inp.inp_lport !== 0 &&
		sin.sin_addr !== INADDR_ANY &&
		sin.sin_addr !== INADDR_BROADCAST
	) {
		ends.faddr = sin.sin_addr;
		ends.fport = sin.sin_port;
		return 0;
	}
	const pcbinfo = inp.inp_pcbinfo;
	const locked = release_traits().udp_send_hash_lock;
	if (locked) yield* INP_HASH_WLOCK(pcbinfo);
	let error = in_pcbconnect_setup(inp, sin, ends, td_ucred(td));
	if (error === 0 && inp.inp_laddr === INADDR_ANY && inp.inp_lport === 0) {
		inp.inp_lport = ends.lport;
		if (!locked) yield* INP_HASH_WLOCK(pcbinfo);
		if (in_pcbinshash(inp) !== 0) {
			inp.inp_lport = 0;
			error = EAGAIN;
		} else inp.inp_flags |= INP_ANONPORT;
		if (!locked) yield* INP_HASH_WUNLOCK(pcbinfo);
	}
	if (locked) yield* INP_HASH_WUNLOCK(pcbinfo);
	return error;
}

/**
 * Sends one datagram. The block is read-locked if it is bound and a destination is given, write-locked otherwise.
 * Consumes `m` and `control` whatever happens.
 */
export function* udp_output(
	inp: inpcb,
	m: mbuf,
	addr: sockaddr | null,
	control: mbuf | null,
	td: thread,
	_flags: number,
): Blocking<Errno> {
	charge(cost.udp_output);
	const sin = addr as sockaddr_in | null;
	if (m.m_pkthdr.len + UDPIP_HDR_LEN > IP_MAXPACKET) {
		m_freem(control);
		m_freem(m);
		return EMSGSIZE;
	}
	if (sin === null || (inp.inp_laddr === INADDR_ANY && inp.inp_lport === 0)) yield* INP_WLOCK(inp);
	else yield* INP_RLOCK(inp);
	NET_EPOCH_ENTER();
	const spares = spare_locals();
	const locals = spares.take();
	const error = yield* udp_output_locked(inp, m, sin, control, td, locals);
	spares.give(locals);
	yield* INP_UNLOCK(inp);
	NET_EPOCH_EXIT();
	return error;
}

/** udp_output between taking and dropping the lock. */
function* udp_output_locked(
	inp: inpcb,
	m: mbuf,
	sin: sockaddr_in | null,
	control: mbuf | null,
	td: thread,
	{ ends, opts }: udp_output_locals,
): Blocking<Errno> {
	let error = udp_parse_control(inp, control, opts);
	if (error !== 0) {
		m_freem(m);
		return error;
	}
	ends.laddr = inp.inp_laddr;
	ends.lport = inp.inp_lport;
	if (opts.has_src) error = yield* udp_choose_source(inp, opts.src, ends, td);
	if (error === 0) {
		if (sin === null) {
			ends.faddr = inp.inp_faddr;
			ends.fport = inp.inp_fport;
			if (ends.faddr === INADDR_ANY) error = ENOTCONN;
		} else if (inp.inp_faddr !== INADDR_ANY) error = EISCONN;
		else error = yield* udp_choose_ends(inp, sin, ends, td);
	}
	if (error !== 0) {
		m_freem(m);
		return error;
	}
	const len = m.m_pkthdr.len;
	const n = M_PREPEND(m, UDPIP_HDR_LEN + max_linkhdr, M_NOWAIT);
	if (n === null) return ENOBUFS;
	m = n;
	m.m_data += max_linkhdr;
	m.m_len -= max_linkhdr;
	m.m_pkthdr.len -= max_linkhdr;
	const flags = udp_headers(inp, m, ends, len, opts.tos);
	V_udpstat().udps_opackets++;
	if (udp_send_probe.on !== null) udp_send_probe.on(inp, m);
	return yield* ip_output(m, inp.inp_options, INP_WLOCKED(inp) ? inp.inp_route : null, flags, null, inp);
}

/** Writes the IP and UDP headers in front of `len` bytes. @returns flags for ip_output */
function udp_headers(inp: inpcb, m: mbuf, ends: in_endpoints, len: number, tos: number): number {
	const so = inp.inp_socket as socket;
	const buf = m.m_buf;
	const ip = m.m_data;
	const uh = ip + IP_HDR_LEN;
	const onesbcast = (inp.inp_flags & INP_ONESBCAST) !== 0;
	in_put16(buf, ip + IP_LEN_OFF, UDPIP_HDR_LEN + len);
	in_put16(buf, ip + IP_OFF_OFF, (inp.inp_flags & INP_DONTFRAG) !== 0 ? IP_DF : 0);
	buf[ip + IP_TOS_OFF] = tos < 0 ? inp.inp_ip_tos : tos;
	buf[ip + IP_TTL_OFF] = inp.inp_ip_ttl;
	buf[ip + IP_P_OFF] = IPPROTO_UDP;
	in_put16(buf, ip + IP_SUM_OFF, 0);
	in_put32(buf, ip + IP_SRC_OFF, ends.laddr);
	in_put32(buf, ip + IP_DST_OFF, ends.faddr);
	in_put16(buf, uh + UH_SPORT, ends.lport);
	in_put16(buf, uh + UH_DPORT, ends.fport);
	in_put16(buf, uh + UH_ULEN, UDP_HDR_LEN + len);
	if (V_udp().cksum !== 0) {
		const dst = onesbcast ? INADDR_BROADCAST : ends.faddr;
		in_put16(buf, uh + UH_SUM, in_pseudo(ends.laddr, dst, UDP_HDR_LEN + len + IPPROTO_UDP));
		m.m_pkthdr.csum_flags = CSUM_UDP;
		m.m_pkthdr.csum_data = UH_SUM;
	} else in_put16(buf, uh + UH_SUM, 0);
	let flags = 0;
	if ((so.so_options & SO_DONTROUTE) !== 0) flags |= IP_ROUTETOIF;
	if ((so.so_options & SO_BROADCAST) !== 0) flags |= IP_ALLOWBROADCAST;
	if (onesbcast) flags |= IP_SENDONES;
	return flags;
}

function* udp_send(
	so: socket,
	flags: number,
	m: mbuf | null,
	nam: sockaddr | null,
	control: mbuf | null,
	td: thread,
): Blocking<Errno> {
	const inp = sotoinpcb(so);
	KASSERT(inp !== null && m !== null, "udp_send: inp == NULL");
	return yield* udp_output(inp, m as mbuf, nam, control, td, flags);
}

function* udp_attach(so: socket, _proto: number, _td: thread): Blocking<Errno> {
	const pcbinfo = V_udbinfo();
	KASSERT(so.so_pcb === null, "udp_attach: inp != NULL");
	let error = yield* soreserve(so, udp_sendspace, udp_recvspace);
	if (error !== 0) return error;
	yield* INP_INFO_WLOCK(pcbinfo);
	error = yield* in_pcballoc(so, pcbinfo);
	if (error === 0) {
		const inp = sotoinpcb(so);
		inp.inp_vflag |= INP_IPV4;
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

/** pru_detach of UDP sockets of either family: the block goes, the socket is about to. */
export function* udp_detach(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	KASSERT(inp.inp_faddr === INADDR_ANY, "udp_detach: not disconnected");
	yield* INP_INFO_WLOCK(pcbinfo);
	yield* INP_WLOCK(inp);
	inp.inp_ppcb = null;
	in_pcbdetach(inp);
	yield* in_pcbfree(inp);
	yield* INP_INFO_WUNLOCK(pcbinfo);
}

/**
 * Hands all datagrams of a socket to `f`, inside the kernel, instead of queueing them.
 *
 * @param icmp_f gets ICMP errors about what the socket sent; may be null
 * @returns EBUSY if the socket has a callback already
 */
export function* udp_set_kernel_tunneling<T>(
	so: socket,
	f: udp_tun_func_t<T> | null,
	icmp_f: udp_tun_icmp_t<T> | null,
	ctx: T,
): Blocking<Errno> {
	KASSERT(so.so_type === SOCK_DGRAM, "udp_set_kernel_tunneling: !dgram");
	const inp = sotoinpcb(so);
	KASSERT(inp !== null, "udp_set_kernel_tunneling: inp == NULL");
	yield* INP_WLOCK(inp);
	const up = intoudpcb(inp);
	if (up.u_tun_func !== null || up.u_icmp_func !== null) {
		yield* INP_WUNLOCK(inp);
		return EBUSY;
	}
	up.u_tun_func = f as udp_tun_func_t<unknown> | null;
	up.u_icmp_func = icmp_f as udp_tun_icmp_t<unknown> | null;
	up.u_tun_ctx = ctx;
	yield* INP_WUNLOCK(inp);
	return 0;
}

function* udp_bind(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	yield* INP_HASH_WLOCK(pcbinfo);
	const error = in_pcbbind(inp, nam, td_ucred(td));
	yield* INP_HASH_WUNLOCK(pcbinfo);
	yield* INP_WUNLOCK(inp);
	return error;
}

/** pru_close and pru_abort: gives up the connection, if there is one. */
function* udp_close(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	if (inp.inp_faddr !== INADDR_ANY) {
		yield* INP_HASH_WLOCK(pcbinfo);
		in_pcbdisconnect(inp);
		inp.inp_laddr = INADDR_ANY;
		yield* INP_HASH_WUNLOCK(pcbinfo);
		yield* soisdisconnected(so);
	}
	yield* INP_WUNLOCK(inp);
}

function* udp_connect(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	if (inp.inp_faddr !== INADDR_ANY) {
		yield* INP_WUNLOCK(inp);
		return EISCONN;
	}
	NET_EPOCH_ENTER();
	yield* INP_HASH_WLOCK(pcbinfo);
	const error = in_pcbconnect(inp, nam, td_ucred(td));
	yield* INP_HASH_WUNLOCK(pcbinfo);
	NET_EPOCH_EXIT();
	if (error === 0) yield* soisconnected(so);
	yield* INP_WUNLOCK(inp);
	return error;
}

function* udp_disconnect(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_WLOCK(inp);
	if (inp.inp_faddr === INADDR_ANY) {
		yield* INP_WUNLOCK(inp);
		return ENOTCONN;
	}
	yield* INP_HASH_WLOCK(pcbinfo);
	in_pcbdisconnect(inp);
	inp.inp_laddr = INADDR_ANY;
	yield* INP_HASH_WUNLOCK(pcbinfo);
	yield* SOCK_LOCK(so);
	so.so_state &= ~SS_ISCONNECTED;
	yield* SOCK_UNLOCK(so);
	yield* INP_WUNLOCK(inp);
	return 0;
}

export function* udp_shutdown(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	yield* socantsendmore(so);
	yield* INP_WUNLOCK(inp);
	return 0;
}

pr_register({
	pr_type: SOCK_DGRAM,
	pr_domain: AF_INET,
	pr_protocol: IPPROTO_UDP,
	pr_flags: PR_ATOMIC | PR_ADDR,
	pr_ctloutput: ip_ctloutput,
	pr_usrreqs: {
		pru_abort: udp_close,
		pru_attach: udp_attach,
		pru_bind: udp_bind,
		pru_connect: udp_connect,
		pru_control: in_control,
		pru_detach: udp_detach,
		pru_disconnect: udp_disconnect,
		pru_peeraddr: in_getpeeraddr,
		pru_send: udp_send,
		pru_shutdown: udp_shutdown,
		pru_sockaddr: in_getsockaddr,
		pru_close: udp_close,
		pru_sosend: sosend_dgram,
	},
});

VNET_SYSINIT("udp_init", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	V_udp().info = in_pcbinfo_init("udp", "udpinp", 128);
});

VNET_SYSUNINIT("udp_destroy", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	yield* NET_EPOCH_DRAIN_CALLBACKS();
	in_pcbinfo_destroy(V_udbinfo());
});
