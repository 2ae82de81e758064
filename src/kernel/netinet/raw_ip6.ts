/**
 * Raw IPv6 sockets: what ping6(8) uses. A packet is handed up without its IPv6 header, and checksums of ICMPv6 are made
 * here.
 *
 * @see netinet6/raw_ip6.c
 */
import {
	EADDRNOTAVAIL,
	EAFNOSUPPORT,
	EHOSTUNREACH,
	EINVAL,
	EISCONN,
	ENOBUFS,
	ENOTCONN,
	EPROTONOSUPPORT,
	type Errno,
} from "../errno.ts";
import { PRIV_NETINET_RAW, priv_check } from "../jail/priv.ts";
import { NET_EPOCH_ASSERT, NET_EPOCH_DRAIN_CALLBACKS, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import {
	M_COPYALL,
	M_NOWAIT,
	M_PREPEND,
	m_adj,
	m_copyback,
	m_copym,
	m_freem,
	max_linkhdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { SI_ORDER_ANY, SI_SUB_PROTO_DOMAIN, VNET_DEFINE, VNET_SYSINIT, VNET_SYSUNINIT } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import {
	PR_ADDR,
	PR_ATOMIC,
	pr_register,
	SO_TIMESTAMP,
	SOCK_RAW,
	SS_ISCONNECTED,
	type socket,
} from "../socket/socket.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_UNLOCK,
	sbappendaddr_locked,
	socantsendmore,
	soreserve,
	sorwakeup_locked,
} from "../socket/uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK, soisconnected, soisdisconnected } from "../socket/uipc_socket.ts";
import {
	AF_INET6,
	IN6_ARE_ADDR_EQUAL,
	IN6_IS_ADDR_UNSPECIFIED,
	IPPROTO_ICMPV6,
	IPPROTO_MAX,
	IPPROTO_RAW,
	in_put16,
	in_put32,
	in6_copy,
	in6addr_any,
	type sockaddr,
	sockaddr_in6,
} from "./in.ts";
import { in6_cksum } from "./in_cksum.ts";
import {
	INP_CONTROLOPTS,
	INP_FREED,
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_INFO_WLOCK,
	INP_INFO_WUNLOCK,
	INP_IPV6,
	INP_RLOCK,
	INP_RUNLOCK,
	INP_WLOCK,
	INP_WUNLOCK,
	in_pcballoc,
	in_pcbdetach,
	in_pcbfree,
	in_pcbinfo_destroy,
	in_pcbinfo_init,
	in_pcbinshash,
	in_pcbrehash,
	in6_getpeeraddr,
	in6_getsockaddr,
	type inpcb,
	type inpcbinfo,
	sotoinpcb,
} from "./in_pcb.ts";
import { in6_control } from "./in6_control.ts";
import { in6_selectsrc_addr } from "./in6_src.ts";
import { in6_ifa_ifwithaddr } from "./in6_var.ts";
import { IP6_DST_OFF, IP6_HDR_LEN, IP6_HLIM_OFF, IP6_NXT_OFF, IP6_PLEN_OFF, IP6_SRC_OFF, IPV6_VERSION } from "./ip6.ts";
import { ip6_ctloutput, ip6_savecontrol, ip6_setpktopts } from "./ip6_ctloutput.ts";
import { ip6_output, type ip6_pktopts } from "./ip6_output.ts";
import { V_ip6 } from "./ip6_var.ts";
import { sa6_embedscope, sa6_recoverscope } from "./scope6.ts";

const rip6_space = 9216;

class rip6_slot {
	info!: inpcbinfo;
}

const V_rip6 = VNET_DEFINE(() => new rip6_slot());

export function V_rip6cbinfo(): inpcbinfo {
	return V_rip6().info;
}

/** Queues a packet without its headers on a raw socket, whose block is locked. Consumes it. */
function* rip6_append(last: inpcb, n: mbuf, off: number, from: sockaddr_in6): Blocking<void> {
	const so = last.inp_socket as socket;
	const wanted = (last.inp_flags & INP_CONTROLOPTS) !== 0 || (so.so_options & SO_TIMESTAMP) !== 0;
	const rcvif = n.m_pkthdr.rcvif;
	const opts = wanted ? ip6_savecontrol(last, n.m_buf, n.m_data, rcvif === null ? 0 : rcvif.if_index) : null;
	m_adj(n, off);
	yield* SOCKBUF_LOCK(so.so_rcv);
	if (sbappendaddr_locked(so.so_rcv, from, n, opts)) {
		yield* sorwakeup_locked(so);
		return;
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	m_freem(n);
	m_freem(opts);
}

/** Hands a packet to all raw sockets that want it; the last gets the packet itself. Consumes it. */
export function* rip6_input(m: mbuf, off: number, proto: number): Blocking<void> {
	NET_EPOCH_ASSERT();
	const ip6 = m.m_data;
	let last: inpcb | null = null;
	const from = new sockaddr_in6(m.m_buf.slice(ip6 + IP6_SRC_OFF, ip6 + IP6_SRC_OFF + 16));
	const src = from.sin6_addr.slice();
	const dst = m.m_buf.slice(ip6 + IP6_DST_OFF, ip6 + IP6_DST_OFF + 16);
	sa6_recoverscope(from);
	for (let inp = V_rip6cbinfo().ipi_listhead; inp !== null; inp = inp.inp_list_next) {
		charge(cost.rip_input);
		if ((inp.inp_ip_p !== 0 && inp.inp_ip_p !== proto) || (inp.inp_vflag & INP_IPV6) === 0) continue;
		if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_laddr6) && !IN6_ARE_ADDR_EQUAL(inp.inp_laddr6, dst)) continue;
		if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6) && !IN6_ARE_ADDR_EQUAL(inp.inp_faddr6, src)) continue;
		if (last !== null) {
			const n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
			if (n !== null) yield* rip6_append(last, n, off, from);
			yield* INP_RUNLOCK(last);
			last = null;
		}
		yield* INP_RLOCK(inp);
		if ((inp.inp_flags2 & INP_FREED) !== 0) yield* INP_RUNLOCK(inp);
		else last = inp;
	}
	if (last === null) {
		m_freem(m);
		return;
	}
	yield* rip6_append(last, m, off, from);
	yield* INP_RUNLOCK(last);
}

