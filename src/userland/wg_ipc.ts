/**
 * How wg(8) talks to the driver on FreeBSD: a device and its peers to and from packed nvlists.
 *
 * @see wireguard-tools ipc-freebsd.h, containers.h
 */
import { SIOCGWG, SIOCSWG, WG_KEY_SIZE, wg_data_io } from "../dev/wg/if_wg_ioctl.ts";
import { EINVAL, ENOSPC, type Errno } from "../kernel/errno.ts";
import { V_ifnet } from "../kernel/ifnet/if.ts";
import {
	AF_INET,
	AF_INET6,
	in_get16,
	in_get32,
	in_put16,
	in_put32,
	inet_ntop,
	inet_pton4,
	inet_pton6,
} from "../kernel/netinet/in.ts";
import {
	type nvlist,
	nvlist_add_binary,
	nvlist_add_bool,
	nvlist_add_number,
	nvlist_add_nvlist_array,
	nvlist_create,
	nvlist_destroy,
	nvlist_exists_binary,
	nvlist_exists_number,
	nvlist_exists_nvlist_array,
	nvlist_get_binary,
	nvlist_get_number,
	nvlist_get_nvlist_array,
	nvlist_pack,
	nvlist_unpack,
} from "../kernel/nv.ts";
import type { Blocking } from "../kernel/sched/thread.ts";
import { SOCK_DGRAM } from "../kernel/socket/socket.ts";
import { integer, type prefix } from "./getopt.ts";
import type { process } from "./process.ts";
import { close, ioctl, socket_open } from "./syscall.ts";

const SIZEOF_SOCKADDR_IN = 16;
const SIZEOF_SOCKADDR_IN6 = 28;

/** null: not given, leave as it is */
export class wgpeer {
	readonly public_key: Uint8Array;
	preshared_key: Uint8Array | null = null;
	/** struct sockaddr_in or sockaddr_in6 */
	endpoint: Uint8Array | null = null;
	persistent_keepalive_interval: number | null = null;
	readonly allowed_ips: prefix[] = [];
	replace_allowedips = false;
	remove = false;
	last_handshake_s = 0;
	last_handshake_ns = 0;
	rx_bytes = 0;
	tx_bytes = 0;

	constructor(public_key: Uint8Array) {
		this.public_key = public_key;
	}

	/** 192.0.2.1:51820, [2001:db8::1]:51820 */
	get endpoint_text(): string {
		const sa = this.endpoint;
		if (sa === null) return "(none)";
		const port = in_get16(sa, 2);
		if (sa[1] === AF_INET) return `${inet_ntop(in_get32(sa, 4))}:${port}`;
		return `[${inet_ntop(sa.slice(8, 24))}]:${port}`;
	}
}

export class wgdevice {
	readonly name: string;
	public_key: Uint8Array | null = null;
	private_key: Uint8Array | null = null;
	listen_port: number | null = null;
	fwmark: number | null = null;
	replace_peers = false;
	readonly peers: wgpeer[] = [];

	constructor(name: string) {
		this.name = name;
	}
}

export function allowed_ip_text(ip: prefix): string {
	return `${inet_ntop(ip.addr)}/${ip.len}`;
}

/** address:port as a struct sockaddr in memory, or null if it is not one. */
export function parse_endpoint(text: string): Uint8Array | null {
	const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
	const port = match === null ? null : integer(match[3]);
	if (match === null || port === null || port > 65535) return null;
	if (match[1] !== undefined) {
		const addr = inet_pton6(match[1]);
		if (addr === null) return null;
		const sa = new Uint8Array(SIZEOF_SOCKADDR_IN6);
		sa[0] = SIZEOF_SOCKADDR_IN6;
		sa[1] = AF_INET6;
		in_put16(sa, 2, port);
		sa.set(addr, 8);
		return sa;
	}
	const addr = inet_pton4(match[2]);
	if (addr === null) return null;
	const sa = new Uint8Array(SIZEOF_SOCKADDR_IN);
	sa[0] = SIZEOF_SOCKADDR_IN;
	sa[1] = AF_INET;
	in_put16(sa, 2, port);
	in_put32(sa, 4, addr);
	return sa;
}

/** WireGuard interfaces that can be seen from here: those of the group "wg". */
export function ipc_list_devices(): string[] {
	return V_ifnet()
		.filter((ifp) => ifp.if_groups.includes("wg"))
		.map((ifp) => ifp.if_xname);
}

function peer_to_nvlist(peer: wgpeer): nvlist {
	const nvl = nvlist_create(0);
	nvlist_add_binary(nvl, "public-key", peer.public_key);
	if (peer.preshared_key !== null) nvlist_add_binary(nvl, "preshared-key", peer.preshared_key);
	if (peer.persistent_keepalive_interval !== null) {
		nvlist_add_number(nvl, "persistent-keepalive-interval", peer.persistent_keepalive_interval);
	}
	if (peer.endpoint !== null) nvlist_add_binary(nvl, "endpoint", peer.endpoint);
	if (peer.remove) nvlist_add_bool(nvl, "remove", true);
	if (peer.replace_allowedips) nvlist_add_bool(nvl, "replace-allowedips", true);
	if (peer.allowed_ips.length === 0) return nvl;
	const aips = peer.allowed_ips.map((ip) => {
		const aip = nvlist_create(0);
		nvlist_add_number(aip, "cidr", ip.len);
		if (typeof ip.addr === "number") {
			const addr = new Uint8Array(4);
			in_put32(addr, 0, ip.addr);
			nvlist_add_binary(aip, "ipv4", addr);
		} else nvlist_add_binary(aip, "ipv6", ip.addr);
		return aip;
	});
	nvlist_add_nvlist_array(nvl, "allowed-ips", aips);
	for (const aip of aips) nvlist_destroy(aip);
	return nvl;
}

