/**
 * TCP's control block and its settings.
 *
 * @see netinet/tcp_var.h, netinet/tcp_timer.h; kernel.md section 16 for the defaults
 */
import { Words } from "../../machine/words.ts";
import { callout } from "../callout/callout.ts";
import type { Errno } from "../errno.ts";
import { type mbuf, UMA_ALIGN_PTR, uma_zcreate } from "../mbuf/mbuf.ts";
import { getsbinuptime, hz, KERNEL_GLOBAL, TUNABLE_FETCH, VNET_DEFINE, type vnet } from "../sched/kernel.ts";
import type { cc_algo } from "./cc/cc.ts";
import { cc_var } from "./cc/cc.ts";
import { in_pcbinfo_init, type inpcb } from "./in_pcb.ts";
import { TCPS_CLOSED } from "./tcp.ts";

// t_flags
export const TF_ACKNOW = 0x00000001;
export const TF_DELACK = 0x00000002;
export const TF_NODELAY = 0x00000004;
export const TF_NOOPT = 0x00000008;
export const TF_SENTFIN = 0x00000010;
export const TF_REQ_SCALE = 0x00000020;
export const TF_RCVD_SCALE = 0x00000040;
export const TF_REQ_TSTMP = 0x00000080;
export const TF_RCVD_TSTMP = 0x00000100;
export const TF_SACK_PERMIT = 0x00000200;
export const TF_NEEDSYN = 0x00000400;
export const TF_NEEDFIN = 0x00000800;
export const TF_NOPUSH = 0x00001000;
export const TF_PREVVALID = 0x00002000;
export const TF_WAKESOR = 0x00004000;
export const TF_MORETOCOME = 0x00010000;
export const TF_LASTIDLE = 0x00040000;
export const TF_RXWIN0SENT = 0x00080000;
export const TF_FASTRECOVERY = 0x00100000;
export const TF_WASFRECOVERY = 0x00200000;
export const TF_FORCEDATA = 0x00800000;
export const TF_WAKESOW = 0x02000000;
export const TF_CONGRECOVERY = 0x10000000;
export const TF_WASCRECOVERY = 0x20000000;
const TF_RECOVERY = TF_FASTRECOVERY | TF_CONGRECOVERY;

export function IN_FASTRECOVERY(tp: tcpcb): boolean {
	return (tp.t_flags & TF_FASTRECOVERY) !== 0;
}
export function IN_CONGRECOVERY(tp: tcpcb): boolean {
	return (tp.t_flags & TF_CONGRECOVERY) !== 0;
}
export function IN_RECOVERY(tp: tcpcb): boolean {
	return (tp.t_flags & TF_RECOVERY) !== 0;
}
export function ENTER_RECOVERY(tp: tcpcb): void {
	tp.t_flags |= TF_RECOVERY;
}
export function EXIT_RECOVERY(tp: tcpcb): void {
	tp.t_flags &= ~TF_RECOVERY;
}

// to_flags
export const TOF_MSS = 0x0001;
export const TOF_SCALE = 0x0002;
export const TOF_SACKPERM = 0x0004;
export const TOF_TS = 0x0010;
export const TOF_SACK = 0x0080;
/** parse for a SYN: options only a SYN may have count */
export const TO_SYN = 0x01;

export const TCP_RTT_SHIFT = 5;
export const TCP_RTT_SCALE = 32;
export const TCP_RTTVAR_SHIFT = 4;
export const TCP_DELTA_SHIFT = 2;

/** duplicate ACKs before a fast retransmit */
export const tcprexmtthresh = 3;
/** most SACK blocks kept by a receiver, and read from a segment */
export const MAX_SACK_BLKS = 6;
export const TCP_MAX_SACK = 4;

/** The options of one segment. */
export class tcpopt {
	to_flags = 0;
	to_tsval = 0;
	to_tsecr = 0;
	to_mss = 0;
	to_wscale = 0;
	to_nsacks = 0;
	/** start and end of each block */
	readonly to_sacks = new Int32Array(2 * TCP_MAX_SACK);
}

