/**
 * ifconfig(8): makes, configures, moves and shows interfaces.
 *
 * Keywords: create, destroy, up, down, mtu, vnet, -vnet, name, debug, link0, inet, inet6, alias, -alias, netmask, prefixlen, broadcast.
 * Texts of errors are FreeBSD's. Addresses are numeric.
 *
 * @see ifconfig.c, ifclone.c, af_inet.c, af_inet6.c; texts as of FreeBSD 13
 */
import { EEXIST, ENXIO, EPERM, type Errno, strerror } from "../kernel/errno.ts";
import { ifunit, V_ifnet } from "../kernel/ifnet/if.ts";
import {
	IFF_BROADCAST,
	IFF_DEBUG,
	IFF_DRV_OACTIVE,
	IFF_DRV_RUNNING,
	IFF_LINK0,
	IFF_LOOPBACK,
	IFF_MULTICAST,
	IFF_NOARP,
	IFF_POINTOPOINT,
	IFF_PROMISC,
	IFF_SIMPLEX,
	IFF_UP,
	type ifnet,
} from "../kernel/ifnet/if_var.ts";
import {
	ifreq,
	SIOCAIFADDR,
	SIOCDIFADDR,
	SIOCGIFFLAGS,
	SIOCIFCREATE2,
	SIOCIFDESTROY,
	SIOCSIFFLAGS,
	SIOCSIFMTU,
	SIOCSIFNAME,
	SIOCSIFRVNET,
	SIOCSIFVNET,
} from "../kernel/ifnet/sockio.ts";
import type { prison } from "../kernel/jail/jail.ts";
import { prison_find_child, prison_find_name } from "../kernel/jail/jail.ts";
import {
	AF_INET,
	AF_INET6,
	in_len2mask,
	in6_mask2len,
	in6_prefixlen2mask,
	inet_ntoa,
	inet_pton4,
	ip6_sprintf,
	sockaddr_in,
	sockaddr_in6,
} from "../kernel/netinet/in.ts";
import { ifa_is_in, in_aliasreq } from "../kernel/netinet/in_var.ts";
import { SIOCAIFADDR_IN6, SIOCDIFADDR_IN6 } from "../kernel/netinet/in6_control.ts";
import { in6_aliasreq } from "../kernel/netinet/in6_var.ts";
import type { Blocking } from "../kernel/sched/thread.ts";
import { SOCK_DGRAM, type socket } from "../kernel/socket/socket.ts";
import { integer, parse_prefix, type prefix } from "./getopt.ts";
import type { process } from "./process.ts";
import { close, ioctl, socket_open } from "./syscall.ts";

const flag_names: readonly (readonly [number, string])[] = [
	[IFF_UP, "UP"],
	[IFF_BROADCAST, "BROADCAST"],
	[IFF_DEBUG, "DEBUG"],
	[IFF_LOOPBACK, "LOOPBACK"],
	[IFF_POINTOPOINT, "POINTOPOINT"],
	[IFF_DRV_RUNNING, "RUNNING"],
	[IFF_NOARP, "NOARP"],
	[IFF_PROMISC, "PROMISC"],
	[IFF_DRV_OACTIVE, "OACTIVE"],
	[IFF_SIMPLEX, "SIMPLEX"],
	[IFF_LINK0, "LINK0"],
	[IFF_MULTICAST, "MULTICAST"],
];

/** What one invocation works on. */
class invocation {
	readonly proc: process;
	/** its interface; changes when the kernel picks or gives another name */
	name: string;
	/** sockets for requests, by family */
	readonly sockets = new Map<number, socket>();

	constructor(proc: process, name: string) {
		this.proc = proc;
		this.name = name;
	}

	*request(cmd: number, data: unknown, family: number = AF_INET): Blocking<Errno> {
		let so = this.sockets.get(family);
		if (so === undefined) {
			const opened = yield* socket_open(this.proc, family, SOCK_DGRAM, 0);
			if (typeof opened === "number") return opened;
			so = opened;
			this.sockets.set(family, so);
		}
		return yield* ioctl(this.proc, so, cmd, data);
	}

