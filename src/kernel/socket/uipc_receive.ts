/**
 * Receiving from a socket: waiting for data and copying them out of mbufs into a program's buffer.
 *
 * A record begins with the sender's address if the protocol has PR_ADDR, then come control messages, then data. The
 * buffer's lock is let go during each copy, so that the stack can append meanwhile; sblock keeps other readers away.
 *
 * @see uipc_socket.c soreceive, soreceive_generic
 */
import { ENOTCONN, EOPNOTSUPP, type Errno, EWOULDBLOCK } from "../errno.ts";
import { M_EOR, M_WAITOK, MT_CONTROL, MT_SONAME, m_copym, m_free, m_freem, type mbuf } from "../mbuf/mbuf.ts";
import { CURVNET_RESTORE, CURVNET_SET, KASSERT, panic } from "../sched/kernel.ts";
import { type Blocking, charge, cost } from "../sched/thread.ts";
import {
	MSG_DONTWAIT,
	MSG_EOR,
	MSG_NBIO,
	MSG_OOB,
	MSG_PEEK,
	MSG_TRUNC,
	MSG_WAITALL,
	PR_ADDR,
	PR_ATOMIC,
	PR_CONNREQUIRED,
	PR_WANTRCVD,
	SBL_WAIT,
	SBS_CANTRCVMORE,
	SOLISTENING,
	SS_ISCONNECTED,
	SS_ISCONNECTING,
	SS_ISDISCONNECTED,
	SS_ISDISCONNECTING,
	SS_NBIO,
	type sockbuf,
	type socket,
	type soreceive_args,
} from "./socket.ts";
import { type uio, uiomove } from "./uio.ts";
import {
	SOCKBUF_LOCK,
	SOCKBUF_UNLOCK,
	sbavail,
	sbcut_locked,
	sbdroprecord_locked,
	sbfree,
	sblock,
	sbunlock,
	sbwait,
	sodupsockaddr,
} from "./uipc_sockbuf.ts";

/** After the first mbuf of the first record was replaced: makes the record list consistent again. */
function sockbuf_pushsync(sb: sockbuf, nextrecord: mbuf | null): void {
	if (sb.sb_mb !== null) sb.sb_mb.m_nextpkt = nextrecord;
	else sb.sb_mb = nextrecord;
	if (sb.sb_mb === null) {
		sb.sb_mbtail = null;
		sb.sb_lastrecord = null;
	} else if (sb.sb_mb.m_nextpkt === null) sb.sb_lastrecord = sb.sb_mb;
}

const KEEP_WAITING = -2;
const TAKE_WHAT_IS_THERE = -3;

/** What a read does that finds less than it wants: an error, 0 for the end of the data, or one of the two above. */
function receive_or_wait(so: socket, sb: sockbuf, flags: number, resid: number): Errno {
	const m = sb.sb_mb;
	if (so.so_error !== 0) {
		if (m !== null) return TAKE_WHAT_IS_THERE;
		const error = so.so_error;
		if ((flags & MSG_PEEK) === 0) so.so_error = 0;
		return error;
	}
	if ((sb.sb_state & SBS_CANTRCVMORE) !== 0) return m !== null ? TAKE_WHAT_IS_THERE : 0;
	for (let n = m; n !== null; n = n.m_next) if ((n.m_flags & M_EOR) !== 0) return TAKE_WHAT_IS_THERE;
	const connected = SS_ISCONNECTING | SS_ISCONNECTED | SS_ISDISCONNECTING | SS_ISDISCONNECTED;
	if ((so.so_state & connected) === 0 && (so.so_proto.pr_flags & PR_CONNREQUIRED) !== 0) return ENOTCONN;
	if (resid === 0) return 0;
	if ((so.so_state & SS_NBIO) !== 0 || (flags & (MSG_DONTWAIT | MSG_NBIO)) !== 0) return EWOULDBLOCK;
	return KEEP_WAITING;
}

