/**
 * crypto(9), the framework: drivers register, sessions pick the best of them once, requests go to their session's driver, and
 * completions come back through a callback.
 *
 * A request normally runs in the thread that dispatches it. The dispatch thread takes only what a driver refused for want of
 * resources; a task queue takes what was dispatched asynchronously; and one return thread per CPU runs the callbacks of requests
 * that did not ask for an immediate one. Asymmetric operations and batches are left out.
 *
 * @see opencrypto/crypto.c; crypto(9), crypto_driver(9), crypto_request(9), crypto_session(9)
 */
import { EAGAIN, EINVAL, EOPNOTSUPP, ERESTART, type Errno } from "../../kernel/errno.ts";
import { load_read_mostly, refcount_acquire, refcount_release } from "../../kernel/lock/atomic.ts";
import { MTX_DEF, MTX_QUIET, mtx, mtx_init, mtx_lock, mtx_unlock } from "../../kernel/lock/mutex.ts";
import {
	M_NOWAIT,
	M_WAITOK,
	M_ZERO,
	UMA_ALIGN_PTR,
	uma_zalloc,
	uma_zcreate,
	uma_zfree,
} from "../../kernel/mbuf/uma.ts";
import {
	KASSERT,
	KERNEL_GLOBAL,
	MPASS,
	mp_ncpus,
	priorities,
	SI_ORDER_FIRST,
	SI_SUB_DRIVERS,
	SYSINIT,
	TUNABLE_FETCH,
} from "../../kernel/sched/kernel.ts";
import { kthread_add } from "../../kernel/sched/kthread.ts";
import { msleep, wakeup, wakeup_one } from "../../kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../kernel/sched/thread.ts";
import {
	TASK_INIT,
	type taskqueue,
	taskqueue_create,
	taskqueue_enqueue,
	taskqueue_start_threads,
} from "../../kernel/taskqueue/taskqueue.ts";
import { check_csp, crp_sanity } from "./check.ts";
import {
	CRYPTO_ASYNC_ORDERED,
	CRYPTO_BUF_NONE,
	CRYPTO_F_ASYNC_ORDERED,
	CRYPTO_F_CBIFSYNC,
	CRYPTO_F_CBIMM,
	CRYPTO_F_DONE,
	CRYPTO_HINT_MORE,
	CRYPTO_SYMQ,
	CRYPTOCAP_F_HARDWARE,
	CRYPTOCAP_F_SOFTWARE,
	CRYPTOCAP_F_SYNC,
	type crypto_buffer,
	crypto_session,
	crypto_session_params,
	cryptocap,
	type cryptodev,
	cryptop,
	cryptostats,
	csp_assign,
} from "./cryptodev.ts";
import { fpu_kern_thread } from "./fpu.ts";

/** the driver has unregistered: no more requests for it */
const CRYPTOCAP_F_CLEANUP = 0x80000000;
/** what crypto_ses2caps shows of a driver's flags */
const CRYPTOCAP_F_PUBLIC = 0x7f000000;

/** Size of a request in FreeBSD, for the accounts of its zone. */
const SIZEOF_CRYPTOP = 376;

/** One return thread and the requests whose callbacks it has yet to run. */
class crypto_ret_worker {
	readonly crypto_ret_mtx = new mtx();
	/** finished ordered requests, by sequence number */
	readonly crp_ordered_ret_q: cryptop[] = [];
	readonly crp_ret_q: cryptop[] = [];
	/** ordered requests dispatched so far */
	reorder_ops = 0;
	/** sequence number of the next ordered request to call back */
	reorder_cur_seq = 0;
}

class crypto_state {
	readonly crypto_drivers_mtx = new mtx();
	readonly crypto_drivers: (cryptocap | null)[] = [];
	readonly crypto_q_mtx = new mtx();
	/** requests that wait for their driver */
	readonly crp_q: cryptop[] = [];
	/** the dispatch thread sleeps */
	crp_sleep = false;
	readonly crypto_ret_workers: crypto_ret_worker[] = [];
	crypto_tq: taskqueue | null = null;
	readonly cryptop_zone = uma_zcreate(
		"cryptop",
		SIZEOF_CRYPTOP,
		null,
		null,
		null,
		null,
		UMA_ALIGN_PTR,
		0,
		() => new cryptop(),
	);
	readonly cryptostats = new cryptostats();
	sessid = 0;
}

