import { expect, test } from "vitest";
import {
	EADDRINUSE,
	EADDRNOTAVAIL,
	EBUSY,
	ECONNREFUSED,
	EHOSTUNREACH,
	EINVAL,
	EISCONN,
	EMSGSIZE,
	EWOULDBLOCK,
} from "../../../src/kernel/errno.ts";
import { allprison, prison_remove } from "../../../src/kernel/jail/jail.ts";
import { crfree } from "../../../src/kernel/jail/ucred.ts";
import { lock_profiles } from "../../../src/kernel/lock/lock.ts";
import { m_copydata, m_freem, m_length, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import {
	AF_INET,
	INADDR_ANY,
	IP_RECVDSTADDR,
	IP_RECVTTL,
	IP_SENDSRCADDR,
	IPPROTO_IP,
	IPPROTO_IPV6,
	IPV6_PKTINFO,
	in_get32,
	in_put32,
	type sockaddr,
	sockaddr_in,
	sockaddr_in6,
} from "../../../src/kernel/netinet/in.ts";
import { V_ipstat } from "../../../src/kernel/netinet/ip_var.ts";
import { udp_set_kernel_tunneling } from "../../../src/kernel/netinet/udp_usrreq.ts";
import { V_udpstat } from "../../../src/kernel/netinet/udp_var.ts";
import { pause } from "../../../src/kernel/sched/sleepqueue.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { CMSG_HDR, cmsg_type, sbcreatecontrol } from "../../../src/kernel/socket/cmsg.ts";
import { SO_REUSEPORT, SOCK_DGRAM, SOL_SOCKET, type socket } from "../../../src/kernel/socket/socket.ts";
import { SOPT_SET, sockopt } from "../../../src/kernel/socket/sockopt.ts";
import { sobind, soclose, soconnect, socreate } from "../../../src/kernel/socket/uipc_socket.ts";
import { sosetopt } from "../../../src/kernel/socket/uipc_sockopt.ts";
import {
	type Host,
	ifconfig,
	ip4,
	ip6,
	isPayload,
	on,
	Pair,
	payload,
	type Received,
	receive,
	send,
	udp,
} from "./hosts.ts";

function got(r: Received | number): Received {
	if (typeof r === "number") throw new Error(`receive: error ${r}`);
	return r;
}

/** Runs a program with two hosts and a datagram socket on each, and sees to it that nothing is left behind. */
function withPair(
	body: (a: Host, b: Host, pair: Pair) => Blocking<void>,
	options: ConstructorParameters<typeof Pair>[0] = {},
): void {
	const pair = new Pair(options);
	pair.program(function* () {
		yield* body(pair.hosts[0], pair.hosts[1], pair);
		// what waits for the epoch, and for neighbours
		yield* pause("settle", 50);
	});
	expect(uma_leaks()).toEqual([]);
}

const releases = [{ release: "13.0" as const }, { release: "14.0" as const }];

test.each(releases)("a datagram is echoed over lo0 and over an epair ($release)", (options) => {
	withPair(function* (a, b) {
		for (const [from, to, address] of [
			[a, a, "127.0.0.1"],
			[a, a, "10.0.0.1"],
			[a, b, "10.0.0.2"],
		] as const) {
			const server = yield* udp(to, new sockaddr_in(INADDR_ANY, 7));
			const client = yield* udp(from, new sockaddr_in(INADDR_ANY, 5000));
			expect(yield* send(client, new sockaddr_in(ip4(address), 7), payload(1000))).toBe(0);
			const asked = got(yield* receive(server));
			expect(asked.bytes.length).toBe(1000);
			expect(isPayload(asked.bytes)).toBe(true);
			const peer = asked.from as sockaddr_in;
			expect(peer.sin_port).toBe(5000);
			expect(yield* send(server, peer, payload(10))).toBe(0);
			const answer = got(yield* receive(client));
			expect(answer.bytes.length).toBe(10);
			expect((answer.from as sockaddr_in).sin_addr).toBe(ip4(address));
			yield* soclose(server);
			yield* soclose(client);
		}
	}, options);
});

test("a datagram larger than the MTU goes in fragments and arrives whole; with a broken one it does not arrive", () => {
	withPair(function* (a, b) {
		const server = yield* udp(b, new sockaddr_in(INADDR_ANY, 7));
		const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 0));
		for (const length of [1473, 4000, 9000]) {
			expect(yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 7), payload(length))).toBe(0);
			const r = got(yield* receive(server));
			expect(r.bytes.length).toBe(length);
			expect(isPayload(r.bytes)).toBe(true);
		}
		yield* on(a, function* () {
			expect(V_ipstat().ips_fragmented).toBe(3);
			expect(V_ipstat().ips_ofragments).toBe(1 + 2 + 6);
		});
		yield* on(b, function* () {
			expect(V_ipstat().ips_fragments).toBe(2 + 3 + 7);
			expect(V_ipstat().ips_reassembled).toBe(3);
		});
		// IP_DONTFRAG
		yield* on(a, function* () {
			expect(yield* sosetopt(client, new sockopt(SOPT_SET, IPPROTO_IP, 67, 1))).toBe(0);
		});
		expect(yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 7), payload(4000))).toBe(EMSGSIZE);
		expect(yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 7), payload(9217))).toBe(EMSGSIZE);
		yield* soclose(server);
		yield* soclose(client);
	});
});

