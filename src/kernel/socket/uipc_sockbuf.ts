/**
 * Socket buffers: appending, dropping, counting, waiting and waking.
 *
 * Data are a list of records (m_nextpkt), each a chain of mbufs (m_next). A stream has one record. Counters follow the
 * rules of sballoc and sbfree, so that sbspace is bounded by bytes and by mbuf memory alike. Data that are not ready yet
 * (sendfile, kernel TLS) do not occur here.
 *
 * Functions with `_locked` in their name, and all plain ones, want sb_mtx held.
 *
 * @see uipc_sockbuf.c, sys/sockbuf.h
 */
import { ENOBUFS, type Errno, EWOULDBLOCK } from "../errno.ts";
import { MA_OWNED, mtx_assert, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import { sx_xlock, sx_xunlock } from "../lock/sx.ts";
import {
	type int_ref,
	M_EOR,
	M_EXT,
	M_NOWAIT,
	M_PKTHDR,
	M_TRAILINGSPACE,
	M_WRITABLE,
	MCLBYTES,
	MSIZE,
	MT_DATA,
	MT_OOBDATA,
	MT_SONAME,
	m_clrprotoflags,
	m_copydata,
	m_demote,
	m_free,
	m_freem,
	m_get,
	m_last,
	m_length,
	m_not_filler,
	m_tag_delete_chain,
	type mbuf,
} from "../mbuf/mbuf.ts";
import {
	AF_INET6,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
} from "../netinet/in.ts";
import { curkernel, KASSERT, panic, priorities } from "../sched/kernel.ts";
import { msleep, wakeup } from "../sched/sleepqueue.ts";
import { type Blocking, charge, cost, sync } from "../sched/thread.ts";
import { selwakeup } from "./select.ts";
import {
	SB_MAX,
	SB_NOCOALESCE,
	SB_SEL,
	SB_STOP,
	SB_UPCALL,
	SB_WAIT,
	SBL_WAIT,
	SBS_CANTRCVMORE,
	SBS_CANTSENDMORE,
	SO_RCV,
	SU_ISCONNECTED,
	SU_OK,
	type sockbuf,
	type socket,
} from "./socket.ts";
import { soisconnected, soupcall_clear } from "./uipc_socket.ts";

/** most a buffer may hold, less the mbufs' own share */
export const sb_max_adj: number = Math.floor((SB_MAX * MCLBYTES) / (MSIZE + MCLBYTES));
/** kern.ipc.sockbuf_waste_factor */
const sb_efficiency = 8;

export function SOCKBUF_LOCK(sb: sockbuf): Blocking<void> {
	return mtx_lock(sb.sb_mtx);
}

export function SOCKBUF_UNLOCK(sb: sockbuf): Blocking<void> {
	return mtx_unlock(sb.sb_mtx);
}

export function SOCKBUF_LOCK_ASSERT(sb: sockbuf): void {
	mtx_assert(sb.sb_mtx, MA_OWNED);
}

export function sbavail(sb: sockbuf): number {
	return sb.sb_acc;
}

export function sbused(sb: sockbuf): number {
	return sb.sb_ccc;
}

/** Room left: the smaller of bytes and mbuf memory; negative when over-committed. */
export function sbspace(sb: sockbuf): number {
	if ((sb.sb_flags & SB_STOP) !== 0) return 0;
	const bleft = sb.sb_hiwat - sb.sb_ccc;
	const mleft = sb.sb_mbmax - sb.sb_mbcnt;
	return Math.min(bleft, mleft);
}

/** Counts an mbuf in. */
export function sballoc(sb: sockbuf, m: mbuf): void {
	sb.sb_ccc += m.m_len;
	sb.sb_acc += m.m_len;
	if (m.m_type !== MT_DATA && m.m_type !== MT_OOBDATA) sb.sb_ctl += m.m_len;
	sb.sb_mbcnt += MSIZE;
	sb.sb_mcnt++;
	if ((m.m_flags & M_EXT) !== 0) {
		sb.sb_mbcnt += m.m_ext.ext_size;
		sb.sb_ccnt++;
	}
}

/** Counts an mbuf out, and forgets the send pointer if it stood on it. */
export function sbfree(sb: sockbuf, m: mbuf): void {
	sb.sb_ccc -= m.m_len;
	sb.sb_acc -= m.m_len;
	if (m.m_type !== MT_DATA && m.m_type !== MT_OOBDATA) sb.sb_ctl -= m.m_len;
	sb.sb_mbcnt -= MSIZE;
	sb.sb_mcnt--;
	if ((m.m_flags & M_EXT) !== 0) {
		sb.sb_mbcnt -= m.m_ext.ext_size;
		sb.sb_ccnt--;
	}
	if (sb.sb_sndptr === m) {
		sb.sb_sndptr = null;
		sb.sb_sndptroff = 0;
	}
	if (sb.sb_sndptroff !== 0) sb.sb_sndptroff -= m.m_len;
}

/**
 * Sets a buffer's limits.
 *
 * FreeBSD also counts against the user's and the process's limits, which are infinite by default and not modelled.
 *
 * @returns false if `cc` is more than any buffer may have
 */
export function sbreserve_locked(sb: sockbuf, cc: number): boolean {
	if (cc > sb_max_adj) return false;
	sb.sb_hiwat = cc;
	sb.sb_mbmax = Math.min(cc * sb_efficiency, SB_MAX);
	if (sb.sb_lowat > sb.sb_hiwat) sb.sb_lowat = sb.sb_hiwat;
	return true;
}

export function* soreserve(so: socket, sndcc: number, rcvcc: number): Blocking<Errno> {
	let error: Errno = 0;
	yield* SOCKBUF_LOCK(so.so_snd);
	yield* SOCKBUF_LOCK(so.so_rcv);
	if (!sbreserve_locked(so.so_snd, sndcc)) error = ENOBUFS;
	else if (!sbreserve_locked(so.so_rcv, rcvcc)) {
		sbrelease_locked(so.so_snd);
		error = ENOBUFS;
	} else {
		if (so.so_rcv.sb_lowat === 0) so.so_rcv.sb_lowat = 1;
		if (so.so_snd.sb_lowat === 0) so.so_snd.sb_lowat = MCLBYTES;
		if (so.so_snd.sb_lowat > so.so_snd.sb_hiwat) so.so_snd.sb_lowat = so.so_snd.sb_hiwat;
	}
	yield* SOCKBUF_UNLOCK(so.so_rcv);
	yield* SOCKBUF_UNLOCK(so.so_snd);
	return error;
}

/** Frees the data and gives the reservation back. */
export function sbrelease_locked(sb: sockbuf): void {
	sbflush_locked(sb);
	sb.sb_hiwat = 0;
	sb.sb_mbmax = 0;
}

/** Takes the buffer of a socket that nobody else refers to any more apart. */
export function sbdestroy(sb: sockbuf): void {
	sbrelease_locked(sb);
}

function SBLINKRECORD(sb: sockbuf, m0: mbuf): void {
	if (sb.sb_lastrecord !== null) sb.sb_lastrecord.m_nextpkt = m0;
	else sb.sb_mb = m0;
	sb.sb_lastrecord = m0;
}

function SB_EMPTY_FIXUP(sb: sockbuf): void {
	if (sb.sb_mb === null) {
		sb.sb_mbtail = null;
		sb.sb_lastrecord = null;
	}
}

/** Appends to the last record; begins one if there is none, or if the last one is complete. */
export function sbappend_locked(sb: sockbuf, m: mbuf | null): void {
	SOCKBUF_LOCK_ASSERT(sb);
	if (m === null) return;
	m_clrprotoflags(m);
	let n: mbuf | null = sb.sb_lastrecord;
	if (n === null) sb.sb_lastrecord = m;
	else {
		for (;;) {
			if ((n.m_flags & M_EOR) !== 0) {
				sbappendrecord_locked(sb, m);
				return;
			}
			if (n.m_next === null) break;
			n = n.m_next;
		}
	}
	sbcompress(sb, m, n);
}

/** Appends to a buffer that never has more than one record, as TCP's. */
export function sbappendstream_locked(sb: sockbuf, m: mbuf): void {
	SOCKBUF_LOCK_ASSERT(sb);
	KASSERT(m.m_nextpkt === null, "sbappendstream 0");
	KASSERT(sb.sb_mb === sb.sb_lastrecord, "sbappendstream 1");
	charge(cost.sbappend);
	m_demote(m, 1, 0);
	sbcompress(sb, m, sb.sb_mbtail);
	sb.sb_lastrecord = sb.sb_mb;
}

export function* sbappendstream(sb: sockbuf, m: mbuf): Blocking<void> {
	yield* SOCKBUF_LOCK(sb);
	sbappendstream_locked(sb, m);
	yield* SOCKBUF_UNLOCK(sb);
}

/** Begins a new record with `m0`. */
export function sbappendrecord_locked(sb: sockbuf, m0: mbuf | null): void {
	SOCKBUF_LOCK_ASSERT(sb);
	if (m0 === null) return;
	m_clrprotoflags(m0);
	sballoc(sb, m0);
	SBLINKRECORD(sb, m0);
	sb.sb_mbtail = m0;
	const m = m0.m_next;
	m0.m_next = null;
	if (m !== null && (m0.m_flags & M_EOR) !== 0) {
		m0.m_flags &= ~M_EOR;
		m.m_flags |= M_EOR;
	}
	sbcompress(sb, m, m0);
}

/** Bytes a socket address has in C. */
function sockaddr_len(sa: sockaddr): number {
	return sa.sa_family === AF_INET6 ? 28 : 16;
}

/** Writes an address with C's layout into an MT_SONAME mbuf. */
function sockaddr_to_mbuf(sa: sockaddr, m: mbuf): void {
	const buf = m.m_buf;
	const at = m.m_data;
	m.m_len = sockaddr_len(sa);
	buf[at] = m.m_len;
	buf[at + 1] = sa.sa_family;
	if (sa.sa_family === AF_INET6) {
		const sin6 = sa as sockaddr_in6;
		in_put16(buf, at + 2, sin6.sin6_port);
		in_put32(buf, at + 4, sin6.sin6_flowinfo);
		buf.set(sin6.sin6_addr, at + 8);
		in_put32(buf, at + 24, sin6.sin6_scope_id);
	} else {
		const sin = sa as sockaddr_in;
		in_put16(buf, at + 2, sin.sin_port);
		in_put32(buf, at + 4, sin.sin_addr);
		buf.fill(0, at + 8, at + 16);
	}
}

/** The address an MT_SONAME mbuf holds, as an object of its own. @see uipc_socket.c sodupsockaddr */
export function sodupsockaddr(m: mbuf): sockaddr {
	const buf = m.m_buf;
	const at = m.m_data;
	if (buf[at + 1] === AF_INET6) {
		const sin6 = new sockaddr_in6(buf.slice(at + 8, at + 24), in_get16(buf, at + 2));
		sin6.sin6_flowinfo = in_get32(buf, at + 4);
		sin6.sin6_scope_id = in_get32(buf, at + 24);
		return sin6;
	}
	return new sockaddr_in(in_get32(buf, at + 4), in_get16(buf, at + 2));
}

/**
 * Appends one datagram: its sender, control messages and data, as one record.
 *
 * @returns false, having consumed nothing, when there is no room or no mbuf
 */
export function sbappendaddr_locked(sb: sockbuf, asa: sockaddr, m0: mbuf | null, control: mbuf | null): boolean {
	SOCKBUF_LOCK_ASSERT(sb);
	if (m0 !== null && (m0.m_flags & M_PKTHDR) === 0) panic("sbappendaddr_locked");
	let space = sockaddr_len(asa) + (m0 === null ? 0 : m0.m_pkthdr.len);
	if (control !== null) space += m_length(control);
	if (space > sbspace(sb)) return false;
	const m = m_get(M_NOWAIT, MT_SONAME);
	if (m === null) return false;
	charge(cost.sbappend);
	sockaddr_to_mbuf(asa, m);
	if (m0 !== null) {
		m_clrprotoflags(m0);
		m_tag_delete_chain(m0, null);
		m0.m_pkthdr.rcvif = null;
		m0.m_pkthdr.flowid = 0;
		m0.m_pkthdr.csum_flags = 0;
		m0.m_pkthdr.fibnum = 0;
		m0.m_pkthdr.rsstype = 0;
	}
	if (control !== null) {
		m_last(control).m_next = m0;
		m.m_next = control;
	} else m.m_next = m0;
	let n = m;
	for (; n.m_next !== null; n = n.m_next) sballoc(sb, n);
	sballoc(sb, n);
	SBLINKRECORD(sb, m);
	sb.sb_mbtail = n;
	return true;
}

export function* sbappendaddr(sb: sockbuf, asa: sockaddr, m0: mbuf | null, control: mbuf | null): Blocking<boolean> {
	yield* SOCKBUF_LOCK(sb);
	const appended = sbappendaddr_locked(sb, asa, m0, control);
	yield* SOCKBUF_UNLOCK(sb);
	return appended;
}

/**
 * Appends a chain after `n`. Empty mbufs are dropped, and up to a quarter of a cluster is copied into the last mbuf's
 * free room rather than linked: that is how small segments share a cluster.
 */
export function sbcompress(sb: sockbuf, m: mbuf | null, n: mbuf | null): void {
	let eor = 0;
	while (m !== null) {
		eor |= m.m_flags & M_EOR;
		const other: mbuf | null = m.m_next ?? n;
		if (m.m_len === 0 && (eor === 0 || (other !== null && other.m_type === m.m_type))) {
			if (sb.sb_lastrecord === m) sb.sb_lastrecord = m.m_next;
			m = m_free(m);
			continue;
		}
		if (
			n !== null &&
			(n.m_flags & M_EOR) === 0 &&
			(sb.sb_flags & SB_NOCOALESCE) === 0 &&
			m.m_len <= MCLBYTES / 4 &&
			n.m_type === m.m_type &&
			M_WRITABLE(n) &&
			m.m_len <= M_TRAILINGSPACE(n)
		) {
			m_not_filler(n, n.m_data + n.m_len, n.m_data + n.m_len + m.m_len);
			m_copydata(m, 0, m.m_len, n.m_buf, n.m_data + n.m_len);
			n.m_len += m.m_len;
			sb.sb_ccc += m.m_len;
			sb.sb_acc += m.m_len;
			if (m.m_type !== MT_DATA && m.m_type !== MT_OOBDATA) sb.sb_ctl += m.m_len;
			m = m_free(m);
			continue;
		}
		if (n !== null) n.m_next = m;
		else sb.sb_mb = m;
		sb.sb_mbtail = m;
		sballoc(sb, m);
		n = m;
		m.m_flags &= ~M_EOR;
		m = m.m_next;
		n.m_next = null;
	}
	if (eor !== 0) {
		KASSERT(n !== null, "sbcompress: eor && n == NULL");
		n!.m_flags |= eor;
	}
}

/** Frees everything in the buffer. */
export function sbflush_locked(sb: sockbuf): void {
	while (sb.sb_mbcnt !== 0) {
		if (sb.sb_ccc === 0 && (sb.sb_mb === null || sb.sb_mb.m_len !== 0)) break;
		m_freem(sbcut_locked(sb, sb.sb_ccc));
	}
	KASSERT(
		sb.sb_ccc === 0 && sb.sb_mb === null && sb.sb_mbcnt === 0,
		`sbflush_internal: ccc ${sb.sb_ccc} mbcnt ${sb.sb_mbcnt}`,
	);
}

export function* sbflush(sb: sockbuf): Blocking<void> {
	yield* SOCKBUF_LOCK(sb);
	sbflush_locked(sb);
	yield* SOCKBUF_UNLOCK(sb);
}

/** Cuts `len` bytes off the front, and mbufs without data behind them. @returns the whole mbufs cut off, for the caller to free */
export function sbcut_locked(sb: sockbuf, len: number): mbuf | null {
	KASSERT(len >= 0 && len <= sb.sb_ccc, `sbcut_internal: len: ${len} is > ccc: ${sb.sb_ccc}`);
	let m = sb.sb_mb;
	let next = m === null ? null : m.m_nextpkt;
	let mfree: mbuf | null = null;
	let n: mbuf | null;
	while (len > 0) {
		if (m === null) {
			if (next === null) panic(`sbcut_internal: no next, len ${len}`);
			m = next;
			next = m.m_nextpkt;
		}
		if (m.m_len > len) {
			m.m_len -= len;
			m.m_data += len;
			sb.sb_ccc -= len;
			sb.sb_acc -= len;
			if (sb.sb_sndptroff !== 0) sb.sb_sndptroff -= len;
			if (m.m_type !== MT_DATA && m.m_type !== MT_OOBDATA) sb.sb_ctl -= len;
			break;
		}
		len -= m.m_len;
		sbfree(sb, m);
		n = m.m_next;
		m.m_next = mfree;
		mfree = m;
		m = n;
	}
	while (m !== null && m.m_len === 0) {
		sbfree(sb, m);
		n = m.m_next;
		m.m_next = mfree;
		mfree = m;
		m = n;
	}
	if (m !== null) {
		sb.sb_mb = m;
		m.m_nextpkt = next;
	} else sb.sb_mb = next;
	m = sb.sb_mb;
	if (m === null) SB_EMPTY_FIXUP(sb);
	else if (m.m_nextpkt === null) sb.sb_lastrecord = m;
	return mfree;
}

/** Drops `len` bytes from the front. */
export function sbdrop_locked(sb: sockbuf, len: number): void {
	SOCKBUF_LOCK_ASSERT(sb);
	charge(cost.sbdrop);
	m_freem(sbcut_locked(sb, len));
}

export function* sbdrop(sb: sockbuf, len: number): Blocking<void> {
	yield* SOCKBUF_LOCK(sb);
	const mfree = sbcut_locked(sb, len);
	yield* SOCKBUF_UNLOCK(sb);
	m_freem(mfree);
}

/** Drops the first record. */
export function sbdroprecord_locked(sb: sockbuf): void {
	SOCKBUF_LOCK_ASSERT(sb);
	let m = sb.sb_mb;
	if (m !== null) {
		sb.sb_mb = m.m_nextpkt;
		while (m !== null) {
			sbfree(sb, m);
			m = m_free(m);
		}
	}
	SB_EMPTY_FIXUP(sb);
}

/**
 * Where to begin looking for byte `off` of the send buffer: the mbuf the last new segment ended in, or the first one.
 * Byte `off` lies `moff.value` bytes behind the start of the returned mbuf.
 */
export function sbsndptr_noadv(sb: sockbuf, off: number, moff: int_ref): mbuf {
	KASSERT(sb.sb_mb !== null, "sbsndptr_noadv: sb_mb is NULL");
	if (sb.sb_sndptr === null || sb.sb_sndptroff > off) {
		if (sb.sb_sndptr === null) {
			sb.sb_sndptr = sb.sb_mb;
			sb.sb_sndptroff = 0;
		}
		moff.value = off;
		return sb.sb_mb!;
	}
	moff.value = off - sb.sb_sndptroff;
	return sb.sb_sndptr;
}

/**
 * Moves the send pointer behind the `len` bytes that were just sent from `moff` in `mb`; a retransmission, which does not
 * begin at the pointer, does not move it. The pointer stays on an mbuf until it is used up. FreeBSD leaves out `moff` here
 * and so lags behind, which costs it longer walks and changes nothing else.
 */
export function sbsndptr_adv(sb: sockbuf, mb: mbuf, moff: number, len: number): void {
	if (mb !== sb.sb_sndptr) return;
	let m = mb;
	let left = moff + len;
	while (left >= m.m_len && m.m_next !== null) {
		left -= m.m_len;
		sb.sb_sndptroff += m.m_len;
		m = m.m_next;
		sb.sb_sndptr = m;
	}
}

/** A timeout in clock ticks, rounded up; 0 stays for ever. */
export function ns_to_ticks(ns: number): number {
	return Math.ceil(ns / curkernel.tick_ns);
}

/** Sleeps until the buffer changes, with its lock dropped, or its timeout is over. */
export function* sbwait(sb: sockbuf): Blocking<Errno> {
	SOCKBUF_LOCK_ASSERT(sb);
	sb.sb_flags |= SB_WAIT;
	return yield* msleep(sb, sb.sb_mtx, priorities().PSOCK, "sbwait", ns_to_ticks(sb.sb_timeo));
}

/** Keeps other readers, or writers, out for the length of a whole operation. */
export function* sblock(sb: sockbuf, flags: number): Blocking<Errno> {
	if ((flags & SBL_WAIT) !== 0) {
		yield* sx_xlock(sb.sb_sx);
		return 0;
	}
	yield* sync();
	if (sb.sb_sx.sx_owner !== null) return EWOULDBLOCK;
	yield* sx_xlock(sb.sb_sx);
	return 0;
}

export function* sbunlock(sb: sockbuf): Blocking<void> {
	yield* sx_xunlock(sb.sb_sx);
}

export function sb_notify(sb: sockbuf): boolean {
	return (sb.sb_flags & (SB_WAIT | SB_SEL | SB_UPCALL)) !== 0;
}

/** Tells whoever waits for this buffer that it changed. Entered with the buffer's lock held, which it drops. */
export function* sowakeup(so: socket, sb: sockbuf): Blocking<void> {
	SOCKBUF_LOCK_ASSERT(sb);
	charge(cost.sowakeup);
	if ((sb.sb_flags & SB_SEL) !== 0) {
		yield* selwakeup(sb.sb_sel);
		if (sb.sb_sel.si_waiters.length === 0) sb.sb_flags &= ~SB_SEL;
	}
	if ((sb.sb_flags & SB_WAIT) !== 0) {
		sb.sb_flags &= ~SB_WAIT;
		yield* wakeup(sb);
	}
	let ret = SU_OK;
	if (sb.sb_upcall !== null) {
		ret = yield* sb.sb_upcall(so, sb.sb_upcallarg, M_NOWAIT);
		if (ret === SU_ISCONNECTED) {
			KASSERT(sb === so.so_rcv, "SO_SND upcall returned SU_ISCONNECTED");
			soupcall_clear(so, SO_RCV);
		}
	}
	yield* SOCKBUF_UNLOCK(sb);
	if (ret === SU_ISCONNECTED) yield* soisconnected(so);
}

export function* sorwakeup_locked(so: socket): Blocking<void> {
	return sb_notify(so.so_rcv) ? yield* sowakeup(so, so.so_rcv) : yield* SOCKBUF_UNLOCK(so.so_rcv);
}

export function* sowwakeup_locked(so: socket): Blocking<void> {
	return sb_notify(so.so_snd) ? yield* sowakeup(so, so.so_snd) : yield* SOCKBUF_UNLOCK(so.so_snd);
}

export function* sorwakeup(so: socket): Blocking<void> {
	yield* SOCKBUF_LOCK(so.so_rcv);
	yield* sorwakeup_locked(so);
}

export function* sowwakeup(so: socket): Blocking<void> {
	yield* SOCKBUF_LOCK(so.so_snd);
	yield* sowwakeup_locked(so);
}

/** No more will be sent on this socket; drops the lock. */
export function* socantsendmore_locked(so: socket): Blocking<void> {
	SOCKBUF_LOCK_ASSERT(so.so_snd);
	so.so_snd.sb_state |= SBS_CANTSENDMORE;
	return yield* sowwakeup_locked(so);
}

export function* socantsendmore(so: socket): Blocking<void> {
	yield* SOCKBUF_LOCK(so.so_snd);
	yield* socantsendmore_locked(so);
}

/** No more will come in on this socket; drops the lock. */
export function* socantrcvmore_locked(so: socket): Blocking<void> {
	SOCKBUF_LOCK_ASSERT(so.so_rcv);
	so.so_rcv.sb_state |= SBS_CANTRCVMORE;
	return yield* sorwakeup_locked(so);
}

export function* socantrcvmore(so: socket): Blocking<void> {
	yield* SOCKBUF_LOCK(so.so_rcv);
	yield* socantrcvmore_locked(so);
}