const crypto = KERNEL_GLOBAL(() => new crypto_state());

/** sysctl kern.crypto.stats */
export function crypto_stats(): cryptostats {
	return crypto().cryptostats;
}

/** Starts the framework's threads: kern.crypto.num_workers return threads and workers of the task queue. @see crypto.c crypto_init */
function* crypto_init(): Blocking<void> {
	const sc = crypto();
	mtx_init(sc.crypto_drivers_mtx, "crypto driver table", null, MTX_DEF | MTX_QUIET);
	mtx_init(sc.crypto_q_mtx, "crypto op queues", null, MTX_DEF);

	let workers = Number(TUNABLE_FETCH("kern.crypto.num_workers") ?? 0);
	if (!(workers >= 1 && workers <= mp_ncpus())) workers = mp_ncpus();

	sc.crypto_tq = taskqueue_create("crypto");
	taskqueue_start_threads(sc.crypto_tq, workers, priorities().PRI_MIN_KERN, "crypto");
	kthread_add(crypto_proc, sc, "crypto", priorities().PVM);
	for (let i = 0; i < workers; i++) {
		const worker = new crypto_ret_worker();
		mtx_init(worker.crypto_ret_mtx, "crypto return queues", null, MTX_DEF);
		sc.crypto_ret_workers.push(worker);
		kthread_add(crypto_ret_proc, worker, `crypto returns ${i}`, priorities().PVM);
	}
}

SYSINIT("crypto", SI_SUB_DRIVERS, SI_ORDER_FIRST, crypto_init);

// Drivers

/**
 * Registers a driver.
 *
 * @param session_new makes the driver's part of a session
 * @param flags CRYPTOCAP_F_x, of which HARDWARE or SOFTWARE is needed
 * @returns the driver's number, or -1
 * @see crypto.c crypto_get_driverid
 */
export function* crypto_get_driverid(dev: cryptodev, session_new: () => object, flags: number): Blocking<number> {
	if ((flags & (CRYPTOCAP_F_HARDWARE | CRYPTOCAP_F_SOFTWARE)) === 0) return -1;
	const sc = crypto();
	const cap = new cryptocap(dev, session_new, flags);
	yield* mtx_lock(sc.crypto_drivers_mtx);
	let hid = sc.crypto_drivers.indexOf(null);
	if (hid < 0) hid = sc.crypto_drivers.length;
	cap.cc_hid = hid;
	sc.crypto_drivers[hid] = cap;
	yield* mtx_unlock(sc.crypto_drivers_mtx);
	return hid;
}

function crypto_checkdriver(hid: number): cryptocap | null {
	return crypto().crypto_drivers[hid] ?? null;
}

/** Number of the first driver whose name and unit begin with `match`, or -1. @see crypto.c crypto_find_driver */
export function* crypto_find_driver(match: string): Blocking<number> {
	const sc = crypto();
	yield* mtx_lock(sc.crypto_drivers_mtx);
	const hid = sc.crypto_drivers.findIndex((cap) => cap?.cc_dev.nameunit.startsWith(match));
	yield* mtx_unlock(sc.crypto_drivers_mtx);
	return hid;
}

/** A driver's flags, 0 if there is none of that number. @see crypto.c crypto_getcaps */
export function* crypto_getcaps(hid: number): Blocking<number> {
	const sc = crypto();
	yield* mtx_lock(sc.crypto_drivers_mtx);
	const flags = crypto_checkdriver(hid)?.cc_flags ?? 0;
	yield* mtx_unlock(sc.crypto_drivers_mtx);
	return flags;
}

/**
 * Takes a driver out of the table and waits until its last session is gone. Requests of those sessions fail with EAGAIN meanwhile.
 *
 * @see crypto.c crypto_unregister_all
 */
export function* crypto_unregister_all(driverid: number): Blocking<Errno> {
	const sc = crypto();
	yield* mtx_lock(sc.crypto_drivers_mtx);
	const cap = crypto_checkdriver(driverid);
	if (cap === null) {
		yield* mtx_unlock(sc.crypto_drivers_mtx);
		return EINVAL;
	}
	cap.cc_flags |= CRYPTOCAP_F_CLEANUP;
	sc.crypto_drivers[driverid] = null;
	while (cap.cc_sessions !== 0) yield* msleep(cap, sc.crypto_drivers_mtx, 0, "cryunreg", 0);
	yield* mtx_unlock(sc.crypto_drivers_mtx);
	cap_rele(cap);
	return 0;
}

