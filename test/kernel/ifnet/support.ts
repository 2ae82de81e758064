/**
 * A small machine with interfaces: boots a kernel whose IPv4 is a list of what arrived, so that what is below IP can be tested
 * alone.
 */
import { expect } from "vitest";
import { boot, runUntilExit, spawn } from "../../../src/kernel/boot.ts";
import "../../../src/kernel/ifnet/if_epair.ts";
import { ifunit } from "../../../src/kernel/ifnet/if.ts";
import { ifioctl } from "../../../src/kernel/ifnet/if_ioctl.ts";
import { IFF_UP, ifaddr, type ifnet } from "../../../src/kernel/ifnet/if_var.ts";
import { NETISR_IP, NETISR_POLICY_FLOW, netisr_register } from "../../../src/kernel/ifnet/netisr.ts";
import { ifreq, SIOCIFCREATE, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFVNET } from "../../../src/kernel/ifnet/sockio.ts";
import { jail_attach, type prison, prison_create, prison0, thread_crfree } from "../../../src/kernel/jail/jail.ts";
import { NET_EPOCH_ENTER, NET_EPOCH_EXIT } from "../../../src/kernel/lock/epoch.ts";
import { M_PKTHDR, M_WAITOK, MT_DATA, m_freem, m_get2, type mbuf } from "../../../src/kernel/mbuf/mbuf.ts";
import { uma_leaks } from "../../../src/kernel/mbuf/uma.ts";
import { sockaddr_in } from "../../../src/kernel/netinet/in.ts";
import {
	CURVNET_RESTORE,
	CURVNET_SET,
	curvnet,
	KERNEL_GLOBAL,
	type Kernel,
	type KernelOptions,
	SI_ORDER_ANY,
	SI_SUB_PROTO_DOMAIN,
	SYSINIT,
	type vnet,
} from "../../../src/kernel/sched/kernel.ts";
import { type Blocking, charge, curthread } from "../../../src/kernel/sched/thread.ts";
import { Machine } from "../../../src/machine/machine.ts";
import { findProfile } from "../../../src/machine/profile.ts";

/** What IPv4 got: first payload byte or number, interface and vnet. */
export interface Arrival {
	readonly id: number;
	readonly ifp: string;
	readonly vnet: string;
	readonly thread: string;
}

class ip_stub {
	readonly arrivals: Arrival[] = [];
	/** how long IP takes for each packet, ns */
	cost_ns = 0;
}

export const ip = KERNEL_GLOBAL(() => new ip_stub());

function* ip_input(m: mbuf): Blocking<void> {
	const stub = ip();
	charge(stub.cost_ns);
	stub.arrivals.push({
		id: m.m_buf[m.m_data] * 256 + m.m_buf[m.m_data + 1],
		ifp: m.m_pkthdr.rcvif?.if_xname ?? "",
		vnet: curvnet().vnet_name,
		thread: curthread.td_name,
	});
	m_freem(m);
}

SYSINIT("ip stub", SI_SUB_PROTO_DOMAIN, SI_ORDER_ANY, function* () {
	netisr_register({
		nh_name: "ip",
		nh_handler: ip_input,
		nh_proto: NETISR_IP,
		nh_policy: NETISR_POLICY_FLOW,
	});
});

/** Items of all zones that are in use. */
export function mbufs_in_use(): number {
	return uma_leaks().reduce((n, leak) => n + leak.used, 0);
}

export function bootKernel(options: KernelOptions = {}, cpus = 4, seed = 1): Kernel {
	return boot(new Machine({ profile: findProfile("xeon-d")!, cpus, seed }), options);
}

/** Runs `body` as a root thread of the base system to its end. */
export function inKernel(kernel: Kernel, body: () => Blocking<void>, limit_s = 100): void {
	const td = spawn(kernel, "test", function* () {
		yield* jail_attach(curthread, prison0());
		yield* body();
		thread_crfree(curthread);
	});
	expect(runUntilExit(kernel, td, limit_s * 1e9)).toBe(true);
}

/** A packet of `len` bytes whose first two are its number. */
export function packet(id: number, len = 100): mbuf {
	const m = m_get2(len + 64, M_WAITOK, MT_DATA, M_PKTHDR)!;
	m.m_data += 64;
	m.m_len = len;
	m.m_pkthdr.len = len;
	m.m_buf[m.m_data] = id >> 8;
	m.m_buf[m.m_data + 1] = id;
	return m;
}

export function* ioctl(cmd: number, name: string, set: Partial<ifreq> = {}): Blocking<ifreq> {
	const ifr = Object.assign(new ifreq(name), set);
	expect(yield* ifioctl(null, cmd, ifr, curthread)).toBe(0);
	return ifr;
}

/** Gives an interface an address the way in_control does, without routes. */
export function* setAddress(ifp: ifnet, addr: number): Blocking<void> {
	const ifa = new ifaddr(ifp);
	ifa.ifa_addr = new sockaddr_in(addr);
	ifa.ifa_netmask = new sockaddr_in(0xffffff00);
	ifp.if_addrhead.push(ifa);
	const saved = CURVNET_SET(ifp.if_vnet);
	yield* ifp.if_ioctl!(ifp, SIOCSIFADDR, ifa);
	CURVNET_RESTORE(saved);
}

export function* up(ifp: ifnet): Blocking<void> {
	const saved = CURVNET_SET(ifp.if_vnet);
	const ifr = Object.assign(new ifreq(ifp.if_xname), { ifr_flags: ifp.if_flags | IFF_UP });
	ifp.if_flags |= IFF_UP;
	yield* ifp.if_ioctl!(ifp, SIOCSIFFLAGS, ifr);
	CURVNET_RESTORE(saved);
}

export interface Cable {
	readonly a: ifnet;
	readonly b: ifnet;
	readonly jail: prison;
}

export const ADDR_A = 0xc0a80201;
export const ADDR_B = 0xc0a80202;

/** An epair with one end here and one in a jail, both up with addresses. */
export function* cable(name = "j"): Blocking<Cable> {
	const jail = (yield* prison_create(prison0(), { name, vnet: true })) as prison;
	const { ifr_name } = yield* ioctl(SIOCIFCREATE, "epair");
	const a = ifunit(ifr_name)!;
	const b = ifunit(`${ifr_name.slice(0, -1)}b`)!;
	yield* ioctl(SIOCSIFVNET, b.if_xname, { ifr_jid: jail.pr_id });
	yield* setAddress(a, ADDR_A);
	yield* setAddress(b, ADDR_B);
	return { a, b, jail };
}

/** if_output towards an address, in the interface's vnet and the net epoch. */
export function* send(ifp: ifnet, m: mbuf, to: number): Blocking<number> {
	const saved = CURVNET_SET(ifp.if_vnet);
	NET_EPOCH_ENTER();
	const error = yield* ifp.if_output(ifp, m, new sockaddr_in(to), null);
	NET_EPOCH_EXIT();
	CURVNET_RESTORE(saved);
	return error;
}

export function* within<T>(vn: vnet, body: () => Blocking<T>): Blocking<T> {
	const saved = CURVNET_SET(vn);
	const result = yield* body();
	CURVNET_RESTORE(saved);
	return result;
}