/** The header of a segment that came in, in host order. */
export class tcphdr {
	th_seq = 0;
	th_ack = 0;
	th_flags = 0;
	th_win = 0;
	th_urp = 0;
	/** header length with options, bytes */
	th_hlen = 0;
	th_sport = 0;
	th_dport = 0;
}

/** A range the peer has not got, among data it has. */
export class sackhole {
	start = 0;
	end = 0;
	/** next byte to send again */
	rxmit = 0;
	next: sackhole | null = null;
	prev: sackhole | null = null;
}

/** What the scoreboard remembers between segments, so that nothing walks it. */
export class sackhint {
	nexthole: sackhole | null = null;
	sack_bytes_rexmit = 0;
	last_sack_ack = 0;
	/** bytes this ACK says were delivered */
	delivered_data = 0;
	/** bytes above snd_una the peer has */
	sacked_bytes = 0;
	/** flight size when recovery began */
	recover_fs = 0;
	prr_delivered = 0;
	prr_out = 0;
}

/** Out-of-order data waiting for what comes before. @see tcp_reass.c struct tseg_qent */
export class tseg_qent {
	tqe_next: tseg_qent | null = null;
	tqe_m: mbuf | null = null;
	tqe_start = 0;
	tqe_len = 0;
	tqe_flags = 0;
}

export class tcpcb {
	readonly t_inpcb: inpcb;
	readonly t_vnet: vnet;
	t_state = TCPS_CLOSED;
	t_flags = 0;
	t_maxseg = 0;
	t_softerror: Errno = 0;

	// send sequence
	snd_una = 0;
	snd_max = 0;
	snd_nxt = 0;
	snd_up = 0;
	snd_wnd = 0;
	snd_cwnd = 0;
	snd_ssthresh = 0;
	snd_wl1 = 0;
	snd_wl2 = 0;
	iss = 0;
	snd_recover = 0;
	snd_scale = 0;
	snd_limited = 0;
	max_sndwnd = 0;
	t_dupacks = 0;
	t_bytes_acked = 0;
	snd_cwnd_prev = 0;
	snd_ssthresh_prev = 0;
	snd_recover_prev = 0;
	t_badrxtwin = 0;
	t_sndzerowin = 0;
	t_sndrexmitpack = 0;
	t_rcvoopack = 0;

	// receive sequence
	rcv_nxt = 0;
	rcv_adv = 0;
	rcv_wnd = 0;
	rcv_up = 0;
	irs = 0;
	rcv_scale = 0;
	request_r_scale = 0;
	last_ack_sent = 0;
	ts_recent = 0;
	ts_recent_age = 0;
	ts_offset = 0;

	// round trips, in ticks, scaled
	t_srtt = 0;
	t_rttvar = 0;
	t_rttmin = 0;
	t_rttbest = 0;
	t_rttlow = 0;
	t_rttupdated = 0;
	t_rtttime = 0;
	t_rtseq = 0;
	t_rxtcur = 0;
	t_rxtshift = 0;
	t_rcvtime = 0;
	t_starttime = 0;
	t_sndtime = 0;

	// receive buffer auto-sizing
	rfbuf_ts = 0;
	rfbuf_cnt = 0;

	// SACK: the sender's scoreboard, the receiver's blocks
	snd_holes_first: sackhole | null = null;
	snd_holes_last: sackhole | null = null;
	snd_numholes = 0;
	snd_fack = 0;
	readonly sackhint = new sackhint();
	rcv_numsacks = 0;
	readonly sackblks = new Int32Array(2 * MAX_SACK_BLKS);

	// reassembly
	t_segq: tseg_qent | null = null;
	t_segqlen = 0;
	t_segqmbuflen = 0;

	cc_algo: cc_algo;
	readonly ccv = new cc_var();

	// timers
	readonly tt_rexmt = new callout();
	readonly tt_persist = new callout();
	readonly tt_keep = new callout();
	readonly tt_2msl = new callout();
	readonly tt_delack = new callout();
	tt_flags = 0;
	tt_draincnt = 0;

	// scratch for the segment at hand, locked like the rest by the pcb's lock
	readonly t_inhdr = new tcphdr();
	readonly t_inopt = new tcpopt();
	readonly t_outopt = new tcpopt();
	readonly t_optbuf = new Words(40);

