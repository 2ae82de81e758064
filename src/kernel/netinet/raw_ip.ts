/**
 * Raw IPv4 sockets: what ping(8) uses.
 *
 * Every raw socket whose protocol and addresses fit gets a copy of the packet, IP header included.
 *
 * @see raw_ip.c
 */
import {
	EADDRNOTAVAIL,
	EAFNOSUPPORT,
	EINVAL,
	EISCONN,
	EMSGSIZE,
	ENOBUFS,
	ENOTCONN,
	EPROTONOSUPPORT,
	type Errno,
} from "../errno.ts";
import { PRIV_NETINET_RAW, priv_check } from "../jail/priv.ts";
import { NET_EPOCH_ASSERT, NET_EPOCH_DRAIN_CALLBACKS, NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { M_COPYALL, M_NOWAIT, M_PREPEND, m_copym, m_freem, m_pullup, type mbuf } from "../mbuf/mbuf.ts";
import { SI_ORDER_ANY, SI_SUB_PROTO_DOMAIN, VNET_DEFINE, VNET_SYSINIT, VNET_SYSUNINIT } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import {
	PR_ADDR,
	PR_ATOMIC,
	pr_register,
	SO_DONTROUTE,
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
	AF_INET,
	INADDR_ANY,
	IPPROTO_ICMP,
	IPPROTO_MAX,
	IPPROTO_RAW,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	type sockaddr,
	sockaddr_in,
} from "./in.ts";
import { in_control } from "./in_control.ts";
import { ifa_ifwithaddr4 } from "./in_ifa.ts";
import {
	INP_CONTROLOPTS,
	INP_DONTFRAG,
	INP_FREED,
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_HDRINCL,
	INP_INFO_WLOCK,
	INP_INFO_WUNLOCK,
	INP_IPV4,
	INP_RLOCK,
	INP_RUNLOCK,
	INP_WLOCK,
	INP_WUNLOCK,
	in_getpeeraddr,
	in_getsockaddr,
	in_pcballoc,
	in_pcbdetach,
	in_pcbfree,
	in_pcbinfo_destroy,
	in_pcbinfo_init,
	in_pcbinshash,
	in_pcbrehash,
	type inpcb,
	type inpcbinfo,
	sotoinpcb,
} from "./in_pcb.ts";
import {
	IP_ALLOWBROADCAST,
	IP_DF,
	IP_DST_OFF,
	IP_HDR_LEN,
	IP_ID_OFF,
	IP_LEN_OFF,
	IP_MAXPACKET,
	IP_OFF_OFF,
	IP_P_OFF,
	IP_RAWOUTPUT,
	IP_ROUTETOIF,
	IP_SRC_OFF,
	IP_SUM_OFF,
	IP_TOS_OFF,
	IP_TTL_OFF,
	ip_hlen,
} from "./ip.ts";
import { ip_ctloutput, ip_savecontrol } from "./ip_ctloutput.ts";
import { ip_fillid, ip_output } from "./ip_output.ts";
import { V_ip } from "./ip_var.ts";

const rip_sendspace = 9216;
const rip_recvspace = 9216;

class ripcb_slot {
	info!: inpcbinfo;
}

const V_rip = VNET_DEFINE(() => new ripcb_slot());

export function V_ripcbinfo(): inpcbinfo {
	return V_rip().info;
}

/** Queues a packet on a raw socket, whose block is locked. Consumes it. */
function* rip_append(last: inpcb, n: mbuf, ripsrc: sockaddr_in): Blocking<void> {
	const so = last.inp_socket as socket;
	if (last.inp_ip_minttl !== 0 && last.inp_ip_minttl > n.m_buf[n.m_data + IP_TTL_OFF]) {
		m_freem(n);
		return;
	}
	const wanted = (last.inp_flags & INP_CONTROLOPTS) !== 0 || (so.so_options & SO_TIMESTAMP) !== 0;
	const opts = wanted ? ip_savecontrol(last, n.m_buf, n.m_data) : null;
	yield* SOCKBUF_LOCK(so.so_rcv);
	if (sbappendaddr_locked(so.so_rcv, ripsrc, n, opts)) {
		yield* sorwakeup_locked(so);
		return;
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	m_freem(n);
	m_freem(opts);
}

/** Hands a packet to all raw sockets that want it; the last gets the packet itself. Consumes it. */
export function* rip_input(m: mbuf, _off: number, proto: number): Blocking<void> {
	NET_EPOCH_ASSERT();
	const src = in_get32(m.m_buf, m.m_data + IP_SRC_OFF);
	const dst = in_get32(m.m_buf, m.m_data + IP_DST_OFF);
	let last: inpcb | null = null;
	for (let inp = V_ripcbinfo().ipi_listhead; inp !== null; inp = inp.inp_list_next) {
		charge(cost.rip_input);
		if ((inp.inp_ip_p !== 0 && inp.inp_ip_p !== proto) || (inp.inp_vflag & INP_IPV4) === 0) continue;
		if (inp.inp_laddr !== INADDR_ANY && inp.inp_laddr !== dst) continue;
		if (inp.inp_faddr !== INADDR_ANY && inp.inp_faddr !== src) continue;
		if (last !== null) {
			const n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
			if (n !== null) yield* rip_append(last, n, new sockaddr_in(src));
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
	yield* rip_append(last, m, new sockaddr_in(src));
	yield* INP_RUNLOCK(last);
}

/** Gives a packet a header, unless the program made its own, and sends it. Consumes it. */
function* rip_output(m: mbuf, so: socket, dst: number): Blocking<Errno> {
	const inp = sotoinpcb(so);
	let flags = IP_ALLOWBROADCAST | ((so.so_options & SO_DONTROUTE) !== 0 ? IP_ROUTETOIF : 0);
	if ((inp.inp_flags & INP_HDRINCL) === 0) {
		if (m.m_pkthdr.len + IP_HDR_LEN > IP_MAXPACKET) {
			m_freem(m);
			return EMSGSIZE;
		}
		const n = M_PREPEND(m, IP_HDR_LEN, M_NOWAIT);
		if (n === null) return ENOBUFS;
		m = n;
		yield* INP_RLOCK(inp);
		const buf = m.m_buf;
		const ip = m.m_data;
		buf[ip + IP_TOS_OFF] = inp.inp_ip_tos;
		in_put16(buf, ip + IP_OFF_OFF, (inp.inp_flags & INP_DONTFRAG) !== 0 ? IP_DF : 0);
		buf[ip + IP_P_OFF] = inp.inp_ip_p;
		in_put16(buf, ip + IP_LEN_OFF, m.m_pkthdr.len);
		in_put32(buf, ip + IP_SRC_OFF, inp.inp_laddr);
		in_put32(buf, ip + IP_DST_OFF, dst);
		in_put16(buf, ip + IP_SUM_OFF, 0);
		buf[ip + IP_TTL_OFF] = inp.inp_ip_ttl;
	} else {
		if (m.m_pkthdr.len > IP_MAXPACKET) {
			m_freem(m);
			return EMSGSIZE;
		}
		const n = m.m_len < IP_HDR_LEN ? m_pullup(m, IP_HDR_LEN) : m;
		if (n === null) return EINVAL;
		m = n;
		yield* INP_RLOCK(inp);
		const buf = m.m_buf;
		const ip = m.m_data;
		if (
			ip_hlen(buf, ip) < IP_HDR_LEN ||
			m.m_len < ip_hlen(buf, ip) ||
			in_get16(buf, ip + IP_LEN_OFF) !== m.m_pkthdr.len
		) {
			yield* INP_RUNLOCK(inp);
			m_freem(m);
			return EINVAL;
		}
		if (in_get16(buf, ip + IP_ID_OFF) === 0) ip_fillid(buf, ip);
		flags |= IP_RAWOUTPUT;
	}
	NET_EPOCH_ENTER();
	const error = yield* ip_output(m, inp.inp_options, null, flags, null, inp);
	NET_EPOCH_EXIT();
	yield* INP_RUNLOCK(inp);
	return error;
}

function* rip_attach(so: socket, proto: number, td: thread): Blocking<Errno> {
	let error = priv_check(td, PRIV_NETINET_RAW);
	if (error !== 0) return error;
	if (proto < 0 || proto >= IPPROTO_MAX) return EPROTONOSUPPORT;
	error = yield* soreserve(so, rip_sendspace, rip_recvspace);
	if (error !== 0) return error;
	const pcbinfo = V_ripcbinfo();
	yield* INP_INFO_WLOCK(pcbinfo);
	error = yield* in_pcballoc(so, pcbinfo);
	if (error === 0) {
		const inp = sotoinpcb(so);
		inp.inp_vflag |= INP_IPV4;
		inp.inp_ip_p = proto;
		inp.inp_ip_ttl = V_ip().ip_defttl;
		yield* INP_HASH_WLOCK(pcbinfo);
		in_pcbinshash(inp);
		yield* INP_HASH_WUNLOCK(pcbinfo);
		yield* INP_WUNLOCK(inp);
	}
	yield* INP_INFO_WUNLOCK(pcbinfo);
	return error;
}

function* rip_detach(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_INFO_WLOCK(pcbinfo);
	yield* INP_WLOCK(inp);
	in_pcbdetach(inp);
	yield* in_pcbfree(inp);
	yield* INP_INFO_WUNLOCK(pcbinfo);
}

function* rip_setaddrs(inp: inpcb, laddr: number, faddr: number): Blocking<void> {
	const pcbinfo = inp.inp_pcbinfo;
	yield* INP_INFO_WLOCK(pcbinfo);
	yield* INP_WLOCK(inp);
	yield* INP_HASH_WLOCK(pcbinfo);
	inp.inp_laddr = laddr;
	inp.inp_faddr = faddr;
	in_pcbrehash(inp);
	yield* INP_HASH_WUNLOCK(pcbinfo);
	yield* INP_WUNLOCK(inp);
	yield* INP_INFO_WUNLOCK(pcbinfo);
}

function* rip_bind(so: socket, nam: sockaddr, _td: thread): Blocking<Errno> {
	const addr = nam as sockaddr_in;
	if (addr.sa_family !== AF_INET) return EAFNOSUPPORT;
	if (addr.sin_addr !== INADDR_ANY && ifa_ifwithaddr4(addr.sin_addr) === null) return EADDRNOTAVAIL;
	const inp = sotoinpcb(so);
	yield* rip_setaddrs(inp, addr.sin_addr, inp.inp_faddr);
	return 0;
}

function* rip_connect(so: socket, nam: sockaddr, _td: thread): Blocking<Errno> {
	const addr = nam as sockaddr_in;
	if (addr.sa_family !== AF_INET) return EAFNOSUPPORT;
	const inp = sotoinpcb(so);
	yield* rip_setaddrs(inp, inp.inp_laddr, addr.sin_addr);
	yield* soisconnected(so);
	return 0;
}

function* rip_disconnect(so: socket): Blocking<Errno> {
	if ((so.so_state & SS_ISCONNECTED) === 0) return ENOTCONN;
	const inp = sotoinpcb(so);
	yield* rip_setaddrs(inp, inp.inp_laddr, INADDR_ANY);
	yield* SOCK_LOCK(so);
	so.so_state &= ~SS_ISCONNECTED;
	yield* SOCK_UNLOCK(so);
	return 0;
}

function* rip_abort(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	if (inp.inp_faddr !== INADDR_ANY) {
		yield* rip_setaddrs(inp, inp.inp_laddr, INADDR_ANY);
		yield* soisdisconnected(so);
	}
}

function* rip_shutdown(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	yield* socantsendmore(so);
	yield* INP_WUNLOCK(inp);
	return 0;
}

function* rip_send(
	so: socket,
	_flags: number,
	m: mbuf | null,
	nam: sockaddr | null,
	control: mbuf | null,
	_td: thread,
): Blocking<Errno> {
	const inp = sotoinpcb(so);
	m_freem(control);
	let error: Errno = 0;
	let dst = inp.inp_faddr;
	if ((so.so_state & SS_ISCONNECTED) !== 0) {
		if (nam !== null) error = EISCONN;
	} else if (nam === null) error = ENOTCONN;
	else dst = (nam as sockaddr_in).sin_addr;
	if (error !== 0 || m === null) {
		m_freem(m);
		return error;
	}
	return yield* rip_output(m, so, dst);
}

for (const protocol of [0, IPPROTO_ICMP, IPPROTO_RAW]) {
	pr_register({
		pr_type: SOCK_RAW,
		pr_domain: AF_INET,
		pr_protocol: protocol,
		pr_flags: PR_ATOMIC | PR_ADDR,
		pr_ctloutput: ip_ctloutput,
		pr_usrreqs: {
			pru_abort: rip_abort,
			pru_attach: rip_attach,
			pru_bind: rip_bind,
			pru_connect: rip_connect,
			pru_control: in_control,
			pru_detach: rip_detach,
			pru_disconnect: rip_disconnect,
			pru_peeraddr: in_getpeeraddr,
			pru_send: rip_send,
			pru_shutdown: rip_shutdown,
			pru_sockaddr: in_getsockaddr,
			pru_close: rip_abort,
		},
	});
}

VNET_SYSINIT("rip_init", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	V_rip().info = in_pcbinfo_init("rip", "ripinp", 256);
});

VNET_SYSUNINIT("rip_destroy", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	yield* NET_EPOCH_DRAIN_CALLBACKS();
	in_pcbinfo_destroy(V_ripcbinfo());
});
