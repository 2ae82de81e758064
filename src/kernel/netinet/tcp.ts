/**
 * TCP's header, options, states and socket options: the numbers other programs and traces know it by.
 *
 * @see netinet/tcp.h, netinet/tcp_fsm.h, netinet/tcp_seq.h
 */

/** a TCP header without options, bytes */
export const TCP_HDRLEN = 20;
export const TCP_MAXOLEN = 40;
/** largest window without scaling */
export const TCP_MAXWIN = 65535;
export const TCP_MAX_WINSHIFT = 14;

// offsets in the header
export const TH_SPORT = 0;
export const TH_DPORT = 2;
export const TH_SEQ = 4;
export const TH_ACKNO = 8;
/** data offset in the upper four bits */
export const TH_OFF = 12;
export const TH_FLAGS = 13;
export const TH_WIN = 14;
export const TH_SUM = 16;
export const TH_URP = 18;

export const TH_FIN = 0x01;
export const TH_SYN = 0x02;
export const TH_RST = 0x04;
export const TH_PUSH = 0x08;
export const TH_ACK = 0x10;
export const TH_URG = 0x20;
export const TH_ECE = 0x40;
export const TH_CWR = 0x80;

export const TCPOPT_EOL = 0;
export const TCPOPT_NOP = 1;
export const TCPOPT_MAXSEG = 2;
export const TCPOLEN_MAXSEG = 4;
export const TCPOPT_WINDOW = 3;
export const TCPOLEN_WINDOW = 3;
export const TCPOPT_SACK_PERMITTED = 4;
export const TCPOLEN_SACK_PERMITTED = 2;
export const TCPOPT_SACK = 5;
export const TCPOLEN_SACKHDR = 2;
export const TCPOLEN_SACK = 8;
export const TCPOPT_TIMESTAMP = 8;
export const TCPOLEN_TIMESTAMP = 10;
export const TCPOLEN_TSTAMP_APPA = 12;

// socket options of level IPPROTO_TCP
export const TCP_NODELAY = 1;
export const TCP_MAXSEG = 2;
export const TCP_NOPUSH = 4;
export const TCP_NOOPT = 8;
export const TCP_INFO = 32;
export const TCP_CONGESTION = 64;

export const TCPS_CLOSED = 0;
export const TCPS_LISTEN = 1;
export const TCPS_SYN_SENT = 2;
export const TCPS_SYN_RECEIVED = 3;
export const TCPS_ESTABLISHED = 4;
export const TCPS_CLOSE_WAIT = 5;
export const TCPS_FIN_WAIT_1 = 6;
export const TCPS_CLOSING = 7;
export const TCPS_LAST_ACK = 8;
export const TCPS_FIN_WAIT_2 = 9;
export const TCPS_TIME_WAIT = 10;

export const tcpstates: readonly string[] = [
	"CLOSED",
	"LISTEN",
	"SYN_SENT",
	"SYN_RCVD",
	"ESTABLISHED",
	"CLOSE_WAIT",
	"FIN_WAIT_1",
	"CLOSING",
	"LAST_ACK",
	"FIN_WAIT_2",
	"TIME_WAIT",
];

/** Flags a segment of each state carries. */
export const tcp_outflags: readonly number[] = [
	TH_RST | TH_ACK,
	0,
	TH_SYN,
	TH_SYN | TH_ACK,
	TH_ACK,
	TH_ACK,
	TH_FIN | TH_ACK,
	TH_FIN | TH_ACK,
	TH_FIN | TH_ACK,
	TH_ACK,
	TH_ACK,
];

export function TCPS_HAVERCVDSYN(s: number): boolean {
	return s >= TCPS_SYN_RECEIVED;
}

export function TCPS_HAVEESTABLISHED(s: number): boolean {
	return s >= TCPS_ESTABLISHED;
}

export function TCPS_HAVERCVDFIN(s: number): boolean {
	return s === TCPS_CLOSE_WAIT || (s >= TCPS_CLOSING && s !== TCPS_FIN_WAIT_2);
}

// Sequence numbers are kept as signed 32-bit integers (`| 0`): their differences come out right, and V8 boxes none of them.

export function SEQ_LT(a: number, b: number): boolean {
	return ((a - b) | 0) < 0;
}
export function SEQ_LEQ(a: number, b: number): boolean {
	return ((a - b) | 0) <= 0;
}
export function SEQ_GT(a: number, b: number): boolean {
	return ((a - b) | 0) > 0;
}
export function SEQ_GEQ(a: number, b: number): boolean {
	return ((a - b) | 0) >= 0;
}
export function SEQ_MIN(a: number, b: number): number {
	return SEQ_LT(a, b) ? a : b;
}
export function SEQ_MAX(a: number, b: number): number {
	return SEQ_GT(a, b) ? a : b;
}
/** a - b as a signed distance */
export function SEQ_SUB(a: number, b: number): number {
	return (a - b) | 0;
}
export const TSTMP_LT = SEQ_LT;
export const TSTMP_GT = SEQ_GT;
export const TSTMP_GEQ = SEQ_GEQ;
