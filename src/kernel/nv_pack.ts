/**
 * The packed form of an nvlist, in which it crosses the boundary between a program and the kernel.
 *
 * A list is a header of 19 bytes and its pairs; a pair is a header of 19 bytes, its name with a zero byte, and its data.
 * A list inside a list is packed in place and ends with a pair of type NVLIST_UP, one inside an array with NVLIST_ARRAY_NEXT.
 * The size in *every* list header counts to the end of the whole buffer, not of that list, and unpacking insists on it. Numbers
 * are in the packer's byte order, little-endian here; a flag says so, and either is understood.
 *
 * Differs from FreeBSD in one thing: a descriptor in a list from outside is refused, where its kernel would panic.
 *
 * @see contrib/libnv/nvlist.c nvlist_pack, nvlist_unpack; contrib/libnv/bsd_nvpair.c
 */
import {
	NV_FLAG_PUBLIC_MASK,
	NV_NAME_MAX,
	NV_TYPE_BINARY,
	NV_TYPE_BOOL,
	NV_TYPE_BOOL_ARRAY,
	NV_TYPE_NULL,
	NV_TYPE_NUMBER,
	NV_TYPE_NUMBER_ARRAY,
	NV_TYPE_NVLIST,
	NV_TYPE_NVLIST_ARRAY,
	NV_TYPE_STRING,
	NV_TYPE_STRING_ARRAY,
	type nv_value,
	type nvlist,
	nvlist_create,
	nvlist_destroy,
	nvlist_move_nvpair,
	nvpair,
} from "./nv.ts";
import { charge_bytes, cost } from "./sched/thread.ts";

const NVLIST_HEADER_MAGIC = 0x6c;
const NVLIST_HEADER_VERSION = 0;
const NVLIST_HEADER_SIZE = 19;
const NVPAIR_HEADER_SIZE = 19;
const NV_TYPE_NVLIST_ARRAY_NEXT = 254;
const NV_TYPE_NVLIST_UP = 255;
const NV_FLAG_BIG_ENDIAN = 0x80;
const NAME_END = "";

const encoder = new TextEncoder();

/** Bytes a value takes, without its pair's header. Lists count with all that belongs to them. */
function data_size(type: number, data: nv_value): number {
	switch (type) {
		case NV_TYPE_BOOL:
			return 1;
		case NV_TYPE_NUMBER:
			return 8;
		case NV_TYPE_STRING:
			return encoder.encode(data as string).length + 1;
		case NV_TYPE_BINARY:
			return (data as Uint8Array).length;
		case NV_TYPE_BOOL_ARRAY:
			return (data as boolean[]).length;
		case NV_TYPE_NUMBER_ARRAY:
			return 8 * (data as bigint[]).length;
		case NV_TYPE_STRING_ARRAY:
			return (data as string[]).reduce((n, s) => n + encoder.encode(s).length + 1, 0);
		case NV_TYPE_NVLIST:
			return nvlist_size(data as nvlist) + NVPAIR_HEADER_SIZE + 1;
		case NV_TYPE_NVLIST_ARRAY:
			return (data as nvlist[]).reduce((n, list) => n + nvlist_size(list) + NVPAIR_HEADER_SIZE + 1, 0);
		default:
			return 0;
	}
}

/** Bytes of the packed list. */
export function nvlist_size(nvl: nvlist): number {
	let size = NVLIST_HEADER_SIZE;
	for (const nvp of nvl.nvl_head) {
		size += NVPAIR_HEADER_SIZE + encoder.encode(nvp.nvp_name).length + 1 + data_size(nvp.nvp_type, nvp.nvp_data);
	}
	return size;
}

class packer {
	readonly buf: Uint8Array;
	private readonly view: DataView;
	private at = 0;

	constructor(size: number) {
		this.buf = new Uint8Array(size);
		this.view = new DataView(this.buf.buffer);
	}

	uint8(value: number): void {
		this.buf[this.at++] = value;
	}

	uint64(value: bigint): void {
		this.view.setBigUint64(this.at, value, true);
		this.at += 8;
	}

	bytes(bytes: Uint8Array): void {
		this.buf.set(bytes, this.at);
		this.at += bytes.length;
	}

	string(text: string): void {
		this.bytes(encoder.encode(text));
		this.uint8(0);
	}

	list_header(nvl: nvlist): void {
		const left = this.buf.length - this.at - NVLIST_HEADER_SIZE;
		this.uint8(NVLIST_HEADER_MAGIC);
		this.uint8(NVLIST_HEADER_VERSION);
		this.uint8(nvl.nvl_flags & NV_FLAG_PUBLIC_MASK);
		this.uint64(0n);
		this.uint64(BigInt(left));
	}

