import { expect, test } from "vitest";
import { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, EWOULDBLOCK } from "../../../src/kernel/errno.ts";
import { m_freem, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import {
	AF_INET,
	AF_INET6,
	INADDR_ANY,
	IP_TTL,
	IPPROTO_ICMP,
	IPPROTO_ICMPV6,
	IPPROTO_IP,
	IPPROTO_IPV6,
	IPV6_UNICAST_HOPS,
	in_get16,
	in_get32,
	in_put16,
	sockaddr_in,
	sockaddr_in6,
} from "../../../src/kernel/netinet/in.ts";
import { in_sum } from "../../../src/kernel/netinet/in_cksum.ts";
import { V_icmpstat } from "../../../src/kernel/netinet/ip_icmp.ts";
import { V_ip, V_ipstat } from "../../../src/kernel/netinet/ip_var.ts";
import { V_ip6 } from "../../../src/kernel/netinet/ip6_var.ts";
import { rt_add, rt_delete } from "../../../src/kernel/route/route.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { SOCK_RAW, type socket } from "../../../src/kernel/socket/socket.ts";
import { SOPT_SET, sockopt } from "../../../src/kernel/socket/sockopt.ts";
import { soclose, soconnect, socreate } from "../../../src/kernel/socket/uipc_socket.ts";
import { sosetopt } from "../../../src/kernel/socket/uipc_sockopt.ts";
import { type Host, ifconfig, ip4, ip6, on, Pair, payload, receive, send, udp } from "./hosts.ts";

function* raw(host: Host, family: number, protocol: number): Blocking<socket> {
	return yield* on(host, function* () {
		const so = yield* socreate(family, SOCK_RAW, protocol, host.cred, curthread);
		if (typeof so === "number") throw new Error(`socreate: ${so}`);
		return so;
	});
}

/** An echo request with `length` bytes of data. */
function echo(type: number, id: number, seq: number, length: number, sum: boolean): mbuf {
	const m = payload(8 + length);
	const { m_buf: buf, m_data: at } = m;
	buf.set([type, 0, 0, 0], at);
	in_put16(buf, at + 4, id);
	in_put16(buf, at + 6, seq);
	if (sum) in_put16(buf, at + 2, ~in_sum(buf, at, 8 + length) & 0xffff);
	return m;
}

function withPair(body: (a: Host, b: Host) => Blocking<void>): void {
	const pair = new Pair();
	pair.program(function* () {
		yield* body(pair.hosts[0], pair.hosts[1]);
		yield* pause("settle", 50);
	});
	expect(uma_leaks()).toEqual([]);
}

test("an echo request is answered, over the wire and to ourselves", () => {
	withPair(function* (a) {
		const so = yield* raw(a, AF_INET, IPPROTO_ICMP);
		for (const address of ["10.0.0.2", "10.0.0.1", "127.0.0.1"]) {
			expect(yield* send(so, new sockaddr_in(ip4(address)), echo(8, 77, 1, 56, true))).toBe(0);
			for (;;) {
				const r = yield* receive(so);
				if (typeof r === "number") throw new Error(`receive: ${r}`);
				// our own request also comes by when we ping ourselves, before the answer
				if (r.bytes[20] === 8) continue;
				expect(r.bytes.length).toBe(20 + 8 + 56);
				expect(in_get32(r.bytes, 12)).toBe(ip4(address));
				expect([r.bytes[20], in_get16(r.bytes, 24), in_get16(r.bytes, 26)]).toEqual([0, 77, 1]);
				break;
			}
		}
		yield* soclose(so);
	});
});

test("IPv6: an echo request is answered", () => {
	withPair(function* (a) {
		const so = yield* raw(a, AF_INET6, IPPROTO_ICMPV6);
		expect(yield* send(so, new sockaddr_in6(ip6("2001:db8::2")), echo(128, 78, 2, 56, false))).toBe(0);
		for (;;) {
			const r = yield* receive(so);
			if (typeof r === "number") throw new Error(`receive: ${r}`);
			if (r.bytes[0] !== 129) continue;
			expect(r.bytes.length).toBe(64);
			expect([in_get16(r.bytes, 4), in_get16(r.bytes, 6)]).toEqual([78, 2]);
			break;
		}
		yield* soclose(so);
	});
});

test("a router forwards, takes off the TTL, and says why when it does not", () => {
	withPair(function* (a, b) {
		yield* on(b, function* () {
			V_ip().ipforwarding = 1;
			expect(yield* ifconfig(b.ifp, "192.0.2.1", 24)).toBe(0);
		});
		yield* on(a, function* () {
			expect(yield* ifconfig(a.ifp, "192.0.2.2", 32)).toBe(0);
			const gateway = new sockaddr_in(ip4("10.0.0.2"));
			expect(yield* rt_add(0, new sockaddr_in(ip4("198.51.100.0")), 24, gateway, null, null)).toBe(0);
			expect(yield* rt_add(0, new sockaddr_in(ip4("203.0.113.0")), 24, gateway, null, null)).toBe(0);
		});
		// b sends what is for 203.0.113.0/24 straight back, so that it circles until its TTL is used up
		yield* on(b, function* () {
			expect(
				yield* rt_add(0, new sockaddr_in(ip4("203.0.113.0")), 24, new sockaddr_in(ip4("10.0.0.1")), null, null),
			).toBe(0);
		});
		yield* on(a, function* () {
			V_ip().ipforwarding = 1;
		});
		const so = yield* raw(a, AF_INET, IPPROTO_ICMP);
		const reply = function* (): Blocking<number[]> {
			const r = yield* receive(so);
			if (typeof r === "number") throw new Error(`receive: ${r}`);
			return [r.bytes[20], r.bytes[21]];
		};
		expect(yield* send(so, new sockaddr_in(ip4("203.0.113.5")), echo(8, 1, 1, 8, true))).toBe(0);
		expect(yield* reply()).toEqual([11, 0]);
		yield* on(b, function* () {
			expect(V_ipstat().ips_forward).toBeGreaterThanOrEqual(31);
		});
		// no route there
		expect(yield* send(so, new sockaddr_in(ip4("198.51.100.9")), echo(8, 1, 2, 8, true))).toBe(0);
		expect(yield* reply()).toEqual([3, 1]);
		yield* soclose(so);
	});
});

test("errors reach a connected UDP socket: no way, too big, TTL", () => {
	withPair(function* (a, b) {
		yield* on(b, function* () {
			V_ip().ipforwarding = 1;
		});
		yield* on(a, function* () {
			expect(
				yield* rt_add(0, new sockaddr_in(ip4("198.51.100.0")), 24, new sockaddr_in(ip4("10.0.0.2")), null, null),
			).toBe(0);
		});
		const so = yield* udp(a, new sockaddr_in(INADDR_ANY, 0));
		yield* on(a, function* () {
			expect(yield* soconnect(so, new sockaddr_in(ip4("198.51.100.1"), 9), curthread)).toBe(0);
		});
		yield* send(so, null, payload(1));
		expect(yield* receive(so)).toBe(ENETUNREACH);
		yield* on(a, function* () {
			expect(yield* sosetopt(so, new sockopt(SOPT_SET, IPPROTO_IP, IP_TTL, 1))).toBe(0);
		});
		yield* send(so, null, payload(1));
		expect(yield* receive(so)).toBe(EHOSTUNREACH);
		yield* on(a, function* () {
			expect(yield* rt_delete(0, new sockaddr_in(ip4("198.51.100.0")), 24)).toBe(0);
		});
		expect(yield* send(so, null, payload(1))).toBe(EHOSTUNREACH);
		yield* soclose(so);
	});
});

test("IPv6: a router says that a packet is too big, or has gone too far", () => {
	withPair(function* (a, b) {
		yield* on(b, function* () {
			V_ip6().ip6_forwarding = 1;
			expect(
				yield* rt_add(0, new sockaddr_in6(ip6("2001:db8:1::")), 48, new sockaddr_in6(ip6("2001:db8::1")), null, null),
			).toBe(0);
			b.ifp.if_mtu = 1400;
		});
		yield* on(a, function* () {
			expect(
				yield* rt_add(0, new sockaddr_in6(ip6("2001:db8:1::")), 48, new sockaddr_in6(ip6("2001:db8::2")), null, null),
			).toBe(0);
		});
		const so = yield* udp(a, new sockaddr_in6(new Uint8Array(16), 0));
		yield* on(a, function* () {
			expect(yield* soconnect(so, new sockaddr_in6(ip6("2001:db8:1::1"), 9), curthread)).toBe(0);
		});
		yield* send(so, null, payload(1452));
		expect(yield* receive(so)).toBe(EMSGSIZE);
		yield* on(a, function* () {
			expect(yield* sosetopt(so, new sockopt(SOPT_SET, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1))).toBe(0);
		});
		yield* send(so, null, payload(10));
		yield* pause("wait", 5);
		expect(yield* receive(so, false)).toBe(EWOULDBLOCK);
		yield* soclose(so);
	});
});

test("errors are limited to 200 a second", () => {
	withPair(function* (a, b) {
		const so = yield* udp(a, new sockaddr_in(INADDR_ANY, 5));
		for (let i = 0; i < 300; i++) {
			yield* send(so, new sockaddr_in(ip4("10.0.0.2"), 9), payload(1));
			if (i % 50 === 0) yield* pause("wire", 1);
		}
		yield* pause("wire", 5);
		yield* on(b, function* () {
			expect(V_icmpstat().icps_limited).toBe(100);
		});
		yield* soclose(so);
	});
});

test("nobody answers for an address nobody has, and the packets that wait for it are bounded", () => {
	withPair(function* (a) {
		const so = yield* udp(a, new sockaddr_in6(new Uint8Array(16), 0));
		yield* on(a, function* () {
			expect(yield* soconnect(so, new sockaddr_in6(ip6("2001:db8::99"), 9), curthread)).toBe(0);
		});
		for (let i = 0; i < 40; i++) expect(yield* send(so, null, payload(1))).toBe(0);
		yield* pause("nd6", 5000);
		const r = yield* receive(so, false);
		expect([EHOSTUNREACH, ECONNREFUSED, EWOULDBLOCK]).toContain(r);
		yield* soclose(so);
		m_freem(null);
	});
});
