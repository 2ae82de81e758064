/**
 * Sockets: making, naming, listening, accepting, connecting and closing them, and their connection state.
 *
 * Lock order as in FreeBSD: protocol control block, then so_lock (a listening socket's before its children's), then the
 * receive buffer's lock, then the send buffer's. A socket is freed when nobody refers to it: no file (SS_NOFDREF), no
 * so_count, no protocol (SS_PROTOREF), and it does not wait in a queue of completed connections.
 *
 * @see uipc_socket.c; kern.ipc.*
 */
import {
	EAFNOSUPPORT,
	EALREADY,
	ECONNABORTED,
	EINVAL,
	EISCONN,
	ENOTCONN,
	EOPNOTSUPP,
	EPROTONOSUPPORT,
	EPROTOTYPE,
	type Errno,
	EWOULDBLOCK,
} from "../errno.ts";
import { crfree, crhold, type ucred } from "../jail/ucred.ts";
import {
	MA_OWNED,
	MTX_DEF,
	MTX_DUPOK,
	mtx_assert,
	mtx_destroy,
	mtx_init,
	mtx_lock,
	mtx_trylock,
	mtx_unlock,
} from "../lock/mutex.ts";
import { sx_destroy, sx_init } from "../lock/sx.ts";
import { M_NOWAIT } from "../mbuf/mbuf.ts";
import type { sockaddr } from "../netinet/in.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	hz,
	KASSERT,
	KERNEL_GLOBAL,
	panic,
	priorities,
	type vnet,
} from "../sched/kernel.ts";
import { msleep, tsleep, wakeup, wakeup_one } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost, curthread, type thread } from "../sched/thread.ts";
import { selwakeup } from "./select.ts";
import {
	PR_CONNREQUIRED,
	pffindproto,
	pffindtype,
	protocol_of_family,
	type protosw,
	SB_AUTOSIZE,
	SB_UPCALL,
	SBL_NOINTR,
	SBL_WAIT,
	SBS_CANTSENDMORE,
	SHUT_RD,
	SHUT_RDWR,
	SHUT_WR,
	SO_ACCEPTCONN,
	SO_LINGER,
	SO_RCV,
	SO_SND,
	SOCK_DGRAM,
	SOLISTENING,
	SOMAXCONN,
	SQ_COMP,
	SQ_INCOMP,
	SQ_NONE,
	SS_ISCONFIRMING,
	SS_ISCONNECTED,
	SS_ISCONNECTING,
	SS_ISDISCONNECTED,
	SS_ISDISCONNECTING,
	SS_NBIO,
	SS_NOFDREF,
	SS_PROTOREF,
	type so_upcall_t,
	type sockbuf,
	socket,
} from "./socket.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_LOCK_ASSERT,
	SOCKBUF_UNLOCK,
	sbdestroy,
	sbdrop_locked,
	sbflush_locked,
	sblock,
	sbspace,
	sbunlock,
	sbused,
	socantrcvmore,
	socantrcvmore_locked,
	socantsendmore_locked,
	soreserve,
	sorwakeup,
	sowwakeup,
} from "./uipc_sockbuf.ts";

class socket_state {
	so_gencnt = 0;
	/** kern.ipc.numopensockets */
	numopensockets = 0;
}

const sockets = KERNEL_GLOBAL(() => new socket_state());

/** Sockets that exist; a run must end with none. */
export function numopensockets(): number {
	return sockets().numopensockets;
}

export function SOCK_LOCK(so: socket): Blocking<void> {
	return mtx_lock(so.so_lock);
}

export function SOCK_UNLOCK(so: socket): Blocking<void> {
	return mtx_unlock(so.so_lock);
}

export function SOCK_LOCK_ASSERT(so: socket): void {
	mtx_assert(so.so_lock, MA_OWNED);
}

export function SOLISTEN_LOCK(sol: socket): Blocking<void> {
	KASSERT(SOLISTENING(sol), "SOLISTEN_LOCK: not listening");
	return mtx_lock(sol.so_lock);
}

