import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { cc_find } from "../../../src/kernel/netinet/cc/cc.ts";
import { inpcb } from "../../../src/kernel/netinet/in_pcb.ts";
import {
	tcp_clean_dsack_blocks,
	tcp_free_sackholes,
	tcp_sack_adjust,
	tcp_sack_doack,
	tcp_sack_output,
	tcp_update_dsack_list,
	tcp_update_sack_list,
} from "../../../src/kernel/netinet/tcp_sack.ts";
import { MAX_SACK_BLKS, TOF_SACK, tcpcb, tcpopt } from "../../../src/kernel/netinet/tcp_var.ts";
import { vnet } from "../../../src/kernel/sched/kernel.ts";
import { curthread } from "../../../src/kernel/sched/thread.ts";
import { boot, expectNoLeaks } from "../mbuf/support.ts";

function connection(): tcpcb {
	return new tcpcb(new inpcb(), curthread.td_vnet!, cc_find("newreno")!);
}

function blocks(tp: tcpcb): [number, number][] {
	return Array.from({ length: tp.rcv_numsacks }, (_, i) => [tp.sackblks[2 * i]!, tp.sackblks[2 * i + 1]!]);
}

function holes(tp: tcpcb): [number, number][] {
	const list: [number, number][] = [];
	for (let h = tp.snd_holes_first; h !== null; h = h.next) list.push([h.start, h.end]);
	return list;
}

function sack(...ranges: [number, number][]): tcpopt {
	const to = new tcpopt();
	to.to_flags = TOF_SACK;
	to.to_nsacks = ranges.length;
	for (const [i, [start, end]] of ranges.entries()) {
		to.to_sacks[2 * i] = start;
		to.to_sacks[2 * i + 1] = end;
	}
	return to;
}

beforeEach(() => {
	boot();
	curthread.td_vnet = new vnet(0, "test");
});

test("the newest block comes first and blocks that touch are merged", () => {
	const tp = connection();
	tp.rcv_nxt = 100;
	tcp_update_sack_list(tp, 200, 300);
	tcp_update_sack_list(tp, 400, 500);
	expect(blocks(tp)).toEqual([
		[400, 500],
		[200, 300],
	]);
	tcp_update_sack_list(tp, 300, 400);
	expect(blocks(tp)).toEqual([[200, 500]]);
});

test("a block is dropped when the data before it have come", () => {
	const tp = connection();
	tp.rcv_nxt = 100;
	tcp_update_sack_list(tp, 200, 300);
	tcp_update_sack_list(tp, 400, 500);
	tp.rcv_nxt = 300;
	tcp_update_sack_list(tp, 300, 300);
	expect(blocks(tp)).toEqual([[400, 500]]);
});

test("a duplicate is reported once, in front, as a D-SACK", () => {
	const tp = connection();
	tp.rcv_nxt = 1000;
	tcp_update_sack_list(tp, 2000, 3000);
	tcp_update_dsack_list(tp, 200, 300);
	expect(blocks(tp)[0]).toEqual([200, 300]);
	tcp_clean_dsack_blocks(tp);
	expect(blocks(tp)).toEqual([[2000, 3000]]);
});

test("never more blocks than fit, whatever comes in", () => {
	fc.assert(
		fc.property(fc.array(fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 50 }))), (segments) => {
			const tp = connection();
			tp.rcv_nxt = -500;
			for (const [start, len] of segments) {
				tcp_update_dsack_list(tp, start, start + len);
				expect(tp.rcv_numsacks).toBeLessThanOrEqual(MAX_SACK_BLKS);
				for (const [from, to] of blocks(tp)) expect(from).toBeLessThan(to);
			}
		}),
	);
});

