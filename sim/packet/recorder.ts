/**
 * A flight recorder: what every thread does while it runs, and where packets are seen, for a short time.
 *
 * Each thread has a list of entries of its own, in the order of its own clock. Between two entries of a thread, what was
 * booked and the time it was off its CPU add up to the time that has passed, to the ns.
 */
import type { wg_packet, wg_queue } from "../../src/dev/wg/if_wg_var.ts";
import { bpf_listen_attach, DLT_EN10MB } from "../../src/kernel/ifnet/bpf.ts";
import { epair_enqueue, epair_handle } from "../../src/kernel/ifnet/if_epair_taskqueue.ts";
import { netisr_enqueue, netisr_handle } from "../../src/kernel/ifnet/netisr.ts";
import { race_store } from "../../src/kernel/lock/atomic.ts";
import type { mbuf } from "../../src/kernel/mbuf/mbuf.ts";
import { ip_receive_probe, ip_send_probe } from "../../src/kernel/netinet/ip_var.ts";
import { tcp_receive } from "../../src/kernel/netinet/tcp_input.ts";
import { tcp_send } from "../../src/kernel/netinet/tcp_output.ts";
import { udp_receive_probe, udp_send_probe } from "../../src/kernel/netinet/udp_var.ts";
import { allProbes, type Probe } from "../../src/kernel/probe/probe.ts";
import { curkernel, sbinuptime } from "../../src/kernel/sched/kernel.ts";
import { curthread, hostthread, TDS_RUNQ, type thread } from "../../src/kernel/sched/thread.ts";
import { pcpu_find, sched_enqueue, sched_off_cpu, sched_on_cpu } from "../../src/kernel/sched/ule.ts";
import type { Driver } from "../driver.ts";
import { type Kind, Ledger } from "../profile/ledger.ts";
import type { Path } from "../profile/path.ts";
import { bytesOf, isOutbound } from "./select.ts";

/** CPU time that was spent, up to `time`. */
export interface Spent {
	readonly entry: "spent";
	readonly time: number;
	readonly cpu: number;
	readonly kind: Kind;
	readonly path: Path;
	readonly ns: number;
}

/** The thread gets a CPU, or leaves it. */
export interface Switched {
	readonly entry: "on" | "off";
	readonly time: number;
	readonly cpu: number;
	/** what it does from now on */
	readonly state: string;
}

/** It becomes runnable. */
export interface Woken {
	readonly entry: "woken";
	readonly time: number;
	readonly cpu: number;
	readonly by: string;
	/** what its CPU was doing then */
	readonly cpuState: "busy" | "polling" | "halted";
}

/** What happens to a packet's place: it stays with the thread, is left for another one, or is taken over. */
export type Turn = "seen" | "left" | "taken";

/** A packet is seen. */
export interface Mention {
	readonly entry: "mention";
	readonly time: number;
	readonly cpu: number;
	readonly packet: number;
	readonly turn: Turn;
	/** of a packet that is left or taken: the queue */
	readonly queue: string;
	readonly text: string;
	readonly path: Path;
	readonly td: thread;
	/** its place in its thread's list */
	readonly index: number;
}

export type Entry = Spent | Switched | Woken | Mention;

/** A packet's bytes, where somebody could see them. */
export interface Capture {
	readonly where: string;
	readonly time: number;
	readonly layer: "packet" | "message" | "frame";
	readonly bytes: Uint8Array;
}

/** Out of the way of the numbers the driver gives, as those of the exports. */
const FIRST_PACKET = 0x1_0000_0000;

const QUEUE_PROBE = "wg:::queue";
type QueueProbe = Probe<[change: "insert" | "remove", queue: wg_queue, pkt: wg_packet]>;

/** Queues in which a packet waits for its turn after it was worked on: it is put there before that, and left there when it is done. */
const SERIAL = new Set(["txq", "rxq"]);

/** What a thread does that leaves its CPU. */
function offState(td: thread): string {
	if (td.td_blocked !== null) return `blocked on ${td.td_blocked.lo_name}`;
	return td.td_state === TDS_RUNQ ? "preempted" : "asleep";
}

export class Recorder {
	readonly threads = new Map<thread, Entry[]>();
	/** in the order they were made */
	readonly mentions: Mention[] = [];
	readonly captures: Capture[] = [];
	/** the packet whose bytes are kept; 0 for none yet */
	packet = 0;
	/** keys that the packet was encrypted with, as its sender had them */
	key: Uint8Array | null = null;
	private readonly ledger: Ledger;
	private readonly detach: (() => void)[] = [];
	private next = FIRST_PACKET;