	*close(): Blocking<void> {
		for (const so of this.sockets.values()) yield* close(this.proc, so);
	}
}

/** errx(3) and err(3). @returns the exit status */
function err(inv: invocation, what: string, error: Errno): number {
	return inv.proc.warn(`${what}: ${strerror(error)}`);
}

/** @see ifconfig.c Perror */
function perror(inv: invocation, cmd: string, error: Errno): number {
	if (error === ENXIO) return inv.proc.warn(`${cmd}: no such interface`);
	if (error === EPERM) return inv.proc.warn(`${cmd}: permission denied`);
	return err(inv, cmd, error);
}

function ifr_flags_text(ifp: ifnet): string {
	const flags = (ifp.if_flags & 0xffff) | ifp.if_drv_flags;
	const names = flag_names.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
	return `flags=${flags.toString(16)}<${names.join(",")}>`;
}

/** @see ifconfig.c status */
function status(proc: process, ifp: ifnet): void {
	proc.stdout(`${ifp.if_xname}: ${ifr_flags_text(ifp)} metric ${ifp.if_metric} mtu ${ifp.if_mtu}`);
	if (ifp.if_hw_addr.length === 6) {
		const octets = Array.from(ifp.if_hw_addr, (byte) => byte.toString(16).padStart(2, "0"));
		proc.stdout(`\tether ${octets.join(":")}`);
	}
	for (const ifa of ifp.if_addrhead) {
		if (ifa_is_in(ifa)) {
			const mask = `0x${ifa.ia_subnetmask.toString(16).padStart(8, "0")}`;
			const other = ifa.ia_dstaddr !== null ? ` --> ${inet_ntoa(ifa.ia_dstaddr.sin_addr)}` : "";
			const broadcast = ifa.ia_broadaddr !== null ? ` broadcast ${inet_ntoa(ifa.ia_broadaddr.sin_addr)}` : "";
			proc.stdout(`\tinet ${inet_ntoa(ifa.ia_addr.sin_addr)}${other} netmask ${mask}${broadcast}`);
		} else if (ifa.ifa_addr?.sa_family === AF_INET6) {
			const len = ifa.ifa_netmask === null ? 128 : in6_mask2len((ifa.ifa_netmask as sockaddr_in6).sin6_addr);
			proc.stdout(`\tinet6 ${ip6_sprintf((ifa.ifa_addr as sockaddr_in6).sin6_addr)} prefixlen ${len}`);
		}
	}
	const groups = ifp.if_groups.filter((group) => group !== "all");
	if (groups.length > 0) proc.stdout(`\tgroups: ${groups.join(" ")}`);
}

/** A jail below the caller's, by name or number. */
export function find_jail(proc: process, name: string): prison | null {
	const id = integer(name);
	const mine = proc.p_ucred.cr_prison;
	return id !== null ? prison_find_child(mine, id) : prison_find_name(mine, name);
}

function* setifvnet(inv: invocation, cmd: number, jail: string): Blocking<number> {
	const pr = find_jail(inv.proc, jail);
	if (pr === null) return inv.proc.warn(`jail "${jail}" not found`);
	const ifr = new ifreq(inv.name);
	ifr.ifr_jid = pr.pr_id;
	const error = yield* inv.request(cmd, ifr);
	if (error === 0) return 0;
	const what = cmd === SIOCSIFVNET ? "SIOCSIFVNET" : "SIOCSIFRVNET";
	return err(inv, `${what}(${pr.pr_id},${inv.name})`, error);
}

function* setifflags(inv: invocation, word: string, bit: number, on: boolean): Blocking<number> {
	const ifr = new ifreq(inv.name);
	let error = yield* inv.request(SIOCGIFFLAGS, ifr);
	if (error !== 0) return err(inv, "ioctl (SIOCGIFFLAGS)", error);
	ifr.ifr_flags = on ? ifr.ifr_flags | bit : ifr.ifr_flags & ~bit;
	error = yield* inv.request(SIOCSIFFLAGS, ifr);
	return error === 0 ? 0 : perror(inv, word, error);
}

