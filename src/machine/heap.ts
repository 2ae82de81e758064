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
			if (slot > 0 && this.before(last, (slot - 1) >> 1)) this.siftUp(slot, last);
			else this.siftDown(slot, last);
		}
		this.firstTime = this.size > 0 ? this.times[0] : Number.POSITIVE_INFINITY;
	}

	/** Adds the events of exactly `time` to `found`, in any order. */
	collect(time: number, found: Event[]): void {
		if (this.firstTime !== time) return;
		for (let i = 0; i < this.size; i++) if (this.times[i] === time) found.push(this.heap[i]);
	}

	private before(event: Event, slot: number): boolean {
		const time = this.times[slot];
		return event.time < time || (event.time === time && event.seq < this.heap[slot].seq);
	}

	/** Sets `event` down in `slot`. */
	private put(slot: number, event: Event): void {
		this.heap[slot] = event;
		this.times[slot] = event.time;
		event.slot = slot;
	}

	private siftUp(slot: number, event: Event): void {
		while (slot > 0) {
			const parent = (slot - 1) >> 1;
			if (!this.before(event, parent)) break;
			this.put(slot, this.heap[parent]);
			slot = parent;
		}
		this.put(slot, event);
	}

	private siftDown(slot: number, event: Event): void {
		for (;;) {
			let child = 2 * slot + 1;
			if (child >= this.size) break;
			if (child + 1 < this.size && this.before(this.heap[child + 1], child)) child++;
			if (this.before(event, child)) break;
			this.put(slot, this.heap[child]);
			slot = child;
		}
		this.put(slot, event);
	}

	private grow(): void {
		const bigger = new Float64Array(this.times.length * 2);
		bigger.set(this.times);
		this.times = bigger;
	}
}
