/**
 * wg show and wg showconf: what an interface and its peers are and do, for people, for scripts, and as a configuration file.
 *
 * @see wireguard-tools show.c, showconf.c
 */
import { type Errno, strerror } from "../kernel/errno.ts";
import type { Blocking } from "../kernel/sched/thread.ts";
import { key_to_base64 } from "./base64.ts";
import type { process } from "./process.ts";
import { time } from "./syscall.ts";
import { allowed_ip_text, ipc_get_device, ipc_list_devices, type wgdevice, type wgpeer } from "./wg_ipc.ts";

const fields = [
	"public-key",
	"private-key",
	"listen-port",
	"fwmark",
	"peers",
	"preshared-keys",
	"endpoints",
	"allowed-ips",
	"latest-handshakes",
	"transfer",
	"persistent-keepalive",
	"dump",
];

/** "1 minute, 5 seconds ago". @see show.c ago */
function ago(timesecs: number): string {
	const left = time() - timesecs;
	if (left < 0) return "(System clock wound backward; connection problems may ensue.)";
	if (left === 0) return "Now";
	return `${pretty_time(left)} ago`;
}

function pretty_time(seconds: number): string {
	const units: readonly (readonly [string, number])[] = [
		["year", 365 * 24 * 3600],
		["day", 24 * 3600],
		["hour", 3600],
		["minute", 60],
		["second", 1],
	];
	const parts: string[] = [];
	let left = seconds;
	for (const [name, length] of units) {
		const n = Math.floor(left / length);
		left -= n * length;
		if (n > 0) parts.push(`${n} ${name}${n === 1 ? "" : "s"}`);
	}
	return parts.join(", ");
}

function bytes(n: number): string {
	if (n < 1024) return `${n} B`;
	const names = ["KiB", "MiB", "GiB", "TiB"];
	let value = n / 1024;
	let power = 0;
	while (value >= 1024 && power < 3) {
		value /= 1024;
		power++;
	}
	return `${value.toFixed(2)} ${names[power]}`;
}

function is_zero(key: Uint8Array | null): boolean {
	return key === null || key.every((byte) => byte === 0);
}

function pretty_print(proc: process, device: wgdevice): void {
	proc.stdout(`interface: ${device.name}`);
	if (!is_zero(device.public_key)) proc.stdout(`  public key: ${key_to_base64(device.public_key as Uint8Array)}`);
	if (!is_zero(device.private_key)) proc.stdout("  private key: (hidden)");
	if (device.listen_port !== null && device.listen_port !== 0) proc.stdout(`  listening port: ${device.listen_port}`);
	if (device.fwmark !== null && device.fwmark !== 0) proc.stdout(`  fwmark: 0x${device.fwmark.toString(16)}`);
	// the most recent handshake first
	const peers = device.peers.slice().sort((a, b) => b.last_handshake_ns - a.last_handshake_ns);
	for (const peer of peers) {
		proc.stdout("");
		proc.stdout(`peer: ${key_to_base64(peer.public_key)}`);
		if (!is_zero(peer.preshared_key)) proc.stdout("  preshared key: (hidden)");
		if (peer.endpoint !== null) proc.stdout(`  endpoint: ${peer.endpoint_text}`);
		proc.stdout(`  allowed ips: ${peer.allowed_ips.map(allowed_ip_text).join(", ") || "(none)"}`);
		if (peer.last_handshake_s > 0) proc.stdout(`  latest handshake: ${ago(peer.last_handshake_s)}`);
		if (peer.rx_bytes > 0 || peer.tx_bytes > 0) {
			proc.stdout(`  transfer: ${bytes(peer.rx_bytes)} received, ${bytes(peer.tx_bytes)} sent`);
		}
		const keepalive = peer.persistent_keepalive_interval;
		if (keepalive !== null && keepalive > 0) proc.stdout(`  persistent keepalive: every ${pretty_time(keepalive)}`);
	}
}

function key_text(key: Uint8Array | null): string {
	return is_zero(key) ? "(none)" : key_to_base64(key as Uint8Array);
}