	/** Begins to record the kernel that runs now. Call it between events. */
	constructor(driver: Driver) {
		this.ledger = new Ledger((td, cpu, kind, path, ns) => this.spent(td, cpu, kind, path, ns), true);
		const { detach } = this;
		detach.push(
			sched_on_cpu.listen((td, cpu) => this.switched(td, "on", cpu, "busy")),
			sched_off_cpu.listen((td, cpu) => this.switched(td, "off", cpu, offState(td))),
			sched_enqueue.listen((td, cpu, by) => this.woken(td, cpu, by)),
			tcp_send.listen((_tp, m, _seq, len) => this.mention(m, "seen", "", `TCP sends ${len} bytes`)),
			tcp_receive.listen((_tp, m, _th, len) => this.mention(m, "seen", "", `TCP receives ${len} bytes`)),
			udp_send_probe.listen((_inp, m) => this.mention(m, "seen", "", "UDP sends")),
			udp_receive_probe.listen((_inp, m) => this.mention(m, "seen", "", "UDP receives")),
			ip_send_probe.listen((m, ifp) => this.mention(m, "seen", "", `IP sends by ${ifp.if_xname}`)),
			ip_receive_probe.listen((m, ifp) =>
				this.mention(m, "seen", "", `IP receives from ${ifp?.if_xname ?? "nowhere"}`),
			),
			netisr_enqueue.listen((_proto, m, cpu) => this.mention(m, "left", "netisr", `netisr queue of CPU ${cpu}`)),
			netisr_handle.listen((_proto, m, queued) => {
				if (queued) this.mention(m, "taken", "netisr", "netisr takes it");
			}),
			epair_enqueue.listen((m) => this.mention(m, "left", "epair", "the other end's queue")),
			epair_handle.listen((m) => this.mention(m, "taken", "epair", "the other end takes it")),
			driver.wg_stage.listen((stage, id) => this.mentionId(id, "seen", "", `wg: ${stage}`)),
			race_store.listen((object, field) => this.published(object, field)),
			bpf_listen_attach((bp) => {
				const layer = bp.bif_dlt === DLT_EN10MB ? "frame" : "packet";
				detach.push(
					bp.listen((ifp, m) => {
						const where = `${ifp.if_vnet.vnet_name}:${ifp.if_xname} ${isOutbound(ifp, m) ? "out" : "in"}`;
						this.mention(m, "seen", "", `tap ${where}`);
						if (m.m_pkthdr.packet_id === this.packet) this.capture(where, layer, m);
					}),
				);
			}),
		);
		const queues = allProbes().get(QUEUE_PROBE) as unknown as QueueProbe | undefined;
		if (queues !== undefined) detach.push(queues.listen((change, queue, pkt) => this.queued(change, queue, pkt)));
	}

	/** Follows this packet from now on: keeps its bytes. It has passed a tap, so it has a number. */
	follow(m: mbuf): void {
		this.packet = this.identify(m);
	}

	/** Stops recording. */
	close(): void {
		for (const detach of this.detach.splice(0)) detach();
		this.ledger.close();
	}

	private identify(m: mbuf): number {
		if (m.m_pkthdr.packet_id === 0) m.m_pkthdr.packet_id = this.next++;
		return m.m_pkthdr.packet_id;
	}

	private add(td: thread, entry: Entry): void {
		const entries = this.threads.get(td);
		if (entries === undefined) this.threads.set(td, [entry]);
		else entries.push(entry);
	}

	private switched(td: thread, entry: Switched["entry"], cpu: number, state: string): void {
		this.add(td, { entry, time: curkernel.machine.now, cpu, state });
	}

	private spent(td: thread, cpu: number, kind: Kind, path: Path, ns: number): void {
		this.add(td, { entry: "spent", time: curkernel.machine.now + td.td_pending, cpu, kind, path, ns });
	}

	private woken(td: thread, cpu: number, by: thread): void {
		const { now } = curkernel.machine;
		const hardware = pcpu_find(cpu).cpu;
		const cpuState = !hardware.idle ? "busy" : hardware.polling(now) ? "polling" : "halted";
		this.add(td, { entry: "woken", time: now, cpu, by: by === hostthread ? "a timer" : by.td_name, cpuState });
	}

	private mention(m: mbuf, turn: Turn, queue: string, text: string): void {
		this.mentionId(this.identify(m), turn, queue, text);
	}

	private mentionId(packet: number, turn: Turn, queue: string, text: string): void {
		const td = curthread;
		if (td === hostthread) return;
		this.ledger.observe();
		const index = this.threads.get(td)?.length ?? 0;
		const path = this.ledger.pathOf(td);
		const mention: Mention = {
			...{ entry: "mention", time: sbinuptime(), cpu: td.td_cpu, packet, turn, queue, text, path, td, index },
		};
		this.add(td, mention);
		this.mentions.push(mention);
	}

	private queued(change: "insert" | "remove", queue: wg_queue, pkt: wg_packet): void {
		const m = pkt.p_mbuf;
		if (m === null) return;
		const name = queue.q_mtx.lo_name;
		if (change === "remove") this.mention(m, "taken", name, `off ${name}`);
		else this.mention(m, SERIAL.has(name) ? "seen" : "left", name, `on ${name}`);
	}

	/** The driver marks a packet as done: from here on it waits for its turn in the serial queue, which is known by then. */
	private published(object: object, field: string): void {
		if (field !== "p_state") return;
		const pkt = object as wg_packet;
		const m = pkt.p_mbuf;
		if (m === null) return;
		const id = this.identify(m);
		const serial = this.mentions.findLast((mention) => mention.packet === id && SERIAL.has(mention.queue));
		if (serial === undefined) return;
		this.mention(m, "left", serial.queue, "wg: done");
		if (id !== this.packet || serial.queue !== "txq") return;
		this.key = pkt.p_keypair?.kp_send.slice() ?? null;
		this.capture("wg, encrypted", "message", m);
	}

	private capture(where: string, layer: Capture["layer"], m: mbuf): void {
		this.captures.push({ where, time: sbinuptime(), layer, bytes: bytesOf(m) });
	}
}
