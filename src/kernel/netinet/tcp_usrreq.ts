/**
 * TCP's side of the socket calls.
 *
 * @see tcp_usrreq.c
 */
import { EACCES, EAFNOSUPPORT, ECONNABORTED, ECONNRESET, EINVAL, EOPNOTSUPP, type Errno } from "../errno.ts";
import { td_ucred } from "../jail/ucred.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { arc4random, KASSERT } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import {
	PR_CONNREQUIRED,
	PR_IMPLOPCL,
	PR_WANTRCVD,
	PRUS_EOF,
	PRUS_MORETOCOME,
	PRUS_OOB,
	pr_register,
	type pr_usrreqs,
	SB_AUTOSIZE,
	SO_LINGER,
	SOCK_STREAM,
	SS_ISDISCONNECTED,
	SS_PROTOREF,
	type socket,
} from "../socket/socket.ts";
import { sbappendstream, sbflush, socantsendmore, soreserve } from "../socket/uipc_sockbuf.ts";
import {
	SOCK_LOCK,
	SOCK_UNLOCK,
	soisconnecting,
	soisdisconnected,
	soisdisconnecting,
	solisten_proto,
	solisten_proto_check,
} from "../socket/uipc_socket.ts";
import {
	AF_INET,
	AF_INET6,
	IN_MULTICAST,
	IN6_IS_ADDR_MULTICAST,
	IN6_IS_ADDR_V4MAPPED,
	INADDR_BROADCAST,
	IPPROTO_TCP,
	type sockaddr,
	type sockaddr_in,
	type sockaddr_in6,
} from "./in.ts";
import { in_control } from "./in_control.ts";
import {
	INP_DROPPED,
	INP_HASH_WLOCK,
	INP_HASH_WUNLOCK,
	INP_IPV4,
	INP_IPV6,
	INP_IPV6PROTO,
	INP_SOCKREF,
	INP_WLOCK,
	INP_WUNLOCK,
	in_getpeeraddr,
	in_getsockaddr,
	in_pcballoc,
	in_pcbbind,
	in_pcbconnect,
	in_pcbdetach,
	in_pcbfree,
	in6_getpeeraddr,
	in6_getsockaddr,
	type inpcb,
	sotoinpcb,
} from "./in_pcb.ts";
import { in6_control } from "./in6_control.ts";
import { in6_pcbbind, in6_pcbconnect } from "./in6_pcb.ts";
import {
	TCPS_CLOSE_WAIT,
	TCPS_CLOSED,
	TCPS_ESTABLISHED,
	TCPS_FIN_WAIT_1,
	TCPS_FIN_WAIT_2,
	TCPS_LAST_ACK,
	TCPS_LISTEN,
	TCPS_SYN_RECEIVED,
	TCPS_SYN_SENT,
	TCPS_TIME_WAIT,
} from "./tcp.ts";
import { tcp_ctloutput } from "./tcp_ctloutput.ts";
import { tcp_sendseqinit } from "./tcp_do_segment.ts";
import { tcp_output } from "./tcp_output.ts";
import { tcp_close, tcp_discardcb, tcp_drop, tcp_new_isn, tcp_newtcpcb, tcp_state_change } from "./tcp_subr.ts";
import { tcp_request_scale } from "./tcp_syncache.ts";
import { TP_MAXIDLE, TT_2MSL, TT_KEEP, tcp_timer_activate } from "./tcp_timer.ts";
import { intotcpcb, TF_MORETOCOME, TF_NEEDFIN, tcp_sysctl, type tcpcb, V_tcbinfo, V_tcpstat } from "./tcp_var.ts";
import "./tcp_ctlinput.ts";

/** seconds a socket with SO_LINGER and no time lingers */
const TCP_LINGERTIME = 120;

