/**
 * Internet addresses and numbers: what netinet/in.h, netinet6/in6.h and sys/socket.h define, and the byte order helpers.
 *
 * An IPv4 address is a uint32 in host order, an IPv6 address 16 bytes in network order. FreeBSD embeds the scope zone of a
 * link-local address in its second 16-bit word inside the kernel; so does this model (`in6_setscope`).
 *
 * @see netinet/in.h, netinet6/in6.h, sys/socket.h, net/if_dl.h
 */
import { bcopy } from "../../machine/bcopy.ts";
import { wide_fields } from "../../machine/shape.ts";
import { be16dec, be16enc, be32dec } from "../endian.ts";

export const AF_UNSPEC = 0;
export const AF_LOCAL = 1;
export const AF_UNIX = AF_LOCAL;
export const AF_INET = 2;
export const AF_ROUTE = 17;
export const AF_LINK = 18;
export const AF_ARP = 35;
export const AF_INET6 = 28;
/** not a family: the bytes bpf(4) writes begin with a whole link header */
export const pseudo_AF_HDRCMPLT = 31;
export const AF_MAX = 42;
export const PF_INET = AF_INET;
export const PF_INET6 = AF_INET6;

export const IPPROTO_IP = 0;
export const IPPROTO_HOPOPTS = 0;
export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ROUTING = 43;
export const IPPROTO_FRAGMENT = 44;
export const IPPROTO_ESP = 50;
export const IPPROTO_AH = 51;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_NONE = 59;
export const IPPROTO_DSTOPTS = 60;
export const IPPROTO_RAW = 255;
export const IPPROTO_MAX = 256;
/** the packet was consumed by an extension header handler */
export const IPPROTO_DONE = 257;

export const INADDR_ANY = 0;
export const INADDR_LOOPBACK = 0x7f000001;
export const INADDR_BROADCAST = 0xffffffff;
export const INADDR_NONE = 0xffffffff;
export const IN_LOOPBACKNET = 127;

export const IPPORT_RESERVED = 1024;
export const IPPORT_EPHEMERALFIRST = 10000;
export const IPPORT_EPHEMERALLAST = 65535;
export const IPPORT_HIFIRSTAUTO = 49152;
export const IPPORT_HILASTAUTO = 65535;

// socket options of level IPPROTO_IP
export const IP_OPTIONS = 1;
export const IP_HDRINCL = 2;
export const IP_TOS = 3;
export const IP_TTL = 4;
export const IP_RECVDSTADDR = 7;
export const IP_SENDSRCADDR = IP_RECVDSTADDR;
export const IP_MINTTL = 66;
export const IP_DONTFRAG = 67;
export const IP_RECVTTL = 65;
export const IP_RECVTOS = 68;
export const IP_PORTRANGE = 19;
export const IP_BINDANY = 24;

// socket options of level IPPROTO_IPV6
export const IPV6_UNICAST_HOPS = 4;
export const IPV6_CHECKSUM = 26;
export const IPV6_V6ONLY = 27;
export const IPV6_RECVPKTINFO = 36;
export const IPV6_PKTINFO = 46;
export const IPV6_HOPLIMIT = 47;
export const IPV6_TCLASS = 61;
export const IPV6_DONTFRAG = 62;
export const IPV6_USE_MIN_MTU = 42;

export const INET_ADDRSTRLEN = 16;
export const INET6_ADDRSTRLEN = 46;

/** A socket address of any family; cast after looking at sa_family. */
export interface sockaddr {
	sa_family: number;
}

/** @see netinet/in.h struct sockaddr_in; port and address in host order */
export class sockaddr_in implements sockaddr {
	sa_family = AF_INET;
	sin_port: number;
	sin_addr: number;
	constructor(addr = INADDR_ANY, port = 0) {
		this.sin_addr = addr;
		this.sin_port = port;
	}
}

wide_fields(new sockaddr_in(), "sin_addr", "sin_port");

/** @see netinet6/in6.h struct sockaddr_in6; port in host order */
export class sockaddr_in6 implements sockaddr {
	sa_family = AF_INET6;
	sin6_port: number;
	sin6_flowinfo = 0;
	sin6_addr: Uint8Array;
	sin6_scope_id = 0;
	constructor(addr: Uint8Array = new Uint8Array(16), port = 0) {
		this.sin6_addr = addr;
		this.sin6_port = port;
	}
}

