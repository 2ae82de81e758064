/**
 * Socket options of level SOL_SOCKET; those of other levels go to the protocol.
 *
 * @see uipc_socket.c sosetopt, sogetopt; uipc_sockbuf.c sbsetopt
 */
import { EDOM, EINVAL, ENOBUFS, ENOPROTOOPT, type Errno } from "../errno.ts";
import { AF_INET, AF_INET6 } from "../netinet/in.ts";
import { rt_numfibs } from "../route/route.ts";
import { CURVNET_RESTORE, CURVNET_SET } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import {
	SB_AUTOSIZE,
	SO_ACCEPTCONN,
	SO_BROADCAST,
	SO_DEBUG,
	SO_DOMAIN,
	SO_DONTROUTE,
	SO_ERROR,
	SO_KEEPALIVE,
	SO_LINGER,
	SO_LISTENINCQLEN,
	SO_LISTENQLEN,
	SO_LISTENQLIMIT,
	SO_NOSIGPIPE,
	SO_OOBINLINE,
	SO_PROTOCOL,
	SO_RCVBUF,
	SO_RCVLOWAT,
	SO_RCVTIMEO,
	SO_REUSEADDR,
	SO_REUSEPORT,
	SO_REUSEPORT_LB,
	SO_SETFIB,
	SO_SNDBUF,
	SO_SNDLOWAT,
	SO_SNDTIMEO,
	SO_TIMESTAMP,
	SO_TYPE,
	SO_USELOOPBACK,
	SO_USER_COOKIE,
	SOL_SOCKET,
	SOLISTENING,
	type socket,
} from "./socket.ts";
import { type sockopt, sooptcopyin, sooptcopyin_int, sooptcopyout } from "./sockopt.ts";
import { SOCKBUF_LOCK, SOCKBUF_UNLOCK, sb_max_adj, sbreserve_locked } from "./uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK } from "./uipc_socket.ts";

export interface linger {
	l_onoff: number;
	l_linger: number;
}

/** Sets a buffer's size or low-water mark; setting the size ends its automatic sizing. */
export function* sbsetopt(so: socket, cmd: number, cc: number): Blocking<Errno> {
	const send = cmd === SO_SNDBUF || cmd === SO_SNDLOWAT;
	const size = cmd === SO_SNDBUF || cmd === SO_RCVBUF;
	let error: Errno = 0;
	yield* SOCK_LOCK(so);
	if (SOLISTENING(so)) {
		if (size && cc > sb_max_adj) error = ENOBUFS;
		else if (send) {
			if (size) {
				so.sol_sbsnd_hiwat = cc;
				so.sol_sbsnd_flags &= ~SB_AUTOSIZE;
			}
			so.sol_sbsnd_lowat = Math.min(size ? so.sol_sbsnd_lowat : cc, so.sol_sbsnd_hiwat);
		} else {
			if (size) {
				so.sol_sbrcv_hiwat = cc;
				so.sol_sbrcv_flags &= ~SB_AUTOSIZE;
			}
			so.sol_sbrcv_lowat = Math.min(size ? so.sol_sbrcv_lowat : cc, so.sol_sbrcv_hiwat);
		}
	} else {
		const sb = send ? so.so_snd : so.so_rcv;
		yield* SOCKBUF_LOCK(sb);
		if (!size) sb.sb_lowat = Math.min(cc, sb.sb_hiwat);
		else if (sbreserve_locked(sb, cc)) sb.sb_flags &= ~SB_AUTOSIZE;
		else error = ENOBUFS;
		yield* SOCKBUF_UNLOCK(sb);
	}
	yield* SOCK_UNLOCK(so);
	return error;
}

function* set_flag(so: socket, flag: number, on: boolean): Blocking<void> {
	yield* SOCK_LOCK(so);
	if (on) so.so_options |= flag;
	else so.so_options &= ~flag;
	yield* SOCK_UNLOCK(so);
}

function* set_socket_option(so: socket, sopt: sockopt): Blocking<Errno> {
	if (sopt.sopt_name === SO_LINGER) {
		const l = sooptcopyin<linger>(sopt);
		if (l === null) return EINVAL;
		if (l.l_linger < 0 || l.l_linger > 65535) return EDOM;
		so.so_linger = l.l_linger;
		yield* set_flag(so, SO_LINGER, l.l_onoff !== 0);
		return 0;
	}
	const optval = sooptcopyin_int(sopt);
	if (optval === null) return EINVAL;
	switch (sopt.sopt_name) {
		case SO_DEBUG:
		case SO_KEEPALIVE:
		case SO_DONTROUTE:
		case SO_USELOOPBACK:
		case SO_BROADCAST:
		case SO_REUSEADDR:
		case SO_REUSEPORT:
		case SO_REUSEPORT_LB:
		case SO_OOBINLINE:
		case SO_TIMESTAMP:
		case SO_NOSIGPIPE:
			yield* set_flag(so, sopt.sopt_name, optval !== 0);
			return 0;
		case SO_SETFIB: {
			if (optval < 0 || optval >= rt_numfibs()) return EINVAL;
			const family = so.so_proto.pr_domain;
			so.so_fibnum = family === AF_INET || family === AF_INET6 ? optval : 0;
			return 0;
		}
		case SO_USER_COOKIE:
			so.so_user_cookie = optval >>> 0;
			return 0;
		case SO_SNDBUF:
		case SO_RCVBUF:
		case SO_SNDLOWAT:
		case SO_RCVLOWAT:
			return optval < 1 ? EINVAL : yield* sbsetopt(so, sopt.sopt_name, optval);
		case SO_SNDTIMEO:
		case SO_RCVTIMEO:
			if (optval < 0) return EDOM;
			if (sopt.sopt_name === SO_SNDTIMEO) so.so_snd.sb_timeo = optval;
			else so.so_rcv.sb_timeo = optval;
			return 0;
		default:
			return ENOPROTOOPT;
	}
}