test("a closed port answers with an ICMP error, which a connected socket is told of", () => {
	withPair(function* (a, b) {
		const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 0));
		yield* on(a, function* () {
			expect(yield* soconnect(client, new sockaddr_in(ip4("10.0.0.2"), 4444), curthread)).toBe(0);
		});
		expect(yield* send(client, null, payload(10))).toBe(0);
		expect(yield* receive(client)).toBe(ECONNREFUSED);
		yield* on(b, function* () {
			expect(V_udpstat().udps_noport).toBe(1);
		});
		expect(yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 1), payload(1))).toBe(EISCONN);
		yield* soclose(client);
	});
});

test("there is no way to a network without a route", () => {
	withPair(function* (a) {
		const client = yield* udp(a, new sockaddr_in(ip4("10.0.0.1"), 99));
		expect(yield* send(client, new sockaddr_in(ip4("192.0.2.1"), 7), payload(10))).toBe(EHOSTUNREACH);
		yield* soclose(client);
	});
});

function* tunnel(so: socket, seen: { m: Uint8Array; off: number; sa: string[] }[], answer: boolean): Blocking<number> {
	return yield* udp_set_kernel_tunneling(
		so,
		function* (m: mbuf, off: number, inp, sa: readonly sockaddr[], ctx: string) {
			expect(inp).toBe(so.so_pcb);
			expect(ctx).toBe("context");
			const bytes = new Uint8Array(m_length(m));
			m_copydata(m, 0, bytes.length, bytes);
			const name = (s: sockaddr): string => {
				const sin = s as sockaddr_in;
				return sin.sa_family === AF_INET ? `${sin.sin_addr}:${sin.sin_port}` : "v6";
			};
			seen.push({ m: bytes, off, sa: sa.map(name) });
			if (answer) m_freem(m);
			return answer;
		},
		null,
		"context",
	);
}

test("a tunnel's callback gets the whole packet, the offset of the UDP header, and both addresses", () => {
	withPair(function* (a, b) {
		const server = yield* udp(b, new sockaddr_in(INADDR_ANY, 51820));
		const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 5000));
		const seen: { m: Uint8Array; off: number; sa: string[] }[] = [];
		expect(yield* tunnel(server, seen, true)).toBe(0);
		expect(yield* tunnel(server, seen, true)).toBe(EBUSY);
		yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 51820), payload(100));
		yield* pause("wait", 5);
		expect(seen.length).toBe(1);
		const [{ m, off, sa }] = seen;
		expect(off).toBe(20);
		expect(m.length).toBe(128);
		expect(isPayload(m.slice(28))).toBe(true);
		expect(sa).toEqual([`${ip4("10.0.0.1")}:5000`, `${ip4("10.0.0.2")}:51820`]);
		expect(yield* receive(server, false)).toBe(EWOULDBLOCK);
		yield* soclose(server);
		yield* soclose(client);
	});
});

test("a tunnel's callback that does not want a packet leaves it to the socket", () => {
	withPair(function* (a, b) {
		const server = yield* udp(b, new sockaddr_in(INADDR_ANY, 51820));
		const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 5000));
		expect(yield* tunnel(server, [], false)).toBe(0);
		yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 51820), payload(100));
		expect(got(yield* receive(server)).bytes.length).toBe(100);
		yield* soclose(server);
		yield* soclose(client);
	});
});

function srcaddr(address: string): mbuf {
	const bytes = new Uint8Array(4);
	in_put32(bytes, 0, ip4(address));
	return sbcreatecontrol(bytes, 4, IP_SENDSRCADDR, IPPROTO_IP) as mbuf;
}

