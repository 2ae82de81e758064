import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { CC_ACK, CC_DEFAULT, CC_NDUPACK, CC_RTO, cc_find } from "../../../src/kernel/netinet/cc/cc.ts";
import { cubic_cwnd, cubic_k, tf_cwnd } from "../../../src/kernel/netinet/cc/cc_cubic.ts";
import { inpcb } from "../../../src/kernel/netinet/in_pcb.ts";
import { TCPS_ESTABLISHED } from "../../../src/kernel/netinet/tcp.ts";
import { cc_ack_received, cc_cong_signal, cc_conn_init, cc_post_recovery } from "../../../src/kernel/netinet/tcp_cc.ts";
import { EXIT_RECOVERY, IN_FASTRECOVERY, tcpcb } from "../../../src/kernel/netinet/tcp_var.ts";
import { curkernel, hz, vnet } from "../../../src/kernel/sched/kernel.ts";
import { curthread } from "../../../src/kernel/sched/thread.ts";
import { boot } from "../mbuf/support.ts";

const MSS = 1448;

/** A connection of which congestion control sees what it needs: everything sent is acknowledged at once. */
function connection(algorithm: string): tcpcb {
	const tp = new tcpcb(new inpcb(), curthread.td_vnet!, cc_find(algorithm)!);
	tp.cc_algo.cb_init(tp);
	tp.t_state = TCPS_ESTABLISHED;
	tp.t_maxseg = MSS;
	tp.snd_cwnd = 1 << 30;
	tp.snd_ssthresh = 1 << 30;
	tp.snd_scale = 14;
	tp.snd_wnd = 1 << 30;
	cc_conn_init(tp);
	return tp;
}

function ack(tp: tcpcb, bytes: number): void {
	tp.snd_max = tp.snd_nxt = (tp.snd_una + bytes) | 0;
	cc_ack_received(tp, tp.snd_max, 1, CC_ACK);
	tp.snd_una = tp.snd_max;
}

function lose(tp: tcpcb): void {
	tp.snd_max = tp.snd_nxt = (tp.snd_una + tp.snd_cwnd) | 0;
	cc_cong_signal(tp, tp.snd_una, CC_NDUPACK);
}

beforeEach(() => {
	boot();
	curthread.td_vnet = new vnet(0, "test");
});

describe("newreno", () => {
	test("begins with ten segments", () => {
		expect(connection("newreno").snd_cwnd).toBe(10 * MSS);
	});

	test("slow start grows by what is acknowledged, at most two segments an ACK", () => {
		const tp = connection("newreno");
		const before = tp.snd_cwnd;
		ack(tp, MSS);
		expect(tp.snd_cwnd).toBe(before + MSS);
		ack(tp, 5 * MSS);
		expect(tp.snd_cwnd).toBe(before + 3 * MSS);
	});

	test("congestion avoidance grows by one segment for each window acknowledged", () => {
		const tp = connection("newreno");
		tp.snd_cwnd = 20 * MSS;
		tp.snd_ssthresh = 10 * MSS;
		let acks = 0;
		while (tp.snd_cwnd === 20 * MSS) {
			ack(tp, 2 * MSS);
			acks++;
		}
		expect(tp.snd_cwnd).toBe(21 * MSS);
		expect(acks).toBe(10);
	});

	test("a loss halves the window, once per recovery", () => {
		const tp = connection("newreno");
		tp.snd_cwnd = 40 * MSS;
		lose(tp);
		expect(IN_FASTRECOVERY(tp)).toBe(true);
		expect(tp.snd_ssthresh).toBe(20 * MSS);
		cc_cong_signal(tp, tp.snd_una, CC_NDUPACK);
		expect(tp.snd_ssthresh).toBe(20 * MSS);
		cc_post_recovery(tp, tp.snd_una);
		EXIT_RECOVERY(tp);
		expect(tp.snd_cwnd).toBe(20 * MSS);
	});

	test("a timeout goes back to one segment", () => {
		const tp = connection("newreno");
		tp.snd_cwnd = 40 * MSS;
		cc_cong_signal(tp, 0, CC_RTO);
		expect(tp.snd_cwnd).toBe(MSS);
		expect(tp.snd_ssthresh).toBe(20 * MSS);
	});
});

