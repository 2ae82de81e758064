/**
 * sysctl(8): reads, and where the kernel lets it, sets variables of the running kernel.
 *
 * The tree is a list of names, each with a function that reads it. A variable that only the loader may set says so, as in FreeBSD.
 *
 * @see sbin/sysctl/sysctl.c, kern_sysctl.c
 */
import { EPERM, strerror } from "../kernel/errno.ts";
import {
	NETISR_ARP,
	NETISR_EPAIR,
	NETISR_ETHER,
	NETISR_IP,
	NETISR_IPV6,
	netisr_clearqdrops,
	netisr_get_cpucount,
	netisr_getqdrops,
	netisr_getqlimit,
	netisr_setqlimit,
} from "../kernel/ifnet/netisr.ts";
import { jailed } from "../kernel/jail/ucred.ts";
import { mb_zones } from "../kernel/mbuf/mb_zones.ts";
import { tcp_sysctl } from "../kernel/netinet/tcp_var.ts";
import { cost_only, curkernel, hz, mp_ncpus, release, release_traits } from "../kernel/sched/kernel.ts";
import { type Blocking, charge, cost } from "../kernel/sched/thread.ts";
import { SB_MAX, SOMAXCONN } from "../kernel/socket/socket.ts";
import { numopensockets } from "../kernel/socket/uipc_socket.ts";
import { getopt, integer } from "./getopt.ts";
import type { process } from "./process.ts";
import { sysret } from "./syscall.ts";

interface oid {
	readonly name: string;
	readonly read: () => number | string;
	/** @returns an error number; left out: set by the loader only */
	readonly write?: (value: number) => number;
	/** cannot be set at all */
	readonly constant?: boolean;
}

function netisr_oids(): oid[] {
	const protocols: readonly (readonly [string, number])[] = [
		["ip", NETISR_IP],
		["arp", NETISR_ARP],
		["ether", NETISR_ETHER],
		["ip6", NETISR_IPV6],
		["epair", NETISR_EPAIR],
	];
	return protocols.flatMap(([name, proto]) => [
		{
			name: `net.isr.proto.${name}.qlimit`,
			read: () => netisr_getqlimit(proto),
			write: (value: number) => netisr_setqlimit(proto, value),
		},
		{
			name: `net.isr.proto.${name}.qdrops`,
			read: () => netisr_getqdrops(proto),
			write: () => {
				netisr_clearqdrops(proto);
				return 0;
			},
		},
	]);
}

function tcp_oids(): oid[] {
	const tcp = tcp_sysctl();
	const flag = (name: string, on: boolean): oid => ({ name, read: () => (on ? 1 : 0) });
	const number = (name: string, value: number): oid => ({ name, read: () => value });
	return [
		number("net.inet.tcp.sendspace", tcp.sendspace),
		number("net.inet.tcp.recvspace", tcp.recvspace),
		number("net.inet.tcp.recvbuf_max", tcp.recvbuf_max),
		flag("net.inet.tcp.delayed_ack", tcp.delayed_ack),
		flag("net.inet.tcp.rfc1323", tcp.do_rfc1323),
		flag("net.inet.tcp.sack.enable", tcp.do_sack),
		number("net.inet.tcp.initcwnd_segments", tcp.initcwnd_segments),
		number("net.inet.tcp.mssdflt", tcp.mssdflt),
		{ name: "net.inet.tcp.cc.algorithm", read: () => release_traits().tcp_cc },
	];
}

function oids(): oid[] {
	const fixed = (name: string, read: () => number | string): oid => ({ name, read, constant: true });
	return [
		fixed("kern.ostype", () => "FreeBSD"),
		fixed("kern.osrelease", () => `${release()}-RELEASE`),
		fixed("kern.osreldate", () => release_traits().osreldate),
		fixed("kern.hz", hz),
		fixed("kern.ipc.maxsockbuf", () => SB_MAX),
		fixed("kern.ipc.soacceptqueue", () => SOMAXCONN),
		fixed("kern.ipc.numopensockets", numopensockets),
		fixed("kern.ipc.nmbclusters", () => mb_zones().nmbclusters),
		fixed("kern.ipc.nmbufs", () => mb_zones().nmbufs),
		fixed("hw.ncpu", mp_ncpus),
		fixed("hw.model", () => curkernel.machine.profile.description),
		fixed("debug.cost_only", () => (cost_only() ? 1 : 0)),
		fixed("net.isr.numthreads", netisr_get_cpucount),
		...netisr_oids(),
		...tcp_oids(),
	];
}

function write(proc: process, o: oid, text: string): number {
	const value = integer(text);
	if (value === null) return proc.warn(`invalid integer '${text}'`);
	if (o.constant) return proc.warn(`oid '${o.name}' is read only`);
	if (o.write === undefined) {
		return proc.warn(`oid '${o.name}' is a read only tunable`);
	}
	const error = jailed(proc.p_ucred) ? EPERM : null;
	const before = o.read();
	const result = error ?? o.write(value);
	if (result !== 0) return proc.warn(`${o.name}=${text}: ${strerror(result)}`);
	proc.stdout(`${o.name}: ${before} -> ${o.read()}`);
	return 0;
}

export function* sysctl(proc: process, argv: readonly string[]): Blocking<number> {
	const parsed = getopt(argv, "an");
	if (parsed.error !== "" || (parsed.operands.length === 0 && !parsed.options.some((o) => o.name === "a"))) {
		proc.stderr("usage: sysctl [-an] [name[=value] ...]");
		return 1;
	}
	const bare = parsed.options.some((o) => o.name === "n");
	const tree = oids();
	let code = 0;
	for (const operand of parsed.operands.length === 0 ? [""] : parsed.operands) {
		charge(cost.syscall);
		const [name, value] = operand.split("=", 2);
		const found = tree.filter((o) => name === "" || o.name === name || o.name.startsWith(`${name}.`));
		if (found.length === 0) code = proc.warn(`unknown oid '${name}'`);
		else if (value !== undefined) code = write(proc, found[0], value) || code;
		else for (const o of found) proc.stdout(bare ? `${o.read()}` : `${o.name}: ${o.read()}`);
		yield* sysret(proc);
	}
	return code;
}
