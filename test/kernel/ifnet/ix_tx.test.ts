import { describe, expect, test } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { run, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { ENETDOWN, ENOBUFS, type Errno } from "../../../src/kernel/errno.ts";
import { IFCOUNTER_OBYTES, IFCOUNTER_OPACKETS, IFF_DRV_RUNNING } from "../../../src/kernel/ifnet/if_var.ts";
import { iflib_if_transmit } from "../../../src/kernel/ifnet/iflib.ts";
import { ifmp_ring_is_idle } from "../../../src/kernel/ifnet/mp_ring.ts";
import {
	M_HASHTYPE_NONE,
	M_HASHTYPE_RSS_IPV4,
	M_HASHTYPE_SET,
	M_PKTHDR,
	M_WAITOK,
	MT_DATA,
	m_gethdr,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { sh } from "../../userland/world.ts";
import { expect_no_leaks, frame_to, type Host, inside, type Lonely, lonely, mbuf_of } from "./ix_support.ts";

describe("sending", () => {
	/** Sends frames as fast as it goes. @returns the numbers of those that were accepted */
	function* flood(w: Host, ids: readonly number[], length: number, errors: Errno[] = []): Blocking<number[]> {
		const accepted: number[] = [];
		for (const id of ids) {
			const error = yield* w.ifp.if_transmit(w.ifp, mbuf_of(frame_to(w, id, length)));
			if (error === 0) accepted.push(id);
			else errors.push(error);
		}
		return accepted;
	}

	function listen(w: Lonely): number[] {
		const ids: number[] = [];
		w.far.receive = ({ bytes }) => {
			const id = (bytes[14] << 8) | bytes[15];
			expect(Buffer.compare(bytes, frame_to(w, id, bytes.length))).toBe(0);
			ids.push(id);
		};
		return ids;
	}

	const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

	/** What is left lying goes when the timer looks, twice a second. */
	function settle(w: Lonely): void {
		run(w.kernel, w.machine.now + 1_000_000_000);
		w.far.machine.run(w.machine.now);
	}

	test("faster than the cable takes it fills the ring: ENOBUFS then, and what was accepted goes, in order", () => {
		const w = lonely();
		const ids = listen(w);
		const errors: Errno[] = [];
		let accepted: number[] = [];
		const before = w.ifp.if_counters.slice();
		inside(w, function* () {
			accepted = yield* flood(w, upTo(9_000), 1514, errors);
		});
		settle(w);
		expect(new Set(errors)).toEqual(new Set([ENOBUFS]));
		expect(accepted.length).toBeGreaterThan(4_000);
		expect(accepted.length + errors.length).toBe(9_000);
		expect(ids).toEqual(accepted);
		const [txq] = w.ctx.ifc_txqs;
		expect(txq.ift_br.drops).toBe(errors.length);
		expect(txq.ift_br.stalls).toBeGreaterThan(0);
		expect(ifmp_ring_is_idle(txq.ift_br)).toBe(true);
		expect(w.ifp.if_counters[IFCOUNTER_OPACKETS] - before[IFCOUNTER_OPACKETS]).toBe(accepted.length);
		expect(w.ifp.if_counters[IFCOUNTER_OBYTES] - before[IFCOUNTER_OBYTES]).toBe(accepted.length * 1514);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("is over when the interface goes down: what waits is freed, and after up all is as new", () => {
		const w = lonely();
		const ids = listen(w);
		const [txq] = w.ctx.ifc_txqs;
		inside(w, function* () {
			const errors: Errno[] = [];
			yield* flood(w, upTo(9_000), 1514, errors);
			expect(errors).not.toEqual([]);
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
		settle(w);
		ids.length = 0;
		inside(w, function* () {
			yield* sh("ifconfig ix0 up");
			for (let i = 0; i < 5; i++) {
				expect(yield* flood(w, upTo(50), 100)).toEqual(upTo(50));
				yield* pause_sbt("leave", 1_000_000);
			}
		});
		settle(w);
		expect(ids).toEqual([0, 1, 2, 3, 4].flatMap(() => upTo(50)));
		// of what has left only so many packets are kept as one may have pieces, and what came after the last look
		expect(txq.ift_sds.filter((m) => m !== null).length).toBeLessThanOrEqual(txq.ift_in_use);
		expect(txq.ift_in_use).toBeLessThan(50 + 32 + 3);
	});

	test("one frame leaves as soon as it is handed over", () => {
		const w = lonely();
		listen(w);
		const times: number[] = [];
		const { receive } = w.far;
		w.far.receive = (frame) => {
			times.push(w.far.machine.now);
			receive?.(frame);
		};
		let sent = 0;
		inside(w, function* () {
			yield* flood(w, [1], 60);
			sent = w.machine.now + curthread.td_pending;
		});
		settle(w);
		expect(times).toHaveLength(1);
		expect(times[0] - 68 - w.machine.costs.wire_latency).toBeLessThanOrEqual(sent);
	});

	test("from several CPUs at once: each one's frames go in order, and none is forgotten", () => {
		const w = lonely({ cpus: 4 });
		const ids = listen(w);
		const accepted: number[][] = [];
		const tds = upTo(4).map((t) =>
			spawn(w.kernel, `sender ${t}`, function* () {
				accepted[t] = yield* flood(
					w,
					upTo(700).map((i) => t * 1_000 + i),
					900,
				);
			}),
		);
		for (const td of tds) expect(runUntilExit(w.kernel, td, 1e9)).toBe(true);
		settle(w);
		expect(upTo(4).map((t) => ids.filter((id) => Math.floor(id / 1_000) === t))).toEqual(accepted);
		expect(accepted.flat().length).toBeGreaterThan(2_000);
	});

	test("goes by the packet's flow, to the first queue without one", () => {
		const w = lonely({ cpus: 3 });
		const queues: number[] = [];
		const { txd_encap } = w.ctx.ifc_txrx;
		Object.assign(w.ctx.ifc_txrx, {
			txd_encap: (qid: number, pi: Parameters<typeof txd_encap>[1]) => {
				queues.push(qid);
				return txd_encap(qid, pi);
			},
		});
		inside(w, function* () {
			for (const [flowid, type] of [
				[6, M_HASHTYPE_NONE],
				[6, M_HASHTYPE_RSS_IPV4],
				[3, M_HASHTYPE_RSS_IPV4],
				[4, M_HASHTYPE_RSS_IPV4],
				// of a hash only as many bits count as the card's table has
				[512 + 2, M_HASHTYPE_RSS_IPV4],
				[0xffff_fe01, M_HASHTYPE_RSS_IPV4],
			]) {
				const m = mbuf_of(frame_to(w, 1));
				m.m_pkthdr.flowid = flowid;
				M_HASHTYPE_SET(m, type);
				yield* w.ifp.if_transmit(w.ifp, m);
			}
		});
		expect(queues).toEqual([0, 0, 0, 1, 2, 1]);
	});

	test("of what is left lying without a doorbell happens when the timer looks, twice a second", () => {
		const w = lonely();
		const [txq] = w.ctx.ifc_txqs;
		let rang = 0;
		const { txd_flush } = w.ctx.ifc_txrx;
		Object.assign(w.ctx.ifc_txrx, {
			txd_flush: (qid: number) => {
				rang++;
				txd_flush(qid);
			},
		});
		settle(w);
		expect(rang).toBe(0);
		txq.ift_db_pending = 1;
		run(w.kernel, w.machine.now + 501_000_000);
		expect(rang).toBeGreaterThan(0);
		expect(txq.ift_db_pending).toBe(0);
		rang = 0;
		settle(w);
		expect(rang).toBe(0);
	});

	test("of a packet in more pieces than the card takes puts it together first", () => {
		const w = lonely();
		const ids = listen(w);
		const [txq] = w.ctx.ifc_txqs;
		inside(w, function* () {
			for (const pieces of [32, 33, 100]) {
				const bytes = frame_to(w, pieces, 1500);
				const m = m_gethdr(M_WAITOK, MT_DATA) as mbuf;
				let last = m;
				for (let i = 0; i < pieces; i++) {
					const n = i === 0 ? m : (m_gethdr(M_WAITOK, MT_DATA) as mbuf);
					const piece = bytes.subarray(Math.floor((1500 * i) / pieces), Math.floor((1500 * (i + 1)) / pieces));
					n.m_buf.set(piece, n.m_data);
					n.m_len = piece.length;
					if (i > 0) {
						n.m_flags &= ~M_PKTHDR;
						last.m_next = n;
						last = n;
					}
				}
				m.m_pkthdr.len = 1500;
				expect(yield* w.ifp.if_transmit(w.ifp, m)).toBe(0);
			}
		});
		settle(w);
		expect(ids).toEqual([32, 33, 100]);
		expect([txq.ift_mbuf_defrag, txq.ift_mbuf_defrag_failed]).toEqual([2, 0]);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("while the interface is down is ENETDOWN, and the packet is freed", () => {
		const w = lonely();
		const ids = listen(w);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
			expect(w.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(0);
			expect(yield* iflib_if_transmit(w.ifp, mbuf_of(frame_to(w, 1, 1514)))).toBe(ENETDOWN);
		});
		settle(w);
		expect(ids).toEqual([]);
		expect_no_leaks(w.kernel);
	});
});