export function SOLISTEN_UNLOCK(sol: socket): Blocking<void> {
	KASSERT(SOLISTENING(sol), "SOLISTEN_UNLOCK: not listening");
	return mtx_unlock(sol.so_lock);
}

/** Can something be written to the socket now? */
export function sowriteable(so: socket): boolean {
	return (
		(sbspace(so.so_snd) >= so.so_snd.sb_lowat &&
			((so.so_state & SS_ISCONNECTED) !== 0 || (so.so_proto.pr_flags & PR_CONNREQUIRED) === 0)) ||
		(so.so_snd.sb_state & SBS_CANTSENDMORE) !== 0 ||
		so.so_error !== 0
	);
}

/** Takes a reference; the caller holds something that keeps the socket. */
export function soref(so: socket): void {
	charge(cost.atomic);
	so.so_count++;
}

/** Drops a reference; entered with so_lock held, which it drops. */
export function* sorele(so: socket): Blocking<void> {
	SOCK_LOCK_ASSERT(so);
	charge(cost.atomic);
	KASSERT(so.so_count > 0, "sorele: no reference");
	if (--so.so_count === 0) yield* sofree(so);
	else yield* SOCK_UNLOCK(so);
}

/** A socket with a reference count of 0. */
function soalloc(type: number, proto: protosw, cred: ucred, vn: vnet): socket {
	charge(cost.soalloc);
	const so = new socket(type, proto, cred, vn);
	mtx_init(so.so_lock, "socket", null, MTX_DEF | MTX_DUPOK);
	mtx_init(so.so_snd.sb_mtx, "so_snd", null, MTX_DEF);
	mtx_init(so.so_rcv.sb_mtx, "so_rcv", null, MTX_DEF);
	sx_init(so.so_snd.sb_sx, "so_snd_sx");
	sx_init(so.so_rcv.sb_sx, "so_rcv_sx");
	crhold(cred);
	const state = sockets();
	so.so_gencnt = ++state.so_gencnt;
	state.numopensockets++;
	vn.vnet_sockcnt++;
	return so;
}

function sodealloc_buffers(so: socket): void {
	sx_destroy(so.so_snd.sb_sx);
	sx_destroy(so.so_rcv.sb_sx);
	mtx_destroy(so.so_snd.sb_mtx);
	mtx_destroy(so.so_rcv.sb_mtx);
}

function sodealloc(so: socket): void {
	KASSERT(so.so_count === 0, "sodealloc(): so_count");
	KASSERT(so.so_pcb === null, "sodealloc(): so_pcb != NULL");
	charge(cost.soalloc);
	sockets().numopensockets--;
	so.so_vnet.vnet_sockcnt--;
	crfree(so.so_cred);
	if (!SOLISTENING(so)) sodealloc_buffers(so);
	mtx_destroy(so.so_lock);
}

/**
 * Makes a socket with a reference count of 1.
 *
 * @returns the socket, or EAFNOSUPPORT, EPROTOTYPE, EPROTONOSUPPORT for what no protocol serves
 */
export function* socreate(dom: number, type: number, proto: number, cred: ucred, td: thread): Blocking<socket | Errno> {
	const prp = proto !== 0 ? pffindproto(dom, proto, type) : pffindtype(dom, type);
	if (prp === null) {
		if (!protocol_of_family(dom)) return EAFNOSUPPORT;
		return proto === 0 && type !== 0 ? EPROTOTYPE : EPROTONOSUPPORT;
	}
	if (prp.pr_type !== type) return EPROTOTYPE;
	const so = soalloc(type, prp, cred, cred.cr_vnet());
	const saved = CURVNET_SET(so.so_vnet);
	const error = yield* prp.pr_usrreqs.pru_attach(so, proto, td);
	CURVNET_RESTORE(saved);
	if (error !== 0) {
		sodealloc(so);
		return error;
	}
	soref(so);
	return so;
}