/** Gives a new socket its buffers and control blocks. */
function* tcp_usr_attach(so: socket, _proto: number, _td: thread): Blocking<Errno> {
	KASSERT(so.so_pcb === null, "tcp_usr_attach: inp != NULL");
	if (so.so_snd.sb_hiwat === 0 || so.so_rcv.sb_hiwat === 0) {
		const error = yield* soreserve(so, tcp_sysctl().sendspace, tcp_sysctl().recvspace);
		if (error !== 0) return error;
	}
	so.so_rcv.sb_flags |= SB_AUTOSIZE;
	so.so_snd.sb_flags |= SB_AUTOSIZE;
	const error = yield* in_pcballoc(so, V_tcbinfo());
	if (error !== 0) return error;
	const inp = sotoinpcb(so);
	inp.inp_vflag |= (inp.inp_vflag & INP_IPV6PROTO) !== 0 ? INP_IPV6 : INP_IPV4;
	tcp_newtcpcb(inp);
	yield* INP_WUNLOCK(inp);
	if ((so.so_options & SO_LINGER) !== 0 && so.so_linger === 0) so.so_linger = TCP_LINGERTIME;
	return 0;
}

/** The socket goes: so does everything TCP has. By now the connection is closed, or never came about. */
function* tcp_usr_detach(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	KASSERT(inp !== null, "tcp_usr_detach: inp == NULL");
	yield* INP_WLOCK(inp);
	KASSERT(so.so_pcb === inp && inp.inp_socket === so, "tcp_usr_detach: socket inp mismatch");
	const tp = intotcpcb(inp);
	KASSERT(
		(inp.inp_flags & INP_DROPPED) !== 0 || tp.t_state < TCPS_SYN_SENT,
		`tcp_usr_detach: inp not dropped or embryonic, state ${tp.t_state}`,
	);
	yield* tcp_discardcb(tp);
	in_pcbdetach(inp);
	yield* in_pcbfree(inp);
}

/** Is `nam` something TCP can bind or connect to on this socket? */
function check_address(so: socket, nam: sockaddr, connecting: boolean): Errno {
	if (nam.sa_family !== so.so_proto.pr_domain) return EAFNOSUPPORT;
	if (nam.sa_family === AF_INET) {
		const { sin_addr } = nam as sockaddr_in;
		if (IN_MULTICAST(sin_addr)) return EAFNOSUPPORT;
		if (connecting && sin_addr === INADDR_BROADCAST) return EACCES;
		return 0;
	}
	const { sin6_addr } = nam as sockaddr_in6;
	if (IN6_IS_ADDR_MULTICAST(sin6_addr)) return EAFNOSUPPORT;
	// an IPv6 socket takes no IPv4 here: IPV6_V6ONLY is always on
	return IN6_IS_ADDR_V4MAPPED(sin6_addr) ? EINVAL : 0;
}

function* tcp_usr_bind(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	let error = check_address(so, nam, false);
	if (error !== 0) return error;
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	if ((inp.inp_flags & INP_DROPPED) !== 0) error = EINVAL;
	else {
		yield* INP_HASH_WLOCK(V_tcbinfo());
		NET_EPOCH_ENTER();
		error = nam.sa_family === AF_INET6 ? in6_pcbbind(inp, nam, td_ucred(td)) : in_pcbbind(inp, nam, td_ucred(td));
		NET_EPOCH_EXIT();
		yield* INP_HASH_WUNLOCK(V_tcbinfo());
	}
	yield* INP_WUNLOCK(inp);
	return error;
}

function* tcp_usr_listen(so: socket, backlog: number, td: thread): Blocking<Errno> {
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	if ((inp.inp_flags & INP_DROPPED) !== 0) {
		yield* INP_WUNLOCK(inp);
		return EINVAL;
	}
	const tp = intotcpcb(inp);
	yield* SOCK_LOCK(so);
	let error = solisten_proto_check(so);
	if (error === 0 && inp.inp_lport === 0) {
		yield* INP_HASH_WLOCK(V_tcbinfo());
		NET_EPOCH_ENTER();
		error =
			(inp.inp_vflag & INP_IPV6PROTO) !== 0
				? in6_pcbbind(inp, null, td_ucred(td))
				: in_pcbbind(inp, null, td_ucred(td));
		NET_EPOCH_EXIT();
		yield* INP_HASH_WUNLOCK(V_tcbinfo());
	}
	if (error === 0) {
		if (tp.t_state !== TCPS_LISTEN) tcp_state_change(tp, TCPS_LISTEN);
		solisten_proto(so, backlog);
	}
	yield* SOCK_UNLOCK(so);
	yield* INP_WUNLOCK(inp);
	return error;
}

