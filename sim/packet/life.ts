/**
 * One packet's life, out of what a recorder has: who worked on it when, and where it waited in between.
 *
 * It begins with the function that makes the packet and ends when the last one has dealt with it: a segment is in the
 * receiver's socket buffer then. Stretches of work and of waiting follow one another without gap, so they add up to the
 * whole. A thread may act up to the run's lead ahead of the clock, so a wait can come out that much too short.
 */
import type { thread } from "../../src/kernel/sched/thread.ts";
import type { Path } from "../profile/path.ts";
import type { Entry, Mention, Recorder, Switched, Woken } from "./recorder.ts";

/** What the driver's and the kernel's queues are waited in for, and what the thread does that takes a packet from there. */
const QUEUES: Readonly<Record<string, { wait: string; work: string }>> = {
	stageq: { wait: "wait for a session", work: "queue for encryption" },
	encp: { wait: "wait for an encrypt task", work: "encrypt" },
	txq: { wait: "wait for the send task", work: "send: UDP, IP, epair" },
	netisr: { wait: "wait for netisr", work: "receive: epair, IP, UDP" },
	epair: { wait: "wait for the epair task", work: "receive: epair, IP, UDP" },
	decp: { wait: "wait for a decrypt task", work: "decrypt" },
	rxq: { wait: "wait for the receive task", work: "deliver: nonce check, IP" },
	hsq: { wait: "wait for the handshake task", work: "handshake" },
	arp: { wait: "wait for ARP", work: "send: epair" },
	"": { wait: "wait for another thread", work: "go on" },
};

/** Functions that make a packet, most telling first. */
const ORIGINS = [
	...["wg_send_initiation", "wg_send_response", "wg_send_cookie", "wg_send_keepalive"],
	...["tcp_output", "tcp_respond", "syncache_respond", "udp_output_locked", "udp_output", "sosend_dgram"],
];
/** Functions that do something for another packet, though they are called while this one is dealt with. */
const ELSEWHERE = new Set([
	...["tcp_output", "tcp_respond", "syncache_respond", "wg_send_response", "wg_send_initiation", "wg_send_keepalive"],
	...["wg_queue_dequeue_serial", "wg_queue_dequeue_handshake", "wg_timers_event_data_received"],
]);

/** A thread at a moment: its clock, and how many of its entries lie before. */
interface Point {
	readonly td: thread;
	readonly time: number;
	readonly index: number;
}

/** Part of a stretch of work: functions called one after the other, and for how long. */
export interface Step {
	/** since the packet's life began, ns */
	readonly at_ns: number;
	readonly ns: number;
	/** outermost first; the last may be a cost that was paid */
	readonly functions: readonly string[];
	readonly kind: "work" | "spin" | "interrupt" | "switch" | "off" | "seen";
}

/** A step whose time is not final yet. */
interface Draft {
	ns: number;
	readonly functions: readonly string[];
	readonly kind: Step["kind"];
}

export interface Stage {
	readonly name: string;
	readonly kind: "work" | "wait";
	/** since the packet's life began, and since boot, ns */
	readonly at_ns: number;
	readonly time_ns: number;
	readonly ns: number;
	/** the thread that works, or the one that is waited for */
	readonly thread: string;
	readonly cpu: number;
	/** where the ns went, without those of 0; they add up to them. ns by what it is */
	readonly parts: Readonly<Record<string, number>>;
	readonly steps: readonly Step[];
	/** how the thread that is waited for was woken meanwhile; empty if it was not */
	readonly woken: string;
}

export interface Life {
	readonly packet: number;
	readonly origin: string;
	readonly begin_ns: number;
	readonly total_ns: number;
	readonly stages: readonly Stage[];
}

/** What is missing: the recording began too late, or ended too early. */
export type Missing = "beginning" | "end";

function named(path: Path, names: ReadonlySet<string>): boolean {
	for (let at: Path | null = path; at !== null; at = at.parent) if (names.has(at.name)) return true;
	return false;
}

class Historian {
	private readonly recorder: Recorder;
	private readonly mentions: readonly Mention[];
	private begin_ns = 0;

	constructor(recorder: Recorder) {
		this.recorder = recorder;
		this.mentions = recorder.mentions.filter(({ packet }) => packet === recorder.packet);
	}

	private entries(td: thread): readonly Entry[] {
		return this.recorder.threads.get(td) ?? [];
	}