/**
 * Makes the socket of a connection that arrived at the listening socket `head`, and puts it on one of its queues.
 *
 * @param connstatus 0 for a connection that is not complete, SS_ISCONNECTED for one that is
 * @returns the socket, with a reference count of 0, or null when the queue overflows
 */
export function* sonewconn(head: socket, connstatus: number): Blocking<socket | null> {
	yield* SOLISTEN_LOCK(head);
	const over = head.sol_qlen > Math.floor((3 * head.sol_qlimit) / 2);
	if (over) head.sol_overcount++;
	yield* SOLISTEN_UNLOCK(head);
	if (over) return null;
	const so = soalloc(head.so_type, head.so_proto, head.so_cred, head.so_vnet);
	so.so_listen = head;
	so.so_linger = head.so_linger;
	so.so_state = head.so_state | SS_NOFDREF;
	so.so_fibnum = head.so_fibnum;
	if ((yield* soreserve(so, head.sol_sbsnd_hiwat, head.sol_sbrcv_hiwat)) !== 0) {
		sodealloc(so);
		return null;
	}
	if ((yield* so.so_proto.pr_usrreqs.pru_attach(so, 0, curthread)) !== 0) {
		sodealloc(so);
		return null;
	}
	so.so_rcv.sb_lowat = head.sol_sbrcv_lowat;
	so.so_snd.sb_lowat = head.sol_sbsnd_lowat;
	so.so_rcv.sb_timeo = head.sol_sbrcv_timeo;
	so.so_snd.sb_timeo = head.sol_sbsnd_timeo;
	so.so_rcv.sb_flags |= head.sol_sbrcv_flags & SB_AUTOSIZE;
	so.so_snd.sb_flags |= head.sol_sbsnd_flags & SB_AUTOSIZE;

	yield* SOLISTEN_LOCK(head);
	so.so_state |= connstatus;
	so.so_options = head.so_options & ~SO_ACCEPTCONN;
	soref(head);
	if (connstatus !== 0) {
		head.sol_comp.push(so);
		so.so_qstate = SQ_COMP;
		head.sol_qlen++;
		yield* solisten_wakeup(head);
		return so;
	}
	while (head.sol_incqlen > head.sol_qlimit) {
		const sp = head.sol_incomp.shift() as socket;
		head.sol_incqlen--;
		yield* SOCK_LOCK(sp);
		sp.so_qstate = SQ_NONE;
		sp.so_listen = null;
		yield* SOCK_UNLOCK(sp);
		yield* sorele(head);
		// one that is just being freed by its protocol is left to it
		if (sp.so_count === 0) yield* soabort(sp);
		yield* SOLISTEN_LOCK(head);
	}
	head.sol_incomp.push(so);
	so.so_qstate = SQ_INCOMP;
	head.sol_incqlen++;
	yield* SOLISTEN_UNLOCK(head);
	return so;
}

export function* sobind(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	const saved = CURVNET_SET(so.so_vnet);
	const error = yield* so.so_proto.pr_usrreqs.pru_bind(so, nam, td);
	CURVNET_RESTORE(saved);
	return error;
}

/** Makes a socket listen, or changes the backlog of one that does. The protocol calls back with solisten_proto. */
export function* solisten(so: socket, backlog: number, td: thread): Blocking<Errno> {
	const saved = CURVNET_SET(so.so_vnet);
	const error = yield* so.so_proto.pr_usrreqs.pru_listen(so, backlog, td);
	CURVNET_RESTORE(saved);
	return error;
}

export function solisten_proto_check(so: socket): Errno {
	SOCK_LOCK_ASSERT(so);
	return (so.so_state & (SS_ISCONNECTED | SS_ISCONNECTING | SS_ISDISCONNECTING)) !== 0 ? EINVAL : 0;
}