function* setifmtu(inv: invocation, text: string): Blocking<number> {
	const ifr = new ifreq(inv.name);
	ifr.ifr_mtu = Number.parseInt(text, 10) || 0;
	const error = yield* inv.request(SIOCSIFMTU, ifr);
	return error === 0 ? 0 : err(inv, "ioctl SIOCSIFMTU (set mtu)", error);
}

function* setifname(inv: invocation, name: string): Blocking<number> {
	const ifr = new ifreq(inv.name);
	ifr.ifr_data = name;
	const error = yield* inv.request(SIOCSIFNAME, ifr);
	if (error !== 0) return err(inv, "ioctl SIOCSIFNAME (set name)", error);
	inv.name = name;
	return 0;
}

/** An address being set: what the words after it say of it. */
class address {
	readonly ip: prefix;
	broadcast: number | null = null;
	destination: number | null = null;
	remove = false;
	constructor(ip: prefix) {
		this.ip = ip;
	}
}

function* set_address(inv: invocation, a: address): Blocking<number> {
	const { ip } = a;
	if (typeof ip.addr === "number") {
		if (a.remove) {
			const ifr = new ifreq(inv.name);
			ifr.ifr_addr = new sockaddr_in(ip.addr);
			const error = yield* inv.request(SIOCDIFADDR, ifr);
			return error === 0 ? 0 : err(inv, "ioctl (SIOCDIFADDR)", error);
		}
		const req = new in_aliasreq(inv.name);
		req.ifra_addr = new sockaddr_in(ip.addr);
		req.ifra_mask = new sockaddr_in(in_len2mask(ip.len));
		const other = a.destination ?? a.broadcast;
		if (other !== null) req.ifra_broadaddr = new sockaddr_in(other);
		const error = yield* inv.request(SIOCAIFADDR, req);
		return error === 0 ? 0 : err(inv, "ioctl (SIOCAIFADDR)", error);
	}
	if (a.remove) {
		const ifr = new ifreq(inv.name);
		ifr.ifr_addr = new sockaddr_in6(ip.addr);
		const error = yield* inv.request(SIOCDIFADDR_IN6, ifr, AF_INET6);
		return error === 0 ? 0 : err(inv, "ioctl (SIOCDIFADDR)", error);
	}
	const req = new in6_aliasreq(inv.name);
	req.ifra_addr = new sockaddr_in6(ip.addr);
	req.ifra_prefixmask = new sockaddr_in6(in6_prefixlen2mask(ip.len));
	const error = yield* inv.request(SIOCAIFADDR_IN6, req, AF_INET6);
	return error === 0 ? 0 : err(inv, "ioctl (SIOCAIFADDR)", error);
}

