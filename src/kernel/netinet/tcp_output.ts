/**
 * tcp_output: decides whether a segment is to be sent, builds it on top of the socket buffer's clusters, and sends it.
 *
 * The pcb is write-locked all the way down, through ip_output and the driver's if_transmit. Data are never copied: a
 * segment shares the clusters of the send buffer.
 *
 * Not modelled: TSO, ECN, urgent data, fast open, MD5 signatures, black hole detection.
 *
 * @see tcp_output.c
 */
import { bcopy } from "../../machine/bcopy.ts";
import {
	EACCES,
	EHOSTDOWN,
	EHOSTUNREACH,
	EMSGSIZE,
	ENETDOWN,
	ENETUNREACH,
	ENOBUFS,
	EPERM,
	type Errno,
} from "../errno.ts";
import {
	CSUM_TCP,
	CSUM_TCP_IPV6,
	int_ref,
	M_NOWAIT,
	MHLEN,
	MT_DATA,
	m_copydata,
	m_copym,
	m_freem,
	m_gethdr,
	max_linkhdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import { SDT_PROBE_DEFINE } from "../probe/probe.ts";
import { KASSERT, panic, ticks } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SB_AUTOSIZE, SO_DONTROUTE, type sockbuf, type socket } from "../socket/socket.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_UNLOCK,
	sbavail,
	sbreserve_locked,
	sbsndptr_adv,
	sbsndptr_noadv,
	sbspace,
	sbused,
} from "../socket/uipc_sockbuf.ts";
import { IPPROTO_TCP, in_put16, in_put32 } from "./in.ts";
import { in_pseudo, in6_cksum_pseudo } from "./in_cksum.ts";
import { INP_IPV6, type inpcb } from "./in_pcb.ts";
import { IP_ROUTETOIF, ip_output } from "./ip_output.ts";
import { ip6_output } from "./ip6_output.ts";
import {
	SEQ_GEQ,
	SEQ_GT,
	SEQ_LT,
	TCP_HDRLEN,
	TCP_MAXOLEN,
	TCP_MAXWIN,
	TCPOLEN_MAXSEG,
	TCPOLEN_SACK,
	TCPOLEN_SACK_PERMITTED,
	TCPOLEN_SACKHDR,
	TCPOLEN_TIMESTAMP,
	TCPOLEN_TSTAMP_APPA,
	TCPOLEN_WINDOW,
	TCPOPT_EOL,
	TCPOPT_MAXSEG,
	TCPOPT_NOP,
	TCPOPT_SACK,
	TCPOPT_SACK_PERMITTED,
	TCPOPT_TIMESTAMP,
	TCPOPT_WINDOW,
	TCPS_HAVEESTABLISHED,
	TCPS_HAVERCVDFIN,
	TCPS_HAVERCVDSYN,
	TCPS_SYN_RECEIVED,
	TH_ACK,
	TH_ACKNO,
	TH_DPORT,
	TH_FIN,
	TH_FLAGS,
	TH_OFF,
	TH_PUSH,
	TH_RST,
	TH_SEQ,
	TH_SPORT,
	TH_SUM,
	TH_SYN,
	TH_URP,
	TH_WIN,
	tcp_outflags,
} from "./tcp.ts";
import { cc_after_idle } from "./tcp_cc.ts";
import { tcp_mss_update, tcp_mssopt } from "./tcp_mss.ts";
import { tcp_clean_dsack_blocks, tcp_sack_adjust, tcp_sack_output } from "./tcp_sack.ts";
import {
	TCP_MAXRXTSHIFT,
	TT_DELACK,
	TT_PERSIST,
	TT_REXMT,
	tcp_backoff,
	tcp_timer_activate,
	tcp_timer_active,
} from "./tcp_timer.ts";
import {
	IN_FASTRECOVERY,
	IN_RECOVERY,
	type sackhole,
	TCPT_RANGE,
	TF_ACKNOW,
	TF_DELACK,
	TF_FORCEDATA,
	TF_LASTIDLE,
	TF_MORETOCOME,
	TF_NEEDFIN,
	TF_NEEDSYN,
	TF_NODELAY,
	TF_NOOPT,
	TF_NOPUSH,
	TF_PREVVALID,
	TF_RCVD_TSTMP,
	TF_REQ_SCALE,
	TF_REQ_TSTMP,
	TF_RXWIN0SENT,
	TF_SACK_PERMIT,
	TF_SENTFIN,
	TOF_MSS,
	TOF_SACK,
	TOF_SACKPERM,
	TOF_SCALE,
	TOF_TS,
	tcp_sysctl,
	tcp_ts_getticks,
	type tcpcb,
	V_tcpstat,
} from "./tcp_var.ts";
import { tcp_maxseg } from "./tcp_wnd.ts";

