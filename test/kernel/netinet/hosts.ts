/** Two hosts with a network stack each, joined by an epair, and what tests do with their sockets. */
import { boot, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import { type Errno, EWOULDBLOCK } from "../../../src/kernel/errno.ts";
import { ifunit } from "../../../src/kernel/ifnet/if.ts";
import { if_clone_create } from "../../../src/kernel/ifnet/if_clone.ts";
import "../../../src/kernel/ifnet/if_epair.ts";
import { ifioctl } from "../../../src/kernel/ifnet/if_ioctl.ts";
import type { ifnet } from "../../../src/kernel/ifnet/if_var.ts";
import { ifreq, SIOCAIFADDR, SIOCSIFVNET } from "../../../src/kernel/ifnet/sockio.ts";
import { cred0, type prison, prison_create, prison0 } from "../../../src/kernel/jail/jail.ts";
import { crget, type ucred } from "../../../src/kernel/jail/ucred.ts";
import { vnet0 } from "../../../src/kernel/jail/vnet.ts";
import {
	in_len2mask,
	in6_prefixlen2mask,
	inet_pton4,
	inet_pton6,
	sockaddr_in,
	sockaddr_in6,
} from "../../../src/kernel/netinet/in.ts";
import { in_control } from "../../../src/kernel/netinet/in_control.ts";
import { in_aliasreq } from "../../../src/kernel/netinet/in_var.ts";
import { in6_control, SIOCAIFADDR_IN6 } from "../../../src/kernel/netinet/in6_control.ts";
import { in6_aliasreq } from "../../../src/kernel/netinet/in6_var.ts";
import "../../../src/kernel/netinet/inet.ts";
import {
	M_PKTHDR,
	M_TRAILINGSPACE,
	M_WAITOK,
	MT_DATA,
	m_freem,
	m_getm2,
	m_length,
	max_hdr,
	type mbuf,
} from "../../../src/kernel/mbuf/mbuf.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	type Kernel,
	type KernelOptions,
	type vnet,
} from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, curthread } from "../../../src/kernel/sched/thread.ts";
import { MSG_DONTWAIT, type socket, soreceive_args } from "../../../src/kernel/socket/socket.ts";
import { UIO_READ, uio } from "../../../src/kernel/socket/uio.ts";
import { soreceive } from "../../../src/kernel/socket/uipc_receive.ts";
import { sosend } from "../../../src/kernel/socket/uipc_send.ts";
import { sobind, socreate } from "../../../src/kernel/socket/uipc_socket.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { exact } from "../sched/support.ts";

export function ip4(text: string): number {
	const addr = inet_pton4(text);
	if (addr === null) throw new Error(`bad address ${text}`);
	return addr;
}

export function ip6(text: string): Uint8Array {
	const addr = inet_pton6(text);
	if (addr === null) throw new Error(`bad address ${text}`);
	return addr;
}

export interface Host {
	readonly name: string;
	readonly vn: vnet;
	readonly cred: ucred;
	readonly pr: prison;
	ifp: ifnet;
}

export function ok(error: Errno | object, what: string): void {
	if (typeof error === "number" && error !== 0) throw new Error(`${what}: error ${error}`);
}

/** Gives an interface an IPv4 address, as ifconfig does. Must run in its vnet. */
export function* ifconfig(ifp: ifnet, address: string, length: number): Blocking<Errno> {
	const ifra = new in_aliasreq(ifp.if_xname);
	ifra.ifra_addr = new sockaddr_in(ip4(address));
	ifra.ifra_mask = new sockaddr_in(in_len2mask(length));
	return yield* in_control(null, SIOCAIFADDR, ifra, ifp, curthread);
}

export function* ifconfig6(ifp: ifnet, address: string, length: number): Blocking<Errno> {
	const ifra = new in6_aliasreq(ifp.if_xname);
	ifra.ifra_addr = new sockaddr_in6(ip6(address));
	ifra.ifra_prefixmask = new sockaddr_in6(in6_prefixlen2mask(length));
	return yield* in6_control(null, SIOCAIFADDR_IN6, ifra, ifp, curthread);
}

/** Runs a program on a host. */
export function* on<T>(host: Host, body: () => Blocking<T>): Blocking<T> {
	const cred = curthread.td_ucred;
	const saved = CURVNET_SET(host.vn);
	curthread.td_ucred = host.cred;
	const result = yield* body();
	curthread.td_ucred = cred;
	CURVNET_RESTORE(saved);
	return result;
}

export class Pair {
	readonly kernel: Kernel;
	readonly hosts: Host[] = [];