/** Takes the control messages off the front of the record. @returns the first mbuf of data, if any */
function receive_control(sb: sockbuf, msg: soreceive_args, peek: boolean, first: mbuf): mbuf | null {
	let m: mbuf | null = first;
	let last: mbuf | null = null;
	const nextrecord = first.m_nextpkt;
	while (m !== null && m.m_type === MT_CONTROL) {
		let cm: mbuf | null = m;
		if (peek) {
			m = m.m_next;
			cm = msg.want_control ? m_copym(cm, 0, cm.m_len, M_WAITOK) : null;
		} else {
			sbfree(sb, cm);
			sb.sb_mb = m = cm.m_next;
			cm.m_next = null;
			cm.m_nextpkt = null;
			if (!msg.want_control) {
				m_freem(cm);
				cm = null;
			}
		}
		if (cm === null) continue;
		if (last === null) msg.controlp = cm;
		else last.m_next = cm;
		last = cm;
	}
	if (!peek) sockbuf_pushsync(sb, nextrecord);
	return m;
}

/** Receives from any socket. */
export function* soreceive_generic(so: socket, u: uio, msg: soreceive_args): Blocking<Errno> {
	const sb = so.so_rcv;
	const pr = so.so_proto;
	let flags = msg.flags & ~MSG_EOR;
	let orig_resid = u.uio_resid;
	let error: Errno;
	let mp_last: mbuf | null = null;
	msg.psa = null;
	msg.mp0 = null;
	msg.controlp = null;
	charge(cost.soreceive);
	if ((flags & MSG_OOB) !== 0) return EOPNOTSUPP;
	error = yield* sblock(sb, (flags & MSG_DONTWAIT) !== 0 ? 0 : SBL_WAIT);
	if (error !== 0) return error;
	const peek = (flags & MSG_PEEK) !== 0;

	restart: for (;;) {
		yield* SOCKBUF_LOCK(sb);
		let m = sb.sb_mb;
		if (
			m === null ||
			((flags & MSG_DONTWAIT) === 0 &&
				sbavail(sb) < u.uio_resid &&
				sbavail(sb) < sb.sb_lowat &&
				m.m_nextpkt === null &&
				(pr.pr_flags & PR_ATOMIC) === 0)
		) {
			const verdict = receive_or_wait(so, sb, flags, u.uio_resid);
			if (verdict === KEEP_WAITING) {
				error = yield* sbwait(sb);
				yield* SOCKBUF_UNLOCK(sb);
				if (error !== 0) break;
				continue;
			}
			if (verdict !== TAKE_WHAT_IS_THERE) {
				yield* SOCKBUF_UNLOCK(sb);
				error = verdict;
				break;
			}
		}
		if (m === null) panic("soreceive: no data");

		let nextrecord = m.m_nextpkt;
		if ((pr.pr_flags & PR_ADDR) !== 0) {
			KASSERT(m.m_type === MT_SONAME, `m->m_type == ${m.m_type}`);
			orig_resid = 0;
			if (msg.want_addr) msg.psa = sodupsockaddr(m);
			if (peek) m = m.m_next;
			else {
				sbfree(sb, m);
				m.m_nextpkt = null;
				sb.sb_mb = m = m_free(m);
				sockbuf_pushsync(sb, nextrecord);
			}
		}
		if (m !== null && m.m_type === MT_CONTROL) {
			m = receive_control(sb, msg, peek, m);
			orig_resid = 0;
		}
		if (m !== null && !peek) nextrecord = m.m_nextpkt;

		let moff = 0;
		while (m !== null && u.uio_resid > 0 && error === 0) {
			if (m.m_type === MT_CONTROL) break;
			const len: number = Math.min(u.uio_resid, m.m_len - moff);
			charge(cost.soreceive_mbuf);
			if (msg.want_mbuf) u.uio_resid -= len;
			else {
				yield* SOCKBUF_UNLOCK(sb);
				uiomove(m.m_buf, m.m_data + moff, len, u);
				yield* SOCKBUF_LOCK(sb);
			}
			if (len === m.m_len - moff) {
				if ((m.m_flags & M_EOR) !== 0) flags |= MSG_EOR;
				if (peek) {
					m = m.m_next;
					moff = 0;
				} else {
					nextrecord = m.m_nextpkt;
					sbfree(sb, m);
					m.m_nextpkt = null;
					if (msg.want_mbuf) {
						if (mp_last === null) msg.mp0 = m;
						else mp_last.m_next = m;
						mp_last = m;
						sb.sb_mb = m = m.m_next;
						mp_last.m_next = null;
					} else sb.sb_mb = m = m_free(m);
					sockbuf_pushsync(sb, nextrecord);
				}
			} else if (peek) moff += len;
			else {
				if (msg.want_mbuf) {
					const copy = m_copym(m, 0, len, M_WAITOK);
					if (copy === null) {
						u.uio_resid += len;
						break;
					}
					if (mp_last === null) msg.mp0 = copy;
					else mp_last.m_next = copy;
					mp_last = copy;
				}
				m_freem(sbcut_locked(sb, len));
			}
			if ((flags & MSG_EOR) !== 0) break;
			// MSG_WAITALL: more than is there is wanted, and may yet come
			while (
				(flags & MSG_WAITALL) !== 0 &&
				m === null &&
				u.uio_resid > 0 &&
				(pr.pr_flags & PR_ATOMIC) === 0 &&
				nextrecord === null
			) {
				if (so.so_error !== 0 || (sb.sb_state & SBS_CANTRCVMORE) !== 0) break;
				if ((pr.pr_flags & PR_WANTRCVD) !== 0) {
					yield* SOCKBUF_UNLOCK(sb);
					yield* pr.pr_usrreqs.pru_rcvd(so, flags);
					yield* SOCKBUF_LOCK(sb);
				}
				if (sb.sb_mb === null) {
					error = yield* sbwait(sb);
					if (error !== 0) {
						yield* SOCKBUF_UNLOCK(sb);
						break restart;
					}
				}
				m = sb.sb_mb;
				if (m !== null) nextrecord = m.m_nextpkt;
			}
		}
		if (m !== null && (pr.pr_flags & PR_ATOMIC) !== 0) {
			flags |= MSG_TRUNC;
			if (!peek) sbdroprecord_locked(sb);
		}
		if (!peek) {
			if (m === null) {
				sb.sb_mb = nextrecord;
				if (nextrecord === null) {
					sb.sb_mbtail = null;
					sb.sb_lastrecord = null;
				} else if (nextrecord.m_nextpkt === null) sb.sb_lastrecord = nextrecord;
			}
			if ((pr.pr_flags & PR_WANTRCVD) !== 0) {
				yield* SOCKBUF_UNLOCK(sb);
				yield* pr.pr_usrreqs.pru_rcvd(so, flags);
				yield* SOCKBUF_LOCK(sb);
			}
		}
		const again =
			orig_resid === u.uio_resid &&
			orig_resid !== 0 &&
			(flags & MSG_EOR) === 0 &&
			(sb.sb_state & SBS_CANTRCVMORE) === 0;
		yield* SOCKBUF_UNLOCK(sb);
		if (again) continue;
		msg.flags |= flags;
		break;
	}
	yield* sbunlock(sb);
	return error;
}

/** Receives into `u`; `msg` says what else is wanted, and gets it. */
export function* soreceive(so: socket, u: uio, msg: soreceive_args): Blocking<Errno> {
	if (SOLISTENING(so)) return ENOTCONN;
	const saved = CURVNET_SET(so.so_vnet);
	const receive = so.so_proto.pr_usrreqs.pru_soreceive ?? soreceive_generic;
	const error = yield* receive(so, u, msg);
	CURVNET_RESTORE(saved);
	return error;
}
