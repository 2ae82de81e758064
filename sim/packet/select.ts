/** Which packet to follow: how it is named on the command line, and how it is found when it passes a tap. */
import { bpf_listen_attach, DLT_EN10MB } from "../../src/kernel/ifnet/bpf.ts";
import type { ifnet } from "../../src/kernel/ifnet/if_var.ts";
import type { mbuf } from "../../src/kernel/mbuf/mbuf.ts";
import { UsageError } from "../errors.ts";
import { parseInteger, quote } from "../units.ts";
import { type Decoded, decodeFrame, decodePacket, TH_SYN } from "./decode.ts";

export interface KindOfPacket {
	readonly description: string;
	/** looked for in the tunnel, or in what carries it */
	readonly inside: boolean;
	/** counted from when the kernel is up, not from the end of the warm-up: there are few, and early */
	readonly early: boolean;
	readonly matches: (packet: Decoded) => boolean;
}

/** a message that carries nothing but its tag */
const KEEPALIVE_BYTES = 32;

export const KINDS = {
	data: {
		description: "payload of TCP or UDP",
		inside: true,
		early: false,
		matches: ({ protocol, payload }) => protocol !== "other" && payload > 0,
	},
	ack: {
		description: "TCP without payload",
		inside: true,
		early: false,
		matches: ({ protocol, payload, tcp_flags }) => protocol === "tcp" && payload === 0 && (tcp_flags & TH_SYN) === 0,
	},
	syn: {
		description: "the first packet of a connection",
		inside: true,
		early: true,
		matches: ({ tcp_flags }) => (tcp_flags & TH_SYN) !== 0,
	},
	handshake: {
		description: "a handshake's initiation",
		inside: false,
		early: true,
		matches: ({ wg }) => wg === "initiation",
	},
	response: {
		description: "a handshake's response",
		inside: false,
		early: true,
		matches: ({ wg }) => wg === "response",
	},
	keepalive: {
		description: "an empty message of the tunnel",
		inside: false,
		early: true,
		matches: ({ wg, payload }) => wg === "transport" && payload === KEEPALIVE_BYTES,
	},
} as const satisfies Record<string, KindOfPacket>;

export type KindName = keyof typeof KINDS;

export interface Selector {
	readonly kind: KindName;
	/** the how manieth, from 1 */
	readonly number: number;
}

const NUMBER_MAX = 1_000_000_000;

/** `N` or `--first KIND`: one of them. */
export function parseSelector(number: string | undefined, first: string | undefined): Selector {
	if ((number === undefined) === (first === undefined)) {
		throw new UsageError("packet: say which, either its number or --first KIND");
	}
	if (number !== undefined) return { kind: "data", number: parseInteger("packet", number, 1, NUMBER_MAX) };
	const kind = (Object.keys(KINDS) as KindName[]).find((name) => name === first);
	if (kind === undefined) {
		throw new UsageError(`--first: no ${quote(first ?? "")}; there is ${Object.keys(KINDS).join(", ")}`);
	}
	return { kind, number: 1 };
}

/** All bytes of a packet. The kernel's own m_copydata would take simulated time. */
export function bytesOf(packet: mbuf): Uint8Array {
	const bytes = new Uint8Array(packet.m_pkthdr.len);
	let at = 0;
	for (let m: mbuf | null = packet; m !== null; m = m.m_next) {
		bytes.set(m.m_buf.subarray(m.m_data, m.m_data + m.m_len), at);
		at += m.m_len;
	}
	return bytes;
}

/** Whether the packet leaves by the interface, not comes in. */
export function isOutbound(ifp: ifnet, m: mbuf): boolean {
	return m.m_pkthdr.rcvif !== ifp;
}

/** Watches the taps of the kernel that runs now for the packet. Changes nothing. */
export class Search {
	private readonly kind: KindOfPacket;
	private readonly number: number;
	private readonly found: (m: mbuf) => void;
	private readonly detach: (() => void)[] = [];
	private counting: boolean;
	/** how many of the kind have been seen */
	seen = 0;

	/** @param found is called once, with the packet as it passes the tap for the first time */
	constructor(selector: Selector, found: (m: mbuf) => void) {
		this.kind = KINDS[selector.kind];
		this.number = selector.number;
		this.found = found;
		this.counting = this.kind.early;
		this.detach.push(
			bpf_listen_attach((bp) => {
				if ((bp.bif_dlt === DLT_EN10MB) === this.kind.inside) return;
				this.detach.push(bp.listen((ifp, m) => this.packet(ifp, m)));
			}),
		);
	}

	/** The warm-up is over. */
	mark(): void {
		this.counting = true;
	}

	private packet(ifp: ifnet, m: mbuf): void {
		if (!this.counting || this.seen >= this.number || !isOutbound(ifp, m)) return;
		const bytes = bytesOf(m);
		if (!this.kind.matches(this.kind.inside ? decodePacket(bytes) : decodeFrame(bytes))) return;
		this.seen++;
		if (this.seen === this.number) this.found(m);
	}

	/** Stops watching. */
	close(): void {
		for (const detach of this.detach.splice(0)) detach();
	}
}
