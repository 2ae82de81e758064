/**
 * The IPv4 header, as offsets from its first byte, and the numbers in it.
 *
 * @see netinet/ip.h, netinet/ip_var.h
 */
import { in_get16 } from "./in.ts";

export const IPVERSION = 4;
export const IP_HDR_LEN = 20;
export const IP_MAXPACKET = 65535;
export const IP_MSS = 576;
export const IPDEFTTL = 64;
export const MAXTTL = 255;
/** what forwarding takes off */
export const IPTTLDEC = 1;

export const IP_VHL_OFF = 0;
export const IP_TOS_OFF = 1;
export const IP_LEN_OFF = 2;
export const IP_ID_OFF = 4;
export const IP_OFF_OFF = 6;
export const IP_TTL_OFF = 8;
export const IP_P_OFF = 9;
export const IP_SUM_OFF = 10;
export const IP_SRC_OFF = 12;
export const IP_DST_OFF = 16;

export const IP_RF = 0x8000;
export const IP_DF = 0x4000;
export const IP_MF = 0x2000;
export const IP_OFFMASK = 0x1fff;

export const IPOPT_EOL = 0;
export const IPOPT_NOP = 1;
export const IPOPT_LSRR = 131;
export const IPOPT_SSRR = 137;

// flags of ip_output
export const IP_FORWARDING = 0x1;
export const IP_RAWOUTPUT = 0x2;
export const IP_SENDONES = 0x4;
export const IP_SENDTOIF = 0x8;
export const IP_ROUTETOIF = 0x10;
export const IP_ALLOWBROADCAST = 0x20;
export const IP_NODEFAULTFLOWID = 0x40;

/** Length of the header whose first byte is at `off`. */
export function ip_hlen(buf: Uint8Array, off: number): number {
	return (buf[off] & 0x0f) << 2;
}

export function ip_total_length(buf: Uint8Array, off: number): number {
	return in_get16(buf, off + IP_LEN_OFF);
}