	constructor(options: KernelOptions = {}) {
		this.kernel = boot(new Machine({ profile: exact, cpus: 4 }), options);
		this.program(() => this.setup());
	}

	/** Runs `body` as a program of the base system, to its end. */
	program(body: () => Blocking<void>): void {
		const td = spawn(this.kernel, "test", function* () {
			curthread.td_vnet = vnet0();
			curthread.td_ucred = cred0();
			yield* body();
		});
		if (!runUntilExit(this.kernel, td, 60e9)) throw new Error("the program does not end");
	}

	private *setup(): Blocking<void> {
		prison0().pr_childmax = 10;
		const name = yield* if_clone_create("epair", null);
		if (typeof name === "number") throw new Error(`no epair: ${name}`);
		const stem = name.slice(0, -1);
		for (const side of ["a", "b"]) {
			const pr = yield* prison_create(prison0(), { name: `host${side}`, vnet: true });
			if (typeof pr === "number") throw new Error(`no jail: ${pr}`);
			const request = new ifreq(`${stem}${side}`);
			request.ifr_jid = pr.pr_id;
			ok(yield* ifioctl(null, SIOCSIFVNET, request, curthread), "SIOCSIFVNET");
			const host: Host = {
				name: side,
				vn: pr.pr_vnet,
				cred: crget(0, pr),
				pr,
				ifp: null as unknown as ifnet,
			};
			yield* on(host, function* () {
				const lo = ifunit("lo0") as ifnet;
				host.ifp = ifunit(`${stem}${side}`) as ifnet;
				ok(yield* ifconfig(lo, "127.0.0.1", 8), "lo0");
				ok(yield* ifconfig(host.ifp, side === "a" ? "10.0.0.1" : "10.0.0.2", 24), "epair");
				ok(yield* ifconfig6(lo, "::1", 128), "lo0 inet6");
				ok(yield* ifconfig6(host.ifp, side === "a" ? "2001:db8::1" : "2001:db8::2", 64), "epair inet6");
			});
			this.hosts.push(host);
		}
	}
}

/** A datagram socket of a host. */
export function* udp(host: Host, sa: sockaddr_in | sockaddr_in6): Blocking<socket> {
	return yield* on(host, function* () {
		const so = yield* socreate(sa.sa_family, 2, 0, host.cred, curthread);
		if (typeof so === "number") throw new Error(`socreate: ${so}`);
		ok(yield* sobind(so, sa, curthread), "sobind");
		return so;
	});
}

/** A packet of `length` bytes, each telling its position, with room for headers in front, as sosend makes them. */
export function payload(length: number): mbuf {
	const m = m_getm2(null, max_hdr + Math.max(length, 1), M_WAITOK, MT_DATA, M_PKTHDR) as mbuf;
	m.m_data += max_hdr;
	let at = 0;
	for (let n: mbuf | null = m; n !== null; n = n.m_next) {
		n.m_len = Math.min(M_TRAILINGSPACE(n), length - at);
		for (let i = 0; i < n.m_len; i++) n.m_buf[n.m_data + i] = (at + i) * 7;
		at += n.m_len;
	}
	m.m_pkthdr.len = length;
	return m;
}

export function isPayload(bytes: Uint8Array): boolean {
	return bytes.every((b, i) => b === ((i * 7) & 0xff));
}

export function* send(
	so: socket,
	to: sockaddr_in | sockaddr_in6 | null,
	m: mbuf,
	control: mbuf | null = null,
): Blocking<Errno> {
	return yield* sosend(so, to, null, m, control, 0, curthread);
}

export interface Received {
	readonly bytes: Uint8Array;
	readonly from: sockaddr_in | sockaddr_in6 | null;
	readonly control: Uint8Array | null;
}

/** Waits for a datagram, or with `wait` false looks whether there is one. */
export function* receive(so: socket, wait = true): Blocking<Received | Errno> {
	const buffer = new Uint8Array(70_000);
	const u = new uio(buffer, UIO_READ);
	const args = new soreceive_args();
	args.want_addr = true;
	args.want_control = true;
	args.flags = wait ? 0 : MSG_DONTWAIT;
	const error = yield* soreceive(so, u, args);
	if (error !== 0) return error;
	let control: Uint8Array | null = null;
	if (args.controlp !== null) {
		const m = args.controlp;
		control = m.m_buf.slice(m.m_data, m.m_data + m_length(m));
		m_freem(m);
	}
	return { bytes: buffer.slice(0, u.uio_offset), from: args.psa as sockaddr_in, control };
}

export { EWOULDBLOCK };