/** Turns a socket into a listening one: its buffers go, their settings stay for its children. */
export function solisten_proto(so: socket, backlog: number): void {
	SOCK_LOCK_ASSERT(so);
	if (!SOLISTENING(so)) {
		const rcv = so.so_rcv;
		const snd = so.so_snd;
		so.sol_sbrcv_lowat = rcv.sb_lowat;
		so.sol_sbsnd_lowat = snd.sb_lowat;
		so.sol_sbrcv_hiwat = rcv.sb_hiwat;
		so.sol_sbsnd_hiwat = snd.sb_hiwat;
		so.sol_sbrcv_flags = rcv.sb_flags;
		so.sol_sbsnd_flags = snd.sb_flags;
		so.sol_sbrcv_timeo = rcv.sb_timeo;
		so.sol_sbsnd_timeo = snd.sb_timeo;
		sbdestroy(snd);
		sbdestroy(rcv);
		sodealloc_buffers(so);
		so.so_options |= SO_ACCEPTCONN;
	}
	so.sol_qlimit = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : backlog;
}

/** Says that a connection is complete. Entered with the listening socket's lock held, which it drops. */
export function* solisten_wakeup(sol: socket): Blocking<void> {
	if (sol.sol_upcall !== null) yield* sol.sol_upcall(sol, sol.sol_upcallarg, M_NOWAIT);
	else yield* selwakeup(sol.so_rcv.sb_sel);
	yield* SOLISTEN_UNLOCK(sol);
	yield* wakeup_one(sol.sol_comp);
}

/** Takes one complete connection, waiting for it. Entered with the listening socket's lock held, which it drops. */
export function* solisten_dequeue(head: socket, nonblock: boolean): Blocking<socket | Errno> {
	SOCK_LOCK_ASSERT(head);
	while ((head.so_state & SS_NBIO) === 0 && head.sol_comp.length === 0 && head.so_error === 0) {
		const error = yield* msleep(head.sol_comp, head.so_lock, priorities().PSOCK, "accept", 0);
		if (error !== 0) {
			yield* SOLISTEN_UNLOCK(head);
			return error;
		}
	}
	let error: Errno = 0;
	if (head.so_error !== 0) {
		error = head.so_error;
		head.so_error = 0;
	} else if (head.sol_comp.length === 0) error = EWOULDBLOCK;
	if (error !== 0) {
		yield* SOLISTEN_UNLOCK(head);
		return error;
	}
	const so = head.sol_comp[0];
	yield* SOCK_LOCK(so);
	KASSERT(so.so_qstate === SQ_COMP, "solisten_dequeue: not SQ_COMP");
	soref(so);
	head.sol_qlen--;
	so.so_qstate = SQ_NONE;
	so.so_listen = null;
	head.sol_comp.shift();
	if (nonblock) so.so_state |= SS_NBIO;
	yield* SOCK_UNLOCK(so);
	yield* sorele(head);
	return so;
}

function remove(list: socket[], so: socket): void {
	const at = list.indexOf(so);
	KASSERT(at >= 0, "socket is not on its queue");
	list.splice(at, 1);
}

/** Frees the socket if nobody refers to it. Entered with so_lock held, which it drops. */
export function* sofree(so: socket): Blocking<void> {
	SOCK_LOCK_ASSERT(so);
	if (
		(so.so_state & SS_NOFDREF) === 0 ||
		so.so_count !== 0 ||
		(so.so_state & SS_PROTOREF) !== 0 ||
		so.so_qstate === SQ_COMP
	) {
		yield* SOCK_UNLOCK(so);
		return;
	}
	if (!SOLISTENING(so) && so.so_qstate === SQ_INCOMP) {
		const sol = so.so_listen as socket;
		KASSERT(sol !== null, "sofree: so on incomp of NULL");
		// the listening socket's lock comes first: keep both alive while changing over
		soref(sol);
		soref(so);
		yield* SOCK_UNLOCK(so);
		yield* SOLISTEN_LOCK(sol);
		yield* SOCK_LOCK(so);
		if (so.so_qstate === SQ_INCOMP) {
			KASSERT(so.so_listen === sol, "sofree: so migrated out of sol");
			remove(sol.sol_incomp, so);
			sol.sol_incqlen--;
			sol.so_count--;
			so.so_qstate = SQ_NONE;
			so.so_listen = null;
		} else KASSERT(so.so_listen === null, "sofree: so not on (in)comp with so_listen");
		yield* sorele(sol);
		const count: number = so.so_count;
		KASSERT(count === 1, `sofree: so count ${count}`);
		so.so_count = 0;
	}
	if (SOLISTENING(so)) so.so_error = ECONNABORTED;
	yield* SOCK_UNLOCK(so);
	yield* so.so_proto.pr_usrreqs.pru_detach(so);
	if (!SOLISTENING(so)) {
		sbdestroy(so.so_snd);
		sbdestroy(so.so_rcv);
	}
	sodealloc(so);
}

