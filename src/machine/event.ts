/**
 * The event queue: everything that happens in the simulated machine happens as an event at an integer nanosecond.
 *
 * Events fire in the order of (time, sequence number): equal times in the order they were scheduled. The next few are a sorted
 * list, as most of what is scheduled is due before nearly everything else: it goes in and out at the near end. All others
 * are in a heap. Times are integers in a number: exact up to 104 days.
 */
import { call } from "./call.ts";
import type { Chooser } from "./chooser.ts";
import { EventHeap } from "./heap.ts";

/** What happens when an event fires. */
export interface Target {
	fire(): void;
}

const UNSCHEDULED = -1;
/** in the list of what is next */
const NEAR = -2;

/** So many are in that list at most; a busy machine has fewer stretches of work under way. */
const NEAR_MAX = 16;

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
	/** position in the heap, or one of the two above */
	slot = UNSCHEDULED;

	constructor(target: Target) {
		this.target = target;
		this.fire = target.fire;
	}

	get scheduled(): boolean {
		return this.slot !== UNSCHEDULED;
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

	/** what is next, latest first; empty only if there is nothing at all */
	private readonly near: Event[] = new Array(NEAR_MAX).fill(null);
	private readonly times = new Float64Array(NEAR_MAX);
	private count = 0;
	/** what comes after all of these */
	private readonly far = new EventHeap();
	private nextSeq = 0;
	private readonly ties: Event[] = [];

	get size(): number {
		return this.count + this.far.size;
	}

	/** Schedules `event` at `time`, or moves it there if it is scheduled already. */
	schedule(event: Event, time: number): void {
		if (!(time >= this.now)) throw new RangeError(`event scheduled in the past: ${time} < ${this.now}`);
		if (event.slot !== UNSCHEDULED) this.cancel(event);
		event.time = time;
		event.seq = this.nextSeq++;
		if (this.count === NEAR_MAX && time < this.far.firstTime) this.spill();
		if (time >= this.far.firstTime) {
			this.far.push(event);
			return;
		}
		const { near, times } = this;
		const last = this.count++;
		let i = last;
		for (; i > 0 && times[i - 1] <= time; i--) {
			near[i] = near[i - 1];
			times[i] = times[i - 1];
		}
		near[i] = event;
		times[i] = time;
		event.slot = NEAR;
		if (i === last) this.nextTime = time;
	}

	/** Takes `event` out of the queue; nothing happens if it is not in it. */
	cancel(event: Event): void {
		if (event.slot === NEAR) {
			const { near, times } = this;
			let i = this.count - 1;
			while (near[i] !== event) i--;
			this.count--;
			for (; i < this.count; i++) {
				near[i] = near[i + 1];
				times[i] = times[i + 1];
			}
			this.look();
		} else if (event.slot !== UNSCHEDULED) {
			this.far.remove(event);
		}
		event.slot = UNSCHEDULED;
	}

	/** Fires the next event, unless the queue is empty or it lies beyond `until`. */
	step(until: number): boolean {
		this.until = until;
		if (this.nextTime > until || this.count === 0) return false;
		this.now = this.nextTime;
		let event: Event;
		if (this.chooser === null) {
			event = this.near[--this.count];
			event.slot = UNSCHEDULED;
			this.look();
		} else {
			event = this.chooseTie(this.chooser);
			this.cancel(event);
		}
		this.fired++;
		call(event.fire, event.target);
		return true;
	}

	/** Asks the chooser which of the events of the earliest time goes first; offered in scheduling order. */
	private chooseTie(chooser: Chooser): Event {
		const { ties, nextTime: time } = this;
		ties.length = 0;
		for (let i = this.count - 1; i >= 0 && this.times[i] === time; i--) ties.push(this.near[i]);
		this.far.collect(time, ties);
		if (ties.length === 1) return ties[0];
		ties.sort((a, b) => a.seq - b.seq);
		return ties[chooser.choose("tie", ties.length)];
	}

	/** Finds out what is next, once something has gone. */
	private look(): void {
		if (this.count === 0) this.refill();
		this.nextTime = this.count > 0 ? this.times[this.count - 1] : Number.POSITIVE_INFINITY;
	}

	/** Fills half the list from the heap. */
	private refill(): void {
		const { near, times, far } = this;
		this.count = Math.min(NEAR_MAX / 2, far.size);
		for (let i = this.count - 1; i >= 0; i--) {
			const event = far.pop();
			event.slot = NEAR;
			near[i] = event;
			times[i] = event.time;
		}
	}

	/** Moves the later half of a full list to the heap. */
	private spill(): void {
		const { near, times, far } = this;
		this.count = NEAR_MAX / 2;
		for (let i = 0; i < this.count; i++) {
			far.push(near[i]);
			near[i] = near[i + this.count];
			times[i] = times[i + this.count];
		}
	}
}