export const tcp_send = SDT_PROBE_DEFINE<[tp: tcpcb, m: mbuf, seq: number, len: number, flags: number]>(
	"tcp:::send",
	"tp: tcpcb, m: mbuf, seq: number, len: number, flags: number",
);

/** offset within the send buffer's mbuf; used between two plain calls only */
const moff = new int_ref();

/**
 * Automatic sizing of the send buffer: one step when the peer's window is larger than the buffer, the buffer is nearly
 * full, and the window is what lets us send more than is in flight. The buffer is locked.
 */
function tcp_sndbuf_autoscale(tp: tcpcb, sb: sockbuf, sendwin: number): void {
	const settings = tcp_sysctl();
	if (!settings.sendbuf_auto || (sb.sb_flags & SB_AUTOSIZE) === 0) return;
	const used = sbused(sb);
	if (
		Math.floor(tp.snd_wnd / 4) * 5 >= sb.sb_hiwat &&
		used >= Math.floor(sb.sb_hiwat / 8) * 7 &&
		used < settings.sendbuf_max &&
		sendwin >= used - ((tp.snd_nxt - tp.snd_una) | 0)
	) {
		if (!sbreserve_locked(sb, Math.min(sb.sb_hiwat + settings.sendbuf_inc, settings.sendbuf_max))) {
			sb.sb_flags &= ~SB_AUTOSIZE;
		}
	}
}

/**
 * Sender-side silly window avoidance (RFC 1122), Nagle's algorithm, window updates, and what must go out in any case.
 * The send buffer is locked.
 */
function must_send(
	tp: tcpcb,
	so: socket,
	off: number,
	len: number,
	flags: number,
	idle: boolean,
	recwin: number,
	sack_rxmit: boolean,
): boolean {
	const t_flags = tp.t_flags;
	if (len > 0) {
		if (len >= tp.t_maxseg) return true;
		if (((t_flags & TF_RCVD_TSTMP) !== 0 ? TCPOLEN_TSTAMP_APPA : 0) + len >= tp.t_maxseg) return true;
		if (
			(t_flags & TF_MORETOCOME) === 0 &&
			(idle || (t_flags & TF_NODELAY) !== 0) &&
			len + off >= sbavail(so.so_snd) &&
			(t_flags & TF_NOPUSH) === 0
		) {
			return true;
		}
		if ((t_flags & TF_FORCEDATA) !== 0) return true;
		if (len >= tp.max_sndwnd / 2 && tp.max_sndwnd > 0) return true;
		if (SEQ_LT(tp.snd_nxt, tp.snd_max) || sack_rxmit) return true;
	}
	if (recwin > 0 && (t_flags & (TF_NEEDSYN | TF_DELACK)) === 0 && !TCPS_HAVERCVDFIN(tp.t_state)) {
		let adv = recwin;
		let oldwin = 0;
		if (SEQ_GT(tp.rcv_adv, tp.rcv_nxt)) {
			oldwin = (tp.rcv_adv - tp.rcv_nxt) | 0;
			adv = Math.max(adv - oldwin, 0);
		}
		if (oldwin >> tp.rcv_scale < (adv + oldwin) >> tp.rcv_scale) {
			const hiwat = so.so_rcv.sb_hiwat;
			if (
				adv >= 2 * tp.t_maxseg &&
				(adv >= Math.floor(hiwat / 4) ||
					recwin <= Math.floor(hiwat / 8) ||
					hiwat <= 8 * tp.t_maxseg ||
					adv >= TCP_MAXWIN << tp.rcv_scale)
			) {
				return true;
			}
			if (2 * adv >= hiwat) return true;
		}
	}
	if ((t_flags & TF_ACKNOW) !== 0) return true;
	if ((flags & TH_RST) !== 0 || ((flags & TH_SYN) !== 0 && (t_flags & TF_NEEDSYN) === 0)) return true;
	return (flags & TH_FIN) !== 0 && ((t_flags & TF_SENTFIN) === 0 || tp.snd_nxt === tp.snd_una);
}