	constructor(inp: inpcb, vn: vnet, algo: cc_algo) {
		this.t_inpcb = inp;
		this.t_vnet = vn;
		this.cc_algo = algo;
	}
}

/** Counters of one vnet, as netstat -s -p tcp prints them. @see tcp_var.h struct tcpstat */
export class tcpstat {
	tcps_connattempt = 0;
	tcps_accepts = 0;
	tcps_connects = 0;
	tcps_drops = 0;
	tcps_conndrops = 0;
	tcps_closed = 0;
	tcps_segstimed = 0;
	tcps_rttupdated = 0;
	tcps_delack = 0;
	tcps_timeoutdrop = 0;
	tcps_rexmttimeo = 0;
	tcps_persisttimeo = 0;
	tcps_persistdrop = 0;
	tcps_keeptimeo = 0;
	tcps_keepdrops = 0;
	tcps_keepprobe = 0;
	tcps_finwait2_drops = 0;
	tcps_sndtotal = 0;
	tcps_sndpack = 0;
	tcps_sndbyte = 0;
	tcps_sndrexmitpack = 0;
	tcps_sndrexmitbyte = 0;
	tcps_sndrexmitbad = 0;
	tcps_sndacks = 0;
	tcps_sndprobe = 0;
	tcps_sndwinup = 0;
	tcps_sndctrl = 0;
	tcps_rcvtotal = 0;
	tcps_rcvpack = 0;
	tcps_rcvbyte = 0;
	tcps_rcvbadsum = 0;
	tcps_rcvbadoff = 0;
	tcps_rcvshort = 0;
	tcps_rcvduppack = 0;
	tcps_rcvdupbyte = 0;
	tcps_rcvpartduppack = 0;
	tcps_rcvoopack = 0;
	tcps_rcvoobyte = 0;
	tcps_rcvpackafterwin = 0;
	tcps_rcvwinprobe = 0;
	tcps_rcvdupack = 0;
	tcps_rcvacktoomuch = 0;
	tcps_rcvackpack = 0;
	tcps_rcvackbyte = 0;
	tcps_rcvwinupd = 0;
	tcps_rcvafterclose = 0;
	tcps_rcvmemdrop = 0;
	tcps_pawsdrop = 0;
	tcps_predack = 0;
	tcps_preddat = 0;
	tcps_badrst = 0;
	tcps_badsyn = 0;
	tcps_listendrop = 0;
	tcps_sack_recovery_episode = 0;
	tcps_sack_rexmits = 0;
	tcps_sack_rexmit_bytes = 0;
	tcps_sack_rcv_blocks = 0;
	tcps_sack_send_blocks = 0;
	tcps_sack_sboverflow = 0;
	tcps_noport = 0;
}

export const V_tcpstat = VNET_DEFINE(() => new tcpstat());

