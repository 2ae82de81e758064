/**
 * Control messages as they lie in an MT_CONTROL mbuf: a 12-byte header in host (little-endian) order, padded to 16, then the
 * data, padded to 8.
 *
 * @see sys/socket.h CMSG_x; uipc_sockbuf.c sbcreatecontrol
 */

import { bcopy, bzero } from "../../machine/bcopy.ts";
import { le32dec, le32enc } from "../endian.ts";
import { M_NOWAIT, MCLBYTES, MLEN, MT_CONTROL, m_clget, m_freem, m_get, type mbuf } from "../mbuf/mbuf.ts";

/** size of the header with its padding: where the data begins */
export const CMSG_HDR = 16;

/** What cmsg_len says for `len` data bytes. */
export function CMSG_LEN(len: number): number {
	return CMSG_HDR + len;
}

/** Room a message with `len` data bytes takes. */
export function CMSG_SPACE(len: number): number {
	return CMSG_HDR + ((len + 7) & ~7);
}

export function cmsg_len(buf: Uint8Array, off: number): number {
	return le32dec(buf, off);
}

export function cmsg_level(buf: Uint8Array, off: number): number {
	return le32dec(buf, off + 4);
}

export function cmsg_type(buf: Uint8Array, off: number): number {
	return le32dec(buf, off + 8);
}

/**
 * Makes a chain of one mbuf holding one control message, without sleeping for memory.
 *
 * @returns null when there is no memory, or the data would not fit a cluster
 * @see uipc_sockbuf.c sbcreatecontrol
 */
export function sbcreatecontrol(p: Uint8Array | null, size: number, type: number, level: number): mbuf | null {
	const space = CMSG_SPACE(size);
	if (space > MCLBYTES) return null;
	const m = m_get(M_NOWAIT, MT_CONTROL);
	if (m === null) return null;
	if (space > MLEN && !m_clget(m, M_NOWAIT)) {
		m_freem(m);
		return null;
	}
	const buf = m.m_buf;
	const at = m.m_data;
	bzero(buf, at, space);
	le32enc(buf, at, CMSG_LEN(size));
	le32enc(buf, at + 4, level);
	le32enc(buf, at + 8, type);
	if (p !== null) bcopy(p, 0, buf, at + CMSG_HDR, size);
	m.m_len = space;
	return m;
}