/** Closes a socket when its last file goes: begins to disconnect, lingers if asked to, and lets the connections that were never accepted go. */
export function* soclose(so: socket): Blocking<Errno> {
	KASSERT((so.so_state & SS_NOFDREF) === 0, "soclose: SS_NOFDREF on enter");
	let error: Errno = 0;
	const saved = CURVNET_SET(so.so_vnet);
	if ((so.so_state & SS_ISCONNECTED) !== 0) {
		if ((so.so_state & SS_ISDISCONNECTING) === 0) error = yield* sodisconnect(so);
		if (error !== 0) {
			if (error === ENOTCONN) error = 0;
		} else if ((so.so_options & SO_LINGER) !== 0 && so.so_linger !== 0) {
			if ((so.so_state & (SS_ISDISCONNECTING | SS_NBIO)) !== (SS_ISDISCONNECTING | SS_NBIO)) {
				while ((so.so_state & SS_ISCONNECTED) !== 0) {
					error = yield* tsleep(so.so_timeo, priorities().PSOCK, "soclos", so.so_linger * hz());
					if (error !== 0) break;
				}
			}
		}
	}
	yield* so.so_proto.pr_usrreqs.pru_close(so);

	yield* SOCK_LOCK(so);
	let orphans: socket[] | null = null;
	if (SOLISTENING(so)) {
		orphans = so.sol_incomp.concat(so.sol_comp);
		so.sol_incomp.length = 0;
		so.sol_comp.length = 0;
		so.sol_qlen = 0;
		so.sol_incqlen = 0;
		for (const sp of orphans) {
			yield* SOCK_LOCK(sp);
			sp.so_qstate = SQ_NONE;
			sp.so_listen = null;
			yield* SOCK_UNLOCK(sp);
			so.so_count--;
		}
	}
	KASSERT((so.so_state & SS_NOFDREF) === 0, "soclose: NOFDREF");
	so.so_state |= SS_NOFDREF;
	yield* sorele(so);
	if (orphans !== null) {
		for (const sp of orphans) {
			yield* SOCK_LOCK(sp);
			const unreferenced = sp.so_count === 0;
			yield* SOCK_UNLOCK(sp);
			if (unreferenced) yield* soabort(sp);
		}
	}
	CURVNET_RESTORE(saved);
	return error;
}

/** Tears down a connection nobody has accepted and nobody refers to. */
export function* soabort(so: socket): Blocking<void> {
	KASSERT(so.so_count === 0, "soabort: so_count");
	KASSERT((so.so_state & SS_PROTOREF) === 0, "soabort: SS_PROTOREF");
	KASSERT((so.so_state & SS_NOFDREF) !== 0, "soabort: !SS_NOFDREF");
	yield* so.so_proto.pr_usrreqs.pru_abort(so);
	yield* SOCK_LOCK(so);
	yield* sofree(so);
}

/** Gives an accepted connection its file. @returns the peer's address */
export function* soaccept(so: socket): Blocking<sockaddr | Errno> {
	yield* SOCK_LOCK(so);
	KASSERT((so.so_state & SS_NOFDREF) !== 0, "soaccept: !NOFDREF");
	so.so_state &= ~SS_NOFDREF;
	yield* SOCK_UNLOCK(so);
	const saved = CURVNET_SET(so.so_vnet);
	const nam = yield* so.so_proto.pr_usrreqs.pru_accept(so);
	CURVNET_RESTORE(saved);
	return nam;
}