/** Chooses both ends of the connection and the window scale, and is ready to send the SYN. @see tcp_connect, tcp6_connect */
function* tcp_connect(tp: tcpcb, nam: sockaddr, td: thread): Blocking<Errno> {
	const inp = tp.t_inpcb;
	yield* INP_HASH_WLOCK(V_tcbinfo());
	const error =
		nam.sa_family === AF_INET6 ? in6_pcbconnect(inp, nam, td_ucred(td)) : in_pcbconnect(inp, nam, td_ucred(td));
	yield* INP_HASH_WUNLOCK(V_tcbinfo());
	if (error !== 0) return error;
	tp.request_r_scale = tcp_request_scale();
	yield* soisconnecting(inp.inp_socket as socket);
	V_tcpstat().tcps_connattempt++;
	tcp_state_change(tp, TCPS_SYN_SENT);
	tp.iss = tcp_new_isn();
	tp.ts_offset = arc4random() | 0;
	tcp_sendseqinit(tp);
	return 0;
}

/** Begins to connect: the SYN goes out, the caller need not wait for the answer. */
function* tcp_usr_connect(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	let error = check_address(so, nam, true);
	if (error !== 0) return error;
	const inp = sotoinpcb(so);
	NET_EPOCH_ENTER();
	yield* INP_WLOCK(inp);
	if ((inp.inp_flags & INP_DROPPED) !== 0) error = ECONNRESET;
	else {
		const tp = intotcpcb(inp);
		error = yield* tcp_connect(tp, nam, td);
		if (error === 0) {
			yield* tcp_timer_activate(tp, TT_KEEP, tcp_sysctl().keepinit);
			error = yield* tcp_output(tp);
		}
	}
	yield* INP_WUNLOCK(inp);
	NET_EPOCH_EXIT();
	return error;
}

/** Begins to close. Data not read yet are thrown away. @see tcp_disconnect */
function* tcp_disconnect(tp: tcpcb): Blocking<void> {
	const inp = tp.t_inpcb;
	const so = inp.inp_socket as socket;
	if (tp.t_state < TCPS_ESTABLISHED) {
		const left = yield* tcp_close(tp);
		KASSERT(left !== null, "tcp_disconnect: tcp_close() returned NULL");
	} else if ((so.so_options & SO_LINGER) !== 0 && so.so_linger === 0) {
		const left = yield* tcp_drop(tp, 0);
		KASSERT(left !== null, "tcp_disconnect: tcp_drop() returned NULL");
	} else {
		yield* soisdisconnecting(so);
		yield* sbflush(so.so_rcv);
		yield* tcp_usrclosed(tp);
		if ((inp.inp_flags & INP_DROPPED) === 0) yield* tcp_output(tp);
	}
}

/** The user will send no more: to the state in which a FIN is sent. */
function* tcp_usrclosed(tp: tcpcb): Blocking<void> {
	switch (tp.t_state) {
		case TCPS_LISTEN:
			tcp_state_change(tp, TCPS_CLOSED);
			yield* tcp_close(tp);
			return;
		case TCPS_CLOSED:
			yield* tcp_close(tp);
			return;
		case TCPS_SYN_SENT:
		case TCPS_SYN_RECEIVED:
			tp.t_flags |= TF_NEEDFIN;
			break;
		case TCPS_ESTABLISHED:
			tcp_state_change(tp, TCPS_FIN_WAIT_1);
			break;
		case TCPS_CLOSE_WAIT:
			tcp_state_change(tp, TCPS_LAST_ACK);
			break;
	}
	if (tp.t_state >= TCPS_FIN_WAIT_2) {
		yield* soisdisconnected(tp.t_inpcb.inp_socket as socket);
		if (tp.t_state === TCPS_FIN_WAIT_2) yield* tcp_timer_activate(tp, TT_2MSL, TP_MAXIDLE(tp));
	}
}

