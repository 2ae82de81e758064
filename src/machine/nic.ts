/**
 * A network card at one end of a cable: what of Intel's X552, the Xeon D's own, can be seen from outside.
 *
 * Frames that arrive are spread over receive queues by a hash of their addresses and written to the buffers posted there; each queue
 * interrupts, unless it is masked, but not more often than its throttle lets it. Frames to be sent leave in the order of the doorbells.
 * The card computes nothing that takes time of its own; what DMA takes is part of the cable's latency.
 * Not modelled: VLANs, filters, segmentation and receive offload, flow control.
 *
 * @see Intel 82599 and X550 datasheets, sections on receive side scaling and interrupt throttling; kernel/ifnet/if_ix.ts for the driver
 */
import { Event } from "./event.ts";
import type { Machine } from "./machine.ts";
import type { Frame, WireEnd } from "./wire.ts";

/** entries of the table that turns hashes into queues: what the X550 has */
export const RSS_TABLE_SIZE = 512;
const RSS_KEY_BYTES = 40;

const ETHERTYPE_AT = 12;
const ETHERTYPE_IP = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const IP_AT = 14;
const IPV6_HEADER = 40;
const IPPROTO_TCP = 6;

/** What was hashed of a frame. */
export type HashedAs = "ipv4" | "tcp_ipv4" | "ipv6" | "tcp_ipv6" | "none";

/** A frame the card has written to memory. */
export interface ReceivedFrame {
	/** the buffers it lies in, each filled but the last */
	readonly buffers: readonly Uint8Array[];
	readonly length: number;
	readonly hash: number;
	readonly hashed_as: HashedAs;
	/** what the card's checksum engine says of it */
	readonly csum_flags: number;
	readonly packet_id: number;
}

/** Toeplitz hash of `len` bytes. @see Microsoft, "Verifying the RSS hash calculation" */
export function toeplitz(key: Uint8Array, buf: Uint8Array, off: number, len: number): number {
	let hash = 0;
	let window = (key[0] << 24) | (key[1] << 16) | (key[2] << 8) | key[3];
	for (let i = 0; i < len; i++) {
		const byte = buf[off + i];
		const next = key[i + 4];
		for (let bit = 7; bit >= 0; bit--) {
			if (((byte >>> bit) & 1) !== 0) hash ^= window;
			window = (window << 1) | ((next >>> bit) & 1);
		}
	}
	return hash >>> 0;
}

/** A receive queue and the interrupt it shares with the transmit queue of its number. */
export class NicQueue {
	readonly index: number;
	/** buffers the driver has posted, in order */
	readonly posted: Uint8Array[] = [];
	/** what has arrived and the driver has not taken yet, in order */
	readonly filled: ReceivedFrame[] = [];
	/** until when the CPU that is to be interrupted has interrupts disabled, ns; 0 if it has not */
	blocked_until: (() => number) | null = null;
	/** called as an event of the machine when the queue interrupts */
	handler: (() => void) | null = null;
	interrupts = 0;
	private masked = true;
	private asserted = false;
	private last = Number.NEGATIVE_INFINITY;
	private readonly machine: Machine;
	private readonly event = new Event(this);

	constructor(machine: Machine, index: number) {
		this.machine = machine;
		this.index = index;
	}

	/** There is something to tell the driver, from `time` (ns) on. */
	cause(time: number): void {
		this.asserted = true;
		this.arm(time);
	}

	/** Holds interrupts back until `unmask`. */
	mask(): void {
		this.masked = true;
	}

	/** Lets the queue interrupt again, from `time` (ns) on. */
	unmask(time: number): void {
		this.masked = false;
		if (this.asserted) this.arm(time);
	}

	private arm(time: number): void {
		if (this.masked) return;
		const due = Math.max(time, this.last + this.machine.costs.nic_itr);
		if (!this.event.scheduled || this.event.time > due) this.machine.events.schedule(this.event, due);
	}

	fire(): void {
		if (this.masked || !this.asserted || this.handler === null) return;
		const { now, events } = this.machine;
		const until = this.blocked_until === null ? 0 : this.blocked_until();
		if (until > now) {
			events.schedule(this.event, until);
			return;
		}
		this.asserted = false;
		this.last = now;
		this.interrupts++;
		this.handler();
	}

	/** Forgets buffers and causes, as a reset does. */
	reset(): void {
		this.masked = true;
		this.asserted = false;
		this.posted.length = 0;
		this.filled.length = 0;
		this.machine.events.cancel(this.event);
	}
}

/** What the card tells about a frame it sends: the queue learns of it once the frame has left. */
class Departure {
	private readonly event = new Event(this);
	private readonly queue: NicQueue;
	private readonly times: number[] = [];
	private readonly machine: Machine;

