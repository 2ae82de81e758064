/**
 * Socket options of level IPPROTO_TCP.
 *
 * @see tcp_usrreq.c tcp_ctloutput, tcp_fill_info
 */
import { ECONNRESET, EINVAL, ENOENT, ENOPROTOOPT, type Errno } from "../errno.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { hz } from "../sched/kernel.ts";
import type { Blocking } from "../sched/thread.ts";
import type { socket } from "../socket/socket.ts";
import { SOPT_GET, type sockopt, sooptcopyin_int, sooptcopyout } from "../socket/sockopt.ts";
import { sbspace } from "../socket/uipc_sockbuf.ts";
import { cc_find } from "./cc/cc.ts";
import { IPPROTO_TCP } from "./in.ts";
import { INP_DROPPED, INP_IPV6PROTO, INP_WLOCK, INP_WUNLOCK, sotoinpcb } from "./in_pcb.ts";
import { ip_ctloutput } from "./ip_ctloutput.ts";
import { ip6_ctloutput } from "./ip6_ctloutput.ts";
import { TCP_CONGESTION, TCP_INFO, TCP_MAXSEG, TCP_NODELAY, TCP_NOOPT, TCP_NOPUSH, TCPS_ESTABLISHED } from "./tcp.ts";
import { tcp_output } from "./tcp_output.ts";
import {
	intotcpcb,
	TCP_RTT_SHIFT,
	TCP_RTTVAR_SHIFT,
	TF_NODELAY,
	TF_NOOPT,
	TF_NOPUSH,
	tcp_sysctl,
	type tcpcb,
} from "./tcp_var.ts";

/** What getsockopt(TCP_INFO) tells; times in microseconds. @see netinet/tcp.h struct tcp_info */
export interface tcp_info {
	readonly tcpi_state: number;
	readonly tcpi_snd_wscale: number;
	readonly tcpi_rcv_wscale: number;
	readonly tcpi_rto: number;
	readonly tcpi_rtt: number;
	readonly tcpi_rttvar: number;
	readonly tcpi_snd_mss: number;
	readonly tcpi_snd_ssthresh: number;
	readonly tcpi_snd_cwnd: number;
	readonly tcpi_snd_wnd: number;
	readonly tcpi_rcv_space: number;
	readonly tcpi_snd_rexmitpack: number;
	readonly tcpi_rcv_ooopack: number;
	readonly tcpi_snd_zerowin: number;
}

function tcp_fill_info(tp: tcpcb, so: socket): tcp_info {
	const tick_us = 1_000_000 / hz();
	return {
		tcpi_state: tp.t_state,
		tcpi_snd_wscale: tp.snd_scale,
		tcpi_rcv_wscale: tp.rcv_scale,
		tcpi_rto: Math.floor(tp.t_rxtcur * tick_us),
		tcpi_rtt: Math.floor((tp.t_srtt * tick_us) / (1 << TCP_RTT_SHIFT)),
		tcpi_rttvar: Math.floor((tp.t_rttvar * tick_us) / (1 << TCP_RTTVAR_SHIFT)),
		tcpi_snd_mss: tp.t_maxseg,
		tcpi_snd_ssthresh: tp.snd_ssthresh,
		tcpi_snd_cwnd: tp.snd_cwnd,
		tcpi_snd_wnd: tp.snd_wnd,
		tcpi_rcv_space: sbspace(so.so_rcv),
		tcpi_snd_rexmitpack: tp.t_sndrexmitpack,
		tcpi_rcv_ooopack: tp.t_rcvoopack,
		tcpi_snd_zerowin: tp.t_sndzerowin,
	};
}

function set_flag(tp: tcpcb, flag: number, on: boolean): void {
	if (on) tp.t_flags |= flag;
	else tp.t_flags &= ~flag;
}

function* tcp_setopt(tp: tcpcb, sopt: sockopt): Blocking<Errno> {
	if (sopt.sopt_name === TCP_CONGESTION) {
		const algo = typeof sopt.sopt_val === "string" ? cc_find(sopt.sopt_val) : null;
		if (algo === null) return ENOENT;
		if (algo !== tp.cc_algo) {
			tp.cc_algo = algo;
			algo.cb_init(tp);
			if (tp.t_state >= TCPS_ESTABLISHED) algo.conn_init(tp);
		}
		return 0;
	}
	const optval = sooptcopyin_int(sopt);
	if (optval === null) return EINVAL;
	switch (sopt.sopt_name) {
		case TCP_NODELAY:
			set_flag(tp, TF_NODELAY, optval !== 0);
			return 0;
		case TCP_NOOPT:
			set_flag(tp, TF_NOOPT, optval !== 0);
			return 0;
		case TCP_NOPUSH:
			set_flag(tp, TF_NOPUSH, optval !== 0);
			if (optval === 0 && tp.t_state >= TCPS_ESTABLISHED) {
				NET_EPOCH_ENTER();
				yield* tcp_output(tp);
				NET_EPOCH_EXIT();
			}
			return 0;
		case TCP_MAXSEG:
			if (optval <= 0 || optval > tp.t_maxseg || optval + 40 < tcp_sysctl().minmss) return EINVAL;
			tp.t_maxseg = optval;
			return 0;
		default:
			return ENOPROTOOPT;
	}
}

function tcp_getopt(tp: tcpcb, so: socket, sopt: sockopt): Errno {
	switch (sopt.sopt_name) {
		case TCP_NODELAY:
			return sooptcopyout(sopt, tp.t_flags & TF_NODELAY);
		case TCP_NOOPT:
			return sooptcopyout(sopt, tp.t_flags & TF_NOOPT);
		case TCP_NOPUSH:
			return sooptcopyout(sopt, tp.t_flags & TF_NOPUSH);
		case TCP_MAXSEG:
			return sooptcopyout(sopt, tp.t_maxseg);
		case TCP_CONGESTION:
			return sooptcopyout(sopt, tp.cc_algo.name);
		case TCP_INFO:
			return sooptcopyout(sopt, tcp_fill_info(tp, so));
		default:
			return ENOPROTOOPT;
	}
}

export function* tcp_ctloutput(so: socket, sopt: sockopt): Blocking<Errno> {
	const inp = sotoinpcb(so);
	if (sopt.sopt_level !== IPPROTO_TCP) {
		if ((inp.inp_vflag & INP_IPV6PROTO) !== 0) return yield* ip6_ctloutput(so, sopt);
		return yield* ip_ctloutput(so, sopt);
	}
	yield* INP_WLOCK(inp);
	let error: Errno = ECONNRESET;
	if ((inp.inp_flags & INP_DROPPED) === 0) {
		const tp = intotcpcb(inp);
		error = sopt.sopt_dir === SOPT_GET ? tcp_getopt(tp, so, sopt) : yield* tcp_setopt(tp, sopt);
	}
	yield* INP_WUNLOCK(inp);
	return error;
}