/** One field of all peers, or of the interface, for scripts. @see show.c ugly_print */
function ugly_print(proc: process, device: wgdevice, field: string, prefix: string): void {
	const each = (text: (peer: wgpeer) => string): void => {
		for (const peer of device.peers) proc.stdout(`${prefix}${key_to_base64(peer.public_key)}\t${text(peer)}`);
	};
	const ips = (peer: wgpeer, separator: string): string =>
		peer.allowed_ips.map(allowed_ip_text).join(separator) || "(none)";
	const keepalive = (peer: wgpeer): string => `${peer.persistent_keepalive_interval || "off"}`;
	const fwmark = device.fwmark ? `0x${device.fwmark.toString(16)}` : "off";
	switch (field) {
		case "public-key":
			proc.stdout(`${prefix}${key_text(device.public_key)}`);
			break;
		case "private-key":
			proc.stdout(`${prefix}${key_text(device.private_key)}`);
			break;
		case "listen-port":
			proc.stdout(`${prefix}${device.listen_port ?? 0}`);
			break;
		case "fwmark":
			proc.stdout(`${prefix}${fwmark}`);
			break;
		case "peers":
			for (const peer of device.peers) proc.stdout(`${prefix}${key_to_base64(peer.public_key)}`);
			break;
		case "preshared-keys":
			each((peer) => key_text(peer.preshared_key));
			break;
		case "endpoints":
			each((peer) => peer.endpoint_text);
			break;
		case "allowed-ips":
			each((peer) => ips(peer, " "));
			break;
		case "latest-handshakes":
			each((peer) => `${peer.last_handshake_s}`);
			break;
		case "transfer":
			each((peer) => `${peer.rx_bytes}\t${peer.tx_bytes}`);
			break;
		case "persistent-keepalive":
			each(keepalive);
			break;
		default:
			proc.stdout(
				`${prefix}${key_text(device.private_key)}\t${key_text(device.public_key)}\t${device.listen_port ?? 0}\t${fwmark}`,
			);
			for (const peer of device.peers) {
				proc.stdout(
					`${prefix}${key_to_base64(peer.public_key)}\t${key_text(peer.preshared_key)}\t${peer.endpoint_text}\t${ips(peer, ",")}\t${peer.last_handshake_s}\t${peer.rx_bytes}\t${peer.tx_bytes}\t${keepalive(peer)}`,
				);
			}
	}
}

export function* show_main(proc: process, args: readonly string[]): Blocking<number> {
	const [name = "all", field] = args;
	if (args.length > 2 || (field !== undefined && !fields.includes(field))) {
		proc.stderr(`Usage: wg show { <interface> | all | interfaces } [${fields.join(" | ")}]`);
		return 1;
	}
	if (name === "interfaces") {
		proc.stdout(ipc_list_devices().join(" "));
		return 0;
	}
	const names = name === "all" ? ipc_list_devices() : [name];
	for (const [i, ifname] of names.entries()) {
		const device = yield* ipc_get_device(proc, ifname);
		if (typeof device === "number") return unable(proc, device);
		if (field === undefined) {
			if (i > 0) proc.stdout("");
			pretty_print(proc, device);
		} else ugly_print(proc, device, field, name === "all" ? `${ifname}\t` : "");
	}
	return 0;
}

function unable(proc: process, error: Errno): number {
	proc.stderr(`Unable to access interface: ${strerror(error)}`);
	return 1;
}

export function* showconf_main(proc: process, args: readonly string[]): Blocking<number> {
	if (args.length !== 1) {
		proc.stderr("Usage: wg showconf <interface>");
		return 1;
	}
	const device = yield* ipc_get_device(proc, args[0]);
	if (typeof device === "number") return unable(proc, device);
	proc.stdout("[Interface]");
	if (device.listen_port) proc.stdout(`ListenPort = ${device.listen_port}`);
	if (device.fwmark) proc.stdout(`FwMark = 0x${device.fwmark.toString(16)}`);
	if (!is_zero(device.private_key)) proc.stdout(`PrivateKey = ${key_text(device.private_key)}`);
	for (const peer of device.peers) {
		proc.stdout("");
		proc.stdout("[Peer]");
		proc.stdout(`PublicKey = ${key_to_base64(peer.public_key)}`);
		if (!is_zero(peer.preshared_key)) proc.stdout(`PresharedKey = ${key_text(peer.preshared_key)}`);
		if (peer.allowed_ips.length > 0) proc.stdout(`AllowedIPs = ${peer.allowed_ips.map(allowed_ip_text).join(", ")}`);
		if (peer.endpoint !== null) proc.stdout(`Endpoint = ${peer.endpoint_text}`);
		if (peer.persistent_keepalive_interval) {
			proc.stdout(`PersistentKeepalive = ${peer.persistent_keepalive_interval}`);
		}
	}
	return 0;
}