function* tcp_usr_disconnect(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	let error: Errno = 0;
	NET_EPOCH_ENTER();
	yield* INP_WLOCK(inp);
	if ((inp.inp_flags & INP_DROPPED) !== 0) error = ECONNRESET;
	else if (intotcpcb(inp).t_state !== TCPS_TIME_WAIT) yield* tcp_disconnect(intotcpcb(inp));
	yield* INP_WUNLOCK(inp);
	NET_EPOCH_EXIT();
	return error;
}

function* tcp_usr_accept(so: socket): Blocking<sockaddr | Errno> {
	if ((so.so_state & SS_ISDISCONNECTED) !== 0) return ECONNABORTED;
	const inp = sotoinpcb(so);
	yield* INP_WLOCK(inp);
	const dropped = (inp.inp_flags & INP_DROPPED) !== 0;
	yield* INP_WUNLOCK(inp);
	if (dropped) return ECONNABORTED;
	return yield* so.so_proto.pr_usrreqs.pru_peeraddr(so);
}

/** shutdown(2) of the sending side: a FIN after the data. */
function* tcp_usr_shutdown(so: socket): Blocking<Errno> {
	const inp = sotoinpcb(so);
	let error: Errno = 0;
	NET_EPOCH_ENTER();
	yield* INP_WLOCK(inp);
	if ((inp.inp_flags & INP_DROPPED) !== 0) error = ECONNRESET;
	else {
		const tp = intotcpcb(inp);
		yield* socantsendmore(so);
		yield* tcp_usrclosed(tp);
		if ((inp.inp_flags & INP_DROPPED) === 0) error = yield* tcp_output(tp);
	}
	yield* INP_WUNLOCK(inp);
	NET_EPOCH_EXIT();
	return error;
}

/** The user has read: perhaps the window has opened enough to say so. */
function* tcp_usr_rcvd(so: socket, _flags: number): Blocking<Errno> {
	const inp = sotoinpcb(so);
	let error: Errno = 0;
	charge(cost.tcp_usr_rcvd);
	yield* INP_WLOCK(inp);
	if ((inp.inp_flags & INP_DROPPED) !== 0) error = ECONNRESET;
	else {
		NET_EPOCH_ENTER();
		yield* tcp_output(intotcpcb(inp));
		NET_EPOCH_EXIT();
	}
	yield* INP_WUNLOCK(inp);
	return error;
}

/** Queues data and sends what may be sent. */
function* tcp_usr_send(
	so: socket,
	flags: number,
	m: mbuf | null,
	nam: sockaddr | null,
	control: mbuf | null,
	td: thread,
): Blocking<Errno> {
	const inp = sotoinpcb(so);
	charge(cost.tcp_usr_send);
	NET_EPOCH_ENTER();
	yield* INP_WLOCK(inp);
	const error = yield* tcp_send_locked(inp, so, flags, m, nam, control, td);
	yield* INP_WUNLOCK(inp);
	NET_EPOCH_EXIT();
	return error;
}

function* tcp_send_locked(
	inp: inpcb,
	so: socket,
	flags: number,
	m: mbuf | null,
	nam: sockaddr | null,
	control: mbuf | null,
	td: thread,
): Blocking<Errno> {
	let error: Errno = 0;
	const tp = intotcpcb(inp);
	const connecting = nam !== null && tp !== null && tp.t_state < TCPS_SYN_SENT;
	if ((inp.inp_flags & INP_DROPPED) !== 0) error = ECONNRESET;
	else if ((flags & PRUS_OOB) !== 0) error = EOPNOTSUPP;
	else if (control !== null && control.m_len > 0) error = EINVAL;
	else if (connecting) error = check_address(so, nam, true);
	m_freem(control);
	if (error !== 0) {
		m_freem(m);
		return error;
	}
	if (m !== null) yield* sbappendstream(so.so_snd, m);
	if (connecting) {
		error = yield* tcp_connect(tp, nam, td);
		if (error !== 0) return error;
	}
	if ((flags & PRUS_EOF) !== 0) {
		yield* socantsendmore(so);
		yield* tcp_usrclosed(tp);
	}
	if ((inp.inp_flags & INP_DROPPED) === 0) {
		if ((flags & PRUS_MORETOCOME) !== 0) tp.t_flags |= TF_MORETOCOME;
		error = yield* tcp_output(tp);
		tp.t_flags &= ~TF_MORETOCOME;
	}
	return error;
}