	tell(): Life | Missing {
		if (this.mentions.length === 0) return "end";
		const [first] = this.mentions;
		const origin = ORIGINS.find((name) => first.path.upTo(name) !== null) ?? first.path.name;
		const birth = this.birth(first, first.path.upTo(origin) ?? first.path);
		if (birth === null) return "beginning";
		this.begin_ns = birth.time;
		const stages: Stage[] = [];
		let from = birth;
		let name = `make: ${origin}`;
		let left: Mention | null = null;
		let queue = "";
		for (const [i, mention] of this.mentions.entries()) {
			if (left === null && mention.td !== from.td) {
				// nobody said so, but it was left to somebody else: kept, say, until its next hop's address is known
				left = { ...this.mentions[i - 1], queue: mention.path.upTo("in_arpinput") === null ? "" : "arp" };
				stages.push(this.work(name, from, left));
			}
			if (left !== null) {
				const taken = this.takeover(mention);
				stages.push(this.wait(left, taken));
				queue = left.queue;
				left = null;
				from = taken;
				name = QUEUES[queue].work;
			}
			if (mention.turn !== "left") continue;
			const next = this.mentions[i + 1];
			// staged and taken off again at once, as long as there is a session
			if (mention.queue === "stageq" && next !== undefined && next.td === mention.td) continue;
			stages.push(this.work(name, from, mention));
			left = mention;
			if (QUEUES[left.queue] === undefined) throw new Error(`a packet waits in ${left.queue}, which has no name here`);
		}
		const last = this.mentions[this.mentions.length - 1];
		const end = left === null ? this.end(last, queue) : null;
		if (end === null) return "end";
		stages.push(this.work(name, from, end));
		return {
			packet: this.recorder.packet,
			origin,
			begin_ns: birth.time,
			total_ns: end.time - birth.time,
			stages,
		};
	}

	/** The thread's clock before its entry `index`, going back from `to`. */
	private back(to: Point, index: number): Point {
		return { td: to.td, index, time: to.time - sum(this.passed(to.td, index, to.index)) };
	}

	/** Where `origin`, which has just made the packet, began with it; null if that is not recorded. */
	private birth(first: Mention, origin: Path): Point | null {
		const entries = this.entries(first.td);
		let begin = first.index;
		for (let i = first.index - 1; ; i--) {
			const entry = entries[i];
			if (entry === undefined) return null;
			if (entry.entry === "mention" && entry.packet !== first.packet) break;
			if (entry.entry !== "spent" || entry.kind !== "work") continue;
			// in a function that makes many packets, what sent the one before
			if (!entry.path.within(origin) || (first.text.startsWith("TCP") && entry.path.upTo("ip_output") !== null)) break;
			begin = i;
		}
		return this.back(first, begin);
	}

	/** The moment a thread takes the packet over. What it pays to get hold of it comes before it is seen. */
	private takeover(mention: Mention): Point {
		const entries = this.entries(mention.td);
		let index = mention.index;
		for (; index > 0; index--) {
			const entry = entries[index - 1];
			if (entry.entry !== "spent" || entry.path.upTo("netisr_loop") === null) break;
		}
		return this.back(mention, index);
	}

	/** Where the last function has dealt with the packet; null if that is not recorded. */
	private end(last: Mention, queue: string): Point | null {
		const handler =
			queue === "hsq" ? "wg_handshake" : last.path.upTo("ip_input") !== null ? "ip_input" : "wg_deliver_in";
		if (queue !== "hsq" && queue !== "rxq") return null;
		const entries = this.entries(last.td);
		let end = last.index + 1;
		let begun = handler === "ip_input";
		for (let i = last.index + 1; i < entries.length; i++) {
			const entry = entries[i];
			if (entry.entry !== "spent" || entry.kind !== "work") continue;
			const inside = entry.path.upTo(handler) !== null && !named(entry.path, ELSEWHERE);
			if (begun && !inside) {
				return { td: last.td, index: end, time: last.time + sum(this.passed(last.td, last.index, end)) };
			}
			begun ||= inside;
			end = i + 1;
		}
		return null;
	}

	/** How the time of a thread passed between two of its entries, ns by what it was. */
	private passed(td: thread, from: number, to: number): Map<string, number> {
		const passed = new Map<string, number>();
		const add = (what: string, ns: number): void => {
			passed.set(what, (passed.get(what) ?? 0) + ns);
		};
		const entries = this.entries(td);
		let off: Switched | null = null;
		for (let i = from; i < to; i++) {
			const entry = entries[i];
			if (entry.entry === "spent") add(entry.kind === "jitter" ? "work" : entry.kind, entry.ns);
			else if (entry.entry === "off") off = entry;
			else if (entry.entry === "on" && off !== null) add(off.state, entry.time - off.time);
		}
		return passed;
	}

	private work(name: string, from: Point, to: Point): Stage {
		const { td } = from;
		return {
			name,
			kind: "work",
			at_ns: from.time - this.begin_ns,
			time_ns: from.time,
			ns: to.time - from.time,
			thread: td.td_name,
			cpu: this.cpuAt(from),
			parts: record(this.passed(td, from.index, to.index)),
			steps: this.steps(from, to),
			woken: "",
		};
	}

