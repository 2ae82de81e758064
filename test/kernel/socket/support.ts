/** What the socket tests share. */
import { MTX_DEF, mtx_init } from "../../../src/kernel/lock/mutex.ts";
import { sx_init } from "../../../src/kernel/lock/sx.ts";
import { M_TRAILINGSPACE, M_WAITOK, MT_DATA, m_getm2, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { SUSPENDED } from "../../../src/kernel/sched/frame.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { sockbuf } from "../../../src/kernel/socket/socket.ts";

/** Runs a kernel function that must not have to wait. */
export function run<T>(blocking: Blocking<T>): T {
	if ((blocking as unknown) === SUSPENDED) throw new Error("it waits");
	return blocking as T;
}

export function makeSockbuf(size: number): sockbuf {
	const sb = new sockbuf();
	mtx_init(sb.sb_mtx, "sb", null, MTX_DEF);
	sx_init(sb.sb_sx, "sb_sx");
	sb.sb_hiwat = size;
	sb.sb_mbmax = 8 * size;
	return sb;
}

/** A chain without a packet header. */
export function chainOf(bytes: Uint8Array): mbuf {
	const m = m_getm2(null, Math.max(bytes.length, 1), M_WAITOK, MT_DATA, 0)!;
	let at = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) {
		const room = M_TRAILINGSPACE(n);
		n.m_len = Math.min(room, bytes.length - at);
		n.m_buf.set(bytes.subarray(at, at + n.m_len), n.m_data);
		at += n.m_len;
	}
	return m;
}
