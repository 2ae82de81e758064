/**
 * The socket, its two buffers, and what a protocol tells the socket layer about itself.
 *
 * Field names, flags and lock roles are FreeBSD's. A listening socket keeps its queues in fields of its own here; in C they
 * share memory with the buffers, which a listening socket does not have.
 *
 * @see sys/socketvar.h, sys/sockbuf.h, sys/socket.h, sys/protosw.h
 */

import { EOPNOTSUPP, type Errno } from "../errno.ts";
import type { ucred } from "../jail/ucred.ts";
import { mtx } from "../lock/mutex.ts";
import { sx } from "../lock/sx.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { sockaddr } from "../netinet/in.ts";
import type { inpcb } from "../netinet/in_pcb.ts";
import type { vnet } from "../sched/kernel.ts";
import { sleep_channel } from "../sched/sleepqueue.ts";
import { type Blocking, done, type thread } from "../sched/thread.ts";
import type { sockopt } from "./sockopt.ts";
import type { uio } from "./uio.ts";

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;

// so_options, and the same numbers as options of level SOL_SOCKET
export const SO_DEBUG = 0x00000001;
export const SO_ACCEPTCONN = 0x00000002;
export const SO_REUSEADDR = 0x00000004;
export const SO_KEEPALIVE = 0x00000008;
export const SO_DONTROUTE = 0x00000010;
export const SO_BROADCAST = 0x00000020;
export const SO_USELOOPBACK = 0x00000040;
export const SO_LINGER = 0x00000080;
export const SO_OOBINLINE = 0x00000100;
export const SO_REUSEPORT = 0x00000200;
export const SO_TIMESTAMP = 0x00000400;
export const SO_NOSIGPIPE = 0x00000800;
export const SO_REUSEPORT_LB = 0x00010000;
// options that are not flags
export const SO_SNDBUF = 0x1001;
export const SO_RCVBUF = 0x1002;
export const SO_SNDLOWAT = 0x1003;
export const SO_RCVLOWAT = 0x1004;
export const SO_SNDTIMEO = 0x1005;
export const SO_RCVTIMEO = 0x1006;
export const SO_ERROR = 0x1007;
export const SO_TYPE = 0x1008;
export const SO_LISTENQLIMIT = 0x1011;
export const SO_LISTENQLEN = 0x1012;
export const SO_LISTENINCQLEN = 0x1013;
export const SO_SETFIB = 0x1014;
export const SO_USER_COOKIE = 0x1015;
export const SO_PROTOCOL = 0x1016;
export const SO_DOMAIN = 0x1019;
export const SOL_SOCKET = 0xffff;

// control message types of level SOL_SOCKET
export const SCM_RIGHTS = 0x01;
export const SCM_TIMESTAMP = 0x02;

export const MSG_OOB = 0x00000001;
export const MSG_PEEK = 0x00000002;
export const MSG_DONTROUTE = 0x00000004;
export const MSG_EOR = 0x00000008;
export const MSG_TRUNC = 0x00000010;
export const MSG_CTRUNC = 0x00000020;
export const MSG_WAITALL = 0x00000040;
export const MSG_DONTWAIT = 0x00000080;
export const MSG_EOF = 0x00000100;
export const MSG_NBIO = 0x00004000;
export const MSG_NOSIGNAL = 0x00020000;
/** kernel only: more data follows, do not send yet */
export const MSG_MORETOCOME = 0x00100000;

export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

// so_state
export const SS_NOFDREF = 0x0001;
export const SS_ISCONNECTED = 0x0002;
export const SS_ISCONNECTING = 0x0004;
export const SS_ISDISCONNECTING = 0x0008;
export const SS_NBIO = 0x0100;
export const SS_ASYNC = 0x0200;
export const SS_ISCONFIRMING = 0x0400;
export const SS_ISDISCONNECTED = 0x2000;
export const SS_PROTOREF = 0x4000;

// so_qstate
export const SQ_NONE = 0;
export const SQ_INCOMP = 0x0800;
export const SQ_COMP = 0x1000;

// sb_flags
export const SB_WAIT = 0x04;
export const SB_SEL = 0x08;
export const SB_UPCALL = 0x20;
export const SB_NOINTR = 0x40;
export const SB_NOCOALESCE = 0x200;
export const SB_AUTOSIZE = 0x800;
export const SB_STOP = 0x1000;

// sb_state
export const SBS_CANTSENDMORE = 0x0010;
export const SBS_CANTRCVMORE = 0x0020;
export const SBS_RCVATMARK = 0x0040;

// sblock
export const SBL_WAIT = 1;
export const SBL_NOINTR = 2;

/** kern.ipc.maxsockbuf */
export const SB_MAX = 2 * 1024 * 1024;
/** the listen backlog's upper bound, kern.ipc.soacceptqueue */
export const SOMAXCONN = 128;

export const SO_RCV = 1;
export const SO_SND = 2;
/** what an upcall returns */
export const SU_OK = 0;
export const SU_ISCONNECTED = 1;