/** Chooses the options of the segment. @returns their length in t_optbuf */
function output_options(tp: tcpcb, so: socket, flags: number): number {
	const to = tp.t_outopt;
	to.to_flags = 0;
	if ((tp.t_flags & TF_NOOPT) !== 0) return 0;
	const syn = (flags & TH_SYN) !== 0;
	if (syn) {
		to.to_mss = tcp_mssopt(tp.t_inpcb);
		to.to_flags |= TOF_MSS;
		if ((tp.t_flags & TF_REQ_SCALE) !== 0) {
			to.to_wscale = tp.request_r_scale;
			to.to_flags |= TOF_SCALE;
		}
	}
	if ((tp.t_flags & TF_RCVD_TSTMP) !== 0 || (syn && (tp.t_flags & TF_REQ_TSTMP) !== 0)) {
		const curticks = tcp_ts_getticks();
		to.to_tsval = (curticks + tp.ts_offset) | 0;
		to.to_tsecr = tp.ts_recent;
		to.to_flags |= TOF_TS;
		if (tp.t_rxtshift === 1) tp.t_badrxtwin = curticks;
	}
	if (tp.rfbuf_ts === 0 && (so.so_rcv.sb_flags & SB_AUTOSIZE) !== 0) tp.rfbuf_ts = tcp_ts_getticks();
	if ((tp.t_flags & TF_SACK_PERMIT) !== 0) {
		if (syn) to.to_flags |= TOF_SACKPERM;
		else if (TCPS_HAVEESTABLISHED(tp.t_state) && tp.rcv_numsacks > 0) to.to_flags |= TOF_SACK;
	}
	return to.to_flags === 0 ? 0 : tcp_addoptions(tp);
}

/** Writes the options of t_outopt into t_optbuf, in the order that packs them best. @returns their length, padded */
export function tcp_addoptions(tp: tcpcb): number {
	const to = tp.t_outopt;
	const buf = tp.t_optbuf;
	let at = 0;
	if ((to.to_flags & TOF_MSS) !== 0) {
		buf[at] = TCPOPT_MAXSEG;
		buf[at + 1] = TCPOLEN_MAXSEG;
		in_put16(buf, at + 2, to.to_mss);
		at += TCPOLEN_MAXSEG;
	}
	if ((to.to_flags & TOF_SCALE) !== 0) {
		while (at === 0 || at % 2 !== 1) buf[at++] = TCPOPT_NOP;
		buf[at] = TCPOPT_WINDOW;
		buf[at + 1] = TCPOLEN_WINDOW;
		buf[at + 2] = to.to_wscale;
		at += TCPOLEN_WINDOW;
	}
	if ((to.to_flags & TOF_SACKPERM) !== 0) {
		while (at % 2 !== 0) buf[at++] = TCPOPT_NOP;
		buf[at] = TCPOPT_SACK_PERMITTED;
		buf[at + 1] = TCPOLEN_SACK_PERMITTED;
		at += TCPOLEN_SACK_PERMITTED;
	}
	if ((to.to_flags & TOF_TS) !== 0) {
		while (at === 0 || at % 4 !== 2) buf[at++] = TCPOPT_NOP;
		buf[at] = TCPOPT_TIMESTAMP;
		buf[at + 1] = TCPOLEN_TIMESTAMP;
		in_put32(buf, at + 2, to.to_tsval);
		in_put32(buf, at + 6, to.to_tsecr);
		at += TCPOLEN_TIMESTAMP;
	}
	if ((to.to_flags & TOF_SACK) !== 0) {
		while (at === 0 || at % 4 !== 2) buf[at++] = TCPOPT_NOP;
		const room = Math.floor((TCP_MAXOLEN - at - TCPOLEN_SACKHDR) / TCPOLEN_SACK);
		const n = Math.min(tp.rcv_numsacks, room);
		buf[at] = TCPOPT_SACK;
		buf[at + 1] = TCPOLEN_SACKHDR + n * TCPOLEN_SACK;
		at += TCPOLEN_SACKHDR;
		for (let i = 0; i < 2 * n; i++, at += 4) in_put32(buf, at, tp.sackblks[i]);
		V_tcpstat().tcps_sack_send_blocks++;
	}
	if (at % 4 !== 0) {
		buf[at++] = TCPOPT_EOL;
		while (at % 4 !== 0) buf[at++] = 0;
	}
	KASSERT(at <= TCP_MAXOLEN, "tcp_addoptions: TCP options too long");
	return at;
}