function cap_rele(cap: cryptocap): void {
	if (refcount_release(cap)) KASSERT(cap.cc_sessions === 0, "freeing crypto driver with active sessions");
}

/** A driver that ran out of resources has some again: its requests leave the queue. @see crypto.c crypto_unblock */
export function* crypto_unblock(driverid: number, what: number): Blocking<Errno> {
	const sc = crypto();
	yield* mtx_lock(sc.crypto_q_mtx);
	const cap = crypto_checkdriver(driverid);
	if (cap !== null) {
		if ((what & CRYPTO_SYMQ) !== 0) cap.cc_qblocked = false;
		if (sc.crp_sleep) yield* wakeup_one(sc.crp_q);
	}
	yield* mtx_unlock(sc.crypto_q_mtx);
	return cap === null ? EINVAL : 0;
}

/**
 * The driver with the best bid among those with one of the flags; in a tie the one with fewest sessions, then the first.
 *
 * @see crypto.c crypto_select_driver
 */
function crypto_select_driver(csp: crypto_session_params, flags: number): cryptocap | null {
	let best: cryptocap | null = null;
	let best_match = 0;
	for (const cap of crypto().crypto_drivers) {
		if (cap === null || (cap.cc_flags & flags) === 0) continue;
		const match = cap.cc_dev.cryptodev_probesession(csp);
		if (match >= 0) continue;
		if (best === null || match > best_match || (match === best_match && cap.cc_sessions < best.cc_sessions)) {
			best = cap;
			best_match = match;
		}
	}
	return best;
}

// Sessions

/**
 * Opens a session. Its driver is chosen now and for good.
 *
 * @param crid the kinds of driver allowed, CRYPTOCAP_F_HARDWARE and CRYPTOCAP_F_SOFTWARE, or one driver's number
 * @returns the session; EINVAL for parameters without sense, EOPNOTSUPP when no driver is able, or the driver's error
 * @see crypto.c crypto_newsession
 */
export function* crypto_newsession(csp: crypto_session_params, crid: number): Blocking<crypto_session | Errno> {
	if (!check_csp(csp)) return EINVAL;

	const sc = crypto();
	yield* mtx_lock(sc.crypto_drivers_mtx);
	let cap: cryptocap | null;
	if ((crid & (CRYPTOCAP_F_HARDWARE | CRYPTOCAP_F_SOFTWARE)) === 0) {
		cap = crypto_checkdriver(crid);
		if (cap !== null && cap.cc_dev.cryptodev_probesession(csp) > 0) cap = null;
	} else {
		cap = crypto_select_driver(csp, crid);
	}
	if (cap === null) {
		yield* mtx_unlock(sc.crypto_drivers_mtx);
		return EOPNOTSUPP;
	}
	refcount_acquire(cap);
	cap.cc_sessions++;
	yield* mtx_unlock(sc.crypto_drivers_mtx);

	const cses = new crypto_session(cap, csp, sc.sessid++);
	const error = yield* cap.cc_dev.cryptodev_newsession(cses, csp);
	if (error !== 0) {
		yield* crypto_deletesession(cses);
		return error;
	}
	return cses;
}

/** Closes a session; null is allowed. @see crypto.c crypto_freesession */
export function* crypto_freesession(cses: crypto_session | null): Blocking<void> {
	if (cses === null) return;
	yield* cses.cap.cc_dev.cryptodev_freesession(cses);
	yield* crypto_deletesession(cses);
}

/** Ends a session that its driver has let go. @see crypto.c crypto_deletesession */
function* crypto_deletesession(cses: crypto_session): Blocking<void> {
	const sc = crypto();
	const cap = cses.cap;
	yield* mtx_lock(sc.crypto_drivers_mtx);
	cap.cc_sessions--;
	if (cap.cc_sessions === 0 && (cap.cc_flags & CRYPTOCAP_F_CLEANUP) !== 0) yield* wakeup(cap);
	yield* mtx_unlock(sc.crypto_drivers_mtx);
	cap_rele(cap);
}