export function* soconnect(so: socket, nam: sockaddr, td: thread): Blocking<Errno> {
	if (SOLISTENING(so)) return EOPNOTSUPP;
	const saved = CURVNET_SET(so.so_vnet);
	let error: Errno;
	if (
		(so.so_state & (SS_ISCONNECTED | SS_ISCONNECTING)) !== 0 &&
		((so.so_proto.pr_flags & PR_CONNREQUIRED) !== 0 || (yield* sodisconnect(so)) !== 0)
	) {
		error = EISCONN;
	} else {
		so.so_error = 0;
		error = yield* so.so_proto.pr_usrreqs.pru_connect(so, nam, td);
	}
	CURVNET_RESTORE(saved);
	return error;
}

export function* sodisconnect(so: socket): Blocking<Errno> {
	if ((so.so_state & SS_ISCONNECTED) === 0) return ENOTCONN;
	if ((so.so_state & SS_ISDISCONNECTING) !== 0) return EALREADY;
	return yield* so.so_proto.pr_usrreqs.pru_disconnect(so);
}

/** Shuts down one direction, or both. */
export function* soshutdown(so: socket, how: number): Blocking<Errno> {
	if (how < SHUT_RD || how > SHUT_RDWR) return EINVAL;
	let soerror_enotconn = false;
	if ((so.so_state & (SS_ISCONNECTED | SS_ISCONNECTING | SS_ISDISCONNECTING)) === 0) {
		if (so.so_type !== SOCK_DGRAM && !SOLISTENING(so)) return ENOTCONN;
		soerror_enotconn = true;
	}
	let error: Errno = 0;
	if (SOLISTENING(so)) {
		if (how === SHUT_RD || how === SHUT_RDWR) {
			yield* SOLISTEN_LOCK(so);
			so.so_error = ECONNABORTED;
			yield* solisten_wakeup(so);
		}
	} else {
		const saved = CURVNET_SET(so.so_vnet);
		yield* so.so_proto.pr_usrreqs.pru_flush(so, how);
		if (how !== SHUT_WR) yield* sorflush(so);
		if (how !== SHUT_RD) error = yield* so.so_proto.pr_usrreqs.pru_shutdown(so);
		yield* wakeup(so.so_timeo);
		CURVNET_RESTORE(saved);
	}
	return error === 0 && soerror_enotconn ? ENOTCONN : error;
}

/** Ends reading: dislodges readers, then throws away what they did not read. */
export function* sorflush(so: socket): Blocking<void> {
	yield* socantrcvmore(so);
	yield* sblock(so.so_rcv, SBL_WAIT | SBL_NOINTR);
	yield* SOCKBUF_LOCK(so.so_rcv);
	sbflush_locked(so.so_rcv);
	so.so_rcv.sb_hiwat = 0;
	so.so_rcv.sb_mbmax = 0;
	so.so_rcv.sb_lowat = 0;
	so.so_rcv.sb_timeo = 0;
	so.so_rcv.sb_flags = 0;
	so.so_rcv.sb_upcall = null;
	so.so_rcv.sb_upcallarg = null;
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	yield* sbunlock(so.so_rcv);
}

export function* soisconnecting(so: socket): Blocking<void> {
	yield* SOCK_LOCK(so);
	so.so_state &= ~(SS_ISCONNECTED | SS_ISDISCONNECTING);
	so.so_state |= SS_ISCONNECTING;
	yield* SOCK_UNLOCK(so);
}

