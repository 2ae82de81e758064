/**
 * Scope zones of IPv6 addresses. Link-local addresses mean something on one link only; inside the kernel the zone, an
 * interface index, stands in the second 16-bit word of such an address, and never leaves the host there.
 *
 * @see netinet6/scope6.c
 */
import type { ifnet } from "../ifnet/if_var.ts";
import { in_get16, in_put16, type sockaddr_in6 } from "./in.ts";

/** Whether the address at `off` has a zone: link-local, or interface-local or link-local multicast. */
export function in6_has_zone(buf: Uint8Array, off: number): boolean {
	const first = buf[off];
	if (first === 0xfe) return (buf[off + 1] & 0xc0) === 0x80;
	if (first !== 0xff) return false;
	const scope = buf[off + 1] & 0x0f;
	return scope === 1 || scope === 2;
}

/** The embedded zone, 0 if there is none. */
export function in6_getscope(buf: Uint8Array, off: number): number {
	return in6_has_zone(buf, off) ? in_get16(buf, off + 2) : 0;
}

/** Embeds the zone of an interface's link. */
export function in6_setscope(buf: Uint8Array, off: number, ifp: ifnet): void {
	if (in6_has_zone(buf, off)) in_put16(buf, off + 2, ifp.if_index);
}

/** Removes an embedded zone, as it must be before the address leaves the host. @returns whether there was one */
export function in6_clearscope(buf: Uint8Array, off: number): boolean {
	if (!in6_has_zone(buf, off) || in_get16(buf, off + 2) === 0) return false;
	in_put16(buf, off + 2, 0);
	return true;
}

/** A copy of a program's address with sin6_scope_id embedded. @see scope6.c sa6_embedscope */
export function sa6_embedscope(sin6: sockaddr_in6): Uint8Array {
	const addr = sin6.sin6_addr.slice();
	if (sin6.sin6_scope_id !== 0 && in6_has_zone(addr, 0)) in_put16(addr, 2, sin6.sin6_scope_id);
	return addr;
}

/** Moves the embedded zone to sin6_scope_id, for programs. @see scope6.c sa6_recoverscope */
export function sa6_recoverscope(sin6: sockaddr_in6): void {
	const zone = in6_getscope(sin6.sin6_addr, 0);
	if (zone === 0) return;
	sin6.sin6_scope_id = zone;
	in_put16(sin6.sin6_addr, 2, 0);
}