/** The header mbuf, followed by a shared copy of the data. The send buffer is locked. @returns null without memory */
function output_mbuf(tp: tcpcb, sb: sockbuf, off: number, len: number, hdrlen: number, fresh: boolean): mbuf | null {
	const m = m_gethdr(M_NOWAIT, MT_DATA);
	if (m === null) return null;
	m.m_data += max_linkhdr;
	m.m_len = hdrlen;
	if (len > 0) {
		const mb = sbsndptr_noadv(sb, off, moff);
		if (len <= MHLEN - hdrlen - max_linkhdr) {
			m_copydata(mb, moff.value, len, m.m_buf, m.m_data + hdrlen);
			m.m_len += len;
		} else {
			m.m_next = m_copym(mb, moff.value, len, M_NOWAIT);
			if (m.m_next === null) {
				m_freem(m);
				return null;
			}
		}
		if (fresh) sbsndptr_adv(sb, mb, moff.value, len);
	}
	m.m_pkthdr.rcvif = null;
	m.m_pkthdr.len = hdrlen + len;
	m.m_pkthdr.fibnum = tp.t_inpcb.inp_fibnum;
	return m;
}

/** Counts the segment as netstat does. */
function output_statistics(tp: tcpcb, len: number, flags: number, sack_rxmit: boolean): void {
	const stat = V_tcpstat();
	if (len > 0) {
		if ((tp.t_flags & TF_FORCEDATA) !== 0 && len === 1) stat.tcps_sndprobe++;
		else if (SEQ_LT(tp.snd_nxt, tp.snd_max) || sack_rxmit) {
			tp.t_sndrexmitpack++;
			stat.tcps_sndrexmitpack++;
			stat.tcps_sndrexmitbyte += len;
		} else {
			stat.tcps_sndpack++;
			stat.tcps_sndbyte += len;
		}
	} else if ((tp.t_flags & TF_ACKNOW) !== 0) stat.tcps_sndacks++;
	else if ((flags & (TH_SYN | TH_FIN | TH_RST)) !== 0) stat.tcps_sndctrl++;
	else stat.tcps_sndwinup++;
}

/** Writes the IP header in front of a segment; what is the same for every packet of the connection. @see tcpip_fillheaders */
export function tcpip_fillheaders(inp: inpcb, buf: Uint8Array, at: number, total: number, df: boolean): void {
	if ((inp.inp_vflag & INP_IPV6) !== 0) {
		in_put32(buf, at, 0x60000000 | (inp.in6p_tclass << 20) | (inp.inp_flow & 0xfffff));
		in_put16(buf, at + 4, total - 40);
		buf[at + 6] = IPPROTO_TCP;
		buf[at + 7] = inp.in6p_hops < 0 ? 64 : inp.in6p_hops;
		buf.set(inp.inp_laddr6, at + 8);
		buf.set(inp.inp_faddr6, at + 24);
		return;
	}
	buf[at] = 0x45;
	buf[at + 1] = inp.inp_ip_tos;
	in_put16(buf, at + 2, total);
	in_put16(buf, at + 4, 0);
	in_put16(buf, at + 6, df ? 0x4000 : 0);
	buf[at + 8] = inp.inp_ip_ttl;
	buf[at + 9] = IPPROTO_TCP;
	in_put16(buf, at + 10, 0);
	in_put32(buf, at + 12, inp.inp_laddr);
	in_put32(buf, at + 16, inp.inp_faddr);
}