/** net.inet.tcp.*: set from the loader's tunables, as sysctl(8) would at boot. Times are in clock ticks. */
export class tcp_settings {
	readonly sendspace = tunable("net.inet.tcp.sendspace", 32768);
	readonly recvspace = tunable("net.inet.tcp.recvspace", 65536);
	readonly sendbuf_auto = tunable("net.inet.tcp.sendbuf_auto", 1) !== 0;
	readonly sendbuf_inc = tunable("net.inet.tcp.sendbuf_inc", 8192);
	readonly sendbuf_max = tunable("net.inet.tcp.sendbuf_max", 2 * 1024 * 1024);
	readonly recvbuf_auto = tunable("net.inet.tcp.recvbuf_auto", 1) !== 0;
	readonly recvbuf_max = tunable("net.inet.tcp.recvbuf_max", 2 * 1024 * 1024);
	readonly delayed_ack = tunable("net.inet.tcp.delayed_ack", 1) !== 0;
	readonly do_rfc1323 = tunable("net.inet.tcp.rfc1323", 1) !== 0;
	readonly do_rfc3042 = tunable("net.inet.tcp.rfc3042", 1) !== 0;
	readonly do_sack = tunable("net.inet.tcp.sack.enable", 1) !== 0;
	readonly do_prr = tunable("net.inet.tcp.do_prr", 1) !== 0;
	readonly initcwnd_segments = tunable("net.inet.tcp.initcwnd_segments", 10);
	readonly abc_l_var = tunable("net.inet.tcp.abc_l_var", 2);
	readonly mssdflt = tunable("net.inet.tcp.mssdflt", 536);
	readonly v6mssdflt = tunable("net.inet.tcp.v6mssdflt", 1220);
	readonly minmss = tunable("net.inet.tcp.minmss", 216);
	readonly path_mtu_discovery = tunable("net.inet.tcp.path_mtu_discovery", 1) !== 0;
	readonly always_keepalive = tunable("net.inet.tcp.always_keepalive", 0) !== 0;
	readonly delacktime = tunable_ms("net.inet.tcp.delacktime", Math.floor(hz() / 25));
	readonly rexmit_min = tunable_ms("net.inet.tcp.rexmit_min", Math.max(1, Math.floor(hz() / 33)));
	readonly rexmit_initial = tunable_ms("net.inet.tcp.rexmit_initial", hz());
	readonly rexmit_slop = tunable_ms("net.inet.tcp.rexmit_slop", Math.floor(hz() / 5));
	readonly rexmit_max = 64 * hz();
	readonly persmin = tunable_ms("net.inet.tcp.persmin", 5 * hz());
	readonly persmax = tunable_ms("net.inet.tcp.persmax", 60 * hz());
	readonly keepinit = tunable_ms("net.inet.tcp.keepinit", 75 * hz());
	readonly keepidle = tunable_ms("net.inet.tcp.keepidle", 7200 * hz());
	readonly keepintvl = tunable_ms("net.inet.tcp.keepintvl", 75 * hz());
	readonly keepcnt = tunable("net.inet.tcp.keepcnt", 8);
	readonly maxpersistidle = 7200 * hz();
	readonly msl = tunable_ms("net.inet.tcp.msl", 30 * hz());
}

function tunable(name: string, value: number): number {
	const text = TUNABLE_FETCH(name);
	return text === null ? value : Number.parseInt(text, 10);
}

/** Settings given in milliseconds, kept in ticks. */
function tunable_ms(name: string, value: number): number {
	const text = TUNABLE_FETCH(name);
	return text === null ? value : Math.max(1, Math.floor((Number.parseInt(text, 10) * hz()) / 1000));
}

export const tcp_sysctl = KERNEL_GLOBAL(() => new tcp_settings());

export const sack_hole_zone = KERNEL_GLOBAL(() =>
	uma_zcreate("sackhole", 32, null, null, null, null, UMA_ALIGN_PTR, 0, () => new sackhole()),
);
/** Control blocks that exist; a run must end with none. */
export const tcpcbs = KERNEL_GLOBAL(() => ({ count: 0 }));
export const tcp_reass_zone = KERNEL_GLOBAL(() =>
	uma_zcreate("tcpreass", 48, null, null, null, null, UMA_ALIGN_PTR, 0, () => new tseg_qent()),
);

/** The timestamp clock, milliseconds, coarse. @see tcp_ts_getticks */
export function tcp_ts_getticks(): number {
	return Math.floor(getsbinuptime() / 1_000_000) | 0;
}

/** Milliseconds of the timestamp clock in clock ticks. */
export function TCP_TS_TO_TICKS(ms: number): number {
	return Math.floor((ms * hz()) / 1000);
}

/** Retransmission timeout from the estimators, ticks, before the slop. */
export function TCP_REXMTVAL(tp: tcpcb): number {
	return Math.max(tp.t_rttmin, ((tp.t_srtt >> (TCP_RTT_SHIFT - TCP_DELTA_SHIFT)) + tp.t_rttvar) >> TCP_DELTA_SHIFT);
}

/** A timeout plus the slop, kept within bounds. @see TCPT_RANGESET */
export function TCPT_RANGE(value: number, tvmin: number, tvmax: number): number {
	return Math.min(Math.max(value + tcp_sysctl().rexmit_slop, tvmin), tvmax);
}

export const V_tcbinfo = VNET_DEFINE(() => in_pcbinfo_init("tcp", "tcpinp", 512));

export function intotcpcb(inp: inpcb): tcpcb {
	return inp.inp_ppcb as tcpcb;
}
