/**
 * netmap(4), emulated: a program between an interface and the stack.
 *
 * While an interface is in netmap mode, what its driver hands up goes to the program (RX ring) and not to the stack, and what the stack
 * sends goes to the program (host RX ring) and not to the driver. The program sends to the driver (TX ring) or up to the stack (host TX
 * ring) what it likes. A frame that finds its ring full is dropped. Simplified: one ring of each kind, frames are copied out and in one
 * by one, and there are no shared memory, descriptors and ioctls: a program calls the functions below.
 *
 * @see sys/dev/netmap/netmap.c netmap_transmit, netmap_send_up; netmap_generic.c generic_rx_handler, generic_netmap_rxsync;
 * netmap_freebsd.c nm_os_catch_rx, nm_os_catch_tx, nm_os_generic_xmit_frame, nm_os_send_up
 */
import { EBUSY, EINVAL, EMSGSIZE, ENOBUFS, ENXIO, type Errno } from "../errno.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../lock/epoch.ts";
import { MTX_DEF, mtx, mtx_destroy, mtx_init, mtx_lock, mtx_unlock } from "../lock/mutex.ts";
import {
	M_NOWAIT,
	M_PKTHDR,
	MT_DATA,
	m_append,
	m_copydata,
	m_freem,
	m_get2,
	type mbuf,
	mbufq,
	mbufq_dequeue,
	mbufq_drain,
	mbufq_enqueue,
	mbufq_init,
	mbufq_len,
} from "../mbuf/mbuf.ts";
import { CURVNET_RESTORE, CURVNET_SET, priorities } from "../sched/kernel.ts";
import { msleep, wakeup } from "../sched/sleepqueue.ts";
import type { Blocking } from "../sched/thread.ts";
import { IFCAP_NETMAP, IFF_DYING, type if_input_fn_t, type if_transmit_fn_t, type ifnet } from "./if_var.ts";

/** dev.netmap.generic_ringsize: frames a ring holds */
export const NETMAP_RING_SLOTS = 1024;
/** dev.netmap.buf_size: a longer frame has no place in a ring */
export const NETMAP_BUF_SIZE = 2048;

/** One ring of frames on their way to the program. */
class netmap_kring {
	readonly queue = new mbufq();
	/** frames that found it full, or did not fit a buffer */
	drops = 0;

	constructor() {
		mbufq_init(this.queue, NETMAP_RING_SLOTS);
	}
}

/** An interface in netmap mode. @see struct netmap_adapter */
export class netmap_adapter {
	readonly na_ifp: ifnet;
	readonly na_if_input: if_input_fn_t;
	readonly na_if_transmit: if_transmit_fn_t;
	/** from the driver */
	readonly rx = new netmap_kring();
	/** from the stack */
	readonly host_rx = new netmap_kring();
	readonly na_mtx = new mtx();

	constructor(ifp: ifnet) {
		this.na_ifp = ifp;
		this.na_if_input = ifp.if_input;
		this.na_if_transmit = ifp.if_transmit;
		mtx_init(this.na_mtx, "netmap ring", null, MTX_DEF);
	}
}

/** Puts an interface into netmap mode. @returns EBUSY if it is already */
export function netmap_register(ifp: ifnet): netmap_adapter | Errno {
	if ((ifp.if_flags & IFF_DYING) !== 0) return ENXIO;
	if (ifp.if_netmap !== null) return EBUSY;
	const na = new netmap_adapter(ifp);
	ifp.if_netmap = na;
	ifp.if_capenable |= IFCAP_NETMAP;
	ifp.if_input = generic_rx_handler;
	ifp.if_transmit = netmap_transmit;
	return na;
}