export type so_upcall_t = (so: socket, arg: unknown, waitflag: number) => Blocking<number>;

/** Who waits in select(2) or poll(2) for one direction of a socket; the waiters sleep on `si_chan`. */
export class selinfo {
	readonly si_waiters: object[] = [];
}

/** One direction's buffer. All fields are locked by sb_mtx; sb_sx keeps whole reads and writes apart. */
export class sockbuf extends sleep_channel {
	readonly sb_mtx = new mtx();
	readonly sb_sx = new sx();
	readonly sb_sel = new selinfo();
	sb_state = 0;
	/** the chain: records linked by m_nextpkt */
	sb_mb: mbuf | null = null;
	sb_mbtail: mbuf | null = null;
	/** first mbuf of the last record */
	sb_lastrecord: mbuf | null = null;
	/** where the next new segment begins, so that sending need not walk the chain */
	sb_sndptr: mbuf | null = null;
	/** bytes before sb_sndptr */
	sb_sndptroff = 0;
	/** bytes available */
	sb_acc = 0;
	/** bytes claimed */
	sb_ccc = 0;
	sb_hiwat = 0;
	sb_mbcnt = 0;
	sb_mcnt = 0;
	sb_ccnt = 0;
	sb_mbmax = 0;
	/** bytes of addresses and control messages */
	sb_ctl = 0;
	sb_lowat = 0;
	/** ns, 0 for ever */
	sb_timeo = 0;
	sb_flags = 0;
	sb_upcall: so_upcall_t | null = null;
	sb_upcallarg: unknown = null;
}

export class socket {
	readonly so_lock = new mtx();
	so_count = 0;
	readonly so_type: number;
	so_options = 0;
	/** seconds */
	so_linger = 0;
	so_state = 0;
	so_pcb: inpcb | null = null;
	readonly so_vnet: vnet;
	readonly so_proto: protosw;
	/** sleep address of connect and of a lingering close */
	readonly so_timeo: object = { so_timeo: 0 };
	so_error: Errno = 0;
	so_cred: ucred;
	so_gencnt = 0;
	so_fibnum = 0;
	so_user_cookie = 0;
	readonly so_rcv = new sockbuf();
	readonly so_snd = new sockbuf();
	/** the listening socket this one came from, while it waits to be accepted */
	so_listen: socket | null = null;
	so_qstate = SQ_NONE;

	// a listening socket's
	readonly sol_incomp: socket[] = [];
	readonly sol_comp: socket[] = [];
	sol_qlen = 0;
	sol_incqlen = 0;
	sol_qlimit = 0;
	sol_upcall: so_upcall_t | null = null;
	sol_upcallarg: unknown = null;
	sol_sbrcv_lowat = 0;
	sol_sbsnd_lowat = 0;
	sol_sbrcv_hiwat = 0;
	sol_sbsnd_hiwat = 0;
	sol_sbrcv_flags = 0;
	sol_sbsnd_flags = 0;
	sol_sbrcv_timeo = 0;
	sol_sbsnd_timeo = 0;
	sol_overcount = 0;

	constructor(type: number, proto: protosw, cred: ucred, vn: vnet) {
		this.so_type = type;
		this.so_proto = proto;
		this.so_cred = cred;
		this.so_vnet = vn;
	}
}

// pr_flags
export const PR_ATOMIC = 0x01;
export const PR_ADDR = 0x02;
export const PR_CONNREQUIRED = 0x04;
export const PR_WANTRCVD = 0x08;
export const PR_RIGHTS = 0x10;
export const PR_IMPLOPCL = 0x20;
export const PR_LASTHDR = 0x40;

// pru_send flags
export const PRUS_OOB = 0x1;
export const PRUS_EOF = 0x2;
export const PRUS_MORETOCOME = 0x4;

/** What a protocol does for its sockets. pru_send consumes `m` and `control` whatever happens. */
export interface pr_usrreqs {
	pru_abort(so: socket): Blocking<void>;
	pru_accept(so: socket): Blocking<sockaddr | Errno>;
	pru_attach(so: socket, proto: number, td: thread): Blocking<Errno>;
	pru_bind(so: socket, nam: sockaddr, td: thread): Blocking<Errno>;
	pru_connect(so: socket, nam: sockaddr, td: thread): Blocking<Errno>;
	pru_control(so: socket, cmd: number, data: unknown, ifp: unknown, td: thread): Blocking<Errno>;
	pru_detach(so: socket): Blocking<void>;
	pru_disconnect(so: socket): Blocking<Errno>;
	pru_listen(so: socket, backlog: number, td: thread): Blocking<Errno>;
	pru_peeraddr(so: socket): Blocking<sockaddr | Errno>;
	pru_rcvd(so: socket, flags: number): Blocking<Errno>;
	pru_send(
		so: socket,
		flags: number,
		m: mbuf | null,
		nam: sockaddr | null,
		control: mbuf | null,
		td: thread,
	): Blocking<Errno>;
	pru_shutdown(so: socket): Blocking<Errno>;
	pru_sockaddr(so: socket): Blocking<sockaddr | Errno>;
	pru_close(so: socket): Blocking<void>;
	pru_flush(so: socket, direction: number): Blocking<Errno>;
	/** null: the socket layer picks by the socket's type */
	pru_sosend: sosend_t | null;
	pru_soreceive: soreceive_t | null;
}