/** @see crypto.c crypto_ses2hid */
export function crypto_ses2hid(cses: crypto_session): number {
	return cses.cap.cc_hid;
}

/** Flags of the session's driver. @see crypto.c crypto_ses2caps */
export function crypto_ses2caps(cses: crypto_session): number {
	return cses.cap.cc_flags & CRYPTOCAP_F_PUBLIC;
}

/** @see crypto.c crypto_get_params */
export function crypto_get_params(cses: crypto_session): crypto_session_params {
	return cses.csp;
}

/** The driver's part of a session: what its `session_new` made. @see crypto.c crypto_get_driver_session */
export function crypto_get_driver_session<T extends object>(cses: crypto_session): T {
	return cses.softc as T;
}

// Requests

function crypto_buffer_clear(cb: crypto_buffer): void {
	cb.cb_type = CRYPTO_BUF_NONE;
	cb.cb_buf = null;
	cb.cb_buf_len = 0;
	cb.cb_mbuf = null;
}

/** Makes a request out of memory of the caller's. @see crypto.c crypto_initreq */
export function crypto_initreq(crp: cryptop, cses: crypto_session): void {
	crp.crp_session = cses;
	crp.crp_op = 0;
	crp.crp_flags = 0;
	crp.crp_etype = 0;
	crp.crp_olen = 0;
	crypto_buffer_clear(crp.crp_buf);
	crypto_buffer_clear(crp.crp_obuf);
	crp.crp_aad = null;
	crp.crp_aad_start = 0;
	crp.crp_aad_length = 0;
	crp.clear_bytes();
	crp.crp_iv_start = 0;
	crp.crp_payload_start = 0;
	crp.crp_payload_output_start = 0;
	crp.crp_payload_length = 0;
	crp.crp_digest_start = 0;
	crp.crp_cipher_key = null;
	crp.crp_auth_key = null;
	crp.crp_opaque = null;
	crp.crp_callback = null;
	crp.crp_seq = 0;
	crp.crp_retw_id = 0;
}

/** The caller is about to reuse the memory of a request: it must be in no queue. @see crypto.c crypto_destroyreq */
export function crypto_destroyreq(crp: cryptop): void {
	const sc = crypto();
	KASSERT(sc.crp_q.length === 0 || !sc.crp_q.includes(crp), "Freeing cryptop from the crypto queue.");
	for (let i = 0; i < sc.crypto_ret_workers.length; i++) {
		const q = sc.crypto_ret_workers[i].crp_ret_q;
		KASSERT(q.length === 0 || !q.includes(crp), "Freeing cryptop from the return queue.");
	}
	crypto_buffer_clear(crp.crp_buf);
	crypto_buffer_clear(crp.crp_obuf);
}

/** Allocates a request. @see crypto.c crypto_getreq */
export function crypto_getreq(cses: crypto_session, how: number): cryptop | null {
	MPASS(how === M_WAITOK || how === M_NOWAIT, "how == M_WAITOK || how == M_NOWAIT");
	const crp = uma_zalloc(crypto().cryptop_zone, how | M_ZERO);
	if (crp !== null) crypto_initreq(crp, cses);
	return crp;
}

/** Frees what crypto_getreq gave; null is allowed. @see crypto.c crypto_freereq */
export function crypto_freereq(crp: cryptop | null): void {
	if (crp === null) return;
	crypto_destroyreq(crp);
	uma_zfree(crypto().cryptop_zone, crp);
}

/**
 * Hands a request to its session's driver, in the calling thread. If the driver is out of resources the request waits for the
 * dispatch thread instead.
 *
 * @returns 0: what came of the request is told by crp_etype, when the callback runs
 * @see crypto.c crypto_dispatch
 */
export function* crypto_dispatch(crp: cryptop): Blocking<Errno> {
	const sc = crypto();
	crp_sanity(crp);
	sc.cryptostats.cs_ops++;
	crp.crp_retw_id = crp.crp_session!.id % sc.crypto_ret_workers.length;

	const cap = crp.crp_session!.cap;
	if (!(yield* load_read_mostly(cap, "cc_qblocked"))) {
		const result = yield* crypto_invoke(cap, crp, 0);
		KASSERT(result === 0 || result === ERESTART, "driver returned an error and not ERESTART");
		if (result !== ERESTART) return 0;
	}
	yield* crypto_batch_enqueue(crp);
	return 0;
}

