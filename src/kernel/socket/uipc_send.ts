/**
 * Sending on a socket: copying a program's data into mbufs and handing them to the protocol, waiting for room on the way.
 *
 * @see uipc_socket.c sosend, sosend_dgram, sosend_generic; uipc_mbuf.c m_uiotombuf
 */
import { EDESTADDRREQ, EINVAL, EMSGSIZE, ENOBUFS, ENOTCONN, EPIPE, type Errno, EWOULDBLOCK } from "../errno.ts";
import {
	M_EOR,
	M_EXT,
	M_PKTHDR,
	M_TRAILINGSPACE,
	M_WAITOK,
	MT_DATA,
	m_freem,
	m_getm2,
	m_length,
	max_hdr,
	type mbuf,
} from "../mbuf/mbuf.ts";
import type { sockaddr } from "../netinet/in.ts";
import { CURVNET_RESTORE, CURVNET_SET, cost_only, KASSERT } from "../sched/kernel.ts";
import { type Blocking, charge, cost, type thread } from "../sched/thread.ts";
import {
	MSG_DONTROUTE,
	MSG_DONTWAIT,
	MSG_EOF,
	MSG_EOR,
	MSG_MORETOCOME,
	MSG_NBIO,
	MSG_OOB,
	PR_ATOMIC,
	PR_CONNREQUIRED,
	PR_IMPLOPCL,
	PRUS_EOF,
	PRUS_MORETOCOME,
	PRUS_OOB,
	SBL_WAIT,
	SBS_CANTSENDMORE,
	SO_DONTROUTE,
	SOCK_DGRAM,
	SOCK_STREAM,
	SOLISTENING,
	SS_ISCONFIRMING,
	SS_ISCONNECTED,
	SS_NBIO,
	type socket,
} from "./socket.ts";
import { type uio, uiomove } from "./uio.ts";
import { SOCKBUF_LOCK, SOCKBUF_UNLOCK, sblock, sbspace, sbunlock, sbwait } from "./uipc_sockbuf.ts";
import { SOCK_LOCK, SOCK_UNLOCK } from "./uipc_socket.ts";

/**
 * Copies at most `len` bytes of a transfer into a fresh chain, in page-sized clusters where they pay.
 *
 * @param align room to leave in front of the data
 * @returns the chain; one empty mbuf when there is nothing to copy; null when memory is out
 */
export function m_uiotombuf(u: uio, how: number, len: number, align: number, flags: number): mbuf | null {
	const total = Math.min(u.uio_resid, len);
	const m = m_getm2(null, Math.max(total + align, 1), how, MT_DATA, flags);
	if (m === null) return null;
	m.m_data += align;
	let progress = 0;
	for (let mb: mbuf | null = m; mb !== null; mb = mb.m_next) {
		const length = Math.min(M_TRAILINGSPACE(mb), total - progress);
		if (length > 0) uiomove(mb.m_buf, mb.m_data, length, u);
		if (u.uio_filler && cost_only() && (mb.m_flags & M_EXT) !== 0) {
			mb.m_filler = mb.m_data;
			mb.m_filler_end = mb.m_data + length;
		}
		mb.m_len = length;
		progress += length;
	}
	if ((flags & M_PKTHDR) !== 0) m.m_pkthdr.len = progress;
	KASSERT(progress === total, "m_uiotombuf: progress != total");
	return m;
}

/** Whether the socket may send at all. Its send buffer's lock is held. */
function send_error(so: socket, addr: sockaddr | null, resid: number, clen: number): Errno {
	if ((so.so_snd.sb_state & SBS_CANTSENDMORE) !== 0) return EPIPE;
	if (so.so_error !== 0) {
		const error = so.so_error;
		so.so_error = 0;
		return error;
	}
	if ((so.so_state & SS_ISCONNECTED) === 0) {
		const flags = so.so_proto.pr_flags;
		if ((flags & PR_CONNREQUIRED) !== 0 && (flags & PR_IMPLOPCL) === 0) {
			if ((so.so_state & SS_ISCONFIRMING) === 0 && !(resid === 0 && clen !== 0)) return ENOTCONN;
		} else if (addr === null) return (flags & PR_CONNREQUIRED) !== 0 ? ENOTCONN : EDESTADDRREQ;
	}
	return 0;
}

function* set_dontroute(so: socket, on: boolean): Blocking<void> {
	yield* SOCK_LOCK(so);
	if (on) so.so_options |= SO_DONTROUTE;
	else so.so_options &= ~SO_DONTROUTE;
	yield* SOCK_UNLOCK(so);
}

/** What pru_send is told: urgent data, end of data, or that more will follow at once. */
function send_flags(so: socket, flags: number, resid: number, space: number): number {
	if ((flags & MSG_OOB) !== 0) return PRUS_OOB;
	if ((flags & MSG_EOF) !== 0 && (so.so_proto.pr_flags & PR_IMPLOPCL) !== 0 && resid <= 0) return PRUS_EOF;
	return (flags & MSG_MORETOCOME) !== 0 || (resid > 0 && space > 0) ? PRUS_MORETOCOME : 0;
}