/** Gives a packet a header and, for ICMPv6, its checksum, and sends it. Consumes it. */
function* rip6_output(m: mbuf, inp: inpcb, dst: Uint8Array, opt: ip6_pktopts | null): Blocking<Errno> {
	yield* INP_RLOCK(inp);
	NET_EPOCH_ENTER();
	const error = yield* rip6_output_locked(m, inp, dst, opt);
	NET_EPOCH_EXIT();
	yield* INP_RUNLOCK(inp);
	return error;
}

function* rip6_output_locked(m: mbuf, inp: inpcb, dst: Uint8Array, opt: ip6_pktopts | null): Blocking<Errno> {
	let src = opt !== null && opt.ip6po_src !== null ? opt.ip6po_src : inp.inp_laddr6;
	if (IN6_IS_ADDR_UNSPECIFIED(src)) {
		const ia = in6_selectsrc_addr(inp.inp_fibnum, dst);
		if (ia === null) {
			m_freem(m);
			return EHOSTUNREACH;
		}
		src = ia.ia_addr.sin6_addr;
	}
	const plen = m.m_pkthdr.len;
	const n = M_PREPEND(m, IP6_HDR_LEN + max_linkhdr, M_NOWAIT);
	if (n === null) return ENOBUFS;
	n.m_data += max_linkhdr;
	n.m_len -= max_linkhdr;
	n.m_pkthdr.len -= max_linkhdr;
	const buf = n.m_buf;
	const ip6 = n.m_data;
	in_put32(buf, ip6, ((IPV6_VERSION << 24) | (inp.in6p_tclass << 20)) >>> 0);
	in_put16(buf, ip6 + IP6_PLEN_OFF, plen);
	buf[ip6 + IP6_NXT_OFF] = inp.inp_ip_p;
	buf[ip6 + IP6_HLIM_OFF] = inp.in6p_hops >= 0 ? inp.in6p_hops : V_ip6().ip6_defhlim;
	in6_copy(buf, ip6 + IP6_SRC_OFF, src, 0);
	in6_copy(buf, ip6 + IP6_DST_OFF, dst, 0);
	const at = inp.inp_ip_p === IPPROTO_ICMPV6 ? 2 : inp.in6p_cksum;
	if (at >= 0) {
		if (plen < at + 2) {
			m_freem(n);
			return EINVAL;
		}
		const word = new Uint8Array(2);
		m_copyback(n, IP6_HDR_LEN + at, 2, word);
		in_put16(word, 0, in6_cksum(n, inp.inp_ip_p, IP6_HDR_LEN, plen));
		m_copyback(n, IP6_HDR_LEN + at, 2, word);
	}
	return yield* ip6_output(n, opt, null, 0, null, null, inp);
}

function* rip6_attach(so: socket, proto: number, td: thread): Blocking<Errno> {
	let error = priv_check(td, PRIV_NETINET_RAW);
	if (error !== 0) return error;
	if (proto < 0 || proto >= IPPROTO_MAX) return EPROTONOSUPPORT;
	error = yield* soreserve(so, rip6_space, rip6_space);
	if (error !== 0) return error;
	const pcbinfo = V_rip6cbinfo();
	yield* INP_INFO_WLOCK(pcbinfo);
	error = yield* in_pcballoc(so, pcbinfo);
	if (error === 0) {
		const inp = sotoinpcb(so);
		inp.inp_vflag |= INP_IPV6;
		inp.inp_ip_p = proto;
		yield* INP_HASH_WLOCK(pcbinfo);
		in_pcbinshash(inp);
		yield* INP_HASH_WUNLOCK(pcbinfo);
		yield* INP_WUNLOCK(inp);
	}
	yield* INP_INFO_WUNLOCK(pcbinfo);
	return error;
}