	constructor(machine: Machine, queue: NicQueue) {
		this.machine = machine;
		this.queue = queue;
	}

	add(time: number): void {
		this.times.push(time);
		if (!this.event.scheduled) this.machine.events.schedule(this.event, time);
	}

	/** Forgets what has not left yet. */
	reset(): void {
		this.times.length = 0;
		this.machine.events.cancel(this.event);
	}

	fire(): void {
		const now = this.machine.now;
		while (this.times.length > 0 && this.times[0] <= now) this.times.shift();
		if (this.times.length > 0) this.machine.events.schedule(this.event, this.times[0]);
		this.queue.cause(now);
	}
}

export class Nic {
	readonly queues: readonly NicQueue[];
	/** frames for which no buffer was posted */
	missed = 0;
	private readonly wire: WireEnd;
	private readonly key = new Uint8Array(RSS_KEY_BYTES);
	private readonly departures: readonly Departure[];
	/** judges the checksums of a frame */
	private readonly check: (frame: Uint8Array) => number;
	private running = false;

	/** @param queues how many receive queues, and as many to send */
	constructor(wire: WireEnd, queues: number, check: (frame: Uint8Array) => number) {
		this.wire = wire;
		this.check = check;
		this.queues = Array.from({ length: queues }, (_, index) => new NicQueue(wire.machine, index));
		this.departures = this.queues.map((queue) => new Departure(wire.machine, queue));
	}

	/** Sets the key of the receive hash: 40 bytes. */
	set_rss_key(key: Uint8Array): void {
		this.key.set(key);
	}

	start(): void {
		this.running = true;
		this.wire.receive = (frame) => this.receive(frame);
	}

	stop(): void {
		this.running = false;
		this.wire.receive = null;
		for (const departure of this.departures) departure.reset();
		for (const queue of this.queues) queue.reset();
	}

	/**
	 * Sends a frame handed over at `time` ns. `report`: queue `index` interrupts when it has left.
	 *
	 * @returns when it has, ns
	 */
	transmit(index: number, frame: Frame, time: number, report: boolean): number {
		const left = this.wire.send(frame, time);
		if (report) this.departures[index].add(left);
		return left;
	}

	/** A frame has come in whole. */
	private receive({ bytes, packet_id }: Frame): void {
		if (!this.running) return;
		const { hash, hashed_as } = this.hash_of(bytes);
		const queue = this.queues[(hash % RSS_TABLE_SIZE) % this.queues.length];
		const buffers: Uint8Array[] = [];
		let length = 0;
		while (length < bytes.length) {
			const buffer = queue.posted[buffers.length];
			if (buffer === undefined) {
				this.missed++;
				return;
			}
			buffer.set(bytes.subarray(length, length + buffer.length));
			length += buffer.length;
			buffers.push(buffer);
		}
		queue.posted.splice(0, buffers.length);
		const csum_flags = this.check(bytes);
		queue.filled.push({ buffers, length: bytes.length, hash, hashed_as, csum_flags, packet_id });
		queue.cause(this.wire.machine.now);
	}

	/** TCP is hashed by addresses and ports, all other IP by addresses alone, as ix(4) asks for. */
	private hash_of(frame: Uint8Array): { hash: number; hashed_as: HashedAs } {
		const type = (frame[ETHERTYPE_AT] << 8) | frame[ETHERTYPE_AT + 1];
		if (type === ETHERTYPE_IP) {
			const whole = (frame[20] & 0x3f) === 0 && frame[21] === 0;
			if (frame[23] !== IPPROTO_TCP || !whole) return { hash: toeplitz(this.key, frame, 26, 8), hashed_as: "ipv4" };
			return { hash: this.with_ports(frame, 26, 8, IP_AT + ((frame[IP_AT] & 0x0f) << 2)), hashed_as: "tcp_ipv4" };
		}
		if (type === ETHERTYPE_IPV6) {
			if (frame[20] !== IPPROTO_TCP) return { hash: toeplitz(this.key, frame, 22, 32), hashed_as: "ipv6" };
			return { hash: this.with_ports(frame, 22, 32, IP_AT + IPV6_HEADER), hashed_as: "tcp_ipv6" };
		}
		return { hash: 0, hashed_as: "none" };
	}

	private with_ports(frame: Uint8Array, addresses: number, len: number, ports: number): number {
		const input = new Uint8Array(len + 4);
		input.set(frame.subarray(addresses, addresses + len));
		input.set(frame.subarray(ports, ports + 4), len);
		return toeplitz(this.key, input, 0, input.length);
	}
}