	pair_header(type: number, name: string, datasize: number, nitems: number): void {
		const namesize = encoder.encode(name).length + 1;
		this.uint8(type);
		this.uint8(namesize & 255);
		this.uint8(namesize >> 8);
		this.uint64(BigInt(datasize));
		this.uint64(BigInt(nitems));
		this.string(name);
	}

	list(nvl: nvlist): void {
		this.list_header(nvl);
		for (const nvp of nvl.nvl_head) {
			const { nvp_type: type, nvp_data: data } = nvp;
			// an array of lists says 0 and relies on the number of items; a list leaves out its end mark
			let datasize = type === NV_TYPE_NVLIST_ARRAY ? 0 : data_size(type, data);
			if (type === NV_TYPE_NVLIST) datasize = nvlist_size(data as nvlist);
			this.pair_header(type, nvp.nvp_name, datasize, type >= NV_TYPE_BOOL_ARRAY ? (data as unknown[]).length : 0);
			this.data(type, data);
		}
	}

	private data(type: number, data: nv_value): void {
		switch (type) {
			case NV_TYPE_BOOL:
				this.uint8(data ? 1 : 0);
				break;
			case NV_TYPE_NUMBER:
				this.uint64(data as bigint);
				break;
			case NV_TYPE_STRING:
				this.string(data as string);
				break;
			case NV_TYPE_BINARY:
				this.bytes(data as Uint8Array);
				break;
			case NV_TYPE_BOOL_ARRAY:
				for (const item of data as boolean[]) this.uint8(item ? 1 : 0);
				break;
			case NV_TYPE_NUMBER_ARRAY:
				for (const item of data as bigint[]) this.uint64(item);
				break;
			case NV_TYPE_STRING_ARRAY:
				for (const item of data as string[]) this.string(item);
				break;
			case NV_TYPE_NVLIST:
				this.list(data as nvlist);
				this.pair_header(NV_TYPE_NVLIST_UP, NAME_END, 0, 0);
				break;
			case NV_TYPE_NVLIST_ARRAY:
				for (const item of data as nvlist[]) {
					this.list(item);
					this.pair_header(NV_TYPE_NVLIST_ARRAY_NEXT, NAME_END, 0, 0);
				}
				break;
		}
	}
}

/** Packs a list; null if it has an error. The buffer is the caller's; its memory is not counted. */
export function nvlist_pack(nvl: nvlist): Uint8Array | null {
	if (nvl.nvl_error !== 0) return null;
	const p = new packer(nvlist_size(nvl));
	p.list(nvl);
	charge_bytes(p.buf.length, cost.copy);
	return p.buf;
}

/** What an unpacker throws to itself when the bytes make no sense. */
class malformed extends Error {}

class unpacker {
	private readonly buf: Uint8Array;
	private readonly view: DataView;
	private at = 0;
	private big_endian = false;
	/** lists made for a pair that is not in its list yet */
	readonly pending: nvlist[] = [];

	constructor(buf: Uint8Array) {
		this.buf = buf;
		this.view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
	}

	get left(): number {
		return this.buf.length - this.at;
	}

	private need(size: number): void {
		if (size > this.left) throw new malformed();
	}

	private uint64(): bigint {
		this.need(8);
		this.at += 8;
		return this.view.getBigUint64(this.at - 8, !this.big_endian);
	}

	/** A string that ends with its only zero byte after `size` bytes in all. */
	private string(size: number): string {
		this.need(size);
		if (size < 1 || this.buf.indexOf(0, this.at) !== this.at + size - 1) throw new malformed();
		let text = "";
		for (let i = 0; i < size - 1; i++) text += String.fromCharCode(this.buf[this.at + i]);
		this.at += size;
		return decode_utf8(text);
	}

	list_header(nvl: nvlist): void {
		this.need(NVLIST_HEADER_SIZE);
		const flags = this.buf[this.at + 2];
		if (this.buf[this.at] !== NVLIST_HEADER_MAGIC) throw new malformed();
		if ((flags & ~(NV_FLAG_PUBLIC_MASK | NV_FLAG_BIG_ENDIAN)) !== 0) throw new malformed();
		const little = (flags & NV_FLAG_BIG_ENDIAN) === 0;
		const descriptors = this.view.getBigUint64(this.at + 3, little);
		const size = this.view.getBigUint64(this.at + 11, little);
		if (size !== BigInt(this.left - NVLIST_HEADER_SIZE) || descriptors !== 0n) throw new malformed();
		nvl.nvl_flags = flags & NV_FLAG_PUBLIC_MASK;
		this.big_endian = !little;
		this.at += NVLIST_HEADER_SIZE;
	}

