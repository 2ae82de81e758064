/**
 * The reassembly queue: segments that came before their turn, in order of sequence, without overlaps.
 *
 * FreeBSD merges neighbours into long runs of mbufs; here each queued segment stays an entry of its own, which costs a
 * longer walk and changes neither what is accepted nor what is reported. Limits on the queue are FreeBSD's.
 *
 * @see tcp_reass.c
 */
import { M_NOWAIT, m_adj, m_freem, type mbuf, uma_zalloc, uma_zfree } from "../mbuf/mbuf.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import { SBS_CANTRCVMORE, type socket } from "../socket/socket.ts";
import { SOCKBUF_LOCK, SOCKBUF_UNLOCK, sbappendstream_locked, sbspace } from "../socket/uipc_sockbuf.ts";
import { SEQ_GT, TCPS_HAVEESTABLISHED, TH_FIN } from "./tcp.ts";
import { TF_WAKESOR, tcp_reass_zone, type tcpcb, type tseg_qent, V_tcpstat } from "./tcp_var.ts";

/** net.inet.tcp.reass.maxqueuelen */
const tcp_reass_maxqueuelen = 100;

function entry_free(tp: tcpcb, te: tseg_qent): void {
	tp.t_segqlen--;
	tp.t_segqmbuflen -= te.tqe_len;
	te.tqe_m = null;
	te.tqe_next = null;
	uma_zfree(tcp_reass_zone(), te);
}

/** Throws the queue away. */
export function tcp_reass_flush(tp: tcpcb): void {
	let te = tp.t_segq;
	while (te !== null) {
		const next = te.tqe_next;
		m_freem(te.tqe_m);
		entry_free(tp, te);
		te = next;
	}
	tp.t_segq = null;
}

/** How much of the segment was new, after tcp_reass: what the caller reports by SACK. */
export class reass_result {
	tlen = 0;
	/** TH_FIN if the data now in order end with a FIN */
	flags = 0;
}

/**
 * Queues the segment `m` of `tlen` bytes at `th_seq`, cut to what is not queued yet, then gives what has become
 * in order to the socket. With `m` null it only does the latter.
 */
export function* tcp_reass(
	tp: tcpcb,
	th_seq: number,
	th_flags: number,
	tlen: number,
	m: mbuf | null,
	result: reass_result,
): Blocking<void> {
	const so = tp.t_inpcb.inp_socket as socket;
	result.flags = 0;
	result.tlen = tlen;
	charge(cost.tcp_reass);
	if (m !== null) {
		const limit = tp.t_segqlen >= tcp_reass_maxqueuelen || tlen + tp.t_segqmbuflen >= sbspace(so.so_rcv);
		if (th_seq !== tp.rcv_nxt && limit) {
			V_tcpstat().tcps_rcvmemdrop++;
			m_freem(m);
			result.tlen = 0;
			return;
		}
		insert(tp, th_seq, th_flags, tlen, m, result);
	}
	yield* present(tp, so, result);
}

function insert(tp: tcpcb, seq: number, flags: number, len: number, m: mbuf, result: reass_result): void {
	let prev: tseg_qent | null = null;
	let at = tp.t_segq;
	while (at !== null && !SEQ_GT(at.tqe_start, seq)) {
		prev = at;
		at = at.tqe_next;
	}
	let start = seq;
	if (prev !== null) {
		const overlap = (prev.tqe_start + prev.tqe_len - seq) | 0;
		if (overlap > 0) {
			if (overlap >= len) {
				V_tcpstat().tcps_rcvduppack++;
				V_tcpstat().tcps_rcvdupbyte += len;
				m_freem(m);
				result.tlen = 0;
				return;
			}
			m_adj(m, overlap);
			len -= overlap;
			start = (start + overlap) | 0;
		}
	}
	tp.t_rcvoopack++;
	V_tcpstat().tcps_rcvoopack++;
	V_tcpstat().tcps_rcvoobyte += len;
	while (at !== null) {
		const overlap = (start + len - at.tqe_start) | 0;
		if (overlap <= 0) break;
		if (overlap < at.tqe_len) {
			m_adj(at.tqe_m, overlap);
			at.tqe_start = (at.tqe_start + overlap) | 0;
			at.tqe_len -= overlap;
			tp.t_segqmbuflen -= overlap;
			break;
		}
		const next: tseg_qent | null = at.tqe_next;
		flags |= at.tqe_flags & TH_FIN;
		m_freem(at.tqe_m);
		entry_free(tp, at);
		at = next;
	}
	const te = uma_zalloc(tcp_reass_zone(), M_NOWAIT);
	if (te === null) {
		V_tcpstat().tcps_rcvmemdrop++;
		m_freem(m);
		result.tlen = 0;
		if (prev === null) tp.t_segq = at;
		else prev.tqe_next = at;
		return;
	}
	te.tqe_m = m;
	te.tqe_start = start;
	te.tqe_len = len;
	te.tqe_flags = flags & TH_FIN;
	te.tqe_next = at;
	if (prev === null) tp.t_segq = te;
	else prev.tqe_next = te;
	tp.t_segqlen++;
	tp.t_segqmbuflen += len;
	result.tlen = len;
}

function* present(tp: tcpcb, so: socket, result: reass_result): Blocking<void> {
	if (!TCPS_HAVEESTABLISHED(tp.t_state)) return;
	let te = tp.t_segq;
	if (te === null || te.tqe_start !== tp.rcv_nxt) return;
	yield* SOCKBUF_LOCK(so.so_rcv);
	while (te !== null && te.tqe_start === tp.rcv_nxt) {
		tp.rcv_nxt = (tp.rcv_nxt + te.tqe_len) | 0;
		result.flags = te.tqe_flags & TH_FIN;
		tp.t_segq = te.tqe_next;
		if ((so.so_rcv.sb_state & SBS_CANTRCVMORE) !== 0 || te.tqe_len === 0) m_freem(te.tqe_m);
		else sbappendstream_locked(so.so_rcv, te.tqe_m as mbuf);
		entry_free(tp, te);
		te = tp.t_segq;
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	tp.t_flags |= TF_WAKESOR;
}