/** Sets an option. Times are in ns here, where C has a struct timeval. */
export function* sosetopt(so: socket, sopt: sockopt): Blocking<Errno> {
	const saved = CURVNET_SET(so.so_vnet);
	const ctloutput = so.so_proto.pr_ctloutput;
	let error: Errno;
	charge(cost.sosetopt);
	if (sopt.sopt_level !== SOL_SOCKET) error = ctloutput === null ? ENOPROTOOPT : yield* ctloutput(so, sopt);
	else {
		error = yield* set_socket_option(so, sopt);
		// a protocol may want to know, to copy the option into its control block
		if (error === 0 && ctloutput !== null) yield* ctloutput(so, sopt);
	}
	CURVNET_RESTORE(saved);
	return error;
}

function* get_socket_option(so: socket, sopt: sockopt): Blocking<Errno> {
	const listening = SOLISTENING(so);
	switch (sopt.sopt_name) {
		case SO_LINGER: {
			const l: linger = { l_onoff: so.so_options & SO_LINGER, l_linger: so.so_linger };
			return sooptcopyout(sopt, l);
		}
		case SO_DEBUG:
		case SO_KEEPALIVE:
		case SO_DONTROUTE:
		case SO_USELOOPBACK:
		case SO_BROADCAST:
		case SO_REUSEADDR:
		case SO_REUSEPORT:
		case SO_REUSEPORT_LB:
		case SO_OOBINLINE:
		case SO_TIMESTAMP:
		case SO_NOSIGPIPE:
		case SO_ACCEPTCONN:
			return sooptcopyout(sopt, so.so_options & sopt.sopt_name);
		case SO_DOMAIN:
			return sooptcopyout(sopt, so.so_proto.pr_domain);
		case SO_TYPE:
			return sooptcopyout(sopt, so.so_type);
		case SO_PROTOCOL:
			return sooptcopyout(sopt, so.so_proto.pr_protocol);
		case SO_ERROR: {
			yield* SOCK_LOCK(so);
			const error = so.so_error;
			so.so_error = 0;
			yield* SOCK_UNLOCK(so);
			return sooptcopyout(sopt, error);
		}
		case SO_SNDBUF:
			return sooptcopyout(sopt, listening ? so.sol_sbsnd_hiwat : so.so_snd.sb_hiwat);
		case SO_RCVBUF:
			return sooptcopyout(sopt, listening ? so.sol_sbrcv_hiwat : so.so_rcv.sb_hiwat);
		case SO_SNDLOWAT:
			return sooptcopyout(sopt, listening ? so.sol_sbsnd_lowat : so.so_snd.sb_lowat);
		case SO_RCVLOWAT:
			return sooptcopyout(sopt, listening ? so.sol_sbrcv_lowat : so.so_rcv.sb_lowat);
		case SO_SNDTIMEO:
			return sooptcopyout(sopt, so.so_snd.sb_timeo);
		case SO_RCVTIMEO:
			return sooptcopyout(sopt, so.so_rcv.sb_timeo);
		case SO_USER_COOKIE:
			return sooptcopyout(sopt, so.so_user_cookie);
		case SO_LISTENQLIMIT:
			return sooptcopyout(sopt, listening ? so.sol_qlimit : 0);
		case SO_LISTENQLEN:
			return sooptcopyout(sopt, listening ? so.sol_qlen : 0);
		case SO_LISTENINCQLEN:
			return sooptcopyout(sopt, listening ? so.sol_incqlen : 0);
		default:
			return ENOPROTOOPT;
	}
}

/** Reads an option into sopt_val. */
export function* sogetopt(so: socket, sopt: sockopt): Blocking<Errno> {
	const saved = CURVNET_SET(so.so_vnet);
	const ctloutput = so.so_proto.pr_ctloutput;
	let error: Errno;
	charge(cost.sosetopt);
	if (sopt.sopt_level === SOL_SOCKET) error = yield* get_socket_option(so, sopt);
	else error = ctloutput === null ? ENOPROTOOPT : yield* ctloutput(so, sopt);
	CURVNET_RESTORE(saved);
	return error;
}
