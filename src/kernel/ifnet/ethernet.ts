/** Sizes, types and addresses of Ethernet, and ARP's numbers. @see net/ethernet.h, net/if_arp.h */
import { bcopy } from "../../machine/bcopy.ts";

export const ETHER_ADDR_LEN = 6;
export const ETHER_HDR_LEN = 14;
export const ETHER_VLAN_HDR_LEN = 18;
export const ETHERMTU = 1500;

export const ETHERTYPE_IP = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_QINQ = 0x88a8;

export const ARPHRD_ETHER = 1;
export const ARPOP_REQUEST = 1;
export const ARPOP_REPLY = 2;
/** an ARP packet for Ethernet and IPv4 */
export const ARP_LEN = 28;

export const etherbroadcastaddr: Uint8Array = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

/** Is the address at `off` a group's? */
export function ETHER_IS_MULTICAST(buf: Uint8Array, off: number): boolean {
	return (buf[off] & 1) !== 0;
}

export function ETHER_IS_BROADCAST(buf: Uint8Array, off: number): boolean {
	for (let i = 0; i < ETHER_ADDR_LEN; i++) if (buf[off + i] !== 0xff) return false;
	return true;
}

/** Compares an address with six bytes of a packet. */
export function ether_equal(lladdr: Uint8Array, buf: Uint8Array, off: number): boolean {
	for (let i = 0; i < ETHER_ADDR_LEN; i++) if (lladdr[i] !== buf[off + i]) return false;
	return true;
}

/** Copies six bytes. */
export function ether_copy(to: Uint8Array, to_off: number, from: Uint8Array, from_off: number): void {
	bcopy(from, from_off, to, to_off, ETHER_ADDR_LEN);
}

/** Writes the Ethernet address of an IPv4 group. */
export function ETHER_MAP_IP_MULTICAST(addr: number, buf: Uint8Array, off: number): void {
	buf[off] = 0x01;
	buf[off + 1] = 0x00;
	buf[off + 2] = 0x5e;
	buf[off + 3] = (addr >>> 16) & 0x7f;
	buf[off + 4] = addr >>> 8;
	buf[off + 5] = addr;
}

/** Writes the Ethernet address of an IPv6 group. */
export function ETHER_MAP_IPV6_MULTICAST(addr: Uint8Array, buf: Uint8Array, off: number): void {
	buf[off] = 0x33;
	buf[off + 1] = 0x33;
	for (let i = 0; i < 4; i++) buf[off + 2 + i] = addr[12 + i];
}

/** Text of an Ethernet address. */
export function ether_sprintf(lladdr: Uint8Array): string {
	return Array.from(lladdr, (b) => b.toString(16).padStart(2, "0")).join(":");
}