/** Puts the sum over the pseudo header into the segment and leaves the rest to the interface, or to ip_output. */
export function tcp_pseudo_cksum(inp: inpcb, m: mbuf, iphlen: number, tcplen: number): void {
	const buf = m.m_buf;
	const at = m.m_data;
	m.m_pkthdr.csum_data = TH_SUM;
	if ((inp.inp_vflag & INP_IPV6) !== 0) {
		m.m_pkthdr.csum_flags = CSUM_TCP_IPV6;
		in_put16(buf, at + iphlen + TH_SUM, in6_cksum_pseudo(buf, at, tcplen, IPPROTO_TCP, 0));
	} else {
		m.m_pkthdr.csum_flags = CSUM_TCP;
		in_put16(buf, at + iphlen + TH_SUM, in_pseudo(inp.inp_laddr, inp.inp_faddr, IPPROTO_TCP + tcplen));
	}
}

function* send_ip(inp: inpcb, so: socket | null, m: mbuf): Blocking<Errno> {
	const flags = so !== null && (so.so_options & SO_DONTROUTE) !== 0 ? IP_ROUTETOIF : 0;
	if ((inp.inp_vflag & INP_IPV6) !== 0) return yield* ip6_output(m, null, inp.inp_route, flags, null, null, inp);
	return yield* ip_output(m, inp.inp_options, inp.inp_route, flags, null, inp);
}