test.each(releases)("IP_SENDSRCADDR chooses the source of one datagram ($release)", (options) => {
	withPair(function* (a, b) {
		yield* on(a, function* () {
			expect(yield* ifconfig(a.ifp, "10.0.0.77", 32)).toBe(0);
		});
		const server = yield* udp(b, new sockaddr_in(INADDR_ANY, 7));
		const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 5000));
		const to = new sockaddr_in(ip4("10.0.0.2"), 7);
		expect(yield* send(client, to, payload(5), srcaddr("10.0.0.77"))).toBe(0);
		expect((got(yield* receive(server)).from as sockaddr_in).sin_addr).toBe(ip4("10.0.0.77"));
		// and only of one
		expect(yield* send(client, to, payload(5))).toBe(0);
		expect((got(yield* receive(server)).from as sockaddr_in).sin_addr).toBe(ip4("10.0.0.1"));
		// an address that is not ours, or none at all
		expect(yield* send(client, to, payload(5), srcaddr("10.0.0.78"))).toBe(EADDRNOTAVAIL);
		expect(yield* send(client, to, payload(5), srcaddr("0.0.0.0"))).toBe(EINVAL);
		const taken = lock_profiles().find((p) => p.name === "udp_hash")?.acquisitions ?? 0;
		yield* send(client, to, payload(5), srcaddr("10.0.0.77"));
		const after = lock_profiles().find((p) => p.name === "udp_hash")?.acquisitions ?? 0;
		expect(after - taken).toBe(options.release === "14.0" ? 2 : 0);
		yield* soclose(server);
		yield* soclose(client);
	}, options);
});

test("a receiver may ask for a datagram's destination and TTL", () => {
	withPair(function* (a, b) {
		const server = yield* udp(b, new sockaddr_in(INADDR_ANY, 7));
		const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 0));
		yield* on(b, function* () {
			for (const name of [IP_RECVDSTADDR, IP_RECVTTL])
				expect(yield* sosetopt(server, new sockopt(SOPT_SET, IPPROTO_IP, name, 1))).toBe(0);
		});
		yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 7), payload(5));
		const { control } = got(yield* receive(server));
		const bytes = control as Uint8Array;
		expect(cmsg_type(bytes, 0)).toBe(IP_RECVDSTADDR);
		expect(in_get32(bytes, CMSG_HDR)).toBe(ip4("10.0.0.2"));
		yield* soclose(server);
		yield* soclose(client);
	});
});

test("packets find the exact connection first, then the bound address, then the wildcard", () => {
	withPair(function* (a, b) {
		const make = function* (address: string): Blocking<socket> {
			return yield* on(b, function* () {
				const so = yield* socreate(AF_INET, SOCK_DGRAM, 0, b.cred, curthread);
				if (typeof so === "number") throw new Error("socreate");
				yield* sosetopt(so, new sockopt(SOPT_SET, SOL_SOCKET, SO_REUSEPORT, 1));
				expect(yield* sobind(so, new sockaddr_in(ip4(address), 7), curthread)).toBe(0);
				return so;
			});
		};
		const wild = yield* make("0.0.0.0");
		const bound = yield* make("10.0.0.2");
		const connected = yield* make("10.0.0.2");
		yield* on(b, function* () {
			expect(yield* soconnect(connected, new sockaddr_in(ip4("10.0.0.1"), 5000), curthread)).toBe(0);
			expect(yield* ifconfig(b.ifp, "10.0.0.3", 32)).toBe(0);
		});
		const first = yield* udp(a, new sockaddr_in(INADDR_ANY, 5000));
		const second = yield* udp(a, new sockaddr_in(INADDR_ANY, 5001));
		yield* send(first, new sockaddr_in(ip4("10.0.0.2"), 7), payload(1));
		yield* send(second, new sockaddr_in(ip4("10.0.0.2"), 7), payload(2));
		yield* send(second, new sockaddr_in(ip4("10.0.0.3"), 7), payload(3));
		expect(got(yield* receive(connected)).bytes.length).toBe(1);
		expect(got(yield* receive(bound)).bytes.length).toBe(2);
		expect(got(yield* receive(wild)).bytes.length).toBe(3);
		for (const so of [wild, bound, connected, first, second]) yield* soclose(so);
	});
});

test("a port is taken until its socket closes", () => {
	withPair(function* (a) {
		const so = yield* udp(a, new sockaddr_in(INADDR_ANY, 7));
		yield* on(a, function* () {
			const other = yield* socreate(AF_INET, SOCK_DGRAM, 0, a.cred, curthread);
			if (typeof other === "number") throw new Error("socreate");
			expect(yield* sobind(other, new sockaddr_in(INADDR_ANY, 7), curthread)).toBe(EADDRINUSE);
			expect(yield* sobind(other, new sockaddr_in(ip4("192.0.2.1"), 7), curthread)).toBe(EADDRNOTAVAIL);
			yield* soclose(so);
			expect(yield* sobind(other, new sockaddr_in(INADDR_ANY, 7), curthread)).toBe(0);
			yield* soclose(other);
		});
	});
});

