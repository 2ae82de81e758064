/**
 * Selective acknowledgements: the blocks a receiver reports, and the scoreboard of holes a sender repairs.
 *
 * The receiver's blocks are pairs in `sackblks`, the newest first; a block below rcv_nxt is a D-SACK and goes out once.
 *
 * @see tcp_sack.c; RFC 2018, RFC 2883
 */
import { M_NOWAIT, uma_zalloc, uma_zfree } from "../mbuf/mbuf.ts";
import { KASSERT } from "../sched/kernel.ts";
import { charge, cost } from "../sched/thread.ts";
import { SEQ_GEQ, SEQ_GT, SEQ_LEQ, SEQ_LT, SEQ_MAX, SEQ_MIN } from "./tcp.ts";
import {
	MAX_SACK_BLKS,
	sack_hole_zone,
	type sackhole,
	TCP_MAX_SACK,
	TOF_SACK,
	type tcpcb,
	type tcpopt,
	V_tcpstat,
} from "./tcp_var.ts";

/** net.inet.tcp.sack.maxholes */
const tcp_sack_maxholes = 128;

// Scratch for one call each: nothing here waits, so no other thread sees it half filled.
const saved = new Int32Array(2 * (MAX_SACK_BLKS + 2));
const blocks = new Int32Array(2 * (TCP_MAX_SACK + 1));

/**
 * Adds the range [rcv_start, rcv_end) that came in to the blocks to report, merging what touches it.
 * An empty range whose end is the newest block's keeps that block, a D-SACK, in front.
 */
export function tcp_update_sack_list(tp: tcpcb, rcv_start: number, rcv_end: number): void {
	const blks = tp.sackblks;
	KASSERT(SEQ_LEQ(rcv_start, rcv_end), "rcv_start <= rcv_end");
	let head_start = rcv_start;
	let head_end = rcv_end;
	if (rcv_start === rcv_end && tp.rcv_numsacks >= 1 && rcv_end === blks[1]) {
		head_start = blks[0];
		head_end = blks[1];
	}
	let n = 0;
	for (let i = 0; i < tp.rcv_numsacks; i++) {
		let start = blks[2 * i];
		let end = blks[2 * i + 1];
		if (SEQ_GEQ(start, end) || SEQ_LEQ(start, tp.rcv_nxt)) continue;
		if (SEQ_LEQ(head_start, end) && SEQ_GEQ(head_end, start)) {
			if (head_start === end) {
				head_start = start;
				continue;
			}
			if (head_end === start) {
				head_end = end;
				continue;
			}
			// overlapping: the head becomes the inner range, a D-SACK, and the union follows it
			const union_start = SEQ_MIN(head_start, start);
			const union_end = SEQ_MAX(head_end, end);
			head_start = SEQ_MAX(head_start, start);
			head_end = SEQ_MIN(head_end, end);
			if (head_start === union_start && head_end === union_end) continue;
			start = union_start;
			end = union_end;
		}
		if (n >= 1 && SEQ_GEQ(saved[2 * n - 2], start) && SEQ_LEQ(saved[2 * n - 1], end)) n--;
		saved[2 * n] = start;
		saved[2 * n + 1] = end;
		n++;
	}
	let heads = 0;
	if (SEQ_LT(rcv_start, rcv_end)) {
		blks[0] = head_start;
		blks[1] = head_end;
		heads = 1;
		if (n >= MAX_SACK_BLKS) n--;
	}
	if (rcv_start === rcv_end && rcv_start === blks[1]) heads = 1;
	n = Math.min(n, MAX_SACK_BLKS - heads);
	for (let i = 0; i < 2 * n; i++) blks[2 * heads + i] = saved[i];
	tp.rcv_numsacks = heads + n;
}

/**
 * Adds a range that came in, and reports in front of it, as a D-SACK, what of it had been received before.
 */
