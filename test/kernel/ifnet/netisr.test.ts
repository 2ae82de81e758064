import { describe, expect, test } from "vitest";
import { ENOBUFS } from "../../../src/kernel/errno.ts";
import { V_loif } from "../../../src/kernel/ifnet/if_loop.ts";
import { IFCOUNTER_IPACKETS, IFCOUNTER_OPACKETS } from "../../../src/kernel/ifnet/if_var.ts";
import {
	NETISR_DISPATCH_DEFERRED,
	NETISR_DISPATCH_HYBRID,
	NETISR_IP,
	netisr_dispatch,
	netisr_get_cpucount,
	netisr_getqdrops,
	netisr_getqlimit,
	netisr_queue,
	netisr_set_dispatch,
	netisr_workstreams,
} from "../../../src/kernel/ifnet/netisr.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import {
	CSUM_DATA_VALID,
	CSUM_PSEUDO_HDR,
	M_HASHTYPE_OPAQUE_HASH,
	M_HASHTYPE_SET,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import { INADDR_LOOPBACK } from "../../../src/kernel/netinet/in.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import type { Blocking } from "../../../src/kernel/sched/thread.ts";
import { bootKernel, inKernel, ip, mbufs_in_use, packet, send, setAddress } from "./support.ts";

function received(id: number): mbuf {
	const m = packet(id);
	m.m_pkthdr.rcvif = V_loif();
	return m;
}

function* dispatch(m: mbuf): Blocking<number> {
	NET_EPOCH_ENTER();
	const error = yield* netisr_dispatch(NETISR_IP, m);
	NET_EPOCH_EXIT();
	return error;
}

test("with net.isr.bindthreads each workstream's thread stays on its CPU, wherever it was made", () => {
	const tunables = { "net.isr.maxthreads": "-1", "net.isr.bindthreads": "1" };
	for (let seed = 1; seed <= 5; seed++) {
		inKernel(bootKernel({ tunables }, 4, seed), function* () {
			yield* pause("x", 1);
			const threads = netisr_workstreams().map((nws) => nws.nws_swi_cookie?.it_thread);
			expect(threads.map((td) => [td?.td_cpu, td?.td_bound])).toEqual([0, 1, 2, 3].map((cpu) => [cpu, true]));
		});
	}
});

test("there is one workstream unless net.isr.maxthreads asks for more, and never more than CPUs", () => {
	for (const [maxthreads, count] of [
		[undefined, 1],
		["0", 1],
		["-1", 4],
		["3", 3],
		["9", 4],
	] as const) {
		inKernel(
			bootKernel(maxthreads === undefined ? {} : { tunables: { "net.isr.maxthreads": maxthreads } }),
			function* () {
				expect(netisr_get_cpucount()).toBe(count);
				yield* pause("x", 1);
			},
		);
	}
});

test("a dispatch is direct by default: the caller's thread handles the packet, and the queue stays empty", () => {
	inKernel(bootKernel(), function* () {
		expect(yield* dispatch(received(1))).toBe(0);
		expect(ip().arrivals).toEqual([{ id: 1, ifp: "lo0", vnet: "vnet0", thread: "test" }]);
		const work = netisr_workstreams()[0].nws_work[NETISR_IP];
		expect(work.nw_queued).toBe(0);
	});
});

test("a deferred dispatch is handled by the netisr thread", () => {
	inKernel(bootKernel(), function* () {
		netisr_set_dispatch(NETISR_DISPATCH_DEFERRED);
		yield* dispatch(received(1));
		yield* pause("x", 2);
		expect(ip().arrivals.map((x) => x.thread)).toEqual(["swi1: netisr 0"]);
	});
});

test("the queue takes 256 packets, frees the next and says ENOBUFS; the worker handles all of them in order", () => {
	inKernel(bootKernel({}, 2), function* () {
		expect(netisr_getqlimit(NETISR_IP)).toBe(256);
		ip().cost_ns = 20_000_000;
		yield* netisr_queue(NETISR_IP, received(0));
		yield* pause("start", 1);
		for (let i = 1; i <= 256; i++) expect(yield* netisr_queue(NETISR_IP, received(i))).toBe(0);
		expect(yield* netisr_queue(NETISR_IP, received(999))).toBe(ENOBUFS);
		expect(netisr_getqdrops(NETISR_IP)).toBe(1);
		ip().cost_ns = 100;
		yield* pause("settle", 100);
		expect(ip().arrivals.map((x) => x.id)).toEqual(Array.from({ length: 257 }, (_, i) => i));
		const work = netisr_workstreams()[0].nws_work[NETISR_IP];
		expect([work.nw_queued, work.nw_handled, work.nw_watermark, work.nw_len]).toEqual([257, 257, 256, 0]);
	});
	expect(mbufs_in_use()).toBe(0);
});

describe("hybrid dispatch", () => {
	const options = { tunables: { "net.isr.maxthreads": "-1", "net.isr.bindthreads": "1" } };

	test("handles packets of this CPU's flows here and sends others to their CPU", () => {
		inKernel(bootKernel(options), function* () {
			netisr_set_dispatch(NETISR_DISPATCH_HYBRID);
			for (let flow = 0; flow < 4; flow++) {
				const m = received(flow);
				m.m_pkthdr.flowid = flow;
				M_HASHTYPE_SET(m, M_HASHTYPE_OPAQUE_HASH);
				yield* dispatch(m);
			}
			yield* pause("x", 5);
			const threads = new Map(ip().arrivals.map((x) => [x.id, x.thread]));
			const here = [...threads].filter(([, thread]) => thread === "test");
			expect(here).toHaveLength(1);
			for (const [flow, thread] of threads) if (thread !== "test") expect(thread).toBe(`swi1: netisr ${flow}`);
			const hybrid = netisr_workstreams().reduce((n, nws) => n + nws.nws_work[NETISR_IP].nw_hybrid_dispatched, 0);
			expect(hybrid).toBe(1);
		});
	});
});

test("loopback is never direct, counts on lo0, and marks checksums as good", () => {
	inKernel(bootKernel(), function* () {
		const lo = V_loif();
		yield* setAddress(lo, INADDR_LOOPBACK);
		const m = packet(5);
		yield* send(lo, m, INADDR_LOOPBACK);
		expect(m.m_pkthdr.csum_flags & (CSUM_DATA_VALID | CSUM_PSEUDO_HDR)).toBe(CSUM_DATA_VALID | CSUM_PSEUDO_HDR);
		yield* pause("x", 2);
		expect(ip().arrivals).toEqual([{ id: 5, ifp: "lo0", vnet: "vnet0", thread: "swi1: netisr 0" }]);
		expect([lo.if_counters[IFCOUNTER_OPACKETS], lo.if_counters[IFCOUNTER_IPACKETS]]).toEqual([1, 1]);
	});
});
