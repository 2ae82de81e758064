/**
 * The pcapng file format: its blocks, as bytes. Little-endian throughout, options padded to four bytes.
 *
 * @see draft-ietf-opsawg-pcapng
 */
export const SHB = 0x0a0d0d0a;
export const IDB = 1;
export const ISB = 5;
export const EPB = 6;
export const DSB = 10;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

export const OPT_COMMENT = 1;
export const SHB_HARDWARE = 2;
export const SHB_OS = 3;
export const SHB_USERAPPL = 4;
export const IF_NAME = 2;
export const IF_DESCRIPTION = 3;
export const IF_MACADDR = 6;
export const IF_TSRESOL = 9;
export const IF_OS = 12;
export const EPB_FLAGS = 2;
export const EPB_PACKETID = 5;
export const EPB_QUEUE = 6;

export const INBOUND = 1;
export const OUTBOUND = 2;

/** Keys of WireGuard sessions as text, a line each. */
export const SECRETS_WIREGUARD = 0x57474b4c;

/** the number of digits of a second's fraction: 9, time stamps in ns */
const TSRESOL_NS = 9;

function padded(bytes: number): number {
	return (bytes + 3) & ~3;
}

/** An option: what it says, as bytes. */
export type Option = readonly [code: number, value: Uint8Array];

export function textOption(code: number, text: string): Option {
	return [code, Buffer.from(text, "utf8")];
}

function optionBytes(options: readonly Option[]): number {
	if (options.length === 0) return 0;
	return options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);
}

function putOptions(buffer: Buffer, at: number, options: readonly Option[]): number {
	for (const [code, value] of options) {
		buffer.writeUInt16LE(code, at);
		buffer.writeUInt16LE(value.length, at + 2);
		buffer.set(value, at + 4);
		at += 4 + padded(value.length);
	}
	return at;
}

/** A block of `fixed` and options, between its two lengths. */
function block(type: number, fixed: Uint8Array, options: readonly Option[]): Buffer {
	const length = 12 + padded(fixed.length) + optionBytes(options);
	const buffer = Buffer.alloc(length);
	buffer.writeUInt32LE(type, 0);
	buffer.writeUInt32LE(length, 4);
	buffer.set(fixed, 8);
	putOptions(buffer, 8 + padded(fixed.length), options);
	buffer.writeUInt32LE(length, length - 4);
	return buffer;
}

/** What begins a file: nobody knows yet how long it will be. */
export function sectionHeader(options: readonly Option[]): Buffer {
	const fixed = Buffer.alloc(16);
	fixed.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
	fixed.writeUInt16LE(1, 4);
	fixed.writeBigInt64LE(-1n, 8);
	return block(SHB, fixed, options);
}

/** An interface; its number is that of its place in the file. Time stamps are in ns, packets are never cut. */
export function interfaceDescription(linktype: number, options: readonly Option[]): Buffer {
	const fixed = Buffer.alloc(8);
	fixed.writeUInt16LE(linktype, 0);
	return block(IDB, fixed, [...options, [IF_TSRESOL, Uint8Array.of(TSRESOL_NS)]]);
}

export function decryptionSecrets(type: number, secrets: Uint8Array): Buffer {
	const fixed = Buffer.alloc(8 + padded(secrets.length));
	fixed.writeUInt32LE(type, 0);
	fixed.writeUInt32LE(secrets.length, 4);
	fixed.set(secrets, 8);
	return block(DSB, fixed, []);
}

/** flags, packet id and queue with their option headers, and the end of options */
const PACKET_OPTIONS = 8 + 12 + 8 + 4;

/** A packet's block with room for its bytes. */
export class PacketBlock {
	readonly buffer: Buffer;
	/** where the packet's bytes go */
	static readonly DATA = 28;

	/** @param ns since 1970 */
	constructor(
		interface_id: number,
		ns: bigint,
		bytes: number,
		flags: number,
		packet_id: number,
		queue: number,
		comment: string,
	) {
		const note = Buffer.from(comment, "utf8");
		const data = padded(bytes);
		const length = 32 + data + PACKET_OPTIONS + 4 + padded(note.length);
		const buffer = Buffer.alloc(length);
		this.buffer = buffer;
		buffer.writeUInt32LE(EPB, 0);
		buffer.writeUInt32LE(length, 4);
		buffer.writeUInt32LE(interface_id, 8);
		buffer.writeUInt32LE(Number(ns >> 32n), 12);
		buffer.writeUInt32LE(Number(ns & 0xffffffffn), 16);
		buffer.writeUInt32LE(bytes, 20);
		buffer.writeUInt32LE(bytes, 24);
		let at = PacketBlock.DATA + data;
		at = putOptions(buffer, at, [[OPT_COMMENT, note]]);
		buffer.writeUInt16LE(EPB_FLAGS, at);
		buffer.writeUInt16LE(4, at + 2);
		buffer.writeUInt32LE(flags, at + 4);
		buffer.writeUInt16LE(EPB_PACKETID, at + 8);
		buffer.writeUInt16LE(8, at + 10);
		buffer.writeBigUInt64LE(BigInt(packet_id), at + 12);
		buffer.writeUInt16LE(EPB_QUEUE, at + 20);
		buffer.writeUInt16LE(4, at + 22);
		buffer.writeUInt32LE(queue, at + 24);
		buffer.writeUInt32LE(length, length - 4);
	}
}

/** What an interface saw: the last word about it. */
export function interfaceStatistics(interface_id: number, ns: bigint, options: readonly Option[]): Buffer {
	const fixed = Buffer.alloc(12);
	fixed.writeUInt32LE(interface_id, 0);
	fixed.writeUInt32LE(Number(ns >> 32n), 4);
	fixed.writeUInt32LE(Number(ns & 0xffffffffn), 8);
	return block(ISB, fixed, options);
}