	private cpuAt({ td, index }: Point): number {
		const entries = this.entries(td);
		return (entries[index] ?? entries[index - 1]).cpu;
	}

	/** What was done, one after the other; what one function does in a row is one step. */
	private steps(from: Point, to: Point): Step[] {
		const drafts: Draft[] = [];
		let off: Switched | null = null;
		const add = (kind: Step["kind"], functions: readonly string[], ns: number): void => {
			const last = drafts.at(-1);
			if (kind !== "seen" && last?.kind === kind && same(last.functions, functions)) last.ns += ns;
			else drafts.push({ ns, functions, kind });
		};
		for (const entry of this.entries(from.td).slice(from.index, to.index)) {
			if (entry.entry === "mention") {
				if (entry.packet === this.recorder.packet) add("seen", [entry.text], 0);
			} else if (entry.entry === "off") off = entry;
			else if (entry.entry === "on") {
				if (off !== null) add("off", [off.state], entry.time - off.time);
			} else if (entry.entry === "spent") {
				if (entry.kind === "jitter") correct(drafts, entry.path.names(), entry.ns);
				else add(entry.kind, entry.path.names(), entry.ns);
			}
		}
		let at_ns = from.time - this.begin_ns;
		return drafts.map((draft) => {
			const step = { at_ns, ...draft };
			at_ns += draft.ns;
			return step;
		});
	}

	/** What the thread that will take the packet did while it waited for it. */
	private wait(left: Mention, taken: Point): Stage {
		const states = new Map<string, number>();
		let woken: Woken | null = null;
		let state = "";
		let since = Number.NEGATIVE_INFINITY;
		const change = (time: number, next: string, before: string): void => {
			const ns = Math.min(time, taken.time) - Math.max(since, left.time);
			if (ns > 0) states.set(state || before, (states.get(state || before) ?? 0) + ns);
			state = next;
			since = Math.max(since, time);
		};
		let spun = 0;
		for (const entry of this.entries(taken.td).slice(0, taken.index)) {
			if (entry.entry === "spent") {
				if (entry.kind === "spin" && entry.time > left.time) spun += Math.min(entry.ns, entry.time - left.time);
			} else if (entry.entry === "woken") {
				change(entry.time, "on its way to a CPU", "asleep");
				if (entry.time >= left.time) woken = entry;
			} else if (entry.entry === "on") change(entry.time, entry.state, "on its way to a CPU");
			else if (entry.entry === "off") change(entry.time, entry.state, "busy");
		}
		change(taken.time, "", "busy");
		const ns = taken.time - left.time;
		if (spun > 0) {
			states.set("spinning for locks", spun);
			states.set("busy", (states.get("busy") ?? 0) - spun);
		}
		// it took the packet ahead of the clock
		if (sum(states) !== ns) states.set("busy", (states.get("busy") ?? 0) + ns - sum(states));
		return {
			name: QUEUES[left.queue].wait,
			kind: "wait",
			at_ns: left.time - this.begin_ns,
			time_ns: left.time,
			ns,
			thread: taken.td.td_name,
			cpu: this.cpuAt(taken),
			parts: record(states),
			steps: [],
			woken:
				woken === null
					? ""
					: `woken by ${woken.by} after ${woken.time - left.time} ns; CPU ${woken.cpu} was ${woken.cpuState}`,
		};
	}
}

function sum(parts: ReadonlyMap<string, number>): number {
	let total = 0;
	for (const ns of parts.values()) total += ns;
	return total;
}

/** Work of a moment ago took longer, or less long; if that was before all these steps, the longest of them stands in for it. */
function correct(drafts: Draft[], functions: readonly string[], ns: number): void {
	let left = ns;
	let longest: Draft | null = null;
	for (const draft of drafts.toReversed()) {
		if (draft.kind !== "work") continue;
		if (longest === null || draft.ns > longest.ns) longest = draft;
		if (!same(draft.functions, functions)) continue;
		const part = Math.max(left, -draft.ns);
		draft.ns += part;
		left -= part;
	}
	if (longest !== null) longest.ns += left;
	else if (left !== 0) drafts.push({ ns: left, functions, kind: "work" });
}

function record(parts: ReadonlyMap<string, number>): Record<string, number> {
	return Object.fromEntries([...parts].filter(([, ns]) => ns !== 0));
}

function same(a: readonly string[], b: readonly string[]): boolean {
	return a.length === b.length && a.every((name, i) => name === b[i]);
}

/** The life of the packet the recorder follows, or what is missing of it. */
export function tellLife(recorder: Recorder): Life | Missing {
	return new Historian(recorder).tell();
}