export function tcp_update_dsack_list(tp: tcpcb, rcv_start: number, rcv_end: number): void {
	const blks = tp.sackblks;
	KASSERT(SEQ_LT(rcv_start, rcv_end), "rcv_start < rcv_end");
	saved[0] = 0;
	saved[1] = 0;
	if (SEQ_LT(rcv_end, tp.rcv_nxt) || (rcv_end === tp.rcv_nxt && tp.rcv_numsacks > 0 && blks[1] === tp.rcv_nxt)) {
		saved[0] = rcv_start;
		saved[1] = rcv_end;
	}
	let head_start = 0;
	let head_end = 0;
	let mid_start = rcv_start;
	let mid_end = rcv_end;
	let identical = false;
	for (let i = 0; i < tp.rcv_numsacks; i++) {
		const start = blks[2 * i];
		const end = blks[2 * i + 1];
		if (SEQ_LT(rcv_end, start) || SEQ_GT(rcv_start, end)) continue;
		if (SEQ_GT(tp.rcv_nxt, end)) {
			const inner_start = SEQ_MAX(rcv_start, start);
			const inner_end = SEQ_MIN(rcv_end, end);
			if (inner_start !== inner_end && (SEQ_GT(head_start, inner_start) || head_start === head_end)) {
				head_start = inner_start;
				head_end = inner_end;
			}
			continue;
		}
		if ((head_start === head_end || SEQ_LT(start, head_start)) && SEQ_GT(end, rcv_start) && SEQ_LEQ(start, rcv_end)) {
			head_start = start;
			head_end = end;
		}
		mid_start = SEQ_MIN(mid_start, start);
		mid_end = SEQ_MAX(mid_end, end);
		if (mid_start === start && mid_end === end) identical = true;
	}
	if (SEQ_LT(head_start, head_end)) {
		saved[0] = SEQ_MAX(rcv_start, head_start);
		saved[1] = SEQ_MIN(rcv_end, head_end);
	}
	let n = 1;
	if ((SEQ_LT(tp.rcv_nxt, mid_end) && !(mid_start === saved[0] && mid_end === saved[1])) || identical) {
		saved[2] = mid_start;
		saved[3] = mid_end;
		n = 2;
	}
	for (let j = 0; j < tp.rcv_numsacks && n < MAX_SACK_BLKS; j++) {
		const start = blks[2 * j];
		const end = blks[2 * j + 1];
		if ((SEQ_LT(end, mid_start) || SEQ_GT(start, mid_end)) && SEQ_GT(start, tp.rcv_nxt)) {
			saved[2 * n] = start;
			saved[2 * n + 1] = end;
			n++;
		}
	}
	let kept = 0;
	for (let i = 0; i < n; i++) {
		if (!SEQ_LT(saved[2 * i], saved[2 * i + 1])) continue;
		blks[2 * kept] = saved[2 * i];
		blks[2 * kept + 1] = saved[2 * i + 1];
		kept++;
	}
	tp.rcv_numsacks = kept;
}

/** Forgets D-SACKs, which are reported only once. */
export function tcp_clean_dsack_blocks(tp: tcpcb): void {
	const blks = tp.sackblks;
	let n = 0;
	for (let i = 0; i < tp.rcv_numsacks; i++) {
		const start = blks[2 * i];
		const end = blks[2 * i + 1];
		if (SEQ_GEQ(start, end) || SEQ_LEQ(start, tp.rcv_nxt)) continue;
		blks[2 * n] = start;
		blks[2 * n + 1] = end;
		n++;
	}
	tp.rcv_numsacks = n;
}

/** Forgets all blocks: everything has arrived. */
export function tcp_clean_sackreport(tp: tcpcb): void {
	tp.rcv_numsacks = 0;
	tp.sackblks.fill(0);
}

