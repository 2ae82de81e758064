/**
 * A run queue: threads in buckets of equal priority, four priorities in each, and a bit for each bucket that has any.
 *
 * @see kern_switch.c runq_add, runq_remove, runq_choose; runq(9)
 */
import { PRI_MAX_IDLE, RQ_PPQ } from "./priority.ts";
import type { thread } from "./thread.ts";

const NQUEUES = (PRI_MAX_IDLE + 1) / RQ_PPQ;

export class runq {
	private readonly heads: (thread | null)[] = new Array(NQUEUES).fill(null);
	private readonly tails: (thread | null)[] = new Array(NQUEUES).fill(null);
	private bits_high = 0;
	private bits_low = 0;

	/** Queues a thread behind those of its bucket, or before them. */
	add(td: thread, head: boolean): void {
		const q = td.td_priority >> 2;
		td.td_rqbucket = q;
		if (head) {
			td.td_prev = null;
			td.td_next = this.heads[q];
			if (td.td_next !== null) td.td_next.td_prev = td;
			else this.tails[q] = td;
			this.heads[q] = td;
		} else {
			td.td_next = null;
			td.td_prev = this.tails[q];
			if (td.td_prev !== null) td.td_prev.td_next = td;
			else this.heads[q] = td;
			this.tails[q] = td;
		}
		if (q < 32) this.bits_high |= 1 << (31 - q);
		else this.bits_low |= 1 << (63 - q);
	}

	/** Takes a thread out, whatever its priority is now. */
	remove(td: thread): void {
		const q = td.td_rqbucket;
		if (td.td_prev !== null) td.td_prev.td_next = td.td_next;
		else this.heads[q] = td.td_next;
		if (td.td_next !== null) td.td_next.td_prev = td.td_prev;
		else this.tails[q] = td.td_prev;
		td.td_next = null;
		td.td_prev = null;
		td.td_rqbucket = -1;
		if (this.heads[q] === null) {
			if (q < 32) this.bits_high &= ~(1 << (31 - q));
			else this.bits_low &= ~(1 << (63 - q));
		}
	}

	/** The best thread, left where it is. */
	first(): thread | null {
		if (this.bits_high !== 0) return this.heads[Math.clz32(this.bits_high)];
		if (this.bits_low !== 0) return this.heads[32 + Math.clz32(this.bits_low)];
		return null;
	}

	/** The best thread that is not kept on its CPU. */
	first_movable(): thread | null {
		for (let q = 0; q < NQUEUES; q++) {
			for (let td = this.heads[q]; td !== null; td = td.td_next) if (td.td_pinned === 0 && !td.td_bound) return td;
		}
		return null;
	}
}