/** Sends what the connection has to send now: nothing, one segment, or as many as the windows allow. */
export function* tcp_output(tp: tcpcb): Blocking<Errno> {
	const inp = tp.t_inpcb;
	const so = inp.inp_socket as socket;
	const sb = so.so_snd;
	const isipv6 = (inp.inp_vflag & INP_IPV6) !== 0;
	const iphlen = isipv6 ? 40 : 20;
	const now = ticks();
	let idle = (tp.t_flags & TF_LASTIDLE) !== 0 || tp.snd_max === tp.snd_una;
	if (idle && (now - tp.t_rcvtime >= tp.t_rxtcur || (tp.t_sndtime !== 0 && now - tp.t_sndtime >= tp.t_rxtcur))) {
		cc_after_idle(tp);
	}
	tp.t_flags &= ~TF_LASTIDLE;
	if (idle && (tp.t_flags & TF_MORETOCOME) !== 0) {
		tp.t_flags |= TF_LASTIDLE;
		idle = false;
	}
	for (;;) {
		if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && SEQ_LT(tp.snd_nxt, tp.snd_max)) tcp_sack_adjust(tp);
		let sendalot = false;
		let off = (tp.snd_nxt - tp.snd_una) | 0;
		let sendwin = Math.min(tp.snd_wnd, tp.snd_cwnd);
		let flags = tcp_outflags[tp.t_state];
		let len = 0;
		let sack_rxmit = false;
		let sack_bytes_rxmt = 0;
		let p: sackhole | null = null;
		if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && IN_FASTRECOVERY(tp)) {
			p = tcp_sack_output(tp);
			sack_bytes_rxmt = tp.sackhint.sack_bytes_rexmit;
			if (p !== null && SEQ_GT(p.end, tp.snd_recover) && SEQ_GEQ(p.rxmit, tp.snd_recover)) p = null;
			if (p !== null) {
				const cwin = Math.max(sendwin - sack_bytes_rxmt, 0);
				const end = SEQ_GT(p.end, tp.snd_recover) ? tp.snd_recover : p.end;
				len = Math.min(cwin, (end - p.rxmit) | 0);
				off = (p.rxmit - tp.snd_una) | 0;
				KASSERT(off >= 0, `tcp_output: sack block to the left of una : ${off}`);
				if (len > 0) {
					sack_rxmit = true;
					sendalot = true;
					V_tcpstat().tcps_sack_rexmits++;
					V_tcpstat().tcps_sack_rexmit_bytes += Math.min(len, tcp_maxseg(tp));
				}
			}
		}
		if ((tp.t_flags & TF_NEEDFIN) !== 0) flags |= TH_FIN;
		if ((tp.t_flags & TF_NEEDSYN) !== 0) flags |= TH_SYN;

		yield* SOCKBUF_LOCK(sb);
		if ((tp.t_flags & TF_FORCEDATA) !== 0) {
			if (sendwin === 0) {
				if (off < sbused(sb)) flags &= ~TH_FIN;
				sendwin = 1;
			} else {
				yield* tcp_timer_activate(tp, TT_PERSIST, 0);
				tp.t_rxtshift = 0;
			}
		}
		if (!sack_rxmit) {
			if (sack_bytes_rxmt === 0) len = Math.min(sbavail(sb), sendwin) - off;
			else {
				// in recovery, and every hole was filled once: new data, as far as the window has room beside them
				len = Math.min(sbavail(sb), tp.snd_wnd) - off;
				if (len > 0) {
					len = Math.min(len, Math.max(tp.snd_cwnd - ((tp.snd_nxt - tp.snd_recover) | 0) - sack_bytes_rxmt, 0));
				}
			}
		}
		if ((flags & TH_SYN) !== 0 && SEQ_GT(tp.snd_nxt, tp.snd_una)) {
			if (tp.t_state !== TCPS_SYN_RECEIVED) flags &= ~TH_SYN;
			off--;
			len++;
		}
		if ((flags & TH_SYN) !== 0) {
			// no data on a SYN: there is no fast open here, and the window is not known
			len = 0;
			flags &= ~TH_FIN;
		}
		if (len <= 0) {
			len = 0;
			if (sendwin === 0 && TCPS_HAVEESTABLISHED(tp.t_state) && off < sbavail(sb)) {
				yield* tcp_timer_activate(tp, TT_REXMT, 0);
				tp.t_rxtshift = 0;
				tp.snd_nxt = tp.snd_una;
				if (!tcp_timer_active(tp, TT_PERSIST)) yield* tcp_setpersist(tp);
			}
		}
		tcp_sndbuf_autoscale(tp, sb, sendwin);
		const from = sack_rxmit ? (p as sackhole).rxmit : tp.snd_nxt;
		if (SEQ_LT((from + len) | 0, (tp.snd_una + sbused(sb)) | 0)) flags &= ~TH_FIN;
		let recwin = Math.min(Math.max(sbspace(so.so_rcv), 0), TCP_MAXWIN << tp.rcv_scale);

		if (!must_send(tp, so, off, len, flags, idle, recwin, sack_rxmit)) {
			const timing = tcp_timer_active(tp, TT_REXMT) || tcp_timer_active(tp, TT_PERSIST);
			if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && SEQ_GT(tp.snd_max, tp.snd_una) && !timing) {
				yield* tcp_timer_activate(tp, TT_REXMT, tp.t_rxtcur);
			} else if (sbavail(sb) > 0 && !timing) {
				tp.t_rxtshift = 0;
				yield* tcp_setpersist(tp);
			}
			yield* SOCKBUF_UNLOCK(sb);
			return 0;
		}

		charge(cost.tcp_output);
		if ((flags & TH_SYN) !== 0) tp.snd_nxt = tp.iss;
		const optlen = output_options(tp, so, flags);
		const hdrlen = iphlen + TCP_HDRLEN + optlen;
		if (len + optlen > tp.t_maxseg) {
			flags &= ~TH_FIN;
			len = tp.t_maxseg - optlen;
			sendalot = true;
		}
		if (len > 0 && off + len === sbused(sb) && (flags & TH_SYN) === 0) flags |= TH_PUSH;
		let error: Errno = 0;
		output_statistics(tp, len, flags, sack_rxmit);
		const m = output_mbuf(tp, sb, off, len, hdrlen, !sack_rxmit && tp.snd_nxt === tp.snd_max);
		yield* SOCKBUF_UNLOCK(sb);
		if (m === null) {
			error = ENOBUFS;
			sack_rxmit = false;
		} else {
			if ((flags & TH_FIN) !== 0 && (tp.t_flags & TF_SENTFIN) !== 0 && tp.snd_nxt === tp.snd_max) {
				tp.snd_nxt = (tp.snd_nxt - 1) | 0;
			}
			let seq: number;
			if (sack_rxmit) {
				const hole = p as sackhole;
				seq = hole.rxmit;
				hole.rxmit = (hole.rxmit + len) | 0;
				tp.sackhint.sack_bytes_rexmit += len;
			} else if (len > 0 || (flags & (TH_SYN | TH_FIN)) !== 0 || tcp_timer_active(tp, TT_PERSIST)) seq = tp.snd_nxt;
			else seq = tp.snd_max;
			if (IN_RECOVERY(tp)) tp.sackhint.prr_out += len;
			recwin = output_header(tp, so, m, iphlen, optlen, len, flags, seq, recwin);
			if (tcp_send.on !== null) tcp_send.on(tp, m, seq, len, flags);
			error = yield* send_ip(inp, so, m);
		}

		const persisting = (tp.t_flags & TF_FORCEDATA) !== 0 && tcp_timer_active(tp, TT_PERSIST);
		if (!persisting) {
			const startseq = tp.snd_nxt;
			if ((flags & TH_SYN) !== 0) tp.snd_nxt = (tp.snd_nxt + 1) | 0;
			if ((flags & TH_FIN) !== 0) {
				tp.snd_nxt = (tp.snd_nxt + 1) | 0;
				tp.t_flags |= TF_SENTFIN;
			}
			if (!sack_rxmit) {
				tp.snd_nxt = (tp.snd_nxt + len) | 0;
				if (SEQ_GT(tp.snd_nxt, tp.snd_max)) {
					tp.snd_max = tp.snd_nxt;
					tp.t_sndtime = now;
					if (tp.t_rtttime === 0) {
						tp.t_rtttime = now;
						tp.t_rtseq = startseq;
						V_tcpstat().tcps_segstimed++;
					}
				}
			}
			if (!tcp_timer_active(tp, TT_REXMT)) {
				if ((sack_rxmit && tp.snd_nxt !== tp.snd_max) || tp.snd_nxt !== tp.snd_una) {
					if (tcp_timer_active(tp, TT_PERSIST)) {
						yield* tcp_timer_activate(tp, TT_PERSIST, 0);
						tp.t_rxtshift = 0;
					}
					yield* tcp_timer_activate(tp, TT_REXMT, tp.t_rxtcur);
				} else if (len === 0 && sbavail(sb) > 0 && !tcp_timer_active(tp, TT_PERSIST)) {
					tp.t_rxtshift = 0;
					yield* tcp_setpersist(tp);
				}
			}
		} else {
			let xlen = len;
			if ((flags & TH_SYN) !== 0) xlen++;
			if ((flags & TH_FIN) !== 0) {
				xlen++;
				tp.t_flags |= TF_SENTFIN;
			}
			if (SEQ_GT((tp.snd_nxt + xlen) | 0, tp.snd_max)) tp.snd_max = (tp.snd_nxt + xlen) | 0;
		}
		if (error === 0 && TCPS_HAVEESTABLISHED(tp.t_state) && tp.rcv_numsacks > 0) tcp_clean_dsack_blocks(tp);
		if (error !== 0) {
			if (!persisting && (flags & TH_SYN) === 0 && error !== EPERM) {
				if (sack_rxmit) {
					const hole = p as sackhole;
					hole.rxmit = (hole.rxmit - len) | 0;
					tp.sackhint.sack_bytes_rexmit -= len;
				} else tp.snd_nxt = (tp.snd_nxt - len) | 0;
			}
			switch (error) {
				case EACCES:
				case EPERM:
					tp.t_softerror = error;
					return error;
				case ENOBUFS:
					tp.snd_cwnd = tp.t_maxseg;
					return 0;
				case EMSGSIZE: {
					const before = tp.t_maxseg;
					tcp_mss_update(tp, -1, -1);
					if (tp.t_maxseg < before) continue;
					return error;
				}
				case EHOSTDOWN:
				case EHOSTUNREACH:
				case ENETDOWN:
				case ENETUNREACH:
					if (TCPS_HAVERCVDSYN(tp.t_state)) {
						tp.t_softerror = error;
						return 0;
					}
					return error;
				default:
					return error;
			}
		}
		V_tcpstat().tcps_sndtotal++;
		if (SEQ_GT((tp.rcv_nxt + recwin) | 0, tp.rcv_adv)) tp.rcv_adv = (tp.rcv_nxt + recwin) | 0;
		tp.last_ack_sent = tp.rcv_nxt;
		tp.t_flags &= ~(TF_ACKNOW | TF_DELACK);
		if (tcp_timer_active(tp, TT_DELACK)) yield* tcp_timer_activate(tp, TT_DELACK, 0);
		if (!sendalot) return 0;
	}
}