/** Puts a new hole behind `after`, or at the end. @returns null when there are too many */
function tcp_sackhole_insert(tp: tcpcb, start: number, end: number, after: sackhole | null): sackhole | null {
	if (tp.snd_numholes >= tcp_sack_maxholes) {
		V_tcpstat().tcps_sack_sboverflow++;
		return null;
	}
	const hole = uma_zalloc(sack_hole_zone(), M_NOWAIT);
	if (hole === null) return null;
	hole.start = start;
	hole.end = end;
	hole.rxmit = start;
	const prev = after ?? tp.snd_holes_last;
	hole.prev = prev;
	hole.next = prev === null ? null : prev.next;
	if (prev === null) tp.snd_holes_first = hole;
	else prev.next = hole;
	if (hole.next === null) tp.snd_holes_last = hole;
	else hole.next.prev = hole;
	tp.snd_numholes++;
	if (tp.sackhint.nexthole === null) tp.sackhint.nexthole = hole;
	return hole;
}

function tcp_sackhole_remove(tp: tcpcb, hole: sackhole): void {
	if (tp.sackhint.nexthole === hole) tp.sackhint.nexthole = hole.next;
	if (hole.prev === null) tp.snd_holes_first = hole.next;
	else hole.prev.next = hole.next;
	if (hole.next === null) tp.snd_holes_last = hole.prev;
	else hole.next.prev = hole.prev;
	hole.next = null;
	hole.prev = null;
	tp.snd_numholes--;
	uma_zfree(sack_hole_zone(), hole);
}

/** Collects the valid blocks of an ACK in `blocks`, ordered by their ends; what th_ack newly covers counts as one. */
function sack_collect(tp: tcpcb, to: tcpopt, th_ack: number): number {
	let n = 0;
	if (SEQ_LT(tp.snd_una, th_ack) && tp.snd_holes_first !== null) {
		blocks[0] = tp.snd_una;
		blocks[1] = th_ack;
		n = 1;
	}
	if ((to.to_flags & TOF_SACK) !== 0) {
		for (let i = 0; i < to.to_nsacks; i++) {
			const start = to.to_sacks[2 * i];
			const end = to.to_sacks[2 * i + 1];
			if (
				SEQ_GT(end, start) &&
				SEQ_GT(start, tp.snd_una) &&
				SEQ_GT(start, th_ack) &&
				SEQ_LT(start, tp.snd_max) &&
				SEQ_LEQ(end, tp.snd_max)
			) {
				let at = n++;
				for (; at > 0 && SEQ_GT(blocks[2 * at - 1], end); at--) {
					blocks[2 * at] = blocks[2 * at - 2];
					blocks[2 * at + 1] = blocks[2 * at - 1];
				}
				blocks[2 * at] = start;
				blocks[2 * at + 1] = end;
			}
		}
	}
	return n;
}

/**
 * Brings the scoreboard up to date with an ACK: from its end backwards, holes are shortened, split and closed.
 *
 * @returns whether the ACK told anything new
 */
