/** An indexed binary heap of events by (time, sequence number): any of them can be taken out in O(log n). */
import type { Event } from "./event.ts";

export class EventHeap {
	/** time of the earliest event, Infinity when there is none */
	firstTime = Number.POSITIVE_INFINITY;
	size = 0;

	private readonly heap: Event[] = [];
	private times = new Float64Array(256);

	/** Puts `event` in, which has its time and sequence number. */
	push(event: Event): void {
		if (this.size === this.times.length) this.grow();
		this.siftUp(this.size++, event);
		this.firstTime = this.times[0];
	}

	/** Takes the earliest event out; there must be one. */
	pop(): Event {
		const event = this.heap[0];
		this.remove(event);
		return event;
	}

	/** Takes `event` out, which is in it. Its slot is nobody's business any more. */
	remove(event: Event): void {
		const { slot } = event;
		const last = this.heap[--this.size];
		this.heap[this.size] = null as unknown as Event;
		if (last !== event) {
			if (slot > 0 && this.before(last, last.time, (slot - 1) >> 1)) this.siftUp(slot, last);
			else this.siftDown(slot, last);
		}
		this.firstTime = this.size > 0 ? this.times[0] : Number.POSITIVE_INFINITY;
	}

	/** Adds the events of exactly `time` to `found`, in any order. */
	collect(time: number, found: Event[]): void {
		if (this.firstTime !== time) return;
		for (let i = 0; i < this.size; i++) if (this.times[i] === time) found.push(this.heap[i]);
	}

	/** Whether `event`, which is due at `time`, comes before the one in `slot`. */
	private before(event: Event, time: number, slot: number): boolean {
		return time < this.times[slot] || (time === this.times[slot] && event.seq < this.heap[slot].seq);
	}

	private put(slot: number, event: Event, time: number): void {
		this.heap[slot] = event;
		this.times[slot] = time;
		event.slot = slot;
	}

	private siftUp(slot: number, event: Event): void {
		const { heap, times } = this;
		const { time } = event;
		while (slot > 0) {
			const parent = (slot - 1) >> 1;
			if (!this.before(event, time, parent)) break;
			this.put(slot, heap[parent], times[parent]);
			slot = parent;
		}
		this.put(slot, event, time);
	}

	private siftDown(slot: number, event: Event): void {
		const { heap, times, size } = this;
		const { time } = event;
		for (;;) {
			let child = 2 * slot + 1;
			if (child >= size) break;
			const right = child + 1;
			if (right < size && this.before(heap[right], times[right], child)) child = right;
			if (this.before(event, time, child)) break;
			this.put(slot, heap[child], times[child]);
			slot = child;
		}
		this.put(slot, event, time);
	}

	private grow(): void {
		const bigger = new Float64Array(this.times.length * 2);
		bigger.set(this.times);
		this.times = bigger;
	}
}
