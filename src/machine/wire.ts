/**
 * A cable between two machines: Ethernet at 10 Gb/s, both ways at once. What is put in at one end comes out at the other, in order,
 * once its last bit has left and the way across is over; nothing is lost here.
 *
 * The two machines keep clocks of their own. Neither sees anything of the other sooner than a frame takes to cross, so each
 * may run that far on its own: see lookahead_ns, and runTogether in kernel/boot.ts.
 */
import { Event } from "./event.ts";
import type { Machine } from "./machine.ts";

/** bits that leave in a nanosecond: 10GBASE-T */
const BITS_PER_NS = 10;
/** preamble, frame check sequence and the gap before the next frame: what a frame takes besides its bytes (IEEE 802.3 clause 4) */
const FRAMING_BYTES = 8 + 4 + 12;
/** a frame is padded to this, its check sequence apart */
const FRAME_MIN_BYTES = 60;

/** How long the cable is taken by a frame of `bytes`, ns. */
export function frame_ns(bytes: number): number {
	return Math.ceil(((Math.max(bytes, FRAME_MIN_BYTES) + FRAMING_BYTES) * 8) / BITS_PER_NS);
}

export interface Frame {
	readonly bytes: Uint8Array;
	/** for whoever follows packets from machine to machine; 0 for none */
	readonly packet_id: number;
}

interface Arrival {
	readonly time: number;
	readonly frame: Frame;
}

/** Where a machine's network card is plugged in. Machines find theirs in Machine.wires, as they would the card on their bus. */
export class WireEnd {
	readonly machine: Machine;
	/** the other end; null: nothing is plugged in there */
	peer: WireEnd | null = null;
	/** who takes what comes out here, called as an event of this end's machine; null: it is lost */
	receive: ((frame: Frame) => void) | null = null;
	/** when the last bit of what was put in here so far has left, ns */
	private free_at = 0;
	/** on their way to this end, in order */
	private readonly arriving: Arrival[] = [];
	private readonly event = new Event(this);
	/** its place among the machine's cables */
	private readonly rank: number;

	constructor(machine: Machine) {
		this.machine = machine;
		this.rank = machine.wires.length;
	}

	/**
	 * Takes a frame at `time` ns, or as soon as those before it have left.
	 *
	 * @returns when its last bit leaves, ns
	 */
	send(frame: Frame, time: number): number {
		this.free_at = Math.max(time, this.free_at) + frame_ns(frame.bytes.length);
		if (this.peer !== null) this.peer.expect({ time: this.free_at + this.machine.costs.wire_latency, frame });
		return this.free_at;
	}

	private expect(arrival: Arrival): void {
		this.arriving.push(arrival);
		if (!this.event.scheduled) this.machine.events.scheduleFirst(this.event, arrival.time, this.rank);
	}

	/** The first of what is on its way is there. */
	fire(): void {
		const { frame } = this.arriving.shift() as Arrival;
		if (this.arriving.length > 0) this.machine.events.scheduleFirst(this.event, this.arriving[0].time, this.rank);
		if (this.receive !== null) this.receive(frame);
	}
}

/** Lays a cable between two machines. */
export function connect(one: Machine, two: Machine): void {
	const ends = [one, two].map((machine) => new WireEnd(machine));
	[ends[0].peer, ends[1].peer] = [ends[1], ends[0]];
	one.wires.push(ends[0]);
	two.wires.push(ends[1]);
}

/** None of these machines sees anything another one does sooner than after this time, ns. */
export function lookahead_ns(machines: readonly Machine[]): number {
	return Math.min(...machines.map(({ costs }) => costs.wire_latency));
}