	/** Fills `top` with what follows its header. */
	pairs(top: nvlist): void {
		let nvl = top;
		while (this.left > 0) {
			this.need(NVPAIR_HEADER_SIZE);
			const type = this.buf[this.at];
			const namesize = this.view.getUint16(this.at + 1, !this.big_endian);
			const datasize = Number(this.view.getBigUint64(this.at + 3, !this.big_endian));
			// libnv forgets to swap this one for the other byte order
			const nitems = Number(this.view.getBigUint64(this.at + 11, true));
			this.at += NVPAIR_HEADER_SIZE;
			if (namesize > NV_NAME_MAX) throw new malformed();
			const name = this.string(namesize);
			this.need(datasize);
			if (type === NV_TYPE_NVLIST_UP || type === NV_TYPE_NVLIST_ARRAY_NEXT) {
				if (nvl.nvl_parent === null) throw new malformed();
				if (type === NV_TYPE_NVLIST_ARRAY_NEXT && nvl.nvl_array_next !== null) {
					nvl = nvl.nvl_array_next;
					this.list_header(nvl);
				} else nvl = nvl.nvl_parent;
				continue;
			}
			const data = this.data(nvl, type, datasize, nitems);
			if (!nvlist_move_nvpair(nvl, new nvpair(name, type, data))) throw new malformed();
			this.pending.length = 0;
			if (type === NV_TYPE_NVLIST) nvl = data as nvlist;
			else if (type === NV_TYPE_NVLIST_ARRAY) nvl = (data as nvlist[])[0];
		}
	}

	private child(parent: nvlist): nvlist {
		const list = nvlist_create(0);
		list.nvl_parent = parent;
		this.pending.push(list);
		return list;
	}

	private data(nvl: nvlist, type: number, datasize: number, nitems: number): nv_value {
		switch (type) {
			case NV_TYPE_NULL:
				if (datasize !== 0) throw new malformed();
				return null;
			case NV_TYPE_BOOL:
				if (datasize !== 1 || this.buf[this.at] > 1) throw new malformed();
				return this.buf[this.at++] === 1;
			case NV_TYPE_NUMBER:
				if (datasize !== 8) throw new malformed();
				return this.uint64();
			case NV_TYPE_STRING:
				return this.string(datasize);
			case NV_TYPE_BINARY:
				if (datasize === 0) throw new malformed();
				this.at += datasize;
				return this.buf.slice(this.at - datasize, this.at);
			case NV_TYPE_BOOL_ARRAY: {
				if (nitems === 0 || datasize !== nitems) throw new malformed();
				const items: boolean[] = [];
				for (let i = 0; i < nitems; i++) items.push(this.buf[this.at++] !== 0);
				return items;
			}
			case NV_TYPE_NUMBER_ARRAY: {
				if (nitems === 0 || datasize !== 8 * nitems) throw new malformed();
				const items: bigint[] = [];
				for (let i = 0; i < nitems; i++) items.push(this.uint64());
				return items;
			}
			case NV_TYPE_STRING_ARRAY: {
				const end = this.at + datasize;
				if (nitems === 0 || nitems > datasize) throw new malformed();
				const items: string[] = [];
				for (let i = 0; i < nitems; i++) {
					const zero = this.buf.indexOf(0, this.at);
					if (zero < 0 || zero >= end) throw new malformed();
					items.push(this.string(zero + 1 - this.at));
				}
				if (this.at !== end) throw new malformed();
				return items;
			}
			case NV_TYPE_NVLIST: {
				if (datasize === 0) throw new malformed();
				const list = this.child(nvl);
				this.list_header(list);
				return list;
			}
			case NV_TYPE_NVLIST_ARRAY: {
				if (nitems === 0 || nitems * NVPAIR_HEADER_SIZE > this.left) throw new malformed();
				const items: nvlist[] = [];
				for (let i = 0; i < nitems; i++) items.push(this.child(nvl));
				for (let i = 1; i < nitems; i++) items[i - 1].nvl_array_next = items[i];
				this.list_header(items[0]);
				return items;
			}
			default:
				throw new malformed();
		}
	}
}

const decoder = new TextDecoder();

/** Bytes, held in a string one to a character, as the text they spell. */
function decode_utf8(bytes: string): string {
	for (let i = 0; i < bytes.length; i++) {
		if (bytes.charCodeAt(i) > 127) return decoder.decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
	}
	return bytes;
}

/**
 * Makes a list of packed bytes from somebody not to be trusted.
 *
 * @param flags the list must have been made with exactly these
 * @returns the list, or null if the bytes are not one
 */
export function nvlist_unpack(buf: Uint8Array, flags: number): nvlist | null {
	const nvl = nvlist_create(0);
	const u = new unpacker(buf);
	charge_bytes(buf.length, cost.copy);
	try {
		u.list_header(nvl);
		if (nvl.nvl_flags === flags) {
			u.pairs(nvl);
			return nvl;
		}
	} catch (error) {
		if (!(error instanceof malformed)) throw error;
	}
	for (const list of u.pending) nvlist_destroy(list);
	nvlist_destroy(nvl);
	return null;
}
