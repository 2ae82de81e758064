/**
 * The event queue: everything that happens in the simulated machine happens as an event at an integer nanosecond.
 *
 * An indexed binary heap ordered by (time, sequence number), so equal times fire in the order they were scheduled and any
 * event can be moved or cancelled in O(log n). Times are integers in a number: exact up to 104 days.
 */
import type { Chooser } from "./chooser.ts";

/** What happens when an event fires. */
export interface Target {
	fire(): void;
}

/**
 * Something that will happen. Long-lived: a CPU, a callout or an IPI line owns one and schedules it again and again. One
 * class for all of them, so that the queue meets objects of one shape only.
 */
export class Event {
	readonly target: Target;
	/** the target's own fire: targets are of many classes, and finding it in each takes the host as long as much of the rest */
	readonly fire: () => void;
	/** when it fires, integer ns; meaningful only while scheduled */
	time = 0;
	/** order among equal times: the order of scheduling */
	seq = 0;
	/** position in the heap, -1 when not scheduled */
	slot = -1;

	constructor(target: Target) {
		this.target = target;
		this.fire = target.fire;
	}

	get scheduled(): boolean {
		return this.slot >= 0;
	}
}

export class EventQueue {
	/** the machine's clock, integer ns since boot */
	now = 0;
	/** time of the earliest event, Infinity when there is none; kept up to date so that a thread can look before it waits */
	nextTime = Number.POSITIVE_INFINITY;
	/** events fired so far */
	fired = 0;
	/** how far whoever drives the queue lets it go, integer ns */
	until = 0;
	/** decides among events of equal time; null does what the sequence numbers say */
	chooser: Chooser | null = null;

	private heap: Event[] = [];
	private times: Float64Array = new Float64Array(256);
	private count = 0;
	private nextSeq = 0;
	private ties: Event[] = [];

	get size(): number {
		return this.count;
	}

	/** Schedules `event` at `time`, or moves it there if it is scheduled already. */
	schedule(event: Event, time: number): void {
		if (!(time >= this.now)) throw new RangeError(`event scheduled in the past: ${time} < ${this.now}`);
		event.time = time;
		event.seq = this.nextSeq++;
		if (event.slot < 0) {
			if (this.count === this.times.length) this.grow();
			event.slot = this.count++;
			this.heap[event.slot] = event;
			this.siftUp(event.slot, event);
		} else {
			this.resift(event);
		}
		this.nextTime = this.times[0];
	}

	/** Takes `event` out of the queue; nothing happens if it is not in it. */
	cancel(event: Event): void {
		const slot = event.slot;
		if (slot < 0) return;
		event.slot = -1;
		const last = this.heap[--this.count];
		this.heap[this.count] = null as unknown as Event;
		if (last !== event) {
			last.slot = slot;
			this.heap[slot] = last;
			this.resift(last);
		}
		this.nextTime = this.count > 0 ? this.times[0] : Number.POSITIVE_INFINITY;
	}

	/** Takes the first event out. */
	private pop(event: Event): void {
		event.slot = -1;
		const last = this.heap[--this.count];
		this.heap[this.count] = null as unknown as Event;
		if (last !== event) {
			this.siftDown(0, last);
			this.nextTime = this.times[0];
		} else {
			this.nextTime = Number.POSITIVE_INFINITY;
		}
	}

	/** Fires the next event, unless the queue is empty or it lies beyond `until`. */
	step(until: number): boolean {
		this.until = until;
		if (this.nextTime > until || this.count === 0) return false;
		const event = this.chooser === null ? this.heap[0] : this.chooseTie(this.chooser);
		this.now = event.time;
		if (event.slot === 0) this.pop(event);
		else this.cancel(event);
		this.fired++;
		event.fire.call(event.target);
		return true;
	}

	/** Asks the chooser which of the events of the earliest time goes first; offered in scheduling order. */
	private chooseTie(chooser: Chooser): Event {
		const ties = this.ties;
		ties.length = 0;
		const time = this.times[0];
		for (let i = 0; i < this.count; i++) if (this.times[i] === time) ties.push(this.heap[i]);
		if (ties.length === 1) return ties[0];
		ties.sort((a, b) => a.seq - b.seq);
		return ties[chooser.choose("tie", ties.length)];
	}

	private resift(event: Event): void {
		const slot = event.slot;
		if (slot > 0 && this.before(event, (slot - 1) >> 1)) this.siftUp(slot, event);
		else this.siftDown(slot, event);
	}

	private before(event: Event, slot: number): boolean {
		const time = this.times[slot];
		return event.time < time || (event.time === time && event.seq < this.heap[slot].seq);
	}

	private siftUp(start: number, event: Event): void {
		const heap = this.heap;
		const times = this.times;
		let slot = start;
		while (slot > 0) {
			const parent = (slot - 1) >> 1;
			if (!this.before(event, parent)) break;
			const moved = heap[parent];
			heap[slot] = moved;
			times[slot] = times[parent];
			moved.slot = slot;
			slot = parent;
		}
		heap[slot] = event;
		times[slot] = event.time;
		event.slot = slot;
	}

	private siftDown(start: number, event: Event): void {
		const heap = this.heap;
		const times = this.times;
		const count = this.count;
		let slot = start;
		for (;;) {
			let child = 2 * slot + 1;
			if (child >= count) break;
			const right = child + 1;
			if (
				right < count &&
				(times[right] < times[child] || (times[right] === times[child] && heap[right].seq < heap[child].seq))
			) {
				child = right;
			}
			if (this.before(event, child)) break;
			const moved = heap[child];
			heap[slot] = moved;
			times[slot] = times[child];
			moved.slot = slot;
			slot = child;
		}
		heap[slot] = event;
		times[slot] = event.time;
		event.slot = slot;
	}

	private grow(): void {
		const bigger = new Float64Array(this.times.length * 2);
		bigger.set(this.times);
		this.times = bigger;
	}
}