/** A link-level address. @see net/if_dl.h struct sockaddr_dl */
export class sockaddr_dl implements sockaddr {
	sa_family = AF_LINK;
	sdl_index: number;
	sdl_type: number;
	sdl_data: Uint8Array;
	constructor(index = 0, type = 0, data: Uint8Array = new Uint8Array(0)) {
		this.sdl_index = index;
		this.sdl_type = type;
		this.sdl_data = data;
	}
}

/** An address whose bytes only the interface understands, as bpf(4) passes it. @see sys/socket.h struct sockaddr */
export class sockaddr_opaque implements sockaddr {
	sa_family: number;
	readonly sa_data = new Uint8Array(14);
	constructor(family = AF_UNSPEC) {
		this.sa_family = family;
	}
}

/** Numbers in network order. */
export {
	be16dec as in_get16,
	be16enc as in_put16,
	be32dec as in_get32,
	be32enc as in_put32,
} from "../endian.ts";

export function IN_MULTICAST(addr: number): boolean {
	return addr >>> 28 === 0xe;
}

export function IN_LINKLOCAL(addr: number): boolean {
	return addr >>> 16 === 0xa9fe;
}

export function IN_LOOPBACK(addr: number): boolean {
	return addr >>> 24 === IN_LOOPBACKNET;
}

/** Class D and E and the null network: addresses that no host may use as its own to forward between. */
export function in_canforward(addr: number): boolean {
	if (IN_MULTICAST(addr) || addr >>> 28 === 0xf || IN_LINKLOCAL(addr)) return false;
	const net = addr >>> 24;
	return net !== 0 && net !== IN_LOOPBACKNET;
}

/** Dotted quad of a host-order address. @see inet_ntoa(3) */
export function inet_ntoa(addr: number): string {
	return `${addr >>> 24}.${(addr >>> 16) & 255}.${(addr >>> 8) & 255}.${addr & 255}`;
}

/** Host-order address of a strict dotted quad, or null. @see inet_pton(3) AF_INET */
export function inet_pton4(text: string): number | null {
	const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
	if (match === null) return null;
	let addr = 0;
	for (let i = 1; i <= 4; i++) {
		const part = match[i];
		if (part.length > 1 && part[0] === "0") return null;
		const octet = Number(part);
		if (octet > 255) return null;
		addr = addr * 256 + octet;
	}
	return addr;
}

/** 16 bytes of a textual IPv6 address without zone, or null. @see inet_pton(3) AF_INET6 */
export function inet_pton6(text: string): Uint8Array | null {
	let tail = text;
	let v4: number | null = null;
	const lastColon = text.lastIndexOf(":");
	if (lastColon < 0) return null;
	if (text.indexOf(".") >= 0) {
		v4 = inet_pton4(text.slice(lastColon + 1));
		if (v4 === null) return null;
		tail = `${text.slice(0, lastColon)}:${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}`;
	}
	const halves = tail.split("::");
	if (halves.length > 2) return null;
	const head = halves[0] === "" ? [] : halves[0].split(":");
	const rest = halves.length === 1 || halves[1] === "" ? [] : halves[1].split(":");
	const given = head.length + rest.length;
	if (halves.length === 1 ? given !== 8 : given > 7) return null;
	const addr = new Uint8Array(16);
	for (let i = 0; i < given; i++) {
		const word = i < head.length ? head[i] : rest[i - head.length];
		if (!/^[0-9a-fA-F]{1,4}$/.test(word)) return null;
		be16enc(addr, 2 * (i < head.length ? i : 8 - given + i), Number.parseInt(word, 16));
	}
	return addr;
}

/** inet_pton(3): host-order number, 16 bytes, or null when `text` is not an address of the family. */
export function inet_pton(af: typeof AF_INET, text: string): number | null;
export function inet_pton(af: typeof AF_INET6, text: string): Uint8Array | null;
export function inet_pton(af: number, text: string): number | Uint8Array | null {
	return af === AF_INET6 ? inet_pton6(text) : inet_pton4(text);
}