/** A request of an interface's driver, on a socket made for it. */
function* wg_ioctl(proc: process, cmd: number, wgd: wg_data_io): Blocking<Errno> {
	const so = yield* socket_open(proc, AF_INET, SOCK_DGRAM, 0);
	if (typeof so === "number") return so;
	const error = yield* ioctl(proc, so, cmd, wgd);
	yield* close(proc, so);
	return error;
}

export function* ipc_set_device(proc: process, device: wgdevice): Blocking<Errno> {
	const nvl = nvlist_create(0);
	if (device.private_key !== null) nvlist_add_binary(nvl, "private-key", device.private_key);
	if (device.listen_port !== null) nvlist_add_number(nvl, "listen-port", device.listen_port);
	if (device.fwmark !== null) nvlist_add_number(nvl, "user-cookie", device.fwmark);
	if (device.replace_peers) nvlist_add_bool(nvl, "replace-peers", true);
	const peers = device.peers.map(peer_to_nvlist);
	if (peers.length > 0) nvlist_add_nvlist_array(nvl, "peers", peers);
	for (const peer of peers) nvlist_destroy(peer);
	const packed = nvlist_pack(nvl);
	nvlist_destroy(nvl);
	if (packed === null) return EINVAL;
	return yield* wg_ioctl(proc, SIOCSWG, new wg_data_io(device.name, packed));
}

function get_number(nvl: nvlist, name: string): number | null {
	return nvlist_exists_number(nvl, name) ? nvlist_get_number(nvl, name) : null;
}

function get_binary(nvl: nvlist, name: string, size: number): Uint8Array | null {
	if (!nvlist_exists_binary(nvl, name)) return null;
	const bytes = nvlist_get_binary(nvl, name);
	return bytes.length === size ? bytes.slice() : null;
}

function uint64(bytes: Uint8Array, off: number): number {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	return Number(view.getBigUint64(off, true));
}

function peer_from_nvlist(nvl: nvlist): wgpeer {
	const peer = new wgpeer(get_binary(nvl, "public-key", WG_KEY_SIZE) ?? new Uint8Array(WG_KEY_SIZE));
	peer.preshared_key = get_binary(nvl, "preshared-key", WG_KEY_SIZE);
	peer.endpoint = get_binary(nvl, "endpoint", SIZEOF_SOCKADDR_IN) ?? get_binary(nvl, "endpoint", SIZEOF_SOCKADDR_IN6);
	peer.persistent_keepalive_interval = get_number(nvl, "persistent-keepalive-interval");
	peer.rx_bytes = get_number(nvl, "rx-bytes") ?? 0;
	peer.tx_bytes = get_number(nvl, "tx-bytes") ?? 0;
	const handshake = get_binary(nvl, "last-handshake-time", 16);
	if (handshake !== null) {
		peer.last_handshake_s = uint64(handshake, 0);
		peer.last_handshake_ns = peer.last_handshake_s * 1e9 + uint64(handshake, 8);
	}
	if (!nvlist_exists_nvlist_array(nvl, "allowed-ips")) return peer;
	for (const aip of nvlist_get_nvlist_array(nvl, "allowed-ips")) {
		const len = get_number(aip, "cidr") ?? 0;
		const v4 = get_binary(aip, "ipv4", 4);
		const v6 = get_binary(aip, "ipv6", 16);
		if (v4 !== null) peer.allowed_ips.push({ af: AF_INET, addr: in_get32(v4, 0), len });
		else if (v6 !== null) peer.allowed_ips.push({ af: AF_INET6, addr: v6, len });
	}
	return peer;
}

/** Asks how much room the answer takes, then for the answer; again if it grew in between. */
export function* ipc_get_device(proc: process, name: string): Blocking<wgdevice | Errno> {
	const wgd = new wg_data_io(name);
	let error: Errno;
	do {
		wgd.wgd_data = null;
		wgd.wgd_size = 0;
		error = yield* wg_ioctl(proc, SIOCGWG, wgd);
		if (error !== 0) return error;
		wgd.wgd_data = new Uint8Array(wgd.wgd_size);
		error = yield* wg_ioctl(proc, SIOCGWG, wgd);
	} while (error === ENOSPC);
	if (error !== 0) return error;
	const nvl = nvlist_unpack(wgd.wgd_data.subarray(0, wgd.wgd_size), 0);
	if (nvl === null) return EINVAL;
	const device = new wgdevice(name);
	device.public_key = get_binary(nvl, "public-key", WG_KEY_SIZE);
	device.private_key = get_binary(nvl, "private-key", WG_KEY_SIZE);
	device.listen_port = get_number(nvl, "listen-port");
	device.fwmark = get_number(nvl, "user-cookie");
	if (nvlist_exists_nvlist_array(nvl, "peers")) {
		for (const peer of nvlist_get_nvlist_array(nvl, "peers")) device.peers.push(peer_from_nvlist(peer));
	}
	nvlist_destroy(nvl);
	return device;
}