/**
 * Hands a request to one of the framework's worker threads, if its driver would otherwise work in this one.
 *
 * @param flags CRYPTO_ASYNC_ORDERED: callbacks come in the order of dispatch, and never at once
 * @see crypto.c crypto_dispatch_async; in 13.0 CRYPTO_F_ASYNC and CRYPTO_F_ASYNC_KEEPORDER of crypto_dispatch do the same
 */
export function* crypto_dispatch_async(crp: cryptop, flags: number): Blocking<Errno> {
	if ((crypto_ses2caps(crp.crp_session!) & CRYPTOCAP_F_SYNC) === 0) return yield* crypto_dispatch(crp);

	const sc = crypto();
	crp_sanity(crp);
	sc.cryptostats.cs_ops++;
	crp.crp_retw_id = crp.crp_session!.id % sc.crypto_ret_workers.length;
	if ((flags & CRYPTO_ASYNC_ORDERED) !== 0) {
		const ret_worker = sc.crypto_ret_workers[crp.crp_retw_id];
		crp.crp_flags |= CRYPTO_F_ASYNC_ORDERED;
		yield* mtx_lock(ret_worker.crypto_ret_mtx);
		crp.crp_seq = ret_worker.reorder_ops++;
		yield* mtx_unlock(ret_worker.crypto_ret_mtx);
	}
	TASK_INIT(crp.crp_task, 0, crypto_task_invoke, crp);
	yield* taskqueue_enqueue(sc.crypto_tq!, crp.crp_task);
	return 0;
}

/** @see crypto.c crypto_task_invoke */
function* crypto_task_invoke(crp: cryptop, _pending: number): Blocking<void> {
	const result = yield* crypto_invoke(crp.crp_session!.cap, crp, 0);
	if (result === ERESTART) yield* crypto_batch_enqueue(crp);
}

/** Leaves a request to the dispatch thread. @see crypto.c crypto_batch_enqueue */
function* crypto_batch_enqueue(crp: cryptop): Blocking<void> {
	const sc = crypto();
	yield* mtx_lock(sc.crypto_q_mtx);
	sc.crp_q.push(crp);
	if (sc.crp_sleep) yield* wakeup_one(sc.crp_q);
	yield* mtx_unlock(sc.crypto_q_mtx);
}

/**
 * Calls the driver, unless it has unregistered: then the request gets a session with another driver and fails with EAGAIN, and its
 * owner is expected to try again.
 *
 * @see crypto.c crypto_invoke
 */
function* crypto_invoke(cap: cryptocap, crp: cryptop, hint: number): Blocking<Errno> {
	if ((cap.cc_flags & CRYPTOCAP_F_CLEANUP) !== 0) return yield* crypto_migrate(crp);
	return yield* cap.cc_dev.cryptodev_process(crp, hint);
}

function* crypto_migrate(crp: cryptop): Blocking<Errno> {
	const csp = new crypto_session_params();
	csp_assign(csp, crp.crp_session!.csp);
	yield* crypto_freesession(crp.crp_session);
	const nses = yield* crypto_newsession(csp, CRYPTOCAP_F_HARDWARE | CRYPTOCAP_F_SOFTWARE);
	if (typeof nses !== "number") crp.crp_session = nses;
	crp.crp_etype = EAGAIN;
	yield* crypto_done(crp);
	return 0;
}

/**
 * A driver has finished a request: the callback runs now, or is left to a return thread.
 *
 * @see crypto.c crypto_done
 */
export function crypto_done(crp: cryptop): Blocking<unknown> {
	KASSERT((crp.crp_flags & CRYPTO_F_DONE) === 0, "crypto_done: op already done");
	crp.crp_flags |= CRYPTO_F_DONE;
	if (crp.crp_etype !== 0) crypto().cryptostats.cs_errs++;

	if (
		(crp.crp_flags & CRYPTO_F_ASYNC_ORDERED) === 0 &&
		((crp.crp_flags & CRYPTO_F_CBIMM) !== 0 ||
			((crp.crp_flags & CRYPTO_F_CBIFSYNC) !== 0 && (crypto_ses2caps(crp.crp_session!) & CRYPTOCAP_F_SYNC) !== 0))
	) {
		return crp.crp_callback!(crp);
	}
	return crypto_done_later(crp);
}