/** The protocol has a connection: a child moves to its parent's queue of complete ones, anyone else is woken. */
export function* soisconnected(so: socket): Blocking<void> {
	yield* SOCK_LOCK(so);
	so.so_state &= ~(SS_ISCONNECTING | SS_ISDISCONNECTING | SS_ISCONFIRMING);
	so.so_state |= SS_ISCONNECTED;
	if (so.so_qstate === SQ_INCOMP) {
		const head = so.so_listen as socket;
		KASSERT(head !== null, "soisconnected: so on incomp of NULL");
		if (!(yield* mtx_trylock(head.so_lock))) {
			// against the lock order: let go, take both in order and look again
			soref(head);
			yield* SOCK_UNLOCK(so);
			yield* SOLISTEN_LOCK(head);
			yield* SOCK_LOCK(so);
			if (so.so_listen !== head) {
				yield* SOCK_UNLOCK(so);
				yield* sorele(head);
				return;
			}
			head.so_count--;
		}
		remove(head.sol_incomp, so);
		head.sol_incqlen--;
		head.sol_comp.push(so);
		head.sol_qlen++;
		so.so_qstate = SQ_COMP;
		yield* SOCK_UNLOCK(so);
		yield* solisten_wakeup(head);
		return;
	}
	yield* SOCK_UNLOCK(so);
	yield* wakeup(so.so_timeo);
	yield* sorwakeup(so);
	yield* sowwakeup(so);
}

export function* soisdisconnecting(so: socket): Blocking<void> {
	yield* SOCK_LOCK(so);
	so.so_state &= ~SS_ISCONNECTING;
	so.so_state |= SS_ISDISCONNECTING;
	if (!SOLISTENING(so)) {
		yield* SOCKBUF_LOCK(so.so_rcv);
		yield* socantrcvmore_locked(so);
		yield* SOCKBUF_LOCK(so.so_snd);
		yield* socantsendmore_locked(so);
	}
	yield* SOCK_UNLOCK(so);
	yield* wakeup(so.so_timeo);
}

export function* soisdisconnected(so: socket): Blocking<void> {
	yield* SOCK_LOCK(so);
	so.so_state |= SS_ISDISCONNECTED;
	so.so_state &= ~(SS_ISCONNECTING | SS_ISCONNECTED | SS_ISDISCONNECTING);
	yield* SOCK_UNLOCK(so);
	if (!SOLISTENING(so)) {
		yield* SOCKBUF_LOCK(so.so_rcv);
		yield* socantrcvmore_locked(so);
		yield* SOCKBUF_LOCK(so.so_snd);
		sbdrop_locked(so.so_snd, sbused(so.so_snd));
		yield* socantsendmore_locked(so);
	}
	yield* wakeup(so.so_timeo);
}

function upcall_buffer(so: socket, which: number): sockbuf {
	KASSERT(!SOLISTENING(so), "soupcall_set: so listening");
	if (which !== SO_RCV && which !== SO_SND) panic("soupcall_set: bad which");
	return which === SO_RCV ? so.so_rcv : so.so_snd;
}

/** Has `func` called, with the buffer's lock held, whenever the buffer changes. */
export function soupcall_set(so: socket, which: number, func: so_upcall_t, arg: unknown): void {
	const sb = upcall_buffer(so, which);
	SOCKBUF_LOCK_ASSERT(sb);
	sb.sb_upcall = func;
	sb.sb_upcallarg = arg;
	sb.sb_flags |= SB_UPCALL;
}

export function soupcall_clear(so: socket, which: number): void {
	const sb = upcall_buffer(so, which);
	SOCKBUF_LOCK_ASSERT(sb);
	KASSERT(sb.sb_upcall !== null, "soupcall_clear: no upcall to clear");
	sb.sb_upcall = null;
	sb.sb_upcallarg = null;
	sb.sb_flags &= ~SB_UPCALL;
}

/** The same for a listening socket; its lock is held. */
export function solisten_upcall_set(so: socket, func: so_upcall_t | null, arg: unknown): void {
	SOCK_LOCK_ASSERT(so);
	KASSERT(SOLISTENING(so), "solisten_upcall_set: not listening");
	so.sol_upcall = func;
	so.sol_upcallarg = arg;
}