test("IPv6: datagrams over lo0, an epair and link-local addresses, with fragments and IPV6_PKTINFO", () => {
	withPair(function* (a, b) {
		const server = yield* udp(b, new sockaddr_in6(new Uint8Array(16), 7));
		const client = yield* udp(a, new sockaddr_in6(new Uint8Array(16), 5000));
		for (const length of [100, 1452, 1453, 9000]) {
			expect(yield* send(client, new sockaddr_in6(ip6("2001:db8::2"), 7), payload(length))).toBe(0);
			const r = got(yield* receive(server));
			expect(r.bytes.length).toBe(length);
			expect(isPayload(r.bytes)).toBe(true);
			expect((r.from as unknown as sockaddr_in6).sin6_addr).toEqual(ip6("2001:db8::1"));
		}
		// back, with the source said
		const info = new Uint8Array(20);
		info.set(ip6("2001:db8::2"));
		const control = sbcreatecontrol(info, 20, IPV6_PKTINFO, IPPROTO_IPV6);
		expect(yield* send(server, new sockaddr_in6(ip6("2001:db8::1"), 5000), payload(3), control)).toBe(0);
		expect((got(yield* receive(client)).from as unknown as sockaddr_in6).sin6_addr).toEqual(ip6("2001:db8::2"));
		// link-local: the interface's index says which link
		const { ifp } = b;
		const ll = ifp.if_addrhead
			.map((i) => i.ifa_addr as sockaddr_in6)
			.find((s) => s.sin6_addr !== undefined && s.sin6_addr[0] === 0xfe) as sockaddr_in6;
		const to = new sockaddr_in6(ll.sin6_addr.slice(), 7);
		to.sin6_addr[2] = to.sin6_addr[3] = 0;
		to.sin6_scope_id = a.ifp.if_index;
		expect(yield* send(client, to, payload(77))).toBe(0);
		const r = got(yield* receive(server));
		expect(r.bytes.length).toBe(77);
		const from = r.from as unknown as sockaddr_in6;
		expect([from.sin6_addr[0], from.sin6_addr[2], from.sin6_addr[3]]).toEqual([0xfe, 0, 0]);
		expect(from.sin6_scope_id).toBe(b.ifp.if_index);
		// to ourselves
		const own = yield* udp(a, new sockaddr_in6(ip6("::1"), 9));
		expect(yield* send(client, new sockaddr_in6(ip6("::1"), 9), payload(8))).toBe(0);
		expect(got(yield* receive(own)).bytes.length).toBe(8);
		for (const so of [server, client, own]) yield* soclose(so);
	});
});

test("IPv6: a closed port answers with an ICMPv6 error, which a connected socket is told of", () => {
	withPair(function* (a) {
		const client = yield* udp(a, new sockaddr_in6(new Uint8Array(16), 0));
		yield* on(a, function* () {
			expect(yield* soconnect(client, new sockaddr_in6(ip6("2001:db8::2"), 4444), curthread)).toBe(0);
		});
		expect(yield* send(client, null, payload(10))).toBe(0);
		expect(yield* receive(client)).toBe(ECONNREFUSED);
		yield* soclose(client);
	});
});

test.each(releases)(
	"a jail's network stack is torn down with its addresses, routes, neighbours and fragments ($release)",
	(options) => {
		const pair = new Pair(options);
		const [a, b] = pair.hosts;
		pair.program(function* () {
			const server = yield* udp(b, new sockaddr_in(INADDR_ANY, 7));
			const client = yield* udp(a, new sockaddr_in(INADDR_ANY, 0));
			yield* send(client, new sockaddr_in(ip4("10.0.0.2"), 7), payload(3000));
			got(yield* receive(server));
			// somebody who is not there: the packet waits for an answer that never comes
			yield* send(client, new sockaddr_in(ip4("10.0.0.9"), 7), payload(10));
			for (const so of [server, client]) yield* soclose(so);
			for (const host of pair.hosts) {
				crfree(host.cred);
				expect(yield* prison_remove(host.pr)).toBe(0);
			}
			yield* pause("settle", 3000);
			expect(allprison().length).toBe(1);
		});
		expect(uma_leaks()).toEqual([]);
	},
);