/** Ends netmap mode; what is still in the rings is lost. */
export function* netmap_unregister(na: netmap_adapter): Blocking<void> {
	const ifp = na.na_ifp;
	ifp.if_capenable &= ~IFCAP_NETMAP;
	ifp.if_netmap = null;
	// the methods of an interface that has gone meanwhile are if_dead's
	if (ifp.if_input === generic_rx_handler) ifp.if_input = na.na_if_input;
	if (ifp.if_transmit === netmap_transmit) ifp.if_transmit = na.na_if_transmit;
	yield* mtx_lock(na.na_mtx);
	mbufq_drain(na.rx.queue);
	mbufq_drain(na.host_rx.queue);
	yield* mtx_unlock(na.na_mtx);
	mtx_destroy(na.na_mtx);
}

/** Gives a frame to the program, or drops it. */
function* enqueue(na: netmap_adapter, kring: netmap_kring, m: mbuf): Blocking<Errno> {
	let error: Errno = m.m_pkthdr.len > NETMAP_BUF_SIZE ? EINVAL : 0;
	yield* mtx_lock(na.na_mtx);
	if (error === 0) error = mbufq_enqueue(kring.queue, m);
	if (error !== 0) kring.drops++;
	yield* mtx_unlock(na.na_mtx);
	if (error !== 0) m_freem(m);
	else yield* wakeup(na);
	return error;
}

/** if_input of an interface in netmap mode. */
function* generic_rx_handler(ifp: ifnet, m: mbuf): Blocking<void> {
	const na = ifp.if_netmap;
	if (na === null) m_freem(m);
	else yield* enqueue(na, na.rx, m);
}

/** if_transmit of an interface in netmap mode. */
function* netmap_transmit(ifp: ifnet, m: mbuf): Blocking<Errno> {
	const na = ifp.if_netmap;
	if (na !== null) return yield* enqueue(na, na.host_rx, m);
	m_freem(m);
	return ENXIO;
}

/** Takes the next frame from the driver, or of the stack if `host`. @returns null if there is none */
export function* netmap_rxsync(na: netmap_adapter, host: boolean): Blocking<Uint8Array | null> {
	const kring = host ? na.host_rx : na.rx;
	yield* mtx_lock(na.na_mtx);
	const m = mbufq_dequeue(kring.queue);
	yield* mtx_unlock(na.na_mtx);
	if (m === null) return null;
	const frame = new Uint8Array(m.m_pkthdr.len);
	m_copydata(m, 0, frame.length, frame);
	m_freem(m);
	return frame;
}

/** Sends a frame to the driver, or up to the stack if `host`. */
export function* netmap_txsync(na: netmap_adapter, host: boolean, frame: Uint8Array): Blocking<Errno> {
	if (frame.length > NETMAP_BUF_SIZE) return EMSGSIZE;
	const ifp = na.na_ifp;
	const m = m_get2(Math.max(frame.length, 1), M_NOWAIT, MT_DATA, M_PKTHDR);
	if (m === null) return ENOBUFS;
	if (m_append(m, frame.length, frame) === 0) {
		m_freem(m);
		return ENOBUFS;
	}
	let error: Errno = 0;
	const saved = CURVNET_SET(ifp.if_vnet);
	NET_EPOCH_ENTER();
	if ((ifp.if_flags & IFF_DYING) !== 0) {
		m_freem(m);
		error = ENXIO;
	} else if (host) {
		m.m_pkthdr.rcvif = ifp;
		yield* na.na_if_input(ifp, m);
	} else error = yield* na.na_if_transmit(ifp, m);
	NET_EPOCH_EXIT();
	CURVNET_RESTORE(saved);
	return error;
}

/** Sleeps until there is a frame in either ring, or for so many ticks. */
export function* netmap_poll(na: netmap_adapter, timo_ticks: number): Blocking<void> {
	yield* mtx_lock(na.na_mtx);
	if (mbufq_len(na.rx.queue) === 0 && mbufq_len(na.host_rx.queue) === 0) {
		yield* msleep(na, na.na_mtx, priorities().PSOCK, "netmap", timo_ticks);
	}
	yield* mtx_unlock(na.na_mtx);
}