/** Text of an IPv6 address as RFC 5952 wants it: lower case, the longest run of two or more zero words as `::`. */
export function ip6_sprintf(addr: Uint8Array): string {
	let best = -1;
	let best_len = 1;
	for (let i = 0; i < 8; i++) {
		let len = 0;
		while (i + len < 8 && be16dec(addr, 2 * (i + len)) === 0) len++;
		if (len > best_len) {
			best = i;
			best_len = len;
		}
		if (len > 0) i += len;
	}
	if (IN6_IS_ADDR_V4MAPPED(addr)) return `::ffff:${inet_ntoa(be32dec(addr, 12))}`;
	let text = "";
	for (let i = 0; i < 8; i++) {
		if (i === best) {
			text += "::";
			i += best_len - 1;
			continue;
		}
		if (text !== "" && !text.endsWith(":")) text += ":";
		text += be16dec(addr, 2 * i).toString(16);
	}
	return text;
}

/** inet_ntop(3) for either family. */
export function inet_ntop(addr: number | Uint8Array): string {
	return typeof addr === "number" ? inet_ntoa(addr) : ip6_sprintf(addr);
}

/** Mask of a prefix length, host order. */
export function in_len2mask(len: number): number {
	return len === 0 ? 0 : (0xffffffff << (32 - len)) >>> 0;
}

/** Prefix length of a contiguous mask. @see in.c in_mask2len */
export function in_mask2len(mask: number): number {
	return Math.clz32(~mask);
}

export const in6addr_any: Uint8Array = new Uint8Array(16);
export const in6addr_loopback: Uint8Array = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/** ff02::1 */
export const in6addr_linklocal_allnodes: Uint8Array = new Uint8Array([
	0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
]);
/** ff02::2 */
export const in6addr_linklocal_allrouters: Uint8Array = new Uint8Array([
	0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
]);

export function IN6_ARE_ADDR_EQUAL(a: Uint8Array, b: Uint8Array): boolean {
	for (let i = 15; i >= 0; i--) if (a[i] !== b[i]) return false;
	return true;
}

/** Compares an address with 16 bytes inside a packet. */
export function in6_equal_at(a: Uint8Array, buf: Uint8Array, off: number): boolean {
	for (let i = 15; i >= 0; i--) if (a[i] !== buf[off + i]) return false;
	return true;
}

/** Copies 16 bytes of a packet into an address, without making a view. */
export function in6_copy(to: Uint8Array, to_off: number, from: Uint8Array, from_off: number): void {
	bcopy(from, from_off, to, to_off, 16);
}

export function IN6_IS_ADDR_UNSPECIFIED(a: Uint8Array): boolean {
	for (let i = 0; i < 16; i++) if (a[i] !== 0) return false;
	return true;
}

export function IN6_IS_ADDR_LOOPBACK(a: Uint8Array): boolean {
	for (let i = 0; i < 15; i++) if (a[i] !== 0) return false;
	return a[15] === 1;
}

export function IN6_IS_ADDR_V4MAPPED(a: Uint8Array): boolean {
	for (let i = 0; i < 10; i++) if (a[i] !== 0) return false;
	return a[10] === 0xff && a[11] === 0xff;
}

export function IN6_IS_ADDR_LINKLOCAL(a: Uint8Array): boolean {
	return a[0] === 0xfe && (a[1] & 0xc0) === 0x80;
}

export function IN6_IS_ADDR_MULTICAST(a: Uint8Array): boolean {
	return a[0] === 0xff;
}

/** Interface-local or link-local multicast: its meaning depends on the link, as a link-local address's does. */
export function IN6_IS_ADDR_MC_LINKLOCAL(a: Uint8Array): boolean {
	return a[0] === 0xff && (a[1] & 0x0f) === 2;
}

/** Must the zone be embedded in this address? @see netinet6/scope6_var.h IN6_IS_SCOPE_LINKLOCAL */
export function IN6_IS_SCOPE_EMBED(a: Uint8Array): boolean {
	return IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MC_LINKLOCAL(a) || (a[0] === 0xff && (a[1] & 0x0f) === 1);
}

/** Bytes of the mask of an IPv6 prefix length. @see in6.c in6_prefixlen2mask */
export function in6_prefixlen2mask(len: number): Uint8Array {
	const mask = new Uint8Array(16);
	for (let i = 0; i < 16; i++) {
		const bits = Math.min(8, Math.max(0, len - 8 * i));
		mask[i] = 0xff00 >> bits;
	}
	return mask;
}

/** Prefix length of a contiguous IPv6 mask. @see in6.c in6_mask2len */
export function in6_mask2len(mask: Uint8Array): number {
	let len = 0;
	for (let i = 0; i < 16; i++) {
		if (mask[i] === 0xff) {
			len += 8;
			continue;
		}
		return len + Math.clz32((~mask[i] & 0xff) << 24);
	}
	return len;
}