/** Fills in IP and TCP header. @returns the window it advertises, bytes */
function output_header(
	tp: tcpcb,
	so: socket,
	m: mbuf,
	iphlen: number,
	optlen: number,
	len: number,
	flags: number,
	seq: number,
	recwin: number,
): number {
	const inp = tp.t_inpcb;
	const buf = m.m_buf;
	const at = m.m_data;
	const th = at + iphlen;
	const settings = tcp_sysctl();
	tcpip_fillheaders(
		inp,
		buf,
		at,
		iphlen + TCP_HDRLEN + optlen + len,
		settings.path_mtu_discovery && tp.t_maxseg > settings.minmss,
	);
	in_put16(buf, th + TH_SPORT, inp.inp_lport);
	in_put16(buf, th + TH_DPORT, inp.inp_fport);
	in_put32(buf, th + TH_SEQ, seq);
	in_put32(buf, th + TH_ACKNO, (flags & TH_ACK) !== 0 ? tp.rcv_nxt : 0);
	buf[th + TH_OFF] = ((TCP_HDRLEN + optlen) >> 2) << 4;
	buf[th + TH_FLAGS] = flags;
	if ((flags & TH_RST) !== 0) recwin = 0;
	else {
		if (recwin < Math.floor(so.so_rcv.sb_hiwat / 4) && recwin < tp.t_maxseg) recwin = 0;
		const advertised = (tp.rcv_adv - tp.rcv_nxt) | 0;
		if (advertised > 0 && recwin < advertised) recwin = advertised;
	}
	let win: number;
	if ((flags & TH_SYN) !== 0) win = Math.max(0, Math.min(sbspace(so.so_rcv), TCP_MAXWIN));
	else {
		const unit = 1 << tp.rcv_scale;
		recwin = (recwin + unit - 1) & ~(unit - 1);
		win = Math.min(recwin >> tp.rcv_scale, TCP_MAXWIN);
	}
	in_put16(buf, th + TH_WIN, win);
	if (win === 0) {
		tp.t_sndzerowin++;
		tp.t_flags |= TF_RXWIN0SENT;
	} else tp.t_flags &= ~TF_RXWIN0SENT;
	in_put16(buf, th + TH_URP, 0);
	tp.snd_up = tp.snd_una;
	const options = tp.t_optbuf;
	const optat = th + TCP_HDRLEN;
	bcopy(options, 0, buf, optat, optlen);
	tcp_pseudo_cksum(inp, m, iphlen, TCP_HDRLEN + optlen + len);
	return recwin;
}

/** Arms the persist timer, longer each time. */
export function* tcp_setpersist(tp: tcpcb): Blocking<void> {
	const t = ((tp.t_srtt >> 2) + tp.t_rttvar) >> 1;
	tp.t_flags &= ~TF_PREVVALID;
	if (tcp_timer_active(tp, TT_REXMT)) panic("tcp_setpersist: retransmit pending");
	const settings = tcp_sysctl();
	const tt = TCPT_RANGE(t * tcp_backoff[tp.t_rxtshift], settings.persmin, settings.persmax);
	yield* tcp_timer_activate(tp, TT_PERSIST, tt);
	if (tp.t_rxtshift < TCP_MAXRXTSHIFT) tp.t_rxtshift++;
}
