/**
 * The IPv6 header, as offsets from its first byte, and the numbers in it.
 *
 * @see netinet/ip6.h, netinet6/ip6_var.h
 */
export const IPV6_VERSION = 0x60;
export const IPV6_VERSION_MASK = 0xf0;
export const IP6_HDR_LEN = 40;
export const IPV6_MMTU = 1280;
/** ICMPv6: type, code, checksum and one word */
export const ICMP6_HDR_LEN = 8;
export const IPV6_DEFHLIM = 64;
export const IPV6_MAXHLIM = 255;
export const IPV6_MAXPACKET = 65535;

export const IP6_FLOW_OFF = 0;
export const IP6_PLEN_OFF = 4;
export const IP6_NXT_OFF = 6;
export const IP6_HLIM_OFF = 7;
export const IP6_SRC_OFF = 8;
export const IP6_DST_OFF = 24;

/** next header, reserved, offset and flag, identification */
export const IP6_FRAG_LEN = 8;
export const IP6F_OFF_MASK = 0xfff8;
export const IP6F_MORE_FRAG = 0x1;

// flags of ip6_output
/** the source may be unspecified */
export const IPV6_UNSPECSRC = 0x01;
export const IPV6_FORWARDING = 0x02;
export const IPV6_MINMTU = 0x04;
