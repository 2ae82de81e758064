/** What the bytes of a packet say, layer by layer: Ethernet, IPv4, UDP, TCP and WireGuard. Enough for what crosses a tunnel. */

export interface Header {
	readonly protocol: "Ethernet" | "IPv4" | "UDP" | "TCP" | "WireGuard" | "data";
	/** where it begins and how long it is, bytes */
	readonly at: number;
	readonly length: number;
	/** what it says, for people */
	readonly text: string;
}

export type WgType = "initiation" | "response" | "cookie" | "transport";

/** What packets are told apart by. */
export interface Decoded {
	readonly headers: Header[];
	/** payload of UDP or TCP, bytes */
	readonly payload: number;
	/** where that begins */
	readonly payload_at: number;
	readonly protocol: "udp" | "tcp" | "other";
	readonly tcp_flags: number;
	readonly wg: WgType | null;
}

const ETHERTYPE_IP = 0x0800;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
export const TH_SYN = 0x02;
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
const WG_TYPES: readonly (WgType | null)[] = [null, "initiation", "response", "cookie", "transport"];
const WG_HEADER = 16;
const WG_TAG = 16;

function hex(bytes: Uint8Array): string {
	return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Decoder {
	private readonly view: DataView;
	private readonly bytes: Uint8Array;
	readonly headers: Header[] = [];
	protocol: Decoded["protocol"] = "other";
	payload = 0;
	payload_at = 0;
	tcp_flags = 0;
	wg: WgType | null = null;

	constructor(bytes: Uint8Array) {
		this.bytes = bytes;
		this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	}

	private add(protocol: Header["protocol"], at: number, length: number, text: string): void {
		this.headers.push({ protocol, at, length, text });
	}

	ethernet(): void {
		if (this.bytes.length < 14) return;
		const mac = (at: number): string => hex(this.bytes.subarray(at, at + 6)).replace(/..(?!$)/g, "$&:");
		const type = this.view.getUint16(12);
		this.add("Ethernet", 0, 14, `${mac(6)} -> ${mac(0)}, type 0x${type.toString(16).padStart(4, "0")}`);
		if (type === ETHERTYPE_IP) this.ipv4(14, true);
	}

	/** @param outer whether UDP in it may carry WireGuard */
	ipv4(at: number, outer: boolean): void {
		const { view } = this;
		if (this.bytes.length < at + 20 || view.getUint8(at) >> 4 !== 4) return;
		const length = (view.getUint8(at) & 15) * 4;
		const total = view.getUint16(at + 2);
		const protocol = view.getUint8(at + 9);
		const address = (from: number): string => this.bytes.subarray(from, from + 4).join(".");
		const name = protocol === IPPROTO_TCP ? "TCP" : protocol === IPPROTO_UDP ? "UDP" : `protocol ${protocol}`;
		this.add(
			"IPv4",
			at,
			length,
			`${address(at + 12)} -> ${address(at + 16)}, ${name}, length ${total}, id ${view.getUint16(at + 4)}, ttl ${view.getUint8(at + 8)}`,
		);
		const rest = total - length;
		if (this.bytes.length < at + total) return;
		if (protocol === IPPROTO_UDP && rest >= 8) this.udp(at + length, outer);
		if (protocol === IPPROTO_TCP && rest >= 20) this.tcp(at + length, rest);
	}

	private udp(at: number, outer: boolean): void {
		const { view } = this;
		const length = view.getUint16(at + 4);
		this.protocol = "udp";
		this.payload = length - 8;
		this.payload_at = at + 8;
		this.add("UDP", at, 8, `port ${view.getUint16(at)} -> ${view.getUint16(at + 2)}, length ${length}`);
		if (!outer || !this.wireguard(at + 8, length - 8)) this.data();
	}

	private tcp(at: number, length: number): void {
		const { view } = this;
		const header = (view.getUint8(at + 12) >> 4) * 4;
		this.protocol = "tcp";
		this.tcp_flags = view.getUint8(at + 13);
		this.payload = length - header;
		this.payload_at = at + header;
		const flags = TCP_FLAGS.filter((_name, bit) => (this.tcp_flags & (1 << bit)) !== 0).join(" ");
		this.add(
			"TCP",
			at,
			header,
			`port ${view.getUint16(at)} -> ${view.getUint16(at + 2)}, ${flags}, seq ${view.getUint32(at + 4)}, ack ${view.getUint32(at + 8)}, window ${view.getUint16(at + 14)}`,
		);
		this.data();
	}

	private data(): void {
		if (this.payload > 0) this.add("data", this.payload_at, this.payload, `${this.payload} bytes`);
	}

	/** @returns whether it is one of WireGuard's messages */
	wireguard(at: number, length: number): boolean {
		const { view } = this;
		if (length < WG_HEADER + WG_TAG) return false;
		const type = WG_TYPES[view.getUint32(at, true)] ?? null;
		if (type === null) return false;
		this.wg = type;
		const index = (from: number): string => `0x${view.getUint32(from, true).toString(16).padStart(8, "0")}`;
		const words: Record<WgType, () => string> = {
			initiation: () => `handshake initiation, sender ${index(at + 4)}`,
			response: () => `handshake response, sender ${index(at + 4)}, receiver ${index(at + 8)}`,
			cookie: () => `cookie reply, receiver ${index(at + 4)}`,
			transport: () => `transport data, receiver ${index(at + 4)}, counter ${view.getBigUint64(at + 8, true)}`,
		};
		this.add("WireGuard", at, type === "transport" ? WG_HEADER : length, words[type]());
		if (type === "transport") {
			this.add(
				"data",
				at + WG_HEADER,
				length - WG_HEADER,
				`${length - WG_HEADER - WG_TAG} encrypted, ${WG_TAG} of tag`,
			);
		}
		return true;
	}

	result(): Decoded {
		const { headers, payload, payload_at, protocol, tcp_flags, wg } = this;
		return { headers, payload, payload_at, protocol, tcp_flags, wg };
	}
}

/** An Ethernet frame, as a tap on an epair sees it. */
export function decodeFrame(bytes: Uint8Array): Decoded {
	const decoder = new Decoder(bytes);
	decoder.ethernet();
	return decoder.result();
}

/** An IPv4 packet, as a tap on a tunnel sees it. */
export function decodePacket(bytes: Uint8Array): Decoded {
	const decoder = new Decoder(bytes);
	decoder.ipv4(0, false);
	return decoder.result();
}

/** A message of WireGuard by itself. */
export function decodeMessage(bytes: Uint8Array): Decoded {
	const decoder = new Decoder(bytes);
	decoder.wireguard(0, bytes.length);
	return decoder.result();
}

/** Bytes as hexdump -C shows them, at most `limit` of them. */
export function hexdump(bytes: Uint8Array, limit: number): string[] {
	const lines: string[] = [];
	const shown = bytes.subarray(0, limit);
	for (let at = 0; at < shown.length; at += 16) {
		const row = shown.subarray(at, at + 16);
		const pairs = [...row].map((byte) => byte.toString(16).padStart(2, "0"));
		const text = [...row].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
		const left = pairs.slice(0, 8).join(" ").padEnd(23);
		const right = pairs.slice(8).join(" ").padEnd(23);
		lines.push(`${at.toString(16).padStart(4, "0")}  ${left}  ${right}  ${text}`);
	}
	if (bytes.length > shown.length) lines.push(`... ${bytes.length - shown.length} more`);
	return lines;
}