/** A netmask as dotted quad or hexadecimal; its length, or null. */
function mask_length(text: string): number | null {
	const mask = /^0x[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : inet_pton4(text);
	if (mask === null) return null;
	const len = Math.clz32(~mask);
	return in_len2mask(len) === mask ? len : null;
}

/** Reads an address and what belongs to it from the front of `words`. @returns the address, or an exit status */
function read_address(inv: invocation, family: number, words: string[]): address | number {
	const text = words.shift() ?? "";
	let ip = parse_prefix(text);
	if (ip === null || (family !== 0 && ip.af !== family)) {
		const slash = text.indexOf("/");
		if (slash > 0 && parse_prefix(text.slice(0, slash)) !== null) {
			return inv.proc.warn(`${text}: bad value (width too large)`);
		}
		return inv.proc.warn(`${text}: bad value`);
	}
	if (ip.af === AF_INET6 && !text.includes("/")) ip = { ...ip, len: 64 };
	// without a mask the kernel used to go by class; nobody has that any more, and a host is what is left
	let a = new address(ip);
	const value = (): string => words.splice(0, 2)[1] ?? "";
	for (;;) {
		const word = words[0];
		if (word === "alias" || word === "add") words.shift();
		else if (word === "-alias" || word === "delete" || word === "remove") {
			words.shift();
			a.remove = true;
		} else if (word === "netmask") {
			const given = value();
			const len = mask_length(given);
			if (len === null) return inv.proc.warn(`${given}: bad value`);
			a = Object.assign(new address({ ...a.ip, len }), {
				broadcast: a.broadcast,
				destination: a.destination,
				remove: a.remove,
			});
		} else if (word === "prefixlen") {
			const given = value();
			const len = integer(given);
			if (len === null || len < 0 || len > 128) return inv.proc.warn(`prefix length out of range`);
			a = Object.assign(new address({ ...a.ip, len }), { remove: a.remove });
		} else if (word === "broadcast") a.broadcast = inet_pton4(value());
		else if (a.ip.af === AF_INET && a.destination === null && word !== undefined && inet_pton4(word) !== null) {
			a.destination = inet_pton4(words.shift() as string);
		} else return a;
	}
}

function* command(inv: invocation, words: string[]): Blocking<number> {
	const word = words.shift() as string;
	switch (word) {
		case "up":
			return yield* setifflags(inv, inv.name, IFF_UP, true);
		case "down":
			return yield* setifflags(inv, inv.name, IFF_UP, false);
		case "debug":
		case "-debug":
			return yield* setifflags(inv, inv.name, IFF_DEBUG, word === "debug");
		case "link0":
		case "-link0":
			return yield* setifflags(inv, inv.name, IFF_LINK0, word === "link0");
		case "mtu":
		case "name":
		case "vnet":
		case "-vnet": {
			const value = words.shift();
			if (value === undefined) return inv.proc.warn(`'${word}' requires argument`);
			if (word === "mtu") return yield* setifmtu(inv, value);
			if (word === "name") return yield* setifname(inv, value);
			return yield* setifvnet(inv, word === "vnet" ? SIOCSIFVNET : SIOCSIFRVNET, value);
		}
		case "destroy": {
			const error = yield* inv.request(SIOCIFDESTROY, new ifreq(inv.name));
			return error === 0 ? 0 : err(inv, "SIOCIFDESTROY", error);
		}
		default: {
			const family = word === "inet" ? AF_INET : word === "inet6" ? AF_INET6 : 0;
			if (family === 0) words.unshift(word);
			else if (words.length === 0) return 0;
			const a = read_address(inv, family, words);
			if (typeof a === "number") return a;
			return yield* set_address(inv, a);
		}
	}
}

/** @see ifclone.c ifclonecreate */
function* create(inv: invocation): Blocking<number> {
	const ifr = new ifreq(inv.name);
	const error = yield* inv.request(SIOCIFCREATE2, ifr);
	if (error === EEXIST) return inv.proc.warn(`interface ${inv.name} already exists`);
	if (error !== 0) return err(inv, `SIOCIFCREATE2 (${inv.name})`, error);
	const asked = inv.name;
	inv.name = ifr.ifr_name;
	if (asked !== inv.name) inv.proc.stdout(inv.name);
	return 0;
}

export function* ifconfig(proc: process, argv: readonly string[]): Blocking<number> {
	const words = argv.slice();
	if (words.length === 0 || words[0] === "-a") {
		for (const ifp of V_ifnet()) status(proc, ifp);
		return 0;
	}
	if (words[0] === "-l") {
		proc.stdout(
			V_ifnet()
				.map((ifp) => ifp.if_xname)
				.join(" "),
		);
		return 0;
	}
	const inv = new invocation(proc, words.shift() as string);
	let code = 0;
	if (words[0] === "create" || words[0] === "plumb") {
		words.shift();
		code = yield* create(inv);
	} else if (ifunit(inv.name) === null && words[0] !== "-vnet") {
		return proc.warn(`interface ${inv.name} does not exist`);
	} else if (words.length === 0) status(proc, ifunit(inv.name) as ifnet);
	while (code === 0 && words.length > 0) code = yield* command(inv, words);
	yield* inv.close();
	return code;
}