export function tcp_sack_doack(tp: tcpcb, to: tcpopt, th_ack: number): boolean {
	const hint = tp.sackhint;
	const left_edge_delta = SEQ_LT(tp.snd_una, th_ack) && tp.snd_holes_first !== null ? (th_ack - tp.snd_una) | 0 : 0;
	const count = sack_collect(tp, to, th_ack);
	if (count === 0) return false;
	charge(cost.tcp_sack * count);
	let changed = false;
	let delivered = 0;
	if (tp.snd_holes_first === null) {
		tp.snd_fack = SEQ_MAX(tp.snd_una, th_ack);
		hint.sacked_bytes = 0;
	}
	let b = count - 1;
	const last_start = blocks[2 * b];
	const last_end = blocks[2 * b + 1];
	hint.last_sack_ack = last_end;
	if (SEQ_LT(tp.snd_fack, last_start)) {
		if (tcp_sackhole_insert(tp, tp.snd_fack, last_start, null) !== null) {
			delivered += (last_end - last_start) | 0;
			tp.snd_fack = last_end;
			b--;
			changed = true;
		} else {
			while (b >= 0 && SEQ_LT(tp.snd_fack, blocks[2 * b])) b--;
			if (b >= 0 && SEQ_LT(tp.snd_fack, blocks[2 * b + 1])) {
				delivered += (blocks[2 * b + 1] - tp.snd_fack) | 0;
				tp.snd_fack = blocks[2 * b + 1];
				changed = true;
			}
		}
	} else if (SEQ_LT(tp.snd_fack, last_end)) {
		delivered += (last_end - tp.snd_fack) | 0;
		tp.snd_fack = last_end;
		changed = true;
	}
	let cur = tp.snd_holes_last;
	while (b >= 0 && cur !== null) {
		const start = blocks[2 * b];
		const end = blocks[2 * b + 1];
		if (SEQ_GEQ(start, cur.end)) {
			b--;
			continue;
		}
		if (SEQ_LEQ(end, cur.start)) {
			cur = cur.prev;
			continue;
		}
		hint.sack_bytes_rexmit -= (cur.rxmit - cur.start) | 0;
		KASSERT(hint.sack_bytes_rexmit >= 0, "sackhint bytes rtx >= 0");
		changed = true;
		if (SEQ_LEQ(start, cur.start)) {
			if (SEQ_GEQ(end, cur.end)) {
				delivered += (cur.end - cur.start) | 0;
				const gone: sackhole = cur;
				cur = cur.prev;
				tcp_sackhole_remove(tp, gone);
				continue;
			}
			delivered += (end - cur.start) | 0;
			cur.start = end;
			cur.rxmit = SEQ_MAX(cur.rxmit, cur.start);
		} else if (SEQ_GEQ(end, cur.end)) {
			delivered += (cur.end - start) | 0;
			cur.end = start;
			cur.rxmit = SEQ_MIN(cur.rxmit, cur.end);
		} else {
			const tail = tcp_sackhole_insert(tp, end, cur.end, cur);
			if (tail !== null) {
				if (SEQ_GT(cur.rxmit, tail.rxmit)) {
					tail.rxmit = cur.rxmit;
					hint.sack_bytes_rexmit += (tail.rxmit - tail.start) | 0;
				}
				cur.end = start;
				cur.rxmit = SEQ_MIN(cur.rxmit, cur.end);
				delivered += (end - start) | 0;
			}
		}
		hint.sack_bytes_rexmit += (cur.rxmit - cur.start) | 0;
		if (SEQ_LEQ(start, cur.start)) cur = cur.prev;
		else b--;
	}
	hint.delivered_data = delivered;
	hint.sacked_bytes += delivered - left_edge_delta;
	KASSERT(delivered >= 0, "delivered_data < 0");
	KASSERT(hint.sacked_bytes >= 0, "sacked_bytes < 0");
	return changed;
}

/** Empties the scoreboard. */
export function tcp_free_sackholes(tp: tcpcb): void {
	while (tp.snd_holes_first !== null) tcp_sackhole_remove(tp, tp.snd_holes_first);
	tp.sackhint.sack_bytes_rexmit = 0;
	KASSERT(tp.snd_numholes === 0, "tp->snd_numholes == 0");
	KASSERT(tp.sackhint.nexthole === null, "tp->sackhint.nexthole == NULL");
}

/** The next hole with something to send again; the hint makes this a step of at most one. */
export function tcp_sack_output(tp: tcpcb): sackhole | null {
	let hole = tp.sackhint.nexthole;
	if (hole === null || SEQ_LT(hole.rxmit, hole.end)) return hole;
	while ((hole = hole.next) !== null) {
		if (SEQ_LT(hole.rxmit, hole.end)) {
			tp.sackhint.nexthole = hole;
			break;
		}
	}
	return hole;
}

/** After a timeout: moves snd_nxt over what the peer has already. */
export function tcp_sack_adjust(tp: tcpcb): void {
	let cur = tp.snd_holes_first;
	if (cur === null || SEQ_GEQ(tp.snd_nxt, tp.snd_fack)) return;
	for (let p = cur.next; p !== null; p = cur.next) {
		if (SEQ_LT(tp.snd_nxt, cur.end)) return;
		if (SEQ_LT(tp.snd_nxt, p.start)) {
			tp.snd_nxt = p.start;
			return;
		}
		cur = p;
	}
	if (SEQ_LT(tp.snd_nxt, cur.end)) return;
	tp.snd_nxt = tp.snd_fack;
}