/** TCP keeps the socket until the connection is over. The pcb is locked. */
function* keep_socket(so: socket, inp: inpcb): Blocking<void> {
	if ((inp.inp_flags & INP_DROPPED) !== 0) return;
	yield* SOCK_LOCK(so);
	so.so_state |= SS_PROTOREF;
	yield* SOCK_UNLOCK(so);
	inp.inp_flags |= INP_SOCKREF;
}

/** Ends a connection nobody will accept any more, with a reset. */
function* tcp_usr_abort(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	NET_EPOCH_ENTER();
	yield* INP_WLOCK(inp);
	KASSERT(inp.inp_socket !== null, "tcp_usr_abort: inp_socket == NULL");
	const tp = intotcpcb(inp);
	let left: tcpcb | null = tp;
	if ((inp.inp_flags & INP_DROPPED) === 0 && tp.t_state !== TCPS_TIME_WAIT) left = yield* tcp_drop(tp, ECONNABORTED);
	if (left !== null) {
		yield* keep_socket(so, inp);
		yield* INP_WUNLOCK(inp);
	}
	NET_EPOCH_EXIT();
}

/** close(2): begins to disconnect unless that was done, and keeps the socket until it is over. */
function* tcp_usr_close(so: socket): Blocking<void> {
	const inp = sotoinpcb(so);
	NET_EPOCH_ENTER();
	yield* INP_WLOCK(inp);
	KASSERT(inp.inp_socket !== null, "tcp_usr_close: inp_socket == NULL");
	if ((inp.inp_flags & INP_DROPPED) === 0 && intotcpcb(inp).t_state !== TCPS_TIME_WAIT) {
		yield* tcp_disconnect(intotcpcb(inp));
	}
	yield* keep_socket(so, inp);
	yield* INP_WUNLOCK(inp);
	NET_EPOCH_EXIT();
}

const tcp_requests: Partial<pr_usrreqs> = {
	pru_abort: tcp_usr_abort,
	pru_accept: tcp_usr_accept,
	pru_attach: tcp_usr_attach,
	pru_bind: tcp_usr_bind,
	pru_connect: tcp_usr_connect,
	pru_detach: tcp_usr_detach,
	pru_disconnect: tcp_usr_disconnect,
	pru_listen: tcp_usr_listen,
	pru_rcvd: tcp_usr_rcvd,
	pru_send: tcp_usr_send,
	pru_shutdown: tcp_usr_shutdown,
	pru_close: tcp_usr_close,
};

const flags = PR_CONNREQUIRED | PR_IMPLOPCL | PR_WANTRCVD;

export const tcp_protosw = pr_register({
	pr_type: SOCK_STREAM,
	pr_domain: AF_INET,
	pr_protocol: IPPROTO_TCP,
	pr_flags: flags,
	pr_usrreqs: { ...tcp_requests, pru_control: in_control, pru_peeraddr: in_getpeeraddr, pru_sockaddr: in_getsockaddr },
	pr_ctloutput: tcp_ctloutput,
});

export const tcp6_protosw = pr_register({
	pr_type: SOCK_STREAM,
	pr_domain: AF_INET6,
	pr_protocol: IPPROTO_TCP,
	pr_flags: flags,
	pr_usrreqs: {
		...tcp_requests,
		pru_control: in6_control,
		pru_peeraddr: in6_getpeeraddr,
		pru_sockaddr: in6_getsockaddr,
	},
	pr_ctloutput: tcp_ctloutput,
});
