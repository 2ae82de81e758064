/**
 * The checksum engine of a network card: what it fills in before a frame leaves, and what it says of one that has arrived. It takes no
 * time of the CPU's. In cost-only mode it looks at payload as little as in_cksum.ts does.
 */
import {
	CSUM_DATA_VALID,
	CSUM_DELAY_DATA,
	CSUM_DELAY_DATA_IPV6,
	CSUM_IP,
	CSUM_IP_CHECKED,
	CSUM_IP_UDP,
	CSUM_IP_VALID,
	CSUM_IP6_UDP,
	CSUM_PSEUDO_HDR,
} from "../mbuf/mbuf.ts";
import { IPPROTO_TCP, IPPROTO_UDP, in_get16, in_get32, in_put16 } from "../netinet/in.ts";
import { in_addword, in_pseudo, in_sum_payload, in6_cksum_pseudo } from "../netinet/in_cksum.ts";
import { ETHER_HDR_LEN, ETHERTYPE_IP, ETHERTYPE_IPV6 } from "./ethernet.ts";

const IP = ETHER_HDR_LEN;
const IPV6_HDR_LEN = 40;
/** more fragments, or an offset: the transport header is not here, or not all it covers */
const IP_FRAGMENT = 0x3fff;

/** Fills in the checksums that `csum_flags` leaves to the card. The transport's field has the sum of the pseudo header. */
export function csum_fill(frame: Uint8Array, csum_flags: number, csum_data: number): void {
	if ((csum_flags & CSUM_IP) !== 0) {
		const hlen = (frame[IP] & 0x0f) << 2;
		in_put16(frame, IP + 10, 0);
		in_put16(frame, IP + 10, ~(in_sum_payload(frame, IP, hlen) ?? 0) & 0xffff);
	}
	if ((csum_flags & (CSUM_DELAY_DATA | CSUM_DELAY_DATA_IPV6)) === 0) return;
	const v6 = (csum_flags & CSUM_DELAY_DATA_IPV6) !== 0;
	const at = IP + (v6 ? IPV6_HDR_LEN : (frame[IP] & 0x0f) << 2);
	const end = IP + (v6 ? IPV6_HDR_LEN + in_get16(frame, IP + 4) : in_get16(frame, IP + 2));
	const sum = in_sum_payload(frame, at, end - at);
	if (sum === null) return;
	let csum = ~sum & 0xffff;
	if (csum === 0 && (csum_flags & (CSUM_IP_UDP | CSUM_IP6_UDP)) !== 0) csum = 0xffff;
	in_put16(frame, at + csum_data, csum);
}

/** What the card says of a frame's checksums, CSUM_x: nothing of what is wrong or it does not know. */
export function csum_check(frame: Uint8Array): number {
	switch (in_get16(frame, 12)) {
		case ETHERTYPE_IP: {
			const hlen = (frame[IP] & 0x0f) << 2;
			const len = in_get16(frame, IP + 2);
			if (hlen < 20 || len < hlen || IP + len > frame.length) return 0;
			if (in_sum_payload(frame, IP, hlen) !== 0xffff) return 0;
			const flags = CSUM_IP_CHECKED | CSUM_IP_VALID;
			if ((in_get16(frame, IP + 6) & IP_FRAGMENT) !== 0) return flags;
			const proto = frame[IP + 9];
			const pseudo = in_pseudo(in_get32(frame, IP + 12), in_get32(frame, IP + 16), proto + len - hlen);
			return flags | transport(frame, IP + hlen, IP + len, proto, pseudo);
		}
		case ETHERTYPE_IPV6: {
			const plen = in_get16(frame, IP + 4);
			if (IP + IPV6_HDR_LEN + plen > frame.length) return 0;
			const proto = frame[IP + 6];
			const pseudo = in6_cksum_pseudo(frame, IP, plen, proto, 0);
			return transport(frame, IP + IPV6_HDR_LEN, IP + IPV6_HDR_LEN + plen, proto, pseudo);
		}
		default:
			return 0;
	}
}

function transport(frame: Uint8Array, at: number, end: number, proto: number, pseudo: number): number {
	if (proto !== IPPROTO_TCP && proto !== IPPROTO_UDP) return 0;
	// a datagram without a checksum is not said to have a right one
	if (proto === IPPROTO_UDP && in_get16(frame, at + 6) === 0) return 0;
	const sum = in_sum_payload(frame, at, end - at);
	return sum === null || in_addword(sum, pseudo) === 0xffff ? CSUM_DATA_VALID | CSUM_PSEUDO_HDR : 0;
}
