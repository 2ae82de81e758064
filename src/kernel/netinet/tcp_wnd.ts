/**
 * Sizes that TCP and its congestion control both compute: segments, the initial window, the data in flight.
 *
 * @see tcp_subr.c tcp_maxseg; tcp_input.c tcp_compute_initwnd, tcp_compute_pipe
 */
import {
	TCP_MAXOLEN,
	TCPOLEN_MAXSEG,
	TCPOLEN_SACK,
	TCPOLEN_SACKHDR,
	TCPOLEN_TSTAMP_APPA,
	TCPS_HAVEESTABLISHED,
} from "./tcp.ts";
import {
	TF_NOOPT,
	TF_RCVD_TSTMP,
	TF_REQ_SCALE,
	TF_REQ_TSTMP,
	TF_SACK_PERMIT,
	tcp_sysctl,
	type tcpcb,
} from "./tcp_var.ts";

function PADTCPOLEN(len: number): number {
	return (len + 3) & ~3;
}

/** Payload of a full segment: t_maxseg less the options it carries now. */
export function tcp_maxseg(tp: tcpcb): number {
	if ((tp.t_flags & TF_NOOPT) !== 0) return tp.t_maxseg;
	let optlen: number;
	if (TCPS_HAVEESTABLISHED(tp.t_state)) {
		optlen = (tp.t_flags & TF_RCVD_TSTMP) !== 0 ? TCPOLEN_TSTAMP_APPA : 0;
		if ((tp.t_flags & TF_SACK_PERMIT) !== 0 && tp.rcv_numsacks > 0) {
			optlen = PADTCPOLEN(optlen + TCPOLEN_SACKHDR + tp.rcv_numsacks * TCPOLEN_SACK);
		}
	} else {
		optlen = (tp.t_flags & TF_REQ_TSTMP) !== 0 ? TCPOLEN_TSTAMP_APPA : PADTCPOLEN(TCPOLEN_MAXSEG);
		if ((tp.t_flags & TF_REQ_SCALE) !== 0) optlen += 4;
		if ((tp.t_flags & TF_SACK_PERMIT) !== 0) optlen += 4;
	}
	return tp.t_maxseg - Math.min(optlen, TCP_MAXOLEN);
}

/** The window a connection begins with. */
export function tcp_compute_initwnd(maxseg: number): number {
	const segments = tcp_sysctl().initcwnd_segments;
	if (segments > 0) return Math.min(segments * maxseg, Math.max(2 * maxseg, segments * 1460));
	return Math.min(4 * maxseg, Math.max(2 * maxseg, 4380));
}

/** Bytes in flight as RFC 6675 counts them. */
export function tcp_compute_pipe(tp: tcpcb): number {
	return ((tp.snd_max - tp.snd_una) | 0) + tp.sackhint.sack_bytes_rexmit - tp.sackhint.sacked_bytes;
}

/** Bytes the acknowledgement `ack` takes off. */
export function BYTES_THIS_ACK(tp: tcpcb, ack: number): number {
	return (ack - tp.snd_una) | 0;
}
