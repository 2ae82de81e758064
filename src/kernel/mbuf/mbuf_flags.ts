/**
 * Sizes, flags and type numbers of mbufs, with the values they have on a 64-bit machine: traces and tests print them.
 *
 * @see sys/mbuf.h, sys/param.h
 */

/** bytes of one mbuf, headers included */
export const MSIZE = 256;
/** data bytes in an mbuf without a packet header */
export const MLEN = 224;
/** data bytes in an mbuf with a packet header */
export const MHLEN = 168;
/** smallest amount worth a cluster */
export const MINCLSIZE = MHLEN + 1;
export const MCLBYTES = 2048;
export const MJUMPAGESIZE = 4096;
export const MJUM9BYTES = 9216;
export const MJUM16BYTES = 16384;

export const M_EXT = 0x1;
export const M_PKTHDR = 0x2;
export const M_EOR = 0x4;
export const M_RDONLY = 0x8;
export const M_BCAST = 0x10;
export const M_MCAST = 0x20;
export const M_PROMISC = 0x40;
export const M_VLANTAG = 0x80;
/** unmapped pages: sendfile and kernel TLS only, never set here */
export const M_EXTPG = 0x100;
export const M_NOFREE = 0x200;
export const M_TSTMP = 0x400;
export const M_TSTMP_HPREC = 0x800;
export const M_TSTMP_LRO = 0x1000;
export const M_PROTO1 = 0x2000;
export const M_PROTO2 = 0x4000;
export const M_PROTO3 = 0x8000;
export const M_PROTO4 = 0x10000;
export const M_PROTO5 = 0x20000;
export const M_PROTO6 = 0x40000;
export const M_PROTO7 = 0x80000;
export const M_PROTO8 = 0x100000;
export const M_PROTO9 = 0x200000;
export const M_PROTO10 = 0x400000;
export const M_PROTO11 = 0x800000;
/** meaning private to one layer: cleared when a packet crosses to the next */
export const M_PROTOFLAGS = 0xffe000;
/** kept when a packet header is copied or moved */
export const M_COPYFLAGS =
	M_PKTHDR |
	M_EOR |
	M_RDONLY |
	M_BCAST |
	M_MCAST |
	M_PROMISC |
	M_VLANTAG |
	M_TSTMP |
	M_TSTMP_HPREC |
	M_TSTMP_LRO |
	M_PROTOFLAGS;

/** netinet/in.h and net: the layers' own names for the private flags */
export const M_FASTFWD_OURS = M_PROTO1;
export const M_IP_NEXTHOP = M_PROTO2;
export const M_SKIP_FIREWALL = M_PROTO3;
export const M_IP_FRAG = M_PROTO4;

/** a free mbuf's type */
export const MT_NOTMBUF = 0;
export const MT_DATA = 1;
export const MT_HEADER = MT_DATA;
export const MT_SONAME = 8;
export const MT_CONTROL = 14;
export const MT_EXTCONTROL = 15;
export const MT_OOBDATA = 16;

export const EXT_CLUSTER = 1;
export const EXT_SFBUF = 2;
export const EXT_JUMBOP = 3;
export const EXT_JUMBO9 = 4;
export const EXT_JUMBO16 = 5;
/** mbuf and cluster from the packet zone, freed as one */
export const EXT_PACKET = 6;
export const EXT_MBUF = 7;
export const EXT_RXRING = 8;
export const EXT_NET_DRV = 252;
export const EXT_MOD_TYPE = 253;
export const EXT_DISPOSABLE = 254;
/** the reference count lives outside of any mbuf */
export const EXT_EXTREF = 255;

/** this mbuf holds the cluster's reference count */
export const EXT_FLAG_EMBREF = 0x1;

export const CSUM_IP = 0x1;
export const CSUM_IP_UDP = 0x2;
export const CSUM_IP_TCP = 0x4;
export const CSUM_IP_SCTP = 0x8;
export const CSUM_IP_TSO = 0x10;
export const CSUM_IP6_UDP = 0x200;
export const CSUM_IP6_TCP = 0x400;
export const CSUM_IP6_SCTP = 0x800;
export const CSUM_IP6_TSO = 0x1000;
export const CSUM_L3_CALC = 0x01000000;
export const CSUM_L3_VALID = 0x02000000;
export const CSUM_L4_CALC = 0x04000000;
export const CSUM_L4_VALID = 0x08000000;
/** contains merged segments */
export const CSUM_COALESCED = 0x40000000;

export const CSUM_IP_CHECKED = CSUM_L3_CALC;
export const CSUM_IP_VALID = CSUM_L3_VALID;
export const CSUM_DATA_VALID = CSUM_L4_VALID;
export const CSUM_PSEUDO_HDR = CSUM_L4_CALC;
export const CSUM_SCTP_VALID = CSUM_L4_VALID;
export const CSUM_DATA_VALID_IPV6 = CSUM_DATA_VALID;
export const CSUM_TCP = CSUM_IP_TCP;
export const CSUM_UDP = CSUM_IP_UDP;
export const CSUM_SCTP = CSUM_IP_SCTP;
export const CSUM_TSO = CSUM_IP_TSO | CSUM_IP6_TSO;
export const CSUM_TCP_IPV6 = CSUM_IP6_TCP;
export const CSUM_UDP_IPV6 = CSUM_IP6_UDP;
export const CSUM_SCTP_IPV6 = CSUM_IP6_SCTP;
export const CSUM_DELAY_DATA = CSUM_TCP | CSUM_UDP;
export const CSUM_DELAY_DATA_IPV6 = CSUM_TCP_IPV6 | CSUM_UDP_IPV6;
export const CSUM_DELAY_IP = CSUM_IP;

export const M_HASHTYPE_HASHPROP = 0x80;
export const M_HASHTYPE_NONE = 0;
export const M_HASHTYPE_RSS_IPV4 = M_HASHTYPE_HASHPROP | 1;
export const M_HASHTYPE_RSS_TCP_IPV4 = M_HASHTYPE_HASHPROP | 2;
export const M_HASHTYPE_RSS_IPV6 = M_HASHTYPE_HASHPROP | 3;
export const M_HASHTYPE_RSS_TCP_IPV6 = M_HASHTYPE_HASHPROP | 4;
export const M_HASHTYPE_RSS_UDP_IPV4 = M_HASHTYPE_HASHPROP | 7;
export const M_HASHTYPE_RSS_UDP_IPV6 = M_HASHTYPE_HASHPROP | 9;
export const M_HASHTYPE_OPAQUE = 63;
export const M_HASHTYPE_OPAQUE_HASH = M_HASHTYPE_HASHPROP | M_HASHTYPE_OPAQUE;

/** length meaning "all of it" for m_copym */
export const M_COPYALL = 1_000_000_000;

/** set in the id of a tag that stays with the mbuf when it passes an interface */
export const MTAG_PERSISTENT = 0x800;
/** cookie of tags with a public id */
export const MTAG_ABI_COMPAT = 0;
export const PACKET_TAG_NONE = 0;
export const PACKET_TAG_GIF = 8;
export const PACKET_TAG_GRE = 9;
export const PACKET_TAG_ENCAP = 11;
export const PACKET_TAG_IPV6_INPUT = 14;
export const PACKET_TAG_IPFORWARD = 18;
export const PACKET_TAG_MACLABEL = 19 | MTAG_PERSISTENT;
export const PACKET_TAG_PF = 21 | MTAG_PERSISTENT;
export const PACKET_TAG_RTSOCKFAM = 25;
export const PACKET_TAG_IPOPTIONS = 27;
export const PACKET_TAG_ND_OUTGOING = 30;
