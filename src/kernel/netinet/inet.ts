/**
 * The Internet protocols: importing this puts IPv4 and IPv6 with UDP, ICMP and raw sockets into a kernel. TCP adds itself
 * with a module of its own.
 *
 * @see in_proto.c, netinet6/in6_proto.c
 */
import "./icmp6.ts";
import "./in_control.ts";
import "./in6_control.ts";
import "./ip_icmp.ts";
import "./ip_input.ts";
import "./ip6_input.ts";
import "./nd6.ts";
import "./raw_ip.ts";
import "./raw_ip6.ts";
import "./udp_usrreq.ts";
import "./udp6_usrreq.ts";