/** Sends one datagram, which never waits: the buffer's size is only a bound on its length. */
export function* sosend_dgram(
	so: socket,
	addr: sockaddr | null,
	u: uio | null,
	top: mbuf | null,
	control: mbuf | null,
	flags: number,
	td: thread,
): Blocking<Errno> {
	KASSERT(so.so_type === SOCK_DGRAM, "sosend_dgram: !SOCK_DGRAM");
	KASSERT((so.so_proto.pr_flags & PR_ATOMIC) !== 0, "sosend_dgram: !PR_ATOMIC");
	charge(cost.sosend);
	const resid = u !== null ? u.uio_resid : top!.m_pkthdr.len;
	const dontroute = (flags & MSG_DONTROUTE) !== 0 && (so.so_options & SO_DONTROUTE) === 0;
	const clen = control === null ? 0 : control.m_len;

	yield* SOCKBUF_LOCK(so.so_snd);
	let error = send_error(so, addr, resid, clen);
	let space = sbspace(so.so_snd) - clen;
	if ((flags & MSG_OOB) !== 0) space += 1024;
	yield* SOCKBUF_UNLOCK(so.so_snd);
	if (error === 0 && resid > space) error = EMSGSIZE;
	if (error === 0 && u !== null) {
		top = m_uiotombuf(u, M_WAITOK, space, max_hdr, M_PKTHDR | ((flags & MSG_EOR) !== 0 ? M_EOR : 0));
		if (top === null) error = ENOBUFS;
	}
	if (error !== 0) {
		m_freem(top);
		m_freem(control);
		return error;
	}
	if (u === null && (flags & MSG_EOR) !== 0) top!.m_flags |= M_EOR;
	if (dontroute) yield* set_dontroute(so, true);
	error = yield* so.so_proto.pr_usrreqs.pru_send(so, send_flags(so, flags, 0, space - resid), top, addr, control, td);
	if (dontroute) yield* set_dontroute(so, false);
	return error;
}

/**
 * Sends on any socket: waits until there is room for something (a stream) or for all of it (a message), copies as much as
 * fits, hands it to the protocol, and goes on until everything is gone.
 */
export function* sosend_generic(
	so: socket,
	addr: sockaddr | null,
	u: uio | null,
	top: mbuf | null,
	control: mbuf | null,
	flags: number,
	td: thread,
): Blocking<Errno> {
	const snd = so.so_snd;
	const atomic = (so.so_proto.pr_flags & PR_ATOMIC) !== 0 || top !== null;
	const usrreqs = so.so_proto.pr_usrreqs;
	charge(cost.sosend);
	let resid = u !== null ? u.uio_resid : (top!.m_flags & M_PKTHDR) !== 0 ? top!.m_pkthdr.len : m_length(top!);
	let error: Errno = so.so_type === SOCK_STREAM && (flags & MSG_EOR) !== 0 ? EINVAL : 0;
	const dontroute =
		(flags & MSG_DONTROUTE) !== 0 && (so.so_options & SO_DONTROUTE) === 0 && (so.so_proto.pr_flags & PR_ATOMIC) !== 0;
	let clen = control === null ? 0 : control.m_len;
	if (error === 0) error = yield* sblock(snd, (flags & MSG_DONTWAIT) !== 0 ? 0 : SBL_WAIT);
	if (error !== 0) {
		m_freem(top);
		m_freem(control);
		return error;
	}
	for (;;) {
		yield* SOCKBUF_LOCK(snd);
		error = send_error(so, addr, resid, clen);
		let space = sbspace(snd);
		if ((flags & MSG_OOB) !== 0) space += 1024;
		if (error === 0 && ((atomic && resid > snd.sb_hiwat) || clen > snd.sb_hiwat)) error = EMSGSIZE;
		if (error === 0 && space < resid + clen && (atomic || space < snd.sb_lowat || space < clen)) {
			if ((so.so_state & SS_NBIO) !== 0 || (flags & (MSG_NBIO | MSG_DONTWAIT)) !== 0) error = EWOULDBLOCK;
			else {
				error = yield* sbwait(snd);
				yield* SOCKBUF_UNLOCK(snd);
				if (error !== 0) break;
				continue;
			}
		}
		yield* SOCKBUF_UNLOCK(snd);
		if (error !== 0) break;
		space -= clen;
		do {
			if (u === null) {
				resid = 0;
				if ((flags & MSG_EOR) !== 0) top!.m_flags |= M_EOR;
			} else {
				top = m_uiotombuf(
					u,
					M_WAITOK,
					space,
					atomic ? max_hdr : 0,
					(atomic ? M_PKTHDR : 0) | ((flags & MSG_EOR) !== 0 ? M_EOR : 0),
				);
				if (top === null) {
					error = ENOBUFS;
					break;
				}
				space -= resid - u.uio_resid;
				resid = u.uio_resid;
			}
			if (dontroute) yield* set_dontroute(so, true);
			error = yield* usrreqs.pru_send(so, send_flags(so, flags, resid, space), top, addr, control, td);
			if (dontroute) yield* set_dontroute(so, false);
			clen = 0;
			control = null;
			top = null;
		} while (error === 0 && resid > 0 && space > 0);
		if (error !== 0 || resid <= 0) break;
	}
	yield* sbunlock(snd);
	m_freem(top);
	m_freem(control);
	return error;
}

/** Sends `top` or what `u` describes; consumes `top` and `control` whatever happens. */
export function* sosend(
	so: socket,
	addr: sockaddr | null,
	u: uio | null,
	top: mbuf | null,
	control: mbuf | null,
	flags: number,
	td: thread,
): Blocking<Errno> {
	if (SOLISTENING(so)) {
		m_freem(top);
		m_freem(control);
		return ENOTCONN;
	}
	const saved = CURVNET_SET(so.so_vnet);
	const send = so.so_proto.pr_usrreqs.pru_sosend ?? (so.so_type === SOCK_DGRAM ? sosend_dgram : sosend_generic);
	const error = yield* send(so, addr, u, top, control, flags, td);
	CURVNET_RESTORE(saved);
	return error;
}