/** Whether sequence number `a` comes after `b`; they wrap around. */
function CRYPTO_SEQ_GT(a: number, b: number): boolean {
	return ((a - b) | 0) > 0;
}

function* crypto_done_later(crp: cryptop): Blocking<void> {
	const ret_worker = crypto().crypto_ret_workers[crp.crp_retw_id];
	let wake = false;
	yield* mtx_lock(ret_worker.crypto_ret_mtx);
	if ((crp.crp_flags & CRYPTO_F_ASYNC_ORDERED) !== 0) {
		const q = ret_worker.crp_ordered_ret_q;
		let at = q.length;
		while (at > 0 && !CRYPTO_SEQ_GT(crp.crp_seq, q[at - 1].crp_seq)) at--;
		q.splice(at, 0, crp);
		if (crp.crp_seq === ret_worker.reorder_cur_seq) wake = true;
	} else {
		if (ret_worker.crp_ret_q.length === 0 && ret_worker.crp_ordered_ret_q.length === 0) wake = true;
		ret_worker.crp_ret_q.push(crp);
	}
	if (wake) yield* wakeup_one(ret_worker);
	yield* mtx_unlock(ret_worker.crypto_ret_mtx);
}

/**
 * The dispatch thread: takes the first queued request whose driver is not blocked, and tells the driver if another can follow. A
 * driver that refuses again is blocked until crypto_unblock.
 *
 * @see crypto.c crypto_proc
 */
function* crypto_proc(sc: crypto_state): Blocking<void> {
	fpu_kern_thread();
	yield* mtx_lock(sc.crypto_q_mtx);
	for (;;) {
		let submit = -1;
		let hint = 0;
		for (let i = 0; i < sc.crp_q.length; i++) {
			const cap = sc.crp_q[i].crp_session!.cap;
			if ((cap.cc_flags & CRYPTOCAP_F_CLEANUP) !== 0) {
				// the request has to change its driver
				if (submit < 0) submit = i;
				break;
			}
			if (cap.cc_qblocked) continue;
			if (submit >= 0) {
				if (sc.crp_q[submit].crp_session!.cap === cap) hint = CRYPTO_HINT_MORE;
				break;
			}
			submit = i;
		}
		if (submit < 0) {
			sc.crp_sleep = true;
			yield* msleep(sc.crp_q, sc.crypto_q_mtx, priorities().PWAIT, "crypto_wait", 0);
			sc.crp_sleep = false;
			sc.cryptostats.cs_intrs++;
			continue;
		}
		const crp = sc.crp_q.splice(submit, 1)[0];
		const cap = crp.crp_session!.cap;
		yield* mtx_unlock(sc.crypto_q_mtx);
		const result = yield* crypto_invoke(cap, crp, hint);
		yield* mtx_lock(sc.crypto_q_mtx);
		if (result === ERESTART) {
			cap.cc_qblocked = true;
			sc.crp_q.unshift(crp);
			sc.cryptostats.cs_blocks++;
		}
	}
}

/**
 * A return thread: the next ordered request if it is its turn, else any other; callbacks run without the lock.
 *
 * @see crypto.c crypto_ret_proc
 */
function* crypto_ret_proc(ret_worker: crypto_ret_worker): Blocking<void> {
	yield* mtx_lock(ret_worker.crypto_ret_mtx);
	for (;;) {
		let crp: cryptop | undefined;
		const ordered = ret_worker.crp_ordered_ret_q;
		if (ordered.length > 0 && ordered[0].crp_seq === ret_worker.reorder_cur_seq) {
			crp = ordered.shift();
			ret_worker.reorder_cur_seq++;
		} else {
			crp = ret_worker.crp_ret_q.shift();
		}
		if (crp !== undefined) {
			yield* mtx_unlock(ret_worker.crypto_ret_mtx);
			yield* crp.crp_callback!(crp);
			yield* mtx_lock(ret_worker.crypto_ret_mtx);
		} else {
			yield* msleep(ret_worker, ret_worker.crypto_ret_mtx, priorities().PWAIT, "crypto_ret_wait", 0);
			crypto().cryptostats.cs_rets++;
		}
	}
}