describe("cubic", () => {
	test("the integer cube root is within 3 % of the real one", () => {
		fc.assert(
			fc.property(fc.integer({ min: 20, max: 200_000 }), (packets) => {
				const exact = ((packets * 0.3) / 0.4) ** (1 / 3) * 256;
				expect(Math.abs(cubic_k(packets) - exact)).toBeLessThan(exact * 0.03 + 2);
			}),
		);
	});

	test("the curve passes through the old window at time K, and does not lose bits", () => {
		const wmax = 100 * MSS;
		const K = cubic_k(100);
		const at_K = Math.round((K / 256) * hz());
		expect(Math.abs(cubic_cwnd(at_K, wmax, MSS, K) - wmax)).toBeLessThanOrEqual(MSS);
		fc.assert(
			fc.property(fc.integer({ min: 0, max: 1_000_000 }), (t) => {
				const x = (BigInt(t) * 256n - BigInt(K) * BigInt(hz())) / BigInt(hz());
				const bytes = ((x * x * x * 102n) >> 32n) * BigInt(MSS) + BigInt(wmax);
				const expected = x > 448845n ? 0x7fffffffn : bytes < 0n ? 0n : bytes;
				expect(BigInt(cubic_cwnd(t, wmax, MSS, K))).toBe(expected);
			}),
		);
	});

	test("the TCP-friendly window is computed exactly", () => {
		fc.assert(
			fc.property(fc.nat(1_000_000), fc.integer({ min: 1, max: 1000 }), fc.nat(1 << 24), (t, rtt, wmax) => {
				const grown = ((231n * BigInt(t) * BigInt(MSS)) << 8n) / BigInt(435 * rtt);
				expect(BigInt(tf_cwnd(t, rtt, wmax, MSS))).toBe((BigInt(wmax) * 179n + grown) >> 8n);
			}),
		);
	});

	test("after a loss it comes down to 0.7, grows quickly, flattens at the old window, then grows faster again", () => {
		const machine = boot();
		curthread.td_vnet = new vnet(0, "test");
		const tp = connection("cubic");
		tp.t_rttupdated = 100;
		tp.t_srtt = 100 << 5;
		tp.snd_cwnd = 400 * MSS;
		lose(tp);
		cc_post_recovery(tp, tp.snd_una);
		EXIT_RECOVERY(tp);
		lose(tp);
		cc_post_recovery(tp, tp.snd_una);
		EXIT_RECOVERY(tp);
		const sizes: number[] = [];
		for (let second = 0; second < 20; second++) {
			machine.events.now += 1_000_000_000;
			ack(tp, MSS);
			sizes.push(tp.snd_cwnd);
		}
		expect(curkernel.machine).toBe(machine);
		for (let i = 1; i < sizes.length; i++) expect(sizes[i]!).toBeGreaterThanOrEqual(sizes[i - 1]!);
		const growth = sizes.slice(1).map((size, i) => size - sizes[i]!);
		const flattest = growth.indexOf(Math.min(...growth));
		expect(flattest).toBeGreaterThan(0);
		expect(flattest).toBeLessThan(growth.length - 1);
		expect(growth.at(-1)!).toBeGreaterThan(growth[flattest]!);
	});
});

test("13.0 defaults to newreno, 14.0 to cubic, and the tunable overrides both", () => {
	boot({ release: "13.0" });
	expect(CC_DEFAULT().name).toBe("newreno");
	boot({ release: "14.0" });
	expect(CC_DEFAULT().name).toBe("cubic");
	boot({ release: "14.0", tunables: { "net.inet.tcp.cc.algorithm": "newreno" } });
	expect(CC_DEFAULT().name).toBe("newreno");
});