test("the scoreboard has a hole for what no block covers, and closes it from both ends", () => {
	const tp = connection();
	tp.snd_una = 0;
	tp.snd_max = tp.snd_nxt = 10_000;
	expect(tcp_sack_doack(tp, sack([1000, 2000]), 0)).toBe(true);
	expect(holes(tp)).toEqual([[0, 1000]]);
	tcp_sack_doack(tp, sack([5000, 6000], [3000, 4000]), 0);
	expect(holes(tp)).toEqual([
		[0, 1000],
		[2000, 3000],
		[4000, 5000],
	]);
	expect(tp.snd_fack).toBe(6000);
	expect(tp.sackhint.sacked_bytes).toBe(3000);
	expect(tcp_sack_doack(tp, sack([5000, 6000]), 0)).toBe(false);
	tcp_sack_doack(tp, sack([4200, 4400]), 500);
	expect(holes(tp)).toEqual([
		[500, 1000],
		[2000, 3000],
		[4000, 4200],
		[4400, 5000],
	]);
	tp.snd_una = 500;
	tcp_sack_doack(tp, sack(), 6000);
	expect(holes(tp)).toEqual([]);
	expectNoLeaks();
});

test("holes are sent again in order, each once", () => {
	const tp = connection();
	tp.snd_max = tp.snd_nxt = 10_000;
	tcp_sack_doack(tp, sack([1000, 2000], [3000, 4000]), 0);
	const first = tcp_sack_output(tp)!;
	expect(first.start).toBe(0);
	first.rxmit = first.end;
	tp.sackhint.sack_bytes_rexmit += 1000;
	const second = tcp_sack_output(tp)!;
	expect(second.start).toBe(2000);
	second.rxmit = second.end;
	tp.sackhint.sack_bytes_rexmit += 1000;
	expect(tcp_sack_output(tp)).toBeNull();
	tcp_free_sackholes(tp);
	expectNoLeaks();
});

test("after a timeout, sending skips what the peer has", () => {
	const tp = connection();
	tp.snd_max = 10_000;
	tcp_sack_doack(tp, sack([1000, 2000], [3000, 4000]), 0);
	for (const [from, to] of [
		[500, 500],
		[1000, 2000],
		[1500, 2000],
		[2500, 2500],
		[3200, 4000],
		[4500, 4500],
	] as const) {
		tp.snd_nxt = from;
		tcp_sack_adjust(tp);
		expect(tp.snd_nxt).toBe(to);
	}
	tcp_free_sackholes(tp);
});

test("the scoreboard agrees with a plain set of bytes, for any blocks and any wrap-around", () => {
	const ack = fc.record({
		una: fc.nat(3),
		ranges: fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 10 })), { maxLength: 4 }),
	});
	fc.assert(
		fc.property(fc.integer(), fc.array(ack, { maxLength: 20 }), (base, acks) => {
			const at = (offset: number): number => (base + offset) | 0;
			const tp = connection();
			tp.snd_una = at(0);
			tp.snd_max = tp.snd_nxt = at(70);
			let una = 0;
			const sacked = new Set<number>();
			for (const { una: step, ranges } of acks) {
				una = Math.min(una + step, 70);
				while (sacked.has(una)) una++; // a receiver acknowledges everything up to its first gap
				for (const [start, len] of ranges) {
					if (start > una) for (let b = start; b < start + len; b++) sacked.add(b);
				}
				const to = sack(
					...ranges.filter(([start]) => start > una).map(([s, l]): [number, number] => [at(s), at(s + l)]),
				);
				tcp_sack_doack(tp, to, at(una));
				tp.snd_una = at(una);
				for (const b of sacked) if (b < una) sacked.delete(b);
				const top = Math.max(una, ...[...sacked].map((b) => b + 1));
				const expected: number[] = [];
				for (let b = una; b < top; b++) if (!sacked.has(b)) expected.push(b);
				const actual: number[] = [];
				for (const [from, end] of holes(tp)) for (let b = from; b !== end; b = (b + 1) | 0) actual.push((b - base) | 0);
				if (sacked.size > 0) expect(actual).toEqual(expected);
			}
			tcp_free_sackholes(tp);
			expectNoLeaks();
		}),
	);
});
