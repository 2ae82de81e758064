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
import { wide_fields } from "./shape.ts";

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
	/** most events that fire are of this kind, whose targets are of one class: there the host knows at once what to call */
	readonly usual: boolean;
	/** when it fires, integer ns; meaningful only while scheduled */
	time = 0;
	/** order among equal times: the order of scheduling */
	seq = 0;
	/** position in the heap, or one of the two above */
	slot = UNSCHEDULED;
	/** what comes after it in the list of what is next, or last did */
	next: Event = this;

	constructor(target: Target, usual = false) {
		this.target = target;
		this.fire = target.fire;
		this.usual = usual;
	}

	get scheduled(): boolean {
		return this.slot !== UNSCHEDULED;
	}
}

/** more than there are ranks of what comes first */
const FIRST = 1_000_000;

const NEVER: Target = { fire(): void {} };

wide_fields(new Event(NEVER), "time");

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

	/** what is next: a ring, whose end is this event that never fires; empty only if there is nothing at all */
	private readonly near = new Event(NEVER);
	private count = 0;
	/** what comes after all of these */
	private readonly far = new EventHeap();
	private nextSeq = 0;
	private readonly ties: Event[] = [];

	constructor() {
		this.near.time = Number.POSITIVE_INFINITY;
	}

	get size(): number {
		return this.count + this.far.size;
	}

	/** Schedules `event` at `time`, or moves it there if it is scheduled already. */
	schedule(event: Event, time: number): void {
		if (!(time >= this.now)) throw new RangeError(`event scheduled in the past: ${time} < ${this.now}`);
		if (event.slot !== UNSCHEDULED) this.cancel(event);
		event.time = time;
		event.seq = this.nextSeq++;
		if (time >= this.far.firstTime) {
			this.far.push(event);
			return;
		}
		let before = this.near;
		while (before.next.time <= time) before = before.next;
		event.next = before.next;
		before.next = event;
		event.slot = NEAR;
		this.nextTime = this.near.next.time;
		if (++this.count > NEAR_MAX) this.spill();
	}

	/**
	 * Schedules `event` at `time` before all that schedule puts there, whenever that is called: what comes from outside of the machine
	 * has its place whether or not the host knows of it in time. `rank`, a small whole number, orders these among themselves.
	 */
	scheduleFirst(event: Event, time: number, rank: number): void {
		if (!(time >= this.now)) throw new RangeError(`event scheduled in the past: ${time} < ${this.now}`);
		if (event.slot !== UNSCHEDULED) this.cancel(event);
		event.time = time;
		event.seq = rank - FIRST;
		let before = this.near;
		while (before.next.time < time || (before.next.time === time && before.next.seq < event.seq)) before = before.next;
		if (before.next === this.near && time >= this.far.firstTime) {
			this.far.push(event);
			return;
		}
		event.next = before.next;
		before.next = event;
		event.slot = NEAR;
		this.nextTime = this.near.next.time;
		if (++this.count > NEAR_MAX) this.spill();
	}

	/** Takes `event` out of the queue; nothing happens if it is not in it. */
	cancel(event: Event): void {
		if (event.slot === NEAR) {
			let before = this.near;
			while (before.next !== event) before = before.next;
			this.unlink(before, event);
		} else if (event.slot !== UNSCHEDULED) {
			this.far.remove(event);
			event.slot = UNSCHEDULED;
		}
	}

	/** Fires the next event, unless the queue is empty or it lies beyond `until`. */
	step(until: number): boolean {
		this.until = until;
		if (this.nextTime > until || this.count === 0) return false;
		this.now = this.nextTime;
		let event: Event;
		if (this.chooser === null) {
			event = this.near.next;
			this.unlink(this.near, event);
		} else {
			event = this.chooseTie(this.chooser);
			this.cancel(event);
		}
		this.fired++;
		if (event.usual) event.target.fire();
		else call(event.fire, event.target);
		return true;
	}

	/** Asks the chooser which of the events of the earliest time goes first; offered in scheduling order. */
	private chooseTie(chooser: Chooser): Event {
		const { ties, nextTime: time } = this;
		ties.length = 0;
		for (let event = this.near.next; event !== this.near && event.time === time; event = event.next) ties.push(event);
		this.far.collect(time, ties);
		if (ties.length === 1) return ties[0];
		ties.sort((a, b) => a.seq - b.seq);
		return ties[chooser.choose("tie", ties.length)];
	}

	/** Takes `event` out of the list, where it comes after `before`. */
	private unlink(before: Event, event: Event): void {
		before.next = event.next;
		event.slot = UNSCHEDULED;
		if (--this.count === 0) this.refill();
		this.nextTime = this.near.next.time;
	}

	/** Fills half the list from the heap. */
	private refill(): void {
		const { near, far } = this;
		this.count = Math.min(NEAR_MAX / 2, far.size);
		let last = near;
		for (let i = 0; i < this.count; i++) {
			const event = far.pop();
			event.slot = NEAR;
			last.next = event;
			last = event;
		}
		last.next = near;
	}

	/** Moves the later half of the list to the heap. */
	private spill(): void {
		const { near, far } = this;
		let last = near;
		for (let i = 0; i < NEAR_MAX / 2; i++) last = last.next;
		for (let event = last.next; event !== near; ) {
			const { next } = event;
			far.push(event);
			event = next;
		}
		last.next = near;
		this.count = NEAR_MAX / 2;
	}
}

wide_fields(new EventQueue(), "now", "until");
