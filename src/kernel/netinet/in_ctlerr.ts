/**
 * Which error number a socket gets for an ICMP message.
 *
 * @see ip_input.c inetctlerrmap
 */
import { ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOPROTOOPT, type Errno } from "../errno.ts";
import {
	PRC_HOSTDEAD,
	PRC_MSGSIZE,
	PRC_PARAMPROB,
	PRC_TIMXCEED_INTRANS,
	PRC_TIMXCEED_REASS,
	PRC_UNREACH_ADMIN_PROHIB,
	PRC_UNREACH_HOST,
	PRC_UNREACH_NET,
	PRC_UNREACH_PORT,
	PRC_UNREACH_PROTOCOL,
} from "./protosw_in.ts";

/** 0: the message is no error to sockets. */
export function inetctlerrmap(cmd: number): Errno {
	switch (cmd) {
		case PRC_MSGSIZE:
			return EMSGSIZE;
		case PRC_HOSTDEAD:
			return EHOSTDOWN;
		case PRC_UNREACH_NET:
			return ENETUNREACH;
		case PRC_UNREACH_HOST:
			return EHOSTUNREACH;
		case PRC_UNREACH_PROTOCOL:
		case PRC_UNREACH_PORT:
		case PRC_UNREACH_ADMIN_PROHIB:
			return ECONNREFUSED;
		case PRC_PARAMPROB:
			return ENOPROTOOPT;
		case PRC_TIMXCEED_INTRANS:
		case PRC_TIMXCEED_REASS:
			return EHOSTUNREACH;
		default:
			return 0;
	}
}