export type sosend_t = (
	so: socket,
	addr: sockaddr | null,
	uio: uio | null,
	top: mbuf | null,
	control: mbuf | null,
	flags: number,
	td: thread,
) => Blocking<Errno>;

export type soreceive_t = (so: socket, uio: uio, msg: soreceive_args) => Blocking<Errno>;

/** What soreceive gives back besides the data: in C, its pointer arguments. */
export class soreceive_args {
	/** the sender is wanted */
	want_addr = false;
	psa: sockaddr | null = null;
	/** data as a chain instead of a copy */
	want_mbuf = false;
	mp0: mbuf | null = null;
	/** ancillary data are wanted, as a chain of MT_CONTROL mbufs */
	want_control = false;
	controlp: mbuf | null = null;
	/** MSG_x in and out */
	flags = 0;
}

/** A protocol as its file declares it: requests it does not have are filled in by `protosw`. */
export interface protosw_init {
	readonly pr_type: number;
	readonly pr_domain: number;
	readonly pr_protocol: number;
	readonly pr_flags: number;
	readonly pr_usrreqs: Partial<pr_usrreqs>;
	readonly pr_ctloutput?: ((so: socket, sopt: sockopt) => Blocking<Errno>) | null;
}

/** A protocol the socket layer knows. Requests left out fail with EOPNOTSUPP, as pr_usrreqs_init has it. */
export class protosw {
	readonly pr_type: number;
	readonly pr_domain: number;
	readonly pr_protocol: number;
	readonly pr_flags: number;
	readonly pr_usrreqs: pr_usrreqs;
	readonly pr_ctloutput: ((so: socket, sopt: sockopt) => Blocking<Errno>) | null;

	constructor(init: protosw_init) {
		this.pr_type = init.pr_type;
		this.pr_domain = init.pr_domain;
		this.pr_protocol = init.pr_protocol;
		this.pr_flags = init.pr_flags;
		this.pr_usrreqs = { ...default_usrreqs, ...init.pr_usrreqs };
		this.pr_ctloutput = init.pr_ctloutput ?? null;
	}
}

const default_usrreqs: pr_usrreqs = {
	pru_abort: () => done(undefined),
	pru_accept: () => done(EOPNOTSUPP),
	pru_attach: () => done(EOPNOTSUPP),
	pru_bind: () => done(EOPNOTSUPP),
	pru_connect: () => done(EOPNOTSUPP),
	pru_control: () => done(EOPNOTSUPP),
	pru_detach: () => done(undefined),
	pru_disconnect: () => done(EOPNOTSUPP),
	pru_listen: () => done(EOPNOTSUPP),
	pru_peeraddr: () => done(EOPNOTSUPP),
	pru_rcvd: () => done(EOPNOTSUPP),
	pru_send: () => done(EOPNOTSUPP),
	pru_shutdown: () => done(EOPNOTSUPP),
	pru_sockaddr: () => done(EOPNOTSUPP),
	pru_close: () => done(undefined),
	pru_flush: () => done(EOPNOTSUPP),
	pru_sosend: null,
	pru_soreceive: null,
};

const protocols: protosw[] = [];

/** Makes a protocol known to socreate; a module does this once, when it is loaded. @see uipc_domain.c pf_proto_register */
export function pr_register(init: protosw_init): protosw {
	const sw = init instanceof protosw ? init : new protosw(init);
	protocols.push(sw);
	return sw;
}

/** @see uipc_domain.c pffindproto: the exact protocol, or a raw socket's wildcard */
export function pffindproto(family: number, protocol: number, type: number): protosw | null {
	let maybe: protosw | null = null;
	for (const pr of protocols) {
		if (pr.pr_domain !== family) continue;
		if (pr.pr_protocol === protocol && pr.pr_type === type) return pr;
		if (type === SOCK_RAW && pr.pr_type === SOCK_RAW && pr.pr_protocol === 0 && maybe === null) maybe = pr;
	}
	return maybe;
}

/** @see uipc_domain.c pffindtype */
export function pffindtype(family: number, type: number): protosw | null {
	for (const pr of protocols) if (pr.pr_domain === family && pr.pr_type === type) return pr;
	return null;
}

/** @see uipc_domain.c pffinddomain */
export function protocol_of_family(family: number): boolean {
	return protocols.some((pr) => pr.pr_domain === family);
}

export function SOLISTENING(so: socket): boolean {
	return (so.so_options & SO_ACCEPTCONN) !== 0;
}