function* rip6_detach(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_INFO_WLOCK(pcbinfo);
	yield* INP_WLOCK(inp);
	in_pcbdetach(inp);
	yield* in_pcbfree(inp);
	yield* INP_INFO_WUNLOCK(pcbinfo);
}

function* rip6_setaddrs(inp: inpcb, laddr: Uint8Array, faddr: Uint8Array): Blocking<void> {
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_INFO_WLOCK(pcbinfo);
	yield* INP_WLOCK(inp);
	yield* INP_HASH_WLOCK(pcbinfo);
	inp.inp_laddr6.set(laddr);
	inp.inp_faddr6.set(faddr);
	in_pcbrehash(inp);
	yield* INP_HASH_WUNLOCK(pcbinfo);
	yield* INP_WUNLOCK(inp);
	yield* INP_INFO_WUNLOCK(pcbinfo);
}

function* rip6_bind(so: socket, nam: sockaddr, _td: thread): Blocking<Errno> {
	if (nam.sa_family !== AF_INET6) return EAFNOSUPPORT;
	const addr = sa6_embedscope(nam as sockaddr_in6);
	if (!IN6_IS_ADDR_UNSPECIFIED(addr) && in6_ifa_ifwithaddr(addr, 0) === null) return EADDRNOTAVAIL;
	const inp = sotoinpcb(so);
	yield* rip6_setaddrs(inp, addr, inp.inp_faddr6);
	return 0;
}

function* rip6_connect(so: socket, nam: sockaddr, _td: thread): Blocking<Errno> {
	if (nam.sa_family !== AF_INET6) return EAFNOSUPPORT;
	const inp = sotoinpcb(so);
	yield* rip6_setaddrs(inp, inp.inp_laddr6, sa6_embedscope(nam as sockaddr_in6));
	yield* soisconnected(so);
	return 0;
}

function* rip6_disconnect(so: socket): Blocking<Errno> {
	if ((so.so_state & SS_ISCONNECTED) === 0) return ENOTCONN;
	const inp = sotoinpcb(so);
	yield* rip6_setaddrs(inp, inp.inp_laddr6, in6addr_any);
	yield* SOCK_LOCK(so);
	so.so_state &= ~SS_ISCONNECTED;
	yield* SOCK_UNLOCK(so);
	return 0;
}

function* rip6_close(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	if (!IN6_IS_ADDR_UNSPECIFIED(inp.inp_faddr6)) {
		yield* rip6_setaddrs(inp, inp.inp_laddr6, in6addr_any);
		yield* soisdisconnected(so);
	}
}

function* rip6_shutdown(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	yield* socantsendmore(so);
	yield* INP_WUNLOCK(inp);
	return 0;
}

function* rip6_send(
	so: socket,
	_flags: number,
	m: mbuf | null,
	nam: sockaddr | null,
	control: mbuf | null,
	_td: thread,
): Blocking<Errno> {
	const inp = sotoinpcb(so);
	const opt = control === null ? null : ip6_setpktopts(control);
	m_freem(control);
	let error: Errno = typeof opt === "number" ? opt : 0;
	let dst: Uint8Array = inp.inp_faddr6;
	if (error === 0) {
		if ((so.so_state & SS_ISCONNECTED) !== 0) {
			if (nam !== null) error = EISCONN;
		} else if (nam === null) error = ENOTCONN;
		else if (nam.sa_family !== AF_INET6) error = EAFNOSUPPORT;
		else dst = sa6_embedscope(nam as sockaddr_in6);
	}
	if (error !== 0 || m === null) {
		m_freem(m);
		return error;
	}
	return yield* rip6_output(m, inp, dst, opt as ip6_pktopts | null);
}

for (const protocol of [0, IPPROTO_ICMPV6, IPPROTO_RAW]) {
	pr_register({
		pr_type: SOCK_RAW,
		pr_domain: AF_INET6,
		pr_protocol: protocol,
		pr_flags: PR_ATOMIC | PR_ADDR,
		pr_ctloutput: ip6_ctloutput,
		pr_usrreqs: {
			pru_abort: rip6_close,
			pru_attach: rip6_attach,
			pru_bind: rip6_bind,
			pru_connect: rip6_connect,
			pru_control: in6_control,
			pru_detach: rip6_detach,
			pru_disconnect: rip6_disconnect,
			pru_peeraddr: in6_getpeeraddr,
			pru_send: rip6_send,
			pru_shutdown: rip6_shutdown,
			pru_sockaddr: in6_getsockaddr,
			pru_close: rip6_close,
		},
	});
}

VNET_SYSINIT("rip6_init", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	V_rip6().info = in_pcbinfo_init("rip6", "ripinp", 256);
});

VNET_SYSUNINIT("rip6_destroy", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	yield* NET_EPOCH_DRAIN_CALLBACKS();
	in_pcbinfo_destroy(V_rip6cbinfo());
});
