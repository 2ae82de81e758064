import { describe, expect, test } from "vitest";
import "../../../sim/generic.ts";
import "../../../src/dev/wg/if_wg.ts";
import { EINVAL } from "../../../src/kernel/errno.ts";
import {
	IFCOUNTER_IPACKETS,
	IFCOUNTER_OPACKETS,
	IFF_DRV_RUNNING,
	type ifnet,
} from "../../../src/kernel/ifnet/if_var.ts";
import { ifmp_ring_is_idle } from "../../../src/kernel/ifnet/mp_ring.ts";
import { ifreq, SIOCSIFMTU } from "../../../src/kernel/ifnet/sockio.ts";
import { M_HASHTYPE_NONE, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { set_curkernel } from "../../../src/kernel/sched/kernel.ts";
import { pause_sbt } from "../../../src/kernel/sched/sleepqueue.ts";
import type { ping_stats } from "../../../src/userland/ping.ts";
import { wait4 } from "../../../src/userland/process.ts";
import { testbed_exec } from "../../../src/userland/testbed.ts";
import { sh } from "../../userland/world.ts";
import { exact } from "../sched/support.ts";
import {
	both,
	build,
	deliver,
	destroy,
	exec,
	expect_no_leaks,
	frame_to,
	inside,
	lonely,
	overrides,
	pair,
	pass,
	received,
	tap,
} from "./ix_support.ts";

describe("two machines on a cable", () => {
	test("reach each other, and each waits for the cable twice: a slower one shows as twice as much in the rtt", () => {
		const profile = { ...exact, cstates: exact.cstates.slice(0, 1) };
		const rtts = [3_500, 103_500].map((wire_latency) => {
			const p = pair({ profile, costs: overrides({ wire_latency }) });
			build(p, { plain: true });
			return ([0, 1] as const).map((which) => {
				const proc = exec(p, which, `ping -c 3 -i 0.01 ${p.beds[which].sides[1 - which].address}`);
				expect(received(proc)).toEqual([3, 3, 0]);
				return (proc.p_data as ping_stats).tmin * 1_000;
			});
		});
		for (const which of [0, 1]) {
			expect(rtts[0][which]).toBeGreaterThan(7);
			expect(rtts[1][which] - rtts[0][which]).toBeGreaterThan(198);
			expect(rtts[1][which] - rtts[0][which]).toBeLessThan(202);
		}
	});

	test("have addresses and random numbers of their own", () => {
		const p = pair();
		const [one, two] = p.hosts;
		expect(one.ifp.if_hw_addr.subarray(0, 3)).toEqual(Uint8Array.of(0xa0, 0x36, 0x9f));
		expect(two.ifp.if_hw_addr).not.toEqual(one.ifp.if_hw_addr);
		expect(two.ifp.if_hw_addr).toHaveLength(6);
	});

	test("give back everything when the test bed goes, whatever crossed it", () => {
		for (const options of [{ plain: true }, { plain: false }, { plain: true, outer: "inet6" }] as const) {
			const p = pair();
			build(p, options);
			exec(p, 0, `ping -c 2 -i 0.01 -s 2000 ${p.beds[0].sides[1].address}`);
			destroy(p);
			pass(p, 500_000_000);
			for (const { kernel } of p.hosts) expect_no_leaks(kernel);
		}
	});
});

describe("ifconfig", () => {
	test("ix0 down gives back every mbuf and cluster, whatever is under way; up, traffic flows again", () => {
		const p = pair();
		build(p, { plain: true });
		const to = p.beds[0].sides[1].address;
		expect(received(exec(p, 0, `ping -c 2 -i 0.01 ${to}`))).toEqual([2, 2, 0]);
		// in the middle of it, at both ends, one after the other
		for (const down of [0, 1] as const) {
			both(p, function* (which) {
				if (which === 1) {
					testbed_exec(p.beds[1].sides[1], "iperf3 -s -1");
				} else {
					yield* pause_sbt("server", 2_000_000);
					testbed_exec(p.beds[0].sides[0], `iperf3 -c ${to} -u -b 3G -l 1400 -t 10ms -i 0`);
				}
				if (which === down) {
					yield* pause_sbt("flow", 6_000_000);
					yield* wait4(testbed_exec(p.beds[which].sides[which], "ifconfig ix0 down"));
				} else yield* pause_sbt("other", 20_000_000);
			});
			const host = p.hosts[down];
			expect(host.ifp.if_counters[down === 0 ? IFCOUNTER_OPACKETS : IFCOUNTER_IPACKETS]).toBeGreaterThan(500);
			const { ifc_rxqs, ifc_txqs } = host.ctx;
			expect(ifc_rxqs.flatMap((q) => [q.ifl_credits, q.ifsd_cl.length, q.ifsd_m.length, q.recycled.length])).toEqual(
				new Array(16).fill(0),
			);
			expect(ifc_txqs.every((q) => q.avail === 2048 && q.ift_sds.every((m) => m === null))).toBe(true);
			expect(ifc_txqs.every((q) => ifmp_ring_is_idle(q.ift_br))).toBe(true);
			expect(exec(p, down, "ifconfig ix0 up").p_xstat).toBe(0);
			// the connections that were cut off give up in time, or go on
			expect(received(exec(p, 0, `ping -c 2 -i 0.01 ${to}`))).toEqual([2, 2, 0]);
			expect(received(exec(p, 1, `ping -c 2 -i 0.01 ${p.beds[0].sides[0].address}`))).toEqual([2, 2, 0]);
			pass(p, 3_000_000_000);
		}
		destroy(p);
		pass(p, 100_000_000);
		for (const { kernel } of p.hosts) {
			set_curkernel(kernel);
			expect(uma_leaks().filter(({ zone }) => /mbuf/.test(zone))).toEqual([]);
		}
	});

	test("mtu up to 9710, and no further: then it is as before, and goes on", () => {
		const w = lonely();
		const frames = [60, 200, 1_500, 400].map((length, i) => frame_to(w, i, length));
		for (const mtu of [9_710, 9_711, 1_400]) {
			inside(w, function* () {
				const before = w.ifp.if_mtu;
				const ifr = Object.assign(new ifreq("ix0"), { ifr_mtu: mtu });
				const error = yield* (w.ifp.if_ioctl as NonNullable<ifnet["if_ioctl"]>)(w.ifp, SIOCSIFMTU, ifr);
				expect([mtu, error, w.ifp.if_mtu]).toEqual(mtu > 9_710 ? [mtu, EINVAL, before] : [mtu, 0, mtu]);
			});
			expect(w.ifp.if_drv_flags & IFF_DRV_RUNNING).toBe(IFF_DRV_RUNNING);
			w.seen.length = 0;
			deliver(w, frames);
			expect(w.seen.map(({ bytes }) => bytes)).toEqual(frames);
		}
		inside(w, function* () {
			const said = yield* sh("ifconfig ix0 mtu 10000");
			expect([said.p_xstat, said.lines]).toEqual([1, ["ifconfig: ioctl SIOCSIFMTU (set mtu): Invalid argument"]]);
			expect(w.ifp.if_mtu).toBe(1_400);
			yield* sh("ifconfig ix0 down");
		});
		expect_no_leaks(w.kernel);
	});

	test("mtu 9000 at both ends lets 8000 bytes through in one frame of four clusters", () => {
		const p = pair();
		build(p, { plain: true, mtu: 9000 });
		const lengths: number[][] = [[], []];
		const chains: number[][][] = [[], []];
		for (const [i, host] of p.hosts.entries()) {
			tap(host, (bytes) => lengths[i].push(bytes.length));
			set_curkernel(host.kernel);
			host.ifp.if_bpf?.listen((_ifp, m) => {
				const lens: number[] = [];
				for (let n: mbuf | null = m; n !== null; n = n.m_next) lens.push(n.m_len);
				if (m.m_pkthdr.rcvif !== null && m.m_pkthdr.len > 1_000) chains[i].push(lens);
			});
		}
		expect(received(exec(p, 0, `ping -c 2 -i 0.01 -s 8000 -D ${p.beds[0].sides[1].address}`))).toEqual([2, 2, 0]);
		const expected = [8042, 8042];
		expect(lengths.map((of_side) => of_side.filter((length) => length > 60))).toEqual([expected, expected]);
		expect(chains).toEqual(new Array(2).fill(new Array(2).fill([2048, 2048, 2048, 1898])));
		// one end cannot take what the other sends: nothing was changed there
		const q = pair();
		build(q, { plain: true });
		const refused = exec(q, 0, `ping -c 1 -t 1 -s 8000 -D ${q.beds[0].sides[1].address}`);
		expect(received(refused)).toEqual([1, 0, 0]);
		expect(refused.errors).toEqual(["ping: sendto: Message too long"]);
	});
});

test("a tunnel's packets all come to one queue in each direction: which one, the card's key decides", () => {
	const queues: number[][] = [[], []];
	for (let seed = 1; seed <= 5; seed++) {
		const p = pair({ seed, cpus: 8 });
		build(p, {});
		const took = p.hosts.map(({ ctx }) => {
			const set = new Set<number>();
			const { rxd_pkt_get } = ctx.ifc_txrx;
			Object.assign(ctx.ifc_txrx, {
				rxd_pkt_get: (qid: number, ri: Parameters<typeof rxd_pkt_get>[1]) => {
					const error = rxd_pkt_get(qid, ri);
					// the rest is ARP
					if (ri.iri_rsstype === M_HASHTYPE_NONE) expect(qid).toBe(0);
					else set.add(qid);
					return error;
				},
			});
			return set;
		});
		expect(received(exec(p, 0, `ping -c 5 -i 0.001 ${p.beds[0].sides[1].address}`))).toEqual([5, 5, 0]);
		for (const [i, set] of took.entries()) {
			expect(set.size).toBe(1);
			queues[i].push(...set);
		}
	}
	for (const of_side of queues) expect(new Set(of_side).size).toBeGreaterThan(1);
	expect(queues[0]).not.toEqual(queues[1]);
});
