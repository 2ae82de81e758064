/**
 * ICMP errors about TCP segments.
 *
 * @see tcp_subr.c tcp_ctlinput, tcp6_ctlinput
 */
import { ECONNREFUSED, EHOSTUNREACH } from "../errno.ts";
import type { mbuf } from "../mbuf/mbuf.ts";
import type { Blocking } from "../sched/thread.ts";
import { AF_INET6, IPPROTO_TCP, in_get16, in_get32, type sockaddr } from "./in.ts";
import { INP_DROPPED, INP_WUNLOCK, INPLOOKUP_WLOCKPCB, in_pcblookup, type inpcb } from "./in_pcb.ts";
import { in6_pcblookup } from "./in6_pcb.ts";
import { ip_hlen } from "./ip.ts";
import {
	ip6proto_register,
	ipproto_register,
	PRC_MSGSIZE,
	PRC_UNREACH_ADMIN_PROHIB,
	PRC_UNREACH_PORT,
	PRC_UNREACH_PROTOCOL,
} from "./protosw_in.ts";
import { SEQ_GEQ, SEQ_LT, TH_DPORT, TH_SEQ, TH_SPORT } from "./tcp.ts";
import { tcp_input } from "./tcp_input.ts";
import { tcp_drop_syn_sent, tcp_mtudisc, tcp_notify } from "./tcp_subr.ts";
import { intotcpcb, tcp_sysctl, V_tcbinfo } from "./tcp_var.ts";

/** The connection a quoted segment belongs to, locked; null if there is none. */
function* quoted_pcb(m: mbuf, ip: number, th: number, isipv6: boolean): Blocking<inpcb | null> {
	const buf = m.m_buf;
	const lport = in_get16(buf, th + TH_SPORT);
	const fport = in_get16(buf, th + TH_DPORT);
	if (isipv6) {
		const faddr = buf.subarray(ip + 24, ip + 40);
		const laddr = buf.subarray(ip + 8, ip + 24);
		return yield* in6_pcblookup(V_tcbinfo(), faddr, fport, laddr, lport, INPLOOKUP_WLOCKPCB, null);
	}
	const faddr = in_get32(buf, ip + 16);
	const laddr = in_get32(buf, ip + 12);
	return yield* in_pcblookup(V_tcbinfo(), faddr, fport, laddr, lport, INPLOOKUP_WLOCKPCB, null);
}

/**
 * Takes an error message about the segment quoted in `m`, if its sequence number lies in the connection's window, so that
 * a blind attacker cannot send them (RFC 5927).
 */
function* tcp_ctlinput(cmd: number, sa: sockaddr, m: mbuf | null, off: number): Blocking<void> {
	if (m === null) return;
	const isipv6 = sa.sa_family === AF_INET6;
	const buf = m.m_buf;
	const ip = m.m_data + off;
	const th = ip + (isipv6 ? 40 : ip_hlen(buf, ip));
	if (th + 8 > m.m_data + m.m_len) return;
	const inp = yield* quoted_pcb(m, ip, th, isipv6);
	if (inp === null) return;
	let left: inpcb | null = inp;
	if ((inp.inp_flags & INP_DROPPED) === 0 && inp.inp_socket !== null) {
		const tp = intotcpcb(inp);
		const seq = in_get32(buf, th + TH_SEQ) | 0;
		if (SEQ_GEQ(seq, tp.snd_una) && SEQ_LT(seq, tp.snd_max)) {
			if (cmd === PRC_MSGSIZE) {
				const mtu = isipv6 ? in_get32(buf, ip - 4) : in_get16(buf, ip - 2);
				if (mtu >= tcp_sysctl().minmss + 40) left = yield* tcp_mtudisc(inp, mtu);
			} else if (cmd === PRC_UNREACH_ADMIN_PROHIB || cmd === PRC_UNREACH_PORT || cmd === PRC_UNREACH_PROTOCOL) {
				left = yield* tcp_drop_syn_sent(inp, ECONNREFUSED);
			} else left = yield* tcp_notify(inp, EHOSTUNREACH);
		}
	}
	if (left !== null) yield* INP_WUNLOCK(left);
}

ipproto_register(IPPROTO_TCP, { pr_input: tcp_input, pr_ctlinput: tcp_ctlinput });
ip6proto_register(IPPROTO_TCP, { pr_input: tcp_input, pr_ctlinput: tcp_ctlinput });
