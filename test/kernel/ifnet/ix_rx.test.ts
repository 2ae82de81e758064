/** iflib receives: interrupts, tasks, buffers. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { run, spawn } from "../../../src/kernel/boot.ts";
import { IFCOUNTER_IBYTES, IFCOUNTER_IPACKETS, IFCOUNTER_IQDROPS } from "../../../src/kernel/ifnet/if_var.ts";
import { iflib_fast_intr_rxtx } from "../../../src/kernel/ifnet/iflib.ts";
import { mtx_lock_spin, mtx_unlock_spin } from "../../../src/kernel/lock/mutex.ts";
import { uma_set_fault, uma_zone_list } from "../../../src/kernel/mbuf/uma.ts";
import { sbinuptime, set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { kthread_add } from "../../../src/kernel/sched/kthread.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, charge, sync, sync_exactly } from "../../../src/kernel/sched/thread.ts";
import { interrupt, pcpu_find } from "../../../src/kernel/sched/ule.ts";
import { gtask_start, type gtaskqueue } from "../../../src/kernel/taskqueue/gtaskqueue.ts";
import { sh } from "../../userland/world.ts";
import { exact, start } from "../sched/support.ts";
import { deliver, expect_no_leaks, frame_to, type Host, inside, interrupts, lonely, overrides } from "./ix_support.ts";

describe("receiving", () => {
	const clusters = ({ kernel }: Host): number => {
		set_curkernel(kernel);
		return uma_zone_list().find(({ name }) => name === "mbuf_cluster")?.requests ?? 0;
	};

	test("copies up to 128 bytes and posts their cluster again; of more it keeps the cluster and posts a new one", () => {
		const w = lonely();
		const [rxq] = w.ctx.ifc_rxqs;
		expect(rxq.ifl_credits).toBe(128);
		// the first packet makes it fill the ring, but for one
		deliver(w, [frame_to(w, 0)]);
		expect(rxq.ifl_credits).toBe(2047);
		for (const [id, [length, copied]] of (
			[
				[60, true],
				[128, true],
				[129, false],
				[1514, false],
				[61, true],
			] as const
		).entries()) {
			const posted = new Set(rxq.ifsd_cl);
			const before = clusters(w);
			deliver(w, [frame_to(w, id + 1, length)]);
			const last = w.seen.at(-1);
			expect(last).toMatchObject({ id: id + 1, lens: [length], cluster: !copied });
			expect(last?.bytes).toEqual(frame_to(w, id + 1, length));
			expect(clusters(w) - before).toBe(copied ? 0 : 1);
			expect(rxq.ifsd_cl.filter((cl) => posted.has(cl))).toHaveLength(copied ? 2047 : 2046);
			expect([rxq.ifl_credits, rxq.ifsd_cl.length, rxq.ifsd_m.length]).toEqual([2047, 2047, 2047]);
		}
		expect(w.seen).toHaveLength(6);
	});

	test("goes through every buffer of the ring, and all of them again", () => {
		const w = lonely();
		for (let i = 0; i < 5_000; i += 100) {
			deliver(
				w,
				Array.from({ length: 100 }, (_, j) => frame_to(w, i + j, (i + j) % 2 === 0 ? 60 : 200)),
				200_000,
			);
		}
		run(w.kernel, w.machine.now + 2_000_000);
		expect(w.seen.map(({ id }) => id)).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
		expect(w.seen.every(({ id, bytes }) => Buffer.compare(bytes, frame_to(w, id, bytes.length)) === 0)).toBe(true);
	});

	test("counts packets and bytes once", () => {
		const w = lonely();
		const counters = w.ifp.if_counters.slice();
		deliver(w, [frame_to(w, 1, 60), frame_to(w, 2, 1000)]);
		expect(w.ifp.if_counters[IFCOUNTER_IPACKETS] - counters[IFCOUNTER_IPACKETS]).toBe(2);
		expect(w.ifp.if_counters[IFCOUNTER_IBYTES] - counters[IFCOUNTER_IBYTES]).toBe(1060);
	});

	test("takes at most 16 packets a run, and comes again at once while there are more", () => {
		const w = lonely();
		const [rxq] = w.ctx.ifc_rxqs;
		deliver(w, [frame_to(w, 0)]);
		const runs: number[] = [];
		const times = interrupts(w);
		const stop = gtask_start.listen((gt) => {
			if (gt === rxq.ifr_task) runs.push(w.seen.length);
		});
		// the CPU needs 133 us to wake: by then all are there
		run(w.kernel, w.machine.now + 5_000_000);
		deliver(
			w,
			Array.from({ length: 100 }, (_, i) => frame_to(w, i + 1)),
		);
		stop();
		runs.push(w.seen.length);
		expect(runs.slice(0, 8).map((n) => n - 1)).toEqual([0, 16, 32, 48, 64, 80, 96, 100]);
		expect(w.seen.map(({ id }) => id)).toEqual(Array.from({ length: 101 }, (_, i) => i));
		expect(times[0].length).toBeLessThanOrEqual(3);
	});

	test("of one that is longer than a cluster makes one packet of several", () => {
		const w = lonely({}, 9000);
		deliver(w, [frame_to(w, 1, 2048), frame_to(w, 2, 2049), frame_to(w, 3, 9014)]);
		expect(w.seen.map(({ lens }) => lens)).toEqual([[2048], [2048, 1], [2048, 2048, 2048, 2048, 822]]);
		expect(w.seen.map(({ headers }) => headers)).toEqual([1, 1, 1]);
		expect(w.seen.every(({ id, bytes }) => Buffer.compare(bytes, frame_to(w, id, bytes.length)) === 0)).toBe(true);
		expect(w.ctx.ifc_rxqs[0].ifl_credits).toBe(2047);
		inside(w, function* () {
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("loses what there is no buffer for, and nothing after that", () => {
		const w = lonely();
		// 128 buffers are posted, and the CPU sleeps deeply
		run(w.kernel, w.machine.now + 5_000_000);
		deliver(
			w,
			Array.from({ length: 200 }, (_, i) => frame_to(w, i)),
		);
		expect(w.seen.map(({ id }) => id)).toEqual(Array.from({ length: 128 }, (_, i) => i));
		deliver(w, [frame_to(w, 500), frame_to(w, 501)]);
		expect(w.seen.slice(128).map(({ id }) => id)).toEqual([500, 501]);
	});

	test("without memory goes on until its buffers are used up, and again when there is some, without a frame to remind it", () => {
		for (const missing of ["mbuf", "mbuf_cluster"]) {
			const w = lonely();
			const [rxq] = w.ctx.ifc_rxqs;
			const frames = (n: number): Uint8Array[] => Array.from({ length: n }, (_, i) => frame_to(w, i, 500));
			set_curkernel(w.kernel);
			uma_set_fault((name) => name === missing);
			for (let i = 0; i < 5; i++) deliver(w, frames(40));
			expect(w.seen).toHaveLength(128);
			expect(rxq.ifl_credits).toBe(0);
			// what nobody had a buffer for, the card counts
			expect(w.ifp.if_get_counter(w.ifp, IFCOUNTER_IQDROPS)).toBe(72);
			expect(w.ifp.if_get_counter(w.ifp, IFCOUNTER_IPACKETS)).toBe(128);
			uma_set_fault(null);
			run(w.kernel, w.machine.now + 5_000_000);
			expect(rxq.ifl_credits).toBe(2047);
			deliver(w, frames(40));
			expect(w.seen).toHaveLength(168);
			// small ones leave their clusters behind
			uma_set_fault((name) => name === missing);
			deliver(
				w,
				Array.from({ length: 40 }, (_, i) => frame_to(w, i)),
			);
			expect(w.seen).toHaveLength(208);
			inside(w, function* () {
				yield* sh("ifconfig ix0 down");
			});
			uma_set_fault(null);
			expect_no_leaks(w.kernel);
		}
	});

	test("loses and forgets nothing, whenever frames come and whatever else its only CPU does", () => {
		let held = 0;
		fc.assert(
			fc.property(
				fc.record({
					seed: fc.nat(),
					lead_ns: fc.constantFrom(0, 320),
					nic_itr: fc.constantFrom(0, 0, 1_000, 32_000),
					/** computing and sleeping in turn, ns, as a user's thread and as one of the kernel that goes first */
					work: fc.array(fc.tuple(fc.nat(30_000), fc.nat(30_000)), { maxLength: 20, size: "max" }),
					urgent: fc.array(fc.tuple(fc.nat(3_000), fc.nat(20_000)), { maxLength: 20, size: "max" }),
					gaps: fc.array(fc.oneof(fc.nat(200), fc.nat(4_000), fc.nat(40_000)), {
						minLength: 1,
						maxLength: 120,
						size: "max",
					}),
				}),
				({ seed, lead_ns, nic_itr, work, urgent, gaps }) => {
					const w = lonely({
						seed,
						lead_ns,
						costs: overrides({ nic_itr }),
						profile: { ...exact, jitter_permille: 100 },
					});
					const busy = (turns: readonly (readonly [number, number])[]) =>
						function* (): Blocking<void> {
							for (const [compute, rest] of turns) {
								charge(compute);
								yield* sync();
								yield* pause_sbt("rest", rest + 1);
							}
						};
					spawn(w.kernel, "user", busy(work));
					kthread_add(busy(urgent), undefined, "urgent", 8);
					let time = w.machine.now;
					for (const [i, gap] of gaps.entries()) {
						time += gap;
						w.far.send({ bytes: frame_to(w, i, 60 + (i % 3) * 100), packet_id: 0 }, time);
					}
					const { gt_taskqueue } = w.ctx.ifc_rxqs[0].ifr_task;
					const stop = gtask_start.listen(() => held++);
					run(w.kernel, time + 20_000_000);
					stop();
					expect(gt_taskqueue?.tq_queue.length).toBe(0);
					expect(w.seen.map(({ id }) => id)).toEqual(gaps.map((_, i) => i));
				},
			),
			{ numRuns: 60 },
		);
		expect(held).toBeGreaterThan(120);
	});

	test("waits while its interrupt is masked", () => {
		const w = lonely();
		w.ctx.ifc_txrx.intr_filter(0);
		deliver(w, [frame_to(w, 1)], 20_000_000);
		expect(w.seen).toEqual([]);
		set_curkernel(w.kernel);
		w.ctx.ifc_txrx.queue_intr_enable(0);
		deliver(w, []);
		expect(w.seen).toHaveLength(1);
	});

	test("is asked for by an interrupt if there is something to receive, and sending if something has left; for what there is not, it unmasks", () => {
		for (const [left, come] of [
			[0, 0],
			[0, 1],
			[1, 0],
			[1, 1],
		]) {
			const w = lonely();
			const calls: string[] = [];
			const started: unknown[] = [];
			Object.assign(w.ctx.ifc_txrx, {
				intr_filter: (qid: number) => calls.push(`mask ${qid}`),
				queue_intr_enable: (qid: number) => calls.push(`unmask ${qid}`),
				txd_credits_update: () => left,
				rxd_available: () => come,
			});
			set_curkernel(w.kernel);
			interrupt(pcpu_find(0), 0, () => iflib_fast_intr_rxtx(w.ctx, 0));
			expect(calls).toEqual(["mask 0", ...new Array(2 - left - come).fill("unmask 0")]);
			Object.assign(w.ctx.ifc_txrx, { txd_credits_update: () => 0, rxd_available: () => 0 });
			const stop = gtask_start.listen((gt) => started.push(gt));
			run(w.kernel, w.machine.now + 1_000_000);
			stop();
			const [{ ift_task }] = w.ctx.ifc_txqs;
			const [{ ifr_task }] = w.ctx.ifc_rxqs;
			expect(started).toEqual([...(left > 0 ? [ift_task] : []), ...(come > 0 ? [ifr_task] : [])]);
			// each task unmasks when it has done its part
			expect(calls).toEqual(["mask 0", "unmask 0", "unmask 0"]);
		}
	});

	test("is held up by another CPU that has its queue locked no longer than that, whatever its own CPU computes", () => {
		const w = lonely({ cpus: 2 });
		deliver(w, [frame_to(w, 0)]);
		const times = interrupts(w);
		const { tq_mutex } = w.ctx.ifc_rxqs[0].ifr_task.gt_taskqueue as gtaskqueue;
		const arrival = w.machine.now + 1_000_000;
		const until = function* (time: number): Blocking<void> {
			charge(time - sbinuptime());
			yield* sync_exactly();
		};
		start(w.kernel, "computes", 150, 0, () => until(arrival + 500_000));
		start(w.kernel, "locks", 150, 1, function* () {
			yield* until(arrival - 2_000);
			yield* mtx_lock_spin(tq_mutex);
			yield* until(arrival + 2_000);
			yield* mtx_unlock_spin(tq_mutex);
		});
		w.far.send({ bytes: frame_to(w, 1), packet_id: 0 }, arrival - w.machine.costs.wire_latency - 68);
		run(w.kernel, arrival + 5_000_000);
		expect(times[0]).toHaveLength(1);
		expect(times[0][0] - arrival).toBeGreaterThanOrEqual(2_000);
		expect(times[0][0] - arrival).toBeLessThan(3_000);
	});

	test("is asked for by interrupts at least 32 us apart, pair by pair", () => {
		fc.assert(
			fc.property(
				fc.nat(),
				fc.array(fc.oneof(fc.nat(500), fc.nat(50_000)), { minLength: 80, maxLength: 80 }),
				(seed, gaps) => {
					const w = lonely({ seed, cpus: 4 });
					const times = interrupts(w);
					let time = w.machine.now;
					for (const [i, gap] of gaps.entries()) {
						time += gap;
						const bytes = frame_to(w, i);
						// IPv4, as far as the hash goes
						if (i % 2 === 0) bytes.set([0x08, 0x00], 12);
						bytes[33] = i % 8;
						w.far.send({ bytes, packet_id: 0 }, time);
					}
					run(w.kernel, time + 5_000_000);
					expect(times.flat().length).toBeGreaterThan(10);
					for (const of_pair of times) {
						for (let i = 1; i < of_pair.length; i++) expect(of_pair[i] - of_pair[i - 1]).toBeGreaterThanOrEqual(32_000);
					}
				},
			),
			{ numRuns: 10 },
		);
	});
});
